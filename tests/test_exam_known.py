"Networks whose reasons are known: what is right is counted by hand, and every exact method has to find it."

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from interpvid.core import to_batch
from interpvid.data.synthetic import make_clips
from interpvid.exam.candidates import CANDIDATES, Candidate, answer
from interpvid.exam.known import (
    frozen_training,
    known_models,
    known_table,
    losses_of_all,
    masks_and_looks,
    try_known,
)
from interpvid.exam.yardsticks import YARDSTICKS
from interpvid.masks.learn import learn_masks
from interpvid.masks.oracle import BlindOracle, EventOracle, EventOracles, FirstFrameOracle
from interpvid.masks.perturb import black, blur, freeze
from interpvid.masks.search import MaskScores, all_masks, search_masks, search_windows, windows
from interpvid.models.i3d import I3D
from interpvid.removal import attribute

BENCH = Path(__file__).resolve().parents[1] / 'benchmarks'
sys.path.insert(0, str(BENCH))

LAM1, LAM2 = 0.01, 0.02
NO = 1 / (1 + np.exp(5))  # probability of 'yes' where nothing that is needed is seen


@pytest.fixture(scope='module')
def clips():
    c = make_clips(26, seed=3, size=32, workers=0, progress=False)
    return to_batch(c.frames), c.event


