"Folds of whole groups: who is apart from whom, what is kept, and a short fold that learns"

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from interpvid.cli import main
from interpvid.data.synthetic import make_clips
from interpvid.data.windows import WindowClips, Windows, window_clips
from interpvid.folds import (
    Fold,
    FoldsResult,
    FoldsTime,
    fold_folder,
    make_folds,
    named_groups,
    over_groups,
    predict_films,
    run_folds,
    train_fold,
)
from interpvid.models.checkpoints import load_model
from interpvid.models.pretrained import at_pace, parts_of, said_of_parts
from interpvid.report.answers import answers_of, clips_for
from interpvid.report.page import only_split, right_finding
from interpvid.video import write_video

SIDES = ['from left to right', 'from right to left']


def drawn(n=60, groups=6, **more):
    "Things pushed to either side, as films of some groups"
    clips = make_clips(n, seed=3, only=[6, 7], progress=False, workers=0)
    labels = np.unique(clips.labels, return_inverse=True)[1]
    names = [f'g{k * groups // n + 1}' for k in range(n)]
    return WindowClips(list(clips.frames), labels, SIDES, names, backwards=1 - labels, **more)


@pytest.fixture(scope='module')
def pushes():
    return drawn()


def some_set(seed):
    "Groups and labels as folders have them: of each group some films of some classes"
    rng = np.random.default_rng(seed)
    n_groups, n_classes = rng.integers(6, 15), rng.integers(2, 6)
    rows = [(f'p{g}', k) for g in range(n_groups) for k in range(n_classes) for _ in range(rng.integers(0, 3))]
    rows += [(f'p{g}', k) for g in (0, 1, 2) for k in range(n_classes)]
    groups, labels = zip(*rows)
    return np.array(groups), np.array(labels), [f'class {k}' for k in range(n_classes)]


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('folds', ['each', 3, 'halves'])
@pytest.mark.parametrize('stop', [0, 1])
def test_no_group_is_in_two_parts_and_each_is_tested_once(seed, folds, stop):
    groups, labels, classes = some_set(seed)
    known = sorted(set(groups), key=lambda g: int(g[1:]))
    if folds == 'halves':  # p0 and p1 have all classes
        first = ['p0', *known[3::2]]
        folds = f'{",".join(first)}:{",".join(g for g in known if g not in first)}'
    made = make_folds(groups, labels, classes, folds, stop, seed)
    tested = [g for f in made for g in f.test]
    assert sorted(tested) == sorted(known)
    for f in made:
        parts = f.test, f.train, f.stop
        assert sum(map(len, parts)) == len(set().union(*parts)) == len(known)
        assert len(f.stop) == stop
        assert set(labels[np.isin(groups, f.train)]) == set(labels), 'a class has nothing left to be learned from'


def test_folds_by_number_hold_about_as_much_of_each_class():
    groups, labels = np.repeat([f'g{k:02d}' for k in range(20)], 6), np.tile(range(6), 20)
    made = make_folds(groups, labels, list('abcdef'), '5')
    assert [len(f.test) for f in made] == [4] * 5
    assert made == make_folds(groups, labels, list('abcdef'), 5)
    assert made != make_folds(groups, labels, list('abcdef'), 5, seed=1)


def test_a_group_in_two_parts_is_named():
    with pytest.raises(ValueError, match="fold x: group 'b' is in training and in stopping"):
        Fold('x', ('a',), ('b', 'c'), ('b',))


@pytest.mark.parametrize(
    'folds, says',
    [
        ('4', '4 folds need as many groups, there are 3: a, b, c'),
        ('1', 'at least 2'),
        ('every', "'each'"),
        ('a:d', "no group 'd'; there are a, b, c"),
        ('a-b:c', 'fold c: no film of class'),
    ],
)
def test_what_cannot_be_folded_is_said(folds, says):
    groups, labels = list('aabbcc') + ['c'], [0, 1, 0, 1, 0, 1, 2]
    labels = [*labels[:-1], 2] if folds == 'a-b:c' else [0, 1, 0, 1, 0, 1, 0]
    groups = groups if folds != 'a-b:c' else [*groups, 'a'][:8]
    if folds == 'a-b:c':  # class 2 is in c and in a, but a split that tests a and c at once leaves none
        labels, folds, says = [*labels, 2], 'a,c:b', 'fold a,c: no film of class'
    with pytest.raises(ValueError, match=says):
        make_folds(groups, labels, ['one', 'two', 'three'][: max(labels) + 1], folds)


