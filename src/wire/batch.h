// SPDX-License-Identifier: Apache-2.0
//
// Record batches, magic 2: the unit that producers send, the log stores and consumers read, byte for byte the same.
//
//      0 base offset i64      8 length i32 (of what follows)   12 leader epoch i32    16 magic i8   17 crc u32
//     21 attributes i16      23 last offset delta i32          27 base timestamp i64  35 max timestamp i64
//     43 producer id i64     51 producer epoch i16             53 base sequence i32   57 record count i32
//     61 records, compressed as a whole by the codec in the attributes
//
// The CRC covers everything from the attributes on: base offset and leader epoch may be set in place.
// This file knows the bytes; batch_check.h judges what clients send. Pure; any thread.
#pragma once

#include "base/arena.h"
#include "model/limits.h"
#include "wire/codec.h"
#include "wire/enc.h"

enum {
    BATCH_MAGIC = 2,
    BATCH_ATTR_CODEC = 7,
    BATCH_ATTR_LOG_APPEND_TIME = 1 << 3,
    BATCH_ATTR_TRANSACTIONAL = 1 << 4,
    BATCH_ATTR_CONTROL = 1 << 5,
    BATCH_ATTR_DELETE_HORIZON = 1 << 6, // base timestamp is the delete horizon (KIP-534)
};

struct batch_header {
    int64_t base_offset;
    int32_t length; // bytes behind this field
    int32_t leader_epoch;
    int8_t magic;
    uint32_t crc;
    uint16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp, max_timestamp;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t record_count;
};

// Reads the header of the batch that b begins with.
// RC_TORN: b ends inside the header (then *out is not set) or inside the batch (it is). RC_CORRUPT: a length below a
// header's or a magic that is not 2; *out is set as far as the bytes mean anything. The CRC is not looked at.
enum rc batch_header_read(struct bytes b, struct batch_header *out);
// Writes all 61 bytes; crc as given.
void batch_header_write(const struct batch_header *h, uint8_t p[BATCH_HEADER_BYTES]);

// The whole batch on disk and wire.
static inline size_t batch_bytes(const struct batch_header *h)
{
    return (size_t)h->length + BATCH_LOG_OVERHEAD_BYTES;
}

static inline int64_t batch_last_offset(const struct batch_header *h)
{
    return h->base_offset + h->last_offset_delta;
}

static inline bool batch_has_producer(const struct batch_header *h)
{
    return h->producer_id >= 0;
}

// Not necessarily a codec we have: compare with CODEC_COUNT.
static inline unsigned batch_codec(const struct batch_header *h)
{
    return h->attributes & BATCH_ATTR_CODEC;
}

// Sequence of the last record; sequences wrap from INT32_MAX to 0.
int32_t batch_last_sequence(const struct batch_header *h);
// b is one whole batch.
bool batch_crc_ok(struct bytes b);

// Sets what the CRC does not cover.
static inline void batch_stamp(uint8_t *batch, int64_t base_offset, int32_t leader_epoch)
{
    put_be64(batch, (uint64_t)base_offset);
    put_be32(batch + 12, (uint32_t)leader_epoch);
}

// Sets the timestamp type and the max timestamp, and the CRC anew when that changed anything.
void batch_set_timestamps(uint8_t *batch, size_t n, bool log_append_time, int64_t max_timestamp);

// One record; key, value and headers are views. Null: p == NULL.
struct record {
    int64_t offset, timestamp;
    struct bytes key, value;
    struct bytes headers; // as encoded; record_header_next() reads them
    uint32_t header_count;
};

// Walks the records of one batch. `records` are the bytes behind the header, decompressed (batch_inflate()).
struct batch_iter {
    struct batch_header header;
    struct bytes records;
    int32_t read; // records given
    enum rc rc;   // RC_OK, or RC_MALFORMED: a record is damaged, cut, or bytes are left behind the last
};

void batch_iter_init(struct batch_iter *it, const struct batch_header *h, struct bytes records);
// False at the end and on damage; then it->rc says which.
bool batch_iter_next(struct batch_iter *it, struct record *out);
// Takes the next header off *headers; false when there is none or it is damaged.
bool record_header_next(struct bytes *headers, struct bytes *key, struct bytes *value);

// The records of a batch ready for batch_iter: a view when not compressed, else decompressed into scratch (from its
// beginning). workspace as in codec.h, or NULL. RC_UNSUPPORTED_COMPRESSION_TYPE, RC_MALFORMED, RC_NOMEM, RC_FULL when
// more than scratch->size_max.
enum rc batch_inflate(struct bytes batch, struct buf *scratch, struct bytes *records, void *workspace,
                      size_t workspace_bytes);

struct record_header {
    struct bytes key, value;
};

// Builds one batch: for the client, tools and tests. Zeros are no default: batch_build_options() gives them.
struct batch_options {
    enum codec codec;
    int level;
    int64_t base_offset;
    int32_t leader_epoch;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    uint16_t attributes; // BATCH_ATTR_* without the codec
};

struct batch_options batch_options_default(void);

struct batch_builder {
    struct batch_options options;
    struct buf records; // not yet compressed
    int32_t record_count;
    int64_t base_timestamp, max_timestamp;
    size_t bytes_max;
    void *workspace; // for the codec, allocated when first used
};

// bytes_max bounds the uncompressed batch, header included.
void batch_builder_init(struct batch_builder *b, const struct batch_options *o, size_t bytes_max);
void batch_builder_deinit(struct batch_builder *b);
// RC_FULL when the record does not fit (nothing changed), RC_NOMEM.
enum rc batch_builder_add(struct batch_builder *b, int64_t timestamp, struct bytes key, struct bytes value,
                          const struct record_header *headers, uint32_t header_count);
// Appends the batch to out and empties the builder, options kept; sequence and offset go on behind the batch.
// At least one record. RC_NOMEM when out is full.
enum rc batch_builder_finish(struct batch_builder *b, struct buf *out);
