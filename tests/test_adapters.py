"Models of others: in one form, read in the right order, equal to what other libraries find, and left as they were."

import copy, pickle, warnings
from collections import namedtuple

import numpy as np, pytest, torch
from einops import rearrange
from torch import nn
from torchvision.models import (
    alexnet,
    convnext_tiny,
    densenet121,
    efficientnet_b0,
    googlenet,
    mobilenet_v3_small,
    regnet_y_400mf,
    resnet18,
    shufflenet_v2_x0_5,
    squeezenet1_1,
    swin_t,
    vgg11,
    vit_b_32,
    ResNet18_Weights,
)
from torchvision.models.vision_transformer import VisionTransformer
from torchvision.models.video import (
    mc3_18,
    mvit_v2_s,
    r2plus1d_18,
    r3d_18,
    s3d,
    swin3d_t,
    MViT_V2_S_Weights,
    R3D_18_Weights,
)
from torchvision.models.video.mvit import MSBlockConfig, MViT
from torchvision.models.video.swin_transformer import PatchEmbed3d, SwinTransformer3d

from interpvid.cam import (
    CAM_PRESETS,
    acts_and_grads,
    cam_settings,
    check_layer,
    find_layer,
    gradcam,
    map_notes,
    scaled,
    upsample,
)
from interpvid.explanation import explain, shape_to_read
from interpvid.masks.learn import learn_masks
from interpvid.masks.search import search_windows
from interpvid.models.adapters import first_tensor, map_layers, with_tensor, wrap
from interpvid.models.clstm import CLSTM
from interpvid.models.i3d import I3D

K = 5


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def hf(name, **kw):
    transformers = pytest.importorskip('transformers')
    base = dict(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64, image_size=32, num_labels=K
    )
    conf = getattr(
        transformers, dict(VideoMAE='VideoMAEConfig', Timesformer='TimesformerConfig', Vivit='VivitConfig')[name]
    )(**base | kw)
    return getattr(transformers, f'{name}ForVideoClassification')(conf)


