"""Ten thousand damaged videos: eight frames of the right shape, or a `VideoError` that names the file; and soon.

The damage depends on the seed alone. `python tests/test_fuzz.py SEED` does one again and says what became of it.
"""

import faulthandler
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault('SVT_LOG', '1')  # or the AV1 encoder tells of itself
import numpy as np
import pytest
from videos import KINDS, by_av, by_opencv, matrix, number, numbered, uneven

SEEDS, SHARE = 10_000, 1000
SECONDS = 20  # for one video
MEMORY = 3 << 30  # bytes of addresses beyond those of the process at its start

MORE = {  # kinds that test_video.py does not look at, for their containers and codecs
    'MPEG transport stream': lambda p, f: by_av(p.with_suffix('.ts'), f, 'libx264', gop=12),
    'MPEG program stream': lambda p, f: by_av(p.with_suffix('.mpg'), f, 'mpeg2video', gop=12),
    'Flash': lambda p, f: by_av(p.with_suffix('.flv'), f, 'flv', gop=12),
    'Windows Media': lambda p, f: by_av(p.with_suffix('.wmv'), f, 'wmv2', gop=12),
    'QuickTime, ProRes': lambda p, f: by_av(p.with_suffix('.mov'), f, 'prores_ks', 'yuv422p10le'),
    'QuickTime, Animation': lambda p, f: by_av(p.with_suffix('.mov'), f, 'qtrle', 'rgb24'),
    'MP4, AV1': lambda p, f: by_av(p.with_suffix('.mp4'), f, 'libsvtav1', gop=12),
    'H.264 without a container': lambda p, f: by_av(p.with_suffix('.h264'), f, 'libx264', gop=12),
    'AVI, raw': lambda p, f: by_av(p.with_suffix('.avi'), f[:, ::4, ::2], 'rawvideo', 'bgr24'),
    'AVI, HuffYUV': lambda p, f: by_av(p.with_suffix('.avi'), f, 'huffyuv', 'yuv422p'),
    'APNG': lambda p, f: by_av(p.with_suffix('.apng'), f, 'apng', 'rgb24'),
    'MKV, H.264 of 10 bits': lambda p, f: by_av(p.with_suffix('.mkv'), f, 'libx264', 'yuv422p10le', gop=12),
    'folder of PNGs': lambda p, f: pictures(p, f, 'png'),
    'folder of WebPs': lambda p, f: pictures(p, f, 'webp'),
    'folder of BMPs': lambda p, f: pictures(p, f, 'bmp'),
    'folder of turned JPEGs': lambda p, f: exif(p, f),
    'MP4, mirrored': lambda p, f: matrix(by_av(p.with_suffix('.mp4'), f, 'libx264', gop=12), -1, 0, 0, 1),
    'MOV, variable rate': lambda p, f: by_av(p.with_suffix('.mov'), f, 'libx264', times=uneven(len(f))),
}


def exif(path, frames):
    "Pictures that say: turn me by 90 degrees"
    from PIL import Image

    path.mkdir()
    said = Image.Exif()
    said[0x0112] = 6
    for i, f in enumerate(frames):
        Image.fromarray(f).save(path / f'{i}.jpg', exif=said)
    return path


def pictures(path, frames, ending):
    import imageio.v3 as iio

    path.mkdir()
    for i, f in enumerate(frames):
        iio.imwrite(path / f'{i}.{ending}', f)
    return path


def originals(d):
    "Two lengths of every kind: [name, ending, bytes of the file, or of each picture]"
    out = []
    for k, make in {**KINDS, **MORE}.items():
        for T in 5, 24:
            p = make(d / f'{len(out)}', numbered(T))
            out.append(
                (
                    k,
                    p.suffix,
                    [q.read_bytes() for q in sorted(p.iterdir())] if p.is_dir() else p.read_bytes(),
                    sorted(q.name for q in p.iterdir()) if p.is_dir() else None,
                )
            )
    return out


