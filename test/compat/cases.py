# SPDX-License-Identifier: Apache-2.0
"""What the Python clients of this suite share: the records every client writes, the comparison of what comes back, and the
report, one JSON line a case. The clients in other languages follow the same tables (README.md)."""

import json
import shutil
import sys
import time
import traceback

PARTITIONS = 3
RECORDS = 60
CODECS = ('none', 'gzip', 'snappy', 'lz4', 'zstd')
LARGE_VALUE_BYTES = 1048400     # with batch and record headers just under message.max.bytes (1048588)
TOO_LARGE_VALUE_BYTES = 1100000
FROM_OFFSET = 7
FROM_RECORD = 30                # the timestamp case starts at this record's time


class Skip(Exception):
    """The client cannot do this; the text says why."""


class Record:
    """One record as written and as read back."""

    def __init__(self, partition, key, value, headers, timestamp_ms):
        self.partition, self.key, self.value = partition, key, value
        self.headers, self.timestamp_ms = headers, timestamp_ms

    def __repr__(self):
        return 'Record(p%d key=%r value=%s headers=%r ts=%r)' % (
            self.partition, self.key, shorten(self.value), self.headers, self.timestamp_ms)


def shorten(value):
    """A value as an error message shows it."""
    return repr(value) if value is None or len(value) < 60 else '%r... (%d bytes)' % (value[:40], len(value))


def base_timestamp_ms():
    """An hour ago, so that neither retention nor the bound on future timestamps matters."""
    return (int(time.time()) - 3600) * 1000


def records(base_ms, null_headers=True):
    """The sixty records of the table in README.md: null, empty and plain keys and values, headers, timestamps."""
    result = []
    for i in range(RECORDS):
        key = None if i % 5 == 0 else b'' if i % 11 == 1 else b'key-%d' % i
        value = None if i % 7 == 3 and key is not None else b'' if i % 13 == 2 else b'value-%d ' % i + b'abcdefghij' * 20
        headers = []
        if i % 4 == 0:
            headers = [('kind', b'compat'), ('number', b'%d' % i), ('kind', b'again'), ('empty', b''),
                       ('bytes', b'\x00\xff\x80')]
            if null_headers and i % 8 == 0:
                headers.append(('null', None))
        result.append(Record(i % PARTITIONS, key, value, headers, base_ms + i * 1000))
    return result


def large_value(size=LARGE_VALUE_BYTES):
    """Bytes that no codec makes smaller, the same in every run."""
    out, x = bytearray(), 88172645463325252
    while len(out) < size:
        x ^= (x << 13) & 0xffffffffffffffff
        x ^= x >> 7
        x ^= (x << 17) & 0xffffffffffffffff
        out += x.to_bytes(8, 'little')
    return bytes(out[:size])


def compare(expected, actual, timestamps=True, headers=True):
    """Byte for byte and in order within each partition; raises AssertionError at the first difference."""
    for partition in range(PARTITIONS):
        want = [r for r in expected if r.partition == partition]
        got = [r for r in actual if r.partition == partition]
        for n, (w, g) in enumerate(zip(want, got)):
            same = (w.key == g.key and w.value == g.value
                    and (not timestamps or w.timestamp_ms == g.timestamp_ms)
                    and (not headers or list(w.headers) == list(g.headers)))
            assert same, 'partition %d record %d: wrote %r, read %r' % (partition, n, w, g)
        assert len(want) == len(got), 'partition %d: wrote %d records, read %d' % (partition, len(want), len(got))
    return '%d records' % len(expected)


class Report:
    """Runs cases and prints one JSON line for each; plain lines and a summary when a person runs a program by itself."""

    def __init__(self, client, plain=False):
        self.client, self.plain = client, plain
        self.passed = self.failed = self.skipped = 0

    def emit(self, case, result, detail='', **more):
        """Prints a finished case."""
        self.passed += result == 'ok'
        self.failed += result == 'failed'
        self.skipped += result == 'skipped'
        if self.plain:
            print('%-7s %-18s %-32s %s' % (result, self.client, case, detail), flush=True)
        else:
            print(json.dumps(dict(client=self.client, case=case, result=result, detail=str(detail), **more)), flush=True)

    def end(self):
        """The summary, if it is wanted, and the exit code."""
        if self.plain:
            print('%d passed, %d failed, %d skipped' % (self.passed, self.failed, self.skipped))
        sys.exit(1 if self.failed else 0)

    def end_in(self, folder, keep, seed):
        """The same; the folder of the run goes, unless it is to be kept or something failed."""
        if keep or self.failed:
            print('left behind: %s (seed %d)' % (folder, seed), file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        self.end()

    def run(self, case, function, *arguments, **more):
        """Runs one case; its return value is the detail. `more` goes into the line (topic, codec)."""
        try:
            self.emit(case, 'ok', function(*arguments) or '', **more)
        except Skip as skip:
            self.emit(case, 'skipped', skip)
        except Exception as error:      # a client may raise anything, and the next case must still run
            where = traceback.extract_tb(sys.exc_info()[2])[-1]
            self.emit(case, 'failed', '%s: %s (%s:%d)' % (type(error).__name__, error, where.filename, where.lineno))


def retry(function, seconds=10):
    """Until it returns something true; the last value. For what a broker does soon but not at once."""
    end = time.monotonic() + seconds
    while True:
        value = function()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.1)
