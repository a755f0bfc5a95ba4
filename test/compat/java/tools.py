#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The compatibility cases with Apache Kafka's own command-line tools, run from their Maven artifacts.

    tools.py HOST:PORT PREFIX NAME CLASS_PATH_FILE [--data DIR] [--groups]

With --data, the dump tool also reads the broker's segment files."""

import glob
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import cases                                                                        # noqa: E402

bootstrap, prefix, name, class_path_file = sys.argv[1:5]
data = sys.argv[sys.argv.index('--data') + 1] if '--data' in sys.argv else None
class_path = open(class_path_file).read().strip()
report = cases.Report(name)
TOOLS = {
    'kafka-topics': 'org.apache.kafka.tools.TopicCommand',
    'kafka-configs': 'kafka.admin.ConfigCommand',
    'kafka-console-producer': 'org.apache.kafka.tools.ConsoleProducer',
    'kafka-console-consumer': 'org.apache.kafka.tools.consumer.ConsoleConsumer',
    'kafka-get-offsets': 'org.apache.kafka.tools.GetOffsetShell',
    'kafka-log-dirs': 'org.apache.kafka.tools.LogDirsCommand',
    'kafka-delete-records': 'org.apache.kafka.tools.DeleteRecordsCommand',
    'kafka-broker-api-versions': 'org.apache.kafka.tools.BrokerApiVersionsCommand',
    'kafka-dump-log': 'kafka.tools.DumpLogSegments',
    'kafka-metadata-quorum': 'org.apache.kafka.tools.MetadataQuorumCommand',
    'kafka-cluster': 'org.apache.kafka.tools.ClusterTool',
    'kafka-features': 'org.apache.kafka.tools.FeatureCommand',
    'kafka-leader-election': 'org.apache.kafka.tools.LeaderElectionCommand',
    'kafka-transactions': 'org.apache.kafka.tools.TransactionsCommand',
    'kafka-consumer-groups': 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
    'kafka-producer-perf-test': 'org.apache.kafka.tools.ProducerPerformance',
}


def tool(which, *arguments, stdin='', ok=True, server='--bootstrap-server'):
    """Runs a tool; its output (both streams when it is expected to fail)."""
    command = ['java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xshare:auto',
               '-Dorg.slf4j.simpleLogger.defaultLogLevel=error', '-cp', class_path, TOOLS[which]]
    if server:
        command += [server, bootstrap]
    done = subprocess.run(command + [str(a) for a in arguments], input=stdin, text=True, capture_output=True, timeout=60)
    if not ok:
        return done.stdout + done.stderr
    assert done.returncode == 0, '%s exit %d: %s' % (which, done.returncode, (done.stdout + done.stderr)[-400:])
    return done.stdout


def json_file(value):
    """A temporary file with a JSON value; its path."""
    with tempfile.NamedTemporaryFile('w', suffix='.json', delete=False) as file:
        json.dump(value, file)
    return file.name


topic = prefix + '-tools'


def case_topics_create():
    out = tool('kafka-topics', '--create', '--topic', topic, '--partitions', 3, '--replication-factor', 1,
               '--config', 'retention.ms=86400000')
    assert 'Created topic' in out, out
    out = tool('kafka-topics', '--describe', '--topic', topic)
    assert 'PartitionCount: 3' in out and 'retention.ms=86400000' in out and out.count('Leader: ') == 3, out
    assert topic in tool('kafka-topics', '--list').split()


def case_topics_bad_name():
    out = tool('kafka-topics', '--create', '--topic', 'other topic', ok=False)
    assert 'InvalidTopicException' in out or 'illegal' in out, out
    return 'refused'


def case_topics_colliding_names():
    tool('kafka-topics', '--create', '--topic', prefix + '.a.b')
    out = tool('kafka-topics', '--create', '--topic', prefix + '.a_b', ok=False)
    assert 'collides' in out, out
    return 'refused: collides'


def case_bad_config():
    # kafka-topics checks keys and values itself; kafka-configs leaves them to the broker.
    out = tool('kafka-configs', '--alter', '--entity-type', 'topics', '--entity-name', topic, '--add-config',
               'segment.bytes=-5', ok=False)
    assert 'InvalidConfig' in out and 'segment.bytes' in out, out
    return 'InvalidConfigurationException'


def case_topics_alter():
    tool('kafka-topics', '--alter', '--topic', topic, '--partitions', 4)
    assert cases.retry(lambda: 'PartitionCount: 4' in tool('kafka-topics', '--describe', '--topic', topic))


