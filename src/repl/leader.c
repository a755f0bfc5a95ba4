// SPDX-License-Identifier: Apache-2.0
#include "repl/leader.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static struct repl_replica *replica_of(const struct repl_leader *l, int32_t node)
{
    for (uint32_t i = 0; i < l->replica_count; i++)
        if (l->replicas[i].node == node)
            return &l->replicas[i];
    return NULL;
}

uint32_t repl_leader_isr_count(const struct repl_leader *l)
{
    uint32_t n = 1; // the leader is in its own ISR
    for (uint32_t i = 0; i < l->replica_count; i++)
        n += l->replicas[i].in_isr;
    return n;
}

bool repl_leader_enough(const struct repl_leader *l)
{
    uint32_t least = l->min_insync_replicas > 1 ? (uint32_t)l->min_insync_replicas : 1;
    return repl_leader_isr_count(l) >= (least < l->factor ? least : l->factor);
}

// ------------------------------------------------------------------------------------------------ high watermark

// Moves the high watermark as far as the maximal ISR allows. True: it moved.
static bool watermark_move(struct repl_leader *l)
{
    if (!repl_leader_enough(l))
        return false;
    int64_t low = l->end;
    for (uint32_t i = 0; i < l->replica_count; i++) {
        const struct repl_replica *r = &l->replicas[i];
        if (!r->in_isr && !r->adding)
            continue;
        if (!r->known)
            return false; // how far it is nobody knows yet
        if (r->end < low)
            low = r->end;
    }
    if (low <= l->high_watermark)
        return false;
    ASSERT(low <= l->end);
    l->high_watermark = low;
    return true;
}

// ------------------------------------------------------------------------------------------------ life

// It holds everything, as far as it ever said.
static bool is_level(const struct repl_leader *l, const struct repl_replica *r)
{
    return r->known && r->end == l->end;
}

// Replicas as the view has them, keeping what is known of those that stay. RC_NOMEM: nothing changed.
static enum rc take_view(struct repl_leader *l, const struct repl_view *view, uint64_t now_ns)
{
    ASSERT(view->member_count >= 1 && view->member_count <= REPL_REPLICAS_MAX);
    ASSERT(view->factor >= 1 && view->factor <= view->member_count);
    struct repl_replica *next = calloc(view->member_count, sizeof(*next));
    if (!next)
        return RC_NOMEM;
    uint32_t n = 0;
    for (uint32_t i = 0; i < view->member_count; i++) {
        const struct repl_member *m = &view->members[i];
        if (m->node == l->self)
            continue;
        const struct repl_replica *old = replica_of(l, m->node);
        struct repl_replica *r = &next[n++];
        if (old)
            *r = *old;
        else
            *r = (struct repl_replica){.node = m->node, .fetched_broker_epoch = -1, .end = OFFSET_NONE,
                                       .log_start = OFFSET_NONE, .caught_up_ns = now_ns, .fetched_ns = now_ns};
        if (m->in_isr && !r->in_isr) // it has just joined: its clock starts with that
            r->caught_up_ns = now_ns;
        r->silent = !m->in_isr && (r->silent || (r->in_isr && !is_level(l, r)));
        r->in_isr = m->in_isr;
        r->in_elr = m->in_elr;
        r->ready = m->ready;
        if (r->broker_epoch != m->broker_epoch)
            r->known = r->known && r->in_isr;
        r->broker_epoch = m->broker_epoch;
    }
    free(l->replicas);
    l->replicas = next;
    l->replica_count = n;
    l->partition_epoch = view->partition_epoch;
    l->min_insync_replicas = view->min_insync_replicas;
    l->factor = view->factor;
    return RC_OK;
}

static void change_over(struct repl_leader *l)
{
    l->change = REPL_CHANGE_IDLE;
    for (uint32_t i = 0; i < l->replica_count; i++)
        l->replicas[i].adding = l->replicas[i].removing = false;
}

