// SPDX-License-Identifier: Apache-2.0
//
// A member of the new protocol (KIP-848): one heartbeat that joins, tells what it owns, and takes what it is given. What
// is taken from it counts as held until it sends a heartbeat without it; then another member may have it.
#include "group_world.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "model/kerr.h"

enum { MEMBER_EPOCH_LEAVE = -1, MEMBER_EPOCH_LEAVE_FIXED = -2 };

static void beat_failed(struct group_member *m, int16_t code, struct bytes message)
{
    struct group_world *w = m->w;
    sim_say(w->sim, w->machine, "%s member %u: heartbeat in epoch %d: %s %.*s", member_model(m)->name, m->index,
            m->generation, kerr_name(code), (int)message.n, (const char *)message.p);
    switch (code) {
    case 15: // COORDINATOR_NOT_AVAILABLE
    case 16: // NOT_COORDINATOR
        member_lost_coordinator(m);
        m->told_valid = false;
        break;
    case 14: // COORDINATOR_LOAD_IN_PROGRESS
    case 7:
    case -1:
        m->told_valid = false; // the next one says everything again
        break;
    case 25:  // UNKNOWN_MEMBER_ID
    case 110: // FENCED_MEMBER_EPOCH
        member_rejoin(m, true);
        break;
    case 111: // UNRELEASED_INSTANCE_ID: its former life has not ended yet
        member_rejoin(m, false);
        member_wake_in(m, 100 * SIM_MS);
        break;
    case 82: // FENCED_INSTANCE_ID: what it asked in its former life arrived late, or a power cut brought that back
        if (m->fixed && (!member_model(m)->lossless || w->sim->now_ns - m->came_ns < SIM_S)) {
            member_rejoin(m, false);
            break;
        }
        goto never;
    case 69: // GROUP_ID_NOT_FOUND
        if (m->generation > 0 && model_group_may_be_gone(member_model(m), m->told_when)) {
            member_rejoin(m, true);
            break;
        }
        // fall through
    case 23: // INCONSISTENT_GROUP_PROTOCOL
        if (w->groups[m->group].protocol == GROUP_PROTOCOL_MIXED) {
            member_rejoin(m, false);
            break;
        }
        // fall through
    default:
    never:
        sim_fail(w->sim, "%s: a heartbeat of the new protocol is answered with error %d (%.*s)", member_model(m)->name,
                 code, (int)message.n, (const char *)message.p);
    }
}

static uint32_t mask_of(struct group_world *w, const struct consumer_group_heartbeat_response_assignment *a)
{
    uint32_t mask = 0;
    for (uint32_t k = 0; k < a->topic_partitions_count; k++) {
        uint32_t t = 0;
        while (t < w->topic_count && !uuid_eq(*w->topics[t].id, a->topic_partitions[k].topic_id))
            t++;
        for (uint32_t j = 0; j < a->topic_partitions[k].partitions_count; j++) {
            int32_t p = a->topic_partitions[k].partitions[j];
            if (t == w->topic_count || p < 0 || (uint32_t)p >= *w->topics[t].partition_count)
                sim_fail(w->sim, "a member is given partition %d of an unknown topic", p);
            else
                mask |= 1u << (t * MODEL_GROUP_PARTITIONS + (uint32_t)p);
        }
    }
    return mask;
}

