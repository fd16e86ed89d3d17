"Maps from gradients: against answers known by construction, autograd by hand, and captum."

import random

import captum.attr as captum, numpy as np, pytest, torch
from torch import nn

from interpvid.cam import gradcam
from interpvid.gradients import (
    BASELINES,
    baseline_clips,
    captum_map,
    gradcam_by_place,
    gradient_input,
    held_frame,
    integrated_gradients,
    saliency,
)
from interpvid.masks.perturb import black, blur, freeze, mean_frame

CHECK = dict(check=False)


class Tiny(nn.Module):
    "A smooth network with a layer of maps and a batch norm, whose scores depend on order"

    cam_layer, classes = 'conv', ['a', 'b', 'c']

    def __init__(self, T=6, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv, self.norm = nn.Conv3d(3, 6, 3, padding=1), nn.BatchNorm3d(6)
            self.fc = nn.Linear(6 * T, 3)
            nn.init.normal_(self.fc.weight, std=2)
            nn.init.normal_(self.conv.weight, std=0.3)  # so that tanh bends

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).tanh().mean((3, 4)).flatten(1))


class Known(nn.Module):
    "One logit beside 0: a function of the clip"

    scores = 'logits'

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        y = self.f(x)
        return torch.stack([torch.zeros_like(y), y], 1)


def clips(B=2, T=6, size=8, seed=0):
    return torch.randn(B, 3, T, size, size, generator=torch.Generator().manual_seed(seed))


def net():
    return Tiny().eval()


# --- known by construction


def test_of_a_linear_score_the_gradient_is_the_weight():
    w, x = clips(1, seed=1)[0], clips()
    linear = Known(lambda x: (w * x).sum((1, 2, 3, 4)))
    torch.testing.assert_close(gradient_input(linear, x, 1), (w * x).sum(1))
    torch.testing.assert_close(saliency(linear, x, 1), w.abs().amax(0).expand(2, -1, -1, -1))
    for name in BASELINES:
        want = (w * (x - baseline_clips(x, name))).sum(1)
        torch.testing.assert_close(integrated_gradients(linear, x, 1, name, steps=1), want)
        torch.testing.assert_close(gradient_input(linear, x, 1, name), want)


def test_a_product_is_shared_by_its_factors():
    "y = a·b from 0: half to each; gradient × input gives all of it to both"
    product = Known(lambda x: x[:, 0, 1, 2, 3] * x[:, 0, 4, 5, 6])
    x = clips()
    y = x[:, 0, 1, 2, 3] * x[:, 0, 4, 5, 6]
    found = integrated_gradients(product, x, 1, 0, steps=2)
    torch.testing.assert_close(found[:, 1, 2, 3], y / 2)
    torch.testing.assert_close(found[:, 4, 5, 6], y / 2)
    assert ((found != 0).sum((1, 2, 3)) == 2).all()
    torch.testing.assert_close(gradient_input(product, x, 1)[:, 1, 2, 3], y)


@pytest.mark.parametrize('of', ['logit', 'prob'])
@pytest.mark.parametrize('baseline', BASELINES)
def test_integrated_gradients_add_up(baseline, of):
    model, x = net(), clips()
    target = torch.tensor([2, 0])

    def score(x):
        with torch.no_grad():
            y = model(x)
        return (y if of == 'logit' else y.softmax(1)).gather(1, target[:, None])[:, 0]

    found = integrated_gradients(model, x, target, baseline, 48, of)
    torch.testing.assert_close(found.sum((1, 2, 3)), score(x) - score(baseline_clips(x, baseline)), atol=2e-3, rtol=0)
    few = integrated_gradients(model, x, target, baseline, 1, of).sum((1, 2, 3))
    assert (few - found.sum((1, 2, 3))).abs().max() > 0.01  # one point is not enough


def test_what_never_changes_has_no_part():
    x = clips()
    x[:, :, :, :4] = x[:, :, :1, :4]
    found = integrated_gradients(net(), x, 1)
    assert not found[:, :, :4].any()
    assert not found[:, 0].any()
    assert found[:, 1:, 4:].any()


# --- baselines


def test_baselines_are_the_full_masks_of_perturbations():
    x, on = clips(), torch.ones(6)
    for name, perturb in dict(frozen=freeze, black=black, blur=blur, mean=mean_frame).items():
        torch.testing.assert_close(baseline_clips(x, name), perturb(x, on), atol=1e-5, rtol=0)
    model = net()
    model.stats = (0.3, 0.1)
    torch.testing.assert_close(baseline_clips(x, 'black', model), black(x, on, (0.3, 0.1)))
    other = clips(1, seed=3)
    torch.testing.assert_close(baseline_clips(x, other)[1], other[0])
    assert set(BASELINES) == {'frozen', 'black', 'blur', 'mean'}


# --- captum and autograd


def test_equal_captums():
    model, x, target = net(), clips(3), torch.tensor([0, 2, 1])
    theirs = captum.IntegratedGradients(model).attribute(x, held_frame(x), target, n_steps=7)
    torch.testing.assert_close(integrated_gradients(model, x, target, steps=7), theirs.sum(1), atol=1e-5, rtol=1e-4)
    theirs = captum.InputXGradient(model).attribute(x.clone().requires_grad_(), target).sum(1).detach()
    torch.testing.assert_close(gradient_input(model, x, target), theirs, atol=1e-6, rtol=1e-4)
    theirs = captum.Saliency(model).attribute(x.clone().requires_grad_(), target, abs=True).amax(1)
    torch.testing.assert_close(saliency(model, x, target), theirs, atol=1e-6, rtol=1e-4)


