"""The docs site that `make docs` builds without Quarto, and the page that `make reproduce` makes

Both are complete, load nothing from elsewhere, react to the user and fit a phone.
"""

import base64, functools, json, os, re, shutil, subprocess, sys, textwrap
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest, yaml

from interpvid._modidx import d as index

bs4 = pytest.importorskip('bs4')
ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT / 'nbs'
SITE, BASE, REPO = (index['settings'][k] for k in ('doc_host', 'doc_baseurl', 'git_url'))
sys.path.insert(0, str(ROOT / 'tools'))
from docs import COLAB, page_name, relink
from screens import PHONE, measured

NOTEBOOKS = {
    page_name(p.relative_to(NBS)): p for p in sorted(NBS.rglob('*.ipynb')) if '.ipynb_checkpoints' not in p.parts
}


def text(source):
    return source if isinstance(source, str) else ''.join(source)


def cells(page, kind):
    "Cells of a page's notebook that the page shows"
    for c in json.loads(NOTEBOOKS[page].read_text(encoding='utf-8'))['cells']:
        if c['cell_type'] == kind and not re.search(r'^#\|\s*(hide|export|default_exp)', text(c['source']), re.M):
            yield c


def read(html):
    return bs4.BeautifulSoup(html.read_text(encoding='utf-8'), 'html.parser')


def prose(soup):
    "What is read on a page, without code"
    soup = bs4.BeautifulSoup(str(soup.find('article') or soup), 'html.parser')
    for o in soup(['pre', 'code', 'script', 'style', 'math']):
        o.decompose()
    return soup.get_text()


def run(at, **env):
    return subprocess.run(
        [sys.executable, at / 'tools' / 'docs.py'], cwd=at, capture_output=True, text=True, env={**os.environ, **env}
    )


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    "The site, built once"
    out = tmp_path_factory.mktemp('site') / '_docs'
    r = subprocess.run(
        [sys.executable, '-c', f'from docs import build; build({str(out)!r})'],
        cwd=ROOT / 'tools',
        capture_output=True,
        text=True,
    )
    assert r.returncode == 0, r.stdout + r.stderr
    return out


@pytest.fixture(scope='module')
def pages(site):
    return {p.relative_to(site).with_suffix('').as_posix(): read(p) for p in site.rglob('*.html')}


@pytest.fixture(scope='module')
def results():
    "What `make reproduce` made"
    if not (ROOT / 'results' / 'index.html').exists():
        pytest.skip('no results/index.html: `make reproduce` makes it')
    return ROOT / 'results'


# --- what any page of ours must be, read without a browser


def outside(folder):
    "What pages and style sheets in `folder` would load from elsewhere"
    loads = (
        r'<(?:img|script|source|video|iframe|embed|link)\b[^>]*?\b(?:src|href|srcset)'
        r'\s*=\s*["\']?(?=(?:https?:)?//)([^"\'\s>]+)',
        r'url\(\s*["\']?((?:https?:)?//[^"\')]+)',
        r'@import\s+["\']((?:https?:)?//[^"\']+)',
        r'\b(?:import|fetch|from)\s*\(?\s*["\'`]((?:https?:)?//[^"\'`]+)',
    )
    return [
        f'{p.relative_to(folder)} loads {m}'
        for p in sorted(folder.rglob('*'))
        if p.suffix in ('.html', '.css')
        for l in loads
        for m in re.findall(l, p.read_text(encoding='utf-8'))
    ]


