// SPDX-License-Identifier: Apache-2.0
//
// The step: one event in, effects out; and what elect.c, follow.c and lead.c share.
#include "raft/core.h"

#include <stdlib.h>
#include <string.h>

// ---- state moves ----

static const uint8_t may_become[RAFT_ROLES] = {
    [RAFT_FOLLOWER] = 1 << RAFT_FOLLOWER | 1 << RAFT_PRE_CANDIDATE | 1 << RAFT_CANDIDATE,
    [RAFT_PRE_CANDIDATE] = 1 << RAFT_FOLLOWER | 1 << RAFT_PRE_CANDIDATE | 1 << RAFT_CANDIDATE,
    [RAFT_CANDIDATE] = 1 << RAFT_FOLLOWER | 1 << RAFT_PRE_CANDIDATE | 1 << RAFT_CANDIDATE | 1 << RAFT_LEADER,
    [RAFT_LEADER] = 1 << RAFT_FOLLOWER,
};

void raft_become(struct raft *r, struct raft_effects *fx, enum raft_role role)
{
    ASSERT(may_become[r->role] & (1u << role));
    if (r->role != role)
        fx->role_changed = true;
    r->role = role;
}

void raft_election_reset(struct raft *r)
{
    uint64_t timeout = r->config.election_timeout_ms;
    r->election_ms = r->now_ms + timeout + r->random % (timeout + 1);
}

void raft_set_hard(struct raft *r, struct raft_effects *fx, uint64_t term, struct raft_id vote)
{
    ASSERT(term >= r->hard.term);
    ASSERT(term > r->hard.term || r->hard.vote.node == NODE_ID_NONE || raft_id_eq(r->hard.vote, vote));
    if (term == r->hard.term && raft_id_eq(r->hard.vote, vote))
        return;
    if (term != r->hard.term)
        fx->role_changed = true;
    r->hard = (struct raft_hard_state){.term = term, .vote = vote};
    fx->hard_changed = true;
    fx->hard = r->hard;
    uint64_t ticket = raft_ticket(r, fx);
    ASSERT(ticket != 0);
}

void raft_become_follower(struct raft *r, struct raft_effects *fx, uint64_t term, struct raft_id leader)
{
    if (r->role == RAFT_LEADER)
        raft_end_lead(r, fx);
    raft_become(r, fx, RAFT_FOLLOWER);
    if (term > r->hard.term)
        raft_set_hard(r, fx, term, raft_id_none());
    if (!raft_id_eq(r->leader, leader))
        fx->role_changed = true;
    r->leader = leader;
    r->leader_lost = false;
    raft_election_reset(r);
}

bool raft_self_votes(const struct raft *r)
{
    return raft_is_voter(raft_voters(r), r->config.self);
}

uint64_t raft_last_term(const struct raft *r)
{
    return r->window.count ? raft_window_slot(&r->window, raft_last_index(r))->term : r->window.prev_term;
}

bool raft_term_at(const struct raft *r, uint64_t index, uint64_t *term)
{
    if (index == r->window.prev_index) {
        *term = r->window.prev_term;
        return true;
    }
    if (index < r->window.prev_index || index > raft_last_index(r))
        return false;
    *term = raft_window_slot(&r->window, index)->term;
    return true;
}

bool raft_entry_get(const struct raft *r, uint64_t index, struct raft_entry *out)
{
    if (index <= r->window.prev_index || index > raft_last_index(r))
        return false;
    const struct raft_slot *s = raft_window_slot(&r->window, index);
    *out = (struct raft_entry){.index = index, .term = s->term, .type = s->type, .payload = bytes_of(s->p, s->bytes)};
    return true;
}

// ---- disk barriers ----

uint64_t raft_ticket(struct raft *r, struct raft_effects *fx)
{
    if (fx->ticket)
        return fx->ticket;
    ASSERT(r->ticket_count < RAFT_TICKETS_MAX); // raft_step() admits only what leaves room
    if (r->ticket_count == 0)
        r->stalled_since_ms = r->now_ms;
    fx->ticket = ++r->ticket_last;
    uint32_t at = (r->ticket_head + r->ticket_count++) % RAFT_TICKETS_MAX;
    r->tickets[at] = (struct raft_ticket){.ticket = fx->ticket};
    return fx->ticket;
}

