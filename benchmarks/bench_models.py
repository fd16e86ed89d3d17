"What layout, precision and resting weights bring, on the two networks as `interpvid reproduce` trains them."
import torch

from frame import bench
from interpvid.core import at_rest, fast, fast_layout
from interpvid.learner import preset_of
from interpvid.models.clstm import CLSTM
from interpvid.models.i3d import I3D

MAKE = dict(I3D=lambda: I3D(12, **preset_of('i3d', 'small')['model']), CLSTM=lambda: CLSTM(12, 64, **preset_of('clstm', 'small')['model']))

def _pair(name):
    x = torch.randn(24,3,16,64,64)
    plain,quick = MAKE[name]().eval(),fast_layout(MAKE[name]().eval())
    z = x.contiguous(memory_format=torch.channels_last_3d)
    def theirs(): plain(x.clone().requires_grad_()).softmax(1)[:,0].sum().backward()
    def ours():
        v = z.clone().requires_grad_()
        with at_rest(quick):
            with fast('cpu'): y = quick(v)
            y.float().softmax(1)[:,0].sum().backward()
    return ours, theirs

for name in MAKE:
    bench(f'{name}, forward and backward to 24 clips of 16×64×64', against='float32, contiguous, gradients for all weights', runs=5)(lambda name=name: _pair(name))