def astray(soups, folder):
    "Links on the pages `soups` of `folder` that lead nowhere"
    ids = {
        n: {o['id'] for o in s.find_all(id=True)} | {o['name'] for o in s.find_all('a', attrs={'name': True})}
        for n, s in soups.items()
    }
    found = []
    for n, s in soups.items():
        for a in s.find_all(href=True):
            u = urlsplit(a['href'])
            if u.scheme or u.netloc:
                continue
            to = os.path.normpath((folder / n).parent / unquote(u.path)) if u.path else folder / f'{n}.html'
            to = Path(to)
            there = to.relative_to(folder).with_suffix('').as_posix() if folder in to.parents else ''
            if not to.exists():
                found.append(f'{n}.html links {a["href"]}: no such file')
            elif u.fragment and to.suffix == '.html' and unquote(u.fragment) not in ids.get(there, ()):
                found.append(f'{n}.html links {a["href"]}: no such anchor')
    return found


def test_site_loads_nothing_from_elsewhere(site):
    assert not outside(site)


def test_results_load_nothing_from_elsewhere(results):
    assert not outside(results)


def test_links_on_the_site_lead_somewhere(pages, site):
    assert not astray(pages, site)


def test_links_on_the_results_lead_somewhere(results):
    assert not astray({'index': read(results / 'index.html')}, results)


# --- what the site must hold


def test_pages_follow_the_sidebar(pages):
    "Every notebook has its page; sections and pages stand in the order of nbs/sidebar.yml, on every page"
    listed = yaml.safe_load((NBS / 'sidebar.yml').read_text())['website']['sidebar']['contents']
    sections = {s['section']: [page_name(n) for n in s['contents']] for s in listed if isinstance(s, dict)}
    assert {'index', *(n for s in sections.values() for n in s)} == set(NOTEBOOKS) == set(pages) - {'search'}
    tree = pages['index'].find(class_='sidebar-tree')
    assert [c.get_text(strip=True) for c in tree.find_all(class_='caption')] == list(sections)
    assert [[a['href'] for a in ul.find_all('a')] for ul in tree.find_all('ul', recursive=False)] == [
        [f'{n}.html' for n in s] for s in sections.values()
    ]
    for n, p in NOTEBOOKS.items():
        first_cell = text(json.loads(p.read_text(encoding='utf-8'))['cells'][0]['source'])
        title = first_cell.split('\n')[0].removeprefix('# ')
        assert pages[n].find('h1').find(string=True) == title


def test_prose_is_on_the_page(pages):
    "The first words of every markdown cell"

    def plain(s):
        return re.sub(r'\W+', '', re.sub(r'\]\([^)]*\)', '', s))

    for n in NOTEBOOKS:
        article = bs4.BeautifulSoup(str(pages[n].find('article')), 'html.parser')
        for formula in article('math'):
            formula.decompose()
        there = plain(article.get_text())
        for c in list(cells(n, 'markdown'))[1:]:
            first = next(line for line in text(c['source']).split('\n') if not line.startswith('```'))
            words = re.sub(r'<[^>]*>|\$[^$]*\$', '', first)
            assert '|' in words or plain(words)[:40] in there, f'{n}.html lacks: {words[:80]}'


def test_each_page_says_where_it_comes_from(pages):
    for n, p in NOTEBOOKS.items():
        assert pages[n].find('a', href=f'{REPO}/blob/main/nbs/{p.relative_to(NBS)}'), (
            f'{n}.html does not link its notebook'
        )


def test_pages_that_install_the_package_open_in_colab(pages):
    ready = {n: p for n, p in NOTEBOOKS.items() if 'google.colab' in p.read_text(encoding='utf-8')}
    names = {str(p.relative_to(NBS))[:-6] for p in ready.values()}
    assert {'index', 'tutorials/quickstart', 'tutorials/your_model'} <= names
    for n in NOTEBOOKS.keys() - ready.keys():
        assert not pages[n].find_all('a', class_='colab')
    for n, p in ready.items():
        (door,) = pages[n].find_all('a', class_='colab')
        assert door['href'] == f'{COLAB}nbs/{p.relative_to(NBS)}'
        assert door['href'].startswith('https://colab.research.google.com/github/interpvid/interpvid/blob/')


