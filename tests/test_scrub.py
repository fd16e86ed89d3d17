"The scrubber in a browser, with scripts and without; the mask painter; the widgets in Python."
import contextlib, itertools, json, re, shutil, threading
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

def contrast(a, b):
    "Of two colours, as WCAG counts it"
    light = lambda c: np.dot([.2126,.7152,.0722], [v/12.92 if v<=.03928 else ((v+.055)/1.055)**2.4 for v in np.asarray(c[:3], float)/255])
    a,b = sorted((light(a), light(b)), reverse=True)
    return (a+.05)/(b+.05)

@pytest.mark.parametrize('scheme', ['light','dark'])
def test_text_and_marks_stand_out(browser, tmp_path, scheme):
    with opened(browser, tmp_path, scrub_html({'a':flat()}, {'row':MASK}, 'title', 'caption', scores=[('OS',.5)]), scheme=scheme) as page:
        ready(page); page.keyboard.press('End')
        img = shot(page, page.locator('html')); back = img[-5,-5]
        assert (back.mean()>200)==(scheme=='light')
        colours = page.evaluate('() => [...roots()[0].querySelectorAll("b,button,output,label,select,th,td,figcaption,.row>span,.box>div")].map(e => [e.textContent, getComputedStyle(e).color.match(/[\\d.]+/g).map(Number)])')
        assert len(colours)>10
        for word,c in colours: assert contrast(c, back)>=4.5, (word, c)
        page.locator('[name=frame]').fill('7')
        img = shot(page, page.locator('html'))
        for i,e in enumerate(page.locator('.marks i').all()):
            b = e.bounding_box(); x,y = int(b['x']+b['width']/2),int(b['y']+b['height']/2)
            assert contrast(img[y,x], back)>=3, i
            assert (abs(img[y-4,x-4].astype(int)-img[y,x]).max()<20)==bool(MASK[i]), 'on is square, off is round' # the second cue
            assert (contrast(img[y,int(b['x'])], back)>=3)==(i==7), 'the current frame alone has a line around it'

# --- where no script runs

