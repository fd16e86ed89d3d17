"""Makes the docs site, `_docs/`, from the notebooks: `make docs`. Nothing is downloaded and no notebook is run; what is shown is what the notebooks store.

Where Quarto is installed nbdev makes the site with it. Where it is not, the notebooks that nbdev prepared for Quarto go to Sphinx instead, to pages of the same names.
"""

import json, os, re, shutil, tempfile
from contextlib import chdir
from pathlib import Path

import nbdev.quarto, nbdev.serve, nbdev.serve_drv, yaml
from fastcore.parallel import parallel
from nbdev.config import get_config, nbpath2html
from nbdev.processors import FilterDefaults, exec_show_docs

ROOT = Path(__file__).resolve().parents[1]
NBS, CFG = ROOT / 'nbs', get_config(ROOT)
WORKERS = min(8, os.cpu_count())
SITE, REPO = f'{CFG.doc_url}/', f'{CFG.git_url}/blob/{CFG.branch}/'

# --- what nbdev makes of a notebook, for Quarto and Sphinx alike


class define(exec_show_docs):
    "Runs what `show_doc` needs, exported definitions, and nothing else: nbdev would also run cells that happen to import something"

    def __call__(self, cell):
        if cell.cell_type == 'code' and (
            {'export', 'exports', 'exporti'} & set(cell.directives_ or ()) or re.search('^show_doc', cell.source, re.M)
        ):
            super().__call__(cell)


def tidy(nb):
    "Drop what no page should hold: widget views, which show an error without a kernel, and times"
    for c in nb.cells:
        for o in c.get('outputs', ()):
            o.get('data', {}).pop('application/vnd.jupyter.widget-view+json', None)
        c.pop('has_sd', None)
        c.metadata.pop('execution', None)
    nb.metadata.pop('widgets', None)


class Pages(FilterDefaults):
    def base_procs(self):
        return [define if p is exec_show_docs else p for p in super().base_procs()]

    def __call__(self, nb):
        super().__call__(nb)
        tidy(nb)


# --- from there to what MyST-NB reads


def page_name(nb):
    return nbpath2html(nb).with_suffix('').as_posix()


def relink(md, src):
    "Links from notebook `src` to symbols, notebooks and files of the repository, as its page can follow them"

    md = re.sub(r'\[(`_\w+`)\]\([^)]*\)', r'\1', md)  # private names have no heading to link to

    def to(m):
        if not m[1]:
            return m[0]  # code
        link, _, part = m[1].partition('#')
        if link.startswith(SITE):
            page = link.removeprefix(SITE).removesuffix('.html')
        elif ':' in link or not link:
            return m[0]
        else:
            at = Path(os.path.normpath((NBS / src).parent / link))
            if NBS not in at.parents:
                if not at.exists():
                    raise FileNotFoundError(f'nbs/{src} links {link}, which is not there')
                return f']({REPO}{at.relative_to(ROOT).as_posix()})'
            if at.suffix != '.ipynb':
                return m[0]
            page = page_name(at.relative_to(NBS))
        return f'](/{page}.ipynb{part and "#"}{part})'

    return re.sub(r'```.*?```|`[^`\n]*`|\]\(([^)\s]+)\)', to, md, flags=re.S)


def head(cell, src):
    "Title, what for, and where it comes from"
    m = next(yaml.safe_load_all(cell['source']))
    return f"# {m['title']}\n\n{{.lead}}\n> {m.get('description', '')}\n\n{{.source}}\n[source: the notebook]({REPO}nbs/{src})"


def api(md):
    "A symbol's documentation, under a heading that the contents show"
    md = re.sub(r'^---\n+', '', md)
    source, md = re.match(r'(?:\[source\]\((\S+?)\)\{.*?\}\n+)?(.*)', md, re.S).groups()
    heading, _, rest = md.replace('__main__.', '').partition('\n')  # where nbdev has defined it
    return f'{{.api}}\n{heading}\n\n' + (f'{{.source}}\n[source]({source})\n\n' if source else '') + rest


def text(o):
    return ''.join(o) if isinstance(o, list) else o


def fit(cell, src):
    "A processed cell, as MyST-NB wants it"
    cell = {**cell, 'source': text(cell['source'])}
    if cell['cell_type'] == 'raw':
        return {**cell, 'cell_type': 'markdown', 'source': head(cell, src)}
    if cell['cell_type'] == 'code' and re.search(r'^show_doc', cell['source'], re.M):
        return dict(
            cell_type='markdown',
            id=cell['id'],
            metadata={},
            source=relink(api(text(cell['outputs'][0]['data']['text/markdown'])), src),
        )
    if cell['cell_type'] == 'markdown':
        return {**cell, 'source': relink(cell['source'], src)}
    for o in cell['outputs']:
        if 'text/markdown' in o.get('data', {}):
            o['data']['text/markdown'] = relink(text(o['data']['text/markdown']), src)
    return {**cell, 'source': re.sub(r'^#\|.*\n?', '', cell['source'], flags=re.M)}


def contents():
    "The sidebar's sections as Sphinx's tables of contents"
    sidebar = yaml.safe_load((NBS / 'sidebar.yml').read_text(encoding='utf-8'))['website']['sidebar']['contents']
    tree = lambda s: (
        f'```{{toctree}}\n:hidden:\n:caption: {s["section"]}\n\n' + '\n'.join(map(page_name, s['contents'])) + '\n```\n'
    )
    return '\n'.join(tree(s) for s in sidebar if s != 'index.ipynb')


