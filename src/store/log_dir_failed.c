// SPDX-License-Identifier: Apache-2.0
//
// A log folder that fails: the end of its service in this process, and the word about it for the next one. The word
// stands in `weir-failed`: one checkpoint record with the boot in which it happened; zeros, written ahead so that it
// finds its place on a full disk, say that nothing did. It need not be durable: another boot has no use for it.
#include "base/assert.h"
#include "store/log_dir_private.h"

#include <string.h>

static const char failed_name[] = "weir-failed";

void log_dir_join(struct log_dir *d, struct log_dir *other)
{
    ASSERT(d->peer == d && other->peer);
    d->peer = other->peer;
    other->peer = d;
}

void log_dir_leave(struct log_dir *d)
{
    struct log_dir *before = d->peer;
    while (before && before->peer != d)
        before = before->peer;
    if (before)
        before->peer = d->peer;
    d->peer = d;
}

static enum rc failed_write(const struct log_dir *d, struct io *io, const uint8_t raw[CHECKPOINT_RECORD_BYTES],
                            bool only_if_short)
{
    char path[IO_PATH_BYTES_MAX];
    struct io_file f;
    uint64_t bytes = 0;
    enum rc rc = log_dir_path(d, path, failed_name);
    if (rc == RC_OK)
        rc = io_file_open(io, &f, path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, IO_FILE_OTHER);
    if (rc)
        return rc;
    if (only_if_short)
        rc = io_file_size(&f, &bytes);
    if (rc == RC_OK && bytes < CHECKPOINT_RECORD_BYTES)
        rc = io_file_write_now(&f, raw, CHECKPOINT_RECORD_BYTES, 0);
    io_file_close(&f);
    return rc;
}

enum rc log_dir_failed_prepare(struct log_dir *d)
{
    static const uint8_t zeros[CHECKPOINT_RECORD_BYTES];
    return failed_write(d, d->io, zeros, true);
}

// Whether the file says that a process of this boot met a failure. What cannot be read says so.
static bool failed_in_this_boot(const struct log_dir *d, struct bytes word)
{
    static const uint8_t zeros[CHECKPOINT_RECORD_BYTES];
    struct checkpoint_record r;
    if (word.n == 0 || (word.n <= sizeof(zeros) && memcmp(word.p, zeros, word.n) == 0))
        return false;
    return word.n != CHECKPOINT_RECORD_BYTES || checkpoint_decode(word.p, &r) != RC_OK || r.boot == d->boot;
}

void log_dir_failed_read(struct log_dir *d)
{
    char path[IO_PATH_BYTES_MAX];
    struct buf word;
    buf_init(&word, 2 * CHECKPOINT_RECORD_BYTES);
    enum rc rc = log_dir_path(d, path, failed_name);
    if (rc == RC_OK)
        rc = log_dir_read_file(d->io, path, &word);
    d->suspect = rc != RC_NOT_FOUND && (rc != RC_OK || failed_in_this_boot(d, buf_bytes(&word)));
    buf_deinit(&word);
    if (d->suspect)
        trace_warn(d->trace,
                   "log folder %s: an earlier process of this boot met a failure: what was not synced then is checked "
                   "and written once more",
                   d->path);
}

void log_dir_fail(struct log_dir *d, struct io *io, enum rc rc, const char *what, const char *path)
{
    uint8_t raw[CHECKPOINT_RECORD_BYTES];
    if (log_dir_is_offline(d))
        return;
    // First the word to the next process: this one may be ended at any moment.
    checkpoint_encode(&(struct checkpoint_record){.type = CHECKPOINT_BOOT, .boot = d->boot}, raw);
    struct log_dir *each = d;
    do {
        enum rc noted = failed_write(each, io, raw, false);
        if (noted)
            trace_error(d->trace, "log folder %s: the failure cannot be noted for the next start: %s", each->path,
                        rc_text(noted));
        each = each->peer;
    } while (each != d);
    if (__atomic_exchange_n(&d->offline, true, __ATOMIC_ACQ_REL))
        return;
    trace_error(d->trace, "log folder %s is offline until the next start: %s %s failed: %s", d->path, what, path,
                rc_text(rc));
    if (d->failed)
        d->failed(d, rc);
}
