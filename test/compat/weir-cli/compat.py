#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The product's own commands as a client: against weir, and just as well against Apache Kafka.

    compat.py HOST:PORT PREFIX NAME WEIR [--data DIR]"""

import json
import os
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..'), os.path.join(HERE, '..', 'raw')]
import batches                                                                      # noqa: E402
import cases                                                                        # noqa: E402
from connection import Raw, batch                                                   # noqa: E402

bootstrap, prefix, name, weir = sys.argv[1:5]
data = sys.argv[sys.argv.index('--data') + 1] if '--data' in sys.argv else None
report = cases.Report(name)
environment = dict(os.environ, WEIR_BOOTSTRAP=bootstrap)
topic = prefix + '-topic'


def run(*arguments, stdin='', code=0):
    """Runs a command; its standard output, or after a failure that was expected its standard error."""
    done = subprocess.run([weir] + [str(a) for a in arguments], input=stdin, text=True, capture_output=True, timeout=60,
                          env=environment)
    assert done.returncode == code, 'exit code %d, not %d: %s' % (done.returncode, code, (done.stderr or done.stdout)[-300:])
    return done.stdout if code == 0 else done.stderr


def admin(*arguments):
    """`weir admin ... --json`, decoded."""
    return json.loads(run('admin', *arguments, '--json'))


def case_create():
    run('admin', 'topics', 'create', topic, '--partitions', 3, '--config', 'retention.ms=86400000')
    found = cases.retry(lambda: [t for t in admin('topics', 'list') if t['topic'] == topic])
    assert found and found[0]['partitions'] == 3, found
    assert topic in run('admin', 'topics', 'list')
    assert 'already exists' in run('admin', 'topics', 'create', topic, code=1)
    run('admin', 'topics', 'create', topic, '--if-not-exists')
    assert 'bad name' in run('admin', 'topics', 'create', 'bad name', code=1)


def case_describe():
    described, = admin('topics', 'describe', topic)
    assert len(described['partitions']) == 3 and described['configs']['retention.ms'] == '86400000', described
    assert topic in run('admin', 'topics', 'describe', topic)
    assert 'UNKNOWN_TOPIC' in run('admin', 'topics', 'describe', prefix + '-none-such', code=1)


def case_configs():
    run('admin', 'configs', 'set', 'topic', topic, 'segment.bytes=10485760', 'cleanup.policy+=compact')
    values = {c['name']: c['value'] for c in admin('configs', 'describe', 'topic', topic)}
    assert values['segment.bytes'] == '10485760' and sorted(values['cleanup.policy'].split(',')) == ['compact', 'delete'], values
    run('admin', 'configs', 'delete', 'topic', topic, 'segment.bytes', 'cleanup.policy')
    assert cases.retry(lambda: 'segment.bytes' not in {c['name'] for c in admin('configs', 'describe', 'topic', topic)})
    run('admin', 'configs', 'set', 'topic', topic, 'segment.bytes=-5', code=1)


def case_configs_explain():
    one, = admin('configs', 'explain', 'retention.ms', '--topic', topic)
    in_force = one['scopes'][0]['in_force']
    assert in_force['known'] and (in_force['value'], in_force['source']) == ('86400000', 'topic'), in_force
    one, = admin('configs', 'explain', 'log.retention.hours')
    in_force = one['scopes'][0]['in_force']
    assert in_force['known'] and in_force['value'] == '168', in_force
    one, = admin('configs', 'explain', 'segment.ms')
    in_force = one['scopes'][0]['in_force']
    assert in_force['inherited'] and in_force['value'] == '604800000', in_force
    run('admin', 'configs', 'explain', 'retention.ms', '--topic', prefix + '-none-such', code=1)
    run('admin', 'configs', 'explain', 'zookeeper.connect', code=1)
    assert 'unknown: no broker answers' in run('admin', 'configs', 'explain', 'retention.ms', '-b', '127.0.0.1:1')


def leader_of(which, partition=0):
    """HOST:PORT of the broker that leads a partition."""
    with Raw(bootstrap) as c:
        answer = c.call('Metadata', 1, {'topics': [{'name': which}]})
    leader = next(p['leader_id'] for p in answer['topics'][0]['partitions'] if p['partition_index'] == partition)
    return next('%s:%d' % (b['host'].decode() if isinstance(b['host'], bytes) else b['host'], b['port'])
                for b in answer['brokers'] if b['node_id'] == leader)


def case_delete_records():
    with Raw(leader_of(topic, 1)) as c:
        for i in range(10):
            assert c.produce(topic, batch(b'%d' % i), partition=1)['error_code'] == 0
    run('admin', 'topics', 'delete-records', topic, '--partition', 1, '--before', 4)
    described, = admin('topics', 'describe', topic)
    part = described['partitions'][1]
    assert (part['start_offset'], part['end_offset']) == (4, 10), part
    run('admin', 'topics', 'delete-records', topic, '--partition', 1, '--before', 99, code=1)


def case_producers():
    with Raw(leader_of(topic)) as c:
        producer = c.call('InitProducerId', 1, {'transactional_id': None, 'transaction_timeout_ms': 60000})
        pid = producer['producer_id']
        assert c.produce(topic, batch(b'v', producer_id=pid, producer_epoch=0, base_sequence=0))['error_code'] == 0
    assert str(pid) in run('admin', 'producers', 'describe', topic), pid
    return 'producer %d' % pid


def case_cluster():
    assert len(admin('brokers', 'list')['brokers']) in (1, 3)
    assert admin('quorum', 'status')['leader'] >= 0
    dirs = admin('log-dirs', 'describe')
    assert any(p['topic'] == topic for d in dirs for p in d['partitions']), dirs
    apis = {a['name']: a for a in admin('api-versions')[0]['apis']}
    assert apis['Produce']['max'] >= 9, apis
    for command in (('brokers', 'list'), ('quorum', 'status'), ('log-dirs', 'describe'), ('api-versions',)):
        assert run('admin', *command).strip(), command
    return '%d APIs' % len(apis)


def case_alter():
    run('admin', 'topics', 'alter', topic, '--partitions', 5)
    assert cases.retry(lambda: len(admin('topics', 'describe', topic)[0]['partitions']) == 5)
    run('admin', 'topics', 'alter', topic, '--partitions', 2, code=1)


def case_log_dump():
    """Every batch it prints agrees with what this suite reads from the same file."""
    if not data:
        raise cases.Skip('the data folder is not known (--data)')
    for folder in batches.partition_folders(data, topic).values():
        want = [(b.base_offset, b.last_offset, b.count, b.codec, b.crc_ok(), b.producer_id) for b in batches.read_log(folder)]
        lines = [json.loads(line) for line in run('admin', 'log', 'dump', '--json', folder).splitlines()]
        got = [(b['base_offset'], b['last_offset'], b['count'], b['codec'], b['crc_valid'], b['producer_id'])
               for b in lines if b['type'] == 'batch']
        assert got == want, (want, got)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'compat.py')
    run('admin', 'log', 'dump', path, code=1)


def case_nobody_answers():
    said = run('admin', 'topics', 'list', '--bootstrap-server', '127.0.0.1:1', code=1)
    assert '127.0.0.1:1' in said, said
    return said.strip()


def kcat_lines(which):
    """What kcat reads from the beginning of a topic."""
    done = subprocess.run(['kcat', '-b', bootstrap, '-C', '-t', which, '-e', '-q', '-o', 'beginning'],
                          capture_output=True, text=True, timeout=30)
    return done.stdout.splitlines()


def case_codec(codec):
    """Written with a codec, read back by the product and by kcat."""
    which, lines = '%s-codec-%s' % (prefix, codec), ['line %d %s' % (i, 'abcdefghij' * 5) for i in range(1000)]
    run('admin', 'topics', 'create', which, '--partitions', 1)
    run('produce', which, '--codec', codec, stdin=''.join(line + '\n' for line in lines))
    out = run('consume', which, '--from-beginning', '--exit-at-end')
    assert out.splitlines() == lines, '%d lines read back' % len(out.splitlines())
    assert kcat_lines(which) == lines, 'kcat reads something else'
    return '1000 lines'


def case_json():
    """Keys, headers, timestamps, null and bytes that are not text survive the way through JSON."""
    which = prefix + '-json'
    run('admin', 'topics', 'create', which, '--partitions', 1)
    records = [{'key': 'k', 'value': 'v', 'headers': {'kind': 'compat'}, 'timestamp': 1700000000000},
               {'key': None, 'value': 'only a value', 'timestamp': 1700000000001},
               {'key': 'only a key', 'value': None, 'timestamp': 1700000000002},
               {'key': '', 'value': '', 'timestamp': 1700000000003},
               {'key_base64': '/wD+', 'value_base64': 'gIGC', 'timestamp': 1700000000004}]
    run('produce', which, '--json', stdin=''.join(json.dumps(r) + '\n' for r in records))
    out = [json.loads(line) for line in run('consume', which, '--from-beginning', '--exit-at-end', '--json').splitlines()]
    assert [r['offset'] for r in out] == list(range(5)), out
    for want, got in zip(records, out):
        assert got['timestamp'] == want['timestamp'], (want, got)
        for field in ('key', 'value', 'key_base64', 'value_base64'):
            assert field not in want or got.get(field) == want[field], (field, want, got)
    assert 'compat' in str(out[0]['headers']), out[0]
    # What consume prints is what produce takes.
    run('admin', 'topics', 'create', which + '-copy', '--partitions', 1)
    run('produce', which + '-copy', '--json', stdin=''.join(json.dumps(r) + '\n' for r in out))
    again = [json.loads(line) for line in run('consume', which + '-copy', '--from-beginning', '--exit-at-end', '--json').splitlines()]
    strip = [{k: v for k, v in r.items() if k != 'topic'} for r in out]
    assert [{k: v for k, v in r.items() if k != 'topic'} for r in again] == strip, again


def case_perf():
    """It measures this broker, whoever made it."""
    which = prefix + '-perf'
    common = ('--topic', which, '--duration', '1s', '--json')
    written = json.loads(run('perf', 'produce', *common, '--warmup', '0s', '--codec', 'lz4', '--idempotent'))
    read = json.loads(run('perf', 'consume', *common, '--check-crc'))
    waited = json.loads(run('perf', 'latency', *common, '--rate', 200, '--warmup', '0s'))
    assert waited, 'no latency'
    keyed = ('--topic', which + '-keyed', '--duration', '1s', '--json')
    spread = json.loads(run('perf', 'produce', *keyed, '--partitions', 6, '--keyed', '--record-bytes', 100, '--batch-bytes', 3000,
                            '--warmup', '0s', '--rate', 5000))
    back = json.loads(run('perf', 'consume', *keyed, '--check-crc'))
    assert spread['records'] == back['records'] > 0 and spread['bytes'] == back['bytes'], (spread, back)
    assert spread['records'] >= 6 * spread['requests'], spread      # a batch for each partition in one request
    counted = ('--topic', which + '-counted', '--json')
    few = json.loads(run('perf', 'produce', *counted, '--partitions', 4, '--records', 1001, '--warmup', '0s'))
    back = json.loads(run('perf', 'consume', *counted, '--check-crc', '--duration', '20s'))
    assert few['records'] == back['records'] == 1001, (few, back)
    said = run('perf', 'produce', '--topic', which, '--records', 10, code=2)
    assert '--warmup 0s' in said, said
    with Raw(leader_of(which)) as c:
        end = c.end(which)
    assert end > 1000, '%d records' % end
    return ', '.join('%s %s' % (k, v) for k, v in list(written.items())[:4]) + '; read: ' + ', '.join(
        '%s %s' % (k, v) for k, v in list(read.items())[:3])


class Member:
    """`weir consume --group` in the background; ^C ends it."""

    def __init__(self, group, *more):
        self.group, self.process = group, None
        self.out = tempfile.TemporaryFile('w+')
        self.command = [weir, 'consume', topic, '--group', group, '--from-beginning', '--format', '%p %o\\n', *more]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=self.out, env=environment)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=20) == 0

    def lines(self):
        self.out.seek(0)
        return self.out.read().splitlines()


def state(group):
    return [g['state'] for g in admin('groups', 'list') if g['group'] == group]


def settled(group, count):
    """Until the group has that many members and every partition is somebody's."""
    def look():
        if not state(group):
            return False
        described, = admin('groups', 'describe', group, '--no-time')
        return described['state'] == 'Stable' and len(described['members']) == count and \
            sum(len(m['assigned']) for m in described['members']) == len(admin('topics', 'describe', topic)[0]['partitions'])
    assert cases.retry(look, seconds=20), admin('groups', 'describe', group, '--no-time')


