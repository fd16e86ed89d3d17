"A report says what models use: of models of which it is known by construction, with numbers counted by hand"
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from markupsafe import escape
from torch import nn

from interpvid import (
    assert_looks_at, assert_not_static, assert_uses_motion, assert_uses_order, explain, make_clips, make_report,
    pretrained)
from interpvid.cli import main
from interpvid.core import STATS
from interpvid.data.clips import ArrayClips
from interpvid.models.checkpoints import load_model
from interpvid.models.pretrained import parts_of, said_of_parts
from interpvid.report.answers import (
    answers_of, best_of_halves, changes_of, clips_for, cost_text, draw_orders, labels_for, order_finding,
    right_by_chance, share_ci, some_frames)
from interpvid.exam.results import verdict_of
from interpvid.report.evidence import exam_of, middle_share, some_clips
from interpvid.stats import holm, sign_flip
from interpvid.sweep import run_sweep
from interpvid.video import write_video
from reported import COLOURS, MeanColour, OneFrame, Silhouette, coloured, moving, sided

HERE = Path(__file__).resolve().parent
SMALL = dict(explained=6, masks=5, checked=6, progress=False)


@pytest.fixture(scope='module')
def by_colour():
    return make_report(MeanColour(), coloured(24), **SMALL)


@pytest.fixture(scope='module')
def by_silhouette():
    return make_report(Silhouette(), moving(24), **SMALL)


def nearest(colour):
    "The class that `MeanColour` gives to a mean colour in [0,255], by numpy alone"
    return (((COLOURS / 2 - colour[..., None, :]) / STATS[1]) ** 2).sum(-1).argmin(-1)


# --- blind to order


def test_a_model_blind_to_order_is_called_blind(by_colour):
    found = by_colour.of('order')
    assert not found.holds
    assert 'blind to the order' in found.says
    t = by_colour.tables['order'].loc['mean colour']
    assert t.loc[['reversed', 'shuffled'], 'cost'].tolist() == [0, 0]
    assert t.loc[['reversed', 'shuffled'], 'another answer'].tolist() == [0, 0]
    assert (t.loc[['reversed', 'shuffled'], 'largest change'] <= 1e-4).all()
    assert t.loc['frozen', 'largest change'] > 0.1
    assert by_colour.tables['accuracy'].loc['mean colour', 'right'] == 1


def test_what_one_frame_leaves_is_counted_right(by_colour):
    "A dark frame tells nothing, and half of all frames are dark"
    clips = coloured(24)
    t = by_colour.tables['stills'].loc['mean colour']
    said = nearest(clips.frames.mean((2, 3)))  # (24,8): the class of each frame alone
    for k in range(8):
        assert t.loc[k, 'right'] == pytest.approx((said[:, k] == clips.labels).mean())
        share = np.bincount(said[:, k], minlength=3) / 24
        assert t.loc[k, 'by chance'] == pytest.approx(share[clips.labels].mean())
    assert t.loc['mean of these', 'right'] == pytest.approx((said == clips.labels[:, None]).mean())
    assert by_colour.of('more than one frame').holds
    assert by_colour.tables['order'].loc[('mean colour', 'frozen'), 'cost'] == pytest.approx(
        1 - (said[:, 0] == clips.labels).mean()
    )


def test_more_than_one_frame_is_not_motion(by_colour):
    found = by_colour.of('motion')
    assert not found.holds
    assert 'needs more than one frame, but no motion' in found.says


def test_colour_is_found(by_colour):
    assert by_colour.of('look').holds
    grey = by_colour.tables['look'].loc[('mean colour', 'grey')]
    assert grey['cost'] == pytest.approx(2 / 3)  # all grey clips get one class
    assert grey['p (Holm)'] < 0.05


def test_assertions_about_a_model_blind_to_order():
    clips, model = coloured(12), MeanColour()
    with pytest.raises(AssertionError, match='mean colour is blind to the order of frames: .*12 clips'):
        assert_uses_order(model, clips)
    with pytest.raises(AssertionError, match='no motion was found to matter'):
        assert_uses_motion(model, clips)
    assert 'One frame is not enough' in assert_not_static(model, clips).says
    with pytest.raises(AssertionError, match='more than 90 points'):
        assert_not_static(model, clips, least=0.9)


