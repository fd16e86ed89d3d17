"""The paper's sentences: how each is measured, and what is said of it

Evidence is made up, in favour of every sentence, against every sentence, and without any difference.
"""

import numpy as np, pandas as pd, pytest
from dataclasses import dataclass, field

from interpvid.data.actors import KTH_CLASSES
from interpvid.data.synthetic import REVERSED, SYNTHETIC_CLASSES
from interpvid.explanation import Explanation
from interpvid.paper.ablations import MASK_STATEMENTS, each_by_its_own, program_effects
from interpvid.paper.claims import CLAIMS, EQUAL, STATEMENTS, VERDICTS, Evidence, conclusions, judge_evidence
from interpvid.paper.claims import PAPER_F1, verdict, with_relative_drop
from interpvid.paper.tables import SIMILAR, confusion, f1_beside_paper, similar_classes
from interpvid.stats import MIN_INTERVAL, holm, paired_ci
from interpvid.tables import beside, clip_stats, distinct, heat_table, overlap_table, truth_stats

MODELS = 'I3D', 'C-LSTM'
ASKED = [c for c in CLAIMS if c.family != 'not asked']
BY_KEY = {c.key: c for c in CLAIMS}
FAMILIES = {f: [c for c in CLAIMS if c.family == f] for f in dict.fromkeys(c.family for c in CLAIMS)}

# column -> I3D's and C-LSTM's number where all is as the paper has it
EVENTS = {
    'mask length': (6, 9), 'loss': (0.1, 0.3), 'OS - RS': (0.8, 0.5), 'drop difference': (0.2, 0.05),
    'drop ratio': (3, 2), 'relative drop': (0.5, 0.8), 'blob count': (1.5, 3.6), 'blob size': (34, 26),
    'centre distance': (55, 97), 'distance before': (60, 110), 'even distance': (85, 85),
    'heat before': (0.4, 0.1), 'frames before': (0.3, 0.3), 'overlap': (0.6, 0.6), 'overlap, any window': (0.4, 0.4),
    'on at the middle': (0.9, 0.9), 'on at the middle, any window': (0.5, 0.5),
}  # fmt: skip
PEOPLE = {
    **{k: EVENTS[k] for k in ('loss', 'drop difference', 'drop ratio', 'relative drop')},
    **{k: EVENTS[k] for k in ('blob count', 'blob size', 'centre distance')},
    'mask length': (9, 6), 'OS - RS': (0.05, 0.02), 'OS - FS': (0.9, 0.5), 'hides a cycle': (0.9, 0.9),
    'none left': (0.9, 0.9), 'person, of the mask': (0.9, 0.9), 'person, of the clip': (0.6, 0.6),
    'on the legs': (0.6, 0.4), 'on the legs, mask on': (0.7, 0.5), 'on the legs, mask off': (0.5, 0.5),
}  # fmt: skip


def made_up(people=False, favour=1, each=12, seed=0):
    "Evidence in which every sentence holds (favour 1), or the opposite of it (-1)"
    rng = np.random.default_rng(seed)
    classes = KTH_CLASSES if people else SYNTHETIC_CLASSES[1:]
    labels = np.repeat(np.arange(len(classes)), each)
    back = None if people else np.array([list(REVERSED).index(i + 1) - 1 for i in range(len(classes))])[labels]
    named = np.array(classes)[labels]
    turns = np.char.startswith(named.astype(str), 'Turning the camera')
    rows = {}
    for k, m in enumerate(MODELS):
        given, values = PEOPLE if people else EVENTS, {}
        for column, pair in given.items():
            values[column] = np.full(len(labels), float(pair[k] if favour > 0 else pair[1 - k]))
            if favour < 0 and column in (mirrors := BESIDE[people]):  # on the other side of its yardstick
                than = mirrors[column]
                values[column] = 2 * (given[than][k] if isinstance(than, str) else than) - pair[k] + 0 * values[column]
            if column not in YARDSTICKS:
                values[column] += rng.normal(0, 0.03 * (abs(values[column].mean()) + 0.1), len(labels))
        table = pd.DataFrame(values)
        table['blob count'] += favour * turns * (1 if k else 0)
        rows[m] = table.assign(**{'class': named})
    hits = {m: answers(rng, labels, back, people, favour, k) for k, m in enumerate(MODELS)}
    return Evidence(MODELS, people, rows, hits, labels, back, list(classes))


