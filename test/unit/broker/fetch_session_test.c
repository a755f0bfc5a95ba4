// SPDX-License-Identifier: Apache-2.0
//
// Fetch sessions as KIP-227 has them.
#include <criterion/criterion.h>

#include "broker/fetch_session.h"

#define SECOND UINT64_C(1000000000)

struct rig {
    struct prng prng;
    struct fetch_session_cache cache;
    struct fetch_context x;
    struct fetch_request rq;
    struct fetch_request_topic topic;
    struct fetch_request_partition parts[4];
    struct fetch_request_forgotten_topics_data forgotten;
    int32_t forgotten_parts[4];
};

static void rig_init(struct rig *r, uint32_t sessions_max)
{
    memset(r, 0, sizeof(*r));
    prng_init(&r->prng, 42);
    fetch_session_cache_init(&r->cache, sessions_max, &r->prng);
}

// A request for partitions 0..count) of topic t at offset.
static void rig_ask(struct rig *r, int32_t id, int32_t epoch, uint32_t count, int64_t offset)
{
    fetch_request_init(&r->rq);
    r->rq.session_id = id;
    r->rq.session_epoch = epoch;
    fetch_request_topic_init(&r->topic);
    r->topic.topic = bytes_str("t");
    for (uint32_t i = 0; i < count; i++) {
        fetch_request_partition_init(&r->parts[i]);
        r->parts[i].partition = (int32_t)i;
        r->parts[i].fetch_offset = offset;
    }
    r->topic.partitions = r->parts;
    r->topic.partitions_count = count;
    r->rq.topics = &r->topic;
    r->rq.topics_count = count > 0;
}

static enum rc rig_begin(struct rig *r, int16_t version, uint64_t now_ns)
{
    fetch_session_begin(&r->cache, &r->rq, version, now_ns, &r->x);
    return r->x.rc;
}

// Makes a session of two partitions; its id.
static int32_t rig_session(struct rig *r, uint64_t now_ns)
{
    rig_ask(r, 0, FETCH_EPOCH_FULL, 2, 0);
    cr_assert_eq(rig_begin(r, 11, now_ns), RC_OK);
    cr_assert_not_null(r->x.session);
    cr_assert(r->x.full);
    int32_t id = r->x.session_id;
    cr_assert_neq(id, FETCH_SESSION_NONE);
    fetch_session_done(&r->cache, &r->x);
    return id;
}

Test(fetch_session, old_versions_and_epoch_minus_one_have_none)
{
    struct rig r;
    rig_init(&r, 10);
    rig_ask(&r, 0, FETCH_EPOCH_FULL, 2, 0);
    cr_assert_eq(rig_begin(&r, 6, 1), RC_OK);
    cr_assert(r.x.full && !r.x.session);
    rig_ask(&r, 0, FETCH_EPOCH_SESSIONLESS, 2, 0);
    cr_assert_eq(rig_begin(&r, 11, 1), RC_OK);
    cr_assert(r.x.full && !r.x.session);
    cr_assert_eq(r.x.session_id, FETCH_SESSION_NONE);
    fetch_session_cache_deinit(&r.cache);
}

Test(fetch_session, incremental_requests_remember_update_and_forget)
{
    struct rig r;
    rig_init(&r, 10);
    int32_t id = rig_session(&r, 1);
    rig_ask(&r, id, 1, 0, 0);
    cr_assert_eq(rig_begin(&r, 11, 2), RC_OK);
    cr_assert_not(r.x.full);
    cr_assert_eq(r.x.session->order.count, 2);
    fetch_session_done(&r.cache, &r.x);

    rig_ask(&r, id, 2, 3, 7); // one more, and new offsets
    cr_assert_eq(rig_begin(&r, 11, 3), RC_OK);
    cr_assert_eq(r.x.session->order.count, 3);
    cr_assert_eq(list_entry(list_first(&r.x.session->order), struct fetch_partition, link)->item.read.fetch_offset, 7);
    fetch_session_done(&r.cache, &r.x);

    rig_ask(&r, id, 3, 0, 0);
    fetch_request_forgotten_topics_data_init(&r.forgotten);
    r.forgotten.topic = bytes_str("t");
    r.forgotten_parts[0] = 0;
    r.forgotten_parts[1] = 99; // never there: nothing
    r.forgotten.partitions = r.forgotten_parts;
    r.forgotten.partitions_count = 2;
    r.rq.forgotten_topics_data = &r.forgotten;
    r.rq.forgotten_topics_data_count = 1;
    cr_assert_eq(rig_begin(&r, 11, 4), RC_OK);
    cr_assert_eq(r.x.session->order.count, 2);
    cr_assert_eq(r.cache.partitions, 2);
    fetch_session_done(&r.cache, &r.x);
    fetch_session_cache_deinit(&r.cache);
}

