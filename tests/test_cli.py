"The command line on good files and bad ones."

import inspect
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from interpvid.cli import main, options_of, parser
from interpvid.masks.learn import MASK_PRESETS
from interpvid.paper.reproduce import reproduce
from interpvid.registry import DATASETS, NETWORKS, Dataset, Network, register
from interpvid.video import write_video


@pytest.fixture
def run(tiny, tmp_path, capsys):
    "Explain files with the tiny networks: exit code, lines of stderr that are no progress bars, folder of results"

    def f(*files, arch='all'):
        capsys.readouterr()
        how = '--arch', arch, '--checkpoints', tiny / 'models', '--out', tmp_path / 'out', '--iterations', 2
        code = main(list(map(str, ('explain', *files, *how))))
        got = capsys.readouterr()
        err = [l for l in re.split(r'[\r\n]', got.err) if l.strip() and '%|' not in l]
        return code, err, got.out, tmp_path / 'out'

    return f


def made(path, T=20):
    return write_video(path, np.random.default_rng(0).integers(0, 255, (T, 50, 70, 3), dtype=np.uint8))


def names(folder):
    return sorted(p.name for p in folder.glob('[!.]*'))


def test_good_files_get_a_page_and_a_gif(run, tmp_path):
    files = [made(tmp_path / f'a{e}') for e in ('.mp4', '.webm', '.gif')]
    (tmp_path / 'b').mkdir()
    files.append(made(tmp_path / 'b' / 'a.mp4'))  # a second file of that name
    code, err, said, out = run(*files)
    assert code == 0 and not err
    assert len(list(out.glob('*.html'))) == len(list(out.glob('*.gif'))) == len(files)
    assert 'know 12 classes' in said and 'Holding something' in said
    page = next(out.glob('*.html')).read_text()
    assert page.count('"tiles":') == 5 and 'src="http' not in page and 'href="http' not in page


@pytest.mark.parametrize('arch,n', [('i3d', 3), ('clstm', 3)])
def test_one_network_alone(run, tmp_path, arch, n):
    code, _, _, out = run(made(tmp_path / 'a.mp4'), arch=arch)
    assert code == 0 and (out / 'a.html').read_text().count('"tiles":') == n


