# SPDX-License-Identifier: Apache-2.0
"""Clocks of nodes that differ and jump, under load: sessions, elections and producers do not care, retention does not believe it,
and what people should know is said."""

import glob
import os
import shutil
import sys
import tempfile
import time

from failover import Three
from failover_load import Load
from harness import Skip, until

# The process enters a time namespace of its own, whose monotonic clock is so many seconds ahead, with its next exec.
MONOTONIC = r'''
import ctypes, os, sys
CLONE_NEWTIME = 0x80
if ctypes.CDLL(None).unshare(CLONE_NEWTIME) != 0:
    sys.exit('no time namespace')
with open('/proc/self/timens_offsets', 'w') as file:
    file.write('monotonic %s 0\nboottime %s 0\n' % (sys.argv[1], sys.argv[1]))
os.execv(sys.argv[2], sys.argv[2:])
'''


def monotonic_apart(weir):
    """Nodes that were started days apart, as the machines of a cluster are: each has a monotonic clock of its own."""
    if os.geteuid() != 0 or not os.path.exists('/proc/self/timens_offsets'):
        raise Skip('time namespaces take root and a kernel that has them')
    places = [('127.0.0.1', [sys.executable, '-c', MONOTONIC, str(seconds)]) for seconds in (0, 864000, 30000000)]
    with Three(weir, ['broker.session.timeout.ms=3000', 'broker.heartbeat.interval.ms=750'], places=places) as cluster:
        apart = {os.readlink('/proc/%d/ns/time' % node.process.pid) for node in cluster.nodes}
        if len(apart) < 2:
            raise Skip('this kernel enters a time namespace only with a fork')
        cluster.create('load', 3)
        cluster.whole('load', 3)
        with Load(cluster, 'load', 3) as load:
            for _ in range(2):
                victim = cluster.controller()
                time.sleep(0.5)
                cluster.node(victim).kill()
                until(lambda: cluster.controller() not in (victim, -1), 10, cluster.log_ends)
                time.sleep(0.5)
                cluster.node(victim).start()
                cluster.registered(3)
                cluster.whole('load', 3)
            time.sleep(3.5)         # longer than a session
            assert not any('silent for' in node.log() for node in cluster.nodes), cluster.log_ends()
        count = load.check()
        pause = max(load.pauses().values())
    assert pause < 2, 'a pause of %.1f s' % pause
    return '%d records, longest pause %.2f s' % (count, pause)


class WallClock:
    """The wall clock of a process, as libfaketime shows it; its monotonic clock stays true."""

    def __init__(self, folder, name):
        found = glob.glob('/usr/lib/*/faketime/libfaketime*.so.1')
        if not found:
            raise Skip('libfaketime is not there (tools/deps test installs it)')
        library = next((f for f in found if f.endswith('libfaketime.so.1')), found[0])
        self.path = os.path.join(folder, name)
        self.set(0)
        self.prefix = ['env', 'LD_PRELOAD=' + library, 'FAKETIME_TIMESTAMP_FILE=' + self.path, 'FAKETIME_NO_CACHE=1',
                       'FAKETIME_DONT_FAKE_MONOTONIC=1', 'DONT_FAKE_MONOTONIC=1']

    def set(self, seconds):
        with open(self.path + '.new', 'w') as file:
            file.write('%+d\n' % seconds)
        os.rename(self.path + '.new', self.path)


def wall_jumps(weir):
    """Under load the wall clock of one node after the other jumps a year ahead, then two back, then to the truth: nobody is
    fenced, no record goes by retention, and it is reported."""
    folder = tempfile.mkdtemp(prefix='weir-clocks-')
    try:
        clocks = [WallClock(folder, 'clock-%d' % n) for n in (1, 2, 3)]
        places = [('127.0.0.1', clock.prefix) for clock in clocks]
        # A record of the true time is refused by a clock far behind (KIP-937), which is not what this is about.
        settings = ['log.retention.check.interval.ms=200', 'log.roll.ms=300', 'log.message.timestamp.after.max.ms=9223372036854775807', 'log.retention.hours=24']
        with Three(weir, settings, places=places) as cluster:
            cluster.create('load', 3)
            cluster.whole('load', 3)
            with Load(cluster, 'load', 3) as load:
                time.sleep(0.5)
                for clock in clocks:
                    for days in (365, -365):
                        clock.set(days * 86400)
                        time.sleep(0.8)
                    clock.set(0)
                time.sleep(0.5)
                assert not any('silent for' in node.log() for node in cluster.nodes), cluster.log_ends()
            count = load.check()
            pause = max(load.pauses().values())
            reports = [line for node in cluster.nodes for line in node.log().splitlines() if 'the wall clock jumped' in line]
            cluster.stop()
        assert pause < 1, 'a pause of %.1f s' % pause
        assert reports, 'nobody said a word about the clocks: %s' % cluster.log_ends()
        return '%d records, longest pause %.2f s; %d lines, such as: %s' % (count, pause, len(reports), reports[0].split('warning: ')[-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wall_apart(weir):
    """A node whose wall clock is two hours behind joins; both times are said, and nothing is refused."""
    folder = tempfile.mkdtemp(prefix='weir-clocks-')
    try:
        clock = WallClock(folder, 'clock')
        clock.set(-7200)
        places = [('127.0.0.1', ())] * 2 + [('127.0.0.1', clock.prefix)]
        with Three(weir, places=places) as cluster:
            cluster.create('t', 1)
            cluster.whole('t')
            lines = [text for text in cluster.node(1).log().splitlines() if 'the clocks are apart' in text and 'node 3' in text]
            assert lines, cluster.node(1).log()
        return lines[0].split('warning: ')[-1]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


CASES = [monotonic_apart, wall_jumps, wall_apart]