def written():
    described, = admin('topics', 'describe', topic)
    return {'%d %d' % (p['partition'], o) for p in described['partitions'] for o in range(p['start_offset'], p['end_offset'])}


def group_of_members(group, *more):
    """Two members, then three, then two, over clean joins and leaves: every record once."""
    members = [Member(group, *more) for _ in range(3)]
    with members[0], members[1]:
        settled(group, 2)
        run('produce', topic, stdin=''.join('%d\n' % i for i in range(200)), *['--batch-bytes', 256])
        with members[2]:
            settled(group, 3)
            run('produce', topic, stdin=''.join('%d\n' % i for i in range(200)), *['--batch-bytes', 256])
        settled(group, 2)
        assert cases.retry(lambda: set().union(*(m.lines() for m in members)) == written(), seconds=15)
    got = sum((m.lines() for m in members), [])
    assert len(got) == len(set(got)), '%d lines, %d of them different' % (len(got), len(set(got)))
    return '%d records, once each' % len(got)


def case_group_static():
    """A static member that is back in time has its partitions again without a rebalance."""
    group = prefix + '-static'
    generations = []
    for _ in range(2):
        with Member(group, '--group-instance-id', 'one'):
            settled(group, 1)
            described, = admin('groups', 'describe', group, '--no-time')
            assert [m['instance'] for m in described['members']] == ['one'], described
            generations.append(described['members'][0]['member'])
    assert state(group) == ['Stable'], 'its place stays'
    run('admin', 'groups', 'remove-members', group, '--instance', 'one')
    assert cases.retry(lambda: state(group) == ['Empty'])


