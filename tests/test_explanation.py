"Explanations of other people's models, masks and maps: captum's attributions, masks by hand, a wrapped model."

import html
import json
import os
import re
import warnings
from dataclasses import replace

import numpy as np, pytest, torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion
from torch import nn
from torchvision.models.video import r3d_18

from interpvid.cam import as_maps, gradcam
from interpvid.core import STATS, to_batch, to_frames
from interpvid.data.synthetic import make_clips
from interpvid import explanation
from interpvid.explanation import Explanation, explain, load_explanations, save_explanations
from interpvid.masks.learn import learn_masks
from interpvid.masks.perturb import freeze, reverse
from interpvid.masks.scores import SCORES
from interpvid.metrics import blob_stats, heat_in
from interpvid.models.adapters import wrap
from interpvid.models.i3d import I3D
from interpvid.video import read_frames, write_video
from interpvid.viz import as_rgb, flow_colors


@pytest.fixture(scope='module')
def clips():
    return make_clips(12, 9, progress=False)


@pytest.fixture(scope='module')
def net():
    torch.manual_seed(0)
    return I3D(12, s_strides=(2, 2, 2, 2, 1), width=0.125).eval()


def integrated(model, x, target):
    return IntegratedGradients(model).attribute(x, target=target, n_steps=4)


def occluded(model, x, target):
    return Occlusion(model).attribute(x, (3, 4, 16, 16), target=target, strides=(3, 4, 16, 16))


@pytest.mark.parametrize('theirs', [integrated, occluded])
def test_captums_attributions_take_the_place_of_grad_cam(net, clips, theirs, tmp_path):
    hand = np.tile((np.arange(16) > 5).astype(float), (2, 1))
    es = explain(
        net,
        clips.frames[1:3],
        labels=clips.labels[1:3],
        truth=[clips.truth(i) for i in (1, 2)],
        stats=STATS,
        maps=theirs,
        masks=hand,
    )
    x = to_batch(clips.frames[1:3])
    by_hand = theirs(net, x, torch.tensor([e.target for e in es])).sum(1).relu()
    for e, m in zip(es, by_hand):
        np.testing.assert_allclose(e.cam, m / m.max(), atol=1e-3)  # with the precision that files keep
        left = np.zeros(e.cam.shape, bool)
        left[:, :, :32] = True
        hot = e.cam[e.truth['event']].astype(float)
        share, area = heat_in(e.cam, left, e.truth['event'])
        assert share == pytest.approx((hot[:, :, :32].sum((1, 2)) / hot.sum((1, 2)))[hot.sum((1, 2)) > 0].mean())
        assert area == 0.5
        assert np.isfinite(blob_stats(e.cam)['blob count'])
        assert theirs.__name__ in e.html()
        assert (e.binary == (hand[0] > 0.5)).all()
    save_explanations(es, tmp_path / 'es.npz')
    assert load_explanations(tmp_path / 'es.npz')[0].settings['cam'] == {'by': theirs.__name__}


def test_one_line_for_an_explanation_that_is_there(net, clips):
    (e,) = explain(net, clips.frames[3], stats=STATS, iterations=1)
    a = LayerGradCam(net, net.features.Mixed_5c).attribute(
        to_batch(clips.frames[3]), target=e.target, relu_attributions=True
    )
    other = e.with_map(a[0], 'captum')  # (1,T',H',W'): one channel
    np.testing.assert_allclose(
        other.cam, gradcam(net, to_batch(clips.frames[3]), e.target, weights='clip')[0], atol=2e-3
    )
    assert other.scores == e.scores
    assert (other.mask == e.mask).all()
    assert e.settings['cam'].get('layer') == 'features.Mixed_5c'


@pytest.mark.parametrize(
    'bad', [np.ones(7), np.ones((3, 16, 64)), np.full((2, 4, 8, 8), np.nan), np.ones((3, 4, 8, 8))]
)
def test_maps_that_do_not_fit_are_refused(net, clips, bad):
    with pytest.raises(ValueError, match='do not fit|finite'):
        explain(net, clips.frames[:2], stats=STATS, maps=bad, masks=np.zeros(16))


def test_signs_of_maps():
    a = torch.tensor([-2.0, 1.0])[None, None, :, None, None].expand(1, 3, 2, 2, 2)
    assert as_maps(a, (2, 2, 2))[0, :, 0, 0].tolist() == [0, 1]
    assert as_maps(a, (2, 2, 2), 'absolute')[0, :, 0, 0].tolist() == [1, 0.5]
    with pytest.raises(ValueError, match='sign'):
        as_maps(a, (2, 2, 2), 'negative')


def test_targets_by_name(net, clips):
    pred, true, other = (
        explain(net, clips.frames[:3], target=t, labels=clips.labels[:3], stats=STATS, iterations=1)
        for t in (None, 'label', 7)
    )
    assert [e.target for e in pred] == [e.pred for e in pred]
    assert [e.target for e in true] == clips.labels[:3].tolist()
    assert {e.target for e in other} == {7}
    for e in true:
        if e.wrong:
            assert e.scores['CS'] == pytest.approx(e.scores['OS'])
    with pytest.raises(ValueError, match='needs labels'):
        explain(net, clips.frames[:3], target='label', stats=STATS)


