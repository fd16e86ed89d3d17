"Perturbations against the paper's words, the released programs' loops, the authors' own clips, and chance."

from functools import partial

import numpy as np, pytest, torch
from hypothesis import given as given_, settings, strategies as st

from interpvid.core import STATS
from interpvid.masks.perturb import (
    PERTURBATIONS,
    as_mask,
    black,
    blur,
    blur_space,
    freeze,
    freeze_after,
    given,
    mean_frame,
    perturb_name,
    perturbation,
    replace,
    reverse,
    reverse_index,
    shuffle,
    shuffle_index,
)

soft = lambda T: st.lists(st.floats(0, 1, width=32), min_size=T, max_size=T)
hard = st.integers(2, 32).flatmap(lambda T: st.lists(st.booleans(), min_size=T, max_size=T))
clip = lambda B, T: torch.randn(B, 3, T, 6, 5, generator=torch.Generator().manual_seed(T))


def by_the_paper(x, m):
    out = [x[:, :, 0]]
    for t in range(1, x.shape[2]):
        out.append((1 - m[:, t, None, None, None]) * x[:, :, t] + m[:, t, None, None, None] * out[-1])
    return torch.stack(out, 2)


@settings(deadline=None)
@given_(st.integers(1, 20).flatmap(lambda T: st.lists(soft(T), min_size=3, max_size=3)))
def test_freeze_is_the_loop_of_the_paper(ms):
    m = torch.tensor(ms)
    x = clip(3, m.shape[1])
    for v in x, x.contiguous(memory_format=torch.channels_last_3d):
        torch.testing.assert_close(freeze(v, m), by_the_paper(x, m), atol=1e-5, rtol=1e-5)