@pytest.fixture(scope='module')
def few(clips):
    "Three clips, their event at least three frames away from both ends, of different lengths; and their networks"
    x, e = clips
    inside = [i for i in range(len(x)) if e[i].any() and not e[i][:3].any() and not e[i][-3:].any()]
    lengths = {int(e[i].sum()): i for i in inside}
    chosen = [lengths[n] for n in sorted(lengths)[:: max(1, len(lengths) // 3)]][:3]
    assert len(chosen) == 3
    return [(x[[i]], e[i], {k.name: k for k in known_models(x[[i]], e[i])}) for i in chosen]


def eq1(masks, score):
    m = np.asarray(masks, float)
    return LAM1 * m.sum(-1) + LAM2 * np.abs(np.diff(m, axis=-1)).sum(-1) + score


def yes(net, x, masks):
    "Probability of 'yes' of a clip that is really frozen, one mask after the other"
    with torch.no_grad():
        return np.array([net(freeze(x, torch.from_numpy(m).float())).softmax(1)[0, 1].item() for m in masks])


def on(*t):
    return np.isin(np.arange(16), t)


# --- what is known


def test_losses_are_those_of_clips_that_are_frozen(few):
    rng = np.random.default_rng(0)
    for x, event, known in few:
        masks = np.concatenate([rng.random((25, 16)) < 0.4, rng.random((10, 16)) < 0.1, [event, ~event]])
        for k in known.values():
            mine = eq1(masks, yes(k.model, x, masks))
            np.testing.assert_allclose(k.regret(masks) + k.optimum, mine, atol=2e-4)


def test_what_is_right_follows_from_what_is_needed(few):
    """By hand: 'any' has to be frozen as a whole, of 'all' and 'both' any one frame, of 'last' that one, of 'either'
    both, in two pieces or as the window around them"""
    for x, event, known in few:
        t = np.flatnonzero(event)
        singles = [on(i) for i in t]
        ends = on(t[0], t[-1])
        piece, window = 2 * LAM1 + 4 * LAM2, len(t) * LAM1 + 2 * LAM2
        both_ways = ([ends] if piece <= window + 1e-9 else []) + ([event] if window <= piece + 1e-9 else [])
        best = {
            'any': [event],
            'all': singles,
            'last': [on(t[-1])],
            'both': [on(t[0]), on(t[-1])],
            'either': both_ways,
            'first frame': [on()],
            'nothing': [on()],
        }
        assert list(known) == list(best)
        for name, right in best.items():
            k = known[name]
            assert {tuple(m) for m in k.best} == {tuple(m) for m in right}, name
            left = NO if name not in ('first frame', 'nothing') else 1 - NO
            assert k.optimum == pytest.approx(eq1(right[0], left), abs=2e-4), name
        needs = {'any': event, 'all': event, 'last': on(t[-1]), 'both': ends, 'either': ends}
        for name, right in needs.items():
            np.testing.assert_array_equal(known[name].right, right)
        assert known['first frame'].right is None and known['nothing'].right is None
        alone = ['any', 'last', 'either'] if len(both_ways) == 1 and piece < window else ['any', 'last']
        assert [n for n, k in known.items() if k.unique] == alone
        assert known['either'].has_window == (window <= piece + 1e-9)
        assert all(k.has_window for n, k in known.items() if n != 'either')
        assert len(known_table(list(known.values()))) == 7


def test_regret_of_a_mask_is_counted(few):
    x, event, known = few[0]
    n = int(event.sum())
    assert known['any'].regret(event) == pytest.approx(0, abs=1e-6)
    assert known['last'].regret(event) == pytest.approx((n - 1) * LAM1, abs=1e-3)
    assert known['any'].regret(on()) == pytest.approx(1 - NO - known['any'].optimum, abs=1e-3)
    both = known['any'].regret(np.stack([event, on()]))
    np.testing.assert_allclose(both, [0, 1 - NO - known['any'].optimum], atol=1e-3)


def test_a_clip_with_more_masks_than_can_be_tried_is_refused():
    with pytest.raises(ValueError, match='at most 16 frames'):
        known_models(torch.randn(1, 3, 17, 8, 8), np.arange(17) > 4)


def test_an_event_of_one_frame_has_no_two_moments(clips):
    x, _ = clips
    assert [k.name for k in known_models(x[:1], on(6))] == ['any', 'all', 'last', 'first frame', 'nothing']


# --- the exact methods are right


def test_exact_methods_have_no_regret(few):
    "At most .01, on every network; a window where a window is best, and else it pays for what lies between"
    for x, event, known in few:
        for name, k in known.items():
            best = search_masks(k.model, x, all_masks(16), 1, check=False)
            window = search_windows(k.model, x, 1, check=False)
            assert k.regret(best.binary[0]) <= 0.01, name
            assert best.loss['loss'][0] == pytest.approx(k.optimum, abs=1e-4), name
            w = np.concatenate([windows(16), np.zeros((1, 16))])
            least = k.regret(w).min()
            if name in ('first frame', 'nothing'):  # the empty mask is none of the windows that are tried
                assert least == 0 and k.regret(window.binary[0]) == pytest.approx(LAM1 + LAM2, abs=1e-4)
                continue
            assert k.regret(window.binary[0]) == pytest.approx(least, abs=1e-4), name
            assert (k.regret(window.binary[0]) <= 0.01) == k.has_window or least <= 0.01, name
            for how in ('all masks', 'window') if x is few[0][0] else ():
                found = attribute(k.model, x, 1, how=how).frames()[0]
                assert k.regret(found) <= 0.01 or how == 'window' and not k.has_window, (name, how)


def test_shapley_values_are_those_of_the_game(few):
    "Who needs what alike gets alike, together what there is to share; the others next to nothing"
    for x, event, known in few:
        for name in 'any', 'all', 'last', 'both', 'either':
            k = known[name]
            v = attribute(k.model, x, 1, how='shapley').frames()[0]
            share = (1 - 2 * NO) / k.right.sum()
            np.testing.assert_allclose(v[k.right], share, rtol=0.15, err_msg=name)
            assert np.abs(v[~k.right]).max() < share / 10, name
            assert v.sum() == pytest.approx(1 - 2 * NO, abs=1e-4)
            assert set(np.argsort(-v)[: k.right.sum()]) == set(np.flatnonzero(k.right))


def test_occlusion_finds_what_takes_the_score_by_itself(few):
    for x, event, known in few:
        for name in 'any', 'all', 'last', 'both', 'either':
            k = known[name]
            v = attribute(k.model, x, 1, how='occlusion').frames()[0]
            alone = k.right if name in ('all', 'last', 'both') else on()
            np.testing.assert_allclose(v[alone], 1 - 2 * NO, atol=1e-3)
            assert np.abs(v[~alone]).max(initial=0) < 0.1, name


def test_learned_masks_are_near_the_best(few):
    "They are no exact method: the figures are printed; what is asked is that they are no worse than the whole event"
    for x, event, known in few:
        for name in 'any', 'all', 'last', 'both', 'either':
            k = known[name]
            m = learn_masks(k.model, x, 1, preset='fast', keep_best='binary')
            print(f'{name}: regret {k.regret(m.binary[0]):.4f}')
            assert k.regret(m.binary[0]) <= max(k.regret(event), 0.05), name


# --- oracles


@pytest.mark.parametrize('need', ['some', '', (0, 5), (5, 12), ()])
def test_what_cannot_be_needed(need):
    x = torch.randn(1, 3, 16, 8, 8)
    with pytest.raises(ValueError, match='need='):
        EventOracle(x, on(4, 5, 6, 7), need)


def test_needs_of_an_oracle_under_all_sets_of_frozen_frames(clips):
    "Whether it says yes is a sentence about which frames of the event are frozen"
    x, e = clips
    i = next(i for i in range(len(x)) if e[i].sum() == 6 and not e[i][0])
    t = np.flatnonzero(e[i])
    says = {
        'any': lambda seen: seen.any(),
        'all': lambda seen: seen.all(),
        'last': lambda seen: seen[-1],
        (int(t[1]), int(t[4])): lambda seen: seen[1] and seen[4],
    }
    sets = (np.arange(64)[:, None] >> np.arange(6)) & 1 > 0
    masks = np.zeros((64, 16), bool)
    masks[:, t] = sets
    for need, sentence in says.items():
        got = yes(EventOracle(x[[i]], e[i], need, enough=0.15), x[[i]], masks) > 0.5
        assert got.tolist() == [bool(sentence(~s)) for s in sets], need


@pytest.mark.parametrize('kwargs', [dict(), dict(need='all', enough=0.15), dict(need='last')])
def test_shared_frames_give_the_scores_of_clips(clips, kwargs):
    x, e = clips
    masks = (np.random.default_rng(1).random((48, 16)) < 0.4).astype(np.float32)
    for i in np.flatnonzero(e.any(1))[:3]:
        for net in EventOracle(x[[i]], e[i], **kwargs), FirstFrameOracle(x[[i]]), BlindOracle():
            for by in freeze, black:
                scores = [MaskScores(net, masks, by, half=False, share=s) for s in (True, False)]
                ask = [s(x[[i]], torch.tensor([1])) for s in scores]
                torch.testing.assert_close(*ask, atol=5e-4, rtol=0)
        shared = [MaskScores(EventOracle(x[[i]], e[i], **kwargs), m).shared for m in (masks, all_masks(16))]
        assert shared == [False, True]  # few clips are computed as any network computes them


def test_gradients_of_oracles(clips):
    x, e = clips
    i = int(np.flatnonzero(e.any(1))[0])
    for kwargs in dict(), dict(need='all', enough=0.15), dict(need='last', enough=0.15):
        net, z = EventOracle(x[[i]], e[i], **kwargs), x[[i]].clone().requires_grad_()
        (g,) = torch.autograd.grad(net(z).softmax(1)[:, 1].sum(), z)
        frames = g.abs().amax((0, 1, 3, 4)) > 0
        needed = {*net.t.tolist(), *(net.t - 1).tolist()}
        assert set(frames.nonzero()[:, 0].tolist()) == needed
    z = x[[i]].clone().requires_grad_()
    (g,) = torch.autograd.grad(BlindOracle()(z)[:, 1].sum(), z)
    assert not g.any()
    (g,) = torch.autograd.grad(FirstFrameOracle(x[[i]])(z)[:, 1].sum(), z)
    assert g[:, :, 0].all() and not g[:, :, 1:].any()


def test_many_oracles_are_each_alone(clips):
    x, e = clips
    has = e.any(1)
    x, e = x[has][:8], e[has][:8]
    many = EventOracles(x, e, need='all', enough=0.15)
    order = torch.tensor([3, 0, 7, 7, 1, 5, 2, 4, 6, 0])
    m = (torch.rand(10, 16, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    for by in freeze, blur, black:
        y = by(x[order], m)
        nets = [EventOracle(x[[i]], e[i], need='all', enough=0.15) for i in order.tolist()]
        alone = torch.cat([net(c[None]) for net, c in zip(nets, y)])
        torch.testing.assert_close(many(y), alone)
    masks = np.concatenate([windows(16)[::7], m.numpy()])
    ask = [MaskScores(many, masks, half=False, share=s)(x, torch.ones(8).long()) for s in (True, False)]
    torch.testing.assert_close(*ask, atol=5e-4, rtol=0)
    z = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(many(z)[:, 1].sum(), z)
    assert [bool(v) for v in g.flatten(1).any(1)] == [True] * 8


# --- a network that looks at nothing


@pytest.mark.parametrize('ask', ['attribute', 'window', 'all masks', 'learned'])
def test_a_network_that_looks_at_nothing_is_refused_before_the_work(clips, ask):
    x, _ = clips
    what = {
        'attribute': lambda: attribute(BlindOracle(), x[:1], 1),
        'window': lambda: search_windows(BlindOracle(), x[:1], 1),
        'all masks': lambda: search_masks(BlindOracle(), x[:1], all_masks(16)[:50], 1),
        'learned': lambda: learn_masks(BlindOracle(), x[:1], 1),
    }
    with pytest.raises(ValueError, match='do not depend on the clip'):
        what[ask]()


@pytest.mark.parametrize('how', ['occlusion', 'shapley', 'rise', 'pairs', 'interactions', 'rise-hard'])
def test_where_freezing_changes_nothing_all_values_are_zero(clips, how):
    x, _ = clips
    found = attribute(FirstFrameOracle(x[:1]), x[:1], 1, how=how)
    assert found.full[0] == found.base[0] > 0.9
    assert not found.values.any()


def test_where_freezing_changes_nothing_masks_say_so(clips):
    x, _ = clips
    net = FirstFrameOracle(x[:1])
    for found in search_windows(net, x[:1], 1), search_masks(net, x[:1], all_masks(16)[::64], 1):
        assert found.insensitive.all() and 'means nothing' in found.notes[0]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        found = learn_masks(net, x[:1], 1, preset='fast')
    assert 'meaningless' in str(said[0].message) and 'means nothing' in found.notes[0]


def test_looks_of_all_masks_are_kept():
    masks, order, look = masks_and_looks(6)
    assert len(masks) == 64 and len(order) == 32
    assert (order[look] == freeze.index(masks)).all()
    clip = torch.randn(1, 3, 6, 4, 4)
    assert len(losses_of_all(FirstFrameOracle(clip), clip)) == 64


# --- anyone's method on networks that are known


@pytest.fixture(scope='module')
def two(few):
    return torch.cat([x for x, _, _ in few[:2]]), np.stack([e for _, e, _ in few[:2]])


@pytest.mark.parametrize('name', ['best of all masks', 'Shapley values, exact'])
def test_candidates_that_try_everything_are_right_on_every_network(two, name):
    t = try_known(name, *two)
    assert t.index.tolist() == ['any', 'all', 'last', 'both', 'either', 'first frame', 'nothing']
    assert (t['right'] == 1).all(), t
    assert t['silent'].tolist() == [0, 0, 0, 0, 0, 1, 1]
    if name == 'best of all masks':
        assert t['regret'].iloc[:5].max() <= 0.01
    else:
        assert (t['found'].iloc[:5] == 1).all()


def test_integrated_gradients_find_the_event_and_are_silent_where_nothing_is_found(two):
    t = try_known('integrated gradients', *two)
    assert (t['found'][['any', 'all']] == 1).all()
    assert t['silent'].tolist() == [0, 0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize('name', ['centre', 'random', 'motion energy', 'most motion, as a window'])
def test_yardsticks_are_wrong_on_some_network_and_never_say_that_there_is_nothing(two, name):
    t = try_known(YARDSTICKS[name], *two)
    assert (t['right'][['last', 'both', 'either']] < 1).any()
    assert not t['right'][['first frame', 'nothing']].any() and not t['said'].any()


def test_found_and_regret_are_counted(few):
    "The event given as an answer, and its complement"
    x, event, known = few[0]
    n = int(event.sum())
    t = try_known(lambda model, clips, target: event[None].astype(float), x, [event])
    assert t['found'][['any', 'all', 'last']].tolist()[:2] == [1, 1]
    assert t['regret']['any'] == pytest.approx(0, abs=1e-6)
    assert t['right'][['any', 'all']].all()
    t = try_known(lambda model, clips, target: 1 - event[None].astype(float), x, [event])
    assert t['found'][['any', 'all', 'last']].tolist() == [0, 0, 0] and not t['right'][['any', 'last']].any()
    with pytest.raises(ValueError, match='cannot be called'):
        try_known(lambda model: event, x, [event])
    t = try_known(lambda model, clips, target: np.zeros((1, n)), x, [event])
    assert not t['right'].drop('nothing').any() and t['said']['any'].startswith('cannot:')


def blind_i3d():
    "Layers like any other's, and a last one that is zero: the same score for every clip"
    torch.manual_seed(0)
    net = I3D(3, width=0.125, s_strides=(2, 2, 2, 2, 1), dropout=0.0).eval()
    last = [m for m in net.modules() if isinstance(m, torch.nn.Conv3d)][-1]
    torch.nn.init.zeros_(last.weight)
    last.bias.data = torch.tensor([0.0, 3.0, 1.0])
    return net


@pytest.mark.parametrize('name', [n for n, c in CANDIDATES.items() if n not in ('learned mask, TensorFlow',)])
def test_every_candidate_that_asks_says_that_a_blind_network_tells_nothing(clips, name):
    "Of an I3D, so that maps of layers have layers; the values are zero, or a note says that they mean nothing"
    x = clips[0][1:3]
    c = CANDIDATES[name]
    net = BlindOracle() if c.few else blind_i3d()
    a = answer(c, net, x, torch.tensor([1, 1]))
    assert any('does not depend on what is removed' in n for n in a.notes)
    if 'mask' not in name and name != 'best window':
        assert np.ptp(a.values) == 0


def test_a_method_that_asks_gets_the_note_and_a_yardstick_does_not(clips):
    x = clips[0][1:3]
    pattern = lambda model, clips, target: clips.abs().mean((1, 3, 4))
    asks = answer(Candidate('mine', pattern), BlindOracle(), x, torch.tensor([1, 1]))
    assert any('does not depend' in n for n in asks.notes)
    assert not answer(Candidate('mine', pattern, asks=False), BlindOracle(), x, torch.tensor([1, 1])).notes


# --- trained with frozen frames


def test_windows_that_are_frozen_in_training():
    "Never frame 0, each length from 1 to T-1 as often, one window, three of four clips"
    from frozen_training import SHARE, random_windows

    m = random_windows(np.random.default_rng(0), 20_000, 16)
    assert not m[:, 0].any()
    some = m[m.any(1)]
    assert len(some) / len(m) == pytest.approx(SHARE, abs=0.02)
    assert ((np.diff(some.astype(int), axis=1) == 1).sum(1) == 1).all()
    lengths = np.bincount(some.sum(1), minlength=16)[1:] / len(some)
    np.testing.assert_allclose(lengths, 1 / 15, atol=0.01)
    assert some[:, 15].mean() == pytest.approx(some[:, 1].mean(), abs=0.02)


def test_training_clips_are_frozen_and_validation_clips_are_not():
    from types import SimpleNamespace

    from frozen_training import FreezeSome

    x, y = torch.randn(64, 3, 16, 2, 2), torch.arange(64)
    learn = SimpleNamespace(xb=(x,), yb=(y,), training=True)
    callback = FreezeSome(0)
    callback.learn = learn
    callback.before_batch()
    now = learn.xb[0]
    changed = (now != x).flatten(1).any(1)
    assert 0.5 < changed.float().mean() < 0.95 and learn.yb[0] is y
    same = (now[:, :, 1:] == now[:, :, :-1]).all(1).flatten(2).all(2)
    assert (same.any(1) == changed).all()
    learn.xb, learn.training = (x,), False
    callback.before_batch()
    assert learn.xb[0] is x


def test_kept_numbers_follow_from_the_kept_masks():
    from frozen_training import closer, kinds, measures, on as bits, overlaps, paired

    kept = frozen_training()
    event, masks = bits(kept['event']), kept['masks']
    assert event.shape == (22, 16) and event.any(1).all()
    plain, frozen = kinds(masks)
    assert len(plain) >= 2 and len(frozen) >= 1
    assert paired(masks, event) == kept['paired']
    assert overlaps(masks) == kept['overlaps'] and closer(masks) == kept['closer']
    for networks in masks.values():
        for found in networks.values():
            m = measures(found, event)
            assert ((m['IoU with the event'] >= 0) & (m['IoU with the event'] <= 1)).all()
            if found is networks['best window']:
                border = np.abs(np.diff(bits(found['mask']).astype(int), axis=1)).sum(1)
                np.testing.assert_allclose(m['loss'], LAM1 * m['frames'] + LAM2 * border + m['FS'], atol=2e-4)
