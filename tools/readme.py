"""Makes README.md from nbs/index.ipynb: `make readme`. With --picture also the moving picture at its top, from what `make reproduce` made.

nbdev's own command for this needs Quarto; this one needs nbconvert only. Cells marked `#| hide` stay out.
"""

import re, sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]


def readme(index=ROOT / 'nbs' / 'index.ipynb') -> str:
    "The text of README.md"
    nb = nbformat.read(index, 4)
    nb.metadata['language_info'] = {'name': 'python'}  # colours the code
    nb.cells = [c for c in nb.cells if not re.search(r'^#\|\s*(hide|default_exp)', c.source, re.M)]
    for c in nb.cells:
        c.source = re.sub(r'^#\|.*\n', '', c.source, flags=re.M)
        for o in c.get('outputs', ()):
            if any(k.startswith('image/') for k in o.get('data', {})):
                raise SystemExit(
                    f"{index.name}: a cell's output is a picture, which README.md cannot hold; link a file in nbs/images instead"
                )
            if 'data' in o:
                o.data.pop('text/html', None)  # plain text reads better in a README
    text, _ = MarkdownExporter().from_notebook_node(nb)
    text = re.sub(r'(\]\(|src=")images/', r'\1nbs/images/', text)  # the README stands one folder higher
    text = re.sub(r'\]\(([\w./]+\.ipynb)', r'](nbs/\1', text)
    return re.sub(r'\n{3,}', '\n\n', text).strip() + '\n'


def picture(out=ROOT / 'nbs' / 'images' / 'explained.gif'):
    "One clip explained by both networks, moving"
    from interpvid.data.synthetic import RIGHT
    from interpvid.pages import figure_columns
    from interpvid.paper.experiment import Experiment, explain_pairs
    from interpvid.video import write_video

    es = next(es for _, es in explain_pairs(Experiment('something', False, ROOT / 'results')) if es[0].label == RIGHT)
    write_video(out, figure_columns(*es, px=96), fps=5)


if __name__ == '__main__':
    if '--picture' in sys.argv:
        picture()
    (ROOT / 'README.md').write_text(readme(), encoding='utf-8')
    print('nbs/index.ipynb → README.md')
