# SPDX-License-Identifier: Apache-2.0
"""Disks of single nodes of a cluster that fail, are full or are slow, under load: the others go on, nothing acknowledged is lost."""

import os
import shutil
import subprocess
import tempfile
import time

from disks import FailingDisk
from failover import Three, produced
from failover_load import Load, topic_state
from harness import Closed, Node, Raw, Skip, batch, timed, until

LAG_S = 3
SETTINGS = ['replica.lag.time.max.ms=%d' % (LAG_S * 1000)]


def move_data(cluster, number, folder):
    """Before the start: has a node keep its data elsewhere."""
    node = cluster.node(number)
    node.command[node.command.index('--data') + 1] = node.data = os.path.join(folder, 'data')


def fail_under_load(weir, role):
    """The one disk of a node, with the metadata on it, fails with EIO: its process ends with 1, others take over; healed, it
    is started again and catches up. role(cluster): the node whose disk it is to be, by moving roles to node 1."""
    with FailingDisk() as disk:
        cluster = Three(weir)
        move_data(cluster, 1, disk.folder)
        with cluster:
            cluster.create('load', 3)
            cluster.whole('load', 3)
            role(cluster)
            with Load(cluster, 'load', 3) as load:
                time.sleep(0.7)
                moment = time.monotonic()
                disk.fail()
                code = cluster.node(1).process.wait(15)
                ended = time.monotonic() - moment
                others = [n.bootstrap for n in cluster.nodes[1:]]
                until(lambda: all(p[0] in (2, 3) for p in topic_state(others, 'load')[1].values()), 10, cluster.log_ends)
                led = time.monotonic() - moment
                time.sleep(0.5)
                disk.heal()
                cluster.node(1).start()
                cluster.registered(3)
                cluster.whole('load', 3)
            count = load.check()
            pause = max(load.pauses_after(moment, moment + 5).values())
            said = cluster.node(1).log()
            cluster.stop()
            cluster.equal('load')
        assert code == 1, 'exit code %s: %s' % (code, said[-1500:])
        assert 'Input/output' in said or 'I/O' in said or 'offline' in said, said[-1500:]
        return 'ended after %.2f s, all led by others after %.2f s, longest pause %.2f s, %d records' % (ended, led, pause, count)


def controller_disk_fails(weir):
    """The metadata disk of the controller fails."""
    return fail_under_load(weir, lambda cluster: cluster.hand_controller_to(1))


def leader_disk_fails(weir):
    """The disk of a node that leads partitions, and is a follower in the quorum, fails."""
    def role(cluster):
        cluster.hand_controller_to(2)
        assert any(cluster.state('load', n)[0] == 1 for n in range(3))
    return fail_under_load(weir, role)


def folder_fails(weir):
    """One of two log folders of a node fails under load: its process lives and leads on in the other one, the partitions of the
    failed one are led by others at once; healed and started again it has them back."""
    with FailingDisk() as disk:
        cluster = Three(weir)
        node = cluster.node(1)
        bad = os.path.join(disk.folder, 'data')
        node.command[node.command.index('--data') + 1] = node.data + ',' + bad
        with cluster:
            with cluster.raw(1) as c:
                answer = c.call('CreateTopics', 4, {'timeout_ms': 10000, 'topics': [{
                    'name': 'load', 'num_partitions': -1, 'replication_factor': -1, 'configs': [],
                    'assignments': [{'partition_index': n, 'broker_ids': [1, 2, 3]} for n in range(8)]}]})
            assert answer['topics'][0]['error_code'] == 0, answer
            cluster.whole('load', 8)
            with Load(cluster, 'load', 8) as load:
                time.sleep(0.7)
                there = [n for n in range(8) if os.path.isdir(os.path.join(bad, 'load-%d' % n))]
                led = {n for n, p in topic_state([node.bootstrap], 'load')[1].items() if p[0] == 1}
                assert there and len(there) < 8 and len(led) == 8, (there, led)
                moment = time.monotonic()
                disk.fail()

                def others_lead():
                    state = topic_state([node.bootstrap], 'load')[1]
                    return state and all(state[n][0] in (2, 3) and 1 not in state[n][2] for n in there)
                until(others_lead, 10, cluster.log_ends)
                took = time.monotonic() - moment
                time.sleep(1)
                assert node.process.poll() is None, node.log()[-1500:]
                state = topic_state([node.bootstrap], 'load')[1]
                kept = {n for n, p in state.items() if p[0] == 1 and len(p[2]) == 3}
                assert kept == led - set(there), 'leads %s of %s' % (kept, led)
                with cluster.raw(1) as c:
                    dirs = c.call('DescribeLogDirs', 1, {'topics': None})['results']
                    assert sorted(d['error_code'] for d in dirs) == [0, 56], dirs
                assert node.stop() == 0, node.log()[-1500:]
                disk.heal()
                node.start()
                cluster.registered(3)
                cluster.whole('load', 8)
            count = load.check()
            pause = max(load.pauses_after(moment, moment + 5).values())
        return '%d of 8 partitions lay there; all led by others after %.2f s, longest pause %.2f s, %d records' % (
            len(there), took, pause, count)


