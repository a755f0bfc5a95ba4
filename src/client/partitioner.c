// SPDX-License-Identifier: Apache-2.0
//
// Austin Appleby's MurmurHash2 over little-endian words.
#include "client/partitioner.h"

uint32_t partitioner_murmur2(struct bytes key)
{
    const uint32_t m = 0x5bd1e995;
    uint32_t h = 0x9747b28cu ^ (uint32_t)key.n;
    const uint8_t *p = key.p;
    size_t n = key.n;
    for (; n >= 4; p += 4, n -= 4) {
        uint32_t k;
        memcpy(&k, p, 4);
        k *= m;
        k ^= k >> 24;
        k *= m;
        h = h * m ^ k;
    }
    uint32_t tail = 0;
    for (size_t i = 0; i < n; i++)
        tail |= (uint32_t)p[i] << (8 * i);
    if (n > 0)
        h = (h ^ tail) * m;
    h ^= h >> 13;
    h *= m;
    return h ^ h >> 15;
}
