// SPDX-License-Identifier: Apache-2.0
//
// Private to the controller_*.c files.
#pragma once

#include "base/assert.h"
#include "meta/controller.h"
#include "meta/records.h"
#include "wire/messages.h"

// One decision under way: a view of its own, which becomes the batch's only when the whole decision fits.
struct decision {
    struct controller_batch *batch;
    const struct controller_env *env;
    struct image *view;
    struct arena *arena;
    struct controller_progress *progress;
    uint32_t work; // done in this batch
    bool more;     // the request goes on in the next batch
    bool unfinished; // progress->adding goes on with the next call
    bool dry;      // validate_only: applied to the view, so that a request is checked against itself, then given up
    enum rc rc;    // sticks: RC_FULL, RC_NOMEM
};

// Adds a record to the batch and applies it to the view. After an error nothing more is added.
void decision_add(struct decision *d, const struct schema_message *m, const void *record);

// A text in the arena as the wire's bytes; an empty one when memory is short (d->rc says so).
struct bytes decision_text(struct decision *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Zero-terminated copy, "" when memory is short.
const char *decision_string(struct decision *d, struct bytes b);
void *decision_array(struct decision *d, size_t count, size_t size); // zeroed; NULL sets d->rc

// Which of count keys stand there more than once: an array of flags in the arena, NULL when memory is short.
const bool *decision_duplicates(struct decision *d, const struct bytes *keys, uint32_t count);

// Whether `work` more with about `bytes` of records still goes into this batch. False: leave the rest for the next one
// (d->more is set), or, where the batch is empty, it never will (*never).
bool decision_fits(struct decision *d, uint32_t work, size_t bytes, bool *never);

// The error of one topic, resource or partition inside an answer.
struct decision_error {
    enum rc rc;
    struct bytes text; // p NULL: none
};

#define DECISION_FAIL(d, code, ...) ((struct decision_error){code, decision_text(d, __VA_ARGS__)})

void decide_create_topics(struct decision *d, const struct create_topics_request *in,
                          struct create_topics_response *out);
void decide_delete_topics(struct decision *d, const struct delete_topics_request *in,
                          struct delete_topics_response *out);
void decide_create_partitions(struct decision *d, const struct create_partitions_request *in,
                              struct create_partitions_response *out);
void decide_alter_configs(struct decision *d, const struct alter_configs_request *in,
                          struct alter_configs_response *out);
void decide_incremental_alter_configs(struct decision *d, const struct incremental_alter_configs_request *in,
                                      struct incremental_alter_configs_response *out);

// controller_change.c. One partition as a decision will leave it; begins as it is.
struct decision_change {
    int32_t replicas[IMAGE_REPLICAS_MAX], adding[IMAGE_REPLICAS_MAX], removing[IMAGE_REPLICAS_MAX];
    uint32_t replica_count, adding_count, removing_count;
    int32_t isr[UINT8_MAX], elr[UINT8_MAX];
    uint32_t isr_count, elr_count;
    int32_t leader;  // -2: stays
    int8_t recovery; // -1: stays
};
enum { CHANGE_BYTES = 96, CHANGES_PER_WORK = 4 }; // of its record (and 8 a replica); how many are one unit of work

void decide_change_begin(struct decision_change *c, const struct image_partition *p);
// Leader becomes the first in the order of the replicas that is in sync and lives, else an eligible one, which then is the
// whole ISR, else nobody.
void decide_change_elect(struct decision_change *c, const struct image *i, const struct image_partition *p);
// Ends a move of replicas that has come to its end, and puts right what follows from other replicas than p has: ISR, ELR,
// a leader that goes, a new epoch for one that stays. True: the replicas change.
bool decide_change_settle(struct decision *d, const struct image_topic *t, const struct image_partition *p,
                          struct decision_change *c);
// Adds the record; a move under way is settled. p is of the view before it, which may be gone afterwards.
void decide_change_add(struct decision *d, struct uuid topic_id, int32_t partition, const struct image_partition *p,
                       struct decision_change *c);
// min.insync.replicas of the topic as it counts for p: no more than it has replicas.
uint32_t decide_min_isr(const struct decision *d, const struct image_topic *t, const struct image_partition *p);
bool decide_may_lead(const struct image *i, int32_t node);
bool decide_list_has(const int32_t *list, uint32_t count, int32_t node);
bool decide_list_drop(int32_t *list, uint32_t *count, int32_t node); // false: it was not there
// Keeps those that stand among the others (shared), or those that do not.
void decide_list_keep(int32_t *list, uint32_t *count, const int32_t *others, uint32_t other_count, bool shared);

// controller_reassign.c
void decide_reassign(struct decision *d, const struct alter_partition_reassignments_request *in,
                     struct alter_partition_reassignments_response *out);

// controller_cluster.c
void decide_unregister(struct decision *d, const struct unregister_broker_request *in,
                       struct unregister_broker_response *out);
void decide_update_features(struct decision *d, const struct update_features_request *in,
                            struct update_features_response *out);

// controller_elections.c. decide_change_elect(), and where that finds nobody: the last leader if nobody knows more, and
// where the configuration allows it, or `unclean` asks for it, any replica that lives.
void decide_elect(struct decision *d, const struct image_topic *t, const struct image_partition *p,
                  struct decision_change *c, bool unclean);
bool decide_unclean_allowed(const struct decision *d, const struct image_topic *t);
void decide_tend(struct decision *d, const struct controller_tend *in, struct controller_tend *out);

// controller_leaders.c. How a node goes: silent or killed, on request, as an older life of itself, or as one whose logs
// may lack what they held.
enum decide_leave {
    DECIDE_LEAVE_DEAD,
    DECIDE_LEAVE_SHUTDOWN,
    DECIDE_LEAVE_REPLACED,
    DECIDE_LEAVE_NOT_WHOLE, // it may have lost records that were not on disk
    DECIDE_LEAVE_OFFLINE,   // it cannot serve this one until its next start
    DECIDE_LEAVE_EMPTIED,   // it has other folders than before: nothing of its logs is left
};
// Takes it out of ISRs and leaderships, as many as fit into this batch. False: the rest goes into the next one.
bool decide_leave(struct decision *d, int32_t node, enum decide_leave how);
// It may lead again: partitions without a leader that it can lead get one.
bool decide_return(struct decision *d, int32_t node);
struct replicas_offline;
// The log folder of these replicas failed; as many as fit into this batch.
void decide_replicas_offline(struct decision *d, const struct replicas_offline *in);
struct alter_isr;
struct alter_isr_answer;
void decide_elect_leaders(struct decision *d, const struct elect_leaders_request *in,
                          struct elect_leaders_response *out);
void decide_alter_isr(struct decision *d, const struct alter_isr *in, struct alter_isr_answer *out);

// controller_partitions.c: adds `count` partitions with `factor` replicas each (replicas[n * factor + k], which stay as
// long as the progress) to a topic. Many are not all added at once: then d->unfinished is set, and the decision has to
// return; the rest is added before it is called again.
void decide_add_partitions(struct decision *d, struct uuid topic_id, int32_t first, uint32_t count, uint32_t factor,
                           const int32_t *replicas);
void decide_adding(struct decision *d); // the rest, or more of it
// Checks one manual list of replicas: registered nodes, each once; factor 0: any number.
struct decision_error decide_check_nodes(struct decision *d, const int32_t *ids, uint32_t count, uint32_t factor);
// The same, and one of them must be live: of new partitions.
struct decision_error decide_check_replicas(struct decision *d, const int32_t *ids, uint32_t count, uint32_t factor);
// The folder of a new replica: a node with one keeps it there; with several (zero) the node chooses.
struct uuid decide_directory(const struct image *i, int32_t node);
// Places partitions, with Kafka's sentence when it cannot be done. *out: arena.
struct decision_error decide_place(struct decision *d, uint32_t count, uint32_t factor, int32_t **out);

// controller_configs.c: a set of overrides from a request, sorted and checked. Names and values are copied.
struct decision_pair {
    struct bytes name, value;
};
struct decision_error decide_topic_overrides(struct decision *d, const struct decision_pair *pairs, uint32_t count,
                                             struct config_layer *out);
