// SPDX-License-Identifier: Apache-2.0
//
// Two nodes' transports over loopback, in one thread.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "engine/peers.h"

enum { MESSAGES_MAX = 8 };

struct side {
    struct io *io;
    struct shard_group group;
    struct peers peers;
    struct peer_address addresses[2];
    struct peer_hello says;
    bool refuses;
    unsigned lost, fell, messages, answers, echoed;
    int64_t applied[MESSAGES_MAX];
};

static void on_hello(void *context, struct peer_hello *out)
{
    const struct side *s = context;
    *out = s->says;
}

static enum rc on_judge(void *context, const struct peer_hello *theirs, char *why, size_t why_bytes)
{
    const struct side *s = context;
    if (!s->refuses && strcmp(theirs->cluster_id, s->says.cluster_id) == 0)
        return RC_OK;
    snprintf(why, why_bytes, "it belongs to cluster %s, this node to %s", theirs->cluster_id, s->says.cluster_id);
    return RC_INCONSISTENT_CLUSTER_ID;
}

static void on_changed(void *context, struct peer *p)
{
    struct side *s = context;
    s->fell += p->state != PEER_UP;
}

static void on_lost(void *context, struct peer *p)
{
    struct side *s = context;
    (void)p;
    s->lost++;
}

static void on_echoed(void *context, struct peer *p)
{
    struct side *s = context;
    (void)p;
    s->echoed++;
}

static void on_message(void *context, struct peer_inlet *inlet, struct peer_route from, const struct peer_frame *f)
{
    struct side *s = context;
    struct arena a;
    arena_init(&a, 1 << 16, NULL, 0);
    struct dec d = dec_of(f->body);
    if (f->key == PEER_BROKER_HEARTBEAT) {
        struct broker_heartbeat_request m;
        cr_assert_not_null(inlet);
        cr_assert_eq(broker_heartbeat_request_decode(&d, f->version, &a, &m), RC_OK);
        cr_assert_lt(s->messages, MESSAGES_MAX);
        s->applied[s->messages++] = m.applied;
        struct broker_heartbeat_answer_request answer = {.fenced = true};
        cr_assert_eq(peers_answer(&s->peers, from, &broker_heartbeat_answer_request_message, f->correlation, &answer),
                     RC_OK);
    } else {
        cr_assert_eq(f->key, PEER_BROKER_HEARTBEAT_ANSWER);
        cr_assert_null(inlet);
        cr_assert_eq(f->correlation, 7);
        s->answers++;
    }
    arena_deinit(&a);
}

static const struct peers_hooks hooks = {
    .hello = on_hello, .judge = on_judge, .changed = on_changed, .lost = on_lost, .echoed = on_echoed,
    .message = on_message};

static void side_open(struct side *s, int32_t node, const uint16_t ports[2])
{
    memset(s, 0, sizeof(*s));
    struct io_config c = {.engine = IO_ENGINE_AUTO};
    cr_assert_eq(io_create(&s->io, &c), RC_OK);
    cr_assert_eq(shard_group_create(&s->group, &s->io, 1, 64, NULL), RC_OK);
    for (int i = 0; i < 2; i++) {
        s->addresses[i].node = i + 1;
        cr_assert_eq(io_resolve(s->io, "127.0.0.1", ports[i], &s->addresses[i].addr), RC_OK);
    }
    s->says = (struct peer_hello){.cluster_id = "cluster",
                                  .node = node,
                                  .broker_epoch = -1,
                                  .standing = PEER_FORMED,
                                  .peers = {1, 2},
                                  .peer_count = 2};
    io_random(s->io, s->says.incarnation.b, sizeof(s->says.incarnation.b));
    struct peers_config pc = {.shard = &s->group.shards[0],
                              .node = node,
                              .listen = s->addresses[node - 1].addr,
                              .addresses = s->addresses,
                              .address_count = 2,
                              .formed = true,
                              .hooks = &hooks,
                              .context = s};
    enum rc rc = peers_open(&s->peers, &pc);
    cr_assert_eq(rc, RC_OK, "%s", rc_text(rc));
    peers_start(&s->peers);
}

static void side_close(struct side *s)
{
    peers_close(&s->peers);
    shard_group_destroy(&s->group);
    io_destroy(s->io);
}

// Two free ports.
static void ports_find(uint16_t ports[2])
{
    struct io *io;
    struct io_config c = {.engine = IO_ENGINE_EPOLL};
    struct io_listener l[2] = {0};
    struct io_addr any;
    cr_assert_eq(io_create(&io, &c), RC_OK);
    cr_assert_eq(io_resolve(io, "127.0.0.1", 0, &any), RC_OK);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(io_listen(io, &l[i], &any, NULL), RC_OK);
        ports[i] = l[i].addr.port;
    }
    for (int i = 0; i < 2; i++)
        io_listener_close(&l[i]);
    io_destroy(io);
}

