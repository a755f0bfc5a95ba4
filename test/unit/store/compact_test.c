// SPDX-License-Identifier: Apache-2.0
//
// Compaction against a model: random keys, tombstones, codecs and producers; after any number of runs, deaths and power
// cuts the log holds of each key what the model says, in order, at the offsets it was given.
#include "compact_model.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ------------------------------------------------------------------------------------------------ runs

Test(compact, keeps_the_latest_of_each_key_in_order)
{
    static struct fixture f;
    static struct model m;
    for (enum codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        model_setup(&f, &m, 1 + codec);
        fixture_open(&f);
        for (unsigned i = 0; i < 400; i++)
            model_append(&f, &m, codec, i % 3 == 0);
        uint64_t before = plog_bytes(&f.log);
        fixture_settle(&f);
        cr_assert_gt(model_counters(&f)->swaps, 0);
        cr_assert_eq(model_counters(&f)->runs_failed, 0);
        cr_assert_lt(plog_bytes(&f.log), before / 2);
        cr_assert_gt(f.log.first_dirty, 0);
        model_verify(&f, &m);
        model_verify_lookups(&f, &m);
        fixture_power_cut(&f);
        fixture_recover(&f);
        model_verify(&f, &m);
        model_verify_lookups(&f, &m);
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
        model_verify(&f, &m);
        fixture_close(&f);
    }
}

Test(compact, merges_small_segments)
{
    static struct fixture f;
    static struct model m;
    model_setup(&f, &m, 9);
    m.keys = 4;
    f.config.segment_bytes = 16384;
    fixture_open(&f);
    for (unsigned i = 0; i < 600; i++)
        model_append(&f, &m, CODEC_NONE, false);
    uint32_t before = f.log.sealed_count;
    fixture_settle(&f);
    cr_assert_gt(before, 10);
    for (unsigned i = 0; i < 60; i++) // what fits together now is put together by the next run
        model_append(&f, &m, CODEC_NONE, false);
    fixture_settle(&f);
    cr_assert_lt(f.log.sealed_count, before / 4);
    model_verify(&f, &m);
    fixture_close(&f);
}

Test(compact, a_map_of_a_few_keys_gets_ahead)
{
    static struct fixture f;
    static struct model m;
    model_setup(&f, &m, 11);
    f.store_config.compact.map_bytes_max = 10 * KEY_MAP_ENTRY_BYTES;
    fixture_open(&f);
    for (unsigned i = 0; i < 60; i++)
        model_append(&f, &m, model_codec(&m), false);
    fixture_settle(&f);
    cr_assert_gt(model_counters(&f)->runs, 5);
    cr_assert_eq(f.log.first_dirty, f.log.active.base_offset);
    model_verify(&f, &m);
    fixture_close(&f);
}

Test(compact, a_tombstone_stays_for_delete_retention_and_then_goes)
{
    static struct fixture f;
    static struct model m;
    model_setup(&f, &m, 13);
    f.config.delete_retention_ms = 300;
    fixture_open(&f);
    for (unsigned i = 0; i < 100; i++)
        model_append(&f, &m, model_codec(&m), false);
    m.keys = 4; // of the others nothing more is written
    for (unsigned i = 0; i < 100; i++)
        model_append(&f, &m, model_codec(&m), false);
    fixture_settle(&f);
    int64_t dirty = f.log.first_dirty, tombstones = 0, left = 0;
    struct reader r = model_verify(&f, &m);
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
            model_append(&f, &m, model_codec(&m), false);
        fixture_settle(&f);
        model_verify(&f, &m);
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
    model_setup(&f, &m, 15);
    fixture_open(&f);
    for (unsigned i = 0; i < 200; i++)
        model_append(&f, &m, CODEC_NONE, false);
    struct plog_read read = {.bound = m.end, .bytes_max = sizeof(before), .at_least_one = true};
    cr_assert_eq(plog_read(&f.log, &read, &slice, NULL), RC_OK);
    cr_assert_eq(io_file_read_now(plog_slice_file(&slice), before, slice.bytes, slice.position, &got), RC_OK);
    fixture_settle(&f);
    cr_assert_gt(model_counters(&f)->swaps, 0);
    cr_assert_eq(io_file_read_now(plog_slice_file(&slice), after, slice.bytes, slice.position, &got), RC_OK);
    cr_assert_eq(got, slice.bytes);
    cr_assert_eq(memcmp(before, after, got), 0);
    plog_slice_release(&slice);
    model_verify(&f, &m);
    fixture_close(&f);
}

