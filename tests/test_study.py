"A study of built-in clips, of a folder with enough to train on, of one with too little: what it says, what it keeps, what it reuses."

import json

import numpy as np, pandas as pd, pytest

from interpvid.data.actors import KTH_CLASSES
from interpvid.data.ssv2 import SSV2_CLASSES
from interpvid.data.synthetic import SYNTHETIC_CLASSES, make_clips
from interpvid.paper.experiment import FIGURES, STUDIES, Study, pick_per_class, results_folder
from interpvid.runs import Stages
from interpvid.video import write_video

TINY = dict(scenes=2, valid=12, epochs=1, per_class=1, few=1, iterations=2, progress=False)
REAL = dict(epochs=1, per_class=1, few=1, iterations=2, progress=False, num_workers=0, n=16, size=(32, 32), bs=8)


@pytest.fixture(autouse=True)
def no_data(monkeypatch, tmp_path):
    for k in 'INTERPVID_SSV2', 'INTERPVID_KTH', 'INTERPVID_RESULTS':
        monkeypatch.delenv(k, raising=False)


@pytest.fixture(scope='module')
def things(tmp_path_factory):
    "Drawn clips in the layout of Something-something: two of each of twelve classes to train on, one to evaluate, the paper's own id among them"
    root = tmp_path_factory.mktemp('ssv2')
    (root / '20bn-something-something-v2').mkdir()
    (root / 'labels.json').write_text(json.dumps({c: str(i) for i, c in enumerate(SSV2_CLASSES)}))
    clips, lists = make_clips(36, T=16, size=32, progress=False), {'train': [], 'validation': []}
    for i, (f, l) in enumerate(zip(clips.frames, clips.labels)):
        id = '43627' if i == 25 else str(i + 1)  # a thing that moves away, as in Fig. 2a
        write_video(root / '20bn-something-something-v2' / f'{id}.webm', f, 12)
        lists['train' if i < 24 else 'validation'].append(
            {'id': id, 'template': SYNTHETIC_CLASSES[l], 'label': SYNTHETIC_CLASSES[l]}
        )
    for k, v in lists.items():
        (root / f'{k}.json').write_text(json.dumps(v))
    return root


def six_files(root, subjects=(1,)):
    acts = make_clips(6, kind='kth', people=[1], T=16, size=(60, 80), progress=False)
    for s in subjects:
        for f, l in zip(acts.frames, acts.labels):
            write_video(root / f'person{s:02d}_{KTH_CLASSES[l].lower()}_d1_uncomp.webm', f, 25)
    (root / '00sequences.txt').write_text(
        '\r\n'.join(
            f'person{p:02d}_{c.lower()}_d{d}\tframes\t1-8, 9-16'
            for p in range(1, 26)
            for c in KTH_CLASSES
            for d in range(1, 5)
        )
    )
    return root


def test_trained_on_the_dataset_where_it_is_there(things, tmp_path, monkeypatch):
    monkeypatch.setenv('INTERPVID_SSV2', str(things))
    lines = []
    s = Study('something', out=tmp_path, training='small', stages=Stages(tmp_path / 'cache', log=lines.append), **REAL)
    assert (
        s.real
        and not s.borrowed
        and not s.has_truth
        and 'Something-something-V2' in s._repr_markdown_()
        and 'built-in' not in s._repr_markdown_()
    )
    assert len(s.clips) == 12 and s.clips.classes == SSV2_CLASSES and s.networks['I3D'].clip_shape == (16, 32, 32)
    assert len(s.table1()) == 4 and len(s.stats()) == 2 * len(s.ids())
    assert {s.clips.classes[s.clips.labels[i]] for i in s.ids()} == {
        SSV2_CLASSES[k] for k in (36, 37, 39, 45, 165, 168)
    }  # those of the paper's seven that are there
    fig = s.figure()
    assert (
        fig[0][0] == 'a'
        and "the paper's own, 43627" in fig[0][1]
        and all('in the place of' in said for _, said, _ in fig[1:])
    )
    assert (
        'f' not in {l for l, *_ in fig}
        and 'No clip of its class' in s.show_figure('f').data
        and '43627' in s.show_figure('a', px=32).data
    )  # nobody pretends to take something
    assert s.figure_table().index.get_level_values(0).unique().tolist() == [l for l, *_ in fig]
    with pytest.raises(ValueError, match="no sequence 'z'"):
        s.show_figure('z')
    assert (tmp_path / 'ssv2' / 'i3d' / 'best.safetensors').is_file()
    before = len(lines)
    again = Study(
        'something', out=tmp_path, training='small', stages=Stages(tmp_path / 'cache', log=lines.append), **REAL
    )
    pd.testing.assert_frame_equal(again.stats(), s.stats())
    assert all('reused' in l for l in lines[before:])  # nothing is trained or explained again


