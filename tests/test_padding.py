"""Other edges than zeros: right beside a picture continued by hand, in every network of the package and one of
torchvision's; shared work stands aside; and what cannot be done is refused"""

import copy
import json

import numpy as np, pytest, torch
import torch.nn.functional as F
from torch import nn

from conftest import ROOT
from interpvid.cam import gradcam
from interpvid.device import fast, reference_ops
from interpvid.learner import PRESETS
from interpvid.masks.learn import learn_masks
from interpvid.masks.perturb import freeze
from interpvid.masks.search import MaskScores, windows
from interpvid.models.adapters import wrap
from interpvid.models.checkpoints import load_model
from interpvid.models.clstm import CLSTM
from interpvid.models.i3d import I3D, Inception, UnitConv
from interpvid.models.padding import EDGES, PaddedCLSTM, PaddedI3D, pad_axis, repad, zero_padding
from interpvid.registry import NETWORKS, Network, register

torchvision = pytest.importorskip('torchvision')


def settled(net, seed=0):
    "A network in evaluation mode whose batch norms have seen something, so that its scores say something"
    torch.manual_seed(seed)
    for m in net.modules():
        if isinstance(m, (nn.BatchNorm2d, nn.BatchNorm3d)):
            m.running_var.uniform_(0.5, 1.5)
            m.running_mean.normal_(0, 0.1)
            m.bias.data.normal_(0.2, 0.1)
    return net.eval()


def i3d(**settings):
    torch.manual_seed(0)
    return settled(I3D(5, **{**dict(width=0.05, s_strides=(2, 2, 2, 2, 1)), **settings}))


def clstm(**settings):
    torch.manual_seed(0)
    sizes = dict(size=32, T=3, hidden=(4, 4), stride=(2, 1), pool=(2, 1), shared_norm=False)
    return settled(CLSTM(5, **{**sizes, **settings}))


def r3d():
    torch.manual_seed(0)
    return settled(torchvision.models.video.r3d_18(num_classes=5))


def clips(B=1, T=4, size=32, seed=0):
    return torch.randn(B, 3, T, size, size, generator=torch.Generator().manual_seed(seed))


def tiled(x, n):
    "A picture among n×n of its kind, n odd"
    return x.repeat(1, 1, 1, n, n)


