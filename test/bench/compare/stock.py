# SPDX-License-Identifier: Apache-2.0
"""Loads by clients that are not ours, so that nobody has to trust them: kcat (librdkafka), Kafka's own perf tests, and for
the failover gap the producers of librdkafka and of Kafka's Java client at their defaults."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

import loads
import machine
from brokers import COMPAT, KAFKA_VERSION
from pairs import Unavailable, Wrong

CACHE = pathlib.Path(os.environ.get('WEIR_CLIENT_CACHE') or pathlib.Path.home() / '.cache/weir-clients')


def java(broker, *words):
    path = CACHE / ('kafka-%s.classpath' % KAFKA_VERSION)
    if not path.exists():
        raise Unavailable("Kafka's own tools: test/compat/install.sh kafka-%s has not run" % KAFKA_VERSION)
    return broker.cores.prefix(broker.cores.clients) + ['java', '-Xmx256m', '-Dorg.slf4j.simpleLogger.defaultLogLevel=error',
                                                        '-cp', path.read_text().strip(), *map(str, words)]


def run(command, seconds=600, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, **options)
    if done.returncode:
        raise Wrong('%s: exit %d: %s' % (pathlib.Path(command[-1]).name, done.returncode, (done.stdout + done.stderr)[-400:]))
    return done.stdout


class Kcat(loads.Load):
    title = '100-byte records in and out by kcat at its defaults'

    def lasts(self):
        return self.sizes.records / 200e3 + 5

    def run(self, broker):
        if not shutil.which('kcat'):
            raise Unavailable('kcat is not installed')
        topic = loads.fresh_topic(broker)
        with tempfile.NamedTemporaryFile('w') as file:
            for number in range(self.sizes.records):
                file.write('%0100d\n' % number)
            file.flush()
            machine.warm_memory()
            before = broker.cpu_s()
            prefix = broker.cores.prefix(broker.cores.clients) + ['kcat', '-q', '-b', broker.bootstrap, '-t', topic]
            run(prefix + ['-P', '-l', file.name])
            read = subprocess.Popen(prefix + ['-C', '-e', '-o', 'beginning'], stdout=subprocess.PIPE)
            count = sum(int(line) == number for number, line in enumerate(read.stdout))
            if read.wait() or count != self.sizes.records:
                raise Wrong('%s: kcat read %d of %d records in their places' % (broker.name, count, self.sizes.records))
            used = broker.cpu_s() - before
        loads.drop(broker, topic)
        return {'cpu_s_per_million': used / (count / 1e6), 'records': count}


class KafkaPerfTest(loads.Load):
    title = "100-byte records by kafka-producer-perf-test and kafka-consumer-perf-test at their defaults"

    def lasts(self):
        return self.sizes.records / 200e3 + 15

    def run(self, broker):
        topic = loads.fresh_topic(broker)
        machine.warm_memory()
        before, count = broker.cpu_s(), self.sizes.records
        said = run(java(broker, 'org.apache.kafka.tools.ProducerPerformance', '--topic', topic, '--num-records', count,
                        '--record-size', 100, '--throughput', -1, '--producer-props', 'bootstrap.servers=' + broker.bootstrap))
        last = said.strip().splitlines()[-1]
        rate, p99 = re.search(r'([\d.]+) records/sec', last), re.search(r'(\d+) ms 99th', last)
        if not last.startswith('%d records sent' % count) or not rate:
            raise Wrong('%s: the producer said %s' % (broker.name, last))
        said = run(java(broker, 'org.apache.kafka.tools.ConsumerPerformance', '--bootstrap-server', broker.bootstrap, '--topic',
                        topic, '--num-records', count, '--timeout', 60000))
        columns = [line.split(', ') for line in said.splitlines() if ', ' in line]
        got = int(columns[-1][4]) if len(columns) > 1 else 0
        if got != count:
            raise Wrong('%s: the consumer read %d of %d records' % (broker.name, got, count))
        used = broker.cpu_s() - before
        loads.drop(broker, topic)
        return {'cpu_s_per_million': used / (count / 1e6), 'records_per_s': float(rate[1]),
                'p99_ms': float(p99[1]) if p99 else 0, 'records': count}


LIBRDKAFKA = '''
import sys, threading, time
from confluent_kafka import Producer
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
p = Producer({'bootstrap.servers': sys.argv[1], 'acks': 'all', **dict(word.split('=') for word in sys.argv[3:])})
def acked(error, message):
    print('failed' if error else 'acked', time.time(), flush=True)
while not over.is_set():
    p.produce(sys.argv[2], b'x' * 100, on_delivery=acked)
    p.poll(0.005)
p.flush(30)
'''


# What a client is told beside its defaults. A leader that falls silent ends no connection: at its defaults a client waits for
# the answer it is owed as long as it is told to (socket.timeout.ms 60 s, Java's request.timeout.ms 30 s), whoever leads by then;
# one that waits a second shows what the brokers took.
CLIENTS = {'librdkafka': [], 'librdkafka-1s': ['socket.timeout.ms=1000'], 'java': []}


class Failover(loads.Load):
    """The longest time without an acknowledgement that a producer sees when the leader goes; beside it what the client itself
    takes when nothing is wrong and the leadership is handed over."""

    warm, nodes = False, 3

    def __init__(self, sizes, client, how):
        super().__init__(sizes)
        self.client, self.how, self.network = client, how, how == 'gone'
        self.title = 'the longest pause of a %s producer, acks=all, leader %s, factor 3' % (client, how)

    def lasts(self):
        return 40 if self.client == 'java' else 30

    def leader(self, broker, topic):
        done = broker.ask('admin', 'topics', 'describe', topic, '--json')
        if done.returncode:
            return None
        part = json.loads(done.stdout)
        part = part[0] if isinstance(part, list) else part
        part = part['topics'][0] if 'topics' in part else part
        part = part['partitions'][0]
        isr = part.get('isr') or part.get('in_sync') or []
        return part['leader'], len(isr)

    def whole(self, broker, topic, seconds=90):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            got = self.leader(broker, topic)
            if got and got[1] == 3:
                return got[0]
            time.sleep(0.2)
        raise Wrong('%s: the replicas of %s are not in sync after %d s' % (broker.name, topic, seconds))

    def command(self, broker, topic):
        if self.client == 'java':
            return java(broker, 'org.apache.kafka.tools.VerifiableProducer', '--bootstrap-server', broker.bootstrap, '--topic',
                        topic, '--throughput', 200)
        python = CACHE / 'py-confluent/bin/python'
        if not python.exists():
            raise Unavailable('librdkafka: test/compat/install.sh confluent has not run')
        return broker.cores.prefix(broker.cores.clients) + [str(python), '-c', LIBRDKAFKA, broker.bootstrap, topic] + CLIENTS[self.client]

    def acks(self, path):
        out = []
        for line in path.read_text().rpartition('\n')[0].splitlines():      # the last one is still being written
            if line.startswith('acked '):
                out.append(float(line.split()[1]))
            elif '"producer_send_success"' in line:
                out.append(json.loads(line)['timestamp'] / 1000)
        return sorted(out)

    def strike(self, broker, node):
        if self.how == 'gone':          # its cable: no side is told
            broker.unplug(node, 'down')
        else:
            broker.processes[node].send_signal(signal.SIGKILL if self.how == 'killed' else signal.SIGSTOP)

    def mend(self, broker, node):
        if self.how == 'killed':
            broker.processes[node].wait()
            broker.begin(node)
        elif self.how == 'stopped':
            broker.processes[node].send_signal(signal.SIGCONT)
        else:
            broker.unplug(node, 'up')

    def gap_ms(self, broker, topic, act):
        """The longest time between two acknowledgements around what act() does, and how many there were; None for the gap when
        the producer got none afterwards."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / 'acks'
            with open(path, 'w') as out:
                load = subprocess.Popen(self.command(broker, topic), stdout=out, stderr=subprocess.DEVNULL, stdin=subprocess.PIPE)
            try:
                time.sleep(6 if self.client == 'java' else 3)
                self.whole(broker, topic)
                at = time.time()
                act()
                end = time.monotonic() + 120     # a client may hold on to its connection for a minute
                while time.monotonic() < end and not any(t > at + 0.5 for t in self.acks(path)):
                    time.sleep(0.2)
                time.sleep(3)
            finally:
                if self.client == 'java':
                    load.send_signal(signal.SIGTERM)
                load.stdin.close()
                try:
                    load.wait(60)
                except subprocess.TimeoutExpired:
                    load.kill()
                    load.wait()
            acks = self.acks(path)
        after = [t for t in acks if t > at - 0.5]
        if len(after) < 2 or after[-1] < at + 0.5:
            return None, len(acks)
        return 1000 * max(b - a for a, b in zip(after, after[1:])), len(acks)

    def client_floor_ms(self, broker, topic):
        """The client's own share: its pause when a leadership is handed over by an election among nodes that all live. None
        when the leadership did not move."""
        before = self.whole(broker, topic)
        gap, _ = self.gap_ms(broker, topic, lambda: broker.ask('admin', 'leaders', 'elect', topic))
        return gap if self.whole(broker, topic) != before else None

    def run(self, broker):
        topic = loads.fresh_topic(broker, min_insync_replicas=2)
        leader = self.whole(broker, topic)
        gap, count = self.gap_ms(broker, topic, lambda: self.strike(broker, leader - 1))
        # Before it is back: the node that is preferred may be made leader again as soon as it is.
        led = self.leader(broker, topic)
        self.mend(broker, leader - 1)
        self.whole(broker, topic)
        if led and led[0] == leader:
            raise Wrong('%s: node %d was %s and led on' % (broker.name, leader, self.how))
        if gap is None:
            raise Wrong('%s: no acknowledgement after the leader was %s' % (broker.name, self.how))
        out = {'gap_ms': gap, 'records': count}
        floor = None if broker.jvm else self.client_floor_ms(broker, topic)
        if floor is not None:
            out['client_floor_ms'] = floor
        broker.delete(topic)
        return out


def installed():
    """Has the stock clients at hand, where they can be had."""
    subprocess.run([COMPAT / 'install.sh', 'confluent'], capture_output=True)
