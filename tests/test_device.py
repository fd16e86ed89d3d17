"The one place that calls a model; batches in parts."

import pytest
import torch
from torch import nn

from interpvid.device import (
    BatchSplitter,
    Forecast,
    as_module,
    call_model,
    duration_text,
    eval_frozen,
    fast,
    init_lazy,
    modules_in,
    reference_ops,
)
from interpvid.models.i3d import I3D


@pytest.fixture(params=['rows first', 'channels last', 'every other frame', 'expanded'])
def clips(request):
    "Clips (2,3,4,6,6) in several orders in memory"
    x = torch.rand(2, 3, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    return {
        'rows first': x,
        'channels last': x.contiguous(memory_format=torch.channels_last_3d),
        'every other frame': x.repeat_interleave(2, 2)[:, :, ::2],
        'expanded': x[:1].expand(2, -1, -1, -1, -1),
    }[request.param]


class Mean(nn.Module):
    "Mean brightness by channel, after `f`"

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x).mean((2, 3, 4))


def subtract(x):
    x -= 0.45
    return x


def subtract_from_a_view(x):
    x.transpose(1, 2)[:, 0].sub_(0.45)
    return x


def subtract_behind_the_version(x):
    x.data.sub_(0.45)
    return x


IN_PLACE = [subtract, subtract_from_a_view, subtract_behind_the_version]


@pytest.mark.parametrize('f', IN_PLACE)
def test_a_model_in_place_leaves_the_callers_clips_alone(clips, f):
    "B1: a model whose first act is `x -= .45`"
    before, model = clips.clone(), Mean(f)
    want = model(clips.clone())
    for _ in range(3):
        assert torch.equal(call_model(model, clips), want)
        assert torch.equal(clips, before)


@pytest.mark.parametrize('f', IN_PLACE)
def test_so_does_one_that_cannot_be_remembered(clips, f):
    class Slots:
        __slots__ = ()

        def __call__(self, x):
            return f(x).mean((2, 3, 4))

    before, model = clips.clone(), Slots()
    for _ in range(2):
        call_model(model, clips)
        assert torch.equal(clips, before)


@pytest.mark.parametrize('f', [subtract, subtract_from_a_view, nn.Identity()])
def test_gradients_arrive_at_the_clips(clips, f):
    model = Mean(f)
    for _ in range(2):
        x = clips.clone().requires_grad_()
        call_model(model, x).sum().backward()
        torch.testing.assert_close(x.grad, torch.full_like(x, 1 / x[0, 0].numel()))
        y = clips.clone().requires_grad_()
        call_model(model, 2 * y).sum().backward()  # as perturbed clips come: not a leaf
        torch.testing.assert_close(y.grad, 2 * x.grad)


def test_a_harmless_model_gets_the_clips_themselves():
    seen = []
    model = Mean(lambda x: seen.append(x) or x)
    x = torch.rand(2, 3, 4, 6, 6).contiguous(memory_format=torch.channels_last_3d)
    for _ in range(3):
        call_model(model, x)
    assert seen[0] is not x
    assert seen[1] is x
    assert seen[2] is x


def test_a_model_that_views_gets_rows_first(clips):
    class View(nn.Module):
        def forward(self, x):
            return x.view(len(x), -1).mean(1, keepdim=True)

    model = View()
    for _ in range(2):
        torch.testing.assert_close(call_model(model, clips), clips.mean((1, 2, 3, 4))[:, None])


def test_a_view_that_fails_for_another_reason_is_the_models_error():
    x = torch.rand(2, 3, 4, 6, 6)
    with pytest.raises(RuntimeError, match='view size'):
        call_model(lambda x: x.permute(4, 3, 2, 1, 0).view(2, -1), x)


def test_a_model_that_changes_its_habits_is_an_error():
    model = Mean(lambda x: x)
    x = torch.rand(2, 3, 4, 6, 6)
    call_model(model, x)
    model.f = subtract
    with pytest.raises(RuntimeError, match='Mean changed the clips.*make them again'):
        call_model(model, x)
    before = x.clone()
    call_model(model, x)
    assert torch.equal(x, before)


def test_in_inference_mode(clips):
    with torch.inference_mode():
        x = clips.clone()
        for f in (*IN_PLACE, nn.Identity()):
            model = Mean(f)
            for _ in range(2):
                call_model(model, x)
                assert torch.equal(x, clips)


def test_scores_are_float32_also_from_half_precision():
    x = torch.rand(2, 3, 4, 6, 6)
    assert call_model(lambda x: x.mean((2, 3, 4)).half(), x).dtype == torch.float32
    with fast('cpu'):
        assert call_model(nn.Sequential(nn.Flatten(), nn.Linear(432, 5)), x).dtype == torch.float32


