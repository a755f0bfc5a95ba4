# SPDX-License-Identifier: Apache-2.0
"""The brokers that are compared: weir, and Apache Kafka out of Maven Central with two sizes of heap. One or three nodes,
each pinned to the broker's core, with data in a folder of their own; what they use is read from /proc."""

import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
COMPAT = ROOT / 'test/compat'
sys.path[:0] = [str(COMPAT), str(COMPAT / 'raw')]
from connection import Closed, Raw, batch                                           # noqa: E402
from pairs import Unavailable                                                       # noqa: E402

KAFKA_VERSION = '4.4.0'
CPU_CLOCK = 2                   # of a process, as clock ids are put together: what the scheduler gave it
# Both get these; everything else is at its default, which is the same in both.
SETTINGS = ['log.segment.delete.delay.ms=1000', 'log.retention.check.interval.ms=60000']


def free_ports(count):
    """So many neighbouring ports that nothing listens on now, below those that the kernel gives to connections: a node that
    is down for a while finds its own again."""
    generator = random.Random(os.getpid() + time.monotonic_ns())
    for _ in range(1000):
        base = generator.randrange(20000, 32000)
        held = [socket.socket() for _ in range(count)]
        try:
            for index, sock in enumerate(held):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(('127.0.0.1', base + index))
            return base
        except OSError:
            continue
        finally:
            for sock in held:
                sock.close()
    raise Unavailable('no %d neighbouring ports are free' % count)


