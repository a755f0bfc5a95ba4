// SPDX-License-Identifier: Apache-2.0
//
// What brokers say about consumer groups, gathered: the commands of weir admin groups and Kafka's tool names print it,
// each in its own words. Private to the cli room. Everything gathered lives in cli->arena.
#pragma once

#include "cli/cli.h"
#include "client/group_offsets.h"

enum { GROUPS_UNKNOWN = -1 };

// Kafka's codes that get words of their own here.
enum {
    KERR_GROUPS_UNKNOWN_TOPIC = 3,
    KERR_GROUPS_UNKNOWN_MEMBER = 25,
    KERR_GROUPS_UNSUPPORTED_VERSION = 35,
    KERR_GROUPS_NON_EMPTY = 68,
    KERR_GROUPS_NOT_FOUND = 69,
    KERR_GROUPS_SUBSCRIBED = 86,
};

struct groups_listed {
    struct bytes id, protocol_type, state, type; // state and type p NULL: the broker is too old to say
    int32_t broker;
};

struct groups_partition {
    struct bytes topic;
    int32_t index;
};

struct groups_member {
    struct bytes id, instance_id, rack, client_id, host; // instance_id.p NULL: a dynamic member
    int32_t epoch;                                       // GROUPS_UNKNOWN in classic groups
    struct groups_partition *assigned, *target;          // target: of the new protocol
    uint32_t assigned_count, target_count;
};

struct groups_event {
    int64_t timestamp_ms;
    int32_t generation;
    struct bytes text;
};

// Where a group stands in one partition. Numbers are GROUPS_UNKNOWN when nobody could tell.
struct groups_row {
    struct bytes topic;
    int32_t partition, leader_epoch;
    int64_t offset; // committed
    int64_t log_start, log_end;
    int64_t lag;
    int64_t lag_ms; // age of the record at the committed offset; 0 when there is none
    struct bytes metadata;
    const struct groups_member *member; // NULL: nobody reads it
};

struct groups_group {
    const char *id;
    bool exists;
    int32_t coordinator_id;
    const char *coordinator_host;
    uint16_t coordinator_port;
    struct bytes state, protocol_type, assignor;
    bool new_protocol;
    int32_t epoch, assignment_epoch; // GROUPS_UNKNOWN in classic groups
    struct groups_member *members;
    uint32_t member_count;
    struct groups_event *events;
    uint32_t event_count;
    struct groups_row *rows; // by topic and partition; groups_gather_rows()
    uint32_t row_count;
};

// All of these: false, or an exit code, after a message.

// Asks every broker. states and types may be empty lists; brokers too old to filter are filtered here.
bool groups_gather_list(struct cli *cli, const struct cli_list *states, const struct cli_list *types,
                        struct groups_listed **list, uint32_t *count);
// State, members and events. A group that is not there is no failure: g->exists says so.
bool groups_gather(struct cli *cli, const char *id, struct groups_group *g);
// Offsets and where the logs end, of what is committed and of what members have. with_time: lag_ms too, for which the
// record at each committed offset is read.
bool groups_gather_rows(struct cli *cli, struct groups_group *g, bool with_time);
// The rows' log_start and log_end, for rows whose topics exist.
bool groups_gather_logs(struct cli *cli, struct groups_row *rows, uint32_t count);
// lag_ms of every row, groups_lag.c.
bool groups_gather_times(struct cli *cli, struct groups_row *rows, uint32_t count);
// offsets.retention.minutes of the coordinator in ms, or GROUPS_UNKNOWN.
int64_t groups_retention_ms(struct cli *cli, int32_t broker);

// Asks the group's coordinator, looking it up again while it moves or loads. code_of reads the error out of the answer.
typedef int16_t (*groups_code_fn)(const void *answer);
bool groups_ask(struct cli *cli, const char *id, const struct schema_message *request, const void *in,
                const struct schema_message *answer, void *out, groups_code_fn code_of, int32_t *coordinator);

// "topic" or "topic:0,1,2": the partitions meant, appended. Needs a connection: without numbers it means all there are.
// An exit code.
int groups_parse_topic(struct cli *cli, const char *text, struct groups_partition **list, uint32_t *count);

// "Stable" is active: its members' positions are in their hands.
bool groups_is_inactive(const struct groups_group *g);
// The text of bytes, for printf.
const char *groups_text(struct cli *cli, struct bytes b);