def middle(y, n):
    "The picture in the middle of n×n"
    h, w = y.shape[-2] // n, y.shape[-1] // n
    return y[..., n // 2 * h : (n // 2 + 1) * h, n // 2 * w : (n // 2 + 1) * w]


def apart(a, b):
    return float((a - b).abs().max() / b.std())


# --- one layer


@pytest.mark.parametrize('edges,numpy_name', [('circular', 'wrap'), ('reflect', 'reflect'), ('zeros', 'constant')])
def test_an_axis_is_continued_as_numpy_does_it(edges, numpy_name):
    x = torch.randn(2, 5, 7)
    for axis in range(3):
        before, after = min(2, x.shape[axis] - 1), 1
        pads = [(0, 0)] * 3
        pads[axis] = before, after
        assert np.array_equal(pad_axis(x, axis, before, after, edges), np.pad(x, pads, mode=numpy_name))
    assert set(EDGES) == {'circular', 'reflect', 'zeros'}


@pytest.mark.parametrize('edges', ['circular', 'reflect'])
@pytest.mark.parametrize('before,after', [(2, 1), (0, 1), (3, 3), (1, 0)])
def test_gradients_of_both_orders_are_right(edges, before, after):
    x = torch.randn(2, 4, 5, dtype=torch.double, requires_grad=True)
    for axis in (1, 2):
        f = lambda x: pad_axis(x, axis, before, after, edges)
        assert torch.autograd.gradcheck(f, (x,)) and torch.autograd.gradgradcheck(f, (x,))


def test_the_memory_format_stays():
    "Or pooling takes eight times as long"
    x = clips(2, size=8).contiguous(memory_format=torch.channels_last_3d)
    for edges in EDGES:
        for before, after in ((1, 1), (0, 1), (2, 0)):
            y = pad_axis(pad_axis(x, 3, before, after, edges), 4, before, after, edges)
            assert y.is_contiguous(memory_format=torch.channels_last_3d)


LAYERS = {
    'conv': nn.Conv3d(3, 4, (3, 5, 3), (1, 2, 1), padding=(1, 2, 1)),
    'dilated': nn.Conv3d(3, 4, 3, padding=(1, 2, 2), dilation=(1, 2, 2)),
    'same': nn.Conv3d(3, 4, (1, 4, 3), padding='same'),
    'grouped': nn.Conv3d(3, 6, 3, padding=1, groups=3),
    'max pool': nn.MaxPool3d(3, 2, padding=1),
    'mean pool': nn.AvgPool3d((1, 3, 3), 1, padding=(0, 1, 1)),
    'unit': UnitConv(3, 4, (3, 7, 7), (1, 2, 2)).eval(),
    'module': Inception(3, (4, 4, 4, 4, 4, 4)).eval(),
}


@pytest.mark.parametrize('name', LAYERS)
def test_a_layer_among_its_own_pictures(name):
    "Circular padding is a picture among pictures like it; what pads with zeros then has them far away"
    layer = nn.Sequential(LAYERS[name])
    x = clips(2, size=8)
    new = repad(layer, 'circular', x=x)
    with torch.no_grad():
        got, want = new(x), middle(layer(tiled(x, 3)), 3)
        assert got.shape == want.shape and apart(got, want) < 1e-5
        assert apart(layer(x), want) > 0.01, 'zeros are seen, or this test could not fail'


@pytest.mark.parametrize('edges,mode', [('circular', 'circular'), ('reflect', 'reflect')])
def test_a_convolution_is_pytorchs_own_of_that_padding(edges, mode):
    conv = nn.Conv2d(3, 4, 5, 2, padding=(2, 1))
    other = nn.Conv2d(3, 4, 5, 2, padding=(2, 1), padding_mode=mode)
    other.load_state_dict(conv.state_dict())
    x = torch.randn(2, 3, 9, 12)
    assert torch.equal(repad(conv, edges)(x), other(x))


def test_time_keeps_its_zeros_unless_asked():
    conv = nn.Conv3d(3, 4, 3, padding=1)
    x = clips(T=6, size=8)
    space, everywhere = repad(conv), repad(conv, axes='THW')
    with torch.no_grad():
        assert apart(space(x), middle(conv(tiled(x, 3)), 3)) < 1e-5
        assert apart(everywhere(x.roll(2, 2)), everywhere(x).roll(2, 2)) < 1e-5
        assert apart(space(x.roll(2, 2)), space(x).roll(2, 2)) > 0.01


@pytest.mark.parametrize('size', [7, 8, 9, 10])
def test_a_last_window_that_hangs_over_the_end_goes_round(size):
    pool = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)
    x = torch.randn(1, 1, size, size)
    got = repad(pool)(x)
    assert got.shape == pool(x).shape
    plane = x.repeat(1, 1, 2, 2)
    want = F.max_pool2d(pad_axis(pad_axis(plane, 2, 1, 0, 'circular'), 3, 1, 0, 'circular'), 3, 2)
    assert torch.equal(got, want[..., : got.shape[2], : got.shape[3]])


# --- whole networks


def maps_of(name):
    "A network, the part of it that gives activations, clips, and the stride from pixels to cells"
    if name == 'I3D':
        return i3d(), lambda n: n.features, clips(T=4, size=32), 16
    if name == 'I3D, 8×8':
        return i3d(s_strides=(2, 2, 2, 1, 1)), lambda n: n.features, clips(T=4, size=32), 8
    if name == 'C-LSTM':
        return clstm(), lambda n: lambda x: n.layers[1](n.layers[0](x, n._norm(0)), n._norm(1)), clips(T=3), 4
    return r3d(), lambda n: lambda x: n.layer2(n.layer1(n.stem(x))), clips(T=2, size=32), 4


NETS = 'I3D', 'I3D, 8×8', 'C-LSTM', 'r3d_18'


@pytest.mark.parametrize('name', NETS)
def test_a_network_on_a_torus_is_one_on_a_plane_of_pictures(name):
    "The old network, zeros and all, on so many copies of the picture that zeros are out of reach"
    net, part, x, _ = maps_of(name)
    n = {'I3D': 11, 'I3D, 8×8': 11, 'C-LSTM': 5, 'r3d_18': 3}[name]
    with torch.no_grad():
        want = middle(part(net)(tiled(x, n)), n)
        assert apart(part(repad(net))(x), want) < 1e-3
        assert apart(part(net)(x), want) > 0.05


@pytest.mark.parametrize('name', NETS)
@pytest.mark.parametrize('half', [False, True], ids=['float32', 'bfloat16'])
def test_activations_follow_the_picture(name, half):
    net, part, x, stride = maps_of(name)
    torus, cells = repad(net), (1, 1)
    pixels = tuple(stride * c for c in cells)
    with torch.no_grad(), fast(on=half):
        got, want = part(torus)(x.roll(pixels, (3, 4))), part(torus)(x).roll(cells, (3, 4))
        zeros = part(net)(x.roll(pixels, (3, 4))), part(net)(x).roll(cells, (3, 4))
    limit = 0.3 if half else 1e-3  # bfloat16 has 8 bits
    assert apart(got.float(), want.float()) < limit < apart(*(z.float() for z in zeros))