def test_scores_soft_and_binary_are_those_of_the_clips_that_they_name(net, clips):
    x = to_batch(clips.frames[:2])
    soft = torch.rand(2, 16, generator=torch.Generator().manual_seed(3)).numpy()
    for e, c, m in zip(explain(net, clips.frames[:2], stats=STATS, masks=soft), x, soft):
        with torch.no_grad():
            said = {
                k: net(v).softmax(1)[0, e.target].item()
                for k, v in {
                    'OS': c[None],
                    'FS': freeze(c[None], m),
                    'RS': reverse(c[None], m),
                    'FS binary': freeze(c[None], m > 0.5),
                    'RS binary': reverse(c[None], m > 0.5),
                }.items()
            }
        assert e.scores == pytest.approx(said, abs=1e-5)


def test_the_tensorflow_programs_original_is_half_frozen(net, clips):
    half = freeze(to_batch(clips.frames[:2]), np.full(16, 0.5))
    es = explain(net, clips.frames[:2], stats=STATS, preset='released-tf', iterations=2)
    with torch.no_grad():
        p = net(half).softmax(1)
    for i, e in enumerate(es):
        assert e.target == p[i].argmax()
        assert e.scores['OS'] == pytest.approx(p[i].max().item(), abs=1e-5)
        np.testing.assert_allclose(e.cam, gradcam(net, half[i : i + 1], e.target)[0], atol=2e-3)
        with torch.no_grad():
            assert e.scores['FS'] == pytest.approx(
                net(freeze(to_batch(clips.frames[i]), e.mask)).softmax(1)[0, e.target].item(), abs=1e-5
            )
    json.dumps(es[0].settings)


def test_learned_masks_can_be_handed_over(net, clips):
    x = to_batch(clips.frames[:2])
    m = learn_masks(net, x, preset='fast', iterations=2)
    for i, e in enumerate(explain(net, x, masks=m)):
        assert (e.mask == m.mask[i]).all()
        assert (e.start == m.start[i]).all()
        assert e.settings['mask']['preset'] == 'fast'
        assert e.loss['loss'] == pytest.approx(float(m.loss['loss'][i]), abs=1e-5)


def test_a_model_of_ones_own_in_one_call(clips):
    torch.manual_seed(0)
    model = wrap(r3d_18(num_classes=12), stats=((0.4, 0.4, 0.4), (0.2, 0.2, 0.2)))
    (e,) = explain(model, clips.frames[1], preset='fast', iterations=2)
    assert e.model == 'VideoResNet'
    assert e.cam.shape == (16, 64, 64)
    assert e.cam.max() == 1
    assert e.settings['cam']['layer'] == 'layer4'
    assert np.abs(e.frames.astype(int) - clips.frames[1]).max() <= 1


def test_a_bad_layer_is_named_before_the_long_work(net, clips):
    with pytest.raises(ValueError, match='Mixed_9z'):
        explain(net, clips.frames[:1], stats=STATS, layer='Mixed_9z', iterations=10**6)
    with pytest.raises(ValueError, match='no setting'):
        explain(net, clips.frames[:1], stats=STATS, cam={'layre': 1}, iterations=10**6)


# --- normalisation


def test_frames_need_statistics_and_they_are_recorded(net, clips):
    "B11: no statistics are taken for granted"
    with pytest.raises(ValueError, match=r'give stats=\(mean, standard deviation\)'):
        explain(net, clips.frames[:1], masks=np.zeros(16))
    (e,) = explain(net, clips.frames[:1], stats=(0.5, (0.2, 0.3, 0.4)), masks=np.zeros(16))
    assert e.settings['stats'] == [0.5, [0.2, 0.3, 0.4]]
    x = to_batch(clips.frames[:1], (0.5, (0.2, 0.3, 0.4)))
    with torch.no_grad():
        assert e.scores['OS'] == pytest.approx(net(x).softmax(1).max().item(), abs=1e-5)


def test_statistics_of_the_model_are_taken(clips):
    torch.manual_seed(0)
    net = I3D(12, s_strides=(2, 2, 2, 2, 1), width=0.125).eval()
    net.stats = (0.4, 0.25)
    (e,) = explain(net, clips.frames[:1], masks=np.zeros(16))
    assert e.settings['stats'] == [0.4, 0.25]


def test_normalised_clips_need_no_statistics(net, clips):
    "What they look like is then unknown: shown from the darkest to the brightest value"
    x = to_batch(clips.frames[:1])
    (e,) = explain(net, x, masks=np.zeros(16))
    assert 'stats' not in e.settings
    assert e.frames.min() == 0
    assert e.frames.max() == 255
    (e,) = explain(net, x, stats=STATS, masks=np.zeros(16))
    assert np.array_equal(e.frames, to_frames(x, STATS)[0])


# --- how often the network is asked


CHECKS = 6  # passes of the first clip, at most, before the work


