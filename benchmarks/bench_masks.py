"What perturbing costs, beside the way in which it is usually written."
import torch

from frame import bench
from interpvid.masks.perturb import freeze

@bench('freeze and its gradient, 24 clips of 16×64×64', against='a loop over frames, each cloned from the one before', at_least=1.5)
def _():
    x = torch.randn(24,3,16,64,64).contiguous(memory_format=torch.channels_last_3d)
    def loop(x, m):
        y = x.clone()
        for t in range(1, x.shape[2]):
            k = m[:,t,None,None,None]
            y[:,:,t] = (1-k)*x[:,:,t]+k*y[:,:,t-1].clone()
        return y
    def step(f):
        m = torch.full((24,16), .5, requires_grad=True)
        f(x, m).square().mean().backward()
    return lambda: step(freeze), lambda: step(loop)