def test_bad_files_do_not_stop_the_others(run, tmp_path):
    good = made(tmp_path / 'good.mp4')
    (tmp_path / 'cut.mp4').write_bytes(good.read_bytes()[: len(good.read_bytes()) // 2])
    (tmp_path / 'empty.avi').touch()
    (tmp_path / 'words.webm').write_text('words')
    (tmp_path / 'one.gif').write_bytes(b'GIF89a')
    bad = [tmp_path / n for n in ('cut.mp4', 'empty.avi', 'words.webm', 'one.gif', 'missing.mp4')]
    code, err, _, out = run(bad[0], bad[1], good, *bad[2:], tmp_path)
    assert code == 1 and names(out) == ['good.gif', 'good.html']
    for f in bad:
        assert len([l for l in err if str(f) in l]) == 1, (f, err)
    assert len(err) == len(bad) + 1  # and the folder


def test_no_input_is_overwritten(tiny, tmp_path):
    "A3: `a.mp4` would become `a.gif`, which is an input too"
    files = [made(tmp_path / n) for n in ('a.mp4', 'a.gif')]
    before = [f.read_bytes() for f in files]
    how = '--checkpoints', tiny / 'models', '--out', tmp_path, '--iterations', 1, '--arch', 'i3d'
    assert main(list(map(str, ('explain', *files, *how)))) == 0
    assert [f.read_bytes() for f in files] == before
    assert names(tmp_path) == ['a.gif', 'a.mp4', 'a_.gif', 'a_.html', 'a__.gif', 'a__.html']


def test_no_file_of_someone_else_is_overwritten(tiny, tmp_path, capsys):
    f, mine = made(tmp_path / 'a.mp4'), tmp_path / 'out' / 'a.html'
    mine.parent.mkdir()
    mine.write_text('my notes')
    how = ['--checkpoints', str(tiny / 'models'), '--out', str(mine.parent), '--iterations', '1', '--arch', 'i3d']
    assert main(['explain', str(f), *how]) == 1
    assert mine.read_text() == 'my notes' and names(mine.parent) == ['a.html']
    assert 'a.html was not written by interpvid' in capsys.readouterr().err
    mine.unlink()
    assert main(['explain', str(f), *how]) == main(['explain', str(f), *how]) == 0  # its own it replaces


def test_no_iterations_is_refused(tiny, tmp_path, capsys):
    how = '--checkpoints', str(tiny / 'models'), '--iterations', '0'
    assert main(['explain', str(made(tmp_path / 'a.gif')), *how]) == 1
    assert '--iterations has to be at least 1, not 0' in capsys.readouterr().err


def test_without_networks_it_says_how_to_get_them(tmp_path, capsys):
    assert main(['explain', 'a.mp4', '--checkpoints', str(tmp_path)]) == 1
    assert 'interpvid reproduce' in capsys.readouterr().err


def test_broken_network_is_one_line(tiny, tmp_path, capsys):
    shutil.copytree(tiny / 'models', tmp_path / 'models')
    (tmp_path / 'models' / 'i3d.safetensors').write_bytes(b'junk')
    assert main(['explain', 'a.mp4', '--checkpoints', str(tmp_path / 'models')]) == 1
    err = capsys.readouterr().err
    assert 'i3d.safetensors' in err and 'Traceback' not in err and len(err.strip().split('\n')) == 1


@pytest.mark.parametrize(
    'args',
    [
        ['--scenes', '0'],
        ['--per-class', '30', '--valid', '24'],
        ['--epochs', '-1'],
        ['--iterations', '0'],
        ['--seed', '-1'],
        ['--kth', '/nowhere'],
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(tmp_path, capsys, args):
    "D4, B22: all inputs are looked at before the first stage"
    assert main(['reproduce', '--out', str(tmp_path), *args]) == 1
    assert not list(tmp_path.iterdir()) and len(capsys.readouterr().err.strip().split('\n')) == 1


@pytest.mark.parametrize('name', ['index.html', 'gallery', 'something/table1.csv', 'settings.json'])
def test_results_never_replace_what_is_not_theirs(tmp_path, capsys, name):
    "A2: refused before any work"
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if path.suffix:
        path.write_text('mine')
    else:
        path.mkdir()
        (path / 'mine.jpg').write_text('mine')
    assert main(['reproduce', '--out', str(tmp_path)]) == 1
    assert str(path) in capsys.readouterr().err
    assert [p.read_text() for p in tmp_path.rglob('*') if p.is_file()] == ['mine']


@pytest.mark.reference
def test_real_files(run, reference):
    files = [*sorted((reference / 'kth').glob('*.avi')), reference / 'ssv2' / '166766.mp4']
    assert len(files) == 7
    code, err, _, out = run(*files)
    assert code == 0 and not err and {p.stem for p in out.glob('*.html')} == {f.stem for f in files}


def test_options_have_the_defaults_of_the_code():
    "S5: `--help` cannot say anything else than the function does"
    a = vars(parser().parse_args(['reproduce']))
    code = {n: p.default for n, p in inspect.signature(reproduce).parameters.items()}
    shared = set(a) & set(code)
    assert {'seed', 'scenes', 'per_class', 'mask_preset', 'cache'} <= shared
    assert {n: a[n] for n in shared} == {n: code[n] for n in shared}
    assert all(o.comment for f in (('paper.reproduce', 'reproduce'), ('cli', 'read_data')) for o in options_of(*f))


def test_choices_are_those_of_the_code(monkeypatch):
    monkeypatch.setattr(DATASETS, 'loaded', dict(DATASETS.loaded))
    monkeypatch.setattr(NETWORKS, 'loaded', dict(NETWORKS.loaded))
    register(Dataset('toy', 'Toy clips', dls=None, drawn='events', env='TOY'))
    register(Network('mean', 'Mean', build=None))
    a = parser().parse_args(['train', '--data', 'toy', '--arch', 'mean'])
    assert (a.data, a.arch) == ('toy', 'mean') and parser().parse_args(['reproduce', '--toy', 'x']).toy == 'x'
    for preset in MASK_PRESETS:
        assert parser().parse_args(['explain', 'a.mp4', '--mask-preset', preset]).mask_preset == preset


@pytest.mark.parametrize(
    'old,new',
    [
        ('reproduce --few 2 --preset fast', 'reproduce --n-ablation 2 --mask-preset fast'),
        ('explain a --model both --models m --preset=fast', 'explain a --arch all --checkpoints m --mask-preset fast'),
        ('train --data ssv2 --root x --model i3d', 'train --data something --root x --arch i3d'),
        ('train --data synthetic --kind kth', 'train --data people'),
        ('train --data synthetic --preset small-kth', 'train --data events --preset small-kth'),
    ],
)
def test_old_spellings_still_work_and_say_the_new_one(old, new):
    from interpvid.cli import modern

    words, notes = modern(old.split())
    assert words == new.split() and notes
    assert modern(new.split()) == (new.split(), [])


def test_lines_in_any_locale(tmp_path):
    "D2: a stream that lacks '→'"
    code = f"import sys; from interpvid.cli import main; sys.exit(main(['explain', '{tmp_path}/ä.mp4']))"
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, env={'PATH': '', 'PYTHONIOENCODING': 'ascii'})
    assert r.returncode == 1 and b'Traceback' not in r.stderr


def test_one_checkpoint_in_place_of_a_folder(tiny, tmp_path, capsys):
    how = '--checkpoints', tiny / 'models' / 'clstm.safetensors', '--out', tmp_path, '--iterations', 1
    assert main(list(map(str, ('explain', made(tmp_path / 'a.mp4'), *how)))) == 0
    said = capsys.readouterr().out
    assert 'This network knows 12 classes;' in said and 'C-LSTM says' in said and 'I3D' not in said
    assert 'C-LSTM saw in a.mp4' in (tmp_path / 'a.html').read_text()
    assert main(['explain', 'a.mp4', '--checkpoints', str(tmp_path / 'a.mp4')]) == 1
    assert 'is not a safetensors file' in capsys.readouterr().err


def test_a_network_of_ones_own_in_place_of_a_checkpoint(tmp_path, capsys):
    (tmp_path / 'mine.py').write_text(
        'from interpvid.models.pretrained import pretrained\n'
        'def build():\n    net = pretrained("i3d-events")\n'
        '    net.classes = [f"motion {k}" for k in range(12)]\n    return net\n'
    )
    video = made(tmp_path / 'a.mp4')
    how = '--out', tmp_path / 'out', '--iterations', 1, '--to', 'json'
    for name, said in (f'{tmp_path}/mine.py:build', "'motion "), ('i3d-events', "I3D says '"):
        assert main(list(map(str, ('explain', video, '--checkpoints', name, *how)))) == 0
        assert said in capsys.readouterr().out
    assert main(['explain', str(video), '--checkpoints', str(tmp_path / 'no')]) == 1
    assert 'i3d-events and clstm-events come with the package' in capsys.readouterr().err


def test_a_checkpoint_of_pytorch_is_named_with_the_remedy(tmp_path, capsys):
    torch.save({}, tmp_path / 'my_i3d.pth.tar')
    assert main(['explain', 'a.mp4', '--checkpoints', str(tmp_path / 'my_i3d.pth.tar')]) == 1
    assert 'import_weights' in (said := capsys.readouterr().err) and 'damaged' not in said
    assert main(['reproduce', '--networks', str(tmp_path), '--dry-run']) == 1
    assert 'events-i3d-1.safetensors' in (said := capsys.readouterr().err) and 'holds my_i3d.pth.tar' in said


@pytest.mark.parametrize(
    'words,option',
    [
        ('train --data events --epochs 0', '--epochs has to be at least 1, not 0'),
        ('train --data events --bs 0', '--bs has to be at least 1, not 0'),
        ('train --data events --frames 0', '--frames'),
        ('train --data events --size 32 0', '--size has to be at least 1, not 32 0'),
        ('train --data events --patience 0', '--patience'),
        ('train --data events --workers -1', '--workers'),
        ('train --data events --keep-every -5', '--keep-every'),
        ('train --data events --scenes 0', '--scenes'),
        ('train --data folder --root . --valid-pct 2', '--valid-pct has to lie between 0 and 1, such as 0.2; not 2.0'),
        ('train --data folder --root . --valid-pct nan', '--valid-pct'),
        ('train --data events --valid-pct 0.5', "--valid-pct is for a folder of one's own"),
        ('evaluate best.safetensors --data events --bs -1', '--bs'),
        ('explain a.mp4 --iterations 0', '--iterations'),
        ('explain a.mp4 --start -1', '--start'),
        ('explain a.mp4 --start 5 --stop 4', '--stop 4.0 is not after --start 5.0'),
        ('explain a.mp4 --stop nan', '--stop'),
        ('data check . --frames 0', '--frames'),
    ],
)
def test_numbers_that_cannot_be_are_named(tmp_path, monkeypatch, capsys, words, option):
    "B22: an error that names the option, before anything is written"
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 1
    err = capsys.readouterr().err.strip()
    assert option in err and len(err.split('\n')) == 1 and not list(tmp_path.iterdir())


def test_seconds_of_a_part_and_of_a_long_film(tiny, tmp_path, capsys):
    "D8, D13: --start and --stop are seconds; frames that lie far apart are said, on the line and the page"
    from videos import by_av, number, numbered

    film = by_av(tmp_path / 'film.mp4', numbered(60), 'libx264', rate=1)
    how = ['--checkpoints', str(tiny / 'models'), '--arch', 'i3d', '--out', str(tmp_path / 'out'), '--iterations', '1']
    assert main(['explain', str(film), *how]) == 0
    said = capsys.readouterr().out
    assert 'A film of 60 s in 16 frames: they are 4.0 s apart' in said and 'Cut out a part: --start and --stop' in said
    assert 'or go along it: `interpvid film`' in said
    assert 'they are 4.0 s apart' in (tmp_path / 'out' / 'film.html').read_text()
    read = []
    with pytest.MonkeyPatch.context() as m:
        from interpvid import video

        real = video.read_frames
        m.setattr(video, 'read_frames', lambda *a, **k: read.append(real(a[0], **k)) or real(*a, **k))
        assert main(['explain', str(film), *how, '--start', '20', '--stop', '30']) == 0
    assert set(number(read[0])) == set(range(20, 30))
    assert 's apart' not in capsys.readouterr().out


def test_errors_name_options():
    "What the library calls on_error='skip' is --skip-broken here"
    from interpvid.cli import as_options

    assert as_options(ValueError("on_error='skip' goes on; fresh=True starts again")) == (
        '--skip-broken goes on; --fresh starts again'
    )


def test_another_map_by_its_name(run, tmp_path, capsys):
    (tmp_path / 'maps.py').write_text('def bright(model, x, target): return x.abs().sum(1)\ndef bad(*a): return a.no')
    clip, own = made(tmp_path / 'a.mp4'), f'{tmp_path}/maps.py:'
    for name, by in ('integrated-gradients', 'integrated gradients'), (own + 'bright', 'bright'):
        code, err, _, out = run(clip, '--maps', name, '--to', 'json', arch='i3d')
        assert code == 0, err
        assert f'"by": "{by}"' in (out / 'a.json').read_text()
    for name, said in (own + 'bad', 'AttributeError'), ('gradcam++', 'there are gradcam, integrated-gradients'):
        code, err, _, _ = run(clip, '--maps', name, arch='i3d')
        assert code == 1 and said in err[-1] and name in err[-1]
