"The scrubber in a browser, with scripts and without; the mask painter; the widgets in Python."

import contextlib, itertools, json, re, shutil, subprocess, sys, threading, time
from urllib.parse import unquote
from xml.dom import minidom

import cv2, numpy as np, pytest, torch, traitlets as tr
from hypothesis import example, given, settings, strategies as st
from torch import nn

from interpvid import viz
from interpvid.core import STATS, to_batch
from interpvid.explanation import Explanation, beside, explain, frames_to_show
from interpvid.gallery import gallery_html, write_gallery
from interpvid.masks.learn import learn_masks
from interpvid.masks.perturb import freeze, reverse
from interpvid.masks.scores import SCORES, perturbed_word
from interpvid.masks.search import all_masks, search_windows
from interpvid.pages import explanation_pairs
from interpvid.timeline import MOTION, SHAPLEY, motion_energy, timeline_parts, with_timeline
from interpvid.video import write_video
from interpvid.viz import jpeg, kept_script, overlay, parts_html, scrub_html, scrub_js, scrub_parts, scrub_svg
from interpvid.widgets import Browser, Painter, Scrubber, as_parts, widget_js
from lab import ROOT
from screens import measured

sys.path.insert(0, str(ROOT / 'tools'))
from redraw import redrawn
from smaller import without_copies

T = 8
MASK = np.array([0, 1, 1, 0, 1, 0, 0, 1], np.float32)


