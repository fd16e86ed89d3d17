"Candidates and yardsticks of the exam: what they say, what it cost, and what happens where they stop."

import random, sys
from functools import partial

import numpy as np, pytest, torch
from torch import nn

import interpvid.exam.candidates as exam_candidates
from interpvid.exam.candidates import (
    CANDIDATES,
    Candidate,
    Cannot,
    Reply,
    answer,
    as_candidate,
    as_mask,
    early_layer,
    in_time,
    tallied,
)
from interpvid.exam.yardsticks import (
    YARDSTICKS,
    grown_window,
    motion,
    of_other_clip,
    of_reset_network,
    partners,
    reset_weights,
)
from interpvid.masks.learn import learn_masks
from interpvid.models.i3d import I3D
from interpvid.presets import PRESET_LABELS
from interpvid.removal import attribute

T = 6


class Tiny(nn.Module):
    "Two convolutions and a batch norm; scores depend on the order of frames"

    cam_layer = 'b'

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.a, self.b = nn.Conv3d(3, 6, 3, padding=1), nn.Conv3d(6, 6, 3, (1, 4, 4), 1)
            self.norm, self.fc = nn.BatchNorm3d(6), nn.Linear(6 * T, 3)
            nn.init.normal_(self.fc.weight, std=4)

    def forward(self, x):
        return self.fc(self.norm(self.b(self.a(x).tanh())).tanh().mean((3, 4)).flatten(1))


class Blind(nn.Module):
    "Says the same of every clip"

    scores, cam_layer = 'logits', 'conv'

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 3, padding=1)

    def forward(self, x):
        return 0 * self.conv(x).mean((1, 2, 3, 4))[:, None] + torch.tensor([1.0, 2.0])


def clips(B=2, size=12, seed=0):
    return torch.randn(B, 3, T, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope='module')
def net():
    return Tiny().eval()


@pytest.fixture(scope='module', autouse=True)
def few_steps():
    "Three gradient steps in place of each preset's"
    learn = exam_candidates.learn_masks
    with pytest.MonkeyPatch.context() as m:
        m.setattr(exam_candidates, 'learn_masks', partial(learn, iterations=3))
        yield


TARGET = torch.tensor([2, 0])
ASKS = [n for n, c in CANDIDATES.items() if n != 'attention rollout']


# --- those of the package


@pytest.mark.parametrize('name', [*ASKS, *YARDSTICKS])
def test_each_gives_values_of_its_form(net, name):
    found, x = answer(name, net, clips(), TARGET), clips()
    assert found.values.shape in ((2, T), (2, T, 12, 12))
    assert found.values.dtype == np.float32 and np.isfinite(found.values).all()
    assert found.seconds > 0
    c = CANDIDATES.get(name) or YARDSTICKS[name]
    assert c.asks == (name in CANDIDATES) and c.about
    if c.asks:
        assert found.forward >= 1
        assert np.ptp(found.values) > 0
        other = answer(name, Tiny(3).eval(), x, TARGET)
        assert (found.values != other.values).any()  # another network, another answer
    elif 'reset' not in name and 'another' not in name:
        assert found.evaluations == 0


@pytest.mark.parametrize(
    'name', ['best window', 'occlusion in time', 'Shapley values', 'learned mask, ours', 'gradient']
)
def test_each_clip_by_itself(net, name):
    "Neither order nor company of the clips matters"
    x = clips(3)
    together = answer(name, net, x, torch.tensor([2, 0, 1]))
    for i, t in ((2, 1), (0, 2)):
        alone = answer(name, net, x[i : i + 1], torch.tensor([t]))
        np.testing.assert_allclose(alone.values[0], together.values[i], atol=2e-3)


def test_presets_are_those_of_learn_masks(net):
    asked = []

    def learn(model, clips, target, preset, check):
        asked.append(preset)
        return learn_masks(model, clips, target, preset=preset, iterations=1)

    with pytest.MonkeyPatch.context() as m:
        m.setattr(exam_candidates, 'learn_masks', learn)
        for key, label in PRESET_LABELS.items():
            answer(f'learned mask, {label}', net, clips(1), 0)
            assert asked.pop() == key


