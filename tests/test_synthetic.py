"What is claimed of the built-in clips, over many of them."

import subprocess, sys

import numpy as np, pytest

from interpvid.data.actors import KTH_CLASSES
from interpvid.data.ssv2 import SSV2_CLASSES
from interpvid.data.synthetic import (
    CAM_DOWN, DOWN, HOLDING, LEFT, PASS, REVERSED, RIGHT, SYNTHETIC_CLASSES, UP, DrawnClips, box_mask,
    draw_scene, make_clips, render, scene_truth)


def test_names_are_those_of_the_datasets():
    "The classes of Something-something, letter for letter; those of KTH in the paper's order"
    assert set(SYNTHETIC_CLASSES) <= set(SSV2_CLASSES)
    assert len(set(SYNTHETIC_CLASSES)) == 12
    assert make_clips(6, 0, kind='kth', T=8, size=(30, 40), progress=False).classes == KTH_CLASSES


@pytest.fixture(scope='module')
def siblings():
    return make_clips(20, 7, siblings=True, progress=False)


def test_what_is_drawn_does_not_know_its_class(siblings):
    "Every scene appears under all labels with the same event window and the same first positions"
    for s in range(20):
        i = np.flatnonzero(siblings.scenes == s)
        assert sorted(siblings.labels[i]) == list(range(12))
        holds, moves = i[siblings.labels[i] == HOLDING], i[siblings.labels[i] != HOLDING]
        assert (siblings.event[moves] == siblings.event[moves[0]]).all()
        assert not siblings.event[holds].any()
        for k in i:
            assert np.array_equal(siblings.boxes[k, 0], siblings.boxes[i[0], 0], equal_nan=True)


def test_window_and_length():
    n = [draw_scene(np.random.default_rng([3, i])) for i in range(150)]
    L, S = np.array([s.length for s in n]), np.array([s.start for s in n])
    assert L.min() == 5
    assert L.max() == 10
    assert S.min() == 1
    assert (S + L).max() == 16


def quiet(scene, label, **kw):
    "The frames without noise and without the hand"

    class Still:
        def normal(self, a, b, n):
            return np.zeros(n)

        def standard_normal(self, shape, dtype):
            return np.zeros(shape, dtype)

    return render(scene, label, Still()).astype(int)


@pytest.mark.parametrize('seed', range(6))
def test_event_frames_are_those_that_differ(seed):
    scene = draw_scene(np.random.default_rng(seed))
    for l in scene.looks:
        l.idle = None  # idlers move at all times
    for label in range(12):
        f = quiet(scene, label)
        differs = np.r_[False, np.abs(np.diff(f, axis=0)).max((1, 2, 3)) > 0]
        assert np.array_equal(differs, scene_truth(scene, label)['event']), SYNTHETIC_CLASSES[label]


@pytest.mark.parametrize('seed', range(6))
def test_what_changes_lies_in_the_boxes(seed):
    scene = draw_scene(np.random.default_rng(seed))
    for label in range(CAM_DOWN):
        f = quiet(scene, label)
        inside = box_mask(np.nan_to_num(scene_truth(scene, label)['boxes'][:, : len(scene.radii)], nan=-1), 64).any(1)
        changed = np.abs(np.diff(f, axis=0)).max(-1) > 0
        near = inside[1:] | inside[:-1]
        for axis in 1, 2:  # corners reach a little over
            near = np.any([np.roll(near, k, axis) for k in range(-2, 3)], 0)
        assert (changed & ~near).sum() <= 0.02 * max(1, changed.sum()), SYNTHETIC_CLASSES[label]


def test_reversal_pairs():
    assert (REVERSED[REVERSED] == np.arange(12)).all()
    assert (REVERSED != np.arange(12)).sum() == 10
    assert (REVERSED[UP], REVERSED[LEFT], REVERSED[PASS], REVERSED[HOLDING]) == (DOWN, RIGHT, PASS, HOLDING)


