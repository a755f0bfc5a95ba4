// SPDX-License-Identifier: Apache-2.0
//
// One connection against a broker that answers late, wrong, in another order or not at all.
#include <criterion/criterion.h>
#include <string.h>

#include "fake_broker.h"

static struct fake_broker fake;
static struct client_connection connection;

struct call {
    struct client_request request;
    struct list_offsets_request in;
    bool done;
    enum rc rc;
    int64_t throttle_ms;
};

static void on_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct call *c = container_of(r, struct call, request);
    c->done = true;
    c->rc = rc;
    if (rc != RC_OK)
        return;
    struct list_offsets_response answer;
    struct arena a;
    struct dec d = dec_of(body);
    arena_init(&a, 1 << 16, NULL, 0);
    cr_assert_eq(list_offsets_response_decode(&d, r->version, &a, &answer), RC_OK);
    c->throttle_ms = answer.throttle_time_ms;
    arena_deinit(&a);
}

static void submit(struct call *c, uint32_t timeout_ms)
{
    memset(c, 0, sizeof(*c));
    client_request_init(&c->request, &list_offsets_request_message, timeout_ms);
    list_offsets_request_init(&c->in);
    c->request.in = &c->in;
    c->request.done = on_done;
    client_connection_submit(&connection, &c->request);
}

static void wait_for(struct call *c)
{
    uint64_t until = io_clock_ns(fake.io) + UINT64_C(5000000000);
    while (!c->done && io_clock_ns(fake.io) < until)
        shard_turn(fake.shard, 10 * 1000 * 1000);
    cr_assert(c->done, "nothing came in five seconds");
    client_request_deinit(&c->request);
}

static void open_both(fake_handler_fn handler)
{
    fake_broker_open(&fake);
    fake.handler = handler;
    client_connection_init(&connection, fake.shard, "127.0.0.1", fake.listener.addr.port, "test", "1.0+dirty");
}

static void close_both(void)
{
    client_connection_deinit(&connection);
    fake_broker_close(&fake);
}

static void answer_counted(struct fake_broker *f, const struct fake_request *r)
{
    struct list_offsets_response answer;
    list_offsets_response_init(&answer);
    answer.throttle_time_ms = ++*(int32_t *)f->owner;
    fake_broker_answer(f, r, &list_offsets_response_message, &answer);
}

Test(connection, answers_meet_their_requests_in_order)
{
    static struct call calls[20];
    int32_t count = 0;
    open_both(answer_counted);
    fake.owner = &count;
    for (int i = 0; i < 20; i++)
        submit(&calls[i], 1000);
    for (int i = 0; i < 20; i++)
        wait_for(&calls[i]);
    for (int i = 0; i < 20; i++)
        cr_assert(calls[i].rc == RC_OK && calls[i].throttle_ms == i + 1);
    cr_assert_eq(fake.accepted, 1);
    cr_assert_eq(connection.in_flight, 0);
    close_both();
}

Test(connection, an_older_broker_is_asked_again_in_its_own_version)
{
    static struct call c;
    int32_t count = 0;
    open_both(answer_counted);
    fake.owner = &count;
    fake.hello_version_max = 2;
    submit(&c, 1000);
    wait_for(&c);
    cr_assert_eq(c.rc, RC_OK);
    cr_assert_eq(connection.versions[18].max, 2);
    close_both();
}

Test(connection, silence_times_out_and_takes_the_connection_down)
{
    static struct call first, second;
    open_both(NULL);
    submit(&first, 100);
    submit(&second, 5000);
    wait_for(&first);
    wait_for(&second);
    cr_assert_eq(first.rc, RC_TIMED_OUT);
    cr_assert_neq(second.rc, RC_OK, "what was behind it has no answer either");
    cr_assert_eq(connection.state, CLIENT_DOWN);
    close_both();
}

static void cut(struct fake_broker *f, const struct fake_request *r)
{
    (void)r;
    fake_broker_cut(f);
}

