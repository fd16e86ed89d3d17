"Runs that are killed, resumed, shared among processes; the numbers that come out of them."

import json, math, os, re, signal, subprocess, sys, time
from functools import partial
from types import SimpleNamespace
from pathlib import Path

import numpy as np, pandas as pd, pytest, torch
from torch import nn

from interpvid.cli import main
from interpvid.core import seed_everything
from interpvid.data.clips import ArrayClips
from interpvid.data.loaders import clip_dls
from interpvid.data.synthetic import SYNTHETIC_CLASSES, make_clips, synthetic_dls
from interpvid.learner import (
    PRESETS,
    NoValidation,
    clstm_learner,
    i3d_learner,
    load_state,
    make_learner,
    preset_of,
    run_epoch,
)
from interpvid.models.checkpoints import load_model
from interpvid.models.i3d import I3D
from interpvid.classify import class_metrics, class_table, predict
from interpvid.registry import NETWORKS, Network, register
from interpvid.training import evaluate, load_data, train
from interpvid.video import write_video
from videos import by_opencv, numbered

SMALL = dict(width=0.0625)


@pytest.fixture(scope='module')
def dls():
    return synthetic_dls(4, 24, bs=12, progress=False, size=32)


def fit(learn, *a, **k):
    with learn.no_bar(), learn.no_logging():
        return learn.fit_preset(*a, **k)


def rows(folder):
    return pd.read_csv(folder / 'log.csv').drop(columns='seconds').values


class Stop(Exception):
    pass


def stopping(epoch, batch):
    from fastai.callback.core import Callback

    class Unplug(Callback):
        order = 70

        def after_batch(self):
            if self.training and run_epoch(self.learn) == epoch and self.iter == batch:
                raise Stop('gone')

    return Unplug()


# -- presets ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    'name,epochs,wd,opt',
    [
        ('i3d-something', 13, 0, 'adam'),
        ('i3d-kth', 30, 5e-5, 'adam'),
        ('clstm-something', 105, 0, 'sgd'),
        ('clstm-kth', 21, 1e-4, 'sgd'),
    ],
)
def test_table_3(name, epochs, wd, opt):
    p = PRESETS[name]
    assert (p['epochs'], p['wd'], p['opt']) == (epochs, wd, opt)
    assert (
        p['model'].get('dropout', 0.0)
        == {'i3d-something': 0.5, 'i3d-kth': 0.7, 'clstm-something': 0.0, 'clstm-kth': 0.5}[name]
    )
    assert p['lr'] == (0.008 if 'i3d' in name else 0.001)
    assert p.get('momentum') == (None if opt == 'adam' else 0.2)
    assert p['plateau']['factor'] == 2


def test_a_preset_is_printed_and_an_unknown_one_named(dls, capsys):
    i3d_learner(dls, **SMALL)
    assert "preset 'small'" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no preset 'smal' for i3d; there are something, kth"):
        i3d_learner(dls, 'smal')


class Ones(nn.Module):
    "A network with three weights, all one"

    def __init__(self, n_classes):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))


@pytest.mark.parametrize('arch,preset', [('i3d', 'something'), ('clstm', 'something'), ('clstm', 'released-tf')])
def test_decay_is_what_the_program_does(dls, arch, preset):
    "One step without a gradient: by L2 Adam steps by the rate, `per step` shrinks by wd at any rate"
    learn = make_learner(Ones, dls, {**preset_of(arch, preset), 'wd': 1e-2, 'model': {}})
    learn.create_opt()
    w = learn.model.w
    w.grad = torch.zeros(3)
    learn.opt.step()
    p = learn.preset
    want = {'L2': 1 - p['lr'], 'per step': 1 - 1e-2}[p['decay']]  # Adam turns any constant gradient into a step of lr
    torch.testing.assert_close(w.data, torch.full((3,), want), atol=1e-5, rtol=0)


