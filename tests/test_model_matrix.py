"A matrix instead of cases: every form of a model by every call, equal to the plain form or an error that helps."

import contextlib
import re
import warnings

import numpy as np
import pytest
import torch

from forms import ENTRIES, FORMS, K, Plain
from interpvid.cam import gradcam
from interpvid.explanation import explain
from interpvid.masks.learn import learn_masks
from interpvid.masks.search import search_windows
from interpvid.widgets import Painter

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
        np.testing.assert_allclose(got[k], v, rtol=0, atol=f.tol, err_msg=k)
    assert torch.equal(x, before)
    if f.says:
        assert sum(bool(re.search(f.says, str(w.message))) for w in said) == 1


def test_the_size_of_the_matrix():
    listed = [(name, call) for name, f in FORMS.items() for call in f.errors]
    assert len(FORMS) >= 60
    assert len(ENTRIES) == 5
    assert (len(FORMS), len(listed)) == (70, 0)
