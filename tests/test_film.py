"Films: windows along them, scores, the windows that stand out, the page with its timeline."

import contextlib
import io
import tracemalloc
import warnings
import zipfile
from dataclasses import replace
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from videos import KINDS, by_av, jpegs, number, numbered

from interpvid.cli import main
from interpvid.data.synthetic import HOLDING, RIGHT, SYNTHETIC_CLASSES, UP, make_clips
from interpvid.explanation import Explanation
from interpvid.film import FilmExplanation, class_runs, clock, curve_svg, explain_film, stand_out, ticks
from interpvid.models.pretrained import pretrained
from interpvid.targets import Target
from interpvid.video import VideoError, open_film, read_frames, window_starts, write_video

PUSHED = SYNTHETIC_CLASSES[RIGHT]


# --- windows


@given(
    begin=st.floats(0, 50),
    length=st.floats(0.05, 300),
    seconds=st.floats(0.1, 20),
    every=st.floats(0.1, 20),
)
@example(begin=0.0, length=10.0, seconds=2.0, every=1.0)
@example(begin=0.0, length=2.0, seconds=2.0, every=1.0)
@settings(deadline=None)
def test_windows_lie_in_the_film_and_leave_nothing_out(begin, length, seconds, every):
    end = begin + length
    starts = window_starts(begin, end, seconds, every)
    assert starts[0] == begin and (np.diff(starts) > 0).all() and (np.diff(starts) <= every + 1e-6).all()
    if length <= seconds:
        assert len(starts) == 1
    else:
        assert starts[-1] + seconds <= end + 1e-5 and starts[-1] + seconds > end - 0.0011
        assert np.allclose(starts[:-1], begin + every * np.arange(len(starts) - 1))


def mpegts(path, frames):
    return by_av(path.with_suffix('.ts'), frames, 'libx264', gop=12)


def raw_h264(path, frames):
    return by_av(path.with_suffix('.h264'), frames, 'libx264', gop=12)


@pytest.mark.parametrize('kind', [k for k in KINDS if 'folder' not in k] + ['MPEG-TS', 'raw H.264'])
def test_windows_take_the_frames_that_read_frames_takes(kind, tmp_path):
    "In every kind of file, uneven times, headers that lie and packets that are no frames among them"
    make = {'MPEG-TS': mpegts, 'raw H.264': raw_h264, **KINDS}[kind]
    path = make(tmp_path / 'x', numbered(49))
    with open_film(path, 5, seconds=0.7, every=0.3) as film:
        got = dict(film.read())
        assert list(got) == list(range(len(film))) and len(film) >= 5
        assert film.stops[-1] == pytest.approx(film.seconds, abs=0.1)
        some = dict(film.read([3, 1]))
    assert list(some) == [1, 3] and all((some[k] == got[k]).all() for k in some)
    seen = set()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for k, frames in got.items():
            read = read_frames(path, 5, start=float(film.starts[k]), stop=float(film.stops[k]))
            assert (frames == read).all(), (k, number(frames), number(read))
            seen |= set(number(read_frames(path, None, start=float(film.starts[k]), stop=float(film.stops[k]))))
    assert seen == set(range(49)), 'a frame that no window covers'


def test_a_film_is_decoded_once_and_forward(tmp_path, monkeypatch):
    from interpvid import video

    path = by_av(tmp_path / 'x.mp4', numbered(60), 'libx264', gop=12)
    decoded = []
    real = video._check_frame
    monkeypatch.setattr(video, '_check_frame', lambda v, i, f: decoded.append(i) or real(v, i, f))
    with open_film(path, 8, seconds=1.0, every=0.2) as film:
        assert len(list(film.read())) == len(film) == 8
    assert decoded == list(range(60))
    decoded.clear()
    with open_film(path, 8, seconds=0.4, every=0.2, start=0.8, stop=1.6) as film:
        assert film.starts.tolist() == pytest.approx([0.8, 1.0, 1.2])
        list(film.read())
    assert decoded[-1] < 41  # not beyond its part


