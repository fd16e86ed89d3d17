"""Makes what notebooks store smaller, and looks the same: `python tools/smaller.py [notebook …]`, after
`nbdev-test --save`; `make notebook NB=nbs/x.ipynb` does both.

Plots become PNGs of at most 64 colours, a third of the size. Tables of pandas lose the indentation of their HTML and
the style that is repeated in each, also a third, and their second form, plain text, which is shown nowhere but in
README.md. The script of a scrubber stays in the first output that has it; further ones wait for that one. What was said
of how long the run would take is dropped: it is about this machine at that minute."""

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


SCRIPT = r'/\*(iv[0-9a-f]{8})\*/.*?/\*\1\*/'  # see viz.kept_script
WAIT = (
    'let scrubber;for(let n=0;n<300&&!(scrubber=window.{0});n++)'
    'await new Promise(f=>setTimeout(f,100));if(scrubber)'
)


def without_copies(html, seen):
    "HTML without the scripts that an output before it, named in `seen`, has"

    def kept(match):
        if match[1] in seen:
            return WAIT.format(match[1])
        seen.add(match[1])
        return match[0]

    return re.sub(SCRIPT, kept, html, flags=re.S)


FORECAST = r'about [^\n]*(?:seconds?|minutes?|hours?|days?) for [^\n]*\n?'  # see device.Forecast


def without_forecasts(outputs):
    "Outputs without what stderr says of the time to come"
    for o in outputs:
        if o.get('name') == 'stderr':
            o['text'] = re.sub(FORECAST, '', ''.join(o['text'])).splitlines(True)
    return [o for o in outputs if o.get('name') != 'stderr' or o['text']]


SMALLER = {'image/png': smaller_png, 'text/html': smaller_table}


def shrink(path):
    "Rewrite one notebook; returns the bytes saved"
    text = path.read_text(encoding='utf-8')
    nb, seen = json.loads(text), set()
    for cell in nb['cells']:
        if 'outputs' in cell:
            cell['outputs'] = without_forecasts(cell['outputs'])
        for output in cell.get('outputs', []):
            data = output.get('data', {})
            for kind in SMALLER.keys() & data.keys():
                new = SMALLER[kind](''.join(data[kind]))
                if kind == 'text/html':
                    new = without_copies(new, seen)
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
