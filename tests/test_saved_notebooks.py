"Notebooks with widgets that were run and saved, as pages: `jupyter nbconvert --to html`, opened without network."

import contextlib, json, subprocess, sys

import nbclient, nbformat, pytest

from lab import ROOT
from test_scrub import HELPERS, ready

VIEW = 'application/vnd.jupyter.widget-view+json'
CELLS = (
    """import numpy as np, torch
from interpvid.explanation import Explanation
from interpvid.widgets import Browser, Painter, Scrubber, live_explanations
rng = np.random.default_rng(0)
frames = np.kron(rng.integers(0, 256, (8, 4, 4, 3)), np.ones((1, 12, 12, 1))).astype(np.uint8)
mask = np.array([0, 1, 1, 0, 1, 0, 0, 1], np.float32)
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(1))
    def forward(self, x):
        s = self.w*x.diff(dim=2).abs().mean((1, 2, 3, 4))-1
        return torch.stack([s, -s], 1)
e = Explanation(frames=frames, mask=mask, start=mask, cam=np.full(frames.shape[:3], .5, np.float16), target=0, pred=0,
                label=0, scores={'OS':.9, 'FS':.2, 'RS':.3, 'FS binary':.25, 'RS binary':.35}, loss={'loss':.5},
                classes=['x','y'], model='A')""",
    "Scrubber({'a':frames, 'b':frames[::-1]}, mask)",
    "painter = Painter(Net(), frames, stats=(.5, .2))\npainter.mask = mask\npainter",
    "Browser([e])",
    "live_explanations()\ne",
)
N = len(CELLS) - 1  # widgets


def notebook(*cells):
    return nbformat.v4.new_notebook(
        metadata={'kernelspec': {'name': 'python3', 'display_name': 'python3', 'language': 'python'}},
        cells=[nbformat.v4.new_code_cell(c) for c in cells],
    )


@pytest.fixture
def away(monkeypatch, tmp_path):
    "None of the user's settings; this checkout's package"
    for k in 'JUPYTER_CONFIG_DIR', 'JUPYTER_RUNTIME_DIR', 'IPYTHONDIR':
        monkeypatch.setenv(k, str(tmp_path / '.home' / k))
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    monkeypatch.setenv('PYTHONWARNINGS', 'ignore')
    monkeypatch.setenv('OMP_NUM_THREADS', '1')


def nbconvert(path, *args):
    "Its page, by the command"
    command = [sys.executable, '-m', 'nbconvert', '--to', 'html', *args, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=path.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    return path.with_suffix('.html')


@contextlib.contextmanager
def offline(browser, path, width=1280):
    "A page without network, and what it asked for"
    with browser.new_context(viewport=dict(width=width, height=900), offline=True) as c:
        p, asked = c.new_page(), set()
        p.on('request', lambda r: asked.add(r.url) if r.url.split(':')[0] not in ('data', 'blob', 'file') else None)
        p.goto(path.as_uri(), wait_until='domcontentloaded')
        p.evaluate(HELPERS)
        yield p, asked


def check_live(p, n):
    "Each scrubber moves: the slider's frame is another picture, the button's too"
    ready(p, n)
    for i in range(n):
        first = p.evaluate('i => state(i)', i)
        p.locator('[name=frame]').nth(i).fill('3')
        then = p.evaluate('i => state(i)', i)
        assert first['value'] == 0 and then['value'] == 3 and then['out'] == '4/8'
        assert first['pixels'][0] != then['pixels'][0], 'another picture'
        p.get_by_role('button', name='Next').nth(i).click()
        assert p.evaluate('i => state(i)', i)['value'] == 4
    texts = p.locator('.scores').all_inner_texts()
    assert 'FS' in texts[1] and '0.250' in texts[3], texts


def test_a_notebook_run_by_nbconvert_has_live_scrubbers_without_network(browser, tmp_path, away):
    "D9: executed and converted by one command, opened offline"
    path = tmp_path / 'run.ipynb'
    nbformat.write(notebook(*CELLS), path)
    page = nbconvert(path, '--execute')
    (tmp_path / 'plain.ipynb').write_text(nbformat.writes(notebook('1+1')), encoding='utf-8')
    plain = nbconvert(tmp_path / 'plain.ipynb')
    text = page.read_text(encoding='utf-8')
    assert VIEW not in text and 'widget-state+json' not in text, 'no state is stored that nobody could use'
    assert len(text) - len(plain.read_text(encoding='utf-8')) < N * 50_000
    with offline(browser, plain) as (p, its_own):
        pass
    for width in 1280, 390:
        with offline(browser, page, width) as (p, asked):
            check_live(p, N)
            assert asked <= its_own, "nbconvert's own scripts are all that it asks for"


def test_a_notebook_run_by_a_reader_and_saved_has_them_too(browser, tmp_path, away, monkeypatch):
    "D9: live widgets while it runs; the saved outputs hold the scrubbers beside them"
    monkeypatch.setenv('SERVER_SOFTWARE', 'voila/0')  # as if a reader were there
    nb = notebook(*CELLS)
    client = nbclient.NotebookClient(nb, kernel_name='python3', resources={'metadata': {'path': str(tmp_path)}})
    client.execute()
    data = [cell.outputs[0].data for cell in nb.cells[1:]]
    nbformat.write(nb, tmp_path / 'states.ipynb')  # as if JupyterLab were told to save widget state
    states = nb.metadata.pop('widgets')['application/vnd.jupyter.widget-state+json']['state']
    for d in data:  # what JupyterLab shows, and what it saves: it keeps no state unless it is told to
        assert d[VIEW]['model_id'] in states and d['text/html'].count('<script') == 1
    assert sum(len(json.dumps(d)) for d in data) < N * 50_000
    path = tmp_path / 'saved.ipynb'
    nbformat.write(nb, path)
    page = nbconvert(path, '--template', 'basic')
    with offline(browser, page) as (p, asked):
        check_live(p, N)
        assert not asked
    remedy = '--template', 'basic', '--ClearMetadataPreprocessor.enabled=True'
    text = nbconvert(tmp_path / 'states.ipynb', *remedy).read_text(encoding='utf-8')
    assert VIEW not in text and text.count('scrubber.start(d,') == N, 'the remedy that the page of the widgets names'
