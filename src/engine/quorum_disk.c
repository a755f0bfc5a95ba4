// SPDX-License-Identifier: Apache-2.0
//
// The core's wishes to the disk, one write at a time, and the messages that rest on them.
#include "engine/quorum_core.h"

enum { FULL_AGAIN_MS = 200 };

void quorum_disk_want(struct quorum *q, const struct raft_effects *fx)
{
    struct quorum_disk *d = &q->disk;
    if (!fx->ticket)
        return;
    d->dirty = true;
    d->ticket = fx->ticket;
    if (fx->install) {
        // The snapshot is on disk already (quorum_transfer.c); what the log held is nothing to it.
        ASSERT(q->journal.snapshot.index == fx->installed.index);
        d->install = true;
        d->truncate_from = 0;
        d->next = fx->installed.index + 1;
        d->last = fx->installed.index;
    }
    if (fx->truncate_from) {
        if (d->next > fx->truncate_from) {
            d->truncate_from =
                d->truncate_from && d->truncate_from < fx->truncate_from ? d->truncate_from : fx->truncate_from;
            d->next = fx->truncate_from;
        }
        d->last = fx->truncate_from - 1;
    }
    if (fx->append_count) {
        ASSERT(fx->append_first == d->last + 1);
        d->last = fx->append_first + fx->append_count - 1;
    }
}

// Messages that rested on a ticket leave in the order in which they were made.
static void sends_release(struct quorum *q, uint64_t ticket)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < q->send_count; i++) {
        if (q->sends[i].ticket > ticket)
            q->sends[kept++] = q->sends[i];
        else
            quorum_raft_send(q, &q->sends[i].message);
    }
    q->send_count = kept;
}

void quorum_sends_take(struct quorum *q, const struct raft_effects *fx)
{
    for (uint32_t i = 0; i < fx->send_count; i++) {
        const struct raft_outgoing *o = &fx->send[i];
        if (o->ticket == 0)
            quorum_raft_send(q, &o->message);
        else if (q->send_count < QUORUM_SENDS_MAX)
            q->sends[q->send_count++] = *o; // beyond that as if lost on the way
    }
}

static void journal_done(struct journal *j, enum rc rc)
{
    struct quorum *q = j->owner;
    if (rc != RC_OK) {
        quorum_dead(q, rc, "the Raft log cannot be written");
        quorum_finish_all(q, &q->flying, RC_NOT_CONTROLLER);
        quorum_finish_all(q, &q->queue, RC_NOT_CONTROLLER);
        return;
    }
    uint64_t ticket = q->disk.writing_ticket;
    if (ticket) {
        sends_release(q, ticket);
        quorum_feed(q, &(struct raft_event){.kind = RAFT_DURABLE, .ticket = ticket});
    }
    journal_drop_covered(j);
    quorum_wake(q);
}

void quorum_disk_stopped(struct journal *j)
{
    struct quorum *q = j->owner;
    q->disk.again_ns = shard_now_ns(q->shard) + FULL_AGAIN_MS * QUORUM_NS_PER_MS;
    quorum_wake(q);
}

uint64_t quorum_disk_write(struct quorum *q, uint64_t now)
{
    struct quorum_disk *d = &q->disk;
    if (journal_stands_still(&q->journal) && !q->dead && now >= d->again_ns)
        journal_again(&q->journal);
    if (journal_stands_still(&q->journal) && !q->dead)
        return d->again_ns;
    if (!d->dirty || journal_busy(&q->journal) || q->dead)
        return UINT64_MAX;
    struct journal_hard hard = {
        .term = q->raft.hard.term, .vote_node = q->raft.hard.vote.node, .vote_directory = q->raft.hard.vote.directory};
    journal_begin(&q->journal, &hard);
    if (d->install)
        journal_install(&q->journal, &q->journal.snapshot);
    else if (d->truncate_from)
        journal_truncate(&q->journal, d->truncate_from);
    d->install = false;
    d->truncate_from = 0;
    while (d->next <= d->last) {
        struct raft_entry e;
        bool there = raft_entry_get(&q->raft, d->next, &e);
        ASSERT(there); // entries leave the window only when durable
        struct journal_entry je = {.index = e.index, .term = e.term, .type = (uint8_t)e.type, .payload = e.payload};
        if (!journal_put(&q->journal, &je))
            break;
        d->next++;
    }
    d->dirty = d->next <= d->last;
    d->writing_ticket = d->dirty ? 0 : d->ticket;
    journal_commit(&q->journal, journal_done);
    return journal_stands_still(&q->journal) ? d->again_ns : UINT64_MAX;
}
