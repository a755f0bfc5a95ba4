// SPDX-License-Identifier: Apache-2.0
//
// What the files of kafka-metadata-quorum share.
#pragma once

#include "cli/tool.h"

struct quorum_options {
    struct tool_common tool;
    const char *controller, *directory;
    int64_t id;
    bool status, replication, human, dry_run;
};

// add-controller or remove-controller; connects.
int tool_quorum_change(struct cli *cli, const struct quorum_options *o, bool adds);
