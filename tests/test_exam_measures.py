"The tests of the exam: against loops written apart from the package, and against answers that must pass or fail."

from functools import partial
from itertools import combinations
from types import SimpleNamespace

import numpy as np, pytest, torch
from sklearn.metrics import roc_auc_score
from torch import nn

from interpvid.cam import upsample
from interpvid.data.synthetic import HOLDING, SYNTHETIC_CLASSES, make_clips
from interpvid.exam.candidates import Candidate, answer
from interpvid.exam.measures import (
    LEVELS,
    REMOVED,
    TESTS,
    MaskTable,
    ScoreBook,
    Sheet,
    all_scores,
    auc,
    cells_along,
    cuts_of,
    exam_sheet,
    faithfulness,
    first_of,
    grid_of,
    iou_of_top,
    iou_of_window,
    levelled,
    numbers_of,
    on_grid,
    optimality,
    orders_of,
    others_of,
    truth_in_space,
    truth_in_time,
    window_loss,
)
from interpvid.exam.sanity import (
    among_clips,
    blank,
    cascade,
    layers_with_weights,
    likeness,
    make_trials,
    ranked,
    reset_layers,
    roll_half,
    sanity,
)
from interpvid.exam.yardsticks import of_reset_network, partners
from interpvid.gradients import integrated_gradients
from interpvid.masks.loss import mask_loss
from interpvid.masks.oracle import EventOracle
from interpvid.masks.perturb import freeze, perturb_name
from interpvid.masks.search import all_masks, search_masks, search_windows
from interpvid.metrics import heat_in, tiou
from interpvid.models.pretrained import pretrained
from interpvid.removal import attribute
from interpvid.stats import sign_flip
from interpvid.targets import class_score

PLAIN = dict(half=False)


