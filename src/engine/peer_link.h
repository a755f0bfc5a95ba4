// SPDX-License-Identifier: Apache-2.0
//
// One connection between two nodes: frames in, frames out, nothing about their meaning. A frame is Kafka's: length, key,
// version, correlation id, a null client id, tags, then a message of proto/peer. What is urgent (heartbeats, votes and
// their answers) overtakes what is not; a frame that has begun to leave is finished first. Queues are bounded.
// On one shard, the one it was opened on.
#pragma once

#include "base/list.h"
#include "shard/shard.h"
#include "wire/peer_messages.h"

enum {
    PEER_FRAME_BYTES_MAX = 64 << 20,   // answers that list thousands of topics with their settings
    PEER_HELLO_BYTES_MAX = 64 << 10,   // while nothing is known of the other side
    PEER_URGENT_BYTES_MAX = 256 << 10, // unsent; beyond that a message is as good as lost on the way
    PEER_BULK_BYTES_MAX = 16 << 20,    // unsent, or one frame of any size
};

enum peer_class { PEER_URGENT, PEER_BULK, PEER_CLASSES };

// A frame as received; body is a view, valid during the call.
struct peer_frame {
    int16_t key, version;
    int32_t correlation;
    struct bytes body;
};

struct peer_link;

// Every hook may call peer_link_close(). Memory of the link must stay until the shard's next turn.
struct peer_link_hooks {
    void (*stands)(struct peer_link *l); // an outgoing connection stands
    void (*frame)(struct peer_link *l, const struct peer_frame *f);
    // The other side is gone: RC_EOF, RC_RESET, RC_REFUSED (nobody listens there), RC_MALFORMED (it talks
    // nonsense). The link is closed already.
    void (*ended)(struct peer_link *l, enum rc rc);
};

struct peer_outgoing;

struct peer_link {
    struct shard *shard;
    const struct peer_link_hooks *hooks;
    bool open, connecting;
    size_t frame_bytes_max; // accepted from the other side
    // private
    struct io_sock sock;
    struct buf in;
    struct list out[PEER_CLASSES]; // struct peer_outgoing
    size_t out_bytes[PEER_CLASSES];
    struct peer_outgoing *leaving; // has begun to leave
    struct shard_task flush, reading;
    bool finishing; // close when all is sent
};

// Zeroed memory. A connection to addr; stands() or ended() follows, never inside the call.
enum rc peer_link_connect(struct peer_link *l, struct shard *s, const struct peer_link_hooks *hooks,
                          const struct io_addr *addr);
// An accepted one. On error it has been closed.
enum rc peer_link_accept(struct peer_link *l, struct shard *s, const struct peer_link_hooks *hooks, int fd);
// Closes at once and drops what is unsent; no hook runs any more.
void peer_link_close(struct peer_link *l);
// Closes when what is queued has left; nothing is read any more. No hook runs.
void peer_link_finish(struct peer_link *l);

// Queues a message; it leaves at the end of this turn. RC_FULL: the queue is full; RC_CLOSED; RC_NOMEM;
// RC_MESSAGE_TOO_LARGE.
enum rc peer_link_send(struct peer_link *l, const struct schema_message *m, int32_t correlation, const void *message,
                       enum peer_class class);
// Everything has left and nothing was received that is not handed over: lets go of the connection and returns its
// descriptor, for io_sock_adopt() or io_sock_refuse() in the same call chain. Negative: not so, or no descriptor is left;
// the link is closed then. No hook runs any more.
int peer_link_release(struct peer_link *l);

// A whole frame, length and header and message, appended to an empty b. RC_MESSAGE_TOO_LARGE, RC_NOMEM.
enum rc peer_frame_build(const struct schema_message *m, int32_t correlation, const void *message, struct buf *b);
// Splits a frame (without its length). RC_MALFORMED.
enum rc peer_frame_parse(struct bytes in, struct peer_frame *out);
