// SPDX-License-Identifier: Apache-2.0
//
// Reads assigned partitions: one fetch in flight a broker, in a fetch session (KIP-227), the next one sent before the
// data of the last is handed on. Batches come as they lie in the log; what is behind the asked offset, control batches
// and, with read_committed, aborted ones are for the consumer alone. Follows leaders by itself. One shard owns it.
#pragma once

#include "client/client.h"
#include "wire/batch.h"

struct consumer;
struct consumer_partition;

// A batch, whole and with its header read; it lives until the call returns. Records below `from` were not asked for.
typedef void (*consumer_batch_fn)(struct consumer *c, struct consumer_partition *p, const struct batch_header *h,
                                  struct bytes batch, int64_t from);
// A partition cannot go on (Kafka's code, or 0 and rc): OFFSET_OUT_OF_RANGE and whatever does not pass by itself. It is
// stopped; consumer_seek() starts it again.
typedef void (*consumer_error_fn)(struct consumer *c, struct consumer_partition *p, enum rc rc, int16_t code);
// A fetch of this partition was answered; all it brought has been handed on and p->offset is where the next begins.
typedef void (*consumer_progress_fn)(struct consumer *c, struct consumer_partition *p);

struct consumer_config {
    uint32_t min_bytes, max_bytes, partition_bytes;
    uint32_t max_wait_ms;
    bool read_committed;
    bool check_crc;
    consumer_batch_fn batch;
    consumer_error_fn error;
    consumer_progress_fn progress; // may be NULL
    void *owner;
};

struct consumer_config consumer_config_default(void);

struct consumer_topic {
    struct consumer_topic *next;
    struct client_topic *topic;
    struct consumer_partition **partitions; // by number; NULL: not assigned
    int32_t count;
};

struct consumer_partition {
    struct consumer_partition *next; // in the consumer
    struct consumer_topic *topic;
    int32_t index;
    int64_t offset;         // of the next fetch
    int64_t high_watermark; // as last heard, -1 before
    int64_t log_start;
    bool stopped;
    void *owner;
    // private
    struct consumer_node *node; // in whose session it is, or NULL
    struct consumer_node *left; // whose session is to forget it with the next request, or NULL
    int64_t session_offset;     // what that session knows
    uint64_t retry_ns;
    uint32_t bytes_max;
};

struct consumer_node; // private

struct consumer {
    struct client *client;
    struct consumer_config config;
    struct consumer_partition *partitions;
    struct consumer_partition *dropped; // unassigned, until nothing that runs can know them
    uint64_t fetches, bytes;            // answers, and record bytes in them
    bool stopped;                       // consumer_stop(): nothing is handed on any more
    // private
    struct consumer_topic *topics;
    struct consumer_node *nodes;
    struct shard_timer timer;
    struct shard_task pump;
    struct client_watch watch;
};

enum rc consumer_init(struct consumer *c, struct client *client, const struct consumer_config *config);
// After the client's connections ended, or when no fetch is in flight.
void consumer_deinit(struct consumer *c);

// Reads a partition from offset on (a real one: client_list_offsets() finds those). Once for each. NULL: no memory.
struct consumer_partition *consumer_assign(struct consumer *c, struct client_topic *t, int32_t index, int64_t offset);
void consumer_seek(struct consumer *c, struct consumer_partition *p, int64_t offset);
// Gives the partition up; p is gone with the turn. Not from inside the callbacks.
void consumer_unassign(struct consumer *c, struct consumer_partition *p);
// Hands on nothing more of this partition / of any. Allowed inside the callbacks.
void consumer_pause(struct consumer_partition *p);
void consumer_stop(struct consumer *c);
// After consumer_stop(): turns until no fetch is in flight, so that the client can be used on.
void consumer_settle(struct consumer *c);
