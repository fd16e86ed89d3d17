"""Sweeps: what batches, files and other processes cost beside the explaining itself.

The rows of one process compare like with like on a busy machine too, if both sides are on one core:
`taskset -c 1 make bench ARGS='-k sweep,'`. The row of two workers needs both cores for itself.
"""

import atexit, itertools, shutil, tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import numpy as np

from frame import Missing, bench

N, BATCH = 24, 12
HOW = dict(preset='fast')
NETWORK = 'i3d-events'
number = itertools.count()


@cache
def folder():
    d = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, d, True)
    return Path(d)


@cache
def frames():
    "Drawn clips (N,16,64,64,3)"
    from interpvid.data.synthetic import make_clips

    return make_clips(N, seed=5, progress=False).frames


@cache
def videos():
    "The same as H.264 files of 48 frames of 256×256, about what a clip of Something-something-V2 takes to decode"
    from interpvid.video import write_video

    paths = [folder() / f'{i}.mp4' for i in range(N)]
    for path, f in zip(paths, frames()):
        write_video(path, f.repeat(3, 0).repeat(4, 1).repeat(4, 2), fps=24)
    return paths


def sweep(items, **how):
    "A sweep of a folder of its own, which is removed"
    from interpvid.sweep import run_sweep

    out = folder() / f'sweep{next(number)}'
    done = run_sweep('interpvid.explanation:explain', items, NETWORK, out, batch=BATCH, progress=False, **HOW, **how)
    assert done.status()['done'] == N
    assert done.failed.empty
    shutil.rmtree(out)


def explained():
    "The same explanations without a sweep: a call for each batch"
    from interpvid.explanation import explain
    from interpvid.sweep import build_model

    for i in range(0, N, BATCH):
        explain(build_model(NETWORK), frames()[i : i + BATCH], **HOW)


@bench(f'a sweep, {N} clips in memory, one process', against='`explain` on the same clips', at_least=0.95, runs=5)
def _():
    return lambda: sweep(frames()), explained


@bench(f'a sweep, {N} clips in files, one process', against='the same from memory', at_least=0.9, runs=5)
def _():
    from interpvid.video import read_frames

    decoded = np.stack([read_frames(p, 16, (64, 64)) for p in videos()])
    return lambda: sweep(videos()), lambda: sweep(decoded)


@bench(f'a sweep, {N} clips in memory, two workers of one thread', against='one process of two', at_least=0.95, runs=5)
def _():
    import torch

    from interpvid.sweep import local_cluster

    if torch.get_num_threads() != 2:
        raise Missing('it compares two threads, and torch has ' + str(torch.get_num_threads()))
    stack = ExitStack()
    atexit.register(stack.close)
    client = stack.enter_context(local_cluster(2))
    return lambda: sweep(frames(), client=client), lambda: sweep(frames())
