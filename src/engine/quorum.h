// SPDX-License-Identifier: Apache-2.0
//
// Joins the Raft core, its journal and the metadata on one shard: boots or formats the node, proposes decisions,
// applies what is committed, publishes images to all shards, makes snapshots. Plumbing: what is decided is decided in
// meta/ and raft/. One quorum a process, on the shard it is created for; quorum_submit() may be called from any shard.
//
// With peers: the node forms or finds its cluster before anything else (quorum_form.c); requests for the controller go
// to whichever node is it (quorum_forward.c); readers see no image before it holds this process's own registration.
#pragma once

#include "base/list.h"
#include "engine/peers.h"
#include "meta/controller.h"
#include "meta/image.h"
#include "raft/raft.h"
#include "shard/shard.h"
#include "store/log_dir.h"

struct quorum;
struct quorum_op;

// What is asked of the quorum's leader besides controller_decide()'s kinds; request and answer are of wire/peer_messages.
//   QUORUM_DESCRIBE      none                        struct quorum_view; answered by the leader from its own Raft
//   QUORUM_CHANGE_VOTER  struct voter_change (both)  answered when committed. RC_DUPLICATE_VOTER, RC_VOTER_NOT_FOUND,
//                        RC_INVALID_VOTER_KEY, RC_INVALID_REQUEST (the last voter, too many, no peer port here, or
//                        a host without an address); an observer that is not there or has not caught up, or another
//                        change under way, is waited for until the deadline
// And of this node's own, whoever leads:
//   QUORUM_CONFIRM       answer: struct quorum_confirm. RC_OK: each of the nodes gave a sign of life that it was asked for
//                        after the submission, or its connection is gone or was not there; quorum_lost_nodes() then knows of
//                        those who died. RC_TIMED_OUT: one is silent.
enum quorum_kind {
    QUORUM_DESCRIBE = CONTROLLER_KINDS,
    QUORUM_CHANGE_VOTER,
    QUORUM_CONFIRM,
    QUORUM_KINDS,
};

struct quorum_confirm {
    const int32_t *nodes;
    uint64_t *echoes; // private; room for count of them
    uint32_t count;
};

enum { QUORUM_VOTER_REMOVE, QUORUM_VOTER_ADD, QUORUM_VOTER_LEAD }; // voter_change.change

// On whose behalf, for logs and authorisation at the controller; borrowed until done().
struct quorum_caller {
    struct bytes principal, client_address, client_id, listener;
};

// rc RC_OK: committed, applied on every shard, answer filled; of topics and partitions created or deleted also applied
// by every live broker, or a second later. RC_NOT_CONTROLLER: no leader took it, or leadership ended first; the outcome
// is unknown if it was queued. RC_TIMED_OUT: the deadline passed first; the outcome is unknown. Other
// errors are the decision's own (controller_decide). Runs on the shard that submitted.
typedef void (*quorum_done_fn)(struct quorum_op *op, enum rc rc);

// A request to the controller; embedded by whoever asks, must stay where it is, with request, answer and arena, until
// done() runs. The arena is used on the quorum's shard meanwhile.
struct quorum_op {
    int kind; // enum controller_kind or quorum_kind; set these before quorum_submit()
    const void *request;
    void *answer;
    struct arena *arena;
    uint64_t deadline_ns; // monotonic; 0: none
    const struct quorum_caller *caller; // may be NULL
    quorum_done_fn done;
    uint64_t index; // out: Raft index of the entry that holds it
    // private
    struct quorum *quorum;
    struct list_node link;
    struct shard *from;
    struct controller_progress progress;
    struct shard_message message;
    struct shard_task retry;
    enum rc rc;
    bool local;          // only this node may decide it
    int32_t sent_to;     // forwarded there under `correlation`
    int32_t correlation;
    uint64_t landed_ns;  // committed then
};

// From shard `from` (any shard of the group). Always completes through done(), never inside the call.
void quorum_submit(struct quorum *q, struct shard *from, struct quorum_op *op);

// ------------------------------------------------------------------------------------------------ images on shards

