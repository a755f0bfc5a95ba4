# SPDX-License-Identifier: Apache-2.0
"""Settings whose effect only a running broker shows: what followers ask for, how a node stops, when the old goes, and what a
start refuses. Limits of single addresses are overload.py's."""

import shutil
import signal
import socket
import struct
import subprocess
import time

from failover import Three, next_port, produced
from harness import Node, Skip, batch, timed, until, wire


def altered(c, error=0, resource='', **configs):
    """Sets dynamic broker settings, of all brokers or of one."""
    answer = c.call('IncrementalAlterConfigs', 1, {'resources': [{'resource_type': 4, 'resource_name': resource, 'configs': [
        {'name': name.replace('_', '.'), 'config_operation': 0, 'value': str(value)} for name, value in configs.items()]}]})
    assert answer['responses'][0]['error_code'] == error, answer


def follower_fetches(weir):
    """replica.fetch.min.bytes holds an answer back for replica.fetch.wait.max.ms, and no longer; the receive buffer is as asked."""
    settings = ['replica.fetch.min.bytes=1000000', 'replica.fetch.wait.max.ms=400', 'replica.socket.receive.buffer.bytes=65536']
    with Three(weir, settings) as cluster:
        cluster.create_led_by('t', [1, 2, 3])
        with cluster.raw(1) as c:
            assert produced(c, 't', b'first') == 0
            waits = [timed(produced, c, 't', b'one more') for _ in range(5)]
            assert all(error == 0 for _, error in waits), waits
            seconds = sorted(taken for taken, _ in waits)
            assert seconds[0] > 0.15 and seconds[2] < 1.2, 'acks=all took %s' % seconds
        if not shutil.which('ss'):
            raise Skip('ss is not installed: the receive buffer was not looked at')
        lines = subprocess.run(['ss', '-tmnpHO', 'state', 'established'], capture_output=True, text=True, check=True).stdout
        fetching = [line for line in lines.splitlines() if 'pid=%d,' % cluster.node(2).process.pid in line]
        assert any(',rb131072,' in line for line in fetching), fetching               # the kernel doubles what it is told
    return 'acks=all took %d to %d ms' % (1000 * seconds[0], 1000 * seconds[-1])


def follower_patience(weir):
    """A leader that does not answer is given up after replica.socket.timeout.ms."""
    with Three(weir, ['replica.socket.timeout.ms=700', 'replica.fetch.wait.max.ms=100']) as cluster:
        cluster.create_led_by('t', [1, 2, 3])
        cluster.node(1).process.send_signal(signal.SIGSTOP)
        try:
            until(lambda: 'fetching from node 1: timed out' in cluster.node(2).log(), 4, cluster.log_ends)
        finally:
            cluster.node(1).process.send_signal(signal.SIGCONT)
        cluster.whole('t')


def uncontrolled_stop(weir):
    """controlled.shutdown.enable=false: a node that stops does not wait until the controller took its leaderships away."""
    took = {}
    for enabled in ('true', 'false'):
        with Three(weir, ['controlled.shutdown.enable=' + enabled]) as cluster:
            cluster.create('t', 9)
            cluster.whole('t', 9)
            controller = cluster.node(cluster.controller())
            node = next(n for n in cluster.nodes if n is not controller)
            controller.process.send_signal(signal.SIGSTOP)
            try:
                took[enabled], code = timed(node.stop)
            finally:
                controller.process.send_signal(signal.SIGCONT)
            assert code == 0, node.log()[-1500:]
            node.start()
            cluster.registered(3)
            cluster.whole('t', 9)
    assert took['false'] < took['true'] - 0.3, took
    return 'with a controller that does not answer %(true).2f s, without asking it %(false).2f s' % took


def connected(port, count):
    """Connections that have each had an answer, or not: (those that have, how many have not)."""
    ours = [socket.create_connection(('127.0.0.1', port), 5) for _ in range(count)]
    served = []
    for c in ours:
        c.settimeout(10)
        try:
            frame = wire.request_frame(wire.KEYS['ApiVersions'], 0, 1, {}, b'raw')
            c.sendall(struct.pack('>i', len(frame)) + frame)
            assert c.recv(65536)
            served.append(c)
        except (OSError, AssertionError):
            c.close()
    return served, count - len(served)


def let_go(connections):
    for c in connections:
        c.close()


class Listeners(Node):
    """Two listeners; port is the first one's."""

    def __init__(self, weir, settings):
        super().__init__(weir, settings, ['--shards', '2'])
        self.second = next_port()
        at = self.command.index('--listen')
        self.command[at:at + 2] = ['--set', 'listeners=CLIENT://%s,OTHER://127.0.0.1:%d' % (self.bootstrap, self.second),
                                   '--set', 'listener.security.protocol.map=CLIENT:PLAINTEXT,OTHER:PLAINTEXT']


