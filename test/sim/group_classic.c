// SPDX-License-Identifier: Apache-2.0
//
// A member of the classic protocol: join, sync, heartbeat, leave. The leader deals the partitions out in turn; every
// share carries the number of the leader's round and the member it is for, so that a share that reaches somebody else,
// or two assignments of one generation, are seen.
#include "group_world.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"
#include "model/kerr.h"

// Errors after which a member joins again, and how.
enum again { AGAIN_NO, AGAIN_KEEP_ID, AGAIN_NEW_ID, AGAIN_FAIL };

static enum again again_of(int16_t code, bool mixed)
{
    switch (code) {
    case 14: // COORDINATOR_LOAD_IN_PROGRESS
    case 15: // COORDINATOR_NOT_AVAILABLE
    case 16: // NOT_COORDINATOR
    case 22: // ILLEGAL_GENERATION
    case 27: // REBALANCE_IN_PROGRESS
    case 7:  // REQUEST_TIMED_OUT
    case -1: // UNKNOWN_SERVER_ERROR
        return AGAIN_KEEP_ID;
    case 25: // UNKNOWN_MEMBER_ID
    case 82: // FENCED_INSTANCE_ID
        return AGAIN_NEW_ID;
    case 23: // INCONSISTENT_GROUP_PROTOCOL: the group changes its protocol
        return mixed ? AGAIN_NEW_ID : AGAIN_FAIL;
    default:
        return AGAIN_FAIL;
    }
}

// True: the answer was an error and the member knows what to do next.
static bool failed(struct group_member *m, const char *what, int16_t code)
{
    struct group_world *w = m->w;
    if (code == 0)
        return false;
    sim_say(w->sim, w->machine, "%s member %u: %s: %s", member_model(m)->name, m->index, what, kerr_name(code));
    enum again again = again_of(code, w->groups[m->group].protocol == GROUP_PROTOCOL_MIXED);
    if (again == AGAIN_FAIL)
        sim_fail(w->sim, "%s: %s is answered with error %d", member_model(m)->name, what, code);
    member_rejoin(m, again == AGAIN_KEEP_ID);
    return true;
}

// ------------------------------------------------------------------------------------------------ shares

static void fixed_buf(struct buf *b, uint8_t *p, size_t n)
{
    *b = (struct buf){.p = p, .cap = n, .size_max = n};
}

// Whom a share is for: a static member keeps its share while its id changes.
static uint32_t receiver_mark(const char *id, const char *instance)
{
    return (uint32_t)map_hash_bytes(bytes_str(instance[0] ? instance : id));
}

static uint32_t encode_share(struct group_member *m, uint8_t *out, uint32_t round, uint32_t receiver,
                             const uint32_t *masks)
{
    struct group_world *w = m->w;
    struct consumer_protocol_assignment share;
    struct consumer_protocol_assignment_assigned_partition topics[MODEL_GROUP_TOPICS];
    int32_t partitions[MODEL_GROUP_TOPICS][MODEL_GROUP_PARTITIONS];
    uint8_t mark[8];
    struct buf b;
    struct enc e;
    consumer_protocol_assignment_init(&share);
    share.assigned_partitions = topics;
    for (uint32_t t = 0; t < w->topic_count; t++) {
        uint32_t n = 0;
        for (uint32_t p = 0; p < *w->topics[t].partition_count; p++)
            if (masks[receiver] >> (t * MODEL_GROUP_PARTITIONS + p) & 1)
                partitions[t][n++] = (int32_t)p;
        if (n)
            topics[share.assigned_partitions_count++] = (struct consumer_protocol_assignment_assigned_partition){
                .topic = member_topic_name(w, t), .partitions = partitions[t], .partitions_count = n};
    }
    put_be32(mark, round);
    put_be32(mark + 4, receiver_mark(m->joined.members[receiver].id, m->joined.members[receiver].instance));
    share.user_data = bytes_of(mark, sizeof(mark));
    fixed_buf(&b, out, GROUP_ASSIGNMENT_BYTES);
    enc_init(&e, &b, NULL, 0);
    enc_i16(&e, 0);
    consumer_protocol_assignment_encode(&e, 0, &share);
    ASSERT(enc_ok(&e));
    return (uint32_t)b.n;
}

