// SPDX-License-Identifier: Apache-2.0
#include "model_log.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/assert.h"
#include "wire/batch.h"

void model_log_init(struct model_log *m, const char *name, int64_t flush_messages)
{
    *m = (struct model_log){.flush_messages = flush_messages};
    snprintf(m->name, sizeof(m->name), "%s", name);
}

void model_log_deinit(struct model_log *m)
{
    sim_free(m->v);
    *m = (struct model_log){0};
}

uint64_t model_batch_hash(struct bytes batch)
{
    ASSERT(batch.n > 16);
    return XXH3_64bits(batch.p + 16, batch.n - 16);
}

int64_t model_log_next(const struct model_log *m)
{
    int64_t next = m->count ? m->v[m->count - 1].last_offset + 1 : 0;
    return next > m->start_seen ? next : m->start_seen; // deleted records may be lost before they are removed
}

void model_log_sent(struct model_log *m, const struct model_batch *b)
{
    ASSERT(m->count == 0 || b->base_offset > m->v[m->count - 1].last_offset);
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 64;
        m->v = sim_realloc(m->v, m->cap * sizeof(*m->v));
    }
    m->v[m->count++] = *b;
}

size_t model_log_find(const struct model_log *m, int64_t offset)
{
    size_t low = 0, high = m->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (m->v[middle].last_offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool model_log_acked(struct model_log *m, int64_t base_offset)
{
    size_t k = model_log_find(m, base_offset);
    if (k == m->count || m->v[k].base_offset != base_offset)
        return false;
    m->v[k].acked = true;
    // flush.messages = N: an acknowledgement says that fewer than N messages up to here are not on the disk.
    int64_t unsynced = 0;
    size_t from = k + 1;
    while (from > 0 && m->flush_messages != INT64_MAX) {
        const struct model_batch *b = &m->v[from - 1];
        unsynced += b->last_offset - b->base_offset + 1;
        if (unsynced >= m->flush_messages)
            break;
        from--;
    }
    if (from > m->flush_from && m->flush_messages != INT64_MAX)
        model_log_durable(m, m->v[from - 1].last_offset + 1);
    return true;
}

void model_log_failed(struct model_log *m, int64_t base_offset)
{
    size_t k = model_log_find(m, base_offset);
    for (size_t j = k; j < m->count; j++)
        ASSERT(!m->v[j].acked);
    m->count = k;
}

void model_log_durable(struct model_log *m, int64_t offset)
{
    if (!m->tainted && offset > m->durable)
        m->durable = offset;
}

bool model_check_begin(struct model_check *c, struct sim *sim, struct model_log *m, enum sim_death after,
                       int64_t log_start)
{
    *c = (struct model_check){.m = m, .sim = sim, .after = after, .next_offset = log_start};
    int64_t least = after == SIM_DEATH_POWER ? m->start_acked : m->start_seen;
    if (log_start < least && !m->tainted) {
        model_fail(m, sim, "%s: log start %lld lies below %lld, which was %s", m->name, (long long)log_start,
                   (long long)least, after == SIM_DEATH_POWER ? "acknowledged" : "seen");
        return false;
    }
    // Names that were never synced are lost in any order: of a log without a recovery point the first segment may go
    // and a later one stay, and then the log begins there.
    if (after == SIM_DEATH_POWER && m->durable <= m->start_asked && log_start > m->start_asked)
        m->start_asked = log_start;
    if (log_start > m->start_asked && !m->retention) {
        model_fail(m, sim, "%s: log start %lld lies above %lld, the most that was asked for", m->name,
                   (long long)log_start, (long long)m->start_asked);
        return false;
    }
    m->start_seen = log_start;
    c->at = model_log_find(m, log_start);
    return true;
}

// Whether the batch found is the next one of the model.
static bool check_same_batch(struct model_check *c, struct bytes batch)
{
    struct model_log *m = c->m;
    struct batch_header h;
    if (batch_header_read(batch, &h) != RC_OK || batch_bytes(&h) != batch.n) {
        model_fail(c->m, c->sim, "%s: no batch at offset %lld", m->name, (long long)c->next_offset);
        return false;
    }
    if (c->at == m->count) {
        model_fail(c->m, c->sim, "%s: batch %lld..%lld was never sent", m->name, (long long)h.base_offset,
                   (long long)batch_last_offset(&h));
        return false;
    }
    const struct model_batch *b = &m->v[c->at];
    bool in_place = h.base_offset == b->base_offset && batch_last_offset(&h) == b->last_offset;
    if (in_place && model_batch_hash(batch) == b->hash)
        return true;
    if (m->tainted_ever) // what a failed sync never wrote leaves an earlier batch of that offset, or an earlier log
                         // start
        m->given_up = true;
    else if (!in_place)
        sim_fail(c->sim, "%s: found batch %lld..%lld where %lld..%lld (%s) should be", m->name,
                 (long long)h.base_offset, (long long)batch_last_offset(&h), (long long)b->base_offset,
                 (long long)b->last_offset, b->acked ? "acknowledged" : "not acknowledged");
    else
        sim_fail(c->sim, "%s: batch %lld..%lld holds other bytes than were sent", m->name, (long long)b->base_offset,
                 (long long)b->last_offset);
    return false;
}

bool model_check_batch(struct model_check *c, struct bytes batch)
{
    if (!check_same_batch(c, batch))
        return false;
    struct model_batch *b = &c->m->v[c->at];
    b->acked = true;
    c->at++;
    c->batches++;
    c->next_offset = b->last_offset + 1;
    return true;
}

bool model_check_end(struct model_check *c, int64_t log_end)
{
    struct model_log *m = c->m;
    sim_note(c->sim, SIM_NOTE_CHECK, NULL, c->batches, (uint64_t)log_end);
    if (log_end < m->start_seen) {
        model_fail(c->m, c->sim, "%s: log ends at %lld, before its start %lld", m->name, (long long)log_end,
                   (long long)m->start_seen);
        return false;
    }
    if (c->batches && log_end != c->next_offset) {
        model_fail(c->m, c->sim, "%s: log ends at %lld, its last batch at %lld", m->name, (long long)log_end,
                   (long long)c->next_offset);
        return false;
    }
    for (size_t k = c->at; k < m->count; k++) {
        const struct model_batch *b = &m->v[k];
        if (!b->acked)
            continue; // never answered: it may be there or not
        bool covered = c->after != SIM_DEATH_POWER || b->last_offset < m->durable;
        if (covered) {
            model_fail(c->m, c->sim,
                       "%s: acknowledged batch %lld..%lld is gone after %s; the log ends at %lld, durable was %lld",
                       m->name, (long long)b->base_offset, (long long)b->last_offset,
                       c->after == SIM_DEATH_POWER  ? "a power cut"
                       : c->after == SIM_DEATH_KILL ? "the death of the process"
                                                    : "nothing at all",
                       (long long)log_end, (long long)m->durable);
            return false;
        }
    }
    if (c->after != SIM_DEATH_NONE)
        m->count = m->flush_from = c->at; // what was in flight is decided now
    if (c->after == SIM_DEATH_POWER) {
        m->tainted = false;
        model_log_durable(m, m->durable < log_end ? m->durable : log_end);
    }
    return true;
}
