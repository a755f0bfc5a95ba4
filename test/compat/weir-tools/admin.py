#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kafka's tools that look after a cluster under the product's links, beside the real ones. See common.py.

    admin.py HOST:PORT PREFIX NAME WEIR CLASS_PATH_FILE [--data DIR]"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import bootstrap, cases, folder, install, ours, prefix, report, same, theirs                      # noqa: E402
from server import free_port                                                        # noqa: E402

topic = prefix + '.of_topics'


def both(which, arguments_of):
    """Runs something that can be done once, under a name of each one's own; the outputs with the names made equal."""
    results = []
    for run, mine in ((theirs, topic + '-java'), (ours, topic + '-weir')):
        code, out, err = run(which, *arguments_of(mine))
        results.append((code, out.replace(mine, 'TOPIC'), err.replace(mine, 'TOPIC')))
    want, got = results
    assert got[:2] == want[:2], '%s: %r and not %r; %s' % (which, got[:2], want[:2], got[2])


def case_topics_create():
    create = lambda *more: both('kafka-topics', lambda mine: ['--create', '--topic', mine] + list(more))
    create('--partitions', 3, '--config', 'retention.ms=1000000', '--config', 'cleanup.policy=delete')
    create()                                                                        # there already
    create('--if-not-exists')
    for more in (['--replication-factor', 99], ['--partitions', 0], ['--replication-factor', 0], ['--config', 'bad'],
                 ['--config', 'nonsense=1'], ['--replica-assignment', '1,1:2'], ['--replica-assignment', '1:1']):
        theirs_code, theirs_out, _ = theirs('kafka-topics', '--create', '--topic', prefix + '-no', *more)
        ours_code, ours_out, _ = ours('kafka-topics', '--create', '--topic', prefix + '-no', *more)
        assert (ours_code, theirs_code) == (1, 1) and ours_out.startswith('Error while executing topic command : '), ours_out
        if 'assignment' not in more[0]:
            assert ours_out == theirs_out, (ours_out, theirs_out)
    same('kafka-topics', '--create', '--topic', 'bad/name')
    both('kafka-topics', lambda mine: ['--create', '--topic', mine + '-by-hand', '--replica-assignment', '1,1'])


def case_topics_list():
    for more in ([], ['--exclude-internal'], ['--topic', prefix + '.*'], ['--topic', prefix + '-none'], ['--exclude-internal',
                 '--topic', prefix + '.*weir']):
        same('kafka-topics', '--list', *more)
    assert topic + '-weir' in ours('kafka-topics', '--list', '-topic', prefix + '.*')[1]


def case_topics_describe():
    describe = lambda *more: same('kafka-topics', '--describe', *more)
    assert 'PartitionCount: 3' in describe('--topic', topic + '-weir,' + topic + '-java')
    describe('--topic', prefix + '-none')
    describe('--topic', prefix + '-none', '--if-exists')
    describe('--exclude-internal', '--topics-with-overrides')
    for which in ('under-replicated', 'unavailable', 'under-min-isr', 'at-min-isr'):
        describe('--topic', prefix + '.*', '--%s-partitions' % which)
    describe('--topic', topic + '-weir', '--partition-size-limit-per-response', 1)
    identity = ours('kafka-topics', '--describe', '--topic', topic + '-weir')[1].split('TopicId: ')[1].split()[0]
    assert topic + '-weir' in describe('--topic-id', identity)
    describe('--topic-id', 'AAAAAAAAAAAAAAAAAAAAAQ')


def case_topics_alter():
    alter = lambda *more: both('kafka-topics', lambda mine: ['--alter', '--topic', mine] + list(more))
    alter('--partitions', 5)
    alter('--partitions', 2)
    same('kafka-topics', '--alter', '--topic', prefix + '-none', '--partitions', 2)
    same('kafka-topics', '--alter', '--topic', prefix + '-none', '--partitions', 2, '--if-exists')
    assert 'PartitionCount: 5' in same('kafka-topics', '--describe', '--topic', topic + '-weir')