class Tiny(nn.Module):
    "A small network of random weights whose scores depend on the order of the frames; clips wrap round"

    def __init__(self, T=6, classes=3, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv = nn.Conv3d(3, 6, 3, padding=1, padding_mode='circular')
            self.fc = nn.Linear(6 * T, classes)
            nn.init.normal_(self.fc.weight, std=6)

    def forward(self, x):
        return self.fc(self.conv(x).tanh().mean((3, 4)).flatten(1))


def clips_of(B=4, T=6, size=8, seed=0):
    return torch.randn(B, 3, T, size, size, generator=torch.Generator().manual_seed(seed))


def sheet_of(B=4, T=6, size=8, seed=0):
    rng = np.random.default_rng(seed)
    event, boxes = np.zeros((B, T), bool), np.zeros((B, T, size, size), bool)
    for i in range(B):
        a = rng.integers(0, T - 2)
        event[i, a : a + 2] = True
        y, x = rng.integers(0, size - 2, 2)
        boxes[i, :, y : y + 2, x : x + 2] = True
    return Sheet(clips_of(B, T, size, seed), rng.integers(0, 3, B), event, boxes)


@pytest.fixture(scope='module')
def i3d():
    return pretrained('i3d-events', device='cpu')


@pytest.fixture(scope='module')
def small():
    "An oracle of one clip of 12 frames, and its sheet"
    sheet = exam_sheet(SimpleNamespace(clip_shape=(12, 24, 24)), n=1)[4:5]
    return EventOracle(sheet.clips, sheet.event[0]), Sheet(sheet.clips, [1], sheet.event, sheet.boxes)


# --- the sheet


def test_classes_come_in_turn_and_the_control_is_left_out():
    sheet = exam_sheet(n=2)
    assert len(sheet) == 22 and HOLDING not in sheet.labels
    assert np.array_equal(sheet.labels[:11], sheet.labels[11:]) and len(set(sheet.labels[:11])) == 11
    assert sheet.placed.sum() == 14
    acts = [not SYNTHETIC_CLASSES[l].startswith('Turning') for l in sheet.labels]
    assert np.array_equal(sheet.placed, acts)


def test_a_larger_sheet_begins_with_a_smaller_one():
    a, b = exam_sheet(n=1), exam_sheet(n=2)
    assert torch.equal(a.clips, b[:11].clips) and np.array_equal(a.boxes, b[:11].boxes)


@pytest.mark.parametrize('seed', range(4))
def test_no_training_clip_is_in_the_exam(seed):
    trained = make_clips(11, seed, only=range(1, 12), progress=False)
    assert not np.array_equal(trained.frames, make_clips(11, 1701, only=range(1, 12), progress=False).frames)
    assert 1701 % 2 == 1  # `Experiment` trains on seeds 2·k


def test_classes_are_found_by_name():
    names = list(SYNTHETIC_CLASSES)[::-1] + ['another']
    sheet = exam_sheet(SimpleNamespace(classes=names), n=1)
    usual = exam_sheet(n=1)
    assert [names[t] for t in sheet.target] == [SYNTHETIC_CLASSES[t] for t in usual.target]
    with pytest.raises(ValueError, match='has no class'):
        exam_sheet(SimpleNamespace(classes=['Boxing', 'Running']), n=1)


def test_target_has_the_class_of_the_clip(i3d):
    sheet = exam_sheet(i3d, n=1)
    with torch.no_grad():
        right = i3d(sheet.clips).argmax(1) == sheet.target
    assert right.sum() >= 10


def test_boxes_cover_what_acts():
    "Their middle follows the boxes that the clips come with"
    sheet, drawn = exam_sheet(n=1), make_clips(11, 1701, only=range(1, 12), progress=False)
    for i in np.flatnonzero(sheet.placed):
        t = np.flatnonzero(sheet.event[i])[0]
        boxes = drawn.boxes[i, t][drawn.acting[i]]
        area = sum((np.floor(b[2]) - np.ceil(b[0]) + 1) * (np.floor(b[3]) - np.ceil(b[1]) + 1) for b in boxes)
        assert sheet.boxes[i, t].sum() == area


@pytest.mark.parametrize(
    'change, said',
    [
        (dict(event=np.ones((4, 6), bool)), 'has all of its 6 frames'),
        (dict(event=np.ones((4, 5), bool)), r'event \(4, 5\)'),
        (dict(boxes=np.ones((4, 6, 8, 9), bool)), r'boxes \(4, 6, 8, 9\)'),
        (dict(target=[1, 2]), r'target \(2,\)'),
        (dict(clips=torch.zeros(4, 6, 8, 8)), r'\(B,C,T,H,W\)'),
    ],
)
def test_what_does_not_fit_is_said(change, said):
    s = sheet_of()
    with pytest.raises(ValueError, match=said):
        Sheet(**dict(clips=s.clips, target=s.target, event=s.event, boxes=s.boxes) | change)


def test_clips_of_which_nothing_is_known():
    s = sheet_of()
    plain = Sheet(s.clips, s.target)
    assert not plain.known.any() and not plain.placed.any()
    assert set(plain.left_out) == {n for n, t in TESTS.items() if t.group in ('time', 'space')} | {'drop'}
    assert not s.left_out and len(plain[:2]) == 2
    placed = Sheet(s.clips, s.target, boxes=s.boxes)  # where, and not when: all frames count
    assert placed.placed.all() and placed.during.all()
    assert set(placed.left_out) == set(plain.left_out) - {'space', 'pixel AUC'}


def test_clips_that_are_known_have_the_numbers_that_they_have_alone():
    s, values = sheet_of(), np.random.default_rng(1).random((4, 6, 8, 8))
    event, boxes = s.event.copy(), s.boxes.copy()
    event[1], boxes[1] = False, False
    some, rest = Sheet(s.clips, s.target, event, boxes), [0, 2, 3]
    faithful = partial(faithfulness, book=ScoreBook(Tiny(), some, half=False))
    for f, names in ((truth_in_time, ['IoU', 'pointing', 'time AUC']), (truth_in_space, ['heat share', 'pixel AUC'])):
        mixed, alone = f(values, some), f(values[rest], s[rest])
        for k in names:
            np.testing.assert_allclose(mixed[k][rest], alone[k])
            assert np.isnan(mixed[k][1])
    found = faithful(values, some)
    assert np.isfinite(found['insertion, freeze']).all() and np.isfinite(found['drop, freeze']).tolist() == [1, 0, 1, 1]


# --- truth in time


@pytest.mark.parametrize('seed', range(20))
def test_ties_get_the_mean_over_all_ways_to_break_them(seed):
    rng = np.random.default_rng(seed)
    T = 8
    event = np.isin(np.arange(T), rng.permutation(T)[: rng.integers(1, T)])
    v = rng.integers(0, 3, T).astype(float)
    k = event.sum()
    best = max(v[list(c)].sum() for c in combinations(range(T), k))
    sets = [c for c in combinations(range(T), k) if np.isclose(v[list(c)].sum(), best)]
    mean = np.mean([tiou(np.isin(np.arange(T), c), event) for c in sets])
    assert iou_of_top(levelled(v), event) == pytest.approx(mean)


@pytest.mark.parametrize('seed', range(5))
def test_window_by_a_loop(seed):
    rng = np.random.default_rng(seed)
    v, a, k = rng.normal(size=9), rng.integers(0, 5), 4
    event = (np.arange(9) >= a) & (np.arange(9) < a + k)
    at = max(range(6), key=lambda i: v[i : i + k].sum())
    assert iou_of_window(v, event) == tiou((np.arange(9) >= at) & (np.arange(9) < at + k), event)


def test_auc_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    for _ in range(5):
        v, right = rng.integers(0, 5, 30).astype(float), rng.random(30) < 0.4
        assert auc(v, right) == pytest.approx(roc_auc_score(right, v))
    assert np.isnan(auc(v, np.ones(30, bool)))


def test_only_the_order_counts_in_time_and_maps_are_summed():
    s = sheet_of()
    v = np.random.default_rng(0).random((4, 6))
    maps = np.broadcast_to(v[:, :, None, None], (4, 6, 8, 8))
    a, b, c = (truth_in_time(x, s) for x in (v, v**3, maps))
    for k in a:
        assert np.array_equal(a[k], b[k]) and np.allclose(a[k], c[k])


# --- truth in space


def test_share_is_that_of_heat_in_and_no_heat_is_nothing():
    s = sheet_of()
    heat = np.random.default_rng(0).random(s.boxes.shape)
    found = truth_in_space(heat, s)
    want = [heat_in(h, b, e)[0] for h, b, e in zip(heat, s.boxes, s.event)]
    assert np.allclose(found['heat share'], want)
    assert np.array_equal(truth_in_space(np.zeros_like(heat), s)['heat share'], np.zeros(4))


def test_what_is_negative_is_no_heat():
    s = sheet_of()
    v = np.random.default_rng(0).normal(size=s.boxes.shape)
    a, b = truth_in_space(v, s), truth_in_space(v.clip(0), s)
    for k in a:
        assert np.array_equal(a[k], b[k])


def test_a_fixed_picture_is_no_better_than_itself():
    s = sheet_of(B=6)
    picture = np.broadcast_to(np.random.default_rng(0).random((8, 8)), s.boxes.shape)
    found = truth_in_space(picture, s)
    for name in 'space', 'pixel AUC':
        assert np.allclose(TESTS[name].margin(found), 0)


def test_other_clips_maps_are_of_other_clips():
    among = np.array([0, 2, 3, 5, 7, 8, 9, 12])
    for i in among:
        rest = others_of(i, among)
        assert len(set(rest)) == 5 and i not in rest and set(rest) <= set(among)
    assert not len(others_of(3, np.array([3])))


def test_without_boxes_there_is_no_place():
    s = sheet_of()
    s = Sheet(s.clips, s.target, s.event)
    found = truth_in_space(np.ones((4, 6, 8, 8)), s)
    assert all(np.isnan(v).all() for v in found.values())
    assert all(np.isnan(v).all() for v in truth_in_space(np.ones((4, 6)), sheet_of()).values())


@pytest.mark.parametrize('grid', [(8, 4, 4), (16, 4, 7), (16, 64, 64), (1, 8, 8)])
def test_the_grid_is_read_off_a_map(grid):
    small = torch.rand(2, *grid, generator=torch.Generator().manual_seed(0))
    found = grid_of(upsample(small, (16, 64, 64)))
    assert [n for n, _ in found] == list(grid)
    blocks = torch.nn.functional.interpolate(small[:, None], (16, 64, 64), mode='nearest-exact')[:, 0]
    assert [n for n, _ in grid_of(blocks)] == list(grid)


def test_noise_has_no_coarser_grid():
    assert cells_along(np.random.default_rng(0).random((3, 8)), 1) == (8, 'nearest')


def test_boxes_on_a_grid_are_averaged_and_enlarged():
    b = np.zeros((2, 8, 8), bool)
    b[:, :4, :2] = True
    blocks = on_grid(b, [(2, 'nearest'), (2, 'nearest'), (2, 'nearest')])
    assert np.allclose(blocks[0, :4, :4], 0.5) and np.allclose(blocks[0, 4:], 0)
    mean = torch.from_numpy(b.reshape(2, 2, 4, 2, 4).mean((2, 4))).float()
    assert np.allclose(on_grid(b, [(2, 'linear'), (2, 'linear'), (2, 'linear')]), upsample(mean[None], (2, 8, 8))[0])
    assert np.array_equal(on_grid(b, [(2, 'linear'), (8, 'linear'), (8, 'linear')]), b)


def test_a_perfect_map_of_a_coarse_grid_reaches_its_ceiling():
    sheet = exam_sheet(n=1)
    s = sheet[np.flatnonzero(sheet.placed)]
    coarse = np.stack([on_grid(b, [(16, 'nearest'), (4, 'linear'), (4, 'linear')]) for b in s.boxes])
    found = truth_in_space(coarse, s)
    assert np.allclose(found['heat share'], found['heat share, grid'], atol=1e-6)
    assert found['heat share, grid'].mean() < 0.5


def test_a_reset_networks_map_stands_beside():
    s = sheet_of()
    heat = np.random.default_rng(0).random((2, *s.boxes.shape))
    found = truth_in_space(heat[0], s, reset=heat[1])
    assert np.allclose(found['heat share, reset'], truth_in_space(heat[1], s)['heat share'])


# --- faithfulness


def by_loop(model, s, i, order, removal):
    "Insertion, deletion and drop of one clip, written out"
    T = s.event.shape[1]
    steps = sorted({0, T, *(max(1, round(T * level)) for level in LEVELS)})

    def score(removed):
        mask = torch.tensor([float(t in removed) for t in range(T)])
        with torch.no_grad():
            return float(class_score(model, removal(s.clips[i : i + 1], mask), s.target[i : i + 1]))

    deleted = [score(set(order[:k])) for k in steps]
    shown = [score(set(order) - set(order[:k])) for k in steps]

    def area(y):
        return sum((b - a) / T * (p + q) / 2 for a, b, p, q in zip(steps, steps[1:], y, y[1:]))

    k = s.event[i].sum()
    return area(shown), area(deleted), deleted[0] - score(set(order[:k]))


@pytest.mark.parametrize('removal', REMOVED, ids=perturb_name)
def test_areas_and_drop_by_a_loop(removal):
    s, net = sheet_of(T=6), Tiny()
    v = np.random.default_rng(1).random((4, 6))
    found = faithfulness(v, s, ScoreBook(net, s, **PLAIN))
    orders = np.argsort(-v, axis=1)
    for i in range(4):
        want = by_loop(net, s, i, orders[i].tolist(), removal)
        got = [found[f'{k}, {perturb_name(removal)}'][i] for k in ('insertion', 'deletion', 'drop')]
        assert np.allclose(got, want, atol=1e-5)


def test_scores_are_computed_once_and_together():
    s, net = sheet_of(), Tiny()
    v = np.random.default_rng(1).random((3, 4, 6))
    alone, together = ScoreBook(net, s, **PLAIN), ScoreBook(net, s, **PLAIN)
    together.prepare(v)
    spent = together.evaluations
    for x in v:
        a, b = faithfulness(x, s, alone), faithfulness(x, s, together)
        for k in a:
            assert np.allclose(a[k], b[k], atol=1e-6)
    assert together.evaluations == spent and spent <= alone.evaluations + 1e-6
    masks = len(together.known['freeze', 0])
    assert masks < 6 * 9  # of 6 orders, 9 masks each: those of no frame and of all are the same


def test_chance_is_the_mean_of_random_orders():
    s, net = sheet_of(), Tiny()
    book = ScoreBook(net, s, **PLAIN)
    drawn = [faithfulness(np.random.default_rng(seed).random(s.event.shape), s, book) for seed in range(40)]
    for k in 'insertion', 'deletion', 'drop':
        chance = drawn[0][f'{k}, freeze, by chance']
        assert abs(chance.mean() - np.mean([d[f'{k}, freeze'].mean() for d in drawn])) < 0.12


def test_equal_frames_are_removed_by_lot_and_alike_for_all():
    even = np.zeros((50, 8))
    a, b = orders_of(even), orders_of(even + 3)
    assert np.array_equal(a, b) and not np.array_equal(a, orders_of(even, seed=1))
    assert len({tuple(o) for o in a}) > 40
    masks = first_of(a, np.arange(50) % 9)
    assert np.array_equal(masks.sum(1), np.arange(50) % 9)


def test_the_event_is_faithful_to_an_oracle_and_its_complement_is_not(small):
    net, s = small
    book = ScoreBook(net, s, **PLAIN)
    event, rest = (faithfulness(v, s, book) for v in (s.event * 1.0, ~s.event * 1.0))
    assert event['drop, freeze'][0] > 0.95 and abs(rest['drop, freeze'][0]) < 0.01
    assert event['deletion, freeze'][0] < rest['deletion, freeze'][0] - 0.3
    assert event['insertion, freeze'][0] > rest['insertion, freeze'][0] + 0.3


# --- optimality


def test_regret_by_a_loop():
    s, net = sheet_of(B=2), Tiny()
    table = all_scores(net, s, **PLAIN)
    masks = all_masks(6)
    with torch.no_grad():
        score = torch.stack([class_score(net, freeze(s.clips, torch.from_numpy(m)), s.target) for m in masks], 1)
    loss = mask_loss(torch.from_numpy(masks), score)['loss'].numpy()
    assert np.allclose(table.losses, loss, atol=1e-5)
    v = np.random.default_rng(0).random((2, 6))
    found = optimality(v, s, table)
    for i in range(2):
        order = np.argsort(-v[i])
        cut = [np.isin(np.arange(6), order[:k]) for k in range(6)]
        at = [int(numbers_of(c)) for c in cut]
        best = masks[loss[i].argmin()]
        assert found['regret'][i] == pytest.approx(min(loss[i][at]) - loss[i].min(), abs=1e-5)
        equal = loss[i][int(numbers_of(np.isin(np.arange(6), order[: int(best.sum())])))]
        assert found['regret at equal length'][i] == pytest.approx(equal - loss[i].min(), abs=1e-5)
        assert found['masks as good'][i] == (loss[i] <= loss[i].min() + 0.02).sum()


def test_what_is_best_has_no_regret_and_nothing_has_less():
    s, net = sheet_of(B=3), Tiny()
    table = all_scores(net, s, **PLAIN)
    target = s.target
    all_ = search_masks(net, s.clips, all_masks(6), target, check=False, **PLAIN)
    window = search_windows(net, s.clips, target, check=False, **PLAIN)
    found = optimality(all_.mask, s, table)
    assert np.allclose(found['regret'], 0, atol=1e-5) and np.array_equal(table.best(), all_.mask > 0.5)
    assert np.allclose(optimality(window.mask, s, table)['regret of windows'], 0, atol=1e-5)
    for seed in range(5):
        v = np.random.default_rng(seed).normal(size=(3, 6))
        assert all((optimality(v, s, table)[k] >= -1e-6).all() for k in TESTS['regret'].columns)


def test_shapley_values_of_the_table_are_those_of_attribute():
    s, net = sheet_of(B=2), Tiny()
    table = all_scores(net, s, **PLAIN)
    found = attribute(net, s.clips, s.target, check=False, **PLAIN)
    assert np.allclose(table.shapley(), found.frames(), atol=1e-5)


def test_cuts_do_not_divide_equal_frames():
    assert np.array_equal(cuts_of(np.array([1.0, 1, 0, 0])), [[0, 0, 0, 0], [1, 1, 0, 0]])
    assert np.array_equal(cuts_of(np.ones(4)), [[0, 0, 0, 0]])


def test_windows_of_equal_values_get_the_mean():
    loss = np.random.default_rng(0).random(2**5) + 1
    loss[0] = 9
    masks = all_masks(5)
    runs = [m for m in masks if (np.diff(np.r_[0, m, 0]) == 1).sum() == 1 and m.sum() < 5]
    of = {k: np.mean([loss[int(numbers_of(m > 0))] for m in runs if m.sum() == k]) for k in range(1, 5)}
    assert window_loss(np.ones(5), loss) == pytest.approx(min(of.values()))


def test_long_clips_cannot_be_enumerated():
    s = sheet_of(B=1, T=17)
    with pytest.raises(ValueError, match='up to 16'):
        all_scores(Tiny(T=17), s)


def test_regret_tells_answers_apart(small):
    net, s = small
    table = all_scores(net, s, **PLAIN)
    event, early = (optimality(v, s, table) for v in (s.event * 1.0, np.arange(12)[None] < s.event.sum()))
    assert event['regret'][0] < 0.01 and event['regret at equal length'][0] < 0.01
    assert early['regret at equal length'][0] > 0.5
    assert optimality(np.ones((1, 12)), s, table)['regret'][0] > 0.5
    assert isinstance(table, MaskTable)


# --- sanity


def test_likeness_is_spearmans():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, (2, 5, 20)).astype(float)
    want = [spearmanr(p, q)[0] for p, q in zip(a, b)]
    assert np.allclose(likeness(ranked(a), ranked(b)), want, atol=1e-5)
    flat = np.ones((1, 6))
    assert likeness(ranked(flat), ranked(flat * 7)) == 1
    assert likeness(ranked(flat), ranked(np.arange(6.0)[None])) == 0


