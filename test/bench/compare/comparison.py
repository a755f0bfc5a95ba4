# SPDX-License-Identifier: Apache-2.0
"""A comparison as it runs: each load once a round on every broker, its rows judged, everything kept as it goes."""

import dataclasses
import datetime
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import brokers
import judge
import keep
import loads
import machine
import nats
import pairs
import picture
import profiles
import report
import rows
import stock
sys.path.append(str(brokers.ROOT / 'test/faults'))
import network                                                                      # noqa: E402

WARM_LEAST = 60
HELD = 0.98
THEN = ', then --resume'
PEERS = [*brokers.HEAPS, nats.NAME]
# Those that an earlier run gives to the one that goes on with it.
KEPT_OPTIONS = ['smoke', 'peers', 'pairs', 'warmup', 'gb', 'backlog_gb', 'restart_gb', 'brief', 'rows']


def make(name, *more):
    return brokers.make(name, *more, kind=nats.Nats if name == nats.NAME else None)


class Comparison:
    def __init__(self, options, kept=None):
        """kept: an earlier run that goes on."""
        self.options, self.kept = options, kept
        self.clock = keep.Clock(options.minutes, time.monotonic)
        self.sizes = rows.SMOKE if options.smoke else rows.sized(options.gb, options.backlog_gb, options.restart_gb, options.brief)
        self.warmup = options.warmup if options.warmup is not None else 2 if options.smoke else WARM_LEAST
        self.pairs = options.pairs or (1 if options.smoke else judge.PAIRS_LEAST)
        self.honest = not options.smoke and self.warmup >= WARM_LEAST and self.pairs >= judge.PAIRS_LEAST
        self.cores = machine.Cores()
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix='compare-', dir=options.data))
        self.skipped, self.results, self.taken, self.unreached = [], {}, {}, []
        self.network, self.placed = None, 0
        self.out = pathlib.Path(options.out)

    def command(self):
        """What was run, without where its files went; of a run that goes on, how it began."""
        if self.kept:
            first = self.kept['about']['command']
            return first if first.endswith(THEN) else first + THEN
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
        names = PEERS if self.options.peers is None else [n for n in self.options.peers.split(',') if n]
        for what, these, look in (('Apache Kafka %s' % brokers.KAFKA_VERSION, list(brokers.HEAPS), brokers.kafka_can_be_had),
                                  ('NATS JetStream', [nats.NAME], nats.can_be_had)):
            why = look() if set(names) & set(these) else ''
            if why:
                self.skip(what, why)
                names = [name for name in names if name not in these]
        return names

    @staticmethod
    def peers_of(load, peers):
        """Those that can do it."""
        return [peer for peer in peers if peer != nats.NAME or nats.run_of(load)]

    def warm(self, load, broker):
        """The same load until a JVM has had its time; the time it took is kept with the raw data."""
        began = time.monotonic()
        most = self.warmup if broker.jvm else min(self.warmup, 3)
        while time.monotonic() - began < most:
            loads.prove(self.one_run(load, broker))
        broker.warm_s = time.monotonic() - began

    def begin(self, load, name):
        places, first = None, 1 + load.nodes * self.placed
        if self.network:                # every broker has places of its own: a cable that is out is out for one alone
            self.placed += 1
            places = self.network.places()[first - 1:first - 1 + load.nodes]
        broker = make(name, self.weir, self.scratch, self.cores, load.nodes, places)
        if self.network:
            broker.unplug = lambda node, verb: self.network.unplug(first + node, verb)
        own = {setting.split('=')[0] for setting in load.settings}
        broker.settings = [s for s in brokers.SETTINGS if s.split('=')[0] not in own] + list(load.settings)
        broker.forget()
        try:
            broker.start()
            (nats.prepare if name == nats.NAME else type(load).prepare)(load, broker)
        except BaseException:
            broker.kill()
            broker.forget()
            raise
        return broker

    def one_run(self, load, broker):
        return nats.run_of(load)(load, broker) if broker.name == nats.NAME else load.run(broker)

    def run_once(self, load, broker):
        if load.keep:
            return loads.prove(self.one_run(load, broker))
        if load.fresh:
            broker.forget()
        if not load.down and not any(broker.processes):
            broker.start()
        try:
            return loads.prove(self.one_run(load, broker))
        finally:
            broker.stop()

    def measure(self, name, peers):
        """One load: its rounds, {'load', 'title', 'rounds', 'warm_s', ...}."""
        load = rows.LOADS[name](self.sizes)
        peers = self.peers_of(load, peers)
        had = keep.goes_on(self.taken.get(name), self.version, peers)
        missing = self.pairs - sum(r['counted'] for r in had)
        if self.pairs - missing < keep.counted(self.taken.get(name)):
            print('# %s: the pairs that were kept are of another executable or other peers; it begins anew' % name, flush=True)
        if not keep.worth_beginning(self.clock, *self.lasts(load, peers), missing):
            return None
        if load.fixed_rate:
            self.measure_pace()
        if not load.network:
            return self.take(name, load, peers, had)

        def inside(_):                  # in a child, whose network namespace holds the bridge
            network.Network.seconds = 4 * 3600
            with network.Network(load.nodes * (1 + len(peers))) as self.network:
                return {**self.take(name, load, peers, had), 'skipped': self.skipped}
        try:
            taken = network.on_a_network(inside)(None)
            self.skipped = taken['skipped']
            return taken
        except (network.Skip, AssertionError) as error:
            self.skip(name, str(error))
            return self.about_load(name, load, [], str(error), {})

    def lasts(self, load, peers):
        """(seconds before the first round, seconds of a round), roughly: enough to see what fits into the time that is left."""
        jvms = len([peer for peer in peers if peer in brokers.HEAPS])
        each = load.lasts()
        anew = 0 if load.keep else load.nodes * (1 + 8 * jvms)
        return (jvms * (8 * load.nodes + (self.warmup if load.warm else 0)) + (1 + len(peers)) * load.prepares(),
                each * (1 + len(peers)) + anew)

    def about_load(self, name, load, rounds, why, alive):
        return {'load': name, 'title': load.title, 'rounds': rounds, 'gave_up': why, 'version': self.version, 'floor': self.floor,
                'warm_s': {peer: broker.warm_s for peer, broker in alive.items()}}

    def take(self, name, load, peers, had):
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
            rounds = pairs.take(list(alive), lambda peer: self.run_once(load, alive[peer]), self.pairs, had=had,
                                note=lambda rounds: self.note(self.about_load(name, load, rounds, '', alive)),
                                allows=self.clock.allows)
            self.profile(name, load, self.about_load(name, load, rounds, '', alive), alive['weir'])
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
        return self.about_load(name, load, rounds, why, alive)

    def profile(self, name, load, taken, broker):
        """Of a load that missed a goal, or of every one when it is asked for: where the broker's cycles go."""
        judged = [self.judge_row(row, taken) for row in self.wanted if row.load == name]
        missed = any((row.get('judged') or row).get('verdict') == judge.MISSED for row in judged)
        if not (missed or self.options.profile) or load.network:
            return
        folder = self.out / 'profiles'
        folder.mkdir(parents=True, exist_ok=True)
        why = profiles.take(broker, self.cores, load.keep, folder / (name + '.txt'), lambda: self.run_once(load, broker))
        print('profile of weir in %s: %s' % (name, why or folder / (name + '.txt')), flush=True)

    def judge_row(self, row, taken):
        counted = [r['runs'] for r in taken['rounds'] if r['counted']]
        figures = {}
        for run in counted:
            for name, metrics in run.items():
                figures.setdefault(name, []).append(metrics[row.metric])
        out = {'row': row.name, 'title': row.title, 'unit': row.unit, 'less': row.less, 'figures': figures,
               'goal': row.goal.ratio if row.goal and not row.alone else None, 'own_goal': row.goal.own if row.goal else None,
               'gave_up': taken['gave_up'], 'version': taken.get('version'), 'pairs': len(counted)}
        out['beside'] = {words: worth(values) for metric, words, worth in row.beside
                         if (values := [run['weir'][metric] for run in counted if metric in run['weir']])}
        if row.alone and figures.get('weir'):
            out.update(judge.judge_alone(row.goal, figures['weir']) if self.honest else {})
            return out
        peer = judge.best_peer(row.less, {n: v for n, v in figures.items() if n in brokers.HEAPS})
        if figures.get(nats.NAME):
            out['beside']['NATS JetStream'] = statistics.median(figures[nats.NAME])
        out['peer'] = peer
        # A rate that somebody did not hold is said: a cost a GB bears it, a latency is not one at that rate.
        out['not_held'] = sum(any(metrics.get('held', 1) < HELD for metrics in run.values()) for run in counted)
        goal = row.goal
        if row.floor:
            goal = dataclasses.replace(goal, own=row.floor[1] * taken['floor'][row.floor[0]])
        latency = row.unit == 'ms' and ('p50' in row.metric or 'p99' in row.metric)
        if self.honest and peer and not (latency and out['not_held']):
            out['judged'] = judge.judge(goal, figures['weir'], figures[peer])
        return out

    def show(self, row):
        figures = '  '.join('%s %.4g %s' % (name, statistics.median(values), row['unit'])
                            for name, values in row['figures'].items() if name != nats.NAME)
        if row.get('judged'):
            j = row['judged']
            times = ['%.1f' % picture.times(row, j[key]) for key in ('ratio', 'low', 'high')]
            word = (j['verdict'] or 'no goal') + (', beyond' if j['beyond'] else '')
            if row['not_held']:
                word += '; the rate was not held in %d pairs' % row['not_held']
            figures += '  %s times better (%s to %s, %d pairs) than %s: %s' % (times[0], *sorted(times[1:], key=float),
                                                                              j['pairs'], row['peer'], word)
        elif row.get('verdict'):
            figures += '  (%.3g to %.3g): %s' % (row['low'], row['high'], row['verdict'])
        elif not row['figures']:
            figures = 'no figure: %s' % (row['gave_up'] or 'nothing was measured')
        elif self.honest and row['pairs'] < self.pairs:
            figures += '  (no ratio yet: %d of %d pairs)' % (row['pairs'], self.pairs)
        elif not self.honest:
            figures += '  (no ratio: too short to be one)'
        figures += ''.join('; %s %.4g %s' % (words, value, row['unit']) for words, value in row['beside'].items())
        print('%-56s %s' % (row['title'], figures), flush=True)

    def measure_floor(self):
        self.floor = machine.floor(brokers.ROOT / 'build/test/bench', self.scratch, self.cores, 1 if self.options.smoke else 3)
        print('floor: ' + ', '.join('%s %.3f' % (name, value) for name, value in self.floor.items()), flush=True)

    def measure_pace(self):
        """The echo's latency at the rate of the rows that have one, once, when the first of them comes."""
        if 'echo_p50_ms' not in self.floor:
            self.floor.update(machine.pace(brokers.ROOT / 'build/test/bench', self.cores, rows.LATENCY_RATE, self.sizes.samples))
            print('floor: ' + ', '.join('%s %.3f' % (n, v) for n, v in self.floor.items() if 'echo_p' in n), flush=True)

    def about(self, peers):
        return {'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M'), 'machine': machine.describe(),
                'cores': self.cores.words(), 'command': self.command(), 'pairs': self.pairs,
                'sizes': dataclasses.asdict(self.sizes), 'warmup_s': self.warmup, 'kafka': brokers.KAFKA_VERSION, 'honest': self.honest,
                'peers': peers, 'floor': self.floor,
                'options': {name: getattr(self.options, name) for name in KEPT_OPTIONS}}

    def note(self, taken):
        """Keeps what a load has come to so far."""
        self.taken[taken['load']] = taken
        for row in self.wanted:
            if row.load == taken['load']:
                self.results[row.name] = self.judge_row(row, taken)
        keep.save(self.out / 'compare.json', {
            'about': {**self.described, 'floor': self.floor}, 'rows': [self.results[row.name] for row in rows.ROWS if row.name in self.results],
            'loads': list(self.taken.values()), 'skipped': self.skipped})

    def recall(self):
        """What an earlier session kept, of rows that there still are."""
        names = {row.load for row in self.wanted}
        for taken in self.kept['loads'] if self.kept else []:
            if taken['load'] in names:
                self.note(taken)

    def go(self):
        self.wanted = [row for row in rows.ROWS if not self.options.rows or row.name in self.options.rows]
        # One executable from the first run to the last, whatever is built meanwhile.
        self.weir = pathlib.Path(shutil.copy2(brokers.ROOT / 'build/weir', self.scratch / 'weir'))
        self.version = brokers.version(self.weir)
        peers = self.peers()
        stock.installed()
        self.out.mkdir(parents=True, exist_ok=True)
        machine.warming = not self.options.smoke
        self.floor = {}
        self.described = self.about(peers)
        print('weir %s; %s; %s; %d pairs, %d s of warming' % (self.version, self.described['machine']['processor'],
                                                             self.described['cores'], self.pairs, self.warmup))
        self.measure_floor()
        self.recall()
        for name in rows.in_turn({row.load for row in self.wanted}):
            if not keep.is_whole(self.taken.get(name), self.pairs):
                taken = self.measure(name, peers)
                if taken is None:
                    self.unreached.append(name)
                    continue
                self.note(taken)
            for row in self.wanted:
                if row.load == name:
                    self.show(self.results[row.name])
        late = [name for name in rows.in_turn(self.taken) if not keep.is_whole(self.taken[name], self.pairs)]
        if late + self.unreached:
            print('the time was over; --resume goes on with: %s' % ' '.join(dict.fromkeys(late + self.unreached)))
        drawn = report.draw([keep.load(self.out / 'compare.json')] if self.taken else [], self.out / 'compare.svg')
        print('raw figures%s: %s' % (' and picture' * bool(drawn), self.out))
        return 1 if any(not row['figures'] for row in self.results.values() if row['gave_up']) else 0
