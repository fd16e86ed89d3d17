"An experiment on built-in clips, on a folder with enough to train on, on one with too little: what it says and keeps."

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from interpvid import runs
from interpvid.data.actors import KTH_CLASSES
from interpvid.data.ssv2 import SSV2_CLASSES
from interpvid.data.synthetic import SYNTHETIC_CLASSES, make_clips
from interpvid.explanation import explain
from interpvid.masks.perturb import reverse
from interpvid.paper.experiment import (
    TINY, Experiment, choose_clips, describe, draw_clips, explain_all, explain_pairs, load_clips, load_networks,
    look, make_table1, measure_all, network_files, pick_per_class, planned, results_folder, tiny_experiment,
    train_all)
from interpvid.paper.page import figure_sequences, figure_table, show_figure
from interpvid.registry import DATASETS, NETWORKS
from interpvid.runs import Stages
from interpvid.video import write_video

QUIET = dict(TINY, progress=False)
REAL = dict(epochs=1, per_class=1, n_ablation=1, iterations=2, progress=False)
ON_DATASET = dict(num_workers=0, n=16, size=(32, 32), bs=8)


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    for name in 'INTERPVID_SSV2', 'INTERPVID_KTH', 'INTERPVID_RESULTS':
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope='module')
def things(tmp_path_factory):
    """Drawn clips in the layout of Something-something: two of each of twelve classes to train on, one to evaluate on;
    one of them has the id of the paper's Fig. 2a"""
    root = tmp_path_factory.mktemp('ssv2')
    (root / '20bn-something-something-v2').mkdir()
    (root / 'labels.json').write_text(json.dumps({c: str(i) for i, c in enumerate(SSV2_CLASSES)}))
    clips, lists = make_clips(36, T=16, size=32, progress=False), {'train': [], 'validation': []}
    for i, (f, l) in enumerate(zip(clips.frames, clips.labels)):
        id = '43627' if i == 25 else str(i + 1)  # a thing that moves away
        write_video(root / '20bn-something-something-v2' / f'{id}.webm', f, 12)
        entry = {'id': id, 'template': SYNTHETIC_CLASSES[l], 'label': SYNTHETIC_CLASSES[l]}
        lists['train' if i < 24 else 'validation'].append(entry)
    for k, v in lists.items():
        (root / f'{k}.json').write_text(json.dumps(v))
    return root


def six_files(root, subjects=(1,)):
    "One file of each action and subject in the layout of KTH, with the list of all"
    acts = make_clips(6, kind='kth', people=[1], T=16, size=(60, 80), progress=False)
    for s in subjects:
        for f, l in zip(acts.frames, acts.labels):
            write_video(root / f'person{s:02d}_{KTH_CLASSES[l].lower()}_d1_uncomp.webm', f, 25)
    names = [f'person{p:02d}_{c.lower()}_d{d}' for p in range(1, 26) for c in KTH_CLASSES for d in range(1, 5)]
    (root / '00sequences.txt').write_text('\r\n'.join(f'{n}\tframes\t1-8, 9-16' for n in names))
    return root


def on_things(things, out, log=lambda line: None, training=ON_DATASET, **settings):
    stages = Stages(out / 'cache', log=log)
    settings = dict(REAL, preset='small', training=training, stages=stages) | settings
    return Experiment('something', things, out, **settings)


def test_trained_on_the_dataset_where_it_is_there(things, tmp_path):
    exp = on_things(things, tmp_path)
    assert not exp.synthetic and look(exp).enough
    assert 'Something-something-V2' in describe(exp).data and 'built-in' not in describe(exp).data
    assert len(load_clips(exp)) == 12 and list(load_clips(exp).classes) == SSV2_CLASSES
    assert load_networks(exp)['I3D'].clip_shape == (16, 32, 32)
    assert len(make_table1(exp)) == 4 and len(measure_all(exp)) == 2 * len(choose_clips(exp))
    explained = {SSV2_CLASSES[load_clips(exp).labels[i]] for i in choose_clips(exp)}
    there = 36, 37, 39, 45, 165, 168  # of the paper's seven
    assert explained == {SSV2_CLASSES[k] for k in there}

    lines = []
    again = on_things(things, tmp_path, lines.append)
    pd.testing.assert_frame_equal(measure_all(again), measure_all(exp))
    assert lines and all('reused' in line for line in lines)  # nothing is trained or explained again


