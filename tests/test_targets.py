"How outputs are read, and what is checked before a long work."

import functools
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import interpvid.masks.perturb as perturbations
from interpvid import removal, targets
from interpvid.cam import gradcam
from interpvid.classify import predict
from interpvid.device import BatchSplitter, call_model
from interpvid.explanation import Explanation, explain, frames_to_show, load_explanations, save_explanations
from interpvid.masks.learn import learn_masks
from interpvid.masks.loss import class_probs
from interpvid.masks.perturb import mean_frame
from interpvid.masks.scores import mask_scores
from interpvid.masks.search import all_masks, search_masks, search_windows
from interpvid.models.adapters import wrap
from interpvid.presets import BLENDED
from interpvid.targets import (
    check_model,
    class_score,
    log_odds,
    logits_of,
    looks_like,
    other_clips,
    stated_scores,
)
from interpvid.widgets import Painter


def clips(B=3, T=6, seed=0):
    return torch.randn(B, 3, T, 8, 8, generator=torch.Generator().manual_seed(seed)).cumsum(2) / 2


class Net(nn.Module):
    "A convolution, a mean, `K` logits, and what comes after them"

    def __init__(self, K=4, end=None, scores=None):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv3d(3, 8, 3, padding=1), nn.Linear(8, K)
        self.end = end or (lambda y: y)
        with torch.no_grad():
            self.head.weight.mul_(20)
        if scores is not None:
            self.scores = scores

    def logits(self, x):
        return self.head(self.conv(x).relu().mean((2, 3, 4)))

    def forward(self, x):
        return self.end(self.logits(x))


@pytest.fixture(autouse=True)
def quiet(request):
    "Each warning is an error, unless a test asks for it"
    if request.node.get_closest_marker('filterwarnings'):
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        yield


softmax = lambda y: y.softmax(1)


@pytest.mark.parametrize('K', [2, 12, 174])
def test_a_softmax_at_the_end_is_noticed(K):
    "B3: a model that ends in a softmax: no softmax of a softmax, said once, and a way to say it"
    net, plain, x = Net(K, softmax), Net(K), clips()
    with pytest.warns(
        UserWarning, match="Net: its outputs are probabilities already.*scores='probs'.*scores='logits'"
    ) as said:
        got = class_probs(net, x, BatchSplitter(2))
        again = class_score(net, x, 1)
        learned = learn_masks(net, x, 1, preset='fast', iterations=3, half=False)
    assert len(said) == 1
    want = class_probs(plain, x, BatchSplitter(2))
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(again, want[:, 1])
    np.testing.assert_allclose(learned.OS, want[:, 1].numpy(), atol=1e-5)
    stated = Net(K, softmax, 'probs')
    torch.testing.assert_close(class_probs(stated, x, BatchSplitter(2)), want)


def test_a_softmax_can_be_denied():
    net, x = Net(4, softmax, 'logits'), clips()
    torch.testing.assert_close(class_probs(net, x, BatchSplitter(2)), net(x).softmax(1))


def test_logits_that_lie_in_0_1_by_chance_stay_logits():
    net, x = Net(4), clips(1)
    with torch.no_grad():
        net.head.weight.mul_(1e-2)
        net.head.bias.fill_(0.5)
    assert looks_like(net(x)) == 'sigmoid'
    torch.testing.assert_close(class_probs(net, x, BatchSplitter(1)), net(x).softmax(1))


def test_a_last_layer_of_zeros_gives_chance():
    net, x = Net(4), clips(1)
    nn.init.zeros_(net.head.weight)
    nn.init.zeros_(net.head.bias)
    assert class_probs(net, x, BatchSplitter(1)).tolist() == [[0.25] * 4]


one = lambda y: y[:, :1]


@pytest.mark.parametrize(
    'end,scores,says',
    [
        (one, None, 'read as a logit'),
        (lambda y: y[:, 0], None, 'read as a logit'),
        (lambda y: one(y).sigmoid(), None, 'probability of class 1'),
        (one, 'logits', None),
        (one, 'sigmoid', None),
        (lambda y: one(y).sigmoid(), 'probs', None),
        (lambda y: one(y).sigmoid(), 'sigmoid', None),
        (one, torch.sigmoid, None),
    ],
)
def test_one_output_is_a_class_and_its_complement(end, scores, says):
    "B4: one output (B,1): its sigmoid is the score, the complement a second class"
    net, x = Net(4, end, scores), clips()
    want = net.logits(x)[:, 0].sigmoid()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        probs = class_probs(net, x, BatchSplitter(2))
        assert [says in str(w.message) for w in said] == ([True] if says else [])
    torch.testing.assert_close(probs, torch.stack([1 - want, want], 1))
    found = search_windows(net, x, 1, half=False)
    np.testing.assert_allclose(found.OS, want.detach().numpy(), atol=1e-6)
    assert (found.loss['score'] < found.OS).any()
    both = [gradcam(net, x, c, layer='conv', relu=False) for c in (0, 1)]
    torch.testing.assert_close(both[0], -both[1])


