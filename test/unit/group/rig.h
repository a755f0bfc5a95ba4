// SPDX-License-Identifier: Apache-2.0
//
// A core with a log and topics around it. Appends commit at once unless `hold`; what was committed is kept, so that a
// new core can be loaded from it at any time.
#pragma once

#include "group/classic.h"
#include "model/kerr.h"

enum { RIG_TOPICS_MAX = 8, RIG_LINES_MAX = 256 };

struct rig_log { // committed batches
    struct bytes *p;
    size_t count, cap;
};

struct rig {
    struct groups g;
    struct groups_config config;
    struct groups_host host;
    struct group_time now;
    uint64_t seed;
    struct rig_log log;
    struct group_topic topics[RIG_TOPICS_MAX];
    uint32_t topic_count;
    bool hold;
    enum rc fail; // what the next appends come to; RC_OK: committed
    struct trace_sink sink;
    char lines[RIG_LINES_MAX][200];
    uint32_t line_count;
    uint64_t appends;
};

// One call and its request; freed by rig_call_free().
struct rig_call {
    struct group_call call; // first
    struct arena arena;
    bool back;
    union {
        struct join_group_request join;
        struct sync_group_request sync;
        struct heartbeat_request heartbeat;
        struct leave_group_request leave;
        struct offset_commit_request commit;
        struct offset_delete_request delete;
        struct list_groups_request list;
        struct {
            struct group_fetch_request fetch;
            struct offset_fetch_request_group fetch_group;
        };
    };
};

void rig_host(struct rig *r); // what rig_begin() does before it makes the core
void rig_begin(struct rig *r);
void rig_end(struct rig *r);
void rig_stopped_end(struct rig *r); // the core was stopped and drained by the caller
void rig_log_keep(struct rig_log *l, struct bytes batch);
void rig_topic(struct rig *r, const char *name, int32_t partitions);
// Stops the core (appends in flight are lost) and loads a new one from the log.
void rig_reload(struct rig *r);
// Marks answered calls, takes appends and, unless held, ends them.
void rig_run(struct rig *r);
// Ends every append in flight with rc.
void rig_finish(struct rig *r, enum rc rc);
void rig_advance(struct rig *r, uint64_t ms); // time passes, deadlines fire one by one
void rig_apply_batch(struct groups *g, struct bytes batch);
// Committed records of this key version since the beginning; the last one's value.
uint32_t rig_records(const struct rig *r, int16_t key_version, struct bytes *last_value);
bool rig_logged(const struct rig *r, const char *part);

struct rig_call *rig_call_new(enum group_call_kind kind, int16_t version, const char *group);
void rig_send(struct rig *r, struct rig_call *c);
void rig_call_free(struct rig_call *c);

struct bytes rig_copied(struct rig_call *c, const char *s); // NULL stays null

// Made, not sent.
struct rig_call *rig_join_made(const char *group, const char *member, const char *instance, int16_t version,
                               const char *const *protocols, uint32_t count, const char *topic);
struct rig_call *rig_sync_made(const char *group, const char *member, int32_t generation, const char *const *assigned,
                               uint32_t count);
struct rig_call *rig_commit_made(const char *group, const char *member, int32_t generation, const char *topic,
                                 int32_t partition, int64_t offset);
struct rig_call *rig_delete_made(const char *group, const char *topic, int32_t partition); // OffsetDelete
const char *rig_state_of(struct rig *r, const char *group); // as it is inside

// Sent; protocols: "range" with metadata naming `topic`.
struct rig_call *rig_join(struct rig *r, const char *group, const char *member, const char *instance, int16_t version);
struct rig_call *rig_join_as(struct rig *r, const char *group, const char *member, const char *instance,
                             int16_t version, const char *const *protocols, uint32_t count, const char *topic);
struct rig_call *rig_sync(struct rig *r, const char *group, const char *member, int32_t generation,
                          const char *const *assigned, uint32_t count); // member, assignment, member, assignment, ...
struct rig_call *rig_commit(struct rig *r, const char *group, const char *member, int32_t generation, const char *topic,
                            int32_t partition, int64_t offset);
int16_t rig_heartbeat(struct rig *r, const char *group, const char *member, int32_t generation);
int64_t rig_committed(struct rig *r, const char *group, const char *topic, int32_t partition);
int16_t rig_delete(struct rig *r, const char *group);
const char *rig_state(struct rig *r, const char *group); // as DescribeGroups says

static inline struct join_group_response *rig_joined(struct rig_call *c)
{
    return c->call.response;
}

static inline struct sync_group_response *rig_synced(struct rig_call *c)
{
    return c->call.response;
}

int16_t rig_commit_error(struct rig_call *c); // of its first partition; frees it
const char *rig_text(struct bytes b);         // static, for comparison
struct bytes rig_subscription(struct arena *a, const char *topic);
// A group with one stable member; its id (static). v4 dance done.
const char *rig_stable(struct rig *r, const char *group);
// Durable state as text, groups sorted: equal states give equal text. Caller frees.
char *rig_state_text(const struct groups *g);