def case_topics_wrong():
    for arguments in (['--alter', '--topic', 'a'], ['--delete'], ['--topic', 'a'], ['--list', '--delete'], ['--create'],
                      ['--list', '--partitions', 3], ['--alter', '--topic', 'a', '--partitions', 6, '--config', 'a=b'],
                      ['--describe', '--replication-factor', 1], ['--list', '--if-exists'],
                      ['--create', '--topic', 'a', '--replica-assignment', '1', '--partitions', 2], ['--describe', '--if-exists'],
                      ['--describe', '--topics-with-overrides', '--under-replicated-partitions']):
        same('kafka-topics', *arguments, errors=True)
    same('kafka-topics', '--list', server=False, errors=True)
    assert ours('kafka-topics', '--bogus')[0] == theirs('kafka-topics', '--bogus')[0]


def case_topics_delete():
    both('kafka-topics', lambda mine: ['--delete', '--topic', mine])
    both('kafka-topics', lambda mine: ['--delete', '--topic', mine + '.*'])
    same('kafka-topics', '--delete', '--topic', prefix + '-none')
    same('kafka-topics', '--delete', '--topic', prefix + '-none', '--if-exists')
    same('kafka-topics', '--list')


def case_configs_topics():
    configs = lambda *more: same('kafka-configs', *more, errors=True)
    mine = prefix + '-configs'
    ours('kafka-topics', '--create', '--topic', mine, '--config', 'retention.ms=1000000')
    one = ['--entity-type', 'topics', '--entity-name', mine]
    assert 'DYNAMIC_TOPIC_CONFIG:retention.ms=1000000' in configs(*one, '--describe')
    assert 'All configs for topic' in configs('--topic', mine, '--describe', '--all')
    configs('--topic', mine, '--alter', '--add-config', 'segment.bytes=2000000,cleanup.policy=[compact,delete]')
    configs('--topic', mine, '--describe')
    ours('kafka-configs', '--topic', mine, '--alter', '--add-config', 'cleanup.policy=[delete,compact],segment.bytes=3000000')
    assert 'segment.bytes=3000000' in configs('--topic', mine, '--describe')
    assert ours('kafka-configs', '--topic', mine, '--alter', '--delete-config', 'segment.bytes,cleanup.policy')[0] == 0
    configs('--topic', mine, '--alter', '--delete-config', 'segment.bytes')
    configs('--topic', mine, '--alter', '--delete-config', 'nonsense')
    configs('--topic', mine, '--alter', '--add-config', 'nonsense=3')
    configs('--topic', prefix + '-none', '--alter', '--add-config', 'retention.ms=3')
    configs('--topic', prefix + '-none', '--describe')
    configs('--entity-type', 'topics', '--describe')
    with tempfile.NamedTemporaryFile('w', suffix='.properties') as file:
        file.write('# settings\nretention.ms = 7000000\n')
        file.flush()
        configs('--topic', mine, '--alter', '--add-config-file', file.name)
    assert 'retention.ms=7000000' in configs('--topic', mine, '--describe')


def case_configs_brokers():
    configs = lambda *more: same('kafka-configs', *more, errors=True)
    for which in (['--entity-type', 'brokers', '--entity-default'], ['--broker', 1], ['--broker-defaults']):
        configs(*which, '--alter', '--add-config', 'log.retention.ms=999999')
        assert 'log.retention.ms=999999' in configs(*which, '--describe')
        ours('kafka-configs', *which, '--alter', '--delete-config', 'log.retention.ms')
        configs(*which, '--describe')
    configs('--entity-type', 'brokers', '--describe')
    assert 'num.partitions' in configs('--broker', 1, '--describe', '--all')
    configs('--broker', 99, '--describe')
    configs('--broker', 'abc', '--describe')


def case_configs_groups():
    mine = prefix + '-group'
    same('kafka-configs', '--group', mine, '--alter', '--add-config', 'consumer.session.timeout.ms=50000')
    assert '50000' in same('kafka-configs', '--group', mine, '--describe', '--all')
    assert 'DYNAMIC_GROUP_CONFIG' in ours('kafka-configs', '--group', mine, '--describe')[1]


