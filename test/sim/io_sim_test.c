// SPDX-License-Identifier: Apache-2.0
//
// io.h over the simulated world: operations, deaths, sockets, and that a seed replays exactly.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

struct fixture {
    struct sim sim;
    struct sim_node *node, *other;
    struct io *io, *peer;
};

static void no_attention(void *context)
{
    (void)context;
}

static void build(struct fixture *f, uint64_t seed)
{
    sim_init(&f->sim, seed);
    f->node = sim_node_create(&f->sim, "a", 64 << 20);
    f->other = sim_node_create(&f->sim, "b", 64 << 20);
    sim_node_begin_process(f->node);
    sim_node_begin_process(f->other);
    sim_io_create(f->node, &f->io, no_attention, NULL);
    sim_io_create(f->other, &f->peer, no_attention, NULL);
}

static void tear(struct fixture *f)
{
    for (uint32_t k = 0; k < f->sim.node_count; k++)
        if (f->sim.nodes[k]->alive)
            sim_node_end_process(f->sim.nodes[k], SIM_DEATH_KILL);
    sim_deinit(&f->sim);
}

static void poll_both(struct fixture *f)
{
    if (f->node->alive)
        io_poll(f->io, 0);
    if (f->other->alive)
        io_poll(f->peer, 0);
}

// Runs the world for ms and polls both ios every 100 us.
static void run_ms(struct fixture *f, uint64_t ms)
{
    for (uint64_t k = 0; k < ms * 10; k++) {
        sim_run_until(&f->sim, f->sim.now_ns + 100 * SIM_US);
        poll_both(f);
    }
}

struct wait {
    struct io_op op;
    bool done;
    enum rc rc;
    size_t bytes;
};

static void wait_done(struct io_op *op, enum rc rc, size_t bytes)
{
    struct wait *w = container_of(op, struct wait, op);
    w->done = true;
    w->rc = rc;
    w->bytes = bytes;
}

Test(io_sim, files_write_read_and_sync)
{
    struct fixture f;
    build(&f, 1);
    f.node->deferred_writes_in_16 = 16;
    struct io_file file;
    cr_assert_eq(io_file_open(f.io, &file, "/x", IO_OPEN_READ, IO_FILE_LOG), RC_NOT_FOUND);
    cr_assert_eq(io_file_open(f.io, &file, "/x", IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, IO_FILE_LOG), RC_OK);
    struct iovec vecs[2] = {{.iov_base = (char[]){"hello "}, .iov_len = 6},
                            {.iov_base = (char[]){"world"}, .iov_len = 5}};
    struct wait w = {.op.done = wait_done};
    cr_assert_eq(io_file_write(&w.op, &file, vecs, 2, 0), RC_AGAIN);
    uint64_t bytes;
    io_file_size(&file, &bytes);
    cr_assert_eq(bytes, 0); // not there before it is done
    run_ms(&f, 100);
    cr_assert(w.done && w.rc == RC_OK && w.bytes == 11);
    char back[16] = {0};
    size_t got;
    cr_assert_eq(io_file_read_now(&file, back, sizeof(back), 0, &got), RC_OK);
    cr_assert_eq(got, 11);
    cr_assert_str_eq(back, "hello world");
    w.done = false;
    io_file_sync(&w.op, &file);
    f.node->faults.sync_errors = 1;
    run_ms(&f, 100);
    cr_assert(w.done && w.rc == RC_OK);
    w.done = false;
    io_file_sync(&w.op, &file);
    run_ms(&f, 100);
    cr_assert(w.done && w.rc == RC_IO);
    io_file_close(&file);
    tear(&f);
}

static void allocate_and_die(void *argument)
{
    struct fixture *f = argument;
    struct io_file file;
    char *p = malloc(1000);
    cr_assert_not_null(p);
    cr_assert_geq(f->node->memory.bytes, 1000);
    cr_assert_eq(io_file_open(f->io, &file, "/y", IO_OPEN_WRITE | IO_OPEN_CREATE, IO_FILE_OTHER), RC_OK);
    io_file_write_now(&file, "1", 1, 0);
    io_file_write_now(&file, "2", 1, 1);
    cr_assert_fail("the process must have died before");
}

static size_t bytes_at_death;

static void look_at_death(void *argument)
{
    struct fixture *f = argument;
    cr_assert(f->node->alive);
    bytes_at_death = f->node->memory.bytes;
}

static void live(void *argument)
{
    (void)argument;
}

Test(io_sim, a_process_dies_between_two_calls_and_leaves_nothing_but_its_files)
{
    struct fixture f;
    build(&f, 2);
    cr_assert(sim_node_enter_watched(f.node, live, look_at_death, &f));
    cr_assert_eq(bytes_at_death, 0, "it lives");
    sim_node_die_in(f.node, 3, SIM_DEATH_KILL);
    cr_assert_not(sim_node_enter_watched(f.node, allocate_and_die, look_at_death, &f));
    cr_assert_geq(bytes_at_death, 1000, "its memory was still there");
    cr_assert_not(f.node->alive);
    cr_assert_eq(f.node->memory.bytes, 0);
    struct sim_inode *i = sim_disk_find(&f.node->disk, "/y");
    cr_assert_not_null(i);
    cr_assert_eq(i->bytes, 1);
    sim_node_begin_process(f.node);
    sim_io_create(f.node, &f.io, no_attention, NULL);
    tear(&f);
}

