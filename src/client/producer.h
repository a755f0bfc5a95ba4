// SPDX-License-Identifier: Apache-2.0
//
// Sends records. Each partition has one batch being filled and a queue of full ones; a batch leaves when it is full,
// when it has lingered, or at a flush. Requests to one broker are pipelined and carry at most one batch a partition.
// What fails in a way that may pass is sent again, in order: a partition waits until nothing of it is in flight, then
// starts again with its oldest batch. Idempotent: at most five batches of a partition in flight, numbered, so that the
// broker drops what it has already; otherwise one. Belongs to one shard. Nothing is allocated per record.
#pragma once

#include "client/client.h"
#include "wire/batch.h"

enum { PRODUCER_REQUEST_BATCHES_MAX = 64, PRODUCER_IN_FLIGHT_MAX = 16 };

struct producer;
struct producer_partition;

// One batch came to its end: rc RC_OK and base_offset (-1 when acks is 0 or the broker had it already), or not: then
// error_code is Kafka's, or 0 when no broker said anything, and rc the transport's.
struct producer_delivery {
    const struct client_topic *topic;
    int32_t partition;
    enum rc rc;
    int16_t error_code;
    struct bytes message; // the broker's words; may be empty
    int64_t base_offset;
    int32_t record_count;
    size_t bytes;
};

typedef void (*producer_report_fn)(struct producer *p, const struct producer_delivery *d);

struct producer_config {
    enum codec codec;
    int level;
    int16_t acks; // -1 all, 1, 0
    bool idempotent;
    uint32_t linger_ms;
    uint32_t batch_bytes;         // uncompressed; a longer record has a batch of its own
    uint32_t record_bytes_max;    // such a record at most
    uint32_t request_bytes;       // of batches in one request; one batch always goes
    uint32_t requests_in_flight;  // to one broker, at most PRODUCER_IN_FLIGHT_MAX
    uint32_t delivery_timeout_ms; // from the first attempt on
    size_t memory_bytes;          // buffered before producer_send() says RC_FULL
    producer_report_fn report;    // may be NULL
    void *owner;
};

struct producer_config producer_config_default(void);

struct producer_record {
    struct bytes key, value; // p NULL: null
    const struct record_header *headers;
    uint32_t header_count;
    int64_t timestamp;
    int32_t partition; // -1: by the key, or one that changes batch by batch when there is none
};

struct producer_batch; // private

struct producer_partition {
    struct producer *producer;
    struct producer_topic *topic;
    int32_t index;
    struct batch_builder open;
    struct list_node open_link; // among those with records in `open`, oldest first
    uint64_t open_since_ns;
    struct list batches;         // full ones, in order; those in flight come first
    struct list_node ready_link; // among those that may send
    uint32_t in_flight;
    bool recovering;       // something failed: nothing new goes until in_flight is 0
    int32_t lost_sequence; // of the oldest batch lost for good since then, or -1
    uint64_t retry_ns;
};

struct producer_topic {
    struct client_topic *topic;
    struct producer_partition **partitions;
    int32_t count;
    int32_t sticky; // for records without a key
    struct producer_topic *next;
};

struct producer_request; // private

struct producer {
    struct client *client;
    struct producer_config config;
    int64_t producer_id;
    int16_t producer_epoch;
    bool failed;  // something was lost for good; the client's error says what
    bool stopped; // nothing is sent any more: what was lost may have been written
    uint64_t records_sent, bytes_sent, records_failed, retries;
    size_t buffered_bytes;
    uint32_t pending_batches;
    // private
    void *workspace; // of the codec
    struct producer_topic *topics;
    struct producer_request *requests; // all ever made, busy or not
    struct list open_partitions, ready;
    struct producer_batch *free_batches;
    struct shard_timer timer;
    struct shard_task drain;
    struct client_watch watch;
};

// Asks for a producer id when idempotent; waits. RC_UNSUPPORTED_VERSION when the broker has none to give; the client's
// error explains.
enum rc producer_init(struct producer *p, struct client *c, const struct producer_config *config);
// Drops what is not sent. Only when nothing is in flight (producer_flush()), or after the client's connections ended.
void producer_deinit(struct producer *p);

// Makes a topic known; its metadata must be there (client_topic_wait()). NULL: no memory.
struct producer_topic *producer_topic_open(struct producer *p, struct client_topic *t);

// Puts one record into its batch; all bytes are copied. RC_FULL: memory_bytes are waiting, turn the shard and try
// again. RC_RECORD_LIST_TOO_LARGE: longer than record_bytes_max. RC_INVALID: no such partition. RC_NOMEM.
enum rc producer_send(struct producer *p, struct producer_topic *t, const struct producer_record *r);
// Closes every open batch now.
void producer_push(struct producer *p);
// producer_push() and waits until all has come to its end. RC_OK when nothing failed since producer_init().
enum rc producer_flush(struct producer *p);
