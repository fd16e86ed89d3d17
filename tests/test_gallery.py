"Galleries of explained clips: what is in them, what memory they take, and what they do in a browser."

import gc, html, re, warnings, weakref

import numpy as np, pytest
from torch import nn

from interpvid.core import STATS
from interpvid.explanation import Explanation, explain
from interpvid.gallery import gallery_html, gallery_scores, write_gallery
from interpvid.pages import explanation_pairs, figure_columns, write_page
from test_scrub import NASTY, contrast, flat, opened, shot

T = 8
CLASSES = ['up', 'down', 'left & "right" </script><b>']
OS = [0.9, 0.2, 0.7, 0.4, 0.6, 0.8]


def explained(i=0, model='I3D', pred=None, T=T, **kwargs):
    "Clip `i`, explained by hand"
    f = flat(T, col=i % 9)
    m = np.zeros(T, np.float32)
    m[: i % T + 1] = 1
    label = i % 3
    pred = label if pred is None else pred
    scores = dict(
        OS=OS[i % 6],
        FS=0.1 * (i % 6),
        RS=0.3,
        **{'FS binary': 0.2, 'RS binary': 0.3},
        **({} if pred == label else {'CS': 0.1 * (i % 6)}),
    )
    return Explanation(
        **{
            **dict(
                frames=f,
                mask=m,
                start=m,
                cam=np.full(f.shape[:3], 0.5, np.float16),
                target=pred,
                pred=pred,
                label=label,
                scores=scores,
                loss=dict(loss=0.5 + 0.01 * i),
                classes=CLASSES,
                model=model,
            ),
            **kwargs,
        }
    )


def pairs_of(n=6):
    "Every other clip is guessed wrong by the C-LSTM"
    return [[explained(i), explained(i, 'C-LSTM', (i % 3 + i % 2) % 3)] for i in range(n)]


# --- what is in it


def test_twenty_four_clips_of_two_networks_stay_light():
    rng = np.random.default_rng(0)

    def clip(i):  # as rough as the built-in clips, which measure 861 kB
        f = np.clip(
            np.kron(rng.integers(40, 220, (1, 8, 8, 3)), np.ones((16, 8, 8, 1))) + rng.normal(0, 4, (16, 64, 64, 3)),
            0,
            255,
        ).astype(np.uint8)
        cam = rng.random((16, 4, 4)).repeat(16, 1).repeat(16, 2).astype(np.float16)
        return [explained(i, n, T=16, frames=f, cam=cam) for n in ('I3D', 'C-LSTM')]

    h = gallery_html(clip(i) for i in range(24))
    assert len(h.encode()) < 900_000
    assert h.count('function scrubber(') == h.count('function gallery(') == 1
    assert h.count('class="ivg-card"') == 24


def test_it_asks_nothing_of_the_outside_and_is_the_same_each_time():
    h = gallery_html(pairs_of())
    assert h == gallery_html(pairs_of())
    for src in re.findall(r'(?:src|href)="([^"]*)"', h):
        assert src.startswith('data:image/')
    assert 'https://' not in h
    assert not re.search(r'http://(?!www.w3.org/2000/svg)', h)


def test_scores_are_those_of_the_explanation_and_none_where_there_is_none():
    e = explained(3, pred=1, loss={})
    s = gallery_scores(e)
    assert s == {
        'OS': 0.4,
        'soft FS': 0.3,
        'soft RS': 0.3,
        'FS': 0.2,
        'RS': 0.3,
        'CS': 0.3,
        'drop OS − soft FS': 0.1,
        'drop OS − soft RS': 0.1,
        'soft RS − soft FS': 0,
        'drop ratio': 1,
        'mask length': 4,
        'loss': None,
    }
    assert gallery_scores(explained(0, scores={})) == dict.fromkeys(s) | {'mask length': 1, 'loss': 0.5}


