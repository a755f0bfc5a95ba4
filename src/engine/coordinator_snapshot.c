// SPDX-License-Identifier: Apache-2.0
//
// The state of a core as a file beside its log: a cache, so that a restart reads live state and not history. Any damage,
// another topic's file or one from the future only means that the log is read instead.
//
//     0 type u8 'G', version u8, zero u16, partition i32, topic id, 24 offset i64, 32 leader epoch i32, zero i32,
//    40 XXH3 of the bytes before
//    48 blocks: length u32, XXH3 u64 of the records seeded with the block's place in the file, records: each a varint key
//       length, the key, a varint value length, the value. A block without records ends the file.
//
// offset: everything below it, and nothing else, is in there; leader epoch: of the batch before it. Written beside the
// old one, synced, renamed, the name synced. A core that changes meanwhile begins anew, with more time a turn. What a
// tombstone behind the offset deletes may be in there, so compaction keeps those (plog.tombstones_needed).
#include "engine/coordinator_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

enum {
    SNAPSHOT_TYPE = 'G',
    SNAPSHOT_VERSION = 1,
    SNAPSHOT_HASH_AT = 40,
    PIECE_BYTES = 128 << 10,
    PIECE_BYTES_MAX = 64 << 20,
    SAVE_AFTER_BYTES = 1 << 20, // of log; or what the last snapshot had, when that is more
    SAVE_STEP_NS = 250 * 1000,
    SAVE_ATTEMPTS = 6, // each with twice the time of the one before; then a busy core waits for the next occasion
};

// "<log folder>/<topic>-<partition>/coordinator-state<suffix>"
void coordinator_snapshot_path(const struct partition *p, const char *suffix, char out[COORDINATOR_PATH_BYTES])
{
    snprintf(out, COORDINATOR_PATH_BYTES, "%s/%s/coordinator-state%s", p->log.dir->path, p->log.folder, suffix);
}

void coordinator_snapshot_head_write(const struct coordinator_snapshot_head *h, uint8_t out[])
{
    memset(out, 0, COORDINATOR_SNAPSHOT_HEAD_BYTES);
    out[0] = SNAPSHOT_TYPE;
    out[1] = SNAPSHOT_VERSION;
    put_be32(out + 4, (uint32_t)h->id.partition);
    memcpy(out + 8, h->id.topic_id.b, sizeof(h->id.topic_id.b));
    put_be64(out + 24, (uint64_t)h->offset);
    put_be32(out + 32, (uint32_t)h->leader_epoch);
    put_be64(out + SNAPSHOT_HASH_AT, XXH3_64bits(out, SNAPSHOT_HASH_AT));
}

enum rc coordinator_snapshot_head_read(const uint8_t in[], struct coordinator_snapshot_head *out)
{
    if (be64(in + SNAPSHOT_HASH_AT) != XXH3_64bits(in, SNAPSHOT_HASH_AT) || in[0] != SNAPSHOT_TYPE)
        return RC_CORRUPT;
    if (in[1] != SNAPSHOT_VERSION)
        return RC_UNSUPPORTED;
    *out = (struct coordinator_snapshot_head){.id.partition = (int32_t)be32(in + 4),
                                              .offset = (int64_t)be64(in + 24),
                                              .leader_epoch = (int32_t)be32(in + 32)};
    memcpy(out->id.topic_id.b, in + 8, sizeof(out->id.topic_id.b));
    return out->offset >= 0 ? RC_OK : RC_CORRUPT;
}

uint64_t coordinator_snapshot_block_hash(struct bytes records, uint64_t at)
{
    return XXH3_64bits_withSeed(records.p, records.n, at);
}

// ------------------------------------------------------------------------------------------------ what lies there

