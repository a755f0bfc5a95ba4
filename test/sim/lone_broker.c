// SPDX-License-Identifier: Apache-2.0
//
// See lone_broker.h.
#include "lone_broker.h"

#include <stdio.h>
#include <string.h>

#include "node_program.h"

static void sink_write(struct trace_sink *sink, enum trace_level level, const char *line, size_t n)
{
    struct lone_broker *b = container_of(sink, struct lone_broker, sink);
    (void)level;
    snprintf(b->line, sizeof(b->line), "%.*s", (int)n, line);
}

static void boot(struct sim_process *p)
{
    static const char *const dirs[] = {"/data0"};
    struct lone_broker *b = p->user;
    ASSERT(b->property_count < ARRAY_COUNT(b->all));
    b->all[0] = (struct config_pair){"node.id", "1"};
    for (size_t i = 0; i < b->property_count; i++)
        b->all[1 + i] = b->properties[i];
    struct node_config config = {
        .node_id = 1,
        .log_dirs = dirs,
        .log_dir_count = 1,
        .properties = {.pairs = b->all, .count = 1 + b->property_count},
        .files_max = 200,
        .trace = &b->sink,
        .broker = {.memory_bytes = 2 * BROKER_SHARD_BYTES_MIN, .connections_max = 16, .fetch_sessions_max = 16},
    };
    node_program_listen(&config.broker, b->machine, LONE_BROKER_PORT);
    struct node *n = NULL;
    if (node_create(&n, &config, p->ios, 1, b->line, sizeof(b->line)) == RC_OK)
        node_program_adopt(p, n, NULL);
}

static void died(struct sim_process *p, enum sim_death how)
{
    (void)p;
    (void)how;
}

static void client_ready(struct io_sock *s, unsigned events)
{
    struct lone_broker *b = container_of(s, struct lone_broker, sock);
    uint8_t rest[4096];
    size_t got = 1;
    enum rc rc = RC_OK;
    b->writable = b->writable || events & IO_WRITABLE;
    b->gone = b->gone || events & IO_HANGUP;
    while (events & IO_READABLE) {
        bool kept = b->received < b->answer_max;
        rc = kept ? io_sock_recv(s, b->answer + b->received, b->answer_max - b->received, &got)
                  : io_sock_recv(s, rest, sizeof(rest), &got);
        if (rc != RC_OK)
            break;
        b->received += got;
    }
    b->gone = b->gone || (rc != RC_OK && rc != RC_AGAIN);
}

static void no_attention(void *context)
{
    (void)context;
}

void lone_broker_run_ms(struct lone_broker *b, uint64_t ms)
{
    for (uint64_t k = 0; k < ms; k++) {
        sim_run_until(&b->sim, b->sim.now_ns + SIM_MS);
        io_poll(b->io, 0);
    }
}

bool lone_broker_start(struct lone_broker *b)
{
    b->sink = (struct trace_sink){.level_min = TRACE_WARN, .write = sink_write};
    b->program = (struct sim_program){.boot = boot, .turn = b->turn, .died = died};
    sim_init(&b->sim, 1);
    b->sim.net_is_even = true; // or what a request costs depends on the luck of its connection
    b->machine = sim_node_create(&b->sim, "a", b->memory_bytes);
    b->client_machine = sim_node_create(&b->sim, "b", 64 << 20);
    b->process.user = b;
    if (!sim_process_start(&b->process, b->machine, &b->program, 1) || !b->process.program)
        return false;
    sim_node_begin_process(b->client_machine);
    sim_io_create(b->client_machine, &b->io, no_attention, NULL);
    lone_broker_run_ms(b, 2000);
    struct io_addr at = {.port = LONE_BROKER_PORT};
    memcpy(at.ip, b->machine->ip, sizeof(at.ip));
    if (io_sock_connect(b->io, &b->sock, &at, client_ready) != RC_OK)
        return false;
    io_sock_want(&b->sock, IO_READABLE | IO_WRITABLE);
    lone_broker_run_ms(b, 100);
    return b->writable && !b->gone;
}

void lone_broker_end(struct lone_broker *b)
{
    sim_process_end(&b->process, SIM_DEATH_KILL);
    sim_node_end_process(b->client_machine, SIM_DEATH_KILL);
    sim_deinit(&b->sim);
}

size_t lone_broker_send(struct lone_broker *b, const uint8_t *p, size_t n)
{
    size_t sent = 0;
    struct iovec v = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
    return io_sock_send(&b->sock, &v, 1, &sent) == RC_OK ? sent : 0;
}
