"Files as they come: other encoders, other sizes, broken ones."
import cv2, imageio.v3 as iio, numpy as np, pytest

from interpvid.video import VideoError, read_frames, sample_indices, write_video

def numbered(T, h=48, w=64):
    "Each frame carries its number as eight black or white stripes"
    bits = (np.arange(T)[:,None]>>np.arange(8))&1
    stripes = np.repeat(bits, -(-w//8), 1)[:,None,:w,None]
    return np.broadcast_to(np.where(stripes, 235, 20), (T,h,w,3)).astype(np.uint8)
def number(frames):
    "The number that a frame carries, whatever an encoder did to its greys"
    stripes = np.stack([s.mean((1,2,3)) for s in np.array_split(frames.astype(float), 8, axis=2)], 1)
    return ((stripes>128)<<np.arange(8)).sum(1)

def by_opencv(path, frames, codec):
    h,w = frames.shape[1:3]
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, (w,h))
    if not out.isOpened(): pytest.skip(f'this OpenCV writes no {codec}')
    for f in frames: out.write(f[...,::-1])
    out.release()

@pytest.mark.parametrize('T', [1,2,15,16,17,49])
@pytest.mark.parametrize('ending,codec', [('.avi','MJPG'), ('.avi','XVID'), ('.mp4','mp4v'), ('.webm','VP80'), ('.mp4',None), ('.webm',None), ('.gif',None)])
def test_sampled_frames_are_the_right_ones(tmp_path, T, ending, codec):
    f = tmp_path/f'x{ending}'
    if codec: by_opencv(f, numbered(T), codec)
    else: write_video(f, numbered(T))
    assert number(read_frames(f, 16)).tolist()==sample_indices(T, 16).tolist()
    assert len(read_frames(f, None))==T

@pytest.mark.parametrize('h,w', [(64,48), (33,47), (16,16)])
def test_any_size_comes_back_as_it_went(tmp_path, h, w):
    frames = numbered(8, h, w)
    assert read_frames(write_video(tmp_path/'x.gif', frames), 8).shape==frames.shape
    assert read_frames(write_video(tmp_path/'x.mp4', frames), 8, size=(20,30)).shape==(8,20,30,3)

def test_writing_is_whole_or_not_at_all(tmp_path):
    with pytest.raises(ValueError, match='uint8'): write_video(tmp_path/'x.mp4', numbered(4).astype(float))
    with pytest.raises(ValueError, match=r'\.mov'): write_video(tmp_path/'x.mov', numbered(4))
    assert not list(tmp_path.iterdir())

def test_bytes_after_the_end_of_a_gif_do_no_harm(tmp_path):
    f = write_video(tmp_path/'x.gif', numbered(5)); f.write_bytes(f.read_bytes()+b'\n')
    assert number(read_frames(f, None)).tolist()==list(range(5))

def test_odd_paces(tmp_path):
    assert len(read_frames(write_video(tmp_path/'x.mp4', numbered(5), fps=12.5), None))==5
    with pytest.raises(ValueError, match='more than 0'): write_video(tmp_path/'x.gif', numbered(5), fps=0)

def test_gif_loops_and_keeps_its_pace(tmp_path):
    about = iio.immeta(write_video(tmp_path/'x.gif', numbered(4), fps=5))
    assert about['loop']==0 and about['duration']==200

@pytest.mark.parametrize('ending', ['.mp4','.avi','.webm','.gif'])
@pytest.mark.parametrize('T,fps', [(12,12), (24,24), (200,6)])
def test_a_cut_file_is_an_error_that_names_it(tmp_path, ending, T, fps):
    noise = np.random.default_rng(0).integers(0, 255, (T,48,64,3), dtype=np.uint8)
    f = tmp_path/f'x{ending}'
    if ending=='.avi': by_opencv(f, noise, 'MJPG')
    else: write_video(f, noise, fps)
    assert len(read_frames(f, None))==T
    whole = f.read_bytes()
    for share in .02,.3,.5,.7,.9,.98:
        cut = tmp_path/f'cut{share}{ending}'; cut.write_bytes(whole[:int(share*len(whole))])
        with pytest.raises(VideoError, match=f'cut{share}'): read_frames(cut)

def test_what_is_no_video(tmp_path):
    (tmp_path/'empty.avi').touch(); (tmp_path/'words.mp4').write_text('no video at all '*99)
    for bad,why in ('empty.avi','empty'),('words.mp4','cannot be decoded'),('','folder'):
        with pytest.raises(VideoError, match=why): read_frames(tmp_path/bad)
    with pytest.raises(FileNotFoundError, match='missing.webm: no such file'): read_frames(tmp_path/'missing.webm')

@pytest.mark.reference
def test_real_files(reference):
    for f in [*(reference/'kth').glob('*.avi'), reference/'ssv2'/'166766.mp4']:
        every = read_frames(f, None)
        assert np.array_equal(read_frames(f, 16), every[sample_indices(len(every), 16)]), f.name
        cap,n = cv2.VideoCapture(str(f)),0
        while cap.grab(): n += 1
        assert len(every)==n, f.name
