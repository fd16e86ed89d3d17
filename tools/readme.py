"""Makes README.md from nbs/index.ipynb: `make readme`.

With --picture also the animation at its top, from the results of `make reproduce`. nbdev's own command for this needs
Quarto; this one needs nbconvert only. Cells marked `#| hide` stay out.
"""

import re, sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]


def check_output(output, name):
    "Raise SystemExit for an image, which README.md cannot hold"
    if any(kind.startswith('image/') for kind in output.get('data', {})):
        raise SystemExit(f"{name}: a cell's output is an image; README.md cannot hold it: link a file in nbs/images")


def readme(index=ROOT / 'nbs' / 'index.ipynb') -> str:
    "The text of README.md"
    nb = nbformat.read(index, 4)
    nb.metadata['language_info'] = {'name': 'python'}  # colours the code
    nb.cells = [c for c in nb.cells if not re.search(r'^#\|\s*(hide|default_exp)', c.source, re.M)]
    for cell in nb.cells:
        cell.source = re.sub(r'^#\|.*\n', '', cell.source, flags=re.M)
        for output in cell.get('outputs', ()):
            check_output(output, index.name)
            if 'data' in output:
                output.data.pop('text/html', None)  # plain text reads better in a README
    text, _ = MarkdownExporter().from_notebook_node(nb)
    text = re.sub(r'(\]\(|src=")images/', r'\1nbs/images/', text)  # the README stands one folder higher
    text = re.sub(r'\]\(([\w./]+\.ipynb)', r'](nbs/\1', text)
    return re.sub(r'\n{3,}', '\n\n', text).strip() + '\n'


def picture(out=ROOT / 'nbs' / 'images' / 'explained.gif'):
    "One clip explained by both networks, moving: the first of its class in which both masks work"
    import torch

    from interpvid.data.synthetic import RIGHT
    from interpvid.explanation import clip_of
    from interpvid.gradients import integrated_gradients, softened
    from interpvid.pages import figure_columns
    from interpvid.paper.experiment import Experiment, explain_pairs, load_networks
    from interpvid.paper.page import mask_worth
    from interpvid.video import write_video

    exp = Experiment('something', False, ROOT / 'results')
    pushes = (es for _, es in explain_pairs(exp) if es[0].label == RIGHT)
    es = next(es for es in pushes if not any(map(mask_worth, es)))
    nets, draw = load_networks(exp), softened(integrated_gradients)
    maps = [draw(nets[e.model], clip_of(e), torch.tensor([e.target]))[0] for e in es]
    write_video(out, figure_columns(*(e.with_map(m, 'gradients') for e, m in zip(es, maps)), px=94), fps=5)


if __name__ == '__main__':
    if '--picture' in sys.argv:
        picture()
    (ROOT / 'README.md').write_text(readme(), encoding='utf-8')
    print('nbs/index.ipynb → README.md')
