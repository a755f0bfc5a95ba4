#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures weir beside Apache Kafka on this machine, in one run, and prints honest ratios.

    tools/bench compare [--list] [--smoke] [--peers NAME,...] [--pairs N] [--warmup SECONDS] [ROW...]

One run of each broker after the other, A B A B: same client (weir perf; rows by stock clients beside it), same topic
settings, same flush policy, brokers pinned to one core and clients to the others, memory touched before. Before its first
pair a broker with a JVM gets 60 s of the same load; the first pair is dropped; a row has at least 7 pairs, and shows the
median of the pairs' ratios with its 95 % bootstrap interval: won when all of it is at or better than the goal, missed when
all of it is worse, else undecided. Pairs in which over 5 % of the time was stolen by the hypervisor, or whose records were
not all there with their checksums, run again, at most three times. "Kafka" is the better of its two heaps in each row. The
floor (a plain echo, append and sendfile) is measured beside it. With --smoke, less warming or fewer pairs figures are
printed, but no ratio. Raw JSON and a picture (SVG) are left in the folder that is named at the end."""

import argparse
import dataclasses
import datetime
import json
import pathlib
import shutil
import statistics
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import brokers                                                                      # noqa: E402
import judge                                                                        # noqa: E402
import loads                                                                        # noqa: E402
import machine                                                                      # noqa: E402
import pairs                                                                        # noqa: E402
import picture                                                                      # noqa: E402
import rows                                                                         # noqa: E402
import stock                                                                        # noqa: E402
sys.path.append(str(brokers.ROOT / 'test/faults'))
import network                                                                      # noqa: E402

WARM_LEAST = 60
WARM_MEMORY = 4 << 30
HELD = 0.98


class Comparison:
    def __init__(self, options):
        self.options = options
        self.sizes = rows.SMOKE if options.smoke else rows.sized(options.gb, options.backlog_gb, options.restart_gb)
        self.warmup = options.warmup if options.warmup is not None else 2 if options.smoke else WARM_LEAST
        self.pairs = options.pairs or (1 if options.smoke else judge.PAIRS_LEAST)
        self.honest = not options.smoke and self.warmup >= WARM_LEAST and self.pairs >= judge.PAIRS_LEAST
        self.cores = machine.Cores()
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix='compare-', dir=options.data))
        self.skipped, self.results = [], []
        self.network, self.placed = None, 0

    def command(self):
        """What was run, without where its files went."""
        words = sys.argv[1:]
        for option in ('--data', '--out'):
            while option in words:
                at = words.index(option)
                del words[at:at + 2]
        return ' '.join(['tools/bench compare'] + words)

    def skip(self, what, why):
        self.skipped.append({'what': what, 'why': why})
        print('skipped: %s: %s' % (what, why), flush=True)

    def peers(self):
        names = list(brokers.HEAPS) if self.options.peers is None else [n for n in self.options.peers.split(',') if n]
        why = brokers.kafka_can_be_had() if names else ''
        if why:
            self.skip('Apache Kafka %s' % brokers.KAFKA_VERSION, why)
            return []
        return names

    def warm(self, load, broker):
        """The same load until a JVM has had its time; the time it took is kept with the raw data."""
        began = time.monotonic()
        most = self.warmup if broker.jvm else min(self.warmup, 3)
        while time.monotonic() - began < most:
            loads.prove(load.run(broker))
        broker.warm_s = time.monotonic() - began

    def begin(self, load, name):
        places, first = None, 1 + load.nodes * self.placed
        if self.network:                # every broker has places of its own: a cable that is out is out for one alone
            self.placed += 1
            places = self.network.places()[first - 1:first - 1 + load.nodes]
        broker = brokers.make(name, brokers.ROOT / 'build/weir', self.scratch, self.cores, load.nodes, places)
        if self.network:
            broker.unplug = lambda node, verb: self.network.unplug(first + node, verb)
        broker.forget()
        try:
            broker.start()
            load.prepare(broker)
        except BaseException:
            broker.kill()
            broker.forget()
            raise
        return broker

    def run_once(self, load, broker):
        if load.keep:
            return loads.prove(load.run(broker))
        if load.fresh:
            broker.forget()
        if not load.down and not any(broker.processes):
            broker.start()
        try:
            return loads.prove(load.run(broker))
        finally:
            broker.stop()

    def measure(self, name, peers):
        """One load: its rounds, {'load', 'title', 'rounds', 'warm_s', ...}."""
        load = rows.LOADS[name](self.sizes)
        if not load.network:
            return self.take(name, load, peers)

        def inside(_):                  # in a child, whose network namespace holds the bridge
            network.Network.seconds = 4 * 3600
            with network.Network(load.nodes * (1 + len(peers))) as self.network:
                return {**self.take(name, load, peers), 'skipped': self.skipped}
        try:
            taken = network.on_a_network(inside)(None)
            self.skipped = taken['skipped']
            return taken
        except (network.Skip, AssertionError) as error:
            self.skip(name, str(error))
            return {'load': name, 'title': load.title, 'rounds': [], 'gave_up': str(error), 'warm_s': {}}

    def take(self, name, load, peers):
        alone = all(row.alone for row in self.wanted if row.load == name)
        print('# %s: %s' % (name, load.title), flush=True)
        alive, rounds, why = {}, [], ''
        try:
            for peer in ['weir'] + ([] if alone else peers):
                try:
                    alive[peer] = self.begin(load, peer)
                    if load.warm:
                        self.warm(load, alive[peer])
                    if not load.keep:
                        alive[peer].stop()
                except (pairs.Unavailable, pairs.Wrong, subprocess.TimeoutExpired) as error:
                    if peer in alive:
                        alive.pop(peer).kill()
                    if peer == 'weir':
                        raise
                    self.skip('%s in %s' % (peer, name), str(error))
            rounds = pairs.take(list(alive), lambda peer: self.run_once(load, alive[peer]), self.pairs)
        except pairs.GaveUp as error:
            rounds, why = error.rounds, str(error)
        except (pairs.Unavailable, pairs.Wrong, subprocess.TimeoutExpired) as error:
            why = str(error)
        finally:
            for broker in alive.values():
                broker.kill()
                broker.forget()
        if why:
            self.skip(name, why)
        return {'load': name, 'title': load.title, 'rounds': rounds, 'gave_up': why,
                'warm_s': {peer: broker.warm_s for peer, broker in alive.items()}}

    def judge_row(self, row, taken):
        counted = [r['runs'] for r in taken['rounds'] if r['counted']]
        figures = {}
        for run in counted:
            for name, metrics in run.items():
                figures.setdefault(name, []).append(metrics[row.metric])
        out = {'row': row.name, 'title': row.title, 'unit': row.unit, 'less': row.less, 'figures': figures,
               'goal': row.goal.ratio if row.goal and not row.alone else None, 'gave_up': taken['gave_up']}
        if row.alone and figures.get('weir'):
            middle = statistics.median(figures['weir'])
            out.update(weir=middle, own_goal=row.goal.own,
                       verdict=(judge.WON if middle <= row.goal.own else judge.MISSED) if self.honest else None)
            return out
        peer = judge.best_peer(row.less, {n: v for n, v in figures.items() if n != 'weir'})
        out['peer'] = peer
        # A rate that somebody did not hold is said: a cost a GB bears it, a latency is not one at that rate.
        out['not_held'] = sum(any(metrics.get('held', 1) < HELD for metrics in run.values()) for run in counted)
        goal = row.goal
        if row.floor:
            goal = dataclasses.replace(goal, own=row.floor[1] * self.floor[row.floor[0]])
        if self.honest and peer and not (row.unit == 'ms' and 'p99' in row.metric and out['not_held']):
            out['judged'] = judge.judge(goal, figures['weir'], figures[peer])
        return out

    def show(self, row):
        figures = '  '.join('%s %.4g %s' % (name, statistics.median(values), row['unit'])
                            for name, values in row['figures'].items())
        if row.get('judged'):
            j = row['judged']
            times = ['%.1f' % picture.times(row, j[key]) for key in ('ratio', 'low', 'high')]
            word = (j['verdict'] or 'no goal') + (', beyond' if j['beyond'] else '')
            if row['not_held']:
                word += '; the rate was not held in %d pairs' % row['not_held']
            figures += '  %s times better (%s to %s, %d pairs) than %s: %s' % (times[0], *sorted(times[1:], key=float),
                                                                              j['pairs'], row['peer'], word)
        elif row.get('verdict'):
            figures += '  ' + row['verdict']
        elif not row['figures']:
            figures = 'no figure: %s' % (row['gave_up'] or 'nothing was measured')
        elif not self.honest:
            figures += '  (no ratio: too short to be one)'
        print('%-56s %s' % (row['title'], figures), flush=True)

    def go(self):
        self.wanted = [row for row in rows.ROWS if not self.options.rows or row.name in self.options.rows]
        peers = self.peers()
        stock.installed()
        about = {'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M'), 'machine': machine.describe(),
                 'cores': self.cores.words(), 'command': self.command(), 'pairs': self.pairs,
                 'sizes': dataclasses.asdict(self.sizes), 'warmup_s': self.warmup, 'kafka': brokers.KAFKA_VERSION, 'honest': self.honest}
        print('%s; %s; %d pairs, %d s of warming' % (about['machine']['processor'], about['cores'], self.pairs, self.warmup))
        machine.warm_memory(self.scratch, WARM_MEMORY if not self.options.smoke else 64 << 20)
        latency = any(row.floor for row in self.wanted)
        self.floor = machine.floor(brokers.ROOT / 'build/test/bench', self.scratch, self.cores, 1 if self.options.smoke else 3,
                                   rows.LATENCY_RATE, self.sizes.samples if latency else 0)
        about['floor'] = self.floor
        print('floor: ' + ', '.join('%s %.3f' % (name, value) for name, value in self.floor.items()), flush=True)
        taken = []
        out = pathlib.Path(self.options.out)
        out.mkdir(parents=True, exist_ok=True)
        for name in dict.fromkeys(row.load for row in self.wanted):
            taken.append(self.measure(name, peers))
            for row in self.wanted:
                if row.load == name:
                    self.results.append(self.judge_row(row, taken[-1]))
                    self.show(self.results[-1])
            (out / 'compare.json').write_text(json.dumps({'about': about, 'rows': self.results, 'loads': taken,
                                                         'skipped': self.skipped}, indent=1))
        for what, why in rows.NOT_BUILT:
            print('not measured: %s: %s' % (what, why))
        drawn = draw([out / 'compare.json'], out / 'compare.svg')
        print('raw figures%s: %s' % (' and picture' * bool(drawn), out))
        return 1 if any(not row['figures'] for row in self.results) else 0


def draw(paths, target):
    """The picture of the judged rows of some runs; False when there are none. A row that was run again is drawn as it was last."""
    runs = sorted((json.loads(pathlib.Path(path).read_text()) for path in paths), key=lambda run: run['about']['date'])
    drawn = {row['row']: {**row, **row['judged']} for run in runs for row in run['rows'] if row.get('judged')}
    if drawn:
        about = runs[-1]['about']
        order = [row.name for row in rows.ROWS]
        pathlib.Path(target).write_text(picture.draw(
            sorted(drawn.values(), key=lambda row: order.index(row['row'])),
            'weir beside Apache Kafka %s, %s, %s' % (about['kafka'], about['date'], about['machine']['processor'])))
    return bool(drawn)


def main():
    parser = argparse.ArgumentParser(prog='tools/bench compare', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--list', action='store_true', help='the rows and their goals')
    parser.add_argument('--draw', nargs='+', metavar='JSON', help='measure nothing; draw the rows of earlier runs into --out')
    parser.add_argument('--smoke', action='store_true', help='a few seconds a row, to see that it works; no ratio')
    parser.add_argument('--peers', help='of %s, with commas; default: all' % ', '.join(brokers.HEAPS))
    parser.add_argument('--pairs', type=int, help='counted ones (default %d)' % judge.PAIRS_LEAST)
    parser.add_argument('--warmup', type=int, help='seconds before a JVM\'s first pair (default %d)' % WARM_LEAST)
    parser.add_argument('--gb', type=float, default=1, help='moved in a run of a row of throughput or CPU (default 1)')
    parser.add_argument('--backlog-gb', type=float, help='of the cold backlog (default: more than there is memory)')
    parser.add_argument('--restart-gb', type=float, default=10, help='of the restart after kill -9 (default 10)')
    parser.add_argument('--data', default=str(brokers.ROOT / 'build'), help='a folder on the disk to measure')
    parser.add_argument('--out', default=str(brokers.ROOT / 'build/compare'), help='where the raw figures go')
    parser.add_argument('rows', nargs='*', metavar='ROW')
    options = parser.parse_args()
    if options.list:
        for row in rows.ROWS:
            goal = '' if not row.goal else 'at most %.3g x' % row.goal.own if row.alone else '%.3g times better%s' % (
                1 / row.goal.ratio if row.less else row.goal.ratio, ', at most %g %s' % (row.goal.own, row.unit)
                if row.goal.own else '')
            print('%-22s %-62s %s' % (row.name, row.title, goal))
        return 0
    if options.draw:
        pathlib.Path(options.out).mkdir(parents=True, exist_ok=True)
        if not draw(options.draw, pathlib.Path(options.out) / 'compare.svg'):
            parser.error('no row of them has a ratio')
        print('drawn: %s' % (pathlib.Path(options.out) / 'compare.svg'))
        return 0
    unknown = [name for name in options.rows if name not in {row.name for row in rows.ROWS}]
    if unknown:
        parser.error('unknown row %s; --list shows them' % unknown[0])
    if options.peers and any(name not in brokers.HEAPS for name in options.peers.split(',')):
        parser.error('the peers are %s' % ', '.join(brokers.HEAPS))
    comparison = Comparison(options)
    try:
        return comparison.go()
    finally:
        shutil.rmtree(comparison.scratch, ignore_errors=True)


if __name__ == '__main__':
    for number in (signal.SIGINT, signal.SIGTERM):      # brokers are ended on the way out, however it comes
        signal.signal(number, lambda *_: sys.exit(130))
    sys.exit(main())
