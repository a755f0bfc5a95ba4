// SPDX-License-Identifier: Apache-2.0
//
// See compact_model.h.
#include "compact_model.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t model_below(struct model *m, uint64_t n)
{
    return prng_below(&m->prng, n);
}

size_t model_key(char out[600], int32_t key)
{
    // Keys of all lengths, some longer than a codec's piece is small.
    int n = snprintf(out, 600, "key-%d-", key);
    size_t more = (size_t)(key * 37 % 500);
    memset(out + n, 'k', more);
    return (size_t)n + more;
}

// ------------------------------------------------------------------------------------------------ append

struct append_wait {
    struct plog_append op;
    enum rc rc;
    bool done;
};

static void appended(struct plog_append *op, enum rc rc)
{
    struct append_wait *w = container_of(op, struct append_wait, op);
    w->rc = rc;
    w->done = true;
}

void model_append_bytes(struct fixture *f, struct buf *batch)
{
    struct append_wait w = {.op.done = appended};
    w.op.batch = batch->p;
    w.op.bytes = batch->n;
    w.op.leader_epoch = 3;
    w.op.flags = PLOG_APPEND_INTERNAL;
    enum rc rc = plog_append(&f->log, &w.op);
    cr_assert_eq(rc, RC_OK, "%s", rc_name(rc));
    plog_flush(&f->log);
    while (!w.done)
        io_poll(f->io, 1000000);
    cr_assert_eq(w.rc, RC_OK);
    plog_note_high_watermark(&f->log, plog_offered_end(&f->log));
}

void model_append(struct fixture *f, struct model *m, enum codec codec, bool with_producer)
{
    struct batch_options o = batch_options_default();
    struct batch_builder b;
    struct buf out;
    static uint8_t value[1000];
    o.codec = codec;
    if (with_producer) {
        o.producer_id = 77;
        o.producer_epoch = 0;
        o.base_sequence = m->sequence;
    }
    batch_builder_init(&b, &o, INFLATED_MAX);
    int32_t records = 1 + (int32_t)model_below(m, BATCH_RECORDS_MAX);
    for (int32_t i = 0; i < records; i++) {
        struct model_record *r = &m->v[m->end++];
        char key[600];
        *r = (struct model_record){.key = (int32_t)model_below(m, m->keys),
                                   .value_bytes = (uint32_t)model_below(m, model_below(m, 10) ? 200 : 1000),
                                   .value = (uint8_t)model_below(m, 256),
                                   .tombstone = model_below(m, 8) == 0,
                                   .timestamp = 1000000 + m->end * 10 + (int64_t)model_below(m, 50)};
        memset(value, r->value, r->value_bytes);
        size_t n = model_key(key, r->key);
        struct bytes v = r->tombstone ? bytes_of(NULL, 0) : bytes_of(value, r->value_bytes);
        struct record_header header = {bytes_str("h"), bytes_str("header value")};
        cr_assert_eq(batch_builder_add(&b, r->timestamp, bytes_of(key, n), v, &header, model_below(m, 2) == 0), RC_OK);
    }
    if (with_producer)
        m->sequence += records;
    buf_init(&out, INFLATED_MAX);
    cr_assert_eq(batch_builder_finish(&b, &out), RC_OK);
    model_append_bytes(f, &out);
    buf_deinit(&out);
    batch_builder_deinit(&b);
}

// ------------------------------------------------------------------------------------------------ reading

static void read_record(struct reader *r, const struct record *got, const struct batch_header *h)
{
    struct model_record *want = &r->m->v[got->offset];
    char key[600];
    (void)h;
    cr_assert(got->offset >= r->next && got->offset < r->m->end, "offset %lld after %lld", (long long)got->offset,
              (long long)r->next);
    r->next = got->offset + 1;
    want->present = true;
    if (want->control)
        return;
    if (want->key < 0) {
        cr_assert(got->key.p == NULL);
    } else {
        size_t n = model_key(key, want->key);
        cr_assert(bytes_eq(got->key, bytes_of(key, n)), "offset %lld has another key", (long long)got->offset);
    }
    cr_assert_eq(got->timestamp, want->timestamp, "offset %lld: %lld, not %lld", (long long)got->offset,
                 (long long)got->timestamp, (long long)want->timestamp);
    cr_assert_eq(got->value.p == NULL, want->tombstone);
    if (!want->tombstone) {
        cr_assert_eq(got->value.n, want->value_bytes);
        for (size_t i = 0; i < got->value.n; i++)
            cr_assert_eq(got->value.p[i], want->value);
    }
}

static void read_batch(struct reader *r, struct bytes batch, const struct batch_header *h)
{
    static _Alignas(16) uint8_t workspace[CODEC_WORKSPACE_BYTES];
    struct buf scratch;
    struct bytes records;
    struct batch_iter it;
    struct record rec;
    int64_t max = TIMESTAMP_NONE;
    cr_assert(batch_crc_ok(batch));
    if (h->record_count == 0) {
        r->empty_batches++;
        return;
    }
    r->horizons += (h->attributes & BATCH_ATTR_DELETE_HORIZON) != 0;
    buf_init(&scratch, INFLATED_MAX * 2);
    cr_assert_eq(batch_inflate(batch, &scratch, &records, workspace, sizeof(workspace)), RC_OK);
    batch_iter_init(&it, h, records);
    while (batch_iter_next(&it, &rec)) {
        read_record(r, &rec, h);
        if (rec.timestamp > max)
            max = rec.timestamp;
    }
    cr_assert_eq(it.rc, RC_OK);
    cr_assert_eq(it.read, h->record_count);
    if (!(h->attributes & BATCH_ATTR_CONTROL))
        cr_assert_eq(h->max_timestamp, max);
    buf_deinit(&scratch);
}

