// SPDX-License-Identifier: Apache-2.0
//
// From the journal to Raft's log and the image, at a start and once a cluster has been formed. [boot]
#include <stdio.h>

#include "engine/quorum_core.h"

struct replay {
    struct quorum *q;
    struct image *image;
    struct raft_snapshot snapshot;
    bool raft_begun;
};

static enum rc raft_begin(struct replay *r)
{
    struct quorum *q = r->q;
    struct raft_config c = {
        .self = {.node = q->config.node_id, .directory = q->identity.directory},
        .election_timeout_ms = q->config.election_timeout_ms,
        .heartbeat_ms = q->config.heartbeat_ms,
        .window_bytes_max = QUORUM_WINDOW_BYTES,
        .uncommitted_bytes_max = QUORUM_UNCOMMITTED_BYTES,
    };
    const struct journal_hard *h = &q->journal.hard;
    struct raft_hard_state hard = {.term = h->term, .vote = {.node = h->vote_node, .directory = h->vote_directory}};
    r->raft_begun = true;
    raft_deinit(&q->raft);
    return raft_init(&q->raft, &c, &hard, &r->snapshot);
}

static enum rc on_snapshot(void *context, const struct journal_mark *mark)
{
    struct replay *r = context;
    r->snapshot.index = mark->index;
    r->snapshot.term = mark->term;
    r->image->index = mark->index;
    r->image->term = mark->term;
    return raft_voters_decode(bytes_of(mark->voters, mark->voters_bytes), &r->snapshot.voters);
}

static enum rc on_piece(void *context, const struct journal_mark *mark, struct bytes piece)
{
    struct replay *r = context;
    return snapshot_load(r->image, piece, mark->index, mark->term);
}

static enum rc on_entry(void *context, const struct journal_entry *e)
{
    struct replay *r = context;
    enum rc rc = r->raft_begun ? RC_OK : raft_begin(r);
    struct raft_entry entry = {
        .index = e->index, .term = e->term, .type = (enum raft_entry_type)e->type, .payload = e->payload};
    return rc == RC_OK ? raft_restore(&r->q->raft, &entry) : rc;
}

static enum rc replay_journal(struct replay *r, bool durable, char *text, size_t text_bytes)
{
    struct quorum *q = r->q;
    struct journal_visitor v = {
        .context = r, .snapshot = on_snapshot, .piece = on_piece, .entry = on_entry, .durable = durable};
    text[0] = 0;
    enum rc rc = journal_open(&q->journal, q->shard->io, q->config.trace, q->path, &v, text, text_bytes);
    if (rc != RC_OK)
        return rc;
    q->journal.owner = q;
    q->journal.stopped = quorum_disk_stopped;
    q->journal_open = true;
    q->identity.replayed_bytes = q->journal.replayed_bytes;
    q->identity.snapshot_bytes = q->journal.snapshot_bytes;
    return r->raft_begun ? RC_OK : raft_begin(r);
}

// What a single voter has on disk is committed; members of a larger quorum learn it from their leader.
static enum rc replay_committed(struct replay *r, char *text, size_t text_bytes)
{
    struct quorum *q = r->q;
    for (uint64_t i = r->image->index + 1; i <= q->raft.commit; i++) {
        struct raft_entry e;
        bool there = raft_entry_get(&q->raft, i, &e);
        ASSERT(there);
        enum rc rc = RC_OK;
        if (e.type == RAFT_ENTRY_DATA)
            rc = image_apply_entry(r->image, e.payload, e.index, e.term);
        if (rc != RC_OK) {
            snprintf(
                text, text_bytes, "metadata entry %llu cannot be applied: %s%s", (unsigned long long)i, rc_text(rc),
                rc == RC_UNSUPPORTED || rc == RC_UNSUPPORTED_VERSION ? " (written by a newer version of weir)" : "");
            return rc;
        }
        r->image->index = e.index;
        r->image->term = e.term;
    }
    return RC_OK;
}

// The image takes the place of what was there before.
enum rc quorum_log_open(struct quorum *q, bool durable, char *text, size_t text_bytes)
{
    struct replay r = {.q = q, .image = image_create()};
    if (!r.image) {
        snprintf(text, text_bytes, "cannot start the quorum: %s", rc_text(RC_NOMEM));
        return RC_NOMEM;
    }
    enum rc rc = replay_journal(&r, durable, text, text_bytes);
    if (rc == RC_OK) {
        raft_start(&q->raft, shard_now_ns(q->shard) / 1000000, prng_next(&q->shard->prng));
        rc = replay_committed(&r, text, text_bytes);
    }
    if (rc != RC_OK) {
        image_unref(r.image);
        if (text[0] == 0)
            snprintf(text, text_bytes, "cannot read the metadata in %s: %s", q->path, rc_text(rc));
        return rc;
    }
    r.image->changes.everything = true;
    image_unref(q->image);
    q->image = r.image;
    q->disk.next = q->journal.last_index + 1;
    q->disk.last = q->journal.last_index;
    q->voter_count = raft_voters(&q->raft)->count;
    quorum_peers_learn(q);
    if (q->peers)
        quorum_peers_remember(q);
    return RC_OK;
}
