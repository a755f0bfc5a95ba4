// SPDX-License-Identifier: Apache-2.0
//
// What the broker does with time: connections that stop in the middle of something, and disks in the middle of a stop, on
// a simulated clock, so that half a minute costs nothing.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "server/node.h"
#include "shard_program.h"

enum { PORT = 9092 };

struct rig {
    struct sim sim;
    struct trace_sink sink;
    char line[1024]; // the last warning
    struct sim_node *machine, *client_machine;
    struct sim_process process;
    struct io *io; // of the client's machine
    struct io_sock sock;
    bool writable, gone;
    size_t received;
};

static void sink_write(struct trace_sink *sink, enum trace_level level, const char *line, size_t n)
{
    struct rig *r = container_of(sink, struct rig, sink);
    if (level == TRACE_WARN)
        snprintf(r->line, sizeof(r->line), "%.*s", (int)n, line);
}

static void boot(struct sim_process *p)
{
    static const char *const dirs[] = {"/data0"};
    static const struct config_pair properties[] = {{"node.id", "1"}};
    struct rig *r = p->user;
    char text[512] = "";
    struct node_config config = {
        .node_id = 1,
        .log_dirs = dirs,
        .log_dir_count = 1,
        .properties = {.pairs = properties, .count = 1},
        .files_max = 200,
        .trace = &r->sink,
        .broker = {.listener_count = 1,
                   .listeners = {{.name = "PLAINTEXT", .advertised_host = "a", .advertised_port = PORT}},
                   .memory_bytes = 2 * BROKER_SHARD_BYTES_MIN,
                   .connections_max = 16,
                   .request_bytes_max = 4 << 20,
                   .idle_ms_max = 600000,
                   .fetch_sessions_max = 16,
                   .fetch_bytes_max = 1 << 20},
    };
    memcpy(config.broker.listeners[0].listen.ip, r->machine->ip, sizeof(r->machine->ip));
    config.broker.listeners[0].listen.port = PORT;
    struct node *n = NULL;
    cr_assert_eq(node_create(&n, &config, p->ios, 1, text, sizeof(text)), RC_OK, "%s", text);
    p->program = n;
    p->shards = &n->shards;
}

static void died(struct sim_process *p, enum sim_death how)
{
    (void)p;
    (void)how;
}

static const struct sim_program broker_calls = {.boot = boot, .turn = sim_shard_turn, .died = died};

static void client_ready(struct io_sock *s, unsigned events)
{
    struct rig *r = container_of(s, struct rig, sock);
    if (events & IO_WRITABLE)
        r->writable = true;
    if (events & IO_HANGUP)
        r->gone = true;
    uint8_t bytes[4096];
    size_t got;
    enum rc rc;
    while ((events & IO_READABLE) && (rc = io_sock_recv(s, bytes, sizeof(bytes), &got)) != RC_AGAIN) {
        r->gone = r->gone || rc != RC_OK;
        if (rc != RC_OK)
            break;
        r->received += got;
    }
}

static void no_attention(void *context)
{
    (void)context;
}

static void run_ms(struct rig *r, uint64_t ms)
{
    for (uint64_t k = 0; k < ms; k++) {
        sim_run_until(&r->sim, r->sim.now_ns + SIM_MS);
        io_poll(r->io, 0);
    }
}

// A broker that serves, and one connection to it.
static void build(struct rig *r)
{
    *r = (struct rig){.sink = {.level_min = TRACE_WARN, .write = sink_write}};
    sim_init(&r->sim, 1);
    r->machine = sim_node_create(&r->sim, "a", 64 << 20);
    r->client_machine = sim_node_create(&r->sim, "b", 64 << 20);
    r->process.user = r;
    cr_assert(sim_process_start(&r->process, r->machine, &broker_calls, 1));
    sim_node_begin_process(r->client_machine);
    sim_io_create(r->client_machine, &r->io, no_attention, NULL);
    run_ms(r, 2000);
    struct io_addr at = {.port = PORT};
    memcpy(at.ip, r->machine->ip, sizeof(at.ip));
    cr_assert_eq(io_sock_connect(r->io, &r->sock, &at, client_ready), RC_OK);
    io_sock_want(&r->sock, IO_READABLE | IO_WRITABLE);
    run_ms(r, 100);
    cr_assert(r->writable && !r->gone);
}

