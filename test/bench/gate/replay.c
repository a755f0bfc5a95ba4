// SPDX-License-Identifier: Apache-2.0
//
// Replays recorded requests to a whole broker in this process, on the simulator's clock, disk and network: no kernel, no
// other thread and no real time decide what a request costs, so that its instructions are the same number in every run. The
// gate (gate.py) counts those inside replay_broker_turn() with callgrind, but for sim_disk_double(): the simulated disk's own.
//
//     replay FRAMES COUNT
//
// FRAMES holds requests with their lengths in front. All but the last are sent once each, the last one COUNT times, each
// after the answer to the one before. Prints every answer to one that is sent once, and the last answer, in hexadecimal.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "lone_broker.h"
#include "shard_program.h"

enum { FRAMES_BYTES_MAX = 1 << 20, ANSWER_BYTES_MAX = 1 << 20, SETTLE_MS = 500, ANSWER_MS_MAX = 60000 };

static _Noreturn void stop(const struct lone_broker *b, const char *why)
{
    fprintf(stderr, "replay: %s%s%s\n", why, b && *b->line ? ": " : "", b ? b->line : "");
    exit(1);
}

bool replay_broker_turn(struct sim_process *p, uint32_t lane, uint64_t *next_ns);

// What is counted.
__attribute__((noinline)) bool replay_broker_turn(struct sim_process *p, uint32_t lane, uint64_t *next_ns)
{
    return sim_shard_turn(p, lane, next_ns);
}

static bool answered(const struct lone_broker *b)
{
    return b->received >= 4 && b->received >= 4 + (size_t)be32(b->answer);
}

static void ask(struct lone_broker *b, const uint8_t *frame, size_t n)
{
    size_t done = 0;
    b->received = 0;
    for (uint32_t k = 0; k < ANSWER_MS_MAX && !answered(b); k++) {
        if (done < n)
            done += lone_broker_send(b, frame + done, n - done);
        lone_broker_run_ms(b, 1);
        if (b->gone)
            stop(b, "the broker has closed the connection");
    }
    if (!answered(b))
        stop(b, "no answer");
}

static void print_answer(const struct lone_broker *b)
{
    for (size_t k = 4; k < b->received; k++)
        printf("%02x", b->answer[k]);
    printf("\n");
}

int main(int argc, char **argv)
{
    static const struct config_pair properties[] = {{"offsets.topic.num.partitions", "1"}};
    static uint8_t frames[FRAMES_BYTES_MAX], answer[ANSWER_BYTES_MAX];
    static struct lone_broker broker = {.properties = properties,
                                        .property_count = 1,
                                        .memory_bytes = 256 << 20,
                                        .turn = replay_broker_turn,
                                        .answer = answer,
                                        .answer_max = sizeof(answer)};
    FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
    long count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (!file || count < 1)
        stop(NULL, "usage: replay FRAMES COUNT");
    size_t total = fread(frames, 1, sizeof(frames), file), n;
    fclose(file);
    if (!lone_broker_start(&broker))
        stop(&broker, "the broker does not serve");
    for (size_t at = 0; at + 4 <= total; at += n) {
        n = 4 + (size_t)be32(frames + at);
        if (n > total - at)
            stop(NULL, "the last frame is not whole");
        bool is_last = at + n == total;
        for (long k = 0; k < (is_last ? count : 1); k++)
            ask(&broker, frames + at, n);
        print_answer(&broker);
        if (!is_last)
            lone_broker_run_ms(&broker, SETTLE_MS);
    }
    lone_broker_end(&broker);
    return 0;
}
