// SPDX-License-Identifier: Apache-2.0
//
// kafka-dump-log: the files of a partition in the words of DumpLogSegments.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/log_dump.h"
#include "cli/tool.h"
#include "wire/dec.h"

struct dump_log_options {
    const char *files, *key_decoder, *value_decoder;
    int64_t bytes_max, message_bytes_max;
    bool print, verify_index, sanity, deep, skip_metadata;
    bool offsets, transactions, metadata, remote, share;
};

static const struct cli_option options[] = {
    TOOL_TEXT(struct dump_log_options, "files", files, "FILE,...", "REQUIRED: the files, with ',' between"),
    TOOL_FLAG(struct dump_log_options, "print-data-log", print, "keys and values of every record too"),
    TOOL_FLAG(struct dump_log_options, "deep-iteration", deep, "every record too, without key and value"),
    TOOL_FLAG(struct dump_log_options, "skip-record-metadata", skip_metadata, "of records only keys and values"),
    TOOL_FLAG(struct dump_log_options, "verify-index-only", verify_index,
              "hold offset indexes against their .log and print only what does not fit"),
    TOOL_FLAG(struct dump_log_options, "index-sanity-check", sanity, "of indexes only whether they are sound"),
    TOOL_NUMBER(struct dump_log_options, "max-bytes", bytes_max, "N", INT32_MAX, "read only so far into .log files"),
    TOOL_NUMBER(struct dump_log_options, "max-message-size", message_bytes_max, "N", 5 << 20, "has no effect here"),
    TOOL_TEXT(struct dump_log_options, "key-decoder-class", key_decoder, "CLASS", "bytes are printed as they are"),
    TOOL_TEXT(struct dump_log_options, "value-decoder-class", value_decoder, "CLASS", "bytes are printed as they are"),
    TOOL_FLAG(struct dump_log_options, "offsets-decoder", offsets, "not supported"),
    TOOL_FLAG(struct dump_log_options, "transaction-log-decoder", transactions, "not supported"),
    TOOL_FLAG(struct dump_log_options, "cluster-metadata-decoder", metadata, "not supported"),
    TOOL_FLAG(struct dump_log_options, "remote-log-metadata-decoder", remote, "not supported"),
    TOOL_FLAG(struct dump_log_options, "share-group-state-decoder", share, "not supported"),
    {0},
};

// An entry of an offset index, kept to be held against the log.
struct entry {
    int64_t offset, position;
};

struct dump {
    struct log_dump reader; // the first, so that the voice finds the rest
    const struct dump_log_options *options;
    struct entry *entries;
    uint32_t entry_count, entry_cap;
};

static struct dump *dump_of(struct log_dump *d)
{
    return (struct dump *)d;
}

// ------------------------------------------------------------------------------------------------ the voice

static const char *yes(bool v)
{
    return v ? "true" : "false";
}

static const char *timestamp_type(const struct batch_header *h)
{
    return h->attributes & BATCH_ATTR_LOG_APPEND_TIME ? "LogAppendTime" : "CreateTime";
}

static void on_batch(struct log_dump *d, const struct batch_header *h, uint64_t position, bool crc_ok)
{
    struct buf *out = &d->cli->out;
    buf_printf(out,
               "baseOffset: %lld lastOffset: %lld count: %d baseSequence: %d lastSequence: %d producerId: %lld "
               "producerEpoch: %d partitionLeaderEpoch: %d isTransactional: %s isControl: %s deleteHorizonMs: ",
               (long long)h->base_offset, (long long)batch_last_offset(h), h->record_count, h->base_sequence,
               h->base_sequence < 0 ? -1 : batch_last_sequence(h), (long long)h->producer_id, h->producer_epoch,
               h->leader_epoch, yes(h->attributes & BATCH_ATTR_TRANSACTIONAL), yes(h->attributes & BATCH_ATTR_CONTROL));
    if (h->attributes & BATCH_ATTR_DELETE_HORIZON)
        buf_printf(out, "OptionalLong[%lld]", (long long)h->base_timestamp);
    else
        buf_printf(out, "OptionalLong.empty");
    buf_printf(out, " position: %llu %s: %lld size: %zu magic: %d compresscodec: %s crc: %u isvalid: %s\n",
               (unsigned long long)position, timestamp_type(h), (long long)h->max_timestamp, batch_bytes(h), h->magic,
               batch_codec(h) < CODEC_COUNT ? codec_name((enum codec)batch_codec(h)) : "unknown", (unsigned)h->crc,
               yes(crc_ok));
}

