#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Decodes every golden frame with the schemas of proto/ and encodes it again, in Python: shows that the recorded bytes and
the schemas agree, independently of the product's codecs."""

import glob
import os
import re
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'compat'))
import wire                                                                         # noqa: E402


NEWER = 'newer than the schema'


def check(path):
    """None, NEWER, or what is wrong with a file."""
    kind = re.search(r'-v(\d+)-(req|rsp)\.hex$', path)
    version = int(kind.group(1))
    frame = bytes.fromhex(open(path).read())
    name = os.path.basename(path)[:kind.start() - len(path)]
    if name not in wire.KEYS:
        return 'no schema'
    key = wire.KEYS[name]
    if not wire.within(version, wire.REQUESTS[key].versions):
        return NEWER
    try:
        if kind.group(2) == 'req':
            _, frame_version, correlation, client_id, body = wire.decode_request(frame)
            again = wire.request_frame(key, frame_version, correlation, body, client_id)
        else:
            correlation, body = wire.decode_response(key, version, frame)
            again = struct.pack('>i', correlation) + b'\0' * (wire.response_header_bytes(key, version) - 4)
            again += wire.RESPONSES[key].encode(version, body)
    except (wire.BadFrame, struct.error, KeyError, IndexError) as error:
        return '%s: %s' % (type(error).__name__, error)
    return None if again == frame else 'encodes differently'


def main():
    paths = sorted(glob.glob(os.path.join(HERE, 'wire', '*', '*.hex')))
    results = [(path, check(path)) for path in paths]
    bad = [(path, why) for path, why in results if why not in (None, NEWER)]
    for path, why in bad:
        print('%s: %s' % (os.path.relpath(path, HERE), why))
    print('%d frames, %d %s, %d bad' % (len(paths), sum(why is NEWER for _, why in results), NEWER, len(bad)))
    sys.exit(1 if bad or not paths else 0)


if __name__ == '__main__':
    main()