def case_configs_wrong():
    for arguments in (['--entity-type', 'users', '--describe'], ['--entity-type', 'clients', '--entity-default', '--describe'],
                      ['--user', 'joe', '--alter', '--add-config', 'producer_byte_rate=1'], ['--entity-type', 'bogus', '--describe'],
                      ['--describe'], ['--entity-type', 'topics', '--describe', '--alter'],
                      ['--entity-type', 'topics', '--alter', '--add-config', 'a=b'], ['--topic', 'a', '--alter'],
                      ['--topic', 'a', '--alter', '--add-config', 'retention.ms'], ['--topic', 'a', '--describe', '--add-config', 'a=b'],
                      ['--entity-type', 'client-metrics', '--describe'],
                      ['--entity-type', 'broker-loggers', '--entity-name', 1, '--alter', '--add-config', 'a=b']):
        same('kafka-configs', *arguments, errors=True)
    same('kafka-configs', '--entity-type', 'topics', '--describe', server=False, errors=True)


def case_api_versions():
    """What the real tool shows of requests that only newer clients know is compared too: both are told the same."""
    want, got = theirs('kafka-broker-api-versions'), ours('kafka-broker-api-versions')
    assert want[0] == got[0] == 0 and got[1] == want[1], (got[1], want[1])
    assert ours('kafka-broker-api-versions', '--bogus')[0] == 1


def json_file(value):
    with tempfile.NamedTemporaryFile('w', suffix='.json', delete=False) as file:
        file.write(value if isinstance(value, str) else json.dumps(value))
    return file.name


def case_delete_records():
    mine = prefix + '-records'
    ours('kafka-topics', '--create', '--topic', mine, '--partitions', '2')
    ours('kafka-console-producer', '--topic', mine, '--property', 'parse.key=true', '--property', 'key.separator=:',
         stdin=''.join('%d:%d\n' % (i, i) for i in range(40)))
    files = lambda *entries: json_file(dict(partitions=[dict(topic=mine, partition=p, offset=o) for p, o in entries], version=1))
    delete = lambda path: same('kafka-delete-records', '--offset-json-file', path, errors=True)
    delete(files((0, 2), (1, 3)))
    delete(files((0, -1)))
    assert 'OffsetOutOfRangeException' in same('kafka-delete-records', '--offset-json-file', files((1, 200)))
    delete(files((0, 2), (0, 3)))
    delete(json_file('{"partitions":3'))
    delete('/nonexistent')
    same('kafka-delete-records', errors=True)
    assert 'UnknownTopicOrPartitionException' in ours('kafka-delete-records', '--offset-json-file', files((7, 1)))[1]


def case_log_dirs():
    def parsed(out):
        lines = out.splitlines()
        value = json.loads(lines[-1])
        for broker in value['brokers']:
            for folder in broker['logDirs']:
                folder['partitions'].sort(key=lambda p: p['partition'])
        return lines[:-1], value
    for arguments in ([], ['--topic-list', prefix + '-records'], ['--topic-list', prefix + '-none', '--broker-list', 1]):
        want, got = theirs('kafka-log-dirs', '--describe', *arguments), ours('kafka-log-dirs', '--describe', *arguments)
        assert want[0] == got[0] == 0 and parsed(got[1]) == parsed(want[1]), (got, want)
    for arguments in ([], ['--describe', '--broker-list', '1,9'], ['--describe', '--broker-list', 'a']):
        same('kafka-log-dirs', *arguments, errors=True)


def case_cluster():
    server = ['--bootstrap-server', bootstrap]
    for arguments in (['cluster-id'] + server, ['list-endpoints'] + server,
                      ['list-endpoints', '--include-fenced-brokers'] + server, ['unregister', '--id', 9] + server,
                      ['unregister', '--id', 1] + server):
        same('kafka-cluster', *arguments, server=False)
    for arguments in ([], ['cluster-id'], ['bogus'] + server, ['unregister'] + server):
        assert theirs('kafka-cluster', *arguments, server=False)[0] == ours('kafka-cluster', *arguments, server=False)[0]