// " endTxnMarker: COMMIT coordinatorEpoch: 3", of a control record that is one.
static void control(struct buf *out, const struct record *r)
{
    struct dec key = dec_of(r->key), value = dec_of(r->value);
    dec_i16(&key);
    int16_t type = dec_i16(&key);
    dec_i16(&value);
    int32_t epoch = dec_i32(&value);
    if (!key.bad && !value.bad && (type == 0 || type == 1))
        buf_printf(out, " endTxnMarker: %s coordinatorEpoch: %d", type ? "COMMIT" : "ABORT", epoch);
    else
        buf_printf(out, " controlType: UNKNOWN(%d)", key.bad ? -1 : type);
}

static void metadata(struct buf *out, const struct batch_header *h, const struct record *r)
{
    struct bytes left = r->headers, key, value;
    int32_t sequence = -1, delta = (int32_t)(r->offset - h->base_offset);
    if (h->base_sequence >= 0)
        sequence = (int32_t)(((uint32_t)h->base_sequence + (uint32_t)delta) & INT32_MAX);
    buf_printf(out, " offset: %lld %s: %lld keySize: %lld valueSize: %lld sequence: %d headerKeys: [",
               (long long)r->offset, timestamp_type(h), (long long)r->timestamp,
               r->key.p ? (long long)r->key.n : -1LL, r->value.p ? (long long)r->value.n : -1LL, sequence);
    for (bool first = true; record_header_next(&left, &key, &value); first = false) {
        buf_printf(out, "%s", first ? "" : ",");
        buf_append(out, key.p, key.n);
    }
    buf_printf(out, "]");
}

static void on_record(struct log_dump *d, const struct batch_header *h, const struct record *r)
{
    const struct dump_log_options *o = dump_of(d)->options;
    struct buf *out = &d->cli->out;
    const bool is_control = h->attributes & BATCH_ATTR_CONTROL;
    if (!o->skip_metadata) {
        buf_printf(out, "|");
        metadata(out, h, r);
        if (is_control)
            control(out, r);
    }
    if (o->print && !is_control && r->key.p) {
        buf_printf(out, "%s key: ", o->skip_metadata ? "|" : "");
        buf_append(out, r->key.p, r->key.n);
    }
    if (o->print && !is_control && r->value.p) {
        buf_printf(out, " payload: "); // a value alone has no bar there either
        buf_append(out, r->value.p, r->value.n);
    }
    buf_printf(out, "\n");
}

static void on_index(struct log_dump *d, int64_t offset, int64_t position)
{
    struct dump *all = dump_of(d);
    if (all->entry_count == all->entry_cap) {
        uint32_t cap = all->entry_cap ? all->entry_cap * 2 : 1024;
        struct entry *entries = realloc(all->entries, cap * sizeof(*entries));
        if (!entries)
            return; // the rest is printed and not held against the log
        all->entries = entries;
        all->entry_cap = cap;
    }
    all->entries[all->entry_count++] = (struct entry){offset, position};
    if (!all->options->verify_index && !all->options->sanity)
        buf_printf(&d->cli->out, "offset: %lld position: %lld\n", (long long)offset, (long long)position);
}

static void on_time_index(struct log_dump *d, int64_t timestamp, int64_t offset)
{
    struct dump *all = dump_of(d);
    if (!all->options->verify_index && !all->options->sanity)
        buf_printf(&d->cli->out, "timestamp: %lld offset: %lld\n", (long long)timestamp, (long long)offset);
}

static void on_producer(struct log_dump *d, const struct log_dump_producer *p)
{
    struct buf *out = &d->cli->out;
    char transaction[48] = "OptionalLong.empty";
    if (p->transaction_start >= 0)
        snprintf(transaction, sizeof(transaction), "OptionalLong[%lld]", (long long)p->transaction_start);
    buf_printf(out,
               "producerId: %lld producerEpoch: %d coordinatorEpoch: %d currentTxnFirstOffset: %s lastTimestamp: %lld ",
               (long long)p->id, p->epoch, p->coordinator_epoch, transaction, (long long)p->timestamp);
    if (p->last_offset >= 0) {
        int32_t first = p->last_sequence >= p->offset_delta
                            ? p->last_sequence - p->offset_delta
                            : (int32_t)((int64_t)INT32_MAX - (p->offset_delta - p->last_sequence) + 1);
        buf_printf(out, "firstSequence: %d lastSequence: %d lastOffset: %lld offsetDelta: %d timestamp: %lld", first,
                   p->last_sequence, (long long)p->last_offset, p->offset_delta, (long long)p->timestamp);
    }
    buf_printf(out, "\n");
}

static void on_rest(struct log_dump *d, uint64_t at)
{
    const char *slash = strrchr(d->name, '/');
    if (dump_of(d)->options->bytes_max == INT32_MAX)
        buf_printf(&d->cli->out, "Found %llu invalid bytes at the end of %s\n",
                   (unsigned long long)(d->file_bytes - at), slash ? slash + 1 : d->name);
}

static const struct log_dump_voice voice = {.batch = on_batch,
                                            .record = on_record,
                                            .index = on_index,
                                            .time_index = on_time_index,
                                            .producer = on_producer,
                                            .rest = on_rest};

