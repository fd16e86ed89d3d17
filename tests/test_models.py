"Sizes, lengths and settings of the two networks; fast operations against PyTorch's own; what explaining leaves behind."

import copy, inspect, json, weakref
from contextlib import nullcontext

import numpy as np, pytest, torch, torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from interpvid.cam import gradcam
from interpvid.device import eval_frozen, fast, has_bf16, reference_ops
from interpvid.models.fast import conv
from interpvid.models.checkpoints import load_model, save_model
from interpvid.masks.learn import learn_masks
from interpvid.masks.search import search_windows
from interpvid.models.clstm import CLSTM, CLSTM_VARIANTS, ConvLSTM, norm_pool
from interpvid.models.i3d import ORIGINAL_T, PAPER_T, I3D, same_pad
from interpvid.models.layers import layer_table

SMALL = dict(width=0.0625)
nets = {'i3d': lambda: I3D(5, **SMALL), 'clstm': lambda: CLSTM(5, 64, hidden=(4, 4), stride=(2, 2), pool=(2, 2))}


@pytest.mark.parametrize('n', range(1, 30))
@pytest.mark.parametrize('k,s', [(7, 2), (3, 2), (2, 2), (3, 1), (1, 1)])
def test_same_padding_rounds_up(n, k, s):
    a, b = same_pad(n, k, s)
    assert 0 <= b - a <= 1
    assert (n + a + b - k) // s + 1 == -(-n // s)


@pytest.mark.parametrize('shape', [(16, 64, 64), (1, 32, 32), (7, 33, 61), (32, 120, 160)])
@pytest.mark.parametrize('strides', [PAPER_T, ORIGINAL_T])
def test_i3d_takes_any_size_and_length(shape, strides):
    assert I3D(5, strides, **SMALL).eval()(torch.randn(1, 3, *shape)).shape == (1, 5)