def test_the_rate_is_halved_on_a_plateau(dls, tmp_path, monkeypatch):
    """No accuracy is better by more than 1 than the first: the rate falls two epochs later, and again after two more.

    Also where the run was stopped in between."""
    monkeypatch.setitem(
        PRESETS,
        'i3d-flat',
        {**preset_of('i3d', 'something'), 'plateau': dict(monitor='accuracy', patience=2, factor=2, min_delta=1.0)},
    )
    with pytest.raises(Stop):
        fit(i3d_learner(dls, 'flat', cbs=stopping(1, 1), verbose=False, **SMALL), 6, tmp_path, every=0)
    rates = [r['lr'] for r in fit(i3d_learner(dls, 'flat', verbose=False, **SMALL), 6, tmp_path).history]
    assert np.allclose(rates, [0.008, 0.008, 0.008, 0.004, 0.004, 0.002])


# -- resuming ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    'make,preset,kw',
    [
        (i3d_learner, 'small', dict(dropout=0.3, **SMALL)),
        (i3d_learner, 'something', SMALL),
        (clstm_learner, 'small', dict(hidden=(8, 8, 8), stride=(2, 1, 1), pool=(2, 2, 1), dropout=0.3)),
    ],
)
@pytest.mark.parametrize('at', [(0, 0), (1, 2), (2, 3)])
def test_a_broken_run_ends_like_a_whole_one(dls, tmp_path, make, preset, kw, at):
    def run(folder, *cbs):
        seed_everything(1)
        return fit(make(dls, preset, cbs=cbs, verbose=False, **kw), 3, folder, seed=5, every=0)

    whole = run(tmp_path / 'whole')
    with pytest.raises(Stop):
        run(tmp_path / 'broken', stopping(*at))
    again = run(tmp_path / 'broken')
    np.testing.assert_allclose(rows(tmp_path / 'broken'), rows(tmp_path / 'whole'), rtol=1e-5)
    for a, b in zip(whole.model.state_dict().values(), again.model.state_dict().values()):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('workers', [0, 2])
def test_augmentation_does_not_depend_on_where_a_run_was_broken(tmp_path, workers):
    from interpvid.data.augment import clip_augment

    c = make_clips(4, 0, siblings=True, size=32, progress=False)
    dls = clip_dls(
        c,
        make_clips(12, 1, size=32, progress=False),
        bs=12,
        item_tfms=clip_augment(SYNTHETIC_CLASSES),
        num_workers=workers,
    )

    def run(folder, *cbs):
        seed_everything(1)
        return fit(i3d_learner(dls, cbs=cbs, verbose=False, **SMALL), 2, folder, every=0)

    run(tmp_path / 'whole')
    with pytest.raises(Stop):
        run(tmp_path / 'broken', stopping(1, 1))
    run(tmp_path / 'broken')
    np.testing.assert_allclose(rows(tmp_path / 'broken'), rows(tmp_path / 'whole'), rtol=1e-5)
    assert dls.train.salt is None
    assert dls.train.skip_batches == 0


def test_an_interrupt_leaves_no_bfloat16_behind(dls):
    learn = i3d_learner(dls, verbose=False, **SMALL)
    was = learn.model.features.Mixed_5c.forward

    def interrupted(x):
        raise KeyboardInterrupt

    learn.model.features.Mixed_5c.forward = interrupted
    with pytest.raises(KeyboardInterrupt):
        fit(learn, 1)
    assert not torch.is_autocast_enabled('cpu')
    learn.model.features.Mixed_5c.forward = was
    x = dls.one_batch()[0]
    with torch.no_grad():
        assert learn.model.eval()(x).dtype == torch.float32
        assert learn.model.features(x).dtype == torch.float32


