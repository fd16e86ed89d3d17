"Datasets in folders: layouts, oddities, bad lists, and epochs over broken files."

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from interpvid.cli import main
from interpvid.data.cache import FrameCache
from interpvid.data.check import check_folder
from interpvid.data.augment import ClipCrop, ClipLight, ClipMirror, mirror_labels
from interpvid.data.clips import (
    ArrayClips,
    Clips,
    FileClips,
    Item,
    Items,
    as_clips_dataset,
    folder_items,
    inside,
)
from interpvid.data.lists import groups_of, share_out
from interpvid.data.loaders import clip_dls, folder_dls, video_dls
from interpvid.data.kth import KTH_SPLITS, kth_dls, kth_items, kth_sequences, kth_status
from interpvid.data.ssv2 import (
    SSV2_CLASSES,
    ssv2_dls,
    ssv2_items,
    ssv2_label,
    ssv2_paper_classes,
    ssv2_paper_clips,
    ssv2_status,
)
from interpvid.data.synthetic import SYNTHETIC_CLASSES, make_clips
from interpvid.video import probe, read_frames, sample_indices
from videos import by_av, jpegs, number, numbered, turned

QUIET = dict(cache=None, num_workers=0, progress=False)


@pytest.fixture(scope='session')
def clip(tmp_path_factory):
    return by_av(
        tmp_path_factory.mktemp('clip') / 'x.webm',
        numbered(20),
        'libvpx-vp9',
        options={'cpu-used': '8', 'deadline': 'realtime'},
    )


# Something-something


def ssv2(root, clip, train=(), validation=(), at='', old=True, labels=None):
    "A folder in the official layout; `train` and `validation` are (id, template) pairs, and every id gets a video"
    videos = root / '20bn-something-something-v2'
    videos.mkdir(parents=True)
    (root / at).mkdir(exist_ok=True)
    name = lambda n: root / at / (f'something-something-v2-{n}.json' if old else f'{n}.json')
    name('labels').write_text(
        json.dumps(labels if labels is not None else {c: str(k) for k, c in enumerate(SSV2_CLASSES)})
    )
    for s, rows in dict(train=train, validation=validation).items():
        name(s).write_text(json.dumps([dict(id=i, label='doing it', template=t, placeholders=[]) for i, t in rows]))
        for i, _ in rows:
            if i.isdigit():
                shutil.copy(clip, videos / f'{i}.webm')
    return root


CLOSE = 'Closing [something]'


@pytest.mark.parametrize('at,old', [('', True), ('labels', False), ('labels', True), ('annotations', False)])
def test_ssv2_in_all_its_layouts(tmp_path, clip, at, old):
    items = ssv2_items(
        ssv2(
            tmp_path,
            clip,
            [('1', CLOSE), ('22', 'Moving [part] of [something]')],
            [('3', '[Something] falling like a rock'), ('4', 'Stacking [number of] [something]')],
            at,
            old,
        )
    )
    assert [(i.name, i.split, items.classes[i.label]) for i in items] == [
        ('1.webm', 'train', 'Closing something'),
        ('22.webm', 'train', 'Moving part of something'),
        ('3.webm', 'validation', 'Something falling like a rock'),
        ('4.webm', 'validation', 'Stacking number of something'),
    ]


def test_ssv2_test_split_with_and_without_answers(tmp_path, clip):
    root = ssv2(tmp_path, clip, [('1', CLOSE)], [('2', CLOSE)])
    (root / 'something-something-v2-test.json').write_text(json.dumps([dict(id='1'), dict(id='2')]))
    assert [i.label for i in ssv2_items(root, 'test')] == [None, None]
    (root / 'test-answers.csv').write_text("1;Closing something\n2;Holding something\n")
    assert [i.label for i in ssv2_items(root, 'test')] == [5, 16]


def test_ssv2_pictures_and_videos_elsewhere(tmp_path, clip):
    root = ssv2(tmp_path / 'lists', clip, [('1', CLOSE)], [('2', CLOSE)])
    shutil.rmtree(root / '20bn-something-something-v2')
    for k in '12':
        (tmp_path / 'jpegs').mkdir(exist_ok=True)
        jpegs(tmp_path / 'jpegs' / k, numbered(20))
    with pytest.raises(FileNotFoundError, match='holds no videos'):
        ssv2_items(root)
    items = ssv2_items(root, videos=tmp_path / 'jpegs')
    assert number(read_frames(items[1].path, 5)) == sample_indices(20, 5).tolist()


@pytest.mark.parametrize(
    'id,why',
    [
        ('../../x', 'leads out of'),
        ('/etc/passwd', 'leads out of'),
        ('..', 'leads out of|not an id'),
        ('', 'not an id'),
        ('a\0b', 'no such video|not a path'),
        ('9', 'no such video'),
        ('2/../../../x', 'leads out of'),
        ('1', 'listed twice'),
        ('2', 'listed twice'),
    ],
)
def test_ssv2_ids_that_are_none(tmp_path, clip, id, why):
    root = ssv2(tmp_path, clip, [('1', CLOSE)], [('2', CLOSE)])
    f = root / 'something-something-v2-validation.json'
    f.write_text(json.dumps(json.loads(f.read_text()) + [dict(id=id, template=CLOSE)]))
    with pytest.raises(ValueError, match=why):
        ssv2_items(root)
    items = ssv2_items(root, on_error='skip')
    assert len(items) == 2
    assert len(items.left_out) == 1
    assert 'validation.json' in items.left_out[0][0]


@pytest.mark.posix
def test_no_link_leads_out(tmp_path, clip):
    root = ssv2(tmp_path / 'd', clip, [('1', CLOSE)], [('2', CLOSE)])
    secret = shutil.copy(clip, tmp_path / 'secret.webm')
    (root / '20bn-something-something-v2' / '2.webm').unlink()
    (root / '20bn-something-something-v2' / '2.webm').symlink_to(secret)
    with pytest.raises(ValueError, match=r'id 2: .*leads out of'):
        ssv2_items(root)
    shutil.rmtree(root / '20bn-something-something-v2')
    (tmp_path / 'videos').mkdir()
    shutil.copy(clip, tmp_path / 'videos' / '1.webm')
    (root / '20bn-something-something-v2').symlink_to(tmp_path / 'videos')
    with pytest.raises(ValueError, match='leads out of'):
        ssv2_items(root)
    assert len(ssv2_items(root, 'train', videos=tmp_path / 'videos')) == 1  # said so oneself


@pytest.mark.posix
def test_links_in_a_folder_of_ones_own_are_followed(tmp_path, clip):
    "Nobody else's list leads there: subsets are often made of links"
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'x.webm').symlink_to(clip)
    (tmp_path / 'a' / 'y.webm').symlink_to(clip)
    assert len(folder_items(tmp_path)) == 2


def test_ssv2_lists_that_are_wrong(tmp_path, clip):
    root = ssv2(tmp_path, clip, [('1', CLOSE)], [('2', CLOSE)])
    name = lambda n: root / f'something-something-v2-{n}.json'
    keep = {n: name(n).read_text() for n in ('labels', 'train', 'validation')}
    for n in keep:
        name(n).unlink()
        with pytest.raises(FileNotFoundError, match=f'{n}.json'):
            ssv2_items(root)
        name(n).write_text('{"half')
        with pytest.raises(ValueError, match=f'v2-{n}.json: is not a JSON'):
            ssv2_items(root)
        name(n).write_text('[1,2]' if n != 'labels' else '[]')
        with pytest.raises(ValueError, match=f'v2-{n}.json: should'):
            ssv2_items(root)
        name(n).write_text(keep[n])
    name('train').write_text(json.dumps([dict(id='1', template='Juggling [something]')]))
    with pytest.raises(ValueError, match=r"id 1: label 'Juggling"):
        ssv2_items(root)
    name('train').write_text(keep['train'])
    name('labels').write_text(json.dumps({'Closing something': '6'}))
    with pytest.raises(ValueError, match='not numbered as'):
        ssv2_items(root)
    with pytest.raises(FileNotFoundError, match='no such folder'):
        ssv2_items(root / 'nowhere')
    with pytest.raises(ValueError, match="'teach'"):
        ssv2_items(root, 'teach')


def test_ssv2_classes_and_the_papers_selection():
    assert (
        len(SSV2_CLASSES) == 174 and sorted(SSV2_CLASSES, key=str.lower) == SSV2_CLASSES
    )  # the official list is alphabetical
    assert all(ssv2_label(c) == k for k, c in enumerate(SSV2_CLASSES))
    assert ssv2_label('Turning the camera left while filming [something]') == 166
    assert ssv2_paper_classes(7) == [
        36,
        37,
        39,
        45,
        81,
        165,
        168,
    ]
    many = Items(
        [
            Item(Path(f'{k}.webm'), l, s, str(k))
            for k, (l, s) in enumerate(
                (l, s) for l in range(174) for s in ['validation'] * (100 if l == 81 else 200) + ['train'] * 3
            )
        ],
        SSV2_CLASSES,
    )
    chosen = ssv2_paper_clips(many)
    assert len(chosen) == 6 * 150 + 100
    assert {i.split for i in chosen} == {'validation'}
    assert {i.label for i in chosen} == set(ssv2_paper_classes(7))


