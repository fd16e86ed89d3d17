"""Both networks at the paper's sizes on a GPU: training, bare passes, and explanations as a share of bare passes.

python benchmarks/gpu.py             # on a CUDA GPU; writes gpu.json with date and GPU
python benchmarks/gpu.py --try       # small sizes on any device, writes nothing: does it run?
python benchmarks/gpu.py --estimate  # no GPU needed: counted operations, and the hours for 791 and 24 777 clips

Training steps are held against the rate of the card's own matrix products. Explanations (`learn_masks`,
`search_windows`, exact Shapley values, `gradcam`) are held against bare passes through the same network, of the same
batch, on the same card: a share of 0.9 says that one tenth of the time goes into anything but these passes. A pass is
counted as the package counts it; where masks share their first frames' computing, it is less than one for each mask.
"""

import argparse, json, statistics, time
from datetime import date
from itertools import product

import torch, torch.nn.functional as F
from tqdm import tqdm

from frame import HERE, machine
from interpvid.device import eval_frozen, best_device, fast, fast_layout
from interpvid.files import write_json
from interpvid.learner import preset_of
from interpvid.models.clstm import CLSTM
from interpvid.models.i3d import I3D
from interpvid.models.layers import layer_table

SIZES = {'something': (16, 224, 224, 174), 'kth': (32, 120, 160, 6)}
CLIPS = 791, 24_777  # of KTH's test set, and of the validation set of Something-something-V2
RATE = 300e12  # operations a second that an estimate assumes: about a third of what an H100 is sold for in bfloat16
SMALL = {'something': (8, 64, 64, 12), 'kth': (8, 48, 64, 6)}


def network(arch, data, T, H, W, K):
    kw = preset_of(arch, data)['model']
    return I3D(K, **kw) if arch == 'i3d' else CLSTM(K, (H, W), T, **kw)


def seconds(f, device, runs=10, warm=3):
    wait = torch.cuda.synchronize if device.type == 'cuda' else lambda: None
    for _ in range(warm):
        f()
    wait()
    ts = []
    for _ in range(runs):
        t = time.perf_counter()
        f()
        wait()
        ts.append(time.perf_counter() - t)
    return statistics.median(ts)


def matmul_rate(device, n):
    "Floating-point operations a second of an n×n product in bfloat16"
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * n**3 / seconds(lambda: a @ b, device)


def steps(net, x, K, device):
    "Name -> (function, how many forward passes its multiply-adds amount to)"
    y, opt = torch.randint(K, (len(x),), device=device), torch.optim.SGD(net.parameters(), 1e-3, 0.2)

    def train():
        net.train()
        with fast(device):
            p = net(x)
        F.cross_entropy(p.float(), y).backward()
        opt.step()
        opt.zero_grad()

    def to_input():
        v = x.detach().clone().requires_grad_()
        with eval_frozen(net):
            with fast(device):
                p = net(v)
            p.float().softmax(1)[:, 0].sum().backward()

    return {'training step': (train, 3), 'forward and backward to the input': (to_input, 2)}


def explanations(T, iterations=None):
    "Name -> (function of network and clips, which gives the passes of a clip, forward and backward; how many clips)"
    from interpvid.cam import gradcam
    from interpvid.masks.learn import learn_masks
    from interpvid.masks.perturb import freeze
    from interpvid.masks.search import search_windows
    from interpvid.removal import attribute

    def learned(preset):
        def f(net, x):
            more = {} if iterations is None else {'iterations': iterations}
            found = learn_masks(net, x, preset=preset, check=False, **more)
            steps = float(found.steps.mean())
            return float(found.evaluations.mean()) - 2 * steps, steps

        return f

    def windows(net, x):
        return float(search_windows(net, x, check=False).evaluations.mean()), 0

    def shapley(net, x):
        return float(attribute(net, x, None, 'frames', freeze, 'shapley', check=False).evaluations.mean()), 0

    def maps(net, x):
        gradcam(net, x)
        return 1, 1

    return {
        'learn_masks, released-pytorch': (learned('released-pytorch'), 10**6),
        'learn_masks, fast': (learned('fast'), 10**6),
        'search_windows': (windows, 10**6),
        f'Shapley values, exact, of {T} frames': (shapley, 1),  # 2^(T-1) masks a clip
        'gradcam': (maps, 10**6),
    }


def bare(net, x, device):
    "Seconds a clip of a forward pass, and of the way back to the clip"

    def forward():
        with eval_frozen(net), torch.no_grad(), fast(device):
            net(x)

    both, _ = steps(net, x, 1, device)['forward and backward to the input']
    once = seconds(forward, device) / len(x)
    return once, max(seconds(both, device) / len(x) - once, 0)


