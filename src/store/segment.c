// SPDX-License-Identifier: Apache-2.0
//
// Segment file names; see segment.h.
#include "store/segment.h"

#include <stdio.h>
#include <string.h>

enum { SEGMENT_DIGITS = 20 };

void segment_name(char out[SEGMENT_NAME_BYTES], int64_t base_offset, const char *suffix)
{
    snprintf(out, SEGMENT_NAME_BYTES, "%020lld%s", (long long)base_offset, suffix);
}

bool segment_name_parse(const char *name, int64_t *base_offset, const char **suffix)
{
    int64_t v = 0;
    for (int i = 0; i < SEGMENT_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        // Twenty digits hold more than an int64 does.
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, name[i] - '0', &v))
            return false;
    }
    if (name[SEGMENT_DIGITS] != '.')
        return false;
    *base_offset = v;
    *suffix = name + SEGMENT_DIGITS;
    return true;
}