def test_ranges_of_groups_whose_names_hold_dashes():
    known = ['person-1', 'person-2', 'person-10']
    assert named_groups('person-1-person-10', known) == known
    assert named_groups('person-2, person-10', known) == known[1:]


def test_the_interval_is_over_groups():
    hits, groups = [1] * 9 + [0] * 9 + [1] * 9 + [0] * 9 + [1] * 9, np.repeat(list('abcde'), 9)
    a = over_groups(hits, groups)
    assert a['groups'] == 5 and a['mean'] == 0.6
    assert a['low'] == 0 and a['high'] == 1, 'five people who differ so much say nothing, however many films they have'
    for few in over_groups(hits[:36], groups[:36]), over_groups([1] * 45, groups):
        assert np.isnan(few['low']) and np.isnan(few['high'])
    # scipy's t interval of the groups' means
    means = [0.5, 0.75, 1, 0.25, 0.5]
    b = over_groups(np.concatenate([np.repeat([1, 0], [m * 4, 4 - m * 4]) for m in means]), np.repeat(list('abcde'), 4))
    half = 2.7764451 * np.std(means, ddof=1) / 5**0.5
    assert b['low'] == pytest.approx(0.6 - half) and b['high'] == pytest.approx(0.6 + half)


def film(length):
    "Each frame shows its own number"
    return np.arange(length, dtype=np.uint8)[:, None, None, None].repeat(9, 1).repeat(9, 2).repeat(3, 3)


def test_windows_lie_in_the_film_and_keep_the_pace():
    films = [film(n) for n in (10, 40, 100)]
    clips = WindowClips(films, [0, 0, 0], ['a'], list('xyz'), rates=[10, 25, 50], n=8, size=(9, 9), windows=Windows(1))
    for i, (length, rate) in enumerate(zip((10, 40, 100), (10, 25, 50))):
        tested = clips.tested(i)[:, :, 0, 0, 0].astype(int)
        assert tested.shape == (5, 8) and (np.diff(tested) >= 0).all() and tested.max() < length
        assert (np.ptp(tested, axis=1) <= rate).all(), 'a window lasts a second'
        assert tested[0, 0] == rate // 16 or tested[0, 0] <= 1
        assert length - 1 - tested[-1, -1] <= max(1, rate / 8)
        assert (clips[i][0].numpy()[:, 0, 0, 0] == tested[2]).all()


def test_training_windows_are_random_by_the_seed_and_in_order():
    clips = WindowClips(
        [film(60)], [0], ['a'], ['x'], n=8, size=(9, 9), windows=Windows(1, light=0, mirror=False), training=True
    )
    torch.manual_seed(0)
    seen = [clips[0][0].numpy()[:, 0, 0, 0] for _ in range(20)]
    torch.manual_seed(0)
    assert (np.stack([clips[0][0].numpy()[:, 0, 0, 0] for _ in range(20)]) == seen).all()
    starts = {int(s[0]) for s in seen}
    assert len(starts) > 8 and all((np.diff(s.astype(int)) > 0).all() for s in seen)


def test_a_mirror_image_has_the_label_of_its_side():
    films = [np.zeros((20, 8, 8, 3), np.uint8) for _ in range(2)]
    for k, f in enumerate(films):
        f[:, :, slice(4) if k == 0 else slice(4, 8)] = 255
    for classes, labels in (['left', 'right'], {0, 1}), (['left', 'other'], {0}):
        windows = Windows(area=1, light=0)
        clips = WindowClips(films, [0, 1], classes, ['x', 'y'], size=(8, 8), windows=windows, training=True)
        seen = [clips[0] for _ in range(30)]
        assert {int(y) for _, y in seen} == labels
        for x, y in seen:
            assert (x[0, 0, 0, 0] == 255) == (int(y) == 0), 'the bright half is on the side that the label names'


def test_a_still_clip_shows_one_frame():
    clips = WindowClips([film(60)], [0], ['a'], ['x'], n=8, size=(9, 9), still=True)
    for training in False, True:
        x = clips.seen_as(training=training)[0][0]
        assert (x == x[:1]).all()


