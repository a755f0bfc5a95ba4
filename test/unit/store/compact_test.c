// SPDX-License-Identifier: Apache-2.0
//
// Compaction against a model: random keys, tombstones, codecs and producers; after any number of runs, deaths and power
// cuts the log holds of each key what the model says, in order, at the offsets it was given.
#include "fixture.h"

#include "store/compact_private.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORDS_MAX = 60000, KEYS_MAX = 64, BATCH_RECORDS_MAX = 12, INFLATED_MAX = 1 << 20 };

struct model_record {
    int32_t key; // -1: none
    uint32_t value_bytes;
    uint8_t value;
    bool tombstone, present, control, aborted;
    int64_t timestamp;
};

struct model {
    struct model_record v[RECORDS_MAX]; // by offset
    int64_t end;
    uint32_t keys;
    struct prng prng;
    int32_t sequence;
};

static uint64_t below(struct model *m, uint64_t n)
{
    return prng_below(&m->prng, n);
}

static size_t key_text(char out[600], int32_t key)
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

static void append_bytes(struct fixture *f, struct buf *batch)
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

static void append(struct fixture *f, struct model *m, enum codec codec, bool with_producer)
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
    int32_t records = 1 + (int32_t)below(m, BATCH_RECORDS_MAX);
    for (int32_t i = 0; i < records; i++) {
        struct model_record *r = &m->v[m->end++];
        char key[600];
        *r = (struct model_record){.key = (int32_t)below(m, m->keys),
                                   .value_bytes = (uint32_t)(below(m, 10) ? below(m, 200) : below(m, 1000)),
                                   .value = (uint8_t)below(m, 256),
                                   .tombstone = below(m, 8) == 0,
                                   .timestamp = 1000000 + m->end * 10 + (int64_t)below(m, 50)};
        memset(value, r->value, r->value_bytes);
        size_t n = key_text(key, r->key);
        struct bytes v = r->tombstone ? bytes_of(NULL, 0) : bytes_of(value, r->value_bytes);
        struct record_header header = {bytes_str("h"), bytes_str("header value")};
        cr_assert_eq(batch_builder_add(&b, r->timestamp, bytes_of(key, n), v, &header, below(m, 2) == 0), RC_OK);
    }
    if (with_producer)
        m->sequence += records;
    buf_init(&out, INFLATED_MAX);
    cr_assert_eq(batch_builder_finish(&b, &out), RC_OK);
    append_bytes(f, &out);
    buf_deinit(&out);
    batch_builder_deinit(&b);
}

// ------------------------------------------------------------------------------------------------ reading

