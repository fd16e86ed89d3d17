"The exam as a whole: candidates that fail, runs that go on, results that are compared, a method from the shell."

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from interpvid.cli import main, methods_named
from interpvid.core import STATS
from interpvid.data.synthetic import SYNTHETIC_CLASSES
from interpvid.exam.candidates import Candidate
from interpvid.exam.measures import TESTS as SAT
from interpvid.exam.measures import exam_sheet
from interpvid.exam.results import (
    ExamResult, ExamRow, compare_exams, join_exams, load_exam, load_exam_trainings, over_trainings,
    save_exam_trainings, winners)
from interpvid.exam.sitting import clip_keys, few_clips, network_key, run_exam

ROOT = Path(__file__).resolve().parents[1]
TESTS = {
    'time': dict(label='IoU', columns=['IoU'], better='high', line='IoU by chance', group='time', about='overlap'),
    'deletion': dict(label='del', columns=['deletion'], better='low', line=None, group='faithfulness', about='area'),
    'blank': dict(label='blank', columns=['blank'], better='low', line=0.5, group='sanity', about='another answer'),
}


class Tiny(nn.Module):
    classes, clip_shape = SYNTHETIC_CLASSES, (12, 16, 16)

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.head = nn.Conv3d(3, 4, 3, padding=1), nn.Linear(4, 12)

    def forward(self, x):
        return self.head(self.conv(x).relu().amax((2, 3, 4)))


def made(means, n=60, seed=0, network='net', extra=()):
    "A result from means: name -> (IoU, deletion, blank, asks)"
    rng = np.random.default_rng(seed)
    rows = [
        ExamRow(network, name, {c: rng.normal(m, 0.1, n) for c, m in zip(('IoU', 'deletion', 'blank'), v)}, v[3],
                lines={'blank': 0.5}, cost=dict(forward=1.0, backward=0.0, seconds=0.1))
        for name, v in means.items()
    ]
    clips = {network: dict(keys=[f'c{i}' for i in range(n)], classes=['left'] * n)}
    return ExamResult([*rows, *extra], TESTS, clips, dict(date='2026-01-01'))


USUAL = {'sharp': (0.8, 0.2, 0.1, True), 'dull': (0.5, 0.6, 0.9, True), 'middle': (0.5, 0.6, 1.0, False),
         'random': (0.3, 0.7, 0.0, False)}


# --- results


def test_only_who_beats_the_hardest_yardstick_beats_every_one():
    r = made({**USUAL, 'between': (0.4, 0.65, 0.1, True)})  # above random, below the middle
    t = r.beats_yardsticks()
    assert t.loc[('net', 'sharp'), 'beats'].tolist() == [True, True]
    assert not t.loc[('net', ['dull', 'between']), 'beats'].any()
    assert set(t['hardest']) == {'middle'}
    assert (t['p (Holm)'] >= t['p']).all()
    # an interval is given, and holds the difference
    assert ((t['low'] <= t['better by']) & (t['better by'] <= t['high'])).all()
    assert r.beaten_by(r.row('net', 'sharp')) == ['IoU', 'deletion']


def test_what_is_low_and_better_is_turned_round():
    r = made({'a': (0.5, 0.1, 0, True), 'middle': (0.5, 0.5, 0, False)})
    assert r.beats_yardsticks().loc[('net', 'a', 'faithfulness', 'deletion'), 'better by'] > 0.3
    worse = made({'a': (0.5, 0.9, 0, True), 'middle': (0.5, 0.5, 0, False)})
    row = worse.beats_yardsticks().loc[('net', 'a', 'faithfulness', 'deletion')]
    assert row['better by'] < -0.3 and not row['beats'] and row['p'] > 0.95


def test_eleven_clips_have_a_test_and_no_interval_and_five_have_neither():
    eleven, five = (made(USUAL, n).beats_yardsticks() for n in (11, 5))
    assert eleven['low'].isna().all() and eleven['p'].notna().all()
    assert eleven.loc[('net', 'sharp'), 'beats'].all()
    assert five['p'].isna().all() and not five['beats'].any()


def test_a_line_of_its_own_is_a_yardstick_too():
    r = made({**USUAL, 'fixed': (0.8, 0.5, 0, True)})
    fixed = r.row('net', 'fixed')
    assert 'IoU' in r.beaten_by(fixed)
    fixed.scores['IoU by chance'] = fixed.scores['IoU'] + 0.001  # the same picture for every clip
    t = r.beats_yardsticks()
    assert t.loc[('net', 'fixed', 'time', 'IoU'), 'hardest'] == 'its IoU by chance'
    assert not t.loc[('net', 'fixed', 'time', 'IoU'), 'beats']


