"What a mask is worth, search, learning and the oracle, against plain loops written apart from the package."

import json, os, subprocess, sys, warnings
from functools import partial

import numpy as np, pytest, torch
from hypothesis import given, settings, strategies as st
from torch import nn

from interpvid.core import to_batch
from interpvid.data.synthetic import make_clips
from interpvid.masks.learn import MASK_PRESETS, central_window, learn_masks
from interpvid.masks.oracle import EventOracle
from interpvid.masks.perturb import black, blur, freeze, freeze_after, mean_frame, reverse, shuffle
from interpvid.masks.search import MaskScores, all_masks, search_masks, search_windows, window_pairs, windows
from interpvid.masks.loss import mask_loss, tv_norm
from interpvid.models.clstm import CLSTM, CLSTM_VARIANTS
from interpvid.models.i3d import I3D
from interpvid.targets import ask, check_model


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


class Tiny(nn.Module):
    "A small network of random weights whose scores depend on the order of the frames"

    def __init__(self, T=8, classes=4, size=6.0, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv, self.drop, self.fc = nn.Conv3d(3, 6, 3, padding=1), nn.Dropout(0.5), nn.Linear(6 * T, classes)
            nn.init.normal_(self.fc.weight, std=size)

    def forward(self, x):
        return self.fc(self.drop(self.conv(x).tanh().mean((3, 4)).flatten(1)))


def passes_of(net):
    "A list that grows by the number of clips of each pass"
    n = []
    net.register_forward_pre_hook(lambda m, i: n.append(len(i[0])))
    return n


def tiny(*args, **kw):
    return Tiny(*args, **kw).eval()


def clips(B, T=8, size=6, seed=0):
    return torch.randn(B, 3, T, size, size, generator=torch.Generator().manual_seed(seed))


PLAIN = dict(half=False)

# --- Eq. 1 and friends, with nothing but loops


def frozen_by_loop(x, m):
    "(1,C,T,H,W), mask (T,)"
    out = [x[:, :, 0]]
    for t in range(1, x.shape[2]):
        out.append((1 - m[t]) * x[:, :, t] + m[t] * out[-1])
    return torch.stack(out, 2)


def tv_by_loop(m, beta=3):
    return sum(abs(m[t] - m[t + 1]) ** beta for t in range(len(m) - 1))


def doubled_tv_by_loop(m, beta=3):
    "As the released programs count: each frame but the two at the ends looks to both sides"
    return sum(abs(m[t - 1] - m[t]) ** beta + abs(m[t + 1] - m[t]) ** beta for t in range(1, len(m) - 1))


def eq1(net, x, m, target, lam1=0.01, lam2=0.02, beta=3, tv=tv_by_loop, show=frozen_by_loop):
    score = net(show(x, m)).softmax(1)[0, target]
    return lam1 * sum(abs(v) for v in m) + lam2 * tv(m, beta) + score, score


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(0, 1, width=32), min_size=2, max_size=20), st.floats(1, 4), st.floats(0, 0.1), st.floats(0, 0.1)
)
def test_loss_is_eq1(row, beta, lam1, lam2):
    m = torch.tensor(row, dtype=torch.double)
    score = torch.tensor(0.3, dtype=torch.double)
    for double, tv in (False, tv_by_loop), (True, doubled_tv_by_loop):
        assert float(tv_norm(m, beta, double)) == pytest.approx(float(tv(m, beta)), abs=1e-9)
        L = mask_loss(m, score, lam1, lam2, beta, double)
        assert list(L) == ['length', 'tv', 'score', 'loss']
        assert float(L['loss']) == pytest.approx(lam1 * sum(row) + lam2 * float(tv(m, beta)) + 0.3, abs=1e-9)


# --- which masks there are


@pytest.mark.parametrize('T', range(1, 12))
def test_counts_of_masks(T):
    w, p, a = windows(T), window_pairs(T), all_masks(T)
    runs = lambda r: ''.join(map(str, r.astype(int))).replace('0', ' ').split()
    every = np.array([[i >> t & 1 for t in range(T)] for i in range(2**T)], np.float32)
    of = lambda n: {tuple(r) for r in every if len(runs(r)) == n}
    assert {tuple(r) for r in w} == of(1)
    assert len(w) == T * (T + 1) // 2
    assert {tuple(r) for r in p} == of(2)
    assert len(p) == len(of(2))
    assert p.shape == (len(p), T)
    assert {tuple(r) for r in a} == {tuple(r) for r in every}
    assert len(a) == 2**T


