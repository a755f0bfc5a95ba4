// SPDX-License-Identifier: Apache-2.0
//
// A replicated partition's role: taken from the image, taken up when its log is ready, given up.
#include "engine/replica_core.h"

#include <stdlib.h>

enum { RESTART_AGAIN_MS = 10 };

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// ------------------------------------------------------------------------------------------------ the image's view

static bool in_elr(const struct image_partition *ip, int32_t node)
{
    for (uint32_t i = 0; i < ip->elr_count; i++)
        if (image_elr(ip)[i] == node)
            return true;
    return false;
}

static struct repl_member member_of(const struct image *image, const struct image_partition *ip, int32_t node)
{
    const struct image_node *n = image_node(image, node);
    return (struct repl_member){.node = node,
                                .in_isr = image_in_isr(ip, node),
                                .in_elr = in_elr(ip, node),
                                .ready = n && !n->fenced && !n->in_shutdown,
                                .broker_epoch = n ? n->broker_epoch : -1};
}

static struct repl_view view_of(const struct partition *p, const struct image *image, const struct image_partition *ip,
                                struct repl_member members[REPL_REPLICAS_MAX])
{
    const int32_t *nodes = image_replicas(ip);
    for (uint32_t i = 0; i < ip->replica_count; i++)
        members[i] = member_of(image, ip, nodes[i]);
    return (struct repl_view){.leader_epoch = ip->leader_epoch,
                              .partition_epoch = ip->epoch,
                              .min_insync_replicas = p->settings->topic.min_insync_replicas,
                              .factor = image_factor(ip),
                              .member_count = ip->replica_count,
                              .members = members};
}

static const struct image_partition *image_partition_of(const struct partition *p)
{
    const struct image_topic *t = image_topic_by_id(engine_image(p->es), p->id.topic_id);
    return t ? image_partition(t, p->id.partition) : NULL;
}

// ------------------------------------------------------------------------------------------------ roles

// Its ends are known and it may be written to.
static bool log_ready(const struct partition *p)
{
    return p->state == PARTITION_ONLINE && (p->log.state == PLOG_UNMADE || p->log.state == PLOG_AT_REST ||
                                            p->log.state == PLOG_OPEN);
}

// Never silent: what may be lost, and from which offset on.
static void say_unclean(const struct partition *p, const struct image_partition *ip)
{
    p->es->counters.unclean_elections++;
    trace_warn(p->es->engine->config.trace,
               "%s-%d: leads in epoch %d by an unclean election, with records up to offset %lld; what others alone hold "
               "from there on is lost",
               p->topic->name, p->id.partition, ip->leader_epoch, (long long)plog_written_end(&p->log));
}

// Keeps track of who leads with an ISR that is not full.
static void note_short(struct replica *r)
{
    struct list *l = &r->p->es->short_isrs;
    bool is_short = r->leads && r->begun && repl_leader_isr_count(&r->leader) <= r->leader.replica_count;
    if (is_short && !list_node_linked(&r->short_link))
        list_push_back(l, &r->short_link);
    else if (!is_short && list_node_linked(&r->short_link))
        list_remove(l, &r->short_link);
}

static void lead_begin(struct replica *r, const struct image *image, const struct image_partition *ip)
{
    struct partition *p = r->p;
    struct repl_member members[REPL_REPLICAS_MAX];
    struct repl_view view = view_of(p, image, ip, members);
    int64_t end = plog_offered_end(&p->log);
    enum rc rc = repl_leader_begin(&r->leader, p->es->engine->config.node_id, &view, end, plog_written_end(&p->log),
                                   least(p->high_watermark, end),
                                   (uint64_t)p->es->engine->replica_lag_ms * 1000000, shard_now_ns(p->es->shard));
    if (rc != RC_OK) { // memory: the role is taken up with the next image
        p->es->follows_short = true;
        return;
    }
    repl_leader_deleted(&r->leader, plog_start_offset(&p->log));
    r->begun = true;
    if (ip->recovery == IMAGE_RECOVERING)
        say_unclean(p, ip);
    plog_sync(&p->log); // what a start has found is offered once it is durable
    p->recovered_end = plog_written_end(&p->log); // a new leader may know a lower watermark; latest never shrinks
    replica_watermark(p, r->leader.high_watermark);
    replica_lead_more(r);
}

static void follow_begin(struct replica *r, const struct image_partition *ip)
{
    struct partition *p = r->p;
    int32_t self = p->es->engine->config.node_id;
    r->follower.backoff_ms_max = p->es->engine->replica_backoff_ms_max;
    repl_follower_follow(&r->follower, ip->leader, ip->leader_epoch, image_in_isr(ip, self) || in_elr(ip, self));
    r->begun = true;
    r->in_sync = image_in_isr(ip, self);
    struct fetcher *f = ip->leader == NODE_ID_NONE ? NULL : fetcher_for(p->es, ip->leader);
    if (!f && ip->leader != NODE_ID_NONE)
        p->es->follows_short = true;
    if (f != r->fetcher) {
        fetcher_remove(r);
        if (f)
            fetcher_add(f, r);
    } else if (f) {
        fetcher_wants(r);
    }
}