def test_a_key_changes_with_films_labels_and_groups(pushes):
    key = pushes.key
    assert key == drawn().key
    other = [pushes.seen_as(slice(1, None)), pushes.seen_as(labels=1 - pushes.labels)]
    other.append(pushes.seen_as(group_of=pushes.group_of[::-1]))
    films = [f.copy() for f in pushes.films]
    films[3][0, 0, 0, 0] ^= 1
    other.append(pushes.seen_as(films=films))
    assert len({key, *(c.key for c in other)}) == 5


def test_a_short_fold_learns_and_goes_by_motion(pushes, tmp_path):
    "The one that stands for the long runs: groups apart, better than chance, the other side when reversed"
    seen = []
    how = dict(arch='i3d', folder=tmp_path, epochs=8, progress=False, log=seen.append)
    result = run_folds(pushes, 'g1-g3:g4-g6', **how)
    assert len(result.films) == 60 and result.chance == 0.5
    assert result.accuracy()['mean'] > 0.8
    assert result.accuracy('predicted reversed')['mean'] < 0.2
    assert result.accuracy('predicted reversed', 'reversed class')['mean'] > 0.8
    for fold in 'g1-g3', 'g4-g6':
        rows = result.films[result.films.fold == fold]
        about = json.loads((tmp_path / f'i3d-{fold}-0' / 'about.json').read_text())
        assert set(rows.group) == set(about['fold']['test'])
        assert not set(rows.group) & set(about['fold']['train'])
    # what was kept is what was said: the network of a fold gives these probabilities
    kept = np.load(tmp_path / 'i3d-g1-g3-0' / 'probabilities.npz')
    model = load_model(tmp_path / 'i3d-g1-g3-0' / 'model.safetensors')
    few = np.flatnonzero(np.isin(pushes.group_of, ['g1', 'g2', 'g3']))[:4]
    part = pushes.seen_as(few, windows=Windows(**about['preset']['windows']))
    np.testing.assert_allclose(predict_films(model, part), kept['predicted'][:4], atol=1e-5)
    table = result.summary()
    assert 'reversed, called by the other side' in table.index and table.loc['as they are', 'groups'] == 6


def test_one_frame_is_the_same_backwards(tmp_path):
    clips = drawn(24, 4)
    how = dict(folder=tmp_path, epochs=1, progress=False, log=lambda line: None)
    result = run_folds(clips, 'each', still=True, only=['g4'], **how)
    still = np.load(tmp_path / 'i3d-g4-0-still' / 'probabilities.npz')
    np.testing.assert_allclose(still['predicted'], still['predicted_reversed'], atol=1e-5)
    assert len(result.films) == 6 and (result.films['predicted'] == result.films['predicted reversed']).all()


def test_a_killed_run_goes_on(tmp_path):
    clips = drawn(24, 4)
    stopped, after = [], []

    def kill(line):
        stopped.append(line)
        if line.startswith('g1:'):
            raise KeyboardInterrupt

    how = dict(arch='clstm', folder=tmp_path, epochs=1, progress=False)
    with pytest.raises(KeyboardInterrupt):
        run_folds(clips, 'each', log=kill, **how)
    assert [p.name for p in sorted(tmp_path.glob('clstm-*'))] == ['clstm-g1-0']
    first = (tmp_path / 'clstm-g1-0' / 'films.csv').read_bytes()
    result = run_folds(clips, 'each', log=after.append, only=['g1', 'g2'], **how)
    assert [line.endswith('(kept from before)') for line in after[1:]] == [True, False]
    assert (tmp_path / 'clstm-g1-0' / 'films.csv').read_bytes() == first
    assert list(result.films.fold.unique()) == ['g1', 'g2']
    again = []
    run_folds(clips, 'each', log=again.append, only=['g1'], **{**how, 'epochs': 2})
    assert 'have changed' in again[1] and 'kept' not in again[2]


