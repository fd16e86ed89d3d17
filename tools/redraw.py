"""Draws the scrubbers in stored outputs anew, by the package's present script and style: `python tools/redraw.py
[notebook …]`, after a change of `interpvid/static`.

What they show stays: frames, masks, curves and scores are taken from the output, so that no network runs. A notebook
whose numbers change has to be run instead."""

import base64, json, re, sys
from pathlib import Path
from urllib.parse import unquote

from smaller import shrink

from interpvid.viz import ScrubParts, parts_html, scrub_js, static, style_sheet

DRAWN = re.compile(r'<div class="iv" id="iv\w+".*?</script></div>', re.S)
SHEET = re.compile(r'data:image/jpeg;base64,([\w+/=]+)')
SPEC = re.compile(r'scrubber\.start\(d,|<script type="application/json">')
# in galleries and films, which bring the script once for all their scrubbers
SCRIPTS = {r'function scrubber\(host.*?\nscrubber\.style=[^\n]*\n': scrub_js}
for name, scope in ('gallery', '.ivg'), ('film', '.ivf'):
    SCRIPTS[rf'function {name}\(host.*?(?=for\(const d of)'] = lambda name=name: static(f'{name}.js')
    SCRIPTS[rf'(?<=<style>)\{scope} \{{ --.*?(?=</style>)'] = lambda name=name, scope=scope: style_sheet(
        f'{name}.css', scope
    )


def parts_of(drawn):
    "Sheet and spec of a scrubber that `parts_html` made"
    found = SPEC.search(drawn)
    spec, _ = json.JSONDecoder().raw_decode(drawn, found.end())
    sheet = base64.b64decode(SHEET.search(unquote(drawn))[1])
    return ScrubParts(sheet, spec), found[0].startswith('scrubber')


def redrawn(html):
    "The same output by the present script"

    def anew(match):
        parts, script = parts_of(match[0])
        return parts_html(parts, script=script)

    for pattern, text in SCRIPTS.items():
        html = re.sub(pattern, lambda match, text=text: text(), html, flags=re.S)
    return DRAWN.sub(anew, html)


def redraw(path):
    "Rewrite one notebook; returns whether it changed"
    text = path.read_text(encoding='utf-8')
    nb = json.loads(text)
    for cell in nb['cells']:
        for output in cell.get('outputs', []):
            data = output.get('data', {})
            html = ''.join(data.get('text/html', ''))
            if 'class="iv"' in html:
                new = redrawn(html)
                data['text/html'] = new.splitlines(True) if isinstance(data['text/html'], list) else new
    path.write_text(json.dumps(nb, sort_keys=True, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    shrink(path)
    return path.read_text(encoding='utf-8') != text


if __name__ == '__main__':
    root = Path(__file__).resolve().parent.parent / 'nbs'
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(root.rglob('*.ipynb')):
        if redraw(path):
            print(path)
