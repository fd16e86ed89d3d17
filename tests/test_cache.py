"The cache of decoded clips: right frames or none, under many hands, damage and full disks."

import multiprocessing as mp
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from interpvid.data.cache import FrameCache, cache_folder, clip_key, entry_bytes
from interpvid.data.clips import FileClips, Item, Items
from interpvid.data.loaders import clip_dls
from interpvid.video import read_frames, sample_indices, write_video
from videos import by_av, jpegs, number, numbered


@pytest.fixture(scope='session')
def clip(tmp_path_factory):
    how = dict(options={'cpu-used': '8', 'deadline': 'realtime'})
    return by_av(tmp_path_factory.mktemp('clip') / 'x.webm', numbered(20), 'libvpx-vp9', **how)


def test_an_edited_file_is_decoded_anew(tmp_path):
    cache = FrameCache(tmp_path / 'c')
    f = write_video(tmp_path / 'x.mp4', numbered(20))
    assert number(cache.read(f, n=3)) == [0, 10, 19]
    write_video(f, numbered(11))
    assert number(cache.read(f, n=3)) == [0, 5, 10]
    d = jpegs(tmp_path / 'j', numbered(9))
    assert number(cache.read(d, n=3)) == [0, 4, 8]
    (d / '00009.jpg').unlink()
    assert number(cache.read(d, n=3)) == [0, 4, 7]


HARMS = {
    'empty': lambda b: b'',
    'cut in the head': lambda b: b[:50],
    'cut in half': lambda b: b[: len(b) // 2],
    'cut at the end': lambda b: b[:-1],
    'zeros': lambda b: bytes(len(b)),
    'zeros after the head': lambda b: b[:128] + bytes(len(b) - 128),
    'bad head': lambda b: b[:40] + b'\xff' * 20 + b[60:],
    '4 kB overwritten': lambda b: b[:5000] + bytes(range(256)) * 16 + b[9096:],
    'one bit': lambda b: b[:7000] + bytes([b[7000] ^ 1]) + b[7001:],
    'of the first edition': lambda b: b[:-16],
}


@pytest.mark.parametrize('harm', HARMS)
def test_a_damaged_clip_is_said_and_decoded_anew(tmp_path, clip, harm):
    cache = FrameCache(tmp_path / 'c')
    right = np.array(cache.read(clip, n=4))
    p = cache.path(clip_key(clip, n=4))
    p.write_bytes(HARMS[harm](p.read_bytes()))
    with pytest.warns(UserWarning, match='damaged'):
        assert np.array_equal(cache.read(clip, n=4), right)
    again = FrameCache(tmp_path / 'c')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert np.array_equal(again.read(clip, n=4), right)
    assert again.bytes == entry_bytes(right.shape) == int((tmp_path / 'c' / '.bytes').read_text())


def test_no_home_means_no_cache_and_is_said(clip, monkeypatch):
    "D3: no home folder: without cache, and said"
    def no_home():
        raise RuntimeError('Could not determine home directory.')

    for name in 'INTERPVID_CACHE', 'XDG_CACHE_HOME':
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, 'home', no_home)
    with pytest.warns(UserWarning, match='cannot be kept'):
        cache = FrameCache()
    assert number(cache.read(clip, n=4)) == number(read_frames(clip, 4))
    assert len(cache) == cache.bytes == 0


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    "D3: `~` is expanded"
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('INTERPVID_CACHE', '~/c')
    assert cache_folder() == tmp_path / 'c' == FrameCache().folder == FrameCache('~/c').folder


def test_a_full_disk_or_bound_is_no_error(tmp_path, clip, monkeypatch):
    small = FrameCache(tmp_path / 'a', max_bytes=1000)
    assert number(small.read(clip, n=4)) == number(read_frames(clip, 4))
    assert len(small) == 0
    assert small.full
    cache = FrameCache(tmp_path / 'b')

    def full(*a, **k):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(np, 'save', full)
    with pytest.warns(UserWarning, match='No space left'):
        cache.read(clip, n=4)
    assert cache.bytes == 0
    assert not [p for p in (tmp_path / 'b').rglob('.*.tmp')]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        cache.read(clip, n=4)


def _many(folder, clips, seed, bound):
    cache = FrameCache(folder, max_bytes=bound)
    order = random.Random(seed).sample(range(len(clips)), len(clips))
    for i in order:
        assert number(cache.read(clips[i], n=6, size=(48, 64))) == sample_indices(10 + i, 6).tolist()


