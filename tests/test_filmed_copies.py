"Broken and odd copies of filmed clips: each is read right, or named in one line with what to do about it."

import contextlib
import io
import re
import warnings

import numpy as np
import pytest
from videos import by_av, jpegs, matrix, turned

from interpvid.cli import main
from interpvid.data.check import check_folder
from interpvid.data.clips import check_items, folder_items
from interpvid.data.synthetic import LEFT, make_clips
from interpvid.models.checkpoints import save_model
from interpvid.models.pretrained import pretrained
from interpvid.video import VideoError, image_files, probe, read_frames, write_video

LOSSLESS = dict(codec="libx264rgb", pix_fmt="rgb24", options={"qp": "0", "preset": "ultrafast"})


@pytest.fixture(
    params=["drawn", "weizmann/skip/p2_skip.mp4", "ut_interaction/kicking/g03_kicking_13.mp4"], scope="module"
)
def film(request, tmp_path_factory):
    "A film, and its frames as they are"
    if request.param == "drawn":
        clips = make_clips(1, seed=5, only=(LEFT,), T=16, size=64, progress=False)
        path = write_video(tmp_path_factory.mktemp("film") / "p1_push.mp4", clips.read(0), fps=12)
    else:
        root = request.getfixturevalue("reference")
        path = root / request.param
        if not path.exists():  # numbers differ
            path = next((root / request.param).parent.glob(path.name.rsplit("_", 1)[0] + "_*.mp4"))
    return path, read_frames(path, None)


def lossless(path, frames, **how):
    return by_av(path, frames, **{**LOSSLESS, **how})


def boxes(data):
    "(name, first byte, after the last) of the boxes of an MP4"
    at = 0
    while at + 8 <= len(data):
        n = int.from_bytes(data[at : at + 4], "big") or len(data) - at
        yield data[at + 4 : at + 8], at, at + n
        at += n


def without_index(data):
    "An MP4 without the box that says where its frames are, as a camera leaves it that lost its power"
    return b"".join(data[a:b] for name, a, b in boxes(data) if name != b"moov")


# --- what can be read


