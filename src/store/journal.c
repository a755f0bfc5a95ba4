// SPDX-License-Identifier: Apache-2.0
//
// Writing the journal: one frame at a time through write, sync, and (for a new file) a sync of the folder.
#include "store/journal.h"
#include "store/journal_core.h"

#include <stdio.h>
#include <xxhash.h>

enum { STAGE_IDLE, STAGE_WRITE, STAGE_SYNC, STAGE_SYNC_DIR };

uint64_t journal_checksum(const uint8_t *p, size_t n)
{
    return XXH3_64bits(p, n);
}

void journal_head_put(uint8_t head[JOURNAL_HEAD_BYTES], const char *magic, uint64_t number)
{
    memset(head, 0, JOURNAL_HEAD_BYTES);
    memcpy(head, magic, 8);
    put_be32(head + 8, JOURNAL_VERSION);
    put_be64(head + 16, number);
    put_be64(head + 24, journal_checksum(head, 24));
}

bool journal_head_valid(const uint8_t head[JOURNAL_HEAD_BYTES], const char *magic, uint64_t number)
{
    return memcmp(head, magic, 8) == 0 && be64(head + 24) == journal_checksum(head, 24) && be64(head + 16) == number;
}

static bool path_of(char out[IO_PATH_BYTES_MAX], int n)
{
    (void)out;
    return n > 0 && n < IO_PATH_BYTES_MAX;
}

bool journal_segment_path(const char *folder, uint64_t number, char out[IO_PATH_BYTES_MAX])
{
    return path_of(out, snprintf(out, IO_PATH_BYTES_MAX, "%s/%020llu.journal", folder, (unsigned long long)number));
}

bool journal_snapshot_path(const char *folder, const struct journal_mark *mark, char out[IO_PATH_BYTES_MAX])
{
    return path_of(out, snprintf(out, IO_PATH_BYTES_MAX, "%s/%020llu-%020llu.snapshot", folder,
                                 (unsigned long long)mark->index, (unsigned long long)mark->term));
}

bool journal_temporary_path(const char *folder, char out[IO_PATH_BYTES_MAX])
{
    return path_of(out, snprintf(out, IO_PATH_BYTES_MAX, "%s/snapshot.tmp", folder));
}

enum rc journal_segment_create(struct io *io, const char *folder, uint64_t number, struct io_file *file)
{
    static uint8_t zeros[64 << 10]; // never written; not const, because the executable would hold them
    char path[IO_PATH_BYTES_MAX];
    uint8_t head[JOURNAL_HEAD_BYTES];
    if (!journal_segment_path(folder, number, path))
        return RC_INVALID;
    enum rc rc =
        io_file_open(io, file, path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, IO_FILE_OTHER);
    if (rc != RC_OK)
        return rc;
    // Allocated ahead: a sync then has no size to write, and a full disk stops neither votes nor deletes.
    for (uint64_t at = 0; rc == RC_OK && at < JOURNAL_ALLOCATE_BYTES; at += sizeof(zeros))
        rc = io_file_write_now(file, zeros, sizeof(zeros), at);
    journal_head_put(head, JOURNAL_MAGIC, number);
    if (rc == RC_OK)
        rc = io_file_write_now(file, head, sizeof(head), 0);
    if (rc != RC_OK) {
        (void)io_file_truncate(file, 0); // what room there was
        io_file_close(file);
    }
    return rc;
}

// ---- frames ----

void journal_begin(struct journal *j, const struct journal_hard *hard)
{
    ASSERT(!journal_busy(j) && !j->building && !j->failed);
    j->building = true;
    j->hard = *hard;
    j->entry_count = 0;
    j->frame_last_index = j->last_index;
    j->frame.n = 0;
    uint8_t *h = buf_extend(&j->frame, JOURNAL_FRAME_HEAD_BYTES);
    if (!h)
        return;
    memset(h, 0, JOURNAL_FRAME_HEAD_BYTES);
    put_be64(h + FRAME_DURABLE, j->durable_index);
    put_be64(h + FRAME_TERM, hard->term);
    put_be32(h + FRAME_VOTE_NODE, (uint32_t)hard->vote_node);
    memcpy(h + FRAME_VOTE_DIRECTORY, hard->vote_directory.b, 16);
}

static void flag(struct journal *j, uint16_t bit)
{
    put_be16(j->frame.p + FRAME_FLAGS, (uint16_t)(be16(j->frame.p + FRAME_FLAGS) | bit));
}

