# SPDX-License-Identifier: Apache-2.0
"""The loads of one node or three: each is prepared once a broker and run once a pair, and checks what came of it: as many
records and bytes read back as were acknowledged, every batch by its checksum. The load client is weir perf, the same for
every broker, on the clients' cores; topics and their settings are made the same way for all."""

import itertools
import json
import subprocess
import time

import machine
from brokers import Raw
from pairs import Unavailable, Wrong

GB = 1_000_000_000
numbers = itertools.count(1)


class Load:
    """keep: brokers stay up from one run to the next; else the one that runs is up alone, started before its run unless it
    is to be down, with no data of before when it is to be fresh. network: each node is in a namespace of its own."""

    title = ''
    keep, warm, nodes, fresh, down, network = True, True, 1, False, False, False
    settings = ()               # of the broker, beside brokers.SETTINGS
    fixed_rate = False          # its latency stands beside an echo's at rows.LATENCY_RATE

    def __init__(self, sizes):
        self.sizes = sizes

    def prepare(self, broker):
        """Once, before the first run, with the broker up."""

    def run(self, broker):
        """One run: {metric: number}."""
        raise NotImplementedError

    def lasts(self):
        """Seconds of a run, roughly."""
        return self.sizes.seconds + 5

    def prepares(self):
        """Seconds before the first run, roughly."""
        return 0


def perf(broker, *words, seconds=600):
    if words[0] != 'consume':
        machine.warm_memory()
    done = broker.ask('perf', *words, '--json', seconds=seconds)
    if done.returncode:
        raise Wrong('%s: weir perf %s: %s' % (broker.name, words[0], done.stderr.strip()[-300:]))
    return json.loads(done.stdout)


def fresh_topic(broker, partitions=1, **configs):
    topic = 'bench-%d' % next(numbers)
    broker.create(topic, partitions, **configs)
    wait_led(broker, topic, partitions)
    return topic


def wait_led(broker, topic, partitions, seconds=60):
    """Until every partition is served by its leader: a controller answers before the brokers have heard."""
    end, left = time.monotonic() + seconds, set(range(partitions))
    while left:
        if time.monotonic() > end:
            raise Unavailable('%s: %d partitions of %s have no leader after %d s' % (broker.name, len(left), topic, seconds))
        for node in range(broker.nodes):
            body = {'replica_id': -1, 'topics': [{'name': topic, 'partitions': [
                {'partition_index': partition, 'timestamp': -1} for partition in sorted(left)]}]}
            with Raw(broker.address(node), 30) as connection:
                answer = connection.call('ListOffsets', 5, body)
            left -= {part['partition_index'] for part in answer['topics'][0]['partitions'] if part['error_code'] == 0}
            if not left:
                return
        time.sleep(0.05)


def read_back(broker, topic, sent, seconds=300):
    """Reads a topic from its beginning, checksums checked; it must hold what was acknowledged and nothing else."""
    got = perf(broker, 'consume', '--topic', topic, '--check-crc', '--duration', '%ds' % seconds)
    for what in ('records', 'bytes'):
        if got[what] != sent[what]:
            raise Wrong('%s: %d %s acknowledged, %d read' % (broker.name, sent[what], what, got[what]))
    return got


def keep_last(broker, topic, partitions, records):
    """Moves the log starts up to so many records before the ends: the next run reads what it wrote, which the page cache has.
    Not to the ends, which would begin a segment and leave files to remove."""
    with Raw(broker.address(0), 60) as c:
        ends = c.call('ListOffsets', 5, {'replica_id': -1, 'topics': [{'name': topic, 'partitions': [
            {'partition_index': p, 'timestamp': -1} for p in range(partitions)]}]})
        answer = c.call('DeleteRecords', 1, {'timeout_ms': 60000, 'topics': [{'name': topic, 'partitions': [
            {'partition_index': p['partition_index'], 'offset': p['offset'] - records} for p in ends['topics'][0]['partitions']]}]})
    wrong = [p['error_code'] for t in (ends, answer) for p in t['topics'][0]['partitions'] if p['error_code']]
    if wrong:
        raise Unavailable('%s: DeleteRecords of %d partitions: error %d' % (broker.name, len(wrong), wrong[0]))


