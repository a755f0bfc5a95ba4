// SPDX-License-Identifier: Apache-2.0
//
// The command line of `weir server`: flags become settings.
#pragma once

#include <stdbool.h>

#include "server/settings.h"

struct arguments {
    bool help, check;
    const char *file;
    const char *peers;
};

// First pass: what must be known before settings are read (file, --help, --check). False: message holds what is wrong.
bool arguments_scan(struct arguments *a, int argc, char **argv, char *message, size_t message_bytes);
// Second pass: every flag that is a setting, after file and environment.
void arguments_apply(struct arguments *a, struct settings *s, int argc, char **argv);
// Text of --help.
extern const char arguments_help[];