@pytest.mark.reference
def test_the_real_clip_in_the_official_layout(tmp_path, reference):
    root = ssv2(tmp_path, reference / 'ssv2' / '166766.mp4', [], [])
    shutil.copy(reference / 'ssv2' / '166766.mp4', root / '20bn-something-something-v2')
    for s in 'train', 'validation':
        (root / f'something-something-v2-{s}.json').write_text(
            json.dumps([dict(id='166766', template='Poking [something] so that it falls over')])
        )
    with pytest.raises(ValueError, match='listed twice'):
        ssv2_items(root)
    (root / 'something-something-v2-train.json').write_text('[]')
    (item,) = ssv2_items(root, 'validation')
    assert item.label == 57
    with pytest.warns(UserWarning, match='no clips to train on'):
        dls = ssv2_dls(root, **QUIET)
    x, y = dls.valid.one_batch()
    assert x.shape == (1, 3, 16, 224, 224)
    assert y.tolist() == [57]
    assert dls.vocab[57] == 'Poking something so that it falls over'
    assert np.array_equal(dls.valid_ds.read(0), read_frames(item.path, 16, (224, 224)))


# KTH


@pytest.mark.reference
def test_kth_as_it_is_distributed(reference):
    items = kth_items(reference / 'kth')
    known = items.known
    n = np.array([s.stop - s.start for s in known])
    assert len(known) == 2391
    assert len({s.file for s in known}) == 599
    assert len(items) == 24
    assert len(items.missing) == 593
    assert np.bincount([s.label for s in known]).tolist() == [397, 396, 398, 400, 400, 400]
    assert n.min() == 24
    assert n.max() == 362
    assert round(n.mean()) == 95
    assert (n < 32).sum() == 21
    per_file = np.unique([s.file for s in known], return_counts=True)[1]
    assert (per_file == 3).sum() == 5
    assert (per_file == 4).sum() == 594
    assert sum(KTH_SPLITS['official'][s.subject] == 'train' for s in known) == 760
    assert sum(KTH_SPLITS['official'][s.subject] == 'test' for s in known) == 863
    for i in items:
        every = read_frames(i.path, None)
        assert i.stop <= len(every)
        assert np.array_equal(
            read_frames(i.path, 32, start=i.start, stop=i.stop), every[i.start + sample_indices(i.stop - i.start, 32)]
        )


@pytest.mark.reference
def test_kth_any_subset_works(reference, tmp_path):
    with pytest.warns(UserWarning, match='no clips to validate on'):
        dls = kth_dls(reference / 'kth', bs=4, **QUIET)
    x, y = dls.one_batch()
    assert x.shape == (4, 3, 32, 120, 160)
    assert len(dls.missing) == 593
    assert len(dls.train_ds) == 24
    (tmp_path / 'walking').mkdir()
    shutil.copy(reference / 'kth' / 'person01_walking_d1_uncomp.avi', tmp_path / 'walking')
    shutil.copy(reference / 'kth' / '00sequences.txt', tmp_path)
    one = kth_items(tmp_path, splits='official')
    assert [i.split for i in one] == ['validation'] * 4
    assert '595' not in repr(one)
    assert '598 files are not there' in repr(one)


@pytest.mark.parametrize(
    'line,why',
    [
        ('person01_boxing_d1 frames 1-9, 9', 'not a range'),
        ('person01_juggling_d1 frames 1-9', 'none of the six'),
        ('person26_boxing_d1 frames 1-9', 'subjects are 1 to 25'),
        ('person01_boxing_d1 frames 0-9', 'empty range'),
        ('hello', 'not a file and its frames'),
        ('person01_boxing_d2 frames 1-9\nperson01_boxing_d2 frames 1-9', 'listed twice'),
    ],
)
def test_kth_lists_that_are_wrong(tmp_path, line, why):
    (tmp_path / '00sequences.txt').write_text(line)
    with pytest.raises(ValueError, match=f'00sequences.txt, line .*{why}'):
        kth_sequences(tmp_path / '00sequences.txt')


def test_kth_folders_that_are_wrong(tmp_path, clip):
    with pytest.raises(FileNotFoundError, match='00sequences.txt: no such file'):
        kth_items(tmp_path)
    (tmp_path / '00sequences.txt').write_text('person01_boxing_d1 frames 1-9, 5-40, 30-60')
    with pytest.raises(FileNotFoundError, match='holds no KTH files'):
        kth_items(tmp_path)
    shutil.copy(clip, tmp_path / 'person01_boxing_d1_uncomp.avi')
    items = kth_items(tmp_path)  # its twenty frames end within the second sequence, before the third
    with pytest.raises(ValueError, match='frames 29 to 60'):
        kth_dls(tmp_path, size=(48, 64), **QUIET)
    with pytest.warns(UserWarning, match='validate'):
        dls = kth_dls(tmp_path, size=(48, 64), on_error='skip', **QUIET)
    assert len(dls.train_ds) == 2
    assert number(dls.train_ds.read(1)) == [4 + k for k in sample_indices(16, 32)]
    assert len(items) == 3
    with pytest.raises(ValueError, match="'paper' or 'official'"):
        kth_items(tmp_path, splits='mine')


# folders of one's own


@pytest.fixture
def own(tmp_path, clip):
    for c, k in ('cat', 5), ('dog', 5):
        (tmp_path / 'own' / c).mkdir(parents=True)
        for i in range(k):
            shutil.copy(clip, tmp_path / 'own' / c / f'{i}.webm')
    return tmp_path / 'own'


def test_class_folders(own):
    items = folder_items(own, valid_pct=0.2)
    assert items.counts().to_numpy().tolist() == [[4, 1], [4, 1]]
    assert [i.split for i in folder_items(own)] == [i.split for i in items]
    jpegs(own / 'cat' / 'pictures', numbered(9))
    (own / 'cat' / '.hidden.webm').touch()
    (own / 'cat' / 'words.txt').touch()
    more = folder_items(own)
    assert len(more) == 11
    assert more.left_out == [('cat/words.txt', 'not a video by its ending')]


def test_csv(own):
    csv = own / 'list.csv'
    csv.write_text(
        'path,label,split,group,start,stop\ncat/0.webm,a,train,x,,\ncat/1.webm,b,train,x,5,12\ndog/0.webm,a,valid,y,,\n'
    )
    items = folder_items(csv)
    assert items.classes == ['a', 'b']
    assert [(i.split, i.group, i.start, i.stop) for i in items] == [
        ('train', 'x', 0, None),
        ('train', 'x', 5, 12),
        ('validation', 'y', 0, None),
    ]
    assert number(FileClips(items, 3, None).read(1)) == [5, 8, 11]
    csv.write_text('path,label,group\n' + ''.join(f'{c}/{i}.webm,{c},g{i}\n' for c in ('cat', 'dog') for i in range(5)))
    split = {}
    for i in folder_items(csv, valid_pct=0.4):
        split.setdefault(i.group, set()).add(i.split)
    assert sorted(map(sorted, split.values())) == [['train']] * 3 + [['validation']] * 2  # groups stay whole


@pytest.mark.parametrize(
    'row,why',
    [
        ('../x.webm,a', 'leads out'),
        ('/etc/passwd,a', 'leads out'),
        ('cat/9.webm,a', 'no such file'),
        ('cat/0.webm,', 'empty'),
        ('cat/0.webm,a\ncat/0.webm,b', 'listed twice'),
        ('cat/0.webm,a,someday', 'split'),
    ],
)
def test_csv_lines_that_are_wrong(own, row, why):
    csv = own / 'list.csv'
    csv.write_text('path,label,split\ncat/1.webm,a,train\n' + row + '\n')
    with pytest.raises(ValueError, match=f'list.csv, line .*{why}'):
        folder_items(csv)
    assert len(folder_items(csv, on_error='skip').left_out) == 1


def test_folders_and_tables_that_are_none(tmp_path):
    with pytest.raises(ValueError, match='holds no clips'):
        folder_items(tmp_path)
    with pytest.raises(FileNotFoundError, match='no such folder'):
        folder_items(tmp_path / 'x')
    (tmp_path / 't.csv').write_text('file,label\na,b\n')
    with pytest.raises(ValueError, match="no column 'path'"):
        folder_items(tmp_path / 't.csv')
    (tmp_path / 'b.csv').write_bytes(b'\xff\xfe\0\0garbage')
    with pytest.raises(ValueError, match='b.csv'):
        folder_items(tmp_path / 'b.csv')
    assert inside(tmp_path, 'a/../b') == tmp_path / 'a/../b'


# loaders


