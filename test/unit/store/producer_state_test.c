// SPDX-License-Identifier: Apache-2.0
//
// Producer state: the judgement of sequences, undoing what was never written, expiry, and the snapshot's bytes.
#include "model/ids.h"
#include "store/producer_state.h"

#include <criterion/criterion.h>
#include <string.h>

struct rig {
    struct producer_registry registry;
    struct producer_state state;
};

static void rig_init(struct rig *r)
{
    *r = (struct rig){0};
    producer_registry_init(&r->registry);
    r->state.registry = &r->registry;
}

static struct producer_append batch(int16_t epoch, int32_t sequence, int32_t records, int64_t offset)
{
    return (struct producer_append){.producer_id = 9,
                                    .epoch = epoch,
                                    .base_sequence = sequence,
                                    .records = records,
                                    .base_offset = offset,
                                    .timestamp_max = 100 + offset};
}

static enum producer_verdict judge(struct rig *r, struct producer_append a, struct producer_batch *duplicate)
{
    return producer_state_check(&r->state, &a, duplicate);
}

static void take(struct rig *r, struct producer_append a, struct producer_undo *undo)
{
    cr_assert_eq(producer_state_apply(&r->state, &a, (uint64_t)a.base_offset, undo), RC_OK);
}

// What a start would know, were the log to end where it is written now.
static const struct producer_entry *through_a_snapshot(struct rig *r, struct rig *again)
{
    struct buf out;
    rig_init(again);
    buf_init(&out, 10000);
    producer_snapshot_print(&r->state, &out);
    cr_assert_eq(producer_snapshot_parse(&again->state, buf_bytes(&out), 0), RC_OK);
    buf_deinit(&out);
    return producer_state_find(&again->state, 9);
}

Test(producer_state, judges_sequences)
{
    struct rig r;
    struct producer_batch d;
    rig_init(&r);
    cr_assert_eq(judge(&r, batch(0, 41, 3, 0), &d), PRODUCER_NEW, "any first sequence where no state exists");
    take(&r, batch(0, 41, 3, 0), NULL);
    cr_assert_eq(judge(&r, batch(0, 44, 1, 3), &d), PRODUCER_NEW);
    cr_assert_eq(judge(&r, batch(0, 45, 1, 3), &d), PRODUCER_OUT_OF_ORDER);
    cr_assert_eq(judge(&r, batch(0, 43, 1, 3), &d), PRODUCER_OUT_OF_ORDER);
    cr_assert_eq(judge(&r, batch(0, 41, 3, 3), &d), PRODUCER_DUPLICATE);
    cr_assert_eq(d.last_offset - d.offset_delta, 0);
    cr_assert_eq(judge(&r, batch(0, 41, 2, 3), &d), PRODUCER_OUT_OF_ORDER, "not the same batch");
    cr_assert_eq(judge(&r, batch(1, 5, 1, 3), &d), PRODUCER_OUT_OF_ORDER, "a new epoch begins at 0");
    cr_assert_eq(judge(&r, batch(1, 0, 1, 3), &d), PRODUCER_NEW);
    take(&r, batch(1, 0, 1, 3), NULL);
    cr_assert_eq(judge(&r, batch(0, 44, 1, 4), &d), PRODUCER_STALE_EPOCH);
    producer_state_deinit(&r.state);
}

Test(producer_state, sequences_wrap)
{
    struct rig r;
    struct producer_batch d;
    rig_init(&r);
    take(&r, batch(0, INT32_MAX - 1, 2, 0), NULL);
    cr_assert_eq(judge(&r, batch(0, 0, 1, 2), &d), PRODUCER_NEW);
    take(&r, batch(0, 0, 1, 2), NULL);
    cr_assert_eq(judge(&r, batch(0, INT32_MAX - 1, 2, 3), &d), PRODUCER_DUPLICATE);
    take(&r, batch(0, 1, 1, 3), NULL);
    producer_state_deinit(&r.state);
    rig_init(&r);
    take(&r, batch(0, INT32_MAX, 4, 0), NULL); // wraps inside: last sequence 2
    cr_assert_eq(judge(&r, batch(0, 3, 1, 4), &d), PRODUCER_NEW);
    cr_assert_eq(judge(&r, batch(0, INT32_MAX, 4, 4), &d), PRODUCER_DUPLICATE);
    producer_state_deinit(&r.state);
}

