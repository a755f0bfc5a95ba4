// SPDX-License-Identifier: Apache-2.0
//
// Reads the files of a partition's folder without a broker and prints what they hold: private to the files of
// weir admin log dump and to kafka-dump-log.
#pragma once

#include "cli/cli.h"
#include "wire/batch.h"

struct log_dump;

struct log_dump_producer {
    int64_t id, last_offset, timestamp, transaction_start; // -1: none
    int32_t last_sequence, offset_delta, coordinator_epoch;
    int16_t epoch;
};

// Another voice for what is found than weir's own lines and JSON: kafka-dump-log's (tool_dump_log.c).
struct log_dump_voice {
    void (*batch)(struct log_dump *d, const struct batch_header *h, uint64_t position, bool crc_ok);
    void (*record)(struct log_dump *d, const struct batch_header *h, const struct record *r);
    void (*index)(struct log_dump *d, int64_t offset, int64_t position);
    void (*time_index)(struct log_dump *d, int64_t timestamp, int64_t offset);
    void (*producer)(struct log_dump *d, const struct log_dump_producer *p);
    void (*rest)(struct log_dump *d, uint64_t at); // from here on there is no whole batch
};

struct log_dump {
    struct cli *cli;
    const struct log_dump_voice *voice; // NULL: weir's own
    bool json, records, indexes, check_only;
    struct io_file file;
    uint64_t file_bytes;
    uint64_t bytes_max; // read no further; 0: all
    const char *name;     // of the file being read, as it is printed
    int64_t segment_base; // from its name; -1 when it says nothing
    uint8_t *window;      // bytes of the file from window_at on
    size_t window_bytes, window_cap;
    uint64_t window_at;
    struct buf inflated;
    void *workspace; // of the codecs
    uint64_t batches, damaged;
};

// False after a message. cli is set; the rest is zero or the caller's.
bool log_dump_init(struct log_dump *d);
void log_dump_deinit(struct log_dump *d);
// Opens a file and reads it as what its name says. Codes as below, and those of opening, after a message.
enum rc log_dump_file(struct log_dump *d, const char *path, bool announce);

// Bytes [at, at + n) of the file, or NULL when the file is shorter, cannot be read or memory is short. Valid until the
// next call.
const uint8_t *log_dump_bytes(struct log_dump *d, uint64_t at, size_t n);

// The kinds of files. RC_OK, or RC_CORRUPT after a message when something in it is damaged.
enum rc log_dump_batches(struct log_dump *d);
enum rc log_dump_index(struct log_dump *d);
enum rc log_dump_time_index(struct log_dump *d);
enum rc log_dump_snapshot(struct log_dump *d);

int admin_log_dump(struct cli *cli, const struct cli_parsed *parsed);