def test_stopping_looks_at_its_own_groups(tmp_path):
    clips = drawn(24, 4)
    fold = Fold('x', ('g1',), ('g2', 'g3'), ('g4',))
    model = train_fold(clips, fold, tmp_path, 'clstm', epochs=2)
    log = pd.read_csv(tmp_path / 'log.csv')
    assert list(log.columns) == ['epoch', 'train_loss', 'valid_loss', 'accuracy'] and len(log) == 2
    assert model.info['valid_loss'] == pytest.approx(log.valid_loss.min(), abs=1e-6)
    # the loss is that of the stopping groups' middle windows, under the network of that epoch
    from interpvid.learner import preset_of

    part = clips.seen_as(np.isin(clips.group_of, ['g4']), windows=Windows(**preset_of('clstm', 'film')['windows']))
    p = predict_films(model, part, 1)
    hit = (p.argmax(1) == part.labels).mean()
    assert hit == pytest.approx(log.accuracy[log.valid_loss.idxmin()], abs=0.17), 'six films; bfloat16 may move one'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "A folder as people have them: a folder for each class, who it is in the names"
    root = tmp_path_factory.mktemp('films')
    clips = drawn(24, 6)
    for k, (frames, label) in enumerate(zip(clips.films, clips.labels)):
        write_video(root / SIDES[label] / f'p{k // 4 + 1}_push{k}.mp4', frames, fps=12)
    return root


def test_the_command_folds_a_folder(folder, tmp_path, capsys):
    args = ['train', '--data', 'folder', '--root', str(folder), '--folds', 'p1-p3:p4-p6', '--preset', 'film']
    assert main([*args, '--arch', 'clstm', '--epochs', '1', '--out', str(tmp_path / 'out')]) == 0
    said = capsys.readouterr()
    for part in 'as they are', 'reversed', 'chance', 'p4-p6', *SIDES:
        assert part in said.out
    assert 'of 12 right' in said.out + said.err
    tables = {p.name for p in (tmp_path / 'out').iterdir()}
    assert {'films.csv', 'summary.csv', 'confusion.csv', 'folds.csv', 'outcome.txt', 'clstm-p1-p3-0'} <= tables
    films = pd.read_csv(tmp_path / 'out' / 'films.csv')
    assert len(films) == 24 and set(films.group) == {f'p{k}' for k in range(1, 7)}
    assert 'trained for 1 of the ' in said.out and 'called by the same class' in said.out
    # the network is an ordinary checkpoint, and knows how long its windows were
    net = load_model(tmp_path / 'out' / 'clstm-p1-p3-0' / 'model.safetensors')
    assert net.classes == SIDES and net.info['window_seconds'] == 1.28
    # a film, a report and a folder of folds in its place
    film = next(folder.rglob('p5_*.mp4'))
    how = ['--checkpoints', str(net.path), '--out', str(tmp_path / 'ex'), '--iterations', '1']
    long = write_video(tmp_path / 'long.mp4', np.random.default_rng(0).integers(0, 255, (60, 64, 64, 3), np.uint8), 12)
    assert main(['explain', str(long), str(film), *how]) == 0
    said = capsys.readouterr().out
    shown = 'saw 1.28 s from second 1.86 on, as it was trained; --start and --stop take another part'
    assert shown in said and shown in (tmp_path / 'ex' / 'long.html').read_text()
    assert 'integrated' not in said and 'Heat map: Grad-CAM, from blue' in (tmp_path / 'ex' / 'long.html').read_text()
    assert main(['explain', str(long), *how, '--start', '0.5']) == 0
    assert 'as it was trained' not in capsys.readouterr().out
    shown = at_pace(net, clips_for(net, folder))
    assert all(i.stop - i.start == pytest.approx(1.28) for i in shown.items if i.stop is not None)
    assert (parts_of(net, shown) == parts_of(net, clips_for(net, folder))).all()
    assert shown.window == 'Of whole films the middle 1.28 s are shown, as in training.'
    assert shown.window in right_finding(answers_of(net, folder, asked=())).says
    report = ['report', str(folder), '--explained', '0', '--out', str(tmp_path / 'r.html'), '--networks']
    assert main([*report, str(tmp_path / 'out')]) == 1
    assert 'holds 2 networks' in (said := capsys.readouterr().err) and '--split test' in said
    assert main(['explain', str(film), '--checkpoints', str(tmp_path / 'out')]) == 1
    assert 'clstm-p1-p3-0' in capsys.readouterr().err
    assert '--split test (' in said_of_parts(parts_of(net, shown), 'mine')
    assert '--split' not in said_of_parts(np.array(['train'] * 5, object), 'mine')
    with pytest.raises(ValueError, match='folds of more people, as by `interpvid train --folds 2`'):
        only_split({'mine': net}, sorted(folder.rglob('p[145]_push*.mp4')), 'test')


def test_the_preset_without_folds_tests_the_folders_own_split(folder, tmp_path):
    result = fold_folder(folder, arch='clstm', folder=tmp_path, epochs=1, progress=False, log=lambda line: None)
    assert set(result.films.fold) == {'validation'} and 0 < len(result.films) < 24