def explained(arch, data, size, bs, device, small):
    "A row for each kind of explanation"
    T, H, W, K = size
    net, rows = fast_layout(network(arch, data, T, H, W, K)).to(device).eval(), []
    clips = torch.randn(bs, 3, T, H, W, device=device)
    laid = clips.contiguous(memory_format=torch.channels_last_3d)
    for what, (f, most) in explanations(T, 3 if small else None).items():
        x, there = clips[:most], {}
        once, back = bare(net, laid[:most], device)
        ask = lambda: there.update(zip(('forward', 'backward'), f(net, x)))
        s = seconds(ask, device, runs=1 if small else 3, warm=1)
        needed = there['forward'] * once + there['backward'] * back
        rows.append(
            dict(network=arch, size=f'{len(x)}×{T}×{H}×{W}', explanation=what)
            | {k: round(v, 2) for k, v in there.items()}
            | dict(
                clips_per_second=round(len(x) / s, 4),
                evaluations_per_second=round(sum(there.values()) * len(x) / s, 1),
                share_of_bare_passes=round(needed * len(x) / s, 3),
                hours={n: round(n * s / len(x) / 3600, 2) for n in CLIPS},
            )
        )
    return rows


def operations(arch, data, size):
    "Floating-point operations of a forward pass, counted without computing"
    T, H, W, K = size
    with torch.device('meta'):
        net = network(arch, data, T, H, W, K)
        return 2e6 * layer_table(net, torch.empty(1, 3, T, H, W)).loc['in all', 'multiply-adds (millions)']


def estimate(size=SIZES['something'], data='something', rate=RATE):
    "What explaining takes by counted operations alone: passes × operations / `rate`, no mask sharing anything"
    from interpvid.masks.learn import MASK_PRESETS
    from interpvid.masks.search import windows

    T = size[0]
    passes = {
        'learn_masks, released-pytorch': 2 * MASK_PRESETS['released-pytorch']['iterations'],
        'learn_masks, fast': 2 * MASK_PRESETS['fast']['iterations'],
        'search_windows': len(windows(T)) + 1,
        f'Shapley values, exact, of {T} frames': 2 ** (T - 1),
        'gradcam': 2,
    }
    rows = []
    for arch in ('i3d', 'clstm'):
        flops = operations(arch, data, size)
        for what, n in passes.items():
            hours = {c: float(f'{c * n * flops / rate / 3600:.3g}') for c in CLIPS}
            rows.append(dict(network=arch, explanation=what, passes=n, gflop_a_pass=round(flops / 1e9, 1), hours=hours))
    return rows


def measured(arch, data, size, bs, compiled, device, peak):
    "A row for each step of one network"
    T, H, W, K = size
    net = network(arch, data, T, H, W, K)
    macs = 1e6 * layer_table(net, torch.randn(1, 3, T, H, W)).loc['in all', 'multiply-adds (millions)']
    net = fast_layout(net).to(device)
    if compiled:
        net.compile()
    x = torch.randn(bs, 3, T, H, W, device=device).contiguous(memory_format=torch.channels_last_3d)
    rows = []
    for what, (f, passes) in steps(net, x, K, device).items():
        s = seconds(f, device)
        row = dict(network=arch, size=f'{bs}×{T}×{H}×{W}', step=what, compiled=compiled)
        rate = dict(clips_per_second=round(bs / s, 1), share_of_matmul=round(2 * macs * passes * bs / s / peak, 3))
        rows.append(row | rate)
    return rows


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--try', dest='small', action='store_true', help='small sizes, nothing written')
    p.add_argument('--estimate', action='store_true', help='print what counted operations say, and stop')
    p.add_argument('--bs', type=int, default=16, metavar='N', help='clips per batch')
    a = p.parse_args()
    if a.estimate:
        about = f'{RATE / 1e12:g} TFLOP/s; a way back counted as a forward pass; nothing shared between masks'
        print(json.dumps(dict(assumed=about, rows=estimate()), indent=1, ensure_ascii=False))
        return
    device = best_device()
    if device.type != 'cuda' and not a.small:
        raise SystemExit('no CUDA GPU here; --try runs small sizes on the CPU')
    peak = matmul_rate(device, 256 if a.small else 8192)
    sizes, bs = (SMALL, 2) if a.small else (SIZES, a.bs)
    todo = list(product(('i3d', 'clstm'), sizes, (False,) if a.small else (False, True)))
    rows = []
    for arch, data, compiled in tqdm(todo, desc='networks'):
        rows += measured(arch, data, sizes[data], bs, compiled, device, peak)
    asked = []
    for arch in tqdm(('i3d', 'clstm'), desc='explanations'):
        asked += explained(arch, 'something', sizes['something'], bs, device, a.small)
    out = dict(
        machine=machine(),
        date=date.today().isoformat(),
        matmul_tflops=round(peak / 1e12, 1),
        counted='multiply-adds of the forward pass, times 3 for a training step and 2 for the way to the input',
        rows=rows,
        explanations=asked,
    )
    print(json.dumps(out, indent=1, ensure_ascii=False))
    if not a.small:
        write_json(HERE / 'gpu.json', out)


if __name__ == '__main__':
    main()
