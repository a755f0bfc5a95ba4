// SPDX-License-Identifier: Apache-2.0
#include "engine/offline_report.h"

#include <stdlib.h>

#include "engine/partition.h"
#include "wire/peer_messages.h"

enum {
    REPORT_PARTITIONS_MAX = 1024, // in one request; the rest follows its answer
    REPORT_ARENA_BYTES = 64 << 10,
    REPORT_TIMEOUT_MS = 5000,
    REPORT_AGAIN_MS = 500,
};

// One a shard, made by its first report.
struct offline_report {
    struct engine_shard *es; // NULL: the shard is gone, done() frees it
    struct quorum_op op;
    struct arena arena;
    struct replicas_offline request;
    struct replicas_offline_topic topics[REPORT_PARTITIONS_MAX]; // one a partition
    int32_t partitions[REPORT_PARTITIONS_MAX];
    bool busy;
    bool again;          // something changed meanwhile, or not everything fitted
    uint64_t failing_ns; // since when no report has been taken; 0: none is wanting
    struct shard_timer timer;
};

static void report_free(struct offline_report *o)
{
    arena_deinit(&o->arena);
    free(o);
}

static bool is_eligible(const struct image_partition *ip, int32_t node)
{
    for (uint32_t i = 0; i < ip->elr_count; i++)
        if (image_elr(ip)[i] == node)
            return true;
    return false;
}

// It is to go: this node cannot serve it, counts for it, and is not the only one who does.
static bool has_to_go(const struct partition *p)
{
    if (!p->log.dir || !log_dir_is_offline(p->log.dir))
        return false;
    const struct image_topic *t = image_topic_by_id(engine_image(p->es), p->id.topic_id);
    const struct image_partition *ip = t ? image_partition(t, p->id.partition) : NULL;
    const int32_t self = p->es->engine->config.node_id;
    if (!ip)
        return false;
    const uint32_t in_isr = image_in_isr(ip, self), in_elr = is_eligible(ip, self);
    const uint32_t others = ip->isr_count + ip->elr_count - in_isr - in_elr;
    return others > 0 && (in_isr || in_elr || ip->leader == self);
}

static void report_due(struct shard_timer *t)
{
    offline_report(container_of(t, struct offline_report, timer)->es);
}

// KIP-858: a node that leads what it cannot serve, and cannot say so, had better go.
static void report_failed(struct offline_report *o)
{
    struct engine *e = o->es->engine;
    struct shard *s = o->es->shard;
    const uint64_t now = shard_now_ns(s);
    if (o->failing_ns == 0)
        o->failing_ns = now;
    if (now - o->failing_ns >= e->dir_failure_timeout_ns) {
        trace_error(e->config.trace,
                    "stopping: no controller has heard for log.dir.failure.timeout.ms=%llu that a log folder of this node "
                    "failed; its replicas there would keep others from leading",
                    (unsigned long long)(e->dir_failure_timeout_ns / 1000000));
        __atomic_store_n(&e->metadata_dir_failed, true, __ATOMIC_RELEASE);
        return;
    }
    shard_timer_set(s, &o->timer, now + REPORT_AGAIN_MS * UINT64_C(1000000), report_due);
}

static void report_done(struct quorum_op *op, enum rc rc)
{
    struct offline_report *o = container_of(op, struct offline_report, op);
    if (!o->es) {
        report_free(o);
        return;
    }
    o->busy = false;
    arena_reset(&o->arena);
    if (rc != RC_OK) {
        report_failed(o);
        return;
    }
    o->failing_ns = 0;
    if (o->again)
        offline_report(o->es);
}

static struct offline_report *report_get(struct engine_shard *es)
{
    if (es->offline)
        return es->offline;
    struct offline_report *o = calloc(1, sizeof(*o));
    if (!o)
        return NULL; // the next image asks again
    o->es = es;
    arena_init(&o->arena, REPORT_ARENA_BYTES, NULL, 0);
    es->offline = o;
    return o;
}

// How many there are to report, of which the first REPORT_PARTITIONS_MAX are in the request.
static uint32_t report_fill(struct offline_report *o)
{
    uint32_t found = 0;
    o->request.topics = o->topics;
    o->request.topics_count = 0;
    for (struct list_node *n = list_first(&o->es->all); n; n = list_next(&o->es->all, n)) {
        const struct partition *p = list_entry(n, struct partition, all_link);
        if (!has_to_go(p) || found++ >= REPORT_PARTITIONS_MAX)
            continue;
        const uint32_t at = o->request.topics_count++;
        o->partitions[at] = p->id.partition;
        o->topics[at] = (struct replicas_offline_topic){
            .topic_id = p->id.topic_id, .partitions = &o->partitions[at], .partitions_count = 1};
    }
    return found;
}

void offline_report(struct engine_shard *es)
{
    struct engine *e = es->engine;
    if (!__atomic_load_n(&e->dirs_lost, __ATOMIC_RELAXED) || es->settling)
        return;
    struct offline_report *o = report_get(es);
    const struct image_node *self = image_node(engine_image(es), e->config.node_id);
    if (!o || !self)
        return;
    o->again = true;
    if (o->busy)
        return;
    const uint32_t found = report_fill(o);
    o->again = found > REPORT_PARTITIONS_MAX;
    if (found == 0) {
        o->failing_ns = 0;
        shard_timer_cancel(es->shard, &o->timer);
        return;
    }
    trace_info(e->config.trace, "tells the controller of %u replicas whose log folder failed: others are to lead",
               o->request.topics_count);
    o->request.node = e->config.node_id;
    o->request.broker_epoch = self->broker_epoch;
    o->busy = true;
    o->op = (struct quorum_op){.kind = CONTROLLER_REPLICAS_OFFLINE,
                               .request = &o->request,
                               .answer = &o->request,
                               .arena = &o->arena,
                               .deadline_ns = shard_now_ns(es->shard) + REPORT_TIMEOUT_MS * UINT64_C(1000000),
                               .done = report_done};
    quorum_submit(e->quorum, es->shard, &o->op);
}

void offline_report_end(struct engine_shard *es)
{
    struct offline_report *o = es->offline;
    if (!o)
        return;
    shard_timer_cancel(es->shard, &o->timer);
    es->offline = NULL;
    o->es = NULL;
    if (!o->busy)
        report_free(o);
}