def test_code_that_is_not_to_be_shown_is_not(pages):
    "`#| echo: false`: what the cell shows stands on the page, its code does not"
    seen = 0
    for n in NOTEBOOKS:
        shown = {re.sub(r'\s+', '', block.get_text()) for block in pages[n].find_all(class_='cell_input')}
        for c in cells(n, 'code'):
            if not re.search(r'^#\|\s*echo:\s*false', text(c['source']), re.M):
                continue
            code = re.sub(r'\s+', '', re.sub(r'^#\|.*\n?', '', text(c['source']), flags=re.M))
            assert code not in shown, f'{n}.html shows {code[:60]}'
            seen += 1
    assert seen


def symbols():
    "Public symbols by page, as nbdev indexes them"
    for syms in index['syms'].values():
        for name, (at, _) in syms.items():
            page, a = at.split('.html#')
            if not any(o.startswith('_') for o in a.split('.')):
                yield page, a


def test_symbols_have_their_anchors(pages):
    """A function or class has a heading with its name as its anchor, in the contents of the page too

    A method without a heading is found under its class.
    """
    seen = 0
    for page, a in symbols():
        at = pages[page].find(id=a)
        assert at, f'{page}.html has no anchor {a}'
        section = at if at.name == 'section' else at.find_parent('section')
        assert 'api' in section['class'], f'{page}.html#{a} is not where {a} is documented'
        name = section.find(['h2', 'h3']).find(string=True).lower()
        assert name == a or a.startswith(f'{name}.'), f'{page}.html#{a} is the heading {name}'
        assert section.find('pre'), f'{page}.html#{a} has no signature'
        if name == a:
            assert pages[page].find(class_='toc-tree').find('a', href=f'#{a}'), (
                f'{page}.html does not list {a} in its contents'
            )
            seen += 1
    assert seen > 100


def test_headings_do_not_bear_a_name_of_their_page():
    "Where both want one anchor the first gets it, on Quarto's pages: links to the function would lead to the section"
    for page, nb in NOTEBOOKS.items():
        names = {a for p, a in symbols() if p == page}
        for c in cells(page, 'markdown'):
            for h in re.findall(r'^##+ (.*)', text(c['source']), re.M):
                assert h.lower().replace(' ', '-') not in names, (
                    f'{nb.name}: the section {h} and the symbol want the same anchor'
                )


def test_symbols_are_linked_on_the_site_itself(pages):
    for n, s in pages.items():
        assert not s.find('a', href=re.compile('^' + re.escape(SITE))), f'{n}.html links the published site'
    assert pages['index'].find('a', href='models.adapters.html#wrap')
    assert pages['models.adapters'].find('a', href='#wrap')


def test_links_of_notebooks():
    notebooks = relink('[a](13_data.ssv2.ipynb) [`wrap`](22_models.adapters.ipynb#wrap)', 'index.ipynb')
    assert notebooks == '[a](/data.ssv2.ipynb) [`wrap`](/models.adapters.ipynb#wrap)'
    assert relink('[t](../tests/test_site.py)', 'index.ipynb') == f'[t]({REPO}/blob/main/tests/test_site.py)'
    assert relink(f'[w]({SITE}{BASE}/cam.html#grad_cam)', 'index.ipynb') == '[w](/cam.ipynb#grad_cam)'
    assert relink('[`_hidden`](40_cam.ipynb#_hidden)', 'index.ipynb') == '`_hidden`'
    unchanged = '![p](images/explained.gif) [x](https://e.org) [b](#here) `a[0](b)`'
    assert relink(unchanged, 'index.ipynb') == unchanged
    with pytest.raises(FileNotFoundError, match='nbs/index.ipynb links ../gone.py'):
        relink('[a](../gone.py)', 'index.ipynb')


