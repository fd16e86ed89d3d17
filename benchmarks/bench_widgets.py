"Widgets in JupyterLab, in a real browser: what a reader waits for. All times are of this one machine's clock."

import atexit, functools, sys, tempfile

import frame
from frame import asked

sys.path.insert(0, str(frame.HERE.parent / 'tests'))
from lab import Lab, chromium

SETUP = """import time, numpy as np, torch
from interpvid.all import *
from interpvid.learner import preset_of
rng = np.random.default_rng(0)
def noise(): return rng.integers(0, 255, (32,28,28,3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
cols,cam = {n: noise() for n in 'ab'},rng.random((32,224,224))
torch.manual_seed(0)
nets = {'I3D':I3D(12, **preset_of('i3d', 'small')['model']).eval(),
        'C-LSTM':CLSTM(12, 64, **preset_of('clstm', 'small')['model']).eval()}
for net in nets.values(): net.stats = STATS
clip = make_clips(2, 3, progress=False).frames[1]"""
SHOW = """t = time.time()
s = Scrubber({**cols, 'heat':(cols['a'], cam)}, px=224)
display(s)
print(t)"""

# what a cell shows, and one pixel of each of its columns; shadow roots hide both from selectors
PAGE = """() => {
    const shadows = e => [...e.querySelectorAll('*')].map(n => n.shadowRoot)
    window.root = e => shadows(e).find(r => r?.querySelector('canvas'))
    const pixel = c => c.getContext('2d').getImageData(5, 5, 1, 1).data.join()
    window.pixels = r => [...r.querySelectorAll('canvas')].map(pixel)
    window.until = async f => { for (;;) { await new Promise(requestAnimationFrame); const v = f(); if (v) return v } }
}"""

# resolves when the cell shows another picture than before, fully drawn
SHOWN = """e => {
    const old = root(e)
    const drawn = r => r.querySelectorAll('canvas').length==3 && pixels(r).every(p => !p.endsWith(',0'))
    window.shown = until(() => { const r = root(e); return r && r!=old && drawn(r) && Date.now() })
}"""

# milliseconds a frame, over two seconds of playing
FRAME_TIME = """async e => {
    const o = root(e).querySelector('output')
    await new Promise(d => setTimeout(d, 300))
    let n = 0
    const m = new MutationObserver(() => n++), t = performance.now()
    m.observe(o, {childList: true})
    await new Promise(d => setTimeout(d, 2000))
    m.disconnect()
    return (performance.now()-t)/n
}"""


@functools.cache
def notebook():
    "One notebook for all, open until the benchmarks end"
    from playwright.sync_api import sync_playwright

    at = chromium()
    if not at:
        raise frame.Missing('no chromium, chromium-browser or google-chrome on PATH')
    p = sync_playwright().start()
    b = p.chromium.launch(executable_path=at, args=['--no-sandbox'])
    d = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    lab = Lab(d.name, b, threads=2)
    atexit.register(lambda: (b.close(), p.stop(), lab.close(), d.cleanup()))
    nb = lab.make('bench', SETUP, SHOW, *(f"Painter(nets['{n}'], clip)" for n in ('I3D', 'C-LSTM')))
    nb.run()
    nb.page.evaluate(PAGE)
    return nb


@asked('Scrubber: 32 frames × 3 columns of 224×224, from the first line of the cell to the picture', ms=1000)
def _():
    nb = notebook()
    c = nb.cell(1)

    def f():
        c.locator('.jp-InputArea-editor').first.click()
        nb.page.evaluate(SHOWN, c.element_handle())
        nb.page.keyboard.press('Control+Enter')
        end = nb.page.evaluate('() => window.shown')
        nb.page.wait_for_timeout(500)
        return end - 1000 * float(c.locator('.jp-OutputArea-output pre').last.inner_text())

    return f


@asked('Scrubber: playing at 60 frames a second, time of a frame', ms=1000 / 60)
def _():
    nb = notebook()
    c = nb.cell(1)
    c.scroll_into_view_if_needed()
    c.get_by_role('combobox', name='speed').select_option('60')

    def f():
        c.get_by_role('button', name='Play').click()
        ms = nb.page.evaluate(FRAME_TIME, c.element_handle())
        c.get_by_role('button', name='Pause').click()
        return ms

    return f


# of a press on a mark: when the frozen column has changed, and when the scores are those of the new mask
PRESS = """e => {
    const r = root(e), last = [...r.querySelectorAll('canvas')].at(-1)
    const sum = () => {
        const d = last.getContext('2d').getImageData(0, 0, last.width, last.height).data
        let s = 0
        for (let i = 0; i<d.length; i++) s = (s*31+d[i])|0
        return s
    }
    const before = sum()
    window.pressed = new Promise(done => r.addEventListener('pointerdown', async p => {
        const drawn = until(() => sum()!=before && performance.now())
        const scored = until(() => !r.querySelector('.scores.wait') && performance.now())
        done([await drawn-p.timeStamp, await scored-p.timeStamp])
    }, {capture: true, once: true}))
}"""


def press(nb, c, i):
    "Press on the mark of frame `i`, which switches it: milliseconds to the picture and to the scores"
    c.scroll_into_view_if_needed()
    c.locator('.scores:not(.wait)').wait_for()
    c.get_by_role('slider', name='frame', exact=True).fill(str(i))
    nb.page.evaluate(PRESS, c.element_handle())
    c.get_by_role('switch').nth(i).click()
    return nb.page.evaluate('() => window.pressed')


for k, n in enumerate(('I3D', 'C-LSTM')):
    for j, (what, ms) in enumerate({'the picture': 50, 'the scores': 300}.items()):

        @asked(f'Painter on {n}, 16×64×64: from a press on the mask to {what}', ms=ms)
        def _(k=k, j=j):
            nb = notebook()
            c = nb.cell(2 + k)

            def f():
                return press(nb, c, 8)[j]

            return f