def test_likeness_among_clips():
    v = np.array([[0, 1, 2, 3.0], [0, 1, 2, 3], [3, 2, 1, 0]])
    assert np.allclose(among_clips(ranked(v)), [0, 0, -1], atol=1e-6)
    assert np.allclose(among_clips(ranked(np.ones((3, 4)))), 1)


def test_layers_are_reset_from_the_top_and_the_network_stays():
    net = pretrained('clstm-events', device='cpu')
    before = {k: v.clone() for k, v in net.state_dict().items()}
    made = cascade(net)
    names = layers_with_weights(net)
    for how, n in ('top', 1), ('half', len(names) - len(names) // 2), ('all', len(names)):
        new = made[how].state_dict()
        changed = {k.rpartition('.')[0] for k in before if not torch.equal(before[k], new[k])}
        assert changed <= set(names[-n:]) and names[-n] in changed
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    x = torch.randn(1, 3, *net.clip_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not torch.allclose(net(x), made['all'](x), atol=1e-3)


def test_reset_weights_are_as_large_and_of_a_seed():
    net = Tiny()
    a, b, c = (reset_layers(net, ['conv', 'fc'], seed) for seed in (0, 0, 1))
    assert torch.equal(a.conv.weight, b.conv.weight) and not torch.equal(a.conv.weight, c.conv.weight)
    assert float((a.fc.weight.std() / net.fc.weight.std()).detach()) == pytest.approx(1, abs=0.2)


def input_gradient(model, clips, target):
    x = clips.clone().requires_grad_()
    model(x).gather(1, target[:, None]).sum().backward()
    return (x.grad * x).sum(1).detach()


def picture_in_the_middle(model, clips, target):
    t = torch.linspace(-1, 1, clips.shape[-1])
    return torch.exp(-(t[:, None] ** 2) - 0.9 * t**2 - 0.1 * t).expand(clips[:, 0].shape)


def test_a_network_without_borders_moves_its_map_along():
    s, net = sheet_of(), Tiny()
    trials = make_trials(net, s)
    assert trials.stays.all()
    found = sanity(input_gradient, trials)
    assert np.allclose(found['roll along'], 1, atol=1e-4) and (found['roll in place'] < 0.5).all()
    fixed = sanity(picture_in_the_middle, trials)
    assert np.allclose(fixed['roll in place'], 1, atol=1e-5) and (TESTS['roll'].margin(fixed) < 0).all()


def test_where_the_guess_changes_nothing_is_said():
    s = sheet_of()

    class Corner(nn.Module):
        def forward(self, x):
            return torch.stack([x[..., 0, 0].mean((1, 2)), -x[..., 0, 0].mean((1, 2))], 1)

    s.clips[:, :, :, 0, 0], s.clips[:2, :, :, 4, 4], s.clips[2:, :, :, 4, 4] = 1, 1, -1
    trials = make_trials(Corner(), Sheet(s.clips, [0, 0, 0, 0], s.event, s.boxes))
    assert trials.stays.tolist() == [True, True, False, False] and not trials.resets
    found = sanity(picture_in_the_middle, trials)
    assert np.isnan(found['roll']).tolist() == [False, False, True, True]
    assert 'reset all' not in found and np.isnan(TESTS['reset'].margin(found)).all()


def test_rolled_and_blank_clips():
    x = clips_of()
    assert torch.equal(roll_half(roll_half(x)), x) and float(roll_half(x)[0, 0, 0, 4, 4]) == float(x[0, 0, 0, 0, 0])
    assert np.array_equal(roll_half(x.numpy()), roll_half(x).numpy())
    b = blank(x)
    assert b.shape == x.shape and torch.allclose(b.mean((2, 3, 4)), b[:, :, 0, 0, 0], atol=1e-6)


def test_another_training_is_compared():
    s = sheet_of()
    net, other = Tiny(seed=0), Tiny(seed=1)
    same, different = (sanity(input_gradient, make_trials(net, s, other=o)) for o in (net, other))
    assert np.allclose(same['other training'], 1, atol=1e-5) and (different['other training'] < 0.9).all()
    assert 'other training' not in sanity(input_gradient, make_trials(net, s))


def test_answers_in_time_have_no_roll():
    s, net = sheet_of(), Tiny()
    found = sanity(lambda m, x, t: x.diff(dim=2).abs().mean((1, 3, 4)).new_ones(4, 6), make_trials(net, s))
    assert np.isnan(TESTS['roll'].margin(found)).all() and np.allclose(found['reset all'], 1)


# --- a test of the tests

IG = Candidate('integrated gradients, 4 steps', partial(integrated_gradients, steps=4, half=True, check=False))
FREEZE = (freeze,)  # one removal, for the time it takes


def the_truth(sheet):
    return (sheet.boxes | ~sheet.placed[:, None, None, None]) * sheet.event[:, :, None, None] * 1.0


def ask(c, model, clips, target):
    return answer(c, model, clips, target).values


@pytest.fixture(scope='module')
def planted(i3d):
    "What each of some answers to 11 clips gets in each test, as margins of the clips"
    sheet = exam_sheet(i3d, n=1)
    book = ScoreBook(i3d, sheet, FREEZE)
    asked = {'uniform': 'uniform', 'centre': 'centre', 'own': IG}
    values = {k: ask(c, i3d, sheet.clips, sheet.target) for k, c in asked.items()}
    values['truth'], values['other'] = the_truth(sheet), values['own'][partners(sheet.target)]
    values['reset'] = ask(of_reset_network(IG), i3d, sheet.clips, sheet.target)
    book.prepare(values.values())
    trials = make_trials(i3d, sheet[:4])
    sane = {k: sanity(c, trials, values[k][:4], ask) for k, c in asked.items()}
    return {
        k: truth_in_time(v, sheet) | truth_in_space(v, sheet) | faithfulness(v, sheet, book) | {'asked': sane.get(k)}
        for k, v in values.items()
    }


def passes(planted, who, test):
    "Whether an answer is on the good side of the line: certainly with truth, in the mean with sanity (4 clips)"
    t = TESTS[test]
    margin = t.margin(planted[who]['asked'] if t.group == 'sanity' else planted[who])
    margin = margin[np.isfinite(margin)]
    sure = t.group == 'sanity' or sign_flip(margin) < 0.05
    return bool(margin.mean() > 1e-6 and sure)


def beats(planted, a, b, test):
    t = TESTS[test]
    d = (planted[a][t.columns[0]] - planted[b][t.columns[0]]) * (1 if t.better == 'high' else -1)
    d = d[np.isfinite(d)]
    return bool(d.mean() > 0 and sign_flip(d) < 0.05)


TRUTH = 'time', 'pointing', 'time AUC', 'space', 'pixel AUC'
FAITH = 'insertion', 'deletion', 'drop'
SANE = 'reset', 'blank', 'other clips', 'roll'


@pytest.mark.parametrize('test', [*TRUTH, *FAITH])
def test_the_truth_passes(planted, test):
    assert passes(planted, 'truth', test)


@pytest.mark.parametrize('test', [*TRUTH, *FAITH, *SANE])
def test_a_constant_passes_nothing(planted, test):
    assert not passes(planted, 'uniform', test)


@pytest.mark.parametrize('test', ['space', 'pixel AUC', *SANE])
def test_the_middle_is_found_out(planted, test):
    "In time it is above chance, for events lie over the middle of a clip: there it is itself the yardstick"
    assert not passes(planted, 'centre', test) and passes(planted, 'centre', 'time')


@pytest.mark.parametrize('test', ['time', 'pointing', 'time AUC', 'space', 'pixel AUC', 'insertion', 'deletion'])
def test_another_clips_map_is_found_out(planted, test):
    assert not passes(planted, 'other', test) and beats(planted, 'own', 'other', test)


@pytest.mark.parametrize('test', ['time', 'time AUC', 'deletion', 'drop'])
def test_a_reset_networks_map_is_found_out(planted, test):
    "Not in space: these gradients are zero where nothing changes, whatever the weights are"
    assert not passes(planted, 'reset', test) and beats(planted, 'own', 'reset', test)


@pytest.mark.parametrize('test', [*TRUTH, *FAITH, *SANE])
def test_a_map_that_points_passes(planted, test):
    assert passes(planted, 'own', test)


def test_gradcam_passes_the_reset_and_not_the_roll(i3d):
    "One fixed picture, which the usual test of sanity lets pass"
    sheet = exam_sheet(i3d, n=1)[:4]
    found = sanity('Grad-CAM', make_trials(i3d, sheet))
    mean = {k: np.nanmean(TESTS[k].margin(found)) for k in ('reset', 'roll', 'other clips')}
    assert mean['reset'] > 0 and mean['roll'] < 0 and mean['other clips'] < 0


def test_every_test_says_what_passing_does_not_mean():
    for name, t in TESTS.items():
        assert t.better in ('high', 'low') and t.columns and t.about.count('.') >= 2, name
