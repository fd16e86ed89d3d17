"What × by what × how: against answers known by construction, loops written apart from the package, and captum."

import os, subprocess, sys
from functools import partial
from itertools import combinations, permutations

import numpy as np, pytest, torch
from captum.attr import FeatureAblation, ShapleyValues
from torch import nn

from interpvid.device import Forecast
from interpvid.masks.perturb import PERTURBATIONS, black, blur, freeze, given, mean_frame, replace, reverse, shuffle
from interpvid.masks.search import MaskScores, all_masks, search_windows
from interpvid.models.clstm import CLSTM
from interpvid.removal import (
    HOWS,
    Attribution,
    Game,
    Removal,
    attribute,
    candidate,
    compare_removals,
    draw_sets,
    frames,
    patches,
    plot_agreement,
    rank_agreement,
    shapley_of_pairs,
    share_pairs,
    soft_masks,
    unit_names,
    windows,
)
from interpvid.targets import class_score

dark = partial(black, stats=(0, 1))
PLAIN = dict(half=False, check=False)


def first(output):
    return output[:, 0]


class Tiny(nn.Module):
    "A small network of random weights whose scores depend on the order of the frames"

    def __init__(self, T=6, classes=3, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv, self.fc = nn.Conv3d(3, 6, 3, padding=1), nn.Linear(6 * T, classes)
            nn.init.normal_(self.fc.weight, std=6)

    def forward(self, x):
        return self.fc(self.conv(x).tanh().mean((3, 4)).flatten(1))


class Reads(nn.Module):
    "One number: a known function of the brightness of each frame (B,T)"

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x.mean((1, 3, 4)))[:, None]