@pytest.mark.parametrize('T,step', [(16, 2), (17, 2), (10, 4), (5, 7)])
def test_coarse_windows(T, step):
    w = windows(T, step)
    n = -(-T // step)
    assert len(w) == n * (n + 1) // 2 == len({tuple(r) for r in w})
    assert {tuple(r) for r in w} <= {tuple(r) for r in windows(T)}
    assert all(np.flatnonzero(r)[0] % step == 0 for r in w)


def test_too_many_masks():
    with pytest.raises(ValueError, match='21 frames have 2\\^21 masks'):
        all_masks(21)


# --- search

NARROW = dict(hidden=(4, 4), stride=(2, 2), pool=(2, 2))
variants = {n: dict(kw, **NARROW) for n, kw in CLSTM_VARIANTS.items()} | dict(
    peepholes=dict(NARROW, peepholes=True),
    hard_peepholes=dict(NARROW, peepholes=True, gate='hard'),
    pool_norm=dict(NARROW, order='pool-norm', shared_norm=False),
    valid=dict(NARROW, padding='valid', last_only=True),
    no_norm=dict(NARROW, norm=False, stride=(1, 2)),
    three=dict(hidden=(4, 4, 4), kernel=3),
    one=dict(hidden=(4,), stride=(2,), pool=(2,)),
)


def stirred(net):
    g = torch.Generator().manual_seed(1)
    for n, t in net.state_dict().items():
        if n.endswith('running_var'):
            t.copy_(0.05 + torch.rand(t.shape, generator=g))
        elif n.endswith(('running_mean', 'bias')):
            t.copy_(0.3 * torch.randn(t.shape, generator=g))
        elif t.ndim == 1 or n.endswith('wc'):
            t.copy_(1 + torch.randn(t.shape, generator=g))
    return net.eval()


@pytest.mark.parametrize('T', [2, 3, 7])
@pytest.mark.parametrize('name', variants)
def test_shared_beginnings_change_nothing(name, T):
    size = (48, 40) if name in ('released-tf', 'released-tf-kth', 'valid') else (72, 71) if name == 'three' else 32
    net = stirred(CLSTM(3, size, T, **variants[name]))
    x = torch.randn(2, 3, T, *net.size)
    t = torch.tensor([0, 2])
    for perturb in freeze, freeze_after, reverse, mean_frame:
        want = MaskScores(net, windows(T), perturb, share=False, **PLAIN)
        assert not want.shared
        want = want(x, t)
        assert want.std() > 1e-4 or T == 2
        for bs in 1, 48:
            got = MaskScores(net, windows(T), perturb, bs, share=True, **PLAIN)
            assert got.shared
            torch.testing.assert_close(got(x, t), want, atol=2e-6, rtol=0)


STRIDES = dict(
    paper={},
    original=dict(t_strides=(2, 1, 1, 2, 2), head_t=2),
    every=dict(t_strides=(2, 2, 2, 2, 2)),
    three=dict(t_strides=(3, 1, 1, 3, 1), s_strides=(1, 2, 1, 2, 2)),
    fine=dict(s_strides=(2, 1, 2, 1, 1)),
)


@pytest.mark.parametrize('T', [2, 7])
@pytest.mark.parametrize('name', STRIDES)
def test_shared_frames_change_nothing(name, T):
    "Strides in time and space, odd sizes, halves for want of room, several clips, every perturbation that can share"
    net = stirred(I3D(3, width=0.07, dropout=0.5, **STRIDES[name]))
    x = torch.randn(2, 3, T, 21, 26)
    t = ask(lambda output: output[:, 1], 2)  # logits: this network's probabilities are near 0 and 1
    for perturb in freeze, reverse, black, partial(blur, sigma=1.0):
        want = MaskScores(net, all_masks(T)[::3], perturb, share=False, **PLAIN)(x, t)
        assert want.std() > 1e-3 * want.abs().max() or T == 2
        for bs in 1, 48:
            got = MaskScores(net, all_masks(T)[::3], perturb, bs, share=True, **PLAIN)
            assert got.shared
            torch.testing.assert_close(got(x, t), want, atol=1e-5 * float(want.abs().max()), rtol=0)


def test_sharing_is_chosen_where_it_saves():
    net = CLSTM(3, 32, 16, **NARROW).eval()
    a = MaskScores(net, windows(16))
    b = MaskScores(net, windows(16), share=False)
    assert (
        a.shared and a.evaluations < b.evaluations * 2 / 3 and b.evaluations == 121
    )  # 136 windows; those from frame 0 on look like those from frame 1 on, and frame 0 alone like none
    assert not MaskScores(net, windows(16)[-1:]).shared
    assert MaskScores(net, windows(16), lambda x, m: freeze(x, m)).evaluations == 136
    i3d = I3D(3, width=0.07).eval()
    assert MaskScores(i3d, windows(16)).shared
    i3d.features[1] = nn.AvgPool3d(1)  # another network now
    assert not MaskScores(i3d, windows(16), share=True).shared


def nets_with_all_to_share():
    yield stirred(I3D(3, width=0.07)), torch.randn(2, 3, 8, 32, 32)
    yield stirred(CLSTM(3, 32, 8, **NARROW)), torch.randn(2, 3, 8, 32, 32)


def test_the_count_of_multiply_adds_is_that_of_the_layers():
    "One look costs 1; all looks of eight frames at least what their last layers cost"
    from torch.utils.flop_counter import FlopCounterMode

    for net, x in nets_with_all_to_share():
        order = MaskScores(net, all_masks(8)).order.numpy()
        with torch.no_grad(), FlopCounterMode(display=False) as plain:
            net(x[:1])
        with torch.no_grad(), FlopCounterMode(display=False) as shared:
            net.forward_orders(x[0].transpose(0, 1), order)
        done = shared.get_total_flops() / plain.get_total_flops() / len(order)
        assert done == pytest.approx(net.orders_cost(order), rel=0.25)
        assert net.orders_cost(np.arange(8)[None]) == pytest.approx(1, abs=0.02)


def test_less_room_changes_nothing(monkeypatch, capsys):
    for net, x in nets_with_all_to_share():
        want = MaskScores(net, all_masks(8), share=False, **PLAIN)(x, torch.tensor([0, 1]))
        asked, plain = [], type(net).forward_orders

        def forward_orders(self, frames, order, room, done):
            asked.append(room)
            if room > 3:
                raise torch.OutOfMemoryError('a test')
            return plain(self, frames, order, room, done)

        with monkeypatch.context() as m:
            m.setattr(type(net), 'forward_orders', forward_orders)
            got = MaskScores(net, all_masks(8), bs=4, **PLAIN)(x, torch.tensor([0, 1]))
        torch.testing.assert_close(got, want, atol=5e-6, rtol=0)
        assert min(asked) == 2 and lines(capsys)


def test_clips_of_a_search_do_not_meet():
    net = stirred(CLSTM(3, 32, 6, **NARROW))
    x = torch.randn(5, 3, 6, 32, 32)
    together = search_windows(net, x, **PLAIN)
    for i in range(5):
        one = search_windows(net, x[i : i + 1], share=False, **PLAIN)
        assert np.array_equal(one.mask[0], together.mask[i])
        assert one.target[0] == together.target[i]
        np.testing.assert_allclose(one.losses[0], together.losses[i], atol=2e-6)


SHOWN = dict(
    freeze=freeze,
    freeze_after=freeze_after,
    reverse=reverse,
    shuffle=shuffle,
    black=black,
    mean_frame=mean_frame,
    blur=partial(blur, sigma=1.0),
    blend=partial(reverse, blend=True),
    own=lambda x, m: x * (1 - m)[:, None, :, None, None],
)


@pytest.mark.parametrize('perturb', SHOWN.values(), ids=SHOWN)
def test_search_is_exact(perturb):
    "Each loss, and the best, against a loop; perturbations with `index` and without"
    net, x, masks = tiny(), clips(3), np.concatenate([np.zeros((1, 8), np.float32), windows(8)])
    kw = dict(lam1=0.003, lam2=0.01, beta=2)
    found = search_masks(net, x, masks, perturb=perturb, bs=7, **kw, **PLAIN)
    with torch.no_grad():
        target = net(x).argmax(1)
        assert found.target.tolist() == target.tolist()
        want = np.array(
            [
                [
                    float(
                        eq1(
                            net,
                            c[None],
                            torch.from_numpy(m),
                            t,
                            tv=tv_by_loop,
                            show=lambda x, m: perturb(x, m[None]),
                            **kw,
                        )[0]
                    )
                    for m in masks
                ]
                for c, t in zip(x, target)
            ]
        )
        if perturb is freeze:
            np.testing.assert_allclose(
                want,
                [[float(eq1(net, c[None], torch.from_numpy(m), t, **kw)[0]) for m in masks] for c, t in zip(x, target)],
                atol=1e-6,
            )
    np.testing.assert_allclose(found.losses, want, atol=1e-6)
    np.testing.assert_allclose(found.loss['loss'], want.min(1), atol=1e-6)
    assert np.array_equal(found.mask, masks[want.argmin(1)])
    assert np.array_equal(found.tried, masks)
    for k, v in mask_loss(torch.from_numpy(found.mask), torch.from_numpy(found.loss['score']), **kw).items():
        np.testing.assert_allclose(found.loss[k], v, atol=1e-6)


def test_equal_masks_and_one_mask():
    net, x = tiny(), clips(2)
    m = np.zeros((1, 8))
    m[0, 3] = 1
    one, more = search_masks(net, x, m, **PLAIN), search_masks(net, x, np.repeat(m, 9, 0), **PLAIN)
    assert np.array_equal(one.mask, more.mask)
    assert one.mask.tolist() == np.repeat(m, 2, 0).tolist()
    assert one.losses.shape == (2, 1)
    assert more.losses.shape == (2, 9)
    for kind in m.astype(bool), m.astype(int), m.tolist(), torch.from_numpy(m):
        np.testing.assert_array_equal(search_masks(net, x, kind, **PLAIN).losses, one.losses)


def every_mask(T):
    return (np.arange(2**T)[:, None] >> np.arange(T) & 1).astype(np.float32)


def test_pairs_are_never_worse_and_every_mask_no_worse_than_those():
    net, x = tiny(), clips(3)
    L = [
        search_windows(net, x, **PLAIN),
        search_windows(net, x, pairs=True, **PLAIN),
        search_masks(net, x, every_mask(8), **PLAIN),
    ]
    a, b, c = (f.loss['loss'] for f in L)
    assert (b <= a + 1e-6).all()
    assert (c <= b + 1e-6).all()
    assert (L[2].evaluations == 1 + 2**7 + 4).all()  # what looks alike is computed once; one pass more is for OS
    assert L[1].tried.shape == (36 + len(window_pairs(8)), 8)


def test_the_best_of_all_masks_is_the_best():
    net, x = tiny(), clips(3)
    a, b = search_masks(net, x, all_masks(8), **PLAIN), search_windows(net, x, **PLAIN)
    assert (a.loss['loss'] <= b.loss['loss'] + 1e-6).all()


def test_bfloat16_is_rechecked():
    "What is reported is float32, whatever was searched in"
    net, x = tiny(), clips(4)
    a, b = search_windows(net, x), search_windows(net, x, **PLAIN)
    assert (a.loss['loss'] - b.loss['loss']).max() < 0.02  # the same or one as good
    for f in a, b:
        with torch.no_grad():
            s = net(freeze(x, f.mask)).softmax(1)[range(4), f.target]
        np.testing.assert_allclose(f.loss['score'], s, atol=1e-6)


def test_the_best_few_are_compared_anew(monkeypatch):
    "Scores are rough while many masks are tried, and exact in the end"
    from contextlib import contextmanager

    class Net(Tiny):
        rough = False

        def forward(self, x):
            y = super().forward(x)
            return y + 0.6 * torch.sin(1e3 * x.sum((1, 2, 3, 4)))[:, None] * torch.arange(4) if self.rough else y

    net, x = Net().eval(), clips(12)

    @contextmanager
    def fast(device, on):
        net.rough = on
        try:
            yield
        finally:
            net.rough = False

    monkeypatch.setattr('interpvid.masks.search.fast', fast)
    exact, rough, one = (
        search_windows(net, x, **PLAIN),
        search_windows(net, x, recheck=36),
        search_windows(net, x, recheck=1),
    )
    assert np.array_equal(exact.mask, rough.mask)
    assert (rough.losses == exact.losses).mean() > 0.9
    np.testing.assert_allclose(rough.losses, exact.losses, atol=1e-6)
    assert (one.mask != exact.mask).any()
    few = search_windows(net, x)
    assert (few.loss['loss'] <= one.loss['loss'] + 1e-6).all()
    assert (few.loss['loss'] < one.loss['loss'] - 1e-4).any()


def test_distance():
    net, x = tiny(), clips(3)
    found = search_windows(net, x, **PLAIN)
    d = found.distance(found)
    assert len(d) == 3
    assert (d['above best'] == 0).all()
    assert (d['frames that differ'] == 0).all()
    assert (d['overlap'] == 1).all()
    other = search_masks(net, x, windows(8)[:1], **PLAIN)
    d = found.distance(other)
    for i in range(3):
        a, b = found.mask[i] > 0.5, other.mask[i] > 0.5
        assert d['frames that differ'][i] == (a != b).sum()
        assert d['overlap'][i] == pytest.approx((a & b).sum() / (a | b).sum())
        assert d['above best'][i] == pytest.approx(other.loss['loss'][i] - found.loss['loss'][i])
    learned = learn_masks(net, x, preset='fast', iterations=2, **PLAIN)
    assert (found.distance(learned)['loss'] == learned.loss['loss']).all()
    with pytest.raises(ValueError, match='not of the clips'):
        found.distance(search_windows(net, x[:2]))


class Limited(nn.Module):
    "Runs out of memory above `most` clips"

    def __init__(self, net, most):
        super().__init__()
        self.net, self.most = net, most

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError('a test')
        return self.net(x)


def lines(capsys):
    return [l for l in capsys.readouterr().err.splitlines() if 'memory' in l]


def test_search_halves_where_memory_runs_out(capsys):
    net, x = tiny(), clips(2)
    want = search_windows(net, x, **PLAIN)
    assert not lines(capsys)
    got = search_windows(Limited(net, 10), x, bs=20, **PLAIN)
    assert lines(capsys) == ['not enough memory for 20 clips at once; going on with 10']
    np.testing.assert_allclose(got.losses, want.losses, atol=1e-6)
    assert np.array_equal(got.mask, want.mask)
    with pytest.raises(torch.OutOfMemoryError):
        search_windows(Limited(net, 0), x)


def test_search_of_many_clips_says_so_once(capsys):
    search_windows(Limited(tiny(), 10), clips(20), bs=20, **PLAIN)
    assert len(lines(capsys)) == 1


def test_networks_with_a_step_of_their_own():
    class Net(Tiny):
        def step(self, batch):
            return 0

    got, want = search_windows(Net().eval(), clips(1), **PLAIN), search_windows(tiny(), clips(1), **PLAIN)
    assert np.array_equal(got.losses, want.losses)


def test_networks_with_a_forward_of_their_own():
    class Net(CLSTM):
        def forward(self, x):
            return 30 * super().forward(x)

    net = stirred(Net(3, 32, 6, **NARROW))
    x = torch.randn(1, 3, 6, 32, 32)
    np.testing.assert_allclose(
        search_windows(net, x, **PLAIN).losses, search_windows(net, x, share=False, **PLAIN).losses, atol=1e-5
    )


@pytest.mark.parametrize(
    'masks,why',
    [
        (np.full((2, 8), 0.5), '0 and 1'),
        (np.full((2, 8), np.nan), '0 and 1'),
        (np.full((2, 8), 2), '0 and 1'),
        (np.zeros((2, 7)), 'masks of 7 frames do not fit clips of 8'),
        (np.zeros(8), r'\(n,T\)'),
        (np.zeros((0, 8)), r'\(n,T\)'),
    ],
)
def test_masks_that_cannot_be_searched(masks, why):
    with pytest.raises(ValueError, match=why):
        search_masks(tiny(), clips(1), masks)


def broken():
    net = tiny()
    net.fc.weight.data[0, 0] = torch.nan
    return net


calls = pytest.mark.parametrize(
    'call',
    [
        lambda net, x, t=None: search_windows(net, x, t),
        *(lambda net, x, t=None, p=p: learn_masks(net, x, t, preset=p, iterations=1) for p in MASK_PRESETS),
    ],
    ids=['search', *MASK_PRESETS],
)


@calls
def test_what_cannot_be_explained(call):
    net, x = tiny(), clips(2)
    nan = x.clone()
    nan[1, 0, 3, 0, 0] = torch.nan
    for bad, t, why in (
        (nan, None, 'clips hold values that are not finite'),
        (x / 0, None, 'not finite'),
        (x[:, :, :1], None, 'one frame'),
        (x, 4, '0 to 3'),
        (x, -1, '0 to 3'),
        (x, [0, 4], '0 to 3'),
        (x, [0, 1, 2], '3 targets|each of 2'),
        (x.double().long(), None, 'floats'),
        (x[:0], None, 'B,C,T,H,W'),
        (x[0, 0], None, 'B,C,T,H,W'),
    ):
        with pytest.raises(ValueError, match=why):
            call(net, bad, t)
    for t in None, 0:
        with pytest.raises(ValueError, match='scores are not finite'):
            call(broken(), x, t)


def test_search_needs_a_recheck():
    with pytest.raises(ValueError, match='recheck'):
        search_windows(tiny(), clips(1), recheck=0)
    assert search_windows(tiny(), clips(1), recheck=10**6).losses.shape == (1, 36)


# --- learning, against Adam of PyTorch, one clip at a time


def score_by_hand(net, x, m, target):
    with torch.no_grad():
        return float(net(frozen_by_loop(x, m)).softmax(1)[0, target])


def central_by_hand(net, x, target, off=0.0, on=1.0):
    """As in the released programs: from all but both ends down to two frames, the first window with less than
    nine tenths of the full mask's drop, or the last. For fewer than four frames they have none; here it is all"""
    T = x.shape[2]
    score = lambda m: float(score_by_hand(net, x, m, target))
    w = torch.ones(T)
    plain, full = score(torch.full((T,), off)), score(torch.full((T,), on))
    for i in range(1, T // 2):
        w = torch.ones(T)
        w[:i] = 0
        w[-i:] = 0
        if (plain - score(off + (on - off) * w)) / (plain - full) < 0.9:
            break
    return w


def adam_by_hand(net, x, start, target, lr, steps, tv, size=5.0, weights={}):
    "Mask, and losses before each step"
    v = (size * (2 * start - 1)).clone().requires_grad_()
    opt = torch.optim.Adam([v], lr=lr)
    losses = []
    for _ in range(steps):
        L, _ = eq1(net, x, torch.sigmoid(v), target, tv=tv, **weights)
        losses.append(L.item())
        opt.zero_grad()
        L.backward()
        opt.step()
    return torch.sigmoid(v.detach()).numpy(), np.array(losses)


@pytest.mark.parametrize(
    'preset,tv,kw',
    [
        ('paper', tv_by_loop, {}),
        ('paper', tv_by_loop, dict(lr=0.2, iterations=60)),
        ('released-pytorch', doubled_tv_by_loop, {}),
        ('released-pytorch', doubled_tv_by_loop, dict(lam1=0.02, lam2=0.04)),
        ('fast', tv_by_loop, {}),
    ],
)
@pytest.mark.parametrize('T', [2, 5, 8])
def test_learning_is_adam_one_clip_at_a_time(preset, tv, kw, T):
    """In float32: masks to 2e-5, losses on the way to 1e-5 (seen: 9e-7 and 1e-6). Adam divides by the root of the
    squared gradient, so that rounding shows where that is tiny"""
    net, x = tiny(T), clips(5, T)
    w = {k: kw[k] for k in kw if k.startswith('lam')}
    got = learn_masks(net, x, preset=preset, bs=3, **kw, **PLAIN)
    p = got.settings
    with torch.no_grad():
        pred = net(x).argmax(1)
    assert got.target.tolist() == pred.tolist()
    assert p['lr'] == kw.get('lr', MASK_PRESETS[preset]['lr'])
    for i in range(5):
        c = x[i : i + 1]
        start = torch.from_numpy(got.start[i])
        if preset != 'fast':
            assert torch.equal(start, central_by_hand(net, c, pred[i]))
        m, losses = adam_by_hand(net, c, start, pred[i], p['lr'], p['iterations'], tv, p['size'], w)
        np.testing.assert_allclose(got.curve['loss'][:, i], losses, rtol=0, atol=1e-5)
        if preset != 'fast':
            np.testing.assert_allclose(got.mask[i], m, rtol=0, atol=2e-5)
            assert got.steps[i] == len(losses)
        with torch.no_grad():
            L, s = eq1(net, c, torch.from_numpy(got.mask[i]), pred[i], **w)
        assert got.loss['loss'][i] == pytest.approx(float(L), abs=2e-6)
        assert got.loss['score'][i] == pytest.approx(float(s), abs=2e-6)
        assert got.OS[i] == pytest.approx(score_by_hand(net, c, torch.zeros(T), pred[i]), abs=1e-6)
        assert got.drop[i] == pytest.approx(got.OS[i] - got.loss['score'][i])


def test_masks_move():
    "What is compared above is not only the start"
    net, x = tiny(), clips(5)
    assert (
        np.abs(
            learn_masks(net, x, preset='released-pytorch', **PLAIN).mask
            - learn_masks(net, x, preset='released-pytorch', iterations=1, lr=0, **PLAIN).mask
        )
        > 0.5
    ).any(1).sum() >= 3


def test_other_perturbations_are_learned_too():
    net, x = tiny(), clips(2)
    for perturb in freeze_after, black, mean_frame, blur, shuffle, partial(reverse, blend=True):
        got = learn_masks(net, x, perturb=perturb, lr=0.1, iterations=8, start='window', **PLAIN)
        for i in range(2):
            v = (5 * (2 * torch.from_numpy(got.start[i]) - 1)).requires_grad_()
            opt = torch.optim.Adam([v], lr=0.1)
            for _ in range(8):
                m = v.sigmoid()
                L, _ = eq1(net, x[i : i + 1], m, got.target[i], show=lambda x, m: perturb(x, m[None]))
                opt.zero_grad()
                L.backward()
                opt.step()
            np.testing.assert_allclose(got.mask[i], v.detach().sigmoid(), atol=1e-4)


# --- where the clips come from, and with which others


def ways(x):
    loader = lambda bs: torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), bs)
    return dict(
        tensor=x,
        clips=(c for c in x),
        clips5=(c[None] for c in x),
        batches=(b for b in x.split(3)),
        list=list(x),
        uneven=[x[:1], x[1], x[2:6], x[6:]],
        loader=loader(2),
        loader5=loader(5),
        last=x.contiguous(memory_format=torch.channels_last_3d),
    )


