// SPDX-License-Identifier: Apache-2.0
//
// The log against a model: random appends, reads, rolls, retention, truncation, rest, death and power cut (the sectors
// stay, only the written marks are void), over many seeds; after each step what can be asked is compared with a plain
// array.
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { MODEL_BATCHES_MAX = 4000, MODEL_PRODUCERS = 3 };

struct model_batch {
    int64_t base, last, timestamp;
    size_t bytes;
};

struct model {
    struct model_batch batches[MODEL_BATCHES_MAX];
    unsigned count;
    int64_t start, end;
    int32_t sequence[MODEL_PRODUCERS]; // next, of a producer whose state is known for sure; -1: never wrote
    struct prng prng;
};

static uint64_t below(struct model *m, uint64_t n)
{
    return prng_below(&m->prng, n);
}

// The index of the batch that holds offset.
static unsigned model_find(const struct model *m, int64_t offset)
{
    unsigned i = 0;
    while (i < m->count && m->batches[i].last < offset)
        i++;
    return i;
}

static void step_append(struct fixture *f, struct model *m)
{
    struct plog_append op;
    struct batch_spec spec = {
        .records = 1 + (int32_t)below(m, 5),
        .value_bytes = below(m, 4) ? below(m, 200) : below(m, 3000),
        .timestamp = 1000 + (int64_t)below(m, 5000),
    };
    unsigned who = (unsigned)below(m, MODEL_PRODUCERS + 1);
    if (who < MODEL_PRODUCERS) {
        spec.producer_id = 1 + who;
        spec.base_sequence = m->sequence[who];
    }
    enum rc rc = fixture_append(f, spec, &op);
    cr_assert_eq(rc, RC_OK, "%s", rc_name(rc));
    cr_assert_not(op.duplicate);
    cr_assert_eq(op.base_offset, m->end);
    m->batches[m->count++] = (struct model_batch){op.base_offset, op.last_offset, op.timestamp_max, op.bytes};
    m->end = op.last_offset + 1;
    if (who < MODEL_PRODUCERS)
        m->sequence[who] += spec.records;
}

static void step_read(struct fixture *f, struct model *m)
{
    struct plog_slice slice;
    int64_t span = m->end - m->start;
    struct plog_read read = {
        .offset = m->start + (int64_t)below(m, (uint64_t)span + 1),
        .bytes_max = below(m, 3) ? below(m, 20000) : below(m, 1000),
        .at_least_one = below(m, 2),
    };
    read.bound = below(m, 2) ? m->end : m->start + (int64_t)below(m, (uint64_t)span + 1);
    enum rc rc = plog_read(&f->log, &read, &slice, NULL);
    cr_assert_eq(rc, RC_OK, "%s", rc_name(rc));
    unsigned first = model_find(m, read.offset), i = first;
    size_t bytes = 0;
    while (i < m->count && m->batches[i].last < read.bound && read.offset < read.bound &&
           (bytes + m->batches[i].bytes <= read.bytes_max || (i == first && read.at_least_one))) {
        bytes += m->batches[i].bytes;
        i++;
        if (bytes > read.bytes_max)
            break;
    }
    if (slice.bytes < bytes) { // a slice may end with its segment
        bool at_segment_end = slice.next_offset == f->log.active.base_offset;
        for (uint32_t s = 0; s < f->log.sealed_count; s++)
            at_segment_end = at_segment_end || slice.next_offset == f->log.sealed[s].base_offset;
        cr_assert(slice.bytes > 0 && at_segment_end, "offset %lld bound %lld max %llu: %llu of %zu bytes",
                  (long long)read.offset, (long long)read.bound, (unsigned long long)read.bytes_max,
                  (unsigned long long)slice.bytes, bytes);
    } else {
        cr_assert_eq(slice.bytes, bytes, "offset %lld bound %lld max %llu: %llu, not %zu", (long long)read.offset,
                     (long long)read.bound, (unsigned long long)read.bytes_max, (unsigned long long)slice.bytes, bytes);
    }
    if (slice.bytes) {
        uint8_t header[BATCH_HEADER_BYTES];
        size_t got;
        cr_assert_eq(slice.first_offset, m->batches[first].base);
        cr_assert_eq(io_file_read_now(plog_slice_file(&slice), header, sizeof(header), slice.position, &got), RC_OK);
        cr_assert_eq((int64_t)be64(header), m->batches[first].base);
        unsigned next = model_find(m, slice.next_offset);
        cr_assert(next == m->count ? slice.next_offset == m->end : slice.next_offset == m->batches[next].base);
    }
    plog_slice_release(&slice);
}