static struct reader read_all(struct fixture *f, struct model *m)
{
    struct reader r = {.f = f, .m = m, .next = f->log.start};
    for (int64_t i = 0; i < m->end; i++)
        m->v[i].present = false;
    int64_t last = f->log.start - 1;
    struct plog_read read = {.offset = f->log.start, .bound = INT64_MAX, .bytes_max = 30000, .at_least_one = true};
    while (read.offset < plog_written_end(&f->log)) {
        struct plog_slice slice;
        size_t got;
        enum rc rc = plog_read(&f->log, &read, &slice, NULL);
        cr_assert_eq(rc, RC_OK, "%s at %lld", rc_name(rc), (long long)read.offset);
        cr_assert(slice.bytes > 0 && slice.next_offset > read.offset);
        uint8_t *p = malloc(slice.bytes);
        cr_assert_eq(io_file_read_now(plog_slice_file(&slice), p, slice.bytes, slice.position, &got), RC_OK);
        cr_assert_eq(got, slice.bytes);
        for (size_t at = 0; at < got;) {
            struct batch_header h;
            cr_assert_eq(batch_header_read(bytes_of(p + at, got - at), &h), RC_OK);
            cr_assert(h.base_offset > last, "batch %lld behind offset %lld", (long long)h.base_offset, (long long)last);
            last = batch_last_offset(&h);
            read_batch(&r, bytes_of(p + at, batch_bytes(&h)), &h);
            at += batch_bytes(&h);
        }
        read.offset = slice.next_offset;
        plog_slice_release(&slice);
        free(p);
    }
    cr_assert_eq(last + 1, plog_written_end(&f->log));
    return r;
}

// Whatever was compacted: nothing is missing that is not superseded, and below first dirty nothing superseded is left.
struct reader model_verify(struct fixture *f, struct model *m)
{
    int64_t latest[KEYS_MAX], latest_clean[KEYS_MAX], dirty = f->log.first_dirty;
    struct reader r = read_all(f, m);
    cr_assert_eq(plog_written_end(&f->log), m->end);
    for (unsigned k = 0; k < KEYS_MAX; k++)
        latest[k] = latest_clean[k] = -1;
    for (int64_t i = 0; i < m->end; i++)
        if (m->v[i].key >= 0 && !m->v[i].control && !m->v[i].aborted) {
            latest[m->v[i].key] = i;
            if (i < dirty)
                latest_clean[m->v[i].key] = i;
        }
    for (int64_t i = f->log.start; i < m->end; i++) {
        const struct model_record *v = &m->v[i];
        if (v->control) {
            cr_assert(v->present);
            continue;
        }
        if (v->key < 0 || v->aborted) {
            cr_assert(!v->present || i >= dirty);
            continue;
        }
        bool superseded = latest[v->key] > i, superseded_below = latest_clean[v->key] > i;
        cr_assert(v->present || superseded || v->tombstone, "offset %lld is missing", (long long)i);
        cr_assert(!v->present || !superseded_below, "offset %lld was superseded at %lld and is there, dirty from %lld",
                  (long long)i, (long long)latest_clean[v->key], (long long)dirty);
        if (!v->present)
            cr_assert(i < plog_segment_at(&f->log, f->log.sealed_count).base_offset); // never in the active segment
    }
    return r;
}

// Every offset can be asked for and gives the next batch; every time its first record.
void model_verify_lookups(struct fixture *f, struct model *m)
{
    for (unsigned n = 0; n < 40; n++) {
        int64_t at = f->log.start + (int64_t)model_below(m, (uint64_t)(m->end - f->log.start));
        struct plog_read read = {.offset = at, .bound = m->end, .bytes_max = 1, .at_least_one = true};
        struct plog_slice slice;
        cr_assert_eq(plog_read(&f->log, &read, &slice, NULL), RC_OK);
        cr_assert(slice.file && slice.next_offset > at);
        plog_slice_release(&slice);
        struct plog_time_found found;
        int64_t ts = 1000000 + at * 10;
        cr_assert_eq(plog_find_timestamp(&f->log, ts, m->end, &found, NULL), RC_OK);
        int64_t first = f->log.start;
        while (first < m->end && (!m->v[first].present || m->v[first].control || m->v[first].timestamp < ts))
            first++;
        if (first < m->end) {
            cr_assert(found.found && found.batch.first_offset <= first && found.batch.next_offset > first,
                      "time %lld lies at %lld, found %lld", (long long)ts, (long long)first,
                      found.found ? (long long)found.batch.first_offset : -1LL);
        }
        plog_slice_release(&found.batch);
    }
}

void model_setup(struct fixture *f, struct model *m, uint64_t seed)
{
    *f = (struct fixture){.config = PLOG_CONFIG_DEFAULT, .store_config = STORE_CONFIG_DEFAULT};
    *m = (struct model){.keys = KEYS_MAX};
    prng_init(&m->prng, seed);
    f->config.compacts = true;
    f->config.deletes = false;
    f->config.segment_bytes = 30000;
    f->config.index_interval_bytes = 500;
    f->config.min_cleanable_dirty_ratio = 0;
    f->config.file_delete_delay_ms = 0;
    f->store_config.compact.backoff_ms = 0;
}

const struct compact_counters *model_counters(const struct fixture *f)
{
    return compactor_counters(f->store.compactor);
}

enum codec model_codec(struct model *m)
{
    return (enum codec)model_below(m, CODEC_COUNT);
}
