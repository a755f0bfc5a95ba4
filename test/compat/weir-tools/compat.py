#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kafka's tools for groups and for records under the product's links, beside the real ones. See common.py.

    compat.py HOST:PORT PREFIX NAME WEIR CLASS_PATH_FILE --groups"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import (SCRIPTS, TOOLS, bootstrap, cases, equal, folder, install, ours, prefix, report, run, same, theirs,           # noqa: E402
                    weir)

topic, group = prefix + '-topic', prefix + '-group'


class Member:
    """A member of a group, the product's, while the block runs."""

    def __init__(self, which, *more):
        self.command = [weir, 'consume', topic, '-b', bootstrap, '--group', which, '--from-beginning'] + list(more)

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        which = self.command[self.command.index('--group') + 1]
        assert cases.retry(lambda: 'Stable' in ours('kafka-consumer-groups', '--describe', '--group', which, '--state')[1])
        time.sleep(1)           # of the new protocol: until it says that it has its partitions
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=20) == 0


def case_install():
    install()
    assert all(os.path.islink(os.path.join(folder, t)) for t in TOOLS)
    assert os.path.islink(os.path.join(folder, 'kafka-groups.sh'))
    assert sorted(run([weir, 'tools', 'list'])[1].split()) == sorted(list(TOOLS) + SCRIPTS)
    assert ours('kafka-groups', '--version', server=False)[0] == 0


def case_console():
    run([weir, 'admin', 'topics', 'create', topic, '--partitions', '3', '-b', bootstrap])
    lines = ['key-%d:value %d' % (i, i) for i in range(50)]
    arguments = ['--topic', topic, '--property', 'parse.key=true', '--property', 'key.separator=:']
    code, out, err = ours('kafka-console-producer', *arguments, '--compression-codec', 'lz4', stdin=''.join(x + '\n' for x in lines))
    assert code == 0, err
    code, out, err = ours('kafka-console-producer', '--topic', topic, '--property', 'parse.headers=true', '--property',
                          'null.marker=NULL', stdin='a:1,b:2\twith headers\na:1\tNULL\n')
    assert code == 0, err
    read = ['--topic', topic, '--from-beginning', '--max-messages', 52, '--timeout-ms', 20000]
    same('kafka-console-consumer', *read)
    prints = ['--property', 'print.timestamp=true', '--property', 'print.partition=true', '--property', 'print.offset=true',
              '--property', 'print.headers=true', '--property', 'print.key=true']
    out = same('kafka-console-consumer', *read, *prints)
    assert 'a:1,b:2' in out and 'key-7' in out and out.count('\n') == 52, out
    same('kafka-console-consumer', *read, '--property', 'print.value=false', '--property', 'print.key=true', '--property',
         'key.separator=|', '--property', 'null.literal=none')
    same('kafka-console-consumer', '--topic', topic, '--partition', 0, '--offset', 3, '--max-messages', 2)


def case_get_offsets():
    same('kafka-get-offsets', '--topic', topic)
    same('kafka-get-offsets', '--topic', topic + ',none', '--time', 'earliest', '--partitions', '0,2')
    same('kafka-get-offsets', '--topic-partitions', prefix + '.*:1-3', '--time', -1)
    same('kafka-get-offsets', '--topic', prefix + '-none', errors=True)
    same('kafka-get-offsets', '--exclude-internal-topics')


def case_console_wrong():
    for arguments in ([], ['--topic', topic, '--offset', 3], ['--topic', topic, '--bogus']):
        assert theirs('kafka-console-consumer', *arguments)[0] == ours('kafka-console-consumer', *arguments)[0], arguments


def case_verifiable_producer():
    """The same events; the partition of keyless records is each producer's own choice, so there are keys."""
    want = theirs('kafka-verifiable-producer', '--topic', topic, '--max-messages', 4, '--repeating-keys', 2, '--value-prefix', 7)
    got = ours('kafka-verifiable-producer', '--topic', topic, '--max-messages', 4, '--repeating-keys', 2, '--value-prefix', 7)
    hide = lambda text: equal(re.sub(r'"offset":\d+', '"offset":0', text))
    assert want[0] == got[0] == 0 and hide(want[1]) == hide(got[1]), (want[1], got[1])
    assert theirs('kafka-verifiable-producer', '--help')[0] == ours('kafka-verifiable-producer', '--help')[0]


def case_verifiable_consumer():
    arguments = ['--topic', topic, '--max-messages', 60, '--verbose', '--group-id']
    want, got = (which('kafka-verifiable-consumer', *arguments, group + suffix)
                 for which, suffix in ((theirs, '-java'), (ours, '-weir')))
    assert want[0] == got[0] == 0, got[2]
    data = [[line for line in equal(out) if 'record_data' in line or 'complete' in line or 'partitions_' in line]
            for out in (want[1], got[1])]
    assert data[0] == data[1], data
    names = [set(re.findall(r'"name":"(\w+)"', out)) for out in (want[1], got[1])]
    assert names[0] == names[1] and 'offsets_committed' in names[0], names