@pytest.mark.parametrize('preset', ['paper', 'released-pytorch', 'released-tf', 'fast'])
@pytest.mark.parametrize('bs', [1, 24])
def test_unchanged_clips_go_through_the_network_twice(clips, preset, bs):
    """Once for all scores, once for the heat map; under the TensorFlow preset of the half-frozen clips.

    Before that the first clip alone goes through a few more times, to see that clips, scores and layer are in order.
    """
    torch.manual_seed(0)
    net = I3D(12, s_strides=(2, 2, 2, 2, 1), width=0.125).eval()
    x = to_batch(clips.frames[:2])
    unchanged = freeze(x, np.full(16, 0.5)) if preset == 'released-tf' else x
    seen = torch.zeros(2, dtype=int)

    def look(module, inputs):
        nonlocal seen
        same = [[torch.allclose(a, b, atol=1e-5) for b in inputs[0].detach()] for a in unchanged]
        seen = seen + torch.tensor(same).sum(1)

    net.register_forward_pre_hook(look)
    explain(net, x, stats=STATS, preset=preset, iterations=3, bs=bs, half=False)
    assert seen[1] == 2
    assert 2 <= seen[0] <= 2 + CHECKS


def test_the_preset_says_whether_the_class_is_predicted_anew(net, clips):
    "Without a target, released-tf follows the predicted class of the perturbed clip; with one it stays (B13)"
    x = to_batch(clips.frames[:2])
    for target, anew in (None, True), (3, False):
        for e in explain(net, x, target, stats=STATS, preset='released-tf', iterations=2):
            assert e.settings['mask']['retarget'] == anew
    own = learn_masks(net, x, preset='released-tf', iterations=4, half=False)
    for e, m in zip(explain(net, x, stats=STATS, preset='released-tf', iterations=4, half=False), own.mask):
        np.testing.assert_allclose(e.mask, m, atol=1e-5)


def test_masks_of_other_perturbations_bring_them(net, clips):
    from interpvid.masks.perturb import mean_frame
    from interpvid.masks.search import search_windows

    x = to_batch(clips.frames[:1])
    (e,) = explain(net, x, masks=search_windows(net, x, perturb=mean_frame))
    assert (e.perturb, list(e.columns)[-1]) == ('mean_frame', 'mean frame')

    def own(x, mask):
        return mean_frame(x, mask)

    with pytest.raises(ValueError, match='made with the perturbation own: give it as perturb='):
        explain(net, x, masks=search_windows(net, x, perturb=own))
    (e,) = explain(net, x, masks=search_windows(net, x, perturb=own), perturb=own)
    assert list(e.columns)[-1] == 'under own'
    found = search_windows(net, x)
    (e,) = explain(net, x, masks=found)
    assert (e.mask == found.mask[0]).all()
    assert e.loss['loss'] == pytest.approx(float(found.loss['loss'][0]), abs=1e-5)


# --- files


@pytest.fixture(scope='module')
def made(net, clips):
    return explain(net, clips.frames[:2], labels=clips.labels[:2], stats=STATS, masks=np.eye(16)[5])


def test_a_folder_in_the_way_stays(made, tmp_path):
    "A1: nothing in it is lost"
    (tmp_path / 'thesis').mkdir()
    (tmp_path / 'thesis' / 'chapter.txt').write_text('years of work')
    with pytest.raises(IsADirectoryError):
        made[0].save(tmp_path / 'thesis')
    assert (tmp_path / 'thesis' / 'chapter.txt').read_text() == 'years of work'


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='needs named pipes')
def test_only_regular_files_are_read(tmp_path):
    "C2: reading a named pipe would wait for ever"
    os.mkfifo(tmp_path / 'pipe.npz')
    for path in tmp_path / 'pipe.npz', tmp_path:
        with pytest.raises(ValueError, match='not a file'):
            load_explanations(path)
    with pytest.raises(FileNotFoundError, match='no such file'):
        load_explanations(tmp_path / 'none.npz')


def test_files_of_the_first_edition_load(made, tmp_path):
    "They say 'guess' for the predicted class, and have no statistics"
    save_explanations(made, tmp_path / 'now.npz')
    with np.load(tmp_path / 'now.npz') as z:
        arrays = dict(z)
    about = json.loads(str(arrays.pop('about')))
    for d in about:
        d['guess'] = d.pop('pred')
        d['settings'] = {'mask': {'preset': 'released-tf', 'off_on': [0.5, 0.73]}, 'cam': {}}
    np.savez_compressed(tmp_path / 'then.npz', about=np.array(json.dumps(about)), **arrays)
    back = load_explanations(tmp_path / 'then.npz')
    assert [e.pred for e in back] == [e.pred for e in made]
    assert [e.caption for e in back] == [e.caption for e in made]


def test_a_file_cut_short_is_named(made, tmp_path):
    made[0].save(tmp_path / 'e.npz')
    data = (tmp_path / 'e.npz').read_bytes()
    for n in 0, 10, len(data) // 2:
        (tmp_path / 'e.npz').write_bytes(data[:n])
        with pytest.raises(ValueError, match='e.npz: holds no explanations'):
            Explanation.load(tmp_path / 'e.npz')


def test_what_a_notebook_shows_can_be_replaced(made, monkeypatch):
    assert set(made[0]._repr_mimebundle_()) == {'text/html', 'text/plain'}
    monkeypatch.setattr(explanation, 'DISPLAY', lambda e: {'text/plain': f'{e.model}, live'})
    assert made[0]._repr_mimebundle_() == {'text/plain': 'I3D, live'}


# --- the number under a picture


