"What a sweep is tested with: a model and an explanation that take milliseconds"
import os
import time

from torch import nn


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