def test_what_cannot_be_asked_says_so(net):
    with pytest.raises(Cannot, match='attention rollout: .* for other networks take gradcam'):
        answer('attention rollout', net, clips(), TARGET)
    long = torch.randn(1, 3, 18, 8, 8)
    with pytest.raises(Cannot, match='all 2.18 masks are too many'):
        answer('best of all masks', lambda x: x.mean((3, 4))[:, :, 0], long, 1)


def test_budgets_fit_clips_of_any_length():
    f = lambda x: torch.stack([x[:, 0, 2].mean((1, 2)), x[:, 1, 30].mean((1, 2))], 1)
    x = torch.randn(1, 3, 32, 8, 8)
    for name in 'Shapley values', 'RISE in time', 'occlusion in space-time':
        assert 32 < answer(name, f, x, 1).forward <= 5 * 32 + 2


def test_blind_networks_make_every_method_say_so():
    x = clips()
    for name in ASKS:
        said = ' '.join(answer(name, Blind().eval(), x, torch.tensor([1, 1])).notes)
        assert 'of clips 0, 1 does not depend on what is removed' in said, name
    for name in YARDSTICKS:
        if 'reset' not in name and 'another' not in name:
            assert answer(name, Blind().eval(), x, torch.tensor([1, 1])).notes == []


def test_networks_that_see_say_nothing_of_the_kind(net):
    for name in ASKS:
        assert not any('does not depend' in n for n in answer(name, net, clips(), TARGET).notes), name


def test_a_network_of_brightness_alone_is_not_held_still():
    "Holding still keeps frame 0; black does not"
    f = lambda x: torch.stack([0 * x.sum((1, 2, 3, 4)), x[:, :, 0].mean((1, 2, 3))], 1)
    notes = answer('occlusion in time', f, clips(), 1).notes
    assert any('the same when all frames are held still' in n for n in notes)
    assert any('says nothing of clips 0, 1' in n for n in notes)
    assert not any('does not depend' in n for n in notes)


def test_the_early_layer_has_a_fine_grid():
    assert early_layer(Tiny(), clips()) == 'norm'
    assert early_layer(I3D(4, s_strides=(2, 2, 2, 2, 1), width=0.125), torch.randn(1, 3, 8, 32, 32)).endswith('2c_3x3')
    with pytest.raises(ValueError, match='no layer has a grid'):
        early_layer(nn.Sequential(nn.Flatten(), nn.Linear(3 * T * 144, 2)), clips())


# --- what it cost


def counted(name, model, x, target):
    with tallied(model) as tally:
        CANDIDATES[name].f(model, x, target)
    return tally.forward / len(x), tally.backward / len(x)


@pytest.mark.parametrize('name', ['best window', 'occlusion in time', 'Shapley values, exact', 'learned mask, text'])
def test_told_costs_are_those_that_are_seen(net, name):
    "Where a network shares nothing between masks; a pass or two find out what is explained"
    told, seen = answer(name, net, clips(), TARGET), counted(name, net, clips(), TARGET)
    assert told.backward == seen[1]
    assert abs(told.forward - seen[0]) <= 2


def test_gradients_are_counted_apart(net):
    found = answer('integrated gradients', net, clips(3), torch.tensor([0, 1, 2]), bs=2)
    assert (found.forward, found.backward, found.evaluations) == (16, 16, 48)

    def mine(model, clips, target):
        for _ in range(3):
            model(clips)
        x = clips.clone().requires_grad_()
        g = torch.autograd.grad(model(x).sum(), x)[0]
        return g.abs().sum((1, 3, 4))

    found = answer(mine, net, clips(3), 0, bs=2)
    assert (found.forward, found.backward) == (4, 1)


def test_layers_still_share_while_they_are_counted():
    small = I3D(3, s_strides=(2, 2, 2, 2, 1), width=0.125).eval()
    x = torch.randn(1, 3, 8, 32, 32)
    told = answer('best window', small, x, 0).forward
    assert told < 0.75 * len(set(map(bytes, np.tri(8))) | set(range(28)))


# --- anyone's


def write(folder, text, name='mine.py'):
    (folder / name).write_text(text)
    return f'{folder / name}:f'


GOOD = '"A method"\ndef f(model, clips, target):\n    "Bright frames count"\n    return clips.mean((1,3,4))\n'


