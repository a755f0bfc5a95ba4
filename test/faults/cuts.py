# SPDX-License-Identifier: Apache-2.0
"""Clusters whose nodes cannot hear each other: the larger side goes on, the smaller one acknowledges nothing that the larger does
not know and changes no metadata, and when all hear each other again the replicas are equal.

Clients reach both sides throughout: producers with acks=all know one side each, a further one writes with acks=1 to the
leader that is cut off."""

import json
import os
import random
import subprocess
import time

from failover import Three, produced
from failover_load import Load, topic_state
from harness import Closed, Raw, batches, until
from network import Network, on_a_network

SESSION_S = 3
SETTINGS = ['broker.session.timeout.ms=%d' % (SESSION_S * 1000), 'broker.heartbeat.interval.ms=750']
ELECTION_S = 1          # controller.quorum.election.timeout.ms
# A new controller leaves the session of who led half its time at least. Its election takes up to two timeouts when both
# wait long, and as much again when the first round has no winner, which chance allows.
GOES_ON_S = 2 * 2 * ELECTION_S + SESSION_S / 2
GRACE_S = 0.3           # what was on its way when the cut came
HEALED_S = 20
MEMORY_MIB = 24         # what a cut-off node may take more under the load of these cases


class Apart(Three):
    """A cluster whose nodes are on a network of their own."""

    def __init__(self, weir, network, count=3, settings=SETTINGS):
        super().__init__(weir, settings, count, network.places())
        self.network = network

    def knows(self, number):
        """What a node answers about all topics and brokers."""
        with Raw(self.node(number).bootstrap, 3) as c:
            answer = c.call('Metadata', 7, {'topics': None, 'allow_auto_topic_creation': False})
        return (sorted((t['name'], [sorted(p.items()) for p in t['partitions']]) for t in answer['topics']).__repr__(),
                sorted(b['node_id'] for b in answer['brokers']))

    def refuses_a_topic(self, number, name):
        """Asks a node for a new topic; the error, which must be one."""
        try:
            with Raw(self.node(number).bootstrap, 8) as c:
                answer = c.call('CreateTopics', 4, {'timeout_ms': 1000, 'topics': [{
                    'name': name, 'num_partitions': 1, 'replication_factor': 1, 'configs': [], 'assignments': []}]})
            code = answer['topics'][0]['error_code']
        except (OSError, Closed) as why:
            return str(why) or 'closed'
        assert code != 0, 'the cut-off node %d made a topic' % number
        return code

    def dumps_equal(self, topic, replicas):
        """After the stop: `weir admin log dump` finds no damage, and the same batches on each of these nodes; how many."""
        held = []
        for n in replicas:
            folder = batches.partition_folders(self.node(n).data, topic)[0]
            done = subprocess.run([self.weir, 'admin', 'log', 'dump', '--json', folder], capture_output=True, text=True, timeout=30,
                                  check=False)
            assert done.returncode == 0, 'dump of %s: %s' % (folder, (done.stdout + done.stderr)[-800:])
            rows = [json.loads(line) for line in done.stdout.splitlines()]
            held.append([(r['base_offset'], r['last_offset'], r['leader_epoch'], r['crc']) for r in rows if r['type'] == 'batch'])
            assert held[-1] == held[0], 'nodes %d and %d differ: %s' % (replicas[0], n, set(held[-1]) ^ set(held[0]))
        return len(held[0])


def first_acknowledged(cluster, numbers, topic, seconds):
    """Asks these nodes who leads and writes there with acks=all; the seconds until that is acknowledged."""
    begin = time.monotonic()

    def accepted():
        leader = topic_state([cluster.node(n).bootstrap for n in numbers], topic)[1].get(0, (-1,))[0]
        if leader not in numbers:
            return False
        try:
            with Raw(cluster.node(leader).bootstrap, 1) as c:
                return produced(c, topic, b'probe %d x' % time.monotonic_ns()) == 0
        except (OSError, Closed):
            return False
    until(accepted, seconds, lambda: 'nothing acknowledged: %s; %s' % (cluster.state(topic), cluster.log_ends()))
    return time.monotonic() - begin