@pytest.mark.parametrize('make', nets.values(), ids=nets)
def test_clips_of_a_batch_do_not_meet(make):
    net = make().eval()
    x = torch.randn(3, 3, 16, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net(x), torch.cat([net(c[None]) for c in x]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('make', nets.values(), ids=nets)
def test_explaining_leaves_no_trace(make):
    net = make().train()
    x = torch.randn(2, 3, 16, 64, 64)
    state = torch.random.get_rng_state()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    gradcam(net, x)
    learn_masks(net, x, iterations=2)
    search_windows(net, x[:1])
    with pytest.raises(ValueError):
        gradcam(net, x, layer='nowhere')
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert net.training
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert not any(m._forward_hooks for m in net.modules())
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize('make', nets.values(), ids=nets)
def test_masks_of_a_batch_are_those_of_each_clip_alone(make):
    torch.manual_seed(0)
    net = make().eval()
    x = 3 * torch.randn(3, 3, 16, 64, 64)
    kw = dict(preset='released-pytorch', iterations=20, half=False)
    together = learn_masks(net, x, **kw)
    alone = np.concatenate([learn_masks(net, c[None], **kw).mask for c in x])
    assert together.loss['loss'].shape == (3,)
    assert together.curve['loss'].shape == (20, 3)
    np.testing.assert_allclose(together.mask, alone, atol=2e-3)


@pytest.mark.parametrize('make', nets.values(), ids=nets)
def test_checkpoints_come_back(make, tmp_path):
    net = make().eval()
    net.classes, net.stats, net.clip_shape = list('abcde'), (0.5, 0.2), (16, 64, 64)
    save_model(net, tmp_path / 'm.safetensors', seed=3)
    again = load_model(tmp_path / 'm.safetensors', 'cpu')
    x = torch.randn(1, 3, 16, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net(x), again(x), atol=1e-5, rtol=1e-4)
    assert again.classes == list('abcde')
    assert again.info == {'seed': 3}


@pytest.mark.parametrize('call', [gradcam, lambda net, x, t=None: learn_masks(net, x, t, iterations=1), search_windows])
def test_what_cannot_be_explained_is_refused(call):
    net = I3D(5, **SMALL).eval()
    x = torch.randn(2, 3, 4, 16, 16)
    for bad, t, why in (
        (x, 5, '0 to 4'),
        (x, -1, '0 to 4'),
        (x, [0, 1, 2], 'each of 2|3 targets'),
        (x[0, 0], None, 'B,C,T,H,W'),
        (x.numpy(), None, 'tensor'),
        (x.byte(), None, 'floats'),
        (x * float('nan'), None, 'finite'),
    ):
        with pytest.raises(ValueError, match=why):
            call(net, bad, t)


def test_masks_of_one_frame_and_unknown_starts_are_refused():
    net = I3D(5, **SMALL).eval()
    with pytest.raises(ValueError, match='one frame'):
        learn_masks(net, torch.randn(1, 3, 1, 16, 16))
    with pytest.raises(ValueError, match='random'):
        learn_masks(net, torch.randn(1, 3, 4, 16, 16), start='anywhere')


def test_a_file_that_is_no_checkpoint_says_so(tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / 'pickle.safetensors')
    with pytest.raises(ValueError, match='pickle.safetensors'):
        load_model(tmp_path / 'pickle.safetensors')
    with pytest.raises(FileNotFoundError, match='nothing.safetensors'):
        load_model(tmp_path / 'nothing.safetensors')


# --- fast operations: the same numbers sooner

NARROW = dict(hidden=(4, 4), stride=(2, 2), pool=(2, 2))
variants = {n: dict(kw, **NARROW) for n, kw in CLSTM_VARIANTS.items()} | dict(
    peepholes=dict(NARROW, peepholes=True),
    hard_peepholes=dict(NARROW, peepholes=True, gate='hard'),
    own_norms=dict(NARROW, shared_norm=False, order='pool-norm'),
    valid=dict(NARROW, padding='valid'),
    three=dict(hidden=(4, 4, 4), kernel=3),
    no_pool=dict(NARROW, pool=(1, 2)),
    one_stride=dict(NARROW, stride=(1, 2), norm=False),
)


class Third(nn.Module):
    "Drops every third value: the same ones, whatever their order in memory"

    def forward(self, x):
        return 1.5 * x * (torch.arange(x.numel(), device=x.device) % 3 > 0).view(x.shape) if self.training else x


def stirred(net, seed=0):
    "Weights and statistics that leave nothing at 0 or 1; scales of batch norms of either sign"
    g = torch.Generator().manual_seed(seed)
    for n, t in net.state_dict().items():
        if n.endswith('running_var'):
            t.copy_(0.05 + torch.rand(t.shape, generator=g))
        elif n.endswith(('running_mean', 'bias')):
            t.copy_(0.3 * torch.randn(t.shape, generator=g))
        elif t.ndim == 1:
            t.copy_(1 + torch.randn(t.shape, generator=g))
        elif n.endswith('wc'):
            t.copy_(torch.randn(t.shape, generator=g))
    for m in list(net.modules()):
        for k, c in m.named_children():
            if isinstance(c, nn.Dropout) and c.p:
                setattr(m, k, Third())
    return net


def all_of(net, x):
    "Scores, gradients of input and weights, and what batch norms remember; `net` as before"
    before = {n: t.clone() for n, t in net.state_dict().items()}
    x = x.detach().requires_grad_()
    y = net(x)
    ps = dict(net.named_parameters())
    gs = torch.autograd.grad(y.pow(2).sum() + y.sum(), [x, *ps.values()], allow_unused=True)
    out = dict(
        scores=y.detach(),
        input=gs[0],
        **{f'grad of {n}': g for n, g in zip(ps, gs[1:])},
        **{n: t.clone() for n, t in net.named_buffers()},
    )
    net.load_state_dict(before)
    return out


def near(a, b, rel=1e-4):
    "Dicts of tensors, each relative to its largest value"
    assert a.keys() == b.keys()
    for n, w in b.items():
        assert (a[n] is None) == (w is None), n
        if w is not None:
            w, v = w.double(), a[n].double()
            off = (v - w).abs().max() / w.abs().max().clamp(min=1e-12)
            assert v.shape == w.shape and off < rel, f'{n}: off by {off:.1e} of {w.abs().max():.1e}'


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize('train', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('size,T', [((64, 64), 3), ((63, 79), 2), ((70, 61), 1)], ids=str)
@pytest.mark.parametrize('name', variants)
def test_clstm_is_fast_and_the_same(name, size, T, train):
    if name == 'three':
        size = size[0] + 7, size[1] + 7
    net = stirred(CLSTM(3, size, T, **variants[name])).train(train)
    x = torch.randn(2, 3, T, *size)
    with reference_ops():
        want = all_of(net, x)
    near(all_of(net, x), want)
    assert want['input'].abs().max() > 1e-4
    assert T == 1 or all(g is not None and g.abs().max() > 0 for n, g in want.items() if n.startswith('grad'))


@pytest.mark.parametrize('frozen', ['input', 'wx', 'wh', 'norms'])
def test_clstm_is_fast_and_the_same_with_parts_that_need_no_gradient(frozen):
    net = stirred(CLSTM(3, 48, 3, **NARROW)).train()
    x = torch.randn(2, 3, 3, 48, 48, requires_grad=frozen != 'input')
    for n, p in net.named_parameters():
        p.requires_grad_(frozen not in n)
    free = [p for p in (x, *net.parameters()) if p.requires_grad]

    def grads():
        return dict(enumerate(torch.autograd.grad(net(x).pow(2).sum(), free)))

    with reference_ops():
        want = grads()
    near(grads(), want)


@pytest.mark.parametrize('train', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize(
    'shape,t', [((8, 32, 48), ORIGINAL_T), ((5, 33, 45), ORIGINAL_T), ((4, 31, 40), PAPER_T)], ids=str
)
def test_i3d_is_fast_and_the_same(shape, t, train):
    net = stirred(I3D(3, t, s_strides=(2, 2, 2, 1, 1), head_t=2, **SMALL)).train(train).double()
    x = torch.randn(2, 3, *shape).double()  # the ways through ReLU and max pool do not flip in float64
    with reference_ops():
        want = all_of(net, x)
    near(all_of(net, x), want, 1e-8)
    assert (want['input'] != 0).double().mean() > 0.9


@pytest.mark.parametrize('seed', range(24))
def test_conv_is_that_of_pytorch(seed):
    "Few channels or many, kernels wider or narrower than the stride, zeros or pixels that no kernel reaches"
    r = np.random.default_rng(seed)
    d = 2 + seed % 2
    ints = lambda a, b: [int(n) for n in r.integers(a, b, d)]
    k, s, p = ints(1, 6), ints(1, 5), ints(0, 4)
    n = [max(a - 2 * q, 1) + int(e) for a, q, e in zip(k, p, r.integers(0, 7, d))]
    if seed % 4 == 1:
        s = [2] * d
    c, o = int(r.integers(1, 7) if seed % 3 == 0 else r.integers(1, 5)), int(r.integers(1, 5))
    bias = seed % 3 != 1
    x, w, b = (torch.from_numpy(r.normal(size=q)).requires_grad_() for q in ((2, c, *n), (o, c, *k), (o,)))

    def out(f):
        y = f(x, w, b if bias else None, s, p)
        g = torch.from_numpy(np.random.default_rng(0).normal(size=y.shape))
        return dict(zip('yxwb', (y.detach(), *torch.autograd.grad(y, [x, w] + [b] * bias, g))))

    near(out(conv), out(F.conv2d if d == 2 else F.conv3d), 1e-12)


def test_conv_takes_numbers_for_all_axes_and_frozen_kernels():
    x, w = torch.randn(1, 3, 9, 8, requires_grad=True), torch.randn(2, 3, 3, 3)
    a, b = (torch.autograd.grad(f(x, w, None, 2, 1).pow(2).sum(), x)[0] for f in (conv, F.conv2d))
    torch.testing.assert_close(a, b)


def test_conv_is_fast_where_it_pays_and_not_within_reference_ops():
    "A fast gradient shows by refusing to be differentiated again"
    x, w = torch.randn(1, 3, 9, 8, requires_grad=True), torch.randn(2, 3, 3, 3)

    def twice(stride):
        return torch.autograd.grad(conv(x, w, None, stride, 1).pow(2).sum(), x, create_graph=True)[0]

    with pytest.raises(RuntimeError, match='reference_ops'):
        twice(2)
    assert twice(1).requires_grad  # without a stride PyTorch's own is quick
    with reference_ops():
        assert twice(2).requires_grad


# --- ConvLSTM's settings, each equation as it stands


def each_equation(l, x, gate, stride, padding):
    "One gate, one frame at a time (Shi et al. 2015, eq. 3)"
    (Wxi, Wxf, Wxo, Wxc), (Whi, Whf, Who, Whc), (bi, bf, bo, bc) = (
        l.wx.weight.chunk(4),
        l.wh.weight.chunk(4),
        l.wx.bias.chunk(4),
    )
    Wci, Wcf, Wco = (0,) * 3 if l.wc is None else l.wc
    into = lambda W, b: F.conv2d(xt, W, b, stride, padding)
    over = lambda W: F.conv2d(h, W, None, 1, [k // 2 for k in W.shape[2:]])
    h = c = torch.zeros_like(F.conv2d(x[:, :, 0], Wxi, None, stride, padding))
    out = []
    for xt in x.unbind(2):
        i = gate(into(Wxi, bi) + over(Whi) + Wci * c)
        f = gate(into(Wxf, bf) + over(Whf) + Wcf * c)
        c = f * c + i * torch.tanh(into(Wxc, bc) + over(Whc))
        o = gate(into(Wxo, bo) + over(Who) + Wco * c)
        h = o * torch.tanh(c)
        out.append(h)
    return torch.stack(out, 2)


def hard(v):
    return torch.clip(0.2 * v + 0.5, 0, 1)


@pytest.mark.parametrize('gate', ['sigmoid', 'hard'])
@pytest.mark.parametrize('peep', [False, True], ids=['', 'peepholes'])
@pytest.mark.parametrize(
    'padding,kernel,stride,cells',
    [('same', 5, 2, (6, 7)), ('valid', 5, 2, (4, 5)), ('valid', (3, 5), 1, (9, 9)), ('same', (1, 3), 3, (4, 5))],
)
def test_convlstm_equation_by_equation(gate, peep, padding, kernel, stride, cells):
    l = stirred(ConvLSTM(2, 3, kernel, stride, padding, cells if peep else None, gate))
    x = 2 * torch.randn(2, 2, 4, 11, 13)
    zeros = 0 if padding == 'valid' else [k // 2 for k in l.wx.kernel_size]
    with torch.no_grad():
        want = each_equation(l, x, hard if gate == 'hard' else torch.sigmoid, stride, zeros)
    assert l(x).shape == (2, 3, 4, *cells)
    torch.testing.assert_close(l(x), want, atol=1e-5, rtol=0)
    other = each_equation(l, x, torch.sigmoid if gate == 'hard' else hard, stride, zeros)
    assert (other - want).abs().max() > 1e-3
    if peep:
        l.wc.data.zero_()
        assert (l(x) - want).abs().max() > 1e-3


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_convlstm_takes_gradients_of_any_layout(dtype):
    "Of a sum (one number, expanded), of one frame alone, of states in another order"
    l = ConvLSTM(3, 4).to(dtype)
    x = torch.randn(2, 3, 4, 13, 16, dtype=dtype, requires_grad=True)
    for loss in (
        (lambda h: h.sum()),
        (lambda h: h[:, :, 2].pow(2).sum()),
        (lambda h: (h.transpose(1, 4).contiguous() ** 2).sum()),
    ):

        def grads():
            return dict(enumerate(torch.autograd.grad(loss(l(x)), [x, *l.parameters()])))

        with reference_ops():
            want = grads()
        near(grads(), want, 1e-5)


# --- norm and pool


@pytest.mark.parametrize('train', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('needs', [True, False], ids=['', 'input needs none'])
@pytest.mark.parametrize('levels', [None, 1, 3])
@pytest.mark.parametrize('H,W', [(6, 8), (7, 5), (2, 3)])
def test_norm_pool_with_ties_and_negative_scales(train, needs, levels, H, W):
    "The first of equals has the gradient, as in max_pool2d; what is left over has that of mean and variance"
    bn = nn.BatchNorm2d(4).train(train)
    x = torch.randn(3, 4, 2, H, W)
    if levels:
        x = (x * levels).round() / levels
    with torch.no_grad():
        bn.weight.copy_(torch.tensor([1.0, -0.5, 2, -3]))
        bn.bias.normal_()
        bn.running_mean.normal_()
        bn.running_var.uniform_(0.5, 2)
    x.requires_grad_(needs)
    before = {n: t.clone() for n, t in bn.state_dict().items()}

    def out():
        bn.load_state_dict(before)
        y = norm_pool(x, bn)
        gs = torch.autograd.grad((y + 1).pow(3).sum(), [x] * needs + list(bn.parameters()))
        return dict(enumerate([y.detach(), *gs]), **{n: t.clone() for n, t in bn.named_buffers()})

    with reference_ops():
        want = out()
    got = out()
    near(got, want)
    if needs and not train:
        assert torch.equal(got[1] != 0, want[1] != 0)


@pytest.mark.parametrize(
    'kw',
    [
        dict(pool=1),
        dict(pool=3),
        dict(pool_first=True),
        dict(bn=None),
        dict(bn=nn.BatchNorm2d(4, affine=False)),
        dict(bn=nn.BatchNorm2d(4, track_running_stats=False)),
        dict(bn=nn.BatchNorm2d(4, momentum=None)),
    ],
    ids=str,
)
def test_norm_pool_of_other_kinds(kw):
    kw = dict(bn=nn.BatchNorm2d(4)) | kw
    bn, pool = kw['bn'], kw.get('pool', 2)
    x = torch.randn(2, 4, 3, 6, 6)
    frames = x.transpose(1, 2).reshape(6, 4, 6, 6)
    f = (lambda v: v) if bn is None else copy.deepcopy(bn)
    p = lambda v: F.max_pool2d(v, pool)
    want = f(p(frames)) if kw.get('pool_first') else p(f(frames))
    torch.testing.assert_close(norm_pool(x, **kw), want.reshape(2, 3, 4, 6 // pool, 6 // pool).transpose(1, 2))


# --- bfloat16, no gradients, second derivatives


@pytest.mark.skipif(not has_bf16('cpu'), reason='bfloat16 is slow on this processor')
@pytest.mark.parametrize(
    'make,least',
    [
        (lambda: I3D(5, s_strides=(2, 2, 2, 1, 1), width=0.125), 0.9),
        (lambda: CLSTM(5, 64, 8, hidden=(8, 8), stride=(2, 2), pool=(2, 2)), 0.99),
        (lambda: CLSTM(5, 64, 8, **variants['released-tf']), 0.97),
        (lambda: CLSTM(5, 64, 8, **variants['peepholes']), 0.99),
    ],
)
def test_bfloat16_points_the_same_way(make, least):
    "As float32, and no further from it than PyTorch's own bfloat16 (in an untrained I3D 57 layers of rounding show)"
    net = make().eval()
    x = torch.randn(2, 3, 8, 64, 64, requires_grad=True)

    def grad():
        return torch.autograd.grad(net(x).float().log_softmax(1)[:, 0].sum(), x)[0].flatten()

    with reference_ops():
        want = grad()
        with torch.autocast('cpu', torch.bfloat16):
            theirs = grad()
    with fast('cpu'):
        got = grad()
        assert net(x).dtype == torch.bfloat16
    cos = lambda a, b: F.cosine_similarity(a, b, 0)
    assert got.dtype == torch.float32
    assert cos(got, want) > max(least, cos(theirs, want) - 0.005)
    assert cos(got, theirs) > 0.98


@pytest.mark.skipif(not has_bf16('cpu'), reason='bfloat16 is slow on this processor')
def test_layers_in_bfloat16():
    "A layer alone, where rounding has not added up"
    x, w, bn, lstm = 2 * torch.randn(2, 3, 4, 24, 24), torch.randn(8, 3, 3, 3, 3), nn.BatchNorm2d(3), ConvLSTM(3, 4)
    for f, leaves in (
        (lambda x: conv(x, w, None, 2, 1), []),
        (lambda x: norm_pool(x.bfloat16() if torch.is_autocast_enabled('cpu') else x, bn), list(bn.parameters())),
        (lstm, list(lstm.parameters())),
    ):
        v = x.clone().requires_grad_()
        grads = lambda: torch.autograd.grad(f(v).float().pow(2).sum(), [v, *leaves])
        with reference_ops():
            want = grads()
        with fast('cpu'):
            got = grads()
        for g, h in zip(got, want):
            assert g.dtype == h.dtype
            assert F.cosine_similarity(g.flatten(), h.flatten(), 0) > 0.99


@pytest.mark.parametrize('name', ['something', 'released-tf', 'peepholes'])
def test_without_gradients_nothing_is_kept(name):
    net = CLSTM(3, 48, 4, **variants[name]).eval()
    x = torch.randn(1, 3, 4, 48, 48, requires_grad=True)
    want = net(x)
    lstm = net.layers[0].lstm
    kept = []
    with torch.no_grad(), torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape), lambda t: t):
        y, h = net(x), lstm(x)
    assert y.grad_fn is None
    assert h.grad_fn is None
    assert not kept
    assert torch.equal(y, want)
    with eval_frozen(net):
        y = net(x.detach())
        assert y.grad_fn is None
        assert torch.equal(y, want)


class PeakMemory(TorchDispatchMode):
    "Most bytes alive at once, of memory that was taken inside"

    def __init__(self, *inputs):
        super().__init__()
        self.now = self.peak = 0
        self.alive = {x.untyped_storage().data_ptr() for x in inputs}

    def freed(self, at, n):
        self.alive.discard(at)
        self.now -= n

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(t, torch.Tensor):
                memory = t.untyped_storage()
                at, n = memory.data_ptr(), memory.nbytes()
                if at not in self.alive:
                    self.alive.add(at)
                    self.now += n
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(memory, self.freed, at, n)
        return out


def peak_of(lstm, T, needs_grad, no_grad=False):
    x = torch.randn(1, 3, T, 32, 32, requires_grad=needs_grad)
    with PeakMemory(x, *lstm.parameters()) as memory, torch.no_grad() if no_grad else nullcontext():
        lstm(x)
    return memory.peak


def test_memory_grows_with_the_clip_only_where_a_gradient_needs_it():
    "A frame adds itself and its state; with a gradient also four gates, the cell and its tanh"
    lstm = ConvLSTM(3, 4)
    frame, state = 3 * 32 * 32 * 4, 4 * 16 * 16 * 4

    def per_frame(**kw):
        return (peak_of(lstm, 40, **kw) - peak_of(lstm, 20, **kw)) / 20

    assert per_frame(needs_grad=True) >= frame + 7 * state
    assert per_frame(needs_grad=False) >= frame + 7 * state  # for the weights
    assert per_frame(needs_grad=True, no_grad=True) <= frame + 1.1 * state
    lstm.requires_grad_(False)
    assert per_frame(needs_grad=False) <= frame + 1.1 * state
    assert per_frame(needs_grad=True) >= frame + 7 * state


@pytest.mark.filterwarnings('ignore:Using backward')
@pytest.mark.parametrize('what', ['ConvLSTM', 'norm_pool', 'conv'])
def test_second_derivatives_need_reference_ops(what):
    lstm, bn, w = ConvLSTM(3, 2, 3).double(), nn.BatchNorm2d(3).double(), torch.randn(2, 3, 3, 3).double()
    x = torch.randn(1, 3, 3, 7, 8).double().requires_grad_()
    f = dict(ConvLSTM=lstm, norm_pool=lambda x: norm_pool(x, bn), conv=lambda x: conv(x[:, :, 0], w, None, 2, 1))[what]

    def twice():
        (g,) = torch.autograd.grad(f(x).pow(3).sum(), x, create_graph=True)
        return g.detach(), torch.autograd.grad(g.pow(2).sum(), x)[0]

    for again in (
        twice,
        lambda: f(x).sum().backward(create_graph=True),
        lambda: torch.autograd.grad((torch.autograd.grad(f(x).pow(3).sum(), x, create_graph=True)[0] * x).sum(), x),
    ):  # the last has a way to x that does not pass through here
        with pytest.raises(RuntimeError, match='reference_ops'):
            again()
    with reference_ops():
        g, gg = twice()
        assert gg.abs().max() > 0
        v = torch.randn_like(x).detach()
        e = 1e-5  # d|g|²/dx along v

        def at(x):
            x = x.detach().requires_grad_()
            return torch.autograd.grad(f(x).pow(3).sum(), x)[0].pow(2).sum()

        torch.testing.assert_close((gg * v).sum(), (at(x + e * v) - at(x - e * v)) / (2 * e), rtol=1e-4, atol=1e-6)


# --- counts, settings, errors


def test_layer_table_counts_by_hand():
    net = CLSTM(7, (32, 40), 5, in_channels=2, hidden=(4,), kernel=(3, 5), stride=(2,), pool=(2,))
    x = torch.randn(1, 2, 5, 32, 40)
    H, W, k = 16, 20, 15
    frames = [5 * H * W * k * 2 * 16, 4 * H * W * k * 4 * 16]  # all frames in; all but the first have a memory
    for way in nullcontext(), reference_ops():
        with way:
            t = layer_table(net, x, ['layers.0.lstm', 'layers.0', 'fc'])
        macs = t['multiply-adds (millions)']
        assert macs['layers.0.lstm'] == macs['layers.0'] == round(sum(frames) / 1e6, 1)
        assert macs['in all'] == round((sum(frames) + 4 * 5 * 8 * 10 * 7) / 1e6, 1)
        assert t.loc['layers.0.lstm', 'output'] == '4 × 5 × 16 × 20'
        assert t.loc['layers.0.lstm', 'parameters'] == k * 2 * 16 + k * 4 * 16 + 16
        assert t.loc['in all', 'parameters'] == sum(p.numel() for p in net.parameters())


def test_layer_table_leaves_no_hooks_behind():
    net = CLSTM(3, 32, 4, **NARROW).train()
    net.fc.requires_grad_(False)
    with pytest.raises(ValueError, match="no layer named 'layers.7'; there are layers"):
        layer_table(net, torch.randn(1, 3, 4, 32, 32), ['fc', 'layers.7'])
    with pytest.raises(ValueError, match='was made for'):
        layer_table(net, torch.randn(1, 3, 5, 32, 32))
    layer_table(net, torch.randn(1, 3, 4, 32, 32))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert net.training
    assert not net.fc.weight.requires_grad
    assert net.layers[0].lstm.wx.weight.requires_grad


@pytest.mark.parametrize(
    'net,n',
    [
        (I3D, 12_465_614),
        (CLSTM, 1_324_014),
        (lambda k: CLSTM(k, **CLSTM_VARIANTS['released-pytorch']), 1_324_014),
        (lambda k: I3D(k, head_t=2), 12_465_614),
    ],
)
def test_parameters_are_as_many_as_the_papers(net, n):
    assert sum(p.numel() for p in net(174).parameters()) == n


@pytest.mark.parametrize('name', variants)
def test_settings_make_the_same_network_again(name):
    a = CLSTM(3, (71, 86), 3, **variants[name])
    b = CLSTM(**json.loads(json.dumps(a.settings)))
    assert {n: t.shape for n, t in a.state_dict().items()} == {n: t.shape for n, t in b.state_dict().items()}
    assert a.settings == json.loads(json.dumps(b.settings)) | dict(kernel=a.settings['kernel'])
    assert repr(a) == repr(b)
    b.load_state_dict(a.state_dict())
    x = torch.randn(1, 3, 3, 71, 86)
    with torch.no_grad():
        assert torch.equal(a.eval()(x), b.eval()(x))
        assert set(a.settings) == set(inspect.signature(CLSTM).parameters)
    assert set(I3D(3, **SMALL).settings) == set(inspect.signature(I3D).parameters)


@pytest.mark.parametrize(
    'kw,says',
    [
        (dict(order='pool'), "order is one of norm-pool, pool-norm, not 'pool'"),
        (dict(drop='all'), "drop is one of between, state, input, not 'all'"),
        (dict(padding='full'), "'same' or 'valid', not 'full'"),
        (dict(gate='soft'), "'sigmoid' or 'hard', not 'soft'"),
        (dict(kernel=4), 'odd'),
        (dict(kernel=(3, 2)), 'odd'),
        (dict(stride=(2, 2)), 'one stride and one pool per layer'),
        (dict(hidden=(4, 8, 4)), 'shared_norm=False'),
        (dict(size=32), 'nothing is left'),
        (dict(size=8, padding='valid'), 'nothing is left'),
        (dict(size=8, padding='valid', peepholes=True), 'nothing is left'),
    ],
)
def test_settings_that_make_no_clstm(kw, says):
    with pytest.raises(ValueError, match=says):
        CLSTM(3, **dict(size=64, T=2, hidden=(4, 4, 4)) | kw)


@pytest.mark.parametrize('drop,p', [('between', 0.5), ('state', 0.5), ('input', 0.5)])
def test_dropout_is_where_it_is_said_to_be(drop, p):
    "In training alone; on the input the same places for all frames"
    net = CLSTM(3, 48, 4, dropout=p, drop=drop, **NARROW)
    x = torch.ones(2, 3, 4, 48, 48)
    seen = []
    net.layers[0].lstm.register_forward_pre_hook(lambda m, i: seen.append(i[0]))
    a, b = net.train()(x), net(x)
    assert not torch.equal(a, b)
    assert torch.equal(net.eval()(x), net(x))
    assert (drop == 'input') == bool((seen[0] == 0).any())
    assert torch.equal(seen[0], seen[0][:, :, :1].expand_as(x))
    assert torch.equal(seen[2], x)
    if drop == 'input':
        assert set(seen[0].unique().tolist()) == {0.0, 2.0}
        assert not torch.equal(seen[0], seen[1])


@pytest.mark.skipif(not has_bf16('cpu'), reason='without bfloat16 units')
@pytest.mark.parametrize('T,k', [(2, 3), (2, 7), (3, 7)])
def test_kernels_longer_than_the_clip_have_gradients(T, k):
    "oneDNN (torch 2.14) reads uninitialised memory there"
    torch.manual_seed(0)
    x, w = torch.randn(4, 16, T, 5, 5), torch.randn(8, 16, k, 3, 3, requires_grad=True)

    def grad(half):
        with fast('cpu', half):
            y = conv(x, w, None, 1, (k // 2, 1, 1))
        return torch.autograd.grad(y.float().pow(2).sum(), w)[0]

    want = grad(False)
    for _ in range(15):
        junk = [torch.full((n,), torch.nan) for n in (1_500_000, 10_000, 2000)]
        del junk
        assert (grad(True) - want).norm() < 0.03 * want.norm()


# --- frames by themselves: what searches and learned masks save work with


def mixing():
    yield 'I3D, paper', lambda: I3D(5, s_strides=(2, 2, 2, 2, 1), width=0.125), (16, 40, 36)
    yield 'I3D, published', lambda: I3D(5, ORIGINAL_T, (2, 2, 2, 2, 1), 0.125, head_t=2), (20, 32, 33)
    for n, v in CLSTM_VARIANTS.items():
        yield n, lambda v=v: CLSTM(5, (128, 132), 5, **{**v, 'dropout': 0}), (5, 128, 132)
    yield (
        'peepholes',
        lambda: CLSTM(5, (48, 40), 6, hidden=(8, 8), stride=(2, 2), pool=(2, 2), peepholes=True),
        (6, 48, 40),
    )


MIXING = list(mixing())


@pytest.mark.parametrize('name,make,size', MIXING, ids=[v[0] for v in MIXING])
def test_the_stem_of_a_mixture_is_the_mixture_of_stems(name, make, size):
    torch.manual_seed(1)
    net = make().eval()
    x = torch.randn(2, 3, *size)
    W = torch.rand(2, size[0], size[0]).softmax(2)
    for p in net.parameters():
        p.data += 0.02 * torch.randn_like(p)
    for to, tol in (torch.float32, 1e-4), (torch.float64, 1e-9):
        net, v = net.to(to), x.to(to)
        got = []
        by_frames = lambda W: net(torch.einsum('bts,bcshw->bcthw', W, v))
        by_stem = lambda W: net.forward_from_stem(net.stem(v), W)
        for f in by_frames, by_stem:
            w = W.to(to).requires_grad_()
            y = f(w)
            got.append((y.detach(), torch.autograd.grad((y * torch.arange(5.0)).sum(), w)[0]))
        for a, b in list(zip(*got))[: 1 if to == torch.float32 else 2]:
            torch.testing.assert_close(
                b, a, atol=tol * a.abs().max().item(), rtol=tol
            )  # an untrained network's gradients are float32's noise
    one = net.forward_from_stem(net.stem(v[:1]), W.to(to))  # many mixtures of one clip
    torch.testing.assert_close(one, net(torch.einsum('bts,cshw->bcthw', W.to(to), v[0])), atol=1e-9, rtol=1e-7)


class Other(I3D):
    "A forward of its own, the stem of its parent"

    def forward(self, x):
        return 3 * super().forward(x)


class Wrapped(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


MASKS = dict(target=0, preset='released-pytorch', iterations=3, start=[0, 0, 1, 1, 1, 1, 0, 0], half=False)


def test_a_forward_of_ones_own_is_the_one_explained():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 32, 32)
    net = I3D(5, s_strides=(2, 2, 2, 2, 1), width=0.125).eval()
    other = Other(**net.settings).eval()
    other.load_state_dict(net.state_dict())
    curves = [learn_masks(m, x, **MASKS).curve['loss'] for m in (net, other, Wrapped(net), Wrapped(other))]
    np.testing.assert_allclose(curves[0], curves[2], atol=1e-5)
    np.testing.assert_allclose(curves[1], curves[3], atol=1e-5)
    assert np.abs(curves[0] - curves[1]).max() > 1e-3
    with reference_ops():
        np.testing.assert_allclose(learn_masks(net, x, **MASKS).curve['loss'], curves[0], atol=1e-5)


def test_hooks_are_called_for_every_evaluation():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 32, 32)
    net = I3D(5, s_strides=(2, 2, 2, 2, 1), width=0.125).eval()
    want = learn_masks(net, x, **MASKS)
    seen = []
    first = net.features.Conv3d_1a_7x7
    hooks = [first.register_forward_hook(lambda *_: seen.append(1)), first.conv.register_forward_hook(lambda *_: None)]
    got = learn_masks(net, x, **MASKS)
    for h in hooks:
        h.remove()
    assert len(seen) >= 5
    np.testing.assert_allclose(got.mask, want.mask, atol=1e-4)
    np.testing.assert_allclose(got.curve['loss'], want.curve['loss'], atol=1e-5)