def drop(broker, topic):
    broker.delete(topic)
    time.sleep(1.5)             # past log.segment.delete.delay.ms: the next run does not pay for it


class Batches(Load):
    """So many bytes in at a rate that everybody holds, then out of the page cache."""

    def __init__(self, sizes, batch_bytes, record_bytes, rate_bytes, nodes=1, clients=1):
        super().__init__(sizes)
        self.batch, self.record, self.nodes, self.clients = batch_bytes, record_bytes, nodes, clients
        self.rate = rate_bytes // (record_bytes + 8)
        self.seconds = max(sizes.bytes / rate_bytes, 0.5)
        self.title = '%d KiB batches of %d-byte records at %d MB/s, acks=all' % (batch_bytes >> 10, record_bytes,
                                                                               rate_bytes // 1_000_000)

    def lasts(self):
        return self.seconds + self.sizes.bytes / 300e6 + 4

    def run(self, broker):
        topic = fresh_topic(broker, max_message_bytes=4 << 20)
        before = broker.cpu_s()
        sent = perf(broker, 'produce', '--topic', topic, '--batch-bytes', self.batch, '--record-bytes', self.record,
                    '--rate', self.rate, '--warmup', '0s', '--duration', '%dms' % (self.seconds * 1000), '--clients',
                    self.clients)
        middle = broker.cpu_s()
        read_back(broker, topic, sent)
        after = broker.cpu_s()
        drop(broker, topic)
        gb, million = sent['bytes'] / GB, sent['records'] / 1e6
        return {'in_cpu_s_per_gb': (middle - before) / gb, 'out_cpu_s_per_gb': (after - middle) / gb,
                'cpu_s_per_gb': (after - before) / gb, 'cpu_s_per_million': (after - before) / million,
                'p99_ms': sent['latency_us']['p99'] / 1000, 'held': sent['records'] / (self.rate * self.seconds),
                'records': sent['records'], 'bytes': sent['bytes']}


class FlatOut(Load):
    title = '64 KiB batches as fast as they go, one connection, 5 requests in flight, acks=all'

    def run(self, broker):
        topic = fresh_topic(broker)
        sent = perf(broker, 'produce', '--topic', topic, '--warmup', '0s', '--duration', '%ds' % self.sizes.seconds)
        got = read_back(broker, topic, sent)
        drop(broker, topic)
        return {'in_mb_per_s': sent['mb_per_s'], 'out_mb_per_s': got['mb_per_s'], 'records': sent['records']}


class Pairs(Load):
    """Records one by one, each read by a waiting consumer as it comes."""

    def __init__(self, sizes, rate, samples, clients=4, fixed_rate=False):
        super().__init__(sizes)
        self.rate, self.samples, self.clients, self.fixed_rate = rate, samples, clients, fixed_rate
        self.title = '1 KiB records one a request at %d/s from %d connections, each fetched at once, acks=all' % (rate, clients)

    def lasts(self):
        return self.samples / self.rate + 5

    def run(self, broker):
        topic = fresh_topic(broker, self.clients)
        before = broker.cpu_s()
        sent = perf(broker, 'latency', '--topic', topic, '--rate', self.rate, '--clients', self.clients, '--warmup', '0s',
                    '--duration', '%dms' % (1000 * self.samples / self.rate))
        used = broker.cpu_s() - before
        read_back(broker, topic, sent)
        drop(broker, topic)
        out = {'cpu_ms_per_thousand': used * 1e6 / sent['requests'], 'held': sent['requests'] / self.samples,
               'records': sent['records']}
        for key, name in (('latency_us', 'ack'), ('end_to_end_us', 'read')):
            for quantile in ('p50', 'p99', 'p99.9'):
                out['%s_%s_ms' % (name, quantile.replace('.', '_'))] = sent[key][quantile] / 1000
        return out


class Requests(Load):
    """Unbatched produces flat out, one in flight on each connection."""

    def __init__(self, sizes, clients, **configs):
        super().__init__(sizes)
        self.clients, self.configs = clients, configs
        self.title = '1 KiB records one a request flat out, %d connections, acks=all%s' % (
            clients, ''.join(', %s=%s' % (key.replace('_', '.'), value) for key, value in configs.items()))

    def run(self, broker):
        topic = fresh_topic(broker, **self.configs)
        before = broker.cpu_s()
        sent = perf(broker, 'produce', '--topic', topic, '--record-bytes', '1k', '--batch-bytes', '1k', '--clients',
                    self.clients, '--requests', 1, '--warmup', '0s', '--duration', '%ds' % self.sizes.seconds)
        used = broker.cpu_s() - before
        read_back(broker, topic, sent)
        drop(broker, topic)
        return {'requests_per_s': sent['requests_per_s'], 'cpu_us_per_request': used * 1e6 / sent['requests'],
                'p99_ms': sent['latency_us']['p99'] / 1000, 'records': sent['records']}


class Producers(Load):
    """The same total rate from more and more producers. Without keys a producer fills one batch after the other; with keys the
    same records are a batch for each of the partitions, in one request."""

    def __init__(self, sizes, clients, keyed=False, rate=8000):
        super().__init__(sizes)
        self.clients, self.keyed, self.rate = clients, keyed, rate
        self.title = '1 KiB records, 15 a request over %s of 16 partitions, at %d/s in all, from %d producers' % (
            '15' if keyed else 'one', rate, clients)

    def run(self, broker):
        topic = fresh_topic(broker, 16)
        before = broker.cpu_s()
        sent = perf(broker, 'produce', '--topic', topic, '--record-bytes', '1k', '--batch-bytes', '16k', '--rate', self.rate,
                    '--clients', self.clients, '--requests', 1, '--warmup', '0s', '--duration', '%ds' % self.sizes.seconds,
                    *['--keyed'] * self.keyed)
        used = broker.cpu_s() - before
        read_back(broker, topic, sent)
        drop(broker, topic)
        return {'cpu_ms_per_thousand': used * 1e6 / sent['requests'], 'p99_ms': sent['latency_us']['p99'] / 1000,
                'held': sent['records'] / (self.rate * self.sizes.seconds), 'records': sent['records']}


class FanOut(Load):
    """One topic, read by so many consumers at once."""

    def __init__(self, sizes, consumers):
        super().__init__(sizes)
        self.consumers = consumers
        self.title = '%d consumers read the same records at once' % consumers

    def run(self, broker):
        topic = fresh_topic(broker)
        sent = perf(broker, 'produce', '--topic', topic, '--warmup', '0s', '--rate', 50000, '--duration',
                    '%dms' % max(200, self.sizes.bytes / self.consumers / 50000))
        before, began = broker.cpu_s(), time.monotonic()
        command = broker.cores.prefix(broker.cores.clients) + [broker.weir, 'perf', 'consume', '--topic', topic, '--check-crc',
                                                               '--json', '--bootstrap-server', broker.bootstrap]
        readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(self.consumers)]
        got = [json.loads(reader.communicate(timeout=300)[0] or '{}') for reader in readers]
        used, took = broker.cpu_s() - before, time.monotonic() - began
        if any((g.get('records'), g.get('bytes')) != (sent['records'], sent['bytes']) for g in got):
            raise Wrong('%s: a consumer read %s of %d records' % (broker.name, [g.get('records') for g in got], sent['records']))
        drop(broker, topic)
        total = self.consumers * sent['bytes']
        return {'out_cpu_s_per_gb': used / (total / GB), 'mb_per_s': total / took / 1e6, 'records': sent['records']}


