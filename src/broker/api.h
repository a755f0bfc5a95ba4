// SPDX-License-Identifier: Apache-2.0
//
// The handlers of the dispatch table, one file an API. Each gets the decoded request and answers exactly once.
#pragma once

#include "broker/request.h"

void api_produce_begin(struct request *rq, const void *message);
void api_fetch_begin(struct request *rq, const void *message);
void api_list_offsets_begin(struct request *rq, const void *message);
void api_metadata_begin(struct request *rq, const void *message);
void api_find_coordinator_begin(struct request *rq, const void *message);
void api_offset_commit_begin(struct request *rq, const void *message);
void api_offset_fetch_begin(struct request *rq, const void *message);
void api_join_group_begin(struct request *rq, const void *message);
void api_heartbeat_begin(struct request *rq, const void *message);
void api_leave_group_begin(struct request *rq, const void *message);
void api_sync_group_begin(struct request *rq, const void *message);
void api_describe_groups_begin(struct request *rq, const void *message);
void api_list_groups_begin(struct request *rq, const void *message);
void api_delete_groups_begin(struct request *rq, const void *message);
void api_offset_delete_begin(struct request *rq, const void *message);
void api_consumer_group_heartbeat_begin(struct request *rq, const void *message);
void api_consumer_group_describe_begin(struct request *rq, const void *message);
void api_sasl_handshake_begin(struct request *rq, const void *message);
void api_api_versions_begin(struct request *rq, const void *message);
void api_create_topics_begin(struct request *rq, const void *message);
void api_delete_topics_begin(struct request *rq, const void *message);
void api_delete_records_begin(struct request *rq, const void *message);
void api_init_producer_id_begin(struct request *rq, const void *message);
void api_offset_for_leader_epoch_begin(struct request *rq, const void *message);
void api_describe_acls_begin(struct request *rq, const void *message);
void api_create_acls_begin(struct request *rq, const void *message);
void api_delete_acls_begin(struct request *rq, const void *message);
void api_describe_configs_begin(struct request *rq, const void *message);
void api_alter_configs_begin(struct request *rq, const void *message);
void api_alter_replica_log_dirs_begin(struct request *rq, const void *message);
void api_describe_log_dirs_begin(struct request *rq, const void *message);
void api_sasl_authenticate_begin(struct request *rq, const void *message);
void api_create_partitions_begin(struct request *rq, const void *message);
void api_incremental_alter_configs_begin(struct request *rq, const void *message);
void api_elect_leaders_begin(struct request *rq, const void *message);
void api_update_features_begin(struct request *rq, const void *message);
void api_unregister_broker_begin(struct request *rq, const void *message);
void api_alter_partition_reassignments_begin(struct request *rq, const void *message);
void api_list_partition_reassignments_begin(struct request *rq, const void *message);
void api_add_raft_voter_begin(struct request *rq, const void *message);
void api_remove_raft_voter_begin(struct request *rq, const void *message);
void api_describe_quorum_begin(struct request *rq, const void *message);
void api_describe_cluster_begin(struct request *rq, const void *message);
void api_describe_producers_begin(struct request *rq, const void *message);
void api_describe_topic_partitions_begin(struct request *rq, const void *message);

// ------------------------------------------------------------------------------------------------ what they share

// Lets the answer of rq take that much memory beyond what the request reserved: for answers whose size the cluster
// decides and not the client.
void api_answer_reserve(struct request *rq, size_t bytes);
// The answer cannot be had, because memory is short: the connection ends with a line, so that the client tries again.
// rq is gone when this returns.
void api_fail_memory(struct request *rq);
