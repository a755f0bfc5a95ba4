// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "rig.h"

static struct rig *begin(void)
{
    static struct rig rig;
    rig = (struct rig){0};
    rig_begin(&rig);
    return &rig;
}

static int16_t commit(struct rig *r, const char *group, const char *member, int32_t generation, const char *topic,
                      int32_t partition, int64_t offset)
{
    return rig_commit_error(rig_commit(r, group, member, generation, topic, partition, offset));
}

static int16_t commit_version(struct rig *r, int16_t version, const char *group, int32_t generation, int64_t retention_ms,
                              int64_t commit_ms)
{
    struct rig_call *c = rig_commit_made(group, generation < 0 ? "" : "m", generation, "orders", 0, 7);
    c->call.version = version;
    c->commit.retention_time_ms = retention_ms;
    c->commit.topics->partitions->commit_timestamp = commit_ms;
    rig_send(r, c);
    return rig_commit_error(c);
}

static struct rig_call *fetch_all(struct rig *r, const char *group, bool stable)
{
    struct rig_call *c = rig_call_new(GROUP_FETCH, 8, group);
    c->fetch_group = (struct offset_fetch_request_group){.member_epoch = -1};
    c->fetch.group = &c->fetch_group;
    c->fetch.require_stable = stable;
    c->call.request = &c->fetch;
    rig_send(r, c);
    return c;
}

static int16_t delete_offset(struct rig *r, const char *group, const char *topic, int32_t partition)
{
    struct rig_call *c = rig_delete_made(group, topic, partition);
    rig_send(r, c);
    const struct offset_delete_response *out = c->call.response;
    int16_t code = out->error_code ? out->error_code : out->topics->partitions->error_code;
    rig_call_free(c);
    return code;
}

Test(offsets, a_simple_consumer_makes_the_group_with_its_first_commit)
{
    struct rig *r = begin();
    cr_assert_eq(rig_committed(r, "g", "orders", 1), -1);
    cr_assert_eq(commit(r, "g", "", -1, "orders", 1, 5), 0);
    cr_assert_eq(rig_committed(r, "g", "orders", 1), 5);
    cr_assert_str_eq(rig_state(r, "g"), "Empty");
    cr_assert_eq(commit(r, "", "", -1, "orders", 1, 6), 0); // as old as Kafka
    rig_reload(r);
    cr_assert_eq(rig_committed(r, "g", "orders", 1), 5);
    cr_assert_eq(rig_committed(r, "", "orders", 1), 6);
    rig_end(r);
}

