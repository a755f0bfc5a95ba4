# SPDX-License-Identifier: Apache-2.0
"""Load on a cluster whose nodes die: idempotent producers that find the leader again, a journal of what was acknowledged in a
process of its own, and the check of what the cluster then holds.

A record counts only once its acknowledgement stands in the journal, with the time it came; the journal's process outlives
every node. Times are of the monotonic clock, which all processes of a machine share."""

import multiprocessing
import os
import random
import subprocess
import time

from harness import Closed, Raw     # before kill9: it says where that lies
import kill9                                                                        # noqa: E402

CACHE = os.environ.get('WEIR_CLIENT_CACHE') or os.path.expanduser('~/.cache/weir-clients')
RETRIABLE = (3, 5, 6, 7, 9, 19, 20, 56, 74)


def topic_state(bootstraps, topic):
    """(controller, {partition: (leader, replicas, isr)}) from the first node that answers; (-1, {}) when none does."""
    for bootstrap in bootstraps:
        try:
            with Raw(bootstrap, 1) as c:
                answer = c.call('Metadata', 7, {'topics': [{'name': topic}], 'allow_auto_topic_creation': False})
            return answer['controller_id'], {p['partition_index']: (p['leader_id'], p['replica_nodes'], p['isr_nodes'])
                                             for t in answer['topics'] for p in t['partitions']}
        except (OSError, Closed):
            continue
    return -1, {}


class Producer(kill9.Producer):
    """kill9's producer, against many nodes: each time it connects it asks any of those it knows who leads. acks=all and
    idempotent, or acks=1 and never sent twice."""

    def __init__(self, bootstraps, known, pipe, number, topic, partition, idempotent, seed):
        super().__init__(bootstraps[0], pipe, number, partition, idempotent, seed)
        self.nodes, self.bootstraps, self.topic = list(bootstraps), list(known), topic

    retriable, patience_s = RETRIABLE, 3

    def where(self):
        self.bootstraps.append(self.bootstraps.pop(0))      # a node that hangs is not asked first again
        leader = topic_state(self.bootstraps, self.topic)[1].get(self.partition, (-1,))[0]
        return self.nodes[leader - 1] if leader > 0 else None

    def noted(self):
        return ' %.6f' % time.monotonic()

    def refused(self, behind):
        for first, values in behind:
            self.answer(first, values)      # may be accepted: what was refused may have arrived before, from an earlier leader
        time.sleep(kill9.RETRY_S)


def raw_load(stop, *arguments):
    Producer(*arguments).run(stop)


CONFLUENT = r'''
import sys, time
from confluent_kafka import Producer
bootstrap, topic, name, partition = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
out, failed = sys.stdout, []
def said(error, message):
    if error:
        out.write('e %s 0 %s\n' % (name, str(error).replace(' ', '_')))
    else:
        out.write('a %s %d 1 %d %.6f\n' % (name, int(message.value().split(b' ')[1]), message.offset(), time.monotonic()))
    out.flush()
p = Producer({'bootstrap.servers': bootstrap, 'enable.idempotence': True, 'linger.ms': 0, 'log_level': 0})
number, end = 0, False
import threading
def wait():
    sys.stdin.read()
    global end
    end = True
threading.Thread(target=wait, daemon=True).start()
while not end:
    p.produce(topic, b'%s %d x' % (name.encode(), number), partition=partition, on_delivery=said)
    number += 1
    p.poll(0.005)
left = p.flush(20)
if left:
    out.write('e %s 0 %d_records_unanswered\n' % (name, left)); out.flush()
'''


SIDE = 100      # a producer's number is its side's times this, plus its partition's


