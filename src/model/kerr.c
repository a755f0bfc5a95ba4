// SPDX-License-Identifier: Apache-2.0
//
// enum rc to Kafka's codes: the only place where the numbers are written. No default, so a new rc breaks the build here.
#include "model/kerr.h"
#include "base/assert.h"

#include <stddef.h>

int16_t kerr_of(enum rc rc)
{
    switch (rc) {
    case RC_OK:
        return 0;
    case RC_UNKNOWN_SERVER_ERROR:
    case RC_AGAIN:
    case RC_EOF:
    case RC_NOMEM:
    case RC_FULL:
    case RC_INVALID:
    case RC_MALFORMED:
    case RC_NOT_FOUND:
    case RC_EXISTS:
    case RC_PERMISSION:
    case RC_LOCKED:
    case RC_ADDRESS_IN_USE:
    case RC_UNREACHABLE:
    case RC_REFUSED:
    case RC_RESET:
    case RC_CLOSED:
    case RC_CANCELLED:
    case RC_UNSUPPORTED:
    case RC_COUNT:
        return -1;
    case RC_IO:
    case RC_NO_SPACE:
    case RC_NO_FILES:
    case RC_CORRUPT:
    case RC_TORN:
    case RC_OFFLINE:
    case RC_STORAGE_ERROR:
        return 56;
    case RC_TIMED_OUT:
    case RC_REQUEST_TIMED_OUT:
        return 7;
    case RC_OFFSET_OUT_OF_RANGE:
        return 1;
    case RC_CORRUPT_MESSAGE:
        return 2;
    case RC_UNKNOWN_TOPIC_OR_PARTITION:
        return 3;
    case RC_INVALID_FETCH_SIZE:
        return 4;
    case RC_LEADER_NOT_AVAILABLE:
        return 5;
    case RC_NOT_LEADER_OR_FOLLOWER:
        return 6;
    case RC_BROKER_NOT_AVAILABLE:
        return 8;
    case RC_REPLICA_NOT_AVAILABLE:
        return 9;
    case RC_MESSAGE_TOO_LARGE:
        return 10;
    case RC_OFFSET_METADATA_TOO_LARGE:
        return 12;
    case RC_COORDINATOR_LOAD_IN_PROGRESS:
        return 14;
    case RC_COORDINATOR_NOT_AVAILABLE:
        return 15;
    case RC_NOT_COORDINATOR:
        return 16;
    case RC_INVALID_TOPIC:
        return 17;
    case RC_RECORD_LIST_TOO_LARGE:
        return 18;
    case RC_NOT_ENOUGH_REPLICAS:
        return 19;
    case RC_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
        return 20;
    case RC_INVALID_REQUIRED_ACKS:
        return 21;
    case RC_TOPIC_AUTHORIZATION_FAILED:
        return 29;
    case RC_CLUSTER_AUTHORIZATION_FAILED:
        return 31;
    case RC_INVALID_TIMESTAMP:
        return 32;
    case RC_ILLEGAL_SASL_STATE:
        return 34;
    case RC_UNSUPPORTED_VERSION:
        return 35;
    case RC_TOPIC_ALREADY_EXISTS:
        return 36;
    case RC_INVALID_PARTITIONS:
        return 37;
    case RC_INVALID_REPLICATION_FACTOR:
        return 38;
    case RC_INVALID_REPLICA_ASSIGNMENT:
        return 39;
    case RC_INVALID_CONFIG:
        return 40;
    case RC_NOT_CONTROLLER:
        return 41;
    case RC_INVALID_REQUEST:
        return 42;
    case RC_POLICY_VIOLATION:
        return 44;
    case RC_OUT_OF_ORDER_SEQUENCE:
        return 45;
    case RC_INVALID_PRODUCER_EPOCH:
        return 47;
    case RC_INVALID_TXN_STATE:
        return 48;
    case RC_INVALID_PRODUCER_ID_MAPPING:
        return 49;
    case RC_ILLEGAL_GENERATION:
        return 22;
    case RC_INCONSISTENT_GROUP_PROTOCOL:
        return 23;
    case RC_INVALID_GROUP_ID:
        return 24;
    case RC_UNKNOWN_MEMBER_ID:
        return 25;
    case RC_INVALID_SESSION_TIMEOUT:
        return 26;
    case RC_REBALANCE_IN_PROGRESS:
        return 27;
    case RC_INVALID_COMMIT_OFFSET_SIZE:
        return 28;
    case RC_GROUP_AUTHORIZATION_FAILED:
        return 30;
    case RC_NON_EMPTY_GROUP:
        return 68;
    case RC_GROUP_ID_NOT_FOUND:
        return 69;
    case RC_MEMBER_ID_REQUIRED:
        return 79;
    case RC_PREFERRED_LEADER_NOT_AVAILABLE:
        return 80;
    case RC_GROUP_MAX_SIZE_REACHED:
        return 81;
    case RC_FENCED_INSTANCE_ID:
        return 82;
    case RC_ELIGIBLE_LEADERS_NOT_AVAILABLE:
        return 83;
    case RC_ELECTION_NOT_NEEDED:
        return 84;
    case RC_NO_REASSIGNMENT_IN_PROGRESS:
        return 85;
    case RC_GROUP_SUBSCRIBED_TO_TOPIC:
        return 86;
    case RC_UNSTABLE_OFFSET_COMMIT:
        return 88;
    case RC_FENCED_MEMBER_EPOCH:
        return 110;
    case RC_UNRELEASED_INSTANCE_ID:
        return 111;
    case RC_UNSUPPORTED_ASSIGNOR:
        return 112;
    case RC_STALE_MEMBER_EPOCH:
        return 113;
    case RC_INVALID_REGULAR_EXPRESSION:
        return 128;
    case RC_REASSIGNMENT_IN_PROGRESS:
        return 60;
    case RC_INCONSISTENT_VOTER_SET:
        return 94;
    case RC_NEW_LEADER_ELECTED:
        return 108;
    case RC_INELIGIBLE_REPLICA:
        return 107;
    case RC_INVALID_UPDATE_VERSION:
        return 95;
    case RC_INVALID_VOTER_KEY:
        return 125;
    case RC_DUPLICATE_VOTER:
        return 126;
    case RC_VOTER_NOT_FOUND:
        return 127;
    case RC_SECURITY_DISABLED:
        return 54;
    case RC_OPERATION_NOT_ATTEMPTED:
        return 55;
    case RC_LOG_DIR_NOT_FOUND:
        return 57;
    case RC_UNKNOWN_PRODUCER_ID:
        return 59;
    case RC_FETCH_SESSION_ID_NOT_FOUND:
        return 70;
    case RC_INVALID_FETCH_SESSION_EPOCH:
        return 71;
    case RC_TOPIC_DELETION_DISABLED:
        return 73;
    case RC_FENCED_LEADER_EPOCH:
        return 74;
    case RC_UNKNOWN_LEADER_EPOCH:
        return 75;
    case RC_UNSUPPORTED_COMPRESSION_TYPE:
        return 76;
    case RC_STALE_BROKER_EPOCH:
        return 77;
    case RC_OFFSET_NOT_AVAILABLE:
        return 78;
    case RC_INVALID_RECORD:
        return 87;
    case RC_THROTTLING_QUOTA_EXCEEDED:
        return 89;
    case RC_RESOURCE_NOT_FOUND:
        return 91;
    case RC_DUPLICATE_RESOURCE:
        return 92;
    case RC_INCONSISTENT_CLUSTER_ID:
        return 104;
    case RC_UNKNOWN_TOPIC_ID:
        return 100;
    case RC_DUPLICATE_BROKER_REGISTRATION:
        return 101;
    case RC_BROKER_ID_NOT_REGISTERED:
        return 102;
    case RC_INCONSISTENT_TOPIC_ID:
        return 103;
    case RC_FETCH_SESSION_TOPIC_ID_ERROR:
        return 106;
    case RC_MISMATCHED_ENDPOINT_TYPE:
        return 114;
    case RC_UNSUPPORTED_ENDPOINT_TYPE:
        return 115;
    }
    UNREACHABLE();
}

struct kerr_row {
    int16_t code;
    bool retriable;
    const char *name;
};

// Generated from proto/errors.txt, in rising order of code.
static const struct kerr_row kerr_rows[] = {
#include "kerr_rows.inc"
};

static const struct kerr_row *kerr_find(int16_t code)
{
    size_t low = 0, high = ARRAY_COUNT(kerr_rows);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (kerr_rows[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < ARRAY_COUNT(kerr_rows) && kerr_rows[low].code == code ? &kerr_rows[low] : NULL;
}

const char *kerr_name(int16_t code)
{
    const struct kerr_row *row = kerr_find(code);
    return row ? row->name : "UNKNOWN_ERROR_CODE";
}

bool kerr_retriable(int16_t code)
{
    const struct kerr_row *row = kerr_find(code);
    return row && row->retriable;
}
