"Many masks of one clip: all of them beside plain passes, Shapley values beside captum, long clips coarse to fine."

from functools import cache

import numpy as np, torch

from frame import Missing, bench
from interpvid.core import to_batch
from interpvid.data.synthetic import make_clips
from interpvid.device import eval_frozen, fast
from interpvid.masks.perturb import freeze
from interpvid.masks.search import MaskScores, all_masks, search_windows
from interpvid.models.pretrained import pretrained
from interpvid.removal import attribute
from interpvid.targets import score_of

BOXED = {'I3D': 'i3d-events', 'C-LSTM': 'clstm-events'}
BS = 48


@cache
def boxed(name):
    "The trained network, a clip of 16×64×64 and its two likeliest classes"
    net = pretrained(BOXED[name])
    x = to_batch(make_clips(1, 3, progress=False).frames, net.stats)[:1]
    with torch.no_grad():
        return net, x, tuple(net(x)[0].topk(2).indices.tolist())


def plain_scores(net, x, masks, target, bs=BS):
    "Scores under masks, one forward pass for each, in the same precision"
    with eval_frozen(net), torch.no_grad(), fast('cpu'):
        return torch.cat(
            [score_of(net, freeze(x.expand(len(m), -1, -1, -1, -1), m), target) for m in masks.split(bs)]
        )


def orders():
    "The orders of frames that all masks of 16 frames lead to"
    return MaskScores(boxed('I3D')[0], all_masks(16)).order.numpy()


# Multiply-adds of plain passes over shared ones, counted: what is shared once, the rest for each different content
BOUND = {'I3D': 5.19, 'C-LSTM': 13.52}


def counted(name):
    net, order = boxed(name)[0], orders()
    numbers = {'bound by different contents of each layer': BOUND[name], 'done': 1 / net.orders_cost(order)}
    return {f'multiply-adds, {k}': v for k, v in numbers.items()}


for name in BOXED:

    @bench(
        f'{name}: all 2^15 masks of a clip, 16×64×64',
        against=f'as many plain forward passes, {BS} at a time, bfloat16 (2048 of them, times 16)',
        at_least=round(0.9 * BOUND[name], 2),
        runs=3,
        times=16,
        also=lambda name=name: counted(name),
    )
    def _(name=name):
        net, x, target = boxed(name)
        some = np.random.default_rng(0).choice(2**15, 2048, replace=False)
        masks = torch.from_numpy(all_masks(16)[2 * np.sort(some)])  # frame 0 is never frozen
        return (
            lambda: MaskScores(net, all_masks(16), bs=BS)(x, torch.tensor(target[:1])),
            lambda: plain_scores(net, x, masks, target[0]),
        )


# -- Shapley values of 'why this class and not the second?': a difference of logits is not saturated
@cache
def exact(name):
    net, x, target = boxed(name)
    return attribute(net, x, target, check=False).values[0]  # bfloat16 too: of the same game


def ours(name, n, seed=0, half=True):
    net, x, target = boxed(name)
    return attribute(net, x, target, n=n, seed=seed, bs=16, half=half, check=False).values[0]


def captums(name, n, seed=0):
    "Permutations of the sixteen frames, each of sixteen passes that captum batches"
    try:
        from captum.attr import ShapleyValueSampling
    except ImportError as e:
        raise Missing('captum is not installed') from e
    net, x, target = boxed(name)
    torch.manual_seed(seed)
    method = ShapleyValueSampling(lambda there: plain_scores(net, x, 1 - there, target, bs=16))
    there = torch.ones(1, 16)
    return method.attribute(there, n_samples=n // 16, perturbations_per_eval=16)[0].numpy()


def errors(name, n, seeds=3, theirs=None):
    """Root mean square error to the exact values, over frames and seeds; `theirs`: captum's evaluations, if others.

    The last number is how far rounding to bfloat16 moves the values of the same sets: for I3D, as far as its error."""
    rms = lambda d: float(np.sqrt(np.mean([d(s) ** 2 for s in range(seeds)])))
    return {
        'error': rms(lambda s: ours(name, n, s) - exact(name)),
        "captum's error": rms(lambda s: captums(name, theirs or n, s) - exact(name)),
        'moved by bfloat16': rms(lambda s: ours(name, n, s) - ours(name, n, s, half=False)),
    }


# At equal evaluations the gain is what the drawn masks share: 95 % of the time is the network's, 1 % the fit's. Counted
# in multiply-adds (`orders_cost`) it is, for 256, 1024 and 4096 evaluations, at most 2.8, 3.5 and 4.4 for I3D and 2.5,
# 3.4 and 5.0 for C-LSTM: threefold at 256 is out of reach. Captum needs more evaluations for as small an error.
for name in BOXED:
    for n in 256, 1024, 4096:

        @bench(
            f'{name}: Shapley values of 16 frames, {n} evaluations',
            against="captum's ShapleyValueSampling, same mask function, batch of 16 and precision",
            at_least=3,
            runs=3,
            also=lambda name=name, n=n: errors(name, n, 3 if n < 4096 else 1),
        )
        def _(name=name, n=n):
            return lambda: ours(name, n), lambda: captums(name, n)


for name, theirs in ('I3D', 1024), ('C-LSTM', 4096):

    @bench(
        f'{name}: Shapley values of 16 frames from 256 evaluations',
        against=f"captum's ShapleyValueSampling of {theirs}, of which the error is no smaller",
        at_least=3,
        runs=3,
        also=lambda name=name, theirs=theirs: errors(name, 256, 1, theirs),
    )
    def _(name=name, theirs=theirs):
        return lambda: ours(name, 256), lambda: captums(name, theirs)


# -- long clips ---------------------------------------------------------------------------------------------------
FRAMES = 48


@cache
def long_clips():
    "Four built-in clips of 48 frames, for the network that takes any number of them"
    net = boxed('I3D')[0]
    x = to_batch(make_clips(4, 5, T=FRAMES, progress=False).frames, net.stats)
    with torch.no_grad():
        return net, x, net(x).argmax(1)


def finely(exact):
    net, x, target = long_clips()
    return search_windows(net, x, target, exact=exact, check=False)


def losses():
    fine, all_ = finely(False), finely(True)
    return {
        'loss': fine.loss['loss'].mean(),
        'loss of the best window': all_.loss['loss'].mean(),
        'masks tried': (np.isfinite(fine.losses)).sum(1).mean(),
        'of': len(all_.tried),
    }


@bench(
    f'I3D: search_windows from coarse to fine, 4 clips of {FRAMES} frames',
    against='search_windows over all windows',
    runs=3,
    also=losses,
)
def _():
    return lambda: finely(False), lambda: finely(True)