def small_mvit():
    blocks = [
        MSBlockConfig(
            num_heads=2,
            input_channels=i,
            output_channels=o,
            kernel_q=[1, 3, 3],
            kernel_kv=[1, 3, 3],
            stride_q=[1, s, s],
            stride_kv=[1, 2 // s, 2 // s],
        )
        for i, o, s in ((16, 16, 1), (16, 32, 2), (32, 32, 1))
    ]
    return MViT(
        (32, 32),
        8,
        blocks,
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
        num_classes=K,
    )


def small_swin():
    return SwinTransformer3d(
        [2, 4, 4], 24, [2, 2], [2, 4], [2, 2, 2], stochastic_depth_prob=0, num_classes=K, patch_embed=PatchEmbed3d
    )


def small_vit():
    return VisionTransformer(32, 8, 3, 4, 32, 64, num_classes=K)


# name: model, clip (T,H,W), default layer, its maps (F,T',H',W')
NETS = dict(
    r3d_18=(lambda: r3d_18(num_classes=K), (8, 48, 48), 'layer4', (512, 1, 3, 3)),
    mc3_18=(lambda: mc3_18(num_classes=K), (4, 48, 48), 'layer4', (512, 4, 3, 3)),
    r2plus1d_18=(lambda: r2plus1d_18(num_classes=K), (16, 32, 32), 'layer4', (512, 2, 2, 2)),
    s3d=(lambda: s3d(num_classes=K), (16, 224, 224), 'features.15', (1024, 2, 7, 7)),
    swin3d_t=(lambda: swin3d_t(num_classes=K), (4, 64, 64), 'norm', (768, 2, 2, 2)),
    mvit_v2_s=(lambda: mvit_v2_s(num_classes=K), (16, 224, 224), 'blocks.14', (768, 8, 7, 7)),
    small_mvit=(small_mvit, (8, 32, 32), 'blocks.1', (32, 4, 4, 4)),
    small_swin=(small_swin, (8, 32, 32), 'norm', (48, 4, 4, 4)),
    videomae=(
        lambda: hf('VideoMAE', patch_size=8, num_frames=8, tubelet_size=2),
        (8, 32, 32),
        'videomae.encoder.layer.2',
        (32, 4, 4, 4),
    ),
    videomae_first=(
        lambda: hf('VideoMAE', patch_size=8, num_frames=8, tubelet_size=2, use_mean_pooling=False),
        (8, 32, 32),
        'videomae.encoder.layer.1',
        (32, 4, 4, 4),
    ),
    timesformer=(
        lambda: hf('Timesformer', patch_size=8, num_frames=4),
        (4, 32, 32),
        'timesformer.encoder.layer.1',
        (32, 4, 4, 4),
    ),
    timesformer_joint=(
        lambda: hf('Timesformer', patch_size=8, num_frames=4, attention_type='joint_space_time'),
        (4, 32, 32),
        'timesformer.encoder.layer.1',
        (32, 4, 4, 4),
    ),
    timesformer_space=(
        lambda: hf('Timesformer', patch_size=8, num_frames=4, attention_type='space_only'),
        (4, 32, 32),
        'timesformer.encoder.layer.1',
        (32, 4, 4, 4),
    ),
    vivit=(lambda: hf('Vivit', tubelet_size=[2, 8, 8], num_frames=8), (8, 32, 32), 'vivit.layers.1', (32, 4, 4, 4)),
    resnet18=(lambda: resnet18(num_classes=K), (4, 96, 96), 'layer4', (512, 4, 3, 3)),
    small_vit=(small_vit, (4, 32, 32), 'encoder.layers.encoder_layer_1', (32, 4, 4, 4)),
    swin_t=(lambda: swin_t(num_classes=K), (2, 64, 64), 'norm', (768, 2, 2, 2)),
    i3d=(lambda: I3D(K, width=0.125), (16, 64, 64), 'features.Mixed_5c', (128, 8, 2, 2)),
    clstm=(
        lambda: CLSTM(K, 64, 8, hidden=(8, 8), stride=(2, 2), pool=(2, 2)),
        (8, 64, 64),
        'layers.1.lstm',
        (8, 8, 8, 8),
    ),
)
BIG = 'mvit_v2_s'


def made(name, seed=0):
    torch.manual_seed(seed)
    net = NETS[name][0]().eval()
    with torch.no_grad():
        for n, p in net.named_parameters():  # Hugging Face starts at 0.02 and 0: nothing would depend on much
            if name.split('_')[0] in ('videomae', 'timesformer', 'vivit') or name == 'small_vit':
                p.add_(torch.randn_like(p) * (0.15 if p.ndim > 1 else 0.1))
    return net


def clips(name, B=2, seed=1):
    torch.manual_seed(seed)
    return torch.randn(B, 3, *NETS[name][1])


def scores(net, name, x):
    "Straight from the model, in the way its makers document"
    v = x.transpose(1, 2)
    if name == 'timesformer_space':
        return net(v).logits.unflatten(0, (len(x), -1)).mean(1)
    if name.startswith(('videomae', 'timesformer', 'vivit')):
        return net(pixel_values=v).logits
    if name in ('resnet18', 'small_vit', 'swin_t'):
        return torch.stack([net(c).mean(0) for c in v])
    return net(x)


# --- the same scores, a layer by name, a map


@pytest.mark.parametrize('name', NETS)
def test_known_models_need_no_settings(name):
    net = made(name)
    w = wrap(net)
    x = clips(name, 1 if name == BIG else 2)
    with torch.no_grad():
        torch.testing.assert_close(w(x), scores(net, name, x), atol=1e-5, rtol=1e-5)
    assert w.cam_layer == NETS[name][2]
    assert find_layer(w) is dict(net.named_modules())[w.cam_layer]
    A, G, t = acts_and_grads(w, x)
    assert A.shape == G.shape == (len(x), *NETS[name][3])
    cam = gradcam(w, x)
    assert cam.shape == (len(x), *NETS[name][1])
    assert torch.isfinite(cam).all()
    assert bool((cam.amax((1, 2, 3)) == 1).all())


@pytest.mark.parametrize(
    'make,layer',
    [
        (alexnet, 'features'),
        (vgg11, 'features'),
        (densenet121, 'features'),
        (efficientnet_b0, 'features'),
        (mobilenet_v3_small, 'features'),
        (convnext_tiny, 'features'),
        (squeezenet1_1, 'features'),
        (shufflenet_v2_x0_5, 'conv5'),
        (regnet_y_400mf, 'trunk_output'),
        (lambda: googlenet(init_weights=False), 'inception5b'),
        (vit_b_32, 'encoder.layers.encoder_layer_10'),
    ],
)
def test_networks_of_pictures(make, layer):
    torch.manual_seed(0)
    net = make().eval()
    w = wrap(net)
    if layer.startswith('encoder'):
        nn.init.normal_(net.heads.head.weight)  # zeros as torchvision makes it
    side = 224 if layer.startswith('encoder') else 96
    x = torch.randn(1, 3, 2, side, side)
    with torch.no_grad():
        torch.testing.assert_close(w(x)[0], net(x[0].transpose(0, 1)).mean(0), atol=1e-5, rtol=1e-4)
    assert w.cam_layer == layer
    assert gradcam(w, x, 7, relu=False, normalize=None).abs().max() > 0


def test_pictures_may_be_joined_otherwise():
    net = made('resnet18')
    x = clips('resnet18')
    w = wrap(net, pool=lambda s: s.amax(1))
    with torch.no_grad():
        torch.testing.assert_close(w(x), torch.stack([net(c).amax(0) for c in x.transpose(1, 2)]), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="pool='last'"):
        wrap(net, pool='last')


# --- order

WRONG = {
    'b (t h w) f': ['b (h w t) f', 'b (t w h) f'],
    'b (h w t) f': ['b (t h w) f', 'b (w h t) f'],
    'b t h w f': ['b h w t f', 'b t w h f'],
    'b f t h w': ['b f h w t', 'b f t w h'],
    '(b t) (h w) f': ['(b t) (w h) f', '(t b) (h w) f'],
    '(b t) f h w': ['(t b) f h w', '(b t) f w h'],
}
SIZES = dict(r3d_18=(32, 64, 64), resnet18=(4, 128, 128))  # so that T', H' and W' are 4 and no shape tells them apart
ORDER = (
    {n: 'b (t h w) f' for n in ('videomae', 'videomae_first', 'vivit', 'small_mvit')}
    | {n: 'b (h w t) f' for n in ('timesformer', 'timesformer_joint')}
    | dict(
        timesformer_space='(b t) (h w) f',
        small_swin='b t h w f',
        r3d_18='b f t h w',
        resnet18='(b t) f h w',
        small_vit='(b t) (h w) f',
    )
)
PLACES = [(0, 1, 3), (1, 3, 0), (2, 0, 1), (3, 2, 2)]


def change(w, x, y):
    "Where a layer's output differs between clips (2,T',H',W')"
    with torch.no_grad():
        return (acts_and_grads(w, y)[0] - acts_and_grads(w, x)[0]).abs().sum(1)


def with_patch(x, t, i, j):
    "A bright patch in one of 4×4×4 places of the second clip"
    y = x.clone()
    n, h, v = (a // 4 for a in x.shape[2:])
    y[1, :, t * n : (t + 1) * n, i * h : (i + 1) * h, j * v : (j + 1) * v] += 4
    return y


def follows(w, x, slack):
    "How many of four patches change most where they are; whether the change's centre follows along time, height, width"
    peaks, centres = [], []
    for p in PLACES:
        d = change(w, x, with_patch(x, *p))
        assert d.shape == (2, 4, 4, 4)
        at = np.unravel_index(int(d[1].argmax()), (4, 4, 4))
        peaks.append(bool(d[1].max() >= d.max()) and all(abs(a - b) <= slack for a, b in zip(at, p)))
        m = d[1].pow(2)
        centres.append(
            [float((m.sum([a for a in range(3) if a != k]) * torch.arange(4.0)).sum() / m.sum()) for k in range(3)]
        )
    return sum(peaks), [
        list(np.argsort([c[k] for c in centres])) == list(np.argsort([p[k] for p in PLACES])) for k in range(3)
    ]


@pytest.mark.parametrize('name', ORDER)
def test_maps_follow_a_bright_patch_in_space_and_time(name):
    "At the default layer; strides and pools that overlap may put the peak one place off"
    net = made(name)
    torch.manual_seed(1)
    x = 0.5 * torch.randn(2, 3, *SIZES.get(name, NETS[name][1]))
    slack = int(name in ('r3d_18', 'resnet18', 'small_mvit'))
    assert follows(wrap(net), x, slack) == (4, [True] * 3)
    for p in WRONG[ORDER[name]]:  # the same numbers in a wrong order do not
        n, along = follows(wrap(net, maps={NETS[name][2]: p}), x, slack)
        assert n < 4
        assert not all(along)


# --- what other libraries find

CAPTUM = dict(weights='clip', normalize=None, space=None, time=None)


@pytest.mark.parametrize(
    'make,layer,shape',
    [
        (lambda: r3d_18(num_classes=K), 'layer4', (16, 48, 48)),
        (lambda: r3d_18(num_classes=K), 'layer2', (8, 32, 32)),
        (lambda: I3D(K, width=0.25), 'features.Mixed_5c', (16, 64, 64)),
        (lambda: I3D(K), 'features.Mixed_5c', (8, 48, 48)),
    ],
)
@pytest.mark.parametrize('relu', [True, False])
def test_captum_finds_exactly_the_same(make, layer, shape, relu):
    LayerGradCam = pytest.importorskip('captum.attr').LayerGradCam
    torch.manual_seed(0)
    net = make().eval()
    found = dict(net.named_modules())[layer]
    for seed in range(2):
        torch.manual_seed(seed)
        x = torch.randn(1, 3, *shape)
        want = LayerGradCam(net, found).attribute(x, target=2, relu_attributions=relu)[:, 0]
        got = gradcam(net, x, 2, layer, relu=relu, **CAPTUM)
        assert got.abs().max() > 0
        assert torch.equal(got, want.detach())
        assert torch.equal(gradcam(wrap(net, layer=layer), x, 2, relu=relu, **CAPTUM), got)


def test_pytorch_grad_cam_finds_the_same():
    pgc = pytest.importorskip('pytorch_grad_cam')
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from pytorch_grad_cam.utils.image import scale_cam_image

    net = made('r3d_18')
    x = clips('r3d_18')
    x = torch.cat([x, x], 2)
    with pgc.GradCAM(net, [net.layer4]) as theirs:
        full = theirs(x, [ClassifierOutputTarget(1), ClassifierOutputTarget(3)])
        low = theirs.get_cam_image(
            x,
            net.layer4,
            None,
            theirs.activations_and_grads.activations[0].numpy(),
            theirs.activations_and_grads.gradients[0].numpy(),
        )
    low_here = gradcam(net, x, [1, 3], 'layer4', relu=False, **CAPTUM).numpy()
    np.testing.assert_allclose(low_here, low, rtol=1e-5, atol=1e-5 * np.abs(low).max())
    ours = scale_cam_image(
        np.maximum(scale_cam_image(np.maximum(low_here, 0), (48, 48, 16)), 0)
    )  # its min-max, cubic zoom, min-max
    np.testing.assert_allclose(ours, full, atol=1e-5)


def test_a_map_by_hand():
    "Eq. 2 and its variants on three numbers"

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.mid = nn.Identity()

        def forward(self, x):
            a = self.mid(x[:, :2])
            return torch.stack(
                [
                    (a[:, 0] * torch.tensor([1.0, 3]).view(2, 1, 1)).sum((1, 2, 3)) - a[:, 1].sum((1, 2, 3)),
                    a[:, 1, 0].sum((1, 2)),
                ],
                1,
            )

    x = torch.zeros(1, 3, 2, 1, 2)
    x[0, 0, :, 0] = torch.tensor([[1.0, 2], [3, 0]])
    x[0, 1, :, 0] = torch.tensor([[0.0, 5], [1, 1]])
    raw = dict(layer='mid', normalize=None, space=None, time=None)

    def at(**kw):
        return gradcam(Two(), x, 0, **raw | kw)[0, :, 0]

    torch.testing.assert_close(
        at(relu=False), torch.tensor([[1.0, 2 - 5], [9 - 1, -1]])
    )  # weights (1,3) by frame, and -1
    torch.testing.assert_close(at(), torch.tensor([[1.0, 0], [8, 0]]))
    torch.testing.assert_close(at(weights='clip', relu=False), torch.tensor([[2.0, 4 - 5], [6 - 1, -1]]))  # (1+3)/2
    torch.testing.assert_close(
        at(of='all logits', relu=False), torch.tensor([[1.0, 2], [8, -1]])
    )  # the second class adds 1 in the first frame
    torch.testing.assert_close(at(normalize='clip'), torch.tensor([[1 / 8, 0], [1, 0]]))
    torch.testing.assert_close(at(normalize='frame'), torch.tensor([[1.0, 0], [1, 0]]))
    torch.testing.assert_close(at(normalize='clip', relu=False), torch.tensor([[1.0, -3], [8, -1]]) / 8)
    torch.testing.assert_close(at(normalize='frame', relu=False), torch.tensor([[1 / 3, -1], [1, -1 / 8]]))
    torch.testing.assert_close(at(normalize='stretch'), torch.tensor([[1.0, 0], [1, 0]]))
    p = float(torch.tensor(at_scores := [1 + 2 + 9 - 7, 5.0]).softmax(0)[0])
    assert at_scores == [5, 5.0]
    torch.testing.assert_close(
        at(of='prob', relu=False), p * (1 - p) * torch.tensor([[1.0, 2 - 5 * 2], [9 - 1, -1]])
    )  # d prob = p(1-p)(d first - d second)


def test_presets_are_what_their_names_say():
    "The released I3D program's steps, done again with OpenCV"
    import cv2

    net = I3D(K, width=0.125, s_strides=(2, 2, 2, 1, 1)).eval()
    torch.manual_seed(0)
    x = torch.randn(2, 3, 16, 64, 48)
    A, G, t = acts_and_grads(net, x, [1, 4], of='prob')
    want = []
    for a, g in zip(A.numpy(), G.numpy()):
        cam = np.maximum(sum(w * f for w, f in zip(g.mean((1, 2, 3)), a)), 0)
        assert len(cam) == 8
        slices = [cv2.resize(c, (48, 64)) for c in cam]
        slices = [(c - c.min()) / ((c - c.min()).max() or 1) for c in slices]  # where theirs divides 0 by 0, zeros here
        want.append(np.repeat(slices, 2, 0))
    np.testing.assert_allclose(gradcam(net, x, [1, 4], preset='released-pytorch').numpy(), np.stack(want), atol=1e-5)
    assert torch.equal(
        gradcam(net, x, [1, 4]),
        gradcam(
            net,
            x,
            [1, 4],
            preset='paper',
            weights='frame',
            of='logit',
            normalize='clip',
            space='bilinear',
            time='linear',
        ),
    )
    clstm = made('clstm')
    y = clips('clstm')
    A, G, _ = acts_and_grads(clstm, y, 2)
    raw = (G.mean((3, 4), keepdim=True) * A).sum(1).relu()
    up = torch.nn.functional.interpolate(raw, (64, 64), mode='bilinear')
    torch.testing.assert_close(
        gradcam(clstm, y, 2, preset='released-tf'), up / up.amax((1, 2, 3), keepdim=True), atol=1e-5, rtol=1e-5
    )
    assert cam_settings('released-pytorch', normalize='frame') == CAM_PRESETS['released-pytorch'] | dict(
        normalize='frame'
    )


@pytest.mark.parametrize('space', ['bilinear', 'bicubic', 'nearest', None])
@pytest.mark.parametrize('time', ['linear', 'nearest', None])
def test_upsampling(space, time):
    net = made('i3d')
    x = clips('i3d')
    raw = gradcam(net, x, 1, normalize=None, space=None, time=None)
    assert raw.shape == (2, 8, 2, 2)
    up = gradcam(net, x, 1, normalize=None, space=space, time=time)
    assert up.shape == (2, 16 if time else 8, *((64, 64) if space else (2, 2)))
    assert up.min() >= 0
    if not space and time == 'nearest':
        assert torch.equal(up, raw.repeat_interleave(2, 1))
    if not time and space == 'nearest':
        assert torch.equal(up, raw.repeat_interleave(32, 2).repeat_interleave(32, 3))
    if space == 'bilinear' and time:
        torch.testing.assert_close(
            up,
            torch.nn.functional.interpolate(upsample(raw, x.shape[2:], None, time), (64, 64), mode='bilinear'),
            atol=1e-6,
            rtol=1e-5,
        )


def test_signed_maps_and_maps_of_nothing():
    net = made('i3d')
    x = clips('i3d', 3)
    kw = dict(target=2, normalize=None)
    s = gradcam(net, x, relu=False, **kw)
    assert s.min() < 0 < s.max()
    torch.testing.assert_close(gradcam(net, x, 2, relu=False), s / s.abs().amax((1, 2, 3), keepdim=True))
    for n in 'clip', 'frame', 'stretch', None:
        assert torch.equal(scaled(torch.zeros(2, 3, 4, 4), n), torch.zeros(2, 3, 4, 4))

    class Against(nn.Module):  # every activation speaks against every class
        def __init__(self):
            super().__init__()
            self.mid = nn.Sequential(nn.Conv3d(3, 4, 1), nn.ReLU())

        def forward(self, x):
            return -self.mid(x).sum((2, 3, 4))

    for n in 'clip', 'frame', 'stretch', None:
        z = gradcam(Against(), x, 0, 'mid', normalize=n)
        assert torch.equal(z, torch.zeros_like(z))


# --- batches, lengths, contexts


@pytest.mark.parametrize(
    'name', ['r3d_18', 'small_mvit', 'small_swin', 'videomae', 'timesformer', 'vivit', 'resnet18', 'i3d', 'clstm']
)
@pytest.mark.parametrize('preset', CAM_PRESETS)
def test_a_clips_map_is_its_own(name, preset):
    "Each clip alone, two at a time, all at once: to 1e-5 of the clip's maximum, in float32"
    w = wrap(made(name))
    x = clips(name, 3)
    t = [0, 4, 2]
    alone = torch.cat([gradcam(w, c[None], k, preset=preset) for c, k in zip(x, t)])
    for bs in 2, 24:
        got = gradcam(w, x, t, preset=preset, bs=bs)
        torch.testing.assert_close(got, alone, atol=1e-5, rtol=0)
    assert torch.equal(gradcam(w, x, torch.tensor(t), preset=preset), gradcam(w, x, t, preset=preset))


@pytest.mark.parametrize('name', ['r3d_18', 'i3d', 'resnet18'])
def test_one_frame(name):
    w = wrap(made(name))
    x = clips(name)[:, :, :1]
    cam = gradcam(w, x, relu=False)
    assert cam.shape == x[:, 0].shape
    assert torch.isfinite(cam).all()
    assert bool((cam.abs().amax((1, 2, 3)) == 1).all())


def frozen_copy(net):
    return (
        {k: v.clone() for k, v in net.state_dict().items()},
        [m.training for m in net.modules()],
        [p.requires_grad for p in net.parameters()],
        [None if p.grad is None else p.grad.clone() for p in net.parameters()],
    )


def as_before(net, was):
    now = frozen_copy(net)
    same = lambda a, b: a is b is None or torch.equal(a, b)
    return (
        all(torch.equal(v, was[0][k]) for k, v in now[0].items())
        and now[1:3] == was[1:3]
        and all(map(same, now[3], was[3]))
        and not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in net.modules())
    )


class Noisy(nn.Module):
    "Draws random numbers and counts, also in evaluation mode"

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv3d(3, 4, 3, 2, 1), nn.BatchNorm3d(4), nn.ReLU(inplace=True), nn.Conv3d(4, 4, 1))
        self.head = nn.Linear(4, K)
        self.register_buffer('n', torch.zeros(1))
        self.register_buffer('last', torch.zeros(1))
        self.cam_layer = 'net.1'

    def forward(self, x):
        self.n += 1
        self.last = torch.rand(1)
        return self.head(self.net(x + 0.1 * torch.randn_like(x)).mean((2, 3, 4)))


