"""Do the findings hold on filmed clips? Every fold of two filmed sets, trained and tested, into filmed.json.

python benchmarks/filmed.py                      # all rows, in order; one process a core; hours; a killed run goes on
python benchmarks/filmed.py --rows 'actions i3d' # those whose name begins so
python benchmarks/filmed.py --list               # what is there, and what is missing
python benchmarks/filmed.py --try                # one short fold of each set; writes no filmed.json

Weizmann (ten actions, nine people) and UT-Interaction (six interactions, twenty groups) lie in two folders, a folder
for each class in them: below INTERPVID_REFERENCE, or where --weizmann and --interactions say. Their frames are not ours
to publish, so filmed.json holds numbers alone. What is kept of each fold (network, log, what each film is taken for)
lies in results/filmed/<set>/<network>-<fold>-<seed>/. A training takes four minutes on one quiet core.
"""

import argparse, json, os
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from frame import HERE, Missing, machine

RESULT, KEPT = HERE / 'filmed.json', Path('results/filmed')
CHOSE = ['p1', 'p2', 'p3']  # the recipe was chosen on them
PEOPLE = ['p4', 'p5', 'p6', 'p7', 'p8', 'p9', *CHOSE]
SPLIT, FIVE = 'g01-g10:g11-g20', '5'
DIRECTION_STEPS = 240  # left or right is learned soon


class Task(NamedTuple):
    "One training and its test"

    row: str  # of the result that it belongs to
    set: str  # 'actions', 'direction', 'interactions'
    arch: str
    folds: str
    fold: str
    seed: int = 0
    still: bool = False


def row_name(set, arch, folds, still=False, seeds=False):
    "The name of a result"
    how = {'each': 'each person', SPLIT: 'two halves', FIVE: 'five folds'}[folds]
    return f'{set} {arch}{" one frame" if still else ""}, {"five trainings of a fold" if seeds else how}'


def tasks() -> list:
    "All trainings, the most wanted first"
    halves, five = SPLIT.split(':'), [f'fold{k}' for k in range(1, 6)]

    def row(set, arch, folds, names, still=False):
        return [Task(row_name(set, arch, folds, still), set, arch, folds, f, 0, still) for f in names]

    def seeds(set, arch, folds, fold):
        return [Task(row_name(set, arch, folds, seeds=True), set, arch, folds, fold, s) for s in range(5)]

    nets = 'i3d', 'clstm'

    def interactions(folds, names):
        rows = [row('interactions', arch, folds, names) for arch in nets]
        return [*rows, row('interactions', 'i3d', folds, names, still=True)]

    new = [p for p in PEOPLE if p not in CHOSE]
    wanted = [row(set, arch, 'each', new) for set in ('actions', 'direction') for arch in nets]
    wanted += interactions(SPLIT, halves)
    wanted += [row(set, arch, 'each', CHOSE) for set in ('actions', 'direction') for arch in nets]
    for arch in nets:
        wanted += [seeds('actions', arch, 'each', 'p4'), seeds('interactions', arch, SPLIT, halves[1])]
    wanted += interactions(FIVE, five)
    return [t for some in wanted for t in some]


def folder_of(name):
    "Where a set lies"
    given = os.environ.get(f'INTERPVID_{name.upper()}')
    root = os.environ.get('INTERPVID_REFERENCE')
    path = Path(given) if given else Path(root) / name if root else None
    if path is None or not path.is_dir():
        raise Missing(f'{name}: no folder of it; INTERPVID_REFERENCE names the folder that holds it')
    return path


def mirrored_both(films, ways):
    "Films of people who cross the picture, and their mirror images; a class for each side"
    from interpvid.data.windows import WindowClips

    at = [i for i, way in enumerate(ways) if way]
    sides = np.array([['left', 'right'].index(ways[i]) for i in at])
    labels = np.concatenate([sides, 1 - sides])
    part = films.seen_as(at)
    mirror = [np.ascontiguousarray(f[:, :, ::-1]) for f in part.films]
    names = [*part.names, *(f'{n} mirrored' for n in part.names)]
    groups, rates = np.tile(part.group_of, 2), np.tile(part.rates, 2)
    how = dict(rates=rates, n=films.n, size=films.size, backwards=1 - labels)
    return WindowClips([*part.films, *mirror], labels, ['left', 'right'], groups, names, **how)


@cache
def clips_of(set):
    "The films of a set, in memory"
    from interpvid.data.clips import folder_items
    from interpvid.data.windows import window_clips

    if set == 'interactions':
        return window_clips(folder_items(folder_of('ut_interaction'), 0, progress=False), progress=False)
    items = folder_items(folder_of('weizmann'), 0, progress=False)
    if set == 'actions':
        return window_clips(items, progress=False)
    from interpvid.paper.filmed import directions

    cross = items.like(i for i in items if items.classes[i.label] in ('walk', 'run', 'skip', 'side', 'jump'))
    return mirrored_both(window_clips(cross, progress=False), directions(cross))


def run_task(task, kept, short=False):
    "Train and test one fold, or find that it is there"
    import torch

    from interpvid.folds import run_folds
    from interpvid.learner import batch_of, preset_of

    torch.set_num_threads(1)
    os.environ['OMP_NUM_THREADS'] = '1'
    clips, epochs = clips_of(task.set), 2 if short else None
    if task.set == 'direction' and not short:
        n = len(clips) * 8 // 9
        epochs = -(-DIRECTION_STEPS * batch_of(preset_of(task.arch, 'film'), n) // n)
    how = dict(seed=task.seed, epochs=epochs, still=task.still, progress=False, log=lambda line: None)
    # folds by number are drawn with seed 0, whatever the training's
    result = run_folds(clips, task.folds, task.arch, folder=Path(kept) / task.set, only=[task.fold], **how)
    return task, result


def _numbers(accuracy):
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in accuracy.items()}


