// SPDX-License-Identifier: Apache-2.0
#include "model_part.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

enum { OFFSETS_MAX = 4 << 20 };

void model_part_init(struct model_part *p, uint32_t topic, uint32_t partition, uint32_t generation, bool lossless)
{
    *p = (struct model_part){.topic = topic, .partition = partition, .generation = generation, .lossless = lossless};
    snprintf(p->name, sizeof(p->name), "topic%u-%u (generation %u)", topic, partition, generation);
}

void model_part_deinit(struct model_part *p)
{
    sim_free(p->v);
    *p = (struct model_part){0};
}

static struct model_entry *entry_at(struct model_part *p, struct sim *sim, int64_t offset)
{
    if (offset < 0 || offset >= OFFSETS_MAX) {
        sim_fail(sim, "%s: offset %lld cannot be", p->name, (long long)offset);
        return NULL;
    }
    if ((size_t)offset >= p->cap) {
        size_t cap = p->cap ? p->cap : 256;
        while (cap <= (size_t)offset)
            cap *= 2;
        p->v = sim_realloc(p->v, cap * sizeof(*p->v));
        memset(p->v + p->cap, 0, (cap - p->cap) * sizeof(*p->v));
        p->cap = cap;
    }
    if ((size_t)offset >= p->count)
        p->count = (size_t)offset + 1;
    return &p->v[offset];
}

