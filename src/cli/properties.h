// SPDX-License-Identifier: Apache-2.0
//
// Kafka's property files (key=value, '#' or '!' begins a comment) and the settings that clients take from them. Nothing
// is passed over in silence: what cannot be done is an error, what does not matter here gets a line.
#pragma once

#include "cli/cli.h"

// Reads a file and looks at each property. CLI_FAILED after a message.
int properties_check(struct cli *cli, const char *path);
// One "key=value" of a command line.
int properties_check_one(struct cli *cli, const char *pair);
// The value of key among "key=value" words of a list; the last one counts. NULL: it is not there.
const char *properties_find(const struct cli_list *list, const char *key);
// A whole file as text, in cli->arena. NULL: *rc says why; RC_FULL: longer than a mebibyte.
char *properties_text(struct cli *cli, const char *path, enum rc *rc);
// Appends the properties of a file to a list of "key=value" words.
int properties_read(struct cli *cli, const char *path, struct cli_list *list);
