// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/assert.h"
#include "fill.h"
#include "wire/messages.h"
#include "wire/peer_messages.h"

enum { ROUNDS = 20, OUT_BYTES = 4096, ARENA_BYTES = 1 << 22 };

struct fixture {
    struct arena arena;
    struct buf first, second;
    union {
        uint8_t bytes[OUT_BYTES];
        max_align_t align;
    } filled, decoded;
};

static void fixture_init(struct fixture *x)
{
    arena_init(&x->arena, ARENA_BYTES, NULL, 0);
    buf_init(&x->first, 1 << 24);
    buf_init(&x->second, 1 << 24);
}

static void fixture_deinit(struct fixture *x)
{
    arena_deinit(&x->arena);
    buf_deinit(&x->first);
    buf_deinit(&x->second);
}

static void encode(const struct schema_message *m, struct buf *out, int16_t version, const void *in)
{
    struct enc e;
    out->n = 0;
    enc_init(&e, out, NULL, 0);
    schema_encode(m, &e, version, in);
    cr_assert(enc_ok(&e), "%s v%d", m->name, version);
}

// The bytes in memory of exactly their size, so that a sanitizer sees any read beyond them.
static enum rc decode_exact(const struct schema_message *m, struct bytes in, int16_t version, struct arena *a,
                            void *out, size_t *left)
{
    uint8_t *copy = malloc(in.n ? in.n : 1);
    if (in.n)
        memcpy(copy, in.p, in.n);
    struct dec d = dec_of(bytes_of(copy, in.n));
    enum rc rc = schema_decode(m, &d, version, a, out);
    *left = rc == RC_OK ? dec_left(&d) : 0;
    free(copy);
    return rc;
}

typedef void check_fn(struct fixture *x, const struct schema_message *m, int16_t version);

static void each_version(check_fn *check)
{
    struct fixture *x = calloc(1, sizeof(*x));
    struct prng random;
    prng_init(&random, 7);
    fixture_init(x);
    for (size_t i = 0; i < ARRAY_COUNT(kafka_messages) + ARRAY_COUNT(peer_messages); i++) {
        const struct schema_message *m =
            i < ARRAY_COUNT(kafka_messages) ? kafka_messages[i] : peer_messages[i - ARRAY_COUNT(kafka_messages)];
        cr_assert_leq(schema_size(m), OUT_BYTES);
        for (int16_t v = m->version_min; v <= m->version_max; v++) {
            for (int round = 0; round < ROUNDS; round++) {
                arena_reset(&x->arena);
                fill_message(m, v, &random, &x->arena, x->filled.bytes);
                encode(m, &x->first, v, x->filled.bytes);
                check(x, m, v);
            }
        }
    }
    fixture_deinit(x);
    free(x);
}

static void check_round_trip(struct fixture *x, const struct schema_message *m, int16_t v)
{
    struct dec d = dec_of(buf_bytes(&x->first));
    enum rc rc = schema_decode(m, &d, v, &x->arena, x->decoded.bytes);
    cr_assert_eq(rc, RC_OK, "%s v%d: %s", m->name, v, rc_name(rc));
    cr_assert_eq(dec_left(&d), 0, "%s v%d", m->name, v);
    encode(m, &x->second, v, x->decoded.bytes);
    cr_assert(bytes_eq(buf_bytes(&x->first), buf_bytes(&x->second)), "%s v%d", m->name, v);
}

Test(schema, every_message_in_every_version_survives_a_round_trip)
{
    each_version(check_round_trip);
}

static void check_prefixes(struct fixture *x, const struct schema_message *m, int16_t v)
{
    size_t step = x->first.n / 64 + 1, left;
    for (size_t n = 0; n < x->first.n; n += step) {
        enum rc rc = decode_exact(m, bytes_of(x->first.p, n), v, &x->arena, x->decoded.bytes, &left);
        cr_assert_eq(rc, RC_MALFORMED, "%s v%d cut at %zu of %zu", m->name, v, n, x->first.n);
    }
}