def test_the_same_networks_by_their_files(things, tmp_path):
    s = Study('something', things, tmp_path, training='small', **REAL)
    t = s.table1()
    other = Study('something', things, tmp_path / 'other', networks={n: f for n, f in s.files.items()}, **REAL)
    pd.testing.assert_frame_equal(other.table1(), t)


def test_a_folder_with_too_little_borrows_networks_and_says_so(tmp_path):
    (root := tmp_path / 'kth').mkdir()
    six_files(root)
    s = Study('kth', root, tmp_path / 'out', **TINY)
    said = s._repr_markdown_()
    assert (
        s.borrowed
        and '594 of the 600 files' in said
        and '12 of 1200 sequences' in said
        and 'None of the subjects 17 to 25' in said
        and 'subject 1)' in said
        and 'nothing here is a result' in said
    )
    assert len(s.clips) == 12 and len(s.table1()) == 4 and [l for l, *_ in s.figure()] == ['a', 'b']
    assert all(n.startswith('person01_') for n in s.stats()['name'])


def test_subjects_of_the_papers_evaluation_are_evaluated_where_there_are_any(tmp_path):
    (root := tmp_path / 'kth').mkdir()
    six_files(root, (1, 18))
    s = Study('kth', root, tmp_path / 'out', **TINY)
    assert (
        s.borrowed
        and len(s.clips) == 12
        and all(n.startswith('person18_') for n in s.names(range(12)))
        and 'None of' not in s._repr_markdown_()
    )


def test_a_changed_file_is_looked_at_again(tmp_path):
    (root := tmp_path / 'kth').mkdir()
    six_files(root)
    one = Study('kth', root, tmp_path / 'out', **TINY).stats()
    f = next(root.glob('*boxing*'))
    write_video(f, np.random.default_rng(0).integers(0, 255, (16, 60, 80, 3), dtype=np.uint8), 25)
    other = Study('kth', root, tmp_path / 'out', **TINY).stats()
    assert (one['OS'] != other['OS']).any()


def test_too_little_of_something_and_nothing_in_common(things, tmp_path):
    root = tmp_path / 'few'
    (root / '20bn-something-something-v2').mkdir(parents=True)
    for f in 'labels.json', 'train.json':
        (root / f).write_text((things / f).read_text())
    (root / 'validation.json').write_text(json.dumps([{'id': '99', 'template': SSV2_CLASSES[57]}]))
    write_video(root / '20bn-something-something-v2' / '99.webm', make_clips(1, progress=False).frames[0], 12)
    with pytest.raises(ValueError, match='too little is there to train on.*24 of 25 listed clips'):
        Study('something', root, tmp_path / 'out', **TINY).table1()


@pytest.mark.parametrize(
    'kw,says',
    [
        (dict(data='ucf'), "no data 'ucf'"),
        (dict(root='/nowhere'), 'no such folder'),
        (dict(per_class=2, valid=12), 'at least 24 validation clips'),
        (dict(seed=-1), 'seed'),
        (dict(few=0), 'few has to be at least 1'),
        (dict(masks='other'), "no preset 'other'"),
    ],
)
def test_what_cannot_work_is_refused_at_once(tmp_path, kw, says):
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        Study(**{**dict(data='something', out=tmp_path / 'out'), **TINY, **kw})
    assert not (tmp_path / 'out').exists()


def test_nothing_is_made_before_it_is_asked_for(tmp_path):
    Study('something', False, tmp_path / 'out', **TINY)
    assert not (tmp_path / 'out').exists()


