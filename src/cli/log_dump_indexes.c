// SPDX-License-Identifier: Apache-2.0
//
// .index, .timeindex and producer .snapshot files, in Kafka's formats:
//   index       {relative offset i32, position i32}...           zeros at the end are room set aside
//   time index  {timestamp i64, relative offset i32}...          likewise
//   snapshot    version i16 = 1, crc u32 of the rest, count i32, then 46 bytes a producer
#include "cli/date.h"
#include "cli/log_dump.h"
#include "wire/crc32c.h"
#include "wire/dec.h"

enum { INDEX_ENTRY_BYTES = 8, TIME_INDEX_ENTRY_BYTES = 12, SNAPSHOT_HEAD_BYTES = 10, SNAPSHOT_ENTRY_BYTES = 46 };

static enum rc damaged(struct log_dump *d, const char *what)
{
    d->damaged++;
    cli_fail(d->cli, "%s: %s", d->name, what);
    return RC_CORRUPT;
}

static void index_entry(struct log_dump *d, const char *type, int64_t timestamp, int64_t offset, int64_t position)
{
    struct json j;
    char when[DATE_TEXT_BYTES];
    if (d->voice && position >= 0) {
        d->voice->index(d, offset, position);
    } else if (d->voice) {
        d->voice->time_index(d, timestamp, offset);
    } else if (d->json) {
        json_init(&j, &d->cli->out, false);
        json_put_object(&j);
        json_put_key_str(&j, "type", type);
        json_put_key_str(&j, "file", d->name);
        if (position < 0)
            json_put_key_int(&j, "timestamp", timestamp);
        json_put_key_int(&j, "offset", offset);
        if (position >= 0)
            json_put_key_int(&j, "position", position);
        json_put_object_end(&j);
        buf_append(&d->cli->out, "\n", 1);
    } else if (position >= 0) {
        buf_printf(&d->cli->out, "offset %lld  position %lld\n", (long long)offset, (long long)position);
    } else {
        date_format(timestamp, when);
        buf_printf(&d->cli->out, "timestamp %s  offset %lld\n", when, (long long)offset);
    }
}

enum rc log_dump_index(struct log_dump *d)
{
    int64_t base = d->segment_base < 0 ? 0 : d->segment_base, last = -1;
    for (uint64_t at = 0; at + INDEX_ENTRY_BYTES <= d->file_bytes; at += INDEX_ENTRY_BYTES) {
        const uint8_t *p = log_dump_bytes(d, at, INDEX_ENTRY_BYTES);
        if (!p)
            return damaged(d, "cannot be read");
        uint32_t relative = be32(p), position = be32(p + 4);
        if (relative == 0 && position == 0)
            break;
        if ((int64_t)position <= last && at > 0)
            return damaged(d, "positions do not rise");
        last = position;
        index_entry(d, "index", 0, base + relative, position);
    }
    return d->file_bytes % INDEX_ENTRY_BYTES ? damaged(d, "its size is no multiple of 8") : RC_OK;
}

enum rc log_dump_time_index(struct log_dump *d)
{
    int64_t base = d->segment_base < 0 ? 0 : d->segment_base, last = INT64_MIN;
    for (uint64_t at = 0; at + TIME_INDEX_ENTRY_BYTES <= d->file_bytes; at += TIME_INDEX_ENTRY_BYTES) {
        const uint8_t *p = log_dump_bytes(d, at, TIME_INDEX_ENTRY_BYTES);
        if (!p)
            return damaged(d, "cannot be read");
        int64_t timestamp = (int64_t)be64(p);
        uint32_t relative = be32(p + 8);
        if (timestamp == 0 && relative == 0)
            break;
        if (timestamp < last)
            return damaged(d, "timestamps do not rise");
        last = timestamp;
        index_entry(d, "time_index", timestamp, base + relative, -1);
    }
    return d->file_bytes % TIME_INDEX_ENTRY_BYTES ? damaged(d, "its size is no multiple of 12") : RC_OK;
}

static void snapshot_entry(struct log_dump *d, struct dec *in)
{
    struct log_dump_producer p;
    p.id = dec_i64(in);
    p.epoch = dec_i16(in);
    p.last_sequence = dec_i32(in);
    p.last_offset = dec_i64(in);
    p.offset_delta = dec_i32(in);
    p.timestamp = dec_i64(in);
    p.coordinator_epoch = dec_i32(in);
    p.transaction_start = dec_i64(in);
    struct json j;
    char when[DATE_TEXT_BYTES];
    if (d->voice) {
        d->voice->producer(d, &p);
        return;
    }
    if (!d->json) {
        date_format(p.timestamp, when);
        buf_printf(&d->cli->out, "producer %lld  epoch %d  last sequence %d  last offsets %lld-%lld  last write %s\n",
                   (long long)p.id, p.epoch, p.last_sequence, (long long)p.last_offset - p.offset_delta,
                   (long long)p.last_offset, when);
        return;
    }
    json_init(&j, &d->cli->out, false);
    json_put_object(&j);
    json_put_key_str(&j, "type", "producer");
    json_put_key_str(&j, "file", d->name);
    json_put_key_int(&j, "producer_id", p.id);
    json_put_key_int(&j, "producer_epoch", p.epoch);
    json_put_key_int(&j, "last_sequence", p.last_sequence);
    json_put_key_int(&j, "last_offset", p.last_offset);
    json_put_key_int(&j, "offset_delta", p.offset_delta);
    json_put_key_int(&j, "timestamp", p.timestamp);
    json_put_key_int(&j, "coordinator_epoch", p.coordinator_epoch);
    json_put_key_int(&j, "transaction_start_offset", p.transaction_start);
    json_put_object_end(&j);
    buf_append(&d->cli->out, "\n", 1);
}

enum rc log_dump_snapshot(struct log_dump *d)
{
    if (d->file_bytes < SNAPSHOT_HEAD_BYTES || d->file_bytes > SIZE_MAX / 2)
        return damaged(d, "too short for a producer snapshot");
    const uint8_t *p = log_dump_bytes(d, 0, (size_t)d->file_bytes);
    if (!p)
        return damaged(d, "cannot be read");
    if (be16(p) != 1)
        return damaged(d, "unknown snapshot version");
    if (crc32c(0, p + 6, (size_t)d->file_bytes - 6) != be32(p + 2))
        return damaged(d, "checksum wrong");
    uint32_t count = be32(p + 6);
    if ((d->file_bytes - SNAPSHOT_HEAD_BYTES) / SNAPSHOT_ENTRY_BYTES < count)
        return damaged(d, "shorter than its count says");
    struct dec in = dec_of(bytes_of(p + SNAPSHOT_HEAD_BYTES, (size_t)d->file_bytes - SNAPSHOT_HEAD_BYTES));
    for (uint32_t i = 0; i < count; i++)
        snapshot_entry(d, &in);
    return RC_OK;
}