Test(connection, comes_back_after_a_cut)
{
    static struct call c;
    int32_t count = 0;
    open_both(cut);
    submit(&c, 2000);
    wait_for(&c);
    cr_assert_eq(c.rc, RC_RESET);
    fake.handler = answer_counted;
    fake.owner = &count;
    submit(&c, 2000); // waits for the backoff, then connects again
    wait_for(&c);
    cr_assert_eq(c.rc, RC_OK);
    cr_assert_eq(fake.accepted, 2);
    close_both();
}

static void answer_stranger(struct fake_broker *f, const struct fake_request *r)
{
    struct fake_request wrong = *r;
    struct list_offsets_response answer;
    list_offsets_response_init(&answer);
    wrong.correlation_id += 1000;
    fake_broker_answer(f, &wrong, &list_offsets_response_message, &answer);
}

Test(connection, an_answer_to_something_else_is_malformed)
{
    static struct call c;
    open_both(answer_stranger);
    submit(&c, 1000);
    wait_for(&c);
    cr_assert_eq(c.rc, RC_MALFORMED);
    close_both();
}

Test(connection, nobody_there)
{
    static struct call c;
    open_both(NULL);
    io_listener_close(&fake.listener);
    submit(&c, 1000);
    wait_for(&c);
    cr_assert(c.rc == RC_REFUSED || c.rc == RC_RESET);
    client_connection_deinit(&connection);
    shard_group_destroy(&fake.group);
    io_destroy(fake.io);
}

Test(connection, what_is_under_way_is_given_back_at_the_end)
{
    static struct call c;
    open_both(NULL);
    submit(&c, 60000);
    for (int i = 0; i < 20; i++)
        shard_turn(fake.shard, 1000 * 1000);
    client_connection_deinit(&connection);
    cr_assert(c.done && c.rc == RC_CLOSED);
    client_request_deinit(&c.request);
    fake_broker_close(&fake);
}

Test(connection, holes_leave_where_they_belong_even_in_pieces)
{
    static uint8_t data[3][5] = {"abcde", "fghij", "klmno"};
    struct produce_request in;
    struct produce_request_topic_data topic = {.name = bytes_str("t")};
    struct produce_request_partition_data partitions[3];
    struct client_request r;
    struct enc_hole holes[3];
    uint8_t whole[512], pieces[512];
    client_request_init(&r, &produce_request_message, 1000);
    produce_request_init(&in);
    for (int i = 0; i < 3; i++)
        partitions[i] =
            (struct produce_request_partition_data){.index = i, .records = {.bytes = {.n = 5}, .hole = data[i]}};
    topic.partition_data = partitions;
    topic.partition_data_count = 3;
    in.topic_data = &topic;
    in.topic_data_count = 1;
    r.in = &in;
    r.holes = holes;
    r.holes_max = 3;
    r.version = 9;
    cr_assert_eq(client_request_encode(&r, 1, bytes_str("c")), RC_OK);
    struct iovec vecs[16];
    size_t n = 0;
    unsigned count = client_request_vecs(&r, vecs, 16);
    for (unsigned i = 0; i < count; i++) {
        memcpy(whole + n, vecs[i].iov_base, vecs[i].iov_len);
        n += vecs[i].iov_len;
    }
    cr_assert_eq(n, r.wire_bytes);
    cr_assert_eq(be32(whole), n - 4);
    cr_assert_not_null(memmem(whole, n, "fghij", 5));
    for (size_t at = 0; at < n; at++) { // as if every send took one byte, of at most two vectors
        r.sent_bytes = at;
        count = client_request_vecs(&r, vecs, 2);
        cr_assert(count >= 1 && vecs[0].iov_len >= 1);
        pieces[at] = *(uint8_t *)vecs[0].iov_base;
    }
    cr_assert_eq(memcmp(whole, pieces, n), 0);
    client_request_deinit(&r);
}