def test_several_labels():
    net, x = Net(5, torch.sigmoid, 'sigmoid'), clips()
    want = net.logits(x).sigmoid()
    torch.testing.assert_close(class_probs(net, x, BatchSplitter(2)), want)
    net.end = lambda y: y
    del net.scores
    net.scores = 'sigmoid'
    fresh = Net(5, scores='sigmoid')
    torch.testing.assert_close(class_probs(fresh, x, BatchSplitter(2)), want)
    torch.testing.assert_close(logits_of(fresh, fresh(x)), fresh.logits(x))


def test_a_statement_that_the_output_contradicts():
    x = clips()
    with pytest.raises(ValueError, match=r"scores='probs'.*in \[0,1\].*scores='logits'"):
        class_probs(Net(4, scores='probs'), x, BatchSplitter(2))
    with pytest.raises(ValueError, match="sum to .*scores='sigmoid' is for several labels"):
        class_probs(Net(4, torch.sigmoid, 'probs'), x, BatchSplitter(2))
    with pytest.raises(ValueError, match=r'its `scores`.*in \[0,1\]'):
        class_probs(Net(4, scores=lambda y: y), x, BatchSplitter(2))
    with pytest.raises(ValueError, match="scores='softmax'; it is one of 'logits', 'probs', 'sigmoid'"):
        class_probs(Net(4, scores='softmax'), x, BatchSplitter(2))


def test_parts_of_a_model_that_are_called_scores():
    class Own(Net):
        def __init__(self):
            super().__init__(4)
            self.scores = nn.Linear(4, 4)

    class Method(Net):
        def scores(self, x):
            return 1 / 0

    for net in Own(), Method():
        assert stated_scores(net) is None
        assert class_probs(net, clips(), BatchSplitter(2)).shape == (3, 4)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_probabilities_in_half_precision_do_not_sum_to_1_exactly(dtype):
    net, x = Net(174, softmax).to(dtype), clips()
    with pytest.warns(UserWarning, match='probabilities already'):
        probs = class_probs(net, x, BatchSplitter(2))
    assert torch.equal(probs, call_model(net, x))


def test_log_odds():
    z = torch.linspace(-15, 15, 31, dtype=torch.float64)
    torch.testing.assert_close(log_odds(z.sigmoid()), z)
    p = torch.tensor([0.0, 1e-30, 1.0], requires_grad=True)
    assert torch.isfinite(log_odds(p)).all()
    y = torch.randn(5, 7).double().requires_grad_()
    want = y[:, 2] - torch.cat([y[:, :2], y[:, 3:]], 1).logsumexp(1)
    torch.testing.assert_close(log_odds(y.softmax(1))[:, 2], want)


def test_predictions_go_the_same_way():
    frames = np.random.default_rng(0).integers(0, 256, (3, 6, 8, 8, 3), dtype=np.uint8)
    net = Net(4, softmax, 'probs')
    plain = Net(4)
    np.testing.assert_allclose(
        predict(net, frames, stats=(0.5, 0.2)), predict(plain, frames, stats=(0.5, 0.2)), atol=1e-6
    )
    np.testing.assert_allclose(
        predict(lambda x: plain(x), frames, stats=(0.5, 0.2)), predict(plain, frames, stats=(0.5, 0.2)), atol=1e-6
    )


# --- before the long work


def cut(f):
    class Cut(Net):
        def forward(self, x):
            return f(super(), x)

    return Cut()


@torch.no_grad()
def without(net, x):
    return net.forward(x)


NO_WAY = {
    'detach': lambda net, x: net.forward(x.detach()),
    'bytes': lambda net, x: net.forward(x.byte().float()),
    'no_grad': without,
    'numpy': lambda net, x: torch.from_numpy(net.forward(x).detach().numpy()),
    'item': lambda net, x: torch.tensor([[v.item() for v in row] for row in net.forward(x)]),
}


@pytest.mark.parametrize('f', NO_WAY.values(), ids=NO_WAY)
def test_a_gradient_that_is_cut_is_said_before_the_work(f):
    "B2: `x.byte()` in forward, a backbone under `torch.no_grad()`: no mask is 'learned'"
    net, x = cut(f), clips()
    with pytest.raises(ValueError, match='(?s)scores do not depend on the clip.*cut on the way.*search_windows'):
        check_model(net, x)
    check_model(net, x, gradient=False)