def test_memory_is_flat_in_the_length_of_a_film(tmp_path):
    "The frames of a window are held, not those of the film: 96 s have 88 MB of them"

    def peak(repeats):
        path = write_video(tmp_path / f'{repeats}.mp4', np.concatenate([numbered(200, 96, 128)] * repeats), fps=25)
        tracemalloc.start()
        with open_film(path, 16, (96, 128), seconds=2.0) as film:
            for _ in film.read():
                pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most / 1e6

    short, long = peak(3), peak(12)
    assert short > 1 and long - short < 2, (short, long)


def test_a_still_picture_counts_from_where_a_window_begins(tmp_path):
    "A recording of a screen: one frame for ten seconds, then 25 a second; the last window is of what moves"
    times = np.r_[0, 10_000 + 40 * np.arange(48)]
    path = by_av(tmp_path / 'screen.mp4', numbered(49), 'libx264', times=times)
    with open_film(path, 8, seconds=2.0, every=1.0) as film:
        got = {round(float(film.starts[k]), 2): number(f) for k, f in film.read()}
    assert got[3.0] == [0] * 8
    assert got[9.0].count(0) == 2 and got[9.0][-1] == 25  # not the seven that nine seconds of stillness had
    last = float(film.starts[-1]), float(film.stops[-1])
    assert list(got.values())[-1] == number(read_frames(path, 8, start=last[0], stop=last[1]))
    assert last == pytest.approx((9.92, 11.92)) and list(got.values())[-1].count(0) == 1


def test_a_folder_of_images_has_times_where_fps_tells_them(tmp_path):
    jpegs(tmp_path / 'f', numbered(40))
    with pytest.raises(VideoError, match=r'f: does not say when its frames are shown; fps=25'):
        with open_film(tmp_path / 'f', 4):
            pass
    with open_film(tmp_path / 'f', 4, seconds=1.0, every=0.5, fps=10) as film:
        assert film.seconds == 4 and {k: number(f) for k, f in film.read([0, 6])} == {
            0: [0, 3, 6, 9],
            6: [30, 33, 36, 39],
        }


def test_a_film_without_duration_in_its_header(tmp_path):
    "A browser's recorder writes no duration; the times of its packets are there"
    whole = by_av(tmp_path / 'x.webm', numbered(50), 'libvpx-vp9')
    live = tmp_path / 'live.mkv'
    with open(live, 'wb') as f:
        import av

        with av.open(str(whole)) as a, av.open(NoSeek(f), 'w', format='matroska') as b:
            s = a.streams.video[0]
            o = b.add_stream_from_template(s)
            for p in a.demux(s):
                if p.size:
                    p.stream = o
                    b.mux(p)
    with open_film(live, 4, seconds=1.0) as film:
        assert film.seconds == pytest.approx(2, abs=0.05) and [number(f) for _, f in film.read()][0] == [0, 8, 16, 24]


class NoSeek(io.RawIOBase):
    "A pipe, in which no header can be filled in later"

    def __init__(self, f):
        self.f = f

    def write(self, b):
        return self.f.write(b)

    def writable(self):
        return True


# --- what cannot be read