def seen(page, parts):
    "The numbers that the columns of the moving picture show, and the frame that its last row marks"
    s = parts.spec; w,h = s['show']; n = len(s['cols'])
    img = shot(page, page.locator('img')).astype(int)
    left = 60 if any(r['name'] for r in s['rows']) else 0; d = (n*(w+4)-4-left)/s['T']; y = h+29+22*(len(s['rows'])-1)
    back = img[-1,-1]
    here = [t for t in range(s['T']) if abs(img[y-5,round(left+1+t*d)]-back).max()>60]
    marks = [[img[h+29+22*k,int(left+(t+.5)*d)] for t in range(s['T'])] for k in range(len(s['rows']))]
    return [said(img[h//2,i*(w+4)+w//2]) for i in range(n)],here,[[bool(m[0]>m[1]) for m in row] for row in marks]

@pytest.fixture(scope='module')
def calm(browser):
    "A Chromium whose reader wants less motion everywhere: playwright's `reduced_motion` does not reach into pictures"
    at = next(filter(None, map(shutil.which, ('chromium','chromium-browser','google-chrome'))))
    b = browser.browser_type.launch(executable_path=at, args=['--no-sandbox','--force-prefers-reduced-motion'])
    yield b
    b.close()

@pytest.mark.parametrize('who', ['browser','calm'])
def test_the_picture_moves_unless_less_motion_is_wanted(request, tmp_path, clip, who):
    parts = scrub_parts(clip, {'one':MASK, 'two':1-MASK}, fps=10); moves,at = who!='calm',set()
    with opened(request.getfixturevalue(who), tmp_path, parts_html(parts), java_script_enabled=False) as page:
        box = page.locator('img').bounding_box(); assert (box['width'],box['height'])==(2*160+4, 160+19+44)
        for _ in range(6):
            cols,here,marks = seen(page, parts); k = cols[0][0]
            assert cols==[(k,0),(k,1)] and here==[k] and marks==[(MASK>.5).tolist(), (MASK<.5).tolist()]
            at.add(k); page.wait_for_timeout(130)
    assert len(at)>2 if moves else at=={0}

def test_with_scripts_nothing_moves_by_itself(browser, tmp_path, clip):
    for motion in 'no-preference','reduce':
        with opened(browser, tmp_path, scrub_html(clip, MASK, fps=30), reduced_motion=motion) as page:
            ready(page); page.wait_for_timeout(200); assert at(page)==0
            page.locator('.play').click(); page.wait_for_function('state(0).value>1') # on demand it plays all the same

def test_the_picture_shows_heat(browser, tmp_path):
    f = np.full((2,32,32,3), 100, np.uint8); parts = scrub_parts({'a':(f, np.ones((2,32,32)))}, heat=.5)
    with opened(browser, tmp_path, parts_html(parts), java_script_enabled=False) as page:
        assert abs(shot(page, page.locator('img'))[80,80].astype(int)-overlay(f, np.ones((2,32,32)), .5)[0,16,16]).max()<=4

@pytest.mark.parametrize('T', [1,2,65,200])
def test_the_picture_is_well_formed(T):
    parts = scrub_parts({n: flat(T%81, 4, 4) if T<81 else np.zeros((T,4,4,3), np.uint8) for n in NASTY}, {n: np.zeros(T) for n in NASTY}, px=1)
    for s in scrub_svg(parts),unquote(re.search(r'src="data:image/svg\+xml,([^"]*)"', parts_html(parts))[1]):
        svg = minidom.parseString(s.encode())
        assert {t.firstChild.data for t in svg.getElementsByTagName('text') if t.firstChild}=={viz._text(n) for n in NASTY if n}
        for e in svg.getElementsByTagName('*'):
            for a in 'width','height','r': assert float(e.getAttribute(a) or 1)>0, e.toxml()[:200]

def test_what_is_left_without_scripts_passes_a_sanitizer():
    "JupyterLab's lets these elements through, and pictures from data addresses"
    page = re.sub(r'<script>.*</script>', '', scrub_html({n: flat() for n in NASTY}, MASK, NASTY[0], NASTY[0], scores=[(NASTY[0], NASTY[0])]), flags=re.S)
    tags = re.findall(r'<(\w+)([^>]*)>', page)
    assert {t for t,_ in tags}=={'div','b','br','img'}
    assert {a for t,rest in tags for a in re.findall(r'([\w-]+)=["\']', re.sub(r'"[^"]*"', '""', rest))}=={'class','id','style','alt','src'}
    assert 'javascript:' not in page

# --- painting

SETUP = '''async ([spec, src]) => { const i = new Image(); i.src = src; await i.decode()
    window.painted = []; window.moved = []; document.body.replaceChildren(document.createElement('div'))
    window.s = scrubber(document.body.firstChild, {painted: (k, m) => painted.push([k, [...m]]), moved: t => moved.push(t)}); s.show(spec, i) }'''

@contextlib.contextmanager
def painting(browser, tmp_path, mask=None, fps=6, **kwargs):
    "A page with a scrubber to paint on, as `Painter` makes it"
    p = scrub_parts({'original':flat(), 'frozen':flat()}, np.zeros(T) if mask is None else mask, fps=fps)
    p.spec['cols'][1] |= dict(by='freeze', mask=0); p.spec['rows'][0]['paint'] = True
    with opened(browser, tmp_path, f'<script>{scrub_js()}</script>', **kwargs) as page:
        page.evaluate(SETUP, [p.spec, 'data:image/jpeg;base64,'+viz.base64.b64encode(p.sheet).decode()])
        boxes = [e.bounding_box() for e in page.locator('.paint > *').all()]
        page.spot = lambda i: (boxes[0]['x']+(i+.5)*boxes[0]['width'], boxes[0]['y']+boxes[0]['height']/2)
        yield page

def painted(page):
    "The mask that the row shows; it has to be what was told last"
    m = page.evaluate('[...roots()[0].querySelector(".paint").children].map(e => +e.classList.contains("on"))')
    told = page.evaluate('painted')
    assert not told or told[-1]==[0,m], (told, m)
    return ''.join(map(str, m))

def press(page, *spots, button='left'):
    "Press at the first of `spots`, drag to the others, let go"
    page.mouse.move(*page.spot(spots[0])); page.mouse.down(button=button)
    for i in spots[1:]: page.mouse.move(*page.spot(i))
    page.mouse.up(button=button)

def test_every_mask_does_in_the_browser_what_it_does_in_python(browser, tmp_path):
    masks = all_masks(T); m = torch.from_numpy(masks)
    soft = np.random.default_rng(0).random((20,T)).astype(np.float32).round(2)
    with painting(browser, tmp_path) as page:
        look = '''([masks, by]) => { const r = roots()[0], pick = r.querySelector('figcaption select'); pick.value = by; pick.dispatchEvent(new Event('change'))
            return masks.map(m => { s.mask(0, m); return m.map((_, t) => { s.go(t); return pixels(r)[1] }) }) }'''
        for by,f in ('freeze',freeze),('reverse',reverse):
            for ms,want in (masks,f.index(m)),(soft,f.index(torch.from_numpy(soft>.5).float())):
                got = [[said(p)[0] for p in row] for row in page.evaluate(look, [ms.tolist(), by])]
                assert got==want.tolist(), by
        assert page.evaluate('painted')==[] # what comes from outside is not told back

def test_click_and_drag_paint(browser, tmp_path):
    for spots,mask,n in (([3],'00010000',1), ([1,5],'01111100',5), ([5,1],'01111100',5), ([2,3,4,3,2],'00111000',3), ([2,99],'00111111',6), ([5,-99],'11111100',6), ([0,99,-99],'1'*8,8)):
        with painting(browser, tmp_path) as page:
            press(page, *spots); assert painted(page)==mask, spots
            told = page.evaluate('painted')
            assert [sum(m) for _,m in told]==list(range(1, n+1)), 'told once for each change'
            page.mouse.move(*page.spot(7)); assert painted(page)==mask, 'paints on after it was let go'
    with painting(browser, tmp_path, np.ones(T)) as page: # starting from what is on, it switches off
        press(page, 6, 2); assert painted(page)=='11000001'
        press(page, 0, button='right'); assert painted(page)=='11000001'
        press(page, 2, 7); assert painted(page)=='11111111'

def test_a_drag_while_it_plays_paints_where_the_pointer_was(browser, tmp_path):
    with painting(browser, tmp_path, fps=60) as page:
        page.locator('.play').click(); page.mouse.move(*page.spot(2)); page.mouse.down()
        for i in 3,4: page.wait_for_timeout(120); page.mouse.move(*page.spot(i))
        page.mouse.up(); assert painted(page)=='00111000'

def test_the_picture_follows_within_the_press(browser, tmp_path):
    with painting(browser, tmp_path) as page:
        page.evaluate('() => document.addEventListener("pointerdown", () => { window.then = pixels(roots()[0]) })')
        press(page, 4); assert [said(p)[0] for p in page.evaluate('then')]==[4,3]
        assert page.evaluate('painted.length')==1 and page.evaluate('moved.at(-1)')==4

def test_fingers_paint(browser, tmp_path):
    with painting(browser, tmp_path, has_touch=True, viewport=dict(width=390, height=800)) as page:
        page.touchscreen.tap(*page.spot(6)); assert painted(page)=='00000010'
        cdp = page.context.new_cdp_session(page); touch = lambda kind,*p: cdp.send('Input.dispatchTouchEvent', dict(type=kind, touchPoints=[dict(x=x, y=y) for x,y in p]))
        touch('touchStart', page.spot(1))
        for i in 2,3,4: touch('touchMove', page.spot(i))
        touch('touchEnd'); assert painted(page)=='01111010'
        assert page.evaluate('scrollX+scrollY')==0

def test_the_keyboard_paints(browser, tmp_path):
    with painting(browser, tmp_path) as page:
        key = page.keyboard.press; where = lambda: page.evaluate('[...roots()[0].querySelector(".paint").children].indexOf(roots()[0].activeElement)')
        while where()<0: key('Tab')
        assert where()==0
        key('ArrowRight'); key('ArrowRight'); assert where()==2
        key('Enter'); assert painted(page)=='00100000'
        key('ArrowRight'); key('Space'); assert painted(page)=='00110000' and page.evaluate('painted.length')==2
        key('Space'); key('End'); key('Enter'); assert painted(page)=='00100001' and where()==7
        key('ArrowRight'); assert where()==0
        assert page.evaluate('state(0).play')=='Play', 'space on a mark does not play'
        key('Tab'); assert page.evaluate('roots()[0].activeElement.name')=='speed', 'the row is one stop'
        on = page.get_by_role('switch', name='frame 3', exact=True); assert on.get_attribute('aria-checked')=='true'
        on.evaluate('e => e.click()'); assert painted(page)=='00000001' and page.evaluate('state(0).value')==2, "a screen reader's click"
        tree = page.locator('.paint').aria_snapshot(); assert tree.count('switch "frame ')==T and tree.count('[checked]')==1, tree

def test_what_is_painted_on_a_soft_mask_is_of_0_and_1(browser, tmp_path):
    with painting(browser, tmp_path, [0,.2,.5,.501,.7,1,1,.9]) as page:
        assert painted(page)=='00011111'
        press(page, 1); assert page.evaluate('painted')==[[0,[0,1,0,1,1,1,1,1]]]
    with painting(browser, tmp_path, [0,.2,.5,.501,.7,1,1,.9]) as page:
        press(page, 4, 5); assert page.evaluate('painted.at(-1)')==[0,[0,0,0,1,0,0,1,1]]