@pytest.mark.parametrize('name', ['r3d_18', 'timesformer', 'resnet18', 'i3d', 'noisy'])
def test_nothing_is_left_behind(name):
    net = Noisy() if name == 'noisy' else made(name)
    x = torch.randn(2, 3, 4, 32, 32) if name == 'noisy' else clips(name)
    w = wrap(net)
    w.train()
    part = list(net.modules())[3]
    part.eval()  # parts in different modes
    ps = list(net.parameters())
    ps[0].requires_grad_(False)
    ps[1].grad = torch.ones_like(ps[1])
    was, rng = frozen_copy(net), torch.get_rng_state()
    last = list(dict(net.named_modules()))[-1]
    for call in (
        lambda: gradcam(w, x),
        lambda: gradcam(w, x, 99),
        lambda: gradcam(w, x, layer='nowhere'),
        lambda: gradcam(w, x, layer=last),
        lambda: gradcam(w, x * float('nan')),
        lambda: gradcam(w, x[:, :2]),
    ):
        try:
            call()
        except (ValueError, RuntimeError):
            pass
        assert as_before(net, was)
        assert torch.equal(rng, torch.get_rng_state())
    assert torch.equal(gradcam(w, x), gradcam(w, x))  # the same random numbers come again
    w.eval()
    kept = gradcam(w, x)
    w.train()
    assert torch.equal(gradcam(w, x), kept)  # in training mode explained as in evaluation mode
    for p in ps:
        p.requires_grad_(False)
    assert torch.equal(gradcam(w, x), kept)  # and with all weights frozen


@pytest.mark.parametrize('name', ['r3d_18', 'vivit', 'i3d', 'clstm'])
@pytest.mark.parametrize('context', [torch.no_grad, torch.inference_mode])
def test_works_where_gradients_are_off(name, context):
    w = wrap(made(name))
    x = clips(name)
    want = gradcam(w, x, [1, 2])
    with context():
        assert torch.equal(gradcam(w, x, [1, 2]), want)
        assert torch.equal(gradcam(w, x.clone(), torch.tensor([1, 2])), want)
        assert gradcam(w, x.clone()).isfinite().all()
        assert not torch.is_grad_enabled()
        assert torch.is_inference_mode_enabled() == (context is torch.inference_mode)


def test_wrapped_models_can_be_copied_and_pickled():
    for name in 'small_mvit', 'videomae', 'resnet18':
        w = wrap(made(name))
        x = clips(name, 1)
        for again in copy.deepcopy(w), pickle.loads(pickle.dumps(w)):
            assert torch.equal(gradcam(again, x), gradcam(w, x))


def test_masks_are_learned_through_the_wrapper():
    w = wrap(made('r3d_18'), classes=list('abcde'))
    x = clips('r3d_18')
    a, b = learn_masks(w, x, iterations=2), learn_masks(w.model, x, iterations=2)
    assert a.mask.shape == (2, 8)
    assert np.array_equal(a.mask, b.mask)
    assert learn_masks(wrap(made('timesformer')), clips('timesformer'), iterations=2).mask.shape == (2, 4)


# --- what wrap carries, takes and refuses


def test_what_comes_along():
    w = wrap(r3d_18(), weights=R3D_18_Weights.DEFAULT)
    assert w.stats == ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
    assert len(w.classes) == 400
    assert not hasattr(w, 'clip_shape')  # it takes any size, and was trained on this
    assert shape_to_read(w) == ((16, 112, 112), "that of the model's training")
    told = wrap(r3d_18(), weights=R3D_18_Weights.DEFAULT, clip_shape=(8, 64, 64))
    assert shape_to_read(told) == ((8, 64, 64), "the model's")
    assert shape_to_read(wrap(resnet18(), weights=ResNet18_Weights.DEFAULT))[0] == (16, 224, 224)
    assert wrap(resnet18(), weights=ResNet18_Weights.DEFAULT).stats[0] == (0.485, 0.456, 0.406)
    assert wrap(made('small_mvit')).clip_shape == (8, 32, 32)
    assert (
        wrap(mvit_v2_s(weights=None)).clip_shape
        == (
            16,
            224,
            224,
        )
        == (MViT_V2_S_Weights.DEFAULT.meta['min_temporal_size'], *MViT_V2_S_Weights.DEFAULT.meta['min_size'])
    )
    for name in 'videomae', 'vivit', 'timesformer':
        w = wrap(made(name))
        assert w.clip_shape == NETS[name][1]
        assert w.classes == [f'LABEL_{k}' for k in range(K)]
        assert not hasattr(w, 'stats')
    processor = type('P', (), dict(image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.2, 0.1]))()
    assert wrap(r3d_18(), stats=processor).stats == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    assert wrap(r3d_18(), stats=(0.5, 0.2)).stats == (0.5, 0.2)
    with pytest.raises(ValueError, match='mean, standard deviation'):
        wrap(r3d_18(), stats=3)
    net = made('i3d')
    net.stats, net.classes, net.clip_shape = (0.5, 0.2), list('abcde'), (16, 64, 64)
    assert wrap(net) is net
    w = wrap(net, classes=list('fghij'))
    assert w.cam_layer == net.cam_layer
    assert w.classes == list('fghij')
    assert w.stats == (0.5, 0.2)
    assert w.clip_shape == (16, 64, 64)
    assert torch.equal(gradcam(w, clips('i3d')), gradcam(net, clips('i3d')))
    assert wrap(made('clstm')).cam_layer == 'layers.1.lstm'
    with pytest.raises(ValueError, match='wrapped already'):
        wrap(w)
    with pytest.raises(ValueError, match='a model is a module or a function'):
        wrap('r3d_18')


