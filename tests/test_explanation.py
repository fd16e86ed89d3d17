"Explanations of other people's models, masks and maps: captum's attributions, masks by hand, a wrapped model."

import json
import os

import numpy as np, pytest, torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion
from torchvision.models.video import r3d_18

from interpvid.cam import as_maps, gradcam
from interpvid.core import STATS, to_batch, to_frames
from interpvid.data.synthetic import make_clips
from interpvid import explanation
from interpvid.explanation import Explanation, explain, load_explanations, save_explanations
from interpvid.masks.learn import learn_masks
from interpvid.masks.perturb import freeze, reverse
from interpvid.metrics import blob_stats, heat_in
from interpvid.models.adapters import wrap
from interpvid.models.i3d import I3D


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
        np.testing.assert_allclose(e.cam, m / m.max(), atol=1e-3)  # kept as float16
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


@pytest.mark.parametrize('preset', ['paper', 'released-pytorch', 'released-tf', 'fast'])
@pytest.mark.parametrize('bs', [1, 24])
def test_unchanged_clips_go_through_the_network_twice(clips, preset, bs):
    "Once for all scores, once for the heat map; under the TensorFlow preset the half-frozen clip is the unchanged one"
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
    assert seen.tolist() == [2, 2]


def test_the_preset_says_whether_the_class_is_predicted_anew(net, clips):
    "Without a target, released-tf follows the predicted class of the perturbed clip; with one it stays (B13)"
    x = to_batch(clips.frames[:2])
    for target, anew in (None, True), (3, False):
        for e in explain(net, x, target, stats=STATS, preset='released-tf', iterations=2):
            assert e.settings['mask']['retarget'] == anew
    own = learn_masks(net, x, preset='released-tf', iterations=4, half=False)
    for e, m in zip(explain(net, x, stats=STATS, preset='released-tf', iterations=4, half=False), own.mask):
        np.testing.assert_allclose(e.mask, m, atol=1e-5)


def test_masks_of_other_perturbations_are_refused(net, clips):
    from interpvid.masks.perturb import mean_frame
    from interpvid.masks.search import search_windows

    x = to_batch(clips.frames[:1])
    with pytest.raises(ValueError, match='explain freezes'):
        explain(net, x, masks=search_windows(net, x, perturb=mean_frame))
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