def case_list():
    assert run([weir, 'consume', topic, '-b', bootstrap, '--group', group, '--from-beginning', '-e', '--output', 'none'])[0] == 0
    run([weir, 'produce', topic, '-b', bootstrap], stdin='more\n' * 5)
    for arguments in ([], ['--state'], ['--type'], ['--state', 'Stable'], ['--type', 'classic']):
        same('kafka-consumer-groups', '--list', *arguments)
    for arguments in (['--consumer'], ['--group-type', 'classic']):
        same('kafka-groups', '--list', *arguments)


def case_describe_empty():
    for arguments in ([], ['--members'], ['--state']):
        same('kafka-consumer-groups', '--describe', '--group', group, *arguments, errors=True)
    same('kafka-consumer-groups', '--describe', '--group', group + '-none')


def describe_live(which, *columns):
    for arguments in columns or ([], ['--members', '--verbose'], ['--state', '--verbose'], ['--offsets', '--verbose']):
        out = same('kafka-consumer-groups', '--describe', '--group', which, *arguments)
        assert which in out, out


def case_describe_classic():
    with Member(group):
        describe_live(group)


def case_describe_static():
    # A group of its own: the member keeps its place for a session after it has gone.
    with Member(group + '-static', '--group-instance-id', 'instance-1'):
        describe_live(group + '-static', ['--members'])


def case_describe_consumer_protocol():
    with Member(group + '-8', '--group-protocol', 'consumer'):
        describe_live(group + '-8')


def case_active():
    with Member(group):
        same('kafka-consumer-groups', '--group', group, '--reset-offsets', '--to-earliest', '--topic', topic, '--execute')
        same('kafka-consumer-groups', '--group', group, '--delete')
        same('kafka-consumer-groups', '--group', group, '--delete-offsets', '--topic', topic)


def case_reset():
    reset = lambda *arguments: same('kafka-consumer-groups', '--group', group, '--reset-offsets', *arguments)
    reset('--to-earliest', '--topic', topic)
    reset('--to-latest', '--all-topics', '--dry-run')
    reset('--to-offset', 9999, '--topic', topic + ':0', '--dry-run')
    reset('--to-offset', 2, '--topic', topic + ':0,1', '--execute')
    reset('--to-datetime', '2020-01-01T00:00:00.000', '--topic', topic, '--dry-run')
    reset('--by-duration', 'P1D', '--topic', topic, '--dry-run')
    csv = reset('--to-earliest', '--topic', topic, '--export', '--dry-run')
    with tempfile.NamedTemporaryFile('w', suffix='.csv') as file:
        file.write(csv.strip() + '\n')
        file.flush()
        reset('--from-file', file.name, '--dry-run')
    # Each moves what the other left.
    both = [which('kafka-consumer-groups', '--group', group, '--reset-offsets', '--topic', topic + ':0', '--shift-by', by, '--execute')
            for which, by in ((ours, 3), (theirs, -1))]
    assert [re.findall(r'(\d+)\s*$', out.strip()) for _, out, _ in both] == [['5'], ['4']], both


def case_wrong():
    for arguments in ([], ['--describe'], ['--group', group, '--reset-offsets', '--to-earliest', '--dry-run'],
                      ['--group', group, '--reset-offsets', '--topic', topic, '--dry-run'], ['--delete']):
        same('kafka-consumer-groups', *arguments, errors=True)
    assert ours('kafka-consumer-groups', '--bogus')[0] == theirs('kafka-consumer-groups', '--bogus')[0]
    same('kafka-groups', errors=True)


def case_delete():
    for deletions in (['--delete-offsets', '--topic', topic + ':0'], ['--delete-offsets', '--topic', topic + '-none']):
        same('kafka-consumer-groups', '--group', group, *deletions)
    same('kafka-consumer-groups', '--group', group + '-none', '--delete')
    assert "('%s') was successful" % group in ours('kafka-consumer-groups', '--group', group, '--delete')[1]
    assert group not in ours('kafka-consumer-groups', '--list')[1].split()


report.run('install', case_install)
report.run('console', case_console)
report.run('get-offsets', case_get_offsets)
report.run('console-wrong', case_console_wrong)
report.run('verifiable-producer', case_verifiable_producer)
if '--groups' in sys.argv:
    report.run('verifiable-consumer', case_verifiable_consumer)
    report.run('list', case_list)
    report.run('describe-empty', case_describe_empty)
    report.run('describe-classic', case_describe_classic)
    report.run('describe-static', case_describe_static)
    report.run('describe-consumer-protocol', case_describe_consumer_protocol)
    report.run('active', case_active)
    report.run('reset', case_reset)
    report.run('wrong', case_wrong)
    report.run('delete', case_delete)
