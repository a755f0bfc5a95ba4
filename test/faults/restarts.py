# SPDX-License-Identifier: Apache-2.0
"""All nodes of a cluster die at once, or are restarted one after the other, under the load of real clients."""

import json
import os
import random
import shutil
import subprocess
import time

from failover import Three
from failover_load import CACHE, Load
from harness import Skip, timed

CLASS_PATH = os.path.join(CACHE, 'kafka-4.1.1.classpath')


def all_killed(weir):
    """kill -9 of all three at once under load of acks=all, three times: every acknowledged record is there, once, in order."""
    with Three(weir) as cluster:
        cluster.create('load', 3, min_insync_replicas='2')
        cluster.whole('load', 3)
        took = []
        with Load(cluster, 'load', 3, stock=1) as load:
            for _ in range(3):
                time.sleep(random.uniform(0.6, 1.2))
                for node in cluster.nodes:
                    node.process.kill()
                for node in cluster.nodes:
                    node.process.wait()
                moment = time.monotonic()
                cluster.start()
                cluster.registered(3)
                cluster.whole('load', 3)
                took.append(time.monotonic() - moment)
            time.sleep(0.5)
        count = load.check()
        pauses = {name: '%.1f' % pause for name, pause in sorted(load.pauses().items())}
        cluster.stop()
        cluster.equal('load')
    assert max(took) < 10, 'whole again after %s s' % took
    return '%d records; whole again after %s s; longest pauses %s s (i2 is librdkafka)' % (
        count, ', '.join('%.1f' % t for t in took), pauses)


class Tool:
    """A verifiable client of Apache Kafka: its events, and its end by SIGTERM."""

    def __init__(self, cluster, name, *arguments, **properties):
        if not shutil.which('java') or not os.path.exists(CLASS_PATH):
            raise Skip('no Java client: test/compat/install.sh installs it')
        self.path = os.path.join(cluster.folder, name)
        with open(self.path + '.properties', 'w') as file:
            file.writelines('%s=%s\n' % (key.replace('_', '.'), value) for key, value in properties.items())
        with open(CLASS_PATH) as file, open(self.path, 'w') as out:
            self.process = subprocess.Popen(
                ['java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xmx128m', '-Dorg.slf4j.simpleLogger.defaultLogLevel=error',
                 '-cp', file.read().strip(), 'org.apache.kafka.tools.' + name, '--bootstrap-server', cluster.bootstrap, '--topic', 'java']
                + list(arguments), stdout=out, stderr=subprocess.STDOUT)

    def events(self, name=None):
        with open(self.path) as file:
            rows = [json.loads(line) for line in file if line.startswith('{') and line.endswith('}\n')]
        return [row for row in rows if name in (None, row['name'])]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def rolling_java(weir):
    """One node after the other is restarted under Apache Kafka's own clients: no send fails, everything is consumed, in order."""
    with Three(weir) as cluster:
        cluster.create('java', 3)
        cluster.whole('java', 3)
        config = os.path.join(cluster.folder, 'VerifiableProducer.properties')
        producer = Tool(cluster, 'VerifiableProducer', '--throughput', '300', '--producer.config', config,
                        retries=2147483647, enable_idempotence='true', linger_ms=0)
        consumer = Tool(cluster, 'VerifiableConsumer', '--group-id', 'g', '--verbose', '--reset-policy', 'earliest')
        try:
            begin = time.monotonic()
            while len(consumer.events('record_data')) < 300:
                assert time.monotonic() < begin + 40, 'the clients did not begin: %s' % open(producer.path).read()[-800:]
                time.sleep(0.1)
            stops = []
            for number in (1, 2, 3):
                took, code = timed(cluster.node(number).stop)
                assert code == 0, cluster.node(number).log()[-1500:]
                stops.append(took)
                cluster.node(number).start()
                cluster.registered(3)
                cluster.whole('java', 3)
                time.sleep(0.5)
        finally:
            producer.stop()
        failed = producer.events('producer_send_error')
        acknowledged = {(e['partition'], e['offset']): int(e['value']) for e in producer.events('producer_send_success')}
        begin = time.monotonic()
        while len(consumer.events('record_data')) < len(acknowledged) and time.monotonic() < begin + 15:
            time.sleep(0.2)
        consumer.stop()
        read = [(e['partition'], e['offset'], int(e['value'])) for e in consumer.events('record_data')]
    assert not failed, '%d sends failed, the first: %s' % (len(failed), failed[0])
    assert len(acknowledged) > 500, 'only %d sends' % len(acknowledged)
    got = {(p, o): v for p, o, v in read}
    missing = [place for place, value in acknowledged.items() if got.get(place) != value]
    assert not missing, '%d acknowledged records were not read, the first: %s' % (len(missing), missing[0])
    assert len(set(got.values())) == len(got), 'a record is there twice'
    last = {}
    for place in sorted(got):
        assert got[place] > last.get(place[0], -1), 'out of order: %s' % (place,)
        last[place[0]] = got[place]
    return '%d records, no failed send; stops of %s ms' % (len(got), ', '.join('%.0f' % (s * 1000) for s in stops))


CASES = [all_killed, rolling_java]
