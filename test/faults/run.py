#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What bad input, overload and broken surroundings get: every case starts brokers of its own.

    run.py --weir FILE [--only NAME[,NAME]] [--port FIRST] [--campaign] [--untimed] [--list]

--campaign runs the long cases too; named by --only they run in any case. --untimed leaves out whole groups that are about
seconds, which an executable with sanitizers does not keep.

The last line is `N passed, N failed, N skipped`; the exit code is 1 when anything failed."""

import argparse
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
from harness import Node, Skip                                                      # noqa: E402

ROOMS = {'frames': frames, 'overload': overload, 'life': life, 'commits': commits, 'shards': shards, 'disks': disks, 'folders': folders,
         'failover': failover, 'cuts': cuts, 'hangs': hangs, 'raft_log': raft_log, 'identity': identity, 'restarts': restarts,
         'cluster_disks': cluster_disks, 'clocks': clocks, 'elections': elections, 'pauses': pauses, 'nearest': nearest,
         'moves': moves, 'keys': keys}
TIMED = ('cuts', 'hangs', 'restarts', 'clocks', 'pauses', 'moves', 'keys')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--weir', required=True, help='the executable')
    parser.add_argument('--only', help='cases or groups by name, with commas')
    parser.add_argument('--port', type=int, help='first of the ports to use; else any that is free')
    parser.add_argument('--campaign', action='store_true', help='the long cases too')
    parser.add_argument('--untimed', action='store_true', help='without the groups that are about seconds')
    parser.add_argument('--list', action='store_true', help='names only')
    args = parser.parse_args()
    Node.ports[0] = args.port or 0
    wanted = args.only.split(',') if args.only else None
    passed = failed = skipped = 0
    for room, module in ROOMS.items():
        long = getattr(module, 'CAMPAIGN', [])
        if args.untimed and room in TIMED:
            continue
        for case in module.CASES + long:
            name = '%s.%s' % (room, case.__name__)
            if wanted and not {room, name, case.__name__} & set(wanted):
                continue
            if case in long and not (args.campaign or args.list or {name, case.__name__} & set(wanted or [])):
                continue
            if args.list:
                print('%-28s %s' % (name, case.__doc__.splitlines()[0]))
                continue
            begin = time.monotonic()
            try:
                detail = case(os.path.abspath(args.weir)) or ''
                passed += 1
                print('ok      %-28s %4.1f s  %s' % (name, time.monotonic() - begin, detail), flush=True)
            except Skip as why:
                skipped += 1
                print('skip    %-28s %s' % (name, why), flush=True)
            except Exception as error:                                  # pylint: disable=broad-except
                failed += 1
                print('FAILED  %-28s %4.1f s  %s: %s' % (name, time.monotonic() - begin, type(error).__name__,
                                                        str(error)[-1500:]), flush=True)
                if not isinstance(error, AssertionError):
                    traceback.print_exc()
    print('%d passed, %d failed, %d skipped' % (passed, failed, skipped))
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
