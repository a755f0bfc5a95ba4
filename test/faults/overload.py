# SPDX-License-Identifier: Apache-2.0
"""More than the broker can take: memory stays inside its bound, honest clients are served within a second."""

import os
import select
import socket
import struct
import time

from harness import MIB, Background, Node, Raw, Skip, batch, fetch_body, produce_body, timed, until, wire
from shards import values


def honest(node, seconds, topic='honest', size=1000):
    """Produce, metadata and fetch on connections of their own for some seconds; the worst time of one."""
    worst = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with node.raw(20) as c:
            for call in (lambda: c.produce(topic, batch(b'h' * size)), lambda: c.call('Metadata', 1, {'topics': [{'name': topic}]}),
                         lambda: c.fetch(topic, 0, max_bytes=1000)):
                took, answer = timed(call)
                worst = max(worst, took)
                assert answer.get('error_code', 0) == 0, answer
        time.sleep(0.01)
    return worst


def announcements(weir):
    """200 connections that announce 100 MB and stop after one byte, with a 256 MiB broker; then of sizes it would take."""
    with Node(weir, arguments=['--memory', '256MiB']) as node:
        with node.raw() as c:
            c.create('honest')
            c.produce('honest', batch(b'x' * 1000000))
        before = node.memory()
        worst = 0
        held = []
        for size, count in ((100 * MIB, 200), (60 * MIB, 200), (3 * MIB, 40), (60000, 200)):
            for n in range(count):
                c = node.raw()
                try:
                    c.sock.sendall(struct.pack('>i', size) + b'\0')
                    if n % 2:           # so much that what it is gets known, too
                        c.sock.sendall(b'\0\0\7\0\0\0')
                except ConnectionError:
                    pass
                held.append(c)
            worst = max(worst, honest(node, 0.5), honest(node, 0.5, size=1000000))
        rose = node.grown(before, 64 * MIB)
        for c in held:
            c.sock.close()
        assert worst < node.patience(), 'an honest request took %.2f s' % worst
        return 'worst %.0f ms, %d KiB more' % (worst * 1000, rose >> 10)


def silent_holders(weir):
    """Half requests that take up the whole share of long frames: others get theirs within a second."""
    with Node(weir, arguments=['--memory', '64MiB', '--shards', '1']) as node:
        with node.raw() as c:
            c.create('honest')
        held = []
        for _ in range(2):
            for _ in range(8):
                c = node.raw()
                c.sock.sendall(struct.pack('>ihhih', 3 * MIB, 0, 7, 1, -1) + b'x' * 1000)
                held.append(c)
            time.sleep(0.1)
            with node.raw(20) as c:
                took, answer = timed(c.produce, 'honest', batch(b'h' * 1000000))
                assert answer['error_code'] == 0
                assert took < node.patience() + 0.5, 'an honest request took %.2f s' % took
        node.said('while others wait for memory')
        for c in held:
            c.sock.close()
        return '%.0f ms' % (took * 1000)


def flat_out(weir):
    """50 producers flat out while others ask for metadata and fetch: everybody is served, memory stays inside --memory."""
    with Node(weir, ['log.retention.bytes=50000000', 'log.segment.bytes=25000000'], ['--memory', '128MiB']) as node:
        with node.raw() as c:
            for topic in ('honest', 'load'):
                assert c.create(topic, 10) == 0
        frame = [wire.request_frame(0, 7, 1, produce_body('load', batch(b'x' * 100000), 1, n)) for n in range(10)]
        frame = [struct.pack('>i', len(f)) + f for f in frame]

        def produce(background, number):
            sock = socket.create_connection(('127.0.0.1', node.port))
            sock.setblocking(False)
            data, at = frame[number % 10], 0
            while not background.over.is_set():
                readable, writable, _ = select.select([sock], [sock], [], 0.2)
                if readable:
                    got = sock.recv(65536)
                    assert got, 'a producer was cut off'
                if writable:
                    at += sock.send(data[at:])
                    at = 0 if at == len(data) else at
            sock.close()

        peak = node.memory()
        with Background(produce, 50):
            worst = 0
            for _ in range(6):
                worst = max(worst, honest(node, 1))
                peak = max(peak, node.memory())
        written = node.log()
        assert worst < node.patience(), 'an honest request took %.2f s; %s' % (worst, written[-300:])
        assert peak < 128 * MIB or node.sanitized(), '%d MiB resident' % (peak >> 20)
        return 'worst %.0f ms, peak %d MiB' % (worst * 1000, peak >> 20)


