"A matrix instead of cases: every form of a model by every call, equal to the plain form or an error that helps."

import contextlib
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from forms import ENTRIES, FORMS, Plain, clips
from interpvid.cam import gradcam
from interpvid.explanation import explain
from interpvid.masks.learn import learn_masks
from interpvid.masks.search import search_windows
from interpvid.widgets import Painter

LISTED = dict(gradcam=19, learn_masks=21, search_windows=13, explain=24, Painter=13)  # forms that have to be an error
LEARN = dict(preset='fast', iterations=4, half=False)


def by_gradcam(model, x, target, layer):
    return {'map': gradcam(model, x, target, layer).numpy()}


def by_learning(model, x, target, layer):
    r = learn_masks(model, x, target, **LEARN)
    return {'mask': r.mask, 'OS': r.OS, 'score': r.loss['score'], 'start': r.start}


def by_searching(model, x, target, layer):
    r = search_windows(model, x, target, half=False)
    return {'OS': r.OS, 'loss': r.loss['loss'], 'losses': r.losses}


def by_explaining(model, x, target, layer):
    es = explain(model, x, target, layer=layer, name='net', **LEARN)
    scores = {k: np.array([e.scores[k] for e in es]) for k in ('OS', 'FS', 'RS')}
    return {'mask': np.stack([e.mask for e in es]), 'map': np.stack([e.cam for e in es]).astype(np.float32), **scores}


def by_painting(model, x, target, layer):
    p = Painter(model, x[:1], target=target)
    painted = p.scores_of(np.arange(x.shape[2]) % 3 > 0)
    p.best_window()
    return {**{k: np.array(v) for k, v in painted.items()}, 'best': np.array(p.scores['loss'])}


CALLS = dict(zip(ENTRIES, (by_gradcam, by_learning, by_searching, by_explaining, by_painting)))


def result(call, model, x, target, layer, around=None):
    with around() if around else contextlib.nullcontext():
        return CALLS[call](model, x, target, layer)


def check_equal(got, want, what, tol, call):
    "Equal within `tol`; in lower precision near ties of masks may go either way, so they are compared cut at one half"
    if what == 'mask' and tol > 1e-3:
        got, want = got > 0.5, want > 0.5
    if what == 'map' and call == 'explain' and tol:
        tol = max(tol, 5e-4)  # an explanation keeps its map in half precision
    np.testing.assert_allclose(got, want, rtol=0, atol=tol, err_msg=what)


@pytest.mark.parametrize('call', ENTRIES)
@pytest.mark.parametrize('name', FORMS)
def test_forms_of_models(name, call):
    f = FORMS[name]
    x, model = f.clips(), f.make(Plain())
    before = x.clone()
    if call in f.errors:
        with warnings.catch_warnings(), pytest.raises((ValueError, TypeError), match=f.errors[call]):
            warnings.simplefilter('ignore')
            result(call, model, x, f.target, f.layer, f.around)
        return
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        got = result(call, model, x, f.target, f.layer, f.around)
    plain_x = (f.plain_clips or f.clips)()
    want = result(call, f.plain(Plain()), plain_x, f.target, f.plain_layer)
    for k, v in want.items():
        assert np.isfinite(got[k]).all(), k
        check_equal(got[k], v, k, f.tol, call)
    assert torch.equal(x, before)
    if f.says:
        assert sum(bool(re.search(f.says, str(w.message))) for w in said) == 1


def test_the_size_of_the_matrix():
    listed = {call: sum(call in f.errors for f in FORMS.values()) for call in ENTRIES}
    assert len(FORMS) >= 70
    assert listed == LISTED
    for f in FORMS.values():
        assert set(f.errors) <= set(ENTRIES)
        assert 0 <= f.tol <= 0.15
        assert all(len(words) > 10 for words in f.errors.values())
    assert sum(f.tol <= 1e-4 for f in FORMS.values()) >= 60


def test_the_plain_form_has_something_to_explain():
    x, net = clips(), Plain()
    found = search_windows(net, x, 1, half=False)
    assert (found.drop > 0.01).any()
    assert len(np.unique(found.losses)) > 30
    assert (gradcam(net, x, 1).flatten(1).std(1) > 0.1).all()
    assert (by_explaining(net, x, 1, 'conv2')['mask'].std(1) > 0.1).any()


