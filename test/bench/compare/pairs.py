# SPDX-License-Identifier: Apache-2.0
"""A B A B: rounds of one run of each broker. The first round is dropped; a round that was disturbed, or whose outcome was
wrong, runs again, at most three times, and what was seen stays in the raw data."""

import time

import machine

AGAIN_MOST = 3


class Wrong(Exception):
    """The broker did not do what was asked (a record lost, twice, or not the one that was sent): the number is void."""


class Unavailable(Exception):
    """The broker cannot be had or does not start; the text says why."""


class GaveUp(Exception):
    """A round failed once and then three times again. rounds: what was seen."""

    def __init__(self, why, rounds):
        super().__init__(why)
        self.rounds = rounds


def take(names, run_one, wanted, watch_steal=machine.watch_steal, had=(), note=None, allows=None):
    """The rounds, each {'counted', 'runs': {name: figures}, 'steal', 'why'}: so many counted ones, in order, and the
    void ones between them. run_one(name) runs the load once on that broker. had: rounds of an earlier session, which count;
    note(rounds) is told of every round; allows(seconds) says whether another round, as long as the longest so far, may begin."""
    rounds, again, longest = list(had), 0, 0
    counted, warm = sum(r['counted'] for r in rounds), False    # the first round of a session is dropped
    while counted < wanted:
        if allows and longest and not allows(longest):
            break
        began = time.monotonic()
        stolen, runs, why = watch_steal(), {}, ''
        at = time.time()
        try:
            for name in names:
                runs[name] = run_one(name)
            share = stolen()
            if share > machine.STEAL_MOST:
                why = '%.1f %% steal' % (100 * share)
        except (Wrong, Unavailable) as void:
            share, why = None, str(void)
        good = not why
        rounds.append({'counted': good and warm, 'runs': runs, 'steal': share, 'why': why or
                       ('' if warm else 'the first pair is dropped'), 'at': round(at, 3)})
        longest = max(longest, time.monotonic() - began)
        if note:
            note(rounds)
        if good:
            counted, again, warm = counted + warm, 0, True
            continue
        again += 1
        if again > AGAIN_MOST:
            raise GaveUp('a pair failed %d times, the last with: %s' % (again, why), rounds)
    return rounds