def test_maths_is_set(pages):
    "One <math> for each formula of the notebook, with nothing left of TeX; none is left in the prose"
    seen = 0
    for n in NOTEBOOKS:
        md = re.sub(
            r'```.*?```|`[^`\n]*`', '', '\n\n'.join(text(c['source']) for c in cells(n, 'markdown')), flags=re.S
        )
        formulas = re.findall(r'\$\$.+?\$\$|\$[^$\n]+?\$', md, re.S)
        math = pages[n].find('article').find_all('math')
        assert len(math) == len(formulas), f'{n}.html: {len(math)} formulas of {len(formulas)}'
        for m in math:
            assert m.get_text(strip=True), f'{n}.html has an empty formula'
            assert not re.search(r'[\\&]', m.get_text()), f'{n}.html: {m.get_text()}'
        assert not re.search(r'\$\$|\\[a-z]+\{|\\(?:frac|begin|sum)', prose(pages[n])), f'{n}.html shows TeX'
        seen += len(math)
    assert seen > 20


def as_math(soup):
    "Words of prose that are set as mathematics, letter by letter; dollar signs left over in the prose"
    for m in soup.find_all('math'):
        leaves = (o for o in m.find_all() if not o.find(True))
        letters = ((o.get_text() if o.name == 'mi' and not o.attrs else ' ') for o in leaves)
        yield from re.findall(r'[A-Za-z]{5,}', ''.join(o if len(o) == 1 else ' ' for o in letters))
    yield from re.findall(r'.{0,20}\$.{0,20}', prose(soup))


def test_no_prose_is_set_as_maths(pages):
    "A formula that is not closed takes the sentences after it along"
    assert not {n: found for n in NOTEBOOKS if (found := list(as_math(pages[n].find('article'))))}


def test_markdown_is_set(pages):
    for n in NOTEBOOKS:
        assert not (left := re.search(r'.{0,30}(?:\]\(|\{\.|^#+ |\*\*|\|---).{0,30}', prose(pages[n]), re.M)), (
            f'{n}.html shows markdown: {left[0]}'
        )


def test_stored_outputs_are_shown(pages, site):
    "Images byte for byte, HTML by its images and tables, text as it is"

    def squeeze(s):
        return re.sub(r'\s+', '', s)

    seen = 0
    for n in NOTEBOOKS:
        article = pages[n].find('article')
        words, html = squeeze(article.get_text()), str(article)
        files = {
            (site / n).parent.joinpath(unquote(i['src'])).read_bytes()
            for i in article.find_all('img')
            if not i['src'].startswith('data:')
        }
        for c in cells(n, 'code'):
            for o in c['outputs']:
                data = o.get('data', {'text/plain': o.get('text', '')})
                where = f'{n}.html, under {text(c["source"])[:60]!r}'
                images = [v for k, v in data.items() if k.startswith('image/') and 'svg' not in k]
                drawn = text(data.get('image/svg+xml', '')).strip()
                if 'text/html' in data:
                    for uri in re.findall(r'data:[\w/]+;base64,[\w+/=]+', text(data['text/html'])):
                        assert uri in html, f'{where}: an image is missing'
                    for t in bs4.BeautifulSoup(text(data['text/html']), 'html.parser').find_all('table'):
                        assert squeeze(t.get_text()) in words, f'{where}: its table is missing'
                elif images:
                    for v in images:
                        assert base64.b64decode(text(v)) in files, f'{where}: an image is missing'
                elif drawn:
                    assert drawn.encode() in {f.strip() for f in files}, f'{where}: a drawing is missing'
                elif 'text/markdown' not in data:
                    assert squeeze(text(data['text/plain'])) in words, f'{where}: text is missing'
                seen += 1
    assert seen > 150


def test_no_page_asks_for_a_kernel(site):
    for p in site.rglob('*.html'):
        assert 'vnd.jupyter.widget' not in p.read_text(encoding='utf-8'), p.name


