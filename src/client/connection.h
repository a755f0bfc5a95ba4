// SPDX-License-Identifier: Apache-2.0
//
// One connection to one broker: connects when first asked, learns the broker's versions (ApiVersions, falling back to
// version 0 as KIP-511 has it), then pipelines requests and matches answers by correlation id. It never retries: what
// was on it when it broke is given back with the cause, and the next request connects again, not before the backoff.
// Belongs to one shard; every done() runs on it, never inside client_connection_submit().
#pragma once

#include "client/request.h"
#include "shard/shard.h"

enum { CLIENT_API_KEYS_MAX = 128, CLIENT_RECEIVE_BYTES = 65536, CLIENT_BACKOFF_MS = 50, CLIENT_BACKOFF_MS_MAX = 1000 };

enum client_connection_state {
    CLIENT_DOWN,       // nothing there; with waiting requests: backing off
    CLIENT_CONNECTING, // the socket is under way
    CLIENT_ASKING,     // ApiVersions is in flight
    CLIENT_UP,
};

struct client_versions {
    int16_t min, max; // max -1: the broker does not have it
};

struct client_connection {
    struct shard *shard;
    const char *client_id, *software_version; // borrowed
    char host[IO_HOST_BYTES_MAX];
    uint16_t port;
    uint32_t connect_timeout_ms;
    enum client_connection_state state;
    struct client_versions versions[CLIENT_API_KEYS_MAX]; // valid once it was up
    enum rc last_error;                                   // of the last failed attempt, RC_OK while all is well
    void *owner;
    uint64_t sent_bytes, received_bytes;
    uint32_t in_flight; // requests submitted and not done
    // private
    bool socket_open, closing;
    struct io_addr addr;
    struct io_sock sock;
    struct list waiting; // not encoded yet
    struct list unsent;  // encoded, the first perhaps half sent
    struct list sent;    // answers come in this order
    struct shard_timer timer;
    struct shard_task flush;
    struct shard_task fail;
    uint64_t state_deadline_ns;
    uint32_t backoff_ms;
    int32_t correlation_id;
    struct client_request hello; // ApiVersions
    struct api_versions_request hello_in;
    uint8_t *receive;
    size_t receive_bytes, receive_at, receive_cap;
};

// host is copied. Nothing is opened yet.
void client_connection_init(struct client_connection *c, struct shard *shard, const char *host, uint16_t port,
                            const char *client_id, const char *software_version);
// Gives everything on it back with RC_CLOSED and closes. Not from inside a done().
void client_connection_deinit(struct client_connection *c);

// Queues r. r->done() always runs, once.
void client_connection_submit(struct client_connection *c, struct client_request *r);
// Sends what is queued now and not at the end of the turn; allowed inside a done(), whose body stays valid. Only for
// requests that are answered, and that the broker supports.
void client_connection_push(struct client_connection *c);