Test(schema, a_message_cut_anywhere_is_malformed)
{
    each_version(check_prefixes);
}

static void check_damage(struct fixture *x, const struct schema_message *m, int16_t v)
{
    size_t left;
    for (size_t i = 0; i < x->first.n; i += x->first.n / 16 + 1) {
        x->first.p[i] ^= 0xff;
        enum rc rc = decode_exact(m, buf_bytes(&x->first), v, &x->arena, x->decoded.bytes, &left);
        cr_assert(rc == RC_OK || rc == RC_MALFORMED || rc == RC_NOMEM, "%s", rc_name(rc));
        x->first.p[i] ^= 0xff;
    }
}

Test(schema, damage_is_answered_and_never_read_beyond)
{
    each_version(check_damage);
}

Test(schema, init_sets_the_defaults_that_zeros_would_break)
{
    struct fetch_response_partition *p;
    struct fixture x;
    fixture_init(&x);
    uint8_t wire[] = {0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 1,          // one topic, one partition
                      0, 0, 0, 5, 0, 0, 0,   0, 0, 0, 0, 0, 0, 9, // index, error, high watermark
                      0, 0, 0, 0};                                // no records
    struct dec d = dec_of(bytes_of(wire, sizeof(wire)));
    struct fetch_response m;
    cr_assert_eq(fetch_response_decode(&d, 0, &x.arena, &m), RC_OK);
    cr_assert_eq(m.responses_count, 1);
    p = &m.responses[0].partitions[0];
    cr_assert_eq(p->partition_index, 5);
    cr_assert_eq(p->high_watermark, 9);
    cr_assert_eq(p->preferred_read_replica, -1);
    cr_assert_eq(p->last_stable_offset, -1);
    cr_assert_eq(p->current_leader.leader_epoch, -1);
    cr_assert_not_null(p->records.bytes.p);
    struct create_topics_request create;
    create_topics_request_init(&create);
    cr_assert_eq(create.timeout_ms, 60000);
    struct metadata_request ask;
    metadata_request_init(&ask);
    cr_assert(ask.allow_auto_topic_creation);
    cr_assert_not_null(ask.topics, "empty, not null: null asks for every topic");
    fixture_deinit(&x);
}

Test(schema, null_and_empty_differ_where_the_version_can_tell)
{
    struct fixture x;
    fixture_init(&x);
    struct metadata_request in, out;
    metadata_request_init(&in);
    in.topics = NULL;
    for (int16_t v = 0; v <= 12; v++) {
        for (int null = 0; null < 2; null++) {
            in.topics = null ? NULL : arena_alloc(&x.arena, 0);
            encode(&metadata_request_message, &x.first, v, &in);
            struct dec d = dec_of(buf_bytes(&x.first));
            cr_assert_eq(metadata_request_decode(&d, v, &x.arena, &out), RC_OK);
            cr_assert_eq(out.topics == NULL, null && v >= 1, "v%d", v);
            cr_assert_eq(out.topics_count, 0);
        }
    }
    fixture_deinit(&x);
}

Test(schema, null_where_the_version_forbids_it_is_malformed)
{
    struct fixture x;
    fixture_init(&x);
    uint8_t null_topics[] = {0xff, 0xff, 0xff, 0xff};
    struct metadata_request out;
    struct dec d = dec_of(bytes_of(null_topics, 4));
    cr_assert_eq(metadata_request_decode(&d, 0, &x.arena, &out), RC_MALFORMED);
    uint8_t null_name[] = {0xff, 0xff};
    struct sasl_handshake_request sasl;
    d = dec_of(bytes_of(null_name, 2));
    cr_assert_eq(sasl_handshake_request_decode(&d, 1, &x.arena, &sasl), RC_MALFORMED);
    fixture_deinit(&x);
}

Test(schema, a_count_is_held_against_the_bytes_before_memory_is_spent)
{
    struct fixture x;
    fixture_init(&x);
    uint8_t wire[] = {0x7f, 0xff, 0xff, 0xff, 0, 1, 't'};
    struct metadata_request out;
    struct dec d = dec_of(bytes_of(wire, sizeof(wire)));
    cr_assert_eq(metadata_request_decode(&d, 1, &x.arena, &out), RC_MALFORMED);
    cr_assert_eq(x.arena.used_bytes, 0);
    fixture_deinit(&x);
}

