"`interpvid demo`: what its server answers and refuses, and its page in a browser."

import json, re, subprocess, sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from interpvid import demo as demos
from interpvid.demo import LIMIT, Demo, drawn_clips, is_here, run_demo, serving
from interpvid.video import write_video

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module')
def clips():
    return drawn_clips()[1:3]


@pytest.fixture(scope='module')
def video(clips, tmp_path_factory):
    "A video of the reader's own: a drawn clip, twice as long"
    return write_video(tmp_path_factory.mktemp('videos') / 'mine.mp4', clips[0].frames.repeat(2, 0), fps=16)


@pytest.fixture(scope='module')
def server(clips):
    with serving(Demo(clips)) as s:
        yield s


def send(url, data=None, **headers):
    "Status and reply"
    data = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
    try:
        with urlopen(Request(url, data, headers), timeout=300) as r:
            return r.status, r.read().decode(), r.headers
    except HTTPError as e:
        return e.code, e.read().decode(), e.headers


# --- the server


def test_only_those_who_know_the_token_get_in(server):
    inside = send(server.url)
    assert inside[0] == 200 and 'Which frames does it need?' in inside[1]
    base = server.url.replace(server.token + '/', '')
    for url in base, base + 'demo.js', base + 'x' * len(server.token) + '/', base + server.token[:-1] + '/':
        code, said, _ = send(url)
        assert code == 404 and server.token not in said
    assert send(base + 'x/open', {'clip': 0, 'net': 'i3d-events'})[0] == 404


def test_other_hosts_and_other_pages_are_refused(server):
    assert send(server.url, Host='evil.example')[0] == 404
    port = server.server_address[1]
    assert send(server.url, Host=f'evil.example:{port}')[0] == 404
    assert send(server.url, Host='localhost:1234')[0] == 200  # through a tunnel of ssh
    assert send(server.url + 'open', {'clip': 9, 'net': 'i3d-events'}, Origin='http://evil.example')[0] == 404
    assert server.server_address[0] == '127.0.0.1'
    assert not any(map(is_here, ('', None, 'evil', 'localhost.evil.example', '127.0.0.1.evil.example:80')))


def test_no_path_from_the_page_reaches_the_disk(server):
    for path in '../../../etc/passwd', '%2e%2e/%2e%2e/etc/passwd', 'static/demo.js', '/etc/passwd', 'demo.js/..':
        code, said, _ = send(server.url + path)
        assert code == 404 and 'root:' not in said
    for net in '../kept/i3d-events', '/etc/passwd', 'i3d-events.safetensors':
        code, said, _ = send(server.url + 'open', {'clip': 0, 'net': net})
        assert code == 400 and 'there is no network' in said


def test_the_page_may_load_nothing_from_elsewhere(server):
    _, page, headers = send(server.url)
    assert "default-src 'none'" in headers['Content-Security-Policy']
    assert headers['Cache-Control'] == 'no-store' and headers['Referrer-Policy'] == 'no-referrer'
    assert not re.search(r'(?:src|href)="https?:', page)


def test_messages_that_make_no_sense_are_refused(server):
    for body in b'', b'{', b'[1]', b'{"clip": 0}', b'{"clip": 0, "net": "i3d-events", "more": 1}', b'\xff\xfe':
        code, said, _ = send(server.url + 'open', body)
        assert code == 400 and json.loads(said)['error'], body
    assert send(server.url + 'keep', {})[0] == 404  # a method of `Demo` that is no action
    assert send(server.url + 'open', {'clip': 77, 'net': 'i3d-events'})[0] == 400
    assert send(server.url)[0] == 200


def test_a_file_that_is_too_large_is_refused_unread(server):
    code, said, _ = send(server.url + 'add', b'x', **{'Content-Length': str(LIMIT + 1)})
    assert code == 400 and 'at most 200 are taken' in said


