"Videos to training batches: decoded, and from the cache; and memory over ten thousand clips."

import atexit, re, shutil, subprocess, tempfile
from pathlib import Path

import av, cv2, imageio_ffmpeg, numpy as np, torch
from torch.utils.data import DataLoader, Dataset

from frame import bench
from interpvid.core import to_batch
from interpvid.data.cache import FrameCache
from interpvid.data.clips import Item, Items, FileClips, folder_items
from interpvid.data.loaders import clip_dls
from interpvid.data.synthetic import make_clips
from interpvid.video import sample_indices

N, T, SIZE, BS, WORKERS = 96, 16, (224, 224), 8, 2
VP9 = {'b': '190k', 'deadline': 'realtime', 'cpu-used': '6', 'auto-alt-ref': '1', 'lag-in-frames': '16'}
HOME = Path(tempfile.mkdtemp(prefix='interpvid-bench-'))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)


def _write(path, frames, rng):
    "VP9 in WebM, 427×240, 49 frames, 12 a second, some 90 kB (220 847 clips take 19.4 GB); drawn things with noise"
    with av.open(str(path), 'w') as c:
        s = c.add_stream('libvpx-vp9', rate=12, options=VP9)
        s.width, s.height, s.pix_fmt = 427, 240, 'yuv420p'
        for k in sample_indices(T, 49):
            noise = rng.integers(-3, 4, (240, 427, 1), np.int16)
            a = cv2.resize(frames[k], (427, 240), interpolation=cv2.INTER_CUBIC).astype(np.int16) + noise
            c.mux(s.encode(av.VideoFrame.from_ndarray(a.clip(0, 255).astype(np.uint8), format='rgb24')))
        c.mux(s.encode())


def _videos():
    "48 clips like those of Something-something, each listed twice"
    rng = np.random.default_rng(0)
    for i, frames in enumerate(make_clips(N // 2, seed=1, progress=False).frames):
        path = HOME / f'{i}.webm'
        if not path.exists():
            _write(path, frames, rng)
    return Items([Item(HOME / f'{i % (N // 2)}.webm', i % 3, 'train', str(i)) for i in range(N)], ['a', 'b', 'c'])


class OpenCV(Dataset):
    "The best single decoder of `decoders.py` that is not ours, used alone: reads all frames, keeps the wanted ones"

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        cv2.setNumThreads(1)
        path = str(self.items[i].path)
        cap = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        total = int(cap.get(cv2.CAP_PROP_FRAME_COUNT))
        keep, got = set(sample_indices(total, T).tolist()), {}
        for k in range(total):
            if not cap.grab():
                break
            if k in keep:
                got[k] = cv2.cvtColor(
                    cv2.resize(cap.retrieve()[1], SIZE[::-1], interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB
                )
        return torch.from_numpy(np.stack([got[k] for k in sample_indices(total, T).tolist()])), self.items[i].label


def _ffmpeg():
    "The system's ffmpeg, or that of imageio-ffmpeg, which starts faster"
    return shutil.which('ffmpeg') or imageio_ffmpeg.get_ffmpeg_exe()


def _version():
    says = subprocess.run([_ffmpeg(), '-version'], capture_output=True, text=True).stdout
    return re.search(r'version (\S+)', says)[1]


FFMPEG = f'ffmpeg {_version()}'


class FFmpeg(Dataset):
    "As the paper's released code: ffmpeg, started for each clip, writes about 16 squashed JPEGs; they are read back"

    def __init__(self, items):
        self.items, self.exe = items, _ffmpeg()

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        with tempfile.TemporaryDirectory(dir=HOME) as d:
            size_and_rate = f'scale={SIZE[1]}:{SIZE[0]},fps={T}/{49 / 12:.4f}'
            asked = ['-i', str(self.items[i].path), '-vf', size_and_rate, '-q:v', '2', f'{d}/%03d.jpg']
            subprocess.run([self.exe, '-loglevel', 'error', *asked], check=True, stdin=subprocess.DEVNULL)
            f = np.stack([cv2.cvtColor(cv2.imread(str(p)), cv2.COLOR_BGR2RGB) for p in sorted(Path(d).glob('*.jpg'))])
        return torch.from_numpy(f[sample_indices(len(f), T)]), self.items[i].label


def _plain(ds):
    "Batches of a plain PyTorch loader, made floats by the same function as ours"

    def run():
        n = 0
        for x, y in DataLoader(ds, BS, num_workers=WORKERS):
            n += len(to_batch(x, (0.5, 0.5)))
        assert n == N

    return run


def _ours(items, cache=None):
    ds = FileClips(items, T, SIZE, cache=cache)
    dl = clip_dls(ds, ds, bs=BS, stats=(0.5, 0.5), num_workers=WORKERS).valid

    def run():
        n = 0
        for x, y in dl:
            n += len(x)
        assert n == N and not ds.skipped

    return run


def _cached(items):
    cache = FrameCache(HOME / 'cache')
    FileClips(items, T, SIZE, cache=cache).fill(workers=0, progress=False)
    return _ours(items, cache)


@bench(
    f'videos to batches, decoded, {N} clips',
    against=f'{FFMPEG} once per clip, JPEGs written and read back',
    at_least=3,
    runs=5,
)
def _():
    items = _videos()
    return _ours(items), _plain(FFmpeg(items))


@bench(f'videos to batches, decoded again, {N} clips', against='OpenCV alone, frame by frame', at_least=1, runs=9)
def _():
    items = _videos()
    return _ours(items), _plain(OpenCV(items))


@bench(
    f'videos to batches, from the cache, {N} clips',
    against=f'{FFMPEG} once per clip, JPEGs written and read back',
    at_least=10,
    runs=5,
)
def _():
    items = _videos()
    return _cached(items), _plain(FFmpeg(items))


def _names(n):
    "A folder of `n` empty files with the names of UCF-101 in one class, and a list of them; listing opens none"
    root = HOME / str(n)
    (root / 'a').mkdir(parents=True, exist_ok=True)
    names = [f'a/v_a_g{k % 25:02d}_c{k:06d}.avi' for k in range(n)]
    for name in names:
        (root / name).touch()
    (root / 'list.csv').write_text('path,label\n' + ''.join(f'{name},c{k % 100}\n' for k, name in enumerate(names)))
    return root


MANY, FEWER = 100_000, 10_000
# listing ten times as many may take at most 12 times as long
TEN_TIMES = dict(against='a tenth of them, ten times', at_least=round(10 / 12, 2), runs=5, times=10)


def _lists(path):
    "Listing `MANY` files against listing `FEWER`"
    many, fewer = _names(MANY) / path, _names(FEWER) / path
    return lambda: folder_items(many, progress=False), lambda: folder_items(fewer, progress=False)


@bench(f'folder_items, {MANY:,} files in a folder', **TEN_TIMES)
def _():
    return _lists('')


@bench(f'folder_items, {MANY:,} files in a list', **TEN_TIMES)
def _():
    return _lists('list.csv')
