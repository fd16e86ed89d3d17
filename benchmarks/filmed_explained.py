"""What do networks look at in filmed clips? Claims, masks and maps of the networks that benchmarks/filmed.py has kept.

python benchmarks/filmed_explained.py --kept results/filmed                # -> benchmarks/filmed_explained.json
python benchmarks/filmed_explained.py --only actions --folds p4 p5         # some of the folds
python benchmarks/filmed_explained.py --trainings                          # and five trainings of one fold of each set
python benchmarks/filmed_explained.py --exam                               # and the exam, which takes longest

Each film is explained by the two networks that have never seen its person (or its scene). What is done is kept below
--out, so a run that was killed goes on. The file holds numbers alone: frames of these films are nobody's to publish.
"""

import argparse
import json
import os
import sys
import time
import warnings
from datetime import date
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
warnings.filterwarnings('ignore')

import pandas as pd
from filmed import clips_of
from frame import HERE, machine

import interpvid.folds  # noqa: F401, declares the preset "film"
from interpvid.data.windows import Windows
from interpvid.files import versions
from interpvid.learner import preset_of
from interpvid.models.checkpoints import load_model
from interpvid.paper.filmed import (
    claims_in_trainings, exam_means, exam_numbers, examine_fold, explain_fold, facing_table, join_folds)
from interpvid.paper.trainings import load_trainings, save_trainings
from interpvid.registry import NETWORKS

RESULT = HERE / 'filmed_explained.json'
FOLDS = {'actions': ['p4', 'p5', 'p6', 'p7'], 'interactions': ['g01-g10', 'g11-g20']}
SEVERAL = {'actions': 'p4', 'interactions': 'g11-g20'}  # the fold that is trained five times
PER_CLASS = {'actions': 1, 'interactions': 3}  # of each fold: 40 and 36 films


def networks_of(kept, name, fold, seed=0):
    "label -> checkpoint of a fold, and the groups that it tests; None where one is not trained yet"
    files = {n.label: Path(kept, name, f'{n.key}-{fold}-{seed}', 'model.safetensors') for n in NETWORKS.values()}
    if not all(f.is_file() for f in files.values()):
        return None, ()
    about = json.loads(next(iter(files.values())).with_name('about.json').read_text())
    return files, about['fold']['test']


def films_of(name, test):
    "The films that a fold tests, cut into the windows that its networks know"
    clips = clips_of(name)
    at = [i for i, g in enumerate(clips.group_of) if g in test]
    windows = preset_of('i3d', 'film').get('windows', {})
    return clips.seen_as(at, windows=Windows(**{k: v for k, v in windows.items() if k == 'seconds'}))


def over_folds(name, folds, a, one, seed=0):
    "`one(fold, files, clips)` of each fold whose networks are there; fold -> what it gave"
    made = {}
    for fold in folds:
        files, test = networks_of(a.kept, name, fold, seed)
        if files is None:
            print(f'{name}, {fold}: networks are not there yet', file=sys.stderr)
            continue
        clips, start = films_of(name, test), time.time()
        made[fold] = one(fold, files, clips)
        print(f'{name}, {fold}: {one.__name__} with {len(clips)} films, {time.time() - start:.0f} s', flush=True)
    return made


def explained(name, folds, a, seed=0):
    "Tables of one set: claims, Table 2, heat on people"

    def explain(fold, files, clips):
        out = Path(a.out, name, fold if seed == 0 else f'{fold}-{seed}')
        return explain_fold(clips, files, f'{name} {fold}', out, PER_CLASS[name], seed=seed)

    found = over_folds(name, folds, a, explain, seed)
    if not found:
        return None
    films = int(sum(f['stats']['clip'].nunique() for f in found.values()))
    judged = sum(len(f['evidence'].labels) for f in found.values())
    return dict(join_folds(list(found.values())), about=dict(folds=', '.join(found), explained=films, judged=judged))


def trained_again(name, a):
    "The claims of five trainings of one fold"
    made = {seed: explained(name, [SEVERAL[name]], a, seed) for seed in range(5)}
    made = {seed: t['claims'] for seed, t in made.items() if t is not None}
    return claims_in_trainings(made) if len(made) > 1 else None


def examined(name, folds, a):
    "Means and numbers of the exam on one set"

    def exam(fold, files, clips):
        part = clips.seen_as(list(range(0, len(clips), max(1, len(clips) // a.exam_films))))
        nets = {label: load_model(f) for label, f in files.items()}
        return examine_fold(part, nets, Path(a.out, name, f'exam-{fold}'))

    results = over_folds(name, folds, a, exam)
    if not results:
        return None
    numbers = exam_numbers(list(results.values()))
    films = sum(len(next(iter(r.clips.values()))['keys']) for r in results.values())
    return dict(means=exam_means(numbers), about=dict(folds=', '.join(results), films=int(films)))


def directed(kept):
    "Facing against going, of all folds that are there; label -> table"
    tables = {}
    for n in NETWORKS.values():
        files = sorted(Path(kept, 'direction').glob(f'{n.key}-*-0/films.csv'))
        if files:
            films = pd.concat([pd.read_csv(f, dtype=str) for f in files], ignore_index=True)
            tables[n.label] = facing_table(films)
    return tables


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--kept', default='results/filmed', help='where benchmarks/filmed.py keeps networks')
    p.add_argument('--out', default='results/filmed-explained', help='where explanations are kept')
    p.add_argument('--only', choices=list(FOLDS), help='one set')
    p.add_argument('--folds', nargs='+', help='some of its folds')
    p.add_argument('--trainings', action='store_true', help='and the claims over five trainings of a fold of each set')
    p.add_argument('--exam', action='store_true', help='and the exam')
    p.add_argument('--exam-films', default=6, type=int, help='films of each fold that sit it')
    p.add_argument('--into', default=RESULT, type=Path, help='the file of results')
    a = p.parse_args(argv)
    result = load_trainings(a.into) if a.into.is_file() else {}
    for name in [a.only] if a.only else FOLDS:
        folds = a.folds or FOLDS[name]
        if (tables := explained(name, folds, a)) is not None:
            result[name] = tables
        if a.exam and (tables := examined(name, folds, a)) is not None:
            result[f'exam, {name}'] = tables
        if a.trainings and (table := trained_again(name, a)) is not None:
            result[f'trainings, {name}'] = table
    result['facing'] = directed(a.kept)
    result['about'] = dict(date=str(date.today()), machine=machine(), versions=versions(), threads=1)
    a.into.unlink(missing_ok=True)  # what it held is in `result`; a file of the checkout is not replaced
    save_trainings(result, a.into)
    print(f'{a.into}: {", ".join(result)}')


if __name__ == '__main__':
    main()