Test(compact, waits_for_watermark_lag_ratio_and_policy)
{
    static struct fixture f;
    static struct model m;
    struct plog_config config;
    model_setup(&f, &m, 17);
    f.config.min_cleanable_dirty_ratio = 0.9;
    fixture_open(&f);
    for (unsigned i = 0; i < 200; i++)
        model_append(&f, &m, CODEC_NONE, false);
    plog_note_high_watermark(&f.log, 0);
    fixture_settle(&f);
    cr_assert_eq(model_counters(&f)->runs, 0);
    plog_note_high_watermark(&f.log, m.end); // all is dirty: 1.0
    fixture_settle(&f);
    cr_assert_eq(model_counters(&f)->runs, 1);
    for (unsigned i = 0; i < 30; i++)
        model_append(&f, &m, CODEC_NONE, false);
    fixture_settle(&f);
    cr_assert_eq(model_counters(&f)->runs, 1);
    config = f.config;
    config.min_cleanable_dirty_ratio = 0;
    config.min_compaction_lag_ms = INT64_C(1) << 60;
    plog_configure(&f.log, &config);
    fixture_settle(&f);
    cr_assert_eq(model_counters(&f)->runs, 1);
    struct plog_config old = config;
    old.min_compaction_lag_ms = 0;
    old.min_cleanable_dirty_ratio = 1;
    old.max_compaction_lag_ms = 1; // from 1970
    plog_configure(&f.log, &old);
    fixture_settle(&f);
    cr_assert_eq(model_counters(&f)->runs, 2);
    model_verify(&f, &m);
    struct plog_config none = old;
    none.compacts = false;
    plog_configure(&f.log, &none);
    for (unsigned i = 0; i < 100; i++)
        model_append(&f, &m, CODEC_LZ4, false);
    fixture_settle(&f);
    cr_assert_eq(model_counters(&f)->runs, 2);
    fixture_close(&f);
}

Test(compact, records_without_a_key_go)
{
    static struct fixture f;
    static struct model m;
    model_setup(&f, &m, 19);
    fixture_open(&f);
    for (unsigned i = 0; i < 60; i++) {
        struct batch_options o = batch_options_default();
        struct batch_builder b;
        struct buf out;
        model_append(&f, &m, CODEC_NONE, false);
        batch_builder_init(&b, &o, INFLATED_MAX);
        m.v[m.end] = (struct model_record){.key = -1, .value = 'v', .value_bytes = 1, .timestamp = 1000000 + m.end * 10};
        cr_assert_eq(batch_builder_add(&b, m.v[m.end].timestamp, bytes_of(NULL, 0), bytes_str("v"), NULL, 0), RC_OK);
        m.end++;
        buf_init(&out, INFLATED_MAX);
        cr_assert_eq(batch_builder_finish(&b, &out), RC_OK);
        model_append_bytes(&f, &out);
        buf_deinit(&out);
        batch_builder_deinit(&b);
    }
    fixture_settle(&f);
    cr_assert_gt(model_counters(&f)->records_keyless, 0);
    model_verify(&f, &m);
    fixture_close(&f);
}

// ------------------------------------------------------------------------------------------------ damage

