#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The regression gate: what a request and an object cost, in figures that do not depend on the clock. Instructions of the
process for a produce, a fetch and a commit (callgrind, over epoll, which valgrind knows), and of the broker alone with the
same requests replayed to it in process, over the simulator's disk and network (replay.c), where the number is the same in
every run; system calls of each (strace), allocations of each (heap_count.c), and the memory of a partition, a connection
and a group. Bounds are in bounds.json.

    gate.py --weir FILE [--heap-count FILE] [--replay FILE] [--only PART,...] [--record]

A part that cannot run here is skipped by name. --record writes what was measured, each with its head-room, as new bounds;
a bound is raised by a commit that says why. The last line is `N passed, N failed, N skipped`."""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
COMPAT = HERE.parent.parent / 'compat'
sys.path[:0] = [str(COMPAT), str(COMPAT / 'raw')]
import groups                                                                       # noqa: E402
import wire                                                                         # noqa: E402
from connection import Raw, batch, fetch_body, produce_body                         # noqa: E402
from server import Server                                                           # noqa: E402

BOUNDS = HERE / 'bounds.json'
WARM, COUNTED = 100, 400        # requests of a kind
MANY = 200                      # partitions of a fetch whose answer is full after two
KINDS = ['produce', 'fetch', 'commit']
# For a second after a slow write the loop asks whether a write slept (src/io/write.c): of the machine, not of the request.
OF_A_SLOW_DISK = ('getrusage',)
# What a new bound leaves: a share, or for allocations, which are whole, what a table that grows now and then may ask.
HEAD_ROOM = {'instructions': 1.1, 'replayed instructions': 1.03, 'system calls': 1.1, 'bytes': 1.25}
ALLOCATIONS_NOW_AND_THEN = 0.05


class Skip(Exception):
    """This part cannot run here; the text says why."""


class Requests:
    """The three requests, encoded once, sent one at a time: nothing but the broker decides what an answer costs."""

    def __init__(self, node):
        self.c = Raw(node.bootstrap, 60)
        assert self.c.create('gate', 1) == 0
        groups.coordinator(self.c, 'gate')
        one = batch(b'x' * 1000, timestamp_ms=1_700_000_000_000)
        self.c.produce('gate', one)
        # An answer that a few of many partitions fill: what it costs does not go with how many stand behind them.
        assert self.c.create('many', MANY) == 0
        for partition in range(MANY):
            self.c.produce('many', one, partition=partition)
        full = fetch_body('many', 0, max_bytes=2500)
        full['topics'][0]['partitions'] = [{'partition': p, 'fetch_offset': 0, 'partition_max_bytes': 1 << 20} for p in range(MANY)]
        self.frames = {'full fetch': self.frame('Fetch', 11, full),
                       'produce': self.frame('Produce', 7, produce_body('gate', one)),
                       'fetch': self.frame('Fetch', 11, fetch_body('gate', 0, partition_max_bytes=1000)),
                       'commit': self.frame('OffsetCommit', 7, groups.commit_body('gate', 'gate', 1))}
        for kind, key, version in (('produce', 0, 7), ('fetch', 1, 11), ('commit', 8, 7)):
            self.c.sock.sendall(self.frames[kind])
            self.succeeded(kind, wire.decode_response(key, version, self.c.read_frame())[1])

    @staticmethod
    def frame(name, version, body):
        frame = wire.request_frame(wire.KEYS[name], version, 1, body)
        return struct.pack('>i', len(frame)) + frame

    @staticmethod
    def succeeded(kind, answer):
        part = {'produce': lambda: answer['responses'][0]['partition_responses'][0],
                'fetch': lambda: answer['responses'][0]['partitions'][0],
                'commit': lambda: answer['topics'][0]['partitions'][0]}[kind]()
        assert part['error_code'] == 0, answer
        assert kind != 'fetch' or part['records'], answer

    def send(self, kind, count):
        for _ in range(count):
            self.c.sock.sendall(self.frames[kind])
            self.c.read_frame()


def requests_alone(kind):
    """The request of a kind and what comes before it, as replay reads them; how each answer is read."""
    one = batch(b'x' * 1000, timestamp_ms=1_700_000_000_000)
    create = {'timeout_ms': 10000, 'topics': [{'name': 'gate', 'num_partitions': 1, 'replication_factor': 1, 'configs': []}]}
    find = ('FindCoordinator', 1, {'key': 'gate', 'key_type': 0})
    last = {'produce': ('Produce', 7, produce_body('gate', one)),
            'fetch': ('Fetch', 11, fetch_body('gate', 0, partition_max_bytes=1000)),
            'commit': ('OffsetCommit', 7, groups.commit_body('gate', 'gate', 1))}[kind]
    calls = [('CreateTopics', 4, create), ('Produce', 7, produce_body('gate', one)), find, find, last]
    return b''.join(Requests.frame(*call) for call in calls), [(wire.KEYS[name], version) for name, version, _ in calls]


class Node(Server):
    """A node under a tool, or with the heap counted."""

    def __init__(self, weir, prefix=(), settings=(), heap_count=None):
        self.folder = tempfile.mkdtemp(prefix='weir-gate-')
        super().__init__(str(weir), self.folder, ['shards=1', *settings], prefix=prefix)
        self.counts, self.environment = pathlib.Path(self.folder) / 'counts', None
        if heap_count:
            self.counts.write_bytes(bytes(16))
            self.environment = {**os.environ, 'LD_PRELOAD': str(heap_count), 'HEAP_COUNT_FILE': str(self.counts)}

    def begin(self):
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT, env=self.environment)

    def heap(self):
        """(calls, live bytes)."""
        return struct.unpack('<Qq', self.counts.read_bytes())

    def resident(self):
        with open('/proc/%d/smaps_rollup' % self.process.pid) as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith('Rss:'))

    def __enter__(self):
        try:
            self.start(60)
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


UNKNOWN, NOT_HERE = 'unrecognised instruction', 'this valgrind does not know an instruction that this machine has'


def need(program):
    if not shutil.which(program):
        raise Skip('%s is not installed' % program)


def instructions(args, say):
    """Of the whole process, for each request, in the steady state."""
    need('valgrind')
    need('callgrind_control')
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'count')
        prefix = ['valgrind', '-q', '--tool=callgrind', '--callgrind-out-file=' + out]
        try:
            node = Node(args.weir, prefix, ['io.engine=epoll']).__enter__()
        except AssertionError as error:
            if UNKNOWN not in str(error):
                raise
            raise Skip(NOT_HERE) from None
        try:
            requests = Requests(node)
            for number, kind in enumerate(KINDS, 1):
                requests.send(kind, WARM)
                control(node, '--zero')
                requests.send(kind, COUNTED)
                control(node, '--dump=%s' % kind)
                text = pathlib.Path('%s.%d' % (out, number)).read_text()
                say('instructions', kind, total_of(text) / COUNTED)
        finally:
            node.__exit__()


def total_of(counted):
    """What callgrind counted in all."""
    return int(re.search(r'^(?:summary|totals): (\d+)', counted, re.M)[1])


def inside(counted, function):
    """What callgrind counted in the calls of a function. A name is spelled out where it first occurs only."""
    name = re.search(r'^c?fn=\((\d+)\) %s$' % re.escape(function), counted, re.M)
    calls = name and re.findall(r'^cfn=\(%s\).*\ncalls=.*\n\S+ (\d+)$' % name[1], counted, re.M)
    assert calls, '%s is not called, or is inlined' % function
    return sum(map(int, calls))


def control(node, word):
    done = subprocess.run(['callgrind_control', word, str(node.process.pid)], capture_output=True, text=True, timeout=60)
    if done.returncode or 'OK' not in done.stdout:
        raise Skip('callgrind_control %s: %s' % (word, (done.stdout + done.stderr).strip()[-200:]))


def replayed(args, say):
    """Of the broker's turns alone, for each request: the difference of a long and a short run. What the simulated disk does
    when a file outgrows its memory is not the broker's."""
    need('valgrind')
    if not args.replay:
        raise Skip('no replay program was built')
    with tempfile.TemporaryDirectory() as folder:
        frames, out = os.path.join(folder, 'frames'), os.path.join(folder, 'count')
        for kind in KINDS:
            data, readers = requests_alone(kind)
            pathlib.Path(frames).write_bytes(data)
            totals = []
            for count in (WARM, WARM + COUNTED):
                done = subprocess.run(['valgrind', '-q', '--tool=callgrind', '--callgrind-out-file=' + out,
                                       '--toggle-collect=replay_broker_turn', str(args.replay), frames, str(count)],
                                      capture_output=True, text=True, timeout=300)
                if UNKNOWN in done.stderr:
                    raise Skip(NOT_HERE)
                assert done.returncode == 0, 'replay ended with %d: %s' % (done.returncode, done.stderr.strip()[-300:])
                answers = [wire.decode_response(key, version, bytes.fromhex(line))[1]
                           for (key, version), line in zip(readers, done.stdout.split())]
                assert answers[0]['topics'][0]['error_code'] == 0 and answers[3]['error_code'] == 0, answers
                Requests.succeeded('produce', answers[1])
                Requests.succeeded(kind, answers[4])
                counted = pathlib.Path(out).read_text()
                totals.append(total_of(counted) - inside(counted, 'sim_disk_double'))
            say('replayed instructions', kind, (totals[1] - totals[0]) / COUNTED)