def describe(films) -> dict:
    "What a table of films says: accuracies over groups, each group by itself, confusions"
    from interpvid.folds import FoldsResult

    r = FoldsResult(films)
    about = {
        'as they are': _numbers(r.accuracy()),
        'middle window': _numbers(r.accuracy('middle window')),
        'reversed': _numbers(r.accuracy('predicted reversed')),
        'chance': round(r.chance, 4),
        'groups': (films['predicted'] == films['class']).groupby(films['group']).mean().round(4).to_dict(),
        'confusion': r.confusion().to_dict('index'),
    }
    if len(r.directed):
        about['reversed, the other side'] = _numbers(r.accuracy('predicted reversed', 'reversed class', r.directed))
    return about


def summarise(done) -> dict:
    "Name of a row -> what its folds say together; of Weizmann's people those that chose the recipe apart"
    rows = {}
    for name in dict.fromkeys(t.row for t in tasks()):
        wanted, got = [t for t in tasks() if t.row == name], [(t, r) for t, r in done if t.row == name]
        if not got:
            continue
        films = pd.concat([r.films for _, r in got], ignore_index=True)
        seconds = [s for _, r in got for s in r.about['seconds'].values()]
        row = {'trainings': len(got), 'wanted': len(wanted), 'seconds': seconds}
        if 'five trainings' in name:
            row['each'] = {t.seed: describe(r.films) for t, r in got}
        elif wanted[0].folds == 'each':
            chose = films['group'].isin(CHOSE)
            parts = {'p4 to p9': films[~chose], 'p1 to p3, which chose the recipe': films[chose]}
            row |= {part: describe(t) for part, t in parts.items() if len(t)}
        else:
            row |= {'all': describe(films), 'folds': {t.fold: describe(r.films) for t, r in got}}
        rows[name] = row
    return rows


def write(done, kept):
    "filmed.json, from all that is done; what other programs have put there stays"
    from interpvid.files import versions, write_json

    was = json.loads(RESULT.read_text(encoding='utf-8')) if RESULT.exists() else {}
    about = dict(date=str(date.today()), machine=machine(), versions=versions(), threads=1)
    write_json(RESULT, {**was, 'about': about, 'folds': {**was.get('folds', {}), **summarise(done)}})


def run(wanted, kept, workers):
    "All tasks, in processes of their own; filmed.json is written after each"
    done = []
    with ProcessPoolExecutor(workers, get_context('spawn')) as pool:
        for made in as_completed([pool.submit(run_task, t, str(kept)) for t in wanted]):
            task, result = made.result()
            done.append((task, result))
            print(f'{len(done)}/{len(wanted)} {task.row}, {task.fold}, seed {task.seed}: {result}', flush=True)
            order = {t: k for k, t in enumerate(tasks())}
            write(sorted(done, key=lambda d: order[d[0]]), kept)


def show():
    "What is in filmed.json, a line for each row"
    rows = json.loads(RESULT.read_text(encoding='utf-8'))['folds'] if RESULT.exists() else {}
    for name in dict.fromkeys(t.row for t in tasks()):
        r = rows.get(name, {'trainings': 0, 'wanted': sum(t.row == name for t in tasks())})
        parts = {k: v for k, v in r.items() if isinstance(v, dict) and 'as they are' in v}
        means = {k: [v[way]['mean'] for way in ('as they are', 'reversed')] for k, v in parts.items()}
        said = '; '.join(f'{k}: {there:.3f}, reversed {back:.3f}' for k, (there, back) in means.items())
        print(f"{name}: {r['trainings']} of {r['wanted']} trainings. {said}")


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--rows', default='', help='only rows whose name begins so')
    p.add_argument('--weizmann', help='folder of Weizmann; default: weizmann below INTERPVID_REFERENCE')
    p.add_argument('--interactions', help='folder of UT-Interaction; default: ut_interaction below INTERPVID_REFERENCE')
    p.add_argument('--kept', default=KEPT, type=Path, help='where networks and answers are kept')
    p.add_argument('--workers', default=os.cpu_count(), type=int, help='trainings at a time, each on one thread')
    p.add_argument('--list', action='store_true', help='say what is there')
    p.add_argument('--try', dest='short', action='store_true', help='two epochs of one fold of each set')
    a = p.parse_args(argv)
    for name, folder in ('WEIZMANN', a.weizmann), ('UT_INTERACTION', a.interactions):
        if folder:
            os.environ[f'INTERPVID_{name}'] = folder
    if a.list:
        return show()
    for name in 'weizmann', 'ut_interaction':
        folder_of(name)
    os.environ['OMP_NUM_THREADS'] = '1'  # of the processes to come
    wanted = [t for t in tasks() if t.row.startswith(a.rows)]
    if a.short:
        first = {t.set: t for t in reversed(wanted)}.values()
        return [print(t.row, t.fold, run_task(t, a.kept / 'try', True)[1], flush=True) for t in first]
    run(wanted, a.kept, a.workers)


if __name__ == '__main__':
    main()
