// SPDX-License-Identifier: Apache-2.0
//
// Standard base64 (RFC 4648) with padding, for keys and values that are not text.
#include "cli/json.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_append(struct buf *out, struct bytes s)
{
    for (size_t i = 0; i < s.n; i += 3) {
        size_t left = s.n - i;
        uint32_t v = (uint32_t)s.p[i] << 16;
        if (left > 1)
            v |= (uint32_t)s.p[i + 1] << 8;
        if (left > 2)
            v |= s.p[i + 2];
        uint8_t *p = buf_extend(out, 4);
        if (!p)
            return;
        p[0] = (uint8_t)alphabet[v >> 18];
        p[1] = (uint8_t)alphabet[v >> 12 & 63];
        p[2] = left > 1 ? (uint8_t)alphabet[v >> 6 & 63] : '=';
        p[3] = left > 2 ? (uint8_t)alphabet[v & 63] : '=';
    }
}

static int digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct bytes text, struct buf *out)
{
    if (text.n % 4)
        return false;
    for (size_t i = 0; i < text.n; i += 4) {
        const uint8_t *t = text.p + i;
        bool last = i + 4 == text.n;
        size_t padding = last ? (size_t)(t[3] == '=') + (t[3] == '=' && t[2] == '=') : 0;
        uint32_t v = 0;
        for (size_t k = 0; k < 4 - padding; k++) {
            int d = digit(t[k]);
            if (d < 0)
                return false;
            v |= (uint32_t)d << (18 - 6 * k);
        }
        uint8_t bytes[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        buf_append(out, bytes, 3 - padding);
    }
    return !out->failed;
}