def system_calls(args, say):
    """As the kernel is asked by the engine that this machine gets."""
    need('strace')
    with Node(args.weir) as node:
        requests = Requests(node)
        for kind in KINDS + ['full fetch']:
            requests.send(kind, WARM)
            table = node.folder + '/calls'
            tracer = subprocess.Popen(['strace', '-f', '-c', '-o', table, '-p', str(node.process.pid)], stderr=subprocess.PIPE,
                                      text=True)
            said = tracer.stderr.readline()
            if 'attached' not in said:
                tracer.wait(10)
                raise Skip('strace may not attach: %s' % said.strip())
            requests.send(kind, COUNTED)
            tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=30)
            lines = [line.split() for line in pathlib.Path(table).read_text().splitlines()]
            calls = {words[-1]: int(words[3]) for words in lines if len(words) > 4 and words[3].isdigit()}
            for name in ('total', *OF_A_SLOW_DISK):
                calls.pop(name, None)
            say('system calls', kind, sum(calls.values()) / COUNTED,
                ' '.join('%s %.2f' % (name, count / COUNTED) for name, count in calls.items() if count * 100 > COUNTED))


def allocations(args, say):
    """Calls of malloc, calloc, realloc and their kin."""
    if not args.heap_count:
        raise Skip('no heap_count library was built')
    with Node(args.weir, heap_count=args.heap_count) as node:
        requests = Requests(node)
        if node.heap()[0] == 0:
            raise Skip('the heap is not seen: the executable brings its own')
        for kind in KINDS:
            requests.send(kind, WARM)
            before = node.heap()[0]
            requests.send(kind, COUNTED)
            say('allocations', kind, (node.heap()[0] - before) / COUNTED)


