# SPDX-License-Identifier: Apache-2.0
"""Consumer groups whose members are processes of real clients: starting, leaving and killing members, and what they have read.
What a member's program prints is told in confluent/members.py."""

import collections
import re
import signal
import subprocess
import threading
import time

import batches
from connection import Closed, Raw
from run import cached, local


def confluent(bootstrap, topic, group):
    """The command of a program with any number of members."""
    return [cached('py-confluent', 'bin', 'python'), local('confluent', 'members.py'), bootstrap, topic, group]


class Program:
    """One process with members of a group; a thread takes what it prints."""

    def __init__(self, group, command, environment=None, commands=False):
        self.group, self.names, self.commands = group, [], commands
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE if commands else subprocess.DEVNULL, bufsize=1,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.group.said(self, line.rstrip('\n'))

    def command(self, *words):
        self.process.stdin.write(' '.join(words) + '\n')
        self.process.stdin.flush()

    def leave(self):
        """Its members leave their group, as an application does that ends well."""
        if self.commands:
            self.process.stdin.close()
        else:
            self.process.send_signal(signal.SIGTERM)

    def ended(self, seconds=20):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError('%s does not end' % self.names) from None
        self.reader.join(5)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join(5)


class Group:
    """A group on one topic: who owns what, and every record that anybody read."""

    def __init__(self, name, topic, partitions, start):
        """`start(group, member name)` gives a Program with that member."""
        self.name, self.topic, self.partitions, self.start_one = name, topic, partitions, start
        self.lock, self.programs, self.count = threading.Lock(), [], 0
        self.own = {}                                           # of the members that live
        self.seen = collections.defaultdict(collections.Counter)
        self.again, self.disorder, self.errors, self.moves, self.closed = [], [], [], [], set()
        self.last = {}                                          # (member, partition): offset

    def said(self, program, line):
        found = re.match(r'% Group \S+ rebalanced \(memberid \S+\): (assigned|revoked): (.*)', line)    # kcat
        if found:
            line = '%s %s %s' % ('+' if found.group(1) == 'assigned' else '-', program.names[0],
                                 ','.join(re.findall(r'\[(\d+)\]', found.group(2))))
        words = line.split(' ')
        with self.lock:
            if words[0] == 'r':
                self.read(words[1], int(words[2]), int(words[3]))
            elif words[0] in ('+', '-') and words[1] in self.own:
                parts = {int(p) for p in words[2].split(',') if p}
                self.moves.append((time.monotonic(), words[0], words[1], parts))
                self.own[words[1]] = self.own[words[1]] | parts if words[0] == '+' else self.own[words[1]] - parts
                for p in parts:
                    self.last.pop((words[1], p), None)
            elif words[0] == '.':
                self.closed.add(words[1])
            else:
                self.errors.append(line)

    def read(self, name, partition, offset):
        if offset <= self.last.get((name, partition), -1):
            self.disorder.append((name, partition, offset, self.last[name, partition]))
        self.last[name, partition] = offset
        self.seen[partition][offset] += 1
        if self.seen[partition][offset] > 1:
            self.again.append((partition, offset))

    def start(self, count=1):
        for _ in range(count):
            self.count += 1
            name = 'm%d' % self.count
            self.own[name] = set()
            program = self.start_one(self, name)
            program.names.append(name)
            self.programs.append(program)

    def forget(self, program):
        self.programs.remove(program)
        for name in program.names:
            self.own.pop(name, None)

    def leave(self, count=1):
        """The first members leave, together."""
        going = self.programs[:count]
        for program in going:
            program.leave()
        for program in going:
            program.ended()
            self.forget(program)

    def kill(self):
        program = self.programs[0]
        program.kill()
        with self.lock:
            self.forget(program)

    def replace_ended(self):
        """A new member for each program that ended by itself."""
        for program in [p for p in self.programs if p.process.poll() is not None]:
            with self.lock:
                self.forget(program)
            self.start()

    def is_settled(self):
        """Every partition is somebody's and nobody's twice, fairly."""
        with self.lock:
            sizes = [len(own) for own in self.own.values()]
            return sum(sizes) == self.partitions and set().union(*self.own.values()) == set(range(self.partitions)) \
                and max(sizes) - min(sizes) <= 1

    def settle(self, seconds=60):
        """Waits for that; the seconds it took."""
        begin = time.monotonic()
        while not self.is_settled():
            assert time.monotonic() < begin + seconds, '%s: not settled after %d s: %s %s' % (
                self.name, seconds, {n: sorted(o) for n, o in self.own.items()}, self.errors[-3:])
            time.sleep(0.02)
        return time.monotonic() - begin

    def read_all(self, ends, seconds=40):
        """Waits until each record up to the ends was read by somebody."""
        limit = time.monotonic() + seconds
        while True:
            with self.lock:
                missing = {p: end - len(self.seen[p]) for p, end in ends.items() if len(self.seen[p]) < end}
            if not missing:
                return
            assert time.monotonic() < limit, '%s: records are missing, by partition: %s %s' % (self.name, missing, self.errors[-3:])
            time.sleep(0.05)

    def check(self, floor=None):
        """Ordered, and again only from the floors on (nothing again without); how many came again. Begins anew."""
        with self.lock:
            again, self.again = self.again, []
            assert not self.disorder, '%s: out of order: %s' % (self.name, self.disorder[:3])
        wrong = again if floor is None else [(p, o) for p, o in again if o < floor[p]]
        assert not wrong, '%s: %d records came again though committed: %s %s' % (self.name, len(wrong), wrong[:5], self.errors[-3:])
        return len(again)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        for program in list(self.programs):
            program.kill()
            self.forget(program)