struct reader {
    struct fixture *f;
    struct model *m;
    int64_t next;
    int64_t empty_batches, horizons;
};

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
        size_t n = key_text(key, want->key);
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
static struct reader verify(struct fixture *f, struct model *m)
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
static void verify_lookups(struct fixture *f, struct model *m)
{
    for (unsigned n = 0; n < 40; n++) {
        int64_t at = f->log.start + (int64_t)below(m, (uint64_t)(m->end - f->log.start));
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

static void setup(struct fixture *f, struct model *m, uint64_t seed)
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

static const struct compact_counters *counters(const struct fixture *f)
{
    return compactor_counters(f->store.compactor);
}

static enum codec any_codec(struct model *m)
{
    return (enum codec)below(m, CODEC_COUNT);
}

// ------------------------------------------------------------------------------------------------ the map

Test(key_map, keeps_the_latest_and_says_when_it_is_full)
{
    struct key_map m;
    cr_assert_eq(key_map_init(&m, 1000, 500 * KEY_MAP_ENTRY_BYTES, 0.9, 5), RC_OK);
    cr_assert_eq(m.count_max, 450);
    for (int64_t i = 0; i < 450; i++) {
        cr_assert_eq(key_map_put(&m, key_hash_of(bytes_of(&i, sizeof(i)), 5), i), RC_OK);
        cr_assert_eq(key_map_put(&m, key_hash_of(bytes_of(&i, sizeof(i)), 5), i + 1000), RC_OK);
    }
    int64_t more = 450;
    cr_assert_eq(key_map_put(&m, key_hash_of(bytes_of(&more, sizeof(more)), 5), 9), RC_FULL);
    cr_assert_eq(key_map_get(&m, key_hash_of(bytes_of(&more, sizeof(more)), 5)), OFFSET_NONE);
    for (int64_t i = 0; i < 450; i++)
        cr_assert_eq(key_map_get(&m, key_hash_of(bytes_of(&i, sizeof(i)), 5)), i + 1000);
    key_map_deinit(&m);
    cr_assert_eq(key_map_init(&m, 0, 0, 0.9, 5), RC_OK); // one key at least
    cr_assert_eq(key_map_put(&m, (struct key_hash){1, 2}, 0), RC_OK);
    cr_assert_eq(key_map_put(&m, (struct key_hash){1, 3}, 0), RC_FULL); // half a hash is not the key
    cr_assert_eq(key_map_get(&m, (struct key_hash){1, 2}), 0);
    key_map_deinit(&m);
}

// ------------------------------------------------------------------------------------------------ runs

Test(compact, keeps_the_latest_of_each_key_in_order)
{
    static struct fixture f;
    static struct model m;
    for (enum codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        setup(&f, &m, 1 + codec);
        fixture_open(&f);
        for (unsigned i = 0; i < 400; i++)
            append(&f, &m, codec, i % 3 == 0);
        uint64_t before = plog_bytes(&f.log);
        fixture_settle(&f);
        cr_assert_gt(counters(&f)->swaps, 0);
        cr_assert_eq(counters(&f)->runs_failed, 0);
        cr_assert_lt(plog_bytes(&f.log), before / 2);
        cr_assert_gt(f.log.first_dirty, 0);
        verify(&f, &m);
        verify_lookups(&f, &m);
        fixture_power_cut(&f);
        fixture_recover(&f);
        verify(&f, &m);
        verify_lookups(&f, &m);
        fixture_stop(&f);
        char path[400], text[200] = "";
        snprintf(path, sizeof(path), "%s/cleaner-offset-checkpoint", f.path);
        FILE *file = fopen(path, "rb");
        cr_assert(file && fread(text, 1, sizeof(text) - 1, file) > 0);
        fclose(file);
        char want[100];
        fixture_start(&f);
        fixture_recover(&f);
        snprintf(want, sizeof(want), "0\n1\nt 0 %lld\n", (long long)f.log.first_dirty);
        cr_assert_str_eq(text, want);
        verify(&f, &m);
        fixture_close(&f);
    }
}

Test(compact, merges_small_segments)
{
    static struct fixture f;
    static struct model m;
    setup(&f, &m, 9);
    m.keys = 4;
    f.config.segment_bytes = 16384;
    fixture_open(&f);
    for (unsigned i = 0; i < 600; i++)
        append(&f, &m, CODEC_NONE, false);
    uint32_t before = f.log.sealed_count;
    fixture_settle(&f);
    cr_assert_gt(before, 10);
    for (unsigned i = 0; i < 60; i++) // what fits together now is put together by the next run
        append(&f, &m, CODEC_NONE, false);
    fixture_settle(&f);
    cr_assert_lt(f.log.sealed_count, before / 4);
    verify(&f, &m);
    fixture_close(&f);
}

Test(compact, a_map_of_a_few_keys_gets_ahead)
{
    static struct fixture f;
    static struct model m;
    setup(&f, &m, 11);
    f.store_config.compact.map_bytes_max = 10 * KEY_MAP_ENTRY_BYTES;
    fixture_open(&f);
    for (unsigned i = 0; i < 60; i++)
        append(&f, &m, any_codec(&m), false);
    fixture_settle(&f);
    cr_assert_gt(counters(&f)->runs, 5);
    cr_assert_eq(f.log.first_dirty, f.log.active.base_offset);
    verify(&f, &m);
    fixture_close(&f);
}

Test(compact, a_tombstone_stays_for_delete_retention_and_then_goes)
{
    static struct fixture f;
    static struct model m;
    setup(&f, &m, 13);
    f.config.delete_retention_ms = 300;
    fixture_open(&f);
    for (unsigned i = 0; i < 100; i++)
        append(&f, &m, any_codec(&m), false);
    m.keys = 4; // of the others nothing more is written
    for (unsigned i = 0; i < 100; i++)
        append(&f, &m, any_codec(&m), false);
    fixture_settle(&f);
    int64_t dirty = f.log.first_dirty, tombstones = 0, left = 0;
    struct reader r = verify(&f, &m);
    cr_assert_gt(r.horizons, 0);
    for (int64_t i = 0; i < dirty; i++) {
        bool latest = m.v[i].tombstone;
        for (int64_t k = i + 1; k < dirty && latest; k++)
            latest = m.v[k].key != m.v[i].key;
        cr_assert(!latest || m.v[i].present, "a tombstone is gone too early");
        tombstones += latest;
    }
    cr_assert_gt(tombstones, 0);
    int64_t until = io_wall_ms(f.io) + 400, needed = dirty / 2, kept = 0;
    while (io_wall_ms(f.io) < until)
        io_poll(f.io, 10000000);
    f.log.tombstones_needed = needed; // somebody has the state up to there
    for (int round = 0; round < 2; round++) {
        left = kept = 0;
        for (unsigned i = 0; i < 100; i++)
            append(&f, &m, any_codec(&m), false);
        fixture_settle(&f);
        verify(&f, &m);
        for (int64_t i = 0; i < dirty; i++)
            *(i < needed ? &left : &kept) += m.v[i].tombstone && m.v[i].present;
        cr_assert_eq(left, 0);
        cr_assert_eq(kept > 0, round == 0, "%lld tombstones past what is needed", (long long)kept);
        f.log.tombstones_needed = INT64_MAX;
    }
    fixture_close(&f);
}

Test(compact, a_slice_that_is_out_keeps_the_old_bytes)
{
    static struct fixture f;
    static struct model m;
    static uint8_t before[20000], after[20000];
    struct plog_slice slice;
    size_t got;
    setup(&f, &m, 15);
    fixture_open(&f);
    for (unsigned i = 0; i < 200; i++)
        append(&f, &m, CODEC_NONE, false);
    struct plog_read read = {.bound = m.end, .bytes_max = sizeof(before), .at_least_one = true};
    cr_assert_eq(plog_read(&f.log, &read, &slice, NULL), RC_OK);
    cr_assert_eq(io_file_read_now(plog_slice_file(&slice), before, slice.bytes, slice.position, &got), RC_OK);
    fixture_settle(&f);
    cr_assert_gt(counters(&f)->swaps, 0);
    cr_assert_eq(io_file_read_now(plog_slice_file(&slice), after, slice.bytes, slice.position, &got), RC_OK);
    cr_assert_eq(got, slice.bytes);
    cr_assert_eq(memcmp(before, after, got), 0);
    plog_slice_release(&slice);
    verify(&f, &m);
    fixture_close(&f);
}

Test(compact, waits_for_watermark_lag_ratio_and_policy)
{
    static struct fixture f;
    static struct model m;
    struct plog_config config;
    setup(&f, &m, 17);
    f.config.min_cleanable_dirty_ratio = 0.9;
    fixture_open(&f);
    for (unsigned i = 0; i < 200; i++)
        append(&f, &m, CODEC_NONE, false);
    plog_note_high_watermark(&f.log, 0);
    fixture_settle(&f);
    cr_assert_eq(counters(&f)->runs, 0);
    plog_note_high_watermark(&f.log, m.end); // all is dirty: 1.0
    fixture_settle(&f);
    cr_assert_eq(counters(&f)->runs, 1);
    for (unsigned i = 0; i < 30; i++)
        append(&f, &m, CODEC_NONE, false);
    fixture_settle(&f);
    cr_assert_eq(counters(&f)->runs, 1);
    config = f.config;
    config.min_cleanable_dirty_ratio = 0;
    config.min_compaction_lag_ms = INT64_C(1) << 60;
    plog_configure(&f.log, &config);
    fixture_settle(&f);
    cr_assert_eq(counters(&f)->runs, 1);
    struct plog_config old = config;
    old.min_compaction_lag_ms = 0;
    old.min_cleanable_dirty_ratio = 1;
    old.max_compaction_lag_ms = 1; // from 1970
    plog_configure(&f.log, &old);
    fixture_settle(&f);
    cr_assert_eq(counters(&f)->runs, 2);
    verify(&f, &m);
    struct plog_config none = old;
    none.compacts = false;
    plog_configure(&f.log, &none);
    for (unsigned i = 0; i < 100; i++)
        append(&f, &m, CODEC_LZ4, false);
    fixture_settle(&f);
    cr_assert_eq(counters(&f)->runs, 2);
    fixture_close(&f);
}

Test(compact, records_without_a_key_go)
{
    static struct fixture f;
    static struct model m;
    setup(&f, &m, 19);
    fixture_open(&f);
    for (unsigned i = 0; i < 60; i++) {
        struct batch_options o = batch_options_default();
        struct batch_builder b;
        struct buf out;
        append(&f, &m, CODEC_NONE, false);
        batch_builder_init(&b, &o, INFLATED_MAX);
        m.v[m.end] = (struct model_record){.key = -1, .value = 'v', .value_bytes = 1, .timestamp = 1000000 + m.end * 10};
        cr_assert_eq(batch_builder_add(&b, m.v[m.end].timestamp, bytes_of(NULL, 0), bytes_str("v"), NULL, 0), RC_OK);
        m.end++;
        buf_init(&out, INFLATED_MAX);
        cr_assert_eq(batch_builder_finish(&b, &out), RC_OK);
        append_bytes(&f, &out);
        buf_deinit(&out);
        batch_builder_deinit(&b);
    }
    fixture_settle(&f);
    cr_assert_gt(counters(&f)->records_keyless, 0);
    verify(&f, &m);
    fixture_close(&f);
}

// ------------------------------------------------------------------------------------------------ damage

// The base offset is covered by no checksum.
Test(compact, a_batch_out_of_place_stops_compaction_of_its_log)
{
    for (unsigned byte = 5; byte < 8; byte++) {
        static struct fixture f;
        static struct model m;
        static uint8_t head[1 << 16];
        f = (struct fixture){0};
        setup(&f, &m, 23);
        fixture_open(&f);
        for (unsigned i = 0; i < 200; i++)
            append(&f, &m, CODEC_NONE, false);
        cr_assert_gt(fixture_read_file(&f, "00000000000000000000.log", head, sizeof(head)), 12);
        uint64_t second = 12 + be32(head + 8);
        fixture_flip(&f, "00000000000000000000.log", second + byte);
        fixture_settle(&f);
        cr_assert_eq(counters(&f)->logs_uncleanable, 1, "byte %u", byte);
        cr_assert_eq(f.log.state, PLOG_OPEN);
        fixture_close(&f);
    }
}

Test(compact, a_damaged_batch_stops_compaction_of_its_log_and_nothing_else)
{
    static struct fixture f;
    static struct model m;
    setup(&f, &m, 21);
    fixture_open(&f);
    for (unsigned i = 0; i < 200; i++)
        append(&f, &m, CODEC_GZIP, false);
    fixture_flip(&f, "00000000000000000000.log", 5000);
    fixture_settle(&f);
    cr_assert_eq(counters(&f)->logs_uncleanable, 1);
    cr_assert(strstr(f.last_line, "/t-0/00000000000000000000.log"), "%s", f.last_line);
    cr_assert_eq(f.log.state, PLOG_OPEN);
    append(&f, &m, CODEC_GZIP, false);
    for (unsigned i = 0; i < 100; i++)
        append(&f, &m, CODEC_GZIP, false);
    fixture_settle(&f);
    cr_assert_eq(counters(&f)->runs, 1);
    cr_assert_not(fixture_exists(&f, "00000000000000000000.log.cleaned"));
    cr_assert_not(fixture_exists(&f, "00000000000000000000.index.swap"));
    fixture_close(&f);
}

// ------------------------------------------------------------------------------------------------ half a swap

static void shell(const char *format, const char *a, const char *b)
{
    char command[1200];
    snprintf(command, sizeof(command), format, a, b);
    cr_assert_eq(system(command), 0, "%s", command);
}

static void rename_in(struct fixture *f, const char *from, const char *to)
{
    char a[400], b[400];
    snprintf(a, sizeof(a), "%s", fixture_file(f, from));
    snprintf(b, sizeof(b), "%s", fixture_file(f, to));
    cr_assert_eq(rename(a, b), 0, "%s to %s", a, b);
}

static void remove_segment(struct fixture *f, int64_t base)
{
    static const char *const suffixes[] = {".log", ".index", ".timeindex"};
    for (unsigned i = 0; i < 3; i++) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(name, base, suffixes[i]);
        fixture_remove(f, name);
    }
}

// A log of small segments, and the same after they were merged: copies of the whole log folder in `old` and `new`.
// Returns how many segments became the first one.
static uint32_t make_old_and_new(struct fixture *f, struct model *m, const char *old, const char *new, int64_t bases[3])
{
    for (unsigned i = 0; i < 200; i++)
        append(f, m, CODEC_NONE, false);
    fixture_settle(f);
    compactor_pause(f->store.compactor);
    for (unsigned i = 0; i < 60; i++)
        append(f, m, CODEC_NONE, false);
    uint32_t before = f->log.sealed_count;
    fixture_stop(f);
    shell("cp -a '%s' '%s'", f->path, old);
    fixture_start(f);
    fixture_recover(f);
    plog_note_high_watermark(&f->log, m->end);
    bases[0] = f->log.sealed[1].base_offset;
    fixture_settle(f);
    verify(f, m);
    uint32_t merged = before - f->log.sealed_count;
    int64_t end = f->log.sealed[1].base_offset;
    fixture_stop(f);
    shell("cp -a '%s' '%s'", f->path, new);
    bases[1] = end;
    return merged;
}

// Every state in which a death or a power cut can leave the names of a swap ends in one of its two ends.
Test(compact, a_start_completes_or_undoes_half_a_swap)
{
    static struct fixture f;
    static struct model m;
    char old[300], new[300];
    int64_t bases[3];
    setup(&f, &m, 27);
    f.config.segment_bytes = 16384;
    m.keys = 6;
    fixture_open(&f);
    snprintf(old, sizeof(old), "%s-old", f.path);
    snprintf(new, sizeof(new), "%s-new", f.path);
    uint32_t merged = make_old_and_new(&f, &m, old, new, bases);
    cr_assert_gt(merged, 2);
    for (unsigned state = 0; state <= 33; state += 3) {
        char from[800];
        bool committed = state != 33;
        shell("rm -rf '%s'%s", f.path, "");
        shell("cp -a '%s' '%s'", old, f.path);
        const char *log = committed ? "00000000000000000000.log.swap" : "00000000000000000000.log.cleaned";
        snprintf(from, sizeof(from), "%s/t-0/00000000000000000000.log", new);
        shell("cp -a '%s' '%s'", from, fixture_file(&f, log));
        snprintf(from, sizeof(from), "%s/t-0/00000000000000000000.index", new);
        shell("cp -a '%s' '%s'", from, fixture_file(&f, "00000000000000000000.index.swap"));
        snprintf(from, sizeof(from), "%s/t-0/00000000000000000000.timeindex", new);
        shell("cp -a '%s' '%s'", from, fixture_file(&f, "00000000000000000000.timeindex.swap"));
        if (committed && state & 1)
            rename_in(&f, "00000000000000000000.log", "00000000000000000000.log.deleted");
        if (committed && state & 2)
            rename_in(&f, "00000000000000000000.index.swap", "00000000000000000000.index");
        if (committed && state & 4)
            rename_in(&f, "00000000000000000000.timeindex.swap", "00000000000000000000.timeindex");
        if (committed && state & 8)
            remove_segment(&f, bases[0]);
        fixture_start(&f);
        compactor_pause(f.store.compactor);
        fixture_recover(&f);
        cr_assert_eq(counters(&f)->swaps_completed_at_start, committed);
        cr_assert_eq(f.log.sealed_count > 1 && f.log.sealed[1].base_offset == bases[1], committed, "state %u", state);
        verify(&f, &m);
        verify_lookups(&f, &m);
        fixture_settle(&f);
        cr_assert_not(fixture_exists(&f, "00000000000000000000.log.swap"));
        cr_assert_not(fixture_exists(&f, "00000000000000000000.log.cleaned"));
        cr_assert_not(fixture_exists(&f, "00000000000000000000.index.swap"));
        cr_assert_not(fixture_exists(&f, "00000000000000000000.index.swap.deleted"));
        fixture_stop(&f);
    }
    // A segment that is not whole must not be swapped in: what it would replace may be gone.
    shell("rm -rf '%s'%s", f.path, "");
    shell("cp -a '%s' '%s'", old, f.path);
    rename_in(&f, "00000000000000000000.log", "00000000000000000000.log.swap");
    fixture_truncate(&f, "00000000000000000000.log.swap", fixture_size(&f, "00000000000000000000.log.swap") - 7);
    fixture_start(&f);
    struct plog_recovery_report report;
    cr_assert_eq(fixture_try_recover(&f, &report), RC_CORRUPT);
    cr_assert(strstr(f.last_line, "not whole"), "%s", f.last_line);
    cr_assert_eq(f.log.state, PLOG_DAMAGED);
    fixture_close(&f);
    shell("rm -rf '%s' '%s'", old, new);
}

Test(compact, reads_and_writes_no_faster_than_it_may)
{
    static struct fixture f;
    static struct model m;
    setup(&f, &m, 29);
    f.store_config.compact.io_bytes_a_second_max = 1 << 20;
    fixture_open(&f);
    for (unsigned i = 0; i < 100; i++)
        append(&f, &m, CODEC_NONE, false);
    uint64_t next, began = io_clock_ns(f.io);
    while (counters(&f)->runs == 0 || !compactor_is_idle(f.store.compactor)) {
        store_work(&f.store, 1000000, &next);
        io_poll(f.io, 1000000);
    }
    uint64_t bytes = counters(&f)->read_bytes + counters(&f)->write_bytes, took = io_clock_ns(f.io) - began;
    cr_assert_gt(bytes, 300000);
    cr_assert_gt(took, bytes * 1000000000 / (1 << 20) * 8 / 10, "%llu bytes in %llu ns", (unsigned long long)bytes,
                 (unsigned long long)took);
    verify(&f, &m);
    fixture_close(&f);
}

// ------------------------------------------------------------------------------------------------ transactions

static void append_marked(struct fixture *f, struct model *m, int64_t producer, bool control, bool commit, int32_t sequence)
{
    struct batch_options o = batch_options_default();
    struct batch_builder b;
    struct buf out;
    o.producer_id = producer;
    o.producer_epoch = 0;
    o.base_sequence = control ? -1 : sequence;
    o.attributes = (uint16_t)(BATCH_ATTR_TRANSACTIONAL | (control ? BATCH_ATTR_CONTROL : 0));
    batch_builder_init(&b, &o, INFLATED_MAX);
    const uint8_t marker[] = {0, 0, 0, commit}, value[] = {0, 0, 0, 0, 0, 1};
    char key[600];
    struct model_record *r = &m->v[m->end++];
    *r = (struct model_record){.key = (int32_t)below(m, m->keys), .value = 'x', .value_bytes = 1, .control = control,
                               .timestamp = 1000000 + m->end * 10};
    size_t n = key_text(key, r->key);
    enum rc rc = control ? batch_builder_add(&b, r->timestamp, bytes_of(marker, 4), bytes_of(value, 6), NULL, 0)
                         : batch_builder_add(&b, r->timestamp, bytes_of(key, n), bytes_str("x"), NULL, 0);
    cr_assert_eq(rc, RC_OK);
    buf_init(&out, INFLATED_MAX);
    cr_assert_eq(batch_builder_finish(&b, &out), RC_OK);
    append_bytes(f, &out);
    buf_deinit(&out);
    batch_builder_deinit(&b);
}

static void count_aborted(void *context, const struct plog_aborted *a)
{
    (void)a;
    ++*(unsigned *)context;
}

Test(compact, aborted_data_counts_for_no_key_and_markers_stay)
{
    static struct fixture f;
    static struct model m;
    unsigned aborted = 0;
    int32_t sequence = 0;
    setup(&f, &m, 23);
    m.keys = 8;
    fixture_open(&f);
    for (unsigned i = 0; i < 120; i++) {
        append(&f, &m, CODEC_SNAPPY, false);
        bool commit = i % 3 == 0;
        for (unsigned k = 0; k < 3; k++) {
            append_marked(&f, &m, 500, false, false, sequence++);
            m.v[m.end - 1].aborted = !commit;
            if (k == 1)
                append(&f, &m, CODEC_NONE, false);
        }
        append_marked(&f, &m, 500, true, commit, 0);
        aborted += !commit;
    }
    fixture_settle(&f);
    cr_assert_gt(counters(&f)->swaps, 0);
    verify(&f, &m);
    unsigned seen = 0;
    cr_assert_eq(plog_each_aborted(&f.log, 0, m.end, count_aborted, &seen), RC_OK);
    cr_assert_eq(seen, aborted);
    fixture_power_cut(&f);
    fixture_recover(&f);
    verify(&f, &m);
    // An open transaction holds everything behind its begin.
    append_marked(&f, &m, 501, false, false, 0);
    int64_t open_at = m.end - 1;
    for (unsigned i = 0; i < 200; i++)
        append(&f, &m, CODEC_NONE, false);
    fixture_settle(&f);
    cr_assert_leq(f.log.first_dirty, open_at);
    verify(&f, &m);
    fixture_close(&f);
}

// ------------------------------------------------------------------------------------------------ over everything

static void some_step(struct fixture *f, struct model *m)
{
    switch (below(m, 24)) {
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
        verify(f, m);
        verify_lookups(f, m);
        break;
    case 3:
        fixture_stop(f);
        fixture_start(f);
        fixture_recover(f);
        break;
    case 4: // a few slices of a run
        for (uint64_t n = below(m, 60); n > 0; n--) {
            uint64_t next;
            store_work(&f->store, 100000, &next);
            io_poll(f->io, 0);
        }
        break;
    case 5:
        if (plog_is_idle(&f->log))
            plog_rest(&f->log);
        break;
    default:
        append(f, m, any_codec(m), below(m, 3) == 0);
        return;
    }
    plog_note_high_watermark(&f->log, m->end);
    verify(f, m);
    const struct producer_entry *e = producer_state_find(&f->log.producers, 77);
    if (e && e->batch_count)
        cr_assert_eq(e->batches[e->batch_count - 1].last_sequence + 1, m->sequence);
}

static void run(uint64_t seed)
{
    static struct fixture f;
    static struct model m;
    setup(&f, &m, seed);
    m.keys = 1 + (uint32_t)below(&m, KEYS_MAX);
    f.config.segment_bytes = 25000 + (uint32_t)below(&m, 60000);
    f.config.index_interval_bytes = (uint32_t)below(&m, 3000);
    f.config.delete_retention_ms = below(&m, 2) ? 0 : INT64_C(86400000);
    f.config.min_cleanable_dirty_ratio = (double)below(&m, 10) / 10;
    f.store_config.files_max = 8;
    f.store_config.mark_bytes = below(&m, 20000);
    f.store_config.compact.io_buffer_bytes = (uint32_t)below(&m, 300000);
    if (below(&m, 3) == 0)
        f.store_config.compact.map_bytes_max = below(&m, 2000);
    fixture_open(&f);
    for (unsigned i = 0; i < 200; i++)
        some_step(&f, &m);
    fixture_settle(&f);
    verify(&f, &m);
    cr_assert_eq(counters(&f)->runs_failed, 0);
    fixture_close(&f);
}

Test(compact, agrees_with_a_model_over_many_seeds)
{
    const char *from = getenv("WEIR_SEED");
    uint64_t first = from ? strtoull(from, NULL, 10) : 1, count = from ? 1 : 4;
    for (uint64_t seed = first; seed < first + count; seed++) {
        cr_log_info("seed %llu", (unsigned long long)seed);
        run(seed);
    }
}
