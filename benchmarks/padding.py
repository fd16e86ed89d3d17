"""What a network reads beyond the border of its picture, and what becomes of its maps: interpvid/kept/padding.json.

python benchmarks/padding.py                          # trains what is not there yet: about ten minutes a network
python benchmarks/padding.py --only circular-0        # trains this one, measures all that are there
python benchmarks/padding.py --only circular-0 --measure circular-0 # and measures no other
python benchmarks/padding.py --scenes 2 --clips 12 --epochs 1 --into /tmp/try.json  # does it run?

The clips, the settings of training and the 110 clips that are measured are those of `make reproduce`. The networks of
the package are measured as they are; each other one is that network, trained anew under a name of its own.
"""

import argparse
import json
import os
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch

from interpvid.cam import acts_and_grads, gradcam
from interpvid.classify import both_ways
from interpvid.core import to_batch
from interpvid.data.synthetic import HOLDING, DrawnClips, box_mask, make_clips
from interpvid.device import eval_frozen
from interpvid.files import log_line, versions, write_json, writing
from interpvid.learner import preset_of
from interpvid.metrics import blob_stats
from interpvid.models.checkpoints import load_model
from interpvid.models.padding import PaddedCLSTM, PaddedI3D, repad
from interpvid.models.pretrained import pretrained
from interpvid.registry import NETWORKS, Network, register
from interpvid.training import train_on_clips

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / 'interpvid' / 'kept' / 'padding.json'
ROLLS = {'both': (3, 4), 'down': (3,), 'right': (4,)}  # axes of a clip (B,C,T,H,W), each rolled by half its length


@dataclass
class Variant:
    "A network that is trained here, or taken from the package"

    key: str  # its name in files
    network: str  # 'I3D' or 'C-LSTM'
    edges: str  # 'zeros', 'circular' or 'reflect'
    grid: int  # cells of the last layer along the picture
    seed: int = 0  # of weights and batches
    boxed: str = ''  # name of the trained network of the package that it is
    repadded: bool = False  # with other edges than it was trained with
    settings: dict = field(default_factory=dict)  # of the network, in place of the preset's


FINE = dict(s_strides=(2, 2, 2, 1, 1))
VARIANTS = [
    Variant('zeros-0', 'I3D', 'zeros', 4, boxed='i3d-events'),
    Variant('zeros-0-on-a-torus', 'I3D', 'circular', 4, boxed='i3d-events', repadded=True),
    Variant('circular-0', 'I3D', 'circular', 4),
    Variant('reflect-0', 'I3D', 'reflect', 4),
    Variant('circular-fine-0', 'I3D', 'circular', 8, settings=FINE),
    Variant('zeros-1', 'I3D', 'zeros', 4, seed=1),
    Variant('circular-1', 'I3D', 'circular', 4, seed=1),
    Variant('zeros-fine-0', 'I3D', 'zeros', 8, settings=FINE),
    Variant('clstm-zeros-0', 'C-LSTM', 'zeros', 4, boxed='clstm-events'),
    Variant('clstm-circular-0', 'C-LSTM', 'circular', 4),
]


# --- networks


def declare(v: Variant) -> str:
    "Declare a variant as a network of its own; its key in the registry"
    arch = {'I3D': 'i3d', 'C-LSTM': 'clstm'}[v.network]
    if v.edges == 'zeros' and not v.settings:
        return arch
    build = NETWORKS[arch].build if v.edges == 'zeros' else {'i3d': PaddedI3D, 'clstm': PaddedCLSTM}[arch]
    edges = {} if v.edges == 'zeros' else {'edges': v.edges}
    small = preset_of(arch, 'small')
    key = f'{arch}-{v.edges}' + '-fine' * bool(v.settings)
    preset = {**small, 'model': {**small['model'], **v.settings, **edges}}
    register(Network(key, f'{v.network}, {v.edges}', build, {'small': preset}, modules=('models.padding',)))
    return key


def drawn(folder: Path, part: str, n: int, seed: int) -> DrawnClips:
    "The built-in clips of `make reproduce`, drawn once"
    path = folder / f'{part}-{n}'
    if not path.exists():
        make_clips(n, seed, siblings=part == 'train', workers=0, progress=False).save(path)
    return DrawnClips.load(path)


def train(v: Variant, folder: Path, scenes: int, epochs):
    "Train a variant unless its file is there; seconds it took, 0 if it was there"
    path, start = folder / f'{v.key}.safetensors', time.time()
    key = declare(v)
    if path.exists():
        return 0
    clips, valid = drawn(folder, 'train', scenes, 0), drawn(folder, 'valid', 12, 1)
    log_line(f'{v.key}: training on {len(clips)} clips')
    train_on_clips(key, clips, valid, path, 'small', epochs, v.seed, progress=False)
    write_json(path.with_suffix('.json'), dict(seconds=round(time.time() - start), threads=torch.get_num_threads()))
    return round(time.time() - start)


