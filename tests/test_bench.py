"The frame of `make bench`: what it counts, and that it keeps what was not measured again."

import json, subprocess, sys, time
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / 'benchmarks'
sys.path.insert(0, str(BENCH))
import frame


def slept(ours, theirs):
    return frame.Bench('nap', 'a longer nap', 1.5, lambda: (lambda: time.sleep(ours), lambda: time.sleep(theirs)), 5)


def test_ratio_is_baseline_over_ours():
    row = frame.measure(slept(0.05, 0.2))
    assert (
        2.5 < row['ratio'] < 4.5
        and row['low'] <= row['ratio'] <= row['high']
        and row['at_least'] == 1.5
        and row['machine']
        and row['date']
    )
    assert 'reached' in frame.table([row]) and 'MISSED' in frame.table([frame.measure(slept(0.05, 0.05))])


def test_rows_replace_those_of_their_name(tmp_path):
    f = tmp_path / 'latest.json'
    frame.write([dict(name='a', ratio=1), dict(name='b', ratio=2)], f)
    frame.write([dict(name='b', ratio=3), dict(name='c', ratio=4)], f)
    assert [(r['name'], r['ratio']) for r in json.loads(f.read_text())] == [('a', 1), ('b', 3), ('c', 4)]


def test_command_lists_and_refuses():
    run = lambda *a: subprocess.run([sys.executable, BENCH / 'run.py', *a], capture_output=True, text=True)
    assert 'freeze' in run('--list').stdout
    r = run('-k', 'no such benchmark')
    assert r.returncode != 0 and 'freeze' in r.stderr


def test_kept_results_have_every_field():
    for r in json.loads((BENCH / 'latest.json').read_text()):
        assert {'name', 'against', 'ratio', 'at_least', 'low', 'high', 'runs', 'machine', 'date'} <= r.keys()


def test_the_gpu_benchmark_runs_small_anywhere():
    r = subprocess.run([sys.executable, BENCH / 'gpu.py', '--try'], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr[-1500:]
    rows = json.loads(r.stdout)['rows']
    assert len(rows) == 8 and all(x['clips_per_second'] > 0 and 0 < x['share_of_matmul'] for x in rows)