def case_configs():
    tool('kafka-configs', '--alter', '--entity-type', 'topics', '--entity-name', topic, '--add-config',
         'segment.bytes=10485760,cleanup.policy=[compact,delete]')
    out = tool('kafka-configs', '--describe', '--entity-type', 'topics', '--entity-name', topic)
    assert 'segment.bytes=10485760' in out and 'cleanup.policy=compact,delete' in out, out
    tool('kafka-configs', '--alter', '--entity-type', 'topics', '--entity-name', topic, '--delete-config',
         'segment.bytes,cleanup.policy')
    out = tool('kafka-configs', '--describe', '--entity-type', 'topics', '--entity-name', topic)
    assert 'segment.bytes' not in out, out
    out = tool('kafka-configs', '--describe', '--all', '--entity-type', 'topics', '--entity-name', topic)
    assert 'segment.bytes=1073741824' in out, out


def case_console():
    lines = ['key-%d:value %d' % (i, i) for i in range(100)]
    tool('kafka-console-producer', '--topic', topic, '--property', 'parse.key=true', '--property', 'key.separator=:',
         '--compression-codec', 'lz4', stdin=''.join(line + '\n' for line in lines))
    counts = dict(re.findall(r'%s:(\d+):(\d+)' % topic, tool('kafka-get-offsets', '--topic', topic)))
    assert sum(map(int, counts.values())) == 100, counts
    got = []
    for partition, count in counts.items():
        if int(count):
            out = tool('kafka-console-consumer', '--topic', topic, '--partition', partition, '--offset', 'earliest',
                       '--max-messages', count, '--timeout-ms', 15000, '--property', 'print.key=true',
                       '--property', 'key.separator=:')
            got += out.split('\n')[:-1]
    assert sorted(got) == sorted(lines), '%d lines read back' % len(got)
    partition = max(counts, key=lambda p: int(counts[p]))
    out = tool('kafka-console-consumer', '--topic', topic, '--partition', partition, '--offset', 5,
               '--max-messages', 2, '--timeout-ms', 15000, '--property', 'print.offset=true')
    assert re.findall(r'Offset:(\d+)', out) == ['5', '6'], out


def case_get_offsets():
    for time, which in ((-2, 'earliest'), (-1, 'latest'), (-3, 'max-timestamp')):
        out = tool('kafka-get-offsets', '--topic', topic, '--time', time)
        assert re.search(r'^%s:0:\d+' % topic, out, re.M), '%s: %s' % (which, out)


def case_delete_records():
    path = json_file({'partitions': [{'topic': topic, 'partition': 0, 'offset': 3}], 'version': 1})
    out = tool('kafka-delete-records', '--offset-json-file', path)
    assert 'low_watermark: 3' in out, out
    assert '%s:0:3' % topic in tool('kafka-get-offsets', '--topic', topic, '--time', 'earliest').split()


def case_log_dirs():
    out = tool('kafka-log-dirs', '--describe', '--topic-list', topic)
    found = json.loads(out.splitlines()[-1])
    partitions = [p for d in found['brokers'][0]['logDirs'] for p in d['partitions']]
    assert any(p['partition'] == topic + '-0' and p['size'] > 0 for p in partitions), out
    return '%d partitions' % len(partitions)


def case_broker_api_versions():
    out = tool('kafka-broker-api-versions')
    assert re.search(r'Produce\(0\): 0 to \d+ \[usable: \d+\]', out), out
    unusable = re.findall(r'(\w+)\(\d+\): UNSUPPORTED', out)
    bad = {'Produce', 'Fetch', 'ListOffsets', 'Metadata', 'ApiVersions', 'CreateTopics', 'DeleteTopics', 'DeleteRecords',
           'InitProducerId', 'OffsetForLeaderEpoch', 'DescribeConfigs', 'AlterConfigs', 'DescribeLogDirs', 'CreatePartitions',
           'IncrementalAlterConfigs', 'DescribeCluster', 'DescribeProducers', 'DescribeTopicPartitions'} & set(unusable)
    assert not bad, 'unsupported: %s' % sorted(bad)
    return '%d APIs usable' % len(re.findall(r'usable:', out))


def case_dump_log():
    if not data:
        raise cases.Skip('the data folder is not known (--data)')
    files = sorted(glob.glob(os.path.join(data, '**', topic + '-*', '*.log'), recursive=True))
    assert files, 'no .log file of %s below %s' % (topic, data)
    records = 0
    for path in files:
        out = tool('kafka-dump-log', '--files', path, '--print-data-log', '--deep-iteration', server=None)
        assert 'isvalid: false' not in out, out[:400]
        assert 'compresscodec: lz4' in out or os.path.getsize(path) == 0, out[:400]
        records += len(re.findall(r'^\| offset: ', out, re.M))
    assert records == 100, '%d records dumped' % records
    for path in glob.glob(os.path.join(data, '**', topic + '-*', '*.[ti]*index'), recursive=True):
        out = tool('kafka-dump-log', '--files', path, '--index-sanity-check', server=None)
        assert 'passed sanity check' in out or 'mismatch' not in out.lower(), out
    return '%d segment files' % len(files)