static void step_time(struct fixture *f, struct model *m)
{
    struct plog_time_found found;
    int64_t ts = 900 + (int64_t)below(m, 5300);
    unsigned i = model_find(m, m->start), best = m->count;
    cr_assert_eq(plog_find_timestamp(&f->log, ts, m->end, &found, NULL), RC_OK);
    for (unsigned k = i; k < m->count; k++)
        if (best == m->count || m->batches[k].timestamp > m->batches[best].timestamp)
            best = k;
    while (i < m->count && m->batches[i].timestamp < ts)
        i++;
    cr_assert_eq(found.found, i < m->count);
    if (found.found)
        cr_assert_eq(found.batch.first_offset, m->batches[i].base);
    plog_slice_release(&found.batch);
    cr_assert_eq(plog_find_timestamp_max(&f->log, m->end, &found, NULL), RC_OK);
    cr_assert_eq(found.found, best < m->count);
    if (found.found)
        cr_assert_eq(found.batch_timestamp_max, m->batches[best].timestamp);
    plog_slice_release(&found.batch);
}

static void step_duplicate(struct fixture *f, struct model *m)
{
    unsigned who = (unsigned)below(m, MODEL_PRODUCERS);
    const struct producer_entry *e = producer_state_find(&f->log.producers, 1 + who);
    if (!e || e->batch_count == 0)
        return;
    struct plog_append op;
    const struct producer_batch b = e->batches[below(m, e->batch_count)];
    struct batch_spec spec = {.records = b.offset_delta + 1,
                              .value_bytes = 10,
                              .producer_id = 1 + who,
                              .base_sequence = b.last_sequence - b.offset_delta};
    cr_assert_eq(fixture_append(f, spec, &op), RC_OK);
    cr_assert(op.duplicate);
    cr_assert_eq(op.last_offset, b.last_offset);
    cr_assert_eq(plog_written_end(&f->log), m->end);
}

static void raised(struct plog_start_op *op, enum rc rc)
{
    cr_assert_eq(rc, RC_OK);
    op->dir_op.record.type = 0;
}

static void step_raise(struct fixture *f, struct model *m)
{
    struct plog_start_op op = {.done = raised};
    int64_t to = m->start + (int64_t)below(m, (uint64_t)(m->end - m->start) / 4 + 1);
    if (plog_raise_start(&f->log, to, &op) == RC_AGAIN)
        while (op.dir_op.record.type != 0)
            io_poll(f->io, 1000000);
    m->start = to;
    while (plog_retention_step(&f->log, m->end, 0)) {
    }
    cr_assert_eq(plog_start_offset(&f->log), to);
}

static void step_truncate(struct fixture *f, struct model *m)
{
    unsigned i = model_find(m, m->start + (int64_t)below(m, (uint64_t)(m->end - m->start) + 1));
    if (i >= m->count || m->batches[i].base <= m->start)
        return;
    fixture_settle(f);
    int64_t to = m->batches[i].base + (int64_t)below(m, (uint64_t)(m->batches[i].last - m->batches[i].base) + 1);
    cr_assert_eq(plog_truncate(&f->log, to), RC_OK);
    fixture_recover(f);
    m->count = i;
    m->end = m->batches[i].base;
    for (unsigned who = 0; who < MODEL_PRODUCERS; who++) { // where the state went back to
        const struct producer_entry *e = producer_state_find(&f->log.producers, 1 + who);
        m->sequence[who] = e && e->batch_count ? e->batches[e->batch_count - 1].last_sequence + 1 : 0;
        cr_assert(!e || e->batch_count == 0 || e->batches[e->batch_count - 1].last_offset < m->end);
    }
}

