#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A member of a consumer group with kafka-python, for rebalance.py: member.py HOST:PORT TOPIC GROUP NAME. SIGTERM: it leaves. What it
prints: ../confluent/members.py."""

import signal
import sys
import time

import kafka
from kafka import ConsumerRebalanceListener, KafkaConsumer

bootstrap, topic, group, name = sys.argv[1:5]
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(True))


def say(*words):
    sys.stdout.write(' '.join(map(str, words)) + '\n')
    sys.stdout.flush()


consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=group, client_id=name, auto_offset_reset='earliest',
                         enable_auto_commit=False, session_timeout_ms=6000, heartbeat_interval_ms=500,
                         metadata_max_age_ms=5000)


def came(assigned):
    if assigned:
        say('+', name, ','.join(str(p.partition) for p in assigned))


def went(revoked):
    if revoked:
        say('-', name, ','.join(str(p.partition) for p in revoked))


class Listener(ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked):
        try:
            consumer.commit()
        except Exception as error:      # a member that was put out may not commit
            say('e', name, repr(error))
        went(revoked)

    def on_partitions_assigned(self, assigned):
        came(assigned)


if hasattr(kafka, 'AsyncConsumerRebalanceListener'):
    class Listener(kafka.AsyncConsumerRebalanceListener):     # noqa: F811: it may not block any more
        async def on_partitions_revoked(self, revoked):
            try:
                await consumer.commit_async()
            except Exception as error:
                say('e', name, repr(error))
            went(revoked)

        async def on_partitions_assigned(self, assigned):
            came(assigned)


consumer.subscribe([topic], listener=Listener())
committed = time.monotonic()
while not ended:
    for records in consumer.poll(200).values():
        for record in records:
            say('r', name, record.partition, record.offset)
    if time.monotonic() > committed + 0.5:
        try:
            consumer.commit()
        except Exception as error:      # a rebalance: what is assigned next begins at the last commit
            say('e', name, repr(error))
        committed = time.monotonic()
consumer.commit()
consumer.close()
say('.', name)