@pytest.mark.parametrize(
    'f,gradient,why',
    [
        (lambda net, x: net.forward(x).round(), True, 'exactly zero.*rounding'),
        (lambda net, x: net.forward(x) * 0, True, 'the same for'),
        (lambda net, x: net.forward(x) * 0, False, 'the same for'),
        (lambda net, x: net.forward(x).argmax(1), True, 'before argmax'),
        (lambda net, x: net.forward(x).argmax(1), False, 'before argmax'),
        (lambda net, x: net.forward(x) / 0, False, 'not finite'),
        (lambda net, x: net.forward(x) * torch.nan, True, 'not finite'),
        (lambda net, x: net.forward(x).clamp_max(0).sqrt() + net.forward(x), True, 'not finite'),
        (
            lambda net, x: net.forward(x[:, :, :3].reshape(1, 3, 6, 8, 8)),
            False,
            r'Cut stops at clips \(1, 3, 6, 8, 8\)',
        ),
        (lambda net, x: dict(y=net.forward(x)), False, 'returns dict.*wrap'),
    ],
)
def test_what_would_make_the_work_meaningless(f, gradient, why):
    with pytest.raises((ValueError, TypeError), match=why):
        check_model(cut(f), clips(), gradient=gradient)


def test_rounded_scores_can_be_searched():
    check_model(cut(lambda net, x: net.forward(x).round()), clips(), gradient=False)


def test_a_clip_that_happens_to_say_nothing_is_not_the_models_fault():
    net = Net(4)
    with torch.no_grad():
        net.conv.bias.fill_(-0.1)
    dark = torch.zeros(1, 3, 6, 8, 8)  # nothing is active
    assert torch.autograd.grad(net(dark.requires_grad_()).sum(), dark)[0].count_nonzero() == 0
    check_model(net, dark)
    check_model(net, torch.cat([dark, clips()]).detach())
    sure = Net(4, lambda y: (100 * y).softmax(1), 'probs')  # a probability of exactly 1 has no gradient
    check_model(sure, clips())


def test_classes_that_are_impossible():
    net = cut(lambda net, x: net.forward(x).masked_fill(torch.arange(4) == 2, -torch.inf))
    x = clips()
    for target in None, 1, [0, 1, 3]:
        check_model(net, x, target)
    with pytest.raises(ValueError, match='class 2 the score −∞.*impossible'):
        check_model(net, x, 2)
    assert class_probs(net, x, BatchSplitter(2))[:, 2].tolist() == [0, 0, 0]
    assert np.isfinite(search_windows(net, x, half=False).losses).all()
    torch.testing.assert_close(gradcam(net, x, 1, layer='conv'), gradcam(Net(4), x, 1, layer='conv'))


def test_sizes_are_compared():
    "B7: clips of another size than the model was made for; both numbers are said"
    net, x = Net(), clips()
    net.clip_shape = (8, 8, 8)
    with pytest.raises(
        ValueError, match='made for clips of 8 frames of 8×8, these have 6 frames of 8×8.*read_frames.*n=8'
    ):
        check_model(net, x)
    net.clip_shape = (6, None, None)
    check_model(net, x)
    net.clip_shape = None
    check_model(net, x)


def test_nothing_is_left_behind():
    net, x = Net().train(), clips()
    before, seed = x.clone(), torch.random.get_rng_state()
    check_model(net, x)
    check_model(net, x, gradient=False)
    with torch.inference_mode():
        check_model(net, clips())
    assert net.training
    assert net.conv.weight.requires_grad
    assert net.conv.weight.grad is None
    assert torch.equal(x, before)
    assert torch.equal(torch.random.get_rng_state(), seed)


def test_other_clips_are_different():
    many = torch.cat(other_clips(clips(1)))
    assert torch.isfinite(many).all()
    assert len({tuple(c.flatten()[:9].tolist()) for c in many}) == 4


def test_a_last_layer_that_is_exchanged_is_noticed():
    "B3: the same object first gives logits, then probabilities, then logits again"
    net, x = Net(4), clips()
    want = class_probs(net, x, BatchSplitter(2))
    for end, says in (softmax, True), (softmax, False), (lambda y: y, False), (lambda y: 2 * y, False):
        net.end = end
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter('always')
            check_model(net, x)
            got = class_probs(net, x, BatchSplitter(2))
        assert len(said) == says
        if end is softmax:
            torch.testing.assert_close(got, want)
    torch.testing.assert_close(got, (2 * net.logits(x)).softmax(1).detach())


