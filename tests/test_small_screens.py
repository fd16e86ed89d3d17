"""Widgets and pages on a phone, light and dark: targets for fingers, contrast, nothing cut off

The pages of the site are measured the same way in test_site.py, where they are opened anyway.
"""

import numpy as np, pandas as pd, pytest

from interpvid.gallery import gallery_html
from interpvid.pages import explanation_pairs, html_table, page
from interpvid.viz import scrub_html
from interpvid.widgets import Scrubber
from screens import PHONE, measured
from test_scrub import MASK, T, explanation, flat, opened, painter, painting, ready

SCHEMES = 'light', 'dark'


def everything():
    "A scrubber with all that it can show"
    rng = np.random.default_rng(0)
    return scrub_html(
        {'original': flat(), 'Grad-CAM': (flat(), np.ones((T, 16, 16)) / 2), 'frozen': flat()},
        {'I3D': MASK, 'C-LSTM': 1 - MASK},
        'I3D: Pushing something from left to right',
        'predicted: Pushing something from right to left (P 3); true class: Pushing something from left to right',
        scores=[
            ('OS', 0.92, 'of the class explained, on the clip as it is', 'second best: Holding something 0.051'),
            ('FS', 0.06, 'with the masked frames frozen', 'predicted: Holding something 0.801'),
            ('loss', '0.123', 'of the soft mask (paper, Eq. 1)'),
        ],
        curves={'Shapley values': rng.normal(size=T), 'motion energy': rng.random(T)},
    )


def shown():
    "What is shown on pages"
    table = html_table(pd.DataFrame(np.random.default_rng(0).random((2, 14)), index=['a network', 'another']))
    es = [explanation(), explanation(model='B')]
    return {
        'scrubber': everything(),
        'plain frames': scrub_html({'a': flat()}),
        'gallery': gallery_html([[explanation(i)] for i in range(3)]),
        'page': page('A page with a long title', table, explanation_pairs([('a clip', es)]), settings=dict(px=3)),
    }


@pytest.mark.parametrize('scheme', SCHEMES)
def test_what_pages_show_fits_a_phone(browser, tmp_path, scheme):
    for name, html in shown().items():
        with opened(browser, tmp_path, html, scheme=scheme, **PHONE) as p:
            if name != 'gallery':
                ready(p, 1)
            elif name == 'gallery':
                p.locator('summary').first.click()
                ready(p, 1)
            m = measured(p)
            for what in 'faint', 'code', 'tables':
                assert not m[what], (name, what, m[what])
            assert m['wide'] <= 0 and m['texts'] >= 2, (name, m)
            assert not m['small'], (name, m['small'])


@pytest.mark.parametrize('scheme', SCHEMES)
def test_painting_fits_a_phone(browser, tmp_path, scheme):
    "Marks are as wide as a screen lets them; a large button does the same to the frame that is shown"
    with painting(browser, tmp_path, scheme=scheme, **PHONE) as p:
        m = measured(p)
        assert not m['faint'] and not m['small'] and m['wide'] <= 0, m
        one = p.get_by_role('button', name='Mask this frame')
        assert min(one.bounding_box()[k] for k in ('width', 'height')) >= 44
        p.get_by_role('slider', name='frame').fill('5')
        one.tap()
        assert p.evaluate('painted') == [[0, [0, 0, 0, 0, 0, 1, 0, 0]]]
        assert one.get_attribute('aria-pressed') == 'true'
        one.tap()
        assert p.evaluate('painted.at(-1)') == [0, [0] * T]
        assert p.locator('.paint').bounding_box()['height'] >= 44


def test_the_button_for_one_frame_is_for_fingers_alone(browser, tmp_path):
    with painting(browser, tmp_path) as p:
        assert not p.locator('.this').is_visible()


def test_controls_beside_a_widget_are_large_enough_for_fingers(browser, tmp_path):
    "ipywidgets' own buttons and menus, by the style that a widget brings along"
    controls = painter().children[1]
    assert 'interpvid-touch' in controls._dom_classes
    css = Scrubber(flat(), MASK)._css
    html = (
        f'<style>.jupyter-button {{ height: 28px; width: 30px }} {css}</style><div class="interpvid-touch">'
        '<button class="jupyter-button">Learn</button><select><option>a</select></div>'
    )
    for screen, least in (PHONE, 44), ({}, 0):
        with opened(browser, tmp_path, html, **screen) as p:
            sides = p.locator('button, select').evaluate_all(
                'es => es.map(e => e.getBoundingClientRect()).flatMap(b => [b.width, b.height])'
            )
            assert (min(sides) >= 44) == bool(least), sides


def test_dark_is_what_the_page_says(browser, tmp_path):
    "A switch of the page, as JupyterLab has one, counts more than the system; it is followed at once"
    with opened(browser, tmp_path, everything()) as p:
        ready(p)
        dark = lambda: p.evaluate(
            '() => [document.querySelector(".iv").classList.contains("iv-dark"), '
            'getComputedStyle(roots()[0].querySelector("select")).colorScheme]'
        )
        assert dark() == [False, 'light']
        style = 'body[data-jp-theme-light=false] { background: #111; color: #eee }'
        p.add_style_tag(content=style)
        p.evaluate('() => { document.body.dataset.jpThemeLight = "false" }')
        p.wait_for_function('document.querySelector(".iv").classList.contains("iv-dark")')
        assert dark() == [True, 'dark']
        assert not measured(p)['faint']
        p.evaluate('() => { delete document.body.dataset.jpThemeLight }')
        p.wait_for_function('!document.querySelector(".iv").classList.contains("iv-dark")')


LONG = 'wide ' * 60
FAULTS = f"""<style>p {{ color: #999; background: #fff }} pre {{ overflow: hidden }}
button {{ width: 20px; height: 20px; padding: 0 }}</style>
<p>faint words</p><pre>{LONG}</pre><button>x</button><table><tr><td style="white-space: nowrap">{LONG}</td></tr></table>
<p style="color: #000">A sentence with <a href="#">a link</a> in it</p>"""


def test_faults_are_measured(browser, tmp_path):
    "A measure that finds nothing anywhere would pass everywhere"
    with opened(browser, tmp_path, FAULTS, **PHONE) as p:
        m = measured(p)
        assert [f.split()[0] for f in m['faint']][:1] == ['2.85'], m
        assert m['code'] and m['tables'] and m['wide'] > 0
        assert m['smallest']['side'] == 20 and len(m['small']) == 1, 'a link in a sentence is left out'