@pytest.mark.parametrize('preset', ['paper', 'released-pytorch', 'released-tf', 'fast'])
def test_batches_do_not_matter(preset):
    net, x = tiny(), clips(7)
    kw = dict(preset=preset, iterations=12, lr=0.1, **PLAIN)
    want = learn_masks(net, x, **kw)
    if preset != 'released-tf':
        alone = [learn_masks(net, c[None], bs=1, **kw) for c in x]
        np.testing.assert_allclose(np.concatenate([a.mask for a in alone]), want.mask, rtol=0, atol=1e-4)
    for bs in 1, 2, 5, 100:
        for name, way in ways(x).items():
            if bs in (1, 100) and name not in ('tensor', 'clips'):
                continue
            got = learn_masks(net, way, bs=bs, **kw)
            np.testing.assert_allclose(got.mask, want.mask, rtol=0, atol=1e-4, err_msg=f'{name} {bs}')
            np.testing.assert_array_equal(got.start, want.start)
            np.testing.assert_array_equal(got.target, want.target)
            np.testing.assert_array_equal(got.evaluations, want.evaluations)
            for k in want.curve:
                np.testing.assert_allclose(got.curve[k], want.curve[k], atol=1e-4)


def test_targets():
    net, x = tiny(), clips(7)
    y = torch.tensor([0, 1, 2, 3, 0, 1, 2])
    kw = dict(iterations=3, lr=0.3, bs=3, **PLAIN)
    want = learn_masks(net, x, y, **kw)
    assert want.target.tolist() == y.tolist()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), 2)
    for way, t in (
        (loader, 'label'),
        (((c, int(l)) for c, l in zip(x, y)), 'label'),
        ([(x[:4], y[:4].numpy()), (x[4:], y[4:].tolist())], 'label'),
        ((c for c in x), y.tolist()),
        (x, tuple(y.tolist())),
        (x, y),
    ):
        got = learn_masks(net, way, t, **kw)
        assert np.array_equal(got.target, want.target)
        np.testing.assert_allclose(got.mask, want.mask, atol=1e-4)
    assert learn_masks(net, loader, **kw).target.tolist() == net(x).argmax(1).tolist()  # labels are left aside
    for t in 2, np.int64(2), torch.tensor(2):
        assert (learn_masks(net, x, t, **kw).target == 2).all()
    with pytest.raises(ValueError, match='with labels'):
        learn_masks(net, x, 'label')
    with pytest.raises(ValueError, match="target='true'"):
        learn_masks(net, x, 'true')
    for n in 6, 8:
        with pytest.raises(ValueError, match=f'{n} targets'):
            learn_masks(net, (c for c in x), [0] * n, **kw)
    with pytest.raises(ValueError, match='no clips'):
        learn_masks(net, iter([]))
    with pytest.raises(ValueError, match='clip 2 is .* those before'):
        learn_masks(net, [x[0], x[1], x[2, :, :5]])
    with pytest.raises(ValueError, match='tensor'):
        learn_masks(net, x.numpy())


