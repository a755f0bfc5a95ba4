# SPDX-License-Identifier: Apache-2.0
"""Replicas that move between the log folders of one broker: under load and at a throttle, over kill -9, cancelled, by the
words of kafka-reassign-partitions and of weir admin."""

import glob
import json
import os
import shutil
import subprocess
import tempfile
import time

from failover import Three
from failover_load import CACHE, Load
from harness import Node, Skip, batch, until

SETTINGS = ['log.segment.bytes=1048576', 'log.segment.delete.delay.ms=300']


class TwoFolders(Node):
    """A node with two log folders."""

    def __init__(self, weir, settings=()):
        super().__init__(weir, SETTINGS + list(settings))
        self.tools, self.weir = tempfile.mkdtemp(prefix='weir-tools-'), weir
        link = os.path.join(self.tools, 'kafka-reassign-partitions')
        os.symlink(os.path.abspath(weir), link)
        self.command_of_tool = [link]
        self.first, self.second = self.data, tempfile.mkdtemp(prefix='weir-second-')
        self.command[self.command.index('--data') + 1] = self.first + ',' + self.second

    def __exit__(self, *rest):
        try:
            return super().__exit__(*rest)
        finally:
            shutil.rmtree(self.second, ignore_errors=True)
            shutil.rmtree(self.tools, ignore_errors=True)

    def home(self, name):
        """The folder a partition is in, and the other one."""
        at = [d for d in (self.first, self.second) if os.path.isdir(os.path.join(d, name))]
        assert len(at) == 1, '%s is in %s' % (name, at)
        return at[0], self.second if at[0] == self.first else self.first

    def left_over(self):
        return [n for d in (self.first, self.second) for n in os.listdir(d) if n.endswith(('-future', '-delete'))]

    def tool(self, *words, code=0):
        done = subprocess.run(self.command_of_tool + [ '--bootstrap-server', self.bootstrap] + list(words), capture_output=True, text=True,
                              timeout=60, check=False)
        assert done.returncode == code, 'exit code %d: %s' % (done.returncode, done.stdout + done.stderr)
        return done.stdout

    def plan(self, moves):
        path = os.path.join(self.tools, 'plan.json')
        with open(path, 'w') as file:
            json.dump({'version': 1, 'partitions': [{'topic': 't', 'partition': p, 'replicas': [1], 'log_dirs': [d]}
                                                    for p, d in moves]}, file)
        return path


def alter(c, path, topic, *partitions):
    answer = c.call('AlterReplicaLogDirs', 1, {'dirs': [{'path': path, 'topics': [{'name': topic, 'partitions': list(partitions)}]}]})
    return [p['error_code'] for r in answer['results'] for p in r['partitions']]


def under_way(c, folder):
    """{partition: records to go} of what moves to a folder."""
    for d in c.call('DescribeLogDirs', 1, {'topics': None})['results']:
        path = d['log_dir'].decode() if isinstance(d['log_dir'], bytes) else d['log_dir']
        if path == folder:
            return {p['partition_index']: p['offset_lag'] for t in d['topics'] for p in t['partitions'] if p['is_future_key']}
    raise AssertionError('no such folder')


def fill(c, topic, partition, count, size=20000):
    for n in range(count):
        assert c.produce(topic, batch(b'%06d' % n + b'x' * size), partition=partition)['error_code'] == 0


def read_all(node, topic, partition, end):
    """Every record is there, once, in order."""
    offset = 0
    with node.raw(20) as c:
        while offset < end:
            part = c.fetch(topic, offset, partition=partition)
            assert part['error_code'] == 0 and part['records'], part
            for b in batches_of(part['records']):
                assert b[0] == offset, 'offset %d where %d should be' % (b[0], offset)
                offset = b[1] + 1
    return offset


def batches_of(records):
    at = 0
    while at + 27 <= len(records):
        base, length = int.from_bytes(records[at:at + 8], 'big'), int.from_bytes(records[at + 8:at + 12], 'big')
        if at + 12 + length > len(records):
            return
        yield base, base + int.from_bytes(records[at + 23:at + 27], 'big')
        at += 12 + length


def moves_under_load(weir):
    """A partition moves while it is written to, at a throttle: progress shows, nothing is lost, the old folder goes; errors are
    Kafka's; to where it is cancels."""
    with TwoFolders(weir, ['replica.alter.log.dirs.io.max.bytes.per.second=4000000']) as node:
        with node.raw() as c:
            assert c.create('t', 1) == 0
            fill(c, 't', 0, 400)
            home, other = node.home('t-0')
            assert alter(c, '/nowhere', 't', 0) == [57] and alter(c, home, 't', 0, 7) == [0, 9] and alter(c, other, 'u', 0) == [9]
            begin = time.monotonic()
            assert alter(c, other, 't', 0) == [0]
            seen, end, slowest = set(), 400, 0
            while not os.path.isdir(os.path.join(other, 't-0')):
                before = time.monotonic()
                fill(c, 't', 0, 1, 500)
                slowest, end = max(slowest, time.monotonic() - before), end + 1
                seen.add(under_way(c, other).get(0))
                assert time.monotonic() - begin < 20, node.log()[-1500:]
                time.sleep(0.01)
            took = time.monotonic() - begin
            assert len(seen) > 5, 'progress: %s' % seen
            assert took > 0.8, 'moved 8 MB in %.2f s at 4 MB/s' % took
            fill(c, 't', 0, 10, 500)
            assert c.end('t') == end + 10
            until(lambda: not node.left_over(), 5, node.left_over)
            assert alter(c, home, 't', 0) == [0] and under_way(c, home)
            assert alter(c, other, 't', 0) == [0]
            until(lambda: not under_way(c, home) and not node.left_over(), 5, 'not cancelled')
            assert node.home('t-0')[0] == other
        read_all(node, 't', 0, end + 10)
        assert node.stop() == 0
        node.start()
        read_all(node, 't', 0, end + 10)
    return '8 MB in %.1f s at 4 MB/s; slowest produce meanwhile %.0f ms' % (took, slowest * 1000)


