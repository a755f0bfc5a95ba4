// SPDX-License-Identifier: Apache-2.0
//
// The static configuration of a node: properties file, WEIR_* environment, flags, in that order; every key checked
// against the one table (meta/config.h). What is wrong is collected, so that one run of --check shows all of it.
#pragma once

#include "base/arena.h"
#include "io/io.h"
#include "meta/config.h"

enum { SETTINGS_PROBLEMS_MAX = 32, SETTINGS_NOTES_MAX = 64, SETTINGS_PAIRS_MAX = 512 };

struct settings {
    struct arena arena;
    struct config_pair pairs[SETTINGS_PAIRS_MAX]; // sorted by settings_finish()
    size_t pair_count;
    // Values of older spellings that several keys are made from.
    const char *port, *host, *advertised_host, *advertised_port;
    const char *problems[SETTINGS_PROBLEMS_MAX]; // one sentence each
    size_t problem_count, problems_dropped;
    const char *notes[SETTINGS_NOTES_MAX]; // what is accepted without effect, or read under another name
    size_t note_count;
};

void settings_init(struct settings *s);
void settings_deinit(struct settings *s);
// Reads a Java properties file. Problems of its content go to s->problems; RC_NOT_FOUND, RC_PERMISSION, RC_IO, RC_EOF
// (larger than 1 MiB) are about the file.
enum rc settings_read_file(struct settings *s, struct io *io, const char *path);
// The same for text in memory; `source` stands before the line number in messages.
void settings_read_text(struct settings *s, const char *source, struct bytes text);
// WEIR_LOG_SEGMENT_BYTES=... is log.segment.bytes.
void settings_read_environment(struct settings *s, char *const *environment);
// One pair, later ones win. `where` is for messages ("--set", "server.properties:12"); SETTINGS_DEFAULT: nobody asked for
// it, so nothing is noted.
#define SETTINGS_DEFAULT "default"
void settings_set(struct settings *s, const char *where, const char *name, const char *value);
void settings_problem(struct settings *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void settings_note(struct settings *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Builds what older spellings map to, sorts. The layer is valid as long as s.
struct config_layer settings_finish(struct settings *s);
