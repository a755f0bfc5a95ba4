#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The product's own commands as a client: against weir, and just as well against Apache Kafka.

    compat.py HOST:PORT PREFIX NAME WEIR [--data DIR]"""

import json
import os
import subprocess
import sys

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


def case_delete_records():
    with Raw(bootstrap) as c:
        for i in range(10):
            assert c.produce(topic, batch(b'%d' % i), partition=1)['error_code'] == 0
    run('admin', 'topics', 'delete-records', topic, '--partition', 1, '--before', 4)
    described, = admin('topics', 'describe', topic)
    part = described['partitions'][1]
    assert (part['start_offset'], part['end_offset']) == (4, 10), part
    run('admin', 'topics', 'delete-records', topic, '--partition', 1, '--before', 99, code=1)


def case_producers():
    with Raw(bootstrap) as c:
        producer = c.call('InitProducerId', 1, {'transactional_id': None, 'transaction_timeout_ms': 60000})
        pid = producer['producer_id']
        assert c.produce(topic, batch(b'v', producer_id=pid, producer_epoch=0, base_sequence=0))['error_code'] == 0
    assert str(pid) in run('admin', 'producers', 'describe', topic), pid
    return 'producer %d' % pid


def case_cluster():
    assert len(admin('brokers', 'list')['brokers']) == 1
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
    with Raw(bootstrap) as c:
        end = c.end(which)
    assert end > 1000, '%d records' % end
    return ', '.join('%s %s' % (k, v) for k, v in list(written.items())[:4]) + '; read: ' + ', '.join(
        '%s %s' % (k, v) for k, v in list(read.items())[:3])


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
report.run('topics-delete', case_delete)