def test_a_file_is_a_candidate(net, tmp_path):
    c = as_candidate(write(tmp_path, GOOD))
    assert (c.name, c.about, c.asks) == ('f', 'Bright frames count', True)
    x = clips()
    np.testing.assert_allclose(answer(c, net, x, TARGET).values, x.mean((1, 3, 4)), rtol=1e-5)
    write(tmp_path, GOOD.replace('mean', 'sum'))  # a changed file is read anew
    np.testing.assert_allclose(answer(f'{tmp_path}/mine.py:f', net, x, TARGET).values, x.sum((1, 3, 4)), rtol=1e-4)


def test_a_file_may_import_its_neighbours(net, tmp_path):
    (tmp_path / 'neighbour_of_mine.py').write_text('def weigh(x): return x.amax((1,3,4))\n')
    before = list(sys.path)
    c = as_candidate(write(tmp_path, GOOD.replace('"A method"', 'from neighbour_of_mine import weigh')))
    assert sys.path == before
    answer(c, net, clips(), TARGET)
    held = 'from interpvid.exam.candidates import Candidate\nf = Candidate("named", lambda m, x, t: x.mean((1,3,4)))\n'
    assert as_candidate(write(tmp_path, held, 'other.py')).name == 'named'


def test_a_module_is_a_candidate(net):
    c = as_candidate('interpvid.gradients:saliency')
    assert c.name == 'saliency'
    assert answer(c, net, clips(), TARGET).values.shape == (2, T, 12, 12)


WRONG_FILES = {
    'no function': ('def g(model, clips, target): pass', "has no 'f'; its functions are g"),
    'syntax': ('x = 1\ndef f(:\n', r'cannot be imported: SyntaxError.*mine.py, line 2'),
    'stops': ('x = 1\n1/0\n', r'cannot be imported: ZeroDivisionError.*mine.py, line 2'),
    'leaves': ('raise SystemExit(3)', 'cannot be imported: SystemExit'),
    'import': ('import no_such_module_here', "cannot be imported: ModuleNotFoundError: No module named 'no_such"),
    'arguments': (
        'def f(model, clips): return clips',
        r'f\(model, clips\) cannot be called with \(model, clips, target\)',
    ),
    'no callable': ('f = 3', 'f is int; a candidate is a function|int is int'),
}


@pytest.mark.parametrize('text,message', WRONG_FILES.values(), ids=WRONG_FILES)
def test_files_that_are_no_candidates(tmp_path, text, message):
    before = list(sys.path)
    with pytest.raises(ValueError, match=message):
        as_candidate(write(tmp_path, text))
    assert sys.path == before


def test_places_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.py: no such file'):
        as_candidate(f'{tmp_path}/nowhere.py:f')
    with pytest.raises(ValueError, match='which function of it'):
        as_candidate('mine.py')
    with pytest.raises(ValueError, match="no module 'nowhere_at_all'"):
        as_candidate('nowhere_at_all:f')
    with pytest.raises(ValueError, match="no candidate 'grad cam'; the nearest are 'Grad-CAM'"):
        as_candidate('grad cam')
    with pytest.raises(ValueError, match='a candidate is a function'):
        as_candidate(nn.Linear(2, 2))
    assert as_candidate('INTEGRATED gradients') is CANDIDATES['integrated gradients']
    assert as_candidate('motion energy') is YARDSTICKS['motion energy']


WRONG_ANSWERS = {
    'of each clip': ('clips.mean((1,2,3,4))', r'gives \(2,\) for clips'),
    'with channels': ('clips', 'add up its channels'),
    'of a grid': ('clips.mean(1)[:,:,::2,::2]', '`as_maps` makes maps of the size'),
    'not finite': ('clips.mean((1,3,4))*float("nan")', 'clips 0, 1 are not finite'),
    'no numbers': ('"much"', 'gives str, not numbers'),
    'nothing': ('None', 'gives NoneType, not numbers'),
    'stops': ('clips.no_such_thing', r"AttributeError.*no_such_thing.*mine.py, line 4"),
}


@pytest.mark.parametrize('text,message', WRONG_ANSWERS.values(), ids=WRONG_ANSWERS)
def test_answers_that_are_none(net, tmp_path, text, message):
    with pytest.raises(Cannot, match=message):
        answer(write(tmp_path, GOOD.replace('clips.mean((1,3,4))', text)), net, clips(), TARGET)


def test_no_memory_is_no_fault_of_the_candidate(net):
    def hungry(model, clips, target):
        raise MemoryError('no room')

    with pytest.raises(MemoryError):
        answer(hungry, net, clips(), TARGET)