class ReadsParts(nn.Module):
    "One number: a known function of the brightness of the cells of a 2×2 grid in each frame (B,T,2,2)"

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        B, C, T, H, W = x.shape
        return self.f(x.view(B, C, T, 2, H // 2, 2, W // 2).mean((1, 4, 6)))[:, None]


def clips(B=1, T=6, size=6, seed=0):
    return torch.randn(B, 3, T, size, size, generator=torch.Generator().manual_seed(seed))


def ones(T=6, size=4):
    return torch.ones(1, 3, T, size, size)


# --- exact Shapley values


def by_definition(v, n):
    "Mean of what each player adds, over all orders; `v` of a tuple of those that are there"
    values = np.zeros(n)
    orders = list(permutations(range(n)))
    for order in orders:
        there = []
        for i in order:
            before = v(tuple(sorted(there)))
            there.append(i)
            values[i] += v(tuple(sorted(there))) - before
    return values / len(orders)


@pytest.mark.parametrize(
    'by', [freeze, reverse, blur, mean_frame, shuffle, dark], ids=lambda f: getattr(f, '__name__', 'black')
)
def test_exact_values_are_the_definition(by):
    net, x = Tiny().eval(), clips()
    target = int(net(x).argmax())
    found = attribute(net, x, by=by, **PLAIN)

    def v(there):
        mask = torch.ones(6)
        mask[list(there)] = 0
        with torch.no_grad():
            return class_score(net, by(x, mask), target).item()

    cache = {s: v(s) for k in range(7) for s in combinations(range(6), k)}
    np.testing.assert_allclose(found.values[0], by_definition(cache.get, 6), atol=1e-6)
    np.testing.assert_allclose(found.values.sum(1), found.full - found.base, atol=1e-6)
    assert found.full[0] == pytest.approx(v(tuple(range(6))), abs=1e-6)
    assert found.se is None


def test_exact_values_are_captums():
    "captum sets frames to 0, which `black` with stats (0,1) does"
    net, x = Tiny().eval(), clips(2)
    target = net(x).argmax(1)
    mask = torch.arange(6)[None, None, :, None, None]
    with torch.no_grad():
        theirs = ShapleyValues(lambda x: net(x).softmax(1)).attribute(x, target=target, feature_mask=mask)
        once = FeatureAblation(lambda x: net(x).softmax(1)).attribute(x, target=target, feature_mask=mask)
    ours = attribute(net, x, target, by=dark, **PLAIN)
    np.testing.assert_allclose(ours.values, theirs[:, 0, :, 0, 0], atol=1e-5)
    alone = attribute(net, x, target, by=dark, how='occlusion', **PLAIN)
    np.testing.assert_allclose(alone.values, once[:, 0, :, 0, 0], atol=1e-5)


def test_patches_are_captums():
    "Units of one frame and half of its rows; captum goes through all 4! orders"
    net, x = Tiny(T=2).eval(), clips(1, 2)
    t, r, _ = torch.meshgrid(torch.arange(2), torch.arange(6) // 3, torch.arange(6), indexing='ij')
    mask = (2 * t + r)[None, None]
    with torch.no_grad():
        theirs = ShapleyValues(lambda x: net(x).softmax(1)).attribute(x, target=0, feature_mask=mask)
    ours = attribute(net, x, 0, what=patches(1, 3, 6), by=dark, **PLAIN)
    theirs = theirs[0, 0].numpy()  # each pixel has its unit's value
    np.testing.assert_allclose(ours.values[0], [theirs[u][0] for u in ours.units], atol=1e-5)
    np.testing.assert_allclose(ours.maps()[0] * 18, theirs, atol=1e-5)


@pytest.mark.parametrize('T', [2, 9, 16])
@pytest.mark.parametrize('half', [True, False])
def test_values_sum_to_the_score_difference(T, half):
    net, x = Tiny(T).eval(), clips(2, T)
    found = attribute(net, x, by=freeze, half=half, check=False)
    still = x[:, :, :1].expand_as(x)
    with torch.no_grad():
        target = net(x).argmax(1)
        taken = class_score(net, x, target) - class_score(net, still, target)
    np.testing.assert_allclose(found.values.sum(1), taken, atol=1e-5)
    assert (found.values[:, 0] == 0).all()


# --- answers known by construction

FRAMES = {
    'one frame': (lambda b: 3 * b[:, 2], [0, 0, 3, 0, 0, 0]),
    'two together': (lambda b: 2 * b[:, 1] * b[:, 4], [0, 1, 0, 0, 1, 0]),
    'two against each other': (lambda b: b[:, 1] - b[:, 4], [0, 1, 0, 0, -1, 0]),
    'either of two': (lambda b: torch.maximum(b[:, 0], b[:, 5]), [0.5, 0, 0, 0, 0, 0.5]),
}


@pytest.mark.parametrize('f,values', FRAMES.values(), ids=FRAMES)
def test_frames_known_by_construction(f, values):
    for n in None, 60:
        found = attribute(Reads(f), ones(), first, by=dark, n=n, **PLAIN)
        np.testing.assert_allclose(found.values[0], values, atol=1e-6 if n is None else 0.1)
    found = attribute(Reads(f), ones(), first, by=dark, how='interactions', **PLAIN)
    np.testing.assert_allclose(found.values[0], values, atol=1e-6)


PARTS = {
    'one patch': (lambda p: 3 * p[:, 1, 0, 1], {(1, 0, 1): 3}),
    'two patches of two frames': (lambda p: 2 * p[:, 0, 0, 0] * p[:, 1, 1, 1], {(0, 0, 0): 1, (1, 1, 1): 1}),
}


@pytest.mark.parametrize('f,values', PARTS.values(), ids=PARTS)
@pytest.mark.parametrize('how', ['shapley', 'interactions'])
def test_patches_known_by_construction(f, values, how):
    found = attribute(ReadsParts(f), ones(2), first, what=patches(1, 2, 2), by=dark, how=how, **PLAIN)
    want = np.zeros((2, 2, 2))
    for at, value in values.items():
        want[at] = value
    np.testing.assert_allclose(found.values[0], want.ravel(), atol=1e-6)
    np.testing.assert_allclose(found.maps()[0].reshape(2, 2, 2, 2, 2).sum((2, 4)), want, atol=1e-6)
    np.testing.assert_allclose(found.frames()[0], want.sum((1, 2)), atol=1e-6)


def test_a_tube_is_removed_as_a_whole():
    f = lambda p: p[:, :, 0, 1].mean(1)
    found = attribute(ReadsParts(f), ones(4), first, what=patches(None, 2, 2), by=dark, how='occlusion', **PLAIN)
    np.testing.assert_allclose(found.values[0], [0, 1, 0, 0], atol=1e-6)
    assert unit_names(found.units)[1] == 'rows 0–1, columns 2–3'


def test_windows_share_among_their_frames():
    found = attribute(Reads(FRAMES['one frame'][0]), ones(5), first, what=windows(2), by=dark, **PLAIN)
    np.testing.assert_allclose(found.values[0], [0, 3, 0], atol=1e-6)
    np.testing.assert_allclose(found.frames()[0], [0, 0, 1.5, 1.5, 0], atol=1e-6)


def test_pairs_are_second_differences_and_interactions_their_mean():
    triple = Reads(lambda b: b[:, 1] * b[:, 2] * b[:, 4] + b[:, 0])
    found = {h: attribute(triple, ones(), first, by=dark, how=h, **PLAIN) for h in ('pairs', 'interactions')}
    want = np.zeros((6, 6))
    for i, j in permutations((1, 2, 4), 2):
        want[i, j] = 1
    np.testing.assert_allclose(found['pairs'].pairs[0], want, atol=1e-6)
    np.testing.assert_allclose(found['interactions'].pairs[0], want / 2, atol=1e-6)  # half of the sets hold the third
    np.testing.assert_allclose(found['interactions'].values[0], [1, 1 / 3, 1 / 3, 0, 1 / 3, 0], atol=1e-6)


@pytest.mark.parametrize('how', ['window', 'all masks'])
def test_searches_find_what_search_finds(how):
    net, x = Tiny().eval(), clips(2)
    found = attribute(net, x, by=freeze, how=how, **PLAIN)
    assert set(np.unique(found.values)) <= {0, 1}
    if how == 'window':
        np.testing.assert_array_equal(found.values[:, 1:], search_windows(net, x, half=False).mask[:, 1:])


def test_a_learned_mask():
    net, x = Tiny().eval(), clips(1)
    found = attribute(net, x, how='learned', **PLAIN)
    assert 0 <= found.values.min() <= found.values.max() <= 1
    with pytest.raises(ValueError, match="takes what='frames'"):
        attribute(net, x, what=windows(2), how='learned', **PLAIN)


# --- sampling


def random_game(n, seed):
    "Products of up to four players, of random weights; exact values in closed form"
    rng = np.random.default_rng(seed)
    groups = [rng.choice(n, rng.integers(1, 5), replace=False) for _ in range(3 * n)]
    weights = rng.normal(size=len(groups))
    exact = np.zeros(n)
    for g, w in zip(groups, weights):
        exact[g] += w / len(g)

    def v(there):
        return sum(w * there[:, g].all(1) for g, w in zip(groups, weights))

    return v, exact


@pytest.mark.parametrize('n,budget', [(10, 200), (15, 200), (15, 400), (20, 400)])
def test_sampled_values_cover_the_exact_ones(n, budget):
    "95 % intervals, ±1.96 standard errors, over many seeds and games"
    hit, z = [], []
    for seed in range(30):
        v, exact = random_game(n, seed)
        rng = np.random.default_rng(1000 + seed)
        size, take, room = share_pairs(n, budget // 2 - 1)
        sets = np.concatenate([draw_sets(rng, n, int(s), int(k)) for s, k in zip(size, take)])
        all_of, none = np.ones((1, n), bool), np.zeros((1, n), bool)
        values, se = shapley_of_pairs(rng, sets, np.repeat(room, take), v(sets) - v(~sets), (v(all_of) - v(none))[0])
        assert values.sum() == pytest.approx((v(all_of) - v(none))[0], abs=1e-9)
        hit.append(np.abs(values - exact) <= 1.96 * se + 1e-9)
        z.append((values - exact) / np.maximum(se, 1e-12))
    print(f'\n{n} players, {budget} evaluations: {np.mean(hit):.3f} covered')
    assert np.mean(hit) >= 0.93
    assert np.std(z) > 0.5  # and no wider than need be


class Gates(nn.Module):
    "A cheap network of frames with interactions: a soft count of pairs of neighbours"

    def __init__(self, T, seed):
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.a, self.b = (torch.randn(T, 8, generator=g) for _ in range(2))

    def forward(self, x):
        m = x.mean((1, 3, 4))
        return ((m @ self.a).tanh() * (m @ self.b).tanh()).sum(1, keepdim=True)


@pytest.mark.slow
def test_sampled_values_of_networks_cover_the_exact_ones():
    hit, errors = [], {}
    for seed in range(12):
        net, x = Gates(12, seed), clips(1, 12, 2, seed)
        exact = attribute(net, x, first, by=dark, **PLAIN)
        for draw in range(8):
            for n in 128, 512:
                found = attribute(net, x, first, by=dark, n=n, seed=draw, **PLAIN)
                hit.append(np.abs(found.values - exact.values) <= 1.96 * found.se)
                errors.setdefault(n, []).append(np.abs(found.values - exact.values).mean())
                assert found.evaluations[0] <= n
                np.testing.assert_allclose(found.values.sum(1), exact.values.sum(1), atol=1e-5)
    print(f'\n{np.mean(hit):.3f} covered, error { ({n: np.mean(e).round(4) for n, e in errors.items()}) }')
    assert np.mean(hit) >= 0.93
    assert np.mean(errors[512]) < np.mean(errors[128]) / 1.5


def test_more_evaluations_than_masks_is_exact():
    net, x = Tiny().eval(), clips(1)
    np.testing.assert_allclose(attribute(net, x, n=64, **PLAIN).values, attribute(net, x, **PLAIN).values, atol=1e-9)


def test_each_mask_is_computed_once():
    net, x = Tiny().eval(), clips(1)
    seen = []
    net.register_forward_pre_hook(lambda m, i: seen.append(len(i[0])))
    found = attribute(net, x, 0, by=dark, **PLAIN)
    assert found.evaluations[0] == 2**6
    assert sum(seen) <= 2**6 + 1  # and once for the class
    seen.clear()
    found = attribute(net, x, 0, by=freeze, **PLAIN)
    assert found.evaluations[0] == 2**5  # frame 0 stays
    assert sum(seen) <= 2**5 + 1
    game = Game(Removal(net, frames()((6, 6, 6)), dark, found_parts(), False), x, torch.tensor([0]))
    before = game.evaluations
    game(np.repeat(np.eye(6), 5, 0))
    assert game.evaluations == before + 6


def found_parts():
    from interpvid.device import BatchSplitter

    return BatchSplitter(48)


@pytest.mark.parametrize('n', [6, 7, 10, 33])
def test_drawn_sets_differ(n):
    rng = np.random.default_rng(0)
    size, take, room = share_pairs(n, 40)
    assert min(40, room.sum()) <= take.sum() <= 40 + n // 2
    assert (take <= room).all()
    for s, k in zip(size, take):
        sets = draw_sets(rng, n, int(s), int(k))
        assert sets.shape == (k, n)
        assert (sets.sum(1) == s).all()
        both = np.concatenate([sets, ~sets])
        assert len(np.unique(both, axis=0)) == 2 * k


# --- RISE


@pytest.mark.parametrize('how', ['rise', 'rise-hard'])
def test_rise_finds_the_patch(how):
    f = lambda p: 3 * p[:, 1, 0, 1]
    found = attribute(ReadsParts(f), ones(2, 8), first, what=patches(1, 4, 4), by=dark, how=how, n=800, **PLAIN)
    assert found.values[0].argmax() == 5
    if how == 'rise-hard':
        assert (np.abs(found.values[0] - 3 * np.eye(8)[5]) <= 4 * found.se[0] + 1e-9).all()


def test_soft_masks_are_half_on_everywhere():
    m = soft_masks(np.random.default_rng(0), 4000, (6, 9, 7), (2, 3, 3))
    assert m.shape == (4000, 6, 9, 7)
    assert ((m.mean(0) - 0.5).abs() < 0.03).all()
    assert 0 <= m.min() <= m.max() <= 1
    steps = m.diff(dim=3).abs()
    assert steps.max() <= 1 / 3 + 1e-6  # smooth: at most one cell's share from pixel to pixel


# --- what, by what, how: all together


@pytest.mark.parametrize('by', [*PERTURBATIONS, 'given', 'own'])
@pytest.mark.parametrize(
    'what', ['frames', windows(2), patches(3, 3, 3), patches(None, 3, 6)], ids=['frames', 'windows', 'patches', 'tubes']
)
def test_any_what_with_any_removal(what, by):
    net, x = Tiny().eval(), clips(1)
    own = {'given': given(clips(1, seed=5)), 'own': lambda x, mask: replace(x, x.flip(3), mask)}
    for how in 'occlusion', 'shapley', 'rise-hard':
        found = attribute(net, x, what=what, by=own.get(by, by), how=how, n=64, **PLAIN)
        assert np.isfinite(found.values).all()
        assert found.maps().shape == (1, 6, 6, 6)
        np.testing.assert_allclose(found.maps().sum((2, 3)), found.frames(), atol=1e-6)


def test_a_perturbation_of_frames_alone_says_so():
    from interpvid.masks.perturb import as_mask

    own = lambda x, mask: torch.lerp(x, x.flip(3), as_mask(mask, x)[:, None, :, None, None])
    with pytest.raises(ValueError, match='masks of frames'):
        attribute(Tiny().eval(), clips(), what=patches(), by=own, **PLAIN)
    attribute(Tiny().eval(), clips(), by=own, how='occlusion', **PLAIN)


def test_a_way_of_ones_own():
    keep_one = lambda game: game(1 - np.eye(game.n)) - game.base
    found = attribute(Reads(FRAMES['one frame'][0]), ones(), first, by=dark, how=keep_one, **PLAIN)
    np.testing.assert_allclose(found.values[0], [0, 0, 3, 0, 0, 0], atol=1e-6)
    with_error = lambda game: (np.zeros(game.n), np.ones(game.n))
    assert (attribute(Tiny().eval(), clips(), how=with_error, **PLAIN).se[0, 1:] == 1).all()


def test_without_a_gradient():
    "A plain function that works on numpy"

    def f(x):
        return torch.from_numpy(x.detach().numpy().mean((1, 3, 4))[:, [0, 2]])

    for how in HOWS:
        if how == 'learned':
            continue
        found = attribute(f, ones(), 1, by=dark, how=how, n=40, half=False)
        assert found.values[0].argmax() == 2, how


def test_iterables_labels_and_one_target_for_each():
    net, x = Tiny().eval(), clips(3)
    labels = torch.tensor([2, 0, 1])
    want = attribute(net, x, labels, **PLAIN).values
    for source, target in (
        (((x[i : i + 1], labels[i : i + 1]) for i in range(3)), 'label'),
        ([(x, labels)], 'label'),
        (list(x), [2, 0, 1]),
        (x, [2, 0, 1]),
    ):
        np.testing.assert_allclose(attribute(net, source, target, **PLAIN).values, want, atol=1e-9)
    with pytest.raises(ValueError, match='2 targets for 3 clips'):
        attribute(net, x, [0, 1], **PLAIN)
    with pytest.raises(ValueError, match='labels'):
        attribute(net, x, 'label', **PLAIN)


@pytest.mark.parametrize(
    'kw,why',
    [
        (dict(what='pixels'), "what='pixels'"),
        (dict(by='melt'), "no perturbation 'melt'"),
        (dict(how='sum'), "how='sum'"),
        (dict(what=lambda size: np.eye(4)), 'do not fit'),
        (dict(what=lambda size: np.zeros((2, 6))), 'empty'),
        (dict(n=2.5), 'n=2.5'),
        (dict(n=12), 'at least 22'),
        (dict(by=lambda x, m: x[:, :, 1:]), 'keeps the size'),
        (dict(what=lambda size: np.eye(6)[:1], by=freeze), 'removes none'),
        (dict(what=lambda size: np.eye(6).repeat(4, 0), how='interactions'), 'at most 16'),
    ],
)
def test_errors_name_the_remedy(kw, why):
    with pytest.raises(ValueError, match=why):
        attribute(Tiny().eval(), clips(), **{**PLAIN, **kw})


def test_the_same_seed_gives_the_same_values():
    net, x = Tiny(18).eval(), clips(2, 18)
    a, b, c = (attribute(net, x, by=dark, n=200, seed=s, **PLAIN).values for s in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    np.testing.assert_allclose(attribute(net, x[1:], by=dark, n=200, **PLAIN).values, a[1:], atol=1e-9)


# --- comparing


def test_removals_are_compared():
    net, x = Tiny().eval(), clips(5)
    table = compare_removals(net, x, by=('freeze', dark, 'blur'), **PLAIN)
    assert list(table.index) == [('freeze', 'black(stats=(0, 1))'), ('freeze', 'blur'), ('black(stats=(0, 1))', 'blur')]
    assert (table.clips == 5).all()
    a, b = (attribute(net, x, by=f, **PLAIN).values for f in (freeze, blur))
    ranks = lambda v: np.argsort(np.argsort(v))
    want = np.mean([np.corrcoef(ranks(p), ranks(q))[0, 1] for p, q in zip(a, b)])
    assert table.loc[('freeze', 'blur'), 'rank agreement'] == pytest.approx(want)
    assert table.loc[('freeze', 'blur'), 'another first'] == (a.argmax(1) != b.argmax(1)).mean()
    plot_agreement(table)
    with pytest.raises(ValueError, match='two or more'):
        compare_removals(net, x, by=[freeze])


def test_clips_without_ranks_are_not_counted():
    still = torch.cat([clips(1)[:, :, :1].expand(-1, -1, 6, -1, -1), clips(1)])
    table = compare_removals(Tiny().eval(), still, by=(freeze, dark), **PLAIN)
    assert table.clips.tolist() == [1]  # of a clip that rests, no frame matters under freeze
    assert np.isnan(rank_agreement(np.zeros(3), np.arange(3)))


def test_a_candidate():
    net, x = Tiny().eval(), clips(2)
    f, g = candidate(how='occlusion'), candidate(what=patches(3, 3, 3), by='black', how='occlusion')
    assert f(net, x, 0).shape == (2, 6)
    assert g(net, x, 0).shape == (2, 6, 6, 6)
    assert (f.found.evaluations == 7).all()
    assert isinstance(g.found, Attribution)
    assert f.__name__ == 'occlusion of frames by freeze'


PEAK = """
import sys, torch
from torch import nn
from interpvid.removal import attribute, patches
torch.set_num_threads(1)
class Net(nn.Module):
    def __init__(self): super().__init__(); self.f = nn.Linear(48, 3)
    def forward(self, x): return self.f(x.mean((3,4)).flatten(1))
n,size,what = int(sys.argv[1]),int(sys.argv[2]),eval(sys.argv[3])
g = torch.Generator().manual_seed(0); base = torch.randn(3,16,size,size, generator=g)
def source():
    for i in range(n): yield base*(1+i/1000)
a = attribute(Net(), source(), what=what, by='black', how='occlusion', bs=4, half=False)
assert a.values.shape[0]==n
hwm = [l for l in open('/proc/self/status') if l.startswith('VmHWM')]
print(int(hwm[0].split()[1])//1024)
"""


def peak(n, size, what):
    "MiB at most in use at once, in a process of its own, see tests/test_masks.py"
    env = {**os.environ, 'MALLOC_MMAP_THRESHOLD_': '65536'}
    command = [sys.executable, '-c', PEAK, str(n), str(size), what]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize('what', ["'frames'", 'patches()'])
def test_memory_does_not_grow_with_the_clips(what):
    base, few, many = peak(1, 8, what), peak(4, 224, what), peak(40, 224, what)
    print(f'\npeak of one small clip {base} MiB, of 4 clips {few} MiB, of 40 clips {many} MiB')
    assert many <= 1.1 * few
    assert few > base + 30


SHARED_PEAK = """
import sys, torch
from interpvid.masks.search import MaskScores, all_masks
from interpvid.models.clstm import CLSTM
torch.set_num_threads(1)
torch.manual_seed(0)
n,T = int(sys.argv[1]),int(sys.argv[2])
net = CLSTM(3, 48, T=T, hidden=(16,16), kernel=3, stride=(1,1), pool=(2,2), shared_norm=False).eval()
scorer = MaskScores(net, all_masks(T), bs=4, half=False)
assert scorer.shared
scores = scorer(torch.randn(3,T,48,48).expand(n,-1,-1,-1,-1), torch.zeros(n, dtype=torch.long))
assert scores.shape==(n,2**T)
hwm = [l for l in open('/proc/self/status') if l.startswith('VmHWM')]
print(int(hwm[0].split()[1])//1024)
"""


def shared_peak(n, T):
    "MiB at most in use at once, see `peak`; the clips are one in memory"
    env = {**os.environ, 'MALLOC_MMAP_THRESHOLD_': '65536'}
    command = [sys.executable, '-c', SHARED_PEAK, str(n), str(T)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_memory_of_what_masks_share_does_not_grow_with_the_clips():
    base, few, many = shared_peak(1, 2), shared_peak(2, 8), shared_peak(20, 8)
    print(f'\npeak of one clip of 2 frames {base} MiB, of 2 clips of 8 {few} MiB, of 20 clips of 8 {many} MiB')
    assert many <= 1.1 * few
    assert few > base + 30


@pytest.mark.parametrize('bs', [1, 4, 48])
def test_progress_is_never_told_of_nothing(bs):
    "A report of no clips ended long attributions with a ZeroDivisionError in `Forecast`"
    net = CLSTM(3, 16, T=6, hidden=(4,), kernel=3, stride=(2,), pool=(2,)).eval()
    told, x = [], clips(2, 6, 16)
    for masks in all_masks(6), all_masks(6)[:16], all_masks(6)[:7]:
        scorer = MaskScores(net, masks, bs=bs, half=False, share=True, count=told.append)
        scorer(x, torch.tensor([0, 1]))
        assert min(told) > 0
        assert sum(told) == 2 * scorer.looks
        told.clear()
    said = []
    forecast = Forecast(2 * 2**5, 'two clips', least=0, log=said.append)
    forecast.start -= 100  # as if the first report had come late, which is when the next one matters
    scorer = MaskScores(net, all_masks(6), bs=bs, half=False, share=True, count=forecast)
    scorer(x, torch.tensor([0, 1]))
    assert len(said) == 1 and 'two clips' in said[0]
