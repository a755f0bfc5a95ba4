// SPDX-License-Identifier: Apache-2.0
//
// Why a group rebalanced: a line in the log, and the last ones kept for describe. A packed ring: wall time, generation,
// length, text; the oldest go when the next one would not fit.
#include "group/core.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { EVENT_HEADER_BYTES = 13 };

struct group_events {
    uint16_t used, room;
    uint8_t at[];
};

static struct group_events *events_room(struct group_events *e, size_t more)
{
    size_t used = e ? e->used : 0;
    while (used + more > GROUP_EVENTS_BYTES) {
        ASSERT(e != NULL && e->used >= EVENT_HEADER_BYTES);
        uint16_t first = (uint16_t)(EVENT_HEADER_BYTES + e->at[12]);
        ASSERT(first <= e->used);
        memmove(e->at, e->at + first, (size_t)(e->used - first));
        e->used = (uint16_t)(e->used - first);
        used = e->used;
    }
    if (e && used + more <= e->room)
        return e;
    struct group_events *grown = realloc(e, sizeof(*e) + used + more);
    if (!grown)
        return NULL;
    grown->used = (uint16_t)used;
    grown->room = (uint16_t)(used + more);
    return grown;
}

void group_event(struct group *gr, int32_t generation, const char *format, ...)
{
    char raw[1024], text[GROUP_EVENT_BYTES], id[128];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(raw, sizeof(raw), format, args);
    va_end(args);
    ASSERT(n >= 0);
    trace_quote(text, sizeof(text), bytes_str(raw));
    struct groups *g = gr->groups;
    trace_quote(id, sizeof(id), group_id(gr));
    trace_info(g->host.trace, "group '%s' generation %d: %s", id, generation, text);
    size_t text_bytes = strlen(text);
    struct group_events *e = events_room(gr->events, EVENT_HEADER_BYTES + text_bytes);
    if (!e)
        return; // the log has it
    gr->events = e;
    uint8_t *p = e->at + e->used;
    put_be64(p, (uint64_t)g->now.wall_ms);
    put_be32(p + 8, (uint32_t)generation);
    p[12] = (uint8_t)text_bytes;
    memcpy(p + EVENT_HEADER_BYTES, text, text_bytes);
    e->used = (uint16_t)(e->used + EVENT_HEADER_BYTES + text_bytes);
}

bool group_event_next(const struct group *gr, uint32_t *at, struct group_event *out)
{
    const struct group_events *e = gr->events;
    if (!e || *at >= e->used)
        return false;
    const uint8_t *p = e->at + *at;
    *out = (struct group_event){.wall_ms = (int64_t)be64(p),
                                .generation = (int32_t)be32(p + 8),
                                .text = bytes_of(p + EVENT_HEADER_BYTES, p[12])};
    *at += EVENT_HEADER_BYTES + p[12];
    return true;
}