def test_loaders_of_the_package():
    from interpvid.data.synthetic import synthetic_dls

    valid = synthetic_dls(1, 12, bs=5, workers=0, progress=False).valid
    assert len(valid) == 3  # batches
    got = learn_masks(tiny(16, 12), valid, 'label', start='random', iterations=1)
    assert got.target.tolist() == list(range(12))
    assert got.mask.shape == (12, 16)
    want = learn_masks(tiny(16, 12), torch.cat([x for x, _ in valid]), list(range(12)), start='random', iterations=1)
    np.testing.assert_allclose(got.mask, want.mask, atol=1e-4)


def test_sources_that_fail():
    "The network is put back, and the error is that of the source"

    def source():
        yield from clips(3)
        raise OSError('no such video')

    net = Tiny().train()
    before = state_of(net)
    with pytest.raises(OSError, match='no such video'):
        learn_masks(net, source(), bs=2, iterations=1)
    assert same(state_of(net), before)


def test_targets_as_an_array():
    y = np.array([0, 1, 2])
    assert np.array_equal(learn_masks(tiny(), clips(3), y, iterations=1).target, y)


def test_too_many_targets_for_a_tensor_are_refused_at_once():
    net = tiny()
    n = []
    net.register_forward_pre_hook(lambda m, i: n.append(len(i[0])))
    with pytest.raises(ValueError):
        learn_masks(net, clips(4), [0] * 5, bs=4, iterations=20)
    assert sum(n) < 20


def test_targets_are_those_of_the_search():
    net, x = tiny(), clips(2)
    assert (
        learn_masks(net, x, [1], iterations=1).target.tolist() == search_windows(net, x, [1]).target.tolist() == [1, 1]
    )


@pytest.mark.parametrize(
    'way,t',
    [(lambda x: x, [1.5, 0.5]), (lambda x: [(x, torch.tensor([1.5, 0.5]))], 'label')],
    ids=['targets', 'labels'],
)
def test_targets_that_are_no_whole_numbers(way, t):
    with pytest.raises(ValueError):
        learn_masks(tiny(), way(clips(2)), t, iterations=1)


@pytest.mark.parametrize('labels', [[1], 1, torch.eye(2, 4)], ids=['few', 'number', 'one-hot'])
def test_labels_that_do_not_fit(labels):
    with pytest.raises(ValueError, match='label'):
        learn_masks(tiny(), [(clips(2), labels)], 'label', iterations=1)


# --- starts


def test_start_given():
    net, x = tiny(), clips(4)
    s = (torch.rand(4, 8) < 0.5).float()
    kw = dict(lr=0, iterations=1, **PLAIN)
    for start in s, s.numpy(), s.bool(), s.long().tolist():
        got = learn_masks(net, x, start=start, **kw)
        assert np.array_equal(got.start, s)
        assert got.settings['start'] == 'given'
        np.testing.assert_allclose(got.mask, torch.sigmoid(5 * (2 * s - 1)), atol=1e-6)
    assert np.array_equal(learn_masks(net, (c for c in x), start=s, bs=3, **kw).start, s)
    for way in x, (c for c in x), list(x):
        assert np.array_equal(learn_masks(net, way, start=s[0], bs=3, **kw).start, s[:1].expand(4, 8))
    for bad, why in (
        (torch.full((8,), 0.5), '0 and 1'),
        (torch.zeros(7), 'does not fit'),
        (torch.zeros(3, 8), 'does not fit'),
        (torch.full((8,), torch.nan), '0 and 1'),
        ('middle', 'central'),
    ):
        with pytest.raises(ValueError, match=why):
            learn_masks(net, x, start=bad)


def test_one_start_for_all_clips_of_batches():
    assert np.array_equal(
        learn_masks(tiny(), list(clips(4).split(2)), start=np.ones(8), iterations=1).start, np.ones((4, 8))
    )


def test_fewer_starts_than_clips():
    with pytest.raises(ValueError, match='start'):
        learn_masks(tiny(), (c for c in clips(4)), start=np.ones((3, 8)), bs=2, iterations=1)


def test_start_of_a_clip_without_a_batch():
    with pytest.raises(ValueError, match='B,C,T,H,W'):
        learn_masks(tiny(), clips(1)[0], iterations=1, start=np.ones(8))
    assert learn_masks(tiny(), list(clips(1)), iterations=1, start=np.ones(8)).mask.shape == (
        1,
        8,
    )  # in a list it is one of several


def test_start_random():
    net, x = tiny(), clips(40)
    kw = dict(start='random', iterations=2, lr=0.1, **PLAIN)
    want = learn_masks(net, x, **kw)
    assert 0.22 < want.start.mean() < 0.38
    assert set(np.unique(want.start)) == {0, 1}
    assert want.settings['size'] == 2.5
    assert len({tuple(r) for r in want.start}) > 30  # of 256
    assert np.array_equal(learn_masks(net, x, **kw).start, want.start)
    assert not np.array_equal(learn_masks(net, x, seed=1, **kw).start, want.start)
    torch.manual_seed(5)
    for bs in 1, 7, 100:
        got = learn_masks(net, (c for c in x), bs=bs, **kw)
        assert np.array_equal(got.start, want.start)
        np.testing.assert_allclose(got.mask, want.mask, atol=1e-4)
    assert np.array_equal(learn_masks(net, x[:9], **kw).start, want.start[:9])
    big = learn_masks(tiny(16), clips(200, 16, 2), start='random', iterations=1)
    assert big.start.mean() == pytest.approx(0.3, abs=0.03)
    code = """from test_masks import *
print(learn_masks(tiny(), clips(40), start='random', iterations=1).start.astype(int).tolist())"""
    again = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=__file__.rsplit('/', 1)[0], check=True
    )
    assert json.loads(again.stdout.splitlines()[-1]) == want.start.tolist()  # in another process too


def test_start_window_is_that_of_the_search():
    net, x = tiny(), clips(6)
    for perturb in freeze, freeze_after:
        got = learn_masks(
            net, x, start='window', perturb=perturb, lr=0, iterations=1, bs=4, lam1=0.02, lam2=0.04, **PLAIN
        )
        assert np.array_equal(got.start, search_windows(net, x, perturb=perturb, lam1=0.02, lam2=0.04, **PLAIN).mask)
    coarse = learn_masks(tiny(16), x.repeat(1, 1, 2, 1, 1), start='coarse', lr=0, iterations=1, **PLAIN)
    assert np.array_equal(coarse.start, search_masks(tiny(16), x.repeat(1, 1, 2, 1, 1), windows(16, 2), **PLAIN).mask)


def test_central_windows():
    net, x = tiny(9), clips(6, 9)
    with torch.no_grad():
        pred = net(x).argmax(1)
    got, passes = central_window(net, x, pred, **PLAIN)
    for i in range(6):
        want = central_by_hand(net, x[i : i + 1], pred[i])
        assert torch.equal(got[i], want)
        assert passes[i] == 2 + (9 - want.sum()) // 2
    least, most = central_window(net, x, pred, share=-1e9, **PLAIN), central_window(net, x, pred, share=1e9, **PLAIN)
    assert (least[0].sum(1) == 3).all()
    assert (least[1] == 2 + 3).all()
    assert (most[0].sum(1) == 7).all()
    assert (most[1] == 2 + 1).all()
    assert (central_window(tiny(3), x[:, :, :3], pred, **PLAIN)[0] == 1).all()  # no centred window to try


