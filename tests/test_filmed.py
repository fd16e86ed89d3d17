"Filmed clips: whose they are, which way they go, and the paper's experiment on any folder."

import numpy as np
import pytest

from interpvid.data.clips import folder_items
from interpvid.data.lists import groups_of
from interpvid.data.silhouettes import background, centres, going, silhouettes
from interpvid.paper.filmed import directions
from interpvid.video import read_frames

TRAVELS = "jump", "run", "side", "skip", "walk"


# --- groups


def test_groups_of_both_sets_are_read_without_a_flag(reference):
    people = folder_items(reference / "weizmann")
    assert sorted({i.group for i in people}) == [f"p{k}" for k in range(1, 10)]
    pairs = folder_items(reference / "ut_interaction")
    assert sorted({i.group for i in pairs}) == [f"g{k:02d}" for k in range(1, 21)]
    for items in (people, pairs):
        splits = {}
        for i in items:
            splits.setdefault(i.group, set()).add(i.split)
        assert all(len(s) == 1 for s in splits.values())
        assert items.notes == []


@pytest.mark.parametrize(
    "names, groups",
    [
        (["walk/p1_walk.mp4", "run/p1_run.mp4", "run/p2_run.mp4"], ["p1", "p1", "p2"]),
        (["a/P01-a.mp4", "b/P01-b.mp4"], ["P01", "P01"]),
        (["walk/daria_walk.avi", "run/daria_run2.avi"], ["daria", "daria"]),
        (["Walk/Daria walk.avi", "run/daria run.avi"], ["daria", "daria"]),
        (["walk/daria_walk1.avi", "walk/daria_walk2.avi"], ["", ""]),  # one class alone: daria may be its name
        (["walk/clip1_walk.mp4", "run/clip1_run.mp4"], ["", ""]),  # a numbering
        (["walk/1_walk.mp4", "run/1_run.mp4"], ["", ""]),
        (["walk/holiday_p1.mp4", "walk/holiday_p2.mp4"], ["", ""]),  # parts
        (["walk/walk_1.mp4", "run/run_1.mp4"], ["", ""]),
    ],
)
def test_groups_by_names(names, groups):
    assert groups_of(names) == groups


# --- silhouettes and directions


def square(T=12, H=40, W=60, step=3):
    "A bright square that crosses a grey image"
    frames = np.full((T, H, W, 3), 90, np.uint8)
    for t in range(T):
        frames[t, 10:30, 5 + step * t : 15 + step * t] = 220
    return frames


def test_a_silhouette_is_the_square_itself():
    frames = square()
    masks = silhouettes(frames)
    assert (masks == (frames[..., 0] == 220)).all()
    assert (background(frames) == 90).all()
    assert np.allclose(centres(masks)[:, 0], 9.5 + 3 * np.arange(12))
    assert np.allclose(centres(masks)[:, 1], 19.5)


def test_noise_and_small_islands_are_left_out():
    frames = square()
    noisy = np.clip(frames.astype(int) + np.random.default_rng(0).integers(-8, 9, frames.shape), 0, 255)
    noisy = noisy.astype(np.uint8)
    noisy[6, 2, 2] = 255  # a speck
    noisy[7, 33:36, 50:53] = 255  # an island
    clean = silhouettes(frames)
    found = silhouettes(noisy)
    assert (found ^ clean).mean() < 0.002
    assert not found[6, :5, :5].any() and not found[7, 32:, 48:].any()


def test_directions_turn_with_mirror_and_time():
    frames = square()
    assert going(silhouettes(frames)) == "right"
    assert going(silhouettes(frames[:, :, ::-1])) == "left"
    assert going(silhouettes(frames[::-1])) == "left"
    assert going(silhouettes(square(step=0))) == ""
    there_and_back = np.concatenate([frames, frames[::-1]])
    assert going(silhouettes(there_and_back)) == ""


def test_every_person_who_crosses_has_a_direction_and_no_other(reference):
    items = folder_items(reference / "weizmann")
    ways = directions(items)
    crosses = [items.classes[i.label] in TRAVELS for i in items]
    assert [bool(w) for w in ways] == crosses
    both = {items.classes[i.label]: set() for i, w in zip(items, ways) if w}
    for i, w in zip(items, ways):
        if w:
            both[items.classes[i.label]].add(w)
    assert all(ways == {"left", "right"} for ways in both.values())


def test_a_silhouette_is_a_person_high(reference):
    masks = silhouettes(read_frames(reference / "weizmann" / "walk" / "p1_walk.mp4", 32))
    rows = masks.any(2)
    height = rows.sum(1)[masks.any((1, 2))]
    assert masks.any((1, 2)).mean() > 0.9
    assert np.median(height) > 0.3 * masks.shape[1]  # head to foot, of an image 144 high
    assert masks.mean() < 0.06
