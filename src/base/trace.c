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

static size_t quoted_chars(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '\\' ? 1 : 4;
}

const char *trace_quote(char *out, size_t out_bytes, struct bytes b)
{
    ASSERT(out_bytes > 4);
    size_t whole = 0, at = 0;
    for (size_t i = 0; i < b.n && whole < out_bytes; i++)
        whole += quoted_chars(b.p[i]);
    size_t tail = whole < out_bytes ? 0 : 3; // room for "..." only where it is needed
    for (size_t i = 0; i < b.n; i++) {
        size_t need = quoted_chars(b.p[i]);
        if (at + need + tail + 1 > out_bytes) {
            memcpy(out + at, "...", 4);
            return out;
        }
        if (need == 1)
            out[at] = (char)b.p[i];
        else
            snprintf(out + at, 5, "\\x%02x", b.p[i]);
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
