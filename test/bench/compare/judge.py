# SPDX-License-Identifier: Apache-2.0
"""What a row's pairs come to: the median of the ratios of the pairs, its 95 % bootstrap interval, and the verdict. Pure:
numbers in, numbers out."""

import dataclasses
import random
import statistics

PAIRS_LEAST = 7                 # counted ones; a row with fewer prints no ratio
RESAMPLES = 10000
WON, MISSED, UNDECIDED = 'won', 'missed', 'undecided'


@dataclasses.dataclass(frozen=True)
class Goal:
    """weir / peer is at most (less is better) or at least this; the figure of weir itself may have a bound too."""

    ratio: float
    beyond: float
    less: bool = True
    own: float = None

    def met(self, ratio, bound=None):
        bound = self.ratio if bound is None else bound
        return ratio <= bound if self.less else ratio >= bound


def interval(values, resamples=RESAMPLES):
    """The 95 % percentile bootstrap interval of the median. The same values give the same interval."""
    generator = random.Random(len(values))
    count = len(values)
    medians = sorted(statistics.median(generator.choices(values, k=count)) for _ in range(resamples))
    return medians[int(0.025 * resamples)], medians[min(int(0.975 * resamples), resamples - 1)]


def verdict(goal, low, high, own=None):
    """won: the whole interval is at or better than the goal; missed: the whole of it is worse. own: weir's figures
    of the pairs, when the goal bounds them: their median decides."""
    if goal.own is not None and own and not goal.met(statistics.median(own), goal.own):
        return MISSED
    if goal.met(low) and goal.met(high):
        return WON
    return UNDECIDED if goal.met(low) or goal.met(high) else MISSED


def judge(goal, weir, peer):
    """weir, peer: the figures of the counted pairs, in their order. None with too few of them."""
    if len(weir) != len(peer) or len(weir) < PAIRS_LEAST or any(value <= 0 for value in weir + peer):
        return None
    ratios = [a / b for a, b in zip(weir, peer)]
    low, high = interval(ratios)
    return {'weir': statistics.median(weir), 'peer': statistics.median(peer), 'ratio': statistics.median(ratios),
            'low': low, 'high': high, 'pairs': len(ratios), 'verdict': verdict(goal, low, high, weir) if goal else None,
            'beyond': bool(goal) and goal.met(low, goal.beyond) and goal.met(high, goal.beyond)}


def judge_alone(goal, values):
    """The same of figures that have nobody beside them: goal.own bounds them, and their interval decides."""
    if len(values) < PAIRS_LEAST:
        return {}
    low, high = interval(values)
    bound = Goal(goal.own, goal.own, goal.less)
    return {'weir': statistics.median(values), 'low': low, 'high': high, 'verdict': verdict(bound, low, high)}


def best_peer(less, figures):
    """Of a peer's variants, the name of the one with the best median. figures: {name: [figure of a pair]}."""
    known = {name: statistics.median(values) for name, values in figures.items() if values}
    return (min if less else max)(known, key=known.get) if known else None
