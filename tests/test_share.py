"What leaves the package: exports, captum's and Quantus' forms, the Hub, and the extras that these need."

import json, sys

import numpy as np, pandas as pd, pytest, torch
from PIL import Image

from interpvid import export, explain, load_explanations, make_clips, pretrained, pull_from_hub, push_to_hub
from interpvid.core import to_batch
from interpvid.extras import EXTRAS, need, opencv_note
from interpvid.explanation import beside
from interpvid.gradients import gradient_input
from interpvid.hub import write_hub_folder
from interpvid.share import EXPORTS, TallModel, as_tall, for_captum, for_quantus, frame_groups, spread
from interpvid.video import probe, read_frames
from interpvid.viz import parts_html


@pytest.fixture(scope='module')
def net():
    return pretrained('i3d-events', 'cpu')


@pytest.fixture(scope='module')
def clips():
    return make_clips(4, seed=3, workers=0, progress=False)


@pytest.fixture(scope='module')
def es(net, clips):
    "One clip under a given mask, so that nothing is learned here"
    mask = np.arange(16) // 4 % 2
    return explain(net, clips.frames[1], masks=mask, maps=gradient_input) * 2


@pytest.mark.parametrize('ending', EXPORTS)
def test_each_ending_can_be_read_again(es, tmp_path, ending):
    at = export(es, tmp_path / f'x{ending}', fps=5)
    assert at == tmp_path / f'x{ending}' and at.exists()
    if ending in ('.gif', '.mp4', '.webm'):
        assert probe(at)['frames'] == 16 and read_frames(at, 16).std() > 0
    elif ending == '.npz':
        again = load_explanations(at)
        assert len(again) == 2 and (again[0].frames == es[0].frames).all() and again[1].scores == es[1].scores
    elif ending == '.json':
        said = json.loads(at.read_text())['explanations'][0]
        assert said['binary'] == es[0].binary.tolist() and said['target'] == es[0].name_of(es[0].target)
        assert said['scores']['OS'] == pytest.approx(es[0].scores['OS'])
    elif ending == '.csv':
        t = pd.read_csv(at)
        assert len(t) == 32 and t.on[:16].tolist() == es[0].binary.astype(int).tolist()
        first = t.iloc[5]
        assert es[0].cam[5, int(first.y), int(first.x)] == es[0].cam[5].max()
    elif ending == '.html':
        text = at.read_text()
        assert es[0].title.split(': ')[1] in text and 'http-equiv' not in text and '<script src' not in text
    elif ending == '.png':
        assert Image.open(at).size[0] > 16 * 96
    else:
        names = {p.name for p in at.glob('[!.]*')}
        assert {f'{k}_{t:03}.png' for k in ('frame', 'overlay_0', 'overlay_1') for t in range(16)} < names
        assert (np.asarray(Image.open(at / 'frame_003.png')) == es[0].frames[3]).all()
        assert {'explanation.json', 'frames.csv'} < names


def test_what_cannot_be_written_is_said_before_anything_is(es, tmp_path):
    with pytest.raises(ValueError, match=r'cannot export .docx; use .html'):
        export(es, tmp_path / 'x.docx')
    with pytest.raises(ValueError, match='takes an Explanation'):
        export([], tmp_path / 'x.gif')
    assert not list(tmp_path.iterdir())


def test_what_stands_side_by_side_is_a_page_too(es, tmp_path):
    both = beside(es[:2])
    text = export(both, tmp_path / 'both.html').read_text()
    assert '<title>' in text and parts_html(both) in text
    with pytest.raises(ValueError, match='a scrubber is a page, .html; for .gif give explanations'):
        export(both, tmp_path / 'both.gif')


