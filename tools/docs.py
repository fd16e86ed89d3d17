"""Makes the docs site, `_docs/`, from the notebooks: `make docs`.

Nothing is downloaded and no notebook is run: the pages show the outputs that the notebooks store.

Where Quarto is installed, nbdev makes the site with it. Where it is not, the notebooks that nbdev prepares for Quarto
go to Sphinx instead, to pages of the same names.
"""

import json, os, re, shutil, tempfile
from contextlib import chdir
from pathlib import Path

import nbdev.quarto, nbdev.serve, nbdev.serve_drv, yaml
from fastcore.nbio import dict2nb
from fastcore.parallel import parallel
from nbdev.config import get_config, nbpath2html
from nbdev.processors import FilterDefaults, exec_show_docs

ROOT = Path(__file__).resolve().parents[1]
NBS, CFG = ROOT / 'nbs', get_config(ROOT)
WORKERS = min(8, os.cpu_count())
SITE, REPO = f'{CFG.doc_url}/', f'{CFG.git_url}/blob/{CFG.branch}/'
COLAB = REPO.replace('https://github.com/', 'https://colab.research.google.com/github/')

# --- what nbdev makes of a notebook, for Quarto and Sphinx alike

EXPORTS = {'export', 'exports', 'exporti'}
WIDGET_VIEW = 'application/vnd.jupyter.widget-view+json'


def is_show_doc(cell):
    "Whether a cell calls `show_doc`; nbdev adds one for each exported symbol"
    return cell['cell_type'] == 'code' and bool(re.search('^show_doc', cell['source'], re.M))


class define(exec_show_docs):
    """Runs exported definitions, which `show_doc` needs, and nothing else

    nbdev would also run every cell with an import.
    """

    def __call__(self, cell):
        exported = cell.cell_type == 'code' and EXPORTS & set(cell.directives_ or ())
        if exported or is_show_doc(cell):
            super().__call__(cell)


def tidy(nb):
    "Drop widget views, which show an error without a kernel, and times"
    for cell in nb.cells:
        for output in cell.get('outputs', ()):
            output.get('data', {}).pop(WIDGET_VIEW, None)
        cell.pop('has_sd', None)
        cell.metadata.pop('execution', None)
    nb.metadata.pop('widgets', None)


def markdown_cell(source, id):
    return dict(cell_type='markdown', id=id, metadata={}, source=source)


def doors(path):
    "The line beneath a page's title: its notebook, to read and to run"
    src = Path(path).resolve().relative_to(NBS.resolve()).as_posix()
    links = [f'[source: the notebook]({REPO}nbs/{src}){{.source}}']
    if 'google.colab' in Path(path).read_text(encoding='utf-8'):  # the page installs the package there
        links.append(f'[Open in Colab]({COLAB}nbs/{src}){{.colab}}')
    return markdown_cell(' '.join(links), 'doors')


class Pages(FilterDefaults):
    "nbdev's own processors, with `define` in place of its `exec_show_docs`, then `tidy`; `doors` under the title"

    def base_procs(self):
        return [define if p is exec_show_docs else p for p in super().base_procs()]

    def __call__(self, nb):
        super().__call__(nb)
        tidy(nb)
        nb.cells.insert(1, dict2nb(dict(cells=[doors(nb.path_)])).cells[0])


# --- from there to what MyST-NB reads

LINK = r'\]\(([^)\s]+)\)'
CODE = r'```.*?```|`[^`\n]*`'
PRIVATE = r'\[(`_\w+`)\]\([^)]*\)'


def page_name(nb):
    "The page of a notebook, both relative to their roots: paper/01_x.ipynb is paper/x"
    return nbpath2html(nb).with_suffix('').as_posix()


def file_link(path, link, src):
    "A file outside `nbs`, as the repository's site shows it"
    if not path.exists():
        raise FileNotFoundError(f'nbs/{src} links {link}, which does not exist')
    return f']({REPO}{path.relative_to(ROOT).as_posix()})'


def page_link(page, part):
    "A page of this site, as Sphinx resolves it"
    return f'](/{page}.ipynb#{part})' if part else f'](/{page}.ipynb)'