YARDSTICKS = {
    'even distance',
    'frames before',
    'overlap, any window',
    'on at the middle, any window',
    'person, of the clip',
}
BESIDE = {  # what is compared with another number of the same network, or with a constant
    False: {'overlap': 'overlap, any window', 'on at the middle': 'on at the middle, any window'},
    True: {
        'hides a cycle': 0.5, 'none left': 0.5, 'person, of the mask': 'person, of the clip', 'OS - RS': 0.1,
        'on the legs, mask on': 'on the legs, mask off',
    },
}  # fmt: skip


def answers(rng, labels, back, people, favour, k):
    "Right as it is, right reversed, within the first five"
    good = (0.95, 0.6) if favour > 0 else (0.6, 0.95)
    hit = rng.random(len(labels)) < good[k]
    first_five = hit | (rng.random(len(labels)) < (0.5 if (k == 0) == (favour > 0) else 0))
    keeps = np.zeros(len(labels), bool) if back is None else back == labels
    if people:
        chance = np.full(len(labels), 0.9 if favour > 0 else 0.05)
    else:
        chance = np.where(keeps, 0.9, 0.03) if favour > 0 else np.where(keeps, 0.02, 0.9)
    return hit.astype(float), (rng.random(len(labels)) < chance).astype(float), first_five.astype(float)


def test_claims_are_told_apart_and_placed():
    assert len(BY_KEY) == len(CLAIMS)
    for c in CLAIMS:
        assert c.sign in (-1, 0, 1)
        assert c.sentence and c.section[0] in '456T'
    assert all(c.meaning for c in ASKED)
    assert [c.key for c in ASKED if not c.sign] == ['loses-alike']


@pytest.mark.parametrize('people', [False, True])
@pytest.mark.parametrize('favour', [1, -1])
def test_every_claim_follows_the_numbers(people, favour):
    evidence = made_up(people, favour, each=30)
    judged = judge_evidence(evidence)
    asked = judged[judged['verdict'] != 'not asked here']
    says = {1: 'as in the paper', -1: 'the opposite'}[favour]
    differ = asked[(asked['verdict'] != says) & (asked['sign'] != 0)]
    if people:  # there it has shorter masks for C-LSTM
        differ = differ.drop(index='mask length')
    assert differ.empty, differ[['difference', 'p (Holm)', 'verdict']]
    assert len(asked) >= (20 if people else 24)


def test_the_two_data_are_asked_what_the_paper_says_of_them():
    events, people = (judge_evidence(made_up(p)) for p in (False, True))
    asked = lambda t: set(t.index[t['verdict'] != 'not asked here'])
    both = asked(events) & asked(people)
    assert both == {c.key for c in CLAIMS if c.key in {'reverse drop'} | set(STATEMENTS)}
    assert asked(events) | asked(people) == {c.key for c in ASKED}
    refused = events[events['verdict'] == 'not asked here']
    assert refused['note'].str.len().gt(5).all()
    assert refused[['difference', 'low', 'high', 'p']].isna().all(axis=None)
    assert (refused['clips'] == 0).all()


def test_about_equal_needs_an_interval_next_to_zero():
    e = made_up(each=40)
    n, rng = len(e.labels), np.random.default_rng(0)
    hit, reversed_ = (rng.random(n) < 0.9).astype(float), (rng.random(n) < 0.2).astype(float)
    other = np.where(rng.random(n) < 0.03, 1 - reversed_, reversed_)
    alike = {'I3D': (hit, reversed_, hit), 'C-LSTM': (hit, other, hit)}
    apart = {'I3D': (hit, reversed_, hit), 'C-LSTM': (hit, hit, hit)}
    unsure = {m: tuple(v[:12] for v in hits) for m, hits in alike.items()}
    for hits, says in ((alike, 'as in the paper'), (apart, 'the opposite'), (unsure, 'no difference found')):
        e.hits = hits
        row = judge_evidence(e, [BY_KEY['loses-alike']]).iloc[0]
        assert row['verdict'] == says, row
    assert verdict({'clips': 90, 'low': -EQUAL, 'high': EQUAL}, 0) == 'as in the paper'
    assert verdict({'clips': 90, 'low': -EQUAL, 'high': EQUAL + 0.01}, 0) == 'no difference found'


def test_p_values_are_corrected_within_families_and_verdicts_use_them():
    e = made_up(each=4)
    judged = judge_evidence(e)
    for name, claims in FAMILIES.items():
        keys = [c.key for c in claims]
        np.testing.assert_allclose(judged.loc[keys, 'p (Holm)'], holm(judged.loc[keys, 'p']))
    row = {'clips': 60, 'difference': 1.0, 'low': 0.5, 'high': 1.5, 'p': 0.01, 'p (Holm)': 0.06}
    assert verdict(row, 1) == 'no difference found'  # whatever the interval says