class Tiny(nn.Module):
    "A convolution, a mean and a linear layer: takes clips of any size"

    cam_layer = 'conv'

    def __init__(self, K=4, C=3, seed=0, gain=30.0):
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.head = nn.Conv3d(C, 6, 3, padding=1), nn.Linear(6, K)
        with torch.no_grad():
            self.head.weight.mul_(gain)
            self.head.bias.zero_()

    def forward(self, x):
        self.calls = [*getattr(self, 'calls', []), len(x)]
        changes = self.conv(x).relu().diff(dim=2).abs()  # what moves counts
        return self.head(changes.mean((2, 3, 4)))


SMALL = dict(stats=(0.5, 0.25), iterations=2, half=False)


@pytest.fixture(scope='module')
def small():
    return np.random.default_rng(0).integers(0, 255, (2, 6, 16, 16, 3), np.uint8)


@pytest.fixture(scope='module')
def softly(small):
    "An explanation whose soft and binary scores differ"
    (e,) = explain(Tiny(), small[0], stats=(0.5, 0.25), masks=np.array([0, 0.6, 0.55, 0.2, 0.8, 0]))
    assert abs(e.scores['FS'] - e.scores['FS binary']) > 0.002
    assert abs(e.scores['OS'] - e.scores['FS binary']) > 0.002
    return e


def test_the_number_under_a_picture_is_the_pictures(softly, monkeypatch):
    "B5: what is drawn is the binary mask; FS and RS beside it are its scores, everywhere"
    e, x = softly, to_batch(softly.frames, (0.5, 0.25))
    drawn = to_batch(e.frozen, (0.5, 0.25))
    with torch.no_grad():
        FS = Tiny()(drawn).softmax(1)[0, e.target].item()
        RS = Tiny()(reverse(x, e.binary)).softmax(1)[0, e.target].item()
    said = {name: value for name, value, _ in e.said}
    assert said['FS'] == pytest.approx(FS, abs=1e-5)
    assert said['RS'] == pytest.approx(RS, abs=1e-5)
    titles = []
    monkeypatch.setattr(explanation, 'draw_columns', lambda cols, mask, title, *rest: titles.append(title[1]))
    e.figure()
    places = [e.caption, repr(e), titles[0], e.html(), e._repr_mimebundle_()['text/html']]
    for text in places:
        assert f'FS {FS:.3f}' in text
        assert f'RS {RS:.3f}' in text
        assert f'{e.scores["FS"]:.3f}' not in text or f'{e.scores["FS"]:.3f}' in (f'{FS:.3f}', f'{RS:.3f}')
    spec = {row[0]: row[1] for row in e.scrub().spec['scores']}
    assert spec['FS'] == pytest.approx(FS, abs=1e-4)
    two = {row[0]: row[1] for row in explanation.beside([e, replace(e, model='other')]).spec['scores']}
    assert two['Tiny FS'] == two['other FS'] == spec['FS']


def test_soft_scores_are_named_so(softly):
    "B5: where the soft scores are shown, they are called soft; keys of files and tables stay"
    labels = {key: s.label for key, s in SCORES.items()}
    assert labels['FS'] == 'soft FS'
    assert labels['RS'] == 'soft RS'
    assert labels['FS binary'] == 'FS'
    assert labels['RS binary'] == 'RS'
    assert len(set(labels.values())) == len(labels)
    row = softly.row()
    assert row['FS'] == softly.scores['FS']
    assert row['FS binary'] == softly.scores['FS binary']
    for key in 'OS - FS', 'OS - RS', 'drop difference':
        assert 'soft' in SCORES[key].label  # they are of the soft mask (Table 2)


def test_files_without_binary_scores_name_the_soft_ones(softly):
    "B5: of an old file that holds the soft scores alone; under a mask of 0 and 1 both are the same"
    scores = {k: v for k, v in softly.scores.items() if 'binary' not in k}
    assert 'soft FS' in replace(softly, scores=scores).caption
    cut = replace(softly, scores=scores, mask=softly.binary)
    assert f"· FS {scores['FS']:.3f}" in cut.caption


# --- float32


def test_heat_maps_are_handed_out_as_float32(softly, tmp_path):
    "B17: halves of 16×112×112 sum to infinity; files keep halves, old files load"
    ones = np.ones((16, 112, 112), np.float16)
    assert np.isinf(ones.sum())
    frames = np.zeros((16, 112, 112, 3), np.uint8)
    big = replace(softly, frames=frames, mask=np.zeros(16), start=np.zeros(16), cam=ones)
    big.save(tmp_path / 'e.npz')
    with np.load(tmp_path / 'e.npz') as file:
        assert file['cam'].dtype == np.float16
    for e in big, Explanation.load(tmp_path / 'e.npz'), softly.with_map(np.ones((6, 4, 4))), softly:
        assert e.cam.dtype == e.mask.dtype == np.float32
        assert np.isfinite(e.cam.sum())
    assert Explanation.load(tmp_path / 'e.npz').cam.sum() == ones.size
    shares = heat_in(ones, np.ones(ones.shape, bool), np.ones(16, bool))
    assert shares == (1.0, 1.0)
    assert np.isfinite(list(blob_stats(np.pad(ones, ((0, 0), (56, 56), (56, 56)))).values())).all()


