// SPDX-License-Identifier: Apache-2.0
//
// The cluster scenario: one to seven whole nodes that find each other by a peers list, replicated topics, and clients that
// go after leaders. What was acknowledged with acks=all stays, whatever dies, as far as DESIGN.md's guarantee goes: which
// records that covers is computed from the scenario's own account of who lost what (cluster_losses.c).
#pragma once

#include "client/connection.h"
#include "group_world.h"
#include "model_part.h"
#include "model_raft.h"
#include "scenario.h"
#include "server/node.h"
#include "shard_program.h"

enum {
    CLUSTER_NODES_MAX = 7,
    CLUSTER_TOPICS_MAX = 2,
    CLUSTER_ACCOUNTS_MAX, // with __consumer_offsets behind them
    CLUSTER_PARTITIONS_MAX = 3,
    CLUSTER_PRODUCERS = 4,
    CLUSTER_PRODUCERS_IDEMPOTENT = 2, // the first ones; the last one is content with acks=1
    CLUSTER_READERS = 4,
    CLUSTER_PORT = 9092,
    CLUSTER_PEER_PORT = 9093,
    CLUSTER_EPOCHS_MAX = 4096,
    CLUSTER_PRODUCER_IDS_MAX = 1 << 20,
    CLUSTER_VOTERS = 5, // of a new cluster; the rest observe
    CLUSTER_SHARDS_MAX = 3,
    CLUSTER_SESSION_MS = 900, // broker.session.timeout.ms
};

#define CLUSTER_DISK_BYTES (UINT64_C(8) << 30)
#define CLUSTER_MEMORY_BYTES (UINT64_C(32) << 20) // a shard's

struct cluster_world;

// A replica in one process, as it was after the process's last turn.
struct cluster_seen {
    bool leads;
    int32_t leader_epoch;
    int64_t start, written, watermark;
    const void *change; // the ISR change on its way
    int32_t change_epoch;
};

struct cluster_node {
    struct cluster_world *w;
    uint32_t index;
    struct sim_node *machine;
    struct sim_process process;
    struct sim_event restart, space;
    bool ready, wants_restart;
    bool down; // dead, and not to be started yet
    uint64_t disk_errors; // counted so far
    bool stopping; // cleanly, and to be started again
    // What the last turns of this process showed (cluster_checks.c).
    struct model_raft_seen raft_seen;
    uint64_t image_index;
    struct cluster_seen seen[CLUSTER_ACCOUNTS_MAX][CLUSTER_PARTITIONS_MAX];
    uint64_t truncated_seen[CLUSTER_SHARDS_MAX];
    bool deciding[CLUSTER_PARTITIONS_MAX]; // the coordinator there has a decision on its way to the log
    int32_t deciding_epoch[CLUSTER_PARTITIONS_MAX];
    int64_t held[CLUSTER_ACCOUNTS_MAX][CLUSTER_PARTITIONS_MAX]; // ends of its logs, also while it is dead
    // Its folder was lost with its vote (cluster_voters.c).
    struct uuid directory, lost_directory;
    enum cluster_vote { CLUSTER_VOTE_KEPT, CLUSTER_VOTE_LOST, CLUSTER_VOTE_REMOVED } vote;
    uint32_t lost_process; // the process that lost what is not refilled yet
};

// A partition as the newest metadata says that anybody has applied.
struct cluster_known {
    int32_t epoch, leader, leader_epoch;
    int32_t preferred; // the first replica
    bool recovering;   // its leader was elected uncleanly
    uint32_t replicas, isr, elr; // nodes, bits
};

// Which batch has its place, whoever holds it: (leader epoch, offset) to its checksum (cluster_scan.c).
struct cluster_facts {
    struct cluster_fact {
        int64_t offset; // of the batch, plus one; 0: free
        int32_t epoch;
        uint32_t crc;
    } *v;
    size_t count, cap;
    int32_t *committed; // by base offset: the leader epoch of the batch below the watermark, plus one
    size_t committed_cap;
};

