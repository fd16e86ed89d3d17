"Stages: made once, verified, and made anew exactly where something that they rest on has changed."

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from interpvid.runs import Stages, code_of, syntax

ROOT = Path(__file__).resolve().parents[1]


def seven(path):
    path.write_text('7' * 9000)


def run(folder, make=seven, name='x', modules='files', **kwargs):
    lines = []
    kwargs = dict(dict(end='.txt'), **kwargs)
    fresh = kwargs.pop('fresh', False)
    at = Stages(folder, fresh=fresh, log=lines.append)(name, 'a number', make, modules, **kwargs)
    return at, lines


# --- kept and reused


def test_bad_stage_is_not_kept(tmp_path):
    def half(path):
        path.write_text('half')
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, half)
    assert not [p for p in tmp_path.rglob('*') if p.is_file()]


def test_fresh_reuses_nothing(tmp_path):
    made = []

    def make(path):
        made.append(1)
        path.mkdir()
        (path / f'{len(made)}.txt').touch()

    (tmp_path / 'mine').touch()
    for fresh in False, False, True:
        at, _ = run(tmp_path, make, end='', fresh=fresh)
    assert len(made) == 2
    assert [p.name for p in at.glob('*.txt')] == ['2.txt']
    assert (tmp_path / 'mine').exists()


def test_a_fresh_run_makes_each_stage_once(tmp_path):
    made = []
    stages = Stages(tmp_path, fresh=True, log=made.append)
    for _ in range(2):
        stages('x', 'x', seven, 'files')
    assert ['reused' in line for line in made] == [False, True]


def test_lines_count_and_say_where(tmp_path):
    lines = []
    stages = Stages(tmp_path, n=2, log=lines.append)
    at = stages('x', 'a number', seven, 'files'), stages.parts('y', 'two', lambda k, p: p.touch(), 2, 'files')
    assert lines[0].startswith('[1/2] a number: done in ')
    assert lines[0].endswith(f' → {at[0]}')
    assert lines[1].startswith('[2/2] two: done in ')
    assert lines[1].endswith(f' → {at[1][0].parent}')


def test_parts_go_on_with_the_missing_one(tmp_path):
    made, lines = [], []

    def make(k, path):
        made.append(k)
        if made == [0, 1]:
            raise KeyboardInterrupt
        path.write_text(str(k))

    parts = lambda: Stages(tmp_path, log=lines.append).parts('x', 'three', make, 3, 'files', end='.txt')
    with pytest.raises(KeyboardInterrupt):
        parts()
    assert [p.read_text() for p in parts()] == ['0', '1', '2']
    assert made == [0, 1, 1, 2]
    assert '1 of 3 parts reused' in lines[-1]
    parts()
    assert 'reused' in lines[-1]
    assert len(made) == 4


# --- damage

DAMAGE = {
    'overwritten': lambda b: b[:2000] + b'\xff' * 4096 + b[6096:],
    'zeros': lambda b: bytes(len(b)),
    'cut': lambda b: b[: len(b) // 2],
    'empty': lambda b: b'',
}


@pytest.mark.parametrize('damage', DAMAGE)
@pytest.mark.parametrize('kind', ['file', 'folder', 'part'])
def test_a_damaged_stage_is_made_anew_and_said(tmp_path, damage, kind):
    def folder(path):
        path.mkdir()
        seven(path / 'a.txt')

    def make():
        lines = []
        stages = Stages(tmp_path, log=lines.append)
        if kind == 'part':
            return stages.parts('x', 'x', lambda k, p: seven(p), 3, 'files')[1], lines
        at = stages('x', 'x', folder if kind == 'folder' else seven, 'files')
        return (at / 'a.txt' if kind == 'folder' else at), lines

    at, _ = make()
    whole = at.read_bytes()
    at.write_bytes(DAMAGE[damage](whole))
    at, lines = make()
    assert at.read_bytes() == whole
    assert len(lines) == 2
    assert 'damaged' in lines[0]
    assert 'done in' in lines[1]
    assert 'reused' in make()[1][-1]


def test_a_missing_file_of_a_folder_is_damage(tmp_path):
    def folder(path):
        path.mkdir()
        (path / 'a').touch()
        (path / 'b').touch()

    at, _ = run(tmp_path, folder, end='')
    (at / 'b').unlink()
    _, lines = run(tmp_path, folder, end='')
    assert 'damaged' in lines[0]
    assert (at / 'b').exists()


def test_a_note_in_a_stage_is_neither_damage_nor_lost(tmp_path):
    def folder(path):
        path.mkdir()
        (path / 'a').touch()

    at, _ = run(tmp_path, folder, end='')
    (at / 'note.txt').write_text('mine')
    assert 'reused' in run(tmp_path, folder, end='')[1][-1]
    (at / 'a').write_text('damage')
    with pytest.raises(IsADirectoryError, match='note.txt'):
        run(tmp_path, folder, end='')
    assert (at / 'note.txt').read_text() == 'mine'


def test_stages_without_checksums_are_not_found(tmp_path):
    "A folder of the first edition's stages: they stay, and nothing of them is taken"
    old = tmp_path / 'x-0123456789ab.txt'
    old.write_text('old')
    at, lines = run(tmp_path)
    assert at != old
    assert old.read_text() == 'old'
    assert 'done' in lines[-1]


def test_kept_stages_may_be_moved(tmp_path):
    run(tmp_path / 'a')
    (tmp_path / 'a').rename(tmp_path / 'b')
    assert 'reused' in run(tmp_path / 'b')[1][-1]


# --- keys


def test_what_stages_rest_on_changes_their_name(tmp_path):
    for n in 'yz':
        (tmp_path / n).write_text(n)
    at = lambda **kw: run(tmp_path / 'kept', **kw)[0]
    ways = [{}, dict(modules='viz'), dict(a=1), dict(a=2), *(dict(inputs=[tmp_path / n]) for n in 'yz')]
    ways.append(dict(make=lambda p: p.write_text('8')))
    assert len({at(**w) for w in ways}) == len(ways)
    assert [at(**w) for w in ways] == [at(**w) for w in ways]


def test_an_input_from_elsewhere_counts_by_its_content(tmp_path):
    (tmp_path / 'net').write_text('weights')
    before, _ = run(tmp_path / 'kept', inputs=[tmp_path / 'net'])
    shutil.copy(tmp_path / 'net', tmp_path / 'same')
    assert run(tmp_path / 'kept', inputs=[tmp_path / 'same'])[0] == before
    (tmp_path / 'net').write_text('others')
    assert run(tmp_path / 'kept', inputs=[tmp_path / 'net'])[0] != before


def test_an_earlier_stage_counts_by_its_key(tmp_path):
    first = [run(tmp_path, a=a)[0] for a in (1, 2)]
    second = [run(tmp_path, name='y', inputs=[f])[0] for f in first]
    os.utime(first[0])
    assert second[0] != second[1]
    assert run(tmp_path, name='y', inputs=[first[0]])[0] == second[0]
    parts = [
        Stages(tmp_path, log=print).parts('z', 'z', lambda k, p: p.touch(), 1, 'files', a=a)[0] for a in (1, 2)
    ]  # both are named 000.npz
    assert run(tmp_path, inputs=parts[:1])[0] != run(tmp_path, inputs=parts[1:])[0]


def test_an_input_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        run(tmp_path / 'kept', inputs=[tmp_path / 'nowhere'])


def test_where_a_result_would_be_can_be_asked_without_making_it(tmp_path):
    stages = Stages(tmp_path, log=print)
    first = stages.path('a', seven, 'files', end='.txt', seed=1)
    second = stages.path('b', seven, 'files', [first], seed=1)
    assert not list(tmp_path.iterdir())
    assert stages('a', 'a', seven, 'files', end='.txt', seed=1) == first
    assert stages('b', 'b', seven, 'files', [first], seed=1) == second


def test_an_unknown_module_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='nonesuch'):
        run(tmp_path, modules=['nonesuch'])