def test_the_figure_shows_the_papers_own_clips_where_they_are_there(things, tmp_path):
    exp = on_things(things, tmp_path)
    (first, *others) = figure_sequences(exp)
    assert first[0] == 'a' and "the paper's own, 43627" in first[1]
    assert all('in the place of' in said for _, said, _ in others)
    letters = [letter for letter, *_ in (first, *others)]
    # nobody pretends to take something
    assert 'f' not in letters and 'No clip of its class' in show_figure(exp, 'f').data
    assert '43627' in show_figure(exp, 'a', px=32).data
    assert figure_table(exp).index.get_level_values(0).unique().tolist() == letters
    with pytest.raises(ValueError, match="no sequence 'z'"):
        show_figure(exp, 'z')


def test_other_settings_on_a_dataset_give_other_networks(things, tmp_path):
    "B18: two runs in one folder"
    first = load_networks(on_things(things, tmp_path))
    other = on_things(things, tmp_path, seed=7)
    assert load_networks(other)['I3D'].info['seed'] == 7 and first['I3D'].info['seed'] == 0
    files = network_files(on_things(things, tmp_path))
    for changed in dict(seed=7), dict(epochs=2), dict(training={**ON_DATASET, 'size': (48, 48)}):
        there = network_files(on_things(things, tmp_path, **changed))
        assert not set(files.values()) & set(there.values()), changed
    more_workers = on_things(things, tmp_path, training={**ON_DATASET, 'num_workers': 2})
    assert network_files(more_workers) == files


def test_a_training_that_was_stopped_goes_on(things, tmp_path):
    "The state of a training lies beside its result, under the same key"
    exp, lines = on_things(things, tmp_path), []
    files = train_all(exp)
    files['I3D'].unlink()  # as if it had been stopped after its last epoch
    before = (tmp_path / 'cache').glob('training-I3D*/log.csv').__next__().stat().st_mtime_ns
    assert train_all(on_things(things, tmp_path, lines.append)) == files
    assert (tmp_path / 'cache').glob('training-I3D*/log.csv').__next__().stat().st_mtime_ns == before


def test_the_same_networks_by_their_files(things, tmp_path):
    exp = on_things(things, tmp_path)
    table = make_table1(exp)
    other = Experiment('something', things, tmp_path / 'other', networks=train_all(exp), **REAL)
    pd.testing.assert_frame_equal(make_table1(other), table)


def test_a_folder_with_too_little_borrows_networks_and_says_so(tmp_path):
    (root := tmp_path / 'kth').mkdir()
    exp = Experiment('kth', six_files(root), tmp_path / 'out', **QUIET)
    said = describe(exp).data
    for part in (
        '594 of the 600 files',
        '12 of 1200 sequences',
        'None of the subjects 17 to 25',
        'subject 1)',
        'nothing here is a result',
    ):
        assert part in said, part
    assert len(load_clips(exp)) == 12 and len(make_table1(exp)) == 4
    assert [letter for letter, *_ in figure_sequences(exp)] == ['a', 'b']
    stats = measure_all(exp)
    assert all(n.startswith('person01_') for n in stats['name'])

    f = next(root.glob('*boxing*'))  # a changed file is looked at again
    write_video(f, np.random.default_rng(0).integers(0, 255, (16, 60, 80, 3), dtype=np.uint8), 25)
    other = measure_all(Experiment('kth', root, tmp_path / 'out', **QUIET))
    assert (stats['OS'] != other['OS']).any()


def test_subjects_of_the_papers_evaluation_are_evaluated_where_there_are_any(tmp_path):
    (root := tmp_path / 'kth').mkdir()
    exp = Experiment('kth', six_files(root, (1, 18)), tmp_path / 'out', **QUIET)
    assert len(load_clips(exp)) == 12 and all(n.startswith('person18_') for n in load_clips(exp).names)
    assert 'None of' not in describe(exp).data


def test_too_little_of_something_and_nothing_in_common(things, tmp_path):
    root = tmp_path / 'few'
    (root / '20bn-something-something-v2').mkdir(parents=True)
    for f in 'labels.json', 'train.json':
        (root / f).write_text((things / f).read_text())
    (root / 'validation.json').write_text(json.dumps([{'id': '99', 'template': SSV2_CLASSES[57]}]))
    write_video(root / '20bn-something-something-v2' / '99.webm', make_clips(1, progress=False).frames[0], 12)
    with pytest.raises(ValueError, match='too little is there to train on.*24 of 25 listed clips'):
        make_table1(Experiment('something', root, tmp_path / 'out', **QUIET))


