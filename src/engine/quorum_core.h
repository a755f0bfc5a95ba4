// SPDX-License-Identifier: Apache-2.0
//
// Private to the quorum_*.c files: the quorum itself.
#pragma once

#include "base/assert.h"
#include "engine/lease.h"
#include "engine/quorum.h"
#include "meta/snapshot.h"
#include "store/journal.h"

enum {
    QUORUM_SENDS_MAX = 256, // messages that wait for the disk
    QUORUM_WINDOW_BYTES = 2 << 20,
    QUORUM_UNCOMMITTED_BYTES = 8 << 20,
    QUORUM_REMOTE_MAX = 256,     // requests of other nodes under way here
    QUORUM_TRANSFERS_MAX = 4,    // snapshots on their way to others
    QUORUM_VOTERS_FORMED = 5,    // of a new cluster; the rest observe
};

#define QUORUM_NS_PER_MS UINT64_C(1000000)

// What the core wants on disk and the journal has not been given yet.
struct quorum_disk {
    bool dirty;
    uint64_t ticket;         // of the newest wish
    uint64_t next, last;     // entries to write
    uint64_t truncate_from;  // 0: none
    bool install;            // begin anew behind the journal's snapshot
    uint64_t writing_ticket; // durable with the write in flight; 0: a part only
    uint64_t again_ns;       // when to try again what found no room
};

struct quorum_snapshot {
    struct journal_snapshot file;
    struct snapshot_writer writer;
    struct shard_job job;
    struct buf piece;
    const struct image *image;
    uint64_t wanted_index; // begin once this much is applied; 0: none wanted
    bool running, finishing;
    uint64_t retry_ns; // after one that failed
    enum rc rc;
};

// A cluster on its way (quorum_form.c).
struct quorum_form {
    bool prepared; // durable here, but not known to have begun
    char cluster_id[CLUSTER_ID_CHARS + 1];
    struct raft_voters voters; // proposed, or prepared
    bool proposed;
    bool answered[QUORUM_VOTERS_FORMED];
    uint64_t said_ns; // when it was last said for whom it waits
    struct shard_timer timer;
};

// What this node has seen of another itself (quorum_met.c). lost_ns, gone_ns, fenced_ns and ahead_ms are atomic; a node
// keeps its place for ever.
struct quorum_met {
    int32_t node;
    uint64_t lost_ns; // taken for dead until then, 0: it lives
    uint64_t gone_ns; // since when it is known that it is lost or fenced, 0: it is neither
    uint64_t fenced_ns; // without a good-bye: when that will be a moment ago; 0: it was not
    int64_t ahead_ms; // its clock, against this node's
    bool apart;       // and that was said
    int64_t address_epoch; // the broker epoch under which it was said to advertise this node's address
};

// A snapshot on its way to a member that is too far behind (quorum_transfer.c).
struct quorum_transfer {
    struct quorum *quorum;
    struct raft_id to; // node NODE_ID_NONE: free
    const struct image *image;
    struct snapshot_writer writer;
    uint8_t voters[RAFT_VOTERS_BYTES_MAX];
    size_t voters_bytes;
    uint64_t term;
    int32_t number; // of the piece that waits for its answer
    bool last;
    struct shard_timer timer;
};

// And one that comes in.
struct quorum_arrival {
    bool running, full; // full: only the end is still to be written
    struct peer_route from;
    struct raft_id leader;
    uint64_t term;
    int32_t correlation, number;
    struct image *image;
    struct raft_snapshot mark;
    struct journal_snapshot file;
    struct shard_timer timer;
};

// What the controller knows of a broker besides the image (quorum_brokers.c).
struct quorum_broker {
    int32_t node;
    int64_t epoch;
    uint64_t heard_ns, applied;
    uint64_t target; // a fenced one is caught up once it has applied this; 0: not looked at
    uint64_t lag_index, lag_ns; // committed then, and it has not said since that it applied it; 0: it has applied all
    uint64_t hint_at_ns[2]; // when it was last fenced by a mistaken hint
    bool hinted;     // fenced by a hint that is not proved yet
    uint64_t retry_ns; // when it may be asked for again
    bool busy;       // a change of its state is being decided
    struct quorum *quorum;
    struct quorum_op op;
    struct arena arena;
    struct controller_node_state state;
};