Test(fetch_session, epochs_must_follow_each_other_and_wrap_to_one)
{
    struct rig r;
    rig_init(&r, 10);
    int32_t id = rig_session(&r, 1);
    rig_ask(&r, id, 2, 0, 0);
    cr_assert_eq(rig_begin(&r, 11, 2), RC_INVALID_FETCH_SESSION_EPOCH);
    rig_ask(&r, id + 1, 1, 0, 0);
    cr_assert_eq(rig_begin(&r, 11, 2), RC_FETCH_SESSION_ID_NOT_FOUND);
    rig_ask(&r, id, 1, 0, 0);
    cr_assert_eq(rig_begin(&r, 11, 2), RC_OK);
    struct fetch_session *s = r.x.session;
    fetch_session_done(&r.cache, &r.x);
    s->epoch = INT32_MAX;
    rig_ask(&r, id, INT32_MAX, 0, 0);
    cr_assert_eq(rig_begin(&r, 11, 3), RC_OK);
    fetch_session_done(&r.cache, &r.x);
    cr_assert_eq(s->epoch, 1);
    fetch_session_cache_deinit(&r.cache);
}

Test(fetch_session, a_full_request_or_minus_one_with_an_id_closes_it)
{
    struct rig r;
    rig_init(&r, 10);
    int32_t id = rig_session(&r, 1);
    rig_ask(&r, id, FETCH_EPOCH_FULL, 1, 0);
    cr_assert_eq(rig_begin(&r, 11, 2), RC_OK);
    int32_t second = r.x.session_id;
    cr_assert_neq(second, id);
    fetch_session_done(&r.cache, &r.x);
    cr_assert_eq(r.cache.sessions.count, 1);
    rig_ask(&r, id, 1, 0, 0);
    cr_assert_eq(rig_begin(&r, 11, 3), RC_FETCH_SESSION_ID_NOT_FOUND);
    rig_ask(&r, second, FETCH_EPOCH_SESSIONLESS, 1, 0);
    cr_assert_eq(rig_begin(&r, 11, 4), RC_OK);
    cr_assert_eq(r.cache.sessions.count, 0);
    cr_assert_eq(r.cache.partitions, 0);
    fetch_session_cache_deinit(&r.cache);
}

Test(fetch_session, names_and_ids_cannot_be_mixed)
{
    struct rig r;
    rig_init(&r, 10);
    int32_t id = rig_session(&r, 1);
    rig_ask(&r, id, 1, 0, 0);
    cr_assert_eq(rig_begin(&r, 13, 2), RC_FETCH_SESSION_TOPIC_ID_ERROR);
    fetch_session_cache_deinit(&r.cache);
}

Test(fetch_session, one_in_use_serves_nobody_else_and_goes_after_its_user)
{
    struct rig r;
    struct fetch_context first;
    rig_init(&r, 10);
    int32_t id = rig_session(&r, 1);
    rig_ask(&r, id, 1, 0, 0);
    fetch_session_begin(&r.cache, &r.rq, 11, 2, &first);
    cr_assert_eq(first.rc, RC_OK);
    rig_ask(&r, id, 2, 0, 0);
    cr_assert_eq(rig_begin(&r, 11, 3), RC_INVALID_FETCH_SESSION_EPOCH);
    rig_ask(&r, id, FETCH_EPOCH_SESSIONLESS, 0, 0); // closes it under its user
    cr_assert_eq(rig_begin(&r, 11, 4), RC_OK);
    cr_assert_eq(first.session->order.count, 2);
    cr_assert_eq(r.cache.partitions, 2);
    fetch_session_done(&r.cache, &first);
    cr_assert_eq(r.cache.partitions, 0);
    fetch_session_cache_deinit(&r.cache);
}