def test_explanations_come_part_by_part_and_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr('interpvid.paper.experiment.CHUNK', 5)
    s = Study('something', False, tmp_path, **TINY)
    got = list(s.pairs())
    assert [i for i, _ in got] == s.ids().tolist() and all([e.model for e in es] == ['I3D', 'C-LSTM'] for _, es in got)
    assert all((es[0].frames == s.frames([i])[0]).all() and es[0].label == s.clips.labels[i] for i, es in got)
    some = [int(i) for i in s.ids()[[2, 7]]]
    assert [i for i, _ in s.pairs(some)] == some
    parts = sorted(next((tmp_path / 'cache').glob('explain-something-I3D-*/')).glob('*.npz'))
    assert len(parts) == 3
    parts[1].unlink()
    lines = []
    again = Study('something', False, tmp_path, stages=Stages(tmp_path / 'cache', log=lines.append), **TINY)
    for (_, a), (_, b) in zip(got, again.pairs()):
        np.testing.assert_array_equal(a[0].mask, b[0].mask)
    assert any('2 of 3 parts reused' in l for l in lines)


def test_the_few_are_of_classes_that_tables_count(tmp_path):
    s = Study('something', False, tmp_path, **TINY)
    held = SYNTHETIC_CLASSES.index('Holding something')
    assert held in s.clips.labels[s.ids()] and s.clips.labels[s.ids(few=True)].tolist() == [
        k for k in range(12) if k != held
    ]


def test_training_is_not_interrupted_to_validate(tmp_path, monkeypatch):
    from interpvid import study

    seen, make = [], study.i3d_learner

    def watched(dls, *a, **kw):
        learn = make(dls, *a, **kw)
        fit = learn.fit_preset

        def fit_preset(n):
            learn.model.register_forward_pre_hook(lambda m, x: seen.append(m.training))
            return fit(n)

        learn.fit_preset = fit_preset
        return learn

    monkeypatch.setitem(study.MODELS, 'I3D', watched)
    Study('something', False, tmp_path, **TINY).files
    assert seen and all(seen)


def test_figures_name_clips_of_their_class():
    assert [c for _, c, *_ in FIGURES['something']] == [SSV2_CLASSES[k] for k in (36, 37, 39, 45, 45, 81, 165, 168)]
    for d in STUDIES:
        assert [l for l, *_ in FIGURES[d]] == list('abcdefgh')[: len(FIGURES[d])]


def test_per_class():
    y = np.array([2, 0, 2, 1, 0, 2])
    assert pick_per_class(y, 2).tolist() == [1, 4, 3, 0, 2] and pick_per_class(y, 1, [2, 0]).tolist() == [0, 1]


def test_where_results_go(tmp_path, monkeypatch):
    (tmp_path / 'nbs' / 'paper').mkdir(parents=True)
    (tmp_path / 'nbs' / 'sidebar.yml').touch()
    (tmp_path / 'settings.ini').touch()
    monkeypatch.chdir(tmp_path / 'nbs' / 'paper')
    assert results_folder().resolve() == tmp_path / 'results'
    (tmp_path / 'settings.ini').unlink()
    assert results_folder().resolve() == tmp_path / 'nbs' / 'paper' / 'results'
    monkeypatch.setenv('INTERPVID_RESULTS', str(tmp_path / 'x'))
    assert results_folder() == tmp_path / 'x'


def test_reproduce_on_both_datasets(things, tmp_path):
    "One command: a dataset with enough to train on, another with too little"
    from interpvid.paper.reproduce import reproduce

    (root := tmp_path / 'kth').mkdir()
    six_files(root)
    kw = {**REAL, 'training': 'small'}
    got = reproduce(tmp_path / 'out', ssv2=things, kth=root, scenes=2, valid=12, say=lambda l: None, **kw)
    page = (tmp_path / 'out' / 'index.html').read_text(encoding='utf-8')
    assert (
        'Data: Something-something-V2' in page
        and '594 of the 600 files' in page
        and 'nothing here is a result on the dataset' in page
        and 'Do masks find what happened?' not in page
    )
    assert "the paper&#x27;s own, 43627" in page or "the paper's own, 43627" in page
    assert (
        got['something']['table1'].shape[0] == 4
        and 'overlap' not in got['kth']
        and len(got['programs']['settings']) == 8
    )
    assert json.loads((tmp_path / 'out' / 'settings.json').read_text())['ssv2'] is True
    for f in 'gallery/index.html', 'gallery-kth/index.html', 'figures/fig2-a.gif', 'figures/fig3-b.mp4':
        assert (tmp_path / 'out' / f).is_file(), f
