// SPDX-License-Identifier: Apache-2.0
//
// One request on its way to a broker and back. The owner embeds it, fills in what is asked and hands it to a connection
// (client/connection.h); the message is encoded only when the broker's versions are known, so `in` must stay until
// done() runs. Record bytes are never copied: they travel as holes (wire/enc.h) whose token is their address.
#pragma once

#include <sys/uio.h>

#include "base/list.h"
#include "wire/messages.h"

struct client_request;

// rc RC_OK: body is the answer behind its header, in r->version; it lives until done() returns. Else why there is none:
// RC_TIMED_OUT, RC_RESET, RC_REFUSED, RC_UNREACHABLE, RC_UNSUPPORTED_VERSION (the broker lacks it), RC_NOMEM,
// RC_MALFORMED. r may be used again from here on.
typedef void (*client_done_fn)(struct client_request *r, enum rc rc, struct bytes body);

struct client_request {
    const struct schema_message *message;
    const void *in;
    int16_t version_max; // of the caller; the broker's and the message's own limit it further
    bool no_answer;      // Produce with acks 0: done() when the last byte was sent
    uint32_t timeout_ms; // from submission to answer
    client_done_fn done;
    struct enc_hole *holes; // room for the holes of the message, or NULL
    uint32_t holes_max;

    // set by the connection
    int16_t version;
    // private
    bool busy;
    int32_t correlation_id;
    uint64_t deadline_ns;
    struct list_node link;
    struct buf frame; // kept from use to use; freed by client_request_deinit()
    uint32_t hole_count;
    size_t sent_bytes, wire_bytes;
};

enum { CLIENT_FRAME_BYTES_MAX = 1 << 30 };

void client_request_init(struct client_request *r, const struct schema_message *message, uint32_t timeout_ms);
// Not while busy.
void client_request_deinit(struct client_request *r);

// Encodes the whole frame in r->version. RC_NOMEM, or RC_INVALID when something in it is too long for the wire.
enum rc client_request_encode(struct client_request *r, int32_t correlation_id, struct bytes client_id);

// Fills at most vec_max vecs with what is left to send from byte r->sent_bytes on; returns how many.
unsigned client_request_vecs(const struct client_request *r, struct iovec *vecs, unsigned vec_max);
