// SPDX-License-Identifier: Apache-2.0
//
// Log lines; see trace.h.
#include "base/trace.h"
#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TRACE_LINE_BYTES = 1024 };

void trace_line(struct trace_sink *sink, enum trace_level level, const char *format, ...)
{
    if (!sink || level < sink->level_min)
        return;
    char line[TRACE_LINE_BYTES];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (n < 0)
        return;
    size_t used = (size_t)n;
    if (used >= sizeof(line)) {
        memcpy(line + sizeof(line) - 4, "...", 4);
        used = sizeof(line) - 1;
    }
    sink->write(sink, level, line, used);
}

const char *trace_quote(char *out, size_t out_bytes, struct bytes b)
{
    ASSERT(out_bytes > 4);
    size_t at = 0;
    for (size_t i = 0; i < b.n; i++) {
        uint8_t c = b.p[i];
        int plain = c >= 0x20 && c < 0x7f && c != '\\';
        size_t need = plain ? 1 : 4;
        size_t tail = i + 1 < b.n ? 3 : 0; // room for "..." unless this is the last byte
        if (at + need + tail + 1 > out_bytes) {
            memcpy(out + (at + 4 > out_bytes ? out_bytes - 4 : at), "...", 4);
            return out;
        }
        if (plain)
            out[at] = (char)c;
        else
            snprintf(out + at, 5, "\\x%02x", c);
        at += need;
    }
    out[at] = 0;
    return out;
}

int trace_limit_pass(struct trace_limit *l, uint64_t now_ns, uint64_t *dropped)
{
    if (l->last_ns != 0 && now_ns - l->last_ns < 1000000000u) {
        l->dropped++;
        return 0;
    }
    *dropped = l->dropped;
    l->dropped = 0;
    l->last_ns = now_ns ? now_ns : 1;
    return 1;
}
