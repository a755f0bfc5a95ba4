# SPDX-License-Identifier: Apache-2.0
"""What the fault cases share: a broker of their own with chosen settings, its figures from /proc, and its end."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
COMPAT = os.path.join(HERE, '..', 'compat')
sys.path[:0] = [COMPAT, os.path.join(COMPAT, 'raw')]
import batches                                                                      # noqa: E402,F401
import wire                                                                         # noqa: E402,F401
from connection import Closed, Raw, batch, fetch_body, produce_body                 # noqa: E402,F401
from server import Server                                                           # noqa: E402

MIB = 1 << 20


class Skip(Exception):
    """The case cannot run here; the text says why."""


class Node(Server):
    """One broker in a folder of its own. As a context it is stopped at the end and must end well."""

    ports = [0]

    def __init__(self, weir, settings=(), arguments=(), data=None, files=None, environment=None):
        self.folder = tempfile.mkdtemp(prefix='weir-faults-')
        super().__init__(weir, self.folder, settings, arguments)
        if data:
            self.command[self.command.index('--data') + 1] = data
            self.data = data
        if Node.ports[0]:
            Node.ports[0] += 1
            self.port = Node.ports[0]
            old, self.bootstrap = self.bootstrap, '127.0.0.1:%d' % self.port
            self.command = [word.replace(old, self.bootstrap) for word in self.command]
        self.files = files
        self.environment = environment

    def start(self, seconds=30):
        begin = time.monotonic()
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))) if self.files else None
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT, preexec_fn=limit,
                                            env=self.environment)
        while True:
            try:
                Raw(self.bootstrap, 1).sock.close()
                return time.monotonic() - begin
            except OSError:
                if self.process.poll() is not None:
                    raise AssertionError('weir ended with %d: %s' % (self.process.returncode, self.log()[-1500:])) from None
                if time.monotonic() - begin > seconds:
                    raise AssertionError('weir does not listen after %d s: %s' % (seconds, self.log()[-1500:])) from None
                time.sleep(0.002)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        alive = self.process.poll() is None
        if kind is not None:
            if alive:
                self.kill()
            print('  log of the broker: %s' % self.log()[-3000:], file=sys.stderr)
        else:
            assert alive, 'weir died with %s: %s' % (self.process.returncode, self.log()[-2500:])
            code = self.stop()
            assert code == 0, 'exit code %d: %s' % (code, self.log()[-2500:])
        shutil.rmtree(self.folder, ignore_errors=True)
        return False

    def grown(self, before, most):
        """Fails when resident memory rose by more; under a sanitizer, which keeps what is freed, nothing is said."""
        rose = self.memory() - before
        assert rose <= most or self.sanitized(), 'memory grew by %d KiB, more than %d' % (rose >> 10, most >> 10)
        return rose

    def sanitized(self):
        with open('/proc/%d/maps' % self.process.pid) as file:
            return any('libasan' in line or 'libtsan' in line for line in file)

    def patience(self):
        """Seconds in which an honest client must be served; a sanitizer costs several times the work."""
        return 3 if self.sanitized() else 1

    def raw(self, seconds=10):
        return Raw(self.bootstrap, seconds)

    def refuse(self):
        """Starts it expecting a refusal: exit code 1; what it said."""
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))) if self.files else None
        done = subprocess.run(self.command, capture_output=True, text=True, timeout=15, preexec_fn=limit,
                              env=self.environment, errors='replace')
        said = done.stdout + done.stderr
        shutil.rmtree(self.folder, ignore_errors=True)
        assert done.returncode == 1, 'exit code %d: %s' % (done.returncode, said[-500:])
        return said

    def processor_seconds(self):
        with open('/proc/%d/stat' % self.process.pid) as file:
            words = file.read().rsplit(')', 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf('SC_CLK_TCK')

    def descriptors(self):
        return len(os.listdir('/proc/%d/fd' % self.process.pid))

    def said(self, *words, seconds=3):
        """Waits until the log holds all words in one line."""
        end = time.monotonic() + seconds
        while True:
            for line in self.log().splitlines():
                if all(word in line for word in words):
                    return line
            assert time.monotonic() < end, 'nothing of %s in the log: %s' % (words, self.log()[-800:])
            time.sleep(0.05)

    def signal_stop(self):
        self.process.send_signal(signal.SIGTERM)


class Background:
    """Threads that run a function until told to stop; what they raise comes back at the end."""

    def __init__(self, function, count=1):
        self.over = threading.Event()
        self.errors, self.done = [], 0
        self.threads = [threading.Thread(target=self.run, args=(function, n), daemon=True) for n in range(count)]

    def run(self, function, number):
        try:
            function(self, number)
        except Exception as error:                                     # pylint: disable=broad-except
            self.errors.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(15)

    def __exit__(self, kind, *_):
        self.stop()
        if kind is None and self.errors:
            raise self.errors[0]
        return False


def until(what, seconds, message):
    """Waits until what() is true; its value."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, message() if callable(message) else message
        time.sleep(0.02)


def timed(function, *arguments, **options):
    """(seconds, result)."""
    begin = time.monotonic()
    result = function(*arguments, **options)
    return time.monotonic() - begin, result
