# SPDX-License-Identifier: Apache-2.0
"""Raw cases of administration and of questions about partitions: topics, configurations, offsets by time, producers,
folders, the quorum."""

import gzip
import struct
import time

import batches
from connection import Raw, batch, now_ms

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING = -1, -2, -3, -4, -5, -6
TOPIC, BROKER, BROKER_LOGGER = 2, 4, 8


def timed_batch(times_ms, codec=0, **options):
    """One batch of records at these times, gzipped with codec 1."""
    payload = b''
    for i, at in enumerate(times_ms):
        record = b'\0' + batches.put_varint(at - times_ms[0]) + batches.put_varint(i)
        record += batches.put_varint(-1) + batches.put_varint(100) + b'v' * 100 + batches.put_varint(0)
        payload += batches.put_varint(len(record)) + record
    if codec == 1:
        payload = gzip.compress(payload, mtime=0)
    return batches.build([b''] * len(times_ms), payload=payload, attributes=codec, timestamp_ms=times_ms[0],
                         max_timestamp_ms=max(times_ms), **options)


class Admin:
    def __init__(self, bootstrap, prefix, weir):
        self.bootstrap, self.prefix, self.weir = bootstrap, prefix, weir

    def topic(self, c, name, partitions=1, configs=()):
        name = '%s-%s' % (self.prefix, name)
        code = c.create(name, partitions, configs)
        assert code == 0, code
        if not self.weir:
            time.sleep(1)
        return name

    # ------------------------------------------------------------------------------------------ offsets

    def offsets(self, c, topic, *asked, version=7, replica_id=-1, partition=0, epoch=-1):
        answer = c.call('ListOffsets', version, {'replica_id': replica_id, 'topics': [{'name': topic, 'partitions': [
            {'partition_index': partition, 'current_leader_epoch': epoch, 'timestamp': a, 'max_num_offsets': 10}
            for a in asked]}]})
        return [(p['error_code'], p['offset'], p['timestamp']) for p in answer['topics'][0]['partitions']]

    def by_time(self):
        with Raw(self.bootstrap) as c:
            base = now_ms() - 100000
            for codec in (0, 1):
                topic = self.topic(c, 'time-%d' % codec)
                times = [base + n * 10 for n in range(300)]
                for n in range(0, 300, 50):
                    assert c.produce(topic, timed_batch(times[n:n + 50], codec))['error_code'] == 0

                def first(at):
                    return self.offsets(c, topic, at)[0]
                for n in (0, 1, 49, 50, 51, 149, 150, 299):
                    assert first(times[n]) == (0, n, times[n]), (n, first(times[n]))
                    assert first(times[n] - 5) == (0, n, times[n]), (n, first(times[n] - 5))
                assert first(times[299] + 1) == (0, -1, -1), first(times[299] + 1)
                assert first(0) == (0, 0, times[0])
                assert first(MAX_TIMESTAMP) == (0, 299, times[299]), first(MAX_TIMESTAMP)
                answer = c.call('DeleteRecords', 2, {'timeout_ms': 5000, 'topics': [
                    {'name': topic, 'partitions': [{'partition_index': 0, 'offset': 75}]}]})
                assert answer['topics'][0]['partitions'][0]['low_watermark'] == 75
                assert first(times[60]) == (0, 75, times[75]), first(times[60])
                assert first(times[75]) == (0, 75, times[75])
                assert first(EARLIEST)[1] == 75 and first(LATEST)[1] == 300

    def by_time_out_of_order(self):
        """The first record of a later batch may be the answer when log start has passed the match."""
        with Raw(self.bootstrap) as c:
            topic = self.topic(c, 'time-back')
            base = now_ms() - 100000
            c.produce(topic, timed_batch([base + 900, base + 100, base + 200]))     # only the first is late
            c.produce(topic, timed_batch([base + 300, base + 950]))
            assert self.offsets(c, topic, base + 800)[0] == (0, 0, base + 900)
            assert self.offsets(c, topic, MAX_TIMESTAMP)[0] == (0, 4, base + 950)
            c.call('DeleteRecords', 2, {'timeout_ms': 5000, 'topics': [
                {'name': topic, 'partitions': [{'partition_index': 0, 'offset': 1}]}]})
            assert self.offsets(c, topic, base + 800)[0] == (0, 4, base + 950), self.offsets(c, topic, base + 800)
            assert self.offsets(c, topic, base + 960)[0] == (0, -1, -1)

    def log_append_time(self):
        with Raw(self.bootstrap) as c:
            topic = self.topic(c, 'append-time', configs=[('message.timestamp.type', 'LogAppendTime')])
            stamps = [c.produce(topic, timed_batch([1000, 2000, 3000]))['log_append_time_ms'] for _ in range(2)]
            assert all(abs(s - now_ms()) < 5000 for s in stamps), stamps
            assert self.offsets(c, topic, 5000)[0] == (0, 0, stamps[0])
            assert self.offsets(c, topic, stamps[1] + 1)[0] == (0, -1, -1)

    def special_timestamps(self):
        with Raw(self.bootstrap) as c:
            topic = self.topic(c, 'special')
            c.produce(topic, batch(b'a'))
            unsupported = (35, -1, -1)
            assert self.offsets(c, topic, MAX_TIMESTAMP, version=6)[0] == unsupported
            assert self.offsets(c, topic, EARLIEST_LOCAL, version=7)[0] == unsupported
            assert self.offsets(c, topic, EARLIEST_LOCAL, version=8)[0] == (0, 0, -1)
            assert self.offsets(c, topic, LATEST_TIERED, version=8)[0] == unsupported
            assert self.offsets(c, topic, LATEST_TIERED, version=9)[0] == (0, -1, -1)
            assert self.offsets(c, topic, EARLIEST_PENDING, version=10)[0] == unsupported
            assert self.offsets(c, topic, -77, version=10)[0] == unsupported
            assert [p[0] for p in self.offsets(c, topic, LATEST, EARLIEST)] == [42, 42]     # one partition twice
            assert self.offsets(c, topic, LATEST, partition=9)[0][0] == 3
            assert self.offsets(c, topic, LATEST, partition=-1)[0][0] == 3
            assert self.offsets(c, self.prefix + '-nowhere', LATEST)[0][0] == 3
            assert self.offsets(c, topic, LATEST, epoch=99)[0][0] == 75
            if self.weir:
                assert self.offsets(c, topic, LATEST, replica_id=1)[0][0] == 31

    def segment_starts(self):
        """Version 0: log end and the starts of segments, newest first."""
        with Raw(self.bootstrap) as c:
            topic = self.topic(c, 'segments', configs=[('segment.bytes', '1048576')])

            def starts(at, most=10):
                answer = c.call('ListOffsets', 0, {'replica_id': -1, 'topics': [{'name': topic, 'partitions': [
                    {'partition_index': 0, 'timestamp': at, 'max_num_offsets': most}]}]})
                part = answer['topics'][0]['partitions'][0]
                return part['error_code'], part['old_style_offsets']
            assert starts(LATEST) == (0, [0]), starts(LATEST)
            for _ in range(5):
                c.produce(topic, batch(b'x' * 600000))
            code, found = starts(LATEST)
            assert code == 0 and found[0] == 5 and found[-1] == 0 and found == sorted(found, reverse=True), found
            assert starts(LATEST, 1) == (0, [5]) and starts(LATEST, 0) == (0, [])
            assert starts(EARLIEST) == (0, [0])
            return found

    def epoch_ends(self):
        with Raw(self.bootstrap) as c:
            topic = self.topic(c, 'epochs')
            c.produce(topic, batch(b'a'))

            def end(asked, current=-1, replica=-1):
                answer = c.call('OffsetForLeaderEpoch', 4, {'replica_id': replica, 'topics': [{'topic': topic, 'partitions': [
                    {'partition': 0, 'current_leader_epoch': current, 'leader_epoch': asked}]}]})
                part = answer['topics'][0]['partitions'][0]
                return part['error_code'], part['leader_epoch'], part['end_offset']
            assert end(0) == (0, 0, 1), end(0)
            assert end(5) == (0, -1, -1), end(5)
            assert end(0, 9)[0] == 75
            if self.weir:
                assert end(0, -1, 3)[0] == 31

    # ------------------------------------------------------------------------------------------ metadata

    def metadata_by_id(self):
        with Raw(self.bootstrap) as c:
            topic = self.topic(c, 'ids', 2)
            answer = c.call('Metadata', 12, {'topics': [{'name': topic}]})['topics'][0]
            found = answer['topic_id']
            assert any(found)
            answer = c.call('Metadata', 12, {'topics': [{'topic_id': found, 'name': None}, {'topic_id': b'\7' * 16, 'name': None}]})
            by_id = {t['topic_id']: t for t in answer['topics']}
            assert by_id[found]['name'] == topic.encode() and len(by_id[found]['partitions']) == 2
            assert by_id[b'\7' * 16]['error_code'] == 100 and by_id[b'\7' * 16]['name'] is None
            answer = c.call('Metadata', 11, {'topics': [{'topic_id': found, 'name': topic}]})
            assert [t['error_code'] for t in answer['topics']] == [42]
            answer = c.call('Metadata', 9, {'topics': [{'name': topic}] * 3})
            assert len(answer['topics']) == 1

    def pages(self):
        """DescribeTopicPartitions in pages, over the ends of topics."""
        with Raw(self.bootstrap) as c:
            names = [self.topic(c, 'page-%d' % n, 5) for n in range(3)]
            cursor, seen, rounds = None, [], 0
            while rounds < 20:
                rounds += 1
                answer = c.call('DescribeTopicPartitions', 0, {'topics': [{'name': n} for n in names],
                                                               'response_partition_limit': 4, 'cursor': cursor})
                seen += [(t['name'].decode(), p['partition_index']) for t in answer['topics'] for p in t['partitions']]
                assert sum(len(t['partitions']) for t in answer['topics']) <= 4
                cursor = answer['next_cursor']
                if cursor is None:
                    break
            assert seen == [(n, p) for n in names for p in range(5)], seen
            answer = c.call('DescribeTopicPartitions', 0, {'topics': [{'name': self.prefix + '-none'}]})
            assert answer['topics'][0]['error_code'] == 3
        return '%d pages' % rounds

    # ------------------------------------------------------------------------------------------ topics

    def topic_life(self):
        with Raw(self.bootstrap) as c:
            topic = self.topic(c, 'life')
            first = c.call('Metadata', 12, {'topics': [{'name': topic}]})['topics'][0]['topic_id']
            c.produce(topic, batch(b'old'))

            def grow(count, validate_only=False, assignments=None):
                answer = c.call('CreatePartitions', 3, {'timeout_ms': 5000, 'validate_only': validate_only, 'topics': [
                    {'name': topic, 'count': count, 'assignments': assignments}]})
                return answer['results'][0]['error_code']
            assert grow(4, True) == 0
            assert len(c.call('Metadata', 9, {'topics': [{'name': topic}]})['topics'][0]['partitions']) == 1
            assert grow(4) == 0 and grow(3) == 37 and grow(4) == 37
            assert len(c.call('Metadata', 9, {'topics': [{'name': topic}]})['topics'][0]['partitions']) == 4
            assert c.produce(topic, batch(b'new'), partition=3)['error_code'] == 0
            answer = c.call('DeleteTopics', 6, {'timeout_ms': 5000, 'topics': [{'name': None, 'topic_id': first}]})
            assert answer['responses'][0]['error_code'] == 0 and answer['responses'][0]['name'] == topic.encode()
            answer = c.call('DeleteTopics', 6, {'timeout_ms': 5000, 'topics': [{'name': None, 'topic_id': first}]})
            assert answer['responses'][0]['error_code'] == 100
            assert c.produce(topic, batch(b'gone'), partition=3)['error_code'] in (3, 6)
            assert c.create(topic) == 0
            second = c.call('Metadata', 12, {'topics': [{'name': topic}]})['topics'][0]['topic_id']
            assert first != second and c.end(topic) == 0

    def create_answer(self):
        """Version 7 tells id, partitions, replication factor and configurations (KIP-525); defaults by -1 (KIP-464)."""
        with Raw(self.bootstrap) as c:
            answer = c.call('CreateTopics', 7, {'timeout_ms': 5000, 'topics': [{
                'name': self.prefix + '-full', 'num_partitions': -1, 'replication_factor': -1,
                'configs': [{'name': 'retention.ms', 'value': '123456'}]}]})['topics'][0]
            assert answer['error_code'] == 0 and any(answer['topic_id']), answer
            assert answer['num_partitions'] >= 1 and answer['replication_factor'] == 1
            configs = {x['name']: x for x in answer['configs']}
            assert configs[b'retention.ms']['value'] == b'123456' and configs[b'retention.ms']['config_source'] == 1
            assert configs[b'segment.bytes']['config_source'] == 5 and len(configs) > 20
            answer = c.call('CreateTopics', 7, {'timeout_ms': 5000, 'validate_only': True, 'topics': [{
                'name': self.prefix + '-dry', 'num_partitions': 3, 'replication_factor': 1}]})['topics'][0]
            assert answer['error_code'] == 0
            answer = c.call('Metadata', 9, {'topics': [{'name': self.prefix + '-dry'}], 'allow_auto_topic_creation': False})
            assert answer['topics'][0]['error_code'] == 3
        return '%d configurations' % len(configs)

    # ------------------------------------------------------------------------------------------ configurations

    def describe(self, c, kind, name, keys=None, version=4, **options):
        answer = c.call('DescribeConfigs', version, dict({'resources': [
            {'resource_type': kind, 'resource_name': name, 'configuration_keys': keys}]}, **options))['results'][0]
        return answer['error_code'], {x['name'].decode(): x for x in answer['configs']}

    def change(self, c, kind, name, *changes, validate_only=False):
        answer = c.call('IncrementalAlterConfigs', 1, {'validate_only': validate_only, 'resources': [
            {'resource_type': kind, 'resource_name': name, 'configs': [
                {'name': k, 'config_operation': op, 'value': v} for k, op, v in changes]}]})['responses'][0]
        return answer['error_code']

    def topic_configs(self):
        with Raw(self.bootstrap) as c:
            topic = self.topic(c, 'configs', configs=[('cleanup.policy', 'compact')])
            code, found = self.describe(c, TOPIC, topic, include_synonyms=True, include_documentation=True)
            assert code == 0 and found['cleanup.policy']['value'] == b'compact'
            assert found['cleanup.policy']['config_source'] == 1 and found['cleanup.policy']['config_type'] == 7
            assert found['retention.ms']['config_source'] == 5 and found['retention.ms']['documentation']
            assert [s['source'] for s in found['cleanup.policy']['synonyms']] == [1, 5], found['cleanup.policy']['synonyms']
            assert found['cleanup.policy']['synonyms'][1]['name'] == b'log.cleanup.policy'
            value = lambda key: self.describe(c, TOPIC, topic, [key])[1][key]['value']
            assert self.change(c, TOPIC, topic, ('cleanup.policy', 2, 'delete')) == 0
            assert value('cleanup.policy') == b'compact,delete'
            assert self.change(c, TOPIC, topic, ('cleanup.policy', 3, 'compact')) == 0
            assert value('cleanup.policy') == b'delete'
            assert self.change(c, TOPIC, topic, ('retention.ms', 0, '5000'), validate_only=True) == 0
            assert value('retention.ms') == b'604800000'
            assert self.change(c, TOPIC, topic, ('retention.ms', 0, '5000')) == 0 and value('retention.ms') == b'5000'
            assert self.change(c, TOPIC, topic, ('retention.ms', 1, None)) == 0 and value('retention.ms') == b'604800000'
            assert self.change(c, TOPIC, topic, ('retention.ms', 0, 'soon')) == 40
            assert self.change(c, TOPIC, topic, ('retention.mss', 0, '1')) == 40
            assert self.change(c, TOPIC, topic, ('retention.ms', 2, '1')) == 40     # not a list
            assert self.change(c, TOPIC, self.prefix + '-none', ('retention.ms', 0, '1')) == 3
            assert self.describe(c, TOPIC, self.prefix + '-none')[0] == 3
            assert self.describe(c, TOPIC, 'no good')[0] == 17
            answer = c.call('AlterConfigs', 2, {'resources': [{'resource_type': TOPIC, 'resource_name': topic, 'configs': [
                {'name': 'segment.ms', 'value': '70000'}]}]})
            assert answer['responses'][0]['error_code'] == 0
            assert value('segment.ms') == b'70000' and value('cleanup.policy') == b'delete'

    def broker_configs(self):
        with Raw(self.bootstrap) as c:
            me = str(c.call('Metadata', 1, {'topics': []})['brokers'][0]['node_id'])
            code, found = self.describe(c, BROKER, me, include_synonyms=True)
            assert code == 0 and len(found) > 100, (code, len(found))
            assert found['log.retention.hours']['read_only'] and not found['log.retention.ms']['read_only']
            secret = [x for x in found.values() if x['is_sensitive']]
            assert secret and all(x['value'] is None for x in secret)
            assert self.describe(c, BROKER, str(int(me) + 5))[0] == 42
            assert self.describe(c, BROKER, 'me')[0] == 42
            assert self.describe(c, 99, 'x')[0] == 42
            if self.weir:
                assert self.describe(c, BROKER_LOGGER, me)[0] == 42
            topic = self.topic(c, 'inherits')
            assert self.change(c, BROKER, '', ('log.retention.ms', 0, '86400000')) == 0
            code, found = self.describe(c, BROKER, '')
            assert code == 0 and list(found) == ['log.retention.ms'] and found['log.retention.ms']['config_source'] == 3
            found = self.describe(c, TOPIC, topic, ['retention.ms'], include_synonyms=True)[1]['retention.ms']
            assert (found['value'], found['config_source']) == (b'86400000', 3), found
            assert self.change(c, BROKER, me, ('log.retention.ms', 0, '43200000')) == 0
            found = self.describe(c, TOPIC, topic, ['retention.ms'], include_synonyms=True)[1]['retention.ms']
            assert (found['value'], found['config_source']) == (b'43200000', 2), found
            assert [s['source'] for s in found['synonyms']] == [2, 3, 5], found['synonyms']
            assert self.change(c, BROKER, me, ('log.retention.ms', 1, None)) == 0
            assert self.change(c, BROKER, '', ('log.retention.ms', 1, None)) == 0
            assert self.change(c, BROKER, me, ('node.id', 0, '7')) == 42

    # ------------------------------------------------------------------------------------------ producers, folders

    def producer_ids(self):
        with Raw(self.bootstrap) as a, Raw(self.bootstrap) as b:
            def take(c, version=4, **body):
                answer = c.call('InitProducerId', version, dict({'transactional_id': None}, **body))
                return answer['error_code'], answer['producer_id'], answer['producer_epoch']
            ids = [take(c) for _ in range(1500) for c in (a, b)]
            assert all(i[0] == 0 and i[2] == 0 for i in ids) and len({i[1] for i in ids}) == 3000
            assert take(a, producer_id=5) == (42, -1, -1), take(a, producer_id=5)
            assert take(a, transactional_id='') == (42, -1, -1)
            if self.weir:
                assert take(a, transactional_id='t')[0] in (0, 15)

    def producers(self):
        with Raw(self.bootstrap) as c:
            topic = self.topic(c, 'producers', 2)
            pid = c.call('InitProducerId', 4, {'transactional_id': None})['producer_id']
            for n in range(3):
                assert c.produce(topic, batch(b'%d' % n, producer_id=pid, producer_epoch=0, base_sequence=n))['error_code'] == 0
            answer = c.call('DescribeProducers', 0, {'topics': [{'name': topic, 'partition_indexes': [0, 1, 2]}]})
            parts = answer['topics'][0]['partitions']
            assert [p['error_code'] for p in parts] == [0, 0, 3]
            assert [(p['producer_id'], p['producer_epoch'], p['last_sequence'], p['current_txn_start_offset'])
                    for p in parts[0]['active_producers']] == [(pid, 0, 2, -1)], parts[0]
            assert parts[1]['active_producers'] == []

    def log_dirs(self):
        with Raw(self.bootstrap) as c:
            topic = self.topic(c, 'dirs', 3)
            sent = batch(b'x' * 5000)
            c.produce(topic, sent, partition=1)
            answer = c.call('DescribeLogDirs', 4, {'topics': [{'topic': topic, 'partitions': [0, 1, 2, 5]}]})
            assert all(r['error_code'] == 0 and r['total_bytes'] > r['usable_bytes'] > 0 for r in answer['results'])
            sizes = {p['partition_index']: p['partition_size'] for r in answer['results'] for t in r['topics']
                     for p in t['partitions']}
            assert sizes == {0: 0, 1: len(sent), 2: 0}, sizes
            answer = c.call('DescribeLogDirs', 4, {'topics': None})
            assert topic.encode() in [t['name'] for r in answer['results'] for t in r['topics']]

    def quorum(self):
        with Raw(self.bootstrap) as c:
            def ask(topic):
                return c.call('DescribeQuorum', 2, {'topics': [{'topic_name': topic, 'partitions': [
                    {'partition_index': 0}]}]})
            answer = ask('__cluster_metadata')
            part = answer['topics'][0]['partitions'][0]
            assert answer['error_code'] == 0 and part['error_code'] == 0
            assert part['leader_id'] in [v['replica_id'] for v in part['current_voters']]
            assert part['high_watermark'] > 1 and part['current_voters'][0]['log_end_offset'] >= part['high_watermark']
            assert any(part['current_voters'][0]['replica_directory_id'])
            if self.weir:
                assert ask('other')['topics'][0]['partitions'][0]['error_code'] == 3
                assert answer['nodes'][0]['listeners']

    def many(self):
        """Questions about thousands of partitions in one request."""
        with Raw(self.bootstrap) as c:
            begin = time.monotonic()
            topic = self.topic(c, 'wide', 5000)
            made = time.monotonic()
            for p in (0, 4999):
                assert c.produce(topic, batch(b'x'), partition=p)['error_code'] == 0
            took = []
            for name, version, body in (
                    ('Metadata', 12, {'topics': None}),
                    ('ListOffsets', 7, {'replica_id': -1, 'topics': [{'name': topic, 'partitions': [
                        {'partition_index': p, 'current_leader_epoch': -1, 'timestamp': -1} for p in range(5000)]}]}),
                    ('ListOffsets', 7, {'replica_id': -1, 'topics': [{'name': topic, 'partitions': [
                        {'partition_index': p, 'current_leader_epoch': -1, 'timestamp': 5} for p in range(5000)]}]}),
                    ('DescribeLogDirs', 4, {'topics': None}),
                    ('DescribeTopicPartitions', 0, {'topics': [{'name': topic}]})):
                start = time.monotonic()
                c.send(name, version, body)
                c.read_frame()
                took.append('%s %.0f ms' % (name, (time.monotonic() - start) * 1000))
            answer = c.call('ListOffsets', 7, {'replica_id': -1, 'topics': [{'name': topic, 'partitions': [
                {'partition_index': p, 'current_leader_epoch': -1, 'timestamp': -1} for p in range(5000)]}]})
            ends = [p['offset'] for p in answer['topics'][0]['partitions']]
            assert ends == [1] + [0] * 4998 + [1]
            answer = c.call('DeleteTopics', 1, {'topic_names': [topic], 'timeout_ms': 10000})
            assert answer['responses'][0]['error_code'] == 0
        return 'created in %.0f ms; %s' % ((made - begin) * 1000, ', '.join(took))


def run(report, bootstrap, prefix, weir):
    a = Admin(bootstrap, prefix, weir)
    for name in ('by_time', 'by_time_out_of_order', 'log_append_time', 'special_timestamps', 'segment_starts', 'epoch_ends',
                 'metadata_by_id', 'pages', 'topic_life', 'create_answer', 'topic_configs', 'broker_configs', 'producer_ids',
                 'producers', 'log_dirs', 'quorum', 'many'):
        report.run('admin-' + name.replace('_', '-'), getattr(a, name))
