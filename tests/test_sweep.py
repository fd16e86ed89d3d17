"Sweeps: whatever is killed, each clip is explained once, and the tables are those of an unbroken run"
import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from standin import Cluster, stop, wait_for, with_kills

from interpvid.data.synthetic import make_clips
from interpvid.explanation import explain
from interpvid.models.pretrained import pretrained
from interpvid.cli import main
from interpvid.data.clips import ArrayClips
from interpvid.exam.candidates import answer
from interpvid import sweep as room
from interpvid.sweep import Sweep, Sweeps, load_sweep, numbers_path, run_batch, run_sweep, work
from interpvid.video import write_video

HERE = Path(__file__).resolve().parent
STANDIN = 'standin:explain'


@pytest.fixture(autouse=True)
def standin_is_found(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get('PYTHONPATH', '')]))


def frames_of(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 4, 8, 8, 3), np.uint8)


def sweep_of(frames, out, **kwargs):
    return run_sweep(STANDIN, frames, 'standin:model', out, progress=False, **{'batch': 8, **kwargs})


def assert_right(sweep, frames, failed=()):
    "Each clip once, in order, with its own numbers"
    t = sweep.table()
    assert t.index.tolist() == list(range(len(frames)))
    good = ~t.index.isin(list(failed))
    np.testing.assert_allclose(t['mean'][good], [f.mean(dtype=float) for f, g in zip(frames, good) if g])
    assert t['last'][good].tolist() == [f[-1].max() for f, g in zip(frames, good) if g]
    assert sweep.failed.index.tolist() == list(failed)


def test_numbers_of_all_clips_and_nothing_twice(tmp_path, monkeypatch):
    frames = frames_of(50)
    monkeypatch.setenv('STANDIN_LOG', str(tmp_path / 'log'))
    sweep = sweep_of(frames, tmp_path / 'out')
    assert_right(sweep, frames)
    assert_right(sweep_of(frames, tmp_path / 'out'), frames)
    assert len((tmp_path / 'log').read_text().splitlines()) == 50


def test_the_last_batch_is_shorter_and_one_clip_is_enough(tmp_path):
    for n in (1, 8, 9):
        frames = frames_of(n)
        assert_right(sweep_of(frames, tmp_path / str(n)), frames)


def test_goes_on_with_what_is_left(tmp_path, monkeypatch):
    frames = frames_of(40)
    sweep = sweep_of(frames, tmp_path / 'out')
    numbers_path(tmp_path / 'out', 2).unlink()
    monkeypatch.setenv('STANDIN_LOG', str(tmp_path / 'log'))
    assert_right(sweep_of(frames, tmp_path / 'out'), frames)
    assert len((tmp_path / 'log').read_text().splitlines()) == 8
    assert sweep.status()['done'] == 40


def test_another_sweep_is_refused(tmp_path):
    frames = frames_of(10)
    sweep_of(frames, tmp_path)
    for change, named in ((dict(batch=4), 'batch 8 (now 4)'), (dict(wait=0.5), 'settings')):
        with pytest.raises(ValueError, match='holds another sweep') as e:
            sweep_of(frames, tmp_path, **change)
        assert named in str(e.value)
    with pytest.raises(ValueError, match='other clips'):
        sweep_of(frames_of(10, seed=1), tmp_path)