enum rc repl_leader_begin(struct repl_leader *l, int32_t self, const struct repl_view *view, int64_t end,
                          int64_t epoch_start, int64_t high_watermark, uint64_t lag_ns, uint64_t now_ns)
{
    ASSERT(high_watermark >= 0 && high_watermark <= end && end <= epoch_start);
    *l = (struct repl_leader){.self = self,
                              .leader_epoch = view->leader_epoch,
                              .epoch_start = epoch_start,
                              .end = end,
                              .high_watermark = high_watermark,
                              .lag_ns = lag_ns};
    enum rc rc = take_view(l, view, now_ns);
    if (rc == RC_OK)
        watermark_move(l);
    return rc;
}

void repl_leader_deinit(struct repl_leader *l)
{
    free(l->replicas);
    l->replicas = NULL;
    l->replica_count = 0;
}

enum rc repl_leader_view(struct repl_leader *l, const struct repl_view *view, uint64_t now_ns, bool *moved)
{
    ASSERT(view->leader_epoch == l->leader_epoch);
    *moved = false;
    bool newer = view->partition_epoch > l->partition_epoch;
    enum rc rc = take_view(l, view, now_ns);
    if (rc != RC_OK)
        return rc;
    // Whatever was pending has been applied, or can never be: it named an older partition epoch.
    if (newer)
        change_over(l);
    *moved = watermark_move(l);
    return RC_OK;
}

bool repl_leader_appended(struct repl_leader *l, int64_t end, uint64_t now_ns)
{
    ASSERT(end >= l->high_watermark);
    if (end > l->end)
        for (uint32_t i = 0; i < l->replica_count; i++) {
            struct repl_replica *r = &l->replicas[i];
            if (r->known && r->end == l->end)
                r->caught_up_ns = now_ns; // until this moment
        }
    l->end = end;
    return watermark_move(l);
}

// ------------------------------------------------------------------------------------------------ followers

void repl_leader_node(struct repl_leader *l, int32_t node, bool ready, int64_t broker_epoch)
{
    struct repl_replica *r = replica_of(l, node);
    if (!r)
        return;
    r->ready = ready;
    if (r->broker_epoch != broker_epoch) // another incarnation; what it holds counts when it has fetched
        r->known = r->known && r->in_isr;
    r->broker_epoch = broker_epoch;
}

bool repl_leader_vouches(const struct repl_leader *l, int32_t node, int64_t broker_epoch)
{
    for (uint32_t i = 0; i < l->replica_count; i++) {
        const struct repl_replica *r = &l->replicas[i];
        if (r->node == node)
            return r->in_isr || r->in_elr || (r->known && r->fetched_broker_epoch == broker_epoch);
    }
    return false;
}

bool repl_leader_fetched(struct repl_leader *l, const struct repl_fetch *f, uint64_t now_ns, bool *known)
{
    struct repl_replica *r = replica_of(l, f->node);
    *known = r && f->broker_epoch == r->broker_epoch;
    if (!*known)
        return false;
    r->known = true;
    r->silent = false;
    r->fetched_broker_epoch = f->broker_epoch;
    r->log_start = f->log_start;
    // Past our own end: it has synced what we have not. No more of it counts than we have.
    r->end = f->offset < l->end ? f->offset : l->end;
    if (r->end == l->end)
        r->caught_up_ns = now_ns;
    else if (r->end >= r->our_end_then && r->fetched_ns > r->caught_up_ns)
        r->caught_up_ns = r->fetched_ns; // it holds all we had when it fetched before
    r->our_end_then = l->end;
    r->fetched_ns = now_ns;
    return watermark_move(l);
}

// ------------------------------------------------------------------------------------------------ changes

// May it join? The controller checks again.
static bool may_join(const struct repl_leader *l, const struct repl_replica *r)
{
    return !r->in_isr && r->known && !r->silent && r->ready && r->broker_epoch >= 0 &&
           r->fetched_broker_epoch == r->broker_epoch &&
           r->end >= l->high_watermark && r->end >= l->epoch_start && r->log_start >= l->deleted;
}

