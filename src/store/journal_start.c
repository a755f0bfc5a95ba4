// SPDX-License-Identifier: Apache-2.0
//
// Reading the journal at start: every frame of every segment in order gives the hard state and the entries that are
// left. A torn last frame is cut; anything else that is bad refuses the start. [boot] throughout.
#include "store/journal.h"
#include "store/journal_core.h"

#include <stdio.h>
#include <stdlib.h>

struct kept {
    uint64_t index, term;
    uint8_t type;
    uint32_t bytes;
    const uint8_t *p; // in a segment's memory
};

struct replay {
    struct journal *j;
    char *why;
    size_t why_bytes;
    uint8_t *memory[JOURNAL_SEGMENTS_MAX];
    struct kept *entries;
    size_t count, cap;
    uint64_t floor; // the log begins behind this (install), where known
    uint64_t mark;  // highest index known to have been synced
    bool any_frame;
    bool durable; // all of it is on disk
    struct journal_mark snapshots[2]; // [0] the newest
    uint32_t snapshot_files;
};

void journal_say_remedy(const char *file, char *why, size_t why_bytes)
{
    int home = (int)strlen(file), up = 2;
    while (home > 1 && up > 0)
        up -= file[--home] == '/';
    size_t n = strnlen(why, why_bytes - 1);
    snprintf(why + n, why_bytes - n,
             ". Nothing was changed. If other nodes hold the cluster's metadata, move %.*s away, with every other folder of "
             "log.dirs, and start again: the node rejoins empty, is filled from the others, and 'weir admin quorum replace "
             "ID' gives it its vote back. A single node needs its backup.",
             home, file);
}

static enum rc fail(struct replay *r, enum rc rc, const char *what, const char *path, uint64_t offset)
{
    snprintf(r->why, r->why_bytes, "metadata log %s, offset %llu: %s", path, (unsigned long long)offset, what);
    journal_say_remedy(path, r->why, r->why_bytes);
    return rc;
}

// ---- the folder ----

static bool number_of(const char *text, uint64_t *out)
{
    *out = 0;
    for (int i = 0; i < 20; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *out = *out * 10 + (uint64_t)(text[i] - '0');
    }
    return true;
}

static void visit_name(void *context, const char *name, bool is_dir)
{
    struct replay *r = context;
    struct journal *j = r->j;
    uint64_t a, b;
    size_t n = strlen(name);
    if (is_dir || n < 28 || !number_of(name, &a))
        return;
    if (strcmp(name + 20, ".journal") == 0) {
        if (j->segment_count < JOURNAL_SEGMENTS_MAX)
            j->segments[j->segment_count] = (struct journal_segment){.number = a};
        j->segment_count++;
    } else if (n == 50 && name[20] == '-' && number_of(name + 21, &b) && strcmp(name + 41, ".snapshot") == 0) {
        // Names come in byte order, so the last one is the newest.
        r->snapshots[1] = r->snapshots[0];
        r->snapshots[0] = (struct journal_mark){.index = a, .term = b};
        r->snapshot_files++;
    }
}

bool journal_exists(struct io *io, const char *path)
{
    struct journal j = {0};
    struct replay r = {.j = &j};
    return io_exists(io, path) && io_list_dir(io, path, visit_name, &r) == RC_OK &&
           (j.segment_count > 0 || r.snapshot_files > 0);
}

// ---- frames ----

static bool frame_valid(const uint8_t *p, size_t left, uint32_t *length)
{
    if (left < JOURNAL_FRAME_HEAD_BYTES)
        return false;
    uint32_t n = be32(p + FRAME_LENGTH);
    if (n < JOURNAL_FRAME_HEAD_BYTES || n > left)
        return false;
    *length = n;
    return be64(p) == journal_checksum(p + FRAME_LENGTH, n - FRAME_LENGTH);
}