# --- blind to looks


def test_a_model_blind_to_looks_is_called_blind(by_silhouette):
    look = by_silhouette.of('look')
    assert not look.holds
    assert 'blind to colour, and to light and dark' in look.says
    still = by_silhouette.of('more than one frame')
    assert still.holds
    assert 'A still image tells silhouette nothing' in still.says
    t = by_silhouette.tables['stills'].loc['silhouette']
    assert t['right'].tolist() == pytest.approx([0.25] * len(t))  # it always says the first of four classes
    assert t['by chance'].tolist() == pytest.approx([0.25] * len(t))


def test_its_use_of_order_and_motion_is_found_in_the_right_size(by_silhouette):
    t = by_silhouette.tables['order'].loc['silhouette']
    assert t.loc['reversed', 'cost'] == 1
    assert t.loc['frozen', 'cost'] == 0.75
    assert t.loc['moved', 'cost'] == 0
    assert t.loc['reversed', 'p'] == pytest.approx(sign_flip(np.ones(24)))
    assert by_silhouette.of('order').holds
    assert by_silhouette.of('motion').holds
    answers = by_silhouette.answers[0]
    assert (answers.probs['reversed'].argmax(1) == answers.reversed_labels).all()
    by_class = by_silhouette.tables['classes'].loc['silhouette']
    assert by_class.loc['left', 'reversed, most are called'] == 'right'
    assert (by_class['reversed'] == 1).all()


def test_shuffled_costs_are_those_counted_by_hand(by_silhouette):
    "Differences add up to the last silhouette less the first, whatever is between"
    clips = moving(24)
    x = np.stack([np.argwhere((f != 20).any(-1)).mean(0)[::-1] for f in clips.frames.reshape(-1, 24, 24, 3)])
    x = x.reshape(24, 8, 2)
    right = []
    for order in draw_orders(8, 3, 0):
        far = x[:, order[-1]] - x[:, order[0]]
        said = np.stack([far[:, 0], -far[:, 0], far[:, 1], -far[:, 1]], 1).argmax(1)
        right.append(said == clips.labels)
    cost = by_silhouette.tables['order'].loc[('silhouette', 'shuffled'), 'cost']
    assert cost == pytest.approx(1 - np.mean(right))


def test_assertions_about_a_model_of_motion():
    clips, model = moving(12), Silhouette()
    found = assert_uses_order(model, clips, least=0.9)
    assert found.numbers['reversed']['cost'] == 1
    assert assert_uses_motion(model, clips).holds
    with pytest.raises(AssertionError, match='No use of the order .* more than 100 points'):
        assert_uses_order(model, clips, least=1.0)


def test_maps_of_a_model_without_layers_come_from_occlusion(by_silhouette):
    e = by_silhouette.evidence[0]
    assert e.map_name == 'occlusion in space-time'
    assert any(note.startswith('Grad-CAM has no map') for note in e.notes)
    assert any(note in by_silhouette.body() for note in e.notes)


# --- the parts


def test_order_without_direction_is_told_apart(by_silhouette):
    "Answers that hold backwards and fail in other orders"
    a = by_silhouette.answers[0]
    probs = {k: a.probs['as it is'] if k == 'reversed' else p for k, p in a.probs.items()}
    wrong = np.roll(a.probs['as it is'], 1, 1)
    probs |= {k: wrong for k in probs if k.startswith('order')}
    found = order_finding(replace(a, probs=probs))
    assert found.holds and 'no use of the direction of time was found' in found.says
    assert 'direction' not in by_silhouette.of('order').says


def test_corrections_are_made_over_the_whole_table(by_colour, by_silhouette):
    for name in 'order', 'look', 'ends':
        t = by_silhouette.tables[name]
        np.testing.assert_allclose(t['p (Holm)'], holm(t['p']))
    answers = by_silhouette.answers[0]
    raw = [sign_flip((answers.value() - answers.value(c))[answers.labels == 0]) for c in ('reversed', 'shuffled')]
    table = by_silhouette.tables['classes'].loc[('silhouette', 'right')]
    assert (table[['p reversed', 'p shuffled']].to_numpy() >= raw).all()


