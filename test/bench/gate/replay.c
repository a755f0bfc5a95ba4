// SPDX-License-Identifier: Apache-2.0
//
// Replays recorded requests to a whole broker in this process, on the simulator's clock, disk and network: no kernel, no
// other thread and no real time decide what a request costs, so that its instructions are the same number in every run. The
// gate (gate.py) counts those inside replay_broker_turn() with callgrind.
//
//     replay FRAMES COUNT
//
// FRAMES holds requests with their lengths in front. All but the last are sent once each, the last one COUNT times, each
// after the answer to the one before. Prints every answer to one that is sent once, and the last answer, in hexadecimal.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "server/node.h"
#include "shard_program.h"

enum { PORT = 9092, FRAMES_BYTES_MAX = 1 << 20, ANSWER_BYTES_MAX = 1 << 20, SETTLE_MS = 500, ANSWER_MS_MAX = 60000 };

struct replay {
    struct sim sim;
    struct trace_sink sink;
    struct sim_node *machine, *client_machine;
    struct sim_process process;
    struct io *io; // of the client's machine
    struct io_sock sock;
    bool writable, gone;
    size_t received;
    uint8_t answer[ANSWER_BYTES_MAX];
};

static _Noreturn void stop(const char *why)
{
    fprintf(stderr, "replay: %s\n", why);
    exit(1);
}

static void sink_write(struct trace_sink *sink, enum trace_level level, const char *line, size_t n)
{
    (void)sink;
    (void)level;
    fprintf(stderr, "%.*s\n", (int)n, line);
}

// ------------------------------------------------------------------------------------------------ the broker

static void boot(struct sim_process *p)
{
    static const char *const dirs[] = {"/data0"};
    static const struct config_pair properties[] = {{"node.id", "1"}, {"offsets.topic.num.partitions", "1"}};
    struct replay *r = p->user;
    char text[512] = "";
    struct node_config config = {
        .node_id = 1,
        .log_dirs = dirs,
        .log_dir_count = 1,
        .properties = {.pairs = properties, .count = 2},
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
    if (node_create(&n, &config, p->ios, 1, text, sizeof(text)) != RC_OK)
        stop(text);
    p->program = n;
    p->shards = &n->shards;
}

static void died(struct sim_process *p, enum sim_death how)
{
    (void)p;
    (void)how;
}

bool replay_broker_turn(struct sim_process *p, uint32_t lane, uint64_t *next_ns);

// What is counted.
__attribute__((noinline)) bool replay_broker_turn(struct sim_process *p, uint32_t lane, uint64_t *next_ns)
{
    return sim_shard_turn(p, lane, next_ns);
}

static const struct sim_program broker_calls = {.boot = boot, .turn = replay_broker_turn, .died = died};

// ------------------------------------------------------------------------------------------------ the client

static void client_ready(struct io_sock *s, unsigned events)
{
    struct replay *r = container_of(s, struct replay, sock);
    size_t got;
    enum rc rc = RC_OK;
    r->writable = r->writable || events & IO_WRITABLE;
    r->gone = r->gone || events & IO_HANGUP;
    while ((events & IO_READABLE) && r->received < sizeof(r->answer) &&
           (rc = io_sock_recv(s, r->answer + r->received, sizeof(r->answer) - r->received, &got)) == RC_OK)
        r->received += got;
    r->gone = r->gone || (rc != RC_OK && rc != RC_AGAIN);
}

static void no_attention(void *context)
{
    (void)context;
}

static void run_ms(struct replay *r, uint64_t ms)
{
    for (uint64_t k = 0; k < ms; k++) {
        sim_run_until(&r->sim, r->sim.now_ns + SIM_MS);
        io_poll(r->io, 0);
    }
}

static bool answered(const struct replay *r)
{
    return r->received >= 4 && r->received >= 4 + (size_t)be32(r->answer);
}

static void ask(struct replay *r, const uint8_t *frame, size_t n)
{
    size_t sent, done = 0;
    r->received = 0;
    for (uint32_t k = 0; k < ANSWER_MS_MAX && !answered(r); k++) {
        struct iovec v = {.iov_base = (void *)(uintptr_t)(frame + done), .iov_len = n - done};
        if (done < n && io_sock_send(&r->sock, &v, 1, &sent) == RC_OK)
            done += sent;
        run_ms(r, 1);
        if (r->gone)
            stop("the broker has closed the connection");
    }
    if (!answered(r))
        stop("no answer");
}

static void print_answer(const struct replay *r)
{
    for (size_t k = 4; k < r->received; k++)
        printf("%02x", r->answer[k]);
    printf("\n");
}

static void build(struct replay *r)
{
    r->sink = (struct trace_sink){.level_min = TRACE_WARN, .write = sink_write};
    sim_init(&r->sim, 1);
    r->machine = sim_node_create(&r->sim, "a", 256 << 20);
    r->client_machine = sim_node_create(&r->sim, "b", 64 << 20);
    r->process.user = r;
    if (!sim_process_start(&r->process, r->machine, &broker_calls, 1))
        stop("the broker does not start");
    sim_node_begin_process(r->client_machine);
    sim_io_create(r->client_machine, &r->io, no_attention, NULL);
    run_ms(r, 2000);
    struct io_addr at = {.port = PORT};
    memcpy(at.ip, r->machine->ip, sizeof(at.ip));
    if (io_sock_connect(r->io, &r->sock, &at, client_ready) != RC_OK)
        stop("no connection");
    io_sock_want(&r->sock, IO_READABLE | IO_WRITABLE);
    run_ms(r, 100);
    if (!r->writable || r->gone)
        stop("no connection");
}

int main(int argc, char **argv)
{
    static struct replay replay;
    static uint8_t frames[FRAMES_BYTES_MAX];
    FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
    long count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (!file || count < 1)
        stop("usage: replay FRAMES COUNT");
    size_t total = fread(frames, 1, sizeof(frames), file), n;
    fclose(file);
    build(&replay);
    for (size_t at = 0; at + 4 <= total; at += n) {
        n = 4 + (size_t)be32(frames + at);
        if (n > total - at)
            stop("the last frame is not whole");
        bool is_last = at + n == total;
        for (long k = 0; k < (is_last ? count : 1); k++)
            ask(&replay, frames + at, n);
        print_answer(&replay);
        if (!is_last)
            run_ms(&replay, SETTLE_MS);
    }
    sim_process_end(&replay.process, SIM_DEATH_KILL);
    sim_node_end_process(replay.client_machine, SIM_DEATH_KILL);
    sim_deinit(&replay.sim);
    return 0;
}