# --- fast


@pytest.mark.parametrize('T', [2, 3, 8, 13, 16, 17, 32, 33])
def test_fast_is_fast_and_no_worse_than_the_coarse_windows(T):
    net, x = tiny(T), clips(4, T, 4)
    got = learn_masks(net, x, preset='fast', bs=3)
    assert (got.evaluations <= 180).all()
    assert (got.steps == 30).all()
    best = search_masks(net, x, windows(T, -(-T // 8)), **PLAIN)
    for i in range(4):
        with torch.no_grad():
            L = float(eq1(net, x[i : i + 1], torch.from_numpy(got.mask[i]), got.target[i])[0])
        assert got.loss['loss'][i] == pytest.approx(L, abs=2e-6)
    with torch.no_grad():
        start = [float(eq1(net, c[None], torch.from_numpy(s), t)[0]) for c, s, t in zip(x, got.start, got.target)]
    assert (got.loss['loss'] <= np.array(start) + 2e-6).all()  # in float32, whatever was searched in
    exact = learn_masks(net, x, preset='fast', **PLAIN)
    assert (exact.loss['loss'] <= best.loss['loss'] + 2e-6).all()


@pytest.mark.parametrize('T', [14, 15])
def test_fast_is_fast_for_14_and_15_frames(T):
    assert learn_masks(tiny(T), clips(1, T, 4), preset='fast').evaluations[0] <= 180


def test_evaluations_are_those_that_were_made():
    "Passes counted by a hook, one each for a way forwards; a step counts as three"
    net, n = tiny(), []
    net.register_forward_pre_hook(lambda m, i: n.append(len(i[0])))
    x = clips(3)
    check_model(net, x[:1])  # which is the first thing that is done
    first = sum(n)
    assert first <= 4
    for preset in MASK_PRESETS:
        n.clear()
        got = learn_masks(net, x, preset=preset, iterations=4)
        forwards = sum(n) - first
        n.clear()
        learn_masks(net, x, preset=preset, iterations=4, check=False)
        assert sum(n) == forwards
        assert forwards == (got.evaluations - 2 * got.steps).sum(), preset


# --- what is refused, what is said


def test_perturbations_by_name():
    "As `explain` takes them: 'reverse' is blended where a mask is learned, and hard where masks are tried"
    net, x = tiny(), clips(2)
    how = dict(preset='fast', iterations=3, **PLAIN)
    for name, f in {'blur': blur, 'reverse': partial(reverse, blend=True)}.items():
        a, b = (learn_masks(net, x, perturb=p, **how) for p in (name, f))
        np.testing.assert_array_equal(a.mask, b.mask)
        assert a.settings == b.settings
    a, b = (search_windows(net, x, perturb=p, **PLAIN) for p in ('reverse', reverse))
    np.testing.assert_array_equal(a.losses, b.losses)
    for call in learn_masks, search_windows:
        with pytest.raises(ValueError, match="no perturbation 'frost'; there are freeze, reverse"):
            call(net, x, perturb='frost')


@pytest.mark.parametrize('kw', [{}, dict(iterations=30), dict(preset='released-tf'), dict(start='random')], ids=str)
def test_a_mask_that_did_not_leave_its_start_is_said_to(kw):
    "The text's learning rate moves no mask; one that moves, or is chosen, has no such note"
    net, x = tiny(), clips(2)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        got = learn_masks(net, x, **kw, **PLAIN)
        moved = learn_masks(net, x, **{**kw, 'lr': 0.2}, **PLAIN)
        chosen = learn_masks(net, x, **kw, keep_best=True, **PLAIN)
    assert (got.binary == (got.start > 0.5)).all()
    assert all('the mask did not leave its start: no value of it moved by more than 0.05' in n for n in got.notes)
    assert not any('leave its start' in n for n in (*moved.notes, *chosen.notes))
    assert 'leave its start' in got._repr_html_()


def test_one_clip_is_one_clip():
    net, x = tiny(), clips(1)
    assert repr(learn_masks(net, x, iterations=1, **PLAIN)).startswith('MaskResult(1 clip, paper')
    with pytest.warns(UserWarning, match='no mask changed the score of the clip; its mask is meaningless'):
        learn_masks(net, x[:, :, :1].expand_as(x).contiguous(), iterations=1, check=False, **PLAIN)


def test_hard_reversal_has_no_gradient():
    for preset in MASK_PRESETS:
        with pytest.raises(ValueError, match='reverse have no gradient in the mask'):
            learn_masks(tiny(), clips(1), perturb=reverse, preset=preset)


class Deaf(nn.Module):
    "Its scores hang on its input in form alone"

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.3, -1.0, 0.5]))

    def forward(self, x):
        return self.w + 0 * x.mean((1, 2, 3, 4))[:, None]


class Constant(Deaf):
    "Has no way to its input at all"

    def forward(self, x):
        return self.w.expand(len(x), -1)


@pytest.mark.parametrize('net', [Deaf, Constant])
@pytest.mark.parametrize('preset', MASK_PRESETS)
def test_a_network_that_does_not_look(preset, net):
    "B2: its kind: the scores are the same whatever the clip: an error, before any step, for a search as well"
    net = net()
    n = passes_of(net)
    for call in learn_masks, search_windows:
        with pytest.raises(ValueError, match='do not depend on the clip'):
            call(net, clips(3), **(dict(preset=preset) if call is learn_masks else {}))
    assert sum(n) <= 24


@pytest.mark.parametrize('preset', MASK_PRESETS)
def test_clips_that_no_mask_changes(preset):
    "A clip that stands still: its mask means nothing, which is said once, whichever clips it comes with"
    net, x = tiny(), clips(3)
    x[0], x[2] = x[0, :, :1], x[2, :, :1]
    why = 'no mask changed the score of 2 of 3 clips; their masks are meaningless'
    with pytest.warns(UserWarning, match=why) as said:
        got = learn_masks(net, x, preset=preset, iterations=5, lr=0.1, half=False)
    assert len([w for w in said if 'no mask changed' in str(w.message)]) == 1
    assert got.insensitive.tolist() == [True, False, True]
    assert [bool(n) for n in got.notes][::2] == [True, True]
    assert np.isfinite(got.mask).all()
    assert np.isfinite(got.curve['loss']).all()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        learn_masks(net, x[1:2], preset='fast', iterations=2, half=False)


@pytest.mark.parametrize(
    'kw,why',
    [
        (dict(preset='slow'), 'paper, released-pytorch, released-tf, fast'),
        (dict(iterations=0), 'at least 1'),
        (dict(bs=0), 'whole number from 1'),
    ],
)
def test_settings_that_make_no_sense(kw, why):
    with pytest.raises(ValueError, match=why):
        learn_masks(tiny(), clips(1), **kw)


def test_settings_are_plain():
    for kw in (
        dict(),
        dict(preset='released-tf', iterations=1),
        dict(preset='fast', iterations=1),
        dict(start='random'),
        dict(start=np.zeros(8), lr=0.1, lam1=0.1, beta=2),
    ):
        s = learn_masks(tiny(), clips(1), **{**dict(iterations=1), **kw}).settings
        assert json.loads(json.dumps(s)) == s


def test_settings_are_plain_whatever_they_came_from():
    s = learn_masks(tiny(), clips(1), iterations=np.int64(1), lam1=np.float32(0.02)).settings
    assert json.loads(json.dumps(s)) == s
    assert s['iterations'] == 1
    assert s['lam1'] == pytest.approx(0.02)


# --- what is left behind


def state_of(net):
    return (
        [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in net.modules()],
        [(p.requires_grad, p.grad is None, p.detach().clone()) for p in net.parameters()],
        torch.random.get_rng_state(),
    )


def same(a, b):
    return (
        a[0] == b[0]
        and all(p[:2] == q[:2] and torch.equal(p[2], q[2]) for p, q in zip(a[1], b[1]))
        and torch.equal(a[2], b[2])
    )


class Stumbles(Tiny):
    "Fails at its `at`-th call"

    at, calls = 10**9, 0

    def forward(self, x):
        self.calls += 1
        if self.calls >= self.at:
            raise RuntimeError('stumbled')
        return super().forward(x)


@pytest.mark.parametrize(
    'call',
    [
        lambda net, x: search_windows(net, x),
        *(lambda net, x, p=p: learn_masks(net, x, preset=p, iterations=3) for p in MASK_PRESETS),
        lambda net, x: learn_masks(net, (c for c in x), start='random', iterations=3, bs=1),
    ],
    ids=['search', *MASK_PRESETS, 'random'],
)
def test_networks_are_put_back(call):
    x = clips(2)
    net = Stumbles().train()
    net.drop.eval()
    net.fc.bias.requires_grad_(False)
    net.conv.register_forward_hook(lambda *a: None)
    before = state_of(net)
    a = call(net, x)
    assert same(state_of(net), before)
    n = net.calls
    rest = Stumbles().eval()
    b = call(rest, x)
    assert np.array_equal(a.mask, b.mask)  # without its dropout
    for at in 1, 2, n // 2, n:
        net.calls, net.at = 0, at
        with pytest.raises((RuntimeError, ValueError), match='stumbled'):  # the first pass is a check, which says more
            call(net, x)
        assert same(state_of(net), before)
        assert torch.is_grad_enabled()


