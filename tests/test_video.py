"Files as they come: many encoders, sizes and containers (videos.py makes them), damaged ones, and folders of pictures."

import os
import struct
import subprocess
import sys
from fractions import Fraction

import av
import cv2
import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image, ImageOps
from videos import (
    KINDS,
    by_av,
    by_opencv,
    ffmpeg,
    gif,
    jpegs,
    matrix,
    number,
    numbered,
    patched,
    remuxed,
    trimmed,
    turned,
    widened,
    with_hidden_frames,
)

import interpvid.video as video
from interpvid.data.clips import Item, Items, check_items
from interpvid.video import VideoError, frame_times, probe, read_frames, sample_indices, write_video


@pytest.mark.parametrize('T', [1, 2, 15, 16, 17, 160])
@pytest.mark.parametrize('kind', KINDS)
def test_the_right_frames(tmp_path, kind, T):
    f = KINDS[kind](tmp_path / 'x', numbered(T))
    by = 'number' if 'uneven' in kind else 'time'
    assert number(read_frames(f, 16, by=by)) == sample_indices(T, 16).tolist()
    assert number(read_frames(f, None)) == list(range(T))
    if T > 10:
        assert number(read_frames(f, 3, start=5, stop=12, by=by)) == [5, 8, 11]
        assert number(read_frames(f, None, start=T - 3, stop=T + 9)) == [T - 3, T - 2, T - 1]
    assert probe(f)['frames'] == probe(f, decode=True)['frames'] == T
    with pytest.raises(VideoError, match=f'holds {T}'):
        read_frames(f, 4, start=T)


@pytest.mark.parametrize('kind', ['AVI, Motion JPEG', 'MP4, H.264, open groups', 'WebM, VP9'])
def test_large_files_are_read_twice_instead_of_kept(tmp_path, monkeypatch, kind):
    f = KINDS[kind](tmp_path / 'x', numbered(49))
    kept = read_frames(f, 16)
    monkeypatch.setattr(video, 'KEEP', 0)
    assert np.array_equal(read_frames(f, 16), kept)
    assert number(read_frames(f, 3, start=5, stop=12)) == [5, 8, 11]
    assert probe(f, decode=True)['frames'] == 49


@pytest.mark.parametrize('keep', [video.KEEP, 0])
@pytest.mark.parametrize('kind,first', [('MP4, H.264', 8), ('MP4, H.264, open groups', 9)])
def test_packets_that_show_nothing(tmp_path, monkeypatch, kind, first, keep):
    "C7: without its first packet a video starts at the next group: 48 packets, but fewer frames"
    monkeypatch.setattr(video, 'KEEP', keep)
    f = remuxed(KINDS[kind](tmp_path / 'x', numbered(49)), tmp_path / 'y.mkv', {0})
    T = 49 - first
    assert probe(f)['frames'] == probe(f, decode=True)['frames'] == T
    assert number(read_frames(f, None)) == list(range(first, 49))
    assert number(read_frames(f, 5)) == (first + sample_indices(T, 5)).tolist()
    assert (
        number(read_frames(f, None, start=T - 3, stop=48))
        == number(read_frames(f, None, start=T - 3, stop=46))
        == [46, 47, 48]
    )  # an end between the two counts
    with pytest.raises(VideoError, match=f'holds {T}'):
        read_frames(f, 2, start=T + 1, stop=48)


@pytest.mark.parametrize('total', [3, 99])
@pytest.mark.parametrize('kind', ['MP4, H.264', 'AVI, Motion JPEG'])
def test_a_wrong_count_is_noticed(tmp_path, monkeypatch, kind, total):
    init = video._Video.__init__

    def wrong(self, *args):
        init(self, *args)
        self.total = total

    monkeypatch.setattr(video._Video, '__init__', wrong)
    f = KINDS[kind](tmp_path / 'x', numbered(49))
    assert number(read_frames(f, 16)) == sample_indices(49, 16).tolist()
    assert number(read_frames(f, None)) == list(range(49))


@pytest.mark.parametrize('start', [4, 9])
def test_an_edit_list_hides_frames(tmp_path, start):
    f = trimmed(by_av(tmp_path / 'x.mp4', numbered(20), 'libx264', gop=6), start)
    assert number(read_frames(f, None)) == list(range(start, 20))
    assert number(read_frames(f, 5)) == (start + sample_indices(20 - start, 5)).tolist()


