// SPDX-License-Identifier: Apache-2.0
//
// What the controller decides. A decision reads the image as it will be (the committed one plus the records of the
// batch being built: the view) and adds records to the batch and an answer; nothing else changes. The answer is given
// away only when the batch is committed. Checks and messages are Kafka's.
//
// Pure: no clock, no file. Requests and answers are the wire's own structs; their memory is the request's arena.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/prng.h"
#include "base/trace.h"
#include "meta/feature_levels.h"
#include "meta/image.h"
#include "model/limits.h"

// One batch: the records of one Raft entry.
struct controller_batch {
    struct image *view;   // private to the batch; thrown away with it
    struct buf records;   // the entry's payload so far
    uint64_t index, term; // the entry it will be
    uint32_t record_count;
    struct image *draft; // of a decision that is not finished: more of it in another turn; NULL: none
    // private
    size_t draft_start;
    uint32_t draft_count, draft_work;
};

// What decisions depend on besides the image.
struct controller_env {
    struct prng *prng;                                 // placement
    int32_t self;                                      // whose static configuration supplies the defaults
    struct config_layer properties;                    // static configuration
    void (*new_uuid)(void *context, struct uuid *out); // random, not reserved
    // The i-th voter of the metadata log, NODE_ID_NONE behind the last one; NULL: there are none.
    int32_t (*voter)(void *context, uint32_t i);
    void *context;
    struct trace_sink *trace;
};

// Starts a batch over base for the entry (index, term). RC_NOMEM.
enum rc controller_batch_begin(struct controller_batch *b, const struct image *base, uint64_t index, uint64_t term);
void controller_batch_end(struct controller_batch *b); // frees; the records too

// A request and its answer, by kind:
//   kind                     request                                       answer
//   CREATE_TOPICS            struct create_topics_request                  struct create_topics_response
//   DELETE_TOPICS            struct delete_topics_request (topics or topic_names)  struct delete_topics_response
//   CREATE_PARTITIONS        struct create_partitions_request              struct create_partitions_response
//   ALTER_CONFIGS            struct alter_configs_request                  struct alter_configs_response
//   INCREMENTAL_ALTER_CONFIGS struct incremental_alter_configs_request     struct incremental_alter_configs_response
//   PRODUCER_IDS             struct controller_producer_ids (both)
//   REGISTER                 struct controller_registration (both)
//   NODE_STATE               struct controller_node_state (both)
//   ELECT_LEADERS            struct elect_leaders_request                  struct elect_leaders_response
//   ALTER_ISR                struct alter_isr                              struct alter_isr_answer (wire/peer_messages.h)
//   UNREGISTER               struct unregister_broker_request              struct unregister_broker_response
//   UPDATE_FEATURES          struct update_features_request                struct update_features_response (no results)
//   TEND                     struct controller_tend (both)
//   REASSIGN                 struct alter_partition_reassignments_request  struct alter_partition_reassignments_response
//   REPLICAS_OFFLINE         struct replicas_offline (wire/peer_messages.h) none: they leave ISRs, ELRs and leaderships, but
//                            for those that nobody else could lead
//   FORMAT                   none: sets the feature levels of a new cluster
enum controller_kind {
    CONTROLLER_CREATE_TOPICS,
    CONTROLLER_DELETE_TOPICS,
    CONTROLLER_CREATE_PARTITIONS,
    CONTROLLER_ALTER_CONFIGS,
    CONTROLLER_INCREMENTAL_ALTER_CONFIGS,
    CONTROLLER_PRODUCER_IDS,
    CONTROLLER_REGISTER,
    CONTROLLER_NODE_STATE,
    CONTROLLER_ELECT_LEADERS,
    CONTROLLER_ALTER_ISR,
    CONTROLLER_UNREGISTER,
    CONTROLLER_UPDATE_FEATURES,
    CONTROLLER_TEND,
    CONTROLLER_FORMAT,
    CONTROLLER_REASSIGN,
    CONTROLLER_REPLICAS_OFFLINE,
    CONTROLLER_KINDS,
};

