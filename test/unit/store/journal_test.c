// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/prng.h"
#include "store/journal.h"

struct bench {
    char folder[64];
    struct io *io;
    struct journal j;
    char why[1024], lines[4096];
    struct trace_sink sink;
    bool done;
    enum rc rc;
    // what was read back
    struct journal_mark snapshot;
    struct buf pieces;
    uint64_t first, last, sum;
};

static void keep_line(struct trace_sink *sink, enum trace_level level, const char *line, size_t n)
{
    struct bench *b = container_of(sink, struct bench, sink);
    (void)level;
    snprintf(b->lines, sizeof(b->lines), "%.*s", (int)n, line);
}

static int remove_one(const char *path, const struct stat *s, int flag, struct FTW *f)
{
    (void)s, (void)flag, (void)f;
    return remove(path);
}

static void begin(struct bench *b)
{
    memset(b, 0, sizeof(*b));
    strcpy(b->folder, "/tmp/weir-journal-XXXXXX");
    cr_assert_not_null(mkdtemp(b->folder));
    b->sink.write = keep_line;
    struct io_config c = {.engine = IO_ENGINE_AUTO};
    cr_assert_eq(io_create(&b->io, &c), RC_OK);
    buf_init(&b->pieces, SIZE_MAX);
    struct journal_hard hard = {.term = 1, .vote_node = NODE_ID_NONE};
    struct journal_entry e = {.index = 1, .term = 1, .payload = bytes_str("first")};
    cr_assert_not(journal_exists(b->io, b->folder));
    cr_assert_eq(journal_format(b->io, b->folder, &hard, &e, 1), RC_OK);
    cr_assert(journal_exists(b->io, b->folder));
}

static void end(struct bench *b)
{
    buf_deinit(&b->pieces);
    io_destroy(b->io);
    nftw(b->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static enum rc on_snapshot(void *context, const struct journal_mark *mark)
{
    ((struct bench *)context)->snapshot = *mark;
    return RC_OK;
}

static enum rc on_piece(void *context, const struct journal_mark *mark, struct bytes piece)
{
    struct bench *b = context;
    cr_assert_eq(mark->index, b->snapshot.index);
    buf_append(&b->pieces, piece.p, piece.n);
    return RC_OK;
}

static enum rc on_entry(void *context, const struct journal_entry *e)
{
    struct bench *b = context;
    cr_assert(b->first == 0 || e->index == b->last + 1);
    if (b->first == 0)
        b->first = e->index;
    b->last = e->index;
    b->sum = b->sum * 31 + e->term * 7 + e->payload.n + (e->payload.n ? e->payload.p[0] : 0);
    return RC_OK;
}

static enum rc open_it(struct bench *b)
{
    struct journal_visitor v = {.context = b, .snapshot = on_snapshot, .piece = on_piece, .entry = on_entry};
    b->snapshot = (struct journal_mark){0};
    b->pieces.n = 0;
    b->first = b->last = b->sum = 0;
    b->lines[0] = 0;
    return journal_open(&b->j, b->io, &b->sink, b->folder, &v, b->why, sizeof(b->why));
}

static void reopen(struct bench *b)
{
    cr_assert_eq(open_it(b), RC_OK, "%s", b->why);
    b->j.owner = b;
}

static void written(struct journal *j, enum rc rc)
{
    struct bench *b = j->owner;
    b->rc = rc;
    b->done = true;
}

static void wait_for(struct bench *b)
{
    while (!b->done)
        io_poll(b->io, 1000000000);
    b->done = false;
    cr_assert_eq(b->rc, RC_OK);
}

static void commit(struct bench *b)
{
    journal_commit(&b->j, written);
    cr_assert(journal_busy(&b->j));
    wait_for(b);
}

// One write with `count` entries of `bytes` each.
static void put(struct bench *b, uint64_t term, unsigned count, size_t bytes)
{
    static uint8_t payload[1 << 20];
    struct journal_hard hard = {.term = term, .vote_node = 4};
    hard.vote_directory.b[3] = 9;
    journal_begin(&b->j, &hard);
    memset(payload, (int)(term + count), bytes);
    uint64_t from = b->j.last_index;
    for (unsigned i = 0; i < count; i++) {
        struct journal_entry e = {.index = from + 1 + i, .term = term, .type = 1, .payload = bytes_of(payload, bytes)};
        cr_assert(journal_put(&b->j, &e));
    }
    commit(b);
    cr_assert_eq(b->j.durable_index, from + count);
}

static const char *segment(const struct bench *b, uint64_t number)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%020llu.journal", b->folder, (unsigned long long)number);
    return path;
}

static void overwrite(const char *path, uint64_t at, const void *p, size_t n)
{
    int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pwrite(fd, p, n, (off_t)at), (ssize_t)n);
    close(fd);
}

