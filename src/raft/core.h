// SPDX-License-Identifier: Apache-2.0
//
// Private to raft/: what its files share. The state lives in struct raft (raft.h); one step gathers into raft_effects.
#pragma once

#include "base/assert.h"
#include "raft/raft.h"

// window.c
void raft_window_deinit(struct raft_window *w);
struct raft_slot *raft_window_slot(const struct raft_window *w, uint64_t index); // in the window (asserted)
enum rc raft_window_push(struct raft_window *w, uint64_t term, enum raft_entry_type type, struct bytes payload);
void raft_window_cut(struct raft_window *w, uint64_t from);                   // entries from `from` on go
void raft_window_drop(struct raft_window *w);                                 // the oldest one goes
void raft_window_reset(struct raft_window *w, uint64_t index, uint64_t term); // empty, behind index
uint64_t raft_window_bytes_after(const struct raft_window *w, uint64_t index);

// voters.c
enum rc raft_sets_push(struct raft *r, uint64_t index, const struct raft_voters *v);
void raft_sets_cut(struct raft *r, uint64_t from);
void raft_sets_prune(struct raft *r); // forget what lies below the newest committed one
void raft_voters_add(struct raft_voters *v, struct raft_id id);
void raft_voters_remove(struct raft_voters *v, struct raft_id id);
static inline uint32_t raft_majority(const struct raft_voters *v)
{
    return v->count / 2 + 1;
}

// raft.c
uint64_t raft_last_term(const struct raft *r);
bool raft_self_votes(const struct raft *r); // self is in the voter set in force
void raft_become_follower(struct raft *r, struct raft_effects *fx, uint64_t term, struct raft_id leader);
void raft_set_hard(struct raft *r, struct raft_effects *fx, uint64_t term, struct raft_id vote);
void raft_election_reset(struct raft *r);
// The ticket under which this step's disk work runs; opens one if there is none yet.
uint64_t raft_ticket(struct raft *r, struct raft_effects *fx);
// Appends to window and effects. RC_NOMEM.
enum rc raft_append(struct raft *r, struct raft_effects *fx, uint64_t term, enum raft_entry_type type,
                    struct bytes payload);
void raft_send(struct raft *r, struct raft_effects *fx, uint64_t ticket, const struct raft_message *m);
struct raft_message raft_message_to(const struct raft *r, enum raft_message_kind kind, struct raft_id to);
// Ticket that makes the current hard state durable, 0 when it is.
uint64_t raft_hard_ticket(const struct raft *r);
void raft_commit_to(struct raft *r, uint64_t index);
// Moves role and asserts that the move is one of the diagram in raft.h.
void raft_become(struct raft *r, struct raft_effects *fx, enum raft_role role);
struct raft_peer *raft_peer_find(struct raft *r, struct raft_id id);
void raft_peers_rebuild(struct raft *r); // from voters in force and observers; keeps progress

// elect.c
void raft_campaign(struct raft *r, struct raft_effects *fx, bool pre, bool transfer);
void raft_on_vote(struct raft *r, struct raft_effects *fx, const struct raft_message *m);
void raft_on_vote_answer(struct raft *r, struct raft_effects *fx, const struct raft_message *m);
void raft_count_votes(struct raft *r, struct raft_effects *fx);
void raft_on_timeout_now(struct raft *r, struct raft_effects *fx, const struct raft_message *m);

// follow.c
enum rc raft_on_append(struct raft *r, struct raft_effects *fx, const struct raft_message *m);
void raft_on_heartbeat(struct raft *r, struct raft_effects *fx, const struct raft_message *m);
enum rc raft_on_snapshot(struct raft *r, struct raft_effects *fx, const struct raft_event *ev);

// lead.c
enum rc raft_begin_lead(struct raft *r, struct raft_effects *fx);
void raft_end_lead(struct raft *r, struct raft_effects *fx);
void raft_lead_tick(struct raft *r, struct raft_effects *fx);
void raft_on_append_answer(struct raft *r, struct raft_effects *fx, const struct raft_message *m);
void raft_on_heartbeat_answer(struct raft *r, struct raft_effects *fx, const struct raft_message *m);
void raft_on_snapshot_sent(struct raft *r, struct raft_effects *fx, struct raft_id to, bool ok);
void raft_lead_commit(struct raft *r, struct raft_effects *fx);
enum rc raft_propose(struct raft *r, struct raft_effects *fx, struct bytes payload);
enum rc raft_change(struct raft *r, struct raft_effects *fx, struct raft_id id, bool add);
enum rc raft_transfer(struct raft *r, struct raft_effects *fx, struct raft_id to);
enum rc raft_read(struct raft *r, struct raft_effects *fx, uint64_t context);
