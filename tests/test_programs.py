"""The text and the two released programs, side by side with ours on random clips.

What the programs do is written here in short loops of plain torch and numpy, from descriptions of them; no code of
theirs. One clip at a time, in float32; the tolerances are stated where they are used.
"""

import warnings

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from interpvid.cam import gradcam
from interpvid.explanation import explain
from interpvid.learner import PRESETS
from interpvid.masks.learn import MASK_PRESETS, central_window, learn_masks, mask_preset
from interpvid.masks.loss import tv_norm
from interpvid.masks.perturb import HALF_FROZEN, freeze, reverse
from interpvid.masks.scores import mask_scores
from interpvid.models.clstm import CLSTM, CLSTM_VARIANTS
from interpvid.presets import BLENDED, PRESET_LABELS, PROGRAMS, program_of, programs_table

K, T, SIZE = 4, 8, (12, 10)
PLAIN = dict(half=False)
KEYS = list(PRESET_LABELS)
ON = float(torch.sigmoid(torch.tensor(1.0)))  # what the TensorFlow program's 1 becomes
HALF = torch.full((T,), 0.5)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


class Small(nn.Module):
    "Two convolutions over time and space, T/2 places in time; scores that depend on the order of the frames"

    cam_layer, stats = 'act', (0.0, 1.0)

    def __init__(self, T=T, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first = nn.Conv3d(3, 6, 3, stride=(2, 2, 2), padding=1)
            self.second, self.act = nn.Conv3d(6, 8, (3, 1, 1), padding=(1, 0, 0)), nn.Softplus()
            self.fc = nn.Linear(8 * T // 2, K)

    def forward(self, x):
        return self.fc(self.act(self.second(self.first(x).tanh())).mean((3, 4)).flatten(1))


def clips(B, T=T, seed=0):
    return torch.randn(B, 3, T, *SIZE, generator=torch.Generator().manual_seed(seed))


def spread(net, std=1.5):
    "A classifier whose logits of random clips have mean 0 and this deviation, so that a mask can take a score away"
    with torch.no_grad():
        z = net(clips(64, seed=99))
        net.fc.weight *= (std / z.std(0))[:, None]
        net.fc.bias += -net(clips(64, seed=99)).mean(0)
    return net


def small(**kw):
    return spread(Small(**kw).eval())


def recurrent(T=T, seed=1, **kw):
    "A C-LSTM of two layers"
    torch.manual_seed(seed)
    net = CLSTM(K, SIZE, T, hidden=(4, 4), kernel=3, stride=(2, 1), pool=(1, 2), shared_norm=False, **kw).eval()
    net.stats = (0.0, 1.0)
    return spread(net)


NETS = dict(small=small, recurrent=recurrent)
nets = pytest.mark.parametrize('make', NETS.values(), ids=NETS)


# --- what text and programs do, in loops


def frozen(x, m):
    "A masked frame fades into the one before it, as it is shown; x (1,C,T,H,W)"
    out = [x[:, :, 0]]
    for t in range(1, x.shape[2]):
        out.append((1 - m[t]) * x[:, :, t] + m[t] * out[-1])
    return torch.stack(out, 2)


def runs_of(m, threshold=0.1):
    "Lists of neighbours above the threshold"
    runs, now = [], []
    for t, v in enumerate(m.tolist()):
        if v > threshold:
            now.append(t)
        elif now:
            runs, now = [*runs, now], []
    return [*runs, now] if now else runs


def blended(x, m):
    "Of each run the frames are paired from its ends; both of a pair mix by the mask of the earlier one"
    out = list(x.unbind(2))
    for run in runs_of(m):
        for a, b in zip(run[: len(run) // 2], run[::-1]):
            out[a] = (1 - m[a]) * x[:, :, a] + m[a] * x[:, :, b]
            out[b] = (1 - m[a]) * x[:, :, b] + m[a] * x[:, :, a]
    return torch.stack(out, 2)


def swapped(x, m):
    "The paper's: each run the other way round"
    order = list(range(x.shape[2]))
    for run in runs_of(m):
        order[run[0] : run[-1] + 1] = run[::-1]
    return x[:, :, order]


def tv_of_text(m):
    return sum((m[t] - m[t + 1]).abs() ** 3 for t in range(len(m) - 1))


def tv_of_programs(m):
    "Every frame but the first and the last looks at both of its neighbours"
    return sum((m[t - 1] - m[t]).abs() ** 3 + (m[t + 1] - m[t]).abs() ** 3 for t in range(1, len(m) - 1))


def probs_of(net, x):
    return net(x).softmax(1)[0]


def prob(net, x, k):
    with torch.no_grad():
        return float(probs_of(net, x)[k])


def centred(score, T, none, full, off=0.0, on=1.0):
    "Ends are cut off, one frame at each, until the window takes less than nine tenths of what all frames take"
    for i in range(1, T // 2):
        w = torch.ones(T)
        w[:i], w[-i:] = 0, 0
        if (none - score(off + (on - off) * w)) / (none - full) < 0.9:
            break
    return w


def learned(net, x, v, opt, steps, show, tv, lam1, lam2, k=None):
    "Adam on logits v; the class k, or (None) whichever is predicted at each step. Scores before each step"
    scores = []
    for _ in range(steps):
        m = v.sigmoid()
        p = probs_of(net, show(x, m))
        s = p[p.argmax() if k is None else k]
        loss = lam1 * m.abs().sum() + lam2 * tv(m) + s
        opt.zero_grad()
        loss.backward()
        opt.step()
        scores.append(float(s.detach()))
    return v.detach().sigmoid(), scores


def by_text(net, xs, labels, lam1, lam2, lr=0.001, steps=300):
    "The paper: centred start, Adam at 0.001, OS, FS and RS of the class predicted, hard swaps"
    for x, label in zip(xs.split(1), labels):
        with torch.no_grad():
            p = probs_of(net, x)
        k = int(p.argmax())
        of = lambda m: prob(net, frozen(x, m), k)
        start = centred(of, T, float(p[k]), of(torch.ones(T)))
        v = (5 * (2 * start - 1)).requires_grad_()
        m, _ = learned(net, x, v, torch.optim.Adam([v], lr=lr), steps, frozen, tv_of_text, lam1, lam2, k)
        scores = dict(OS=float(p[k]), FS=of(m), RS=prob(net, swapped(x, m), k), CS=float(p[label]))
        yield dict(scores, pred=k, start=start, mask=m, heat=heat_by_text(net, x, k))


def by_pytorch(net, xs, labels, lam1, lam2, lr=0.2, steps=300, show=frozen):
    "The I3D program: as the text, but at 0.2; variation its own way; windows against the frozen clip; RS blended"
    for x, label in zip(xs.split(1), labels):
        with torch.no_grad():
            p = probs_of(net, x)
        k = int(p.argmax())
        still = x[:, :, :1].expand_as(x)
        start = centred(lambda m: prob(net, show(x, m), k), T, float(p[k]), prob(net, still, k))
        v = (5 * (2 * start - 1)).requires_grad_()
        m, seen = learned(net, x, v, torch.optim.Adam([v], lr=lr), steps, show, tv_of_programs, lam1, lam2, k)
        scores = dict(OS=float(p[k]), FS=prob(net, show(x, m), k), RS=prob(net, blended(x, m), k), CS=float(p[label]))
        yield dict(scores, pred=k, start=start, mask=m, seen=seen, heat=heat_by_pytorch(net, x, k))


def by_tensorflow(net, xs, labels, lam1, lam2, lr=0.001, steps=100):
    """The C-LSTM program: zeros through the sigmoid are the clip 'without' a mask, so all but FS is half frozen; the
    start is found under the true class; classes are predicted anew; one Adam goes from clip to clip"""
    v = torch.zeros(T, requires_grad=True)
    opt = torch.optim.Adam([v], lr=lr)
    for x, label in zip(xs.split(1), labels):
        with torch.no_grad():
            p = probs_of(net, frozen(x, HALF))
        of = lambda m: prob(net, frozen(x, m), label)
        start = centred(of, T, of(HALF), of(torch.full((T,), ON)), 0.5, ON)
        with torch.no_grad():
            v.copy_(5 * (2 * start - 1))
        m, seen = learned(net, x, v, opt, steps, frozen, tv_of_programs, lam1, lam2)
        with torch.no_grad():
            FS, RS = probs_of(net, frozen(x, m)).max(), probs_of(net, frozen(blended(x, m), HALF)).max()
        scores = dict(OS=float(p.max()), FS=float(FS), RS=float(RS), CS=float(p[label]))
        k = int(p.argmax())
        yield dict(scores, pred=k, start=start, mask=m, seen=seen, heat=heat_by_tensorflow(net, x, k, label))


def layer_and_gradient(net, x, number):
    "Activations (F,T',H',W') of the last layer and the gradient of a number made of the logits there"
    kept = []
    layer = net.get_submodule(net.cam_layer)
    handle = layer.register_forward_hook(lambda m, i, o: kept.append(o.detach().requires_grad_()) or kept[0])
    number(net(x)[0]).backward()
    handle.remove()
    return kept[0].detach()[0].numpy(), kept[0].grad[0].numpy()


def enlarged(slices):
    "Slices (H',W') at the size of the clip"
    return np.stack([cv2.resize(s, SIZE[::-1]) for s in slices])


def by_frames(A, G):
    "Eq. 2: each frame has its own weights; between frames of the layer in a straight line; the largest value is 1"
    L = enlarged([np.maximum((G[:, t].mean((1, 2))[:, None, None] * A[:, t]).sum(0), 0) for t in range(A.shape[1])])
    at = np.clip((np.arange(T) + 0.5) * len(L) / T - 0.5, 0, len(L) - 1)
    low, part = np.floor(at).astype(int), (at - np.floor(at))[:, None, None]
    L = (1 - part) * L[low] + part * L[np.minimum(low + 1, len(L) - 1)]
    return L / (L.max() or 1)


def heat_by_text(net, x, k):
    "Of the logit"
    A, G = layer_and_gradient(net, x, lambda z: z[k])
    return by_frames(A, G)


def heat_by_pytorch(net, x, k):
    "Of the probability; one weight for all times; each slice from 0 to 1, then repeated"
    A, G = layer_and_gradient(net, x, lambda z: z.softmax(0)[k])
    L = np.maximum((G.mean((1, 2, 3))[:, None, None, None] * A).sum(0), 0)
    L = enlarged(L)
    L = L - L.min((1, 2), keepdims=True)
    top = L.max((1, 2), keepdims=True)
    return np.repeat(L / np.where(top > 0, top, 1), T // len(L), 0)


def heat_by_tensorflow(net, x, k, label):
    "On the half-frozen clip; of the logit, and of all of them together where the guess is wrong"
    A, G = layer_and_gradient(net, frozen(x, HALF), lambda z: z[k] if k == label else z.sum())
    return by_frames(A, G)


# --- parts


def random_mask(i):
    "Of twenty: some with values at the ends, some with runs, none beside the threshold of 0.1"
    m = torch.rand(T, generator=torch.Generator().manual_seed(i))
    m = torch.where(m < 0.3, 0, m) if i % 2 else (m > 0.4).float()
    return torch.where((m - 0.1).abs() < 1e-3, 0.2, m)


def test_perturbations_on_twenty_clips():
    "To 1e-6: freezing, both reversals, the half-frozen clip, both ways to count variation"
    for i, x in enumerate(clips(20).split(1)):
        m = random_mask(i)
        for ours, theirs in (freeze, frozen), (BLENDED, blended), (reverse, swapped):
            torch.testing.assert_close(ours(x, m), theirs(x, m), atol=1e-6, rtol=0)
        torch.testing.assert_close(HALF_FROZEN.unmasked(x), frozen(x, HALF), atol=1e-6, rtol=0)
        assert float(tv_norm(m)) == pytest.approx(float(tv_of_text(m)), abs=1e-6)
        assert float(tv_norm(m, double_tv=True)) == pytest.approx(float(tv_of_programs(m)), abs=1e-6)
        if i % 2:
            assert (blended(x, m) - swapped(x, m)).abs().max() > 0.1


@nets
@pytest.mark.parametrize('show,ours', [(frozen, freeze), (blended, BLENDED)], ids=['freeze', 'reverse'])
def test_the_pytorch_program_learns_by_freezing_and_by_reversing(make, show, ours):
    "Starts equal, scores on the way to 1e-4, masks after 40 steps at 0.2 to 1e-3 (Adam divides by what is tiny)"
    net, x = make(), clips(4, seed=3)
    got = learn_masks(net, x, perturb=ours, preset='released-pytorch', iterations=40, **PLAIN)
    for i, r in enumerate(by_pytorch(net, x, [0] * 4, 0.01, 0.02, steps=40, show=show)):
        assert np.array_equal(got.start[i], r['start'])
        assert got.target[i] == r['pred']
        np.testing.assert_allclose(got.curve['score'][:, i], r['seen'], rtol=0, atol=1e-4)
        np.testing.assert_allclose(got.mask[i], r['mask'], rtol=0, atol=1e-3)
    assert (got.binary != (got.start > 0.5)).any()


def test_the_windows_of_a_reversal_are_compared_with_the_frozen_clip_in_the_pytorch_program_alone():
    net, x = small(), clips(40)
    kw = dict(perturb=BLENDED, iterations=1, lr=0, **PLAIN)
    starts = {p: learn_masks(net, x, preset=p, **kw).start for p in ('paper', 'released-pytorch')}
    want = [r['start'] for r in by_pytorch(net, x, [0] * 40, 0.01, 0.02, steps=0, show=blended)]
    assert np.array_equal(starts['released-pytorch'], torch.stack(want))
    with torch.no_grad():
        own, _ = central_window(net, x, net(x).argmax(1), BLENDED, **PLAIN)
    assert np.array_equal(starts['paper'], own)
    assert (starts['paper'] != starts['released-pytorch']).any(1).sum() >= 3
    still = {p: learn_masks(net, x, preset=p, iterations=1, lr=0, **PLAIN).start for p in starts}
    assert np.array_equal(*still.values())  # for freezing the two are the same
    assert [p for p, s in MASK_PRESETS.items() if s['frozen_full']] == ['released-pytorch']


@pytest.mark.parametrize('kw', [dict(lr=0.15, iterations=25), dict(iterations=5)], ids=str)
def test_the_tensorflow_program_goes_from_clip_to_clip(kw):
    "Classes predicted anew, Adam's moments carried on: scores on the way to 1e-4, masks to 1e-3"
    net, x = recurrent(), clips(6)
    labels = [0, 1, 2, 3, 0, 1]
    how = dict(preset='released-tf', start_target=labels, **kw, **PLAIN)
    got = learn_masks(net, x, bs=4, **how)
    steps = dict(lr=kw.get('lr', 0.001), steps=kw['iterations'])
    for i, r in enumerate(by_tensorflow(net, x, labels, 0.01, 0.02, **steps)):
        assert np.array_equal(got.start[i], r['start'])
        assert got.target[i] == r['pred']
        assert got.OS[i] == pytest.approx(r['OS'], abs=1e-5)
        np.testing.assert_allclose(got.curve['score'][:, i], r['seen'], rtol=0, atol=1e-4)
        np.testing.assert_allclose(got.mask[i], r['mask'], rtol=0, atol=1e-3)
    assert (got.curve['score'] >= 1 / K).all()  # of the class predicted
    alone = learn_masks(net, x[3:4], **dict(how, start_target=labels[3:4]))
    if 'lr' in kw:
        assert np.abs(alone.mask - got.mask[3:4]).max() > 0.01  # what is carried over shows
    assert got.settings['mask_range'] == pytest.approx([0.5, ON])
    assert got.settings['retarget'] and got.settings['carry_moments']
    # what is reported in the end is of one class
    for i in range(6):
        assert got.loss['score'][i] == pytest.approx(
            prob(net, frozen(x[i : i + 1], torch.from_numpy(got.mask[i])), got.target[i]), abs=1e-5
        )


def test_starts_of_the_tensorflow_program_are_found_under_the_true_class():
    net, x = recurrent(), clips(12, seed=5)
    labels = [i % K for i in range(12)]
    kw = dict(preset='released-tf', iterations=1, **PLAIN)
    true, guessed = learn_masks(net, x, start_target=labels, **kw), learn_masks(net, x, **kw)
    wrong = true.target != labels
    assert (true.start[wrong] != guessed.start[wrong]).any() and wrong.sum() >= 4
    assert np.array_equal(true.start[~wrong], guessed.start[~wrong])
    es = explain(net, x, labels=labels, **kw)
    assert np.array_equal([e.start for e in es], true.start)
    es = explain(net, x, labels=[None, *labels[1:]], **kw)  # where labels are missing, the class explained
    assert np.array_equal([e.start for e in es], guessed.start)
    for bad in ([0], [0.5] * 12, [[0] * 12]):
        with pytest.raises(ValueError, match='start_target: one class index for each clip'):
            learn_masks(net, x, start_target=bad, **kw)


# --- each whole


WHOLE = {'paper': by_text, 'released-pytorch': by_pytorch, 'released-tf': by_tensorflow}


@nets
@pytest.mark.parametrize('data', ['something', 'kth'])
@pytest.mark.parametrize('preset', WHOLE)
def test_explain_does_the_whole_program(make, data, preset):
    """Masks, starts, OS, FS, RS, CS, P and maps, right and wrong guesses: scores to 2e-3, masks to 2e-3, maps to 2e-3
    (maps are kept in half precision)"""
    net, x, n = make(), clips(6, seed=7), 20
    labels = [0, 1, 2, 3, 0, 1]
    es = explain(net, x, labels=labels, preset=preset, data=data, iterations=n, **PLAIN)
    masks = mask_preset(preset, data)
    lam = masks['lam1'], masks['lam2']
    seen = 0
    for e, label, r in zip(es, labels, WHOLE[preset](net, x, labels, *lam, steps=n)):
        assert (e.pred, e.target) == (r['pred'], r['pred'])
        assert np.array_equal(e.start, r['start'])
        np.testing.assert_allclose(e.mask, r['mask'], rtol=0, atol=2e-3)
        wanted = {k: r[k] for k in ('OS', 'FS', 'RS')} | ({'CS': r['CS']} if r['pred'] != label else {})
        assert {k: e.scores[k] for k in wanted} == pytest.approx(wanted, abs=2e-3)
        assert ('CS' in e.scores) == (r['pred'] != label)
        if e.cam.any() or r['heat'].any():
            np.testing.assert_allclose(e.cam, r['heat'], rtol=0, atol=2e-3)
            seen += 1
        assert e.settings['mask']['data'] == data and e.settings['mask']['lam1'] == lam[0]
    assert seen >= 3
    assert {r != l for r, l in zip([e.pred for e in es], labels)} == {True, False}


def test_the_three_programs_differ_on_the_same_clips():
    "What is compared above is not one thing three times"
    net, x = recurrent(), clips(6, seed=7)
    labels = [0, 1, 2, 3, 0, 1]
    es = {p: explain(net, x, labels=labels, preset=p, iterations=20, **PLAIN) for p in WHOLE}
    for k in 'OS', 'FS', 'RS':
        of = {p: np.array([e.scores[k] for e in v]) for p, v in es.items()}
        assert np.abs(of['paper'] - of['released-tf']).max() > 0.05, k
    apart = lambda a, b: max(np.abs(u.cam - v.cam).max() for u, v in zip(es[a], es[b]))
    assert apart('paper', 'released-pytorch') > 0.1 and apart('paper', 'released-tf') > 0.1
    wrong = [e for e in es['released-tf'] if e.wrong]
    assert wrong and all(e.settings['cam']['of'] == 'all logits' for e in wrong)
    assert all(e.settings['cam']['of'] == 'logit' for e in es['released-tf'] if not e.wrong)
    assert {p: v[0].settings['reverse'] for p, v in es.items()} == {
        'paper': 'reverse',
        'released-pytorch': 'blended',
        'released-tf': 'blended',
    }


def test_what_is_asked_for_by_name_comes_first():
    net, x = recurrent(), clips(3, seed=7)
    kw = dict(preset='released-tf', iterations=3, **PLAIN)
    e = explain(net, x, 2, labels=[0, 1, 2], reverse=reverse, cam={}, lam1=0.5, data='kth', **kw)[0]
    s = e.settings
    assert not s['mask']['retarget'] and not s['mask']['label_start'] and s['mask']['lam1'] == 0.5
    assert s['reverse'] == 'reverse' and s['cam']['of'] == 'logit'
    m = torch.from_numpy(e.mask)
    assert e.scores['FS'] == pytest.approx(prob(net, frozen(x[:1], m), 2), abs=1e-5)
    assert e.scores['RS'] == pytest.approx(prob(net, frozen(swapped(x[:1], m), HALF), 2), abs=1e-5)
    np.testing.assert_allclose(e.cam, gradcam(net, frozen(x[:1], HALF), 2)[0], atol=2e-3)


def test_masks_that_are_given_bring_their_program():
    net, x = recurrent(), clips(3, seed=7)
    learned_ = learn_masks(net, x, preset='released-tf', iterations=2, data='kth', **PLAIN)
    given = explain(net, x, masks=learned_)
    own = explain(net, x, preset='released-tf', iterations=2, data='kth', **PLAIN)
    for a, b in zip(given, own):
        assert a.scores == pytest.approx(b.scores, abs=1e-6) and a.settings['reverse'] == 'blended'
        assert a.settings['mask']['data'] == 'kth'
    (plain,) = explain(net, x[:1], masks=np.ones(T))
    assert plain.settings['reverse'] == 'reverse' and plain.settings['cam']['of'] == 'logit'


def test_a_model_says_whose_settings():
    net, x = recurrent(), clips(1)
    lam = lambda **kw: explain(net, x, preset='paper', iterations=1, **kw, **PLAIN)[0].settings['mask']['lam1']
    assert lam() == 0.01
    net.data = 'kth'
    assert lam() == 0.02 and lam(data='something') == 0.01 and lam(lam1=0.3) == 0.3
    net.data = 'events'
    assert lam() == 0.01
    with pytest.raises(ValueError, match="no settings for data='ucf'; there are something, kth"):
        lam(data='ucf')


# --- the numbers themselves


NUMBERS = {  # (λ1, λ2, learning rate, iterations): paper, Table 4; the programs' defaults
    ('paper', 'something'): (0.01, 0.02, 0.001, 300),
    ('paper', 'kth'): (0.02, 0.04, 0.001, 300),
    ('released-pytorch', 'something'): (0.01, 0.02, 0.2, 300),
    ('released-pytorch', 'kth'): (0.02, 0.04, 0.2, 100),
    ('released-tf', 'something'): (0.01, 0.02, 0.001, 100),
    ('released-tf', 'kth'): (0.01, 0.02, 0.001, 100),
}


def test_settings_of_text_and_programs():
    for (preset, data), want in NUMBERS.items():
        p = program_of(preset, data)
        assert tuple(p.masks[k] for k in ('lam1', 'lam2', 'lr', 'iterations')) == want
        assert p.masks == PROGRAMS[preset, data].masks and p.label == PRESET_LABELS[preset]
    assert {k: PROGRAMS[k, 'kth'].masks['lam1'] for k in KEYS} == {
        'paper': 0.02,
        'released-pytorch': 0.02,
        'released-tf': 0.01,
        'fast': 0.02,
    }
    table = programs_table('kth')
    assert list(table) == [*PRESET_LABELS.values(), 'read in'] and (table != '').all(axis=None)
    assert table.loc['iterations'].tolist()[:4] == ['300', '100', '100', '30']
    assert programs_table().loc['iterations', 'PyTorch'] == '300'


def test_heads_of_the_networks():
    "KTH: the text hands the whole sequence on; the released training only the last step"
    last = {n: v.get('last_only', False) for n, v in CLSTM_VARIANTS.items()}
    assert [n for n, on in last.items() if on] == ['kth-last', 'released-tf-kth']
    assert not PRESETS['clstm-kth']['model'].get('last_only') and PRESETS['clstm-kth-last']['model']['last_only']
    assert not PRESETS['clstm-small-kth']['model'].get('last_only')


@pytest.mark.parametrize('variant,frames', [('kth', 32), ('kth-last', 1)])
def test_maps_of_kths_clstm(variant, frames):
    "Of the whole sequence there is heat in every frame; of the last step in one, and that is said"
    torch.manual_seed(0)
    net = CLSTM(6, (40, 48), 32, **{**CLSTM_VARIANTS[variant], 'hidden': (6, 6)}).eval()
    net.stats = (0.0, 1.0)
    x = torch.randn(2, 3, 32, 40, 48)
    with torch.no_grad():
        k = net(x).argmax(1)
    signed = gradcam_quiet(net, x, k, relu=False)
    assert [int(L.flatten(1).any(1).sum()) for L in signed] == [frames] * 2
    (e, *_) = explain(net, x, k.tolist(), preset='fast', iterations=1, **PLAIN)
    said = any('Zero in every frame but the last' in n for n in e.notes)
    assert said == (frames == 1 and bool(e.cam.any()))
    if frames == 1:
        with pytest.warns(UserWarning, match='gradcam at layers.1.lstm.*only the last step here; take an'):
            gradcam(net, x, k)
        assert gradcam_quiet(net, x, k, layer='layers.0.lstm', relu=False).flatten(2).any(2).all()


def gradcam_quiet(*args, **kw):
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='gradcam at')
        return gradcam(*args, **kw)


def test_scores_of_the_class_predicted_anew():
    "FS and RS by hand: the largest probability, RS of the clip that is reversed first and half frozen then"
    net, x = recurrent(), clips(5, seed=2)
    m = torch.stack([random_mask(i) for i in range(5)])
    s = mask_scores(net, x, m, reverse=BLENDED, mask_range=HALF_FROZEN, retarget=True)
    one = mask_scores(net, x, m, reverse=BLENDED, mask_range=HALF_FROZEN)
    assert (s['FS'] >= one['FS'] - 1e-6).all() and (s['FS'] > one['FS'] + 0.01).any()
    for i in range(5):
        c = x[i : i + 1]
        with torch.no_grad():
            FS, turned = probs_of(net, frozen(c, m[i])), probs_of(net, frozen(blended(c, m[i]), HALF))
        assert s['FS'][i] == pytest.approx(float(FS.max()), abs=1e-5)
        assert s['RS'][i] == pytest.approx(float(turned.max()), abs=1e-5)
        assert one['RS'][i] == pytest.approx(float(turned[one['target'][i]]), abs=1e-5)