Test(producer_state, remembers_five)
{
    struct rig r;
    struct producer_batch d;
    rig_init(&r);
    for (int i = 0; i < 6; i++)
        take(&r, batch(0, i, 1, i), NULL);
    cr_assert_eq(judge(&r, batch(0, 0, 1, 6), &d), PRODUCER_OUT_OF_ORDER);
    for (int i = 1; i < 6; i++) {
        cr_assert_eq(judge(&r, batch(0, i, 1, 6), &d), PRODUCER_DUPLICATE);
        cr_assert_eq(d.last_offset, i);
    }
    producer_state_deinit(&r.state);
}

Test(producer_state, undo_sets_back_newest_first)
{
    struct rig r;
    struct producer_batch d;
    struct producer_undo undo[3];
    rig_init(&r);
    take(&r, batch(0, 0, 1, 0), &undo[0]);
    producer_state_commit(&undo[0]);
    take(&r, batch(0, 1, 1, 1), &undo[1]);
    struct producer_append bumped = batch(1, 0, 1, 2);
    bumped.transactional = true;
    take(&r, bumped, &undo[2]);
    cr_assert_eq(producer_state_first_unstable(&r.state), 2);
    producer_state_undo(&r.state, &undo[2]);
    producer_state_undo(&r.state, &undo[1]);
    cr_assert_eq(producer_state_first_unstable(&r.state), OFFSET_NONE);
    cr_assert_eq(judge(&r, batch(0, 1, 1, 1), &d), PRODUCER_NEW);
    cr_assert_eq(judge(&r, batch(0, 0, 1, 1), &d), PRODUCER_DUPLICATE);
    struct producer_append other = batch(0, 0, 1, 1);
    other.producer_id = 10;
    take(&r, other, &undo[0]);
    cr_assert_eq(r.state.map.count, 2);
    producer_state_undo(&r.state, &undo[0]);
    other.control = true;
    other.producer_id = 11;
    take(&r, other, &undo[0]);
    cr_assert_eq(r.state.map.count, 3);
    producer_state_undo(&r.state, &undo[0]);
    cr_assert_eq(r.state.map.count, 2, "one that a marker made is gone again");
    producer_state_deinit(&r.state);
}

// Of several batches in flight the first may meet a full disk and the next one space again.
Test(producer_state, what_was_refused_comes_first)
{
    struct rig r, again;
    struct producer_batch d;
    struct producer_undo undo;
    struct producer_append a = batch(0, 7, 2, 0);
    rig_init(&r);
    producer_state_refuse(&r.state, &a, 0);
    a = batch(0, 9, 1, 0);
    producer_state_refuse(&r.state, &a, 0);
    cr_assert_eq(judge(&r, batch(0, 9, 1, 0), &d), PRODUCER_OUT_OF_ORDER);
    cr_assert_eq(judge(&r, batch(1, 9, 1, 0), &d), PRODUCER_NEW, "nothing is known of another epoch");
    cr_assert_eq(judge(&r, batch(0, 7, 2, 0), &d), PRODUCER_NEW);
    take(&r, batch(0, 7, 2, 0), &undo); // and now the write fails
    cr_assert_eq(judge(&r, batch(0, 9, 1, 2), &d), PRODUCER_NEW);
    producer_state_undo(&r.state, &undo);
    cr_assert_eq(judge(&r, batch(0, 9, 1, 0), &d), PRODUCER_OUT_OF_ORDER);
    cr_assert_null(through_a_snapshot(&r, &again), "nothing of it is in the log");
    producer_state_deinit(&again.state);
    take(&r, batch(0, 7, 2, 0), NULL);
    cr_assert_eq(judge(&r, batch(0, 9, 1, 2), &d), PRODUCER_NEW);
    a = batch(0, 9, 1, 2);
    producer_state_refuse(&r.state, &a, 0);
    cr_assert_eq(judge(&r, batch(0, 7, 2, 0), &d), PRODUCER_DUPLICATE, "what is known stays known");
    producer_state_deinit(&r.state);
    // A producer whose first batches are undone is remembered too.
    rig_init(&r);
    take(&r, batch(0, 0, 3, 0), &undo);
    producer_state_undo(&r.state, &undo);
    cr_assert_eq(judge(&r, batch(0, 3, 1, 0), &d), PRODUCER_OUT_OF_ORDER);
    cr_assert_eq(judge(&r, batch(0, 0, 3, 0), &d), PRODUCER_NEW);
    producer_state_deinit(&r.state);
}