def test_clips_are_left_alone():
    net, x = tiny(), clips(3)
    before = x.clone()
    search_windows(net, x)
    learn_masks(net, x, iterations=3)
    learn_masks(net, x, preset='fast', iterations=3)
    assert torch.equal(x, before)
    y = x.clone().requires_grad_()
    learn_masks(net, y, iterations=2)
    assert y.grad is None


@pytest.mark.parametrize('mode', [torch.no_grad, torch.inference_mode])
def test_under_other_gradient_modes(mode):
    net, x = tiny(), clips(3)
    want = [learn_masks(net, x, preset=p, iterations=3, lr=0.1, **PLAIN).mask for p in MASK_PRESETS]
    found = search_windows(net, x, **PLAIN)
    with mode():
        for made in x, x + 0, (c + 0 for c in x):
            got = learn_masks(net, made, preset='paper', iterations=3, lr=0.1, **PLAIN)
            np.testing.assert_allclose(got.mask, want[0], atol=1e-5)
            assert not torch.is_grad_enabled()
        for p, w in zip(MASK_PRESETS, want):
            np.testing.assert_allclose(
                learn_masks(net, x + 0, preset=p, iterations=3, lr=0.1, **PLAIN).mask, w, atol=1e-5
            )
        assert np.array_equal(search_windows(net, x + 0, **PLAIN).mask, found.mask)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize('preset', ['paper', 'released-pytorch', 'fast'])
def test_learning_halves_where_memory_runs_out(preset, capsys):
    net, x = tiny(), clips(12)
    kw = dict(preset=preset, iterations=6, lr=0.1, **PLAIN)
    want = learn_masks(net, x, **kw)
    assert not lines(capsys)
    got = learn_masks(Limited(net, 6), x, bs=12 if preset != 'fast' else 3, **kw)
    if preset != 'fast':
        assert lines(capsys) == ['not enough memory for 12 clips at once; going on with 6']
    np.testing.assert_allclose(got.mask, want.mask, atol=1e-4)
    np.testing.assert_array_equal(got.evaluations, want.evaluations)

    class Later(Limited):  # memory runs out in the middle of the steps
        def forward(self, x):
            if not torch.is_grad_enabled():
                return self.net(x)
            return super().forward(x)

    got = learn_masks(Later(net, 6), x, bs=12, **kw)
    assert lines(capsys) == ['not enough memory for 12 clips at once; going on with 6']
    np.testing.assert_allclose(got.mask, want.mask, atol=1e-4)


@pytest.mark.parametrize('kw', [dict(preset='fast'), dict(start='window')], ids=str)
def test_starts_that_are_searched_halve_once(kw, capsys):
    learn_masks(Limited(tiny(), 4), (c for c in clips(12)), bs=4, iterations=2, **kw)
    assert len(lines(capsys)) == 1


# --- memory

PEAK = """
import sys, torch
from torch import nn
from interpvid.masks.learn import learn_masks
class Net(nn.Module):
    def __init__(self): super().__init__(); self.f = nn.Linear(48, 3)
    def forward(self, x): return self.f(x.mean((3,4)).flatten(1))
n,size,kw = int(sys.argv[1]),int(sys.argv[2]),eval(sys.argv[3])
g = torch.Generator().manual_seed(0); base = torch.randn(3,16,size,size, generator=g)
def source():
    for i in range(n): yield base*(1+i/1000)
m = learn_masks(Net(), source(), iterations=2, **kw)
assert m.mask.shape==(n,16)
# of this program alone; ru_maxrss would begin with what started it
hwm = [l for l in open('/proc/self/status') if l.startswith('VmHWM')]
print(int(hwm[0].split()[1])//1024)
"""


def peak(n, size, env={}, **kw):
    """MiB at most in use at once, in a process of its own.

    Blocks of 64 kB and more are given back to the system when they are freed: otherwise what the C library
    keeps for later counts too, and that differs by 10 % from run to run."""
    env = {'MALLOC_MMAP_THRESHOLD_': '65536', **env}
    return int(
        subprocess.run(
            [sys.executable, '-c', PEAK, str(n), str(size), repr(kw)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **env},
        ).stdout
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    'few,many,size,bs', [(32, 200, 250, 16), (160, 1000, 100, 80)], ids=['clips of 12 MB', 'clips of 2 MB']
)
def test_memory_does_not_grow_with_the_clips(few, many, size, bs):
    "Loading the libraries has a peak of its own, which a batch has to stand out from"
    kw = dict(bs=bs, start=[0] * 16, half=False)
    base, a, b = peak(1, 8, **kw), peak(few, size, **kw), peak(many, size, **kw)
    print(f'\npeak of one small clip {base} MiB, of {few} clips {a} MiB, of {many} clips {b} MiB')
    assert b <= 1.1 * a
    assert a > base + 100


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_clips_of_real_size():
    kw = dict(bs=8, start=[0] * 16, half=False)
    a, b = peak(16, 224, **kw), peak(1000, 224, **kw)
    print(f'\npeak of 16 clips {a} MiB, of 1000 clips {b} MiB')
    assert b <= 1.1 * a


# --- the oracle: all masks, by a way of its own


@pytest.fixture(scope='module')
def built_in():
    "Clips in which something happens: frames, event"
    c = make_clips(26, seed=3, workers=0, progress=False)
    has = c.event[:, 1:].any(1)
    return to_batch(c.frames[has]), c.event[has]


LAM1, LAM2 = 0.01, 0.02


def oracle_scores(x, event, masks, k=10.0, sharp=20.0):
    """Probability of 'yes' under masks (n,T): c_t = <x_i-x_j,e_t>/<e_t,e_t> by products of frames;
    i is the frame shown at t, j the one before"""
    f = x.double().flatten(1).numpy() if x.ndim == 2 else x.permute(1, 0, 2, 3).reshape(x.shape[1], -1).double().numpy()
    ts = np.flatnonzero(event)
    ts = ts[ts > 0]
    e = f[ts] - f[ts - 1]
    G = f @ e.T / np.square(e).sum(1)  # (T,n)
    shown = np.zeros(masks.shape, int)
    for t in range(1, masks.shape[1]):
        shown[:, t] = np.where(masks[:, t] > 0, shown[:, t - 1], t)
    c = G[shown[:, ts], np.arange(len(ts))] - G[shown[:, ts - 1], np.arange(len(ts))]
    w = np.exp(sharp * (c - c.max(1, keepdims=True)))
    s = k * ((w * c).sum(1) / w.sum(1) - 0.5)
    return 1 / (1 + np.exp(-s))


def oracle_losses(x, event, masks):
    return LAM1 * masks.sum(1) + LAM2 * np.abs(np.diff(masks, axis=1)).sum(1) + oracle_scores(x, event, masks)


@pytest.fixture(scope='module')
def enumerated(built_in):
    "For each clip the best mask of the 2^15 that leave frame 0 alone, its loss, and the best and its loss of all 2^16"
    masks = every_mask(16).astype(float)
    off = masks[:, 0] == 0
    out = []
    for x, e in zip(*built_in):
        L = oracle_losses(x, e, masks)
        i, j = np.where(off, L, np.inf).argmin(), L.argmin()
        out.append((masks[i] > 0, L[i], masks[j] > 0, L[j]))
    return out


def test_oracle_by_products_of_frames(built_in):
    x, e = built_in
    masks = np.concatenate([windows(16), (np.random.default_rng(0).random((30, 16)) < 0.4).astype(np.float32)])
    for c, ev in list(zip(x, e))[:6]:
        got = MaskScores(EventOracle(c[None], ev), masks, **PLAIN)(c[None], torch.tensor([1]))[0]
        np.testing.assert_allclose(got, oracle_scores(c, ev, masks), atol=4e-5)  # float32 sums over 12 288 values


def iou(a, b):
    return (a & b).sum() / max(1, (a | b).sum())


def test_the_best_of_all_masks_is_the_event(built_in, enumerated):
    """Unless the event ends one or two frames before the clip: a mask that ends there pays λ2 for its border,
    one that goes on to the last frame λ1 for each frame more; with λ2 = 2 λ1 one frame more is cheaper, two as dear.
    (Where frame 0 may be on as well, the same holds at the beginning.)"""
    x, events = built_in
    assert len(events) >= 20
    seen = {'mid': [], 'end': []}
    at_0 = []
    for e, (best, _, whole, _) in zip(events, enumerated):
        first, last = np.flatnonzero(e)[[0, -1]]
        tail = 15 - last
        seen['end' if tail in (1, 2) else 'mid'].append(iou(best, e))
        if tail == 1:
            assert best[-1]  # LAM1 < LAM2
        if tail > 2:
            assert not best[-1]  # 3*LAM1 > LAM2
        if first == 1:
            assert whole[0]
            at_0.append(iou(whole, e))
        if first > 2:
            assert not whole[0]
    print(
        f"\noverlap of the best mask with the event: {np.round(seen['mid'], 3).tolist()}; "
        f"where it ends one or two frames before the clip: {np.round(seen['end'], 3).tolist()}; "
        f"where it begins at frame 1 and frame 0 may be on: {np.round(at_0, 3).tolist()}"
    )
    assert min(seen['mid']) >= 0.9
    assert len(seen['mid']) >= 10


