// SPDX-License-Identifier: Apache-2.0
//
// The consensus core: raft_step(event) -> effects. Same state and same event give the same state and effects. It calls
// no clock, no file and no socket: time and randomness arrive in the event, and what must happen leaves in the effects,
// whose order is the durability order. It allocates only for the entries in its window and for the table of voter sets.
//
// Sources: Ongaro's thesis (sections 3, 4.2.3, 6.4, 9.6: pre-vote), with these decisions of weir: a member is (node id,
// directory id), so a node that lost its disk is another member; the voter set is a log entry, in force from its append
// and undone by truncation; a leader counts its own entries only when they are durable.
//
//                 timeout                     majority of pre-votes            majority of votes
//     FOLLOWER ------------> PRE_CANDIDATE ------------------------> CANDIDATE ------------------> LEADER
//         ^                       |                                      |                           |
//         +-----------------------+--------------------------------------+---------------------------+
//            higher term, a valid leader, or (leader) no word from a majority for an election timeout
//
// Observers are followers that are not in the voter set: they never leave FOLLOWER.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/rc.h"
#include "model/ids.h"
#include "model/limits.h"

enum {
    RAFT_VOTERS_MAX = 9,
    RAFT_PEERS_MAX = 128,    // voters and observers a leader replicates to
    RAFT_MESSAGES_MAX = 512, // in the effects of one step
    RAFT_TICKETS_MAX = 256,  // disk barriers in flight
    RAFT_READS_MAX = 64,     // read confirmations in flight
    RAFT_APPEND_ENTRIES_MAX = 256,
    RAFT_APPEND_BYTES_MAX = 1 << 20, // of payload in one append message, but always one entry
    RAFT_INFLIGHT_MAX = 16,          // appends with entries to one peer without an answer
    RAFT_ROUNDS_KEPT = 16,           // heartbeats whose answers still say when they were sent
    RAFT_STAND_APART_MS = 50,        // between two voters that saw the same leader die
};

struct raft_id {
    int32_t node; // NODE_ID_NONE: nobody
    struct uuid directory;
};

static inline bool raft_id_eq(struct raft_id a, struct raft_id b)
{
    return a.node == b.node && uuid_eq(a.directory, b.directory);
}

static inline struct raft_id raft_id_none(void)
{
    return (struct raft_id){.node = NODE_ID_NONE};
}

struct raft_voters {
    uint32_t count;
    struct raft_id ids[RAFT_VOTERS_MAX]; // by node id
};

enum raft_entry_type {
    RAFT_ENTRY_EMPTY = 0,  // a new leader's first entry
    RAFT_ENTRY_DATA = 1,   // the caller's bytes
    RAFT_ENTRY_VOTERS = 2, // raft_voters_encode()
};

struct raft_entry {
    uint64_t index;
    uint64_t term;
    enum raft_entry_type type;
    struct bytes payload;
};

struct raft_hard_state {
    uint64_t term;
    struct raft_id vote; // in that term; bound to the directory it was given for
};

struct raft_snapshot {
    uint64_t index, term; // of the last entry it holds; index 0: none
    struct raft_voters voters;
};

// ------------------------------------------------------------------------------------------------ messages

enum raft_message_kind {
    RAFT_PRE_VOTE,
    RAFT_PRE_VOTE_ANSWER,
    RAFT_VOTE,
    RAFT_VOTE_ANSWER,
    RAFT_APPEND,
    RAFT_APPEND_ANSWER,
    RAFT_HEARTBEAT,
    RAFT_HEARTBEAT_ANSWER,
    RAFT_TIMEOUT_NOW, // leadership transfer: stand for election at once
    RAFT_MESSAGE_KINDS,
};

