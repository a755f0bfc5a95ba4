# SPDX-License-Identifier: Apache-2.0
"""More than one shard: requests that cross them give the right data in the right order; deletes and retention under
running clients."""

import shutil
import subprocess
import time

from harness import Background, Closed, Node, Skip, batch, batches, timed, until

PARTITIONS = 12


def values(data):
    """The values of all records of uncompressed batches."""
    out, at = [], 0
    while at < len(data):
        b = batches.Batch(data, at)
        out += [value for _, _, _, value in b.records()]
        at += b.bytes
    return out


def produce_many(c, topic, rounds, start=0):
    """One request for all partitions, several times over; the values carry partition and number."""
    for n in range(start, start + rounds):
        answer = c.call('Produce', 7, {'acks': -1, 'timeout_ms': 10000, 'topic_data': [{'name': topic, 'partition_data': [
            {'index': p, 'records': batch(b'%d:%d' % (p, n))} for p in range(PARTITIONS)]}]})
        for part in answer['responses'][0]['partition_responses']:
            assert part['error_code'] == 0 and part['base_offset'] == n, part


def consume_all(c, topic, each):
    """Reads all partitions through one fetch session until each has as many; checks order and content."""
    got = [[] for _ in range(PARTITIONS)]
    session = epoch = 0
    end = time.monotonic() + 15
    changed = range(PARTITIONS)
    while any(len(g) < each for g in got):
        assert time.monotonic() < end, 'only %s' % [len(g) for g in got]
        answer = c.call('Fetch', 11, {'max_wait_ms': 500, 'min_bytes': 1, 'max_bytes': 3000, 'session_id': session,
                                      'session_epoch': epoch, 'topics': [{'topic': topic, 'partitions': [
                                          {'partition': p, 'fetch_offset': len(got[p]), 'partition_max_bytes': 700}
                                          for p in changed]}]})
        assert answer['error_code'] == 0, answer
        session, epoch = answer['session_id'], epoch + 1
        changed = []
        for t in answer['responses']:
            for p in t['partitions']:
                assert p['error_code'] == 0, p
                if p['records']:
                    got[p['partition_index']] += values(p['records'])
                    changed.append(p['partition_index'])
    for p, g in enumerate(got):
        assert g == [b'%d:%d' % (p, n) for n in range(each)], 'partition %d: %s' % (p, g[:10])


def crossing(weir):
    """Produce, fetch with sessions, list offsets and delete records over 12 partitions on 2 and 3 shards, over restarts."""
    for shards in ('2', '3'):
        with Node(weir, arguments=['--shards', shards]) as node:
            with node.raw() as c:
                assert c.create('t', PARTITIONS) == 0
            for step in range(3):
                for part in range(2):   # connections land on different shards
                    with node.raw() as c:
                        produce_many(c, 't', 20, step * 40 + part * 20)
                for _ in range(3):
                    with node.raw() as c:
                        consume_all(c, 't', (step + 1) * 40)
                        answer = c.call('ListOffsets', 5, {'replica_id': -1, 'topics': [{'name': 't', 'partitions': [
                            {'partition_index': p, 'timestamp': -1} for p in range(PARTITIONS)]}]})
                        ends = [p['offset'] for p in answer['topics'][0]['partitions']]
                        assert ends == [(step + 1) * 40] * PARTITIONS, ends
                assert node.stop() == 0, node.log()[-800:]
                node.start()


def woken(weir):
    """A long poll over all partitions is woken by a produce to any of them, on any shard, at once."""
    for shards in ('1', '3'):
        with Node(weir, arguments=['--shards', shards]) as node:
            with node.raw() as c:
                c.create('t', PARTITIONS)
            offsets = [0] * PARTITIONS
            worst = 0
            with node.raw() as c, node.raw() as p:
                for n in range(60):
                    partition = n * 7 % PARTITIONS
                    c.send('Fetch', 11, {'max_wait_ms': 10000, 'min_bytes': 1, 'max_bytes': 100000, 'topics': [
                        {'topic': 't', 'partitions': [{'partition': i, 'fetch_offset': offsets[i],
                                                       'partition_max_bytes': 1000} for i in range(PARTITIONS)]}]})
                    time.sleep(0.002 if n % 2 else 0)
                    begin = time.monotonic()
                    assert p.produce('t', batch(b'%d' % n), partition=partition)['error_code'] == 0
                    answer = c.read('Fetch', 11)[1]
                    worst = max(worst, time.monotonic() - begin)
                    parts = {q['partition_index']: q for q in answer['responses'][0]['partitions']}
                    assert values(parts[partition]['records']) == [b'%d' % n], parts[partition]
                    offsets[partition] += 1
            assert worst < 1, 'woken after %.2f s' % worst


def minimum_bytes(weir):
    """min_bytes holds a fetch back until enough is there over all partitions, and max_wait ends it."""
    for shards in ('1', '2'):
        with Node(weir, arguments=['--shards', shards]) as node, node.raw() as c, node.raw() as p:
            c.create('t', 4)
            body = {'max_wait_ms': 1500, 'min_bytes': 3000, 'max_bytes': 100000, 'topics': [{'topic': 't', 'partitions': [
                {'partition': i, 'fetch_offset': 0, 'partition_max_bytes': 50000} for i in range(4)]}]}
            c.send('Fetch', 11, body)
            for n in range(2):
                p.produce('t', batch(b'x' * 1000), partition=n)
            assert c.silent(0.3), 'answered below min_bytes'
            p.produce('t', batch(b'x' * 1000), partition=3)
            took, answer = timed(c.read, 'Fetch', 11)
            assert took < 0.5, 'held back %.2f s after enough was there' % took
            assert sum(len(q['records']) for q in answer[1]['responses'][0]['partitions']) > 3000
            body['min_bytes'], body['max_wait_ms'] = 50000, 400
            took, _ = timed(c.call, 'Fetch', 11, body)
            assert 0.35 < took < 1.5, 'ended after %.2f s' % took


