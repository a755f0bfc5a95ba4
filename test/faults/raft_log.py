# SPDX-License-Identifier: Apache-2.0
"""The Raft log of one of three nodes is found torn or damaged at a start. A torn tail is cut and the node goes on; damage refuses
the start, names file and offset and says how to rejoin, and doing what it says works. The other nodes go on all the while."""

import glob
import os
import re
import shutil
import struct
import subprocess

from failover import Three, produced
from harness import Raw, until

HEAD_BYTES, FRAME_HEAD_BYTES = 32, 64


class Journal:
    """The newest segment of a node's Raft log, as bytes."""

    def __init__(self, data):
        self.path = sorted(glob.glob(os.path.join(data, '__cluster_metadata', '*.journal')))[-1]
        with open(self.path, 'rb') as file:
            self.bytes = bytearray(file.read())
        self.frames, at = [], HEAD_BYTES        # where each begins
        while at + FRAME_HEAD_BYTES <= len(self.bytes):
            length = struct.unpack_from('>I', self.bytes, at + 8)[0]
            if length < FRAME_HEAD_BYTES:
                break
            self.frames.append(at)
            at += length
        self.end = at

    def write(self):
        with open(self.path, 'wb') as file:
            file.write(self.bytes)


def observes(cluster, number):
    """Whether `weir admin quorum status` has the node among the observers."""
    return any(re.match(r'\s*%d\s.*observer' % number, line) for line in cluster.admin('quorum', 'status').splitlines())


def victim_of(cluster, leader):
    """The controller, or another."""
    return cluster.controller() if leader else cluster.controller() % 3 + 1


def goes_on(cluster):
    """A topic can be made."""
    cluster.made = getattr(cluster, 'made', 0) + 1
    cluster.create('made-%d' % cluster.made, 1, factor=2)


def torn(weir):
    """What a crash leaves behind the last whole write is cut with a line: of the controller and of a follower."""
    said = []
    with Three(weir) as cluster:
        cluster.create('t', 3)
        cluster.whole('t', 3)
        for leader in (True, False):
            for rest in (b'\x99' * 300, None):
                victim = victim_of(cluster, leader)
                node = cluster.node(victim)
                node.kill()
                journal = Journal(node.data)
                if rest:                        # the head of a write that never came, and a little of it
                    journal.bytes[journal.end:journal.end + len(rest)] = rest
                else:                           # a write of which some sectors are missing
                    last = bytes(journal.bytes[journal.frames[-1]:journal.end])
                    journal.bytes[journal.end:journal.end + len(last)] = last[:len(last) - 8] + b'\0' * 8
                    journal.bytes[journal.end + 20] ^= 1
                journal.write()
                until(lambda: cluster.controller() != victim, 10, cluster.log_ends)
                goes_on(cluster)
                node.start()
                cluster.registered(3)
                cluster.whole('t', 3)
                line = [s for s in node.log().splitlines() if 'torn by a crash' in s][-1]
                assert 'offset %d ' % journal.end in line and journal.path in line, line
                said.append(line)
        assert len(said) == 4
    return said[-1].split('warning: ')[-1]


def damaged(weir):
    """A flipped bit below what was synced: refused with file and offset; the folder moved away as it says, the node rejoins
    empty, without a vote, is filled, and gets its vote back."""
    with Three(weir) as cluster:
        cluster.create('t', 3, min_insync_replicas='2')
        cluster.whole('t', 3)
        for leader in (True, False):
            for count in range(3):
                cluster.create('more-%s-%d' % (leader, count), 1)
            with Raw(cluster.node(cluster.state('t')[0]).bootstrap) as c:
                assert produced(c, 't', b'x') == 0
            victim = victim_of(cluster, leader)
            node = cluster.node(victim)
            node.kill()
            before = Journal(node.data)
            at = before.frames[len(before.frames) // 2]
            before.bytes[at + FRAME_HEAD_BYTES + 3] ^= 0x10
            before.write()
            goes_on(cluster)
            done = subprocess.run(node.command, capture_output=True, text=True, timeout=20, check=False)
            said = done.stdout + done.stderr
            assert done.returncode == 1, 'exit code %d: %s' % (done.returncode, said[-800:])
            for word in (before.path, 'offset %d' % at, ' away', 'quorum replace'):
                assert word in said, 'nothing of %r in: %s' % (word, said[-800:])
            with open(before.path, 'rb') as file:
                assert file.read() == bytes(before.bytes), 'a refused start changed the log'
            away = re.search(r'move (\S+) away', said).group(1)
            assert os.path.isdir(away), 'there is no folder %s' % away
            shutil.move(away, away + '-moved-%s' % leader)
            node.start()
            cluster.registered(3)
            cluster.whole('t', 3)
            assert observes(cluster, victim), cluster.admin('quorum', 'status')
            cluster.admin('quorum', 'replace', str(victim))
            assert not observes(cluster, victim), cluster.admin('quorum', 'status')
            goes_on(cluster)
        cluster.stop()
        cluster.equal('t')
    return said[said.index('metadata log'):].strip()


def missing(weir):
    """Without its Raft log, but with its identity, a node is refused: it may have voted. Without both it rejoins."""
    with Three(weir) as cluster:
        cluster.create('t', 1)
        cluster.whole('t')
        victim = victim_of(cluster, False)
        node = cluster.node(victim)
        node.kill()
        metadata = os.path.join(node.data, '__cluster_metadata')
        shutil.rmtree(metadata)
        done = subprocess.run(node.command, capture_output=True, text=True, timeout=20, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 1 and metadata in said, 'exit code %d: %s' % (done.returncode, said[-800:])
        goes_on(cluster)
        shutil.rmtree(node.data)
        node.start()
        cluster.registered(3)
        assert observes(cluster, victim), cluster.admin('quorum', 'status')
    return said.strip().splitlines()[-1]


CASES = [torn, damaged, missing]
