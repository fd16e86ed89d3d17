"""Do masks change where a frozen clip is nothing unusual? An I3D that is trained with frames frozen at random.

python benchmarks/frozen_training.py                   # draws clips, trains, compares: 10 minutes on two cores
python benchmarks/frozen_training.py --try             # a tiny run, which writes nothing
python benchmarks/frozen_training.py --plain FILE ...  # further plain networks, of other seeds; else one is trained

The results go into interpvid/kept/frozen.json; networks that were trained are kept in `--folder`, and used again.
"""

import argparse, hashlib, json, time
from datetime import date
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from fastai.callback.core import Callback

from frame import HERE, machine
from interpvid.core import seed_everything, to_batch
from interpvid.data.loaders import clip_dls
from interpvid.data.synthetic import SYNTHETIC_CLASSES, make_clips
from interpvid.device import fast
from interpvid.learner import NoValidation, network_learner
from interpvid.masks.learn import learn_masks
from interpvid.masks.loss import as_text
from interpvid.masks.perturb import freeze
from interpvid.masks.search import search_windows
from interpvid.metrics import tiou
from interpvid.models.checkpoints import load_model, save_model
from interpvid.models.pretrained import pretrained
from interpvid.stats import holm, sign_flip
from interpvid.targets import probs_of

OUT = HERE.parent / 'interpvid' / 'kept' / 'frozen.json'
HOLDING = SYNTHETIC_CLASSES.index('Holding something')
SHARE = 0.75  # of training clips that are frozen in part
SEARCHES = {'window': 'best window', 'fast': 'learned, fast', 'released-pytorch': 'learned, released-pytorch'}


def random_windows(rng, n, T):
    "(n,T) windows to freeze: of 1 to T-1 frames, each length as often, anywhere after frame 0; some clips have none"
    length = rng.integers(1, T, n)
    start = 1 + (rng.random(n) * (T - length)).astype(int)
    t = np.arange(T)
    on = (t >= start[:, None]) & (t < (start + length)[:, None])
    return on & (rng.random(n) < SHARE)[:, None]


class FreezeSome(Callback):
    """Freeze a random window of most training clips; the label stays.

    Also where the window covers the whole event: then nothing tells the class, and the network learns to say so.
    Its score is then what it knows from the frames that are left, which is what removing frames is meant to show
    (Frye et al., 2020; Covert et al., 2021).
    """

    order = 20

    def __init__(self, seed):
        self.rng, self.frames = np.random.default_rng(seed), []

    def before_batch(self):
        if not self.training:
            return
        x = self.xb[0]
        on = random_windows(self.rng, len(x), x.shape[2])
        self.frames.append(on.mean())
        self.learn.xb = (freeze(x, torch.from_numpy(on).to(x)),)


def train_i3d(clips, valid, path, seed, frozen, epochs):
    "The package's small I3D, trained as its own are, and kept"
    if path.exists():
        return load_model(path)
    seed_everything(seed)
    freezing = [FreezeSome(seed)] if frozen else []
    learn = network_learner('i3d', clip_dls(clips, valid), 'small', cbs=[NoValidation(), *freezing], verbose=False)
    with learn.no_bar(), learn.no_logging():
        learn.fit_preset(epochs)
    save_model(learn.model, path, seed=seed, epochs=epochs, frozen=frozen)
    return load_model(path)


def chances(net, clips, masks):
    "(n,K) probabilities of clips under masks (n,T)"
    rows = []
    for i in range(0, len(clips.frames), 48):
        x = freeze(to_batch(clips.frames[i : i + 48], net.stats), torch.from_numpy(masks[i : i + 48]).float())
        with torch.no_grad(), fast(x.device):
            rows.append(probs_of(net, net(x)))
    return torch.cat(rows).float().numpy()


