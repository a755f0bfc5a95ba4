#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Consumer groups of real clients while members join, leave and are killed, and while the broker is.

    rebalance.py --weir FILE [--long] [--only CASE[,CASE]] [--clients KIND[,KIND]] [--keep]

two-five-two: every kind of client reads twelve partitions that are written to all the time, with two, five and two members:
each record once and in order. Then one member is killed, then the broker: only what follows the last commit comes again.
The other cases count rebalances, and measure what groups cost. --long: all clients, 50 members, 10,000 groups."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, 'raw')]
import cases                                                                        # noqa: E402
import fleet                                                                        # noqa: E402
import group_load                                                                   # noqa: E402
import groups                                                                       # noqa: E402
from connection import Raw                                                          # noqa: E402
from run import cached, class_path, java, local                                     # noqa: E402
from server import Server                                                           # noqa: E402

TOPIC, PARTITIONS, SESSION_MS = 'moving', 12, 6000
SETTINGS = ['group.initial.rebalance.delay.ms=200', 'group.consumer.heartbeat.interval.ms=500',
            'group.consumer.min.heartbeat.interval.ms=500', 'group.consumer.session.timeout.ms=%d' % SESSION_MS,
            'group.consumer.min.session.timeout.ms=%d' % SESSION_MS]
CLASSIC = ['session.timeout.ms=%d' % SESSION_MS, 'heartbeat.interval.ms=500', 'topic.metadata.refresh.interval.ms=5000']
FRESH = ['group.protocol=consumer', 'topic.metadata.refresh.interval.ms=5000']


# ------------------------------------------------------------------------------------------------ kinds of clients

def confluent_member(*options):
    def start(server, group, name):
        program = fleet.Program(group, fleet.confluent(server.bootstrap, TOPIC, group.name), commands=True)
        program.command('start', name, *options)
        return program
    return start


def program_member(command, *options, **environment):
    """A client with one member a process, that leaves on SIGTERM."""
    def start(server, group, name):
        return fleet.Program(group, command() + [server.bootstrap, TOPIC, group.name, name] + list(options),
                             environment=dict(os.environ, **environment))
    return start


def kcat_member(server, group, name):
    options = ['auto.offset.reset=earliest', 'auto.commit.interval.ms=500'] + CLASSIC[:2]
    return fleet.Program(group, ['kcat', '-b', server.bootstrap, '-u', '-f', 'r %s %%p %%o\n' % name] +
                         [word for option in options for word in ('-X', option)] + ['-G', group.name, TOPIC])


def java_member(name, release, *options):
    return program_member(lambda: java('-Xmx96m', '-cp', cached(name) + ':' + class_path('kafka-clients-' + release), 'Member'),
                          *options)


def python_member(name):
    return program_member(lambda: [cached(name, 'bin', 'python'), local('kafka-python', 'member.py')])


def go_member(name):
    return lambda server, group, member: fleet.Program(group, [cached('bin', name), server.bootstrap, TOPIC, group.name,
                                                               '--member', member])


# Name: (what install.sh calls the client, its member, whether its clean joins and leaves repeat nothing).
KINDS = {
    'confluent-range': ('confluent', confluent_member('partition.assignment.strategy=range', *CLASSIC), True),
    'confluent-roundrobin': ('confluent', confluent_member('partition.assignment.strategy=roundrobin', *CLASSIC), True),
    'confluent-cooperative': ('confluent', confluent_member('partition.assignment.strategy=cooperative-sticky', *CLASSIC), True),
    'confluent-consumer': ('confluent', confluent_member(*FRESH), True),
    'kcat': ('kcat', kcat_member, True),
    'kafka-python': ('kafka-python', python_member('py-kafka-python'), True),
    'kafka-python-2.0.2': ('kafka-python-2.0.2', python_member('py-kafka-python-2.0.2'), True),
    # It has no callback to commit in when partitions go: what it had read of them may come again.
    'kafkajs': ('kafkajs', program_member(lambda: ['node', local('kafkajs', 'member.js')],
                                          NODE_PATH=cached('node-kafkajs', 'node_modules')), False),
    'franz-go': ('franz-go', go_member('franz-go'), True),
    'sarama': ('sarama', go_member('sarama'), True),
    'kafka-go': ('kafka-go', go_member('kafka-go'), True),
    'java': ('java', java_member('java', '4.4.0', *CLASSIC[:2]), True),
    'java-consumer': ('java', java_member('java', '4.4.0', 'group.protocol=consumer'), True),
    'java-3.9': ('java-3.9', java_member('java-3.9', '3.9.1', *CLASSIC[:2]), True),
}
BATCHES = [['confluent-range', 'confluent-roundrobin', 'confluent-cooperative', 'confluent-consumer'],
           ['kafka-python', 'kafkajs', 'franz-go', 'sarama', 'kafka-go']]
# kcat counts a record as read before it prints it: one that is told to leave in between loses the line.
LONG_BATCHES = BATCHES + [['java', 'java-consumer'], ['java-3.9', 'kafka-python-2.0.2', 'kcat']]


