// SPDX-License-Identifier: Apache-2.0
#include "fake_broker.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void send_bytes(struct fake_connection *k, const uint8_t *p, size_t n)
{
    while (n > 0) {
        struct iovec v = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
        size_t sent = 0;
        cr_assert_eq(io_sock_send(&k->sock, &v, 1, &sent), RC_OK, "test answers fit into a socket buffer");
        p += sent;
        n -= sent;
    }
}

static void send_answer(const struct fake_request *r, const struct schema_message *m, int16_t version,
                        const void *answer)
{
    struct buf b;
    struct enc e;
    buf_init(&b, 1 << 24);
    enc_init(&e, &b, NULL, 0);
    enc_i32(&e, 0);
    enc_i32(&e, r->correlation_id);
    if (schema_flexible(m, version) && m->key != 18)
        enc_uvarint(&e, 0);
    schema_encode(m, &e, version, answer);
    cr_assert(enc_ok(&e));
    put_be32(b.p, (uint32_t)(b.n - 4));
    send_bytes(r->from, b.p, b.n);
    buf_deinit(&b);
}

void fake_broker_answer(struct fake_broker *f, const struct fake_request *r, const struct schema_message *m,
                        const void *answer)
{
    (void)f;
    send_answer(r, m, r->version, answer);
}

static void answer_versions(struct fake_broker *f, const struct fake_request *r)
{
    struct api_versions_response_api_key keys[CLIENT_API_KEYS_MAX];
    struct api_versions_response answer;
    uint32_t n = 0;
    api_versions_response_init(&answer);
    for (size_t i = 0; i < sizeof(kafka_requests) / sizeof(kafka_requests[0]); i++) {
        api_versions_response_api_key_init(&keys[n]);
        keys[n].api_key = kafka_requests[i]->key;
        keys[n].min_version = kafka_requests[i]->version_min;
        keys[n].max_version = kafka_requests[i]->version_max;
        if (keys[n].api_key == 18)
            keys[n].max_version = f->hello_version_max;
        n++;
    }
    answer.api_keys = keys;
    answer.api_keys_count = n;
    if (r->version > f->hello_version_max) {
        for (uint32_t i = 0; i < n; i++)
            if (keys[i].api_key == 18)
                answer.api_keys = &keys[i];
        answer.api_keys_count = 1;
        answer.error_code = 35;
        send_answer(r, &api_versions_response_message, 0, &answer);
        return;
    }
    fake_broker_answer(f, r, &api_versions_response_message, &answer);
}

static void answer_metadata(struct fake_broker *f, const struct fake_request *r)
{
    static struct metadata_response_partition partitions[64];
    struct metadata_response answer;
    struct metadata_response_broker broker;
    struct metadata_response_topic topic;
    metadata_response_init(&answer);
    metadata_response_broker_init(&broker);
    metadata_response_topic_init(&topic);
    broker.node_id = 7;
    broker.host = bytes_str("127.0.0.1");
    broker.port = f->listener.addr.port;
    topic.name = bytes_str("t");
    topic.topic_id = (struct uuid){.b = {1, 2, 3}};
    for (int32_t i = 0; i < f->partition_count; i++) {
        metadata_response_partition_init(&partitions[i]);
        partitions[i].partition_index = i;
        partitions[i].leader_id = 7;
    }
    topic.partitions = partitions;
    topic.partitions_count = (uint32_t)f->partition_count;
    answer.brokers = &broker;
    answer.brokers_count = 1;
    answer.controller_id = 7;
    answer.topics = &topic;
    answer.topics_count = 1;
    fake_broker_answer(f, r, &metadata_response_message, &answer);
}

static void take_request(struct fake_connection *k, struct bytes frame)
{
    struct fake_broker *f = k->broker;
    struct dec d = dec_of(frame);
    struct fake_request r = {.from = k, .key = dec_i16(&d), .version = dec_i16(&d), .correlation_id = dec_i32(&d)};
    dec_string(&d, false, true);
    const struct schema_message *m =
        schema_find(kafka_requests, sizeof(kafka_requests) / sizeof(kafka_requests[0]), r.key);
    cr_assert_not_null(m);
    if (schema_flexible(m, r.version))
        dec_skip_tags(&d);
    cr_assert_not(d.bad);
    r.body = bytes_of(d.p, dec_left(&d));
    if (r.key == 18)
        answer_versions(f, &r);
    else if (r.key == 3)
        answer_metadata(f, &r);
    else if (f->handler)
        f->handler(f, &r);
}

static void hang_up(struct fake_connection *k)
{
    if (k->open)
        io_sock_close(&k->sock);
    k->open = false;
}

static void on_ready(struct io_sock *s, unsigned events)
{
    struct fake_connection *k = s->private_data;
    size_t got = 0;
    enum rc rc;
    (void)events;
    while ((rc = io_sock_recv(s, k->in + k->in_bytes, sizeof(k->in) - k->in_bytes, &got)) == RC_OK) {
        k->in_bytes += got;
        while (k->open && k->in_bytes >= 4 && k->in_bytes >= be32(k->in) + 4) {
            size_t n = be32(k->in);
            take_request(k, bytes_of(k->in + 4, n));
            k->in_bytes -= n + 4;
            memmove(k->in, k->in + n + 4, k->in_bytes);
        }
        if (!k->open)
            return;
    }
    if (rc != RC_AGAIN)
        hang_up(k);
}

static void on_accept(struct io_listener *l, int fd, const struct io_addr *peer)
{
    struct fake_broker *f = l->private_data;
    (void)peer;
    f->accepted++;
    struct fake_connection *k = f->connections;
    while (k->open)
        k++;
    cr_assert_lt(k - f->connections, FAKE_CONNECTIONS_MAX);
    cr_assert_eq(io_sock_adopt(f->io, &k->sock, fd, on_ready), RC_OK);
    k->broker = f;
    k->sock.private_data = k;
    k->open = true;
    k->in_bytes = 0;
    io_sock_want(&k->sock, IO_READABLE);
}

void fake_broker_open(struct fake_broker *f)
{
    struct io_config config = {0};
    struct io_addr addr;
    f->hello_version_max = 4;
    f->partition_count = 3;
    cr_assert_eq(io_create(&f->io, &config), RC_OK);
    cr_assert_eq(shard_group_create(&f->group, &f->io, 1, 16, NULL), RC_OK);
    f->shard = &f->group.shards[0];
    cr_assert_eq(io_resolve(f->io, "127.0.0.1", 0, &addr), RC_OK);
    cr_assert_eq(io_listen(f->io, &f->listener, &addr, on_accept), RC_OK);
    f->listener.private_data = f;
    snprintf(f->address, sizeof(f->address), "127.0.0.1:%u", f->listener.addr.port);
}

void fake_broker_cut(struct fake_broker *f)
{
    for (size_t i = 0; i < FAKE_CONNECTIONS_MAX; i++)
        hang_up(&f->connections[i]);
}

void fake_broker_close(struct fake_broker *f)
{
    fake_broker_cut(f);
    io_listener_close(&f->listener);
    shard_group_destroy(&f->group);
    io_destroy(f->io);
}

void fake_broker_client(struct fake_broker *f, struct client *c, struct client_topic **t)
{
    struct client_config config = {
        .bootstrap = f->address, .client_id = "test", .software_version = "1", .timeout_ms = 1000};
    cr_assert_eq(client_init(c, f->shard, &config), RC_OK);
    cr_assert_eq(client_connect(c), RC_OK, "%s", c->error);
    *t = client_topic(c, "t");
    cr_assert_eq(client_topic_wait(c, *t, false), RC_OK, "%s", c->error);
}