# --- targets of every kind, on models of which the answer is known by construction


T, AT = 6, 4  # frames of a clip; the frame that the head reads


def marked(frames=(AT,), patch=(slice(None), slice(None))):
    "A dark clip with bright frames, or a bright patch in them"
    x = torch.zeros(1, 3, T, 8, 8)
    for t in frames:
        x[0, :, t][(slice(None), *patch)] = 1
    return x


def mean_of(x, t=AT, patch=(slice(None), slice(None))):
    return x[:, :, t][(slice(None), slice(None), *patch)].mean((1, 2, 3))


class Reads(nn.Module):
    "Returns a number that it reads from the clip, in one of many forms"

    def __init__(self, read, form):
        super().__init__()
        self.read, self.form = read, form

    def forward(self, x):
        return self.form(self.read(x), x)


def in_step(s, x):
    "One number for each frame, (B,T); the number stands at frame 2"
    return torch.stack([torch.zeros_like(s)] * 2 + [s] + [torch.zeros_like(s)] * 3, 1)


def two(s):
    return torch.stack([s, 1 - s], 1)


def boxes(s, x):
    where = torch.tensor([[0.0, 0, 4, 4], [4, 4, 8, 8]])
    return [dict(boxes=where, scores=torch.stack([0.3 + 0 * v, v]), labels=torch.tensor([1, 2])) for v in s]


