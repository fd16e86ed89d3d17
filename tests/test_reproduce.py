"The main job: the same twice, resumable after any death, quick when all is there."

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from conftest import SMALL
from interpvid.paper.experiment import planned, tiny_experiment

TABLES = tuple(
    f'{d}/{t}.csv'
    for d in ('something', 'kth')
    for t in ('table1', 'table2', 'paired', 'claims', 'filter', 'blobs', 'classes', 'overlap', 'heat')
) + tuple(
    f'programs/{t}.csv' for t in ('settings', 'by-setting', 'effects', 'own-programs', 'baselines', 'cams', 'starts')
)
tables = lambda d: {t: (d / t).read_text() for t in TABLES}


def command(out):
    return [
        sys.executable,
        '-c',
        'import sys; from interpvid.cli import main; sys.exit(main())',
        'reproduce',
        '--out',
        str(out),
        *sum(([f'--{k.replace("_", "-")}', str(v)] for k, v in SMALL.items() if v is not False), []),
    ]


def test_what_it_makes(tiny):
    for f in (
        *TABLES,
        'something/scores.parquet',
        'kth/scores.parquet',
        'settings.json',
        'index.html',
        'models/i3d.safetensors',
        'models/clstm.safetensors',
        'models/kth/i3d.safetensors',
        'gallery/index.html',
        'gallery-kth/index.html',
    ):
        assert (tiny / f).is_file(), f
    figs = sorted((tiny / 'figures').glob('[!.]*'))
    shown = {f'fig2-{l}' for l in 'abcdfgh'} | {'fig3-a', 'fig3-b'}  # of each class one clip, so no second moves up
    assert {f.stem for f in figs} == shown | {f'{name}-gradients' for name in shown}
    assert {f.suffix for f in figs} == {'.gif', '.mp4'} and len(figs) == 36
    for d, K in ('something', 12), ('kth', 6):
        s = pd.read_parquet(tiny / d / 'scores.parquet')
        assert len(s) == 2 * K and s.groupby('model')['label'].nunique().tolist() == [K, K]
        assert s[['OS', 'FS', 'RS']].to_numpy().min() >= 0 and s[['OS', 'FS', 'RS']].to_numpy().max() <= 1


def test_page_stands_alone(tiny):
    page = (tiny / 'index.html').read_text(encoding='utf-8')
    assert not re.search(r'(?:src|href)="(?!data:|figures/|gallery/|gallery-kth/|#)', page)
    assert page.count('<div class="iv"') == 9 and '"seed": 0' in page and '"torch"' in page
    links = re.findall(r'(?:src|href)="((?:figures|gallery)[^"]+)"', page)
    assert len(links) == 38
    for link in links:
        assert (tiny / link).is_file(), link


def test_another_seed_reuses_nothing():
    one, other = (set(planned(tiny_experiment(seed=seed)).values()) for seed in (0, 1))
    assert len(one) == len(other) == 5 and not one & other


@pytest.mark.posix
def test_killed_in_any_stage_it_ends_with_the_same_tables(tiny, tmp_path):
    "SIGKILL in the middle of one stage after the other, then once to the end: the same seed, the same tables"
    chance, died, stages = random.Random(0), 0, range(0, 36, 4)
    kept = lambda: len(list((tmp_path / 'cache').glob('[!.]*')))
    for k in stages:
        p = subprocess.Popen(
            command(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while p.poll() is None and kept() <= k:
            time.sleep(0.005)
        time.sleep(0.8 * chance.random() ** 2)
        if p.poll() is None:
            died += 1
        with contextlib.suppress(ProcessLookupError):
            os.killpg(p.pid, signal.SIGKILL)
        p.wait()
    assert died >= 5, 'the run was over before it could be killed: too little was tried'
    r = subprocess.run(command(tmp_path), capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    assert tables(tmp_path) == tables(tiny)
    left = [p.name for p in tmp_path.rglob('.*') if p.name != '.interpvid']
    assert not left, 'half-made files of the runs that were killed are still there'
