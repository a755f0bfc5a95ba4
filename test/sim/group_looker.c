// SPDX-License-Identifier: Apache-2.0
//
// Looks at groups from outside: fetches committed offsets and holds them against what was acknowledged, lists and
// describes groups, deletes one that nobody is in, and learns the ids of topics whose creation it did not see.
#include "group_world.h"

#include <string.h>

#include "base/assert.h"
#include "model/kerr.h"

static void tick(struct shard_timer *t);

static void wake_in(struct group_looker *l, uint64_t delay_ns)
{
    struct shard *s = l->groups->shard;
    enum rc rc = shard_timer_set(s, &l->timer, shard_now_ns(s) + delay_ns, tick);
    ASSERT(rc == RC_OK);
}

static void look_send(struct group_looker *l, const struct schema_message *message, const void *in, int16_t version_max,
                      client_done_fn done)
{
    l->request.message = message;
    l->request.in = in;
    l->request.version_max = version_max;
    l->request.done = done;
    l->sent = group_now(l->w);
    client_connection_submit(&l->links.to[l->at[l->group]], &l->request);
}

static bool passes(int16_t code)
{
    return code == -1 || code == 7 || code == 14 || code == 15 || code == 16;
}

static struct model_group *model_of(struct group_looker *l)
{
    return &l->w->groups[l->group].model;
}

// ------------------------------------------------------------------------------------------------ offsets

static void saw(struct group_looker *l, struct bytes topic, int32_t partition, int64_t offset, int16_t code,
                bool seen[MODEL_GROUP_TOPICS][MODEL_GROUP_PARTITIONS])
{
    struct group_world *w = l->w;
    uint32_t t = 0;
    while (t < w->topic_count && !bytes_eq(topic, bytes_str(w->topics[t].name)))
        t++;
    if (t == w->topic_count || partition < 0 || (uint32_t)partition >= *w->topics[t].partition_count) {
        sim_fail(w->sim, "%s: an offset of an unknown partition is fetched", model_of(l)->name);
        return;
    }
    if (code != 0) {
        sim_fail(w->sim, "%s: fetching the offset of %s-%d: error %d", model_of(l)->name, w->topics[t].name, partition,
                 code);
        return;
    }
    seen[t][partition] = true;
    w->result->checks++;
    model_group_fetched(model_of(l), w->sim, t, (uint32_t)partition, offset, l->sent, group_now(w));
}

static void read_offsets(struct group_looker *l, const struct offset_fetch_response *answer, int16_t version)
{
    struct group_world *w = l->w;
    bool seen[MODEL_GROUP_TOPICS][MODEL_GROUP_PARTITIONS] = {0};
    if (version >= 8 && answer->groups_count != 1) {
        sim_fail(w->sim, "one group's offsets are asked for, %u answer", answer->groups_count);
        return;
    }
    int16_t code = version >= 8 ? answer->groups[0].error_code : answer->error_code;
    if (code != 0) {
        if (!passes(code))
            sim_fail(w->sim, "%s: OffsetFetch is answered with error %d", model_of(l)->name, code);
        return;
    }
    if (w->may_not_know && w->may_not_know(w, l->group, l->at[l->group], l->sent.ns))
        return;
    if (version >= 8) {
        for (uint32_t t = 0; t < answer->groups[0].topics_count; t++) {
            const struct offset_fetch_response_group_topic *topic = &answer->groups[0].topics[t];
            for (uint32_t p = 0; p < topic->partitions_count; p++)
                saw(l, topic->name, topic->partitions[p].partition_index, topic->partitions[p].committed_offset,
                    topic->partitions[p].error_code, seen);
        }
    } else {
        for (uint32_t t = 0; t < answer->topics_count; t++) {
            const struct offset_fetch_response_topic *topic = &answer->topics[t];
            for (uint32_t p = 0; p < topic->partitions_count; p++)
                saw(l, topic->name, topic->partitions[p].partition_index, topic->partitions[p].committed_offset,
                    topic->partitions[p].error_code, seen);
        }
    }
    for (uint32_t t = 0; t < w->topic_count && !w->sim->failed; t++) // all were asked for: what is missing is not there
        for (uint32_t p = 0; p < *w->topics[t].partition_count; p++)
            if (!seen[t][p])
                model_group_fetched(model_of(l), w->sim, t, p, OFFSET_NONE, l->sent, group_now(w));
    l->fetched_ok = true;
}

