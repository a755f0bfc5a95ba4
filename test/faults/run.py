#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What bad input, overload and broken surroundings get: every case starts brokers of its own.

    run.py --weir FILE [--only NAME[,NAME]] [--port FIRST] [--campaign] [--untimed] [--jobs N] [--list]

--campaign runs the long cases too; named by --only they run in any case. --untimed leaves out whole groups that are about
seconds, which an executable with sanitizers does not keep. --jobs runs so many of the other cases side by side, before those.

The last line is `N passed, N failed, N skipped`; the exit code is 1 when anything failed."""

import argparse
import concurrent.futures
import multiprocessing
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import frames                                                                       # noqa: E402
import commits                                                                      # noqa: E402
import life                                                                         # noqa: E402
import overload                                                                     # noqa: E402
import disks                                                                        # noqa: E402
import folders                                                                      # noqa: E402
import shards                                                                       # noqa: E402
import failover                                                                     # noqa: E402
import hangs                                                                        # noqa: E402
import raft_log                                                                     # noqa: E402
import identity                                                                     # noqa: E402
import restarts                                                                     # noqa: E402
import cluster_disks                                                                # noqa: E402
import clocks                                                                       # noqa: E402
import pauses                                                                       # noqa: E402
import cuts                                                                         # noqa: E402
import moves                                                                        # noqa: E402
import elections                                                                    # noqa: E402
import nearest                                                                      # noqa: E402
import keys                                                                         # noqa: E402
import server                                                                       # noqa: E402
from harness import Node, Skip                                                      # noqa: E402

ROOMS = {'frames': frames, 'overload': overload, 'life': life, 'commits': commits, 'shards': shards, 'disks': disks, 'folders': folders,
         'failover': failover, 'cuts': cuts, 'hangs': hangs, 'raft_log': raft_log, 'identity': identity, 'restarts': restarts,
         'cluster_disks': cluster_disks, 'clocks': clocks, 'elections': elections, 'pauses': pauses, 'nearest': nearest,
         'moves': moves, 'keys': keys}
TIMED = ('cuts', 'hangs', 'restarts', 'clocks', 'pauses', 'moves', 'keys')


def chosen(args):
    """The cases to run, as (room, number in it)."""
    wanted = set(args.only.split(',')) if args.only else None
    for room, module in ROOMS.items():
        long = getattr(module, 'CAMPAIGN', [])
        if args.untimed and room in TIMED:
            continue
        for number, case in enumerate(module.CASES + long):
            names = {name_of(room, number), case.__name__}
            if wanted and not (names | {room}) & wanted:
                continue
            if case in long and not (args.campaign or args.list or names & (wanted or set())):
                continue
            yield room, number


def case_of(room, number):
    return (ROOMS[room].CASES + getattr(ROOMS[room], 'CAMPAIGN', []))[number]


def name_of(room, number):
    return '%s.%s' % (room, case_of(room, number).__name__)


def run_one(weir, room, number):
    """The verdict, and the line that says it."""
    name, begin = name_of(room, number), time.monotonic()
    try:
        detail = case_of(room, number)(weir) or ''
        return 'ok', 'ok      %-28s %4.1f s  %s' % (name, time.monotonic() - begin, detail)
    except Skip as why:
        return 'skip', 'skip    %-28s %s' % (name, why)
    except Exception as error:                                          # pylint: disable=broad-except
        line = 'FAILED  %-28s %4.1f s  %s: %s' % (name, time.monotonic() - begin, type(error).__name__, str(error)[-1500:])
        return 'FAILED', line if isinstance(error, AssertionError) else line + '\n' + traceback.format_exc()


def begin_worker(turn, jobs):
    with turn.get_lock():
        server.share[:] = turn.value, jobs
        turn.value += 1


def verdicts(args, cases):
    """As they come: first those that may stand side by side, then those that are about seconds."""
    weir = os.path.abspath(args.weir)
    apart = [case for case in cases if args.jobs == 1 or case[0] in TIMED]
    beside = [case for case in cases if case not in apart]
    if beside:
        fork = multiprocessing.get_context('fork')
        with concurrent.futures.ProcessPoolExecutor(args.jobs, fork, begin_worker, (fork.Value('i', 0), args.jobs)) as pool:
            for done in concurrent.futures.as_completed([pool.submit(run_one, weir, *case) for case in beside]):
                yield done.result()
    for case in apart:
        yield run_one(weir, *case)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--weir', required=True, help='the executable')
    parser.add_argument('--only', help='cases or groups by name, with commas')
    parser.add_argument('--port', type=int, help='first of the ports to use; else any that is free')
    parser.add_argument('--campaign', action='store_true', help='the long cases too')
    parser.add_argument('--untimed', action='store_true', help='without the groups that are about seconds')
    parser.add_argument('--jobs', type=int, default=1, help='so many cases side by side, of the groups that are not about seconds')
    parser.add_argument('--list', action='store_true', help='names only')
    args = parser.parse_args()
    if args.jobs < 1 or (args.port and args.jobs > 1):
        parser.error('--jobs takes 1 or more, and with --port 1')
    Node.ports[0] = args.port or 0
    cases = list(chosen(args))
    if args.list:
        for case in cases:
            print('%-28s %s' % (name_of(*case), case_of(*case).__doc__.splitlines()[0]))
        return
    count = {'ok': 0, 'FAILED': 0, 'skip': 0}
    for verdict, line in verdicts(args, cases):
        count[verdict] += 1
        print(line, flush=True)
    print('%d passed, %d failed, %d skipped' % (count['ok'], count['FAILED'], count['skip']))
    sys.exit(1 if count['FAILED'] else 0)


if __name__ == '__main__':
    main()
