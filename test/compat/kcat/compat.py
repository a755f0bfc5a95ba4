#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The compatibility cases with kcat and the librdkafka it is linked to (Debian 12: 2.0.2).

    compat.py HOST:PORT PREFIX NAME [--groups]

kcat creates topics only by writing to them (one partition: num.partitions is 1) and takes its timestamps from the clock, so
this program has its own small tables."""

import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import cases                                                                        # noqa: E402

bootstrap, prefix, name = sys.argv[1:4]
report = cases.Report(name)
# What librdkafka 2.0.2 must find in our ApiVersions (it matches ranges by single versions, and stays silent otherwise).
FEATURES = ('MsgVer2', 'ApiVersion', 'BrokerGroupCoordinator', 'LZ4', 'OffsetTime', 'IdempotentProducer', 'ZSTD',
            'SaslHandshake', 'SaslAuthReq', 'BrokerBalancedConsumer', 'Sasl')


def kcat(*arguments, stdin=b'', ok=True):
    """Runs kcat; its standard output, or with ok=False its standard error after a failure."""
    done = subprocess.run(['kcat', '-b', bootstrap] + [str(a) for a in arguments], input=stdin, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if not ok:
        assert done.returncode != 0, 'kcat succeeded'
        return done.stderr.decode()
    assert done.returncode == 0, 'kcat exit %d: %s' % (done.returncode, done.stderr.decode()[-300:])
    return done.stdout


def read(topic, *arguments):
    """What a consumer of all partitions to their ends sees, as decoded JSON objects."""
    out = kcat('-C', '-t', topic, '-e', '-q', '-J', *arguments)
    return [json.loads(line) for line in out.splitlines()]


def lines(count):
    """Keys and values that compress well."""
    return [('key-%d' % i, 'value-%d %s' % (i, 'abcdefghij' * 20)) for i in range(count)]


def case_metadata():
    found = json.loads(kcat('-L', '-J'))
    assert len(found['brokers']) in (1, 3), found
    return 'broker %s at %s' % (found['brokers'][0]['id'], found['brokers'][0]['name'])


def case_features():
    done = subprocess.run(['kcat', '-b', bootstrap, '-d', 'feature', '-L'], capture_output=True, timeout=30)
    enabled = set(re.findall(r'Enabling feature (\w+)', done.stderr.decode()))
    missing = [feature for feature in FEATURES if feature not in enabled]
    assert not missing, 'not enabled: %s' % ', '.join(missing)
    return 'enabled: %s' % ', '.join(sorted(enabled))


def case_codec(codec):
    topic, rows = '%s-codec-%s' % (prefix, codec), lines(300)
    kcat('-P', '-t', topic, '-K', '|', '-z', codec, '-X', 'linger.ms=100', '-X', 'acks=all',
         stdin=''.join('%s|%s\n' % row for row in rows).encode())
    got = read(topic, '-o', 'beginning')
    assert [(m['key'], m['payload']) for m in got] == rows, 'read %d records back' % len(got)
    assert [m['offset'] for m in got] == list(range(300))
    return '300 records'


def case_nulls():
    topic = prefix + '-nulls'
    kcat('-P', '-t', topic, '-K', '|', '-Z', stdin=b'k|\n|v\nk2|v2\n')      # -Z: what is empty becomes null
    kcat('-P', '-t', topic, '-K', '|', stdin=b'k3|\n|v4\n')                 # without it, empty stays empty
    got = [(m['key'], m['payload']) for m in read(topic, '-o', 'beginning')]
    assert got == [('k', None), (None, 'v'), ('k2', 'v2'), ('k3', ''), ('', 'v4')], got


def case_headers():
    topic = prefix + '-headers'
    kcat('-P', '-t', topic, '-H', 'kind=compat', '-H', 'kind=again', '-H', 'empty=', '-H', 'null', stdin=b'v\n')
    got = read(topic, '-o', 'beginning')[0]['headers']
    assert got == ['kind', 'compat', 'kind', 'again', 'empty', '', 'null', None], got


def case_large():
    topic, value = prefix + '-large', b'x' * (cases.LARGE_VALUE_BYTES - 1)
    kcat('-P', '-t', topic, '-X', 'message.max.bytes=2097152', stdin=value + b'\n')
    got = kcat('-C', '-t', topic, '-e', '-q', '-o', 'beginning', '-X', 'fetch.message.max.bytes=2097152', '-D', '')
    assert got == value, 'read %d bytes back' % len(got)
    return '%d bytes' % len(value)


def case_too_large():
    error = kcat('-P', '-t', prefix + '-large', '-X', 'message.max.bytes=9999999', stdin=b'x' * 2000000 + b'\n', ok=False)
    assert 'Message size too large' in error, error
    return 'Broker: Message size too large'


def case_from_offset():
    got = read(prefix + '-codec-none', '-p', 0, '-o', 250)
    assert [m['offset'] for m in got] == list(range(250, 300)), [m['offset'] for m in got]
    tail = read(prefix + '-codec-none', '-p', 0, '-o', -10)
    assert [m['offset'] for m in tail] == list(range(290, 300)), [m['offset'] for m in tail]


def case_from_timestamp():
    every = read(prefix + '-codec-none', '-o', 'beginning')
    middle = every[150]['ts']
    first = next(m['offset'] for m in every if m['ts'] >= middle)
    got = read(prefix + '-codec-none', '-o', 's@%d' % middle)
    assert got and got[0]['offset'] == first, 'started at %r, not %d' % (got[:1], first)
    out = kcat('-Q', '-t', '%s-codec-none:0:%d' % (prefix, middle)).decode()
    assert 'offset %d' % first in out, out


def case_list_offsets():
    for what, want in ((-2, 0), (-1, 300)):
        out = kcat('-Q', '-t', '%s-codec-none:0:%d' % (prefix, what)).decode()
        assert 'offset %d' % want in out, out


def case_out_of_range():
    error = kcat('-C', '-t', prefix + '-codec-none', '-p', 0, '-o', 999999, '-e', '-X', 'auto.offset.reset=error', ok=False)
    assert 'Offset out of range' in error, error
    return 'Broker: Offset out of range'


def case_idempotent():
    topic, rows = prefix + '-idempotent', lines(200)
    kcat('-P', '-t', topic, '-K', '|', '-X', 'enable.idempotence=true',
         stdin=''.join('%s|%s\n' % row for row in rows).encode())
    assert [(m['key'], m['payload']) for m in read(topic, '-o', 'beginning')] == rows


def case_acks(acks):
    topic = '%s-acks-%s' % (prefix, acks)
    kcat('-P', '-t', topic, '-X', 'acks=%s' % acks, stdin=b'one\ntwo\n')
    got = cases.retry(lambda: len(read(topic, '-o', 'beginning')) == 2)
    assert got, 'not two records'


def case_unknown_topic():
    error = kcat('-C', '-t', prefix + '-none-such', '-e', '-X', 'allow.auto.create.topics=false', ok=False)
    assert 'Unknown topic or partition' in error, error


def case_group():
    topic, group = prefix + '-codec-gzip', prefix + '-group'
    for count in (100, 200):        # the second run goes on where the first one committed
        out = kcat('-G', group, '-q', '-c', count, '-X', 'auto.offset.reset=earliest', '-f', '%o\n', topic)
        offsets = [int(line) for line in out.split()]
        assert offsets == list(range(count - 100, count - 100 + len(offsets))) and len(offsets) == count, offsets[:3]


report.run('metadata', case_metadata)
report.run('features', case_features)
for each in cases.CODECS:
    report.run('produce-' + each, case_codec, each, topic='%s-codec-%s' % (prefix, each), codec=each)
report.run('null-and-empty', case_nulls)
report.run('headers', case_headers)
report.run('large-message', case_large)
report.run('too-large-message', case_too_large)
report.run('consume-from-offset', case_from_offset)
report.run('consume-from-timestamp', case_from_timestamp)
report.run('list-offsets', case_list_offsets)
report.run('offset-out-of-range', case_out_of_range)
report.run('idempotent', case_idempotent)
for each in (0, 1, 'all'):
    report.run('acks-%s' % each, case_acks, each)
report.run('unknown-topic', case_unknown_topic)
if '--groups' in sys.argv:
    report.run('group-consume', case_group)
