// SPDX-License-Identifier: Apache-2.0
//
// See fixture.h.
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct topic_partition fixture_id = {
    .topic_id = {.b = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}, .partition = 0};

static void fixture_trace(struct trace_sink *sink, enum trace_level level, const char *line, size_t n)
{
    struct fixture *f = container_of(sink, struct fixture, trace);
    if (level < TRACE_WARN)
        return;
    f->lines++;
    snprintf(f->last_line, sizeof(f->last_line), "%.*s", (int)n, line);
}

void fixture_start(struct fixture *f)
{
    char why[512] = "";
    const struct io_config config = {.engine = IO_ENGINE_AUTO};
    cr_assert_eq(io_create(&f->io, &config), RC_OK);
    cr_assert_eq(log_dir_open(&f->dir, f->io, &f->trace, f->path, why, sizeof(why)), RC_OK, "%s", why);
    if (!f->dir.identity.formatted)
        cr_assert_eq(log_dir_format(&f->dir, "fixture-cluster-000000", 1, log_dir_draw_id(&f->dir)), RC_OK);
    cr_assert_eq(log_dir_start(&f->dir), RC_OK);
    f->dirs[0] = &f->dir;
    cr_assert_eq(store_init(&f->store, f->io, &f->trace, &f->store_config, f->dirs, 1), RC_OK);
    cr_assert_eq(plog_attach(&f->log, &f->store, &f->dir, bytes_str("t"), fixture_id, &f->config,
                             log_dir_find(&f->dir, fixture_id)),
                 RC_OK);
}

void fixture_open(struct fixture *f)
{
    if (f->config.segment_bytes == 0)
        f->config = PLOG_CONFIG_DEFAULT;
    if (f->store_config.files_max == 0)
        f->store_config = STORE_CONFIG_DEFAULT;
    f->trace = (struct trace_sink){.level_min = TRACE_INFO, .write = fixture_trace};
    snprintf(f->path, sizeof(f->path), "/tmp/weir-store-XXXXXX");
    cr_assert(mkdtemp(f->path) != NULL);
    fixture_start(f);
}

static bool fixture_busy(struct fixture *f)
{
    return (f->log.state != PLOG_DETACHED && !plog_is_idle(&f->log)) || !log_dir_is_idle(&f->dir) ||
           f->store.checkpoints > 0 || trash_is_busy(f->store.trash);
}

void fixture_settle(struct fixture *f)
{
    uint64_t next;
    int quiet = 0; // what completes in the poll may be the last thing in flight and want more work
    for (int i = 0; i < 100000; i++) {
        bool more = store_work(&f->store, 1000000, &next);
        io_poll(f->io, 0);
        bool idle = !fixture_busy(f) && compactor_is_idle(f->store.compactor);
        quiet = !more && idle && list_empty(&f->store.due_logs) ? quiet + 1 : 0;
        if (quiet == 2)
            return;
        if (!more)
            io_poll(f->io, 1000000);
    }
    cr_assert_fail("the store does not come to rest");
}

static void fixture_shut(struct fixture *f)
{
    for (int i = 0; i < 100000 && fixture_busy(f); i++)
        io_poll(f->io, 1000000);
    plog_detach(&f->log);
    store_deinit(&f->store);
    log_dir_close(&f->dir);
    io_destroy(f->io);
}

void fixture_close(struct fixture *f)
{
    char command[300];
    fixture_shut(f);
    snprintf(command, sizeof(command), "rm -rf '%s'", f->path);
    cr_assert_eq(system(command), 0);
}

void fixture_die(struct fixture *f)
{
    fixture_shut(f);
    fixture_start(f);
}

// Makes every BOOT record one of another boot.
static void change_boot(struct fixture *f, const char *name)
{
    char path[300];
    uint8_t raw[CHECKPOINT_RECORD_BYTES];
    snprintf(path, sizeof(path), "%s/%s", f->path, name);
    FILE *file = fopen(path, "r+b");
    cr_assert(file != NULL);
    for (long at = 0; fread(raw, sizeof(raw), 1, file) == 1; at += (long)sizeof(raw)) {
        struct checkpoint_record r;
        if (checkpoint_decode(raw, &r) == RC_OK && r.type == CHECKPOINT_BOOT) {
            r.boot ^= 0x5555;
            checkpoint_encode(&r, raw);
            fseek(file, at, SEEK_SET);
            fwrite(raw, sizeof(raw), 1, file);
            fseek(file, at + (long)sizeof(raw), SEEK_SET);
        }
    }
    fclose(file);
}