uint64_t raft_hard_ticket(const struct raft *r)
{
    return r->durable_term == r->hard.term && r->ticket_count == 0 ? 0 : r->ticket_last;
}

// What this step made of log and term is what its ticket will have made durable.
static void ticket_seal(struct raft *r, const struct raft_effects *fx)
{
    if (!fx->ticket)
        return;
    struct raft_ticket *t = &r->tickets[(r->ticket_head + r->ticket_count - 1) % RAFT_TICKETS_MAX];
    ASSERT(t->ticket == fx->ticket);
    t->index = raft_last_index(r);
    t->term = r->hard.term;
}

static void on_durable(struct raft *r, struct raft_effects *fx, uint64_t ticket)
{
    while (r->ticket_count > 0 && r->tickets[r->ticket_head].ticket <= ticket) {
        const struct raft_ticket *t = &r->tickets[r->ticket_head];
        r->durable_index = t->index;
        r->durable_term = t->term;
        r->ticket_head = (r->ticket_head + 1) % RAFT_TICKETS_MAX;
        r->ticket_count--;
        r->stalled_since_ms = r->now_ms;
    }
    if (r->role == RAFT_CANDIDATE)
        raft_count_votes(r, fx);
    else if (r->role == RAFT_LEADER)
        raft_lead_commit(r, fx);
}

// ---- log ----

enum rc raft_append(struct raft *r, struct raft_effects *fx, uint64_t term, enum raft_entry_type type,
                    struct bytes payload)
{
    uint64_t index = raft_last_index(r) + 1;
    ASSERT(term >= raft_last_term(r));
    struct raft_voters voters;
    if (type == RAFT_ENTRY_VOTERS) {
        enum rc rc = raft_voters_decode(payload, &voters);
        if (rc != RC_OK)
            return rc;
        if (raft_sets_push(r, index, &voters) != RC_OK)
            return RC_NOMEM;
    }
    if (raft_window_push(&r->window, term, type, payload) != RC_OK) {
        if (type == RAFT_ENTRY_VOTERS)
            raft_sets_cut(r, index);
        return RC_NOMEM;
    }
    if (fx->append_count == 0)
        fx->append_first = index;
    fx->append_count++;
    raft_ticket(r, fx);
    if (type == RAFT_ENTRY_VOTERS)
        raft_peers_rebuild(r);
    return RC_OK;
}

void raft_commit_to(struct raft *r, uint64_t index)
{
    ASSERT(index <= raft_last_index(r));
    if (index <= r->commit)
        return;
    r->commit = index;
    raft_sets_prune(r);
}

// Applied entries that are on disk leave memory once the window is over its budget; alone, nobody will ask for them.
static void on_applied(struct raft *r, uint64_t index)
{
    ASSERT(index >= r->applied && index <= r->commit);
    r->applied = index;
    uint64_t budget = r->peer_count ? r->config.window_bytes_max : 0;
    while (r->window.count > 0 && r->window.bytes > budget) {
        uint64_t first = r->window.prev_index + 1;
        if (first > r->applied || first > r->durable_index)
            break;
        raft_window_drop(&r->window);
    }
}

// ---- messages ----

struct raft_message raft_message_to(const struct raft *r, enum raft_message_kind kind, struct raft_id to)
{
    return (struct raft_message){.kind = kind, .from = r->config.self, .to = to, .term = r->hard.term};
}

void raft_send(struct raft *r, struct raft_effects *fx, uint64_t ticket, const struct raft_message *m)
{
    ASSERT(!raft_id_eq(m->to, r->config.self));
    if (fx->send_count == RAFT_MESSAGES_MAX)
        return; // as good as lost on the way; the protocol sends again
    fx->send[fx->send_count++] = (struct raft_outgoing){.ticket = ticket, .message = *m};
}

struct raft_peer *raft_peer_find(struct raft *r, struct raft_id id)
{
    for (uint32_t i = 0; i < r->peer_count; i++)
        if (raft_id_eq(r->peers[i].id, id))
            return &r->peers[i];
    return NULL;
}