// Reads what the leader dealt out, or in a group that knows both protocols the coordinator, which signs nothing: round 0.
// False: it can have been neither.
static bool read_share(struct group_member *m, struct bytes in, struct arena *a)
{
    struct group_world *w = m->w;
    struct consumer_protocol_assignment share;
    struct dec d = dec_of(in);
    int16_t version = dec_i16(&d);
    if (version != 0 || consumer_protocol_assignment_decode(&d, 0, a, &share) != RC_OK)
        return false;
    uint32_t mask = 0;
    for (uint32_t k = 0; k < share.assigned_partitions_count; k++) {
        uint32_t t = 0;
        while (t < w->topic_count && !bytes_eq(share.assigned_partitions[k].topic, member_topic_name(w, t)))
            t++;
        for (uint32_t j = 0; t < w->topic_count && j < share.assigned_partitions[k].partitions_count; j++)
            mask |= 1u << (t * MODEL_GROUP_PARTITIONS + (uint32_t)share.assigned_partitions[k].partitions[j]);
    }
    m->owned = mask;
    m->round = 0;
    if (share.user_data.n == 0 && w->groups[m->group].protocol == GROUP_PROTOCOL_MIXED)
        return true;
    if (share.user_data.n != 8)
        return false;
    m->round = be32(share.user_data.p);
    return be32(share.user_data.p + 4) == receiver_mark(m->id, m->fixed ? m->instance : "");
}

// ------------------------------------------------------------------------------------------------ sync

static void sync_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct group_member *m = container_of(r, struct group_member, request);
    struct group_world *w = m->w;
    struct arena a;
    struct sync_group_response answer;
    arena_init(&a, 64 << 10, NULL, 0);
    w->requests_answered++;
    if (member_is_stale(m)) {
    } else if (rc != RC_OK || !client_answer_decode(w->sim, r, body, &a, &answer)) {
        member_rejoin(m, true);
    } else if (!failed(m, "SyncGroup", answer.error_code)) {
        if (answer.assignment.n == 0) { // the leader knew nothing of it: a member without partitions
            m->owned = 0;
        } else if (!read_share(m, answer.assignment, &a)) {
            sim_fail(w->sim, "%s: member %u is given somebody else's share", member_model(m)->name, m->index);
        } else {
            member_holds(m, m->owned, m->owned);
            // One that was empty between two protocols counts its generations anew.
            if (w->groups[m->group].protocol == GROUP_PROTOCOL_CLASSIC)
                model_group_stable(member_model(m), w->sim, m->generation, m->round, m->request_sent,
                                   group_now(w));
        }
        sim_say(w->sim, w->machine, "%s member %u: stable in generation %d, round %u, holds %x", member_model(m)->name,
                m->index, m->generation, m->round, m->owned);
        m->told_when = m->request_sent;
        m->state = MEMBER_STABLE;
        member_assigned(m);
        member_wake_in(m, sim_latency(w->sim, 5 * SIM_MS));
    }
    arena_deinit(&a);
}

static void deal(struct group_member *m)
{
    struct group_world *w = m->w;
    uint32_t masks[MODEL_GROUP_MEMBERS + 2] = {0}, turn = 0, all = member_all_mask(w);
    uint32_t round = ++w->group_rounds;
    for (uint32_t bit = 0; bit < 32; bit++)
        if (all >> bit & 1)
            masks[turn++ % m->joined.member_count] |= 1u << bit;
    for (uint32_t k = 0; k < m->joined.member_count; k++) {
        sync_group_request_assignment_init(&m->assignments[k]);
        m->assignments[k].member_id = bytes_str(m->joined.members[k].id);
        m->assignments[k].assignment = bytes_of(m->shares[k], encode_share(m, m->shares[k], round, k, masks));
    }
}

