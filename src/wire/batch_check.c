// SPDX-License-Identifier: Apache-2.0
//
// The judgement of a produced batch; see batch_check.h. The order of the checks is Kafka's, because which of two faults
// is reported is something clients see.
#include "wire/batch_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "wire/crc32c.h"

enum {
    CRC_FROM = 21,
    MAGIC_AT = 16,
    CRC_BYTES_PER_US = 8000,
    PHASE_CRC = 1,
    PHASE_RECORDS,
    PHASE_DONE,
    PRODUCE_ZSTD_VERSION = 7, // KIP-110
};

struct batch_rules batch_rules_default(void)
{
    return (struct batch_rules){.produce_version = 11,
                                .timestamp_before_max_ms = INT64_MAX,
                                .timestamp_after_max_ms = INT64_MAX,
                                .batch_bytes_max = 1048588,
                                .inflate_bytes_max = INFLATE_BYTES_MAX};
}

__attribute__((format(printf, 3, 4))) static enum rc check_refuse(struct batch_check *c, enum rc rc, const char *format,
                                                                  ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->text, sizeof(c->text), format, args);
    va_end(args);
    c->phase = PHASE_DONE;
    c->rc = rc;
    return rc;
}

bool batch_needs_workspace(struct bytes records)
{
    struct batch_header h;
    enum rc rc = batch_header_read(records, &h);
    return rc == RC_OK && batch_codec(&h) != CODEC_NONE && batch_codec(&h) < CODEC_COUNT;
}

// What can be said of the bytes as a whole: one batch of magic 2 and nothing else.
static enum rc check_shape(struct batch_check *c)
{
    if (c->n <= MAGIC_AT)
        return check_refuse(c, RC_INVALID_RECORD, "the partition has no record batch");
    if ((int8_t)c->batch[MAGIC_AT] != BATCH_MAGIC)
        return check_refuse(c, RC_INVALID_RECORD, "message format %d is not accepted, only 2",
                            (int8_t)c->batch[MAGIC_AT]);
    enum rc rc = batch_header_read(bytes_of(c->batch, c->n), &c->header);
    if (rc == RC_TORN)
        return check_refuse(c, RC_INVALID_RECORD, "the record batch is cut off");
    if (rc != RC_OK)
        return check_refuse(c, RC_CORRUPT_MESSAGE, "a record batch of %" PRId32 " bytes has no room for its header",
                            c->header.length);
    if (batch_bytes(&c->header) < c->n)
        return check_refuse(c, RC_INVALID_RECORD, "a partition takes exactly one record batch in a request");
    return RC_OK;
}

// What the header alone decides before the CRC is looked at.
static enum rc check_limits(struct batch_check *c)
{
    const struct batch_header *h = &c->header;
    if (batch_codec(h) >= CODEC_COUNT)
        return check_refuse(c, RC_UNSUPPORTED_COMPRESSION_TYPE, "codec %u is unknown", batch_codec(h));
    if (batch_codec(h) == CODEC_ZSTD && c->rules.produce_version < PRODUCE_ZSTD_VERSION)
        return check_refuse(c, RC_UNSUPPORTED_COMPRESSION_TYPE, "zstd needs Produce version %d, this is %d",
                            PRODUCE_ZSTD_VERSION, c->rules.produce_version);
    if (h->base_offset != 0)
        return check_refuse(c, RC_INVALID_RECORD, "the base offset should be 0, it is %" PRId64, h->base_offset);
    if (c->n > c->rules.batch_bytes_max)
        return check_refuse(c, RC_MESSAGE_TOO_LARGE, "the record batch has %zu bytes, max.message.bytes is %" PRIu32,
                            c->n, c->rules.batch_bytes_max);
    return RC_OK;
}

// What the header says once the CRC has vouched for it.
static enum rc check_header(struct batch_check *c)
{
    const struct batch_header *h = &c->header;
    if (h->record_count <= 0 || (int64_t)h->last_offset_delta + 1 != h->record_count)
        return check_refuse(c, RC_INVALID_RECORD,
                            "the batch counts %" PRId32 " records, its last offset delta is %" PRId32, h->record_count,
                            h->last_offset_delta);
    if (h->attributes & BATCH_ATTR_CONTROL)
        return check_refuse(c, RC_INVALID_RECORD, "clients may not write control records");
    if (batch_has_producer(h) && h->base_sequence < 0)
        return check_refuse(c, RC_INVALID_RECORD, "base sequence %" PRId32 " of producer %" PRId64 " is negative",
                            h->base_sequence, h->producer_id);
    return RC_OK;
}

