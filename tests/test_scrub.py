"The scrubber in a browser, with scripts and without; the mask painter; the widgets in Python."
import contextlib, html, itertools, json, re, threading
from urllib.parse import unquote
from xml.dom import minidom

import cv2, numpy as np, pytest, torch
from torch import nn

from interpvid import viz, widgets
from interpvid.core import to_batch
from interpvid.explanation import Explanation
from interpvid.masks.learn import learn_masks
from interpvid.masks.perturb import freeze, reverse
from interpvid.masks.search import all_masks, search_windows
from interpvid.viz import ScrubParts, jpeg, overlay, parts_html, scrub_html, scrub_js, scrub_parts, scrub_svg
from interpvid.widgets import Browser, Painter, Scrubber, as_parts, beside, score_of

T = 8
MASK = np.array([0,1,1,0,1,0,0,1], np.float32)

def flat(T=T, h=16, w=16, col=0):
    "Frames of one colour each: red and green say the frame's number, blue the column. Nine colours a channel are 28 apart: an error of up to 13 is told from another frame; JPEG's is 3"
    n = np.arange(T)
    c = np.stack([n%9*28+14, n//9*28+14, np.full(T, col*28+14)], 1).astype(np.uint8)
    return np.broadcast_to(c[:,None,None], (T,h,w,3)).copy()

def said(rgb): "(number, column) that a colour says"; r,g,b = (int(v)//28 for v in rgb[:3]); return r+9*g,b

@contextlib.contextmanager
def opened(browser, tmp_path, *htmls, scheme='light', **kwargs):
    "A page that holds `htmls`; nothing may go wrong on it, and nothing be asked of the outside"
    path,wrong = tmp_path/'page.html',[]
    body = ''.join(f'<div>{h}</div>' for h in htmls)
    path.write_text(f'<!doctype html><meta charset=utf-8><meta name=viewport content="width=device-width"><meta name=color-scheme content="light dark"><title>t</title>{body}', encoding='utf-8')
    with browser.new_context(**{'viewport':dict(width=1000, height=800), 'color_scheme':scheme, **kwargs}) as c:
        page = c.new_page()
        page.on('console', lambda m: wrong.append(m.text) if m.type=='error' else None)
        page.on('pageerror', lambda e: wrong.append(e.message))
        page.on('request', lambda r: wrong.append(f'asks for {r.url[:80]}') if r.url.split(':')[0] not in ('data','blob') and r.url!=path.as_uri() else None)
        page.goto(path.as_uri())
        if kwargs.get('java_script_enabled', True): page.evaluate(HELPERS)
        yield page
        assert not wrong, wrong

HELPERS = '''() => {
  window.roots = () => [...document.querySelectorAll('*')].map(e => e.shadowRoot).filter(r => r?.querySelector('canvas'))
  window.pixels = r => [...r.querySelectorAll('canvas')].map(c => [...c.getContext('2d').getImageData(c.width>>1, c.height>>1, 1, 1).data])
  window.state = i => { const r = roots()[i], f = r.querySelector('[name=frame]'); return {pixels: pixels(r), value: +f.value, text: f.ariaValueText, out: r.querySelector('output').textContent,
      play: r.querySelector('.play').textContent, here: [...r.querySelectorAll('.marks')].map(m => [...m.children].flatMap((e, i) => e.classList.contains('here') ? [i] : []))} }
}'''

def ready(page, n=1): page.wait_for_function('n => roots().length==n', arg=n)

def at(page, i=0):
    "The frame that scrubber `i` is at; all its parts have to agree"
    s = page.evaluate('i => state(i)', i); k = s['value']
    assert [said(p) for p in s['pixels']]==[(k,c) for c in range(len(s['pixels']))], s
    assert s['out'].startswith(f'{k+1}/') and s['text'].startswith(f'frame {k+1} of ') and all(h==[k] for h in s['here']), s
    return k

def shot(page, of): "A screenshot of a locator, RGB"; return cv2.imdecode(np.frombuffer(of.screenshot(), np.uint8), cv2.IMREAD_COLOR)[...,::-1]

@pytest.fixture(scope='module')
def clip(): return {'a':flat(), 'b':flat(col=1)}

# --- in a browser

def test_buttons_slider_and_marks_lead_to_the_frame(browser, tmp_path, clip):
    with opened(browser, tmp_path, scrub_html(clip, {'one':MASK, 'two':1-MASK})) as page:
        ready(page); press = lambda name: page.get_by_role('button', name=name).click()
        assert at(page)==0
        for name,k in ('Next',1),('Next',2),('Back',1),('Back',0),('Back',7),('Next',0): press(name); assert at(page)==k
        page.get_by_role('slider', name='frame').fill('5'); assert at(page)==5
        for k in 2,7,0: page.locator('.marks').nth(1).locator('i').nth(k).click(); assert at(page)==k
        on = page.locator('.marks').evaluate_all('ms => ms.map(m => [...m.children].map(e => +e.classList.contains("on")))')
        assert on==[MASK.tolist(), (1-MASK).tolist()]
        assert 'one off, two on' in page.evaluate('state(0).text')

FOCUS = ['group:t','button:Play','button:Back','button:Next','slider:frame','combobox:speed','checkbox:loop','slider:opacity of the heat map']

def focus(page, name):
    role,name = name.split(':')
    page.locator('.box').focus() if role=='group' else page.get_by_role(role, name=name).focus()

def test_keys_work_from_everywhere_and_are_stolen_from_nobody(browser, tmp_path):
    with opened(browser, tmp_path, scrub_html({'a':(flat(), np.zeros((T,16,16)))}, MASK, title='t')) as page:
        ready(page); key = page.keyboard.press
        for f in FOCUS:
            focus(page, f); n = at(page)
            if f in ('combobox:speed','slider:opacity of the heat map'): # their own arrows, Home and End
                before = page.evaluate('[roots()[0].activeElement.value, state(0).play]')
                for k in 'ArrowRight','Home','End': key(k); assert at(page)==n, (f, k)
                assert page.evaluate('roots()[0].activeElement.value')!=before[0]
            else:
                for k,to in ('End',7),('ArrowRight',0),('ArrowLeft',7),('Home',0),('ArrowRight',1): key(k); assert at(page)==to, (f, k)
        focus(page, 'checkbox:loop'); key('Space'); assert page.get_by_role('checkbox').is_checked()==False and page.evaluate('state(0).play')=='Play'
        for f in 'group:t','slider:frame':
            focus(page, f); key('Space'); assert page.evaluate('state(0).play')=='Pause', f
            key('Space'); assert page.evaluate('state(0).play')=='Play', f
        focus(page, 'button:Next'); n = at(page); key('Space'); assert at(page)==(n+1)%T and page.evaluate('state(0).play')=='Play'
        focus(page, 'group:t'); n = at(page); key('Control+ArrowRight'); assert at(page)==n

def test_focus_order_names_and_roles(browser, tmp_path):
    with opened(browser, tmp_path, scrub_html({'a':(flat(), np.zeros((T,16,16))), 'b':flat()}, {'row':MASK}, title='t', scores=[('OS',.5,'of the class')])) as page:
        ready(page)
        for f in FOCUS:
            page.keyboard.press('Tab')
            assert page.evaluate('e => roots()[0].activeElement===e', page.locator('.box').element_handle() if f=='group:t' else page.get_by_role(f.split(':')[0], name=f.split(':')[1]).element_handle()), f
            assert page.evaluate('getComputedStyle(roots()[0].activeElement).outlineStyle')=='solid', f'{f}: the focus cannot be seen'
        tree = page.locator('.box').aria_snapshot()
        for line in 'img "a"','img "b"',f'img "row, 1 is on: {"".join(str(int(m)) for m in MASK)}"','rowheader "OS"','cell "0.500"','meter "OS"': assert line in tree, tree
        assert not re.findall(r'- (?:button|slider|combobox|checkbox|img|meter)(?![^\n]*")', tree), f'without a name: {tree}'

def frames_in(page, ms): "Frames that a second of the page's clock moves on"; a = at(page); page.clock.run_for(ms); return (at(page)-a)%64

def test_play_keeps_its_pace_loops_and_stops(browser, tmp_path):
    with opened(browser, tmp_path, '') as page:
        page.clock.install(); page.clock.pause_at(page.evaluate('Date.now()')+1000)
        page.set_content(scrub_html({'a':flat(64)}, fps=5)); page.evaluate(HELPERS); page.clock.run_for(100); ready(page)
        play = page.locator('.play'); play.click()
        for fps in 5,1,12,60,24: # with the page's own clock, to a frame
            page.get_by_role('combobox').select_option(str(fps)); page.clock.run_for(50)
            assert abs(frames_in(page, 1000)-fps)<=1, fps
        for _ in range(3): play.dblclick() # a second chain of steps would go twice as fast
        assert abs(frames_in(page, 1000)-24)<=1
        page.clock.run_for(3000); assert play.inner_text()=='Pause'
        play.click(); assert frames_in(page, 1000)==0, 'plays on after Pause'
        page.get_by_role('checkbox').uncheck(); play.click(); page.clock.run_for(4000)
        assert at(page)==63 and play.inner_text()=='Play'
        play.click(); assert at(page)==0; page.clock.run_for(1000); assert abs(at(page)-24)<=1, 'Play at the end starts from the beginning'
        page.clock.run_for(4000); assert at(page)==63

def test_scrubbers_on_one_page_are_independent(browser, tmp_path, clip):
    same,other = scrub_html(clip, MASK),scrub_html({'a':flat()}, title='other')
    with opened(browser, tmp_path, same, same, other) as page:
        ready(page, 3)
        for i,k in (0,3),(1,5),(2,6): page.locator('[name=frame]').nth(i).fill(str(k))
        assert [at(page, i) for i in range(3)]==[3,5,6]
        page.locator('.play').nth(1).click(); page.wait_for_function('state(1).value!=5')
        assert [page.evaluate(f'state({i}).play') for i in range(3)]==['Play','Pause','Play'] and at(page, 0)==3 and at(page, 2)==6

def shades(T, h, w, seed): "Smooth frames, which JPEG codes well"; return np.stack([cv2.resize(f, (w,h), interpolation=cv2.INTER_CUBIC) for f in np.random.default_rng(seed).integers(0, 256, (T,3,4,3)).astype(np.uint8)])

def test_heat_lies_over_frames_as_overlay_draws_it(browser, tmp_path):
    f = shades(3, 48, 64, 0); cam = shades(3, 48, 64, 1)[...,0]/255.; cam[0,0,0] = np.nan # no heat there
    with opened(browser, tmp_path, scrub_html({'a':(f, cam), 'plain':f}, quality=95)) as page:
        ready(page)
        def off(k, want): # mean and largest error of the canvas, of 255; JPEG at quality 95 stays well below 4 and 40
            got = np.array(page.evaluate('() => { const c = roots()[0].querySelector("canvas"); return [...c.getContext("2d").getImageData(0, 0, c.width, c.height).data] }')).reshape(48,64,4)[...,:3]
            d = abs(got-want[k].astype(int)); return d.mean(),d.max()
        heat = page.get_by_role('slider', name='opacity of the heat map')
        for k in range(3):
            page.locator('[name=frame]').fill(str(k))
            for alpha in .6,0,1: heat.fill(str(alpha)); mean,most = off(k, overlay(f, cam, alpha)); assert mean<4 and most<40, (k, alpha, mean, most)
        heat.fill('0'); assert off(2, f)[0]<4<off(2, overlay(f, cam, .6))[0]

NASTY = 'a"b\'c & </script><script>window.pwned=1</script><img src=x onerror="window.pwned=1">','😀 \u2028 ]]> <!--', 'W'*300, 'ctrl \x00\x0b\ud800 end', ''
SIZES = dict(wide=(4,40,500), tall=(4,500,40), big=(3,500,500), one=(1,16,16), two=(2,16,16), many=(65,20,16), pixel=(8,1,1), line=(8,1,500), post=(8,500,1))

@pytest.mark.parametrize('scripts', [True, False])
@pytest.mark.parametrize('scheme', ['light','dark'])
def test_odd_clips_fit_on_a_phone(browser, tmp_path, scripts, scheme):
    clips = {n: {'a':flat(*s), 'b':flat(*s, col=1)} for n,s in SIZES.items()}
    pages = [scrub_html(c, rows(len(c['a'])), title=n) for (n,c),rows in zip(clips.items(), itertools.cycle([lambda T: np.arange(T)%2, lambda T: None, lambda T: {'x':np.ones(T), 'y':np.arange(T)/T}]))]
    pages.append(scrub_html({f'column {i}':flat(col=i) for i in range(9)}, np.arange(T)%2, title='nine columns'))
    pages += [scrub_html({'a':flat(), 'b':flat(col=1)}, MASK, title=f'px={px}', px=px) for px in (1,16,500)]
    with opened(browser, tmp_path, *pages, viewport=dict(width=390, height=800), scheme=scheme, java_script_enabled=scripts) as page:
        if not scripts: wide = {im.get_attribute('alt')[:12]: b['x']+b['width'] for im in page.locator('img').all() for b in [im.bounding_box()] if not (b['x']+b['width']<=390 and min(b['width'], b['height'])>=1)}
        else:
            ready(page, len(pages))
            for i,s in enumerate(SIZES.values()):
                page.locator('[name=frame]').nth(i).fill(str(s[0]-1)); assert at(page, i)==s[0]-1
                ratio = page.locator('.cols').nth(i).locator('canvas').first.evaluate('c => c.clientWidth/c.clientHeight')
                assert abs(ratio/(s[2]/s[1])-1)<.1 or 1 in s[1:], (s, ratio)
            wide = page.evaluate('() => roots().flatMap(r => [...r.querySelectorAll("*")].filter(e => { const b = e.getBoundingClientRect(); return e.checkVisibility() && (b.right>390.5 || e.matches("canvas") && !(b.width>0 && b.height>0)) }).map(e => `${r.querySelector("b")?.textContent}: ${e.outerHTML.slice(0,60)}`))')
        assert not wide, wide

@pytest.mark.parametrize('scripts', [True, False])
def test_names_are_text_whatever_they_say(browser, tmp_path, scripts):
    shown = [n.replace('\0', '\ufffd').replace('\x0b', '\ufffd').replace('\ud800', '\ufffd') for n in NASTY]
    cols = {n: flat(col=i) for i,n in enumerate(NASTY)}
    page_of = [scrub_html(cols, {n: MASK for n in NASTY}, title=n or 't', caption=n, scores=[(n, n, n), (n, .5)]) for n in NASTY]
    with opened(browser, tmp_path, *page_of, viewport=dict(width=390, height=800), java_script_enabled=scripts) as page:
        if scripts:
            ready(page, len(page_of)); assert not page.evaluate('window.pwned')
            got = page.evaluate('roots().map(r => [[...r.querySelectorAll("figcaption")].map(e => e.textContent), r.querySelector(".box > b").textContent, r.querySelector("th").textContent])')
            assert got==[[shown, s or 't', s] for s in shown]
            assert page.evaluate('document.documentElement.scrollWidth')<=390
        else: assert page.locator('div.iv').count()==len(NASTY) and page.locator('div.iv img').count()==len(NASTY)
