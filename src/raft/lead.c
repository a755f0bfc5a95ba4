// SPDX-License-Identifier: Apache-2.0
//
// A leader's side: replication, commit, heartbeats, read confirmation, membership, transfer.
#include "raft/core.h"

#include <string.h>

// ---- replication ----

// Sends peer p an append behind what it was sent already, with at most `entries_max` of the entries that follow. False: they
// have left memory, and a snapshot is asked for.
static bool append_send(struct raft *r, struct raft_effects *fx, struct raft_peer *p, uint32_t entries_max)
{
    ASSERT(p->match < p->next);
    ASSERT(p->state != RAFT_PEER_SNAPSHOT);
    uint64_t prev_term, last = raft_last_index(r);
    if (!raft_term_at(r, p->next - 1, &prev_term)) {
        p->state = RAFT_PEER_SNAPSHOT;
        fx->snapshot_to[fx->snapshot_to_count++] = p->id;
        return false;
    }
    struct raft_message m = raft_message_to(r, RAFT_APPEND, p->id);
    m.log_index = p->next - 1;
    m.log_term = prev_term;
    m.commit = r->commit;
    m.first_entry = p->next;
    uint64_t bytes = 0;
    for (uint64_t i = p->next; i <= last && m.entry_count < entries_max; i++) {
        bytes += raft_window_slot(&r->window, i)->bytes;
        if (bytes > RAFT_APPEND_BYTES_MAX && m.entry_count > 0)
            break;
        m.entry_count++;
    }
    raft_send(r, fx, 0, &m); // others may be faster than the own disk
    if (p->state == RAFT_PEER_REPLICATE) {
        p->next += m.entry_count;
        p->inflight += m.entry_count > 0;
    }
    return true;
}

// Sends what peer p lacks, as far as its state allows. `even_empty`: also when there is nothing to send.
static void replicate(struct raft *r, struct raft_effects *fx, struct raft_peer *p, bool even_empty)
{
    if (p->state == RAFT_PEER_SNAPSHOT || (p->state == RAFT_PEER_PROBE && p->paused))
        return;
    if (p->state == RAFT_PEER_REPLICATE && p->inflight >= RAFT_INFLIGHT_MAX)
        return;
    if (p->next > raft_last_index(r) && !even_empty)
        return;
    if (!append_send(r, fx, p, RAFT_APPEND_ENTRIES_MAX))
        return;
    p->told_commit = r->commit;
    p->paused = p->state == RAFT_PEER_PROBE;
}

// Asks peer p how far it has come. Nothing overtakes an append on its way, so a refusal says that one before it was lost,
// and what is not lost is not sent again. Heartbeats do overtake: their answers say that the link works and nothing of the
// entries that still wait for it. Sending those with every heartbeat fed a slow link more than it carried, for ever.
static void ask(struct raft *r, struct raft_effects *fx, struct raft_peer *p)
{
    if (p->state != RAFT_PEER_SNAPSHOT)
        (void)append_send(r, fx, p, 0);
}

static void raft_replicate_all(struct raft *r, struct raft_effects *fx)
{
    for (uint32_t i = 0; i < r->peer_count; i++)
        replicate(r, fx, &r->peers[i], false);
}

static void heartbeat(struct raft *r, struct raft_effects *fx, struct raft_peer *p)
{
    struct raft_message m = raft_message_to(r, RAFT_HEARTBEAT, p->id);
    m.commit = r->commit < p->match ? r->commit : p->match;
    m.round = r->round;
    p->told_commit = m.commit;
    raft_send(r, fx, 0, &m);
}

static void raft_heartbeat_all(struct raft *r, struct raft_effects *fx)
{
    r->heartbeat_at_ms = r->now_ms + r->config.heartbeat_ms;
    r->round_sent_ms[++r->round % RAFT_ROUNDS_KEPT] = r->now_ms;
    for (uint32_t i = 0; i < r->peer_count; i++)
        heartbeat(r, fx, &r->peers[i]);
}

// Who holds what has been committed hears of it at once, not with the next heartbeat: what waits for it, an election of a
// partition's leader above all, waits for that. Nothing, where an append has just said so.
static void tell_commit(struct raft *r, struct raft_effects *fx, struct raft_peer *p)
{
    const uint64_t commit = r->commit < p->match ? r->commit : p->match;
    if (p->state == RAFT_PEER_REPLICATE && commit > p->told_commit)
        heartbeat(r, fx, p);
}

static void peer_probe(struct raft_peer *p, uint64_t next)
{
    p->state = RAFT_PEER_PROBE;
    p->paused = false;
    p->inflight = 0;
    p->next = next > p->match ? next : p->match + 1;
}

