#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The compatibility cases with kafka-python: 2.0.2, the release that Debian and old systems carry, and the newest one.

    compat.py HOST:PORT PREFIX NAME [--groups]"""

import logging
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import cases                                                                        # noqa: E402

import kafka                                                                        # noqa: E402
from kafka import KafkaConsumer, KafkaProducer, TopicPartition                      # noqa: E402
from kafka.admin import (ConfigResource, ConfigResourceType, KafkaAdminClient,      # noqa: E402
                         NewPartitions, NewTopic)

logging.disable(logging.WARNING)
bootstrap, prefix, name = sys.argv[1:4]
old = kafka.__version__.startswith('2.0')
report = cases.Report(name)
base_ms = cases.base_timestamp_ms()
data = cases.records(base_ms, null_headers=False)     # it refuses to write a null header


def admin():
    return KafkaAdminClient(bootstrap_servers=bootstrap)


def create(topic, partitions=cases.PARTITIONS, configs=None):
    """Creates a topic and returns its name."""
    client = admin()
    client.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs or {})])
    client.close()
    return topic


def produce(topic, records, **options):
    """Writes the records and waits for each acknowledgement; returns the metadata."""
    if not old:
        options.setdefault('enable_idempotence', False)
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, **options)
    futures = [producer.send(topic, value=r.value, key=r.key, headers=r.headers, partition=r.partition,
                             timestamp_ms=r.timestamp_ms) for r in records]
    producer.flush(30)
    result = [f.get(30) for f in futures]
    producer.close()
    return result


def consume(topic, count, seek=None, partitions=range(cases.PARTITIONS), **options):
    """Reads count records of assigned partitions from the beginning, or from what seek(consumer, partitions) chose."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset='earliest', enable_auto_commit=False,
                             max_partition_fetch_bytes=2 << 20, **options)
    assigned = [TopicPartition(topic, p) for p in partitions]
    consumer.assign(assigned)
    if seek:
        seek(consumer, assigned)
    else:
        consumer.seek_to_beginning(*assigned)
    got, end = [], time.monotonic() + 15
    while len(got) < count and time.monotonic() < end:
        for batch in consumer.poll(200).values():
            got += [cases.Record(m.partition, m.key, m.value, m.headers, m.timestamp) for m in batch]
    consumer.close()
    return got


def case_check_version():
    client = kafka.client_async.KafkaClient(bootstrap_servers=bootstrap)
    version = client.check_version()
    client.close()
    assert version == (2, 5, 0), 'inferred %r' % (version,)
    return '2.5.0'


def case_create_topic():
    create(prefix + '-main', configs={'retention.ms': '86400000'})
    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    found = cases.retry(lambda: consumer.partitions_for_topic(prefix + '-main'))
    consumer.close()
    assert found == {0, 1, 2}, 'partitions %r' % found


def case_codec(codec):
    topic = create('%s-codec-%s' % (prefix, codec))
    produce(topic, data, compression_type=None if codec == 'none' else codec, acks='all')
    return cases.compare(data, consume(topic, len(data)))


def case_large():
    topic = create(prefix + '-large', 1)
    record = cases.Record(0, b'large', cases.large_value(), [], base_ms)
    produce(topic, [record], max_request_size=2 << 20, buffer_memory=64 << 20) if old else produce(
        topic, [record], max_request_size=2 << 20, batch_size=2 << 20)
    cases.compare([record], consume(topic, 1, partitions=[0]))
    return '%d bytes' % len(record.value)


def case_too_large():
    topic = create(prefix + '-too-large', 1)
    record = cases.Record(0, None, cases.large_value(cases.TOO_LARGE_VALUE_BYTES), [], base_ms)
    try:
        produce(topic, [record], max_request_size=4 << 20)
    except kafka.errors.MessageSizeTooLargeError as error:
        return type(error).__name__
    raise AssertionError('accepted')


def case_from_offset():
    got = consume(prefix + '-codec-none', 13, lambda c, a: c.seek(a[0], cases.FROM_OFFSET), [1])
    want = [r for r in data if r.partition == 1][cases.FROM_OFFSET:]
    cases.compare(want, got)
    return 'from %d' % cases.FROM_OFFSET


def case_from_timestamp():
    start_ms = base_ms + cases.FROM_RECORD * 1000

    def seek(consumer, assigned):
        for tp, found in consumer.offsets_for_times({tp: start_ms for tp in assigned}).items():
            consumer.seek(tp, found.offset)
    want = data[cases.FROM_RECORD:]
    return cases.compare(want, consume(prefix + '-codec-none', len(want), seek))


def case_auto_create():
    record = cases.Record(0, b'k', b'auto', [], base_ms)
    produce(prefix + '-auto', [record])
    return cases.compare([record], consume(prefix + '-auto', 1, partitions=[0]))


def case_idempotent():
    if old:
        raise cases.Skip('kafka-python 2.0.2 has no idempotent producer')
    topic = create(prefix + '-idempotent')
    produce(topic, data, enable_idempotence=True)
    return cases.compare(data, consume(topic, len(data)))


def case_acks(acks):
    topic = create('%s-acks-%s' % (prefix, acks))
    got = produce(topic, data, acks=acks)
    cases.compare(data, consume(topic, len(data)))
    return 'offset of the first: %s' % got[0].offset


def case_list_topics():
    client = admin()
    listed = client.list_topics()
    client.close()
    assert prefix + '-main' in listed, listed


def case_describe_topic():
    client = admin()
    topic = client.describe_topics([prefix + '-main'])[0]
    client.close()
    topic = topic if isinstance(topic, dict) else topic.to_dict()
    assert len(topic['partitions']) == 3, topic
    partition = topic['partitions'][0]
    leader = partition.get('leader', partition.get('leader_id'))
    assert leader >= 0, topic
    return 'leader %d' % leader


