# SPDX-License-Identifier: Apache-2.0
"""The rows of kept runs as the table of the README, and as its picture. Pure but for the files it is given."""

import json
import pathlib

import picture
import rows

BEGIN, END = '<!-- tools/bench compare --report: begin -->', '<!-- tools/bench compare --report: end -->'
# What a plain program pays for the same, beside weir's figure: [(figures of the floor, times them)], the first that a run has.
# The runs before the floor was taken at the rates of the loads have it flat out only.
FLAT_OUT = (('in_cpu_s_per_gb', 'out_cpu_s_per_gb'), 1)
GB_A_MILLION_RECORDS = 0.11      # of 100 bytes, in batches of 64 KiB
FLOORS = {'cpu-64k': [(('in_at_150_cpu_s_per_gb', 'out_cpu_s_per_gb'), 1), FLAT_OUT],
          'cpu-1m': [FLAT_OUT],         # the floor's blocks are of 64 KiB: at a rate it wakes sixteen times as often
          'cpu-100b': [(('in_at_50_cpu_s_per_gb', 'out_cpu_s_per_gb'), GB_A_MILLION_RECORDS)],
          'cpu-pairs': [(('paced_echo_us_per_request',), 2)],
          'p99': [(('echo_p99_ms',), 1)], 'p99.9': [(('echo_p99_9_ms',), 1)]}


def floor_of(row, run):
    """[the floor of a row, in its unit], or []."""
    had = run['about']['floor']
    return [sum(had[name] for name in names) * times for names, times in FLOORS.get(row, []) if all(n in had for n in names)][:1]


def load(paths):
    """Kept runs, the oldest first. One without ratios (a smoke test) tells nothing here."""
    runs = [json.loads(pathlib.Path(path).read_text()) for path in paths]
    return sorted((run for run in runs if run['about']['honest']), key=lambda run: run['about']['date'])


def has_figures(row):
    return bool(row.get('judged') or row.get('verdict'))


def latest(runs):
    """{row: (its result, the run it is of)}, in the order of the rows; a row that was run again is shown as it was last."""
    order = {row.name: index for index, row in enumerate(rows.ROWS)}
    found = {row['row']: (row, run) for run in runs for row in run['rows'] if has_figures(row) and row['row'] in order}
    return dict(sorted(found.items(), key=lambda item: order[item[0]]))


def number(value):
    if value >= 1000:
        return '{:,.0f}'.format(value)
    return '%.3g' % value


def with_unit(value, unit):
    return number(value) + (unit if unit in ('/s', 'x') else ' ' + unit)


def line(row, run, letter):
    goal_now = next(one.goal for one in rows.ROWS if one.name == row['row'])
    own = row['own_goal'] if 'own_goal' in row else goal_now and goal_now.own
    beside = ['floor ' + with_unit(floor, row['unit']) for floor in floor_of(row['row'], run)]
    beside += ['%s %s' % (words, with_unit(value, row['unit'])) for words, value in row.get('beside', {}).items()]
    judged = row.get('judged')
    if judged is None:          # of weir alone
        between = ' (%s to %s)' % (number(row['low']), number(row['high'])) if 'low' in row else ''
        cells = [with_unit(row['weir'], row['unit']) + between, '', '', 'at most ' + with_unit(own, row['unit']), row['verdict']]
    else:
        times = [picture.label(picture.times(row, judged[key])) for key in ('ratio', 'low', 'high')]
        goal = [] if not row['goal'] else [number(picture.times(row, row['goal']))] + (['at most ' + with_unit(own, row['unit'])]
                                                                                     if own else [])
        verdict = (judged['verdict'] or '') + (', beyond' if judged['beyond'] else '')
        if row.get('not_held'):
            verdict += '%sthe rate was not held in %d pairs' % ('; ' * bool(verdict), row['not_held'])
        cells = [with_unit(judged['weir'], row['unit']), with_unit(judged['peer'], row['unit']),
                 '%s (%s to %s)' % (times[0], *sorted(times[1:], key=float)), ', '.join(goal), verdict]
    if beside:
        cells[0] += ' (%s)' % ', '.join(beside)
    return '| %s |' % ' | '.join(['`%s`: %s' % (row['row'], row['title']), *cells, letter])


def table(runs):
    """Markdown: the rows, and below it when and how each run was made."""
    found = latest(runs)
    used = [run for run in runs if any(of is run for _, of in found.values())]
    letters = {id(run): chr(ord('a') + index % 26) for index, run in enumerate(used)}
    out = ['| row | weir | Kafka | times better (95 %) | goal | | run |', '|---|---|---|---|---|---|---|']
    out += [line(row, run, letters[id(run)]) for row, run in found.values()]
    out.append('')
    for run in used:
        about = run['about']
        versions = sorted({row['version'] for row, of in found.values() if of is run and row.get('version')})
        machine = about['machine']
        control = machine.get('congestion_control')
        out.append('%s: %s UTC, %s%d pairs, Apache Kafka %s, %s, %s%s, load average %.1f before it began, `%s`' % (
            letters[id(run)], about['date'], ''.join('weir %s, ' % version for version in versions), about['pairs'],
            about['kafka'], machine['processor'], machine['kernel'], ' with %s' % control if control else '',
            machine['load_average'], about['command']))
        out.append('')
    return '\n'.join(out).rstrip() + '\n'


def write_into(text, made):
    """A document with what is between its two marks replaced; None when it has them not."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return before + BEGIN + '\n' + made + END + after if begin and end else None


def draw(runs, target):
    """The picture of the judged rows of some runs; False when there are none."""
    drawn = [({**row, **row['judged']}, run) for row, run in latest(runs).values() if row.get('judged')]
    if drawn:
        about = runs[-1]['about']
        pathlib.Path(target).write_text(picture.draw([row for row, _ in drawn], 'weir beside Apache Kafka %s, %s, %s' % (
            about['kafka'], about['date'], about['machine']['processor'])))
    return bool(drawn)


def publish(fresh, figures, readme):
    """Puts the runs of `fresh` beside those that are in the folder of figures, writes the README's table and the picture from
    the latest of each row, and drops runs of which no row is shown any more. The rows that are shown."""
    figures, readme = pathlib.Path(figures), pathlib.Path(readme)
    files = sorted(figures.glob('*.json'))
    runs = {path: run for path in files for run in load([path])}
    for run in load(fresh):
        name = run['about']['date'].replace(' ', '-').replace(':', '') + '.json'
        runs[figures / name] = run
    ordered = sorted(runs.values(), key=lambda run: run['about']['date'])
    found = latest(ordered)
    if not found:
        raise ValueError('no row of these runs has a ratio')
    text = write_into(readme.read_text(), table(ordered))
    if text is None:
        raise ValueError('%s has no line %s and no line %s' % (readme, BEGIN, END))
    readme.write_text(text)
    draw(ordered, figures / 'compare.svg')
    for path, run in runs.items():
        if any(of is run for _, of in found.values()):
            path.write_text(json.dumps(run, indent=1) + '\n')
        else:
            path.unlink(missing_ok=True)
    return list(found)
