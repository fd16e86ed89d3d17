"""The paper, item by item: nbs/paper/items.csv says where each is and which test shows it; and what the package
carries of the paper's numbers, against the same numbers typed once more (paper_text.py)."""

import ast
import csv
import importlib
import inspect
import json
import re
from functools import cache

import numpy as np, pytest, torch

import paper_text as paper
from conftest import ROOT
from interpvid.cam import CAM_PRESETS, gradcam
from interpvid.data.actors import KTH_CLASSES
from interpvid.data.clips import Item, Items
from interpvid.data.kth import KTH_SPLITS
from interpvid.data.ssv2 import SSV2_CLASSES, ssv2_paper_classes, ssv2_paper_clips
from interpvid.learner import PRESETS
from interpvid.masks.learn import learn_masks, make_adam
from interpvid.masks.loss import mask_loss
from interpvid.masks.perturb import reverse, reverse_index
from interpvid.masks.scores import drop_ratio
from interpvid.models.clstm import CLSTM, CLSTM_VARIANTS, ConvLSTM, norm_pool
from interpvid.models.i3d import I3D, ORIGINAL_T, Inception, SamePool, UnitConv
from interpvid.paper.claims import CLAIMS, PAPER_F1, PAPER_TABLE1, PAPER_TABLE2, PAPER_UNFILTERED
from interpvid.presets import program_of
from interpvid.registry import DATASETS
from interpvid.tables import TABLE2
from interpvid.video import sample_indices
from interpvid.viz import mask_row, rgb

AT = ROOT / 'nbs' / 'paper' / 'items.csv'
COLUMNS = ['section', 'item', 'kind', 'paper', 'where', 'test', 'claims', 'verdict', 'note']
KINDS = 'equation', 'setting', 'table', 'figure', 'claim', 'appendix'
VERDICTS = 'ok', 'differs on purpose', 'cannot be done here'


def items():
    with open(AT, encoding='utf-8', newline='') as f:
        return list(csv.DictReader(f))


ROWS = items()
by_name = pytest.mark.parametrize('row', ROWS, ids=lambda r: r['item'].replace(' ', '_'))


# --- the table


def test_the_table_has_its_columns_and_names_each_item_once():
    assert list(ROWS[0]) == COLUMNS
    names = [r['item'] for r in ROWS]
    assert len(set(names)) == len(names), [n for n in names if names.count(n) > 1]
    order = [list(dict.fromkeys(r['section'] for r in ROWS)).index(r['section']) for r in ROWS]
    assert order == sorted(order), 'sections are in one piece each'


@by_name
def test_a_row_says_what_it_has_to(row):
    assert row['kind'] in KINDS
    assert row['verdict'] in VERDICTS
    assert row['paper']
    assert None not in row.values() and None not in row, 'as many cells as columns'
    if row['verdict'] == 'ok':
        assert row['where'] and row['test'], 'what is done is somewhere, and tested'
    else:
        assert len(row['note']) > 20, 'what differs or is missing says why'
    if row['verdict'] == 'differs on purpose':
        assert row['where'] and row['test']


def names_of(text):
    return [n.strip() for n in text.split(';') if n.strip()]


def find_name(dotted):
    "What `masks.perturb.freeze` is in the package: a module's member, or a member of that"
    parts = dotted.split('.')
    for k in range(len(parts), 0, -1):
        try:
            at = importlib.import_module('.'.join(['interpvid', *parts[:k]]))
        except ModuleNotFoundError as e:
            assert e.name.startswith('interpvid'), e
            continue
        for name in parts[k:]:
            at = getattr(at, name)
        return at
    raise AssertionError(f'{dotted} is not in the package')


@by_name
def test_what_is_named_is_there(row):
    for name in names_of(row['where']):
        if '/' in name:
            assert (ROOT / 'nbs' / f'{name}.ipynb').is_file(), name
        else:
            assert find_name(name) is not None, name


@cache
def collected(file):
    "The tests that pytest would collect in a file, by its text alone"
    tree = ast.parse((ROOT / 'tests' / file).read_text(encoding='utf-8'))
    return {n.name for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith('test_')}


