"The two networks as one would write them down at first: what the speed of ours is compared with."

import torch
from torch import nn


class Cell(nn.Module):
    "One step of a convolutional LSTM: eight convolutions"

    def __init__(self, i, n, k=5, stride=2):
        super().__init__()
        self.x = nn.ModuleList(nn.Conv2d(i, n, k, stride, k // 2) for _ in range(4))
        self.h = nn.ModuleList(nn.Conv2d(n, n, k, 1, k // 2, bias=False) for _ in range(4))

    def forward(self, x, h, c):
        i, f, o = (torch.sigmoid(self.x[k](x) + self.h[k](h)) for k in range(3))
        c = f * c + i * torch.tanh(self.x[3](x) + self.h[3](h))
        return o * torch.tanh(c), c


class PlainCLSTM(nn.Module):
    "The paper's C-LSTM for Something-something, frame by frame"

    def __init__(self, n_classes, size, T, n=32):
        super().__init__()
        self.cells = nn.ModuleList(Cell(i, n) for i in (3, n, n))
        self.norm, self.pool = nn.BatchNorm2d(n), nn.MaxPool2d(2)
        for _ in self.cells:
            size = (size + 1) // 2 // 2
        self.fc, self.n = nn.Linear(T * n * size * size, n_classes), n

    def forward(self, x):
        state, out = [None] * len(self.cells), []
        for t in range(x.shape[2]):
            z = x[:, :, t]
            for j, cell in enumerate(self.cells):
                if state[j] is None:
                    state[j] = (x.new_zeros(len(x), self.n, (z.shape[2] + 1) // 2, (z.shape[3] + 1) // 2),) * 2
                state[j] = cell(z, *state[j])
                z = self.pool(self.norm(state[j][0]))
            out.append(z)
        return self.fc(torch.stack(out, 1).flatten(1))
