"""Files of others: equal scores, nothing half-done, errors that help. Our own: damage is noticed.

The references are written anew, layer by layer, from the programs' layouts.
"""

import json, math, os, pickle, subprocess, sys, threading
from collections import OrderedDict

import numpy as np, pytest, torch, torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from interpvid.device import fast_layout
from interpvid.models.checkpoints import check_checkpoint, import_weights, load_model, pretrained_i3d, save_model
from interpvid.models.clstm import CLSTM, CLSTM_VARIANTS
from interpvid.models.i3d import I3D, ORIGINAL_T

W = 0.0625


def close(a, b):
    assert a.shape == b.shape and b.abs().mean() > 0.05, 'outputs should be of order 1'
    torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def randomise(net, seed=0):
    "Random weights and running statistics, such that no layer kills the signal"
    g = torch.Generator().manual_seed(seed)
    for n, t in net.state_dict().items():
        if n.endswith('num_batches_tracked'):
            t.fill_(7)
        elif n.endswith('running_var'):
            t.copy_(0.5 + torch.rand(t.shape, generator=g))
        elif t.ndim == 1:
            t.copy_((1.0 if 'weight' in n else 0.0) + 0.2 * torch.randn(t.shape, generator=g))
        else:
            t.copy_(torch.randn(t.shape, generator=g) * math.sqrt(2 / t[0].numel()))
    return net.eval()


def same(net):
    return {n: t.clone() for n, t in net.state_dict().items()}


def described(net):
    "With what a Learner hangs on a network"
    names = [*'abcde', *map(str, range(5, net.settings['n_classes']))]
    net.classes, net.stats, net.clip_shape = names, (0.65, 0.2), (16, 64, 64)
    return net


def unchanged(net, before):
    return all(torch.equal(t, before[n]) for n, t in net.state_dict().items())


# --- I3D, twice: one network, its layers named as in either program


def pad_same(x, kernel, stride):
    "Zeros as TensorFlow puts them: as many as make ceil(n/s) windows, the odd one at the end"
    amounts = []
    for n, k, s in zip(x.shape[2:], kernel, stride):
        rest = n % s or s
        total = max(k - rest, 0)
        amounts = [total // 2, total - total // 2] + amounts
    return F.pad(x, amounts)


class RefUnit(nn.Module):
    def __init__(self, norm_name, i, o, k=1, s=(1, 1, 1), head=False):
        super().__init__()
        self.k, self.s, self.head, self.norm_name = (k,) * 3, s, head, norm_name
        self.conv3d = nn.Conv3d(i, o, k, s, bias=head)
        if not head:
            setattr(self, norm_name, nn.BatchNorm3d(o, eps=0.001))

    def forward(self, x):
        x = self.conv3d(pad_same(x, self.k, self.s))
        return x if self.head else getattr(self, self.norm_name)(x).relu()


class RefPool(nn.Module):
    def __init__(self, k, s):
        super().__init__()
        self.k, self.s = k, s

    def forward(self, x):
        return F.max_pool3d(pad_same(x, self.k, self.s), self.k, self.s)


class RefMixed(nn.Module):
    def __init__(self, style, i, c0, c1, c2, c3, c4, c5):
        super().__init__()
        self.style = style
        if style == 'piergiaj':
            u = lambda *a: RefUnit('bn', *a)
            self.b0, self.b1a, self.b1b, self.b2a, self.b2b, self.b3b = (
                u(i, c0),
                u(i, c1),
                u(c1, c2, 3),
                u(i, c3),
                u(c3, c4, 3),
                u(i, c5),
            )
            self.b3a = RefPool((3, 3, 3), (1, 1, 1))
        else:
            u = lambda *a: RefUnit('batch3d', *a)
            self.branch_0 = u(i, c0)
            self.branch_1 = nn.Sequential(u(i, c1), u(c1, c2, 3))
            self.branch_2 = nn.Sequential(u(i, c3), u(c3, c4, 3))
            self.branch_3 = nn.Sequential(RefPool((3, 3, 3), (1, 1, 1)), u(i, c5))

    def forward(self, x):
        if self.style == 'piergiaj':
            ys = self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))
        else:
            ys = self.branch_0(x), self.branch_1(x), self.branch_2(x), self.branch_3(x)
        return torch.cat(ys, 1)


TABLE = {
    '3b': (64, 96, 128, 16, 32, 32),
    '3c': (128, 128, 192, 32, 96, 64),
    '4b': (192, 96, 208, 16, 48, 64),
    '4c': (160, 112, 224, 24, 64, 64),
    '4d': (128, 128, 256, 24, 64, 64),
    '4e': (112, 144, 288, 32, 64, 64),
    '4f': (256, 160, 320, 32, 128, 128),
    '5b': (256, 160, 320, 32, 128, 128),
    '5c': (384, 192, 384, 48, 128, 128),
}


class RefI3D(nn.Module):
    def __init__(self, style, K, width=W, t=(2, 1, 1, 2, 2), pool=(2, 7, 7), channels=3):
        super().__init__()
        self.pool = pool
        c = lambda n: max(4, round(n * width))
        low = style != 'piergiaj'
        norm = 'batch3d' if low else 'bn'
        name = lambda n: n[0].lower() + n[1:] if low else n
        steps = [
            ('Conv3d_1a_7x7', RefUnit(norm, channels, c(64), 7, (t[0], 2, 2))),
            ('MaxPool3d_2a_3x3', RefPool((1, 3, 3), (t[1], 2, 2))),
            ('Conv3d_2b_1x1', RefUnit(norm, c(64), c(64))),
            ('Conv3d_2c_3x3', RefUnit(norm, c(64), c(192), 3)),
            ('MaxPool3d_3a_3x3', RefPool((1, 3, 3), (t[2], 2, 2))),
        ]
        i = c(192)
        for k, o in TABLE.items():
            if k == '4b':
                steps.append(('MaxPool3d_4a_3x3', RefPool((3, 3, 3), (t[3], 2, 2))))
            if k == '5b':
                steps.append(('MaxPool3d_5a_2x2', RefPool((2, 2, 2), (t[4], 2, 2))))
            o = [c(n) for n in o]
            steps.append((f'Mixed_{k}', RefMixed(style, i, *o)))
            i = o[0] + o[2] + o[4] + o[5]
        self.order = [name(n) for n, _ in steps]
        for n, m in steps:
            self.add_module(name(n), m)
        self.head = 'conv3d_0c_1x1' if low else 'logits'
        self.add_module(self.head, RefUnit(norm, i, K, head=True))

    def forward(self, x):
        for n in self.order:
            x = getattr(self, n)(x)
        x = F.avg_pool3d(x, self.pool, 1) if self.pool else x.mean((3, 4), keepdim=True)
        return getattr(self, self.head)(x)[..., 0, 0].mean(2)


STYLES = 'piergiaj', 'hassony'


@pytest.mark.parametrize('style', STYLES)
def test_i3d_of_others_gives_the_same_scores(style, tmp_path):
    ref = randomise(RefI3D(style, 5))
    torch.save(ref.state_dict(), tmp_path / 'w.pt')
    net = I3D(5, ORIGINAL_T, width=W).eval()
    rep = import_weights(tmp_path / 'w.pt', net)
    x = torch.randn(1, 3, 16, 224, 224)
    with torch.no_grad():
        close(net(x), ref(x))
    assert style in rep.kind
    assert not rep.left_out
    assert not rep.kept
    assert set(rep.used) == set(ref.state_dict())
    assert net.features.Mixed_3b.b0.bn.num_batches_tracked == 7