enum rc batch_check_start(struct batch_check *c, uint8_t *records, size_t n, const struct batch_rules *rules,
                          void *workspace, size_t workspace_bytes)
{
    c->reader = (struct codec_reader){0};
    return batch_check_again(c, records, n, rules, workspace, workspace_bytes);
}

enum rc batch_check_again(struct batch_check *c, uint8_t *records, size_t n, const struct batch_rules *rules,
                          void *workspace, size_t workspace_bytes)
{
    ASSERT(rules->produce_version >= 3);
    *c = (struct batch_check){.batch = records,
                              .n = n,
                              .rules = *rules,
                              .phase = PHASE_CRC,
                              .crc_at = CRC_FROM,
                              .max_timestamp = TIMESTAMP_NONE,
                              .reader = c->reader,
                              .workspace = workspace,
                              .workspace_bytes = workspace_bytes};
    enum rc rc = check_shape(c);
    if (rc == RC_OK)
        rc = check_limits(c);
    return rc == RC_OK ? RC_AGAIN : rc;
}

static void check_record_error(struct batch_check *c, int32_t index, enum rc rc, int64_t timestamp)
{
    if (c->record_error_count < BATCH_RECORD_ERRORS_MAX)
        c->record_errors[c->record_error_count++] =
            (struct batch_record_error){.index = index, .rc = rc, .timestamp = timestamp};
    c->record_error_total++;
}

// KIP-937: the record must be at most so much older, and at most so much newer, than now.
static bool timestamp_in_range(const struct batch_rules *r, int64_t timestamp)
{
    int64_t age;
    if (__builtin_sub_overflow(r->now_ms, timestamp, &age))
        return false;
    return age <= r->timestamp_before_max_ms && (age == INT64_MIN || -age <= r->timestamp_after_max_ms);
}

// One record whose structure is sound. Faults of single records are gathered; an offset out of step ends it.
static enum rc check_record(struct batch_check *c)
{
    const struct record_walk *w = &c->walk;
    int32_t index = w->record_count - 1;
    if (index >= c->header.record_count)
        return check_refuse(c, RC_INVALID_RECORD, "there are more records than the %" PRId32 " that the batch counts",
                            c->header.record_count);
    if (w->offset_delta != index)
        return check_refuse(c, RC_INVALID_RECORD, "record %" PRId32 " has offset delta %" PRId32, index,
                            w->offset_delta);
    // A producer that marked its batch as LogAppendTime loses the mark under CreateTime: the records' own times count.
    bool append_time = c->header.attributes & BATCH_ATTR_LOG_APPEND_TIME;
    int64_t timestamp = (int64_t)((uint64_t)c->header.base_timestamp + (uint64_t)w->timestamp_delta);
    if (c->rules.compacted && w->key_null)
        check_record_error(c, index, RC_INVALID_RECORD, timestamp);
    else if (!c->rules.log_append_time && timestamp != TIMESTAMP_NONE) {
        if (!timestamp_in_range(&c->rules, timestamp))
            check_record_error(c, index, RC_INVALID_TIMESTAMP, timestamp);
    } else if (append_time) {
        check_record_error(c, index, RC_INVALID_TIMESTAMP, timestamp);
    }
    if (timestamp > c->max_timestamp) {
        c->max_timestamp = timestamp;
        c->max_timestamp_offset_delta = index;
    }
    return RC_OK;
}

void batch_record_error_text(const struct batch_check *c, uint32_t i, char *out, size_t n)
{
    ASSERT(i < c->record_error_count);
    const struct batch_record_error *e = &c->record_errors[i];
    if (e->rc != RC_INVALID_TIMESTAMP)
        snprintf(out, n, "a compacted topic takes no record without a key");
    else if (c->rules.log_append_time)
        snprintf(out, n, "the topic sets timestamps itself; producers may not mark theirs as LogAppendTime");
    else
        snprintf(out, n,
                 "timestamp %" PRId64 " is out of range: at most %" PRId64 " ms before and %" PRId64
                 " ms after %" PRId64,
                 e->timestamp, c->rules.timestamp_before_max_ms, c->rules.timestamp_after_max_ms, c->rules.now_ms);
}

