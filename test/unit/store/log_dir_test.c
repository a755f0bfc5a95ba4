// SPDX-License-Identifier: Apache-2.0
//
// Log folders: whose they are, what they refuse, what a stop leaves, and the checkpoint that does not grow for ever.
#include "fixture.h"
#include "store/log_dir_private.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *in_dir(struct fixture *f, const char *name)
{
    static char path[400];
    snprintf(path, sizeof(path), "%s/%s", f->path, name);
    return path;
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL);
    fputs(text, file);
    fclose(file);
}

Test(log_dir, keeps_its_identity)
{
    struct fixture f = {0};
    char why[512], id[UUID_TEXT_CHARS + 1], expected[300], text[400] = "";
    fixture_open(&f);
    struct uuid first = f.dir.identity.directory_id;
    uuid_format(first, id);
    snprintf(expected, sizeof(expected),
             "version=1\ncluster.id=fixture-cluster-000000\nnode.id=1\ndirectory.id=%s\n", id);
    FILE *file = fopen(in_dir(&f, "meta.properties"), "r");
    cr_assert(file && fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    cr_assert_str_eq(text, expected);
    fixture_die(&f);
    cr_assert(f.dir.identity.formatted && uuid_eq(first, f.dir.identity.directory_id));
    cr_assert_eq(log_dir_check(&f.dir, "fixture-cluster-000000", 1, why, sizeof(why)), RC_OK);
    cr_assert_eq(log_dir_check(&f.dir, "another-cluster-0000000", 1, why, sizeof(why)), RC_INCONSISTENT_CLUSTER_ID);
    cr_assert(strstr(why, "fixture-cluster-000000") && strstr(why, "another-cluster-0000000") && strstr(why, f.path));
    cr_assert_eq(log_dir_check(&f.dir, "fixture-cluster-000000", 2, why, sizeof(why)), RC_INVALID);
    cr_assert(strstr(why, "node 1") && strstr(why, "this is node 2"));
    fixture_close(&f);
}

Test(log_dir, makes_the_folders_above_it_and_says_what_stands_in_the_way)
{
    struct fixture f = {0};
    struct log_dir d;
    char why[512], path[500];
    fixture_open(&f);
    static const char *const below[] = {"some/where/data", "some/where//else/", "some/data"};
    for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", f.path, below[i]);
        cr_assert_eq(log_dir_open(&d, f.io, &f.trace, path, why, sizeof(why)), RC_OK, "%s: %s", path, why);
        struct stat st;
        cr_assert(stat(path, &st) == 0 && S_ISDIR(st.st_mode));
        log_dir_close(&d);
    }
    write_text(in_dir(&f, "file"), "in the way");
    snprintf(path, sizeof(path), "%s/file/data", f.path);
    cr_assert_neq(log_dir_open(&d, f.io, &f.trace, path, why, sizeof(why)), RC_OK);
    cr_assert(strstr(why, "cannot make the log folder") && strstr(why, path) && strstr(why, "log.dirs"), "%s", why);
    fixture_close(&f);
}