def test_search_index(site):
    words = json.loads(re.search(r'\{.*\}', (site / 'searchindex.js').read_text(encoding='utf-8'))[0])
    assert set(NOTEBOOKS) == set(words['docnames'])
    for word, page in ('scrubber', 'viz'), ('revers', 'masks.perturb'):  # stems
        at = [words[where].get(word, []) for where in ('terms', 'titleterms')]
        assert words['docnames'].index(page) in sum((o if isinstance(o, list) else [o] for o in at), []), word


# --- how it is built


@pytest.fixture
def small(tmp_path):
    "The project with three notebooks and a site from before"
    for f in 'tools', 'interpvid':
        shutil.copytree(ROOT / f, tmp_path / f, ignore=shutil.ignore_patterns('__pycache__'))
    for f in 'pyproject.toml', 'settings.ini', '_quarto.yml':
        shutil.copy(ROOT / f, tmp_path)
    nbs = tmp_path / 'nbs'
    nbs.mkdir()
    (nbs / '_quarto.yml').symlink_to('../_quarto.yml')
    shutil.copytree(NBS / 'images', nbs / 'images')
    for f in 'nbdev.yml', 'styles.css', '31_classify.ipynb', '61_metrics.ipynb':
        shutil.copy(NBS / f, nbs)
    (nbs / 'sidebar.yml').write_text(
        'website: {sidebar: {contents: [index.ipynb, {section: All, contents: [31_classify.ipynb, 61_metrics.ipynb]}]}}'
    )
    (tmp_path / '_docs').mkdir()
    (tmp_path / '_docs' / 'index.html').write_text('before')
    return tmp_path


def write_index(at, *md):
    sources = ['# interpvid\n\n> What for.', *md]
    cells = [dict(cell_type='markdown', id='a', metadata={}, source=s) for s in sources]
    nb = dict(nbformat=4, nbformat_minor=5, metadata={}, cells=cells)
    (at / 'nbs' / 'index.ipynb').write_text(json.dumps(nb))


def without_quarto(tmp_path):
    "A PATH on which there is no Quarto"
    return os.pathsep.join(p for p in os.environ['PATH'].split(os.pathsep) if not (Path(p) / 'quarto').exists())


def test_faults_stop_the_build(small):
    "All are named, and the site from before stays"
    write_index(small, '[a](61_metrics.ipynb#nowhere) [d](62_lost.ipynb)', '![b](images/gone.png)', '[c](#gone)')
    r = run(small, PATH=without_quarto(small))
    assert r.returncode != 0
    for fault in 'nowhere', 'lost', 'images/gone.png', "'gone'":
        assert fault in r.stderr, r.stderr
    assert (small / '_docs' / 'index.html').read_text() == 'before'
    assert not list(small.glob('.docs-*'))


QUARTO = f'''\
    #!{sys.executable}
    import json, pathlib, sys
    with open('../quarto.log', 'a') as f: print(*sys.argv[1:], file=f)
    if sys.argv[1]=='inspect': print(json.dumps(dict(config=dict(project=dict(type='default')))))
    else:
        out = pathlib.Path(sys.argv[sys.argv.index('--output-dir')+1]); out.mkdir()
        (out/'index.html').write_text('by Quarto')
    '''