Named = namedtuple('Named', 'logits extra')


@pytest.mark.parametrize(
    'give,output',
    [
        (lambda y: y, None),
        (lambda y: (y, 1), None),
        (lambda y: [y], None),
        (lambda y: dict(logits=y, loss=0), None),
        (lambda y: Named(y, 0), None),
        (lambda y: type('O', (), dict(logits=y))(), None),
        (lambda y: dict(out=y, other=y * 2), 'out'),
        (lambda y: (0, y), 1),
        (lambda y: type('O', (), dict(out=y))(), 'out'),
        (lambda y: dict(a=dict(b=y)), lambda o: o['a']['b']),
    ],
)
def test_outputs_of_all_kinds(give, output):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv3d(3, K, 3)

        def forward(self, x):
            return give(self.conv(x).mean((2, 3, 4)))

    net = Net()
    x = torch.randn(2, 3, 4, 8, 8)
    w = wrap(net, output=output, layer='conv')
    assert torch.equal(w(x), net.conv(x).mean((2, 3, 4)))
    assert gradcam(w, x).shape == (2, 4, 8, 8)


@pytest.mark.parametrize(
    'give',
    [
        lambda y: y[:, :, None],
        lambda y: y[0],
        lambda y: dict(out=y),
        lambda y: (None, y),
        lambda y: torch.cat([y, y]),
        lambda y: None,
    ],
)
def test_outputs_that_are_no_scores(give):
    class Net(nn.Module):
        def forward(self, x):
            return give(x.mean((2, 3, 4)))

    with pytest.raises(
        ValueError, match=r'Net: scores have to be \(B,K\), here \(2,K\); there is .* Pass wrap\(model, output='
    ):
        wrap(Net())(torch.randn(2, 3, 4, 8, 8))


def test_outputs_that_are_no_scores_without_wrap():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv3d(3, K, 1)

        def forward(self, x):
            return dict(logits=self.conv(x).mean((2, 3, 4)))

    with pytest.raises((TypeError, ValueError), match='dict.*scores.*wrap'):
        gradcam(Net(), torch.randn(2, 3, 4, 8, 8), layer='conv')


@pytest.mark.parametrize('axes', ['BCTHW', 'BTCHW', 'b t c h w', 'BTHWC', 'BHWTC'])
def test_axes(axes):
    class Net(nn.Module):
        def forward(self, x):
            return x.flatten(1)

    x = torch.randn(2, 3, 4, 5, 6)
    spaced = ' '.join(axes.replace(' ', '').lower())
    assert torch.equal(wrap(Net(), axes=axes)(x), rearrange(x, f'b c t h w -> {spaced}').flatten(1))


@pytest.mark.parametrize('axes', ['BCTH', 'BCCTHW', 'NCTHW'])
def test_axes_that_make_no_sense(axes):
    with pytest.raises(ValueError, match=f"axes='{axes}'"):
        wrap(r3d_18(), axes=axes)


def test_a_clip_of_the_wrong_kind_says_what_the_model_was_given():
    with pytest.raises(RuntimeError) as e:
        wrap(r3d_18(), axes='BTCHW')(torch.randn(1, 3, 8, 16, 16))
    assert 'VideoResNet was given (1, 8, 3, 16, 16)' in ''.join(e.value.__notes__)
    with pytest.raises(ValueError, match=r'takes clips \(B,C,T,H,W\)'):
        wrap(r3d_18())(torch.randn(3, 8, 16, 16))


# --- layers


class Tube(nn.Module):
    "Tokens of unknown order behind a class token; blocks give tuples"

    def __init__(self, tuples=True):
        super().__init__()
        self.proj = nn.Conv3d(3, 16, (2, 8, 8), (2, 8, 8))
        self.cls = nn.Parameter(torch.randn(1, 1, 16))
        self.tuples = tuples
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, K)

    def forward(self, x):
        t = torch.cat([self.cls.expand(len(x), -1, -1), self.proj(x).flatten(2).transpose(1, 2)], 1)
        for b in self.blocks:
            t = b(t)['seq'][0]
        return self.head(self.norm(t)[:, 0])


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.at = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, t):
        return dict(n=3, seq=(t + self.at(t, t, t)[0], 'rest'))


TOLD = dict(maps='b (t h w) f', grid=(4, 4, 4), skip=1)


def test_a_layer_that_returns_a_structure():
    torch.manual_seed(0)
    net = Tube()
    x = torch.randn(2, 3, 8, 32, 32)
    w = wrap(net, layer='blocks.0', **TOLD)
    A, G, _ = acts_and_grads(w, x, 1)
    assert A.shape == G.shape == (2, 16, 4, 4, 4)
    t = torch.cat([net.cls.expand(2, -1, -1), net.proj(x).flatten(2).transpose(1, 2)], 1)
    t = (t + net.blocks[0].at(t, t, t)[0]).detach().requires_grad_()  # the same by hand
    s = net.head(net.norm(net.blocks[1](t)['seq'][0])[:, 0])[:, 1].sum()
    (g,) = torch.autograd.grad(s, t)
    torch.testing.assert_close(A, rearrange(t[:, 1:], 'b (t h w) f -> b f t h w', t=4, h=4))
    torch.testing.assert_close(G, rearrange(g[:, 1:], 'b (t h w) f -> b f t h w', t=4, h=4))
    o = dict(a=3, b=[torch.arange(2), Named(torch.ones(2), 'x')])
    new = with_tensor(o, torch.zeros(2))
    assert torch.equal(new['b'][1].logits, torch.zeros(2))
    assert new['b'][1].extra == 'x'
    assert torch.equal(first_tensor(o), torch.ones(2))
    assert first_tensor((1, 'a')) is None


def test_behind_the_last_block_the_patches_count_no_more():
    "The gradient at the patches of the last block is zero, and said to be; that of the block before is not"
    for name, last in dict(
        vivit='vivit.layers.2',
        timesformer='timesformer.encoder.layer.2',
        small_mvit='blocks.2',
        small_vit='encoder.layers.encoder_layer_2',
    ).items():
        w = wrap(made(name))
        x = clips(name)
        with pytest.raises(
            ValueError, match=f'read the class token alone after the layer {last}.*such as {w.cam_layer}'
        ):
            gradcam(w, x, layer=last)
        assert acts_and_grads(w, x)[1].abs().amax((1, 2, 3, 4)).min() > 0
    w = wrap(made('videomae'))
    g = acts_and_grads(w, clips('videomae'))[1]
    assert g.abs().amax(1).min() > 0  # the mean over all tokens: every one counts
    w = wrap(made('videomae_first'))
    g = acts_and_grads(w, clips('videomae_first'), layer='videomae.encoder.layer.2')[1]
    assert bool((g.abs().amax(1) > 0).flatten(1).sum(1).eq(1).all())  # its head reads the first patch
    assert acts_and_grads(w, clips('videomae_first'))[1].abs().amax(1).min() > 0


@pytest.mark.parametrize(
    'name,layer,F',
    [
        ('videomae', 'videomae.embeddings', 32),
        ('videomae', 'videomae.embeddings.patch_embeddings.projection', 32),
        ('videomae', 'videomae.encoder.layer.2.layernorm_before', 32),
        ('vivit', 'vivit.layers.2.layernorm_before', 32),
        ('vivit', 'vivit.layers.1.attention', 32),
        ('small_mvit', 'blocks.2.norm1', 32),
        ('small_mvit', 'conv_proj', 16),
        ('small_swin', 'features.0', 24),
        ('small_swin', 'patch_embed.proj', 24),
        ('resnet18', 'layer2', 128),
        ('timesformer', 'timesformer.embeddings', 32),
    ],
)
def test_other_layers_of_known_models(name, layer, F):
    w = wrap(made(name))
    x = clips(name)
    A, G, _ = acts_and_grads(w, x, layer=layer)
    assert A.shape[:2] == (2, F)
    assert A.shape[2] == 4
    assert G.any()
    assert torch.equal(gradcam(w, x, layer=dict(w.model.named_modules())[layer]), gradcam(w, x, layer=layer))


@pytest.mark.parametrize('name', ['videomae', 'resnet18'])
def test_models_that_need_wrap_are_told_so(name):
    with pytest.raises(ValueError, match=r'does not take clips \(B,C,T,H,W\) as they are .*; wrap\(model\) knows how'):
        gradcam(made(name), clips(name))


def test_pictures_with_channels_last_keep_their_convolutions_straight():
    w = wrap(made('swin_t'))
    x = clips('swin_t')
    assert (
        acts_and_grads(w, x, layer='features.0.0')[0].shape
        == acts_and_grads(w, x, layer='features.0')[0].shape
        == (2, 96, 2, 16, 16)
    )
    torch.testing.assert_close(
        acts_and_grads(w, x, layer='features.0.0')[0], acts_and_grads(w, x, layer='features.0.1')[0]
    )  # a permutation alone


def test_layers_that_return_an_object_of_transformers():
    w = wrap(made('videomae'))
    x = clips('videomae')
    assert torch.equal(gradcam(w, x, layer='videomae.encoder'), gradcam(w, x))


