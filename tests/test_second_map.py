"The map beside the paper's: how it is drawn, shown beside Grad-CAM, and what the exam's page hands in."

import ast, json
from pathlib import Path

import numpy as np
import pytest
import torch

from interpvid.core import STATS
from interpvid.data.synthetic import RIGHT, SYNTHETIC_CLASSES, make_clips
from interpvid.exam.candidates import answer
from interpvid.explanation import beside, explain
from interpvid.gradients import integrated_gradients, softened
from interpvid.models.clstm import CLSTM
from interpvid.pages import explanation_pairs
from interpvid.paper.page import SECOND, beside_second

NBS = Path(__file__).resolve().parents[1] / 'nbs'


def given(maps):
    return softened(lambda model, x, target: maps)(None, None)


def test_softening_moves_heat_in_space_alone():
    maps = torch.zeros(2, 3, 32, 48)
    maps[0, 1, 0, 0], maps[0, 1, 20, 30], maps[1, 2, 31, 47] = 2.0, 1.0, 5.0
    soft = given(maps)
    torch.testing.assert_close(soft.sum((2, 3)), maps.sum((2, 3)))  # nothing is lost, at the corners neither
    assert soft[0, 1].argmax() == 0 and soft[1, 2].argmax() == soft[1, 2].numel() - 1
    assert 0 < soft[0, 1, 21, 31] < soft[0, 1, 20, 30] < 1


def test_what_speaks_against_the_class_is_no_heat():
    maps = torch.zeros(1, 1, 32, 32)
    maps[0, 0, 10, 10], maps[0, 0, 10, 11] = 1.0, -1.0
    soft = given(maps)
    assert soft.min() >= 0
    torch.testing.assert_close(soft.sum(), torch.tensor(1.0))


def test_its_name_is_that_of_the_method():
    assert softened(integrated_gradients).__name__ == 'integrated gradients'


@pytest.fixture(scope='module')
def explained():
    "One clip by two networks that have learned nothing, and the same with the second map"
    frames = make_clips(1, T=12, size=32, only=[RIGHT], progress=False).frames

    def by(seed, **kwargs):
        torch.manual_seed(seed)
        net = CLSTM(12, 32, T=12, hidden=(4, 4), stride=(4, 1), pool=(2, 1), shared_norm=False).eval()
        how = dict(classes=SYNTHETIC_CLASSES, stats=STATS, masks=np.arange(12) > 6, name=f'net {seed}')
        return explain(net, frames, **how, **kwargs)[0]

    second = dict(maps=softened(integrated_gradients))
    return [by(0), by(1)], [by(0, **second), by(1, **second)]


def test_explain_takes_the_second_map(explained):
    es, others = explained
    for e, other in zip(es, others):
        assert (e.cam_name, other.cam_name) == ('Grad-CAM', 'integrated gradients')
        assert other.cam.shape == e.cam.shape and other.cam.max() == 1
        assert not other.cam[0].any()  # frame 0 is as in the frozen clip
        assert other.scores == e.scores


def test_both_maps_stand_beside_each_other(explained):
    es, others = explained
    parts = beside_second(es, [o.with_map(o.cam, SECOND) for o in others], px=32)
    names = [c['name'] for c in parts.spec['cols']]
    assert names == ['original', *(f'net {k} {m}' for k in (0, 1) for m in ('Grad-CAM', 'gradients', 'frozen'))]
    maps = {c['name']: c['over'] for c in parts.spec['cols'] if 'over' in c}
    assert set(maps) == {f'net {k} {m}' for k in (0, 1) for m in ('Grad-CAM', 'gradients')}
    assert not set(maps['net 0 Grad-CAM'][1:]) & set(maps['net 0 gradients'][1:]), 'each map has pictures of its own'
    plain = beside(es, px=32).spec
    assert all(parts.spec[k] == plain[k] for k in ('rows', 'scores', 'title', 'caption'))


def test_pairs_show_the_scrubber_that_they_are_given(explained):
    es, others = explained
    with_both = explanation_pairs([('a', es, beside_second(es, others, px=32))])
    assert 'net 1 integrated gradients' in with_both
    assert 'integrated gradients' not in explanation_pairs([('a', es)])


def own_method():
    "The cell of the exam's page that defines a method of one's own: name, source"
    cells = json.loads((NBS / 'tutorials' / 'exam.ipynb').read_text(encoding='utf-8'))['cells']
    sources = [''.join(c['source']) for c in cells if c['cell_type'] == 'code']
    (source,) = [s for s in sources if s.startswith('def ') and '(model, clips, target):' in s.splitlines()[0]]
    return ast.parse(source).body[0].name, source


def test_the_method_of_the_exams_page_can_be_handed_in(tmp_path):
    name, source = own_method()
    assert len(source.splitlines()) <= 10
    (tmp_path / 'my.py').write_text(f'import torch\nfrom interpvid import freeze\n{source}\n')
    torch.manual_seed(0)
    net = CLSTM(12, 32, T=12, hidden=(4, 4), stride=(4, 1), pool=(2, 1), shared_norm=False).eval()
    clips = torch.randn(3, 3, 12, 32, 32)
    found = answer(f'{tmp_path}/my.py:{name}', net, clips, torch.tensor([1, 2, 3]))
    assert found.values.shape == (3, 12) and np.ptp(found.values, 1).all()
    assert found.forward == 12 and found.backward == 0