struct quorum_reader;
// A newer image for this shard; `old` is NULL the first time. image->changes lists what differs from old (everything,
// the first time). Both stay valid during the call; reader->image is already the new one.
typedef void (*quorum_image_fn)(struct quorum_reader *reader, const struct image *old, const struct image *image);

enum { QUORUM_PENDING_IMAGES = 16 };

// One a shard; embedded in what lives there.
struct quorum_reader {
    const struct image *image; // the version this shard sees; never NULL after quorum_start()
    quorum_image_fn changed;   // set before quorum_attach()
    // private
    struct quorum *quorum;
    struct shard *shard;
    struct shard_message message;
    const struct image *pending[QUORUM_PENDING_IMAGES]; // a ring; the first one is on its way while message.in_flight
    uint32_t pending_head, pending_count;
    bool told;   // changed() has been called
    bool behind; // the ring was full: the next image is told as if everything had changed
    struct shard_task retry; // waits for room in the shard's mailbox
    uint64_t seen_index;
    struct list_node link;
};

// Boot only, before the shards run and before quorum_start(): the reader of shard s.
void quorum_attach(struct quorum *q, struct shard *s, struct quorum_reader *reader);

// ------------------------------------------------------------------------------------------------ life

struct quorum_config {
    struct shard *shard; // where the quorum lives
    struct trace_sink *trace;
    int32_t node_id;
    struct log_dir *const *log_dirs; // opened by the caller (log_dir_open), not yet checked or formatted; kept by it
    uint32_t log_dir_count;
    struct log_dir *metadata_dir;   // where the Raft log lives; may be one of log_dirs. Its directory id is the voter's
    struct config_layer properties; // static configuration, kept by the caller
    // 0 takes them from properties (controller.quorum.election.timeout.ms,
    // metadata.log.max.record.bytes.between.snapshots).
    uint32_t election_timeout_ms, heartbeat_ms;
    uint64_t snapshot_log_bytes; // a snapshot after this much log
    struct bytes cluster_id;     // asked for when formatting; empty: draw one
    // --peers, rising by id, the own one included; kept by the caller. None: a cluster of one, nothing listens.
    const struct peer_address *peers;
    uint32_t peer_count;
    struct io_addr peer_listen;
    // With peers, once, on the quorum's shard: this process is registered and the image holds it. Readers see nothing
    // before quorum_release(), and the node serves nothing before quorum_ready().
    void (*registered)(void *context);
    // With peers: takes a connection over which another node fetches (peers_hooks.adopt). NULL: refused.
    void (*adopt)(void *context, const struct peer_hello *theirs, int fd, const struct io_addr *from);
    // The journal failed or metadata cannot be applied: this process may not go on. Called once, with a sentence.
    void (*failed)(void *context, enum rc rc, const char *text);
    void *context;
};

enum { CLUSTER_ID_CHARS = 22 };

// Identity of this node, valid after quorum_create().
struct quorum_identity {
    int32_t node_id;
    char cluster_id[CLUSTER_ID_CHARS + 1];
    struct uuid incarnation; // of this process
    struct uuid directory;   // of metadata_dir; those of the log folders are in their log_dir
    bool formatted;          // this start made the cluster, or joined it
    bool forming;            // no cluster yet: it is formed or found while the shard runs
    uint64_t replayed_bytes, snapshot_bytes;
};

// Boot, in three calls:
//   quorum_create()  checks or formats the folders: all of one cluster and node, or empty. Nothing of a folder that is
//                    not empty is changed. The identity is valid after it.
//   quorum_attach()  for every shard.
//   quorum_start()   replays snapshot and journal, gives every reader its first image (inside the call) and starts the
//                    core. A single voter leads within the next turns of the shard.
// On error the text says what is wrong and what to do:
//   RC_INVALID, RC_INCONSISTENT_CLUSTER_ID  a folder of another node or cluster
//   RC_CORRUPT      damage that must not be repaired silently: names file and offset and says how to rejoin
//   RC_UNSUPPORTED  metadata written by a newer version
//   RC_PERMISSION, RC_NO_SPACE, RC_IO, RC_NOMEM
enum rc quorum_create(struct quorum **out, const struct quorum_config *config, char *text, size_t text_bytes);
enum rc quorum_start(struct quorum *q, char *text, size_t text_bytes);
// Fails what is queued with RC_NOT_CONTROLLER, waits for the journal (boot or stop only), frees. Shards must have let
// go of their images (quorum_detach).
void quorum_detach(struct quorum *q, struct quorum_reader *reader);
void quorum_destroy(struct quorum *q);

