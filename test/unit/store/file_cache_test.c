// SPDX-License-Identifier: Apache-2.0
//
// Which files stay open when not all of them may.
#include <criterion/criterion.h>

#include "store/file_cache.h"

enum { FILES_MAX = 64, LOGS = 60, INDEXES = 1000 };

static struct io *io;
static struct file_cache cache;
static struct list logs[LOGS], indexes[INDEXES];

static struct store_file *open_one(struct list *owner, enum store_file_kind kind, uint64_t now_ns)
{
    struct store_file *f = NULL;
    cr_assert_eq(file_cache_open(&cache, io, owner, kind, 0, "/dev/null", IO_OPEN_READ, now_ns, &f), RC_OK);
    return f;
}

static void setup(void)
{
    struct io_config config = {.engine = IO_ENGINE_AUTO};
    cr_assert_eq(io_create(&io, &config), RC_OK);
    cr_assert_eq(file_cache_init(&cache, FILES_MAX, 1), RC_OK);
    for (int i = 0; i < LOGS; i++)
        list_init(&logs[i]);
    for (int i = 0; i < INDEXES; i++)
        list_init(&indexes[i]);
}

static void teardown(void)
{
    for (int i = 0; i < LOGS; i++)
        file_cache_drop_all(&logs[i]);
    for (int i = 0; i < INDEXES; i++)
        file_cache_drop_all(&indexes[i]);
    file_cache_deinit(&cache);
    io_destroy(io);
}

Test(file_cache, indexes_go_before_logs, .init = setup, .fini = teardown)
{
    for (int i = 0; i < LOGS; i++)
        open_one(&logs[i], STORE_FILE_LOG, 1);
    for (int i = 0; i < INDEXES; i++)
        open_one(&indexes[i], i % 2 ? STORE_FILE_INDEX : STORE_FILE_TIME_INDEX, 2);
    int open = 0;
    for (int i = 0; i < LOGS; i++)
        open += file_cache_find(&logs[i], STORE_FILE_LOG, 0, 3) != NULL;
    cr_assert_gt(open, LOGS / 2, "%d logs are open", open);
    cr_assert_leq(cache.count, FILES_MAX);
}

Test(file_cache, the_longest_unused_of_a_kind_goes_first, .init = setup, .fini = teardown)
{
    for (int i = 0; i < LOGS; i++)
        open_one(&logs[i], STORE_FILE_LOG, (uint64_t)i);
    struct list more[20];
    for (int i = 0; i < 20; i++) {
        list_init(&more[i]);
        open_one(&more[i], STORE_FILE_LOG, LOGS);
    }
    int young = 0;
    for (int i = LOGS / 2; i < LOGS; i++)
        young += file_cache_find(&logs[i], STORE_FILE_LOG, 0, 100) != NULL;
    cr_assert_gt(young, LOGS / 2 - 5, "%d of the younger half are open", young);
    for (int i = 0; i < 20; i++)
        file_cache_drop_all(&more[i]);
}

Test(file_cache, what_is_pinned_stays_though_the_bound_is_passed, .init = setup, .fini = teardown)
{
    struct store_file *pinned[FILES_MAX];
    static struct list owners[FILES_MAX];
    for (int i = 0; i < FILES_MAX; i++) {
        list_init(&owners[i]);
        file_cache_pin(pinned[i] = open_one(&owners[i], STORE_FILE_INDEX, 1));
    }
    open_one(&logs[0], STORE_FILE_LOG, 2);
    cr_assert_eq(cache.count, FILES_MAX + 1);
    for (int i = 0; i < FILES_MAX; i++)
        file_cache_unpin(pinned[i]);
    open_one(&logs[1], STORE_FILE_LOG, 3);
    cr_assert_eq(cache.count, FILES_MAX, "what was over the bound has gone");
    for (int i = 0; i < FILES_MAX; i++)
        file_cache_drop_all(&owners[i]);
}
