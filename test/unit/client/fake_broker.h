// SPDX-License-Identifier: Apache-2.0
//
// A broker for tests: listens on loopback on the test's own shard, takes whole requests apart and lets the test answer
// them. ApiVersions and Metadata (one broker, itself; one topic, "t") are answered by itself.
#pragma once

#include "client/client.h"

enum { FAKE_CONNECTIONS_MAX = 8 };

struct fake_broker;
struct fake_connection {
    struct fake_broker *broker;
    struct io_sock sock;
    bool open;
    uint8_t in[1 << 20];
    size_t in_bytes;
};

struct fake_request {
    struct fake_connection *from;
    int16_t key, version;
    int32_t correlation_id;
    struct bytes body; // until the handler returns
};
typedef void (*fake_handler_fn)(struct fake_broker *f, const struct fake_request *r);

struct fake_broker {
    struct io *io;
    struct shard_group group;
    struct shard *shard;
    struct io_listener listener;
    struct fake_connection connections[FAKE_CONNECTIONS_MAX];
    uint32_t accepted;         // connections so far
    int16_t hello_version_max; // answers ApiVersions above this with error 35
    int32_t partition_count;
    fake_handler_fn handler; // for everything else; NULL: no answer
    void *owner;
    char address[32]; // for client_config.bootstrap
};

void fake_broker_open(struct fake_broker *f);
// Cuts the client's connections.
void fake_broker_cut(struct fake_broker *f);
void fake_broker_close(struct fake_broker *f);
void fake_broker_answer(struct fake_broker *f, const struct fake_request *r, const struct schema_message *m,
                        const void *answer);
// A client of it that has read the metadata of topic "t".
void fake_broker_client(struct fake_broker *f, struct client *c, struct client_topic **t);