FORMS = {  # form of the output, the target, and the score of an answer s in its own unit
    'class': (lambda s, x: 4 * two(s), 0, lambda s: 1 / (1 + np.exp(4 - 8 * s))),
    'pair': (lambda s, x: torch.cat([4 * two(s), s[:, None] * 0], 1), (0, 1), lambda s: 8 * s - 4),
    'step': (in_step, targets.step(2), lambda s: s),
    'step of classes': (
        lambda s, x: torch.stack([in_step(s, x) * 4, 4 - 4 * in_step(s, x)], 2),
        targets.step(2, 0),
        lambda s: 1 / (1 + np.exp(4 - 8 * s)),
    ),
    'number': (lambda s, x: torch.stack([0 * s, 30 * s], 1), targets.number(1, 'speed', 'km/h'), lambda s: 30 * s),
    'text': (
        lambda s, x: dict(video_embeds=torch.stack([s, (1 - s**2).clamp_min(0).sqrt()], 1)),
        targets.text([1.0, 0], 'bright'),
        lambda s: s,
    ),
    'caption': (
        lambda s, x: torch.stack([4 * two(s), two(s) * 0], 1),
        targets.caption([0, 1]),
        lambda s: -np.log1p(np.exp(4 - 8 * s)) - np.log(2),
    ),
    'box': (boxes, targets.box([4, 4, 8, 8], 2), lambda s: s),
    'function of a dict': (lambda s, x: {'count': 5 * s}, lambda y: y['count'], lambda s: 5 * s),
    'function of a tuple': (lambda s, x: (x, {'many': 2 * s}), lambda y: y[1]['many'], lambda s: 2 * s),
    'named function': (lambda s, x: 9 * s, targets.Target(lambda y: y, 'people', 'count'), lambda s: 9 * s),
}
READS = {  # what a head needs, the clip, and the masks of fewest frames that take it away
    'one frame': (mean_of, marked(), {(AT,)}),
    'one patch': (
        lambda x: mean_of(x, AT, (slice(2, 4), slice(4, 8))),
        marked(patch=(slice(2, 4), slice(4, 8))),
        {(AT,)},
    ),
    'two frames, both': (lambda x: mean_of(x, 2) * mean_of(x, AT), marked((2, AT)), {(2,), (AT,)}),
    'two frames, either': (
        lambda x: torch.maximum(mean_of(x, 2), mean_of(x, AT)),
        marked((2, AT)),
        {(2, AT)},
    ),
}


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('reads', READS)
def test_the_best_of_all_masks_is_the_known_one(reads, form):
    "Every kind of target: the number itself, and the frames that it needs, by trying all masks"
    read, x, known = READS[reads]
    make, target, own = FORMS[form]
    net = Reads(read, make)
    net.scores = 'logits' if form == 'step of classes' or form == 'class' else None
    assert float(targets.score_of(net, x, target)) == pytest.approx(own(1.0), abs=1e-5)
    found = search_masks(net, x, all_masks(T), target, lam2=0, half=False)
    assert tuple(np.flatnonzero(found.mask[0])) in known
    assert found.OS[0] == pytest.approx(own(1.0), abs=1e-5)
    assert found.FS[0] == pytest.approx(own(0.0), abs=1e-5)
    if form not in ('class', 'step of classes'):  # no probabilities: from 1, as it is, to 0, all removed
        assert found.loss['score'][0] == pytest.approx(0, abs=1e-5)
        assert found.drop[0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('what', ['frames', 'patches'])
def test_exact_attributions_are_right_for_every_kind(what, form):
    "Shapley values and occlusion: all of the score is the frame's, or the patch's, that the head reads"
    patch = (slice(0, 4), slice(4, 8))
    read, x = (mean_of, marked()) if what == 'frames' else (lambda x: mean_of(x, AT, patch), marked(patch=patch))
    make, target, own = FORMS[form]
    net = Reads(read, make)
    net.scores = 'logits' if form == 'step of classes' or form == 'class' else None
    units = 'frames' if what == 'frames' else removal.patches(3, 4, 4)  # 2 × 2 × 2 tubes of 3 frames
    for how in 'shapley', 'occlusion':
        found = removal.attribute(net, x, target, what=units, by=black_out, how=how, half=False)
        values = np.asarray(found.values)[0]
        want = AT if what == 'frames' else int(np.argmax(np.abs(values)))
        assert values[want] == pytest.approx(own(1.0) - own(0.0), abs=1e-4)
        assert np.abs(np.delete(values, want)).max() < 1e-4
        if what == 'patches':
            maps = np.asarray(found.maps())[0]
            assert (maps[:3] == 0).all()
            assert np.abs(maps[3:, :4, 4:]).min() > 0
            assert np.abs(maps).sum() == pytest.approx(np.abs(maps[3:, :4, 4:]).sum())


def black_out(x, mask):
    "Zero where the mask, (B,T) or (B,T,H,W), is on"
    m = torch.as_tensor(mask).to(x)
    m = m.expand(len(x), -1) if m.ndim == 1 else m
    return x * (1 - (m[:, None] if m.ndim == 4 else m[:, None, :, None, None]))


def test_a_target_for_each_clip():
    x, net = torch.cat([marked(), marked((2,))]), Reads(lambda x: x.mean((1, 3, 4)), lambda s, x: s)  # (B,T)
    each = [targets.step(AT), targets.step(2)]
    assert targets.score_of(net, x, each).tolist() == [1, 1]
    assert targets.score_of(net, x, targets.step(2)).tolist() == [0, 1]
    found = search_windows(net, x, each, lam2=0, half=False)
    assert [np.flatnonzero(m).tolist() for m in found.mask] == [[AT], [2]]
    assert found.target.tolist() == ['step 4', 'step 2']
    learned = learn_masks(net, [(c, 0) for c in x], each, preset='fast', half=False)  # a loader of single clips
    assert [m[t] for m, t in zip(learned.binary, (AT, 2))] == [True, True]
    np.testing.assert_allclose(learned.OS, 1)
    with pytest.raises(ValueError, match='3 targets for 2 clips'):
        targets.score_of(net, x, [*each, targets.step(0)])


def test_a_rise_is_said():
    "Removal can raise a number: then the mask shows what holds it down"
    found = search_windows(Reads(mean_of, lambda s, x: -s), marked(), lambda y: y, lam2=0, half=False)
    assert np.flatnonzero(found.mask[0]).tolist() == [AT]
    assert re.search('the score is higher, -?0.000, than as the clip is, -1.000', found.notes[0])
    assert found.settings['scale'] == 'the clip as it is 1, with all frames removed 0'


@pytest.mark.parametrize(
    'target,why',
    [
        (
            lambda y: y['score'],
            r"'lambda' cannot be read from what Reads returns, a tensor \(1, 6\): (IndexError|TypeError)",
        ),
        (lambda y: y, r'one number for each clip, \(1,\); it gives a tensor \(1, 6\)'),
        (targets.step(6), 'the steps of the output run from 0 to 5'),
        (targets.step(1, 2), 'each step has one number, and no classes'),
        (targets.number(7), 'returns 6 for each clip'),
        (targets.text([1.0, 0]), r'has 2 numbers, and the model.s embedding is \(1, 6\)'),
        (targets.caption([0]), r'needs logits \(B,L,V\)'),
        (('up', 'down'), 'does not name its classes'),
        ((0, 9), 'no class 9'),
        (lambda y: y[:, 0] * 0, 'do not depend on the clip|exactly zero'),
        (lambda y: y[:, 0] / 0, 'not finite'),
        (0.5, 'class index'),
        ('label', 'needs labels'),
    ],
)
def test_what_cannot_be_asked_is_said_before_the_work(target, why):
    net = Reads(lambda x: x.mean((1, 3, 4)), lambda s, x: s)
    calls = [lambda: search_windows(net, marked(), target)]
    if not (isinstance(target, str) or isinstance(target, float)):
        calls.append(lambda: learn_masks(net, marked(), target, preset='fast', iterations=1))
    for call in calls:
        with pytest.raises(ValueError, match=why):
            call()


def test_the_map_of_a_pair_is_the_difference_of_the_maps():
    net, x = Net(4), clips()
    maps = {
        t: gradcam(net, x, t, layer='conv', relu=False, normalize=None)
        for t in (1, 3, (1, 3), targets.number(1), lambda y: y[:, 1])
    }
    a, b, pair, number, function = maps.values()
    torch.testing.assert_close(pair, a - b)
    torch.testing.assert_close(number, a)
    torch.testing.assert_close(function, a)
    assert pair.abs().max() > 1e-4
    p = targets.score_of(net, x, (1, 3))
    q = class_probs(net, x, BatchSplitter(2))
    torch.testing.assert_close(p.detach(), (q[:, 1] / q[:, 3]).log(), atol=1e-4, rtol=1e-4)
    soft = targets.score_of(Net(4, softmax, 'probs'), x, (1, 3))  # the same of a model that gives probabilities
    torch.testing.assert_close(soft, p, atol=1e-3, rtol=1e-3)


def test_a_step_of_a_network_of_frames_is_read_as_it_says():
    logit, x = Reads(lambda x: x.mean((1, 3, 4)), lambda s, x: 3 * s), marked()
    assert float(targets.score_of(logit, x, targets.step(AT))) == pytest.approx(3)
    logit.scores = 'logits'
    assert float(targets.score_of(logit, x, targets.step(AT))) == pytest.approx(1 / (1 + np.exp(-3)))
    assert search_windows(logit, x, targets.step(AT), half=False).low is None  # a probability is not moved
    wrapped = wrap(lambda x: {'one': logit(x)[..., None], 'many': 0}, output='one', scores='logits')
    assert float(targets.score_of(wrapped, x, targets.step(AT))) == pytest.approx(1 / (1 + np.exp(-3)))
    heat = gradcam(Conv(), x, targets.step(AT), layer='conv')
    assert heat[0].amax((1, 2)).argmax() == AT
    assert (heat[0, [0, 1, 2, 3, 5]] == 0).all()


class Conv(nn.Module):
    "A number for each frame, (B,T), of a convolution of that frame"

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 2, 1)
        nn.init.ones_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x):
        return self.conv(x).mean((1, 3, 4))