def test_nothing_is_handed_out_in_half_precision(small, tmp_path):
    "B17: neither by explanations nor by masks; what is loaded is what was saved"
    net = Tiny()
    es = explain(net, small, **SMALL)
    found = learn_masks(net, to_batch(small, (0.5, 0.25)), iterations=2)
    save_explanations(es, tmp_path / 'es.npz')
    for e, back in zip(es, load_explanations(tmp_path / 'es.npz')):
        for name in 'mask', 'start', 'cam':
            assert getattr(e, name).dtype != np.float16
            assert (getattr(e, name) == getattr(back, name)).all()
        assert back.facts == e.facts
    for v in vars(found).values():
        for a in v.values() if isinstance(v, dict) else [v]:
            assert getattr(a, 'dtype', None) != np.float16


# --- channels


@pytest.mark.parametrize('C', [1, 2])
def test_gray_clips_and_flow_are_shown(C, tmp_path):
    "D5: gray as gray, flow by its colour wheel, in html, figure and file"
    torch.manual_seed(1)
    x = torch.randn(2, C, 6, 16, 16)
    es = explain(Tiny(C=C), x, stats=(0.5, 0.25) if C == 1 else None, iterations=2, half=False)
    for e in es:
        assert e.frames.shape == (6, 16, 16, 3)
        assert '<svg' in e.html() or 'data:image' in e.html()
        assert e.figure(32).shape[-1] == 3
    if C == 1:
        assert (es[0].frames[..., 0] == es[0].frames[..., 2]).all()
        assert torch.equal(explanation.clip_of(es[0]), to_batch(es[0].frames, (0.5, 0.25))[:, :1])
    else:
        assert (es[0].frames == flow_colors(x[0].movedim(0, -1).numpy())).all()
        with pytest.raises(ValueError, match='give the clip itself'):
            explanation.clip_of(es[0])
    save_explanations(es, tmp_path / 'es.npz')
    assert (load_explanations(tmp_path / 'es.npz')[1].frames == es[1].frames).all()


@pytest.mark.parametrize('C', [1, 2])
def test_gray_clips_and_flow_in_widgets(C):
    "D5: scrubbed, and painted on"
    from interpvid.widgets import Painter, Scrubber

    torch.manual_seed(1)
    x = torch.randn(1, C, 6, 16, 16)
    net, stats = Tiny(C=C), (0.5, 0.25)
    (e,) = explain(net, x, stats=stats, masks=np.eye(6)[2])
    assert Scrubber(e).spec['T'] == 6
    painter = Painter(net, x, e.target, mask=e.binary, stats=stats)
    assert painter.scores['FS'] == pytest.approx(e.scores['FS binary'], abs=1e-4)
    if C == 1:  # an explanation of gray frames holds the clip, to the precision of bytes
        x = to_batch(e.frames, stats)[:, :1]
        (e,) = explain(net, x, stats=stats, masks=np.eye(6)[2])
        assert Painter(net, e).scores['FS'] == pytest.approx(e.scores['FS binary'], abs=1e-4)
    else:
        with pytest.raises(ValueError, match='give the clip itself'):
            Painter(net, e)


def test_gray_frames_are_taken(small):
    "D5: frames of one channel, as bytes"
    gray = small[..., :1]
    (e, _) = explain(Tiny(C=1), gray, masks=np.zeros(6), stats=(0.5, 0.25))
    assert (e.frames == gray[0]).all()


def test_other_channels_are_refused_before_the_work():
    "D5: five channels cannot be shown"
    net = Tiny(C=5)
    with pytest.raises(ValueError, match='these have 5'):
        explain(net, torch.randn(1, 5, 6, 16, 16), iterations=10**6)
    assert not hasattr(net, 'calls')


def test_the_wheel_of_flow():
    "D5: right is red, down is yellow, left is cyan, up is blue, rest is white; longer is fuller"
    go = lambda u, v, **kwargs: flow_colors(np.array([[[[u, v]]]]), **kwargs)[0, 0, 0].tolist()
    assert go(1, 0) == [255, 0, 0]
    assert go(0, 0) == [255, 255, 255]
    left = go(-1, 0)
    assert left[0] < 60 and left[1] > 180 and left[2] > 180
    assert go(0, 1)[:2] > [180, 180] and go(0, 1)[2] == 0
    assert go(0, -1)[2] > 200
    assert go(1, 0, largest=2) == [255, 128, 128]
    assert as_rgb(np.zeros((2, 4, 4, 1), np.uint8)).shape == (2, 4, 4, 3)


# --- what people write


@pytest.fixture(scope='module')
def film(tmp_path_factory, small):
    path = tmp_path_factory.mktemp('films') / 'my.mp4'
    write_video(path, np.repeat(small[0].repeat(2, 1).repeat(2, 2), 3, 0), fps=6)
    return path


def test_files_are_read(film):
    "D8: explain(model, 'my.mp4'), as the model was made for; a list of files; what was taken is recorded"
    net = Tiny()
    net.clip_shape = 6, 16, 16
    (e,) = explain(net, str(film), stats=(0.5, 0.25), masks=np.zeros(6))
    assert (e.frames == read_frames(film, 6, (16, 16))).all()
    how = e.settings['frames']
    assert (how['n'], how['size'], how['file']) == (6, [16, 16], 'my.mp4')
    assert how['apart'] == pytest.approx(3 / 5, abs=0.2)
    two = explain(net, [film, film], stats=(0.5, 0.25), masks=np.zeros(6))
    assert len(two) == 2
    with pytest.raises(FileNotFoundError, match='none.mp4'):
        explain(net, 'none.mp4', stats=(0.5, 0.25))
    json.dumps(e.settings)