def test_a_claim_gives_the_paired_numbers_it_names():
    e = made_up(each=12)
    a, b = (e.rows[m] for m in MODELS)
    judged = judge_evidence(e)
    columns = {'mask length': 'mask length', 'reverse drop': 'OS - RS', 'centre distance': 'centre distance'}
    for key, column in columns.items():
        by_hand = paired_ci(a[column], b[column])
        for k in ('clips', 'difference', 'low', 'high', 'p'):
            assert judged.loc[key, k] == pytest.approx(by_hand[k])
    log = np.log(a['drop ratio']) - np.log(b['drop ratio'])
    assert judged.loc['drop ratio', 'difference'] == pytest.approx(log.mean())
    assert 'factor of 1.5' in judged.loc['drop ratio', 'note']
    passing = a[a['class'].str.contains('pass each other')]
    own = passing['on at the middle'] - passing['on at the middle, any window']
    assert judged.loc['passing', 'difference'] == pytest.approx(own.mean())
    assert judged.loc['passing', 'clips'] == 12
    assert np.isnan(judged.loc['passing', 'low'])  # twelve clips have a test and no interval
    assert judged.loc['mask length', 'clips'] >= MIN_INTERVAL
    assert np.isfinite(judged.loc['mask length', 'low'])


def test_without_any_difference_a_family_rarely_finds_one():
    "Numbers go to either network by chance: a true family-wise rate of 5 % passes 25 of 250 once in 2000 times"
    rng, found, cases = np.random.default_rng(0), 0, 250
    base = made_up(each=1)
    for _ in range(cases):
        swap = rng.random(len(base.labels)) < 0.5
        a, b = (base.rows[m] for m in MODELS)
        columns = [c for c in a if c != 'class']
        x, y = a.copy(), b.copy()
        x.loc[swap, columns], y.loc[swap, columns] = b.loc[swap, columns], a.loc[swap, columns]
        e = Evidence(MODELS, False, dict(zip(MODELS, (x, y))), base.hits, base.labels, base.back, base.classes)
        found += judge_evidence(e, FAMILIES['masks'])['verdict'].isin(VERDICTS[:2]).any()
    assert found <= 25


@dataclass
class Noting(Evidence):
    "Evidence that notes which numbers it is asked for"

    asked: set = field(default_factory=set)

    def column(self, network, name, only=()):
        self.asked.add(name)
        return super().column(network, name, only)


def explanation(model='I3D', people=False, T=8, seed=0, label=None):
    "An explanation of which everything is known"
    rng = np.random.default_rng(seed)
    event = np.zeros(T, bool)
    event[2:5] = True
    mask = np.zeros(T, np.float32)
    mask[3:6] = 1
    boxes = np.tile(np.array([2.0, 2, 9, 12]), (T, 1 if people else 2, 1))
    truth = dict(event=event, boxes=boxes, acting=np.array([True] if people else [True, False]))
    truth['phase'] = np.arange(T) / 2 if people else np.full(T, np.nan)
    classes, label = KTH_CLASSES if people else SYNTHETIC_CLASSES, (4 if people else 3) if label is None else label
    scores = dict(OS=0.9, FS=0.1, RS=0.5)
    frames, cam = np.zeros((T, 16, 16, 3), np.uint8), rng.random((T, 16, 16)).astype(np.float16)
    return Explanation(frames, mask, mask, cam, label, label, label, scores, {'loss': 0.2}, classes, model, {}, truth)


def test_every_number_that_a_claim_asks_for_is_measured():
    for people in (False, True):
        e = made_up(people)
        noting = Noting(**vars(e))
        judge_evidence(noting)
        es = [explanation(people=people)]
        there = set(with_relative_drop(clip_stats(es))) | set(truth_stats(es))
        assert noting.asked <= there, noting.asked - there
        assert len(noting.asked) > 10
        lacking = truth_stats(es).columns[truth_stats(es).isna().all()]
        assert not noting.asked & set(lacking), lacking