void journal_truncate(struct journal *j, uint64_t from)
{
    ASSERT(j->building && j->entry_count == 0 && from > 0);
    if (j->frame.failed)
        return;
    flag(j, JOURNAL_CUT);
    put_be64(j->frame.p + FRAME_CUT_FROM, from);
    if (j->frame_last_index >= from)
        j->frame_last_index = from - 1;
    if (j->durable_index >= from)
        j->durable_index = from - 1;
}

void journal_install(struct journal *j, const struct journal_mark *mark)
{
    ASSERT(j->building && j->entry_count == 0);
    ASSERT(mark->voters_bytes <= JOURNAL_VOTERS_BYTES_MAX);
    if (j->frame.failed)
        return;
    flag(j, JOURNAL_INSTALL);
    buf_put_be64(&j->frame, mark->index);
    buf_put_be64(&j->frame, mark->term);
    j->frame_last_index = mark->index;
    j->durable_index = mark->index;
}

bool journal_put(struct journal *j, const struct journal_entry *e)
{
    ASSERT(j->building);
    ASSERT(e->index == j->frame_last_index + 1);
    size_t n = JOURNAL_ENTRY_HEAD_BYTES + e->payload.n;
    if (j->entry_count > 0 && j->frame.n + n > JOURNAL_FRAME_BYTES_MAX)
        return false;
    buf_put_be64(&j->frame, e->index);
    buf_put_be64(&j->frame, e->term);
    buf_put_u8(&j->frame, e->type);
    buf_put_be32(&j->frame, (uint32_t)e->payload.n);
    buf_append(&j->frame, e->payload.p, e->payload.n);
    j->entry_count++;
    j->frame_last_index = e->index;
    return true;
}

static void finish(struct journal *j, enum rc rc)
{
    j->stage = STAGE_IDLE;
    j->building = false;
    if (rc != RC_OK) {
        j->failed = true;
    } else {
        if (j->told_full)
            trace_info(j->trace, "%s: there is room again; the metadata log goes on", j->path);
        j->told_full = false;
        j->last_index = j->durable_index = j->frame_last_index;
        j->offset += j->frame.n;
        j->bytes_since_snapshot += j->frame.n;
        struct journal_segment *s = &j->segments[j->segment_count - 1];
        if (j->last_index > s->last_index)
            s->last_index = j->last_index;
    }
    // An idle node keeps no buffer for the largest write it ever made.
    if (j->frame.cap > JOURNAL_SNAPSHOT_PIECE_BYTES) {
        buf_deinit(&j->frame);
        buf_init(&j->frame, 2 * JOURNAL_FRAME_BYTES_MAX);
    }
    j->done(j, rc);
}

static void step(struct journal *j, enum rc rc);

static void op_done(struct io_op *op, enum rc rc, size_t bytes)
{
    (void)bytes;
    step(container_of(op, struct journal, op), rc);
}

// Nothing of the frame counts before its sync, and what lies behind the last one that counts is cut at a start: so it can
// be written again, over what was written of it.
static void stand_still(struct journal *j)
{
    if (!j->told_full)
        trace_warn(j->trace, "%s: the disk is full; the metadata log stands still until there is room", j->path);
    j->told_full = j->no_room = true;
    if (j->stopped)
        j->stopped(j);
}

static void step(struct journal *j, enum rc rc)
{
    if (rc == RC_NO_SPACE && j->stage == STAGE_WRITE && !j->failed) {
        stand_still(j);
        return;
    }
    if (rc != RC_OK || j->failed) {
        finish(j, rc != RC_OK ? rc : RC_IO);
        return;
    }
    j->op.done = op_done;
    switch (j->stage) {
    case STAGE_WRITE:
        j->stage = STAGE_SYNC;
        io_file_sync(&j->op, &j->file);
        return;
    case STAGE_SYNC:
        if (j->fresh_file) {
            j->fresh_file = false;
            j->stage = STAGE_SYNC_DIR;
            io_file_sync(&j->op, &j->dir);
            return;
        }
        break;
    default:
        break;
    }
    finish(j, RC_OK);
}

static enum rc roll(struct journal *j)
{
    if (j->segment_count == JOURNAL_SEGMENTS_MAX)
        return RC_OK; // the next snapshot makes room; until then the segment grows
    struct io_file file;
    uint64_t number = j->last_index + 1;
    if (number == j->segments[j->segment_count - 1].number)
        return RC_OK; // it holds no entry yet
    if (j->stillborn)
        number = j->stillborn; // one file without a head may be the newest, two would be damage
    enum rc rc = journal_segment_create(j->io, j->path, number, &file);
    if (rc == RC_NO_SPACE) {
        trace_warn(j->trace, "%s: the disk is full; the metadata log goes on in its old file", j->path);
        j->stillborn = number;
        return RC_OK;
    }
    if (rc != RC_OK)
        return rc;
    j->stillborn = 0;
    io_file_close(&j->file);
    j->file = file;
    j->segments[j->segment_count++] = (struct journal_segment){.number = number};
    j->offset = JOURNAL_HEAD_BYTES;
    j->allocated = JOURNAL_ALLOCATE_BYTES;
    j->fresh_file = true;
    return RC_OK;
}

