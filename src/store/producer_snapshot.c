// SPDX-License-Identifier: Apache-2.0
//
// Kafka's producer snapshot file, version 1; see producer_state.h.
//
//   i16 version, u32 CRC-32C of all that follows, i32 count, then rows of 46 bytes: i64 producer id, i16 epoch,
//   i32 last sequence, i64 last offset, i32 offset delta, i64 timestamp, i32 coordinator epoch, i64 first offset of the
//   open transaction. A producer without a batch has last sequence and last offset -1.
#include "store/producer_state.h"
#include "base/assert.h"
#include "model/ids.h"
#include "wire/crc32c.h"

#include <string.h>

enum { SNAPSHOT_VERSION = 1, SNAPSHOT_CRC_AT = 2, SNAPSHOT_HEAD_BYTES = 10, SNAPSHOT_ROW_BYTES = 46 };

// What is known of a producer.
struct snapshot_producer {
    int64_t id, txn_first_offset, last_timestamp;
    int32_t coordinator_epoch;
    int16_t epoch;
    unsigned batch_count;
    const struct producer_batch *batches;
};

static void snapshot_row_print(struct buf *out, const struct snapshot_producer *p, const struct producer_batch *b)
{
    buf_put_be64(out, (uint64_t)p->id);
    buf_put_be16(out, (uint16_t)p->epoch);
    buf_put_be32(out, (uint32_t)b->last_sequence);
    buf_put_be64(out, (uint64_t)b->last_offset);
    buf_put_be32(out, (uint32_t)b->offset_delta);
    buf_put_be64(out, (uint64_t)b->timestamp);
    buf_put_be32(out, (uint32_t)p->coordinator_epoch);
    buf_put_be64(out, (uint64_t)p->txn_first_offset);
}

// A producer as of the written end: the oldest append that is only queued remembers what it replaced, which the entry
// itself may have no place for any more. False: it has written nothing yet.
static bool snapshot_producer_of(const struct producer_entry *e, struct snapshot_producer *out)
{
    const struct producer_undo *u = e->pending_first;
    if (u ? u->made || u->refused : e->refused)
        return false;
    *out = (struct snapshot_producer){
        .id = e->producer_id,
        .txn_first_offset = u ? u->txn_first_offset : e->txn_first_offset,
        .last_timestamp = u ? u->last_timestamp : e->last_timestamp,
        .coordinator_epoch = u ? u->coordinator_epoch : e->coordinator_epoch,
        .epoch = u ? u->epoch : e->epoch,
        .batch_count = u ? u->batch_count : e->batch_count,
        .batches = u ? u->batches : e->batches,
    };
    return true;
}

// The rows of one producer. Returns how many.
static uint32_t snapshot_entry_print(struct buf *out, const struct producer_entry *e)
{
    struct snapshot_producer p;
    if (!snapshot_producer_of(e, &p))
        return 0;
    for (unsigned i = 0; i < p.batch_count; i++)
        snapshot_row_print(out, &p, &p.batches[i]);
    if (p.batch_count)
        return p.batch_count;
    const struct producer_batch none = {
        .last_offset = OFFSET_NONE, .timestamp = p.last_timestamp, .last_sequence = -1};
    snapshot_row_print(out, &p, &none);
    return 1;
}

void producer_snapshot_print(const struct producer_state *s, struct buf *out)
{
    size_t at = out->n;
    uint32_t rows = 0;
    buf_put_be16(out, SNAPSHOT_VERSION);
    buf_put_be32(out, 0);
    buf_put_be32(out, 0);
    for (struct map_node *n = map_first(&s->map); n; n = map_next(&s->map, n))
        rows += snapshot_entry_print(out, container_of(n, const struct producer_entry, node));
    if (out->failed)
        return;
    put_be32(out->p + at + 6, rows);
    size_t covered = at + SNAPSHOT_CRC_AT + 4;
    put_be32(out->p + at + SNAPSHOT_CRC_AT, crc32c(0, out->p + covered, out->n - covered));
}

enum rc producer_snapshot_parse(struct producer_state *s, struct bytes snapshot, uint64_t now_ns)
{
    const uint8_t *p = snapshot.p;
    if (snapshot.n < SNAPSHOT_HEAD_BYTES || be16(p) != SNAPSHOT_VERSION ||
        be32(p + SNAPSHOT_CRC_AT) != crc32c(0, p + 6, snapshot.n - 6))
        return RC_CORRUPT;
    uint32_t rows = be32(p + 6);
    if ((snapshot.n - SNAPSHOT_HEAD_BYTES) / SNAPSHOT_ROW_BYTES < rows)
        return RC_CORRUPT;
    p += SNAPSHOT_HEAD_BYTES;
    for (uint32_t i = 0; i < rows; i++, p += SNAPSHOT_ROW_BYTES) {
        struct producer_batch b = {
            .last_sequence = (int32_t)be32(p + 10),
            .last_offset = (int64_t)be64(p + 14),
            .offset_delta = (int32_t)be32(p + 22),
            .timestamp = (int64_t)be64(p + 26),
        };
        enum rc rc = producer_state_restore(s, (int64_t)be64(p), (int16_t)be16(p + 8), &b, (int32_t)be32(p + 34),
                                            (int64_t)be64(p + 38), now_ns);
        if (rc) {
            producer_state_clear(s);
            return rc;
        }
    }
    s->changed = false;
    return RC_OK;
}