def test_oracle_says_yes_to_its_clip_and_no_to_one_that_stands_still(built_in):
    for c, e in zip(*built_in):
        o = EventOracle(c[None], e)
        p = o(torch.stack([c, c[:, :1].expand_as(c)])).softmax(1)[:, 1]
        torch.testing.assert_close(p, torch.sigmoid(torch.tensor([5.0, -5.0])), atol=1e-4, rtol=0)
        torch.testing.assert_close(
            o.seen(c[None]), torch.ones(1, int(e[1:].sum())), atol=5e-4, rtol=0
        )  # float32, one value after the other


@pytest.mark.parametrize(
    'event,shape,why',
    [
        (np.zeros(8), (1, 3, 8, 4, 4), 'nothing happens'),
        (np.eye(8)[0], (1, 3, 8, 4, 4), 'nothing happens'),
        (np.ones(7), (1, 3, 8, 4, 4), 'does not fit'),
        (np.ones(8), (2, 3, 8, 4, 4), 'one clip'),
        (np.ones(8), (3, 8, 4, 4), 'B,C,T,H,W'),
    ],
)
def test_what_no_oracle_is_made_of(event, shape, why):
    with pytest.raises(ValueError, match=why):
        EventOracle(torch.randn(shape), event)


def test_oracle_of_a_clip_with_a_frame_twice():
    x = clips(1)
    x[:, :, 4] = x[:, :, 3]
    assert torch.isfinite(EventOracle(x, [0, 0, 1, 1, 1, 1, 0, 0])(x)).all()


def test_windows_of_the_oracle(built_in):
    w = windows(16)
    for c, e in zip(*built_in):
        L = oracle_losses(c, e, w)
        f = search_windows(EventOracle(c[None], e), c[None], 1)
        assert f.loss['loss'][0] == pytest.approx(L.min(), abs=1e-5)
        assert oracle_losses(c, e, f.mask)[0] == pytest.approx(L.min(), abs=1e-5)


@pytest.mark.parametrize(
    'preset,most_soft,mean_cut,most_cut,least_overlap',
    [('fast', 0.01, 0.1, 0.5, 0.7), ('released-pytorch', 0.03, 0.1, 0.5, 0.5)],
)
def test_how_far_learned_masks_are_from_the_best_of_all(
    built_in, enumerated, preset, most_soft, mean_cut, most_cut, least_overlap
):
    """Measured on these clips, with some air. Soft masks (smooth borders, β = 3) can lie below the best of 0 and 1,
    so this is no distance from what soft masks could reach; cut at one half they can lie below no more"""
    soft, cut, overlap = [], [], []
    for c, e, (_, _, _, L) in zip(*built_in, enumerated):
        m = learn_masks(EventOracle(c[None], e), c[None], 1, preset=preset)
        soft.append(m.loss['loss'][0] - L)
        overlap.append(iou(m.binary[0], e))
        cut.append(oracle_losses(c, e, m.binary.astype(float))[0] - L)
    soft, cut, overlap = map(np.array, (soft, cut, overlap))
    print(
        f'\n{preset}: the best of 2^16 by {soft.mean():+.4f} on average, {soft.min():+.4f} to {soft.max():+.4f}; '
        f'cut at one half {cut.mean():+.4f}, {cut.min():+.4f} to {cut.max():+.4f}; '
        f'overlap with the event {overlap.mean():.3f}, at least {overlap.min():.3f}'
    )
    assert cut.min() > -1e-5
    assert soft.max() < most_soft
    assert cut.mean() < mean_cut
    assert cut.max() < most_cut
    assert overlap.min() > least_overlap


@pytest.mark.slow
def test_search_of_all_masks_of_a_clip(built_in, enumerated):
    "As by products of frames; with what the 2^15 clips share, and each by itself"
    (c, e), (_, _, _, L) = next(zip(*built_in)), enumerated[0]
    alone, shared = (search_masks(EventOracle(c[None], e), c[None], every_mask(16), 1, share=s) for s in (False, None))
    assert alone.loss['loss'][0] == pytest.approx(L, abs=1e-5)
    assert shared.loss['loss'][0] == pytest.approx(L, abs=1e-5)
    assert alone.evaluations[0] == 1 + 2**15 + 4 > 100 * shared.evaluations[0]


# --- nothing wrong and silent


class Cut(Tiny):
    "Scores that no gradient can reach: `how` cuts the way"

    how = 'bytes'

    def forward(self, x):
        if self.how == 'bytes':
            return super().forward((x * 40 + 128).clamp(0, 255).byte().float())
        if self.how == 'detached':
            return super().forward(x.detach())
        with torch.no_grad():
            return super().forward(x)


@pytest.mark.parametrize('preset', MASK_PRESETS)
@pytest.mark.parametrize('how', ['bytes', 'detached', 'no_grad'])
def test_b2_scores_that_do_not_depend_on_the_mask_are_an_error_before_the_work(how, preset):
    "B2: bytes inside, or a frozen backbone: an error before any start or step; a search needs no gradient"
    net = Cut().eval()
    net.how = how
    n = passes_of(net)
    with pytest.raises(ValueError, match='gradient'):
        learn_masks(net, clips(3), preset=preset, **PLAIN)
    assert sum(n) <= 12
    want = search_windows(tiny(), clips(3), **PLAIN)
    if how != 'bytes':
        np.testing.assert_allclose(search_windows(net, clips(3), **PLAIN).losses, want.losses, atol=1e-6)


def test_b2_a_hard_reversal_is_refused_before_the_start_is_searched():
    "B2: of its kind: the perturbation has no gradient"
    net = tiny()
    n = passes_of(net)
    with pytest.raises(ValueError, match='reverse have no gradient in the mask'):
        learn_masks(net, clips(1), perturb=reverse, start='window')
    assert not n
    with pytest.raises(ValueError, match='keeps the size'):
        learn_masks(net, clips(1), perturb=lambda x, m: freeze(x, m)[:, :, :4])


@pytest.mark.parametrize(
    'kw,why',
    [
        (dict(lr=float('nan')), 'learning rate.*got nan'),
        (dict(lr=-0.1), 'learning rate.*got -0.1'),
        (dict(lr=float('inf')), 'learning rate.*got inf'),
        (dict(lr='fast'), "learning rate.*got 'fast'"),
        (dict(iterations=2.5), 'whole numbers'),
        (dict(iterations=float('nan')), 'whole numbers'),
        (dict(iterations=-3), 'at least 1'),
        (dict(iterations='10'), 'whole numbers'),
        (dict(lam1=float('nan')), 'lam1'),
        (dict(lam1=-1), 'lam1'),
        (dict(lam2=float('inf')), 'lam2'),
        (dict(lam2='two'), 'lam2'),
        (dict(beta=float('nan')), 'beta'),
        (dict(beta=0.5), 'beta'),
        (dict(keep_best='soft'), 'keep_best'),
        (dict(candidates=np.full(8, 2)), r'\[0,1\]'),
        (dict(candidates=np.zeros(7)), 'do not fit'),
    ],
    ids=str,
)
def test_b22_settings_of_learning_that_are_no_numbers(kw, why):
    "B22: NaN, negative and infinite settings are errors, before any pass"
    net = tiny()
    n = passes_of(net)
    with pytest.raises(ValueError, match=why):
        learn_masks(net, clips(1), **kw)
    assert not n


@pytest.mark.parametrize(
    'kw,why',
    [
        (dict(lam1=float('nan')), 'lam1'),
        (dict(lam2=-0.1), 'lam2'),
        (dict(beta=float('nan')), 'beta'),
        (dict(recheck=1.5), 'recheck'),
        (dict(recheck=float('nan')), 'recheck'),
    ],
    ids=str,
)
def test_b22_settings_of_a_search_that_are_no_numbers(kw, why):
    "B22: the same for a search"
    with pytest.raises(ValueError, match=why):
        search_windows(tiny(), clips(1), **kw)


@pytest.mark.parametrize('labels', [[0.5, 1], [True, False], ['left', 'right'], [None, 1], [1 + 0j, 0]], ids=str)
def test_b22_labels_are_whole_numbers(labels):
    "B22: labels of floats, and whatever else is no class index"
    with pytest.raises(ValueError, match='labels of 2 clips have to be as many class indices'):
        learn_masks(tiny(), [(clips(2), labels)], 'label', iterations=1)
    with pytest.raises(ValueError, match='class index|does not name its classes; give an index'):
        learn_masks(tiny(), clips(2), labels, iterations=1)


class Known(nn.Module):
    "Says yes (0.9) unless a window covers every frame from `a` up to `b`; clips count up from frame to frame"

    def __init__(self, events):
        super().__init__()
        self.events, self.w = events, nn.Parameter(torch.ones(()))

    def forward(self, x):
        step = (x[:, 0, 1:] - x[:, 0, :-1]).mean((2, 3)) * self.w  # 1 where the clip goes on, else 0
        which = x[:, 1, 0].mean((1, 2)).round().long().tolist()  # the clip's number stands in its second channel
        events = [self.events[w] for w in which]
        seen = torch.stack([s[a - 1 : b - 1].clamp(0, 1).amax() for s, (a, b) in zip(step, events)])
        p = 0.05 + 0.85 * seen
        return torch.stack([(1 - p).log(), p.log()], 1)


def counting(T, numbers):
    x = torch.zeros(len(numbers), 2, T, 2, 2)
    x[:, 0] = torch.arange(T)[None, :, None, None]
    x[:, 1] = torch.tensor(numbers)[:, None, None, None]
    return x


