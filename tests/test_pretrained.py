"The trained networks that come with the package: what is said of them is so. (New ones are as good: test_learned.)"

import json
from pathlib import Path

import pytest

from interpvid import explain, make_clips, pretrained
from interpvid.classify import both_ways
from interpvid.files import sha256
from interpvid.models.pretrained import pretrained_names
from interpvid.registry import DATASETS

KEPT = Path(__file__).resolve().parents[1] / 'interpvid' / 'kept'
NAMES = {'i3d-events': 'I3D', 'clstm-events': 'C-LSTM'}


@pytest.fixture(scope='module')
def valid():
    "The clips that `make reproduce` evaluates on"
    d = DATASETS['events']
    return d.draw(d.valid, 1, False, False)


def top1(net, clips):
    forwards, backwards = both_ways({'net': net}, clips, False)['net']
    return [(p.argmax(1) == clips.labels).mean() for p in (forwards, backwards)]


def test_there_are_two_and_an_unknown_name_lists_them():
    assert pretrained_names() == sorted(NAMES)
    with pytest.raises(ValueError, match='no trained network .i3d.; there are clstm-events, i3d-events'):
        pretrained('i3d')


@pytest.mark.parametrize('name', NAMES)
def test_it_is_what_its_provenance_says(name, valid):
    net = pretrained(name)
    said = json.loads((KEPT / f'{name}.json').read_text())
    assert not net.training and net.clip_shape == (16, 64, 64) and list(net.classes) == list(DATASETS['events'].classes)
    assert sha256(KEPT / f'{name}.safetensors') == said['sha256'] and net.info == said['training']
    assert net.provenance == said and said['licence'] == 'Apache-2.0' and said['network'] == NAMES[name]
    forwards, backwards = top1(net, valid)  # a clip on the edge may fall to the other side on another processor
    assert abs(forwards - said['accuracy']['top_1']) <= 2 / 240
    assert abs(backwards - said['accuracy']['reversed']) <= 4 / 240


def test_it_explains_without_being_told_anything():
    clips = make_clips(2, seed=4, progress=False)
    (e,) = explain(pretrained('clstm-events'), clips.frames[1], preset='fast')
    assert e.model == 'C-LSTM' and e.classes[e.target] == clips.classes[clips.labels[1]]
