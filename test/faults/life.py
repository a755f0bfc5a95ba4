# SPDX-License-Identifier: Apache-2.0
"""Stopping under load, and starting where one must not."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from failover import Three
from harness import Background, Closed, Node, Raw, Skip, batch, timed, until
from server import free_port


def producer(node, topic, acknowledged):
    """For Background: appends one batch after the other to a partition of its own; counts what was acknowledged."""
    def run(background, number):
        while not background.over.is_set():
            try:
                with node.raw() as c:
                    while not background.over.is_set():
                        answer = c.produce(topic, batch(b'%d' % acknowledged[number]), partition=number)
                        if answer['error_code'] == 0:
                            acknowledged[number] = answer['base_offset'] + 1
            except (Closed, OSError):
                time.sleep(0.05)
    return run


def stop_under_load(weir):
    """SIGTERM with producers and long polls at work: exit code 0, nothing acknowledged is lost, nothing is read again."""
    for shards in ('1', '2'):
        with Node(weir, arguments=['--shards', shards]) as node:
            with node.raw() as c:
                c.create('t', 8)
            acknowledged = [0] * 8
            polls = [node.raw() for _ in range(10)]
            for c in polls:
                c.send('Fetch', 11, {'max_wait_ms': 600000, 'min_bytes': 1, 'max_bytes': 1000, 'topics': [
                    {'topic': 't', 'partitions': [{'partition': 7, 'fetch_offset': 1 << 40, 'partition_max_bytes': 100}]}]})
            with Background(producer(node, 't', acknowledged), 8) as load:
                for _ in range(3):
                    time.sleep(0.5)
                    took, code = timed(node.stop)
                    assert code == 0, 'exit code %s: %s' % (code, node.log()[-1500:])
                    assert took < 2.5, 'the stop took %.1f s' % took
                    sure = list(acknowledged)
                    node.start()
                    lines = [line for line in node.log().splitlines() if line.startswith('data in')]
                    assert 'again' not in lines[-1], lines[-1]
                    with node.raw() as c:
                        ends = [c.list_offset('t', -1, partition=n)[1] for n in range(8)]
                    assert all(end >= n for end, n in zip(ends, sure)), (ends, sure)
                load.stop()
            assert min(acknowledged) > 0, acknowledged
            for c in polls:
                c.sock.close()


def stop_twice(weir):
    """Supervisors signal a process and then its group: two SIGTERMs at once ask for one clean stop."""
    with Node(weir, arguments=['--shards', '2']) as node:
        with node.raw() as c:
            c.create('t', 4)
        acknowledged = [0] * 4
        with Background(producer(node, 't', acknowledged), 4):
            time.sleep(0.5)
            node.signal_stop()
            node.signal_stop()
            assert node.process.wait(3) == 0, node.log()[-1500:]
            sure = list(acknowledged)
            node.start()
            lines = [line for line in node.log().splitlines() if line.startswith('data in')]
            assert 'again' not in lines[-1], lines[-1]
            with node.raw() as c:
                ends = [c.list_offset('t', -1, partition=n)[1] for n in range(4)]
            assert all(end >= n for end, n in zip(ends, sure)), (ends, sure)


def stop_asked_again(weir):
    """A stop that waits for a controller which does not answer is cut short by a second SIGTERM, with exit code 1."""
    with Three(weir) as cluster:
        cluster.create('t', 9)
        cluster.whole('t', 9)
        controller = cluster.node(cluster.controller())
        node = next(n for n in cluster.nodes if n is not controller)
        controller.process.send_signal(signal.SIGSTOP)
        try:
            node.process.terminate()
            node.process.terminate()
            time.sleep(0.7)
            assert node.process.poll() is None, 'it did not wait: %s' % node.log()[-800:]
            node.process.terminate()
            assert node.process.wait(2) == 1, node.log()[-800:]
        finally:
            controller.process.send_signal(signal.SIGCONT)
        assert 'stopping at once' in node.log(), node.log()[-800:]
        node.start()
        cluster.registered(3)


def stop_at_once(weir):
    """SIGTERM in the first milliseconds of a life, again and again."""
    for shards in ('1', '3'):
        with Node(weir, arguments=['--shards', shards]) as node:
            for n in range(10):
                assert node.stop() == 0, node.log()[-800:]
                with open(node.log_path, 'ab') as log:
                    node.process = subprocess.Popen(node.command, stdout=log, stderr=subprocess.STDOUT)
                time.sleep(0.01 + 0.004 * n)
                node.signal_stop()
                code = node.process.wait(10)
                # before it listens for the signal it may die of it: nothing has begun then
                assert code in (0, -15), 'exit code %s: %s' % (code, node.log()[-400:])
                node.start()


def stop_before_joining(weir):
    """A member of a cluster that has no majority yet, with one shard and with two, stops at a word."""
    for shards in ('1', '2'):
        with tempfile.TemporaryDirectory(prefix='weir-faults-') as folder:
            peers = ','.join('%d@127.0.0.1:%d' % (node, free_port()) for node in (1, 2))
            commands = [[weir, 'server', '--id', str(node), '--peers', peers, '--listen', '127.0.0.1:%d' % free_port(), '--data',
                         os.path.join(folder, str(node)), '--shards', shards] for node in (1, 2)]
            for lives in (commands, commands[:1]):
                with open(os.path.join(folder, 'log'), 'ab') as log:
                    processes = [subprocess.Popen(c, stdout=log, stderr=subprocess.STDOUT) for c in lives]
                time.sleep(1.5)
                for process in processes:
                    process.terminate()
                codes = [process.wait(20) for process in processes]
                with open(log.name) as text:
                    assert not any(codes), '%s shards, %d nodes: exit codes %s: %s' % (shards, len(lives), codes, text.read()[-2000:])


def refusals(weir):
    """What stops a start names what is wrong and what to do, with exit code 1, and damages nothing."""
    def said(text, *words):
        missing = [word for word in words if word.lower() not in text.lower()]
        assert not missing, 'nothing of %s in: %s' % (missing, text[-500:])

    said(Node(weir, ['log.segment.byte=1000000']).refuse(), 'log.segment.byte', 'log.segment.bytes')
    said(Node(weir, ['zookeeper.connect=a:2181']).refuse(), 'zookeeper.connect')
    said(Node(weir, ['log.segment.bytes=many']).refuse(), 'log.segment.bytes', 'many')
    said(Node(weir, ['log.cleanup.policy=shred']).refuse(), 'log.cleanup.policy', 'shred')
    said(Node(weir, ['nonsense']).refuse(), 'KEY=VALUE')
    said(Node(weir, files=100).refuse(), 'open files', '100', 'ulimit')
    said(Node(weir, arguments=['--memory', '1MiB']).refuse(), 'memory', '--memory')
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        node = Node(weir)
        taken.bind(('127.0.0.1', node.port))
        taken.listen()
        said(node.refuse(), str(node.port), 'in use')
    node = Node(weir)
    with open(node.data, 'w') as file:
        file.write('a file')
    said(node.refuse(), 'data')
    node = Node(weir, data='/proc/weir-cannot-be-here')
    said(node.refuse(), '/proc/weir-cannot-be-here')


def locked_folder(weir):
    """A second process on the same folder is refused and the first goes on."""
    with Node(weir) as node:
        with node.raw() as c:
            c.create('t')
        text = Node(weir, data=node.data).refuse()
        assert node.data in text and ('lock' in text or 'another' in text or 'in use' in text), text[-400:]
        with node.raw() as c:
            assert c.produce('t', batch(b'v'))['error_code'] == 0


def foreign_folder(weir):
    """The data folder of another node id or cluster is refused, and serves its own node afterwards."""
    with Node(weir) as node:
        with node.raw() as c:
            c.create('t')
            assert c.produce('t', batch(b'kept'))['error_code'] == 0
        assert node.stop() == 0
        text = Node(weir, arguments=['--id', '7'], data=node.data).refuse()
        assert '7' in text and '1' in text and node.data in text, text[-400:]
        with Node(weir) as other:
            theirs = other.data
            assert other.stop() == 0
            text = Node(weir, data=node.data + ',' + theirs).refuse()
            assert 'cluster' in text and theirs in text, text[-400:]
            other.start()
        node.start()
        with node.raw() as c:
            assert c.fetch('t', 0)['records']


def unwritable_folder(weir):
    """A folder that may not be written."""
    if os.geteuid() == 0:
        if not shutil.which('setpriv'):
            raise Skip('as root, and setpriv is not there')
    node = Node(weir)
    os.mkdir(node.data)
    os.chmod(node.folder, 0o755)
    os.chmod(node.data, 0o555)
    if os.geteuid() == 0:
        copy = os.path.join(node.folder, 'weir')
        shutil.copy(weir, copy)
        node.command = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', copy] + node.command[1:]
    text = node.refuse()
    assert node.data in text and ('permission' in text.lower() or 'not allowed' in text.lower()), text[-400:]


def disk_full(weir):
    """A full disk: a produce gets a retriable error, reads and deletes go on, and it heals without a restart."""
    if os.geteuid() != 0:
        raise Skip('mounting a small disk takes root')
    mount = tempfile.mkdtemp(prefix='weir-full-')
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=200m', 'tmpfs', mount], capture_output=True).returncode:
        os.rmdir(mount)
        raise Skip('no tmpfs can be mounted')
    try:
        with Node(weir, ['log.segment.bytes=8000000', 'log.segment.delete.delay.ms=0'],
                  data=os.path.join(mount, 'data')) as node:
            with node.raw(30) as c:
                assert c.create('first') == 0 and c.create('second') == 0
                big = batch(b'x' * 900000)
                ends = {'first': 0, 'second': 0}
                error = 0
                for n in range(1000):
                    topic = 'first' if n % 2 else 'second'
                    answer = c.produce(topic, big)
                    error = answer['error_code']
                    if error:
                        break
                    ends[topic] += 1
                assert error in (6, 7, 19, 56), 'error %d after %s' % (error, ends)     # all of them are tried again
                node.said('full', seconds=1) if 'full' in node.log() else None
                for topic, end in ends.items():
                    assert c.end(topic) == end
                    assert len(c.fetch(topic, end - 1)['records']) > 900000
                assert c.call('Metadata', 1, {'topics': None})['topics']
                assert c.call('DeleteTopics', 1, {'topic_names': ['first'], 'timeout_ms': 5000})['responses'][0]['error_code'] == 0

                def healed():
                    return c.produce('second', big)['error_code'] == 0
                took, _ = timed(until, healed, 15, lambda: 'not healed: %s' % node.log()[-600:])
                assert c.end('second') == ends['second'] + 1
            assert node.process.poll() is None
            return 'error %d after %d MB, healed in %.1f s' % (error, sum(ends.values()) * 0.9, took)
    finally:
        subprocess.run(['umount', '-l', mount], check=False)
        os.rmdir(mount)


CASES = [stop_under_load, stop_twice, stop_asked_again, stop_at_once, stop_before_joining, refusals, locked_folder, foreign_folder, unwritable_folder, disk_full]
