#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records what real clients and a real broker say to each other, as the golden bytes of the wire tests.

A transparent proxy: every frame is passed on as it is, and for each (API, version) one request with its response is kept
and written to OUT/<client>/<Api>-v<N>-{req,rsp}.hex when the proxy ends (SIGTERM, SIGINT). The broker must advertise the
proxy's address, so that clients come back through it:

    test/compat/kafka/kafka-broker.sh 4.1.1 21000 DATA advertised.listeners=PLAINTEXT://127.0.0.1:21005
    test/golden/record.py --listen 21005 --broker 127.0.0.1:21000 --client kcat --out test/golden/wire

The proxy understands of a frame only what it needs: request header, and acks of Produce (acks=0 has no response)."""

import argparse
import collections
import os
import signal
import socket
import struct
import sys
import threading

# A file holds two hex digits a byte and line ends: a frame of this size stays below 8 KiB.
FRAME_BYTES_MAX = 3900
# Richer frames are better tests, but only up to a size that a person can still read.
FRAME_BYTES_WANTED = 900

API_NAMES = {
    0: 'Produce', 1: 'Fetch', 2: 'ListOffsets', 3: 'Metadata', 8: 'OffsetCommit', 9: 'OffsetFetch',
    10: 'FindCoordinator', 11: 'JoinGroup', 12: 'Heartbeat', 13: 'LeaveGroup', 14: 'SyncGroup',
    15: 'DescribeGroups', 16: 'ListGroups', 17: 'SaslHandshake', 18: 'ApiVersions', 19: 'CreateTopics',
    20: 'DeleteTopics', 21: 'DeleteRecords', 22: 'InitProducerId', 23: 'OffsetForLeaderEpoch',
    24: 'AddPartitionsToTxn', 25: 'AddOffsetsToTxn', 26: 'EndTxn', 27: 'WriteTxnMarkers', 28: 'TxnOffsetCommit',
    29: 'DescribeAcls', 30: 'CreateAcls', 31: 'DeleteAcls', 32: 'DescribeConfigs', 33: 'AlterConfigs',
    34: 'AlterReplicaLogDirs', 35: 'DescribeLogDirs', 36: 'SaslAuthenticate', 37: 'CreatePartitions',
    38: 'CreateDelegationToken', 39: 'RenewDelegationToken', 40: 'ExpireDelegationToken',
    41: 'DescribeDelegationToken', 42: 'DeleteGroups', 43: 'ElectLeaders', 44: 'IncrementalAlterConfigs',
    45: 'AlterPartitionReassignments', 46: 'ListPartitionReassignments', 47: 'OffsetDelete',
    48: 'DescribeClientQuotas', 49: 'AlterClientQuotas', 50: 'DescribeUserScramCredentials',
    51: 'AlterUserScramCredentials', 55: 'DescribeQuorum', 57: 'UpdateFeatures', 60: 'DescribeCluster',
    61: 'DescribeProducers', 64: 'UnregisterBroker', 65: 'DescribeTransactions', 66: 'ListTransactions',
    68: 'ConsumerGroupHeartbeat', 69: 'ConsumerGroupDescribe', 71: 'GetTelemetrySubscriptions', 72: 'PushTelemetry',
    74: 'ListClientMetricsResources', 75: 'DescribeTopicPartitions', 76: 'ShareGroupHeartbeat', 77: 'ShareGroupDescribe',
    78: 'ShareFetch', 79: 'ShareAcknowledge', 80: 'AddRaftVoter', 81: 'RemoveRaftVoter',
    90: 'DescribeShareGroupOffsets', 91: 'AlterShareGroupOffsets', 92: 'DeleteShareGroupOffsets',
}


class Store:
    """The best pair of frames seen so far for each (key, version)."""

    def __init__(self):
        self.lock = threading.Lock()
        self.best = {}
        self.seen = collections.Counter()

    def offer(self, key, version, request, response):
        """Keeps the pair when it says more than the one kept before. response is None for Produce with acks=0."""
        size = max(len(request), len(response or b''))
        with self.lock:
            self.seen[(key, version)] += 1
            if size > FRAME_BYTES_MAX:
                return
            # The richest pair that is still short, else the shortest; and one with an answer before one without.
            rank = (response is not None, min(size, FRAME_BYTES_WANTED + 1 - size))
            if size <= FRAME_BYTES_WANTED:
                rank = (response is not None, len(request) + len(response or b''))
            kept = self.best.get((key, version))
            if kept is None or rank > kept[0]:
                self.best[(key, version)] = (rank, request, response)

    def write(self, folder):
        """Writes the files; a file that exists already is replaced."""
        os.makedirs(folder, exist_ok=True)
        for (key, version), (_, request, response) in sorted(self.best.items()):
            name = '%s-v%d' % (API_NAMES.get(key, 'Api%d' % key), version)
            for kind, frame in (('req', request), ('rsp', response)):
                if frame is not None:
                    with open(os.path.join(folder, '%s-%s.hex' % (name, kind)), 'w') as f:
                        f.write(hex_lines(frame))
        too_long = sorted(set(self.seen) - set(self.best))
        for key, version in too_long:
            print('not kept, every frame too long: %s v%d' % (API_NAMES.get(key, key), version), file=sys.stderr)


def hex_lines(frame):
    """Sixty bytes a line: text that diffs well."""
    return ''.join(frame[i:i + 60].hex() + '\n' for i in range(0, len(frame), 60))


def read_exactly(sock, count):
    """Bytes from a socket, or None at its end."""
    chunks = []
    while count:
        chunk = sock.recv(min(count, 1 << 20))
        if not chunk:
            return None
        chunks.append(chunk)
        count -= len(chunk)
    return b''.join(chunks)


def read_frame(sock):
    """One length-prefixed frame without its prefix, or None at the end."""
    prefix = read_exactly(sock, 4)
    return None if prefix is None else read_exactly(sock, struct.unpack('>i', prefix)[0])


def produce_acks(frame, version):
    """The acks field of a Produce request."""
    at = 8
    client_id_bytes = struct.unpack_from('>h', frame, at)[0]
    at += 2 + max(client_id_bytes, 0)
    if version >= 9:
        at += 1                             # no tags in the header
        at += max(frame[at] - 1, 0) + 1     # transactional id, compact; shorter than 127 bytes here
    elif version >= 3:
        at += 2 + max(struct.unpack_from('>h', frame, at)[0], 0)
    return struct.unpack_from('>h', frame, at)[0]


def expects_nothing(frame, version):
    """A Produce with acks=0; a frame that is cut short is none."""
    try:
        return produce_acks(frame, version) == 0
    except (IndexError, struct.error):
        return False


class Link:
    """One client connection and its connection to the broker."""

    def __init__(self, store, client, broker):
        self.store, self.client, self.broker = store, client, broker
        self.pending = collections.OrderedDict()    # correlation id -> (key, version, frame)
        self.lock = threading.Lock()

    def requests(self):
        """Client to broker."""
        try:
            while (frame := read_frame(self.client)) is not None:
                key, version, correlation = struct.unpack_from('>hhi', frame)
                if key == 0 and expects_nothing(frame, version):
                    self.store.offer(key, version, frame, None)
                else:
                    with self.lock:
                        self.pending[correlation] = (key, version, frame)
                self.broker.sendall(struct.pack('>i', len(frame)) + frame)
        except OSError:
            pass
        self.end(self.broker)

    def responses(self):
        """Broker to client."""
        try:
            while (frame := read_frame(self.broker)) is not None:
                with self.lock:
                    request = self.pending.pop(struct.unpack_from('>i', frame)[0], None)
                if request:
                    self.store.offer(*request, frame)
                self.client.sendall(struct.pack('>i', len(frame)) + frame)
        except OSError:
            pass
        self.end(self.client)

    @staticmethod
    def end(sock):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--listen', type=int, required=True, metavar='PORT')
    parser.add_argument('--broker', required=True, metavar='HOST:PORT')
    parser.add_argument('--client', required=True, metavar='NAME', help='folder name: client and version')
    parser.add_argument('--out', required=True, metavar='DIR')
    arguments = parser.parse_args()
    host, port = arguments.broker.rsplit(':', 1)

    store = Store()

    def finish(*_):
        store.write(os.path.join(arguments.out, arguments.client))
        os._exit(0)

    signal.signal(signal.SIGTERM, finish)
    signal.signal(signal.SIGINT, finish)
    listener = socket.create_server(('127.0.0.1', arguments.listen), reuse_port=False)
    while True:
        client, _ = listener.accept()
        try:
            broker = socket.create_connection((host, int(port)))
        except OSError as error:
            print('broker: %s' % error, file=sys.stderr)
            client.close()
            continue
        for sock in (client, broker):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(store, client, broker)
        threading.Thread(target=link.requests, daemon=True).start()
        threading.Thread(target=link.responses, daemon=True).start()


if __name__ == '__main__':
    main()