@by_name
def test_its_tests_are_collected(row):
    for name in names_of(row['test']):
        file, _, function = name.partition('::')
        assert re.fullmatch(r'test_\w+\.py', file) and (ROOT / 'tests' / file).is_file(), name
        assert function in collected(file), f'{name}: no such test'


@pytest.mark.parametrize('bad', ['masks.perturb.unfreeze', 'nowhere.freeze', 'paper.claims.PAPER_TABLE9'])
def test_a_name_that_is_not_there_is_noticed(bad):
    with pytest.raises((AssertionError, AttributeError)):
        find_name(bad)


def test_everything_numbered_appears():
    "Equations, tables by column, figures by sequence, appendices, footnotes"
    said = {r['item'] for r in ROWS}
    wanted = ['Eq. 1', 'Eq. 2', 'Fig. 1', 'Footnote 1', 'Footnote 2', 'A.1', 'A.2', 'B', 'C']
    wanted += [f'Table 1, {c}' for c in ('KTH top-1', 'Smth-smth top-1', 'Smth-smth top-5', 'reversed rows')]
    wanted += [f'Table 2, {c.lower().replace("diff.", "difference")}' for c in paper.TABLE_2]
    wanted += [f'Table 3, {c}' for c in ('weight decay', 'optimizer', 'dropout rate', 'epochs', 'momentum')]
    wanted += [f'Table 4, {c}' for c in ('λ1 and λ2', 'β', 'optimizer', 'iterations', 'learning rate')]
    wanted += [f'Fig. 2{letter}' for letter in paper.FIGURE_2] + [f'Fig. 3{letter}' for letter in paper.FIGURE_3]
    assert not [w for w in wanted if w not in said]


def test_every_section_appears():
    sections = '1', '2', '3.1', '3.2', '4.1', '4.2', '5', '5.1', '5.2', '6', 'A.1', 'A.2', 'B', 'C'
    assert tuple(dict.fromkeys(r['section'] for r in ROWS)) == sections


def test_the_page_shows_the_table():
    "The stored outputs of items.ipynb are of items.csv as it is now"
    cells = json.loads(AT.with_suffix('.ipynb').read_text(encoding='utf-8'))['cells']
    outputs = [o['data'].get('text/markdown', '') for c in cells for o in c.get('outputs', [])]
    shown = [line for o in outputs for line in ''.join(o).splitlines()]
    for r in ROWS:
        assert '|' not in ''.join(r.values()), 'it would end a cell'
        verdict = f"{r['verdict']}: {r['note']}" if r['note'] else r['verdict']
        found = [line for line in shown if line.startswith(f"| **{r['item']}**: {r['paper']} | {verdict} |")]
        assert found, f"{r['item']}: run items.ipynb again"
        for test in names_of(r['test']):
            file, _, name = test.partition('.py::test_')
            assert all(f'`{file}`: ' in line and name.replace('_', ' ') in line for line in found)


def test_claims_are_named_where_they_are_made():
    "Every claim that `judge` tests or leaves out belongs to a row, and no row names another"
    assert {k for r in ROWS for k in names_of(r['claims'])} == {c.key for c in CLAIMS}


@by_name
def test_a_claim_is_asked_where_the_row_says_so(row):
    never = {c.key for c in CLAIMS if c.family == 'not asked'}
    named = set(names_of(row['claims']))
    if row['kind'] == 'claim' and named:
        assert (named <= never) == (row['verdict'] == 'cannot be done here')


def test_every_claim_that_is_asked_is_shown_on_a_page():
    "`show_claims` of the pages of the paper names it, or `judge` shows all"
    pages = [p.read_text(encoding='utf-8') for p in AT.parent.glob('*.ipynb') if p.stem != 'items']
    code = ''.join(''.join(c['source']) for p in pages for c in json.loads(p)['cells'] if c['cell_type'] == 'code')
    asked = [c.key for c in CLAIMS if c.family != 'not asked']
    assert not [k for k in asked if f"'{k}'" not in code]


