# SPDX-License-Identifier: Apache-2.0
"""Disks that fail by anything but being full."""

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile

from harness import Node, Skip, batch, fetch_body, until

KAFKA_STORAGE_ERROR = 56


class FailingDisk:
    """A small ext4 of its own, mounted at `folder`. fail() makes every operation on it fail with EIO from then on; what
    was written before is there again after heal(), which mounts it anew."""

    SHUTDOWN, SHUTDOWN_SYNCED = 0x8004587d, 0                           # EXT4_IOC_SHUTDOWN

    def __enter__(self):
        if os.geteuid() != 0:
            raise Skip('mounting a disk takes root')
        if not shutil.which('mkfs.ext4'):
            raise Skip('mkfs.ext4 is not there')
        self.root = tempfile.mkdtemp(prefix='weir-disk-')
        self.image, self.folder = os.path.join(self.root, 'image'), os.path.join(self.root, 'mounted')
        os.mkdir(self.folder)
        with open(self.image, 'wb') as file:
            file.truncate(128 << 20)
        subprocess.run(['mkfs.ext4', '-q', self.image], check=True)
        if not self.mount():
            shutil.rmtree(self.root)
            raise Skip('no loop device can be mounted')
        return self

    def mount(self):
        return subprocess.run(['mount', '-o', 'loop', self.image, self.folder], capture_output=True,
                              check=False).returncode == 0

    def unmount(self):
        return subprocess.run(['umount', self.folder], capture_output=True, check=False).returncode == 0

    def fail(self):
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, self.SHUTDOWN, struct.pack('I', self.SHUTDOWN_SYNCED))
        except OSError as why:
            raise Skip('this kernel does not shut an ext4 down: %s' % why) from None
        finally:
            os.close(descriptor)

    def heal(self):
        until(self.unmount, 10, 'the failed disk is still in use')
        assert self.mount(), 'the disk cannot be mounted again'

    def __exit__(self, *_):
        subprocess.run(['umount', '-l', self.folder], capture_output=True, check=False)
        shutil.rmtree(self.root, ignore_errors=True)
        return False


def log_dirs(c):
    results = c.call('DescribeLogDirs', 1, {'topics': None})['results']
    return {d['log_dir'].decode() if isinstance(d['log_dir'], bytes) else d['log_dir']: d['error_code'] for d in results}


def one_of_two(weir):
    """One of two log folders fails with EIO: its partitions are refused, the others served; a restart makes it well."""
    with FailingDisk() as disk:
        bad = os.path.join(disk.folder, 'data')
        node = Node(weir)
        good = node.data
        node.command[node.command.index('--data') + 1] = good + ',' + bad
        with node:
            with node.raw() as c:
                assert c.create('t', 8) == 0
                for p in range(8):
                    assert c.produce('t', batch(b'first'), partition=p)['error_code'] == 0
            there = [p for p in range(8) if os.path.isdir(os.path.join(bad, 't-%d' % p))]
            assert there and len(there) < 8, there
            with node.raw(20) as waiting, node.raw() as c:
                waiting.send('Fetch', 11, fetch_body('t', 1, there[0], 60000))
                disk.fail()
                for p in range(8):
                    code = c.produce('t', batch(b'second'), partition=p)['error_code']
                    assert code == (KAFKA_STORAGE_ERROR if p in there else 0), (p, code)
                node.said('log folder %s is offline' % bad)
                part = waiting.read('Fetch', 11)[1]['responses'][0]['partitions'][0]
                assert part['error_code'] == KAFKA_STORAGE_ERROR, 'who waits there is told: %s' % part
                assert log_dirs(c) == {good: 0, bad: KAFKA_STORAGE_ERROR}, log_dirs(c)
                assert c.fetch('t', 0, partition=there[0])['error_code'] == KAFKA_STORAGE_ERROR
            assert node.stop() == 0, node.log()[-1500:]
            disk.heal()
            node.start()
            with node.raw() as c:
                assert log_dirs(c) == {good: 0, bad: 0}, log_dirs(c)
                for p in range(8):
                    end = c.list_offset('t', -1, partition=p)[1]
                    assert end == (1 if p in there else 2), 'partition %d ends at %d' % (p, end)
                    assert c.produce('t', batch(b'third'), partition=p)['error_code'] == 0
        return '%d of 8 partitions were on it' % len(there)


def the_only_one(weir):
    """The only log folder fails, and with it the metadata log: the process says so and ends with 1; nothing is lost."""
    with FailingDisk() as disk:
        with Node(weir, data=os.path.join(disk.folder, 'data')) as node:
            acknowledged = 0
            with node.raw() as c:
                assert c.create('t') == 0
                for n in range(20):
                    acknowledged += c.produce('t', batch(b'%d' % n))['error_code'] == 0
                assert acknowledged == 20
                disk.fail()
                c.send('Produce', 7, {'acks': -1, 'timeout_ms': 1000, 'topic_data': [
                    {'name': 't', 'partition_data': [{'index': 0, 'records': batch(b'refused')}]}]})
                code = node.process.wait(10)
            assert code == 1, 'exit code %s: %s' % (code, node.log()[-1500:])
            assert 'stopping' in node.log() and 'offline' in node.log(), node.log()[-800:]
            disk.heal()
            node.start()
            with node.raw() as c:
                assert c.end('t') == acknowledged


CASES = [one_of_two, the_only_one]
