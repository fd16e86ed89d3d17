"Videos by real encoders; each frame carries its number as black and white stripes, for a test to read."

import os, subprocess
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np


def numbered(T, h=48, w=64):
    "(T,h,w,3) uint8: eight stripes are the eight bits of the frame's number"
    bits = (np.arange(T)[:, None] >> np.arange(8)) & 1
    stripes = bits[:, np.repeat(np.arange(8), [len(a) for a in np.array_split(np.arange(w), 8)])][:, None, :, None]
    return np.broadcast_to(np.where(stripes, 235, 20), (T, h, w, 3)).astype(np.uint8)


def number(frames):
    "The numbers that frames carry, whatever an encoder did to their greys"
    stripes = np.stack([s.mean((1, 2, 3)) for s in np.array_split(np.asarray(frames, float), 8, axis=2)], 1)
    return ((stripes > 128) << np.arange(8)).sum(1).tolist()


def by_opencv(path, frames, codec):
    "Written by OpenCV's encoder `codec` (four letters)"
    h, w = frames.shape[1:3]
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, (w, h))
    assert out.isOpened(), f'this OpenCV writes no {codec}'
    for f in frames:
        out.write(f[..., ::-1])
    out.release()
    return path


@contextmanager
def ordinary_priority():
    """SVT-AV1's encoder, run as root, gives the thread that opens it real-time priority and leaves it so.

    What that process starts later (browsers, kernels) inherits it, and starves all others of the processor."""
    if not hasattr(os, 'sched_getscheduler'):
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != before[0]:
            os.sched_setscheduler(0, *before)


@ordinary_priority()
def by_av(
    path, frames, codec, pix_fmt='yuv420p', times=None, options=None, gop=None, rotate=0, rate=25, container=None
):
    "Written by PyAV; `times` are the frames' times in ticks of 1/1000 s, for a variable frame rate"
    with av.open(
        str(path), 'w', options={'fflags': '+bitexact', **(container or {})}
    ) as c:  # the same bytes every time
        s = c.add_stream(codec, rate=rate, options=options or {})
        s.height, s.width, s.pix_fmt = *frames.shape[1:3], pix_fmt
        if gop:
            s.codec_context.gop_size = gop
        if times is not None:
            s.codec_context.time_base = s.time_base = Fraction(1, 1000)
        if rotate:
            s.set_display_matrix(rotate) if hasattr(s, 'set_display_matrix') else None
        for i, a in enumerate(frames):
            f = av.VideoFrame.from_ndarray(np.ascontiguousarray(a), format={4: 'rgba', 3: 'rgb24'}[a.shape[-1]])
            f.pts, f.time_base = (int(times[i]), Fraction(1, 1000)) if times is not None else (i, Fraction(1, rate))
            c.mux(s.encode(f))
        c.mux(s.encode())
    return path


def patched(path, marker, offset, value, size=4, order='little', every=False):
    "`path` with `value` written `offset` bytes after `marker`: a header that lies"
    b = bytearray(Path(path).read_bytes())
    i = b.find(marker)
    assert i >= 0, f'{path} holds no {marker}'
    while i >= 0:
        b[i + offset : i + offset + size] = value.to_bytes(size, order)
        i = b.find(marker, i + 1) if every else -1
    Path(path).write_bytes(b)
    return path


def uneven(T):
    "Times of frames that come now fast, now slowly, in ms"
    return np.cumsum(np.where(np.arange(T) % 7 < 3, 20, 130))


def avi_says(path, n):
    "An AVI whose headers claim `n` frames"
    patched(path, b'avih', 8 + 16, n)  # dwTotalFrames
    return patched(path, b'strh', 8 + 32, n, every=True)  # dwLength


def mp4_says(path, ticks):
    "An MP4 whose media and movie headers claim another duration"
    patched(path, b'mdhd', 4 + 4 + 12, ticks, order='big')
    return patched(path, b'mvhd', 4 + 4 + 12, ticks, order='big')


def webm_says(path, seconds):
    "A WebM whose header claims another duration"
    import struct

    b = bytearray(Path(path).read_bytes())
    i = b.find(b'\x44\x89\x88')
    assert i >= 0, f'{path} has no duration of eight bytes'
    b[i + 3 : i + 11] = struct.pack('>d', seconds * 1000)
    Path(path).write_bytes(b)
    return path


def jpegs(path, frames, name='{:05d}.jpg'):
    "A folder of JPEG files"
    path.mkdir()
    for i, f in enumerate(frames):
        cv2.imwrite(str(path / name.format(i + 1)), f[..., ::-1])
    return path


def h265(path, frames):
    "For one or two frames, x265 with B-frames hands out decoding times that it never set, which no container takes"
    b_frames = '' if len(frames) > 2 else ':bframes=0'
    return by_av(path, frames, 'libx265', options={'x265-params': f'log-level=none{b_frames}'})


def gif(path, frames, ms=None):
    "A GIF that keeps every frame, each with its own duration (the frames have to differ)"
    import PIL.Image as I

    ims = [I.fromarray(f) for f in frames]
    ims[0].save(
        path,
        save_all=True,
        append_images=ims[1:],
        duration=[int(m) for m in (ms if ms is not None else [40] * len(ims))],
        loop=0,
    )
    return path


