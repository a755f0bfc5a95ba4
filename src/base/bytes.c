// SPDX-License-Identifier: Apache-2.0
//
// Varints and the growable buffer.
#include "base/bytes.h"
#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

size_t varint_put(uint8_t *p, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

bool varint_get(struct bytes *s, size_t bytes_max, uint64_t *out)
{
    ASSERT(bytes_max >= 1 && bytes_max <= VARINT_BYTES_MAX);
    uint64_t v = 0;
    size_t limit = s->n < bytes_max ? s->n : bytes_max;
    for (size_t i = 0; i < limit; i++) {
        uint8_t b = s->p[i];
        if (i == VARINT_BYTES_MAX - 1 && b > 1)
            return false; // the tenth byte carries only bit 63
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (!(b & 0x80)) {
            s->p += i + 1;
            s->n -= i + 1;
            *out = v;
            return true;
        }
    }
    return false;
}

void buf_init(struct buf *b, size_t size_max)
{
    *b = (struct buf){.size_max = size_max};
}

void buf_deinit(struct buf *b)
{
    free(b->p);
    *b = (struct buf){0};
}

uint8_t *buf_extend(struct buf *b, size_t n)
{
    if (b->failed || n > b->size_max - b->n) {
        b->failed = true;
        return NULL;
    }
    if (n > b->cap - b->n) {
        size_t cap = b->cap ? b->cap : 64;
        while (cap < b->n + n)
            cap = cap > b->size_max / 2 ? b->size_max : cap * 2;
        uint8_t *p = realloc(b->p, cap);
        if (!p) {
            b->failed = true;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    uint8_t *at = b->p + b->n;
    b->n += n;
    return at;
}

void buf_append(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    uint8_t *at = buf_extend(b, n);
    if (at)
        memcpy(at, p, n);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(n >= 0);
    uint8_t *at = buf_extend(b, (size_t)n + 1); // one byte more for vsnprintf's zero, given back below
    if (at) {
        vsnprintf((char *)at, (size_t)n + 1, format, again);
        b->n--;
    }
    va_end(again);
}