@pytest.mark.parametrize('degrees,corner', [(0, (0, 0)), (90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_turned_videos_stand_upright(tmp_path, degrees, corner):
    white = np.zeros((4, 40, 64, 3), np.uint8)
    white[:, :20, :32] = 255  # the upper left quarter
    f = by_av(tmp_path / 'x.mp4', white, 'libx264')
    if degrees:
        turned(f, degrees)
    shape = (64, 40) if degrees % 180 else (40, 64)
    assert (probe(f)['height'], probe(f)['width']) == shape
    for size, resize in (None, 'squish'), ((30, 50), 'squish'), ((30, 50), 'crop'), ((30, 50), 'pad'):
        a = read_frames(f, 2, size, resize)[0]
        h, w = a.shape[:2]
        assert (h, w) == (size or shape)
        quarters = [[a[y, x].mean() > 128 for x in (w // 2 - 6, w // 2 + 6)] for y in (h // 2 - 6, h // 2 + 6)]
        assert np.argwhere(quarters).tolist() == [[c % 2 for c in corner]], (size, resize)


@pytest.mark.parametrize(
    'w,h,codec,pix_fmt,ending',
    [
        (48, 64, 'libx264', 'yuv420p', 'mp4'),
        (33, 47, 'libvpx-vp9', 'yuva420p', 'webm'),
        (47, 33, 'libvpx-vp9', 'yuv444p', 'webm'),
        (33, 64, 'ffv1', 'gray', 'mkv'),
        (64, 33, 'ffv1', 'gray16le', 'mkv'),
        (64, 34, 'libx264', 'yuv420p10le', 'mp4'),
        (40, 30, 'mjpeg', 'yuvj420p', 'avi'),
        (40, 30, 'ffv1', 'bgra', 'mkv'),
        (64, 48, 'prores_ks', 'yuv422p10le', 'mov'),
        (64, 48, 'libsvtav1', 'yuv420p', 'mp4'),
    ],
)
def test_sizes_and_pixels(tmp_path, w, h, codec, pix_fmt, ending):
    os.environ.setdefault('SVT_LOG', '1')
    f = by_av(tmp_path / f'x.{ending}', numbered(9, h, w), codec, pix_fmt)
    a = read_frames(f, 4)
    assert a.shape == (4, h, w, 3)
    assert number(a) == [0, 3, 5, 8]
    grey = np.abs(a.astype(int) - numbered(9, h, w)[[0, 3, 5, 8]])
    assert np.median(grey) < 12  # neither clipped nor shifted, whatever the depth
    assert number(read_frames(f, 4, size=(32, 128))) == [0, 3, 5, 8]


@pytest.mark.parametrize('w,h', [(3, 47), (1, 1), (2, 3)])
def test_tiny_pictures(tmp_path, w, h):
    frames = np.random.default_rng(0).integers(0, 255, (5, h, w, 3), dtype=np.uint8)
    assert np.array_equal(read_frames(by_av(tmp_path / 'x.mkv', frames, 'ffv1', 'bgr0'), None), frames)
    for resize in 'squish', 'crop', 'pad':
        assert read_frames(tmp_path / 'x.mkv', 2, (64, 48), resize).shape == (2, 64, 48, 3)


def test_three_ways_into_a_square(tmp_path):
    "A disc in the middle of a wide picture: squashed it is narrow, cropped and padded it stays round"
    y, x = np.mgrid[:60, :120]
    disc = ((y - 29.5) ** 2 + (x - 59.5) ** 2 < 20**2)[..., None] * np.uint8(255)
    f = by_av(tmp_path / 'x.mkv', np.repeat(np.repeat(disc, 3, 2)[None], 3, 0), 'ffv1', 'bgr0')
    for resize, tall, wide in ('squish', 20, 10), ('crop', 20, 20), ('pad', 10, 10):
        a = read_frames(f, 1, (30, 30), resize)[0, ..., 0] > 128
        assert abs(a.any(1).sum() - tall) <= 1 and abs(a.any(0).sum() - wide) <= 1, resize
        assert np.abs(np.argwhere(a).mean(0) - 14.5).max() <= 0.5, resize
    with pytest.raises(ValueError, match="'fit'"):
        read_frames(f, 1, (30, 30), 'fit')
    with pytest.raises(ValueError, match='frames 3 to 3'):
        read_frames(f, 1, start=3, stop=3)


def test_pictures_of_changing_size(tmp_path):
    parts = [
        by_av(tmp_path / f'{w}.h264', numbered(20, h, w), 'libx264').read_bytes() for h, w in ((48, 64), (96, 128))
    ]
    (f := tmp_path / 'x.h264').write_bytes(b''.join(parts))
    g = jpegs(tmp_path / 'g', numbered(4))
    cv2.imwrite(str(g / '9.jpg'), numbered(1, 96, 128)[0])
    for p in f, g:
        with pytest.raises(VideoError, match='changes within the file: 64×48 and 128×96'):
            read_frames(p)
    assert number(read_frames(f, 4, size=(48, 64))) == [0, 13, 6, 19]  # its second part counts from 0 again


def test_folders(tmp_path):
    f = jpegs(tmp_path / 'f', numbered(12), name='frame{}.jpg')
    for other in '.hidden.jpg', 'notes.txt':
        (f / other).write_text('no picture')
    assert number(read_frames(f, None)) == list(range(12))  # 9, 10, 11: not 1, 10, 11, 12, 2
    whole = (f / 'frame5.jpg').read_bytes()
    for bad in whole[: len(whole) // 2], b'text', b'':
        (f / 'frame5.jpg').write_bytes(bad)
        with pytest.raises(VideoError, match=r'frame5\.jpg: cannot be read as an image'):
            read_frames(f, None)
    (tmp_path / 'none').mkdir()
    with pytest.raises(VideoError, match='none: is a folder without images'):
        read_frames(tmp_path / 'none')
    (f / 'frame5.jpg').unlink()
    Image.new('L', (9000, 9000)).save(f / 'frame5.png')
    with pytest.raises(VideoError, match='9000×9000'):
        read_frames(f, None)


def test_kinds_of_pictures(tmp_path):
    "Palettes, greys of 16 bits (which Pillow clips at 255), alpha"
    for mode in 'L', 'P', 'LA', 'RGBA', 'I;16':
        (d := tmp_path / mode.replace(';', '')).mkdir()
        grey = numbered(1)[0, ..., 0]
        (Image.fromarray(grey.astype(np.uint16) << 8) if mode == 'I;16' else Image.fromarray(grey).convert(mode)).save(
            d / '1.png'
        )
        assert np.array_equal(read_frames(d, 1)[0, ..., 1], grey), mode


def test_no_name_is_an_address(tmp_path, monkeypatch):
    "FFmpeg would take them for protocols and patterns"
    monkeypatch.chdir(tmp_path)
    whole = by_av(tmp_path / 'x.mp4', numbered(5), 'libx264').read_bytes()
    for name in (
        '12:30.mp4',
        'concat:x.mp4',
        'file:y.mp4',
        'a%03d.mp4',
        '-.mp4',
        'a?b#c.mp4',
        'ü 日本.mp4',
        os.fsdecode(b'z\xff.mp4'),
    ):
        try:
            open(name, 'wb').write(whole)
        except OSError:
            continue  # this system has no such names
        assert number(read_frames(name, None)) == list(range(5)), ascii(name)


def test_text_in_a_header_that_is_not_utf8(tmp_path):
    f = by_av(tmp_path / 'x.mp4', numbered(5), 'libx264')
    f.write_bytes(f.read_bytes().replace(b'VideoHandler', b'VideoH\xe4ndler'))
    assert number(read_frames(f, None)) == list(range(5))


def test_a_header_that_asks_for_all_memory(tmp_path):
    b = bytearray(gif(tmp_path / 'x.gif', numbered(5)).read_bytes())
    b[6:10] = struct.pack('<HH', 65535, 65535)
    (tmp_path / 'x.gif').write_bytes(b)
    f = by_av(tmp_path / 'x.mov', numbered(5), 'qtrle', 'rgb24')
    c = bytearray(f.read_bytes())
    i = c.find(b'rle ', c.find(b'stsd'))
    c[i + 28 : i + 32] = struct.pack('>HH', 20000, 20000)
    f.write_bytes(c)
    for bad in 'x.gif', 'x.mov':
        with pytest.raises(VideoError, match=bad):
            read_frames(tmp_path / bad, 4, (32, 32))


def test_a_stream_that_begins_later(tmp_path):
    "Flash: sound behind the 5 MB at the front from which FFmpeg learns what there is; PyAV has no place for it"
    f = by_av(
        tmp_path / 'x.flv',
        np.random.default_rng(0).integers(0, 255, (16, 480, 640, 3), dtype=np.uint8),
        'flv',
        options={'qmin': '1', 'qmax': '1'},
    )
    body = b'\x2f' + b'\xff\xfb\x90\x00' * 20
    tag = b'\x08' + len(body).to_bytes(3, 'big') + bytes(7) + body
    f.write_bytes(f.read_bytes() + tag + len(tag).to_bytes(4, 'big'))
    with pytest.raises(VideoError, match='x.flv: holds a stream that its header does not announce'):
        read_frames(f, 4)


def test_a_packet_that_is_cut_short(tmp_path):
    "Containers that do not say how long they are: what is left would be another clip"
    for codec, ending in ('apng', 'apng'), ('flv', 'flv'):
        f = by_av(tmp_path / f'x.{ending}', numbered(24), codec, 'rgb24' if codec == 'apng' else 'yuv420p')
        b = f.read_bytes()
        f.write_bytes(b[: len(b) * 2 // 3])
        with pytest.raises(VideoError, match='is truncated or damaged'):
            read_frames(f)


def test_a_damaged_frame_spoils_those_behind_it(tmp_path):
    f = KINDS['AVI, Xvid'](tmp_path / 'x', numbered(49))
    b = bytearray(f.read_bytes())
    with av.open(str(f)) as c:
        p = [p for p in c.demux(video=0) if p.size][12]
    i = b.find(bytes(p))
    b[i + len(bytes(p)) // 2 : i + len(bytes(p))] = b'\x55' * (len(bytes(p)) - len(bytes(p)) // 2)
    f.write_bytes(b)
    with pytest.raises(VideoError, match='frame 12 is damaged|cannot be decoded'):
        read_frames(f, 3)  # 0, 24, 48


def test_any_size_comes_back_as_it_went(tmp_path):
    for h, w in (64, 48), (33, 47), (16, 16):
        frames = numbered(8, h, w)
        assert read_frames(write_video(tmp_path / 'x.gif', frames), 8).shape == frames.shape
        assert read_frames(write_video(tmp_path / 'x.mp4', frames), 8, size=(20, 30)).shape == (8, 20, 30, 3)


def test_writing_is_whole_or_not_at_all(tmp_path):
    with pytest.raises(ValueError, match='uint8'):
        write_video(tmp_path / 'x.mp4', numbered(4).astype(float))
    with pytest.raises(ValueError, match=r'\.mov'):
        write_video(tmp_path / 'x.mov', numbered(4))
    assert not list(tmp_path.iterdir())


def test_bytes_after_the_end_of_a_gif_do_no_harm(tmp_path):
    f = write_video(tmp_path / 'x.gif', numbered(5))
    f.write_bytes(f.read_bytes() + b'\n')
    assert number(read_frames(f, None)) == list(range(5))


def test_odd_paces(tmp_path):
    assert len(read_frames(write_video(tmp_path / 'x.mp4', numbered(5), fps=12.5), None)) == 5
    with pytest.raises(ValueError, match='more than 0'):
        write_video(tmp_path / 'x.gif', numbered(5), fps=0)


def test_gif_loops_and_keeps_its_pace(tmp_path):
    about = iio.immeta(write_video(tmp_path / 'x.gif', numbered(4), fps=5))
    assert about['loop'] == 0
    assert about['duration'] == 200


@pytest.mark.parametrize('ending', ['.mp4', '.avi', '.webm', '.gif', '.mkv'])
@pytest.mark.parametrize('T,fps', [(12, 12), (24, 24), (200, 6)])
def test_a_cut_file_is_an_error_that_names_it(tmp_path, ending, T, fps):
    noise = np.random.default_rng(0).integers(0, 255, (T, 48, 64, 3), dtype=np.uint8)
    f = tmp_path / f'x{ending}'
    if ending == '.avi':
        by_opencv(f, noise, 'MJPG')
    elif ending == '.mkv':
        by_av(f, noise, 'ffv1')
    else:
        write_video(f, noise, fps)
    assert len(read_frames(f, None)) == T
    whole = f.read_bytes()
    for share in 0.02, 0.3, 0.5, 0.7, 0.9, 0.98:
        cut = tmp_path / f'cut{share}{ending}'
        cut.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(VideoError, match=f'cut{share}'):
            read_frames(cut)


def sound(path):
    "A second of silence"
    with av.open(str(path), 'w') as c:
        s = c.add_stream('pcm_s16le', rate=8000, layout='mono')
        a = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format='s16', layout='mono')
        a.sample_rate = 8000
        c.mux(s.encode(a))
        c.mux(s.encode())


def test_what_is_no_video(tmp_path):
    (tmp_path / 'empty.avi').touch()
    (tmp_path / 'words.mp4').write_text('no video at all ' * 99)
    sound(tmp_path / 'sound.wav')
    sound(tmp_path / 'sound.mkv')
    (tmp_path / 'art').mkdir()
    Image.fromarray(numbered(1)[0]).save(tmp_path / 'art' / 'cover.png')
    album = '-map', '0', '-map', '1', '-c:v', 'copy', '-c:a', 'aac', '-disposition:v:0', 'attached_pic'
    ffmpeg('-i', tmp_path / 'sound.mkv', '-i', tmp_path / 'art' / 'cover.png', *album, tmp_path / 'album.m4a')
    for bad, why in (
        ('empty.avi', 'empty'),
        ('words.mp4', 'cannot be decoded'),
        ('', 'folder'),
        ('sound.mkv', 'no video stream'),
        ('sound.wav', 'none of AVI'),
        ('album.m4a', 'only a cover picture'),
    ):
        for f in read_frames, probe:
            with pytest.raises(VideoError, match=why):
                f(tmp_path / bad)
    with pytest.raises(FileNotFoundError, match='missing.webm: no such file'):
        read_frames(tmp_path / 'missing.webm')


@pytest.mark.reference
def test_real_files(reference):
    "To the bit what OpenCV decodes from the front"
    for f in [*(reference / 'kth').glob('*.avi'), reference / 'ssv2' / '166766.mp4']:
        every = read_frames(f, None)
        cap, n = cv2.VideoCapture(str(f)), 0
        while (ok := cap.read())[0]:
            assert np.array_equal(every[n], ok[1][..., ::-1]), f'{f.name}, frame {n}'
            n += 1
        assert len(every) == n == probe(f)['frames'], f.name
        assert np.array_equal(read_frames(f, 16), every[sample_indices(n, 16)]), f.name


@pytest.mark.parametrize('says', [0, 2**32 - 1])
def test_an_avi_that_does_not_know_its_size(tmp_path, says):
    "As encoders write it into a pipe"
    f = patched(by_opencv(tmp_path / 'x.avi', numbered(9), 'XVID'), b'RIFF', 4, says)
    assert number(read_frames(f, None)) == list(range(9))


LISTS = {  # texts that FFmpeg would follow to other files
    'ffconcat': 'ffconcat version 1.0\nfile {}\n',
    'm3u8': '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n',
}


def soon(call, *args):
    "What `call` raises, in a process of its own: a hang is killed after a minute and fails"
    code = (
        'import sys\n'
        'from pathlib import Path\n'
        'from interpvid.video import read_frames, probe, VideoError\n'
        f'try: {call}(Path(sys.argv[1]))\n'
        'except VideoError as e: print(e)\n'
    )
    r = subprocess.run([sys.executable, '-c', code, *map(str, args)], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr[-2000:]
    return r.stdout


@pytest.mark.posix
@pytest.mark.parametrize('kind', LISTS)
@pytest.mark.parametrize('target', ['outside', 'itself', 'pipe'])
@pytest.mark.parametrize('name', ['x.mp4', 'x.avi', 'x.m3u8', 'x'])
def test_a_list_of_other_files_is_not_followed(tmp_path, kind, target, name):
    "C1: out of the folder, back to itself without end, or to a pipe that nobody writes into"
    by_av(tmp_path / 'secret.mp4', numbered(9), 'libx264')
    (d := tmp_path / 'data').mkdir()
    os.mkfifo(d / 'pipe.mp4')
    to = {'outside': tmp_path / 'secret.mp4', 'itself': name, 'pipe': 'pipe.mp4'}[target]
    (d / name).write_text(LISTS[kind].format(to))
    for f in read_frames, probe:
        with pytest.raises(VideoError, match=f'{name}: cannot be decoded as a video: it is damaged, or none of AVI'):
            f(d / name)


TEXTS = [('notes.nfo', 'a letter\n' * 999), ('x.txt', 'words'), ('x.sdp', 'v=0\no=- 0 0 IN')]


@pytest.mark.parametrize('name,text', TEXTS)
def test_a_text_is_no_film_of_its_letters(tmp_path, name, text):
    "C1: `notes.nfo` is no film of 640×400"
    (tmp_path / name).write_text(text)
    with pytest.raises(VideoError, match=f'{name}: cannot be decoded as a video'):
        read_frames(tmp_path / name)


@pytest.mark.posix
@pytest.mark.parametrize('call', ['read_frames', 'probe'])
def test_a_pipe_is_not_waited_for(tmp_path, call):
    "C1, C2: a FIFO as video or as picture"
    os.mkfifo(tmp_path / 'x.mp4')
    (tmp_path / 'images').mkdir()
    os.mkfifo(tmp_path / 'images' / '1.png')
    os.symlink('/dev/zero', tmp_path / 'zero.mp4')
    assert 'x.mp4: is not a regular file but a pipe' in soon(call, tmp_path / 'x.mp4')
    assert '1.png: is not a regular file but a pipe' in soon(call, tmp_path / 'images')
    assert 'zero.mp4: is not a regular file' in soon(call, tmp_path / 'zero.mp4')


def test_an_image_runs_no_other_program(tmp_path):
    "Pillow would hand PostScript to Ghostscript, whatever the file is called"
    (tmp_path / '1.png').write_text('%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n')
    with pytest.raises(VideoError, match='1.png: cannot be read as an image'):
        read_frames(tmp_path)


@pytest.mark.parametrize('ending', ['jpg', 'png', 'webp'])
@pytest.mark.parametrize('number', range(1, 10))
def test_pictures_are_turned_as_their_exif_says(tmp_path, ending, number):
    "B8: all eight orientations of EXIF, as Pillow turns them; what is none of them (9) is left as it is"
    pixels = np.kron(np.arange(24).reshape(4, 6) * 10, np.ones((8, 8))).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = number
    Image.fromarray(pixels).save(tmp_path / f'1.{ending}', exif=exif, quality=95, lossless=True)
    upright = np.array(ImageOps.exif_transpose(Image.open(tmp_path / f'1.{ending}')).convert('RGB'))
    assert upright.shape == ((48, 32, 3) if 5 <= number <= 8 else (32, 48, 3))
    assert np.abs(read_frames(tmp_path, 1)[0].astype(int) - upright).max() <= 2
    assert (probe(tmp_path)['height'], probe(tmp_path)['width']) == upright.shape[:2]


@pytest.mark.filterwarnings('ignore:Corrupt EXIF')
def test_damaged_exif_does_no_harm(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(numbered(1)[0]).save(tmp_path / '1.jpg', exif=exif.tobytes()[:14] + b'\xff' * 9)
    assert read_frames(tmp_path, 1).shape == (1, 48, 64, 3)


def test_a_mirrored_video_is_mirrored_back(tmp_path):
    "B8: the display matrix (-1,0,0,1) swaps left and right; it is not a turn by 180 degrees"
    white = np.zeros((4, 40, 64, 3), np.uint8)
    white[:, :20, :32] = 255  # the upper left quarter
    f = matrix(by_av(tmp_path / 'x.mp4', white, 'libx264'), -1, 0, 0, 1)
    a = read_frames(f, 1)[0]
    assert [a[y, x].mean() > 128 for y in (10, 30) for x in (16, 48)] == [False, True, False, False]
    assert {k: probe(f)[k] for k in ('rotation', 'mirrored')} == {'rotation': 0, 'mirrored': True}


def disc(h, w, aspect):
    "(h,w,3): a disc, as it is stored where a pixel is `aspect` as wide as high"
    y, x = np.mgrid[:h, :w]
    inside = (y - (h - 1) / 2) ** 2 + (aspect * (x - (w - 1) / 2)) ** 2 < (0.4 * h) ** 2
    return np.repeat(inside[..., None] * np.uint8(255), 3, 2)


@pytest.mark.parametrize('kind', ['mkv', 'images'])
@pytest.mark.parametrize('aspect', [Fraction(64, 45), Fraction(3, 4)])
def test_pixels_that_are_not_square(tmp_path, kind, aspect):
    "B9: PAL 16:9 (pixels 64:45): a disc is round after `crop`, `pad` and without a size; `squish` squishes as before"
    h, w = 288, 360
    stored = disc(h, w, float(aspect))
    f = wide_pixels(tmp_path / f'x.{kind}', stored, aspect)
    for size, resize in (None, 'squish'), ((96, 96), 'crop'), ((96, 96), 'pad'):
        a = read_frames(f, 1, size, resize)[0, ..., 0] > 128
        assert a.shape == (size or (h, round(w * aspect)))
        assert abs(int(a.any(0).sum()) - int(a.any(1).sum())) <= 2, (resize, a.any(0).sum(), a.any(1).sum())
    a = read_frames(f, 1, (96, 96))[0, ..., 0] > 128
    assert a.any(1).sum() == pytest.approx(0.8 * 96, abs=2)
    assert a.any(0).sum() == pytest.approx(0.8 * h / aspect / w * 96, abs=2)
    about = probe(f)
    assert (about['height'], about['width']) == (h, round(w * aspect))
    assert about['aspect'] == pytest.approx(float(aspect) if kind == 'mkv' else 1)


def wide_pixels(path, stored, aspect):
    "A video of one frame, or a folder of one image as FFmpeg writes it, that says how wide its pixels are"
    made = widened(by_av(path.with_suffix('.made.mkv'), stored[None], 'ffv1', 'bgr0'), aspect)
    if path.suffix == '.mkv':
        return made
    path.mkdir()
    ffmpeg('-i', made, path / '%d.png')
    return path


def test_nearly_square_pixels_are_square(tmp_path):
    "Encoders round: 4319:4320 is 1:1, and no frame is resampled for it"
    frames = numbered(3)
    f = widened(by_av(tmp_path / 'x.mkv', frames, 'ffv1', 'bgr0'), Fraction(4319, 4320))
    assert np.array_equal(read_frames(f, None), frames)


FAST_THEN_SLOW = np.r_[np.arange(60) * 1000 // 60, 1000 + np.arange(18) * 500]  # ms: 60 a second, then 2 a second


@pytest.mark.parametrize('ending,codec', [('mp4', 'libx264'), ('webm', 'libvpx-vp9'), ('mkv', 'ffv1')])
def test_an_uneven_pace_is_sampled_by_time_by_number_or_by_stride(tmp_path, ending, codec):
    "B10: one second at 60 frames a second, nine at two: by time one frame of eight is from the first second"
    f = by_av(tmp_path / f'x.{ending}', numbered(78), codec, times=FAST_THEN_SLOW)
    at = FAST_THEN_SLOW / 1000
    by_time = number(read_frames(f, 8))
    assert (at[by_time] < 1).sum() == 1
    assert np.abs(at[by_time] - np.linspace(0, 9.5, 8)).max() <= 0.25
    assert number(read_frames(f, 8, by='number')) == sample_indices(78, 8).tolist()
    assert number(read_frames(f, 8, by=3, start=5)) == list(range(5, 29, 3))
    assert number(read_frames(f, None, by=10)) == list(range(0, 78, 10))
    assert frame_times(f, 8) == pytest.approx(at[by_time], abs=0.002)
    assert probe(f)['rate'] == 'varies'
    assert probe(f)['seconds'] == pytest.approx(10, abs=0.51)


def test_a_jump_in_the_clock_is_said(tmp_path):
    "B10: a last frame minutes later: by time most frames are the same two"
    f = by_av(tmp_path / 'x.mkv', numbered(20), 'ffv1', times=[*range(0, 760, 40), 600_000])
    with pytest.warns(UserWarning, match=r"x.mkv: its frames come so unevenly .* are 3 different ones; by='number'"):
        read_frames(f, 8)
    assert number(read_frames(f, 8, by='number')) == sample_indices(20, 8).tolist()


@pytest.mark.parametrize('kind', [k for k in KINDS if 'uneven' not in k])
def test_an_even_pace_gives_the_same_frames_by_time_and_by_number(tmp_path, kind):
    "B10: for a constant rate nothing changes"
    f = KINDS[kind](tmp_path / 'x', numbered(49))
    want = sample_indices(49, 16).tolist()
    assert number(read_frames(f, 16, by='time')) == number(read_frames(f, 16, by='number')) == want
    assert probe(f)['rate'] == 'constant'


def test_a_part_in_seconds(tmp_path):
    "D8: `read_frames(start=7.2, stop=8.6)`"
    f = by_av(tmp_path / 'x.mp4', numbered(250, 16, 64), 'libx264')  # ten seconds
    assert number(read_frames(f, None, start=7.2, stop=8.6)) == list(range(180, 215))
    assert number(read_frames(f, 3, start=7.2, stop=8.6)) == [180, 197, 214]
    assert number(read_frames(f, None, start=9.9)) == [247, 248, 249]
    assert number(read_frames(f, None, stop=0.1)) == [0, 1, 2]
    assert number(read_frames(f, None, start=7.21, stop=7.22)) == [180]  # what is on the screen
    assert number(read_frames(f, None, start=7.2, stop=183)) == [180, 181, 182]
    assert number(read_frames(f, None, start=9.0, stop=99.0)) == list(range(225, 250))
    with pytest.raises(VideoError, match='x.mp4: frames from 10.0 s on are asked for, but it lasts 10.000 s'):
        read_frames(f, start=10.0)
    with pytest.raises(ValueError, match='frames 8.6 to 7.2 are none'):
        read_frames(f, start=8.6, stop=7.2)
    with pytest.raises(VideoError, match='no frame lies between'):
        read_frames(f, start=7.2, stop=20)
    with pytest.raises(VideoError, match='images: does not say when its frames are shown; give start and stop'):
        read_frames(jpegs(tmp_path / 'images', numbered(9)), start=1.5)


def test_one_number_is_a_square(tmp_path):
    "D8: `size=112`"
    f = by_av(tmp_path / 'x.mp4', numbered(5), 'libx264')
    assert np.array_equal(read_frames(f, 3, size=112), read_frames(f, 3, size=(112, 112)))
    assert read_frames(f, 3, size=np.int64(20)).shape == (3, 20, 20, 3)
    for size in 0, (112,), (112, 0), (2, 3, 4), 11.2:
        with pytest.raises((ValueError, TypeError), match='size has to be one whole number or'):
            read_frames(f, 3, size=size)


@pytest.mark.parametrize('by', ['seconds', 0, -2, 1.5, None])
def test_only_three_ways_to_sample(tmp_path, by):
    f = by_av(tmp_path / 'x.mp4', numbered(5), 'libx264')
    with pytest.raises(ValueError, match="by has to be 'time', 'number' or a whole number, the stride; not"):
        read_frames(f, by=by)


def test_a_stride_that_a_video_is_too_short_for(tmp_path):
    f = by_av(tmp_path / 'x.mp4', numbered(20), 'libx264')
    assert number(read_frames(f, 10, by=2)) == list(range(0, 20, 2))
    with pytest.raises(VideoError, match=r"x.mp4: 11 frames at a stride of 2 reach to frame 20, but .* by='time'"):
        read_frames(f, 11, by=2)


def test_how_far_apart_the_frames_of_a_film_are(tmp_path):
    "Contract of null results: a film of minutes squeezed into few frames can be said"
    f = by_av(tmp_path / 'x.mkv', numbered(212, 16, 64), 'ffv1', rate=1)
    assert probe(f)['seconds'] == 212
    assert np.diff(frame_times(f, 16)).mean() == pytest.approx(211 / 15)
    assert np.diff(frame_times(f, 5, start=10.0, stop=15.0)).tolist() == [1] * 4
    assert np.isnan(frame_times(jpegs(tmp_path / 'images', numbered(9)), 4)).all()


def test_cut_behind_the_last_frame(tmp_path):
    "C6: without its index an AVI has fewer bytes than it says, but no frame is missing; one frame less is an error"
    f = by_av(tmp_path / 'x.avi', numbered(20), 'mpeg4')
    b = f.read_bytes()
    f.write_bytes(b[: b.find(b'idx1')])
    with pytest.warns(UserWarning, match='no frame is missing'):
        assert number(read_frames(f, None)) == list(range(20))
    f.write_bytes(b[: b.find(b'idx1') - 300])
    with pytest.raises(VideoError, match='x.avi: is truncated'):
        read_frames(f)


def over_claims(path, how):
    "A whole file whose header claims 5000 bytes more"
    b = path.read_bytes()
    if how == 'mdat':
        i = b.rfind(b'mdat')
        return patched(path, b'mdat', -4, int.from_bytes(b[i - 4 : i], 'big') + 5000, order='big')
    if how == 'RIFF':
        return patched(path, b'RIFF', 4, len(b) + 5000)
    i = b.find(b'\x18\x53\x80\x67') + 4  # Matroska's segment; its size has eight bytes
    return patched(path, b'\x18\x53\x80\x67', 4, (1 << 56) + len(b) - i - 8 + 5000, size=8, order='big')


CLAIMS = {
    'mp4': ('mdat', 'libx264', {'movflags': 'faststart'}),
    'avi': ('RIFF', 'mpeg4', {}),
    'mkv': ('segment', 'libx264', {}),
}


@pytest.mark.parametrize('ending', CLAIMS)
def test_a_header_that_claims_too_much(tmp_path, ending):
    "C6: an AVI, MP4 whose `mdat` claims too much, every frame decodes: read, with a warning"
    how, codec, options = CLAIMS[ending]
    f = over_claims(by_av(tmp_path / f'x.{ending}', numbered(20), codec, gop=6, container=options), how)
    with pytest.warns(UserWarning, match='its header claims .* bytes more than there are, but no frame is missing'):
        assert number(read_frames(f, None)) == list(range(20))
    with pytest.warns(UserWarning, match='no frame is missing'):
        assert probe(f)['frames'] == 20


@pytest.mark.parametrize('ending', CLAIMS)
@pytest.mark.parametrize('share', [0.4, 0.7, 0.95])
def test_what_is_cut_stays_an_error(tmp_path, ending, share):
    "C6: truly truncated, with or without the index in front"
    _, codec, options = CLAIMS[ending]
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), dtype=np.uint8)
    f = by_av(tmp_path / f'x.{ending}', noise, codec, gop=6, container=options)
    b = f.read_bytes()
    f.write_bytes(b[: int(share * len(b))])
    for look in read_frames, probe:
        with pytest.raises(VideoError, match=f'x.{ending}: is truncated'):
            look(f)


def waves(n, h=96, w=128):
    "Moving waves below the stripes of `numbered`, which fill the upper sixth"
    t, y, x = np.ogrid[:n, :h, :w]
    grey = 128 + 60 * np.sin((x + t) / 7) + 50 * np.sin((y + x / 3 + t / 2) / 5)
    frames = np.repeat(grey[..., None], 3, 3).astype(np.uint8)
    frames[:, : h // 6] = numbered(n, h // 6, w)
    return frames


@pytest.mark.parametrize('codec,ending', [('libvpx', 'ivf'), ('libvpx-vp9', 'mkv'), ('libvpx-vp9', 'nut')])
@pytest.mark.parametrize('keep', [video.KEEP, 0])
def test_hidden_frames_are_not_counted(tmp_path, monkeypatch, codec, ending, keep):
    "C7: VP9 with hidden frames in packets of their own: `probe` counts frames, and a start behind the last is refused"
    monkeypatch.setattr(video, 'KEEP', keep)
    f = with_hidden_frames(tmp_path, codec, waves(72), ending)

    def told(frames):
        return number(frames[:, :16])

    with av.open(str(f)) as c:
        assert sum(1 for p in c.demux(video=0) if p.size) > 72
    assert probe(f)['frames'] == probe(f, decode=True)['frames'] == 72
    assert told(read_frames(f, 16)) == told(read_frames(f, 16, by='number')) == sample_indices(72, 16).tolist()
    assert told(read_frames(f, None)) == list(range(72))
    items = Items([Item(f, 0, start=72, stop=80), Item(f, 0, start=60, stop=72)], ['a'])
    assert [(i.start, '72' in why) for i, why in check_items(items, progress=False)] == [(72, True)]
    with pytest.raises(VideoError, match='holds 72'):
        read_frames(f, 4, start=72, stop=80)
