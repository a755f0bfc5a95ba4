// SPDX-License-Identifier: Apache-2.0
//
// The quorum scenario: several nodes' metadata, each node a quorum with its peers as the engine has it, one client that
// asks any of them, and what must hold whoever dies. Some worlds grow: one node or three form the cluster, and the others
// come later, without a vote.
#pragma once

#include "engine/quorum.h"
#include "model_raft.h"
#include "scenario.h"
#include "shard_program.h"
#include "wire/messages.h"
#include "wire/peer_messages.h"

enum {
    QW_NODES_MAX = 7,
    QW_TOPICS_MAX = 1024,
    QW_PARTITIONS_MAX = 4,
    QW_OPS_MAX = 4, // of the client at one node
    QW_BLOCKS_MAX = 4096,
    QW_PORT = 9093,
};

struct qw_member;
struct qw_program;

struct qw_topic {
    bool created, delete_asked, deleted; // created, deleted: answered
    struct uuid id;
    int32_t leader_epoch[QW_PARTITIONS_MAX], leader[QW_PARTITIONS_MAX]; // newest seen anywhere
};

struct qw_world {
    struct sim sim;
    const struct sim_options *options;
    struct sim_result *result;
    struct qw_member *members;
    uint32_t node_count;
    uint32_t founders; // the first of them
    struct peer_address peers[QW_NODES_MAX];
    struct sim_event client, fault, check;
    struct qw_topic topics[QW_TOPICS_MAX];
    uint32_t topic_count;
    bool block_given[QW_BLOCKS_MAX];
    char cluster_id[CLUSTER_ID_CHARS + 1];
    struct model_raft raft;
    uint64_t faults_left;
    uint32_t emptied; // disks, so far
    bool formed;      // something has been answered
    bool draining;
    uint64_t snapshots;
    struct trace_sink sink;    // of the nodes
    uint32_t leaderless_lines; // that said that there is no controller, and what helps
};

struct qw_member {
    struct qw_world *w;
    int32_t id;
    struct sim_node *node;
    struct sim_process process;
    struct sim_event restart;
    struct uuid directory; // of its folder, zero: not known
    bool emptied;          // and without its vote since
    int64_t broker_epoch;
};

struct qw_op {
    struct qw_program *g;
    struct quorum_op op;
    struct arena arena;
    bool busy;
    uint32_t topic;
    char name[24];
    struct bytes text;
    union {
        struct create_topics_request create;
        struct delete_topics_request delete;
        struct controller_producer_ids ids;
        struct voter_change voter;
    } in;
    union {
        struct create_topics_response create;
        struct delete_topics_response delete;
        struct controller_producer_ids ids;
        struct voter_change voter;
        struct quorum_view view;
    } out;
    struct create_topics_request_topic topic_in;
};

// In the process's memory.
struct qw_program {
    struct shard_group group; // first: see shard_program.h
    struct qw_member *m;
    struct log_dir dir;
    struct log_dir *dirs[1];
    struct peer_address peers[QW_NODES_MAX]; // this start's list
    uint32_t peer_count;
    struct quorum *q;
    struct quorum_reader reader;
    struct quorum_registration registration;
    struct image_listener listener;
    struct qw_op ops[QW_OPS_MAX];
    struct model_raft_seen raft_seen;
    bool serves, failed;
};

// quorum_member.c
void qw_member_start(struct qw_member *m);
void qw_member_end(struct qw_member *m, enum sim_death how);
// quorum_emptied.c: the disks of a majority of the voters are gone. Nothing may happen any more.
void qw_lose_majority(struct qw_world *w);
// quorum_checks.c
void qw_check_image(struct qw_program *g, const struct image *image);
void qw_check_core(struct qw_program *g); // after a turn
bool qw_all_led(const struct qw_world *w, const struct image *image); // every partition that somebody may lead
void qw_check_end(struct qw_world *w);                                // everybody is there and agrees
// quorum_client.c
void qw_client_run(struct sim *sim, struct sim_event *e);
bool qw_client_idle(const struct qw_program *g);