def new_link(match, src):
    "A link of notebook `src` as its page can follow it; code and other links stay as they are"
    if not match[1]:
        return match[0]  # code
    link, _, part = match[1].partition('#')
    if link.startswith(SITE):
        return page_link(link.removeprefix(SITE).removesuffix('.html'), part)
    if ':' in link or not link:
        return match[0]  # another site, or the page itself
    path = Path(os.path.normpath((NBS / src).parent / link))
    if NBS not in path.parents:
        return file_link(path, link, src)
    if path.suffix != '.ipynb':
        return match[0]
    return page_link(page_name(path.relative_to(NBS)), part)


def relink(md, src):
    "Markdown of notebook `src` with links to symbols, notebooks and files that its page can follow"
    md = re.sub(PRIVATE, r'\1', md)  # private names have no heading to link to
    return re.sub(f'{CODE}|{LINK}', lambda match: new_link(match, src), md, flags=re.S)


def head(cell):
    "Title and summary"
    front = next(yaml.safe_load_all(cell['source']))
    title = f"# {front['title']}"
    summary = f"{{.lead}}\n> {front.get('description', '')}"
    return f'{title}\n\n{summary}'


def api(md):
    "A symbol's documentation, under a heading that the contents show"
    md = re.sub(r'^---\n+', '', md)
    source, md = re.match(r'(?:\[source\]\((\S+?)\)\{.*?\}\n+)?(.*)', md, re.S).groups()
    heading, _, rest = md.replace('__main__.', '').partition('\n')  # where nbdev has defined it
    link = f'{{.source}}\n[source]({source})\n\n' if source else ''
    return f'{{.api}}\n{heading}\n\n{link}{rest}'


def text(source):
    "A notebook's text, which may be a list of lines"
    return ''.join(source) if isinstance(source, list) else source


def relink_outputs(cell, src):
    for output in cell['outputs']:
        data = output.get('data', {})
        if 'text/markdown' in data:
            data['text/markdown'] = relink(text(data['text/markdown']), src)


def fit(cell, src):
    "A processed cell, as MyST-NB reads it"
    cell = {**cell, 'source': text(cell['source'])}
    if cell['cell_type'] == 'raw':
        return {**cell, 'cell_type': 'markdown', 'source': head(cell)}
    if cell['cell_type'] == 'markdown':
        return {**cell, 'source': relink(cell['source'], src)}
    if is_show_doc(cell):
        shown = text(cell['outputs'][0]['data']['text/markdown'])
        return markdown_cell(relink(api(shown), src), cell['id'])
    relink_outputs(cell, src)
    if re.search(r'^#\|\s*echo:\s*false', cell['source'], re.M):  # Quarto knows it by itself
        cell['metadata'] = {**cell['metadata'], 'tags': ['remove-input']}
    return {**cell, 'source': re.sub(r'^#\|.*\n?', '', cell['source'], flags=re.M)}


def toctree(section):
    "A section of the sidebar as a table of contents of Sphinx's"
    pages = '\n'.join(map(page_name, section['contents']))
    return f'```{{toctree}}\n:hidden:\n:caption: {section["section"]}\n\n{pages}\n```\n'


def contents():
    "The sidebar as tables of contents"
    sidebar = yaml.safe_load((NBS / 'sidebar.yml').read_text(encoding='utf-8'))
    sections = sidebar['website']['sidebar']['contents']
    return '\n'.join(toctree(s) for s in sections if s != 'index.ipynb')


NOTEBOOK = dict(
    nbformat=4,
    nbformat_minor=5,
    metadata=dict(
        kernelspec=dict(name='python3', display_name='Python', language='python'),
        language_info=dict(name='python', pygments_lexer='ipython3'),
    ),
)


def prepare(job):
    "One notebook, from `src` to a page's source `dst`"
    src, dst = job
    nbdev.serve_drv.main((src, dst, Pages))
    nb = json.loads(dst.read_text(encoding='utf-8'))
    name = src.relative_to(NBS).as_posix()
    cells = [fit(c, name) for c in nb['cells'] if not text(c['source']).startswith('<!-- WARNING')]
    if page_name(name) == 'index':
        cells.append(markdown_cell(contents(), 'contents'))
    dst.write_text(json.dumps({**NOTEBOOK, 'cells': cells}, ensure_ascii=False), encoding='utf-8')


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
    nb_render_markdown_format='myst',  # tables in outputs, as in cells
    myst_enable_extensions=['dollarmath', 'attrs_block', 'attrs_inline'],
    myst_dmath_double_inline=True,  # $$…$$ directly under a line of prose, as Jupyter and Quarto read it
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
    html_show_search_summary=False,  # is fetched, which a browser forbids on pages opened from disk
    suppress_warnings=[
        'myst.header',  # `show_doc` always writes headings of level 3
        'misc.highlighting_failure',  # code in prose may leave things out with …
    ],
)


