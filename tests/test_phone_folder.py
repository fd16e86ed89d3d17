"""A folder of 60 short videos as phones make them, three classes that differ by motion: the README's commands.

And the same videos with shuffled labels: then every line and page says that nothing was learned."""

import json
import random
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from interpvid.cli import main
from interpvid.data.clips import folder_items
from interpvid.models.checkpoints import load_model
from videos import by_av, turned

MOTIONS = {'fall': (1, 0), 'slide left': (0, -1), 'slide right': (0, 1)}  # down and right, in heights and widths
SIZES = [(96, 128), (128, 96), (72, 128), (90, 120), (128, 72)]  # as seen: height, width
RATES = [15, 30, 24, 'varies', 25]
TURNS = [0, 90, 270, 0, 180]


def uneven_times(n, seconds, rng):
    "Times of `n` frames in ms, some close together and some far apart"
    steps = rng.choice([1, 1, 2, 4], n)
    return np.r_[0, np.cumsum(steps)[:-1]] * 1000 * seconds / steps.sum()


def scene(rng, h, w):
    "A blurred background (h,w,3) and a colour that stands out"
    coarse = rng.uniform(40, 150, (5, 5, 3))
    ys, xs = np.linspace(0, 4, h).round().astype(int), np.linspace(0, 4, w).round().astype(int)
    return coarse[ys][:, xs], np.array([230, 220, 60]) if rng.random() < 0.5 else np.array([250, 120, 220])


def film(motion, times, background, colour, rng):
    "A disc that moves by four fifths of the frame in a second, from a random place, around the edges"
    h, w = background.shape[:2]
    at, r = rng.random(2), 0.16 * min(h, w)
    y, x = np.mgrid[:h, :w]
    frames = []
    for t in times / 1000:
        cy, cx = ((at + 0.8 * t * np.array(motion)) % 1) * (h, w)
        dy, dx = np.minimum(abs(y - cy), h - abs(y - cy)), np.minimum(abs(x - cx), w - abs(x - cx))
        frames.append(np.where((dy**2 + dx**2 < r * r)[..., None], colour, background))
    return np.stack(frames).astype(np.uint8)