def pipelines(weir):
    """300 connections that send small requests without reading: backlogs and answers stay bounded."""
    with Node(weir, arguments=['--memory', '64MiB']) as node:
        with node.raw() as c:
            c.create('honest', 50)
        before = node.memory()
        request = wire.request_frame(3, 1, 1, {'topics': [{'name': 'honest'}]})
        waiting = wire.request_frame(1, 11, 1, fetch_body('honest', 0, max_wait_ms=5000, min_bytes=1000))
        data = b''.join(struct.pack('>i', len(f)) + f for f in [waiting] + [request] * 900)
        held = [node.raw() for _ in range(300)]
        for c in held:
            c.sock.setblocking(False)
        worst = 0
        for _ in range(5):
            for c in held:
                try:
                    c.sock.send(data)
                except (BlockingIOError, ConnectionError):
                    pass
            worst = max(worst, honest(node, 0.7))
        rose = node.grown(before, 48 * MIB)
        for c in held:
            c.sock.close()
        assert worst < node.patience(), 'an honest request took %.2f s' % worst
        return 'worst %.0f ms, %d MiB more' % (worst * 1000, rose >> 20)


def idle_connections(weir):
    """5,000 idle connections: under 1 KiB of user memory each, and all of them answer afterwards."""
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 5000
    if hard < count + 200:
        raise Skip('the limit of open files is %d' % hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = []
    try:
        with Node(weir, files=20000 if hard >= 20000 else hard) as node:
            ask = wire.request_frame(18, 0, 1, {})
            ask = struct.pack('>i', len(ask)) + ask
            before = None
            for n in range(count + 10):
                c = node.raw()
                c.sock.sendall(ask)     # each has spoken once, as clients do
                wire.decode_response(18, 0, c.read_frame())
                held.append(c)
                if n == 9:
                    before = node.memory()
            each = node.grown(before, count * 1024) / count
            for c in held[::500]:
                assert c.api_versions()
            for c in held:
                c.sock.close()
            until(lambda: node.descriptors() < 100, 5, 'descriptors are not given back')
            return '%d bytes each' % each
    finally:
        for c in held:
            c.sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def churn(weir):
    """10,000 connections, some mid-request, some reset: no descriptor and no memory stays behind."""
    with Node(weir) as node:
        with node.raw() as c:
            c.create('t')
            c.produce('t', batch(b'x' * 10000))
        ask = wire.request_frame(18, 0, 1, {})
        ask = struct.pack('>i', len(ask)) + ask
        poll = wire.request_frame(1, 11, 1, fetch_body('t', 1, max_wait_ms=3600000))
        poll = struct.pack('>i', len(poll)) + poll
        produce = wire.request_frame(0, 7, 1, produce_body('t', batch(b'y' * 20000)))
        produce = struct.pack('>i', len(produce)) + produce
        reset = struct.pack('ii', 1, 0)

        def rounds(count):
            for n in range(count):
                sock = socket.create_connection(('127.0.0.1', node.port))
                kind = n % 5
                if kind == 0:
                    sock.sendall(ask)
                elif kind == 1:
                    sock.sendall(ask[:7])
                elif kind == 2:
                    sock.sendall(poll)
                elif kind == 3:
                    sock.sendall(produce[:15000])
                if n % 3 == 0:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                sock.close()

        rounds(2000)
        files = None
        time.sleep(1.2)
        before, files = node.memory(), node.descriptors()
        rounds(10000)
        until(lambda: node.descriptors() <= files, 5, lambda: '%d descriptors, %d before' % (node.descriptors(), files))
        rose = node.grown(before, 2 * MIB)
        return '%d KiB more' % (rose >> 10)


def file_limit(weir):
    """More connections than files: refused with a line, the ones that are there go on, and new ones come later."""
    with Node(weir, files=300) as node:
        held = []
        with node.raw() as c:
            c.create('t')
        for _ in range(330):
            held.append(node.raw())
        time.sleep(0.5)
        assert held[0].api_versions()
        assert held[0].produce('t', batch(b'v'))['error_code'] == 0
        node.said('refus')
        for c in held:
            c.sock.close()
        time.sleep(0.5)
        with node.raw() as c:
            assert c.api_versions()


def first_appends(weir):
    """Requests to 500 partitions without files, and at rest: in order, and others are served in between."""
    with Node(weir) as node:
        with node.raw(60) as many, node.raw(60) as few:
            assert many.create('many', 500) == 0 and few.create('few') == 0
            assert few.produce('few', batch(b'v'))['error_code'] == 0
            longest = []
            for life in range(2):
                for n in range(2):                                     # pipelined: the second waits behind the first
                    many.send('Produce', 7, {'acks': -1, 'timeout_ms': 30000, 'topic_data': [{
                        'name': 'many', 'partition_data': [{'index': p, 'records': batch(b'%d:%d' % (p, 2 * life + n))}
                                                           for p in range(500)]}]})
                waits = []
                while len(waits) < 20:
                    begin = time.monotonic()
                    assert few.produce('few', batch(b'v'))['error_code'] == 0
                    waits.append(time.monotonic() - begin)
                longest.append(max(waits))
                for n in range(2):
                    for part in many.read('Produce', 7)[1]['responses'][0]['partition_responses']:
                        assert part['error_code'] == 0 and part['base_offset'] == 2 * life + n, (life, n, part)
                assert node.stop() == 0
                node.start()
                many, few = node.raw(60), node.raw(60)
            many.send('Fetch', 11, {'max_wait_ms': 0, 'min_bytes': 1, 'max_bytes': 1 << 25, 'topics': [{
                'topic': 'many', 'partitions': [{'partition': p, 'fetch_offset': 3, 'partition_max_bytes': 1000}
                                                for p in range(500)]}]})
            waits = []
            while len(waits) < 20:
                begin = time.monotonic()
                assert few.fetch('few', 0, max_wait_ms=0)['records']
                waits.append(time.monotonic() - begin)
            longest.append(max(waits))
            parts = many.read('Fetch', 11)[1]['responses'][0]['partitions']
            assert [values(part['records']) for part in parts] == [[b'%d:3' % p] for p in range(500)], parts[:2]
            got = [value for p in range(500) for value in values(many.fetch('many', 0, partition=p)['records'])]
            assert got == [b'%d:%d' % (p, n) for p in range(500) for n in range(4)], got[:10]
    return 'longest wait of others: %d ms making files, %d ms opening them to write, %d ms to read' % tuple(
        1000 * s for s in longest)


def one_address(weir):
    """max.connections.per.ip and its overrides, on two shards and changed while it runs: who is over is closed with a line."""
    def from_address(node, address):
        c = socket.create_connection(('127.0.0.1', node.port), 5, (address, 0))
        c.settimeout(5)
        return c

    def served(c):
        """Whether the broker talks with it."""
        try:
            frame = wire.request_frame(wire.KEYS['ApiVersions'], 0, 1, {}, b'raw')
            c.sendall(struct.pack('>i', len(frame)) + frame)
            return len(c.recv(65536)) > 4
        except OSError:
            return False

    def alter(c, value, name='max.connections.per.ip', error=0):
        answer = c.call('IncrementalAlterConfigs', 1, {'resources': [{'resource_type': 4, 'resource_name': '', 'configs': [
            {'name': name, 'config_operation': 0, 'value': value}]}]})
        assert answer['responses'][0]['error_code'] == error, answer

    with Node(weir, ['max.connections.per.ip=3'], arguments=['--shards', '2']) as node:
        until(lambda: 'first' in node.log(), 5, 'no start')
        ours = [from_address(node, '127.0.0.3') for _ in range(3)]
        assert all(served(c) for c in ours)
        assert not served(from_address(node, '127.0.0.3'))
        node.said('127.0.0.3', 'max.connections.per.ip', '3')
        theirs = [from_address(node, '127.0.0.4') for _ in range(3)]
        assert all(served(c) for c in theirs)
        ours.pop().close()
        until(lambda: served(from_address(node, '127.0.0.3')), 5, 'the place of a closed connection stays taken')
        with node.raw() as c:
            alter(c, '1')
            assert all(served(c) for c in ours + theirs), 'who is in stays'
            assert not served(from_address(node, '127.0.0.4'))
            alter(c, '10')
            more = [from_address(node, '127.0.0.4') for _ in range(7)]
            assert all(served(c) for c in more)
            alter(c, 'localhost:2', 'max.connections.per.ip.overrides', 40)  # INVALID_CONFIG
            alter(c, '127.0.0.5:2, [::1]:7,127.0.0.6:0', 'max.connections.per.ip.overrides')
            more += [from_address(node, '127.0.0.5') for _ in range(2)] + [from_address(node, '127.0.0.7') for _ in range(5)]
            assert all(served(c) for c in more)
            assert not served(from_address(node, '127.0.0.5'))
            assert not served(from_address(node, '127.0.0.6'))
        for c in ours + theirs + more:
            c.close()


CASES = [announcements, silent_holders, flat_out, pipelines, idle_connections, churn, file_limit, first_appends, one_address]
