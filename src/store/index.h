// SPDX-License-Identifier: Apache-2.0
//
// Kafka's sparse index files: .index, 8 bytes an entry {u32 offset less segment base, u32 position}, and .timeindex, 12
// bytes {i64 timestamp, u32 offset less segment base}. Both only rise. New entries gather in an index_tail and are
// appended when it is full; lookups search the file by reading it, then the tail. Never mapped.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rc.h"
#include "io/io.h"
#include "store/segment.h"

enum { INDEX_ENTRY_BYTES = 8, TIME_INDEX_ENTRY_BYTES = 12, INDEX_TAIL_BYTES_MAX = 4096 };

struct index_entry {
    uint32_t relative; // offset less segment base
    uint32_t position; // of the batch whose last offset that is
};

struct time_index_entry {
    int64_t timestamp; // greatest so far
    uint32_t relative; // last offset of the batch that has it, less segment base
};

// Adds an entry to the tail. RC_FULL: write the tail out first. RC_NOMEM: left out; the index is sparse, nothing is
// wrong without it.
enum rc index_put(struct index_tail *t, struct index_entry e);
enum rc time_index_put(struct index_tail *t, struct time_index_entry e);
// Appends the tail to the file. The tail is empty then, its memory kept.
enum rc index_tail_write(struct index_tail *t, struct io_file *f);
void index_tail_deinit(struct index_tail *t);

// A searchable index. file may be NULL when file_bytes is 0; tail may be NULL.
struct index_view {
    struct io_file *file;
    uint32_t file_bytes; // a multiple of entry_bytes
    const struct index_tail *tail;
    uint32_t entry_bytes;
    bool cached_only; // RC_AGAIN rather than touch the disk
    uint64_t reads;   // counted here
    // private: the block read last
    uint32_t block_at, block_bytes;
    uint8_t block[480]; // a multiple of both entry sizes
};

static inline uint32_t index_view_count(const struct index_view *v)
{
    return (v->file_bytes + (v->tail ? v->tail->bytes : 0)) / v->entry_bytes;
}

// Entry i of the view's kind.
enum rc index_view_at(struct index_view *v, uint32_t i, struct index_entry *out);
enum rc time_index_view_at(struct index_view *v, uint32_t i, struct time_index_entry *out);
// How many entries have an offset at or below relative; a position at or below position; a timestamp below timestamp.
enum rc index_view_rank_offset(struct index_view *v, uint32_t relative, uint32_t *rank);
enum rc index_view_rank_position(struct index_view *v, uint32_t position, uint32_t *rank);
enum rc time_index_view_rank(struct index_view *v, int64_t timestamp, uint32_t *rank);
