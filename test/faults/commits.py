# SPDX-License-Identifier: Apache-2.0
"""Groups over the end of their broker: no acknowledged commit is lost, and nobody who waits is left behind."""

import glob
import os
import random
import time

import groups
from harness import Closed, Node, timed, until

FAST = ['group.initial.rebalance.delay.ms=0']
NAMES = ['group-%d' % i for i in range(40)]


def committed(c, name):
    """The group's offset, once its coordinator has loaded."""
    body = {'group_id': name, 'topics': [{'name': 't', 'partition_indexes': [0]}]}
    answer = until(lambda: next((a for a in [c.call('OffsetFetch', 5, body)] if a['error_code'] == 0), None), 10,
                   'the coordinator of %s does not load' % name)
    return answer['topics'][0]['partitions'][0]['committed_offset']


def check(node, acknowledged):
    with node.raw() as c:
        groups.coordinator(c, 'any')
        for name in NAMES:
            found = committed(c, name)
            assert found >= acknowledged.get(name, -1), '%s: %d was acknowledged, %d is there' % (name, acknowledged[name], found)


def commits_survive(weir):
    """Commits all the time; kill -9 and clean stops, one and two shards, snapshots there and taken away."""
    draw, acknowledged, count = random.Random(7), {}, 0
    for shards in ('1', '2'):
        with Node(weir, settings=FAST, arguments=['--shards', shards]) as node:
            acknowledged.clear()
            with node.raw() as c:
                c.create('t', 1)
            for life in range(6):
                check(node, acknowledged)
                with node.raw() as c:
                    end = time.monotonic() + draw.uniform(0.1, 0.5)
                    while time.monotonic() < end:
                        name, count = draw.choice(NAMES), count + 1
                        if groups.commit(c, name, 't', count) == 0:
                            acknowledged[name] = count
                    for name in NAMES:      # on their way when it ends
                        count += 1
                        c.send('OffsetCommit', 7, groups.commit_body(name, 't', count))
                    node.stop() if life % 3 == 2 else node.kill()
                if life % 2:
                    for path in glob.glob(os.path.join(node.data, '__consumer_offsets-*', 'coordinator-state')):
                        os.remove(path)
                node.start()
            check(node, acknowledged)
    return '%d commits' % count


def stop_with_waiting_members(weir):
    """Members that wait for others are told to look for another coordinator, and the stop does not wait for them."""
    for shards in ('1', '2'):
        with Node(weir, settings=FAST, arguments=['--shards', shards]) as node:
            with node.raw() as c:
                groups.coordinator(c, 'any')
                waiting = []
                for name in NAMES:
                    groups.settle(c, name)
                    waiting.append(node.raw())
                    waiting[-1].send('JoinGroup', 3, groups.join_body(name, session=60000, rebalance=300000))
                time.sleep(0.2)
                took, code = timed(node.stop)
            assert code == 0 and took < 4, 'exit code %s after %.1f s' % (code, took)
            told = []
            for w in waiting:
                try:
                    told.append(w.read('JoinGroup', 3)[1]['error_code'])
                except Closed:
                    told.append('closed')
                w.sock.close()
            assert told == [16] * len(NAMES), told
            node.start()


CASES = [commits_survive, stop_with_waiting_members]
