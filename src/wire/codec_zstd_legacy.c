// SPDX-License-Identifier: Apache-2.0
//
// libzstd without its readers of the formats before 0.8 (2016): 90 KiB of code that strangers' bytes should not reach.
// These stand in their place and keep them out of the link; each refuses, as the library refuses what it does not know.
// A context in memory of ours, as codec_zstd.c has it, comes to none of them. Weak: where the readers are linked all
// the same, theirs are taken.
#include <stddef.h>
#include <zstd.h>
#include <zstd_errors.h>

#define UNKNOWN ((size_t)-ZSTD_error_prefix_unknown)
#define WEAK __attribute__((weak))

#define REFUSE_VERSION(v)                                                                                              \
    WEAK void *ZSTDv##v##_createDCtx(void);                                                                            \
    WEAK size_t ZSTDv##v##_freeDCtx(void *context);                                                                    \
    WEAK size_t ZSTDv##v##_getFrameParams(void *out, const void *in, size_t bytes);                                    \
    WEAK void ZSTDv##v##_findFrameSizeInfoLegacy(const void *in, size_t bytes, size_t *size,                           \
                                                 unsigned long long *bound);                                           \
    WEAK size_t ZSTDv##v##_decompress_usingDict(void *context, void *out, size_t room, const void *in, size_t bytes,   \
                                                const void *dictionary, size_t dictionary_bytes);                      \
    void *ZSTDv##v##_createDCtx(void)                                                                                  \
    {                                                                                                                  \
        return NULL;                                                                                                   \
    }                                                                                                                  \
    size_t ZSTDv##v##_freeDCtx(void *context)                                                                          \
    {                                                                                                                  \
        (void)context;                                                                                                 \
        return 0;                                                                                                      \
    }                                                                                                                  \
    size_t ZSTDv##v##_getFrameParams(void *out, const void *in, size_t bytes)                                          \
    {                                                                                                                  \
        (void)out, (void)in, (void)bytes;                                                                              \
        return UNKNOWN;                                                                                                \
    }                                                                                                                  \
    void ZSTDv##v##_findFrameSizeInfoLegacy(const void *in, size_t bytes, size_t *size, unsigned long long *bound)     \
    {                                                                                                                  \
        (void)in, (void)bytes;                                                                                         \
        *size = UNKNOWN;                                                                                               \
        *bound = ZSTD_CONTENTSIZE_ERROR;                                                                               \
    }                                                                                                                  \
    size_t ZSTDv##v##_decompress_usingDict(void *context, void *out, size_t room, const void *in, size_t bytes,        \
                                           const void *dictionary, size_t dictionary_bytes)                            \
    {                                                                                                                  \
        (void)context, (void)out, (void)room, (void)in, (void)bytes, (void)dictionary, (void)dictionary_bytes;         \
        return UNKNOWN;                                                                                                \
    }

REFUSE_VERSION(05)
REFUSE_VERSION(06)
REFUSE_VERSION(07)
