# SPDX-License-Identifier: Apache-2.0
"""Raw cases of Fetch, ListOffsets, Metadata and topics."""

import os
import time

import batches
from connection import Raw, batch, fetch_body, now_ms


class Reading:
    def __init__(self, bootstrap, prefix, weir):
        self.bootstrap, self.prefix, self.weir = bootstrap, prefix, weir
        self.topic, self.empty = prefix + '-read', prefix + '-empty'
        with Raw(bootstrap) as c:
            assert c.create(self.topic) == 0 and c.create(self.empty) == 0
            for i in range(20):
                assert c.produce(self.topic, batch(b'%010d' % i * 1024))['error_code'] == 0

    def long_poll_empty(self):
        """DP21: an empty topic answers at max wait, with no records and no error."""
        with Raw(self.bootstrap) as c:
            took = []
            for _ in range(3):
                begin = time.monotonic()
                part = c.fetch(self.empty, 0, max_wait_ms=300)
                took.append(time.monotonic() - begin)
                assert part['error_code'] == 0 and not part['records'], part
        assert all(0.28 <= t <= 0.4 for t in took), took
        return ', '.join('%.0f ms' % (t * 1000) for t in took)

    def long_poll_trickle(self):
        """DP20: with min bytes not reached the answer comes at max wait, with what there is."""
        with Raw(self.bootstrap) as c, Raw(self.bootstrap) as writer:
            start = writer.end(self.empty)
            begin = time.monotonic()
            c.send('Fetch', 11, fetch_body(self.empty, start, max_wait_ms=1000, min_bytes=1000000))
            for _ in range(3):
                time.sleep(0.1)
                writer.produce(self.empty, batch(b'little'))
            part = c.read('Fetch', 11)[1]['responses'][0]['partitions'][0]
            took = time.monotonic() - begin
        found = batches.parse(part['records'])
        assert 0.95 <= took <= 1.2 and len(found) == 3, 'after %.3f s, %d batches' % (took, len(found))
        return '%.0f ms' % (took * 1000)

    def long_poll_burst(self):
        """A waiting fetch is answered at once when enough arrives."""
        with Raw(self.bootstrap) as c, Raw(self.bootstrap) as writer:
            start = writer.end(self.empty)
            c.send('Fetch', 11, fetch_body(self.empty, start, max_wait_ms=5000, min_bytes=50000))
            time.sleep(0.2)
            begin = time.monotonic()
            writer.produce(self.empty, batch(b'x' * 60000))
            part = c.read('Fetch', 11)[1]['responses'][0]['partitions'][0]
            took = time.monotonic() - begin
        assert took < 0.5 and len(part['records']) > 60000, '%.3f s, %d bytes' % (took, len(part['records']))
        return '%.1f ms' % (took * 1000)

    def oversized_first(self):
        """DP22: the first batch comes whole even when it is larger than the limit, and nothing behind it."""
        with Raw(self.bootstrap) as c:
            for version in (4, 11):
                part = c.fetch(self.topic, 3, version, partition_max_bytes=100)
                found = batches.parse(part['records'])
                assert len(found) == 1 and found[0].base_offset == 3, '%d batches' % len(found)
            part = c.fetch(self.topic, 3, max_bytes=100)
            assert [b.base_offset for b in batches.parse(part['records'])] == [3]

    def limits(self):
        """No more than the limits allow once there is a first batch."""
        with Raw(self.bootstrap) as c:
            part = c.fetch(self.topic, 0, partition_max_bytes=35000)
            assert len(part['records']) <= 35000 and len(batches.parse(part['records'], whole=False)) == 3, len(part['records'])

    def middle_of_batch(self):
        """A fetch from inside a batch returns the batch that holds the offset."""
        with Raw(self.bootstrap) as c:
            base = c.produce(self.topic, batch(*[b'%d' % i for i in range(10)]))['base_offset']
            found = batches.parse(c.fetch(self.topic, base + 7)['records'])
            assert found[0].base_offset == base and found[0].last_offset == base + 9

    def bytes_as_sent(self):
        """DP26: what is fetched is what was sent, but for base offset and leader epoch."""
        with Raw(self.bootstrap) as c:
            sent = batch(b'verbatim', b'', None)
            base = c.produce(self.topic, sent)['base_offset']
            got = batches.parse(c.fetch(self.topic, base)['records'])[0]
        assert got.data[16:] == sent[16:] and got.base_offset == base and got.crc_ok()
        return 'leader epoch %d' % got.leader_epoch

    def out_of_range(self):
        """DP23, and a partition that does not exist."""
        with Raw(self.bootstrap) as c:
            end = c.end(self.topic)
            for offset in (end + 1, 999999, -1):
                part = c.fetch(self.topic, offset)
                assert part['error_code'] == 1, 'offset %d: error %d' % (offset, part['error_code'])
            assert c.fetch(self.topic, end, max_wait_ms=10)['error_code'] == 0
            assert c.fetch(self.topic, 0, partition=5)['error_code'] == 3
            assert c.fetch(self.prefix + '-none-such', 0)['error_code'] == 3

    def every_version(self):
        """Fetch 4 to 17 give the same bytes; topic ids from 13."""
        with Raw(self.bootstrap) as c:
            topic_id = c.call('Metadata', 10, {'topics': [{'name': self.topic, 'topic_id': bytes(16)}]})['topics'][0]['topic_id']
            assert topic_id not in (bytes(16), bytes(15) + b'\1'), topic_id
            last = min(17, c.api_versions()[1][1])
            want = c.fetch(self.topic, 0, 4)['records']
            for version in range(4, last + 1):
                body = fetch_body(self.topic, 0)
                body['topics'][0]['topic_id'] = topic_id
                answer = c.call('Fetch', version, body)
                part = answer['responses'][0]['partitions'][0]
                assert part['error_code'] == 0 and part['records'] == want, 'version %d: error %d' % (version, part['error_code'])
            body = fetch_body(self.topic, 0)
            body['topics'][0]['topic_id'] = os.urandom(16)
            code = c.call('Fetch', last, body)['responses'][0]['partitions'][0]['error_code']
            assert code == 100, 'an unknown topic id: error %d' % code
        return 'versions 4 to %d' % last

    def aborted_list(self):
        """Who reads committed records gets a list, empty here; who does not gets null."""
        with Raw(self.bootstrap) as c:
            for level, want in ((0, None), (1, [])):
                body = dict(fetch_body(self.topic, 0), isolation_level=level)
                part = c.call('Fetch', 11, body)['responses'][0]['partitions'][0]
                assert part['records'] and part['aborted_transactions'] == want, (level, part['aborted_transactions'])

    def sessions(self):
        """KIP-227: a session leaves unchanged partitions out, and reports what changes."""
        with Raw(self.bootstrap) as c, Raw(self.bootstrap) as writer:
            end = writer.end(self.empty)
            body = fetch_body(self.empty, end, max_wait_ms=10)
            body['session_epoch'] = 0
            answer = c.call('Fetch', 11, body)
            session = answer['session_id']
            assert session != 0 and answer['error_code'] == 0, answer
            more = {'max_wait_ms': 100, 'min_bytes': 1, 'max_bytes': 1 << 20, 'session_id': session, 'session_epoch': 1, 'topics': []}
            answer = c.call('Fetch', 11, more)
            assert answer['session_id'] == session and answer['responses'] == [], answer
            writer.produce(self.empty, batch(b'news'))
            more['session_epoch'] = 2
            answer = c.call('Fetch', 11, more)
            assert len(answer['responses']) == 1 and answer['responses'][0]['partitions'][0]['records'], answer
            more['session_epoch'] = 2
            assert c.call('Fetch', 11, more)['error_code'] == 71, 'a repeated epoch'
            more['session_id'], more['session_epoch'] = 123456789, 5
            assert c.call('Fetch', 11, more)['error_code'] == 70, 'an unknown session'

    def full_answers(self):
        """A session with more to read than an answer holds: each partition has its turn and nothing comes twice; an answer that is
        full does not wait, whatever the least is that was asked for."""
        topic, count, began = self.prefix + '-full-answers', 20, time.monotonic()
        with Raw(self.bootstrap) as c:
            assert c.create(topic, count) == 0
            time.sleep(0 if self.weir else 1)
            for partition in range(count):
                assert c.produce(topic, batch(b'%4d' % partition * 256), partition=partition)['error_code'] == 0
            body = {'max_wait_ms': 30000, 'min_bytes': 2500, 'max_bytes': 2500, 'session_id': 0, 'session_epoch': 0, 'topics': [
                {'topic': topic, 'partitions': [{'partition': p, 'fetch_offset': 0, 'partition_max_bytes': 1 << 20} for p in range(count)]}]}
            got, largest = [], 0
            for epoch in range(count + 1):
                answer = c.call('Fetch', 11, body)
                assert answer['error_code'] == 0, answer
                parts = [p for t in answer['responses'] for p in t['partitions']]
                assert epoch > 0 or len(parts) == count, 'the first answer names everyone'
                assert epoch != 1 or not self.weir or count - 1 not in {p['partition_index'] for p in parts}, 'it is not looked at'
                if epoch == 0:                      # news of one that a full answer does not reach
                    assert c.produce(topic, batch(b'%4d' % (count - 1) * 256), partition=count - 1)['error_code'] == 0
                new = [p['partition_index'] for p in parts if p['records']]
                got += new
                if self.weir:
                    largest = max(largest, len(new))
                if len(got) == count:
                    break
                if len(got) >= count - 2:
                    body['min_bytes'] = 1           # what is left is less than an answer holds
                body['session_id'], body['session_epoch'] = answer['session_id'], epoch + 1
                body['topics'] = [{'topic': topic, 'partitions': [
                    {'partition': p, 'fetch_offset': 1, 'partition_max_bytes': 1 << 20} for p in new]}] if new else []
            assert sorted(got) == list(range(count)), got
            assert not self.weir or (largest == 2 and time.monotonic() - began < 25), (largest, time.monotonic() - began)

    def list_offsets(self):
        with Raw(self.bootstrap) as c:
            topic = self.prefix + '-times'
            c.create(topic)
            base = now_ms() - 100000
            for i, delta in enumerate((0, 5000, 3000, 9000, 7000)):
                assert c.produce(topic, batch(b'%d' % i, timestamp_ms=base + delta))['base_offset'] == i
            for version in range(1, min(10, c.api_versions()[2][1]) + 1):
                assert c.list_offset(topic, -2, version)[1] == 0 and c.list_offset(topic, -1, version)[1] == 5
                assert c.list_offset(topic, base + 4000, version)[1:] == (1, base + 5000), version
                assert c.list_offset(topic, base + 6000, version)[1:] == (3, base + 9000), version
                assert c.list_offset(topic, base + 60000, version)[1:] == (-1, -1), version
                if version >= 7:
                    assert c.list_offset(topic, -3, version)[1:] == (3, base + 9000), c.list_offset(topic, -3, version)
            assert c.list_offset(topic, -1, partition=9)[0] == 3

    def metadata_rules(self):
        """Version 0 with none and version 1 on with null mean all; an empty list from 1 on means none."""
        with Raw(self.bootstrap) as c:
            every = {t['name'] for t in c.call('Metadata', 0, {'topics': []})['topics']}
            assert self.topic.encode() in every
            assert {t['name'] for t in c.call('Metadata', 1, {'topics': None})['topics']} == every
            answer = c.call('Metadata', 1, {'topics': []})
            assert answer['topics'] == [] and len(answer['brokers']) >= 1 and answer['controller_id'] >= 0
            name = self.prefix + '-not-made'
            for version in range(4, 13):
                body = {'topics': [{'name': name, 'topic_id': bytes(16)}], 'allow_auto_topic_creation': False}
                assert c.call('Metadata', version, body)['topics'][0]['error_code'] == 3, version

    def auto_create(self):
        """The topic exists by the time the answer says so; a bad name is refused."""
        with Raw(self.bootstrap) as c:
            name = self.prefix + '-made'
            body = {'topics': [{'name': name}], 'allow_auto_topic_creation': True}
            seen = []
            for _ in range(50):
                topic = c.call('Metadata', 4, body)['topics'][0]
                seen.append(topic['error_code'])
                if not topic['error_code']:
                    break
                assert topic['error_code'] in (3, 5), topic
                time.sleep(0.1)
            assert topic['error_code'] == 0 and topic['partitions'][0]['leader_id'] >= 0, seen
            assert c.produce(name, batch(b'v'))['error_code'] == 0
            bad = c.call('Metadata', 4, {'topics': [{'name': 'bad name'}], 'allow_auto_topic_creation': True})
            assert bad['topics'][0]['error_code'] == 17, bad
        return 'error codes on the way: %s' % seen

    def topic_names(self):
        """DP49 and DP50: what a name may be, and the collision of dot and underscore."""
        with Raw(self.bootstrap) as c:
            for name in ('other topic', '.', '..', '', 'a' * 250, 'a/b', 'ümlaut'):
                code = c.create(name)
                assert code == 17, '%r: error %d' % (name, code)
            assert c.create('__cluster_metadata') in (17, 42)
            long_name = (self.prefix + '-').ljust(249, 'n')
            assert c.create(long_name) == 0, 'a name of 249'
            assert c.create(long_name) == 36, 'an existing topic'
            assert c.create(self.prefix + '.a.b') == 0 and c.create(self.prefix + '.a_b') == 17

    def create_refusals(self):
        """Bad partition counts, replication factors and configuration; validate_only changes nothing."""
        def code(topic, validate_only=False):
            with Raw(self.bootstrap) as c:
                answer = c.call('CreateTopics', 5, {'timeout_ms': 5000, 'validate_only': validate_only, 'topics': [dict(
                    {'name': self.prefix + '-x', 'num_partitions': 1, 'replication_factor': 1}, **topic)]})
                return answer['topics'][0]['error_code'], answer['topics'][0]['error_message'] or b''
        assert code({'num_partitions': 0})[0] == 37
        assert code({'num_partitions': -2})[0] == 37
        assert code({'replication_factor': 3})[0] == 38
        assert code({'replication_factor': 0})[0] == 38
        bad = code({'configs': [{'name': 'segment.bytes', 'value': '-5'}]})
        assert bad[0] == 40 and b'segment.bytes' in bad[1], bad
        bad = code({'configs': [{'name': 'no.such.key', 'value': '1'}]})
        assert bad[0] == 40 and b'no.such.key' in bad[1], bad
        assert code({}, True)[0] == 0
        assert code({}, False)[0] == 0, 'validate_only created the topic'
        return bad[1].decode()

    def delete_records(self):
        with Raw(self.bootstrap) as c:
            topic = self.prefix + '-cut'
            c.create(topic)
            for i in range(10):
                c.produce(topic, batch(b'%d' % i))

            def cut(offset, partition=0):
                answer = c.call('DeleteRecords', 2, {'timeout_ms': 5000, 'topics': [{'name': topic, 'partitions': [
                    {'partition_index': partition, 'offset': offset}]}]})['topics'][0]['partitions'][0]
                return answer['error_code'], answer['low_watermark']
            assert cut(4) == (0, 4), cut(4)
            assert c.list_offset(topic, -2)[1] == 4
            assert c.fetch(topic, 3)['error_code'] == 1
            assert c.fetch(topic, 4)['log_start_offset'] == 4
            assert cut(2) == (0, 4), 'the log start went back'
            assert cut(11)[0] == 1
            assert cut(0, 3)[0] == 3
            assert cut(-1) == (0, 10)
            assert c.produce(topic, batch(b'after'))['base_offset'] == 10

    def leader_epoch(self):
        with Raw(self.bootstrap) as c:
            epoch = batches.parse(c.fetch(self.topic, 0)['records'])[0].leader_epoch
            answer = c.call('OffsetForLeaderEpoch', 4, {'replica_id': -1, 'topics': [{'topic': self.topic, 'partitions': [
                {'partition': 0, 'current_leader_epoch': -1, 'leader_epoch': epoch}]}]})
            part = answer['topics'][0]['partitions'][0]
            assert (part['error_code'], part['leader_epoch'], part['end_offset']) == (0, epoch, c.end(self.topic)), part
            body = fetch_body(self.topic, 0)
            body['topics'][0]['partitions'][0]['current_leader_epoch'] = epoch + 5
            code = c.call('Fetch', 11, body)['responses'][0]['partitions'][0]['error_code']
            assert code == 75, 'an epoch of the future: error %d' % code
        return 'epoch %d' % epoch

    def read_your_write(self):
        """On one connection a read that follows an acknowledged write sees it."""
        with Raw(self.bootstrap) as c:
            for i in range(100):
                base = c.produce(self.topic, batch(b'%d' % i))['base_offset']
                found = batches.parse(c.fetch(self.topic, base, max_wait_ms=0)['records'])
                assert found and found[0].base_offset == base

    def many_partitions(self):
        """One fetch and one produce over many partitions of several topics."""
        with Raw(self.bootstrap) as c:
            topics = ['%s-many-%d' % (self.prefix, n) for n in range(3)]
            for topic in topics:
                assert c.create(topic, 20) == 0
            time.sleep(0 if self.weir else 1)       # Apache Kafka answers before its own broker knows the topic
            body = {'acks': -1, 'timeout_ms': 5000, 'topic_data': [{'name': t, 'partition_data': [
                {'index': p, 'records': batch(b'%s %d' % (t.encode(), p))} for p in range(20)]} for t in topics]}
            answer = c.call('Produce', 9, body)
            assert [p['error_code'] for t in answer['responses'] for p in t['partition_responses']] == [0] * 60
            body = {'max_wait_ms': 100, 'min_bytes': 1, 'max_bytes': 1 << 20, 'topics': [{'topic': t, 'partitions': [
                {'partition': p, 'fetch_offset': 0, 'partition_max_bytes': 1 << 20} for p in range(20)]} for t in topics]}
            got = {}
            for _ in range(5):                      # an answer may come before every partition had its turn
                answer = c.call('Fetch', 12, body)
                got.update({(t['topic'], p['partition_index']): batches.parse(p['records'])[0].records()[0][3]
                            for t in answer['responses'] for p in t['partitions'] if p['records']})
                if len(got) == 60:
                    break
            assert len(got) == 60 and all(v == b'%s %d' % k for k, v in got.items()), len(got)


def run(report, bootstrap, prefix, weir):
    r = Reading(bootstrap, prefix, weir)
    for name in ('long_poll_empty', 'long_poll_trickle', 'long_poll_burst', 'oversized_first', 'limits', 'middle_of_batch',
                 'bytes_as_sent', 'out_of_range', 'every_version', 'aborted_list', 'sessions', 'full_answers', 'list_offsets', 'metadata_rules', 'auto_create',
                 'topic_names', 'create_refusals', 'delete_records', 'leader_epoch', 'read_your_write', 'many_partitions'):
        report.run(name.replace('_', '-'), getattr(r, name))
