"""Puts results of a full run into the package: python tools/keep.py --networks results/ --commit e1ffe79

--networks RESULTS   the networks of the built-in events that `make reproduce` trained there, each with its provenance
--trainings FILE     trainings.json, as `interpvid reproduce --seeds 5` wrote it
"""

import argparse, json, shutil, subprocess, sys
from pathlib import Path

import pandas as pd

from interpvid.files import sha256, write_json
from interpvid.models.checkpoints import load_model
from interpvid.paper.trainings import load_trainings, save_trainings
from interpvid.registry import NETWORKS

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / 'interpvid' / 'kept'
sys.path.insert(0, str(ROOT / 'benchmarks'))
from frame import machine


def head():
    return subprocess.check_output(['git', '-C', ROOT, 'rev-parse', '--short', 'HEAD'], text=True).strip()


def stage_of(results, path):
    "What the kept stages say about the file with the same content"
    for record in (results / 'cache').glob('*.made.json'):
        made = record.with_name(record.name.replace('.made.json', '.safetensors'))
        if made.is_file() and sha256(made) == sha256(path):
            return json.loads(record.read_text(encoding='utf-8'))
    raise SystemExit(f'{path}: no kept stage in {results / "cache"} made it')


def rows_of(label):
    "The rows of Table 1 about one network"
    return {'top_1': label, 'reversed': f'{label}, reversed'}


def keep_network(results, network, commit):
    path, name = results / 'models' / f'{network.key}.safetensors', f'{network.key}-events'
    stage, table = stage_of(results, path), pd.read_csv(results / 'something' / 'table1.csv', index_col='model')
    accuracy = {k: round(table.loc[row, 'top-1'], 4) for k, row in rows_of(network.label).items()}
    about = dict(
        network=network.label,
        clips='built-in events: 240 training scenes, each under all 12 classes; 16 frames of 64×64, seed 0',
        made_by='make reproduce',
        commit=commit,
        date=stage['when'],
        seconds=stage['seconds'],
        training=load_model(path).info,
        versions=stage['versions'],
        processor=machine().split(',')[0],
        accuracy=dict(clips=240, **accuracy),
        sha256=sha256(path),
        licence='Apache-2.0',
    )
    KEPT.mkdir(exist_ok=True)
    shutil.copy(path, KEPT / f'{name}.safetensors')
    write_json(KEPT / f'{name}.json', about)
    print(f'{path} → {KEPT / name}.safetensors')


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--networks', type=Path, metavar='RESULTS')
    p.add_argument('--trainings', type=Path, metavar='FILE')
    p.add_argument('--commit', default=None, help='the commit whose code made them; default: HEAD')
    a = p.parse_args()
    for network in NETWORKS.values() if a.networks else ():
        keep_network(a.networks, network, a.commit or head())
    if a.trainings:
        save_trainings(load_trainings(a.trainings))
        print(f'{a.trainings} → {KEPT / "trainings.json"}')


if __name__ == '__main__':
    main()