struct raft_message {
    enum raft_message_kind kind;
    struct raft_id from, to;
    uint64_t term;
    // PRE_VOTE, VOTE: the candidate's last entry. APPEND: the entry before the first one carried.
    uint64_t log_index, log_term;
    uint64_t commit;     // APPEND, HEARTBEAT
    uint64_t round;      // HEARTBEAT and its answer: for read confirmations
    uint64_t match;      // APPEND_ANSWER granted: durable up to here
    uint64_t hint_term;  // APPEND_ANSWER refused: term of the entry that disagrees, 0 if the log is too short
    uint64_t hint_index; // and the first index of that term, or last index + 1
    bool granted;
    bool transfer; // VOTE: sent by order of the leader, so no lease stands against it
    // APPEND. Outgoing: raft_entry_get(first_entry + i) until the next step. Incoming: `entries`, borrowed for the
    // step.
    uint64_t first_entry;
    uint32_t entry_count;
    const struct raft_entry *entries;
};

// ------------------------------------------------------------------------------------------------ events

enum raft_event_kind {
    RAFT_TICK,              // time has passed; call at or after raft_deadline_ms()
    RAFT_RECEIVE,           // message
    RAFT_DURABLE,           // ticket: everything asked for up to that ticket is on disk
    RAFT_PROPOSE,           // payload; leader only
    RAFT_CHANGE_ADD,        // id becomes a voter
    RAFT_CHANGE_REMOVE,     // id stops being one
    RAFT_TRANSFER,          // id is to lead
    RAFT_READ,              // context: confirm that this is still the leader
    RAFT_APPLIED,           // index: the caller has applied up to here; earlier entries may leave the window
    RAFT_OBSERVERS,         // observers: whom else a leader replicates to
    RAFT_LEADER_LOST,       // the connection to the leader broke and a new one is refused: stand early
    RAFT_SNAPSHOT_RECEIVED, // snapshot from the leader `id` of `term`, complete and staged by the caller
    RAFT_SNAPSHOT_SENT,     // to id: `ok` says whether it arrived whole
};

struct raft_event {
    enum raft_event_kind kind;
    uint64_t now_ms; // monotonic, never less than before
    uint64_t random; // fresh; used for election jitter
    const struct raft_message *message;
    uint64_t ticket;
    struct bytes payload; // borrowed for the step
    struct raft_id id;
    uint64_t context;
    uint64_t index;
    const struct raft_id *observers;
    uint32_t observer_count;
    const struct raft_snapshot *snapshot;
    uint64_t term;
    bool ok;
};

// ------------------------------------------------------------------------------------------------ effects

struct raft_outgoing {
    uint64_t ticket; // 0: no durability condition
    struct raft_message message;
};

struct raft_read_ready {
    uint64_t context;
    uint64_t index; // apply up to here, then serve
};

// What the caller must do, in this order. Filled by raft_step(); valid until the next step.
struct raft_effects {
    // 1. Make durable under `ticket` (0: nothing to do), in this order, in one barrier; answer with RAFT_DURABLE.
    // Tickets
    //    complete in order; one answer may serve several.
    uint64_t ticket;
    bool hard_changed;
    struct raft_hard_state hard;
    bool install; // replace log and state by the staged snapshot `installed`
    struct raft_snapshot installed;
    uint64_t truncate_from; // not 0: entries from this index on are gone
    uint64_t append_first;  // entries [append_first, append_first + append_count): raft_entry_get()
    uint32_t append_count;
    // 2. Messages: those without a ticket leave now, the others when their ticket is durable. A caller that drops some
    //    (no connection, queue full) does no harm, nor one that lets others overtake appends; appends to one member keep
    //    their order, or what is under way is sent twice.
    struct raft_outgoing *send;
    uint32_t send_count;
    // 3. Peers that need a snapshot: send one of any applied index, then RAFT_SNAPSHOT_SENT.
    struct raft_id snapshot_to[RAFT_PEERS_MAX];
    uint32_t snapshot_to_count;
    // 4. Apply entries up to here (never less than before).
    uint64_t commit_index;
    // 5. Reads confirmed, and reads that failed because leadership ended (answer: not the leader).
    struct raft_read_ready reads[RAFT_READS_MAX];
    uint32_t read_count;
    uint64_t reads_failed[RAFT_READS_MAX];
    uint32_t read_failed_count;
    // 6. Facts.
    bool role_changed;                                // role, leader or term differ from before the step
    uint64_t proposed;                                // index given to this step's proposal
    struct raft_outgoing messages[RAFT_MESSAGES_MAX]; // memory behind `send`
};

