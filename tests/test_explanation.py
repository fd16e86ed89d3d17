"Explanations of models, masks and maps of others: captum's attributions in the place of Grad-CAM, masks by hand, a wrapped model."

import json

import numpy as np, pytest, torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion
from torchvision.models.video import r3d_18

from interpvid.cam import as_maps, gradcam
from interpvid.core import to_batch
from interpvid.data.synthetic import make_clips
from interpvid.explanation import explain, load_explanations, save_explanations
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
        assert (
            share == pytest.approx((hot[:, :, :32].sum((1, 2)) / hot.sum((1, 2)))[hot.sum((1, 2)) > 0].mean())
            and area == 0.5
        )
        assert (
            np.isfinite(blob_stats(e.cam)['blob count'])
            and theirs.__name__ in e.html()
            and (e.binary == (hand[0] > 0.5)).all()
        )
    save_explanations(es, tmp_path / 'es.npz')
    assert load_explanations(tmp_path / 'es.npz')[0].settings['cam'] == {'by': theirs.__name__}


def test_one_line_for_an_explanation_that_is_there(net, clips):
    (e,) = explain(net, clips.frames[3], iterations=1)
    a = LayerGradCam(net, net.features.Mixed_5c).attribute(
        to_batch(clips.frames[3]), target=e.target, relu_attributions=True
    )
    other = e.with_map(a[0], 'captum')  # (1,T',H',W'): one channel
    np.testing.assert_allclose(
        other.cam, gradcam(net, to_batch(clips.frames[3]), e.target, weights='clip')[0], atol=2e-3
    )
    assert (
        other.scores == e.scores
        and (other.mask == e.mask).all()
        and e.settings['cam'].get('layer') == 'features.Mixed_5c'
    )


@pytest.mark.parametrize(
    'bad', [np.ones(7), np.ones((3, 16, 64)), np.full((2, 4, 8, 8), np.nan), np.ones((3, 4, 8, 8))]
)
def test_maps_that_do_not_fit_are_refused(net, clips, bad):
    with pytest.raises(ValueError, match='do not fit|finite'):
        explain(net, clips.frames[:2], maps=bad, masks=np.zeros(16))


def test_signs_of_maps():
    a = torch.tensor([-2.0, 1.0])[None, None, :, None, None].expand(1, 3, 2, 2, 2)
    assert as_maps(a, (2, 2, 2))[0, :, 0, 0].tolist() == [0, 1] and as_maps(a, (2, 2, 2), 'absolute')[
        0, :, 0, 0
    ].tolist() == [1, 0.5]
    with pytest.raises(ValueError, match='sign'):
        as_maps(a, (2, 2, 2), 'negative')


def test_targets_by_name(net, clips):
    pred, true, other = (
        explain(net, clips.frames[:3], target=t, labels=clips.labels[:3], iterations=1) for t in (None, 'label', 7)
    )
    assert (
        [e.target for e in pred] == [e.pred for e in pred]
        and [e.target for e in true] == clips.labels[:3].tolist()
        and {e.target for e in other} == {7}
    )
    for e in true:
        if e.wrong:
            assert e.scores['CS'] == pytest.approx(e.scores['OS'])
    with pytest.raises(ValueError, match='needs labels'):
        explain(net, clips.frames[:3], target='label')


def test_scores_soft_and_binary_are_those_of_the_clips_that_they_name(net, clips):
    x = to_batch(clips.frames[:2])
    soft = torch.rand(2, 16, generator=torch.Generator().manual_seed(3)).numpy()
    for e, c, m in zip(explain(net, clips.frames[:2], masks=soft), x, soft):
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
    es = explain(net, clips.frames[:2], preset='released-tf', iterations=2)
    with torch.no_grad():
        p = net(half).softmax(1)
    for i, e in enumerate(es):
        assert e.target == p[i].argmax() and e.scores['OS'] == pytest.approx(p[i].max().item(), abs=1e-5)
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
        assert (e.mask == m.mask[i]).all() and (e.start == m.start[i]).all() and e.settings['mask']['preset'] == 'fast'
        assert e.loss['loss'] == pytest.approx(float(m.loss['loss'][i]), abs=1e-5)


def test_a_model_of_somebody_else_in_one_call(clips):
    torch.manual_seed(0)
    model = wrap(r3d_18(num_classes=12), stats=((0.4, 0.4, 0.4), (0.2, 0.2, 0.2)))
    (e,) = explain(model, clips.frames[1], preset='fast', iterations=2)
    assert (
        e.model == 'VideoResNet'
        and e.cam.shape == (16, 64, 64)
        and e.cam.max() == 1
        and e.settings['cam']['layer'] == 'layer4'
    )
    assert np.abs(e.frames.astype(int) - clips.frames[1]).max() <= 1


def test_a_bad_layer_is_named_before_the_long_work(net, clips):
    with pytest.raises(ValueError, match='Mixed_9z'):
        explain(net, clips.frames[:1], layer='Mixed_9z', iterations=10**6)
    with pytest.raises(ValueError, match='no setting'):
        explain(net, clips.frames[:1], cam={'layre': 1}, iterations=10**6)
