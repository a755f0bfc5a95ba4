// SPDX-License-Identifier: Apache-2.0
//
// Elections: pre-vote, vote, and the count. A vote is durable before it leaves, the candidate's own before it counts.
#include "raft/core.h"

void raft_campaign(struct raft *r, struct raft_effects *fx, bool pre, bool transfer)
{
    ASSERT(raft_self_votes(r));
    ASSERT(r->role != RAFT_LEADER);
    raft_peers_rebuild(r);
    for (uint32_t i = 0; i < r->peer_count; i++)
        r->peers[i].vote_seen = r->peers[i].vote_granted = false;
    r->leader = raft_id_none();
    r->campaign_transfer = transfer;
    raft_election_reset(r);
    // Alone there is nobody to ask first.
    pre = pre && raft_voters(r)->count > 1;
    raft_become(r, fx, pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE);
    if (!pre) {
        raft_set_hard(r, fx, r->hard.term + 1, r->config.self);
        r->campaign_ticket = raft_ticket(r, fx);
        // With nobody else to vote, or to be sent anything, the term's first entry goes to disk in one write with the vote
        // that it rests on. It is there when the vote is, and counts no sooner. (No memory: it is tried again below.)
        if (r->peer_count == 0)
            (void)raft_append(r, fx, r->hard.term, RAFT_ENTRY_EMPTY, (struct bytes){0});
    }
    for (uint32_t i = 0; i < r->peer_count; i++) {
        if (!r->peers[i].voter)
            continue;
        struct raft_message m = raft_message_to(r, pre ? RAFT_PRE_VOTE : RAFT_VOTE, r->peers[i].id);
        m.term = pre ? r->hard.term + 1 : r->hard.term;
        m.log_index = raft_last_index(r);
        m.log_term = raft_last_term(r);
        m.transfer = transfer;
        raft_send(r, fx, pre ? 0 : r->campaign_ticket, &m);
    }
    if (!pre)
        raft_count_votes(r, fx);
}

static bool up_to_date(const struct raft *r, const struct raft_message *m)
{
    uint64_t term = raft_last_term(r);
    return m->log_term > term || (m->log_term == term && m->log_index >= raft_last_index(r));
}

// While this node hears its leader, or leads with a majority behind it, it helps nobody to a newer term (thesis 4.2.3).
// Its own link decides: a hint from elsewhere does not.
static bool lease_holds(const struct raft *r)
{
    if (r->role == RAFT_LEADER)
        return true;
    return r->leader.node != NODE_ID_NONE && !r->leader_lost &&
           r->now_ms - r->leader_heard_ms < r->config.election_timeout_ms;
}

void raft_on_vote(struct raft *r, struct raft_effects *fx, const struct raft_message *m)
{
    bool pre = m->kind == RAFT_PRE_VOTE;
    struct raft_message a = raft_message_to(r, pre ? RAFT_PRE_VOTE_ANSWER : RAFT_VOTE_ANSWER, m->from);
    if (!m->transfer && lease_holds(r)) {
        // Silence would do; a refusal in the current term lets a pre-candidate that is behind learn it.
        raft_send(r, fx, raft_hard_ticket(r), &a);
        return;
    }
    if (pre) {
        a.granted = m->term > r->hard.term && up_to_date(r, m);
        a.term = a.granted ? m->term : r->hard.term;
        raft_send(r, fx, a.granted ? 0 : raft_hard_ticket(r), &a);
        return;
    }
    if (m->term > r->hard.term)
        raft_become_follower(r, fx, m->term, raft_id_none());
    a.term = r->hard.term;
    bool free_to_vote = r->hard.vote.node == NODE_ID_NONE || raft_id_eq(r->hard.vote, m->from);
    a.granted = r->role == RAFT_FOLLOWER && r->leader.node == NODE_ID_NONE && free_to_vote && up_to_date(r, m);
    if (a.granted) {
        raft_set_hard(r, fx, r->hard.term, m->from);
        raft_election_reset(r);
    }
    raft_send(r, fx, raft_hard_ticket(r), &a);
}

void raft_on_vote_answer(struct raft *r, struct raft_effects *fx, const struct raft_message *m)
{
    bool pre = m->kind == RAFT_PRE_VOTE_ANSWER;
    if (r->role != (pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE))
        return;
    if (m->granted && m->term != (pre ? r->hard.term + 1 : r->hard.term))
        return;
    struct raft_peer *p = raft_peer_find(r, m->from);
    if (!p || !p->voter)
        return;
    p->vote_seen = true;
    p->vote_granted = m->granted;
    raft_count_votes(r, fx);
}

void raft_count_votes(struct raft *r, struct raft_effects *fx)
{
    ASSERT(r->role == RAFT_PRE_CANDIDATE || r->role == RAFT_CANDIDATE);
    bool pre = r->role == RAFT_PRE_CANDIDATE;
    if (!raft_self_votes(r))
        return;
    bool own_durable = r->ticket_count == 0 || r->tickets[r->ticket_head].ticket > r->campaign_ticket;
    uint32_t granted = pre || own_durable, refused = 0;
    for (uint32_t i = 0; i < r->peer_count; i++) {
        const struct raft_peer *p = &r->peers[i];
        granted += p->voter && p->vote_seen && p->vote_granted;
        refused += p->voter && p->vote_seen && !p->vote_granted;
    }
    uint32_t majority = raft_majority(raft_voters(r));
    if (granted >= majority && (pre || own_durable)) {
        if (pre)
            raft_campaign(r, fx, false, r->campaign_transfer);
        else
            raft_begin_lead(r, fx);
    } else if (refused >= majority) {
        raft_become_follower(r, fx, r->hard.term, raft_id_none());
    }
}

void raft_on_timeout_now(struct raft *r, struct raft_effects *fx, const struct raft_message *m)
{
    (void)m;
    // Only by order of the current leader, and only for a member that may vote.
    if (r->role == RAFT_FOLLOWER && raft_self_votes(r))
        raft_campaign(r, fx, false, true);
}