static bool all_zero(const uint8_t *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

// The first valid frame at or behind `at`, or n.
static size_t next_valid(const uint8_t *p, size_t n, size_t at)
{
    uint32_t length;
    for (; at + JOURNAL_FRAME_HEAD_BYTES <= n; at++)
        if (be32(p + at + FRAME_LENGTH) != 0 && frame_valid(p + at, n - at, &length))
            return at;
    return n;
}

static uint64_t last_of(const struct replay *r)
{
    return r->count ? r->entries[r->count - 1].index : r->floor;
}

static void cut(struct replay *r, uint64_t from)
{
    while (r->count > 0 && r->entries[r->count - 1].index >= from)
        r->count--;
    if (r->mark >= from)
        r->mark = from - 1;
}

static bool keep(struct replay *r, const struct kept *e)
{
    if (r->count == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 256;
        struct kept *entries = realloc(r->entries, cap * sizeof(*entries));
        if (!entries)
            return false;
        r->entries = entries;
        r->cap = cap;
    }
    r->entries[r->count++] = *e;
    return true;
}

// Takes one valid frame. RC_MALFORMED: its inside does not fit, which no checksum error explains.
static enum rc frame_take(struct replay *r, const uint8_t *p, size_t n)
{
    uint16_t flags = be16(p + FRAME_FLAGS);
    if (be16(p + FRAME_VERSION) != JOURNAL_VERSION)
        return RC_UNSUPPORTED_VERSION;
    if (be64(p + FRAME_DURABLE) > r->mark)
        r->mark = be64(p + FRAME_DURABLE);
    r->j->hard.term = be64(p + FRAME_TERM);
    r->j->hard.vote_node = (int32_t)be32(p + FRAME_VOTE_NODE);
    memcpy(r->j->hard.vote_directory.b, p + FRAME_VOTE_DIRECTORY, 16);
    if (flags & JOURNAL_CUT)
        cut(r, be64(p + FRAME_CUT_FROM));
    size_t at = JOURNAL_FRAME_HEAD_BYTES;
    if (flags & JOURNAL_INSTALL) {
        if (n - at < 16)
            return RC_MALFORMED;
        r->floor = r->mark = be64(p + at);
        r->count = 0;
        r->any_frame = true;
        at += 16;
    }
    uint32_t count = be32(p + FRAME_ENTRIES);
    for (uint32_t i = 0; i < count; i++) {
        if (n - at < JOURNAL_ENTRY_HEAD_BYTES)
            return RC_MALFORMED;
        struct kept e = {.index = be64(p + at),
                         .term = be64(p + at + 8),
                         .type = p[at + 16],
                         .bytes = be32(p + at + 17),
                         .p = p + at + JOURNAL_ENTRY_HEAD_BYTES};
        at += JOURNAL_ENTRY_HEAD_BYTES;
        bool gap = r->any_frame && e.index != last_of(r) + 1;
        // Segments that a snapshot covers are unlinked in order, but a power cut may bring back an older one than is
        // missing: what lies below the snapshot may have holes.
        bool covered = gap && e.index > last_of(r) && e.index <= r->j->snapshot.index + 1;
        if (e.bytes > n - at || (gap && !covered))
            return RC_MALFORMED;
        if (!r->any_frame || covered) {
            r->floor = e.index - 1; // what came before was dropped; a snapshot must cover it
            r->count = 0;
        }
        r->any_frame = true;
        at += e.bytes;
        if (!keep(r, &e))
            return RC_NOMEM;
    }
    return at == n ? RC_OK : RC_MALFORMED;
}

static enum rc tail_cut(struct replay *r, struct io_file *f, const char *path, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[4096];
    trace_warn(r->j->trace,
               "metadata log %s: the last write was torn by a crash, %llu bytes from offset %llu on are cut", path,
               (unsigned long long)(to - from), (unsigned long long)from);
    enum rc rc = RC_OK;
    for (uint64_t at = from; rc == RC_OK && at < to; at += sizeof(zeros))
        rc = io_file_write_now(f, zeros, to - at < sizeof(zeros) ? (size_t)(to - at) : sizeof(zeros), at);
    return rc == RC_OK ? io_file_sync_now(f) : rc;
}

// The last frame may never have been synced: a process that died left it in the page cache, and after a failed sync the
// system calls such pages clean although the disk has not got them. Everything before it was synced, or it would not be
// there. Written once more and synced, with the names of the folder, it counts. The same goes for a segment without a
// frame, made by a process that died before its first sync: what is written here from now on is worth no more than its
// head and its name.
static enum rc harden(struct replay *r, struct io_file *f, const uint8_t *p, size_t n, uint64_t at)
{
    if (r->durable)
        return RC_OK;
    enum rc rc = io_file_write_now(f, p, n, at);
    if (rc == RC_OK)
        rc = io_file_sync_now(f);
    return rc == RC_OK ? io_sync_dir_now(r->j->io, r->j->path) : rc;
}

// All frames of segment s, whose bytes are p[0..n).
static enum rc segment_scan(struct replay *r, uint32_t s, const char *path, struct io_file *f, const uint8_t *p,
                            size_t n)
{
    struct journal *j = r->j;
    bool newest = s + 1 == j->segment_count;
    size_t at = JOURNAL_HEAD_BYTES, last_frame = 0; // without a frame: the head
    uint32_t length;
    while (frame_valid(p + at, n - at, &length)) {
        enum rc rc = frame_take(r, p + at, length);
        if (rc == RC_UNSUPPORTED_VERSION)
            return fail(r, rc, "written by a newer version of weir", path, at);
        if (rc != RC_OK)
            return rc == RC_NOMEM ? rc : fail(r, RC_CORRUPT, "a frame does not fit the ones before it", path, at);
        last_frame = at;
        at += length;
        if (last_of(r) > j->segments[s].last_index)
            j->segments[s].last_index = last_of(r);
    }
    j->replayed_bytes += at;
    if (newest) {
        j->offset = at;
        j->allocated = n;
    }
    if (all_zero(p + at, n - at))
        return newest ? harden(r, f, p + last_frame, at - last_frame, last_frame) : RC_OK;
    if (!newest || next_valid(p, n, at + 1) < n)
        return fail(r, RC_CORRUPT, "a damaged frame lies before valid ones", path, at);
    // A segment may have begun behind a snapshot and hold no entry yet: then the snapshot has what was synced.
    if (last_of(r) < r->mark && r->j->snapshot.index < r->mark)
        return fail(r, RC_CORRUPT, "a damaged frame held entries that were synced", path, at);
    enum rc rc = harden(r, f, p + last_frame, at - last_frame, last_frame);
    return rc == RC_OK ? tail_cut(r, f, path, at, n) : rc;
}

// A crash while a segment was being made, or a full disk, leaves nothing in it that counts: the one before is the newest.
// Before anything else is read, since frames may have been written to that one afterwards, and the last of them torn.
static enum rc unborn_remove(struct replay *r)
{
    struct journal *j = r->j;
    uint32_t s = j->segment_count - 1;
    char path[IO_PATH_BYTES_MAX];
    uint8_t head[JOURNAL_HEAD_BYTES];
    struct io_file f;
    uint64_t n;
    size_t got;
    if (s == 0 || !journal_segment_path(j->path, j->segments[s].number, path) ||
        io_file_open(j->io, &f, path, IO_OPEN_READ, IO_FILE_OTHER) != RC_OK)
        return RC_OK; // segment_read() says what is wrong
    bool unborn = io_file_size(&f, &n) == RC_OK && io_file_read_now(&f, head, sizeof(head), 0, &got) == RC_OK &&
                  (got < sizeof(head) || !journal_head_valid(head, JOURNAL_MAGIC, j->segments[s].number));
    uint8_t *p = unborn ? malloc(n + 1) : NULL;
    unborn = p && io_file_read_now(&f, p, n, 0, &got) == RC_OK && next_valid(p, got, 0) == got;
    free(p);
    io_file_close(&f);
    if (!unborn)
        return RC_OK;
    j->segment_count--;
    return io_remove_now(j->io, path);
}

static enum rc segment_read(struct replay *r, uint32_t s)
{
    struct journal *j = r->j;
    char path[IO_PATH_BYTES_MAX];
    struct io_file f;
    uint64_t n = 0;
    size_t got = 0;
    if (!journal_segment_path(j->path, j->segments[s].number, path))
        return RC_INVALID;
    enum rc rc = io_file_open(j->io, &f, path, IO_OPEN_READ | IO_OPEN_WRITE, IO_FILE_OTHER);
    if (rc == RC_OK)
        rc = io_file_size(&f, &n);
    if (rc != RC_OK) {
        snprintf(r->why, r->why_bytes, "cannot open %s: %s", path, rc_text(rc));
        return rc;
    }
    uint8_t *p = r->memory[s] = malloc(n + 1);
    rc = p ? io_file_read_now(&f, p, n, 0, &got) : RC_NOMEM;
    bool newest = s + 1 == j->segment_count;
    if (rc == RC_OK && (got < JOURNAL_HEAD_BYTES || !journal_head_valid(p, JOURNAL_MAGIC, j->segments[s].number))) {
        io_file_close(&f);
        return fail(r, RC_CORRUPT, "the head of the file is damaged", path, 0);
    }
    if (rc == RC_OK)
        rc = segment_scan(r, s, path, &f, p, got);
    if (rc == RC_OK && newest)
        j->file = f;
    else
        io_file_close(&f);
    return rc;
}

// ---- putting together ----

static enum rc check_gaps(struct replay *r)
{
    struct journal *j = r->j;
    uint64_t snapshot = j->snapshot.index, last = last_of(r);
    char path[IO_PATH_BYTES_MAX];
    if (!journal_segment_path(j->path, j->segments[j->segment_count - 1].number, path))
        return RC_INVALID;
    if (r->mark > last && r->mark > snapshot)
        return fail(r, RC_CORRUPT, "the log ends below what was synced", path, j->offset);
    if (r->floor > snapshot)
        return fail(r, RC_CORRUPT, "entries are missing before the first one and no snapshot holds them", path, 0);
    return RC_OK;
}

static enum rc deliver(struct replay *r, const struct journal_visitor *v)
{
    struct journal *j = r->j;
    uint64_t snapshot = j->snapshot.index;
    // An entry in the snapshot's place but of another term: the snapshot came from a leader and replaced this log.
    for (size_t i = 0; i < r->count; i++)
        if (r->entries[i].index == snapshot && r->entries[i].term != j->snapshot.term)
            r->count = 0;
    j->last_index = snapshot;
    for (size_t i = 0; i < r->count; i++) {
        const struct kept *k = &r->entries[i];
        if (k->index <= snapshot)
            continue;
        struct journal_entry e = {
            .index = k->index, .term = k->term, .type = k->type, .payload = bytes_of(k->p, k->bytes)};
        enum rc rc = v->entry(v->context, &e);
        if (rc != RC_OK)
            return rc;
        j->last_index = k->index;
    }
    j->durable_index = j->last_index;
    return RC_OK;
}

static void memory_free(struct replay *r)
{
    for (uint32_t s = 0; s < JOURNAL_SEGMENTS_MAX; s++) {
        free(r->memory[s]);
        r->memory[s] = NULL;
    }
}

static enum rc segments_read(struct replay *r)
{
    enum rc rc = unborn_remove(r);
    for (uint32_t s = 0; rc == RC_OK && s < r->j->segment_count; s++)
        rc = segment_read(r, s);
    return rc;
}

static enum rc read_all(struct replay *r, const struct journal_visitor *v)
{
    struct journal *j = r->j;
    char path[IO_PATH_BYTES_MAX];
    enum rc rc = io_list_dir(j->io, j->path, visit_name, r);
    if (rc != RC_OK || j->segment_count == 0 || j->segment_count > JOURNAL_SEGMENTS_MAX) {
        snprintf(r->why, r->why_bytes, "%s holds %u metadata log files: %s", j->path, j->segment_count, rc_text(rc));
        return rc != RC_OK ? rc : RC_CORRUPT;
    }
    if (r->snapshot_files) {
        j->snapshot = r->snapshots[0];
        if (!journal_snapshot_path(j->path, &j->snapshot, path))
            return RC_INVALID;
        rc = journal_snapshot_read(j->io, path, v, &j->snapshot, &j->snapshot_bytes, r->why, r->why_bytes);
    }
    if (rc == RC_OK)
        rc = segments_read(r);
    if (rc == RC_OK)
        rc = check_gaps(r);
    return rc == RC_OK ? deliver(r, v) : rc;
}

enum rc journal_open(struct journal *j, struct io *io, struct trace_sink *trace, const char *path,
                     const struct journal_visitor *visitor, char *why, size_t why_bytes)
{
    *j = (struct journal){.io = io, .trace = trace, .hard = {.vote_node = NODE_ID_NONE}};
    struct replay r = {.j = j, .why = why, .why_bytes = why_bytes, .durable = visitor->durable};
    why[0] = 0;
    buf_init(&j->frame, 2 * JOURNAL_FRAME_BYTES_MAX);
    snprintf(j->path, sizeof(j->path), "%s", path);
    enum rc rc = io_file_open(io, &j->dir, path, IO_OPEN_READ | IO_OPEN_DIRECTORY, IO_FILE_OTHER);
    if (rc == RC_OK)
        rc = read_all(&r, visitor);
    memory_free(&r);
    free(r.entries);
    if (rc != RC_OK) {
        if (why[0] == 0)
            snprintf(why, why_bytes, "cannot read the metadata log %s: %s", path, rc_text(rc));
        journal_close(j);
        return rc;
    }
    char left[IO_PATH_BYTES_MAX];
    if (journal_temporary_path(path, left) && io_exists(io, left))
        (void)io_remove_now(io, left);
    // The unlink of the snapshot before the newest is never waited for: a power cut may have brought it back.
    if (r.snapshot_files > 1 && journal_snapshot_path(path, &r.snapshots[1], left))
        (void)io_remove_now(io, left);
    j->bytes_since_snapshot = j->replayed_bytes;
    journal_drop_covered(j);
    return RC_OK;
}

// ---- format [boot] ----

enum rc journal_format(struct io *io, const char *path, const struct journal_hard *hard,
                       const struct journal_entry *entries, uint32_t count)
{
    struct io_file file;
    struct journal j = {.io = io};
    enum rc rc = io_make_dir(io, path);
    if (rc != RC_OK && rc != RC_EXISTS)
        return rc;
    rc = journal_segment_create(io, path, 1, &file);
    if (rc != RC_OK)
        return rc;
    buf_init(&j.frame, 2 * JOURNAL_FRAME_BYTES_MAX);
    journal_begin(&j, hard);
    for (uint32_t i = 0; i < count; i++) {
        bool fits = journal_put(&j, &entries[i]);
        ASSERT(fits);
    }
    if (j.frame.failed) {
        rc = RC_NOMEM;
    } else {
        uint8_t *h = j.frame.p;
        put_be32(h + FRAME_LENGTH, (uint32_t)j.frame.n);
        put_be32(h + FRAME_ENTRIES, j.entry_count);
        put_be64(h, journal_checksum(h + FRAME_LENGTH, j.frame.n - FRAME_LENGTH));
        rc = io_file_write_now(&file, h, j.frame.n, JOURNAL_HEAD_BYTES);
    }
    if (rc == RC_OK)
        rc = io_file_sync_now(&file);
    io_file_close(&file);
    buf_deinit(&j.frame);
    return rc == RC_OK ? io_sync_dir_now(io, path) : rc;
}
