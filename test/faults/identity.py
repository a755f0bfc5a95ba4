# SPDX-License-Identifier: Apache-2.0
"""Who belongs where: nodes of two clusters that meet, a second process under an id that lives, and a process that was replaced.
Whatever they try, the clusters that run are not changed."""

import json
import os
import signal
import subprocess
import time

from cuts import Apart
from failover import Three, produced
from failover_load import topic_state
from harness import Raw, until
from network import Network, on_a_network
from server import Server, free_port


def peers_of(cluster):
    """[ID@HOST:PORT] as its nodes were told."""
    command = cluster.nodes[0].command
    return command[command.index('--peers') + 1].split(',')


def epochs(cluster):
    """{node: broker epoch} and the leaders of t, as the quorum has them; what a stranger must not change."""
    described = json.loads(cluster.admin('brokers', 'list', '--json'))
    return sorted(b['id'] for b in described['brokers']), cluster.state('t')[:2], json.loads(
        cluster.admin('quorum', 'status', '--json'))['term']


def run_as(cluster, folder, number, peers, listen=None, settings=()):
    """A further process under an id, with a list of peers."""
    os.makedirs(folder, exist_ok=True)
    return Server(cluster.weir, folder, ['memory=64MiB'] + list(settings), ['--id', str(number), '--peers', ','.join(peers)], listen or free_port())


def said(server, word, seconds):
    until(lambda: word in server.log(), seconds, lambda: 'nothing of %r: %s' % (word, server.log()[-1500:]))
    return next(line for line in server.log().splitlines() if word in line)


def two_clusters(weir):
    """A node of one cluster is started with the peers of another: it and they stay apart, say why, and go on."""
    with Three(weir) as one, Three(weir) as two:
        for cluster in (one, two):
            cluster.create('t', 1)
            cluster.whole('t')
        before = epochs(one), epochs(two)
        guest = two.node(3)
        assert guest.stop() == 0
        two.registered(2)
        lost = run_as(two, os.path.join(two.folder, 'lost'), 3, peers_of(one)[:2] + ['3@127.0.0.1:%d' % free_port()])
        lost.command[lost.command.index('--data') + 1] = guest.data
        lost.begin()
        try:
            line = said(lost, 'they stay apart', 10)
            host = [n for n in one.nodes[:2] if 'stay apart' in n.log()]
            assert host, 'nobody of the other cluster said anything'
            time.sleep(1)
            one.create('meanwhile', 1)
        finally:
            if lost.process.poll() is None:
                lost.kill()
        guest.start()
        two.registered(3)
        two.whole('t')
        after = epochs(one), epochs(two)
        assert before[0] == after[0], 'the one changed from %s to %s' % (before[0], after[0])
        assert before[1][0] == after[1][0] and 'meanwhile' not in two.admin('topics', 'list')
        for cluster in (one, two):
            with Raw(cluster.node(cluster.state('t')[0]).bootstrap) as c:
                assert produced(c, 't', b'x') == 0
    return line.split('warning: ')[-1]


def joins_by_mistake(weir):
    """An empty node is asked into two clusters at once by its list of peers: it joins one and says what the other is."""
    with Three(weir) as one, Three(weir) as two:
        mixed = run_as(one, os.path.join(one.folder, 'mixed'), 9, [
            peers_of(one)[0], peers_of(two)[1], '9@127.0.0.1:%d' % free_port()])
        mixed.begin()
        try:
            line = said(mixed, 'stay apart', 15)
            time.sleep(1)
        finally:
            mixed.kill()
        for cluster in (one, two):
            cluster.create('t', 1)
            assert len([r for r in json.loads(cluster.admin('quorum', 'status', '--json'))['replicas'] if r['role'] != 'observer']) == 3
    return line.split('warning: ')[-1]


def same_folder(weir):
    """A second process on the folder of one that runs is refused at once; the first goes on."""
    with Three(weir) as cluster:
        cluster.create('t', 1)
        cluster.whole('t')
        before = epochs(cluster)
        second = run_as(cluster, os.path.join(cluster.folder, 'second'), 2, peers_of(cluster))
        second.command[second.command.index('--data') + 1] = cluster.node(2).data
        done = subprocess.run(second.command, capture_output=True, text=True, timeout=20, check=False)
        text = done.stdout + done.stderr
        assert done.returncode == 1 and cluster.node(2).data in text, 'exit code %d: %s' % (done.returncode, text[-800:])
        assert epochs(cluster) == before
    return text.strip().splitlines()[-1]


