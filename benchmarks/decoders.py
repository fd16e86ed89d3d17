"""Decoders side by side: which read the right frames, and how fast.

    python benchmarks/decoders.py

makes its clips itself (tests/videos.py), and adds two real ones where INTERPVID_REFERENCE names a folder that has them.
Decoders that are not installed are left out. The result, benchmarks/decoders.json, is shown at the end of
nbs/09_video.ipynb.
"""

import os

os.environ['OMP_NUM_THREADS'] = '1'
os.environ.setdefault('SVT_LOG', '1')
import json, statistics, sys, tempfile, time, warnings
from datetime import date
from pathlib import Path

import av, cv2, imageio.v3 as iio, numpy as np, torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / 'tests')]
from frame import machine
from interpvid.files import writing
from interpvid.video import read_frames, sample_indices
from videos import KINDS, by_av, by_opencv, number, numbered

RUNS = 9
if hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core for all of them
warnings.filterwarnings('ignore')
cv2.setNumThreads(1)
torch.set_num_threads(1)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
small = lambda f, size: cv2.resize(f, size[::-1], interpolation=cv2.INTER_AREA) if size else f


def opencv(p, n, size=None):
    "The header's count, decoding in turn; once more if the count was wrong"

    def one_pass(want):
        cap = cv2.VideoCapture(str(p), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        got, i = {}, 0
        while cap.grab():
            if i in want:
                got[i] = cv2.cvtColor(small(cap.retrieve()[1], size), cv2.COLOR_BGR2RGB)
            i += 1
        return got, i

    cap = cv2.VideoCapture(str(p), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    says = int(cap.get(cv2.CAP_PROP_FRAME_COUNT))
    cap.release()
    want = sample_indices(min(max(1, says), 10**5), n)
    got, total = one_pass(set(want.tolist()))
    if total != says:
        want = sample_indices(total, n)
        got, _ = one_pass(set(want.tolist()))
    return np.stack([got[i] for i in want])


def pyav(p, n, size=None):
    "As its documentation reads files: packets counted, then decoded from the front, with to_ndarray"
    with av.open(str(p)) as c:
        want = sample_indices(sum(k.size > 0 for k in c.demux(video=0)), n)
    how = dict(height=size[0], width=size[1], interpolation='AREA') if size else {}
    with av.open(str(p)) as c:
        c.streams.video[0].thread_type = 'NONE'
        keep = set(want.tolist())
        got = {i: f.to_ndarray(format='rgb24', **how) for i, f in enumerate(c.decode(video=0)) if i in keep}
    return np.stack([got[i] for i in want])


def imageio(p, n, size=None):
    "Its PyAV plugin: iterated to count, then again to take"
    each = lambda: iio.imiter(p, plugin='pyav', thread_type='NONE')
    want = sample_indices(sum(1 for _ in each()), n)
    keep = set(want.tolist())
    got = {i: small(f, size) for i, f in enumerate(each()) if i in keep}
    return np.stack([got[i] for i in want])


def by_torchcodec(mode):
    from torchcodec.decoders import VideoDecoder

    def read(p, n, size=None):
        d = VideoDecoder(str(p), seek_mode=mode, num_ffmpeg_threads=1, dimension_order='NHWC')
        return np.stack([small(f, size) for f in d.get_frames_at(sample_indices(len(d), n).tolist()).data.numpy()])

    return read


def ours(p, n, size=None):
    return read_frames(p, n, size, by='number')


def decoders():
    import importlib.metadata as m

    found = {'read_frames': ours, 'OpenCV': opencv, 'PyAV, plain': pyav, 'imageio (PyAV)': imageio}
    versions = {k: m.version(k) for k in ('av', 'imageio')} | {'opencv': cv2.__version__}
    try:
        found |= {'torchcodec, exact': by_torchcodec('exact'), 'torchcodec, approximate': by_torchcodec('approximate')}
        versions['torchcodec'] = m.version('torchcodec')
    except Exception as e:
        print(f'torchcodec is left out: {type(e).__name__}: {str(e).splitlines()[0] if str(e) else ""}')
    return found, versions


def right(read, files):
    "'yes', 'wrong frames' or 'error': the worst of `files`"
    said = []
    for p, T in files:
        try:
            said.append('yes' if number(read(p, 16)) == sample_indices(T, 16).tolist() else 'wrong frames')
        except Exception:
            said.append('error')
    return 'wrong frames' if 'wrong frames' in said else 'error' if 'error' in said else 'yes'


def moving(T, h, w, seed=0):
    "A textured ground that pans, discs that cross it, grain as of a camera"
    r = np.random.default_rng(seed)
    H, W = h + 2 * T, w + 4 * T
    ground = (
        sum(
            cv2.resize(
                r.normal(0, 1, (max(2, H // s), max(2, W // s), 3)).astype(np.float32),
                (W, H),
                interpolation=cv2.INTER_CUBIC,
            )
            * a
            for s, a in ((64, 40), (16, 20), (4, 10), (1, 4))
        )
        + 120
    )
    grain = r.normal(0, 4, (h + 32, w + 32, 3)).astype(np.float32)
    out = np.empty((T, h, w, 3), np.uint8)
    for t in range(T):
        f = ground[t : t + h, 3 * t : 3 * t + w].copy()
        for k in range(4):
            at = (
                int((0.1 + 0.25 * k) * w + (t * (k - 1.5) * w / T / 2)) % w,
                int(h * (0.5 + 0.35 * np.sin(2 * np.pi * t / max(T, 2) + k))),
            )
            cv2.circle(
                f,
                at,
                h // 9,
                tuple(float(c) for c in ((40, 90, 200), (220, 180, 60), (60, 190, 90), (190, 60, 160))[k]),
                -1,
            )
        i, j = r.integers(0, 32, 2)
        out[t] = np.clip(f + grain[i : i + h, j : j + w], 0, 255)
    return out


def clips(d):
    "Files of realistic sizes, by name"
    ssv2, kth = moving(49, 240, 427), moving(360, 120, 160)
    even = ssv2[:, :, :426]
    vpx = dict(
        options={'auto-alt-ref': '1', 'lag-in-frames': '16', 'b': '400k', 'cpu-used': '4', 'deadline': 'good'}, gop=128
    )
    made = {
        'VP9, 427×240, 49 frames': by_av(d / 'vp9.webm', ssv2, 'libvpx-vp9', **vpx),
        'VP8, 427×240, 49 frames': by_av(d / 'vp8.webm', ssv2, 'libvpx', **vpx),
        'H.264, 426×240, 49 frames': by_av(d / 'h264.mp4', even, 'libx264'),
        'MPEG-4, 160×120, 360 frames': by_av(
            d / 'mpeg4.avi', kth, 'mpeg4', options={'b': '600k', 'vtag': 'DX50'}, gop=300
        ),
        'MJPEG, 427×240, 49 frames': by_opencv(d / 'mjpeg.avi', ssv2, 'MJPG'),
        'H.264, 1080p, 49 frames': by_av(
            d / '1080.mp4', moving(49, 1080, 1920), 'libx264', options={'preset': 'veryfast'}
        ),
    }
    if real := os.environ.get('INTERPVID_REFERENCE'):
        kth = sorted((Path(real) / 'kth').glob('*.avi'))[:1]
        made |= {'KTH, a real clip (MPEG-4)': p for p in kth} | {
            'Something-something, a real clip (VP9)': p for p in (Path(real) / 'ssv2').glob('166766.*')
        }
    return made


def main():
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)
        files = {
            kind: [(make(d / f'{j}_{T}', numbered(T)), T) for T in (1, 2, 49)]
            for j, (kind, make) in enumerate(KINDS.items())
        }
        timed = clips(d)
        found, versions = decoders()  # after the encoders' work: torchcodec brings another FFmpeg into the process
        # other decoders do not read folders
        rights = {
            name: {
                kind: 'no' if fs[0][0].is_dir() and name != 'read_frames' else right(read, fs)
                for kind, fs in files.items()
            }
            for name, read in found.items()
        }
        speed = {name: {} for name in found}
        for clip, p in timed.items():
            took = {name: [] for name in found}
            for run in range(RUNS + 1):
                for name, read in found.items():
                    t = time.perf_counter()
                    try:
                        read(p, 16, (224, 224))
                    except Exception:
                        continue
                    if run:
                        took[name].append((time.perf_counter() - t))  # the first is to warm up
            base = took['read_frames']
            for name, ts in took.items():
                speed[name][clip] = round(statistics.median(t / o for t, o in zip(ts, base)), 2) if ts else None
            print(
                f"{clip}: read_frames takes {1e3 * statistics.median(base):.0f} ms;",
                ', '.join(f'{n} ×{s[clip]}' for n, s in speed.items() if n != 'read_frames'),
                flush=True,
            )
    for kind in KINDS:
        print(f'{kind}:', ', '.join(f'{n}: {r[kind]}' for n, r in rights.items()))
    with writing(HERE / 'decoders.json') as tmp:
        tmp.write_text(
            json.dumps(
                dict(date=date.today().isoformat(), machine=machine(), versions=versions, right=rights, speed=speed),
                indent=1,
                ensure_ascii=False,
            )
            + '\n'
        )


if __name__ == '__main__':
    main()
