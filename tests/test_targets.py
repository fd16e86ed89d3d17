"How outputs are read, and what is checked before a long work."

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from interpvid.cam import gradcam
from interpvid.classify import predict
from interpvid.device import BatchSplitter, call_model
from interpvid.masks.learn import learn_masks
from interpvid.masks.loss import class_probs
from interpvid.masks.search import search_windows
from interpvid.targets import (
    check_model,
    class_score,
    log_odds,
    logits_of,
    looks_like,
    other_clips,
    stated_scores,
)


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
def quiet():
    "Each warning is an error, unless a test asks for it"
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