class Load:
    """As a context: producers of one topic, one a partition; their journal is read with journal() once it is over.
    stock: the producers of the last partitions are librdkafka's, of confluent-kafka, where that is installed.
    sides: [(nodes, idempotent)]: one producer a partition for each, that asks only these nodes who leads."""

    def __init__(self, cluster, topic, partitions, stock=0, sides=None):
        python = os.path.join(CACHE, 'py-confluent', 'bin', 'python')
        self.stock = stock if os.access(python, os.X_OK) else 0
        self.cluster, self.topic, self.partitions = cluster, topic, partitions
        self.path = os.path.join(cluster.folder, 'journal-' + topic)
        self.begin = self.end = 0
        bootstraps = [node.bootstrap for node in cluster.nodes]
        reader, self.writer = os.pipe()
        self.over = multiprocessing.Event()
        self.keeper = multiprocessing.Process(target=kill9.keep, args=(reader, self.writer, self.path))
        self.keeper.start()
        os.close(reader)
        seed = random.randrange(1 << 30)
        plain = partitions - self.stock
        self.gone = 0           # records acknowledged with acks=1 that check() did not find
        self.workers = []
        for side, (nodes, idempotent) in enumerate(sides or [(cluster.nodes, True)]):
            for n in range(plain):
                number = side * SIDE + n
                self.workers.append(multiprocessing.Process(target=raw_load, args=(
                    self.over, bootstraps, [node.bootstrap for node in nodes], self.writer, number, topic, n, idempotent,
                    seed + number)))
        self.clients = [[python, '-c', CONFLUENT, cluster.bootstrap, topic, 'i%d' % n, str(n)] for n in range(plain, partitions)]

    def __enter__(self):
        self.begin = time.monotonic()
        for worker in self.workers:
            worker.start()
        self.clients = [subprocess.Popen(c, stdin=subprocess.PIPE, stdout=self.writer, stderr=subprocess.DEVNULL) for c in self.clients]
        os.close(self.writer)
        return self

    def __exit__(self, kind, *_):
        self.end = time.monotonic()
        self.over.set()
        for client in self.clients:
            client.stdin.close()
        for worker in self.workers:
            worker.join(30)
            if worker.is_alive():
                worker.terminate()
        for client in self.clients:
            try:
                client.wait(30)
            except subprocess.TimeoutExpired:
                client.kill()
        self.keeper.join(10)
        if kind is None:
            ended = [w.exitcode for w in self.workers] + [c.returncode for c in self.clients]
            assert not any(ended), 'a producer did not end well: %s' % ended
        return False

    def journal(self):
        """({producer: {record: offset}}, {producer: [when each answer came]}, refusals)."""
        acknowledged, times, errors = {}, {}, []
        with open(self.path) as file:
            for line in file:
                kind, name, *rest = line.split()
                if kind == 'a':
                    first, size, base = map(int, rest[:3])
                    acknowledged.setdefault(name, {}).update((first + i, base + i) for i in range(size))
                    times.setdefault(name, []).append(float(rest[3]))
                else:
                    errors.append(line.strip())
        return acknowledged, times, errors

    def pauses(self):
        """{producer: its longest pause of acknowledgements in seconds}, from its first answer until the load was told to end."""
        longest = {}
        for name, at in self.journal()[1].items():
            at = [t for t in sorted(at) if t < self.end] + [self.end]
            longest[name] = max((b - a for a, b in zip(at, at[1:])), default=0)
        return longest

    def pauses_after(self, moment, until):
        """Of each producer, the longest pause that touches the time between two moments."""
        out = {}
        for name, at in self.journal()[1].items():
            at = sorted(at)
            out[name] = max((b - a for a, b in zip(at, at[1:]) if b >= moment and a <= until), default=0)
        return out

    def read(self, bootstraps, partition, patience_s=15):
        """All of a partition from whoever leads it: after a heal leaderships go back to the preferred, also while one reads."""
        end = time.monotonic() + patience_s
        while True:
            leader = topic_state(bootstraps, self.topic)[1][partition][0]
            try:
                return kill9.read_all(self.cluster.nodes[leader - 1].bootstrap, partition, self.topic)
            except kill9.Moved:
                assert time.monotonic() < end, 'no leader for %s-%d in %d s' % (self.topic, partition, patience_s)
                time.sleep(0.2)

    def check(self):
        """Everything read back from the leaders: nothing lost, nothing twice, in order; how many were acknowledged. What was
        acknowledged with acks=1 may be lost and is counted in gone."""
        acknowledged, _, errors = self.journal()
        assert not errors, '%d refusals, the first: %s' % (len(errors), errors[0])
        named = {int(name[1:]) % SIDE for name in acknowledged}
        assert len(named) == self.partitions, 'only %s were ever acknowledged' % sorted(acknowledged)
        bootstraps = [node.bootstrap for node in self.cluster.alive()]
        for partition in named:
            mine = {name: records for name, records in acknowledged.items() if int(name[1:]) % SIDE == partition}
            found = self.read(bootstraps, partition)
            kill9.check_partition(found, {name: records for name, records in mine.items() if name.startswith('i')})
            there = {value.rsplit(b' ', 1)[0]: offset for b in found for offset, _, _, value in b.records()}
            self.gone += sum(there.get(b'%s %d' % (name.encode(), number)) != offset for name, records in mine.items()
                             if name.startswith('p') for number, offset in records.items())
        return sum(len(records) for name, records in acknowledged.items() if name.startswith('i'))

    def between(self, begin, end, kind='i'):
        """How many answers with acks=all (acks=1: 'p') came between two moments."""
        return sum(begin < t < end for name, at in self.journal()[1].items() if name.startswith(kind) for t in at)
