"D7: what fastai's readers know from images works on clips, in memory and in files."

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from fastai.interpret import ClassificationInterpretation
from fastai.learner import load_learner
from torch import nn

from interpvid.classify import predict as probabilities
from interpvid.core import seed_everything, to_batch
from interpvid.data import loaders
from interpvid.data.clips import ArrayClips, Item
from interpvid.data.loaders import clip_dls, clips_like, folder_dls
from interpvid.learner import make_learner, preset_of
from interpvid.models.i3d import I3D
from interpvid.video import VideoError, write_video

matplotlib.use('Agg')
CLASSES = ['left', 'right', 'still']


class Tiny(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.conv, self.head = nn.Conv3d(3, 8, 3), nn.Linear(8, n_classes)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3, 4)))


def bar(speed, place, T=12):
    f = np.full((T, 24, 24, 3), 60, np.uint8)
    for t in range(T):
        f[t, :, (place + speed * t + np.arange(5)) % 24] = 250, 180 - 20 * speed, 40
    return f


def in_memory(tmp_path):
    frames = np.stack([bar(v, 3 * i) for i in range(7) for v in (-2, 2, 0)])
    c = ArrayClips(frames, np.arange(21) % 3, CLASSES)
    return clip_dls(c.subset(slice(0, 12)), c.subset(slice(12, 21)), bs=4)


def in_files(tmp_path):
    for split, n in ('train', 4), ('valid', 3):
        for name, v in zip(CLASSES, (-2, 2, 0)):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(n):
                write_video(tmp_path / split / name / f'{i}.mp4', bar(v, 3 * i, 20))
    return folder_dls(tmp_path, n=12, size=(24, 24), bs=4, cache=None, num_workers=0, progress=False)


@pytest.fixture(params=[in_memory, in_files])
def learn(request, tmp_path):
    seed_everything(0)
    dls = request.param(tmp_path)
    learn = make_learner(Tiny, dls, {**preset_of('i3d', 'small'), 'model': {}, 'flat_start': False})
    learn.path = tmp_path
    with learn.no_bar(), learn.no_logging():
        learn.fit_preset(2)
        yield learn


@pytest.fixture
def shown(monkeypatch):
    "Titles and number of the clips that are shown"
    seen = []
    monkeypatch.setattr(loaders, 'show_clips', lambda clips, titles, *a: seen.append((len(clips), list(titles))))
    return seen


def by_hand(learn, frames):
    with torch.no_grad():
        return learn.model.eval()(to_batch(frames, learn.dls.stats, 'cpu')).softmax(1)


def test_predict_takes_frames_and_paths(learn, tmp_path):
    "D7: `learn.predict(frames)`, and a path as text or `Path`"
    frames = learn.dls.valid_ds[4][0].numpy()
    name, index, probs = learn.predict(frames)
    torch.testing.assert_close(torch.Tensor(probs)[None], by_hand(learn, frames[None]))
    assert name == CLASSES[int(index)] and int(index) == int(probs.argmax())
    path = write_video(tmp_path / 'new.mp4', bar(2, 1, 20))
    named = [learn.predict(p)[2] for p in (path, str(path))]
    read = clips_like(path, learn.dls.valid_ds).take([0])
    assert read.shape == (1, 12, 24, 24, 3)
    for p in named:
        torch.testing.assert_close(torch.Tensor(p)[None], by_hand(learn, read))
    shown = learn.predict(path, with_input=True)[0]
    assert np.array_equal(shown, read[0])


@pytest.mark.parametrize(
    'item,error',
    [
        (np.zeros((12, 24, 24), np.uint8), r'\(12,24,24,3\) uint8'),
        (np.zeros((11, 24, 24, 3), np.uint8), r'got \(11, 24, 24, 3\)'),
        (np.zeros((12, 24, 24, 3), np.float32), 'float32'),
        (np.zeros((12, 24, 30, 3), np.uint8), r'read_frames\(path, n, size\)'),
        ('nowhere.mp4', 'nowhere.mp4'),
    ],
)
def test_what_cannot_be_predicted_is_named(learn, item, error):
    with pytest.raises((ValueError, OSError), match=error):
        learn.predict(item)


def test_test_dl_and_get_preds(learn, tmp_path):
    "D7: clips without labels, in their order"
    clips = np.stack([bar(v, i) for i, v in enumerate((2, 0, -2, 2, 2, -2))])
    paths = [write_video(tmp_path / f'{i}.mp4', c) for i, c in enumerate(clips)]
    read = clips_like(paths, learn.dls.valid_ds).take(range(6))
    for items, frames in (clips, clips), (list(clips), clips), (paths, read), ([Item(p, None) for p in paths], read):
        dl = learn.dls.test_dl(items)
        assert [len(b) for b in dl] == [1, 1]
        preds, targets = learn.get_preds(dl=dl)
        assert targets is None or not len(targets)
        torch.testing.assert_close(torch.Tensor(preds), by_hand(learn, frames))
    labelled = learn.dls.test_dl(learn.dls.train.items[:3])
    assert [int(i) for _, y in labelled for i in y] == learn.dls.train_ds.labels[:3].tolist()


def test_get_preds_and_validate_on_validation_clips(learn):
    preds, targets = learn.get_preds()
    assert targets.tolist() == learn.dls.valid_ds.labels.tolist()
    np.testing.assert_allclose(preds, probabilities(learn.model, learn.dls.valid_ds), atol=1e-6)
    loss, accuracy = learn.validate()
    assert accuracy == pytest.approx((preds.argmax(1) == targets).float().mean().item())
    train, _ = learn.get_preds(ds_idx=0)
    assert len(train) == 12