static void sync(struct group_member *m, bool leads)
{
    struct sync_group_request *in = &m->in.sync;
    sync_group_request_init(in);
    in->group_id = bytes_str(member_model(m)->name);
    in->generation_id = m->generation;
    in->member_id = bytes_str(m->id);
    in->group_instance_id = m->fixed ? bytes_str(m->instance) : bytes_of(NULL, 0);
    in->protocol_type = bytes_str("consumer");
    in->protocol_name = bytes_str("range");
    if (leads) {
        deal(m);
        in->assignments = m->assignments;
        in->assignments_count = m->joined.member_count;
    }
    m->state = MEMBER_SYNC;
    member_send(m, &sync_group_request_message, in, INT16_MAX, m->w->groups[m->group].rebalance_timeout_ms + 2000, sync_done);
}

// ------------------------------------------------------------------------------------------------ join

static bool read_members(struct group_member *m, const struct join_group_response *answer)
{
    if (answer->members_count > ARRAY_COUNT(m->joined.members))
        return false; // more than ever were: members that crashed and wait for their session's end
    m->joined.member_count = answer->members_count;
    for (uint32_t k = 0; k < answer->members_count; k++) {
        const struct join_group_response_member *from = &answer->members[k];
        snprintf(m->joined.members[k].id, sizeof(m->joined.members[k].id), "%.*s", (int)from->member_id.n,
                 (const char *)from->member_id.p);
        snprintf(m->joined.members[k].instance, sizeof(m->joined.members[k].instance), "%.*s",
                 (int)from->group_instance_id.n, (const char *)from->group_instance_id.p);
    }
    return true;
}

static void joined(struct group_member *m, const struct join_group_response *answer)
{
    struct group_world *w = m->w;
    bool leads = bytes_eq(answer->leader, answer->member_id);
    if (!bytes_eq(answer->member_id, bytes_str(m->id)) && m->id[0])
        sim_fail(w->sim, "%s: member %u joined as another one", member_model(m)->name, m->index);
    snprintf(m->id, sizeof(m->id), "%.*s", (int)answer->member_id.n, (const char *)answer->member_id.p);
    m->generation = answer->generation_id;
    sim_say(w->sim, w->machine, "%s member %u (%s): joined generation %d of %u members", member_model(m)->name, m->index,
            m->id, m->generation, answer->members_count);
    if (leads && (answer->members_count == 0 || !read_members(m, answer))) {
        member_rejoin(m, true); // a crowd of the dead: once more when their sessions are over
        member_wake_in(m, GROUP_SESSION_MS * SIM_MS / 2);
        return;
    }
    sync(m, leads && !answer->skip_assignment);
}

static void join_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct group_member *m = container_of(r, struct group_member, request);
    struct group_world *w = m->w;
    struct arena a;
    struct join_group_response answer;
    arena_init(&a, 64 << 10, NULL, 0);
    w->requests_answered++;
    if (rc != RC_OK && (m->fixed || (m->id[0] && !member_is_stale(m))))
        member_unanswered(m, 0);
    if (member_is_stale(m)) {
    } else if (rc != RC_OK || !client_answer_decode(w->sim, r, body, &a, &answer)) {
        member_rejoin(m, true);
    } else if (answer.error_code == 79) { // MEMBER_ID_REQUIRED
        if (m->id[0])
            sim_fail(w->sim, "%s: member %u has an id and is asked to have one", member_model(m)->name, m->index);
        snprintf(m->id, sizeof(m->id), "%.*s", (int)answer.member_id.n, (const char *)answer.member_id.p);
        classic_member_join(m);
    } else if (!failed(m, "JoinGroup", answer.error_code)) {
        joined(m, &answer);
    }
    arena_deinit(&a);
}

