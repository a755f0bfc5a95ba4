// SPDX-License-Identifier: Apache-2.0
#include "fake_group.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

void fake_group_init(struct fake_group *g)
{
    *g = (struct fake_group){
        .assigned_count = -1, .target_count = -1, .said_owned = -1, .member_epoch = 1, .topic = "t"};
    for (int i = 0; i < FAKE_GROUP_PARTITIONS_MAX; i++)
        g->committed[i] = -1;
}

static int16_t next_code(struct fake_group_script *s, uint32_t *asked)
{
    uint32_t i = (*asked)++;
    return i < s->count ? s->codes[i] : 0;
}

static void copy(char *out, size_t n, struct bytes b)
{
    snprintf(out, n, "%.*s", (int)b.n, b.n ? (const char *)b.p : "");
}

static void answer_find(struct fake_group *g, struct fake_broker *f, const struct fake_request *r)
{
    struct find_coordinator_response answer;
    struct find_coordinator_response_coordinator one;
    find_coordinator_response_init(&answer);
    find_coordinator_response_coordinator_init(&one);
    one.key = bytes_str("g");
    one.node_id = answer.node_id = 7;
    one.host = answer.host = bytes_str("127.0.0.1");
    one.port = answer.port = f->listener.addr.port;
    one.error_code = answer.error_code = next_code(&g->find, &g->finds);
    answer.coordinators = &one;
    answer.coordinators_count = 1;
    fake_broker_answer(f, r, &find_coordinator_response_message, &answer);
}

static void answer_join(struct fake_group *g, struct fake_broker *f, const struct fake_request *r, struct arena *a)
{
    struct dec d = dec_of(r->body);
    struct join_group_request in;
    struct join_group_response answer;
    struct join_group_response_member self;
    cr_assert_eq(join_group_request_decode(&d, r->version, a, &in), RC_OK);
    copy(g->joined_as, sizeof(g->joined_as), in.member_id);
    if (g->cut_join) {
        g->cut_join = false;
        g->joins++;
        fake_broker_cut(f);
        return;
    }
    join_group_response_init(&answer);
    join_group_response_member_init(&self);
    answer.error_code = next_code(&g->join, &g->joins);
    answer.member_id = in.member_id.n ? in.member_id : bytes_str("member-1");
    if (answer.error_code == 0) {
        answer.generation_id = ++g->generation;
        answer.protocol_type = bytes_str("consumer");
        answer.protocol_name = in.protocols[0].name;
        answer.leader = answer.member_id;
        self.member_id = answer.member_id;
        self.group_instance_id = in.group_instance_id;
        self.metadata = in.protocols[0].metadata;
        answer.members = &self;
        answer.members_count = 1;
    }
    fake_broker_answer(f, r, &join_group_response_message, &answer);
}

static struct bytes chosen_share(struct fake_group *g, struct buf *b)
{
    struct consumer_protocol_assignment share;
    struct consumer_protocol_assignment_assigned_partition topic = {
        .topic = bytes_str(g->topic), .partitions = g->assigned, .partitions_count = (uint32_t)g->assigned_count};
    struct enc e;
    consumer_protocol_assignment_init(&share);
    share.assigned_partitions = &topic;
    share.assigned_partitions_count = g->assigned_count > 0;
    enc_init(&e, b, NULL, 0);
    enc_i16(&e, 0);
    schema_encode(&consumer_protocol_assignment_message, &e, 0, &share);
    return buf_bytes(b);
}

static void answer_sync(struct fake_group *g, struct fake_broker *f, const struct fake_request *r, struct arena *a)
{
    struct dec d = dec_of(r->body);
    struct sync_group_request in;
    struct sync_group_response answer;
    struct buf b;
    cr_assert_eq(sync_group_request_decode(&d, r->version, a, &in), RC_OK);
    cr_assert_eq(in.generation_id, g->generation);
    cr_assert_eq(in.assignments_count, 1, "the only member leads");
    sync_group_response_init(&answer);
    buf_init(&b, 1 << 16);
    answer.error_code = next_code(&g->sync, &g->syncs);
    answer.assignment = g->assigned_count < 0 ? in.assignments[0].assignment : chosen_share(g, &b);
    fake_broker_answer(f, r, &sync_group_response_message, &answer);
    buf_deinit(&b);
}

static void answer_commit(struct fake_group *g, struct fake_broker *f, const struct fake_request *r, struct arena *a)
{
    struct dec d = dec_of(r->body);
    struct offset_commit_request in;
    struct offset_commit_response answer;
    struct offset_commit_response_topic topic;
    struct offset_commit_response_partition partitions[FAKE_GROUP_PARTITIONS_MAX];
    cr_assert_eq(offset_commit_request_decode(&d, r->version, a, &in), RC_OK);
    int16_t code = next_code(&g->commit, &g->commits);
    cr_assert_eq(in.topics_count, 1);
    offset_commit_response_init(&answer);
    offset_commit_response_topic_init(&topic);
    topic.name = in.topics[0].name;
    topic.partitions = partitions;
    for (uint32_t i = 0; i < in.topics[0].partitions_count; i++) {
        const struct offset_commit_request_partition *p = &in.topics[0].partitions[i];
        offset_commit_response_partition_init(&partitions[i]);
        partitions[i].partition_index = p->partition_index;
        partitions[i].error_code = code;
        if (code == 0)
            g->committed[p->partition_index] = p->committed_offset;
    }
    topic.partitions_count = in.topics[0].partitions_count;
    answer.topics = &topic;
    answer.topics_count = 1;
    fake_broker_answer(f, r, &offset_commit_response_message, &answer);
}

