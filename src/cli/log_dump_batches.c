// SPDX-License-Identifier: Apache-2.0
//
// A .log file: batch after batch, and on demand record after record.
#include <stdio.h>

#include "cli/date.h"
#include "cli/log_dump.h"
#include "model/limits.h"

enum { DUMP_FLUSH_BYTES = 64 << 10 };

// Records longer than this are printed in part, for a person.
enum { DUMP_TEXT_BYTES = 120 };

static void batch_json(struct log_dump *d, const struct batch_header *h, uint64_t position, bool crc_ok,
                       const char *codec)
{
    struct json j;
    json_init(&j, &d->cli->out, false);
    json_put_object(&j);
    json_put_key_str(&j, "type", "batch");
    json_put_key_str(&j, "file", d->name);
    json_put_key_int(&j, "position", (int64_t)position);
    json_put_key_int(&j, "bytes", (int64_t)batch_bytes(h));
    json_put_key_int(&j, "base_offset", h->base_offset);
    json_put_key_int(&j, "last_offset", batch_last_offset(h));
    json_put_key_int(&j, "count", h->record_count);
    json_put_key_str(&j, "codec", codec);
    json_put_key_bool(&j, "crc_valid", crc_ok);
    json_put_key_int(&j, "crc", h->crc);
    json_put_key_int(&j, "leader_epoch", h->leader_epoch);
    json_put_key_str(&j, "timestamp_type", h->attributes & BATCH_ATTR_LOG_APPEND_TIME ? "LogAppendTime" : "CreateTime");
    json_put_key_int(&j, "base_timestamp", h->base_timestamp);
    json_put_key_int(&j, "max_timestamp", h->max_timestamp);
    json_put_key_int(&j, "producer_id", h->producer_id);
    json_put_key_int(&j, "producer_epoch", h->producer_epoch);
    json_put_key_int(&j, "base_sequence", h->base_sequence);
    json_put_key_int(&j, "last_sequence", h->base_sequence < 0 ? -1 : batch_last_sequence(h));
    json_put_key_bool(&j, "transactional", h->attributes & BATCH_ATTR_TRANSACTIONAL);
    json_put_key_bool(&j, "control", h->attributes & BATCH_ATTR_CONTROL);
    json_put_key_int(&j, "magic", h->magic);
    json_put_object_end(&j);
    buf_append(&d->cli->out, "\n", 1);
}

static void batch_text(struct log_dump *d, const struct batch_header *h, uint64_t position, bool crc_ok,
                       const char *codec)
{
    struct buf *out = &d->cli->out;
    char when[DATE_TEXT_BYTES];
    date_format(h->max_timestamp, when);
    buf_printf(out, "offsets %lld-%lld  count %d  position %llu  bytes %zu  codec %s  crc %s  epoch %d  %s %s",
               (long long)h->base_offset, (long long)batch_last_offset(h), h->record_count,
               (unsigned long long)position, batch_bytes(h), codec, crc_ok ? "ok" : "WRONG", h->leader_epoch,
               h->attributes & BATCH_ATTR_LOG_APPEND_TIME ? "appended" : "created", when);
    if (h->producer_id >= 0)
        buf_printf(out, "  producer %lld epoch %d sequence %d-%d", (long long)h->producer_id, h->producer_epoch,
                   h->base_sequence, h->base_sequence < 0 ? -1 : batch_last_sequence(h));
    if (h->attributes & BATCH_ATTR_TRANSACTIONAL)
        buf_printf(out, "  transactional");
    if (h->attributes & BATCH_ATTR_CONTROL)
        buf_printf(out, "  control");
    buf_append(out, "\n", 1);
}

static void headers_json(struct json *j, const struct record *r)
{
    struct bytes left = r->headers, key, value;
    json_put_key(j, "headers");
    json_put_array(j);
    while (record_header_next(&left, &key, &value)) {
        json_put_object(j);
        json_put_key_text(j, "key", key);
        json_put_key_data(j, "value", value);
        json_put_object_end(j);
    }
    json_put_array_end(j);
}

static void record_json(struct log_dump *d, const struct record *r)
{
    struct json j;
    json_init(&j, &d->cli->out, false);
    json_put_object(&j);
    json_put_key_str(&j, "type", "record");
    json_put_key_int(&j, "offset", r->offset);
    json_put_key_int(&j, "timestamp", r->timestamp);
    json_put_key_data(&j, "key", r->key);
    json_put_key_data(&j, "value", r->value);
    headers_json(&j, r);
    json_put_object_end(&j);
    buf_append(&d->cli->out, "\n", 1);
}

