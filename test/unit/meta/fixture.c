// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"

#include <criterion/criterion.h>

#include "meta/snapshot.h"

void fixture_uuid(void *context, struct uuid *out)
{
    struct fixture *f = context;
    *out = (struct uuid){{0xaa}};
    put_be64(out->b + 8, ++f->uuids * 0x9e3779b97f4a7c15u);
}

void fixture_open(struct fixture *f)
{
    *f = (struct fixture){.image = image_create()};
    prng_init(&f->prng, 5);
    buf_init(&f->log, SIZE_MAX);
    arena_init(&f->arena, SIZE_MAX / 2, NULL, 0);
}

void fixture_close(struct fixture *f)
{
    image_unref(f->image);
    buf_deinit(&f->log);
    arena_deinit(&f->arena);
}

static void commit(struct fixture *f, struct controller_batch *b)
{
    f->index++;
    buf_put_be64(&f->log, f->index);
    buf_put_be32(&f->log, (uint32_t)b->records.n);
    buf_append(&f->log, b->records.p, b->records.n);
    struct image *next = image_begin(f->image);
    struct bytes rest = buf_bytes(&b->records); // in pieces, as a node does
    do
        cr_assert_eq(image_apply_some(next, &rest, next->cost + 20000, f->index, 3), RC_OK);
    while (rest.n > 0);
    // What was decided against is what comes out.
    b->view->index = next->index;
    b->view->term = next->term;
    cr_assert(image_equal(next, b->view));
    image_unref(f->image);
    f->image = next;
}

enum rc fixture_decide(struct fixture *f, enum controller_kind kind, const void *request, void *answer)
{
    struct controller_env env = {
        .prng = &f->prng, .self = 1, .properties = f->properties, .new_uuid = fixture_uuid, .context = f};
    struct controller_progress progress = {0};
    enum rc rc;
    do {
        struct controller_batch b;
        cr_assert_eq(controller_batch_begin(&b, f->image, f->index + 1, 3), RC_OK);
        do
            rc = controller_decide(&b, &env, kind, request, answer, &progress, &f->arena);
        while (b.draft);
        if (b.record_count > 0)
            commit(f, &b);
        controller_batch_end(&b);
    } while (rc == RC_AGAIN);
    return rc;
}

int64_t fixture_node(struct fixture *f, int32_t id, const char *rack)
{
    struct image_listener l = {.name = "PLAINTEXT", .host = "host", .port = 9092};
    struct uuid directory = {{1}};
    directory.b[15] = (uint8_t)id;
    struct controller_registration r = {.node = id,
                                        .rack = rack ? bytes_str(rack) : (struct bytes){0},
                                        .listeners = &l,
                                        .listener_count = 1,
                                        .directories = &directory,
                                        .directory_count = 1,
                                        .logs_whole = true};
    fixture_uuid(f, &r.incarnation);
    cr_assert_eq(fixture_decide(f, CONTROLLER_REGISTER, &r, &r), RC_OK);
    struct controller_node_state s = {.node = id, .broker_epoch = r.broker_epoch};
    cr_assert_eq(fixture_decide(f, CONTROLLER_NODE_STATE, &s, &s), RC_OK);
    return r.broker_epoch;
}

const struct create_topics_response_topic *fixture_create(struct fixture *f, const char *name, int32_t partitions,
                                                          int16_t factor)
{
    struct create_topics_request in;
    struct create_topics_request_topic t;
    struct create_topics_response *out = arena_alloc(&f->arena, sizeof(*out));
    create_topics_request_init(&in);
    create_topics_request_topic_init(&t);
    t.name = bytes_str(name);
    t.num_partitions = partitions;
    t.replication_factor = factor;
    in.topics = &t;
    in.topics_count = 1;
    cr_assert_eq(fixture_decide(f, CONTROLLER_CREATE_TOPICS, &in, out), RC_OK);
    cr_assert_eq(out->topics_count, 1);
    return &out->topics[0];
}

const struct image *fixture_replay(const struct fixture *f)
{
    struct image *i = image_create();
    for (size_t at = 0; at < f->log.n;) {
        uint64_t index = be64(f->log.p + at);
        uint32_t n = be32(f->log.p + at + 8);
        cr_assert_eq(image_apply_entry(i, bytes_of(f->log.p + at + 12, n), index, 3), RC_OK);
        at += 12 + n;
    }
    return i;
}

const struct image *fixture_through_snapshot(const struct image *i, size_t piece_bytes)
{
    struct image *out = image_create();
    out->index = i->index;
    out->term = i->term;
    struct snapshot_writer w;
    snapshot_writer_init(&w, i);
    struct buf b;
    buf_init(&b, SIZE_MAX);
    enum rc rc;
    do {
        b.n = 0;
        rc = snapshot_write(&w, piece_bytes, &b);
        cr_assert(rc == RC_OK || rc == RC_EOF);
        cr_assert_eq(snapshot_load(out, buf_bytes(&b), i->index, i->term), RC_OK);
    } while (rc == RC_OK);
    buf_deinit(&b);
    return out;
}
