#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The compatibility suite: real, unmodified Kafka clients against a broker.

    run.py [--bootstrap HOST:PORT] [--weir FILE] [--set KEY=VALUE] [--only CLIENT[,CLIENT]] [--json] [--no-groups] [--transactions] [--data DIR] [--cluster]

Without --bootstrap a fresh `weir server` is started on a free port with an empty data folder, and stopped at the end; with
--cluster it is three of them, whose topics get three replicas by default; clients are told one of them. Every
client is installed first (install.sh, cached) and reported as skipped by name when that fails. The last line is
`N passed, N failed, N skipped`; the exit code is 1 when anything failed."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.join(HERE, '..', '..')
CACHE = os.environ.get('WEIR_CLIENT_CACHE') or os.path.expanduser('~/.cache/weir-clients')
CLIENT_SECONDS = 240
# A JVM for each comparison; session timeouts.
SLOW_CLIENTS = {'weir-tools': 480, 'weir-tools-admin': 600, 'rebalance': 600}
sys.path.insert(0, HERE)
import batches                                                                      # noqa: E402
from server import Cluster, Server                                                           # noqa: E402


def java(*arguments):
    return ['java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Dorg.slf4j.simpleLogger.defaultLogLevel=error'] + list(arguments)


def class_path(name):
    """The class path that install.sh wrote; empty before it did."""
    path = os.path.join(CACHE, name + '.classpath')
    return open(path).read().strip() if os.path.exists(path) else ''


def cached(*parts):
    return os.path.join(CACHE, *parts)


def local(*parts):
    return os.path.join(HERE, *parts)


# Name: the command that runs the client's cases, given bootstrap address, prefix for topic names, and name.
CLIENTS = {
    'kcat': lambda: [sys.executable, local('kcat', 'compat.py')],
    'confluent': lambda: [cached('py-confluent', 'bin', 'python'), local('confluent', 'compat.py')],
    'kafka-python-2.0.2': lambda: [cached('py-kafka-python-2.0.2', 'bin', 'python'), local('kafka-python', 'compat.py')],
    'kafka-python': lambda: [cached('py-kafka-python', 'bin', 'python'), local('kafka-python', 'compat.py')],
    'java': lambda: java('-cp', cached('java') + ':' + class_path('kafka-clients-4.4.0'), 'Compat'),
    'java-3.9': lambda: java('-cp', cached('java-3.9') + ':' + class_path('kafka-clients-3.9.1'), 'Compat'),
    'java-tools': lambda: [sys.executable, local('java', 'tools.py')],
    'franz-go': lambda: [cached('bin', 'franz-go')],
    'sarama': lambda: [cached('bin', 'sarama')],
    'kafka-go': lambda: [cached('bin', 'kafka-go')],
    'kafka-go-0.4.47': lambda: [cached('bin', 'kafka-go-0.4.47')],
    'kafkajs': lambda: ['node', local('kafkajs', 'compat.js')],
    'platformatic': lambda: ['node', local('platformatic', 'compat.js')],
    'weir-cli': lambda: [sys.executable, local('weir-cli', 'compat.py')],
    'weir-tools': lambda: [sys.executable, local('weir-tools', 'compat.py')],
    'weir-tools-admin': lambda: [sys.executable, local('weir-tools', 'admin.py')],
    'raw': lambda: [sys.executable, local('raw', 'compat.py')],
}
WEIR_TOOLS = ('weir-tools', 'weir-tools-admin')
# What needs nothing but Python and the product. All but start run only when they are named: tools/test has stages for them.
OWN = {
    'start': lambda weir: [sys.executable, local('start.py'), '--json', '--weir', weir],
    'kill9': lambda weir: [sys.executable, local('kill9.py'), '--json', '--weir', weir],
    'rebalance': lambda weir: [sys.executable, local('rebalance.py'), '--json', '--weir', weir],
    'compaction': lambda weir: [sys.executable, local('compaction.py'), '--json', '--weir', weir],
    'readme': lambda weir: [sys.executable, local('readme.py'), '--json', '--weir', weir],
}