void fixture_change_boot(struct fixture *f)
{
    change_boot(f, "weir-checkpoint");
    change_boot(f, "weir-failed");
}

void fixture_power_cut(struct fixture *f)
{
    fixture_shut(f);
    fixture_change_boot(f);
    fixture_start(f);
}

static void fixture_stopped(struct log_dir_op *op, enum rc rc)
{
    op->rc = rc;
    op->record.type = 1; // done
}

static bool fixture_topic_name(struct log_dir *d, struct uuid topic_id, struct bytes *name)
{
    (void)d;
    *name = bytes_str("t");
    return uuid_eq(topic_id, fixture_id.topic_id);
}

void fixture_stop(struct fixture *f)
{
    struct log_dir_op stop = {.request = LOG_DIR_STOP, .done = fixture_stopped};
    f->dir.topic_name = fixture_topic_name;
    fixture_settle(f);
    cr_assert_eq(plog_rest(&f->log), RC_OK);
    plog_detach(&f->log);
    log_dir_submit(&f->dir, &stop);
    while (stop.record.type != 1)
        io_poll(f->io, 1000000);
    cr_assert_eq(stop.rc, RC_OK);
    fixture_shut(f);
}

enum rc fixture_try_recover(struct fixture *f, struct plog_recovery_report *report)
{
    enum rc rc = plog_open(&f->log);
    *report = (struct plog_recovery_report){0};
    while (rc == RC_AGAIN)
        rc = plog_recover_step(&f->log, 1000, report); // little at a time, so that it is taken up again often
    return rc;
}

struct plog_recovery_report fixture_recover(struct fixture *f)
{
    struct plog_recovery_report report;
    enum rc rc = fixture_try_recover(f, &report);
    cr_assert_eq(rc, RC_OK, "%s: %s", rc_name(rc), f->last_line);
    return report;
}

// ------------------------------------------------------------------------------------------------ batches

void fixture_make(struct made_batch *b, struct batch_spec spec)
{
    struct batch_builder builder;
    struct batch_options options = batch_options_default();
    struct buf out;
    static uint8_t value[FIXTURE_BATCH_BYTES_MAX];
    if (spec.producer_id) {
        options.producer_id = spec.producer_id;
        options.producer_epoch = spec.producer_epoch;
        options.base_sequence = spec.base_sequence;
    }
    options.attributes = spec.attributes;
    batch_builder_init(&builder, &options, FIXTURE_BATCH_BYTES_MAX);
    for (int32_t i = 0; i < spec.records; i++) {
        memset(value, 'a' + i % 26, spec.value_bytes);
        cr_assert_eq(batch_builder_add(&builder, spec.timestamp + i, bytes_str("key"),
                                       bytes_of(value, spec.value_bytes), NULL, 0),
                     RC_OK);
    }
    buf_init(&out, FIXTURE_BATCH_BYTES_MAX);
    cr_assert_eq(batch_builder_finish(&builder, &out), RC_OK);
    memcpy(b->bytes, out.p, out.n);
    b->n = out.n;
    buf_deinit(&out);
    batch_builder_deinit(&builder);
}

struct fixture_op {
    struct plog_append op;
    enum rc rc;
    bool done;
};

static void fixture_appended(struct plog_append *op, enum rc rc)
{
    struct fixture_op *w = container_of(op, struct fixture_op, op);
    w->rc = rc;
    w->done = true;
}

enum rc fixture_append(struct fixture *f, struct batch_spec spec, struct plog_append *op)
{
    return fixture_append_to(f, &f->log, spec, op);
}

enum rc fixture_append_to(struct fixture *f, struct plog *l, struct batch_spec spec, struct plog_append *op)
{
    struct made_batch b;
    struct fixture_op w = {.op.done = fixture_appended};
    fixture_make(&b, spec);
    w.op.batch = b.bytes;
    w.op.bytes = b.n;
    w.op.leader_epoch = f->leader_epoch ? f->leader_epoch : 3;
    enum rc rc = plog_append(l, &w.op);
    if (rc == RC_OK) {
        plog_flush(l);
        while (!w.done)
            io_poll(f->io, 1000000);
        rc = w.rc;
    }
    if (op)
        *op = w.op;
    return rc;
}