# --- the paper's numbers, typed twice


def test_class_lists_of_appendices_b_and_c():
    assert list(SSV2_CLASSES) == paper.SSV2_NAMES
    assert len(paper.SSV2_NAMES) == 174
    assert tuple(KTH_CLASSES) == paper.KTH_NAMES


def test_numbers_of_table_1():
    assert list(PAPER_TABLE1.index) == [m.replace(' (', ', ').replace(')', '') for m in paper.TABLE_1]
    assert list(PAPER_TABLE1.columns) == [
        'KTH (top-1)', 'Something-something (top-1)', 'Something-something (top-5)']
    assert [tuple(r) for r in PAPER_TABLE1.to_numpy()] == list(paper.TABLE_1.values())


@pytest.mark.parametrize('network', paper.LOST_TOP_1)
def test_shares_lost_by_reversal_follow_from_table_1(network):
    top1 = PAPER_TABLE1['Something-something (top-1)']
    lost = 1 - top1[f'{network}, reversed'] / top1[network]
    assert lost == pytest.approx(paper.LOST_TOP_1[network], abs=0.005), 'section 5'


def mean_and_sd(text):
    return tuple(float(v) for v in text.split(' ± '))


@pytest.mark.parametrize('ours,column', list(zip(TABLE2, paper.TABLE_2)))
def test_numbers_of_table_2(ours, column):
    same = ours.replace('difference', 'diff.').replace('centre', 'center')
    assert same == column.lower(), 'our columns are the paper\'s, in its order'
    got = tuple(mean_and_sd(PAPER_TABLE2.loc[m, ours]) for m in ('I3D', 'C-LSTM'))
    assert got == paper.TABLE_2[column]
    assert list(PAPER_TABLE2.columns) == TABLE2


def test_footnote_1():
    assert {m: mean_and_sd(v) for m, v in PAPER_UNFILTERED.items()} == paper.UNFILTERED_RATIO
    assert inspect.signature(drop_ratio).parameters['least'].default == paper.LEAST_DROP
    assert drop_ratio(0.5, 0.2, 0.4) == pytest.approx(3)
    assert np.isnan(drop_ratio(0.5, 0.2, 0.491)), 'OS-RS is 0.009: out'
    assert np.isnan(drop_ratio(0.5, 0.491, 0.2)), 'OS-FS as well, "for balance"'


def in_the_list(name):
    "The index of a class as the paper's sections name it"
    lower = [c.lower() for c in paper.SSV2_NAMES]
    return lower.index(paper.OTHER_NAMES.get(name, name).lower())


@pytest.mark.parametrize('section,f1', [('5.1', paper.F1_SECTION_5_1), ('A.2', paper.F1_APPENDIX_A_2)])
def test_f1_of_the_classes(section, f1):
    ours = PAPER_F1[PAPER_F1['section'] == section]
    assert {SSV2_CLASSES.index(c): (r['I3D'], r['C-LSTM']) for c, r in ours.iterrows()} == {
        in_the_list(c): v for c, v in f1.items()}
    assert len(PAPER_F1) == 11


def test_seven_classes_are_analysed_and_eleven_shown():
    seven = [in_the_list(c) for c in paper.F1_SECTION_5_1]
    eleven = seven + [in_the_list(c) for c in paper.F1_APPENDIX_A_2]
    assert ssv2_paper_classes(7) == seven
    assert ssv2_paper_classes(11) == eleven
    with pytest.raises(ValueError, match='7 classes'):
        ssv2_paper_classes(8)


def listed(per_class):
    "Items with so many validation clips of each class, and a training clip of each"
    entries = [(k, s) for k in range(174) for s in ['train'] + ['validation'] * per_class.get(k, 3)]
    return Items([Item(f'{i}.webm', k, s, str(i)) for i, (k, s) in enumerate(entries)], SSV2_CLASSES)