# --- no trace


def test_asking_leaves_no_trace():
    model = Tiny()  # in training mode
    model.fc.weight.requires_grad_(False)
    x, y = clips(), clips()
    seen = []

    def rude(model, clips, target):
        seen.append((model.training, model.fc.bias.requires_grad))
        clips.zero_()
        model.norm.running_mean.add_(1)
        random.random(), np.random.rand(), torch.rand(1)
        return np.random.rand(len(clips), T)

    state = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state(), model.norm.running_mean.clone()
    first = answer(rude, model, x, TARGET)
    assert seen == [(False, False)]
    assert model.training and model.fc.bias.requires_grad and not model.fc.weight.requires_grad
    assert torch.equal(x, y)
    assert state[0] == random.getstate() and (state[1] == np.random.get_state()[1]).all()
    assert torch.equal(state[2], torch.get_rng_state()) and torch.equal(state[3], model.norm.running_mean)
    assert not torch.nn.modules.module._global_forward_hooks
    np.testing.assert_array_equal(first.values, answer(rude, model, x, TARGET).values)  # the same draw each time


def test_a_failure_leaves_no_trace_either(net):
    def fails(model, clips, target):
        raise RuntimeError('no')

    with pytest.raises(Cannot, match='fails: RuntimeError: no'):
        answer(fails, net, clips(), TARGET)
    assert not torch.nn.modules.module._global_forward_hooks
    assert all(p.requires_grad for p in net.parameters())


def test_parts_and_wholes(net):
    sizes = []

    def f(model, clips, target):
        sizes.append((len(clips), len(target)))
        return clips.mean((1, 3, 4))

    answer(f, net, clips(5), torch.tensor([0, 1, 2, 0, 1]), bs=2)
    assert sizes == [(2, 2), (2, 2), (1, 1)]
    sizes.clear()
    answer(Candidate('f', f, whole=True), net, clips(5), 1, bs=2)
    assert sizes == [(5, 5)]


def test_any_target(net):
    x = clips()
    with torch.no_grad():
        predicted = net(x).argmax(1)
    for name in 'gradient × input', 'occlusion in time', 'learned mask, ours', 'Grad-CAM':
        np.testing.assert_allclose(answer(name, net, x).values, answer(name, net, x, predicted).values, atol=1e-6)
        assert answer(name, net, x, (0, 2)).values.shape[:2] == (2, T)
    with pytest.raises(ValueError, match='one for each of 2 clips'):
        answer('gradient', net, x, [0, 1, 2])


def test_own_costs_and_notes(net):
    said = lambda model, clips, target: Reply(clips.mean((1, 3, 4)), [3.0] * len(clips), 1.0, ['look out'])
    found = answer(said, net, clips(3), 0, bs=2)
    assert (found.forward, found.backward, found.notes) == (3, 1, ['look out'])


# --- in time, and as a mask