// ------------------------------------------------------------------------------------------------ files

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

// Holds the entries of an offset index against the batches of the log beside it.
static void verify_index(struct dump *all, const char *path)
{
    struct log_dump log = {.cli = all->reader.cli};
    struct batch_header h;
    uint32_t wrong = 0;
    char *name = arena_printf(&log.cli->arena, "%.*s.log", (int)(strlen(path) - strlen(".index")), path);
    if (!name || io_file_open(log.cli->io, &log.file, name, IO_OPEN_READ, IO_FILE_OTHER) != RC_OK)
        return;
    if (io_file_size(&log.file, &log.file_bytes) != RC_OK)
        log.file_bytes = 0;
    for (uint32_t i = 0; i < all->entry_count; i++) {
        const struct entry *e = &all->entries[i];
        const uint8_t *p = log_dump_bytes(&log, (uint64_t)e->position, BATCH_HEADER_BYTES);
        bool good = p && batch_header_read(bytes_of(p, BATCH_HEADER_BYTES), &h) == RC_OK;
        if (good && batch_last_offset(&h) == e->offset)
            continue;
        if (wrong++ == 0)
            fprintf(stderr, "Mismatches in :%s\n", path);
        fprintf(stderr, "  Index offset: %lld, log offset: %lld\n", (long long)e->offset,
                good ? (long long)batch_last_offset(&h) : -1LL);
    }
    io_file_close(&log.file);
    free(log.window);
}

static int dump_index(struct dump *all, const char *path)
{
    bool of_offsets = ends_with(path, ".index");
    all->entry_count = 0;
    if (log_dump_file(&all->reader, path, false) != RC_OK)
        return CLI_FAILED;
    if (all->options->sanity)
        buf_printf(&all->reader.cli->out, "%s passed sanity check.\n", path);
    else if (all->reader.file_bytes == 0 || (of_offsets && all->entry_count == 0))
        buf_printf(&all->reader.cli->out, "%s is empty.\n", path);
    else if (of_offsets)
        verify_index(all, path);
    return CLI_OK;
}

static int dump_one(struct dump *all, const char *path)
{
    struct cli *cli = all->reader.cli;
    buf_printf(&cli->out, "Dumping %s\n", path);
    if (ends_with(path, ".index") || ends_with(path, ".timeindex"))
        return dump_index(all, path);
    if (ends_with(path, ".snapshot"))
        return log_dump_file(&all->reader, path, false) == RC_OK ? CLI_OK : CLI_FAILED;
    if (!ends_with(path, ".log")) {
        cli_flush(cli);
        fprintf(stderr, "Ignoring unknown file %s\n", path);
        return CLI_OK;
    }
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (strspn(name, "0123456789") != strlen(name) - strlen(".log") || *name == '.')
        return tool_fail(cli, "For input string: \"%.*s\"", (int)(strlen(name) - strlen(".log")), name);
    buf_printf(&cli->out, "Log starting offset: %lld\n", strtoll(name, NULL, 10));
    all->reader.bytes_max = (uint64_t)all->options->bytes_max;
    enum rc rc = log_dump_file(&all->reader, path, false);
    return rc == RC_OK || rc == RC_CORRUPT ? CLI_OK : CLI_FAILED; // damage was said and is no failure there
}

static int run(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct dump_log_options *o = parsed->options;
    struct dump all = {.reader = {.cli = cli, .voice = &voice, .records = o->print || o->deep}, .options = o};
    int code = CLI_OK;
    if (!o->files)
        return tool_wrong(cli, &tool_dump_log, "Missing required argument \"[files]\"");
    if (o->offsets || o->transactions || o->metadata || o->remote || o->share)
        return tool_fail(cli, "kafka-dump-log: decoders of Kafka's own topics are not supported; --print-data-log "
                              "prints records as they are");
    if (o->bytes_max < 0)
        return tool_fail(cli, "Cannot parse argument '%lld' of option max-bytes", (long long)o->bytes_max);
    if (!log_dump_init(&all.reader))
        return CLI_FAILED;
    char *rest = arena_copy(&cli->arena, o->files, strlen(o->files)), *path;
    while (code == CLI_OK && rest && (path = strsep(&rest, ",")) != NULL)
        if (*path)
            code = dump_one(&all, path);
    log_dump_deinit(&all.reader);
    free(all.entries);
    int done = cli_done(cli);
    return code == CLI_OK ? done : code;
}

const struct cli_command tool_dump_log = {
    .name = "kafka-dump-log",
    .summary = "This tool helps to parse a log file and dump its contents to the console, useful for debugging a "
               "seemingly corrupt log segment.",
    .options = options,
    .options_bytes = sizeof(struct dump_log_options),
    .run = run};
