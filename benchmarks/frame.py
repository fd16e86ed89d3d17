"""The frame of `make bench`: register a benchmark, time it against its baseline, write the result down.

A benchmark is a function that makes two callables, ours and the baseline's, that do the same work:

    @bench('freeze, 24 clips', against='a loop over frames with clones', at_least=2)
    def _(): ...; return ours, theirs

They are called in turn, so that a noisy machine disturbs both alike; the result is the median of the ratios of pairs.
Where a time is asked for (what a reader waits for on a screen), `@asked(name, ms)` decorates a function that makes one
callable, which gives milliseconds; the baseline is the time asked for.
"""

import json, platform, statistics, time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Callable

HERE = Path(__file__).parent
ALL: list['Bench'] = []


@dataclass
class Bench:
    name: str  # what is measured, and at which size
    against: str  # the baseline, in words
    at_least: float | None  # the ratio (baseline's time / ours) that is asked for; None: none is
    make: Callable  # () -> (ours, baseline), both without arguments
    runs: int  # pairs that are timed
    times: int = 1  # how much less work the baseline's callable does, where doing all of it would take minutes
    ms: float | None = None  # the time asked for; then `make` gives one callable that gives milliseconds
    also: Callable | None = None  # () -> further numbers by name, such as the error of each way; after the timing


def bench(name, against, at_least=None, runs=7, times=1, also=None):
    "Register the decorated function as a benchmark"

    def register(make):
        ALL.append(Bench(name, against, at_least, make, runs, times, also=also))
        return make

    return register


def asked(name, ms, runs=7):
    "Register the decorated function as a benchmark of a time"

    def register(make):
        ALL.append(Bench(name, f'the {ms:g} ms asked for', 1, make, runs, ms=ms))
        return make

    return register


class Missing(RuntimeError):
    "What a benchmark needs is not on this machine"


def _seconds(f):
    t = time.perf_counter()
    f()
    return time.perf_counter() - t


def _pairs(b: Bench) -> list:
    "(ours, the baseline's) seconds of each run, after one run of each to warm up"
    if b.ms is not None:
        f = b.make()
        f()
        return [(f() / 1000, b.ms / 1000) for _ in range(b.runs)]
    ours, theirs = b.make()
    ours()
    theirs()
    return [(_seconds(ours), _seconds(theirs)) for _ in range(b.runs)]


def measure(b: Bench) -> dict:
    "One row: the median ratio, and the spread of the middle half of the pairs"
    pairs = _pairs(b)
    ratios = [t * b.times / o for o, t in pairs]
    low, _, high = statistics.quantiles(ratios, n=4)
    return dict(
        name=b.name,
        against=b.against,
        ratio=round(statistics.median(ratios), 2),
        at_least=b.at_least,
        low=round(low, 2),
        high=round(high, 2),
        runs=b.runs,
        times=b.times,
        ours_ms=round(1e3 * statistics.median(o for o, _ in pairs), 2),
        baseline_ms=round(1e3 * b.times * statistics.median(t for _, t in pairs), 2),
        machine=machine(),
        date=date.today().isoformat(),
        **({} if b.also is None else {'also': {k: float(v) for k, v in b.also().items()}}),
    )


def machine() -> str:
    "The processor (and GPU) in words"
    import torch

    cpu = platform.processor() or platform.machine()
    if Path('/proc/cpuinfo').exists():
        cpu = next((l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name')), cpu)
    from interpvid.device import has_bf16

    units = f"{'with' if has_bf16('cpu') else 'without'} bfloat16 units"
    gpu = f', {torch.cuda.get_device_name()}' if torch.cuda.is_available() else ''
    return f'{cpu}, {torch.get_num_threads()} threads, {units}{gpu}, torch {torch.__version__}'


def write(rows, path=HERE / 'latest.json'):
    "Rows into the file, in place of those of the same name; what was not run again stays"
    from interpvid.files import writing

    old = json.loads(path.read_text()) if path.exists() else []
    new = {r['name']: r for r in rows}
    rows = [new.pop(r['name'], r) for r in old] + list(new.values())
    with writing(path) as tmp:
        tmp.write_text(json.dumps(rows, indent=1) + '\n')


def table(rows) -> str:
    "Rows as text in columns"
    head = 'benchmark', 'against', 'ratio', 'middle half', 'asked for', ''
    lines = [head, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    text = ['  '.join(c.ljust(n) for c, n in zip(line, widths)).rstrip() for line in lines]
    for i, row in reversed(list(enumerate(rows, 1))):
        if row.get('also'):
            text.insert(i + 1, '    ' + ', '.join(f'{k} {v:.4g}' for k, v in row['also'].items()))
    return '\n'.join(text)


def _cells(row) -> tuple:
    "A row of the table as text"
    asked = row['at_least']
    verdict = '' if asked is None else 'reached' if row['ratio'] >= asked else 'MISSED'
    return (
        row['name'],
        row['against'],
        f"{row['ratio']:.2f}",
        f"{row['low']:.2f}–{row['high']:.2f}",
        '–' if asked is None else f'{asked:.2f}',
        verdict,
    )
