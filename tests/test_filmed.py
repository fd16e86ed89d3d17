"Filmed clips: whose they are, which way they go, and the paper's experiment on any folder."

import numpy as np
import pytest

from conftest import SMALL

from interpvid.data.clips import folder_items, folder_status
from interpvid.data.lists import groups_of
from interpvid.data.loaders import folder_dls
from interpvid.data.silhouettes import background, centres, going, silhouettes
from interpvid.data.synthetic import LEFT, RIGHT, make_clips
from interpvid.paper.experiment import Experiment, describe, look
from interpvid.paper.filmed import directions
from interpvid.paper.page import main_datasets
from interpvid.paper.reproduce import reproduce
from interpvid.registry import DATASETS, Dataset, register
from interpvid.video import read_frames, write_video

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


# --- the paper's experiment on any folder


@pytest.fixture
def gym(tmp_path):
    "Films of four people who push to either side, in a folder that knows nothing of the paper"
    for k in range(4):
        clips = make_clips(1, seed=k, siblings=True, only=(RIGHT, LEFT), progress=False)
        for name, frames in zip(("to the right", "to the left"), clips.frames):
            folder = tmp_path / "gym" / name
            folder.mkdir(parents=True, exist_ok=True)
            write_video(folder / f"person{k}_{name[-4:].strip()}.mp4", frames, fps=12)
    return tmp_path / "gym"


@pytest.fixture
def declared():
    "A folder as a dataset of its own; forgotten afterwards"
    register(Dataset("gym", "My gym", folder_dls, folder_status, env="GYM", shape=(16, 64, 64), preset="small"))
    yield "gym"
    DATASETS.loaded.pop("gym")


def test_any_folder_is_a_third_dataset_by_declaration_alone(gym, declared, tmp_path, tiny_cache):
    "Table 1, Table 2, claims and page of a folder of films"
    got = reproduce(tmp_path / "out", **SMALL, gym=gym, cache=tiny_cache, log=lambda line: None, progress=False)
    exp = got["experiments"]["gym"]
    people = {i.group for i in folder_status(gym).items}
    assert len(people) == 1  # one of four validates, and both of that person's clips
    t1, t2, claims = (got["gym"][k] for k in ("table1", "table2", "claims"))
    assert t1.index.tolist() == ["I3D", "I3D, reversed", "C-LSTM", "C-LSTM, reversed"]
    assert set(t1["top-1"]) <= {0, 0.5, 1}  # of two clips
    assert t2.index.tolist() == ["I3D", "C-LSTM"] and len(got["gym"]["scores"]) == 4
    asked = claims[claims["verdict"] != "not asked here"]
    assert {"better", "better-kth", "loses-i3d", "keeps-i3d", "mask length", "blob count"} <= set(asked.index)
    assert claims.loc["event-i3d", "verdict"] == "not asked here"  # nobody knows when it happens
    assert not exp.synthetic and describe(exp).data.startswith("**Data: My gym**, 2 clips")
    page = got["page"].read_text(encoding="utf-8")
    assert "<h2>My gym: " in page and "figures/gym-a.gif" in page
    assert (tmp_path / "out" / "gym" / "table2.csv").is_file()


def test_without_its_folder_it_is_not_on_the_page(declared, monkeypatch, gym):
    assert "gym" not in main_datasets()
    monkeypatch.setenv("GYM", str(gym))
    assert "gym" in main_datasets()
    assert Experiment("gym").root == gym
    monkeypatch.delenv("GYM")
    with pytest.raises(ValueError, match=r"no built-in clips stand in for My gym; name its folder \(root\)"):
        Experiment("gym")


def test_too_little_to_train_on_is_said_before_the_work(declared, gym):
    for path in (gym / "to the left").iterdir():
        path.unlink()
    with pytest.warns(UserWarning, match="no clips at all of to the left"):
        with pytest.raises(ValueError, match="too little to train on. Clips to train on are there for 1 of 2 classes"):
            look(Experiment("gym", gym))


def test_groups_to_evaluate_on_are_named(gym):
    status = folder_status(gym, ["person1", "person2"])
    assert sorted(i.group for i in status.items) == ["person1"] * 2 + ["person2"] * 2
    with pytest.raises(ValueError, match="no clip is of group 'anna'; groups are person0, person1"):
        folder_status(gym, ["anna"])