def test_broken_films_are_named_in_one_line(tmp_path):
    whole = by_av(tmp_path / 'whole.mp4', numbered(100), 'libx264', gop=25)
    data = whole.read_bytes()
    (tmp_path / 'cut.mp4').write_bytes(data[: len(data) // 2])
    (tmp_path / 'empty.mp4').touch()
    model = pretrained('i3d-events', 'cpu')
    for name, said in ('cut.mp4', 'truncated|cannot be decoded'), ('empty.mp4', 'is empty'), ('no.mp4', 'no such file'):
        with pytest.raises((ValueError, OSError), match=said) as e:
            explain_film(model, tmp_path / name, progress=False)
        assert name in str(e.value) and '\n' not in str(e.value)


def test_damage_in_the_middle_says_where_and_what_helps(tmp_path):
    "The windows before it can be had by stop="
    from interpvid import video

    path = by_av(tmp_path / 'x.mp4', numbered(100), 'libx264', gop=10)
    real = video._check_frame

    def damaged(v, i, f):
        if i >= 70:
            raise VideoError(f'{v.path}: frame {i} is damaged')
        return real(v, i, f)

    with pytest.MonkeyPatch.context() as m:
        m.setattr(video, '_check_frame', damaged)
        with open_film(path, 8, seconds=1.0) as film, pytest.raises(VideoError) as e:
            list(film.read())
        assert 'x.mp4: cannot be decoded beyond second 2.80' in str(e.value) and 'stop=2.8 ' in str(e.value)
        with open_film(path, 8, seconds=1.0, stop=2.8) as film:
            assert len(list(film.read())) == len(film) == 5


@pytest.mark.parametrize(
    'how, said',
    [
        (dict(seconds=0), 'seconds has to be a number above 0'),
        (dict(every=-1.0), 'every has to be a number above 0'),
        (dict(seconds=float('inf')), 'seconds has to be a number above 0'),
        (dict(seconds=float('nan')), 'seconds has to be a number above 0'),
        (dict(start=99.0), 'second 99 is asked for as the start, but it lasts 2.000 s'),
        (dict(start=1.0, stop=0.5), 'there is nothing'),
        (dict(target='label'), 'a film has none'),
        (dict(target='waving'), 'nearest are'),
        (dict(labels=[1]), "'labels' is not for the windows of a film"),
        (dict(nonsense=1), 'nonsense'),
        (dict(layer='nowhere'), 'nowhere'),
        (dict(preset='nothing'), 'no preset'),
        (dict(bs=0), 'clips at a time'),
    ],
)
def test_what_cannot_be_asked_is_an_error_before_the_film_is_read(tmp_path, monkeypatch, how, said):
    path = by_av(tmp_path / 'x.mp4', numbered(50), 'libx264')
    with pytest.raises((ValueError, TypeError), match=said):
        explain_film(pretrained('i3d-events', 'cpu'), path, progress=False, bs=how.pop('bs', 2), **how)


# --- which windows stand out


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=60), st.integers(1, 6), st.integers(1, 5))
@settings(deadline=None)
def test_windows_that_stand_out_are_peaks_and_do_not_overlap(score, n, length):
    at = np.arange(len(score), dtype=float)
    chosen = stand_out(score, at, at + length, n, 0.1)
    assert 1 <= len(chosen) <= n
    assert all(abs(a - b) >= length for i, a in enumerate(chosen) for b in chosen[:i])
    span = max(np.ptp(score), 0.1)
    assert score[chosen[0]] >= max(score) - span / 25  # the highest, or the middle of its plateau


def test_the_middle_of_a_plateau_and_no_noise():
    rng = np.random.default_rng(0)
    at = np.arange(100.0)
    score = 0.02 * rng.random(100)
    score[30:41] = 0.98 + 0.004 * rng.random(11)
    score[70:75] = 0.5
    assert sorted(stand_out(score, at, at + 2, 9, 0.1)) == [35, 72]
    assert len(stand_out(0.5 + 0.004 * rng.random(100), at, at + 2, 9, 0.1)) <= 1  # noise below 0.01 is no peak


# --- events at known seconds


class Redness(nn.Module):
    "How much red there is in the frames of a window, as the log-odds of class 1"

    stats, clip_shape, classes, cam_layer = (0.5, 0.5), (8, 16, 16), ['grey', 'red'], 'seen'

    def __init__(self):
        super().__init__()
        self.seen = nn.Identity()

    def forward(self, x):
        x = self.seen(x)
        red = (x[:, 0] - x[:, 1]).mean((1, 2, 3))
        return torch.stack([torch.zeros_like(red), 6 * red - 5], 1)


def red_film(path, seconds, at, length=1.0, fps=20, **kwargs):
    "Grey noise, and red from second `at` on"
    frames = np.random.default_rng(0).integers(90, 140, (round(seconds * fps), 24, 32, 1), dtype=np.uint8).repeat(3, -1)
    for a in np.atleast_1d(at):
        frames[round(a * fps) : round((a + length) * fps)] = 230, 20, 20
    return by_av(path, frames, 'libx264', rate=fps, **kwargs)


@pytest.mark.parametrize('at', [0.0, 2.3, 5.15, 7.0, 10.9])
@pytest.mark.parametrize('uneven_times', [False, True])
def test_an_event_is_found_within_half_a_step(tmp_path, at, uneven_times):
    "A red second in a film of 12 s, windows of a second"
    fps, every = 20, 0.5
    times = 50 * np.arange(12 * fps) + (np.arange(12 * fps) % 3 * 8 if uneven_times else 0)
    film = red_film(tmp_path / 'x.mp4', 12, at, times=times)
    found = explain_film(Redness(), film, 1.0, every, 'red', explain_n=3, progress=False, iterations=2)
    assert len(found.chosen) == 1 and found.score.max() == found.score[found.chosen[0]]
    assert abs(found.start[found.chosen[0]] - at) <= every / 2 + 0.05, found.table