Test(log_dir, reads_what_kafka_writes_and_refuses_what_is_damaged)
{
    struct fixture f = {0};
    struct log_dir d;
    char why[512], other[300];
    fixture_open(&f);
    snprintf(other, sizeof(other), "%s-other", f.path);
    cr_assert_eq(mkdir(other, 0755), 0);
    char path[400];
    snprintf(path, sizeof(path), "%s/meta.properties", other);
    write_text(path, "#\n#Sat Nov 21 02:53:28 UTC 2026\r\ncluster.id=abc\r\ndirectory.id=AQIDBAUGBwgJCgsMDQ4PEA\r\nnode.id=7\r\n"
                     "version=1\r\n");
    cr_assert_eq(log_dir_open(&d, f.io, NULL, other, why, sizeof(why)), RC_OK, "%s", why);
    cr_assert(d.identity.node_id == 7 && strcmp(d.identity.cluster_id, "abc") == 0);
    log_dir_close(&d);
    static const char *const bad[] = {"", "cluster.id=a\nnode.id=x\ndirectory.id=AQIDBAUGBwgJCgsMDQ4PEA\n",
                                      "cluster.id=a\nnode.id=99999999999\ndirectory.id=AQIDBAUGBwgJCgsMDQ4PEA\n",
                                      "cluster.id=a\nnode.id=1\ndirectory.id=short\n"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        write_text(path, bad[i]);
        cr_assert_eq(log_dir_open(&d, f.io, NULL, other, why, sizeof(why)), RC_CORRUPT);
        cr_assert(strstr(why, "meta.properties") != NULL);
    }
    snprintf(path, sizeof(path), "rm -rf '%s'", other);
    cr_assert_eq(system(path), 0);
    fixture_close(&f);
}

