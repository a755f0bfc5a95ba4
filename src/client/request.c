// SPDX-License-Identifier: Apache-2.0
//
// Frames: length, header, message, with the record bytes left where they are.
#include "client/request.h"

#include "base/assert.h"

void client_request_init(struct client_request *r, const struct schema_message *message, uint32_t timeout_ms)
{
    *r = (struct client_request){.message = message, .version_max = INT16_MAX, .timeout_ms = timeout_ms};
    buf_init(&r->frame, CLIENT_FRAME_BYTES_MAX);
}

void client_request_deinit(struct client_request *r)
{
    ASSERT(!r->busy);
    buf_deinit(&r->frame);
}

enum rc client_request_encode(struct client_request *r, int32_t correlation_id, struct bytes client_id)
{
    struct enc e;
    bool flexible = schema_flexible(r->message, r->version);
    r->frame.n = 0;
    r->frame.failed = false;
    enc_init(&e, &r->frame, r->holes, r->holes_max);
    enc_i32(&e, 0);
    enc_i16(&e, r->message->key);
    enc_i16(&e, r->version);
    enc_i32(&e, correlation_id);
    enc_string(&e, client_id, false, true); // never compact, in the flexible header either (KIP-482)
    if (flexible)
        enc_uvarint(&e, 0);
    schema_encode(r->message, &e, r->version, r->in);
    if (!enc_ok(&e))
        return e.failed ? RC_INVALID : RC_NOMEM;
    r->correlation_id = correlation_id;
    r->hole_count = e.hole_count;
    r->sent_bytes = 0;
    r->wire_bytes = r->frame.n + e.hole_bytes;
    if (r->wire_bytes > CLIENT_FRAME_BYTES_MAX)
        return RC_INVALID;
    put_be32(r->frame.p, (uint32_t)(r->wire_bytes - 4));
    return RC_OK;
}

// One stretch of the frame, less what of it was sent already.
static void add_stretch(struct iovec *vecs, unsigned *count, const uint8_t *p, size_t n, size_t *skip)
{
    if (n <= *skip) {
        *skip -= n;
        return;
    }
    vecs[(*count)++] = (struct iovec){.iov_base = (void *)(uintptr_t)(p + *skip), .iov_len = n - *skip};
    *skip = 0;
}

unsigned client_request_vecs(const struct client_request *r, struct iovec *vecs, unsigned vec_max)
{
    unsigned count = 0;
    size_t at = 0, skip = r->sent_bytes;
    for (uint32_t i = 0; i < r->hole_count; i++) {
        const struct enc_hole *h = &r->holes[i];
        if (count + 2 > vec_max)
            return count;
        add_stretch(vecs, &count, r->frame.p + at, h->at - at, &skip);
        add_stretch(vecs, &count, h->token, h->n, &skip);
        at = h->at;
    }
    if (count < vec_max)
        add_stretch(vecs, &count, r->frame.p + at, r->frame.n - at, &skip);
    return count;
}