def test_threads_do_not_count_and_are_recorded(tmp_path):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one, _ = run(tmp_path)
        torch.set_num_threads(2)
        two, lines = run(tmp_path)
    finally:
        torch.set_num_threads(before)
    assert one == two
    assert 'reused' in lines[-1]
    (about,) = (json.loads(p.read_text()) for p in tmp_path.glob('*.made.json'))
    assert about['versions']['threads'] == 1
    assert about['versions']['torch'] == torch.__version__.split('+')[0]
    assert about['what'] == 'a number'
    assert about['settings'] == {}
    assert {'files', 'device'} == set(about['code'])


def test_comments_docstrings_and_layout_do_not_count():
    a = 'class A:\n    "About it"\n    x = 1 # one\n\n    def f(self):\n        """Of it"""\n        return "kept"\n'
    b = 'class A:\n    x = 1\n    def f(self): return ("kept")\n'
    assert syntax(a) == syntax(b) != syntax(b.replace('kept', 'other'))


def test_functions_count_without_comments_and_through_partial(tmp_path):
    def one(n, path):
        "Write it"  # as it is
        path.write_text(str(n))

    def two(n, path):
        path.write_text(str(n + 1))

    kept = {run(tmp_path, partial(f, 1))[0] for f in (one, two)}
    assert len(kept) == 2


KEYS = '''
import json, sys
from interpvid.runs import code_of
from interpvid.files import key_of
print(json.dumps({m: key_of(code_of(m)) for m in sys.argv[1:]}))
'''


@pytest.fixture
def package(tmp_path):
    "A copy of the package that a test may change"
    shutil.copytree(ROOT / 'interpvid', tmp_path / 'interpvid')
    return tmp_path / 'interpvid'


def keys(package, *modules):
    env = {**os.environ, 'PYTHONPATH': str(package.parent)}
    command = [sys.executable, '-c', KEYS, *modules]
    r = subprocess.run(command, cwd=package.parent, env=env, capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def test_a_comment_in_core_makes_nothing_anew_and_a_change_in_forward_does(package):
    modules = 'models.i3d', 'models.clstm', 'explanation', 'pages'
    before = keys(package, *modules)
    for f, more in ('core', '\n# a comment\n'), ('models/i3d', '\n\n# another\n'):
        (package / f'{f}.py').write_text((package / f'{f}.py').read_text() + more)
    core = (package / 'core.py').read_text()
    (package / 'core.py').write_text('"""Another docstring"""\n' + core.split('"""', 2)[2])
    assert keys(package, *modules) == before
    net = package / 'models/i3d.py'
    text = net.read_text()
    assert text.count('def forward(self') >= 1
    net.write_text(text.replace('def forward(self', 'def forward(self, unused=None, *', 1))
    after = keys(package, *modules)
    assert after['models.i3d'] != before['models.i3d']
    assert after['models.clstm'] == before['models.clstm']


def test_drawing_counts_only_for_what_draws(package):
    modules = 'explanation', 'pages'
    before = keys(package, *modules)
    (package / 'viz.py').write_text((package / 'viz.py').read_text() + '\nLINE = 2\n')
    after = keys(package, *modules)
    assert after['explanation'] == before['explanation']
    assert after['pages'] != before['pages']


def test_modules_are_followed_to_the_ground():
    assert {'core', 'device', 'files'} <= set(code_of('explanation'))
    assert set(code_of('device')) == {'device'}
