"What a stranger gets who installs it."

import configparser, re, shutil, subprocess, sys, tarfile, zipfile
from importlib import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement

import interpvid

ROOT = Path(__file__).resolve().parents[1]


def settings(key):
    c = configparser.ConfigParser()
    c.read(ROOT / 'settings.ini', encoding='utf-8')
    return c['DEFAULT'][key].split()


def test_requirements_come_from_settings_ini():
    said = {Requirement(r).name for r in metadata.requires('interpvid') if 'extra ==' not in r}
    assert said == {Requirement(r).name for r in settings('requirements')}


def test_constraints_cover_requirements():
    pins = {Requirement(l).name.lower() for l in (ROOT / 'constraints.txt').read_text().split()}
    assert {Requirement(r).name.lower() for r in settings('requirements') + settings('dev_requirements')} <= pins


def test_citation_is_of_the_package_with_the_paper_beside_it():
    "What a citation tool takes is the package: its version and its day are those of the last release"
    cited = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    releases = re.findall(r'^## (\d\S+) \((\S+)\)', (ROOT / 'CHANGELOG.md').read_text(encoding='utf-8'), re.M)
    assert 'preferred-citation' not in cited
    assert (cited['version'], str(cited['date-released'])) == releases[0]
    assert cited['version'] == interpvid.__version__
    assert cited['url'] == 'https://github.com/interpvid/interpvid'
    paper = cited['references'][0]
    assert [a['family-names'] for a in paper['authors']] == ['Mänttäri', 'Broomé', 'Folkesson', 'Kjellström']
    assert paper['type'] == 'conference-paper' and paper['year'] == 2020


def test_sdist_can_be_built_and_wheel_holds_the_package_alone(tmp_path):
    src = tmp_path / 'src'  # a copy: builds leave folders behind
    src.mkdir()
    shutil.copytree(ROOT / 'interpvid', src / 'interpvid', ignore=shutil.ignore_patterns('__pycache__'))
    for f in 'settings.ini', 'setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md', 'LICENSE':
        shutil.copy(ROOT / f, src)
    for kind in 'sdist', 'bdist_wheel':
        subprocess.run(
            [sys.executable, 'setup.py', '-q', kind, '--dist-dir', tmp_path], cwd=src, check=True, capture_output=True
        )
    with tarfile.open(next(tmp_path.glob('*.tar.gz'))) as t:
        names = {Path(n).name for n in t.getnames()}
    assert 'settings.ini' in names  # setup.py reads it
    assert {'i3d-events.safetensors', 'i3d-events.json'} <= names
    (whl,) = tmp_path.glob('*.whl')
    tops = {n.split('/')[0] for n in zipfile.ZipFile(whl).namelist()}
    data = {f'interpvid/{d}/{p.name}' for d in ('static', 'kept') for p in (ROOT / 'interpvid' / d).iterdir()}
    assert data <= set(zipfile.ZipFile(whl).namelist())
    assert {'i3d-events', 'clstm-events'} <= {Path(n).stem for n in data if n.endswith('.safetensors')}
    assert tops == {'interpvid', f"interpvid-{metadata.version('interpvid')}.dist-info"}


PROMISED = '''
read_frames sample_indices write_video synthetic_dls make_clips SYNTHETIC_CLASSES ssv2_items ssv2_dls SSV2_CLASSES
kth_items kth_dls KTH_CLASSES folder_items folder_dls I3D CLSTM i3d_learner clstm_learner preset_of STATS freeze reverse
learn_masks search_windows wrap gradcam explain Explanation table1 table2 figure_columns scrub_html reproduce
Scrubber Painter Browser Experiment
'''.split()
USUAL = {'np', 'pd', 'plt', 'torch', 'nn', 'Path'}


def test_public_names():
    space = {}
    exec('from interpvid.all import *', space)
    space.pop('__builtins__')
    assert set(PROMISED) | USUAL <= set(space)
    assert len(set(space) - USUAL) <= 90


def test_the_library_by_itself_needs_no_fastai():
    code = """
import sys
import interpvid
assert {'explain', 'wrap', 'read_frames'} <= set(dir(interpvid)) and 'torch' not in sys.modules
from interpvid import *
names = [n for n in dir(interpvid) if not n.startswith('_')]
for name in names: getattr(interpvid, name)
assert 'fastai' not in sys.modules, names
try: interpvid.nothing
except AttributeError as e: assert 'nothing' in str(e)
"""
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)


def test_help_explains_every_option():
    from interpvid.cli import parser

    for sub in parser()._subparsers._group_actions[0].choices.values():
        assert not [a.dest for a in sub._actions if not a.help]


def test_help_answers_without_torch():
    code = """
import sys
from interpvid.cli import main
try: main(['--help'])
except SystemExit as e: assert e.code == 0
assert 'torch' not in sys.modules and 'fastai' not in sys.modules
"""
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    assert 'reproduce' in r.stdout and 'explain' in r.stdout