static void encode_subscription(struct group_member *m)
{
    struct group_world *w = m->w;
    struct consumer_protocol_subscription s;
    struct buf b;
    struct enc e;
    consumer_protocol_subscription_init(&s);
    for (uint32_t t = 0; t < w->topic_count; t++)
        m->topic_names[t] = member_topic_name(w, t);
    s.topics = m->topic_names;
    s.topics_count = w->topic_count;
    fixed_buf(&b, m->metadata, sizeof(m->metadata));
    enc_init(&e, &b, NULL, 0);
    enc_i16(&e, 0);
    consumer_protocol_subscription_encode(&e, 0, &s);
    ASSERT(enc_ok(&e));
    m->metadata_bytes = (uint32_t)b.n;
}

void classic_member_join(struct group_member *m)
{
    struct join_group_request *in = &m->in.join;
    encode_subscription(m);
    join_group_request_init(in);
    in->group_id = bytes_str(member_model(m)->name);
    in->session_timeout_ms = GROUP_SESSION_MS;
    uint32_t rebalance_ms = m->w->groups[m->group].rebalance_timeout_ms;
    in->rebalance_timeout_ms = (int32_t)rebalance_ms;
    in->member_id = bytes_str(m->id);
    in->group_instance_id = m->fixed ? bytes_str(m->instance) : bytes_of(NULL, 0);
    in->protocol_type = bytes_str("consumer");
    in->protocols = m->protocols;
    in->protocols_count = 1;
    m->protocols[0] = (struct join_group_request_protocol){.name = bytes_str("range"),
                                                           .metadata = bytes_of(m->metadata, m->metadata_bytes)};
    m->state = MEMBER_JOIN;
    member_send(m, &join_group_request_message, in, INT16_MAX, rebalance_ms + GROUP_SESSION_MS + 3000, join_done);
}

// ------------------------------------------------------------------------------------------------ heartbeat, leave

static void heartbeat_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct group_member *m = container_of(r, struct group_member, request);
    struct group_world *w = m->w;
    struct arena a;
    struct heartbeat_response answer;
    arena_init(&a, 4096, NULL, 0);
    w->requests_answered++;
    if (!member_is_stale(m) && rc == RC_OK && client_answer_decode(w->sim, r, body, &a, &answer)) {
        int16_t code = answer.error_code;
        if (code == 0) // what it holds is its own for longer
            member_holds(m, m->owned, m->owned);
        else if (code == 15 || code == 16) // the coordinator is on its way, here or elsewhere: go on
            member_lost_coordinator(m);
        else if (code != 14)
            failed(m, "Heartbeat", code);
    } else if (!member_is_stale(m) && rc != RC_OK) {
        member_lost_coordinator(m);
    }
    arena_deinit(&a);
}

void classic_member_act(struct group_member *m)
{
    struct heartbeat_request *in = &m->in.heartbeat;
    heartbeat_request_init(in);
    in->group_id = bytes_str(member_model(m)->name);
    in->generation_id = m->generation;
    in->member_id = bytes_str(m->id);
    in->group_instance_id = m->fixed ? bytes_str(m->instance) : bytes_of(NULL, 0);
    member_send(m, &heartbeat_request_message, in, INT16_MAX, 1000, heartbeat_done);
}

void classic_member_leave(struct group_member *m)
{
    struct leave_group_request *in = &m->in.leave;
    member_let_go(m);
    leave_group_request_init(in);
    leave_group_request_member_init(&m->leaver);
    in->group_id = bytes_str(member_model(m)->name);
    in->member_id = bytes_str(m->id);
    m->leaver.member_id = bytes_str(m->id);
    m->leaver.group_instance_id = m->fixed ? bytes_str(m->instance) : bytes_of(NULL, 0);
    in->members = &m->leaver;
    in->members_count = 1;
    member_send(m, &leave_group_request_message, in, m->fixed ? INT16_MAX : sim_chance(m->w->sim, 1, 3) ? 2 : INT16_MAX,
                1000, member_left);
}