def connection_counts(weir):
    """max.connections, of all listeners of two shards and of one of them, lowered and raised while it runs."""
    with Listeners(weir, ['max.connections=6', 'listener.name.other.max.connections=2']) as node, node.raw() as c:
        until(lambda: connected(node.second, 0), 5, 'no start')
        others, refused = connected(node.second, 4)
        assert (len(others), refused) == (2, 2), (len(others), refused)
        node.said('refusing', 'listener OTHER has 2 connections')
        time.sleep(1.1)                                                                 # one such line a second
        ours, refused = connected(node.port, 5)
        assert (len(ours), refused) == (3, 2), (len(ours), refused)
        node.said('refusing', '6 connections are open')
        let_go(others)
        until(lambda: connected(node.port, 1)[0], 5, 'the places of closed connections stay taken')
        altered(c, max_connections=100, listener_name_other_max_connections=5)
        more, refused = connected(node.second, 7)
        assert (len(more), refused) == (5, 2), (len(more), refused)
        altered(c, 40, listener_name_other_max_connections=-1)                          # INVALID_CONFIG
        altered(c, 40, listener_name_other_num_partitions=1)
        altered(c, max_connections=1)
        assert connected(node.port, 1)[1] == 1, 'there are more than allowed, and still one came in'
        altered(c, max_connections=100)
        let_go(ours + more)
    said = Node(weir, ['listener.name.other.max.connections=2']).refuse()
    assert 'there is no listener other' in said, said


def connection_rate(weir):
    """max.connection.creation.rate: who comes too fast waits, nobody is refused; of one listener the others notice nothing."""
    settings = ['max.connection.creation.rate=20', 'quota.window.num=2']
    with Listeners(weir, settings) as node, node.raw() as c:
        slow, (served, refused) = timed(connected, node.port, 60)
        let_go(served)
        assert (len(served), refused) == (60, 0) and 1 < slow < 8, (len(served), refused, slow)
        altered(c, max_connection_creation_rate=1000000, listener_name_other_max_connection_creation_rate=20)
        fast, (served, refused) = timed(connected, node.port, 60)
        let_go(served)
        assert refused == 0 and fast < slow / 2, (refused, fast, slow)
        slow_too, (served, refused) = timed(connected, node.second, 60)
        let_go(served)
        assert refused == 0 and 1 < slow_too < 8, (refused, slow_too)
    return '60 connections in %.2f s, unbounded in %.2f s, over a bounded listener in %.2f s' % (slow, fast, slow_too)


def backlog(weir):
    """socket.listen.backlog.size is what the kernel is told."""
    if not shutil.which('ss'):
        raise Skip('ss is not installed')
    for settings, size in ((['socket.listen.backlog.size=7'], 7), ([], 4096)):
        with Node(weir, settings) as node:
            line = subprocess.run(['ss', '-ltnH', 'sport = :%d' % node.port], capture_output=True, text=True, check=True).stdout
            with open('/proc/sys/net/core/somaxconn') as file:
                assert int(line.split()[2]) == min(size, int(file.read())), line


def old_things(weir):
    """Idle producer ids and expired segments go when the settings say, changed or at the start."""
    with Node(weir, ['log.initial.task.delay.ms=1000', 'log.retention.ms=100']) as node, node.raw() as c:
        assert c.create('t') == 0
        begin = time.monotonic()
        assert produced(c, 't', b'soon gone') == 0
        until(lambda: c.list_offset('t', -2)[1] == 1, 20, lambda: 'still there: %s' % node.log())
        gone = time.monotonic() - begin

        def producers():
            answer = c.call('DescribeProducers', 0, {'topics': [{'name': 't', 'partition_indexes': [0]}]})
            return answer['topics'][0]['partitions'][0]['active_producers']
        fresh = c.call('InitProducerId', 0, {'transactional_id': None, 'transaction_timeout_ms': 60000})
        assert c.produce('t', batch(b'v', producer_id=fresh['producer_id'], producer_epoch=0, base_sequence=0))['error_code'] == 0
        assert len(producers()) == 1
        altered(c, producer_id_expiration_ms=1)
        until(lambda: not producers(), 5, 'an idle producer id is still remembered')
    return 'a segment after %.1f s' % gone


def pages(weir):
    """max.request.partition.size.limit bounds an answer of DescribeTopicPartitions."""
    with Node(weir, ['max.request.partition.size.limit=2']) as node, node.raw() as c:
        assert c.create('t', 3) == 0
        answer = c.call('DescribeTopicPartitions', 0, {'topics': [{'name': 't'}], 'response_partition_limit': 100, 'cursor': None})
        assert len(answer['topics'][0]['partitions']) == 2, answer
        assert answer['next_cursor'] == {'topic_name': b't', 'partition_index': 2}, answer


def refused(weir):
    """What cannot be done is refused, at the start or when it is asked for, and not passed over."""
    said = Node(weir, ['controller.quorum.bootstrap.servers=127.0.0.1:9093']).refuse()
    assert 'controller.quorum.voters' in said, said
    said = Node(weir, ['security.inter.broker.protocol=SASL_SSL']).refuse()
    assert 'must be one of: PLAINTEXT' in said, said
    with Node(weir) as node, node.raw() as c:
        altered(c, 42, '1', listeners='PLAINTEXT://127.0.0.1:1')                        # INVALID_REQUEST: not while it runs


CASES = [follower_fetches, follower_patience, uncontrolled_stop, connection_counts, connection_rate, backlog, old_things, pages, refused]