def test_the_readers_own_folder_is_not_replaced(es, tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.txt').write_text('years')
    with pytest.raises(OSError, match='not replaced'):
        export(es, tmp_path / 'mine')
    assert (tmp_path / 'mine' / 'thesis.txt').read_text() == 'years'


def test_explain_writes_what_to_asks_for(net, clips, tmp_path, capsys):
    from interpvid.cli import main
    from interpvid.models.checkpoints import save_model
    from interpvid.video import write_video

    save_model(net, tmp_path / 'net.safetensors')
    write_video(tmp_path / 'a.mp4', clips.frames[1])
    how = ['explain', '--checkpoints', str(tmp_path / 'net.safetensors'), '--out', str(tmp_path / 'out')]
    assert main([*how, '--iterations', '1', '--to', 'csv, folder,json', str(tmp_path / 'a.mp4')]) == 0
    assert sorted(p.name for p in (tmp_path / 'out').glob('[!.]*')) == ['a', 'a.csv', 'a.json']
    assert 'a.csv, a folder, .json' in capsys.readouterr().out
    assert main([*how, '--to', 'docx', str(tmp_path / 'a.mp4')]) == 1
    assert 'cannot export .docx; use .html' in capsys.readouterr().err


# --- other libraries


def test_spread_keeps_sums(clips):
    x = to_batch(clips.frames[:2])
    for shape in (2, 16), (2, 16, 64, 64):
        v = torch.randn(shape)
        assert torch.allclose(spread(v, x).sum((1, 3, 4)), v.reshape(2, 16, -1).sum(2), atol=1e-3)


def test_captums_metrics_and_noise_tunnel_take_ours(net, clips):
    attr, metrics = pytest.importorskip('captum.attr'), pytest.importorskip('captum.metrics')
    x = to_batch(clips.frames[1:3], net.stats)
    target = net(x).argmax(1)
    ours = for_captum(net, gradient_input)
    a = ours.attribute(x, target)
    assert a.shape == x.shape and torch.allclose(a.sum(1), gradient_input(net, x, target), atol=1e-4)
    assert torch.equal(ours.attribute(x), a)  # the predicted class
    smooth = attr.NoiseTunnel(ours).attribute(x, nt_samples=2, stdevs=0.0, target=target)
    assert torch.allclose(smooth, a, atol=1e-4)

    def perturb(inputs):
        noise = torch.randn_like(inputs) * 0.01
        return noise, inputs - noise

    assert metrics.infidelity(net, perturb, x, a, target=target).isfinite().all()
    groups = frame_groups(x)
    drop = attr.FeatureAblation(net).attribute(x[:1], target=target[:1], feature_mask=groups)
    assert drop.shape == x[:1].shape and (drop[0, 0, :, 0, 0] == drop[0, 2, :, 5, 7]).all()


def test_a_function_of_ones_own_goes_through_both(net, clips):
    pytest.importorskip('captum')
    x = to_batch(clips.frames[1:3], net.stats)
    brightness = lambda model, clips, target: clips.mean((1, 3, 4))
    assert torch.allclose(for_captum(net, brightness).attribute(x, 1).sum((1, 3, 4)), x.mean((1, 3, 4)), atol=1e-4)
    ask = for_quantus(net, x, brightness, 1)
    a = ask['explain_func'](ask['model'], ask['x_batch'], ask['y_batch'])
    rows = a.reshape(2, 16, -1)
    assert np.allclose(rows.sum(2), x.mean((1, 3, 4)).numpy(), atol=1e-4) and np.ptp(rows, axis=2).max() == 0


def test_quantus_form_is_what_its_signature_says(net, clips):
    "explain_func(model, inputs, targets, **kwargs) -> array; x_batch (B,C,H,W) float32, channels first; y_batch (B,)"
    x = to_batch(clips.frames[1:3], net.stats)
    ask = for_quantus(net, x, gradient_input)
    assert ask['x_batch'].shape == (2, 3, 16 * 64, 64) and ask['x_batch'].dtype == np.float32
    assert isinstance(ask['model'], torch.nn.Module) and not ask['model'].training
    with torch.no_grad():
        assert torch.allclose(ask['model'](torch.from_numpy(ask['x_batch'])), net(x), atol=1e-3)
        assert ask['y_batch'].tolist() == net(x).argmax(1).tolist()
    a = ask['explain_func'](model=ask['model'], inputs=ask['x_batch'], targets=ask['y_batch'], device='cpu')
    assert a.dtype == np.float32 and a.shape == (2, 1, 16 * 64, 64)
    assert np.allclose(a.reshape(2, 16, 64, 64), gradient_input(net, x).numpy(), atol=1e-4)
    assert (as_tall(TallModel(net, 16).clips(torch.from_numpy(ask['x_batch']))) == ask['x_batch']).all()


def test_quantus_itself_where_it_is_installed(net, clips):
    quantus = pytest.importorskip('quantus', reason='quantus brings opencv-python, which clashes; not in the dev extra')
    ask = for_quantus(net, to_batch(clips.frames[1:2], net.stats), gradient_input)
    quiet = dict(disable_warnings=True, display_progressbar=False)
    how = dict(nr_runs=3, subset_size=4096, perturb_baseline='black', **quiet)
    assert np.isfinite(quantus.FaithfulnessCorrelation(**how)(**ask)).all()
    assert np.isfinite(quantus.Sparseness(**quiet)(**ask)).all()


# --- the Hub


class Stand:
    "In the place of huggingface_hub.HfApi: keeps what it is sent"

    def __init__(self, at):
        self.at, self.calls = at, []

    def create_repo(self, repo_id, *, private=None, exist_ok=False):
        self.calls.append(('create', repo_id, private, exist_ok))

    def upload_folder(self, *, repo_id, folder_path, commit_message=None, ignore_patterns=None):
        import shutil

        self.calls.append(('upload', repo_id))
        shutil.copytree(folder_path, self.at, ignore=shutil.ignore_patterns(*ignore_patterns))
        return f'https://huggingface.co/{repo_id}'

    def hf_hub_download(self, repo_id, filename, *, revision=None):
        return str(self.at / filename)


def test_the_stand_in_has_the_apis_own_parameters():
    import inspect

    api = pytest.importorskip('huggingface_hub').HfApi
    for name in 'create_repo', 'upload_folder', 'hf_hub_download':
        theirs = inspect.signature(getattr(api, name)).parameters
        assert set(inspect.signature(getattr(Stand, name)).parameters) <= set(theirs), name


@pytest.fixture
def run(net, tmp_path):
    "A folder as `interpvid train` leaves it: a real training, far too short to learn anything"
    from interpvid.data.loaders import clip_dls
    from interpvid.training import train

    small = make_clips(12, seed=1, size=32, workers=0, progress=False)
    dls = clip_dls(small, small, bs=6)
    train(dls, 'clstm', 'small', tmp_path / 'run', epochs=1, log=lambda line: None, progress=False)
    return tmp_path / 'run'


def test_a_training_is_pushed_with_its_tables_and_comes_back(run, tmp_path):
    hub = Stand(tmp_path / 'there')
    assert push_to_hub(run, 'me/short.run-1', license='mit', api=hub) == 'https://huggingface.co/me/short.run-1'
    assert hub.calls == [('create', 'me/short.run-1', True, True), ('upload', 'me/short.run-1')]
    names = {p.name for p in hub.at.iterdir()}
    want = {'model.safetensors', 'config.json', 'README.md', 'table1.csv', 'classes.csv', 'settings.json'}
    assert names == want  # nothing else of the run's folder
    card = (hub.at / 'README.md').read_text()
    head, body = card.split('---\n')[1:3]
    assert 'library_name: interpvid' in head and 'license: mit' in head
    assert "pull_from_hub('me/short.run-1')" in body and 'Trained on 12 clips, validated on 12 others' in body
    assert 'epochs 1' in body and 'preset small' in body
    t1 = pd.read_csv(run / 'table1.csv', index_col=0)
    for name, row in t1.iterrows():
        assert f'| {name} | {row.iloc[0]:.3f} |' in body
    assert (run / 'outcome.txt').read_text().strip() in body
    worst = pd.read_csv(run / 'classes.csv').sort_values('lost', ascending=False).iloc[0]
    assert f"F1 {worst['F1']:.2f}, reversed {worst['F1 reversed']:.2f}" in body
    net = pull_from_hub('me/short.run-1', api=hub)
    config = json.loads((hub.at / 'config.json').read_text())
    assert net.name == 'short.run-1' and net.classes == config['classes'] and config['arch'] == 'CLSTM'


def test_a_checkpoint_alone_says_what_is_not_known(net, tmp_path):
    from interpvid.models.checkpoints import save_model

    save_model(net, tmp_path / 'net.safetensors')
    folder = write_hub_folder(tmp_path / 'net.safetensors', tmp_path / 'out', 'me/net')
    card = (folder / 'README.md').read_text()
    assert card.count('Not measured.') == 2 and 'was not kept with it' in card and 'license' not in card
    assert 'settings.json' not in {p.name for p in folder.iterdir()}


def test_a_wrong_name_is_said_before_anything_is_read(tmp_path):
    for repo in 'net', 'a/b/c', 'a b/c', '/c':
        with pytest.raises(ValueError, match="write 'user/name'"):
            push_to_hub(tmp_path / 'nothing', repo, api=Stand(tmp_path / 'x'))


# --- extras


def test_a_missing_package_names_its_extra(monkeypatch, net, tmp_path):
    for name in 'captum', 'huggingface_hub', 'distributed', 'accelerate':
        for module in [m for m in sys.modules if m.partition('.')[0] == name]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, name, None)
    from interpvid.sweep import client_of

    asks = {
        'captum': lambda: for_captum(net, gradient_input),
        'hub': lambda: push_to_hub(tmp_path, 'me/net'),
        'sweep': lambda: client_of(2).__enter__(),
    }
    for extra, ask in asks.items():
        with pytest.raises(ImportError, match=rf"pip install 'interpvid\[{extra}\] @ git\+https.*'\.\[{extra}\]'"):
            ask()
        assert extra in EXTRAS


def test_a_fault_inside_a_package_passes_as_it_is(monkeypatch, tmp_path):
    (tmp_path / 'broken_inside.py').write_text('import no_such_thing_at_all')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match='no_such_thing_at_all'):
        need('broken_inside', 'hub', 'this test')


def test_two_opencvs_of_two_versions_are_said():
    assert not opencv_note({}) and not opencv_note({'opencv-python': '5', 'opencv-python-headless': '5'})
    assert 'pip uninstall -y opencv-python' in opencv_note({'opencv-python': '4', 'opencv-python-headless': '5'})