static void turns(struct side *a, struct side *b, int count)
{
    for (int i = 0; i < count; i++) {
        shard_turn(&a->group.shards[0], 500000);
        if (b)
            shard_turn(&b->group.shards[0], 500000);
    }
}

static void until_up(struct side *a, struct side *b)
{
    for (int i = 0; i < 4000 && !(peers_up(&a->peers, 2) && peers_up(&b->peers, 1)); i++)
        turns(a, b, 1);
    cr_assert(peers_up(&a->peers, 2) && peers_up(&b->peers, 1));
}

Test(peers, two_nodes_meet_whoever_starts_first_and_answers_come_back)
{
    static struct side a, b;
    uint16_t ports[2];
    ports_find(ports);
    side_open(&a, 1, ports);
    turns(&a, NULL, 50); // dials in vain
    side_open(&b, 2, ports);
    until_up(&a, &b);
    cr_assert_str_eq(peers_find(&a.peers, 2)->hello.cluster_id, "cluster");
    cr_assert_eq(peers_find(&a.peers, 2)->hello.peer_count, 2);
    for (int i = 1; i <= 3; i++) {
        struct broker_heartbeat_request m;
        broker_heartbeat_request_init(&m);
        m.applied = i;
        cr_assert_eq(peers_send(&a.peers, 2, &broker_heartbeat_request_message, 7, &m, i == 3 ? PEER_URGENT : PEER_BULK),
                     RC_OK);
    }
    for (int i = 0; i < 4000 && a.answers < 3; i++)
        turns(&a, &b, 1);
    cr_assert_eq(a.answers, 3);
    cr_assert_eq(b.applied[0], 3, "what is urgent overtakes");
    cr_assert_eq(b.applied[2], 2);
    cr_assert_eq(a.lost, 0);
    side_close(&b);
    for (int i = 0; i < 4000 && !a.lost; i++)
        turns(&a, NULL, 1);
    cr_assert_eq(a.lost, 1, "closed, and a new connection refused");
    struct broker_heartbeat_request m = {0};
    cr_assert_eq(peers_send(&a.peers, 2, &broker_heartbeat_request_message, 7, &m, PEER_BULK), RC_CLOSED);
    // Another process under that id: met again, and its first death is not told twice.
    side_open(&b, 2, ports);
    until_up(&a, &b);
    cr_assert_eq(a.lost, 1);
    side_close(&a);
    side_close(&b);
}

// Each side's list may be wrong: one that finds the other is enough, and a better address is taken up while the first
// one is tried in vain.
Test(peers, a_node_is_found_where_it_says_it_is)
{
    static struct side a, b;
    uint16_t ports[2], elsewhere[2];
    ports_find(ports);
    ports_find(elsewhere);
    side_open(&b, 2, ports); // knows where 1 is
    elsewhere[0] = ports[0];
    side_open(&a, 1, elsewhere); // does not know where 2 is
    b.says.listens = b.addresses[1].addr;
    until_up(&a, &b);
    cr_assert_eq(peers_find(&a.peers, 2)->source, PEER_TOLD);
    // It goes and is elsewhere, as its new registration says. That its old place is empty says no more than it did.
    side_close(&b);
    for (int i = 0; i < 4000 && !a.lost; i++)
        turns(&a, NULL, 1);
    cr_assert_eq(a.lost, 1);
    uint16_t moved[2];
    ports_find(moved);
    moved[0] = ports[0];
    side_open(&b, 2, moved);
    cr_assert_eq(peers_learn(&a.peers, 2, PEER_REGISTERED, &b.addresses[1].addr), RC_OK);
    until_up(&a, &b);
    cr_assert_eq(peers_find(&a.peers, 2)->source, PEER_REGISTERED);
    cr_assert_eq(a.lost, 1);
    // A third node that nobody listed.
    struct io_addr third = b.addresses[1].addr;
    third.port = 1;
    cr_assert_eq(peers_learn(&a.peers, 3, PEER_REGISTERED, &third), RC_OK);
    turns(&a, &b, 50);
    cr_assert_not(peers_up(&a.peers, 3));
    peers_forget(&a.peers, 3);
    cr_assert_null(peers_find(&a.peers, 3));
    peers_forget(&a.peers, 2); // of --peers: it stays
    cr_assert(peers_up(&a.peers, 2));
    side_close(&a);
    side_close(&b);
}