def case_quorum():
    hide = lambda text: re.sub(r'HighWatermark: +\d+|\t\d+ +\t0', '-', re.sub(r'\t\d{13} +\t\d{13}', '\tTIME', re.sub(r'\d+ ms ago *', 'AGE', text)))
    for arguments in (['--status'], ['--replication'], ['--replication', '--human-readable']):
        want, got = (which('kafka-metadata-quorum', 'describe', *arguments) for which in (theirs, ours))
        assert want[0] == got[0] == 0 and hide(got[1]) == hide(want[1]), (got, want)
    for arguments in ([], ['--status', '--replication'], ['--status', '--human-readable']):
        same('kafka-metadata-quorum', 'describe', *arguments, errors=True)
    assert ours('kafka-metadata-quorum')[0] == theirs('kafka-metadata-quorum')[0]
    for arguments in (['remove-controller', '--controller-id', 9, '--controller-directory-id', 'AAAAAAAAAAAAAAAAAAAAAg'],
                      ['remove-controller', '--controller-id', 9, '--controller-directory-id', 'AAAAAAAAAAAAAAAAAAAAAg', '--dry-run'],
                      ['remove-controller', '--controller-id', 9, '--controller-directory-id', 'x'], ['add-controller']):
        want, got = (which('kafka-metadata-quorum', *arguments) for which in (theirs, ours))
        assert want[:2] == got[:2], (arguments, got, want)
    with tempfile.TemporaryDirectory(prefix='weir-tools-controller-') as data:
        path = os.path.join(data, 'controller.properties')
        with open(path, 'w') as file:
            file.write('process.roles=controller\nnode.id=9\nlog.dirs=%s\nlisteners=CONTROLLER://127.0.0.1:19093\n'
                       'controller.listener.names=CONTROLLER\n' % data)
        for text in (None, 'version=1\nnode.id=9\n', 'version=1\nnode.id=9\ncluster.id=x\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAg\n'):
            if text:
                with open(os.path.join(data, 'meta.properties'), 'w') as file:
                    file.write(text)
            want, got = (which('kafka-metadata-quorum', '--command-config', path, 'add-controller', '--dry-run') for which in (theirs, ours))
            assert want[:2] == got[:2], (text, got, want)


def case_features():
    epochs = lambda text: re.sub(r'Epoch: \d+', 'Epoch: N', text)
    want, got = (which('kafka-features', 'describe') for which in (theirs, ours))
    assert (got[0], sorted(epochs(got[1]).splitlines())) == (want[0], sorted(epochs(want[1]).splitlines())), (got, want)
    for arguments in (['upgrade', '--feature', 'metadata.version=25', '--dry-run'], ['upgrade', '--feature', 'metadata.version=99'],
                      ['upgrade', '--feature', 'metadata.version'], ['upgrade', '--feature', 'metadata.version=x'], ['upgrade'],
                      ['upgrade', '--metadata', '4.0-IV3', '--dry-run'],
                      ['downgrade', '--feature', 'metadata.version=23', '--dry-run'],
                      ['downgrade', '--feature', 'metadata.version=24'], ['upgrade', '--feature', 'metadata.version=25'],
                      ['downgrade', '--metadata', '4.0-IV3', '--feature', 'metadata.version=24', '--dry-run'],
                      ['downgrade', '--release-version', '4.0', '--feature', 'metadata.version=24'],
                      ['feature-dependencies', '--feature', 'metadata.version=25', '--feature', 'group.version=1'],
                      ['feature-dependencies', '--feature', 'nonsense=1'], ['disable']):
        want, got = (which('kafka-features', *arguments) for which in (theirs, ours))
        assert want[:2] == got[:2], (arguments, got, want)
    refused = lambda which: which('kafka-features', 'downgrade', '--feature', 'metadata.version=20')
    for code, out, _ in map(refused, (theirs, ours)):
        assert code == 1 and 'Refusing to perform the requested downgrade' in out, out
    code, out, _ = ours('kafka-features', 'version-mapping', '--release-version', '3.9-IV0')
    assert code == 0 and 'metadata.version=21 (3.9-IV0)\ngroup.version=0\n' == out, out


