"""Both networks at the paper's sizes on a GPU: clips a second, and the share of the rate of its matrix products.

python benchmarks/gpu.py            # on a CUDA GPU; writes gpu.json with date and GPU
python benchmarks/gpu.py --try      # small sizes on any device, writes nothing: does it run?
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
SMALL = {'something': (8, 64, 64, 12), 'kth': (8, 48, 64, 6)}


def network(arch, data, T, H, W, K):
    kw = preset_of(arch, data)['model']
    return I3D(K, **kw) if arch == 'i3d' else CLSTM(K, (H, W), T, **kw)


def seconds(f, device, runs=10):
    wait = torch.cuda.synchronize if device.type == 'cuda' else lambda: None
    for _ in range(3):
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
    p.add_argument('--bs', type=int, default=16, metavar='N', help='clips per batch')
    a = p.parse_args()
    device = best_device()
    if device.type != 'cuda' and not a.small:
        raise SystemExit('no CUDA GPU here; --try runs small sizes on the CPU')
    peak = matmul_rate(device, 256 if a.small else 8192)
    sizes, bs = (SMALL, 2) if a.small else (SIZES, a.bs)
    todo = list(product(('i3d', 'clstm'), sizes, (False,) if a.small else (False, True)))
    rows = []
    for arch, data, compiled in tqdm(todo, desc='networks'):
        rows += measured(arch, data, sizes[data], bs, compiled, device, peak)
    out = dict(
        machine=machine(),
        date=date.today().isoformat(),
        matmul_tflops=round(peak / 1e12, 1),
        counted='multiply-adds of the forward pass, times 3 for a training step and 2 for the way to the input',
        rows=rows,
    )
    print(json.dumps(out, indent=1, ensure_ascii=False))
    if not a.small:
        write_json(HERE / 'gpu.json', out)


if __name__ == '__main__':
    main()
