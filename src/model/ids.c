// SPDX-License-Identifier: Apache-2.0
//
// Ids and topic names; see ids.h.
#include "model/ids.h"

#include <xxhash.h>

static const char uuid_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

bool uuid_is_reserved(struct uuid u)
{
    for (int i = 0; i < 15; i++)
        if (u.b[i])
            return false;
    return u.b[15] <= 1;
}

void uuid_format(struct uuid u, char text[UUID_TEXT_CHARS + 1])
{
    uint32_t bits = 0;
    unsigned have = 0;
    int at = 0;
    for (int i = 0; i < 16; i++) {
        bits = bits << 8 | u.b[i];
        have += 8;
        while (have >= 6) {
            have -= 6;
            text[at++] = uuid_digits[bits >> have & 63];
        }
    }
    text[at++] = uuid_digits[bits << (6 - have) & 63];
    text[at] = 0;
}

static int uuid_digit(uint8_t c)
{
    const char *at = c ? strchr(uuid_digits, c) : NULL;
    return at ? (int)(at - uuid_digits) : -1;
}

bool uuid_parse(struct bytes text, struct uuid *out)
{
    if (text.n != UUID_TEXT_CHARS)
        return false;
    struct uuid u;
    uint32_t bits = 0;
    unsigned have = 0;
    int at = 0;
    for (size_t i = 0; i < text.n; i++) {
        int digit = uuid_digit(text.p[i]);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8 && at < 16) {
            have -= 8;
            u.b[at++] = (uint8_t)(bits >> have);
        }
    }
    if (bits & 15) // the last character carries four bits of nothing
        return false;
    *out = u;
    return true;
}

uint64_t topic_partition_hash(struct topic_partition tp)
{
    uint8_t key[20];
    memcpy(key, tp.topic_id.b, 16);
    put_be32(key + 16, (uint32_t)tp.partition);
    return XXH3_64bits(key, sizeof(key));
}

static bool topic_char_valid(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
}

bool topic_name_valid(struct bytes name)
{
    if (name.n == 0 || name.n > 249)
        return false;
    if (bytes_eq(name, bytes_str(".")) || bytes_eq(name, bytes_str("..")))
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (!topic_char_valid(name.p[i]))
            return false;
    return true;
}

bool topic_names_collide(struct bytes a, struct bytes b)
{
    if (a.n != b.n || bytes_eq(a, b))
        return false;
    for (size_t i = 0; i < a.n; i++) {
        uint8_t x = a.p[i] == '.' ? '_' : a.p[i];
        uint8_t y = b.p[i] == '.' ? '_' : b.p[i];
        if (x != y)
            return false;
    }
    return true;
}

bool topic_name_internal(struct bytes name)
{
    return bytes_eq(name, bytes_str("__consumer_offsets")) || bytes_eq(name, bytes_str("__transaction_state")) ||
           bytes_eq(name, bytes_str("__share_group_state"));
}