class ColdBacklog(Load):
    """The acks of small produces while one client reads a backlog that is on the disk alone."""

    title = '1 KiB records one a request at 500/s from 16 connections while a backlog outside the page cache is read'

    def prepare(self, broker):
        broker.create('backlog', 4)
        wait_led(broker, 'backlog', 4)
        seconds = max(1, self.sizes.backlog_bytes / 150e6)
        perf(broker, 'produce', '--topic', 'backlog', '--rate', 150_000_000 // 1032, '--warmup', '0s', '--duration',
             '%ds' % seconds, seconds=seconds * 10 + 60)

    def lasts(self):
        return 2 * self.sizes.seconds + 10

    def prepares(self):
        return self.sizes.backlog_bytes / 120e6

    def small(self, broker):
        topic = fresh_topic(broker)
        sent = perf(broker, 'produce', '--topic', topic, '--record-bytes', '1k', '--batch-bytes', '1k', '--rate', 500,
                    '--clients', 16, '--requests', 1, '--warmup', '0s', '--duration', '%ds' % self.sizes.seconds)
        read_back(broker, topic, sent)
        drop(broker, topic)
        return sent['latency_us']['p99'] / 1000

    def run(self, broker):
        quiet = self.small(broker)
        machine.drop_cache(broker.folder)
        reader = subprocess.Popen(broker.cores.prefix(broker.cores.clients) + [
            broker.weir, 'perf', 'consume', '--topic', 'backlog', '--repeat', '--json', '--duration',
            '%ds' % (self.sizes.seconds + 1), '--bootstrap-server', broker.bootstrap], stdout=subprocess.PIPE, text=True)
        time.sleep(0.3)
        loud = self.small(broker)
        got = json.loads(reader.communicate(timeout=120)[0] or '{}')
        if not got.get('records'):
            raise Wrong('%s: nothing of the backlog was read' % broker.name)
        return {'p99_ms': loud, 'quiet_p99_ms': quiet, 'over_quiet': loud / quiet, 'read_mb_per_s': got['mb_per_s']}


