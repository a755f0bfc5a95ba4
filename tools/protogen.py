#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns the data in proto/ into C at build time. Output depends only on the input, never on time or hash order.

    protogen.py errors proto/errors.txt OUT.inc     rows of the Kafka error table
"""
import sys


def errors(source, target):
    rows = []
    for number, line in enumerate(open(source, encoding="utf-8"), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if len(words) > 3 or (len(words) == 3 and words[2] != "retriable"):
            sys.exit(f"{source}:{number}: expected: code name [retriable]")
        rows.append((int(words[0]), words[1], len(words) == 3))
    rows.sort()
    with open(target, "w", encoding="utf-8") as out:
        for code, name, retriable in rows:
            out.write(f'    {{{code}, {"true" if retriable else "false"}, "{name}"}},\n')


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "errors":
        errors(sys.argv[2], sys.argv[3])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
