#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures weir beside Apache Kafka on this machine, in one run, and prints honest ratios.

    tools/bench compare [--list] [--smoke] [--minutes N] [--peers NAME,...] [--pairs N] [--warmup SECONDS] [ROW...]
    tools/bench compare --resume [--minutes N]
    tools/bench compare --report [JSON...]

One run of each broker after the other, A B A B: same client (weir perf; rows by stock clients beside it), same topic
settings, same flush policy, brokers pinned to one core and clients to the others, memory touched before. Before its first
pair a broker with a JVM gets 60 s of the same load; the first pair is dropped; a row has at least 7 pairs, and shows the
median of the pairs' ratios with its 95 % bootstrap interval: won when all of it is at or better than the goal, missed when
all of it is worse, else undecided. Pairs in which over 5 % of the time was stolen by the hypervisor, or whose records were
not all there with their checksums, run again, at most three times. "Kafka" is the better of its two heaps in each row; NATS
JetStream, where it is installed and has the like, stands beside without a goal. The
floor (a plain echo, append and sendfile) is measured beside it. With --smoke, less warming or fewer pairs figures are
printed, but no ratio. Of a load that missed a goal one more run is made under perf, and what it saw left in profiles/.

Every pair is kept as it comes, in compare.json in the folder that is named at the end. --minutes N takes the rows that say
most first, with shorter runs and Kafka's default heap alone, and stops in time; --resume goes on with what was kept, with
the same options, and makes one row of both sessions' pairs. --report writes the README's table and picture from what is
kept there and in test/bench/compare/figures, and keeps the runs it shows in that folder."""

import argparse
import pathlib
import shutil
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import brokers                                                                      # noqa: E402
import comparison                                                                   # noqa: E402
import judge                                                                        # noqa: E402
import keep                                                                         # noqa: E402
import report                                                                       # noqa: E402
import rows                                                                         # noqa: E402

FIGURES = pathlib.Path(__file__).resolve().parent / 'figures'


def options_of(words):
    parser = argparse.ArgumentParser(prog='tools/bench compare', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--list', action='store_true', help='the rows and their goals')
    parser.add_argument('--report', nargs='*', metavar='JSON',
                        help='measure nothing; write the README\'s table and picture (default: from compare.json in --out)')
    parser.add_argument('--smoke', action='store_true', help='a few seconds a row, to see that it works; no ratio')
    parser.add_argument('--minutes', type=float, help='the most telling rows first, and no longer than this')
    parser.add_argument('--resume', action='store_true', help='go on with what was kept in --out, with its options')
    parser.add_argument('--profile', action='store_true', help='of every load, not only of those that missed a goal')
    parser.add_argument('--peers', help='of %s, with commas; default: all, with --minutes the first' % ', '.join(comparison.PEERS))
    parser.add_argument('--pairs', type=int, help='counted ones (default %d)' % judge.PAIRS_LEAST)
    parser.add_argument('--warmup', type=int, help='seconds before a JVM\'s first pair (default %d)' % comparison.WARM_LEAST)
    parser.add_argument('--gb', type=float, help='moved in a run of a row of throughput or CPU (default 1, with --minutes 0.3)')
    parser.add_argument('--backlog-gb', type=float, help='of the cold backlog (default: more than there is memory)')
    parser.add_argument('--restart-gb', type=float, default=10, help='of the restart after kill -9 (default 10)')
    parser.add_argument('--data', default=str(brokers.ROOT / 'build'), help='a folder on the disk to measure')
    parser.add_argument('--out', default=str(brokers.ROOT / 'build/compare'), help='where the raw figures go')
    parser.add_argument('rows', nargs='*', metavar='ROW')
    options = parser.parse_args(words)
    kept = keep.load(pathlib.Path(options.out) / 'compare.json') if options.resume else None
    if options.resume and not (kept and 'options' in kept['about']):
        parser.error('nothing to go on with in %s' % options.out)
    settle(options, kept)
    unknown = [name for name in options.rows if name not in {row.name for row in rows.ROWS}]
    if unknown:
        parser.error('unknown row %s; --list shows them' % unknown[0])
    if options.peers and any(name not in comparison.PEERS for name in options.peers.split(',')):
        parser.error('the peers are %s' % ', '.join(comparison.PEERS))
    return parser, options, kept


def settle(options, kept):
    """What was not said: from the run that goes on, else by how much time there is. Rows may be named anew."""
    options.brief = options.minutes is not None
    if kept:
        named = options.rows
        for name in comparison.KEPT_OPTIONS:
            setattr(options, name, kept['about']['options'][name])
        options.rows = named or options.rows
    if options.gb is None:
        options.gb = 0.3 if options.brief else 1
    if options.peers is None and options.brief:
        options.peers = next(iter(brokers.HEAPS))


def show_list():
    for row in rows.ROWS:
        goal = '' if not row.goal else 'at most %.3g x' % row.goal.own if row.alone else '%.3g times better%s' % (
            1 / row.goal.ratio if row.less else row.goal.ratio, ', at most %g %s' % (row.goal.own, row.unit)
            if row.goal.own else '')
        print('%-22s %-62s %s' % (row.name, row.title, goal))


def main():
    parser, options, kept = options_of(sys.argv[1:])
    if options.list:
        show_list()
        return 0
    if options.report is not None:
        own = pathlib.Path(options.out) / 'compare.json'
        try:
            shown = report.publish(options.report or [own] * own.exists(), FIGURES, brokers.ROOT / 'README.md')
        except (OSError, ValueError, KeyError) as error:
            parser.error(str(error))
        print('README.md and %s show %d rows: %s' % ((FIGURES / 'compare.svg').relative_to(brokers.ROOT), len(shown), ' '.join(shown)))
        return 0
    run = comparison.Comparison(options, kept)
    try:
        return run.go()
    finally:
        shutil.rmtree(run.scratch, ignore_errors=True)


if __name__ == '__main__':
    for number in (signal.SIGINT, signal.SIGTERM):      # brokers are ended on the way out, however it comes
        signal.signal(number, lambda *_: sys.exit(130))
    sys.exit(main())