def prepare(job):
    "One notebook, from `src` to a page's source `dst`"
    src, dst = job
    nbdev.serve_drv.main((src, dst, Pages))
    nb = json.loads(dst.read_text(encoding='utf-8'))
    rel = src.relative_to(NBS).as_posix()
    cells = [fit(c, rel) for c in nb['cells'] if not text(c['source']).startswith('<!-- WARNING')]
    if page_name(rel) == 'index':
        cells.append(dict(cell_type='markdown', id='contents', metadata={}, source=contents()))
    nb = dict(
        nbformat=4,
        nbformat_minor=5,
        cells=cells,
        metadata=dict(
            kernelspec=dict(name='python3', display_name='Python', language='python'),
            language_info=dict(name='python', pygments_lexer='ipython3'),
        ),
    )
    dst.write_text(json.dumps(nb, ensure_ascii=False), encoding='utf-8')


# --- Sphinx

SETTINGS = dict(
    extensions=['myst_nb', 'docs'],
    project='interpvid',
    html_title='interpvid',
    html_theme='furo',
    nb_execution_mode='off',
    nb_merge_streams=True,
    nb_mime_priority_overrides=[('*', 'text/html', 0)],
    nb_render_image_options={'alt': 'what the code above shows'},
    myst_enable_extensions=['dollarmath', 'attrs_block', 'attrs_inline'],
    myst_heading_anchors=4,
    html_math_renderer='mathml',
    html_static_path=['_static'],
    html_css_files=['styles.css'],
    html_extra_path=['_extra'],
    exclude_patterns=['_*'],
    html_copy_source=False,
    html_show_sourcelink=False,
    html_show_copyright=False,
    html_use_index=False,
    suppress_warnings=[
        'myst.header',
        'misc.highlighting_failure',
    ],  # `show_doc` writes headings of level 3 whatever is above; code in prose may leave things out with …
    html_show_search_summary=False,  # is fetched, which a browser forbids on pages opened from disk
)


def members(page):
    "What nbdev's index places on `page`: symbols in small letters"
    from interpvid._modidx import d

    return [a for syms in d['syms'].values() for at, _ in syms.values() for p, a in [at.split('.html#')] if p == page]


def anchor(app, doctree):
    "Symbols keep the anchors that nbdev links to, dots, underscores and all; methods without a heading are found under their class"
    from docutils.nodes import section

    sections, page = list(doctree.findall(section)), app.env.docname
    shown = [(s, s[0].astext().lower()) for s in sections if 'api' in s['classes']]
    names = {n for _, n in shown}
    for i, s in enumerate(sections):
        if 'api' not in s['classes']:
            s['ids'] = [o for o in s['ids'] if o not in names] or [f'part-{i}']  # a page named like a symbol
    for s, n in shown:
        own = [n, *(m for m in members(page) if m.startswith(f'{n}.') and '._' not in m and m not in names)]
        s['ids'] = own + s['ids']
        app.env.metadata[page].setdefault('myst_slugs', {}).update({i: (0, i, n) for i in own})


def mathml(display):
    def visit(self, node):
        from docutils.nodes import SkipNode
        from latex2mathml.converter import convert

        tex = node.astext().replace('{aligned}', '{align*}')  # it does not know the first
        try:
            self.body.append(convert(tex, display=display))
        except Exception as e:
            raise ValueError(f'{self.builder.current_docname}: the equation {tex!r} cannot be drawn') from e
        raise SkipNode

    return visit, None


def setup(app):
    "This file as an extension of Sphinx"
    app.connect('doctree-read', anchor, priority=100)  # before the contents are collected
    app.add_html_math_renderer('mathml', mathml('inline'), mathml('block'))
    return dict(parallel_read_safe=True, parallel_write_safe=True)


def build(out):
    "The site by Sphinx, into `out`, which is replaced when all is done"
    from sphinx.application import Sphinx

    out = Path(out).resolve()
    with tempfile.TemporaryDirectory(dir=out.parent, prefix='.docs-') as d, chdir(ROOT):  # nbdev asks where it is
        src, made = Path(d) / 'src', Path(d) / 'made'
        (src / '_static').mkdir(parents=True)
        shutil.copy(NBS / 'styles.css', src / '_static')
        shutil.copytree(NBS / 'images', src / '_extra' / 'images')
        nbs = [p for p in sorted(NBS.rglob('*.ipynb')) if '.ipynb_checkpoints' not in p.parts]
        jobs = [(p, src / f'{page_name(p.relative_to(NBS))}.ipynb') for p in nbs]
        for _, dst in jobs:
            dst.parent.mkdir(parents=True, exist_ok=True)
        parallel(prepare, jobs, n_workers=WORKERS, method='spawn')
        app = Sphinx(
            src, None, made, Path(d) / 'trees', 'html', SETTINGS, status=None, warningiserror=True, parallel=WORKERS
        )
        app.build()
        if app.statuscode:
            raise SystemExit('the site has faults, named above; _docs/ is as it was')
        shutil.rmtree(out, ignore_errors=True)
        made.rename(out)


def build_quarto():
    "The site by `nbdev-docs`, into `_docs`"
    os.chdir(ROOT)
    nbdev.serve.FilterDefaults = Pages
    nbdev.quarto.nbdev_docs.__wrapped__()


def main():
    if shutil.which('quarto'):
        build_quarto()
    else:
        print('Quarto is not installed: making the same pages with Sphinx')
        build(ROOT / '_docs')
    print('nbs/ → _docs/index.html')


if __name__ == '__main__':
    import docs  # by its name, under which workers and Sphinx find it

    docs.main()
