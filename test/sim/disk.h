// SPDX-License-Identifier: Apache-2.0
//
// A simulated disk with a page cache above it. Every file has two states: what the page cache shows and what the
// platter holds. Writes go to the cache; write-back at random moments, syncs and nothing else move 512-byte sectors to
// the platter. Names live in folders with the same two states. A power cut throws the cache away after a last random
// part of it has reached the platter, in any order, each sector whole. Pure state: time and decisions to fail are the
// caller's (io_sim_files.c); randomness comes from the generator it is given.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "base/prng.h"
#include "base/rc.h"

enum { SIM_SECTOR_BYTES = 512, SIM_PAGE_BYTES = 4096 };

struct sim_inode;

struct sim_name {
    char *name;
    struct sim_inode *inode;
};

struct sim_names { // sorted by bytes
    struct sim_name *v;
    size_t count, cap;
};

struct sim_inode {
    struct list_node link;       // all of the disk
    struct list_node dirty_link; // those with anything not on the platter
    struct sim_disk *disk;
    uint64_t id;
    uint32_t refs; // names in both states, handles, pending changes of names
    bool is_dir;
    struct sim_names names, names_durable; // folders
    // Files: p[0..bytes) is the cache's view; durable[0..durable_bytes) the platter's.
    uint8_t *p, *durable;
    size_t bytes, cap, durable_bytes, durable_cap;
    uint64_t *dirty;    // a bit a sector
    uint64_t *resident; // a bit a page: in the cache; pages that are not must be read from the disk
    size_t bit_words;   // of dirty; resident has an eighth of its bits
    size_t dirty_count;
    uint64_t cut_bytes; // least size since the platter's size was last right: a truncation that is not durable yet
    uint32_t sync_errors; // syncs that left pages of it clean and unwritten
    bool rotten;          // bits of it were flipped on purpose
    bool locked;
};

// A change of names that is not durable yet.
struct sim_name_change {
    struct list_node link;
    uint64_t serial;
    struct sim_inode *from_dir, *to_dir; // either may be NULL: create has no from, unlink no to
    char *from, *to;
    struct sim_inode *inode;
};

struct sim_disk {
    struct list inodes, dirty;
    struct list name_changes;
    struct sim_inode *root;
    uint64_t inode_next, name_serial;
    uint64_t capacity_bytes, used_bytes;
    struct prng *prng;
    uint64_t written_back_sectors, lost_sectors, lost_names; // figures
};

void sim_disk_init(struct sim_disk *d, uint64_t capacity_bytes, struct prng *prng);
void sim_disk_deinit(struct sim_disk *d);

// Names. Paths are split at '/'; "." and empty parts are ignored, ".." is not known.
struct sim_inode *sim_disk_find(struct sim_disk *d, const char *path); // borrowed; NULL when not there
enum rc sim_disk_create(struct sim_disk *d, const char *path, bool is_dir, struct sim_inode **out); // borrowed
enum rc sim_disk_rename(struct sim_disk *d, const char *from, const char *to);
enum rc sim_disk_unlink(struct sim_disk *d, const char *path); // RC_EXISTS: a folder that is not empty

void sim_inode_ref(struct sim_inode *i);
void sim_inode_unref(struct sim_inode *i);

// Data. Write moves what fits: RC_NO_SPACE after *moved bytes when the disk is full.
enum rc sim_inode_write(struct sim_inode *i, const uint8_t *p, size_t n, uint64_t offset, size_t *moved);
size_t sim_inode_read(struct sim_inode *i, uint8_t *p, size_t n, uint64_t offset);
void sim_inode_truncate(struct sim_inode *i, uint64_t bytes);

// The page cache.
bool sim_inode_resident(const struct sim_inode *i, uint64_t offset, uint64_t bytes);
void sim_inode_load(struct sim_inode *i, uint64_t offset, uint64_t bytes);
// Drops random clean pages of every file.
void sim_disk_evict(struct sim_disk *d);
// The same of pages that a failed sync left clean and unwritten: they read as what the platter holds.
void sim_disk_reclaim(struct sim_disk *d);

// A sync covers what was dirty when it was asked for and is durable when it answers, so it has two halves.
struct sim_sync {
    struct sim_disk *disk;
    struct sim_inode *inode; // NULL: the whole disk
    uint64_t name_serial;    // names changed up to here
    struct sim_sync_file {
        struct sim_inode *inode;
        uint64_t *sectors;
        size_t words, bytes;
    } * files;
    size_t file_count;
};
void sim_sync_begin(struct sim_sync *s, struct sim_disk *d, struct sim_inode *i);
void sim_sync_finish(struct sim_sync *s); // durable now
// It failed: the pages count as clean and were not written, as Linux does it.
void sim_sync_fail(struct sim_sync *s);
void sim_sync_forget(struct sim_sync *s); // neither: the process ended

// Some of what is dirty reaches the platter by itself.
void sim_disk_write_back(struct sim_disk *d);
// All of one file, and all names: for the mutation that brings a checkpoint forward.
void sim_inode_write_through(struct sim_inode *i);
void sim_disk_names_write_through(struct sim_disk *d);
// The cache is gone. Every handle must have been given back.
void sim_disk_power_cut(struct sim_disk *d);
// Somebody put a new disk in.
void sim_disk_empty(struct sim_disk *d);
// Flips one bit of a clean sector on the platter and in the cache of a file whose name ends in suffix. False: none
// fits.
bool sim_disk_rot(struct sim_disk *d, const char *suffix, char *path, size_t path_bytes, uint64_t *offset);

// Calls visit for every file and folder the cache shows, in order of the names.
void sim_disk_walk(struct sim_disk *d, void (*visit)(void *context, const char *path, struct sim_inode *i),
                   void *context);
