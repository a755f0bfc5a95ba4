#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a node costs: memory, wake-ups and disk writes at rest, memory after load, ten thousand partitions, idle
connections, the way from exec to the first acknowledged produce. Linux's own figures, from outside the process.

    figures.py --weir FILE [--only NAME[,NAME]] [--port FIRST] [--json] [--list]

Each figure is printed with its bound; the exit code is 1 when one is missed. Resident memory is `Rss` of
/proc/PID/smaps_rollup and contains the pages of the executable that were touched; wake-ups are voluntary context switches
of all threads; writes are `write_bytes` of /proc/PID/io."""

import argparse
import json
import os
import resource
import socket
import statistics
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'faults'))
from harness import MIB, Background, Node, Raw, batch, produce_body, wire           # noqa: E402
import batches                                                                      # noqa: E402

PARTITIONS = 10000
FILES = 20000


class Figures:
    def __init__(self, weir, as_json):
        self.weir, self.as_json, self.missed = weir, as_json, 0

    def say(self, name, value, unit, bound=None, note=''):
        ok = bound is None or value <= bound
        self.missed += not ok
        if self.as_json:
            print(json.dumps({'figure': name, 'value': round(value, 3), 'unit': unit, 'bound': bound, 'ok': ok, 'note': note}),
                  flush=True)
        else:
            print('%-7s %-52s %9.2f %-4s %-12s %s' % ('ok' if ok else 'MISSED', name, value, unit,
                                                      'at most %g' % bound if bound is not None else '', note), flush=True)


def resident(node):
    with open('/proc/%d/smaps_rollup' % node.process.pid) as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith('Rss:'))


def rest(figures, node, seconds, what):
    """Wake-ups and bytes written while nothing is asked."""
    time.sleep(2)
    wakes, written, processor = node.wakeups(), node.written(), node.processor_seconds()
    time.sleep(seconds)
    figures.say('%s: wake-ups a second' % what, (node.wakeups() - wakes) / seconds, '', 2)
    figures.say('%s: bytes written' % what, node.written() - written, 'B', 0)
    figures.say('%s: processor' % what, (node.processor_seconds() - processor) / seconds * 1000, 'ms/s')


def fresh(figures):
    """A node that was just started."""
    with Node(figures.weir) as node:
        time.sleep(0.5)
        figures.say('fresh: resident', resident(node) / MIB, 'MiB', 8)
        rest(figures, node, 15, 'fresh')
        figures.say('fresh: resident after 17 s', resident(node) / MIB, 'MiB', 8)


def first_produce(figures):
    """From exec to the first acknowledged produce to a topic that is there; the best of what a warm machine gives."""
    with Node(figures.weir) as node:
        with node.raw() as c:
            c.create('t')
        took = []
        frame = wire.request_frame(0, 7, 1, produce_body('t', batch(b'v'), 1))
        frame = struct.pack('>i', len(frame)) + frame
        import subprocess
        for _ in range(15):
            assert node.stop() == 0
            with open(node.log_path, 'ab') as log:
                begin = time.monotonic()
                node.process = subprocess.Popen(node.command, stdout=log, stderr=subprocess.STDOUT)
                while True:
                    try:
                        sock = socket.create_connection(('127.0.0.1', node.port))
                        break
                    except OSError:
                        time.sleep(0.0003)
                sock.sendall(frame)
                size = struct.unpack('>i', sock.recv(4, socket.MSG_WAITALL))[0]
                answer = wire.decode_response(0, 7, sock.recv(size, socket.MSG_WAITALL))[1]
                took.append((time.monotonic() - begin) * 1000)
                sock.close()
            assert answer['responses'][0]['partition_responses'][0]['error_code'] == 0, answer
        figures.say('exec to first acknowledged produce, median', statistics.median(took), 'ms', 20,
                    'best %.1f, worst %.1f' % (min(took), max(took)))


def idempotent(node, c, partitions, first, sequence):
    """One batch of an idempotent producer to each of the partitions, a hundred a request."""
    for at in range(0, len(partitions), 100):
        body = {'acks': -1, 'timeout_ms': 30000, 'topic_data': [{'name': 'many', 'partition_data': [
            {'index': p, 'records': batch(b'v%d' % p, producer_id=first, producer_epoch=0, base_sequence=sequence)}
            for p in partitions[at:at + 100]]}]}
        answer = c.call('Produce', 7, body)
        for part in answer['responses'][0]['partition_responses']:
            assert part['error_code'] == 0, part


class Bystander:
    """1 KiB produces to another topic on a connection of its own, one after the other, with their times."""

    def __init__(self, node):
        self.node, self.took = node, []

    def run(self, background, _):
        with self.node.raw(30) as c:
            records = batch(b'b' * 1000)
            frame = wire.request_frame(0, 7, 1, produce_body('bystander', records, 1))
            frame = struct.pack('>i', len(frame)) + frame
            while not background.over.is_set():
                begin = time.perf_counter()
                c.sock.sendall(frame)
                c.read_frame()
                self.took.append((time.perf_counter() - begin) * 1000)
                time.sleep(0.001)

    def p99(self):
        took, self.took = sorted(self.took), []
        return took[min(len(took) * 99 // 100, len(took) - 1)] if took else 0.0

    def longest(self):
        took, self.took = self.took, []
        return max(took, default=0.0)


def many_partitions(figures):
    """10,000 partitions: creation, a batch to each, 100,000 more, rest, restart, deletion; a bystander all the while."""
    with Node(figures.weir, files=FILES) as node:
        with node.raw(60) as c:
            c.create('bystander')
            producer = c.call('InitProducerId', 1, {'transactional_id': None, 'transaction_timeout_ms': 60000})['producer_id']
            by = Bystander(node)
            with Background(by.run):
                time.sleep(1)
                figures.say('bystander alone: p99', by.p99(), 'ms')
                begin = time.monotonic()
                error = c.create('many', PARTITIONS)
                assert error == 0, error
                figures.say('create 10,000 partitions', time.monotonic() - begin, 's', 5)
                figures.say('bystander while creating: longest', by.longest(), 'ms', 5)
            figures.say('10,000 partitions without data: resident', resident(node) / MIB, 'MiB')
            by = Bystander(node)
            with Background(by.run):
                begin = time.monotonic()
                idempotent(node, c, list(range(PARTITIONS)), producer, 0)
                figures.say('a batch to each of 10,000', time.monotonic() - begin, 's')
                figures.say('bystander while their logs are made: p99', by.p99(), 'ms')
            figures.say('a batch in each: resident', resident(node) / MIB, 'MiB', 96)
            peak, begin = 0, time.monotonic()
            for n in range(10):
                idempotent(node, c, list(range(PARTITIONS)), producer, n + 1)
                peak = max(peak, resident(node))
            figures.say('100,000 batches more', time.monotonic() - begin, 's')
            figures.say('100,000 batches more: resident at most', peak / MIB, 'MiB', 96)
        figures.say('open descriptors', node.descriptors(), '')
        time.sleep(25)
        figures.say('10,000 partitions at rest: resident', resident(node) / MIB, 'MiB', 64)
        rest(figures, node, 15, '10,000 partitions at rest')
        began = time.monotonic()
        assert node.stop(60) == 0
        figures.say('clean stop', time.monotonic() - began, 's')
        begin = time.monotonic()
        node.start()
        with node.raw(30) as c:
            assert c.produce('many', batch(b'again'), partition=PARTITIONS - 1)['error_code'] == 0
            figures.say('restart to the first produce', time.monotonic() - begin, 's', 1)
            figures.say('10,000 partitions after the restart: resident', resident(node) / MIB, 'MiB', 64)
            node.kill()
            begin = time.monotonic()
            node.start()
        with node.raw(60) as c:
            assert c.produce('many', batch(b'again'), partition=1)['error_code'] == 0
            figures.say('restart after kill -9 to the first produce', time.monotonic() - begin, 's', 1)
            by = Bystander(node)
            with Background(by.run):
                time.sleep(0.5)
                by.p99()
                begin = time.monotonic()
                answer = c.call('DeleteTopics', 1, {'topic_names': ['many'], 'timeout_ms': 30000})
                assert answer['responses'][0]['error_code'] == 0, answer
                figures.say('delete 10,000 partitions: answered', time.monotonic() - begin, 's', 5)
                left = lambda: sum(name.startswith('many-') and not name.endswith('-delete') for name in os.listdir(node.data))
                while left():
                    time.sleep(0.05)
                figures.say('delete 10,000 partitions: folders renamed', time.monotonic() - begin, 's', 5)
                figures.say('bystander while deleting: p99', by.p99(), 'ms', 5)


def after_load(figures):
    """Producers, consumers and connections come and go; a minute later the memory is back."""
    with Node(figures.weir, ['log.retention.bytes=200000000', 'log.segment.bytes=50000000'], files=FILES) as node:
        with node.raw() as c:
            c.create('t', 16)
        frames = []
        for p in range(16):
            data = b''.join(os.urandom(500) + b' ' * 500 for _ in range(200))
            frame = wire.request_frame(0, 7, 1, produce_body('t', batch(data), 1, p))
            frames.append(struct.pack('>i', len(frame)) + frame)

        def produce(background, number):
            with node.raw(30) as c:
                while not background.over.is_set():
                    c.sock.sendall(frames[number % 16] * 4)
                    for _ in range(4):
                        c.read_frame()

        def consume(background, number):
            with node.raw(30) as c:
                at = 0
                while not background.over.is_set():
                    part = c.fetch('t', at, partition=number % 16, max_bytes=8 * MIB, partition_max_bytes=4 * MIB)
                    if part['error_code'] == 1:
                        at = c.list_offset('t', -2, partition=number % 16)[1]
                    elif part['records']:
                        last = batches.Batch(part['records'])
                        at = last.last_offset + 1

        crowd = [node.raw() for _ in range(2000)]
        for c in crowd:
            c.send('Metadata', 1, {'topics': None})
        peak = 0
        with Background(produce, 16), Background(consume, 8):
            for _ in range(12):
                time.sleep(0.5)
                peak = max(peak, resident(node))
        for c in crowd:
            c.sock.close()
        figures.say('under load: resident at most', peak / MIB, 'MiB')
        time.sleep(60)
        figures.say('60 s after load: resident', resident(node) / MIB, 'MiB', 16)


def idle_connections(figures):
    """5,000 connections that have spoken once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(5000, hard - 300)
    with Node(figures.weir, files=min(FILES, hard)) as node:
        ask = wire.request_frame(18, 0, 1, {})
        ask = struct.pack('>i', len(ask)) + ask
        held, before = [], 0
        for n in range(count + 10):
            c = node.raw()
            c.sock.sendall(ask)
            c.read_frame()
            held.append(c)
            if n == 9:
                time.sleep(0.2)
                before = resident(node)
        figures.say('%d idle connections: each' % count, (resident(node) - before) / count, 'B', 1024)
        rest(figures, node, 10, '%d idle connections' % count)
        for c in held:
            c.sock.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


FIGURES = [fresh, first_produce, idle_connections, many_partitions, after_load]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--weir', required=True, help='the optimised executable')
    parser.add_argument('--only', help='figures by name, with commas')
    parser.add_argument('--port', type=int, help='first of the ports to use; else any that is free')
    parser.add_argument('--json', action='store_true')
    parser.add_argument('--list', action='store_true')
    args = parser.parse_args()
    Node.ports[0] = args.port or 0
    figures = Figures(os.path.abspath(args.weir), args.json)
    for figure in FIGURES:
        if args.list:
            print('%-18s %s' % (figure.__name__, figure.__doc__.splitlines()[0]))
        elif not args.only or figure.__name__ in args.only.split(','):
            figure(figures)
    sys.exit(1 if figures.missed else 0)


if __name__ == '__main__':
    main()
