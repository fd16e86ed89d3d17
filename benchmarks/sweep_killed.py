"""A sweep with the real `explain`, killed again and again, beside one that nothing disturbs: are the tables equal?

python benchmarks/sweep_killed.py            # 2000 drawn clips, 20 kills; writes sweep_killed.json
python benchmarks/sweep_killed.py --try      # 60 clips, 4 kills (or --clips, --kills), writes nothing: does it run?

The clips are drawn, the network is one that comes with the package, and two workers of one thread each do the work.
`explain` is given the mask (frames 5 to 10 held still), so that for each clip it makes Grad-CAM and the scores of the
clip as it is, frozen and reversed, and learns nothing: the cheapest that it does. A worker, the scheduler with its
workers, or the client gets SIGKILL at random moments, and is started again. First the undisturbed run, then the other.
"""

import argparse, json, os, random, shutil, subprocess, sys, tempfile, time
from datetime import date
from pathlib import Path

from frame import HERE, machine

sys.path.insert(0, str(HERE.parent / 'tests'))
from standin import Cluster, with_kills

BATCH, NETWORK = 10, 'i3d-events'
MASK = [0.0] * 5 + [1.0] * 6 + [0.0] * 5

PROGRAM = f"""
import sys
import numpy as np
from interpvid.data.clips import ArrayClips
from interpvid.explanation import explain
from interpvid.sweep import run_sweep
folder, out, address = sys.argv[1:]
clips = np.load(folder+'/labels.npz')
clips = ArrayClips(np.load(folder+'/frames.npy', mmap_mode='r'), clips['labels'], clips['classes'].tolist())
run_sweep(explain, clips, '{NETWORK}', out, client=address, batch={BATCH}, seconds=5, progress=False, masks={MASK})
"""


def draw(n, folder):
    "Drawn clips as files that any process can map"
    import numpy as np

    from interpvid.data.synthetic import make_clips

    clips = make_clips(n, seed=19, progress=False)
    np.save(folder / 'frames.npy', clips.frames)
    np.savez(folder / 'labels.npz', labels=clips.labels, classes=np.array(clips.classes))


def client_of(folder, out, cluster):
    "A function that starts the process which asks the cluster for a sweep"
    return lambda: subprocess.Popen([sys.executable, '-c', PROGRAM, str(folder), str(out), cluster.address])


def run(folder, out, n, kills, seed):
    "One sweep; seconds it took, and how often what was killed"
    cluster, start = Cluster(folder), time.time()
    try:
        done = lambda: len(list((out / 'numbers').glob('*.parquet')))
        killed = with_kills(
            cluster, client_of(folder, out, cluster), done, -(-n // BATCH), kills, random.Random(seed), 2, patience=1200
        )
    finally:
        cluster.close()
    return round(time.time() - start), killed


def finish(folder, out):
    "What the last kill left undone, by this process; a whole sweep has nothing left"
    from interpvid.sweep import load_sweep, run_left

    sweep = load_sweep(out)
    left = sum(len(sweep.job.ids(k)) for k in sweep.left())
    return run_left(sweep, progress=False), left


def compared(one, two):
    "Whether two tables hold the same, to the bit; and the largest difference of a number"
    import pandas as pd

    a, b = one.table(), two.table()
    numbers = a.select_dtypes('number').columns
    equal = True
    try:
        pd.testing.assert_frame_equal(a, b, check_exact=True)
    except AssertionError as e:
        equal = False
        print(e)
    return dict(
        equal=equal,
        largest_difference=float((a[numbers] - b[numbers]).abs().max().max()),
        every_clip_once=b.index.tolist() == list(range(one.job.clips)),
        failed=len(two.failed),
    )


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--try', dest='small', action='store_true', help='60 clips and 4 kills; nothing is written')
    p.add_argument('--clips', type=int, metavar='N', help='2000, or 60')
    p.add_argument('--kills', type=int, metavar='N', help='20, or 4')
    p.add_argument('--seed', type=int, default=5, metavar='N', help='of the moments')
    a = p.parse_args()
    n, kills = (60, 4) if a.small else (2000, 20)
    n, kills = a.clips or n, kills if a.kills is None else a.kills
    os.environ['OMP_NUM_THREADS'] = '1'
    root = str(HERE.parent)
    os.environ['PYTHONPATH'] = os.pathsep.join([root, os.environ.get('PYTHONPATH', '')])
    folder = Path(tempfile.mkdtemp(prefix='sweep_killed'))
    try:
        draw(n, folder)
        whole_seconds, _ = run(folder, folder / 'whole', n, 0, a.seed)
        killed_seconds, killed = run(folder, folder / 'killed', n, kills, a.seed)
        (whole, left_whole), (other, left) = (finish(folder, folder / name) for name in ('whole', 'killed'))
        result = dict(
            date=date.today().isoformat(),
            machine=machine(),
            clips=n,
            batch=BATCH,
            network=NETWORK,
            explain='Grad-CAM, and scores as it is, frozen and reversed under a given mask (frames 5 to 10)',
            workers='two Dask workers of one thread each, on this machine',
            kills=killed,
            seconds=dict(undisturbed=whole_seconds, killed=killed_seconds),
            left_after_the_run=dict(undisturbed=left_whole, killed=left),
            tables=compared(whole, other),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result, indent=1))
    if sum(killed.values()) < kills:
        sys.exit(f'{sum(killed.values())} kills in place of {kills}: the clips were done before')
    if not a.small:
        (HERE / 'sweep_killed.json').write_text(json.dumps(result, indent=1) + '\n')
    if not (result['tables']['equal'] and result['tables']['every_clip_once']):
        sys.exit('the tables differ')


if __name__ == '__main__':
    main()