@pytest.mark.parametrize('style', STYLES)
@pytest.mark.parametrize(
    'shape,t', [((16, 64, 64), (2, 1, 1, 2, 2)), ((13, 49, 67), (2, 1, 1, 2, 2)), ((9, 33, 45), (1, 1, 1, 1, 2))]
)
def test_i3d_of_others_at_odd_sizes(style, shape, t, tmp_path):
    ref = randomise(RefI3D(style, 5, t=t, pool=None), 1)
    torch.save(ref.state_dict(), tmp_path / 'w.pt')
    net = I3D(5, t, width=W).eval()
    import_weights(tmp_path / 'w.pt', net)
    x = torch.randn(2, 3, *shape)
    with torch.no_grad():
        close(net(x), ref(x))


@pytest.mark.parametrize('style', STYLES)
def test_i3d_of_others_at_full_width(style, tmp_path):
    ref = randomise(RefI3D(style, 400, 1.0, pool=(2, 2, 2)), 2)
    with torch.no_grad():
        getattr(ref, ref.head).conv3d.weight.mul_(0.1)  # or the scores are of order 10
    torch.save(ref.state_dict(), tmp_path / 'w.pt')
    net = pretrained_i3d(tmp_path / 'w.pt', 400).eval()
    x = torch.randn(1, 3, 16, 64, 64)
    with torch.no_grad():
        close(net(x), ref(x))
    assert net.stats == (0.5, 0.5)
    assert net.settings['t_strides'] == list(ORIGINAL_T)
    assert not net.imported.notes


@pytest.mark.parametrize('style,frames', [('piergiaj', 40), ('hassony', 25)])
def test_the_published_head_on_longer_clips(style, frames, tmp_path):
    "Its average slides over more than two activations in time; `head_t=1` differs there, and the report says so"
    ref = randomise(RefI3D(style, 5))
    torch.save(ref.state_dict(), tmp_path / 'w.pt')
    net = pretrained_i3d(tmp_path / 'w.pt', 5, width=W).eval()
    other = I3D(5, ORIGINAL_T, width=W).eval()
    rep = import_weights(tmp_path / 'w.pt', other)
    x = torch.randn(1, 3, frames, 64, 64)
    ref.pool = (2, 2, 2)  # 64 pixels leave 2×2 places
    with torch.no_grad():
        close(net(x), ref(x))
        assert (other(x) - ref(x)).abs().max() > 1e-3
    assert len(rep.notes) == 1
    assert 'head_t' in repr(rep)
    assert 'head_t' in rep._repr_markdown_()
    assert not net.imported.notes
    assert (
        pretrained_i3d(tmp_path / 'w.pt', 5, width=W, head_t=1, t_strides=(1, 1, 1, 1, 2)).settings
        == I3D(5, width=W).settings
    )


def test_a_flow_network_says_how_many_channels_it_takes(tmp_path):
    torch.save(RefI3D('hassony', 5, channels=2).state_dict(), tmp_path / 'flow.pth')
    with pytest.raises(ValueError, match=r'in_channels 2 \(here: 3\)'):
        import_weights(tmp_path / 'flow.pth', I3D(5, width=W))
    import_weights(tmp_path / 'flow.pth', I3D(5, width=W, in_channels=2))


# --- C-LSTM of the released PyTorch program, one cell and one step at a time


