"The frame of `make bench`: what it counts, and that it keeps what was not measured again."

import json, subprocess, sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[1] / 'benchmarks'
sys.path.insert(0, str(BENCH))
import frame


@pytest.fixture
def clock(monkeypatch):
    "A clock that stands still; `clock(seconds)` makes a function that moves it on"
    now = [0.0]
    monkeypatch.setattr(frame, 'time', SimpleNamespace(perf_counter=lambda: now[0]))

    def takes(seconds):
        def f():
            now[0] += seconds

        return f

    return takes


def test_ratio_is_baseline_over_ours(clock):
    row = frame.measure(frame.Bench('quick', 'slow', 1.5, lambda: (clock(0.5), clock(2.0)), runs=5))
    assert row['low'] == row['ratio'] == row['high'] == 4
    assert row['ours_ms'] == 500
    assert row['baseline_ms'] == 2000
    assert row['at_least'] == 1.5
    assert row['machine']
    assert row['date']
    assert 'reached' in frame.table([row])


def test_a_ratio_below_what_is_asked_for_is_said(clock):
    row = frame.measure(frame.Bench('slow', 'as slow', 1.5, lambda: (clock(1.0), clock(1.0)), runs=5))
    assert row['ratio'] == 1
    assert 'MISSED' in frame.table([row])


def test_less_work_of_the_baseline_is_counted(clock):
    row = frame.measure(frame.Bench('all', 'a fifth', None, lambda: (clock(1.0), clock(1.0)), runs=5, times=5))
    assert row['ratio'] == 5
    assert row['baseline_ms'] == 5000
    assert 'MISSED' not in frame.table([row])


def test_one_disturbed_pair_does_not_decide(clock):
    slow = iter([1, 1, 9, 1, 1, 1])  # the first warms up
    row = frame.measure(frame.Bench('a', 'b', None, lambda: (clock(1.0), lambda: clock(next(slow))()), runs=5))
    assert row['ratio'] == 1


def test_a_time_that_is_asked_for():
    row = frame.measure(frame.Bench('draw', 'the 50 ms asked for', 1, lambda: lambda: 20.0, runs=5, ms=50))
    assert row['ratio'] == 2.5
    assert row['ours_ms'] == 20
    assert 'reached' in frame.table([row])


def test_rows_replace_those_of_their_name(tmp_path):
    f = tmp_path / 'latest.json'
    frame.write([dict(name='a', ratio=1), dict(name='b', ratio=2)], f)
    frame.write([dict(name='b', ratio=3), dict(name='c', ratio=4)], f)
    assert [(r['name'], r['ratio']) for r in json.loads(f.read_text())] == [('a', 1), ('b', 3), ('c', 4)]


def test_command_lists_and_refuses():
    run = lambda *a: subprocess.run([sys.executable, BENCH / 'run.py', *a], capture_output=True, text=True)
    assert 'freeze' in run('--list').stdout
    r = run('-k', 'no such benchmark')
    assert r.returncode != 0
    assert 'freeze' in r.stderr


def test_kept_results_have_every_field():
    for r in json.loads((BENCH / 'latest.json').read_text()):
        assert {'name', 'against', 'ratio', 'at_least', 'low', 'high', 'runs', 'machine', 'date'} <= r.keys()


@pytest.mark.parametrize('network', ['I3D', 'C-LSTM'])
@pytest.mark.parametrize('passive', [True, False])
def test_each_wait_policy_has_a_process_of_its_own(monkeypatch, passive, network):
    "Set before torch is loaded, also where the caller has the other one"
    import bench_threads

    monkeypatch.setenv('OMP_WAIT_POLICY', 'ACTIVE' if passive else 'PASSIVE')
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.setenv('MKL_NUM_THREADS', '1')
    w = bench_threads.Worker(passive, network, clips=(1, 3, 8, 64, 64))
    assert w.says == f"{'PASSIVE' if passive else 'default'}, 2 threads"
    assert w.step() == w.step() == 'done'
    w.process.kill()


@pytest.mark.skipif(not Path('/proc').exists(), reason='reads the state of a process from /proc')
def test_the_busy_process_computes_only_where_it_is_asked_to():
    import bench_threads

    def state():
        return Path(f'/proc/{busy.process.pid}/stat').read_text().rsplit(') ')[1][0]

    busy, seen = bench_threads.Busy(), []
    bench_threads.beside(busy, lambda: seen.append(state()))()
    assert seen[0] != 'T'
    assert state() == 'T'
    busy.process.kill()


def test_the_gpu_benchmark_runs_small_anywhere():
    r = subprocess.run([sys.executable, BENCH / 'gpu.py', '--try'], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr[-1500:]
    rows = json.loads(r.stdout)['rows']
    assert len(rows) == 8
    assert all(x['clips_per_second'] > 0 and 0 < x['share_of_matmul'] for x in rows)


def test_bounds_of_sharing_are_those_that_are_counted():
    import bench_removal

    order = bench_removal.orders()
    assert order.shape == (2**15, 16)
    i3d, clstm = (bench_removal.boxed(name)[0] for name in bench_removal.BOXED)
    assert bench_removal.BOUND['I3D'] == pytest.approx(1 / i3d.orders_cost(order, by_steps=False), abs=0.01)
    assert bench_removal.BOUND['C-LSTM'] == pytest.approx(1 / clstm.orders_cost(order), abs=0.01)
    assert 1 / i3d.orders_cost(order) > bench_removal.BOUND['I3D']  # a kernel's steps share one layer more


def test_further_numbers_are_kept_and_shown(clock):
    b = frame.Bench('a', 'b', None, lambda: (clock(1.0), clock(2.0)), runs=3, also=lambda: {'error': np.float32(0.125)})
    row = frame.measure(b)
    assert json.loads(json.dumps(row))['also'] == {'error': 0.125}
    assert 'error 0.125' in frame.table([row, row | {'also': None}])