@pytest.mark.parametrize('nasty', NASTY)
def test_names_are_text(nasty, tmp_path):
    e = [explained(0, nasty, classes=[nasty] * 3), explained(0, 'B', 1, classes=[nasty] * 3)]
    h = gallery_html([e], names=[nasty])
    h.encode()
    assert h.count('<script') == h.count('</script') == 2
    assert '<script>window' not in h
    assert '<img src=x' not in h
    at = write_gallery(tmp_path / 'g', [e], nasty, names=[nasty])
    (made,) = at.parent.glob('clips/*.html')
    assert re.fullmatch(r'0001[A-Za-z0-9_-]*\.html', made.name)
    assert '<img src=x' not in made.read_text(encoding='utf-8') + at.read_text(encoding='utf-8')


def test_what_is_left_without_scripts_passes_a_sanitizer():
    "JupyterLab's keeps these elements, and pictures from data addresses"
    h = re.sub(r'<(script|style)[^>]*>.*?</\1>', '', gallery_html(pairs_of()), flags=re.S)
    assert {t for t in re.findall(r'<(\w+)', h)} == {'div', 'details', 'summary', 'span', 'b', 'br', 'img'}


SAID = {'I3D': ['No mask lowers this score.', 'One <place> in time.'], 'C-LSTM': []}


@pytest.fixture
def doubtful(monkeypatch):
    "Every third clip of the I3D has two notes, whatever it is that explanations are doubted for"
    notes = lambda e: SAID[e.model] if e.scores.get('OS') in (OS[0], OS[3]) else []
    monkeypatch.setattr(Explanation, 'notes', property(notes))


def test_notes_stand_on_the_card_and_on_the_clips_page(doubtful, tmp_path):
    "D12, B14: null results and empty maps are said where the clip is shown"
    pairs = pairs_of()
    h = gallery_html(pairs)
    assert h.count('class="ivg-note"') == 4
    assert 'No mask lowers this score.' in h and 'One &lt;place&gt; in time.' in h
    at = write_gallery(tmp_path / 'g', pairs, 't')
    assert at.read_text(encoding='utf-8').count('class="ivg-note"') == 4
    text = [p.read_text(encoding='utf-8') for p in sorted(at.parent.glob('clips/*.html'))]
    assert [('No mask lowers' in t, 'One &lt;place&gt;' in t) for t in text] == [
        (i in (0, 3), i in (0, 3)) for i in range(6)
    ]


def test_an_empty_mask_is_called_empty():
    "D12: a card with a mask that holds no frame"
    e = explained(0, mask=np.full(T, 0.4, np.float32), start=np.zeros(T, np.float32))
    assert 'empty mask' in gallery_html([e]) and 'empty mask' not in gallery_html([explained(0)])


def test_a_result_of_chance_is_said_on_the_card():
    "D12: .334/.334/.334 and an empty mask, without a word"
    scores = dict(OS=0.334, FS=0.334, RS=0.334) | {'FS binary': 0.334, 'RS binary': 0.334}
    e = explained(0, mask=np.zeros(T, np.float32), start=np.zeros(T, np.float32), scores=scores)
    assert e.notes and all(html.escape(n) in gallery_html([e]) for n in e.notes)
    assert all(html.escape(n) in explanation_pairs([('a', [e])]) for n in e.notes)
    assert 'with notes: I3D' in explanation_pairs([('a', [e])])


def test_a_map_that_says_nothing_is_said_to_on_the_card():
    "B14: a layer of one place in time gives every frame the same map"
    frames = flat(T)

    class Net(nn.Module):
        stats, classes, cam_layer = STATS, CLASSES, 'one'

        def __init__(self):
            super().__init__()
            self.one, self.head = nn.Conv3d(3, 4, (T, 3, 3)), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.one(x).mean((2, 3, 4)))

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        es = explain(Net(), frames[None], masks=np.zeros(T))
    assert any('One place in time' in n for n in es[0].notes)
    assert 'One place in time' in re.sub('<script.*', '', gallery_html(es), flags=re.S)
    assert 'One place in time' in re.sub('<script.*', '', explanation_pairs([('a', es)]), flags=re.S)


