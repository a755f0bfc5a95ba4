# SPDX-License-Identifier: Apache-2.0
"""Reads the record batches (magic 2) of a partition's .log files or of a Fetch answer, from outside the product."""

import glob
import os
import struct

CODECS = ('none', 'gzip', 'snappy', 'lz4', 'zstd')
HEADER_BYTES = 61


class BadBatch(Exception):
    """The bytes are not a sequence of batches."""


def crc32c_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
        table.append(n)
    return table


TABLE = crc32c_table()

try:                                    # a compiled one where a client brought it along
    from crc32c import crc32c
except ImportError:
    def crc32c(data):
        """CRC-32C of some bytes."""
        crc = 0xffffffff
        for byte in data:
            crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
        return crc ^ 0xffffffff


class Batch:
    """The header of one batch, and its bytes."""

    def __init__(self, data, at=0):
        if len(data) - at < HEADER_BYTES:
            raise BadBatch('%d bytes at %d: less than a header' % (len(data) - at, at))
        (self.base_offset, length, self.leader_epoch, self.magic, self.crc, self.attributes, self.last_offset_delta,
         self.base_timestamp, self.max_timestamp, self.producer_id, self.producer_epoch, self.base_sequence,
         self.count) = struct.unpack_from('>qiibIhiqqqhii', data, at)
        self.bytes = length + 12
        if self.magic != 2 or length < HEADER_BYTES - 12 or at + self.bytes > len(data):
            raise BadBatch('at %d: magic %d, length %d, %d bytes left' % (at, self.magic, length, len(data) - at))
        self.data = bytes(data[at:at + self.bytes])
        self.codec = CODECS[self.attributes & 7] if self.attributes & 7 < len(CODECS) else str(self.attributes & 7)
        self.control = bool(self.attributes & 32)
        self.last_offset = self.base_offset + self.last_offset_delta

    def crc_ok(self):
        return crc32c(self.data[21:]) == self.crc

    def records(self):
        """[(offset, timestamp, key, value)] of an uncompressed batch."""
        out, at = [], HEADER_BYTES
        for _ in range(self.count):
            size, at = varint(self.data, at)
            end = at + size
            timestamp_delta, at = varint(self.data, at + 1)
            offset_delta, at = varint(self.data, at)
            key, at = sized(self.data, at)
            value, at = sized(self.data, at)
            out.append((self.base_offset + offset_delta, self.base_timestamp + timestamp_delta, key, value))
            at = end
        return out


def varint(data, at):
    """A zig-zag number and the place behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return (value >> 1) ^ -(value & 1), at
        shift += 7


def sized(data, at):
    size, at = varint(data, at)
    return (None, at) if size < 0 else (data[at:at + size], at + size)


def put_varint(value):
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def build(values, producer_id=-1, producer_epoch=-1, base_sequence=-1, timestamp_ms=0, attributes=0, magic=2, count=None,
          payload=None, max_timestamp_ms=None, key=None):
    """An uncompressed batch of values, as a producer sends it; the options make the wrong ones too."""
    if payload is None:
        payload = b''
        for i, value in enumerate(values):
            record = b'\0' + put_varint(0) + put_varint(i)
            record += put_varint(-1) if key is None else put_varint(len(key)) + key
            record += (put_varint(-1) if value is None else put_varint(len(value)) + value) + put_varint(0)
            payload += put_varint(len(record)) + record
    body = struct.pack('>hiqqqhii', attributes, len(values) - 1, timestamp_ms,
                       timestamp_ms if max_timestamp_ms is None else max_timestamp_ms, producer_id, producer_epoch,
                       base_sequence, len(values) if count is None else count) + payload
    return struct.pack('>qiibI', 0, len(body) + 9, -1, magic, crc32c(body)) + body


def parse(data, whole=True):
    """All batches of some bytes; with whole=False an incomplete last one is left out, as in a Fetch answer."""
    out, at = [], 0
    while at < len(data):
        try:
            batch = Batch(data, at)
        except BadBatch:
            if whole:
                raise
            break
        out.append(batch)
        at += batch.bytes
    return out


def partition_folders(data_folder, topic):
    """{partition: folder} of a topic below a data folder."""
    found = {}
    for path in glob.glob(os.path.join(data_folder, '**', topic + '-*'), recursive=True):
        tail = os.path.basename(path)[len(topic) + 1:]
        if tail.isdigit() and os.path.isdir(path):
            found[int(tail)] = path
    return found


def read_log(folder):
    """All batches in a partition's folder, in order."""
    out = []
    for path in sorted(glob.glob(os.path.join(folder, '*.log'))):
        with open(path, 'rb') as file:
            out += parse(file.read())
    return out


def stored_codecs(data_folder, topic):
    """(the set of codecs in a topic's stored batches, how many batches)."""
    batches = [b for folder in partition_folders(data_folder, topic).values() for b in read_log(folder) if not b.control]
    return {b.codec for b in batches}, len(batches)
