"The same networks and clips give the same answers as in the first edition: see tests/expected/README.md."

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from interpvid.classify import both_ways, class_table, table1
from interpvid.core import to_batch
from interpvid.data.synthetic import make_clips
from interpvid.explanation import explain, load_explanations
from interpvid.masks.perturb import HALF_FROZEN, freeze, reverse
from interpvid.masks.scores import mask_scores
from interpvid.masks.search import search_windows
from interpvid.models.checkpoints import load_model
from interpvid.tables import clip_stats, paired_table, table2

EXPECTED = Path(__file__).parent / 'expected'
STEMS = {'I3D': 'i3d', 'C-LSTM': 'clstm'}
PRESETS = {'released-pytorch': 100, 'fast': 30, 'paper': 40, 'released-tf': 25}  # with fewer steps than their own
SCORES = ['OS', 'FS', 'RS', 'FS binary', 'RS binary', 'CS']


@pytest.fixture(scope='module')
def clips():
    return make_clips(24, 99, progress=False)


@pytest.fixture(scope='module')
def nets():
    return {name: load_model(EXPECTED / f'{stem}.safetensors') for name, stem in STEMS.items()}


def one_class(preset, name):
    "The first edition looked for the start under the class explained; the TensorFlow program does under the true one"
    return dict(start_target=was(preset, name)['target'].tolist()) if preset == 'released-tf' else {}


def as_in_the_first_edition(net, es):
    "Scores of `released-tf` as they were: all of one class, and RS of the half-frozen clip reversed"
    x = to_batch(np.stack([e.frames for e in es]), net.stats)
    kw = dict(target=[e.target for e in es])
    masks = np.stack([e.mask for e in es])
    FS = mask_scores(net, x, masks, mask_range=HALF_FROZEN, **kw)
    RS = mask_scores(net, freeze(x, np.full(16, 0.5)), masks, **kw)
    for i, e in enumerate(es):
        e.scores |= {k: t[k][i] for k, t in {'FS': FS, 'FS binary': FS, 'RS': RS, 'RS binary': RS}.items()}


def frames(clips, n):
    return np.stack([clips.frames[i] for i in range(n)])


@pytest.fixture(scope='module')
def explained(nets, clips):
    "Explanations of twelve clips by preset and network, each made when it is asked for"
    made = {}

    def of(preset, name):
        if (preset, name) not in made:
            net = nets[name]
            made[preset, name] = explain(
                net,
                to_batch(frames(clips, 12), net.stats),
                labels=clips.labels[:12],
                truth=[clips.truth(i) for i in range(12)],
                name=name,
                preset=preset,
                iterations=PRESETS[preset],
                half=False,
                reverse=reverse,
                cam={},
                **one_class(preset, name),
            )
            if preset == 'released-tf':
                as_in_the_first_edition(net, made[preset, name])
        return made[preset, name]

    return of


def was(preset, name):
    t = pd.read_csv(EXPECTED / 'explanations.csv', dtype={'mask': str})
    return t[(t['preset'] == preset) & (t['model'] == name)].reset_index(drop=True)


def as_text(e):
    return ''.join('01'[int(on)] for on in e.binary)


def test_table_1(nets, clips):
    probs = both_ways(nets, clips, False)
    now = table1(probs, clips.labels, clips.reversed_labels)
    pd.testing.assert_frame_equal(now, pd.read_csv(EXPECTED / 'table1.csv', index_col='model'), atol=5e-4)
    classes = pd.concat({n: class_table(*p, clips.labels, clips.classes) for n, p in probs.items()}, names=['model'])
    before = pd.read_csv(EXPECTED / 'classes.csv', index_col=['model', 'class'])
    pd.testing.assert_frame_equal(classes.sort_index(), before.sort_index(), atol=5e-4)


@pytest.mark.parametrize('name', STEMS)
@pytest.mark.parametrize('preset', PRESETS)
def test_masks_and_scores(explained, preset, name):
    es, before = explained(preset, name), was(preset, name)
    same = np.array([as_text(e) == m for e, m in zip(es, before['mask'])])
    assert same.sum() >= len(es) - 1  # a value beside one half may fall on its other side with other libraries
    assert [e.pred for e in es] == before['guess'].tolist() and [e.target for e in es] == before['target'].tolist()
    for k in SCORES:
        now = np.array([e.scores.get(k, np.nan) for e in es])
        np.testing.assert_allclose(now[same], before[k].to_numpy()[same], atol=2e-3, err_msg=k)


def test_most_masks_are_the_same_over_all(explained):
    same = [
        as_text(e) == m
        for preset in PRESETS
        for name in STEMS
        for e, m in zip(explained(preset, name), was(preset, name)['mask'])
    ]
    assert len(same) == 96 and np.mean(same) >= 0.98


@pytest.mark.parametrize('name', STEMS)
def test_best_windows(nets, clips, name):
    net = nets[name]
    found = search_windows(net, to_batch(frames(clips, 12), net.stats), half=False)
    before = pd.read_csv(EXPECTED / f'windows-{STEMS[name]}.csv', dtype={'mask': str})
    assert [''.join('01'[int(v)] for v in m) for m in found.mask] == before['mask'].tolist()
    np.testing.assert_allclose(found.loss['loss'], before['loss'], atol=1e-4)


def test_table_2(explained):
    es = [e for name in STEMS for e in explained('released-pytorch', name)]
    stats = clip_stats(es).assign(clip=[*range(12)] * 2)
    assert printed(table2(stats)) == printed(pd.read_csv(EXPECTED / 'table2.csv', index_col='model'))
    before = pd.read_csv(EXPECTED / 'paired.csv', index_col='column')
    now, stays = paired_table(stats), ['clips', 'I3D', 'C-LSTM', 'difference', 'first larger']
    ratios = ['drop ratio']  # compared by their logarithms since, and over the same clips
    assert now.loc[ratios, 'clips'].tolist() == before.loc[ratios, 'clips'].tolist()
    differ = [t.drop(index=ratios)[stays] for t in (now, before)]
    pd.testing.assert_frame_equal(*differ, rtol=0.02, atol=0.02)
    assert now[['low', 'high']].isna().all(axis=None)  # of eleven clips there is a test and no interval
    assert ((now['p'] < 0.05) == (before['p'] < 0.05)).all()


def printed(table):
    return pd.read_csv(io.StringIO(table.astype(str).to_csv()), dtype=str).to_dict()


@pytest.mark.parametrize('name', STEMS)
def test_explanations_of_the_first_edition_load(name):
    es = load_explanations(EXPECTED / f'first-edition-{STEMS[name]}.npz')
    before = was('fast', name)
    assert len(es) == 2 and [e.model for e in es] == [name] * 2
    assert [e.pred for e in es] == before['guess'].tolist()[:2]
    assert [as_text(e) for e in es] == before['mask'].tolist()[:2]
    np.testing.assert_allclose([e.scores['FS'] for e in es], before['FS'][:2])
    assert 'data:image' in es[0].html()