Test(schema, the_arena_limit_is_an_answer)
{
    struct fixture x;
    fixture_init(&x);
    uint8_t wire[4 + 3 * 100] = {0, 0, 0, 100};
    for (size_t i = 0; i < 100; i++)
        memcpy(wire + 4 + 3 * i, "\0\1t", 3);
    struct arena small;
    arena_init(&small, 1000, NULL, 0);
    struct metadata_request out;
    struct dec d = dec_of(bytes_of(wire, sizeof(wire)));
    cr_assert_eq(metadata_request_decode(&d, 1, &small, &out), RC_NOMEM);
    d = dec_of(bytes_of(wire, sizeof(wire)));
    cr_assert_eq(metadata_request_decode(&d, 1, &x.arena, &out), RC_OK);
    cr_assert_eq(out.topics_count, 100);
    arena_deinit(&small);
    fixture_deinit(&x);
}

Test(schema, unknown_tags_are_skipped_and_known_tags_use_up_their_size)
{
    struct fixture x;
    fixture_init(&x);
    struct api_versions_response out;
    // error 0, no keys, throttle 0, tags: 9 unknown {aa bb}, 1 finalized_features_epoch = 5
    uint8_t wire[] = {0, 0, 1, 0, 0, 0, 0, 2, 9, 2, 0xaa, 0xbb, 1, 8, 0, 0, 0, 0, 0, 0, 0, 5};
    struct dec d = dec_of(bytes_of(wire, sizeof(wire)));
    cr_assert_eq(api_versions_response_decode(&d, 3, &x.arena, &out), RC_OK);
    cr_assert_eq(out.finalized_features_epoch, 5);
    cr_assert_eq(dec_left(&d), 0);
    uint8_t longer[] = {0, 0, 1, 0, 0, 0, 0, 1, 1, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0};
    d = dec_of(bytes_of(longer, sizeof(longer)));
    cr_assert_eq(api_versions_response_decode(&d, 3, &x.arena, &out), RC_MALFORMED);
    fixture_deinit(&x);
}

Test(schema, default_tags_are_left_out_and_long_ones_carry_a_long_size)
{
    struct fixture x;
    fixture_init(&x);
    struct api_versions_response m, out;
    api_versions_response_init(&m);
    encode(&api_versions_response_message, &x.first, 3, &m);
    uint8_t bare[] = {0, 0, 1, 0, 0, 0, 0, 0};
    cr_assert(bytes_eq(buf_bytes(&x.first), bytes_of(bare, sizeof(bare))));
    struct api_versions_response_supported_feature features[60] = {0};
    for (size_t i = 0; i < ARRAY_COUNT(features); i++)
        features[i] = (struct api_versions_response_supported_feature){bytes_str("name"), 1, (int16_t)i};
    m.supported_features = features;
    m.supported_features_count = ARRAY_COUNT(features);
    encode(&api_versions_response_message, &x.first, 3, &m);
    struct dec d = dec_of(buf_bytes(&x.first));
    cr_assert_eq(api_versions_response_decode(&d, 3, &x.arena, &out), RC_OK);
    cr_assert_eq(out.supported_features_count, 60);
    cr_assert_eq(out.supported_features[59].max_version, 59);
    cr_assert_eq(out.finalized_features_epoch, -1);
    fixture_deinit(&x);
}