def test_what_cannot_travel_is_refused_before_the_work(tmp_path):
    frames = frames_of(4)
    with pytest.raises(ValueError, match='does not send models about'):
        run_sweep(STANDIN, frames, pretrained('i3d-events'), tmp_path)
    with pytest.raises(ValueError, match='write it into a file'):
        run_sweep(lambda model, frames: [], frames, 'standin:model', tmp_path)
    with pytest.raises(ValueError, match='functions by their names'):
        sweep_of(frames, tmp_path, wait=time.sleep)
    with pytest.raises(ValueError, match='no such file'):
        run_sweep(STANDIN, ['a.mp4'], 'mine.safetensors', tmp_path)
    with pytest.raises(ValueError, match="has no 'nothing'; its functions are model, explain"):
        run_sweep('standin:nothing', frames, 'standin:model', tmp_path)
    with pytest.raises(ValueError, match="unexpected keyword argument 'color'"):
        sweep_of(frames, tmp_path, color=3)
    with pytest.raises(ValueError, match='no candidate .grad cam.; the nearest are'):
        run_sweep('grad cam', frames, 'standin:model', tmp_path)
    with pytest.raises(ValueError, match="two models would be called 'standin-model'"):
        run_sweep(STANDIN, frames, ['standin:model', f'{HERE}/standin.py:model'], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_clip_that_fails_is_a_row_with_its_reason(tmp_path):
    frames = frames_of(30)
    frames[11] = 7
    sweep = sweep_of(frames, tmp_path, bad=7.0)
    assert_right(sweep, frames, failed=[11])
    assert sweep.failed.failed.tolist() == ['this clip is bad']


def test_a_fault_of_all_clips_stops_the_sweep(tmp_path):
    frames = np.full((30, 4, 8, 8, 3), 7, np.uint8)
    with pytest.raises(ValueError, match='every clip of the first batch fails: this clip is bad'):
        sweep_of(frames, tmp_path, bad=7.0)
    assert not Sweep(tmp_path).done()


def test_a_fault_of_the_program_stops_the_sweep(tmp_path):
    with pytest.raises(TypeError, match='unsupported operand'):
        sweep_of(frames_of(30), tmp_path, bad='seven')
    assert not Sweep(tmp_path).done()


def test_unreadable_files_are_rows_and_are_tried_again(tmp_path):
    clips = frames_of(4)
    for i, f in enumerate(clips):
        write_video(tmp_path / f'{i}.mp4', np.repeat(np.repeat(f, 4, 1), 4, 2))
    good = (tmp_path / '2.mp4').read_bytes()
    (tmp_path / '2.mp4').write_bytes(good[:100])
    paths = [tmp_path / f'{i}.mp4' for i in range(4)]
    sweep = run_sweep(STANDIN, paths, 'standin:model', tmp_path / 'out', shape=(4, 32, 32), progress=False)
    assert sweep.failed.name.tolist() == ['2.mp4'] and '2.mp4' in sweep.failed.failed[2]
    before = sweep.table()
    (tmp_path / '2.mp4').write_bytes(good)
    assert sweep.retry(progress=False).failed.empty
    after = sweep.table()
    pd.testing.assert_series_equal(after['mean'].drop(2), before['mean'].drop(2))
    assert np.isfinite(after['mean'][2])


def test_rows_and_explanations_are_those_of_explain(tmp_path):
    "On the boxed network: numbers as from clips in memory; mask and coarse map kept; frames read again"
    clips = make_clips(5, seed=31, progress=False)
    sweep = run_sweep(explain, clips, 'i3d-events', tmp_path, batch=3, preset='fast', iterations=5, progress=False)
    parts = [slice(0, 3), slice(3, 5)]
    model = pretrained('i3d-events')
    how = dict(preset='fast', iterations=5)
    es = [e for p in parts for e in explain(model, clips.frames[p], labels=clips.labels[p], **how)]
    rows = pd.DataFrame([e.row() for e in es])
    got = sweep.table()[rows.columns]
    pd.testing.assert_frame_equal(got.reset_index(drop=True), rows, check_dtype=False, atol=1e-6)
    e = sweep.explanation(4)
    assert e.frames.tolist() == clips.frames[4].tolist() and e.cam.shape == es[4].cam.shape
    np.testing.assert_allclose(e.mask, es[4].mask, atol=1e-3)
    size = sum(p.stat().st_size for p in (tmp_path / 'explanations').iterdir())
    assert size < 5 * 8000


PROGRAM = """
import sys, json
import numpy as np
from interpvid.sweep import run_sweep
frames, out, how = np.load(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
run_sweep('standin:explain', frames, 'standin:model', out, progress=False, **how)
"""


def start(frames_file, out, **how):
    return subprocess.Popen(
        [sys.executable, '-c', PROGRAM, str(frames_file), str(out), json.dumps({'batch': 8, **how})],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=HERE,
    )


@pytest.mark.posix
def test_killed_processes_leave_whole_batches(tmp_path):
    "SIGKILL as soon as another batch has been done, five times; then to the end"
    frames = frames_of(160)
    np.save(tmp_path / 'frames.npy', frames)
    out, rng = tmp_path / 'out', random.Random(3)
    for _ in range(5):
        done = len(list((out / 'numbers').glob('*.parquet'))) if out.exists() else 0
        p = start(tmp_path / 'frames.npy', out, wait=0.01)
        wait_for(lambda: len(list((out / 'numbers').glob('*.parquet'))) > done, 'a batch')
        time.sleep(rng.random() * 0.1)
        p.kill()
        p.communicate()
        for k in Sweep(out).done():
            assert len(pd.read_parquet(numbers_path(out, k))) == 8
    assert 0 < Sweep(out).status()['done'] < 160
    assert_right(sweep_of(frames, out, wait=0.01), frames)


@pytest.mark.posix
def test_four_shards_without_dask(tmp_path):
    frames = frames_of(200)
    np.save(tmp_path / 'frames.npy', frames)
    whole = sweep_of(frames, tmp_path / 'whole').table()
    ps = [start(tmp_path / 'frames.npy', tmp_path / 'out', shard=f'{k}/4') for k in (1, 2, 3, 4)]
    assert [p.communicate() and p.returncode for p in ps] == [0] * 4
    pd.testing.assert_frame_equal(load_sweep(tmp_path / 'out').table(), whole)


@pytest.mark.posix
def test_two_terminals_share_the_work(tmp_path, monkeypatch):
    "The same call twice at once: each clip is explained by one of them"
    frames = frames_of(80)
    np.save(tmp_path / 'frames.npy', frames)
    monkeypatch.setenv('STANDIN_LOG', str(tmp_path / 'log'))
    ps = [start(tmp_path / 'frames.npy', tmp_path / 'out', wait=0.005) for _ in range(2)]
    assert [p.communicate() and p.returncode for p in ps] == [0, 0]
    sweep_of(frames, tmp_path / 'out', wait=0.005)
    assert_right(Sweep(tmp_path / 'out'), frames)
    assert len((tmp_path / 'log').read_text().splitlines()) == 80


@pytest.mark.posix
def test_two_that_believe_to_be_process_one(tmp_path):
    "As in two containers on a shared folder"
    alone = ['unshare', '--user', '--map-root-user', '--pid', '--fork', '--mount-proc']
    if not shutil.which('unshare') or subprocess.run([*alone, 'true'], capture_output=True).returncode:
        pytest.skip('this system lets nobody make namespaces')
    frames = frames_of(80)
    np.save(tmp_path / 'frames.npy', frames)
    how = json.dumps(dict(batch=8, wait=0.005))
    command = [sys.executable, '-c', 'import os\nassert os.getpid()<3\n' + PROGRAM, str(tmp_path / 'frames.npy')]
    ps = [
        subprocess.Popen([*alone, *command, str(tmp_path / 'out'), how], cwd=HERE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [p.communicate()[1].decode() for p in ps]
    assert [p.returncode for p in ps] == [0, 0], said
    assert_right(sweep_of(frames, tmp_path / 'out', wait=0.005), frames)


def test_a_locked_batch_is_left_to_its_owner(tmp_path):
    from interpvid.sweep import batch_lock

    frames = frames_of(16)
    sweep = sweep_of(frames, tmp_path)
    numbers_path(tmp_path, 1).unlink()
    with batch_lock(tmp_path, 1) as ours:
        assert ours
        assert run_batch(tmp_path, 1) == dict(batch=1, clips=0, failed=0)
    assert run_batch(tmp_path, 1)['clips'] == 8
    assert_right(sweep, frames)


PEAK = """
import resource, sys
import numpy as np
from interpvid.sweep import run_sweep
n = int(sys.argv[1])
frames = np.lib.format.open_memmap(sys.argv[2]+'/frames.npy', 'w+', np.uint8, (n,16,64,64,3))
frames[:] = np.arange(n, dtype=np.uint8)[:,None,None,None,None]
run_sweep('standin:explain', frames, 'standin:model', sys.argv[2]+'/out', progress=False)
print(next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('RssAnon')))
"""


@pytest.mark.posix
def test_memory_does_not_grow_with_the_clips(tmp_path):
    def anonymous(n):
        (tmp_path / str(n)).mkdir()
        command = [sys.executable, '-c', PEAK, str(n), str(tmp_path / str(n))]
        return int(subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE).stdout)

    assert anonymous(2000) < 1.1 * anonymous(200)


def test_in_two_local_processes(tmp_path):
    frames = frames_of(60)
    assert_right(sweep_of(frames, tmp_path, client=2), frames)


@pytest.mark.slow
@pytest.mark.posix
def test_two_thousand_clips_and_twenty_kills(tmp_path):
    "A worker, the scheduler or the client is killed at twenty random moments; the tables are those of an unbroken run"
    frames, rng = frames_of(2000), random.Random(5)
    np.save(tmp_path / 'frames.npy', frames)
    whole = sweep_of(frames, tmp_path / 'whole', batch=10, wait=0.004).table()
    out, how = tmp_path / 'out', dict(batch=10, wait=0.004, seconds=0.5)
    cluster = Cluster(tmp_path)

    def done():
        return len(list((out / 'numbers').glob('*.parquet')))

    def go_on():
        return start(tmp_path / 'frames.npy', out, client=cluster.address, **how)

    try:
        kills = with_kills(cluster, go_on, done, 200, 20, rng)
    finally:
        cluster.close()
    assert sum(kills.values()) == 20, f'{kills}: the clips were done before'
    sweep = sweep_of(frames, out, batch=10, wait=0.004)
    assert_right(sweep, frames)
    pd.testing.assert_frame_equal(sweep.table(), whole)


@pytest.mark.posix
def test_a_scheduler_that_goes_away_is_said(tmp_path):
    np.save(tmp_path / 'frames.npy', frames_of(400))
    cluster = Cluster(tmp_path)
    try:
        client = start(tmp_path / 'frames.npy', tmp_path / 'out', client=cluster.address, wait=0.02)
        wait_for(lambda: len(list((tmp_path / 'out' / 'numbers').glob('*.parquet'))) > 1, 'a batch')
        stop(cluster.scheduler)
        said = client.communicate(timeout=120)[1].decode()
    finally:
        cluster.close()
    assert client.returncode != 0
    assert 'the same call goes on from there' in said


def test_a_retry_explains_only_what_failed_and_keeps_the_rest(tmp_path, monkeypatch):
    frames = frames_of(12)
    frames[:, 0, 0, 0, 0] = range(10, 22)
    frames[5, 0, 0, 0, 0] = 3
    monkeypatch.setenv('STANDIN_MENDED', str(tmp_path / 'mended'))
    how = dict(batch=4, progress=False, refuse=3)
    sweep = run_sweep('standin:drawn', frames, 'standin:model', tmp_path / 'out', **how)
    assert sweep.failed.failed.to_dict() == {5: 'not yet'}
    before, seen = sweep.table(), []
    (tmp_path / 'mended').touch()
    monkeypatch.setattr(room, 'read_batch', lambda clips, ids, old=room.read_batch: seen.extend(ids) or old(clips, ids))
    assert sweep.retry(progress=False).failed.empty
    assert seen == [5]
    pd.testing.assert_frame_equal(sweep.table().drop(5), before.drop(5), check_dtype=False)
    assert [round(255 * sweep.explanation(i).mask[0]) for i in range(12)] == frames[:, 0, 0, 0, 0].tolist()
    assert len(list((tmp_path / 'out' / 'explanations').glob('*.npz'))) == 3


def test_two_that_work_at_once_read_nothing_twice(tmp_path, monkeypatch):
    "Each batch is locked before it is read, also the one that is read ahead"
    frames, seen = frames_of(80), []
    sweep = sweep_of(frames, tmp_path)
    for k in sweep.done():
        numbers_path(tmp_path, k).unlink()
    monkeypatch.setattr(room, 'read_batch', lambda clips, ids, old=room.read_batch: seen.extend(ids) or old(clips, ids))
    one, other, done = work(tmp_path, range(10)), work(tmp_path, range(10)), []
    for who in (one, other, one, other):
        done.append(next(who)['batch'])
    assert sweep.busy() == 2  # each has read one ahead
    one.close()  # as where it is stopped: its next batch is free again
    assert sweep.busy() == 1
    done += [got['batch'] for got in other] + [got['batch'] for got in work(tmp_path, range(10))]
    assert sorted(done) == list(range(10))
    assert len(seen) == 88  # what was read ahead by the one that was stopped is read again
    assert_right(sweep, frames)


def test_labels_are_matched_by_name():
    class Net:
        classes = ['open', 'close', 'drop']

    frames = frames_of(4)
    own = ArrayClips(frames, [0, 1, 2, 1], ['drop', 'juggle', 'open'])
    assert room.labels_for(own, Net()).tolist() == [2, -1, 0, -1]
    assert room.labels_for(own, object()).tolist() == [0, 1, 2, 1]
    assert room.labels_for(ArrayClips(frames), Net()).tolist() == [-1] * 4


def test_several_models_have_a_folder_each(tmp_path):
    frames = frames_of(20)
    models = ['standin:model', 'torch.nn:Identity']
    sweeps = run_sweep(STANDIN, frames, models, tmp_path, batch=8, progress=False)
    assert isinstance(sweeps, Sweeps)
    assert list(sweeps) == ['standin-model', 'torch.nn-Identity']
    for sweep in sweeps.values():
        assert_right(sweep, frames)
    assert sweeps.table().index.names == ['sweep', 'clip']
    assert load_sweep(tmp_path).status()['standin-model']['done'] == 20
    with pytest.raises(FileNotFoundError, match='holds no sweep'):
        load_sweep(tmp_path / 'standin-model' / 'numbers')


def test_a_method_of_the_exam_gives_rows(tmp_path):
    clips = make_clips(3, seed=41, progress=False)
    model = pretrained('i3d-events')
    x = room.normalised(model, clips.frames)[0]
    for method, name in (('GRADIENT', 'gradient'), ('standin:candidate', 'candidate')):
        t = run_sweep(method, clips, 'i3d-events', tmp_path / name, progress=False).table()
        want = answer(method if ':' in method else name, model, x)
        np.testing.assert_allclose(np.stack(t['values']), room.in_time(want.values), rtol=1e-4, atol=1e-6)
        assert t.method.tolist() == [name] * 3
        assert t.label.tolist() == clips.labels.tolist()
        assert (t.forward[0], t.backward[0]) == (want.forward, want.backward)


def test_how_far_it_is_counts_all_who_work_on_it(tmp_path):
    made = [dict(clips=24, at=1000.0 + t, seconds=10.0) for t in (10, 10, 20, 20)]
    assert room.rate_of(made) == pytest.approx(4.8)
    assert room.rate_of([dict(clips=24, at=5.0, seconds=10.0), *made]) == pytest.approx(4.8)  # long ago
    sweep = sweep_of(frames_of(24), tmp_path)
    numbers_path(tmp_path, 2).unlink()
    s = Sweep(tmp_path).status()
    assert (s['clips'], s['done'], s['failed']) == (24, 16, 0)
    assert s['left'] == pytest.approx(8 / s['rate'])
    with room.batch_lock(tmp_path, 2):
        assert sweep.busy() == 1
        assert '16 of 24 clips explained' in room.said_of_status(sweep.status(), sweep.busy())
        assert '1 batch in work now' in room.said_of_status(sweep.status(), sweep.busy())
    assert 'nobody is at work on it' in room.said_of_status(sweep.status(), sweep.busy())


def test_the_bar_counts_the_folder(tmp_path, capsys):
    "Also what another process has done meanwhile"
    frames = frames_of(24)
    sweep = sweep_of(frames, tmp_path)
    numbers_path(tmp_path, 1).unlink()
    with room.watched(sweep):
        run_batch(tmp_path, 1)
    err = capsys.readouterr().err
    assert '16/24' in err
    assert '24/24' in err


def test_workers_have_a_gpu_each(monkeypatch):
    import torch

    gpus = lambda: [w['options'].get('env', {}).get('CUDA_VISIBLE_DEVICES') for w in room.local_workers(3).values()]
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    assert gpus() == ['0', '1', '0']
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '5,7')
    assert gpus() == ['5', '7', '5']
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert gpus() == [None] * 3


def test_a_cluster_that_cannot_work_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match='cannot be seen from .*same path'):
        room.run_batches(str(tmp_path), [0])
    with pytest.raises(ConnectionError, match='no scheduler of Dask answers there'):
        sweep_of(frames_of(4), tmp_path, client='nonsense://127.0.0.1:1')