# --- frames against a text


@pytest.fixture(scope='module')
def xclip():
    "X-CLIP with random weights, tiny, asked with the texts of `input_ids`"
    hf = pytest.importorskip('transformers')
    torch.manual_seed(0)
    small = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    config = hf.XCLIPConfig(
        text_config=dict(
            small, vocab_size=30, max_position_embeddings=8, eos_token_id=29, bos_token_id=0, pad_token_id=1
        ),
        vision_config=dict(
            small, image_size=16, patch_size=8, num_frames=4, mit_hidden_size=16, mit_intermediate_size=16,
            mit_num_hidden_layers=1, mit_num_attention_heads=2,
        ),
        projection_dim=16, prompt_layers=1, prompt_num_attention_heads=2,
    )  # fmt: skip
    return hf.XCLIPModel(config).eval()


def asked(xclip, *texts):
    ids = torch.tensor([[0, *t, 29] for t in texts])
    run = lambda x: xclip(input_ids=ids, attention_mask=ids * 0 + 1, pixel_values=x.transpose(1, 2))
    places = dict(maps='(b t) (h w) f', skip=1, grid=lambda shape: [(4, 2, 2)])
    return wrap(run, layer='vision_model.encoder.layers.0', **places)


def test_xclip_maps_of_texts(xclip):
    "The same text gives the same map, and the difference of two texts the difference of their maps"
    a, b = [5, 6, 7], [8, 9, 10]
    net = asked(xclip, a, b, a)
    x = torch.randn(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    score = lambda t: targets.score_of(net, x, t).detach()
    first, second = targets.text(0, 'a'), targets.text(1, 'b')
    of = lambda t: gradcam(net, x, t, relu=False, normalize=None)
    torch.testing.assert_close(score(first), score(targets.text(2)))
    torch.testing.assert_close(score((first, second)), score(first) - score(second))
    scale = float(of(first).abs().max())
    close = lambda m, n: torch.testing.assert_close(m, n, atol=1e-4 * scale, rtol=1e-3)
    close(of(first), of(targets.text(2)))
    close(of((first, second)), of(first) - of(second))
    assert float((of(first) - of(second)).abs().max()) > 1e-2 * scale  # other texts have other maps
    found = search_windows(net, x, (first, second), half=False)
    np.testing.assert_allclose(found.OS, score((first, second)).numpy(), atol=1e-4)
    assert found.settings['unit'] == 'similarity difference'


class Colours(nn.Module):
    "The form of X-CLIP, set by hand: a clip's embedding is its mean colour, a text's the colour that it names"

    words = {'red': [1.0, 0, 0], 'green': [0, 1.0, 0], 'blue': [0, 0, 1.0]}

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None, None])

    def embed(self, text):
        return torch.tensor(self.words[text.split()[1]])

    def forward(self, x):
        return {'video_embeds': self.conv(x).mean((2, 3, 4))}


