// SPDX-License-Identifier: Apache-2.0
//
// What a hop to another shard costs: one message at a time, where the sender spins or sleeps for its answer, and many
// in flight. Usage: shard_bench
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/assert.h"
#include "io/io.h"
#include "shard/shard.h"

enum { IN_FLIGHT_MAX = 64 };

struct ping {
    struct shard_message m;
    uint64_t work_ns; // how long the other side takes
};

struct bench {
    struct shard_group group;
    struct ping pings[IN_FLIGHT_MAX];
    uint64_t left, in_flight;
};

static struct bench bench;

static uint64_t process_cpu_ns(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return ((uint64_t)u.ru_utime.tv_sec + (uint64_t)u.ru_stime.tv_sec) * 1000000000u +
           ((uint64_t)u.ru_utime.tv_usec + (uint64_t)u.ru_stime.tv_usec) * 1000u;
}

static void on_ping(struct shard *on, struct shard_message *m)
{
    struct ping *p = (struct ping *)m;
    uint64_t until_ns = p->work_ns ? io_clock_ns(on->io) + p->work_ns : 0;
    while (until_ns && io_clock_ns(on->io) < until_ns)
        ;
    shard_answer(on, m);
}

static void on_pong(struct shard *on, struct shard_message *m)
{
    bench.in_flight--;
    if (bench.left > 0) {
        bench.left--;
        bench.in_flight++;
        ASSERT(shard_send(on, 1, m) == RC_OK);
    } else if (bench.in_flight == 0) {
        shard_stop(&bench.group.shards[0]);
        shard_stop(&bench.group.shards[1]);
    }
}

static void run_shard(void *argument)
{
    struct shard *s = argument;
    for (uint64_t i = 0; s->id == 0 && i < bench.in_flight; i++)
        ASSERT(shard_send(s, 1, &bench.pings[i].m) == RC_OK);
    shard_run(s);
}

static void run(const char *what, uint64_t in_flight, uint64_t count, uint64_t work_ns)
{
    struct io *ios[2];
    struct io_config config = {0};
    ASSERT(io_create(&ios[0], &config) == RC_OK && io_create(&ios[1], &config) == RC_OK);
    ASSERT(shard_group_create(&bench.group, ios, 2, 256, NULL) == RC_OK);
    bench.in_flight = in_flight;
    bench.left = count;
    for (uint64_t i = 0; i < in_flight; i++)
        bench.pings[i] = (struct ping){.m = {.run = on_ping, .answered = on_pong}, .work_ns = work_ns};
    uint64_t start_ns = io_clock_ns(ios[0]), start_cpu_ns = process_cpu_ns();
    struct io_thread threads[2];
    for (int i = 0; i < 2; i++)
        ASSERT(io_thread_start(&threads[i], run_shard, &bench.group.shards[i], i) == RC_OK);
    for (int i = 0; i < 2; i++)
        io_thread_join(&threads[i]);
    double trips = (double)(count + in_flight);
    double sleeps = (double)(io_counters(ios[0])->waits + io_counters(ios[1])->waits);
    printf("  %-44s %7.2f us a round trip, %6.2f us of CPU, %.2f sleeps\n", what,
           (double)(io_clock_ns(ios[0]) - start_ns) / trips / 1e3,
           (double)(process_cpu_ns() - start_cpu_ns) / trips / 1e3, sleeps / trips);
    shard_group_destroy(&bench.group);
    io_destroy(ios[0]);
    io_destroy(ios[1]);
}

int main(void)
{
    printf("a message to another shard and its answer\n");
    run("one at a time", 1, 50000, 0);
    run("one at a time, 10 us of work there", 1, 20000, 10 * 1000);
    run("one at a time, 50 us of work there", 1, 10000, 50 * 1000);
    run("16 in flight", 16, 500000, 0);
    run("64 in flight", 64, 1000000, 0);
    return 0;
}