def test_an_output_that_is_no_tensor_is_named():
    with pytest.raises(TypeError, match='<lambda> returns dict, not a tensor.*wrap'):
        call_model(lambda x: dict(logits=x), torch.rand(1, 3, 4, 6, 6))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_gets_clips_of_its_own_type(dtype):
    "D10: half-precision and float64 models given frames; clips of another type than the model"
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 2 * 4 * 4, 5))
    x = torch.rand(2, 3, 4, 6, 6)
    want = call_model(net, x)
    for clips in x, x.double(), x.half():
        got = call_model(net, clips)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, want, atol=1e-2, rtol=0)
    net.to(dtype)
    clips = x.clone().requires_grad_()
    got = call_model(net, clips)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, want, atol=2e-2, rtol=0)
    got.sum().backward()
    assert clips.grad.dtype == torch.float32
    assert clips.grad.any()


def test_buffers_say_the_type_where_there_are_no_weights():
    net = nn.Module()
    net.register_buffer('n', torch.tensor(3))
    net.register_buffer('mean', torch.zeros(3, 1, 1, 1, dtype=torch.float64))
    net.forward = lambda x: (x - net.mean).mean((2, 3, 4)) if x.dtype == torch.float64 else 1 / 0
    assert call_model(net, torch.rand(1, 3, 4, 6, 6)).dtype == torch.float32


def test_one_number_for_each_clip_is_a_column():
    x = torch.rand(2, 3, 4, 6, 6)
    want = x.mean((1, 2, 3, 4))[:, None]
    mean = lambda x: x.mean((1, 2, 3, 4))
    for f in mean, lambda x: mean(x)[:, None], lambda x: mean(x).squeeze():
        assert torch.equal(call_model(f, x), want)
        assert torch.equal(call_model(f, x[:1]), f(x[:1]).view(1, 1))


@pytest.mark.parametrize(
    'f,why',
    [
        (lambda x: x.mean((2, 3, 4)).argmax(1), 'whole numbers .torch.int64.*before argmax'),
        (lambda x: x.mean((2, 3, 4)) > 0, 'whole numbers .torch.bool'),
        (lambda x: x.mean((3, 4)), r'scores have to be .*here \(2,K\), and it returns \(2, 3, 4\).*wrap'),
        (lambda x: x.mean(), r'here \(2,K\), and it returns \(\)'),
        (lambda x: x.mean((0, 2, 3, 4)), r'returns \(3,\)'),
        (lambda x: x.new_zeros(2, 0), r'returns \(2, 0\)'),
    ],
)
def test_outputs_that_are_no_scores(f, why):
    with pytest.raises(ValueError, match=why):
        call_model(f, torch.rand(2, 3, 4, 6, 6))


def test_the_scores_are_those_of_the_network():
    torch.manual_seed(0)
    net = I3D(4, width=0.125).eval()
    x = torch.rand(2, 3, 8, 32, 32).contiguous(memory_format=torch.channels_last_3d)
    with eval_frozen(net), torch.no_grad():
        assert torch.equal(call_model(net, x), net(x))
        assert torch.equal(call_model(net, x), net(x))


# --- eval_frozen


def mixed():
    "A model of which parts train and parts do not"
    net = nn.Sequential(nn.Conv3d(3, 2, 1), nn.BatchNorm3d(2), nn.Dropout()).train()
    net[1].eval()
    net[0].bias.requires_grad_(False)
    return net


@pytest.mark.parametrize('error', [False, True])
def test_eval_frozen_puts_everything_back(error):
    net, seed = mixed(), torch.random.get_rng_state()
    state = lambda: ([m.training for m in net.modules()], [p.requires_grad for p in net.parameters()])
    before = state()
    try:
        with eval_frozen(net):
            assert not any(state()[0])
            assert not any(state()[1])
            torch.rand(3)
            if error:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert error
    assert state() == before
    assert torch.equal(torch.random.get_rng_state(), seed)


def test_eval_frozen_may_be_nested():
    net = mixed()
    with eval_frozen(net):
        with eval_frozen(net):
            pass
        assert not net.training
        assert not net[0].weight.requires_grad
    assert net.training
    assert net[0].weight.requires_grad


def test_a_model_without_another_mode():
    "Programs of `torch.export` refuse `eval`"

    class Program(nn.Conv3d):
        def eval(self):
            raise NotImplementedError('Calling eval() is not supported yet.')

    net = Program(3, 2, 1)
    with eval_frozen(net):
        assert not net.weight.requires_grad
    assert net.weight.requires_grad


def test_reference_ops_may_be_nested():
    from interpvid.device import use_fast_ops

    x = torch.rand(1)
    with reference_ops():
        with reference_ops():
            assert not use_fast_ops(x)
        assert not use_fast_ops(x)
    assert use_fast_ops(x)


# --- parts of a batch


def hungry(most):
    sizes = []

    def f(*xs):
        sizes.append(len(xs[0]))
        if len(xs[0]) > most:
            raise torch.OutOfMemoryError('out of memory')
        return tuple(2 * x for x in xs) if len(xs) > 1 else 2 * xs[0]

    return f, sizes


def test_parts_are_halved_until_they_fit():
    lines = []
    f, sizes = hungry(3)
    parts = BatchSplitter(8, log=lines.append)
    assert torch.equal(parts(f, torch.arange(10)), 2 * torch.arange(10))
    assert sizes == [8, 4, 2, 2, 2, 2, 2]
    assert parts.n == 2
    assert lines == [f'not enough memory for {n} clips at once; going on with {n // 2}' for n in (8, 4)]


