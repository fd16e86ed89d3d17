"""Widgets in JupyterLab and Notebook 7, in a real browser, with a kernel

What a reader does, and what crosses the line meanwhile.
"""

import re, time

import nbformat, numpy as np, pytest

from lab import ROOT, Lab

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def lab(browser, tmp_path_factory):
    l = Lab(tmp_path_factory.mktemp('lab'), browser)
    yield l
    l.close()


@pytest.fixture(scope='module')
def notebook7(browser, tmp_path_factory):
    pytest.importorskip('notebook', minversion='7')
    l = Lab(tmp_path_factory.mktemp('notebook7'), browser, app='notebook')
    yield l
    l.close()


SETUP = """from interpvid.all import *
from interpvid.masks.oracle import EventOracle
clips = make_clips(4, 3, progress=False)
oracle = EventOracle(to_batch(clips.frames[1:2]), clips.event[1])
event = ''.join('01'[int(v)] for v in clips.event[1])"""
TELL = "''.join('01'[int(v)] for v in painter.mask), painter.scrubber.reply['masks']"


def marks(w):
    return ''.join('01'[m.get_attribute('aria-checked') == 'true'] for m in w.get_by_role('switch').all())


def frame(w):
    return int(w.get_by_role('slider', name='frame', exact=True).input_value())


def said(w):
    return dict(
        w.locator('.scores tr').evaluate_all(
            "rows => rows.map(r => [(r.querySelector('small') || r.querySelector('th')).textContent, "
            "r.querySelector('td').textContent])"
        )
    )


def note(w):
    return w.get_by_role('status').inner_text()


def answered(nb, w):
    w.locator('.scores:not(.wait)').wait_for(timeout=20_000)


def wait(nb, f, seconds=20):
    end = time.time() + seconds
    while not f():
        assert time.time() < end, 'waited in vain'
        nb.page.wait_for_timeout(100)


def stroke(nb, w, a, b):
    "Press on mark `a`, drag to mark `b`, let go"
    at = [w.get_by_role('switch').nth(i).bounding_box() for i in (a, b)]
    mid = lambda r: (r['x'] + r['width'] / 2, r['y'] + r['height'] / 2)
    nb.page.mouse.move(*mid(at[0]))
    nb.page.mouse.down()
    nb.page.mouse.move(*mid(at[1]), steps=7)
    nb.page.mouse.up()


def scrub_all(nb, w):
    "Every frame by the keyboard, by the buttons, by the slider, and by playing"
    s = w.get_by_role('slider', name='frame', exact=True)
    T = int(s.get_attribute('max')) + 1
    w.get_by_role('group').first.focus()
    nb.page.keyboard.press('Home')
    seen = [frame(w)]
    for _ in range(T - 1):
        nb.page.keyboard.press('ArrowRight')
        seen.append(frame(w))
    assert seen == list(range(T))
    for _ in range(3):
        w.get_by_role('button', name='Back').click()
    for _ in range(2):
        w.get_by_role('button', name='Next').click()
    assert frame(w) == T - 2
    box = s.bounding_box()
    nb.page.mouse.move(box['x'] + 8, box['y'] + box['height'] / 2)
    nb.page.mouse.down()
    nb.page.mouse.move(box['x'] + box['width'] - 2, box['y'] + box['height'] / 2, steps=T)
    nb.page.mouse.up()
    assert frame(w) == T - 1
    w.get_by_role('button', name='Play').click()
    nb.page.wait_for_timeout(1200)
    w.get_by_role('button', name='Pause').click()
    assert frame(w) not in (T - 1,)
    nb.page.wait_for_timeout(300)