static void peer_want(struct raft *r, struct raft_id id, bool voter)
{
    if (raft_id_eq(id, r->config.self))
        return;
    struct raft_peer *p = raft_peer_find(r, id);
    if (!p) {
        if (r->peer_count == RAFT_PEERS_MAX)
            return;
        p = &r->peers[r->peer_count++];
        *p = (struct raft_peer){.id = id, .next = raft_last_index(r) + 1, .heard_ms = r->now_ms};
    }
    p->voter |= voter;
    p->in_use = true;
}

void raft_peers_rebuild(struct raft *r)
{
    const struct raft_voters *v = raft_voters(r);
    for (uint32_t i = 0; i < r->peer_count; i++)
        r->peers[i].in_use = r->peers[i].voter = false;
    for (uint32_t i = 0; i < v->count; i++)
        peer_want(r, v->ids[i], true);
    for (uint32_t i = 0; i < r->observer_count; i++)
        peer_want(r, r->observers[i], false);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->peer_count; i++)
        if (r->peers[i].in_use)
            r->peers[kept++] = r->peers[i];
    r->peer_count = kept;
}

// ---- life ----

enum rc raft_init(struct raft *r, const struct raft_config *config, const struct raft_hard_state *hard,
                  const struct raft_snapshot *snapshot)
{
    ASSERT(config->election_timeout_ms > 0 && config->heartbeat_ms > 0);
    memset(r, 0, sizeof(*r));
    r->config = *config;
    r->hard = *hard;
    r->durable_term = hard->term;
    r->leader = raft_id_none();
    r->transfer_to = raft_id_none();
    r->window.prev_index = r->commit = r->applied = r->durable_index = snapshot->index;
    r->window.prev_term = snapshot->term;
    return raft_sets_push(r, snapshot->index, &snapshot->voters);
}

void raft_deinit(struct raft *r)
{
    raft_window_deinit(&r->window);
    free(r->sets);
    r->sets = NULL;
}

enum rc raft_restore(struct raft *r, const struct raft_entry *entry)
{
    if (entry->index != raft_last_index(r) + 1 || entry->term < raft_last_term(r))
        return RC_INVALID;
    struct raft_voters voters;
    if (entry->type == RAFT_ENTRY_VOTERS) {
        enum rc rc = raft_voters_decode(entry->payload, &voters);
        if (rc != RC_OK)
            return rc;
        rc = raft_sets_push(r, entry->index, &voters);
        if (rc != RC_OK)
            return rc;
    }
    enum rc rc = raft_window_push(&r->window, entry->term, entry->type, entry->payload);
    if (rc == RC_OK)
        r->durable_index = entry->index;
    return rc;
}

void raft_start(struct raft *r, uint64_t now_ms, uint64_t random)
{
    r->now_ms = now_ms;
    r->random = random;
    raft_peers_rebuild(r);
    raft_election_reset(r);
    if (raft_self_votes(r) && raft_voters(r)->count == 1) {
        r->election_ms = now_ms; // nobody to wait for
        // The only voter's disk is the majority: no other member could ever have taken these entries back.
        raft_commit_to(r, raft_last_index(r));
    }
}

void raft_stand_at_once(struct raft *r)
{
    ASSERT(r->role == RAFT_FOLLOWER && r->leader.node == NODE_ID_NONE);
    r->election_ms = r->now_ms;
}

void raft_form_alone(struct raft *r)
{
    ASSERT(r->role == RAFT_FOLLOWER && raft_voters(r)->count == 1 && raft_self_votes(r));
    ASSERT(raft_id_eq(r->hard.vote, r->config.self) && raft_last_term(r) == r->hard.term);
    r->formed = true;
}

uint64_t raft_deadline_ms(const struct raft *r)
{
    if (r->role == RAFT_LEADER)
        return r->peer_count ? r->heartbeat_at_ms : UINT64_MAX;
    return raft_self_votes(r) ? r->election_ms : UINT64_MAX;
}

// ---- the step ----

