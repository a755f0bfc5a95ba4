#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load: nothing that was acknowledged is lost, nothing is torn, nothing is there twice.

    kill9.py --weir FILE [--kills 10] [--seed N] [--set KEY=VALUE] [--keep]

Producers in processes of their own write to one broker that is killed at random moments and started again on its data.
What is acknowledged goes at once through a pipe into a journal that a further process keeps: a record counts only once it stands
there. Idempotent producers send again what got no answer, so that each of their records must be there exactly once and in
order; plain producers never send twice, so that theirs must be there at most once, and once if acknowledged. A third kind creates
topics. At the end everything is read back, through the broker and from the segment files."""

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, 'raw')]
import batches                                                                      # noqa: E402
import cases                                                                        # noqa: E402
from connection import Closed, Raw, produce_body                                    # noqa: E402
from server import Server                                                           # noqa: E402

TOPIC, PARTITIONS, WINDOW = 'kill9', 4, 5
PAUSE_S = 0.004             # between sends: enough load to be hit in the middle, little enough to read back soon
RETRIABLE = (3, 5, 6, 7, 56)
RETRY_S = 0.01


def journal(pipe, path):
    """The process that keeps what was acknowledged."""
    with open(path, 'w') as file, os.fdopen(pipe) as lines:
        for line in lines:
            file.write(line)
            file.flush()


class Producer:
    """One producer with up to five batches in flight; writes what is acknowledged into the pipe. Against many brokers
    where() and noted() are another's."""

    topic, retriable, patience_s = TOPIC, RETRIABLE, 5

    def __init__(self, bootstrap, pipe, number, partition, idempotent, seed):
        self.bootstrap, self.pipe, self.name = bootstrap, pipe, b'%c%d' % (b'i' if idempotent else b'p', number)
        self.partition, self.idempotent = partition, idempotent
        self.rng = random.Random(seed)
        self.next = 0               # number of the next record
        self.unanswered = []        # [(first, values)] in order
        self.connection = None
        self.producer_id = -1

    def say(self, line):
        """One line, atomically: it is shorter than PIPE_BUF."""
        os.write(self.pipe, line.encode())

    def where(self):
        """The address to write to; None: it is not known now."""
        return self.bootstrap

    def connect(self):
        """Until it works: the broker may be dead."""
        while True:
            bootstrap = self.where()
            try:
                if bootstrap:
                    self.connection = Raw(bootstrap, self.patience_s)
                    if self.idempotent and self.producer_id < 0:
                        answer = self.connection.call('InitProducerId', 1, {'transactional_id': None, 'transaction_timeout_ms': 60000})
                        if answer['error_code']:
                            raise Closed()
                        self.producer_id = answer['producer_id']
                    return
            except (OSError, Closed):
                self.drop()
            time.sleep(RETRY_S)

    def drop(self):
        if self.connection:
            self.connection.sock.close()
        self.connection = None

    def send(self, first, values):
        options = dict(producer_id=self.producer_id, producer_epoch=0, base_sequence=first) if self.idempotent else {}
        records = batches.build(values, timestamp_ms=int(time.time() * 1000), **options)
        self.connection.send('Produce', 7, produce_body(self.topic, records, -1 if self.idempotent else 1, self.partition))

    def fresh(self):
        """The next batch: a few records, now and then a large one."""
        size = 30000 if self.rng.random() < 0.02 else self.rng.randrange(10, 400)
        values = [b'%s %d %s' % (self.name, self.next + i, b'x' * size) for i in range(self.rng.randrange(1, 6))]
        first, self.next = self.next, self.next + len(values)
        self.unanswered.append((first, values))
        return first, values

    def answer(self, first, values):
        """Takes the answer to one batch; its error code. An acknowledged one is journalled."""
        part = self.connection.read('Produce', 7)[1]['responses'][0]['partition_responses'][0]
        if part['error_code'] == 0:
            self.say('a %s %d %d %d%s\n' % (self.name.decode(), first, len(values), part['base_offset'], self.noted()))
        return part['error_code']

    def noted(self):
        """What else the journal says of an acknowledgement that has just come."""
        return ''

    def refused(self, behind):
        """The first of the window was refused for now: takes the answers to what was sent behind it."""
        for first, values in behind:
            if self.answer(first, values) == 0 and self.idempotent:
                self.say('e %s %d accepted behind a gap\n' % (self.name.decode(), first))

    def answers(self, down_to):
        """Takes answers until so many are out. After a refusal the rest of the window is taken too, then sent again."""
        while len(self.unanswered) > down_to:
            code = self.answer(*self.unanswered[0])
            if code == 0:
                self.unanswered.pop(0)
                continue
            if code not in self.retriable:
                self.say('e %s %d error %d\n' % (self.name.decode(), self.unanswered[0][0], code))
            self.refused(self.unanswered[1:])
            raise Closed()

    def run(self, stop):
        """Sends until told to stop, then until everything is answered."""
        while not stop.is_set() or self.unanswered:
            try:
                if self.connection is None:
                    self.connect()
                    if not self.idempotent:
                        self.unanswered.clear()     # never sent twice: whether they arrived stays unknown
                    for first, values in self.unanswered:
                        self.send(first, values)
                self.answers(0 if stop.is_set() else WINDOW - 1)
                if not stop.is_set():
                    self.send(*self.fresh())
                    time.sleep(PAUSE_S)
            except (OSError, Closed):
                self.drop()
                time.sleep(0.005)
        self.drop()