static enum rc snapshot_read_head(struct partition *p, struct coordinator_snapshot_head *out)
{
    char path[COORDINATOR_PATH_BYTES];
    uint8_t raw[COORDINATOR_SNAPSHOT_HEAD_BYTES];
    struct io_file f = {0};
    size_t got = 0;
    coordinator_snapshot_path(p, "", path);
    enum rc rc = io_file_open(p->es->shard->io, &f, path, IO_OPEN_READ, IO_FILE_OTHER);
    if (rc != RC_OK)
        return rc;
    rc = io_file_read_now(&f, raw, sizeof(raw), 0, &got);
    io_file_close(&f);
    if (rc == RC_OK)
        rc = got == sizeof(raw) ? coordinator_snapshot_head_read(raw, out) : RC_CORRUPT;
    return rc;
}

bool coordinator_has_files(const struct partition *p)
{
    return p->coordinator && (p->coordinator->save || p->coordinator->load);
}

void coordinator_attached(struct partition *p)
{
    struct coordinator_snapshot_head h;
    if (bytes_eq(engine_topic_name(p->topic), COORDINATOR_TOPIC) && p->log.state != PLOG_UNMADE &&
        snapshot_read_head(p, &h) == RC_OK && topic_partition_eq(h.id, p->id))
        p->log.tombstones_needed = h.offset;
}

void coordinator_snapshot_truncate(struct partition *p, int64_t offset)
{
    char path[COORDINATOR_PATH_BYTES];
    if (p->log.tombstones_needed == INT64_MAX || p->log.tombstones_needed <= offset)
        return;
    coordinator_snapshot_path(p, "", path);
    (void)store_trash_put(&p->es->store, p->log.dir, path, false, 0); // its epoch gives it away where that fails
}

// ------------------------------------------------------------------------------------------------ writing

enum save_stage { SAVE_OPEN, SAVE_PIECES, SAVE_SYNC, SAVE_RENAME, SAVE_NAME, SAVE_DONE };

struct coordinator_save {
    struct coordinator *co; // NULL: stopped; freed when its write is back
    struct engine_shard *es;
    struct shard_job job;
    enum save_stage stage;
    unsigned attempts;
    bool final; // at a stop: the folder's own last sync covers it
    struct io_file file;
    struct io_op op;
    struct iovec vec;
    bool flying;
    enum rc rc; // of what was flying
    struct buf piece;
    uint64_t file_at;
    bool complete; // the last block is in the piece
    struct groups_cursor cursor;
    uint64_t version;
    int64_t offset;
    uint64_t bytes_applied;
    char path[COORDINATOR_PATH_BYTES];
};

static void save_free(struct coordinator_save *s)
{
    if (io_file_is_open(&s->file))
        io_file_close(&s->file);
    buf_deinit(&s->piece);
    free(s);
}

static void save_back(struct io_op *op, enum rc rc, size_t bytes)
{
    struct coordinator_save *s = container_of(op, struct coordinator_save, op);
    (void)bytes;
    s->flying = false;
    s->rc = rc;
    if (s->co) {
        shard_job_wake(s->es->shard, &s->job);
        return;
    }
    s->es->coordinators->orphans--;
    save_free(s);
}

static enum rc save_piece_write(struct coordinator_save *s)
{
    s->vec = (struct iovec){.iov_base = s->piece.p, .iov_len = s->piece.n};
    s->op.done = save_back;
    enum rc rc = io_file_write(&s->op, &s->file, &s->vec, 1, s->file_at);
    s->file_at += s->piece.n;
    s->flying = rc == RC_AGAIN;
    return rc;
}

// From the beginning of the file, with the core as it is now.
static enum rc save_begin(struct coordinator_save *s)
{
    struct coordinator *co = s->co;
    struct coordinator_snapshot_head h = {.id = co->id, .offset = co->applied, .leader_epoch = LEADER_EPOCH_NONE};
    if (h.offset > 0)
        h.leader_epoch = plog_epoch_at(&co->p->log, h.offset - 1);
    s->cursor = (struct groups_cursor){0};
    s->version = groups_version(&co->groups);
    s->offset = co->applied;
    s->bytes_applied = co->bytes_applied;
    s->complete = false;
    s->file_at = 0;
    s->piece.n = 0;
    uint8_t *p = buf_extend(&s->piece, COORDINATOR_SNAPSHOT_HEAD_BYTES);
    if (!p)
        return RC_NOMEM;
    coordinator_snapshot_head_write(&h, p);
    enum rc rc = io_file_truncate(&s->file, 0);
    s->stage = SAVE_PIECES;
    return rc == RC_OK ? save_piece_write(s) : rc;
}