@pytest.mark.parametrize('colour,frame', [('red', 1), ('blue', 4)])
def test_a_text_finds_the_frame_of_its_colour(colour, frame):
    x = torch.zeros(1, 3, 6, 8, 8)
    x[:, 1] = 0.2  # all is green
    x[0, :, 1, 2:4, 2:4] = torch.tensor([1.0, 0, 0])[:, None, None]
    x[0, :, 4, 5:7, 5:7] = torch.tensor([0, 0, 1.0])[:, None, None]
    net = Colours()
    target = targets.text(net.embed(f'a {colour} thing'), f'a {colour} thing')
    found = search_masks(net, x, all_masks(6), target, lam2=0, half=False)
    assert np.flatnonzero(found.mask[0]).tolist() == [frame]
    assert found.target.tolist() == [f'a {colour} thing']
    heat = gradcam(net, x, (target, targets.text(net.embed('a green thing'))), layer='conv')
    assert heat[0].amax((1, 2)).argmax() == frame


# --- what takes them


def test_explain_says_targets_in_their_own_name_and_scale(tmp_path):
    speed = targets.number(0, 'speed', 'km/h')
    net = Reads(mean_of, lambda s, x: 30 * s)
    x = marked() + 0.01 * torch.rand(1, 3, T, 8, 8, generator=torch.Generator().manual_seed(0))
    heat = np.zeros((1, T, 8, 8))
    (e,) = explain(net, x, speed, stats=(0, 1), masks=search_windows(net, x, speed, lam2=0, half=False), maps=heat)
    assert e.title == 'Reads: speed (km/h)'
    assert e.pred is None
    assert e.target == 'speed'
    assert np.flatnonzero(e.binary).tolist() == [AT]
    assert e.scores['OS'] == pytest.approx(float(net(x)), abs=1e-4)
    assert e.scores['FS'] < 1
    assert e.loss['loss'] == pytest.approx(0.01 + e.share(e.scores['FS'] - e.settings['target']['low']), abs=1e-4)
    assert dict((k, v) for k, v, _ in e.said)['OS'] == f'{e.scores["OS"]:.3f}'
    assert 'of what is explained (km/h)' in e.said[0][2]
    e.save(tmp_path / 'e.npz')
    again = Explanation.load(tmp_path / 'e.npz')
    assert (again.title, again.caption, again.notes) == (e.title, e.caption, e.notes)
    assert '<' in again.html()


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    'perturb,word', [('blur', 'blurred'), (mean_frame, 'mean frame'), ('black', 'black'), ('reverse', 'reversed')]
)
def test_explain_under_another_removal(perturb, word, tmp_path):
    "Columns, meanings, scores and files follow the perturbation"
    net, x = Net(4), clips(2)
    es = explain(net, x, 1, stats=(0.5, 0.2), preset='fast', iterations=2, perturb=perturb, layer='conv', half=False)
    f = perturb if callable(perturb) else BLENDED if perturb == 'reverse' else getattr(perturbations, perturb)
    if perturb == 'black':
        f = functools.partial(f, stats=(0.5, 0.2))
    for i, e in enumerate(es):
        assert list(e.columns)[-1] == word
        assert (
            e.said[1][2] == f'with the masked frames {"replaced by the mean frame" if word == "mean frame" else word}'
        )
        under = f(x[i : i + 1], torch.from_numpy(e.binary)[None].float())
        assert e.scores['FS binary'] == pytest.approx(float(class_score(net, under, 1)), abs=1e-5)
        assert (e.frozen == frames_to_show(under, (0.5, 0.2))[0]).all()
    save_explanations(es, tmp_path / 'es.npz')
    for e, again in zip(es, load_explanations(tmp_path / 'es.npz')):
        assert (again.frozen == e.frozen).all()
        assert again.perturb == e.perturb
    given = explain(net, x, 1, stats=(0.5, 0.2), layer='conv', masks=search_windows(net, x, 1, perturb=mean_frame))
    assert given[0].perturb == 'mean_frame'