static void fetch_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct group_looker *l = container_of(r, struct group_looker, request);
    struct group_world *w = l->w;
    struct arena a;
    struct offset_fetch_response answer;
    arena_init(&a, 256 << 10, NULL, 0);
    w->requests_answered++;
    l->fetched_ok = false;
    if (rc == RC_OK && client_answer_decode(w->sim, r, body, &a, &answer))
        read_offsets(l, &answer, r->version);
    if (l->verifying && l->fetched_ok)
        l->verified++;
    if (!l->fetched_ok) // not its coordinator, perhaps
        l->at[l->group] = (uint32_t)sim_between(w->sim, 0, w->host_count - 1);
    arena_deinit(&a);
    wake_in(l, 10 * SIM_MS);
}

static void fetch(struct group_looker *l)
{
    l->name = bytes_str(model_of(l)->name);
    offset_fetch_request_init(&l->fetch);
    offset_fetch_request_group_init(&l->fetch_group);
    l->fetch.group_id = l->fetch_group.group_id = l->name;
    l->fetch.groups = &l->fetch_group;
    l->fetch.groups_count = 1;
    l->fetch.topics = NULL; // all: from version 2
    l->fetch_group.topics = NULL;
    look_send(l, &offset_fetch_request_message, &l->fetch, (int16_t)sim_between(l->w->sim, 2, 9), fetch_done);
}

// ------------------------------------------------------------------------------------------------ groups

static void list_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct group_looker *l = container_of(r, struct group_looker, request);
    struct arena a;
    struct list_groups_response answer;
    arena_init(&a, 64 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(l->w->sim, r, body, &a, &answer) && answer.error_code == 0 &&
        answer.groups_count > l->w->group_count)
        sim_fail(l->w->sim, "%u groups are listed, there are %u", answer.groups_count, l->w->group_count);
    arena_deinit(&a);
    wake_in(l, 10 * SIM_MS);
}

static void describe_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct group_looker *l = container_of(r, struct group_looker, request);
    struct group_world *w = l->w;
    struct arena a;
    struct describe_groups_response answer;
    arena_init(&a, 256 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(w->sim, r, body, &a, &answer) &&
        (answer.groups_count != 1 || !bytes_eq(answer.groups[0].group_id, l->name)))
        sim_fail(w->sim, "another group is described than was asked for");
    arena_deinit(&a);
    wake_in(l, 10 * SIM_MS);
}

// No partition stands in two members' assignments.
static void check_assignments(struct group_looker *l, const struct consumer_group_describe_response_group *g)
{
    struct group_world *w = l->w;
    uint32_t held = 0;
    for (uint32_t k = 0; k < g->members_count; k++)
        for (uint32_t j = 0; j < g->members[k].assignment.topic_partitions_count; j++) {
            const struct consumer_group_describe_response_topic_partition *tp =
                &g->members[k].assignment.topic_partitions[j];
            uint32_t t = 0;
            while (t < w->topic_count && !uuid_eq(*w->topics[t].id, tp->topic_id))
                t++;
            for (uint32_t i = 0; t < w->topic_count && i < tp->partitions_count; i++) {
                uint32_t bit = 1u << (t * MODEL_GROUP_PARTITIONS + (uint32_t)tp->partitions[i]);
                if (held & bit)
                    sim_fail(w->sim, "%s: two members are assigned %s-%d", model_of(l)->name, w->topics[t].name,
                             tp->partitions[i]);
                held |= bit;
            }
        }
}

static void describe_new_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct group_looker *l = container_of(r, struct group_looker, request);
    struct group_world *w = l->w;
    struct arena a;
    struct consumer_group_describe_response answer;
    arena_init(&a, 256 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(w->sim, r, body, &a, &answer) && answer.groups_count == 1 &&
        answer.groups[0].error_code == 0)
        check_assignments(l, &answer.groups[0]);
    arena_deinit(&a);
    wake_in(l, 10 * SIM_MS);
}

static void delete_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct group_looker *l = container_of(r, struct group_looker, request);
    struct group_world *w = l->w;
    struct arena a;
    struct delete_groups_response answer;
    arena_init(&a, 16 << 10, NULL, 0);
    enum model_wipe how = MODEL_WIPE_UNSURE;
    if (rc == RC_OK && client_answer_decode(w->sim, r, body, &a, &answer) && answer.results_count == 1) {
        int16_t code = answer.results[0].error_code;
        sim_say(w->sim, w->machine, "deleting %s: %s", model_of(l)->name, kerr_name(code));
        if (code == 0) {
            how = MODEL_WIPE_DONE;
            w->counts[GROUP_GROUPS_DELETED]++;
        } else if (code == 68 || code == 69 || code == 14) // NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND, loading
            how = MODEL_WIPE_REFUSED;
        else if (!passes(code))
            sim_fail(w->sim, "deleting %s is answered with error %d", model_of(l)->name, code);
    }
    model_group_wiped(model_of(l), how, group_now(w), l->at[l->group]);
    arena_deinit(&a);
    wake_in(l, 10 * SIM_MS);
}

