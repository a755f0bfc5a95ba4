// SPDX-License-Identifier: Apache-2.0
//
// What the group APIs share beside group_op.h.
#pragma once

#include "broker/group_op.h"

// A request about one group whose answer is the core's as it is.
void api_group_one(struct request *rq, enum group_call_kind kind, struct bytes group_id, const void *message);

// Kafka's answer to "what may I do" with a group, without an authorizer.
enum { GROUP_OPERATIONS = 0xd48 };
