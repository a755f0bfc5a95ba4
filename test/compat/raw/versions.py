# SPDX-License-Identifier: Apache-2.0
"""Every advertised (key, version) pair gets an answer that its schema decodes, to requests that say something."""

import wire
from connection import Raw, batch, now_ms

# What may change the broker for those that come after, or waits for something that never happens.
LEFT_OUT = {'AddRaftVoter', 'RemoveRaftVoter', 'WriteTxnMarkers', 'AddPartitionsToTxn'}


def bodies(topic, topic_id, version):
    """Requests by name, in all versions at once: a version takes the fields that it has."""
    config = [{'resource_type': 2, 'resource_name': topic, 'configuration_keys': ['retention.ms', 'cleanup.policy']}]
    alter = [{'resource_type': 2, 'resource_name': topic, 'configs': [{'name': 'retention.ms', 'value': '3600000'}]}]
    partition = {'topic': topic, 'name': topic, 'topic_id': topic_id, 'partitions': [0], 'partition_indexes': [0]}
    # Request and response need not go in lock step with auto-creation.
    return {
        'Produce': {'acks': -1, 'timeout_ms': 5000, 'topic_data': [{'name': topic, 'topic_id': topic_id, 'partition_data': [
            {'index': 0, 'records': batch(b'version %d' % version)}, {'index': 99, 'records': batch(b'nowhere')}]}]},
        'Fetch': {'max_wait_ms': 0, 'min_bytes': 0, 'max_bytes': 2000, 'topics': [{'topic': topic, 'topic_id': topic_id, 'partitions': [
            {'partition': 0, 'fetch_offset': 0, 'partition_max_bytes': 500}, {'partition': 98, 'partition_max_bytes': 500}]}]},
        'ListOffsets': {'replica_id': -1, 'topics': [{'name': topic, 'partitions': [
            {'partition_index': 0, 'timestamp': -1, 'max_num_offsets': 5}, {'partition_index': 7, 'timestamp': now_ms(), 'max_num_offsets': 1}]}]},
        'Metadata': {'topics': [{'name': topic, 'topic_id': bytes(16)}, {'name': topic + '-none', 'topic_id': bytes(16)}],
                     'allow_auto_topic_creation': False, 'include_topic_authorized_operations': True,
                     'include_cluster_authorized_operations': True},
        'ApiVersions': {'client_software_name': 'raw', 'client_software_version': '1.0'},
        'CreateTopics': {'timeout_ms': 5000, 'topics': [
            {'name': '%s-v%d' % (topic, version), 'num_partitions': 2, 'replication_factor': 1, 'configs': [{'name': 'retention.ms', 'value': '60000'}]},
            {'name': 'bad name', 'num_partitions': 1, 'replication_factor': 1}]},
        'DeleteTopics': {'timeout_ms': 5000, 'topic_names': ['%s-v%d' % (topic, version), topic + '-none'],
                         'topics': [{'name': '%s-v%d' % (topic, version), 'topic_id': bytes(16)}, {'name': topic + '-none', 'topic_id': bytes(16)}]},
        'DeleteRecords': {'timeout_ms': 5000, 'topics': [{'name': topic, 'partitions': [
            {'partition_index': 0, 'offset': 0}, {'partition_index': 9, 'offset': 0}]}]},
        'InitProducerId': {'transactional_id': None, 'transaction_timeout_ms': 60000},
        'OffsetForLeaderEpoch': {'replica_id': -1, 'topics': [{'topic': topic, 'partitions': [
            {'partition': 0, 'current_leader_epoch': -1, 'leader_epoch': 0}, {'partition': 9, 'current_leader_epoch': -1}]}]},
        'DescribeConfigs': {'resources': config + [{'resource_type': 2, 'resource_name': topic + '-none', 'configuration_keys': None}],
                            'include_synonyms': True, 'include_documentation': True},
        'AlterConfigs': {'resources': alter, 'validate_only': True},
        'IncrementalAlterConfigs': {'resources': [dict(alter[0], configs=[{'name': 'retention.ms', 'config_operation': 0, 'value': '7200000'}])],
                                    'validate_only': True},
        'DescribeLogDirs': {'topics': [partition]},
        'CreatePartitions': {'timeout_ms': 5000, 'validate_only': True, 'topics': [{'name': topic, 'count': 3, 'assignments': None},
                                                                                   {'name': topic + '-none', 'count': 3, 'assignments': None}]},
        'DescribeCluster': {'include_cluster_authorized_operations': True, 'endpoint_type': 1, 'include_fenced_brokers': True},
        'UnregisterBroker': {'broker_id': 99},
        'UpdateFeatures': {'timeout_ms': 5000, 'feature_updates': [{'feature': 'metadata.version', 'max_version_level': 99}]},
        'DescribeProducers': {'topics': [{'name': topic, 'partition_indexes': [0, 9]}]},
        'DescribeTopicPartitions': {'topics': [{'name': topic}, {'name': topic + '-none'}], 'response_partition_limit': 10},
        'DescribeQuorum': {'topics': [{'topic_name': '__cluster_metadata', 'partitions': [{'partition_index': 0}]}]},
        'FindCoordinator': {'key': 'group', 'key_type': 0, 'coordinator_keys': ['group', 'other']},
        'SaslHandshake': {'mechanism': 'PLAIN'},
        'SaslAuthenticate': {'auth_bytes': b'\0user\0password'},
        'DescribeAcls': {'resource_type_filter': 1, 'pattern_type_filter': 1, 'operation': 1, 'permission_type': 1},
        'CreateAcls': {'creations': [{'resource_type': 2, 'resource_name': topic, 'resource_pattern_type': 3, 'principal': 'User:a',
                                      'host': '*', 'operation': 3, 'permission_type': 3}]},
        'DeleteAcls': {'filters': [{'resource_type_filter': 1, 'pattern_type_filter': 1, 'operation': 1, 'permission_type': 1}]},
        'OffsetCommit': {'group_id': 'group-%d' % version, 'generation_id_or_member_epoch': -1, 'topics': [
            {'name': topic, 'topic_id': topic_id, 'partitions': [{'partition_index': 0, 'committed_offset': 1}]}]},
        'OffsetFetch': {'group_id': 'group', 'topics': [dict(partition, name=topic)],
                        'groups': [{'group_id': 'group', 'topics': [dict(partition, name=topic)]}]},
        'JoinGroup': {'group_id': 'group-%d' % version, 'session_timeout_ms': 10000, 'rebalance_timeout_ms': 1000, 'member_id': 'stranger',
                      'protocol_type': 'consumer', 'protocols': [{'name': 'range', 'metadata': b'\0\0\0\0\0\0'}]},
        'Heartbeat': {'group_id': 'group', 'generation_id': 1, 'member_id': 'stranger'},
        'LeaveGroup': {'group_id': 'group', 'member_id': 'stranger', 'members': [{'member_id': 'stranger', 'group_instance_id': None}]},
        'SyncGroup': {'group_id': 'group', 'generation_id': 1, 'member_id': 'stranger'},
        'DescribeGroups': {'groups': ['group', 'other']},
        'DeleteGroups': {'groups_names': ['group']},
    }


