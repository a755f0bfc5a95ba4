// SPDX-License-Identifier: Apache-2.0
//
// Moving replicas, as weir admin reassign, weir admin brokers drain and kafka-reassign-partitions do it: plans, what they
// ask brokers, throttles. cli->client is connected; functions that ask return false after a message.
#pragma once

#include "cli/cli.h"
#include "wire/messages.h"

struct reassign_move {
    const char *topic; // in the arena
    int32_t partition;
    const int32_t *replicas;
    uint32_t count;
    const char *const *dirs; // one a replica, NULL for "any"; NULL: any for all
};

struct reassign_plan {
    struct reassign_move *moves; // by topic and partition
    uint32_t count;
    const char *wrong; // why a text was refused
};

// {"version":1,"partitions":[{"topic":"a","partition":0,"replicas":[1,2],"log_dirs":["any","/d"]}]}. False: wrong says why.
// Pure.
bool reassign_parse(const char *text, struct arena *a, struct reassign_plan *out);
void reassign_sort(struct reassign_plan *p);
// The same text for a plan, as Kafka writes it, with log_dirs.
void reassign_print(const struct reassign_plan *p, struct buf *out);
// The names in {"topics":[{"topic":"a"}],"version":1}. NULL: *wrong says why. Pure.
const char **reassign_parse_topics(const char *text, struct arena *a, uint32_t *count, const char **wrong);

const struct metadata_response_partition *reassign_find(const struct metadata_response *all, const char *topic,
                                                        int32_t partition);
// What is under way, everywhere.
bool reassign_ask_list(struct cli *cli, struct list_partition_reassignments_response *out);
const struct list_partition_reassignments_response_partition *
reassign_under_way(const struct list_partition_reassignments_response *list, const char *topic, int32_t partition);
// Sets the targets, or cancels. One answer a move, in its order; codes are the caller's to look at.
bool reassign_ask_alter(struct cli *cli, const struct reassign_plan *p, bool cancel, bool factor_may_change,
                        struct alter_partition_reassignments_response_partition **out);

// Throttles the copying that the plan and what is under way cause to rate bytes a second and broker.
bool reassign_throttle(struct cli *cli, const struct reassign_plan *p, const struct metadata_response *all,
                       const struct list_partition_reassignments_response *list, int64_t rate);
// Throttles the moves between log folders of the brokers of the plan.
bool reassign_throttle_dirs(struct cli *cli, const struct reassign_plan *p, const struct metadata_response *all,
                            int64_t rate);
// Takes away the throttles of these brokers and topics.
bool reassign_unthrottle(struct cli *cli, const int32_t *brokers, uint32_t broker_count, const char *const *topics,
                         uint32_t topic_count);
// Every broker there is and in the plan; every topic of the plan, each once.
int32_t *reassign_brokers(struct cli *cli, const struct reassign_plan *p, const struct metadata_response *all,
                          uint32_t *count);
const char **reassign_topics(struct cli *cli, const struct reassign_plan *p, uint32_t *count);

// Puts the partitions of topics on these brokers, racks in turn unless told not to. NULL: *wrong says why.
const char *reassign_place(struct cli *cli, const struct metadata_response *all, const char *const *topics,
                           uint32_t topic_count, const int32_t *brokers, uint32_t broker_count, bool by_rack,
                           struct reassign_plan *current, struct reassign_plan *proposed);

// Waits until nothing of the plan is under way any more and shows on standard error how far it is, how fast, how long
// yet, and what it waits for. False after a message.
bool reassign_follow(struct cli *cli, const struct reassign_plan *p);