def accuracies(net, clips):
    "How often the class is right as clips are, and with the event frozen, or all after it too, or all else"
    event, label = clips.event, clips.labels
    moves = event.any(1)
    p = {
        'as they are': chances(net, clips, np.zeros_like(event)),
        'all but the event frozen': chances(net, clips, ~event),
        'event frozen': chances(net, clips, event),
        'event and all after it frozen': chances(net, clips, np.maximum.accumulate(event, 1)),
        'all frozen': chances(net, clips, np.ones_like(event)),
    }
    hit = {k: float((v.argmax(1) == label)[moves | (k == 'as they are')].mean()) for k, v in p.items()}
    gone = p['event frozen'][moves]
    own = {k: float(v[moves, label[moves]].mean()) for k, v in p.items()}
    return {
        'top-1': hit,
        'score of the class': own,
        'event frozen': {
            'called holding': float((gone.argmax(1) == HOLDING).mean()),
            'score of holding': float(gone[:, HOLDING].mean()),
            'highest score': float(gone.max(1).mean()),
        },
    }


def weights_key(net):
    return hashlib.sha256(b''.join(p.detach().numpy().tobytes() for p in net.parameters())).hexdigest()[:8]


def search(net, x, label, how):
    return search_windows(net, x, label) if how == 'window' else learn_masks(net, x, label, preset=how)


def masks_of(net, clips, which, searches, path):
    "Masks of some clips by each search: as text, with score and loss; those in the file are not made again"
    x, label = to_batch(clips.frames[which], net.stats), clips.labels[which]
    kept = json.loads(path.read_text()) if path.exists() else {}
    for how in searches:
        if how in kept and len(kept[how]['mask']) == len(which):
            continue
        f = search(net, x, label, how)
        numbers = {'OS': f.OS, 'FS': f.FS, 'loss': f.loss['loss']}
        kept[how] = {'mask': as_text(f.mask), **{k: v.round(4).tolist() for k, v in numbers.items()}}
        path.write_text(json.dumps(kept))
    return {SEARCHES[how]: kept[how] for how in searches}


def on(texts):
    return np.array([[c == '#' for c in t] for t in texts])


def overlap(a, b):
    "(n,) IoU of masks; two empty ones are the same"
    both, either = (a & b).sum(1), (a | b).sum(1)
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def measures(found, event):
    "Name -> (n,), for the masks of one network by one search"
    m = on(found['mask'])
    return {
        'frames': m.sum(1).astype(float),
        'FS': np.array(found['FS']),
        'loss': np.array(found['loss']),
        'IoU with the event': np.array([tiou(*v) for v in zip(m, event)]),
    }


def kinds(masks):
    "Names of the plain networks, and of those trained with frozen frames"
    return [[n for n in masks if n.startswith(kind)] for kind in ('plain', 'frozen')]


def paired(masks, event):
    "A row for each search and measure: means of the plain networks, of the others, and p of the paired difference"
    rows = []
    for search in next(iter(masks.values())):
        per = {n: measures(m[search], event) for n, m in masks.items()}
        for what in per['plain']:
            plain, frozen = (np.array([per[n][what] for n in names]) for names in kinds(masks))
            p = sign_flip(frozen.mean(0) - plain.mean(0))
            rows.append([search, what, plain.mean(1).round(4).tolist(), frozen.mean(1).round(4).tolist(), p])
    adjusted = holm([r[-1] for r in rows])
    return [[*r[:4], round(r[4], 5), round(float(p), 5)] for r, p in zip(rows, adjusted)]


def overlaps(masks):
    "A row for each search and pair of networks: mean IoU of their masks"
    return [
        [search, a, b, round(float(overlap(on(masks[a][search]['mask']), on(masks[b][search]['mask'])).mean()), 4)]
        for search in next(iter(masks.values()))
        for a, b in combinations(masks, 2)
    ]


def closer(masks):
    "A row for each search: overlap of plain networks' masks, that of plain with frozen ones, and p of the difference"
    plain, frozen = kinds(masks)
    rows = []
    for search in next(iter(masks.values())):
        m = {n: on(masks[n][search]['mask']) for n in masks}
        among = np.mean([overlap(m[a], m[b]) for a, b in combinations(plain, 2)], axis=0)
        across = np.mean([overlap(m[a], m[b]) for a in plain for b in frozen], axis=0)
        rows.append([search, *(round(float(v), 5) for v in (among.mean(), across.mean(), sign_flip(among - across)))])
    return rows


def rounded(v):
    return {k: rounded(w) for k, w in v.items()} if isinstance(v, dict) else round(v, 4)