static void answer_fetch_offsets(struct fake_group *g, struct fake_broker *f, const struct fake_request *r,
                                 struct arena *a)
{
    struct dec d = dec_of(r->body);
    struct offset_fetch_request in;
    struct offset_fetch_response answer;
    struct offset_fetch_response_group group;
    struct offset_fetch_response_group_topic topic;
    struct offset_fetch_response_group_topic_partition partitions[FAKE_GROUP_PARTITIONS_MAX];
    cr_assert_eq(offset_fetch_request_decode(&d, r->version, a, &in), RC_OK);
    offset_fetch_response_init(&answer);
    offset_fetch_response_group_init(&group);
    offset_fetch_response_group_topic_init(&topic);
    group.group_id = bytes_str("g");
    group.error_code = next_code(&g->fetch_offsets, &(uint32_t){0});
    topic.name = bytes_str(g->topic);
    topic.partitions = partitions;
    const struct offset_fetch_request_group_topic *asked = in.groups[0].topics;
    for (uint32_t i = 0; i < asked->partition_indexes_count; i++) {
        offset_fetch_response_group_topic_partition_init(&partitions[i]);
        partitions[i].partition_index = asked->partition_indexes[i];
        partitions[i].committed_offset = g->committed[asked->partition_indexes[i]];
    }
    topic.partitions_count = asked->partition_indexes_count;
    group.topics = &topic;
    group.topics_count = 1;
    answer.groups = &group;
    answer.groups_count = 1;
    fake_broker_answer(f, r, &offset_fetch_response_message, &answer);
}

static void answer_heartbeat(struct fake_group *g, struct fake_broker *f, const struct fake_request *r)
{
    struct heartbeat_response answer;
    heartbeat_response_init(&answer);
    answer.error_code = next_code(&g->heartbeat, &g->heartbeats);
    fake_broker_answer(f, r, &heartbeat_response_message, &answer);
}

static void answer_leave(struct fake_group *g, struct fake_broker *f, const struct fake_request *r)
{
    struct leave_group_response answer;
    leave_group_response_init(&answer);
    g->leaves++;
    fake_broker_answer(f, r, &leave_group_response_message, &answer);
}

static void answer_beat(struct fake_group *g, struct fake_broker *f, const struct fake_request *r, struct arena *a)
{
    struct dec d = dec_of(r->body);
    struct consumer_group_heartbeat_request in;
    struct consumer_group_heartbeat_response answer;
    struct consumer_group_heartbeat_response_assignment assignment;
    struct consumer_group_heartbeat_response_topic_partition one = {.topic_id = {.b = {1, 2, 3}}};
    cr_assert_eq(consumer_group_heartbeat_request_decode(&d, r->version, a, &in), RC_OK);
    copy(g->joined_as, sizeof(g->joined_as), in.member_id);
    g->beats++;
    g->said_epoch = in.member_epoch;
    if (in.topic_partitions)
        g->said_owned = in.topic_partitions_count ? (int32_t)in.topic_partitions[0].partitions_count : 0;
    consumer_group_heartbeat_response_init(&answer);
    answer.member_id = in.member_id;
    answer.member_epoch = in.member_epoch < 0 ? in.member_epoch : g->member_epoch;
    answer.heartbeat_interval_ms = 20;
    answer.error_code = g->beat_code;
    g->beat_code = 0;
    if (g->target_count >= 0 && answer.error_code == 0) {
        consumer_group_heartbeat_response_assignment_init(&assignment);
        one.partitions = g->target;
        one.partitions_count = (uint32_t)g->target_count;
        assignment.topic_partitions = &one;
        assignment.topic_partitions_count = 1;
        answer.assignment = &assignment;
        g->target_count = -1;
    }
    fake_broker_answer(f, r, &consumer_group_heartbeat_response_message, &answer);
}

bool fake_group_request(struct fake_group *g, struct fake_broker *f, const struct fake_request *r)
{
    struct arena a;
    bool mine = true;
    arena_init(&a, 1 << 20, NULL, 0);
    switch (r->key) {
    case 10:
        answer_find(g, f, r);
        break;
    case 11:
        answer_join(g, f, r, &a);
        break;
    case 14:
        answer_sync(g, f, r, &a);
        break;
    case 12:
        answer_heartbeat(g, f, r);
        break;
    case 13:
        answer_leave(g, f, r);
        break;
    case 8:
        answer_commit(g, f, r, &a);
        break;
    case 9:
        answer_fetch_offsets(g, f, r, &a);
        break;
    case 68:
        answer_beat(g, f, r, &a);
        break;
    default:
        mine = false;
    }
    arena_deinit(&a);
    return mine;
}