def odd_copies(path, frames, folder):
    "name -> (the copy, the frames that it has to show, how far colours may be off on average)"
    data = path.read_bytes()

    def copied(name):
        to = folder / name
        to.write_bytes(data)
        return to

    upright = np.ascontiguousarray
    yield "the ending of another format", copied("a.avi"), frames, 0
    yield "the ending of a GIF", copied("b.gif"), frames, 0
    yield "turned by its metadata", turned(copied("c.mp4"), 90), np.rot90(frames, -1, (1, 2)), 0
    yield "upside down by its metadata", turned(copied("d.mp4"), 180), frames[:, ::-1, ::-1], 0
    yield "mirrored by its metadata", matrix(copied("e.mp4"), -1, 0, 0, 1), frames[:, :, ::-1], 0
    yield "turned pixels", lossless(folder / "f.mp4", np.rot90(frames, 1, (1, 2))), np.rot90(frames, 1, (1, 2)), 0
    mirrored = upright(frames[:, :, ::-1])
    yield "mirrored pixels", lossless(folder / "g.mp4", mirrored), mirrored, 0
    yield "half the rate", lossless(folder / "h.mp4", frames[::2], rate=12), frames[::2], 0
    yield "one frame", lossless(folder / "i.mp4", frames[:1]), frames[:1], 0
    yield "a folder of JPEGs", jpegs(folder / "j", frames), frames, 3
    apart = frames[:: -(-len(frames) // 12)]  # a GIF shows the same frame twice as one frame for longer
    yield "a GIF", write_video(folder / "k.gif", apart, fps=10), apart, 12


def test_odd_copies_are_read_right(film, tmp_path):
    path, frames = film
    for what, copy, want, far in odd_copies(path, frames, tmp_path):
        got = read_frames(copy, None)
        assert got.shape == want.shape, what
        assert np.abs(got.astype(int) - want).mean() <= far, what
        assert probe(copy)["frames"] == len(want), what
        sampled = read_frames(copy, 16)  # as a network gets it: a short one repeats its frames
        assert sampled.shape == (16, *want.shape[1:]), what
        first, last = (np.abs(sampled[k].astype(int) - want[k]).mean() for k in (0, -1))
        assert max(first, last) <= far, what


# --- what cannot


def broken_copies(path, frames, folder):
    "The copy, and what has to be said of it"
    data = path.read_bytes()

    def written(name, content):
        to = folder / name
        to.write_bytes(content)
        return to

    yield written("cut.mp4", data[: len(data) // 2]), r"is truncated: \d+ bytes are missing|damaged"
    yield written("empty.mp4", b""), r"is empty \(0 bytes\)"
    yield written("no_index.mp4", without_index(data)), r"has no index \(moov\).*Copy the file again"
    yield written("text.mp4", b"this is no film\n" * 40), r"cannot be decoded as a video"
    half = jpegs(folder / "half_a_jpeg", frames[:6])
    whole = image_files(half)[3].read_bytes()
    image_files(half)[3].write_bytes(whole[: len(whole) // 3])
    yield half, r"cannot be read as an image"
    gif = write_video(folder / "cut.gif", frames[:8], fps=10)
    gif.write_bytes(gif.read_bytes()[:-200])
    yield gif, r"is truncated: it stops before the end mark of a GIF"


def test_broken_copies_are_named_in_one_line(film, tmp_path):
    path, frames = film
    for copy, said in broken_copies(path, frames, tmp_path):
        with pytest.raises((VideoError, OSError)) as e:
            read_frames(copy, None)
        line = str(e.value)
        assert "\n" not in line and str(copy) in line, copy.name
        assert re.search(said, line), f"{copy.name}: {line}"


def folder_of_copies(path, frames, root):
    "A folder of two classes: good, odd and broken copies"
    good, bad = root / "good", root / "bad"
    good.mkdir(parents=True)
    bad.mkdir()
    for k in range(2):
        (good / f"p{k}_good.mp4").write_bytes(path.read_bytes() + b"")
    odd = [copy for _, copy, *_ in odd_copies(path, frames, good)]
    broken = [copy for copy, _ in broken_copies(path, frames, bad)]
    (bad / "p1_bad.mp4").write_bytes(path.read_bytes())
    return odd, broken


@pytest.fixture
def copies(film, tmp_path):
    return tmp_path / "set", *folder_of_copies(*film, tmp_path / "set")


def test_a_folder_of_copies_lists_all_and_names_the_broken(copies):
    root, odd, broken = copies
    items = folder_items(root, valid_pct=0)
    assert {i.path for i in items} >= {*odd, *broken}
    bad = check_items(items, progress=False, decode=True)
    assert {i.path for i, _ in bad} == set(broken)
    assert all(why and "\n" not in why for _, why in bad)


def test_the_check_names_each_broken_copy_once(copies):
    root, odd, broken = copies
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = check_folder(root, progress=False, decode=True)
    names = [name for name, _ in report.unreadable]
    assert sorted(names) == sorted(str(p.relative_to(root)) for p in broken)
    assert not report.ok
    short = {name for name, _ in report.short}
    assert "good/i.mp4" in short  # one frame
    assert any("good/p0_good.mp4" in same and "good/a.avi" in same for same in report.duplicates)
    assert {"good/c.mp4", "good/e.mp4"} <= set(report.videos.index)
    assert report.videos.loc["good/c.mp4", "rotation"] == 90 and report.videos.loc["good/e.mp4", "mirrored"]
    said = repr(report)
    assert all(said.count(f"{name}: ") == 1 for name in names if name in said)
    assert "mirrored (1)" in said and "turned by 90° (1)" in said


def said_by(*words):
    "What the command says, and its status"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(w) for w in words])
        except SystemExit as e:
            status = e.code
    return status, out.getvalue() + err.getvalue()


def test_explain_names_each_broken_copy(film, tmp_path):
    path, frames = film
    broken = [copy for copy, _ in broken_copies(path, frames, tmp_path)]
    save_model(pretrained("i3d-events"), tmp_path / "i3d.safetensors")
    status, said = said_by("explain", *broken, "--checkpoint", tmp_path / "i3d.safetensors", "--out", tmp_path / "out")
    assert status not in (0, None)
    assert "Traceback" not in said
    for copy in broken:
        lines = [line for line in said.splitlines() if copy.name in line]
        assert len(lines) == 1, (copy.name, said)


def test_check_command_says_no(copies):
    root, _, broken = copies
    status, said = said_by("data", "check", root, "--decode")
    assert status == 1 and "unreadable: 6" in said