def test_files_for_models_that_do_not_say(film):
    "D8: sixteen frames of 224×224, and that is recorded"
    (e,) = explain(Tiny(), film, stats=(0.5, 0.25), masks=np.zeros(16))
    assert e.frames.shape == (16, 224, 224, 3)
    assert 'does not say' in e.settings['frames']['shape']


def test_classes_by_name(small):
    "D8: target='a class name'; the nearest names in the error"
    net, names = Tiny(), ['clap', 'wave', 'box', 'walk']
    kwargs = dict(classes=names, masks=np.zeros(6), stats=(0.5, 0.25))
    assert [e.target for e in explain(net, small, 'wave', **kwargs)] == [1, 1]
    assert [e.target for e in explain(net, small, ['box', 3], **kwargs)] == [2, 3]
    assert [e.label for e in explain(net, small, labels=['Walk', None], **kwargs)] == [3, None]
    with pytest.raises(ValueError, match=r"no class 'wavee' among 4; the nearest are 'wave'"):
        explain(net, small, 'wavee', **kwargs)
    net.classes = names
    assert explain(net, small, 'walk', masks=np.zeros(6), stats=(0.5, 0.25))[0].target == 3


@pytest.mark.parametrize('classes', [{0: 'a', 1: 'b', 2: 'c', 3: 'd'}, {'d': 3, 'b': 1, 'a': 0, 'c': 2}])
def test_classes_as_a_dict(small, classes):
    "D8: by index, or by name"
    (e, _) = explain(Tiny(), small, classes=classes, masks=np.zeros(6), stats=(0.5, 0.25))
    assert e.classes == ['a', 'b', 'c', 'd']


def test_a_function_as_model(small):
    "D8: a plain function, without a layer for Grad-CAM"
    net = Tiny()

    def scores_of(x):
        return net(x)

    maps = np.ones((2, 6, 4, 4))
    by_function = explain(scores_of, small, maps=maps, **SMALL)
    by_module = explain(net, small, maps=maps, **SMALL)
    for e, own in zip(by_function, by_module):
        assert e.scores == pytest.approx(own.scores, abs=1e-6)
        np.testing.assert_allclose(e.mask, own.mask, atol=1e-6)
    assert by_function[0].model == 'scores_of'


# --- how scores are read


class Read(nn.Module):
    "`Tiny`, its output changed"

    cam_layer = 'net.conv'

    def __init__(self, change, **kwargs):
        super().__init__()
        self.net, self.change = Tiny(**kwargs), change

    def forward(self, x):
        return self.change(self.net(x))


def test_probabilities_are_read_as_such(small):
    "B3: a model that ends in a softmax has the scores of the same model without it"
    plain = explain(Tiny(), small, masks=np.eye(6)[2], stats=(0.5, 0.25))
    net = Read(lambda y: y.softmax(1))
    with warnings.catch_warnings(record=True):
        warnings.simplefilter('always')
        noticed = explain(net, small, masks=np.eye(6)[2], stats=(0.5, 0.25))
    told = explain(net, small, masks=np.eye(6)[2], stats=(0.5, 0.25), scores='probs')
    for p, a, b in zip(plain, noticed, told):
        assert a.scores == pytest.approx(p.scores, abs=1e-5)
        assert b.scores == pytest.approx(p.scores, abs=1e-5)
    assert told[0].settings['scores'] == 'probs'
    assert not hasattr(net, 'scores')  # told for one call
    with pytest.raises(ValueError, match='probs'):
        explain(Tiny(), small, masks=np.eye(6)[2], stats=(0.5, 0.25), scores='probs')


def test_one_output_is_two_classes(small):
    "B4: the sigmoid of one logit, and its complement"
    net = Tiny(K=1)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        es = explain(net, small, masks=np.eye(6)[2], stats=(0.5, 0.25), classes=['no', 'yes'])
    with torch.no_grad():
        p = net(to_batch(small, (0.5, 0.25))).sigmoid()[:, 0]
    for e, yes in zip(es, p.tolist()):
        assert e.pred == int(yes > 0.5)
        assert e.scores['OS'] == pytest.approx(max(yes, 1 - yes), abs=1e-5)


# --- null results


def test_a_mask_that_lowers_nothing_is_said_to(small):
    "Null results: no mask lowers the score of a model that does not look at what moves"

    class Still(Tiny):
        def forward(self, x):
            return self.head(self.conv(x[:, :, :1].expand_as(x)).relu().mean((2, 3, 4)))

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        (e, _) = explain(Still(), small, maps=np.ones((2, 6, 4, 4)), masks=np.ones(6), stats=(0.5, 0.25))
    assert any('lowers this score by 0.000' in n for n in e.notes)
    for text in e.html(), e.beneath, e.scrub().spec['caption']:
        assert 'lowers this score by 0.000' in text
    assert 'lowers this score' in repr(e)


