"What a sweep is tested with: a model and an explanation that take milliseconds, and a cluster that can be killed"
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from torch import nn

HERE = Path(__file__).resolve().parent


def model():
    return nn.Identity()


def explain(model, frames, labels=None, wait=0., bad=None):
    "One row a clip, from its frames alone; a clip whose mean is `bad` fails"
    time.sleep(wait*len(frames))
    means = [float(f.mean(dtype=float)) for f in frames]
    if bad is not None and any(abs(m-bad)<1e-9 for m in means): raise ValueError("this clip is bad")
    if log := os.environ.get('STANDIN_LOG'): # one line for each clip that is explained
        with open(log, 'a') as f: f.writelines(f'{m!r}\n' for m in means)
    return [dict(mean=m, last=int(f[-1].max())) for m,f in zip(means, frames)]


def candidate(model, clips, target):
    "A method of the exam"
    return clips.mean((1, 3, 4))


def drawn(model, frames, labels=None, refuse=None):
    "An explanation whose mask says which clip it is of; a clip whose first value is `refuse` fails, but for a file"
    from interpvid.explanation import Explanation

    if refuse is not None and not os.path.exists(os.environ['STANDIN_MENDED']):
        if any(f.flat[0] == refuse for f in frames):
            raise ValueError("not yet")
    T, H, W = frames.shape[1:4]
    none = {k: 0.0 for k in ('OS', 'FS', 'RS', 'FS binary', 'RS binary', 'length', 'tv', 'score', 'loss')}
    cam = np.zeros((T, H, W))
    masks = [np.full(T, f.flat[0] / 255) for f in frames]
    return [Explanation(f, m, cam[:, 0, 0], cam, 0, 0, None, none, none, ['a'], 'm') for f, m in zip(frames, masks)]


def stop(p):
    "SIGKILL"
    p.send_signal(signal.SIGKILL)
    p.wait()


def wait_for(happens, what, seconds=120):
    "Wait until something is so; how long that takes is the machine's affair"
    end = time.time() + seconds
    while not happens():
        assert time.time() < end, f'{what} has not happened in {seconds} s'
        time.sleep(0.005)


class Cluster:
    "A scheduler and two workers, each a process that can be killed"

    def __init__(self, folder, **env):
        self.folder, self.env, self.workers = folder, os.environ | env, []
        self.start_scheduler()
        self.workers = [self.start_worker() for _ in range(2)]

    def run(self, *args):
        return subprocess.Popen(
            [sys.executable, '-m', 'distributed.cli.' + args[0], *args[1:]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=HERE,
            env=self.env,
        )

    def start_scheduler(self):
        self.file = self.folder / f'scheduler-{time.time_ns()}.json'
        self.scheduler = self.run(
            'dask_scheduler', '--host', '127.0.0.1', '--port', '0', '--no-dashboard', '--scheduler-file', str(self.file)
        )
        wait_for(lambda: self.file.exists() and self.file.stat().st_size, 'the start of a scheduler')
        self.address = json.loads(self.file.read_text())['address']

    def start_worker(self):
        args = '--nthreads', '1', '--no-nanny', '--no-dashboard', '--death-timeout', '60'
        return self.run('dask_worker', self.address, *args)

    def kill(self, what, rng):
        "Kill a worker, or the scheduler with its workers, and start them anew"
        if what == 'worker':
            i = rng.randrange(2)
            stop(self.workers[i])
            self.workers[i] = self.start_worker()
        else:
            for p in (self.scheduler, *self.workers):
                stop(p)
            self.start_scheduler()
            self.workers = [self.start_worker() for _ in range(2)]

    def close(self):
        for p in (self.scheduler, *self.workers):
            stop(p)


def with_kills(cluster, start_client, done, batches, kills, rng, most_seconds=0.2, patience=120):
    "Go on with a sweep until it is done, and kill parts of it at random moments on the way; how often, by part"
    killed, client = dict(worker=0, scheduler=0, client=0), start_client()
    what = (['worker', 'client', 'scheduler'] * kills)[:kills]
    rng.shuffle(what)
    try:
        for part in what:
            before = done()
            wait_for(lambda: done() > before or client.poll() is not None, 'another batch', patience)
            time.sleep(rng.random() * most_seconds)
            if done() == batches:
                break
            if client.poll() is not None:  # it gave up, as after a third worker killed over one task
                client = start_client()
            killed[part] += 1
            if part == 'worker':
                cluster.kill('worker', rng)
                continue
            stop(client)
            if part == 'scheduler':
                cluster.kill('scheduler', rng)
            client = start_client()
        client.wait()
    finally:
        stop(client)
    return killed