class SmallDisk:
    """A tmpfs of so many MiB, mounted at folder."""

    def __init__(self, mib):
        self.mib = mib

    def __enter__(self):
        if os.geteuid() != 0:
            raise Skip('mounting a small disk takes root')
        self.folder = tempfile.mkdtemp(prefix='weir-small-')
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=%dm' % self.mib, 'tmpfs', self.folder], capture_output=True,
                          check=False).returncode:
            os.rmdir(self.folder)
            raise Skip('no tmpfs can be mounted')
        return self

    def __exit__(self, *_):
        subprocess.run(['umount', '-l', self.folder], check=False)
        os.rmdir(self.folder)
        return False


def fill(cluster, topic, limit_mb):
    """Writes to a topic until a produce with acks=all is refused, or so much is there; (bytes, last error)."""
    big, written, code = batch(b'x' * 500000), 0, 0
    while written < limit_mb * 1000000:
        try:
            with Raw(cluster.node(cluster.state(topic)[0]).bootstrap, 20) as c:
                while written < limit_mb * 1000000:
                    code = c.produce(topic, big)['error_code']
                    if code:
                        return written, code
                    written += len(big)
        except (OSError, Closed):
            time.sleep(0.05)
    return written, code


def create_two(cluster, order):
    """Topics `t` and `ballast`, of one partition led by the first of these."""
    with Raw(cluster.nodes[0].bootstrap) as c:
        for topic in ('t', 'ballast'):
            answer = c.call('CreateTopics', 4, {'timeout_ms': 10000, 'topics': [{
                'name': topic, 'num_partitions': -1, 'replication_factor': -1, 'configs': [],
                'assignments': [{'partition_index': 0, 'broker_ids': order}]}]})
            assert answer['topics'][0]['error_code'] == 0, answer
    for topic in ('t', 'ballast'):
        cluster.whole(topic)


def full_follower(weir):
    """A follower's disk is full: it leaves the ISR when its lag says so, acks=all goes on, topics are still made and deleted;
    room is made and it comes back by itself, without a restart."""
    with SmallDisk(160) as disk:
        cluster = Three(weir, SETTINGS + ['log.segment.bytes=8000000', 'log.segment.delete.delay.ms=0'])
        move_data(cluster, 1, disk.folder)
        with cluster:
            create_two(cluster, [2, 3, 1])
            cluster.hand_controller_to(1)
            with Load(cluster, 't', 1) as load:
                moment = time.monotonic()
                written, code = fill(cluster, 'ballast', 220)
                assert code == 0, 'with a full follower: error %d after %d MB' % (code, written / 1e6)
                full = time.monotonic() - moment
                until(lambda: 1 not in cluster.state('ballast')[2], LAG_S * 4, cluster.log_ends)
                assert cluster.node(1).process.poll() is None
                cluster.create('meanwhile', 1, factor=2)
                time.sleep(1)
                cluster.admin('topics', 'delete', 'ballast')
                healed = cluster.whole('t', seconds=30)
            count = load.check()
            pause = max(load.pauses().values())
            cluster.stop()
            cluster.equal('t')
    return '%.0f MB written in %.1f s, a follower with 160 MB; longest pause of the other topic %.1f s; back %.1f s after room was made; %d records' % (
        written / 1e6, full, pause, healed, count)


