# SPDX-License-Identifier: Apache-2.0
"""Loads that go on for long: past retention, so that segments are rolled and deleted all the time, and at most of what the
disk can do."""

import re
import shutil
import time

import loads
import machine
from brokers import Raw
from pairs import Wrong

MIB = 1 << 20


def offsets(broker, topic):
    """(log start, end) of its one partition."""
    with Raw(broker.address(0), 30) as connection:
        out = []
        for timestamp in (-2, -1):
            answer = connection.call('ListOffsets', 5, {'replica_id': -1, 'topics': [{'name': topic, 'partitions': [
                {'partition_index': 0, 'timestamp': timestamp}]}]})
            part = answer['topics'][0]['partitions'][0]
            if part['error_code']:
                raise Wrong('%s: ListOffsets of %s says %d' % (broker.name, topic, part['error_code']))
            out.append(part['offset'])
    return tuple(out)


class PastRetention(loads.Load):
    """What is older than the topic's size is deleted while more comes: the log neither grows nor stalls its producer."""

    retention, segment, rate_bytes = 256 * MIB, 16 * MIB, 100_000_000
    settings = ('log.retention.check.interval.ms=1000',)

    def __init__(self, sizes):
        super().__init__(sizes)
        self.rate = self.rate_bytes // 1032
        self.title = '64 KiB batches at %d MB/s for %d s into a topic of 256 MiB in segments of 16 MiB, acks=all' % (
            self.rate_bytes // 1_000_000, self.sizes.long_seconds)

    def lasts(self):
        return self.sizes.long_seconds + 8

    def held(self, broker, topic):
        return sum(path.stat().st_size for path in broker.folder.rglob('%s-0/*.log' % topic) if path.exists())

    def run(self, broker):
        topic = loads.fresh_topic(broker, retention_bytes=self.retention, segment_bytes=self.segment)
        before, costs, records, worst, quantile = broker.cpu_s(), [], 0, 0, []
        for _ in range(2):
            sent = loads.perf(broker, 'produce', '--topic', topic, '--rate', self.rate, '--warmup', '0s', '--duration',
                              '%dms' % (500 * self.sizes.long_seconds))
            now = broker.cpu_s()
            costs.append((now - before) / (sent['bytes'] / loads.GB))
            before, records = now, records + sent['records']
            worst = max(worst, sent['latency_us']['max'] / 1000)
            quantile.append(sent['latency_us']['p99.9'] / 1000)
        bound = self.retention + 2 * self.segment
        until = time.monotonic() + 45       # Kafka looks for the first time 30 s after its start
        while self.held(broker, topic) > bound and time.monotonic() < until:
            time.sleep(0.2)
        start, end = offsets(broker, topic)
        if end != records or self.held(broker, topic) > bound or (start == 0 and records * 1032 > 2 * bound):
            raise Wrong('%s: %d records acknowledged, offsets %d to %d, %d MB held' % (broker.name, records, start, end,
                                                                                     self.held(broker, topic) >> 20))
        got = loads.perf(broker, 'consume', '--topic', topic, '--check-crc', '--duration', '60s')
        if not 0 < got['records'] <= records - start:
            raise Wrong('%s: %d records read of those from %d to %d' % (broker.name, got['records'], start, end))
        loads.drop(broker, topic)
        return {'p99_9_ms': max(quantile), 'max_ms': worst, 'cpu_s_per_gb': sum(costs) / 2, 'second_half': costs[1] / costs[0],
                'held': records / (self.rate * self.sizes.long_seconds), 'records': records}


class NearTheDisk(loads.Load):
    """Appends at 80 % of the rate at which a plain program writes and syncs a file there."""

    title = '64 KiB batches at 80 % of the rate of the disk, acks=all'
    rate_bytes = None           # measured once, before the first broker

    def total(self, broker):
        """What is moved: no more than a quarter of what is free, because a broker deletes late."""
        return min(self.sizes.append_bytes, shutil.disk_usage(broker.folder.parent).free // 4)

    def lasts(self):
        return self.sizes.append_bytes / (self.rate_bytes or 300e6) + 10

    def prepare(self, broker):
        if NearTheDisk.rate_bytes is None:
            NearTheDisk.rate_bytes = int(0.8 * machine.disk_rate(broker.folder.parent, min(self.sizes.append_bytes, 2 << 30)))

    def run(self, broker):
        if not broker.jvm:      # so that its longest turn is of this run; it needs no warming
            broker.stop()
            broker.start()
        topic, total = loads.fresh_topic(broker, 4), self.total(broker)
        rate = self.rate_bytes // 1032
        before = broker.cpu_s()
        sent = loads.perf(broker, 'produce', '--topic', topic, '--rate', rate, '--warmup', '0s', '--duration', '%dms' %
                          (1000 * total / self.rate_bytes), '--clients', 4, seconds=3600)
        out = {'p99_9_ms': sent['latency_us']['p99.9'] / 1000, 'max_ms': sent['latency_us']['max'] / 1000, 'bytes': sent['bytes'],
               'cpu_s_per_gb': (broker.cpu_s() - before) / (sent['bytes'] / loads.GB), 'rate_mb_per_s': self.rate_bytes / 1e6,
               'held': sent['records'] / (rate * total / self.rate_bytes), 'records': sent['records']}
        if not broker.jvm:
            broker.stop()       # it says how long its turns were
            out['longest_turn_ms'] = longest_turn_ms(broker)
            broker.start()
        loads.read_back(broker, topic, sent, 1800)
        loads.drop(broker, topic)
        return out


def longest_turn_ms(broker):
    """From the line that a node of weir ends with."""
    text = (broker.folder / '0' / 'log').read_text(errors='replace')
    found = re.findall(r'turns took over \d+ ms, the longest (\d+) us', text)
    if not found:
        raise Wrong('%s did not say how long its turns were' % broker.name)
    return int(found[-1]) / 1000