def test_layers_that_are_looked_for():
    torch.manual_seed(0)
    net = Tube()
    x = torch.randn(2, 3, 8, 32, 32)
    with pytest.raises(
        ValueError,
        match=r'no layer given for Grad-CAM in Tube; layers with places are, for one clip, proj \(1, 16, 4, 4, 4\).*'
        r'norm \(1, 65, 16\).*has to be told how their tokens lie: maps=, grid=, skip=',
    ):
        gradcam(wrap(net), x)
    with pytest.raises(
        ValueError,
        match=r"no layer 'layer9' for Grad-CAM in VideoResNet; .*layer3 \(1, 256, 2, 6, 6\).*"
        r"layer4 \(1, 512, 1, 3, 3\)",
    ):
        gradcam(wrap(made('r3d_18')), clips('r3d_18'), layer='layer9')
    with pytest.raises(ValueError, match='`wrap` knows this model, and layer4 as its layer'):
        gradcam(made('r3d_18'), clips('r3d_18'))
    with pytest.raises(ValueError, match='the last convolutions are'):
        find_layer(made('r3d_18'))
    with pytest.raises(ValueError, match='is not part of the model'):
        gradcam(wrap(net), x, layer=nn.Conv3d(3, 3, 1))
    with pytest.raises(ValueError, match='has no layer layer9'):
        wrap(net, layer='layer9')
    with pytest.raises(ValueError, match='has no layer Conv3d, which is not part of it'):
        wrap(net, layer=nn.Conv3d(3, 3, 1))
    with pytest.raises(ValueError, match='maps: Tube has no layer blocks.7'):
        wrap(net, maps={'blocks.7': 'b (t h w) f'})
    assert wrap(net, layer=net.blocks[0]).cam_layer == 'blocks.0'
    found = map_layers(wrap(made('resnet18')), clips('resnet18'))
    assert found['layer4'] == (4, 512, 3, 3)
    assert 'avgpool' not in found
    assert 'fc' not in found
    found = map_layers(made('r3d_18'), clips('r3d_18'))
    assert found['layer4'] == (1, 512, 1, 3, 3)
    assert 'avgpool' not in found
    assert 'stem.0' in found
    found = map_layers(wrap(made('timesformer')), clips('timesformer'))
    assert found['timesformer.encoder.layer.1'] == (1, 65, 32)
    assert list(found)[-1] == 'timesformer.layernorm'


@pytest.mark.parametrize(
    'kw,says',
    [
        ({}, 'tokens, of unknown order'),
        (dict(maps='b (t h w) f'), 'how many places'),
        (dict(maps='b (t h w) f', grid=(4, 4, 4)), 'is not 4 × 4 × 4 places'),
        (dict(maps='b (t h w) f', grid=(4, 4, 5), skip=1), 'after 1 other tokens, that is not 4 × 4 × 5 places'),
        (dict(maps='b f t h w'), 'which maps=.b f t h w. does not fit'),
        (dict(maps='(b t) (h w) f', grid=(4, 4, 4), skip=1), 'is not 4 × 4 × 4 places'),
    ],
)
def test_tokens_need_an_order_and_a_grid(kw, says):
    net = wrap(made('vivit').requires_grad_(False)).model
    plain = type('Unheard', (nn.Module,), dict(forward=lambda s, x: s.net(x.transpose(1, 2)).logits))()
    plain.net = net
    with pytest.raises(ValueError, match=says):
        gradcam(wrap(plain, layer='net.vivit.layers.1', **kw), clips('vivit'))


@pytest.mark.parametrize('maps', ['f t h w', 'b f t t h w', 'b f x h w', '(t h w) f'])
def test_patterns_that_make_no_sense(maps):
    with pytest.raises(ValueError, match='every axis has one letter'):
        wrap(r3d_18(), maps=maps)


def test_channels_last_of_an_unknown_model_is_noticed():
    "B6: found by how the output follows the clip"
    plain = type('Unheard', (nn.Module,), dict(forward=lambda s, x: s.net(x)))()
    plain.net = made('small_swin')
    x = clips('small_swin')
    want = gradcam(wrap(plain.net), x)
    assert torch.equal(gradcam(wrap(plain, layer='net.norm'), x), want)
    assert torch.equal(gradcam(wrap(plain, layer='net.norm', maps='b t h w f'), x), want)
    assert torch.equal(gradcam(plain.net, x, layer='norm'), want)


class Odd(nn.Module):
    "Parts that run twice, not at all, or for nothing"

    def __init__(self):
        super().__init__()
        self.conv, self.twice, self.idle, self.loose, self.zero, self.head, self.flat = (
            nn.Conv3d(3, 4, 1),
            nn.Conv3d(4, 4, 1),
            nn.Conv3d(4, 4, 1),
            nn.Conv3d(4, 4, 1),
            nn.Conv3d(4, 4, 1),
            nn.Linear(4, K),
            nn.AdaptiveAvgPool3d(1),
        )

    def forward(self, x):
        y = self.twice(self.twice(self.conv(x).relu()))
        self.loose(y)
        y = y + 0 * self.zero(y)
        return self.head(self.flat(y).flatten(1))


@pytest.mark.parametrize(
    'layer,says',
    [
        ('twice', 'the layer twice runs 2 times in one pass of Odd'),
        ('idle', 'the layer idle runs not at all'),
        ('loose', 'do not depend on the layer loose'),
        ('zero', 'do not change with the layer zero: its gradient is exactly zero'),
        ('head', r'head of Odd gives \(2, 5\).*no places in time and space'),
        ('flat', 'the layer flat has a single place'),
    ],
)
def test_layers_that_cannot_be_explained(layer, says):
    net = Odd()
    x = torch.randn(2, 3, 4, 8, 8)
    for m in (net, wrap(net)):
        with pytest.raises(ValueError, match=says):
            gradcam(m, x, layer=layer)
        with pytest.raises(ValueError, match=says.replace('2, 5', '1, 5')):
            check_layer(m, layer, x)  # one clip says the same
    assert not any(m._forward_hooks for m in net.modules())


@pytest.mark.parametrize(
    'kw,says',
    [
        (dict(target=K), 'run from 0 to 4'),
        (dict(target=-1), 'run from 0 to 4'),
        (dict(target=[0, -1]), 'classes run from 0'),
        (dict(target=[0, 1, 2]), 'each of 2 clips'),
        (dict(target=1.5), 'class index'),
        (dict(target=[0, 7], bs=1), 'run from 0 to 4'),
        (dict(target=[1], of='loss'), "of='loss'"),
        (dict(weights='mean'), "weights='mean'"),
        (dict(normalize='max'), "normalize='max'"),
        (dict(space='area'), "space='area'"),
        (dict(time='cubic'), "time='cubic'"),
        (dict(preset='ours'), "preset='ours'; there are 'paper', 'released-pytorch', 'released-tf'"),
        (dict(normalize='stretch', relu=False), 'moves zero'),
        (dict(bs=0), 'a whole number from 1'),
    ],
)
def test_settings_that_make_no_map(kw, says):
    with pytest.raises(ValueError, match=says):
        gradcam(made('i3d'), clips('i3d')[:, :, :2], **kw)


def test_a_wrong_number_of_targets_is_not_hidden_by_bs():
    with pytest.raises(ValueError, match='each of 4 clips'):
        gradcam(made('i3d'), clips('i3d', 4)[:, :, :2], [0, 1], bs=2)


def test_numbers_that_are_none():
    net = Odd()
    x = torch.randn(2, 3, 4, 8, 8)
    with pytest.raises(ValueError, match='clips hold values that are not finite'):
        gradcam(net, x.index_fill(0, torch.tensor(1), float('nan')), layer='conv')
    net.head.bias.data[0] = float('inf')
    with pytest.raises(ValueError, match='Odd: the scores hold values that are not finite'):
        gradcam(net, x, layer='conv')
    net = Odd()
    net.conv.bias.data[0] = -float('inf')  # hidden by the ReLU after it
    with pytest.raises(ValueError, match='the activations of conv hold values that are not finite'):
        gradcam(net, x, layer='conv')


# --- which axis is which, and layers that run frame by frame


class Arranged(nn.Module):
    "A layer whose output lies in some order; the next layer puts it right again"

    def __init__(self, order, F=8, depth=1, T=8):
        super().__init__()
        seen = [nn.Conv3d(F, F, 3, 1, 1) for _ in range(depth - 1)]
        self.first = nn.Sequential(nn.Conv3d(3, F, (1, 4, 4), (1, 4, 4)), *seen)
        self.order, self.T, self.turned, self.head = order, T, Turn(f'b f t h w -> {order}'), nn.Linear(F, K)
        self.mix = nn.Conv3d(F, F, 3, 1, 1)

    def forward(self, x):
        y = self.turned(self.first(x))
        y = rearrange(y, f'{self.order} -> b f t h w', **({'t': self.T} if '(' in self.order else {}))
        return self.head(self.mix(y).relu().mean((2, 3, 4)))


class Turn(nn.Module):
    def __init__(self, pattern):
        super().__init__()
        self.pattern = pattern

    def forward(self, y):
        return rearrange(y, self.pattern)


AS_IT_IS = dict(relu=False, normalize=None, space=None, time=None)
SOLID = ['b f t h w', 'b t f h w', 'b t h w f', 'b f h w t', 'b h w f t', 'b h w t f', 't b f h w', 't b h w f']
IN_ROWS = ['(b t) f h w', '(t b) f h w', '(b t) h w f', '(t b) h w f']


@pytest.mark.parametrize('depth', [1, 3])
@pytest.mark.parametrize('order', SOLID + IN_ROWS)
def test_the_order_of_axes_is_found_where_sizes_do_not_tell(order, depth):
    "B6: T = F = H' = W' = 8, and no pattern given; the map is that of the same network's convolution"
    net = Arranged(order, depth=depth).eval()
    x = torch.randn(2, 3, 8, 32, 32)
    want = gradcam(net, x, 1, 'first', **AS_IT_IS)
    assert want.shape == (2, 8, 8, 8)
    for m in net, wrap(net), wrap(net, maps=order, grid=(8, 8, 8)):
        torch.testing.assert_close(gradcam(m, x, 1, 'turned', **AS_IT_IS), want, atol=1e-7, rtol=1e-5)


def test_frames_first_as_in_a_model_that_takes_frames_first():
    "B6: the row itself: (B,T,F,H,W) with T = F = 32 of a model that takes BTCHW"

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.turned, self.head = nn.Conv2d(3, 32, 4, 4), nn.Identity(), nn.Linear(32, K)

        def forward(self, v):  # (B,T,C,H,W)
            y = self.turned(self.conv(v.flatten(0, 1)).unflatten(0, v.shape[:2]))
            return self.head((y.relu() * torch.linspace(0, 1, 32).view(1, -1, 1, 1, 1)).mean((1, 3, 4)))

    w = wrap(Net().eval(), axes='BTCHW', layer='turned')
    x = torch.randn(1, 3, 32, 16, 16)
    A, G, _ = acts_and_grads(w, x, 2)
    with torch.no_grad():
        y = w.model.conv(x[0].transpose(0, 1)).transpose(0, 1)[None]
    torch.testing.assert_close(A, y)
    assert A.shape == (1, 32, 32, 4, 4)
    assert torch.equal(A, acts_and_grads(wrap(w.model, axes='BTCHW', layer='turned', maps='b t f h w'), x, 2)[0])