def memory(args, say):
    """Growth of the heap, and of the resident memory, by many of them."""
    if not args.heap_count:
        raise Skip('no heap_count library was built')
    with Node(args.weir, heap_count=args.heap_count) as node, Raw(node.bootstrap, 60) as c:
        assert c.create('warm', 50) == 0
        groups.coordinator(c, 'warm')
        for partition in range(50):
            c.produce('warm', batch(b'v'), partition=partition)

        def grown(what, count, make, times=1):
            """The least of so many times, one on top of the other: memory comes in slabs, and one of them may pay for the next."""
            kept, heap, resident = [], [], []
            for _ in range(times):
                time.sleep(0.3)
                before = node.heap()[1], node.resident()
                kept += make(count) or []
                time.sleep(0.3)
                heap.append((node.heap()[1] - before[0]) / count)
                resident.append((node.resident() - before[1]) / count)
            say('bytes', 'heap, a ' + what, min(heap))
            say('bytes', 'resident, a ' + what, min(resident))
            return kept

        def partitions(count):
            assert c.create('many', count) == 0
            for at in range(0, count, 100):
                answer = c.call('Produce', 7, {'acks': -1, 'timeout_ms': 30000, 'topic_data': [{
                    'name': 'many', 'partition_data': [{'index': p, 'records': batch(b'v')} for p in range(at, at + 100)]}]})
                for part in answer['responses'][0]['partition_responses']:
                    assert part['error_code'] == 0, part

        def connections(count):
            held = [Raw(node.bootstrap, 60) for _ in range(count)]
            for one in held:
                one.api_versions()
            return held

        def commits(count):
            for number in range(count):
                answer = c.call('OffsetCommit', 7, groups.commit_body('group-%d' % number, 'warm', 1))
                assert answer['topics'][0]['partitions'][0]['error_code'] == 0, answer

        grown('partition written to', 1000, partitions)
        for one in grown('connection', 500, connections, times=4):
            one.sock.close()
        grown('group with a commit', 1000, commits)