def events_of(T, n, seed=0):
    "Windows (a,b) that are worth masking, none of them near frame 0 or the end"
    r = np.random.default_rng(seed)
    lengths = r.integers(2, 60, n)
    return {i: (int(a), int(a + l)) for i, l in enumerate(lengths) for a in [r.integers(4, T - l - 4)]}


def test_c5_from_coarse_to_fine_is_exact_where_the_optimum_is_known():
    "C5: 256 frames: the event itself, in a fraction of the passes that all windows would take"
    events = events_of(256, 6)
    x = counting(256, list(events))
    found = search_windows(Known(events), x, 1, **PLAIN)
    for i, (a, b) in events.items():
        assert np.flatnonzero(found.mask[i]).tolist() == list(range(a, b))
    assert found.losses.shape == (6, len(found.tried))
    assert np.isinf(found.losses).any()
    np.testing.assert_allclose(found.losses.min(1), found.loss['loss'])
    assert found.evaluations.max() < 256 * 257 / 2 / 20
    assert not found.failed.any()


def test_c5_equal_to_the_exact_search_where_that_is_feasible():
    "C5: 72 frames: the same windows and losses by trying all"
    events = {0: (10, 14), 1: (30, 55), 2: (61, 68)}
    x = counting(72, list(events))
    exact = search_windows(Known(events), x, 1, exact=True, **PLAIN)
    finely = search_windows(Known(events), x, 1, **PLAIN)
    assert len(exact.tried) == 72 * 73 / 2
    assert np.array_equal(exact.mask, finely.mask)
    for k in exact.loss:
        np.testing.assert_allclose(exact.loss[k], finely.loss[k], atol=1e-6)


def test_c5_exact_up_to_64_frames():
    "C5: nothing changes for clips of the paper's length"
    events = {0: (10, 14)}
    got = search_windows(Known(events), counting(64, [0]), 1, **PLAIN)
    assert len(got.tried) == 64 * 65 / 2
    assert len(search_windows(Known(events), counting(65, [0]), 1, **PLAIN).tried) < 700


def test_c5_pairs_from_coarse_to_fine():
    "C5: all pairs of 80 frames would be 1 663 740; two events far apart are found"

    class Both(Known):
        def forward(self, x):
            step = (x[:, 0, 1:] - x[:, 0, :-1]).mean((2, 3)) * self.w
            seen = torch.cat([step[:, 9:15], step[:, 49:60]], 1).clamp(0, 1).amax(1)  # into frames 10..15, 50..60
            p = 0.05 + 0.85 * seen
            return torch.stack([(1 - p).log(), p.log()], 1)

    found = search_windows(Both({}), counting(80, [0]), 1, pairs=True, **PLAIN)
    assert np.flatnonzero(found.mask[0]).tolist() == [*range(10, 16), *range(50, 61)]
    with pytest.raises(ValueError, match='1,663,740 pairs of windows, too many'):
        window_pairs(80)


@pytest.mark.parametrize('T', [2, 3, 17, 33, 65])
def test_c5_any_number_of_frames(T):
    "C5: from coarse to fine never ends worse than the coarse windows that it begins with, whatever the network"
    net, x = tiny(T), clips(2, T, 4)
    finely = search_windows(net, x, exact=False, **PLAIN)
    step = 2 ** max(0, (-(-T // 16) - 1).bit_length())
    coarse = search_masks(net, x, windows(T, step), **PLAIN)
    assert (finely.loss['loss'] <= coarse.loss['loss'] + 1e-6).all()
    if T <= 17:
        exact = search_windows(net, x, exact=True, **PLAIN)
        assert (finely.loss['loss'] >= exact.loss['loss'] - 1e-6).all()


class Contrary(nn.Module):
    "The stiller the clip, the surer: a mask can only raise the score"

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        still = -(x[:, :, 1:] - x[:, :, :-1]).abs().mean((1, 2, 3, 4)) * self.gain
        return torch.stack([torch.zeros_like(still), still + 1], 1)


def test_a_search_that_failed_is_said():
    "A mask under which the score is higher than before: `failed`, a sentence for each clip, one warning"
    net, x = Contrary(), clips(3)
    with pytest.warns(UserWarning, match=r'mask search failed for 3 of 3 clips \(index 0, 1, 2\)') as said:
        got = learn_masks(net, x, 1, preset='paper', iterations=2, **PLAIN)
    assert len([w for w in said if 'failed' in str(w.message)]) == 1
    assert got.failed.all()
    assert not got.insensitive.any()
    assert all('is above that of the clip as it is' in n and "preset='fast'" in n for n in got.notes)
    assert f'{got.loss["score"][1]:.3f}' in got.notes[1]
    assert 'is above that of the clip' in got._repr_html_()
    found = search_windows(net, x, 1, **PLAIN)  # which settles on frame 0, that no freezing changes
    assert not found.failed.any() and not found.insensitive.any()
    assert all('does not lower the score' in n for n in found.notes)
    assert all(n.endswith('or its price lam1=0.01 is too high') for n in found.notes)  # the mask is frame 0 alone
    found.mask[0] = 1
    assert found.notes[0].endswith('depends on')
    with pytest.warns(UserWarning, match='none of the masks that were tried'):
        assert search_masks(net, x, windows(8, 4), 1, **PLAIN).failed.all()
    still = search_windows(tiny(), x[:, :, :1].expand_as(x).contiguous(), **PLAIN)
    assert still.insensitive.all() and all('no mask changed' in n for n in still.notes)


def test_a_mask_far_above_the_best_window_is_said():
    "Known where windows were tried before learning; elsewhere by `distance`"
    net, x = EventOracle(clips(1), np.arange(8) // 3 == 1), clips(1)
    got = learn_masks(net, x, 1, start='window', iterations=1, lr=0, **PLAIN)
    assert not got.failed.any()
    assert [n.partition(':')[0] for n in got.notes] == ['the mask did not leave its start']
    with pytest.warns(UserWarning, match='far above that of the best window'):
        lost = learn_masks(net, x, 1, start='window', iterations=3, lr=9.0, lam1=0.2, **PLAIN)
    assert lost.failed.all()
    assert lost.loss['loss'][0] > lost.best_window[0] + 0.1
    assert learn_masks(net, x, 1, iterations=1, **PLAIN).best_window is None


@pytest.mark.parametrize('preset', ['paper', 'released-pytorch', 'fast'])
def test_learning_never_returns_a_worse_mask_than_one_that_is_given(preset):
    "B5: Painter's Learn: by the loss of the mask as it is shown, cut at one half"
    net, x = tiny(), clips(4)
    best = search_windows(net, x, **PLAIN)
    kw = dict(preset=preset, iterations=3, keep_best='binary', **PLAIN)
    got = learn_masks(net, x, candidates=best.mask, **kw)
    assert set(np.unique(got.mask)) <= {0, 1}
    assert (got.loss['loss'] <= best.loss['loss'] + 1e-6).all()
    with torch.no_grad():
        s = net(freeze(x, got.mask)).softmax(1)[range(4), got.target]
    np.testing.assert_allclose(got.loss['score'], s, atol=1e-6)
    for masks in best.mask[0], best.binary, torch.from_numpy(best.mask):
        assert learn_masks(net, x, candidates=masks, **kw).mask.shape == (4, 8)
    stream = learn_masks(net, (c for c in x), candidates=best.mask, bs=3, **kw)
    assert np.array_equal(stream.mask, got.mask)
    soft = learn_masks(net, x, candidates=0.3 * best.mask, preset=preset, iterations=3, **PLAIN)
    weak = torch.from_numpy(0.3 * best.mask)
    scores = [score_by_hand(net, x[i : i + 1], weak[i], t) for i, t in enumerate(best.target)]
    L = mask_loss(weak, torch.tensor(scores))['loss']
    assert (soft.loss['loss'] <= L.numpy() + 1e-6).all()
    assert soft.settings['keep_best'] is True
    worse = learn_masks(net, x, preset=preset, iterations=3, keep_best=False, **PLAIN)
    assert worse.settings['keep_best'] is False


class Counted:
    "Stands in for `Forecast`: what it was told"

    made = []

    def __init__(self, total, what):
        self.total, self.what, self.done = total, what, 0
        self.made.append(self)

    def __call__(self, n=1):
        self.done += n


def test_c5_how_long_it_takes_is_told_from_the_first_steps(monkeypatch):
    "C5: search and learning tell `Forecast` of each step; the steps add up to what was announced"
    monkeypatch.setattr('interpvid.masks.search.Forecast', Counted)
    monkeypatch.setattr('interpvid.masks.learn.Forecast', Counted)
    Counted.made.clear()
    search_windows(tiny(), clips(3), bs=7, **PLAIN)
    search_windows(stirred(CLSTM(3, 32, 8, **NARROW)), torch.randn(2, 3, 8, 32, 32), **PLAIN)
    learn_masks(tiny(), clips(3), iterations=4, bs=2, **PLAIN)
    assert [(c.done, c.total) for c in Counted.made] == [(n, n) for n in (3 * 29, 2 * 29, 12)]
    assert Counted.made[0].what == '3 clips under 36 masks'
    Counted.made.clear()
    events = events_of(256, 2)
    search_windows(Known(events), counting(256, [0, 1]), 1, **PLAIN)
    (c,) = Counted.made
    assert c.what == '2 clips of 256 frames, from coarse to fine'
    assert c.total / 2 < c.done < c.total * 2
