# SPDX-License-Identifier: Apache-2.0
"""What three nodes cost and how fast they are: the sections `replicated` and `failover` of tools/bench. All three run on this
machine, and so do the load and its producers: costs are CPU time of the three processes, and ratios within one run."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / 'test/faults'), str(ROOT / 'test/compat')]
from failover_load import topic_state                                               # noqa: E402
from harness import Closed, Raw, batch                                              # noqa: E402
from server import Cluster                                                          # noqa: E402

TICKS = os.sysconf('SC_CLK_TCK')


class Three:
    """Three nodes in a scratch folder, up and registered."""

    def __init__(self, weir, folder):
        self.weir = str(weir)
        folder.mkdir(parents=True)
        self.cluster = Cluster(self.weir, str(folder), 3, ['memory=128MiB', 'group.initial.rebalance.delay.ms=0'])

    def __enter__(self):
        self.cluster.start()
        end = time.monotonic() + 20
        while any(self.brokers(node) != 3 for node in self.cluster.nodes):
            if time.monotonic() > end:
                sys.exit('no cluster: ' + self.cluster.log_ends())
            time.sleep(0.05)
        return self

    def __exit__(self, kind, *_):
        self.cluster.stop() if kind is None else self.cluster.kill()
        self.cluster.kill()
        return False

    def brokers(self, node):
        try:
            with Raw(node.bootstrap, 2) as c:
                return len(c.call('Metadata', 1, {'topics': []})['brokers'])
        except (OSError, Closed):
            return 0

    def weir_run(self, *words):
        done = subprocess.run([self.weir, *map(str, words), '-b', self.cluster.bootstrap], capture_output=True, text=True)
        if done.returncode:
            sys.exit('weir %s: %s' % (' '.join(map(str, words)), done.stdout + done.stderr))
        return done.stdout

    def create(self, topic, partitions, factor, *configs):
        self.weir_run('admin', 'topics', 'create', topic, '--partitions', partitions, '--replication-factor', factor,
                      *[w for c in configs for w in ('--config', c)])
        end = time.monotonic() + 30
        while time.monotonic() < end:
            state = topic_state([n.bootstrap for n in self.cluster.nodes], topic)[1]
            if len(state) == partitions and all(leader > 0 and len(isr) == factor for leader, _, isr in state.values()):
                return
            time.sleep(0.1)
        sys.exit('%s has no full ISRs' % topic)

    def cpu(self):
        total = 0
        for node in self.cluster.alive():
            fields = open('/proc/%d/stat' % node.process.pid).read().rsplit(')', 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def produce(self, topic, seconds, *options):
        """What weir perf says, and the CPU seconds of all brokers meanwhile."""
        command = [self.weir, 'perf', 'produce', '--topic', topic, '--record-bytes', '1k', '--duration', '%ds' % seconds,
                   '--warmup', '0s', '--json', *map(str, options), '-b', self.cluster.bootstrap]
        before = self.cpu()
        done = subprocess.run(command, capture_output=True, text=True)
        used = self.cpu() - before
        got = json.loads(done.stdout or '{}')
        if not got or got['errors'] * 100 > got['requests']:      # a leadership that moves on a crowded machine is borne
            sys.exit('%s: %s' % (' '.join(command), done.stdout + done.stderr))
        return got, used


LIMITS = ('segment.bytes=50000000', 'retention.bytes=100000000')


def cost(three, say, seconds, partitions, batch_bytes, rate):
    """CPU of all brokers per GB (or request) at factor 1 and 3, taken in turns."""
    small = batch_bytes == '1k'
    found = {1: [], 3: []}
    for factor in found:
        three.create('cost-%d-%d-%s' % (factor, partitions, batch_bytes), partitions, factor, *LIMITS)
    for _ in range(3):
        for factor in found:
            got, cpu = three.produce('cost-%d-%d-%s' % (factor, partitions, batch_bytes), seconds, '--batch-bytes', batch_bytes,
                                     '--acks', 'all', '--rate', rate)
            found[factor].append(cpu * 1e6 / max(got['requests'], 1) if small else cpu / (got['bytes'] / 1e9))
    one, three_times = min(found[1]), min(found[3])
    what = '%s batches over %d partition%s' % ('1 KiB' if small else '64 KiB', partitions, 's' if partitions > 1 else '')
    say('%s, factor 3' % what, '%.2f CPU %s' % (three_times, 'us' if small else 's/GB'),
        '%.1f times factor 1 (%.2f); all brokers, acks=all at %d records/s, best of 3 in turns' % (three_times / one, one, rate))


def floor(plain, folder):
    """(a plain append, three of them and two plain sendfiles of the same bytes), CPU s/GB (test/bench/floor.c)."""
    def run(*words):
        done = subprocess.run([str(plain), *map(str, words)], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)['cpu_s_per_gb']
    file = folder / 'floor'
    try:
        run('in', file, 65536, 1000000000)      # warms the memory that the page cache will use
        plain_in, plain_out = run('in', file, 65536, 1000000000), run('out', file, 65536, 2000000000)
        return plain_in, 3 * plain_in + 2 * plain_out
    finally:
        file.unlink(missing_ok=True)


def latency(three, say, seconds):
    figures = []
    for factor in (1, 3):
        three.create('latency-%d' % factor, 1, factor)
        got, _ = three.produce('latency-%d' % factor, seconds, '--batch-bytes', '1k', '--acks', 'all', '--rate', 500)
        figures.append(got['latency_us'])
    for factor, found in zip((1, 3), figures):
        say('acks=all at 500/s, factor %d' % factor, '%.3f ms' % (found['p50'] / 1000),
            'p50; p99 %.3f ms; 1 KiB requests, over loopback' % (found['p99'] / 1000))


def flat_out(three, say, seconds):
    for factor in (1, 3):
        got, cpu = three.produce('cost-%d-1-64k' % factor, seconds, '--batch-bytes', '64k', '--acks', 'all')
        say('flat out, factor %d' % factor, '%.0f MB/s' % got['mb_per_s'],
            'one producer, 5 requests in flight; %.2f CPU s/GB of all brokers' % (cpu / (got['bytes'] / 1e9)))


def rest(three, say, seconds):
    three.create('rests', 100, 3)
    three.produce('rests', 1, '--batch-bytes', '1k', '--rate', 2000)
    time.sleep(25)
    nodes = three.cluster.nodes
    wakes, written, begin = sum(n.wakeups() for n in nodes), sum(n.written() for n in nodes), time.monotonic()
    time.sleep(max(seconds, 10))
    passed = time.monotonic() - begin
    say('three nodes at rest: wake-ups', '%.1f /s' % ((sum(n.wakeups() for n in nodes) - wakes) / passed),
        'voluntary context switches of all threads of all three over %.0f s, 25 s after the last record' % passed)
    say('three nodes at rest: written', '%d bytes' % (sum(n.written() for n in nodes) - written), 'write_bytes of all three')
    say('three nodes at rest: resident', '%.1f MiB' % (sum(n.memory() for n in nodes) / 1048576),
        'all three, after the loads above, with 600 replicas')


def idle_watched(three, say):
    """What a consumer's long poll over a thousand partitions at rest costs the appends to one that is not."""
    figures = []
    for partitions in (1, 1000):
        topic = 'watched-%d' % partitions
        three.create(topic, partitions, 1)
        leader = three.cluster.nodes[topic_state([three.cluster.nodes[0].bootstrap], topic)[1][0][0] - 1]
        reader = subprocess.Popen([three.weir, 'consume', topic, '-b', three.cluster.bootstrap], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        with Raw(leader.bootstrap) as c:
            records = batch(b'x' * 100)
            for count in (200, 3000):
                before = three.cpu()
                for _ in range(count):
                    assert c.produce(topic, records)['error_code'] == 0
                used = three.cpu() - before
        reader.terminate()
        reader.wait()
        figures.append(used * 1e6 / 3000)
    say('an append that a consumer waits for', '%.0f CPU us' % figures[1],
        'in a fetch session of 1,000 partitions; of 1: %.0f (3,000 appends one after the other)' % figures[0])


def replicated(weir, plain, folder, say, seconds):
    once, three_times = floor(plain, folder)
    say('floor of factor 3, 64 KiB batches', '%.2f CPU s/GB' % three_times,
        '%.1f times that of factor 1 (%.2f): three times floor in (read, pwrite, answer), twice floor out (sendfile)' % (
            three_times / once, once))
    with Three(weir, folder / 'replicated') as three:
        cost(three, say, seconds, 1, '64k', 100000)
        cost(three, say, seconds, 16, '64k', 100000)
        cost(three, say, seconds, 300, '64k', 50000)
        cost(three, say, seconds, 1, '1k', 3000)
        cost(three, say, seconds, 300, '1k', 3000)
        flat_out(three, say, seconds)
        latency(three, say, seconds)
        idle_watched(three, say)
        rest(three, say, seconds)


# ------------------------------------------------------------------------------------------------ failover

class Gaps:
    """A producer of acks=all to one partition, one record every few ms, that finds the leader again every 3 ms; as a context."""

    def __init__(self, nodes, partition):
        self.nodes, self.partition, self.over, self.times = nodes, partition, threading.Event(), []
        self.thread = threading.Thread(target=self.run)

    def run(self):
        connection, asked = None, list(self.nodes)
        while not self.over.is_set():
            try:
                if connection is None:
                    asked.append(asked.pop(0))
                    leader = topic_state(asked, 'one')[1].get(self.partition, (-1,))[0]
                    connection = Raw(self.nodes[leader - 1], 3) if leader > 0 else None
                elif connection.produce('one', batch(b'x'), partition=self.partition, acks=-1)['error_code'] == 0:
                    self.times.append(time.monotonic())
                else:
                    connection = None
            except (OSError, Closed):
                connection = None
            time.sleep(0.003)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def longest(self):
        return max((b - a for a, b in zip(self.times, self.times[1:])), default=0)


def failover(weir, folder, say):
    medians = {}
    for partitions in (0, 10000):
        with Three(weir, folder / ('failover-%d' % partitions)) as three:
            nodes = [n.bootstrap for n in three.cluster.nodes]
            three.create('one', 3, 3)
            if partitions:
                three.create('many', partitions, 3)
            gaps = []
            for _ in range(5):
                controller, state = topic_state(nodes, 'one')
                partition = next((p for p, s in state.items() if s[0] == controller), 0)
                victim = three.cluster.nodes[controller - 1]
                with Gaps(nodes, partition) as load:
                    time.sleep(0.7)
                    victim.process.kill()
                    victim.process.wait()
                    time.sleep(3)
                gaps.append(load.longest() * 1000)
                victim.start()
                time.sleep(8 if partitions else 2)
            medians[partitions] = statistics.median(gaps)
            say('controller and leader killed, %s partitions' % format(partitions + 3, ','), '%.0f ms' % medians[partitions],
                'median of 5 longest pauses of acks=all, worst %.0f ms' % max(gaps))
    say('10,000 partitions more', '%+.0f ms' % (medians[10000] - medians[0]), 'difference of the medians')