class Feed(threading.Thread):
    """Writes a few records to every partition all the time, through restarts of the broker."""

    def __init__(self, bootstrap, topic, partitions):
        super().__init__(daemon=True)
        self.bootstrap, self.topic, self.partitions = bootstrap, topic, partitions
        self.running, self.idle, self.ended = threading.Event(), threading.Event(), False
        self.start()

    def write(self, c):
        batch = batches.build([b'x' * 20] * 3, timestamp_ms=int(time.time() * 1000))
        c.call('Produce', 7, {'acks': -1, 'timeout_ms': 10000, 'topic_data': [{'name': self.topic, 'partition_data': [
            {'index': p, 'records': batch} for p in range(self.partitions)]}]})

    def run(self):
        while not self.ended:
            self.idle.set()
            self.running.wait()
            self.idle.clear()
            try:
                with Raw(self.bootstrap) as c:
                    while self.running.is_set():
                        self.write(c)
                        time.sleep(0.1)
            except (OSError, Closed):
                time.sleep(0.1)

    def pause(self):
        """{partition: end} once the last write is done."""
        self.running.clear()
        assert self.idle.wait(15), 'writing does not end'
        with Raw(self.bootstrap) as c:
            return {p: c.list_offset(self.topic, -1, partition=p)[1] for p in range(self.partitions)}

    def stop(self):
        self.ended = True
        self.running.set()


def committed(bootstrap, group, topic, partitions):
    """{partition: offset}, 0 where nothing is committed, asked until the coordinator answers."""
    end = time.monotonic() + 15
    while True:
        try:
            with Raw(bootstrap) as c:
                answer = c.call('OffsetFetch', 5, {'group_id': group, 'topics': [
                    {'name': topic, 'partition_indexes': list(range(partitions))}]})
            if answer['error_code'] == 0:
                return {p['partition_index']: max(p['committed_offset'], 0) for p in answer['topics'][0]['partitions']}
        except (OSError, Closed):
            pass
        assert time.monotonic() < end, 'the offsets of %s cannot be read' % group
        time.sleep(0.05)


def rebalances(server, group):
    """The lines in the server's log that say that this group rebalanced, and why."""
    return re.findall(r"group '%s' generation \d+: rebalance.*" % re.escape(group), server.log())