static enum rc save_open(struct coordinator_save *s)
{
    char path[COORDINATOR_PATH_BYTES];
    coordinator_snapshot_path(s->co->p, ".new", path);
    enum rc rc = io_file_open(s->es->shard->io, &s->file, path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE,
                              IO_FILE_OTHER);
    return rc == RC_OK ? save_begin(s) : rc;
}

// The next block. RC_FULL: the core has changed too often.
static enum rc save_piece(struct coordinator_save *s)
{
    struct groups *g = &s->co->groups;
    if (s->complete) {
        s->stage = s->final ? SAVE_RENAME : SAVE_SYNC;
        return RC_OK;
    }
    if (s->version != groups_version(g))
        return ++s->attempts < SAVE_ATTEMPTS ? save_begin(s) : RC_FULL;
    s->piece.n = 0;
    uint8_t *head = buf_extend(&s->piece, COORDINATOR_SNAPSHOT_BLOCK_HEAD_BYTES);
    enum rc rc = head ? groups_snapshot(g, &s->cursor, PIECE_BYTES, &s->piece) : RC_NOMEM;
    if ((rc != RC_OK && rc != RC_AGAIN) || s->piece.failed)
        return rc == RC_OK || rc == RC_AGAIN ? RC_NOMEM : rc;
    size_t n = s->piece.n - COORDINATOR_SNAPSHOT_BLOCK_HEAD_BYTES;
    if (n == 0 && rc == RC_AGAIN)
        return RC_FULL;
    put_be32(s->piece.p, (uint32_t)n);
    put_be64(s->piece.p + 4,
             coordinator_snapshot_block_hash(bytes_of(s->piece.p + COORDINATOR_SNAPSHOT_BLOCK_HEAD_BYTES, n),
                                             s->file_at));
    if (rc == RC_OK && n > 0) { // and the one that ends the file
        uint64_t at = s->file_at + s->piece.n;
        uint8_t *end = buf_extend(&s->piece, COORDINATOR_SNAPSHOT_BLOCK_HEAD_BYTES);
        if (!end)
            return RC_NOMEM;
        put_be32(end, 0);
        put_be64(end + 4, coordinator_snapshot_block_hash(bytes_of(NULL, 0), at));
    }
    s->complete = rc == RC_OK;
    return save_piece_write(s);
}

static enum rc save_sync(struct coordinator_save *s)
{
    s->stage = SAVE_RENAME;
    s->op.done = save_back;
    s->flying = true;
    io_file_sync(&s->op, &s->file);
    return RC_AGAIN;
}

static enum rc save_rename(struct coordinator_save *s)
{
    char from[COORDINATOR_PATH_BYTES], to[COORDINATOR_PATH_BYTES];
    coordinator_snapshot_path(s->co->p, ".new", from);
    coordinator_snapshot_path(s->co->p, "", to);
    io_file_close(&s->file);
    s->stage = s->final ? SAVE_DONE : SAVE_NAME;
    return io_rename(s->es->shard->io, from, to);
}

// No power cut may bring the old one back after compaction has counted on the new one.
static enum rc save_name(struct coordinator_save *s)
{
    struct plog *log = &s->co->p->log;
    char folder[COORDINATOR_PATH_BYTES];
    snprintf(folder, sizeof(folder), "%s/%s", log->dir->path, log->folder);
    enum rc rc = io_file_open(s->es->shard->io, &s->file, folder, IO_OPEN_READ | IO_OPEN_DIRECTORY, IO_FILE_OTHER);
    if (rc != RC_OK)
        return rc;
    s->stage = SAVE_DONE;
    s->flying = true;
    io_file_sync(&s->op, &s->file);
    return RC_AGAIN;
}

