import os
from pathlib import Path

import pytest

from lab import chromium
from interpvid.paper.experiment import TINY, tiny_folder
from interpvid.paper.reproduce import reproduce

ROOT = Path(__file__).resolve().parents[1]
SMALL = dict(ssv2=False, kth=False, **TINY)  # of `reproduce`, on built-in clips, far too small to have learned anything


@pytest.fixture(autouse=True)
def no_real_time():
    "A test that leaves this process with real-time priority makes others hang, tests in a browser above all"
    if not hasattr(os, 'sched_getscheduler'):
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    if os.sched_getscheduler(0) == before[0]:
        return
    os.sched_setscheduler(0, *before)
    pytest.fail('the test left the process with real-time priority: see `videos.ordinary_priority`')


@pytest.fixture(scope='session')
def reference():
    "The folder of real clips that INTERPVID_REFERENCE names"
    at = os.environ.get('INTERPVID_REFERENCE')
    if not at:
        pytest.skip(
            'INTERPVID_REFERENCE is not set: it should name the folder that holds the real clips (kth/, site/, ssv2/)'
        )
    if not Path(at).is_dir():
        pytest.fail(f'INTERPVID_REFERENCE names {at}, which is no folder')
    return Path(at)


@pytest.fixture(scope='session')
def tiny_cache():
    "Where tests and notebooks keep the stages of tiny runs: what one has made, the next reuses"
    return tiny_folder().absolute() / 'cache'


@pytest.fixture(scope='session')
def tiny(tmp_path_factory, tiny_cache):
    "A folder of results as `interpvid reproduce` makes them"
    out = tmp_path_factory.mktemp('tiny')
    reproduce(out, **SMALL, cache=tiny_cache, log=lambda line: None, progress=False)
    return out


@pytest.fixture(scope='session')
def full():
    "What `make reproduce` makes, at its own size and in its own folder: stages that are there already are reused"
    return reproduce(ROOT / 'results', ssv2=False, kth=False)


@pytest.fixture(scope='session')
def browser():
    "A Chromium without a window"
    at = chromium()
    if not at:
        pytest.skip('no chromium, chromium-browser or google-chrome on PATH')
    with pytest.importorskip('playwright.sync_api').sync_playwright() as p:
        b = p.chromium.launch(executable_path=at, args=['--no-sandbox'])
        yield b
        b.close()


def pytest_collection_modifyitems(items):
    if os.name == 'nt':
        for item in items:
            if item.get_closest_marker('posix'):
                item.add_marker(pytest.mark.skip(reason='links, pipes, signals and /proc are those of Unix'))