def case_quorum():
    out = tool('kafka-metadata-quorum', 'describe', '--status')
    assert re.search(r'LeaderId:\s+\d+', out) and 'ClusterId' in out, out
    tool('kafka-metadata-quorum', 'describe', '--replication')


def case_cluster_id():
    # This tool wants its server behind the command.
    out = tool('kafka-cluster', 'cluster-id', '--bootstrap-server', bootstrap, server=None)
    assert re.search(r'Cluster ID: [A-Za-z0-9_-]{22}$', out.strip()), out
    return out.strip()


def case_nodes():
    out = tool('kafka-cluster', 'list-endpoints', '--bootstrap-server', bootstrap, '--include-fenced-brokers', server=None)
    assert len(out.split()) > 7 and 'unfenced' in out, out
    out = tool('kafka-cluster', 'unregister', '--bootstrap-server', bootstrap, '--id', 99, ok=False, server=None)
    assert 'Broker ID 99 is not currently registered' in out, out
    live = tool('kafka-metadata-quorum', 'describe', '--status')
    out = tool('kafka-cluster', 'unregister', '--bootstrap-server', bootstrap, '--id', re.search(r'LeaderId:\s+(\d+)', live)[1], ok=False,
               server=None)
    assert re.search(r'is alive; stop it first|is the last one', out), out


def case_features():
    out = tool('kafka-features', 'describe')
    assert re.search(r'Feature: metadata.version\s+SupportedMinVersion: 3.3-IV3\s+SupportedMaxVersion: 4.0-IV3\s+FinalizedVersionLevel: 4.0', out), out
    tool('kafka-features', 'downgrade', '--feature', 'metadata.version=24')
    assert 'FinalizedVersionLevel: 4.0-IV2' in tool('kafka-features', 'describe')
    assert 'was upgraded to 25' in tool('kafka-features', 'upgrade', '--feature', 'metadata.version=25')
    out = tool('kafka-features', 'downgrade', '--feature', 'metadata.version=7', ok=False)
    assert 'might delete metadata information' in out, out


def case_leader_election():
    out = tool('kafka-leader-election', '--election-type', 'preferred', '--topic', topic, '--partition', 0)
    assert 'Valid replica already elected for partitions' in out or 'Successfully completed' in out, out
    tool('kafka-leader-election', '--election-type', 'unclean', '--all-topic-partitions')


def case_transactions_producers():
    out = tool('kafka-transactions', 'describe-producers', '--topic', topic, '--partition', 0)
    assert 'ProducerId' in out, out


def case_perf():
    out = tool('kafka-producer-perf-test', '--topic', prefix + '-perf', '--num-records', 20000, '--record-size', 200,
               '--throughput', -1, '--producer-props', 'bootstrap.servers=' + bootstrap, 'compression.type=zstd', server=None)
    assert '20000 records sent' in out, out
    return re.search(r'[\d.]+ records/sec', out).group(0)


def case_topics_delete():
    tool('kafka-topics', '--delete', '--topic', topic)
    assert cases.retry(lambda: topic not in tool('kafka-topics', '--list').split())
    out = tool('kafka-topics', '--describe', '--topic', topic, ok=False)
    assert 'does not exist' in out, out


def case_groups():
    group = prefix + '-group'
    tool('kafka-console-consumer', '--topic', prefix + '-perf', '--group', group, '--from-beginning', '--max-messages', 10,
         '--timeout-ms', 15000)
    assert group in tool('kafka-consumer-groups', '--list').split()
    out = tool('kafka-consumer-groups', '--describe', '--group', group)
    assert prefix + '-perf' in out, out
    tool('kafka-consumer-groups', '--delete', '--group', group)


report.run('topics-create-describe-list', case_topics_create)
report.run('topics-bad-name', case_topics_bad_name)
report.run('topics-colliding-names', case_topics_colliding_names)
report.run('bad-config', case_bad_config)
report.run('configs', case_configs)
report.run('console-producer-consumer', case_console)
report.run('get-offsets', case_get_offsets)
report.run('delete-records', case_delete_records)
report.run('log-dirs', case_log_dirs)
report.run('broker-api-versions', case_broker_api_versions)
report.run('dump-log', case_dump_log)
report.run('metadata-quorum', case_quorum)
report.run('cluster-id', case_cluster_id)
report.run('nodes', case_nodes)
report.run('features', case_features)
report.run('leader-election', case_leader_election)
report.run('describe-producers', case_transactions_producers)
report.run('producer-perf-test', case_perf)
report.run('topics-alter', case_topics_alter)
if '--groups' in sys.argv:
    report.run('consumer-groups', case_groups)
report.run('topics-delete', case_topics_delete)