// Messages of other terms are settled here; true when m is to be handled as one of the current term.
static bool message_term(struct raft *r, struct raft_effects *fx, const struct raft_message *m)
{
    bool from_leader = m->kind == RAFT_APPEND || m->kind == RAFT_HEARTBEAT || m->kind == RAFT_TIMEOUT_NOW;
    if (m->term > r->hard.term) {
        // A pre-vote asks about a term that nobody is in yet; a vote is judged before the term is taken over, so that
        // a member cut off from a live leader cannot disturb it (thesis 4.2.3).
        bool asks = m->kind == RAFT_PRE_VOTE || m->kind == RAFT_VOTE;
        if (asks || (m->kind == RAFT_PRE_VOTE_ANSWER && m->granted))
            return true;
        raft_become_follower(r, fx, m->term, from_leader ? m->from : raft_id_none());
        return true;
    }
    if (m->term == r->hard.term)
        return true;
    // An old leader, or a candidate of the past, learns of the newer term; old answers mean nothing.
    if (m->kind == RAFT_APPEND || m->kind == RAFT_HEARTBEAT) {
        struct raft_message a = raft_message_to(r, RAFT_APPEND_ANSWER, m->from);
        a.hint_index = raft_last_index(r) + 1;
        raft_send(r, fx, raft_hard_ticket(r), &a);
    } else if (m->kind == RAFT_PRE_VOTE || m->kind == RAFT_VOTE) {
        struct raft_message a =
            raft_message_to(r, m->kind == RAFT_VOTE ? RAFT_VOTE_ANSWER : RAFT_PRE_VOTE_ANSWER, m->from);
        raft_send(r, fx, raft_hard_ticket(r), &a);
    }
    return false;
}

static enum rc on_message(struct raft *r, struct raft_effects *fx, const struct raft_message *m)
{
    // Votes and answers are bound to folders: a message for whom this node was before its disk was emptied is nobody's.
    if (!raft_id_eq(m->to, r->config.self) || raft_id_eq(m->from, r->config.self))
        return RC_OK;
    if (!message_term(r, fx, m))
        return RC_OK;
    switch (m->kind) {
    case RAFT_PRE_VOTE:
    case RAFT_VOTE:
        raft_on_vote(r, fx, m);
        return RC_OK;
    case RAFT_PRE_VOTE_ANSWER:
    case RAFT_VOTE_ANSWER:
        raft_on_vote_answer(r, fx, m);
        return RC_OK;
    case RAFT_APPEND:
        return raft_on_append(r, fx, m);
    case RAFT_APPEND_ANSWER:
        raft_on_append_answer(r, fx, m);
        return RC_OK;
    case RAFT_HEARTBEAT:
        raft_on_heartbeat(r, fx, m);
        return RC_OK;
    case RAFT_HEARTBEAT_ANSWER:
        raft_on_heartbeat_answer(r, fx, m);
        return RC_OK;
    case RAFT_TIMEOUT_NOW:
        raft_on_timeout_now(r, fx, m);
        return RC_OK;
    case RAFT_MESSAGE_KINDS:
        break;
    }
    return RC_MALFORMED;
}

static void on_tick(struct raft *r, struct raft_effects *fx)
{
    if (r->role == RAFT_LEADER) {
        raft_lead_tick(r, fx);
        return;
    }
    if (r->formed) {
        r->formed = false;
        raft_become(r, fx, RAFT_CANDIDATE);
        (void)raft_begin_lead(r, fx);
        return;
    }
    if (r->now_ms < r->election_ms)
        return;
    if (!raft_self_votes(r)) {
        raft_election_reset(r);
        return;
    }
    raft_campaign(r, fx, true, false);
}

// All voters see a leader's process die in the same moment. Standing at once together they would split the votes and wait
// out an election timeout; so they stand one after the other, the lowest id first.
static uint64_t raft_stand_after_ms(const struct raft *r)
{
    const struct raft_voters *v = raft_voters(r);
    uint64_t before = 0;
    for (uint32_t i = 0; i < v->count; i++)
        before += v->ids[i].node < r->config.self.node && v->ids[i].node != r->leader.node;
    uint64_t ms = before * RAFT_STAND_APART_MS;
    return ms < r->config.election_timeout_ms ? ms : r->config.election_timeout_ms;
}