PARTS = {'instructions': instructions, 'replay': replayed, 'system-calls': system_calls, 'allocations': allocations, 'memory': memory}


class Gate:
    def __init__(self, bounds, record):
        self.bounds, self.record = bounds, record
        self.passed, self.failed, self.skipped = 0, 0, 0

    def say(self, unit, what, value, note=''):
        name = '%s: %s' % (unit, what)
        if self.record:
            most = value * HEAD_ROOM[unit] if unit in HEAD_ROOM else round(value) + ALLOCATIONS_NOW_AND_THEN
            self.bounds[name] = {'measured': round(value, 2), 'bound': round(most, 2 if most < 100 else None)}
        bound = self.bounds.get(name, {}).get('bound')
        good = bound is not None and value <= bound
        self.passed, self.failed = self.passed + good, self.failed + (not good)
        print('%-6s %-44s %12.2f  %-20s %s' % ('ok' if good else 'FAIL', name, value, 'no bound is known' if bound is None
                                               else 'at most %g' % bound, note), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--weir', required=True, help='the optimised executable')
    parser.add_argument('--heap-count', help='the library that counts the heap (default: beside --weir, in test/bench)')
    parser.add_argument('--replay', help='the program that replays requests (default: beside --weir, in test/bench)')
    parser.add_argument('--only', help='of %s, with commas' % ', '.join(PARTS))
    parser.add_argument('--record', action='store_true', help='write what is measured as the new bounds')
    args = parser.parse_args()
    args.weir = pathlib.Path(args.weir).resolve()
    for name, file in (('heap_count', 'libheap_count.so'), ('replay', 'replay')):
        given, beside = getattr(args, name), args.weir.parent / 'test/bench' / file
        setattr(args, name, pathlib.Path(given).resolve() if given else beside if beside.exists() else None)
    gate = Gate(json.loads(BOUNDS.read_text()) if BOUNDS.exists() else {}, args.record)
    for name, part in PARTS.items():
        if args.only and name not in args.only.split(','):
            continue
        try:
            part(args, gate.say)
        except Skip as why:
            gate.skipped += 1
            print('skip   %s: %s' % (name, why), flush=True)
    if args.record:
        BOUNDS.write_text(json.dumps(gate.bounds, indent=1, sort_keys=True) + '\n')
    print('%d passed, %d failed, %d skipped' % (gate.passed, gate.failed, gate.skipped))
    sys.exit(1 if gate.failed else 0)


if __name__ == '__main__':
    main()
