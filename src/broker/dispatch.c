// SPDX-License-Identifier: Apache-2.0
//
// The dispatch table: what is advertised and served. Every version of the schema from 0 up, with two exceptions: Fetch
// below 4 would need message formats that no longer exist, and Produce 0 to 2, which would too, are advertised because
// old librdkafka looks for them before it compresses; api_produce.c refuses them in the answer.
#include "broker/api.h"
#include "wire/messages.h"

#define ROW(number, low, high, word, text)                                                                             \
    {                                                                                                                  \
        .key = number, .version_min = low, .version_max = high, .request = &word##_request_message,                    \
        .response = &word##_response_message, .begin = api_##word##_begin, .name = text                                \
    }

const struct api_row api_rows[] = {
    ROW(API_PRODUCE, 0, 11, produce, "Produce"),
    ROW(API_FETCH, 4, 17, fetch, "Fetch"),
    ROW(API_LIST_OFFSETS, 0, 10, list_offsets, "ListOffsets"),
    ROW(API_METADATA, 0, 12, metadata, "Metadata"),
    ROW(API_OFFSET_COMMIT, 0, 9, offset_commit, "OffsetCommit"),
    ROW(API_OFFSET_FETCH, 0, 9, offset_fetch, "OffsetFetch"),
    ROW(API_FIND_COORDINATOR, 0, 6, find_coordinator, "FindCoordinator"),
    ROW(API_JOIN_GROUP, 0, 9, join_group, "JoinGroup"),
    ROW(API_HEARTBEAT, 0, 4, heartbeat, "Heartbeat"),
    ROW(API_LEAVE_GROUP, 0, 5, leave_group, "LeaveGroup"),
    ROW(API_SYNC_GROUP, 0, 5, sync_group, "SyncGroup"),
    ROW(API_DESCRIBE_GROUPS, 0, 5, describe_groups, "DescribeGroups"),
    ROW(API_LIST_GROUPS, 0, 5, list_groups, "ListGroups"),
    ROW(API_SASL_HANDSHAKE, 0, 1, sasl_handshake, "SaslHandshake"),
    ROW(API_API_VERSIONS, 0, 4, api_versions, "ApiVersions"),
    ROW(API_CREATE_TOPICS, 0, 7, create_topics, "CreateTopics"),
    ROW(API_DELETE_TOPICS, 0, 6, delete_topics, "DeleteTopics"),
    ROW(API_DELETE_RECORDS, 0, 2, delete_records, "DeleteRecords"),
    ROW(API_INIT_PRODUCER_ID, 0, 5, init_producer_id, "InitProducerId"),
    ROW(API_OFFSET_FOR_LEADER_EPOCH, 0, 4, offset_for_leader_epoch, "OffsetForLeaderEpoch"),
    ROW(API_DESCRIBE_ACLS, 0, 3, describe_acls, "DescribeAcls"),
    ROW(API_CREATE_ACLS, 0, 3, create_acls, "CreateAcls"),
    ROW(API_DELETE_ACLS, 0, 3, delete_acls, "DeleteAcls"),
    ROW(API_DESCRIBE_CONFIGS, 0, 4, describe_configs, "DescribeConfigs"),
    ROW(API_ALTER_CONFIGS, 0, 2, alter_configs, "AlterConfigs"),
    ROW(API_ALTER_REPLICA_LOG_DIRS, 0, 2, alter_replica_log_dirs, "AlterReplicaLogDirs"),
    ROW(API_DESCRIBE_LOG_DIRS, 0, 4, describe_log_dirs, "DescribeLogDirs"),
    ROW(API_SASL_AUTHENTICATE, 0, 2, sasl_authenticate, "SaslAuthenticate"),
    ROW(API_CREATE_PARTITIONS, 0, 3, create_partitions, "CreatePartitions"),
    ROW(API_DELETE_GROUPS, 0, 2, delete_groups, "DeleteGroups"),
    ROW(API_ELECT_LEADERS, 0, 2, elect_leaders, "ElectLeaders"),
    ROW(API_INCREMENTAL_ALTER_CONFIGS, 0, 1, incremental_alter_configs, "IncrementalAlterConfigs"),
    ROW(API_ALTER_PARTITION_REASSIGNMENTS, 0, 1, alter_partition_reassignments, "AlterPartitionReassignments"),
    ROW(API_LIST_PARTITION_REASSIGNMENTS, 0, 0, list_partition_reassignments, "ListPartitionReassignments"),
    ROW(API_OFFSET_DELETE, 0, 0, offset_delete, "OffsetDelete"),
    ROW(API_DESCRIBE_QUORUM, 0, 2, describe_quorum, "DescribeQuorum"),
    ROW(API_UPDATE_FEATURES, 0, 2, update_features, "UpdateFeatures"),
    ROW(API_DESCRIBE_CLUSTER, 0, 2, describe_cluster, "DescribeCluster"),
    ROW(API_DESCRIBE_PRODUCERS, 0, 0, describe_producers, "DescribeProducers"),
    ROW(API_UNREGISTER_BROKER, 0, 0, unregister_broker, "UnregisterBroker"),
    ROW(API_CONSUMER_GROUP_HEARTBEAT, 0, 1, consumer_group_heartbeat, "ConsumerGroupHeartbeat"),
    ROW(API_CONSUMER_GROUP_DESCRIBE, 0, 0, consumer_group_describe, "ConsumerGroupDescribe"),
    ROW(API_DESCRIBE_TOPIC_PARTITIONS, 0, 0, describe_topic_partitions, "DescribeTopicPartitions"),
    ROW(API_ADD_RAFT_VOTER, 0, 0, add_raft_voter, "AddRaftVoter"),
    ROW(API_REMOVE_RAFT_VOTER, 0, 0, remove_raft_voter, "RemoveRaftVoter"),
};

const size_t api_row_count = sizeof(api_rows) / sizeof(api_rows[0]);

const struct api_row *api_find(int16_t key)
{
    size_t low = 0, high = api_row_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (api_rows[mid].key < key)
            low = mid + 1;
        else
            high = mid;
    }
    return low < api_row_count && api_rows[low].key == key ? &api_rows[low] : NULL;
}
