"""The exam of the networks that come with the package, as the leaderboard shows it.

    python benchmarks/exam.py                    # 110 clips, all masks on 11: -> interpvid/kept/exam.json
    python benchmarks/exam.py --clips 1 --few 0  # a small one; the file says how many clips it is of
    python benchmarks/exam.py --trainings 5      # the same candidates, networks of five trainings, without enumeration
                                                 # and sanity: -> interpvid/kept/exam-trainings.json

Answers are kept in --folder, so a run that was stopped goes on where it was. --into writes elsewhere than the package.
The networks of several trainings are those that `interpvid reproduce --seeds 5` keeps in --results.
"""

import argparse
import json
import os

os.environ.setdefault('OMP_NUM_THREADS', '2')
import sys
import warnings
from pathlib import Path

warnings.filterwarnings('ignore')
from interpvid.exam.candidates import CANDIDATES
from interpvid.exam.measures import TESTS
from interpvid.exam.results import kept_exam, kept_exam_trainings, save_exam_trainings
from interpvid.exam.sitting import run_exam
from interpvid.models.checkpoints import load_model
from interpvid.models.pretrained import pretrained
from interpvid.paper.trainings import trained_elsewhere

BOXED = {'I3D': 'i3d-events', 'C-LSTM': 'clstm-events'}


def by_record(results, label, seed):
    "The newest network of a training among kept stages, whatever the code's state was"
    found = []
    for record in Path(results, 'cache').glob(f'{label}-events-*.made.json'):
        about = json.loads(record.read_text())
        path = record.with_name(record.name.replace('.made.json', '.safetensors'))
        if about['settings'].get('seed') == seed and path.is_file():
            found.append((about['when'], path))
    return max(found)[1] if found else None


def trained(a, seed):
    "The networks of one training, by name; an error that says what is missing"
    elsewhere = trained_elsewhere(a.networks, 'events', seed + 1).get(seed, {}) if a.networks else {}
    files = {label: elsewhere.get(label) or by_record(a.results, label, seed) for label in BOXED}
    if missing := [label for label, path in files.items() if path is None]:
        raise SystemExit(
            f'training {seed}: no {" and no ".join(missing)} in {a.results}; `interpvid reproduce --seeds 5` trains '
            'it, or name a folder with events-i3d-1.safetensors and so on: --networks'
        )
    return {label: load_model(path) for label, path in files.items()}


def one(a):
    "The boxed networks; another training of each, where it is there, for the test of sanity that needs one"
    nets = {name: pretrained(key) for name, key in BOXED.items()}
    try:
        others = trained(a, a.other)
    except (SystemExit, ValueError) as e:
        others = None
        print(f'without another training ({e})', file=sys.stderr)
    into = Path(a.into or kept_exam())
    result = run_exam(nets, a.clips, few=a.few, folder=a.folder, trainings=others)
    result.save(into)
    print(f'{into}: {result}')
    for network in result.networks:
        print(f'\n{network}', result.first_columns(network).round(2).to_string(), *result.said(network), sep='\n')


def several(a):
    "The networks of several trainings"
    candidates = [c for c in CANDIDATES.values() if not c.few]
    tests = {name: t for name, t in TESTS.items() if t.group != 'sanity'}
    results = []
    for seed in range(a.trainings):
        print(f'training {seed + 1} of {a.trainings}', file=sys.stderr)
        results.append(run_exam(trained(a, seed), a.clips, candidates, tests, few=0, folder=a.folder))
        save_exam_trainings(results, a.into or kept_exam_trainings())
    print(f'{a.into or kept_exam_trainings()}: {len(results)} trainings, {results[0]}')


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--clips', type=int, default=10, help='of each of eleven classes')
    p.add_argument('--few', type=int, default=11, help='clips on which all masks are tried')
    p.add_argument('--trainings', type=int, default=0, help='networks of so many trainings, in place of the boxed ones')
    p.add_argument('--other', type=int, default=1, help='the training that the boxed networks are compared with')
    p.add_argument('--results', default='results', help='folder of `interpvid reproduce`')
    p.add_argument('--networks', help='folder of networks trained elsewhere, by number')
    p.add_argument('--folder', default='results/exam', help='where answers are kept')
    p.add_argument('--into', help='file to write; default: the one in the package')
    a = p.parse_args()
    several(a) if a.trainings else one(a)
