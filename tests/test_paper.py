"""The notebooks of the paper's tables and figures: with six files of KTH they run as they are, and say what is missing

Slow: makes the results that they show, if these are missing.
"""

import nbformat, pytest

from conftest import ROOT

nbclient = pytest.importorskip('nbclient')
PAPER = 'figure1', 'table1', 'figure2', 'figure3', 'table2', 'programs', 'more_sequences'


def text(nb):
    return '\n'.join(
        str(o.get('text') or o.get('data', {}).get('text/markdown') or o.get('data', {}).get('text/plain', ''))
        for c in nb.cells
        for o in c.get('outputs', [])
    )


@pytest.mark.slow
@pytest.mark.parametrize('name', PAPER)
def test_with_six_real_files(full, reference, name, monkeypatch):
    monkeypatch.setenv('INTERPVID_KTH', str(reference / 'kth'))
    monkeypatch.setenv('INTERPVID_RESULTS', str(ROOT / 'results'))
    monkeypatch.delenv('INTERPVID_SSV2', raising=False)
    nb = nbformat.read(ROOT / 'nbs' / 'paper' / f'{name}.ipynb', 4)
    nbclient.NotebookClient(
        nb, timeout=900, kernel_name='python3', resources={'metadata': {'path': str(ROOT / 'nbs' / 'paper')}}
    ).execute()
    said = text(nb)
    if name in ('table1', 'figure3'):
        for part in (
            '593 of the 599 files',
            '24 of 2391 sequences',
            'None of the subjects 17 to 25',
            'nothing here is a result on the dataset',
        ):
            assert part in said, part
    else:
        assert 'Data: built-in clips' in said


@pytest.mark.parametrize('name', PAPER)
def test_the_answer_stands_first(name):
    "What was asked, what was found and how sure that is, before any code; then the paper's claims, on built-in clips"
    cells = nbformat.read(ROOT / 'nbs' / 'paper' / f'{name}.ipynb', 4).cells
    first_code = next(i for i, c in enumerate(cells) if c.cell_type == 'code')
    opening = '\n'.join(c.source for c in cells[:first_code])
    assert '| asked | found | how sure |' in opening
    assert '*Takes' in opening
    assert any('> *Paper' in c.source for c in cells[first_code:] if c.cell_type == 'markdown')
    shown = text(nbformat.from_dict({'cells': cells}))
    assert 'Data: built-in clips' in shown, 'stored outputs are of built-in clips: no real person is in them'