// Where to look for agreement after a refusal: behind our last entry of the term that disagreed, else where the
// follower's term begins.
static uint64_t next_after_refusal(const struct raft *r, const struct raft_message *m)
{
    if (m->hint_term == 0)
        return m->hint_index;
    uint64_t at = m->log_index, term;
    while (at >= m->hint_index && raft_term_at(r, at, &term)) {
        if (term == m->hint_term)
            return at + 1;
        if (term < m->hint_term)
            break;
        at--;
    }
    return m->hint_index;
}

void raft_on_append_answer(struct raft *r, struct raft_effects *fx, const struct raft_message *m)
{
    struct raft_peer *p = r->role == RAFT_LEADER ? raft_peer_find(r, m->from) : NULL;
    if (!p)
        return;
    p->heard_ms = r->now_ms;
    if (!m->granted) {
        // A refusal of something older than what is agreed already is late.
        bool late = m->log_index <= p->match || (p->state == RAFT_PEER_PROBE && m->log_index != p->next - 1);
        if (late || p->state == RAFT_PEER_SNAPSHOT)
            return;
        uint64_t next = next_after_refusal(r, m);
        peer_probe(p, next < p->next ? next : p->next - 1);
        replicate(r, fx, p, true);
        return;
    }
    if (m->match > raft_last_index(r))
        return; // cannot be of this term
    bool was_probing = p->state != RAFT_PEER_REPLICATE;
    const bool newer = m->match > p->match;
    if (newer)
        p->match = m->match;
    if (p->next <= p->match)
        p->next = p->match + 1;
    if (p->state == RAFT_PEER_SNAPSHOT && p->match < r->window.prev_index)
        return; // an answer from before the snapshot
    p->state = RAFT_PEER_REPLICATE;
    p->paused = false;
    // Answers can be lost, too: with all that was sent confirmed, nothing is on its way.
    if (was_probing || p->match + 1 == p->next)
        p->inflight = 0;
    else if (newer && p->inflight > 0)
        p->inflight--;
    raft_lead_commit(r, fx);
    if (r->role != RAFT_LEADER)
        return;
    replicate(r, fx, p, false);
    tell_commit(r, fx, p);
    if (raft_id_eq(r->transfer_to, p->id) && p->match == raft_last_index(r)) {
        struct raft_message t = raft_message_to(r, RAFT_TIMEOUT_NOW, p->id);
        raft_send(r, fx, 0, &t);
    }
}

void raft_on_snapshot_sent(struct raft *r, struct raft_effects *fx, struct raft_id to, bool ok)
{
    struct raft_peer *p = r->role == RAFT_LEADER ? raft_peer_find(r, to) : NULL;
    if (!p || p->state != RAFT_PEER_SNAPSHOT)
        return;
    // Whole or not, its answer or the next heartbeat's decides what to send.
    peer_probe(p, p->match + 1);
    p->paused = true;
    (void)ok;
    (void)fx;
}

// ---- commit ----

void raft_lead_commit(struct raft *r, struct raft_effects *fx)
{
    const struct raft_voters *v = raft_voters(r);
    uint64_t matches[RAFT_VOTERS_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->count; i++) {
        uint64_t match = 0;
        if (raft_id_eq(v->ids[i], r->config.self)) {
            match = r->durable_index;
        } else {
            const struct raft_peer *p = raft_peer_find(r, v->ids[i]);
            match = p ? p->match : 0;
        }
        uint32_t at = n++;
        for (; at > 0 && matches[at - 1] < match; at--)
            matches[at] = matches[at - 1];
        matches[at] = match;
    }
    uint64_t index = matches[raft_majority(v) - 1], term;
    // Only an entry of the own term is committed by counting (Raft paper 5.4.2).
    if (index <= r->commit || !raft_term_at(r, index, &term) || term != r->hard.term)
        return;
    raft_commit_to(r, index);
    if (!raft_is_voter(raft_voters_at(r, r->commit), r->config.self) && !raft_self_votes(r)) {
        // Removed by the entry that just committed: tell the others, then leave.
        raft_heartbeat_all(r, fx);
        raft_become_follower(r, fx, r->hard.term, raft_id_none());
        return;
    }
    raft_replicate_all(r, fx);
    for (uint32_t i = 0; i < r->peer_count; i++)
        tell_commit(r, fx, &r->peers[i]);
}

// ---- reads ----