def test_a_finished_run_is_not_run_again_and_fresh_begins_anew(dls, tmp_path):
    a = fit(i3d_learner(dls, verbose=False, **SMALL), 2, tmp_path)
    t = (tmp_path / 'state.pt').stat().st_mtime_ns
    b = fit(i3d_learner(dls, verbose=False, **SMALL), 2, tmp_path)
    assert (tmp_path / 'state.pt').stat().st_mtime_ns == t
    assert b.history == a.history
    assert all(torch.equal(p, q) for p, q in zip(a.model.state_dict().values(), b.model.state_dict().values()))
    fit(i3d_learner(dls, verbose=False, **SMALL), 2, tmp_path, fresh=True)
    assert (tmp_path / 'state.pt').stat().st_mtime_ns != t


@pytest.mark.parametrize(
    'change', [dict(epochs=3), dict(seed=1), dict(width=0.125), dict(preset='something'), dict(size=24)]
)
def test_the_folder_of_another_run_is_refused(dls, tmp_path, change):
    fit(i3d_learner(dls, verbose=False, **SMALL), 2, tmp_path)
    kw = {**SMALL, **{k: v for k, v in change.items() if k == 'width'}}
    if 'size' in change:
        dls = synthetic_dls(4, 24, bs=12, progress=False, size=change['size'])
    name = {
        'width': 'network.width 0.0625 .now 0.125.',
        'preset': 'preset.lr 0.002 .now 0.008.',
        'size': 'clip shape',
    }.get(next(iter(change)), next(iter(change)))
    with pytest.raises(ValueError, match=f'holds another run, with .*{name}.*fresh=True'):
        fit(
            i3d_learner(dls, change.get('preset', 'small'), verbose=False, **kw),
            change.get('epochs', 2),
            tmp_path,
            seed=change.get('seed'),
        )


@pytest.mark.parametrize(
    'spoil',
    [
        lambda p: p.write_bytes(b''),
        lambda p: p.write_bytes(p.read_bytes()[:-200]),
        lambda p: p.write_text('no'),
        lambda p: torch.save({'a': 1}, p),
    ],
)
def test_a_state_that_is_none_is_named(dls, tmp_path, spoil):
    fit(i3d_learner(dls, verbose=False, **SMALL), 1, tmp_path)
    spoil(tmp_path / 'state.pt')
    with pytest.raises(ValueError, match='state.pt: is not the state of a run.*fresh=True'):
        fit(i3d_learner(dls, verbose=False, **SMALL), 1, tmp_path)


def first_edition(state):
    "A state as the first edition kept it: tuples where there are names today"
    n, p = state['rng']['numpy'], state['rng']['python']
    rng = (
        state['rng']['torch'],
        state['rng']['cuda'],
        (n['name'], n['keys'], n['pos'], n['has_gauss'], n['gauss']),
        (p['version'], p['words'], p['gauss_next']),
    )
    trackers = [(t['best'], t['wait']) for t in state['trackers']]
    return {**state, 'rng': rng, 'trackers': trackers, 'smooth': tuple(state['smooth'].values())}


def test_a_run_of_the_first_edition_goes_on(dls, tmp_path):
    def run(folder, *cbs):
        seed_everything(1)
        return fit(i3d_learner(dls, 'something', cbs=cbs, verbose=False, **SMALL), 3, folder, seed=5, every=0)

    whole = run(tmp_path / 'whole')
    with pytest.raises(Stop):
        run(tmp_path / 'old', stopping(1, 2))
    state = load_state(tmp_path / 'old' / 'state.pt')
    assert (state['epoch'], state['batch']) == (1, 3)
    torch.save(first_edition(state), tmp_path / 'old' / 'state.pt')
    again = run(tmp_path / 'old')
    np.testing.assert_allclose(rows(tmp_path / 'old'), rows(tmp_path / 'whole'), rtol=1e-5)
    for a, b in zip(whole.model.state_dict().values(), again.model.state_dict().values()):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def without_validation():
    c = make_clips(2, 0, size=32, progress=False)
    return clip_dls(c, ArrayClips(c.frames[:0], c.labels[:0], c.classes), bs=2)