def test_in_time_sums_over_the_picture():
    maps = np.random.default_rng(0).normal(size=(2, T, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(in_time(maps), maps.sum((2, 3)), atol=1e-5)
    np.testing.assert_array_equal(in_time(maps[:, :, 0, 0]), maps[:, :, 0, 0])


@pytest.mark.parametrize('kind', ['any', 'window'])
def test_masks_have_their_length(kind):
    v = np.random.default_rng(0).normal(size=(20, 9))
    v[::2] = v[::2].round()  # with equals among them
    lengths = np.arange(20) % 10
    masks = as_mask(v, lengths, kind)
    np.testing.assert_array_equal(masks.sum(1), lengths)
    for row, m, n in zip(v, masks, lengths):
        if kind == 'any' and 0 < n < 9:
            assert row[m].min() >= row[~m].max()
        if kind == 'window' and n:
            t = np.flatnonzero(m)
            assert t[-1] - t[0] + 1 == n
            best = max(row[a : a + n].sum() for a in range(10 - n))
            assert row[m].sum() == pytest.approx(best)
    np.testing.assert_array_equal(masks, as_mask(v, lengths, kind))


@pytest.mark.parametrize('kind', ['any', 'window'])
def test_chance_decides_among_equals(kind):
    share = as_mask(np.ones((600, 8)), 3, kind).mean(0)
    if kind == 'any':
        np.testing.assert_allclose(share, 3 / 8, atol=0.08)
    else:
        np.testing.assert_allclose(share, np.array([1, 2, 3, 3, 3, 3, 2, 1]) / 6, atol=0.08)
    with pytest.raises(ValueError, match="kind='best'"):
        as_mask(np.ones((1, 4)), 2, 'best')


# --- yardsticks


def test_motion_is_what_changes():
    x = clips()
    x[:, :, 3:] = x[:, :, 2:3]
    x[:, :, :, :6] = x[:, :, :1, :6]
    m = motion(None, x)
    assert not m[:, 0].any() and not m[:, 3:].any() and not m[:, :, :6].any()
    torch.testing.assert_close(m[:, 1, 6:], (x[:, :, 1, 6:] - x[:, :, 0, 6:]).abs().sum(1))


def test_a_grown_window_is_one_at_any_length():
    rng = np.random.default_rng(0)
    for _ in range(20):
        v = rng.random(9)
        grown = grown_window(v)
        assert sorted(grown) == list(range(1, 10)) and grown.argmax() == v.argmax()
        for n in range(1, 10):
            t = np.flatnonzero(as_mask(grown[None], n)[0])
            assert t[-1] - t[0] + 1 == n
            ends = {t[0] - 1, t[-1] + 1} & set(range(9))
            if ends:  # the next to join is the larger neighbour
                assert grown.argsort()[::-1][n] == max(ends, key=lambda i: v[i])


def test_yardsticks_of_nothing(net):
    x = clips(4)
    for name in 'centre', 'uniform', 'random', 'motion energy', 'most motion, as a window':
        whole = answer(name, net, x, 0).values
        np.testing.assert_array_equal(whole[2:3], answer(name, Tiny(5), x[2:3], 1).values)  # no network, no company
    assert np.ptp(answer('uniform', net, x, 0).values) == 0
    middle = answer('centre', net, x, 0).values
    np.testing.assert_allclose(middle, middle[:, ::-1, ::-1, ::-1], rtol=1e-5)
    t, i, j = np.unravel_index(middle[0].argmax(), middle[0].shape)
    assert t in (2, 3) and i in (5, 6) and j in (5, 6)
    random_ = answer('random', net, x, 0).values
    assert all(abs(np.corrcoef(random_[i].ravel(), random_[0].ravel())[0, 1]) < 0.9 for i in (1, 2, 3))


def test_another_clips_map():
    t = torch.tensor([0, 0, 1, 2, 0])
    np.testing.assert_array_equal(partners(t), [2, 2, 3, 4, 2])
    np.testing.assert_array_equal(partners(torch.tensor([1, 1, 1])), [1, 2, 0])
    model, x = Tiny().eval(), clips(5)
    c = of_other_clip('gradient')
    own, other = answer('gradient', model, x, t), answer(c, model, x, t)
    np.testing.assert_array_equal(other.values, own.values[partners(t)])
    assert not c.asks and other.backward == own.backward == 1
    with pytest.raises(Cannot, match='two clips or more'):
        answer(c, model, x[:1], 0)


def test_a_reset_network_is_another():
    model, x = Tiny().eval(), clips()
    kept = {k: v.clone() for k, v in model.state_dict().items()}
    copy = reset_weights(model)
    for (name, p), q in zip(model.named_parameters(), copy.parameters()):
        assert torch.equal(p.flatten().sort().values, q.flatten().sort().values)
        assert not torch.equal(p, q) or p.numel() == 1 or p.unique().numel() == 1, name
    assert all(torch.equal(kept[k], v) for k, v in model.state_dict().items())
    c = of_reset_network('gradient × input')
    a, b = answer('gradient × input', model, x, TARGET), answer(c, model, x, TARGET)
    np.testing.assert_allclose(b.values, answer('gradient × input', copy, x, TARGET).values, rtol=1e-5)
    assert abs(np.corrcoef(a.values.ravel(), b.values.ravel())[0, 1]) < 0.9
    assert b.forward == 1 and not c.asks
    with pytest.raises(Cannot, match='no weights of its own'):
        answer(c, lambda x: model(x), x, TARGET)


def test_shapley_values_are_those_of_attribute(net):
    x = clips()
    exact = attribute(net, x, TARGET, check=False)
    np.testing.assert_allclose(answer('Shapley values, exact', net, x, TARGET).values, exact.frames(), atol=1e-6)
