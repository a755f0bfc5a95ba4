// SPDX-License-Identifier: Apache-2.0
//
// The files in which Kafka's tools take partitions:
//   {"partitions":[{"topic":"a","partition":0,"offset":7}],"version":1}
#pragma once

#include "cli/tool.h"

struct tool_partition {
    const char *topic; // in the arena
    int32_t partition;
    int64_t offset; // -1 without offsets
};

struct tool_partitions {
    struct tool_partition *items;
    uint32_t count;
    const char *wrong; // why the text was refused: "The input string is not a valid JSON"
    uint32_t twice;    // the entry that repeats an earlier one, or count
};

// Reads such a text. False: out->wrong says why. An entry that repeats an earlier one is left to the caller. Pure.
bool tool_partitions_parse(const char *text, bool with_offsets, struct arena *a, struct tool_partitions *out);
// The same of a file. False after a message.
bool tool_partitions_read(struct cli *cli, const char *path, bool with_offsets, struct tool_partitions *out);