@pytest.fixture
def videos(tmp_path):
    "Four files in two classes, one of them damaged"
    for i, f in enumerate(frames_of(4)):
        path = tmp_path / 'videos' / 'ab'[i % 2] / f'{i}.mp4'
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, np.repeat(np.repeat(f, 4, 1), 4, 2))
    good = path.read_bytes()
    path.write_bytes(good[:100])
    return path, good


def test_from_the_shell(tmp_path, videos, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    how = '--method', STANDIN, '--model', 'standin:model', '--frames', '4', '--size', '32', '--batch', '2'
    assert main(['sweep', 'videos', *how, '--shard', '1/2']) == 0
    assert main(['sweep', '--status']) == 0
    assert '2 of 4 clips explained' in capsys.readouterr().out
    assert main(['sweep', 'videos', *how]) == 0
    out = capsys.readouterr().out
    assert '4 of 4 clips explained; 1 of them failed' in out
    assert '1 × ' in out
    assert '3.mp4' in out
    path, good = videos
    path.write_bytes(good)
    assert main(['sweep', '--retry']) == 0
    assert 'failed' not in capsys.readouterr().out
    sweep = load_sweep('results/sweep')['standin-model']
    assert sweep.job.settings == {}
    assert sweep.table()['mean'].notna().all()
    assert main(['sweep', 'videos', *how, '--out', 'other', '--set', 'bad=7.5', 'wait=0']) == 0
    assert load_sweep('other')['standin-model'].job.settings == dict(bad=7.5, wait=0)


WRONG = {
    'no clips': ('sweep --model standin:model', 'which clips'),
    'no model': ('sweep videos', 'which network'),
    'nothing there': ('sweep nowhere --model standin:model', 'nowhere: no such folder'),
    'no network': ('sweep videos --model nobody', 'nobody: no such file; there are clstm-events'),
    'no method': ('sweep videos --model standin:model --method nobody', "no candidate 'nobody'"),
    'no function': ('sweep videos --model standin:model --method standin:f', "has no 'f'; its functions are"),
    'no setting': ('sweep videos --model standin:model --method standin:explain --set x=1', "keyword argument 'x'"),
    'no pair': ('sweep videos --model standin:model --method standin:explain --set x', '--set x: of the form'),
    'of explain': ('sweep videos --model standin:model --method standin:explain --iterations 3', 'not standin:explain'),
    'a split': ('sweep videos --model standin:model --method standin:explain --split test', "of the split 'test'"),
    'a shard': ('sweep videos --model standin:model --shard 3/2', 'k from 1 to n'),
    'two ways': ('sweep videos --model standin:model --workers 2 --scheduler tcp://x:1', '--scheduler has its own'),
    'a batch': ('sweep videos --model standin:model --batch 0', '--batch has to be at least 1'),
    'no sweep': ('sweep --status --out videos', 'holds no sweep'),
    'a fault': ('sweep videos --model standin:model --method standin:explain --set bad=b', 'TypeError.*standin.py'),
}


@pytest.mark.parametrize('words,said', WRONG.values(), ids=WRONG)
def test_what_cannot_be_swept_is_one_line(tmp_path, videos, capsys, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 1
    lines = [l for l in re.split(r'[\r\n]', capsys.readouterr().err) if l.startswith('interpvid sweep: ')]
    assert len(lines) == 1
    assert re.search(said, lines[0]), lines


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='it is about the allocator of glibc')
def test_workers_of_dask_keep_freed_memory():
    "Dask's Nanny has workers give all memory back at once, so that each block is made of new pages"
    code = (
        'import resource, sys; import numpy as np; import interpvid.sweep as s\n'
        'if sys.argv[1] == "kept": s._keep_blocks()\n'
        'faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n'
        'before = faults()\n'
        'for _ in range(100): np.ones(2**17)\n'
        'print(faults() - before)'
    )
    env = {**os.environ, 'MALLOC_TRIM_THRESHOLD_': '65536'}

    def faults(how):
        command = [sys.executable, '-W', 'ignore', '-c', code, how]
        return int(subprocess.run(command, env=env, capture_output=True, check=True).stdout)

    assert faults('kept') * 10 < faults('given back')