def test_orders_are_neither_the_clips_own_nor_its_reversal():
    for T in (2, 3, 8):
        found = draw_orders(T, 20)
        assert (np.sort(found, 1) == np.arange(T)).all()
        if T > 2:
            assert (found != np.arange(T)).any(1).all()
            assert (found != np.arange(T)[::-1]).any(1).all()
    with pytest.raises(ValueError, match='two frames or more'):
        draw_orders(1)
    assert some_frames(3) == [0, 1, 2]
    assert some_frames(64)[-1] == 63


def test_changes_leave_what_they_should():
    frames = coloured(3).frames
    changed = {k: f(frames) for k, f in changes_of(8).items()}
    assert (changed['as it is'] == frames).all()
    assert (changed['reversed'] == frames[:, ::-1]).all()
    assert (changed['frame 0'] == frames[:, :1]).all()
    for k in range(3):
        assert (np.sort(changed[f'order {k}'], 1) == np.sort(frames, 1)).all()
        assert (changed[f'order {k}'] != frames).any()
    assert (changed['grey'].max(-1) == changed['grey'].min(-1)).all()
    assert (255 - changed['negative'] == frames).all()
    assert set(changes_of(8, asked=())) == {'as it is'}


def test_labels_are_matched_by_name():
    clips, model = coloured(12), MeanColour()
    other = ArrayClips(clips.frames, [2, 1, 0] * 4, ['blue', 'green', 'red'])
    assert labels_for(model, other).tolist() == clips.labels.tolist()
    assert answers_of(model, other, asked=()).right().mean() == 1
    names = [['red', 'green', 'purple'][k] for k in clips.labels]
    assert labels_for(model, clips, names).tolist() == [0, 1, -1] * 4
    some = answers_of(model, clips.frames, names, asked=())
    assert np.isnan(some.right()[2::3]).all()
    assert some.labelled
    with pytest.raises(ValueError, match='11 labels for 12 clips'):
        labels_for(model, clips, [0] * 11)
    with pytest.raises(ValueError, match='label 3, but mean colour has 3 classes'):
        answers_of(model, clips.frames, [3] * 12, asked=())


def test_without_labels_costs_are_in_the_predicted_class(tmp_path):
    report = make_report(Silhouette(), moving(12).frames, explained=0, examples=False, progress=False)
    assert 'No true classes are known' in report.of('right').says
    assert "of the predicted class's probability" in report.of('order').says
    assert report.of('order').holds
    a = report.answers[0]
    t = report.tables['order'].loc['silhouette']
    assert t.loc['reversed', 'cost'] == pytest.approx((a.probs['as it is'].max(1) - a.score('reversed')).mean())
    assert 'probability' in t
    assert 'Probability of the predicted class' in report.save(tmp_path / 'r.html').read_text()


def test_at_chance_costs_are_in_the_predicted_class_and_that_is_said(tmp_path):
    clips, model = coloured(12), MeanColour()
    labels = np.array([0, 1, 2, 1, 2, 0, 2, 0, 1, 1, 2, 0])  # right of 3 clips
    kwargs = dict(explained=0, examples=False, progress=False)
    blind, known = make_report(model, clips.frames, **kwargs), make_report(model, clips.frames, labels, **kwargs)
    assert not known.answers[0].by_accuracy
    assert 'right on 3 of 12 clips' in known.of('right').says
    assert 'is not shown to be above chance' in known.of('right').says
    assert 'cannot fall, so what changes cost mean colour is counted in the probability' in known.of('right').says
    for what in ('order', 'look', 'motion', 'more than one frame'):
        assert known.of(what).says == blind.of(what).says
    assert known.of('look').holds
    assert known.tables['look'].equals(blind.tables['look'])
    assert 'not shown to be right more often than by chance' in known.save(tmp_path / 'r.html').read_text()
    with pytest.raises(AssertionError, match='blind to the order .* not shown to be above chance'):
        assert_uses_order(model, clips.frames, labels)
    assert 'not shown to be above chance' in assert_not_static(model, clips.frames, labels).says
    assert answers_of(model, clips, asked=()).by_accuracy
    assert answers_of(model, coloured(24).frames[1::3], [1] * 8, asked=()).by_accuracy  # of one class: 1 of 3