def test_figures_of_two_networks_stand_side_by_side_where_one_has_notes(doubtful):
    "D12: the notes are beneath the figure, as GIF and MP4 too"
    a, b = pairs_of(1)[0]
    assert a.notes and not b.notes
    both, alone = figure_columns(a, b, px=64), figure_columns(b, px=64)
    assert both.shape[1] == figure_columns(a, px=64).shape[1] > alone.shape[1]


def refused(*args, error=ValueError, match, **kwargs):
    with pytest.raises(error, match=match):
        gallery_html(*args, **kwargs)


def test_what_makes_no_gallery_is_said():
    a, b = pairs_of(2)
    refused([], match='no clips')
    refused(iter([]), match='no clips')
    refused([a, []], names=['x', 'y'], match=r'clip 2 \(y\): beside: a list of at least one')
    refused([a, [a[0], b[1]]], match=r'clip 2: beside: .*not of one clip.*zip\(ones, others\)')
    refused([a, b], names=['x'], match='1 names, and more clips')
    refused([a], names=['x', 'y'], match='more names than clips')
    refused([[explained(mask=np.full(T, np.nan))]], match='clip 1: .*NaN')
    refused([a], px=0, match='clip 1: px=0')


def test_one_network_needs_no_list_around_it():
    assert gallery_html([explained(0), explained(1)]) == gallery_html([[explained(0)], [explained(1)]])


# --- a folder


def given(n, alive, most):
    "Pairs made as they are asked for; `most` notes how many live at a time"
    for i in range(n):
        gc.collect()
        most.append(sum(r() is not None for r in alive))
        p = pairs_of(i + 1)[i]
        alive.append(weakref.ref(p[0]))
        yield p
        del p


def test_a_generator_keeps_one_clip_in_memory(tmp_path):
    for f in (lambda p: write_gallery(tmp_path / 'g', p, 't')), gallery_html:
        most = []
        f(given(5, [], most))
        assert most == [0] * 5, 'a clip lives on when the next is asked for'


def test_the_folder_links_what_is_there(tmp_path):
    at = write_gallery(
        tmp_path / 'deep' / 'g',
        pairs_of(),
        'Six <clips>',
        '<p>Said before.</p>',
        names=[f'{i}/..?' for i in range(6)],
        settings={'seed': 7},
    )
    files = {str(p.relative_to(at.parent)) for p in at.parent.rglob('[!.]*') if p.is_file()}
    assert files == {'index.html'} | {f'clips/000{i + 1}-{i}.{s}' for i in range(6) for s in ('html', 'jpg')}
    for f in files:
        if not f.endswith('html'):
            continue
        text = (at.parent / f).read_text(encoding='utf-8')
        for link in re.findall(r'(?:src|href)="([^"]*)"', text):
            assert link.startswith('data:') or ((at.parent / f).parent / link).is_file(), (f, link)
    index, clip = at.read_text(encoding='utf-8'), (at.parent / 'clips' / '0002-1.html').read_text(encoding='utf-8')
    assert 'Six &lt;clips&gt;' in index
    assert '<p>Said before.</p>' in index
    assert '"seed": 7' in index
    assert index.count('loading="lazy"') == 6
    assert 'function scrubber(' not in index
    assert len(index) < 40_000
    assert 'rel="prev"' in clip
    assert 'href="0003-2.html" rel="next"' in clip
    assert 'down · 1/..?' in clip
    assert 'rel="next"' not in (at.parent / 'clips' / '0006-5.html').read_text(encoding='utf-8')