static uint8_t byte_at(const char *path, uint64_t at)
{
    uint8_t v = 0;
    int fd = open(path, O_RDONLY);
    cr_assert_eq(pread(fd, &v, 1, (off_t)at), 1);
    close(fd);
    return v;
}

Test(journal, what_was_written_is_read_back)
{
    struct bench b;
    begin(&b);
    reopen(&b);
    cr_assert(b.first == 1 && b.last == 1);
    put(&b, 2, 3, 10);
    put(&b, 2, 1, 300000);
    put(&b, 3, 0, 0); // a vote only
    // Another leader takes two entries back and puts one in their place.
    struct journal_hard hard = {.term = 4, .vote_node = NODE_ID_NONE};
    journal_begin(&b.j, &hard);
    journal_truncate(&b.j, 4);
    struct journal_entry e = {.index = 4, .term = 4, .payload = bytes_str("new")};
    cr_assert(journal_put(&b.j, &e));
    commit(&b);
    cr_assert_eq(b.j.last_index, 4);
    journal_close(&b.j);
    reopen(&b);
    cr_assert(b.first == 1 && b.last == 4);
    cr_assert_eq(b.j.hard.term, 4);
    put(&b, 5, 2, 10);
    journal_close(&b.j);
    reopen(&b);
    cr_assert_eq(b.last, 6);
    cr_assert(b.j.hard.term == 5 && b.j.hard.vote_node == 4 && b.j.hard.vote_directory.b[3] == 9);
    cr_assert_eq(b.lines[0], 0, "a clean end says nothing: %s", b.lines);
    journal_close(&b.j);
    end(&b);
}

Test(journal, a_torn_last_write_is_cut_wherever_it_tore)
{
    struct bench b;
    begin(&b);
    reopen(&b);
    put(&b, 2, 2, 20);
    uint64_t start = b.j.offset;
    put(&b, 2, 2, 30);
    uint64_t stop = b.j.offset;
    journal_close(&b.j);
    for (uint64_t at = start; at < stop; at++) {
        // The write as it was, but the disk got only what lies before `at`, or rubbish there.
        uint8_t whole[512], zeros[512] = {0};
        for (uint64_t i = start; i < stop; i++)
            whole[i - start] = byte_at(segment(&b, 1), i);
        if (at % 2)
            overwrite(segment(&b, 1), at, zeros, stop - at);
        else
            overwrite(segment(&b, 1), at, &(uint8_t){(uint8_t)(whole[at - start] ^ 0x40)}, 1);
        reopen(&b);
        bool unharmed = memcmp(whole + (at - start), zeros, stop - at) == 0;
        cr_assert_eq(b.last, unharmed ? 5 : 3, "at %llu", (unsigned long long)at);
        cr_assert(unharmed || at == start || strstr(b.lines, "torn") || b.lines[0] == 0);
        cr_assert_eq(b.j.durable_index, b.last);
        if (b.last == 3)
            put(&b, 2, 2, 30);
        cr_assert_eq(b.j.offset, stop);
        journal_close(&b.j);
        reopen(&b); // nothing of the torn write may come back
        cr_assert_eq(b.last, 5);
        journal_close(&b.j);
    }
    end(&b);
}

