// SPDX-License-Identifier: Apache-2.0
//
// Open files of logs, bounded by a share of the process's file limit. Full: of a few drawn at random an index is closed, or
// the longest unused (a cyclic scan over more files than fit then misses in proportion, not always). Pinned files are
// never closed by the cache; a deleted log's pinned file lives on without an owner until its last unpin.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/prng.h"
#include "io/io.h"

struct plog;

enum store_file_kind {
    STORE_FILE_LOG,
    STORE_FILE_INDEX,
    STORE_FILE_TIME_INDEX,
    STORE_FILE_TXN_INDEX,
    STORE_FILE_INDEX_BESIDE, // built again, not in its place yet
    STORE_FILE_TIME_INDEX_BESIDE,
};

struct store_file {
    struct io_file file;
    struct list_node link; // in its owner's list of open files; unlinked: doomed, closed at the last unpin
    int64_t segment_base;
    int64_t opened_end; // of its log, when it was opened: a sync through it tells of no failed write-back before
    uint64_t used_ns;
    uint32_t pins;
    uint32_t slot; // in the cache's table
    enum store_file_kind kind;
    struct list *owner;
    struct file_cache *cache;
};

struct file_cache {
    struct store_file **slots;
    uint32_t count, max, cap;
    struct prng prng;
    uint64_t opened, evicted;
};

enum rc file_cache_init(struct file_cache *c, uint32_t files_max, uint64_t seed);
void file_cache_deinit(struct file_cache *c); // nothing may be pinned

// The open file of (owner, kind, segment), or NULL. Marks it used at now_ns.
struct store_file *file_cache_find(struct list *owner, enum store_file_kind kind, int64_t segment_base,
                                   uint64_t now_ns);
// Opens path and remembers it under the owner. Makes room first. With every file pinned the bound is passed rather than
// a reader failed. Errors: of io_file_open(), RC_NOMEM.
enum rc file_cache_open(struct file_cache *c, struct io *io, struct list *owner, enum store_file_kind kind,
                        int64_t segment_base, const char *path, unsigned flags, uint64_t now_ns,
                        struct store_file **out);
void file_cache_pin(struct store_file *f);
void file_cache_unpin(struct store_file *f);
// Closes one file of an owner, or all of them; pinned ones when they are unpinned.
void file_cache_drop(struct store_file *f);
void file_cache_drop_all(struct list *owner);
