# SPDX-License-Identifier: Apache-2.0
"""Bytes that are no requests, and clients that stop half way: the connection ends with one line that says who and why,
memory stays flat, everybody else is served."""

import random
import socket
import struct
import time

from harness import MIB, Node, Raw, batch, batches, fetch_body, produce_body, timed, until, wire


def ends(node, data, *words):
    """A connection that sends these bytes is closed, and a line tells of it."""
    with node.raw() as c:
        c.sock.sendall(data)
        assert c.closed(3), 'still open after %s' % words[0]
    node.said('closing', *words)
    with node.raw() as c:
        assert c.api_versions()
    time.sleep(1.05)                    # lines of one cause are limited to one a second


def lengths(weir):
    """Longer than allowed, negative, zero, too short for a header."""
    with Node(weir, ['socket.request.max.bytes=1000000']) as node:
        ends(node, struct.pack('>ihhi', 1000001, 3, 1, 7), 'larger than', 'socket.request.max.bytes=1000000')
        ends(node, struct.pack('>ihhi', -1, 3, 1, 7), 'a frame of -1 bytes')
        ends(node, struct.pack('>ihhi', 0, 3, 1, 7), 'a frame of 0 bytes')
        ends(node, struct.pack('>i', -2147483648), 'a frame of -2147483648 bytes')
        with node.raw() as c:           # the longest that is allowed is served
            c.create('long')
            answer = c.produce('long', batch(b'x' * 900000))
            assert answer['error_code'] == 0, answer


def others(weir):
    """TLS, HTTP, text, unknown keys and versions, lies about counts, bytes of chance."""
    with Node(weir) as node:
        ends(node, b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'TLS hello')
        ends(node, b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'HTTP request')
        ends(node, b'hello there, is this on?\n', 'text')
        header = struct.pack('>hhih', 999, 0, 1, 1) + b'c'
        ends(node, struct.pack('>i', len(header)) + header, 'unknown API key 999', "client 'c'")
        header = struct.pack('>hhih', 3, 99, 1, 1) + b'c'
        ends(node, struct.pack('>i', len(header)) + header, 'Metadata version 99 is not supported')
        frame = struct.pack('>hhih', 3, 1, 1, -1) + struct.pack('>i', 0x7fffffff)
        ends(node, struct.pack('>i', len(frame)) + frame, 'cannot be decoded')
        frame = struct.pack('>hhih', 3, 1, 1, 30000) + b'abc'
        ends(node, struct.pack('>i', len(frame)) + frame, 'header is malformed')
        before = node.memory()
        random.seed(7)
        for n in range(300):
            with node.raw() as c:
                body = random.randbytes(random.randint(8, 2000))
                lie = struct.pack('>ihh', len(body), random.choice([0, 1, 2, 3, 18, 19, 20, 32, 44]), random.randint(0, 12))
                try:
                    c.sock.sendall(lie + body[4:])
                except ConnectionError:
                    pass
        with node.raw() as c:
            assert c.api_versions()
        node.grown(before, 16 * MIB)


def versions(weir):
    """ApiVersions of tomorrow is answered in version 0 with its own range, and the connection goes on (KIP-511)."""
    with Node(weir) as node, node.raw() as c:
        c.send_frame(struct.pack('>hhih', 18, 77, 5, 1) + b'c' + b'\0garbage')
        frame = c.read_frame()
        _, answer = wire.decode_response(18, 0, frame)
        assert answer['error_code'] == 35 and [k['api_key'] for k in answer['api_keys']] == [18], answer
        assert c.api_versions()


def halves(weir):
    """Half a request and then silence: the others are served at once, memory stays flat, 30 s later the line is cut."""
    with Node(weir) as node:
        with node.raw() as c:
            c.create('t')
            c.produce('t', batch(b'warm'))
        before = node.memory()
        silent = [node.raw() for _ in range(100)]
        for n, c in enumerate(silent):
            size = 3000 if n % 2 else 3 * MIB
            c.sock.sendall(struct.pack('>ihhih', size, 0, 7, n, -1) + b'x' * 1000)
        for n in range(20):
            with node.raw() as c:
                took, answer = timed(c.produce, 't', batch(b'v'))
                assert answer['error_code'] == 0 and took < 1, took
        node.grown(before, 8 * MIB)
        for c in silent:
            c.sock.close()
        until(lambda: node.descriptors() < 60, 5, 'descriptors are not given back')