// ------------------------------------------------------------------------------------------------ the core

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER, RAFT_ROLES };

struct raft_config {
    struct raft_id self;
    uint32_t election_timeout_ms; // a follower waits between this and twice this
    uint32_t heartbeat_ms;
    uint64_t window_bytes_max;      // applied entries beyond this leave memory; laggards then get a snapshot
    uint64_t uncommitted_bytes_max; // proposals beyond this are refused with RC_FULL
};

struct raft_slot {
    uint64_t term;
    enum raft_entry_type type;
    uint32_t bytes;
    uint8_t *p; // owned
};

// The entries in memory: (prev, prev + count]. Everything at or below prev is committed and applied.
struct raft_window {
    uint64_t prev_index, prev_term;
    struct raft_slot *slots; // a ring
    uint32_t head, count, cap;
    uint64_t bytes;
};

// Voter sets by the index of their entry, oldest first: the newest at or below commit, and all after it.
struct raft_set {
    uint64_t index;
    struct raft_voters voters;
};

struct raft_ticket {
    uint64_t ticket;
    uint64_t index; // last index durable with it; lowered when a truncation takes entries away
    uint64_t term;
};

enum raft_peer_state { RAFT_PEER_PROBE, RAFT_PEER_REPLICATE, RAFT_PEER_SNAPSHOT };

struct raft_peer {
    struct raft_id id;
    enum raft_peer_state state;
    bool voter, in_use;
    bool paused; // PROBE: one append with entries until an answer
    bool vote_seen, vote_granted;
    uint32_t inflight; // REPLICATE: appends with entries that are not answered
    uint64_t match, next; // invariant: match < next
    uint64_t heard_ms;    // last message of the current term
    uint64_t round;       // newest heartbeat round answered
    uint64_t told_commit; // the newest commit index that a message to it named and that it may act on
    uint64_t followed_ms; // when the newest heartbeat that it answered was sent: it followed this leader then or later
};

struct raft_read {
    uint64_t context, index, round;
};

struct raft {
    struct raft_config config;
    enum raft_role role;
    struct raft_hard_state hard;
    uint64_t durable_term; // term that is on disk
    struct raft_id leader; // of the current term, as far as known
    uint64_t commit, applied, durable_index;
    struct raft_window window;
    struct raft_set *sets;
    uint32_t set_count, set_cap;
    struct raft_ticket tickets[RAFT_TICKETS_MAX];
    uint32_t ticket_head, ticket_count;
    uint64_t ticket_last;
    uint64_t now_ms, random;
    uint64_t election_ms; // deadline
    uint64_t heartbeat_at_ms;
    uint64_t leader_heard_ms;
    bool leader_lost; // the caller saw the connection to the leader die
    bool formed;      // raft_form_alone() was called and not acted upon
    // as a candidate or leader
    struct raft_peer peers[RAFT_PEERS_MAX];
    uint32_t peer_count;
    struct raft_id observers[RAFT_PEERS_MAX];
    uint32_t observer_count;
    bool campaign_transfer;
    uint64_t campaign_ticket;  // own vote counts once this is durable
    uint64_t term_first_index; // as leader: the entry that began the term
    uint64_t round; // of the last heartbeat
    uint64_t round_sent_ms[RAFT_ROUNDS_KEPT];
    struct raft_id transfer_to;
    uint64_t transfer_deadline_ms;
    uint64_t stalled_since_ms; // own disk: when the oldest ticket in flight was issued
    struct raft_read reads[RAFT_READS_MAX];
    uint32_t read_count;
};

// Begins from what the disk holds: hard state (term 0 for a new folder) and snapshot (index 0 for none).
// Then raft_restore() for each entry behind the snapshot in order, then raft_start().
enum rc raft_init(struct raft *r, const struct raft_config *config, const struct raft_hard_state *hard,
                  const struct raft_snapshot *snapshot);
