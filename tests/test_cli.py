"The command line on good files and bad ones."

import re, shutil

import numpy as np, pytest

from interpvid.cli import MASKS, main
from interpvid.masks.learn import MASK_PRESETS
from interpvid.video import write_video


@pytest.fixture
def run(tiny, tmp_path, capsys):
    "Explain files with the tiny networks: exit code, lines of stderr that are no progress bars, folder of results"

    def f(*files, model='both'):
        capsys.readouterr()
        code = main(
            [
                'explain',
                *map(str, files),
                '--model',
                model,
                '--models',
                str(tiny / 'models'),
                '--out',
                str(tmp_path / 'out'),
                '--iterations',
                '2',
            ]
        )
        got = capsys.readouterr()
        return code, [l for l in re.split(r'[\r\n]', got.err) if l.strip() and '%|' not in l], got.out, tmp_path / 'out'

    return f


def made(path, T=20):
    return write_video(path, np.random.default_rng(0).integers(0, 255, (T, 50, 70, 3), dtype=np.uint8))


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


@pytest.mark.parametrize('model,n', [('i3d', 3), ('clstm', 3)])
def test_one_network_alone(run, tmp_path, model, n):
    code, _, _, out = run(made(tmp_path / 'a.mp4'), model=model)
    assert code == 0 and (out / 'a.html').read_text().count('"tiles":') == n


def test_bad_files_do_not_stop_the_others(run, tmp_path):
    good = made(tmp_path / 'good.mp4')
    (tmp_path / 'cut.mp4').write_bytes(good.read_bytes()[: len(good.read_bytes()) // 2])
    (tmp_path / 'empty.avi').touch()
    (tmp_path / 'words.webm').write_text('words')
    (tmp_path / 'one.gif').write_bytes(b'GIF89a')
    bad = [tmp_path / n for n in ('cut.mp4', 'empty.avi', 'words.webm', 'one.gif', 'missing.mp4')]
    code, err, _, out = run(bad[0], bad[1], good, *bad[2:], tmp_path)
    assert code == 1 and sorted(p.name for p in out.iterdir()) == ['good.gif', 'good.html']
    for f in bad:
        assert len([l for l in err if str(f) in l]) == 1, (f, err)
    assert len(err) == len(bad) + 1  # and the folder


def test_a_gif_in_its_own_folder_is_not_overwritten(tiny, tmp_path):
    f = made(tmp_path / 'a.gif')
    before = f.read_bytes()
    assert (
        main(
            [
                'explain',
                str(f),
                '--models',
                str(tiny / 'models'),
                '--out',
                str(tmp_path),
                '--iterations',
                '1',
                '--model',
                'i3d',
            ]
        )
        == 0
    )
    assert f.read_bytes() == before and len(list(tmp_path.glob('*.gif'))) == 2


def test_no_iterations_is_refused(tiny, tmp_path, capsys):
    assert main(['explain', str(made(tmp_path / 'a.gif')), '--models', str(tiny / 'models'), '--iterations', '0']) == 1
    assert 'at least 1 iteration' in capsys.readouterr().err


def test_without_networks_it_says_how_to_get_them(tmp_path, capsys):
    assert main(['explain', 'a.mp4', '--models', str(tmp_path)]) == 1
    assert 'interpvid reproduce' in capsys.readouterr().err


def test_broken_network_is_one_line(tiny, tmp_path, capsys):
    shutil.copytree(tiny / 'models', tmp_path / 'models')
    (tmp_path / 'models' / 'i3d.safetensors').write_bytes(b'junk')
    assert main(['explain', 'a.mp4', '--models', str(tmp_path / 'models')]) == 1
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
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(tmp_path, capsys, args):
    assert main(['reproduce', '--out', str(tmp_path), *args]) == 1
    assert not list(tmp_path.iterdir()) and len(capsys.readouterr().err.strip().split('\n')) == 1


@pytest.mark.reference
def test_real_files(run, reference):
    files = [*sorted((reference / 'kth').glob('*.avi')), reference / 'ssv2' / '166766.mp4']
    assert len(files) == 7
    code, err, _, out = run(*files)
    assert code == 0 and not err and {p.stem for p in out.glob('*.html')} == {f.stem for f in files}


def test_the_command_line_knows_all_settings_of_masks():
    assert sorted(MASKS) == sorted(MASK_PRESETS)


def test_one_checkpoint_in_place_of_a_folder(tiny, tmp_path, capsys):
    assert (
        main(
            [
                'explain',
                str(made(tmp_path / 'a.mp4')),
                '--models',
                str(tiny / 'models' / 'clstm.safetensors'),
                '--out',
                str(tmp_path),
                '--iterations',
                '1',
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert 'This network knows 12 classes;' in said and 'C-LSTM says' in said and 'I3D' not in said
    assert 'C-LSTM saw in a.mp4' in (tmp_path / 'a.html').read_text()
    assert (
        main(['explain', 'a.mp4', '--models', str(tmp_path / 'a.mp4')]) == 1
        and 'is not a safetensors file' in capsys.readouterr().err
    )
