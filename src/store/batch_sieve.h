// SPDX-License-Identifier: Apache-2.0
//
// Takes single records out of a batch, for compaction. Two passes over the codec's output: the first shows each record
// to a judge and notes its verdict in one bit; the second, only where some stay and some go, writes those that stay.
// Records may be of any size, pieces of them pass through and nothing is gathered. Pure: memory is the caller's but for
// the bits; a job that gives way.
//
// What stays keeps its offset and timestamp: base offset, last offset delta, leader epoch, producer fields and codec of
// the batch remain, max timestamp follows the records that are left. Where the batch gets a delete horizon, the base
// timestamp becomes that (KIP-534) and timestamp deltas are written anew.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/key_map.h"
#include "wire/batch.h"

struct sieve_record {
    int64_t offset;
    struct key_hash key;
    bool key_null, value_null;
};

enum sieve_verdict { SIEVE_KEEP, SIEVE_DROP, SIEVE_STOP };
typedef enum sieve_verdict (*sieve_judge_fn)(void *context, const struct sieve_record *r);

// One record on its way.
struct sieve_parse {
    uint8_t stage, shift, attributes;
    bool value_null;
    uint64_t varint;
    int64_t length, left; // of the record behind its length field
    int64_t key_bytes, key_left;
    int64_t timestamp_delta;
    int64_t offset_delta;
    int64_t timestamp_bytes; // its delta takes that many
};

struct batch_sieve {
    // What is known after the first pass. A judge that stopped it leaves `stopped`, and the rest counts up to there.
    struct batch_header header;
    int32_t seen, kept, tombstones_kept;
    int64_t timestamp_max_kept; // TIMESTAMP_NONE: nothing is
    bool stopped;
    // private
    struct bytes batch;
    sieve_judge_fn judge;
    void *context;
    uint64_t seed;
    struct codec_reader reader;
    struct codec_writer writer;
    struct bytes piece;
    struct sieve_parse parse;
    struct key_hash key; // of the record under way
    void *hash_state;    // of a key that lies in several pieces
    bool hashing;
    uint8_t *bits;
    uint32_t bits_cap;
    int32_t at; // records of the second pass
    int64_t base_timestamp;
    struct buf *out;
    size_t out_at;
};

// A zeroed sieve has no memory yet.
void batch_sieve_deinit(struct batch_sieve *s);
// `batch` is whole, its checksum was looked at, and stays in place. workspace: 2 * CODEC_WORKSPACE_BYTES, may be NULL
// where batch_codec() is CODEC_NONE. Errors: RC_MALFORMED, RC_UNSUPPORTED_COMPRESSION_TYPE, RC_NOMEM.
enum rc batch_sieve_start(struct batch_sieve *s, struct bytes batch, sieve_judge_fn judge, void *context, uint64_t seed,
                          void *workspace);
// The first pass, for about bytes_max of records. RC_AGAIN: call again. RC_OK. RC_MALFORMED: what is compressed there is
// no sequence of record_count records.
enum rc batch_sieve_step(struct batch_sieve *s, size_t bytes_max);
// The second pass: appends the batch with what was kept, at least one record, to out. horizon_ms: the delete horizon it
// gets, or TIMESTAMP_NONE to leave it as it is. RC_NOMEM when out is full.
enum rc batch_sieve_write_start(struct batch_sieve *s, int64_t horizon_ms, struct buf *out, void *workspace);
enum rc batch_sieve_write_step(struct batch_sieve *s, size_t bytes_max);

// Appends the batch `h` without a record: base offset, last offset and producer fields stay known. RC_NOMEM.
enum rc batch_put_empty(const struct batch_header *h, struct buf *out);
// The hash of a key, as the judge gets it.
struct key_hash key_hash_of(struct bytes key, uint64_t seed);
