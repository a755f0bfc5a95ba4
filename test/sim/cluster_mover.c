// SPDX-License-Identifier: Apache-2.0
//
// The mover of the cluster scenario: an operator who gives partitions other replicas, changes his mind, and cancels. What
// holds for everybody else must hold meanwhile. In the end every partition has as many replicas as it had at first.
#include "cluster_clients.h"

#include <string.h>

#include "base/assert.h"
#include "model/kerr.h"

struct cluster_mover {
    struct cluster_clients *all;
    struct cluster_links links;
    struct shard_timer timer;
    struct client_request request;
    struct alter_partition_reassignments_request alter;
    struct alter_partition_reassignments_request_topic topic;
    struct alter_partition_reassignments_request_partition partition;
    struct list_partition_reassignments_request list;
    int32_t target[CLUSTER_NODES_MAX];
    uint32_t at_topic, at_partition; // which one is moved
    bool putting_back;               // all of them, in order
    bool put_back, over;
    uint32_t unsure[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX]; // moves that may have been decided or may yet be
};

enum { INVALID_REPLICA_ASSIGNMENT = 39, NO_REASSIGNMENT_IN_PROGRESS = 85 };

static void mover_tick(struct shard_timer *t);

static void again_in(struct cluster_mover *m, uint64_t delay_ns)
{
    m->all->w->requests_answered++;
    cluster_wake_in(m->all, &m->timer, delay_ns, mover_tick);
}

static bool part_of(const int32_t *some, uint32_t some_count, const int32_t *all, uint32_t all_count)
{
    for (uint32_t i = 0; i < some_count; i++) {
        uint32_t k = 0;
        while (k < all_count && all[k] != some[i])
            k++;
        if (k == all_count)
            return false;
    }
    return some_count < all_count;
}

// ------------------------------------------------------------------------------------------------ what is under way

static void list_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct cluster_mover *m = container_of(r, struct cluster_mover, request);
    struct cluster_world *w = m->all->w;
    struct arena arena;
    struct list_partition_reassignments_response answer;
    arena_init(&arena, 64 << 10, NULL, 0);
    bool read = rc == RC_OK && client_answer_decode(&w->sim, r, body, &arena, &answer);
    for (uint32_t i = 0; read && i < answer.topics_count; i++)
        for (uint32_t k = 0; k < answer.topics[i].partitions_count; k++) {
            const struct list_partition_reassignments_response_partition *p = &answer.topics[i].partitions[k];
            if (!part_of(p->adding_replicas, p->adding_replicas_count, p->replicas, p->replicas_count) ||
                !part_of(p->removing_replicas, p->removing_replicas_count, p->replicas, p->replicas_count))
                sim_fail(&w->sim, "a move is listed that adds or removes what is no replica");
        }
    m->over = m->put_back && read && answer.error_code == 0 && answer.topics_count == 0;
    arena_deinit(&arena);
    again_in(m, 100 * SIM_MS);
}

static void list(struct cluster_mover *m)
{
    list_partition_reassignments_request_init(&m->list);
    m->request.message = &list_partition_reassignments_request_message;
    m->request.in = &m->list;
    m->request.done = list_done;
    client_connection_submit(&m->links.to[cluster_choose(m->all->w, -1)], &m->request);
}

// ------------------------------------------------------------------------------------------------ moving

static bool answer_fits(const struct cluster_mover *m, int16_t code)
{
    return code == 0 || code == -1 || kerr_retriable(code) || code == INVALID_REPLICA_ASSIGNMENT ||
           (!m->partition.replicas && code == NO_REASSIGNMENT_IN_PROGRESS);
}

static void alter_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct cluster_mover *m = container_of(r, struct cluster_mover, request);
    struct cluster_world *w = m->all->w;
    struct arena arena;
    struct alter_partition_reassignments_response answer;
    arena_init(&arena, 64 << 10, NULL, 0);
    int16_t code = -1;
    if (rc == RC_OK && client_answer_decode(&w->sim, r, body, &arena, &answer)) {
        if (answer.responses_count != 1 || answer.responses[0].partitions_count != 1)
            sim_fail(&w->sim, "a move of one partition is answered for %u topics", answer.responses_count);
        else
            code = answer.responses[0].partitions[0].error_code;
        sim_say(&w->sim, w->machine, "mover: %s-%d: %s: %s", w->topics[m->at_topic].name, m->partition.partition_index,
                m->partition.replicas ? "set" : "cancel", kerr_name(code));
        if (!answer_fits(m, code))
            sim_fail(&w->sim, "a move of replicas is answered with error %d", code);
    }
    arena_deinit(&arena);
    if (code == -1 || kerr_retriable(code))
        m->unsure[m->at_topic][m->at_partition]++;
    if (m->putting_back && code == 0) {
        m->at_partition++;
        again_in(m, SIM_MS);
        return;
    }
    again_in(m, sim_between(&w->sim, 20 * SIM_MS, SIM_S));
}

// As many as must have what is acknowledged, or more; in the end as many as at first.
static uint32_t some_nodes(struct cluster_mover *m)
{
    struct cluster_world *w = m->all->w;
    uint32_t count = (uint32_t)cluster_replicas(w);
    if (!w->draining)
        count = (uint32_t)sim_between(&w->sim, (uint64_t)cluster_min_isr(w), w->node_count);
    for (uint32_t i = 0; i < w->node_count; i++)
        m->target[i] = (int32_t)i + 1;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = (uint32_t)sim_between(&w->sim, i, w->node_count - 1);
        int32_t node = m->target[k];
        m->target[k] = m->target[i];
        m->target[i] = node;
    }
    return count;
}

