// SPDX-License-Identifier: Apache-2.0
//
// Processes of two shards driven by shard_turn(): an echo server whose second shard does the work, used by another
// process, killed and started again.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "shard_program.h"

struct echo_connection {
    struct io_sock sock;
    struct shard *shard;
    struct shard_message message;
    uint8_t bytes[64];
    size_t count;
};

struct echo_server {
    struct shard_group group;
    struct io_listener listener;
};

static void echo_run(struct shard *on, struct shard_message *m)
{
    struct echo_connection *c = container_of(m, struct echo_connection, message);
    cr_assert_eq(on->id, 1);
    for (size_t k = 0; k < c->count; k++)
        c->bytes[k] = (uint8_t)(c->bytes[k] + 1);
    shard_answer(on, m);
}

static void echo_read(struct echo_connection *c);

static void echo_answered(struct shard *on, struct shard_message *m)
{
    struct echo_connection *c = container_of(m, struct echo_connection, message);
    struct iovec v = {.iov_base = c->bytes, .iov_len = c->count};
    size_t sent;
    cr_assert_eq(on->id, 0);
    if (io_sock_send(&c->sock, &v, 1, &sent) != RC_OK) {
        io_sock_close(&c->sock);
        free(c);
        return;
    }
    echo_read(c);
}

static void echo_read(struct echo_connection *c)
{
    if (c->message.in_flight)
        return;
    enum rc rc = io_sock_recv(&c->sock, c->bytes, sizeof(c->bytes), &c->count);
    if (rc == RC_EOF || rc == RC_RESET) {
        io_sock_close(&c->sock);
        free(c);
    } else if (rc == RC_OK) {
        c->message.run = echo_run;
        c->message.answered = echo_answered;
        cr_assert_eq(shard_send(c->shard, 1, &c->message), RC_OK);
    }
}

static void echo_ready(struct io_sock *s, unsigned events)
{
    (void)events;
    echo_read(container_of(s, struct echo_connection, sock));
}

static void echo_accept(struct io_listener *l, int fd, const struct io_addr *peer)
{
    struct echo_server *e = container_of(l, struct echo_server, listener);
    struct echo_connection *c = calloc(1, sizeof(*c));
    (void)peer;
    c->shard = &e->group.shards[0];
    cr_assert_eq(io_sock_adopt(l->io, &c->sock, fd, echo_ready), RC_OK);
    io_sock_want(&c->sock, IO_READABLE);
}

static void server_boot(struct sim_process *p)
{
    struct echo_server *e = calloc(1, sizeof(*e));
    struct io_addr at = {.port = 7};
    p->program = e;
    p->shards = &e->group;
    cr_assert_eq(shard_group_create(&e->group, p->ios, p->lane_count, 16, &p->node->sim->sink), RC_OK);
    cr_assert_eq(io_listen(p->ios[0], &e->listener, &at, echo_accept), RC_OK);
}

static const struct sim_program server = {.boot = server_boot, .turn = sim_shard_turn};

// ------------------------------------------------------------------------------------------------ the client

static unsigned answers, broken;

struct echo_client {
    struct shard_group group;
    struct io_sock sock;
    struct shard_timer timer;
    struct io_addr at;
    uint8_t next;
};

static void client_say(struct echo_client *c)
{
    uint8_t p = c->next;
    size_t sent;
    io_sock_send(&c->sock, &(struct iovec){.iov_base = &p, .iov_len = 1}, 1, &sent);
}

static void client_ready(struct io_sock *s, unsigned events)
{
    struct echo_client *c = container_of(s, struct echo_client, sock);
    uint8_t p;
    size_t got;
    if (events & IO_WRITABLE) {
        io_sock_want(s, IO_READABLE);
        client_say(c);
        return;
    }
    enum rc rc = io_sock_recv(s, &p, 1, &got);
    if (rc == RC_OK) {
        cr_assert_eq(p, (uint8_t)(c->next + 1));
        c->next = p;
        answers++;
        client_say(c);
    } else if (rc != RC_AGAIN) {
        broken++;
        io_sock_close(s);
    }
}

static void client_tick(struct shard_timer *t)
{
    struct echo_client *c = container_of(t, struct echo_client, timer);
    struct shard *s = &c->group.shards[0];
    if (!c->sock.io) {
        io_sock_connect(s->io, &c->sock, &c->at, client_ready);
        io_sock_want(&c->sock, IO_WRITABLE);
    }
    shard_timer_set(s, t, shard_now_ns(s) + 20 * SIM_MS, client_tick);
}

static void client_boot(struct sim_process *p)
{
    struct echo_client *c = calloc(1, sizeof(*c));
    p->program = c;
    p->shards = &c->group;
    cr_assert_eq(shard_group_create(&c->group, p->ios, 1, 16, &p->node->sim->sink), RC_OK);
    c->at.port = 7;
    memcpy(c->at.ip, p->node->sim->nodes[0]->ip, sizeof(c->at.ip));
    shard_timer_set(&c->group.shards[0], &c->timer, 0, client_tick);
}

static const struct sim_program client = {.boot = client_boot, .turn = sim_shard_turn};

static uint64_t run(uint64_t seed)
{
    struct sim sim;
    struct sim_process s = {0}, c = {0};
    sim_init(&sim, seed);
    struct sim_node *a = sim_node_create(&sim, "server", 1 << 20), *b = sim_node_create(&sim, "client", 1 << 20);
    answers = broken = 0;
    cr_assert(sim_process_start(&s, a, &server, 2));
    cr_assert(sim_process_start(&c, b, &client, 1));
    sim_run_until(&sim, sim.now_ns + 200 * SIM_MS);
    cr_assert_gt(answers, 100);
    unsigned before = answers;
    sim_process_end(&s, SIM_DEATH_KILL);
    sim_run_until(&sim, sim.now_ns + 100 * SIM_MS);
    cr_assert_leq(answers, before + 1);
    cr_assert_geq(broken, 1);
    cr_assert(sim_process_start(&s, a, &server, 2));
    sim_run_until(&sim, sim.now_ns + 200 * SIM_MS);
    cr_assert_gt(answers, before + 100);
    sim_process_end(&s, SIM_DEATH_KILL);
    sim_process_end(&c, SIM_DEATH_KILL);
    uint64_t hash = sim.trace_hash;
    sim_run_until(&sim, sim.now_ns + SIM_S);
    sim_deinit(&sim);
    return hash;
}

Test(process, two_shards_echo_die_and_come_back_and_replay)
{
    cr_assert_eq(run(5), run(5));
    cr_assert_neq(run(5), run(6));
}