Test(fetch_session, a_full_cache_gives_way_only_for_what_is_old)
{
    struct rig r;
    rig_init(&r, 2);
    int32_t old = rig_session(&r, SECOND);
    rig_session(&r, 100 * SECOND);
    rig_ask(&r, 0, FETCH_EPOCH_FULL, 1, 0);
    cr_assert_eq(rig_begin(&r, 11, 110 * SECOND), RC_OK);
    cr_assert_null(r.x.session, "both were used in the last two minutes");
    cr_assert_eq(r.x.session_id, FETCH_SESSION_NONE);
    cr_assert(r.x.full);
    rig_session(&r, 122 * SECOND);
    rig_ask(&r, old, 1, 0, 0);
    cr_assert_eq(rig_begin(&r, 11, 123 * SECOND), RC_FETCH_SESSION_ID_NOT_FOUND);
    cr_assert_eq(r.cache.sessions.count, 2);
    fetch_session_cache_deinit(&r.cache);
}

// A replica that found no room would ask for everything each time.
Test(fetch_session, a_replica_takes_the_place_of_a_consumer_and_no_other_replicas)
{
    struct rig r;
    rig_init(&r, 2);
    int32_t consumer = rig_session(&r, SECOND);
    rig_ask(&r, 0, FETCH_EPOCH_FULL, 2, 0);
    r.rq.replica_id = 2;
    cr_assert_eq(rig_begin(&r, 11, SECOND), RC_OK);
    int32_t replica = r.x.session_id;
    fetch_session_done(&r.cache, &r.x);
    rig_ask(&r, 0, FETCH_EPOCH_FULL, 2, 0);
    r.rq.replica_state.replica_id = 3;
    cr_assert_eq(rig_begin(&r, 15, 2 * SECOND), RC_OK);
    cr_assert_not_null(r.x.session);
    fetch_session_done(&r.cache, &r.x);
    rig_ask(&r, 0, FETCH_EPOCH_FULL, 2, 0);
    r.rq.replica_id = 4;
    cr_assert_eq(rig_begin(&r, 11, 3 * SECOND), RC_OK);
    cr_assert_null(r.x.session);
    rig_ask(&r, consumer, 1, 0, 0);
    cr_assert_eq(rig_begin(&r, 11, 3 * SECOND), RC_FETCH_SESSION_ID_NOT_FOUND);
    rig_ask(&r, replica, 1, 0, 0);
    r.rq.replica_id = 2;
    cr_assert_eq(rig_begin(&r, 11, 3 * SECOND), RC_OK);
    fetch_session_done(&r.cache, &r.x);
    fetch_session_cache_deinit(&r.cache);
}

Test(fetch_session, only_news_is_told)
{
    struct rig r;
    rig_init(&r, 10);
    rig_ask(&r, 0, FETCH_EPOCH_FULL, 3, 0);
    cr_assert_eq(rig_begin(&r, 11, 1), RC_OK);
    struct fetch_session *s = r.x.session;
    struct fetch_partition *p[3];
    for (int i = 0; i < 3; i++) {
        struct list_node *n = list_first(&s->order);
        for (int k = 0; k < i; k++)
            n = list_next(&s->order, n);
        p[i] = list_entry(n, struct fetch_partition, link);
    }
    cr_assert(fetch_session_note(p[0], 0, 0, 5, 5, 0), "the first answer is news");
    cr_assert_not(fetch_session_note(p[0], 0, 0, 5, 5, 0));
    cr_assert(fetch_session_note(p[0], 0, 0, 6, 6, 0), "the watermark moved");
    cr_assert(fetch_session_note(p[0], 0, 0, 6, 6, 1), "the log start moved");
    cr_assert(fetch_session_note(p[0], 3, 0, 6, 6, 1), "an error");
    cr_assert(fetch_session_note(p[0], 3, 0, 6, 6, 1), "and again while it lasts");
    cr_assert(fetch_session_note(p[0], 0, 0, 6, 6, 1), "and its end");
    cr_assert_not(fetch_session_note(p[0], 0, 0, 6, 6, 1));
    cr_assert(fetch_session_note(p[0], 0, 100, 6, 6, 1));
    fetch_session_tell_again(p[0]);
    cr_assert(fetch_session_note(p[0], 0, 0, 6, 6, 1), "it had to cut its log first");
    cr_assert_not(fetch_session_note(p[0], 0, 0, 6, 6, 1));
    fetch_session_done(&r.cache, &r.x);
    fetch_session_cache_deinit(&r.cache);
}

Test(fetch_session, a_cache_without_slots_serves_without_sessions)
{
    struct rig r;
    rig_init(&r, 0);
    rig_ask(&r, 0, FETCH_EPOCH_FULL, 2, 0);
    cr_assert_eq(rig_begin(&r, 11, 1), RC_OK);
    cr_assert_null(r.x.session);
    fetch_session_cache_deinit(&r.cache);
}