void raft_deinit(struct raft *r);
// RC_INVALID when the index is not the next one or the term falls; RC_MALFORMED for a voters entry that cannot be read.
enum rc raft_restore(struct raft *r, const struct raft_entry *entry);
// now_ms: the first deadline counts from here. A single voter has its deadline at once.
void raft_start(struct raft *r, uint64_t now_ms, uint64_t random);

// As a leader: a majority followed it at this time or later, judged by when the heartbeats that it has answered were sent.
// An answer that lay in a buffer while this process stood still proves no more than that. 0: not a leader, or none has
// answered yet.
uint64_t raft_followed_ms(const struct raft *r);

// After raft_start(), on the one member that made a new cluster: it stands with the next tick, since nobody leads.
void raft_stand_at_once(struct raft *r);
// After raft_start(), in the process that has just made a cluster of one and nowhere else: with the first entry, the
// voters, it made durable its vote for itself in that entry's term, so it leads that term from the next tick on.
void raft_form_alone(struct raft *r);

// Pure: same state and same event give the same state and effects. *fx is overwritten. Errors leave the state as it
// was:
//   RC_NOT_CONTROLLER  PROPOSE, CHANGE, TRANSFER, READ on a node that does not lead
//   RC_AGAIN           PROPOSE, CHANGE while a transfer runs; CHANGE before an own-term commit, while another change is
//                      uncommitted, or with an observer that has not caught up; READ before an own-term commit
//   RC_FULL            too much uncommitted, too many tickets or reads: try again after the next RAFT_DURABLE
//   RC_MESSAGE_TOO_LARGE  payload over METADATA_ENTRY_BYTES_MAX
//   RC_EXISTS, RC_NOT_FOUND, RC_INVALID  CHANGE_ADD of a voter or of a node id that has one; REMOVE of none, of the
//   last RC_NOMEM           memory short; a received message is dropped
enum rc raft_step(struct raft *r, const struct raft_event *ev, struct raft_effects *fx);

// When the next RAFT_TICK is due (absolute, UINT64_MAX: none needed).
uint64_t raft_deadline_ms(const struct raft *r);

static inline uint64_t raft_last_index(const struct raft *r)
{
    return r->window.prev_index + r->window.count;
}

// True once the leader's first entry of its own term is committed: only then may it act on what it knows.
static inline bool raft_leads(const struct raft *r)
{
    return r->role == RAFT_LEADER && r->commit >= r->term_first_index;
}

// While a transfer runs, nothing is proposed: it ends within an election timeout, one way or the other.
static inline bool raft_hands_over(const struct raft *r)
{
    return r->role == RAFT_LEADER && r->transfer_to.node != NODE_ID_NONE;
}

// The entry in the window, valid until the next step; false when it has left the window or never was.
bool raft_entry_get(const struct raft *r, uint64_t index, struct raft_entry *out);
// The voter set in force (the newest in the log) and the committed one as of index.
const struct raft_voters *raft_voters(const struct raft *r);
const struct raft_voters *raft_voters_at(const struct raft *r, uint64_t index);
// Index of the entry that holds the set in force: another one, another set.
static inline uint64_t raft_voters_index(const struct raft *r)
{
    return r->sets[r->set_count - 1].index;
}
// Term of the entry at index; false when unknown here.
bool raft_term_at(const struct raft *r, uint64_t index, uint64_t *term);
bool raft_is_voter(const struct raft_voters *v, struct raft_id id);

// Voter sets as bytes of an entry or snapshot: version, count, (node id, directory id) each.
enum { RAFT_VOTERS_BYTES_MAX = 2 + RAFT_VOTERS_MAX * 20 };
size_t raft_voters_encode(const struct raft_voters *v, uint8_t out[RAFT_VOTERS_BYTES_MAX]);
// RC_MALFORMED, RC_UNSUPPORTED_VERSION.
enum rc raft_voters_decode(struct bytes in, struct raft_voters *out);