def made_anew(weir):
    """A topic deleted and made again under producers and consumers: never an old record under the new one."""
    for shards in ('1', '2'):
        with Node(weir, arguments=['--shards', shards]) as node:
            life = [0]

            def produce(background, number):
                while not background.over.is_set():
                    try:
                        with node.raw() as c:
                            while not background.over.is_set():
                                before = life[0]
                                answer = c.produce('t', batch(b'%d' % before), partition=number)
                                assert answer['error_code'] in (0, 3, 5, 6, 41, 56), answer
                    except (Closed, OSError):
                        time.sleep(0.01)

            def consume(background, number):
                with node.raw() as c:
                    while not background.over.is_set():
                        least = life[0]
                        part = c.fetch('t', 0, max_wait_ms=20, partition=number)
                        assert part['error_code'] in (0, 1, 3, 5, 6, 41, 56, 100), part
                        if part['records']:
                            # a record may be one life older: sent before the delete and appended after the create
                            assert all(int(v) >= least - 1 for v in values(part['records'])), (least, values(part['records'])[:3])

            with node.raw() as c:
                c.create('t', 4)
            with Background(produce, 4), Background(consume, 4), node.raw() as c:
                for n in range(40):
                    time.sleep(0.02)
                    answer = c.call('DeleteTopics', 1, {'topic_names': ['t'], 'timeout_ms': 5000})
                    assert answer['responses'][0]['error_code'] == 0, answer
                    life[0] = n + 1
                    assert c.create('t', 4) == 0
            with node.raw() as c:
                def works():
                    return c.produce('t', batch(b'last'), partition=2)['error_code'] == 0
                until(works, 3, 'the last topic does not take records')


def records_deleted(weir):
    """DeleteRecords and retention while consumers run: offsets below the start are out of range, nothing else changes."""
    for shards in ('1', '2'):
        with Node(weir, ['log.retention.check.interval.ms=200', 'log.segment.delete.delay.ms=100'],
                  ['--shards', shards]) as node:
            with node.raw() as c:
                c.create('t', 3, [('segment.bytes', '1048576'), ('retention.bytes', '2000000')])
            ends = [0, 0, 0]

            def produce(background, number):
                with node.raw() as c:
                    while not background.over.is_set():
                        answer = c.produce('t', batch(b'%d' % ends[number] + b' ' * 100000), partition=number)
                        assert answer['error_code'] == 0, answer
                        ends[number] = answer['base_offset'] + 1

            def consume(background, number):
                at = 0
                with node.raw() as c:
                    while not background.over.is_set():
                        part = c.fetch('t', at, max_wait_ms=50, partition=number % 3)
                        if part['error_code'] == 1:
                            error, at, _ = c.list_offset('t', -2, partition=number % 3)
                            assert error == 0
                            continue
                        assert part['error_code'] == 0, part
                        if not part['records']:
                            continue
                        for n, value in enumerate(values(part['records'])):
                            assert value.split()[0] == b'%d' % (at + n), (at, n, value[:20])
                        at += len(values(part['records']))

            with Background(produce, 3), Background(consume, 6), node.raw() as c:
                for n in range(15):
                    time.sleep(0.15)
                    p = n % 3
                    upto = max(ends[p] - 3, 0)
                    answer = c.call('DeleteRecords', 1, {'timeout_ms': 5000, 'topics': [{'name': 't', 'partitions': [
                        {'partition_index': p, 'offset': upto}]}]})['topics'][0]['partitions'][0]
                    # retention may have been there first
                    assert answer['error_code'] in (0, 1), answer
                    if answer['error_code'] == 0:
                        assert answer['low_watermark'] >= upto, (answer, upto)
                        assert c.list_offset('t', -2, partition=p)[1] >= upto
            assert min(ends) > 10, ends

            def small():
                used = subprocess.run(['du', '-sb', node.data], capture_output=True, text=True).stdout.split()[0]
                return int(used) < 16 << 20
            until(small, 5, 'retention left too much')


def kcat(weir):
    """kcat with all codecs over many partitions and three shards."""
    if not shutil.which('kcat'):
        raise Skip('kcat is not installed')
    with Node(weir, arguments=['--shards', '3']) as node:
        with node.raw() as c:
            c.create('t', 9)
        sent = []
        for codec in ('none', 'gzip', 'snappy', 'lz4', 'zstd'):
            lines = ['%s-%d' % (codec, n) for n in range(3000)]
            done = subprocess.run(['kcat', '-b', node.bootstrap, '-P', '-t', 't', '-z', codec], input='\n'.join(lines),
                                  capture_output=True, text=True, timeout=20)
            assert done.returncode == 0, done.stderr[-300:]
            sent += lines
        done = subprocess.run(['kcat', '-b', node.bootstrap, '-C', '-t', 't', '-o', 'beginning', '-e', '-q'],
                              capture_output=True, text=True, timeout=20)
        got = done.stdout.split()
        assert sorted(got) == sorted(sent), '%d of %d' % (len(got), len(sent))


CASES = [crossing, woken, minimum_bytes, made_anew, records_deleted, kcat]
