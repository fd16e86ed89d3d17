"Steps of both networks: training, explaining, and the forward pass of C-LSTM beside Keras."

import os

import torch, torch.nn.functional as F

from frame import bench
from interpvid.device import eval_frozen, fast, fast_layout, reference_ops
from interpvid.learner import preset_of
from interpvid.models.clstm import CLSTM, ConvLSTM
from interpvid.models.i3d import I3D
from plain import PlainCLSTM


def train_step(net, x, half):
    "One step of training, with the optimizer's"
    y, opt = torch.randint(174, (len(x),)), torch.optim.SGD(net.train().parameters(), 1e-3, 0.2)

    def step():
        with fast('cpu', half):
            p = net(x)
        F.cross_entropy(p.float(), y).backward()
        opt.step()
        opt.zero_grad()

    return step


def to_input(net, x, half):
    "Forward, and backward to the clips"
    net.eval()

    def step():
        v = x.clone().requires_grad_()
        with fast('cpu', half):
            p = net(v)
        p.float().softmax(1)[:, 0].sum().backward()
        net.zero_grad()

    return step


def resting(net, x):
    def step():
        with eval_frozen(net):
            to_input(net, x, True)()

    return step


def within_reference(step):
    def f():
        with reference_ops():
            step()

    return f


def channels_last(x):
    return x.contiguous(memory_format=torch.channels_last_3d)


clstm_x, i3d_x = (8, 3, 16, 128, 128), (4, 3, 16, 112, 112)
EIGHT = 'eight convolutions per cell and step, float32, contiguous'


@bench('C-LSTM training step, 8×16×128×128, bfloat16', against=EIGHT, at_least=3)
def _():
    x = torch.randn(clstm_x)
    ours, theirs = fast_layout(CLSTM(174, 128)), PlainCLSTM(174, 128, 16)
    return train_step(ours, channels_last(x), True), train_step(theirs, x, False)


@bench('C-LSTM training step, 8×16×128×128, float32', against=EIGHT, at_least=1.2)
def _():
    x = torch.randn(clstm_x)
    ours, theirs = fast_layout(CLSTM(174, 128)), PlainCLSTM(174, 128, 16)
    return train_step(ours, channels_last(x), False), train_step(theirs, x, False)


@bench('I3D training step, 4×16×112×112, bfloat16', against='float32, contiguous', at_least=2.3)
def _():
    x = torch.randn(i3d_x)
    return train_step(fast_layout(I3D(174)), channels_last(x), True), within_reference(train_step(I3D(174), x, False))


@bench(
    'I3D forward and backward to the input, 4×16×112×112, bfloat16',
    against='float32, contiguous, gradients for all weights',
    at_least=3.5,
)
def _():
    x = torch.randn(i3d_x)
    return resting(fast_layout(I3D(174)), channels_last(x)), within_reference(to_input(I3D(174), x, False))


def small_network(name):
    "The network of the built-in clips, 'I3D' or another name for C-LSTM"
    if name == 'I3D':
        return I3D(12, **preset_of('i3d', 'small')['model'])
    return CLSTM(12, 64, **preset_of('clstm', 'small')['model'])


def _small(name):
    x = torch.randn(24, 3, 16, 64, 64)
    ours, theirs = fast_layout(small_network(name)), small_network(name)
    return resting(ours, channels_last(x)), within_reference(to_input(theirs, x, False))


for name in 'I3D', 'CLSTM':
    bench(
        f'{name}, forward and backward to 24 clips of 16×64×64',
        against='float32, contiguous, gradients for all weights',
        runs=5,
    )(lambda name=name: _small(name))


# -- Keras -------------------------------------------------------------------------------------------------------
def keras():
    os.environ['KERAS_BACKEND'] = 'torch'
    import keras

    keras.config.set_floatx('float32')
    keras.config.disable_traceback_filtering()
    return keras


def _layer(k, n=32):
    return k.layers.ConvLSTM2D(n, 5, strides=2, padding='same', return_sequences=True)


def _quiet(f):
    def g():
        with torch.no_grad():
            f()

    return g


@bench('C-LSTM forward, one layer, 8×16×128×128, float32', against="Keras' ConvLSTM2D on torch, float32", at_least=1.1)
def _():
    x = torch.randn(clstm_x)
    z = x.permute(0, 2, 3, 4, 1).contiguous()
    theirs, ours = _layer(keras()), fast_layout(ConvLSTM(3)).eval()
    xl = channels_last(x)
    return _quiet(lambda: ours(xl)), _quiet(lambda: theirs(z))


@bench(
    'C-LSTM forward, whole network, 8×16×128×128, float32',
    against="the same of Keras' layers on torch, float32",
    at_least=1.1,
)
def _():
    x = torch.randn(clstm_x)
    z = x.permute(0, 2, 3, 4, 1).contiguous()
    k = keras()
    parts = []
    for _ in range(3):
        parts += [
            _layer(k),
            k.layers.TimeDistributed(k.layers.BatchNormalization()),
            k.layers.TimeDistributed(k.layers.MaxPooling2D()),
        ]
    theirs = k.Sequential([*parts, k.layers.Flatten(), k.layers.Dense(174)])
    ours = fast_layout(CLSTM(174, 128)).eval()
    xl = channels_last(x)
    return _quiet(lambda: ours(xl)), _quiet(lambda: theirs(z, training=False))