// ------------------------------------------------------------------------------------------------ sockets

static struct {
    struct io_listener listener;
    struct io_sock server, client;
    bool server_hangup, client_hangup;
    size_t sent, received;
    bool eof;
    uint8_t next;
} net;

static void server_ready(struct io_sock *s, unsigned events)
{
    net.server_hangup |= (events & IO_HANGUP) != 0;
    for (;;) {
        uint8_t p[1000];
        size_t got;
        enum rc rc = io_sock_recv(s, p, sizeof(p), &got);
        if (rc == RC_EOF)
            net.eof = true;
        if (rc != RC_OK)
            return;
        for (size_t k = 0; k < got; k++)
            cr_assert_eq(p[k], net.next++); // in order, nothing missing
        net.received += got;
    }
}

static void on_accept(struct io_listener *l, int fd, const struct io_addr *peer)
{
    (void)peer;
    cr_assert_eq(io_sock_adopt(l->io, &net.server, fd, server_ready), RC_OK);
    io_sock_want(&net.server, IO_READABLE);
}

static void client_ready(struct io_sock *s, unsigned events)
{
    net.client_hangup |= (events & IO_HANGUP) != 0;
    if (!(events & IO_WRITABLE))
        return;
    for (;;) {
        uint8_t p[700];
        for (size_t k = 0; k < sizeof(p); k++)
            p[k] = (uint8_t)(net.sent + k);
        size_t sent;
        struct iovec v = {.iov_base = p, .iov_len = sizeof(p)};
        if (net.sent > 400000 || io_sock_send(s, &v, 1, &sent) != RC_OK)
            return;
        net.sent += sent;
    }
}

static void connect_both(struct fixture *f)
{
    memset(&net, 0, sizeof(net));
    struct io_addr at = {.port = 9092};
    memcpy(at.ip, f->node->ip, sizeof(at.ip));
    cr_assert_eq(io_listen(f->io, &net.listener, &at, on_accept), RC_OK);
    cr_assert_eq(io_sock_connect(f->peer, &net.client, &at, client_ready), RC_OK);
    io_sock_want(&net.client, IO_WRITABLE | IO_READABLE);
}

Test(io_sim, bytes_arrive_in_order_through_small_windows)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct fixture f;
        build(&f, seed);
        connect_both(&f);
        run_ms(&f, 2000);
        cr_assert_gt(net.sent, 400000);
        cr_assert_eq(net.sent, net.received);
        io_sock_close(&net.client);
        run_ms(&f, 100);
        cr_assert(net.eof);
        io_sock_close(&net.server);
        run_ms(&f, 100);
        cr_assert(list_empty(&f.sim.conns));
        tear(&f);
    }
}

Test(io_sim, a_cut_holds_bytes_back_until_it_heals)
{
    struct fixture f;
    build(&f, 3);
    connect_both(&f);
    run_ms(&f, 1);
    sim_net_cut(&f.sim, f.other, f.node, f.sim.now_ns + 500 * SIM_MS);
    size_t before = net.received;
    run_ms(&f, 400);
    cr_assert_eq(net.received, before);
    cr_assert_lt(before, 400000);
    run_ms(&f, 4000);
    cr_assert_eq(net.sent, net.received);
    cr_assert_gt(net.sent, 400000);
    tear(&f);
}

Test(io_sim, deaths_are_seen_by_the_other_end_as_their_kind_says)
{
    struct fixture f;
    build(&f, 4);
    connect_both(&f);
    run_ms(&f, 50);
    cr_assert_gt(net.received, 0);
    sim_node_end_process(f.node, SIM_DEATH_KILL); // its kernel answers
    run_ms(&f, 500);
    uint8_t p;
    size_t got;
    enum rc rc = io_sock_recv(&net.client, &p, 1, &got);
    cr_assert(rc == RC_EOF || rc == RC_RESET);
    io_sock_close(&net.client);

    struct io_addr at = {.port = 9092};
    memcpy(at.ip, f.node->ip, sizeof(at.ip));
    memset(&net.client, 0, sizeof(net.client));
    net.client_hangup = false;
    io_sock_connect(f.peer, &net.client, &at, client_ready); // nobody listens: refused
    run_ms(&f, 100);
    cr_assert(net.client_hangup);
    cr_assert_eq(io_sock_error(&net.client), RC_REFUSED);
    io_sock_close(&net.client);

    sim_node_begin_process(f.node);
    sim_io_create(f.node, &f.io, no_attention, NULL);
    connect_both(&f);
    run_ms(&f, 20);
    cr_assert_gt(net.received, 0);
    sim_node_end_process(f.node, SIM_DEATH_POWER); // silence
    net.client_hangup = false;
    run_ms(&f, 1000);
    cr_assert_not(net.client_hangup);
    sim_node_power_on(f.node);
    run_ms(&f, 100000 / 50);
    tear(&f);
}

// ------------------------------------------------------------------------------------------------ replay

static uint64_t hash_of(uint64_t seed)
{
    struct fixture f;
    build(&f, seed);
    connect_both(&f);
    run_ms(&f, 20);
    sim_net_reset_one(&f.sim, f.node);
    run_ms(&f, 20);
    uint64_t hash = f.sim.trace_hash;
    tear(&f);
    return hash;
}

Test(io_sim, the_same_seed_gives_the_same_trace)
{
    cr_assert_eq(hash_of(11), hash_of(11));
    cr_assert_neq(hash_of(11), hash_of(12));
}