# ------------------------------------------------------------------------------------------------ nodes that are started anew

class Idle(Load):
    title = 'a node just started, one topic, one record, after 10 s at rest'
    keep, warm, fresh = False, False, True

    def lasts(self):
        return 2 * self.sizes.rest + 3

    def run(self, broker):
        topic = fresh_topic(broker)
        perf(broker, 'produce', '--topic', topic, '--record-bytes', 100, '--batch-bytes', 100, '--rate', 10, '--warmup', '0s',
             '--duration', '100ms')
        time.sleep(self.sizes.rest)
        before, began = broker.cpu_s(), time.monotonic()
        time.sleep(self.sizes.rest)
        return {'mib': broker.resident_bytes() / (1 << 20),
                'cpu_ms_per_s': 1000 * (broker.cpu_s() - before) / (time.monotonic() - began)}


class ManyPartitionsMemory(Load):
    title = 'memory after 1 GB in and out through 100 partitions'
    keep, warm, fresh = False, False, True

    def lasts(self):
        return self.sizes.memory_bytes / 100e6 + self.sizes.memory_bytes / 300e6 + 4

    def run(self, broker):
        topic = fresh_topic(broker, 100)
        rate = 100_000_000 // 1032
        sent = perf(broker, 'produce', '--topic', topic, '--rate', rate, '--warmup', '0s', '--duration',
                    '%dms' % (1000 * self.sizes.memory_bytes / (rate * 1032)))
        read_back(broker, topic, sent)
        return {'mib': broker.resident_bytes() / (1 << 20), 'records': sent['records']}


