// SPDX-License-Identifier: Apache-2.0
//
// Partitions as the image wants them: which there are, who leads them, under which settings.
#include "engine/coordinator.h"
#include "engine/partition_life.h"
#include "engine/replica.h"

static void follow_topic_gone(struct engine_shard *es, struct engine_topic *topic)
{
    map_remove(&es->topics, &topic->node); // its partitions keep it until they are buried
    topic->linked = false;
    for (struct list_node *n = list_first(&topic->partitions), *next; n; n = next) {
        next = list_next(&topic->partitions, n);
        partition_doom(list_entry(n, struct partition, topic_link), RC_UNKNOWN_TOPIC_OR_PARTITION);
    }
}

static enum rc partition_follow(struct partition *p, const struct image *image, const struct image_partition *ip)
{
    bool anew = p->leader_epoch != ip->leader_epoch;
    p->leader_epoch = ip->leader_epoch;
    p->leads = ip->leader == p->es->engine->config.node_id;
    if (!p->leads || anew)
        partition_tell_anew(p);
    enum rc rc = replica_follow(p, image, ip);
    coordinator_follow(p);
    return rc;
}

// Its replicas have moved and this node is none of them any more. That was committed when every one of them was in sync,
// and this process has seen it while it held the partition: the data goes, as in Kafka after file.delete.delay.ms. A folder
// that a start finds unassigned is another matter: it is kept as stray, for nobody knows what became of it.
static void partition_leave(struct partition *p)
{
    const struct engine *e = p->es->engine;
    trace_info(e->config.trace, "%s-%d: node %d is no replica any more; its data is deleted after file.delete.delay.ms=%lld",
               p->topic->name, p->id.partition, e->config.node_id,
               (long long)p->settings->topic.file_delete_delay_ms);
    p->leads = false;
    partition_doom(p, RC_NOT_LEADER_OR_FOLLOWER);
}

// The image wants it here, and somebody asks for it the first time.
static struct partition *partition_make(struct engine_shard *es, struct topic_partition id)
{
    const struct image_topic *t = image_topic_by_id(es->reader.image, id.topic_id);
    const struct image_partition *ip = t && id.partition >= 0 ? image_partition(t, id.partition) : NULL;
    if (!ip || !image_has_replica(ip, es->engine->config.node_id))
        return NULL;
    ASSERT(engine_shard_of(es->engine, id) == es);
    struct engine_topic *topic = engine_topic_find(es, id.topic_id);
    if (!topic && !(topic = engine_topic_create(es, t)))
        return NULL;
    struct partition *p = partition_create(es, topic, id, ip->epoch > 0);
    if (p)
        partition_follow(p, es->reader.image, ip);
    else
        engine_topic_drop_if_empty(es, topic);
    return p;
}

struct partition *partition_find(struct engine_shard *es, struct topic_partition id)
{
    struct partition *p = partition_peek(es, id);
    return p || !es->booted ? p : partition_make(es, id);
}

// From partition p on the first one that differs from what it was.
static int32_t topic_next_changed(const struct image_topic *before, const struct image_topic *t, int32_t p)
{
    while (before && p < t->partition_count && p < before->partition_count) {
        uint32_t chunk = (uint32_t)p / IMAGE_CHUNK_PARTITIONS;
        if (t->chunks[chunk] == before->chunks[chunk])
            p = (int32_t)(chunk + 1) * IMAGE_CHUNK_PARTITIONS;
        else if (image_partition(t, p) == image_partition(before, p))
            p++;
        else
            break;
    }
    return p;
}

enum rc partition_follow_topic(struct engine_shard *es, struct uuid topic_id, const struct image *before,
                               const struct image *image)
{
    struct engine *e = es->engine;
    const struct image_topic *t = image_topic_by_id(image, topic_id);
    const struct image_topic *was = before ? image_topic_by_id(before, topic_id) : NULL;
    struct engine_topic *topic = engine_topic_find(es, topic_id);
    if (!t) {
        if (topic)
            follow_topic_gone(es, topic);
        return RC_OK;
    }
    if (topic) {
        enum rc rc = engine_topic_configure(es, topic, image, t);
        if (rc != RC_OK)
            return rc;
    }
    if (was && was->configs_index != t->configs_index) // min.insync.replicas, for one
        was = NULL;
    for (int32_t i = topic_next_changed(was, t, 0); i < t->partition_count; i = topic_next_changed(was, t, i + 1)) {
        struct topic_partition id = {.topic_id = topic_id, .partition = i};
        const struct image_partition *ip = image_partition(t, i);
        if (engine_shard_of(e, id) != es)
            continue;
        struct partition *p = partition_peek(es, id);
        if (!image_has_replica(ip, e->config.node_id)) {
            if (p)
                partition_leave(p);
            continue;
        }
        // At boot everything is made, because it may have data; what is new later is made when it is first asked for,
        // but for followers: nobody asks them.
        if (!p && es->booted && (ip->replica_count <= 1 || ip->leader == e->config.node_id))
            continue;
        if (!topic && !(topic = engine_topic_create(es, t)))
            return RC_NOMEM;
        if (!p && !(p = partition_create(es, topic, id, es->booted && ip->epoch > 0))) {
            engine_topic_drop_if_empty(es, topic);
            return RC_NOMEM;
        }
        if (partition_follow(p, image, ip) != RC_OK)
            return RC_NOMEM;
    }
    return RC_OK;
}