def test_sanity_is_no_contest_and_failures_are_marked():
    r = made(USUAL)
    assert 'blank' not in r.beats_yardsticks().index.get_level_values('column')
    assert r.fails(r.row('net', 'dull'), 'blank') and not r.fails(r.row('net', 'sharp'), 'blank')
    assert re.search(r'<th title="">dull</th>.*?class="[^"]*f[^"]*">0\.', r.html())


def test_the_table_has_best_first_and_who_could_not_last():
    r = made({'dull': USUAL['dull'], 'sharp': USUAL['sharp'], 'middle': USUAL['middle']},
             extra=[ExamRow('net', 'broken', cannot='<no> layers', about='a "quoted" thing')])
    assert list(r.table('net').index) == ['sharp', 'dull', 'middle', 'broken']
    assert 'cannot: &lt;no&gt; layers' in r.html() and '<no>' not in r.html() and '"quoted"' not in r.html()
    assert r.said('net')[0].startswith('sharp beats every yardstick on: IoU; deletion')
    with pytest.raises(ValueError, match='no candidate .x. for net; there are dull'):
        r.row('net', 'x')
    with pytest.raises(ValueError, match='there are net'):
        r.table('other')


def test_a_file_keeps_every_number_that_tests_need(tmp_path):
    r = made(USUAL)
    r.rows[0].scores['blank'][12:] = np.nan  # asked of twelve clips only
    r.rows[1].notes.append('says nothing of clip 3')
    r.save(tmp_path / 'a.json')
    again = load_exam(tmp_path / 'a.json')
    for a, b in zip(r.rows, again.rows):
        assert (a.candidate, a.asks, a.notes, a.cost, a.lines) == (b.candidate, b.asks, b.notes, b.cost, b.lines)
        for c in a.scores:
            np.testing.assert_allclose(a.scores[c], b.scores[c], atol=5.1e-4)
    same = ['clips', 'hardest', 'beats']
    pd.testing.assert_frame_equal(r.beats_yardsticks()[same], again.beats_yardsticks()[same])
    lines = pd.read_csv(tmp_path / 'a.csv')
    assert {'network', 'candidate', 'column', 'mean', 'better by', 'p (Holm)'} <= set(lines)
    assert len(lines) == 4 * 3


def test_files_that_are_no_exam_are_refused_by_name(tmp_path):
    (tmp_path / 'a.json').write_text('{}')
    (tmp_path / 'b.json').write_text('{')
    for name in 'a', 'b':
        with pytest.raises(ValueError, match=f'{name}.json: not the'):
            load_exam(tmp_path / f'{name}.json')
    with pytest.raises(FileNotFoundError, match='run_exam'):
        load_exam(tmp_path / 'c.json')
    (tmp_path / 'd.json').write_text(json.dumps(dict(rows=[], format=99)))
    with pytest.raises(ValueError, match='update interpvid'):
        load_exam(tmp_path / 'd.json')
    with pytest.raises(ValueError, match='.json'):
        made(USUAL).save(tmp_path / 'x.txt')
    (tmp_path / 'mine.json').write_text('of a user')
    with pytest.raises(FileExistsError):
        made(USUAL).save(tmp_path / 'mine.json')


def test_versions_are_compared_clip_by_clip_where_the_clips_are_the_same(tmp_path):
    a, b = made(USUAL), made(USUAL)
    b.row('net', 'sharp').scores['IoU'] += 0.02
    b.save(tmp_path / 'b.json')
    t = compare_exams(a, tmp_path / 'b.json')
    assert t.index[t['p (Holm)'] < 0.05].tolist() == [('net', 'sharp', 'IoU')]
    assert t.loc[('net', 'sharp', 'IoU'), 'change'] == pytest.approx(0.02, abs=1e-3)
    b.clips['net']['keys'][0] = 'another'
    t = compare_exams(a, b)
    assert t['p'].isna().all() and (t['clips'] == 0).all()
    assert t.loc[('net', 'sharp', 'IoU'), 'change'] == pytest.approx(0.02, abs=1e-3)