static void tear(struct rig *r)
{
    sim_process_end(&r->process, SIM_DEATH_KILL);
    sim_node_end_process(r->client_machine, SIM_DEATH_KILL);
    sim_deinit(&r->sim);
}

static void send_bytes(struct rig *r, const uint8_t *p, size_t n)
{
    size_t sent;
    struct iovec v = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
    cr_assert_eq(io_sock_send(&r->sock, &v, 1, &sent), RC_OK);
    cr_assert_eq(sent, n);
}

// ApiVersions 0 of a client called "raw", correlation id 7, with its length in front.
static size_t request(uint8_t p[64])
{
    static const uint8_t rest[] = {0, 18, 0, 0, 0, 0, 0, 7, 0, 3, 'r', 'a', 'w'};
    put_be32(p, sizeof(rest));
    memcpy(p + 4, rest, sizeof(rest));
    return 4 + sizeof(rest);
}

Test(stalled, half_a_request_and_30_s_of_silence_end_a_connection)
{
    struct rig r;
    uint8_t frame[64];
    build(&r);
    size_t n = request(frame);
    send_bytes(&r, frame, n);
    run_ms(&r, 100);
    cr_assert_gt(r.received, 100, "a whole one is answered");
    send_bytes(&r, frame, n - 3);
    run_ms(&r, 29000);
    cr_assert(!r.gone && r.line[0] == 0, "%s", r.line);
    run_ms(&r, 2500);
    cr_assert(r.gone);
    cr_assert(strstr(r.line, "half a request and then 30 s of silence"), "%s", r.line);
    tear(&r);
}

Test(stalled, each_byte_gives_half_a_request_another_30_s)
{
    struct rig r;
    uint8_t frame[64];
    build(&r);
    size_t n = request(frame), begun = 9;
    send_bytes(&r, frame, begun);
    for (size_t i = begun; i < n; i++) {
        run_ms(&r, 25000);
        cr_assert(!r.gone, "at byte %zu: %s", i, r.line);
        send_bytes(&r, frame + i, 1);
    }
    run_ms(&r, 100);
    cr_assert_gt(r.received, 100, "the whole of it is answered");
    tear(&r);
}

Test(stalled, a_silent_connection_is_idle_and_not_stalled)
{
    struct rig r;
    build(&r);
    run_ms(&r, 590000);
    cr_assert(!r.gone, "%s", r.line);
    run_ms(&r, 15000);
    cr_assert(r.gone, "connections.max.idle.ms has passed");
    cr_assert_eq(r.line[0], 0, "it is no fault: %s", r.line);
    tear(&r);
}

static void stop_inside(void *argument)
{
    node_stop(argument);
}

Test(stalled, a_stop_says_what_it_waits_for)
{
    struct rig r;
    build(&r);
    r.machine->faults.stalls = 1; // the next sync takes ten seconds
    cr_assert(sim_process_call(&r.process, stop_inside, r.process.program));
    run_ms(&r, 1900);
    cr_assert_eq(r.line[0], 0, "a second or two are nothing: %s", r.line);
    run_ms(&r, 200);
    cr_assert_str_eq(strstr(r.line, "stop: "), "stop: after 2 s it waits for 1 folder's last checkpoint");
    run_ms(&r, 1000);
    cr_assert_str_eq(strstr(r.line, "stop: "), "stop: after 3 s it waits for 1 folder's last checkpoint");
    cr_assert_not(node_stopped(r.process.program));
    run_ms(&r, 8000);
    cr_assert(node_stopped(r.process.program));
    r.line[0] = 0;
    run_ms(&r, 3000);
    cr_assert_eq(r.line[0], 0, "it has ended: %s", r.line);
    tear(&r);
}