static void alter(struct cluster_mover *m, bool cancel)
{
    struct cluster_world *w = m->all->w;
    alter_partition_reassignments_request_init(&m->alter);
    alter_partition_reassignments_request_topic_init(&m->topic);
    alter_partition_reassignments_request_partition_init(&m->partition);
    m->alter.timeout_ms = 3000;
    m->alter.topics = &m->topic;
    m->alter.topics_count = 1;
    m->topic.name = bytes_str(w->topics[m->at_topic].name);
    m->topic.partitions = &m->partition;
    m->topic.partitions_count = 1;
    m->partition.partition_index = (int32_t)m->at_partition;
    if (!cancel) {
        m->partition.replicas = m->target;
        m->partition.replicas_count = some_nodes(m);
    }
    m->request.message = &alter_partition_reassignments_request_message;
    m->request.in = &m->alter;
    m->request.done = alter_done;
    client_connection_submit(&m->links.to[cluster_choose(w, -1)], &m->request);
}

static void put_back(struct cluster_mover *m)
{
    struct cluster_world *w = m->all->w;
    if (!m->putting_back)
        m->at_topic = m->at_partition = 0;
    m->putting_back = true;
    while (m->at_topic < w->topic_count &&
           (!w->topics[m->at_topic].there || m->at_partition >= w->topics[m->at_topic].partition_count)) {
        m->at_topic++;
        m->at_partition = 0;
    }
    m->put_back = m->at_topic == w->topic_count;
    if (m->put_back)
        list(m);
    else
        alter(m, false);
}

// The newest metadata that anybody has applied; a node that has just come back may tell of older times.
static const struct image *newest_image(const struct cluster_world *w)
{
    const struct image *newest = NULL;
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct node *n = w->nodes[i].process.running && w->nodes[i].ready ? w->nodes[i].process.program : NULL;
        if (n && (!newest || engine_image(&n->engine->shards[0])->index > newest->index))
            newest = engine_image(&n->engine->shards[0]);
    }
    return newest;
}

// Nobody moves it, and it has not as many replicas as it had at first.
static bool is_undone(const struct cluster_world *w, const struct image_partition *p)
{
    return !image_is_moving(p) && p->replica_count != (uint32_t)cluster_replicas(w);
}

// A move that nobody answered may be decided after its partition was put back. Each one is a reason to put back once more,
// and nothing else is. False: none is left to look for.
static bool look_again(struct cluster_mover *m)
{
    const struct cluster_world *w = m->all->w;
    const struct image *image = newest_image(w);
    bool again = false, unsure = false;
    for (uint32_t t = 0; image && t < w->topic_count; t++) {
        const struct image_topic *it = image_topic_by_id(image, w->topics[t].id);
        for (int32_t k = 0; it && k < it->partition_count; k++) {
            if (m->unsure[t][k] && is_undone(w, image_partition(it, k))) {
                m->unsure[t][k]--;
                again = true;
            }
            unsure |= m->unsure[t][k] > 0;
        }
    }
    if (again)
        m->over = m->putting_back = false;
    return unsure || again;
}

static void mover_tick(struct shard_timer *t)
{
    struct cluster_mover *m = container_of(t, struct cluster_mover, timer);
    struct cluster_world *w = m->all->w;
    if (w->sim.failed || m->request.busy)
        return;
    if (m->over) {
        if (look_again(m))
            cluster_wake_in(m->all, t, 100 * SIM_MS, mover_tick);
        return;
    }
    if (w->draining) {
        put_back(m);
        return;
    }
    m->at_topic = (uint32_t)sim_between(&w->sim, 0, w->topic_count - 1);
    m->at_partition = (uint32_t)sim_between(&w->sim, 0, w->topics[m->at_topic].partition_count - 1);
    uint64_t dice = sim_between(&w->sim, 0, 9);
    if (!w->topics[m->at_topic].there)
        cluster_wake_in(m->all, t, 100 * SIM_MS, mover_tick);
    else if (dice == 0)
        list(m);
    else
        alter(m, dice <= 2);
}

static bool idle(const void *actor)
{
    const struct cluster_mover *m = actor;
    const struct cluster_world *w = m->all->w;
    const struct image *image = newest_image(w);
    for (uint32_t t = 0; image && t < w->topic_count; t++) {
        const struct image_topic *it = image_topic_by_id(image, w->topics[t].id);
        for (int32_t k = 0; it && k < it->partition_count; k++)
            if (image_is_moving(image_partition(it, k)) || is_undone(w, image_partition(it, k)))
                return false;
    }
    return image && m->over && !m->request.busy;
}

static void *start(struct cluster_clients *all)
{
    struct cluster_mover *m = cluster_allocate(sizeof(*m));
    m->all = all;
    cluster_links_init(&m->links, all, "mover");
    client_request_init(&m->request, &alter_partition_reassignments_request_message, 4000);
    m->request.version_max = INT16_MAX;
    cluster_wake_in(all, &m->timer, SIM_S, mover_tick);
    return m;
}

const struct cluster_actor cluster_mover = {.name = "mover", .start = start, .idle = idle};
