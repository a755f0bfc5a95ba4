// SPDX-License-Identifier: Apache-2.0
//
// A coordinator of one group for tests, on the fake broker: one member at a time, which is its leader. The test says
// which error the next request of a kind gets, and reads what was asked.
#pragma once

#include "fake_broker.h"

enum { FAKE_GROUP_CODES_MAX = 16, FAKE_GROUP_PARTITIONS_MAX = 8 };

struct fake_group_script {
    int16_t codes[FAKE_GROUP_CODES_MAX]; // one a request, from the first on; 0: all is well
    uint32_t count;
};

struct fake_group {
    struct fake_group_script find, join, sync, heartbeat, commit, fetch_offsets;
    uint32_t finds, joins, syncs, heartbeats, leaves, commits, beats;
    char joined_as[64]; // the member id of the last JoinGroup
    int32_t generation;
    int32_t assigned[FAKE_GROUP_PARTITIONS_MAX]; // what SyncGroup says instead of the leader's split; count -1: that
    int32_t assigned_count;
    int64_t committed[FAKE_GROUP_PARTITIONS_MAX]; // -1: nothing
    bool cut_join;                                // the next JoinGroup gets no answer but an end of the connection
    // of the new protocol
    int32_t member_epoch; // as it is answered
    int32_t target[FAKE_GROUP_PARTITIONS_MAX];
    int32_t target_count; // -1: no assignment in the answer
    int32_t said_epoch;   // of the last heartbeat
    int32_t said_owned;   // partitions in the last one that named any; -1: none did
    int16_t beat_code;    // for the next heartbeat
    char topic[16];
};

void fake_group_init(struct fake_group *g);
// Deals with a request if it is one of a group's. owner of the broker must be the struct fake_group.
bool fake_group_request(struct fake_group *g, struct fake_broker *f, const struct fake_request *r);