def half_closed(weir):
    """A client that shuts down its sending side gets every answer, then the end; a long poll does not keep it."""
    with Node(weir) as node:
        with node.raw() as c:
            c.create('t')
            for name, version, body in (('Produce', 7, produce_body('t', batch(b'a'))), ('Metadata', 1, {'topics': None}),
                                        ('Produce', 7, produce_body('t', batch(b'b'))),
                                        ('Fetch', 11, fetch_body('t', 0)),
                                        ('Fetch', 11, fetch_body('t', 2, max_wait_ms=60000))):
                c.send(name, version, body)
            c.sock.shutdown(socket.SHUT_WR)
            assert c.read('Produce', 7)[1]['responses'][0]['partition_responses'][0]['base_offset'] == 0
            assert c.read('Metadata', 1)[1]['topics']
            assert c.read('Produce', 7)[1]['responses'][0]['partition_responses'][0]['base_offset'] == 1
            assert c.read('Fetch', 11)[1]['responses'][0]['partitions'][0]['records']
            took, answer = timed(c.read, 'Fetch', 11)
            assert took < 2 and answer[1]['responses'][0]['partitions'][0]['error_code'] == 0
            assert c.closed(2), 'not ended after the last answer'
        with node.raw() as c:           # with half a request behind the whole ones
            c.send('Metadata', 1, {'topics': None})
            c.sock.sendall(struct.pack('>ih', 500, 3))
            c.sock.shutdown(socket.SHUT_WR)
            assert c.read('Metadata', 1)
            assert c.closed(2)


def pipelined(weir):
    """Requests of all kinds behind each other are answered in order, and a read sees the writes before it."""
    with Node(weir) as node, node.raw(15) as c:
        c.create('t', 3)
        sent, offsets = [], [0, 0, 0]
        for n in range(400):
            kind = n % 8
            partition = n % 3
            if kind < 5:
                c.send('Produce', 7, produce_body('t', batch(b'%d' % n), 1 if n % 2 else -1, partition))
                sent.append(('Produce', 7, offsets[partition]))
                offsets[partition] += 1
            elif kind == 5:
                c.send('Metadata', 1, {'topics': [{'name': 't'}]})
                sent.append(('Metadata', 1, 3))
            elif kind == 6:
                c.send('ListOffsets', 5, {'replica_id': -1, 'topics': [{'name': 't', 'partitions': [
                    {'partition_index': partition, 'timestamp': -1}]}]})
                sent.append(('ListOffsets', 5, offsets[partition]))
            else:
                c.send('Fetch', 11, fetch_body('t', max(offsets[partition] - 1, 0), partition, max_wait_ms=2000))
                sent.append(('Fetch', 11, offsets[partition]))
        for n, (name, version, expected) in enumerate(sent):
            correlation, answer = c.read(name, version)
            assert correlation == n + 2, 'answer %d came as %d' % (correlation, n + 2)
            if name == 'Produce':
                got = answer['responses'][0]['partition_responses'][0]['base_offset']
            elif name == 'Metadata':
                got = len(answer['topics'][0]['partitions'])
            elif name == 'ListOffsets':
                got = answer['topics'][0]['partitions'][0]['offset']
            else:
                got = answer['responses'][0]['partitions'][0]['high_watermark']
            assert got == expected, '%s %d: %s, not %s' % (name, n, got, expected)


def byte_by_byte(weir):
    """A request that comes one byte at a time, and two whose borders do not fall on packets."""
    with Node(weir) as node, node.raw() as c:
        c.create('t')
        frame = wire.request_frame(0, 7, 9, produce_body('t', batch(b'slow' * 50)))
        data = struct.pack('>i', len(frame)) + frame
        for at in range(0, len(data)):
            c.sock.sendall(data[at:at + 1])
            if at % 16 == 0:
                time.sleep(0.001)
        assert c.read('Produce', 7)[1]['responses'][0]['partition_responses'][0]['error_code'] == 0
        for cut in (1, 3, 4, 5, 7, 8, 9, 11, 12, 13, len(data) - 1):
            c.sock.sendall(data + data[:cut])
            assert c.read('Produce', 7)[1]['responses'][0]['partition_responses'][0]['error_code'] == 0
            time.sleep(0.005)
            c.sock.sendall(data[cut:])
            assert c.read('Produce', 7)[1]['responses'][0]['partition_responses'][0]['error_code'] == 0


def slow_reader(weir):
    """A client that asks and never reads: its answers stay bounded, others notice nothing, its line goes in the end."""
    with Node(weir, arguments=['--memory', '64MiB']) as node:
        with node.raw(20) as c:
            for n in range(10):
                assert c.create('t%d' % n, 100) == 0
            c.produce('t0', batch(b'x' * 900000))
        before = node.memory()
        slow = [node.raw() for _ in range(20)]
        request = wire.request_frame(3, 1, 1, {'topics': None})
        request = struct.pack('>i', len(request)) + request
        for c in slow:
            c.sock.setblocking(False)
        deadline = time.monotonic() + 4
        worst = 0
        with node.raw() as honest:
            while time.monotonic() < deadline:
                for c in slow:
                    try:
                        c.sock.send(request * 50)
                    except (BlockingIOError, ConnectionError):
                        pass
                took, answer = timed(honest.produce, 't1', batch(b'v'))
                assert answer['error_code'] == 0
                took2, _ = timed(honest.call, 'Metadata', 1, {'topics': [{'name': 't0'}]})
                worst = max(worst, took, took2)
                time.sleep(0.01)
        rose = node.grown(before, 40 * MIB)
        for c in slow:
            c.sock.close()
        assert worst < node.patience(), 'an honest request took %.3f s' % worst
        return 'worst %.0f ms, %d MiB more' % (worst * 1000, rose >> 20)