def produce(bootstrap, pipe, number, partition, idempotent, seed, stop):
    Producer(bootstrap, pipe, number, partition, idempotent, seed).run(stop)


def create_topics(bootstrap, pipe, stop):
    """Creates one topic after the other; each answer is journalled."""
    number = 0
    while not stop.is_set():
        try:
            with Raw(bootstrap, 5) as c:
                while not stop.is_set():
                    name = 'made-%d' % number
                    code = c.create(name, 2)
                    if code in (0, 36):     # 36: made before the broker died, and not told
                        os.write(pipe, b't %s\n' % name.encode())
                        number += 1
                    time.sleep(0.05)
        except (OSError, Closed):
            time.sleep(0.02)


class Moved(Exception):
    """NOT_LEADER_OR_FOLLOWER: leadership moved since the leader was asked for."""


def read_all(bootstrap, partition, topic=TOPIC):
    """Every batch of a partition, through the broker."""
    out = []
    with Raw(bootstrap, 20) as c:
        error, at, _ = c.list_offset(topic, -2, partition=partition)
        end_error, end, _ = c.list_offset(topic, -1, partition=partition)
        if 6 in (error, end_error):
            raise Moved('no longer led by %s' % bootstrap)
        assert error == end_error == 0, 'list offsets: errors %d, %d' % (error, end_error)
        while at < end:
            part = c.fetch(topic, at, partition=partition, partition_max_bytes=4 << 20)
            if part['error_code'] == 6:
                raise Moved('no longer led by %s' % bootstrap)
            assert part['error_code'] == 0, 'fetch at %d: error %d' % (at, part['error_code'])
            found = batches.parse(part['records'], whole=False)
            assert found, 'nothing at %d of %d' % (at, end)
            out += found
            at = found[-1].last_offset + 1
    return out


def check_partition(found, acknowledged):
    """Order, completeness and once-ness of one partition. acknowledged: {producer: {record number: offset}}."""
    expected_offset, seen = None, {}
    for batch in found:
        assert batch.crc_ok(), 'torn: the batch at %d fails its CRC' % batch.base_offset
        assert expected_offset in (None, batch.base_offset), 'a hole before %d' % batch.base_offset
        expected_offset = batch.last_offset + 1
        for offset, _, _, value in batch.records():
            name, number = value.split(b' ')[:2]
            mine = seen.setdefault(name.decode(), {})
            number = int(number)
            assert number not in mine, 'twice: %s %d at %d and %d' % (name.decode(), number, mine[number], offset)
            assert not mine or number > next(reversed(mine)), 'out of order: %s %d at %d' % (name.decode(), number, offset)
            mine[number] = offset
    for name, records in acknowledged.items():
        for number, offset in records.items():
            got = seen.get(name, {}).get(number)
            assert got == offset, 'lost: %s %d was acknowledged at %d, found at %s' % (name, number, offset, got)
        if name.startswith('i'):
            count = len(seen[name])
            assert list(seen[name]) == list(range(count)), 'gaps in %s' % name
    return sum(map(len, seen.values()))


