// SPDX-License-Identifier: Apache-2.0
//
// The leader's part: fetches of followers counted, the high watermark moved, the ISR changed, appends with acks=all
// answered when everybody has them.
#include "engine/replica_core.h"

#include <stdlib.h>

#include "model/kerr.h"
#include "wire/peer_messages.h"

enum { CHANGE_AGAIN_MS = 100, CHANGE_TIMEOUT_MS = 5000, CHANGE_ARENA_BYTES = 64 << 10 };

// ------------------------------------------------------------------------------------------------ acks=all

static void wait_over(struct partition *p, struct partition_append *op, enum rc rc)
{
    shard_timer_cancel(p->es->shard, &op->timer);
    list_remove(&p->committing, &op->link);
    partition_append_finish(op, rc);
}

static void wait_due(struct shard_timer *t)
{
    struct partition_append *op = container_of(t, struct partition_append, timer);
    wait_over(op->p, op, RC_REQUEST_TIMED_OUT); // it is in the log and may yet be committed: the client tries again
}

enum rc replica_wait(struct partition *p, struct partition_append *op)
{
    if (!p->replica->leads)
        return RC_NOT_LEADER_OR_FOLLOWER;
    if (op->log.last_offset < p->high_watermark)
        return RC_OK;
    struct engine_shard *es = p->es;
    uint64_t wait_ms = op->timeout_ms > 0 ? (uint64_t)op->timeout_ms : 0;
    if (shard_timer_set(es->shard, &op->timer, shard_now_ns(es->shard) + wait_ms * 1000000, wait_due) != RC_OK)
        return RC_REQUEST_TIMED_OUT; // no memory to wait with
    list_push_back(&p->committing, &op->link);
    return RC_AGAIN;
}

void replica_fail_waiting(struct partition *p, enum rc rc)
{
    for (struct list_node *n; (n = list_first(&p->committing));)
        wait_over(p, list_entry(n, struct partition_append, link), rc);
}

void replica_watermark(struct partition *p, int64_t hw)
{
    int64_t before = p->high_watermark;
    if (hw == before)
        return;
    p->high_watermark = hw;
    plog_note_high_watermark(&p->log, hw);
    if (hw > before && !list_empty(&p->watches))
        partition_tell_committed(p, plog_bytes_between(&p->log, before, hw));
    for (struct list_node *n = list_first(&p->committing), *next; n; n = next) {
        next = list_next(&p->committing, n);
        struct partition_append *op = list_entry(n, struct partition_append, link);
        if (op->log.last_offset < hw)
            wait_over(p, op, replica_append_allowed(p) == RC_OK ? RC_OK : RC_NOT_ENOUGH_REPLICAS_AFTER_APPEND);
    }
}

enum rc replica_append_allowed(const struct partition *p)
{
    const struct replica *r = p->replica;
    return r && r->leads && r->begun && !repl_leader_enough(&r->leader) ? RC_NOT_ENOUGH_REPLICAS : RC_OK;
}

// ------------------------------------------------------------------------------------------------ changes of the ISR

struct replica_change {
    struct quorum_op op;
    struct replica *r; // NULL: nobody waits for it any more
    struct arena arena;
    struct repl_change change;
    struct alter_isr request;
    struct alter_isr_topic topic;
    struct alter_isr_partition partition;
    struct alter_isr_member members[REPL_REPLICAS_MAX];
    struct alter_isr_answer answer;
};

static void change_free(struct replica_change *c)
{
    arena_deinit(&c->arena);
    free(c);
}

void replica_change_forget(struct replica *r)
{
    if (r->change)
        r->change->r = NULL;
    r->change = NULL;
}

static enum repl_outcome outcome_of(const struct replica_change *c, enum rc rc)
{
    if (rc != RC_OK || c->answer.topics_count != 1 || c->answer.topics[0].partitions_count != 1)
        return REPL_UNKNOWN;
    int16_t code = c->answer.topics[0].partitions[0].error_code;
    if (code == 0)
        return REPL_APPLIED;
    return code == kerr_of(RC_INELIGIBLE_REPLICA) || code == kerr_of(RC_OPERATION_NOT_ATTEMPTED) ? REPL_REFUSED
                                                                                               : REPL_UNKNOWN;
}