def case_group_comes_late_to_its_end():
    """Under KIP-848 a member's share comes when others have given it up: until then nothing is read, and it is not the end."""
    group = prefix + '-late'
    options = ['--group-protocol', 'consumer', '--no-commit']
    run('produce', topic, stdin=''.join('%d\n' % i for i in range(100)), *['--batch-bytes', 256])
    with Member(group, *options):
        settled(group, 1)
        out = run('consume', topic, '--group', group, '--from-beginning', '--exit-at-end', '--format', '%p %o\\n', *options)
    mine = {line.split()[0] for line in out.splitlines()}
    assert mine, 'it left with nothing'
    assert set(out.splitlines()) == {w for w in written() if w.split()[0] in mine}


def case_group_describe():
    group = prefix + '-described'
    run('consume', topic, '--group', group, '--from-beginning', '--exit-at-end', '--output', 'none')
    run('produce', topic, '--partition', 0, stdin='late\n' * 3)
    described, = admin('groups', 'describe', group)
    rows = {p['partition']: p for p in described['partitions']}
    assert described['state'] == 'Empty' and rows[0]['lag'] == 3 and rows[1]['lag'] == 0, described
    assert 0 <= rows[0]['lag_seconds'] < 60 and rows[1]['lag_seconds'] == 0, rows
    assert described['retention_ms'] > 0, described
    text = run('admin', 'groups', 'describe', group)
    assert 'expire' in text and 'BEHIND' in text, text
    assert 'no group' in run('admin', 'groups', 'describe', prefix + '-none', code=1)
    with Member(group):
        settled(group, 1)
        described, = admin('groups', 'describe', group)
        assert described['state'] == 'Stable' and len(described['members']) == 1, described
        assert group in [g['group'] for g in admin('groups', 'list', '--state', 'stable')]
        assert group not in [g['group'] for g in admin('groups', 'list', '--state', 'Empty')]