def test_rows_of_another_exam_are_cut_to_the_same_clips():
    whole = made(USUAL)
    part = ExamResult([ExamRow('net', 'mine', {'IoU': np.full(3, 0.9)})], TESTS,
                      {'net': dict(keys=['c7', 'c2', 'c40'], classes=['left'] * 3)})
    joined = join_exams(part, whole)
    np.testing.assert_array_equal(joined.row('net', 'sharp').scores['IoU'],
                                  whole.row('net', 'sharp').scores['IoU'][[7, 2, 40]])
    part.clips['net']['keys'][0] = 'elsewhere'
    with pytest.raises(ValueError, match='1 of 3 clips'):
        join_exams(part, whole)


def test_trainings_have_means_ranges_and_winners(tmp_path):
    results = [made({'a': (0.7, 0.3, 0, True), 'b': (m, 0.5, 0, True), 'middle': (0.5, 0.6, 0, False)}, seed=k)
               for k, m in enumerate((0.4, 0.5, 0.9))]
    save_exam_trainings(results, tmp_path / 't.json')
    t = load_exam_trainings(tmp_path / 't.json')
    won = winners(t)
    assert won.loc[('net', 'IoU')].tolist() == ['a', 2, 3] and won.loc[('net', 'deletion')].tolist() == ['a', 3, 3]
    b = over_trainings(t).loc[('net', 'IoU', 'b')]
    means = [r.row('net', 'b').mean('IoU') for r in results]
    assert [b['mean'], b['lowest'], b['highest']] == pytest.approx([np.mean(means), min(means), max(means)], abs=1e-3)
    assert b['beats'] == 1


def test_the_picture_fills_only_who_beats_every_yardstick():
    fig = made(USUAL).plot()
    assert [ax.get_title() for ax in fig.axes] == ['IoU ↑', 'deletion ↓']
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ['sharp', 'dull']
    faces = [l.get_markerfacecolor() for l in fig.axes[0].lines if l.get_marker() == 'o' and len(l.get_xdata())]
    assert faces == ['#0072B2', 'white']


# --- the sitting


def bright(model, clips, target):
    "Bright frames count"
    return clips.mean((1, 3, 4))


CALLS = []


def counted(model, clips, target):
    "As `bright`, and remembers that it was asked"
    CALLS.append(len(clips))
    return bright(model, clips, target)


def broken(model, clips, target):
    raise RuntimeError('out of luck')


def wrong(model, clips, target):
    return clips.mean((3, 4))


@pytest.fixture(scope='module')
def sat(tmp_path_factory):
    "An exam of a tiny network, and the folder of its answers"
    d = tmp_path_factory.mktemp('exam')
    CALLS.clear()
    few = ['integrated gradients', counted, broken, wrong, Candidate('slow', bright, few=True, about='for few')]
    return run_exam(Tiny(), 1, few, few=3, folder=d, progress=False), d, list(CALLS)


def test_who_fails_is_a_row_with_a_reason_and_the_others_go_on(sat):
    r, _, _ = sat
    assert 'out of luck' in r.row('Tiny', 'broken').cannot
    assert '(11,12)' in r.row('Tiny', 'wrong').cannot
    assert not r.row('Tiny', 'counted').cannot and not r.row('Tiny', 'counted').notes
    groups = {c[0] for c, v in r.table('Tiny').loc['integrated gradients'].items() if np.isfinite(v)}
    assert {'time', 'space', 'faithfulness', 'optimality', 'sanity', 'cost'} <= groups
    assert {'motion energy', 'centre', 'uniform', 'random'} <= {x.candidate for x in r.rows if not x.asks}
    assert all(x.candidate != 'slow' or np.isfinite(x.scores['IoU']).sum() == 3 for x in r.rows)
    assert r.about['networks']['Tiny']['facts']['masks as good'] >= 1


def test_kept_answers_are_not_asked_again_and_give_the_same(sat):
    first, d, calls = sat
    CALLS.clear()
    again = run_exam(Tiny(), 1, ['integrated gradients', counted], few=3, folder=d, progress=False)
    assert calls and not CALLS
    for name in 'integrated gradients', 'counted', 'motion energy':
        a, b = (r.row('Tiny', name) for r in (first, again))
        assert a.cost == b.cost and a.scores.keys() == b.scores.keys()
        for c in a.scores:
            np.testing.assert_allclose(a.scores[c], b.scores[c], atol=1e-6)


def test_another_network_or_clip_is_asked_anew(sat):
    _, d, _ = sat
    CALLS.clear()
    run_exam({'Tiny': Tiny(1)}, 1, counted, tests=['time'], few=0, folder=d, progress=False, yardsticks=False)
    assert CALLS
    assert network_key(Tiny(1)) != network_key(Tiny()) == network_key(Tiny())


