# SPDX-License-Identifier: Apache-2.0
"""Every row of the comparison: what is measured, by which load, and the goal as a ratio to the peer in the same run."""

import dataclasses
import functools
import os
import statistics

import loads
import long
import stock
from judge import Goal


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much each load moves."""

    bytes: int = 1_000_000_000
    records: int = 3_000_000
    seconds: int = 5
    samples: int = 100_000      # of a latency row, a run
    pairs: int = 5_000
    rest: float = 10            # seconds at rest before memory is read, and as many while processor time is
    backlog_bytes: int = int(1.1 * os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))
    restart_bytes: int = 10_000_000_000
    partitions: int = 10_000
    memory_bytes: int = 1_000_000_000   # of the row of memory after them, which names them
    long_seconds: int = 60      # past retention
    append_bytes: int = 20_000_000_000


SMOKE = Sizes(bytes=30_000_000, records=100_000, seconds=1, samples=500, pairs=300, rest=1, backlog_bytes=60_000_000,
              restart_bytes=60_000_000, partitions=200, memory_bytes=30_000_000,
              long_seconds=6, append_bytes=300_000_000)


BRIEF = {'seconds': 3, 'rest': 5, 'long_seconds': 20, 'append_bytes': 4_000_000_000}      # of a run that has so many minutes


def sized(gb, backlog_gb, restart_gb, brief=False):
    usual = Sizes(**(BRIEF if brief else {}))
    return dataclasses.replace(usual, bytes=int(gb * 1e9), records=int(gb * usual.records), restart_bytes=int(restart_gb * 1e9),
                               backlog_bytes=int(backlog_gb * 1e9) if backlog_gb else usual.backlog_bytes)


LATENCY_RATE = 1000             # a second, which a broker of a JVM holds on one core

LOADS = {
    'batches-64k': lambda s: loads.Batches(s, 64 << 10, 1024, 150_000_000),
    'batches-1m': lambda s: loads.Batches(s, 1 << 20, 1024, 150_000_000),
    'records-100': lambda s: loads.Batches(dataclasses.replace(s, bytes=s.records * 108), 64 << 10, 100, 50_000_000),
    'batches-64k-rf3': lambda s: loads.Batches(s, 64 << 10, 1024, 30_000_000, nodes=3),
    'batches-1m-rf3': lambda s: loads.Batches(s, 1 << 20, 1024, 30_000_000, nodes=3),
    'records-100-rf3': lambda s: loads.Batches(dataclasses.replace(s, bytes=s.records * 108), 64 << 10, 100, 15_000_000, nodes=3),
    'flat-out': loads.FlatOut,
    'pairs': lambda s: loads.Pairs(s, 500, s.pairs),
    'pairs-rf3': lambda s: rf3(loads.Pairs(s, 200, s.pairs)),
    'latency': lambda s: loads.Pairs(s, LATENCY_RATE, s.samples, fixed_rate=True),
    'requests-16': lambda s: loads.Requests(s, 16),
    'fsync-1': lambda s: loads.Requests(s, 1, flush_messages=1),
    'fsync-8': lambda s: loads.Requests(s, 8, flush_messages=1),
    'fsync-64': lambda s: loads.Requests(s, 64, flush_messages=1),
    **{'producers-%d%s' % (count, '-keyed' * keyed): functools.partial(loads.Producers, clients=count, keyed=keyed)
       for count in (1, 50, 500) for keyed in (False, True)},
    'fan-out-1': lambda s: loads.FanOut(s, 1),
    'fan-out-10': lambda s: loads.FanOut(s, 10),
    'fan-out-100': lambda s: loads.FanOut(s, 100),
    'cold-backlog': loads.ColdBacklog,
    'idle': loads.Idle,
    'memory-100': loads.ManyPartitionsMemory,
    'start': loads.ColdStart,
    'start-1000': lambda s: loads.ColdStart(s, min(1000, s.partitions)),
    'start-10000': lambda s: loads.ColdStart(s, s.partitions),
    'restart': loads.Restart,
    'restart-1gb': lambda s: loads.Restart(dataclasses.replace(s, restart_bytes=s.restart_bytes // 10)),
    'active-partitions': loads.ActivePartitions,
    'retention': long.PastRetention,
    'near-the-disk': long.NearTheDisk,
    'kcat': stock.Kcat,
    'kafka-perf-test': stock.KafkaPerfTest,
    **{'failover-%s-%s' % (how, client): functools.partial(stock.Failover, client=client, how=how)
       for how in ('killed', 'stopped', 'gone') for client in stock.CLIENTS if how != 'killed' or client != 'librdkafka-1s'},
}


def rf3(load):
    load.nodes = 3
    return load


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    title: str
    unit: str
    load: str
    metric: str
    goal: Goal = None           # None: shown beside the peer, without a goal
    less: bool = True
    alone: bool = False         # weir against itself: the goal's own bound decides
    floor: tuple = ()           # (figure of the floor, times it): a bound of weir's own figure
    beside: tuple = ()          # (metric, what it is, of its values): other figures of weir's runs that belong to this one


ROWS = [
    Row('cpu-64k', 'broker CPU per GB in and out, 64 KiB batches', 's', 'batches-64k', 'cpu_s_per_gb', Goal(1 / 1.6, 1 / 2.2)),
    Row('cpu-1m', 'broker CPU per GB in and out, 1 MiB batches', 's', 'batches-1m', 'cpu_s_per_gb', Goal(1 / 1.6, 1 / 2.2)),
    Row('cpu-100b', 'CPU per million 100-byte records', 's', 'records-100', 'cpu_s_per_million', Goal(1 / 6, 1 / 15)),
    Row('cpu-pairs', 'CPU per 1,000 unbatched pairs', 'ms', 'pairs', 'cpu_ms_per_thousand', Goal(1 / 5, 1 / 10)),
    Row('requests-16', 'unbatched requests a second, 16 connections', '/s', 'requests-16', 'requests_per_s',
        Goal(4, 8, less=False), less=False),
    Row('p50', 'p50 at 1,000/s, acks=all', 'ms', 'latency', 'ack_p50_ms'),
    Row('p99', 'p99 at 1,000/s, acks=all', 'ms', 'latency', 'ack_p99_ms', Goal(1 / 3, 1 / 5)),
    Row('p99.9', 'p99.9 at 1,000/s, acks=all', 'ms', 'latency', 'ack_p99_9_ms', Goal(1 / 3, 1 / 5),
        floor=('echo_p99_9_ms', 1.5)),
    Row('p99-backlog', 'p99 of produce during a cold backlog read', 'ms', 'cold-backlog', 'p99_ms', Goal(1 / 10, 1 / 20)),
    Row('idle-memory', 'idle memory', 'MiB', 'idle', 'mib', Goal(1 / 100, 1 / 200, own=8)),
    Row('idle-cpu', 'idle CPU a second', 'ms', 'idle', 'cpu_ms_per_s'),
    Row('memory-100', 'memory after 1 GB through 100 partitions', 'MiB', 'memory-100', 'mib', Goal(1 / 40, 1 / 100, own=32)),
    Row('start', 'cold start to the first acknowledged produce', 'ms', 'start', 'ms', Goal(1 / 100, 1 / 250, own=20)),
    Row('start-1000', 'the same with 1,000 partitions', 'ms', 'start-1000', 'ms'),
    Row('start-10000', 'the same with 10,000 partitions', 'ms', 'start-10000', 'ms'),
    Row('memory-1000', 'memory then, 1,000 partitions', 'MiB', 'start-1000', 'mib'),
    Row('memory-10000', 'memory then, 10,000 partitions', 'MiB', 'start-10000', 'mib'),
    Row('restart', 'restart after kill -9 with 10 GB', 'ms', 'restart', 'ms', Goal(1 / 50, 1 / 250, own=1000)),
    Row('restart-1gb', 'the same with 1 GB', 'ms', 'restart-1gb', 'ms'),
    Row('fsync-1', 'fsync on every ack, 1 producer', '/s', 'fsync-1', 'requests_per_s', less=False),
    Row('fsync-8', 'fsync on every ack, 8 producers', '/s', 'fsync-8', 'requests_per_s', less=False),
    Row('fsync-64', 'fsync on every ack, 64 producers', '/s', 'fsync-64', 'requests_per_s', Goal(10, 30, less=False),
        less=False),
    Row('in-flat', 'throughput in, one connection', 'MB/s', 'flat-out', 'in_mb_per_s', less=False),
    Row('out-flat', 'throughput out, one connection', 'MB/s', 'flat-out', 'out_mb_per_s', less=False),
    Row('fan-out-1', 'CPU per GB out, 1 consumer', 's', 'fan-out-1', 'out_cpu_s_per_gb'),
    Row('fan-out-10', 'CPU per GB out, 10 consumers', 's', 'fan-out-10', 'out_cpu_s_per_gb'),
    Row('fan-out-100', 'CPU per GB out, 100 consumers', 's', 'fan-out-100', 'out_cpu_s_per_gb'),
    *(Row('producers-%d%s' % (count, '-keyed' * keyed), 'CPU per 1,000 requests at 8,000 records/s, %d producer%s, %s' % (
          count, 's' * (count > 1), 'keyed' if keyed else 'unkeyed'), 'ms', 'producers-%d%s' % (count, '-keyed' * keyed),
          'cpu_ms_per_thousand') for count in (1, 50, 500) for keyed in (False, True)),
    Row('retention', 'p99.9 at 100 MB/s while segments are deleted', 'ms', 'retention', 'p99_9_ms'),
    Row('retention-cpu', 'CPU per GB in then', 's', 'retention', 'cpu_s_per_gb'),
    Row('append-p99.9', 'p99.9 at 80 % of the disk\'s rate', 'ms', 'near-the-disk', 'p99_9_ms',
        beside=(('longest_turn_ms', 'longest turn', max),)),
    Row('append-cpu', 'CPU per GB in then', 's', 'near-the-disk', 'cpu_s_per_gb'),
    Row('kcat', 'kcat: broker CPU per million 100-byte records', 's', 'kcat', 'cpu_s_per_million'),
    Row('kafka-perf-test', 'Kafka\'s perf tests: broker CPU per million 100-byte records', 's', 'kafka-perf-test',
        'cpu_s_per_million'),
    Row('cpu-64k-rf3', 'CPU of three brokers per GB, factor 3', 's', 'batches-64k-rf3', 'cpu_s_per_gb', Goal(1 / 1.6, 1 / 2.2)),
    Row('cpu-1m-rf3', 'the same, 1 MiB batches', 's', 'batches-1m-rf3', 'cpu_s_per_gb', Goal(1 / 1.6, 1 / 2.2)),
    Row('cpu-100b-rf3', 'CPU of three brokers per million 100-byte records, factor 3', 's', 'records-100-rf3', 'cpu_s_per_million',
        Goal(1 / 6, 1 / 15)),
    Row('cpu-pairs-rf3', 'CPU of three brokers per 1,000 pairs, factor 3', 'ms', 'pairs-rf3', 'cpu_ms_per_thousand',
        Goal(1 / 5, 1 / 10)),
    *(Row('failover-%s%s' % (how, '-java' if client == 'java' else ''), 'failover gap, leader %s, %s' % (how, words), 'ms',
          'failover-%s-%s' % (how, client), 'gap_ms', goal,
          beside=(('client_floor_ms', 'the client\'s own' if how == 'killed' else 'handed over', statistics.median),))
      for how, goal in (('killed', Goal(1 / 8, 1 / 25, own=1000)), ('gone', Goal(1 / 1.5, 1 / 3)), ('stopped', Goal(1 / 1.5, 1 / 3)))
      for client, words in (('librdkafka', 'librdkafka'), ('java', 'Java'))),
    *(Row('failover-%s-1s' % how, 'failover gap, leader %s, librdkafka that waits 1 s for an answer' % how, 'ms',
          'failover-%s-librdkafka-1s' % how, 'gap_ms') for how in ('gone', 'stopped')),
    Row('active-partitions', 'CPU per GB, 10,000 active partitions against 10', 'x', 'active-partitions', 'cpu_ratio',
        Goal(1, 1, own=1.25), alone=True),
]

# Of the loads, those that say most, in this order; a run that has so many minutes begins with them.
FIRST = ['requests-16', 'batches-64k', 'records-100', 'idle', 'start', 'pairs', 'fsync-64', 'memory-100', 'latency',
         'failover-killed-librdkafka', 'restart', 'cold-backlog', 'active-partitions']


def in_turn(names):
    """Loads, the most telling first."""
    order = list(dict.fromkeys(FIRST + [row.load for row in ROWS]))
    return sorted(names, key=order.index)
