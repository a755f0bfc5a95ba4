# SPDX-License-Identifier: Apache-2.0
"""Networks of a case's own: a namespace for each node, all on one bridge, and cuts between them that no side is told of.

A case that uses one is made with @on_a_network. It runs in a child of its own, whose namespace holds the bridge: clients there
reach every node whatever is cut between the nodes. Addresses and rules end with the processes."""

import ctypes
import functools
import os
import pickle
import shutil
import signal
import subprocess
import sys
import traceback

from harness import Skip

CLONE_NEWNET, PR_SET_PDEATHSIG = 0x40000000, 1
LIBC = ctypes.CDLL(None, use_errno=True)
RULES = '''
table inet cut {
    set from { type ipv4_addr; }
    chain in { type filter hook input priority 0; ip saddr @from drop; }
}
'''


def own_namespace():
    if LIBC.unshare(CLONE_NEWNET) != 0:
        raise Skip('no network namespace can be made: %s' % os.strerror(ctypes.get_errno()))


def ip(*words):
    subprocess.run(['ip'] + list(words), check=True, capture_output=True)


def on_a_network(case):
    """The case gets a namespace of its own with nothing in it; it is skipped by name where none can be made."""
    @functools.wraps(case)
    def run(weir):
        if os.geteuid() != 0:
            raise Skip('network namespaces take root')
        missing = [word for word in ('ip', 'nft', 'nsenter') if not shutil.which(word)]
        if missing:
            raise Skip('%s is not there (tools/deps test installs it)' % missing[0])
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            try:
                own_namespace()
                ip('link', 'set', 'lo', 'up')
                result = ('ok', case(weir))
            except Skip as why:
                result = ('skip', str(why))
            except BaseException as error:                              # pylint: disable=broad-except
                result = ('failed', str(error) if isinstance(error, AssertionError) else traceback.format_exc())
            with os.fdopen(writer, 'wb') as pipe:
                pickle.dump(result, pipe)
            sys.stdout.flush()
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, 'rb') as pipe:
            data = pipe.read()
        os.waitpid(child, 0)
        verdict, detail = pickle.loads(data) if data else ('failed', 'the case ended without a word')
        if verdict == 'skip':
            raise Skip(detail)
        assert verdict == 'ok', detail
        return detail
    return run


class Network:
    """Places for so many nodes, numbered from 1. As a context it ends with its holders."""

    seconds = 900   # holders end by themselves
    made = 0        # in this namespace; names of links are free again only a little after their end

    def __init__(self, count):
        self.holders = {}
        Network.made += 1
        try:
            ip('link', 'add', 'hub', 'type', 'bridge')
            ip('addr', 'add', '10.77.0.254/24', 'dev', 'hub')
            ip('link', 'set', 'hub', 'up')
            for n in range(1, count + 1):
                self.add(n)
        except (OSError, subprocess.CalledProcessError) as error:
            self.__exit__()
            raise Skip('no network can be made: %s %s' % (error, getattr(error, 'stderr', b'').decode().strip())) from None

    def add(self, n, address=None):
        """A place; address: of another node, that is unplugged."""
        def begin():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            own_namespace()
        self.holders[n] = subprocess.Popen(['sleep', str(self.seconds)], preexec_fn=begin)
        ip('link', 'add', self.cable(n), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', str(self.holders[n].pid))
        ip('link', 'set', self.cable(n), 'master', 'hub', 'up')
        for words in ('addr add %s/24 dev eth0' % (address or self.address(n)), 'link set lo up', 'link set eth0 up'):
            self.inside(n, ['ip'] + words.split())
        self.inside(n, ['nft', '-f', '-'], RULES)
        for place, other in self.holders.items():       # who keeps in mind where an address was would look there still
            if address and place != n and other.poll() is None:
                self.inside(place, ['ip', 'neigh', 'flush', 'all'])
        if address:
            ip('neigh', 'flush', 'all')

    @staticmethod
    def address(n):
        return '10.77.0.%d' % n

    @staticmethod
    def cable(n):
        return 'to%d-%d' % (n, Network.made)

    def prefix(self, n):
        return ['nsenter', '-t', str(self.holders[n].pid), '-n', '--']

    def places(self):
        """For Cluster: host and prefix of each node."""
        return [(self.address(n), self.prefix(n)) for n in self.holders]

    def inside(self, n, command, text=None):
        subprocess.run(self.prefix(n) + command, check=True, capture_output=True, input=text.encode() if text else None)

    def mute(self, speaker, listener, verb='add'):
        """What one node sends no longer reaches the other; the other way it goes on."""
        self.inside(listener, ['nft', verb, 'element', 'inet', 'cut', 'from', '{ %s }' % self.address(speaker)])

    def cut(self, these, those):
        """Nothing passes between two sets of nodes, in either direction."""
        for a in these:
            for b in those:
                self.mute(a, b)
                self.mute(b, a)

    def unplug(self, n, verb='down'):
        """The node's cable: nobody reaches it any more, clients neither, and no side is told."""
        ip('link', 'set', self.cable(n), verb)

    def heal(self):
        """Everything passes again."""
        for n in self.holders:
            self.inside(n, ['nft', 'flush', 'set', 'inet', 'cut', 'from'])
            self.unplug(n, 'up')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for holder in self.holders.values():
            holder.kill()
            holder.wait()
        subprocess.run(['ip', 'link', 'del', 'hub'], capture_output=True, check=False)
        return False