class Broker:
    """One or three nodes. Started again it keeps addresses and data."""

    jvm = False

    def __init__(self, name, weir, folder, cores, nodes=1, places=None):
        """places: host and prefix of each node's command; else all are on loopback."""
        self.name, self.weir, self.cores, self.nodes = name, str(weir), cores, nodes
        self.folder = pathlib.Path(folder)
        self.places = places or [('127.0.0.1', [])] * nodes
        self.settings = SETTINGS        # replaced before the first start by a load that needs others
        self.ports = [free_ports(2) for _ in range(nodes)]
        self.bootstrap = ','.join(self.address(node) for node in range(nodes))
        self.processes = [None] * nodes
        self.warm_s = 0.0       # of the load that is measured now

    def address(self, node, further=0):
        return '%s:%d' % (self.places[node][0], self.ports[node] + further)

    def voters(self):
        """Every node with the address where its controller listens."""
        return ','.join('%d@%s' % (node + 1, self.address(node, 1)) for node in range(self.nodes))

    def command(self, node):
        raise NotImplementedError

    def environment(self):
        return None

    def begin(self, node=0):
        """Starts one node and does not wait."""
        where = self.folder / str(node)
        where.mkdir(parents=True, exist_ok=True)
        with open(where / 'log', 'ab') as log:
            self.processes[node] = subprocess.Popen(
                [str(word) for word in self.cores.prefix(self.cores.broker) + self.places[node][1] + self.command(node)], stdout=log,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=self.environment())

    def start(self, seconds=90):
        for node in range(self.nodes):
            self.begin(node)
        end = time.monotonic() + seconds
        while not self.serves():
            for node, process in enumerate(self.processes):
                if process.poll() is not None:
                    raise Unavailable('%s ended with %d: %s' % (self.name, process.returncode, self.last_words(node)))
            if time.monotonic() > end:
                raise Unavailable('%s does not serve after %d s: %s' % (self.name, seconds, self.last_words(0)))
            time.sleep(0.1)

    def serves(self):
        """All nodes are registered and one of them answers for all."""
        done = self.ask('admin', 'brokers', 'list', '--json')
        return done.returncode == 0 and done.stdout.count('"host"') >= self.nodes

    def ask(self, *words, seconds=120):
        """A weir command against this broker, on the clients' cores."""
        return subprocess.run(self.cores.prefix(self.cores.clients) + [self.weir, *map(str, words)], capture_output=True,
                              text=True, timeout=seconds, env={**os.environ, 'WEIR_BOOTSTRAP': self.bootstrap})

    def create(self, topic, partitions=1, **configs):
        words = [word for key, value in configs.items() for word in ('--config', '%s=%s' % (key.replace('_', '.'), value))]
        done = self.ask('admin', 'topics', 'create', topic, '--partitions', partitions, '--replication-factor', self.nodes,
                        *words)
        if done.returncode:
            raise Unavailable('%s: topic %s: %s' % (self.name, topic, done.stderr.strip()[-300:]))

    def delete(self, *topics):
        self.ask('admin', 'topics', 'delete', *topics)

    def last_words(self, node):
        """The line of its log that says most: the innermost cause of an exception, else the last line."""
        path = self.folder / str(node) / 'log'
        lines = path.read_text(errors='replace').strip().splitlines()[-60:] if path.exists() else []
        causes = [line for line in lines if line.startswith('Caused by:')]
        return (causes or lines or ['nothing in its log'])[-1][:300]

    def end(self, how, seconds):
        for process in self.processes:
            if process and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(how)
        for process in self.processes:
            if process:
                try:
                    process.wait(seconds)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.processes = [None] * self.nodes

    def stop(self):
        self.end(signal.SIGTERM, 60)

    def kill(self):
        self.end(signal.SIGKILL, 10)

    def forget(self):
        """Removes the data."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def pids(self):
        return [process.pid for process in self.processes if process]

    def cpu_s(self):
        """Processor seconds of all nodes, user and system, threads that ended included. Of the process's own clock
        (clock_getcpuclockid(3)), because /proc counts in hundredths of a second."""
        return sum(time.clock_gettime((~pid << 3) | CPU_CLOCK) for pid in self.pids())

    def resident_bytes(self):
        total = 0
        for pid in self.pids():
            with open('/proc/%d/smaps_rollup' % pid) as file:
                total += next(int(line.split()[1]) * 1024 for line in file if line.startswith('Rss:'))
        return total

    def open_files(self):
        """(open files of the first node, how many it may have)."""
        pid = self.pids()[0]
        with open('/proc/%d/limits' % pid) as file:
            limit = next(int(line.split()[3]) for line in file if line.startswith('Max open files'))
        return len(os.listdir('/proc/%d/fd' % pid)), limit

    def first_ack_s(self, topic, seconds=120):
        """From exec of one stopped node to the first acknowledged produce."""
        frame, began = batch(b'first'), time.monotonic()
        self.begin(0)
        while time.monotonic() - began < seconds:
            try:
                with Raw(self.address(0), 10) as connection:
                    while time.monotonic() - began < seconds:
                        if connection.produce(topic, frame)['error_code'] == 0:
                            return time.monotonic() - began
                        time.sleep(0.001)
            except (OSError, Closed):
                if self.processes[0].poll() is not None:
                    raise Unavailable('%s ended: %s' % (self.name, self.last_words(0))) from None
                time.sleep(0.0005)
        raise Unavailable('%s acknowledged nothing in %d s' % (self.name, seconds))


class Weir(Broker):
    def command(self, node):
        words = [self.weir, 'server', '--id', node + 1, '--data', self.folder / str(node) / 'data', '--listen',
                 self.address(node)]
        if self.nodes > 1:
            words += ['--peers', self.voters()]
        for setting in self.settings:
            words += ['--set', setting]
        return words


class Kafka(Broker):
    """KRaft, broker and controller in one process, as its own start scripts run it but for the size of the heap."""

    jvm = True

    def __init__(self, name, weir, folder, cores, nodes=1, places=None):
        super().__init__(name, weir, folder, cores, nodes, places)
        self.heap = HEAPS[name]

    def command(self, node):
        # Of a key that is given twice the later one counts.
        return [COMPAT / 'kafka/kafka-broker.sh', KAFKA_VERSION, self.ports[node], self.folder / str(node) / 'data',
                'node.id=%d' % (node + 1), 'controller.quorum.voters=' + self.voters(),
                'listeners=PLAINTEXT://%s,CONTROLLER://%s' % (self.address(node), self.address(node, 1)),
                'advertised.listeners=PLAINTEXT://' + self.address(node), *self.settings]

    def environment(self):
        # What bin/kafka-run-class.sh gives its JVM.
        return {**os.environ, 'KAFKA_HEAP': self.heap, 'JAVA_TOOL_OPTIONS': '-XX:MaxGCPauseMillis=20 '
                '-XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent'}


def version(weir):
    done = subprocess.run([str(weir), 'version'], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


HEAPS = {'kafka-1g': '1g', 'kafka-256m': '256m'}        # its scripts' default, and one tuned small


def kafka_can_be_had():
    """Resolves Apache Kafka's jars; a sentence when that is not possible."""
    done = subprocess.run([COMPAT / 'install.sh', 'kafka-' + KAFKA_VERSION], capture_output=True, text=True)
    return '' if done.returncode == 0 else done.stderr.strip()[-300:] or 'install.sh failed'


def make(name, weir, folder, cores, nodes=1, places=None, kind=None):
    kind = kind or (Weir if name == 'weir' else Kafka)
    return kind(name, weir, pathlib.Path(folder) / ('%s-%d' % (name, nodes)), cores, nodes, places)