Test(journal, damage_before_valid_frames_refuses_the_start)
{
    struct bench b;
    begin(&b);
    reopen(&b);
    uint64_t start = b.j.offset;
    put(&b, 2, 2, 20);
    uint64_t stop = b.j.offset;
    put(&b, 2, 2, 30);
    journal_close(&b.j);
    for (uint64_t at = start; at < stop; at++) {
        uint8_t was = byte_at(segment(&b, 1), at), turned = (uint8_t)(was ^ 1);
        overwrite(segment(&b, 1), at, &turned, 1);
        cr_assert_eq(open_it(&b), RC_CORRUPT);
        cr_assert(strstr(b.why, segment(&b, 1)), "%s", b.why);
        char offset[40];
        snprintf(offset, sizeof(offset), "offset %llu", (unsigned long long)start);
        cr_assert(strstr(b.why, offset) && strstr(b.why, "rejoins"), "%s", b.why);
        cr_assert_eq(byte_at(segment(&b, 1), at), turned, "nothing is changed");
        overwrite(segment(&b, 1), at, &was, 1);
    }
    reopen(&b);
    cr_assert_eq(b.last, 5);
    journal_close(&b.j);
    end(&b);
}

static void snapshot_done(struct journal_snapshot *s, enum rc rc)
{
    struct bench *b = s->owner;
    b->rc = rc;
    b->done = true;
}

static void make_snapshot(struct bench *b, uint64_t index, uint64_t term, unsigned pieces)
{
    struct journal_snapshot s = {.owner = b};
    struct journal_mark mark = {.index = index, .term = term, .voters = "abc", .voters_bytes = 3};
    cr_assert_eq(journal_snapshot_begin(&b->j, &s, &mark), RC_OK);
    for (unsigned i = 0; i < pieces; i++) {
        uint8_t piece[1000];
        memset(piece, 'a' + (int)i % 20, sizeof(piece));
        enum rc rc = journal_snapshot_put(&s, bytes_of(piece, sizeof(piece)), snapshot_done);
        if (rc == RC_AGAIN)
            wait_for(b);
        else
            cr_assert_eq(rc, RC_OK);
    }
    journal_snapshot_finish(&s, snapshot_done);
    wait_for(b);
}

static unsigned files_of(const struct bench *b, const char *ending)
{
    char command[160];
    snprintf(command, sizeof(command), "ls %s | grep -c '%s$'", b->folder, ending);
    FILE *f = popen(command, "r");
    unsigned n = 0;
    cr_assert_eq(fscanf(f, "%u", &n), 1);
    pclose(f);
    return n;
}

Test(journal, snapshots_let_old_segments_go)
{
    struct bench b;
    begin(&b);
    reopen(&b);
    put(&b, 2, 9, 1000);
    journal_roll(&b.j);
    put(&b, 2, 5, 1000);
    cr_assert_eq(files_of(&b, "journal"), 2);
    make_snapshot(&b, 10, 2, 50);
    for (int i = 0; i < 100 && files_of(&b, "journal") > 1; i++)
        io_poll(b.io, 10000000);
    cr_assert_eq(files_of(&b, "journal"), 1);
    make_snapshot(&b, 12, 2, 60);
    cr_assert_eq(files_of(&b, "snapshot"), 1);
    journal_close(&b.j);
    reopen(&b);
    cr_assert(b.snapshot.index == 12 && b.snapshot.term == 2 && b.snapshot.voters_bytes == 3);
    cr_assert_eq(memcmp(b.snapshot.voters, "abc", 3), 0);
    cr_assert_eq(b.pieces.n, 60000);
    cr_assert(b.first == 13 && b.last == 15);
    // A snapshot another leader sent replaces the log.
    make_snapshot(&b, 40, 3, 1);
    struct journal_hard hard = {.term = 3, .vote_node = NODE_ID_NONE};
    journal_begin(&b.j, &hard);
    journal_install(&b.j, &(struct journal_mark){.index = 40, .term = 3});
    commit(&b);
    put(&b, 3, 1, 5);
    journal_close(&b.j);
    reopen(&b);
    cr_assert(b.snapshot.index == 40 && b.first == 41 && b.last == 41);
    journal_close(&b.j);
    end(&b);
}