def test_it_is_written_whole_or_not_at_all(tmp_path):
    def broken():
        yield from pairs_of(3)
        raise OSError('the disk is gone')

    with pytest.raises(OSError, match='the disk is gone'):
        write_gallery(tmp_path / 'g', broken(), 't')
    with pytest.raises(ValueError, match='no clips'):
        write_gallery(tmp_path / 'g', [], 't')
    assert not list(tmp_path.iterdir())
    at = write_gallery(tmp_path / 'g', pairs_of(3), 'before')
    was = at.read_text(encoding='utf-8')
    with pytest.raises(OSError):
        write_gallery(tmp_path / 'g', broken(), 'after')
    assert at.read_text(encoding='utf-8') == was
    assert [p.name for p in tmp_path.iterdir()] == ['g']
    write_gallery(tmp_path / 'g', pairs_of(1), 'after')
    assert len(list(at.parent.glob('clips/*.html'))) == 1, 'a gallery is replaced, not added to'


def test_what_is_no_gallery_is_never_replaced(tmp_path):
    (tmp_path / 'clips').mkdir()
    (tmp_path / 'clips' / 'mine.mp4').write_text('x')
    (tmp_path / 'index.html').write_text('my page')
    (tmp_path / 'file').write_text('x')
    for at, error, match in (
        (tmp_path, IsADirectoryError, 'files that interpvid did not write.*clips/mine.mp4'),
        (tmp_path / 'file', FileExistsError, 'not written by interpvid'),
    ):
        with pytest.raises(error, match=match):
            write_gallery(at, pairs_of(1), 't')
    assert (tmp_path / 'clips' / 'mine.mp4').exists()
    assert (tmp_path / 'index.html').read_text() == 'my page'


def test_an_image_of_ones_own_in_a_gallery_keeps_it_from_being_replaced(tmp_path):
    at = write_gallery(tmp_path / 'g', pairs_of(1), 't')
    mine = at.parent / 'clips' / 'mine.jpg'
    mine.write_text('x')
    with pytest.raises(IsADirectoryError, match='mine.jpg'):
        write_gallery(tmp_path / 'g', pairs_of(1), 't')
    mine.unlink()
    write_gallery(tmp_path / 'g', pairs_of(2), 't')


def test_a_page_of_ones_own_is_never_replaced(tmp_path):
    index = tmp_path / 'index.html'
    index.write_text('my page')
    with pytest.raises(FileExistsError, match='index.html'):
        write_page(index, 'Results')
    assert index.read_text() == 'my page'
    index.unlink()
    for title in 'one', 'two':
        write_page(index, title)
    assert '<h1>two</h1>' in index.read_text()


def test_an_empty_folder_becomes_a_gallery(tmp_path):
    (tmp_path / 'empty').mkdir()
    write_gallery(tmp_path / 'empty', pairs_of(1), 't')


# --- in a browser


def select(p, name):
    return p.get_by_role('combobox', name=name, exact=True)


def choose(p, name, *value, **by):
    select(p, name).select_option(*value, **by, timeout=5000)


def shown(p):
    "Numbers of the clips, in the order shown"
    return [int(s) for s in p.locator('.ivg-card:visible .ivg-head span').all_inner_texts()]


def count(p):
    return p.locator('.ivg-bar output').inner_text()


def names(n=6):
    return list(map(str, range(n)))