@pytest.mark.parametrize('name', ['detached', 'all under no_grad', 'rounded scores'])
def test_painter_goes_without_a_map_where_there_is_no_gradient(name):
    with pytest.warns(UserWarning, match='Painter shows no heat map: the scores of .* the layer conv2'):
        p = Painter(FORMS[name].make(Plain()), clips(1), target=2)
    assert p.scrubber.columns == ['original', 'frozen']


def test_what_a_model_says_of_its_scores_can_be_said_to_explain():
    "B3: `explain(…, scores='probs')` is the same as a model that says so"
    f, x = FORMS["a softmax, and scores='probs'"], clips()
    model = f.make(Plain())
    want = by_explaining(model, x, 2, f.layer)
    del model.scores
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        es = explain(model, x, 2, layer=f.layer, scores='probs', **LEARN)
    np.testing.assert_array_equal([e.scores['OS'] for e in es], want['OS'])
    np.testing.assert_array_equal([e.mask for e in es], want['mask'])


@pytest.mark.parametrize('name', ['half', 'bfloat16', 'float64'])
def test_frames_for_models_of_another_type(name):
    "D10: half-precision and float64 models given frames"
    frames = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    (got,) = explain(FORMS[name].make(Plain()), frames, 2, stats=(0.5, 0.2), **LEARN)
    (want,) = explain(Plain(), frames, 2, stats=(0.5, 0.2), **LEARN)
    for k in 'OS', 'FS', 'RS':
        assert abs(got.scores[k] - want.scores[k]) <= FORMS[name].tol
    assert np.array_equal(got.frames, want.frames)


# --- the page with the table of models

PAGE = Path(__file__).resolve().parents[1] / 'nbs' / 'tutorials' / 'models.ipynb'
TOKENS = (
    'VideoMAE',
    'TimeSformer',
    'ViViT',
    'V-JEPA 2',
    'X-CLIP',
    'torchvision ViT',
    'DataParallel',
    'torch.compile',
    'Lightning',
)


@pytest.fixture(scope='module')
def page():
    "What the page's cells leave behind"
    cells = [c for c in json.loads(PAGE.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code']
    names = dict(display=lambda shown: None)
    with warnings.catch_warnings():
        for c in (c for c in cells if 'google.colab' not in ''.join(c['source'])):  # that one installs the package
            exec(compile(''.join(c['source']), str(PAGE), 'exec'), names)
    return names, cells


def test_the_table_of_models(page):
    "At most one line beyond `wrap`; masks and Shapley values for all; no other error than those listed"
    names, cells = page
    table = names['table']
    assert len(table) == 30
    assert (table['lines beyond wrap'] <= 1).all()
    assert (table['lines beyond wrap'] == 1).sum() == 1
    asked = table[['map', 'learned', 'searched', 'Shapley', 'rollout']] == 'yes'
    assert asked['searched'].all()
    assert asked['Shapley'].all()
    assert list(table.index[~asked['map']]) == ['a function without gradients', 'Keras 3']
    assert list(table.index[~asked['learned']]) == ['a function without gradients']
    assert list(table.index[asked['rollout']]) == [n for n in table.index if n.endswith(TOKENS)]
    assert (table['layer'] != '')[asked['map']].all()
    for name, (_, errors) in names['answers'].items():
        for what, e in errors.items():
            assert re.search('gradcam|search_windows|layers with places', e), (name, what, e)


def rows_of(html):
    "The cells of a table as pandas writes it, whatever its indentation and style"
    return [re.findall(r'<t[hd][^>]*>(.*?)</t[hd]>', row, re.S) for row in re.findall(r'<tr.*?</tr>', html, re.S)]


def test_the_page_shows_the_table_that_its_cells_make(page):
    names, cells = page
    shown = [''.join(o['data']['text/html']) for c in cells for o in c['outputs'] if 'text/html' in o.get('data', {})]
    rows = rows_of(names['table']._repr_html_())
    assert len(rows) == 31
    assert rows in [rows_of(html) for html in shown]