def test_numbers_of_a_known_clip_by_hand():
    e, w = explanation(), explanation(people=True)
    t = truth_stats([e, w])
    assert t.loc[0, 'overlap'] == 2 / 4  # frames 3, 4 of 2 to 5
    windows = [len({a, a + 1, a + 2} & {2, 3, 4}) for a in range(6)]
    assert t.loc[0, 'overlap, any window'] == pytest.approx(np.mean([n / (6 - n) for n in windows]))
    assert t.loc[0, 'on at the middle'] == 1  # frame 3
    assert t.loc[0, 'on at the middle, any window'] == 3 / 6  # windows from 1, 2, 3
    assert t.loc[0, 'frames before'] == 2 / 8
    assert t.loc[0, 'heat before'] == pytest.approx(e.cam[:2].astype(float).sum() / e.cam.astype(float).sum(), rel=1e-3)
    assert np.isnan(t.loc[0, 'hides a cycle'])
    assert np.isnan(t.loc[0, 'on the legs'])  # of two things none is a person
    assert t.loc[1, 'hidden'] == 1.5  # frame 2 is shown for 3, 4 and 5
    assert t.loc[1, 'hides a cycle'] == 1
    assert t.loc[1, 'person, of the mask'] == 2 / 3
    assert t.loc[1, 'person, of the clip'] == 3 / 8
    assert 0 < t.loc[1, 'on the legs'] < 1


# --- yardsticks


def test_the_yardstick_of_heat_is_the_maps_of_other_clips():
    "A bump in the middle has more heat on things in the middle than an even spread, and knows nothing of the clip"
    es = [explanation(seed=k) for k in range(8)]
    y, x = np.mgrid[:16, :16]
    bump = np.exp(-((x - 6) ** 2 + (y - 7) ** 2) / 20).astype(np.float16)
    for e in es:
        e.cam = np.tile(bump, (8, 1, 1))
    t = heat_table(es).loc['I3D']
    assert t.loc['of the heat', 'mean'] > 1.5 * t.loc['of the image', 'mean']
    assert t.loc["of other clips' heat", 'mean'] == pytest.approx(t.loc['of the heat', 'mean'], rel=1e-4)
    assert t.loc["of other clips' heat", 'difference'] == pytest.approx(0, abs=1e-5)
    es[0].truth['boxes'] = es[0].truth['boxes'] + 4
    moved = heat_table(es)
    assert moved.loc[('I3D', 'of the heat'), 'mean'] < t.loc['of the heat', 'mean']
    assert heat_table([]).empty


def test_yardsticks_are_compared_clip_by_clip():
    es = [explanation(seed=k) for k in range(10)]
    for e in es:
        e.start = np.array([0, 0, 1, 0, 0, 0, 0, 0], np.float32)
    t = overlap_table(es).loc['I3D']
    assert t.loc['learned mask', 'IoU'] == 0.5
    assert np.isnan(t.loc['learned mask', 'p'])
    assert t.loc['centred start', 'difference'] == pytest.approx(0.5 - 1 / 3)
    assert t.loc['centred start', 'p'] == 2 / 2**10
    assert t.loc['centred start', 'p (Holm)'] == 4 / 2**10
    hard = np.random.default_rng(0).normal(0, 10, 60)  # clips differ by tens, the two by one
    b = beside({'m': {'first': hard + 1 + np.arange(60) % 2 / 5, 'second': hard}}).loc[('m', 'second')]
    assert 0.9 < b['low'] < 1.1 < b['high'] < 1.3


def test_variants_that_repeat_another_are_named_beside_it():
    index = pd.MultiIndex.from_product([['a', 'b', 'c'], ['I3D', 'C-LSTM']], names=['variant', 'model'])
    table = pd.DataFrame({'x': [1, 1, 1.004, 2, 3, 1.0], 'y': [0, np.nan, 0, np.nan, 0, np.nan]}, index=index)
    t = distinct(table)
    assert list(t.index) == [('I3D', 'a'), ('I3D', 'c'), ('C-LSTM', 'a'), ('C-LSTM', 'b')]
    assert t['also'].tolist() == ['b', '', 'c', '']
    assert len(distinct(table, tol=0.001)) == 5


# --- programs


def by_program(seed=0, n=20):
    "Numbers by two programs: that of C-LSTM makes its masks longer, and nothing else"
    rng = np.random.default_rng(seed)
    of = lambda m, more: pd.DataFrame(
        {'model': m, 'class': 'made up', 'clip': np.arange(n), 'mask length': rng.integers(5, 8, n) + more,
         'drop ratio': rng.uniform(1, 3, n), 'OS': 1.0, 'RS': 0.5}
    )  # fmt: skip
    first = {m: of(m, 0) for m in MODELS}
    longer = first['C-LSTM'].assign(**{'mask length': first['C-LSTM']['mask length'] + rng.integers(2, 5, n)})
    tripled = first['I3D'].assign(**{'drop ratio': first['I3D']['drop ratio'] * 3})
    join = lambda *t: pd.concat(t, ignore_index=True)
    return {'released-pytorch': join(*first.values()), 'released-tf': join(tripled, longer)}


