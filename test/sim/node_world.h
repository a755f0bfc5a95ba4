// SPDX-License-Identifier: Apache-2.0
//
// The node scenario: one whole broker on one machine, clients on another, each keeping its own account of what it was
// told. The clients speak the wire through the product's native client; the accounts are the simulator's and survive
// every process.
#pragma once

#include "client/connection.h"
#include "client_answer.h"
#include "group_world.h"
#include "model_part.h"
#include "scenario.h"
#include "server/node.h"
#include "shard_program.h"

enum { NODE_TOPICS_MAX = 4, NODE_PARTITIONS_MAX = 4, NODE_PRODUCERS_MAX = 3, NODE_CONSUMERS_MAX = 2 };
#define NODE_MEMORY_BYTES (UINT64_C(32) << 20)
enum { NODE_PRODUCER_IDS_MAX = 1 << 20 };
enum { NODE_PORT = 9092, PRODUCER_BATCHES_OUT = 5, PRODUCER_QUEUE = 16 };

enum topic_state {
    TOPIC_ABSENT,   // to be created
    TOPIC_THERE,    // its creation was acknowledged
    TOPIC_DELETING, // to be deleted; nobody uses it meanwhile
};

struct node_topic {
    enum topic_state state;
    char name[16];
    uint32_t generation;
    uint32_t partition_count;
    int64_t flush_messages; // 1 or 0 for never
    int64_t index_bytes, interval_bytes, delete_delay_ms;
    struct uuid id; // as the creation's answer or the metadata said
    uint64_t quiet_since_ns;
    uint32_t users; // requests about it on their way
    struct model_part parts[NODE_PARTITIONS_MAX];
};

struct node_world {
    struct sim sim;
    const struct sim_options *options;
    struct sim_result *result;
    struct sim_node *node, *machine; // the broker's and the clients'
    struct sim_process broker, clients;
    uint32_t shard_count, topic_count, producer_count, consumer_count;
    struct node_topic topics[NODE_TOPICS_MAX];
    struct model_eras eras;
    uint32_t sessions; // producer sessions given out
    struct sim_event fault, restart, space, watch;
    uint64_t capacity_bytes, faults_left;
    uint32_t faults_seen;
    uint32_t dir_count;
    bool own_metadata_dir;
    bool ready, wants_restart; // what the broker's process said
    bool was_ready;            // when the last topic was to be created
    bool draining;             // no new work: what was sent is to be answered
    uint64_t requests_answered, moves_asked;
    uint8_t producer_ids[NODE_PRODUCER_IDS_MAX / 8]; // those given: each once in a cluster's life
    uint32_t group_count; // 0: the node scenario
    struct group_world groups;
    bool groups_lossless; // every append of every topic is synced
    uint64_t group_snapshot_bytes;
    uint32_t lives;      // of the broker: the count of its starts
    bool stopping;       // cleanly, in the middle of the run
    struct sim_figure life[SIM_FIGURES]; // what the broker counted in this life
};

static inline uint32_t node_faults_taken(const struct node_world *w)
{
    const struct sim_disk_faults *f = &w->node->faults;
    return f->taken_read_errors + f->taken_write_errors + f->taken_sync_errors + f->space_errors;
}

// An operation of the disk failed in this process: folders may be offline, answers may be errors.
static inline bool node_disk_failed(const struct node_world *w)
{
    return node_faults_taken(w) != w->faults_seen;
}

// What a run reached, so that one that reaches nothing is seen.
enum group_figure {
    FIGURE_STOPS = GROUP_COUNTS, // before them: what members counted
    FIGURE_BROKER, // from here on counted by the broker
    FIGURE_LOADS = FIGURE_BROKER,
    FIGURE_SNAPSHOTS_USED,
    FIGURE_SNAPSHOTS_IGNORED,
    FIGURE_APPENDS_LATE,
    FIGURE_APPENDS_FAILED,
    FIGURE_COMPACTIONS,
    FIGURE_SWAPS_COMPLETED,
    FIGURE_END,
};
_Static_assert((int)FIGURE_END <= (int)SIM_FIGURES, "all are printed");

// What the broker counts (group_figures.c): names; looked at now and then; added up when it begins anew and at the end.
void group_figures_name(struct sim_result *result);
void group_figures_read(struct node_world *w);
void group_figures_end(struct node_world *w);

// What the deaths of the broker mean to the world.
void node_world_died(struct node_world *w, enum sim_death how);