def ask(bootstrap, key, version, body):
    """One pair on a connection of its own; None or what is wrong."""
    name = wire.REQUESTS[key].name
    try:
        with Raw(bootstrap) as c:
            c.call(name, version, body)
    except Exception as error:              # closed, cut short, decoded wrongly
        return '%s v%d: %s %s' % (name, version, type(error).__name__, error)
    return None


def every_pair(bootstrap, prefix, weir):
    topic = prefix + '-versions'
    with Raw(bootstrap) as c:
        c.create(topic)
        advertised = c.api_versions()
        topic_id = c.call('Metadata', 10, {'topics': [{'name': topic, 'topic_id': bytes(16)}]})['topics'][0]['topic_id']
    asked, wrong, unknown = 0, [], []
    for key, (low, high) in sorted(advertised.items()):
        message = wire.REQUESTS.get(key)
        if message is None or (weir and high > message.versions[1]):
            unknown.append('%d up to %d' % (key, high))
            if message is None:
                continue
        if message.name in LEFT_OUT:
            continue
        if not weir and message.name in ('Produce', 'SaslHandshake', 'SaslAuthenticate'):
            low = max(low, 3)               # Apache Kafka 4 closes on what it cannot serve, and on SASL where there is none
        for version in range(low, min(high, message.versions[1]) + 1):
            asked += 1
            problem = ask(bootstrap, key, version, bodies(topic, topic_id, version).get(message.name, {}))
            if problem:
                wrong.append(problem)
    assert not wrong, '%d of %d pairs: %s' % (len(wrong), asked, '; '.join(wrong))
    assert not (weir and unknown), 'advertised beyond the schemas: %s' % ', '.join(unknown)
    return '%d pairs' % asked


def just_outside(bootstrap, prefix, weir):
    """A version above the advertised range closes the connection, for every key but ApiVersions."""
    with Raw(bootstrap) as c:
        advertised = c.api_versions()
    still_open = []
    for key, (_, high) in sorted(advertised.items()):
        if key != 18:
            with Raw(bootstrap) as c:
                c.send_frame(b''.join((key.to_bytes(2, 'big'), (high + 1).to_bytes(2, 'big'), b'\0\0\0\1\0\3raw\0')))
                if not c.closed(3):
                    still_open.append(key)
    assert not still_open, 'still open after a version too high: keys %s' % still_open
    return '%d keys' % (len(advertised) - 1)


def run(report, bootstrap, prefix, weir):
    report.run('every-advertised-version', every_pair, bootstrap, prefix, weir)
    report.run('versions-just-outside', just_outside, bootstrap, prefix, weir)
