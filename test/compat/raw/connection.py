# SPDX-License-Identifier: Apache-2.0
"""A connection that sends any bytes to a broker and reads its frames; and the few exchanges that most raw cases need."""

import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import batches                                                                      # noqa: E402
import wire                                                                         # noqa: E402


class Closed(Exception):
    """The broker ended the connection."""


class Raw:
    """One connection. Correlation ids count up from 1."""

    def __init__(self, bootstrap, seconds=10):
        host, port = bootstrap.rsplit(':', 1)
        self.sock = socket.create_connection((host, int(port)), seconds)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send_frame(self, frame):
        self.sock.sendall(struct.pack('>i', len(frame)) + frame)

    def send(self, name, version, body, client_id=b'raw'):
        """Sends a request; returns its correlation id."""
        self.correlation += 1
        self.send_frame(wire.request_frame(wire.KEYS[name], version, self.correlation, body, client_id))
        return self.correlation

    def read_exactly(self, count):
        out = bytearray()
        while len(out) < count:
            try:
                chunk = self.sock.recv(min(count - len(out), 1 << 20))
            except ConnectionError:
                raise Closed() from None
            if not chunk:
                raise Closed()
            out += chunk
        return bytes(out)

    def read_frame(self):
        size = struct.unpack('>i', self.read_exactly(4))[0]
        return self.read_exactly(size)

    def read(self, name, version):
        """The next response, decoded: (correlation id, body)."""
        return wire.decode_response(wire.KEYS[name], version, self.read_frame())

    def call(self, name, version, body, client_id=b'raw'):
        """A request and its answer."""
        sent = self.send(name, version, body, client_id)
        correlation, answer = self.read(name, version)
        assert correlation == sent, 'asked as %d, answered as %d' % (sent, correlation)
        return answer

    def closed(self, seconds=5):
        """True when the broker closes the connection in that time, whatever it says before."""
        self.sock.settimeout(seconds)
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                if not self.sock.recv(65536):
                    return True
        except socket.timeout:
            return False
        except ConnectionError:
            return True
        return False

    def silent(self, seconds):
        """True when nothing arrives in that time and the connection stays open."""
        before = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            return len(self.sock.recv(1)) < 0
        except socket.timeout:
            return True
        finally:
            self.sock.settimeout(before)

    def api_versions(self):
        """{key: (lowest, highest)} as advertised."""
        return {k['api_key']: (k['min_version'], k['max_version']) for k in self.call('ApiVersions', 0, {})['api_keys']}

    def create(self, topic, partitions=1, configs=(), factor=1):
        """Creates a topic; its error code."""
        answer = self.call('CreateTopics', 4, {'timeout_ms': 10000, 'topics': [{
            'name': topic, 'num_partitions': partitions, 'replication_factor': factor,
            'configs': [{'name': k, 'value': v} for k, v in configs]}]})
        return answer['topics'][0]['error_code']

    def produce(self, topic, records, version=7, acks=-1, partition=0):
        """One partition's records; its part of the answer."""
        answer = self.call('Produce', version, produce_body(topic, records, acks, partition))
        return answer['responses'][0]['partition_responses'][0]

    def fetch(self, topic, offset, version=11, partition=0, max_wait_ms=500, min_bytes=1, max_bytes=1 << 25,
              partition_max_bytes=1 << 20):
        """One partition from an offset; its part of the answer."""
        answer = self.call('Fetch', version, fetch_body(topic, offset, partition, max_wait_ms, min_bytes, max_bytes,
                                                        partition_max_bytes))
        return answer['responses'][0]['partitions'][0]

    def list_offset(self, topic, timestamp, version=5, partition=0):
        """(error code, offset, timestamp) for a timestamp or one of the special ones."""
        answer = self.call('ListOffsets', version, {'replica_id': -1, 'topics': [{'name': topic, 'partitions': [
            {'partition_index': partition, 'timestamp': timestamp}]}]})
        found = answer['topics'][0]['partitions'][0]
        return found['error_code'], found['offset'], found['timestamp']

    def end(self, topic):
        """The offset behind the last record."""
        return self.list_offset(topic, -1)[1]


def produce_body(topic, records, acks=-1, partition=0):
    return {'acks': acks, 'timeout_ms': 10000, 'topic_data': [
        {'name': topic, 'partition_data': [{'index': partition, 'records': records}]}]}


def fetch_body(topic, offset, partition=0, max_wait_ms=500, min_bytes=1, max_bytes=1 << 25, partition_max_bytes=1 << 20):
    return {'max_wait_ms': max_wait_ms, 'min_bytes': min_bytes, 'max_bytes': max_bytes, 'topics': [
        {'topic': topic, 'partitions': [{'partition': partition, 'fetch_offset': offset,
                                         'partition_max_bytes': partition_max_bytes}]}]}


def now_ms():
    return int(time.time() * 1000)


def batch(*values, **options):
    """A batch of values with the time of now."""
    options.setdefault('timestamp_ms', now_ms())
    return batches.build(list(values), **options)
