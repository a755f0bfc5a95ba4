# SPDX-License-Identifier: Apache-2.0
"""The cases of rebalance.py that count rebalances, and those that measure what groups cost a broker."""

import glob
import os
import re
import struct
import subprocess
import time

import fleet
import groups
import wire
from connection import Closed, Raw

TOPIC = 'load'
CLASSIC = ['session.timeout.ms=10000', 'heartbeat.interval.ms=1000']
COOPERATIVE = CLASSIC + ['partition.assignment.strategy=cooperative-sticky']


def create(server, partitions):
    with Raw(server.bootstrap) as c:
        assert c.create(TOPIC, partitions) == 0
        groups.coordinator(c, 'any')


class Crew(fleet.Group):
    """A group with many members in few processes: members come and go by commands."""

    def __init__(self, server, name, partitions, options, processes=1):
        super().__init__(name, TOPIC, partitions, None)
        self.server, self.options = server, options
        self.programs = [fleet.Program(self, fleet.confluent(server.bootstrap, TOPIC, name), commands=True)
                         for _ in range(processes)]
        self.at = {}                # member: its program

    def join(self, name, *options, program=None):
        program = program or self.programs[len(self.own) % len(self.programs)]
        with self.lock:
            self.own[name] = set()
        self.at[name] = program
        program.names.append(name)
        program.command('start', name, *self.options, *options)

    def quit(self, name):
        """Returns when the member has closed."""
        self.closed.discard(name)
        self.at[name].command('stop', name)
        end = time.monotonic() + 30
        while name not in self.closed:
            assert time.monotonic() < end, '%s does not close' % name
            time.sleep(0.005)
        self.at.pop(name).names.remove(name)
        with self.lock:
            self.own.pop(name)

    def rebalances(self):
        return fleet.rebalances(self.server, self.name)


def described_events(server, arguments, group):
    """What `weir admin groups describe` tells of the last rebalances."""
    out = subprocess.run([arguments.weir, 'admin', 'groups', 'describe', group, '-b', server.bootstrap], capture_output=True, text=True,
                         timeout=30)
    assert out.returncode == 0, out.stderr
    return re.findall(r'generation \d+  (rebalance.*)', out.stdout)


def static_members(server, arguments):
    """Restarted one after another within the session timeout: nobody notices."""
    count = 50 if arguments.long else 16
    create(server, 100)
    with Crew(server, 'static', 100, CLASSIC[1:] + ['session.timeout.ms=45000'], processes=2) as crew:
        for i in range(count):
            crew.join('s%d' % i, 'group.instance.id=instance-%d' % i)
        crew.settle(90)
        time.sleep(1)
        before, told = crew.rebalances(), described_events(server, arguments, 'static')
        begin = time.monotonic()
        for i in range(count):
            mine = set(crew.own['s%d' % i])
            crew.quit('s%d' % i)
            crew.join('s%d' % i, 'group.instance.id=instance-%d' % i)
            end = time.monotonic() + 20
            while crew.own['s%d' % i] != mine:
                assert time.monotonic() < end, 's%d had %s and has %s' % (i, mine, crew.own['s%d' % i])
                time.sleep(0.005)
        took = time.monotonic() - begin
        crew.settle(5)
        after = crew.rebalances()[len(before):]
        assert not after, after[:5]
        assert described_events(server, arguments, 'static') == told, 'describe tells of a rebalance that the log does not have'
        return '%d members restarted in %.0f s, no rebalance (%d to form the group)' % (count, took, len(before))


def joins_within_the_delay(server, arguments):
    """Members that come within the initial rebalance delay form the group in at most two rebalances."""
    count = 50 if arguments.long else 20
    create(server, 100)
    with Crew(server, 'delayed', 100, COOPERATIVE, processes=2) as crew:
        for i in range(count):
            crew.join('d%d' % i)
        took = crew.settle(60)
        found = crew.rebalances()
        assert 1 <= len(found) <= 2, '%d rebalances: %s' % (len(found), found[:5])
        return '%d members settled after %.1f s in %d rebalances' % (count, took, len(found))