def test_what_was_told_is_not_asked():
    "B6: a pattern of the caller's stands, known kinds of layers are not asked, and the others once for each size"
    net = Arranged('b t f h w').eval()
    calls = []
    net.register_forward_pre_hook(lambda m, a: calls.append(len(a[0])))
    x = torch.randn(1, 3, 8, 32, 32)
    told = gradcam(wrap(net, maps='b h f t w'), x, 1, 'turned', **AS_IT_IS)
    gradcam(net, x, 1, 'first')
    gradcam(net, x, 1, 'mix')
    assert calls[-3:] == [1, 1, 1]
    assert 5 not in calls
    assert not torch.equal(gradcam(net, x, 1, 'turned', **AS_IT_IS), told)
    gradcam(net, x, 1, 'turned')
    assert calls.count(5) == 1
    with pytest.raises(ValueError, match="pass wrap.model, maps=….*'b t f h w'"):
        gradcam(wrap(net, maps='b (h w t) f'), x, 1, 'head')


def test_a_layer_that_does_not_show_its_order_is_said_to():
    "B6: where nothing follows the clip, the usual order is taken with a warning, or the pattern is asked for"

    class Mixed(nn.Module):
        def __init__(self, *size):
            super().__init__()
            self.lin, self.out, self.head = nn.LazyLinear(512), nn.Unflatten(1, size), nn.Linear(512, K)

        def forward(self, x):
            return self.head(self.out(self.lin(x.flatten(1))).flatten(1).relu())

    x = torch.randn(1, 3, 8, 8, 8)
    net = Mixed(8, 4, 4, 4).eval()
    net(x)
    with pytest.warns(UserWarning, match="out of Mixed: its output does not show.*read as 'b f t h w'.*'b t f h w'"):
        gradcam(net, x, 1, 'out')
    net = Mixed(8, 8, 8).eval()
    net(x)
    with pytest.raises(ValueError, match="how it follows the frames cannot be seen.*'b t f h w', or '.b t. f h w'"):
        gradcam(net, x, 1, 'out')


class PerFrame(nn.Module):
    "A CNN for each frame, then a GRU; `way` says how the CNN is called"

    def __init__(self, way, step=1):
        super().__init__()
        self.way, self.step = way, step
        self.cnn = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), Res(8), nn.Conv2d(8, 8, 3, 1, 1))
        self.gru, self.head = nn.GRU(8, 8, batch_first=True), nn.Linear(8, K)

    def features(self, x):  # (B,T,F,H',W')
        x = x[:, :, :: self.step]
        B, T = len(x), x.shape[2]
        if self.way == 'loop':
            return torch.stack([self.cnn(f) for f in x.unbind(2)], 1)
        if self.way == 'backwards':
            return torch.stack([self.cnn(f) for f in x.flip(2).unbind(2)], 1).flip(1)
        if self.way == 'clips first':
            return self.cnn(rearrange(x, 'b c t h w -> (b t) c h w')).unflatten(0, (B, T))
        return self.cnn(rearrange(x, 'b c t h w -> (t b) c h w')).unflatten(0, (T, B)).transpose(0, 1)

    def forward(self, x):
        return self.head(self.gru(self.features(x).mean((3, 4)))[0][:, -1])


class Res(nn.Module):
    "Its ReLU runs twice, as in a ResNet's block"

    def __init__(self, n):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(n, n, 3, 1, 1), nn.ReLU()

    def forward(self, x):
        return self.relu(x + self.conv(self.relu(x)))


WAYS = ['loop', 'backwards', 'clips first', 'frames first']


@pytest.mark.parametrize('step', [1, 2])
@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('layer', ['cnn', 'cnn.1', 'cnn.2', 'cnn.2.conv'])
def test_a_network_of_frames_inside_a_network_of_clips(way, step, layer):
    "D6: called in a loop or with B·T images, a CNN's layers are listed with their T and give the maps by hand"
    net = PerFrame(way, step).eval()
    x = torch.randn(2, 3, 8, 16, 16)
    found = map_layers(net, x)
    assert found['cnn'] == found['cnn.2'] == (8 // step, 8, 4, 4)
    A, G, _ = acts_and_grads(net, x, 1, layer)
    assert A.shape == (2, 8, 8 // step, 4, 4)
    frames = x[:, :, ::step].transpose(1, 2).flatten(0, 1)
    module, kept = net.get_submodule(layer), []
    handle = module.register_forward_hook(lambda m, a, o: kept.append(o))
    y = net.cnn(frames)
    handle.remove()
    score = net.head(net.gru(y.unflatten(0, (2, -1)).mean((3, 4)))[0][:, -1])[:, 1].sum()
    (g,) = torch.autograd.grad(score, kept[0])
    for got, want in (A, kept[0]), (G, g):
        torch.testing.assert_close(got, want.unflatten(0, (2, -1)).transpose(1, 2), atol=1e-6, rtol=1e-4)
    cam = gradcam(net, x, [1, 2], layer)
    assert cam.shape == (2, 8, 16, 16)
    torch.testing.assert_close(gradcam(net, x[1:], 2, layer), cam[1:], atol=1e-5, rtol=0)
    btchw = type('BTCHW', (nn.Module,), dict(forward=lambda s, v: s.net(v.transpose(1, 2))))()
    btchw.net = net
    torch.testing.assert_close(gradcam(wrap(btchw, axes='BTCHW'), x, [1, 2], f'net.{layer}'), cam)


def test_what_is_listed_can_be_used():
    "D6: the error for a missing layer lists the layers of the CNN in the loop, and every one of them gives a map"
    for way in WAYS:
        net = PerFrame(way).eval()
        x = torch.randn(1, 3, 8, 16, 16)
        with pytest.raises(ValueError, match=r"no layer 'z' .*cnn \(8, 8, 4, 4\)"):
            find_layer(net, 'z', x)
        for layer in (n for n in map_layers(net, x) if n.startswith('cnn')):
            assert check_layer(net, layer, x) == (8, 4, 4)


def test_a_layer_that_runs_in_turn_but_not_for_the_frames():
    "D6: a ReLU that runs twice for each frame, a block that runs twice in depth"
    net, x = PerFrame('loop').eval(), torch.randn(1, 3, 8, 16, 16)
    with pytest.raises(ValueError, match='cnn.2.relu runs 16 times in one pass of PerFrame, and not once for each of'):
        check_layer(net, 'cnn.2.relu', x)
    with pytest.raises(ValueError, match='cnn.2.relu runs 2 times in one pass of PerFrame'):
        check_layer(PerFrame('clips first').eval(), 'cnn.2.relu', x)
    with pytest.raises(ValueError, match='the layer twice runs 2 times in one pass of Odd'):
        check_layer(Odd(), 'twice', torch.randn(1, 3, 8, 8, 8))


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3 + 4, 4, 3, 1, 1)

    def forward(self, x, h):
        return torch.tanh(self.conv(torch.cat([x, h], 1)))


def test_what_a_run_hands_on_to_the_next_counts():
    "D6: a recurrent cell in a loop: the gradient at frame t goes through all later frames"

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = Cell(), nn.Linear(4, K)

        def states(self, x):
            h, states = torch.zeros(len(x), 4, *x.shape[3:]), []
            for f in x.unbind(2):
                h = self.cell(f, h)
                states.append(h)
            return states

        def forward(self, x):
            return self.head(self.states(x)[-1].mean((2, 3)))

    net, x = Net().eval(), torch.randn(2, 3, 6, 8, 8)
    states = net.states(x)
    g = torch.autograd.grad(net.head(states[-1].mean((2, 3)))[:, 1].sum(), states)
    A, G, _ = acts_and_grads(net, x, 1, 'cell')
    torch.testing.assert_close(A, torch.stack(states, 2))
    torch.testing.assert_close(G, torch.stack(g, 2))
    assert G.abs().amax((0, 1, 3, 4)).min() > 0


def test_pieces_of_a_clip_one_after_the_other():
    "D6: a 3D network that runs for each two frames"

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.piece, self.head = nn.Conv3d(3, 8, (2, 4, 4), (1, 4, 4), (1, 0, 0)), nn.Linear(8, K)

        def forward(self, x):
            y = torch.stack([self.piece(p).relu().mean((2, 3, 4)) for p in x.split(2, 2)], 1)
            return self.head(y.cumsum(1).tanh().mean(1))

    net, x = Net().eval(), torch.randn(2, 3, 8, 16, 16)
    assert map_layers(net, x)['piece'] == (1, 8, 12, 4, 4)
    A, G, _ = acts_and_grads(net, x, 1, 'piece')
    torch.testing.assert_close(A, torch.cat([net.piece(p) for p in x.split(2, 2)], 2))


def test_a_view_of_clips_that_are_not_in_a_row():
    "D6: `.view` in a model that takes BTCHW; the model gets clips without gaps, and no note blames the axes"

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, K)

        def forward(self, v):
            y = self.conv(v.view(-1, *v.shape[2:]))
            return self.head(y.view(len(v), v.shape[1], 8, -1).mean((1, 3)))

    w = wrap(Net().eval(), axes='BTCHW', layer='conv')
    x = torch.randn(2, 3, 8, 16, 16)
    want = gradcam(w, x, 1)
    assert want.shape == (2, 8, 16, 16)
    last = x.contiguous(memory_format=torch.channels_last_3d)
    for y in last, x.transpose(3, 4).contiguous().transpose(3, 4), x.expand(2, -1, -1, -1, -1):
        torch.testing.assert_close(gradcam(w, y, 1), want, atol=1e-5, rtol=1e-4)


