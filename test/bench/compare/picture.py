# SPDX-License-Identifier: Apache-2.0
"""The rows as a picture: one bar a row, how many times better than the peer on a logarithmic scale, its interval, and the
goal as a line. Plain SVG."""

import math
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, ROW, TOP, FOOT = 980, 400, 90, 30, 40, 46
COLOURS = {'won': '#2e7d4f', 'undecided': '#c08a1e', 'missed': '#b23b3b', None: '#5b6b7b'}


def times(row, ratio):
    """How many times better: both kinds of ratio grow the same way."""
    return 1 / ratio if row['less'] else ratio


def label(value):
    return '%.1f' % value if value < 100 else '%.0f' % value


def draw(rows, caption):
    """rows: dictionaries of title, less, goal (or None), ratio, low, high, verdict. The text of an SVG file."""
    values = [times(r, r[key]) for r in rows for key in ('ratio', 'low', 'high')] + [times(r, r['goal']) for r in rows
                                                                                    if r['goal']]
    least, most = min(values + [1]), max(values + [10])
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    scale = (WIDTH - LEFT - RIGHT) / (high - low)

    def at(value):
        return LEFT + (math.log10(value) - low) * scale
    height = TOP + ROW * len(rows) + FOOT
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">'
           % (WIDTH, height), '<rect width="%d" height="%d" fill="#ffffff"/>' % (WIDTH, height)]
    for power in range(low, high + 1):
        x = at(10 ** power)
        out.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s"/>'
                   % (x, x, TOP - 8, height - FOOT, '#444444' if power == 0 else '#d8dde2'))
        out.append('<text x="%.1f" y="%d" text-anchor="middle" fill="#444444">%gx</text>' % (x, TOP - 14, 10 ** power))
    for index, row in enumerate(rows):
        y = TOP + index * ROW
        middle, value = y + ROW / 2, times(row, row['ratio'])
        ends = sorted(at(times(row, row[key])) for key in ('low', 'high'))
        x = sorted((at(1), at(value)))
        out.append('<text x="%d" y="%.1f" text-anchor="end">%s</text>' % (LEFT - 12, middle + 4, escape(row['title'])))
        out.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%d" fill="%s"/>'
                   % (x[0], y + 7, max(x[1] - x[0], 1), ROW - 14, COLOURS[row['verdict']]))
        out.append('<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#111111" stroke-width="2"/>'
                   % (ends[0], ends[1], middle, middle))
        if row['goal']:
            out.append('<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#111111" stroke-dasharray="3 2"/>'
                       % (at(times(row, row['goal'])), at(times(row, row['goal'])), y + 2, y + ROW - 2))
        out.append('<text x="%.1f" y="%.1f">%s</text>' % (max(ends[1], x[1]) + 6, middle + 4, label(value)))
    out.append('<text x="%d" y="%d" fill="#444444">%s</text>' % (12, height - 26, escape(caption)))
    out.append('<text x="%d" y="%d" fill="#444444">times better than the peer; black: 95 %% interval; dashed: the goal; '
               'green won, amber undecided, red missed (the goal, or weir\'s own bound)</text></svg>' % (12, height - 9))
    return '\n'.join(out) + '\n'