def scroll_to(nb, w):
    "JupyterLab takes cells that are far from what is seen out of the page: scroll from the top until this one is there"
    size = nb.page.viewport_size
    nb.page.mouse.move(size['width'] / 2, size['height'] / 2)
    nb.page.mouse.wheel(0, -1_000_000)
    for _ in range(200):
        nb.page.wait_for_timeout(150)
        if w.count():
            return w.scroll_into_view_if_needed()
        nb.page.mouse.wheel(0, 300)
    raise AssertionError(f'{nb.name}: no cell has this widget')


@pytest.mark.parametrize('app', ['lab', 'notebook7'])
def test_tutorial(app, request):
    "The quickstart, as it is: run, scrubbed, painted, learned"
    lab = request.getfixturevalue(app)
    nb = lab.copy(ROOT / 'nbs' / 'tutorials' / 'quickstart.ipynb')
    nb.run(300)
    w = nb.page.locator('.jp-CodeCell', has=nb.page.get_by_role('button', name='Best window')).first
    scroll_to(nb, w)
    answered(nb, w)
    n = len(nb.sent)
    scrub_all(nb, w)
    assert len(nb.sent) == n, 'scrubbing asked the kernel'
    before, mask = said(w), marks(w)
    w.get_by_role('button', name='Reset').click()
    w.get_by_role('switch').first.wait_for()
    stroke(nb, w, 2, 12)
    answered(nb, w)
    assert marks(w) != mask
    assert said(w)['loss'] != before['loss']
    assert said(w)['OS'] == before['OS']
    painted = marks(w)
    k = next(
        i
        for i, c in enumerate(nb.page.locator('.jp-CodeCell').all())
        if c.locator('.cm-content').inner_text().strip().endswith('painter.mask')
    )
    assert ''.join(re.findall(r'[01](?=\.)', nb.rerun(k))) == painted, 'the next cell reads what was painted'
    by_hand = float(said(w)['loss'])
    w.get_by_role('button', name='Learn').click()
    wait(nb, lambda: w.get_by_role('button', name='Learn').is_enabled() and "'Learn'" in note(w), 60)
    answered(nb, w)
    assert float(said(w)['loss']) <= by_hand
    w.get_by_role('button', name='Best window').click()
    wait(
        nb,
        lambda: (
            w.get_by_role('button', name='Stop').count() == 0
            and w.get_by_role('button', name='Best window').is_enabled()
        ),
        60,
    )
    nb.page.wait_for_timeout(500)
    answered(nb, w)
    assert float(said(w)['loss']) <= by_hand + 0.001, 'what was painted is one of the windows'
    assert not nb.errors, nb.errors
    nb.close()


def test_painting_is_answered(lab):
    nb = lab.make('paint', SETUP, 'painter = Painter(oracle, clips.frames[1], stats=STATS)\npainter', TELL, 'event')
    nb.run()
    w = nb.cell(1)
    event = nb.cell(3).locator('.jp-OutputArea-output').inner_text().strip("' \n")
    a, b = event.index('1'), event.rindex('1')
    answered(nb, w)
    free = said(w)
    assert float(free['OS']) == float(free['FS']) == float(free['RS']) > 0.9
    n = len(nb.sent)
    scrub_all(nb, w)
    assert len(nb.sent) == n
    stroke(nb, w, a, b)
    answered(nb, w)
    assert marks(w) == event
    assert float(said(w)['FS']) < 0.1
    assert len(nb.sent) > n
    assert nb.rerun(2) == f"('{event}', '{event}')"
    # by the keyboard alone
    w.get_by_role('switch').nth(b).focus()
    nb.page.keyboard.press('Enter')
    nb.page.keyboard.press('ArrowRight')
    nb.page.keyboard.press(' ')
    expect = event[:b] + '0' + '1' + event[b + 2 :]
    answered(nb, w)
    assert marks(w) == expect
    assert nb.rerun(2) == f"('{expect}', '{expect}')"
    # many strokes at once: the last word is the last mask's
    for i in range(6):
        stroke(nb, w, i, 15 - i)
    wait(nb, lambda: nb.rerun(2) == f"('{marks(w)}', '{marks(w)}')")
    answered(nb, w)
    for name, least in ('Best window', True), ('Learn', True), ('Reset', False):
        w.get_by_role('button', name=name).click()
        wait(
            nb,
            lambda: (
                w.get_by_role('button', name=name).is_enabled() and w.get_by_role('button', name='Stop').count() == 0
            ),
        )
        nb.page.wait_for_timeout(500)
        answered(nb, w)
        assert (float(said(w)['FS']) < 0.1) == least, name
    assert marks(w) == '0' * 16
    # the reversed clip in the same column
    w.get_by_role('combobox', name='what the mask does').select_option('reversed')
    stroke(nb, w, 0, 15)
    nb.page.keyboard.press('Home')
    same = w.evaluate("""e => {
        const d = [...e.querySelectorAll('*')].find(n => n.shadowRoot?.querySelector('canvas'))
        const c = [...d.shadowRoot.querySelectorAll('canvas')], s = d.shadowRoot.querySelector('[name=frame]')
        const at = (k, t) => { s.value = t; s.dispatchEvent(new Event('input'))
            return c[k].getContext('2d').getImageData(0,0,64,64).data.join() }
        return [...Array(16).keys()].every(t => at(1, t)==at(0, 15-t)) }""")
    assert same and not nb.errors, nb.errors
    nb.close()