def place(r, b):
    "Somewhere in the bytes; half of the time near the front, where headers are"
    return int(r.integers(min(len(b), 600) if r.random() < 0.5 else len(b)))


def flip(r, b, other):
    for _ in range(int(2 ** r.uniform(0, 7))):
        b[place(r, b)] = int(r.integers(256))


def one_bit(r, b, other):
    b[place(r, b)] ^= 1 << int(r.integers(8))


def cut(r, b, other):
    del b[int(r.integers(len(b))) :]


def hole(r, b, other):
    i = place(r, b)
    del b[i : i + int(2 ** r.uniform(0, 10))]


def zeros(r, b, other):
    i = place(r, b)
    n = min(len(b) - i, int(2 ** r.uniform(0, 10)))
    b[i : i + n] = bytes(n)


def noise(r, b, other):
    i = place(r, b)
    n = min(len(b) - i, int(2 ** r.uniform(0, 10)))
    b[i : i + n] = r.bytes(n)


def ones(r, b, other):
    "A field, or two beside each other, at its greatest, or nearly"
    i, n = place(r, b), int(r.choice([1, 2, 4, 8]))
    n = min(n, len(b) - i)
    b[i : i + n] = [b'\xff' * n, b'\x7f' + b'\xff' * (n - 1), b'\x0f' * n, bytes(n - 1) + b'\x01'][int(r.integers(4))]


def again(r, b, other):
    i = place(r, b)
    n = int(2 ** r.uniform(2, 11))
    j = place(r, b)
    b[j:j] = b[i : i + n] * int(r.integers(1, 4))


def over(r, b, other):
    "One part written over another: nothing moves"
    i, j = place(r, b), place(r, b)
    n = min(int(2 ** r.uniform(2, 11)), len(b) - max(i, j))
    b[j : j + n] = b[i : i + n]


def splice(r, b, other):
    b[place(r, b) :] = other[place(r, other) :]


def graft(r, b, other):
    i = place(r, b)
    n = int(2 ** r.uniform(2, 11))
    j = place(r, other)
    b[i : i + n] = other[j : j + n]


DAMAGES = flip, flip, one_bit, cut, hole, zeros, noise, ones, ones, again, over, splice, graft


def damaged(seed, every, d):
    "A file (or folder) in `d`, its kind, and what was done to it"
    r = np.random.default_rng(seed)
    kind, ending, whole, names = every[int(r.integers(len(every)))]
    _, _, other, _ = every[int(r.integers(len(every)))]
    if isinstance(other, list):
        other = other[0]
    b = bytearray(whole if names is None else whole[k := int(r.integers(len(whole)))])
    did = []
    for _ in range(int(r.choice([1, 1, 1, 2, 4]))):
        if b:
            f = DAMAGES[int(r.integers(len(DAMAGES)))]
            f(r, b, other)
            did.append(f.__name__)
    if b[:4] == b'RIFF' and r.random() < 0.7:
        b[4:8] = max(0, len(b) - 8).to_bytes(4, 'little')  # or all that is cut would end at the same check
    p = d / f'{seed}{ending}'
    if names is None:
        p.write_bytes(b)
    else:
        p.mkdir()
        for i, (name, a) in enumerate(zip(names, whole)):
            (p / name).write_bytes(b if i == k else a)
    return p, kind, did


def outcome(p):
    "'frames', 'error', or what should not have happened"
    from interpvid.video import VideoError, read_frames

    try:
        a = read_frames(p, 8, size=(32, 32))
    except VideoError as e:
        return ('error' if p.name in str(e) else f'the message does not name the file: {e}'), str(e)
    except Exception as e:
        return f'escaped: {e!r}', ''
    if (a.shape, a.dtype) != ((8, 32, 32, 3), np.uint8):
        return f'frames of {a.shape} {a.dtype}', ''
    return 'frames', number(a)


def peak():
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # MiB