def test_several_events_and_a_part_of_the_film(tmp_path):
    film = red_film(tmp_path / 'x.mp4', 30, [4.0, 12.5, 21.0, 26.0])
    ask = lambda **k: explain_film(Redness(), film, 1.0, 0.5, 'red', progress=False, iterations=2, **k)
    all_ = ask(explain_n=9)
    assert all_.start[all_.chosen].tolist() == [4.0, 12.5, 21.0, 26.0]
    assert [e.settings['frames']['start'] for e in all_.windows] == [4.0, 12.5, 21.0, 26.0]
    assert all(e.settings['frames']['apart'] < 0.2 and not any('film of' in n for n in e.notes) for e in all_.windows)
    assert len(ask(explain_n=2).chosen) == 2
    part = ask(explain_n=9, start=10, stop=23)
    assert part.start[part.chosen].tolist() == [12.5, 21.0] and part.start[0] == 10 and part.stop[-1] == 23
    none = ask(explain_n=0)
    assert none.windows == [] == none.chosen and (none.score == all_.score).all()


@pytest.fixture(scope='module')
def drawn():
    "Drawn clips by class: frames (T,H,W,3) each"
    only = [HOLDING, RIGHT, UP]
    clips = make_clips(24, 5, only=only, workers=0, progress=False)
    return {c: list(clips.frames[np.asarray(clips.labels) == i]) for i, c in enumerate(only)}


def joined(path, drawn, moves, cut, still=0):
    "Clips in which nothing happens, and one in which something does after 6 s and `cut` frames, 8 frames a second"
    s = drawn[HOLDING][still:] + drawn[HOLDING][:still]
    return write_video(path, np.concatenate([*s[:3], s[3][:cut], moves, *s[4:6]]), fps=8)


@pytest.fixture(scope='module')
def shelf(tmp_path_factory, drawn):
    "Drawn clips joined into a film; seconds at which something is pushed right, and at which it moves up"
    s = drawn[HOLDING]
    parts = [*s[:3], s[3][:3], drawn[RIGHT][0], *s[4:6], drawn[UP][1], s[7]]
    path = write_video(tmp_path_factory.mktemp('film') / 'shelf.mp4', np.concatenate(parts), fps=8)
    return path, 51 / 8, 99 / 8


@pytest.fixture(scope='module')
def found(shelf):
    model = pretrained('i3d-events', 'cpu')
    return explain_film(model, shelf[0], 2.0, 0.5, PUSHED, explain_n=2, progress=False, iterations=20)


def test_the_trained_network_finds_its_events(shelf, found):
    path, right, up = shelf
    best = max(found.chosen, key=lambda k: found.score[k])
    assert abs(found.start[best] - right) <= 0.25 and found.score[best] > 0.9
    model = pretrained('i3d-events', 'cpu')
    other = explain_film(model, path, 2.0, 0.5, UP, explain_n=0, progress=False)
    assert abs(other.start[other.score.argmax()] - up) <= 0.25 and other.score.max() > 0.9
    assert other.pred.tolist() == found.pred.tolist() and other.name == f"probability of '{SYNTHETIC_CLASSES[UP]}'"


@pytest.mark.parametrize('k, cut', [(0, 0), (1, 3), (2, 6), (3, 10), (4, 3)])
def test_the_trained_network_finds_an_event_that_begins_anywhere(tmp_path, drawn, k, cut):
    "Within half a step, which is the nearest window there is"
    c = (RIGHT, UP)[k % 2]
    path = joined(tmp_path / 'x.mp4', drawn, drawn[c][k], cut, k)
    f = explain_film(pretrained('i3d-events', 'cpu'), path, 2.0, 0.5, c, explain_n=0, progress=False)
    best = stand_out(f.score, f.start, f.stop, 1, 0.1)[0]
    assert abs(f.start[best] - (6 + cut / 8)) <= 0.25, f.table