def flat(T=T, h=16, w=16, col=0):
    """Frames of one colour each: red and green say the frame's number, blue the column.

    Nine colours a channel are 28 apart: an error of up to 13 is told from another frame; JPEG's is 3"""
    n = np.arange(T)
    c = np.stack([n % 9 * 28 + 14, n // 9 * 28 + 14, np.full(T, col * 28 + 14)], 1).astype(np.uint8)
    return np.broadcast_to(c[:, None, None], (T, h, w, 3)).copy()


def said(rgb):
    "(number, column) that a colour says"
    r, g, b = (int(v) // 28 for v in rgb[:3])
    return r + 9 * g, b


@contextlib.contextmanager
def opened(browser, tmp_path, *htmls, scheme='light', **kwargs):
    "A page that holds `htmls`; nothing may go wrong on it, and nothing be asked of the outside"
    path, wrong = tmp_path / 'page.html', []
    body = ''.join(f'<div>{h}</div>' for h in htmls)
    path.write_text(
        '<!doctype html><meta charset=utf-8><meta name=viewport content="width=device-width">'
        f'<meta name=color-scheme content="light dark"><title>t</title>{body}',
        encoding='utf-8',
    )
    with browser.new_context(**{'viewport': dict(width=1000, height=800), 'color_scheme': scheme, **kwargs}) as c:
        page = c.new_page()
        page.on('console', lambda m: wrong.append(m.text) if m.type == 'error' else None)
        page.on('pageerror', lambda e: wrong.append(e.message))
        page.on(
            'request',
            lambda r: (
                wrong.append(f'asks for {r.url[:80]}')
                if r.url.split(':')[0] not in ('data', 'blob') and r.url != path.as_uri()
                else None
            ),
        )
        page.goto(path.as_uri())
        if kwargs.get('java_script_enabled', True):
            page.evaluate(HELPERS)
        yield page
        assert not wrong, wrong


HELPERS = '''() => {
  const all = (r, css) => [...r.querySelectorAll(css)]
  const middle = c => [...c.getContext('2d').getImageData(c.width>>1, c.height>>1, 1, 1).data]
  const marked = m => [...m.children].flatMap((e, i) => e.classList.contains('here') ? [i] : [])
  window.roots = () => all(document, '*').map(e => e.shadowRoot).filter(r => r?.querySelector('canvas'))
  window.pixels = r => all(r, 'canvas').map(middle)
  window.state = i => {
    const r = roots()[i], f = r.querySelector('[name=frame]'), text = css => r.querySelector(css).textContent
    return {pixels: pixels(r), value: +f.value, text: f.ariaValueText, out: text('output'),
      play: r.querySelector('.play').ariaLabel, here: all(r, '.marks').map(marked)}
  }
}'''


def ready(page, n=1):
    page.wait_for_function('n => roots().length==n', arg=n)


def at(page, i=0):
    "The frame that scrubber `i` is at; all its parts have to agree"
    s = page.evaluate('i => state(i)', i)
    k = s['value']
    assert [said(p) for p in s['pixels']] == [(k, c) for c in range(len(s['pixels']))], s
    assert (
        s['out'].startswith(f'{k + 1}/')
        and s['text'].startswith(f'frame {k + 1} of ')
        and all(h == [k] for h in s['here'])
    ), s
    return k


def shot(page, of):
    "A screenshot of a locator, RGB"
    return cv2.imdecode(np.frombuffer(of.screenshot(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.fixture(scope='module')
def clip():
    return {'a': flat(), 'b': flat(col=1)}


# --- in a browser


def test_buttons_slider_and_marks_lead_to_the_frame(browser, tmp_path, clip):
    with opened(browser, tmp_path, scrub_html(clip, {'one': MASK, 'two': 1 - MASK})) as page:
        ready(page)
        press = lambda name: page.get_by_role('button', name=name).click()
        assert at(page) == 0
        for name, k in ('Next', 1), ('Next', 2), ('Back', 1), ('Back', 0), ('Back', 7), ('Next', 0):
            press(name)
            assert at(page) == k
        page.get_by_role('slider', name='frame').fill('5')
        assert at(page) == 5
        for k in 2, 7, 0:
            page.locator('.marks').nth(1).locator('i').nth(k).click()
            assert at(page) == k
        on = page.locator('.marks').evaluate_all(
            'ms => ms.map(m => [...m.children].map(e => +e.classList.contains("on")))'
        )
        assert on == [MASK.tolist(), (1 - MASK).tolist()]
        assert 'one off, two on' in page.evaluate('state(0).text')


FOCUS = [
    'group:t',
    'button:Play',
    'button:Back',
    'button:Next',
    'button:Loop',
    'combobox:speed',
    'slider:frame',
    'slider:opacity of the heat map',
    'checkbox:motion energy',
]


def focus(page, name):
    role, name = name.split(':')
    page.locator('.box').focus() if role == 'group' else page.get_by_role(role, name=name).focus()


def test_keys_work_from_everywhere_and_are_stolen_from_nobody(browser, tmp_path):
    with opened(browser, tmp_path, scrub_html({'a': (flat(), np.zeros((T, 16, 16)))}, MASK, title='t')) as page:
        ready(page)
        key = page.keyboard.press
        for f in FOCUS:
            focus(page, f)
            n = at(page)
            if f in ('combobox:speed', 'slider:opacity of the heat map'):  # their own arrows, Home and End
                before = page.evaluate('[roots()[0].activeElement.value, state(0).play]')
                for k in 'ArrowRight', 'Home', 'End':
                    key(k)
                    assert at(page) == n, (f, k)
                assert page.evaluate('roots()[0].activeElement.value') != before[0]
            else:
                for k, to in ('End', 7), ('ArrowRight', 0), ('ArrowLeft', 7), ('Home', 0), ('ArrowRight', 1):
                    key(k)
                    assert at(page) == to, (f, k)
        focus(page, 'button:Loop')
        loops = lambda: page.get_by_role('button', name='Loop').get_attribute('aria-pressed')
        key('Space')
        assert loops() == 'false'
        assert page.evaluate('state(0).play') == 'Play'
        key('Space')  # a clip that loops does not stop by itself between two keys, however slow the machine
        assert loops() == 'true'
        focus(page, 'checkbox:motion energy')
        key('Space')
        assert page.get_by_role('checkbox').is_checked() and page.evaluate('state(0).play') == 'Play'
        for f in 'group:t', 'slider:frame':
            focus(page, f)
            key('Space')
            assert page.evaluate('state(0).play') == 'Pause', f
            key('Space')
            assert page.evaluate('state(0).play') == 'Play', f
        focus(page, 'button:Next')
        n = at(page)
        key('Space')
        assert at(page) == (n + 1) % T
        assert page.evaluate('state(0).play') == 'Play'
        focus(page, 'group:t')
        n = at(page)
        key('Control+ArrowRight')
        assert at(page) == n


def test_focus_order_names_and_roles(browser, tmp_path):
    with opened(
        browser,
        tmp_path,
        scrub_html(
            {'a': (flat(), np.zeros((T, 16, 16))), 'b': flat()},
            {'row': MASK},
            title='t',
            scores=[('OS', 0.5, 'of the class')],
        ),
    ) as page:
        ready(page)
        for f in FOCUS:
            page.keyboard.press('Tab')
            assert page.evaluate(
                'e => roots()[0].activeElement===e',
                page.locator('.box').element_handle()
                if f == 'group:t'
                else page.get_by_role(f.split(':')[0], name=f.split(':')[1]).element_handle(),
            ), f
            assert page.evaluate('getComputedStyle(roots()[0].activeElement).outlineStyle') == 'solid', (
                f'{f}: the focus cannot be seen'
            )
        tree = page.locator('.box').aria_snapshot()
        for line in (
            'img "a"',
            'img "b"',
            f'img "row, 1 is on: {"".join(str(int(m)) for m in MASK)}"',
            'rowheader "of the class OS"',
            'cell "0.500"',
            'meter "OS"',
        ):
            assert line in tree, tree
        assert not re.findall(r'- (?:button|slider|combobox|checkbox|img|meter)(?![^\n]*")', tree), (
            f'without a name: {tree}'
        )


def frames_in(page, ms):
    "How many frames `ms` of the page's clock move it on"
    a = at(page)
    page.clock.run_for(ms)
    return (at(page) - a) % 64


def test_play_keeps_its_pace_loops_and_stops(browser, tmp_path):
    with opened(browser, tmp_path, '') as page:
        page.clock.install()
        page.clock.pause_at(page.evaluate('Date.now()') + 1000)
        page.set_content(scrub_html({'a': flat(64)}, fps=5))
        page.evaluate(HELPERS)
        page.clock.run_for(100)
        ready(page)
        play = page.locator('.play')
        play.click()
        for fps in 5, 1, 12, 60, 24:  # with the page's own clock, to a frame
            page.get_by_role('combobox').select_option(str(fps))
            page.clock.run_for(50)
            assert abs(frames_in(page, 1000) - fps) <= 1, fps
        page.evaluate(
            '() => { window.steps = 0; const f = requestAnimationFrame; '
            'window.requestAnimationFrame = g => { steps++; return f(g) } }'
        )
        for _ in range(3):
            play.dblclick()
        assert abs(frames_in(page, 1000) - 24) <= 1 and page.evaluate('steps') < 80, (
            'one chain of steps, of 60 a second'
        )
        page.clock.run_for(3000)
        assert play.get_attribute('aria-label') == 'Pause'
        play.click()
        assert frames_in(page, 1000) == 0, 'plays on after Pause'
        page.get_by_role('button', name='Loop').click()
        play.click()
        page.clock.run_for(4000)
        assert at(page) == 63
        assert play.get_attribute('aria-label') == 'Play'
        play.click()
        assert at(page) == 0
        page.clock.run_for(1000)
        assert abs(at(page) - 24) <= 1, 'Play at the end starts from the beginning'
        page.clock.run_for(4000)
        assert at(page) == 63


def test_scrubbers_on_one_page_are_independent(browser, tmp_path, clip):
    same, other = scrub_html(clip, MASK), scrub_html({'a': flat()}, title='other')
    with opened(browser, tmp_path, same, same, other) as page:
        ready(page, 3)
        for i, k in (0, 3), (1, 5), (2, 6):
            page.locator('[name=frame]').nth(i).fill(str(k))
        assert [at(page, i) for i in range(3)] == [3, 5, 6]
        page.locator('.play').nth(1).click()
        page.wait_for_function('state(1).value!=5')
        assert [page.evaluate(f'state({i}).play') for i in range(3)] == ['Play', 'Pause', 'Play']
        assert at(page, 0) == 3
        assert at(page, 2) == 6


def shades(T, h, w, seed):
    "Smooth frames, which JPEG codes well"
    return np.stack(
        [
            cv2.resize(f, (w, h), interpolation=cv2.INTER_CUBIC)
            for f in np.random.default_rng(seed).integers(0, 256, (T, 3, 4, 3)).astype(np.uint8)
        ]
    )


def test_heat_lies_over_frames_as_overlay_draws_it(browser, tmp_path):
    f = shades(3, 48, 64, 0)
    cam = shades(3, 48, 64, 1)[..., 0] / 255.0
    cam[0, 0, 0] = np.nan  # no heat there
    with opened(browser, tmp_path, scrub_html({'a': (f, cam), 'plain': f}, quality=95)) as page:
        ready(page)

        def off(k, want):  # mean and largest error of the canvas, of 255; JPEG at quality 95 stays well below 4 and 40
            got = np.array(
                page.evaluate(
                    '() => { const c = roots()[0].querySelector("canvas"); '
                    'return [...c.getContext("2d").getImageData(0, 0, c.width, c.height).data] }'
                )
            ).reshape(48, 64, 4)[..., :3]
            d = abs(got - want[k].astype(int))
            return d.mean(), d.max()

        heat = page.get_by_role('slider', name='opacity of the heat map')
        for k in range(3):
            page.locator('[name=frame]').fill(str(k))
            for alpha in 0.6, 0, 1:
                heat.fill(str(alpha))
                mean, most = off(k, overlay(f, cam, alpha))
                assert mean < 4 and most < 40, (k, alpha, mean, most)
        heat.fill('0')
        assert off(2, f)[0] < 4 < off(2, overlay(f, cam, 0.6))[0]


NASTY = (
    'a"b\'c & </script><script>window.pwned=1</script><img src=x onerror="window.pwned=1">',
    '😀 \u2028 ]]> <!--',
    'W' * 300,
    'ctrl \x00\x0b\ud800 end',
    '',
)
SIZES = dict(
    wide=(4, 40, 500),
    tall=(4, 500, 40),
    big=(3, 500, 500),
    one=(1, 16, 16),
    two=(2, 16, 16),
    many=(65, 20, 16),
    pixel=(8, 1, 1),
    line=(8, 1, 500),
    post=(8, 500, 1),
)


@pytest.mark.parametrize('scripts', [True, False])
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_odd_clips_fit_on_a_phone(browser, tmp_path, scripts, scheme):
    clips = {n: {'a': flat(*s), 'b': flat(*s, col=1)} for n, s in SIZES.items()}
    pages = [
        scrub_html(c, rows(len(c['a'])), title=n)
        for (n, c), rows in zip(
            clips.items(),
            itertools.cycle(
                [lambda T: np.arange(T) % 2, lambda T: None, lambda T: {'x': np.ones(T), 'y': np.arange(T) / T}]
            ),
        )
    ]
    pages.append(scrub_html({f'column {i}': flat(col=i) for i in range(9)}, np.arange(T) % 2, title='nine columns'))
    pages += [scrub_html({'a': flat(), 'b': flat(col=1)}, MASK, title=f'px={px}', px=px) for px in (1, 16, 500)]
    with opened(
        browser, tmp_path, *pages, viewport=dict(width=390, height=800), scheme=scheme, java_script_enabled=scripts
    ) as page:
        if not scripts:
            wide = {
                im.get_attribute('alt')[:12]: b['x'] + b['width']
                for im in page.locator('img').all()
                for b in [im.bounding_box()]
                if not (b['x'] + b['width'] <= 390 and min(b['width'], b['height']) >= 1)
            }
        else:
            ready(page, len(pages))
            for i, s in enumerate(SIZES.values()):
                page.locator('[name=frame]').nth(i).fill(str(s[0] - 1))
                assert at(page, i) == s[0] - 1
                ratio = (
                    page.locator('.cols').nth(i).locator('canvas').first.evaluate('c => c.clientWidth/c.clientHeight')
                )
                assert abs(ratio / (s[2] / s[1]) - 1) < 0.1 or 1 in s[1:], (s, ratio)
            wide = page.evaluate(
                """() => {
                  const sticks_out = e => { const b = e.getBoundingClientRect()
                    return e.checkVisibility()
                      && (b.right>390.5 || e.matches("canvas") && !(b.width>0 && b.height>0)) }
                  return roots().flatMap(r => [...r.querySelectorAll("*")].filter(sticks_out)
                    .map(e => `${r.querySelector("b")?.textContent}: ${e.outerHTML.slice(0,60)}`))
                }"""
            )
        assert not wide, wide


@pytest.mark.parametrize('scripts', [True, False])
def test_names_are_text_whatever_they_say(browser, tmp_path, scripts):
    shown = [n.replace('\0', '\ufffd').replace('\x0b', '\ufffd').replace('\ud800', '\ufffd') for n in NASTY]
    cols = {n: flat(col=i) for i, n in enumerate(NASTY)}
    page_of = [
        scrub_html(cols, {n: MASK for n in NASTY}, title=n or 't', caption=n, scores=[(n, n, n), (n, 0.5)])
        for n in NASTY
    ]
    with opened(browser, tmp_path, *page_of, viewport=dict(width=390, height=800), java_script_enabled=scripts) as page:
        if scripts:
            ready(page, len(page_of))
            assert not page.evaluate('window.pwned')
            page.evaluate(
                'document.querySelectorAll(".iv").forEach(e => e.removeAttribute("style"))'
            )  # where a widget stands there is none
            got = page.evaluate(
                'roots().map(r => [[...r.querySelectorAll("figcaption")].map(e => e.textContent), '
                'r.querySelector(".box > b").textContent, r.querySelector("th").textContent])'
            )
            assert got == [[shown, s or 't', f'{s} {s}' if s else ''] for s in shown]
            assert page.evaluate('document.documentElement.scrollWidth') <= 390
            for r in page.evaluate('roots().map(r => [...r.querySelectorAll("canvas")].map(c => c.clientWidth))'):
                assert max(r) - min(r) <= 1, 'columns of one width, whatever their names'
            assert (
                min(page.evaluate('roots().flatMap(r => [...r.querySelectorAll(".marks")].map(m => m.clientWidth))'))
                > 200
            ), 'room for the marks'
        else:
            assert page.locator('div.iv').count() == page.locator('div.iv img').count() == len(NASTY)
            for b in page.locator('div.iv *').all():
                if b.is_visible() and (box := b.bounding_box()):
                    assert box['x'] + box['width'] <= 390, b.inner_text()[:20]


def contrast(a, b):
    "Of two colours, as WCAG counts it"
    light = lambda c: np.dot(
        [0.2126, 0.7152, 0.0722],
        [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in np.asarray(c[:3], float) / 255],
    )
    a, b = sorted((light(a), light(b)), reverse=True)
    return (a + 0.05) / (b + 0.05)


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_text_and_marks_stand_out(browser, tmp_path, scheme):
    with opened(
        browser,
        tmp_path,
        scrub_html({'a': flat()}, {'row': MASK}, 'title', 'caption', scores=[('OS', 0.5)]),
        scheme=scheme,
    ) as page:
        ready(page)
        page.keyboard.press('End')
        img = shot(page, page.locator('html'))
        back = img[-5, -5]
        assert (back.mean() > 200) == (scheme == 'light')
        found = measured(page)
        assert not found['faint'] and found['texts'] > 8, found
        page.locator('[name=frame]').fill('7')
        img = shot(page, page.locator('html'))
        for i, e in enumerate(page.locator('.marks i').all()):
            b = e.bounding_box()
            x, y = int(b['x'] + b['width'] / 2), int(b['y'] + b['height'] / 2)
            assert contrast(img[y, x], back) >= 3, i
            beside = x + 3 if i == 7 else x  # the cursor's line stands in the middle
            assert (abs(img[y - 4, x - 4].astype(int) - img[y, beside]).max() < 20) == bool(MASK[i]), (
                'on is square, off is round'
            )  # the second cue
        line, row = page.locator('.cursor i').bounding_box(), page.locator('.marks').bounding_box()
        here = [t for t in range(T) if abs(row['x'] + (t + 0.5) * row['width'] / T - line['x'] - 1) < 1]
        assert here == [7], 'one line for all rows, at the current frame'
        assert contrast(img[int(row['y'] + row['height']) - 1, int(line['x'] + 1)], back) >= 3


CURVES = {'Shapley values': [0.4, -0.2, 0, 0.1, 0.1, 0, 0, -0.1], 'motion energy': [0, 0.1, 0.2, 0.3, 0, 0, 0, 0]}


def test_one_cursor_over_masks_and_curves(browser, tmp_path):
    "Masks and curves of all kinds at once; each leads to its frames; what they are worth is written and read out"
    with opened(browser, tmp_path, scrub_html({'a': flat()}, {'one': MASK, 'two': 1 - MASK}, curves=CURVES)) as page:
        ready(page)
        assert page.locator('.name').all_inner_texts() == ['one', 'two', 'Shapley values 0.40', 'motion energy 0.00']
        assert not page.get_by_role('checkbox').count(), 'what is carried need not be asked for'
        assert page.locator('.cursor').count() == 1
        page.locator('[name=frame]').fill('1')
        assert page.evaluate('state(0).text').endswith('one on, two off, Shapley values −0.20, motion energy 0.10')
        assert page.get_by_role('img', name='Shapley values, frame by frame: 0.40, −0.20').count() == 1
        below = page.locator('.curve').first.evaluate(
            "c => [...c.querySelectorAll('rect:not(.zero)')]"
            ".map(r => [r.getAttribute('class'), +r.getAttribute('height') > 0])"
        )
        assert below == [['minus' if v < 0 else 'plus', v != 0] for v in CURVES['Shapley values']]
        tracks = page.locator('.ruler, .marks, .curve').all()
        boxes = [b.bounding_box() for b in tracks]
        assert len(tracks) == 5 and all(abs(b[k] - boxes[0][k]) < 1 for b in boxes for k in ('x', 'width'))
        for n, t in enumerate((3, 6, 0, 7, 2)):  # each line leads to the frame under the pointer
            b = boxes[n]
            page.mouse.click(b['x'] + (t + 0.5) * b['width'] / T, b['y'] + b['height'] / 2)
            assert at(page) == t, n
        page.mouse.move(boxes[3]['x'] + 5, boxes[3]['y'] + 9)
        page.mouse.down()
        page.mouse.move(boxes[3]['x'] + boxes[3]['width'] - 2, boxes[3]['y'] + 9, steps=4)
        page.mouse.up()
        assert at(page) == T - 1, 'dragged along a curve'


def test_motion_energy_is_computed_on_request_alone(browser, tmp_path):
    clip = clip_of(h=24)
    with opened(browser, tmp_path, scrub_html({'a': clip}, MASK, quality=95)) as page:
        ready(page)
        page.evaluate(
            '() => { window.asked = 0; const f = CanvasRenderingContext2D.prototype.getImageData; '
            'CanvasRenderingContext2D.prototype.getImageData = function (...a) { asked++; return f.apply(this, a) } }'
        )
        page.locator('[name=frame]').fill('3')
        assert not page.locator('.curve').count() and page.evaluate('asked') == 0
        page.get_by_role('checkbox', name='motion energy').check()
        said = page.locator('.curve').get_attribute('aria-label').partition(': ')[2]
        assert np.abs(np.array(said.split(', '), float) - motion_energy(clip)).max() < 0.02
        assert page.locator('.name').all_inner_texts()[0] == 'mask', 'a row that stands alone needs no name'
        assert page.evaluate('state(0).value') == 3
        page.get_by_role('checkbox', name='motion energy').uncheck()
        assert not page.locator('.curve').count()


def test_scores_say_what_they_mean(browser, tmp_path):
    p = painter(classes=['still', 'moving'])
    with opened(browser, tmp_path, p.html) as page:
        ready(page)
        rows = page.locator('.scores tr').all_inner_texts()
        FS, other = p.scores['FS'], p.classes[1 - int(p.target)]
        assert 'with these frames frozen FS\n' in rows[1] and f'{FS:.3f}' in rows[1]
        word = 'second best' if FS >= 0.5 else 'predicted'
        assert f'{word}: {other} {1 - FS:.3f}' in rows[1]
        assert 'with the clip as it is OS' in rows[0]


# --- where no script runs


def seen(page, parts):
    "The numbers that the columns of the moving picture show, and the frame that its last row marks"
    s = parts.spec
    w, h = s['show']
    n = len(s['cols'])
    img = shot(page, page.locator('img')).astype(int)
    left = 60 if any(r['name'] for r in s['rows']) else 0
    d = (n * (w + 4) - 4 - left) / s['T']
    y = h + 29 + 22 * (len(s['rows']) - 1)
    back = img[-1, -1]
    here = [t for t in range(s['T']) if abs(img[y - 5, round(left + 1 + t * d)] - back).max() > 60]
    marks = [[img[h + 29 + 22 * k, int(left + (t + 0.5) * d)] for t in range(s['T'])] for k in range(len(s['rows']))]
    return (
        [said(img[h // 2, i * (w + 4) + w // 2]) for i in range(n)],
        here,
        [[bool(m[0] > m[1]) for m in row] for row in marks],
    )


@pytest.fixture(scope='module')
def calm(browser):
    "A Chromium whose reader wants less motion everywhere: playwright's `reduced_motion` does not reach into pictures"
    at = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))))
    b = browser.browser_type.launch(executable_path=at, args=['--no-sandbox', '--force-prefers-reduced-motion'])
    yield b
    b.close()


@pytest.mark.parametrize('who', ['browser', 'calm'])
def test_the_picture_moves_unless_less_motion_is_wanted(request, tmp_path, clip, who):
    parts = scrub_parts(clip, {'one': MASK, 'two': 1 - MASK}, fps=10)
    moves, at = who != 'calm', set()
    with opened(request.getfixturevalue(who), tmp_path, parts_html(parts), java_script_enabled=False) as page:
        box = page.locator('img').bounding_box()
        assert (box['width'], box['height']) == (2 * 160 + 4, 160 + 19 + 44)
        for _ in range(6):
            cols, here, marks = seen(page, parts)
            k = cols[0][0]
            assert cols == [(k, 0), (k, 1)]
            assert here == [k]
            assert marks == [(MASK > 0.5).tolist(), (MASK < 0.5).tolist()]
            at.add(k)
            page.wait_for_timeout(130)
    assert len(at) > 2 if moves else at == {0}


def test_with_scripts_nothing_moves_by_itself(browser, tmp_path, clip):
    for motion in 'no-preference', 'reduce':
        with opened(browser, tmp_path, scrub_html(clip, MASK, fps=30), reduced_motion=motion) as page:
            ready(page)
            page.wait_for_timeout(200)
            assert at(page) == 0
            page.locator('.play').click()
            page.wait_for_function('state(0).value>1')  # on demand it plays all the same


def test_the_picture_shows_heat(browser, tmp_path):
    f = np.full((2, 32, 32, 3), 100, np.uint8)
    parts = scrub_parts({'a': (f, np.ones((2, 32, 32)))}, heat=0.5)
    with opened(browser, tmp_path, parts_html(parts), java_script_enabled=False) as page:
        assert (
            abs(
                shot(page, page.locator('img'))[80, 80].astype(int) - overlay(f, np.ones((2, 32, 32)), 0.5)[0, 16, 16]
            ).max()
            <= 4
        )


def legal(text):
    "What XML may hold of a text: other characters are shown as \ufffd"
    return ''.join(c if c >= ' ' and not '\ud800' <= c <= '\udfff' else '\ufffd' for c in text)


@pytest.mark.parametrize('T', [1, 2, 65, 200])
def test_the_picture_is_well_formed(T):
    parts = scrub_parts(
        {n: flat(T % 81, 4, 4) if T < 81 else np.zeros((T, 4, 4, 3), np.uint8) for n in NASTY},
        {n: np.zeros(T) for n in NASTY},
        px=1,
    )
    for s in scrub_svg(parts), unquote(re.search(r'src="data:image/svg\+xml,([^"]*)"', parts_html(parts))[1]):
        svg = minidom.parseString(s.encode())
        assert {t.firstChild.data for t in svg.getElementsByTagName('text') if t.firstChild} == {
            legal(n) for n in NASTY if n
        }
        for e in svg.getElementsByTagName('*'):
            for a in 'width', 'height', 'r':
                assert float(e.getAttribute(a) or 1) > 0, e.toxml()[:200]


def test_what_is_left_without_scripts_passes_a_sanitizer():
    "JupyterLab's lets these elements through, and pictures from data addresses"
    page = re.sub(
        r'<script>.*</script>',
        '',
        scrub_html({n: flat() for n in NASTY}, MASK, NASTY[0], NASTY[0], scores=[(NASTY[0], NASTY[0])]),
        flags=re.S,
    )
    tags = re.findall(r'<(\w+)([^>]*)>', page)
    assert {t for t, _ in tags} == {'div', 'b', 'br', 'img'}
    assert {a for t, rest in tags for a in re.findall(r'([\w-]+)=["\']', re.sub(r'"[^"]*"', '""', rest))} == {
        'class',
        'id',
        'style',
        'alt',
        'src',
    }
    assert 'javascript:' not in page


def test_stored_scrubbers_are_drawn_by_the_present_script():
    "The first output of a notebook brings the script, further ones wait for it"
    now = re.match(r'/\*(iv\w+)\*/', kept_script())[1]
    seen = 0
    for path in sorted((ROOT / 'nbs').rglob('*.ipynb')):
        text = path.read_text(encoding='utf-8')
        names = set(re.findall(r'window\.(iv[0-9a-f]{8})\b', text))
        assert names <= {now}, f'{path.name} holds scrubbers of another script: python tools/redraw.py {path}'
        assert text.count(f'window.{now}=scrubber') == len(names), f'{path.name}: python tools/smaller.py {path}'
        seen += len(names)
    assert seen > 5


def test_a_stored_scrubber_is_drawn_anew_without_its_notebook(clip):
    html = scrub_html(clip, MASK, 'title', scores=[('OS', 0.5, 'of the class')], curves={'c': MASK})
    old = html.replace(kept_script(), 'function scrubber(host) { old }\nscrubber.style=""\n')
    assert len(old) < len(html) and redrawn(f'<p>before</p>{old}<p>after</p>') == f'<p>before</p>{html}<p>after</p>'
    parts = scrub_parts(clip, MASK)
    assert redrawn(parts_html(parts, script=False)) == parts_html(parts, script=False)


def test_copies_of_the_script_wait_for_the_first(browser, tmp_path, clip):
    "As in a stored notebook; also where the copy comes before the script"
    seen = set()
    one, two = (without_copies(scrub_html({n: f}, MASK), seen) for n, f in clip.items())
    assert 'function scrubber' in one and 'function scrubber' not in two and len(two) < len(one) / 2
    for order in (one, two), (two, one):
        with opened(browser, tmp_path, *order) as page:
            ready(page, 2)
            page.get_by_role('button', name='Next').nth(1).click()
            assert page.evaluate('[state(0).value, state(1).value]') == [0, 1]


# --- painting

SETUP = '''async ([spec, src]) => { const i = new Image(); i.src = src; await i.decode()
    window.painted = []; window.moved = []; document.body.replaceChildren(document.createElement('div'))
    const on = {painted: (k, m) => painted.push([k, [...m]]), moved: t => moved.push(t)}
    window.s = scrubber(document.body.firstChild, on); s.show(spec, i) }'''


@contextlib.contextmanager
def painting(browser, tmp_path, mask=None, fps=6, **kwargs):
    "A page with a scrubber to paint on, as `Painter` makes it"
    p = scrub_parts({'original': flat(), 'frozen': flat()}, np.zeros(T) if mask is None else mask, fps=fps)
    p.spec['cols'][1] |= dict(by='freeze', mask=0)
    p.spec['rows'][0]['paint'] = True
    with opened(browser, tmp_path, f'<script>{scrub_js()}</script>', **kwargs) as page:
        page.evaluate(SETUP, [p.spec, 'data:image/jpeg;base64,' + viz.base64.b64encode(p.sheet).decode()])
        boxes = [e.bounding_box() for e in page.locator('.paint > *').all()]
        page.spot = lambda i: (boxes[0]['x'] + (i + 0.5) * boxes[0]['width'], boxes[0]['y'] + boxes[0]['height'] / 2)
        yield page


def painted(page):
    "The mask that the row shows; it has to be what was told last"
    m = page.evaluate('[...roots()[0].querySelector(".paint").children].map(e => +e.classList.contains("on"))')
    told = page.evaluate('painted')
    assert not told or told[-1] == [0, m], (told, m)
    return ''.join(map(str, m))


def press(page, *spots, button='left'):
    "Press at the first of `spots`, drag to the others, let go"
    page.mouse.move(*page.spot(spots[0]))
    page.mouse.down(button=button)
    for i in spots[1:]:
        page.mouse.move(*page.spot(i))
    page.mouse.up(button=button)


def test_every_mask_does_in_the_browser_what_it_does_in_python(browser, tmp_path):
    masks = all_masks(T)
    m = torch.from_numpy(masks)
    soft = np.random.default_rng(0).random((20, T)).astype(np.float32).round(2)
    with painting(browser, tmp_path) as page:
        look = '''([masks, by]) => {
            const r = roots()[0], pick = r.querySelector('figcaption select')
            pick.value = by; pick.dispatchEvent(new Event('change'))
            return masks.map(m => { s.mask(0, m); return m.map((_, t) => { s.go(t); return pixels(r)[1] }) }) }'''
        for by, f in ('freeze', freeze), ('reverse', reverse):
            for ms, want in (masks, f.index(m)), (soft, f.index(torch.from_numpy(soft > 0.5).float())):
                got = [[said(p)[0] for p in row] for row in page.evaluate(look, [ms.tolist(), by])]
                assert got == want.tolist(), by
        assert page.evaluate('painted') == []  # what comes from outside is not told back


def test_click_and_drag_paint(browser, tmp_path):
    for spots, mask, n in (
        ([3], '00010000', 1),
        ([1, 5], '01111100', 5),
        ([5, 1], '01111100', 5),
        ([2, 3, 4, 3, 2], '00111000', 3),
        ([2, 99], '00111111', 6),
        ([5, -99], '11111100', 6),
        ([0, 99, -99], '1' * 8, 8),
    ):
        with painting(browser, tmp_path) as page:
            press(page, *spots)
            assert painted(page) == mask, spots
            told = page.evaluate('painted')
            assert [sum(m) for _, m in told] == list(range(1, n + 1)), 'told once for each change'
            page.mouse.move(*page.spot(7))
            assert painted(page) == mask, 'paints on after it was let go'
    with painting(browser, tmp_path, np.ones(T)) as page:  # starting from what is on, it switches off
        press(page, 6, 2)
        assert painted(page) == '11000001'
        press(page, 0, button='right')
        assert painted(page) == '11000001'
        press(page, 2, 7)
        assert painted(page) == '11111111'


def test_a_drag_while_it_plays_paints_where_the_pointer_was(browser, tmp_path):
    with painting(browser, tmp_path, fps=12) as page:
        page.locator('.play').click()
        page.mouse.move(*page.spot(2))
        page.mouse.down()
        for i, t in (3, 6), (4, 7):
            page.wait_for_function(f'state(0).value=={t}')
            page.mouse.move(*page.spot(i))
        page.mouse.up()
        assert painted(page) == '00111000'


def test_a_stroke_ends_where_the_line_is_taken_away(browser, tmp_path):
    "A notebook may hide a cell under the pointer; a line without width has no frame under it"
    with painting(browser, tmp_path) as page:
        page.mouse.move(*page.spot(2))
        page.mouse.down()
        told = page.evaluate(
            """() => {
                const r = roots()[0], line = r.querySelector('.marks.paint')
                r.host.style.display = 'none'
                line.onpointermove(new PointerEvent('pointermove', {clientX: 0, clientY: 0}))
                r.host.style.display = ''
                return painted.length }"""
        )
        assert told < T + 2, 'paints without end'
        page.evaluate("""() => roots()[0].querySelector('.marks.paint').onlostpointercapture()""")
        before = painted(page)
        page.mouse.move(*page.spot(6))
        assert painted(page) == before, 'paints on after the line was gone'
        page.mouse.up()


def test_the_picture_follows_within_the_press(browser, tmp_path):
    with painting(browser, tmp_path) as page:
        page.evaluate('() => document.addEventListener("pointerdown", () => { window.then = pixels(roots()[0]) })')
        press(page, 4)
        assert [said(p)[0] for p in page.evaluate('then')] == [4, 3]
        assert page.evaluate('painted.length') == 1
        assert page.evaluate('moved.at(-1)') == 4


def test_fingers_paint(browser, tmp_path):
    with painting(browser, tmp_path, has_touch=True, viewport=dict(width=390, height=800)) as page:
        page.touchscreen.tap(*page.spot(6))
        assert painted(page) == '00000010'
        cdp = page.context.new_cdp_session(page)
        touch = lambda kind, *p: cdp.send(
            'Input.dispatchTouchEvent', dict(type=kind, touchPoints=[dict(x=x, y=y) for x, y in p])
        )
        touch('touchStart', page.spot(1))
        for i in 2, 3, 4:
            touch('touchMove', page.spot(i))
        touch('touchEnd')
        assert painted(page) == '01111010'
        assert page.evaluate('scrollX+scrollY') == 0


def test_the_keyboard_paints(browser, tmp_path):
    with painting(browser, tmp_path) as page:
        key = page.keyboard.press
        where = lambda: page.evaluate(
            '[...roots()[0].querySelector(".paint").children].indexOf(roots()[0].activeElement)'
        )
        while where() < 0:
            key('Tab')
        assert where() == 0
        key('ArrowRight')
        key('ArrowRight')
        assert where() == 2
        key('Enter')
        assert painted(page) == '00100000'
        key('ArrowRight')
        key('Space')
        assert painted(page) == '00110000'
        assert page.evaluate('painted.length') == 2
        key('Space')
        key('End')
        key('Enter')
        assert painted(page) == '00100001'
        assert where() == 7
        key('ArrowRight')
        assert where() == 0
        assert page.evaluate('state(0).play') == 'Play', 'space on a mark does not play'
        key('Tab')
        assert page.evaluate('roots()[0].activeElement.name') == 'motion', 'the row is one stop'
        on = page.get_by_role('switch', name='frame 3', exact=True)
        assert on.get_attribute('aria-checked') == 'true'
        on.evaluate('e => e.click()')
        assert painted(page) == '00000001' and page.evaluate('state(0).value') == 2, "a screen reader's click"
        tree = page.locator('.paint').aria_snapshot()
        assert tree.count('switch "frame ') == T and tree.count('[checked]') == 1, tree


def test_what_is_painted_on_a_soft_mask_is_of_0_and_1(browser, tmp_path):
    with painting(browser, tmp_path, [0, 0.2, 0.5, 0.501, 0.7, 1, 1, 0.9]) as page:
        assert painted(page) == '00011111'
        press(page, 1)
        assert page.evaluate('painted') == [[0, [0, 1, 0, 1, 1, 1, 1, 1]]]
    with painting(browser, tmp_path, [0, 0.2, 0.5, 0.501, 0.7, 1, 1, 0.9]) as page:
        press(page, 4, 5)
        assert page.evaluate('painted.at(-1)') == [0, [0, 0, 0, 1, 0, 0, 1, 1]]


# --- the widget's own script, with a model that stands in for the kernel's

MODEL = '''async ([esm, first]) => {
    const url = URL.createObjectURL(new Blob([esm], {type: 'text/javascript'})), widget = (await import(url)).default
    const bytes = v => new DataView(Uint8Array.from(atob(v.sheet), c => c.charCodeAt(0)).buffer), on = {}
    window.v = {frame: 0, ...first, sheet: bytes(first)}; window.sent = []
    window.model = {get: k => v[k], set: (k, x) => { v[k] = x }, send: m => sent.push(structuredClone(m)),
        save_changes: () => { throw Error('state is not for the browser to save') },
        on: (n, f) => { on[n] = f }, off: n => { delete on[n] }}
    window.tell = (n, ...more) => on[n]?.(...more); window.listening = () => Object.keys(on).length
    window.update = u => { // all at once, then told one by one, as a comm does
        if ('sheet' in u) u.sheet = bytes(u)
        Object.assign(v, u); for (const k in u) tell('change:'+k) }
    const el = document.body.appendChild(document.createElement('div'))
    window.leave = widget.render({model, el}); window.host = el.firstChild.shadowRoot }'''


def stroke(w, masks, version):
    "A request of the browser: what the reader has painted"
    message = dict(method='custom', content=dict(masks=masks, version=version))
    w._handle_msg({'content': {'data': message}, 'buffers': []})  # where ipywidgets hands it over


def state(w):
    "What a widget sends to the browser"
    return dict(sheet=viz.base64.b64encode(w.sheet).decode(), spec=w.spec, state=w.state, reply=w.reply)


@contextlib.contextmanager
def widget(browser, tmp_path, first):
    "A page with the widget's script, for a model that is `first`"
    with opened(browser, tmp_path, '') as page:
        page.clock.install()
        page.evaluate(MODEL, [widget_js(), first])
        page.said = lambda: page.evaluate('host.querySelector(".say").textContent')
        page.shown = lambda: page.evaluate(
            '(s => [s.textContent, s.classList.contains("wait"), host.querySelector(".say").textContent])'
            '(host.querySelector(".scores"))'
        )
        page.mask = lambda: page.evaluate(
            '[...host.querySelector(".paint").children].map(e => +e.classList.contains("on")).join("")'
        )
        page.switch = lambda i: page.get_by_role('switch').nth(i).evaluate('e => e.click()')
        page.update = lambda **u: page.evaluate('u => update(u)', u)
        yield page


def test_the_widget_survives_malformed_clips_and_new_ones(browser, tmp_path, clip):
    one, two = Scrubber(clip, MASK), Scrubber({'a': flat(5), 'b': flat(5, col=1)}, {'x': MASK[:5], 'y': MASK[3:]})
    bad = viz.base64.b64encode(b'no picture').decode()
    with widget(browser, tmp_path, {**state(one), 'sheet': bad}) as page:
        page.wait_for_function('host.querySelector(".say").textContent')
        assert 'could not be drawn' in page.said()
        assert 'again' in page.said()
        page.update(**state(one))
        ready(page)
        assert not page.said()
        assert at(page) == 0
        page.get_by_role('slider', name='frame').fill('7')
        page.update(**state(two))
        page.wait_for_function('state(0).here.length==2')
        assert at(page) == 4, 'the last frame of a shorter clip'
        page.update(**state(one))
        page.wait_for_function('state(0).here.length==1')
        page.update(frame=2)
        assert at(page) == 2
        page.evaluate(
            '() => { const f = createImageBitmap; let n = 0; '
            'window.createImageBitmap = async b => { const late = !n++, i = await f(b); '
            'if (late) await new Promise(r => setTimeout(r, 200)); return i } }'
        )
        page.update(**state(two))
        page.update(**state(one))
        page.clock.run_for(1000)
        page.get_by_role('slider', name='frame').fill('7')
        assert at(page) == 7, 'a picture that comes late is not drawn'
        page.update(frame=2)
        page.update(sheet=bad)
        page.wait_for_function('host.querySelector(".say").textContent')
        page.get_by_role('button', name='Next').click()
        assert at(page) == 3, 'what was there before stays usable'
        page.locator('.play').click()
        page.wait_for_function('state(0).value!=3')
        n = page.evaluate('() => { leave(); return state(0).value }')
        page.clock.run_for(1000)
        assert (
            page.evaluate('state(0).value') == n and page.evaluate('listening()') == 0 and page.evaluate('sent') == []
        ), 'a look asks nothing of the kernel'


def test_the_widget_sends_one_stroke_at_a_time_and_shows_no_stale_reply(browser, tmp_path):
    p = painter()
    with widget(browser, tmp_path, state(p.scrubber)) as page:
        ready(page)
        before, wait, say = page.shown()
        FS = lambda: f"FS{p.looked_at(p.mask)[1]['FS']}{p.scores['FS']:.3f}"
        assert FS() in before
        assert not wait
        assert not say
        for i in 2, 3, 5:
            page.switch(i)
        (one,) = page.evaluate('sent')
        assert one['masks'] == [[0, 0, 1, 0, 0, 0, 0, 0]] and page.mask() == '00110100', (
            'strokes add up while the network looks'
        )
        assert page.shown() == [before, True, ''], 'old scores are greyed, not exchanged'
        page.clock.run_for(3100)
        assert 'busy' in page.said()

        def reply(masks, version):
            stroke(p.scrubber, masks, version)
            page.update(state=p.scrubber.state, reply=p.scrubber.reply)

        reply(**one)
        assert page.shown()[:2] == [before, True] and page.mask() == '00110100', 'what is said of an older stroke'
        _, two = page.evaluate('sent')
        assert two['masks'] == [[0, 0, 1, 1, 0, 1, 0, 0]]
        assert two['version'] > one['version']
        reply(**two)
        assert FS() in page.shown()[0]
        assert page.shown()[1:] == [False, '']
        assert len(page.evaluate('sent')) == 2
        p.mask = [1] + [0] * 7
        page.update(state=p.scrubber.state, reply=p.scrubber.reply)
        assert FS() in page.shown()[0]
        assert page.mask() == '10000000'
        assert not page.shown()[1]
        page.evaluate('tell("comm_live_update")')
        assert 'kernel is gone' in page.said()
        page.switch(4)
        assert page.mask() == '10001000', 'usable without a kernel'


def test_a_stroke_on_the_clip_before_is_past(browser, tmp_path):
    s = Scrubber(flat(), MASK, paint=True, scores=[('FS', 0.1)])
    with widget(browser, tmp_path, state(s)) as page:
        ready(page)
        page.switch(0)
        (late,) = page.evaluate('sent')
        s.show(flat(5), [0, 0, 0, 1, 1], scores=[('FS', 0.2)])
        page.update(**state(s))
        page.wait_for_function('v.spec.T==5 && host.querySelector(".paint").children.length==5')
        assert page.mask() == '00011'
        assert at(page) == 0
        stroke(s, **late)
        page.update(state=s.state, reply=s.reply)
        assert page.mask() == '00011'
        assert 'FS0.200' in page.shown()[0]
        page.switch(0)
        assert page.evaluate('sent.at(-1).masks') == [[1, 0, 0, 1, 1]]
        assert len(page.evaluate('sent')) == 2


def test_a_scorer_that_fails_is_named_and_the_next_request_is_sent(browser, tmp_path):
    s = Scrubber(flat(), np.zeros(T), paint=True, scorer=length_or_error)
    with widget(browser, tmp_path, state(s)) as page:
        ready(page)
        for i, scores, note in (0, '', 'ValueError: one frame is too few'), (1, 'length2', ''), (2, 'length3', ''):
            page.switch(i)
            stroke(s, **page.evaluate('sent.at(-1)'))
            page.update(state=s.state, reply=s.reply)
            assert page.evaluate('sent.length') == i + 1, 'each stroke is sent once the one before is replied to'
            assert page.mask() == '1' * (i + 1) + '0' * (T - i - 1)
            assert note in page.said() and bool(note) == bool(page.said())
            assert page.evaluate('host.querySelector(".scores").textContent').startswith(scores)
            assert page.evaluate('host.querySelector(".scores").hidden') == (not scores)
        page.clock.run_for(3100)
        assert not page.said(), 'nothing is waited for'


# --- in Python


def length_or_error(masks):
    "A scorer that fails on a mask of one frame, with the error that `masks` itself raises when it does not fit"
    n = int(sum(masks[0]))
    if n == 1:
        raise ValueError('one frame is too few')
    return [('length', str(n))], ''


class Net(nn.Module):
    "Class 0 likes what moves; class 1 is the rest. `wrong` is what goes wrong with it"

    stats = STATS

    def __init__(self, wrong=None):
        super().__init__()
        self.w, self.wrong, self.calls = nn.Parameter(torch.ones(1)), wrong, 0

    def forward(self, x):
        self.calls += 1
        if self.wrong:
            return self.wrong(self, x)
        v = x.diff(dim=2).abs().mean((1, 3, 4))
        s = self.w * (v * torch.linspace(1, 2, v.shape[1])).sum(1) * 8 - 3
        return torch.stack([s, -s], 1)


def raises(model, x):
    raise RuntimeError('no such layer')


def is_nan(model, x):
    return torch.full((len(x), 2), torch.nan)


def clip_of(T=T, seed=0, h=8):
    return np.random.default_rng(seed).integers(0, 256, (T, h, h, 3)).astype(np.uint8)


def painter(model=None, clip=None, **kwargs):
    return Painter(model or Net(), clip_of() if clip is None else clip, **kwargs)


def parts_tiles(parts):
    "The tiles of a sheet, one after the other (k,h,w,3)"
    sheet = cv2.imdecode(np.frombuffer(parts.sheet, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    (w, h), (W, H), across = parts.spec['size'], parts.spec['cell'], parts.spec['across']
    corners = [(y, x) for y in range(0, sheet.shape[0], H) for x in range(0, across * W, W)]
    return [sheet[y : y + h, x : x + w] for y, x in corners]


def explanation(seed=0, model='A', label=0, T=T, **kwargs):
    f = clip_of(T, seed)
    m = np.linspace(0, 1, T, dtype=np.float32)
    return Explanation(
        **{
            **dict(
                frames=f,
                mask=m,
                start=m,
                cam=np.full(f.shape[:3], 0.5, np.float16),
                target=0,
                pred=0,
                label=label,
                scores=dict(OS=0.9 - 0.1 * seed, FS=0.2, RS=0.3),
                loss=dict(loss=0.5),
                classes=['x', 'y'],
                model=model,
            ),
            **kwargs,
        }
    )


def strict(spec):
    "As JSON that every reader takes"
    return json.loads(json.dumps(spec, allow_nan=False))


def bad_of():
    f, n = clip_of(), np.nan
    ok = np.zeros(T)
    yield 'float frames', lambda: as_parts(f / 255.0), r"'frames'.*uint8.*float64"
    yield 'no colours', lambda: as_parts({'grey': f[..., 0]}), r"'grey'.*\(T,H,W,3\).*\(8, 8, 8\)"
    yield 'channels first', lambda: as_parts({'c': f.transpose(0, 3, 1, 2)}), r"'c'.*\(T,H,W,3\)"
    yield 'frames without pixels', lambda: as_parts({'thin': f[:, :0]}), "'thin'.*got .8, 0, 8, 3"
    yield 'None', lambda: as_parts({'gone': None}), "'gone'.*got"
    yield 'no columns', lambda: as_parts({}), 'no columns'
    yield 'no frames', lambda: as_parts(f[:0]), 'no frames'
    yield 'lengths', lambda: as_parts({'a': f, 'b': f[1:]}), "differ in length.*'a': 8.*'b': 7"
    yield 'shapes', lambda: as_parts({'a': f, 'b': f[:, 1:]}), "differ in shape.*'b'"
    yield (
        'cam of another shape',
        lambda: as_parts({'a': (f, np.zeros((T, 4, 4)))}),
        r'maps \(8, 4, 4\) do not fit frames',
    )
    yield 'a string', lambda: as_parts('clip.mp4'), r'cannot scrub str.*\(T,H,W,3\)'
    yield 'empty list', lambda: as_parts([]), 'at least one Explanation'
    yield 'mask too short', lambda: as_parts(f, ok[1:]), 'a mask of 7 for 8 frames'
    yield 'mask of two axes', lambda: as_parts(f, np.zeros((T, 2))), "8 numbers"
    yield 'mask that is a number', lambda: as_parts(f, 1), "8 numbers in .0,1., got 1"
    yield 'second mask wrong', lambda: as_parts(f, {'a': ok, 'b': ok - 1}), r"mask 'b'.*\[0,1\]"
    yield 'curve too short', lambda: as_parts(f, curves={'c': [1]}), "curve 'c': 1 numbers for 8 frames"
    yield 'curve with NaN', lambda: as_parts(f, curves={'c': ok + n}), "curve 'c'.*finite"
    yield 'curve that is a number', lambda: as_parts(f, curves={'c': 1}), "curve 'c': 8 numbers, got 1"
    speed = explanation(target='speed')
    yield 'timeline of no class', lambda: with_timeline(Net(), speed), "'speed' is no class.*with_curve"
    for name, v in ('NaN in mask', n), ('mask above', 1.01), ('mask below', -0.01), ('mask infinite', np.inf):
        yield name, lambda v=v: as_parts(f, np.where(np.arange(T) == 3, v, 0)), r'\[0,1\].*outside, or NaN'
    for k, v in (
        ('px', 0),
        ('px', n),
        ('fps', 0),
        ('fps', -1),
        ('fps', np.inf),
        ('fps', n),
        ('heat', 1.5),
        ('heat', n),
        ('quality', 0),
        ('quality', 101),
    ):
        yield f'{k}={v}', lambda k=k, v=v: as_parts(f, **{k: v}), f'{k}={v}: .*between'
    yield 'score None', lambda: as_parts(f, scores=[('OS', None)]), "'OS'.*number or a text"
    yield (
        'explanations of different clips',
        lambda: beside([explanation(0), explanation(1)]),
        'not of one clip.*Browser',
    )
    yield 'explanations of different shapes', lambda: beside([explanation(0), explanation(0, T=5)]), 'not of one clip'
    yield 'no explanations', lambda: Browser([]), 'no explanations'
    yield 'not explanations', lambda: Browser([explanation(), 3]), 'list of Explanation.*int'
    yield 'explanation with a NaN mask', lambda: Scrubber(explanation(mask=ok + n)), 'NaN'
    yield 'Painter: float frames', lambda: painter(clip=f / 255.0), 'uint8'
    yield 'Painter: NaN clip', lambda: painter(clip=torch.full((1, 3, T, 8, 8), n)), 'not finite'
    yield 'Painter: two clips', lambda: painter(clip=torch.zeros(2, 3, T, 8, 8)), 'one clip, got 2'
    yield 'Painter: mask too long', lambda: painter(mask=np.zeros(T + 1)), r'\(9,\).*T=8'
    yield 'Painter: NaN mask', lambda: painter(mask=ok + n), 'NaN'
    for t in 2, -1:
        yield f'Painter: target {t}', lambda t=t: painter(target=t), 'classes run from 0 to 1'
    yield 'Painter: half a class', lambda: painter(target=0.5), 'class index'
    yield 'Painter: no such class', lambda: painter(target='z', classes=['x', 'y']), "no class 'z'.*nearest are "
    yield 'Painter: names', lambda: painter(classes=['x']), '1 names for 2 classes'
    yield 'Painter: cam', lambda: painter(cam=np.zeros((2, 8, 8))), 'maps'
    plain = type('Plain', (Net,), dict(stats=None))
    yield 'Painter: no normalisation', lambda: painter(plain()), 'Plain has no `stats`'
    yield 'Painter: model raises', lambda: painter(Net(raises)), 'no such layer'
    yield 'Painter: model says NaN', lambda: painter(Net(is_nan)), 'not finite'
    yield (
        'Painter: explanation of another model',
        lambda: painter(clip=explanation(classes=['x'] * 3)),
        '3 names for 2 classes',
    )
    for name, v in (
        ('one too many', [[0] * T] * 2),
        ('too short', [[0] * (T - 1)]),
        ('NaN', [[n] * T]),
        ('above', [[2] * T]),
    ):
        yield f'masks set: {name}', lambda v=v: setattr(Scrubber(f, ok), 'masks', v), 'mask'


BAD = list(bad_of())


@pytest.mark.parametrize('make,words', [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_is_wrong_is_named(make, words):
    with pytest.raises((ValueError, RuntimeError), match=words):
        make()


def test_what_is_odd_has_a_stated_value():
    f = clip_of()
    cam = np.full((T, 8, 8), np.nan)
    cam[0] = 2
    spec = strict(
        scrub_parts(
            {1: (f, cam), 'tensor': torch.from_numpy(f), 'list': list(f)},
            torch.linspace(0, 1, T),
            title=None or '',
            scores=[
                ('a', np.float32('nan')),
                ('b', np.inf),
                ('c', torch.tensor(0.12345678)),
                ('d', 'text', None),
                ('e', 1, 'about'),
            ],
            fps=np.int64(3),
            heat=np.float32(0.5),
            px=np.int64(20),
        ).spec
    )
    assert spec['scores'] == [['a', 'nan'], ['b', 'inf'], ['c', 0.1235], ['d', 'text'], ['e', 1, 'about']]
    assert [c['name'] for c in spec['cols']] == ['1', 'tensor', 'list']
    assert spec['cols'][1]['tiles'] == spec['cols'][2]['tiles'] == list(range(T))
    assert spec['fps'] == 3
    assert spec['cols'][0]['over'][1:] == spec['cols'][0]['tiles'][1:] and spec['cols'][0]['over'][0] != 0, (
        'NaN is no heat'
    )
    assert strict(scrub_parts({'a': f}, scores=dict(OS=0.5)).spec)['scores'] == [['OS', 0.5]]


@settings(max_examples=60, deadline=None)
@example([0.5, 0.50001, 0.5004], 'n', 0.5)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.text(max_size=20), st.floats())
def test_any_mask_name_and_score_survives(mask, name, score):
    f = np.zeros((len(mask), 2, 2, 3), np.uint8)
    parts = scrub_parts({name: f}, {name: mask}, name, name, [(name, score, name)])
    s = strict(parts.spec)
    m = s['rows'][0]['mask']
    assert [v > 0.5 for v in m] == [v > 0.5 for v in mask] and np.abs(np.subtract(m, mask)).max() <= 0.001, (
        'a mark is on where the mask is'
    )
    minidom.parseString(scrub_svg(parts).encode())
    parts_html(parts).encode()


def test_explanations_beside_each_other():
    es = [explanation(label=None), explanation(model='B', label=1), explanation(model='B', scores={})]
    spec = strict(beside(es).spec)
    assert [c['name'] for c in spec['cols']] == [
        'original',
        'A Grad-CAM',
        'A frozen',
        'B 2 Grad-CAM',
        'B 2 frozen',
        'B 3 Grad-CAM',
        'B 3 frozen',
    ]
    assert [r['name'] for r in spec['rows']] == ['A', 'B 2', 'B 3']
    assert spec['caption'] == 'true class: y'
    assert not any(s[0].startswith('B 3') for s in spec['scores'])
    assert strict(as_parts(es[:1]).spec) == strict(as_parts(es[0]).spec) == strict(es[0].scrub().spec)


def test_what_an_explanation_carries_is_shown_everywhere_and_saved(tmp_path):
    model, masks = Net(), MASK[None]
    (e,) = explain(model, clip_of()[None], masks=masks, maps=np.zeros((1, T, 8, 8)), classes=['x', 'y'], name='A')
    calls = model.calls
    more = with_timeline(model, e, n=64)
    asked = model.calls - calls
    assert asked > 0 and list(more.curves) == [SHAPLEY, MOTION] and e.curves == {}
    more.save(tmp_path / 'e.npz')
    again = Explanation.load(tmp_path / 'e.npz')
    calls = model.calls
    for x in more, again:
        spec = strict(Scrubber(x).spec)
        assert [c['name'] for c in spec['curves']] == [SHAPLEY, MOTION]
        assert spec['scores'][0][3].startswith(('second best: ', 'predicted: '))
        for html in Scrubber(x).html, Browser([x]).html, explanation_pairs([('a', [x])]), gallery_html([[x]]):
            assert SHAPLEY in html and MOTION in html and spec['scores'][0][3] in html
    assert model.calls == calls, 'showing computes nothing'
    assert [c['name'] for c in painter(model, more).scrubber.spec['curves']] == [SHAPLEY, MOTION]
    two = strict(timeline_parts([more, again]).spec)
    names = [('A 1 ' + SHAPLEY, 0), (MOTION, None), ('A 2 ' + SHAPLEY, 1)]
    assert [(c['name'], c.get('of')) for c in two['curves']] == names
    assert abs(sum(more.curves[SHAPLEY]) - (e.scores['OS'] - attributed_rest(model, e))) < 0.02


def attributed_rest(model, e):
    "The score of the clip with all its frames frozen"
    x = freeze(to_batch(e.frames, STATS), torch.ones(T))
    return float(model(x).softmax(1)[0, e.target].detach())


def test_shapley_values_in_the_painter_leave_the_mask():
    p = painter(mask=MASK)
    push(p, SHAPLEY)
    assert (p.mask == MASK).all()
    (curve,) = p.scrubber.spec['curves']
    assert curve['name'] == SHAPLEY and SHAPLEY in p.html and SHAPLEY in p.scrubber.reply['note']
    rest = p.OS - p.scores_of(np.ones(T))['FS']
    assert abs(sum(curve['values']) - rest) < 0.02, 'they share out what removing everything takes away'
    push(p, SHAPLEY)
    assert len(p.scrubber.spec['curves']) == 1


def told(scores):
    "Scores by name, as they are written"
    return {k: v if isinstance(v, str) else f'{v:.3f}' for k, v, *_ in scores}


def in_text(text):
    "Scores by name that stand in a line or a page, such as 'OS 0.913 · FS 0.397'"
    return dict(re.findall(r'(?:^|[\s>·])((?:soft )?(?:OS|FS|RS)) (\d\.\d{3})', text))


def places_of(e, model, tmp_path, monkeypatch):
    "Everywhere that scores stand beside a picture of the mask: where -> scores by name"
    drawn = []
    monkeypatch.setattr('interpvid.explanation.draw_columns', lambda *args: drawn.append(args) or flat())
    e.figure()
    gallery = write_gallery(tmp_path / 'g', [[e]], 'title').parent
    p = painter(model, e)
    yield 'caption', in_text(e.caption)
    yield 'repr', in_text(repr(e))
    yield 'figure', in_text('\n'.join(drawn[0][2]))  # its rows
    yield 'said', told(e.said)
    yield 'scrubber', told(e.scrub().spec['scores'])
    yield 'html', in_text(e.html())
    yield 'widget', told(Scrubber(e).reply['scores'])
    yield 'browser', told(Browser([e]).scrubber.reply['scores'])
    both = told(beside([e, e]).spec['scores'])
    yield 'beside', {k.removeprefix('A 2 '): v for k, v in both.items() if k.startswith('A 2')}
    yield 'painter', told(p.scrubber.reply['scores'])
    yield "painter's html", in_text(p.html)
    yield 'page', in_text(explanation_pairs([('a', [e])]))
    yield 'card', in_text(re.search('<div class="ivg-net">.*', gallery_html([[e]]))[0])
    yield 'card in a folder', in_text((gallery / 'index.html').read_text(encoding='utf-8'))
    (clip,) = gallery.glob('clips/*.html')
    yield "clip's page", in_text(clip.read_text(encoding='utf-8'))
    rows = dict(re.findall(r'<td>((?:soft )?[OFR]S)</td>\s*<td>([\d.]+)</td>', clip.read_text(encoding='utf-8')))
    yield "clip's table", rows


def test_the_number_under_a_picture_is_that_pictures(tmp_path, monkeypatch):
    "B5: FS was .007 in the scrubber and .397 in the painter for the same six squares"
    model = Net()
    faint = clip_of() // 16 + 120
    soft = np.where(np.array([0, 1, 1, 1, 1, 1, 1, 0]), 0.7, 0.3).astype(np.float32)
    (e,) = explain(model, faint[None], masks=soft, maps=np.zeros((1, T, 8, 8)), classes=['x', 'y'], name='A')
    binary, learned = ({k: e.scores[k + kind] for k in ('FS', 'RS')} for kind in (' binary', ''))
    assert abs(binary['FS'] - learned['FS']) > 0.05, 'the two differ, so that one can tell them'
    want = {'OS': e.scores['OS'], **binary, **{f'soft {k}': v for k, v in learned.items()}}
    for place, scores in places_of(e, model, tmp_path, monkeypatch):
        assert {'OS', 'FS', 'RS'} <= set(scores), place
        for k in set(scores) & set(want):
            assert abs(float(scores[k]) - want[k]) < 6e-4, (place, k)


SHOWN = """
from interpvid import explanation, widgets
e = Explanation.load(path)
as_html = e._repr_mimebundle_()
assert set(as_html)=={'text/html','text/plain'}, 'importing widgets changes nothing'
widgets.has_kernel = lambda: True
assert e._repr_mimebundle_()==as_html, 'nor does a kernel'
widgets.live_explanations()
live = e._repr_mimebundle_()
assert 'application/vnd.jupyter.widget-view+json' in live and live['text/html']==as_html['text/html']
widgets.live_explanations(False)
assert e._repr_mimebundle_()==as_html
"""


def test_explanations_are_widgets_on_request_alone(tmp_path):
    explanation().save(tmp_path / 'e.npz')
    code = f'from interpvid.explanation import Explanation\npath = {str(tmp_path / "e.npz")!r}{SHOWN}'
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_normalised_clip_needs_no_statistics():
    plain = type('Plain', (Net,), dict(stats=None))()
    p = painter(plain, to_batch(clip_of(), STATS))
    assert p.stats is None
    assert p.mask.shape == (T,)
    assert p.html
    assert painter(plain, explanation(settings=dict(stats=[0.65, 0.2]))).stats == [0.65, 0.2]


def test_scrubber_keeps_what_it_has_when_the_next_is_wrong():
    s = Scrubber(clip_of(), MASK)
    before = dict(sheet=s.sheet, spec=s.spec, masks=s.masks)
    for bad in (
        (lambda: s.show(clip_of()[:0])),
        (lambda: s.show(clip_of(), [0] * 7)),
        (lambda: s.show({'a': clip_of(), 'b': clip_of(5)})),
    ):
        with pytest.raises(ValueError):
            bad()
        assert dict(sheet=s.sheet, spec=s.spec, masks=s.masks) == before
    s.show(clip_of(5), {'a': MASK[:5], 'b': MASK[:5]})
    assert (s.spec['T'], len(s.masks)) == (5, 2)
    s.masks = [[1] * 5, [0] * 5]
    rows = re.search(r'"rows":(\[.*?\]),"scores"', s.html)[1]
    assert [r['mask'] for r in json.loads(rows)] == [[1] * 5, [0] * 5], 'its HTML has the masks as they are now'


def test_frames_are_encoded_once(monkeypatch):
    n = []
    monkeypatch.setattr(viz, 'jpeg', lambda *a: n.append(1) or jpeg(*a))
    s = Scrubber(clip_of(), MASK, paint=True)
    s.frame = 3
    s.masks = [[0] * T]
    s.html, s.html
    assert len(n) == 1
    n.clear()
    p = painter()
    p.mask = MASK
    p.best_window()
    p.learn()
    p.reset()
    p.html
    assert len(n) == 1
    n.clear()
    b = Browser([explanation(0), explanation(1), explanation(2, 'B'), explanation(0, 'B')])
    assert len(n) == 1
    for move in (
        (lambda: setattr(b.list, 'value', 1)),
        (lambda: setattr(b.model, 'value', 'B')),
        (lambda: setattr(b.other, 'value', 'A')),
    ):
        n.clear()
        move()
        assert len(n) <= 1
    b.list.value = 2
    n.clear()
    b.by.value = 'OS'
    b.down.value = False
    b.by.value = 'mask length'
    assert b.explanation is b.es[2] and not n, 'sorted anew, the same clip is shown'


def test_other_frames_have_other_scores_also_under_equal_masks():
    b = Browser([explanation(0), explanation(1)])
    for i in 1, 0:
        b.list.value = i
        assert (
            dict(s[:2] for s in b.scrubber.reply['scores'])['OS']
            == round(b.es[i].scores['OS'], 4)
            == b.scrubber.spec['scores'][0][1]
        )


def bits(m):
    return ''.join(str(int(v > 0.5)) for v in m)


def scores_in(p):
    return {k: v for k, v, *_ in p.scrubber.reply['scores']}


def test_replies_name_the_masks_they_are_for():
    p = painter()
    log = []
    p.scrubber.observe(lambda c: log.append(c['new']), 'reply')
    for m in MASK, 1 - MASK, [0, 0.5, 0.501, 1, 0, 0, 0, 0]:
        p.mask = m
        a = log[-1]
        assert a['masks'] == bits(m)
        assert scores_in(p)['FS'] == round(p.scores_of(np.asarray(m) > 0.5)['FS'], 4)
        assert strict(a)
    assert len(log) == 3
    p.scrubber.masks = p.scrubber.masks
    assert len(log) == 3
    for n, m in enumerate(([[1] * T], [[0] * T], [[0] * T]), 10):
        stroke(p.scrubber, m, n)
        assert (log[-1]['version'], log[-1]['masks']) == (n, bits(m[0])), 'also where it is as it was'
        assert p.scrubber.state == dict(version=n, masks=m)


@pytest.mark.parametrize('error', [ValueError, KeyError, RuntimeError])
def test_every_request_has_a_reply_also_where_the_scorer_fails(error):
    "A `ValueError` of the scorer was once taken for masks that do not fit: no reply came, and the browser waited on"

    def scorer(masks):
        if masks[0][0]:
            raise error('no weights')
        return [('length', sum(masks[0]))], 'fine'

    s = Scrubber(clip_of(), [0] * T, paint=True, scorer=scorer)
    strokes = ('10000000', 'no weights'), ('01000000', 'fine'), ('11111111', 'no weights')
    for n, (mask, note) in enumerate(strokes, 1):
        m = [[float(v) for v in mask]]
        stroke(s, m, n)
        assert s.masks == m
        assert s.state == dict(masks=m, version=n)
        assert s.reply['masks'] == mask
        assert s.reply['version'] == n
        assert note in s.reply['note']
        assert bool(s.reply['scores']) == (note == 'fine')
        assert (error.__name__ in s.reply['note']) == (note != 'fine')
    s.masks = [[1, 0, 0, 0, 0, 0, 0, 1]]
    assert 'no weights' in s.reply['note'] and s.reply['masks'] == '10000001', 'also where a cell sets the masks'


@pytest.mark.parametrize('masks', [[[1] * 5], [[1] * T] * 2, [[2] * T], [[None] * T], [], [[float('nan')] * T]])
def test_a_request_that_does_not_fit_is_replied_to_and_changes_nothing(masks):
    s = Scrubber(clip_of(), MASK, paint=True, scorer=length_or_error)
    stroke(s, masks, 5)
    assert s.masks == [MASK.tolist()]
    assert s.state == dict(masks=s.masks, version=5)
    assert s.reply['version'] == 5
    assert s.reply['masks'] == bits(MASK)
    assert s.reply['scores'] == [('length', '4')]
    with pytest.raises((ValueError, tr.TraitError)):
        s.masks = masks


def test_replies_of_two_threads_do_not_mix():
    "While the network looks at one mask, another is painted"
    p = painter()
    want = {k: round(p.scores_of(np.array([int(c) for c in k]))['FS'], 4) for k in ('00000111', '01100000')}
    log, first = [], threading.Event()
    p.scrubber.observe(
        lambda c: log.append((c['new']['masks'], dict((k, v) for k, v, *_ in c['new']['scores'])['FS'])), 'reply'
    )

    def slow(model, x):
        first.set()
        time.sleep(0.05)
        return Net()(x)

    p.model.wrong = slow
    t = threading.Thread(target=setattr, args=(p, 'mask', [0, 0, 0, 0, 0, 1, 1, 1]))
    t.start()
    first.wait(5)
    p.mask = [0, 1, 1, 0, 0, 0, 0, 0]
    t.join(5)
    assert all(want[k] == v for k, v in log) and log[-1][0] == bits(p.mask) == '01100000', log


def button(p, name):
    return next(b for b in p.buttons if b.description == name)


def push(p, name):
    button(p, name).click()
    p.work.join(20)
    assert not p.work.is_alive()


@pytest.mark.parametrize('by', ['call', 'button'])
def test_painter_finds_what_learning_and_searching_find(by):
    p = painter(mask=MASK, lam1=0.03)
    x = to_batch(clip_of())
    learned = learn_masks(Net(), x, p.target, preset='fast', lam1=0.03).binary[0]
    window = search_windows(Net(), x, p.target, lam1=0.03).mask[0]
    assert not (learned == MASK).all()
    assert not (window == MASK).all()
    for name, f, found in ('Learn', p.learn, learned), ('Best window', p.best_window, window), ('Reset', p.reset, MASK):
        want = min((p.mask, found), key=lambda m: p.scores_of(m)['loss']) if name != 'Reset' else found
        f() if by == 'call' else push(p, name)
        assert (p.mask == want).all() and p.scrubber.reply['masks'] == bits(want) and name in p.scrubber.reply['note']
        assert [b.description for b in p.buttons] == ['Learn', 'Best window', 'Shapley values', 'Reset']
        assert not any(b.disabled for b in p.buttons)
        assert p.bar.layout.visibility == 'hidden'


@pytest.mark.parametrize('name', ['Learn', 'Best window'])
def test_no_button_makes_the_loss_worse(name):
    "B5: a painted mask better than the learned one stays, and both losses are said"
    p = painter()
    loss = lambda m: p.scores_of(m)['loss']
    masks = all_masks(T)
    best = min(masks, key=loss)
    p.mask = best
    push(p, name)
    assert (p.mask == best).all()
    worse = {'Learn': learn_masks(Net(), p.x, p.target, preset='fast').binary[0]}
    worse['Best window'] = search_windows(Net(), p.x, p.target).mask[0]
    found, note = loss(worse[name]), p.scrubber.reply['note']
    if (worse[name] == best).all():
        assert note == f"'{name}' found the painted mask."
    else:
        assert note == (
            f"'{name}' found no better mask: loss {found:.3f}. The painted one, of {loss(best):.3f}, stays."
        )
    assert scores_in(p)['loss'] == f'{loss(best):.3f}', 'the scores beside it are those of the mask that stays'
    for mask in masks[:: len(masks) // 12]:
        p.mask = mask
        push(p, name)
        assert loss(p.mask) <= loss(mask)
        assert loss(p.mask) <= found, 'no better, no worse than what was found'


def test_a_much_better_mask_than_the_learned_one(monkeypatch):
    "B5: Painter's *Learn* replaced a painted mask of loss .101 by one of .497"
    p = painter(mask=MASK)
    best = min(all_masks(T), key=lambda m: p.scores_of(m)['loss'])
    found = learn_masks(Net(), p.x, p.target, preset='fast')
    found.mask = np.full((1, T), 0.499, np.float32)  # soft, it may lower the score; cut at one half, it holds no frame
    monkeypatch.setattr('interpvid.widgets.learn_masks', lambda *args, **kwargs: found)
    p.mask = best
    push(p, 'Learn')
    assert (p.mask == best).all() and 'no better mask' in p.scrubber.reply['note']
    assert f'{p.scores_of(np.zeros(T))["loss"]:.3f}' in p.scrubber.reply['note']


def test_reset_loses_nothing():
    p = painter(mask=MASK)
    p.mask = 1 - MASK
    push(p, 'Reset')
    assert (p.mask == MASK).all() and 'once more' in p.scrubber.reply['note']
    push(p, 'Reset')
    assert (p.mask == 1 - MASK).all()
    push(p, 'Reset')
    assert (p.mask == MASK).all()


@pytest.mark.parametrize('wrong,word', [(raises, 'no such layer'), (is_nan, 'not finite')])
def test_a_network_that_fails_leaves_the_mask_and_says_so(wrong, word):
    p = painter(mask=MASK)
    for name in 'Learn', 'Best window':
        p.model.wrong = wrong
        push(p, name)
        a = p.scrubber.reply
        assert (
            (p.mask == MASK).all()
            and f"'{name}' ended" in a['note']
            and word in a['note']
            and a['masks'] == bits(MASK)
            and a['scores'] == []
        ), a
        p.mask = 1 - MASK
        assert 'could not be scored' in p.scrubber.reply['note']
        assert 'ended' not in p.scrubber.reply['note']
        p.model.wrong = None
        p.mask = MASK
        assert not p.scrubber.reply['note']
        assert len(p.scrubber.reply['scores']) == 4
        assert button(p, name).disabled is False


@pytest.mark.parametrize('name', ['Learn', 'Best window'])
def test_stop_stops(name):
    p = painter(mask=MASK)
    going, on = threading.Event(), threading.Event()

    def wait(model, x):
        going.set()
        assert on.wait(20)
        model.wrong = None
        return model(x)

    p.model.wrong = wait
    b = button(p, name)
    b.click()
    assert going.wait(20)
    assert b.description == 'Stop'
    assert not b.disabled
    assert all(o.disabled for o in p.buttons if o is not b)
    assert p.bar.layout.visibility == 'visible'
    n = p.model.calls
    b.click()
    on.set()
    p.work.join(20)
    assert (p.mask == MASK).all()
    assert f"'{name}' was stopped" in p.scrubber.reply['note']
    assert len(p.scrubber.reply['scores']) == 4
    assert p.model.calls - n < 12
    p.mask = [0] * T
    push(p, name)
    assert 'stopped' not in p.scrubber.reply['note'] and p.mask.any(), 'and can be started again'


def test_painting_at_the_end_of_learning_leaves_the_network_as_it_was():
    p = painter(mask=MASK)
    found = search_windows(Net(), to_batch(clip_of()), p.target).mask[0]
    p.model.train()
    main = threading.main_thread()
    learns, asked, done = threading.Event(), threading.Event(), threading.Event()

    def slow(model, x):
        if threading.current_thread() is main:
            asked.set()
            done.wait(1)  # an answer that begins while the work goes on, and ends after it
        elif not asked.is_set():
            learns.set()
            assert asked.wait(20)
        model.wrong = None
        y = model(x)
        model.wrong = slow
        return y

    p.model.wrong = slow
    button(p, 'Best window').click()
    assert learns.wait(20)
    p.mask = found
    done.set()
    p.work.join(20)  # painted by hand: the work changes nothing, and waits for no answer of its own
    assert p.model.training
    assert all(w.requires_grad for w in p.model.parameters())


class Says(Net):
    "The network, saying it in another way"

    def __init__(self, scores, say):
        super().__init__()
        self.scores, self.say = scores, say

    def forward(self, x):
        return self.say(super().forward(x / 4))


@pytest.mark.parametrize(
    'scores,say',
    [('probs', lambda y: y.softmax(1)), ('sigmoid', lambda y: (y[:, :1] - y[:, 1:]).sigmoid()), (None, None)],
    ids=['softmax', 'one sigmoid', 'function'],
)
def test_painter_reads_scores_as_the_model_says_them(scores, say):
    "B3, B4, D8: a network that ends in a softmax or in one sigmoid, and a plain function"
    plain = painter(Says(None, lambda y: y), to_batch(clip_of(), STATS))
    at = 1 if scores == 'sigmoid' else 0  # the sigmoid is that of class 1, its complement class 0
    net = Says('logits', lambda y: y)
    model = Says(scores, say) if scores else lambda x: net(x)
    other = painter(model, to_batch(clip_of(), STATS), target=at)
    for mask in MASK, 1 - MASK:
        want, got = plain.scores_of(mask), other.scores_of(mask)
        assert {k: round(v, 4) for k, v in got.items()} == {k: round(v, 4) for k, v in want.items()}


def test_painter_refuses_what_cannot_be_painted_on():
    "B2, B7: before any stroke, in plain words"
    deaf = Net(lambda model, x: torch.tensor([[0.2, 0.8]]).expand(len(x), 2))
    with pytest.raises(ValueError, match='depend'):
        painter(deaf)
    small = Net()
    small.clip_shape = (4, 8, 8)
    with pytest.raises(ValueError, match='4.*8|8.*4'):
        painter(small)


def test_gray_and_flow_in_the_painter(tmp_path):
    "D5: clips of one channel are painted on; flow needs the clip, since an explanation keeps its colours alone"
    for C in 1, 2:
        x = to_batch(clip_of(), STATS)[:, :C]
        (e,) = explain(Net(), x, masks=MASK, maps=np.zeros((1, T, 8, 8)), stats=(0.65, 0.2), classes=['x', 'y'])
        for p in painter(clip=x, mask=MASK), *([painter(clip=e)] if C == 1 else []):
            assert p.x.shape == x.shape and f'{p.scores["FS"]:.2f}' == f'{e.scores["FS binary"]:.2f}'
            assert len(p.scrubber.spec['cols'][0]['tiles']) == T
        assert Scrubber(e).html and Browser([e]).html and gallery_html([e])
    with pytest.raises(ValueError, match='flow'):
        painter(clip=e)


def test_painter_reads_a_file(tmp_path):
    "D8: a path where frames are expected"
    write_video(tmp_path / 'a.mp4', np.repeat(clip_of(), 8, 1).repeat(8, 2))
    net = Net()
    net.clip_shape = (T, 8, 8)
    assert painter(net, tmp_path / 'a.mp4').x.shape == (1, 3, T, 8, 8)


def test_painter_is_kept_as_it_is_now():
    p = painter(mask=[0] * T, cam=False, classes=['x', 'y'], target='y')
    p.mask = MASK
    s = strict(p.parts.spec)
    i = freeze.index(torch.from_numpy(MASK)[None])[0].tolist()
    assert s['cols'][1] == dict(name='frozen', tiles=i)
    assert s['rows'] == [dict(name='', mask=MASK.tolist())]
    assert s['title'] == 'Net: y'
    assert s['scores'][1][1] == round(p.scores['FS'], 4)
    assert [c['tiles'] for c in p.scrubber.spec['cols']] == [list(range(T))] * 2
    assert 'by' in p.scrubber.spec['cols'][1]
    assert p.scrubber.spec['rows'][0]['paint']


DRAWN_BY = ('freeze', 'freeze_after', 'reverse', 'black', 'blur', 'mean_frame', 'blur_space')


@pytest.mark.parametrize('by', DRAWN_BY)
def test_painter_shows_the_perturbed_clip(by):
    "The last column, as it is kept, against the perturbation itself"
    p = painter(mask=MASK, cam=False, quality=95, perturb=by)
    column = p.parts.spec['cols'][-1]
    tiles = parts_tiles(p.parts)
    want = frames_to_show(p.perturb(p.x, torch.from_numpy(MASK)), STATS)[0]
    assert column['name'] == perturbed_word(by)
    got = np.stack([tiles[k] for k in column['tiles']])
    assert abs(got.astype(int) - want).mean() < 6  # JPEG; another frame is 80 away
    assert abs(got.astype(int) - want[::-1]).mean() > 20
    p.mask = np.zeros(T)
    assert p.parts.spec['cols'][-1]['tiles'] == p.parts.spec['cols'][0]['tiles']


@pytest.mark.parametrize('by', ['shuffle', lambda x, mask: x * (1 - mask.view(-1, 1, T, 1, 1))])
def test_painter_shows_no_column_that_only_the_kernel_knows(by):
    p = painter(mask=MASK, cam=False, perturb=by)
    assert [c['name'] for c in p.parts.spec['cols']] == ['original']
    assert 0 <= p.scores['FS'] <= 1


def test_the_browser_draws_what_is_kept(browser, tmp_path):
    "Its own orders of frames, for each removal, against the columns of `parts`"
    painters = [painter(mask=MASK, cam=False, quality=95, perturb=by) for by in DRAWN_BY]
    with opened(browser, tmp_path, *(p.scrubber.html for p in painters), *(p.html for p in painters)) as page:
        n = len(painters)
        ready(page, 2 * n)
        for t in range(T):
            for k in range(2 * n):
                page.locator('[name=frame]').nth(k).fill(str(t))
            drawn = [page.evaluate('i => state(i).pixels', i)[-1] for i in range(2 * n)]
            assert drawn[:n] == drawn[n:], t


def test_browser_with_nothing_to_show_stays_usable():
    b = Browser([explanation(0), explanation(1, label=1), explanation(2, 'B', label=None, scores={}, loss={})])
    b.model.value = 'B'
    assert b.explanation is b.es[2]
    assert b.scrubber.layout.display is None
    b.cls.value = 'y'
    assert (
        b.explanation is None
        and "'y'" in b.note.value.replace('&#x27;', "'")
        and 'pick another' in b.note.value
        and b.scrubber.layout.display == 'none'
    )
    for by in ['order', *SCORES]:
        b.by.value = by
    b.other.value = 'A'
    b.down.value = False
    assert b.explanation is None
    b.model.value = 'A'
    assert b.explanation is b.es[1]
    assert b.scrubber.layout.display is None
    assert 'no other' in b.note.value
    b.cls.value = 'all'
    b.other.value = 'B'
    assert 'B has no explanation of this clip' in b.note.value
    assert strict(b.scrubber.spec)['title'] == b.explanation.title


def test_browser_lists_notes_and_picks_by_them(monkeypatch):
    "D12: null results are listed as such"
    notes = lambda e: ['No mask lowers this score.', 'At chance.'][: int(e.scores.get('RS', 0))]
    monkeypatch.setattr(Explanation, 'notes', property(notes))
    b = Browser([explanation(i, scores=dict(OS=0.5, FS=0.5, RS=float(i))) for i in range(3)])
    assert [text for text, _ in b.list.options] == ['1: x', '2: x · 1 note', '3: x · 2 notes']
    for kind, want in ('with notes', [1, 2]), ('without notes', [0]), ('all', [0, 1, 2]):
        b.noted.value = kind
        assert b.chosen() == want
    b.cls.value, b.noted.value = 'x', 'with notes'
    b.list.value = 2
    for sentence in notes(b.explanation):
        assert sentence in b.scrubber.spec['caption'] and sentence in b.html
    assert b.noted.layout.display is None
    monkeypatch.setattr(Explanation, 'notes', property(lambda e: []))
    assert Browser([explanation()]).noted.layout.display == 'none', 'no choice where there are none'


def test_browser_says_which_clip_cannot_be_drawn():
    b = Browser(
        [
            explanation(0),
            explanation(1, mask=np.full(T, np.nan)),
            explanation(2, cam=np.zeros((2, 2, 2))),
            explanation(3),
        ]
    )
    for i, word in (1, 'NaN'), (2, 'maps'):
        b.list.value = i
        assert word in b.note.value
        assert b.scrubber.layout.display == 'none'
        b.list.value = 3
        assert not b.note.value
        assert b.scrubber.layout.display is None
        assert b.scrubber.spec['scores'][0][1] == round(b.es[3].scores['OS'], 4)
        b.list.value = i
        b.list.value = 3
        assert b.scrubber.layout.display is None


def test_browser_sorts_what_has_no_score_to_the_end():
    es = [explanation(0), explanation(1), explanation(2, scores={}, loss={})]
    b = Browser(es)
    for by in ['order', *SCORES]:
        for down in True, False:
            b.by.value, b.down.value = by, down
            v = [SCORES[by].of(es[i]) for i in b.chosen()] if by != 'order' else [0]
            known = [x for x in v if x == x]
            assert v[: len(known)] == known == sorted(known, reverse=down), (by, v)
            assert len(b.list.options) == 3


def test_browser_names_are_text():
    b = Browser(
        [explanation(0, model='<img src=x onerror=alert(1)>', classes=['<b>', 'y']), explanation(1, model='B', label=1)]
    )
    b.cls.value = 'y'
    assert '<' not in b.note.value
    assert b.note.value
