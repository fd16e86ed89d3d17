"Widgets in JupyterLab, in a real browser: how soon something is on screen. Asked for are times, so the baseline is the time asked for."
import functools, statistics, sys, tempfile, time

import frame
from frame import asked

sys.path.insert(0, str(frame.HERE.parent/'tests'))
from lab import Lab

SETUP = """import time, numpy as np, torch
from interpvid.all import *
from interpvid.learner import preset_of
rng = np.random.default_rng(0)
def noise(): return rng.integers(0, 255, (32,28,28,3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
torch.manual_seed(0)
nets = {'I3D':I3D(12, **preset_of('i3d', 'small')['model']).eval(), 'C-LSTM':CLSTM(12, 64, **preset_of('clstm', 'small')['model']).eval()}
clip = make_clips(2, 3, progress=False).frames[1]"""

@functools.cache
def notebook():
    "One notebook for all, open until the benchmarks end"
    from playwright.sync_api import sync_playwright
    import atexit, shutil
    at = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    if not at: raise frame.Missing('no chromium, chromium-browser or google-chrome on PATH')
    p = sync_playwright().start(); b = p.chromium.launch(executable_path=at, args=['--no-sandbox']); d = tempfile.TemporaryDirectory(); lab = Lab(d.name, b)
    atexit.register(lambda: (b.close(), p.stop(), lab.close(), d.cleanup()))
    nb = lab.make('bench', SETUP, "Scrubber({'a':noise(), 'b':noise(), 'c':(noise(), rng.random((32,224,224)))}, px=224)",
                  *(f"Painter(nets['{n}'], clip)" for n in ('I3D','C-LSTM')), 't = time.time(); s = Scrubber({"a":noise(), "b":noise(), "c":(noise(), rng.random((32,224,224)))}, px=224); display(s); print(t)')
    nb.run()
    return nb

HOST = "const hosts = e => [...e.querySelectorAll('*')].map(n => n.shadowRoot).filter(r => r?.querySelector('canvas'));"

@asked('Scrubber, 32 frames × 3 columns of 224×224, from the start of the cell to the picture', ms=1000)
def _():
    nb = notebook()
    def f():
        c = nb.cell(4); c.locator('.jp-InputArea-editor').first.click(); nb.page.keyboard.press('Escape')
        c.evaluate("e => { for (const o of e.querySelectorAll('.jp-OutputArea-child')) o.remove() }") # so that the old one is not taken for the new
        seen = nb.page.evaluate_handle("e => ({then: (async () => {" + HOST + """ for (;;) { await new Promise(requestAnimationFrame)
            const cs = hosts(e).flatMap(r => [...r.querySelectorAll('canvas')]); if (cs.length==3 && cs.every(c => c.getContext('2d').getImageData(5,5,1,1).data[3])) return Date.now() } })()}).then ? 0 : 0""", c.element_handle()) if False else None
        return _shown(nb, c)
    return f

def _shown(nb, c):
    "Milliseconds from the first line of the cell to three drawn canvases, by the one clock of this machine"
    nb.page.evaluate("e => {" + HOST + """ window.shown = (async () => { for (;;) { await new Promise(requestAnimationFrame)
        const cs = hosts(e).flatMap(r => [...r.querySelectorAll('canvas')]); if (cs.length==3 && cs.every(c => c.getContext('2d').getImageData(5,5,1,1).data[3])) return Date.now() } })() }""", c.element_handle())
    nb.page.keyboard.press('Control+Enter')
    end = nb.page.evaluate('() => window.shown'); nb.page.wait_for_timeout(300)
    return end-1000*float(c.locator('.jp-OutputArea-output').last.inner_text())