def second_process(weir, give_up=False):
    """A second process with an id that lives, and a folder of its own, is not registered, whatever it is asked through; the
    first keeps id, leaderships and ISR. Once the first is dead the second is let in, without a vote."""
    session_ms = 2000 if give_up else 9000
    with Three(weir, ['broker.session.timeout.ms=%d' % session_ms]) as cluster:
        cluster.create('t', 1)
        cluster.whole('t')
        before = epochs(cluster)
        peers = peers_of(cluster)
        second = run_as(cluster, os.path.join(cluster.folder, 'second'), 2, [
            peers[0], '2@127.0.0.1:%d' % free_port(), peers[2]], settings=['broker.session.timeout.ms=%d' % session_ms])
        second.begin()
        try:
            if give_up:
                begin = time.monotonic()
                code = second.process.wait(30)
                took = time.monotonic() - begin
                assert code == 1, 'exit code %d: %s' % (code, second.log()[-1500:])
                assert took > session_ms / 1000, 'a process that had just died would have been taken for alive: %.1f s' % took
                line = '%.1f s: %s' % (took, said(second, 'another process with id 2 is alive, and has been', 1).split('error: ')[-1])
            else:
                time.sleep(4)
                line = 'not let in for 4 s'
            assert epochs(cluster) == before, 'changed from %s to %s' % (before, epochs(cluster))
            assert len(cluster.state('t')[2]) == 3 and cluster.node(2).process.poll() is None
            assert 'another process has registered' not in cluster.node(2).log()
            with Raw(cluster.node(cluster.state('t')[0]).bootstrap) as c:
                assert produced(c, 't', b'x') == 0
        finally:
            if second.process.poll() is None:
                second.kill()
    return line.split('error: ')[-1]


def second_process_gives_up(weir):
    """The second process says so in the end, later than a session, and ends with 1."""
    return second_process(weir, give_up=True)


def hung_process_replaced(weir):
    """A process hangs, and an empty one takes its id at once: that one is refused until the session of the first has ended, and
    is let in then. It does not give up."""
    settings = ['broker.session.timeout.ms=2000']
    with Three(weir, settings) as cluster:
        cluster.create('t', 1)
        cluster.whole('t')
        hung = cluster.node(2)
        hung.process.send_signal(signal.SIGSTOP)
        peers = peers_of(cluster)
        second = run_as(cluster, os.path.join(cluster.folder, 'second'), 2, [
            peers[0], '2@127.0.0.1:%d' % free_port(), peers[2]], settings=settings)
        second.begin()
        begin = time.monotonic()
        try:
            asks = [cluster.node(1).bootstrap, cluster.node(3).bootstrap]
            until(lambda: 'another process with id 2 is alive' in second.log(), 5, lambda: 'never refused: %s' % second.log()[-1500:])
            until(lambda: second.process.poll() is None and 2 in topic_state(asks, 't')[1][0][2] and 'an observer of cluster' in second.log(),
                  20, lambda: second.log()[-1500:] + cluster.log_ends())
            took = time.monotonic() - begin
        finally:
            hung.process.kill()
            hung.process.wait()
            second.kill()
        hung.start()
        cluster.registered(3)
        cluster.whole('t')
    return 'in sync after %.1f s' % took


@on_a_network
def replaced(weir):
    """A node's cable is pulled, and another process takes its place and address. Back on the network, the first one ends with
    the reason and has changed nothing; started once more it has its place again."""
    with Network(3) as network, Apart(weir, network) as cluster:
        cluster.create_led_by('t', [2, 1, 3])
        cluster.hand_controller_to(3)
        old = cluster.node(2)
        network.unplug(2)
        until(lambda: sorted(topic_state([cluster.node(3).bootstrap], 't')[1][0][2]) == [1, 3], 10, cluster.log_ends)
        network.add(12, network.address(2))
        new = Server(weir, os.path.join(cluster.folder, 'new'), ['memory=64MiB'], ['--id', '2', '--peers', ','.join(peers_of(cluster))],
                     old.port, old.host, network.prefix(12))
        os.mkdir(os.path.join(cluster.folder, 'new'))
        new.begin()
        try:
            until(lambda: sorted(topic_state([cluster.node(3).bootstrap], 't')[1][0][2]) == [1, 2, 3], 20, lambda: new.log() + cluster.log_ends())
            with Raw(cluster.node(cluster.state('t')[0]).bootstrap) as c:
                assert produced(c, 't', b'x') == 0
        finally:
            new.process.kill()
            new.process.wait()
        network.unplug(12)
        network.unplug(2, 'up')
        begin = time.monotonic()
        code = old.process.wait(15)
        took = time.monotonic() - begin
        assert code == 1, 'exit code %d: %s' % (code, old.log()[-1500:])
        line = said(old, 'another process has registered as node 2', 1)
        old.start()
        cluster.registered(3)
        cluster.whole('t')
    return '%.1f s after it was back: %s' % (took, line.split('error: ')[-1])


CASES = [two_clusters, joins_by_mistake, same_folder, second_process, second_process_gives_up, hung_process_replaced,
         replaced]