def slow_fetches(weir):
    """Consumers that do not read megabytes from files: pins and descriptors come back when they go."""
    with Node(weir) as node:
        with node.raw() as c:
            c.create('t')
            for _ in range(16):
                c.produce('t', batch(b'x' * 1000000))
        before, files = node.memory(), node.descriptors()
        slow = [node.raw() for _ in range(50)]
        for c in slow:
            c.send('Fetch', 11, fetch_body('t', 0, max_bytes=1 << 25, partition_max_bytes=1 << 24))
        time.sleep(1)
        with node.raw() as c:
            assert c.fetch('t', 15)['records']
            assert c.call('DeleteTopics', 1, {'topic_names': ['t'], 'timeout_ms': 5000})['responses'][0]['error_code'] == 0
        data = slow[0].read('Fetch', 11)[1]['responses'][0]['partitions'][0]['records']
        assert len(data) > 8 * MIB, 'a deleted log was cut under its reader: %d bytes' % len(data)
        node.grown(before, 4 * MIB)
        for c in slow:
            c.sock.close()
        until(lambda: node.descriptors() <= files, 5, lambda: '%d descriptors, %d before' % (node.descriptors(), files))


def behind_validation(weir):
    """A batch that takes long to check holds up its own partition's later batches and nobody else's; order is kept."""
    import gzip
    with Node(weir) as node, node.raw(30) as c, node.raw(30) as d:
        c.create('t', 2, [('max.message.bytes', '20000000')])
        count, value = 60000, b'v' * 200
        records = []
        for n in range(count):
            record = b'\0' + batches.put_varint(0) + batches.put_varint(n) + batches.put_varint(-1)
            record += batches.put_varint(len(value)) + value + b'\0'
            records.append(batches.put_varint(len(record)) + record)
        packed = batches.build([b''], timestamp_ms=int(time.time() * 1000), attributes=1, count=count,
                               payload=gzip.compress(b''.join(records), 1))
        packed = last_offset(packed, count - 1)
        begin = time.monotonic()
        c.send('Produce', 7, produce_body('t', packed))
        for n in range(5):
            c.send('Produce', 7, produce_body('t', batch(b'behind %d' % n)))
        other = []
        for _ in range(10):
            took, answer = timed(d.produce, 't', batch(b'beside'), partition=1)
            assert answer['error_code'] == 0
            other.append(took)
        first = c.read('Produce', 7)[1]['responses'][0]['partition_responses'][0]
        took = time.monotonic() - begin
        assert first['error_code'] == 0 and first['base_offset'] == 0, first
        for n in range(5):
            part = c.read('Produce', 7)[1]['responses'][0]['partition_responses'][0]
            assert part['error_code'] == 0 and part['base_offset'] == count + n, part
        assert c.end('t') == count + 5
        return 'checked in %.0f ms, beside it %.1f ms' % (took * 1000, max(other) * 1000)


def last_offset(data, delta):
    """The batch with another last offset delta, and its checksum."""
    data = bytearray(data)
    struct.pack_into('>i', data, 23, delta)
    struct.pack_into('>I', data, 17, batches.crc32c(bytes(data[21:])))
    return bytes(data)


def errors_of_one(weir):
    """A batch that is refused does not disturb those before and behind it, and acks=0 with an error ends the connection."""
    with Node(weir) as node, node.raw() as c:
        c.create('t')
        good, bad = batch(b'good'), bytearray(batch(b'bad'))
        bad[-1] ^= 1
        for records in (good, bytes(bad), good):
            c.send('Produce', 7, produce_body('t', records))
        got = [c.read('Produce', 7)[1]['responses'][0]['partition_responses'][0] for _ in range(3)]
        assert [p['error_code'] for p in got] == [0, 2, 0], got
        assert [got[0]['base_offset'], got[2]['base_offset']] == [0, 1], got
        c.send('Produce', 7, produce_body('t', good, 0))
        c.send('Metadata', 1, {'topics': None})
        assert c.read('Metadata', 1)        # acks=0 has no answer
        c.send('Produce', 7, produce_body('t', bytes(bad), 0))
        assert c.closed(3), 'a failed produce with acks=0 is told by the end of the connection'
        with node.raw() as d:
            assert d.end('t') == 3

CASES = [lengths, others, versions, halves, half_closed, pipelined, byte_by_byte, slow_reader, slow_fetches, behind_validation,
         errors_of_one]
