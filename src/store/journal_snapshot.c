// SPDX-License-Identifier: Apache-2.0
//
// Snapshot files: a head with the mark, pieces with a checksum each, and an empty piece as the end. Written under a
// temporary name and renamed when durable, so a file under its own name is whole.
#include "store/journal.h"
#include "store/journal_core.h"

#include <stdio.h>
#include <stdlib.h>

enum { STAGE_IDLE, STAGE_PUT, STAGE_END, STAGE_SYNC, STAGE_SYNC_DIR, STAGE_FAIL };

static void append_piece(struct buf *b, struct bytes piece)
{
    uint8_t *h = buf_extend(b, JOURNAL_PIECE_HEAD_BYTES);
    if (!h)
        return;
    memset(h, 0, JOURNAL_PIECE_HEAD_BYTES);
    put_be32(h, (uint32_t)piece.n);
    put_be64(h + 8, journal_checksum(piece.p ? piece.p : h, piece.n) ^ piece.n);
    buf_append(b, piece.p, piece.n);
}

enum rc journal_snapshot_begin(struct journal *j, struct journal_snapshot *s, const struct journal_mark *mark)
{
    ASSERT(mark->index > 0 && mark->voters_bytes <= JOURNAL_VOTERS_BYTES_MAX);
    char path[IO_PATH_BYTES_MAX];
    void *owner = s->owner;
    *s = (struct journal_snapshot){.journal = j, .mark = *mark, .owner = owner};
    buf_init(&s->piece, 64 << 20);
    if (!journal_temporary_path(j->path, path))
        return RC_INVALID;
    enum rc rc = io_file_open(j->io, &s->file, path, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, IO_FILE_OTHER);
    if (rc != RC_OK)
        return rc;
    uint8_t *h = buf_extend(&s->piece, JOURNAL_HEAD_BYTES);
    if (!h)
        return RC_NOMEM;
    journal_head_put(h, JOURNAL_SNAPSHOT_MAGIC, mark->index);
    uint8_t meta[16 + JOURNAL_VOTERS_BYTES_MAX];
    put_be64(meta, mark->index);
    put_be64(meta + 8, mark->term);
    memcpy(meta + 16, mark->voters, mark->voters_bytes);
    append_piece(&s->piece, bytes_of(meta, 16 + mark->voters_bytes));
    return s->piece.failed ? RC_NOMEM : RC_OK;
}

static void end(struct journal_snapshot *s, enum rc rc)
{
    if (s->stage == STAGE_FAIL)
        rc = RC_IO;
    s->stage = STAGE_IDLE;
    s->done(s, rc);
}

static void old_ones_go(struct journal *j, const struct journal_mark *old)
{
    char path[IO_PATH_BYTES_MAX];
    // Unlinking one small file inline; the segments, which may be large, go through the ring.
    if (old->index > 0 && old->index < j->snapshot.index && journal_snapshot_path(j->path, old, path))
        (void)io_remove_now(j->io, path);
    j->bytes_since_snapshot = 0;
    journal_drop_covered(j);
}

static enum rc into_place(struct journal_snapshot *s)
{
    char from[IO_PATH_BYTES_MAX], to[IO_PATH_BYTES_MAX];
    struct journal *j = s->journal;
    if (!journal_temporary_path(j->path, from) || !journal_snapshot_path(j->path, &s->mark, to))
        return RC_INVALID;
    io_file_close(&s->file);
    return io_rename(j->io, from, to);
}

static void op_done(struct io_op *op, enum rc rc, size_t bytes);

static void step(struct journal_snapshot *s, enum rc rc)
{
    struct journal *j = s->journal;
    s->op.done = op_done;
    if (rc == RC_OK && s->stage == STAGE_END) {
        s->stage = STAGE_SYNC;
        io_file_sync(&s->op, &s->file);
        return;
    }
    if (rc == RC_OK && s->stage == STAGE_SYNC) {
        rc = into_place(s);
        if (rc == RC_OK) {
            s->stage = STAGE_SYNC_DIR;
            io_file_sync(&s->op, &j->dir);
            return;
        }
    }
    if (rc == RC_OK && s->stage == STAGE_SYNC_DIR) {
        struct journal_mark old = j->snapshot;
        j->snapshot = s->mark;
        j->snapshot_bytes = s->bytes;
        old_ones_go(j, &old);
    }
    buf_deinit(&s->piece);
    end(s, rc);
}

static void op_done(struct io_op *op, enum rc rc, size_t bytes)
{
    (void)bytes;
    struct journal_snapshot *s = container_of(op, struct journal_snapshot, op);
    if (s->stage != STAGE_PUT) {
        step(s, rc);
        return;
    }
    s->piece.n = 0;
    end(s, rc);
}

static enum rc write_out(struct journal_snapshot *s)
{
    if (s->piece.failed)
        return RC_NOMEM;
    s->op.done = op_done;
    s->vec = (struct iovec){.iov_base = s->piece.p, .iov_len = s->piece.n};
    uint64_t at = s->offset;
    s->offset += s->piece.n;
    s->bytes = s->offset;
    return io_file_write(&s->op, &s->file, &s->vec, 1, at);
}

