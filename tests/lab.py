"JupyterLab or Notebook 7 in a real browser: a server of its own, notebooks made by tests, their cells as locators."

import os, re, shutil, socket, subprocess, sys, time
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]


def chromium():
    "Where a Chromium is, or None"
    return next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)


class Lab:
    "A server in `folder` that knows none of the user's settings"

    PAGES = {'jupyterlab': 'doc/tree', 'notebook': 'notebooks'}

    def __init__(self, folder, browser, threads=1, app='jupyterlab'):
        "`threads` of each kernel: two that compute at once slow each other tenfold"
        self.dir, self.browser, self.page = Path(folder), browser, self.PAGES[app]
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            self.port = s.getsockname()[1]
        away = {
            k: str(self.dir / '.home' / k)
            for k in (
                'JUPYTER_CONFIG_DIR',
                'JUPYTER_DATA_DIR',
                'JUPYTER_RUNTIME_DIR',
                'IPYTHONDIR',
                'JUPYTERLAB_SETTINGS_DIR',
                'JUPYTERLAB_WORKSPACES_DIR',
            )
        }
        self.log = open(self.dir / 'server.log', 'w')
        self.server = subprocess.Popen(
            [
                sys.executable,
                '-m',
                app,
                '--no-browser',
                '--allow-root',
                '--expose-app-in-browser',
                f'--port={self.port}',
                '--ip=127.0.0.1',
                '--IdentityProvider.token=',
                '--ServerApp.password=',
                f'--ServerApp.root_dir={self.dir}',
                *(
                    [
                        '--LabApp.news_url=None',
                        '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate',
                    ]
                    if app == 'jupyterlab'
                    else []
                ),
            ],
            env={
                **os.environ,
                **away,
                'PYTHONPATH': str(ROOT),
                'PYTHONWARNINGS': 'ignore',
                'OMP_NUM_THREADS': str(threads),
            },
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        for _ in range(240):
            try:
                socket.create_connection(('127.0.0.1', self.port), 1).close()
                return
            except OSError:
                time.sleep(0.25)
        self.close()
        raise RuntimeError(f"{app} did not start: {(self.dir / 'server.log').read_text()[-2000:]}")

    def close(self):
        self.server.terminate()
        self.server.wait(20)
        self.log.close()

    def make(self, name, *cells):
        "A notebook of code cells"
        nb = nbformat.v4.new_notebook(
            metadata={'kernelspec': {'name': 'python3', 'display_name': 'python3', 'language': 'python'}},
            cells=[nbformat.v4.new_code_cell(c) if isinstance(c, str) else c for c in cells],
        )
        nbformat.write(nb, self.dir / f'{name}.ipynb')
        return self.open(f'{name}.ipynb')

    def copy(self, path):
        shutil.copy(path, self.dir)
        return self.open(Path(path).name)

    def open(self, name):
        return Notebook(self, name)


class Notebook:
    def __init__(self, lab, name, width=1100):
        self.lab, self.name, self.sent, self.errors = lab, name, [], []
        self.page = p = lab.browser.new_page(viewport=dict(width=width, height=1000))
        p.on('websocket', lambda ws: ws.on('framesent', lambda f: self.sent.append(f)))
        p.on('pageerror', lambda e: self.errors.append(str(e)))
        p.on('console', lambda m: self.errors.append(m.text) if m.type == 'error' else None)
        p.goto(f'http://127.0.0.1:{lab.port}/{lab.page}/{name}?reset')
        p.wait_for_selector('.jp-Notebook .jp-Cell', timeout=120_000)
        self.ready()
        if lab.page == 'notebooks':
            self.errors.clear()  # at its start Notebook 7.6 reports one of its own, with any notebook

    def ready(self):
        "The kernel is there, and has nothing to do"
        self.page.wait_for_function(
            "(c => c?.isReady && c.session?.kernel?.connectionStatus=='connected' && "
            "c.session.kernel.status=='idle')(jupyterapp.shell.currentWidget?.sessionContext)",
            timeout=60_000,
        )

    def do(self, command, **args):
        self.page.evaluate('([c,a]) => jupyterapp.commands.execute(c, a)', [command, args])

    def run(self, timeout=120):
        "All cells, to their end"
        prompts = lambda: [
            c.locator('.jp-InputPrompt').first.inner_text()
            for c in self.page.locator('.jp-CodeCell').all()
            if c.locator('.cm-content').first.inner_text().strip()
        ]
        n, end = len(self.sent), time.time() + timeout
        while not any(
            'execute_request' in (f if isinstance(f, str) else f.decode('latin1')) for f in self.sent[n:]
        ):  # a command that comes too early for the notebook is lost
            assert time.time() < end, f'{self.name}: no cell runs'
            self.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells') }")
            self.page.wait_for_timeout(1500)
        now = prompts()
        while not all(re.fullmatch(r'\[\d+\]:', p) for p in now):
            assert time.time() < end, f'{self.name}: {now}'
            self.page.wait_for_timeout(200)
            now = prompts()

    def cell(self, i):
        return self.page.locator('.jp-CodeCell').nth(i)

    def rerun(self, i):
        "One cell again, to its end; the text that it shows"
        c = self.cell(i)
        before = c.locator('.jp-InputPrompt').first.inner_text()
        c.locator('.jp-InputArea-editor').first.click()
        self.page.keyboard.press('Control+Enter')
        self.page.wait_for_function(
            "([i,b]) => { const cell = document.querySelectorAll('.jp-CodeCell')[i]; "
            "const t = cell.querySelector('.jp-InputPrompt').innerText; return t!=b && /\\d/.test(t) }",
            arg=[i, before],
            timeout=60_000,
        )
        out = c.locator('.jp-OutputArea-output')
        return out.first.inner_text().strip() if out.count() else ''

    def restart(self):
        self.page.evaluate("() => { jupyterapp.commands.execute('kernelmenu:restart') }")
        self.page.locator('.jp-Dialog .jp-mod-accept').click()
        self.ready()

    def save(self):
        self.do('docmanager:save')
        return nbformat.read(self.lab.dir / self.name, 4)

    def close(self):
        self.page.close()