KINDS = {  # name: function of a path without ending and of frames -> the file (or folder)
    'AVI, Motion JPEG': lambda p, f: by_opencv(p.with_suffix('.avi'), f, 'MJPG'),
    'AVI, Xvid': lambda p, f: by_opencv(p.with_suffix('.avi'), f, 'XVID'),
    'AVI, MPEG-4 with B-frames': lambda p, f: by_av(p.with_suffix('.avi'), f, 'mpeg4', options={'bf': '2'}, gop=12),
    'AVI that claims 3 frames': lambda p, f: avi_says(by_opencv(p.with_suffix('.avi'), f, 'XVID'), 3),
    'AVI that claims 999': lambda p, f: avi_says(by_opencv(p.with_suffix('.avi'), f, 'XVID'), 999),
    'WebM, VP8': lambda p, f: by_av(
        p.with_suffix('.webm'), f, 'libvpx', options={'auto-alt-ref': '1', 'lag-in-frames': '16'}, gop=12
    ),
    'WebM, VP9': lambda p, f: by_av(
        p.with_suffix('.webm'), f, 'libvpx-vp9', options={'auto-alt-ref': '1', 'lag-in-frames': '16'}, gop=12
    ),
    'WebM, VP9, uneven times': lambda p, f: by_av(p.with_suffix('.webm'), f, 'libvpx-vp9', times=uneven(len(f))),
    'WebM that claims 99 s': lambda p, f: webm_says(by_av(p.with_suffix('.webm'), f, 'libvpx-vp9'), 99.0),
    'MP4, H.264': lambda p, f: by_av(p.with_suffix('.mp4'), f, 'libx264', gop=12),
    'MP4, H.264, open groups': lambda p, f: by_av(
        p.with_suffix('.mp4'),
        f,
        'libx264',
        options={'x264-params': 'open-gop=1:bframes=4:b-pyramid=normal:keyint=9:scenecut=0'},
    ),
    'MP4, H.264, uneven times': lambda p, f: by_av(p.with_suffix('.mp4'), f, 'libx264', times=uneven(len(f))),
    'MP4 that claims 99 s': lambda p, f: mp4_says(by_av(p.with_suffix('.mp4'), f, 'libx264'), 99 * 12800),
    'MP4, H.265': lambda p, f: h265(p.with_suffix('.mp4'), f),
    'MP4, fragments': lambda p, f: by_av(
        p.with_suffix('.mp4'), f, 'libx264', gop=12, container={'movflags': 'frag_keyframe+empty_moov'}
    ),
    'MKV, FFV1': lambda p, f: by_av(p.with_suffix('.mkv'), f, 'ffv1'),
    'GIF': lambda p, f: gif(p.with_suffix('.gif'), f),
    'GIF, uneven times': lambda p, f: gif(
        p.with_suffix('.gif'), f, 10 * (uneven(len(f)) // 10 - np.r_[0, uneven(len(f))[:-1]] // 10)
    ),
    'folder of JPEGs': lambda p, f: jpegs(p, f),
}


def matrix(path, a, b, c, d):
    "An MP4 or MOV with this display matrix: x is shown at a·x + c·y, y at b·x + d·y"
    data = bytearray(Path(path).read_bytes())
    i = data.find(b'tkhd') + 44
    for k, v in zip((0, 4, 12, 16), (a, b, c, d)):
        data[i + k : i + k + 4] = (v << 16).to_bytes(4, 'big', signed=True)
    Path(path).write_bytes(data)
    return path


def turned(path, degrees):
    "An MP4 that says: turn me clockwise by 90, 180 or 270 degrees"
    return matrix(path, *{90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees])


def ffmpeg(*args, **kwargs):
    "What FFmpeg's own program prints; the test is skipped where it is not installed"
    import pytest

    exe = pytest.importorskip('imageio_ffmpeg').get_ffmpeg_exe()
    command = [exe, '-v', 'error', '-y', *map(str, args)]
    kwargs = kwargs or {'stdin': subprocess.DEVNULL}
    r = subprocess.run(command, capture_output=True, timeout=120, **kwargs)
    assert r.returncode == 0, r.stderr.decode()[-1500:]
    return r.stdout


def with_hidden_frames(folder, codec, frames, ending):
    "VP8 or VP9 whose hidden frames, from which others are predicted, are in packets of their own"
    size, whole = f'{frames.shape[2]}x{frames.shape[1]}', folder / 'whole.webm'
    raw = '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', size, '-r', 25, '-i', '-'
    options = '-auto-alt-ref', 1, '-lag-in-frames', 16, '-g', 99, '-b:v', '300k', '-passlogfile', folder / 'log'
    for n in 1, 2:  # the encoder looks ahead only if it has seen all before
        ffmpeg(*raw, '-c:v', codec, *options, '-pass', n, whole, input=np.ascontiguousarray(frames).tobytes())
    apart = ('-bsf:v', 'vp9_superframe_split', '-fflags', '-autobsf') if codec == 'libvpx-vp9' else ()
    ffmpeg('-i', whole, '-c', 'copy', *apart, folder / f'apart.{ending}')
    return folder / f'apart.{ending}'


def widened(path, aspect):
    "The same video, which says that its pixels are `aspect` as wide as high"
    with av.open(str(path)) as c:
        s = c.streams.video[0]
        shape = Fraction(s.width, s.height) * aspect
    to = Path(path).with_name(f'wide-{Path(path).name}')
    ffmpeg('-i', path, '-c', 'copy', '-aspect', f'{shape.numerator}:{shape.denominator}', to)
    return to


def trimmed(path, start):
    "An MP4 of 25 frames a second whose edit list hides the first `start` of them"
    b = Path(path).read_bytes()
    i = b.find(b'elst') + 16
    return patched(path, b'elst', 16, int.from_bytes(b[i : i + 4], 'big') + 512 * start, order='big')


def remuxed(path, to, skip):
    "The packets of `path` in another container, without those numbered in `skip`"
    with av.open(str(path)) as a, av.open(str(to), 'w') as b:
        s = a.streams.video[0]
        o = b.add_stream_from_template(s)
        for i, p in enumerate(p for p in a.demux(s) if p.size):
            if i not in skip:
                p.stream = o
                b.mux(p)
    return to
