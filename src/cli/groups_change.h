// SPDX-License-Identifier: Apache-2.0
//
// Requests that change a group, for weir admin groups and Kafka's tool. Each is false after a message; Kafka's own
// codes are the caller's to tell.
#pragma once

#include "cli/groups.h"

bool groups_delete(struct cli *cli, const char *id, int16_t *code);
// codes: one for each partition, in cli->arena; the group's own in *code, and then no others.
bool groups_delete_offsets(struct cli *cli, const char *id, const struct groups_partition *list, uint32_t count,
                           int16_t *code, int16_t **codes);
bool groups_remove_members(struct cli *cli, const char *id, struct leave_group_request_member *members, uint32_t count,
                           struct leave_group_response *out);
