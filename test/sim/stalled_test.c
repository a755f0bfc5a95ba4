// SPDX-License-Identifier: Apache-2.0
//
// What the broker does with time: connections that stop in the middle of something, and disks in the middle of a stop, on
// a simulated clock, so that half a minute costs nothing.
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "lone_broker.h"
#include "shard_program.h"

// A broker that serves, and one connection to it.
static void build(struct lone_broker *b)
{
    *b = (struct lone_broker){.memory_bytes = 64 << 20, .turn = sim_shard_turn};
    cr_assert(lone_broker_start(b), "%s", b->line);
}

static void send_bytes(struct lone_broker *b, const uint8_t *p, size_t n)
{
    cr_assert_eq(lone_broker_send(b, p, n), n);
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
    struct lone_broker r;
    uint8_t frame[64];
    build(&r);
    size_t n = request(frame);
    send_bytes(&r, frame, n);
    lone_broker_run_ms(&r, 100);
    cr_assert_gt(r.received, 100, "a whole one is answered");
    send_bytes(&r, frame, n - 3);
    lone_broker_run_ms(&r, 29000);
    cr_assert(!r.gone && r.line[0] == 0, "%s", r.line);
    lone_broker_run_ms(&r, 2500);
    cr_assert(r.gone);
    cr_assert(strstr(r.line, "half a request and then 30 s of silence"), "%s", r.line);
    lone_broker_end(&r);
}

Test(stalled, each_byte_gives_half_a_request_another_30_s)
{
    struct lone_broker r;
    uint8_t frame[64];
    build(&r);
    size_t n = request(frame), begun = 9;
    send_bytes(&r, frame, begun);
    for (size_t i = begun; i < n; i++) {
        lone_broker_run_ms(&r, 25000);
        cr_assert(!r.gone, "at byte %zu: %s", i, r.line);
        send_bytes(&r, frame + i, 1);
    }
    lone_broker_run_ms(&r, 100);
    cr_assert_gt(r.received, 100, "the whole of it is answered");
    lone_broker_end(&r);
}

Test(stalled, a_silent_connection_is_idle_and_not_stalled)
{
    struct lone_broker r;
    build(&r);
    lone_broker_run_ms(&r, 590000);
    cr_assert(!r.gone, "%s", r.line);
    lone_broker_run_ms(&r, 15000);
    cr_assert(r.gone, "connections.max.idle.ms has passed");
    cr_assert_eq(r.line[0], 0, "it is no fault: %s", r.line);
    lone_broker_end(&r);
}

static void stop_inside(void *argument)
{
    node_stop(argument);
}

Test(stalled, a_stop_says_what_it_waits_for)
{
    struct lone_broker r;
    build(&r);
    r.machine->faults.stalls = 1; // the next sync takes ten seconds
    cr_assert(sim_process_call(&r.process, stop_inside, r.process.program));
    lone_broker_run_ms(&r, 1900);
    cr_assert_eq(r.line[0], 0, "a second or two are nothing: %s", r.line);
    lone_broker_run_ms(&r, 200);
    cr_assert_str_eq(strstr(r.line, "stop: "), "stop: after 2 s it waits for 1 folder's last checkpoint");
    lone_broker_run_ms(&r, 1000);
    cr_assert_str_eq(strstr(r.line, "stop: "), "stop: after 3 s it waits for 1 folder's last checkpoint");
    cr_assert_not(node_stopped(r.process.program));
    lone_broker_run_ms(&r, 8000);
    cr_assert(node_stopped(r.process.program));
    r.line[0] = 0;
    lone_broker_run_ms(&r, 3000);
    cr_assert_eq(r.line[0], 0, "it has ended: %s", r.line);
    lone_broker_end(&r);
}
