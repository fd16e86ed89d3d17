"Freeze and reverse against the paper's words, the authors' own clips, and chance."
import numpy as np, pytest, torch
from hypothesis import given, settings, strategies as st

from interpvid.masks.perturb import freeze, reverse, reverse_index

soft = lambda T: st.lists(st.floats(0, 1, width=32), min_size=T, max_size=T)
hard = st.integers(2, 32).flatmap(lambda T: st.lists(st.booleans(), min_size=T, max_size=T))
clip = lambda B,T: torch.randn(B,3,T,6,5, generator=torch.Generator().manual_seed(T))

def by_the_paper(x, m):
    out = [x[:,:,0]]
    for t in range(1, x.shape[2]): out.append((1-m[:,t,None,None,None])*x[:,:,t]+m[:,t,None,None,None]*out[-1])
    return torch.stack(out, 2)

@settings(deadline=None)
@given(st.integers(1, 20).flatmap(lambda T: st.lists(soft(T), min_size=3, max_size=3)))
def test_freeze_is_the_loop_of_the_paper(ms):
    m = torch.tensor(ms); x = clip(3, m.shape[1])
    for v in x, x.contiguous(memory_format=torch.channels_last_3d): torch.testing.assert_close(freeze(v, m), by_the_paper(x, m), atol=1e-5, rtol=1e-5)

def test_freeze_is_differentiable():
    m = torch.rand(2,6, dtype=torch.double, requires_grad=True)
    x = torch.randn(2,1,6,3,2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(freeze, (x, m))

def by_counting(on):
    "Frame numbers after each run has been turned round, with nothing but lists"
    order,t = [],0
    while t<len(on):
        e = t
        while e<len(on) and on[e]==on[t]: e += 1
        order += list(range(t,e))[::-1 if on[t] else 1]; t = e
    return order

@settings(deadline=None)
@given(hard)
def test_reverse_turns_each_run(on):
    m = torch.tensor([on]).float(); x = clip(1, len(on))
    assert reverse_index(m)[0].tolist()==by_counting(on)
    torch.testing.assert_close(reverse(reverse(x, m), m), x)

def test_reverse_takes_one_mask_per_clip():
    x = clip(2, 8); m = torch.zeros(2,8); m[0,2:5] = 1; m[1] = .1 # 0.1 is not above 0.1
    torch.testing.assert_close(reverse(x, m)[0,:,[2,3,4]], x[0,:,[4,3,2]]); torch.testing.assert_close(reverse(x, m)[1], x[1])

@pytest.mark.parametrize('mask,why', [(np.zeros(7),'T=8'), (np.full(8,1.2),r'\[0,1\]'), (np.full(8,np.nan),'NaN'), (np.zeros((3,8)),'B=2')])
def test_bad_masks_are_refused(mask, why):
    for f in freeze,reverse:
        with pytest.raises(ValueError, match=why): f(clip(2,8), mask)

def test_bytes_are_refused():
    for f in freeze,reverse:
        with pytest.raises(ValueError, match='floats'): f(clip(2,8).byte(), np.zeros(8))

@pytest.mark.reference
def test_freeze_gives_the_authors_frozen_clips(reference):
    "Every clip of the paper's web site, both models. The last rows of the authors' frozen frames hold the row of dots: they stay out"
    files = sorted((reference/'site').glob('*.npz')); assert len(files)==15
    tried = 0
    for f in files:
        with np.load(f) as z: z = dict(z)
        frames = z['frames']; T,H = frames.shape[:2]
        x = torch.from_numpy(frames.transpose(3,0,1,2)[None].astype(np.float32))
        for model in 'i3d','clstm':
            m = z[f'{model}_mask']; m = m & (np.arange(T)>0) # frame 0 has none before it
            if not m.any(): continue
            tried += 1
            keep = slice(0, H*94//100) # the row of dots takes the last 5 %
            theirs = z[f'{model}_frozen'][m][:,keep].astype(float)
            ours = freeze(x, m)[0].permute(1,2,3,0).numpy()[m][:,keep]
            err,none = np.abs(ours-theirs).mean(),np.abs(frames[m][:,keep]-theirs).mean()
            assert err<=7, (f.name, model, err)
            assert err<none/2, (f.name, model, err, none)
    assert tried==30