class Split:
    """One run: leader (and controller, unless another is named) on the smaller side, a cut, and what the two sides did."""

    def __init__(self, cluster, small, controller=None):
        self.cluster, self.small = cluster, small
        self.count = len(cluster.nodes)
        self.large = [n for n in range(1, self.count + 1) if n not in small]
        self.replicas = ([small[0]] + self.large + small[1:])[:3]
        cluster.create_led_by('t', self.replicas)
        cluster.hand_controller_to(controller or small[0])
        small_nodes, large_nodes = [cluster.node(n) for n in small], [cluster.node(n) for n in self.large]
        self.load = Load(cluster, 't', 1, sides=[(large_nodes, True), (small_nodes, True), (small_nodes, False)])

    def run(self, cut, hold_s):
        cluster = self.cluster
        with self.load:
            time.sleep(0.7)
            before = {n: cluster.knows(n) for n in self.small}
            memory = {n: cluster.node(n).memory() for n in self.small}
            self.moment = time.monotonic()
            cut()
            self.took = first_acknowledged(cluster, self.large, 't', SESSION_S * 3)
            self.refusals = {n: cluster.refuses_a_topic(n, 'cut-off-%d' % n) for n in self.small}
            time.sleep(max(0, self.moment + hold_s - time.monotonic()))
            after = {n: cluster.knows(n) for n in self.small}
            self.grown = max(cluster.node(n).memory() - memory[n] for n in self.small)
            cluster.network.heal()
            self.healed = time.monotonic()
            cluster.registered(self.count, HEALED_S)
            cluster.whole('t', size=3, seconds=HEALED_S)
            self.whole = time.monotonic() - self.healed
            time.sleep(0.5)
        assert before == after, 'metadata of the cut-off side changed from %s to %s' % (before, after)
        known = cluster.knows(self.large[0])[0]
        assert 'cut-off' not in known, 'what the cut-off side refused is there: %s' % known

    def check(self):
        """Of the cut-off side no acks=all, in the log everything that was acknowledged so, the replicas equal; what was seen."""
        load = self.load
        acknowledged = load.check()
        wrong = sum(self.moment + GRACE_S < t < self.healed for t in load.journal()[1].get('i100', []))
        assert not wrong, '%d answers with acks=all from the cut-off side' % wrong
        assert self.grown < MEMORY_MIB << 20, 'a cut-off node grew by %d MiB' % (self.grown >> 20)
        ones = load.between(self.moment, self.healed, 'p')
        self.cluster.stop()
        compared = self.cluster.dumps_equal('t', self.replicas)
        return ('went on after %.1f s, whole %.1f s after healing; %d records with acks=all, %d batches compared; acks=1: %d answers '
                'from the cut-off leader, %d records gone; new topics refused with %s; %d KiB more memory' % (
                    self.took, self.whole, acknowledged, compared, ones, load.gone, sorted(set(self.refusals.values()), key=str),
                    self.grown >> 10))


def separated(weir, count, small, cut, controller=None, most_s=GOES_ON_S, hold_s=4.0):
    """A Split of so many nodes by cut(network, small, large), checked."""
    with Network(count) as network, Apart(weir, network, count) as cluster:
        split = Split(cluster, small, controller)
        split.run(lambda: cut(network, split.small, split.large), hold_s)
        seen = split.check()
    assert split.took < most_s, 'the larger side went on after %.1f s' % split.took
    return seen


def apart(network, small, large):
    network.cut(small, large)


@on_a_network
def two_and_one(weir):
    """Three nodes split two and one; leader and controller are alone."""
    return separated(weir, 3, [1], apart)


@on_a_network
def three_and_two(weir):
    """Five nodes split three and two; leader and controller are among the two."""
    return separated(weir, 5, [1, 2], apart)


@on_a_network
def speaks_to_nobody(weir):
    """One-way: leader and controller hear everybody and nobody hears them."""
    return separated(weir, 3, [1], lambda network, small, large: [network.mute(1, n) for n in large])


@on_a_network
def hears_nobody(weir):
    """One-way: everybody hears leader and controller, who hear nobody, until they step down for want of answers."""
    return separated(weir, 3, [1], lambda network, small, large: [network.mute(n, 1) for n in large], most_s=GOES_ON_S + ELECTION_S)


@on_a_network
def controller_out_of_sight(weir):
    """Leader and controller do not hear each other; both hear the third node."""
    return separated(weir, 3, [1], lambda network, small, large: network.cut([1], [3]), controller=3)


@on_a_network
def sees_half(weir):
    """Leader and controller see two of the four others, which is enough; the two cut off lead nothing and change nothing."""
    with Network(5) as network, Apart(weir, network, 5) as cluster:
        cluster.create_led_by('t', [1, 2, 4])
        cluster.hand_controller_to(1)
        with Load(cluster, 't', 1) as load:
            time.sleep(0.7)
            network.cut([1], [4, 5])
            moment = time.monotonic()
            took = first_acknowledged(cluster, [1, 2, 3], 't', SESSION_S * 3)
            refusals = [cluster.refuses_a_topic(n, 'cut-off-%d' % n) for n in (4, 5)]
            time.sleep(max(0, moment + SESSION_S + 1 - time.monotonic()))
            leader, _, isr = topic_state([cluster.node(2).bootstrap], 't')[1][0]
            assert (leader, sorted(isr)) == (1, [1, 2]), 'leader %d, ISR %s' % (leader, isr)
            assert cluster.controller() == 1
            network.heal()
            healed = time.monotonic()
            cluster.registered(5, HEALED_S)
            cluster.whole('t', seconds=HEALED_S)
            whole = time.monotonic() - healed
        assert 'cut-off' not in cluster.knows(2)[0]
        count = load.check()
        cluster.stop()
        compared = cluster.dumps_equal('t', [1, 2, 4])
    assert took < SESSION_S + 0.5, 'went on after %.1f s' % took
    return 'went on after %.1f s, whole %.1f s after healing; %d records, %d batches compared; new topics refused with %s' % (
        took, whole, count, compared, sorted(set(refusals), key=str))