def case_leader_election():
    mine = prefix + '-records'
    one = json_file(dict(partitions=[dict(topic=mine, partition=0)]))
    for arguments in (['--election-type', 'preferred', '--all-topic-partitions'],
                      ['--election-type', 'preferred', '--topic', mine, '--partition', 0],
                      ['--election-type', 'UNCLEAN', '--topic', mine, '--partition', 0],
                      ['--election-type', 'preferred', '--path-to-json-file', one],
                      ['--election-type', 'preferred', '--topic', mine], ['--election-type', 'preferred'],
                      ['--topic', mine, '--partition', 0], ['--election-type', 'bogus', '--all-topic-partitions'],
                      ['--election-type', 'preferred', '--all-topic-partitions', '--partition', 0]):
        same('kafka-leader-election', *arguments, errors=True)


def case_dump_log():
    """The broker's own files, read beside it."""
    data = sys.argv[sys.argv.index('--data') + 1] if '--data' in sys.argv else None
    assert data, 'needs --data'
    mine = prefix + '-dump'
    ours('kafka-topics', '--create', '--topic', mine, '--config', 'segment.bytes=1048576', '--partitions', 1)
    produce = lambda lines, *more: ours('kafka-console-producer', '--topic', mine, *more, stdin=''.join(x + '\n' for x in lines))
    produce(['h:1,g:2\tkey\twith headers', 'h:\tNULL\tNULL'], '--property', 'parse.headers=true', '--property', 'parse.key=true',
            '--property', 'null.marker=NULL')
    produce(('value %d' % i for i in range(500)), '--compression-codec', 'zstd')
    for _ in range(3):
        produce(('x' * 200 for _ in range(2500)))
    source = [os.path.join(top, mine + '-0') for top, folders, _ in os.walk(data) if mine + '-0' in folders][0]
    copy = tempfile.mkdtemp(prefix='weir-dump-')
    for name in os.listdir(source):
        shutil.copy(os.path.join(source, name), copy)
    files = sorted(os.path.join(copy, name) for name in os.listdir(copy) if name.endswith(('log', 'snapshot')))
    indexes = [os.path.join(copy, name) for name in sorted(os.listdir(copy)) if name.endswith('index')]
    dump = lambda *more: same('kafka-dump-log', *more, server=False)
    assert 'compresscodec: zstd' in dump('--files', ','.join(files))
    assert 'headerKeys: [h,g] key: key payload: with headers' in dump('--files', files[0], '--print-data-log')
    dump('--files', files[0], '--deep-iteration')
    dump('--files', files[0], '--print-data-log', '--skip-record-metadata')
    dump('--files', files[0], '--max-bytes', 300)
    for index in indexes:
        if os.path.getsize(index):
            dump('--files', index)
            if index.endswith('.index'):
                dump('--files', index, '--verify-index-only')
    with open(os.path.join(copy, '00000000000000000007.log'), 'wb') as cut:
        cut.write(open(files[0], 'rb').read(150))
    dump('--files', cut.name)
    dump('--files', os.path.join(copy, 'partition.metadata'))
    same('kafka-dump-log', '--files', '/nonexistent/x.log', server=False)
    for arguments in ([], ['--bogus'], ['--print-data-log']):
        assert theirs('kafka-dump-log', *arguments, server=False)[0] == ours('kafka-dump-log', *arguments, server=False)[0]


