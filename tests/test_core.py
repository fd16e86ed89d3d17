"From frames to a batch and back; what goes into a network is checked."

import numpy as np
import pytest
import torch

from interpvid.core import STATS, as_clips, mean_and_std, to_batch, to_frames


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (2, 4, 6, 5, 3), dtype=np.uint8)


RGB = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)


@pytest.mark.parametrize('stats', [STATS, RGB, (0.5, RGB[1]), torch.ones(2) / 3])
def test_there_and_back(frames, stats):
    x = to_batch(frames, stats)
    mean, std = (np.broadcast_to(np.float32(s), 3) for s in stats)
    np.testing.assert_allclose(x.numpy(), ((frames / 255 - mean) / std).transpose(0, 4, 1, 2, 3), atol=1e-5)
    assert (to_frames(x, stats) == frames).all()
    assert (to_frames(x[0], stats) == frames[0]).all()


def test_frames_stay_as_they_are(frames):
    before = frames.copy()
    t = torch.from_numpy(frames)
    to_batch(t).add_(1)
    assert (frames == before).all()


@pytest.mark.parametrize(
    'stats', [(0, 0), (0.5, -1), (float('nan'), 1), (0.5, float('nan')), 0.5, (0.5,), (1, 2, 3), ('a', 'b'), None]
)
def test_stats_that_normalise_nothing_are_an_error(frames, stats):
    for f in mean_and_std, lambda s: to_batch(frames, s), lambda s: to_frames(torch.zeros(3, 4, 6, 5), s):
        with pytest.raises(ValueError, match='stats are'):
            f(stats)


@pytest.mark.parametrize(
    'x, why',
    [
        (np.zeros((1, 3, 4, 5, 6)), 'got ndarray'),
        (torch.zeros(3, 4, 5, 6), r'got \(3, 4, 5, 6\)'),
        (torch.zeros(0, 3, 4, 5, 6), r'got \(0, 3, 4, 5, 6\)'),
        (torch.zeros(1, 3, 4, 5, 6, dtype=torch.uint8), 'got torch.uint8'),
        (torch.full((1, 3, 4, 5, 6), float('inf')), 'not finite'),
    ],
)
def test_clips_that_are_none_are_an_error(x, why):
    with pytest.raises(ValueError, match=why):
        as_clips(x)