def test_what_a_program_changes_is_asked_within_a_network_and_between():
    stats = by_program()
    t = program_effects(stats, ['mask length', 'drop ratio'])
    assert list(t.index.get_level_values('of').unique()) == ['I3D', 'C-LSTM', 'I3D - C-LSTM']
    assert t.loc[('I3D', 'mask length'), ['difference', 'p']].tolist() == [0, 1]
    own, between = t.loc[('C-LSTM', 'mask length')], t.loc[('I3D - C-LSTM', 'mask length')]
    assert 2 <= own['difference'] <= 4
    assert own['TensorFlow'] - own['PyTorch'] == pytest.approx(own['difference'])
    assert between['difference'] == pytest.approx(-own['difference'])
    assert own['p'] == 2 / 2**20
    ratio = t.loc[('I3D - C-LSTM', 'drop ratio')]
    assert ratio['difference'] == pytest.approx(np.log(3))
    assert t['scale'].tolist() == ['', 'log'] * 3
    np.testing.assert_allclose(t['p (Holm)'], holm(t['p']))


def test_each_by_its_own_program_changes_one_network_only():
    stats = by_program()
    mixed = each_by_its_own(stats)
    assert mixed['model'].unique().tolist() == list(MODELS)
    both, own = (conclusions(s, ['mask length']).iloc[0] for s in (stats['released-pytorch'], mixed))
    assert own['I3D'] == both['I3D']
    change = program_effects(stats, ['mask length']).loc[('C-LSTM', 'mask length'), 'difference']
    assert both['difference'] - own['difference'] == pytest.approx(change)


def test_settings_of_masks_are_not_asked_about_heat_maps():
    assert not {'blob count', 'blob size', 'centre distance'} & set(MASK_STATEMENTS)
    assert set(MASK_STATEMENTS) < set(STATEMENTS)


# --- classes


def test_confusions_by_hand():
    probs = np.eye(4)[[0, 0, 1, 3, 3, 2]]
    probs[5] = np.nan  # could not be read
    t = confusion(probs, [0, 0, 0, 1, 3, 1], list('abcd'))
    assert list(t.index) == ['a', 'b', 'd']
    assert list(t.columns) == list('abcd')
    np.testing.assert_allclose(t, [[2 / 3, 1 / 3, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]])
    counts = confusion(probs, [0, 0, 0, 1, 3, 1], list('abcd'), share=False)
    assert counts.to_numpy().sum() == 5
    assert (counts.sum(axis=1) == [3, 1, 1]).all()


def class_tables(**f1):
    return {m: pd.DataFrame({'F1': v, 'clips': 10}, list('abcdef')) for m, v in zip(MODELS, f1.values())}


def test_similar_classes_by_their_rule():
    tables = class_tables(i3d=[0.9, 0.5, 0.3, 0.8, 0.2, 0.0], clstm=[0.7, 0.55, 0.3, 0.5, 0.0, 0.0])
    t = similar_classes(tables)
    assert list(t.index) == ['c', 'b', 'a']  # d differs by more, e and f are not known to both
    assert t['difference'].tolist() == pytest.approx([0, -0.05, 0.2])
    assert list(similar_classes(tables, n=2).index) == ['c', 'b']
    assert list(similar_classes(tables, within=0.01).index) == ['c']
    assert similar_classes(tables, models=('C-LSTM', 'I3D'))['difference'].tolist() == pytest.approx([0, 0.05, -0.2])
    assert similar_classes(class_tables(i3d=[1.0] * 6, clstm=[0.5] * 6)).empty


def test_the_papers_classes_are_similar_by_our_rule_and_no_narrower_one():
    theirs = {m: PAPER_F1[[m]].set_axis(['F1'], axis=1) for m in MODELS}
    assert len(similar_classes(theirs)) == len(PAPER_F1)
    assert len(similar_classes(theirs, within=SIMILAR - 0.01)) < len(PAPER_F1)


def test_f1_stands_beside_the_papers():
    one = pd.DataFrame({'F1': [0.5, 0.6], 'clips': [20, 30]}, ['Moving something up', 'Holding something'])
    t = f1_beside_paper({'I3D': one, 'C-LSTM': one.assign(F1=0.25)})
    assert len(t) == 11
    row = t.loc['Moving something up']
    assert row[['I3D, paper', 'C-LSTM, paper']].tolist() == [0.43, 0.40]
    assert row[['I3D, here', 'C-LSTM, here', 'clips']].tolist() == [0.5, 0.25, 20]
    assert t['I3D, here'].notna().sum() == 1
