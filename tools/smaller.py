"""Makes what notebooks store smaller, and looks the same: `python tools/smaller.py [notebook …]`, after
`nbdev-test --save`; `make notebook NB=nbs/x.ipynb` does both.

Plots become PNGs of at most 64 colours, a third of the size. Tables of pandas lose the indentation of their HTML and
the style that is repeated in each, also a third, and their second form, plain text, which is shown nowhere but in
README.md."""

import base64, io, json, re, sys
from pathlib import Path

from PIL import Image

COLOURS = 64
TABLE = 'class="dataframe' # of pandas


def smaller_png(png):
    "The picture with few colours, in base64; as it was where that saves less than a fifth"
    picture = Image.open(io.BytesIO(base64.b64decode(png)))
    if picture.mode == 'P':
        return png
    # the fast octree keeps transparency
    few_colours = picture.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    out = io.BytesIO()
    few_colours.save(out, 'png', optimize=True)
    few = base64.b64encode(out.getvalue()).decode()
    return few + '\n' * png.endswith('\n') if len(few) < 0.8 * len(png) else png


def smaller_table(html):
    "A table of pandas, a row a line; other HTML as it is"
    if TABLE not in html:
        return html
    html = re.sub(r'<style scoped>.*?</style>\s*', '', html, flags=re.S)
    html = re.sub(r'>\s*\n\s*<', '><', html)
    return re.sub(r'(?<=</tr>)(?=<)', '\n', html)


SMALLER = {'image/png': smaller_png, 'text/html': smaller_table}


def shrink(path):
    "Rewrite one notebook; returns the bytes saved"
    text = path.read_text(encoding='utf-8')
    nb = json.loads(text)
    for cell in nb['cells']:
        for output in cell.get('outputs', []):
            data = output.get('data', {})
            for kind in SMALLER.keys() & data.keys():
                new = SMALLER[kind](''.join(data[kind]))
                data[kind] = new.splitlines(True) if isinstance(data[kind], list) else new
            if TABLE in ''.join(data.get('text/html', '')) and path.name != 'index.ipynb':
                data.pop('text/plain', None)
    after = json.dumps(nb, sort_keys=True, indent=1, ensure_ascii=False) + '\n'
    if len(after) < len(text):
        path.write_text(after, encoding='utf-8')
    return max(0, len(text) - len(after))


if __name__ == '__main__':
    root = Path(__file__).resolve().parent.parent / 'nbs'
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(root.rglob('*.ipynb')):
        if saved := shrink(path):
            print(f'{path.name}: {saved // 1000} kB less')
