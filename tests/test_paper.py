"""The notebooks of the paper's tables and figures: with six files of KTH they run as they are, and say what is missing

Slow: makes the results that they show, if these are missing.
"""

import re
from dataclasses import replace

import nbformat, numpy as np, pandas as pd, pytest, torch

from conftest import ROOT

nbclient = pytest.importorskip('nbclient')
PAPER = 'figure1', 'table1', 'figure2', 'figure3', 'table2', 'programs', 'more_sequences', 'padding'


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


# --- the page that `reproduce` writes


@pytest.fixture(scope='module')
def tiny_page(tmp_path_factory):
    "The page of two tiny experiments; its tables of numbers are made by hand"
    from interpvid.paper.experiment import make_class_tables, make_table1, tiny_experiment
    from interpvid.paper.page import write_paper_page

    wide = pd.DataFrame({f'a rather long column {k}': [0.5] for k in range(12)} | {'verdict': 'as in the paper'})
    experiments = [tiny_experiment('something'), tiny_experiment('kth')]
    tables = [
        dict(
            table1=make_table1(e),
            classes=pd.concat(make_class_tables(e), names=['model']),
            table2=wide,
            paired=wide,
            overlap=wide,
            heat=wide,
        )
        for e in experiments
    ]
    ablations = dict.fromkeys(('settings', 'baselines', 'cams', 'starts', 'by setting'), wide)
    path = tmp_path_factory.mktemp('page') / 'index.html'
    write_paper_page(path, experiments, tables, ablations, {})
    return path, experiments


def test_the_page_opens_with_the_claims_then_figures_then_tables(tiny_page):
    text = tiny_page[0].read_text(encoding='utf-8')
    places = [text.index(part) for part in ('<picture>', 'Things that move: Fig. 2', 'Things that move: tables')]
    assert places == sorted(places) and places[0] < text.index('<table')
    for table in re.finditer('<table', text):
        before = text[: table.start()]
        assert before.count('<details') > before.count('</details'), 'a table that is not behind a heading'
    by_setting = text[text.index("<summary>The paper's sentences under each setting") :]
    assert by_setting.index('verdict') < by_setting.index('a rather long column 0')


@pytest.mark.parametrize('width', [390, 1280])
def test_the_page_fits_and_cuts_no_verdict_off(browser, tiny_page, width):
    path, experiments = tiny_page
    with browser.new_context(viewport=dict(width=width, height=900)) as context:
        p = context.new_page()
        p.goto(path.as_uri())
        p.evaluate('document.querySelectorAll("details").forEach(d => d.open = true)')
        assert p.evaluate('document.documentElement.scrollWidth') <= width
        picture = p.locator('picture img').bounding_box()
        assert picture['x'] >= 0 and picture['x'] + picture['width'] <= width
        assert p.locator('picture img').evaluate('i => i.naturalWidth < 500') == (width == 390)
        for row in p.locator('.claims tbody tr').all():
            box = row.locator('td').nth(1).bounding_box()
            assert box and box['x'] + box['width'] <= width


def test_every_claim_is_in_its_table_and_those_not_asked_say_why(tiny_page):
    from interpvid.paper.claims import CLAIMS
    from interpvid.paper.page import claims_table

    for exp in tiny_page[1]:
        t = claims_table(exp)
        assert len(t) == len(CLAIMS)
        assert all(': ' in said for said in t['here'] if said.startswith('not asked here'))


@pytest.mark.parametrize(
    'frozen,length,said',
    [(0.1, 4, ''), (0.6, 4, 'less than half'), (0.85, 4, 'next to nothing'), (0.95, 4, 'rises'), (0.9, 0, 'empty')],
)
def test_captions_say_what_a_mask_is_worth(tiny_page, frozen, length, said):
    from interpvid.paper.experiment import explain_pairs
    from interpvid.paper.page import caption_of, mask_worth

    e = next(explain_pairs(tiny_page[1][0]))[1][0]
    mask = np.r_[np.ones(length), np.zeros(16 - length)]
    e = replace(e, mask=mask, scores={'OS': 0.9, 'FS': 0.9, 'FS binary': frozen})
    worth = mask_worth(e)
    assert said in worth and bool(said) == bool(worth)
    assert caption_of('A clip', [e]) == (f'A clip. {worth[0].upper()}{worth[1:]}.' if said else 'A clip')


def test_a_figure_shows_the_first_clip_whose_masks_work(tiny_page, monkeypatch):
    from interpvid.paper import page
    from interpvid.paper.experiment import choose_clips, load_clips, tiny_experiment

    exp = tiny_experiment('something', valid=36, per_class=3)
    labels = load_clips(exp).labels
    ups = [i for i in choose_clips(exp) if load_clips(exp).classes[labels[i]] == 'Moving something up']
    working = {int(i): 2 * (i in (ups[1], ups[2])) for i in choose_clips(exp)}
    monkeypatch.setattr(page, 'count_working', lambda exp, labels: working)
    chosen = {letter: (i, said) for letter, i, said in page._choose_sequences(exp)}
    assert chosen['d'][0] == ups[1] and 'the first of its class in which both masks work' in chosen['d'][1]
    assert chosen['e'][0] == ups[2]
    assert chosen['a'][0] == next(i for i in choose_clips(exp) if labels[i] == labels[chosen['a'][0]])
    assert 'first of its class' not in chosen['a'][1]


def test_further_sequences_are_of_the_papers_eleven_classes():
    from interpvid.data.ssv2 import ssv2_paper_classes
    from interpvid.registry import DATASETS

    assert list(DATASETS['something'].further) == ssv2_paper_classes(11)


# --- Fig. 1


@pytest.mark.parametrize('name', ['I3D', 'C-LSTM'])
def test_layers_are_those_of_the_forward_pass(name):
    from interpvid.models.clstm import CLSTM
    from interpvid.models.i3d import I3D
    from interpvid.paper.plots import layers_of

    net = {'I3D': lambda: I3D(5, width=0.125), 'C-LSTM': lambda: CLSTM(5, size=64, hidden=(4, 4, 4))}[name]()
    net.train()
    t = layers_of(net, (16, 64, 64))
    assert net.training and not any(m._forward_hooks for m in net.modules())
    assert t['parameters'].sum() == sum(p.numel() for p in net.parameters())
    seen = {}
    at = dict(net.named_modules())[net.cam_layer]
    hook = at.register_forward_hook(lambda m, i, o: seen.update(shape=tuple(o.shape[1:])))
    net(torch.zeros(1, 3, 16, 64, 64))
    hook.remove()
    row = t[t['layer'] == net.cam_layer].iloc[0]
    assert (row['channels'], row['T'], row['H'], row['W']) == seen['shape']
    assert t.iloc[-1]['kind'] == 'classifier' and t.iloc[-1]['channels'] == 5
