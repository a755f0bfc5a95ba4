// SPDX-License-Identifier: Apache-2.0
//
// Request and response headers; see frame.h.
#include "wire/frame.h"

#include "base/assert.h"
#include "wire/messages.h"

const struct schema_message *wire_request_find(int16_t api_key)
{
    return schema_find(kafka_requests, ARRAY_COUNT(kafka_requests), api_key);
}

const struct schema_message *wire_response_find(int16_t api_key)
{
    return schema_find(kafka_responses, ARRAY_COUNT(kafka_responses), api_key);
}

enum rc frame_request_parse(struct bytes frame, struct frame_request *out, struct dec *body)
{
    struct dec d = dec_of(frame);
    *out = (struct frame_request){0};
    out->api_key = dec_i16(&d);
    out->api_version = dec_i16(&d);
    out->correlation_id = dec_i32(&d);
    // The client id has one form in headers 1 and 2 (KIP-482). Header 0 belongs to a request between brokers.
    out->client_id = dec_string(&d, false, true);
    out->message = wire_request_find(out->api_key);
    if (d.bad)
        return RC_MALFORMED;
    if (!out->message)
        return RC_UNSUPPORTED;
    if (out->api_version < out->message->version_min || out->api_version > out->message->version_max)
        return RC_UNSUPPORTED_VERSION;
    if (schema_flexible(out->message, out->api_version))
        dec_skip_tags(&d);
    *body = d;
    return d.bad ? RC_MALFORMED : RC_OK;
}

// ApiVersions keeps the old response header, so that clients newer than the broker can read the refusal (KIP-511).
static bool response_header_flexible(int16_t api_key, int16_t version)
{
    const struct schema_message *m = wire_response_find(api_key);
    ASSERT(m);
    return api_key != API_API_VERSIONS && schema_flexible(m, version);
}

enum rc frame_response_parse(struct bytes frame, int16_t api_key, int16_t version, int32_t *correlation_id,
                             struct dec *body)
{
    struct dec d = dec_of(frame);
    *correlation_id = dec_i32(&d);
    if (response_header_flexible(api_key, version))
        dec_skip_tags(&d);
    *body = d;
    return d.bad ? RC_MALFORMED : RC_OK;
}

static struct frame_mark frame_begin(struct enc *e)
{
    struct frame_mark mark = {.at = e->buf->n, .hole_bytes = e->hole_bytes};
    enc_i32(e, 0);
    return mark;
}

struct frame_mark frame_response_begin(struct enc *e, int16_t api_key, int16_t version, int32_t correlation_id)
{
    struct frame_mark mark = frame_begin(e);
    enc_i32(e, correlation_id);
    if (response_header_flexible(api_key, version))
        enc_uvarint(e, 0);
    return mark;
}

struct frame_mark frame_request_begin(struct enc *e, int16_t api_key, int16_t version, int32_t correlation_id,
                                      struct bytes client_id)
{
    const struct schema_message *m = wire_request_find(api_key);
    ASSERT(m);
    struct frame_mark mark = frame_begin(e);
    enc_i16(e, api_key);
    enc_i16(e, version);
    enc_i32(e, correlation_id);
    enc_string(e, client_id, false, true);
    if (schema_flexible(m, version))
        enc_uvarint(e, 0);
    return mark;
}

void frame_end(struct enc *e, struct frame_mark mark)
{
    size_t size = enc_size_since(e, mark.at, mark.hole_bytes) - FRAME_LENGTH_BYTES;
    if (size > INT32_MAX)
        e->failed = true;
    if (enc_ok(e))
        put_be32(e->buf->p + mark.at, (uint32_t)size);
}