def test_scores_are_those_of_the_clips(shelf, found):
    "Each window as if it had been cut out by hand"
    from interpvid.core import to_batch
    from interpvid.targets import class_score

    model = pretrained('i3d-events', 'cpu').eval()
    for k in 0, 11, len(found) - 1:
        frames = read_frames(shelf[0], 16, (64, 64), start=float(found.start[k]), stop=float(found.stop[k]))
        with torch.no_grad():
            score = class_score(model, to_batch(frames, model.stats), RIGHT)
        assert found.score[k] == pytest.approx(float(score), abs=2e-3)
    e = found.windows[0]
    assert isinstance(e, Explanation) and e.target == RIGHT
    assert e.scores['OS'] == pytest.approx(found.score[found.chosen[0]], abs=2e-3)


def test_the_table_has_a_row_a_window(found):
    t = found.table
    assert list(t.columns) == ['start', 'stop', 'score', 'predicted', 'probability', 'explained']
    assert (t['stop'] - t['start']).round(6).eq(2).all() and t['score'].dtype == np.float32
    assert t['explained'].dropna().tolist() == list(range(1, len(found.chosen) + 1))
    assert (t.loc[t['predicted'] == PUSHED, 'score'] == t.loc[t['predicted'] == PUSHED, 'probability']).all()


def test_without_a_target_it_is_the_predicted_class(shelf):
    f = explain_film(pretrained('i3d-events', 'cpu'), shelf[0], 2.0, 1.0, explain_n=1, progress=False, iterations=2)
    assert (f.score == f.top.astype(np.float32)).all() and f.windows[0].target == f.pred[f.chosen[0]]


# --- other questions


def test_questions_that_are_not_classes(tmp_path):
    "A function, a named one with a unit, a pair; scores outside [0,1]"
    path, model = red_film(tmp_path / 'x.mp4', 8, 3.0), Redness()
    ask = lambda target: explain_film(model, path, 1.0, 0.5, target, explain_n=1, progress=False, iterations=2)
    pair, odds, own = (
        ask(t) for t in (('red', 'grey'), lambda y: y[:, 1] - y[:, 0], Target(lambda y: 10 * y[:, 1], 'red', 'dB'))
    )
    for f in pair, odds, own:
        assert f.start[f.chosen].tolist() == [3.0] and f.score.max() > 1 and f.score.min() < 0
        assert 'highest' in repr(f) and f.html().count('<details') == 1
    assert np.allclose(pair.score, odds.score, atol=1e-4) and np.allclose(own.score, 10 * odds.score, atol=1e-3)
    assert 'red' in own.name and 'dB' in own.name


def test_a_model_without_gradient_has_scores_along_the_film(tmp_path):
    "The error says at once that explanations need one, and what can be had without"
    path = red_film(tmp_path / 'x.mp4', 6, 3.0)

    def model(x):
        return torch.tensor([[0.0, 6 * float((c[0] - c[1]).mean()) - 5] for c in x])

    model.stats, model.clip_shape, model.classes = (0.5, 0.5), (8, 16, 16), ['grey', 'red']
    with pytest.raises(ValueError, match='explain_n=0 gives the scores along the film'):
        explain_film(model, path, 1.0, 0.5, 'red', progress=False)
    f = explain_film(model, path, 1.0, 0.5, 'red', explain_n=0, progress=False)
    assert f.start[f.score.argmax()] == 3 and f.html()


def test_notes_say_what_was_not_seen(tmp_path):
    path = red_film(tmp_path / 'x.mp4', 3, 1.0)
    ask = lambda **k: explain_film(Redness(), path, **{'target': 'red', 'explain_n': 0, 'progress': False, **k})
    short = ask(seconds=5.0)
    assert len(short) == 1 and 'lasts 3.00 s, less than a window of 5 s' in short.notes[0]
    assert '1 s between one and the next are not seen' in ask(seconds=0.5, every=1.5).notes[0]
    assert 'Most windows hold 4 different frames, and the network takes 8' in ask(seconds=0.2).notes[0]
    grey = red_film(tmp_path / 'grey.mp4', 4, [])
    flat = explain_film(Redness(), grey, 1.0, target='red', explain_n=2, progress=False, iterations=1)
    assert 'Nothing stands out' in flat.notes[0] and len(flat.chosen) == 1
    assert ask(seconds=1.0).notes == []