def test_many_processes_share_one_cache_and_its_bound(tmp_path):
    clips = [by_av(tmp_path / f'{i}.mkv', numbered(10 + i), 'ffv1') for i in range(20)]
    bound = 12 * entry_bytes((6, 48, 64, 3))
    ps = [mp.get_context('fork').Process(target=_many, args=(tmp_path / 'c', clips, s, bound)) for s in range(4)]
    for p in ps:
        p.start()
    for p in ps:
        p.join(60)
        assert p.exitcode == 0
    cache = FrameCache(tmp_path / 'c', max_bytes=bound)
    assert 8 <= len(cache) <= 12
    assert int((tmp_path / 'c' / '.bytes').read_text()) == cache.bytes == len(cache) * entry_bytes((6, 48, 64, 3))
    assert not list((tmp_path / 'c').rglob('.*.tmp'))


T_KILL, SIZE_KILL = 8, (480, 640)  # 7 MB a clip, so that much of the time is spent writing


def _write(folder, clips, part, go):
    cache = FrameCache(folder)
    go.wait()
    for i in part:
        cache.read(clips[i], n=T_KILL, size=SIZE_KILL)


@pytest.mark.posix
@pytest.mark.slow
def test_killed_at_twenty_moments_while_writing(tmp_path):
    "Of two processes that fill a cache one or both are killed: right frames or none; the next run completes it"
    clips = [by_av(tmp_path / f'{i}.mkv', numbered(10 + i, 240, 320), 'ffv1') for i in range(24)]
    right = [sample_indices(10 + i, T_KILL).tolist() for i in range(24)]
    ctx = mp.get_context('fork')
    rng = random.Random(0)

    def start(folder):
        go = ctx.Event()
        ps = [ctx.Process(target=_write, args=(folder, clips, range(k, 24, 2), go)) for k in (0, 1)]
        for p in ps:
            p.start()
        time.sleep(0.2)
        go.set()
        return ps

    t = time.perf_counter()
    ps = start(tmp_path / 'whole')
    [p.join() for p in ps]
    whole = time.perf_counter() - t - 0.2
    cut, halves, tries = 0, 0, 0
    while cut < 20:
        tries += 1
        assert tries < 60, 'the processes are too quick to be killed'
        folder = tmp_path / f'k{tries}'
        ps = start(folder)
        time.sleep(rng.uniform(0, whole))
        for p in ps[: rng.choice([1, 2])]:
            p.kill()
        for p in ps:
            p.join()
        if ps[0].exitcode != -signal.SIGKILL:
            continue  # it had finished
        cut += 1
        halves += len(list(folder.rglob('.*.tmp')))
        cache = FrameCache(folder)
        before = len(cache)
        assert not list(folder.rglob('.*.tmp'))
        assert cache.bytes == sum(p.stat().st_size for p in folder.rglob('*.npy'))
        for i, c in enumerate(clips):
            got = cache.get(clip_key(c, n=T_KILL, size=SIZE_KILL))
            assert got is None or number(got) == right[i]
            assert number(cache.read(c, n=T_KILL, size=SIZE_KILL)) == right[i]
        assert len(cache) == 24
        assert before <= 24
        shutil.rmtree(folder)
    assert halves, 'no kill hit a file that was being written'
    print(f'{cut} kills in {tries} tries, {halves} half-written files left behind and removed')


LOSE_WORKERS = """
import multiprocessing as mp, os, signal, sys
from pathlib import Path
from interpvid.data.cache import FrameCache
from interpvid.data.clips import Item, Items, FileClips
from interpvid.data.loaders import clip_dls
clips,cache,n,h,w = Path(sys.argv[1]),sys.argv[2],*map(int, sys.argv[3:])
items = Items([Item(c, 0, 'train', c.name) for c in sorted(clips.glob('*.mkv'))], ['a'])
ds = FileClips(items, n, (h,w), cache=FrameCache(cache))
for _ in clip_dls(ds, ds, bs=2, num_workers=2).valid:
    os.kill(mp.active_children()[0].pid, signal.SIGKILL)
    print('killed', flush=True)
"""