def test_show(learn, shown):
    "D7: `show_batch` and `show_results` say the names"
    learn.dls.show_batch(max_n=3)
    learn.dls.valid.show_batch(max_n=2, unique=True)
    learn.show_results(max_n=3, shuffle=False)
    learn.show_results(ds_idx=0, max_n=2)
    learn.dls.test_dl(learn.dls.valid_ds.take([0, 1])).show_batch()
    (a, titles), (b, _), (c, results), (d, _), (e, unknown) = shown
    assert (a, b, c, d, e) == (3, 2, 3, 2, 2) and set(titles) <= set(CLASSES)
    names = [CLASSES[i] for i in learn.get_preds(with_decoded=True)[2][:3]]
    true = [CLASSES[i] for i in learn.dls.valid_ds.labels[:3]]
    assert results == [f'{t}; predicted: {p}' for t, p in zip(true, names)]
    assert set(unknown) == {'not known'}


def test_interpretation(learn, shown, capsys):
    "D7: `ClassificationInterpretation` with the confusion matrix and the top losses"
    judged = ClassificationInterpretation.from_learner(learn)
    preds, targets = learn.get_preds()
    want = np.zeros((3, 3), int)
    np.add.at(want, (targets.numpy(), preds.argmax(1).numpy()), 1)
    assert np.array_equal(judged.confusion_matrix(), want)
    judged.plot_confusion_matrix()
    judged.print_classification_report()
    report = capsys.readouterr().out
    assert all(c in report for c in CLASSES)
    assert sum(n for *_, n in judged.most_confused()) == want.sum() - want.trace()
    judged.plot_top_losses(4)
    losses = -preds[range(9), targets].log()
    worst = losses.argsort(descending=True)[:4].tolist()
    ((n, titles),) = shown
    assert n == 4
    for title, i in zip(titles, worst):
        true, pred = CLASSES[targets[i]], CLASSES[preds[i].argmax()]
        assert title == f'{true}; predicted: {pred}, loss {losses[i]:.2f}, probability {preds[i].max():.2f}'
    _, idx, items = judged.top_losses(2, items=True)
    assert len(items) == 2 and all(str(i) for i in items)
    judged.show_results(idx.tolist())


def test_a_learner_of_ones_own_is_exported_and_loaded(learn):
    "D7: `export` holds no clips; `load_learner` predicts the same"
    frames = learn.dls.valid_ds[2][0].numpy()
    want = learn.predict(frames)
    learn.export('mine.pkl')
    assert (learn.path / 'mine.pkl').stat().st_size < 200_000
    with pytest.warns(UserWarning, match='pickle'):
        again = load_learner(learn.path / 'mine.pkl')
    assert len(again.dls.train_ds) == len(again.dls.valid_ds) == 0 and list(again.dls.vocab) == CLASSES
    with again.no_bar():
        got = again.predict(frames)
        assert got[0] == want[0]
        torch.testing.assert_close(got[2], want[2])
        path = write_video(learn.path / 'new.mp4', bar(2, 1, 20))
        torch.testing.assert_close(again.predict(path)[2], learn.predict(path)[2])
    learn.fit(1)  # and the first still trains


def test_a_learner_is_loaded_in_another_process(tmp_path):
    dls = in_memory(tmp_path)
    learn = make_learner(I3D, dls, {**preset_of('i3d', 'small'), 'model': dict(width=0.0625)})
    learn.path = tmp_path
    learn.export('mine.pkl')
    np.save(tmp_path / 'clip.npy', dls.valid_ds[0][0].numpy())
    code = (
        'import sys, warnings; warnings.simplefilter("ignore")\n'
        'import numpy as np; from fastai.learner import load_learner\n'
        'learn = load_learner(sys.argv[1]+"/mine.pkl")\n'
        'with learn.no_bar(): print(learn.predict(np.load(sys.argv[1]+"/clip.npy"))[0])'
    )
    r = subprocess.run([sys.executable, '-c', code, str(tmp_path)], capture_output=True, text=True)
    with learn.no_bar():
        assert r.stdout.strip() == learn.predict(dls.valid_ds[0][0].numpy())[0], r.stderr


def test_lr_find(learn):
    "D7: a rate comes out, the weights stay; also where the loss explodes"
    before = {k: v.clone() for k, v in learn.model.state_dict().items()}
    for end in 10, 1e30:
        rate = learn.lr_find(num_it=100, end_lr=end, show_plot=False).valley
        assert 1e-7 < rate < end
        assert all(torch.equal(v, before[k]) for k, v in learn.model.state_dict().items())
    learn.lr_find(num_it=20)


def test_other_verbs(learn):
    learn.fit_one_cycle(1, 1e-3)
    learn.save('weights')
    learn.load('weights')


def test_a_file_that_breaks_later(tmp_path):
    "Predictions cannot be put in order with one missing: the file is named, and left out from then on"
    dls = in_files(tmp_path)
    learn = make_learner(Tiny, dls, {**preset_of('i3d', 'small'), 'model': {}})
    (tmp_path / 'valid' / 'left' / '1.mp4').write_bytes(b'gone')
    with learn.no_bar(), learn.no_logging():
        with pytest.warns(UserWarning, match='left out'), pytest.raises(VideoError, match='1.mp4.*call again'):
            learn.get_preds()
        preds, targets = learn.get_preds()
        assert len(preds) == len(targets) == 8
        assert len(ClassificationInterpretation.from_learner(learn).top_losses(8, items=True)[2]) == 8