Test(producer_state, forgets_the_longest_idle)
{
    struct rig r;
    struct producer_undo undo;
    rig_init(&r);
    for (int64_t i = 0; i < 5; i++) {
        struct producer_append a = batch(0, 0, 1, i * 10); // used at i * 10
        a.producer_id = i;
        a.transactional = i == 1;
        take(&r, a, i == 2 ? &undo : NULL);
    }
    cr_assert_eq(producer_registry_expire(&r.registry, 31, 100), 2, "an open transaction and a queued append stay");
    cr_assert_null(producer_state_find(&r.state, 0));
    cr_assert_not_null(producer_state_find(&r.state, 1));
    cr_assert_not_null(producer_state_find(&r.state, 2));
    cr_assert_null(producer_state_find(&r.state, 3));
    producer_state_commit(&undo);
    producer_state_deinit(&r.state);
}

Test(producer_state, snapshot_is_kafkas_byte_for_byte)
{
    static const uint8_t expected[] = {
        0,   1,                                 // version
        0,   0,   0,   0,                       // CRC-32C, compared below
        0,   0,   0,   1,                       // rows
        0,   0,   0,   0,   0,   0,   0,   9,   // producer id
        0,   2,                                 // epoch
        0,   0,   0,   6,                       // last sequence
        0,   0,   0,   0,   0,   0,   0,   14,  // last offset
        0,   0,   0,   2,                       // offset delta
        0,   0,   0,   0,   0,   0,   0,   112, // timestamp
        255, 255, 255, 255,                     // coordinator epoch
        255, 255, 255, 255, 255, 255, 255, 255, // no open transaction
    };
    struct rig r, again;
    struct buf out;
    rig_init(&r);
    take(&r, batch(2, 4, 3, 12), NULL);
    buf_init(&out, 10000);
    producer_snapshot_print(&r.state, &out);
    cr_assert_eq(out.n, sizeof(expected));
    cr_assert_eq(memcmp(out.p, expected, 2), 0);
    cr_assert_eq(memcmp(out.p + 6, expected + 6, sizeof(expected) - 6), 0);
    rig_init(&again);
    cr_assert_eq(producer_snapshot_parse(&again.state, buf_bytes(&out), 0), RC_OK);
    const struct producer_entry *e = producer_state_find(&again.state, 9);
    cr_assert(e && e->epoch == 2 && e->batch_count == 1 && e->batches[0].last_sequence == 6);
    producer_state_deinit(&again.state);
    for (size_t i = 0; i < out.n; i++) {
        rig_init(&again);
        out.p[i] ^= 4;
        cr_assert_eq(producer_snapshot_parse(&again.state, buf_bytes(&out), 0), RC_CORRUPT, "byte %zu", i);
        out.p[i] ^= 4;
        cr_assert_eq(again.state.map.count, 0);
        producer_state_deinit(&again.state);
    }
    buf_deinit(&out);
    producer_state_deinit(&r.state);
}

Test(producer_state, snapshot_leaves_out_what_is_only_queued)
{
    struct rig r, again;
    struct producer_undo undo[PRODUCER_BATCHES_KEPT + 2];
    rig_init(&r);
    take(&r, batch(0, 0, 1, 0), &undo[0]);
    cr_assert_null(through_a_snapshot(&r, &again), "nothing of it is written");
    producer_state_deinit(&again.state);
    producer_state_commit(&undo[0]);
    take(&r, batch(0, 1, 1, 1), NULL);
    // More are queued than are remembered: they push out of memory what is written, not out of the snapshot.
    for (int i = 0; i < (int)ARRAY_COUNT(undo); i++)
        take(&r, batch(1, i, 1, 2 + i), &undo[i]);
    const struct producer_entry *e = through_a_snapshot(&r, &again);
    cr_assert(e && e->epoch == 0 && e->batch_count == 2 && e->batches[1].last_sequence == 1);
    producer_state_deinit(&again.state);
    producer_state_commit(&undo[0]);
    e = through_a_snapshot(&r, &again);
    cr_assert(e && e->epoch == 1 && e->batch_count == 1 && e->batches[0].last_offset == 2);
    producer_state_deinit(&again.state);
    for (size_t i = ARRAY_COUNT(undo); i-- > 1;)
        producer_state_undo(&r.state, &undo[i]);
    e = through_a_snapshot(&r, &again);
    cr_assert(e && e->epoch == 1 && e->batch_count == 1 && e->batches[0].last_offset == 2);
    producer_state_deinit(&again.state);
    producer_state_deinit(&r.state);
}