const struct quorum_identity *quorum_identity(const struct quorum *q);

// ------------------------------------------------------------------------------------------------ registration

// Registers this process with the controller and, once that is applied here, unfences it: done() runs then. listeners
// and peer address as clients and peers should see them; borrowed until done().
struct quorum_registration {
    const struct image_listener *listeners;
    uint32_t listener_count;
    struct bytes rack;
    const char *peer_host;
    uint16_t peer_port;
    bool logs_whole;
    void (*done)(struct quorum_registration *r, enum rc rc); // RC_OK: it serves
    int64_t broker_epoch; // out
    // private
    struct quorum_op op, state_op;
    struct arena arena;
    struct uuid directories[LOG_DIRS_MAX];
    struct controller_registration registration;
    struct controller_node_state state;
    enum rc rc;
    struct quorum *quorum;
};

void quorum_register(struct quorum *q, struct quorum_registration *r); // on the quorum's shard

// With peers, after registered(): readers get the image, told as new (old NULL), each on its shard.
void quorum_release(struct quorum *q);
// Then, when this node can serve: asks to be unfenced; the registration's done() follows.
void quorum_ready(struct quorum *q);
// Clean stop, first of all: leaderships of partitions move elsewhere where they can, then Raft's. done() on the
// quorum's shard, soon and bounded, whatever happens. Without peers at once.
void quorum_leave(struct quorum *q, void (*done)(void *context));

// ------------------------------------------------------------------------------------------------ looking

// For DescribeQuorum, DescribeCluster, metrics. On the quorum's shard.
struct quorum_status {
    int32_t leader; // NODE_ID_NONE: unknown
    uint64_t term, commit_index, applied_index, last_index, durable_index, snapshot_index;
    enum raft_role role;
    bool leads; // and has committed in its own term
    uint32_t queued;
    uint64_t journal_bytes;
};
void quorum_status(const struct quorum *q, struct quorum_status *out);
const struct raft *quorum_raft(const struct quorum *q);
// What is applied here, newer than what readers were told while they are held back.
const struct image *quorum_image(const struct quorum *q);
// The node stops and its logs are at rest [boot shard]: other shards hear of no more images, and what this node's shards
// ask for, or did, is answered with RC_NOT_CONTROLLER at the end of the turn, its outcome unknown. So nothing is under
// way between shards when their threads end.
void quorum_rest(struct quorum *q);
// Until when this node may take itself for the leader of what it leads: half a session after the last heartbeat was sent
// that the controller answered and of whose answer every shard has seen all that was committed then (engine/lease.h), or
// after a majority followed this node as the controller. Later the cluster may have fenced it and elected others: a new
// controller waits for half a session at least (monotonic; any shard; an atomic read). UINT64_MAX without peers.
uint64_t quorum_lease_ns(const struct quorum *q);
// Nodes whose process this one has seen die (their connection broke, and a new one is refused or not made yet) a session ago
// at most, and that have not been met since: the controller may not have said so yet. Fills up to max of them; any shard.
uint32_t quorum_lost_nodes(const struct quorum *q, uint64_t now_ns, int32_t *out, uint32_t max);
// Nodes that were fenced a moment ago without having said good-bye, and of whose end this node has known only since
// since_ns: up to max of them; any shard.
uint32_t quorum_fenced_nodes(const struct quorum *q, uint64_t now_ns, uint64_t since_ns, int32_t *out, uint32_t max);
// Voters of the newest set this node has in its log, from any shard (an atomic read).
uint32_t quorum_voter_count(const struct quorum *q);
// How far a node's clock was ahead of this one's when it last said so; QUORUM_CLOCK_UNKNOWN: it never did. Any shard.
#define QUORUM_CLOCK_UNKNOWN INT64_MIN
int64_t quorum_clock_ahead_ms(const struct quorum *q, int32_t node);
// The Raft leader as last known, from any shard (an atomic read).
int32_t quorum_leader(const struct quorum *q);
