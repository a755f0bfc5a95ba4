// SPDX-License-Identifier: Apache-2.0
//
// Requests for the controller as bodies of Forward and ForwardAnswer: Kafka's own messages where the request is one,
// proto/peer's for the rest.
#pragma once

#include "engine/quorum.h"

// Appends the request of op as a message of *version. RC_NOMEM, RC_MESSAGE_TOO_LARGE.
enum rc quorum_request_encode(const struct quorum_op *op, struct buf *out, int16_t *version);
// Reads it into memory of a that *request and *answer (of the right size, initialised) then point to; strings are views
// of body. RC_MALFORMED, RC_UNSUPPORTED (the kind), RC_UNSUPPORTED_VERSION, RC_NOMEM.
enum rc quorum_request_decode(int kind, int16_t version, struct bytes body, struct arena *a, void **request,
                              void **answer);
enum rc quorum_answer_encode(const struct quorum_op *op, struct buf *out);
// Into op->answer; what it points to is copied into op->arena.
enum rc quorum_answer_decode(struct quorum_op *op, struct bytes body);

// Errors between nodes are Kafka's codes; the word for one that a decision may give.
enum rc quorum_rc_of(int16_t code);