// weir's own tags lie far above Kafka's; a reader that does not know them gets past them.
Test(schema, tags_of_our_own_are_written_and_can_be_skipped)
{
    struct fixture x;
    fixture_init(&x);
    struct describe_groups_request m, out;
    describe_groups_request_init(&m);
    m.include_events = true;
    encode(&describe_groups_request_message, &x.first, 5, &m);
    uint8_t wire[] = {1, 0, 1, 0x90, 0x4e, 1, 1}; // no groups, no operations, one tag: 10000, one byte, true
    cr_assert(bytes_eq(buf_bytes(&x.first), bytes_of(wire, sizeof(wire))));
    struct dec d = dec_of(bytes_of(wire, sizeof(wire)));
    cr_assert_eq(describe_groups_request_decode(&d, 5, &x.arena, &out), RC_OK);
    cr_assert(out.include_events);
    wire[3] ^= 1; // 10001, which nobody knows
    d = dec_of(bytes_of(wire, sizeof(wire)));
    cr_assert_eq(describe_groups_request_decode(&d, 5, &x.arena, &out), RC_OK);
    cr_assert_not(out.include_events);
    cr_assert_eq(dec_left(&d), 0);
    encode(&describe_groups_request_message, &x.first, 4, &m); // not flexible: no place for it
    cr_assert_eq(x.first.n, 5);
    fixture_deinit(&x);
}

Test(schema, versions_outside_the_range_are_refused)
{
    struct fixture x;
    fixture_init(&x);
    struct dec d = dec_of(bytes_str("x"));
    struct heartbeat_request out;
    cr_assert_eq(heartbeat_request_decode(&d, -1, &x.arena, &out), RC_UNSUPPORTED_VERSION);
    cr_assert_eq(heartbeat_request_decode(&d, 5, &x.arena, &out), RC_UNSUPPORTED_VERSION);
    fixture_deinit(&x);
}

Test(schema, records_with_a_hole_are_counted_and_not_copied)
{
    struct fixture x;
    fixture_init(&x);
    static const char token[] = "range";
    struct fetch_response_partition parts[2];
    struct fetch_response_response topic;
    struct fetch_response m;
    schema_init(&fetch_response_message, &m);
    memset(&topic, 0, sizeof(topic));
    topic.topic = bytes_str("t");
    topic.partitions = parts;
    topic.partitions_count = 2;
    m.responses = &topic;
    m.responses_count = 1;
    for (int i = 0; i < 2; i++)
        parts[i] = (struct fetch_response_partition){.partition_index = i,
                                                     .records = {.bytes = {.n = 1000u + (size_t)i}, .hole = token}};
    struct enc_hole holes[2];
    struct enc e;
    enc_init(&e, &x.first, holes, 2);
    fetch_response_encode(&e, 4, &m);
    cr_assert(enc_ok(&e));
    cr_assert_eq(e.hole_count, 2);
    cr_assert_eq(e.hole_bytes, 2001);
    cr_assert_eq(holes[1].at, x.first.n);
    cr_assert_eq(holes[1].token, token);
    cr_assert_eq(be32(x.first.p + holes[0].at - 4), 1000);
    x.first.n = 0;
    enc_init(&e, &x.first, holes, 1);
    fetch_response_encode(&e, 4, &m);
    cr_assert(!enc_ok(&e), "no place for the second hole");
    fixture_deinit(&x);
}

Test(schema, print_shows_the_fields_of_the_version)
{
    struct fixture x;
    fixture_init(&x);
    struct heartbeat_request m;
    heartbeat_request_init(&m);
    m.group_id = bytes_str("g\n");
    m.generation_id = 3;
    schema_print(&heartbeat_request_message, 3, &m, 10, &x.first);
    buf_put_u8(&x.first, 0);
    cr_assert_str_eq((char *)x.first.p, "{\"group_id\": \"g\\u000a\", \"generation_id\": 3, \"member_id\": \"\", "
                                        "\"group_instance_id\": null}");
    fixture_deinit(&x);
}

Test(schema, find_knows_every_key_and_no_other)
{
    for (int16_t key = -1; key < 100; key++) {
        const struct schema_message *m = schema_find(kafka_requests, ARRAY_COUNT(kafka_requests), key);
        bool known = false;
        for (size_t i = 0; i < ARRAY_COUNT(kafka_requests); i++)
            known = known || kafka_requests[i]->key == key;
        cr_assert_eq(m != NULL, known);
        cr_assert(!m || m->key == key);
    }
}