// A record that only its leader acknowledged (acks=1), and the epoch it led in.
struct cluster_alone {
    int64_t offset;
    struct record_tag tag;
    int32_t epoch;
};

struct cluster_part {
    struct model_part model;
    int32_t leader; // index of the node last said to lead, -1
    uint32_t isr_count, replica_count;
    int32_t leader_of_epoch[CLUSTER_EPOCHS_MAX]; // node id that led in that epoch, 0: nobody was seen
    uint32_t life_of_epoch[CLUSTER_EPOCHS_MAX];  // which of its processes it was
    int32_t epoch_max;                           // the newest that anybody led in
    int64_t watermark; // the highest any leader has reached
    uint64_t watermark_index; // of the image it knew then
    struct cluster_known known;
    uint64_t handed_ns[CLUSTER_NODES_MAX]; // when each node's leadership last went to another one though nobody fenced it
    struct cluster_facts facts;
    struct cluster_alone *alone;
    size_t alone_count, alone_cap;
    uint32_t unrefilled; // nodes (bits) that lost what they held and have not got it back
    uint32_t emptied;    // those of them that lost their disk
    int64_t lost_end[CLUSTER_NODES_MAX]; // below which they held everything
    uint32_t lost_era[CLUSTER_NODES_MAX]; // in which they lost it
    int32_t risk_epoch;  // the newest when more was lost than the guarantee covers: what is of older ones may be gone
    uint32_t risks;      // how often that was so
};

struct cluster_topic {
    char name[24];
    bool there; // its creation was acknowledged
    struct uuid id;
    uint32_t partition_count;
    struct cluster_part parts[CLUSTER_PARTITIONS_MAX];
};

struct cluster_world {
    struct sim sim;
    const struct sim_options *options;
    struct sim_result *result;
    uint32_t node_count, topic_count;
    uint32_t account_count; // topics that are looked at: with groups __consumer_offsets, too
    struct cluster_node nodes[CLUSTER_NODES_MAX];
    struct sim_node *machine; // of the clients
    struct sim_process clients;
    struct cluster_topic topics[CLUSTER_ACCOUNTS_MAX];
    struct peer_address peers[CLUSTER_NODES_MAX];
    struct model_eras eras;
    struct sim_event fault, watch;
    uint64_t faults_left;
    uint32_t sessions;
    uint8_t producer_ids[CLUSTER_PRODUCER_IDS_MAX / 8]; // those given: each once in a cluster's life
    struct group_world groups; // group_count 0: none
    uint32_t group_era;
    uint32_t shard_count;
    struct model_raft raft;
    struct uuid incarnations[CLUSTER_NODES_MAX]; // registered, as the newest image says
    uint32_t fenced;                             // without a good-bye, as it says too
    char cluster_id[CLUSTER_ID_CHARS + 1];
    bool formed; // a topic was created: from here on there is one cluster
    uint64_t newest_index; // of the images anybody has applied
    uint64_t full_at;      // events, for the next look at everything
    bool balanced;    // leaderships go back to preferred replicas every second
    bool unclean;     // who may lack records is elected where nobody else lives
    bool deletes;     // records are deleted, and segments small
    bool synced;      // every append is synced: power may go anywhere
    bool whole;       // every replica is there and in its ISR, as the metadata said
    uint64_t whole_asked_ns;
    uint64_t hushed_until_ns; // producers begin nothing new before
    bool draining;
    uint64_t requests_answered;
};