def test_a_killed_run_goes_on(tmp_path):
    def stop(model, clips, target):
        raise KeyboardInterrupt

    CALLS.clear()
    with pytest.raises(KeyboardInterrupt):
        run_exam(Tiny(), 1, [counted, stop], tests=['time'], few=0, folder=tmp_path, progress=False, yardsticks=False)
    assert CALLS == [11]
    run_exam(Tiny(), 1, [counted], tests=['time'], few=0, folder=tmp_path, progress=False, yardsticks=False)
    assert CALLS == [11]


def test_clips_are_known_by_what_happens_in_them():
    one, two = exam_sheet(Tiny(), 1), exam_sheet(Tiny(), 2)
    assert clip_keys(two)[:11] == clip_keys(one) and len(set(clip_keys(two))) == 22
    assert set(clip_keys(exam_sheet(Tiny(), 1, seed=5))).isdisjoint(clip_keys(one))
    assert few_clips(two.labels, 11).tolist() == list(range(11))


def test_what_cannot_be_is_said_before_anything_is_asked():
    CALLS.clear()
    for how, said in (
        (dict(clips=0), 'number of clips of each class'), (dict(tests=['truth']), "no test 'truth'"),
        (dict(candidates=[counted, counted]), 'two candidates are called counted'), (dict(models={}), 'no network'),
        (dict(candidates='Grad-cum'), 'the nearest are')):
        with pytest.raises(ValueError, match=said):
            run_exam(**{'models': Tiny(), 'candidates': counted, 'progress': False, **how})
    assert not CALLS


# --- clips of one's own


class Left(nn.Module):
    "Left or right, by the light in frame 5; it looks nowhere else"

    stats, classes, clip_shape = STATS, ['left', 'right'], (8, 16, 16)

    def __init__(self):
        super().__init__()
        self.look = nn.Conv3d(3, 1, 1)
        nn.init.constant_(self.look.weight, 0.3)

    def forward(self, x):
        left, right = self.look(x)[:, 0, 5].mean(1).split(8, 1)
        d = 4 * (left.mean(1) - right.mean(1))
        return torch.stack([d, -d], 1)


def lights(n=12):
    "Frames with a light on one side in frame 5, and noise"
    frames = np.random.default_rng(0).integers(0, 70, (n, 8, 16, 16, 3)).astype(np.uint8)
    for i in range(n):
        frames[i, 5, 4:12, 8 * (i % 2) : 8 * (i % 2) + 8] = 250
    return frames


def at_5(model, clips, target):
    "The right answer, and not the same for two clips"
    return (torch.arange(8) == 5) + 0.01 * clips.mean((1, 3, 4))


def at_2(model, clips, target):
    "A wrong one"
    return at_5(model, clips, target).roll(-3, 1)


def test_clips_without_truth_sit_the_tests_that_need_none():
    lines = []
    r = run_exam({'mine': Left().eval()}, lights(), [at_5, at_2], progress=False, log=lines.append)
    sanity = {'reset', 'roll', 'blank', 'other clips', 'other training'}
    assert set(r.tests) == {'insertion', 'deletion', 'regret', *sanity}
    left_out = [s for s in r.said('mine') if 'are left out' in s]
    names = [s.rpartition(': ')[2] for s in left_out]
    assert names == ['IoU, pointing, AUC in time, drop.', 'heat share, AUC of pixels.']
    assert lines[:2] == [f'exam: {s}' for s in left_out] and all(s in r._repr_html_() for s in left_out)
    t = r.verdict('mine')
    assert list(t.index) == ['at_5', 'at_2']  # the one to believe first
    assert 'insertion +' in t.loc['at_5', 'passes'] and 'insertion' not in t.loc['at_2', 'passes']
    assert 'reset −0.50' in t.loc['at_5', 'fails']  # it asks no network
    assert 'insertion (' in t.loc['at_5', 'yardsticks too']  # a network of other weights would look at frame 5 as well
    assert repr(t).count('insertion') >= 2 and '...' not in repr(t)


