// SPDX-License-Identifier: Apache-2.0
//
// A follower's side: appends, heartbeats, snapshots. Nothing is confirmed before it is durable; a heartbeat of a term
// that is durable waits for no disk.
#include "raft/core.h"

static void heard(struct raft *r, struct raft_effects *fx, struct raft_id leader)
{
    ASSERT(r->role != RAFT_LEADER); // one leader a term
    if (r->role != RAFT_FOLLOWER || !raft_id_eq(r->leader, leader))
        raft_become_follower(r, fx, r->hard.term, leader);
    r->leader_heard_ms = r->now_ms;
    r->leader_lost = false;
    raft_election_reset(r);
}

// Ticket after which everything up to index is durable, 0 when it is.
static uint64_t index_ticket(const struct raft *r, uint64_t index)
{
    return index <= r->durable_index && r->durable_term == r->hard.term ? 0 : r->ticket_last;
}

static void confirm(struct raft *r, struct raft_effects *fx, const struct raft_message *m, uint64_t match)
{
    struct raft_message a = raft_message_to(r, RAFT_APPEND_ANSWER, m->from);
    a.granted = true;
    a.match = match;
    raft_send(r, fx, index_ticket(r, match), &a);
}

static void refuse(struct raft *r, struct raft_effects *fx, const struct raft_message *m)
{
    struct raft_message a = raft_message_to(r, RAFT_APPEND_ANSWER, m->from);
    a.log_index = m->log_index;
    a.hint_index = raft_last_index(r) + 1;
    uint64_t term;
    if (m->log_index <= raft_last_index(r) && raft_term_at(r, m->log_index, &term)) {
        // The whole term is in doubt: point at its first entry, but never below what is committed here.
        uint64_t first = m->log_index, before;
        while (first > r->commit + 1 && raft_term_at(r, first - 1, &before) && before == term)
            first--;
        a.hint_term = term;
        a.hint_index = first;
    }
    raft_send(r, fx, raft_hard_ticket(r), &a);
}

static void truncate(struct raft *r, struct raft_effects *fx, uint64_t from)
{
    ASSERT(from > r->commit); // a committed entry is never taken back
    raft_window_cut(&r->window, from);
    raft_sets_cut(r, from);
    raft_ticket(r, fx);
    fx->truncate_from = from;
    // Writes still in flight may hold entries that are gone now.
    if (r->durable_index >= from)
        r->durable_index = from - 1;
    for (uint32_t i = 0; i < r->ticket_count; i++) {
        struct raft_ticket *t = &r->tickets[(r->ticket_head + i) % RAFT_TICKETS_MAX];
        if (t->index >= from)
            t->index = from - 1;
    }
    raft_peers_rebuild(r);
}

enum rc raft_on_append(struct raft *r, struct raft_effects *fx, const struct raft_message *m)
{
    if (r->role == RAFT_LEADER)
        return RC_MALFORMED; // two leaders of one term cannot be; somebody lies
    heard(r, fx, m->from);
    uint64_t match = m->log_index + m->entry_count, prev_term;
    if (m->log_index < r->commit && match <= r->commit) {
        confirm(r, fx, m, match);
        return RC_OK;
    }
    if (m->log_index >= r->window.prev_index &&
        (!raft_term_at(r, m->log_index, &prev_term) || prev_term != m->log_term)) {
        refuse(r, fx, m);
        return RC_OK;
    }
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const struct raft_entry *e = &m->entries[i];
        uint64_t index = m->log_index + 1 + i, term;
        if (index <= r->commit)
            continue;
        if (raft_term_at(r, index, &term)) {
            if (term == e->term)
                continue;
            truncate(r, fx, index);
        }
        if (e->term < raft_last_term(r) || e->term > m->term)
            return RC_MALFORMED;
        enum rc rc = raft_append(r, fx, e->term, e->type, e->payload);
        if (rc != RC_OK)
            return rc; // what was taken so far is a valid prefix; it is confirmed by the next append
    }
    raft_commit_to(r, m->commit < match ? m->commit : match);
    confirm(r, fx, m, match);
    return RC_OK;
}

void raft_on_heartbeat(struct raft *r, struct raft_effects *fx, const struct raft_message *m)
{
    if (r->role == RAFT_LEADER)
        return;
    heard(r, fx, m->from);
    // The leader sends no more than what it knows to match here.
    if (m->commit <= raft_last_index(r))
        raft_commit_to(r, m->commit);
    struct raft_message a = raft_message_to(r, RAFT_HEARTBEAT_ANSWER, m->from);
    a.round = m->round;
    raft_send(r, fx, r->durable_term == r->hard.term ? 0 : r->ticket_last, &a);
}

enum rc raft_on_snapshot(struct raft *r, struct raft_effects *fx, const struct raft_event *ev)
{
    const struct raft_snapshot *s = ev->snapshot;
    if (ev->term < r->hard.term || r->role == RAFT_LEADER)
        return RC_INVALID;
    if (ev->term > r->hard.term)
        raft_become_follower(r, fx, ev->term, ev->id);
    heard(r, fx, ev->id);
    struct raft_message m = {.from = ev->id};
    uint64_t term;
    if (s->index <= r->commit) {
        confirm(r, fx, &m, r->commit);
        return RC_OK;
    }
    if (raft_term_at(r, s->index, &term) && term == s->term) {
        // The log already holds all of it.
        raft_commit_to(r, s->index);
        confirm(r, fx, &m, s->index);
        return RC_OK;
    }
    raft_window_reset(&r->window, s->index, s->term);
    r->set_count = 0;
    enum rc rc = raft_sets_push(r, s->index, &s->voters);
    ASSERT(rc == RC_OK); // there was room for at least one
    r->commit = r->applied = s->index;
    r->durable_index = 0;
    for (uint32_t i = 0; i < r->ticket_count; i++)
        r->tickets[(r->ticket_head + i) % RAFT_TICKETS_MAX].index = 0;
    raft_ticket(r, fx);
    fx->install = true;
    fx->installed = *s;
    raft_peers_rebuild(r);
    confirm(r, fx, &m, s->index);
    return RC_OK;
}
