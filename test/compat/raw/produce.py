# SPDX-License-Identifier: Apache-2.0
"""Raw cases of Produce: what is refused and with which code, idempotence, and the order of answers."""

import struct
import time
import zlib

import batches
import cases
from connection import Raw, batch, now_ms, produce_body

NONE, CORRUPT, UNKNOWN_TOPIC, TOO_LARGE, INVALID_ACKS, INVALID_TIMESTAMP = 0, 2, 3, 10, 21, 32
UNSUPPORTED_VERSION, OUT_OF_ORDER, INVALID_EPOCH, UNSUPPORTED_CODEC, INVALID_RECORD = 35, 45, 47, 76, 87


class Produce:
    def __init__(self, bootstrap, prefix, weir):
        self.bootstrap, self.topic, self.weir = bootstrap, prefix + '-produce', weir
        with Raw(bootstrap) as c:
            assert c.create(self.topic) == 0
            c.create(prefix + '-compact', configs=[('cleanup.policy', 'compact')])
        self.compact = prefix + '-compact'

    def refused(self, records, code, version=7, topic=None, acks=-1, partition=0, loose=False):
        """The produce gets exactly that code and the log does not grow. Loose: another broker may choose another code."""
        topic = topic or self.topic
        with Raw(self.bootstrap) as c:
            before = c.end(topic)
            try:
                answer = c.produce(topic, records, version, acks, partition)
            except Exception as error:          # Closed, or a response that is none
                if self.weir or not loose:
                    raise
                return 'connection closed: %r' % error
            got = answer['error_code']
        with Raw(self.bootstrap) as c:
            assert c.end(topic) == before, 'the log grew'
        assert got == code or (loose and not self.weir and got != NONE), 'error %d, not %d' % (got, code)
        return 'error %d' % got

    def accepted(self):
        with Raw(self.bootstrap) as c:
            for version in range(3, 12):
                before = c.end(self.topic)
                answer = c.produce(self.topic, batch(b'v%d' % version), version)
                assert answer['error_code'] == 0 and answer['base_offset'] == before, answer
        return 'versions 3 to 11'

    def old_versions(self):
        if not self.weir:
            raise cases.Skip('Apache Kafka 4 closes the connection')
        with Raw(self.bootstrap) as c:
            for version in (0, 1, 2):
                answer = c.produce(self.topic, batch(b'old'), version)
                assert answer['error_code'] == UNSUPPORTED_VERSION, 'version %d: %r' % (version, answer)

    def bad_crc(self):
        records = bytearray(batch(b'some value'))
        records[-3] ^= 1
        return self.refused(bytes(records), CORRUPT)

    def old_magic(self):
        # A version 1 message: offset, size, crc, magic, attributes, timestamp, key, value.
        body = struct.pack('>bbq', 1, 0, now_ms()) + struct.pack('>i', -1) + struct.pack('>i', 1) + b'v'
        message = struct.pack('>qiI', 0, len(body) + 4, zlib.crc32(body)) + body
        return self.refused(message, INVALID_RECORD, 3)

    def unknown_codec(self):
        return ', '.join(self.refused(batch(b'v', attributes=codec), UNSUPPORTED_CODEC, loose=True) for codec in (5, 6, 7))

    def zstd_before_7(self):
        return self.refused(batch(b'v', attributes=4), UNSUPPORTED_CODEC, 6)

    def too_large(self):
        return self.refused(batch(b'x' * 1100000), TOO_LARGE)

    def future_timestamp(self):
        return self.refused(batch(b'v', timestamp_ms=now_ms() + 7200000), INVALID_TIMESTAMP)

    def bad_acks(self):
        return ', '.join(self.refused(batch(b'v'), INVALID_ACKS, acks=acks) for acks in (2, -2, 100))

    def unknown_partition(self):
        with Raw(self.bootstrap) as c:
            for topic, partition in ((self.topic, 7), (self.topic, -1), (self.topic + '-none-such', 0)):
                got = c.produce(topic, batch(b'v'), partition=partition)['error_code']
                assert got == UNKNOWN_TOPIC, '%s-%d: error %d' % (topic, partition, got)

    def internal_topic(self):
        with Raw(self.bootstrap) as c:
            got = c.produce('__consumer_offsets', batch(b'v', key=b'k'))['error_code']
        assert got in (17, UNKNOWN_TOPIC), got
        return 'error %d' % got

    def count_disagrees(self):
        return self.refused(batch(b'one', b'two', count=3), INVALID_RECORD, loose=True)

    def lying_record(self):
        return self.refused(batches.build([b''], timestamp_ms=now_ms(), payload=b'\xc8\x01\0\0\0\1\2v\0'), INVALID_RECORD, loose=True)

    def lying_batch_length(self):
        records = bytearray(batch(b'v'))
        records[8:12] = struct.pack('>i', 0x7fffffff)
        self.refused(bytes(records), CORRUPT, loose=True) if not self.weir else self.any_error(bytes(records))
        records[8:12] = struct.pack('>i', -5)
        return self.any_error(bytes(records))

    def any_error(self, records):
        """Refused somehow, with an answer or by closing; nothing is appended."""
        with Raw(self.bootstrap) as c:
            before = c.end(self.topic)
            try:
                got = c.produce(self.topic, records)['error_code']
            except Exception as error:          # closed
                got = type(error).__name__
        with Raw(self.bootstrap) as c:
            assert c.end(self.topic) == before and got != 0, 'error %s' % got
        return 'refused: %s' % got

    def no_batch(self):
        return ', '.join(self.refused(records, INVALID_RECORD, loose=True) for records in (b'', None))

    def two_batches(self):
        return self.refused(batch(b'one') + batch(b'two'), INVALID_RECORD)

    def control_batch(self):
        return self.refused(batch(b'v', attributes=32), INVALID_RECORD)

    def null_key_compacted(self):
        self.refused(batch(b'v'), INVALID_RECORD, topic=self.compact)
        with Raw(self.bootstrap) as c:
            assert c.produce(self.compact, batch(b'v', key=b'k'))['error_code'] == 0

    def garbage_compressed(self):
        got = []
        for codec in (1, 2, 3, 4):
            garbage = bytes(range(200)) * 3
            got.append(self.any_error(batches.build([b'', b''], timestamp_ms=now_ms(), attributes=codec, payload=garbage)))
        return '; '.join(got)

    def acks_zero(self):
        """DP12: nothing comes back, the record is there. And an error with acks=0 closes the connection."""
        with Raw(self.bootstrap) as c:
            before = c.end(self.topic)
            c.send('Produce', 7, produce_body(self.topic, batch(b'quiet'), 0))
            assert c.silent(1), 'an answer to acks=0'
            assert c.end(self.topic) == before + 1, 'not appended'
        with Raw(self.bootstrap) as c:
            c.send('Produce', 7, produce_body(self.topic, batch(b'v', attributes=32), 0))
            assert c.closed(), 'a failed acks=0 produce leaves the connection open'

    def pipelined(self):
        """DP4: 200 requests, 5 in flight: answers in order, offsets rise."""
        with Raw(self.bootstrap) as c:
            first = c.end(self.topic)
            body = [produce_body(self.topic, batch(b'%d' % i)) for i in range(200)]
            sent = [c.send('Produce', 7, body[i]) for i in range(5)]
            for i in range(200):
                correlation, answer = c.read('Produce', 7)
                part = answer['responses'][0]['partition_responses'][0]
                assert correlation == sent[i], 'answer %d is %d' % (sent[i], correlation)
                assert part['error_code'] == 0 and part['base_offset'] == first + i, part
                if i + 5 < 200:
                    sent.append(c.send('Produce', 7, body[i + 5]))
        return 'offsets %d to %d' % (first, first + 199)

    def pipelined_mixed(self):
        """Answers leave in request order when a slow request stands before quick ones."""
        with Raw(self.bootstrap) as c:
            end = c.end(self.topic)
            begin = time.monotonic()
            sent = [c.send('Fetch', 11, {'max_wait_ms': 500, 'min_bytes': 1, 'max_bytes': 1 << 20, 'topics': [
                {'topic': self.topic, 'partitions': [{'partition': 0, 'fetch_offset': end, 'partition_max_bytes': 1 << 20}]}]}),
                c.send('ApiVersions', 0, {}), c.send('Metadata', 1, {'topics': []})]
            got = [c.read('Fetch', 11)[0], c.read('ApiVersions', 0)[0], c.read('Metadata', 1)[0]]
            assert got == sent, (sent, got)
            assert time.monotonic() - begin > 0.4, 'the fetch did not wait'

    def idempotence(self):
        """Duplicates of the last five batches get the original offsets; a gap is 45, an old epoch 47."""
        with Raw(self.bootstrap) as c:
            producer = c.call('InitProducerId', 1, {'transactional_id': None, 'transaction_timeout_ms': 60000})
            assert producer['error_code'] == 0 and producer['producer_id'] >= 0 and producer['producer_epoch'] == 0, producer
            pid = producer['producer_id']

            def put(sequence, count=2, epoch=0):
                values = [b'%d' % (sequence + i) for i in range(count)]
                return c.produce(self.topic, batch(*values, producer_id=pid, producer_epoch=epoch, base_sequence=sequence))
            offsets = []
            for n in range(8):
                answer = put(n * 2)
                assert answer['error_code'] == 0, answer
                offsets.append(answer['base_offset'])
            end = c.end(self.topic)
            for n in range(3, 8):
                answer = put(n * 2)
                assert answer['error_code'] == 0 and answer['base_offset'] == offsets[n], 'duplicate %d: %r' % (n, answer)
            older = put(0)['error_code']
            assert older in (OUT_OF_ORDER, 46), 'a duplicate that is no longer remembered: error %d' % older
            gap = put(99)['error_code']
            assert gap == OUT_OF_ORDER, 'a gap: error %d' % gap
            fresh = put(5, 1, epoch=1)['error_code']
            assert fresh == OUT_OF_ORDER, 'a new epoch that does not begin with 0: error %d' % fresh
            assert c.end(self.topic) == end, 'the log grew'
            assert put(0, 1, epoch=1)['error_code'] == 0
            stale = put(16, 1, epoch=0)['error_code']
            assert stale == INVALID_EPOCH, 'a stale epoch: error %d' % stale
        return 'duplicates answered as before; %d for one that is forgotten' % older

    def two_producers(self):
        """Every InitProducerId gives an id of its own."""
        with Raw(self.bootstrap) as c:
            ids = {c.call('InitProducerId', 1, {'transactional_id': None, 'transaction_timeout_ms': 1})['producer_id'] for _ in range(50)}
        assert len(ids) == 50
        return '%d to %d' % (min(ids), max(ids))

    def several_partitions(self):
        """Each partition of one request has its own answer, in the order asked."""
        with Raw(self.bootstrap) as c:
            body = produce_body(self.topic, batch(b'good'))
            body['topic_data'][0]['partition_data'].append({'index': 9, 'records': batch(b'nowhere')})
            body['topic_data'].append({'name': self.topic + '-none-such', 'partition_data': [{'index': 0, 'records': batch(b'x')}]})
            answer = c.call('Produce', 8, body)
            got = [(p['index'], p['error_code']) for t in answer['responses'] for p in t['partition_responses']]
        assert got == [(0, 0), (9, UNKNOWN_TOPIC), (0, UNKNOWN_TOPIC)], got


def run(report, bootstrap, prefix, weir):
    p = Produce(bootstrap, prefix, weir)
    for name in ('accepted', 'old_versions', 'bad_crc', 'old_magic', 'unknown_codec', 'zstd_before_7', 'too_large',
                 'future_timestamp', 'bad_acks', 'unknown_partition', 'internal_topic', 'count_disagrees', 'lying_record',
                 'lying_batch_length', 'no_batch', 'two_batches', 'control_batch', 'null_key_compacted', 'garbage_compressed',
                 'acks_zero', 'pipelined', 'pipelined_mixed', 'idempotence', 'two_producers', 'several_partitions'):
        report.run('produce-' + name.replace('_', '-'), getattr(p, name))
