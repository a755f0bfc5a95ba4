# SPDX-License-Identifier: Apache-2.0
"""Raw cases of framing and overload: headers, versions nobody has, lengths that lie, garbage, silence, slow readers. After each
of them an honest client must still be served, and a weir that was started for the run must not have grown."""

import random
import resource
import socket
import struct
import time

import cases
import wire
from connection import Closed, Raw, batch, fetch_body


class Frames:
    def __init__(self, bootstrap, prefix, weir, pid, log):
        self.bootstrap, self.topic, self.weir, self.pid, self.log = bootstrap, prefix + '-frames', weir, pid, log
        self.prefix = prefix
        with Raw(bootstrap) as c:
            assert c.create(self.topic) == 0

    def honest(self, seconds=1):
        """An ordinary client is served, and how fast."""
        begin = time.monotonic()
        with Raw(self.bootstrap) as c:
            assert c.produce(self.topic, batch(b'honest'))['error_code'] == 0
            c.call('Metadata', 1, {'topics': None})
        took = time.monotonic() - begin
        assert took < seconds, 'an honest client waited %.3f s' % took
        return took

    def memory(self):
        """Resident bytes of the broker, or None."""
        if not self.pid:
            return None
        with open('/proc/%d/statm' % self.pid) as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def logged(self):
        """The broker's log; the empty string when it is not known."""
        if not self.log:
            return ''
        with open(self.log, errors='replace') as file:
            return file.read()

    def wants_log(self, before, *words):
        """One new line of the log holds all these words (lower case)."""
        if not self.log:
            return 'the log is not known'
        if not cases.retry(lambda: any(all(w in line.lower() for w in words) for line in self.logged()[before:].splitlines()), 2):
            raise AssertionError('no log line with %s; new lines: %r' % (', '.join(words), self.logged()[before:][-300:]))
        return 'logged'

    def header(self):
        """DP2: the correlation id comes back; a null client id is one."""
        with Raw(self.bootstrap) as c:
            for correlation in (0x01020304, 0, -1, 0x7fffffff):
                c.send_frame(struct.pack('>hhih', 18, 0, correlation, -1))
                frame = c.read_frame()
                assert frame[:4] == struct.pack('>i', correlation), frame[:4].hex()
                assert wire.decode_response(18, 0, frame)[1]['error_code'] == 0

    def version_fallback(self):
        """DP3 and KIP-511: ApiVersions above ours is answered in version 0 with error 35 and its own range."""
        with Raw(self.bootstrap) as c:
            for version in (127, 6, 32767):
                c.send_frame(struct.pack('>hhih', 18, version, 7, 3) + b'raw' + b'\0' + b'\4abc\4def\0')
                correlation, answer = wire.decode_response(18, 0, c.read_frame())
                assert correlation == 7 and answer['error_code'] == 35, answer
                keys = [k['api_key'] for k in answer['api_keys']]
                assert keys == [18] if self.weir else 18 in keys, keys
            assert c.call('ApiVersions', 0, {})['error_code'] == 0, 'the connection is not usable any more'

    def api_versions(self):
        """All versions say the same, name nothing twice, and the features that librdkafka wants are there."""
        with Raw(self.bootstrap) as c:
            first = c.api_versions()
            for version in range(1, 5):
                answer = c.call('ApiVersions', version, {'client_software_name': 'raw', 'client_software_version': '1'})
                found = {k['api_key']: (k['min_version'], k['max_version']) for k in answer['api_keys']}
                assert found == first and len(answer['api_keys']) == len(found), version
            assert first[0][0] == 0 and first[0][1] >= 9, 'Produce %r' % (first[0],)
            assert first[1][0] <= 4 and first[1][1] >= 11, 'Fetch %r' % (first[1],)
        return '%d APIs' % len(first)

    def bad_client_software(self):
        """A client software name that is not one is INVALID_REQUEST (KIP-511)."""
        with Raw(self.bootstrap) as c:
            answer = c.call('ApiVersions', 3, {'client_software_name': '-', 'client_software_version': ''})
            assert answer['error_code'] == 42, answer['error_code']

    def closes(self, data, case, *words, framed=True):
        """These bytes end the connection with a line in the log."""
        if words and self.log:
            time.sleep(1.1)         # lines about clients are limited to one a second and cause
        before = len(self.logged())
        with Raw(self.bootstrap) as c:
            c.send_frame(data) if framed else c.sock.sendall(data)
            assert c.closed(), '%s: still open' % case
        self.honest()
        return self.wants_log(before, *words) if words else 'closed'

    def unknown_key(self):
        return self.closes(struct.pack('>hhih', 999, 0, 1, 3) + b'raw', 'key 999', '999')

    def unsupported_version(self):
        return self.closes(struct.pack('>hhih', 0, 127, 1, 3) + b'raw', 'Produce 127', '127', 'raw')

    def sizes(self):
        """DP46: a frame longer than the limit, and negative lengths."""
        for size in (0x7fffffff, 104857601, -1, -2147483648, 0, 3):
            before = self.memory()
            self.closes(struct.pack('>i', size) + b'\0' * 16, 'size %d' % size, framed=False)
            assert before is None or self.memory() - before < 8 << 20, 'grew by %d' % (self.memory() - before)

    def not_kafka(self):
        """A TLS hello, HTTP and a line of text get a line that says so."""
        hello = bytes.fromhex('16030100a5010000a10303') + bytes(160)
        got = [self.closes(hello, 'TLS', 'tls', framed=False),
               self.closes(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'HTTP', 'http', framed=False)]
        self.closes(b'hello broker, how are you?\r\n', 'text', framed=False)
        return ', '.join(got)

    def lying_lengths(self):
        """Counts and lengths inside a frame that point past its end."""
        header = struct.pack('>hhih', 3, 1, 1, 3) + b'raw'
        lies = [header + struct.pack('>i', 0x7fffffff), header + struct.pack('>i', 1000000) + b'\0\1a',
                header + struct.pack('>ih', 1, 0x7fff) + b'abc', header + struct.pack('>i', -2),
                struct.pack('>hhih', 3, 1, 1, 0x7fff) + b'raw', struct.pack('>hhih', 3, 9, 1, 3) + b'raw\0' + b'\xff\xff\xff\xff\x0f',
                struct.pack('>hhih', 3, 9, 1, 3) + b'raw' + b'\xff\xff\xff\xff\x0f', struct.pack('>hhih', 18, 3, 1, 3) + b'raw\0\xff',
                struct.pack('>hh', 3, 1), b'\0']
        before = self.memory()
        for lie in lies:
            with Raw(self.bootstrap) as c:
                c.send_frame(lie)
                c.sock.settimeout(5)
                try:
                    c.read_frame()
                except Closed:
                    pass                # closed or answered: both are right, silence is not
        self.honest()
        assert before is None or self.memory() - before < 8 << 20, 'grew by %d' % (self.memory() - before)
        return '%d frames' % len(lies)

    def garbage(self):
        """Random frames behind plausible headers, random bytes without."""
        rng = random.Random(20240917)
        for n in range(300):
            body = rng.randbytes(rng.choice((1, 8, 40, 200, 3000)))
            key = rng.choice(sorted(wire.REQUESTS))
            low, high = wire.REQUESTS[key].versions
            with Raw(self.bootstrap) as c:
                try:
                    if n % 10 == 0:
                        c.sock.sendall(body)
                    else:
                        c.send_frame(struct.pack('>hhih', key, rng.randint(low, high), n, 3) + b'raw' + body)
                except OSError:
                    pass                # it may have closed while we still wrote
        self.honest()
        return '300 connections'

    def truncated_requests(self):
        """Real requests cut at every byte."""
        whole = [wire.request_frame(0, 9, 1, {'acks': 1, 'timeout_ms': 100, 'topic_data': [
            {'name': self.topic, 'partition_data': [{'index': 0, 'records': batch(b'cut')}]}]}),
            wire.request_frame(1, 12, 1, fetch_body(self.topic, 0, max_wait_ms=0)),
            wire.request_frame(19, 5, 1, {'timeout_ms': 100, 'topics': [{'name': self.prefix + '-never', 'num_partitions': 1,
                                                                        'replication_factor': 1}]})]
        count = 0
        for frame in whole:
            for size in range(8, len(frame)):
                with Raw(self.bootstrap) as c:
                    c.send_frame(frame[:size])
                    c.sock.settimeout(5)
                    count += 1
                    try:
                        c.read_frame()
                    except Closed:
                        pass
        self.honest()
        return '%d cut frames' % count

    def half_request(self):
        """Half a request, a pause, the rest: answered; others are served meanwhile."""
        frame = wire.request_frame(3, 1, 1, {'topics': None})
        whole = struct.pack('>i', len(frame)) + frame
        with Raw(self.bootstrap) as c:
            for byte in whole[:-1]:
                c.sock.sendall(bytes([byte]))
                time.sleep(0.005)
            self.honest()
            time.sleep(0.5)
            c.sock.sendall(whole[-1:])
            assert c.read('Metadata', 1)[0] == 1

    def announced_floods(self):
        """Two hundred connections announce 100 MB and stop after one byte."""
        if not self.weir:
            raise cases.Skip('Apache Kafka dies of it: it allocates what is announced')
        before = self.memory()
        connections = [Raw(self.bootstrap) for _ in range(200)]
        try:
            for c in connections:
                c.sock.sendall(struct.pack('>ihh', 100 << 20, 0, 7) + b'\0')
            took = self.honest()
            grown = None if before is None else self.memory() - before
            assert grown is None or grown < 64 << 20, 'grew by %d MB' % (grown >> 20)
        finally:
            for c in connections:
                c.sock.close()
        return 'served in %.0f ms, grew by %s KB' % (took * 1000, grown and grown >> 10)

    def slow_reader(self):
        """A client that asks for much and reads nothing disturbs nobody."""
        with Raw(self.bootstrap) as writer:
            for _ in range(8):
                assert writer.produce(self.topic, batch(b'x' * 1000000))['error_code'] == 0
            start = writer.list_offset(self.topic, -2)[1]
        before = self.memory()
        slow = []
        try:
            for _ in range(10):
                c = Raw(self.bootstrap)
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                c.sock.settimeout(1)
                try:
                    for _ in range(200):
                        c.send('Fetch', 11, fetch_body(self.topic, start, partition_max_bytes=8 << 20))
                except OSError:
                    pass
                slow.append(c)
            took = max(self.honest() for _ in range(20))
            grown = None if before is None else self.memory() - before
            assert grown is None or grown < 96 << 20, 'grew by %d MB' % (grown >> 20)
        finally:
            for c in slow:
                c.sock.close()
        self.honest()
        return 'at worst %.0f ms, grew by %s KB' % (took * 1000, grown and grown >> 10)

    def idle_connections(self):
        """Five thousand connections that say nothing after their first request."""
        if not self.weir or not self.pid:
            raise cases.Skip('the process of the broker is not known')
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        want = min(5000, hard - 200)
        before = self.memory()
        connections = []
        try:
            for _ in range(want):
                c = Raw(self.bootstrap)
                connections.append(c)
                c.call('ApiVersions', 0, {})
            grown = self.memory() - before
            took = self.honest()
        finally:
            for c in connections:
                c.sock.close()
        assert grown / want < 1024, '%d bytes a connection' % (grown / want)
        return '%d connections, %d bytes each, an honest client waited %.0f ms' % (want, grown / want, took * 1000)

    def sasl_on_plain(self):
        """SaslHandshake and SaslAuthenticate on a listener without SASL: ILLEGAL_SASL_STATE, as Kafka says."""
        with Raw(self.bootstrap) as c:
            for version in (0, 1):
                try:
                    answer = c.call('SaslHandshake', version, {'mechanism': 'PLAIN'})
                except Closed:
                    assert not self.weir, 'closed'
                    raise cases.Skip('Apache Kafka closes') from None
                assert answer['error_code'] == 34, answer
            for version in (0, 1, 2):
                answer = c.call('SaslAuthenticate', version, {'auth_bytes': b'\0u\0p'})
                assert answer['error_code'] == 34, answer

    def acls_without_authoriser(self):
        """The ACL APIs say SECURITY_DISABLED."""
        with Raw(self.bootstrap) as c:
            answer = c.call('DescribeAcls', 1, {'resource_type_filter': 1, 'pattern_type_filter': 1, 'operation': 1, 'permission_type': 1})
            assert answer['error_code'] == 54, answer
            creation = {'resource_type': 2, 'resource_name': 't', 'resource_pattern_type': 3, 'principal': 'User:a', 'host': '*',
                        'operation': 3, 'permission_type': 3}
            assert c.call('CreateAcls', 1, {'creations': [creation]})['results'][0]['error_code'] == 54
            answer = c.call('DeleteAcls', 1, {'filters': [{'resource_type_filter': 1, 'pattern_type_filter': 1, 'operation': 1, 'permission_type': 1}]})
            assert answer['filter_results'][0]['error_code'] == 54, answer


NAMES = ('header', 'version_fallback', 'api_versions', 'bad_client_software', 'unknown_key', 'unsupported_version', 'sizes',
         'not_kafka', 'lying_lengths', 'garbage', 'truncated_requests', 'half_request', 'announced_floods', 'slow_reader',
         'idle_connections', 'sasl_on_plain', 'acls_without_authoriser')


def run(report, bootstrap, prefix, weir, pid, log):
    f = Frames(bootstrap, prefix, weir, pid, log)
    for name in NAMES:
        report.run(name.replace('_', '-'), getattr(f, name))