@pytest.mark.parametrize(
    'kw,says',
    [
        (dict(data='ucf'), "no dataset 'ucf'"),
        (dict(root='/nowhere'), 'no such folder'),
        (dict(per_class=2, valid=12), 'at least 24 validation clips'),
        (dict(seed=-1), 'seed'),
        (dict(n_ablation=0), 'n_ablation has to be at least 1'),
        (dict(masks='other'), "no preset 'other'"),
    ],
)
def test_what_cannot_work_is_refused_at_once(tmp_path, kw, says):
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        Experiment(**{**dict(data='something', out=tmp_path / 'out'), **QUIET, **kw})
    assert not (tmp_path / 'out').exists()


def test_showing_an_experiment_makes_nothing(tmp_path, things):
    exp = Experiment('something', False, tmp_path / 'out', **QUIET)
    said = exp._repr_markdown_()
    assert 'Data: built-in clips' in said and 'to be made' in said and 'kept' not in said
    assert not (tmp_path / 'out').exists()
    real = Experiment('something', things, tmp_path / 'out', **QUIET)
    assert 'not looked at yet' in real._repr_markdown_() and not (tmp_path / 'out').exists()
    draw_clips(exp, 'valid')
    assert '*kept:* 12 validation clips' in exp._repr_markdown_()


def test_a_comment_or_threads_make_nothing_anew_and_a_change_of_a_forward_does(tmp_path, monkeypatch):
    exp = Experiment('something', False, tmp_path, **QUIET)
    before = planned(exp)
    code_of = runs.code_of

    def changed(module):
        return {k: 'changed' if k == 'models.i3d' else v for k, v in code_of(module).items()}

    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    assert planned(exp) == before
    monkeypatch.setattr(runs, 'code_of', changed)
    after = planned(exp)
    assert all(before[k] == after[k] for k in before if 'clips' in k and 'predictions' not in k)  # drawn as before
    assert all(before[k] != after[k] for k in before if 'I3D' in k or 'predictions' in k)


def test_explanations_come_part_by_part_and_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr('interpvid.paper.experiment.CHUNK', 5)
    exp = Experiment('something', False, tmp_path, **QUIET)
    got = list(explain_pairs(exp))
    assert [i for i, _ in got] == choose_clips(exp).tolist()
    assert all([e.model for e in es] == ['I3D', 'C-LSTM'] for _, es in got)
    clips = load_clips(exp)
    both = [(i, e) for i, es in got for e in es]  # each network gets the frames that the other gets
    assert all((e.frames == clips.take([i])[0]).all() and e.label == clips.labels[i] for i, e in both)
    some = [int(i) for i in choose_clips(exp)[[2, 7]]]
    assert [i for i, _ in explain_pairs(exp, some)] == some
    folder = next(p for p in (tmp_path / 'cache').glob('explain-events-I3D-*') if p.is_dir())
    parts = sorted(folder.glob('*.npz'))
    assert len(parts) == 3
    parts[1].unlink()
    lines = []
    again = Experiment('something', False, tmp_path, stages=Stages(tmp_path / 'cache', log=lines.append), **QUIET)
    for (_, a), (_, b) in zip(got, explain_pairs(again)):
        np.testing.assert_array_equal(a[0].mask, b[0].mask)
    assert any('2 of 3 parts reused' in line for line in lines)


def test_ablations_are_about_classes_that_tables_count(tiny_cache):
    exp = tiny_experiment()
    held, labels = SYNTHETIC_CLASSES.index('Holding something'), load_clips(exp).labels
    assert held in labels[choose_clips(exp)]
    assert labels[choose_clips(exp, ablation=True)].tolist() == [k for k in range(12) if k != held]


def test_main_run_is_as_the_text_has_it_and_a_whole_program_has_more(tiny_cache):
    "The same masks; reversed hard and mapped by Eq. 2, or blended and mapped as that program does it"
    exp = tiny_experiment()
    ids = choose_clips(exp, ablation=True)[:3]
    main, whole = (explain_all(exp, ids, 'released-pytorch', start='central', **w) for w in ({}, {'whole': True}))
    clips, nets = load_clips(exp).take(ids), load_networks(exp)
    for name, net in nets.items():
        text = dict(reverse=reverse, cam=dict(preset='paper'), lam1=0.01, lam2=0.02)
        for es, how in (main[name], text), (whole[name], dict(data='something')):
            again = explain(net, clips, preset='released-pytorch', start='central', iterations=exp.iterations, **how)
            for e, a in zip(es, again):
                np.testing.assert_array_equal(e.mask, a.mask)
                assert e.scores['RS'] == pytest.approx(a.scores['RS'], abs=1e-6)
                np.testing.assert_allclose(e.cam, a.cam, atol=1e-3)
        assert any(not np.allclose(a.cam, b.cam, atol=0.01) for a, b in zip(main[name], whole[name]))


