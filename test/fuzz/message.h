// SPDX-License-Identifier: Apache-2.0
//
// What must hold for any bytes taken for a message: decoding answers, and what it accepts is encoded to bytes that
// decode to the same again. (The input itself may differ: unknown tags, non-canonical varints, defaults written out.)
#pragma once

#include "base/assert.h"
#include "wire/schema.h"

enum { MESSAGE_BYTES = 4096 };

static inline void message_encode(const struct schema_message *m, int16_t version, const void *in, struct buf *out)
{
    struct enc e;
    enc_init(&e, out, NULL, 0);
    schema_encode(m, &e, version, in);
    ASSERT(enc_ok(&e));
}

static inline void message_check(const struct schema_message *m, struct dec *d, int16_t version)
{
    static union {
        uint8_t bytes[MESSAGE_BYTES];
        max_align_t align;
    } first, second;
    struct arena a;
    struct buf once, twice;
    ASSERT(schema_size(m) <= MESSAGE_BYTES);
    arena_init(&a, 1 << 20, NULL, 0);
    buf_init(&once, 1 << 22);
    buf_init(&twice, 1 << 22);
    enum rc rc = schema_decode(m, d, version, &a, first.bytes);
    ASSERT(rc == RC_OK || rc == RC_MALFORMED || rc == RC_NOMEM);
    if (rc == RC_OK) {
        message_encode(m, version, first.bytes, &once);
        schema_print(m, version, first.bytes, 100, &twice);
        twice.n = 0;
        struct dec again = dec_of(buf_bytes(&once));
        struct arena b;
        arena_init(&b, 1 << 20, NULL, 0);
        ASSERT(schema_decode(m, &again, version, &b, second.bytes) == RC_OK && dec_left(&again) == 0);
        message_encode(m, version, second.bytes, &twice);
        ASSERT(bytes_eq(buf_bytes(&once), buf_bytes(&twice)));
        arena_deinit(&b);
    }
    arena_deinit(&a);
    buf_deinit(&once);
    buf_deinit(&twice);
}