def killed(weir):
    """kill -9 and clean stops in the middle of moves: each start begins them again, to the end."""
    rounds = 0
    with TwoFolders(weir) as node:
        with node.raw() as c:
            assert c.create('t', 2) == 0
            for p in range(2):
                fill(c, 't', p, 300)
        for n in range(8):
            homes = {p: node.home('t-%d' % p) for p in range(2)}
            with node.raw() as c:
                for p, (_, other) in homes.items():
                    assert alter(c, other, 't', p) == [0]
                time.sleep(0.012 * n)
            if n % 3 == 2:
                assert node.stop() == 0
            else:
                node.kill()
            node.start()
            for p, (_, other) in homes.items():
                until(lambda p=p, other=other: os.path.isdir(os.path.join(other, 't-%d' % p)), 10, node.log)
            until(lambda: not node.left_over(), 5, node.left_over)
            for p, (_, other) in homes.items():
                assert node.home('t-%d' % p)[0] == other
                read_all(node, 't', p, 300)
            rounds += 1
    return '%d rounds' % rounds


def by_tools(weir):
    """kafka-reassign-partitions with log_dirs (execute, verify, cancel) and weir admin log-dirs move --wait."""
    with TwoFolders(weir) as node:
        round_trip(node)


def by_kafka_itself(weir):
    """The same by Apache Kafka's own tool, where its artifacts are installed."""
    paths = sorted(glob.glob(os.path.join(CACHE, 'kafka-[0-9]*.classpath')))
    if not paths or not shutil.which('java'):
        raise Skip('without the artifacts that test/compat/install.sh fetches')
    with open(paths[-1]) as file:
        class_path = file.read().strip()
    with TwoFolders(weir) as node:
        node.command_of_tool = ['java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC',
                                '-Dorg.slf4j.simpleLogger.defaultLogLevel=error', '-cp', class_path,
                                'org.apache.kafka.tools.reassign.ReassignPartitionsCommand']
        round_trip(node)
    return os.path.basename(paths[-1])


def round_trip(node):
    with node.raw() as c:
        assert c.create('t', 2) == 0
        for p in range(2):
            fill(c, 't', p, 200)
        home, other = node.home('t-0')
        plan = node.plan([(0, other), (1, 'any')])
        said = node.tool('--execute', '--reassignment-json-file', plan)
        assert 'Successfully started moving log directory to %s for replica t-0 with broker 1' % other in said, said
        until(lambda: 'Reassignment of replica t-0-1 completed successfully.' in
              node.tool('--verify', '--reassignment-json-file', plan), 10, node.log)
        assert node.home('t-0')[0] == other
        back = node.plan([(0, home)])
        said = node.tool('--execute', '--reassignment-json-file', back, '--replica-alter-log-dirs-throttle', '100000')
        assert 'The replica-alter-dir throttle limit was set to 100000 B/s' in said, said
        assert 'Reassignment of replica t-0-1 is still in progress.' in node.tool('--verify', '--reassignment-json-file', back)
        said = node.tool('--cancel', '--reassignment-json-file', back)
        assert 'Successfully started moving log directory to %s for replica t-0 with broker 1' % other in said, said
        until(lambda: not under_way(c, home), 5, 'not cancelled')
        assert node.home('t-0')[0] == other
        done = subprocess.run([node.weir, 'admin', 'log-dirs', 'move', 't:0', '--broker', '1', '--to', home, '--wait', '-b',
                               node.bootstrap], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and 't-0 of broker 1 is in ' + home in done.stdout, done.stdout + done.stderr
        assert node.home('t-0')[0] == home
    read_all(node, 't', 0, 200)


def in_a_cluster(weir):
    """Partitions that a node leads and follows move between its folders again and again under load with acks=all: nothing is
    lost, nobody leaves an ISR for it."""
    cluster = Three(weir)
    node = cluster.node(1)
    with tempfile.TemporaryDirectory(prefix='weir-second-') as second:
        first = node.data
        node.command[node.command.index('--data') + 1] = first + ',' + second
        with cluster:
            cluster.create('load', 6)
            cluster.whole('load', 6)
            with Load(cluster, 'load', 6) as load:
                time.sleep(0.5)
                begin, moved = time.monotonic(), 0
                while time.monotonic() - begin < 6:
                    with cluster.raw(1) as c:
                        for to in (first, second):
                            there = [p for p in range(6) if os.path.isdir(os.path.join(second if to == first else first, 'load-%d' % p))]
                            assert alter(c, to, 'load', *there) == [0] * len(there)
                            until(lambda to=to: all(os.path.isdir(os.path.join(to, 'load-%d' % p)) for p in range(6)), 15, node.log)
                            moved += len(there)
                cluster.whole('load', 6)
            count = load.check()
            pause = max(load.pauses().values())
    return '%d moves, longest pause %.2f s, %d records' % (moved, pause, count)


CASES = [moves_under_load, killed, in_a_cluster, by_tools, by_kafka_itself]