def test_a_list_of_layers_gives_a_list_of_maps():
    "D11, its part for layers: names or modules, in their order"
    net, x = PerFrame('loop').eval(), torch.randn(2, 3, 8, 16, 16)
    a, b, c = gradcam(net, x, 1, ['cnn', net.cnn[2], 'cnn.0'])
    for got, layer in zip((a, b, c), ('cnn', 'cnn.2', 'cnn.0')):
        assert torch.equal(got, gradcam(net, x, 1, layer))
    assert len(gradcam(net, x, 1, ('cnn',))) == 1
    with pytest.raises(ValueError, match="no layer 'z'"):
        gradcam(net, x, 1, ['cnn', 'z'])
    with pytest.raises(ValueError, match='at least one layer'):
        gradcam(net, x, 1, [])
    with pytest.raises(ValueError, match='a name or a module'):
        gradcam(net, x, 1, 3)


# --- maps that say nothing


class Gated(nn.Module):
    "A ReLU after the layer lets only bright clips through"

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Conv3d(3, 4, (1, 4, 4), (1, 4, 4)), nn.Linear(4, K)
        nn.init.constant_(self.layer.weight, 1 / 48)
        nn.init.zeros_(self.layer.bias)
        nn.init.constant_(self.head.weight, 1)

    def forward(self, x):
        return self.head((self.layer(x) - 1).relu().mean((2, 3, 4)))


@pytest.mark.parametrize('bs', [1, 2, 24])
def test_a_dead_clip_has_a_map_of_zeros_whatever_its_batch(bs):
    "B12: in a batch, alone, in parts of a batch: zeros and one warning"
    net = Gated().eval()
    dead, alive = torch.rand(3, 3, 4, 8, 8), 4 + torch.rand(2, 3, 4, 8, 8)
    want = gradcam(net, alive, 1, 'layer')
    assert want.amax((1, 2, 3)).min() == 1
    with pytest.warns(UserWarning, match=r'gradcam at layer .clips 0, 2, 4.: zero everywhere: nothing') as said:
        got = gradcam(net, torch.stack([dead[0], alive[0], dead[1], alive[1], dead[2]]), 1, 'layer', bs=bs)
    assert len(said) == 1
    assert torch.equal(got[[1, 3]], want)
    assert not got[[0, 2, 4]].any()
    with pytest.warns(UserWarning, match='gradcam at layer: zero everywhere: nothing at this layer speaks') as said:
        assert not gradcam(net, dead[:1], 1, 'layer', bs=bs).any()
    assert len(said) == 1
    assert check_layer(net, 'layer', dead) == (4, 2, 2)


def test_a_layer_that_cannot_count_stays_an_error():
    "B12: a dead clip is not an error; a layer that never counts is one, also with a batch of one"
    for n in 1, 2:
        with pytest.raises(ValueError, match='do not change with the layer zero: its gradient is exactly zero'):
            check_layer(Odd(), 'zero', torch.randn(n, 3, 4, 8, 8))


