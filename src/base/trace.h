// SPDX-License-Identifier: Apache-2.0
//
// Log lines. Rooms write through a sink that hangs off what they were given, never through a global, so that the
// simulator can keep the lines of many nodes apart. A line is one event, without a line end; clients' bytes are quoted
// by trace_quote() before they are printed.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum trace_level { TRACE_DEBUG, TRACE_INFO, TRACE_WARN, TRACE_ERROR };

struct trace_sink {
    enum trace_level level_min;
    void (*write)(struct trace_sink *sink, enum trace_level level, const char *line, size_t n);
};

// Formats at most 1 KiB (longer lines are cut and end in "...") and hands the line to the sink. sink may be NULL: the
// line is dropped. Any thread whose sink allows it.
void trace_line(struct trace_sink *sink, enum trace_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define trace_debug(sink, ...) trace_line(sink, TRACE_DEBUG, __VA_ARGS__)
#define trace_info(sink, ...) trace_line(sink, TRACE_INFO, __VA_ARGS__)
#define trace_warn(sink, ...) trace_line(sink, TRACE_WARN, __VA_ARGS__)
#define trace_error(sink, ...) trace_line(sink, TRACE_ERROR, __VA_ARGS__)

// Writes b to out (out_bytes > 4) with everything but printable ASCII as \xNN, cut with "..." when too long. Returns
// out.
const char *trace_quote(char *out, size_t out_bytes, struct bytes b);

// Limits lines of one cause to one a second and counts the rest. Zeroed at start.
struct trace_limit {
    uint64_t last_ns;
    uint64_t dropped;
};

// True when a line may be written at now_ns; *dropped is then how many were held back since the last one.
int trace_limit_pass(struct trace_limit *l, uint64_t now_ns, uint64_t *dropped);