def case_group_reset():
    group = prefix + '-described'
    offset = lambda p: {r['partition']: r['offset'] for r in admin('groups', 'describe', group)[0]['partitions']}[p]
    log = admin('topics', 'describe', topic)[0]['partitions'][0]
    start, end = log['start_offset'], log['end_offset']
    reset = lambda *arguments, code=0: run('admin', 'groups', 'reset', group, *arguments, code=code)
    before = offset(0)
    reset('--topic', topic, '--to-earliest')
    assert offset(0) == before, 'shown, not done'
    reset('--topic', topic + ':0', '--to-earliest', '--execute')
    assert (offset(0), offset(1) > start) == (start, True)
    for arguments, want in ((('--to-latest',), end), (('--shift-by', '-2'), end - 2), (('--to-offset', end + 1000), end),
                            (('--to-datetime', '2020-01-01T00:00:00.000'), start), (('--by-duration', 'PT10H'), start)):
        reset('--topic', topic + ':0', *arguments, '--execute')
        assert offset(0) == want, (arguments, offset(0), want)
    csv = reset('--all-topics', '--to-current', '--export')
    with tempfile.NamedTemporaryFile('w', suffix='.csv') as file:
        file.write(csv.replace('%s,0,%d' % (topic, start), '%s,0,%d' % (topic, start + 1)))
        file.flush()
        reset('--from-file', file.name, '--execute')
    assert offset(0) == start + 1, csv
    with Member(group):
        settled(group, 1)
        assert 'can only be reset if the group' in reset('--topic', topic, '--to-latest', '--execute', code=1)
        assert 'has members' in run('admin', 'groups', 'delete', group, code=1)
        assert 'stop them first' in run('admin', 'groups', 'delete-offsets', group, '--topic', topic + ':0', code=1)
    reset('--topic', topic, code=2)
    reset('--to-latest', code=2)
    run('admin', 'groups', 'delete-offsets', group, '--topic', topic + ':0')
    assert 0 not in {r['partition'] for r in admin('groups', 'describe', group)[0]['partitions']}
    run('admin', 'groups', 'delete', group)
    assert not state(group)