// Deletions are told apart by their times, so one comes only when no commit is on its way.
static bool may_delete(struct group_looker *l)
{
    const struct group_account *account = &l->w->groups[l->group];
    for (uint32_t k = 0; k < account->member_count; k++) {
        const struct group_member *m = &l->groups->members[l->group][k];
        if (m->commit.busy || m->request.busy || m->state == MEMBER_STABLE)
            return false;
    }
    return true;
}

static void ids_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct group_looker *l = container_of(r, struct group_looker, request);
    struct group_world *w = l->w;
    struct arena a;
    struct metadata_response answer;
    arena_init(&a, 256 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(w->sim, r, body, &a, &answer))
        for (uint32_t k = 0; k < answer.topics_count; k++)
            for (uint32_t t = 0; t < w->topic_count; t++)
                if (bytes_eq(answer.topics[k].name, bytes_str(w->topics[t].name)) && answer.topics[k].error_code == 0)
                    *w->topics[t].id = answer.topics[k].topic_id;
    arena_deinit(&a);
    wake_in(l, 10 * SIM_MS);
}

static bool learn_ids(struct group_looker *l)
{
    struct group_world *w = l->w;
    static struct metadata_request all_topics;
    for (uint32_t t = 0; t < w->topic_count; t++)
        if (w->there(w, t) && uuid_is_zero(*w->topics[t].id)) {
            metadata_request_init(&all_topics);
            all_topics.topics = NULL; // all
            look_send(l, &metadata_request_message, &all_topics, 12, ids_done);
            return true;
        }
    return false;
}

// ------------------------------------------------------------------------------------------------ the loop

static void look(struct group_looker *l)
{
    struct group_world *w = l->w;
    struct sim *sim = w->sim;
    l->name = bytes_str(model_of(l)->name);
    uint64_t dice = sim_between(sim, 0, 99);
    if (dice < 50) {
        fetch(l);
    } else if (dice < 65) {
        list_groups_request_init(&l->list);
        look_send(l, &list_groups_request_message, &l->list, INT16_MAX, list_done);
    } else if (dice < 80) {
        describe_groups_request_init(&l->describe);
        l->describe.groups = &l->name;
        l->describe.groups_count = 1;
        look_send(l, &describe_groups_request_message, &l->describe, INT16_MAX, describe_done);
    } else if (dice < 92) {
        consumer_group_describe_request_init(&l->describe_new);
        l->describe_new.group_ids = &l->name;
        l->describe_new.group_ids_count = 1;
        look_send(l, &consumer_group_describe_request_message, &l->describe_new, INT16_MAX, describe_new_done);
    } else if (!*w->draining && (may_delete(l) || sim_chance(sim, 1, 8))) { // a live one must refuse
        delete_groups_request_init(&l->delete);
        l->delete.groups_names = &l->name;
        l->delete.groups_names_count = 1;
        model_group_wipe_sent(model_of(l), group_now(w));
        look_send(l, &delete_groups_request_message, &l->delete, INT16_MAX, delete_done);
    }
}

static void tick(struct shard_timer *timer)
{
    struct group_looker *l = container_of(timer, struct group_looker, timer);
    struct group_world *w = l->w;
    if (w->sim->failed)
        return;
    wake_in(l, sim_latency(w->sim, 30 * SIM_MS));
    if (l->request.busy || learn_ids(l))
        return;
    if (l->verifying && l->verified < w->group_count) {
        l->group = (uint8_t)l->verified;
        fetch(l);
        return;
    }
    l->group = (uint8_t)sim_between(w->sim, 0, w->group_count - 1);
    look(l);
}

void group_looker_start(struct group_looker *l, struct group_clients *g)
{
    l->w = g->w;
    l->groups = g;
    group_links_init(&l->links, g, "looker");
    client_request_init(&l->request, &offset_fetch_request_message, 3000);
    wake_in(l, 20 * SIM_MS);
}

void group_clients_verify(struct group_clients *g)
{
    g->looker.verifying = true;
    g->looker.verified = 0;
}

bool group_clients_verified(const struct group_clients *g)
{
    return g->looker.verified >= g->w->group_count;
}