def made_by_hand(**changes):
    base = dict(
        frames=np.zeros((6, 16, 16, 3), np.uint8), mask=np.eye(6)[2], start=np.ones(6), cam=np.ones((6, 16, 16)),
        target=0, pred=0, label=None, scores={'OS': 0.9, 'FS binary': 0.2, 'FS': 0.3}, loss={}, classes=list('abc'),
        model='hand', settings={'mask': {'preset': 'fast'}},
    )  # fmt: skip
    return Explanation(**{**base, **changes})


@pytest.mark.parametrize(
    'changes, says',
    [
        ({}, None),
        (dict(scores={'OS': 0.334, 'FS binary': 0.1}), 'learned nothing'),
        (dict(scores={'OS': 0.05, 'FS binary': 0.01}, target=1), "Explain the class predicted, 'a'"),
        (dict(scores={'OS': 0.5, 'FS binary': 0.8}), 'the search has failed'),
        (dict(scores={'OS': 0.996, 'FS': 0.001, 'FS binary': 0.996}), 'Soft mask 0.001, cut at one half 0.996'),
        (dict(scores={'OS': 0.5, 'FS': 0.1, 'FS binary': 0.8}), 'Soft mask 0.100, cut at one half 0.800'),
        (dict(scores={'OS': 0.9, 'FS': 0.1, 'FS binary': 0.9}, mask=np.full(6, 0.4)), "`keep_best='binary'`"),
        (dict(scores={'OS': 0.9, 'FS': 0.895, 'FS binary': 0.895}), 'lowers this score by 0.005 only'),
        (dict(scores={'OS': 0.9, 'FS binary': 0.895}), 'search_windows'),
        (dict(scores={'OS': 0.9, 'FS binary': 0.9}, mask=np.zeros(6)), 'No mask lowers this score'),
        (dict(facts={'mask': ['The search stopped early.']}), 'The search stopped early.'),
        (dict(facts={'map': ['one place in time']}), 'one place in time'),
        (dict(settings={'frames': dict(seconds=212.0, apart=14.1)}), '14.1 s apart'),
        (dict(settings={'frames': dict(seconds=4.0, apart=0.27)}), None),
    ],
)
def test_null_results_are_named(changes, says):
    "D12, D13: what is computed from what is stored, and what there is to do"
    e = made_by_hand(**changes)
    if says is None:
        assert e.notes == []
        return
    (note,) = e.notes
    assert says in note
    assert note in e.scrub().spec['caption']
    assert note in html.unescape(e.html())
    assert note in html.unescape(explanation.beside([e, made_by_hand(model='other')]).spec['caption'])
    assert len(e.figure(64)[0]) > len(made_by_hand().figure(64)[0])


def test_a_mask_that_did_not_leave_its_start_is_said_to(small, tmp_path):
    "Beside what else there is to note, of masks that are handed over too, and of what was loaded from a file"
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        es = explain(Tiny(), small, preset='paper', **SMALL)
        moved = explain(Tiny(), small, preset='paper', lr=0.5, **{**SMALL, 'iterations': 30})
        result = learn_masks(Tiny(), to_batch(small, (0.5, 0.25)), preset='paper', iterations=3, half=False)
        es += explain(Tiny(), small, masks=result, stats=(0.5, 0.25))
    es[0].save(tmp_path / 'e.npz')
    for e in (*es, Explanation.load(tmp_path / 'e.npz')):
        assert sum('The mask did not leave its start' in n for n in e.notes) == 1
    assert not any('leave its start' in n for e in moved for n in e.notes)


def test_a_mask_learned_by_a_name_is_shown_by_it(small):
    "learn_masks(perturb='reverse') says what it was made with, so `explain` need not be told"
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        result = learn_masks(Tiny(), to_batch(small, (0.5, 0.25)), perturb='reverse', iterations=2, half=False)
        (e, _) = explain(Tiny(), small, masks=result, stats=(0.5, 0.25))
    assert e.perturb == 'reverse' and e.removed_name == 'reversed'


def test_a_network_that_has_learned_nothing_says_so(small):
    "D12: .334/.334/.334 is not shown without a word; several labels each with a probability of its own have no chance"
    (e, _) = explain(Tiny(K=3, gain=1e-3), small, **SMALL)
    assert e.scores['OS'] == pytest.approx(1 / 3, abs=0.01)
    assert any('has learned nothing here' in n for n in e.notes)
    assert 'All classes look alike' in repr(e)
    (e, _) = explain(Tiny(K=3, gain=1e-3), small, scores='sigmoid', **SMALL)
    assert e.facts['top'] is None
    assert not any('alike' in n for n in e.notes)


def test_a_film_in_few_frames_is_said_to_be(tmp_path):
    "D13: 40 s in 6 frames"
    write_video(tmp_path / 'film.mp4', np.zeros((40, 16, 16, 3), np.uint8), fps=1)
    net = Tiny()
    net.clip_shape = 6, 16, 16
    (e,) = explain(net, tmp_path / 'film.mp4', masks=np.zeros(6), stats=(0.5, 0.25))
    assert any('A film of 40 s in 6 frames' in n and 'start=' in n for n in e.notes)