def test_groups_name_their_tests_and_files_may_be_given(tmp_path):
    import cv2

    for i, frames in enumerate(lights(2)):
        (tmp_path / f'clip{i}').mkdir()
        for k, f in enumerate(frames):
            cv2.imwrite(str(tmp_path / f'clip{i}' / f'{k:02}.png'), f)
    paths = sorted(tmp_path.iterdir())
    r = run_exam(Left().eval(), paths, at_5, 'faithfulness', progress=False, yardsticks=False)
    assert list(r.tests) == ['insertion', 'deletion'] and len(r.clips['Left']['keys']) == 2
    assert set(r.marks()['verdict']) == {'not shown'}  # two clips show nothing
    with pytest.raises(ValueError, match='no test is left. It is not known when'):
        run_exam(Left().eval(), lights(), at_5, ['time'], progress=False)
    with pytest.raises(ValueError, match='groups of tests: faithfulness, optimality'):
        run_exam(Left().eval(), lights(), at_5, ['truth'], progress=False)


def test_all_tests_that_are_not_made_are_said():
    lines = []
    named = ['faithfulness', 'sanity', 'optimality']
    r = run_exam(Left().eval(), lights(), at_5, named, progress=False, yardsticks=False, log=lines.append)
    said = r.notes('Left')  # roll is of maps, and at_5 has none
    for name in set(named_tests(named)) - {'roll'} - {t for row in r.rows for t in row.margins}:
        assert any(f' {name}' in line for line in said), name
    assert [f'exam: {line}' for line in said[:3]] == lines[:3]
    r = run_exam(Tiny(), 1, counted, ['optimality'], few=0, progress=False, yardsticks=False, log=lines.append)
    assert lines[-1].startswith('exam: Not made: regret')


def named_tests(groups):
    return [name for name, t in SAT.items() if t.group in groups]


def test_a_verdict_says_on_how_many_clips_nothing_moves_the_score():
    frames = lights()
    frames[:8] = 40  # of one colour: nothing to remove
    r = run_exam({'mine': Left().eval()}, frames, at_5, 'faithfulness', progress=False, log=lambda line: None)
    note = r.verdict().attrs['notes'][0]
    assert note.startswith('mine: On 8 of 12 clips no removal changes the score by 0.05')
    assert note in repr(r.verdict()) and note in r.verdict()._repr_html_()
    assert note.removeprefix('mine: ') in r.said('mine') and '.verdict()' in repr(r)
    lit = run_exam({'mine': Left().eval()}, lights(), at_5, 'faithfulness', progress=False, log=lambda line: None)
    assert not lit.verdict().attrs['notes']


def test_nothing_passes_where_there_is_nothing_to_explain():
    flat = Left().eval()
    nn.init.constant_(flat.look.weight, 1e-4)
    r = run_exam({'flat': flat}, lights(), [at_5], progress=False, log=lambda line: None)
    assert r.said('flat')[0].startswith('All classes look alike to the network')
    assert set(r.marks()['verdict']) == {'not shown'} and not r.beats_yardsticks()['beats'].any()
    assert r.verdict('flat').loc['at_5', 'because'] == r.said('flat')[0]


def test_a_verdict_goes_by_the_margin_and_says_what_a_yardstick_does_as_well(tmp_path):
    r = made({**USUAL, 'off': (0.1, 0.2, 0.9, True)}, extra=[ExamRow('net', 'broken', cannot='no layers')])
    for row in r.rows:
        row.lines |= {'time': 0.3}
    t = r.verdict('net')
    assert list(t.index) == ['sharp', 'dull', 'off', 'broken']
    assert t.loc['sharp', 'passes'].split(', ')[0].startswith('IoU +0.5') and 'blank +0.4' in t.loc['sharp', 'passes']
    assert t.loc['sharp', 'yardsticks too'].startswith('blank (random +0.5')
    assert t.loc['dull', 'yardsticks too'].startswith('IoU (middle +0.') and t.loc['dull', 'fails'] == 'blank −0.40'
    assert 'IoU −0.2' in t.loc['off', 'fails'] and t.loc['broken', 'because'] == 'no layers'
    assert list(r.verdict().index) == [('net', name) for name in t.index]
    r.row('net', 'sharp').margins['deletion'] = np.full(60, 0.004)
    r.row('net', 'dull').silent = 'all values are about 0'
    r.save(tmp_path / 'a.json')
    again = load_exam(tmp_path / 'a.json')
    assert again.verdict().equals(r.verdict())
    t = again.verdict('net')
    assert 'del +0.00' in t.loc['sharp', 'not shown']  # certain, and nothing
    assert not t.loc['dull', 'passes'] and t.loc['dull', 'because'] == 'all values are about 0'
    assert 'all values are about 0' in (r.write(tmp_path / 'page')[2]).read_text()


# --- from the shell