// The base offset is covered by no checksum.
Test(compact, reads_and_writes_no_faster_than_it_may)
{
    static struct fixture f;
    static struct model m;
    model_setup(&f, &m, 29);
    f.store_config.compact.io_bytes_a_second_max = 1 << 20;
    fixture_open(&f);
    for (unsigned i = 0; i < 100; i++)
        model_append(&f, &m, CODEC_NONE, false);
    uint64_t next, began = io_clock_ns(f.io);
    while (model_counters(&f)->runs == 0 || !compactor_is_idle(f.store.compactor)) {
        store_work(&f.store, 1000000, &next);
        io_poll(f.io, 1000000);
    }
    uint64_t bytes = model_counters(&f)->read_bytes + model_counters(&f)->write_bytes, took = io_clock_ns(f.io) - began;
    cr_assert_gt(bytes, 300000);
    cr_assert_gt(took, bytes * 1000000000 / (1 << 20) * 8 / 10, "%llu bytes in %llu ns", (unsigned long long)bytes,
                 (unsigned long long)took);
    model_verify(&f, &m);
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
    *r = (struct model_record){.key = (int32_t)model_below(m, m->keys), .value = 'x', .value_bytes = 1, .control = control,
                               .timestamp = 1000000 + m->end * 10};
    size_t n = model_key(key, r->key);
    enum rc rc = control ? batch_builder_add(&b, r->timestamp, bytes_of(marker, 4), bytes_of(value, 6), NULL, 0)
                         : batch_builder_add(&b, r->timestamp, bytes_of(key, n), bytes_str("x"), NULL, 0);
    cr_assert_eq(rc, RC_OK);
    buf_init(&out, INFLATED_MAX);
    cr_assert_eq(batch_builder_finish(&b, &out), RC_OK);
    model_append_bytes(f, &out);
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
    model_setup(&f, &m, 23);
    m.keys = 8;
    fixture_open(&f);
    for (unsigned i = 0; i < 120; i++) {
        model_append(&f, &m, CODEC_SNAPPY, false);
        bool commit = i % 3 == 0;
        for (unsigned k = 0; k < 3; k++) {
            append_marked(&f, &m, 500, false, false, sequence++);
            m.v[m.end - 1].aborted = !commit;
            if (k == 1)
                model_append(&f, &m, CODEC_NONE, false);
        }
        append_marked(&f, &m, 500, true, commit, 0);
        aborted += !commit;
    }
    fixture_settle(&f);
    cr_assert_gt(model_counters(&f)->swaps, 0);
    model_verify(&f, &m);
    unsigned seen = 0;
    cr_assert_eq(plog_each_aborted(&f.log, 0, m.end, count_aborted, &seen), RC_OK);
    cr_assert_eq(seen, aborted);
    fixture_power_cut(&f);
    fixture_recover(&f);
    model_verify(&f, &m);
    // An open transaction holds everything behind its begin.
    append_marked(&f, &m, 501, false, false, 0);
    int64_t open_at = m.end - 1;
    for (unsigned i = 0; i < 200; i++)
        model_append(&f, &m, CODEC_NONE, false);
    fixture_settle(&f);
    cr_assert_leq(f.log.first_dirty, open_at);
    model_verify(&f, &m);
    fixture_close(&f);
}

// ------------------------------------------------------------------------------------------------ over everything

static void some_step(struct fixture *f, struct model *m)
{
    switch (model_below(m, 24)) {
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
        model_verify(f, m);
        model_verify_lookups(f, m);
        break;
    case 3:
        fixture_stop(f);
        fixture_start(f);
        fixture_recover(f);
        break;
    case 4: // a few slices of a run
        for (uint64_t n = model_below(m, 60); n > 0; n--) {
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
        model_append(f, m, model_codec(m), model_below(m, 3) == 0);
        return;
    }
    plog_note_high_watermark(&f->log, m->end);
    model_verify(f, m);
    const struct producer_entry *e = producer_state_find(&f->log.producers, 77);
    if (e && e->batch_count)
        cr_assert_eq(e->batches[e->batch_count - 1].last_sequence + 1, m->sequence);
}

static void run(uint64_t seed)
{
    static struct fixture f;
    static struct model m;
    model_setup(&f, &m, seed);
    m.keys = 1 + (uint32_t)model_below(&m, KEYS_MAX);
    f.config.segment_bytes = 25000 + (uint32_t)model_below(&m, 60000);
    f.config.index_interval_bytes = (uint32_t)model_below(&m, 3000);
    f.config.delete_retention_ms = model_below(&m, 2) ? 0 : INT64_C(86400000);
    f.config.min_cleanable_dirty_ratio = (double)model_below(&m, 10) / 10;
    f.store_config.files_max = 8;
    f.store_config.mark_bytes = model_below(&m, 20000);
    f.store_config.compact.io_buffer_bytes = (uint32_t)model_below(&m, 300000);
    if (model_below(&m, 3) == 0)
        f.store_config.compact.map_bytes_max = model_below(&m, 2000);
    fixture_open(&f);
    for (unsigned i = 0; i < 200; i++)
        some_step(&f, &m);
    fixture_settle(&f);
    model_verify(&f, &m);
    cr_assert_eq(model_counters(&f)->runs_failed, 0);
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
