// SPDX-License-Identifier: Apache-2.0
//
// A log on its way to another log folder of its node (KIP-113): its future is a log of its own there, in a folder that is
// called "<topic>-<partition>.<uuid>-future" as Kafka calls it, filled by the engine with what the current one holds and
// put in its place when it has all of it.
//
// What makes the change safe, in this order; from 1 to 4 nothing is appended to the current log:
//
//   1. plog_future_seal()    the future has every batch; epochs and producers are the current log's
//   2. a sync of its folder  and it has all that on the disk
//   3. plog_future_record()  the checkpoint there has the log's entry, durably, with one more move than the current one's
//   4. plog_future_name()    its folder gets the log's name, and a sync of the folder makes the name durable
//   5. plog_future_take()    the current folder becomes "-delete", the log goes on in the new one
//
// A start that finds the log's name in two folders believes the one whose checkpoint has seen more moves: a power cut may
// undo the renaming of 5, and never that of 4 without what 3 wrote standing. A move that is given up after 3 must say so
// first, by plog_future_disown(). A "-future" folder that a start finds had not got its name, so nothing counts on it.
#pragma once

#include "store/log.h"

// In the checkpoint a future goes by an id of its own, which no start believes.
enum { FUTURE_PARTITION_BIT = 1 << 30 };

static inline bool future_is_id(struct topic_partition id)
{
    return (id.partition & FUTURE_PARTITION_BIT) != 0;
}

// Attaches f, empty, as the future of `l` in dir; it begins at offset. config is borrowed: nothing of it may delete, compact
// or force syncs. RC_OFFLINE, RC_NOMEM.
enum rc plog_attach_future(struct plog *f, const struct plog *l, struct log_dir *dir, const struct plog_config *config,
                           int64_t offset);
// Makes its folder and first file. RC_NO_SPACE, RC_NO_FILES, RC_IO.
enum rc plog_future_make(struct plog *f);
// Step 1. Both are idle, open and end at the same offset. Inline. RC_IO and the like: the folder of f may be offline.
enum rc plog_future_seal(struct plog *f, struct plog *l);

// Steps 3 and disowning: several records, one after the other, the last one synced. Zeroed before first use; must stay until
// done().
struct plog_future_op {
    void (*done)(struct plog_future_op *op, enum rc rc);
    // private
    struct log_dir_op dir_op;
    struct log_dir *dir;
    struct checkpoint_record records[6];
    uint32_t count, at;
};
// Step 3; also again, when the start of l has risen since. done() may come from inside.
void plog_future_record(const struct plog *f, const struct plog *l, struct plog_future_op *op);
// The current log is the one to believe, whatever the other folder's checkpoint has: durably, in its own. l->moves follows.
void plog_future_disown(struct plog *l, struct plog_future_op *op);
// Step 4 without the sync. RC_EXISTS: something has that name there; nothing was changed.
enum rc plog_future_name(struct plog *f, const struct plog *l);
// Step 5: l is detached and attached again where f was, at rest. Both are idle; f is given up. RC_OFFLINE, RC_NOMEM: l is
// detached for good.
enum rc plog_future_take(struct plog *l, struct plog *f, struct bytes topic_name);
// A future that is given up: f, idle, is deleted and detached.
void plog_future_drop(struct plog *f);

// [boot] A "-future" folder: dir forgets what it knew of its partition, durably, unless the log itself lies there too, and
// the folder becomes "-delete". False: it could not be.
bool log_dir_drop_future(struct log_dir *d, const char *folder, struct topic_partition id, bool log_is_there);
// [boot] A folder whose log has moved on becomes "-delete", and is forgotten.
bool log_dir_drop_moved(struct log_dir *d, const char *folder, struct topic_partition id);