Test(log_dir, is_one_process_own)
{
    struct fixture f = {0};
    int status;
    fixture_open(&f);
    pid_t child = fork();
    if (child == 0) {
        struct io *io;
        struct log_dir d;
        char why[512] = "";
        const struct io_config config = {.engine = IO_ENGINE_EPOLL};
        if (io_create(&io, &config) != RC_OK)
            _exit(1);
        enum rc rc = log_dir_open(&d, io, NULL, f.path, why, sizeof(why));
        _exit(rc == RC_LOCKED && strstr(why, "in use by another process") ? 0 : 2);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%d", status);
    fixture_close(&f);
}

Test(log_dir, a_clean_stop_needs_no_look_into_folders_even_on_another_boot)
{
    struct fixture f = {0};
    uint8_t text[200];
    fixture_open(&f);
    fixture_fill(&f, 20, 500);
    plog_note_high_watermark(&f.log, 20);
    fixture_stop(&f);
    static const char *const names[] = {"recovery-point-offset-checkpoint", "replication-offset-checkpoint"};
    for (unsigned i = 0; i < 2; i++) {
        FILE *file = fopen(in_dir(&f, names[i]), "rb");
        cr_assert(file != NULL);
        size_t n = fread(text, 1, sizeof(text), file);
        fclose(file);
        cr_assert(n == 11 && memcmp(text, "0\n1\nt 0 20\n", 11) == 0, "%s", names[i]);
    }
    fixture_change_boot(&f);
    fixture_start(&f);
    cr_assert(f.dir.clean_stopped);
    cr_assert_eq(f.log.state, PLOG_AT_REST);
    cr_assert_eq(plog_written_end(&f.log), 20);
    cr_assert_eq(plog_durable_end(&f.log), 20);
    cr_assert_eq(plog_high_watermark(&f.log), 20);
    cr_assert_eq(fixture_read_all(&f), 20);
    fixture_power_cut(&f); // the stop counts once
    cr_assert_eq(f.log.state, PLOG_UNCLEAN);
    fixture_close(&f);
}

Test(log_dir, refuses_writes_below_the_reserve_and_heals)
{
    struct fixture f = {0};
    struct plog_append op;
    fixture_open(&f);
    fixture_fill(&f, 1, 10);
    f.dir.reserve_bytes = UINT64_MAX / 4;
    f.dir.space_checked_ns = 0;
    cr_assert_eq(fixture_append(&f, (struct batch_spec){.records = 1}, &op), RC_NO_SPACE);
    cr_assert_null(log_dir_choose(f.dirs, 1));
    cr_assert_eq(fixture_read_all(&f), 1);
    const struct batch_spec first = {.records = 2, .producer_id = 5};
    const struct batch_spec second = {.records = 1, .producer_id = 5, .base_sequence = 2};
    cr_assert_eq(fixture_append(&f, first, &op), RC_NO_SPACE);
    f.dir.reserve_bytes = 1;
    f.dir.space_checked_ns = 0;
    cr_assert_eq(fixture_append(&f, second, &op), RC_OUT_OF_ORDER_SEQUENCE, "it was in flight behind the refused one");
    cr_assert_eq(fixture_append(&f, (struct batch_spec){.records = 1}, &op), RC_OK);
    cr_assert_eq(op.base_offset, 1);
    cr_assert_eq(log_dir_choose(f.dirs, 1), &f.dir);
    fixture_close(&f);
}

Test(log_dir, an_offline_folder_serves_nothing_any_more)
{
    struct fixture f = {0};
    struct plog_append op;
    struct plog_slice slice;
    const struct plog_read read = {.offset = 0, .bound = 1, .bytes_max = 1000};
    fixture_open(&f);
    fixture_fill(&f, 1, 10);
    log_dir_fail(&f.dir, f.io, RC_IO, "testing", f.path);
    cr_assert(strstr(f.last_line, "offline") && strstr(f.last_line, f.path));
    cr_assert_eq(fixture_append(&f, (struct batch_spec){.records = 1}, &op), RC_OFFLINE);
    cr_assert_eq(plog_read(&f.log, &read, &slice, NULL), RC_OFFLINE);
    cr_assert_null(log_dir_choose(f.dirs, 1));
    struct log_dir_op sync = {.request = LOG_DIR_SYNC};
    log_dir_run(&f.dir, &sync);
    cr_assert_eq(sync.rc, RC_OFFLINE);
    fixture_close(&f);
}

Test(log_dir, a_failure_is_known_to_the_next_start_of_the_same_boot)
{
    struct fixture f = {0};
    fixture_open(&f);
    cr_assert(f.dir.whole && !f.dir.suspect);
    fixture_die(&f);
    cr_assert(f.dir.whole && !f.dir.suspect, "the page cache lives");
    log_dir_fail(&f.dir, f.io, RC_IO, "testing", f.path);
    fixture_die(&f);
    cr_assert(f.dir.suspect && !f.dir.whole);
    fixture_die(&f);
    cr_assert(f.dir.suspect && !f.dir.whole, "nobody knows what became of it");
    fixture_stop(&f);
    fixture_start(&f);
    cr_assert(f.dir.suspect && f.dir.whole, "all of it was written and synced again");
    fixture_power_cut(&f);
    cr_assert_not(f.dir.suspect || f.dir.whole);
    fixture_close(&f);
}

static bool suspect_with(struct fixture *f, const uint8_t *word, size_t n)
{
    fixture_write_file(f, "../weir-failed", 0, word, n);
    fixture_die(f);
    return f->dir.suspect;
}

Test(log_dir, a_word_about_a_failure_that_cannot_be_read_is_one)
{
    struct fixture f = {0};
    uint8_t word[CHECKPOINT_RECORD_BYTES + 1] = {0};
    fixture_open(&f);
    fixture_fill(&f, 1, 10);
    cr_assert_not(suspect_with(&f, word, CHECKPOINT_RECORD_BYTES));
    word[40] = 1;
    cr_assert(suspect_with(&f, word, CHECKPOINT_RECORD_BYTES));
    checkpoint_encode(&(struct checkpoint_record){.type = CHECKPOINT_BOOT, .boot = f.dir.boot ^ 1}, word);
    cr_assert_not(suspect_with(&f, word, CHECKPOINT_RECORD_BYTES), "another boot");
    cr_assert(suspect_with(&f, word, sizeof(word)), "longer than a word");
    fixture_close(&f);
}

Test(log_dir, a_failure_is_noted_in_every_folder_of_the_process)
{
    struct fixture a = {0}, b = {0}, c = {0};
    fixture_open(&a);
    fixture_open(&b);
    fixture_open(&c);
    log_dir_join(&b.dir, &a.dir);
    log_dir_join(&c.dir, &a.dir);
    log_dir_leave(&c.dir);
    log_dir_fail(&b.dir, b.io, RC_IO, "testing", b.path);
    cr_assert_not(log_dir_is_offline(&a.dir));
    fixture_die(&a);
    fixture_die(&b);
    fixture_die(&c);
    cr_assert(a.dir.suspect && b.dir.suspect && !c.dir.suspect);
    fixture_close(&a);
    fixture_close(&b);
    fixture_close(&c);
}

Test(log_dir, chooses_the_folder_with_the_fewest_partitions)
{
    struct log_dir a = {.partitions = 5}, b = {.partitions = 4}, c = {.partitions = 1, .offline = true};
    struct log_dir *dirs[] = {&a, &b, &c};
    cr_assert_eq(log_dir_choose(dirs, 3), &b);
    b.partitions = 5;
    cr_assert_eq(log_dir_choose(dirs, 3), &a);
    c.offline = false;
    cr_assert_eq(log_dir_choose(dirs, 3), &c);
    c.no_space = true;
    cr_assert_eq(log_dir_choose(dirs, 3), &a);
}

Test(log_dir, the_checkpoint_is_replaced_when_most_of_it_is_old)
{
    struct fixture f = {0};
    fixture_open(&f);
    fixture_fill(&f, 3, 10);
    for (int64_t i = 0; i < 3000; i++) {
        const struct checkpoint_record r = {.type = CHECKPOINT_HIGH_WATERMARK, .id = f.log.id, .offset = i};
        cr_assert_eq(log_dir_put(&f.dir, &r), RC_OK);
        if (i % 100 == 0)
            io_poll(f.io, 100000);
    }
    for (int i = 0; i < 1000 && !log_dir_is_idle(&f.dir); i++)
        io_poll(f.io, 1000000);
    cr_assert(f.dir.checkpoint.bytes < 2500 * CHECKPOINT_RECORD_BYTES, "%llu",
              (unsigned long long)f.dir.checkpoint.bytes);
    cr_assert_eq(log_dir_find(&f.dir, f.log.id)->high_watermark, 2999);
    fixture_die(&f);
    cr_assert_eq(log_dir_find(&f.dir, f.log.id)->high_watermark, 2999);
    cr_assert_eq(fixture_recover(&f).end_offset, 3);
    fixture_close(&f);
}

static char seen[500];

static void see(void *context, enum log_dir_name_kind kind, const char *name)
{
    (void)context;
    size_t n = strlen(seen);
    snprintf(seen + n, sizeof(seen) - n, "%d:%s ", (int)kind, name);
}

Test(log_dir, tells_its_folders_apart)
{
    struct fixture f = {0};
    struct uuid id;
    fixture_open(&f);
    fixture_fill(&f, 1, 10);
    static const char *const names[] = {"a.b_c-12", "x-0.0123-delete", "x-1.0123-stray", "no_partition", "-3", "y-"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        cr_assert_eq(mkdir(in_dir(&f, names[i]), 0755), 0);
    write_text(in_dir(&f, "file-1"), "");
    cr_assert_eq(log_dir_each_folder(&f.dir, see, NULL), RC_OK);
    cr_assert_str_eq(seen, "0:a.b_c-12 0:t-0 1:x-0.0123-delete 2:x-1.0123-stray ");
    cr_assert_eq(log_dir_folder_topic_id(&f.dir, "t-0", &id), RC_OK);
    cr_assert(uuid_eq(id, f.log.id.topic_id));
    cr_assert_eq(log_dir_folder_topic_id(&f.dir, "a.b_c-12", &id), RC_NOT_FOUND);
    cr_assert_eq(log_dir_set_stray(&f.dir, "a.b_c-12"), RC_OK);
    seen[0] = 0;
    cr_assert_eq(log_dir_each_folder(&f.dir, see, NULL), RC_OK);
    cr_assert(strncmp(seen, "2:a.b_c-12.", 11) == 0 && strstr(seen, "-stray "), "%s", seen);
    fixture_close(&f);
}