def case_server():
    """A server in the background, in the words of Kafka's scripts, and its end."""
    logs = tempfile.mkdtemp(prefix='weir-server-')
    address = '127.0.0.1:%d' % free_port()
    settings = os.path.join(logs, 'server.properties')
    with open(settings, 'w') as file:
        file.write('listeners=PLAINTEXT://%s\nlog.dirs=%s/data\n' % (address, logs))
    tool = lambda which, *arguments: subprocess.run([os.path.join(folder, which)] + list(arguments), capture_output=True, text=True,
                                                    timeout=30, env=dict(os.environ, LOG_DIR=logs))
    pids = lambda: [name for name in os.listdir(logs) if name.endswith('.pid')]
    done = tool('kafka-server-stop')
    assert done.returncode == 1 and done.stdout == 'No kafka server to stop\n', done
    done = tool('kafka-server-start.sh', '-daemon', settings, '--override', 'num.partitions=3', '--override', 'shards=1')
    assert done.returncode == 0, done.stderr
    listed = lambda: tool('kafka-topics', '--bootstrap-server', address, '--create', '--topic', 'a', '--if-not-exists').returncode == 0
    assert cases.retry(listed), open(os.path.join(logs, 'server.log')).read()
    assert len(pids()) == 1
    assert 'PartitionCount: 3' in tool('kafka-topics', '--bootstrap-server', address, '--describe', '--topic', 'a').stdout
    assert tool('kafka-server-stop.sh').returncode == 0
    assert cases.retry(lambda: not pids()), 'the server goes on'
    assert tool('kafka-server-start').returncode == tool('kafka-server-start', settings, '--override', 'x').returncode == 1
    shutil.rmtree(logs)


def case_storage():
    """Kafka's quick start: an id, a formatted folder, a server that begins with both; every refusal in Kafka's words."""
    home = tempfile.mkdtemp(prefix='weir-storage-')
    ports = {'port': free_port(), 'quorum': free_port()}

    def settings(who, more=''):
        path = os.path.join(home, who + '.properties')
        with open(path, 'w') as file:
            file.write(('process.roles=broker,controller\nnode.id=7\ncontroller.listener.names=CONTROLLER\n'
                        'listeners=PLAINTEXT://127.0.0.1:%(port)d,CONTROLLER://127.0.0.1:%(quorum)d\n'
                        'controller.quorum.bootstrap.servers=localhost:%(quorum)d\n' % ports) +
                       'log.dirs=%s/a,%s/b\n' % ((os.path.join(home, who),) * 2) + more)
        return path
    both_files = {which: settings(which.__name__) for which in (theirs, ours)}

    def storage(*arguments):
        """Runs both, each on folders of its own; exit codes and words are the same. What ours said."""
        answers = []
        for which, path in both_files.items():
            code, out, err = which('kafka-storage', *[path if a == 'FILE' else a for a in arguments], server=False)
            line = (err.strip().splitlines() or [''])[0].replace(path, 'FILE')
            # Of several folders with the same trouble theirs names the one its hash comes to first.
            line = line.replace(os.path.join(home, which.__name__, 'b'), os.path.join(home, which.__name__, 'a'))
            answers.append((code, out.replace(which.__name__, 'X'), line.replace(which.__name__, 'X')))
        assert answers[0][0] == answers[1][0], (arguments, answers)
        if 'usage' not in answers[0][2] and 'Exception' not in answers[0][2]:
            assert answers[0][2] == answers[1][2], (arguments, answers)
        return answers[0][1], answers[1][1]

    drawn = ours('kafka-storage', 'random-uuid', server=False)[1].strip()
    assert len(drawn) == 22 and drawn != ours('kafka-storage', 'random-uuid', server=False)[1].strip()
    for words in ([], ['format'], ['bogus'], ['format', '-c', 'FILE'], ['info'], ['format', '-t', drawn, '-c', '/nonexistent'],
                  ['format', '-t', drawn, '-c', 'FILE'], ['format', '-t', drawn, '-c', 'FILE', '-s', '-N']):
        storage(*words)
    want, got = storage('info', '-c', 'FILE')
    assert got == want and 'does not exist' in got, got
    want, got = storage('format', '-t', drawn, '-c', 'FILE', '--standalone')
    assert 'Formatting data directory' in want and 'Formatting data directory' in got, got
    storage('format', '-t', drawn, '-c', 'FILE', '--standalone')
    want, got = storage('format', '-t', drawn, '-c', 'FILE', '--standalone', '-g')
    assert got == want, got
    storage('format', '-t', 'A' * 22, '-c', 'FILE', '--standalone', '-g')
    assert 'cluster.id=%s,' % drawn in storage('info', '-c', 'FILE')[1]

    tool = lambda which, *arguments: subprocess.run([os.path.join(folder, which)] + list(arguments), capture_output=True, text=True,
                                                    timeout=30, env=dict(os.environ, LOG_DIR=home))
    address = '127.0.0.1:%(port)d' % ports
    assert tool('kafka-server-start', '-daemon', both_files[ours]).returncode == 0
    identity = lambda: tool('kafka-cluster', 'cluster-id', '--bootstrap-server', address).stdout
    assert cases.retry(lambda: identity() == 'Cluster ID: %s\n' % drawn), identity() + open(os.path.join(home, 'server.log')).read()
    assert tool('kafka-server-stop').returncode == 0
    assert cases.retry(lambda: not [name for name in os.listdir(home) if name.endswith('.pid')]), 'the server goes on'
    for path in ('a', 'b'):
        with open(os.path.join(home, 'ours', path, 'meta.properties')) as file:
            assert 'cluster.id=%s\n' % drawn in file.read()
    want, got = (re.sub(r'directory.id=[^,]*', '', out) for out in storage('info', '-c', 'FILE'))
    assert got == want, (got, want)
    shutil.rmtree(home)


