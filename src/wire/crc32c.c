// SPDX-License-Identifier: Apache-2.0
//
// CRC-32C in hardware: three streams at once, because the instruction takes three cycles and one starts in each, then
// the three remainders are brought together. Shifting a remainder over L bytes of zeros is a multiplication by x^(8L)
// mod P: one carry-less multiplication where the processor has it (PCLMULQDQ), 32 steps where it does not.
// Bits are reflected, as in the CRC itself: bit 31 is x^0.
#include "wire/crc32c.h"

#include <stdbool.h>
#include <string.h>

#define CRC_POLYNOMIAL 0x82f63b78u
#define CRC_X0 0x80000000u // x^0, the one of this field

// a * b mod P
static uint32_t crc_multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (int i = 0; i < 32; i++) {
        product ^= a & CRC_X0 ? b : 0;
        a <<= 1;
        b = (b >> 1) ^ (b & 1 ? CRC_POLYNOMIAL : 0);
    }
    return product;
}

// The remainder of each four bits; the whole hardware-free way needs no more than these 64 bytes.
static const uint32_t crc_nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c_plain(uint32_t crc, const void *data, size_t n)
{
    const uint8_t *p = data;
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc = (crc >> 4) ^ crc_nibble[(crc ^ p[i]) & 15];
        crc = (crc >> 4) ^ crc_nibble[(crc ^ (uint32_t)(p[i] >> 4)) & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)

#include <immintrin.h>

// SSE4.2 is what the build asks of x86-64; only the multiplication is looked for.
#define CRC_TARGET __attribute__((target("sse4.2")))
#define CRC_TARGET_MULTIPLY __attribute__((target("sse4.2,pclmul")))
#define CRC_STEP8(crc, v) _mm_crc32_u64(crc, v)
#define CRC_STEP1(crc, v) _mm_crc32_u8(crc, v)
typedef uint64_t crc_register;

static bool crc_hardware(void)
{
    return true;
}

#elif defined(__aarch64__)

#include <arm_acle.h>
#include <sys/auxv.h>

#define CRC_TARGET __attribute__((target("+crc")))
#define CRC_STEP8(crc, v) __crc32cd(crc, v)
#define CRC_STEP1(crc, v) __crc32cb(crc, v)
typedef uint32_t crc_register;

static bool crc_hardware(void)
{
    return getauxval(AT_HWCAP) & (1u << 7); // HWCAP_CRC32
}

#else
#error "x86-64 or aarch64"
#endif

static inline uint64_t crc_load(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

// Three streams of `stream` bytes each, one behind the other.
CRC_TARGET static inline __attribute__((always_inline)) void crc_streams(crc_register crc[3], const uint8_t *p,
                                                                         size_t stream)
{
    crc_register a = crc[0], b = 0, c = 0;
    for (size_t i = 0; i < stream; i += 8) {
        a = CRC_STEP8((uint32_t)a, crc_load(p + i));
        b = CRC_STEP8((uint32_t)b, crc_load(p + stream + i));
        c = CRC_STEP8((uint32_t)c, crc_load(p + 2 * stream + i));
    }
    crc[0] = a;
    crc[1] = b;
    crc[2] = c;
}

enum { CRC_LONG = 4096, CRC_SHORT = 256 };

#if defined(__x86_64__)

// x^(8L-33) and x^(16L-33) mod P: the multiplication leaves the product 33 bits low, and the CRC instruction, which
// reduces it, multiplies by x^64 on the way. crc32c_test.c proves them.
#define CRC_LONG_1 0x82f89c77ull
#define CRC_LONG_2 0x54a86326ull
#define CRC_SHORT_1 0xb9e02b86ull
#define CRC_SHORT_2 0xdd7e3b0cull

CRC_TARGET_MULTIPLY static inline uint32_t crc_join(const crc_register crc[3], uint64_t k1, uint64_t k2)
{
    __m128i a = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc[0]), _mm_cvtsi64_si128((long long)k2), 0);
    __m128i b = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc[1]), _mm_cvtsi64_si128((long long)k1), 0);
    uint64_t product = (uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(a, b));
    return (uint32_t)(_mm_crc32_u64(0, product) ^ crc[2]);
}

CRC_TARGET_MULTIPLY static uint32_t crc_blocks(uint32_t crc, const uint8_t **p, size_t *n)
{
    crc_register s[3] = {crc};
    while (*n >= 3 * CRC_LONG) {
        crc_streams(s, *p, CRC_LONG);
        s[0] = crc_join(s, CRC_LONG_1, CRC_LONG_2);
        *p += 3 * CRC_LONG;
        *n -= 3 * CRC_LONG;
    }
    while (*n >= 3 * CRC_SHORT) {
        crc_streams(s, *p, CRC_SHORT);
        s[0] = crc_join(s, CRC_SHORT_1, CRC_SHORT_2);
        *p += 3 * CRC_SHORT;
        *n -= 3 * CRC_SHORT;
    }
    return (uint32_t)s[0];
}

static bool crc_has_multiply(void)
{
    return __builtin_cpu_supports("pclmul");
}

#else

static uint32_t crc_blocks(uint32_t crc, const uint8_t **p, size_t *n)
{
    (void)p;
    (void)n;
    return crc;
}

static bool crc_has_multiply(void)
{
    return false;
}

#endif

// The same without a carry-less multiplication: long streams only, so that its cost is lost in them.
CRC_TARGET static uint32_t crc_blocks_portable(uint32_t crc, const uint8_t **p, size_t *n)
{
    const uint32_t over_one = 0x35d73a62, over_two = 0x28461564; // x^(8L), x^(16L)
    crc_register s[3] = {crc};
    while (*n >= 3 * CRC_LONG) {
        crc_streams(s, *p, CRC_LONG);
        s[0] = crc_multiply((uint32_t)s[0], over_two) ^ crc_multiply((uint32_t)s[1], over_one) ^ (uint32_t)s[2];
        *p += 3 * CRC_LONG;
        *n -= 3 * CRC_LONG;
    }
    return (uint32_t)s[0];
}

CRC_TARGET static uint32_t crc_tail(uint32_t crc, const uint8_t *p, size_t n)
{
    crc_register c = crc;
    for (; n >= 8; n -= 8, p += 8)
        c = CRC_STEP8((uint32_t)c, crc_load(p));
    for (; n > 0; n--, p++)
        c = CRC_STEP1((uint32_t)c, *p);
    return (uint32_t)c;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t n)
{
    const uint8_t *p = data;
    if (!crc_hardware())
        return crc32c_plain(crc, data, n);
    crc = ~crc;
    if (n >= 3 * CRC_SHORT)
        crc = crc_has_multiply() ? crc_blocks(crc, &p, &n) : crc_blocks_portable(crc, &p, &n);
    return ~crc_tail(crc, p, n);
}
