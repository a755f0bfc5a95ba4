# SPDX-License-Identifier: Apache-2.0
"""Replicas that move between processes: under load and at a throttle, with progress, cancelled, replaced; a node drained and
forgotten; the same by the words of kafka-reassign-partitions. `scale` moves 100 partitions of 100 MB."""

import glob
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

from elections import links, shown
from failover import Three
from failover_load import CACHE, Load
from harness import Skip, until

MIB = 1 << 20


def fill(cluster, topic, mib):
    """So many MiB of records."""
    tool = os.path.join(links(cluster, 'kafka-producer-perf-test'), 'kafka-producer-perf-test')
    done = subprocess.run([tool, '--topic', topic, '--num-records', str(mib * 128), '--record-size', '8192', '--throughput', '-1',
                           '--producer-props', 'bootstrap.servers=' + ','.join(cluster.listening())], capture_output=True, text=True,
                          timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def plan(cluster, topic, partitions, replicas):
    """A file with that plan."""
    path = os.path.join(tempfile.mkdtemp(dir=cluster.folder), 'plan.json')
    moves = [{'topic': topic, 'partition': p, 'replicas': replicas(p)} for p in range(partitions)]
    with open(path, 'w') as file:
        json.dump({'version': 1, 'partitions': moves}, file)
    return path


def execute(cluster, path, *words):
    return subprocess.Popen([cluster.weir, 'admin', 'reassign', 'execute', path, '-b', ','.join(cluster.listening())] + list(words),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def replicas_of(cluster, topic, partitions):
    return [cluster.state(topic, p)[1] for p in range(partitions)]


def folders(cluster, number, topic):
    return sorted(name for name in os.listdir(cluster.node(number).data) if re.fullmatch(re.escape(topic) + r'-\d+', name))


def move_and_cancel(cluster, topic, partitions, mib, rate_mib, load):
    """Moves every partition to the last node: cancelled first, then to the end at the throttle. MiB a second and what was shown."""
    last = len(cluster.nodes)
    before = replicas_of(cluster, topic, partitions)
    path = plan(cluster, topic, partitions, lambda p: [last] + before[p][1:])
    first = execute(cluster, path, '--throttle', '256k', '--no-wait')
    assert first.wait(60) == 0, first.stderr.read()
    listed = shown(cluster, 'reassign', 'list')
    moving = [m for m in listed if m['topic'] == topic]
    assert len(moving) == partitions and all(m['adding'] == [last] for m in moving), listed
    time.sleep(2)
    assert ' cancelled' in cluster.admin('reassign', 'cancel')
    assert shown(cluster, 'reassign', 'list') == []
    until(lambda: [sorted(r) for r in replicas_of(cluster, topic, partitions)] == [sorted(r) for r in before], 10,
          lambda: str(replicas_of(cluster, topic, partitions)))
    until(lambda: not folders(cluster, last, topic), 10, lambda: str(folders(cluster, last, topic)))
    begin = time.monotonic()
    second = execute(cluster, path, '--throttle', '%dm' % rate_mib)
    said, progress = second.communicate(timeout=120 + 4 * mib / rate_mib)
    took = time.monotonic() - begin
    assert second.returncode == 0 and '%d partitions moved' % partitions in said, said + progress
    assert re.search(r'\d+ of %d partitions moved, [\d.]+ \w*B to copy, [\d.]+ \w*B/s, \d+ s left' % partitions, progress), progress
    until(lambda: all(r[0] == last for r in replicas_of(cluster, topic, partitions)), 5,
          lambda: said + progress + str(replicas_of(cluster, topic, partitions)))
    cluster.whole(topic, partitions, size=len(before[0]))
    assert load.between(begin, begin + took) > 0
    topic_settings = cluster.admin('configs', 'describe', 'topic', topic)
    assert 'throttled' not in topic_settings or '*' not in topic_settings
    return mib / took, progress.count('\n')


def throttled_move(weir):
    """Moves to a fourth node beside load: cancelled, then done at the throttle, old folders go; what is written to while it moves,
    there and back, loses nothing."""
    partitions, mib, rate = 4, 48, 4
    with Three(weir, ['log.segment.delete.delay.ms=100'], count=4) as cluster:
        path = plan(cluster, 't', partitions, lambda p: [1 + p % 3, 1 + (p + 1) % 3])
        cluster.create('t', partitions, factor=2)
        assert execute(cluster, path).wait(60) == 0
        cluster.whole('t', partitions, size=2)
        fill(cluster, 't', mib)
        cluster.create('u', 2, factor=3)
        cluster.whole('u', 2)
        with Load(cluster, 'u', 2) as load:
            time.sleep(0.5)
            for where in ([4, 1, 2], [3, 4, 1]):
                assert execute(cluster, plan(cluster, 'u', 2, lambda p, to=where: to)).wait(60) == 0
            speed, lines = move_and_cancel(cluster, 't', partitions, mib, rate, load)
            assert execute(cluster, plan(cluster, 'u', 2, lambda p: [2, 3, 1])).wait(60) == 0
            time.sleep(0.5)
        acknowledged = load.check()
        assert 0.6 * rate < speed < 1.6 * rate, '%.1f MiB/s at a throttle of %d' % (speed, rate)
        held = [len(folders(cluster, n, 't')) for n in (1, 2, 3, 4)]
        assert held[3] == partitions and sum(held) == 2 * partitions, held
    return '%.1f MiB/s at %d; %d lines of progress; %d records' % (speed, rate, lines, acknowledged)


def drained(weir):
    """A node is drained while it serves, refused where nobody could take its replicas, and forgotten."""
    with Three(weir, count=4) as cluster:
        cluster.create('t', 8, factor=3)
        cluster.whole('t', 8)
        fill(cluster, 't', 4)
        out = cluster.admin('brokers', 'drain', '4')
        assert ' moved' in out, out
        assert all(4 not in r for r in replicas_of(cluster, 't', 8))
        cluster.whole('t', 8)
        for wrong, word in ((['9'], 'there is no broker 9'), (['1'], 'has a replica on every broker there is')):
            done = subprocess.run([weir, 'admin', 'brokers', 'drain'] + wrong + ['-b', cluster.node(2).bootstrap], capture_output=True,
                                  text=True, timeout=60)
            if wrong == ['1']:      # broker 4 takes over
                assert done.returncode == 0, done.stderr
            else:
                assert done.returncode == 1 and word in done.stderr, done.stderr
        cluster.node(4).kill()
        until(lambda: len(shown(cluster, 'brokers', 'list', number=1)['brokers']) >= 3, 10, cluster.log_ends)
        done = subprocess.run([weir, 'admin', 'brokers', 'drain', '2', '-b', cluster.node(1).bootstrap, '--timeout', '5s', '--no-wait'],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode in (0, 1)
    return 'and its replicas served on'


def kafka_words(weir):
    """kafka-reassign-partitions: generate, execute, list, verify, cancel and what it refuses, round trip."""
    return round_trip(weir, lambda cluster: [os.path.join(links(cluster, 'kafka-reassign-partitions.sh'), 'kafka-reassign-partitions.sh')])


def kafka_itself(weir):
    """The same by Apache Kafka's own tool, where its artifacts are installed."""
    paths = sorted(glob.glob(os.path.join(CACHE, 'kafka-[0-9]*.classpath')))
    if not paths or not shutil.which('java'):
        raise Skip('without the artifacts that test/compat/install.sh fetches')
    with open(paths[-1]) as file:
        class_path = file.read().strip()
    return round_trip(weir, lambda cluster: ['java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC',
                                             '-Dorg.slf4j.simpleLogger.defaultLogLevel=error', '-cp', class_path,
                                             'org.apache.kafka.tools.reassign.ReassignPartitionsCommand'])


def round_trip(weir, command):
    with Three(weir, count=4) as cluster:
        cluster.create('t', 2, factor=2)
        cluster.whole('t', 2, size=2)
        fill(cluster, 't', 8)
        tool = command(cluster)

        def run(*words, code=0):
            done = subprocess.run(tool + ['--bootstrap-server', ','.join(cluster.listening())] + list(words), capture_output=True, text=True,
                                  timeout=60)
            assert done.returncode == code, '%s: %d: %s' % (words, done.returncode, done.stdout + done.stderr)
            return done.stdout + done.stderr

        topics = os.path.join(cluster.folder, 'topics.json')
        with open(topics, 'w') as file:
            json.dump({'topics': [{'topic': 't'}], 'version': 1}, file)
        assert run('--list') == 'No partition reassignments found.\n'
        out = run('--generate', '--topics-to-move-json-file', topics, '--broker-list', '3,4')
        current, proposed = re.fullmatch('Current partition replica assignment\n(.*)\n\nProposed partition reassignment configuration\n'
                                         '(.*)\n', out).groups()
        assert all(sorted(p['replicas']) == [3, 4] for p in json.loads(proposed)['partitions']), proposed
        names = {}
        for name, text in (('current', current), ('proposed', proposed)):
            names[name] = os.path.join(cluster.folder, name + '.json')
            with open(names[name], 'w') as file:
                file.write(text)
        until(lambda: replicas_of(cluster, 't', 2) == [p['replicas'] for p in json.loads(current)['partitions']], 5, cluster.log_ends)
        out = run('--execute', '--reassignment-json-file', names['proposed'], '--throttle', '1000')
        assert 'Save this to use as the --reassignment-json-file option during rollback' in out, out
        assert 'The inter-broker throttle limit was set to 1000 B/s' in out, out
        assert 'Successfully started partition reassignments for t-0,t-1' in out, out
        assert run('--list').startswith('Current partition reassignments:\nt-'), run('--list')
        assert 'Use --additional' in run('--execute', '--reassignment-json-file', names['proposed'], code=1)
        assert 'is still in progress.' in run('--verify', '--reassignment-json-file', names['proposed'])
        out = run('--cancel', '--reassignment-json-file', names['proposed'])
        assert 'Successfully cancelled partition reassignment' in out and 'Clearing broker-level throttles on brokers 1,2,3,4' in out, out
        run('--execute', '--reassignment-json-file', names['proposed'])

        def verified():
            return run('--verify', '--reassignment-json-file', names['proposed']).count('is completed.') == 2
        until(verified, 30, lambda: run('--list'))
        assert 'rather than' in run('--verify', '--reassignment-json-file', names['current'])
        assert 'Command must include exactly one action' in run('--list', '--verify', code=1)
        assert 'Missing required argument' in run('--verify', code=1)
        bad = os.path.join(cluster.folder, 'bad.json')
        for text, word in (('{', 'Unexpected end' if tool[0] == 'java' else 'valid JSON'), ('{"version":1,"partitions":[]}', 'cannot be empty'),
                           ('{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[9]}]}', 'Unknown broker id 9'),
                           ('{"version":1,"partitions":[{"topic":"t","partition":7,"replicas":[1]}]}', 'Unable to find partition'),
                           ('{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,1]}]}', 'duplicate entries')):
            with open(bad, 'w') as file:
                file.write(text)
            assert word in run('--execute', '--reassignment-json-file', bad, code=1), word
        if tool[0] == 'java':
            return 'round trip'     # its versions differ in whether they have the option
        with open(bad, 'w') as file:
            json.dump({'version': 1, 'partitions': [{'topic': 't', 'partition': 0, 'replicas': [1]}]}, file)
        assert 'The replication factor is changed from 2 to 1' in run('--execute', '--reassignment-json-file', bad,
                                                                      '--disallow-replication-factor-change', code=1)
    return 'round trip'


def scale(weir):
    """100 partitions of 100 MB to a fourth node, at 100 MiB a second and node."""
    if shutil.disk_usage(tempfile.gettempdir()).free < 60 << 30:
        return 'no room'
    partitions, mib, rate = 100, 10000, 100
    with Three(weir, ['log.segment.delete.delay.ms=100'], count=4) as cluster:
        cluster.create('t', partitions, factor=1)
        path = plan(cluster, 't', partitions, lambda p: [1 + p % 3])
        assert execute(cluster, path).wait(60) == 0
        cluster.whole('t', partitions, size=1)
        fill(cluster, 't', mib)
        cluster.create('load', 2, factor=3)
        with Load(cluster, 'load', 2) as load:
            speed, lines = move_and_cancel(cluster, 't', partitions, mib, rate, load)
        load.check()
    return '%.1f MiB/s at %d; %d lines of progress' % (speed, rate, lines)


CASES = [throttled_move, drained, kafka_words, kafka_itself]
CAMPAIGN = [scale]