def test_scores_order_the_cards_and_what_has_none_comes_last(browser, tmp_path):
    pairs = pairs_of()
    keys = list(gallery_scores(pairs[0][0]))
    with opened(browser, tmp_path, gallery_html(pairs, names=names())) as p:
        assert shown(p) == [0, 1, 2, 3, 4, 5]
        assert count(p) == '6 of 6 clips'
        for j, m in enumerate(('I3D', 'C-LSTM')):
            for k, name in enumerate(keys):
                v = {i: gallery_scores(es[j])[name] for i, es in enumerate(pairs)}
                choose(p, 'sort by', label=f'{m}: {name}')
                for down in '', '1':
                    choose(p, 'order', down)
                    order = shown(p)
                    assert order == sorted(
                        v, key=lambda i: (v[i] is None, 0 if v[i] is None else -v[i] if down else v[i], i)
                    ), (m, name, down)
                    said = p.locator('.ivg-val').all_inner_texts()
                    assert said[-1].startswith(f'{m}: {name} ') and (
                        v[order[-1]] is not None or said[-1].endswith('none')
                    ), said
        choose(p, 'sort by', 'class')
        choose(p, 'order', '')
        assert shown(p) == [1, 4, 2, 5, 0, 3]
        choose(p, 'order', '1')
        assert shown(p) == [0, 3, 2, 5, 1, 4]
        choose(p, 'sort by', 'given')
        assert shown(p) == [5, 4, 3, 2, 1, 0]
        assert p.locator('.ivg-val').all_inner_texts() == [''] * 6


def test_filters_and_their_count(browser, tmp_path):
    with opened(browser, tmp_path, gallery_html(pairs_of(), names=names())) as p:
        choose(p, 'true class', '0')
        assert shown(p) == [1, 4] and count(p) == '2 of 6 clips'  # by name: down, left, up
        assert select(p, 'true class').locator('option').all_inner_texts() == [
            'all',
            'down (2)',
            f'{CLASSES[2]} (2)',
            'up (2)',
        ]
        choose(p, 'true class', '')
        choose(p, 'prediction', 'wrong')
        assert shown(p) == [1, 3, 5]
        choose(p, 'prediction', 'right')
        assert shown(p) == [0, 2, 4]
        choose(p, 'network', '0')
        assert shown(p) == [0, 1, 2, 3, 4, 5], 'of the network that is shown'
        choose(p, 'prediction', 'wrong')
        assert shown(p) == []
        assert count(p).startswith('0 of 6 clips: ')
        assert p.locator('output').get_attribute('aria-live') == 'polite'


def test_clips_with_notes_can_be_picked(browser, tmp_path, doubtful):
    "D12: a filter for null results and other doubts"
    with opened(browser, tmp_path, gallery_html(pairs_of(), names=names())) as p:
        choose(p, 'notes', 'with')
        assert shown(p) == [0, 3]
        choose(p, 'notes', 'without')
        assert shown(p) == [1, 2, 4, 5]
        choose(p, 'network', '1')
        assert shown(p) == [0, 1, 2, 3, 4, 5], 'of the network that is shown'
        choose(p, 'network', '0')
        choose(p, 'notes', 'with')
        assert shown(p) == [0, 3] and p.locator('.ivg-note:visible').count() == 4
        p.locator('summary').first.click()
        p.wait_for_function('roots().length==1')
        assert p.locator('.ivg-note:visible').count() == 2, 'of the card that is closed'
        said = p.locator('.ivg-card').first.get_by_text('No mask lowers this score.')
        assert said.count() == 2, 'the scrubber has it'
    with opened(browser, tmp_path, gallery_html([explained(1, 'C-LSTM')] * 2, names=names(2))) as p:
        assert not select(p, 'notes').count(), 'no choice where there are none'


SEEN = '''roots().map(r => [[...r.querySelectorAll("figcaption")].map(f => f.textContent),
    r.querySelectorAll(".marks").length,
    [...r.querySelectorAll("th")].map(t => (t.querySelector("small") || t).textContent)])'''