@pytest.mark.posix
def test_quarto_makes_the_site_where_it_is(small):
    """A stand-in for Quarto notes how it is called

    nbdev hands it notebooks without views or times, and nothing was run that is not exported.
    """
    write_index(small, 'See `drop_ratio`.')
    at = small / 'nbs' / '61_metrics.ipynb'
    nb = json.loads(at.read_text())
    nb['cells'].append(
        dict(
            cell_type='code',
            id='b',
            metadata={},
            execution_count=None,
            source='import pathlib\nx = pathlib.Path("../ran").touch()\nx',
            outputs=[
                dict(
                    output_type='display_data',
                    metadata={},
                    data={'text/html': '<p>kept</p>', 'application/vnd.jupyter.widget-view+json': {'model_id': 'm'}},
                )
            ],
        )
    )
    at.write_text(json.dumps(nb))
    (small / 'bin').mkdir()
    (small / 'bin' / 'quarto').write_text(textwrap.dedent(QUARTO))
    (small / 'bin' / 'quarto').chmod(0o755)
    r = run(small, PATH=f'{small / "bin"}{os.pathsep}{os.environ["PATH"]}')
    assert r.returncode == 0, r.stderr
    assert 'Sphinx' not in r.stdout
    assert (small / '_docs' / 'index.html').read_text() == 'by Quarto'
    assert 'render' in (small / 'quarto.log').read_text()
    made = (small / '_proc' / '61_metrics.ipynb').read_text()
    assert 'kept' in made
    assert 'widget' not in made
    assert 'iopub' not in made
    assert 'output-file: metrics.html' in made
    assert 'masks.scores.html#drop_ratio' in (small / '_proc' / 'index.ipynb').read_text()
    assert not list(small.rglob('ran'))
    assert (small / 'nbs' / 'nbdev.yml').read_text() == (NBS / 'nbdev.yml').read_text()


@pytest.fixture
def workflow():
    return yaml.safe_load((ROOT / '.github' / 'workflows' / 'docs.yml').read_text())


def test_docs_workflow_builds_as_here(workflow):
    "Its one command is `make docs`, and it uploads the folder that this makes"
    build = workflow['jobs']['build']
    assert [s['run'] for s in build['steps'] if 'run' in s] == ['make docs']
    assert re.search(r'^docs:.*## ', (ROOT / 'Makefile').read_text(), re.M)
    assert build['steps'][-1]['with']['path'] == '_docs'
    assert yaml.safe_load((NBS / 'nbdev.yml').read_text())['project']['output-dir'] == '_docs'


def test_docs_workflow_uses_pinned_actions(workflow):
    steps = [s for job in ('build', 'publish') for s in workflow['jobs'][job]['steps']]
    uses = [s['uses'] for s in steps if 'uses' in s]
    for action in uses:
        assert re.fullmatch(r'(actions|quarto-dev)/[\w/-]+@(v\d+(\.\d+)*|[0-9a-f]{40})', action)
    assert [u.split('@')[0] for u in uses] == [
        'actions/checkout',
        'actions/setup-python',
        'quarto-dev/quarto-actions/setup',
        'actions/upload-pages-artifact',
        'actions/deploy-pages',
    ]


def test_docs_workflow_publishes_from_main_alone(workflow):
    "Pull requests build; publishing has no more rights than it needs"
    events = workflow[True]  # YAML reads `on` as True
    assert set(events) == {'push', 'pull_request', 'workflow_dispatch'}
    assert events['push'] == {'branches': ['main']}
    assert workflow['permissions'] == {'contents': 'read'}
    build, publish = workflow['jobs']['build'], workflow['jobs']['publish']
    assert 'permissions' not in build
    assert publish['permissions'] == {'pages': 'write', 'id-token': 'write'}
    assert publish['needs'] == 'build'
    assert publish['if'] == "github.ref == 'refs/heads/main'"
    assert publish['environment']['name'] == 'github-pages'


# --- in a browser

WAYS = {
    'desktop, light': (1280, 'light'),
    'desktop, dark': (1280, 'dark'),
    'phone, light': (390, 'light'),
    'phone, dark': (390, 'dark'),
}
BROKEN = '''() => {
  const all = r => [...r.querySelectorAll('*')].flatMap(e => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])])
  const awaited = e => e.tagName=='IMG' && e.loading!='lazy' && e.checkVisibility()
  return all(document).filter(e => awaited(e) && !(e.complete && e.naturalWidth)).map(e => e.src.slice(0,80))
}'''
LOCAL = 'file', 'data', 'blob'