static void beat_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct group_member *m = container_of(r, struct group_member, request);
    struct group_world *w = m->w;
    struct arena a;
    struct consumer_group_heartbeat_response answer;
    arena_init(&a, 64 << 10, NULL, 0);
    w->requests_answered++;
    if (member_is_stale(m)) {
    } else if (rc != RC_OK || !client_answer_decode(w->sim, r, body, &a, &answer)) {
        if (m->in.beat.topic_partitions)
            member_unanswered(m, m->told);
        m->told_valid = false;
        member_lost_coordinator(m);
    } else if (answer.error_code) {
        beat_failed(m, answer.error_code, answer.error_message);
    } else {
        if (answer.member_id.n > 0)
            snprintf(m->id, sizeof(m->id), "%.*s", (int)answer.member_id.n, (const char *)answer.member_id.p);
        if (answer.member_epoch < m->generation && m->w->groups[m->group].model.lossless)
            sim_fail(w->sim, "%s: the epoch of member %u falls from %d to %d", member_model(m)->name, m->index,
                     m->generation, answer.member_epoch);
        m->generation = answer.member_epoch;
        m->state = MEMBER_STABLE;
        m->told_when = m->request_sent;
        uint32_t held = m->owned;
        if (answer.assignment) {
            uint32_t given = mask_of(w, answer.assignment);
            held |= given; // what is taken away is still held
            m->owned = given;
            member_assigned(m);
            sim_say(w->sim, w->machine, "%s member %u: epoch %d, holds %x", member_model(m)->name, m->index, m->generation,
                    m->owned);
        }
        member_holds(m, held, m->owned);
    }
    arena_deinit(&a);
}

static void say_owned(struct group_member *m, struct consumer_group_heartbeat_request *in)
{
    struct group_world *w = m->w;
    in->topic_partitions = m->owned_topics;
    for (uint32_t t = 0; t < w->topic_count; t++) {
        uint32_t n = 0;
        for (uint32_t p = 0; p < *w->topics[t].partition_count; p++)
            if (m->owned >> (t * MODEL_GROUP_PARTITIONS + p) & 1)
                m->owned_partitions[t][n++] = (int32_t)p;
        if (n)
            m->owned_topics[in->topic_partitions_count++] = (struct consumer_group_heartbeat_request_topic_partition){
                .topic_id = *w->topics[t].id, .partitions = m->owned_partitions[t], .partitions_count = n};
    }
}

void consumer_member_beat(struct group_member *m)
{
    struct group_world *w = m->w;
    struct consumer_group_heartbeat_request *in = &m->in.beat;
    bool joins = m->state == MEMBER_JOIN;
    for (uint32_t t = 0; t < w->topic_count; t++)
        if (uuid_is_zero(*w->topics[t].id))
            return; // its creation's answer was lost: the administrator will learn it
    consumer_group_heartbeat_request_init(in);
    in->group_id = bytes_str(member_model(m)->name);
    if (!m->id[0]) // KIP-1082: the client draws it
        snprintf(m->id, sizeof(m->id), "member-%u-%u-%llu", m->group, m->index,
                 (unsigned long long)sim_between(w->sim, 0, UINT32_MAX));
    in->member_id = bytes_str(m->id);
    in->member_epoch = joins ? 0 : m->generation;
    in->instance_id = m->fixed ? bytes_str(m->instance) : bytes_of(NULL, 0);
    if (joins || !m->told_valid) {
        for (uint32_t t = 0; t < w->topic_count; t++)
            m->topic_names[t] = member_topic_name(w, t);
        in->rebalance_timeout_ms = (int32_t)w->groups[m->group].rebalance_timeout_ms;
        in->subscribed_topic_names = m->topic_names;
        in->subscribed_topic_names_count = w->topic_count;
    }
    if (joins || !m->told_valid || m->told != m->owned)
        say_owned(m, in);
    if (joins)
        m->owned = 0;
    m->told = m->owned;
    m->told_valid = true;
    // From here on only what this heartbeat lists is held; its lease stays as it was.
    member_holds(m, m->owned, 0);
    member_send(m, &consumer_group_heartbeat_request_message, in, INT16_MAX, 1000, beat_done);
}

void consumer_member_leave(struct group_member *m)
{
    struct consumer_group_heartbeat_request *in = &m->in.beat;
    consumer_group_heartbeat_request_init(in);
    in->group_id = bytes_str(member_model(m)->name);
    in->member_id = bytes_str(m->id);
    in->member_epoch = m->fixed ? MEMBER_EPOCH_LEAVE_FIXED : MEMBER_EPOCH_LEAVE;
    in->instance_id = m->fixed ? bytes_str(m->instance) : bytes_of(NULL, 0);
    member_let_go(m);
    member_send(m, &consumer_group_heartbeat_request_message, in, INT16_MAX, 1000, member_left);
}