def full_leader(weir):
    """A leader's disk is full: produces get an error that clients try again, nothing acknowledged is lost, and after the
    deletion of a topic it goes on without a restart."""
    with SmallDisk(160) as disk:
        cluster = Three(weir, SETTINGS + ['log.segment.bytes=8000000', 'log.segment.delete.delay.ms=0'])
        move_data(cluster, 1, disk.folder)
        with cluster:
            create_two(cluster, [1, 2, 3])
            with Load(cluster, 't', 1) as load:
                written, code = fill(cluster, 'ballast', 220)
                assert code in (5, 6, 7, 19, 20, 56), 'error %d after %d MB' % (code, written / 1e6)
                assert cluster.node(1).process.poll() is None
                time.sleep(1)
                moment = time.monotonic()
                cluster.admin('topics', 'delete', 'ballast')
                time.sleep(3)
            count = load.check()
            late = [t for t in load.journal()[1]['i0'] if t > moment]
            assert late, 'nothing was acknowledged after room was made'
            cluster.whole('t')
            cluster.stop()
            cluster.equal('t')
    return 'error %d after %.0f MB; went on %.2f s after room was made; %d records' % (code, written / 1e6, late[0] - moment, count)


class SlowDisk(FailingDisk):
    """A disk whose writes can be slowed down, for one process, by a control group."""

    GROUPS = '/sys/fs/cgroup/blkio'

    def __enter__(self):
        if not os.path.exists(self.GROUPS + '/blkio.throttle.write_bps_device'):
            raise Skip('no control group throttles writes here')
        super().__enter__()
        self.group = tempfile.mkdtemp(prefix='weir-', dir=self.GROUPS)
        number = os.stat(self.folder).st_dev
        self.device = '%d:%d' % (os.major(number), os.minor(number))
        return self

    def slow(self, pid, writes_per_s):
        with open(self.group + '/cgroup.procs', 'w') as file:
            file.write(str(pid))
        self.set(writes_per_s)

    def set(self, writes_per_s):
        with open(self.group + '/blkio.throttle.write_iops_device', 'w') as file:
            file.write('%s %d' % (self.device, writes_per_s))

    def __exit__(self, *rest):
        with open(self.group + '/cgroup.procs') as file:
            for pid in file.read().split():
                with open(self.GROUPS + '/cgroup.procs', 'w') as root:
                    root.write(pid)
        os.rmdir(self.group)
        return super().__exit__(*rest)


def slow_controller(weir):
    """The controller's disk takes one write a second: it hands over, topics are made in the usual time, and it comes back whole."""
    with SlowDisk() as disk:
        cluster = Three(weir)
        move_data(cluster, 1, disk.folder)
        with cluster:
            cluster.create('load', 3)
            cluster.whole('load', 3)
            cluster.hand_controller_to(1)
            with Load(cluster, 'load', 3) as load:
                time.sleep(0.5)
                disk.slow(cluster.node(1).process.pid, 1)
                moment, times = time.monotonic(), []
                for n in range(6):
                    begin = time.monotonic()
                    cluster.create('slow-%d' % n, 1, factor=2, number=2)
                    times.append(time.monotonic() - begin)
                    time.sleep(0.3)
                moved = cluster.controller() != 1
                disk.set(0)
                cluster.registered(3)
                cluster.whole('load', 3)
            count = load.check()
            pause = max(load.pauses().values())
            cluster.stop()
            cluster.equal('load')
    assert max(times) < 8, 'topics took %s s' % times
    return 'controller moved: %s; topics made in %s s; longest pause of produce %.1f s; %d records' % (
        moved, ', '.join('%.1f' % t for t in times), pause, count)