static void hear_of(struct side *s, int32_t node, const struct io_addr *at)
{
    struct hello_request_member known;
    struct hello_request m;
    struct peer_frame f;
    struct buf b;
    hello_request_member_init(&known);
    hello_request_init(&m);
    known.node = node;
    known.ip = bytes_of(at->ip, sizeof(at->ip));
    known.port = at->port;
    m.known = &known;
    m.known_count = 1;
    buf_init(&b, 1 << 16);
    cr_assert_eq(peer_frame_build(&hello_request_message, 0, &m, &b), RC_OK);
    cr_assert_eq(peer_frame_parse(bytes_of(b.p + 4, b.n - 4), &f), RC_OK);
    peers_known_take(&s->peers, &f);
    buf_deinit(&b);
}

// One who joins with a wrong address of the leader, whose own list does not name it, is told by others where the leader is.
Test(peers, hearsay_helps_where_a_list_is_wrong)
{
    static struct side a, b;
    uint16_t ports[2], elsewhere[2];
    ports_find(ports);
    ports_find(elsewhere);
    side_open(&b, 2, ports);
    side_open(&a, 1, elsewhere); // looks elsewhere for b, which does not find it either
    a.says.listens = a.addresses[0].addr;
    for (int i = 0; i < 200 && peers_find(&a.peers, 2)->tries < 2; i++)
        turns(&a, &b, 1);
    cr_assert_not(peers_up(&a.peers, 2));
    const struct io_addr right = b.addresses[1].addr;
    struct io_addr another = right;
    another.port = 1;
    hear_of(&a, 2, &right);
    hear_of(&a, 2, &another);
    cr_assert_eq(peers_find(&a.peers, 2)->known[PEER_TOLD].port, right.port, "the second says no more than the first");
    until_up(&a, &b);
    cr_assert_eq(peers_find(&a.peers, 2)->source, PEER_TOLD);
    cr_assert_eq(peers_learn(&a.peers, 7, PEER_REGISTERED, &another), RC_OK);
    hear_of(&a, 7, &right);
    cr_assert_eq(peers_find(&a.peers, 7)->addr.port, another.port, "it is registered where it is");
    side_close(&a);
    side_close(&b);
    // Reached where the list says: nobody knows better.
    side_open(&a, 1, ports);
    side_open(&b, 2, ports);
    until_up(&a, &b);
    hear_of(&a, 2, &another);
    cr_assert_neq(peers_find(&a.peers, 2)->known[PEER_TOLD].port, another.port);
    side_close(&a);
    side_close(&b);
}

// The machine of node 2 lost its power: the connection to its last process stands, and says nothing. Its next process
// connects.
Test(peers, what_is_open_to_an_earlier_process_is_given_up)
{
    static struct side a, b, next;
    uint16_t ports[2], elsewhere[2];
    ports_find(ports);
    ports_find(elsewhere);
    elsewhere[0] = ports[0];
    side_open(&a, 1, ports);
    side_open(&b, 2, ports);
    until_up(&a, &b);
    turns(&a, &b, 50);
    cr_assert_eq(a.fell, 0, "the same process on both connections");
    side_open(&next, 2, elsewhere);
    for (int i = 0; i < 4000 && !a.fell; i++)
        turns(&a, &next, 1);
    cr_assert_eq(a.fell, 1);
    cr_assert_eq(a.lost, 0, "who made it is told by the answer to the next one");
    until_up(&a, &b);
    side_close(&a);
    side_close(&b);
    side_close(&next);
}

// Nothing is sent to node 2, so only asking tells that it is gone.
Test(peers, who_is_asked_whether_it_lives_is_given_up_without_an_answer)
{
    static struct side a, b;
    uint16_t ports[2];
    ports_find(ports);
    side_open(&a, 1, ports);
    side_open(&b, 2, ports);
    cr_assert_not(peers_answers(&a.peers, 2), "it is not UP yet");
    until_up(&a, &b);
    struct peer *p = peers_find(&a.peers, 2);
    p->heard_ns = 0; // long ago
    cr_assert(peers_answers(&a.peers, 2));
    cr_assert_neq(p->echo_ns, 0, "asked");
    for (int i = 0; i < 4000 && p->echo_ns; i++)
        turns(&a, &b, 1);
    cr_assert_eq(p->echo_ns, 0, "answered");
    p->heard_ns = 0;
    cr_assert(peers_answers(&a.peers, 2));
    p->echo_ns = 1; // asked long ago
    cr_assert_not(peers_answers(&a.peers, 2));
    cr_assert_eq(a.fell, 0, "not inside the call");
    for (int i = 0; i < 4000 && !a.fell; i++)
        turns(&a, NULL, 1);
    cr_assert_eq(a.fell, 1);
    side_close(&a);
    side_close(&b);
}