METHOD = '''
import torch
from torch import nn
from interpvid import SYNTHETIC_CLASSES

class Tiny(nn.Module):
    classes,clip_shape = SYNTHETIC_CLASSES,(12,16,16)
    def __init__(self):
        super().__init__()
        self.conv,self.head = nn.Conv3d(3, 4, 3, padding=1),nn.Linear(4, 12)
    def forward(self, x): return self.head(self.conv(x).relu().mean((2,3,4)))
'''


def on_the_page():
    "The method and the command that the leaderboard shows"
    cells = json.loads((ROOT / 'nbs' / 'leaderboard.ipynb').read_text(encoding='utf-8'))['cells']
    text = '\n'.join(''.join(c['source']) for c in cells if c['cell_type'] == 'markdown')
    return re.search(r'```python\n(.*?)```', text, re.S)[1], re.search(r'```\n(interpvid exam .*?)\n```', text)[1]


def test_the_method_on_the_leaderboard_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    code, command = on_the_page()
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    monkeypatch.chdir(tmp_path)
    Path('my.py').write_text(code + METHOD)
    assert main([*command.split()[1:], '--clips', '1', '--networks', 'my.py:Tiny']) == 0
    said = capsys.readouterr().out
    assert re.search(r'^neighbours +\d', said, re.M) and 'neighbours beats every yardstick on' in said
    made = load_exam('results/mine/exam.json')
    assert made.row('Tiny', 'neighbours').cost['forward'] == 24
    page = Path('results/mine/index.html').read_text()
    assert 'neighbours' in page and 'Best first' in page and Path('results/mine/exam.csv').is_file()


OWN = """
import numpy as np
import torch
from torch import nn
from interpvid.core import STATS

class Two(nn.Module):
    stats, classes, clip_shape = STATS, ['left', 'right'], (8, 16, 16)
    def forward(self, x):
        left, right = x[:, 0, 5].mean(1).split(8, 1)
        d = left.mean(1) - right.mean(1)
        return torch.stack([d, -d], 1)

def mine(model, clips, target): return clips.mean((1, 3, 4))
"""


def test_the_command_takes_clips_of_ones_own_and_names_of_candidates(tmp_path, monkeypatch, capsys):
    import cv2

    monkeypatch.chdir(tmp_path)
    Path('own.py').write_text(OWN)
    for i, frames in enumerate(lights(6)):
        (tmp_path / 'clips' / f'clip{i}').mkdir(parents=True)
        for k, f in enumerate(frames):
            cv2.imwrite(str(tmp_path / 'clips' / f'clip{i}' / f'{k:02}.png'), f)
    words = ['exam', '--networks', 'own.py:Two', '--method', 'integrated gradients, own.py:mine', '--out', 'out']
    assert main(words) == 1
    assert 'give clips of your own: --clips FOLDER' in capsys.readouterr().err
    assert main([*words, '--clips', 'clips']) == 0
    made = load_exam('out/exam.json')
    assert len(made.clips['Two']['keys']) == 6 and {'integrated gradients', 'mine'} <= {r.candidate for r in made.rows}
    several = ','.join(f'clips/clip{i}' for i in range(2))
    assert main([*words, '--clips', several, '--out', 'two']) == 0
    assert len(load_exam('two/exam.json').clips['Two']['keys']) == 2
    assert main([*words[:3], '--method', 'best of all masks', '--clips', 'clips']) == 1
    assert '--few 11' in capsys.readouterr().err
    assert main([*words, '--clips', 'nowhere']) == 1
    assert 'nowhere' in capsys.readouterr().err


def test_names_of_candidates_may_have_commas():
    assert methods_named('Shapley values, exact, my.py:f,saliency') == ['Shapley values, exact', 'my.py:f', 'saliency']


def test_a_method_that_fails_says_why_and_ends_with_1(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path('my.py').write_text(METHOD + 'def bad(model, clips, target): return clips.mean((3,4))\n')
    assert main('exam --method my.py:bad --networks my.py:Tiny --clips 1 --out out'.split()) == 1
    said = capsys.readouterr().out
    assert said.startswith('Tiny: bad: cannot: bad: gives (11, 3, 12)')
    assert 'motion energy' not in said # a table of others would hide the reason
    for words, said in (
        ('--method my.py:nothing', 'has no'), ('--method none.py:f', 'no such file'),
        ('--method my.py:bad --networks nobody', '--networks nobody: no such file'),
        ('--method my.py:bad --clips 0', '--clips has to be at least 1')):
        assert main(['exam', '--out', 'out2', *words.split()]) == 1
        assert said in capsys.readouterr().err