static void check(struct fixture *f, struct model *m)
{
    cr_assert_eq(plog_written_end(&f->log), m->end);
    cr_assert_eq(plog_start_offset(&f->log), m->start);
    for (unsigned who = 0; who < MODEL_PRODUCERS; who++) {
        const struct producer_entry *e = producer_state_find(&f->log.producers, 1 + who);
        if (e && e->batch_count)
            cr_assert_eq(e->batches[e->batch_count - 1].last_sequence + 1, m->sequence[who]);
    }
}

static void step(struct fixture *f, struct model *m)
{
    switch (below(m, 20)) {
    case 0:
        fixture_die(f);
        fixture_recover(f);
        break;
    case 1:
        fixture_power_cut(f);
        fixture_recover(f);
        break;
    case 2:
        fixture_settle(f);
        cr_assert_eq(plog_rest(&f->log), RC_OK);
        break;
    case 3:
        fixture_stop(f);
        fixture_start(f);
        fixture_recover(f);
        break;
    case 4:
        fixture_settle(f);
        break;
    case 5:
        step_duplicate(f, m);
        break;
    case 6:
        if (below(m, 4) == 0)
            step_raise(f, m);
        break;
    case 7:
        if (below(m, 4) == 0)
            step_truncate(f, m);
        break;
    case 8:
        store_want_checkpoint(&f->store, &f->log);
        break;
    case 9:
        step_time(f, m);
        break;
    case 10:
    case 11:
    case 12:
    case 13:
        step_read(f, m);
        break;
    default:
        step_append(f, m);
        break;
    }
    check(f, m);
}

static void run(uint64_t seed, unsigned steps)
{
    static struct model m;
    struct fixture f = {.config = PLOG_CONFIG_DEFAULT, .store_config = STORE_CONFIG_DEFAULT};
    m = (struct model){0};
    prng_init(&m.prng, seed);
    f.config.segment_bytes = 20000 + (uint32_t)below(&m, 40000);
    f.config.index_interval_bytes = (uint32_t)below(&m, 3000);
    f.config.segment_index_bytes = below(&m, 2) ? 96 : 1 << 20;
    f.config.file_delete_delay_ms = 0;
    f.config.retention_ms = -1;
    f.config.flush_messages = below(&m, 3) ? INT64_MAX : 1 + (int64_t)below(&m, 3);
    f.store_config.files_max = 8;
    f.store_config.mark_bytes = below(&m, 20000);
    f.store_config.unsynced_log_bytes_max = below(&m, 100000);
    f.store_config.index_waits_bytes = (uint32_t)below(&m, 3) * 8000;
    fixture_open(&f);
    for (unsigned i = 0; i < steps; i++)
        step(&f, &m);
    // What is left is the model, byte by byte.
    int64_t records = 0;
    for (unsigned i = model_find(&m, m.start); i < m.count; i++)
        records += m.batches[i].last - m.batches[i].base + 1;
    if (m.start == m.end || m.batches[model_find(&m, m.start)].base == m.start)
        cr_assert_eq(fixture_read_all(&f), records);
    fixture_close(&f);
}

Test(model, agrees_over_many_seeds)
{
    const char *from = getenv("WEIR_SEED");
    uint64_t first = from ? strtoull(from, NULL, 10) : 1, count = from ? 1 : 24;
    for (uint64_t seed = first; seed < first + count; seed++) {
        cr_log_info("seed %llu", (unsigned long long)seed);
        run(seed, 400);
    }
}