def rolling_restart(server, arguments):
    """Cooperative members replaced one by one: a leave or join is one rebalance, and one more at most for each member that gives
    something up and says so (together as a rule, each by itself when it is slow); what is taken from somebody goes to another."""
    count = 10 if arguments.long else 5
    create(server, 30)
    with Crew(server, 'rolling', 30, COOPERATIVE, processes=2) as crew:
        for i in range(count):
            crew.join('r%d' % i)
        crew.settle()
        most, steps = 0, 0
        for i in range(count):
            for step in (lambda: crew.quit('r%d' % i), lambda: crew.join('r%d' % (i + count))):
                time.sleep(1.2)     # a heartbeat interval: the rebalance before is over for everybody
                before, moved = len(crew.rebalances()), len(crew.moves)
                step()
                crew.settle()
                time.sleep(1.2)
                crew.settle()
                found = crew.rebalances()[before:]
                losers = {name for _, what, name, _ in crew.moves[moved:] if what == '-'} - {'r%d' % i}     # who leaves says nothing more
                assert 1 <= len(found) <= 1 + max(len(losers), 1), '%d rebalances: %s' % (len(found), found)
                for _, what, name, parts in crew.moves[moved:]:
                    kept = parts & crew.own.get(name, set())
                    assert what == '+' or not kept, '%s lost %s and got it back' % (name, kept)
                most, steps = max(most, len(found)), steps + 1
        return '%d leaves and joins, at most %d rebalances each; nobody lost what did not move' % (steps, most)


HEARTBEAT_MS, SESSION_MS = 5000, 6000


def nine_hundred_partitions(server, arguments):
    """KIP-848: ten members with 900 partitions settle within two heartbeat intervals and a second; after a kill within the
    session timeout more."""
    limit = 2 * HEARTBEAT_MS / 1000 + 1
    create(server, 900)
    with Crew(server, 'many', 900, ['group.protocol=consumer'], processes=2) as crew:
        for i in range(9):
            crew.join('n%d' % i, program=crew.programs[0])
        crew.settle(60)
        time.sleep(1)
        crew.join('n9', program=crew.programs[1])
        joined = crew.settle(limit)
        time.sleep(1)
        crew.quit('n0')
        left = crew.settle(limit)
        crew.join('n10', program=crew.programs[0])
        crew.settle(60)
        time.sleep(1)
        victim = crew.programs[1]
        victim.kill()
        with crew.lock:
            crew.forget(victim)
        killed = crew.settle(limit + SESSION_MS / 1000)
        return 'a join settled after %.1f s, a leave after %.1f s (limit %.0f s), a kill after %.1f s (limit %.0f s)' % (
            joined, left, limit, killed, limit + SESSION_MS / 1000)


def flood(server, arguments):
    """Fifty producers as fast as they go: no group rebalances for it, whichever protocol it has."""
    create(server, 12)
    crews = [Crew(server, 'flood-classic', 12, CLASSIC), Crew(server, 'flood-consumer', 12, ['group.protocol=consumer'])]
    try:
        for crew in crews:
            for i in range(3):
                crew.join('f%d' % i)
        for crew in crews:
            crew.settle()
        time.sleep(1.5)
        before = [(len(crew.rebalances()), len(crew.moves)) for crew in crews]
        out = subprocess.run([arguments.weir, 'perf', 'produce', '-b', server.bootstrap, '-t', 'elsewhere', '-p', '12', '--clients', '50',
                              '--duration', '60s' if arguments.long else '12s', '--acks', 'all', '--batch-bytes', '16k'],
                             capture_output=True, text=True, timeout=180)
        assert out.returncode == 0, out.stderr
        time.sleep(1)
        after = [(len(crew.rebalances()), len(crew.moves)) for crew in crews]
        assert before == after, 'rebalances and moves were %s and are %s' % (before, after)
        return ' '.join(out.stdout.split())[:150]
    finally:
        for crew in crews:
            crew.end()


# ------------------------------------------------------------------------------------------------ ten thousand groups

