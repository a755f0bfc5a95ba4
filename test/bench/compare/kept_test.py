#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the comparison keeps, how it goes on, what it begins in the time it has, and the table it writes: without a broker."""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import comparison                                                                   # noqa: E402
import keep                                                                         # noqa: E402
import main                                                                         # noqa: E402
import nats                                                                         # noqa: E402
import pairs                                                                        # noqa: E402
import profiles                                                                     # noqa: E402
import report                                                                       # noqa: E402
import rows                                                                         # noqa: E402


def rounds(count, names=('weir', 'kafka-1g')):
    return [{'counted': n > 0, 'runs': {name: {'f': 1} for name in names}} for n in range(count + 1)]


def taken(count, **more):
    return {'load': 'l', 'rounds': rounds(count), 'gave_up': '', 'version': 'v1', **more}


def run(date, *results, honest=True, **about):
    return {'about': {'date': date, 'honest': honest, 'pairs': 7, 'kafka': '4', 'command': 'tools/bench compare', 'floor': {},
                      'machine': {'processor': 'P', 'kernel': 'L', 'load_average': 0.5}, **about}, 'rows': list(results)}


def result(name, ratio=0.1, verdict='won', **more):
    row = next(row for row in rows.ROWS if row.name == name)
    return {'row': name, 'title': row.title, 'unit': row.unit, 'less': row.less, 'goal': row.goal.ratio if row.goal else None,
            'judged': {'weir': 2, 'peer': 20, 'ratio': ratio, 'low': ratio / 2, 'high': ratio * 2, 'pairs': 7, 'verdict': verdict,
                       'beyond': False}, **more}