def test_missing_validation_clips_are_said_before_the_first_step(dls, tmp_path):
    "D1: the first edition trained for an epoch and stopped with a TypeError"
    with pytest.raises(ValueError, match='no clips to validate on.*valid_pct'):
        fit(i3d_learner(without_validation(), verbose=False, **SMALL), 1, tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match='NoValidation skips'):
        fit(i3d_learner(dls, 'something', cbs=NoValidation(), verbose=False, **SMALL), 1)
    fit(i3d_learner(dls, cbs=NoValidation(), verbose=False, **SMALL), 1)


@pytest.mark.parametrize('epochs', [0, -1, 1.5, True])
def test_epochs_are_a_whole_number(dls, epochs):
    "B22: no silent default in place of zero"
    with pytest.raises(ValueError, match=f'epochs has to be a whole number of at least 1, not {epochs}'):
        fit(i3d_learner(dls, verbose=False, **SMALL), epochs)


def test_a_state_that_would_run_code_does_not(dls, tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / 'evil'),))

    torch.save(dict(about={}, x=Evil()), tmp_path / 'state.pt')
    with pytest.raises(ValueError, match='is not the state of a run'):
        fit(i3d_learner(dls, verbose=False, **SMALL), 1, tmp_path)
    assert not (tmp_path / 'evil').exists()


def test_early_stop_is_remembered(dls, tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, 'i3d-still', {**preset_of('i3d', 'small'), 'lr': 1e-30, 'flat_start': False})
    go = lambda: fit(i3d_learner(dls, 'still', verbose=False, **SMALL), 9, tmp_path, patience=2)
    a = go()
    assert len(a.history) < 9
    n = (tmp_path / 'state.pt').stat().st_mtime_ns
    assert go().history == a.history
    assert (tmp_path / 'state.pt').stat().st_mtime_ns == n


def test_the_best_network_is_the_one_with_the_least_loss(dls, tmp_path):
    learn = fit(i3d_learner(dls, 'something', verbose=False, **SMALL), 4, tmp_path)
    best = load_model(tmp_path / 'best.safetensors', 'cpu')
    i = int(np.argmin([r['valid_loss'] for r in learn.history]))
    assert best.info['epoch'] == i + 1
    assert math.isclose(best.info['valid_loss'], learn.history[i]['valid_loss'], rel_tol=1e-6)


