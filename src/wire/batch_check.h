// SPDX-License-Identifier: Apache-2.0
//
// Judges what a producer sent for one partition, as Kafka does: header, CRC, and every record's structure, compressed
// or not. A job that gives way: start it, step it until the answer is no longer RC_AGAIN. Output of a codec is counted
// and walked, never kept. Pure: time is an argument, memory is the caller's. Shard: the one that owns the partition.
#pragma once

#include "wire/batch.h"
#include "wire/record_walk.h"

struct batch_rules {
    int16_t produce_version; // 3 or later: earlier is answered before anyone looks at bytes
    bool compacted;          // a null key is refused
    bool log_append_time;    // message.timestamp.type
    int64_t now_ms;
    int64_t timestamp_before_max_ms, timestamp_after_max_ms; // INT64_MAX: no limit
    uint32_t batch_bytes_max;                                // max.message.bytes
    uint64_t inflate_bytes_max;                              // INFLATE_BYTES_MAX
};

struct batch_rules batch_rules_default(void);

enum {
    BATCH_RECORD_ERRORS_MAX = 16,
    BATCH_TEXT_BYTES = 160,
};

struct batch_record_error {
    int32_t index; // of the record in the batch
    enum rc rc;
    int64_t timestamp;
};

struct batch_check {
    // What is known when the answer is RC_OK.
    struct batch_header header;
    int64_t max_timestamp;              // under LogAppendTime: now_ms
    int32_t max_timestamp_offset_delta; // of the first record that has it
    uint64_t inflated_bytes;

    uint32_t used_us; // what the last step took of its work_us, by the same rates; at least 1

    // What is known when it is an error of a client: RC_INVALID_RECORD, RC_CORRUPT_MESSAGE, RC_MESSAGE_TOO_LARGE,
    // RC_UNSUPPORTED_COMPRESSION_TYPE, RC_INVALID_TIMESTAMP. text is for error_message, record_errors for Produce 8 on;
    // record_error_total counts those beyond BATCH_RECORD_ERRORS_MAX too.
    char text[BATCH_TEXT_BYTES];
    struct batch_record_error record_errors[BATCH_RECORD_ERRORS_MAX];
    uint32_t record_error_count, record_error_total;

    // The rest is batch_check.c's.
    struct batch_rules rules;
    uint8_t *batch;
    size_t n;
    enum rc rc;
    uint8_t phase;
    uint32_t crc;
    size_t crc_at;
    struct codec_reader reader;
    struct record_walk walk;
    void *workspace;
    size_t workspace_bytes;
};

// True when checking needs a workspace for a codec; false for an uncompressed batch or none. For choosing where to
// wait.
bool batch_needs_workspace(struct bytes records);

// Looks at the header. The bytes stay the caller's and must stay in place until the end; they are changed only by
// success: max timestamp, timestamp type and CRC where the rules ask for it. workspace may be NULL for uncompressed
// batches; else CODEC_WORKSPACE_BYTES, 16-byte aligned, in use until the end.
// RC_AGAIN: go on stepping. Else the answer.
enum rc batch_check_start(struct batch_check *c, uint8_t *records, size_t n, const struct batch_rules *rules,
                          void *workspace, size_t workspace_bytes);
// The same for a c that is zeroed or was started last with this workspace, which nobody has written to since: see
// codec_reader_again().
enum rc batch_check_again(struct batch_check *c, uint8_t *records, size_t n, const struct batch_rules *rules,
                          void *workspace, size_t workspace_bytes);
// Works for about work_us microseconds, by fixed rates and not by a clock. RC_AGAIN, RC_OK, one of the errors above, or
// RC_NOMEM when the stream needs more than the workspace.
enum rc batch_check_step(struct batch_check *c, uint32_t work_us);
// Both, to the end: for tests, tools and batches known to be small.
enum rc batch_check_run(struct batch_check *c, uint8_t *records, size_t n, const struct batch_rules *rules,
                        void *workspace, size_t workspace_bytes);

// What to say of one record: Kafka's batch_index_error_message.
void batch_record_error_text(const struct batch_check *c, uint32_t i, char *out, size_t n);

// Writes a checked batch with another codec (compression.type other than producer), as a job of the same kind. The
// workspace holds a reader and a writer: 2 * CODEC_WORKSPACE_BYTES.
struct batch_recompress {
    struct bytes batch;
    struct batch_header header;
    enum codec codec;
    struct codec_reader reader;
    struct codec_writer writer;
    struct buf *out;
    size_t out_at;
    uint32_t used_us; // as in struct batch_check
};

// out is appended to and borrowed until the end. RC_AGAIN, RC_NOMEM, RC_UNSUPPORTED_COMPRESSION_TYPE.
enum rc batch_recompress_start(struct batch_recompress *j, struct bytes batch, enum codec codec, int level,
                               struct buf *out, void *workspace, size_t workspace_bytes);
// RC_AGAIN, RC_OK (the batch stands at the end of out, CRC set), RC_MALFORMED, RC_NOMEM.
enum rc batch_recompress_step(struct batch_recompress *j, uint32_t work_us);
