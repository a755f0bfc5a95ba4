// SPDX-License-Identifier: Apache-2.0
//
// Private to the journal_*.c files: the bytes on disk.
#pragma once

#include "base/assert.h"
#include "store/journal.h"

enum {
    JOURNAL_VERSION = 0,
    JOURNAL_HEAD_BYTES = 32, // of a segment or snapshot file: magic, version, number, checksum
    JOURNAL_FRAME_HEAD_BYTES = 64,
    JOURNAL_ENTRY_HEAD_BYTES = 21,
    JOURNAL_PIECE_HEAD_BYTES = 16,
    JOURNAL_CUT = 1, // frame flags
    JOURNAL_INSTALL = 2,
};

#define JOURNAL_MAGIC "WEIRRAFT"
#define JOURNAL_SNAPSHOT_MAGIC "WEIRSNAP"

// Fields of a frame's head, by offset. The checksum covers everything from `length` on.
enum {
    FRAME_CHECKSUM = 0,
    FRAME_LENGTH = 8,
    FRAME_VERSION = 12,
    FRAME_FLAGS = 14,
    FRAME_DURABLE = 16,
    FRAME_TERM = 24,
    FRAME_VOTE_NODE = 32,
    FRAME_VOTE_DIRECTORY = 36,
    FRAME_ENTRIES = 52,
    FRAME_CUT_FROM = 56,
};

uint64_t journal_checksum(const uint8_t *p, size_t n);
void journal_head_put(uint8_t head[JOURNAL_HEAD_BYTES], const char *magic, uint64_t number);
bool journal_head_valid(const uint8_t head[JOURNAL_HEAD_BYTES], const char *magic, uint64_t number);
// False when the path is too long.
bool journal_segment_path(const char *folder, uint64_t number, char out[IO_PATH_BYTES_MAX]);
bool journal_snapshot_path(const char *folder, const struct journal_mark *mark, char out[IO_PATH_BYTES_MAX]);
bool journal_temporary_path(const char *folder, char out[IO_PATH_BYTES_MAX]);
// A new segment file, allocated ahead and open for writing at JOURNAL_HEAD_BYTES; not synced.
enum rc journal_segment_create(struct io *io, const char *folder, uint64_t number, struct io_file *file);

// journal_start.c: appends to `why`, which names the damage, how to go on without this log. file: of the journal's folder.
void journal_say_remedy(const char *file, char *why, size_t why_bytes);

// journal_start.c: what replay needs of the snapshot file.
enum rc journal_snapshot_read(struct io *io, const char *path, const struct journal_visitor *v,
                              struct journal_mark *mark, uint64_t *bytes, char *why, size_t why_bytes);