def test_freeze_is_differentiable():
    m = torch.rand(2, 6, dtype=torch.double, requires_grad=True)
    x = torch.randn(2, 1, 6, 3, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(freeze, (x, m))


def by_counting(on):
    "Frame numbers after each run has been turned round, with nothing but lists"
    order, t = [], 0
    while t < len(on):
        e = t
        while e < len(on) and on[e] == on[t]:
            e += 1
        order += list(range(t, e))[:: -1 if on[t] else 1]
        t = e
    return order


@settings(deadline=None)
@given_(hard)
def test_reverse_turns_each_run(on):
    m = torch.tensor([on]).float()
    x = clip(1, len(on))
    assert reverse_index(m)[0].tolist() == by_counting(on)
    torch.testing.assert_close(reverse(reverse(x, m), m), x)


def test_reverse_takes_one_mask_per_clip():
    x = clip(2, 8)
    m = torch.zeros(2, 8)
    m[0, 2:5] = 1
    m[1] = 0.1  # 0.1 is not above 0.1
    torch.testing.assert_close(reverse(x, m)[0, :, [2, 3, 4]], x[0, :, [4, 3, 2]])
    torch.testing.assert_close(reverse(x, m)[1], x[1])


@pytest.mark.parametrize(
    'mask,why',
    [(np.zeros(7), 'T=8'), (np.full(8, 1.2), r'\[0,1\]'), (np.full(8, np.nan), 'NaN'), (np.zeros((3, 8)), 'B=2')],
)
def test_bad_masks_are_refused(mask, why):
    for f in freeze, reverse:
        with pytest.raises(ValueError, match=why):
            f(clip(2, 8), mask)


def test_bytes_are_refused():
    for f in freeze, reverse:
        with pytest.raises(ValueError, match='floats'):
            f(clip(2, 8).byte(), np.zeros(8))


# --- all of them

blend = partial(reverse, blend=True)
ALL = dict(
    freeze=freeze,
    freeze_after=freeze_after,
    mean_frame=mean_frame,
    blur=blur,
    shuffle=shuffle,
    black=black,
    blur_space=blur_space,
    reverse=reverse,
    blend=blend,
)
SMOOTH = {n: f for n, f in ALL.items() if f is not reverse}
every = pytest.mark.parametrize('f', ALL.values(), ids=ALL)
smooth = pytest.mark.parametrize('f', SMOOTH.values(), ids=SMOOTH)
unit = lambda B, T: torch.rand(B, 3, T, 4, 5, generator=torch.Generator().manual_seed(T))
several = lambda row: st.integers(1, 17).flatmap(lambda T: st.lists(row(T), min_size=2, max_size=2))
bits = lambda T: st.lists(st.booleans(), min_size=T, max_size=T)
CL3D = torch.channels_last_3d


@settings(deadline=None, max_examples=30)
@given_(several(soft))
def test_freeze_keeps_the_range_and_the_loop_to_a_millionth(ms):
    m = torch.tensor(ms)
    x = unit(2, m.shape[1])
    for y in freeze(x, m), freeze(x.contiguous(memory_format=CL3D), m):
        assert (y - by_the_paper(x, m)).abs().max() <= 1e-6
        assert y.min() >= -1e-6
        assert y.max() <= 1 + 1e-6
    torch.testing.assert_close(freeze_after(x, m), by_the_paper(x.flip(2), m.flip(1)).flip(2), atol=1e-6, rtol=0)


@every
@pytest.mark.parametrize('T', [1, 2, 3, 7, 16])
def test_no_mask_changes_nothing(f, T):
    for x in unit(2, T), unit(2, T).contiguous(memory_format=CL3D):
        torch.testing.assert_close(f(x, torch.zeros(T)), x, atol=0, rtol=0)


@pytest.mark.parametrize('T', [1, 2, 3, 7, 16])
def test_full_masks(T):
    x = unit(2, T)
    one = torch.ones(T)
    assert torch.equal(freeze(x, one), x[:, :, :1].expand_as(x))
    assert torch.equal(freeze_after(x, one), x[:, :, -1:].expand_as(x))
    torch.testing.assert_close(mean_frame(x, one), x.mean(2, keepdim=True).expand_as(x))
    torch.testing.assert_close(reverse(x, one), x.flip(2))
    torch.testing.assert_close(blend(x, one), x.flip(2))
    torch.testing.assert_close(black(x, one), torch.full_like(x, -STATS[0] / STATS[1]))
    assert sorted(shuffle_index(one[None])[0].tolist()) == list(range(T))
    torch.testing.assert_close(blur(x, one, sigma=1e-3), x)  # so narrow that each frame sees itself alone
    torch.testing.assert_close(blur(x, one, sigma=1e4), x.mean(2, keepdim=True).expand_as(x), atol=1e-5, rtol=0)


def blend_by_loops(x, m, threshold=0.1):
    "The released programs' reversal of one clip (C,T,H,W), with nothing but lists"
    old = [x[:, t] for t in range(x.shape[1])]
    new = list(old)
    t = 0
    m = [float(v) for v in m]
    while t < len(m):
        run = []
        while t < len(m) and m[t] > threshold:
            run.append(t)
            t += 1
        for u in range(len(run) // 2):
            a, b = run[u], run[-(u + 1)]
            new[a] = (1 - m[a]) * old[a] + m[a] * old[b]
            new[b] = (1 - m[a]) * old[b] + m[a] * old[a]
        t += 1
    return torch.stack(new, 1)


def off_the_edge(m):
    return torch.where((m - 0.1).abs() < 1e-5, 0.2, m)  # whether .1 in float32 is above .1 is not the matter here


@settings(deadline=None, max_examples=60)
@given_(several(lambda T: st.lists(st.one_of(st.just(0.0), st.floats(0, 1, width=32)), min_size=T, max_size=T)))
def test_blend_is_the_loop_of_the_released_programs(ms):
    m = off_the_edge(torch.tensor(ms))
    x = unit(2, m.shape[1])
    want = torch.stack([blend_by_loops(c, r) for c, r in zip(x, m)])
    for v in x, x.contiguous(memory_format=CL3D):
        torch.testing.assert_close(blend(v, m), want, atol=1e-6, rtol=0)


@settings(deadline=None, max_examples=40)
@given_(several(bits))
def test_masks_of_0_and_1(ms):
    "Reversing: blended or not, and back again. What `index` says is what is seen. Masked frames alone are shuffled"
    m = torch.tensor(ms).float()
    T = m.shape[1]
    x = unit(2, T)
    torch.testing.assert_close(blend(x, m), reverse(x, m), atol=0, rtol=0)
    for f in reverse, blend:
        torch.testing.assert_close(f(f(x, m), m), x, atol=0, rtol=0)
    for f in freeze, freeze_after, reverse, shuffle:
        i = f.index(m)
        assert i.shape == (2, T)
        assert not i.is_floating_point()
        torch.testing.assert_close(f(x, m), torch.stack([c[:, r] for c, r in zip(x, i)]), atol=0, rtol=0)
    for seed in 0, 5:
        for r, i in zip(m.bool(), shuffle_index(m, seed=seed)):
            t = torch.arange(T)
            assert torch.equal(i[~r], t[~r])
            assert i.sort().values.equal(t)
    assert torch.equal(shuffle(x, m, seed=1), shuffle(x, m, seed=1))


def test_shuffle_has_orders_to_choose_from():
    "Another seed, another order; nearly all long runs move"
    one = torch.ones(1, 16)
    assert len({tuple(shuffle_index(one, seed=s)[0].tolist()) for s in range(20)}) == 20


def test_shuffle_changes_the_order_of_two_or_more():
    from interpvid.masks.search import windows

    w = torch.from_numpy(windows(16))
    w = w[w.sum(1) > 1]
    assert not (shuffle_index(w) == torch.arange(16)).all(1).any()


@smooth
@pytest.mark.parametrize('T', [1, 2, 5])
def test_gradients_are_right(f, T):
    m = (0.15 + 0.7 * torch.rand(2, T, dtype=torch.double)).requires_grad_()
    x = torch.randn(2, 1, T, 2, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(f, (x, m))
    part = m.detach() * (torch.arange(T) % 3 > 0)
    part.requires_grad_()  # with frames that are off
    y = f(x, part)
    assert torch.autograd.gradcheck(lambda v: f(v, part.detach()), x)
    assert y.grad_fn is not None


@every
@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_other_types(f, dtype):
    "As in float32, to what the type can hold; masks of any type"
    x = unit(2, 7)
    m = off_the_edge(torch.rand(2, 7, generator=torch.Generator().manual_seed(0)))
    m[:, 3] = 0
    m = m.to(dtype).float()
    tol = {torch.float64: 1e-6, torch.bfloat16: 0.06, torch.float16: 0.01}[dtype]  # black is at -3.25
    y = f(x.to(dtype), m)
    assert y.dtype == dtype
    assert y.shape == x.shape
    torch.testing.assert_close(y.float(), f(x, m), atol=tol, rtol=0)
    for other in m.to(dtype), m.numpy(), m.tolist(), m.double():
        torch.testing.assert_close(f(x, other), f(x, m), atol=0, rtol=0)
    on = m > 0.5
    for other in on, on.long(), on.numpy(), on.tolist():
        torch.testing.assert_close(f(x, other), f(x, on.float()), atol=0, rtol=0)


@smooth
def test_memory_formats_and_views(f):
    x = unit(2, 8)
    m = torch.linspace(0, 1, 8)
    want = f(x, m)
    assert want.is_contiguous()
    last = f(x.contiguous(memory_format=CL3D), m)
    assert last.is_contiguous(memory_format=CL3D)
    torch.testing.assert_close(last, want, atol=1e-6, rtol=0)
    for view in (
        unit(2, 16)[:, :, ::2],
        unit(2, 16).contiguous(memory_format=CL3D)[:, :, 1::2],
        x.flip(4).flip(4),
        x.transpose(3, 4).contiguous().transpose(3, 4),
        x[:1].expand(2, -1, -1, -1, -1),
    ):
        torch.testing.assert_close(f(view, m), f(view.contiguous(), m), atol=1e-6, rtol=0)


@every
def test_inputs_are_left_alone(f):
    x, m = unit(2, 6), torch.rand(2, 6)
    a, b = x.clone(), m.clone()
    y = f(x, m)
    y.mul_(0)
    assert torch.equal(x, a)
    assert torch.equal(m, b)


@every
def test_masks_that_do_not_fit(f):
    x = unit(2, 8)
    for m, why in (
        (torch.zeros(9), 'T=8'),
        (torch.zeros(3, 8), 'B=2'),
        (torch.full((8,), 1.01), r'\[0,1\]'),
        (torch.full((8,), -0.01), r'\[0,1\]'),
        (torch.full((8,), torch.nan), 'NaN'),
        (torch.zeros(1, 1, 8), 'does not fit'),
        (torch.tensor(0.0), 'does not fit'),
    ):
        with pytest.raises(ValueError, match=why):
            f(x, m)
    for bad in x[0], x.byte(), x.long():
        with pytest.raises(ValueError, match='floats'):
            f(bad, torch.zeros(8))


def test_the_threshold_does_not_depend_on_the_type_of_the_clip():
    x = unit(1, 8)
    m = torch.full((8,), 0.1)
    assert torch.equal(reverse(x, m), x)
    assert torch.equal(reverse(x.double(), m), x.double())


@pytest.mark.reference
def test_freeze_gives_the_authors_frozen_clips(reference):
    """Every clip of the paper's web site, both models. The last rows of the authors' frozen frames hold the row
    of dots: they stay out"""
    files = sorted((reference / 'site').glob('*.npz'))
    assert len(files) == 15
    tried = 0
    for f in files:
        with np.load(f) as z:
            z = dict(z)
        frames = z['frames']
        T, H = frames.shape[:2]
        x = torch.from_numpy(frames.transpose(3, 0, 1, 2)[None].astype(np.float32))
        for model in 'i3d', 'clstm':
            m = z[f'{model}_mask']
            m = m & (np.arange(T) > 0)  # frame 0 has none before it
            if not m.any():
                continue
            tried += 1
            keep = slice(0, H * 94 // 100)  # the row of dots takes the last 5 %
            theirs = z[f'{model}_frozen'][m][:, keep].astype(float)
            ours = freeze(x, m)[0].permute(1, 2, 3, 0).numpy()[m][:, keep]
            err, none = np.abs(ours - theirs).mean(), np.abs(frames[m][:, keep] - theirs).mean()
            assert err <= 7, (f.name, model, err)
            assert err < none / 2, (f.name, model, err, none)
    assert tried == 30


@pytest.mark.parametrize(
    'change,why',
    [
        (partial(black, stats=(0, 0)), 'standard deviation above 0'),
        (partial(black, stats=(0.5, float('nan'))), 'standard deviation above 0'),
        (partial(black, stats=0.5), 'mean, standard deviation'),
        (partial(blur, sigma=0), 'sigma=0'),
        (partial(blur, sigma=float('nan')), 'sigma=nan'),
        (partial(blur_space, sigma=-1), 'sigma=-1'),
        (partial(reverse, threshold=1), 'threshold=1'),
        (partial(reverse, threshold=float('nan')), 'threshold=nan'),
        (partial(shuffle, threshold=-0.1), 'threshold=-0.1'),
        (partial(freeze, mask=[0.5, float('nan'), 0, 0]), 'NaN'),
    ],
    ids=lambda v: v if isinstance(v, str) else v.func.__name__,
)
def test_b22_settings_of_perturbations_that_make_no_clip(change, why):
    "B22: stats=(0,0) and the like: an error, not a clip of NaN or one that is left as it is"
    kw = {} if 'mask' in change.keywords else dict(mask=[0.0, 1, 1, 0])
    with pytest.raises(ValueError, match=why):
        change(clip(1, 4), **kw)


# --- masks of space and time

noise = lambda x: torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(9)).to(x)
PIXELS = {**ALL, 'given': lambda x, m: given(noise(x))(x, m)}
pixels = pytest.mark.parametrize('f', PIXELS.values(), ids=PIXELS)


def space_masks(B, T, H, W, hard=False):
    m = torch.rand(B, T, H, W, generator=torch.Generator().manual_seed(7))
    return (m > 0.5).float() if hard else off_the_edge(m)


@pixels
@pytest.mark.parametrize('hard', [True, False], ids=['hard', 'soft'])
@pytest.mark.parametrize('layout', [torch.contiguous_format, CL3D], ids=['usual', 'channels last'])
def test_each_pixel_goes_its_own_way(f, hard, layout):
    """A mask of space does to each pixel what its own column of the mask does to the whole clip.

    `black`, `given` and `blur_space` show something else at each pixel, the others mix the pixel's own frames"""
    x = unit(2, 6).contiguous(memory_format=layout)
    m = space_masks(2, 6, 4, 5, hard)
    y = f(x, m)
    assert y.shape == x.shape
    assert y.is_contiguous(memory_format=layout)
    for i in range(4):
        for j in range(5):
            torch.testing.assert_close(y[..., i, j], f(x, m[:, :, i, j])[..., i, j], atol=1e-6, rtol=0)


@pixels
def test_masks_of_space_that_are_alike_everywhere(f):
    x, m = unit(2, 6), off_the_edge(torch.rand(6))
    same = f(x, m)
    for mask in (
        m[:, None, None].expand(6, 4, 5),
        m[None, :, None, None].expand(1, 6, 4, 5),
        m[:, None, None].expand(2, 6, 4, 5),
    ):
        torch.testing.assert_close(f(x, mask), same, atol=1e-6, rtol=0)
    torch.testing.assert_close(f(x, torch.zeros(6, 4, 5)), x, atol=0, rtol=0)


@pytest.mark.parametrize(
    'f', [g for n, g in PIXELS.items() if n != 'reverse'], ids=[n for n in PIXELS if n != 'reverse']
)
def test_gradients_reach_masks_of_space(f):
    m = (0.15 + 0.7 * torch.rand(1, 4, 2, 2, dtype=torch.double)).requires_grad_()
    x = torch.randn(1, 1, 4, 2, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(f, (x, m))


@pixels
@pytest.mark.parametrize('shape', [(6, 4, 4), (3, 6, 4, 5), (1, 1, 6, 4, 5), (6, 5, 4)], ids=str)
def test_masks_of_space_that_do_not_fit(f, shape):
    with pytest.raises(ValueError, match='does not fit'):
        f(unit(2, 6), torch.zeros(shape))


def test_a_perturbation_of_frames_alone_refuses_masks_of_space():
    x = unit(2, 6)
    with pytest.raises(ValueError, match=r'as_mask\(…, space=True\)'):
        as_mask(torch.zeros(6, 4, 5), x)
    assert as_mask(torch.zeros(6, 4, 5), x, space=True).shape == (2, 6, 4, 5)


def test_a_perturbation_of_ones_own():
    x, m = unit(2, 6), space_masks(2, 6, 4, 5, hard=True)
    y = replace(x, x.flip(3), m)
    on = m.bool()[:, None].expand_as(x)
    assert torch.equal(y[~on], x[~on])
    assert torch.equal(y[on], x.flip(3)[on])
    assert torch.equal(replace(x, x.flip(3), torch.ones(6)), x.flip(3))


def test_blur_in_space_is_not_blur_in_time():
    "A clip that rests has no time to blur; a clip without an image has no space"
    still, flat = unit(1, 1).expand(-1, -1, 6, -1, -1), torch.rand(1, 3, 6, 1, 1).expand(-1, -1, -1, 4, 5)
    one = torch.ones(6)
    torch.testing.assert_close(blur(still, one), still)
    torch.testing.assert_close(blur_space(flat, one), flat)
    assert (blur_space(still, one) - still).abs().max() > 0.01
    assert (blur(flat, one) - flat).abs().max() > 0.01
    x = unit(1, 3)
    torch.testing.assert_close(blur_space(x, torch.ones(3), sigma=1e-3), x)
    torch.testing.assert_close(
        blur_space(x, torch.ones(3), sigma=1e3), x.mean((3, 4), keepdim=True).expand_as(x), atol=1e-4, rtol=0
    )


def test_given_clips():
    x, other = unit(2, 4), unit(1, 4).flip(2)
    m = torch.tensor([0.0, 1, 0.25, 0])
    y = given(other[0])(x, m)
    torch.testing.assert_close(y[:, :, 1], other[:, :, 1].expand(2, -1, -1, -1))
    torch.testing.assert_close(y[:, :, 2], 0.75 * x[:, :, 2] + 0.25 * other[:, :, 2])
    torch.testing.assert_close(given(other[:, :, :1])(x, torch.ones(4)), other[:, :, :1].expand_as(x))  # one image
    with pytest.raises(ValueError, match='one clip'):
        given(x)
    with pytest.raises(ValueError, match='does not fit clips'):
        given(other[..., :3])(x, m)


@settings(deadline=None, max_examples=20)
@given_(several(soft))
def test_matrices_say_what_perturbations_do(ms):
    m = torch.tensor(ms)
    x = unit(2, m.shape[1])
    for f in freeze, freeze_after, mean_frame, blur:
        y = torch.einsum('btu,bcuhw->bcthw', f.matrix(m), x)
        torch.testing.assert_close(f(x, m), y, atol=1e-5, rtol=0)


@pytest.mark.parametrize('f', [freeze, freeze_after])
def test_the_fixed_frame_stays(f):
    x = unit(1, 6)
    for m in torch.eye(6), 1 - torch.eye(6):
        assert torch.equal(f(x.expand(6, -1, -1, -1, -1), m)[:, :, f.fixed], x[:, :, f.fixed].expand(6, -1, -1, -1))


def test_perturbations_by_name():
    for name, f in PERTURBATIONS.items():
        assert perturbation(name) is f
        assert perturb_name(f) == name
        assert f.__name__ == name
        assert f.__doc__.count('keeps') == 1  # what is left
    assert perturb_name(partial(blur, sigma=4)) == 'blur(sigma=4)'
    with pytest.raises(ValueError, match="no perturbation 'melt'"):
        perturbation('melt')