@pytest.mark.posix
def test_killed_in_the_middle_of_an_epoch(tmp_path):
    "SIGKILL at random moments, as the issue of a machine that goes down; the table is that of an unbroken run"
    args = [
        'train',
        '--data',
        'synthetic',
        '--scenes',
        '6',
        '--valid',
        '24',
        '--size',
        '32',
        '--arch',
        'i3d',
        '--epochs',
        '3',
        '--bs',
        '6',
        '--keep-every',
        '0.05',
    ]
    exe = [sys.executable, '-c', 'import sys; from interpvid.cli import main; sys.exit(main())', *args, '--out']
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    r = subprocess.run([*exe, tmp_path / 'whole'], capture_output=True, text=True, env=env)
    assert r.returncode == 0, r.stderr[-1500:]
    killed = 0
    for _ in range(40):
        p = subprocess.Popen([*exe, tmp_path / 'broken'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
        state, seen = tmp_path / 'broken' / 'state.pt', None
        was = state.stat().st_mtime_ns if state.exists() else 0
        while p.poll() is None:
            now = state.stat().st_mtime_ns if state.exists() else 0
            if killed < 3 and now != was and (seen := (seen or 0) + 1) > 4:
                p.send_signal(signal.SIGKILL)
                p.wait()
                killed += 1
                break
            was = now
            time.sleep(0.005)
        else:
            break
    assert killed == 3
    assert p.returncode == 0
    assert (tmp_path / 'broken' / 'table1.csv').read_text() == (tmp_path / 'whole' / 'table1.csv').read_text()
    np.testing.assert_allclose(rows(tmp_path / 'broken'), rows(tmp_path / 'whole'), rtol=1e-5)
    assert not list((tmp_path / 'broken').glob('.*')), 'nothing half-written stays'


def test_a_loss_that_is_no_number_stops_the_training(dls, tmp_path, monkeypatch):
    fit(i3d_learner(dls, verbose=False, **SMALL), 1, tmp_path / 'a')
    kept = (tmp_path / 'a' / 'state.pt').read_bytes()
    monkeypatch.setitem(PRESETS, 'i3d-wild', {**preset_of('i3d', 'small'), 'lr': 1e30, 'clip': None})
    with pytest.raises(ValueError, match='the training loss is (nan|inf) in batch .* of epoch 1.*lower learning rate'):
        fit(i3d_learner(dls, 'wild', verbose=False, **SMALL), 3, tmp_path / 'b')
    assert not (tmp_path / 'b' / 'state.pt').exists()
    assert (tmp_path / 'a' / 'state.pt').read_bytes() == kept


# -- chance -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    'right,clips,chance,classes,learned,said',
    [
        (4, 12, 1 / 3, 3, False, 'no better than chance: nothing was learned (chance for 3 classes is 0.33'),
        (7, 12, 1 / 3, 3, False, 'guessing does as well in 7 % of tries'),
        (8, 12, 1 / 3, 3, True, 'accuracy 0.67 on 12 validation clips; chance for 3 classes is 0.33'),
        (2, 2, 1 / 2, 2, False, 'too few clips to tell whether anything was learned (it takes at least 5)'),
        (9, 10, 0.9, 3, False, 'always naming the commonest of 3 classes gives 0.90'),
        (5, 5, 1.0, 3, False, 'it takes clips of more than one class'),
        (600, 24_000, 1 / 174, 174, True, 'accuracy 0.03 on 24000'),
    ],
)
def test_accuracy_is_said_beside_chance(right, clips, chance, classes, learned, said):
    "D12: chance is said, and what is no better than it"
    from interpvid.chance import REMEDY, Outcome, outcome_lines

    o = Outcome(right, clips, chance, classes)
    assert o.learned == learned and said in str(o)
    assert (REMEDY in outcome_lines({'Net': o})) == (o.tells and not learned)


def test_small_sets_train_for_as_many_steps_as_networks_take():
    "D12: three classes, 18 videos; the paper's presets stay as they are"
    from interpvid.learner import batch_of, epochs_of

    for arch in 'i3d', 'clstm':
        p = preset_of(arch, 'small')
        bs = batch_of(p, 15)
        assert epochs_of(p, 15 // bs) * (15 // bs) >= 360
        assert batch_of(p, 2880) == 24 and epochs_of(p, 120) == p['epochs']
        paper = preset_of(arch, 'something')
        assert batch_of(paper, 15) == 16 and epochs_of(paper, 1) == paper['epochs']


def test_a_checkpoint_knows_how_good_its_network_was(dls, tmp_path):
    from interpvid.chance import outcome_from

    learn = fit(i3d_learner(dls, verbose=False, **SMALL), 2, tmp_path)
    best = load_model(tmp_path / 'best.safetensors', 'cpu')
    o, row = outcome_from(best.info), learn.history[best.info['epoch'] - 1]
    assert (o.clips, o.classes, o.chance) == (24, 12, 1 / 12) and o.accuracy == pytest.approx(row['accuracy'])
    for junk in {}, None, {'outcome': 3}, {'outcome': {'right': '<b>', 'clips': 1, 'chance': 0.5, 'classes': 2}}:
        assert outcome_from(junk) is None


def test_training_at_chance_is_not_called_a_success(dls, tmp_path):
    "D12: 'the best of 3 epochs is number 1' was said of a network at chance"
    lines = []
    with torch.random.fork_rng():
        got = train(dls, 'i3d', folder=tmp_path, epochs=1, log=lines.append, progress=False, **SMALL)
    said = '\n'.join(lines)
    assert not got['outcomes']['I3D'].learned
    assert 'nothing was learned' in said and 'the best of' not in said and 'What may help' in said
    assert re.search(r'48 clips in batches of 12: 1 epochs of 4 steps, 4 steps in all. This is little', said)
    assert '(chance 0.083)' in said


# -- several processes ------------------------------------------------------------------------------
def torchrun(n, *args):
    r = subprocess.run(
        [
            Path(sys.executable).with_name('torchrun'),
            '--standalone',
            '--nproc_per_node',
            str(n),
            '--no-python',
            Path(sys.executable).with_name('interpvid'),
            *map(str, args),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )
    assert r.returncode == 0, r.stderr[-2000:]
    return r


def test_two_processes_train_one_network_and_count_each_clip_once(tmp_path):
    clips = '--data', 'events', '--valid', '31', '--size', '32'  # neither a multiple of two nor of the batch
    r = torchrun(
        2, 'train', *clips, '--scenes', '8', '--bs', '6', '--epochs', '4', '--arch', 'i3d', '--out', tmp_path / 'run'
    )
    assert json.loads((tmp_path / 'run' / 'settings.json').read_text())['processes'] == 2
    assert r.stdout.count("preset 'small'") == 1 and r.stdout.count('F1 macro') == 1  # one of them speaks
    log = pd.read_csv(tmp_path / 'run' / 'log.csv')
    assert log.train_loss.iloc[-1] < log.train_loss.iloc[0] - 0.05
    torchrun(2, 'evaluate', tmp_path / 'run' / 'best.safetensors', *clips, '--scenes', '1', '--out', tmp_path / 'two')
    assert (
        main(
            [
                'evaluate',
                str(tmp_path / 'run' / 'best.safetensors'),
                *clips,
                '--scenes',
                '1',
                '--out',
                str(tmp_path / 'one'),
            ]
        )
        == 0
    )
    a, b = (pd.read_csv(tmp_path / n / 'table1.csv', index_col=0) for n in ('one', 'two'))
    pd.testing.assert_frame_equal(a, b, rtol=1e-6)
    c = pd.read_csv(tmp_path / 'two' / 'classes.csv')
    assert c.clips.sum() == 31
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / 'run' / 'table1.csv', index_col=0), a, rtol=1e-6)


# -- scores -----------------------------------------------------------------------------------------
def test_table_1_is_what_sklearn_says(dls):
    from sklearn.metrics import accuracy_score, f1_score, top_k_accuracy_score

    rng = np.random.default_rng(0)
    y = rng.integers(0, 7, 200)
    p = rng.dirichlet(np.ones(7), 200)
    p[np.arange(200), y] += 0.2 * rng.random(200)
    m = class_metrics(p, y)
    g = p.argmax(1)
    assert np.allclose(
        [m['F1 macro'], m['F1 weighted'], m['top-1'], m['top-5']],
        [
            f1_score(y, g, average='macro'),
            f1_score(y, g, average='weighted'),
            accuracy_score(y, g),
            top_k_accuracy_score(y, p, k=5),
        ],
    )
    t = class_table(p, p[::-1], y, list('abcdefg'))
    f = f1_score(y, g, average=None)
    assert np.allclose(t.F1, [f['abcdefg'.index(c)] for c in t.index])
    assert t.lost.is_monotonic_decreasing


def test_frames_are_not_normalised_by_a_guess():
    "A model without `stats` is refused, not normalised by the built-in clips' mean and deviation"

    class Net(nn.Module):
        def forward(self, x):
            return x.mean((1, 3, 4))[:, :2]

    frames = make_clips(12, 3, progress=False, size=32).frames
    with pytest.raises(ValueError, match=r'Net has no `stats`.*stats=\(mean, std\)'):
        predict(Net(), frames)
    assert not np.allclose(predict(Net(), frames, stats=(0, 1)), predict(Net(), frames, stats=(0, 0.2)))


def test_reversal_is_in_time_alone():
    clips = make_clips(12, 3, progress=False, size=32)
    seen = []

    class Net(nn.Module):
        stats = (0.5, 0.5)

        def __init__(self):
            super().__init__()
            self.k = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            seen.append(x.clone())
            return self.k * x.mean((1, 2, 3, 4))[:, None].expand(-1, 12)

    predict(Net(), clips.frames)
    predict(Net(), clips.frames, True)
    assert torch.equal(seen[0].flip(2), seen[1])


def test_clips_that_cannot_be_read_are_left_out_of_the_numbers(tmp_path):
    from interpvid.data.clips import FileClips, folder_items

    for k, c in enumerate('ab'):
        (tmp_path / c).mkdir()
        for i in range(4):
            by_opencv(tmp_path / c / f'{i}.avi', numbered(20 + i), 'MJPG')
    items = folder_items(tmp_path, valid_pct=0.5).only('validation')
    ds = FileClips(items, 4, (16, 16))
    items[1].path.write_bytes(b'gone')

    class Net(nn.Module):
        stats = (0.5, 0.5)

        def __init__(self):
            super().__init__()
            self.k = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return self.k * torch.stack([x.mean((1, 2, 3, 4)), -x.mean((1, 2, 3, 4))], 1)

    with pytest.warns(UserWarning, match='left out'):
        p = predict(Net(), ds, bs=2)
    assert np.isnan(p).any(1).tolist() == [i == 1 for i in range(len(ds))]
    assert class_metrics(p, ds.labels)['top-1'] in (
        0,
        1 / 3,
        2 / 3,
        1,
    )


@pytest.mark.parametrize('name', ['synthetic', 'events', 'people'])
def test_drawn_clips_take_the_number_of_frames_by_the_same_name_as_files(name):
    clips = load_data(name, n=14, size=32, n_train=1, n_valid=12, progress=False)
    assert clips.valid.one_batch()[0].shape[2:] == (14, 32, 32)


# -- the command ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    'args,why',
    [
        (['--data', 'kth'], "needs the folder"),
        (['--data', 'events', '--root', 'x'], 'need no folder'),
        (['--data', 'folder', '--root', '/nowhere'], 'no such folder'),
        (['--data', 'events', '--preset', 'big'], "no preset 'big'"),
        (['--data', 'events', '--size', '1', '2', '3'], '--size takes'),
        (['--data', 'events', '--augment'], '--augment is for'),
        (['--data', 'events', '--scenes', '0'], 'at least 1'),
        (['--data', 'events', '--weights', '/nowhere.pt'], 'nowhere.pt'),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(args, why, capsys, tmp_path):
    extra = [] if '--scenes' in args else ['--scenes', '1', '--valid', '12', '--size', '32']
    assert main(['train', *args, *(extra if '--size' not in args else extra[:4]), '--out', str(tmp_path / 'r')]) == 1
    err = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(why, err)
    assert err.startswith('interpvid train:')


def test_train_on_a_folder_of_videos_and_evaluate(tmp_path, capsys):
    for c in 'cat', 'dog':
        (tmp_path / 'd' / c).mkdir(parents=True)
        for i in range(5):
            by_opencv(tmp_path / 'd' / c / f'{i}.avi', numbered(20), 'MJPG')
    common = '--data', 'folder', '--root', str(tmp_path / 'd'), '--workers', '0'
    assert (
        main(
            [
                'train',
                *common,
                '--frames',
                '8',
                '--size',
                '32',
                '48',
                '--bs',
                '4',
                '--epochs',
                '1',
                '--arch',
                'i3d',
                '--out',
                str(tmp_path / 'r'),
            ]
        )
        == 0
    )
    m = load_model(tmp_path / 'r' / 'best.safetensors', 'cpu')
    assert m.classes == ['cat', 'dog']
    assert m.clip_shape == (8, 32, 48)
    assert main(['evaluate', str(tmp_path / 'r' / 'best.safetensors'), *common]) == 0
    assert 'I3D, reversed' in capsys.readouterr().out


def test_a_third_network_is_reported_by_its_own_name(dls, tmp_path, monkeypatch):
    "The first edition called every network that is not I3D 'C-LSTM'"
    monkeypatch.setattr(NETWORKS, 'loaded', dict(NETWORKS.loaded))
    preset = {**preset_of('i3d', 'small'), 'epochs': 1}
    register(Network('slim', 'Slim I3D', partial(I3D, **SMALL), {'mine': preset}, modules=('models.i3d',)))
    lines = []
    got = train(dls, 'slim', 'mine', tmp_path, epochs=1, log=lines.append, progress=False)
    assert got['table1'].index.tolist() == ['Slim I3D', 'Slim I3D, reversed']
    assert list(got['classes']) == ['Slim I3D']
    assert lines[0].startswith('48 clips in batches of 12: 1 epochs')
    assert lines[1].startswith('epoch 1: training loss')
    assert str(tmp_path) in lines[-1]
    with pytest.raises(ValueError, match="no preset 'small' for slim; there are mine"):
        train(dls, 'slim', 'small', tmp_path, log=lines.append)
    with pytest.raises(ValueError, match="no network 'fat'.*slim"):
        train(dls, 'fat', folder=tmp_path)


def test_evaluating_on_other_classes_or_sizes_is_refused(dls, tmp_path):
    net = fit(i3d_learner(dls, verbose=False, **SMALL), 1, tmp_path).model
    other = clip_dls(*[ArrayClips(np.zeros((4, 16, 32, 32, 3), np.uint8), np.arange(4) % 2, ['a', 'b'])] * 2)
    with pytest.raises(ValueError, match='knows 12 classes .* have 2'):
        evaluate({'I3D': net}, other, progress=False)
    with pytest.raises(ValueError, match='16 frames of 32×32, these have 16 of 48×48'):
        evaluate({'I3D': net}, synthetic_dls(1, 12, progress=False, size=48), progress=False)


def test_a_long_training_says_how_long_before_most_of_it():
    lines = []
    from interpvid.learner import SayHowLong

    told = SayHowLong(lines.append)
    told.learn = SimpleNamespace(n_epoch=2, dls=SimpleNamespace(train=range(63)))
    told.steps = 6
    told.say(0.001)
    assert lines == []
    told.say(100)
    assert lines == ['about 3 hours for 120 more steps, and the validations']


def test_what_validation_will_not_say_is_said_before_training(tmp_path, capsys):
    for k in range(20):
        frames = np.full((8, 32, 32, 3), 10 * k, np.uint8)
        write_video(tmp_path / 'd' / ('left', 'right')[k % 2] / f'IMG_{k + 1:04}.mp4', frames, fps=8)
    args = '--data', 'folder', '--root', str(tmp_path / 'd'), '--workers', '0', '--frames', '8', '--size', '32'
    assert main(['data', 'check', str(tmp_path / 'd')]) == 0
    checked = capsys.readouterr().out
    assert main(['train', *args, '--epochs', '1', '--arch', 'clstm', '--out', str(tmp_path / 'r')]) == 0
    trained = capsys.readouterr().out
    for said in checked, trained.partition('epoch 1:')[0]:
        assert '4 clips: too few to tell' in said and '--folds each' in said and '--valid-pct 0.5' in said
        assert 'the same person or scene may be in training and in validation' in said
    first = trained.splitlines()[0]
    assert 'bs 4,' in first and 'epochs 1,' in first
    assert 'top-5' not in trained, 'two classes are always among the first five'
    assert main(['data', 'check', str(tmp_path / 'd'), '--groups', '(.)[.]mp4']) == 0
    assert '--folds each` is ready here: it leaves out each of the 10 groups once' in capsys.readouterr().out
    more = '--valid-pct', '.5', '--groups', '(.+)', '--epochs', '1', '--out', str(tmp_path / 's')
    assert main(['train', *args, *more]) == 0
    said = capsys.readouterr().out
    assert 'too few to tell whether anything is' not in said and 'same person' not in said
