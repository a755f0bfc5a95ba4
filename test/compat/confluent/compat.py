#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The compatibility cases with confluent-kafka, that is the newest librdkafka.

    compat.py HOST:PORT PREFIX NAME [--groups] [--transactions]"""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import cases                                                                        # noqa: E402

from confluent_kafka import (OFFSET_BEGINNING, Consumer, ConsumerGroupTopicPartitions, KafkaException,   # noqa: E402
                             Producer, TIMESTAMP_CREATE_TIME, TopicPartition)
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource,    # noqa: E402
                                   NewPartitions, NewTopic, OffsetSpec)

bootstrap, prefix, name = sys.argv[1:4]
report = cases.Report(name)
base_ms = cases.base_timestamp_ms()
data = cases.records(base_ms)
admin = AdminClient({'bootstrap.servers': bootstrap})


def wait(futures):
    """The results of an admin call, in order; raises the first error."""
    return [future.result(20) for future in futures.values()]


def create(topic, partitions=cases.PARTITIONS, config=None):
    """Creates a topic and returns its name."""
    wait(admin.create_topics([NewTopic(topic, partitions, 1, config=config or {})]))
    return topic


def produce(topic, records, **options):
    """Writes the records and waits for each acknowledgement; returns the offsets."""
    config = {'bootstrap.servers': bootstrap, 'linger.ms': 20, 'partitioner': 'consistent'}
    config.update((key.replace('_', '.'), value) for key, value in options.items())
    producer = Producer(config)
    offsets, errors = [], []

    def delivered(error, message):
        errors.append(error) if error else offsets.append(message.offset())
    for r in records:
        producer.produce(topic, value=r.value, key=r.key, headers=r.headers, partition=r.partition,
                         timestamp=r.timestamp_ms, on_delivery=delivered)
    left = producer.flush(30)
    if errors:
        raise KafkaException(errors[0])
    assert left == 0, '%d records without an answer' % left
    return offsets


def as_record(message):
    kind, timestamp_ms = message.timestamp()
    assert kind == TIMESTAMP_CREATE_TIME, 'timestamp type %d' % kind
    return cases.Record(message.partition(), message.key(), message.value(), message.headers() or [], timestamp_ms)


def consume(topic, count, assign=None, partitions=range(cases.PARTITIONS), **options):
    """Reads count records of assigned partitions, from the beginning or as `assign` says."""
    config = {'bootstrap.servers': bootstrap, 'group.id': 'unused', 'enable.auto.commit': False,
              'fetch.message.max.bytes': 2 << 20}
    config.update((key.replace('_', '.'), value) for key, value in options.items())
    consumer = Consumer(config)
    start = [TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions]
    consumer.assign(assign(consumer, start) if assign else start)
    got, end = [], time.monotonic() + 15
    while len(got) < count and time.monotonic() < end:
        for message in consumer.consume(count - len(got), 0.5):
            if message.error():
                raise KafkaException(message.error())
            got.append(as_record(message))
    consumer.close()
    return got


def case_create_topic():
    create(prefix + '-main', config={'retention.ms': '86400000'})
    topic = admin.list_topics(prefix + '-main', 10).topics[prefix + '-main']
    assert sorted(topic.partitions) == [0, 1, 2], topic.partitions


def case_codec(codec):
    topic = create('%s-codec-%s' % (prefix, codec))
    produce(topic, data, compression_type=codec)
    return cases.compare(data, consume(topic, len(data)))


def case_large():
    topic = create(prefix + '-large', 1)
    record = cases.Record(0, b'large', cases.large_value(), [], base_ms)
    produce(topic, [record], message_max_bytes=2 << 20)
    cases.compare([record], consume(topic, 1, partitions=[0]))
    return '%d bytes' % len(record.value)


def case_too_large():
    topic = create(prefix + '-too-large', 1)
    record = cases.Record(0, None, cases.large_value(cases.TOO_LARGE_VALUE_BYTES), [], base_ms)
    try:
        produce(topic, [record], message_max_bytes=4 << 20)
    except KafkaException as error:
        assert error.args[0].code() == 10, error
        return error.args[0].name()
    raise AssertionError('accepted')


def case_null_key_and_value():
    topic = create(prefix + '-null', 1)
    record = cases.Record(0, None, None, [], base_ms)
    produce(topic, [record])
    return cases.compare([record], consume(topic, 1, partitions=[0]))


def case_from_offset():
    got = consume(prefix + '-codec-none', 13,
                  lambda c, start: [TopicPartition(prefix + '-codec-none', 1, cases.FROM_OFFSET)])
    cases.compare([r for r in data if r.partition == 1][cases.FROM_OFFSET:], got)
    return 'from %d' % cases.FROM_OFFSET


def case_from_timestamp():
    def assign(consumer, start):
        return consumer.offsets_for_times(
            [TopicPartition(tp.topic, tp.partition, base_ms + cases.FROM_RECORD * 1000) for tp in start], 10)
    want = data[cases.FROM_RECORD:]
    return cases.compare(want, consume(prefix + '-codec-none', len(want), assign))


def case_auto_create():
    record = cases.Record(0, b'k', b'auto', [], base_ms)
    produce(prefix + '-auto', [record])
    return cases.compare([record], consume(prefix + '-auto', 1, partitions=[0]))


def case_idempotent():
    topic = create(prefix + '-idempotent')
    produce(topic, data, enable_idempotence=True)
    return cases.compare(data, consume(topic, len(data)))


def case_acks(acks):
    topic = create('%s-acks-%s' % (prefix, acks))
    produce(topic, data, acks=acks)
    return cases.compare(data, consume(topic, len(data)))


def case_read_committed():
    got = consume(prefix + '-codec-none', len(data), isolation_level='read_committed')
    return cases.compare(data, got)


def case_list_topics():
    assert prefix + '-main' in admin.list_topics(timeout=10).topics


def case_describe_topic():
    from confluent_kafka import TopicCollection
    topic, = wait(admin.describe_topics(TopicCollection([prefix + '-main'])))
    assert len(topic.partitions) == 3 and topic.partitions[0].leader is not None, topic
    return 'topic id %s' % topic.topic_id


def case_describe_cluster():
    cluster = admin.describe_cluster().result(20)
    assert len(cluster.nodes) in (1, 3) and cluster.controller is not None
    return 'cluster id %s' % cluster.cluster_id


def config_value(key, kind=ConfigResource.Type.TOPIC, of=None):
    found, = wait(admin.describe_configs([ConfigResource(kind, of or prefix + '-main')]))
    return found[key].value


def case_describe_configs():
    assert config_value('retention.ms') == '86400000'
    node = admin.describe_cluster().result(20).nodes[0].id
    return 'broker message.max.bytes=%s' % config_value('message.max.bytes', ConfigResource.Type.BROKER, str(node))


def case_alter_configs():
    wait(admin.alter_configs([ConfigResource(ConfigResource.Type.TOPIC, prefix + '-main',
                                             set_config={'retention.ms': '7200000'})]))
    assert cases.retry(lambda: config_value('retention.ms') == '7200000')


def case_incremental_alter_configs():
    wait(admin.incremental_alter_configs([ConfigResource(
        ConfigResource.Type.TOPIC, prefix + '-main', incremental_configs=[
            ConfigEntry('segment.bytes', '10485760', incremental_operation=AlterConfigOpType.SET),
            ConfigEntry('cleanup.policy', 'compact', incremental_operation=AlterConfigOpType.APPEND)])]))
    assert cases.retry(lambda: config_value('segment.bytes') == '10485760')
    assert config_value('retention.ms') == '7200000', 'the other key was lost'
    policy = config_value('cleanup.policy')
    assert sorted(policy.split(',')) == ['compact', 'delete'], policy
    return 'cleanup.policy=' + policy


def case_create_partitions():
    wait(admin.create_partitions([NewPartitions(prefix + '-main', 5)]))
    assert cases.retry(lambda: len(admin.list_topics(prefix + '-main', 10).topics[prefix + '-main'].partitions) == 5)


def list_offset(topic, partition, spec):
    found, = wait(admin.list_offsets({TopicPartition(topic, partition): spec}))
    return found.offset


def case_delete_records():
    deleted, = wait(admin.delete_records([TopicPartition(prefix + '-acks-all', 0, 5)]))
    assert deleted.low_watermark == 5, deleted.low_watermark
    assert list_offset(prefix + '-acks-all', 0, OffsetSpec.earliest()) == 5
    return 'low watermark 5'


def case_list_offsets():
    topic = prefix + '-codec-none'
    assert list_offset(topic, 0, OffsetSpec.earliest()) == 0
    assert list_offset(topic, 0, OffsetSpec.latest()) == 20
    assert list_offset(topic, 0, OffsetSpec.max_timestamp()) == 19
    assert list_offset(topic, 0, OffsetSpec.for_timestamp(base_ms + 3000)) == 1
    return 'earliest, latest, max timestamp, timestamp'


def case_delete_topic():
    topic = create(prefix + '-delete')
    wait(admin.delete_topics([topic]))
    assert cases.retry(lambda: topic not in admin.list_topics(timeout=10).topics), 'still listed'


def group_read(group, got, count, **options):
    config = {'bootstrap.servers': bootstrap, 'group.id': group, 'auto.offset.reset': 'earliest',
              'enable.auto.commit': False}
    config.update((key.replace('_', '.'), value) for key, value in options.items())
    consumer = Consumer(config)
    consumer.subscribe([prefix + '-codec-none'])
    end = time.monotonic() + 30
    while len(got) < count and time.monotonic() < end:
        message = consumer.poll(0.5)
        if message is not None:
            if message.error():
                raise KafkaException(message.error())
            got.append(as_record(message))
            consumer.commit(message, asynchronous=False)
    consumer.close()


def case_group(protocol):
    group, got = '%s-group-%s' % (prefix, protocol), []
    for count in (30, 60):          # the second member goes on where the first one committed
        group_read(group, got, count, group_protocol=protocol)
    return cases.compare(data, got)


class Member(threading.Thread):
    def __init__(self, group, topics, **options):
        super().__init__(daemon=True)
        self.end, self.parts, self.got, self.topics = False, set(), [], topics
        config = {'bootstrap.servers': bootstrap, 'group.id': group, 'auto.offset.reset': 'earliest'}
        config.update((key.replace('_', '.'), value) for key, value in options.items())
        self.consumer = Consumer(config)
        self.start()

    def run(self):
        self.consumer.subscribe(self.topics, on_assign=lambda _, new: self.parts.update(p.partition for p in new),
                                on_revoke=lambda _, old: self.parts.difference_update(p.partition for p in old))
        while not self.end:
            message = self.consumer.poll(0.1)
            if message is not None and not message.error():
                self.got.append(message.value())
        self.consumer.close()

    def close(self):
        self.end = True
        self.join()


def case_group_migration():
    """One group from the new protocol, one member by regular expression, to the classic one and back: nothing twice."""
    topic, group = create(prefix + '-migration', 6), prefix + '-migration'
    producer, sent, members = Producer({'bootstrap.servers': bootstrap}), [], []

    def settled(*sizes):
        return lambda: [len(m.parts) for m in members if not m.end] == list(sizes)

    def exchange():
        for i in range(60):
            sent.append(b'%d' % len(sent))
            producer.produce(topic, sent[-1], partition=i % 6)
        producer.flush(30)
        assert cases.retry(lambda: sum(len(m.got) for m in members) >= len(sent), 30), 'records are missing'

    members += [Member(group, [topic], group_protocol='consumer'),
                Member(group, ['^' + prefix + '-migr.*'], group_protocol='consumer')]
    assert cases.retry(settled(3, 3), 60), 'two of the new protocol: %s' % [m.parts for m in members]
    exchange()
    members.append(Member(group, [topic], partition_assignment_strategy='cooperative-sticky'))
    assert cases.retry(settled(2, 2, 2), 60), 'with a classic one: %s' % [m.parts for m in members]
    exchange()
    members[0].close()
    members[1].close()
    assert cases.retry(settled(6), 60), 'back to the classic protocol: %s' % [m.parts for m in members]
    exchange()
    members.append(Member(group, [topic], group_protocol='consumer'))
    assert cases.retry(settled(3, 3), 60), 'to the new one again: %s' % [m.parts for m in members]
    exchange()
    for member in members[2:]:
        member.close()
    got = sorted(int(value) for m in members for value in m.got)
    assert got == list(range(len(sent))), '%d records of %d' % (len(got), len(sent))
    return '%d records, each once' % len(got)


def case_group_admin():
    group = prefix + '-group-classic'
    listed = admin.list_consumer_groups().result(20)
    assert group in [g.group_id for g in listed.valid]
    described, = wait(admin.describe_consumer_groups([group]))
    offsets, = wait(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))
    assert sum(tp.offset for tp in offsets.topic_partitions) == 60, offsets
    wait(admin.delete_consumer_groups([group]))
    return str(described.state)


def case_transaction():
    topic = create(prefix + '-transaction', 1)
    producer = Producer({'bootstrap.servers': bootstrap, 'transactional.id': prefix})
    producer.init_transactions(30)
    for value, end in ((b'aborted', producer.abort_transaction), (b'committed', producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value=value)
        producer.flush(30)
        end(30)
    got = consume(topic, 1, partitions=[0], isolation_level='read_committed')
    assert [r.value for r in got] == [b'committed'], got


report.run('create-topic', case_create_topic)
for each in cases.CODECS:
    report.run('produce-' + each, case_codec, each, topic='%s-codec-%s' % (prefix, each), codec=each)
report.run('large-message', case_large)
report.run('too-large-message', case_too_large)
report.run('null-key-and-value', case_null_key_and_value)
report.run('consume-from-offset', case_from_offset)
report.run('consume-from-timestamp', case_from_timestamp)
report.run('consume-read-committed', case_read_committed)
report.run('auto-create', case_auto_create)
report.run('idempotent', case_idempotent)
for each in (0, 1, 'all'):
    report.run('acks-%s' % each, case_acks, each)
report.run('admin-list-topics', case_list_topics)
report.run('admin-describe-topic', case_describe_topic)
report.run('admin-describe-cluster', case_describe_cluster)
report.run('admin-describe-configs', case_describe_configs)
report.run('admin-alter-configs', case_alter_configs)
report.run('admin-incremental-alter-configs', case_incremental_alter_configs)
report.run('admin-create-partitions', case_create_partitions)
report.run('admin-delete-records', case_delete_records)
report.run('admin-list-offsets', case_list_offsets)
report.run('admin-delete-topic', case_delete_topic)
if '--groups' in sys.argv:
    report.run('group-consume', case_group, 'classic')
    report.run('group-consume-848', case_group, 'consumer')
    report.run('group-migration', case_group_migration)
    report.run('group-admin', case_group_admin)
if '--transactions' in sys.argv:
    report.run('transaction', case_transaction)
