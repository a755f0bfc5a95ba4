#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping weir: times, memory at rest, and what it says when it cannot start.

    start.py --weir FILE

Figures are printed as details; the bounds here leave room for a loaded machine, tools/bench has the exact ones."""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, 'raw')]
import cases                                                                        # noqa: E402
from connection import Raw, batch                                                   # noqa: E402
from server import Server                                                           # noqa: E402


class Start:
    def __init__(self, weir):
        self.weir = weir
        self.root = tempfile.mkdtemp(prefix='weir-start-')
        self.count = 0
        self.servers = []

    def server(self, folder, settings=(), arguments=()):
        """A server that end() kills if its case failed before it could stop it."""
        self.servers.append(Server(self.weir, folder, settings, arguments))
        return self.servers[-1]

    def end(self):
        for server in self.servers:
            if server.process and server.process.poll() is None:
                server.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    def folder(self):
        """A new empty folder."""
        self.count += 1
        path = os.path.join(self.root, str(self.count))
        os.mkdir(path)
        return path

    def refused(self, *words, arguments=(), settings=(), prepare=None):
        """The start fails with exit code 1 and a message that holds these words; the message."""
        folder = self.folder()
        server = self.server(folder, settings, arguments)
        if prepare:
            prepare(server)
        done = subprocess.run(server.command, capture_output=True, text=True, timeout=20, errors='replace')
        said = (done.stdout + done.stderr).strip()
        assert done.returncode == 1, 'exit code %d: %s' % (done.returncode, said[-300:])
        missing = [word for word in words if word.lower() not in said.lower()]
        assert not missing, 'nothing of %s in: %s' % (missing, said[-400:])
        return said.splitlines()[-1][:200]

    def first_produce(self):
        """Exec to the first acknowledged produce, on an empty folder and again on what is there."""
        server = self.server(self.folder())
        took = []
        for _ in range(4):
            begin = time.monotonic()
            server.start()
            with Raw(server.bootstrap) as c:
                c.create('first')
                answer = c.produce('first', batch(b'v'))
                assert answer['error_code'] == 0, 'error %d' % answer['error_code']
            took.append((time.monotonic() - begin) * 1000)
            assert server.stop() == 0, 'exit code after SIGTERM'
        assert max(took) < 250, took
        return 'fresh %.0f ms, then %s ms' % (took[0], ', '.join('%.0f' % t for t in took[1:]))

    def banner(self):
        """Five lines, with a kcat line that works as it stands."""
        server = self.server(self.folder())
        server.start()
        lines = server.log().strip().splitlines()
        kcat = [line for line in lines if 'kcat -' in line]
        assert kcat, 'no kcat line among: %s' % lines
        command = kcat[-1][kcat[-1].index('kcat -'):]
        if shutil.which('kcat'):
            done = subprocess.run(['bash', '-c', command], input='hello\n', capture_output=True, text=True, timeout=20)
            assert done.returncode == 0, '%s: %s' % (command, done.stderr[-200:])
        assert server.stop() == 0
        assert len(lines) <= 6, '%d lines at start' % len(lines)
        return command

    def rest(self):
        """A fresh node at rest: memory, wake-ups, bytes written."""
        server = self.server(self.folder())
        server.start()
        time.sleep(2)
        wakeups, written, begin = server.wakeups(), server.written(), time.monotonic()
        time.sleep(10)
        seconds = time.monotonic() - begin
        rate, wrote, memory = (server.wakeups() - wakeups) / seconds, server.written() - written, server.memory()
        assert server.stop() == 0
        assert rate <= 2.5, '%.1f wake-ups a second' % rate
        assert memory <= 8 << 20, '%.1f MiB resident' % (memory / (1 << 20))
        assert wrote == 0, '%d bytes written at rest' % wrote
        return '%.1f MiB resident, %.1f wake-ups a second, nothing written' % (memory / (1 << 20), rate)

    def restart_with_data(self):
        """Topics, records, configuration and the cluster id are there after SIGTERM and after SIGKILL."""
        server = self.server(self.folder())
        server.start()
        with Raw(server.bootstrap) as c:
            assert c.create('kept', 3, [('retention.ms', '86400000')]) == 0
            for i in range(10):
                assert c.produce('kept', batch(b'%d' % i), partition=1)['error_code'] == 0
            before = c.call('Metadata', 10, {'topics': [{'name': 'kept', 'topic_id': bytes(16)}]})
        for end in (server.stop, server.kill):
            end()
            server.start()
            with Raw(server.bootstrap) as c:
                after = c.call('Metadata', 10, {'topics': [{'name': 'kept', 'topic_id': bytes(16)}]})
                assert after['cluster_id'] == before['cluster_id'], 'another cluster id'
                assert after['topics'][0]['topic_id'] == before['topics'][0]['topic_id'], 'another topic id'
                assert c.list_offset('kept', -1, partition=1)[1] == 10
                config = c.call('DescribeConfigs', 1, {'resources': [
                    {'resource_type': 2, 'resource_name': 'kept', 'configuration_keys': ['retention.ms']}]})
                assert config['results'][0]['configs'][0]['value'] == b'86400000', config
        assert server.stop() == 0

    def many_partitions(self):
        """A thousand partitions with a batch each: restart after SIGKILL."""
        server = self.server(self.folder())
        server.start()
        with Raw(server.bootstrap, 30) as c:
            begin = time.monotonic()
            assert c.create('many', 1000) == 0
            made = time.monotonic() - begin
            for p in range(1000):
                assert c.produce('many', batch(b'v'), partition=p)['error_code'] == 0
        server.kill()
        took = server.start()
        with Raw(server.bootstrap) as c:
            assert c.list_offset('many', -1, partition=999)[1] == 1
        memory = server.memory()
        assert server.stop() == 0
        assert took < 1, 'restart took %.0f ms' % (took * 1000)
        return 'created in %.0f ms, restart %.0f ms, %.1f MiB resident' % (made * 1000, took * 1000, memory / (1 << 20))

    def unknown_key(self):
        return self.refused('log.retention.hour', 'log.retention.hours', settings=['log.retention.hour=5'])

    def malformed_value(self):
        return self.refused('log.segment.bytes', settings=['log.segment.bytes=lots'])

    def zookeeper_key(self):
        return self.refused('zookeeper.connect', 'peers', settings=['zookeeper.connect=127.0.0.1:2181'])

    def port_in_use(self):
        holder = []

        def take(server):
            holder.append(socket.create_server(('127.0.0.1', server.port)))
        try:
            return self.refused('in use', prepare=take)
        finally:
            holder[0].close()

    def data_is_a_file(self):
        def spoil(server):
            with open(server.data, 'w') as file:
                file.write('not a folder')
        return self.refused('data', prepare=spoil)

    def data_of_another_node(self):
        folder = self.folder()
        server = self.server(folder)
        server.start()
        assert server.stop() == 0

        def use(other):
            other.command[other.command.index('--data') + 1] = server.data
        said = self.refused('id', arguments=['--id', '77'], prepare=use)
        server.start()
        assert server.stop() == 0, 'the folder was damaged'
        return said

    def data_in_use(self):
        server = self.server(self.folder())
        server.start()

        def use(other):
            other.command[other.command.index('--data') + 1] = server.data
        try:
            return self.refused(os.path.basename(server.data), prepare=use)
        finally:
            assert server.stop() == 0

    def wildcard_address(self):
        """0.0.0.0 is never advertised: the start says which flag is missing."""
        def listen(server):
            server.command[server.command.index('--listen') + 1] = '0.0.0.0:%d' % server.port
        return self.refused('advertise', prepare=listen)

    def bad_flag(self):
        done = subprocess.run([self.weir, 'server', '--dta', 'x'], capture_output=True, text=True, timeout=20)
        assert done.returncode in (1, 2) and '--dta' in done.stderr, (done.returncode, done.stderr[-200:])
        return done.stderr.strip().splitlines()[0][:200]

    def check_file(self):
        """weir server --check FILE validates and exits."""
        path = os.path.join(self.folder(), 'weir.properties')
        for text, code in (('log.retention.hours=5\n', 0), ('log.retention.hour=5\n', 1)):
            with open(path, 'w') as file:
                file.write(text)
            done = subprocess.run([self.weir, 'server', '--check', path], capture_output=True, text=True, timeout=20)
            assert done.returncode == code, '%s: exit code %d: %s' % (text.strip(), done.returncode, done.stderr[-200:])

    def low_file_limit(self):
        """An open-file limit too low to work with is said, not suffered."""
        server = self.server(self.folder())
        done = subprocess.run(['bash', '-c', 'ulimit -n 20; exec timeout 10 "$@"', 'bash'] + server.command,
                              capture_output=True, text=True, timeout=20)
        said = done.stdout + done.stderr
        assert done.returncode == 1 and ('file' in said.lower()), (done.returncode, said[-300:])
        return said.strip().splitlines()[-1][:200]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--weir', required=True)
    parser.add_argument('--json', action='store_true', help='one JSON object a case')
    arguments = parser.parse_args()
    report = cases.Report('start', plain=not arguments.json)
    start = Start(arguments.weir)
    for name in ('first_produce', 'banner', 'rest', 'restart_with_data', 'many_partitions', 'unknown_key', 'malformed_value',
                 'zookeeper_key', 'port_in_use', 'data_is_a_file', 'data_of_another_node', 'data_in_use', 'wildcard_address',
                 'bad_flag', 'check_file', 'low_file_limit'):
        report.run(name.replace('_', '-'), getattr(start, name))
    start.end()
    report.end()


if __name__ == '__main__':
    main()