def test_captums_methods_as_maps():
    model, x, target = net(), clips(), torch.tensor([0, 2])
    found = captum_map(baselines=held_frame, n_steps=7)(model, x, target)
    torch.testing.assert_close(found, integrated_gradients(model, x, target, steps=7), atol=1e-5, rtol=1e-4)
    product = captum_map('InputXGradient')
    torch.testing.assert_close(product(model, x, target), gradient_input(model, x, target), atol=1e-6, rtol=1e-4)
    assert product.__name__ == "captum's InputXGradient"
    with pytest.raises(ValueError, match='captum.attr has no'):
        captum_map('Magic')
    with pytest.raises(ValueError, match='takes classes'):
        product(model, x, (0, 1))


def test_place_by_place_is_gradient_times_activation():
    model, x, target = net(), clips(), torch.tensor([0, 2])
    A = model.conv(x).detach().requires_grad_()
    y = model.fc(model.norm(A).tanh().mean((3, 4)).flatten(1))
    (G,) = torch.autograd.grad(y.gather(1, target[:, None]).sum(), A)
    want = (A * G).sum(1).detach()
    found = gradcam_by_place(model, x, target, relu=False, normalize=None)
    torch.testing.assert_close(found, want, atol=1e-6, rtol=1e-4)
    by_frame = gradcam(model, x, target, relu=False, normalize=None)
    assert (by_frame - want).abs().max() > 0.01  # the mean over places does make a difference
    top = gradcam_by_place(model, x, target).amax((1, 2, 3))
    torch.testing.assert_close(top, torch.ones(2))


# --- targets


def test_any_target():
    model, x = net(), clips()
    a, b = (integrated_gradients(model, x, c, steps=4) for c in (0, 2))
    torch.testing.assert_close(integrated_gradients(model, x, (0, 2), steps=4), a - b, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(integrated_gradients(model, x, 'c', steps=4), b)
    torch.testing.assert_close(integrated_gradients(model, x, [0, 2], steps=4), torch.stack([a[0], b[1]]))
    own = integrated_gradients(model, x, lambda output: output[:, 2], steps=4)
    torch.testing.assert_close(own, b, atol=1e-6, rtol=1e-4)
    with torch.no_grad():
        predicted = model(x).argmax(1)
    torch.testing.assert_close(gradient_input(model, x), gradient_input(model, x, predicted))
    torch.testing.assert_close(saliency(model, x), saliency(model, x, predicted))


def test_a_function_is_a_model():
    model, x = net(), clips()
    torch.testing.assert_close(gradient_input(lambda x: model(x), x, 1), gradient_input(model, x, 1))


def test_parts_do_not_matter():
    model, x, target = net(), clips(5), torch.tensor([0, 2, 1, 1, 0])
    for f in gradient_input, saliency, integrated_gradients, gradcam_by_place:
        torch.testing.assert_close(f(model, x, target, bs=2), f(model, x, target), atol=1e-6, rtol=1e-4)


def test_as_maps_of_explain():
    from interpvid.explanation import explain

    x = torch.rand(1, 3, 6, 16, 16)
    model = Tiny().eval()
    told = dict(stats=(0.5, 0.25), iterations=2)
    es = explain(model, x, 1, maps=integrated_gradients, **told)
    assert es[0].cam_name == 'integrated_gradients'
    map_ = integrated_gradients(model, x, 1)[0].relu()
    np.testing.assert_allclose(es[0].cam, (map_ / map_.max()).numpy(), atol=1e-3)


# --- what stays, and what goes wrong


def state_of(model):
    return (
        {n: m.training for n, m in model.named_modules()},
        {n: p.requires_grad for n, p in model.named_parameters()},
        {n: b.clone() for n, b in model.named_buffers()},
        sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()),
    )


@pytest.mark.parametrize('f', [gradient_input, saliency, integrated_gradients, gradcam_by_place])
def test_leaves_no_trace(f):
    model, x = Tiny(), clips()  # in training mode, where its batch norm would learn
    model.fc.weight.requires_grad_(False)
    before, given, draws = state_of(model), x.clone(), (random.getstate(), torch.get_rng_state())
    f(model, x, 1)
    after = state_of(model)
    assert before[:2] == after[:2] and before[3] == after[3] == 0
    assert all(torch.equal(before[2][k], after[2][k]) for k in before[2])
    assert torch.equal(x, given)
    assert draws[0] == random.getstate() and torch.equal(draws[1], torch.get_rng_state())
    with torch.no_grad():
        torch.testing.assert_close(f(model, x, 1), f(model.eval(), x, 1))


def test_says_what_is_wrong():
    model, x = net(), clips()
    with pytest.raises(ValueError, match="baseline='noise'; there are 'frozen', 'black'"):
        integrated_gradients(model, x, 1, 'noise')
    with pytest.raises(ValueError, match='steps=0'):
        integrated_gradients(model, x, 1, steps=0)
    with pytest.raises(ValueError, match="of='score'"):
        gradient_input(model, x, 1, of='score')
    with pytest.raises(ValueError, match='run from 0 to 2'):
        gradient_input(model, x, 7)
    with pytest.raises(ValueError, match='one for each of 2 clips'):
        gradient_input(model, x, torch.tensor([1, 2, 0]))
    with pytest.raises(ValueError, match='do not depend on the clip'):
        gradient_input(Known(lambda x: 0 * x.sum((1, 2, 3, 4))), x, 1)
    cut = Known(lambda x: x.detach().sum((1, 2, 3, 4)))
    with pytest.raises(ValueError, match='it is cut on the way'):
        integrated_gradients(cut, x, 1)
    assert not gradient_input(cut, x, 1, check=False).any()
