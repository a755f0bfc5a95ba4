#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Log compaction of a real process, and kill -9 in the middle of it.

    compaction.py --weir FILE [--kills 6] [--seed N] [--keep]

One client writes records and tombstones of a few hundred keys to a topic with cleanup.policy=compact and keeps the table that
they add up to. The broker is killed whenever a file of a swap lies in the partition's folder, and started again. A read from
the beginning must give that table each time, in the order of the offsets."""

import argparse
import os
import random
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, 'raw')]
import batches                                                                      # noqa: E402
import cases                                                                        # noqa: E402
from connection import Closed, Raw                                                  # noqa: E402
from server import Server                                                           # noqa: E402

TOPIC, KEYS = 'table', 300
SETTINGS = ['log.cleaner.backoff.ms=20', 'log.retention.check.interval.ms=200', 'log.segment.delete.delay.ms=1000']
CONFIG = [('cleanup.policy', 'compact'), ('segment.bytes', '1048576'), ('min.cleanable.dirty.ratio', '0.01')]


def records(pairs):
    """An uncompressed batch of (key, value)."""
    payload = b''
    for i, (key, value) in enumerate(pairs):
        record = b'\0' + batches.put_varint(0) + batches.put_varint(i) + batches.put_varint(len(key)) + key
        record += (batches.put_varint(-1) if value is None else batches.put_varint(len(value)) + value) + batches.put_varint(0)
        payload += batches.put_varint(len(record)) + record
    return batches.build(pairs, timestamp_ms=int(time.time() * 1000), payload=payload)


class Table:
    """A compacted topic and the table its records add up to."""

    def __init__(self, arguments, folder, settings=()):
        self.server = Server(arguments.weir, folder, SETTINGS + list(settings))
        self.rng = random.Random(arguments.seed)
        self.table, self.written = {}, 0

    def create(self, *config):
        with Raw(self.server.bootstrap) as c:
            error = c.create(TOPIC, 1, CONFIG + list(config))
            assert error == 0, 'create: error %d' % error

    def write(self, count, keys=KEYS, value_bytes=500):
        """Batches, each until it is acknowledged; a batch that is there twice is the same table."""
        for _ in range(count):
            pairs = [(b'key-%d' % self.rng.randrange(keys),
                      None if self.rng.random() < 0.1 else b'%d %s' % (self.written + i, b'x' * self.rng.randrange(value_bytes)))
                     for i in range(40)]
            batch = records(pairs)
            self.written += len(pairs)
            while True:
                try:
                    with Raw(self.server.bootstrap, 10) as c:
                        error = c.produce(TOPIC, batch)['error_code']
                    if error == 0:
                        break
                    assert error in (3, 5, 6, 56), 'produce: error %d' % error
                except (OSError, Closed):
                    pass
                time.sleep(0.01)
            for key, value in pairs:
                self.table[key] = value

    def read(self):
        """({key: value, None for a tombstone}, records, last offset) from the beginning."""
        found, count, last = {}, 0, -1
        with Raw(self.server.bootstrap, 20) as c:
            at, end = c.list_offset(TOPIC, -2)[1], c.list_offset(TOPIC, -1)[1]
            while at < end:
                part = c.fetch(TOPIC, at, partition_max_bytes=4 << 20)
                assert part['error_code'] == 0, 'fetch at %d: error %d' % (at, part['error_code'])
                got = batches.parse(part['records'], whole=False)
                assert got, 'nothing at %d of %d' % (at, end)
                for batch in got:
                    assert batch.crc_ok(), 'the batch at %d fails its CRC' % batch.base_offset
                    for offset, _, key, value in batch.records():
                        assert offset > last, 'offset %d behind %d' % (offset, last)
                        last, found[key] = offset, value
                        count += 1
                at = got[-1].last_offset + 1
        return found, count, end

    def check(self):
        found, count, end = self.read()
        alive = {key: value for key, value in found.items() if value is not None}
        want = {key: value for key, value in self.table.items() if value is not None}
        wrong = [key for key in set(alive) | set(want) if alive.get(key) != want.get(key)]
        assert not wrong, '%d keys differ, first: %r is %s, not %s' % (
            len(wrong), wrong[0], cases.shorten(alive.get(wrong[0])), cases.shorten(want.get(wrong[0])))
        return found, count, end

    def names(self):
        try:
            return os.listdir(os.path.join(self.server.data, TOPIC + '-0'))
        except FileNotFoundError:
            return []

    def wait(self, what, seconds, true):
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, '%s: not after %d s; %s' % (what, seconds, sorted(self.names()))
            time.sleep(0.05)

    def segments_bytes(self):
        folder = os.path.join(self.server.data, TOPIC + '-0')
        return sum(os.path.getsize(os.path.join(folder, name)) for name in self.names() if name.endswith('.log'))

    def stop(self):
        code = self.server.stop()
        assert code == 0, 'exit code %d' % code


def keeps_the_latest(table):
    """Closed segments shrink to one record a key; a tombstone goes after delete.retention.ms; the tools' file says how far."""
    table.server.start()
    table.create(('delete.retention.ms', '500'))
    table.write(300)
    assert table.check()[1] >= KEYS
    table.wait('one run', 20, lambda: table.segments_bytes() < table.written * 100)
    _, left, written = table.check()
    assert left < written / 2, '%d of %d records are left' % (left, written)
    gone = [b'gone-%d' % i for i in range(5)]
    with Raw(table.server.bootstrap) as c:
        assert c.produce(TOPIC, records([(key, b'soon') for key in gone]))['error_code'] == 0
        assert c.produce(TOPIC, records([(key, None) for key in gone]))['error_code'] == 0
    assert all(table.read()[0][key] is None for key in gone)
    end = time.monotonic() + 30
    while any(key in table.read()[0] for key in gone):       # each pass needs a closed segment to look at
        assert time.monotonic() < end, 'tombstones are still there'
        table.write(60, value_bytes=900)
        time.sleep(0.2)
    table.check()
    table.stop()
    with open(os.path.join(table.server.data, 'cleaner-offset-checkpoint')) as file:
        version, count, line = file.read().split('\n', 2)
    assert (version, count) == ('0', '1') and line.split()[:2] == [TOPIC, '0'] and int(line.split()[2]) > 0, line
    return '%d of %d records left after the first run' % (left, written)


