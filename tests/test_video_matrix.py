"""Kinds of video, made by real encoders, against a full decode by FFmpeg's own program.

Each frame carries its number as black and white blocks, and four colours that say which way is up. A kind passes if
`read_frames` gives what FFmpeg's program gives (within two levels on average, each frame), the numbers are the right
ones, upright, and `probe` says how many frames there are, how large and how they are shown.
"""

import shlex
import warnings
from dataclasses import dataclass
from functools import cache

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from videos import by_av, ffmpeg, matrix, patched, with_hidden_frames

from interpvid.video import frame_times, probe, read_frames, sample_indices

LEVELS = 2  # of 255, by which a frame may differ on average from FFmpeg's
T, H, W = 12, 48, 64

RED, BLUE, GREEN, YELLOW = (200, 40, 40), (40, 40, 200), (40, 180, 40), (200, 200, 40)


def drawn(n=T, h=H, w=W):
    "(n,h,w,3): four rows of four blocks; the two in the middle are the bits of the frame's number"
    cells = np.full((n, 4, 4, 3), 20, np.uint8)
    cells[:, 0, 1], cells[:, 3, 1:3] = 235, 128
    cells[:, 0, 0], cells[:, 0, 3], cells[:, 3, 0], cells[:, 3, 3] = RED, BLUE, GREEN, YELLOW
    bits = (np.arange(n)[:, None] >> np.arange(8)) & 1
    cells[:, 1:3] = np.where(bits.reshape(n, 2, 4, 1), 235, 20)
    rows, columns = (np.arange(s) * 4 // s for s in (h, w))
    return cells[:, rows][:, :, columns]


def cells_of(frames):
    "(n,4,4,3): the mean of each block, without its edges"
    n, h, w, _ = frames.shape
    out = np.zeros((n, 4, 4, 3))
    for y in range(4):
        for x in range(4):
            rows = slice(y * h // 4 + h // 16, (y + 1) * h // 4 - h // 16)
            columns = slice(x * w // 4 + w // 16, (x + 1) * w // 4 - w // 16)
            out[:, y, x] = frames[:, rows, columns].mean((1, 2))
    return out


def numbers(frames):
    "The numbers that frames carry"
    bits = cells_of(frames)[:, 1:3].mean(-1).reshape(len(frames), 8) > 128
    return (bits << np.arange(8)).sum(1).tolist()


def upright(frames):
    "Whether the four colours are where they were drawn"
    cells = cells_of(frames)[:, [0, 0, 3, 3], [0, 3, 0, 3]]
    return np.abs(cells - np.array([RED, BLUE, GREEN, YELLOW])).mean((0, 2)).max() < 40


def encoded(path, options, frames=None):
    "Written by FFmpeg's program, 25 frames a second"
    frames = drawn() if frames is None else frames
    size = f'{frames.shape[2]}x{frames.shape[1]}'
    raw = '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', size, '-r', 25, '-i', '-'
    ffmpeg(*raw, *shlex.split(options), path, input=np.ascontiguousarray(frames).tobytes())
    return path


def decoded(path, square=True):
    "All frames by FFmpeg's program: turned as it does by itself, other pixels made square"
    how = '' if square else 'scale=w=round(iw*sar):h=ih:flags=area,'
    raw = ffmpeg('-i', path, '-an', '-sn', '-dn', '-fps_mode', 'passthrough', '-vf', f'{how}format=rgb24',
                 '-f', 'image2pipe', '-c:v', 'ppm', '-')  # fmt: skip
    frames, at = [], 0
    while at < len(raw):
        _, w, h, _ = raw[at : at + 40].split(maxsplit=4)[:4]
        at += len(b'P6\n%s %s\n255\n' % (w, h))
        n = int(w) * int(h) * 3
        frames.append(np.frombuffer(raw, np.uint8, n, at).reshape(int(h), int(w), 3))
        at += n
    return np.stack(frames)


@dataclass
class Kind:
    make: object  # folder -> file
    encoders: tuple = ()  # that FFmpeg's program needs
    frames: object = None  # the numbers that are shown; None: all
    times: object = None  # seconds of each frame, if the rate varies
    rotation: int = 0
    mirrored: bool = False
    aspect: float = 1
    colour: bool = True
    warns: str = ''


KINDS = {}

YUV420 = '-pix_fmt yuv420p'
HALF = '-vf format=rgba,colorchannelmixer=aa=.5'  # half transparent
OPEN = 'open-gop=1:bframes=4:b-pyramid=normal:keyint=5:scenecut=0'
VP9 = '-c:v libvpx-vp9 -crf 20 -b:v 0'

SIMPLE = f"""
MP4, H.264 with open groups         | mp4   | -c:v libx264 -x264-params {OPEN} {YUV420}
MP4, H.264, BT.709                  | mp4   | -vf scale=out_color_matrix=bt709 -c:v libx264 -colorspace bt709 {YUV420}
MP4, H.264, interlaced              | mp4   | -vf setfield=tff -c:v libx264 -flags +ildct+ilme {YUV420}
WebM, VP9 with alpha                | webm  | {HALF} {VP9} -pix_fmt yuva420p
MOV, ProRes with alpha              | mov   | {HALF} -c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le
MP4, H.264 with B-frames            | mp4   | -c:v libx264 -bf 3 -b_strategy 0 -g 6 -pix_fmt yuv420p
MP4, H.264 4:2:2                    | mp4   | -c:v libx264 -pix_fmt yuv422p
MP4, H.264 4:4:4, odd size          | mp4   | -c:v libx264 -pix_fmt yuv444p | 63x47
MP4, H.264 of 10 bits               | mp4   | -c:v libx264 -pix_fmt yuv420p10le
MP4, H.264, full range              | mp4   | -c:v libx264 -pix_fmt yuvj420p
MP4, H.264, fragments               | mp4   | -c:v libx264 -g 4 -movflags frag_keyframe+empty_moov -pix_fmt yuv420p
MP4, H.264, large, crops its edge   | mp4   | -c:v libx264 -pix_fmt yuv420p | 98x54
MKV, H.264 as RGB                   | mkv   | -c:v libx264rgb -crf 10
MKV, H.264, grey                    | mkv   | -c:v libx264 -pix_fmt gray
MOV, H.264 with a time code         | mov   | -c:v libx264 -timecode 01:00:00:00 -pix_fmt yuv420p
AVI, H.264 with B-frames            | avi   | -c:v libx264 -bf 2 -pix_fmt yuv420p
FLV, H.264                          | flv   | -c:v libx264 -pix_fmt yuv420p
TS, H.264 with B-frames             | ts    | -c:v libx264 -bf 2 -g 6 -pix_fmt yuv420p
H.264 without a container           | h264  | -c:v libx264 -g 6 -pix_fmt yuv420p
MP4, H.265                          | mp4   | -c:v libx265 -x265-params log-level=none:keyint=5 -pix_fmt yuv420p
MKV, H.265 of 10 bits               | mkv   | -c:v libx265 -x265-params log-level=none -pix_fmt yuv420p10le
WebM, VP8                           | webm  | -c:v libvpx -g 6 -b:v 1M
WebM, VP9                           | webm  | -c:v libvpx-vp9 -g 8 -crf 20 -b:v 0
WebM, VP9 4:4:4, odd size           | webm  | {VP9} -pix_fmt yuv444p | 63x47
WebM, VP9 of 10 bits                | webm  | {VP9} -pix_fmt yuv420p10le
MP4, AV1                            | mp4   | -c:v libaom-av1 -cpu-used 8 -crf 20 -pix_fmt yuv420p
WebM, AV1 of 10 bits                | webm  | -c:v libaom-av1 -cpu-used 8 -crf 20 -pix_fmt yuv420p10le
AVI, MPEG-4                         | avi   | -c:v mpeg4 -q:v 3
AVI, MPEG-4 with B-frames           | avi   | -c:v mpeg4 -bf 2 -q:v 3
MP4, MPEG-4, odd size               | mp4   | -c:v mpeg4 -q:v 3 | 63x47
AVI, MS MPEG-4                      | avi   | -c:v msmpeg4 -q:v 3
AVI, Motion JPEG                    | avi   | -c:v mjpeg -q:v 3 -pix_fmt yuvj422p
MOV, Motion JPEG, odd size          | mov   | -c:v mjpeg -q:v 3 -pix_fmt yuvj420p | 63x47
Motion JPEG without a container     | mjpeg | -c:v mjpeg -q:v 3 -pix_fmt yuvj420p
MPEG-PS, MPEG-1                     | mpg   | -c:v mpeg1video -q:v 3
MPEG-PS, MPEG-2 with B-frames       | vob   | -c:v mpeg2video -bf 2 -q:v 3
TS, MPEG-2, interlaced              | ts    | -vf setfield=tff -c:v mpeg2video -flags +ildct+ilme -q:v 3
MXF, MPEG-2                         | mxf   | -c:v mpeg2video -q:v 3 -pix_fmt yuv422p
WMV, Windows Media 2                | wmv   | -c:v wmv2 -q:v 3
FLV, Sorenson                       | flv   | -c:v flv -q:v 3
3GP, H.263                          | 3gp   | -c:v h263 -q:v 3 | 128x96
Ogg, Theora                         | ogv   | -c:v libtheora -q:v 8
MOV, ProRes                         | mov   | -c:v prores_ks -pix_fmt yuv422p10le
MOV, Animation with alpha           | mov   | {HALF} -c:v qtrle -pix_fmt argb
MOV, PNG                            | mov   | -c:v png -pix_fmt rgb24 | 63x47
MOV, CineForm                       | mov   | -c:v cfhd -pix_fmt yuv422p10le
MOV, JPEG 2000                      | mov   | -c:v jpeg2000 -pix_fmt yuv420p
AVI, HuffYUV                        | avi   | -c:v huffyuv -pix_fmt yuv422p
AVI, Ut Video                       | avi   | -c:v utvideo -pix_fmt gbrp
AVI, Cinepak                        | avi   | -c:v cinepak -pix_fmt rgb24
AVI, raw                            | avi   | -c:v rawvideo -pix_fmt bgr24 | 62x47
NUT, raw                            | nut   | -c:v rawvideo -pix_fmt yuv420p
Y4M                                 | y4m   | -pix_fmt yuv420p
MKV, FFV1, grey of 16 bits          | mkv   | -c:v ffv1 -pix_fmt gray16le
MKV, FFV1 with alpha                | mkv   | -vf format=bgra,colorchannelmixer=aa=.5 -c:v ffv1 -pix_fmt bgra
MKV, raw black and white            | nut   | -c:v rawvideo -pix_fmt monow
GIF                                 | gif   | -c:v gif
APNG with alpha                     | apng  | {HALF} -c:v apng -plays 0
DV                                  | dv    | -c:v dvvideo -pix_fmt yuv420p -aspect 4:3 | 720x576
"""

for line in SIMPLE.strip().splitlines():
    name, ending, options, size = (*(s.strip() for s in line.split('|')), f'{W}x{H}')[:4]
    w, h = map(int, size.split('x'))
    encoders = tuple(o for before, o in zip(options.split(), options.split()[1:]) if before == '-c:v')
    grey = any(s in options for s in (' gray', ' mono'))
    KINDS[name] = Kind(
        lambda d, e=ending, o=options, w=w, h=h: encoded(d / f'x.{e}', o, drawn(4 if h > 500 else T, h, w)),
        encoders,
        colour=not grey,
    )
KINDS['DV'].frames, KINDS['DV'].aspect = range(4), 16 / 15
KINDS['3GP, H.263'].aspect = 12 / 11

H264 = '-c:v libx264 -bf 2 -g 6 -pix_fmt yuv420p'
x264 = ('libx264',)


def laid(frames, swapped, upside_down, mirrored):
    "Frames as they are stored, to be shown upright after this turn"
    if mirrored:
        frames = frames[:, :, ::-1]
    if upside_down:
        frames = frames[:, ::-1]
    return frames.swapaxes(1, 2) if swapped else frames


MATRICES = {  # (rotation, mirrored): the matrix, (swapped, upside down, mirrored)
    (90, False): ((0, 1, -1, 0), (1, 0, 1)),
    (180, False): ((-1, 0, 0, -1), (0, 1, 1)),
    (270, False): ((0, -1, 1, 0), (1, 1, 0)),
    (0, True): ((-1, 0, 0, 1), (0, 0, 1)),
    (90, True): ((0, -1, -1, 0), (1, 1, 1)),
    (180, True): ((1, 0, 0, -1), (0, 1, 0)),
    (270, True): ((0, 1, 1, 0), (1, 0, 0)),
}


def turned_kind(rotation, mirrored, ending='mp4', aspect=1, h=H, w=W):
    m, turn = MATRICES[rotation, mirrored]
    sar = f' -vf setsar={aspect}' if aspect != 1 else ''
    num, den = map(int, str(aspect).split('/')) if aspect != 1 else (1, 1)
    seen = num / den

    def make(d):
        f = matrix(encoded(d / 'x.mp4', H264 + sar, laid(drawn(T, h, w), *turn)), *m)
        if ending == 'mp4':
            return f
        ffmpeg('-i', f, '-c', 'copy', d / f'y.{ending}')
        return d / f'y.{ending}'

    return Kind(make, x264, rotation=rotation, mirrored=mirrored, aspect=seen)


for (rotation, mirrored), _ in MATRICES.items():
    KINDS[f'MP4, turned by {rotation}' + ', mirrored' * mirrored] = turned_kind(rotation, mirrored)
KINDS['MKV, turned by 90'] = turned_kind(90, False, 'mkv')
KINDS['MOV, turned by 270'] = turned_kind(270, False, 'mov')
KINDS['MP4, turned by 90, wide pixels'] = turned_kind(90, False, aspect='4/3')
KINDS['MP4, mirrored and turned by 270, wide pixels'] = turned_kind(270, True, aspect='16/11')

for ending, codec, ratio in [
    ('mp4', H264, '64/45'),
    ('mkv', H264, '3/4'),
    ('avi', '-c:v mpeg4 -q:v 3', '12/11'),
    ('webm', '-c:v libvpx-vp9 -crf 20 -b:v 0', '4/3'),
    ('gif', '-c:v gif', '5/4'),
    ('vob', '-c:v mpeg2video -q:v 3 -aspect 16:9', '4/3'),
    ('ts', H264, '40/33'),
]:
    sar = '' if 'aspect' in codec else f'-vf setsar={ratio} '
    num, den = map(int, ratio.split('/'))
    KINDS[f'{ending.upper()}, pixels {ratio}'] = Kind(
        lambda d, e=ending, o=sar + codec: encoded(d / f'x.{e}', o), (codec.split()[1],), aspect=num / den
    )

# Variable rates: half a second at 100 a second, then two a second; times in ms
VARYING = np.array([0, 10, 20, 30, 40, 50, 60, 500, 1000, 1500, 2000, 2600])


def varying(codec, ending, **kwargs):
    return Kind(lambda d: by_av(d / f'x.{ending}', drawn(), codec, times=VARYING, **kwargs), times=VARYING / 1000)


def gif_varying(d):
    images = [Image.fromarray(f) for f in drawn()]
    images[0].save(d / 'x.gif', save_all=True, append_images=images[1:], duration=[*np.diff(VARYING).tolist(), 500])
    return d / 'x.gif'


def copied(kind, ending, *options, before=()):
    "The streams of another kind in another container, or cut"

    def make(d):
        (d / 'from').mkdir()
        ffmpeg(*before, '-i', kind.make(d / 'from'), '-c', 'copy', *options, d / f'y.{ending}')
        return d / f'y.{ending}'

    return make


KINDS['MP4, H.264, variable rate'] = varying('libx264', 'mp4')
KINDS['MP4, H.264, variable rate, no B-frames'] = varying('libx264', 'mp4', options={'bf': '0'})
KINDS['WebM, VP9, variable rate'] = varying('libvpx-vp9', 'webm')
KINDS['MKV, FFV1, variable rate'] = varying('ffv1', 'mkv')
KINDS['GIF, variable rate'] = Kind(gif_varying, times=VARYING / 1000)
for ending in 'ts', 'flv', 'mov':
    KINDS[f'{ending.upper()}, H.264, variable rate'] = Kind(
        copied(KINDS['MP4, H.264, variable rate'], ending), times=VARYING / 1000
    )

PLAIN = Kind(lambda d: encoded(d / 'x.mp4', H264), x264)
TONE = '-f', 'lavfi', '-i', 'sine=duration=1.5'


def with_sound(ending, codec, *options):
    def make(d):
        f = encoded(d / 'x.mp4', H264)
        ffmpeg('-i', f, *TONE, '-c:v', 'copy', '-c:a', codec, *options, d / f'y.{ending}')
        return d / f'y.{ending}'

    return Kind(make, x264)


KINDS['MP4 with sound, longer than the pictures'] = with_sound('mp4', 'aac')
KINDS['MKV with sound in front'] = with_sound('mkv', 'pcm_s16le', '-map', '1', '-map', '0')
KINDS['AVI with sound'] = with_sound('avi', 'pcm_s16le')
KINDS['TS with sound'] = with_sound('ts', 'mp2')
KINDS['MP4, an edit list hides the front'] = Kind(
    copied(PLAIN, 'mp4', before=('-ss', '0.32')), x264, frames=range(8, T)
)
KINDS['MOV, an edit list hides the front'] = Kind(
    copied(PLAIN, 'mov', before=('-ss', '0.12')), x264, frames=range(3, T)
)
KINDS['MP4, pictures begin later than the sound'] = with_sound('mp4', 'aac', '-output_ts_offset', '0.4')
KINDS['MP4, starts at 100 s'] = Kind(copied(PLAIN, 'mp4', '-output_ts_offset', '100'), x264)


def with_cover(ending):
    def make(d):
        Image.fromarray(drawn(1, 240, 320)[0]).save(d / 'cover.png')
        maps = '-map', '1', '-map', '0', '-c', 'copy', '-disposition:v:0', 'attached_pic'
        ffmpeg('-i', encoded(d / 'x.mp4', H264), '-i', d / 'cover.png', *maps, d / f'y.{ending}')
        return d / f'y.{ending}'

    return Kind(make, x264)


KINDS['MP4 with a cover picture'] = with_cover('mp4')


def attached(d):
    Image.fromarray(drawn(1, 240, 320)[0]).save(d / 'cover.png')
    attach = '-attach', d / 'cover.png', '-metadata:s:t', 'mimetype=image/png'
    ffmpeg('-i', encoded(d / 'x.mp4', H264), '-c', 'copy', *attach, d / 'y.mkv')
    return d / 'y.mkv'


KINDS['MKV with an attached picture'] = Kind(attached, x264)


def exif(ending, number):
    "Motion JPEG whose pictures say how to turn them"

    def make(d):
        turn, about = [((1, 0, 1), 6), ((0, 0, 1), 2)][number == 2]
        said = Image.Exif()
        said[0x0112] = about
        for i, f in enumerate(laid(drawn(), *turn)):
            Image.fromarray(f).save(d / f'{i}.jpg', exif=said, quality=95)
        ffmpeg('-r', 25, '-i', d / '%d.jpg', '-c', 'copy', d / f'x.{ending}')
        return d / f'x.{ending}'

    return make


KINDS['AVI, Motion JPEG, turned by EXIF'] = Kind(exif('avi', 6), rotation=90)
KINDS['MOV, Motion JPEG, mirrored by EXIF'] = Kind(exif('mov', 2), mirrored=True)


for codec, ending in ('libvpx', 'webm'), ('libvpx', 'ivf'), ('libvpx-vp9', 'mkv'), ('libvpx-vp9', 'nut'):
    KINDS[f'{ending.upper()}, {codec}, hidden frames'] = Kind(
        lambda d, c=codec, e=ending: with_hidden_frames(d, c, drawn(40), e), (codec,), frames=range(40)
    )


def two_streams(d):
    "The larger is the one that players show"
    small = encoded(d / 'small.mp4', H264, drawn(T, 24, 32))
    ffmpeg('-i', small, '-i', encoded(d / 'x.mp4', H264), '-map', '0', '-map', '1', '-c', 'copy', d / 'y.mkv')
    return d / 'y.mkv'


KINDS['MKV with two video streams'] = Kind(two_streams, x264)


def mdat_claims(d):
    f = encoded(d / 'x.mp4', H264 + ' -movflags +faststart')
    i = f.read_bytes().rfind(b'mdat')
    size = int.from_bytes(f.read_bytes()[i - 4 : i], 'big')
    return patched(f, b'mdat', -4, size + 5000, order='big')


def riff_claims(d):
    f = encoded(d / 'x.avi', '-c:v mpeg4 -q:v 3')
    return patched(f, b'RIFF', 4, f.stat().st_size + 5000)


def dropped(d):
    "AVI has no times: an empty packet stands where a frame is repeated"
    late = "-vf \"setpts='(N+8*gte(N,3))/25/TB'\" -fps_mode passthrough -c:v mpeg4 -q:v 3"
    return encoded(d / 'x.avi', late)


KINDS['MP4 that claims too many bytes'] = Kind(mdat_claims, x264, warns='no frame is missing')
KINDS['AVI that claims too many bytes'] = Kind(riff_claims, warns='no frame is missing')
KINDS['AVI that drops frames'] = Kind(dropped, times=(np.arange(T) + 8 * (np.arange(T) >= 3)) / 25)


@cache
def encoders():
    "Names of the encoders of FFmpeg's program"
    return {l.split()[1] for l in ffmpeg('-encoders').decode().splitlines() if len(l.split()) > 1}


def missing():
    "Kinds that this build of FFmpeg cannot make"
    return [name for name, k in KINDS.items() if not set(k.encoders) <= encoders()]


def test_enough_kinds_can_be_made():
    assert len(KINDS) - len(missing()) >= 40, missing()
    assert len(missing()) <= 4, missing()


def nearest(times, n):
    "Of `n` moments, evenly from the first frame to the last, the frames nearest to them"
    return [int(np.abs(times - m).argmin()) for m in np.linspace(times[0], times[-1], n)]


def packets(path):
    with av.open(str(path)) as c:
        return sum(1 for p in c.demux(video=0) if p.size)


def test_hidden_frames_are_there(tmp_path):
    "Or those kinds would show nothing"
    for name in (k for k in KINDS if 'hidden' in k):
        (d := tmp_path / name).mkdir()
        assert packets(KINDS[name].make(d)) > 40, name


@pytest.mark.parametrize('name', KINDS)
def test_kind(tmp_path, name):
    "B8, B9, B10, C6, C7: all frames as FFmpeg's program shows them, and those wanted by time and by number"
    kind = KINDS[name]
    if name in missing():
        pytest.skip(f'this FFmpeg has no {" or ".join(kind.encoders)}')
    f = kind.make(tmp_path)
    wanted = list(range(T)) if kind.frames is None else list(kind.frames)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        frames = read_frames(f, None)
    assert (kind.warns in str(said[0].message)) if kind.warns else not said, said
    assert numbers(frames) == wanted
    assert upright(frames) or not kind.colour
    same_as_ffmpeg(frames, decoded(f, kind.aspect == 1))
    some = [wanted[i] for i in sample_indices(len(wanted), 5)]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore' if kind.warns else 'error')
        assert numbers(read_frames(f, 5, by='number')) == some
        assert numbers(read_frames(f, 5)) == (some if kind.times is None else nearest(kind.times, 5))
        assert numbers(read_frames(f, 2, start=1, by=2)) == wanted[1:4:2]
        about, times = probe(f), frame_times(f, None)
    assert about == {**about, **probed(kind, frames)}
    assert about['aspect'] == pytest.approx(kind.aspect, rel=1e-2)  # WebM keeps a whole number of pixels
    assert about['seconds'] == pytest.approx(times[-1] + (times[1] - times[0]), abs=1.1)
    if kind.times is not None:
        assert times == pytest.approx(kind.times, abs=0.012)


def probed(kind, frames):
    rate = 'constant' if kind.times is None else 'varies'
    n, h, w, _ = frames.shape
    return dict(frames=n, height=h, width=w, rate=rate, rotation=kind.rotation, mirrored=kind.mirrored)


def same_as_ffmpeg(ours, theirs):
    "Frame by frame"
    assert ours.shape == theirs.shape
    off = [cv2.absdiff(a, b).mean() for a, b in zip(ours, theirs)]
    assert max(off) <= LEVELS, np.round(off, 1)


@pytest.mark.reference
@pytest.mark.parametrize('name', ['weizmann', 'ut_interaction', 'ssv2', 'kth'])
def test_real_files(reference, name):
    "The first file of each class"
    folder = reference / name
    if not folder.is_dir():
        pytest.skip(f'{folder} is not there')
    parts = [folder, *sorted(d for d in folder.iterdir() if d.is_dir())]
    files = [sorted(p for p in d.iterdir() if p.suffix in ('.avi', '.mp4', '.webm')) for d in parts]
    files = [fs[0] for fs in files if fs]
    if not files:
        pytest.skip(f'{folder} holds no video')
    for f in files:
        frames = read_frames(f, None)
        same_as_ffmpeg(frames, decoded(f, abs(probe(f)['aspect'] - 1) < 0.01))
        assert probe(f)['frames'] == len(frames), f.name
        assert np.array_equal(read_frames(f, 16, by='number'), frames[sample_indices(len(frames), 16)])