def members(page):
    "Names of the symbols that nbdev's index places on `page`, in small letters"
    from interpvid._modidx import d

    places = [place.split('.html#') for symbols in d['syms'].values() for place, _ in symbols.values()]
    return [name for at, name in places if at == page]


def api_name(section):
    return section[0].astext().lower()


def is_api(section):
    return 'api' in section['classes']


def free_anchors(sections, names):
    "Take from other sections the anchors that symbols need: a page may be named like a symbol on it"
    for i, section in enumerate(sections):
        if not is_api(section):
            section['ids'] = [o for o in section['ids'] if o not in names] or [f'part-{i}']


def own_anchors(name, page, names):
    "A symbol's anchor, and those of its public methods without a heading"
    methods = [m for m in members(page) if m.startswith(f'{name}.') and '._' not in m and m not in names]
    return [name, *methods]


def anchor(app, doctree):
    """Keep the anchors that nbdev links to, dots, underscores and all

    Methods without a heading are found under their class.
    """
    from docutils.nodes import section

    page = app.env.docname
    slugs = app.env.metadata[page].setdefault('myst_slugs', {})
    sections = list(doctree.findall(section))
    names = {api_name(s) for s in sections if is_api(s)}
    free_anchors(sections, names)
    for s in filter(is_api, sections):
        anchors = own_anchors(api_name(s), page, names)
        s['ids'] = anchors + s['ids']
        slugs.update({a: (0, a, api_name(s)) for a in anchors})


def mathml(display):
    "What Sphinx calls for a formula: its MathML, 'inline' or as a 'block'"

    def visit(self, node):
        from docutils.nodes import SkipNode
        from latex2mathml.converter import convert

        tex = node.astext().replace('{aligned}', '{align*}')  # it does not know the first
        try:
            self.body.append(convert(tex, display=display))
        except Exception as e:
            raise ValueError(f'{self.builder.current_docname}: cannot set the equation {tex!r}') from e
        raise SkipNode

    return visit, None


def setup(app):
    "This file as an extension of Sphinx"
    app.connect('doctree-read', anchor, priority=100)  # before the contents are collected
    app.add_html_math_renderer('mathml', mathml('inline'), mathml('block'))
    return dict(parallel_read_safe=True, parallel_write_safe=True)


def page_jobs(src):
    "(notebook, source of its page under `src`) of all notebooks"
    notebooks = [p for p in sorted(NBS.rglob('*.ipynb')) if '.ipynb_checkpoints' not in p.parts]
    return [(p, src / f'{page_name(p.relative_to(NBS))}.ipynb') for p in notebooks]


def write_sources(src):
    "Everything that Sphinx reads, under `src`"
    (src / '_static').mkdir(parents=True)
    shutil.copy(NBS / 'styles.css', src / '_static')
    shutil.copytree(NBS / 'images', src / '_extra' / 'images')
    jobs = page_jobs(src)
    for _, dst in jobs:
        dst.parent.mkdir(parents=True, exist_ok=True)
    parallel(prepare, jobs, n_workers=WORKERS, method='spawn')


def run_sphinx(src, made, trees):
    from sphinx.application import Sphinx

    app = Sphinx(src, None, made, trees, 'html', SETTINGS, status=None, warningiserror=True, parallel=WORKERS)
    app.build()
    if app.statuscode:
        raise SystemExit('the site has faults, named above; _docs/ is as it was')


def build(out):
    "The site by Sphinx, into `out`, which is replaced once all is done"
    out = Path(out).resolve()
    with tempfile.TemporaryDirectory(dir=out.parent, prefix='.docs-') as d, chdir(ROOT):  # nbdev asks where it is
        src, made, trees = (Path(d) / name for name in ('src', 'made', 'trees'))
        write_sources(src)
        run_sphinx(src, made, trees)
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
