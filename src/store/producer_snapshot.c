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

static void snapshot_row_print(struct buf *out, const struct producer_entry *e, const struct producer_batch *b,
                               int64_t txn_first_offset)
{
    buf_put_be64(out, (uint64_t)e->producer_id);
    buf_put_be16(out, (uint16_t)e->epoch);
    buf_put_be32(out, (uint32_t)b->last_sequence);
    buf_put_be64(out, (uint64_t)b->last_offset);
    buf_put_be32(out, (uint32_t)b->offset_delta);
    buf_put_be64(out, (uint64_t)b->timestamp);
    buf_put_be32(out, (uint32_t)e->coordinator_epoch);
    buf_put_be64(out, (uint64_t)txn_first_offset);
}

// The rows of one producer as of `end`: what is queued beyond is left out. Returns how many.
static uint32_t snapshot_entry_print(struct buf *out, const struct producer_entry *e, int64_t end)
{
    uint32_t rows = 0;
    int64_t txn = e->txn_first_offset < end ? e->txn_first_offset : OFFSET_NONE;
    for (unsigned i = 0; i < e->batch_count && e->batches[i].last_offset < end; i++, rows++)
        snapshot_row_print(out, e, &e->batches[i], txn);
    if (e->batch_count == 0) {
        const struct producer_batch none = {
            .last_offset = OFFSET_NONE, .timestamp = e->last_timestamp, .last_sequence = -1};
        snapshot_row_print(out, e, &none, txn);
        rows = 1;
    }
    return rows;
}

void producer_snapshot_print(const struct producer_state *s, int64_t end, struct buf *out)
{
    size_t at = out->n;
    uint32_t rows = 0;
    buf_put_be16(out, SNAPSHOT_VERSION);
    buf_put_be32(out, 0);
    buf_put_be32(out, 0);
    for (struct map_node *n = map_first(&s->map); n; n = map_next(&s->map, n))
        rows += snapshot_entry_print(out, container_of(n, const struct producer_entry, node), end);
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
