// SPDX-License-Identifier: Apache-2.0
//
// Snapshots as a job: when enough log has gathered, the journal begins a new segment, the image that holds everything
// before it is written piece by piece, and then the old segments go.
#include "engine/quorum_core.h"

enum { PIECE_BYTES = 64 << 10, RETRY_MS = 5000 };

static void end(struct quorum *q, enum rc rc)
{
    struct quorum_snapshot *s = &q->snapshot;
    if (rc != RC_OK) {
        journal_snapshot_abandon(&s->file);
        s->retry_ns = shard_now_ns(q->shard) + RETRY_MS * QUORUM_NS_PER_MS;
        trace_warn(q->config.trace, "metadata snapshot failed: %s; the log keeps growing until the next attempt",
                   rc_text(rc));
    }
    image_unref(s->image);
    s->image = NULL;
    buf_deinit(&s->piece);
    s->running = false;
    s->wanted_index = 0;
}

static void file_done(struct journal_snapshot *f, enum rc rc)
{
    struct quorum *q = f->owner;
    q->snapshot.rc = rc;
    shard_job_wake(q->shard, &q->snapshot.job);
}

static enum shard_job_state run(struct shard_job *job, uint64_t budget_ns)
{
    struct quorum_snapshot *s = container_of(job, struct quorum_snapshot, job);
    struct quorum *q = container_of(s, struct quorum, snapshot);
    uint64_t until = io_clock_ns(q->shard->io) + budget_ns;
    while (s->rc == RC_OK && !s->finishing) {
        s->piece.n = 0;
        enum rc more = snapshot_write(&s->writer, PIECE_BYTES, &s->piece);
        if (more != RC_OK && more != RC_EOF) {
            s->rc = more;
            break;
        }
        enum rc put = journal_snapshot_put(&s->file, buf_bytes(&s->piece), file_done);
        s->finishing = more == RC_EOF;
        if (put == RC_AGAIN)
            return SHARD_JOB_WAIT;
        s->rc = put;
        if (io_clock_ns(q->shard->io) >= until)
            return SHARD_JOB_MORE;
    }
    if (s->rc == RC_OK && s->image) {
        if (s->wanted_index) {
            s->wanted_index = 0; // finish once
            journal_snapshot_finish(&s->file, file_done);
            return SHARD_JOB_WAIT;
        }
    }
    end(q, s->rc);
    return SHARD_JOB_DONE;
}

static void begin(struct quorum *q)
{
    struct quorum_snapshot *s = &q->snapshot;
    struct journal_mark mark = {.index = q->image->index, .term = q->image->term};
    mark.voters_bytes = (uint32_t)raft_voters_encode(raft_voters_at(&q->raft, mark.index), mark.voters);
    s->file.owner = q;
    s->rc = journal_snapshot_begin(&q->journal, &s->file, &mark);
    s->running = true;
    s->finishing = false;
    s->image = image_ref(q->image);
    buf_init(&s->piece, 64 << 20);
    snapshot_writer_init(&s->writer, s->image);
    shard_job_start(q->shard, &s->job, run);
}

void quorum_snapshot_consider(struct quorum *q)
{
    struct quorum_snapshot *s = &q->snapshot;
    if (s->running || shard_now_ns(q->shard) < s->retry_ns || q->arrival.running || q->dead || !q->started || q->forming)
        return;
    if (s->wanted_index == 0 && q->journal.bytes_since_snapshot > q->config.snapshot_log_bytes) {
        s->wanted_index = raft_last_index(&q->raft);
        journal_roll(&q->journal);
    }
    // Only what is on disk here: a snapshot must not be ahead of the log it stands for.
    if (s->wanted_index && q->image->index >= s->wanted_index && q->raft.durable_index >= q->image->index)
        begin(q);
}

_Static_assert((int)RAFT_VOTERS_BYTES_MAX <= (int)JOURNAL_VOTERS_BYTES_MAX, "a voter set fits a snapshot's head");