@pytest.mark.slow
def test_a_killed_worker_leaves_a_good_cache(tmp_path):
    "In a process of its own: a death can come up as RuntimeError or ConnectionResetError, anywhere afterwards"
    clips = [by_av(tmp_path / f'{i:02d}.mkv', numbered(10 + i, 240, 320), 'ffv1') for i in range(16)]
    r = subprocess.run(
        [sys.executable, '-c', LOSE_WORKERS, tmp_path, tmp_path / 'c', *map(str, (T_KILL, *SIZE_KILL))],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert 'killed' in r.stdout, r.stderr[-1500:]
    ds = FileClips(
        Items([Item(c, 0, 'train', c.name) for c in clips], ['a']), T_KILL, SIZE_KILL, cache=FrameCache(tmp_path / 'c')
    )
    seen = [x for x, _ in clip_dls(ds, ds, bs=2, num_workers=2).valid]
    assert sum(map(len, seen)) == 16
    assert all(number(ds.read(i)) == sample_indices(10 + i, T_KILL).tolist() for i in range(16))


def test_files_that_are_not_the_caches_stay(tmp_path, clip):
    c = tmp_path / 'c'
    (c / 'up').mkdir(parents=True)
    (c / 'ab').mkdir()
    mine = [c / 'up' / 'mine.mp4', c / 'ab' / 'mine.npy', c / 'xy', c / 'ab' / 'x.tmp']
    for f in mine:
        f.write_bytes(b'mine')
    cache = FrameCache(c, max_bytes=30000)
    cache.read(clip, n=4, size=(32, 32))
    cache.read(clip, n=5, size=(32, 32))
    cache.clear()
    assert all(f.exists() for f in mine)
    assert len(cache) == 0


@pytest.mark.parametrize('harm', ['touch', 'unreadable', 'folder', 'zip', 'shape'])
def test_read_always_gives_frames(tmp_path, clip, monkeypatch, harm):
    cache = FrameCache(tmp_path / 'c')
    right = np.array(cache.read(clip, n=4, size=(32, 32)))
    p = cache.path(clip_key(clip, n=4, size=(32, 32)))

    def no(*a, **k):
        raise PermissionError(1, 'not yours')

    if harm == 'touch':
        os.utime(p, (0, 0))
        monkeypatch.setattr(os, 'utime', no)
    if harm == 'unreadable':
        monkeypatch.setattr(np.lib.format, 'open_memmap', no)
    if harm == 'folder':
        p.unlink()
        p.mkdir()
    if harm == 'zip':
        p.write_bytes(b'PK\3\4' + p.read_bytes())
    if harm == 'shape':
        np.save(p, np.zeros((1, 2, 2, 3), np.uint8))
    assert np.array_equal(cache.read(clip, n=4, size=(32, 32)), right)


def test_a_cache_that_cannot_be_written_is_read(tmp_path, clip, monkeypatch):
    cache = FrameCache(tmp_path / 'c')
    cache.read(clip, n=4)
    real = os.open

    def no(path, flags, *a, **k):
        if flags & os.O_RDWR:
            raise PermissionError(13, 'Permission denied')
        return real(path, flags, *a, **k)

    monkeypatch.setattr(os, 'open', no)
    with pytest.warns(UserWarning, match='frames cannot be kept there'):
        other = FrameCache(tmp_path / 'c')
    assert isinstance(other.read(clip, n=4), np.memmap)
    assert number(other.read(clip, n=5)) == sample_indices(20, 5).tolist()
    other.remember(['x'])


def test_a_clip_in_use_does_not_make_room(tmp_path, clip):
    "One that was kept shortly before this run, and is read in it, stays"
    size = entry_bytes((4, 32, 32, 3))
    FrameCache(tmp_path / 'c').read(clip, n=4, size=(32, 32))
    time.sleep(0.05)
    cache = FrameCache(tmp_path / 'c', max_bytes=size)
    cache.read(clip, n=4, size=(32, 32))
    cache.read(clip, n=4, size=(32, 32), stop=9)
    assert len(cache) == 1
    assert cache.get(clip_key(clip, n=4, size=(32, 32))) is not None
    assert cache.full


def test_a_clip_in_use_stays_where_the_clock_of_files_is_late(tmp_path, clip, monkeypatch):
    "File systems stamp files by a clock that may run some milliseconds behind"
    real = os.utime

    def late(path, times=None, *, ns=None, **k):
        if ns is None and times is None:
            ns = (time.time_ns() - 10**8,) * 2
        return real(path, ns=ns, **k) if times is None else real(path, times, **k)

    size = entry_bytes((4, 32, 32, 3))
    FrameCache(tmp_path / 'c').read(clip, n=4, size=(32, 32))
    time.sleep(0.05)
    monkeypatch.setattr(os, 'utime', late)
    cache = FrameCache(tmp_path / 'c', max_bytes=size)
    cache.read(clip, n=4, size=(32, 32))
    cache.read(clip, n=4, size=(32, 32), stop=9)
    assert len(cache) == 1
    assert cache.get(clip_key(clip, n=4, size=(32, 32))) is not None
