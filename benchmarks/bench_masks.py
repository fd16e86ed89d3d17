"Masks and heat maps: perturbing, learning, searching, Grad-CAM, beside the way in which each is usually written."

import torch

from frame import bench
from interpvid.cam import gradcam
from interpvid.device import eval_frozen, fast, fast_layout
from interpvid.masks.learn import learn_masks
from interpvid.masks.perturb import freeze
from interpvid.masks.search import search_windows
from bench_models import channels_last, small_network, within_reference


@bench(
    'freeze and its gradient, 24 clips of 16×64×64',
    against='a loop over frames, each cloned from the one before',
    at_least=1.5,
)
def _():
    x = channels_last(torch.randn(24, 3, 16, 64, 64))

    def step(f):
        m = torch.full((24, 16), 0.5, requires_grad=True)
        f(x, m).square().mean().backward()

    return lambda: step(freeze), lambda: step(loop)


def loop(x, m):
    "Freeze as the released programs do: frame by frame, with clones"
    y = x.clone()
    for t in range(1, x.shape[2]):
        k = m[:, t, None, None, None]
        y[:, :, t] = (1 - k) * x[:, :, t] + k * y[:, :, t - 1].clone()
    return y


def nets(name):
    "The built-in network in its fast layout, and 16 clips"
    torch.manual_seed(0)
    net = fast_layout(small_network(name)).eval()
    return net, channels_last(torch.randn(16, 3, 16, 64, 64))


def unlike_fast(net):
    "Weights in the plain memory format"
    for p in net.parameters():
        p.data = p.data.contiguous()
    return net


central = torch.zeros(16)
central[5:11] = 1


def learned(net, x, steps, **kw):
    return lambda: learn_masks(net, x, target=0, preset='released-pytorch', iterations=steps, bs=16, **kw)


def bare_passes(net, x, steps):
    """Forward, and backward to the clips, in the same precision and layout; nothing else.

    (learn_masks needs less than that where the first convolution sees each frame once.)"""

    def f():
        with eval_frozen(net):
            for _ in range(steps):
                v = x.detach().requires_grad_()
                with fast('cpu'):
                    p = net(v)
                torch.autograd.grad(p.float().softmax(1)[:, 0].sum(), v)

    return f


def released(net, x, steps, clips):
    "Gradients for all weights, float32, a loop over frames; `clips` run for the mask of the first"
    x = x[:clips].contiguous()
    net.eval()

    def f():
        logits = (10 * central - 5).requires_grad_()
        opt = torch.optim.Adam([logits], 0.2)
        for _ in range(steps):
            m = logits.sigmoid()
            y = loop(x, m.expand(clips, -1))
            loss = 0.01 * m.sum() + 0.02 * (m.diff().abs() ** 3).sum() + net(y).softmax(1)[0, 0]
            opt.zero_grad()
            loss.backward()
            opt.step()
            net.zero_grad()

    return within_reference(f)


def one_by_one(net, x):
    from captum.attr import LayerGradCam

    g = LayerGradCam(net, dict(net.named_modules())[net.cam_layer])

    def f():
        for c in x:
            torch.nn.functional.interpolate(
                g.attribute(c[None], target=0, relu_attributions=True), size=x.shape[2:], mode='trilinear'
            )

    return f


ONE = {16: '16 clips run for the mask of one', 1: 'one clip at a time'}
HARD = "learn_masks, released-pytorch, 300 steps (100 steps, times 3)"
for name in 'I3D', 'C-LSTM':
    many = 16 if name == 'I3D' else 1

    @bench(
        f'{name}: learn_masks, 16 clips, 100 steps with the search for a start',
        against='100 bare passes forward and back to the clips, same batch, precision and layout',
        at_least=1 / 1.1,
        runs=3,
    )
    def _(name=name):
        net, x = nets(name)
        return learned(net, x, 100), bare_passes(net, x, 100)

    @bench(
        f'{name}: learn_masks per clip, 100 steps',
        against=f"the released program's way: gradients for all weights, float32, a loop over frames, {ONE[many]} "
        '(20 steps of one mask, times 5, times 16)',
        at_least=60 if many == 16 else 3,
        runs=5,
        times=5 * 16,
    )
    def _(name=name, many=many):
        (net, x), (plain, _) = nets(name), nets(name)
        return learned(net, x, 100, start=central), released(unlike_fast(plain), x, 20, many)

    @bench(f'{name}: search_windows, 16 clips', against=HARD, at_least=4, runs=3, times=3)
    def _(name=name):
        net, x = nets(name)
        return lambda: search_windows(net, x, target=0), learned(net, x, 100, start=central)

    @bench(f"{name}: learn_masks, preset 'fast', 16 clips", against=HARD, at_least=4, runs=3, times=3)
    def _(name=name):
        net, x = nets(name)
        return lambda: learn_masks(net, x, target=0, preset='fast', bs=16), learned(net, x, 100, start=central)

    @bench(f'{name}: gradcam, 16 clips', against="captum's LayerGradCam, one clip at a time", at_least=2)
    def _(name=name):
        (net, x), (plain, _) = nets(name), nets(name)
        return lambda: gradcam(net, x, target=0, bs=16), one_by_one(unlike_fast(plain), x.contiguous())