// All records were walked: the verdict, and the header as the log wants it.
static enum rc check_finish(struct batch_check *c)
{
    c->inflated_bytes = c->reader.out_bytes;
    if (!record_walk_whole(&c->walk) || c->walk.record_count != c->header.record_count)
        return check_refuse(c, RC_INVALID_RECORD, "the batch counts %" PRId32 " records and has %" PRId32,
                            c->header.record_count, c->walk.record_count);
    if (c->record_error_total > 0)
        return check_refuse(c, c->record_errors[0].rc, "%" PRIu32 " of %" PRId32 " records were refused",
                            c->record_error_total, c->header.record_count);
    if (c->rules.log_append_time) {
        c->max_timestamp = c->rules.now_ms;
        c->max_timestamp_offset_delta = 0;
    }
    batch_set_timestamps(c->batch, c->n, c->rules.log_append_time, c->max_timestamp);
    (void)batch_header_read(bytes_of(c->batch, c->n), &c->header);
    c->phase = PHASE_DONE;
    c->rc = RC_OK;
    return RC_OK;
}

// A codec's word about its stream, as an answer to the client.
static enum rc check_stream_error(struct batch_check *c, enum rc rc)
{
    const char *name = codec_name(c->reader.codec);
    if (rc == RC_NOMEM)
        return check_refuse(c, RC_UNSUPPORTED_COMPRESSION_TYPE, "the %s stream needs a window above 8 MiB", name);
    return check_refuse(c, RC_INVALID_RECORD, "the %s stream is damaged", name);
}

static enum rc check_crc(struct batch_check *c, uint32_t *work_us)
{
    size_t left = c->n - c->crc_at, most = (size_t)*work_us * CRC_BYTES_PER_US;
    size_t n = left < most ? left : most;
    c->crc = crc32c(c->crc, c->batch + c->crc_at, n);
    c->crc_at += n;
    *work_us -= (uint32_t)(n / CRC_BYTES_PER_US);
    if (c->crc_at < c->n)
        return RC_AGAIN;
    if (c->crc != c->header.crc)
        return check_refuse(c, RC_CORRUPT_MESSAGE, "the CRC is %08" PRIx32 ", the batch says %08" PRIx32, c->crc,
                            c->header.crc);
    enum rc rc = check_header(c);
    if (rc != RC_OK)
        return rc;
    struct bytes records = bytes_of(c->batch + BATCH_HEADER_BYTES, c->n - BATCH_HEADER_BYTES);
    rc = codec_reader_again(&c->reader, (enum codec)batch_codec(&c->header), records, c->workspace, c->workspace_bytes);
    if (rc != RC_OK)
        return check_stream_error(c, rc);
    c->phase = PHASE_RECORDS;
    return RC_AGAIN;
}

static enum rc check_records(struct batch_check *c, uint32_t work_us)
{
    size_t left = (size_t)(work_us > 0 ? work_us : 1) * codec_reader_bytes_per_us(c->reader.codec);
    while (left > 0) {
        struct bytes piece;
        enum rc rc = codec_reader_next(&c->reader, left, &piece);
        if (rc == RC_EOF)
            return check_finish(c);
        if (rc != RC_OK)
            return check_stream_error(c, rc);
        left -= piece.n;
        if (c->reader.out_bytes > c->rules.inflate_bytes_max)
            return check_refuse(c, RC_INVALID_RECORD, "the batch inflates beyond %" PRIu64 " bytes",
                                c->rules.inflate_bytes_max);
        while ((rc = record_walk_next(&c->walk, &piece)) == RC_OK) {
            rc = check_record(c);
            if (rc != RC_OK)
                return rc;
        }
        if (rc == RC_MALFORMED)
            return check_refuse(c, RC_INVALID_RECORD, "record %" PRId32 " is damaged", c->walk.record_count);
    }
    return RC_AGAIN;
}

enum rc batch_check_step(struct batch_check *c, uint32_t work_us)
{
    ASSERT(work_us > 0 && c->phase != 0);
    enum rc rc = RC_AGAIN;
    if (c->phase == PHASE_DONE)
        return c->rc;
    uint32_t left_us = work_us;
    if (c->phase == PHASE_CRC)
        rc = check_crc(c, &left_us);
    c->used_us = work_us - left_us + 1;
    if (rc == RC_AGAIN && c->phase == PHASE_RECORDS) {
        uint64_t before = c->reader.out_bytes;
        rc = check_records(c, left_us);
        c->used_us += (uint32_t)((c->reader.out_bytes - before) / codec_reader_bytes_per_us(c->reader.codec));
    }
    c->used_us = c->used_us < work_us ? c->used_us : work_us;
    return rc;
}

enum rc batch_check_run(struct batch_check *c, uint8_t *records, size_t n, const struct batch_rules *rules,
                        void *workspace, size_t workspace_bytes)
{
    enum rc rc = batch_check_start(c, records, n, rules, workspace, workspace_bytes);
    while (rc == RC_AGAIN)
        rc = batch_check_step(c, UINT16_MAX);
    return rc;
}