@pytest.mark.parametrize('label', range(12))
def test_played_backwards_the_movement_is_that_of_the_other_class(label):
    "In which direction the acting things go, on the ring that the picture is"
    scene = draw_scene(np.random.default_rng(label))
    back = scene.travel[label] * -1
    other = scene.travel[REVERSED[label]]
    if label == HOLDING:
        assert not back.any()
    elif label in (PASS,):
        assert (np.sign(back).any(-1).sum()) == 2
    elif label < 4:  # closer and away: the gap between the two grows where it shrank

        def gap(l, start):  # before and after
            i, j = np.flatnonzero(scene.travel[l].any(-1))
            a = scene.centres[[i, j]]
            b = a + scene.travel[l][[i, j]]
            return np.hypot(*(a[0] - a[1])), np.hypot(*(b[0] - b[1]))

        (a0, a1), (b0, b1) = gap(label, 0), gap(REVERSED[label], 0)
        assert np.sign(a1 - a0) == -np.sign(b1 - b0)
    else:
        assert (np.sign(back[back.any(-1)][0]) == np.sign(other[other.any(-1)][0])).all()


@pytest.mark.parametrize('size,T', [(64, 16), (96, 16), (64, 32), (112, 24)])
def test_other_sizes_and_lengths(size, T):
    c = make_clips(12, 1, size=size, T=T, progress=False)
    assert c.frames.shape == (12, T, size, size, 3)
    assert c.event.shape == (12, T)


def test_kept_clips_are_mapped_and_equal(tmp_path):
    c = make_clips(12, 1, progress=False)
    c.save(tmp_path / 'c')
    d = DrawnClips.load(tmp_path / 'c')
    assert isinstance(d.frames, np.memmap)
    assert np.array_equal(c.frames, d.frames)
    assert np.array_equal(c.boxes, d.boxes, equal_nan=True)
    assert d.classes == c.classes
    assert d.kind == c.kind
    assert np.array_equal(d.reversed_labels, c.reversed_labels)
    assert np.array_equal(d.scenes, c.scenes)


def test_some_of_the_clips_keep_their_truth_and_a_dataset_of_them_is_the_clips():
    c = make_clips(8, 3, kind='kth', T=8, size=(30, 40), progress=False)
    part = c.subset([5, 2])
    for k in 'event', 'boxes', 'phase', 'cycles':
        assert np.array_equal(part.truth(0)[k], c.truth(5)[k], equal_nan=True), k
    frames, label = part[1]
    assert np.array_equal(frames, c.frames[2])
    assert label == c.labels[2]
    assert len(part) == 2


@pytest.mark.parametrize('size', [(4, 4), 1, 0])
def test_a_size_without_room_for_an_event_is_refused_at_once(size):
    "C3: it went on drawing scenes for ever"
    for kind in 'something', 'kth':
        with pytest.raises(ValueError, match='at least 8×8'):
            make_clips(1, size=size, kind=kind, progress=False)
    with pytest.raises(ValueError, match='at least 8'):
        draw_scene(np.random.default_rng(0), size=4)


@pytest.mark.parametrize('kind', ['something', 'kth'])
def test_the_smallest_size_that_is_named_works(kind):
    assert make_clips(12, 0, size=8, kind=kind, workers=0, progress=False).frames.shape[2:] == (8, 8, 3)


def test_unknown_kind_and_too_few_frames_are_refused():
    with pytest.raises(ValueError, match='kind'):
        make_clips(2, kind='films')
    with pytest.raises(ValueError, match='at least 12'):
        make_clips(2, T=8, progress=False)


def test_boxes_of_pictures_that_are_not_square():
    m = box_mask([[2, 1, 4, 2], [14, 0, 17, 0]], (6, 16))
    assert m.shape == (2, 6, 16)
    assert m[0].sum() == 6
    assert m[0, 1:3, 2:5].all()
    assert m[1].sum() == 4 and m[1, 0, [14, 15, 0, 1]].all()  # over the right border
    assert (box_mask([[2, 1, 4, 2]], 8) == box_mask([[2, 1, 4, 2]], (8, 8))).all()


def test_clips_are_made_where_opencv_has_worked_before():
    "Forked processes of one whose OpenCV has threads of its own once waited for ever"
    code = '''import cv2, numpy as np
f = np.zeros((2000, 2000, 3), np.uint8)
cv2.GaussianBlur(f, (31, 31), 5)
from interpvid.data.synthetic import make_clips
print(len(make_clips(48, kind='kth', T=8, size=(30, 40), progress=False)))'''
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
    assert r.stdout.strip() == '48', r.stderr