def case_perf():
    """The same lines but for their numbers, and the same number of records."""
    shape = lambda text: re.sub(r'[\d.]+(E-?\d+)?', '0', text)
    mine = prefix + '-perf'
    ours('kafka-topics', '--create', '--topic', mine, '--partitions', 2)
    produce = ['--topic', mine, '--num-records', 2001, '--record-size', 100, '--producer-props', 'bootstrap.servers=' + bootstrap, 'acks=all']
    for throughput in (-1, 1500):
        want, got = (which('kafka-producer-perf-test', *produce, '--throughput', throughput, server=False) for which in (theirs, ours))
        assert want[0] == got[0] == 0 and shape(got[1]) == shape(want[1]), (got, want)
        assert got[1].startswith('2001 records sent'), got
    ends = ours('kafka-get-offsets', '--topic', mine)[1]
    assert sum(int(line.split(':')[2]) for line in ends.split()) == 4 * 2001, ends
    for more in ([], ['--hide-header']):
        want, got = (which('kafka-consumer-perf-test', '--topic', mine, '--messages', 8004, *more) for which in (theirs, ours))
        assert want[0] == got[0] == 0 and shape(got[1]) == shape(want[1]), (got, want)
        columns = [out.splitlines()[-1].split(', ') for out in (want[1], got[1])]
        assert [c[2] for c in columns] == ['0.7633', '0.7633'] and [c[4] for c in columns] == ['8004', '8004'], columns
    want, got = (which('kafka-consumer-perf-test', '--topic', mine, '--messages', 9000, '--timeout', 4000) for which in (theirs, ours))
    assert want[0] == got[0] == 0 and shape(got[1]) == shape(want[1]), (got, want)
    same('kafka-consumer-perf-test', '--messages', 10, errors=True)
    assert ours('kafka-producer-perf-test', '--topic', mine, server=False)[0] == 1


report.run('install', install)
report.run('topics-create', case_topics_create)
report.run('topics-list', case_topics_list)
report.run('topics-describe', case_topics_describe)
report.run('topics-alter', case_topics_alter)
report.run('topics-wrong', case_topics_wrong)
report.run('topics-delete', case_topics_delete)
report.run('configs-topics', case_configs_topics)
report.run('configs-brokers', case_configs_brokers)
report.run('configs-groups', case_configs_groups)
report.run('configs-wrong', case_configs_wrong)
report.run('api-versions', case_api_versions)
report.run('delete-records', case_delete_records)
report.run('log-dirs', case_log_dirs)
report.run('cluster', case_cluster)
report.run('quorum', case_quorum)
report.run('features', case_features)
report.run('leader-election', case_leader_election)
report.run('perf', case_perf)
report.run('server', case_server)
report.run('storage', case_storage)
if '--data' in sys.argv:
    report.run('dump-log', case_dump_log)