def test_a_model_at_chance_beside_one_that_is_not():
    clips = coloured(12)
    wrong = MeanColour()
    wrong.forward = lambda x: MeanColour.forward(wrong, x).roll(1, -1)
    report = make_report({'good': MeanColour(), 'wrong': wrong}, clips, explained=0, examples=False, progress=False)
    assert [a.by_accuracy for a in report.answers] == [True, False]
    assert 'right or probability' in report.tables['order']
    assert set(report.tables['models'].index.get_level_values('number')) == {'right', 'right with one frame'}
    assert 'for wrong, not shown to be right' in report.body()


def test_clips_that_cannot_be_read_are_left_out():
    clips = moving(12)
    good = clips.read

    def read(i):
        if i in (3, 7):
            raise OSError('gone')
        return good(i)

    clips.read = read
    with pytest.warns(UserWarning, match='gone'):
        a = answers_of(Silhouette(), clips, asked=['order'])
    assert (~a.read).nonzero()[0].tolist() == [3, 7]
    assert a.cost('reversed')['clips'] == 10
    assert a.cost('reversed')['cost'] == 1
    assert 3 not in some_clips(a.labels, 12, a.read)


def test_too_few_clips_are_said_before_the_work():
    def never(x):
        raise AssertionError('asked')

    never.stats = MeanColour.stats
    with pytest.raises(ValueError, match='a report of 5 clips could find nothing'):
        assert_uses_order(never, coloured(5))
    with pytest.raises(ValueError, match='which clips'):
        make_report(MeanColour())


def test_parts_that_can_be_counted():
    assert share_ci([1] * 20)[1] == pytest.approx(0.025 ** (1 / 20))
    assert right_by_chance(np.eye(2)[[0, 0, 1, 1]], np.array([0, 1, 1, -1])).tolist()[:3] == [2 / 3, 1 / 3, 1 / 3]
    values = np.array([[1, 0, 1, 0.0], [0, 1, 0, 1]])
    assert best_of_halves(values, values)[0].sum() == 0
    assert middle_share(np.eye(8)[:1].T @ np.ones((1, 8)) / 8) == 0
    inside = np.zeros((8, 8))
    inside[2:6, 2:6] = 1 / 16
    assert middle_share(inside) == pytest.approx(1)
    said = [verdict_of(1, 0.01), verdict_of(-1, 0.01), verdict_of(1, np.nan), verdict_of(0.003, 0.01, 0.01)]
    assert said == ['passes', 'fails', 'not shown', 'not shown']
    gain, loss = ({'cost': c, 'low': np.nan, 'high': np.nan, 'p': 0.0002} for c in (-0.034, 0.034))
    assert cost_text(gain) == '−3.4 points (p < 0.001, so they raise it)' and 'raise' not in cost_text(loss)


# --- where it looks


def test_a_model_of_one_frame_is_found_to_look_there():
    clips, model = sided(12), OneFrame()
    event = np.zeros((12, 8), bool)
    event[:, 5] = True
    found = assert_looks_at(model, clips, event)
    assert found.numbers['auc'] == 1
    with pytest.raises(AssertionError, match='was not found to look at frames of the event'):
        assert_looks_at(model, clips, np.roll(event, 2, 1))
    by = 'occlusion in space-time'
    assert assert_looks_at(model, clips, boxes=clips.where, by=by).numbers['auc'] > 0.8
    with pytest.raises(AssertionError, match='pixels of the boxes'):
        assert_looks_at(model, clips, boxes=np.roll(clips.where, 12, 3), by=by)
    with pytest.raises(ValueError, match='no clip says when something happens'):
        assert_looks_at(model, clips)