def test_a_network_alone_keeps_what_is_sorted_by_and_has_its_scrubber(browser, tmp_path):
    pairs = pairs_of() + [[explained(6, 'C-LSTM')]]
    with opened(browser, tmp_path, gallery_html(pairs, names=names(7))) as p:
        choose(p, 'sort by', '0 0')
        assert p.locator('.ivg-val').last.inner_text() == 'I3D: OS none', 'a clip that the network did not see'
        p.locator('summary').nth(0).click()
        p.wait_for_function('roots().length==1')
        seen = lambda: p.evaluate(SEEN)[0]
        assert len(seen()[0]) == 5
        assert seen()[1] == 2
        choose(p, 'network', '1')
        assert len(shown(p)) == 7
        assert select(p, 'sort by').input_value() == '1 0'
        assert seen() == [
            ['original', 'C-LSTM Grad-CAM', 'C-LSTM frozen'],
            1,
            ['C-LSTM OS', 'C-LSTM FS', 'C-LSTM RS', 'C-LSTM CS'],
        ]
        assert set(p.locator('.ivg-net:visible > b').all_inner_texts()) == {'C-LSTM'}
        choose(p, 'network', '0')
        assert len(shown(p)) == 6
        assert seen()[0][1:] == ['I3D Grad-CAM', 'I3D frozen']
        assert seen()[2] == ['I3D OS', 'I3D FS', 'I3D RS']
        p.locator('summary:visible').nth(2).click()
        p.wait_for_function('roots().length==2')
        assert p.evaluate('roots()[1].querySelectorAll("canvas").length') == 3, 'opened while a network is chosen'
        choose(p, 'network', '')
        assert len(seen()[0]) == 5
        assert p.evaluate('roots()[1].querySelectorAll("canvas").length') == 5


def test_keyboard_alone_is_enough(browser, tmp_path):
    with opened(browser, tmp_path, gallery_html(pairs_of(3), names=names(3))) as p:
        key = p.keyboard.press
        for name in 'sort by', 'order', 'true class', 'network', 'prediction', 'notes':
            key('Tab')
            assert p.evaluate('document.activeElement.parentNode.firstChild.textContent') == name
            assert p.evaluate('getComputedStyle(document.activeElement).outlineStyle') == 'solid'
            if name == 'order':
                key('ArrowDown')
                assert shown(p) == [2, 1, 0]
        key('Tab')
        assert p.evaluate('document.activeElement.innerText').split()[-1] == '2', 'cards follow in the order shown'
        key('Enter')
        p.wait_for_function('roots().length==1')
        key('Tab')
        key('ArrowRight')
        assert p.evaluate('state(0).value') == 1
        tree = p.locator('.ivg').aria_snapshot()
        assert 'group "sort and filter"' in tree
        assert 'combobox "sort by"' in tree
        assert 'status' in tree
        assert 'img "mask, 1 is on: 11000000"' in tree
        assert tree.count('listitem') == 3
        assert not re.findall(r'- (?:button|slider|combobox|checkbox|img|link)(?![^\n]*")', tree), (
            f'without a name: {tree}'
        )


def test_several_on_one_page_do_not_clash(browser, tmp_path):
    same = gallery_html(pairs_of(), names=names())
    other = gallery_html([explained(i) for i in range(4)], names=names(4))
    with opened(browser, tmp_path, same, same, other) as p:
        assert p.locator('.ivg-bar').count() == 3
        select(p, 'order').nth(1).select_option('1')
        order = lambda i: ''.join(p.locator('.ivg').nth(i).locator('.ivg-head span').all_inner_texts())
        assert [order(i) for i in range(3)] == ['012345', '543210', '0123']
        for i in 0, 1, 2:
            p.locator('.ivg').nth(i).locator('summary').first.click()
        p.wait_for_function('roots().length==3')
        assert select(p, 'sort by').count() == 3 and select(p, 'network').count() == 2, 'one network is no choice'


