// SPDX-License-Identifier: Apache-2.0
//
// Reads the files of a partition's folder without a broker and prints what they hold: private to the two files of
// weir admin log dump.
#pragma once

#include "cli/cli.h"

struct log_dump {
    struct cli *cli;
    bool json, records, indexes, check_only;
    struct io_file file;
    uint64_t file_bytes;
    const char *name;     // of the file being read, as it is printed
    int64_t segment_base; // from its name; -1 when it says nothing
    uint8_t *window;      // bytes of the file from window_at on
    size_t window_bytes, window_cap;
    uint64_t window_at;
    struct buf inflated;
    void *workspace; // of the codecs
    uint64_t batches, damaged;
};

// Bytes [at, at + n) of the file, or NULL when the file is shorter, cannot be read or memory is short. Valid until the
// next call.
const uint8_t *log_dump_bytes(struct log_dump *d, uint64_t at, size_t n);

// The kinds of files. RC_OK, or RC_CORRUPT after a message when something in it is damaged.
enum rc log_dump_batches(struct log_dump *d);
enum rc log_dump_index(struct log_dump *d);
enum rc log_dump_time_index(struct log_dump *d);
enum rc log_dump_snapshot(struct log_dump *d);

int admin_log_dump(struct cli *cli, const struct cli_parsed *parsed);