static void reads_settle(struct raft *r, struct raft_effects *fx)
{
    const struct raft_voters *v = raft_voters(r);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->read_count; i++) {
        uint32_t confirmed = raft_self_votes(r);
        for (uint32_t j = 0; j < r->peer_count; j++)
            confirmed += r->peers[j].voter && r->peers[j].round >= r->reads[i].round;
        if (confirmed >= raft_majority(v))
            fx->reads[fx->read_count++] = (struct raft_read_ready){r->reads[i].context, r->reads[i].index};
        else
            r->reads[kept++] = r->reads[i];
    }
    r->read_count = kept;
}

enum rc raft_read(struct raft *r, struct raft_effects *fx, uint64_t context)
{
    if (r->role != RAFT_LEADER)
        return RC_NOT_CONTROLLER;
    if (!raft_leads(r))
        return RC_AGAIN;
    if (r->read_count == RAFT_READS_MAX)
        return RC_FULL;
    r->reads[r->read_count++] = (struct raft_read){.context = context, .index = r->commit, .round = r->round + 1};
    raft_heartbeat_all(r, fx);
    reads_settle(r, fx);
    return RC_OK;
}

void raft_on_heartbeat_answer(struct raft *r, struct raft_effects *fx, const struct raft_message *m)
{
    struct raft_peer *p = r->role == RAFT_LEADER ? raft_peer_find(r, m->from) : NULL;
    if (!p || m->round > r->round)
        return;
    p->heard_ms = r->now_ms;
    if (m->round > p->round)
        p->round = m->round;
    if (r->round - m->round < RAFT_ROUNDS_KEPT && r->round_sent_ms[m->round % RAFT_ROUNDS_KEPT] > p->followed_ms)
        p->followed_ms = r->round_sent_ms[m->round % RAFT_ROUNDS_KEPT];
    reads_settle(r, fx);
    if (p->match == raft_last_index(r))
        return;
    const bool waits = p->state == RAFT_PEER_PROBE ? p->paused : p->inflight > 0 || p->next > raft_last_index(r);
    if (waits)
        ask(r, fx, p); // something may have been lost on the way
    else
        replicate(r, fx, p, true);
}

// ---- term of office ----

enum rc raft_begin_lead(struct raft *r, struct raft_effects *fx)
{
    // Nobody but this node has made an entry of its term: there is one where it went with the vote, or formed the cluster.
    bool begun = raft_last_term(r) == r->hard.term;
    enum rc rc = begun ? RC_OK : raft_append(r, fx, r->hard.term, RAFT_ENTRY_EMPTY, (struct bytes){0});
    if (rc != RC_OK) {
        raft_become_follower(r, fx, r->hard.term, raft_id_none());
        return rc;
    }
    raft_become(r, fx, RAFT_LEADER);
    r->leader = r->config.self;
    r->term_first_index = raft_last_index(r);
    r->transfer_to = raft_id_none();
    r->read_count = 0;
    for (uint32_t i = 0; i < r->peer_count; i++) {
        struct raft_peer *p = &r->peers[i];
        *p = (struct raft_peer){.id = p->id, .voter = p->voter, .next = r->term_first_index, .heard_ms = r->now_ms};
    }
    raft_heartbeat_all(r, fx);
    raft_replicate_all(r, fx);
    if (begun)
        raft_lead_commit(r, fx);
    return RC_OK;
}

void raft_end_lead(struct raft *r, struct raft_effects *fx)
{
    ASSERT(r->role == RAFT_LEADER);
    for (uint32_t i = 0; i < r->read_count; i++)
        fx->reads_failed[fx->read_failed_count++] = r->reads[i].context;
    r->read_count = 0;
    r->transfer_to = raft_id_none();
}

static void best_follower(const struct raft *r, const struct raft_peer **best)
{
    *best = NULL;
    for (uint32_t i = 0; i < r->peer_count; i++) {
        const struct raft_peer *p = &r->peers[i];
        bool alive = r->now_ms - p->heard_ms < r->config.election_timeout_ms;
        if (p->voter && alive && p->state == RAFT_PEER_REPLICATE && (!*best || p->match > (*best)->match))
            *best = p;
    }
}

void raft_lead_tick(struct raft *r, struct raft_effects *fx)
{
    if (r->peer_count == 0)
        return;
    // Check-quorum: without word from a majority others may have moved on (thesis 6.2).
    uint32_t alive = raft_self_votes(r);
    for (uint32_t i = 0; i < r->peer_count; i++)
        alive += r->peers[i].voter && r->now_ms - r->peers[i].heard_ms < r->config.election_timeout_ms;
    if (alive < raft_majority(raft_voters(r))) {
        raft_become_follower(r, fx, r->hard.term, raft_id_none());
        return;
    }
    if (r->transfer_to.node != NODE_ID_NONE && r->now_ms >= r->transfer_deadline_ms)
        r->transfer_to = raft_id_none();
    // A leader whose own disk has stopped hands over to one whose disk works.
    bool stalled = r->ticket_count > 0 && r->now_ms - r->stalled_since_ms > r->config.election_timeout_ms;
    const struct raft_peer *best;
    best_follower(r, &best);
    if (stalled && best && r->transfer_to.node == NODE_ID_NONE)
        raft_transfer(r, fx, best->id);
    if (r->now_ms >= r->heartbeat_at_ms)
        raft_heartbeat_all(r, fx);
}