def installed(client):
    """The reason why not, or nothing."""
    subprocess.run([local('install.sh'), client], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    path = cached(client + '.missing')
    if not os.path.exists(path):
        return ''
    with open(path) as file:
        return file.read().strip()


# ------------------------------------------------------------------------------------------------ two, five, two

class Parade:
    """Groups of some kinds on one topic, taken through the same steps at once; a case for each kind and step."""

    def __init__(self, report, server, kinds):
        self.report, self.server, self.feed, self.groups = report, server, None, {}
        for kind in kinds:
            reason = installed(KINDS[kind][0])
            if reason:
                report.emit('two-five-two.' + kind, 'skipped', 'cannot be installed: ' + reason)
                continue
            self.groups[kind] = fleet.Group('group-' + kind, TOPIC, PARTITIONS,
                                            lambda group, name, member=KINDS[kind][1]: member(server, group, name))

    def each(self, step):
        """step(kind, group) for all groups at once; {kind: result or what it raised}."""
        results = {}

        def one(kind, group):
            try:
                results[kind] = step(kind, group)
            except Exception as error:      # becomes the failure of its case
                results[kind] = error
        threads = [threading.Thread(target=one, args=item) for item in self.groups.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def conclude(self, name, results, check):
        """Waits until all was read, checks it and reports; a group that failed is given up."""
        ends = self.feed.pause()

        def finish(kind, group):
            if isinstance(results[kind], Exception):
                raise results[kind]
            group.read_all(ends)
            return check(kind, group, results[kind])
        for kind, result in self.each(finish).items():
            failed = isinstance(result, Exception)
            self.report.emit('%s.%s' % (name, kind), 'failed' if failed else 'ok', result)
            if failed:
                self.groups.pop(kind).end()

    def clean(self):
        def step(_, group):
            group.start(2)
            took = [group.settle()]
            time.sleep(1)
            group.start(3)
            took.append(group.settle())
            time.sleep(1)
            group.leave(3)
            took.append(group.settle())
            return took

        def check(kind, group, took):
            again = group.check(None if KINDS[kind][2] else dict.fromkeys(range(PARTITIONS), 0))
            count = sum(len(seen) for seen in group.seen.values())
            return '%d records, %d again; settled after %s s' % (count, again, ', '.join('%.1f' % t for t in took))
        self.feed.running.set()
        self.conclude('two-five-two', self.each(step), check)

    def killed(self):
        def step(_, group):
            floor = fleet.committed(self.server.bootstrap, group.name, TOPIC, PARTITIONS)
            group.kill()
            took = group.settle(SESSION_MS / 1000 + 15)
            assert took < SESSION_MS / 1000 + 6, '%s: reassigned only after %.1f s' % (group.name, took)
            return floor, took

        def check(_, group, result):
            return '%d records again, all past the last commit; reassigned after %.1f s' % (group.check(result[0]), result[1])
        self.feed.running.set()
        time.sleep(1.2)
        self.conclude('killed-member', self.each(step), check)

    def restarted(self):
        def join(_, group):
            group.start(1)
            group.settle()
        self.feed.running.set()
        joined = self.each(join)
        time.sleep(1)
        floors = self.each(lambda _, group: fleet.committed(self.server.bootstrap, group.name, TOPIC, PARTITIONS))
        self.server.kill()
        self.server.start()
        time.sleep(3)

        def step(kind, group):
            if isinstance(joined[kind], Exception):
                raise joined[kind]
            group.replace_ended()           # kcat ends when it has no broker
            group.settle()
            return floors[kind]

        def check(_, group, floor):
            return '%d records again, all past the last commit' % group.check(floor)
        self.conclude('broker-killed', self.each(step), check)

    def run(self):
        with Raw(self.server.bootstrap) as c:
            assert c.create(TOPIC, PARTITIONS) == 0
            groups.coordinator(c, 'any')
        self.feed = fleet.Feed(self.server.bootstrap, TOPIC, PARTITIONS)
        try:
            self.clean()
            self.killed()
            self.restarted()
            self.each(lambda _, group: group.leave(2))
        finally:
            self.feed.stop()
            for group in self.groups.values():
                group.end()


# ------------------------------------------------------------------------------------------------ main

def with_server(arguments, name, settings, run, server_arguments=()):
    """run(server) with a fresh one; its data goes afterwards unless something failed."""
    folder = tempfile.mkdtemp(prefix='weir-%s-' % name)
    server = Server(arguments.weir, folder, settings, server_arguments)
    try:
        server.start()
        result = run(server)
        code = server.stop()
        assert code == 0, 'exit code %d' % code
    finally:
        if server.process and server.process.poll() is None:
            server.kill()
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--weir', required=True)
    parser.add_argument('--long', action='store_true', help='all clients, 50 members, 10,000 groups')
    parser.add_argument('--only', help='cases by name: two-five-two ' + ' '.join(group_load.CASES))
    parser.add_argument('--clients', help='kinds of clients: ' + ' '.join(KINDS))
    parser.add_argument('--keep', action='store_true', help='leave the data folders behind')
    parser.add_argument('--json', action='store_true', help='one JSON object a case')
    arguments = parser.parse_args()
    report = cases.Report('groups', plain=not arguments.json)
    only = arguments.only.split(',') if arguments.only else ['two-five-two'] + list(group_load.CASES)
    if 'two-five-two' in only:
        for kinds in [arguments.clients.split(',')] if arguments.clients else LONG_BATCHES if arguments.long else BATCHES:
            with_server(arguments, 'rebalance', SETTINGS, lambda server, kinds=kinds: Parade(report, server, kinds).run())
    for name, (run, settings) in group_load.CASES.items():
        if name in only:
            report.run(name, lambda run=run, settings=settings, name=name: with_server(
                arguments, name, settings, lambda server: run(server, arguments)))
    report.end()


if __name__ == '__main__':
    main()