def test_values_set_from_a_cell_are_shown(lab):
    nb = lab.make(
        'set',
        SETUP,
        'painter = Painter(oracle, clips.frames[1], stats=STATS)\npainter',
        'painter.mask = clips.event[1]; painter.scrubber.frame = 5; print(event)',
    )
    nb.run()
    w = nb.cell(1)
    event = nb.cell(2).locator('.jp-OutputArea-output').inner_text().strip()
    wait(nb, lambda: marks(w) == event and frame(w) == 5)
    answered(nb, w)
    assert float(said(w)['FS']) < 0.1
    nb.close()


FAILS = """from torch import nn
class Breaks(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner,self.classes,self.broken,self.slow = inner,inner.classes,False,0.
    def forward(self, x):
        import time; time.sleep(self.slow)
        if self.broken: raise RuntimeError('out of order')
        return self.inner(x)
net = Breaks(oracle)
painter = Painter(net, clips.frames[1], preset='released-pytorch', stats=STATS)
painter"""


def test_what_goes_wrong_is_said_and_the_widget_stays_usable(lab):
    nb = lab.make('wrong', SETUP, FAILS, 'net.broken = True', 'net.broken = False', 'net.slow = .05', 'net.slow = 0.')
    nb.run()
    w = nb.cell(1)
    say = w.get_by_role('status')
    nb.rerun(2)
    stroke(nb, w, 3, 4)
    wait(nb, lambda: 'out of order' in say.inner_text())
    w.get_by_role('button', name='Learn').click()
    wait(nb, lambda: "'Learn' ended" in say.inner_text())
    assert marks(w) == '0001100000000000'
    nb.rerun(3)
    stroke(nb, w, 5, 5)
    answered(nb, w)
    wait(nb, lambda: not say.inner_text())
    nb.rerun(4)
    w.get_by_role('button', name='Learn').click()
    stop = w.get_by_role('button', name='Stop')
    stop.wait_for()
    nb.page.wait_for_timeout(400)
    assert w.get_by_role('button', name='Best window').is_disabled()
    stop.click()
    wait(nb, lambda: 'was stopped' in say.inner_text())
    assert marks(w) == '0001110000000000'
    nb.rerun(5)
    nb.restart()
    wait(nb, lambda: 'kernel is gone' in say.inner_text())
    n = frame(w)
    w.get_by_role('button', name='Next').click()
    assert frame(w) == n + 1
    stroke(nb, w, 10, 10)
    assert marks(w) == '0001110000100000'
    nb.run()
    answered(nb, nb.cell(1))
    assert marks(nb.cell(1)) == '0' * 16
    assert not nb.cell(1).get_by_role('status').inner_text()
    nb.close()


