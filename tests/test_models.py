"Sizes, lengths and settings of the two networks; what explaining leaves behind."
import numpy as np, pytest, torch
from torch import nn

from interpvid.cam import gradcam
from interpvid.models.checkpoints import load_model, save_model
from interpvid.masks.learn import learn_masks, search_windows, windows
from interpvid.models.clstm import CLSTM
from interpvid.models.i3d import ORIGINAL_T, PAPER_T, I3D, same_pad

SMALL = dict(width=.0625)
nets = {'i3d':lambda: I3D(5, **SMALL), 'clstm':lambda: CLSTM(5, 64, hidden=(4,4), stride=(2,2), pool=(2,2))}

@pytest.mark.parametrize('n', range(1, 30))
@pytest.mark.parametrize('k,s', [(7,2), (3,2), (2,2), (3,1), (1,1)])
def test_same_padding_rounds_up(n, k, s):
    a,b = same_pad(n, k, s)
    assert 0<=b-a<=1 and (n+a+b-k)//s+1==-(-n//s)

@pytest.mark.parametrize('shape', [(16,64,64), (1,32,32), (7,33,61), (32,120,160)])
@pytest.mark.parametrize('strides', [PAPER_T, ORIGINAL_T])
def test_i3d_takes_any_size_and_length(shape, strides):
    assert I3D(5, strides, **SMALL).eval()(torch.randn(1,3,*shape)).shape==(1,5)

@pytest.mark.parametrize('make', nets.values(), ids=nets)
def test_clips_of_a_batch_do_not_meet(make):
    net = make().eval(); x = torch.randn(3,3,16,64,64)
    with torch.no_grad(): torch.testing.assert_close(net(x), torch.cat([net(c[None]) for c in x]), atol=1e-5, rtol=1e-4)

@pytest.mark.parametrize('make', nets.values(), ids=nets)
def test_explaining_leaves_no_trace(make):
    net = make().train(); x = torch.randn(2,3,16,64,64); state = torch.random.get_rng_state()
    before = {k: v.clone() for k,v in net.state_dict().items()}
    gradcam(net, x); learn_masks(net, x, iterations=2); search_windows(net, x[:1])
    with pytest.raises(ValueError): gradcam(net, x, layer='nowhere')
    assert all(torch.equal(v, before[k]) for k,v in net.state_dict().items())
    assert net.training and all(p.requires_grad and p.grad is None for p in net.parameters())
    assert not any(m._forward_hooks for m in net.modules()) and torch.equal(state, torch.random.get_rng_state())

@pytest.mark.parametrize('make', nets.values(), ids=nets)
def test_masks_of_a_batch_are_those_of_each_clip_alone(make):
    torch.manual_seed(0); net = make().eval(); x = 3*torch.randn(3,3,16,64,64)
    kw = dict(preset='released-pytorch', iterations=20, half=False)
    together = learn_masks(net, x, **kw)
    alone = np.concatenate([learn_masks(net, c[None], **kw).mask for c in x])
    np.testing.assert_allclose(together.mask, alone, atol=2e-3)

def test_windows_are_all_windows():
    w = windows(16); assert len(w)==136==len({tuple(r) for r in w}) and w.sum(1).min()==1
    for r in w: i = np.flatnonzero(r); assert (np.diff(i)==1).all()

@pytest.mark.parametrize('make', nets.values(), ids=nets)
def test_checkpoints_come_back(make, tmp_path):
    net = make().eval(); net.classes,net.stats,net.clip_shape = list('abcde'),(.5,.2),(16,64,64)
    save_model(net, tmp_path/'m.safetensors', seed=3); again = load_model(tmp_path/'m.safetensors', 'cpu')
    x = torch.randn(1,3,16,64,64)
    with torch.no_grad(): torch.testing.assert_close(net(x), again(x), atol=1e-5, rtol=1e-4)
    assert again.classes==list('abcde') and again.info=={'seed':3}

@pytest.mark.parametrize('call', [gradcam, lambda net,x,t=None: learn_masks(net, x, t, iterations=1), search_windows])
def test_what_cannot_be_explained_is_refused(call):
    net = I3D(5, **SMALL).eval(); x = torch.randn(2,3,4,16,16)
    for bad,t,why in (x,5,'0 to 4'),(x,-1,'0 to 4'),(x,[0,1,2],'each of 2'),(x[0],None,'B,C,T,H,W'),(x.numpy(),None,'tensor'),(x.byte(),None,'floats'),(x*float('nan'),None,'finite'):
        with pytest.raises(ValueError, match=why): call(net, bad, t)

def test_masks_of_one_frame_and_unknown_starts_are_refused():
    net = I3D(5, **SMALL).eval()
    with pytest.raises(ValueError, match='one frame'): learn_masks(net, torch.randn(1,3,1,16,16))
    with pytest.raises(ValueError, match='random'): learn_masks(net, torch.randn(1,3,4,16,16), start='random')

def test_a_file_that_is_no_checkpoint_says_so(tmp_path):
    torch.save(nn.Linear(2,2).state_dict(), tmp_path/'pickle.safetensors')
    with pytest.raises(ValueError, match='pickle.safetensors'): load_model(tmp_path/'pickle.safetensors')
    with pytest.raises(FileNotFoundError, match='nothing.safetensors'): load_model(tmp_path/'nothing.safetensors')
