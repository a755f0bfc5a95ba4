# SPDX-License-Identifier: Apache-2.0
"""How long acknowledged produce stands still when a node is killed, with default settings: the leader, and the controller; with
one, with 1,000 and with 10,000 partitions. Three producers write to partitions that the same node leads: `weir perf` and one of
our own, which try again every 10 ms, and stock librdkafka (confluent-kafka, idempotent, where it is installed). What the latter two
are told stands in a journal, kept by a process of its own, before it counts; at the end all of it is there, once, in order, and
the replicas are equal."""

import json
import statistics
import subprocess
import time

from failover import Three
from failover_load import Load
from harness import Raw, until

BALLAST = 'ballast'


def led_by_one(cluster, topic, partitions):
    """All partitions of a topic are led by node 1."""
    with Raw(cluster.nodes[0].bootstrap) as c:
        answer = c.call('CreateTopics', 4, {'timeout_ms': 10000, 'topics': [{
            'name': topic, 'num_partitions': -1, 'replication_factor': -1, 'configs': [],
            'assignments': [{'partition_index': n, 'broker_ids': [1, 2, 3]} for n in range(partitions)]}]})
    assert answer['topics'][0]['error_code'] == 0, answer
    cluster.whole(topic, partitions)


def ballast_whole(cluster, count):
    """Waits until the other partitions have full ISRs, too: the first, the last and some between."""
    if count == 0:
        return
    bootstrap = cluster.listening()[0]

    def full():
        with Raw(bootstrap, 20) as c:
            answer = c.call('Metadata', 7, {'topics': [{'name': BALLAST}], 'allow_auto_topic_creation': False})
        partitions = answer['topics'][0]['partitions']
        return len(partitions) == count and all(len(p['isr_nodes']) == 3 for p in partitions)
    until(full, 60, lambda: 'the other partitions are not in sync: %s' % cluster.log_ends())


class Pauses:
    """Kills under load, and what they cost."""

    def __init__(self, weir, others, kills, controller):
        self.others, self.kills, self.controller = others, kills, controller
        self.cluster = Three(weir, ['memory=256MiB'] if others else [])
        self.raw, self.stock, self.perf = [], [], []

    def victim(self):
        return self.cluster.controller() if self.controller else self.cluster.state('load')[0]

    def perf_begun(self):
        """weir perf for about as long as one kill takes."""
        return subprocess.Popen([self.cluster.weir, 'perf', 'produce', '--topic', 'perf', '--retry', '10ms', '--rate', '500', '--idempotent',
                                 '--record-bytes', '100', '--batch-bytes', '100', '--duration', '2s', '--warmup', '500ms', '--json',
                                 '-b', ','.join(self.cluster.listening())], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def perf_ended(self, perf):
        out, said = perf.communicate(timeout=30)
        assert perf.returncode == 0, 'weir perf ended with %d: %s' % (perf.returncode, (out + said)[-500:])
        self.perf.append(json.loads(out)['longest_pause_ms'])

    def run(self):
        cluster = self.cluster
        with cluster:
            led_by_one(cluster, 'load', 2)
            led_by_one(cluster, 'perf', 1)
            if self.others:
                cluster.admin('topics', 'create', BALLAST, '--partitions', str(self.others), '--replication-factor', '3')
                ballast_whole(cluster, self.others)
            with Load(cluster, 'load', 2, stock=1) as load:
                time.sleep(1)
                moments = []
                for _ in range(self.kills):
                    perf = self.perf_begun()
                    time.sleep(1)
                    victim, moment = self.victim(), time.monotonic()
                    cluster.node(victim).kill()
                    time.sleep(1.5)
                    self.perf_ended(perf)
                    moments.append(moment)
                    cluster.node(victim).start()
                    cluster.registered(3, 30)
                    cluster.whole('load', 2, seconds=30)
                    cluster.whole('perf', 1, seconds=30)
                    ballast_whole(cluster, self.others)
                    time.sleep(0.3)
            self.count = load.check()
            for moment in moments:
                longest = load.pauses_after(moment, moment + 1.5)
                self.raw.append(longest['i0'] * 1000)
                if load.stock:
                    self.stock.append(longest['i1'] * 1000)
            cluster.stop()
            cluster.equal('load')
            cluster.equal('perf')
        return self

    def text(self):
        out = 'weir perf: median %.0f, worst %.0f ms; another with 10 ms retry: median %.0f, worst %.0f ms' % (
            statistics.median(self.perf), max(self.perf), statistics.median(self.raw), max(self.raw))
        if self.stock:
            out += '; librdkafka: median %.0f, worst %.0f ms' % (statistics.median(self.stock), max(self.stock))
        return out + '; %d records' % self.count


def kills(weir, controller, others, count, most_ms=1000):
    pauses = Pauses(weir, others, count, controller).run()
    assert statistics.median(pauses.raw) < most_ms and statistics.median(pauses.perf) < most_ms, pauses.text()
    return pauses


def leader(weir):
    """kill -9 of the leader, three times."""
    return kills(weir, False, 0, 3).text()


def controller(weir):
    """kill -9 of the controller, three times."""
    return kills(weir, True, 0, 3).text()


def growing(weir, controller):
    """15 kills each with 1, 1,000 and 10,000 partitions more; with 10,000 at most 150 ms above none."""
    found = {others: kills(weir, controller, others, 15) for others in (0, 1000, 10000)}
    text = '; '.join('%d others: %s' % (others, pauses.text()) for others, pauses in found.items())
    least, most = statistics.median(found[0].perf), statistics.median(found[10000].perf)
    assert most < least + 150, 'the median grew from %.0f to %.0f ms; %s' % (least, most, text)
    assert all(max(pauses.raw + pauses.perf + pauses.stock) < 1000 for pauses in found.values()), text
    return text


def leader_15_times(weir):
    """kill -9 of the leader, 15 times each with 0, 1,000 and 10,000 other partitions."""
    return growing(weir, False)


def controller_15_times(weir):
    """kill -9 of the controller, 15 times each with 0, 1,000 and 10,000 other partitions."""
    return growing(weir, True)


CASES = [leader, controller]
CAMPAIGN = [leader_15_times, controller_15_times]