def write(path, kept):
    "One line for each part"
    lines = [f'{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}' for k, v in kept.items()]
    path.write_text('{' + ',\n'.join(lines) + '}\n', encoding='utf-8')


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument('--scenes', type=int, default=240, help='training scenes, each under all twelve classes')
    parse.add_argument('--clips', type=int, default=2, help='clips of each class whose masks are compared')
    parse.add_argument('--epochs', type=int, default=3)
    parse.add_argument('--seeds', type=int, nargs='+', default=[0], help='of the trainings with frozen frames')
    parse.add_argument('--plain', type=Path, nargs='*', help='networks that were trained without, of other seeds')
    parse.add_argument('--searches', nargs='+', choices=SEARCHES, default=list(SEARCHES))
    parse.add_argument('--folder', type=Path, default=HERE.parent / 'results' / 'frozen_training')
    parse.add_argument('--try', dest='trial', action='store_true', help='few clips, one epoch; nothing is written')
    args = parse.parse_args()
    if args.trial:
        args.scenes, args.clips, args.epochs, args.folder = 4, 1, 1, args.folder / 'try'
    args.folder.mkdir(parents=True, exist_ok=True)

    begin = time.time()
    valid = make_clips(36 if args.trial else 240, 1, T=16, size=64, progress=False)
    drawn = []

    def get(name, seed, frozen):
        if not drawn and not (args.folder / f'{name}.safetensors').exists():
            drawn.append(make_clips(args.scenes, 0, siblings=True, T=16, size=64, progress=False))
        clips = drawn[0] if drawn else None
        net = train_i3d(clips, valid, args.folder / f'{name}.safetensors', seed, frozen, args.epochs)
        print(f'{name}: ready after {time.time() - begin:.0f} s', flush=True)
        return net

    nets = {'plain': pretrained('i3d-events')}
    for i, path in enumerate(args.plain or [], 2):
        nets[f'plain {i}'] = load_model(path)
    if not args.plain:
        nets['plain 2'] = get('plain-1', 1, False)
    for i, seed in enumerate(args.seeds, 1):
        nets['frozen' if i == 1 else f'frozen {i}'] = get(f'frozen-{seed}', seed, True)

    right = {}
    for name, net in nets.items():
        right[name] = rounded(accuracies(net, valid))
        print(name, json.dumps(right[name]), flush=True)
    which = np.concatenate([np.flatnonzero(valid.labels == c)[: args.clips] for c in range(12) if c != HOLDING])
    event, masks = valid.event[which], {}
    for name, net in nets.items():
        path = args.folder / f'masks-{weights_key(net)}.json'
        masks[name] = masks_of(net, valid, which, args.searches, path)
        print(f'masks of {name} after {time.time() - begin:.0f} s', flush=True)
    sets = random_windows(np.random.default_rng(0), 100_000, 16)
    covered = [float((sets | ~e).all(1).mean()) for e in event]
    about = {
        'date': date.today().isoformat(),
        'seconds': round(time.time() - begin),
        'machine': machine(),
        'training': f'{args.scenes} scenes under 12 classes, {args.epochs} epochs; frozen: a random window of '
        f'1 to 15 frames in {SHARE:.0%} of the clips, labels as they are; seeds {args.seeds}',
        'frames frozen in training': round(float(sets.mean()), 4),
        'of these clips': round(float(sets[sets.any(1)].mean()), 4),
        'event wholly frozen': round(float(np.mean(covered)), 4),
        'clips': len(which),
        'evaluated on': len(valid.labels),
    }
    kept = {
        'about': about,
        'accuracy': right,
        'columns': ['search', 'measure', 'plain', 'frozen', 'p', 'p (Holm)'],
        'paired': paired(masks, event),
        'overlaps': overlaps(masks),
        'closer': closer(masks),
        'clips': [int(i) for i in which],
        'event': as_text(event),
        'masks': masks,
        'code': hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12],
    }
    for row in [*kept['paired'], *kept['overlaps'], *kept['closer']]:
        print(*row, sep='\t')
    if not args.trial:
        write(OUT, kept)
        print(f'written to {OUT}')


if __name__ == '__main__':
    main()
