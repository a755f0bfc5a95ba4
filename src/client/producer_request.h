// SPDX-License-Identifier: Apache-2.0
//
// How full batches travel: private to the producer's two files.
#pragma once

#include "client/producer.h"

struct producer_batch {
    struct list_node link; // in its partition's queue
    struct producer_batch *next_free;
    struct producer_partition *partition;
    struct buf bytes; // the batch as it is sent
    int32_t record_count;
    bool in_flight, attempted;
    uint64_t deadline_ns; // when it is given up
};

struct producer_request {
    struct producer_request *next;
    struct producer *producer;
    struct client_request request;
    int32_t node_id;
    uint32_t count;
    struct producer_batch *batches[PRODUCER_REQUEST_BATCHES_MAX];
    struct produce_request in;
    struct produce_request_topic_data topics[PRODUCER_REQUEST_BATCHES_MAX];
    struct produce_request_partition_data partitions[PRODUCER_REQUEST_BATCHES_MAX];
    struct enc_hole holes[PRODUCER_REQUEST_BATCHES_MAX];
};

// In producer.c.
void producer_batch_release(struct producer *p, struct producer_batch *b); // for reuse
void producer_timer_set(struct producer *p);

// In producer_request.c.
// The partition may have something to send: puts it among those that do, if so.
void producer_partition_ready(struct producer_partition *pp);
void producer_drain_later(struct producer *p);
// When the first partition that waits before it tries again may do so, or UINT64_MAX.
uint64_t producer_next_retry_ns(const struct producer *p);
void producer_metadata_changed(struct client_watch *w, enum rc rc);
void producer_requests_deinit(struct producer *p);