// Behind a frame there must be zeros: a frame that ends past what is allocated brings a new stretch of them.
static bool allocate(struct journal *j)
{
    uint64_t end = j->offset + j->frame.n;
    if (end + JOURNAL_FRAME_HEAD_BYTES <= j->allocated)
        return true;
    uint64_t target = (end / JOURNAL_ALLOCATE_BYTES + 1) * JOURNAL_ALLOCATE_BYTES;
    size_t n = j->frame.n;
    uint8_t *p = buf_extend(&j->frame, (size_t)(target - end));
    if (!p)
        return false;
    memset(p, 0, (size_t)(target - end));
    j->frame.n = n;
    j->vec.iov_len = (size_t)(target - j->offset);
    j->allocated = target;
    return true;
}

static void write_frame(struct journal *j, enum rc rc)
{
    j->op.done = op_done;
    if (rc == RC_OK)
        rc = io_file_write(&j->op, &j->file, &j->vec, 1, j->offset);
    if (rc == RC_AGAIN)
        return;
    if (rc == RC_OK || rc == RC_NO_SPACE) {
        step(j, rc);
        return;
    }
    // Failed before anything was in flight: the answer still comes later, through a sync nobody relies on.
    j->failed = true;
    j->stage = STAGE_SYNC_DIR;
    io_file_sync(&j->op, &j->dir);
}

void journal_again(struct journal *j)
{
    ASSERT(j->no_room);
    j->no_room = false;
    write_frame(j, RC_OK);
}

void journal_give_up(struct journal *j)
{
    ASSERT(j->no_room);
    j->no_room = j->building = false;
    j->stage = STAGE_IDLE;
    j->failed = true;
}

void journal_commit(struct journal *j, journal_done_fn done)
{
    ASSERT(j->building);
    j->done = done;
    j->stage = STAGE_WRITE;
    enum rc rc = j->frame.failed ? RC_NOMEM : RC_OK;
    if (rc == RC_OK && j->roll)
        rc = roll(j);
    j->roll = false;
    if (rc == RC_OK) {
        uint8_t *h = j->frame.p;
        put_be32(h + FRAME_LENGTH, (uint32_t)j->frame.n);
        put_be16(h + FRAME_VERSION, JOURNAL_VERSION);
        put_be32(h + FRAME_ENTRIES, j->entry_count);
        put_be64(h, journal_checksum(h + FRAME_LENGTH, j->frame.n - FRAME_LENGTH));
        j->vec.iov_len = j->frame.n;
        if (!allocate(j))
            rc = RC_NOMEM;
    }
    j->vec.iov_base = j->frame.p;
    write_frame(j, rc);
}

void journal_roll(struct journal *j)
{
    j->roll = true;
}

static void removed(struct io_op *op, enum rc rc, size_t bytes)
{
    (void)bytes;
    struct journal *j = container_of(op, struct journal, remove_op);
    // What could not be removed is removed when the next snapshot is made, or at the next start.
    if (rc == RC_OK)
        journal_drop_covered(j);
}

void journal_drop_covered(struct journal *j)
{
    if (io_op_busy(&j->remove_op) || j->segment_count < 2 || j->segments[0].last_index > j->snapshot.index)
        return;
    // Until the first frame of the newest segment is durable, term and vote stand in the one before it.
    if (j->segments[j->segment_count - 1].last_index == 0)
        return;
    char path[IO_PATH_BYTES_MAX];
    if (!journal_segment_path(j->path, j->segments[0].number, path))
        return;
    j->segment_count--;
    memmove(&j->segments[0], &j->segments[1], j->segment_count * sizeof(j->segments[0]));
    j->remove_op.done = removed;
    io_remove(&j->remove_op, j->io, path);
}

void journal_close(struct journal *j)
{
    ASSERT(!journal_busy(j));
    if (io_file_is_open(&j->file))
        io_file_close(&j->file);
    if (io_file_is_open(&j->dir))
        io_file_close(&j->dir);
    buf_deinit(&j->frame);
}
