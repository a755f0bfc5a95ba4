# SPDX-License-Identifier: Apache-2.0
"""Replicated topics whose nodes are restarted, emptied and missing, seen from outside. How long a kill is felt is pauses.py's, what
stopped and cut-off nodes do hangs.py's and cuts.py's, and how the cluster forms cluster.py's."""

import shutil
import signal
import subprocess
import tempfile
import time

from failover_load import Load, topic_state
from harness import Closed, Node, Raw, batch, batches, timed, until
from server import Cluster, free_port



def next_port():
    """The next of the ports that run.py was given; else any that is free."""
    if not Node.ports[0]:
        return free_port()
    Node.ports[0] += 1
    return Node.ports[0]


class Three(Cluster):
    """A cluster of its own for one case. At the end every node that runs must end well."""

    def __init__(self, weir, settings=(), count=3, places=None):
        super().__init__(weir, tempfile.mkdtemp(prefix='weir-faults-cluster-'), count,
                         ['memory=64MiB', 'group.initial.rebalance.delay.ms=0'] + list(settings), next_port, places)

    def __enter__(self):
        try:
            self.start()
            self.registered(len(self.nodes))
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind, *_):
        said = self.log_ends()
        try:
            if kind is None:
                codes = self.stop()
                assert not any(codes), 'exit codes %s: %s' % (codes, self.log_ends())
            else:
                print(said)
        finally:
            self.kill()
            shutil.rmtree(self.folder, ignore_errors=True)
        return False

    def node(self, number):
        return self.nodes[number - 1]

    def listening(self):
        return [n.bootstrap for n in self.alive()]

    def raw(self, number, seconds=10):
        return Raw(self.node(number).bootstrap, seconds)

    def admin(self, *words, number=None):
        """What `weir admin` prints; through one node, or any that runs."""
        bootstrap = self.node(number).bootstrap if number else ','.join(self.listening())
        done = subprocess.run([self.weir, 'admin'] + list(words) + ['-b', bootstrap], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, 'admin %s: exit code %d: %s' % (words, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def registered(self, count, seconds=15):
        """Waits until every node that runs shows so many brokers."""
        def all_know():
            for node in self.alive():
                try:
                    with Raw(node.bootstrap, 2) as c:
                        if len(c.call('Metadata', 1, {'topics': []})['brokers']) != count:
                            return False
                except (OSError, Closed):
                    return False
            return True
        until(all_know, seconds, lambda: 'never %d brokers everywhere: %s' % (count, self.log_ends()))

    def state(self, topic, partition=0):
        """(leader, replicas, isr) as a node that runs says."""
        return topic_state(self.listening(), topic)[1].get(partition, (-1, [], []))

    def controller(self):
        return until(lambda: max(topic_state(self.listening(), '')[0], 0), 10, 'no controller')

    def create(self, topic, partitions=1, factor=3, number=None, **configs):
        with Raw(self.node(number).bootstrap if number else self.listening()[0]) as c:
            code = c.create(topic, partitions, [(k.replace('_', '.'), v) for k, v in configs.items()], factor)
        assert code == 0, 'create %s: error %d' % (topic, code)
        until(lambda: all(self.state(topic, n)[0] > 0 for n in range(partitions)), 5, 'no leaders')

    def create_led_by(self, topic, replicas):
        """One partition, led by the first of its replicas; full."""
        with Raw(self.nodes[0].bootstrap) as c:
            answer = c.call('CreateTopics', 4, {'timeout_ms': 10000, 'topics': [{
                'name': topic, 'num_partitions': -1, 'replication_factor': -1, 'configs': [],
                'assignments': [{'partition_index': 0, 'broker_ids': replicas}]}]})
        assert answer['topics'][0]['error_code'] == 0, answer
        self.whole(topic, size=len(replicas))
        assert self.state(topic)[0] == replicas[0], self.state(topic)

    def hand_controller_to(self, number):
        def is_there():
            if self.controller() == number:
                return True
            self.admin('quorum', 'transfer', str(number))
            return False
        until(is_there, 15, self.log_ends)

    def whole(self, topic, partitions=1, size=3, seconds=15):
        """Waits until every ISR of a topic is full; the seconds that took."""
        begin = time.monotonic()
        until(lambda: all(len(self.state(topic, n)[2]) == size for n in range(partitions)), seconds,
              lambda: 'ISR of %s: %s; %s' % (topic, [self.state(topic, n) for n in range(partitions)], self.log_ends()))
        return time.monotonic() - begin

    def equal(self, topic):
        """After the stop: the nodes' segment files hold the same batches, whole and with the same epochs."""
        held = [{partition: [(b.base_offset, b.last_offset, b.leader_epoch, b.crc) for b in batches.read_log(folder)]
                 for partition, folder in batches.partition_folders(node.data, topic).items()} for node in self.nodes]
        for n, other in enumerate(held[1:], 2):
            assert other.keys() == held[0].keys(), 'node %d has partitions %s, node 1 %s' % (n, sorted(other), sorted(held[0]))
            for partition, found in other.items():
                assert found == held[0][partition], 'partition %d of node %d differs from node 1: %r' % (
                    partition, n, set(found) ^ set(held[0][partition]))


def produced(c, topic, *values, acks=-1):
    """One batch; the error code."""
    return c.produce(topic, batch(*values), acks=acks)['error_code']


def fresh_topics(weir):
    """acks=all to a topic that was just made is not held up by the long polls of its followers, which wait for the others."""
    with Three(weir) as cluster:
        cluster.create('rests', 3)
        cluster.whole('rests', 3)
        slowest = 0
        for number in range(6):
            cluster.create('t%d' % number, 1)
            with cluster.raw(cluster.state('t%d' % number)[0]) as c:
                took, code = timed(produced, c, 't%d' % number, b'x')
            assert code == 0, 'error %d' % code
            slowest = max(slowest, took)
            time.sleep(0.1)
    assert slowest < 0.4, 'acknowledged after %.0f ms' % (slowest * 1000)
    return 'the slowest of 6 took %.0f ms' % (slowest * 1000)


def rolling_restart(weir):
    """SIGTERM and start of one node after the other under load: clients see no error, leaders move before a node ends."""
    with Three(weir) as cluster:
        cluster.create('load', 3)
        cluster.whole('load', 3)
        stops = []
        with Load(cluster, 'load', 3, stock=1) as load:
            for number in (1, 2, 3):
                time.sleep(0.5)
                took, code = timed(cluster.node(number).stop)
                assert code == 0, 'exit code %d: %s' % (code, cluster.node(number).log()[-1500:])
                stops.append(took * 1000)
                assert all(cluster.state('load', n)[0] not in (number, -1) for n in range(3)), 'left without a leader'
                cluster.node(number).start()
                cluster.registered(3)
                cluster.whole('load', 3)
        count = load.check()
        pause = max(load.pauses().values()) * 1000
    assert pause < 1000, 'a pause of %.0f ms' % pause
    return '%d records; longest pause %.0f ms; stops of %s ms' % (count, pause, ', '.join('%.0f' % s for s in stops))


def disk_emptied(weir):
    """Under load a node loses its folder and comes back: its replicas are filled again, equal batch by batch."""
    with Three(weir) as cluster:
        cluster.create('t', 3, min_insync_replicas='2')
        cluster.whole('t', 3)
        with Load(cluster, 't', 3) as load:
            time.sleep(0.5)
            victim = cluster.controller() % 3 + 1
            cluster.node(victim).kill()
            shutil.rmtree(cluster.node(victim).data)
            time.sleep(0.5)
            cluster.node(victim).start()
            filled = cluster.whole('t', 3, seconds=20)
        count = load.check()
        cluster.stop()
        cluster.equal('t')
    return 'full ISRs %.1f s after its return; %d records' % (filled, count)


def coordinator_killed(weir):
    """A group goes on when the node of its coordinator dies: offsets are kept; __consumer_offsets has factor 3."""
    with Three(weir) as cluster:
        cluster.create('t', 1)
        cluster.whole('t')

        def consume():
            done = subprocess.run([weir, 'consume', 't', '--group', 'g', '--from-beginning', '--exit-at-end', '-b',
                                   ','.join(cluster.listening())], capture_output=True, text=True, timeout=40)
            assert done.returncode == 0, (done.returncode, done.stdout[-200:], done.stderr[-500:])
            return done.stdout.split()

        def send(text):
            def sent():         # as a client would: asked again while a leadership moves
                with Raw(cluster.node(cluster.state('t')[0]).bootstrap) as c:
                    return produced(c, 't', text) == 0
            until(sent, 10, cluster.log_ends)

        send(b'one')
        assert consume() == ['one']
        partitions = topic_state(cluster.listening(), '__consumer_offsets')[1]
        assert len(partitions) == 50 and all(len(p[1]) == 3 for p in partitions.values()), partitions
        killed = []
        for text in ('two', 'three'):
            with Raw(cluster.listening()[0]) as c:
                coordinator = c.call('FindCoordinator', 1, {'key': 'g', 'key_type': 0})['node_id']
            cluster.node(coordinator).kill()
            killed.append(coordinator)
            until(lambda: cluster.state('t')[0] not in (coordinator, -1), 10, cluster.log_ends)
            send(text.encode())
            took, got = timed(consume)
            assert got == [text], 'the group read %s, not %s' % (got, text)
            cluster.node(coordinator).start()
            cluster.registered(3)
            until(lambda: all(len(p[2]) == 3 for p in topic_state(cluster.listening(), '__consumer_offsets')[1].values()), 15, cluster.log_ends)
    return 'coordinators %s killed; the group read on in %.1f s' % (killed, took)


def fewer_replicas(weir):
    """acks=1 and 0 with a follower down; with two of three replicas down acks=all is NOT_ENOUGH_REPLICAS, until they return,

    and then what a producer had in flight behind the first batch that was refused is not taken in before it."""
    with Three(weir, count=5) as cluster:
        cluster.create('t', 1, min_insync_replicas='2')
        cluster.whole('t')
        leader, replicas, _ = cluster.state('t')
        followers = [n for n in replicas if n != leader]
        cluster.node(followers[0]).kill()
        until(lambda: len(cluster.state('t')[2]) == 2, 10, cluster.log_ends)
        with cluster.raw(leader) as c:
            assert produced(c, 't', b'a', acks=1) == 0
            c.send('Produce', 7, {'acks': 0, 'timeout_ms': 1000, 'topic_data': [
                {'name': 't', 'partition_data': [{'index': 0, 'records': batch(b'b')}]}]})
            assert produced(c, 't', b'c') == 0
        cluster.node(followers[1]).kill()
        own = [cluster.node(leader).bootstrap]       # the leader itself, which may learn it later than others
        until(lambda: len(topic_state(own, 't')[1][0][2]) == 1, 10, cluster.log_ends)
        with cluster.raw(leader) as c:
            assert produced(c, 't', b'd') == 19, 'acks=all is NOT_ENOUGH_REPLICAS'
            made = c.call('InitProducerId', 3, {'transactional_id': None, 'transaction_timeout_ms': 60000,
                                                'producer_id': -1, 'producer_epoch': -1})
            first, second = (batch(v, producer_id=made['producer_id'], producer_epoch=made['producer_epoch'],
                                   base_sequence=n) for n, v in enumerate((b'g', b'h')))
            assert c.produce('t', first)['error_code'] == 19
            assert produced(c, 't', b'e', acks=1) == 0
        for number in followers:
            cluster.node(number).start()
        cluster.whole('t')
        with cluster.raw(cluster.state('t')[0]) as c:
            assert produced(c, 't', b'f') == 0
            codes = [c.produce('t', b)['error_code'] for b in (second, first, second)]
            assert codes == [45, 0, 0], 'the second batch, the first, the second again: %s' % codes
            assert c.end('t') == 7, 'seven records, the end is %d' % c.end('t')


def two_of_three_gone(weir):
    """With two of three nodes dead nothing is acknowledged with acks=all; when one returns the cluster goes on."""
    with Three(weir) as cluster:
        cluster.create('t', 1, min_insync_replicas='2')
        cluster.whole('t')
        with cluster.raw(cluster.state('t')[0]) as c:
            assert produced(c, 't', b'before') == 0
        leader = cluster.state('t')[0]
        gone = [n for n in (1, 2, 3) if n != leader]
        for number in gone:
            cluster.node(number).kill()
        with cluster.raw(leader) as c:
            code = c.call('Produce', 7, {'acks': -1, 'timeout_ms': 1500, 'topic_data': [
                {'name': 't', 'partition_data': [{'index': 0, 'records': batch(b'lost')}]}]})['responses'][0]['partition_responses'][0]['error_code']
        assert code in (6, 7, 19, 20), 'error %d' % code
        cluster.node(gone[0]).start()

        def accepted():
            try:
                with Raw(cluster.node(cluster.state('t')[0]).bootstrap) as c:
                    return produced(c, 't', b'after') == 0
            except (OSError, Closed):
                return False
        took = timed(until, accepted, 15, cluster.log_ends)[0]
    return 'refused with %d; accepted %.1f s after one returned' % (code, took)


def records_deleted(weir):
    """DeleteRecords waits for every live replica: no later leader brings the records back; a stopped one is told by the error."""
    with Three(weir, ['replica.lag.time.max.ms=3000']) as cluster:
        cluster.create('t')
        cluster.whole('t')

        def cut(c, offset, timeout_ms):
            part = c.call('DeleteRecords', 2, {'timeout_ms': timeout_ms, 'topics': [{'name': 't', 'partitions': [
                {'partition_index': 0, 'offset': offset}]}]})['topics'][0]['partitions'][0]
            return part['error_code'], part['low_watermark']

        leader = cluster.state('t')[0]
        slowest = 0
        with cluster.raw(leader) as c:
            assert produced(c, 't', *[b'%d' % n for n in range(100)]) == 0
            for offset in (10, 20, 50):
                took, answer = timed(cut, c, offset, 5000)
                assert answer == (0, offset), answer
                slowest = max(slowest, took)
            follower = cluster.node(leader % 3 + 1)
            follower.process.send_signal(signal.SIGSTOP)
            try:
                took, answer = timed(cut, c, 60, 300)
                assert answer == (7, -1) and took < 2, 'REQUEST_TIMED_OUT, not %s after %.1f s' % (answer, took)
                left, answer = timed(cut, c, 60, 9000)      # until it is no live replica
                assert answer == (0, 60), answer
            finally:
                follower.process.send_signal(signal.SIGCONT)
        cluster.whole('t')
        cluster.node(leader).kill()
        until(lambda: cluster.state('t')[0] not in (leader, -1), 10, cluster.log_ends)
        with cluster.raw(cluster.state('t')[0]) as c:
            # it may hear only with the next heartbeat that it was elected
            until(lambda: c.list_offset('t', -2)[0] == 0, 2, cluster.log_ends)
            start = c.list_offset('t', -2)[1]
            assert start == 60, 'deleted records are back from offset %d on' % start
        cluster.node(leader).start()
        cluster.whole('t')
    return 'answered after %.0f ms at most, %.1f s with a replica stopped' % (slowest * 1000, left)


CASES = [fresh_topics, rolling_restart, disk_emptied, coordinator_killed, fewer_replicas,
         two_of_three_gone, records_deleted]