def test_table_2_takes_up_to_150_clips_of_each_of_the_seven():
    "791 is less than 7 x 150, so some of the seven have fewer: whichever those are, all of theirs are taken"
    few = {36: 50, 81: 41, 165: 100}
    chosen = ssv2_paper_clips(listed({**dict.fromkeys(ssv2_paper_classes(11), 400), **few}))
    counts = np.bincount([i.label for i in chosen], minlength=174)
    assert counts.sum() == 50 + 41 + 100 + 4 * paper.CLIPS_PER_CLASS == paper.CLIPS_OF_TABLE_2
    assert set(np.flatnonzero(counts)) == set(ssv2_paper_classes(7))
    assert {i.split for i in chosen} == {'validation'}


def test_appendix_a_2_takes_two_clips_of_each_of_the_eleven():
    chosen = ssv2_paper_clips(listed({}), per_class=2, n=11)
    assert len(chosen) == 22
    assert sorted({i.label for i in chosen}) == sorted(ssv2_paper_classes(11))


TRAINED_AS = {('I3D', 'Smth-smth'): 'i3d-something', ('I3D', 'KTH'): 'i3d-kth',
              ('C-LSTM', 'Smth-smth'): 'clstm-something', ('C-LSTM', 'KTH'): 'clstm-kth'}


@pytest.mark.parametrize('of', paper.TABLE_3, ids=' on '.join)
def test_numbers_of_table_3(of):
    p = PRESETS[TRAINED_AS[of]]
    momentum = p.get('momentum') if p['opt'] == 'sgd' else None
    got = (p['wd'], p['opt'].upper(), p['model'].get('dropout', 0.0), p['epochs'], momentum)
    assert got == paper.TABLE_3[of]


def sum_of_eq_1(mask, lam1, lam2, beta):
    return lam1 * sum(mask) + lam2 * sum(abs(a - b) ** beta for a, b in zip(mask, mask[1:]))


@pytest.mark.parametrize('data,table', [('something', 'Smth-smth'), ('kth', 'KTH')])
def test_numbers_of_table_4(data, table):
    lam1, lam2, beta, optimizer, iterations, lr = paper.TABLE_4[table]
    p = program_of('paper', data).masks
    assert [p[k] for k in ('lam1', 'lam2', 'beta', 'iterations', 'lr')] == [lam1, lam2, beta, iterations, lr]
    assert optimizer == 'ADAM' and type(make_adam(torch.zeros(1, 16), lr)) is torch.optim.Adam
    assert DATASETS[data].lam == DATASETS[DATASETS[data].drawn].lam == (lam1, lam2)
    assert inspect.signature(mask_loss).parameters['beta'].default == beta
    mask = [0, 0.25, 1, 0.5, 0]
    terms = mask_loss(torch.tensor(mask), torch.tensor(0.0), lam1, lam2)
    assert float(terms['loss']) == pytest.approx(sum_of_eq_1(mask, lam1, lam2, beta))


def test_sequences_of_figures_2_and_3():
    shown = {letter: (SSV2_CLASSES.index(label), int(id)) for letter, label, id in DATASETS['something'].sequences}
    assert shown == paper.FIGURE_2
    of_kth = {letter: (label, int(re.match(r'person(\d\d)_', name)[1])) for letter, label, name in
              DATASETS['kth'].sequences}
    assert of_kth == paper.FIGURE_3
    assert {subject for _, subject in of_kth.values()} <= set(paper.KTH_TEST), 'both are evaluated on'


def test_subjects_of_4_1():
    split = KTH_SPLITS['paper']
    assert [s for s, of in split.items() if of == 'train'] == list(paper.KTH_TRAIN)
    assert [s for s, of in split.items() if of == 'validation'] == list(paper.KTH_TEST)


# --- what sections 1 to 4 say of methods and networks


def test_the_papers_example_of_a_reversed_mask():
    mask = torch.tensor([paper.REVERSE_MASK]).float()
    assert (reverse_index(mask)[0] + 1).tolist() == paper.REVERSE_FRAMES
    x = torch.arange(1.0, 17).view(1, 1, 16, 1, 1)
    assert reverse(x, mask).flatten().tolist() == paper.REVERSE_FRAMES


