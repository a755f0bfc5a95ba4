# SPDX-License-Identifier: Apache-2.0
"""Starting, watching, killing and stopping a weir of one's own."""

import os
import random
import resource
import signal
import socket
import struct
import subprocess
import time


handed_out = set()
share = [0, 1]      # k and n: of n processes that draw ports side by side this is the k-th


def free_port():
    """A port of loopback that nothing listens on now; the same number serves over restarts. Never the same twice, and none
    that the kernel gives to an outgoing connection: a node that dials a peer not yet there would take its port otherwise."""
    with open('/proc/sys/net/ipv4/ip_local_port_range') as file:
        first_outgoing = int(file.read().split()[0])
    while True:
        port = random.randrange(10000 + share[0], first_outgoing, share[1])
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(('127.0.0.1', port))
            except OSError:
                continue
        if port not in handed_out:
            handed_out.add(port)
            return port


class Server:
    """One weir server process; started again it keeps address and data folder. Its output goes to a file. prefix: a command
    that becomes the server, as nsenter does."""

    def __init__(self, weir, folder, settings=(), arguments=(), port=None, host='127.0.0.1', prefix=()):
        self.weir, self.data = weir, os.path.join(folder, 'data')
        self.log_path = os.path.join(folder, 'log')
        self.host, self.port = host, port or free_port()
        self.bootstrap = '%s:%d' % (host, self.port)
        self.command = list(prefix) + [weir, 'server', '--data', self.data, '--listen', self.bootstrap] + list(arguments)
        for setting in settings:
            self.command += ['--set', setting]
        self.process = None

    def start(self, seconds=30):
        """Starts it and waits until it answers a request; the seconds that took."""
        begin = time.monotonic()
        self.begin()
        self.answers(begin, seconds)
        return time.monotonic() - begin

    def begin(self):
        """Starts it and does not wait."""
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT)

    def answers(self, begin, seconds=30):
        """Waits until it answers a request."""
        while True:
            try:
                with socket.create_connection((self.host, self.port), 1) as sock:
                    sock.sendall(struct.pack('>ihhih', 10, 18, 0, 1, -1))       # ApiVersions 0
                    if sock.recv(4):
                        return
            except OSError:
                if self.process.poll() is not None:
                    raise AssertionError('weir ended with %d: %s' % (self.process.returncode, self.log()[-1500:])) from None
                if time.monotonic() - begin > seconds:
                    raise AssertionError('weir does not listen after %d s: %s' % (seconds, self.log()[-1500:])) from None
                time.sleep(0.0005)

    def log(self):
        with open(self.log_path, errors='replace') as file:
            return file.read()

    def kill(self):
        """SIGKILL, at once. Returns when the kernel has let go of the listening socket: it does so a little after the process
        is gone, and until then a connection to it succeeds and is reset."""
        self.process.kill()
        self.process.wait()
        end = time.monotonic() + 5
        while time.monotonic() < end:
            try:
                socket.create_connection((self.host, self.port), 1).close()
            except ConnectionRefusedError:
                return
            except OSError:
                pass
            time.sleep(0.001)

    def stop(self, seconds=20):
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError('weir did not end within %d s of SIGTERM' % seconds) from None
        return self.process.returncode

    def memory(self):
        """Resident bytes."""
        with open('/proc/%d/statm' % self.process.pid) as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def wakeups(self):
        """Voluntary context switches of all threads so far."""
        total = 0
        for task in os.listdir('/proc/%d/task' % self.process.pid):
            with open('/proc/%d/task/%s/status' % (self.process.pid, task)) as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith('voluntary_ctxt'))
        return total

    def written(self):
        """Bytes it caused to be written to disks."""
        with open('/proc/%d/io' % self.process.pid) as file:
            return next(int(line.split()[1]) for line in file if line.startswith('write_bytes'))


class Cluster:
    """Several nodes of one cluster, each a Server with a data folder of its own. places: host and prefix of each; else all
    are on loopback."""

    def __init__(self, weir, folder, count=3, settings=(), port=free_port, places=None):
        self.weir, self.folder = weir, folder
        places = places or [('127.0.0.1', ())] * count
        listen, peer = [port() for _ in range(count)], [port() for _ in range(count)]
        peers = ','.join('%d@%s:%d' % (n + 1, places[n][0], peer[n]) for n in range(count))
        self.nodes = []
        for n, (host, prefix) in enumerate(places):
            own = os.path.join(folder, 'node-%d' % (n + 1))
            os.makedirs(own, exist_ok=True)
            self.nodes.append(Server(weir, own, settings, ['--id', str(n + 1), '--peers', peers], listen[n], host, prefix))
        self.bootstrap = ','.join(node.bootstrap for node in self.nodes)

    def start(self, seconds=30):
        """Starts all at once and waits until each of them answers; the seconds that took."""
        begin = time.monotonic()
        for node in self.nodes:
            node.begin()
        for node in self.nodes:
            node.answers(begin, seconds)
        return time.monotonic() - begin

    def alive(self):
        return [node for node in self.nodes if node.process and node.process.poll() is None]

    def kill(self):
        """SIGKILL to all that run, stopped ones too."""
        for node in self.alive():
            node.process.kill()
            node.process.wait()

    def stop(self, seconds=20):
        """SIGTERM to all that run, one after the other as an administrator would; their exit codes."""
        return [node.stop(seconds) for node in self.alive()]

    def log_ends(self):
        """The end of what each said, for messages: what must have been said is looked for in the nodes' own logs."""
        return '\n'.join('node %d: %s' % (n + 1, node.log()[-1200:]) for n, node in enumerate(self.nodes) if os.path.exists(node.log_path))