// What a run reached; cluster_figures.c has their names and floors.
enum cluster_figure {
    CLUSTER_ELECTIONS,
    CLUSTER_RAFT_ELECTIONS,
    CLUSTER_TRUNCATED,
    CLUSTER_ISR_SHRINKS,
    CLUSTER_ISR_GROWTHS,
    CLUSTER_ELR_ELECTIONS,
    CLUSTER_SNAPSHOTS,
    CLUSTER_LOST_PAGES,
    CLUSTER_UNKNOWN_OUTCOMES,
    CLUSTER_DUPLICATES,
    CLUSTER_DISK_ERRORS,
    CLUSTER_EMPTIED,
    CLUSTER_PAUSES,
    CLUSTER_RISKS,
    CLUSTER_EXCUSED,
    CLUSTER_ALONE_LOST,
    CLUSTER_GIVEN_BACK,
    CLUSTER_UNCLEAN,
    CLUSTER_MOVED_DECIDING,
    CLUSTER_GROUP_COMMITS,
    CLUSTER_GROUP_ASSIGNMENTS,
    CLUSTER_TWO_EMPTIED,
    CLUSTER_DELETIONS,
    CLUSTER_FIGURES,
};
_Static_assert((int)CLUSTER_FIGURES <= (int)SIM_FIGURES, "all are printed");

static inline void cluster_count(struct cluster_world *w, enum cluster_figure figure, uint64_t n)
{
    w->result->figures[figure].value += n;
}

static inline int32_t cluster_replicas(const struct cluster_world *w)
{
    return w->node_count < 3 ? (int32_t)w->node_count : 3;
}

static inline int32_t cluster_min_isr(const struct cluster_world *w)
{
    return cluster_replicas(w) == 3 ? 2 : 1;
}

// The node's program, when it runs and has its logs: it may lead and follow before it serves clients. Else NULL.
static inline const struct node *cluster_serving(const struct cluster_node *c)
{
    const struct node *n = c->process.running ? c->process.program : NULL;
    for (uint32_t s = 0; n && n->engine && s < n->engine->shard_count; s++)
        if (!n->engine->shards[s].booted)
            return NULL;
    return n && n->engine ? n : NULL;
}

// Something that happens to the cluster: a fault, or what an operator does. cluster_faults.c has the table.
struct cluster_action {
    const char *name;
    uint32_t weight; // among all
    // n: a node that runs, for those that need one. False: it does not fit now, nothing was done and it counts for nothing.
    bool (*act)(struct cluster_world *w, struct cluster_node *n);
};

const char *cluster_rack(uint32_t index); // of a node, and of a reader; NULL: none
extern const struct sim_program cluster_node_calls, cluster_clients_calls;

// cluster_faults.c
void cluster_node_died(struct cluster_node *n, enum sim_death how);
void cluster_restart_run(struct sim *sim, struct sim_event *e); // node.restart
void cluster_watch_run(struct sim *sim, struct sim_event *e);   // world.watch
void cluster_fault_run(struct sim *sim, struct sim_event *e);   // world.fault

// cluster_elections.c
// The partition is known anew: leaderships that went back, and elections that may have lost what was acknowledged.
void cluster_elections_look(struct cluster_world *w, struct cluster_part *part, const struct cluster_known *was);
// The newest image gives the partition another leader, or none: whether the one before was asked or had to go.
void cluster_elections_handed(struct cluster_world *w, struct cluster_part *part, const struct cluster_known *was,
                              const struct image *image);
// Leaderships move without anybody dying: by a clean stop, by reassignment, back to preferred replicas. Who has led till then
// serves until it has heard of that, for half a session without an answer of the controller or with metadata that stands
// still, and knows nothing of what its successor has taken; in a coordinator's case also of commits. Kafka's brokers do so,
// too. Who was fenced is not excused: its successor waits until its lease is over.
bool cluster_may_not_know(const struct cluster_part *part, uint32_t node, uint64_t asked_ns);
// Every leader is the preferred one, where that is seen to and everybody is there.
bool cluster_elections_settled(const struct cluster_world *w);
// cluster_groups.c
void cluster_groups_draw(struct cluster_world *w);    // when nodes and topics are known
void cluster_groups_at_risk(struct cluster_world *w); // what groups have committed may be lost

