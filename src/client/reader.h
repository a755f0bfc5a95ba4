// SPDX-License-Identifier: Apache-2.0
//
// Reads topics as a member of a group: takes on what the group assigns, begins where the group stopped or where the
// policy says, commits what its owner has dealt with, before it gives a partition up and in between. The owner turns
// the shard and calls reader_poll() between turns, as often as it can: records come in the turns, partitions change
// hands and offsets are committed in the poll. One shard owns it.
#pragma once

#include "client/consumer.h"
#include "client/membership.h"

enum reader_reset { READER_RESET_LATEST, READER_RESET_EARLIEST, READER_RESET_NONE, READER_RESET_TIME };

struct reader;
struct reader_partition;

// One record batch of a partition: consumer_batch_fn's, with p->position as `from`. What was dealt with is what the
// owner says in p->position; behind the last batch of an answer it is set to where reading goes on.
typedef void (*reader_batch_fn)(struct reader *r, struct reader_partition *p, const struct batch_header *h,
                                struct bytes batch, int64_t from);
// Partitions came or are about to go. Inside reader_poll(). lost: they are gone already.
typedef void (*reader_assigned_fn)(struct reader *r, const struct membership_set *partitions);
typedef void (*reader_revoked_fn)(struct reader *r, const struct membership_set *partitions, bool lost);
// A commit was answered: every offset with its error. Inside reader_poll() and reader_commit().
struct group_offset;
typedef void (*reader_committed_fn)(struct reader *r, const struct group_offset *offsets, uint32_t count, enum rc rc);
// Everything an answer brought was handed on: the time to write out what is gathered, before it counts. May be NULL.
typedef void (*reader_progress_fn)(struct reader *r, struct reader_partition *p);

struct reader_config {
    struct membership_config membership;
    struct consumer_config consumer; // its callbacks and owner are the reader's to set
    enum reader_reset reset;
    int64_t reset_timestamp; // for READER_RESET_TIME, in milliseconds
    uint32_t auto_commit_ms; // 0: only when asked to
    uint32_t commit_timeout_ms;
    reader_batch_fn batch;
    reader_assigned_fn assigned; // may be NULL, as the next two
    reader_revoked_fn revoked;
    reader_committed_fn committed;
    reader_progress_fn progress;
    void *owner;
};

struct reader_config reader_config_default(const char *group_id);

struct reader_partition {
    struct reader_partition *next;
    struct reader *reader;
    struct client_topic *topic;
    int32_t index;
    int64_t position;                   // the owner has dealt with what is below
    int64_t committed;                  // of this partition, as last heard or said; -1: nothing
    struct consumer_partition *reading; // NULL: where to begin is not known yet
    bool reset;                         // the policy has to say where
    bool to_end;                        // it said a time that no record has
};

struct reader {
    struct client *client;
    struct reader_config config;
    struct membership membership;
    struct consumer consumer;
    struct reader_partition *partitions;
    bool failed; // for good: code and the client's error say why
    int16_t code;
    // private
    bool open;
    uint64_t commit_due_ns, look_due_ns;
};

// The topics must be known (client_topic_wait()). Joins from the first turn on. RC_NOMEM.
enum rc reader_init(struct reader *r, struct client *c, const struct reader_config *config,
                    struct client_topic *const *topics, uint32_t topic_count);
// What is due. RC_OK, or RC_CLOSED once it has failed for good.
enum rc reader_poll(struct reader *r);
// Commits every position that is ahead of what was committed, and waits. RC_OK: all of it stands.
enum rc reader_commit(struct reader *r);
// Commits where auto_commit_ms is set, says goodbye to partitions and group. Then only reader_deinit() is left. Not
// RC_OK: what was dealt with since the last commit is not committed; the client's error says why.
enum rc reader_close(struct reader *r, uint32_t wait_ms);
// After client_close(): fetches are under way.
void reader_deinit(struct reader *r);