static bool same(const struct record_tag *a, const struct record_tag *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

// Whether what was known in `era` may have been lost since.
static bool may_be_lost(const struct model_part *p, const struct model_eras *eras, uint32_t era)
{
    return era != eras->now && !p->lossless;
}

static void tag_text(const struct record_tag *t, char *out, size_t n)
{
    snprintf(out, n, "producer %u session %u record %u of generation %u", t->producer, t->session, t->counter,
             t->generation);
}

// Two records claim one offset.
static void check_same(struct model_part *p, struct sim *sim, const struct model_eras *eras, int64_t offset,
                       const struct record_tag *old, uint32_t era, const struct record_tag *new, const char *how,
                       const char *now)
{
    if (!era || same(old, new) || may_be_lost(p, eras, era))
        return;
    char a[96], b[96];
    tag_text(old, a, sizeof(a));
    tag_text(new, b, sizeof(b));
    sim_fail(sim, "%s: offset %lld %s %s, and now %s %s", p->name, (long long)offset, how, a, now, b);
}

void model_part_acked(struct model_part *p, struct sim *sim, const struct model_eras *eras, uint32_t sent_era, uint32_t era,
                      int64_t base_offset, const struct record_tag *first, uint32_t count)
{
    if (era <= p->risk_era)
        return;
    for (uint32_t k = 0; k < count && !sim->failed; k++) {
        struct record_tag tag = *first;
        tag.counter += k;
        int64_t offset = base_offset + k;
        struct model_entry *e = entry_at(p, sim, offset);
        if (!e)
            return;
        uint32_t acked_era = era < e->acked_era ? era : e->acked_era, seen_era = era < e->seen_era ? era : e->seen_era;
        check_same(p, sim, eras, offset, &e->acked, acked_era, &tag, "was acknowledged to", "is acknowledged to");
        check_same(p, sim, eras, offset, &e->seen, seen_era, &tag, "was read as", "is acknowledged to");
        if (era >= e->acked_era) {
            e->acked = tag;
            e->acked_era = era;
            e->acked_by = eras->now;
            e->sent_era = sent_era;
        }
        if (offset >= p->end_seen && era == eras->now)
            p->end_seen = offset + 1;
    }
}

void model_part_seen(struct model_part *p, struct sim *sim, const struct model_eras *eras, uint32_t era, int64_t offset,
                     const struct record_tag *tag)
{
    char text[96];
    if (era <= p->risk_era)
        return;
    if (tag->topic != p->topic || tag->partition != p->partition || tag->generation != p->generation) {
        tag_text(tag, text, sizeof(text));
        sim_fail(sim, "%s: offset %lld holds a record of topic %u-%u: %s", p->name, (long long)offset, tag->topic,
                 tag->partition, text);
        return;
    }
    struct model_entry *e = entry_at(p, sim, offset);
    if (!e)
        return;
    uint32_t acked_era = era < e->acked_era ? era : e->acked_era, seen_era = era < e->seen_era ? era : e->seen_era;
    check_same(p, sim, eras, offset, &e->acked, acked_era, tag, "was acknowledged to", "is read as");
    check_same(p, sim, eras, offset, &e->seen, seen_era, tag, "was read as", "is read as");
    if (era < e->seen_era)
        return;
    e->seen = *tag;
    e->seen_era = era;
    e->present = true;
    if (offset >= p->end_seen && era == eras->now)
        p->end_seen = offset + 1;
}

size_t model_part_excuse(struct model_part *p, const struct model_eras *eras, const int64_t *ends,
                         const uint32_t *lost_eras, uint32_t count, uint32_t enough)
{
    size_t excused = 0;
    p->risk_era = eras->now;
    p->end_seen = p->start_acked = 0;
    for (size_t o = 0; o < p->count; o++) {
        struct model_entry *e = &p->v[o];
        if (!e->acked_era && !e->seen_era)
            continue;
        uint32_t held = 0;
        for (uint32_t k = 0; k < count; k++)
            held += ends[k] > (int64_t)o && e->sent_era <= lost_eras[k];
        if (held < enough) {
            p->end_seen = (int64_t)o + 1;
            continue;
        }
        excused++;
        *e = (struct model_entry){0};
    }
    return excused;
}

void model_part_pass_begin(struct model_part *p)
{
    for (size_t k = 0; k < p->count; k++)
        p->v[k].present = false;
}

// Idempotent producers: within a session no record twice, none left out.
static void check_order(struct model_part *p, struct sim *sim, int64_t log_start, int64_t log_end)
{
    struct {
        uint32_t session, next;
        bool known;
    } last[256] = {0};
    for (int64_t o = log_start; o < log_end && !sim->failed; o++) {
        const struct model_entry *e = &p->v[o];
        if (!e->present || !e->seen.idempotent)
            continue;
        uint32_t k = e->seen.producer;
        bool goes_on = last[k].known && last[k].session == e->seen.session;
        if (last[k].known && e->seen.session < last[k].session && !p->risk_era)
            sim_fail(sim, "%s: offset %lld: producer %u goes back from session %u to %u", p->name, (long long)o, k,
                     last[k].session, e->seen.session);
        else if (goes_on && e->seen.counter != last[k].next && !(p->risk_era && e->seen.counter > last[k].next))
            sim_fail(sim, "%s: offset %lld: producer %u session %u: record %u follows record %u: %s", p->name,
                     (long long)o, k, e->seen.session, e->seen.counter, last[k].next - 1,
                     e->seen.counter < last[k].next ? "a duplicate" : "a gap");
        last[k].known = true;
        last[k].session = e->seen.session;
        last[k].next = e->seen.counter + 1;
    }
}

void model_part_pass_end(struct model_part *p, struct sim *sim, const struct model_eras *eras, int64_t log_start,
                         int64_t log_end)
{
    char text[96];
    uint32_t missing_era = 0; // the latest era of which an acknowledged record is missing below
    int64_t missing_at = -1;
    if (log_end > 0 && !entry_at(p, sim, log_end - 1))
        return;
    for (int64_t o = log_start; o < (int64_t)p->count && !sim->failed; o++) {
        const struct model_entry *e = &p->v[o];
        if (o < log_end && !e->present)
            sim_fail(sim, "%s: nothing is read at offset %lld, between log start %lld and end %lld", p->name,
                     (long long)o, (long long)log_start, (long long)log_end);
        if (!e->acked_era)
            continue;
        bool there = e->present && same(&e->seen, &e->acked);
        if (there && missing_era >= e->acked_by) {
            sim_fail(sim, "%s: a hole: offset %lld, acknowledged in era %u, is gone, offset %lld of era %u is not",
                     p->name, (long long)missing_at, missing_era, (long long)o, e->acked_era);
        } else if (!there && !may_be_lost(p, eras, e->acked_era)) {
            tag_text(&e->acked, text, sizeof(text));
            sim_fail(sim, "%s: offset %lld, acknowledged to %s in era %u of %u, is gone; the log ends at %lld", p->name,
                     (long long)o, text, e->acked_era, eras->now, (long long)log_end);
        } else if (!there && e->acked_era > missing_era) {
            missing_era = e->acked_era;
            missing_at = o;
        }
    }
    if (!sim->failed)
        check_order(p, sim, log_start, log_end);
}