def test_a_file_that_is_no_video_is_said_without_a_path(server, tmp_path):
    before = set(Path(demos.tempfile.gettempdir()).glob('interpvid-demo-*'))
    code, said, _ = send(server.url + 'add', b'this is no video' * 100)
    assert code == 400 and 'the file' in said and '/tmp' not in said and 'interpvid-demo' not in said
    assert set(Path(demos.tempfile.gettempdir()).glob('interpvid-demo-*')) == before


def test_own_videos_are_kept_up_to_a_number(clips, monkeypatch):
    monkeypatch.setattr(demos, 'OWN', 2)
    d = Demo(clips)
    kept = [d.keep(clips[0].frames, {})['clip'] for _ in range(4)]
    assert list(d.clips) == [0, 1, *kept[-2:]]
    with pytest.raises(ValueError, match='no longer here'):
        d.clip(kept[0])


def test_a_taken_port_is_said(server):
    with pytest.raises(OSError, match='--port 0 takes a free one'):
        run_demo(server.server_address[1], no_browser=True)


@pytest.mark.posix
def test_the_command_prints_its_address_and_ends_with_ctrl_c():
    import signal

    code = (
        'import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); '
        "from interpvid.cli import main; sys.exit(main(['demo', '--no-browser']))"
    )
    p = subprocess.Popen([sys.executable, '-W', 'ignore', '-c', code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        url = p.stdout.readline().split()[0]
        assert re.fullmatch(r'http://127\.0\.0\.1:\d+/[\w-]{20,}/', url)
        assert send(url)[0] == 200
        p.send_signal(signal.SIGINT)
        assert 'has ended' in p.stdout.read()
        assert p.wait(60) == 0
    finally:
        p.kill()


# --- the page, in a browser

BUSY = '''() => document.querySelector('.shown').ariaBusy == 'false'
  && document.querySelector('.widget canvas, .widget div')'''


def opened(browser, server, **kwargs):
    wrong = []
    context = browser.new_context(**{'viewport': dict(width=1280, height=900), **kwargs})
    page = context.new_page()
    page.set_default_timeout(240_000)
    page.on('pageerror', lambda e: wrong.append(e.message))
    page.on('console', lambda m: wrong.append(m.text) if m.type == 'error' else None)
    page.on('request', lambda r: None if r.url.startswith((server.url, 'data:', 'blob:')) else wrong.append(r.url))
    page.goto(server.url)
    return context, page, wrong


def explained(page):
    "Waits until something is explained, and says what"
    page.wait_for_function("() => document.querySelector('.shown').ariaBusy == 'false'")
    return page.locator('.answer').inner_text()


def scores(page):
    "The numbers of the widget's table, by the first word of each row"
    page.wait_for_function(
        "() => { const s = [...document.querySelectorAll('.widget *')].map(e => e.shadowRoot)"
        ".find(r => r)?.querySelector('.scores'); return s && s.rows.length && !s.classList.contains('wait') }"
    )
    return page.locator('.widget .scores').inner_text()


def test_clicked_through(browser, server, video):
    context, page, wrong = opened(browser, server)
    first = explained(page)
    assert first.startswith('I3D says') and 'Drawn was' in first
    before = scores(page)
    marks = page.locator('.widget').get_by_role('switch')
    assert marks.count() == 16
    was = [m.get_attribute('aria-checked') for m in marks.all()]
    other = next(i for i, v in enumerate(was) if v == 'false')
    marks.nth(other).click()
    page.wait_for_function(
        "was => { const r = [...document.querySelectorAll('.widget *')].map(e => e.shadowRoot).find(r => r);"
        " return !r.querySelector('.scores').classList.contains('wait')"
        " && r.querySelector('.scores').innerText != was }",
        arg=before,
    )
    assert marks.nth(other).get_attribute('aria-checked') == 'true'

    page.get_by_role('button', name='As at first').click()  # back to the learned mask, and its scores
    page.wait_for_function(
        "i => [...document.querySelectorAll('.widget *')].map(e => e.shadowRoot).find(r => r)"
        ".querySelectorAll('[role=switch]')[i].ariaChecked == 'false'",
        arg=other,
    )
    assert [m.get_attribute('aria-checked') for m in marks.all()] == was
    page.get_by_role('button', name='Best window').click()
    page.wait_for_function("() => [...document.querySelectorAll('.do button')].every(b => !b.disabled)")
    assert 'Best window' in page.locator('.widget').inner_text() or 'loss' in scores(page)

    page.get_by_label('C-LSTM').check()
    assert explained(page).startswith('C-LSTM says')
    page.locator('[type=file]').set_input_files(video)
    page.wait_for_function("() => document.querySelectorAll('[name=clip]').length == 3")
    mine = explained(page)
    assert mine.startswith('C-LSTM says') and 'nearest of these' in mine
    assert page.locator('[name=clip]:checked').locator('..').inner_text().strip() == 'your video 1'
    page.locator('[type=file]').set_input_files({'name': '../../x.mp4', 'mimeType': 'video/mp4', 'buffer': b'no video'})
    page.wait_for_function("() => document.querySelector('.answer').classList.contains('error')")
    assert 'the file' in page.locator('.answer').inner_text()
    assert not [w for w in wrong if '400' not in w], wrong  # the browser notes the refused file
    context.close()


def test_by_keyboard_alone(browser, server):
    context, page, wrong = opened(browser, server)
    explained(page)
    page.keyboard.press('Tab')
    focus = lambda: page.evaluate("() => document.activeElement.name + '=' + document.activeElement.value")
    assert focus() == 'net=i3d-events'
    page.keyboard.press('Tab')
    assert focus() == 'clip=0'
    page.keyboard.press('ArrowRight')
    assert focus() == 'clip=1' and 'I3D says' in explained(page)
    marks = page.locator('.widget').get_by_role('switch')
    was = marks.first.get_attribute('aria-checked')
    for _ in range(30):
        page.keyboard.press('Tab')
        deep = page.evaluate(
            "() => { let e = document.activeElement; "
            "while (e.shadowRoot?.activeElement) e = e.shadowRoot.activeElement; return e.role }"
        )
        if deep == 'switch':
            break
    assert deep == 'switch'
    page.keyboard.press('Home')
    page.keyboard.press('Enter')
    assert marks.first.get_attribute('aria-checked') != was
    assert not wrong, wrong
    context.close()


WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
SMALL = """() => [...document.querySelectorAll('button, summary, .nets label, .row label, [type=file]')]
  .map(e => [e.innerText.slice(0, 20), e.getBoundingClientRect().height]).filter(([, h]) => h && h < 44)"""
CONTRAST = """() => {
  const rgb = c => c.match(/[\\d.]+/g).map(Number)
  const back = e => {
    for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] !== 0) return c }
  }
  const linear = v => (v /= 255) <= .03928 ? v/12.92 : ((v+.055)/1.055)**2.4
  const lum = c => { const [r, g, b] = c.map(linear); return .2126*r+.7152*g+.0722*b }
  const texts = [...document.querySelectorAll('h1, p, legend, label, li, button, summary')]
  return texts.filter(e => e.innerText && !e.disabled).map(e => {
    const [a, b] = [lum(rgb(getComputedStyle(e).color)), lum(back(e))].sort((x, y) => y-x)
    return [e.innerText.slice(0, 20), (a+.05)/(b+.05)]
  }).filter(([, c]) => c < 4.5)
}"""


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [1280, 390])
def test_it_fits_every_screen(browser, server, width, scheme, tmp_path):
    context, page, wrong = opened(
        browser, server, viewport=dict(width=width, height=844), color_scheme=scheme, has_touch=width < 500
    )
    explained(page)
    page.locator('.widget canvas').first.wait_for()
    assert page.evaluate(WIDE) <= 0
    assert page.evaluate(SMALL) == []
    assert page.evaluate(CONTRAST) == []
    assert not wrong, wrong
    if shots := __import__('os').environ.get('INTERPVID_SHOTS'):
        page.screenshot(path=f'{shots}/demo-{width}-{scheme}.png', full_page=True)
    context.close()
