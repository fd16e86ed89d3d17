"What a line of text names, and the one set of errors where it names nothing"
import os
from pathlib import Path

import pytest
from torch import nn

from interpvid.exam.candidates import as_candidate
from interpvid.models.pretrained import model_of
from interpvid.named import absolute_name, find_named, name_of
from interpvid.sweep import as_explain


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / 'mine.py').write_text(
        'from torch import nn\n'
        'import beside_mine\n'
        'def f(model, clips, target): return clips.mean((1,3,4))\n'
        'class Net(nn.Sequential): pass\n'
        'class Of(nn.Module):\n'
        '    def __init__(self, width): super().__init__()\n'
        '    @staticmethod\n'
        '    def narrow(): return Of(2)\n'
        'net = nn.Identity()\n'
        'def score(clips): return clips\n'
    )
    (tmp_path / 'beside_mine.py').write_text('')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_and_modules_of_the_folder_one_is_in(folder):
    assert find_named('mine.py:f').__name__ == find_named('mine:f').__name__ == 'f'
    assert find_named(f'{folder}/mine.py:Of.narrow')().__class__.__name__ == 'Of'
    assert find_named('os.path:join') is os.path.join


def test_models(folder):
    assert type(model_of('mine.py:Net')).__name__ == 'Net'
    assert type(model_of('mine.py:Of.narrow')).__name__ == 'Of'
    assert isinstance(model_of('mine.py:net'), nn.Identity)
    assert model_of('mine.py:score').__name__ == 'score'  # a plain function of clips


@pytest.mark.parametrize('ask', [find_named, model_of, as_candidate, as_explain, name_of], ids=lambda f: f.__name__)
def test_all_who_take_a_name_say_the_same(folder, ask):
    (folder / 'wrong.py').write_text('x = 1\n1/0\n')
    for text, error, said in (
        ('mine.py:g', ValueError, "mine.py has no 'g'; its functions are f, score"),
        ('nowhere.py:f', FileNotFoundError, 'nowhere.py: no such file'),
        ('nowhere_at_all:f', ValueError, "no module 'nowhere_at_all'"),
        ('wrong.py:f', ValueError, 'cannot be imported: ZeroDivisionError: division by zero .wrong.py, line 2'),
    ):
        with pytest.raises(error, match=said):
            ask(text)


def test_names_lead_back(folder):
    for text in ('mine.py:f', 'os.path:join'):
        assert name_of(find_named(text)) in (absolute_name(text), 'posixpath:join')
    assert absolute_name('mine.py:f') == f'{Path(folder).resolve()}/mine.py:f'