static enum rc save_step(struct coordinator_save *s)
{
    if (s->flying)
        return RC_AGAIN;
    enum rc rc = s->rc;
    s->rc = RC_OK;
    if (rc != RC_OK)
        return rc;
    switch (s->stage) {
    case SAVE_OPEN:
        return save_open(s);
    case SAVE_PIECES:
        return save_piece(s);
    case SAVE_SYNC:
        return save_sync(s);
    case SAVE_RENAME:
        return save_rename(s);
    case SAVE_NAME:
        return save_name(s);
    case SAVE_DONE:
        return RC_EOF;
    }
    UNREACHABLE();
}

static enum shard_job_state save_over(struct coordinator_save *s, enum rc rc)
{
    struct coordinator *co = s->co;
    struct coordinators *cs = coordinators_of(co);
    char text[TOPIC_NAME_BYTES_MAX + 16], path[COORDINATOR_PATH_BYTES];
    if (rc == RC_EOF) {
        cs->counters.snapshots_written++;
        co->snapshot_bytes = s->file_at;
        co->bytes_applied -= s->bytes_applied;
        co->p->log.tombstones_needed = s->offset;
    } else {
        if (rc != RC_FULL && rc != RC_NO_SPACE && rc != RC_UNSUPPORTED)
            trace_warn(s->es->engine->config.trace, "no snapshot of %s could be written: %s",
                       coordinator_name(co, text), rc_text(rc));
        coordinator_snapshot_path(co->p, ".new", path);
        if (io_file_is_open(&s->file))
            (void)store_trash_put(&s->es->store, co->p->log.dir, path, false, 0);
        co->snapshot_bytes = co->snapshot_bytes + co->bytes_applied; // not before as much came again
        co->bytes_applied = 0;
    }
    co->save = NULL;
    save_free(s);
    if (cs->settling)
        coordinator_end(co);
    return SHARD_JOB_DONE;
}

static enum shard_job_state save_job(struct shard_job *j, uint64_t budget_ns)
{
    struct coordinator_save *s = container_of(j, struct coordinator_save, job);
    struct io *io = s->es->shard->io;
    uint64_t step_ns = (uint64_t)SAVE_STEP_NS << s->attempts;
    (void)budget_ns; // a core that is busy must be given more, or it would never be caught at rest
    uint64_t until_ns = io_clock_ns(io) + step_ns;
    enum rc rc;
    while ((rc = save_step(s)) == RC_OK)
        if (io_clock_ns(io) >= until_ns)
            return SHARD_JOB_MORE;
    return rc == RC_AGAIN ? SHARD_JOB_WAIT : save_over(s, rc);
}

// Whether a snapshot now saves a later reading more than it costs.
static bool save_is_due(const struct coordinator *co)
{
    const struct plog *log = &co->p->log;
    if (co->bytes_applied == 0 || log->state != PLOG_OPEN || log_dir_is_offline(log->dir))
        return false;
    if (coordinators_of(co)->settling)
        return true;
    uint64_t after_bytes = co->es->engine->config.group_snapshot_bytes;
    return co->bytes_applied >= (after_bytes ? after_bytes : SAVE_AFTER_BYTES) && co->bytes_applied >= co->snapshot_bytes &&
           !log_dir_lacks_space(log->dir, co->es->shard->io);
}

void coordinator_save_consider(struct coordinator *co)
{
    if (co->save) {
        co->save->final |= coordinators_of(co)->settling;
        return;
    }
    struct coordinator_save *s = save_is_due(co) ? calloc(1, sizeof(*s)) : NULL;
    if (!s) {
        if (coordinators_of(co)->settling)
            coordinator_end(co);
        return;
    }
    s->co = co;
    s->es = co->es;
    s->final = coordinators_of(co)->settling;
    buf_init(&s->piece, PIECE_BYTES_MAX);
    co->save = s;
    shard_job_start(co->es->shard, &s->job, save_job);
}

void coordinator_save_stop(struct coordinator *co)
{
    struct coordinator_save *s = co->save;
    if (!s)
        return;
    co->save = NULL;
    s->co = NULL;
    shard_job_cancel(s->es->shard, &s->job);
    if (s->flying)
        s->es->coordinators->orphans++;
    else
        save_free(s);
}