// What a leader had begun under this role ends.
static void lead_end(struct replica *r)
{
    if (!r->leads)
        return;
    struct partition *p = r->p;
    if (r->begun)
        repl_leader_deinit(&r->leader);
    shard_timer_cancel(p->es->shard, &r->lag_timer);
    replica_change_forget(r);
    r->begun = r->leads = false;
    note_short(r);
    partition_fail_appends(p, RC_NOT_LEADER_OR_FOLLOWER);
    replica_fail_waiting(p, RC_NOT_LEADER_OR_FOLLOWER);
    replica_starts_fail(p, RC_NOT_LEADER_OR_FOLLOWER);
}

static void follow_end(struct replica *r)
{
    fetcher_remove(r);
    shard_timer_cancel(r->p->es->shard, &r->retry_timer);
    r->follower = (struct repl_follower){.leader = NODE_ID_NONE};
    r->begun = false;
}

static void role_again(struct shard_timer *t)
{
    replica_log_ready(container_of(t, struct replica, retry_timer)->p);
}

static void role_begin(struct replica *r, const struct image *image, const struct image_partition *ip)
{
    struct partition *p = r->p;
    if (!log_ready(p))
        return;
    // What a follower was about to do with its log it does before it takes another role up: a start would do it, too,
    // whatever had been written meanwhile.
    bool other = r->leads ? !r->begun : r->follower.leader_epoch != ip->leader_epoch;
    if (other && replica_restart_finish(r) != RC_OK) {
        r->begun = false;
        shard_timer_set(p->es->shard, &r->retry_timer, shard_now_ns(p->es->shard) + RESTART_AGAIN_MS * UINT64_C(1000000),
                        role_again);
        return;
    }
    if (!r->leads) {
        follow_begin(r, ip);
        return;
    }
    if (!r->begun || r->leader.leader_epoch != ip->leader_epoch) {
        if (r->begun)
            repl_leader_deinit(&r->leader);
        r->begun = false;
        replica_change_forget(r);
        lead_begin(r, image, ip);
        note_short(r);
        return;
    }
    struct repl_member members[REPL_REPLICAS_MAX];
    struct repl_view view = view_of(p, image, ip, members);
    bool moved = false;
    bool newer = ip->epoch > r->leader.partition_epoch;
    if (repl_leader_view(&r->leader, &view, shard_now_ns(p->es->shard), &moved) != RC_OK) {
        p->es->follows_short = true;
        return;
    }
    note_short(r);
    if (newer) {
        replica_change_forget(r);
        partition_tell_anew(p); // a replica that left and came back has to say again what it holds
    }
    if (moved)
        replica_watermark(p, r->leader.high_watermark);
    replica_lead_more(r);
}

enum rc replica_follow(struct partition *p, const struct image *image, const struct image_partition *ip)
{
    struct replica *r = p->replica;
    if (p->es->settling)
        return RC_OK; // no role any more
    if (ip->replica_count <= 1) {
        if (r) {
            replica_end(p);
            if (p->state == PARTITION_ONLINE)
                partition_advance(p); // alone: everything written is committed
        }
        return RC_OK;
    }
    if (!r) {
        r = calloc(1, sizeof(*r));
        if (!r)
            return RC_NOMEM;
        r->p = p;
        r->follower.leader = NODE_ID_NONE;
        r->start_before = OFFSET_NONE;
        p->replica = r;
    }
    if (p->leads && !r->leads)
        follow_end(r);
    if (!p->leads && r->leads)
        lead_end(r);
    r->leads = p->leads;
    role_begin(r, image, ip);
    return RC_OK;
}

bool replica_recovering(const struct partition *p)
{
    const struct image_partition *ip = image_partition_of(p);
    return ip && ip->recovery == IMAGE_RECOVERING;
}

bool replica_expected(const struct partition *p)
{
    const struct image_partition *ip = image_partition_of(p);
    return ip && ip->replica_count > 1;
}

void replica_log_ready(struct partition *p)
{
    const struct image_partition *ip = p->replica ? image_partition_of(p) : NULL;
    if (ip)
        role_begin(p->replica, engine_image(p->es), ip);
}

void replica_end(struct partition *p)
{
    struct replica *r = p->replica;
    replica_starts_fail(p, RC_NOT_LEADER_OR_FOLLOWER); // without replicas, too: they wait for the end of a move
    if (!r)
        return;
    lead_end(r);
    follow_end(r);
    p->replica = NULL;
    replica_free_when_idle(r);
}