class Keeping(unittest.TestCase):
    def test_what_is_kept_is_what_is_found_and_nothing_half_written_stays(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / 'compare.json'
            self.assertIsNone(keep.load(path))
            keep.save(path, {'a': 1})
            keep.save(path, {'a': 2})
            self.assertEqual(keep.load(path), {'a': 2})
            self.assertEqual([p.name for p in pathlib.Path(folder).iterdir()], ['compare.json'])

    def test_a_load_is_whole_with_its_pairs_or_when_it_gave_up(self):
        self.assertFalse(keep.is_whole(None, 7))
        self.assertFalse(keep.is_whole(taken(6), 7))
        self.assertTrue(keep.is_whole(taken(7), 7))
        self.assertTrue(keep.is_whole(taken(0, gave_up='no'), 7))

    def test_pairs_go_on_only_of_the_same_executable_and_peers(self):
        self.assertEqual(len(keep.goes_on(taken(3), 'v1', ['kafka-1g'])), 4)
        self.assertEqual(keep.goes_on(taken(3), 'v2', ['kafka-1g']), [])
        self.assertEqual(sum(r['counted'] for r in keep.goes_on(taken(3), 'v1', ['kafka-256m'])), 0)
        self.assertEqual(keep.goes_on(None, 'v1', []), [])

    def test_the_rest_of_the_pairs_after_one_that_is_dropped_again(self):
        seen = []
        got = pairs.take(['weir', 'kafka-1g'], lambda name: {'f': 1}, 4, lambda: lambda: 0, had=rounds(3), note=lambda r: seen.append(len(r)))
        self.assertEqual([r['counted'] for r in got], [False, True, True, True, False, True])
        self.assertEqual(seen, [5, 6])

    def test_no_round_is_begun_that_would_not_end_in_time(self):
        allowed = iter([True, False])
        got = pairs.take(['weir'], lambda name: {'f': 1}, 7, lambda: lambda: 0, allows=lambda seconds: next(allowed))
        self.assertEqual(len(got), 2)

    def test_a_load_is_begun_when_some_of_its_pairs_fit(self):
        clock = keep.Clock(1, lambda: 0)        # 60 s are left
        self.assertTrue(keep.worth_beginning(clock, 20, 10, 7))         # 20 + 4 x 10
        self.assertFalse(keep.worth_beginning(clock, 21, 10, 7))
        self.assertTrue(keep.worth_beginning(clock, 40, 10, 1))         # one is missing: 40 + 2 x 10
        self.assertTrue(keep.worth_beginning(keep.Clock(None, lambda: 0), 1e9, 1e9, 7))


class Options(unittest.TestCase):
    def settled(self, kept=None, **said):
        options = argparse.Namespace(**{**dict.fromkeys(['minutes', 'gb', 'peers', 'pairs', 'warmup', 'backlog_gb']), 'smoke': False,
                                        'restart_gb': 10, 'rows': [], **said})
        main.settle(options, kept)
        return options

    def test_minutes_make_it_brief(self):
        self.assertEqual((self.settled().gb, self.settled().peers), (1, None))
        brief = self.settled(minutes=20)
        self.assertEqual((brief.gb, brief.peers, brief.brief), (0.3, 'kafka-1g', True))
        self.assertEqual(self.settled(minutes=20, gb=2).gb, 2)

    def test_a_run_that_goes_on_has_the_options_of_the_one_before(self):
        before = vars(self.settled(minutes=20, pairs=9, rows=['start']))
        again = self.settled({'about': {'options': before}}, rows=[])
        self.assertEqual((again.gb, again.pairs, again.brief, again.rows), (0.3, 9, True, ['start']))
        self.assertEqual(self.settled({'about': {'options': before}}, rows=['idle-memory']).rows, ['idle-memory'])


class Rows(unittest.TestCase):
    def test_every_load_has_its_turn_and_says_how_long_it_lasts(self):
        self.assertEqual(sorted(rows.in_turn(rows.LOADS)), sorted(rows.LOADS))
        self.assertEqual(rows.in_turn(['latency', 'requests-16'])[0], 'requests-16')
        self.assertEqual({row.load for row in rows.ROWS}, set(rows.LOADS))
        for name, make in rows.LOADS.items():
            load = make(rows.SMOKE)
            self.assertGreater(load.lasts(), 0, name)
            self.assertGreaterEqual(load.prepares(), 0, name)
            self.assertTrue(load.title, name)


class Peers(unittest.TestCase):
    def able(self, name):
        return comparison.Comparison.peers_of(rows.LOADS[name](rows.SMOKE), ['kafka-1g', nats.NAME])

    def test_nats_is_asked_for_what_it_has_alone(self):
        self.assertEqual([name for name in rows.LOADS if nats.NAME in self.able(name)], ['requests-16', 'idle', 'start'])
        self.assertEqual(self.able('batches-64k'), ['kafka-1g'])


class Table(unittest.TestCase):
    def test_the_latest_of_each_row_in_their_order_with_its_run(self):
        old = run('2026-01-01 10:00', result('start', 0.5), result('cpu-64k', 0.25))
        new = run('2026-01-02 10:00', result('start', 0.01, own_goal=20))
        text = report.table([old, new])
        lines = [line for line in text.splitlines() if line.startswith('| `')]
        self.assertEqual([line.split('`')[1] for line in lines], ['cpu-64k', 'start'])
        self.assertIn('| 4.0 (2.0 to 8.0) | 1.6 | won | a |', lines[0])
        self.assertIn('| 100 (50.0 to 200) | 100, at most 20 ms | won | b |', lines[1])
        self.assertIn('b: 2026-01-02 10:00 UTC', text)

    def test_a_missed_row_a_rate_that_was_not_held_and_a_floor_are_said(self):
        made = run('2026-01-01 10:00', result('cpu-64k', 2, 'missed', not_held=3), floor={'in_cpu_s_per_gb': 0.4, 'out_cpu_s_per_gb': 0.3})
        self.assertIn('| 2 s (floor 0.7 s) |', report.table([made]))
        self.assertIn('| missed; the rate was not held in 3 pairs |', report.table([made]))

    def test_what_stands_beside_a_figure(self):
        made = run('2026-01-01 10:00', result('start', beside={'NATS JetStream': 9.5}))
        self.assertIn('| 2 ms (NATS JetStream 9.5 ms) |', report.table([made]))

    def test_publish_keeps_the_runs_that_are_shown_and_no_smoke_test(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            figures, readme, fresh = folder / 'figures', folder / 'README.md', folder / 'compare.json'
            figures.mkdir()
            (figures / 'old.json').write_text(json.dumps(run('2026-01-01 10:00', result('start', 0.5))))
            fresh.write_text(json.dumps(run('2026-01-02 10:00', result('start', 0.01))))
            readme.write_text('before\n%s\nstale\n%s\nafter\n' % (report.BEGIN, report.END))
            self.assertEqual(report.publish([fresh], figures, readme), ['start'])
            self.assertEqual(sorted(p.name for p in figures.iterdir()), ['2026-01-02-1000.json', 'compare.svg'])
            text = readme.read_text()
            self.assertTrue(text.startswith('before\n') and text.endswith('after\n') and '| `start`' in text and 'stale' not in text)
            self.assertEqual(report.publish([], figures, readme), ['start'])       # again, from the folder alone
            self.assertEqual(readme.read_text(), text)
            fresh.write_text(json.dumps(run('2026-01-03 10:00', result('start'), honest=False)))
            report.publish([fresh], figures, readme)
            self.assertEqual(readme.read_text(), text)
            readme.write_text('no marks')
            self.assertRaises(ValueError, report.publish, [], figures, readme)


class Profiles(unittest.TestCase):
    def test_the_share_of_a_function(self):
        text = '# t\n    51.41%  [.] __libc_sendmsg\n     9.34%  [k] tcp_recvmsg\n'
        self.assertEqual(profiles.percent(text, 'tcp_recv'), 9.34)
        self.assertEqual(profiles.percent(text, 'nothing'), 0)


if __name__ == '__main__':
    outcome = unittest.TextTestRunner(stream=sys.stdout, verbosity=0).run(unittest.defaultTestLoader.loadTestsFromModule(
        sys.modules['__main__']))
    bad = len(outcome.failures) + len(outcome.errors)
    print('%d passed, %d failed, 0 skipped' % (outcome.testsRun - bad, bad))
    sys.exit(1 if bad else 0)