static void change_fill(const struct repl_leader *l, struct repl_change *out)
{
    *out = (struct repl_change){.leader_epoch = l->leader_epoch, .partition_epoch = l->partition_epoch};
    out->isr[out->count].node = l->self;
    out->isr[out->count++].broker_epoch = -1; // the sender's own: its connection says it
    for (uint32_t i = 0; i < l->replica_count; i++) {
        const struct repl_replica *r = &l->replicas[i];
        out->added += r->adding;
        out->removed += r->removing;
        if (r->removing || (!r->in_isr && !r->adding))
            continue;
        out->isr[out->count].node = r->node;
        out->isr[out->count++].broker_epoch = r->adding ? r->adding_broker_epoch : r->broker_epoch;
    }
}

bool repl_leader_change(struct repl_leader *l, uint64_t now_ns, bool turn_slow, struct repl_change *out)
{
    if (l->change != REPL_CHANGE_IDLE)
        return false;
    bool any = false;
    for (uint32_t i = 0; i < l->replica_count; i++) {
        struct repl_replica *r = &l->replicas[i];
        if (may_join(l, r)) {
            r->adding = any = true;
            r->adding_broker_epoch = r->fetched_broker_epoch;
        } else if (r->in_isr && !is_level(l, r)) {
            if (turn_slow)
                r->caught_up_ns = now_ns; // we did not listen: that is not its fault
            else if (now_ns >= r->caught_up_ns && now_ns - r->caught_up_ns > l->lag_ns)
                r->removing = any = true;
        }
    }
    if (!any)
        return false;
    l->change = REPL_CHANGE_SENT;
    change_fill(l, out);
    return true;
}

bool repl_leader_pending(const struct repl_leader *l, struct repl_change *out)
{
    if (l->change != REPL_CHANGE_SENT)
        return false;
    change_fill(l, out);
    return true;
}

bool repl_leader_answered(struct repl_leader *l, int32_t partition_epoch, enum repl_outcome outcome, uint64_t now_ns)
{
    if (l->change != REPL_CHANGE_SENT || partition_epoch != l->partition_epoch)
        return false; // of a change that is over
    switch (outcome) {
    case REPL_APPLIED: // until the image shows it, it counts as pending
    case REPL_UNKNOWN:
        return false;
    case REPL_REFUSED:
        break;
    }
    for (uint32_t i = 0; i < l->replica_count; i++)
        if (l->replicas[i].removing)
            l->replicas[i].caught_up_ns = now_ns > l->lag_ns / 2 ? now_ns - l->lag_ns / 2 : 0; // asked again later
    change_over(l);
    return watermark_move(l);
}

uint64_t repl_leader_deadline_ns(const struct repl_leader *l)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; l->change == REPL_CHANGE_IDLE && i < l->replica_count; i++) {
        const struct repl_replica *r = &l->replicas[i];
        if (r->in_isr && !is_level(l, r) && r->caught_up_ns + l->lag_ns + 1 < first)
            first = r->caught_up_ns + l->lag_ns + 1;
    }
    return first;
}

int64_t repl_leader_low_watermark(const struct repl_leader *l, int64_t own_log_start)
{
    int64_t low = own_log_start;
    for (uint32_t i = 0; i < l->replica_count; i++) {
        const struct repl_replica *r = &l->replicas[i];
        if (!r->in_isr && !r->in_elr && !r->adding && !r->ready)
            continue;
        if (r->log_start == OFFSET_NONE)
            return OFFSET_NONE;
        if (r->log_start < low)
            low = r->log_start;
    }
    return low;
}

void repl_leader_deleted(struct repl_leader *l, int64_t log_start)
{
    if (log_start > l->deleted)
        l->deleted = log_start;
}
