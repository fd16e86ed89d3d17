"What can be measured of a page on a screen: targets for fingers, contrast of text, what is cut off."

from pathlib import Path

PHONE = dict(viewport=dict(width=390, height=844), has_touch=True, is_mobile=True, device_scale_factor=1)

MEASURE = Path(__file__).with_suffix('.js').read_text(encoding='utf-8').partition('\n')[2]


def measured(page):
    "What `MEASURE` finds on a page that is open"
    return page.evaluate(MEASURE)