def visit(browser, files, width, scheme):
    "What goes wrong while `files` are opened from disk; what is measured on each; and how many links lead to Colab"
    found, seen = [], {}
    screen = PHONE if width == 390 else dict(viewport=dict(width=width, height=900))
    with browser.new_context(**screen, color_scheme=scheme) as c:
        page = c.new_page()

        def say(what):
            found.append(f'{Path(urlsplit(page.url).path).name}: {what}')

        page.on('console', lambda m: say(m.text) if m.type == 'error' else None)
        page.on('pageerror', lambda e: say(e.message))
        page.on('requestfailed', lambda r: say(f'{r.url[:80]} failed'))
        page.on('request', lambda r: say(f'asks for {r.url[:80]}') if urlsplit(r.url).scheme not in LOCAL else None)
        for f in files:
            page.goto(f.as_uri())
            for src in page.evaluate(BROKEN):
                say(f'{src} is not an image')
            seen['/'.join(f.parts[-2:])] = m = measured(page)
            if m['wide'] > 0:
                say(f'is {m["wide"]} px wider than the screen')
    return found, seen


@pytest.fixture(scope='module')
def visits(site, browser):
    "Each page opened once in each way, by the first test that asks"
    return functools.cache(lambda way: visit(browser, sorted(site.rglob('*.html')), *WAYS[way]))


@pytest.mark.parametrize('way', WAYS)
def test_pages_open(visits, way):
    assert not visits(way)[0]


@pytest.mark.parametrize('way', WAYS)
def test_results_open(results, browser, way):
    assert not visit(browser, [results / 'index.html'], *WAYS[way])[0]


def named(measures, what):
    "What is wrong, page by page"
    return {name: m[what] for name, m in measures.items() if m[what]}


@pytest.mark.parametrize('way', WAYS)
def test_text_can_be_told_from_its_background(visits, way):
    "WCAG AA: 4.5 for text, 3 for large text"
    measures = visits(way)[1]
    assert not named(measures, 'faint')
    assert sum(m['texts'] for m in measures.values()) > 5000


@pytest.mark.parametrize('way', [w for w in WAYS if 'phone' in w])
def test_nothing_is_cut_off_on_a_phone(visits, way):
    "Code wraps, tables scroll within themselves"
    measures = visits(way)[1]
    assert not named(measures, 'code') and not named(measures, 'tables')


def test_fingers_hit_what_they_mean(visits):
    "Buttons, sliders and links outside of sentences are at least 44 pixels high and wide on a phone"
    assert not named(visits('phone, light')[1], 'small')


def test_no_code_is_cut_off_on_a_desktop(visits):
    assert not named(visits('desktop, light')[1], 'long')


def moved(page):
    "Move a page's first slider; did what is above it change?"
    slider = page.locator('input[type=range]').first
    slider.wait_for()
    slider.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = slider.bounding_box()
    above = dict(x=box['x'], y=max(0, box['y'] - 120), width=200, height=110)

    def look():
        return page.screenshot(clip=above)

    still = look()
    assert still == look(), 'moves by itself'
    slider.evaluate(
        'e => { e.value = (+e.min + +e.max)/2; e.dispatchEvent(new Event("input", {bubbles:true, composed:true})) }'
    )
    page.wait_for_timeout(300)
    return look() != still


@pytest.mark.parametrize('name', ['explanation', 'viz', 'index'])
def test_scrubbers_live(site, browser, name):
    with browser.new_page() as page:
        page.goto((site / f'{name}.html').as_uri())
        assert moved(page), f'{name}.html: the slider moves nothing'


def test_scrubbers_live_in_the_results(results, browser):
    with browser.new_page() as page:
        page.goto((results / 'index.html').as_uri())
        assert moved(page), 'the slider moves nothing'


def test_search_finds(site, browser):
    with browser.new_page() as page:
        page.goto((site / 'search.html').as_uri())
        page.locator('form input[name=q]').last.fill('scrubber')
        page.keyboard.press('Enter')
        page.locator('#search-results li a').first.wait_for()
        assert any('viz.html' in a.get_attribute('href') for a in page.locator('#search-results li a').all())