@pytest.mark.parametrize('value,on', [(paper.REVERSE_THRESHOLD, False), (paper.REVERSE_THRESHOLD + 1e-3, True)])
def test_frames_above_the_threshold_are_reversed(value, on):
    mask = torch.zeros(1, 6)
    mask[0, 2:5] = value
    assert reverse_index(mask)[0].tolist() == ([0, 1, 4, 3, 2, 5] if on else [0, 1, 2, 3, 4, 5])


@pytest.mark.parametrize('data', ['something', 'kth'])
def test_frames_and_sizes_of_4_1(data):
    title = {'something': 'Something-something', 'kth': 'KTH'}[data]
    assert DATASETS[data].shape == (paper.FRAMES[title], *paper.SIZES[title])
    for total in 40, 64, 250:  # over the whole sequence, evenly
        at = sample_indices(total, paper.FRAMES[title])
        assert len(at) == paper.FRAMES[title]
        assert (at[0], at[-1]) == (0, total - 1), 'from the first frame to the last'
        assert np.abs(np.diff(at) - (total - 1) / (len(at) - 1)).max() < 1


@pytest.mark.reference
def test_lengths_of_kth_sequences(reference):
    "4.1: 2391 sequences, 'almost three hours', one to 'almost ten' seconds: 2.5 hours here, and 2 of 2391 are longer"
    from interpvid.data.kth import kth_sequences
    known = kth_sequences(reference / 'kth' / '00sequences.txt')
    seconds = np.array([s.stop - s.start for s in known]) / 25
    assert len(known) == paper.KTH_SEQUENCES
    assert 2.5 < seconds.sum() / 3600 < 3
    assert seconds.min() == pytest.approx(1, abs=0.05)
    assert np.sort(seconds)[-3] < 10 < np.sort(seconds)[-2]
    assert {s.subject for s in known} == set(paper.KTH_TRAIN) | set(paper.KTH_TEST)
    assert {s.setting for s in known} == {1, 2, 3, 4}


def test_layers_of_i3d():
    "4.2: three convolutions, nine Inception modules, four max poolings"
    layers = list(I3D(5, width=0.0625).features)
    assert [sum(isinstance(l, kind) for l in layers) for kind in (UnitConv, Inception, SamePool)] == [3, 9, 4]
    assert len(layers) == 16


@pytest.mark.parametrize('strides,left', [(None, 8), (ORIGINAL_T, 2)], ids=['reduced', 'original'])
def test_activations_of_i3d_in_time(strides, left):
    "4.2: sixteen frames leave two in the original setting, eight with the reduced strides; Grad-CAM has as many"
    net = I3D(5, **({} if strides is None else dict(t_strides=strides)), width=0.0625).eval()
    x = torch.randn(1, 3, 16, 32, 32)
    assert net.features(x).shape[2] == left
    assert net.cam_layer == 'features.Mixed_5c' and net.get_submodule(net.cam_layer) is net.features[-1]
    assert gradcam(net, x, 0, space=None, time=None, relu=False).shape[1] == left


def test_layers_of_the_clstm():
    "4.2: three C-LSTM layers of 32 filters, 5x5, stride 2x2, a norm and a max pool after each; all frames to the end"
    net = CLSTM(174)
    lstms = [m for m in net.modules() if isinstance(m, ConvLSTM)]
    assert [m.hidden for m in lstms] == [32] * 3
    assert {m.wx.kernel_size for m in lstms} == {(5, 5)} and {m.wx.stride for m in lstms} == {(2, 2)}
    assert net.settings['pool'] == [2, 2, 2]
    assert net.fc.in_features == 16 * 32 * 3 * 3, 'frames, channels, places'
    assert net.get_submodule(net.cam_layer) is lstms[-1]


def test_the_clstm_norms_and_pools_after_each_layer(monkeypatch):
    calls = []

    def counted(x, bn, pool, pool_first=False):
        calls.append((bn, pool, pool_first))
        return norm_pool(x, bn, pool, pool_first)

    monkeypatch.setattr('interpvid.models.clstm.norm_pool', counted)
    CLSTM(5, 64).eval()(torch.randn(1, 3, 16, 64, 64))
    assert len(calls) == 3
    assert all(isinstance(bn, torch.nn.BatchNorm2d) and pool == 2 and not first for bn, pool, first in calls)