@pytest.mark.parametrize('name', ['I3D', 'r3d_18'])
def test_grad_cam_follows_the_picture(name):
    "Gradients come from all layers, so the picture is rolled by the strides of all: 16 pixels"
    net, layer, cell = {'I3D': (i3d(), 'features.Mixed_5b', 16), 'r3d_18': (r3d(), 'layer3', 8)}[name]
    x, k = clips(T=4), 16 // cell

    def apart_after(net):
        maps = lambda x: gradcam(net, x, 1, layer, space=None, time=None, normalize=None, relu=False)
        return apart(maps(x.roll((16, 16), (3, 4))), maps(x).roll((k, k), (2, 3)))

    assert apart_after(repad(net)) < 1e-3 < 0.1 < apart_after(net)


@pytest.mark.parametrize('make', [i3d, clstm, r3d], ids=['I3D', 'C-LSTM', 'r3d_18'])
def test_no_zeros_are_left_in_space_and_all_come_back(make):
    net, x = make(), clips(T=3)
    assert (zero_padding(net, x)[['H', 'W']] > 0).all(axis=1).sum() > 1
    for edges in ('circular', 'reflect'):
        new = repad(net, edges, x=x)
        assert not (zero_padding(new, x)[['H', 'W']] > 0).any(axis=None)
        back = repad(new, 'zeros')
        with torch.no_grad():
            assert torch.equal(back(x), net(x)) and not torch.equal(new(x), net(x))
        assert type(back) is type(net) and zero_padding(back, x).equals(zero_padding(net, x))


@pytest.mark.parametrize('make', [i3d, clstm], ids=['I3D', 'C-LSTM'])
def test_all_ways_of_the_package_give_the_same(make):
    "Plain operations, quick ones, and gradients"
    torus, x = repad(make()), clips(2, T=3).requires_grad_()
    quick = torus(x)
    g = torch.autograd.grad(quick[:, 1].sum(), x)[0]
    with reference_ops():
        plain = torus(x)
        h = torch.autograd.grad(plain[:, 1].sum(), x)[0]
    assert apart(quick, plain) < 1e-4 and apart(g, h) < 1e-3


@pytest.mark.parametrize('make', [i3d, clstm], ids=['I3D', 'C-LSTM'])
def test_masks_share_no_work(make):
    torus, x, target = repad(make()), clips(2, T=3), torch.tensor([1, 2])
    masks = windows(3)
    scores = MaskScores(torus, masks, half=False, share=True)
    assert not scores.shared
    with torch.no_grad():
        want = [torus(freeze(x, torch.from_numpy(m))).softmax(1).gather(1, target[:, None])[:, 0] for m in masks]
    assert torch.allclose(scores(x, target), torch.stack(want, 1), atol=1e-5)
    learned = learn_masks(torus, x, target, iterations=2)
    assert learned.mask.shape == (2, 3)
    for shortcut in ('stem', 'forward_from_stem', 'forward_orders'):
        with pytest.raises(ValueError, match='shares no work'):
            getattr(torus, shortcut)(x)


# --- a copy


def test_weights_are_copied_or_shared_as_asked():
    net, x = i3d(), clips()
    before = net(x).detach()
    for share in (False, True):
        own = copy.deepcopy(net)
        new = repad(own, share=share)
        assert (new.logits.weight is own.logits.weight) == share
        new.logits.bias.data += 1
        assert torch.allclose(own(x), before + share, atol=1e-5)
    assert torch.equal(net(x), before), 'the network that was given stays as it is'


def test_a_wrapped_network_a_copy_and_a_pickle_keep_their_edges(tmp_path):
    net, x = i3d(), clips()
    torus = repad(net)
    with torch.no_grad():
        want = torus(x)
        assert torch.equal(repad(wrap(net))(x), want)
        assert torch.equal(copy.deepcopy(torus)(x), want)
        torch.save(torus, tmp_path / 'net.pt')
        loaded = torch.load(tmp_path / 'net.pt', weights_only=False)
        handle = next(m for m in loaded.modules() if isinstance(m, UnitConv)).register_forward_pre_hook(
            lambda m, a: None
        )
        assert torch.equal(loaded(x), want)
        handle.remove()
        assert torch.equal(loaded(x), want)
    again = repad(repad(net, 'reflect'), 'circular')
    assert torch.equal(again(x), want) and again.settings['edges'] == 'circular'


