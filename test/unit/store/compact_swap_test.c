// SPDX-License-Identifier: Apache-2.0
//
// Compaction of a log that is damaged, and starts that find half a swap of its files.
#include "compact_model.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(compact, a_batch_out_of_place_stops_compaction_of_its_log)
{
    for (unsigned byte = 5; byte < 8; byte++) {
        static struct fixture f;
        static struct model m;
        static uint8_t head[1 << 16];
        f = (struct fixture){0};
        model_setup(&f, &m, 23);
        fixture_open(&f);
        for (unsigned i = 0; i < 200; i++)
            model_append(&f, &m, CODEC_NONE, false);
        cr_assert_gt(fixture_read_file(&f, "00000000000000000000.log", head, sizeof(head)), 12);
        uint64_t second = 12 + be32(head + 8);
        fixture_flip(&f, "00000000000000000000.log", second + byte);
        fixture_settle(&f);
        cr_assert_eq(model_counters(&f)->logs_uncleanable, 1, "byte %u", byte);
        cr_assert_eq(f.log.state, PLOG_OPEN);
        fixture_close(&f);
    }
}

Test(compact, a_damaged_batch_stops_compaction_of_its_log_and_nothing_else)
{
    static struct fixture f;
    static struct model m;
    model_setup(&f, &m, 21);
    fixture_open(&f);
    for (unsigned i = 0; i < 200; i++)
        model_append(&f, &m, CODEC_GZIP, false);
    fixture_flip(&f, "00000000000000000000.log", 5000);
    fixture_settle(&f);
    cr_assert_eq(model_counters(&f)->logs_uncleanable, 1);
    cr_assert(strstr(f.last_line, "/t-0/00000000000000000000.log"), "%s", f.last_line);
    cr_assert_eq(f.log.state, PLOG_OPEN);
    model_append(&f, &m, CODEC_GZIP, false);
    for (unsigned i = 0; i < 100; i++)
        model_append(&f, &m, CODEC_GZIP, false);
    fixture_settle(&f);
    cr_assert_eq(model_counters(&f)->runs, 1);
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
        model_append(f, m, CODEC_NONE, false);
    fixture_settle(f);
    compactor_pause(f->store.compactor);
    for (unsigned i = 0; i < 60; i++)
        model_append(f, m, CODEC_NONE, false);
    uint32_t before = f->log.sealed_count;
    fixture_stop(f);
    shell("cp -a '%s' '%s'", f->path, old);
    fixture_start(f);
    fixture_recover(f);
    plog_note_high_watermark(&f->log, m->end);
    bases[0] = f->log.sealed[1].base_offset;
    fixture_settle(f);
    model_verify(f, m);
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
    model_setup(&f, &m, 27);
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
        cr_assert_eq(model_counters(&f)->swaps_completed_at_start, committed);
        cr_assert_eq(f.log.sealed_count > 1 && f.log.sealed[1].base_offset == bases[1], committed, "state %u", state);
        model_verify(&f, &m);
        model_verify_lookups(&f, &m);
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