void fixture_fill(struct fixture *f, unsigned count, size_t value_bytes)
{
    for (unsigned i = 0; i < count; i++) {
        enum rc rc = fixture_append(
            f, (struct batch_spec){.records = 1, .value_bytes = value_bytes, .timestamp = 1000 + i}, NULL);
        cr_assert_eq(rc, RC_OK, "%s", rc_name(rc));
    }
}

int64_t fixture_read_all(struct fixture *f)
{
    int64_t records = 0;
    struct plog_read read = {.offset = f->log.start, .bound = INT64_MAX, .bytes_max = 10000, .at_least_one = true};
    static uint8_t bytes[2 * FIXTURE_BATCH_BYTES_MAX];
    while (read.offset < plog_written_end(&f->log)) {
        struct plog_slice slice;
        size_t got;
        enum rc rc = plog_read(&f->log, &read, &slice, NULL);
        cr_assert_eq(rc, RC_OK, "%s at %lld", rc_name(rc), (long long)read.offset);
        cr_assert(slice.bytes > 0 && slice.bytes <= sizeof(bytes));
        cr_assert_eq(io_file_read_now(plog_slice_file(&slice), bytes, slice.bytes, slice.position, &got), RC_OK);
        cr_assert_eq(got, slice.bytes);
        cr_assert(slice.first_offset <= read.offset);
        for (size_t at = 0; at < got;) {
            struct batch_header h;
            cr_assert_eq(batch_header_read(bytes_of(bytes + at, got - at), &h), RC_OK);
            cr_assert(batch_crc_ok(bytes_of(bytes + at, batch_bytes(&h))));
            cr_assert_eq(h.base_offset, read.offset);
            read.offset = batch_last_offset(&h) + 1;
            records += h.record_count;
            at += batch_bytes(&h);
        }
        cr_assert_eq(read.offset, slice.next_offset);
        plog_slice_release(&slice);
    }
    return records;
}

// ------------------------------------------------------------------------------------------------ files

const char *fixture_file(struct fixture *f, const char *name)
{
    static char path[400];
    snprintf(path, sizeof(path), "%s/t-0/%s", f->path, name);
    return path;
}

bool fixture_exists(struct fixture *f, const char *name)
{
    return access(fixture_file(f, name), F_OK) == 0;
}

static FILE *fixture_fopen(struct fixture *f, const char *name, const char *mode)
{
    FILE *file = fopen(fixture_file(f, name), mode);
    cr_assert(file != NULL, "%s", name);
    return file;
}

uint64_t fixture_size(struct fixture *f, const char *name)
{
    FILE *file = fixture_fopen(f, name, "rb");
    fseek(file, 0, SEEK_END);
    long n = ftell(file);
    fclose(file);
    return (uint64_t)n;
}

void fixture_truncate(struct fixture *f, const char *name, uint64_t bytes)
{
    cr_assert_eq(truncate(fixture_file(f, name), (off_t)bytes), 0);
}

void fixture_flip(struct fixture *f, const char *name, uint64_t at)
{
    FILE *file = fixture_fopen(f, name, "r+b");
    fseek(file, (long)at, SEEK_SET);
    int c = fgetc(file);
    fseek(file, (long)at, SEEK_SET);
    fputc(c ^ 0x10, file);
    fclose(file);
}

void fixture_remove(struct fixture *f, const char *name)
{
    cr_assert_eq(unlink(fixture_file(f, name)), 0);
}

void fixture_write_file(struct fixture *f, const char *name, uint64_t at, const uint8_t *bytes, size_t n)
{
    FILE *file = fixture_fopen(f, name, fixture_exists(f, name) ? "r+b" : "wb");
    fseek(file, (long)at, SEEK_SET);
    cr_assert_eq(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

size_t fixture_read_file(struct fixture *f, const char *name, uint8_t *out, size_t max)
{
    FILE *file = fixture_fopen(f, name, "rb");
    size_t n = fread(out, 1, max, file);
    fclose(file);
    return n;
}
