"What is generated equals what it is generated from; notebooks are clean. `make check` runs these first."

import json, re, shutil, subprocess, sys, tempfile
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'tools'))
from readme import readme
from smaller import FORECAST, shrink

NOTEBOOKS = sorted(p for p in (ROOT / 'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)


def names(path):
    return str(path.relative_to(ROOT / 'nbs'))


def tree(folder, ending):
    return {
        str(p.relative_to(folder)): p.read_text(encoding='utf-8')
        for p in sorted(folder.rglob(f'*{ending}'))
        if '.ipynb_checkpoints' not in p.parts
    }


@pytest.fixture(scope='module')
def copy():
    "The sources in another folder, where nbdev's commands may write"
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)
        for f in 'nbs', 'interpvid':
            shutil.copytree(
                ROOT / f, d / f, ignore=shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints'), symlinks=True
            )
        for f in 'pyproject.toml', 'settings.ini', 'setup.py', '_quarto.yml', 'README.md':
            shutil.copy(ROOT / f, d / f)
        yield d


def nbdev(command, at):
    r = subprocess.run([Path(sys.executable).with_name(command)], cwd=at, capture_output=True, text=True)
    assert r.returncode == 0, r.stderr


def test_modules_equal_notebooks(copy):
    shutil.rmtree(copy / 'interpvid')
    (copy / 'interpvid').mkdir()
    shutil.copy(ROOT / 'interpvid' / '__init__.py', copy / 'interpvid')
    nbdev('nbdev-export', copy)
    made, here = tree(copy / 'interpvid', '.py'), tree(ROOT / 'interpvid', '.py')
    differ = [f for f in made.keys() | here.keys() if made.get(f) != here.get(f)]
    assert not differ, f"{', '.join(sorted(differ))}: not what the notebooks say; run nbdev-export"


def test_notebooks_are_clean(copy):
    nbdev('nbdev-clean', copy)
    made, here = tree(copy / 'nbs', '.ipynb'), tree(ROOT / 'nbs', '.ipynb')
    differ = [f for f in here if made[f] != here[f]]
    assert not differ, f"{', '.join(differ)}: hold metadata or counts that change from run to run; run nbdev-clean"


def test_readme_equals_index():
    assert (ROOT / 'README.md').read_text(encoding='utf-8') == readme(), (
        'README.md is not what nbs/index.ipynb says; run `make readme`'
    )


def test_readme_links_lead_somewhere():
    for link in re.findall(r'(?:\]\(|src=")([^)"\s#]+)', (ROOT / 'README.md').read_text(encoding='utf-8')):
        assert link.startswith('https://') or (ROOT / link).exists(), f'README.md links {link}, which is not there'


@pytest.mark.posix
def test_quarto_settings_are_one_file():
    settings = ROOT / 'nbs' / '_quarto.yml'
    assert settings.is_symlink()
    assert settings.resolve() == ROOT / '_quarto.yml'


def test_sidebar_names_every_page():
    listed = set(re.findall(r'[\w./]+\.ipynb', (ROOT / 'nbs' / 'sidebar.yml').read_text()))
    assert listed == set(map(names, NOTEBOOKS))


@pytest.mark.parametrize('path', NOTEBOOKS, ids=names)
def test_first_cell_is_title_and_summary_alone(path):
    "nbdev makes the page's head of it, and drops everything else in it"
    lines = ''.join(json.loads(path.read_text(encoding='utf-8'))['cells'][0]['source']).splitlines()
    assert lines[0].startswith('# ')
    assert all(l.startswith('>') or not l.strip() for l in lines[1:])


# errors, paths of this machine, widgets without a kernel, progress bars
UNSHOWN = 'Traceback', 'Warning', str(ROOT), f'{tempfile.gettempdir()}/', 'application/vnd.jupyter.widget-view', '%|'


@pytest.mark.parametrize('path', NOTEBOOKS, ids=names)
def test_notebook_is_fit_for_readers(path):
    limit = 1_000_000 if path.parent.name in ('paper', 'tutorials') else 150_000
    assert path.stat().st_size <= limit, (
        f'{path.stat().st_size} bytes; images at most 160 px, as JPEG; after a run: python tools/smaller.py'
    )
    nb = json.loads(path.read_text(encoding='utf-8'))
    assert 'widgets' not in nb['metadata'], 'holds widget state'
    head = ''.join(nb['cells'][0]['source'])
    assert head.startswith('# ') and '\n> ' in head, 'needs a title and a line that says what for'
    code = [c for c in nb['cells'] if c['cell_type'] == 'code']
    shown = json.dumps([c['outputs'] for c in code])
    for word in UNSHOWN:
        assert word not in shown, f'its stored outputs show {word}'
    said = ''.join(''.join(o['text']) for c in code for o in c['outputs'] if o.get('name') == 'stderr')
    assert not re.search(FORECAST, said), f'says how long its run took: {said}; after a run: python tools/smaller.py'
    assert any(c['outputs'] for c in code) or not code, 'no stored output: the site would show no result'


def test_stored_outputs_together_are_small():
    "What notebooks show is downloaded with every clone and kept in every version; their code may grow"
    outputs = (c.get('outputs', []) for p in NOTEBOOKS for c in json.loads(p.read_text(encoding='utf-8'))['cells'])
    together = sum(len(json.dumps(o, ensure_ascii=False).encode()) for o in outputs)
    assert together <= 3_300_000, f'{together} bytes of outputs; after a run: python tools/smaller.py'


def cells_of_table(html):
    "The texts of a table, row by row"
    rows = re.findall(r'<tr.*?</tr>', html, re.S)
    return [re.findall(r'<t[hd][^>]*>(.*?)</t[hd]>', row, re.S) for row in rows]


def test_smaller_outputs_show_the_same(tmp_path):
    table = pd.DataFrame({'a b': ['x > 0', '<b>\n y'], 'c': [1.5, None]}, index=['one', 'two'])._repr_html_()
    page = '<div>\n  <p>not a table of pandas</p>\n</div>'
    data = [{'text/html': html.splitlines(True), 'text/plain': ['x']} for html in (table, page)]
    cells = [dict(outputs=[dict(data=d)]) for d in data]
    path = tmp_path / 'x.ipynb'
    path.write_text(json.dumps(dict(cells=cells), sort_keys=True, indent=1), encoding='utf-8')
    assert shrink(path) > len(table) / 3
    after = [''.join(c['outputs'][0]['data']['text/html']) for c in json.loads(path.read_text())['cells']]
    assert cells_of_table(after[0]) == cells_of_table(table) != []
    assert after[0].count('</tr>\n') == 3
    assert after[1] == page
    plain = ['text/plain' in c['outputs'][0]['data'] for c in json.loads(path.read_text())['cells']]
    assert plain == [False, True]
    assert shrink(path) == 0


def code_of(path):
    "All code cells of a notebook"
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    return '\n'.join(''.join(c['source']) for c in cells if c['cell_type'] == 'code')


def test_later_notebooks_only_import_earlier_ones():
    modules = [p for p in NOTEBOOKS if p.parent == ROOT / 'nbs' and p.stem[0].isdigit()]
    place = {p.stem.split('_', 1)[1]: p.stem for p in modules} | {'all': 'all'}
    for p in modules:
        for used in re.findall(r'^\s*from interpvid\.([\w.]+) import', code_of(p), re.M):
            # a page may show by use what it defines further down
            assert place[used] <= p.stem, f'{p.stem} imports {used}, which comes later'


# --- the ruler: what ruff does not measure


def code_cells():
    for p in NOTEBOOKS:
        for c in json.loads(p.read_text(encoding='utf-8'))['cells']:
            if c['cell_type'] == 'code':
                yield names(p), ''.join(c['source'])


def filled(source):
    return [line for line in source.splitlines() if line.strip()]


def test_lines_are_short():
    lines = [line for _, source in code_cells() for line in filled(source)]
    assert sum(len(line) > 120 for line in lines) <= 0.02 * len(lines)


def test_export_cells_hold_one_idea():
    "Half of them fit into 12 lines; at most five are longer than 40, none longer than 60"
    sizes = {(n, filled(s)[1]): len(filled(s)) for n, s in code_cells() if s.startswith('#| export')}
    longest = sorted(sizes, key=sizes.get, reverse=True)
    said = [f'{n}, {first!r}: {sizes[n, first]} lines' for n, first in longest[:6]]
    assert sizes[longest[0]] <= 60, said
    assert sum(size > 40 for size in sizes.values()) <= 5, said
    assert sorted(sizes.values())[len(sizes) // 2] <= 12