@pytest.mark.parametrize('scripts', [True, False])
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_it_fits_on_a_phone(browser, tmp_path, scripts, scheme):
    long = 'W' * 200
    pairs = [
        [explained(i, n, 1, classes=[long, 'b', 'c'], T=t) for n in ('I3D', long)] for i, t in enumerate((8, 1, 65))
    ]
    h = gallery_html(pairs, names=[long] * 3)
    with opened(
        browser, tmp_path, h, viewport=dict(width=390, height=800), scheme=scheme, java_script_enabled=scripts
    ) as p:
        for s in p.locator('summary').all():
            s.click()
        if scripts:
            p.wait_for_function('roots().length==3')
        else:
            assert p.locator('.ivg select').count() == 0, 'nothing to choose where nothing would happen'
        for e in p.locator('.ivg *').all():
            if e.is_visible() and (b := e.bounding_box()):
                assert b['x'] + b['width'] <= 390.5, e.evaluate('e => e.outerHTML.slice(0, 80)')
        for e in p.locator('.ivg img:visible').all():
            assert e.evaluate('e => e.naturalWidth') > 0, 'a picture that cannot be drawn'


COLOURS = r'''[...document.querySelectorAll(".ivg :is(b,span,label,select,output,div)")].map(
    e => [e.textContent, getComputedStyle(e).color.match(/[\d.]+/g).map(Number)])'''


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_text_stands_out(browser, tmp_path, scheme):
    page = gallery_html(pairs_of(3), names=names(3))
    with opened(browser, tmp_path, page, scheme=scheme, device_scale_factor=3) as p:
        choose(p, 'sort by', '0 0')
        back = shot(p, p.locator('html'))[-5, -5]
        assert (back.mean() > 200) == (scheme == 'light')
        colours = p.evaluate(COLOURS)
        for word, c in colours:
            assert contrast(c, back) >= 4.5, (word, c)
        b = p.locator('.ivg-net img').nth(2).bounding_box()
        img = shot(p, p.locator('html'))  # of clip 2: on, on, on, off, …
        at = lambda i, d=0: img[
            int(3 * (b['y'] + b['height'] / 2 + d)), int(3 * (b['x'] + (i + 0.5) * b['width'] / T + d))
        ].astype(int)
        for i in range(T):
            assert contrast(at(i), back) >= 3 and (abs(at(i, -3.6) - at(i)).max() < 40) == (i < 3), (
                f'{i}: on is square, off is round'
            )


def test_a_folder_opens_from_the_disk(browser, tmp_path):
    index = write_gallery(tmp_path / 'g', pairs_of(), 'Six', names=names())
    wrong = []
    with browser.new_context(viewport=dict(width=390, height=800)) as c:
        p = c.new_page()
        p.on('console', lambda m: wrong.append(m.text) if m.type == 'error' else None)
        p.on('pageerror', lambda e: wrong.append(e.message))
        p.on('requestfailed', lambda r: wrong.append(f'not there: {r.url}'))
        p.goto(index.as_uri())
        choose(p, 'network', '1')
        choose(p, 'sort by', '1 0')
        choose(p, 'order', '1')
        order = shown(p)
        assert order == [0, 5, 2, 4, 3, 1]
        assert all(p.locator('.ivg-strip').evaluate_all('es => es.map(e => e.naturalWidth > 0)'))
        p.locator('.ivg-card a').nth(1).click()
        p.wait_for_url('**/0006-5.html')
        p.wait_for_function('document.querySelector(".iv").shadowRoot?.querySelector("canvas")')
        p.get_by_role('button', name='Next').click()
        assert p.locator('[name=frame]').input_value() == '1'
        assert p.evaluate('document.documentElement.scrollWidth') <= 390
        assert p.get_by_role('heading', level=1).inner_text().endswith('· 5')
        p.go_back()
        p.wait_for_selector('.ivg-bar')
        assert shown(p) == order and select(p, 'network').input_value() == '1', 'as it was left'
        p.locator('.ivg-card a').nth(1).click()
        p.get_by_role('link', name='previous').click()
        p.wait_for_url('**/0005-4.html')
        p.get_by_role('link', name='all clips').click()
        p.wait_for_url('**/index.html')
        assert p.evaluate('document.documentElement.scrollWidth') <= 390
    assert not wrong, wrong