def test_before_training_what_cannot_be_read_is_named(own):
    (own / 'cat' / '1.webm').write_bytes(b'nothing')
    whole = (own / 'dog' / '2.webm').read_bytes()
    (own / 'dog' / '2.webm').write_bytes(whole[: len(whole) // 2])
    (own / 'dog' / '3.webm').write_bytes(b'')
    with pytest.raises(
        ValueError,
        match=r'(?s)3 of 10 clips cannot be used.*cat/1.webm: cannot be decoded.*'
        r'dog/2.webm: is truncated.*dog/3.webm: is empty',
    ):
        folder_dls(own, size=(32, 32), **QUIET)
    dls = folder_dls(own, size=(32, 32), on_error='skip', bs=2, **QUIET)
    assert sorted(n for n, _ in dls.left_out) == ['cat/1.webm', 'dog/2.webm', 'dog/3.webm']
    assert len(dls.train_ds) + len(dls.valid_ds) == 7


@pytest.mark.parametrize('workers', [0, 2])
def test_a_video_that_breaks_in_the_middle_does_not_end_the_epoch(own, workers):
    dls = folder_dls(own, valid_pct=0.4, size=(32, 32), bs=1, cache=None, num_workers=workers, progress=False)
    name = dls.valid_ds.items[1].name
    (own / name).write_bytes(b'gone')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        seen = sum(len(y) for _, y in dls.valid)
    assert seen == 3
    assert dls.valid_ds.skipped == [name]


def test_batches_are_the_files_frames_in_the_models_format(own):
    dls = folder_dls(own, n=8, size=(48, 64), bs=4, **QUIET)
    x, y = dls.valid.one_batch()
    assert x.is_contiguous(memory_format=torch.channels_last_3d)
    assert x.dtype == torch.float32
    assert torch.allclose(
        x[0], ((torch.from_numpy(dls.valid_ds.read(0)).float() / 255 - 0.5) / 0.5).permute(3, 0, 1, 2), atol=1e-6
    )


def test_transforms_change_training_clips_only(own):
    from interpvid.data.augment import clip_augment

    ds = ArrayClips(
        np.random.default_rng(0).integers(0, 255, (8, 4, 32, 32, 3), dtype=np.uint8), [0, 1] * 4, ['left', 'right']
    )
    dls = clip_dls(ds, ds, bs=8, item_tfms=clip_augment(ds.classes))
    plain = clip_dls(ds, ds, bs=8)
    assert torch.equal(dls.valid.one_batch()[0], plain.valid.one_batch()[0])
    a, b = dls.train.one_batch()[0], dls.train.one_batch()[0]
    assert a.shape == b.shape
    assert not torch.equal(a.sort(0)[0], b.sort(0)[0])


# the cache


def test_second_epoch_decodes_nothing(own, tmp_path, monkeypatch):
    dls = folder_dls(own, n=4, size=(32, 32), bs=2, cache=tmp_path / 'cache', num_workers=0, progress=False)
    first = [x for x, _ in dls.valid]
    [0 for _ in dls.train]
    import interpvid.data.cache as cache

    def no(*a, **k):
        raise AssertionError('decoded again')

    monkeypatch.setattr(cache, 'read_frames', no)
    n = sum(len(x) for x, _ in dls.train)
    assert n >= len(dls.train_ds) - 1
    assert all(torch.equal(a, b) for a, (b, _) in zip(first, dls.valid))


def test_files_found_good_are_not_looked_at_again(own, tmp_path, monkeypatch):
    import interpvid.data.clips as core

    looked = []
    probe = core.probe
    monkeypatch.setattr(core, 'probe', lambda p, d: looked.append(p.name) or probe(p, d))
    kw = dict(size=(32, 32), cache=tmp_path / 'cache', num_workers=0, progress=False)
    folder_dls(own, **kw)
    assert len(looked) == 10
    folder_dls(own, **kw)
    assert len(looked) == 10
    os.utime(own / 'cat' / '0.webm')
    folder_dls(own, **kw)
    assert len(looked) == 11


@pytest.mark.posix
@pytest.mark.slow
def test_memory_stays_flat_over_ten_thousand_clips(tmp_path):
    import resource

    f = [
        by_av(tmp_path / f'{i}.webm', numbered(10 + i), 'libvpx-vp9', options={'cpu-used': '8', 'deadline': 'realtime'})
        for i in range(4)
    ]
    rss = lambda: int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize() / 1e6
    if not Path('/proc/self/statm').exists():
        pytest.skip('no /proc to read the memory from')
    for cache in None, FrameCache(tmp_path / 'c'):
        ds = FileClips(
            Items([Item(f[i % 4], 0, 'train', str(i)) for i in range(10000)], ['a']), 8, (48, 64), cache=cache
        )
        dl = clip_dls(ds, ds, bs=50, num_workers=0).valid
        at = []
        for k, (x, _) in enumerate(dl):
            if k % 20 == 0:
                at.append(rss())
        assert max(at[2:]) - at[2] < 30, f'memory in MB, every thousand clips: {[round(a) for a in at]}'


# looking over a folder


def test_check_tells_all(own, clip, capsys):
    (own / 'cat' / '1.webm').write_bytes(b'nothing')
    by_av(own / 'dog' / 'short.webm', numbered(5), 'libvpx-vp9')
    assert main(['data', 'check', str(own)]) == 1
    out = capsys.readouterr().out
    assert 'cat/1.webm: cannot be decoded' in out
    assert 'dog/short.webm: 5 frames' in out
    assert 'duplicates' in out
    (own / 'cat' / '1.webm').unlink()
    assert main(['data', 'check', str(own)]) == 0
    assert main(['data', 'check', str(own / 'nowhere')]) == 1
    assert 'no such folder' in capsys.readouterr().err


def test_check_finds_damage_in_the_middle_only_by_decoding(tmp_path):
    (tmp_path / 'a').mkdir()
    f = by_av(
        tmp_path / 'a' / 'x.mp4',
        np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), dtype=np.uint8),
        'libx264',
        options={'crf': '10'},
        gop=5,
    )
    b = bytearray(f.read_bytes())
    m = b.find(b'mdat')
    for k in range(m + len(b) // 3, m + len(b) // 3 + 4000):
        b[k] = 255
    f.write_bytes(b)
    assert check_folder(tmp_path, progress=False).ok
    assert not check_folder(tmp_path, decode=True, progress=False).ok


def test_check_of_ssv2_and_kth(tmp_path, clip):
    root = ssv2(tmp_path / 's', clip, [('1', CLOSE), ('5', 'Juggling [something]')], [('2', CLOSE)])
    (root / '20bn-something-something-v2' / '2.webm').unlink()
    r = check_folder(root, progress=False)
    assert r.layout == 'ssv2'
    assert len(r.missing) == 1
    assert 'id 2' in r.missing[0]
    assert 'Juggling' in r.left_out[0][1]
    assert not r.ok
    k = tmp_path / 'k'
    k.mkdir()
    (k / '00sequences.txt').write_text('person01_boxing_d1 frames 1-9, 5-40\nperson02_boxing_d1 frames 1-50\n')
    shutil.copy(clip, k / 'person01_boxing_d1_uncomp.avi')
    r = check_folder(k, progress=False)
    assert r.layout == 'kth'
    assert r.missing == ['person02_boxing_d1']
    assert 'holds 20' in r.short[1][1]
    assert r.ok


def test_a_slice_of_items_is_items(own):
    items = folder_items(own)
    assert items[:3].classes == items.classes
    assert len(FileClips(items[:3], 4, (8, 8))) == 3


def test_workers_are_left_out_when_nothing_is_left_to_decode(own, tmp_path):
    dls = folder_dls(
        own,
        valid_pct=0.4,
        n=4,
        size=(32, 32),
        bs=2,
        cache=tmp_path / 'cache',
        num_workers=2,
        progress=False,
        device='cpu',
    )
    first = torch.cat([x for x, _ in dls.valid])
    assert dls.valid.fake_l.num_workers == 2
    assert dls.valid_ds.all_kept
    second = torch.cat([x for x, _ in dls.valid])
    assert dls.valid.fake_l.num_workers == 0
    assert torch.equal(first, second)
    assert not dls.train_ds.all_kept


def test_kth_batches_are_mixed(tmp_path):
    "Sequences of one person stay in one split, and are shuffled like any others"
    ds = FileClips(
        Items([Item(Path('x'), k // 40, 'train', str(k), f'person{k // 10}') for k in range(240)], list('abcdef')),
        4,
        (8, 8),
    )
    from interpvid.data.loaders import ClipDL

    idxs = ClipDL(ds, bs=8, shuffle=True).get_idxs()
    assert np.mean([len(set(ds.labels[idxs[i : i + 8]])) for i in range(0, 240, 8)]) > 3


def test_training_goes_on_at_full_size_over_broken_videos(own):
    dls = folder_dls(own, size=(32, 32), bs=8, **QUIET)
    (own / dls.train_ds.items[0].name).write_bytes(b'gone')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        assert [len(y) for _, y in dls.train] == [8]
        assert len(dls.train_ds.skipped) == 1
    assert 0 not in dls.train.get_idxs()
    assert 0 in folder_dls(own, valid_pct=0.4, size=(32, 32), on_error='skip', **QUIET).valid.get_idxs()


@pytest.mark.parametrize(
    'row,why',
    [
        ('cat/0.webm,a,,-5,', 'are none'),
        ('cat/0.webm,a,,10,5', 'are none'),
        ('cat/0.webm,a,,x,5', 'not the number of a frame'),
    ],
)
def test_csv_ranges_that_are_none(own, row, why):
    (own / 'l.csv').write_text('path,label,split,start,stop\n' + row + '\n')
    with pytest.raises(ValueError, match=f'l.csv, line 2: .*{why}'):
        folder_items(own / 'l.csv')


@pytest.mark.parametrize('template', [None, ['Closing something'], 5, {}])
def test_ssv2_templates_that_are_none(tmp_path, clip, template):
    root = ssv2(tmp_path, clip, [('1', CLOSE)], [('2', CLOSE)])
    (root / 'something-something-v2-train.json').write_text(json.dumps([dict(id=1, template=template)]))
    with pytest.raises(ValueError, match='id 1: has no template'):
        ssv2_items(root)


def test_ssv2_validates_on_its_test_split_and_mirrors_among_chosen_classes(tmp_path, clip):
    root = ssv2(tmp_path, clip, [('1', 'Pushing [something] from left to right'), ('2', CLOSE)], [])
    (root / 'something-something-v2-test.json').write_text(json.dumps([dict(id='1')]))
    (root / 'something-something-v2-train.json').write_text(json.dumps([dict(id=2, template=CLOSE)]))
    (root / 'test-answers.csv').write_text('1;Pushing something from left to right\n')
    assert len(ssv2_dls(root, size=(8, 8), valid='test', **QUIET).valid_ds) == 1
    from interpvid.data.augment import ClipMirror

    x = torch.arange(48, dtype=torch.uint8).view(1, 4, 4, 3)
    for among, label, out in (None, 93, 94), ([93], 93, 93), (None, 5, 5), (None, -1, -1):
        y = ClipMirror(SSV2_CLASSES, p=1, among=among)((x, torch.tensor(label)), split_idx=0)
        assert int(y[1]) == out
        assert torch.equal(y[0], x.flip(2) if label in (5, 93) and among is None else x)


@pytest.mark.posix
def test_links_among_pictures_do_not_lead_out(tmp_path, clip):
    root = ssv2(tmp_path / 'd', clip, [('1', CLOSE)], [('2', CLOSE)])
    jpegs(tmp_path / 'secret', numbered(3))
    (root / '20bn-something-something-v2' / '2.webm').unlink()
    d = jpegs(root / '20bn-something-something-v2' / '2', numbered(3))
    (d / '00004.jpg').symlink_to(tmp_path / 'secret' / '00001.jpg')
    with pytest.raises(ValueError, match='id 2: .*leads out of'):
        ssv2_items(root)


@pytest.mark.posix
def test_check_agrees_with_the_loaders(tmp_path, clip):
    root = ssv2(tmp_path / 's', clip, [('1', CLOSE)], [('1', CLOSE)])
    assert 'listed twice' in str(check_folder(root, progress=False))
    assert not check_folder(root, progress=False).ok
    (root / 'something-something-v2-validation.json').unlink()
    assert 'validation.json: this list is not there' in str(check_folder(root, progress=False))
    (tmp_path / 'o').mkdir()
    (tmp_path / 'o' / 'cat').symlink_to(clip.parent)
    assert check_folder(tmp_path / 'o', progress=False).ok
    k = tmp_path / 'k'
    k.mkdir()
    (k / '00sequences.txt').write_text('person01_boxing_d1 frames 1-9, 30-60\n')
    shutil.copy(clip, k / 'person01_boxing_d1_uncomp.AVI')
    r = check_folder(k, progress=False)
    assert not r.ok
    assert 'starts at frame 30' in str(r)


# one base of clips


@pytest.fixture
def sets(own):
    "Four clips of each kind of `Clips`"
    frames = np.random.default_rng(0).integers(0, 255, (4, 12, 32, 32, 3), dtype=np.uint8)
    return {
        'array': ArrayClips(frames, [0, 1, 0, 1], ['a', 'b']),
        'frames alone': as_clips_dataset(frames),
        'files': FileClips(folder_items(own)[:4], 12, (32, 32)),
        'drawn': make_clips(4, size=32, T=12, progress=False),
    }


KINDS = 'array', 'frames alone', 'files', 'drawn'


@pytest.mark.parametrize('kind', KINDS)
def test_all_clips_answer_the_same_questions(sets, kind):
    clips = sets[kind]
    assert len(clips) == len(clips.labels) == len(clips.names) == len(clips.groups) == 4
    frames, label = clips[1]
    assert frames.shape == (12, 32, 32, 3)
    assert frames.dtype == torch.uint8
    assert int(label) == clips.labels[1]
    assert np.array_equal(clips.take([1, 3])[0], frames)
    assert clips.skipped == []
    assert not clips.broken.any()
    assert set(clips.truth(0)) == ({'event', 'boxes', 'acting', 'camera'} if kind == 'drawn' else set())
    assert (clips.reversed_labels is None) == (kind != 'drawn')
    assert json.dumps(clips.key)


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_skipped_is_said_once_and_remembered(sets, kind):
    clips = sets[kind]
    with pytest.warns(UserWarning, match='left out: gone') as caught:
        clips.skip(2, 'gone')
        clips.skip(2, 'gone')
    assert len(caught) == 1
    assert clips.skipped == [clips.names[2]]


PARTS = [([3, 1], [3, 1]), (np.array([False, True, False, True]), [1, 3]), (slice(1, None, 2), [1, 3]), ([], [])]


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('which,indices', PARTS)
def test_a_part_of_a_set_is_a_set_of_the_same_kind(sets, kind, which, indices):
    clips = sets[kind]
    part = clips.subset(which)
    assert type(part) is type(clips)
    assert len(part) == len(indices)
    assert part.labels.tolist() == clips.labels[indices].tolist()
    assert part.names == [clips.names[i] for i in indices]
    for k, i in enumerate(indices):
        assert np.array_equal(part.read(k), clips.read(i))
        assert str(part.truth(k)) == str(clips.truth(i))
    assert part.key != clips.key
    assert len(clips) == 4
    assert len(clips.new_empty()) == 0


def test_the_key_of_files_goes_by_their_names_and_bytes(own, tmp_path):
    of = lambda root, n=4: FileClips(folder_items(root, valid_pct=0), n, (32, 32)).key
    key = of(own)
    assert of(own) == key
    assert of(own, n=5) != key
    shutil.copytree(own, tmp_path / 'moved')  # keeps the times of change
    assert of(tmp_path / 'moved') == key
    with open(own / 'cat' / '0.webm', 'ab') as f:
        f.write(b'x')
    assert of(own) != key


@pytest.mark.parametrize(
    'labels,classes,why',
    [
        ([0.5, 1], ['a', 'b'], 'whole numbers'),
        ([0, 1], 'ab', 'list of names'),
        ([0], ['a', 'b'], r'\(2,\), one for each clip'),
        ([0, -1], ['a', 'b'], 'run from -1'),
        ([0, 2], ['a', 'b'], 'run from 0 to 2, but there are 2 classes'),
    ],
)
def test_labels_that_are_none(labels, classes, why):
    with pytest.raises(ValueError, match=why):
        ArrayClips(np.zeros((2, 4, 8, 8, 3), np.uint8), labels, classes)


@pytest.mark.parametrize('module', ['clips', 'cache', 'ssv2', 'kth', 'check', 'synthetic'])
def test_datasets_load_no_fastai(module):
    code = (
        f'import sys, interpvid.data.{module}, interpvid.video\n'
        "print([m for m in sys.modules if m.split('.')[0] in ('fastai', 'fasttransform')][:3])"
    )
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
    assert r.returncode == 0, r.stderr[-1500:]
    assert r.stdout.strip() == '[]'


# enough to train on


def test_a_folder_with_train_alone_is_said_when_it_is_loaded(own, tmp_path):
    (tmp_path / 'half').mkdir()
    shutil.move(own, tmp_path / 'half' / 'train')
    with pytest.warns(UserWarning, match='no clips to validate on.*valid/'):
        dls = folder_dls(tmp_path / 'half', size=(32, 32), **QUIET)
    assert len(dls.train_ds) == 10
    assert len(dls.valid_ds) == 0
    dls = folder_dls(tmp_path / 'half' / 'train', size=(32, 32), **QUIET)
    assert len(dls.train_ds) == 8
    assert len(dls.valid_ds) == 2


@pytest.mark.posix
def test_a_table_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'list.csv')
    code = (
        'import sys\n'
        'from interpvid.data.clips import folder_items\n'
        'for a,k in ((sys.argv[1],dict(csv="list.csv")), (sys.argv[1]+"/list.csv",{})):\n'
        '    try: folder_items(a, **k)\n'
        '    except ValueError as e: print(e)\n'
    )
    r = subprocess.run([sys.executable, '-c', code, tmp_path], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr[-1500:]
    assert r.stdout.count('list.csv: is not a regular file but a pipe') == 2


UP, DOWN = 'Moving [something] up', 'Moving [something] down'


def test_ssv2_status(tmp_path, clip, monkeypatch):
    monkeypatch.setenv('INTERPVID_CACHE', str(tmp_path / 'cache'))
    train = [(str(i), t) for i, t in enumerate([UP, DOWN, CLOSE] * 4)]
    root = ssv2(tmp_path / 's', clip, train, [('20', DOWN), ('21', UP), ('22', CLOSE)])
    status = ssv2_status(root)
    assert status.enough
    assert status.missing == ''
    assert status.explained == ssv2_paper_classes(7)
    assert [i.name for i in status.items] == ['20.webm', '21.webm', '22.webm']
    videos = root / '20bn-something-something-v2'
    for i in range(2):  # of 15 listed clips
        (videos / f'{i}.webm').unlink()
    status = ssv2_status(root)
    assert not status.enough
    assert '2 of 15 listed clips are not there' in status.missing
    # only classes that the built-in clips have, labelled as these
    assert status.items.classes == SYNTHETIC_CLASSES
    assert [SYNTHETIC_CLASSES[i.label] for i in status.items] == ['Moving something down', 'Moving something up']
    assert status.explained == list(range(1, 12))
    (videos / '21.webm').write_bytes(b'nothing')
    assert '1 clips cannot be read: 21.webm' in ssv2_status(root).missing
    (videos / '20.webm').unlink()
    with pytest.raises(ValueError, match='too little is there to train on'):
        ssv2_status(root)
    (videos / '22.webm').unlink()
    with pytest.raises(ValueError, match='nothing to evaluate on'):
        ssv2_status(root)


def test_kth_status(tmp_path, clip, monkeypatch):
    monkeypatch.setenv('INTERPVID_CACHE', str(tmp_path / 'cache'))
    root = tmp_path / 'k'
    root.mkdir()
    people = 1, 2, 18
    lines = [f'person{p:02d}_boxing_d{d} frames 1-9, 10-20' for p in people for d in (1, 2)]
    (root / '00sequences.txt').write_text('\n'.join(lines))
    for p in people:
        for d in 1, 2:
            shutil.copy(clip, root / f'person{p:02d}_boxing_d{d}_uncomp.avi')
    status = kth_status(root)
    assert status.enough
    assert status.missing == ''
    assert status.explained == list(range(6))
    assert {i.group for i in status.items} == {'person18'}
    assert len(status.items) == 4
    (root / 'person01_boxing_d1_uncomp.avi').unlink()
    status = kth_status(root)
    assert not status.enough
    assert '1 of the 6 files that its list names are not there (person01_boxing_d1)' in status.missing
    for d in 1, 2:
        (root / f'person18_boxing_d{d}_uncomp.avi').unlink()
    status = kth_status(root)
    assert not status.enough
    assert 'stand in for them (subject 1, 2)' in status.missing
    assert {i.group for i in status.items} == {'person01', 'person02'}


# lists, groups and splits


def empty(root, *names):
    "Empty files: listing opens none"
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def split_by_group(items):
    "group -> the splits that its clips are in"
    found = {}
    for i in items:
        found.setdefault(i.group, set()).add(i.split)
    return found


UCF_CLASSES = 'Archery', 'Bowling', 'Diving'
UCF = [f'{c}/v_{c}_g{g:02d}_c{k:02d}.avi' for c in UCF_CLASSES for g in range(1, 11) for k in (1, 2, 3)]


def test_groups_of_ucf101_stay_in_one_split(tmp_path):
    "B15: `folder_dls` on UCF-101's layout had the same group in training and validation"
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        items = folder_items(empty(tmp_path, *UCF))
    assert len(items) == 90
    assert split_by_group(items).keys() == {f'g{g:02d}' for g in range(1, 11)}
    assert all(len(s) == 1 for s in split_by_group(items).values())
    assert items.counts().to_numpy().tolist() == [[24, 6]] * 3
    other = folder_items(tmp_path, seed=1)
    assert [i.split for i in other] != [i.split for i in items]
    assert folder_items(tmp_path, groups=False)[0].group == ''


@pytest.mark.parametrize(
    'name,group',
    [
        ('v_Archery_g01_c02.avi', 'g01'),
        ('g20_handshaking_55.mp4', 'g20'),
        ('person01_boxing_d1_uncomp.avi', 'person01'),
        ('S001C002P003R002A013_rgb.avi', 'P003'),
        ('April_09_brush_hair_u_nm_np1_ba_goo_0.avi', 'April_09_brush_hair'),
        ('0wR5jVB-WPk_000417_000427.mp4', '0wR5jVB-WPk'),
        ('subject-7 jump.mov', 'subject-7'),
        ('IMG_0012.mp4', ''),
        ('walking_07.mp4', ''),
        ('G0012345.mp4', ''),
        ('VID_20240102_101112.mp4', ''),
        ('dogs1234.mp4', ''),
    ],
)
def test_groups_that_names_say(name, group):
    "B15: names of datasets that people have; names of cameras say nothing"
    other = name[:-5] + ('8' if name[-5] == '9' else '9') + name[-4:] if not group else name.replace('.', '_.')
    assert groups_of([name, name if group else other]) == [group] * 2


def test_a_pattern_of_ones_own(tmp_path):
    "B15: a pattern, or a function, says which clips belong together"
    names = [f'{c}/{who} {k}.mov' for c in ('jump', 'run') for who in ('anna', 'ben', 'eva', 'tom') for k in (1, 2)]
    root = empty(tmp_path, *names)
    for groups in r'/(\w+) \d', lambda name: Path(name).name.split()[0]:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            items = folder_items(root, valid_pct=0.25, groups=groups)
        assert split_by_group(items).keys() == {'anna', 'ben', 'eva', 'tom'}
        assert items.counts().to_numpy().tolist() == [[6, 2]] * 2
    with pytest.raises(ValueError, match='matches none of the names, such as .jump/anna 1.mov'):
        folder_items(root, groups=r'g\d+')
    with pytest.raises(ValueError, match='not a regular expression'):
        folder_items(root, groups='(')
    with pytest.warns(UserWarning, match='no group for 4 of 16 clips'):
        folder_items(root, groups='(anna|ben|tom)')


@pytest.mark.parametrize(
    'names',
    [
        ['jump/anna 1.mov', 'jump/anna 2.mov', 'jump/ben 1.mov', 'jump/ben 2.mov'],
        ['jump/holiday_part1.mp4', 'jump/holiday_part2.mp4', 'run/x.mp4', 'run/y.mp4'],
        ['jump/film-cut-01.mp4', 'jump/film-cut-02.mp4', 'jump/a.mp4'],
    ],
)
def test_cuts_of_one_film_without_a_group_are_said(tmp_path, names):
    "B15: a warning where files look like cuts of one film, but no group is known"
    with pytest.warns(UserWarning, match='look like cuts of one film .*groups=') as caught:
        folder_items(empty(tmp_path, *names))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        folder_items(tmp_path, groups=False)


PHONES = 'IMG_{:04d}.mp4', 'VID_20240101_12{:04d}.mp4', 'run_{}.mp4', '{}.mp4', 'clip{}.mp4', 'PXL_{}.mp4'


@pytest.mark.parametrize('name', PHONES)
def test_mere_numbers_do_not_look_like_cuts(tmp_path, name):
    "B15: no false alarm on the names of phones"
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        folder_items(empty(tmp_path, *(f'{c}/{name.format(k)}' for c in ('run', 'sit') for k in range(8))))


def test_folders_of_videos_in_a_class_are_groups(tmp_path):
    "Layout of UCF-11: basketball/v_shooting_01/v_shooting_01_01.avi"
    names = [f'{c}/film {g}/{k}.avi' for c in 'ab' for g in range(4) for k in range(2)]
    items = folder_items(empty(tmp_path / 'd', *names), valid_pct=0.25)
    assert split_by_group(items).keys() == {f'film {g}' for g in range(4)}
    assert all(len(s) == 1 for s in split_by_group(items).values())
    empty(tmp_path / 'e', 'films/a/1.mp4', 'films/b/2.mp4', 'lists/train.txt')
    with pytest.raises(ValueError, match=r"holds one folder with videos, 'films'.*'a'; if these are the classes, take"):
        folder_items(tmp_path / 'e')


# sharing out


def test_each_class_gets_its_share_of_unequal_groups():
    "Groups × classes, as unequal as they come: no group is torn, and no class goes without where it has two groups"
    rng = np.random.default_rng(0)
    for _ in range(40):
        k, g = rng.integers(1, 5), rng.integers(2, 9)
        labels, groups = [], []
        for group in range(g):
            for label in rng.choice(k, rng.integers(1, k + 1), replace=False):
                n = int(rng.integers(1, 12))
                labels += [f'class {label}'] * n
                groups += [f'g{group}'] * n
        valid = share_out(labels, groups, [str(i) for i in range(len(labels))], 0.2, seed=int(rng.integers(99)))
        of = {}
        for label, group, v in zip(labels, groups, valid):
            of.setdefault(group, set()).add(v)
        assert all(len(s) == 1 for s in of.values())
        for label in set(labels):
            assert not all(v for l, v in zip(labels, valid) if l == label)  # something is left to train on


def test_groups_of_one_class_each_are_shared_within_it():
    labels = [c for c in 'ab' for _ in range(20)]
    groups = [f'{c}{i // 2}' for c in 'ab' for i in range(20)]
    valid = share_out(labels, groups, [str(i) for i in range(40)], 0.2)
    assert [valid[:20].sum(), valid[20:].sum()] == [4, 4]


@pytest.mark.parametrize(
    'names,said',
    [
        (['a/g01_1.mp4', 'a/g01_2.mp4', 'b/g01_3.mp4'], 'nothing is kept to validate on: all clips are of one group'),
        (['a/1.mp4', 'a/2.mp4', 'b/3.mp4'], 'no clips of b to validate on .1 of 2 classes.'),
        (['a/1.mp4', 'b/3.mp4'], 'nothing is kept to validate on: no class has two clips'),
        (['train/a/1.mp4', 'train/b/2.mp4', 'valid/a/3.mp4'], 'no clips of b to validate on'),
        (['train/a/1.mp4', 'valid/a/2.mp4', 'valid/b/3.mp4'], 'no clips of b to train on'),
        (['a/1.mp4', 'a/2.mp4', 'b/notes.txt'], 'no clips at all of b'),
        (['train/a/x_g01_c1.mp4', 'valid/a/x_g01_c2.mp4'], r'clips of one group \(g01\) are in training as well as'),
        ([f'a/g{g}_{k}.mp4' for g, n in ((1, 2), (2, 9)) for k in range(n)] + ['b/1.mp4', 'b/2.mp4'], None),
    ],
)
def test_what_a_split_lacks_is_said(tmp_path, names, said):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        items = folder_items(empty(tmp_path, *names))
    if said:
        assert any(re.search(said, note) for note in items.notes), items.notes
        assert [str(w.message).split(': ', 1)[1] for w in caught] == items.notes


def test_a_group_follows_the_split_that_a_list_gives_a_part_of_it(tmp_path):
    empty(tmp_path, *(f'{i}.mp4' for i in range(4)))
    (tmp_path / 'l.csv').write_text(
        'path,label,split,group\n0.mp4,a,valid,x\n1.mp4,a,,x\n2.mp4,a,train,y\n3.mp4,a,,y\n'
    )
    assert [i.split for i in folder_items(tmp_path / 'l.csv')] == ['validation', 'validation', 'train', 'train']


@pytest.mark.posix
def test_parts_of_one_file_stay_together(tmp_path):
    "B16: also under two ways to write its path, and through a link"
    empty(tmp_path, 'a.mp4', 'b.mp4', 'c.mp4', 'sub/x')
    (tmp_path / 'link.mp4').symlink_to(tmp_path / 'a.mp4')
    rows = ['a.mp4,0,9', 'sub/../a.mp4,9,20', 'link.mp4,20,30', 'b.mp4,0,9', 'b.mp4,9,20', 'c.mp4,0,9', 'c.mp4,9,20']
    (tmp_path / 'l.csv').write_text('path,start,stop,label\n' + ''.join(f'{r},{"k"}\n' for r in rows))
    for seed in range(6):
        items = folder_items(tmp_path / 'l.csv', valid_pct=0.4, seed=seed)
        assert {i.split for i in items} == {'train', 'validation'}
        assert all(len({i.split for i in items[k]}) == 1 for k in (slice(0, 3), slice(3, 5), slice(5, 7)))
    (tmp_path / 'l.csv').write_text('path,label,split,start,stop\na.mp4,k,train,0,9\nsub/../a.mp4,k,valid,9,20\n')
    with pytest.warns(UserWarning, match=r'parts of one file \(a.mp4\) are in training as well as in validation'):
        folder_items(tmp_path / 'l.csv')


@pytest.mark.posix
@pytest.mark.parametrize('again', ['sub/../a.mp4', './a.mp4', 'sub//../a.mp4', 'link.mp4', 'folder/a.mp4', 'ABS'])
def test_a_file_is_listed_once_however_its_path_is_written(tmp_path, again):
    "B16: the same file as `a.mp4` and `sub/../a.mp4` in a CSV was in training and validation"
    empty(tmp_path, 'a.mp4', 'sub/x')
    (tmp_path / 'link.mp4').symlink_to('a.mp4')
    (tmp_path / 'folder').symlink_to(tmp_path)
    again = str(tmp_path / 'a.mp4') if again == 'ABS' else again
    (tmp_path / 'l.csv').write_text(f'path,label,split\na.mp4,k,train\n{again},k,valid\n')
    with pytest.raises(ValueError, match='line 3: .*listed twice .also in line 2'):
        folder_items(tmp_path / 'l.csv')


@pytest.mark.posix
def test_nothing_leads_out_of_the_folder_by_any_writing(tmp_path):
    empty(tmp_path / 'out', 'x.mp4')
    root = empty(tmp_path / 'in', 'a.mp4', 'cat/b.mp4')
    (root / 'away').symlink_to(tmp_path / 'out')
    (root / 'x.mp4').symlink_to(tmp_path / 'out' / 'x.mp4')
    out = str(tmp_path / 'out' / 'x.mp4')
    bad = ['../out/x.mp4', 'cat/../../out/x.mp4', 'away/x.mp4', 'x.mp4', '..\\out\\x.mp4', out, 'cat/..', '..']
    (root / 'l.csv').write_text('path,label\na.mp4,k\n' + ''.join(f'{b},k\n' for b in bad))
    items = folder_items(root / 'l.csv', on_error='skip')
    assert [i.name for i in items if i.name != 'cat/..'] == ['a.mp4']
    assert sum('leads out of' in why for _, why in items.left_out) >= 6


# lists as people write them


def lists_of_ucf(root):
    "The videos and the official lists of UCF-101, in miniature"
    videos = empty(root / 'UCF-101', *UCF)
    lists = root / 'ucfTrainTestlist'
    lists.mkdir()
    number = {'Archery': 1, 'Bowling': 2, 'Diving': 3}
    test = [n for n in UCF if re.search('_g0[123]_', n)]
    (lists / 'classInd.txt').write_text(''.join(f'{k} {c}\r\n' for c, k in number.items()))
    (lists / 'testlist01.txt').write_text(''.join(f'{n}\r\n' for n in test))
    (lists / 'trainlist01.txt').write_text(''.join(f'{n} {number[n.split("/")[0]]}\r\n' for n in UCF if n not in test))
    return videos, lists


def test_the_official_lists_of_ucf101(tmp_path):
    "B15: `trainlist01.txt` and `testlist01.txt`"
    videos, lists = lists_of_ucf(tmp_path)
    both = [lists / 'trainlist01.txt', lists / 'testlist01.txt']
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        items = folder_items(videos, csv=both)
    assert items.classes == ['Archery', 'Bowling', 'Diving']
    assert items.counts().to_numpy().tolist() == [[21, 9]] * 3
    assert items.counts().columns.tolist() == ['train', 'test']
    assert all(items.classes[i.label] == i.name.split('/')[0] for i in items)
    assert {i.group for i in items.only('test')} == {'g01', 'g02', 'g03'}
    (lists / 'classInd.txt').unlink()  # then the folders say what the numbers mean
    assert [i.label for i in folder_items(videos, csv=both)] == [i.label for i in items]
    only = folder_items(videos, csv=lists / 'trainlist01.txt')  # one list is shared out
    assert set(only.counts().columns) == {'train', 'validation'}
    (lists / 'classInd.txt').write_text('1 Archery\n2 Bowling\n')
    with pytest.raises(ValueError, match='label 3 is not in classInd.txt'):
        folder_items(videos, csv=both)
    with pytest.raises(ValueError, match="holds one folder with videos, 'UCF-101'.*take .*UCF-101"):
        folder_items(tmp_path)
    with pytest.raises(FileNotFoundError, match='trainlist09.txt: no such list'):
        folder_items(videos, csv='trainlist09.txt')


def test_a_test_split_alone_is_said_with_what_to_do(tmp_path, clip):
    "B15: official lists have no validation part; `valid='test'` takes the other"
    for name in 'train/a/1', 'train/b/2', 'test/a/3', 'test/b/4':
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / f'{name}.webm').write_bytes(clip.read_bytes() + name.encode())
    with pytest.warns(UserWarning, match="valid='test' would validate on the 2 clips"):
        folder_dls(tmp_path, size=32, **QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert len(folder_dls(tmp_path, size=32, valid='test', **QUIET).valid_ds) == 2


LISTS = {
    'commas': 'path,label\ncat/0.mp4,cat\ndog/1 2.mp4,dog\n',
    'commas without header': 'cat/0.mp4,cat\ndog/1 2.mp4,dog\n',
    'semicolons': 'path;label\ncat/0.mp4;cat\ndog/1 2.mp4;dog\n',
    'semicolons without header': 'cat/0.mp4;cat\ndog/1 2.mp4;dog\n',
    'tabs': 'label\tpath\ncat\tcat/0.mp4\ndog\tdog/1 2.mp4\n',
    'tabs without header': 'cat/0.mp4\tcat\ndog/1 2.mp4\tdog\n',
    'white space': 'cat/0.mp4 cat\ndog/1 2.mp4   dog\n',
    'header in capitals, by Excel': '\ufeffPath;Label\r\ncat/0.mp4;cat\r\n"dog/1 2.mp4";"dog"\r\n',
    'quoted': '"path","label"\n"cat/0.mp4","cat"\n"dog/1 2.mp4","dog"\n',
    'empty lines': '\n\npath,label\n\ncat/0.mp4,cat\n,\n\ndog/1 2.mp4,dog\n\n',
    'backslashes of Windows': 'path,label\ncat\\0.mp4,cat\ndog\\1 2.mp4,dog\n',
    'paths alone': 'cat/0.mp4\ndog/1 2.mp4\n',
    'numbers': 'cat/0.mp4 0\ndog/1 2.mp4 1\n',
    'numbers in a table': 'path,label\ncat/0.mp4,3\ndog/1 2.mp4,12\n',
}


@pytest.mark.parametrize('form', LISTS)
def test_lists_as_people_write_them(tmp_path, form):
    "B15: 'path label' lists, `;` and tab separated tables, with and without header"
    empty(tmp_path, 'cat/0.mp4', 'dog/1 2.mp4')
    (tmp_path / 'list.txt').write_text(LISTS[form], encoding='utf-8', newline='')
    items = folder_items(tmp_path / 'list.txt', valid_pct=0)
    assert items.classes == ['cat', 'dog']
    assert [(i.path.name, i.label) for i in items] == [('0.mp4', 0), ('1 2.mp4', 1)]


@pytest.mark.parametrize(
    'text,why',
    [
        ('a.mp4 300 2\n', 'has 3 columns and no header'),
        ('a.mp4,300,2\n', 'has 3 columns and no header; say in a first line'),
        ('path,label\na.mp4,k,train\n', 'line 2: has 3 cells, but there are 2 columns'),
        ('path,label\na.mp4,"k\n', 'cannot be read as a table'),
        ('', 'is empty'),
        ('video,class\na.mp4,k\n', "no column 'path' and no column 'label'; it has 'video', 'class'"),
        ('path,label,start\na.mp4,k,soon\n', "line 2: start 'soon' is not the number of a frame, nor seconds"),
        ('path,label,start,stop\na.mp4,k,7.5,7.2\n', 'line 2: seconds 7.5 to 7.2 are none'),
        ('path,label\na.mp4,Walk\na.mp4,walk\n', "'Walk' and 'walk' differ only by capitals"),
        ('path,label,split\na.mp4,k,someday\n', "split 'someday' is not"),
    ],
)
def test_lists_that_are_wrong_say_where(tmp_path, text, why):
    empty(tmp_path, 'a.mp4')
    (tmp_path / 'list.csv').write_text(text)
    with pytest.raises(ValueError, match=f'(?s)list.csv.*{why}'):
        folder_items(tmp_path / 'list.csv')


def test_a_list_that_is_no_utf8_is_said(tmp_path):
    empty(tmp_path, 'a.mp4')
    (tmp_path / 'list.csv').write_bytes('path,label\na.mp4,Käse\n'.encode('latin-1'))
    with pytest.raises(ValueError, match='list.csv: cannot be read as text .*save it as UTF-8'):
        folder_items(tmp_path / 'list.csv')


def test_seconds_in_a_list(tmp_path, clip):
    "D8: `start` and `stop` in seconds, where a number has a decimal point"
    shutil.copy(clip, tmp_path / 'a.webm')
    (tmp_path / 'l.csv').write_text('path,label,start,stop\na.webm,k,0.0,0.5\na.webm,k,5,9\n')
    items = folder_items(tmp_path / 'l.csv', valid_pct=0)
    assert [(i.start, i.stop) for i in items] == [(0.0, 0.5), (5, 9)]
    fps = probe(clip)['fps']
    first = number(FileClips(items, 3, None).read(0))
    assert first[-1] < 0.5 * fps + 1
    (tmp_path / 'l.csv').write_text('path,label,start\na.webm,k,900.5\n')
    with pytest.raises(ValueError, match='seconds 900.5 to the end are asked for'):
        folder_dls(tmp_path / 'l.csv', size=32, valid_pct=0, **QUIET)


# folders as people have them


def test_names_in_two_forms_of_unicode_are_one_class(tmp_path):
    composed, apart = 'caf\u00e9', 'cafe\u0301'
    if len({composed, apart} & {p.name for p in empty(tmp_path, f'{composed}/1.mp4', f'{apart}/2.mp4').iterdir()}) < 2:
        pytest.skip('this file system has one form of Unicode')
    items = folder_items(tmp_path)
    assert items.classes == [composed]
    assert len(items) == 2
    lines = f'path,label\n{composed}/2.mp4,{apart}\n{apart}/1.mp4,{composed}\n'
    (tmp_path / 'l.csv').write_text(lines, encoding='utf-8')
    shutil.move(tmp_path / apart / '2.mp4', tmp_path / composed / '2.mp4')
    (tmp_path / apart).rmdir()
    items = folder_items(tmp_path / 'l.csv')  # the list writes both otherwise than the folder
    assert (items.classes, len(items)) == ([composed], 2)


def test_classes_that_differ_by_capitals_are_an_error(tmp_path):
    root = empty(tmp_path, 'train/Walking/1.mp4', 'valid/walking/2.mp4')
    with pytest.raises(ValueError, match="'Walking' and 'walking' differ only by capitals"):
        folder_items(root)


@pytest.mark.posix
def test_what_is_no_clip_is_left_out_and_said(tmp_path):
    "Hidden files alone are passed over in silence"
    hidden, others = ['a/._1.mp4', 'a/.DS_Store', '__MACOSX/a/1.mp4'], ['a/notes.txt', 'a/more/README', 'stray.mp4']
    root = empty(tmp_path, 'a/1.mp4', 'a/2.mp4', 'b/3.mp4', 'b/4.mp4', 'b/deep/er/5.mp4', *hidden, *others)
    (root / 'b' / 'gone.mp4').symlink_to(tmp_path / 'nowhere')
    (root / 'b' / 'loop').symlink_to(root / 'b')
    (root / 'b' / 'up').symlink_to(root)
    (root / 'b' / 'itself').symlink_to(root / 'b' / 'itself')
    items = folder_items(root)
    assert [i.name for i in items] == ['a/1.mp4', 'a/2.mp4', 'b/3.mp4', 'b/4.mp4']
    assert dict(items.left_out) == {
        'stray.mp4': 'lies beside the folders of classes',
        'a/more': 'a folder without videos and without images',
        'a/notes.txt': 'not a video by its ending',
        'b/deep': 'a folder without videos and without images',
        'b/gone.mp4': 'a link that leads nowhere',
        'b/itself': 'not a video by its ending',
        'b/loop': 'a link to a folder that holds it',
        'b/up': 'a link to a folder that holds it',
    }
    assert '8 left out' in repr(items)


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    root = empty(tmp_path, 'a/1.mp4', 'a/2.mp4', 'b/3.mp4', 'b/in/4.mp4')
    scandir = os.scandir

    def closed(path):
        if Path(path).name in ('a', 'in'):
            raise PermissionError(13, 'Permission denied', str(path))
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', closed)
    with pytest.raises(ValueError, match=r'a: cannot be opened \(Permission denied\)'):
        folder_items(root)
    with pytest.warns(UserWarning, match='no clips at all of a'):
        items = folder_items(root, on_error='skip')
    assert [i.name for i in items] == ['b/3.mp4']
    assert {n for n, _ in items.left_out} == {'a', 'b/in'}


def test_copies_in_both_splits_are_said(tmp_path, clip):
    "The same bytes under another name: in training and validation, or in two classes"
    files = {'train/a/1': b'1', 'train/b/2': b'2', 'valid/a/other': b'1', 'valid/b/4': b'4', 'train/b/5': b'2'}
    for name, more in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f'{name}.webm').write_bytes(clip.read_bytes() + more)
    with pytest.warns(
        UserWarning, match='copies of a file, byte for byte, are in training and in validation'
    ) as caught:
        folder_dls(tmp_path, size=32, **QUIET)
    assert 'train/a/1.webm = valid/a/other.webm' in str(caught[0].message)
    shutil.copy(tmp_path / 'train' / 'a' / '1.webm', tmp_path / 'train' / 'b' / 'wrong.webm')
    said = str(check_folder(tmp_path, progress=False))
    assert 'copies of a file are in two splits' in said
    assert 'copies of a file are in two classes' in said


def test_a_path_with_a_tilde(tmp_path, clip, monkeypatch):
    "D8: `~` is the home folder, in a text or a Path"
    monkeypatch.setenv('HOME', str(tmp_path))
    for c in 'ab':
        (tmp_path / 'clips' / c).mkdir(parents=True)
        shutil.copy(clip, tmp_path / 'clips' / c / '1.webm')
    (tmp_path / 'clips' / 'l.csv').write_text('path,label\na/1.webm,a\n')
    for root in '~/clips', Path('~/clips'):
        assert len(folder_items(root, valid_pct=0)) == 2
        assert len(folder_items(root, csv='~/clips/l.csv', valid_pct=0)) == 1
        assert check_folder(root, progress=False).root == str(tmp_path / 'clips')
    ssv2(tmp_path / 's', clip, [('1', CLOSE)], [('2', CLOSE)])
    assert len(ssv2_items('~/s')) == 2
    (tmp_path / 'clips' / '00sequences.txt').write_text('person01_boxing_d1 frames 1-9\n')
    shutil.copy(clip, tmp_path / 'clips' / 'person01_boxing_d1_uncomp.avi')
    assert len(kth_items('~/clips')) == 1


# values that are none


@pytest.mark.parametrize('pct', [2, 20, -0.1, 1, float('nan'), '0.2', None, True])
def test_a_share_that_is_none(tmp_path, pct):
    "B22: `valid_pct=2`"
    with pytest.raises(ValueError, match='valid_pct is a share from 0 to below 1'):
        folder_items(empty(tmp_path, 'a/1.mp4'), valid_pct=pct)


FRAMES = np.zeros((2, 4, 8, 8, 3), np.uint8)
WRONG = {
    'labels=[.5, 1]': (lambda: ArrayClips(FRAMES, [0.5, 1], ['a', 'b']), 'whole numbers'),
    'labels of a base': (lambda: Clips([0.5, 1], ['a', 'b']), 'whole numbers'),
    'labels that are text': (lambda: Clips(['a', 'b'], ['a', 'b']), 'whole numbers'),
    "classes='abcde'": (lambda: ArrayClips(FRAMES, [0, 1], 'abcde'), 'list of names'),
    "classes='ab', no labels": (lambda: ArrayClips(FRAMES, classes='ab'), 'list of names'),
    'classes as a dict': (lambda: ArrayClips(FRAMES, [0, 1], {0: 'a', 1: 'b'}), 'not a dict'),
    'a class twice': (lambda: ArrayClips(FRAMES, [0, 1], ['a', 'a']), "'a' is there more than once"),
    'too few names': (lambda: ArrayClips(FRAMES, [0, 1], ['a', 'b'], names=['x']), 'names have to be 2'),
    'too many groups': (lambda: ArrayClips(FRAMES, [0, 1], ['a', 'b'], groups=[0, 1, 2]), 'groups have to be 2'),
    'stats=(0,0)': (lambda: clip_dls(ArrayClips(FRAMES), ArrayClips(FRAMES), stats=(0, 0)), 'above 0'),
    'bs=0': (lambda: clip_dls(ArrayClips(FRAMES), ArrayClips(FRAMES), bs=0), 'at least 1 clip'),
    'num_workers=-1': (lambda: clip_dls(ArrayClips(FRAMES), ArrayClips(FRAMES), num_workers=-1), 'num_workers'),
    'n=0': (lambda: FileClips(Items([]), 0), 'at least 1 frame'),
    'size=0': (lambda: FileClips(Items([]), 4, 0), 'size has to be'),
    'size of three': (lambda: FileClips(Items([]), 4, (1, 2, 3)), 'size has to be'),
    "resize='crpo'": (lambda: FileClips(Items([]), 4, 8, 'crpo'), 'resize has to be'),
    "by='frame'": (lambda: FileClips(Items([]), 4, 8, by='frame'), "by has to be 'time'"),
    'mirror classes=text': (lambda: mirror_labels('left'), 'list of names'),
    'mirror p=2': (lambda: ClipMirror(['a'], p=2), 'probability'),
    'crop scale': (lambda: ClipCrop(scale=(0, 1)), r'\(0,1\]'),
    'light': (lambda: ClipLight(2), 'from 0'),
    'cache of less than nothing': (lambda: FrameCache('x', max_bytes=-1), 'max_bytes'),
    'make_clips T=0': (lambda: make_clips(1, T=0), '0 frames'),
    'make_clips people': (lambda: make_clips(1, kind='kth', people=[26]), 'some of 1 to 25'),
    'split that is none': (lambda: video_dls(Items([]), train='trian'), "'trian' is not"),
    'ssv2 classes': (lambda: ssv2_dls('.', classes=[174]), '0 to 173'),
    'share in share_out': (lambda: share_out(['a'], [''], ['x'], 1.5), 'valid_pct'),
}


@pytest.mark.parametrize('what', WRONG)
def test_values_that_are_none(what):
    "B22: accepted, or silently another value, before"
    do, why = WRONG[what]
    with pytest.raises(ValueError, match=why):
        do()


def test_sampling_is_handed_on(own):
    "Contract of `read_frames`: `by`, `start`, `stop`, and one number as size"
    how = dict(n=4, by=3, start=2, valid_pct=0, **QUIET)
    with pytest.warns(UserWarning, match='no clips to validate on'):
        dls = folder_dls(own, size=32, **how)
    assert dls.train_ds.sampling == dict(n=4, size=(32, 32), resize='squish', by=3)
    assert np.array_equal(dls.train_ds.read(0), read_frames(dls.train_ds.items[0].path, 4, (32, 32), by=3, start=2))
    with pytest.raises(ValueError, match='18 frames are too few for a stride that goes over 28'):
        folder_dls(own, size=32, **{**how, 'by': 9})


# as many files as there may be


def calls(f):
    "How many functions are called, in Python and in C, while `f` runs"
    n = [0]

    def count(frame, event, arg):
        n[0] += event in ('call', 'c_call')

    sys.setprofile(count)
    try:
        f()
    finally:
        sys.setprofile(None)
    return n[0]


@pytest.mark.parametrize('form', ['folder', 'groups in names', 'list'])
def test_listing_takes_work_in_proportion_to_the_files(tmp_path, form):
    "C4: a class of 30 000 videos took over 200 s, since each was looked for among all others"
    work = {}
    groups = None if form == 'groups in names' else False
    for n in 200, 2000:
        root = tmp_path / str(n)
        name = 'v_a_g{:02d}_c{:05d}.mp4' if form == 'groups in names' else '{1:05d}.mp4'
        names = [f'a/{name.format(k % 25, k)}' for k in range(n)]
        empty(root, *names)
        if form == 'list':
            (root / 'l.csv').write_text('path,label\n' + ''.join(f'{m},c{k % 50}\n' for k, m in enumerate(names)))
        where = root / 'l.csv' if form == 'list' else root
        work[n] = calls(lambda: folder_items(where, groups=groups, progress=False))
    assert work[2000] <= 12 * work[200], work


def test_check_says_how_clips_were_filmed(tmp_path, capsys):
    "B10: a rate that varies; and sizes, orientation, lengths, groups, and a film that is long for 16 frames"
    times = np.r_[np.arange(12) * 1000 / 60, 200 + np.arange(12) * 500]
    for c in 'run', 'sit':
        (tmp_path / c).mkdir()
        for g in 1, 2, 3:
            by_av(tmp_path / c / f'IMG_g0{g}_c1.mp4', numbered(20 + g), 'libx264', rate=10)
    by_av(tmp_path / 'run' / 'IMG_g03_c2.mp4', numbered(24), 'libx264', times=times)
    turned(by_av(tmp_path / 'run' / 'IMG_g02_c2.mp4', numbered(22), 'libx264', rate=10), 90)
    by_av(tmp_path / 'sit' / 'IMG_g01_c2.mp4', numbered(40), 'libx264', rate=1)
    assert main(['data', 'check', str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for line in (
        r'size, as shown +64×48 \(8\), 48×64 \(1\)',
        r'orientation +upright \(8\), turned by 90° \(1\)',
        r'frames per second +10 \(7\), varies \(1\), 1 \(1\)',
        r'seconds +2.1 to 40, median 2.\d',
        r'groups +3 \(g01, g02, g03\); each stays in one split',
        r'the frame rate varies in 1 of 9 videos \(run/IMG_g03_c2.mp4\): their frames are taken evenly in time',
        r'1 videos are long for 16 frames: in sit/IMG_g01_c2.mp4 \(40 s\) they are 2.7 s apart',
    ):
        assert re.search(line, said), said
    with pytest.raises(ValueError, match='at least 1 frame'):
        check_folder(tmp_path, frames=0, progress=False)
    assert main(['data', 'check', str(tmp_path), '--groups', r'_(c\d)']) == 0
    assert 'groups             2 (c1, c2)' in capsys.readouterr().out
