"""Plots that notebooks store, as PNGs of at most 64 colours: `python tools/smaller.py [notebook …]`.

A plot has few colours, so it looks the same and takes about a third. Run it after `nbdev-test --save`."""

import base64, io, json, sys
from pathlib import Path

from PIL import Image

COLOURS = 64


def smaller(png):
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


def shrink(path):
    "Rewrite one notebook; returns the bytes saved"
    text = path.read_text(encoding='utf-8')
    nb = json.loads(text)
    for cell in nb['cells']:
        for output in cell.get('outputs', []):
            data = output.get('data', {})
            if 'image/png' in data:
                png = data['image/png']
                data['image/png'] = smaller(''.join(png) if isinstance(png, list) else png)
    new = json.dumps(nb, sort_keys=True, indent=1, ensure_ascii=False) + '\n'
    if len(new) < len(text):
        path.write_text(new, encoding='utf-8')
    return max(0, len(text) - len(new))


if __name__ == '__main__':
    root = Path(__file__).resolve().parent.parent / 'nbs'
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(root.rglob('*.ipynb')):
        if saved := shrink(path):
            print(f'{path.name}: {saved // 1000} kB less')