def test_declared_under_its_own_name_it_is_trained_kept_and_opened(tmp_path):
    from interpvid.data.synthetic import make_clips
    from interpvid.training import train_on_clips

    small = PRESETS['i3d-small']
    model = {**small['model'], 'width': 0.05, 'edges': 'circular'}
    register(Network('i3d-circular', 'I3D, circular', PaddedI3D, {'small': {**small, 'model': model}}))
    try:
        drawn = make_clips(1, siblings=True, T=12, size=32, progress=False)
        train_on_clips('i3d-circular', drawn, drawn, tmp_path / 'net.safetensors', epochs=1, progress=False)
        net = load_model(tmp_path / 'net.safetensors', 'cpu')
    finally:
        NETWORKS.loaded.pop('i3d-circular')
    assert type(net) is PaddedI3D and net.settings['edges'] == 'circular'
    x = clips(T=12)
    assert not (zero_padding(net, x)[['H', 'W']] > 0).any(axis=None)
    with pytest.raises(ValueError, match='holds a PaddedI3D'):
        load_model(tmp_path / 'net.safetensors')


def test_both_classes_say_what_they_are():
    for kind, net in (
        (PaddedI3D, PaddedI3D(5, 'reflect', width=0.05, s_strides=(2, 2, 2, 2, 1))),
        (PaddedCLSTM, repad(clstm(), 'reflect')),
    ):
        assert type(net) is kind and net.settings['edges'] == 'reflect' and net.settings['axes'] == 'HW'
        fresh = kind(**net.settings)
        fresh.load_state_dict(net.state_dict())
        x = clips(T=3)
        with torch.no_grad():
            assert torch.equal(fresh.eval()(x), net.eval()(x))


# --- refused


class PadsItself(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.then = nn.Conv3d(3, 4, 3, padding=1), nn.Conv3d(4, 5, 3)

    def forward(self, x):
        return self.then(F.pad(self.first(x), [1] * 6)).mean((2, 3, 4))


REFUSED = {
    'still adds zeros': lambda: repad(PadsItself(), x=clips(size=8)),
    'circular padding gives at most 2': lambda: repad(nn.Conv2d(3, 4, 7, padding=3))(torch.randn(1, 3, 2, 2)),
    "reflect padding gives at most 2.*edges='circular' needs one less": lambda: repad(
        nn.Conv2d(3, 4, 7, padding=3), 'reflect'
    )(torch.randn(1, 3, 3, 3)),
    'features.Mixed_5b': lambda: repad(i3d(s_strides=(2, 2, 2, 2, 2)), 'reflect', x=clips()),
    'nothing in Linear': lambda: repad(nn.Linear(2, 2)),
    'ConvTranspose3d': lambda: repad(nn.ConvTranspose3d(3, 3, 3, padding=1)),
    'send a clip through': lambda: repad(nn.LazyConv3d(3, 3, padding=1)),
    'indices of what it pooled': lambda: repad(nn.MaxPool2d(3, 1, 1, return_indices=True)),
    "edges='torus'": lambda: repad(i3d(), 'torus'),
    "axes='XY'": lambda: repad(i3d(), axes='XY'),
}


@pytest.mark.parametrize('said', REFUSED)
def test_what_cannot_be_done_is_refused(said):
    with pytest.raises(ValueError, match=said):
        REFUSED[said]()


def test_a_function_is_no_network():
    with pytest.raises(TypeError, match='changes layers'):
        repad(lambda x: x)


# --- what is kept


def test_the_kept_numbers_are_whole_and_those_of_the_main_job():
    from interpvid.paper.trainings import load_trainings

    kept = json.loads((ROOT / 'interpvid' / 'kept' / 'padding.json').read_text(encoding='utf-8'))
    n, variants = len(kept['labels']), kept['variants']
    assert n == 110 and kept['about']['versions']['torch'] and kept['about']['date']
    assert {'zeros-0', 'circular-0', 'reflect-0', 'clstm-zeros-0'} <= set(variants)
    for key, v in variants.items():
        assert all(len(values) == n for values in v['clips'].values()), key
        assert np.shape(v['mean_map']) == (v['grid'], v['grid']) and v['accuracy']['clips'] == 240
        if v['edges'] == 'circular' and v['network'] == 'I3D':
            moved = [m for m in v['clips']['moved along'] if m is not None]
            assert min(moved) > 0.99, f'{key}: on a torus the map of a rolled picture is rolled'
            assert np.allclose(v['blank'], 1, atol=0.002), f'{key}: a clip of one colour has no places'
    five = load_trainings()['table2'].query("data=='something' and seed==0").set_index('network')['centre distance']
    for key, network in (('zeros-0', 'I3D'), ('clstm-zeros-0', 'C-LSTM')):
        assert abs(np.mean(variants[key]['clips']['centre distance']) - five[network]) < 0.5
