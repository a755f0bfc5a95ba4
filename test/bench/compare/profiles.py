# SPDX-License-Identifier: Apache-2.0
"""Where the cycles of a broker go during one more run of a load: perf record, read into a text beside the result. Made for
rows that missed their goal, so that the figure comes with its reason."""

import pathlib
import re
import shutil
import signal
import subprocess
import time

HERTZ = 4999


def can_be_made():
    return '' if shutil.which('perf') else 'perf is not installed'


def take(broker, cores, alive, target, run):
    """Runs `run()` once more under perf and writes what it saw to target; a sentence when that cannot be done. alive: the
    broker's processes are there from before to after; else everything on its core is looked at, by the name of its program."""
    why = can_be_made()
    if why:
        return why
    target = pathlib.Path(target)
    data = target.with_suffix('.data')
    what = ['-p', ','.join(map(str, broker.pids()))] if alive else ['-a', '-C', str(cores.broker[0])]
    recorder = subprocess.Popen(cores.prefix(cores.clients) + ['perf', 'record', '-q', '-F', str(HERTZ), '-g', '-o', str(data), *what],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(0.5)
        if recorder.poll() is not None:
            return 'perf may not look: %s' % recorder.stderr.read().strip()[-200:]
        run()
    finally:
        if recorder.poll() is None:
            recorder.send_signal(signal.SIGINT)
        recorder.communicate(timeout=60)
    only = [] if alive else ['--comm', 'java' if broker.jvm else 'weir']
    parts = []
    for title, words in (('by function, itself', ['--no-children']), ('by function, with all it calls', ['--children'])):
        done = subprocess.run(['perf', 'report', '-i', str(data), '--stdio', '-g', 'none', '-s', 'sym', '--percent-limit', '0.4', *words,
                               *only], capture_output=True, text=True, timeout=300)
        lines = [line.rstrip() for line in done.stdout.splitlines() if line.strip() and not line.startswith('#')]
        parts.append('# %s\n%s\n' % (title, '\n'.join(lines)))
    target.write_text('\n'.join(parts))
    data.unlink(missing_ok=True)
    return '' if percent(parts[0], '') else 'perf saw nothing of it'


def percent(text, symbol):
    """The first share that a line with this symbol has, in percent; 0 when there is none."""
    for line in text.splitlines():
        found = re.match(r'\s*([\d.]+)%.*\]\s+(.*)', line)
        if found and symbol in found[2]:
            return float(found[1])
    return 0