def test_the_frame_that_matters_is_found():
    report = make_report(OneFrame(), sided(12), explained=8, masks=5, checked=8, examples=False, progress=False)
    profile = report.tables['time'].loc['one frame', 'mean_frame']['value']
    assert profile.idxmax() == 5
    assert profile.drop(5).abs().max() < profile[5] / 256  # scores are bfloat16, which keeps eight bits
    assert 'number 5 of 0 to 7' in report.of('time').says
    exam = report.tables['exam'].loc['one frame']
    assert exam.loc[('Shapley values of frames', 'insertion'), 'margin'] > 0
    assert exam.loc[('Shapley values of frames', 'blank clip'), 'value'] <= 0.5
    assert ('occlusion in space-time', 'roll') not in exam.index or exam['clips'].max() <= 8


# --- nothing to explain


class Untrained(nn.Module):
    "All classes look alike to it"

    stats, classes, name = STATS, list('abcde'), 'untrained'

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.look, self.cam_layer, self.head = nn.Conv3d(3, 4, 3, padding=1), 'look', nn.Linear(4, 5)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        return self.head(self.look(x).relu().mean((2, 3, 4)))


def test_a_model_that_has_learned_nothing_is_said_first_and_passes_nothing(tmp_path):
    report = make_report(Untrained().eval(), coloured(12).frames, **SMALL)
    note = explain(Untrained().eval(), coloured(12).frames[:1])[0].notes[0]
    first = str(report).partition('\n')[0]
    assert first.startswith('untrained: All classes look alike to the network') and first[-90:] == note[-90:]
    page = report.save(tmp_path / 'r.html').read_text()
    assert page.index('All classes look alike') < page.index('No true classes are known')
    assert 'passes' not in report.of('trust').says and 'none of the tests says anything' in report.of('trust').says
    assert not report.of('trust').holds
    assert set(report.tables['exam']['verdict']) == {'not shown'}


def test_shapley_values_of_about_0_pass_nothing_though_the_map_may():
    "In clips that stand still, freezing takes nothing away; the place does matter"
    clips = sided(12)
    clips.frames[:] = clips.frames[:, 5:6]
    report = make_report(OneFrame(), clips, explained=12, masks=5, checked=12, examples=False, progress=False)
    t = report.tables['exam'].loc['one frame']
    assert set(t.loc['Shapley values of frames', 'verdict']) == {'not shown'}
    assert 'all values are about 0' in report.of('trust').says
    row = exam_of(report.evidence[0]).verdict('one frame').loc['Shapley values of frames']
    assert not row['passes'] and row['because'].startswith('all values are about 0')


# --- whole reports


def test_the_two_boxed_networks():
    nets = {'I3D': pretrained('i3d-events'), 'C-LSTM': pretrained('clstm-events')}
    clips = make_clips(12, 1701, progress=False)
    report = make_report(
        nets, clips, explained=1, masks=5, removals=['mean_frame', 'freeze'], checked=0, examples=False, orders=1,
        stills=2, progress=False,
    )
    for name in nets:
        assert report.of('order', name).holds
        assert report.of('more than one frame', name).holds
        accuracy = report.tables['accuracy'].loc[name]
        assert accuracy['right'] >= 0.75
        assert accuracy['low'] < accuracy['right'] <= accuracy['high']
        assert report.tables['order'].loc[(name, 'reversed'), 'cost'] > 0.5
        assert report.tables['order'].loc[(name, 'moved'), 'cost'] < 0.2
    pair = report.tables['models'].loc['I3D', 'C-LSTM']
    a, b = report.answers
    assert pair.loc['right', 'difference'] == pytest.approx((a.right() - b.right()).mean())
    np.testing.assert_allclose(pair['p (Holm)'], holm(pair['p']))
    assert report.title() == 'What do I3D and C-LSTM use?'