class ColdStart(Load):
    """exec of a cleanly stopped node to the first acknowledged produce; with so many partitions."""

    keep, warm, down = False, False, True

    def __init__(self, sizes, partitions=1):
        super().__init__(sizes)
        self.partitions = partitions
        self.title = 'exec to the first acknowledged produce, cleanly stopped, %d partition%s' % (partitions,
                                                                                                's' * (partitions > 1))

    def lasts(self):
        return 2

    def prepares(self):
        return self.partitions / 100

    def prepare(self, broker):
        left = self.partitions
        while left > 0:
            broker.create('start-%d' % left, min(left, 1000))
            left -= 1000
        broker.create('start', 1)

    def run(self, broker):
        took = broker.first_ack_s('start')
        return {'ms': 1000 * took, 'mib': broker.resident_bytes() / (1 << 20)}


class Restart(Load):
    """exec after kill -9 to the first acknowledged produce, with so many bytes in ten partitions."""

    keep, warm = False, False
    title = 'exec after kill -9 to the first acknowledged produce, 10 partitions that were being written'

    def fill(self, broker, total):
        rate = 150_000_000 // 1032
        seconds = max(0.1, total / (rate * 1032))
        return perf(broker, 'produce', '--topic', 'restart', '--rate', rate, '--warmup', '0s', '--duration',
                    '%dms' % (1000 * seconds), seconds=seconds * 10 + 60)

    def lasts(self):
        return 5

    def prepares(self):
        return self.sizes.restart_bytes / 120e6

    def prepare(self, broker):
        broker.create('restart', 10)
        wait_led(broker, 'restart', 10)
        self.fill(broker, self.sizes.restart_bytes)

    def run(self, broker):
        self.fill(broker, 50_000_000)
        broker.kill()
        return {'ms': 1000 * broker.first_ack_s('restart')}


class ActivePartitions(Load):
    """A batch into each of many partitions, flat out, and as many equal ones through 10, all written to before: what making a
    partition's files costs is told by other rows. As much is written to the same ones right before, so that each side pays
    for its own recovery points, which come some 256 MiB late. A row of weir against itself."""

    batch, records = 64 << 10, 63

    def __init__(self, sizes):
        super().__init__(sizes)
        self.title = '64 KiB batches flat out through %d partitions against 10' % sizes.partitions

    def lasts(self):
        return self.sizes.partitions / 1000 + 5

    def prepares(self):
        return self.sizes.partitions / 400

    def write(self, broker, topic):
        sent = perf(broker, 'produce', '--topic', topic, '--batch-bytes', self.batch, '--records',
                    self.sizes.partitions * self.records, '--warmup', '0s', '--duration', '120s')
        if sent['requests'] != self.sizes.partitions:
            raise Wrong('%s: %d batches are not one for each of %d partitions' % (broker.name, sent['requests'], self.sizes.partitions))
        return sent

    def prepare(self, broker):
        """The topics stay: files that are deleted are work for the kernel long after. The first batch of a partition makes its log,
        the second its indexes."""
        self.topics = [(fresh_topic(broker, count), count) for count in (10, self.sizes.partitions)]
        for topic, count in self.topics:
            for _ in range(2):
                self.write(broker, topic)

    def run(self, broker):
        cost = []
        for topic, count in self.topics:
            self.write(broker, topic)
            keep_last(broker, topic, count, self.records)
            before = broker.cpu_s()
            sent = self.write(broker, topic)
            middle = broker.cpu_s()
            # A batch of each partition was kept.
            held = {what: sent[what] + sent[what] * count // self.sizes.partitions for what in ('records', 'bytes')}
            read_back(broker, topic, held)
            cost.append((middle - before) / (sent['bytes'] / GB) + (broker.cpu_s() - middle) / (held['bytes'] / GB))
        open_files, limit = broker.open_files()
        return {'cpu_ratio': cost[1] / cost[0], 'cpu_s_per_gb': cost[1], 'few_cpu_s_per_gb': cost[0], 'open_files': open_files,
                'files_limit': limit}


def prove(metrics):
    """The metrics of a run are numbers that a ratio can be made of."""
    for name, value in metrics.items():
        if value != value or value in (float('inf'), float('-inf')):
            raise Unavailable('%s is not a number' % name)
    return metrics