static void on_observers(struct raft *r, const struct raft_event *ev)
{
    r->observer_count = ev->observer_count < RAFT_PEERS_MAX ? ev->observer_count : RAFT_PEERS_MAX;
    if (r->observer_count)
        memcpy(r->observers, ev->observers, r->observer_count * sizeof(r->observers[0]));
    raft_peers_rebuild(r);
}

static enum rc dispatch(struct raft *r, const struct raft_event *ev, struct raft_effects *fx)
{
    switch (ev->kind) {
    case RAFT_TICK:
        on_tick(r, fx);
        return RC_OK;
    case RAFT_RECEIVE:
        return on_message(r, fx, ev->message);
    case RAFT_DURABLE:
        on_durable(r, fx, ev->ticket);
        return RC_OK;
    case RAFT_PROPOSE:
        return raft_propose(r, fx, ev->payload);
    case RAFT_CHANGE_ADD:
    case RAFT_CHANGE_REMOVE:
        return raft_change(r, fx, ev->id, ev->kind == RAFT_CHANGE_ADD);
    case RAFT_TRANSFER:
        return raft_transfer(r, fx, ev->id);
    case RAFT_READ:
        return raft_read(r, fx, ev->context);
    case RAFT_APPLIED:
        on_applied(r, ev->index);
        return RC_OK;
    case RAFT_OBSERVERS:
        on_observers(r, ev);
        return RC_OK;
    case RAFT_LEADER_LOST:
        // Believed only for a leader this node follows; the pre-vote still needs a majority that also lost it.
        if (r->role == RAFT_FOLLOWER && r->leader.node != NODE_ID_NONE) {
            r->leader_lost = true;
            r->election_ms = r->now_ms + raft_stand_after_ms(r);
            on_tick(r, fx);
        }
        return RC_OK;
    case RAFT_SNAPSHOT_RECEIVED:
        return raft_on_snapshot(r, fx, ev);
    case RAFT_SNAPSHOT_SENT:
        raft_on_snapshot_sent(r, fx, ev->id, ev->ok);
        return RC_OK;
    }
    UNREACHABLE();
}

static bool may_need_disk(enum raft_event_kind kind)
{
    switch (kind) {
    case RAFT_TICK:
    case RAFT_RECEIVE:
    case RAFT_PROPOSE:
    case RAFT_CHANGE_ADD:
    case RAFT_CHANGE_REMOVE:
    case RAFT_LEADER_LOST:
    case RAFT_SNAPSHOT_RECEIVED:
        return true;
    case RAFT_DURABLE:
    case RAFT_TRANSFER:
    case RAFT_READ:
    case RAFT_APPLIED:
    case RAFT_OBSERVERS:
    case RAFT_SNAPSHOT_SENT:
        return false;
    }
    UNREACHABLE();
}

static void check(const struct raft *r)
{
    ASSERT(r->applied <= r->commit);
    ASSERT(r->commit <= raft_last_index(r));
    ASSERT(r->durable_index <= raft_last_index(r));
    ASSERT(r->window.prev_index <= r->applied);
    ASSERT(r->durable_term <= r->hard.term);
    ASSERT(r->role != RAFT_LEADER || raft_last_term(r) == r->hard.term);
}

enum rc raft_step(struct raft *r, const struct raft_event *ev, struct raft_effects *fx)
{
    ASSERT(ev->now_ms >= r->now_ms);
    check(r);
    fx->ticket = 0;
    fx->hard_changed = fx->install = fx->role_changed = false;
    fx->truncate_from = fx->append_first = fx->proposed = 0;
    fx->append_count = fx->send_count = fx->snapshot_to_count = 0;
    fx->read_count = fx->read_failed_count = 0;
    fx->send = fx->messages;
    r->now_ms = ev->now_ms;
    r->random = ev->random;
    // With the disk this far behind, what would add to its work is as if lost or late.
    if (r->ticket_count >= RAFT_TICKETS_MAX - 1 && may_need_disk(ev->kind)) {
        fx->commit_index = r->commit;
        return ev->kind == RAFT_PROPOSE ? RC_FULL : RC_AGAIN;
    }
    enum rc rc = dispatch(r, ev, fx);
    ticket_seal(r, fx);
    fx->commit_index = r->commit;
    check(r);
    return rc;
}