// cluster_losses.c
// Nodes lost what they held below ends[0..nodes), each in one of lost_eras[0..nodes): what at least min.insync.replicas of
// them had when it was acknowledged may be gone.
void cluster_at_risk(struct cluster_world *w, struct cluster_part *part, const int64_t *ends, const uint32_t *lost_eras);
// A node lost what its page cache held, or its disk.
void cluster_node_lost(struct cluster_node *n, bool disk);
// Whether the guarantee covers what stands at an offset now: of what it does not, who still has it may be lost next.
bool cluster_covered(const struct cluster_world *w, const struct cluster_part *part, int64_t offset);
// Whether a batch that somebody showed stays there: it is covered, and no loss of the past has taken it.
bool cluster_stands(const struct cluster_world *w, const struct cluster_part *part, int64_t offset, int32_t epoch);
// The same of an end (a high watermark, a latest offset) that a node gives.
bool cluster_end_stands(const struct cluster_world *w, const struct cluster_part *part, int64_t end, uint32_t node);
// Who leads in the newest epoch that anybody has led in, and its node; NULL: nobody, or not yet since more was lost than
// the guarantee covers.
const struct partition *cluster_newest_leader(const struct cluster_world *w, const struct cluster_part *part, uint32_t *node);
// Who has got everything back that it lost.
void cluster_refills(struct cluster_world *w);
// cluster_checks.c
// After every turn of a node: at a cost of what changed.
void cluster_look(struct cluster_node *c, uint32_t lane);
// It dies in the middle of one: what its logs have come to hold since the last one others may already count on.
void cluster_look_at_death(struct cluster_node *c, uint32_t lane);
// Everything at once.
void cluster_check(struct cluster_world *w);
const struct partition *cluster_partition(const struct node *n, struct uuid topic, int32_t number);
// Everything this member of the ISR or ELR must hold is asked of it: it runs under its registered incarnation.
bool cluster_answers_for(const struct cluster_world *w, const struct cluster_part *part, const struct cluster_node *c);
// Every replica has the log start of the deletions that were answered.
bool cluster_starts_settled(const struct cluster_world *w);
// The index of the node that leads a partition and waits for the answer to an ISR change that lets somebody join, of who
// joins, and of the controller; false: there is none such now, or one node is two of them.
bool cluster_joining(const struct cluster_world *w, uint32_t *leader, uint32_t *joiner, uint32_t *controller);

// cluster_scan.c
// Reads every log there is from its files: batches have one place each, replicas agree below the watermark, and what was
// derived from them is what this scan gives.
void cluster_scan(struct cluster_world *w);
// The leader epoch of what stands at an offset of a node's log, LEADER_EPOCH_NONE: nothing does. A log at rest is searched.
int32_t cluster_epoch_at(const struct cluster_world *w, uint32_t node, const struct plog *l, int64_t offset);
// The batch at (epoch, offset) has this checksum, as it ever had.
bool cluster_fact_holds(struct cluster_facts *f, int32_t epoch, int64_t offset, uint32_t crc);
void cluster_facts_clear(struct cluster_facts *f); // what is committed, where that may have been lost
void cluster_facts_deinit(struct cluster_facts *f);

// cluster_figures.c
void cluster_figures_name(struct sim_result *result);

// cluster_end.c
void cluster_settle(struct cluster_world *w);
void cluster_verify(struct cluster_world *w);
void cluster_each_away(struct cluster_world *w);
void cluster_clean_stops(struct cluster_world *w);
void cluster_two_emptied(struct cluster_world *w); // instead of clean stops, now and then

// cluster_clients.c; see cluster_clients.h for what an actor is
const char *cluster_clients_waiting(const struct cluster_world *w); // one that still waits for something; NULL: none
void cluster_clients_verify(void *clients);               // a pass over everything, from start to end
const char *cluster_clients_verifying(const struct cluster_world *w); // one that is not through yet; NULL: all are
