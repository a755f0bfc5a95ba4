// SPDX-License-Identifier: Apache-2.0
//
// Recovery points of many logs: which get one when too much is unsynced over all of them, and what it costs.
#include "fixture.h"

#include <criterion/criterion.h>

enum { LOGS = 600, VALUE_BYTES = 900 };

static struct plog logs[LOGS];

static void append(struct fixture *f, struct plog *l)
{
    const struct batch_spec spec = {.records = 1, .value_bytes = VALUE_BYTES, .timestamp = 1000 + l->next};
    cr_assert_eq(fixture_append_to(f, l, spec, NULL), RC_OK);
}

static void attach(struct fixture *f)
{
    for (int i = 0; i < LOGS; i++) {
        struct topic_partition id = {.topic_id.b = {9}, .partition = i};
        cr_assert_eq(plog_attach(&logs[i], &f->store, &f->dir, bytes_str("many"), id, &f->config, NULL), RC_OK);
    }
}

// Until no recovery point is under way or due.
static void work(struct fixture *f)
{
    uint64_t next;
    bool more;
    do {
        more = store_work(&f->store, UINT64_MAX / 4, &next); // a group is taken in one turn
        io_poll(f->io, f->store.checkpoints ? 1000000 : 0);
    } while (more || f->store.checkpoints || f->store.work_known);
}

static int64_t point_of(const struct fixture *f, int i)
{
    const struct log_dir_entry *e = log_dir_find(&f->dir, logs[i].id);
    return e ? e->recovery_point.offset : OFFSET_NONE;
}

// 150 KB are unsynced where 100 KB may be: those that wait for longest get a point until 50 KB are left, by one sync
// and one write to the checkpoint.
Test(points, of_many_logs_come_from_one_sync)
{
    struct fixture f = {.store_config = STORE_CONFIG_DEFAULT};
    f.store_config.unsynced_bytes_max = 100000;
    fixture_open(&f);
    attach(&f);
    append(&f, &logs[0]);
    const uint64_t batch = logs[0].unsynced_bytes;
    const int count = (int)(150000 / batch);
    for (int i = 1; i < count; i++)
        append(&f, &logs[i]);
    const uint64_t syncs = io_counters(f.io)->syncs, writes = io_counters(f.io)->writes, bytes = f.dir.checkpoint.bytes;
    work(&f);
    const int pointed = (int)f.store.counters.recovery_points;
    cr_assert(f.store.unsynced_bytes <= 50000 && f.store.unsynced_bytes > 50000 - batch);
    cr_assert_eq((uint64_t)(count - pointed), f.store.unsynced_bytes / batch);
    for (int i = 0; i < count; i++)
        cr_assert_eq(point_of(&f, i), i < pointed ? 1 : OFFSET_NONE, "log %d", i);
    cr_assert_eq(io_counters(f.io)->syncs - syncs, 1);
    const uint64_t records = (f.dir.checkpoint.bytes - bytes) / CHECKPOINT_RECORD_BYTES;
    cr_assert_geq(records, (uint64_t)pointed, "all of it is written");
    cr_assert_leq(io_counters(f.io)->writes - writes, (uint64_t)pointed + records / CHECKPOINT_GATHERED_MAX + 1, "epochs and records");
    // The first of them are written to again: now they have waited for the shortest time.
    for (int i = 0; i < count; i++)
        append(&f, &logs[i]);
    work(&f);
    for (int i = pointed; i < count; i++)
        cr_assert_eq(point_of(&f, i), 2, "log %d", i);
    for (int i = 0; i < LOGS; i++)
        plog_detach(&logs[i]);
    fixture_close(&f);
}

// However much is unsynced, no more than a bounded number of points is made in one group, and all that are due are made.
Test(points, are_made_in_bounded_groups)
{
    struct fixture f = {.store_config = STORE_CONFIG_DEFAULT};
    f.store_config.unsynced_bytes_max = 1 << 30;
    fixture_open(&f);
    attach(&f);
    for (int i = 0; i < LOGS; i++)
        append(&f, &logs[i]);
    f.store.config.unsynced_bytes_max = 2;
    uint64_t next;
    (void)store_work(&f.store, UINT64_MAX / 4, &next);
    cr_assert(f.store.checkpoints > 1 && f.store.checkpoints < LOGS);
    work(&f);
    cr_assert_leq(f.store.unsynced_bytes, 2);
    for (int i = 0; i < LOGS; i++) {
        cr_assert_eq(point_of(&f, i), 1, "log %d", i);
        plog_detach(&logs[i]);
    }
    fixture_close(&f);
}
