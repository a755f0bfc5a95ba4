// SPDX-License-Identifier: Apache-2.0
//
// Questions about a group of the new protocol that change nothing: its state, its members, who may commit.
#include "group/consumer.h"

#include <stdlib.h>

uint32_t consumer_member_count(const struct group *gr)
{
    return gr->consumer->member_count;
}

static bool settled(const struct consumer_group *cg)
{
    for (struct consumer_member *m = consumer_member_first(cg); m; m = consumer_member_next(cg, m)) {
        struct consumer_current now = consumer_current_of(m);
        if (now.state != CONSUMER_STABLE || now.epoch != cg->assignment_epoch)
            return false;
    }
    return true;
}

const char *consumer_state_name(const struct group *gr)
{
    const struct consumer_group *cg = gr->consumer;
    if (cg->member_count == 0)
        return "Empty";
    if (cg->epoch > cg->assignment_epoch)
        return "Assigning";
    return settled(cg) ? "Stable" : "Reconciling";
}

static int by_topic_name(const void *key, const void *element)
{
    const struct consumer_group_partition_metadata_value_topic *t = element;
    return bytes_cmp(*(const struct bytes *)key, t->topic_name);
}

bool consumer_subscribes(const struct group *gr, struct bytes topic)
{
    const struct consumer_group *cg = gr->consumer;
    return cg->member_count > 0 && cg->topics && cg->topics->topics_count > 0 &&
           bsearch(&topic, cg->topics->topics, cg->topics->topics_count, sizeof(*cg->topics->topics), by_topic_name);
}

static enum rc epoch_allowed(const struct consumer_member *m, int32_t epoch)
{
    if (consumer_current_of(m).epoch == epoch)
        return RC_OK;
    return consumer_is_classic(m) ? RC_ILLEGAL_GENERATION : RC_STALE_MEMBER_EPOCH;
}

enum rc consumer_commit_allowed(struct group *gr, const struct group_call *call, const struct offset_commit_request *in)
{
    const struct consumer_group *cg = gr->consumer;
    int32_t epoch = in->generation_id_or_member_epoch;
    if (epoch < 0 && cg->member_count == 0)
        return RC_OK; // by an admin, or a consumer that assigns partitions itself
    const struct consumer_member *m = consumer_member_find(cg, in->member_id);
    if (!m)
        return RC_UNKNOWN_MEMBER_ID;
    if (call->version < 9 && !consumer_is_classic(m))
        return RC_UNSUPPORTED_VERSION; // STALE_MEMBER_EPOCH is unknown to older clients
    return epoch_allowed(m, epoch);
}

enum rc consumer_fetch_allowed(struct group *gr, struct bytes member_id, int32_t member_epoch)
{
    if (member_id.n == 0 && member_epoch < 0)
        return RC_OK;
    const struct consumer_member *m = consumer_member_find(gr->consumer, member_id);
    return m ? epoch_allowed(m, member_epoch) : RC_UNKNOWN_MEMBER_ID;
}

// ------------------------------------------------------------------------------------------------ describe

// Topics that are gone have no name, and are left out.
static bool describe_set(const struct groups *g, struct group_call *call, const struct partition_set *s,
                         struct consumer_group_describe_response_assignment *out)
{
    out->topic_partitions = group_answer_alloc(call, s->count, sizeof(*out->topic_partitions));
    if (!out->topic_partitions)
        return false;
    for (uint32_t i = 0; i < s->count; i++) {
        struct group_topic t;
        if (!g->host.topic_by_id(g->host.context, s->topics[i].topic_id, &t))
            continue;
        struct consumer_group_describe_response_topic_partition *o =
            &out->topic_partitions[out->topic_partitions_count++];
        o->topic_id = t.id;
        o->topic_name = group_answer_copy(call, t.name);
        o->partitions = group_answer_alloc(call, s->topics[i].count, sizeof(*o->partitions));
        if (!o->partitions || !o->topic_name.p)
            return false;
        o->partitions_count = s->topics[i].count;
        memcpy(o->partitions, s->topics[i].partitions, s->topics[i].count * sizeof(*o->partitions));
    }
    return true;
}

static bool describe_member(const struct groups *g, struct group_call *call, const struct consumer_member *m,
                            struct consumer_group_describe_response_member *out)
{
    struct consumer_current now = consumer_current_of(m);
    struct partition_set target = consumer_target_set(m);
    out->member_id = group_answer_copy(call, consumer_member_id(m));
    out->instance_id = group_answer_copy(call, m->sub->instance_id);
    out->rack_id = group_answer_copy(call, m->sub->rack_id);
    out->member_epoch = now.epoch;
    out->client_id = group_answer_copy(call, m->sub->client_id);
    out->client_host = group_answer_copy(call, m->sub->client_host);
    out->subscribed_topic_regex = group_answer_copy(call, m->sub->subscribed_topic_regex);
    out->subscribed_topic_names =
        group_answer_alloc(call, m->sub->subscribed_topic_names_count, sizeof(*out->subscribed_topic_names));
    if (!out->subscribed_topic_names)
        return false;
    out->subscribed_topic_names_count = m->sub->subscribed_topic_names_count;
    bool good = out->member_id.p && out->client_id.p && out->client_host.p;
    for (uint32_t i = 0; i < m->sub->subscribed_topic_names_count; i++) {
        out->subscribed_topic_names[i] = group_answer_copy(call, m->sub->subscribed_topic_names[i]);
        good = good && out->subscribed_topic_names[i].p;
    }
    return good && describe_set(g, call, &now.assigned, &out->assignment) &&
           describe_set(g, call, &target, &out->target_assignment);
}

bool consumer_describe(struct group *gr, struct group_call *call, struct consumer_group_describe_response_group *out)
{
    const struct consumer_group *cg = gr->consumer;
    out->group_state = bytes_str(consumer_state_name(gr));
    out->group_epoch = cg->epoch;
    out->assignment_epoch = cg->assignment_epoch;
    out->assignor_name = bytes_str(consumer_assignor_name(consumer_assignor(gr->groups, cg)));
    out->members = group_answer_alloc(call, cg->member_count, sizeof(*out->members));
    bool good = out->members != NULL;
    for (struct consumer_member *m = consumer_member_first(cg); good && m; m = consumer_member_next(cg, m)) {
        struct consumer_group_describe_response_member *o = &out->members[out->members_count++];
        consumer_group_describe_response_member_init(o);
        good = describe_member(gr->groups, call, m, o);
    }
    return good;
}
