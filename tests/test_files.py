"Nothing of the user's is lost; what is kept can be trusted."

import io
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest

from interpvid import files
from interpvid.files import (
    HOST, RECORD, adopt, is_intact, key_of, log_line, look_over, sha256, temporary_name, turn_at, write_json, writing,
    wrote)


def put(path, text='ours', kind='file', **kwargs):
    "Write a file, or a folder with one file in it"
    with writing(path, **kwargs) as tmp:
        if kind == 'folder':
            tmp.mkdir()
        (tmp / 'a' if kind == 'folder' else tmp).write_text(text)
    return path


def names(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def ended():
    "The number of a process that has ended"
    p = subprocess.Popen([sys.executable, '-c', ''])
    p.wait()
    return p.pid


# --- nothing of other people is replaced


def test_a_users_folder_is_never_replaced(tmp_path):
    "A1, A2: by any writer, since all go through `writing`"
    thesis = tmp_path / 'thesis'
    thesis.mkdir()
    (thesis / 'chapter.tex').write_text('years of work')
    for kind in 'file', 'folder':
        with pytest.raises(IsADirectoryError, match='thesis.*chapter.tex.*[Nn]ame another path'):
            put(thesis, kind=kind)
    assert names(thesis) == ['chapter.tex']
    assert names(tmp_path) == ['thesis']


def test_the_error_comes_before_the_work(tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'a').touch()
    with pytest.raises(IsADirectoryError):
        with writing(tmp_path / 'mine'):
            pytest.fail('the work was begun')


def test_what_came_up_meanwhile_is_not_replaced(tmp_path):
    with pytest.raises(IsADirectoryError, match='b'):
        with writing(tmp_path / 'x') as tmp:
            tmp.mkdir()
            (tmp_path / 'x').mkdir()
            (tmp_path / 'x' / 'b').touch()
    assert names(tmp_path) == ['x']
    assert names(tmp_path / 'x') == ['b']


def test_our_own_folder_is_replaced_until_something_else_lies_in_it(tmp_path):
    at = put(tmp_path / 'gallery', 'first', 'folder')
    assert (put(at, 'second', 'folder') / 'a').read_text() == 'second'
    (at / 'sub').mkdir()
    (at / 'sub' / 'holiday.jpg').touch()
    with pytest.raises(IsADirectoryError, match='sub/holiday.jpg'):
        put(at, kind='folder')
    assert (at / 'sub' / 'holiday.jpg').exists()
    assert (at / 'a').read_text() == 'second'


def test_a_file_of_ours_that_was_edited_is_someones_now(tmp_path):
    at = put(tmp_path / 'gallery', kind='folder')
    (at / 'a').write_text('edited by hand')
    with pytest.raises(IsADirectoryError, match='a'):
        put(at, kind='folder')


@pytest.mark.posix
def test_our_folder_is_known_after_it_was_moved_and_copied(tmp_path):
    at = put(tmp_path / 'gallery', kind='folder')
    moved = at.rename(tmp_path / 'elsewhere')
    subprocess.run(['cp', '-r', moved, tmp_path / 'copied'], check=True)
    for folder in moved, tmp_path / 'copied':
        assert wrote(folder)
        put(folder, 'new', 'folder')


def test_what_systems_put_anywhere_does_not_count(tmp_path):
    at = put(tmp_path / 'gallery', kind='folder')
    (at / '.DS_Store').touch()
    put(at, 'new', 'folder')


def test_an_empty_folder_may_be_replaced(tmp_path):
    (tmp_path / 'x').mkdir()
    assert (put(tmp_path / 'x', 'new', 'folder') / 'a').read_text() == 'new'


def test_no_file_in_the_place_of_a_folder_and_the_other_way_round(tmp_path):
    put(tmp_path / 'folder', kind='folder')
    put(tmp_path / 'file')
    with pytest.raises(IsADirectoryError, match='folder'):
        put(tmp_path / 'folder', kind='file')
    with pytest.raises(NotADirectoryError, match='file'):
        put(tmp_path / 'file', kind='folder')
    assert names(tmp_path) == ['file', 'folder']
    assert (tmp_path / 'file').read_text() == 'ours'


def test_ours_replaces_no_file_of_the_users(tmp_path):
    (tmp_path / 'a.gif').write_text('an input')
    with pytest.raises(FileExistsError, match='a.gif.*[Nn]ame another path'):
        put(tmp_path / 'a.gif', ours=True)
    assert (tmp_path / 'a.gif').read_text() == 'an input'
    assert names(tmp_path) == ['a.gif']
    put(tmp_path / 'a.gif')  # a Python function that is told to, does
    assert (tmp_path / 'a.gif').read_text() == 'ours'
    assert names(tmp_path) == ['a.gif']


def test_ours_replaces_its_own_file_unless_it_was_edited(tmp_path):
    for text in 'first', 'second', 'first':
        put(tmp_path / 'index.html', text, ours=True)
    assert wrote(tmp_path / 'index.html')
    (tmp_path / 'index.html').write_text('edited')
    assert not wrote(tmp_path / 'index.html')
    with pytest.raises(FileExistsError, match='changed'):
        put(tmp_path / 'index.html', ours=True)


def test_a_file_of_ours_stays_ours_when_it_is_written_otherwise(tmp_path):
    put(tmp_path / 'x', 'first', ours=True)
    put(tmp_path / 'x', 'second')
    put(tmp_path / 'x', 'third', ours=True)
    assert (tmp_path / 'x').read_text() == 'third'


def test_a_list_of_single_files_makes_no_folder_ours(tmp_path):
    put(tmp_path / 'home' / 'index.html', ours=True)
    with pytest.raises(IsADirectoryError):
        put(tmp_path / 'home', kind='folder')
    assert not wrote(tmp_path / 'home')


def test_files_in_our_folder_are_ours(tmp_path):
    at = put(tmp_path / 'gallery', kind='folder')
    assert wrote(at / 'a')
    put(at / 'a', 'newer', ours=True)
    put(at / 'sub' / 'b', ours=True)
    assert wrote(at)
    assert wrote(at / 'sub' / 'b')
    put(at, 'new', 'folder')
    assert names(at) == [RECORD, 'a']


def test_results_of_the_first_edition_can_be_adopted(tmp_path):
    old = tmp_path / 'results'
    (old / 'gallery').mkdir(parents=True)
    (old / 'gallery' / 'a').write_text('old')
    (old / 'index.html').write_text('old')
    with pytest.raises(IsADirectoryError, match='adopt'):
        put(old / 'gallery', kind='folder')
    with pytest.raises(FileExistsError, match='adopt') as e:
        put(old / 'index.html', ours=True)
    code = str(e.value).split("python -c '")[1].rstrip("'")  # the remedy, word for word
    subprocess.run([sys.executable, '-c', code], check=True)
    put(old / 'gallery', 'new', 'folder')
    put(old / 'index.html', 'new', ours=True)
    assert (old / 'index.html').read_text() == 'new'


@pytest.mark.posix
def test_what_is_neither_file_nor_folder_stays(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(FileExistsError, match='neither'):
        put(tmp_path / 'pipe')
    assert names(tmp_path) == ['pipe']
    with pytest.raises(FileExistsError):
        put('/dev/null')


@pytest.mark.posix
def test_a_link_stays_a_link(tmp_path):
    real = put(tmp_path / 'disk' / 'x.txt', 'old')
    (tmp_path / 'x.txt').symlink_to(real)
    put(tmp_path / 'x.txt', 'new')
    assert (tmp_path / 'x.txt').is_symlink()
    assert real.read_text() == 'new'
    (tmp_path / 'later').symlink_to(tmp_path / 'disk' / 'later')
    put(tmp_path / 'later', kind='folder')
    assert (tmp_path / 'disk' / 'later' / 'a').exists()
    assert wrote(tmp_path / 'later')


@pytest.mark.posix
def test_a_link_to_a_users_folder_protects_it(tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'a').touch()
    (tmp_path / 'x').symlink_to(tmp_path / 'mine')
    with pytest.raises(IsADirectoryError):
        put(tmp_path / 'x', kind='folder')
    at = put(tmp_path / 'gallery', kind='folder')
    (at / 'link').symlink_to(tmp_path / 'mine')  # a link in our folder is not ours, and what it leads to stays
    with pytest.raises(IsADirectoryError, match='link'):
        put(at, kind='folder')
    assert (tmp_path / 'mine' / 'a').exists()


# --- temporary names


def test_a_neighbour_with_a_date_in_its_name_stays(tmp_path, ended):
    "A4: only names that bear our mark are swept"
    theirs = ['.photo.20240131.jpg', f'.photo.{ended}.jpg', f'.photo.{ended}.old.jpg', '.photo.jpg']
    for n in theirs:
        (tmp_path / n).write_text('a picture')
    put(tmp_path / 'photo.jpg')
    assert names(tmp_path) == sorted([*theirs, 'photo.jpg'])


def test_only_leftovers_of_ended_processes_of_this_host_are_swept(tmp_path, ended):
    "A5: two hosts on one shared folder"
    left = f'.x.{HOST}-{ended}-0123456789ab.tmp.npz'
    kept = [
        f'.x.ffffffff-{ended}-0123456789ab.tmp.npz',
        f'.x.{HOST}-{os.getpid()}-0123456789ab.tmp.npz',
        f'.xy.{HOST}-{ended}-0123456789ab.tmp.npz',
        f'.x.{HOST}-{ended}-0123456789ab.tmp.csv',
    ]
    for n in left, *kept:
        (tmp_path / n).touch()
    put(tmp_path / 'x.npz')
    assert names(tmp_path) == sorted([*kept, 'x.npz'])


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with writing(tmp_path / 'x') as one:
        one.write_text('one')
        with writing(tmp_path / 'x') as two:
            two.write_text('two')
        assert one != two
        assert one.read_text() == 'one'
    assert (tmp_path / 'x').read_text() == 'one'
    assert names(tmp_path) == ['x']


def test_many_threads_write_one_folder(tmp_path):
    def work(k):
        for _ in range(5):
            put(tmp_path / f'{k}.txt', str(k), ours=True)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(wrote(tmp_path / f'{k}.txt') for k in range(8))
    assert len(names(tmp_path)) == 9


@pytest.mark.parametrize('name', ['x', 'x.npz', 'a.b.c', '.hidden', 'ä' * 120 + '.html', 'with space.txt', 'x' * 250])
def test_any_name_that_the_disk_takes(tmp_path, name):
    put(tmp_path / name, ours=True)
    assert wrote(tmp_path / name)
    assert names(tmp_path) == sorted([RECORD, name])


def test_temporary_names_keep_the_ending():
    assert temporary_name('a/x.tar.gz').suffix == '.gz'
    assert temporary_name('a/x').parent.name == 'a'


# --- whole or not there

HALF = '''
import os, sys
from interpvid.files import writing
with writing(sys.argv[1]) as tmp:
    if sys.argv[2]=='folder':
        tmp.mkdir()
        (tmp/'a').write_text('half')
    else:
        with writing(tmp) as inner:
            inner.write_text('half')
            os._exit(9)
    os._exit(9)
'''


@pytest.mark.parametrize('kind', ['file', 'folder'])
@pytest.mark.parametrize('before', [False, True])
def test_killed_while_writing_what_was_there_stays_and_the_rest_is_swept(tmp_path, kind, before):
    path = tmp_path / 'x.npz'
    read = lambda: (path / 'a' if kind == 'folder' else path).read_text()
    if before:
        put(path, 'old', kind)
    assert subprocess.run([sys.executable, '-c', HALF, str(path), kind]).returncode == 9
    assert len(list(tmp_path.glob('.*'))) == 1
    assert read() == 'old' if before else not path.exists()
    put(path, 'new', kind)
    assert read() == 'new'
    assert names(tmp_path) == ['x.npz']


def test_killed_between_the_two_renames_the_old_folder_comes_back(tmp_path, ended):
    at = put(tmp_path / 'x', 'old', 'folder')
    at.rename(tmp_path / f'.x.{HOST}-{ended}-0123456789ab.old')
    with pytest.raises(RuntimeError):
        with writing(at):
            assert (at / 'a').read_text() == 'old'
            raise RuntimeError
    assert names(tmp_path) == ['x']


def test_an_error_leaves_what_was_there(tmp_path):
    for kind in 'file', 'folder':
        at = put(tmp_path / kind, 'old', kind)
        with pytest.raises(KeyboardInterrupt):
            with writing(at) as tmp:
                tmp.mkdir()
                raise KeyboardInterrupt
        assert wrote(at) or kind == 'file' and at.read_text() == 'old'
    assert names(tmp_path) == ['file', 'folder']


@pytest.mark.posix
def test_content_is_flushed_before_the_rename(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(files.os, 'fsync', lambda fd: (done.append(os.readlink(f'/proc/self/fd/{fd}')), fsync(fd)))
    monkeypatch.setattr(files.os, 'replace', lambda a, b: (done.append('rename'), replace(a, b)))
    put(tmp_path / 'x.txt')
    assert done[0].endswith('.txt')
    assert done[1:] == ['rename', str(tmp_path)]


# --- checksums and records


def test_damage_is_seen(tmp_path):
    at = put(tmp_path / 'x', 'a' * 9000, 'folder')
    assert is_intact(at)
    (at / 'note.txt').touch()
    assert is_intact(at)
    assert not wrote(at)
    whole = (at / 'a').read_bytes()
    for damaged in whole[:4000] + bytes(4096) + whole[8096:], bytes(len(whole)), whole[:100], b'':
        (at / 'a').write_bytes(damaged)
        assert not is_intact(at)
        assert look_over(at).changed == ['a']
    (at / 'a').unlink()
    assert not is_intact(at)
    assert look_over(at).missing == ['a']


def test_a_list_that_was_cut_is_read_as_far_as_it_goes(tmp_path):
    put(tmp_path / 'a', ours=True)
    put(tmp_path / 'b', ours=True)
    with open(tmp_path / RECORD, 'r+') as f:
        f.truncate(len(f.read()) - 20)
    assert wrote(tmp_path / 'a')
    assert not wrote(tmp_path / 'b')


def test_sha256_of_bytes_and_files(tmp_path):
    (tmp_path / 'x').write_bytes(b'abc')
    want = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    assert sha256(b'abc') == sha256(tmp_path / 'x') == sha256(str(tmp_path / 'x')) == want


def test_adopt_needs_a_folder(tmp_path):
    with pytest.raises(NotADirectoryError, match='nothing here'):
        adopt(tmp_path / 'nothing here')


def test_json_and_keys(tmp_path):
    write_json(tmp_path / 'x.json', dict(b=1, a='ä'), ours=True)
    assert json.loads((tmp_path / 'x.json').read_text()) == dict(a='ä', b=1)
    assert wrote(tmp_path / 'x.json')
    assert key_of(dict(a=1, b=2)) == key_of(dict(b=2, a=1)) != key_of(dict(a=1, b=3))


# --- log lines


@pytest.mark.parametrize('encoding', ['ascii', 'latin-1', 'cp1252', 'utf-8'])
def test_a_log_line_goes_to_any_stream(encoding):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    log_line('[1] Größe: done → 日本.npz', stream)
    line = raw.getvalue().decode(encoding)
    assert line.startswith('[1] Gr')
    assert line.endswith('.npz\n')
    assert ('→' in line) == (encoding == 'utf-8')


def test_a_log_line_in_the_c_locale():
    code = "from interpvid.files import log_line; log_line('done \\u2192 x')"
    env = {**os.environ, 'LC_ALL': 'C', 'PYTHONIOENCODING': 'ascii', 'PYTHONUTF8': '0'}
    r = subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True)
    assert r.returncode == 0 and r.stdout == 'done -> x\n', r.stderr


def test_a_log_line_without_a_stream(monkeypatch):
    class Plain(io.StringIO):
        encoding = None

    monkeypatch.setattr(sys, 'stdout', out := Plain())
    log_line('→')
    assert out.getvalue() == '→\n'


# --- several processes at one path

REPLACE = """
import sys
from interpvid.files import writing
for i in range(150):
    with writing(sys.argv[1]) as tmp:
        tmp.mkdir()
        (tmp / f'{sys.argv[2]}-{i}').write_text(sys.argv[2])
        (tmp / 'text').write_text(f'{sys.argv[2]}-{i} ' * 1000)
"""

READ = """
import json, sys, time
from pathlib import Path
from interpvid.files import is_intact
from interpvid.runs import Stages
at, stop = map(Path, sys.argv[1:])
seen = dict(looks=0, whole=0, torn=0, damaged=0, gaps=0, late=0, said=[])
stages = Stages(at.parent, log=seen['said'].append)
def look():
    seen['looks'] += 1
    stages.ready.clear()
    stages.ensure(at, lambda tmp: seen['said'].append('made again'))
    seen['damaged'] += not is_intact(at)
    seen['gaps'] += not at.is_dir()
    try: words = (at / 'text').read_text().split()
    except FileNotFoundError: # between the name of the folder and that of the file
        seen['late'] += 1
        return
    seen['whole' if len(words) == 1000 and len(set(words)) == 1 else 'torn'] += 1
look()
print('ready', flush=True)
while not stop.exists():
    look()
    time.sleep(.01) # leaves the processor to the others
print(json.dumps(seen))
"""


def can_swap(folder):
    "Whether this system and disk exchange two names at once"
    for name in 'a', 'b':
        (folder / 'swap' / name).mkdir(parents=True)
    can = files._swap(folder / 'swap' / 'a', folder / 'swap' / 'b')
    shutil.rmtree(folder / 'swap')
    return can


@pytest.mark.skipif(sys.platform != 'linux', reason='asks Linux')
def test_names_are_exchanged_at_once(tmp_path):
    assert can_swap(tmp_path)
    assert not files._swap(tmp_path / 'none', tmp_path / 'neither')


def test_processes_that_replace_one_folder_take_turns(tmp_path):
    "Beside a third that reads: what it gets is whole, and no stage counts as damaged"
    at, stop = tmp_path / 'stage', tmp_path / 'stop'
    put(at / 'text', 'zero ' * 1000)
    adopt(at)
    reader = subprocess.Popen([sys.executable, '-c', READ, at, stop], stdout=subprocess.PIPE, text=True)
    assert reader.stdout.readline() == 'ready\n'
    running = [
        subprocess.Popen([sys.executable, '-c', REPLACE, at, name], stderr=subprocess.PIPE, text=True)
        for name in ('one', 'two')
    ]
    errors = [p.communicate()[1] for p in running]
    stop.touch()
    seen = json.loads(reader.communicate()[0])
    assert [p.returncode for p in running] == [0, 0], errors
    assert len(list(at.glob('*-149'))) == 1
    assert wrote(at)
    assert names(tmp_path) == ['stage', 'stop']
    assert seen['whole'] > 1 and seen['torn'] == 0, seen
    assert seen['said'] == [], seen
    if can_swap(tmp_path):
        assert seen['damaged'] == seen['gaps'] == 0, seen


def test_threads_take_turns_too(tmp_path):
    errors = []

    def replace(name):
        try:
            for _ in range(30):
                put(tmp_path / 'x', name, 'folder')
        except Exception as e:
            errors.append(e)

    threads = [threading.Thread(target=replace, args=(n,)) for n in ('one', 'two', 'three')]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    assert wrote(tmp_path / 'x')


def test_a_path_in_use_for_too_long_is_said(tmp_path):
    with turn_at(tmp_path / 'x'):
        with pytest.raises(TimeoutError, match='.lock'):
            with turn_at(tmp_path / 'x', timeout=0):
                pytest.fail('two at once')