Test(journal, a_snapshot_that_came_back_goes_at_the_next_start)
{
    struct bench b;
    char old[160], kept[160];
    begin(&b);
    reopen(&b);
    put(&b, 2, 9, 1000);
    make_snapshot(&b, 5, 2, 50);
    snprintf(old, sizeof(old), "%s/%020d-%020d.snapshot", b.folder, 5, 2);
    snprintf(kept, sizeof(kept), "%s/kept", b.folder);
    cr_assert_eq(link(old, kept), 0);
    make_snapshot(&b, 10, 2, 60);
    cr_assert_neq(access(old, F_OK), 0);
    journal_close(&b.j);
    cr_assert_eq(rename(kept, old), 0); // as after a power cut
    reopen(&b);
    cr_assert(b.snapshot.index == 10 && b.j.last_index == 10);
    cr_assert_eq(files_of(&b, "snapshot"), 1);
    cr_assert_neq(access(old, F_OK), 0);
    journal_close(&b.j);
    end(&b);
}

Test(journal, a_bad_snapshot_refuses_the_start)
{
    struct bench b;
    begin(&b);
    reopen(&b);
    put(&b, 2, 9, 100);
    make_snapshot(&b, 5, 2, 3);
    journal_close(&b.j);
    char path[160];
    snprintf(path, sizeof(path), "%s/%020d-%020d.snapshot", b.folder, 5, 2);
    struct stat st;
    cr_assert_eq(stat(path, &st), 0);
    for (off_t at = 0; at < st.st_size; at += 7) {
        uint8_t was = byte_at(path, (uint64_t)at), turned = (uint8_t)(was ^ 0x10);
        overwrite(path, (uint64_t)at, &turned, 1);
        enum rc rc = open_it(&b);
        // A few bytes of the heads mean nothing.
        if (rc == RC_OK) {
            cr_assert_eq(b.pieces.n, 3000);
            journal_close(&b.j);
        } else {
            cr_assert_eq(rc, RC_CORRUPT);
            cr_assert(strstr(b.why, path) && strstr(b.why, "rejoins"), "%s", b.why);
        }
        overwrite(path, (uint64_t)at, &was, 1);
    }
    cr_assert_eq(truncate(path, st.st_size - 16), 0);
    cr_assert_eq(open_it(&b), RC_CORRUPT);
    cr_assert_eq(remove(path), 0);
    reopen(&b); // the log still has everything
    cr_assert(b.first == 1 && b.last == 10);
    journal_close(&b.j);
    end(&b);
}

Test(journal, missing_entries_refuse_the_start)
{
    struct bench b;
    begin(&b);
    reopen(&b);
    put(&b, 2, 9, 100);
    journal_roll(&b.j);
    put(&b, 2, 3, 100);
    journal_close(&b.j);
    cr_assert_eq(remove(segment(&b, 1)), 0);
    cr_assert_eq(open_it(&b), RC_CORRUPT);
    cr_assert(strstr(b.why, "missing"), "%s", b.why);
    end(&b);
}

Test(journal, a_segment_that_was_never_born_is_forgotten)
{
    struct bench b;
    begin(&b);
    reopen(&b);
    put(&b, 2, 9, 100);
    journal_close(&b.j);
    int fd = open(segment(&b, 11), O_CREAT | O_WRONLY, 0600);
    uint8_t zeros[5000] = {0};
    cr_assert_eq(write(fd, zeros, sizeof(zeros)), sizeof(zeros));
    close(fd);
    reopen(&b);
    cr_assert_eq(b.last, 10);
    put(&b, 2, 1, 100);
    journal_close(&b.j);
    reopen(&b);
    cr_assert_eq(b.last, 11);
    journal_close(&b.j);
    end(&b);
}

Test(journal, writes_past_what_was_allocated)
{
    struct bench b;
    begin(&b);
    reopen(&b);
    for (int i = 0; i < 7; i++)
        put(&b, 2, 1, 700000);
    put(&b, 2, 4, 900000);
    uint64_t sum;
    journal_close(&b.j);
    reopen(&b);
    sum = b.sum;
    cr_assert_eq(b.last, 12);
    put(&b, 3, 1, 10);
    journal_close(&b.j);
    reopen(&b);
    cr_assert(b.last == 13 && b.sum != sum);
    journal_close(&b.j);
    end(&b);
}
