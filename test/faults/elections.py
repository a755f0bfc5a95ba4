# SPDX-License-Identifier: Apache-2.0
"""Leaderships that come back by themselves, elections that may lose records, nodes that are forgotten, and what is shown of it
all. How leaders fail over is failover.py's."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time

from failover import Three, produced
from harness import until


def shown(cluster, *words, code=0, number=None):
    """What weir admin prints with --json; an exit code of one's own is checked."""
    bootstrap = cluster.node(number).bootstrap if number else ','.join(cluster.listening())
    done = subprocess.run([cluster.weir, 'admin'] + list(words) + ['--json', '-b', bootstrap], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, 'admin %s: exit code %d: %s' % (words, done.returncode, done.stdout + done.stderr)
    return json.loads(done.stdout) if done.stdout else done.stderr


def skew(cluster):
    return {b['id']: (b['leads'], b['preferred'], b['away']) for b in shown(cluster, 'leaders', 'skew')['brokers']}


def leaders_return(weir):
    """A node that comes back gets its leaderships back within the check interval, and not where that is switched off."""
    took = None
    for enabled in (True, False):
        settings = ['leader.imbalance.check.interval.seconds=1', 'auto.leader.rebalance.enable=%s' % str(enabled).lower()]
        with Three(weir, settings) as cluster:
            cluster.create('t', 9)
            cluster.whole('t', 9)
            before = skew(cluster)
            assert all(spread == (3, 3, 0) for spread in before.values()), before
            victim = next(n for n in (1, 2, 3) if n != cluster.controller())
            cluster.node(victim).kill()
            until(lambda: skew(cluster)[victim] == (0, 3, 3), 10, lambda: str(skew(cluster)))
            cluster.node(victim).start()
            cluster.registered(3)
            cluster.whole('t', 9)
            begin = time.monotonic()
            if enabled:
                until(lambda: skew(cluster) == before, 5, lambda: str(skew(cluster)))
                took = time.monotonic() - begin
            else:
                time.sleep(2.5)
                assert skew(cluster)[victim] == (0, 3, 3), skew(cluster)
                assert '3 elected, 0 failed' in cluster.admin('leaders', 'elect')
                assert skew(cluster) == before, skew(cluster)
    return 'after %.1f s' % took


def links(cluster, *names):
    """The product under names of Kafka's tools."""
    folder = tempfile.mkdtemp(dir=cluster.folder)
    for name in names:
        os.symlink(cluster.weir, os.path.join(folder, name))
    return folder


def stays_without_a_leader(cluster, topic, other):
    """For a second. A node names no leader for a moment too where only its own connection to that one has broken; who knows
    less must not lead at any time."""
    for _ in range(10):
        leader = cluster.state(topic)[0]
        assert leader != other, 'who knows less leads'
        if leader != -1:
            return False
        time.sleep(0.1)
    return True


def unclean(weir):
    """Unclean election: refused unless it is allowed or asked for; what is lost is said with its offsets by leader and follower."""
    with Three(weir, count=5) as cluster:
        for topic, extra in (('asked', {}), ('allowed', {'unclean_leader_election_enable': 'true'})):
            cluster.create(topic, 1, factor=2, **extra)
            cluster.whole(topic, size=2)
        for topic in ('asked', 'allowed'):
            leader, replicas, _ = cluster.state(topic)
            other = next(n for n in replicas if n != leader)
            with cluster.raw(leader) as c:
                assert produced(c, topic, b'both') == 0
            cluster.node(other).kill()
            until(lambda: cluster.state(topic)[2] == [leader], 10, cluster.log_ends)
            with cluster.raw(leader) as c:
                assert produced(c, topic, b'alone 1', b'alone 2') == 0
            cluster.node(leader).kill()
            cluster.node(other).start()
            if topic == 'asked':
                until(lambda: stays_without_a_leader(cluster, topic, other), 20, cluster.log_ends)
                tool = os.path.join(links(cluster, 'kafka-leader-election'), 'kafka-leader-election')
                done = subprocess.run([tool, '--bootstrap-server', ','.join(cluster.listening()), '--election-type', 'unclean', '--topic',
                                       topic, '--partition', '0'], capture_output=True, text=True, timeout=60)
                assert done.returncode == 0 and 'Successfully completed leader election (UNCLEAN) for partitions asked-0' in done.stdout, done
            until(lambda: cluster.state(topic)[0] == other, 10, cluster.log_ends)
            with cluster.raw(other) as c:       # which may learn it later than others
                until(lambda: produced(c, topic, b'after') == 0, 10, cluster.log_ends)
            cluster.node(leader).start()
            cluster.whole(topic, size=2)
            said = ''.join(sorted(''.join(node.log() for node in cluster.nodes).splitlines(True)))
            # The last of each: the nodes of one topic may have led the other one uncleanly, too, when it was empty.
            led = re.findall(r'%s-0: leads in epoch \d+ by an unclean election, with records up to offset (\d+)' % topic, said)
            lost = re.findall(r'%s-0: (\d+) records from offset (\d+) on are lost' % topic, said)
            assert led and led[-1] == '1', said
            assert lost == [('2', '1')], said
            with cluster.raw(cluster.state(topic)[0]) as c:
                assert c.end(topic) == 2, 'the end is %d' % c.end(topic)
    return 'each said that 2 records from offset 1 on are lost'


def forgotten(weir):
    """A node is forgotten only when it is dead, holds nothing and has no vote; can-stop names what its stop would harm."""
    with Three(weir, count=4) as cluster:
        voters = shown(cluster, 'metadata', 'cat', '/quorum')['voters']
        cluster.create('t', 1, factor=2, min_insync_replicas='2')
        cluster.whole('t', size=2)
        leader, replicas, _ = cluster.state('t')
        holder = next(n for n in replicas if n != leader)
        spare = next(n for n in (1, 2, 3, 4) if n not in replicas and n != cluster.controller())
        assert shown(cluster, 'brokers', 'can-stop', str(spare))['can_stop']
        harm = shown(cluster, 'brokers', 'can-stop', str(holder), code=1)
        assert harm['partitions'] == [{'topic': 't', 'partition': 0, 'reason': 'below min.insync.replicas'}], harm
        remove = lambda node: shown(cluster, 'brokers', 'remove', str(node), code=1)
        assert 'is alive' in remove(spare) and 'not currently registered' in remove(77)
        cluster.node(holder).kill()
        until(lambda: cluster.state('t')[2] == [leader], 10, cluster.log_ends)
        assert 'replicas of 1 partition(s)' in remove(holder)
        cluster.node(holder).start()
        cluster.registered(4)
        cluster.node(spare).process.send_signal(signal.SIGTERM)
        cluster.node(spare).process.wait(10)
        until(lambda: {b['id']: b['state'] for b in shown(cluster, 'brokers', 'list')['brokers']}[spare] == 'fenced', 12, cluster.log_ends)
        assert str(spare) in shown(cluster, 'metadata', 'ls', '/brokers/fenced')
        if spare in voters:
            assert 'still votes' in remove(spare)
            cluster.admin('quorum', 'remove', str(spare))
        cluster.admin('brokers', 'remove', str(spare))
        assert [b['id'] for b in shown(cluster, 'brokers', 'list')['brokers']] == sorted({1, 2, 3, 4} - {spare})
        assert 'not currently registered' in remove(spare)
    return 'node %d' % spare


def tree(weir):
    """weir admin metadata: the look-ups of zookeeper-shell; features by level; clocks and addresses of brokers."""
    with Three(weir) as cluster:
        cluster.create('t', 2, retention_ms='1000')
        cluster.whole('t', 2)
        ls = lambda path: shown(cluster, 'metadata', 'ls', path)
        cat = lambda path: shown(cluster, 'metadata', 'cat', path)
        assert {'brokers', 'config', 'controller', 'topics'} <= set(ls('/'))
        assert ls('/brokers/ids') == ['1', '2', '3'] and ls('/brokers/fenced') == []
        assert cat('/brokers/ids/2')['port'] == int(cluster.node(2).bootstrap.split(':')[1])
        assert cat('/controller')['brokerid'] == cluster.controller() and cat('/controller_epoch') > 0
        assert ls('/topics') == ls('/brokers/topics') == ['t'] and ls('/topics/t/partitions') == ['0', '1']
        assert cat('/topics/t')['partitions']['1'] == cluster.state('t', 1)[1]
        assert cat('/brokers/topics/t/partitions/0/state')['leader'] == cluster.state('t', 0)[0]
        assert cat('/config/topics/t')['config'] == {'retention.ms': '1000'} and cat('/config/brokers/<default>')['config'] == {}
        assert cat('/cluster/id')['id'] == shown(cluster, 'brokers', 'list')['cluster_id']
        for path in ('/nowhere', '/topics/t/partitions/9/state', '/brokers/ids/9', '/topics/none'):
            assert 'there is nothing at' in shown(cluster, 'metadata', 'cat', path, code=1)
        assert cat('/feature')['features']['metadata.version'] == 25
        cluster.admin('features', 'downgrade', '4.0-IV2')
        assert {f['feature']: f['level'] for f in shown(cluster, 'features', 'list')}['metadata.version'] == 24
        cluster.admin('features', 'upgrade', '4.0')
        apart = [b['clock_ahead_ms'] for b in shown(cluster, 'brokers', 'list')['brokers']]
        assert all(ms is not None and abs(ms) < 2000 for ms in apart), apart
    with Three(weir, ['advertised.listeners=PLAINTEXT://127.0.0.1:9']) as cluster:
        until(lambda: all(re.search(r'node \d advertises 127.0.0.1:9, too', n.log()) for n in cluster.nodes), 10, cluster.log_ends)
    return ''


CASES = [leaders_return, unclean, forgotten, tree]