// This node as the controller sees it (quorum_register.c).
enum quorum_self_stage {
    QUORUM_SELF_NONE,       // nobody asked to register
    QUORUM_SELF_REGISTERING,
    QUORUM_SELF_REGISTERED, // fenced; the engine makes itself ready
    QUORUM_SELF_UNFENCING,
    QUORUM_SELF_SERVING,
    QUORUM_SELF_FAILED,
};

struct quorum_self {
    enum quorum_self_stage stage;
    struct quorum_registration *registration; // until done()
    int64_t broker_epoch;
    bool busy;              // its op is under way
    uint64_t retry_ns;      // when to ask again
    uint64_t duplicate_ns, duplicate_last_ns; // since when, and until when, all say that its id is another process's; 0: no
    uint64_t beat_ns;       // next heartbeat
    uint64_t beat_applied;  // what the last one said
    int32_t beat_correlation; // 0: none unanswered
    int32_t beat_to;          // the controller it went to
    uint64_t beat_sent_ns;
    struct lease lease;
    // leaving
    void (*left)(void *context);
    bool leaving;
    uint64_t leave_until_ns, leave_look_ns;
    struct quorum_op leave_op;
    struct arena leave_arena;
    struct controller_node_state leave_state;
    bool leave_asked, leave_moved;
};

// Elections that nobody asks for, while this node is the controller (quorum_tend.c).
struct quorum_tend {
    bool begun, busy;
    uint64_t balance_every_ns, unclean_every_ns; // 0: never
    uint32_t percentage;
    uint64_t balance_ns, unclean_ns, go_on_ns; // when the next round, or the rest of this one, is due
    uint64_t balanced_index;  // of the image the last round found nothing to change in
    uint64_t unclean_index;   // image->unclean_index as the last round saw it
    struct quorum_op op;
    struct arena arena;
    struct controller_tend request;
};

// The next image, while committed entries are applied to it.
struct quorum_applying {
    struct image *image; // NULL: none begun
    uint64_t commit;     // what is committed
    uint64_t index;      // the last entry that is in the image as a whole
    size_t at;           // bytes of the next one that are
    uint64_t turn;       // no more in this one
};

// A batch whose only decision takes several turns.
struct quorum_draft {
    struct quorum_op *op; // NULL: none
    struct controller_batch batch;
    const struct image *base; // what it rests on; counted
    struct controller_progress before;
    uint64_t turn; // no more in this one
};

struct quorum {
    struct quorum_config config;
    struct quorum_identity identity;
    struct shard *shard;
    struct raft raft;
    struct uuid leader_incarnation; // of the process that raft.leader was heard from last
    struct raft_effects fx;
    struct journal journal;
    bool journal_open;
    struct quorum_disk disk;
    struct raft_outgoing sends[QUORUM_SENDS_MAX]; // with a ticket, oldest first
    uint32_t send_count;
    const struct image *image; // applied
    struct list queue;         // ops not decided yet
    struct list flying;        // decided, in the batch under way
    struct list landed;        // committed, not yet seen by every shard
    struct list away;          // with the controller of another node
    struct list changes;       // of voters: not in the log yet, or not committed
    struct list confirms;      // wait for signs of life
    uint64_t batch_index;      // of the batch under way, 0: none
    struct list readers;
    bool held; // readers are told nothing yet
    struct shard_timer timer;
    struct shard_task work;
    struct quorum_snapshot snapshot;
    struct quorum_op format_op;
    struct arena format_arena;
    bool format_asked;
    bool started, dead;
    bool formed_alone; // a cluster of one, by this process
    int32_t leader;               // atomic
    uint32_t voter_count;         // atomic
    char path[IO_PATH_BYTES_MAX]; // of the journal's folder
    // with peers
    struct peers *peers; // NULL: none
    bool forming;
    struct quorum_form form;
    struct quorum_self self;
    uint64_t leaderless_ns; // when to say so, 0: there is a leader
    uint64_t names_ns;      // when to ask again for names that are looked up; UINT64_MAX: for none
    uint64_t observers_set; // index of the voter set the observers were taken for
    struct quorum_transfer transfers[QUORUM_TRANSFERS_MAX];
    struct raft_id refused[RAFT_PEERS_MAX]; // transfers that could not begin
    uint32_t refused_count;
    struct shard_timer refused_timer;
    struct quorum_arrival arrival;
    struct quorum_broker *brokers[IMAGE_NODES_MAX];
    uint32_t broker_count;
    bool controlling; // this node leads, and its sessions count
    bool resting;        // stopping: readers are told of no more images
    struct list remotes; // requests of other nodes, struct quorum_remote
    int32_t correlation;
    uint64_t session_ns, beat_every_ns;
    struct quorum_tend tend;
    struct quorum_applying applying;
    struct quorum_draft draft;
    struct quorum_met met[PEERS_MAX];
    uint32_t met_count; // atomic
};

