"Several trainings on the same clips: what is due to training, what is kept, what is taken from elsewhere."

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest

from interpvid.paper.experiment import TINY, Experiment, network_files, tiny_folder, train_all
from interpvid.paper.plan import FORWARD, RECORDED, plan
from interpvid.paper.reproduce import reproduce
from interpvid.paper.trainings import (
    kept_file, load_trainings, run_trainings, save_trainings, sign_p, trained_elsewhere, trainings_table,
    variance_parts)
from interpvid.registry import NETWORKS
from conftest import SMALL

TINY_RUN = {k: v for k, v in TINY.items() if k != 'n_ablation'}


@pytest.fixture(scope='module')
def two():
    "Two tiny trainings on built-in people"
    return run_trainings('kth', 2, tiny_folder(), log=lambda line: None, progress=False, **TINY_RUN)


def components(a, b, e, k, n, runs, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(runs):
        yield rng.normal(0, a, (k, 1)) + rng.normal(0, b, n) + rng.normal(0, e, (k, n))


def test_variance_parts_are_those_that_were_put_in():
    "Mean of the estimated variances over 1500 draws; within four standard errors of the truth"
    truth = {'between trainings': 0.3, 'between clips': 1.0, 'rest': 0.5}
    found = pd.DataFrame([variance_parts(d) for d in components(0.3, 1.0, 0.5, 5, 60, 1500)]) ** 2
    for part, sd in truth.items():
        assert abs(found[part].mean() - sd**2) < 4 * found[part].std() / math.sqrt(len(found)), part
    # and the variance of the mean is that of the means of such tables
    means = np.var([d.mean() for d in components(0.3, 1.0, 0.5, 5, 60, 4000, 1)])
    assert found['of the mean'].mean() == pytest.approx(means, rel=0.12)


def test_without_differences_between_trainings_there_is_no_variance_between_them():
    clips = np.random.default_rng(0).normal(size=40)
    parts = variance_parts(np.tile(clips, (4, 1)))
    assert parts['between trainings'] == pytest.approx(0, abs=1e-12) and parts['rest'] == pytest.approx(0, abs=1e-12)
    assert parts['between clips'] == pytest.approx(clips.std(ddof=1))
    gaps = np.tile(clips, (4, 1))
    gaps[2, :10] = np.nan  # a clip that one training lacks is left out of all
    assert variance_parts(gaps)['clips'] == 30
    assert math.isnan(variance_parts(clips[None])['between trainings'])  # one training says nothing about trainings


@pytest.mark.parametrize('n', [1, 4, 5, 8])
def test_p_of_signs_is_that_of_coins(n):
    heads = np.array([bin(i).count('1') for i in range(2**n)])
    for agree in range(n + 1):
        assert sign_p(agree, n) == pytest.approx((abs(heads - n / 2) >= abs(agree - n / 2)).mean())


def test_the_clips_stay_and_the_networks_change(two):
    settings = dict(TINY, progress=False)
    a, b = (Experiment('kth', False, tiny_folder(), net_seed=k, **settings) for k in (0, 1))
    assert train_all(a).keys() == train_all(b).keys() == {n.label for n in NETWORKS.values()}
    assert not set(network_files(a).values()) & set(network_files(b).values())
    c = Experiment('kth', False, tiny_folder(), seed=1, net_seed=0, **settings)
    assert not set(network_files(a).values()) & set(network_files(c).values()), 'other clips, other networks'
    claims = two['claims']
    assert set(claims.columns) >= {'data', 'seed', 'key', 'clips', 'difference', 'low', 'high', 'p', 'sign', 'verdict'}
    wide = claims.pivot(index='key', columns='seed', values='difference')
    assert (wide[0] != wide[1]).sum() > len(wide.dropna()) / 2
    assert set(map(tuple, two['accuracy'][['seed', 'network']].to_numpy())) == {
        (k, n.label) for k in (0, 1) for n in NETWORKS.values()
    }


def test_table_counts_signs_and_gives_mean_and_range(two):
    table = trainings_table(two)
    for (data, key), row in table.iterrows():
        c = two['claims'].query('data==@data and key==@key')
        d = c['difference'].dropna()
        assert row['trainings'] == len(d) and row['lowest'] == d.min() and row['highest'] == d.max()
        assert row['mean'] == pytest.approx(d.mean()) and row['lowest'] <= row['mean'] <= row['highest']
        if c['sign'].any():
            assert row['agree'] == (np.sign(d) == c['sign'].iloc[0]).sum()
            sided = (d != 0).sum()  # equal is on no side
            assert row['p of signs'] == (sign_p(row['agree'], sided) if sided else 1)
        assert row['signs'] == f'{row["agree"]} of {row["trainings"]}'
    kth = table.loc['kth']
    assert {'mask length', 'blob count', 'centre distance'} <= set(kth.dropna(subset=['between clips']).index)


def test_equal_is_on_no_side(two):
    "Five trainings without any difference say nothing; one without leaves four that may agree"
    key = two['claims'].query("data=='kth' and sign!=0").dropna(subset=['difference'])['key'].iloc[0]
    row = two['claims'].query('data=="kth" and key==@key and seed==0')
    sign = int(row['sign'].iloc[0])
    for differences, agree, p in ([0] * 5, 0, 1.0), ([0, sign, sign, sign, sign], 4, 0.125):
        five = pd.concat([row.assign(seed=k, difference=float(d)) for k, d in enumerate(differences)])
        said = trainings_table({**two, 'claims': five}).loc[('kth', key)]
        assert (said['agree'], said['p of signs']) == (agree, p)


def test_kept_as_it_was(two, tmp_path):
    starts = pd.DataFrame({'x': [1.0]}, index=pd.Index(['a'], name='by'))
    more = two | {'programs': dict(clips_per_class=1, starts=starts)}
    save_trainings(more, tmp_path / 't.json')
    again = load_trainings(tmp_path / 't.json')
    for name in 'claims', 'accuracy', 'table2', 'variance':
        pd.testing.assert_frame_equal(again[name], two[name], rtol=1e-4)
    pd.testing.assert_frame_equal(again['programs']['starts'], more['programs']['starts'])
    assert again['about'] == two['about'] and {'date', 'commit', 'versions', 'cores', 'seconds'} <= set(again['about'])
    json.loads((tmp_path / 't.json').read_text())  # strict: no NaN
    assert 'NaN' not in (tmp_path / 't.json').read_text()
    with pytest.raises(FileNotFoundError, match='--seeds'):
        load_trainings(tmp_path / 'none.json')


def test_what_the_package_keeps_can_be_read():
    if not kept_file().is_file():
        pytest.skip('no trainings are kept in this checkout')
    kept = load_trainings()
    table = trainings_table(kept)
    assert kept_file().stat().st_size < 200_000 and kept['about']['commit'] and kept['about']['date']
    assert set(table.index.get_level_values('data')) == {'something', 'kth'}
    assert table['trainings'].max() == kept['about']['seeds'] >= 2


def test_a_network_of_elsewhere_is_taken_by_its_number(two, tmp_path):
    "The same network, handed in: the same numbers; under another number it is refused"
    exp = Experiment('kth', False, tiny_folder(), net_seed=1, progress=False, **TINY)
    for n in NETWORKS.values():
        shutil.copy(train_all(exp)[n.label], tmp_path / f'people-{n.key}-1.safetensors')
    assert list(trained_elsewhere(tmp_path, 'people', 5)) == [1] and not trained_elsewhere(tmp_path, 'events', 5)
    lines = []
    settings = dict(log=lines.append, progress=False, **TINY_RUN)
    handed = run_trainings('kth', 2, tmp_path / 'out', networks=tmp_path, **settings)
    assert not any('trained for' in line for line in lines[-8:]), 'number 1 was trained all the same'
    for name in 'claims', 'accuracy', 'table2':
        pd.testing.assert_frame_equal(handed[name].query('seed==1'), two[name].query('seed==1'), rtol=1e-6)
    for f in tmp_path.glob('people-*-1.safetensors'):
        f.rename(f.with_name(f.name.replace('-1.', '-0.')))
    with pytest.raises(ValueError, match='was trained with seed 1, not 0'):
        run_trainings('kth', 1, tmp_path / 'out', networks=tmp_path, **settings)


def test_a_folder_of_which_nothing_is_taken_is_an_error(tmp_path):
    "The names that are looked for, and those that are there; before anything is made"
    how = dict(log=lambda line: None, progress=False)
    (tmp_path / 'models').mkdir()
    (tmp_path / 'models' / 'my_i3d.safetensors').touch()
    looked = r'looked for events-i3d-1.safetensors, .*people-clstm-1.safetensors.*it holds my_i3d.safetensors.*run-book'
    for more in dict(dry_run=True), dict(dry_run=True, seeds=3), dict(seeds=2):
        with pytest.raises(ValueError, match=looked):
            reproduce(tmp_path / 'out', networks=tmp_path / 'models', **SMALL, **how, **more)
    with pytest.raises(FileNotFoundError, match='nowhere: no such folder'):
        reproduce(tmp_path / 'out', networks=tmp_path / 'nowhere', dry_run=True, **SMALL, **how)
    with pytest.raises(ValueError, match='looked for people-i3d-0.safetensors'):
        run_trainings('kth', 2, tmp_path / 'out', networks=tmp_path / 'models', **how, **TINY_RUN)
    for n in NETWORKS:
        (tmp_path / 'models' / f'people-{n}-1.safetensors').touch()
    with pytest.raises(ValueError, match='training 0 is made here.*seeds=2'):
        reproduce(tmp_path / 'out', networks=tmp_path / 'models', dry_run=True, **SMALL, **how)
    assert not (tmp_path / 'out').exists()


def test_dry_run_makes_nothing_and_then_knows_what_is_there(tiny, tiny_cache, tmp_path):
    lines = []
    empty = reproduce(tmp_path / 'none', **SMALL, log=lines.append, progress=False, dry_run=True)['plan']
    assert not (tmp_path / 'none').exists() and not empty['there'].any() and (empty['seconds'] >= 0).all()
    assert len(lines) == len(empty) + 1 and f'0 are there, {len(empty)} to make' in lines[-1]
    before = sorted(p.name for p in tiny_cache.iterdir())
    again = dict(SMALL, cache=tiny_cache, log=lines.append, progress=False)
    full = reproduce(tmp_path / 'none', **again, dry_run=True)['plan']
    known = full[full['file'] != '']
    assert known['there'].all() and (known['basis'] == RECORDED).all() and len(known) >= 16
    assert all((tiny_cache / f).exists() for f in known['file'])
    assert sorted(p.name for p in tiny_cache.iterdir()) == before and not (tmp_path / 'none').exists()


def test_plan_names_the_files_that_a_run_then_makes(tmp_path):
    exp = Experiment('kth', False, tmp_path, progress=False, **TINY)
    said = plan([exp])
    train_all(exp)
    made = plan([Experiment('kth', False, tmp_path, progress=False, **TINY)])
    assert made['there'].sum() == 4  # clips to train on and to evaluate on, two networks
    assert set(made.loc[made['there'], 'file']) <= set(said['file'])


def test_multiply_adds_of_the_plan_are_those_of_the_networks():
    import torch
    from interpvid.models.layers import layer_table

    for n in NETWORKS.values():
        settings = n.presets['small']['model']
        net = n.build(12, **settings) if n.key == 'i3d' else n.build(12, (64, 64), 16, **settings)
        adds = layer_table(net, torch.randn(1, 3, 16, 64, 64)).loc['in all', 'multiply-adds (millions)']
        assert adds == pytest.approx(FORWARD[n.label, 'small'], rel=0.01)


@pytest.mark.posix
def test_seeds_of_the_command_are_kept_beside_the_page(tiny, tiny_cache):
    "As `interpvid reproduce --seeds 2 --ablation-clips 1`, on the stages of the tiny run"
    got = reproduce(
        tiny, **SMALL, cache=tiny_cache, log=lambda line: None, progress=False, seeds=2, ablation_clips=1
    )['trainings']
    kept = load_trainings(tiny / 'trainings.json')
    assert set(kept['claims']['data']) == {'something', 'kth'} and set(kept['claims']['seed']) == {0, 1}
    assert kept['programs']['clips_per_class'] == 1 and set(kept['programs']) == set(got['programs'])
    assert set(got['programs']) >= {'settings', 'baselines', 'starts'}
