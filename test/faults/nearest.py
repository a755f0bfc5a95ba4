# SPDX-License-Identifier: Apache-2.0
"""Consumers that name their rack read from the replica there (KIP-392), as raw requests and as real clients see it."""

import os
import re
import shutil
import subprocess
import time

from failover import Three
from failover_load import CACHE
from harness import Closed, Raw, Skip, batch, timed, until
from connection import fetch_body

VERSION = 12
JAVA = os.path.join(CACHE, 'kafka-4.1.1.classpath')
NOT_LEADER, OUT_OF_RANGE, FENCED = 6, 1, 74


class Racks(Three):
    """Three nodes in the racks a, b and c."""

    def __init__(self, weir, selector='rack'):
        super().__init__(weir, ['replica.selector.class=' + selector] if selector else ())
        for node, rack in zip(self.nodes, 'abc'):
            node.command += ['--set', 'broker.rack=' + rack]

    def filled(self, topic, batches=20, size=2000):
        """A topic of one partition with records; (leader, the other two)."""
        self.create(topic)
        self.whole(topic)
        leader = self.state(topic)[0]
        with self.raw(leader) as c:
            for n in range(batches):
                assert c.produce(topic, batch(b'%04d' % n * (size // 4)))['error_code'] == 0
        return leader, [n for n in (1, 2, 3) if n != leader]

    def fetch(self, number, topic, offset, rack='', version=VERSION, wait_ms=0, epoch=-1):
        body = fetch_body(topic, offset, max_wait_ms=wait_ms)
        body['rack_id'] = rack
        body['topics'][0]['partitions'][0]['current_leader_epoch'] = epoch
        with self.raw(number) as c:
            return c.call('Fetch', version, body)['responses'][0]['partitions'][0]

    def sent(self, number):
        """Bytes the node has sent in its life; it ends."""
        node = self.node(number)
        assert node.stop() == 0
        line = re.findall(r'sent (\d+) from memory and (\d+) from log files', node.log())[-1]
        return sum(map(int, line))


def of(rack):
    return 'abc'.index(rack) + 1


def asked_where(weir):
    """Who is sent where, what a follower answers, and that its consumers hear of new records at once."""
    with Racks(weir) as cluster:
        leader, others = cluster.filled('t')
        racks = {n: 'abc'[n - 1] for n in (1, 2, 3)}
        until(lambda: all(cluster.fetch(n, 't', 0)['high_watermark'] == 20 for n in others), 3, 'a follower learns no watermark')
        for n in others:
            told = cluster.fetch(leader, 't', 0, racks[n])
            assert (told['error_code'], told['preferred_read_replica'], told['records'] or b'') == (0, n, b''), told
            there = cluster.fetch(n, 't', 0, racks[n])
            assert (there['error_code'], there['preferred_read_replica']) == (0, -1) and len(there['records']) > 1000, there
        for rack in (racks[leader], 'elsewhere', ''):
            own = cluster.fetch(leader, 't', 0, rack)
            assert own['preferred_read_replica'] == -1 and len(own['records']) > 1000, (rack, own['preferred_read_replica'])
        other = others[0]
        assert cluster.fetch(other, 't', 0, version=10)['error_code'] == NOT_LEADER, 'Fetch 10 knows of no followers'
        assert cluster.fetch(other, 't', 21, racks[other], epoch=0)['error_code'] == OUT_OF_RANGE
        assert cluster.fetch(other, 't', 21, racks[other])['error_code'] == NOT_LEADER
        assert cluster.fetch(other, 't', 0, racks[other], epoch=7)['error_code'] in (75, 76), 'an epoch that nobody knows'
        assert cluster.fetch(leader, 't', 9000, racks[other])['error_code'] == OUT_OF_RANGE, 'no replica has that'
        with cluster.raw(other) as c:
            assert c.list_offset('t', -1)[0] == NOT_LEADER, 'offsets are the leader\'s to tell'
        slowest = 0
        with cluster.raw(other) as c, cluster.raw(leader) as p:
            for n in range(20, 40):
                body = fetch_body('t', n, max_wait_ms=5000)
                body['rack_id'] = racks[other]
                c.send('Fetch', VERSION, body)
                time.sleep(0.02)
                assert p.produce('t', batch(b'next'))['error_code'] == 0
                took, (_, answer) = timed(c.read, 'Fetch', VERSION)
                found = answer['responses'][0]['partitions'][0]
                assert found['error_code'] == 0 and len(found['records']) > 0 and found['high_watermark'] == n + 1, found
                slowest = max(slowest, took)
        assert slowest < 0.3, 'a record came to the follower\'s consumer after %.0f ms' % (slowest * 1000)
        # A fetch that waits at a follower ends when another one leads.
        with cluster.raw(other) as c:
            body = fetch_body('t', 40, max_wait_ms=20000)
            body['rack_id'] = racks[other]
            body['topics'][0]['partitions'][0]['current_leader_epoch'] = 0
            c.send('Fetch', VERSION, body)
            time.sleep(0.1)
            cluster.node(leader).kill()
            took, (_, answer) = timed(c.read, 'Fetch', VERSION)
        assert took < 5 and answer['responses'][0]['partitions'][0]['error_code'] == FENCED, (took, answer)
    with Racks(weir, None) as cluster:
        leader, others = cluster.filled('t', 2)
        own = cluster.fetch(leader, 't', 0, 'abc'[others[0] - 1])
        assert own['preferred_read_replica'] == -1 and len(own['records']) > 1000, 'nobody asked for a choice by rack'
    return 'a new record is at the follower\'s consumer after at most %.0f ms' % (slowest * 1000)


def from_follower(weir, consume):
    """The bytes that leader and follower sent while a real client read 4 MB, with the rack of a follower."""
    with Racks(weir, 'org.apache.kafka.common.replica.RackAwareReplicaSelector') as cluster:
        leader, others = cluster.filled('t', 80, 50000)
        near, far = others
        until(lambda: cluster.fetch(near, 't', 0)['high_watermark'] == 80, 3, 'the follower learns no watermark')
        consume(cluster, 'abc'[near - 1])
        copies = 80 * 50000
        sent = {n: cluster.sent(n) for n in (far, near, leader)}
        assert sent[near] > copies, 'the follower in the rack sent %d bytes' % sent[near]
        assert sent[far] < copies / 4, 'the other one sent %d bytes' % sent[far]
        assert sent[leader] < 2.5 * copies, 'the leader sent %d bytes' % sent[leader]  # twice to its followers
        cluster.equal('t')
    return 'leader %.1f MB (twice to its followers), follower %.1f MB' % (sent[leader] / 1e6, sent[near] / 1e6)


def librdkafka(weir):
    """kcat with client.rack reads from the follower in its rack, every record."""
    if not shutil.which('kcat'):
        raise Skip('no kcat')

    def consume(cluster, rack):
        done = subprocess.run(['kcat', '-b', cluster.bootstrap, '-C', '-t', 't', '-o', 'beginning', '-c', '80', '-X', 'client.rack=' + rack,
                               '-f', '%o %S\n'], capture_output=True, text=True, timeout=30)
        assert done.stdout == ''.join('%d 50000\n' % n for n in range(80)), done.stdout[-200:] + done.stderr
    return from_follower(weir, consume)


def console_consumer(cluster, rack, *arguments, **options):
    """Kafka's console consumer of topic t from its beginning, started."""
    if not shutil.which('java') or not os.path.exists(JAVA):
        raise Skip('no Java client: test/compat/install.sh installs it')
    with open(JAVA) as file:
        path = file.read().strip()
    return subprocess.Popen(['java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xmx128m', '-cp', path,
                             'org.apache.kafka.tools.consumer.ConsoleConsumer', '--bootstrap-server', cluster.bootstrap, '--topic', 't',
                             '--partition', '0', '--offset', 'earliest', '--consumer-property', 'client.rack=' + rack] + list(arguments), text=True, **options)


def java(weir):
    """Kafka's console consumer with client.rack reads from the follower in its rack, every record."""
    def consume(cluster, rack):
        reader = console_consumer(cluster, rack, '--max-messages', '80', '--timeout-ms', '20000', stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        out, said = reader.communicate(timeout=60)
        lines = out.split()
        assert [len(line) for line in lines] == [50000] * 80, '%d lines: %s' % (len(lines), said[-500:])
    return from_follower(weir, consume)


def follower_dies(weir):
    """The follower a consumer reads from is killed, comes back and leads: the consumer goes on, every record once, in order."""
    with Racks(weir) as cluster:
        leader, others = cluster.filled('t', 1, 100)
        near = others[0]
        out = os.path.join(cluster.folder, 'read')
        with open(out, 'w') as file:
            reader = console_consumer(cluster, 'abc'[near - 1], '--property', 'print.offset=true', '--property', 'print.value=false',
                                      stdout=file, stderr=subprocess.DEVNULL)
        count = 1

        def write(n):
            nonlocal count
            for _ in range(n):
                def put():
                    try:
                        with Raw(cluster.node(cluster.state('t')[0]).bootstrap, 5) as c:
                            return c.produce('t', batch(b'more'))['error_code'] == 0
                    except (OSError, Closed, IndexError):
                        return False
                until(put, 20, 'not taken')
                count += 1

        def read():
            with open(out) as file:
                return [line.strip().split(':')[1] for line in file if line.endswith('\n')]
        try:
            write(20)
            until(lambda: len(read()) >= count, 20, lambda: 'read %d of %d' % (len(read()), count))
            cluster.node(near).kill()
            write(20)
            took, _ = timed(until, lambda: len(read()) >= count, 20, lambda: 'read %d of %d' % (len(read()), count))
            cluster.node(near).start()
            cluster.whole('t')
            cluster.node(leader).kill()
            write(20)
            until(lambda: len(read()) >= count, 30, lambda: 'read %d of %d' % (len(read()), count))
        finally:
            reader.kill()
            reader.wait()
        assert [int(n) for n in read()] == list(range(count)), read()
    return 'read on %.1f s after its follower was killed' % took


CASES = [asked_where, librdkafka, java, follower_dies]