@on_a_network
def in_pieces(weir):
    """Five nodes split two, two and one: nobody is enough, no acks=all and no change is acknowledged; healed, it goes on. What the
    controller of before had in its log may then be decided after all: it was answered with a time-out."""
    with Network(5) as network, Apart(weir, network, 5) as cluster:
        cluster.create_led_by('t', [1, 3, 5])
        cluster.hand_controller_to(1)
        with Load(cluster, 't', 1) as load:
            time.sleep(0.7)
            network.cut([1, 2], [3, 4, 5])
            network.cut([3, 4], [5])
            moment = time.monotonic()
            refusals = [cluster.refuses_a_topic(n, 'cut-off-%d' % n) for n in (1, 3, 5)]
            time.sleep(max(0, moment + SESSION_S + 2 - time.monotonic()))
            network.heal()
            healed = time.monotonic()
            took = first_acknowledged(cluster, [1, 2, 3, 4, 5], 't', HEALED_S)
            cluster.registered(5, HEALED_S)
            cluster.whole('t', seconds=HEALED_S)
        assert set(refusals) <= {7, 41}, refusals
        count = load.check()
        wrong = load.between(moment + GRACE_S, healed)
        assert not wrong, '%d answers with acks=all by less than a majority' % wrong
        cluster.stop()
        compared = cluster.dumps_equal('t', [1, 3, 5])
    return 'went on %.1f s after healing; %d records, %d batches compared; new topics refused with %s' % (
        took, count, compared, sorted(set(refusals), key=str))


@on_a_network
def flapping(weir):
    """Links of three nodes come and go at random for ten seconds: nothing acknowledged is lost, and then all is whole again."""
    rng = random.Random(7)
    with Network(3) as network, Apart(weir, network) as cluster:
        cluster.create_led_by('t', [1, 2, 3])
        with Load(cluster, 't', 1) as load:
            end, flaps = time.monotonic() + 10, 0
            while time.monotonic() < end:
                a, b = rng.sample((1, 2, 3), 2)
                if rng.random() < 0.5:
                    network.mute(a, b)
                else:
                    network.cut([a], [b])
                time.sleep(rng.uniform(0.05, 1.2))
                network.heal()
                time.sleep(rng.uniform(0.05, 0.5))
                flaps += 1
            moment = time.monotonic()
            cluster.registered(3, HEALED_S)
            cluster.whole('t', seconds=HEALED_S)
            whole = time.monotonic() - moment
            time.sleep(0.5)
        count = load.check()
        late, pause = load.between(moment, moment + 30), load.pauses()['i0']
        assert late, 'nothing was acknowledged afterwards'
        cluster.stop()
        compared = cluster.dumps_equal('t', [1, 2, 3])
    return '%d cuts; whole %.1f s after the last; %d records, longest pause %.1f s, %d batches compared' % (
        flaps, whole, count, pause, compared)


def busy(process, seconds):
    """The share of a core that a process takes."""
    def used():
        with open('/proc/%d/stat' % process.pid) as file:
            words = file.read().rsplit(')', 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf('SC_CLK_TCK')
    begin, before = time.monotonic(), used()
    time.sleep(seconds)
    return (used() - before) / (time.monotonic() - begin)


@on_a_network
def leader_behind(weir):
    """A new leader that does not hear the controller and so knows nothing of it: its follower asks again, but not in haste."""
    with Network(5) as network, Apart(weir, network, 5) as cluster:
        cluster.create_led_by('t', [2, 1, 3])
        cluster.hand_controller_to(5)
        network.cut([1], [5])
        cluster.node(2).process.kill()
        until(lambda: topic_state([cluster.node(5).bootstrap], 't')[1][0][0] == 1, SESSION_S, cluster.log_ends)
        shares = [busy(cluster.node(n).process, 1) for n in (1, 3)]
        took = first_acknowledged(cluster, [3, 4, 5], 't', SESSION_S * 3)
        network.heal()
        cluster.node(2).start()
        cluster.registered(5, HEALED_S)
        cluster.whole('t', seconds=HEALED_S)
    assert max(shares) < 0.2, 'leader and follower take %.0f and %.0f %% of a core' % tuple(100 * x for x in shares)
    return 'leader and follower take %.0f and %.0f %% of a core meanwhile; another leads %.1f s later' % (
        100 * shares[0], 100 * shares[1], took)


CASES = [three_and_two, speaks_to_nobody, controller_out_of_sight, leader_behind]
CAMPAIGN = [two_and_one, hears_nobody, sees_half, in_pieces, flapping]