def test_painter_takes_them():
    net, x = Reads(mean_of, lambda s, x: {'speed': 30 * s}), marked()
    p = Painter(
        net, x, targets.Target(lambda y: y['speed'], 'speed', 'km/h'), stats=(0, 1), perturb='mean_frame', lam2=0
    )
    assert p.scrubber.spec['title'] == 'Reads: speed (km/h)'
    assert p.OS == 30
    p.best_window()
    assert np.flatnonzero(p.mask).tolist() == [AT]
    assert p.scores['FS'] == pytest.approx(30 / T, abs=1e-4)
    assert p.scores['loss'] == pytest.approx(0.01, abs=1e-4)
    assert p.score_rows([p.mask])[0][0][1] == '30.000'
    assert 'replaced by the mean frame' in p.score_rows([p.mask])[0][1][2]


def test_mask_scores_of_targets():
    net, x = Reads(mean_of, lambda s, x: 30 * s), marked()
    t = mask_scores(net, x, np.eye(T)[AT], targets.number(0, 'speed'))
    assert t['OS'][0] == 30
    assert t['FS'][0] == t['FS binary'][0] == 0
    assert t['target'][0] == 'speed'
    assert t['pred'].isna().all()
    wide = Net(4)
    t = mask_scores(wide, clips(), np.eye(T)[AT], (0, 1), labels=[0, 1, 2])
    assert t['pred'].tolist() == class_probs(wide, clips(), BatchSplitter(2)).argmax(1).tolist()
    assert t['target'].tolist() == ['0 − 1'] * 3


def test_the_readme_answers_any_question():
    "README's lines for a class, a pair, a network of frames and a text, as they stand"
    text = (Path(__file__).resolve().parents[1] / 'README.md').read_text(encoding='utf-8')
    part = text.partition('## Any question')[2].partition('\n## ')[0]
    lines = re.findall(r'```python\n(.*?)```', part, re.S)
    assert len(lines) == 3
    space = {}
    exec('from interpvid.all import *', space)
    exec("from interpvid import integrated_gradients, make_clips, pretrained, softened", space)
    exec("net, clips = pretrained('i3d-events'), make_clips(7, seed=3, progress=False)", space)
    titles = []
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for cell in lines:
            exec(cell, space)
            titles.append(space['e'].title)
    classes = space['SYNTHETIC_CLASSES']
    assert titles[0].endswith(classes[3])
    assert space['why'].title.endswith(f'{classes[6]} − {classes[7]} (logit difference)')
    assert titles[1].endswith('step 9 (score)')
    assert titles[2].endswith('a ball falls (cosine)')


def test_a_target_is_typed(tmp_path, capsys):
    "`interpvid explain --target a-b --perturb blur`"
    from interpvid.cli import main
    from interpvid.models.checkpoints import save_model
    from interpvid.models.i3d import I3D
    from interpvid.video import write_video

    torch.manual_seed(0)
    net = I3D(3, s_strides=(2, 2, 2, 2, 1), width=0.125).eval()
    net.classes, net.clip_shape, net.stats = ['go', 'stand-still', 'turn'], (8, 32, 32), (0.5, 0.2)
    save_model(net, tmp_path / 'net.safetensors')
    frames = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8)
    write_video(tmp_path / 'a.gif', frames)
    run = lambda *more: main(
        ['explain', str(tmp_path / 'a.gif'), '--checkpoints', str(tmp_path / 'net.safetensors'), '--out',
         str(tmp_path / 'out'), '--iterations', '1', *more]
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        assert run('--target', 'stand-still-go', '--perturb', 'blur') == 0
        said = capsys.readouterr().out
        assert 'I3D: stand-still − go' in said
        assert 'logit difference' in said
        page = (tmp_path / 'out' / 'a_.html').read_text() if (tmp_path / 'out' / 'a_.html').exists() else (
            tmp_path / 'out' / 'a.html').read_text()  # fmt: skip
        assert 'blurred' in page
        assert run('--target', 'sit') == 1
        assert "no class 'sit' among 3" in capsys.readouterr().err
        assert run('--target', '5:1') == 1
        assert 'reads an output of each frame' in capsys.readouterr().err