def cpu_seconds(server):
    with open('/proc/%d/stat' % server.process.pid) as file:
        fields = file.read().rsplit(') ', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def offsets_bytes(server):
    return sum(os.path.getsize(path) for path in glob.glob(os.path.join(server.data, '__consumer_offsets-*', '*.log')))


def pipelined(c, name, version, bodies, window=64):
    """The answers, with so many requests on their way."""
    answers, sent = [], 0
    for body in bodies:
        c.send(name, version, body)
        sent += 1
        if sent - len(answers) == window:
            answers.append(c.read(name, version)[1])
    while len(answers) < sent:
        answers.append(c.read(name, version)[1])
    return answers


def make_groups(c, count):
    """Stable classic groups of one member that has a partition and has committed; their members."""
    protocols = [{'name': 'range', 'metadata': groups.subscription(TOPIC)}]
    name = TOPIC.encode()
    assignment = b'\0\0\0\0\0\1' + struct.pack('>h', len(name)) + name + b'\0\0\0\1\0\0\0\0\xff\xff\xff\xff'
    joined = pipelined(c, 'JoinGroup', 3, (groups.join_body('group-%d' % i, session=1800000, rebalance=600000, protocols=protocols)
                                           for i in range(count)))
    assert all(a['error_code'] == 0 for a in joined), joined[0]
    members = [('group-%d' % i, a['generation_id'], a['member_id'].decode()) for i, a in enumerate(joined)]
    synced = pipelined(c, 'SyncGroup', 1, ({'group_id': g, 'generation_id': n, 'member_id': m, 'assignments': [
        {'member_id': m, 'assignment': assignment}]} for g, n, m in members))
    assert all(a['error_code'] == 0 for a in synced), [a for a in synced if a['error_code']][:1]
    done = pipelined(c, 'OffsetCommit', 7, (groups.commit_body(g, TOPIC, 5, n, m) for g, n, m in members))
    assert all(a['topics'][0]['partitions'][0]['error_code'] == 0 for a in done)
    return members


def commit_cost(server, count=20000):
    """Microseconds of broker CPU a commit: one at a time, 64 on their way. Frames are made before, the client is not measured."""
    frames = [struct.pack('>i', len(f)) + f for f in (
        wire.request_frame(wire.KEYS['OffsetCommit'], 7, i, groups.commit_body('simple-%d' % (i % 1000), TOPIC, i)) for i in range(count))]
    figures = []
    with Raw(server.bootstrap) as c:
        for window in (1, 64):
            before = cpu_seconds(server)
            for k in range(0, count, window):
                c.sock.sendall(b''.join(frames[k:k + window]))
                for _ in frames[k:k + window]:
                    c.read_frame()
            figures.append((cpu_seconds(server) - before) / count * 1e6)
    return figures


def until_ready(server, count):
    """Seconds from now until all groups are listed."""
    begin = time.monotonic()
    while True:
        try:
            with Raw(server.bootstrap) as c:
                answer = c.call('ListGroups', 4, {'states_filter': []})
                if answer['error_code'] == 0:
                    assert len(answer['groups']) >= count, '%d of %d groups' % (len(answer['groups']), count)
                    return time.monotonic() - begin
        except (OSError, Closed):
            pass
        assert time.monotonic() < begin + 30, 'the groups are not ready'
        time.sleep(0.002)


def ten_thousand(server, arguments):
    """Memory of a group, heartbeats that write nothing, CPU of a commit, and how soon a restart has all groups again."""
    count = 10000 if arguments.long else 2000
    create(server, 1)
    with Raw(server.bootstrap, 60) as c:
        assert groups.commit(c, 'warm', TOPIC, 1) == 0
        before = server.memory()
        members = make_groups(c, count)
        time.sleep(1)
        memory = (server.memory() - before) / count
        wrote, cpu = offsets_bytes(server), cpu_seconds(server)
        beats = pipelined(c, 'Heartbeat', 1, ({'group_id': g, 'generation_id': n, 'member_id': m} for g, n, m in members))
        assert all(a['error_code'] == 0 for a in beats), beats[0]
        beat = (cpu_seconds(server) - cpu) / count * 1e6
        assert offsets_bytes(server) == wrote, '%d heartbeats wrote %d bytes' % (count, offsets_bytes(server) - wrote)
    commits = commit_cost(server)
    restarts = []
    for end in (server.stop, server.kill):
        end()
        begin = time.monotonic()
        server.start()
        until_ready(server, count)
        restarts.append(time.monotonic() - begin)
    text = '%d groups: %.0f bytes each; heartbeat %.1f us of CPU, nothing written; commit %.1f us of CPU, %.1f with 64 on their way; ' \
           'ready %.3f s after a stop, %.3f s after kill -9' % (count, memory, beat, *commits, *restarts)
    assert memory < 2048 and max(restarts) < 1 and min(commits) < 20, text
    return text


# Name: (case, settings of its server).
CASES = {
    'static-members': (static_members, ['group.initial.rebalance.delay.ms=1000']),
    'joins-within-the-delay': (joins_within_the_delay, ['group.initial.rebalance.delay.ms=3000']),
    'rolling-restart': (rolling_restart, ['group.initial.rebalance.delay.ms=1000']),
    'nine-hundred-partitions': (nine_hundred_partitions, [
        'group.consumer.heartbeat.interval.ms=%d' % HEARTBEAT_MS, 'group.consumer.session.timeout.ms=%d' % SESSION_MS,
        'group.consumer.min.session.timeout.ms=%d' % SESSION_MS]),
    'flood': (flood, ['group.initial.rebalance.delay.ms=200']),
    'ten-thousand-groups': (ten_thousand, ['group.initial.rebalance.delay.ms=0']),
}
