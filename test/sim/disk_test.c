// SPDX-License-Identifier: Apache-2.0
//
// The disk model: what survives a process, a power cut and a failed sync.
#include <criterion/criterion.h>
#include <string.h>

#include "disk.h"
#include "sim.h"

static struct prng prng;
static struct sim_disk disk;

static void setup(void)
{
    prng_init(&prng, 7);
    sim_disk_init(&disk, 1 << 20, &prng);
}

static void teardown(void)
{
    sim_disk_deinit(&disk); // asserts that nothing is left
}

TestSuite(disk, .init = setup, .fini = teardown);

static struct sim_inode *make(const char *path)
{
    struct sim_inode *i;
    cr_assert_eq(sim_disk_create(&disk, path, false, &i), RC_OK);
    return i;
}

static void fill(struct sim_inode *i, uint64_t offset, size_t n, uint8_t value)
{
    uint8_t p[8192];
    size_t moved;
    cr_assert(n <= sizeof(p));
    memset(p, value, n);
    cr_assert_eq(sim_inode_write(i, p, n, offset, &moved), RC_OK);
    cr_assert_eq(moved, n);
}

static void sync_of(struct sim_inode *i)
{
    struct sim_sync s;
    sim_sync_begin(&s, &disk, i);
    sim_sync_finish(&s);
}

// Bytes of path after the cut that are `value`, or -1 when it is not there.
static long count_of(const char *path, uint8_t value)
{
    struct sim_inode *i = sim_disk_find(&disk, path);
    if (!i)
        return -1;
    long n = 0;
    for (size_t k = 0; k < i->bytes; k++)
        n += i->p[k] == value;
    return n;
}

Test(disk, synced_data_under_a_synced_name_survives_every_power_cut)
{
    struct sim_inode *i = make("/a");
    fill(i, 0, 3000, 1);
    sync_of(i);
    sync_of(disk.root);
    for (int k = 0; k < 100; k++) {
        fill(sim_disk_find(&disk, "/a"), 3000, 2000, 2);
        sim_disk_power_cut(&disk);
        struct sim_inode *again = sim_disk_find(&disk, "/a");
        cr_assert_not_null(again);
        cr_assert_geq(count_of("/a", 1), 3000);
        sim_inode_truncate(again, 3000);
        sync_of(again);
    }
}

Test(disk, a_name_without_a_sync_of_its_folder_can_be_lost)
{
    int lost = 0, kept = 0;
    for (int k = 0; k < 200; k++) {
        struct sim_inode *i = make("/b");
        fill(i, 0, 100, 1);
        sync_of(i);
        sim_disk_power_cut(&disk);
        if (sim_disk_find(&disk, "/b")) {
            kept++;
            cr_assert_eq(count_of("/b", 1), 100); // its data was synced
            sim_disk_unlink(&disk, "/b");
            sync_of(disk.root);
        } else {
            lost++;
        }
    }
    cr_assert_gt(lost, 20);
    cr_assert_gt(kept, 20);
}

Test(disk, unsynced_sectors_are_lost_in_every_pattern_and_never_torn_inside)
{
    bool prefix = false, hole = false, none = false, all = false;
    struct sim_inode *i = make("/c");
    sync_of(disk.root);
    for (int k = 0; k < 300; k++) {
        i = sim_disk_find(&disk, "/c");
        fill(i, 0, 4096, (uint8_t)(k | 1));
        sim_disk_power_cut(&disk);
        i = sim_disk_find(&disk, "/c");
        unsigned have = 0;
        for (size_t s = 0; s * 512 < i->bytes; s++) {
            uint8_t first = i->p[s * 512];
            for (size_t b = s * 512; b < s * 512 + 512 && b < i->bytes; b++)
                cr_assert_eq(i->p[b], first); // a sector is whole, or zeros
            have |= first ? 1u << s : 0;
        }
        none |= have == 0;
        all |= have == 0xff;
        prefix |= have == 0x0f;
        hole |= have && have != 0xff && (have & (have + 1)) != 0;
        sim_inode_truncate(i, 0);
        sync_of(i);
    }
    cr_assert(none && all && prefix && hole);
}

Test(disk, failed_sync_leaves_pages_clean_and_unwritten)
{
    struct sim_inode *i = make("/d");
    sync_of(disk.root);
    fill(i, 0, 1024, 1);
    struct sim_sync s;
    sim_sync_begin(&s, &disk, i);
    sim_sync_fail(&s);
    cr_assert_eq(count_of("/d", 1), 1024); // the cache still shows it
    sync_of(i);                            // succeeds, and writes nothing of it
    sim_disk_power_cut(&disk);
    cr_assert_eq(count_of("/d", 1), 0);
}

Test(disk, sync_does_not_cover_what_was_written_after_it_was_asked_for)
{
    struct sim_inode *i = make("/e");
    sync_of(disk.root);
    fill(i, 0, 512, 1);
    int lost = 0;
    for (int k = 0; k < 50; k++) {
        struct sim_sync s;
        i = sim_disk_find(&disk, "/e");
        sim_sync_begin(&s, &disk, i);
        fill(i, 512, 512, 2);
        sim_sync_finish(&s);
        sim_disk_power_cut(&disk);
        cr_assert_eq(count_of("/e", 1), 512);
        lost += count_of("/e", 2) == 0;
        i = sim_disk_find(&disk, "/e");
        sim_inode_truncate(i, 512);
        sync_of(i);
    }
    cr_assert_gt(lost, 5);
}