def test_weights_have_a_seed_of_their_own():
    a, b = tiny_experiment(), tiny_experiment(net_seed=1)
    assert a.net_seed == a.seed == 0 and network_files(a) == network_files(tiny_experiment(net_seed=0))
    assert not set(network_files(a).values()) & set(network_files(b).values())
    same, clips = (list(planned(e).values()) for e in (a, b))
    assert same[:2] == clips[:2], 'the clips are those of `seed`'
    assert network_files(tiny_experiment(seed=1)) != network_files(tiny_experiment(seed=0, net_seed=1))
    with pytest.raises(ValueError, match='net_seed'):
        tiny_experiment(net_seed=-1)


def test_training_is_not_interrupted_to_validate(tmp_path, monkeypatch):
    seen, network = [], NETWORKS['i3d']

    def watched(*args, **kwargs):
        model = network.build(*args, **kwargs)
        model.register_forward_pre_hook(lambda m, x: seen.append(m.training))
        return model

    monkeypatch.setitem(NETWORKS.loaded, 'i3d', dataclasses.replace(network, build=watched))
    train_all(Experiment('something', False, tmp_path, **QUIET))
    assert seen and all(seen)


def test_figures_name_clips_of_their_class():
    shown = [SSV2_CLASSES[k] for k in (36, 37, 39, 45, 45, 81, 165, 168)]
    assert [cls for _, cls, _ in DATASETS['something'].sequences] == shown
    for key, d in DATASETS.items():
        letters = [letter for letter, *_ in d.sequences]
        assert letters == list('abcdefgh')[: len(letters)]
        assert not d.drawn or letters == [letter for letter, *_ in DATASETS[d.drawn].sequences], key


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
    kw = dict(REAL, preset='small', training=ON_DATASET, scenes=2, valid=12, log=lambda line: None)
    got = reproduce(tmp_path / 'out', ssv2=things, kth=six_files(root), **kw)
    page = (tmp_path / 'out' / 'index.html').read_text(encoding='utf-8')
    for part in 'Data: Something-something-V2', '594 of the 600 files', 'nothing here is a result on the dataset':
        assert part in page, part
    assert 'Do masks find what happened?' not in page
    assert "the paper&#x27;s own, 43627" in page or "the paper&#39;s own, 43627" in page or "the paper's own" in page
    assert got['something']['table1'].shape[0] == 4 and 'overlap' not in got['kth']
    assert len(got['programs']['settings']) == 8
    assert json.loads((tmp_path / 'out' / 'settings.json').read_text())['ssv2'] is True
    for f in 'gallery/index.html', 'gallery-kth/index.html', 'figures/fig2-a.gif', 'figures/fig3-b.mp4':
        assert (tmp_path / 'out' / f).is_file(), f


def test_the_lines_of_the_run_book_bring_a_checkpoint_in(things, tmp_path):
    "The two cells of 'I have a checkpoint', as they stand, on a .pth.tar of the paper's kind; one network is enough"
    cells = json.loads((Path(__file__).parents[1] / 'nbs/tutorials/runbook.ipynb').read_text())['cells']
    cells = [''.join(c['source']) for c in cells]
    make, take = (next(c for c in cells if mark in c) for mark in ('def like_the_papers', 'report.stats'))
    (tmp_path / 'ssv2').symlink_to(things)
    names = {'here': tmp_path}
    exec('from interpvid.all import *', names)
    exec(make, names)
    with pytest.raises(ValueError, match='networks, I3D: .*was written by torch.save.*`import_weights`'):
        Experiment('something', things, tmp_path / 'out', networks={'I3D': names['yours']}, **REAL)
    exec(take, names)
    net = load_networks(names['exp'])['I3D']
    assert net.stats == (0, 1 / 255) and net.classes == SSV2_CLASSES and net.clip_shape == (16, 224, 224)
    state = torch.load(names['yours'], weights_only=True)['state_dict']
    torch.testing.assert_close(net.logits.bias.cpu(), state['module.logits.conv3d.bias'])
    assert list(make_table1(names['exp']).index.str.contains('I3D')) == [True, True]


@pytest.mark.parametrize(
    'networks,says',
    [
        ({'I3D': 'none.safetensors'}, 'networks, I3D: none.safetensors: no such checkpoint'),
        ({'I3D': torch.nn.Linear(1, 1)}, "networks, I3D: a Linear in the place of a checkpoint.*save_model"),
        ('none.safetensors', "networks: a dict of label -> path of a checkpoint"),
    ],
    ids=str,
)
def test_networks_are_looked_at_before_the_long_work(networks, says):
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        Experiment('something', False, networks=networks)