static void lag_due(struct shard_timer *t);

static void lead_again_in(struct replica *r, uint64_t delay_ns)
{
    struct shard *s = r->p->es->shard;
    shard_timer_set(s, &r->lag_timer, shard_now_ns(s) + delay_ns, lag_due);
}

static void change_done(struct quorum_op *op, enum rc rc)
{
    struct replica_change *c = container_of(op, struct replica_change, op);
    struct replica *r = c->r;
    if (r) {
        struct partition *p = r->p;
        r->change = NULL;
        enum repl_outcome outcome = outcome_of(c, rc);
        if (repl_leader_answered(&r->leader, c->change.partition_epoch, outcome, shard_now_ns(p->es->shard)))
            replica_watermark(p, r->leader.high_watermark);
        // Applied: the image tells, soon. Else once more, a little later.
        lead_again_in(r, CHANGE_AGAIN_MS * UINT64_C(1000000) * (outcome == REPL_APPLIED ? 10 : 1));
    }
    change_free(c);
}

static void change_send(struct replica *r, const struct repl_change *change)
{
    struct partition *p = r->p;
    struct engine *e = p->es->engine;
    const struct image_node *self = image_node(engine_image(p->es), e->config.node_id);
    struct replica_change *c = self ? calloc(1, sizeof(*c)) : NULL;
    if (!c) {
        lead_again_in(r, CHANGE_AGAIN_MS * UINT64_C(1000000));
        return;
    }
    c->r = r;
    c->change = *change;
    arena_init(&c->arena, CHANGE_ARENA_BYTES, NULL, 0);
    for (uint32_t i = 0; i < change->count; i++)
        c->members[i] = (struct alter_isr_member){
            .node = change->isr[i].node,
            .broker_epoch = change->isr[i].node == e->config.node_id ? self->broker_epoch : change->isr[i].broker_epoch};
    c->partition = (struct alter_isr_partition){.partition = p->id.partition,
                                                      .leader_epoch = change->leader_epoch,
                                                      .partition_epoch = change->partition_epoch,
                                                      .isr = c->members,
                                                      .isr_count = change->count};
    c->topic = (struct alter_isr_topic){.topic_id = p->id.topic_id, .partitions = &c->partition, .partitions_count = 1};
    c->request = (struct alter_isr){
        .node = e->config.node_id, .broker_epoch = self->broker_epoch, .topics = &c->topic, .topics_count = 1};
    c->op = (struct quorum_op){.kind = CONTROLLER_ALTER_ISR,
                               .request = &c->request,
                               .answer = &c->answer,
                               .arena = &c->arena,
                               .deadline_ns = shard_now_ns(p->es->shard) + CHANGE_TIMEOUT_MS * UINT64_C(1000000),
                               .done = change_done};
    r->change = c;
    trace_info(e->config.trace, "%s-%d: asks for an ISR of %u (%d join, %d leave)", p->topic->name, p->id.partition,
               change->count, change->added, change->removed);
    quorum_submit(e->quorum, p->es->shard, &c->op);
}

static void lead_more(struct replica *r, bool late)
{
    struct shard *s = r->p->es->shard;
    struct repl_change change;
    if (!r->begun || r->change)
        return;
    if (repl_leader_pending(&r->leader, &change) || repl_leader_change(&r->leader, shard_now_ns(s), late, &change)) {
        change_send(r, &change);
        return;
    }
    uint64_t due = repl_leader_deadline_ns(&r->leader);
    if (due == UINT64_MAX)
        shard_timer_cancel(s, &r->lag_timer);
    else if (!shard_timer_is_set(&r->lag_timer) || r->lag_timer.node.key > due)
        shard_timer_set(s, &r->lag_timer, due, lag_due); // an earlier one finds out by itself
}

void replica_lead_more(struct replica *r)
{
    lead_more(r, false);
    replica_starts_look(r->p);
}