Test(disk, truncation_is_undone_or_kept_but_never_mixed_with_what_came_behind_it)
{
    bool undone = false, kept = false;
    struct sim_inode *i = make("/f");
    sync_of(disk.root);
    for (int k = 0; k < 200; k++) {
        i = sim_disk_find(&disk, "/f");
        sim_inode_truncate(i, 0);
        fill(i, 0, 4096, 1);
        sync_of(i);
        sim_inode_truncate(i, 1024);
        fill(i, 1024, 2048, 2);
        sim_disk_power_cut(&disk);
        i = sim_disk_find(&disk, "/f");
        long old = count_of("/f", 1), new = count_of("/f", 2);
        cr_assert_geq(old, 1024);
        if (old > 1024) {
            undone = true;
            cr_assert_eq(old, 4096);
            cr_assert_eq(new, 0);
        } else {
            kept = true;
        }
    }
    cr_assert(undone && kept);
}

Test(disk, rename_is_atomic)
{
    make("/old");
    fill(sim_disk_find(&disk, "/old"), 0, 10, 1);
    sync_of(sim_disk_find(&disk, "/old"));
    sync_of(disk.root);
    bool before = false, after = false;
    for (int k = 0; k < 100; k++) {
        struct sim_inode *i = make("/new");
        fill(i, 0, 10, 2);
        sync_of(i);
        sync_of(disk.root);
        cr_assert_eq(sim_disk_rename(&disk, "/new", "/old"), RC_OK);
        sim_disk_power_cut(&disk);
        long got = count_of("/old", 2);
        cr_assert(got == 10 || got == 0);
        cr_assert_eq(count_of("/new", 2), got ? -1 : 10);
        before |= got == 0;
        after |= got == 10;
        // Back to the first state.
        sim_disk_unlink(&disk, "/new");
        sim_disk_unlink(&disk, "/old");
        i = make("/old");
        fill(i, 0, 10, 1);
        sync_of(i);
        sync_of(disk.root);
    }
    cr_assert(before && after);
}

Test(disk, full_disk_takes_what_fits)
{
    struct sim_inode *i = make("/g");
    static uint8_t p[(1 << 20) + 100];
    size_t moved;
    cr_assert_eq(sim_inode_write(i, p, sizeof(p), 0, &moved), RC_NO_SPACE);
    cr_assert_eq(moved, 1 << 20);
    cr_assert_eq(disk.used_bytes, 1 << 20);
    sim_inode_truncate(i, 1000);
    cr_assert_eq(sim_inode_write(i, p, 5000, 1000, &moved), RC_OK);
}

Test(disk, unlinked_file_lives_while_it_is_open)
{
    struct sim_inode *i = make("/h");
    fill(i, 0, 100, 5);
    sim_inode_ref(i);
    sync_of(disk.root);
    cr_assert_eq(sim_disk_unlink(&disk, "/h"), RC_OK);
    sync_of(disk.root);
    uint8_t p[100];
    cr_assert_eq(sim_inode_read(i, p, sizeof(p), 0), 100);
    cr_assert_eq(p[99], 5);
    sim_inode_unref(i);
    cr_assert_eq(disk.used_bytes, 0);
}

Test(disk, folders_hold_their_files_when_renamed_and_refuse_to_go_when_full)
{
    struct sim_inode *dir;
    cr_assert_eq(sim_disk_create(&disk, "/x", true, &dir), RC_OK);
    make("/x/1");
    fill(sim_disk_find(&disk, "/x/1"), 0, 10, 3);
    cr_assert_eq(sim_disk_unlink(&disk, "/x"), RC_EXISTS);
    cr_assert_eq(sim_disk_rename(&disk, "/x", "/y"), RC_OK);
    cr_assert_eq(count_of("/y/1", 3), 10);
    cr_assert_null(sim_disk_find(&disk, "/x"));
    struct sim_sync s;
    sim_sync_begin(&s, &disk, NULL); // the whole disk: data and names
    sim_sync_finish(&s);
    sim_disk_power_cut(&disk);
    cr_assert_eq(count_of("/y/1", 3), 10);
}

Test(disk, evicted_pages_are_cold_until_loaded_and_dirty_ones_stay)
{
    struct sim_inode *i = make("/z");
    fill(i, 0, 8192, 1);
    cr_assert(sim_inode_resident(i, 0, 8192));
    for (int k = 0; k < 20; k++)
        sim_disk_evict(&disk);
    cr_assert(sim_inode_resident(i, 0, 8192)); // dirty
    sync_of(i);
    for (int k = 0; k < 20; k++)
        sim_disk_evict(&disk);
    cr_assert_not(sim_inode_resident(i, 0, 8192));
    sim_inode_load(i, 0, 100);
    cr_assert(sim_inode_resident(i, 0, 4096));
}

Test(disk, rot_flips_one_bit_for_ever)
{
    struct sim_inode *i = make("/r.log");
    fill(i, 0, 1000, 0);
    sync_of(i);
    sync_of(disk.root);
    char path[64];
    uint64_t at;
    cr_assert_not(sim_disk_rot(&disk, ".index", path, sizeof(path), &at));
    cr_assert(sim_disk_rot(&disk, ".log", path, sizeof(path), &at));
    cr_assert_str_eq(path, "/r.log");
    sim_disk_power_cut(&disk);
    cr_assert_eq(count_of("/r.log", 0), 999);
}