class Broker(Server):
    """A weir server with an empty data folder, for all clients."""

    def __init__(self, weir, settings):
        self.folder = tempfile.mkdtemp(prefix='weir-compat-')
        super().__init__(weir, self.folder, settings)
        try:
            self.start()
        except AssertionError as error:
            raise SystemExit(str(error)) from None

    def gone(self):
        return self.process.poll() is not None

    def end(self):
        """Ends the server; a short text when it did not end well."""
        if self.process.poll() is not None:
            return 'the broker died: exit code %d; %s; see %s' % (self.process.returncode, self.log()[-1500:], self.folder)
        try:
            code = self.stop()
        except AssertionError as error:
            return '%s; see %s' % (error, self.folder)
        if code != 0:
            return 'the broker ended with %d; %s; see %s' % (code, self.log()[-1500:], self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        return ''


class ThreeBrokers(Cluster):
    """Three weir servers that are one cluster, in place of the one. Topics have three replicas unless a client says otherwise."""

    data = None         # the partitions' leaders lie on all of them: stored codecs are not looked at

    def __init__(self, weir, settings):
        super().__init__(weir, tempfile.mkdtemp(prefix='weir-compat-'), 3,
                         ['default.replication.factor=3', 'group.initial.rebalance.delay.ms=0'] + list(settings))
        try:
            self.start()
        except AssertionError as error:
            self.kill()
            raise SystemExit(str(error)) from None
        self.bootstrap = self.nodes[1].bootstrap    # one is enough to find the others

    def gone(self):
        return len(self.alive()) < 3

    def end(self):
        """Ends the servers; a short text when they did not end well."""
        died = self.gone()
        try:
            codes = self.stop()
        except AssertionError as error:
            self.kill()
            return '%s; see %s' % (error, self.folder)
        if died or any(codes):
            return 'nodes ended with %s; %s; see %s' % ([node.process.returncode for node in self.nodes], self.log_ends(), self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        return ''


class Totals:
    """Counts and prints the cases as they come."""

    def __init__(self, as_json):
        self.as_json = as_json
        self.passed = self.failed = self.skipped = 0

    def add(self, line):
        result = line['result']
        self.passed += result == 'ok'
        self.failed += result == 'failed'
        self.skipped += result == 'skipped'
        if self.as_json:
            print(json.dumps(line), flush=True)
        else:
            print('%-7s %-18s %-32s %s' % (result, line['client'], line['case'], line.get('detail', '')[:300]), flush=True)

    def summary(self):
        print('%d passed, %d failed, %d skipped' % (self.passed, self.failed, self.skipped))


def check_codec(line, data):
    """Clients drop a codec silently: what lies on disk must carry the one that was asked for."""
    if 'codec' not in line or line['result'] != 'ok' or not data:
        return
    try:
        codecs, count = batches.stored_codecs(data, line['topic'])
    except batches.BadBatch as error:
        codecs, count = {'unreadable: %s' % error}, 1
    if codecs == {line['codec']}:
        line['detail'] = (line.get('detail') or 'ok') + ', stored as %s in %d batches' % (line['codec'], count)
    else:
        line['result'] = 'failed'
        line['detail'] = 'asked for %s, stored %d batches as %s' % (line['codec'], count, ', '.join(sorted(codecs)) or 'nothing')


def check_dump(line, data, weir):
    """The product's own log dump must say the same, batch by batch."""
    if 'codec' not in line or line['result'] != 'ok' or not data or not weir:
        return
    for folder in batches.partition_folders(data, line['topic']).values():
        done = subprocess.run([weir, 'admin', 'log', 'dump', '--json', folder], capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            line.update(result='failed', detail='weir admin log dump: exit %d: %s' % (done.returncode, done.stderr[-200:]))
            return
        said = [json.loads(text) for text in done.stdout.splitlines()]
        got = [(b['base_offset'], b['last_offset'], b['codec'], b['crc_valid']) for b in said if b['type'] == 'batch']
        want = [(b.base_offset, b.last_offset, b.codec, True) for b in batches.read_log(folder)]
        if got != want:
            line.update(result='failed', detail='weir admin log dump %s: %r, stored are %r' % (folder, got[:3], want[:3]))
            return


def run_program(name, command, totals, data, weir, environment=None):
    """Runs one client's program and takes its lines; whatever else goes wrong with it is a failed case."""
    begin, limit = time.monotonic(), SLOW_CLIENTS.get(name, CLIENT_SECONDS)
    with tempfile.TemporaryFile('w+', errors='replace') as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        late = threading.Timer(limit, process.kill)
        late.start()
        lines, failed = 0, totals.failed
        for text in process.stdout:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            lines += 1
            check_codec(line, data)
            check_dump(line, data, weir)
            totals.add(line)
        code = process.wait()
        late.cancel()
        errors.seek(0)
        tail = ' | '.join(errors.read().strip().splitlines()[-6:])
    seconds = time.monotonic() - begin
    if seconds >= limit:
        totals.add(dict(client=name, case='program', result='failed', detail='killed after %d s: %s' % (limit, tail)))
    elif not lines or (code != 0 and totals.failed == failed):
        totals.add(dict(client=name, case='program', result='failed', detail='exit %d after %d cases: %s' % (code, lines, tail)))


def client_command(name, bootstrap, arguments, data, broker, weir):
    prefix = 'c%d-%s' % (os.getpid() % 10000, name.replace('.', '-'))
    command = CLIENTS[name]() + [bootstrap, prefix, name]
    if name == 'java-tools':
        command.append(cached('kafka-4.1.1.classpath'))
    if name == 'weir-cli':
        command.append(weir)
    if name in WEIR_TOOLS:
        command += [weir, cached('kafka-4.1.1.classpath')]
    if name in ('java-tools', 'raw', 'weir-cli', 'weir-tools-admin') and data:
        command += ['--data', data]
    if name == 'raw' and isinstance(broker, Broker):
        command += ['--weir', '--pid', str(broker.process.pid), '--log', broker.log_path]
    if arguments.groups:
        command.append('--groups')
    if arguments.transactions:
        command.append('--transactions')
    return command


def run_client(name, broker, totals, arguments, weir):
    """Installs and runs one client."""
    if name in ('weir-cli',) + WEIR_TOOLS and not weir:
        totals.add(dict(client=name, case='all', result='skipped', detail='%s is not built' % arguments.weir))
        return
    if name not in ('raw', 'weir-cli'):
        needed = 'java-tools' if name in WEIR_TOOLS else name
        subprocess.run([local('install.sh'), needed], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if os.path.exists(cached(needed + '.missing')):
            reason = open(cached(needed + '.missing')).read().strip()
            totals.add(dict(client=name, case='install', result='skipped', detail='cannot be installed: ' + reason))
            return
    environment = dict(os.environ, NODE_PATH=cached('node-' + name, 'node_modules'))
    bootstrap = broker.bootstrap if broker else arguments.bootstrap
    data = broker.data if broker else arguments.data
    run_program(name, client_command(name, bootstrap, arguments, data, broker, weir), totals, data, weir, environment)


def main():
    parser = argparse.ArgumentParser(description='Real Kafka clients against a broker.')
    parser.add_argument('--bootstrap', metavar='HOST:PORT', help='a broker that runs; default: start weir')
    parser.add_argument('--weir', metavar='FILE', default=os.path.join(REPOSITORY, 'build', 'weir'), help='default: build/weir')
    parser.add_argument('--only', metavar='CLIENT', help='these of: ' + ', '.join(list(CLIENTS) + list(OWN)))
    parser.add_argument('--json', action='store_true', help='one JSON object a case')
    parser.add_argument('--no-groups', dest='groups', action='store_false', help='without the cases of consumer groups')
    parser.add_argument('--transactions', action='store_true', help='the cases of transactions too')
    parser.add_argument('--data', metavar='DIR', help="the broker's data folder, to check stored codecs (with --bootstrap)")
    parser.add_argument('--cluster', action='store_true', help='start three nodes instead of one')
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE', help='a setting of the weir that is started')
    arguments = parser.parse_args()
    names = arguments.only.split(',') if arguments.only else list(CLIENTS) + ['start']
    for name in names:
        if name not in CLIENTS and name not in OWN:
            parser.error('no client %s; known: %s' % (name, ', '.join(list(CLIENTS) + list(OWN))))
    weir = os.path.abspath(arguments.weir) if os.access(arguments.weir, os.X_OK) else None
    if not arguments.bootstrap and not weir:
        parser.error('%s is not there: build it with tools/build, or give --bootstrap' % arguments.weir)

    totals = Totals(arguments.json)
    kind = ThreeBrokers if arguments.cluster else Broker
    broker = None if arguments.bootstrap or not set(names) & set(CLIENTS) else kind(weir, arguments.set)
    try:
        for name in names:
            if name in CLIENTS:
                run_client(name, broker, totals, arguments, weir)
                if broker and broker.gone():
                    totals.add(dict(client=name, case='broker-alive', result='failed', detail=broker.end()))
                    broker = kind(weir, arguments.set)
            elif weir and not arguments.bootstrap:
                run_program(name, OWN[name](weir), totals, None, weir)
            else:
                totals.add(dict(client=name, case='all', result='skipped', detail='works only with a weir of its own'))
    finally:
        problem = broker.end() if broker else ''
    if problem:
        totals.add(dict(client='broker', case='stop', result='failed', detail=problem))
    totals.summary()
    sys.exit(1 if totals.failed or not totals.passed else 0)


if __name__ == '__main__':
    main()
