#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of README.md, word for word.

    readme.py --weir FILE [--readme FILE]

A fenced block of `sh` is run when the line before it is `<!-- tested -->`; with `<!-- tested: background -->` it is a server that
runs until the end, and the next block waits until 127.0.0.1:9092 answers; `background 9192 9292` names the ports of a cluster, whose
nodes must all know as many brokers. The blocks share one working folder, a copy-free view of
the repository: tools/run may build, data goes to a temporary folder by STATE_DIRECTORY. A ```text block right behind a tested one
is what it prints."""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.abspath(os.path.join(HERE, '..', '..'))
sys.path.insert(0, HERE)
import cases                                                                        # noqa: E402

BLOCK = re.compile(r'<!-- tested(?:: (background(?: \d+)*))? -->\n```sh\n(.*?)```\n(?:\n?```text\n(.*?)```\n)?', re.S)


def answers(port):
    """Whether something listens there."""
    try:
        socket.create_connection(('127.0.0.1', port), 1).close()
        return True
    except OSError:
        return False


def brokers(weir, port):
    """How many brokers the node at a port knows."""
    done = subprocess.run([weir, 'admin', 'brokers', 'list', '--json', '-b', '127.0.0.1:%d' % port], capture_output=True, text=True,
                          timeout=60)
    return len(json.loads(done.stdout)['brokers']) if done.returncode == 0 else 0


class Session:
    def __init__(self, weir):
        self.weir = weir
        self.state = tempfile.mkdtemp(prefix='weir-readme-')
        self.environment = dict(os.environ, STATE_DIRECTORY=os.path.join(self.state, 'data'), TMPDIR=self.state,
                                PATH=os.path.dirname(weir) + ':' + os.environ['PATH'])
        self.background = []

    def run(self, background, commands, output):
        """One block."""
        if background:
            ports = [int(word) for word in background.split()[1:]] or [9092]
            if any(answers(port) for port in ports):
                raise cases.Skip('something else listens on 127.0.0.1, ports %s' % ports)
            self.background.append(subprocess.Popen(['bash', '-e', '-c', commands], cwd=REPOSITORY, env=self.environment,
                                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True))
            for port in ports:
                if not cases.retry(lambda port=port: answers(port), 120):
                    raise AssertionError('nothing answers on 127.0.0.1:%d' % port)
            for port in ports if len(ports) > 1 else []:    # a person takes longer to go on than they do to register
                if not cases.retry(lambda port=port: brokers(self.weir, port) == len(ports), 30):
                    raise AssertionError('127.0.0.1:%d knows %d brokers' % (port, brokers(self.weir, port)))
            return 'answers'
        done = subprocess.run(['bash', '-e', '-o', 'pipefail', '-c', commands], cwd=REPOSITORY, env=self.environment,
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, 'exit code %d: %s' % (done.returncode, (done.stdout + done.stderr)[-400:])
        if output is not None:
            assert done.stdout.strip() == output.strip(), 'prints %r, README says %r' % (done.stdout, output)
        return commands.strip().splitlines()[0]

    def end(self):
        for process in self.background:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        time.sleep(0.1)
        shutil.rmtree(self.state, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--weir', required=True)
    parser.add_argument('--readme', default=os.path.join(REPOSITORY, 'README.md'))
    parser.add_argument('--json', action='store_true', help='one JSON object a case')
    arguments = parser.parse_args()
    report = cases.Report('readme', plain=not arguments.json)
    blocks = BLOCK.findall(open(arguments.readme).read()) if os.path.exists(arguments.readme) else []
    if not blocks:
        report.emit('blocks', 'skipped', 'README.md has no tested blocks')
    session = Session(arguments.weir)
    try:
        for number, (background, commands, output) in enumerate(blocks, 1):
            report.run('block-%d' % number, session.run, background, commands, output or None)
    finally:
        session.end()
    report.end()


if __name__ == '__main__':
    main()