SET = """import torch
torch.manual_seed(0)
a,b = (CLSTM(12, 64, stride=(4,1,1), shared_norm=False).eval() for _ in range(2))
def explained(net, name, n):
    return explain(net, clips.frames[:n], labels=clips.labels[:n], classes=SYNTHETIC_CLASSES, name=name, iterations=2,
                   stats=STATS)
es = explained(a, 'A', 3)+explained(b, 'B', 2)
b = Browser(es)
b"""


def test_browsing_a_set(lab):
    nb = lab.make('browse', SETUP, SET, 'b.explanation', 'es[0]')
    nb.run()
    w = nb.cell(1)
    w.locator('canvas').first.wait_for()
    pick = lambda name: w.locator('.widget-dropdown', has=nb.page.get_by_text(name, exact=True)).locator('select')
    options = lambda: [o.replace('\xa0', ' ') for o in w.locator('.widget-select select option').all_inner_texts()]
    assert w.locator('canvas').count() == 3
    assert len(options()) == 3
    pick('Beside').select_option('B')
    wait(nb, lambda: w.locator('canvas').count() == 5)
    n = len(nb.sent)
    w.get_by_role('button', name='Next').click()
    nb.page.wait_for_timeout(300)
    assert frame(w) == 1
    assert len(nb.sent) == n
    w.locator('.widget-select select').select_option(index=2)
    wait(nb, lambda: 'no explanation of this clip' in w.inner_text())
    assert w.locator('canvas').count() == 3
    pick('Sort by').select_option('OS')
    wait(nb, lambda: 'OS 0.' in options()[0])
    os = [float(re.search(r'OS ([\d.]+)', o)[1]) for o in options()]
    assert os == sorted(os, reverse=True)
    pick('Class').select_option(index=3)
    wait(nb, lambda: len(options()) == 1)
    pick('Network').select_option('B')
    wait(nb, lambda: 'pick another' in w.inner_text())
    assert not options()
    assert w.locator('canvas').first.is_hidden()
    pick('Class').select_option('all')
    wait(nb, lambda: len(options()) == 2 and w.locator('canvas').first.is_visible())
    # an explanation by itself is a widget too, and its HTML is kept beside it
    assert nb.cell(3).locator('canvas').count() == 3
    kept = nb.save()
    out = kept.cells[3].outputs[0].data
    assert 'application/vnd.jupyter.widget-view+json' in out
    assert 'data:image/svg+xml' in out['text/html']
    browsed = kept.cells[1].outputs[0].data
    assert 'application/vnd.jupyter.widget-view+json' in browsed and 'data:image/svg+xml' in browsed['text/html'], 'D9'
    assert 'widgets' not in kept.metadata
    assert not nb.errors, nb.errors
    nb.close()


def test_an_untrusted_notebook_shows_a_picture_that_moves(lab, tmp_path):
    from interpvid.viz import scrub_html

    t = np.arange(8)[:, None, None, None]
    frames = np.broadcast_to(t * 30, (8, 48, 48, 3)).astype(np.uint8)
    cell = nbformat.v4.new_code_cell(
        '',
        outputs=[
            nbformat.v4.new_output(
                'display_data',
                {'text/html': scrub_html({'grey': frames}, [0, 1] * 4, 'greys', fps=12), 'text/plain': 'greys'},
            )
        ],
    )
    nb = lab.make('untrusted', cell)
    out = nb.cell(0).locator('.jp-OutputArea-output')
    img = out.locator('img')
    assert img.evaluate('i => i.naturalWidth>0 && i.complete')
    assert out.locator('canvas').count() == 0
    assert out.locator('script').count() == 0
    seen = {bytes(img.screenshot()) for _ in range(12)}
    assert len(seen) > 1, 'it stands still'
    nb.close()