def killed(table, kills):
    """Killed when files of a swap lie there; the table is right each time."""
    table.server.start()
    table.create()
    hits = {'.cleaned': 0, '.swap': 0, 'later': 0}
    for _ in range(kills):
        table.write(60)
        wanted = table.rng.choice(['.cleaned', '.log.swap', '.deleted'])
        end = time.monotonic() + 3
        while time.monotonic() < end and not any(name.endswith(wanted) for name in table.names()):
            pass
        time.sleep(table.rng.random() * 0.01)
        table.server.kill()
        names = table.names()
        kind = next((k for k in ('.cleaned', '.swap') if any(name.endswith(k) for name in names)), 'later')
        hits[kind] += 1
        table.server.start()
        table.check()
    table.write(100)
    time.sleep(0.5)
    table.check()
    table.server.kill()
    table.server.start()
    _, count, end = table.check()
    table.stop()
    left = [name for name in table.names() if name.endswith(('.cleaned', '.swap'))]
    assert not left, 'left behind: %s' % left
    assert count < end, 'nothing was compacted'
    return '%d kills, found %s; %d of %d records left' % (kills, hits, count, end)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--weir', required=True)
    parser.add_argument('--kills', type=int, default=6)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    parser.add_argument('--keep', action='store_true', help='leave the data folders behind')
    parser.add_argument('--json', action='store_true', help='one JSON object a case')
    arguments = parser.parse_args()
    report = cases.Report('compaction', plain=not arguments.json)
    folder = tempfile.mkdtemp(prefix='weir-compaction-')
    for name, run, settings in (
            ('keeps-the-latest', keeps_the_latest, []),
            ('survives-kill-9', lambda table: killed(table, arguments.kills), ['log.cleaner.io.max.bytes.per.second=8000000'])):
        place = os.path.join(folder, name)
        os.mkdir(place)
        table = Table(arguments, place, settings)
        try:
            report.run(name, lambda run=run, table=table: run(table))
        finally:
            if table.server.process and table.server.process.poll() is None:
                table.server.kill()
    report.end_in(folder, arguments.keep, arguments.seed)


if __name__ == '__main__':
    main()
