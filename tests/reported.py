"Models of which it is known by construction what they use, and clips for them"
import numpy as np
import torch
from torch import nn

from interpvid.core import STATS
from interpvid.data.clips import ArrayClips
from interpvid.data.synthetic import SYNTHETIC_CLASSES

T, SIZE = 8, 24
COLOURS = np.array([[230, 60, 60], [60, 200, 60], [60, 60, 230]])
COLOUR_NAMES = ['red', 'green', 'blue']
WAYS = np.array([[2, 0], [-2, 0], [0, 2], [0, -2]])  # pixels for each frame, x and y
WAY_NAMES = ['right', 'left', 'down', 'up']


def coloured(n, seed=0):
    "Clips of which every second frame, drawn by lot, shows the colour that is their class; the others are dark"
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    frames = rng.integers(0, 30, (n, T, SIZE, SIZE, 3))
    lit = np.stack([rng.permutation(T) < T // 2 for _ in range(n)])
    frames = frames + lit[:, :, None, None, None] * COLOURS[labels][:, None, None, None]
    clips = ArrayClips(np.minimum(frames, 255).astype(np.uint8), labels, COLOUR_NAMES)
    clips.lit = lit
    return clips


def moving(n, seed=0):
    "A square of any colour that goes one of four ways over a dark ground"
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 4
    frames = np.full((n, T, SIZE, SIZE, 3), 20, np.uint8)
    for i, k in enumerate(labels):
        colour = rng.integers(100, 250, 3)
        half = WAYS[k] * (T - 1) // 2
        centre = np.array([SIZE // 2, SIZE // 2]) + rng.integers(-1, 2, 2) - half
        for t in range(T):
            x, y = centre + WAYS[k] * t
            frames[i, t, y - 2 : y + 3, x - 2 : x + 3] = colour
    clips = ArrayClips(frames, labels, WAY_NAMES)
    clips.reversed_labels = np.array([1, 0, 3, 2])[labels]
    return clips


class MeanColour(nn.Module):
    "Blind to order by construction: the mean colour of all frames, and the nearest class"

    stats, classes, name, clip_shape = STATS, COLOUR_NAMES, 'mean colour', (T, SIZE, SIZE)

    def __init__(self):
        super().__init__()
        mean, std = (torch.tensor(s, dtype=torch.float32) for s in STATS)
        self.colours = nn.Parameter((torch.tensor(COLOURS / 255 / 2, dtype=torch.float32) - mean) / std)

    def forward(self, x):
        seen = x.mean((2, 3, 4))
        return -10 * (seen[:, None] - self.colours).square().sum(-1)


class Silhouette(nn.Module):
    "Blind to looks by construction: differences between frames of what is not ground, and which way they go"

    stats, classes, name, clip_shape = STATS, WAY_NAMES, 'silhouette', (T, SIZE, SIZE)

    def forward(self, x):
        ground = x[..., :1, :1]
        shape = ((x - ground).abs().amax(1) > 0.4).float()
        change = shape[:, 1:] - shape[:, :-1]
        at = torch.arange(x.shape[-1], dtype=x.dtype, device=x.device)
        right = (change.sum((1, 2)) * at).sum(1) / 25
        down = (change.sum((1, 3)) * at).sum(1) / 25
        return torch.stack([right, -right, down, -down], 1)


class OneFrame(nn.Module):
    "Looks at frame 5 alone: how light it is in the left half, and in the right one"

    stats, classes, name = STATS, ['left', 'right'], 'one frame'

    def forward(self, x):
        left, right = x[:, :, 5].mean((1, 2)).split(x.shape[-1] // 2, 1)
        return 3 * torch.stack([left.mean(1) - right.mean(1), right.mean(1) - left.mean(1)], 1)


def sided(n, seed=0):
    "A square in the left or the right half, in frame 5 alone"
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    frames = rng.integers(0, 60, (n, T, SIZE, SIZE, 3)).astype(np.uint8)
    boxes = np.zeros((n, T, SIZE, SIZE), bool)
    for i, k in enumerate(labels):
        x, y = rng.integers(0, 7) + 12 * k, rng.integers(0, 19)
        boxes[i, 5, y : y + 5, x : x + 5] = True
    frames[boxes] = 250
    clips = ArrayClips(frames, labels, ['left', 'right'])
    clips.where = boxes
    return clips


def mean_colour():
    return MeanColour().eval()


class Small(nn.Module):
    "One convolution that has learned nothing"

    stats, classes, cam_layer, name, clip_shape = STATS, SYNTHETIC_CLASSES, 'conv', 'small', (12, 24, 24)

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv3d(3, 4, 3, stride=(1, 2, 2), padding=1), nn.Linear(48, 12)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((3, 4)).flatten(1))


def small():
    torch.manual_seed(0)
    return Small().eval()


def rows(model, frames, labels=None):
    "What a sweep keeps of each clip"
    return [dict(brightness=float(f.mean(dtype=float))) for f in frames]