def read_journal(path):
    """({producer: {record: offset}}, topics, errors, count)."""
    acknowledged, topics, errors, count = {}, set(), [], 0
    with open(path) as file:
        for line in file:
            kind, name, *rest = line.split()
            if kind == 'a':
                first, size, base = map(int, rest)
                count += size
                acknowledged.setdefault(name, {}).update((first + i, base + i) for i in range(size))
            elif kind == 't':
                topics.add(name)
            else:
                errors.append(line.strip())
    return acknowledged, topics, errors, count


class Campaign:
    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.server = Server(arguments.weir, folder, arguments.set)
        self.journal_path = os.path.join(folder, 'journal')
        self.start_ms = []

    def load_and_kill(self):
        """The run itself."""
        self.server.start()
        with Raw(self.server.bootstrap) as c:
            assert c.create(TOPIC, PARTITIONS, [('segment.bytes', '1048576')]) == 0
        reader, writer = os.pipe()
        stop = multiprocessing.Event()
        keeper = multiprocessing.Process(target=keep, args=(reader, writer, self.journal_path))
        keeper.start()
        os.close(reader)
        workers = [multiprocessing.Process(target=produce, args=(self.server.bootstrap, writer, n, n % PARTITIONS, n < PARTITIONS,
                                                                 self.arguments.seed + n, stop)) for n in range(PARTITIONS + 2)]
        workers.append(multiprocessing.Process(target=create_topics, args=(self.server.bootstrap, writer, stop)))
        for worker in workers:
            worker.start()
        os.close(writer)
        rng = random.Random(self.arguments.seed)
        try:
            for _ in range(self.arguments.kills):
                time.sleep(rng.uniform(0.05, 1.0))
                self.server.kill()
                self.start_ms.append(self.server.start() * 1000)
            time.sleep(0.5)
        finally:
            stop.set()
            for worker in workers:
                worker.join(30)
                if worker.is_alive():
                    worker.terminate()
            keeper.join(10)
        assert all(w.exitcode == 0 for w in workers), 'a producer did not end: %s' % [w.exitcode for w in workers]

    def check(self):
        """Everything read back, through the broker and from the files."""
        acknowledged, topics, errors, count = read_journal(self.journal_path)
        assert not errors, '%d refusals, first: %s' % (len(errors), errors[0])
        assert count > 20 * self.arguments.kills, 'only %d records were acknowledged' % count
        found = 0
        for partition in range(PARTITIONS):
            mine = {name: records for name, records in acknowledged.items() if int(name[1:]) % PARTITIONS == partition}
            found += check_partition(read_all(self.server.bootstrap, partition), mine)
        with Raw(self.server.bootstrap) as c:
            listed = {t['name'].decode() for t in c.call('Metadata', 1, {'topics': None})['topics'] if t['error_code'] == 0}
        assert topics <= listed, 'lost topics: %s' % sorted(topics - listed)[:5]
        code = self.server.stop()
        assert code == 0, 'exit code %d at the end' % code
        for partition, folder in sorted(batches.partition_folders(self.server.data, TOPIC).items()):
            for batch in batches.read_log(folder):
                assert batch.crc_ok(), 'on disk: partition %d, the batch at %d fails its CRC' % (partition, batch.base_offset)
        return count, found, len(topics)

    def run(self):
        self.load_and_kill()
        count, found, topics = self.check()
        starts = sorted(self.start_ms)
        return '%d kills, %d records acknowledged, %d stored, %d topics; start %.0f ms in the middle, %.0f at worst; seed %d' % (
            self.arguments.kills, count, found, topics, starts[len(starts) // 2], starts[-1], self.arguments.seed)


def keep(reader, writer, path):
    """The journal's process holds only the reading end, so that it sees the end of the last producer."""
    os.close(writer)
    journal(reader, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--weir', required=True)
    parser.add_argument('--kills', type=int, default=10)
    parser.add_argument('--seed', type=int, default=int(time.time()))
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE', help='a setting of the server')
    parser.add_argument('--keep', action='store_true', help='leave the data folder and the journal behind')
    parser.add_argument('--json', action='store_true', help='one JSON object a case')
    arguments = parser.parse_args()
    report = cases.Report('kill9', plain=not arguments.json)
    folder = tempfile.mkdtemp(prefix='weir-kill9-')
    campaign = Campaign(arguments, folder)
    try:
        report.run('acknowledged-records-survive', campaign.run)
    finally:
        if campaign.server.process and campaign.server.process.poll() is None:
            campaign.server.kill()
    report.end_in(folder, arguments.keep, arguments.seed)


if __name__ == '__main__':
    main()
