// SPDX-License-Identifier: Apache-2.0
//
// The cluster scenario: one to five whole nodes that find each other by a peers list, replicated topics, and clients that
// go after leaders. What was acknowledged with acks=all stays, whatever dies: each account counts as lossless, because
// power is cut only where the guarantee holds (every append synced, or one node at a time and never before what it lost
// has been refilled).
#pragma once

#include "client/connection.h"
#include "model_part.h"
#include "scenario.h"
#include "server/node.h"
#include "shard_program.h"

enum {
    CLUSTER_NODES_MAX = 5,
    CLUSTER_TOPICS_MAX = 2,
    CLUSTER_PARTITIONS_MAX = 3,
    CLUSTER_PRODUCERS = 2,
    CLUSTER_READERS = 2,
    CLUSTER_PORT = 9092,
    CLUSTER_PEER_PORT = 9093,
    CLUSTER_EPOCHS_MAX = 4096,
};

struct cluster_world;

struct cluster_node {
    struct cluster_world *w;
    uint32_t index;
    struct sim_node *machine;
    struct sim_process process;
    struct sim_event restart;
    bool ready, wants_restart;
    bool down; // dead, and not to be started yet
};

struct cluster_part {
    struct model_part model;
    int32_t leader; // index of the node last said to lead, -1
    uint32_t isr_count;
    int32_t leader_of_epoch[CLUSTER_EPOCHS_MAX]; // node id that led in that epoch, 0: nobody was seen
    uint32_t life_of_epoch[CLUSTER_EPOCHS_MAX];  // which of its processes it was
    int64_t watermark; // the highest any leader has reached
    uint64_t watermark_index; // of the image it knew then
};

struct cluster_topic {
    char name[16];
    bool there;
    struct uuid id;
    uint32_t partition_count;
    struct cluster_part parts[CLUSTER_PARTITIONS_MAX];
};

struct cluster_world {
    struct sim sim;
    const struct sim_options *options;
    struct sim_result *result;
    uint32_t node_count, topic_count;
    struct cluster_node nodes[CLUSTER_NODES_MAX];
    struct sim_node *machine; // of the clients
    struct sim_process clients;
    struct cluster_topic topics[CLUSTER_TOPICS_MAX];
    struct peer_address peers[CLUSTER_NODES_MAX];
    struct model_eras eras;
    struct sim_event fault, watch;
    uint64_t faults_left;
    uint32_t sessions;
    bool synced;      // every append is synced: power may go anywhere
    bool whole;       // every replica is in its ISR, as the metadata said after the last power cut
    uint64_t whole_asked_ns;
    uint64_t power_ns; // of the last power cut
    uint64_t hushed_until_ns; // producers begin nothing new before
    bool draining;
    uint64_t requests_answered, elections, isr_changes;
};

static inline int32_t cluster_replicas(const struct cluster_world *w)
{
    return w->node_count < 3 ? (int32_t)w->node_count : 3;
}

// Something that happens to the cluster: a fault, or what an operator does. cluster_faults.c has the table.
struct cluster_action {
    const char *name;
    uint32_t weight; // among all
    // n: a node that runs, for those that need one. False: it does not fit now, nothing was done and it counts for nothing.
    bool (*act)(struct cluster_world *w, struct cluster_node *n);
};

extern const struct sim_program cluster_node_calls, cluster_clients_calls;

// cluster_faults.c
void cluster_node_died(struct cluster_node *n, enum sim_death how);
void cluster_restart_run(struct sim *sim, struct sim_event *e); // node.restart
void cluster_watch_run(struct sim *sim, struct sim_event *e);   // world.watch
void cluster_fault_run(struct sim *sim, struct sim_event *e);   // world.fault

// cluster_checks.c
// Looks into the running nodes: who leads what.
void cluster_check(struct cluster_world *w);
// The index of the node that leads a partition and waits for the answer to an ISR change that lets somebody join, of who
// joins, and of the controller; false: there is none such now, or one node is two of them.
bool cluster_joining(const struct cluster_world *w, uint32_t *leader, uint32_t *joiner, uint32_t *controller);

// cluster_end.c
void cluster_settle(struct cluster_world *w);
void cluster_verify(struct cluster_world *w);
void cluster_each_away(struct cluster_world *w);
void cluster_clean_stops(struct cluster_world *w);

// cluster_clients.c; see cluster_clients.h for what an actor is
bool cluster_clients_idle(const struct cluster_world *w); // all of them wait for nothing more
void cluster_clients_verify(void *clients);               // a pass over everything, from start to end
bool cluster_clients_verified(const struct cluster_world *w);