class RefCell(nn.Module):
    def __init__(self, i, n, k, stride):
        super().__init__()
        for g in 'ifco':
            setattr(self, f'Wx{g}', nn.Conv2d(i, n, k, stride, k // 2))
            setattr(self, f'Wh{g}', nn.Conv2d(n, n, k, 1, k // 2, bias=False))

    def forward(self, x, h, c):
        peep = torch.zeros_like(c[:1])  # made and never trained
        i = torch.sigmoid(self.Wxi(x) + self.Whi(h) + c * peep)
        f = torch.sigmoid(self.Wxf(x) + self.Whf(h) + c * peep)
        c = f * c + i * torch.tanh(self.Wxc(x) + self.Whc(h))
        o = torch.sigmoid(self.Wxo(x) + self.Who(h) + c * peep)
        return o * torch.tanh(c), c


class RefStack(nn.Module):
    def __init__(self, n, layers, k, stride, norm=True):
        super().__init__()
        self.n, self.L, self.stride, self.norm = n, layers, stride, norm
        for j in range(layers):
            setattr(self, f'cell{j}', RefCell(n if j else 3, n, k, stride))
        self.bn = nn.BatchNorm2d(n)

    def forward(self, x):
        memory, out = {}, []
        for t in range(x.shape[2]):
            y = x[:, :, t]
            for j in range(self.L):
                B, _, H, W_ = y.shape
                zero = torch.zeros(B, self.n, H // self.stride, W_ // self.stride)
                h, c = memory.get(j, (zero, zero))
                h, c = getattr(self, f'cell{j}')(y, h, c)
                memory[j] = h, c
                y = F.max_pool2d(self.bn(h) if self.norm else h, 2)
            out.append(y)
        return out


class RefCLSTM(nn.Module):
    def __init__(self, K=5, n=4, layers=2, k=5, stride=2, size=(64, 32), T=3, last=False, prefix='clstm', norm=True):
        super().__init__()
        self.prefix, self.last = prefix, last
        self.add_module(prefix, RefStack(n, layers, k, stride, norm))
        f = (2 * stride) ** layers
        self.endFC = nn.Linear(n * (size[0] // f) * (size[1] // f) * (1 if last else T), K)

    def forward(self, x):
        out = getattr(self, self.prefix)(x)
        return self.endFC((out[-1] if self.last else torch.stack(out)).view(-1, self.endFC.in_features))


def ours(last=False, K=5, n=4, layers=2, k=5, size=(64, 32), T=3, stride=2, **kw):
    return CLSTM(
        K, size, T, hidden=(n,) * layers, kernel=k, stride=(stride,) * layers, pool=(2,) * layers, last_only=last, **kw
    ).eval()


@pytest.mark.parametrize('prefix', ['clstm', 'firstCLSTMLayer'])
@pytest.mark.parametrize('last', [False, True])
def test_clstm_of_the_released_pytorch_program(prefix, last, tmp_path):
    ref = randomise(RefCLSTM(prefix=prefix, last=last))
    torch.save(ref.state_dict(), tmp_path / 'w.pt')
    net = ours(last)
    rep = import_weights(tmp_path / 'w.pt', net)
    x = torch.randn(1, 3, 3, 64, 32)
    with torch.no_grad():
        close(net(x), ref(x))
    assert 'PyTorch' in rep.kind
    assert set(rep.used) == set(ref.state_dict())
    assert not rep.kept


def test_clstm_of_the_paper_at_its_own_size(tmp_path):
    ref = randomise(RefCLSTM(12, 32, 3, size=(128, 128), T=4))
    torch.save(ref.state_dict(), tmp_path / 'w.pt')
    net = ours(K=12, n=32, layers=3, size=128, T=4)
    import_weights(tmp_path / 'w.pt', net)
    x = torch.randn(1, 3, 4, 128, 128)
    with torch.no_grad():
        close(net(x), ref(x))


def test_one_shared_norm_fills_a_norm_for_each_layer(tmp_path):
    ref = randomise(RefCLSTM())
    torch.save(ref.state_dict(), tmp_path / 'w.pt')
    net = ours(shared_norm=False)
    import_weights(tmp_path / 'w.pt', net)
    x = torch.randn(1, 3, 3, 64, 32)
    with torch.no_grad():
        close(net(x), ref(x))


@pytest.mark.parametrize('a,b', ['if', 'io', 'ic', 'fo', 'fc', 'oc'])
def test_gates_that_are_swapped_are_noticed(a, b, tmp_path):
    "The equality above would not hold in another order of gates"
    ref = randomise(RefCLSTM())
    state = ref.state_dict()
    swap = {f'W{s}{p}': f'W{s}{q}' for s in 'xh' for p, q in ((a, b), (b, a))}
    torch.save({'.'.join(swap.get(p, p) for p in n.split('.')): t for n, t in state.items()}, tmp_path / 'w.pt')
    net = ours()
    import_weights(tmp_path / 'w.pt', net)
    x = torch.randn(1, 3, 3, 64, 32)
    with torch.no_grad():
        assert (net(x) - ref(x)).abs().max() > 1e-2


# --- C-LSTM of the released TensorFlow program: channels last, all gates in one kernel


def tf_conv(x, kernel, stride=1, valid=False):
    "(B,H,W,C) by (kh,kw,C,O), padding 'same' or none"
    if valid:
        return F.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), stride=stride).permute(0, 2, 3, 1)
    pads = []
    for n, k in zip(x.shape[1:3], kernel.shape[:2]):
        total = max((math.ceil(n / stride) - 1) * stride + k - n, 0)
        pads = [total // 2, total - total // 2] + pads
    return F.conv2d(F.pad(x.permute(0, 3, 1, 2), pads), kernel.permute(3, 2, 0, 1), stride=stride).permute(0, 2, 3, 1)


def tf_layer(x, kernel, recurrent, bias, stride, gate=torch.sigmoid, valid=False):
    n = recurrent.shape[2]
    out = []
    h = c = None
    for t in range(x.shape[1]):
        z = tf_conv(x[:, t], kernel, stride, valid) + bias
        if h is None:
            h = c = torch.zeros(*z.shape[:3], n)
        z = z + tf_conv(h, recurrent)
        zi, zf, zc, zo = (z[..., k * n : (k + 1) * n] for k in range(4))
        c = gate(zf) * c + gate(zi) * torch.tanh(zc)
        h = gate(zo) * torch.tanh(c)
        out.append(h)
    return torch.stack(out, 1)


def tf_pool(x):  # (B,T,H,W,F), 2x2, 'valid'
    B, T, H, W_, C = x.shape
    return x[:, :, : H // 2 * 2, : W_ // 2 * 2].reshape(B, T, H // 2, 2, W_ // 2, 2, C).amax((3, 5))


def tf_vars(K=5, n=4, layers=2, k=(5, 5), cells=None, norms=0, seed=0, first=0):
    r = np.random.default_rng(seed)
    v = {}
    for j in range(layers):
        at = f'block{j + 1}/conv_lst_m2d' + (f'_{j + first}' if j + first else '')
        i = n if j else 3
        v[f'{at}/kernel'] = r.normal(size=(*k, i, 4 * n)) / math.sqrt(k[0] * k[1] * i)
        v[f'{at}/recurrent_kernel'] = r.normal(size=(*k, n, 4 * n)) / math.sqrt(k[0] * k[1] * n)
        v[f'{at}/bias'] = 0.3 * r.normal(size=4 * n)
    for j in range(norms):
        at = 'batch_normalization' + (f'_{j}' if j else '')
        for p, a in dict(
            gamma=0.5 + r.random(n),
            beta=r.normal(size=n),
            moving_mean=0.1 * r.normal(size=n),
            moving_variance=0.05 + 0.1 * r.random(n),
        ).items():
            v[f'{at}/{p}'] = a
    v['dense/kernel'] = 2 * r.normal(size=(cells * n, K)) / math.sqrt(cells * n)
    v['dense/bias'] = r.normal(size=K)
    return {n: a.astype(np.float32) for n, a in v.items()}


def tf_forward(v, x, stride, last=False, gate=torch.sigmoid, pool_first=True, valid=False):
    v = {n: torch.from_numpy(a) for n, a in v.items()}
    x = x.permute(0, 2, 3, 4, 1)
    for j, at in enumerate(sorted(n[: -len('/recurrent_kernel')] for n in v if n.endswith('/recurrent_kernel'))):
        x = tf_layer(x, v[f'{at}/kernel'], v[f'{at}/recurrent_kernel'], v[f'{at}/bias'], stride, gate, valid)
        if pool_first:
            x = tf_pool(x)
        bn = 'batch_normalization' + (f'_{j}' if j else '')
        if f'{bn}/gamma' in v:
            x = (x - v[f'{bn}/moving_mean']) / torch.sqrt(v[f'{bn}/moving_variance'] + 0.001) * v[f'{bn}/gamma'] + v[
                f'{bn}/beta'
            ]
        if not pool_first:
            x = tf_pool(x)
    return (x[:, -1] if last else x).flatten(1) @ v['dense/kernel'] + v['dense/bias']


SLOTS = {
    'block1/conv_lst_m2d/kernel/Momentum': np.ones((5, 5, 3, 16), np.float32),
    'dense/bias/Adadelta_1': np.ones(5, np.float32),
    'global_step': np.array(9000),
    'beta1_power': np.float32(0.9),
}


@pytest.mark.parametrize('last', [False, True])
@pytest.mark.parametrize('size,stride,cells', [((35, 51), 2, 2 * 3), ((17, 23), 1, 4 * 5), ((16, 24), 1, 4 * 6)])
@pytest.mark.parametrize('k', [(5, 5), (3, 5)])
def test_clstm_of_the_released_tensorflow_program(last, size, stride, cells, k, tmp_path):
    "Odd sizes under stride 2, any size under stride 1: there TensorFlow's padding is as much before as after"
    v = tf_vars(norms=2, k=k, cells=cells * (1 if last else 3))
    np.savez(tmp_path / 'w.npz', **v, **SLOTS)
    net = ours(last, size=size, stride=stride, k=k, shared_norm=False)
    rep = import_weights(tmp_path / 'w.npz', net)
    x = torch.randn(2, 3, 3, *size)
    with torch.no_grad():
        close(net(x), tf_forward(v, x, stride, last))
    assert 'TensorFlow' in rep.kind
    assert set(rep.used) == set(v)
    assert set(rep.left_out) == set(SLOTS)
    assert [n.split()[0] for n in rep.notes] == ['gate', 'padding']


def hard(x):
    return torch.clip(0.2 * x + 0.5, 0, 1)


@pytest.mark.parametrize('norm', [None, 1, -1])
@pytest.mark.parametrize(
    'variant,layers,k,size,cells,T',
    [
        ('released-tf', 3, (5, 5), (127, 191), 1 * 2, 2),
        ('released-tf', 2, (5, 5), (37, 52), 1 * 2, 4),
        ('released-tf-kth', 2, (3, 5), (37, 52), 2 * 2, 4),
    ],
)
def test_variants_are_the_released_tensorflow_program(variant, layers, k, size, cells, T, norm, tmp_path):
    "No padding, hard gates, max pool, then a batch norm of either sign or none; KTH's takes the last step"
    last = variant.endswith('kth')
    v = tf_vars(layers=layers, k=k, cells=cells * (1 if last else T), norms=layers if norm else 0)
    np.savez(tmp_path / 'w.npz', **v, **SLOTS)
    for n in v:
        if 'gamma' in n:
            v[n][::2] *= norm
    np.savez(tmp_path / 'w.npz', **v)
    net = CLSTM(
        5,
        size,
        T,
        **CLSTM_VARIANTS[variant]
        | dict(hidden=(4,) * layers, stride=(2,) * layers, pool=(2,) * layers)
        | (dict(norm=True, shared_norm=False) if norm else {}),
    ).eval()
    rep = import_weights(tmp_path / 'w.npz', net)
    x = 3 * torch.randn(2, 3, T, *size)
    kw = dict(stride=2, last=last, valid=True)
    with torch.no_grad():
        close(net(x), tf_forward(v, x, gate=hard, **kw))
        assert (net(x) - tf_forward(v, x, **kw)).abs().max() > 1e-3
        if norm == -1:
            assert (net(x) - tf_forward(v, x, gate=hard, pool_first=False, **kw)).abs().max() > 1e-3
    assert not rep.notes
    assert not rep.left_out
    assert set(rep.used) == set(v)


def test_the_notes_are_true_and_come_only_where_the_network_differs(tmp_path):
    "Gates, padding and the order of pooling and norm: each alone makes the scores differ, and is named alone"
    like = dict(gate='hard', padding='valid', order='pool-norm', shared_norm=False)

    def off(v, **kw):
        np.savez(tmp_path / 'w.npz', **v)
        net = ours(size=(37, 52), **like | kw)
        rep = import_weights(tmp_path / 'w.npz', net)
        assert all(n in repr(rep) and n in rep._repr_markdown_() for n in rep.notes)
        x = torch.randn(1, 3, 3, 37, 52, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            return [n.split()[0] for n in rep.notes], (net(x) - tf_forward(v, x, 2, gate=hard, valid=True)).abs().max()

    v = tf_vars(norms=2, cells=2 * 3)
    for kw, notes in ({}, []), (dict(order='norm-pool'), []):
        n, d = off(v, **kw)
        assert n == notes
        assert d < 1e-5
    n, d = off(v, gate='sigmoid')
    assert n == ['gate']
    assert d > 1e-3
    for n in v:
        if 'gamma' in n:
            v[n] *= -1
    assert off(v)[1] < 1e-5
    n, d = off(v, order='norm-pool')
    assert n == ['order']
    assert d > 1e-3
    v = tf_vars(norms=2, cells=2 * 3 * 3)
    np.savez(tmp_path / 'w.npz', **v)  # as a network of the same padding would have it
    for size in (35, 51), (36, 52):
        rep = import_weights(tmp_path / 'w.npz', net := ours(size=size, **like | dict(padding='same')))
        x = torch.randn(1, 3, 3, *size)
        assert [n.split()[0] for n in rep.notes] == ['padding']
    with torch.no_grad():
        assert (
            net(x) - tf_forward(v, x, 2, gate=hard)
        ).abs().max() > 1e-3  # even sizes: TensorFlow's own 'same' is lopsided


def test_notes_on_a_file_of_the_pytorch_program(tmp_path):
    torch.save(randomise(RefCLSTM()).state_dict(), tmp_path / 'w.pt')
    assert not import_weights(tmp_path / 'w.pt', ours(**CLSTM_VARIANTS['released-pytorch'])).notes
    assert [n.split()[0] for n in import_weights(tmp_path / 'w.pt', ours(gate='hard', order='pool-norm')).notes] == [
        'gate'
    ]


def test_networks_without_norms_and_with_peepholes(tmp_path):
    "The released program has a norm also where it does not use it, and peepholes that are 0 and not in the file"
    ref = randomise(RefCLSTM(norm=False))
    torch.save(ref.state_dict(), tmp_path / 'w.pt')
    x = torch.randn(1, 3, 3, 64, 32)
    net = ours(norm=False, peepholes=True)
    with torch.no_grad():
        for l in net.layers:
            l.lstm.wc.fill_(1)
    rep = import_weights(tmp_path / 'w.pt', net)
    assert set(rep.left_out) == {n for n in ref.state_dict() if '.bn.' in n}
    assert set(rep.left_out.values()) == {'the network has no batch norm'}
    assert list(rep.kept) == ['layers.0.lstm.wc', 'layers.1.lstm.wc']
    assert not any(l.lstm.wc.any() for l in net.layers)
    with torch.no_grad():
        close(net(x), ref(x))


def test_peepholes_of_later_versions_of_that_program(tmp_path):
    ref = randomise(RefCLSTM())
    state = ref.state_dict()
    state |= {
        f'clstm.cell{j}.Wc{g}': torch.full((1, 4, *s), v)
        for j, s in enumerate([(32, 16), (8, 4)])
        for g, v in dict(o=3.0, f=2.0, i=1.0).items()
    }
    torch.save(state, tmp_path / 'w.pt')
    net = ours(peepholes=True)
    rep = import_weights(tmp_path / 'w.pt', net)
    assert not rep.kept
    assert not rep.left_out
    assert net.layers[1].lstm.wc.shape == (3, 4, 8, 4)
    assert all((l.lstm.wc.flatten(1) == torch.tensor([[1.0], [2], [3]])).all() for l in net.layers)
    assert set(import_weights(tmp_path / 'w.pt', ours()).left_out.values()) == {'the network has no peepholes'}


def test_keras_may_start_counting_anywhere(tmp_path):
    v = tf_vars(norms=2, cells=4 * 5 * 3, first=3)
    np.savez(tmp_path / 'w.npz', **{n + ':0': a for n, a in v.items()})
    net = ours(size=(17, 23), stride=1, shared_norm=False)
    import_weights(tmp_path / 'w.npz', net)
    x = torch.randn(1, 3, 3, 17, 23)
    with torch.no_grad():
        close(net(x), tf_forward(v, x, 1))


def test_batch_norms_have_to_be_as_many(tmp_path):
    np.savez(tmp_path / 'two.npz', **tf_vars(norms=2, cells=60))
    np.savez(tmp_path / 'none.npz', **tf_vars(cells=60))
    for name, n in ('two', 2), ('none', 0):
        with pytest.raises(ValueError, match=rf'number of batch norms {n} \(here: 1\)'):
            import_weights(tmp_path / f'{name}.npz', ours(size=(17, 23), stride=1))


@pytest.mark.parametrize(
    'name', ['model.ckpt-9.index', 'model.ckpt-9.meta', 'model.ckpt-9.data-00000-of-00001', 'model.ckpt-9']
)
def test_a_tensorflow_checkpoint_brings_its_remedy(name, tmp_path):
    for end in 'index', 'meta', 'data-00000-of-00001':
        (tmp_path / f'model.ckpt-9.{end}').write_bytes(b'\0\1')
    with pytest.raises(ValueError, match=r"load_checkpoint\('model.ckpt-9'\)[\s\S]*savez"):
        import_weights(tmp_path / name, ours())


# --- our own names


@pytest.mark.parametrize('make', [lambda: I3D(5, width=W), ours, lambda: ours(shared_norm=False)])
@pytest.mark.parametrize(
    'wrap',
    [
        lambda s: s,
        lambda s: {'model': s, 'optimizer': {'state': {}}},
        lambda s: {'state_dict': {'module.' + n: t for n, t in s.items()}},
        lambda s: {'model_state_dict': {'module.model.' + n: t for n, t in s.items()}},
        lambda s: OrderedDict({'module.n_averaged': torch.tensor(3)} | {'net.' + n: t for n, t in s.items()}),
    ],
)
def test_our_own_names(make, wrap, tmp_path):
    a, b = randomise(make()), make()
    torch.save(wrap(a.state_dict()), tmp_path / 'w.pth.tar')
    rep = import_weights(tmp_path / 'w.pth.tar', b)
    assert unchanged(b, a.state_dict())
    assert 'interpvid' in rep.kind
    assert not rep.kept


def test_our_own_files_and_those_of_older_pytorch(tmp_path):
    a = randomise(I3D(5, width=W))
    a.classes, a.stats, a.clip_shape = list('abcde'), (0.5, 0.2), (16, 64, 64)
    save_model(a, tmp_path / 'a.safetensors')
    torch.save(a.state_dict(), tmp_path / 'old.pt', _use_new_zipfile_serialization=False)
    np.savez(tmp_path / 'a.npz', **{n: t.numpy() for n, t in a.state_dict().items()})
    for f in 'a.safetensors', 'old.pt', 'a.npz':
        b = I3D(5, width=W)
        import_weights(tmp_path / f, b)
        assert unchanged(b, a.state_dict())


# --- what may differ, and the report


@pytest.mark.parametrize('style', STYLES)
def test_another_number_of_classes_leaves_the_classifier(style, tmp_path):
    ref = randomise(RefI3D(style, 400))
    state = {'module.' + n: t for n, t in ref.state_dict().items() if 'num_batches' not in n}
    torch.save(dict(epoch=13, arch='Conv4Col', state_dict=state, best_loss=1.5), tmp_path / 'w.pth.tar')
    net = I3D(174, width=W)
    before = same(net)
    rep = import_weights(tmp_path / 'w.pth.tar', net)
    head = [n for n in state if n.split('.')[1] in ('logits', 'conv3d_0c_1x1')]
    why = 'classifier: the file has 400 classes, the network 174: kept as it was made'
    assert torch.equal(net.logits.weight, before['logits.weight'])
    assert torch.equal(net.logits.bias, before['logits.bias'])
    assert torch.equal(
        net.features.Conv3d_2c_3x3.conv.weight,
        state['module.' + ('Conv3d' if style == 'piergiaj' else 'conv3d') + '_2c_3x3.conv3d.weight'],
    )
    assert {n for n, w in rep.left_out.items() if w == why} == set(head)
    assert set(rep.left_out) - set(head) == {
        'epoch',
        'arch',
        'best_loss',
    }
    assert set(rep.used) == set(state) - set(head)
    assert rep.kept['logits.weight'] == why
    assert rep.kept['features.Conv3d_1a_7x7.bn.num_batches_tracked'].endswith('set to 0')
    assert len(rep.kept) == 2 + 57
    assert '174' in repr(rep)
    assert f'{174 * 65:,}' in repr(rep)
    assert '| used | 285 |' in rep._repr_markdown_()


def test_other_classes_in_a_clstm(tmp_path):
    torch.save(randomise(RefCLSTM(K=174)).state_dict(), tmp_path / 'w.pt')
    net = ours(K=6)
    before = same(net)
    rep = import_weights(tmp_path / 'w.pt', net)
    assert set(rep.kept) == {'fc.weight', 'fc.bias'}
    assert torch.equal(net.fc.weight, before['fc.weight'])
    assert not torch.equal(net.norms[0].bias, before['norms.0.bias'])


def test_missing_counts_are_set_to_0(tmp_path):
    a, b = randomise(I3D(5, width=W)), randomise(I3D(5, width=W), 1)
    torch.save({n: t for n, t in a.state_dict().items() if 'num_batches' not in n}, tmp_path / 'w.pt')
    import_weights(tmp_path / 'w.pt', b)
    assert all(t == 0 for n, t in b.state_dict().items() if 'num_batches' in n)


def test_dtype_memory_format_and_gradients_stay(tmp_path):
    torch.save(
        {
            n: t.double() if t.is_floating_point() else t
            for n, t in randomise(RefI3D('piergiaj', 5)).state_dict().items()
        },
        tmp_path / 'w.pt',
    )
    net = fast_layout(I3D(5, width=W)).bfloat16()
    at = [p.data_ptr() for p in net.parameters()]
    net.logits.weight.requires_grad_(False)
    import_weights(tmp_path / 'w.pt', net)
    w = net.features.Conv3d_2c_3x3.conv.weight
    assert w.dtype == torch.bfloat16
    assert w.is_contiguous(memory_format=torch.channels_last_3d)
    assert not w.is_contiguous()
    assert [p.data_ptr() for p in net.parameters()] == at
    assert w.requires_grad
    assert not net.logits.weight.requires_grad
    assert net.training


# --- what is refused, with the network left as it was


def refuse(path, net, *says):
    before = same(net)
    with pytest.raises((ValueError, FileNotFoundError)) as e:
        import_weights(path, net)
    for s in (str(path), *says):
        assert s in str(e.value), str(e.value)
    assert unchanged(net, before)


def state_of(style='piergiaj', **kw):
    return randomise(RefI3D(style, 5, **kw)).state_dict()


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    net = I3D(5, width=W)
    p = tmp_path
    whole, old = p / 'whole.pt', p / 'old.pt'
    torch.save(state_of(), whole)
    torch.save(state_of(), old, _use_new_zipfile_serialization=False)
    save_file(state_of(), p / 'whole.safetensors')
    np.savez(p / 'whole.npz', **{n: t.numpy() for n, t in state_of().items()})
    refuse(p / 'nothing.pt', net, 'no such checkpoint')
    (p / 'folder').mkdir()
    (p / 'folder' / 'a.pt').touch()
    refuse(p / 'folder', net, 'is a folder', 'a.pt')
    for name, data, says in (
        ('empty.pt', b'', 'is empty'),
        ('text.pt', b'weights, 400 classes', 'not a checkpoint'),
        ('page.pt', b'<!DOCTYPE html><html>', 'not a checkpoint'),
        ('pk.pt', b'PK', 'cut short'),
    ):
        (p / name).write_bytes(data)
        refuse(p / name, net, says)
    for f in whole, old, p / 'whole.safetensors', p / 'whole.npz':
        for share in 0.001, 0.3, 0.999:
            b = f.read_bytes()
            c = p / f'cut{f.suffix}'
            c.write_bytes(b[: int(len(b) * share)])
            refuse(c, net, 'cut short')
    for name, obj, says in (
        ('list.pt', [torch.ones(2)], 'holds a list'),
        ('tensor.pt', torch.ones(2), 'holds a Tensor'),
        ('none.pt', {'epoch': 3}, 'no tensors, only epoch'),
        ('bare.pt', {}, 'no tensors'),
    ):
        torch.save(obj, p / name)
        refuse(p / name, net, says)


class Touch:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.filterwarnings('ignore:.*jit')
def test_no_code_of_a_file_is_run(tmp_path):
    net = I3D(5, width=W)
    p = tmp_path
    for k, kw in enumerate(({}, {'_use_new_zipfile_serialization': False})):
        torch.save({'state_dict': state_of(), 'hook': Touch(p / 'ran')}, p / f'trap{k}.pt', **kw)
    torch.save(nn.Linear(2, 2), p / 'network.pt')
    (p / 'plain.pkl').write_bytes(pickle.dumps({'state_dict': Touch(p / 'ran')}))
    (p / 'plain2.pkl').write_bytes(pickle.dumps({'state_dict': Touch(p / 'ran')}, 2))
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), p / 'script.pt')
    for f in 'trap0.pt', 'trap1.pt', 'network.pt', 'plain.pkl', 'plain2.pkl', 'script.pt':
        refuse(p / f, net, 'does not run code from files', "torch.save(d['state_dict']")
    np.savez(p / 'objects.npz', w=np.array([Touch(p / 'ran')], object))
    refuse(p / 'objects.npz', net, 'not an array of numbers')
    assert not (p / 'ran').exists()


def test_other_networks_are_refused_by_name(tmp_path):
    import torchvision

    net = I3D(5, width=W)
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / 'r.pt')
    refuse(tmp_path / 'r.pt', net, 'another network', 'conv1.weight', 'piergiaj')
    torch.save(RefCLSTM().state_dict(), tmp_path / 'c.pt')
    refuse(tmp_path / 'c.pt', net, 'C-LSTM', 'into is an I3D', 'clstm.cell0')
    torch.save(state_of(), tmp_path / 'i.pt')
    refuse(tmp_path / 'i.pt', ours(), 'into is a CLSTM', 'pytorch-i3d')
    with pytest.raises(ValueError, match='got Linear'):
        import_weights(tmp_path / 'i.pt', nn.Linear(2, 2))


@pytest.mark.parametrize('style', STYLES)
def test_what_is_missing_or_of_another_shape_changes_nothing(style, tmp_path):
    p = tmp_path / 'w.pt'
    names = list(state_of(style))
    last = [n for n in names if '5c' in n and n.endswith('running_var')][-1]
    s = state_of(style)
    del s[last]
    torch.save(s, p)
    refuse(p, I3D(5, width=W), 'features.Mixed_5c.b3.1.bn.running_var: not in the file, (8) in the network')
    s = state_of(style)
    s[last] = torch.ones(9)
    torch.save(s, p)
    refuse(p, I3D(5, width=W), 'running_var: (9) in the file, (8) in the network', 'damaged')
    torch.save(state_of(style), p)
    refuse(
        p,
        I3D(5, width=0.125),
        '(4,3,7,7,7) in the file, (8,3,7,7,7) in the network',
        'more',
        'width 0.0625 (here: 0.125)',
    )
    s = {n: t for n, t in state_of(style).items() if 'bias' not in n or 'bn' in n or 'batch3d' in n}
    torch.save(s, p)
    refuse(p, I3D(5, width=W), 'logits.bias: not in the file')


def test_tensors_without_a_place_are_named(tmp_path):
    s = state_of() | {'aux.weight': torch.ones(3)}
    torch.save(s, tmp_path / 'w.pt')
    assert import_weights(tmp_path / 'w.pt', I3D(5, width=W)).left_out == {'aux.weight': 'no part of the network'}
    s = state_of() | {'Mixed_6a.b0.conv3d.weight': torch.ones(3)}
    torch.save(s, tmp_path / 'w.pt')
    refuse(tmp_path / 'w.pt', I3D(5, width=W), 'features.Mixed_6a.b0.conv.weight: (3) in the file, not in the network')


@pytest.mark.parametrize(
    'change,says',
    [
        (dict(layers=3, size=(128, 64)), 'hidden [4, 4, 4] (here: [4, 4])'),
        (dict(layers=1), 'hidden [4] (here: [4, 4])'),
        (dict(n=8), 'hidden [8, 8]'),
        (dict(k=3), 'kernel [3, 3]'),
        (dict(T=6), 'another length'),
        (dict(size=(64, 64)), 'another size'),
        (dict(last=True), '`last_only`'),
    ],
)
def test_a_clstm_of_other_settings_says_which(change, says, tmp_path):
    torch.save(randomise(RefCLSTM(**change)).state_dict(), tmp_path / 'w.pt')
    refuse(tmp_path / 'w.pt', ours(), 'in the file', says)


def test_the_remedy_leaves_out_a_classifier_that_is_not_taken(tmp_path):
    torch.save(randomise(RefCLSTM(K=174, k=3)).state_dict(), tmp_path / 'w.pt')
    with pytest.raises(ValueError, match=r'was made for kernel \[3, 3\] \(here: \[5, 5\]\); make') as e:
        import_weights(tmp_path / 'w.pt', ours())
    assert 'columns' not in str(e.value)


def test_a_gate_that_is_missing_is_named(tmp_path):
    s = RefCLSTM().state_dict()
    del s['clstm.cell1.Whf.weight']
    torch.save(s, tmp_path / 'w.pt')
    refuse(tmp_path / 'w.pt', ours(), 'layers.1.lstm.wh.weight', 'clstm.cell1.Whi.weight (4,4,5,5)')
    v = tf_vars(norms=2, cells=60)
    v['block1/conv_lst_m2d/bias'] = np.ones(15, np.float32)
    np.savez(tmp_path / 'w.npz', **v)
    refuse(
        tmp_path / 'w.npz',
        ours(size=(17, 23), stride=1, shared_norm=False),
        'layers.0.lstm.wx.bias',
        'block1/conv_lst_m2d/bias (15)',
    )


@pytest.mark.parametrize(
    'make,says',
    [
        (lambda t: t.masked_fill(t == t.max(), float('nan')), '1 of'),
        (lambda t: t / 0, 'not finite'),
        (lambda t: t.int(), 'torch.int32'),
        (lambda t: t + 0j, 'torch.complex64'),
        (lambda t: t.to_sparse(), 'sparse'),
    ],
)
def test_values_that_are_no_finite_floats_are_refused(make, says, tmp_path):
    s = {'module.' + n: t for n, t in state_of().items()}
    n = 'module.Mixed_4e.b1b.conv3d.weight'
    s[n] = make(s[n])
    torch.save(s, tmp_path / 'w.pt')
    refuse(tmp_path / 'w.pt', I3D(5, width=W), n, says)


def test_numbers_too_big_for_the_networks_dtype_are_refused(tmp_path):
    s = state_of()
    s['Conv3d_1a_7x7.bn.weight'][0] = 1e6
    torch.save(s, tmp_path / 'w.pt')
    refuse(tmp_path / 'w.pt', I3D(5, width=W).half(), 'float16')


# --- our own checkpoints, changed by hand


def test_a_damaged_description_is_refused(tmp_path):
    net = I3D(5, width=W)
    net.classes, net.stats, net.clip_shape = list('abcde'), (0.5, 0.2), (16, 64, 64)
    p = tmp_path / 'm.safetensors'
    good = dict(
        arch='I3D', settings=net.settings, classes=net.classes, stats=net.stats, clip_shape=net.clip_shape, info={}
    )

    def write(about):
        save_file(net.state_dict(), p, {'interpvid': about if isinstance(about, str) else json.dumps(about)})

    write(good)
    assert load_model(p, 'cpu').classes == net.classes
    cases = [
        ('{"arch": "I3D", ', 'not JSON'),
        ('[]', 'does not say arch'),
        (good | {'arch': 'ResNet'}, 'holds a ResNet'),
        (good | {'arch': ['I3D']}, 'holds a'),
        (good | {'settings': net.settings | {'colour': 1}}, 'no setting colour'),
        (good | {'settings': [5]}, 'settings are [5]'),
        (good | {'settings': {}}, 'do not make a I3D'),
        (good | {'settings': net.settings | {'t_strides': [1]}}, 'five strides'),
        (good | {'settings': net.settings | {'width': 0.125}}, 'do not fit'),
    ]
    cases += [({a: b for a, b in good.items() if a != k}, f'does not say {k}') for k in good]
    for about, says in cases:
        write(about)
        with pytest.raises(ValueError) as e:
            load_model(p, 'cpu')
        assert str(p) in str(e.value) and says in str(e.value), str(e.value)


def test_saving_again_replaces_the_whole_file(tmp_path):
    net = I3D(5, width=W)
    net.classes, net.stats, net.clip_shape = list('abcde'), (0.5, 0.2), (16, 64, 64)
    save_model(net, tmp_path / 'm.safetensors', run=1)
    net.classes = None
    save_model(net, tmp_path / 'm.safetensors', run=2)
    del net.settings
    with pytest.raises(AttributeError):
        save_model(net, tmp_path / 'm.safetensors', run=3)
    assert load_model(tmp_path / 'm.safetensors', 'cpu').info == {'run': 2}
    assert os.listdir(tmp_path) == ['m.safetensors']


def test_while_saving_only_our_own_temporary_file_is_there(tmp_path):
    "A temporary file of another library would stay when the process is killed"
    net, seen, done = described(I3D(174)), set(), threading.Event()

    def look():
        while not done.is_set():
            seen.update(os.listdir(tmp_path))

    t = threading.Thread(target=look)
    t.start()
    try:
        for _ in range(3):
            save_model(net, tmp_path / 'm.safetensors')
    finally:
        done.set()
        t.join()
    temporary = seen - {'m.safetensors'}
    assert temporary
    assert all(n.startswith('.m.') and str(os.getpid()) in n for n in temporary)
    assert os.listdir(tmp_path) == ['m.safetensors']


def test_a_network_that_lacks_its_description_is_not_saved(tmp_path):
    with pytest.raises(AttributeError, match='the I3D has no classes, stats, clip_shape'):
        save_model(I3D(5, width=W), tmp_path / 'm.safetensors')
    assert not list(tmp_path.iterdir())


# --- damage, and what is not a file


@pytest.mark.parametrize('at', ['first weight', 'middle', 'last weight', 'description'])
@pytest.mark.parametrize('read', [lambda p: load_model(p, 'cpu'), lambda p: import_weights(p, I3D(5, width=W))])
def test_a_damaged_checkpoint_is_refused_by_name_with_the_remedy(at, read, tmp_path):
    "B19: one bit of a checkpoint changed"
    p = tmp_path / 'm.safetensors'
    save_model(described(randomise(I3D(5, width=W))), p)
    data = bytearray(p.read_bytes())
    start = 8 + int.from_bytes(data[:8], 'little')
    where = {'first weight': start, 'middle': len(data) // 2, 'last weight': len(data) - 1}
    if at == 'description':
        data = data.replace(b'0.65', b'0.25')
    else:
        data[where[at]] ^= 4
    p.write_bytes(data)
    with pytest.raises(ValueError, match='is damaged: its content does not match its checksum. Copy it again') as e:
        read(p)
    assert str(p) in str(e.value)


def test_a_block_of_zeros_is_damage(tmp_path):
    "B19: 4 kB of zeros in a checkpoint, as after a power cut"
    p = tmp_path / 'm.safetensors'
    save_model(described(randomise(I3D(5, width=W))), p)
    data = bytearray(p.read_bytes())
    data[-4096:] = bytes(4096)
    p.write_bytes(data)
    with pytest.raises(ValueError, match='does not match its checksum'):
        load_model(p)
    for left in (0, 4, 1000, len(data) - 1):
        p.write_bytes(data[:left])
        with pytest.raises(ValueError, match='damaged or cut short') as e:
            load_model(p)
        assert str(p) in str(e.value)


@pytest.mark.parametrize('read', [lambda p: load_model(p, 'cpu'), check_checkpoint])
@pytest.mark.parametrize('legacy', [False, True])
def test_a_file_of_pytorch_is_named_with_the_remedy(read, legacy, tmp_path):
    "A healthy .pth.tar is not called damaged; nothing in it is run to find out what it is"

    class Calls:
        def __reduce__(self):
            return (tmp_path.joinpath('ran').touch, ())

    p = tmp_path / 'mine.pth.tar'
    torch.save(dict(state_dict=I3D(5, width=W).state_dict(), bad=Calls()), p, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match='written by torch.save.*`import_weights`.*`save_model`.*I have a check') as e:
        read(p)
    assert str(p) in str(e.value) and 'damaged' not in str(e.value)
    assert not (tmp_path / 'ran').exists()
    with pytest.raises(FileNotFoundError, match='no such checkpoint'):
        read(tmp_path / 'none.safetensors')
    with pytest.raises(ValueError, match='a I3D in the place of a checkpoint.*save_model'):
        read(I3D(5, width=W))


@pytest.mark.parametrize('first', [b'\x80', b'PK'])
def test_a_file_of_ours_may_begin_like_another(first, tmp_path):
    "The first bytes of a safetensors file are the length of its description: any number, one that reads 'PK' too"
    p, net = tmp_path / 'm.safetensors', described(randomise(I3D(5, width=W)))
    save_model(net, p, text='')
    length = int.from_bytes(p.read_bytes()[:8], 'little')
    save_model(net, p, text='x' * ((int.from_bytes(first, 'little') - length) % 256 ** len(first)))
    assert p.read_bytes().startswith(first)
    assert check_checkpoint(p) == p
    assert unchanged(load_model(p, 'cpu'), net.state_dict())
    import_weights(p, other := I3D(5, width=W))
    assert unchanged(other, net.state_dict())


def test_checkpoints_of_the_first_edition_load(tmp_path):
    "They have a description and no checksum"
    net = randomise(ours())
    about = dict(arch='CLSTM', settings=net.settings, classes=list('abcde'), stats=[0.65, 0.2], clip_shape=[3, 64, 32])
    p = tmp_path / 'm.safetensors'
    save_file(net.state_dict(), p, {'interpvid': json.dumps(about | dict(info={'seed': 3}))})
    again = load_model(p, 'cpu')
    assert unchanged(again, net.state_dict())
    assert again.info == {'seed': 3}
    assert again.stats == (0.65, 0.2)
    assert again.clip_shape == (3, 64, 32)
    other = ours()
    import_weights(p, other)
    assert unchanged(other, net.state_dict())


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_checksums_of_every_type_and_layout(dtype, tmp_path):
    net = fast_layout(described(randomise(I3D(5, width=W)))).to(dtype)
    save_model(net, tmp_path / 'm.safetensors')
    again = load_model(tmp_path / 'm.safetensors', 'cpu')
    for n, t in net.state_dict().items():
        torch.testing.assert_close(again.state_dict()[n], t.to(again.state_dict()[n].dtype), atol=0, rtol=0)


READ_PIPE = """
import sys
from interpvid.models.checkpoints import I3D, import_weights, load_model
for read in load_model, lambda path: import_weights(path, I3D(5, width=0.0625)):
    try:
        read(sys.argv[1])
    except ValueError as e:
        print(e)
"""


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='no named pipes here')
def test_a_pipe_is_refused_at_once(tmp_path):
    "Reading one never ends, and not even a thread can be left with it: so in a process of its own"
    pipe = tmp_path / 'm.safetensors'
    os.mkfifo(pipe)
    run = subprocess.run([sys.executable, '-c', READ_PIPE, pipe], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout == 2 * f'{pipe}: is not a regular file but a pipe, a socket or a device\n'


@pytest.mark.posix
def test_a_folder_is_no_checkpoint_and_a_link_to_one_is(tmp_path):
    (tmp_path / 'run').mkdir()
    save_model(described(I3D(5, width=W)), tmp_path / 'run' / 'best.safetensors')
    with pytest.raises(ValueError, match='is a folder, not a checkpoint; it holds best.safetensors'):
        load_model(tmp_path / 'run')
    (tmp_path / 'link').symlink_to(tmp_path / 'run' / 'best.safetensors')
    assert load_model(tmp_path / 'link', 'cpu').classes == list('abcde')


# --- nothing wrong and silent


def paper_file(path, K=174, bare=False, prefix='module.'):
    "As the paper's released program saves: names of piergiaj/pytorch-i3d, `module.` before them, beside the epoch"
    ref = randomise(RefI3D('piergiaj', K, t=(1, 1, 1, 1, 2), pool=None))
    state = {prefix + n: t for n, t in ref.state_dict().items()}
    torch.save(state if bare else dict(epoch=13, arch='I3D', state_dict=state, best_loss=1.9), path)
    return ref


@pytest.mark.parametrize(
    'kw', [dict(K=5), dict(K=174, bare=True, prefix=''), dict(K=6, bare=True, prefix=''), dict(K=400)], ids=str
)
def test_b21_the_papers_own_i3d_gets_no_note_about_its_head(kw, tmp_path):
    "B21: its head averages over all activations in time: scores are equal with head_t=1, and the note is for 2"
    ref = paper_file(tmp_path / 'w.pth.tar', **kw)
    net, other = (I3D(kw['K'], width=W, head_t=h).eval() for h in (1, 2))
    rep = import_weights(tmp_path / 'w.pth.tar', net)
    assert rep.notes == ()
    assert 'head_t' not in repr(rep)
    assert "paper's released program" in rep.kind and 'piergiaj' in rep.kind
    assert rep.stats == (0, 1 / 255) and '(0, 1/255) is what its program fed' in repr(rep)
    assert pretrained_i3d(tmp_path / 'w.pth.tar', kw['K'], width=W).stats == (0, 1 / 255)
    x = torch.randn(1, 3, 16, 64, 64)
    note = import_weights(tmp_path / 'w.pth.tar', other).notes
    with torch.no_grad():
        close(net(x), ref(x))
        assert (other(x) - ref(x)).abs().max() > 1e-3
    assert len(note) == 1 and note[0].startswith('head_t is 1 in the program that wrote the file, 2 in this network')


def test_a_file_of_an_unknown_program_says_what_stats_to_set(tmp_path):
    "With our own names nothing tells how frames were normalised: report and `save_model` name what `stats` can be"
    torch.save(I3D(5, width=W).state_dict(), tmp_path / 'mine.pt')
    net = I3D(5, width=W)
    rep = import_weights(tmp_path / 'mine.pt', net)
    said = 'set net.stats yourself, (0, 1/255) for bytes 0 to 255'
    assert rep.stats is None and said in repr(rep) and said in rep._repr_markdown_()
    net.classes, net.stats, net.clip_shape = list('abcde'), rep.stats, (16, 224, 224)
    with pytest.raises(ValueError, match=r'stats` of the I3D is None.*set net.stats to .*\(0, 1/255\) for bytes'):
        save_model(net, tmp_path / 'mine.safetensors')
    net.stats = 0, 1 / 255
    save_model(net, tmp_path / 'mine.safetensors')
    assert load_model(tmp_path / 'mine.safetensors').stats == (0, 1 / 255)


@pytest.mark.parametrize('style', STYLES)
@pytest.mark.parametrize('K', [400, 157])
def test_b21_published_files_keep_the_note(style, K, tmp_path):
    "B21: piergiaj's and hassony2's own files: dicts of weights, no prefix"
    torch.save(RefI3D(style, K).state_dict(), tmp_path / 'rgb.pt')
    rep = import_weights(tmp_path / 'rgb.pt', I3D(K, ORIGINAL_T, width=W))
    assert [n.split()[:3] for n in rep.notes] == [['head_t', 'is', '2']]
    assert "paper's" not in rep.kind
    assert rep.stats == (0.5, 0.5)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')], ids=str)
@pytest.mark.parametrize('name', ['logits.weight', 'features.Conv3d_1a_7x7.bn.running_var'])
def test_b22_weights_that_are_not_finite_are_refused_at_both_ends(name, value, tmp_path):
    "B22: NaN weights in `load_model`: an error that names file, tensor and remedy; nothing is written either"
    net, p = described(randomise(I3D(5, width=W))), tmp_path / 'm.safetensors'
    save_model(net, p)
    before = p.read_bytes()
    net.state_dict()[name].view(-1)[0] = value
    with pytest.raises(ValueError, match='the training has diverged') as e:
        save_model(net, p)
    assert name in str(e.value) and str(p) in str(e.value)
    assert p.read_bytes() == before
    about = dict(arch='I3D', settings=net.settings, classes=net.classes, stats=net.stats, clip_shape=net.clip_shape)
    save_file(net.state_dict(), p, {'interpvid': json.dumps(about | dict(info={}))})
    with pytest.raises(ValueError, match=r'NaN or infinite in .* \(1 of') as e:
        load_model(p, 'cpu')
    assert name in str(e.value) and str(p) in str(e.value) and 'lower learning rate' in str(e.value)
    with pytest.raises(ValueError, match='not finite'):
        import_weights(p, I3D(5, width=W))


@pytest.mark.parametrize(
    'change,says',
    [
        (dict(stats=(0, 0)), 'standard deviation above 0'),
        (dict(stats=(float('nan'), 1)), 'standard deviation above 0'),
        (dict(stats=.5), 'mean, standard deviation'),
        (dict(stats=None), 'mean, standard deviation'),
        (dict(classes='abcde'), 'list of names'),
        (dict(classes=[]), 'list of names'),
        (dict(classes=list('abcd')), '4 names of classes for a network of 5'),
        (dict(clip_shape=(0, 64, 64)), 'clip_shape'),
        (dict(clip_shape=(64, 64)), 'clip_shape'),
        (dict(clip_shape=16), 'clip_shape'),
    ],
    ids=str,
)
def test_b22_descriptions_that_no_network_can_have(change, says, tmp_path):
    "B22: stats=(0,0), classes='abcde' and the like: refused when saved and when loaded"
    net, p = described(randomise(I3D(5, width=W))), tmp_path / 'm.safetensors'
    about = dict(arch='I3D', settings=net.settings, classes=net.classes, stats=net.stats, clip_shape=net.clip_shape)
    save_file(net.state_dict(), p, {'interpvid': json.dumps(about | dict(info={}) | change)})
    with pytest.raises(ValueError, match=says) as e:
        load_model(p, 'cpu')
    assert str(p) in str(e.value)
    for k, v in change.items():
        setattr(net, k, v)
    with pytest.raises(ValueError, match=says):
        save_model(net, tmp_path / 'other.safetensors')
    assert not (tmp_path / 'other.safetensors').exists()


@pytest.mark.parametrize(
    'make,says',
    [
        (lambda: I3D(0), 'n_classes'),
        (lambda: I3D(2.5), 'n_classes'),
        (lambda: I3D(True), 'n_classes'),
        (lambda: I3D(5, width=0), 'width'),
        (lambda: I3D(5, width=-1), 'width'),
        (lambda: I3D(5, width=float('nan')), 'width'),
        (lambda: I3D(5, head_t=0, width=W), 'head_t'),
        (lambda: I3D(5, t_strides=(1, 1, 0, 1, 2), width=W), r't_strides\[2\]'),
        (lambda: CLSTM(0, 32), 'n_classes'),
        (lambda: CLSTM(5, 32, T=0), 'T has'),
        (lambda: CLSTM(5, 32, hidden=(4, 0), stride=(2, 2), pool=(2, 2), shared_norm=False), 'hidden'),
        (lambda: CLSTM(5, (32, -1)), 'size'),
        (lambda: CLSTM(5, 32, in_channels=1.5), 'in_channels'),
    ],
)
def test_b22_networks_of_no_size(make, says):
    "B22: its kind: a width of 0 was silently one of four channels"
    with pytest.raises(ValueError, match=says):
        make()
