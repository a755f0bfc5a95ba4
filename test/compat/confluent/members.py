#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Members of consumer groups with confluent-kafka, as many as asked for in one process, for rebalance.py.

    members.py HOST:PORT TOPIC GROUP

Commands come on standard input: `start NAME [KEY=VALUE]...`, `stop NAME`; at its end all leave. Prints what happens, a line each:
`+ NAME 0,1,2` and `- NAME 0,1` for partitions that came and went, `r NAME PARTITION OFFSET` for a record, `e NAME TEXT` for an
error, `. NAME` when one has closed. Offsets are committed twice a second and when partitions go."""

import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

bootstrap, topic, group = sys.argv[1:4]
out = threading.Lock()


def say(*words):
    with out:
        sys.stdout.write(' '.join(map(str, words)) + '\n')
        sys.stdout.flush()


class Member(threading.Thread):
    """Polls until it is told to stop."""

    def __init__(self, name, options):
        super().__init__(daemon=True)
        config = {'bootstrap.servers': bootstrap, 'group.id': group, 'client.id': name, 'auto.offset.reset': 'earliest',
                  'enable.auto.commit': False, 'log_level': 2}
        self.name, self.ended, self.next = name, False, {}
        self.consumer = Consumer(dict(config, **options))
        self.start()

    def commit(self, partitions):
        offsets = [TopicPartition(topic, p, self.next.pop(p)) for p in partitions if p in self.next]
        if offsets:
            try:
                self.consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as error:
                say('e', self.name, 'commit:', error)

    def assigned(self, _, partitions):
        say('+', self.name, ','.join(str(p.partition) for p in partitions))

    def revoked(self, _, partitions):
        self.commit([p.partition for p in partitions])
        say('-', self.name, ','.join(str(p.partition) for p in partitions))

    def lost(self, _, partitions):
        self.next.clear()
        say('-', self.name, ','.join(str(p.partition) for p in partitions))

    def run(self):
        self.consumer.subscribe([topic], on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.lost)
        committed = time.monotonic()
        while not self.ended:
            message = self.consumer.poll(0.2)
            if message is not None and not message.error():
                say('r', self.name, message.partition(), message.offset())
                self.next[message.partition()] = message.offset() + 1
            if time.monotonic() > committed + 0.5:
                self.commit(list(self.next))
                committed = time.monotonic()
        self.commit(list(self.next))
        self.consumer.close()
        say('.', self.name)


def main():
    members = {}
    for line in sys.stdin:
        command, name, *options = line.split()
        if command == 'start':
            members[name] = Member(name, dict(option.split('=', 1) for option in options))
        else:
            members.pop(name).ended = True
    for member in members.values():
        member.ended = True
    while threading.active_count() > 1:
        time.sleep(0.02)


if __name__ == '__main__':
    main()