def test_one_place_in_time_is_said_to_be(small):
    "B14: the layer's own places, and a note where every frame has the same map"

    class Short(Tiny):
        def forward(self, x):
            return self.head(self.conv(x.mean(2, keepdim=True)).relu().mean((2, 3, 4)))

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        (e, _) = explain(Short(), small, masks=np.zeros(6), stats=(0.5, 0.25))
        (usual, _) = explain(Tiny(), small, masks=np.zeros(6), stats=(0.5, 0.25))
    assert list(e.settings['cam']['places']) == [1, 16, 16]
    assert any('One place in time' in n for n in e.notes)
    assert list(usual.settings['cam']['places']) == [6, 16, 16]
    assert not any('One place' in n for n in usual.notes)


# --- before the long work


WRONG = {
    'B22: labels of floats': (dict(labels=[0.5, 1]), 'labels: a class is given by'),
    'B22: labels out of range': (dict(labels=[0, 4]), 'labels: no class 4'),
    'B22: too few labels': (dict(labels=[0]), '1 labels for 2 clips'),
    'B22: too many labels': (dict(labels=[0, 1, 2]), '3 labels for 2 clips'),
    'B22: one text as names': (dict(classes='abcd'), 'that is one name'),
    'names of other classes': (dict(classes=['a', 'b']), '2 names for 4 classes'),
    'a dict with gaps': (dict(classes={0: 'a', 2: 'b', 3: 'c', 4: 'd'}), 'each index from 0 to 3'),
    'B22: stats of zero': (dict(stats=(0, 0)), 'standard deviation above 0'),
    'stats of other channels': (dict(stats=((0.5, 0.5), 0.2)), '2 numbers as mean'),
    'D8: no such class': (dict(target='nothing'), 'the nearest are'),
    'target out of range': (dict(target=4), 'no class 4'),
    'targets of other clips': (dict(target=[0, 1, 2]), '3 targets for 2 clips'),
    'target of floats': (dict(target=0.5), 'target=0.5: a class index or name'),
    'no labels': (dict(target='label'), 'needs labels'),
    'a label missing': (dict(target='label', labels=[1, None]), 'label of each clip'),
    'no layer': (dict(layer='convv'), 'convv'),
    'a setting of Grad-CAM': (dict(cam={'layre': 1}), 'no setting'),
    'a misspelt setting': (dict(itertions=3), "no argument 'itertions'"),
    'no preset': (dict(preset='fats'), "no preset 'fats'"),
    'a start that does not fit': (dict(start=np.ones(7)), 'does not fit'),
    'maps that do not fit': (dict(maps=np.ones((3, 6, 4, 4))), 'do not fit'),
    'no clips at a time': (dict(bs=0), 'clips at a time'),
    'truth of other clips': (dict(truth=[{}]), '1 truth for 2 clips'),
}


@pytest.mark.parametrize('what', WRONG)
def test_what_is_wrong_is_said_before_the_long_work(small, what):
    "All of it after a few passes of one clip at most; never after a pass of all"
    changes, says = WRONG[what]
    net = Tiny()
    with pytest.raises((ValueError, TypeError), match=re.escape(says)):
        explain(net, small, **{'stats': (0.5, 0.25), 'iterations': 10**6, **changes})
    assert set(getattr(net, 'calls', [])) <= {1}
    assert len(getattr(net, 'calls', [])) <= CHECKS


def test_masks_that_do_not_fit_are_refused_before_any_pass(small):
    net = Tiny()
    with pytest.raises(ValueError, match='does not fit'):
        explain(net, small, masks=np.zeros(7), stats=(0.5, 0.25))
    assert not hasattr(net, 'calls')


def test_sizes_are_compared_with_what_the_model_was_made_for(small):
    "B7: both sizes are named, before the long work"
    net = Tiny()
    net.clip_shape = 8, 16, 16
    with pytest.raises(ValueError, match=r'6.*8|8.*6'):
        explain(net, small, **SMALL)
    assert set(getattr(net, 'calls', [])) <= {1}


def test_scores_that_do_not_depend_on_the_clip_are_refused(small):
    "B2: a model whose gradient is cut off has no learned mask; a given one it has"

    class Detached(Tiny):
        def forward(self, x):
            return super().forward(x.detach())

    with pytest.raises(ValueError):
        explain(Detached(), small, **SMALL)
    (e, _) = explain(Detached(), small, masks=np.eye(6)[2], stats=(0.5, 0.25))
    assert np.isfinite(e.scores['FS'])


def test_unknown_labels_stay_unknown(small):
    "B22: -1 is no class; the last class had been taken for it"
    (a, b) = explain(Tiny(), small, labels=[-1, 2], masks=np.zeros(6), stats=(0.5, 0.25))
    assert (a.label, b.label) == (None, 2)
    assert 'CS' not in a.scores


def test_a_network_of_the_six_actions_gets_their_weights():
    from interpvid.data.actors import KTH_CLASSES

    def lam_of(classes, **kw):
        net = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, 6))
        net.classes = classes
        made = explain(net, torch.rand(1, 3, 4, 8, 8), stats=(0, 1), maps=torch.rand(1, 4, 8, 8), iterations=1, **kw)
        return made[0].settings['mask']['lam1'], made[0].settings['mask']['lam2']

    assert lam_of(list(KTH_CLASSES)) == (0.02, 0.04)
    assert lam_of(list('abcdef')) == lam_of(list(KTH_CLASSES), data='something') == (0.01, 0.02)
