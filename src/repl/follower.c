// SPDX-License-Identifier: Apache-2.0
#include "repl/follower.h"

#include "base/assert.h"

enum { BACKOFF_MS = 20, BACKOFF_MS_MAX = 1000, BACKOFF_DOUBLINGS = 6 };

void repl_follower_follow(struct repl_follower *f, int32_t leader, int32_t leader_epoch, bool in_isr_or_elr)
{
    ASSERT(leader_epoch >= f->leader_epoch || f->leader == NODE_ID_NONE);
    if (leader != f->leader || leader_epoch != f->leader_epoch) {
        f->failures = f->cuts = 0;
        f->retry_ns = 0;
        f->stopped = false;
    }
    if (!in_isr_or_elr)
        f->stopped = false; // it promises nothing any more: it may cut
    f->leader = leader;
    f->leader_epoch = leader_epoch;
    f->in_isr_or_elr = in_isr_or_elr;
}

bool repl_follower_ask(const struct repl_follower *f, const struct repl_log *log, uint64_t now_ns, struct repl_ask *out)
{
    if (f->leader == NODE_ID_NONE || f->stopped || now_ns < f->retry_ns)
        return false;
    ASSERT(log->start <= log->end && log->durable <= log->end);
    *out = (struct repl_ask){.offset = log->end,
                             .log_start = log->start,
                             .last_fetched_epoch = log->end > log->start ? log->latest_epoch : LEADER_EPOCH_NONE,
                             .leader_epoch = f->leader_epoch};
    return true;
}

void repl_follower_failed(struct repl_follower *f, uint64_t now_ns)
{
    uint32_t n = f->failures < BACKOFF_DOUBLINGS ? f->failures : BACKOFF_DOUBLINGS;
    uint64_t ms = (uint64_t)BACKOFF_MS << n;
    f->failures++;
    uint64_t most = f->backoff_ms_max ? f->backoff_ms_max : BACKOFF_MS_MAX;
    f->retry_ns = now_ns + (ms < most ? ms : most) * 1000000;
}

// Where the own log has to be cut so that it can agree with the leader's.
static int64_t cut_at(const struct repl_log *log, const struct repl_answer *a)
{
    int32_t found;
    int64_t end;
    log->epoch_end(log->context, a->diverging_epoch, &found, &end);
    if (found == LEADER_EPOCH_NONE)
        end = log->start; // nothing of ours is that old
    int64_t cut = found == a->diverging_epoch && a->diverging_end < end ? a->diverging_end : end;
    return cut > log->start ? cut : log->start;
}

static void judge_divergence(struct repl_follower *f, const struct repl_log *log, const struct repl_answer *a,
                             struct repl_verdict *out)
{
    int64_t cut = cut_at(log, a);
    if (cut >= log->end) // it must get shorter, or the two would ask each other for ever
        cut = a->diverging_end < log->end ? a->diverging_end : log->end - 1;
    if (cut < log->start)
        cut = log->start;
    if (cut >= log->end) { // an empty log that diverges: the leader is confused
        out->action = REPL_FIND;
        return;
    }
    if (cut < log->high_watermark && f->in_isr_or_elr) {
        f->stopped = true;
        *out = (struct repl_verdict){.action = REPL_STOP, .offset = cut};
        return;
    }
    f->cuts++;
    *out = (struct repl_verdict){.action = REPL_TRUNCATE, .offset = cut};
}

static void judge_records(struct repl_follower *f, const struct repl_log *log, const struct repl_answer *a,
                          struct repl_verdict *out)
{
    f->failures = f->cuts = 0;
    f->retry_ns = 0;
    out->action = a->records ? REPL_APPEND : REPL_NOTHING;
    if (a->high_watermark > log->high_watermark)
        out->high_watermark = a->high_watermark;
    if (a->log_start > log->start)
        out->log_start = a->log_start;
}

void repl_follower_answer(struct repl_follower *f, const struct repl_log *log, const struct repl_answer *a, uint64_t now_ns,
                          struct repl_verdict *out)
{
    *out = (struct repl_verdict){.action = REPL_NOTHING, .offset = OFFSET_NONE, .high_watermark = OFFSET_NONE,
                                 .log_start = OFFSET_NONE};
    if (f->leader == NODE_ID_NONE || f->stopped || a->leader_epoch != f->leader_epoch || a->asked_offset != log->end)
        return; // of another question
    if (a->rc == RC_OFFSET_OUT_OF_RANGE && a->log_start != OFFSET_NONE) {
        // Our end lies below the leader's log start, or the leader keeps nothing as old as our newest epoch. Either way
        // nothing of ours is any use to it, unless it is what a member of ISR or ELR promised to hold.
        if (f->in_isr_or_elr && a->log_start < log->high_watermark) {
            f->stopped = true;
            out->action = REPL_STOP;
            return;
        }
        *out = (struct repl_verdict){.action = REPL_RESTART, .offset = a->log_start, .high_watermark = OFFSET_NONE,
                                     .log_start = OFFSET_NONE};
        return;
    }
    if (a->rc != RC_OK) {
        repl_follower_failed(f, now_ns);
        out->action = REPL_FIND;
        return;
    }
    if (a->diverging_epoch != LEADER_EPOCH_NONE) {
        judge_divergence(f, log, a, out);
        if (out->action == REPL_FIND)
            repl_follower_failed(f, now_ns);
        return;
    }
    judge_records(f, log, a, out);
}