def case_verify():
    out = run('verify', 'produce', '--topic', topic, '--max-messages', 20, '--repeating-keys', 3, '--value-prefix', 1)
    events = [json.loads(line) for line in out.splitlines()]
    names = [e['name'] for e in events]
    assert names[0] == 'startup_complete' and names.count('producer_send_success') == 20 and names[-1] == 'tool_data', names
    assert (events[-1]['sent'], events[-1]['acked']) == (20, 20), events[-1]
    assert sorted(e['value'] for e in events if 'value' in e) == sorted('1.%d' % i for i in range(20))


def case_verify_consume():
    out = run('verify', 'consume', '--topic', topic, '--group-id', prefix + '-verify', '--max-messages', 20, '--verbose')
    events = [json.loads(line) for line in out.splitlines()]
    names = [e['name'] for e in events]
    assert names[:2] == ['startup_complete', 'partitions_assigned'] and names[-2:] == ['partitions_revoked', 'shutdown_complete'], names
    assert names.count('record_data') == sum(e['count'] for e in events if e['name'] == 'records_consumed') == 20, names
    assert all(e['success'] for e in events if e['name'] == 'offsets_committed') and 'offsets_committed' in names, events
    rest = run('consume', topic, '--group', prefix + '-verify', '--exit-at-end', '--format', '%p %o\\n')
    assert not set(rest.splitlines()) & {'%(partition)d %(offset)d' % e for e in events if e['name'] == 'record_data'}


def case_delete():
    run('admin', 'topics', 'delete', topic)
    assert cases.retry(lambda: topic not in [t['topic'] for t in admin('topics', 'list')])
    run('admin', 'topics', 'delete', topic, code=1)


report.run('topics-create-list', case_create)
report.run('topics-describe', case_describe)
report.run('configs', case_configs)
report.run('configs-explain', case_configs_explain)
report.run('delete-records', case_delete_records)
report.run('producers', case_producers)
report.run('cluster', case_cluster)
report.run('log-dump', case_log_dump)
report.run('topics-alter', case_alter)
report.run('nobody-answers', case_nobody_answers)
for each in cases.CODECS:
    report.run('produce-' + each, case_codec, each, topic='%s-codec-%s' % (prefix, each), codec=each)
report.run('json', case_json)
report.run('perf', case_perf)
report.run('verify-produce', case_verify)
if '--groups' in sys.argv:
    report.run('verify-consume', case_verify_consume)
    report.run('group-range', group_of_members, prefix + '-range')
    report.run('group-cooperative', group_of_members, prefix + '-cooperative', '--partition-assignment-strategy', 'cooperative-sticky')
    report.run('group-consumer-protocol', group_of_members, prefix + '-new', '--group-protocol', 'consumer')
    report.run('group-static', case_group_static)
    report.run('group-late-to-its-end', case_group_comes_late_to_its_end)
    report.run('group-describe', case_group_describe)
    report.run('group-reset-delete', case_group_reset)
report.run('topics-delete', case_delete)