def child(first, last, log):
    "Seeds from `first` to before `last`; a line into `log` before and after each"
    import resource

    faulthandler.enable()
    with tempfile.TemporaryDirectory() as d, open(log, 'w', buffering=1) as f:
        d = Path(d)
        (d / 'whole').mkdir()
        every = originals(d / 'whole')
        outcome(by_opencv(d / 'warm.avi', numbered(5), 'MJPG'))  # all is imported
        size = (
            int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
            if Path('/proc/self/statm').exists()
            else 8 << 30
        )
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY,) * 2)
        for seed in range(first, last):
            p, kind, did = damaged(seed, every, d)
            f.write(json.dumps(dict(seed=seed, kind=kind, did=did)) + '\n')
            before = peak()
            signal.setitimer(signal.ITIMER_REAL, SECONDS)  # its default: the end of the process, wherever it hangs
            t = time.perf_counter()
            what, more = outcome(p)
            t = time.perf_counter() - t
            signal.setitimer(signal.ITIMER_REAL, 0)
            f.write(
                json.dumps(
                    dict(
                        seed=seed,
                        kind=kind,
                        did=did,
                        outcome=what,
                        more=more,
                        seconds=round(t, 3),
                        grew=peak() - before,
                    )
                )
                + '\n'
            )
            shutil.rmtree(p) if p.is_dir() else p.unlink()


def end_of(r):
    "How a child process ended that did not finish"
    if r.returncode == -signal.SIGALRM:
        return 'hangs'
    how = signal.Signals(-r.returncode).name if r.returncode < 0 else r.returncode
    return f'crashes ({how}) {r.stderr.decode()[-800:]}'


def share(first, last, log):
    "A child process for each run of seeds; where one dies the next goes on behind that seed. All rows"
    rows = []
    while first < last:
        r = subprocess.run(
            [sys.executable, __file__, str(first), str(last), str(log)],
            stderr=subprocess.PIPE,
            env={**os.environ, 'OMP_NUM_THREADS': '1'},
        )
        done = [json.loads(l) for l in open(log)] if Path(log).exists() else []
        rows += [d for d in done if 'outcome' in d]
        if r.returncode == 0:
            return rows
        assert done, f'the child did not start: {r.stderr.decode()[-2000:]}'
        died = end_of(r)
        rows.append(dict(done[-1], outcome=died, more='', seconds=float(SECONDS), grew=0))
        first = done[-1]['seed'] + 1
        Path(log).unlink()
    return rows


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, 'setitimer'), reason='needs the alarms and limits of Unix')
def test_damaged_videos(tmp_path):
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2)) as ex:
        rows = sum(ex.map(lambda i: share(i, min(i + SHARE, SEEDS), tmp_path / f'{i}.log'), range(0, SEEDS, SHARE)), [])
    if keep := os.environ.get('INTERPVID_FUZZ_LOG'):
        Path(keep).write_text('\n'.join(map(json.dumps, rows)))
    worst = lambda key: sorted(((r[key], r['seed'], r['kind']) for r in rows), reverse=True)[:5]
    print(f"\n{Counter(r['outcome'] for r in rows).most_common(20)}")
    print(f"slowest: {worst('seconds')}; most memory (MiB): {worst('grew')}")
    assert sorted(r['seed'] for r in rows) == list(range(SEEDS))
    bad = [r for r in rows if r['outcome'] not in ('frames', 'error')]
    assert not bad, f'{len(bad)} seeds, the first of them: {bad[:5]}'


if __name__ == '__main__':
    if len(sys.argv) == 4:
        child(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    else:
        at = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
        (at / 'whole').mkdir(parents=True, exist_ok=True)
        p, kind, did = damaged(int(sys.argv[1]), originals(at / 'whole'), at)
        print(p, kind, did, flush=True)
        t = time.perf_counter()
        print(*outcome(p), f'{time.perf_counter() - t:.2f} s, {peak()} MiB')
