#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The verdicts of the comparison, its intervals, its order of runs and its picture, without a broker."""

import os
import sys
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import judge                                                                        # noqa: E402
import machine                                                                      # noqa: E402
import pairs                                                                        # noqa: E402
import picture                                                                      # noqa: E402

HALF = judge.Goal(1 / 2, 1 / 4)
FOURFOLD = judge.Goal(4, 8, less=False)


class Verdicts(unittest.TestCase):
    def test_figures_with_nobody_beside_them_are_judged_by_their_interval(self):
        goal = judge.Goal(1, 1, own=1.25)
        self.assertEqual(judge.judge_alone(goal, [1.1, 1.2, 1.0, 1.1, 1.2, 1.0, 1.1])['verdict'], judge.WON)
        self.assertEqual(judge.judge_alone(goal, [1.1, 1.5, 1.4, 1.1, 1.5, 1.0, 1.1])['verdict'], judge.UNDECIDED)
        self.assertEqual(judge.judge_alone(goal, [1.5, 1.6, 1.5, 1.5, 1.6, 1.3, 1.4])['verdict'], judge.MISSED)
        self.assertEqual(judge.judge_alone(goal, [1.0] * 6), {})

    def test_the_median_of_the_ratios_not_the_ratio_of_the_medians(self):
        got = judge.judge(HALF, [1, 2, 3, 4, 5, 6, 7], [10, 10, 10, 10, 10, 100, 100])
        self.assertEqual(got['ratio'], 0.1 * 2)

    def test_won_when_the_whole_interval_is_at_or_better_than_the_goal(self):
        self.assertEqual(judge.verdict(HALF, 0.2, 0.5), judge.WON)
        self.assertEqual(judge.verdict(FOURFOLD, 4, 9), judge.WON)

    def test_undecided_when_the_goal_lies_within(self):
        self.assertEqual(judge.verdict(HALF, 0.4, 0.6), judge.UNDECIDED)
        self.assertEqual(judge.verdict(FOURFOLD, 3.9, 9), judge.UNDECIDED)

    def test_missed_when_the_whole_interval_is_worse(self):
        self.assertEqual(judge.verdict(HALF, 0.51, 0.6), judge.MISSED)
        self.assertEqual(judge.verdict(FOURFOLD, 1, 3.9), judge.MISSED)

    def test_a_bound_of_our_own_figure_is_missed_whatever_the_ratio(self):
        goal = judge.Goal(1 / 100, 1 / 200, own=8)
        self.assertEqual(judge.verdict(goal, 0.001, 0.002, own=[9, 9, 9]), judge.MISSED)
        self.assertEqual(judge.verdict(goal, 0.001, 0.002, own=[7, 8, 8]), judge.WON)

    def test_no_ratio_of_too_few_pairs_or_of_nothing(self):
        self.assertIsNone(judge.judge(HALF, [1] * 6, [2] * 6))
        self.assertIsNone(judge.judge(HALF, [1] * 7, [2] * 6 + [0]))

    def test_the_interval_holds_the_median_and_is_the_same_again(self):
        values = [0.5, 0.52, 0.48, 0.7, 0.51, 0.49, 0.3, 0.5]
        low, high = judge.interval(values)
        self.assertTrue(0.3 <= low <= 0.5 <= high <= 0.7)
        self.assertEqual((low, high), judge.interval(values))

    def test_the_best_variant_is_the_one_that_is_hardest_to_beat(self):
        figures = {'1g': [5, 5, 9], '256m': [4, 6, 6], 'never ran': []}
        self.assertEqual(judge.best_peer(True, figures), '1g')
        self.assertEqual(judge.best_peer(False, figures), '256m')
        self.assertIsNone(judge.best_peer(True, {'a': []}))


class Runs(unittest.TestCase):
    """pairs.take with runs that are scripted."""

    def take(self, outcomes, pairs_wanted=2):
        """outcomes: steal of each round, or an exception."""
        self.order, script = [], iter(outcomes)

        def one(name):
            self.order.append(name)
            return {'figure': 1}

        def steal():
            value = next(script)
            if isinstance(value, Exception):
                raise value
            return value
        return pairs.take(['weir', 'kafka'], one, pairs_wanted, lambda: steal)

    def test_a_b_a_b_with_the_first_pair_dropped(self):
        got = self.take([0, 0, 0])
        self.assertEqual(self.order, ['weir', 'kafka'] * 3)
        self.assertEqual([r['counted'] for r in got], [False, True, True])

    def test_a_disturbed_pair_runs_again(self):
        got = self.take([0, 0.06, 0, 0])
        self.assertEqual([r['counted'] for r in got], [False, False, True, True])
        self.assertIn('steal', got[1]['why'])

    def test_a_lost_record_runs_again(self):
        got = self.take([0, pairs.Wrong('a record is lost'), 0, 0])
        self.assertEqual(sum(r['counted'] for r in got), 2)
        self.assertEqual(got[1]['why'], 'a record is lost')

    def test_at_most_three_times_then_it_is_reported(self):
        with self.assertRaises(pairs.GaveUp) as caught:
            self.take([0] + [0.5] * 9)
        self.assertEqual(len(caught.exception.rounds), 1 + 4)


class Machine(unittest.TestCase):
    def test_steal_is_the_share_of_all_time(self):
        self.assertAlmostEqual(machine.steal_share([0, 0, 0, 50, 0, 0, 0, 0], [40, 0, 10, 90, 0, 0, 0, 10]), 0.1)
        self.assertEqual(machine.steal_share([1] * 8, [1] * 8), 0)


class Picture(unittest.TestCase):
    def test_it_is_well_formed_and_holds_every_row(self):
        rows = [{'title': 'a < b', 'less': True, 'goal': 0.5, 'ratio': 0.2, 'low': 0.1, 'high': 0.3, 'verdict': 'won'},
                {'title': 'more', 'less': False, 'goal': 4, 'ratio': 3, 'low': 2, 'high': 5, 'verdict': 'undecided'}]
        text = picture.draw(rows, 'here')
        root = xml.etree.ElementTree.fromstring(text)
        words = ' '.join(node.text or '' for node in root.iter() if node.tag.endswith('text'))
        self.assertIn('a < b', words)
        self.assertIn('5.0', words)     # 1 / 0.2 times better
        self.assertIn('3.0', words)


if __name__ == '__main__':
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=0).run(unittest.defaultTestLoader.loadTestsFromModule(
        sys.modules['__main__']))
    bad = len(result.failures) + len(result.errors)
    print('%d passed, %d failed, 0 skipped' % (result.testsRun - bad, bad))
    sys.exit(1 if bad else 0)