def network_of(v: Variant, folder: Path):
    "The trained network; None if it is not there yet"
    if v.boxed:
        net = pretrained(v.boxed, 'cpu')
        return repad(net, v.edges) if v.repadded else net
    path = folder / f'{v.key}.safetensors'
    declare(v)
    return load_model(path, 'cpu') if path.exists() else None


# --- measures


def places(net, x, target):
    "Grad-CAM at the cells of its layer, mean over time: (B,h,w), not negative"
    return gradcam(net, x, target, space=None, time=None, normalize=None).mean(1)


def alike(a, b):
    "Correlation over the cells, map by map (B,); NaN where a map is the same everywhere"
    a, b = (m.flatten(1) - m.flatten(1).mean(1, keepdim=True) for m in (a, b))
    scale = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(scale > 0, (a * b).sum(1) / scale, torch.nan).numpy()


def beside_others(m):
    "Mean correlation of each map with those of all other clips (B,)"
    every = np.stack([alike(m, other.expand_as(m)) for other in m])
    np.fill_diagonal(every, np.nan)
    return np.nanmean(every, 1)


def rolled_by_half(x, axes):
    return x.roll([x.shape[a] // 2 for a in axes], axes)


@torch.no_grad()
def guess(net, x):
    with eval_frozen(net):
        return torch.cat([net(part).argmax(1) for part in x.split(24)])


def roll_test(net, x, target, m, axes):
    "Does the map stay where it was when the picture is rolled, or does it go along? And does the guess stay?"
    r = rolled_by_half(x, axes)
    kept = (guess(net, r) == target).numpy()
    there = places(net, r, target)
    found = alike(there, m), alike(there, rolled_by_half(m, [a - 2 for a in axes]))
    return [np.where(kept, v, np.nan) for v in found], kept


def relative(m):
    "Cells of a map (h,w), as a multiple of their mean"
    return [[plain(v) for v in row] for row in (m / m.mean()).numpy()]


def of_blank(net, x):
    "Activations of a clip of one colour, the mean of all clips' pixels: cells, mean over time and channels"
    blank = x.mean((0, 2, 3, 4)).view(1, -1, 1, 1, 1).expand(1, *x.shape[1:])
    return acts_and_grads(net, blank, 0)[0].mean((0, 1, 2))


def heat_shares(cams, clips):
    "Share of each clip's heat on what acts, the same of other clips' maps, and of the picture; NaN: nothing acts"
    inside, shares = [], []
    for i, cam in enumerate(cams):
        acting = clips.boxes[i][:, clips.acting[i]]
        mask = box_mask(acting, cam.shape[1:]).any(1) if acting.size else np.zeros(cam.shape, bool)
        inside.append(mask & clips.event[i][:, None, None])
        total = cam.sum((1, 2), keepdims=True)
        shares.append(np.where(total > 0, cam / np.where(total > 0, total, 1), np.nan))
    acts, shares, out = [m.any() for m in inside], np.stack(shares), np.full((3, len(cams)), np.nan)
    for i in np.flatnonzero(acts):
        event = clips.event[i]
        on = np.nanmean((shares[:, event] * inside[i][event]).sum((2, 3)), 1)
        out[:, i] = on[i], np.nanmean(np.delete(on, i)[np.delete(acts, i)]), inside[i][event].mean()
    return out


def measure(net, clips) -> dict:
    "All of one network's numbers: a list with one for each clip, or cells of a grid"
    x = to_batch(clips.frames, net.stats)
    target = guess(net, x)
    m = places(net, x, target)
    cams = gradcam(net, x, target).numpy()
    found = {'guessed right': (target.numpy() == clips.labels), "alike other clips'": beside_others(m)}
    found['contrast'] = (m.std((1, 2), correction=0) / m.mean((1, 2))).numpy()
    rolls = {name: roll_test(net, x, target, m, axes) for name, axes in ROLLS.items()}
    (stays, goes), kept = rolls['both']
    found |= {'guess kept': kept, 'in place': stays, 'moved along': goes}
    blobs = [blob_stats(cam) for cam in cams]
    found |= {k: np.array([b[k] for b in blobs]) for k in blobs[0]}
    found |= dict(
        zip(('heat on what acts', "heat of other clips' maps", 'area of what acts'), heat_shares(cams, clips))
    )
    mean = m / m.mean((1, 2), keepdim=True).clamp_min(1e-12)
    mean = mean[m.flatten(1).amax(1) > 0].mean(0)
    big = torch.nn.functional.interpolate(mean[None, None], (64, 64), mode='bilinear')[0].numpy()
    return dict(clips={k: [plain(v) for v in values] for k, values in found.items()}, mean_map=relative(mean),
                blobs_of_mean_map={k: plain(v) for k, v in blob_stats(big / big.max()).items()},
                blank=relative(of_blank(net, x)), rolls={k: roll_means(*v) for k, v in rolls.items()})  # fmt: skip


def roll_means(found, kept):
    return dict(zip(('in place', 'moved along'), (plain(np.nanmean(v)) for v in found)), kept=plain(kept.mean()))


def plain(v):
    "A number as JSON holds it"
    if isinstance(v, (bool, np.bool_)):
        return int(v)
    return None if not np.isfinite(v) else float(f'{v:.3g}')


def accuracy(net, clips) -> dict:
    "Top-1 on all validation clips, as they are and reversed in time"
    probs = both_ways({'': net}, clips)['']
    hits = [float((p.argmax(1) == clips.labels).mean()) for p in probs]
    return {'clips': len(clips), 'top-1': round(hits[0], 4), 'reversed': round(hits[1], 4)}


def evaluated(clips, n):
    "The first `n` clips of each class but the control"
    classes = [k for k in range(len(clips.classes)) if k != HOLDING]
    return clips.subset(np.concatenate([np.flatnonzero(clips.labels == k)[:n] for k in classes]))


# --- the job


def row_of(v: Variant, folder: Path, valid, few) -> dict:
    "One variant, measured; None if its network is not there"
    if (net := network_of(v, folder)) is None:
        return None
    log_line(f'{v.key}: measuring')
    about = dict(network=v.network, edges=v.edges, grid=v.grid, seed=v.seed, boxed=v.boxed, repadded=v.repadded)
    note = folder / f'{v.key}.json'
    trained = json.loads(note.read_text(encoding='utf-8')) if note.exists() else {}
    return {**about, 'training': trained, 'accuracy': accuracy(net, valid), **measure(net, few)}


def measured_before(path: Path, labels) -> dict:
    "What the file says of networks, if it is about the same clips"
    if not path.exists():
        return {}
    before = json.loads(path.read_text(encoding='utf-8'))
    return before['variants'] if before['labels'] == labels else {}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--only', nargs='*', help='train these variants alone (no name: none)')
    p.add_argument('--measure', nargs='+', help='measure these alone; what the file says of others stays')
    p.add_argument('--out', type=Path, default=ROOT / 'results' / 'padding', help='where clips and networks are kept')
    p.add_argument('--into', type=Path, default=KEPT, help='where the results are written')
    p.add_argument('--scenes', type=int, default=240, help='training scenes, each under every label')
    p.add_argument('--clips', type=int, default=240, help='validation clips')
    p.add_argument('--per-class', type=int, default=10, help='clips of each class that are measured')
    p.add_argument('--epochs', type=int, help="passes over the training clips, in place of the preset's")
    a = p.parse_args()
    keys = [v.key for v in VARIANTS]
    if unknown := {*(a.only or ()), *(a.measure or ())} - set(keys):
        p.error(f'no variant {", ".join(sorted(unknown))}; there are {", ".join(keys)}')
    a.out.mkdir(parents=True, exist_ok=True)
    by_key = {v.key: v for v in VARIANTS}
    for key in keys if a.only is None else a.only:
        if not by_key[key].boxed:
            log_line(f'{key}: {train(by_key[key], a.out, a.scenes, a.epochs)} s')
    valid = drawn(a.out, 'valid', a.clips, 1)
    few = evaluated(valid, a.per_class)
    labels = [int(k) for k in few.labels]
    rows = measured_before(a.into, labels) if a.measure else {}
    rows |= {v.key: row_of(v, a.out, valid, few) for v in VARIANTS if not a.measure or v.key in a.measure}
    rows = {k: rows[k] for k in keys if rows.get(k)}
    about = dict(date=datetime.now(timezone.utc).date().isoformat(), cores=os.cpu_count(), versions=versions(),
                 clips='built-in events, those of make reproduce', per_class=a.per_class)  # fmt: skip
    made = dict(about=about, labels=labels, variants=rows)
    with writing(a.into) as tmp:
        tmp.write_text(json.dumps(made, separators=(',', ':')) + '\n', encoding='utf-8')
    log_line(f'{a.into}: {len(rows)} of {len(keys)} networks')


if __name__ == '__main__':
    main()
