// SPDX-License-Identifier: Apache-2.0
//
// Members of the classic protocol: what they are told, as the tests of it ask.
#pragma once

#include "consumer_rig.h"

// A rig that has begun; one at a time, rig_end() ends it.
struct rig *classic_begin(void);
// The error code of an answer that must have come. Frees the call.
int16_t classic_join_code(struct rig_call *c);
int16_t classic_sync_code(struct rig_call *c);

struct rig_call *classic_leave_made(const char *group, int16_t version, const char *member, const char *instance);
// Sends it; the error code, of the member where the version has one.
int16_t classic_leave(struct rig *r, const char *group, int16_t version, const char *member, const char *instance);

struct classic_told {
    char id[160];
    int32_t generation;
    bool leads;
    uint32_t members;
};

// A join that must have succeeded. Frees the call.
struct classic_told classic_joined(struct rig_call *c);
// Two members of group g, static when named; both in a stable generation.
void classic_two(struct rig *r, const char *first, const char *second, struct classic_told *a, struct classic_told *b);