// quorum.c
void quorum_feed(struct quorum *q, struct raft_event *ev); // one step and all that follows from it
// The same; *index is that of what it appended, 0: nothing. Returns raft_step()'s.
enum rc quorum_step(struct quorum *q, struct raft_event *ev, uint64_t *index);
void quorum_wake(struct quorum *q);                        // do what there is to do at the end of this turn
void quorum_dead(struct quorum *q, enum rc rc, const char *text);
void quorum_finish(struct quorum *q, struct quorum_op *op, enum rc rc);
void quorum_finish_all(struct quorum *q, struct list *l, enum rc rc);
void quorum_take(struct quorum *q, struct quorum_op *op); // submitted on the quorum's own shard
// quorum_decide.c: begins b and decides into it what is queued, in order, until it is full; requests that fail as a whole
// are answered at once. RC_AGAIN: b is kept, the next turn goes on. RC_NOMEM: no batch was begun.
enum rc quorum_decide(struct quorum *q, struct controller_batch *b);
void quorum_draft_drop(struct quorum *q); // what was decided in part, if anything, is not
// quorum_apply.c
void quorum_apply(struct quorum *q, uint64_t commit); // publishes what is done; may step
bool quorum_applies(const struct quorum *q);          // there is more, from the next turn on
void quorum_apply_drop(struct quorum *q);             // what is begun
void quorum_land(struct quorum *q);
// quorum_disk.c
void quorum_disk_want(struct quorum *q, const struct raft_effects *fx);
uint64_t quorum_disk_write(struct quorum *q, uint64_t now); // returns when it wants to be called again
void quorum_disk_stopped(struct journal *j);                // the journal's hook: the disk is full
void quorum_sends_take(struct quorum *q, const struct raft_effects *fx);
// quorum_boot.c
enum rc quorum_format(struct quorum *q, const struct raft_voters *voters, bool begin, char *text, size_t text_bytes);
enum rc quorum_format_end(struct quorum *q, char *text, size_t text_bytes);
void quorum_draw_cluster_id(struct quorum *q, char out[CLUSTER_ID_CHARS + 1]);
// quorum_replay.c
// After formatting: replays, begins Raft. durable: this process has written all there is, and synced it.
enum rc quorum_log_open(struct quorum *q, bool durable, char *text, size_t text_bytes);
// quorum_publish.c
void quorum_publish(struct quorum *q, const struct image *fresh_owned);
uint64_t quorum_seen_index(const struct quorum *q); // what every shard has seen
void quorum_first_images(struct quorum *q);
// quorum_snapshot.c
void quorum_snapshot_consider(struct quorum *q);
// quorum_peers.c: the transport's hooks
enum rc quorum_peers_open(struct quorum *q, char *text, size_t text_bytes);
// Whether this node talks with a process that says so of itself: RC_OK, else why not and RC_INCONSISTENT_CLUSTER_ID,
// RC_STALE_BROKER_EPOCH or RC_DUPLICATE_BROKER_REGISTRATION. context: the quorum, which has peers.
enum rc quorum_peers_judge(void *context, const struct peer_hello *theirs, char *why, size_t why_bytes);
// p's process of before is dead: whether it was the one that leads, and the one that the image has registered. Another one
// may have come since that this node has not met.
bool quorum_peers_was_leader(const struct quorum *q, const struct peer *p);
bool quorum_peers_was_registered(const struct quorum *q, const struct peer *p);
void quorum_peers_learn(struct quorum *q); // where the image's nodes say they are
// The same for names that are still looked up; when to come again.
uint64_t quorum_peers_work(struct quorum *q, uint64_t now);
// At the start, where --peers misses a voter: the own log may say where it was, though nobody says yet what of that is
// committed.
void quorum_peers_remember(struct quorum *q);
// A node that is to be added, and where. RC_AGAIN: its name is looked up. RC_INVALID_REQUEST: the name has no address, or
// nobody can come.
enum rc quorum_peers_meet(struct quorum *q, int32_t node, struct bytes host, uint16_t port);
void quorum_observers(struct quorum *q); // tells the core whom else to replicate to, where that changed
uint64_t quorum_say_leaderless(struct quorum *q, uint64_t now); // returns when it wants to be called again
bool quorum_cluster_of(const struct quorum *q, const struct peer_hello *h); // of this cluster
// quorum_met.c
void quorum_met_lost(struct quorum *q, int32_t node, uint64_t for_ns); // 0: it lives
void quorum_met_clock(struct quorum *q, int32_t node, int64_t wall_ms);
void quorum_met_nodes(struct quorum *q, const struct image *fresh); // who is fenced now, against the image before
void quorum_met_addresses(struct quorum *q, const struct image *image); // warns when a live node has this one's address
// quorum_raft.c
void quorum_raft_send(struct quorum *q, const struct raft_message *m);
void quorum_raft_receive(struct quorum *q, struct peer_inlet *in, const struct peer_frame *f);
// quorum_form.c
void quorum_form_begin(struct quorum *q);
void quorum_form_consider(struct quorum *q); // a peer said something new
void quorum_form_message(struct quorum *q, struct peer_inlet *in, struct peer_route from, const struct peer_frame *f);
// quorum_transfer.c
void quorum_transfer_begin(struct quorum *q, struct raft_id to);
void quorum_transfer_piece(struct quorum *q, struct peer_inlet *in, struct peer_route from, const struct peer_frame *f);
void quorum_transfer_answer(struct quorum *q, int32_t node, const struct peer_frame *f);
void quorum_transfer_end_all(struct quorum *q);
// quorum_forward.c
void quorum_forward_all(struct quorum *q); // what is queued goes to the leader
void quorum_forward_lost(struct quorum *q, int32_t node); // no answers will come from there; NODE_ID_NONE: from nobody
void quorum_forward_take(struct quorum *q, struct peer_inlet *in, struct peer_route from, const struct peer_frame *f);
void quorum_forward_answer(struct quorum *q, int32_t node, const struct peer_frame *f);
// quorum_voters.c
void quorum_voters_take(struct quorum *q, struct quorum_op *op); // QUORUM_DESCRIBE, QUORUM_CHANGE_VOTER, on the leader
uint64_t quorum_voters_work(struct quorum *q, uint64_t now);     // returns when it wants to be called again
// quorum_confirm.c
void quorum_confirm_take(struct quorum *q, struct quorum_op *op);
void quorum_confirm_work(struct quorum *q); // completes what nobody is waited for any more
// quorum_brokers.c
uint64_t quorum_brokers_work(struct quorum *q, uint64_t now);
void quorum_brokers_lost(struct quorum *q, int32_t node); // the process met last is dead; another may be registered
void quorum_brokers_beat(struct quorum *q, struct peer_inlet *in, struct peer_route from, const struct peer_frame *f);
uint64_t quorum_brokers_seen(const struct quorum *q); // what every live broker has applied
void quorum_brokers_free(struct quorum *q);
// quorum_tend.c
void quorum_tend_init(struct quorum *q, const struct config_layers *layers);
uint64_t quorum_tend_work(struct quorum *q, uint64_t now); // returns when it wants to be called again
// quorum_register.c
uint64_t quorum_self_work(struct quorum *q, uint64_t now);
void quorum_self_beaten(struct quorum *q, const struct peer_frame *f);
// This node's id is said to be another process's. False: it has been for longer than a dead process would be taken for
// alive, and that is said: give up.
bool quorum_self_patient(struct quorum *q);
void quorum_self_image(struct quorum *q, const struct image *image); // a newer one, about to be published
