"Datasets and networks are declared once, and found without importing what they need."

import subprocess
import sys

import pytest

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
