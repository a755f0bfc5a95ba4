// SPDX-License-Identifier: Apache-2.0
//
// The one internal error enum. Every operation that can fail for a reason outside the program returns it; bugs assert.
// Kafka's numbers appear only in model/kerr.c, which maps this enum without a default, so that a new word here breaks
// the build there and only there.
#pragma once

// X(name, sentence a person can read)
#define RC_LIST(X)                                                                                                     \
    X(OK, "ok")                                                                                                        \
    /* operating system and plumbing */                                                                                \
    X(AGAIN, "not ready, try again")                                                                                   \
    X(EOF, "end of file or stream")                                                                                    \
    X(NOMEM, "out of memory")                                                                                          \
    X(FULL, "a bounded queue or table is full")                                                                        \
    X(INVALID, "invalid argument")                                                                                     \
    X(MALFORMED, "malformed bytes")                                                                                    \
    X(CORRUPT, "checksum or structure damaged")                                                                        \
    X(TORN, "torn tail after a crash")                                                                                 \
    X(IO, "input/output error")                                                                                        \
    X(NO_SPACE, "no space left on the device")                                                                         \
    X(NO_FILES, "too many open files")                                                                                 \
    X(NOT_FOUND, "not found")                                                                                          \
    X(EXISTS, "already exists")                                                                                        \
    X(PERMISSION, "permission denied")                                                                                 \
    X(LOCKED, "locked by another process")                                                                             \
    X(ADDRESS_IN_USE, "address already in use")                                                                        \
    X(UNREACHABLE, "peer cannot be reached")                                                                           \
    X(REFUSED, "connection refused")                                                                                   \
    X(RESET, "connection reset by peer")                                                                               \
    X(CLOSED, "closed")                                                                                                \
    X(CANCELLED, "cancelled")                                                                                          \
    X(TIMED_OUT, "timed out")                                                                                          \
    X(UNSUPPORTED, "not supported here")                                                                               \
    X(OFFLINE, "log folder is offline after an error")                                                                 \
    /* protocol outcomes; one word for each answer the broker gives */                                                 \
    X(UNKNOWN_SERVER_ERROR, "unexpected server error")                                                                 \
    X(OFFSET_OUT_OF_RANGE, "offset is outside the log")                                                                \
    X(CORRUPT_MESSAGE, "record batch failed its checksum or is malformed")                                             \
    X(UNKNOWN_TOPIC_OR_PARTITION, "unknown topic or partition")                                                        \
    X(INVALID_FETCH_SIZE, "invalid fetch size")                                                                        \
    X(LEADER_NOT_AVAILABLE, "no leader yet")                                                                           \
    X(NOT_LEADER_OR_FOLLOWER, "not the leader or a replica of this partition")                                         \
    X(REQUEST_TIMED_OUT, "the request timed out")                                                                      \
    X(BROKER_NOT_AVAILABLE, "broker not available")                                                                    \
    X(REPLICA_NOT_AVAILABLE, "replica not available")                                                                  \
    X(MESSAGE_TOO_LARGE, "record batch larger than max.message.bytes")                                                 \
    X(OFFSET_METADATA_TOO_LARGE, "offset metadata too large")                                                          \
    X(COORDINATOR_LOAD_IN_PROGRESS, "coordinator is loading")                                                          \
    X(COORDINATOR_NOT_AVAILABLE, "coordinator not available")                                                          \
    X(NOT_COORDINATOR, "not the coordinator")                                                                          \
    X(INVALID_TOPIC, "invalid topic")                                                                                  \
    X(RECORD_LIST_TOO_LARGE, "record list larger than a segment")                                                      \
    X(NOT_ENOUGH_REPLICAS, "fewer in-sync replicas than min.insync.replicas")                                          \
    X(NOT_ENOUGH_REPLICAS_AFTER_APPEND, "appended, then fewer in-sync replicas than min.insync.replicas")              \
    X(INVALID_REQUIRED_ACKS, "acks must be -1, 0 or 1")                                                                \
    X(CLUSTER_AUTHORIZATION_FAILED, "not authorised on the cluster")                                                   \
    X(TOPIC_AUTHORIZATION_FAILED, "not authorised on the topic")                                                       \
    X(INVALID_TIMESTAMP, "record timestamp out of the accepted range")                                                 \
    X(ILLEGAL_SASL_STATE, "request not valid in this SASL state")                                                      \
    X(UNSUPPORTED_VERSION, "unsupported version")                                                                      \
    X(TOPIC_ALREADY_EXISTS, "topic already exists")                                                                    \
    X(INVALID_PARTITIONS, "invalid number of partitions")                                                              \
    X(INVALID_REPLICATION_FACTOR, "invalid replication factor")                                                        \
    X(INVALID_REPLICA_ASSIGNMENT, "invalid replica assignment")                                                        \
    X(INVALID_CONFIG, "invalid configuration")                                                                         \
    X(NOT_CONTROLLER, "not the controller")                                                                            \
    X(INVALID_REQUEST, "invalid request")                                                                              \
    X(POLICY_VIOLATION, "policy violation")                                                                            \
    X(OUT_OF_ORDER_SEQUENCE, "sequence number out of order")                                                           \
    X(INVALID_PRODUCER_EPOCH, "producer epoch is older than the current one")                                          \
    X(INVALID_PRODUCER_ID_MAPPING, "unknown producer id mapping")                                                      \
    X(INVALID_TXN_STATE, "invalid transaction state")                                                                  \
    X(SECURITY_DISABLED, "security features are disabled")                                                             \
    X(OPERATION_NOT_ATTEMPTED, "operation not attempted")                                                              \
    X(STORAGE_ERROR, "disk error when accessing a log file")                                                           \
    X(LOG_DIR_NOT_FOUND, "log folder not found")                                                                       \
    X(UNKNOWN_PRODUCER_ID, "unknown producer id")                                                                      \
    X(TOPIC_DELETION_DISABLED, "topic deletion is disabled")                                                           \
    X(FETCH_SESSION_ID_NOT_FOUND, "fetch session not found")                                                           \
    X(INVALID_FETCH_SESSION_EPOCH, "invalid fetch session epoch")                                                      \
    X(FENCED_LEADER_EPOCH, "leader epoch is older than the broker's")                                                  \
    X(UNKNOWN_LEADER_EPOCH, "leader epoch is newer than the broker's")                                                 \
    X(UNSUPPORTED_COMPRESSION_TYPE, "unsupported compression type")                                                    \
    X(STALE_BROKER_EPOCH, "broker epoch has changed")                                                                  \
    X(OFFSET_NOT_AVAILABLE, "offset not available yet")                                                                \
    X(INVALID_RECORD, "record failed validation")                                                                      \
    X(THROTTLING_QUOTA_EXCEEDED, "throttling quota exceeded")                                                          \
    X(RESOURCE_NOT_FOUND, "resource not found")                                                                        \
    X(DUPLICATE_RESOURCE, "duplicate resource in the request")                                                         \
    X(INCONSISTENT_CLUSTER_ID, "another cluster's id")                                                                 \
    X(UNKNOWN_TOPIC_ID, "unknown topic id")                                                                            \
    X(DUPLICATE_BROKER_REGISTRATION, "a live broker has this id")                                                      \
    X(BROKER_ID_NOT_REGISTERED, "broker id not registered")                                                            \
    X(INCONSISTENT_TOPIC_ID, "topic id does not match")                                                                \
    X(FETCH_SESSION_TOPIC_ID_ERROR, "fetch session mixes topic names and ids")                                         \
    X(MISMATCHED_ENDPOINT_TYPE, "request sent to an endpoint of the wrong type")                                       \
    X(ILLEGAL_GENERATION, "generation of the group has changed")                                                       \
    X(INCONSISTENT_GROUP_PROTOCOL, "no protocol that every member of the group has")                                   \
    X(INVALID_GROUP_ID, "invalid group id")                                                                            \
    X(UNKNOWN_MEMBER_ID, "unknown member of the group")                                                                \
    X(INVALID_SESSION_TIMEOUT, "session timeout out of the accepted range")                                            \
    X(REBALANCE_IN_PROGRESS, "the group rebalances")                                                                   \
    X(INVALID_COMMIT_OFFSET_SIZE, "offset commit too large")                                                           \
    X(GROUP_AUTHORIZATION_FAILED, "not authorised on the group")                                                       \
    X(NON_EMPTY_GROUP, "the group has members")                                                                        \
    X(GROUP_ID_NOT_FOUND, "no such group")                                                                             \
    X(MEMBER_ID_REQUIRED, "join again with the member id given")                                                       \
    X(PREFERRED_LEADER_NOT_AVAILABLE, "the preferred leader is not available")                                         \
    X(GROUP_MAX_SIZE_REACHED, "the group has its most members")                                                        \
    X(FENCED_INSTANCE_ID, "another member has this instance id")                                                       \
    X(ELIGIBLE_LEADERS_NOT_AVAILABLE, "no eligible leader is available")                                               \
    X(ELECTION_NOT_NEEDED, "no election is needed")                                                                    \
    X(NO_REASSIGNMENT_IN_PROGRESS, "no reassignment is in progress")                                                   \
    X(GROUP_SUBSCRIBED_TO_TOPIC, "the group is subscribed to the topic")                                               \
    X(UNSTABLE_OFFSET_COMMIT, "an offset waits for its transaction to end")                                            \
    X(FENCED_MEMBER_EPOCH, "the member epoch is not the coordinator's")                                                \
    X(UNRELEASED_INSTANCE_ID, "a live member has this instance id")                                                    \
    X(UNSUPPORTED_ASSIGNOR, "assignor not supported")                                                                  \
    X(STALE_MEMBER_EPOCH, "the member epoch is stale")                                                                 \
    X(INVALID_REGULAR_EXPRESSION, "invalid regular expression")                                                        \
    X(REASSIGNMENT_IN_PROGRESS, "a reassignment is in progress")                                                       \
    X(INCONSISTENT_VOTER_SET, "voters of the request and of the quorum differ")                                        \
    X(NEW_LEADER_ELECTED, "a new leader was elected meanwhile")                                                        \
    X(INELIGIBLE_REPLICA, "replica may not join the ISR")                                                              \
    X(INVALID_UPDATE_VERSION, "partition epoch has changed")                                                           \
    X(INVALID_VOTER_KEY, "voter key of another node or folder")                                                        \
    X(DUPLICATE_VOTER, "already a voter")                                                                              \
    X(VOTER_NOT_FOUND, "no such voter")                                                                                \
    X(UNSUPPORTED_ENDPOINT_TYPE, "unsupported endpoint type")

enum rc {
#define RC_ENUM(name, text) RC_##name,
    RC_LIST(RC_ENUM)
#undef RC_ENUM
        RC_COUNT
};

// The word of rc ("NO_SPACE") and its sentence. Static strings; any thread.
const char *rc_name(enum rc rc);
const char *rc_text(enum rc rc);