def case_describe_cluster():
    client = admin()
    cluster = client.describe_cluster()
    client.close()
    cluster = cluster if isinstance(cluster, dict) else cluster.to_dict()
    assert len(cluster['brokers']) in (1, 3) and cluster['cluster_id'], cluster
    return 'cluster id %s' % cluster['cluster_id']


def describe_config(key, kind=ConfigResourceType.TOPIC, of=None):
    client = admin()
    answers = client.describe_configs([ConfigResource(kind, of or prefix + '-main')],
                                      **({} if old else {'config_filter': 'all'}))
    client.close()
    if old:
        found = {entry[0]: entry[1] for answer in answers for entry in answer.resources[0][4]}
    elif isinstance(answers, dict):
        entries = next(iter(answers.values()))
        entries = next(iter(entries.values())) if kind.name.lower() in map(str, answers) or len(entries) == 1 else entries
        found = {k: (v['value'] if isinstance(v, dict) else v) for k, v in entries.items()}
    else:
        found = {e.config_names: e.config_value for a in answers for e in a.resources[0].configs}
    return found.get(key)


def case_describe_configs():
    value = describe_config('retention.ms')
    assert value == '86400000', value
    return 'retention.ms=86400000'


def case_describe_broker_configs():
    client = admin()
    node = client.describe_cluster()['brokers'][0]
    client.close()
    node = node.get('node_id', node.get('broker_id', node.get('id')))
    assert describe_config('message.max.bytes', ConfigResourceType.BROKER, str(node)), 'no message.max.bytes'


def case_alter_configs():
    client = admin()
    client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, prefix + '-main',
                                         configs={'retention.ms': '7200000'})])
    client.close()
    assert cases.retry(lambda: describe_config('retention.ms') == '7200000'), describe_config('retention.ms')


def case_create_partitions():
    client = admin()
    client.create_partitions({prefix + '-main': NewPartitions(5)} if old else {prefix + '-main': 5})
    client.close()

    def count():
        consumer = KafkaConsumer(bootstrap_servers=bootstrap)
        found = consumer.partitions_for_topic(prefix + '-main')
        consumer.close()
        return found == {0, 1, 2, 3, 4}
    assert cases.retry(count), 'not 5 partitions'


def case_delete_records():
    if old:
        raise cases.Skip('kafka-python 2.0.2 has no delete_records')
    client = admin()
    tp = TopicPartition(prefix + '-acks-all', 0)
    client.delete_records({tp: 5})
    client.close()
    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    first = consumer.beginning_offsets([tp])[tp]
    consumer.close()
    assert first == 5, first
    return 'log start 5'


def case_list_offsets():
    topic = prefix + '-codec-none'
    tps = [TopicPartition(topic, p) for p in range(3)]
    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    first, last = consumer.beginning_offsets(tps), consumer.end_offsets(tps)
    consumer.close()
    assert [first[t] for t in tps] == [0, 0, 0] and [last[t] for t in tps] == [20, 20, 20], (first, last)


def case_delete_topic():
    topic = create(prefix + '-delete')
    client = admin()
    client.delete_topics([topic])
    client.close()

    def gone():
        other = admin()
        listed = other.list_topics()
        other.close()
        return topic not in listed
    assert cases.retry(gone), 'still listed'


def case_group():
    topic, group = prefix + '-codec-none', prefix + '-group'
    got = []
    for expected in (30, 60):       # the second member goes on where the first one committed
        consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset='earliest',
                                 enable_auto_commit=False, max_poll_records=30, session_timeout_ms=10000)
        end = time.monotonic() + 30
        while len(got) < expected and time.monotonic() < end:
            for batch in consumer.poll(500, max_records=expected - len(got)).values():
                got += [cases.Record(m.partition, m.key, m.value, m.headers, m.timestamp) for m in batch]
        consumer.commit()
        consumer.close()
    return cases.compare(data, got)


def case_group_admin():
    group = prefix + '-group'
    client = admin()
    if old:
        assert group in [g[0] for g in client.list_consumer_groups()], 'not listed'
        assert client.describe_consumer_groups([group])[0].state == 'Empty'
        assert sum(o.offset for o in client.list_consumer_group_offsets(group).values()) == 60
        client.delete_consumer_groups([group])
    else:
        assert group in str(client.list_groups()), 'not listed'
        assert 'Empty' in str(client.describe_groups([group]))
        client.delete_groups([group])
    client.close()


if old:
    report.run('check-version', case_check_version)
report.run('create-topic', case_create_topic)
for each in cases.CODECS:
    report.run('produce-' + each, case_codec, each, topic='%s-codec-%s' % (prefix, each), codec=each)
report.run('large-message', case_large)
report.run('too-large-message', case_too_large)
report.run('consume-from-offset', case_from_offset)
report.run('consume-from-timestamp', case_from_timestamp)
report.run('auto-create', case_auto_create)
report.run('idempotent', case_idempotent)
for each in (0, 1, 'all'):
    report.run('acks-%s' % each, case_acks, each)
report.run('admin-list-topics', case_list_topics)
report.run('admin-describe-topic', case_describe_topic)
report.run('admin-describe-cluster', case_describe_cluster)
report.run('admin-describe-configs', case_describe_configs)
report.run('admin-describe-broker-configs', case_describe_broker_configs)
report.run('admin-alter-configs', case_alter_configs)
report.run('admin-create-partitions', case_create_partitions)
report.run('admin-delete-records', case_delete_records)
report.run('admin-list-offsets', case_list_offsets)
report.run('admin-delete-topic', case_delete_topic)
if '--groups' in sys.argv:
    report.run('group-consume', case_group)
    report.run('group-admin', case_group_admin)
