# SPDX-License-Identifier: Apache-2.0
"""What a comparison has measured so far, kept as it goes: written anew after every pair, so that a run that is cut off, or
whose minutes are over, goes on from there (--resume). Pure but for the one file."""

import json
import os
import pathlib


def load(path):
    """A kept run, or None."""
    path = pathlib.Path(path)
    return json.loads(path.read_text()) if path.exists() else None


def save(path, run):
    """Whole or not at all."""
    path = pathlib.Path(path)
    fresh = path.with_suffix('.new')
    fresh.write_text(json.dumps(run, indent=1))
    os.replace(fresh, path)


def counted(taken):
    return sum(r['counted'] for r in taken['rounds']) if taken else 0


def is_whole(taken, wanted):
    """Nothing is left to do for a load: it has its pairs, or gave up for a reason that time does not mend."""
    return bool(taken) and (counted(taken) >= wanted or bool(taken['gave_up']))


def goes_on(taken, version, peers):
    """The rounds of an earlier session that count with those of this one: of the same executable beside the same peers. A
    pair is a ratio of its own, so that pairs of two sessions make one row; each session drops its own first one."""
    if not taken or taken.get('version') != version or taken['gave_up']:
        return []
    return [r for r in taken['rounds'] if not r['counted'] or set(r['runs']) == {'weir', *peers}]


class Clock:
    """The minutes there are. Without a number there is no end."""

    def __init__(self, minutes, now):
        self.now = now
        self.end = now() + 60 * minutes if minutes is not None else None

    def left(self):
        return float('inf') if self.end is None else self.end - self.now()

    def allows(self, seconds):
        return self.left() >= seconds


def worth_beginning(clock, once_s, round_s, missing, least=3):
    """Whether a load is begun: all the pairs it misses fit into what is left, or at least some do (the dropped one and
    what comes before it counted), so that the next session has fewer."""
    return clock.allows(once_s + (1 + min(missing, least)) * round_s)