def test_a_page_of_ten_hours_can_be_read(found):
    "36,000 windows: a curve of at most 1500 points that keeps the highest, few ticks, no row of classes"
    N, rng = 36_000, np.random.default_rng(0)
    at, score = np.arange(N, dtype=float), rng.random(N).astype(np.float32) / 2
    score[20_001] = 0.99
    pred = rng.integers(0, 12, N)
    long = replace(
        found, start=at, stop=at + 2, score=score, pred=pred, top=score, chosen=[20_001], windows=found.windows[:1],
        preview=np.minimum(np.arange(N) // 200, len(found.previews) - 1),
    )  # fmt: skip
    points = unquote(curve_svg(long)).partition("<polyline")[2].partition("points='")[2].partition("'")[0].split()
    assert len(points) <= 1502 and min(float(p.split(',')[1]) for p in points) < 6
    assert 3 <= len(ticks(long)) <= 6 and ticks(long)[-1][1] == '8:00:00'
    assert class_runs(long) == [] and class_runs(found)
    assert len(long.html()) < 3e6


# --- kept


def test_a_kept_film_is_the_same_and_runs_no_code(found, tmp_path):
    at = found.save(tmp_path / 'shelf')
    again = FilmExplanation.load(tmp_path / 'shelf')
    assert again.html() == found.html() and again.notes == found.notes and repr(again) == repr(found)
    pd.testing.assert_frame_equal(again.table, found.table)
    kept = pd.read_csv(at.parent / 'windows.csv')
    assert len(kept) == len(found) and kept['predicted'].tolist() == found.table['predicted'].tolist()
    for p in at.parent.glob('*.npz'):
        with zipfile.ZipFile(p) as z:
            for n in z.namelist():
                np.lib.format.read_array(z.open(n), allow_pickle=False)
    page = at.read_text(encoding='utf-8')
    assert 'src="http' not in page and 'href="http' not in page and page.count('<details') >= len(found.chosen)


def test_nothing_of_someone_else_is_replaced(found, tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'notes.txt').write_text('mine')
    with pytest.raises(OSError, match='did not write'):
        found.save(tmp_path / 'mine')
    found.save(tmp_path / 'ours')
    found.save(tmp_path / 'ours')  # its own it replaces
    with pytest.raises(FileNotFoundError, match='film.npz'):
        FilmExplanation.load(tmp_path)
    (tmp_path / 'film.npz').write_bytes(b'junk')
    with pytest.raises(ValueError, match='holds no explanation of a film'):
        FilmExplanation.load(tmp_path)


def test_times_are_written_as_people_read_them():
    assert [clock(t) for t in (0, 7.25, 59.96, 67.5, 3599.99, 3727.5)] == [
        '0:00.0',
        '0:07.2',
        '1:00.0',
        '1:07.5',
        '1:00:00.0',
        '1:02:07.5',
    ]


# --- the page


@contextlib.contextmanager
def opened(browser, path, width=1280, **kwargs):
    "A page from the disk; nothing may go wrong on it, and nothing be asked of the outside"
    wrong = []
    with browser.new_context(viewport=dict(width=width, height=900), **kwargs) as c:
        p = c.new_page()
        p.on('console', lambda m: wrong.append(m.text) if m.type == 'error' else None)
        p.on('pageerror', lambda e: wrong.append(e.message))
        p.on('request', lambda r: wrong.append(r.url[:80]) if r.url.startswith('http') else None)
        p.goto(path.as_uri())
        yield p
        assert not wrong, wrong


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    "The page of a film with two red seconds, 4.0 and 12.5 of 20"
    d = tmp_path_factory.mktemp('site')
    film = red_film(d / 'x.mp4', 20, [4.0, 12.5])
    f = explain_film(Redness(), film, 1.0, 0.5, 'red', explain_n=4, progress=False, iterations=2)
    assert f.start[f.chosen].tolist() == [4.0, 12.5]
    return f.save(d / 'out'), f


def at(page):
    "Number of the window that the cursor is at, and what is said of it"
    line = page.get_by_role('slider', name='window of the film')
    return int(line.get_attribute('aria-valuenow')), line.get_attribute('aria-valuetext')


def which_open(page):
    return [i for i, d in enumerate(page.locator('.ivf details').all()) if d.get_attribute('open') is not None]


@pytest.mark.parametrize('width', [1280, 390])
def test_pointer_keys_and_buttons_move_the_cursor(browser, site, width):
    path, f = site
    with opened(browser, path, width) as page:
        line = page.get_by_role('slider', name='window of the film')
        assert at(page)[0] == f.chosen[0] == 8 and which_open(page) == [0]  # at first the first that is explained
        page.keyboard.press('Tab')
        line.focus()
        for key, k in (
            ('ArrowRight', 9),
            ('ArrowLeft', 8),
            ('ArrowLeft', 7),
            ('PageUp', 17),
            ('Home', 0),
            ('ArrowLeft', 0),
        ):
            page.keyboard.press(key)
            assert at(page)[0] == k, key
        page.keyboard.press('End')
        assert at(page)[0] == len(f) - 1
        assert f'0:19.0 to 0:20.0, probability of \'red\' {f.score[-1]:.3f}' in at(page)[1]
        box = line.bounding_box()
        assert box['width'] <= width and page.evaluate('document.documentElement.scrollWidth') <= width
        to = lambda seconds: (box['x'] + box['width'] * seconds / 20, box['y'] + 40)
        page.mouse.click(*to(13.0))  # in the second window that is explained
        assert at(page)[0] == f.chosen[1] == 25 and which_open(page) == [1]
        page.mouse.move(*to(13.0))
        page.mouse.down()
        page.mouse.move(*to(8.5), steps=5)
        assert at(page)[0] == 16
        page.mouse.up()
        page.mouse.move(*to(2.0))
        assert at(page)[0] == 16
        page.get_by_role('button', name='1 · 0:04.0').click()
        assert at(page)[0] == 8 and which_open(page) == [0]
        page.get_by_role('button', name='Next').first.click()
        assert at(page)[0] == 9


def test_the_window_that_opens_is_a_scrubber(browser, site):
    path, f = site
    with opened(browser, path) as page:
        page.get_by_role('button', name='2 · 0:12.5').click()
        page.wait_for_function('document.querySelectorAll("details[open] .iv")[0].shadowRoot?.querySelector("canvas")')
        scrubber = page.locator('details[open] .iv')
        assert scrubber.locator('output').text_content() == '1/8'
        scrubber.get_by_role('button', name='Next').click()
        assert scrubber.locator('output').text_content() == '2/8'
        assert at(page)[0] == f.chosen[1]


def test_the_preview_shows_the_window(browser, site):
    "Red where the film is red"
    path, f = site
    mean = '''() => {
      const c = document.querySelector('.ivf-now canvas')
      const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data
      let r = 0, g = 0
      for (let i = 0; i < d.length; i += 4) { r += d[i]; g += d[i+1] }
      return (r-g)/(d.length/4)
    }'''
    with opened(browser, path) as page:
        line = page.get_by_role('slider', name='window of the film')
        page.wait_for_function(
            'document.querySelector(".ivf-now canvas").getContext("2d").getImageData(1, 1, 1, 1).data[3]'
        )
        assert page.evaluate(mean) > 100
        line.focus()
        page.keyboard.press('Home')
        assert abs(page.evaluate(mean)) < 20


def test_the_page_without_scripts(browser, site):
    path, f = site
    with opened(browser, path, 390, java_script_enabled=False) as page:
        assert page.locator('.ivf-curve').bounding_box()['width'] > 300
        assert page.locator('.ivf-strip').bounding_box()['height'] > 10
        assert page.locator('.ivf details').count() == 2 and page.locator('.ivf details img').first.is_visible()
        assert 'highest from' in page.locator('.ivf-curve').get_attribute('alt')


# --- the command


@pytest.fixture
def run(tmp_path, capsys):
    def f(*words, model='i3d-events'):
        capsys.readouterr()
        code = main(
            ['film', *map(str, words), '--model', str(model), '--out', str(tmp_path / 'out'), '--iterations', '2']
        )
        got = capsys.readouterr()
        return code, got.out, [l for l in got.err.replace('\r', '\n').split('\n') if l.strip() and '%|' not in l]

    return f


def test_the_command_makes_a_folder_a_film(run, shelf, tmp_path):
    (tmp_path / 'bad.mp4').write_bytes(b'junk')
    how = '--seconds', 2, '--every', 0.5, '--target', PUSHED, '--explain-n', 1, '--start', 4, '--stop', 9
    code, out, err = run(shelf[0], tmp_path / 'bad.mp4', tmp_path / 'none.mp4', *how)
    assert code == 1 and len(err) == 2 and 'bad.mp4' in err[0] and 'none.mp4' in err[1]
    f = FilmExplanation.load(tmp_path / 'out' / 'shelf')
    assert abs(f.start[f.chosen[0]] - shelf[1]) <= 0.25 and f.start[0] == 4 and f.stop[-1] == 9
    assert 'shelf.mp4: ' in out and 'index.html' in out and (tmp_path / 'out' / 'shelf' / 'index.html').exists()


def test_the_command_takes_other_questions_and_removals(run, shelf, tmp_path):
    how = '--every', 1, '--start', 4, '--stop', 9, '--explain-n', 1
    code, out, err = run(shelf[0], *how, '--target', f'{RIGHT}-{UP}', '--perturb', 'blur')
    assert code == 0 and 'logit difference' in out, (out, err)
    f = FilmExplanation.load(tmp_path / 'out' / 'shelf')
    assert f.score.max() > 1 and f.pred is None and f.windows[0].settings['mask']['perturb'] == 'blur'


def test_the_command_takes_a_checkpoint_a_function_and_no_pickle(run, shelf, tmp_path, monkeypatch):
    from interpvid.models.checkpoints import save_model

    save_model(pretrained('i3d-events', 'cpu'), tmp_path / 'own.safetensors')
    brief = '--explain-n', 0, '--every', 4
    assert run(shelf[0], *brief, model=tmp_path / 'own.safetensors')[0] == 0
    first = FilmExplanation.load(tmp_path / 'out' / 'shelf')
    (tmp_path / 'mynets.py').write_text(
        'from interpvid.models.pretrained import pretrained\ndef net(): return pretrained("i3d-events", "cpu")\n'
    )
    monkeypatch.chdir(tmp_path)
    assert run(shelf[0], *brief, model='mynets:net')[0] == 0
    assert (FilmExplanation.load(tmp_path / 'out' / 'shelf').score == first.score).all()
    torch.save({}, tmp_path / 'net.pt')
    for model, said in (
        ('net.pt', 'net.pt'),
        ('nothing', 'i3d-events'),
        ('mynets:no', "no 'no'"),
        ('nomodule:net', 'nomodule'),
    ):
        code, _, err = run(shelf[0], *brief, model=model)
        assert code == 1 and said in err[-1] and len(err) == 1, err


def test_the_command_names_options(run, shelf, tmp_path):
    for words, said in (
        (('--seconds', 0), '--seconds'),
        (('--every', -1), '--every'),
        (('--start', 99), 'second 99'),
        (('--target', 'waving'), 'nearest are'),
    ):
        code, _, err = run(shelf[0], *words)
        assert code == 1 and len(err) == 1 and said in err[0], err
    assert not (tmp_path / 'out' / 'shelf').exists()


def test_the_command_replaces_nothing_of_others(run, shelf, tmp_path):
    (tmp_path / 'out' / 'shelf').mkdir(parents=True)
    (tmp_path / 'out' / 'shelf' / 'notes.txt').write_text('mine')
    code, _, err = run(shelf[0], '--explain-n', 0)
    assert code == 1 and 'did not write' in err[-1]
    assert [p.name for p in (tmp_path / 'out' / 'shelf').iterdir()] == ['notes.txt']


# --- real films


@pytest.mark.parametrize('name', ['ut_interaction/kicking', 'weizmann/wave1'])
def test_real_films(reference, name):
    path = sorted((reference / name).glob('*.*'))[0]
    with open_film(path, 8, (64, 64), seconds=0.8, every=0.4) as film:
        got = dict(film.read())
    assert len(got) == len(film) >= 2
    for k, frames in got.items():
        assert (frames == read_frames(path, 8, (64, 64), start=float(film.starts[k]), stop=float(film.stops[k]))).all()