@pytest.mark.parametrize(
    'options, says',
    [
        (['--folds', '7'], '7 folds need as many groups, there are 6'),
        (['--folds', 'p1:p9'], "no group 'p9'"),
        (['--folds', 'each', '--bs', '4'], '--bs has no place'),
        (['--folds', 'each', '--augment'], '--augment has no place'),
        (['--folds', 'each', '--groups', 'q(.)'], 'matches none of the names'),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(folder, tmp_path, capsys, options, says):
    args = ['train', '--data', 'folder', '--root', str(folder), '--preset', 'film', '--out', str(tmp_path / 'out')]
    assert main([*args, *options]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and says in lines[0]
    assert not (tmp_path / 'out').exists(), 'nothing was begun'


def test_a_folder_without_groups_is_refused(tmp_path, capsys):
    for k in range(4):
        name = 'tree house door sky'.split()[k]
        write_video(tmp_path / 'ab'[k % 2] / f'{name}.mp4', np.zeros((4, 16, 16, 3), np.uint8), fps=5)
    assert main(['train', '--data', 'folder', '--root', str(tmp_path), '--folds', 'each', '--preset', 'film']) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert 'no groups' in said and '--groups takes a pattern' in said and 'walking/anna/IMG_0001.mp4' in said


def test_folders_of_people_within_the_class_are_groups(folder, tmp_path):
    "Names as a phone gives them; the networks know afterwards what they were trained on"
    root = tmp_path / 'films'
    for k, path in enumerate(sorted(folder.rglob('*.mp4'))):
        to = root / path.parent.name / path.name.split('_')[0].replace('p', 'person') / f'IMG_{k:04}.mp4'
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to)
    how = dict(arch='clstm', folder=tmp_path / 'out', epochs=1, progress=False, log=lambda line: None)
    result = fold_folder(root, '2', **how)
    assert len(result.films) == 24 and set(result.films.group) == {f'person{k}' for k in range(1, 7)}
    rows = pd.read_csv(tmp_path / 'out' / 'clstm-fold1-0' / 'clips.csv')
    assert len(rows) == 24 and set(rows['part']) == {'train', 'test'}


def test_how_long_all_folds_take_is_said():
    lines = []
    told = FoldsTime(5, lines.append)
    told.learn, told.steps = SimpleNamespace(n_epoch=640, dls=SimpleNamespace(train=range(2))), 6
    told.say(0.001)
    assert not lines
    told.say(0.25)
    assert lines[0].startswith('5 folds × 1280 steps, about 27 minutes; --epochs 80 (epochs=) for a first look, ')
    assert 'about 3 minutes. Finished folds are kept' in lines[0]


def test_a_film_that_cannot_be_read_is_named_or_left_out(folder, tmp_path):
    from interpvid.data.clips import folder_items

    root = tmp_path / 'films'
    shutil.copytree(folder, root)
    broken = next(root.rglob('p2_*.mp4'))
    broken.write_bytes(broken.read_bytes()[:200])
    items = folder_items(root, 0, progress=False)
    with pytest.raises(ValueError, match=broken.name):
        window_clips(items, progress=False)
    with pytest.warns(UserWarning, match='1 films are left out'):
        clips = window_clips(items, progress=False, on_error='skip')
    assert len(clips) == 23 and not any(broken.name in n for n in clips.names)


def test_tables_of_a_result():
    films = pd.DataFrame(
        dict(
            fold=list('aabb'),
            clip=list('wxyz'),
            group=list('gghh'),
            predicted=list('lrlr'),
            probability=1.0,
        )
    )
    films['class'] = list('lrll')
    for column, said in {'predicted reversed': 'rlrl', 'reversed class': 'rlrr', 'middle window': 'llll'}.items():
        films[column] = list(said)
    r = FoldsResult(films)
    assert r.accuracy()['mean'] == 0.75 and r.chance == 0.75
    assert r.confusion().to_dict('index') == {'l': {'l': 2, 'r': 1}, 'r': {'l': 0, 'r': 1}}
    assert r.by_fold()['accuracy'].to_dict() == {'a': 1, 'b': 0.5}
    assert r.summary().loc['reversed, called by the other side', 'accuracy'] == 0.75
    assert 'no interval: 2 groups' in str(r)
