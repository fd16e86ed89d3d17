"Datasets and networks are declared once, and found without importing what they need."

import subprocess
import sys

import pytest
from torch import nn

from conftest import SMALL
from interpvid.cli import parser
from interpvid.data.synthetic import LEFT, RIGHT, SYNTHETIC_CLASSES, DrawnClips, make_clips
from interpvid.learner import preset_of
from interpvid.paper.reproduce import reproduce
from interpvid.registry import DATASETS, NETWORKS, Dataset, Network, find, register


@pytest.fixture
def clean():
    "Forget what a test declares"
    before = dict(DATASETS.loaded), dict(NETWORKS.loaded)
    yield
    DATASETS.loaded, NETWORKS.loaded = before


def test_all_are_found_without_torch():
    code = """
import sys
from interpvid.registry import DATASETS, NETWORKS
assert {'events', 'people', 'something', 'kth', 'folder'} <= set(DATASETS), list(DATASETS)
assert list(NETWORKS) == ['i3d', 'clstm'], list(NETWORKS)
assert DATASETS.about('something')['env'] == 'INTERPVID_SSV2'
assert 'torch' not in sys.modules and 'fastai' not in sys.modules
"""
    subprocess.run([sys.executable, '-c', code], check=True)


def test_a_declaration_is_found_by_each_of_its_names():
    assert find(DATASETS, 'ssv2') is find(DATASETS, 'something') is DATASETS['something']
    assert find(NETWORKS, 'C-LSTM') is find(NETWORKS, 'clstm')


def test_a_wrong_name_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match="no network 'c3d'; there are i3d, clstm"):
        find(NETWORKS, 'c3d')
    with pytest.raises(ValueError, match='no dataset'):
        find(DATASETS, '')


def test_drawn_clips_stand_in_for_datasets_in_files():
    for d in DATASETS.values():
        assert not d.drawn or DATASETS[d.drawn].draw is not None
        assert not (d.draw and d.env)


def test_what_is_declared_here_is_there(clean):
    register(Dataset('mine', 'My clips', dls=None, draw=lambda *args: None))
    register(Network('mean', 'Mean', build=None))
    assert 'mine' in DATASETS and list(NETWORKS)[-1] == 'mean' and DATASETS.about('mine')['title'] == 'My clips'


class MeanNet(nn.Module):
    "One convolution, and the mean of what it finds"
    cam_layer = 'conv'

    def __init__(self, n_classes):
        super().__init__()
        self.settings = dict(n_classes=n_classes)
        self.conv, self.head = nn.Conv3d(3, 8, 3, (1, 4, 4), padding=1), nn.Linear(8, n_classes)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3, 4)))


def pushes(n, seed, training, progress):
    return make_clips(n, seed, siblings=training, T=16, size=64, only=(RIGHT, LEFT), progress=progress)


def test_a_third_network_and_a_third_dataset_are_everywhere(clean, tiny_cache, tmp_path):
    "Declared in a few lines, they are in both tables, on the page and among the command's choices"
    presets = {name: preset_of('i3d', name) | dict(model={}) for name in ('small', 'small-kth')}
    register(Network('mean', 'Mean', MeanNet, presets))
    classes = [SYNTHETIC_CLASSES[k] for k in (RIGHT, LEFT)]
    toy = Dataset('toy', 'Pushes', dls=None, draw=pushes, load=DrawnClips.load, classes=classes, shape=(16, 64, 64))
    register(toy)

    got = reproduce(tmp_path, **SMALL, cache=tiny_cache, log=lambda line: None, progress=False)
    for data in 'something', 'kth', 'toy':
        assert got[data]['table1'].index.tolist()[-2:] == ['Mean', 'Mean, reversed'], data
        assert got[data]['table2'].index.tolist() == ['I3D', 'C-LSTM', 'Mean'], data
    assert (tmp_path / 'models' / 'toy' / 'mean.safetensors').is_file() and (tmp_path / 'toy' / 'table2.csv').is_file()
    assert (tmp_path / 'gallery-toy' / 'index.html').is_file()
    page = got['page'].read_text(encoding='utf-8')
    assert '<h2>Pushes: ' in page and page.count('Mean, reversed') >= 3 and 'figures/toy-a.gif' in page
    a = parser().parse_args(['train', '--data', 'toy', '--arch', 'mean'])
    assert (a.data, a.arch) == ('toy', 'mean')