uint64_t raft_followed_ms(const struct raft *r)
{
    const struct raft_voters *v = raft_voters(r);
    uint64_t at[RAFT_VOTERS_MAX + 1];
    uint32_t count = 0;
    if (r->role != RAFT_LEADER)
        return 0;
    if (raft_self_votes(r))
        at[count++] = r->now_ms;
    for (uint32_t i = 0; i < r->peer_count && count < RAFT_VOTERS_MAX; i++)
        if (r->peers[i].voter)
            at[count++] = r->peers[i].followed_ms;
    // The latest time that a majority reaches.
    uint64_t best = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t reach = 0;
        for (uint32_t k = 0; k < count; k++)
            reach += at[k] >= at[i];
        if (reach >= raft_majority(v) && at[i] > best)
            best = at[i];
    }
    return best;
}

// ---- requests to a leader ----

enum rc raft_propose(struct raft *r, struct raft_effects *fx, struct bytes payload)
{
    if (r->role != RAFT_LEADER)
        return RC_NOT_CONTROLLER;
    if (payload.n > METADATA_ENTRY_BYTES_MAX)
        return RC_MESSAGE_TOO_LARGE;
    if (r->transfer_to.node != NODE_ID_NONE)
        return RC_AGAIN;
    if (raft_window_bytes_after(&r->window, r->commit) + payload.n > r->config.uncommitted_bytes_max)
        return RC_FULL;
    enum rc rc = raft_append(r, fx, r->hard.term, RAFT_ENTRY_DATA, payload);
    if (rc != RC_OK)
        return rc;
    fx->proposed = raft_last_index(r);
    raft_replicate_all(r, fx);
    return RC_OK;
}

enum rc raft_change(struct raft *r, struct raft_effects *fx, struct raft_id id, bool add)
{
    if (r->role != RAFT_LEADER)
        return RC_NOT_CONTROLLER;
    bool change_open = r->sets[r->set_count - 1].index > r->commit;
    if (!raft_leads(r) || change_open || r->transfer_to.node != NODE_ID_NONE)
        return RC_AGAIN;
    struct raft_voters v = *raft_voters(r);
    if (add) {
        for (uint32_t i = 0; i < v.count; i++)
            if (v.ids[i].node == id.node)
                return RC_EXISTS;
        if (v.count == RAFT_VOTERS_MAX)
            return RC_INVALID;
        const struct raft_peer *p = raft_peer_find(r, id);
        if (!p || p->state != RAFT_PEER_REPLICATE || p->match < r->commit)
            return RC_AGAIN;
        raft_voters_add(&v, id);
    } else {
        if (!raft_is_voter(&v, id))
            return RC_NOT_FOUND;
        if (v.count == 1)
            return RC_INVALID;
        raft_voters_remove(&v, id);
    }
    uint8_t bytes[RAFT_VOTERS_BYTES_MAX];
    size_t n = raft_voters_encode(&v, bytes);
    enum rc rc = raft_append(r, fx, r->hard.term, RAFT_ENTRY_VOTERS, bytes_of(bytes, n));
    if (rc != RC_OK)
        return rc;
    fx->proposed = raft_last_index(r);
    raft_replicate_all(r, fx);
    return RC_OK;
}

enum rc raft_transfer(struct raft *r, struct raft_effects *fx, struct raft_id to)
{
    if (r->role != RAFT_LEADER)
        return RC_NOT_CONTROLLER;
    struct raft_peer *p = raft_peer_find(r, to);
    if (!p || !p->voter)
        return RC_NOT_FOUND;
    if (r->transfer_to.node != NODE_ID_NONE)
        return RC_AGAIN;
    r->transfer_to = to;
    r->transfer_deadline_ms = r->now_ms + r->config.election_timeout_ms;
    if (p->match == raft_last_index(r)) {
        struct raft_message t = raft_message_to(r, RAFT_TIMEOUT_NOW, to);
        raft_send(r, fx, 0, &t);
    } else {
        replicate(r, fx, p, true);
    }
    return RC_OK;
}