class FullMetadata(SmallDisk):
    """A disk of a few MiB for the metadata log of one node, which comes to be full."""

    SETTINGS = ['metadata.log.max.record.bytes.between.snapshots=100000']

    def __init__(self):
        super().__init__(6)

    def place(self, node):
        node.command += ['--set', 'metadata.log.dir=' + self.folder + '/metadata']

    def fill(self):
        with open(self.folder + '/ballast', 'wb', buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def make_room(self):
        os.remove(self.folder + '/ballast')


def configure(bootstrap, number, seconds=2):
    """A change of 30 KB of metadata; whether it was answered as done in time."""
    value = '%d:1' % number + ',0:1' * 7500
    try:
        with Raw(bootstrap, seconds) as c:
            answer = c.call('IncrementalAlterConfigs', 0, {'validate_only': False, 'resources': [{
                'resource_type': 2, 'resource_name': 't', 'configs': [
                    {'name': 'follower.replication.throttled.replicas', 'config_operation': 0, 'value': value}]}]})
        return answer['responses'][0]['error_code'] == 0
    except (OSError, Closed):
        return False


def grown_to_the_end(bootstrap):
    """Changes metadata until that is not answered any more; how often it was."""
    for number in range(80):
        if not configure(bootstrap, number):
            return number
    raise AssertionError('80 changes were answered on a full disk')


def full_metadata(weir):
    """The disk of the metadata log of a single node is full: changes of metadata wait, records are written; when there is room it
    goes on, without a restart, and nothing that was answered is gone after one."""
    with FullMetadata() as disk:
        node = Node(weir, disk.SETTINGS)
        disk.place(node)
        with node:
            with node.raw() as c:
                assert c.create('t') == 0
            disk.fill()
            answered = grown_to_the_end(node.bootstrap)
            node.said('goes on in its old file')
            node.said('stands still until there is room')
            with node.raw() as c:
                assert produced(c, 't', b'meanwhile') == 0
            disk.make_room()
            begin = time.monotonic()
            until(lambda: configure(node.bootstrap, 100), 10, node.log)
            took = time.monotonic() - begin
            node.said('there is room again')
            folder, changes = disk.folder + '/metadata/__cluster_metadata', iter(range(101, 1000))

            def dropped():          # the next snapshot lets the old file go; one is tried again after some changes and seconds
                assert configure(node.bootstrap, next(changes))
                time.sleep(0.2)
                return sum(name.endswith('.journal') for name in os.listdir(folder)) == 1
            until(dropped, 20, lambda: os.listdir(folder))
            with node.raw() as c:
                assert c.create('later') == 0
            node.kill()
            node.start()
            with node.raw() as c:
                answer = c.call('Metadata', 1, {'topics': None})
                assert {b't', b'later'} <= {t['name'] for t in answer['topics']}, answer
                said = c.call('DescribeConfigs', 1, {'include_synonyms': False, 'resources': [{
                    'resource_type': 2, 'resource_name': 't', 'configuration_keys': ['follower.replication.throttled.replicas']}]})
                assert said['results'][0]['configs'][0]['value'].startswith(b'%d:1,' % (next(changes) - 1)), 'an answered change is gone'
    return '%d changes before it stood still; goes on %.1f s after room was made' % (answered, took)


def full_controller_metadata(weir):
    """The same with the controller of three nodes: another takes over, changes go on, and it comes back by itself."""
    with FullMetadata() as disk:
        cluster = Three(weir, SETTINGS + disk.SETTINGS)
        disk.place(cluster.node(1))
        with cluster:
            cluster.create_led_by('t', [1, 2, 3])
            cluster.hand_controller_to(1)
            with Load(cluster, 't', 1) as load:
                disk.fill()
                slowest = 0
                for number in range(80):
                    took, done = timed(configure, cluster.node(2).bootstrap, number, 15)
                    assert done, 'change %d: %s' % (number, cluster.log_ends())
                    slowest = max(slowest, took)
                    if 'stands still' in cluster.node(1).log():
                        break
                until(lambda: cluster.controller() != 1, 15, cluster.log_ends)
                assert configure(cluster.node(2).bootstrap, 100) and cluster.node(1).process.poll() is None
                time.sleep(1)
                disk.make_room()
                until(lambda: 'there is room again' in cluster.node(1).log(), 10, cluster.log_ends)
                cluster.registered(3)
                cluster.whole('t', seconds=30)
                cluster.hand_controller_to(1)
                assert configure(cluster.node(1).bootstrap, 101)
            count = load.check()
            cluster.stop()
            cluster.equal('t')
    return '%d changes, the slowest took %.1f s; %d records' % (number + 2, slowest, count)


CASES = [controller_disk_fails, folder_fails, full_follower, full_leader, full_metadata, full_controller_metadata, slow_controller]
CAMPAIGN = [leader_disk_fails]
