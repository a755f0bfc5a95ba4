#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cases that no client library lets one make: requests written byte by byte, wrong ones above all.

    compat.py HOST:PORT PREFIX NAME [--weir] [--pid PID] [--log FILE] [--data DIR] [--groups]

With --weir it is strict where Apache Kafka answers differently; --pid and --log let it watch the process."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..'), HERE]
import cases                                                                        # noqa: E402
import admin                                                                        # noqa: E402
import frames                                                                       # noqa: E402
import groups                                                                       # noqa: E402
import produce                                                                      # noqa: E402
import reading                                                                      # noqa: E402
import versions                                                                     # noqa: E402


def option(name):
    """The value behind an option, or None."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


def main():
    bootstrap, prefix, name = sys.argv[1:4]
    weir = '--weir' in sys.argv
    report = cases.Report(name)
    frames.run(report, bootstrap, prefix, weir, int(option('--pid') or 0), option('--log'))
    versions.run(report, bootstrap, prefix, weir)
    produce.run(report, bootstrap, prefix, weir)
    reading.run(report, bootstrap, prefix, weir)
    admin.run(report, bootstrap, prefix, weir)
    if '--groups' in sys.argv:
        groups.run(report, bootstrap, prefix, weir)


main()