static void lag_due(struct shard_timer *t)
{
    struct replica *r = container_of(t, struct replica, lag_timer);
    struct shard *s = r->p->es->shard;
    // Of the turns that ended lately one was so long that nobody could be heard.
    bool late = s->counters.turn_ns_max > r->leader.lag_ns / 2 && r->p->es->turn_ns_max_seen != s->counters.turn_ns_max;
    r->p->es->turn_ns_max_seen = s->counters.turn_ns_max;
    lead_more(r, late);
}

void replicas_follow_nodes(struct engine_shard *es, const struct image *image)
{
    for (struct list_node *n = list_first(&es->short_isrs), *next; n; n = next) {
        next = list_next(&es->short_isrs, n);
        struct replica *r = list_entry(n, struct replica, short_link);
        for (uint32_t i = 0; i < r->leader.replica_count; i++) {
            const struct image_node *node = image_node(image, r->leader.replicas[i].node);
            if (node)
                repl_leader_node(&r->leader, node->id, !node->fenced && !node->in_shutdown, node->broker_epoch);
        }
        replica_lead_more(r);
    }
}

// ------------------------------------------------------------------------------------------------ fetches, appends

// Our log begins where this one ends, and of the epoch of its last record nothing is left here: whether the two agree below
// cannot be seen. Records that were cut everywhere else would stay with it, and what it knows of producers by them. Or it is
// empty behind a log start of its own, perhaps of another branch, and would count as holding what we have below.
static bool agrees_unseen(struct partition *p, const struct partition_read *read)
{
    int32_t epoch;
    int64_t end;
    if (read->last_fetched_epoch == LEADER_EPOCH_NONE)
        return read->fetch_offset > plog_start_offset(&p->log);
    return read->last_fetched_epoch != p->leader_epoch && read->fetch_offset == plog_start_offset(&p->log) &&
           plog_epoch_end(&p->log, read->last_fetched_epoch, &epoch, &end) == RC_OK &&
           plog_epoch_at(&p->log, read->fetch_offset) != read->last_fetched_epoch;
}

enum rc replica_fetched(struct partition *p, const struct partition_read *read)
{
    struct replica *r = p->replica;
    struct shard *s = p->es->shard;
    if (!r || !r->leads || !r->begun)
        return RC_NOT_LEADER_OR_FOLLOWER;
    const struct image_node *n = image_node(engine_image(p->es), read->replica);
    if (!n || n->broker_epoch != read->replica_epoch)
        return RC_STALE_BROKER_EPOCH;
    repl_leader_node(&r->leader, n->id, !n->fenced && !n->in_shutdown, n->broker_epoch);
    if (agrees_unseen(p, read) && !repl_leader_vouches(&r->leader, read->replica, read->replica_epoch))
        return RC_OFFSET_OUT_OF_RANGE; // it begins anew at our log start
    struct repl_fetch f = {.node = read->replica,
                           .broker_epoch = read->replica_epoch,
                           .offset = read->fetch_offset,
                           .log_start = read->replica_log_start};
    bool known;
    if (repl_leader_fetched(&r->leader, &f, shard_now_ns(s), &known))
        replica_watermark(p, r->leader.high_watermark);
    if (!known)
        return RC_NOT_LEADER_OR_FOLLOWER;
    replica_lead_more(r);
    return RC_OK;
}

bool replica_in_sync(const struct partition *p, int32_t node)
{
    const struct replica *r = p->replica;
    for (uint32_t i = 0; r && r->leads && r->begun && i < r->leader.replica_count; i++)
        if (r->leader.replicas[i].node == node)
            return r->leader.replicas[i].in_isr;
    return false;
}

void replica_appended(struct partition *p)
{
    struct replica *r = p->replica;
    if (!r->leads || !r->begun)
        return;
    if (repl_leader_appended(&r->leader, plog_offered_end(&p->log), shard_now_ns(p->es->shard)))
        replica_watermark(p, r->leader.high_watermark);
    replica_lead_more(r);
}