// ------------------------------------------------------------------------------------------------ the clients' process

struct node_clients;

struct batch_out { // of a producer, for one partition
    struct client_request request;
    struct node_producer *producer;
    uint8_t topic, partition;
    uint32_t generation;
    struct record_tag first;
    uint32_t records;
    int32_t base_sequence;
    struct buf bytes;
    bool used, flying;
    uint32_t era;   // in which it was sent last
    uint64_t order; // of creation
    struct produce_request in;
    struct produce_request_topic_data in_topic;
    struct produce_request_partition_data in_partition;
    struct enc_hole hole;
};

struct node_producer {
    struct node_clients *all;
    uint8_t index;
    bool idempotent;
    int16_t acks;
    struct client_connection connection;
    struct shard_timer timer;
    struct client_request init; // InitProducerId
    struct init_producer_id_request init_in;
    int64_t producer_id; // -1: to be asked for
    int16_t epoch;
    uint32_t session;
    uint64_t order_next;
    uint32_t counters[NODE_TOPICS_MAX][NODE_PARTITIONS_MAX];
    int32_t sequences[NODE_TOPICS_MAX][NODE_PARTITIONS_MAX];
    uint32_t generations[NODE_TOPICS_MAX];
    struct batch_out batches[PRODUCER_QUEUE];
};

struct node_consumer {
    struct node_clients *all;
    uint8_t index;
    struct client_connection connection;
    struct shard_timer timer;
    struct client_request fetch, offsets;
    struct fetch_request fetch_in;
    struct fetch_request_topic fetch_topic;
    struct fetch_request_partition fetch_partitions[NODE_PARTITIONS_MAX];
    struct list_offsets_request offsets_in;
    struct list_offsets_request_topic offsets_topic;
    struct list_offsets_request_partition offsets_partitions[NODE_PARTITIONS_MAX];
    uint8_t topic; // being read
    uint32_t generation;
    bool bound;    // to that topic
    bool verifier; // reads everything once, from start to end
    bool verified; // the pass is over
    int32_t session_id, session_epoch;
    int64_t positions[NODE_PARTITIONS_MAX]; // OFFSET_NONE: to be asked for
    int64_t starts[NODE_PARTITIONS_MAX], ends[NODE_PARTITIONS_MAX];
    int64_t start_acked_then[NODE_PARTITIONS_MAX]; // when the request was sent
    uint64_t rounds;
    uint32_t fetch_era;
};

struct node_admin {
    struct node_clients *all;
    struct client_connection connection;
    struct shard_timer timer;
    struct client_request request;
    uint8_t topic, partition;
    int64_t offset;
    struct create_topics_request create;
    struct create_topics_request_topic create_topic;
    struct create_topics_request_config create_configs[4];
    char config_values[4][24];
    struct delete_topics_request delete;
    struct delete_topics_request_topic delete_topic;
    struct bytes delete_name;
    struct delete_records_request records;
    struct delete_records_request_topic records_topic;
    struct delete_records_request_partition records_partition;
    struct alter_replica_log_dirs_request move;
    struct alter_replica_log_dirs_request_dir move_dir;
    struct alter_replica_log_dirs_request_topic move_topic;
    int32_t move_partition;
};

struct node_clients {
    struct shard_group group;
    struct shard *shard;
    struct node_world *w;
    struct node_producer producers[NODE_PRODUCERS_MAX];
    struct node_consumer consumers[NODE_CONSUMERS_MAX + 1]; // the last one verifies
    struct node_admin admin;
    struct group_clients *groups; // NULL: none
    char host[IO_ADDR_TEXT_MAX];
};

extern const struct sim_program node_clients_calls;

void node_producer_start(struct node_producer *p, struct node_clients *all, uint8_t index);
bool node_producer_idle(const struct node_producer *p);
void node_consumer_start(struct node_consumer *c, struct node_clients *all, uint8_t index, bool verifier);
// The verifier begins a pass over a topic.
void node_consumer_verify(struct node_consumer *c, uint8_t topic);
void node_admin_start(struct node_admin *a, struct node_clients *all);
bool node_admin_idle(const struct node_admin *a);

static inline int64_t client_now_ms(struct node_clients *all)
{
    return io_wall_ms(all->shard->io);
}

// ------------------------------------------------------------------------------------------------ the broker's process

extern const struct sim_program node_broker_calls;