def test_several_tensors_go_side_by_side():
    f, sizes = hungry(4)
    a, b = BatchSplitter(4)(f, torch.arange(6), torch.arange(6) * 10)
    assert torch.equal(a, 2 * torch.arange(6))
    assert torch.equal(b, 20 * torch.arange(6))
    assert sizes == [4, 2]


def test_one_clip_that_does_not_fit_is_an_error(capsys):
    f, _ = hungry(0)
    with pytest.raises(torch.OutOfMemoryError):
        BatchSplitter(2)(f, torch.arange(2))
    assert 'going on with 1' in capsys.readouterr().err


def test_other_errors_go_through():
    def broken(x):
        raise RuntimeError('shapes do not match')

    with pytest.raises(RuntimeError, match='shapes'):
        BatchSplitter(2)(broken, torch.arange(4))


@pytest.mark.parametrize('n', [0, -1, 1.5, True])
def test_numbers_of_clips_that_are_none(n):
    with pytest.raises(ValueError, match=f'whole number from 1, not {n}'):
        BatchSplitter(n)


# --- functions as models, lazy models


def dropped():
    return nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(432, 3)).train()


def test_networks_inside_of_functions_are_found():
    import functools

    net = dropped()

    class Holder:
        def __init__(self):
            self.net = net

        def __call__(self, x):
            return self.net(x)

        def method(self, x):
            return self.net(x)

    inner = lambda x: net(x)
    ways = [
        inner,
        lambda x: inner(x),
        functools.partial(lambda net, x: net(x), net),
        Holder(),
        Holder().method,
        net.forward,
    ]
    x = torch.rand(2, 3, 4, 6, 6)
    with eval_frozen(net):
        want = net(x)
    for f in ways:
        assert modules_in(f) == [net]
        model = as_module(f)
        with eval_frozen(model):
            assert torch.equal(call_model(model, x), want)
        assert net.training
        assert net[2].weight.requires_grad


def test_what_a_function_says_of_itself():
    f = lambda x: x.mean((2, 3, 4))
    f.stats, f.scores = (0.5, 0.2), 'logits'
    model = as_module(f)
    assert (model.stats, model.scores) == ((0.5, 0.2), 'logits')
    assert as_module(model) is model


@pytest.mark.parametrize('bad', [None, 'r3d_18', 3, nn.Linear])
def test_what_is_no_model(bad):
    with pytest.raises(ValueError, match='a model is a module or a function of clips'):
        as_module(bad)


def test_lazy_networks_are_made_once():
    net = nn.Sequential(nn.LazyConv3d(4, 3), nn.LazyBatchNorm3d(), nn.Flatten(), nn.LazyLinear(3)).train()
    init_lazy(net, torch.rand(2, 3, 4, 6, 6))
    before = [p.clone() for p in net.parameters()]
    assert net.training
    assert int(net[1].num_batches_tracked) == 0
    init_lazy(net, torch.rand(2, 3, 4, 6, 6))
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters()))


# --- how long it will take


@pytest.mark.parametrize(
    'seconds,text',
    [
        (0.2, 'about 1 second'),
        (89, 'about 89 seconds'),
        (91, 'about 2 minutes'),
        (3600, 'about 60 minutes'),
        (7200, 'about 2 hours'),
        (86400 * 2, 'about 2 days'),
    ],
)
def test_times_in_words(seconds, text):
    assert duration_text(seconds) == text


@pytest.fixture
def clock(monkeypatch):
    "A clock that is set by hand"
    now = [100.0]
    monkeypatch.setattr('interpvid.device.time.perf_counter', lambda: now[0])
    return now


@pytest.mark.parametrize(
    'steps,total,said',
    [
        ([3, 1, 1, 1], 200, ['about 3 minutes for 10 clips']),  # the first step warms up
        ([10], 30, ['about 5 minutes for 10 clips']),  # long enough to be believed
        ([0.1] * 5, 100, []),
        ([1, 1], None, []),
    ],
)
def test_long_work_is_announced_once(clock, steps, total, said):
    lines = []
    told = Forecast(total, '10 clips', log=lines.append)
    for s in steps:
        clock[0] += s
        told()
    assert lines == said


def test_a_model_that_fails_in_bfloat16_runs_in_its_own_type():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.tries = nn.Conv3d(3, 4, 1), 0

        def forward(self, x):
            self.tries += 1
            y = self.conv(x)
            if y.dtype == torch.bfloat16:
                raise RuntimeError('expected scalar type Float but found BFloat16')
            return y.mean((2, 3, 4))

    model, x = Fails(), torch.rand(2, 3, 4, 6, 6)
    want = model(x)
    with torch.autocast('cpu', torch.bfloat16):
        for _ in range(2):
            torch.testing.assert_close(call_model(model, x), want)
        assert torch.is_autocast_enabled('cpu')
    assert model.tries == 4  # once by hand, once in vain