def test_one_place_in_time_is_said():
    "B14: r3d_18 with 8 frames has one place in time; with 16 it has two"
    net = made('r3d_18')
    x = torch.randn(2, 3, 16, 32, 32)
    with pytest.warns(UserWarning, match='gradcam at layer4: one place in time: every frame has the same map') as said:
        cam = gradcam(wrap(net), x[:, :, :8], 1)
    assert len(said) == 1
    assert torch.equal(cam[:, :1].expand_as(cam), cam)
    assert check_layer(net, 'layer4', x[:, :, :8]) == (1, 2, 2)
    assert check_layer(net, 'layer4', x) == (2, 2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        gradcam(wrap(net), x, layer='layer1')
        gradcam(wrap(net), x[:, :, :1], layer='layer1', relu=False)


def test_negative_everywhere_is_said():
    "B14: a map that ReLU makes black, since all of it speaks against the class"

    class Against(nn.Module):
        def __init__(self):
            super().__init__()
            self.mid = nn.Sequential(nn.Conv3d(3, 4, 1), nn.ReLU())

        def forward(self, x):
            return -self.mid(x).sum((2, 3, 4))

    x = torch.randn(2, 3, 4, 8, 8)
    for relu in True, False:
        with pytest.warns(UserWarning, match='gradcam at mid: negative everywhere'):
            gradcam(Against(), x, 0, 'mid', relu=relu)
    assert map_notes(-torch.ones(4, 2, 2), (4, 2, 2)) == ['negative everywhere']
    assert map_notes(np.ones((4, 2, 2), np.float16), (1, 2, 2)) == [
        'one place in time: every frame has the same map'
    ]
    assert map_notes(np.zeros((1, 2, 2)), (1, 2, 2)) == [
        'zero everywhere: nothing at this layer speaks for the class'
    ]
    assert map_notes(torch.ones(4, 2, 2), (4, 2, 2)) == map_notes(torch.ones(4, 2, 2)) == []


# --- what `wrap` is told


def test_a_model_of_another_size_says_both_sizes():
    "B7: where the model itself stops, the error says what it was made for and what it got"
    for name in 'videomae', 'vivit', 'small_mvit':
        w = wrap(made(name))
        x = torch.randn(1, 3, 4, 32, 32)
        with pytest.raises((RuntimeError, ValueError, TypeError, AssertionError, IndexError)) as e:
            w(x)
        said = str(e.value) + ''.join(getattr(e.value, '__notes__', ()))
        assert '8 × 32 × 32' in said
        assert '4 × 32 × 32' in said


def test_the_convention_of_scores_comes_along():
    "B3: `wrap(scores=…)` is an attribute of the wrapped model"
    assert wrap(r3d_18(num_classes=K)).scores is None
    assert wrap(r3d_18(num_classes=K), scores='probs').scores == 'probs'
    assert wrap(r3d_18(num_classes=K), scores=torch.sigmoid).scores is torch.sigmoid
    net = made('i3d')
    net.scores = 'sigmoid'
    assert wrap(net, classes=list('abcde')).scores == 'sigmoid'
    assert wrap(net, scores='logits').scores == 'logits'
    with pytest.raises(ValueError, match="scores='softmax': 'logits', 'probs', 'sigmoid', or a function"):
        wrap(net, scores='softmax')
    for wrong in (16, 112), (16, 0, 112), 112, (16, 1.5, 2):
        with pytest.raises(ValueError, match='clip_shape=.*three whole numbers'):
            wrap(net, clip_shape=wrong)


def test_another_network_of_the_same_name():
    "A 3D ResNet is not torchvision's network of images"
    ResNet = type('ResNet', (nn.Module,), dict(forward=lambda s, x: s.head(s.layer4(x).mean((2, 3, 4)))))
    net = ResNet()
    net.layer4, net.head = nn.Conv3d(3, 8, 3, 1, 1), nn.Linear(8, K)
    assert wrap(net).axes == 'b c t h w'
    assert gradcam(wrap(net), torch.randn(1, 3, 4, 8, 8), layer='layer4').shape == (1, 4, 8, 8)


def test_a_function_around_a_network():
    "D8: a function as a model: its network's layers go by their names, wrapped or not"
    net, x = made('i3d'), clips('i3d')
    want = gradcam(net, x, 1)

    def half(v):
        return net(v) / 2

    torch.testing.assert_close(gradcam(half, x, 1), want, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(gradcam(half, x, 1, net.features.Mixed_5c), want, atol=1e-5, rtol=1e-4)
    w = wrap(half, classes=list('abcde'))
    torch.testing.assert_close(gradcam(w, x, 1, 'features.Mixed_5c'), want, atol=1e-5, rtol=1e-4)
    assert check_layer(half, 'features.Mixed_5c', x) == (8, 2, 2)
    mae = wrap(made('videomae'))
    y = clips('videomae')
    torch.testing.assert_close(gradcam(lambda v: mae(v) * 2, y, 1), gradcam(mae, y, 1), atol=1e-5, rtol=1e-4)
    turned = type('BTCHW', (nn.Module,), dict(forward=lambda s, v: s.net(v.transpose(1, 2))))()
    turned.net = Arranged('b t f h w').eval()
    z = torch.randn(1, 3, 8, 32, 32)
    got = gradcam(lambda v: turned(v.transpose(1, 2)), z, 1, 'net.turned', **AS_IT_IS)
    torch.testing.assert_close(got, gradcam(turned.net, z, 1, 'first', **AS_IT_IS), atol=1e-7, rtol=1e-5)
    with pytest.raises(ValueError, match='a module or a function'):
        gradcam('r3d_18', x, 1)


def test_a_clip_of_another_length_than_the_model_was_made_for():
    "B7: TimeSformer stretches its places in time without a word: both lengths are said, and how to do it on purpose"
    w = wrap(made('timesformer'))
    x = torch.randn(1, 3, 8, 32, 32)
    with torch.no_grad():
        assert w(x).shape == (1, K)  # the model itself does not mind
    for call in gradcam, learn_masks, search_windows, explain:
        with pytest.raises(ValueError, match=r'made for clips of 4 frames.*8 frames.*clip_shape'):
            call(w, x)
    w.clip_shape = None
    assert gradcam(w, x).shape == (1, 8, 32, 32)
    r = wrap(made('r3d_18'), clip_shape=(16, 48, 48))
    with pytest.raises(ValueError, match=r'made for clips of 16 frames of 48×48, these have 8 frames of 48×48'):
        check_layer(r, None, clips('r3d_18'))


def test_a_class_by_its_name():
    "D8: `gradcam(target='a class name')`"
    w, x = wrap(made('i3d'), classes=['up', 'down', 'left', 'right', 'still']), clips('i3d')
    assert torch.equal(gradcam(w, x, 'left'), gradcam(w, x, 2))
    assert torch.equal(gradcam(w, x, ['up', 'still']), gradcam(w, x, [0, 4]))
    with pytest.raises(ValueError, match="no class 'lift' among 5; the nearest are 'left'"):
        gradcam(w, x, 'lift')
    with pytest.raises(ValueError, match="target='left': the model does not name its classes; give an index"):
        gradcam(made('i3d'), x, 'left')


def test_a_layer_is_checked_before_masks_are_learned():
    "D6: what is wrong with a layer is said before a million steps; what is right is used, and its places are kept"
    net, x = PerFrame('loop').eval(), torch.randn(2, 3, 8, 16, 16)
    wrong = {'cnn.2.relu': 'runs 16 times', 'gru': 'tokens, of unknown order', 'head': 'no places in time'}
    for layer, why in wrong.items():
        with pytest.raises(ValueError, match=why):
            explain(net, x, 1, layer=layer, iterations=10**6)
    e = explain(net, x, 1, layer='cnn', preset='fast', iterations=2)[0]
    assert e.settings['cam']['places'] == [8, 4, 4]
    np.testing.assert_allclose(e.cam, gradcam(net, x, 1, 'cnn')[0], atol=2e-3)
    y = torch.randn(1, 3, 8, 32, 32)
    with pytest.warns(UserWarning, match='one place in time'):
        e = explain(wrap(made('r3d_18')), y, 1, preset='fast', iterations=2)[0]
    assert any('One place in time: every frame has the same map' in n for n in e.notes)
    assert e.settings['cam']['places'] == [1, 2, 2]


# --- containers, pathways, further arguments, libraries with one form for all


def test_containers_are_looked_through():
    "D11: a known network in DataParallel, torch.compile, a Lightning module: its layer, its scores, its map"
    from forms import Trained

    net, x = made('videomae'), clips('videomae')
    want, scores_ = gradcam(wrap(net), x, 1), wrap(net)(x)
    compiled = torch.compile(net, backend='eager')
    for held in nn.DataParallel(net), compiled, Trained(net), nn.DataParallel(Trained(net)):
        w = wrap(held)
        assert w.cam_layer == NETS['videomae'][2]
        assert w.clip_shape == NETS['videomae'][1]
        assert w.name == 'VideoMAEForVideoClassification'
        torch.testing.assert_close(w(x), scores_, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(gradcam(w, x, 1), want, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(wrap(held, layer=net.videomae.encoder.layer[2])(x), scores_, atol=1e-5, rtol=1e-5)
    w = wrap(nn.DataParallel(net), layer='module.videomae.encoder.layer.1')
    assert w.cam_layer == 'videomae.encoder.layer.1'
    i3d, y = made('i3d'), clips('i3d')
    i3d.stats = (0.5, 0.2)
    w = wrap(torch.compile(i3d, backend='eager'))
    assert (w.cam_layer, w.stats) == ('features.Mixed_5c', (0.5, 0.2))
    torch.testing.assert_close(gradcam(w, y, 1), gradcam(i3d, y, 1), atol=1e-5, rtol=1e-4)
    two_nets = Trained(net)
    two_nets.other = nn.Linear(2, 2)
    assert wrap(two_nets).cam_layer is None  # which of them is meant cannot be known


def test_a_compiled_model_runs_compiled_until_it_is_looked_into():
    "Scores come from what torch.compile made; hooks on a layer are seen all the same"
    calls = []

    def backend(graph, inputs):
        return lambda *args: calls.append(1) or graph.forward(*args)

    net, x = made('r3d_18'), clips('r3d_18')
    w = wrap(torch.compile(net, backend=backend))
    with torch.no_grad():
        want = net(x)
        torch.testing.assert_close(w(x), want)
    assert calls
    calls.clear()
    gradcam(w, x, 1, layer='layer3')
    assert not calls
    with torch.no_grad():
        w(x)
    assert calls


class TwoPaths(nn.Module):
    "A slow pathway of few frames and many features, a fast one of all frames"

    def __init__(self):
        super().__init__()
        self.slow, self.fast = nn.Conv3d(3, 16, (1, 4, 4), (1, 4, 4)), nn.Conv3d(3, 4, (1, 4, 4), (1, 4, 4))
        self.head = nn.Linear(20, K)

    def forward(self, clips):
        slow, fast = (f(c).relu().mean((2, 3, 4)) for f, c in zip((self.slow, self.fast), clips))
        return self.head(torch.cat([slow, fast], 1))


def test_a_list_of_pathways_and_a_map_for_each():
    net, x = TwoPaths().eval(), torch.randn(2, 3, 16, 16, 16)
    w = wrap(net, pathways=(4, 1), layer='fast')
    at = [0, 5, 10, 15]  # as PyTorchVideo packs them: evenly, the first and the last among them
    assert torch.equal(w(x), net([x[:, :, at], x]))
    slow, fast = gradcam(w, x, 1, ['slow', 'fast'])
    assert slow.shape == fast.shape == x[:, 0].shape
    assert acts_and_grads(w, x, 1, 'slow')[0].shape == (2, 16, 4, 4, 4)
    A, G, _ = acts_and_grads(w, x, 1, 'slow')
    torch.testing.assert_close(A, net.slow(x[:, :, at]))
    raw = gradcam(w, x, 1, 'slow', normalize=None, space=None, time=None)
    torch.testing.assert_close(raw, (G.mean((3, 4), keepdim=True) * A).sum(1).relu())
    flow = wrap(net, pathways=(lambda c: c.flip(2), lambda c: c[:, :, ::2]), layer='slow')
    assert torch.equal(flow(x), net([x.flip(2), x[:, :, ::2]]))
    with pytest.raises(ValueError, match='a pathway takes one of 4 frames, and the clips have 3'):
        w(x[:, :, :3])
    with pytest.raises(RuntimeError) as e:
        wrap(net, pathways=(4, 1), axes='BTCHW')(x)
    assert '(2, 4, 3, 16, 16) and (2, 16, 3, 16, 16)' in ''.join(e.value.__notes__)
    masks = learn_masks(w, x, 1, preset='fast', iterations=2)
    assert masks.mask.shape == (2, 16)


def test_v_jepa_2_and_x_clip_are_known():
    "Their own calls give the same scores; the map follows time; a text is a class"
    from test_rollout import texts, vjepa2, xclip

    net, x = vjepa2(), torch.randn(2, 3, 8, 32, 32)
    w = wrap(net)
    with torch.no_grad():
        torch.testing.assert_close(w(x), net(pixel_values_videos=x.transpose(1, 2)).logits)
    assert w.cam_layer == 'vjepa2.encoder.layer.2'
    assert w.clip_shape == (8, 32, 32)
    A = acts_and_grads(w, x, 1)[0]
    y = x.clone()
    y[:, :, 4:6, 8:16, 24:] += 3
    d = (acts_and_grads(w, y, 1)[0] - A).abs().sum((0, 1))
    assert np.unravel_index(int(d.argmax()), d.shape) == (2, 1, 3)

    net, x = xclip(), torch.randn(2, 3, 4, 32, 32)
    w = wrap(net, inputs=texts(), classes=['a red ball', 'a blue ball'])
    with torch.no_grad():
        torch.testing.assert_close(w(x), net(pixel_values=x.transpose(1, 2), **texts()).logits_per_video)
    assert w.clip_shape == (4, 32, 32)
    assert torch.equal(gradcam(w, x, 'a blue ball'), gradcam(w, x, 1))
    assert acts_and_grads(w, x, 1)[0].shape == (2, 32, 4, 4, 4)
    y = x.clone()
    y[:, :, 2, 8:16, 24:] += 3
    d = (acts_and_grads(w, y, 1)[0] - acts_and_grads(w, x, 1)[0]).abs().sum((0, 1))
    assert np.unravel_index(int(d.argmax()), d.shape) == (2, 1, 3)
    with pytest.raises(ValueError, match=r"XCLIPModel compares clips with texts.*inputs=processor\(text="):
        wrap(net)


def of_library(module, **attributes):
    "A class as it were of a library that is not installed"
    return type('Net', (nn.Module,), dict(__module__=module, **attributes))


def test_timm_says_where_its_last_features_are():
    "timm is not installed: stand-ins with its attributes, a pyramid and a transformer of patches"
    cfg = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    Pyramid = of_library('timm.models.resnet', forward=lambda s, x: s.head(s.stages(x).mean((2, 3))))
    net = Pyramid()
    net.stages, net.head = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU()), nn.Linear(8, K)
    net.feature_info, net.pretrained_cfg = [dict(module='stem'), dict(module='stages')], cfg
    x = torch.randn(2, 3, 4, 16, 16)
    w = wrap(net)
    assert (w.axes, w.cam_layer, w.stats) == ('(b t) c h w', 'stages', (cfg['mean'], cfg['std']))
    assert acts_and_grads(w, x, 1)[0].shape == (2, 8, 4, 4, 4)
    Patches = of_library('timm.models.vision_transformer', forward=lambda s, x: s.vit(x))
    for pooled, layer in ('token', 'blocks.1'), ('avg', 'blocks.2'):
        net = Patches()
        vit = small_vit().eval()
        nn.init.normal_(vit.heads.head.weight)  # zeros as torchvision makes it
        net.blocks, net.vit = nn.Sequential(*vit.encoder.layers), vit
        net.num_prefix_tokens, net.global_pool = 1, pooled
        net.patch_embed = type('P', (), dict(patch_size=(8, 8)))()
        w = wrap(net)
        assert w.cam_layer == layer
        assert (w.skip, w.maps) == (1, '(b t) (h w) f')
    net.global_pool = 'token'
    assert acts_and_grads(wrap(net), torch.randn(2, 3, 4, 32, 32), 1)[0].shape == (2, 32, 4, 4, 4)


def test_a_model_is_called_as_wrap_says():
    net = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, 2))
    assert wrap(net, name='mine').name == 'mine' and wrap(net, axes='BCTHW').name == 'Sequential'
    mine, frames = wrap(net, name='mine', stats=(0.5, 0.5)), np.zeros((1, 4, 16, 16, 3), np.uint8)
    assert explain(mine, frames, masks=np.zeros((1, 4)), maps=torch.zeros(1, 4, 16, 16))[0].model == 'mine'