def film_of(path, name, group, take):
    "One phone video; what is not motion belongs to the group"
    phone = np.random.default_rng(group)
    h, w = SIZES[group % len(SIZES)]
    background, colour = scene(phone, h, w)
    rng = np.random.default_rng([group, take, list(MOTIONS).index(name)])
    rate, turn = RATES[(group + take) % len(RATES)], TURNS[group % len(TURNS)]
    times = uneven_times(24, 1.0, rng) if rate == 'varies' else np.arange(rate) * 1000 / rate
    frames = film(MOTIONS[name], times, background, colour, rng)
    stored = np.rot90(frames, turn // 90, axes=(1, 2))  # a phone stores what its sensor sees, and how to turn it
    options = {'preset': 'ultrafast'}
    if rate == 'varies':
        by_av(path, stored, 'libx264', times=times, options=options)
    else:
        by_av(path, stored, 'libx264', rate=rate, options=options)
    return turned(path, turn) if turn else path


def make_folder(root):
    "60 videos: three classes, ten groups, two takes; one of them is cut short"
    for group in range(10):
        for name in MOTIONS:
            (root / name).mkdir(parents=True, exist_ok=True)
            for take in range(2):
                film_of(root / name / f'IMG_g{group + 1:02}_c{take + 1:02}.mp4', name, group, take)
    broken = root / 'fall' / 'IMG_g04_c02.mp4'
    broken.write_bytes(broken.read_bytes()[:900])
    return root


def shuffle_labels(root, to):
    "The same videos, each in the folder of a class drawn by lot"
    files = sorted(root.rglob('*.mp4'))
    labels = [f.parent.name for f in files]
    random.Random(0).shuffle(labels)
    for i, (f, label) in enumerate(zip(files, labels)):
        (to / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(f, to / label / f'IMG_{i:02}_{f.name.removeprefix("IMG_")}')
    return to


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp('phone') / 'clips')


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    "A command of the README: its exit code, and what it printed"
    monkeypatch.setenv('INTERPVID_CACHE', str(tmp_path / 'cache'))

    def f(*words):
        capsys.readouterr()
        code = main([str(w) for w in words])
        out, err = capsys.readouterr()
        lines = [l for l in re.split(r'[\r\n]', err) if l.strip() and '%|' not in l]
        return code, out, '\n'.join(lines)

    return f


def train_evaluate_explain(run, root, out):
    "The README's commands: what they printed, and the files they wrote"
    data = '--data', 'folder', '--root', root, '--skip-broken'
    small = '--size', 32, '--frames', 8, '--workers', 0
    code, trained, err = run('train', *data, *small, '--out', out)
    assert code == 0, err
    code, judged, err = run('evaluate', out / 'best.safetensors', *data, '--workers', 0, '--out', out / 'judged')
    assert code == 0, err
    clip = next(i.path for i in folder_items(root) if i.split == 'validation' and i.path.stat().st_size > 900)
    how = '--checkpoints', out / 'best.safetensors', '--out', out / 'explained', '--iterations', 30
    code, explained, err = run('explain', clip, *how)
    assert code == 0, err
    return trained, judged, explained, next((out / 'explained').glob('*.html')).read_text()


def test_the_folder_is_looked_over(run, folder):
    "`data check` names the broken file, and counts the others"
    code, out, _ = run('data', 'check', folder)
    assert code == 1
    assert 'IMG_g04_c02.mp4' in out and re.search(r'unreadable: 1\b', out) and '60 clips' in out
    code, _, err = run('train', '--data', 'folder', '--root', folder, '--out', folder.parent / 'none')
    assert code == 1 and 'IMG_g04_c02.mp4' in err and '--skip-broken' in err
    assert not (folder.parent / 'none').exists()


def test_groups_stay_together(folder):
    items = folder_items(folder)
    groups = {s: {i.path.stem[:7] for i in items if i.split == s} for s in ('train', 'validation')}
    assert len(groups['train']) == 8 and len(groups['validation']) == 2 and not groups['train'] & groups['validation']


def test_motion_is_learned(run, folder, tmp_path):
    "D12: at least 0.8 on groups never seen, with the settings a small folder gets by itself"
    trained, judged, explained, page = train_evaluate_explain(run, folder, tmp_path / 'run')
    table = pd.read_csv(tmp_path / 'run' / 'judged' / 'table1.csv', index_col=0)
    assert table.loc['I3D', 'top-1'] >= 0.8, table
    steps = int(re.search(r'(\d+) steps in all', trained)[1])
    assert steps >= 360 and 'This is little' not in trained
    for text in trained, judged, explained, page:
        assert 'chance for 3 classes is 0.33' in text and 'nothing was learned' not in text
    assert 'the best of' in trained
    assert load_model(tmp_path / 'run' / 'best.safetensors', 'cpu').info['outcome']['clips'] == 12


def test_shuffled_labels_teach_nothing(run, folder, tmp_path):
    "D12: every line and page says so"
    root = shuffle_labels(folder, tmp_path / 'shuffled')
    trained, judged, explained, page = train_evaluate_explain(run, root, tmp_path / 'run')
    kept = [(tmp_path / 'run' / 'judged' / 'outcome.txt'), (tmp_path / 'run' / 'outcome.txt')]
    for text in trained, judged, explained, page, *(f.read_text() for f in kept):
        assert 'is no better than chance' in text and 'nothing was learned' in text and 'What may help' in text
    assert 'nothing was learned' in json.loads((tmp_path / 'run' / 'settings.json').read_text())['outcome']['said']
    for text in trained, judged:
        assert 'the best of' not in text and 'lose most by reversal' not in text
    answers = [l for l in explained.splitlines() if ' says ' in l]
    assert answers and all('has learned nothing' in l for l in answers)
