# SPDX-License-Identifier: Apache-2.0
"""NATS JetStream as a further peer: Debian's nats-server, one node, a stream in a file. It speaks a protocol of its own, so that
only what can be asked of both in the same words is measured: acknowledged publishes of one message, a node at rest, and a
start. No goal is set against it; its figure stands beside."""

import json
import shutil
import socket
import subprocess
import time

import brokers
import loads
from pairs import Unavailable, Wrong

NAME = 'nats'
STREAM = {'subjects': ['bench.*'], 'retention': 'limits', 'storage': 'file', 'discard': 'old', 'num_replicas': 1, 'max_consumers': -1,
          'max_msgs': -1, 'max_bytes': -1, 'max_age': 0}


def can_be_had():
    return '' if shutil.which('nats-server') else 'nats-server is not installed (it is a package of Debian)'


class Session:
    """A connection that asks JetStream and waits."""

    def __init__(self, port, seconds=10):
        self.sock = socket.create_connection(('127.0.0.1', port), seconds)
        self.file = self.sock.makefile('rb')
        self.sock.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB answers 1\r\nPING\r\n')
        while self.line() != b'PONG':
            pass

    def line(self):
        line = self.file.readline()
        if not line:
            raise OSError('the server has closed the connection')
        if line == b'PING\r\n':
            self.sock.sendall(b'PONG\r\n')
        return line.rstrip(b'\r\n')

    def ask(self, subject, body=b''):
        """The answer, decoded; Wrong when it is an error."""
        self.sock.sendall(b'PUB %s answers %d\r\n%s\r\n' % (subject.encode(), len(body), body))
        line = self.line()
        while not line.startswith(b'MSG '):
            line = self.line()
        answer = json.loads(self.file.read(int(line.split()[-1]) + 2))
        if 'error' in answer:
            raise Wrong('nats: %s: %s' % (subject, answer['error']))
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()


class Nats(brokers.Broker):
    def command(self, node):
        return ['nats-server', '-a', '127.0.0.1', '-p', str(self.ports[node]), '-js', '-sd', str(self.folder / str(node) / 'data')]

    def serves(self):
        try:
            with Session(self.ports[0]) as session:
                return bool(session.ask('$JS.API.INFO'))
        except OSError:
            return False

    def stream(self, name):
        with Session(self.ports[0]) as session:
            session.ask('$JS.API.STREAM.CREATE.' + name, json.dumps({**STREAM, 'name': name}).encode())

    def messages(self, name):
        with Session(self.ports[0]) as session:
            return session.ask('$JS.API.STREAM.INFO.' + name)['state']['messages']

    def unstream(self, name):
        with Session(self.ports[0]) as session:
            session.ask('$JS.API.STREAM.DELETE.' + name)

    def first_publish_s(self, seconds=60):
        """From exec to the first acknowledged publish."""
        began = time.monotonic()
        self.begin(0)
        while time.monotonic() - began < seconds:
            try:
                with Session(self.ports[0]) as session:
                    if 'seq' in session.ask('bench.start', b'first'):
                        return time.monotonic() - began
            except (OSError, Wrong, ValueError):
                time.sleep(0.0005)
        raise Unavailable('nats acknowledged nothing in %d s' % seconds)


def requests(load, broker):
    broker.stream('bench')
    before = broker.cpu_s()
    done = subprocess.run(broker.cores.prefix(broker.cores.clients) + [
        str(brokers.ROOT / 'build/test/bench/nats'), str(broker.ports[0]), 'bench.one', str(load.clients), '1024', str(load.sizes.seconds)],
        capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise Wrong('nats: %s' % done.stderr.strip()[-200:])
    used, sent = broker.cpu_s() - before, json.loads(done.stdout)
    if broker.messages('bench') != sent['requests']:
        raise Wrong('nats: %d messages acknowledged, %d in the stream' % (sent['requests'], broker.messages('bench')))
    broker.unstream('bench')
    return {'requests_per_s': sent['requests_per_s'], 'cpu_us_per_request': used * 1e6 / sent['requests'], 'p99_ms': sent['p99'] / 1000,
            'records': sent['requests']}


def idle(load, broker):
    broker.stream('bench')
    with Session(broker.ports[0]) as session:
        session.ask('bench.one', b'x' * 100)
    time.sleep(load.sizes.rest)
    before, began = broker.cpu_s(), time.monotonic()
    time.sleep(load.sizes.rest)
    return {'mib': broker.resident_bytes() / (1 << 20), 'cpu_ms_per_s': 1000 * (broker.cpu_s() - before) / (time.monotonic() - began)}


def start(load, broker):
    took = broker.first_publish_s()
    return {'ms': 1000 * took, 'mib': broker.resident_bytes() / (1 << 20)}


def run_of(load):
    """How a load is run on NATS, or None: it has no such thing."""
    if isinstance(load, loads.Requests) and not load.configs:
        return requests
    if isinstance(load, loads.Idle):
        return idle
    return start if isinstance(load, loads.ColdStart) and load.partitions == 1 else None


def prepare(load, broker):
    if isinstance(load, loads.ColdStart):
        broker.stream('bench')