def test_the_clstm_for_kth():
    "4.2: two layers of 32, dropout of one half between them, and the whole sequence goes to the classifier"
    net = CLSTM(6, (120, 160), 32, **{**CLSTM_VARIANTS['kth'], 'dropout': PRESETS['clstm-kth']['model']['dropout']})
    lstms = [m for m in net.modules() if isinstance(m, ConvLSTM)]
    assert [m.hidden for m in lstms] == [32, 32]
    assert net.settings['dropout'] == 0.5 and net.settings['drop'] == 'between'
    assert net.fc.in_features == 32 * 32 * 7 * 10, 'frames, channels, places: 160x120, halved four times'


def frames_that_count(net, t, size=64):
    "(16,) bool: which frames of a clip have a gradient from activation `t` of the layer that Grad-CAM reads"
    kept = []
    hook = net.get_submodule(net.cam_layer).register_forward_hook(lambda m, i, o: kept.append(o))
    x = torch.randn(1, 3, 16, size, size, requires_grad=True)
    net(x)
    hook.remove()
    (grad,) = torch.autograd.grad(kept[0][:, :, t].sum(), x)
    return (grad != 0).any(4).any(3).any(1)[0].tolist()


@pytest.mark.parametrize('t', [0, 8, 15])
def test_time_runs_one_way_in_the_clstm(t):
    "Section 1: a state knows the frames up to its own"
    torch.manual_seed(0)
    net = CLSTM(5, 64, hidden=(4, 4), stride=(2, 2), pool=(2, 2)).eval()
    assert frames_that_count(net, t) == [k <= t for k in range(16)]


def test_time_runs_both_ways_in_i3d():
    "Section 1: the first activation of eight, which stands for frames 0 and 1, has met the frames after them"
    torch.manual_seed(0)
    assert all(frames_that_count(I3D(5, width=0.0625).eval(), 0)[:8])


def test_where_the_learned_mask_starts():
    "3.1: centred in the middle of the sequence"
    torch.manual_seed(0)
    net = CLSTM(5, 32, hidden=(4,), stride=(2,), pool=(2,)).eval()
    found = learn_masks(net, torch.randn(2, 3, 16, 32, 32), preset='paper', iterations=1)
    for start in np.asarray(found.start) > 0.5:
        on = np.flatnonzero(start)
        assert len(on) and (np.diff(on) == 1).all(), 'one piece'
        assert abs(on[0] - (15 - on[-1])) <= 1, 'as many frames before as after it'


def test_maps_have_the_size_of_the_input_and_are_not_negative():
    "3.2: only positive values, up-sampled to the resolution of the input"
    torch.manual_seed(0)
    net = CLSTM(5, (48, 40), hidden=(4, 4), stride=(2, 2), pool=(2, 2)).eval()
    maps = gradcam(net, torch.randn(2, 3, 16, 48, 40), 1, **CAM_PRESETS['paper'])
    assert maps.shape == (2, 16, 48, 40)
    assert maps.min() >= 0 and (maps.amax((1, 2, 3)) > 0).all()


def test_marks_of_fig_2_are_red_and_green():
    "Caption of Fig. 2: the mask is on (red) or off (green), with the current frame highlighted"
    row = mask_row([0, 1, 0, 1], t=1).astype(int)
    parts = np.split(row, 4, axis=1)
    for part, color in zip(parts, ('mask-off', 'mask-on', 'mask-off', 'mask-on')):
        assert (np.abs(part - rgb(color)).sum(2) < 40).any(), color
    red, green = rgb('mask-on'), rgb('mask-off')
    assert red[0] > 2 * red[1] and green[1] > 2 * green[0]
    dark = [(part.sum(2) < 150).any() for part in parts]
    assert dark == [False, True, False, False]

