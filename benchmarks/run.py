"""Runs the benchmarks (`bench_*.py` beside this file) and prints their table.

make bench                    # all
make bench ARGS='-k freeze'   # those whose name contains 'freeze'
"""

import argparse, importlib, sys
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent))
import frame


def main():
    p = argparse.ArgumentParser('make bench', description=__doc__.splitlines()[0])
    p.add_argument('-k', default='', metavar='TEXT', help='only benchmarks whose name contains TEXT')
    p.add_argument('--list', action='store_true', help='say which there are and stop')
    a = p.parse_args()
    for f in sorted(frame.HERE.glob('bench_*.py')):
        importlib.import_module(f.stem)
    todo = [b for b in frame.ALL if a.k in b.name]
    if not todo:
        sys.exit(f"no benchmark's name contains {a.k!r}; there are: {'; '.join(b.name for b in frame.ALL)}")
    if a.list:
        print(*(f'{b.name}  against  {b.against}' for b in todo), sep='\n')
        return
    rows = []
    for b in tqdm(todo, desc='benchmarks', leave=False):
        try:
            rows.append(frame.measure(b))
        except frame.Missing as e:
            print(f'{b.name}: not measured, {e}', file=sys.stderr)
    if not rows:
        sys.exit('nothing was measured')
    frame.write(rows)
    print(rows[0]['machine'], rows[0]['date'], sep=', ')
    print(frame.table(rows))


if __name__ == '__main__':
    main()