Test(peers, an_echo_is_settled_by_its_answer_or_by_the_end_of_the_connection)
{
    static struct side a, b;
    uint16_t ports[2];
    ports_find(ports);
    side_open(&a, 1, ports);
    side_open(&b, 2, ports);
    cr_assert_eq(peers_ask_echo(&a.peers, 2), 0, "it is not UP yet");
    cr_assert_eq(peers_ask_echo(&a.peers, 9), 0, "nobody knows it");
    until_up(&a, &b);
    uint64_t first = peers_ask_echo(&a.peers, 2);
    cr_assert_neq(first, 0);
    cr_assert_eq(peers_ask_echo(&a.peers, 2), first, "one serves all who ask in a turn");
    cr_assert_not(peers_echo_settled(&a.peers, 2, first));
    turns(&a, NULL, 1);
    uint64_t second = peers_ask_echo(&a.peers, 2);
    cr_assert_gt(second, first, "this one may have died since");
    for (int i = 0; i < 4000 && !a.echoed; i++)
        turns(&a, &b, 1);
    cr_assert(peers_echo_settled(&a.peers, 2, first));
    for (int i = 0; i < 4000 && !peers_echo_settled(&a.peers, 2, second); i++)
        turns(&a, &b, 1);
    cr_assert(peers_echo_settled(&a.peers, 2, second));
    cr_assert_eq(a.echoed, 2);
    turns(&a, NULL, 1);
    uint64_t third = peers_ask_echo(&a.peers, 2);
    cr_assert_not(peers_echo_settled(&a.peers, 2, third));
    side_close(&b);
    for (int i = 0; i < 4000 && !a.fell; i++)
        turns(&a, NULL, 1);
    cr_assert_eq(a.fell, 1);
    cr_assert(peers_echo_settled(&a.peers, 2, third));
    cr_assert_eq(a.echoed, 2);
    side_close(&a);
}

Test(peers, another_cluster_is_told_why)
{
    static struct side a, b;
    uint16_t ports[2];
    ports_find(ports);
    side_open(&a, 1, ports);
    side_open(&b, 2, ports);
    strcpy(b.says.cluster_id, "another");
    for (int i = 0; i < 4000 && !(peers_find(&a.peers, 2)->refusal[0] && peers_find(&b.peers, 1)->refusal[0]); i++)
        turns(&a, &b, 1);
    cr_assert(strstr(peers_find(&a.peers, 2)->refusal, "belongs to cluster"));
    cr_assert(strstr(peers_find(&b.peers, 1)->refusal, "belongs to cluster"));
    cr_assert_not(peers_up(&a.peers, 2));
    cr_assert_eq(a.lost + b.lost, 0);
    side_close(&a);
    side_close(&b);
}

Test(peers, strangers_and_nonsense_are_cut_off)
{
    static struct side a, b;
    uint16_t ports[2];
    ports_find(ports);
    side_open(&a, 1, ports);
    side_open(&b, 2, ports);
    until_up(&a, &b);
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        {"GET / HTTP/1.1\r\n\r\n", 18},                                             // a length beyond the limit
        {"\0\0\0\2ab", 6},                                                          // a frame too short for its head
        {"\0\0\0\x0b\x03\xef\0\0\0\0\0\1\xff\xff\0", 15},                           // a heartbeat before Hello
        {"\0\0\0\x0f\x03\xe8\0\0\0\0\0\1\xff\xff\0\xff\xff\xff\xff", 19},           // a Hello cut short
    };
    for (size_t k = 0; k < ARRAY_COUNT(bad); k++) {
        struct peer_link l = {0};
        struct io_sock s = {0};
        cr_assert_eq(io_sock_connect(b.io, &s, &a.addresses[0].addr, NULL), RC_OK);
        (void)l;
        struct iovec v = {.iov_base = (void *)(uintptr_t)bad[k].bytes, .iov_len = bad[k].n};
        size_t sent = 0, got = 0;
        turns(&a, &b, 2);
        cr_assert_eq(io_sock_send(&s, &v, 1, &sent), RC_OK);
        enum rc rc = RC_AGAIN;
        char c;
        for (int i = 0; i < 4000 && rc == RC_AGAIN; i++) {
            turns(&a, &b, 1);
            rc = io_sock_recv(&s, &c, 1, &got);
        }
        cr_assert(rc == RC_EOF || rc == RC_RESET, "case %zu: %s", k, rc_name(rc));
        io_sock_close(&s);
    }
    cr_assert(peers_up(&a.peers, 2));
    side_close(&a);
    side_close(&b);
}