enum rc journal_snapshot_put(struct journal_snapshot *s, struct bytes piece, journal_snapshot_done_fn done)
{
    ASSERT(s->stage == STAGE_IDLE);
    if (piece.n == 0)
        return RC_OK; // an empty piece is the end
    append_piece(&s->piece, piece);
    s->done = done;
    s->stage = STAGE_PUT;
    enum rc rc = write_out(s);
    if (rc == RC_AGAIN)
        return rc;
    s->piece.n = 0;
    s->stage = STAGE_IDLE;
    return rc;
}

void journal_snapshot_finish(struct journal_snapshot *s, journal_snapshot_done_fn done)
{
    ASSERT(s->stage == STAGE_IDLE);
    append_piece(&s->piece, (struct bytes){0});
    s->done = done;
    s->stage = STAGE_END;
    enum rc rc = write_out(s);
    if (rc == RC_AGAIN)
        return;
    if (rc == RC_OK) {
        step(s, RC_OK);
        return;
    }
    s->stage = STAGE_FAIL; // told later, like every end
    s->op.done = op_done;
    io_file_sync(&s->op, &s->journal->dir);
}

void journal_snapshot_abandon(struct journal_snapshot *s)
{
    char path[IO_PATH_BYTES_MAX];
    ASSERT(s->stage == STAGE_IDLE);
    if (io_file_is_open(&s->file))
        io_file_close(&s->file);
    if (journal_temporary_path(s->journal->path, path))
        (void)io_remove_now(s->journal->io, path);
    buf_deinit(&s->piece);
}

// ---- reading [boot] ----

static enum rc damaged(char *why, size_t why_bytes, const char *path, uint64_t offset)
{
    snprintf(why, why_bytes, "metadata snapshot %s is damaged at offset %llu", path, (unsigned long long)offset);
    journal_say_remedy(path, why, why_bytes);
    return RC_CORRUPT;
}

// Reads the piece at *offset into b (replaced) and moves on. RC_EOF: the end piece; RC_CORRUPT.
static enum rc piece_read(struct io_file *f, uint64_t file_bytes, uint64_t *offset, struct buf *b)
{
    uint8_t h[JOURNAL_PIECE_HEAD_BYTES];
    size_t got;
    if (io_file_read_now(f, h, sizeof(h), *offset, &got) != RC_OK || got != sizeof(h))
        return RC_CORRUPT;
    uint32_t n = be32(h);
    if (n > file_bytes - *offset - sizeof(h))
        return RC_CORRUPT;
    b->n = 0;
    uint8_t *p = buf_extend(b, n ? n : 1);
    if (!p)
        return RC_NOMEM;
    b->n = n;
    if (n && (io_file_read_now(f, p, n, *offset + sizeof(h), &got) != RC_OK || got != n))
        return RC_CORRUPT;
    if (be64(h + 8) != (journal_checksum(p, n) ^ n))
        return RC_CORRUPT;
    *offset += sizeof(h) + n;
    return n ? RC_OK : RC_EOF;
}

static enum rc mark_read(struct bytes piece, struct journal_mark *mark)
{
    if (piece.n < 16 || piece.n - 16 > JOURNAL_VOTERS_BYTES_MAX)
        return RC_CORRUPT;
    *mark = (struct journal_mark){
        .index = be64(piece.p), .term = be64(piece.p + 8), .voters_bytes = (uint32_t)piece.n - 16};
    memcpy(mark->voters, piece.p + 16, mark->voters_bytes);
    return RC_OK;
}

enum rc journal_snapshot_read(struct io *io, const char *path, const struct journal_visitor *v,
                              struct journal_mark *mark, uint64_t *bytes, char *why, size_t why_bytes)
{
    struct io_file f;
    uint8_t head[JOURNAL_HEAD_BYTES];
    size_t got = 0;
    uint64_t offset = JOURNAL_HEAD_BYTES, index = mark->index;
    enum rc rc = io_file_open(io, &f, path, IO_OPEN_READ, IO_FILE_OTHER);
    if (rc == RC_OK) {
        rc = io_file_size(&f, bytes);
        if (rc == RC_OK)
            rc = io_file_read_now(&f, head, sizeof(head), 0, &got);
        if (rc != RC_OK)
            io_file_close(&f);
    }
    if (rc != RC_OK) {
        snprintf(why, why_bytes, "cannot read %s: %s", path, rc_text(rc));
        return rc;
    }
    struct buf b;
    buf_init(&b, 256 << 20);
    rc = got == sizeof(head) && journal_head_valid(head, JOURNAL_SNAPSHOT_MAGIC, index) ? RC_OK : RC_CORRUPT;
    if (rc == RC_OK)
        rc = piece_read(&f, *bytes, &offset, &b);
    if (rc == RC_OK)
        rc = mark_read(buf_bytes(&b), mark);
    enum rc visited = RC_OK;
    if (rc == RC_OK)
        visited = v->snapshot(v->context, mark);
    while (rc == RC_OK && visited == RC_OK) {
        rc = piece_read(&f, *bytes, &offset, &b);
        if (rc == RC_OK)
            visited = v->piece(v->context, mark, buf_bytes(&b));
    }
    buf_deinit(&b);
    io_file_close(&f);
    if (visited != RC_OK)
        return visited;
    if (rc == RC_NOMEM)
        return rc;
    return rc == RC_EOF ? RC_OK : damaged(why, why_bytes, path, offset);
}
