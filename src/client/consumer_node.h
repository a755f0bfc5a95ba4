// SPDX-License-Identifier: Apache-2.0
//
// The fetches to one broker: private to the consumer's two files.
#pragma once

#include "client/consumer.h"

struct consumer_node {
    struct consumer_node *next;
    struct consumer *consumer;
    int32_t id;
    bool busy;
    bool full;          // the next request names every partition
    int32_t session_id; // 0: none
    int32_t epoch;
    struct client_request request;
    struct fetch_request in;
    struct fetch_request_topic *topics;
    struct fetch_request_partition *partitions;
    struct fetch_request_forgotten_topics_data *left_topics;
    int32_t *left;
    uint32_t cap; // of each
};

struct consumer_node *consumer_node_of(struct consumer *c, int32_t id); // made if need be; NULL: no memory
// Sends a fetch unless one is under way or there is nothing to ask for.
void consumer_node_pump(struct consumer_node *n);
void consumer_node_free(struct consumer_node *n);
void consumer_pump_later(struct consumer *c);
