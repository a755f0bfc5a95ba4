# SPDX-License-Identifier: Apache-2.0
"""A leader that is gone in three ways: its process is killed, its cable is pulled (nobody is told), its process stands still and
goes on later, not knowing for how long. How long until another leads, how long producers stood still, and what the old one does
when it is back."""

import signal
import time

from cuts import HEALED_S, SESSION_S, SETTINGS, Apart
from failover import Three, produced
from failover_load import Load, topic_state
from harness import Closed, Raw, fetch_body, until
from network import Network, on_a_network

DEFAULT_SESSION_S = 9


def led_by_another(cluster, old):
    others = [node.bootstrap for node in cluster.nodes if node is not cluster.node(old)]
    return topic_state(others, 't')[1].get(0, (-1,))[0] not in (old, -1)


def first_refusal(connection, seconds, values=b'probe %d x'):
    """Writes on a connection to the old leader, as fast as it answers, until it says NOT_LEADER_OR_FOLLOWER; how many it
    acknowledged before that, and after how many seconds it came."""
    begin, acknowledged = time.monotonic(), 0
    while True:
        code = produced(connection, 't', values % time.monotonic_ns())
        if code == 6:
            return acknowledged, time.monotonic() - begin
        acknowledged += code == 0
        assert time.monotonic() < begin + seconds, 'answers %d' % code


def prepared(cluster, controller):
    """Node 1 leads t; the controller is it, or another."""
    if isinstance(cluster, Apart):
        cluster.create_led_by('t', [1, 2, 3])
        cluster.hand_controller_to(1 if controller else 3)


def gone(cluster, how, back, hold_s, limit_s, again_s):
    """Node 1, which leads t, goes away by how() under load and comes back by back(); another is to lead within limit_s, and
    node 1 to say that it does not within again_s. What was seen."""
    with Load(cluster, 't', 1) as load, cluster.raw(1, 30) as before:
        time.sleep(0.7)
        assert produced(before, 't', b'probe 0 x') == 0
        moment = time.monotonic()
        how()
        until(lambda: led_by_another(cluster, 1), limit_s * 3, cluster.log_ends)
        elected = time.monotonic() - moment
        time.sleep(max(0.5, moment + hold_s - time.monotonic()))
        back()
        refused = None
        if cluster.node(1).process.poll() is None:
            acknowledged, refused = first_refusal(before, 10)
            assert acknowledged == 0, 'the old leader acknowledged %d records' % acknowledged
        else:
            cluster.node(1).start()
        cluster.registered(len(cluster.nodes), HEALED_S)
        cluster.whole('t', seconds=HEALED_S)
        time.sleep(0.3)
    count = load.check()
    pause = load.pauses_after(moment, moment + hold_s)['i0']
    assert elected < limit_s, 'another leads after %.1f s' % elected
    assert refused is None or refused < again_s, 'NOT_LEADER_OR_FOLLOWER after %.1f s' % refused
    cluster.stop()
    cluster.equal('t')
    return '%.2f s until another leads, producers stood still for %.2f s%s, %d records' % (
        elected, pause, '' if refused is None else ', refuses %.0f ms after it is back' % (refused * 1000), count)


def three_ways(weir, controller, session_s=SESSION_S, hold_s=5, settings=SETTINGS):
    out = []
    for name in ('killed', 'unplugged', 'stopped'):
        with Network(3) as network, Apart(weir, network, settings=settings) as cluster:
            prepared(cluster, controller)
            process = cluster.node(1).process
            late_s = session_s + 0.5
            ways = {'killed': (process.kill, process.wait, hold_s, 1.0, None),
                    # back on the network, addresses have to be found again
                    'unplugged': (lambda: network.unplug(1), lambda: network.unplug(1, 'up'), hold_s, late_s, 3),
                    'stopped': (lambda: process.send_signal(signal.SIGSTOP), lambda: process.send_signal(signal.SIGCONT),
                                hold_s, late_s, 1)}
            out.append('%s: %s' % (name, gone(cluster, *ways[name])))
    return '; '.join(out)


@on_a_network
def leader_gone(weir):
    """A leader that is not the controller is killed, unplugged, stopped."""
    return three_ways(weir, False)


@on_a_network
def controller_gone(weir):
    """The same with a leader that is the controller, too."""
    return three_ways(weir, True)


@on_a_network
def leader_gone_for_long(weir):
    """As leader_gone with default settings; it comes back after 30 s."""
    return three_ways(weir, False, DEFAULT_SESSION_S, 30, [])


@on_a_network
def controller_gone_for_long(weir):
    """As controller_gone with default settings; it comes back after 30 s."""
    return three_ways(weir, True, DEFAULT_SESSION_S, 30, [])


def cut_under_a_reader(weir):
    """A consumer takes nothing of 16 MB that it asked the leader for, who then has to cut what only it has: the consumer's connection
    ends and the replica is whole again, at once."""
    with Three(weir, SETTINGS) as cluster:
        cluster.create_led_by('t', [1, 2, 3])
        cluster.hand_controller_to(2)
        old, others = cluster.node(1).process, [cluster.node(n).process for n in (2, 3)]
        with cluster.raw(1) as c, cluster.raw(1) as slow:
            for _ in range(16):
                assert produced(c, 't', b'x' * 1000000) == 0
            slow.send('Fetch', 11, fetch_body('t', 0, max_bytes=1 << 25, partition_max_bytes=1 << 24))
            time.sleep(0.3)
            for process in others:
                process.send_signal(signal.SIGSTOP)
            # The first goes to the fetches that wait, the others to nobody.
            assert [produced(c, 't', b'lost %d' % n, acks=1) for n in range(5)] == [0] * 5
            old.send_signal(signal.SIGSTOP)
            for process in others:
                process.send_signal(signal.SIGCONT)
            until(lambda: led_by_another(cluster, 1), SESSION_S * 4, cluster.log_ends)
            with cluster.raw(topic_state([cluster.node(2).bootstrap], 't')[1][0][0]) as d:
                assert produced(d, 't', b'kept', acks=1) == 0
            begin = time.monotonic()
            old.send_signal(signal.SIGCONT)
            until(lambda: 't-0: cut from' in cluster.node(1).log(), 10, cluster.node(1).log)
            took = time.monotonic() - begin
            assert 'records that are cut off' in cluster.node(1).log(), cluster.node(1).log()
            cluster.whole('t', seconds=HEALED_S)
            try:
                slow.read('Fetch', 11)
                raise AssertionError('the records were sent in full')
            except (OSError, Closed):
                pass
        cluster.stop()
        cluster.equal('t')
        return 'cut after %.2f s' % took


CASES = [cut_under_a_reader, controller_gone]
CAMPAIGN = [leader_gone, leader_gone_for_long, controller_gone_for_long]
