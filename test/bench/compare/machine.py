# SPDX-License-Identifier: Apache-2.0
"""The machine under the comparison: which core is whose, time stolen by the hypervisor, memory that was in use before,
the page cache of a folder, and the floor that stands beside the figures."""

import json
import mmap
import os
import pathlib
import platform
import statistics
import subprocess
import time

STEAL_MOST = 0.05
STEAL_FIELD = 7                 # of the cpu line of /proc/stat: user nice system idle iowait irq softirq steal


def cpu_times():
    with open('/proc/stat') as file:
        return [int(word) for word in file.readline().split()[1:9]]


def steal_share(before, after):
    """Of all processor time that passed, the share the hypervisor gave to others."""
    passed = [b - a for a, b in zip(before, after)]
    return passed[STEAL_FIELD] / sum(passed) if sum(passed) else 0


def watch_steal():
    """A function that says the share stolen since now."""
    before = cpu_times()
    return lambda: steal_share(before, cpu_times())


class Cores:
    """The last core is the broker's, the others are the clients'. With one core, or without taskset, nothing is pinned
    and the report says so."""

    def __init__(self):
        allowed = sorted(os.sched_getaffinity(0))
        self.pinned = len(allowed) > 1
        self.broker, self.clients = [allowed[-1]], allowed[:-1] or allowed

    def prefix(self, cores):
        return ['taskset', '-c', ','.join(str(core) for core in cores)] if self.pinned else []

    def words(self):
        if not self.pinned:
            return 'broker and clients share one core'
        return 'broker on core %d, clients on %s' % (self.broker[0], ','.join(map(str, self.clients)))


def describe():
    model = 'unknown processor'
    with open('/proc/cpuinfo') as file:
        for line in file:
            if line.startswith('model name'):
                model = line.split(':', 1)[1].strip()
                break
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return {'processor': model, 'cores': os.cpu_count(), 'memory_bytes': memory, 'kernel': 'Linux ' + '.'.join(platform.release().split('.')[:2]),
            'load_average': os.getloadavg()[0], 'congestion_control': congestion_control()}


def congestion_control():
    """TCP's, on loopback too: bbr paces what is sent there with a timer, which costs the sender something."""
    try:
        with open('/proc/sys/net/ipv4/tcp_congestion_control') as file:
            return file.read().strip()
    except OSError:
        return 'unknown'


WARM = 2 << 30                  # more than most runs write
warming = True


def warm_memory():
    """Right before whatever writes: touches memory and gives it back, so that no run pays for a page's first use. On a virtual
    machine that is dear (3 to 10 s a GB instead of 0.3), charged to whoever writes, and what is freed goes back to the host
    within seconds: to touch it once is not enough. The kernel hands out first what it got last."""
    if warming:
        with open('/proc/meminfo') as file:
            available = next(int(line.split()[1]) << 10 for line in file if line.startswith('MemAvailable:'))
        mmap.mmap(-1, min(WARM, available // 4 + 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def disk_rate(folder, total):
    """Bytes a second at which a plain program writes a file and has it on the disk."""
    path, block = pathlib.Path(folder) / 'rate', os.urandom(1 << 20)
    began = time.monotonic()
    with open(path, 'wb', buffering=0) as file:
        for number in range(max(total >> 20, 1)):
            file.write(block)
            if number % 64 == 63:
                os.fdatasync(file.fileno())
        os.fdatasync(file.fileno())
    took = time.monotonic() - began
    path.unlink()
    return max(total >> 20, 1) * (1 << 20) / took


def drop_cache(folder):
    """Writes a folder's files out and drops them from the page cache. Needs no rights."""
    for path in pathlib.Path(folder).rglob('*'):
        try:
            fd = os.open(path, os.O_RDONLY)
        except OSError:
            continue
        try:
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError:
            pass                # a folder, or a file that has just been removed
        finally:
            os.close(fd)


def run_json(program, *words):
    done = subprocess.run([str(program)] + [str(w) for w in words], capture_output=True, text=True, timeout=1200, check=True)
    return json.loads(done.stdout)


def floor(programs, scratch, cores, times):
    """What the same costs programs that do nothing with the bytes: floor.c and pace.c, CPU time of the server's side, placed as
    the broker is; the median of so many times. At a rate it is the dearer for it: every block, every request wakes who serves,
    and is answered to one asleep."""
    path = pathlib.Path(scratch) / 'floor'

    def cpu(mode, *words):
        return run_json(programs / 'floor', mode, path, *words)['cpu_s_per_gb']
    out = {}
    for _ in range(times):
        warm_memory()
        for name, measure in (
                ('echo_us_per_request', lambda: run_json(programs / 'floor', 'echo', 16, 1200, 1)['cpu_us_per_request']),
                ('in_cpu_s_per_gb', lambda: cpu('in', 65536, 1000000000)),
                ('out_cpu_s_per_gb', lambda: cpu('out', 1 << 20, 2000000000)),
                ('in_at_50_cpu_s_per_gb', lambda: cpu('in', 65536, 100000000, 50000000)),
                ('in_at_150_cpu_s_per_gb', lambda: cpu('in', 65536, 300000000, 150000000)),
                ('paced_echo_us_per_request', lambda: run_pace(programs, cores, 1000, 2000)['cpu_us_per_request'])):
            out.setdefault(name, []).append(measure())
    path.unlink()
    return {name: statistics.median(taken) for name, taken in out.items()}


def run_pace(programs, cores, rate, samples):
    """An echo at a rate (pace.c), the server on the broker's core."""
    pinned = (cores.broker[0], cores.clients[0]) if cores.pinned else (-1, -1)
    return run_json(programs / 'pace', 4, 1200, rate, samples / rate, *pinned)


def pace(programs, cores, rate, samples):
    """The time until its answer."""
    paced = run_pace(programs, cores, rate, samples)
    return {'echo_p50_ms': paced['p50'] / 1000, 'echo_p99_ms': paced['p99'] / 1000, 'echo_p99_9_ms': paced['p99.9'] / 1000}