def test_a_sweeps_folder_is_reported_on(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    clips = coloured(9)
    sweep = run_sweep('reported:rows', clips, 'reported:mean_colour', tmp_path / 'sweep', progress=False)
    for given in tmp_path / 'sweep', str(tmp_path / 'sweep'), sweep:
        report = make_report(given, explained=0, examples=False, progress=False)
        assert report.models == ['mean colour']
    assert 'blind to the order' in report.of('order').says
    assert report.tables['accuracy'].loc['mean colour', 'right'] == 1
    t = report.tables['sweep']
    assert t.loc[('mean colour', 'brightness'), 'clips'] == 9
    assert t.loc[('mean colour', 'brightness'), 'mean'] == pytest.approx(clips.frames.mean())
    assert 'masks' not in report.tables


def test_masks_of_a_sweep_become_a_profile(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    clips = make_clips(6, 1701, T=12, size=24, progress=False)
    sweep = run_sweep('interpvid.explanation:explain', clips, 'reported:small', tmp_path / 'sweep', preset='fast',
                      iterations=2, progress=False)
    masks = np.stack([sweep.explanation(i).binary for i in range(6)])
    report = make_report(sweep, explained=0, examples=False, progress=False)
    np.testing.assert_allclose(report.tables['masks']['masked'], masks.mean(0))
    assert report.tables['sweep'].loc[('small', 'OS'), 'clips'] == 6
    assert 'Learned masks of the sweep' in report.body()


def test_the_page_says_what_was_found_and_needs_nothing_else(by_colour, tmp_path):
    path = by_colour.save(tmp_path / 'report.html')
    text = path.read_text(encoding='utf-8')
    head = text.split('What is left when clips are changed')[0]
    for f in by_colour.findings:
        assert str(escape(f.says)) in head
    assert '6 were attributed' in head
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    assert text.count('<details') >= 6
    assert by_colour.save(path) == path
    assert 'Worst' in text
    assert 'index' not in re.findall(r'<th>(.*?)</th>', text)


def test_the_page_fits_a_phone_and_asks_for_nothing(by_silhouette, browser, tmp_path):
    path = by_silhouette.save(tmp_path / 'report.html')
    for width in 1280, 390:
        for scheme in 'light', 'dark':
            page = browser.new_page(viewport=dict(width=width, height=900), color_scheme=scheme)
            errors, asked = [], []
            page.on('pageerror', lambda e: errors.append(str(e)))
            page.on('request', lambda r: asked.append(r.url))
            page.goto(path.as_uri())
            page.wait_for_selector('.ivr-bar')
            assert page.evaluate('document.documentElement.scrollWidth') <= width
            assert not errors
            assert [u for u in asked if not u.startswith(('data:', 'blob:'))] == [path.as_uri()]
            text, ground = page.evaluate(
                '[getComputedStyle(document.querySelector(".ivr dd")).color,'
                ' getComputedStyle(document.body).backgroundColor]'
            )
            light = [sum(map(int, re.findall(r'\d+', c)[:3])) for c in (text, ground)]
            assert abs(light[0] - light[1]) > 400
            page.close()


def test_the_command_writes_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(HERE))
    out = tmp_path / 'pages' / 'report.html'
    frames = coloured(9)
    run_sweep('reported:rows', frames, 'reported:mean_colour', tmp_path / 'sweep', progress=False)
    assert main(['report', str(tmp_path / 'sweep'), '--explained', '0', '--out', str(out)]) == 0
    assert 'mean colour is blind to the order of frames' in capsys.readouterr().out
    assert 'What does mean colour use?' in out.read_text(encoding='utf-8')
    other = tmp_path / 'mine.html'
    other.write_text('mine')
    assert main(['report', str(tmp_path / 'sweep'), '--out', str(other)]) == 1
    assert other.read_text() == 'mine'


# --- clips that were trained on


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    "A folder of twenty films as a phone names them, and a short training on it"
    root = tmp_path_factory.mktemp('phone')
    for k, frames in enumerate(np.random.default_rng(0).integers(0, 255, (20, 8, 32, 32, 3), dtype=np.uint8)):
        write_video(root / 'clips' / ('left', 'right')[k % 2] / f'IMG_{k + 1:04}.mp4', frames, fps=8)
    args = ['train', '--data', 'folder', '--root', root / 'clips', '--arch', 'clstm', '--frames', 8, '--size', 32]
    assert main(list(map(str, [*args, '--epochs', 1, '--workers', 0, '--out', root / 'mine']))) == 0
    return root


def reported(run, capsys, *options):
    "What the command says of the run"
    code = main(['report', *options, '--networks', str(run / 'mine' / 'best.safetensors'), '--explained', '0'])
    got = capsys.readouterr()
    return code, got.out + got.err.splitlines()[-1] if code else got.out


def test_clips_that_were_trained_on_are_counted(run, tmp_path, capsys):
    code, said = reported(run, capsys, str(run / 'clips'), '--out', str(tmp_path / 'r.html'))
    assert code == 0 and 'mine is right on' in said
    assert '16 of these 20 clips were trained on' in said and '--split validation' in said
    page = (tmp_path / 'r.html').read_text(encoding='utf-8')
    assert '16 of these 20 clips were trained on' in page
    assert 'These are the answers of this network on these clips' in page


def test_a_moved_folder_and_other_films_of_the_same_names(run, tmp_path, capsys):
    net = load_model(run / 'mine' / 'best.safetensors')
    shutil.copytree(run / 'clips', tmp_path / 'moved')
    for k, path in enumerate((run / 'clips').rglob('*.mp4')):
        frames = np.random.default_rng(50 + k).integers(0, 255, (12, 32, 32, 3), dtype=np.uint8)
        write_video(tmp_path / 'other' / path.parent.name / path.name, frames, fps=8)
    known = {name: parts_of(net, clips_for(net, tmp_path / name)).tolist() for name in ('moved', 'other')}
    assert known['moved'].count('train') == 16 and known['moved'].count('validation') == 4
    assert known['other'] == [''] * 20
    args = 'evaluate', str(run / 'mine' / 'best.safetensors'), '--data', 'folder', '--workers', '0', '--root'
    assert main([*args, str(tmp_path / 'moved'), '--valid-pct', '0.5']) == 0
    assert re.search(r'\d of them were trained on', capsys.readouterr().out)
    assert main([*args, str(tmp_path / 'moved')]) == 0
    assert 'trained on' not in capsys.readouterr().out


def test_a_split_is_that_of_the_training(run, tmp_path, capsys):
    code, said = reported(run, capsys, str(run / 'clips'), '--split', 'train', '--out', str(tmp_path / 'r.html'))
    assert code == 0 and 'of 16 clips' in said
    code, said = reported(run, capsys, str(run / 'clips'), '--split', 'validation', '--out', str(tmp_path / 'r.html'))
    assert code == 1 and 'the part of 4 of 20 clips' in said and '--valid-pct 0.5' in said


def test_what_is_not_known_of_the_training_is_said(by_colour):
    assert 'Whether mean colour was trained on these clips is not known.' in by_colour.of('right').says
    assert said_of_parts(parts_of(pretrained('i3d-events'), coloured(6)), 'I3D') == ''


def test_reports_and_assertions_need_no_pyarrow(run, tmp_path):
    "Only what reads or writes a sweep's files does, and says so in a line"
    (tmp_path / 'pyarrow.py').write_text("raise ModuleNotFoundError('no pyarrow', name='pyarrow')")
    program = """if True:
        from interpvid import assert_uses_motion, load_sweep
        from interpvid.cli import main
        import sys
        clips, net, out = sys.argv[1:]
        assert main(['report', clips, '--networks', net, '--explained', '0', '--out', out]) == 0
        assert main(['sweep', clips, '--model', net]) == 1
    """
    net, out = run / 'mine' / 'best.safetensors', tmp_path / 'r.html'
    got = subprocess.run(
        [sys.executable, '-c', program, run / 'clips', net, out],
        capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(tmp_path), os.environ.get('PYTHONPATH', '')])},
    )
    assert got.returncode == 0, got.stderr
    assert out.exists()
    line = got.stderr.strip().splitlines()[-1]
    assert line.startswith("interpvid sweep: a sweep needs pyarrow: pip install 'interpvid[sweep] @ git+https://")