enum { PRODUCER_ID_BLOCK = 1000 };

struct controller_producer_ids {
    int32_t node;         // in
    int64_t broker_epoch; // in
    int64_t first;        // out: ids [first, first + count)
    int32_t count;
};

struct controller_registration {
    // in; borrowed
    int32_t node;
    struct uuid incarnation;
    struct bytes rack; // p NULL: none
    const struct image_listener *listeners;
    uint32_t listener_count;
    const struct uuid *directories;
    uint32_t directory_count;
    const char *peer_host; // NULL: none
    uint16_t peer_port;
    bool logs_whole; // false: the node leaves every ISR and ELR
    // out
    int64_t broker_epoch;
};

// Fences or unfences a registered node. A node is registered fenced and unfenced once it has applied its registration.
struct controller_node_state {
    int32_t node;
    int64_t broker_epoch;
    bool fenced, in_shutdown;
    // Not NULL, of the controller's own node only: broker_epoch does not count, but what this incarnation was registered
    // with, perhaps in the same batch.
    const struct uuid *incarnation;
};

// Elections that follow from the image alone, over a piece of the partitions: of leaders for those that have none, where
// unclean election is allowed (`unclean`), and of preferred leaders that are one of `nodes` and in sync. To be sent again,
// as the answer is, while more.
struct controller_tend {
    // in
    bool unclean;
    uint32_t node_count;
    int32_t nodes[IMAGE_NODES_MAX];
    // in and out: where to go on; zero at the beginning
    char topic[TOPIC_NAME_BYTES_MAX + 1];
    int32_t partition;
    // out
    uint32_t changes; // of this piece
    bool more;
};
// Fills in the nodes that can lead and of whose preferred partitions more than so many percent are led elsewhere. False:
// there is none. O(nodes).
bool controller_unbalanced(const struct image *i, uint32_t percentage, struct controller_tend *out);

// How far a request has come that is decided in several batches. Zeroed before the first one; lives as long as the
// arena.
struct controller_progress {
    uint32_t done; // topics or partitions decided
    const bool *twice;
    const void *plain;
    struct bytes topic; // partitions from here on are still to be looked at
    int32_t partition;
    bool stated;    // the record of a node's state is out
    bool moved;     // every partition has been looked at
    uint64_t alone; // partitions that have no other replica than a node that may have lost records
    struct controller_adding { // partitions of a topic, first to first + count, that are still to be added
        struct uuid topic_id;
        int32_t first;
        uint32_t count, factor;
        const int32_t *replicas;
    } adding;
};

// Work of one request in one batch, so that thousands of topics in one request hold up nobody: a topic costs one, and
// so do four partitions.
enum { CONTROLLER_WORK_MAX = 400 };
// Partitions that one call adds: a topic of many is one decision of one entry, but takes several turns.
enum { CONTROLLER_PIECE_PARTITIONS = 1024, CONTROLLER_WORK_PARTITIONS = 4 };

// Decides one request: fills answer (per-topic errors are inside the answer and RC_OK is returned) and adds records.
// RC_AGAIN: a part is decided (where the parts stand by themselves: topics created and deleted, partitions reassigned);
// go on with the same progress in the next batch. With b->draft set the decision is in the middle of a part: go on with
// the same batch, which holds nothing else and may not be committed; giving it up gives up all since, and the progress
// before. RC_FULL: the batch is too full for it; nothing was added, decide it in
// the next one.
// RC_POLICY_VIOLATION: it fits no batch. RC_NOMEM: nothing was added. Other errors answer the whole request:
// RC_STALE_BROKER_EPOCH, RC_BROKER_ID_NOT_REGISTERED, RC_DUPLICATE_BROKER_REGISTRATION, RC_INVALID_REQUEST.
enum rc controller_decide(struct controller_batch *b, const struct controller_env *env, enum controller_kind kind,
                          const void *request, void *answer, struct controller_progress *progress, struct arena *arena);