static void shown_bytes(struct buf *out, const char *name, struct bytes b)
{
    char text[DUMP_TEXT_BYTES];
    if (!b.p)
        buf_printf(out, "  %s null", name);
    else
        buf_printf(out, "  %s (%zu) %s", name, b.n, trace_quote(text, sizeof(text), b));
}

static void record_text(struct log_dump *d, const struct record *r)
{
    struct buf *out = &d->cli->out;
    struct bytes left = r->headers, key, value;
    char when[DATE_TEXT_BYTES];
    date_format(r->timestamp, when);
    buf_printf(out, "  offset %lld  %s", (long long)r->offset, when);
    shown_bytes(out, "key", r->key);
    shown_bytes(out, "value", r->value);
    while (record_header_next(&left, &key, &value)) {
        shown_bytes(out, "header", key);
        shown_bytes(out, "=", value);
    }
    buf_append(out, "\n", 1);
}

static enum rc batch_records(struct log_dump *d, const struct batch_header *h, struct bytes batch)
{
    struct batch_iter it;
    struct bytes records;
    struct record r;
    d->inflated.n = 0;
    enum rc rc = batch_inflate(batch, &d->inflated, &records, d->workspace, CODEC_WORKSPACE_BYTES);
    if (rc == RC_OK) {
        batch_iter_init(&it, h, records);
        while (batch_iter_next(&it, &r)) {
            if (d->voice)
                d->voice->record(d, h, &r);
            else if (d->json)
                record_json(d, &r);
            else
                record_text(d, &r);
            if (d->cli->out.n >= DUMP_FLUSH_BYTES && !cli_flush(d->cli))
                return RC_CLOSED;
        }
        rc = it.rc;
    }
    if (rc == RC_OK)
        return rc;
    cli_fail(d->cli, "%s: the records of the batch at offset %lld cannot be read: %s", d->name,
             (long long)h->base_offset, rc_text(rc));
    d->damaged++;
    return RC_CORRUPT;
}

// The batch at `at`; *bytes is its size. RC_EOF at the end of the file, RC_TORN when no whole batch is there.
static enum rc batch_at(struct log_dump *d, uint64_t at, struct batch_header *h, struct bytes *batch)
{
    if (at == d->file_bytes)
        return RC_EOF;
    const uint8_t *p = d->file_bytes - at >= BATCH_HEADER_BYTES ? log_dump_bytes(d, at, BATCH_HEADER_BYTES) : NULL;
    if (!p)
        return RC_TORN;
    enum rc rc = batch_header_read(bytes_of(p, BATCH_HEADER_BYTES), h);
    if (rc == RC_CORRUPT)
        return rc;
    if (batch_bytes(h) > d->file_bytes - at)
        return RC_TORN;
    p = log_dump_bytes(d, at, batch_bytes(h));
    if (!p)
        return RC_NOMEM;
    *batch = bytes_of(p, batch_bytes(h));
    return RC_OK;
}

enum rc log_dump_batches(struct log_dump *d)
{
    struct batch_header h;
    struct bytes batch;
    uint64_t at = 0;
    enum rc rc, result = RC_OK;
    while ((rc = batch_at(d, at, &h, &batch)) == RC_OK) {
        bool crc_ok = batch_crc_ok(batch);
        const char *codec = batch_codec(&h) < CODEC_COUNT ? codec_name((enum codec)batch_codec(&h)) : "unknown";
        d->batches++;
        if (d->voice)
            d->voice->batch(d, &h, at, crc_ok);
        else if (d->json)
            batch_json(d, &h, at, crc_ok, codec);
        else
            batch_text(d, &h, at, crc_ok, codec);
        if (!crc_ok) {
            d->damaged++;
            result = RC_CORRUPT;
        } else if (d->records && batch_records(d, &h, batch) != RC_OK) {
            result = RC_CORRUPT;
        }
        at += batch.n;
        if (d->cli->out.n >= DUMP_FLUSH_BYTES && !cli_flush(d->cli))
            return RC_CLOSED;
    }
    if (rc == RC_EOF)
        return result;
    d->damaged++;
    if (d->voice) {
        d->voice->rest(d, at);
        return RC_CORRUPT;
    }
    cli_fail(d->cli, "%s: no whole batch at position %llu, %llu bytes before the end (%s)", d->name,
             (unsigned long long)at, (unsigned long long)(d->file_bytes - at), rc_text(rc));
    return RC_CORRUPT;
}
