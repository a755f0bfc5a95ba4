// SPDX-License-Identifier: Apache-2.0
//
// What stands around a message: four bytes of length, then a header. The length is read by whoever owns the socket; a
// `frame` here is what it counts. Pure; any thread.
#pragma once

#include "wire/schema.h"

enum {
    FRAME_LENGTH_BYTES = 4,
    FRAME_HEADER_BYTES_MIN = 8, // api key, api version, correlation id: enough to choose a pool (DESIGN: memory)
};

struct frame_request {
    int16_t api_key, api_version;
    int32_t correlation_id;
    struct bytes client_id;               // view; p == NULL when null
    const struct schema_message *message; // the request's table; NULL when the key is unknown
};

// The tables of an API by key, or NULL. Their `name` is Kafka's ("Produce"); versions are all that proto/ describes, of
// which the broker may advertise fewer.
const struct schema_message *wire_request_find(int16_t api_key);
const struct schema_message *wire_response_find(int16_t api_key);

// Reads a request header; *body is left at the message. Keys and versions beyond the tables still give every field of
// the header that can be read, so that an answer or a log line can be made:
// RC_UNSUPPORTED (key), RC_UNSUPPORTED_VERSION, RC_MALFORMED.
enum rc frame_request_parse(struct bytes frame, struct frame_request *out, struct dec *body);

// Reads a response header as the answer to a request of that key and version. RC_MALFORMED.
enum rc frame_response_parse(struct bytes frame, int16_t api_key, int16_t version, int32_t *correlation_id,
                             struct dec *body);

// Where a frame began in the encoder's buffer.
struct frame_mark {
    size_t at, hole_bytes;
};

// Writes room for the length and a header; the message follows, then frame_end(). Key and version must be known, but
// for an ApiVersions response, whose header has one form.
struct frame_mark frame_response_begin(struct enc *e, int16_t api_key, int16_t version, int32_t correlation_id);
struct frame_mark frame_request_begin(struct enc *e, int16_t api_key, int16_t version, int32_t correlation_id,
                                      struct bytes client_id);
// Writes the length, holes counted. A frame of 2 GiB or more fails the encoder.
void frame_end(struct enc *e, struct frame_mark mark);