Test(offsets, commits_that_are_refused)
{
    struct rig *r = begin();
    cr_assert_eq(commit_version(r, 8, "none", 1, -1, -1), kerr_of(RC_ILLEGAL_GENERATION));
    cr_assert_eq(commit_version(r, 9, "none", 1, -1, -1), kerr_of(RC_GROUP_ID_NOT_FOUND));
    cr_assert_eq(r->g.group_count, 0);
    cr_assert_eq(commit(r, "simple", "", -1, "orders", 0, 1), 0);
    cr_assert_eq(commit(r, "simple", "m", 3, "orders", 0, 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    const char *id = rig_stable(r, "g");
    cr_assert_eq(commit(r, "g", "", -1, "orders", 0, 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(commit(r, "g", "m", 1, "orders", 0, 1), kerr_of(RC_UNKNOWN_MEMBER_ID));
    cr_assert_eq(commit(r, "g", id, 0, "orders", 0, 1), kerr_of(RC_ILLEGAL_GENERATION));
    cr_assert_eq(commit(r, "g", id, -1, "orders", 0, 1), kerr_of(RC_ILLEGAL_GENERATION));
    cr_assert_eq(commit(r, "g", id, 1, "orders", 12, 1), kerr_of(RC_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert_eq(commit(r, "g", id, 1, "orders", -1, 1), kerr_of(RC_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert_eq(commit(r, "g", id, 1, "nothing", 0, 1), kerr_of(RC_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert_eq(commit(r, "g", id, 1, "orders", 11, 1), 0);
    struct rig_call *join = rig_join(r, "g", id, NULL, 5), *other;
    cr_assert(join->back); // alone: at once the next generation, which has no assignment yet
    cr_assert_eq(commit(r, "g", id, 2, "orders", 0, 1), kerr_of(RC_REBALANCE_IN_PROGRESS));
    rig_call_free(join);
    other = rig_join(r, "g", "", NULL, 3); // while others join, a member of the last generation may commit
    cr_assert_eq(commit(r, "g", id, 2, "orders", 0, 1), 0);
    cr_assert_eq(rig_records(r, 1, NULL), 3);
    rig_end(r);
    rig_call_free(other);
}

Test(offsets, metadata_is_kept_and_measured)
{
    struct rig *r = begin();
    char text[4098];
    memset(text, 'x', sizeof(text));
    for (size_t n = 4095; n <= 4097; n++) {
        struct rig_call *c = rig_commit_made("g", "", -1, "orders", 0, (int64_t)n);
        c->commit.topics->partitions->committed_metadata = bytes_of(text, n);
        c->commit.topics->partitions->committed_leader_epoch = 9;
        rig_send(r, c);
        cr_assert_eq(rig_commit_error(c), n <= 4096 ? 0 : kerr_of(RC_OFFSET_METADATA_TOO_LARGE));
    }
    memcpy(text, "\xc3\xa9\xf0\x9f\x98\x80", 6); // 6 bytes that Java counts as 3 units
    struct rig_call *c = rig_commit_made("g", "", -1, "orders", 1, 1);
    c->commit.topics->partitions->committed_metadata = bytes_of(text, 4098);
    rig_send(r, c);
    cr_assert_eq(rig_commit_error(c), 0);
    rig_reload(r);
    c = fetch_all(r, "g", false);
    const struct offset_fetch_response_group *out = c->call.response;
    cr_assert_eq(out->topics_count, 1);
    cr_assert_eq(out->topics->partitions_count, 2);
    cr_assert_eq(out->topics->partitions[0].committed_offset, 4096);
    cr_assert_eq(out->topics->partitions[0].committed_leader_epoch, 9);
    cr_assert_eq(out->topics->partitions[0].metadata.n, 4096);
    cr_assert_eq(out->topics->partitions[1].metadata.n, 4098);
    rig_call_free(c);
    rig_end(r);
}

Test(offsets, every_partition_answers_for_itself)
{
    struct rig *r = begin();
    struct rig_call *c = rig_commit_made("g", "", -1, "orders", 0, 1);
    struct offset_commit_request_topic topics[3];
    struct offset_commit_request_partition parts[3];
    for (int i = 0; i < 3; i++) {
        offset_commit_request_partition_init(&parts[i]);
        parts[i].partition_index = i * 2;
        parts[i].committed_offset = 10 + i;
    }
    topics[0] = (struct offset_commit_request_topic){.name = bytes_str("clicks"), .partitions = parts, .partitions_count = 3};
    topics[1] = (struct offset_commit_request_topic){.name = bytes_str("gone"), .partitions = parts, .partitions_count = 3};
    topics[2] = (struct offset_commit_request_topic){.name = bytes_str("orders"), .partitions = parts, .partitions_count = 3};
    c->commit.topics = topics;
    c->commit.topics_count = 3;
    rig_send(r, c);
    const struct offset_commit_response *out = c->call.response;
    int16_t unknown = kerr_of(RC_UNKNOWN_TOPIC_OR_PARTITION);
    int16_t expected[3][3] = {{0, 0, unknown}, {unknown, unknown, unknown}, {0, 0, 0}};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            cr_assert_eq(out->topics[i].partitions[k].error_code, expected[i][k]);
    rig_call_free(c);
    cr_assert_eq(r->log.count, 1); // one decision
    c = fetch_all(r, "g", false);
    const struct offset_fetch_response_group *all = c->call.response;
    cr_assert_eq(all->topics_count, 2);
    cr_assert_str_eq(rig_text(all->topics[0].name), "clicks");
    cr_assert_eq(all->topics[0].partitions_count, 2);
    cr_assert_eq(all->topics[1].partitions_count, 3);
    cr_assert_eq(all->topics[1].partitions[2].committed_offset, 12);
    rig_call_free(c);
    rig_end(r);
}

Test(offsets, the_record_is_kafkas)
{
    struct rig *r = begin();
    struct bytes value;
    cr_assert_eq(commit(r, "g", "", -1, "orders", 3, 42), 0);
    rig_records(r, 1, &value);
    struct dec d = dec_of(value);
    cr_assert_eq(dec_i16(&d), 3);
    cr_assert_eq(dec_i64(&d), 42);
    cr_assert_eq(dec_i32(&d), -1);
    cr_assert_eq(dec_string(&d, false, false).n, 0);
    cr_assert_eq(dec_i64(&d), r->now.wall_ms);
    cr_assert(!d.bad && dec_left(&d) == 0);
    cr_assert_eq(commit_version(r, 3, "g", -1, 1000, -1), 0); // with an expiry of its own: version 1
    rig_records(r, 1, &value);
    d = dec_of(value);
    cr_assert_eq(dec_i16(&d), 1);
    cr_assert_eq(dec_i64(&d), 7);
    cr_assert_eq(dec_string(&d, false, false).n, 0);
    cr_assert_eq(dec_i64(&d), r->now.wall_ms);
    cr_assert_eq(dec_i64(&d), r->now.wall_ms + 1000);
    cr_assert(!d.bad && dec_left(&d) == 0);
    rig_end(r);
}

Test(offsets, appends_that_fail)
{
    static const struct {
        enum rc rc, told;
    } rows[] = {{RC_NOT_ENOUGH_REPLICAS, RC_COORDINATOR_NOT_AVAILABLE},
                {RC_NOT_ENOUGH_REPLICAS_AFTER_APPEND, RC_COORDINATOR_NOT_AVAILABLE},
                {RC_UNKNOWN_TOPIC_OR_PARTITION, RC_COORDINATOR_NOT_AVAILABLE},
                {RC_TIMED_OUT, RC_REQUEST_TIMED_OUT},
                {RC_MESSAGE_TOO_LARGE, RC_INVALID_COMMIT_OFFSET_SIZE},
                {RC_RECORD_LIST_TOO_LARGE, RC_INVALID_COMMIT_OFFSET_SIZE},
                {RC_NOT_LEADER_OR_FOLLOWER, RC_NOT_COORDINATOR},
                {RC_STORAGE_ERROR, RC_NOT_COORDINATOR},
                {RC_NO_SPACE, RC_NOT_COORDINATOR}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct rig *r = begin();
        cr_assert_eq(commit(r, "g", "", -1, "orders", 0, 1), 0);
        r->fail = rows[i].rc;
        cr_assert_eq(commit(r, "g", "", -1, "orders", 0, 2), kerr_of(rows[i].told), "row %zu", i);
        cr_assert_eq(commit(r, "new", "", -1, "orders", 0, 2), kerr_of(rows[i].told), "row %zu", i);
        cr_assert_eq(rig_committed(r, "g", "orders", 0), 1);
        cr_assert_eq(r->g.group_count, 1);
        rig_end(r);
    }
}

Test(offsets, a_batch_that_is_too_large_is_refused_before_the_log)
{
    static struct rig rig;
    rig = (struct rig){0};
    groups_config_default(&rig.config);
    rig.config.batch_bytes_max = 200;
    rig_begin(&rig);
    char text[300] = {0};
    memset(text, 'x', sizeof(text));
    struct rig_call *c = rig_commit_made("g", "", -1, "orders", 0, 1);
    c->commit.topics->partitions->committed_metadata = bytes_of(text, sizeof(text));
    rig_send(&rig, c);
    cr_assert_eq(rig_commit_error(c), kerr_of(RC_INVALID_COMMIT_OFFSET_SIZE));
    cr_assert_eq(rig.g.group_count, 0);
    cr_assert_eq(commit(&rig, "g", "", -1, "orders", 0, 1), 0);
    rig_end(&rig);
}

Test(offsets, commits_do_not_wait_for_each_other_but_deletions_wait_for_them)
{
    struct rig *r = begin();
    r->hold = true;
    struct rig_call *a = rig_commit(r, "g", "", -1, "orders", 0, 1), *b = rig_commit(r, "g", "", -1, "orders", 0, 2);
    struct rig_call *d = rig_delete_made("g", "orders", 0);
    rig_send(r, d);
    struct rig_call *c = rig_commit(r, "g", "", -1, "orders", 0, 3);
    cr_assert_eq(r->g.appends.count, 2);
    rig_finish(r, RC_OK);
    cr_assert(a->back && b->back && !d->back && !c->back);
    cr_assert_eq(rig_committed(r, "g", "orders", 0), 2);
    rig_finish(r, RC_OK);
    cr_assert(d->back && !c->back);
    cr_assert_eq(rig_committed(r, "g", "orders", 0), -1);
    rig_finish(r, RC_OK);
    cr_assert(c->back);
    cr_assert_eq(rig_committed(r, "g", "orders", 0), 3);
    struct rig_call *calls[] = {a, b, c, d};
    for (size_t i = 0; i < 4; i++)
        rig_call_free(calls[i]);
    rig_end(r);
}

Test(offsets, commits_that_queued_go_in_one_batch)
{
    struct rig *r = begin();
    cr_assert_eq(commit(r, "g", "", -1, "orders", 0, 1), 0);
    r->hold = true;
    struct rig_call *calls[6];
    calls[0] = rig_delete_made("g", "orders", 0);
    rig_send(r, calls[0]);
    for (int i = 1; i < 5; i++)
        calls[i] = rig_commit(r, "g", "", i == 3 ? 7 : -1, "orders", i, 10 + i); // one of them is refused
    calls[5] = rig_delete_made("g", "orders", 2);
    rig_send(r, calls[5]);
    rig_finish(r, RC_OK);
    cr_assert_eq(r->g.in_flight.count + r->g.appends.count, 1);
    cr_assert(calls[3]->back && !calls[1]->back && !calls[5]->back);
    cr_assert_eq(rig_commit_error(calls[3]), kerr_of(RC_UNKNOWN_MEMBER_ID));
    rig_finish(r, RC_NOT_ENOUGH_REPLICAS); // the batch fails as a whole
    rig_finish(r, RC_OK);
    cr_assert_eq(rig_commit_error(calls[1]), kerr_of(RC_COORDINATOR_NOT_AVAILABLE));
    cr_assert_eq(rig_commit_error(calls[2]), kerr_of(RC_COORDINATOR_NOT_AVAILABLE));
    cr_assert_eq(rig_commit_error(calls[4]), kerr_of(RC_COORDINATOR_NOT_AVAILABLE));
    cr_assert(calls[0]->back && calls[5]->back);
    rig_call_free(calls[0]);
    rig_call_free(calls[5]);
    cr_assert_eq(r->g.group_count, 0);
    rig_end(r);
}

Test(offsets, a_batch_that_is_full_goes_and_the_next_one_begins)
{
    static struct rig rig;
    rig = (struct rig){0};
    groups_config_default(&rig.config);
    rig.config.batch_bytes_max = 400;
    rig_begin(&rig);
    rig.hold = true;
    struct rig_call *calls[11];
    calls[0] = rig_commit(&rig, "g", "", -1, "orders", 0, 1);
    calls[1] = rig_delete_made("g", "orders", 1);
    rig_send(&rig, calls[1]);
    for (int i = 2; i < 11; i++)
        calls[i] = rig_commit(&rig, "g", "", -1, "orders", i, i);
    rig_finish(&rig, RC_OK); // the first commit; then the deletion, which has nothing to do
    cr_assert_gt(rig.g.in_flight.count + rig.g.appends.count, 1);
    cr_assert_lt(rig.g.in_flight.count + rig.g.appends.count, 9);
    rig_finish(&rig, RC_OK);
    for (int i = 0; i < 11; i++)
        rig_call_free(calls[i]);
    for (int i = 2; i < 11; i++)
        cr_assert_eq(rig_committed(&rig, "g", "orders", i), i);
    rig_end(&rig);
}

Test(offsets, deletion_is_refused_for_subscribed_topics)
{
    struct rig *r = begin();
    cr_assert_eq(delete_offset(r, "none", "orders", 0), kerr_of(RC_GROUP_ID_NOT_FOUND));
    const char *id = rig_stable(r, "g"); // subscribed to orders
    cr_assert_eq(commit(r, "g", id, 1, "orders", 0, 1), 0);
    cr_assert_eq(commit(r, "g", id, 1, "clicks", 0, 1), 0);
    cr_assert_eq(delete_offset(r, "g", "orders", 0), kerr_of(RC_GROUP_SUBSCRIBED_TO_TOPIC));
    cr_assert_eq(delete_offset(r, "g", "unknown", 0), kerr_of(RC_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert_eq(delete_offset(r, "g", "clicks", 0), 0);
    cr_assert_eq(delete_offset(r, "g", "clicks", 1), 0); // none there
    cr_assert_eq(rig_committed(r, "g", "orders", 0), 1);
    cr_assert_eq(rig_committed(r, "g", "clicks", 0), -1);
    rig_advance(r, 10001); // the member is gone
    cr_assert_eq(delete_offset(r, "g", "orders", 0), 0);
    cr_assert_eq(rig_committed(r, "g", "orders", 0), -1);
    rig_reload(r);
    cr_assert_eq(rig_committed(r, "g", "orders", 0), -1);
    rig_end(r);
}

Test(offsets, groups_of_other_protocols_lose_no_offsets_while_they_have_members)
{
    struct rig *r = begin();
    static const char *const range[] = {"range"};
    struct rig_call *c = rig_join_made("g", "", NULL, 3, range, 1, "orders");
    c->join.protocol_type = bytes_str("connect");
    rig_send(r, c);
    rig_advance(r, 3000);
    rig_call_free(c);
    cr_assert_eq(delete_offset(r, "g", "clicks", 0), kerr_of(RC_NON_EMPTY_GROUP));
    rig_end(r);
}

// ------------------------------------------------------------------------------------------------ retention

enum { HOUR = 3600000, DAY = 24 * HOUR };

Test(offsets, retention_begins_when_the_last_member_is_gone)
{
    struct rig *r = begin();
    const char *id = rig_stable(r, "g");
    cr_assert_eq(commit(r, "g", id, 1, "orders", 0, 1), 0);
    cr_assert_eq(commit(r, "simple", "", -1, "orders", 0, 1), 0);
    for (int i = 0; i < 10 * 24 * 450; i++) { // ten days of heartbeats
        rig_advance(r, 8000);
        if (rig_heartbeat(r, "g", id, 1) != 0)
            cr_assert_fail("lost at %d", i);
    }
    cr_assert_eq(rig_committed(r, "g", "orders", 0), 1);
    cr_assert_eq(rig_committed(r, "simple", "orders", 0), -1); // by the age of its commit
    cr_assert_str_eq(rig_state(r, "simple"), "Dead");
    rig_advance(r, 20000);
    cr_assert_str_eq(rig_state(r, "g"), "Empty");
    rig_advance(r, 6 * (uint64_t)DAY);
    cr_assert_eq(rig_committed(r, "g", "orders", 0), 1);
    rig_reload(r); // the time when it became empty is in the log
    rig_advance(r, (uint64_t)DAY + HOUR);
    cr_assert_eq(rig_committed(r, "g", "orders", 0), -1);
    cr_assert_str_eq(rig_state(r, "g"), "Dead");
    cr_assert_eq(r->g.group_count, 0);
    cr_assert_gt(r->g.expired_offsets, 0);
    rig_reload(r);
    cr_assert_eq(r->g.group_count, 0);
    rig_end(r);
}

Test(offsets, a_live_group_loses_only_topics_it_is_not_subscribed_to)
{
    struct rig *r = begin();
    const char *id = rig_stable(r, "g");
    cr_assert_eq(commit(r, "g", id, 1, "orders", 0, 1), 0);
    cr_assert_eq(commit(r, "g", id, 1, "clicks", 0, 1), 0);
    for (int i = 0; i < 8 * 24 * 450; i++) {
        rig_advance(r, 8000);
        rig_heartbeat(r, "g", id, 1);
    }
    cr_assert_eq(rig_committed(r, "g", "orders", 0), 1);
    cr_assert_eq(rig_committed(r, "g", "clicks", 0), -1);
    rig_end(r);
}

Test(offsets, a_retention_of_its_own)
{
    struct rig *r = begin();
    cr_assert_eq(commit_version(r, 3, "short", -1, HOUR, -1), 0);
    cr_assert_eq(commit_version(r, 3, "long", -1, INT64_MAX, -1), 0);
    cr_assert_eq(commit_version(r, 1, "old", -1, -1, r->now.wall_ms - 7 * (int64_t)DAY), 0);
    rig_advance(r, HOUR / 2);
    cr_assert_eq(rig_committed(r, "old", "orders", 0), -1);
    cr_assert_eq(rig_committed(r, "short", "orders", 0), 7);
    rig_advance(r, HOUR);
    cr_assert_eq(rig_committed(r, "short", "orders", 0), -1);
    rig_reload(r);
    rig_advance(r, 30 * (uint64_t)DAY);
    cr_assert_eq(rig_committed(r, "long", "orders", 0), 7);
    rig_end(r);
}

Test(offsets, expiry_that_cannot_be_stored_is_tried_again)
{
    struct rig *r = begin();
    cr_assert_eq(commit(r, "g", "", -1, "orders", 0, 1), 0);
    r->fail = RC_NOT_ENOUGH_REPLICAS;
    rig_advance(r, 8 * (uint64_t)DAY);
    cr_assert_eq(rig_committed(r, "g", "orders", 0), 1);
    r->fail = RC_OK;
    rig_advance(r, HOUR);
    cr_assert_eq(rig_committed(r, "g", "orders", 0), -1);
    rig_end(r);
}

Test(offsets, offsets_of_a_deleted_topic_go)
{
    struct rig *r = begin();
    const char *id = rig_stable(r, "g");
    cr_assert_eq(commit(r, "g", id, 1, "orders", 0, 1), 0);
    cr_assert_eq(commit(r, "g", id, 1, "clicks", 0, 1), 0);
    r->hold = true;
    struct rig_call *late = rig_commit(r, "g", id, 1, "clicks", 1, 5); // in flight while the topic goes
    struct group_topic clicks = r->topics[1];
    r->topic_count = 1;
    rig_advance(r, 10);
    groups_topic_changed(&r->g, clicks.name, clicks.id, true, r->now);
    rig_advance(r, 3000);
    rig_finish(r, RC_OK);
    r->hold = false;
    cr_assert_eq(rig_commit_error(late), 0);
    rig_topic(r, "clicks", 3); // made again
    cr_assert_eq(commit(r, "g", id, 1, "clicks", 2, 9), 0);
    rig_advance(r, 3000);
    cr_assert_eq(rig_committed(r, "g", "orders", 0), 1);
    cr_assert_eq(rig_committed(r, "g", "clicks", 0), -1);
    cr_assert_eq(rig_committed(r, "g", "clicks", 1), -1);
    cr_assert_eq(rig_committed(r, "g", "clicks", 2), 9);
    rig_end(r);
}

// ------------------------------------------------------------------------------------------------ transactions

static void pend(struct rig *r, int64_t producer, const char *topic, int32_t partition, int64_t offset)
{
    struct buf key, value;
    struct enc e;
    struct offset_commit_key k = {.group = bytes_str("g"), .topic = bytes_str(topic), .partition = partition};
    struct offset_commit_value v = {.offset = offset, .leader_epoch = -1, .metadata = bytes_str("tx"), .expire_timestamp = -1};
    buf_init(&key, 1000);
    buf_init(&value, 1000);
    enc_init(&e, &key, NULL, 0);
    enc_i16(&e, 1);
    offset_commit_key_encode(&e, 1, &k);
    enc_init(&e, &value, NULL, 0);
    enc_i16(&e, 3);
    offset_commit_value_encode(&e, 3, &v);
    cr_assert_eq(groups_apply(&r->g, producer, 0, buf_bytes(&key), buf_bytes(&value)), RC_OK);
    buf_deinit(&key);
    buf_deinit(&value);
}

static int16_t stable_error(struct rig *r, int32_t partition)
{
    struct rig_call *c = rig_call_new(GROUP_FETCH, 8, "g");
    struct offset_fetch_request_group_topic t = {
        .name = bytes_str("orders"), .partition_indexes = &partition, .partition_indexes_count = 1};
    c->fetch_group = (struct offset_fetch_request_group){.topics = &t, .topics_count = 1, .member_epoch = -1};
    c->fetch = (struct group_fetch_request){.group = &c->fetch_group, .require_stable = true};
    c->call.request = &c->fetch;
    rig_send(r, c);
    int16_t code = ((struct offset_fetch_response_group *)c->call.response)->topics->partitions->error_code;
    rig_call_free(c);
    return code;
}

Test(offsets, transactional_offsets_count_when_their_transaction_commits)
{
    struct rig *r = begin();
    pend(r, 7, "orders", 0, 10);
    pend(r, 7, "orders", 0, 11); // the later one of the same transaction
    pend(r, 7, "orders", 1, 20);
    pend(r, 8, "orders", 2, 30);
    cr_assert_eq(rig_committed(r, "g", "orders", 0), -1);
    cr_assert_eq(stable_error(r, 0), kerr_of(RC_UNSTABLE_OFFSET_COMMIT));
    cr_assert_eq(stable_error(r, 3), 0);
    cr_assert_eq(commit(r, "g", "", -1, "orders", 1, 25), 0); // outside, later: it wins
    struct groups_cursor cursor = {0};
    struct buf out = {.size_max = 1000};
    cr_assert_eq(groups_snapshot(&r->g, &cursor, 1000, &out), RC_UNSUPPORTED);
    cr_assert_eq(groups_apply_marker(&r->g, 7, 0, true), RC_OK);
    cr_assert_eq(groups_apply_marker(&r->g, 8, 0, false), RC_OK);
    cr_assert_eq(groups_apply_marker(&r->g, 9, 0, true), RC_OK);
    cr_assert_eq(rig_committed(r, "g", "orders", 0), 11);
    cr_assert_eq(rig_committed(r, "g", "orders", 1), 25);
    cr_assert_eq(rig_committed(r, "g", "orders", 2), -1);
    cr_assert_eq(stable_error(r, 0), 0);
    pend(r, 7, "orders", 5, 1);
    cr_assert_eq(delete_offset(r, "g", "orders", 5), 0); // a deletion takes what is pending, too
    cr_assert_eq(groups_apply_marker(&r->g, 7, 0, true), RC_OK);
    cr_assert_eq(rig_committed(r, "g", "orders", 5), -1);
    pend(r, 7, "orders", 6, 1); // left open
    rig_end(r);
}

Test(offsets, a_group_of_nothing_but_an_aborted_transaction_is_gone)
{
    struct rig *r = begin();
    pend(r, 7, "orders", 0, 10);
    cr_assert_eq(r->g.group_count, 1);
    cr_assert_eq(groups_apply_marker(&r->g, 7, 0, false), RC_OK);
    cr_assert_eq(r->g.group_count, 0);
    rig_end(r);
}

// ------------------------------------------------------------------------------------------------ names

Test(offsets, the_partition_of_a_group_is_javas)
{
    cr_assert_eq(group_partition(bytes_str(""), 50), 0);
    cr_assert_eq(group_partition(bytes_str("a"), 50), 97 % 50);
    cr_assert_eq(group_partition(bytes_str("my-group"), 50), 12);
    cr_assert_eq(group_partition(bytes_str("polygenelubricants"), 50), 0); // INT32_MIN: Utils.abs makes it 0
    cr_assert_eq(group_partition(bytes_str("\xc3\xa9"), 50), 0xe9 % 50);
    cr_assert_eq(group_partition(bytes_str("\xf0\x9f\x98\x80"), 1000), (0xd83d * 31 + 0xde00) % 1000);
    cr_assert_eq(utf16_length(bytes_str("a\xc3\xa9\xf0\x9f\x98\x80")), 4);
}
