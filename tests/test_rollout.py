"Attention rollout, against plain loops over dense matrices of all tokens."

import numpy as np, pytest, torch
from torch import nn
from torch.nn import functional as F

from interpvid.explanation import explain
from interpvid.models.adapters import wrap
from interpvid.models.i3d import I3D
from interpvid.rollout import AttentionWatch, Hidden, Shown, attention_rollout, attentions_of, fused, handed_on

transformers = pytest.importorskip('transformers')
K, B = 5, 2
RAW = dict(normalize=None, space=None, time=None)
SMALL = dict(
    image_size=32, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64, num_labels=K
)
NETS = dict(
    videomae=('VideoMAE', dict(patch_size=8, num_frames=8, tubelet_size=2)),
    videomae_first=('VideoMAE', dict(patch_size=8, num_frames=8, tubelet_size=2, use_mean_pooling=False)),
    vivit=('Vivit', dict(tubelet_size=[2, 8, 8], num_frames=8)),
    timesformer=('Timesformer', dict(patch_size=8, num_frames=4)),
    timesformer_joint=('Timesformer', dict(patch_size=8, num_frames=4, attention_type='joint_space_time')),
    timesformer_space=('Timesformer', dict(patch_size=8, num_frames=4, attention_type='space_only')),
)


def stirred(net, seed=0):
    "Random weights large enough that attention is not flat"
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn_like(p) * (0.25 if p.ndim > 1 else 0.1))
    return net.eval()


def hf(name):
    kind, more = NETS[name]
    conf = getattr(transformers, f'{kind}Config')(**SMALL | more)
    return stirred(getattr(transformers, f'{kind}ForVideoClassification')(conf))


def vjepa2():
    conf = transformers.VJEPA2Config(
        crop_size=32,
        patch_size=8,
        frames_per_clip=8,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_pooler_layers=2,
        pred_hidden_size=24,
        pred_num_attention_heads=4,
        pred_num_hidden_layers=1,
        num_labels=K,
    )
    return stirred(transformers.VJEPA2ForVideoClassification(conf))


def xclip():
    conf = transformers.XCLIPConfig(
        text_config=dict(
            vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
        ),
        vision_config=dict(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            mit_hidden_size=24,
            mit_intermediate_size=32,
            mit_num_hidden_layers=2,
            mit_num_attention_heads=2,
            image_size=32,
            patch_size=8,
            num_frames=4,
        ),
        projection_dim=24,
        prompt_num_attention_heads=2,
    )
    return stirred(transformers.XCLIPModel(conf))


def texts():
    return dict(input_ids=torch.tensor([[0, 5, 6, 2], [0, 7, 8, 2]]), attention_mask=torch.ones(2, 4).long())


def clip(T, seed=1):
    return torch.randn(B, 3, T, 32, 32, generator=torch.Generator().manual_seed(seed))


def weights_of(net, call, part):
    "What each attention looks at, mean over heads, by a hook on the layer that drops some of it or by the model itself"
    kept = []
    handles = [m.register_forward_hook(lambda m, a, o: kept.append(o.mean(1))) for m in part(net)]
    with torch.no_grad():
        call()
    for h in handles:
        h.remove()
    return kept


def product(weights, residual=0.5):
    "All blocks multiplied, for one clip: plain words"
    R = torch.eye(weights[0].shape[-1])
    for W in weights:
        R = ((1 - residual) * W + residual * torch.eye(len(W))) @ R
    return R


# --- all tokens see all tokens


@pytest.mark.parametrize('residual', [0.5, 0.2])
@pytest.mark.parametrize('name', ['videomae', 'videomae_first', 'vivit'])
def test_rollout_is_the_product_of_what_the_model_shows(name, residual):
    net, x = hf(name), clip(8)
    got = attention_rollout(wrap(net), x, residual=residual, **RAW)
    net.set_attn_implementation('eager')
    with torch.no_grad():
        shown = net(x.transpose(1, 2), output_attentions=True).attentions
    assert len(shown) == 3
    for i in range(B):
        R = product([W[i].mean(0) for W in shown], residual)
        row = {'videomae': R.mean(0), 'videomae_first': R[0], 'vivit': R[0, 1:]}[name]
        torch.testing.assert_close(got[i], row.view(4, 4, 4), atol=1e-6, rtol=1e-4)
        assert row.std() > 0.1 * row.mean()  # it is not flat
    torch.testing.assert_close(attention_rollout(wrap(net), x, residual=residual, **RAW), got, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize('heads', ['max', 'min'])
def test_other_ways_to_join_heads(heads):
    net, x = hf('videomae'), clip(8)
    got = attention_rollout(wrap(net), x, heads=heads, **RAW)
    net.set_attn_implementation('eager')
    with torch.no_grad():
        shown = net(x.transpose(1, 2), output_attentions=True).attentions
    joined = [getattr(W[0], heads)(0).values for W in shown]
    R = product([W / W.sum(-1, keepdim=True) for W in joined])
    torch.testing.assert_close(got[0], R.mean(0).view(4, 4, 4), atol=1e-6, rtol=1e-4)
    with pytest.raises(ValueError, match="heads='sum'; there are 'mean', 'max', 'min'"):
        attention_rollout(wrap(net), x, heads='sum')


def test_a_query_that_gathers_all_tokens_is_where_to_start():
    "V-JEPA 2: blocks, blocks of the pooler, and one query"
    net, x = vjepa2(), clip(8)
    got = attention_rollout(wrap(net), x, **RAW)
    net.set_attn_implementation('eager')
    layers = [m for m in net.modules() if type(m).__name__ in ('VJEPA2RopeAttention', 'VJEPA2PoolerSelfAttention')]
    cross = [m for m in net.modules() if type(m).__name__ == 'VJEPA2PoolerCrossAttention']
    kept = []
    handles = [m.register_forward_hook(lambda m, a, o: kept.append(o[1].mean(1))) for m in (*layers, *cross)]
    with torch.no_grad():
        net(x.transpose(1, 2))
    for h in handles:
        h.remove()
    used = [W for W in kept if W.shape[1:] == (64, 64)]
    assert len(used) == 5
    assert kept[-1].shape == (B, 1, 64)
    for i in range(B):
        row = kept[-1][i, 0] @ product([W[i] for W in used])
        torch.testing.assert_close(got[i], row.view(4, 4, 4), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(got.sum((1, 2, 3)), torch.ones(B))


# --- space and time apart


def dense_step(W, residual=0.5):
    return (1 - residual) * W + residual * torch.eye(len(W))


def test_time_then_space_as_one_loop_over_tokens():
    "TimeSformer, divided: each weight written into a matrix of all 65 tokens, by loops"
    net, x = hf('timesformer'), clip(4)
    T, P = 4, 16
    drops = lambda n: [m for name, m in n.named_modules() if name.endswith('attn_drop')]
    seen = weights_of(net, lambda: net(x.transpose(1, 2)), drops)
    assert [tuple(w.shape) for w in seen[:2]] == [(B * P, T, T), (B * T, 1 + P, 1 + P)]
    token = lambda p, t: 1 + p * T + t  # places first, then frames
    got = attention_rollout(wrap(net), x, **RAW)
    for b in range(B):
        R = torch.eye(1 + P * T)
        for time, space in zip(seen[::2], seen[1::2]):
            W = torch.zeros(1 + P * T, 1 + P * T)
            W[0, 0] = 1
            for p in range(P):
                for t in range(T):
                    for u in range(T):
                        W[token(p, t), token(p, u)] = time[b * P + p, t, u]
            R = dense_step(W) @ R
            W = torch.zeros(1 + P * T, 1 + P * T)
            for t in range(T):
                w = space[b * T + t]
                W[0, 0] += w[0, 0] / T
                for p in range(P):
                    W[0, token(p, t)] = w[0, 1 + p] / T
                    W[token(p, t), 0] = w[1 + p, 0]
                    for q in range(P):
                        W[token(p, t), token(q, t)] = w[1 + p, 1 + q]
            torch.testing.assert_close(W.sum(1), torch.ones(1 + P * T))
            R = dense_step(W) @ R
        want = R[0, 1:].view(4, 4, T).movedim(-1, 0)
        torch.testing.assert_close(got[b], want, atol=1e-6, rtol=1e-4)
        assert want.std() > 0.1 * want.mean()


def test_places_before_frames_and_frames_alone():
    "TimeSformer with joint attention (places first in its row), and with attention in each frame alone"
    x = clip(4)
    part = lambda n: [l.attention.attention.attn_drop for l in n.timesformer.encoder.layer]
    net = hf('timesformer_joint')
    seen = weights_of(net, lambda: net(x.transpose(1, 2)), part)
    got = attention_rollout(wrap(net), x, **RAW)
    for b in range(B):
        row = product([W[b] for W in seen])[0, 1:]
        torch.testing.assert_close(got[b], row.view(4, 4, 4).movedim(-1, 0), atol=1e-6, rtol=1e-4)
    net = hf('timesformer_space')
    seen = weights_of(net, lambda: net(x.transpose(1, 2)), part)
    got = attention_rollout(wrap(net), x, **RAW)
    for b in range(B):
        for t in range(4):
            row = product([W[b * 4 + t] for W in seen])[0, 1:]
            torch.testing.assert_close(got[b, t], row.view(4, 4), atol=1e-6, rtol=1e-4)


def test_messages_from_frame_to_frame():
    "X-CLIP: one matrix of all class tokens, patches and messages of a clip"
    net, x = xclip(), clip(4)
    T, P = 4, 16
    got = attention_rollout(wrap(net, inputs=texts(), classes=['a', 'b']), x, **RAW)
    net.set_attn_implementation('eager')
    kept = []
    vision = [m for l in net.vision_model.encoder.layers for m in (l.message_attn, l.self_attn)]
    among = [l.self_attn for l in net.mit.encoder.layers]
    among[0].config._attn_implementation = 'eager'  # these have a configuration of their own
    handles = [m.register_forward_hook(lambda m, a, o: kept.append(o[1].mean(1))) for m in (*vision, *among)]
    with torch.no_grad():
        net(pixel_values=x.transpose(1, 2), **texts())
    for h in handles:
        h.remove()
    assert [tuple(w.shape) for w in kept] == [(B, T, T), (B * T, P + 2, P + 2)] * 2 + [(B, T, T)] * 2
    n = P + 1
    for b in range(B):
        R = torch.eye(T * n)  # class token and patches of each frame
        for message, frame in zip(kept[0:4:2], kept[1:4:2]):
            made = torch.zeros(T, T * n)  # what each message is made of
            M = dense_step(message[b])
            for t in range(T):
                for u in range(T):
                    made[t, u * n] = M[t, u]
            A = torch.zeros(T * n, T * n)
            for t in range(T):
                w = dense_step(frame[b * T + t])
                A[t * n : t * n + n, t * n : t * n + n] = w[:n, :n]
                A[t * n : t * n + n] += w[:n, n:] @ made[t : t + 1]
            R = A @ R
        frames = (product([w[b] for w in kept[4:]]) + torch.eye(T)).mean(0) / 2
        row = (frames[:, None] * R[::n]).sum(0).view(T, n)
        torch.testing.assert_close(got[b], row[:, 1:].view(T, 4, 4), atol=1e-6, rtol=1e-4)


# --- how attention is computed


class Net(nn.Module):
    "One block of attention, in three ways of writing it"

    def __init__(self, way, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.way, self.patches = way, nn.Conv3d(3, 16, (2, 8, 8), (2, 8, 8))
        self.attention, self.head = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(16, K)
        nn.init.normal_(self.attention.in_proj_weight, std=0.5)

    def attend(self, t):
        if self.way == 'module':
            return self.attention(t, t, t, need_weights=False)[0]
        a = self.attention
        q, k, v = F.linear(t, a.in_proj_weight, a.in_proj_bias).unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        if self.way == 'fused':
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = (q @ k.transpose(-1, -2) * 8**-0.5).softmax(-1) @ v
        return a.out_proj(y.transpose(1, 2).flatten(2))

    def forward(self, x):
        t = self.patches(x).flatten(2).transpose(1, 2)
        return self.head((t + self.attend(t)).mean(1))


TOLD = dict(maps='b (t h w) f', grid=(4, 4, 4))


def test_three_ways_to_write_attention_give_one_map():
    x = clip(8)
    maps = {way: attention_rollout(wrap(Net(way).eval(), **TOLD), x, **RAW) for way in ('module', 'fused', 'by hand')}
    scores = {way: Net(way).eval()(x) for way in maps}
    for way in 'fused', 'by hand':
        torch.testing.assert_close(scores[way], scores['module'], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(maps[way], maps['module'], atol=1e-6, rtol=1e-4)
    assert maps['module'].flatten(1).std(1).min() > 1e-4


def test_the_layer_of_pytorch_that_hides_everything():
    "nn.TransformerEncoderLayer has a fast path in evaluation mode that never comes near its attention"
    torch.manual_seed(0)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv3d(3, 16, (2, 8, 8), (2, 8, 8))
            self.blocks = nn.ModuleList(
                nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True) for _ in range(2)
            )
            self.head = nn.Linear(16, K)

        def forward(self, x):
            t = self.patches(x).flatten(2).transpose(1, 2)
            for b in self.blocks:
                t = b(t)
            return self.head(t.mean(1))

    net, x = Encoder().eval(), clip(8)
    found = attentions_of(wrap(net, **TOLD), x)
    assert [f.shape for f in found] == [(B, 64, 64)] * 2
    t = net.patches(x).flatten(2).transpose(1, 2)
    y = net.blocks[0].norm1(t)
    want = net.blocks[0].self_attn(y, y, y, need_weights=True)[1]
    torch.testing.assert_close(found[0].rows(slice(None)), want, atol=1e-6, rtol=1e-4)


def test_masks_of_fused_attention():
    "Causal, bool, added, groups of queries that share keys, a scale of one's own"
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 6, 8).unbind()
    eye = torch.eye(6).expand(2, 4, 6, 6)
    added = torch.randn(6, 6)
    allowed = torch.rand(2, 1, 6, 6) > 0.3
    allowed |= torch.eye(6, dtype=torch.bool)
    for kwargs in (
        dict(is_causal=True),
        dict(attn_mask=allowed),
        dict(attn_mask=added),
        dict(scale=0.1),
        dict(attn_mask=allowed[:, :, :1], scale=1.0),
    ):
        with AttentionWatch() as watch:
            want = F.scaled_dot_product_attention(q, k, eye, **kwargs).mean(1)  # values of one show the weights
        torch.testing.assert_close(watch.found[0].rows(slice(None)), want, atol=1e-6, rtol=1e-5)
        parts = torch.cat([watch.found[0].rows(slice(i, i + 4)) for i in (0, 4)], 1)
        torch.testing.assert_close(parts, want, atol=1e-6, rtol=1e-5)
    with AttentionWatch() as watch:
        want = F.scaled_dot_product_attention(q, k[:, :2], eye[:, :2], enable_gqa=True).mean(1)
    torch.testing.assert_close(watch.found[0].rows(slice(None)), want, atol=1e-6, rtol=1e-5)


def test_a_softmax_that_is_no_attention_is_not_taken_for_one():
    with AttentionWatch() as watch:
        torch.randn(2, 5).softmax(1)
        torch.randn(2, 5, 4, 4, 4).softmax(-1)
        torch.randn(2, 5, 4, 4).softmax(1)
        F.log_softmax(torch.randn(2, 5, 5), -1)
    assert not watch.found
    with AttentionWatch() as watch:
        F.softmax(torch.randn(2, 5, 5), dim=-1), torch.softmax(torch.randn(2, 3, 5, 5), 3)
    assert [f.shape for f in watch.found] == [(2, 5, 5), (2, 5, 5)]


def test_rows_in_parts_are_the_whole():
    torch.manual_seed(0)
    q, k = torch.randn(2, 3, 4, 50, 8).unbind()
    hidden = Hidden(q, k, 8**-0.5, None, 'mean')
    shown = Shown(fused((q @ k.transpose(2, 3) * 8**-0.5).softmax(-1)))
    v = torch.rand(3, 50)
    for rows in 7, 50, 256:
        torch.testing.assert_close(handed_on(v, hidden, rows=rows), handed_on(v, shown), atol=1e-6, rtol=1e-5)


# --- as other maps


def test_a_map_like_others():
    "Size, scale, batches, every class the same, `explain(maps=…)`, containers, nothing left behind"
    net, x = hf('videomae'), clip(8)
    w = wrap(net)
    cam = attention_rollout(w, x)
    assert cam.shape == (B, 8, 32, 32)
    assert bool((cam.amax((1, 2, 3)) == 1).all())
    assert cam.min() >= 0
    for same in (
        attention_rollout(w, x, 3),
        attention_rollout(w, x, bs=1),
        attention_rollout(net, x),
        attention_rollout(wrap(nn.DataParallel(net)), x),
        attention_rollout(wrap(torch.compile(net, backend='eager')), x),
        attention_rollout(lambda v: w(v) * 2, x),
    ):
        torch.testing.assert_close(same, cam, atol=1e-5, rtol=0)
    assert not any(m._forward_hooks for m in net.modules())
    es = explain(w, x, [1, 2], maps=attention_rollout, masks=np.ones((2, 8)), stats=(0.5, 0.2))
    for e, m in zip(es, cam):
        assert e.cam_name == 'attention_rollout'
        np.testing.assert_allclose(e.cam, m, atol=2e-3)


def test_what_has_no_rollout_says_so():
    from test_adapters import small_mvit, small_swin, small_vit
    from torchvision.models.video import r3d_18

    x = clip(8)
    for make, words in (
        (lambda: r3d_18(num_classes=K), 'VideoResNet is not known to have rows of tokens.*take gradcam'),
        (small_swin, "SwinTransformer3d is not known to have rows.*Swin's see their window alone"),
        (small_mvit, r'attention 3 of 3 in MViT has weights .*pooled.*\(MViT\)'),
        (lambda: Net('fused'), 'Net is not known to have rows of tokens'),
        (lambda: I3D(K, width=0.0625), 'I3D is not known to have rows of tokens'),
    ):
        with pytest.raises(ValueError, match=words):
            attention_rollout(wrap(make().eval()), x)
    with pytest.raises(ValueError, match='computes no attention that PyTorch sees'):
        attention_rollout(wrap(r3d_18(num_classes=K).eval(), **TOLD), x)
    with pytest.raises(ValueError, match=r'attention 1 of 1 in Net has weights \(2, 64, 64\).*wrap\(model, maps='):
        attention_rollout(wrap(Net('fused').eval(), maps='b (t h w) f', grid=(4, 4, 4), skip=1), x)
    with pytest.raises(ValueError, match='how many tokens has Net'):
        attention_rollout(wrap(Net('fused').eval(), maps='b (t h w) f'), x)
    with pytest.raises(ValueError, match="reads='class token': there is none"):
        attention_rollout(wrap(Net('fused').eval(), **TOLD), x, reads='class token')
    with pytest.raises(ValueError, match='made for clips of 8 frames'):
        attention_rollout(wrap(hf('videomae')), x[:, :, :4])
    vit = wrap(small_vit().eval())
    assert attention_rollout(vit, x).shape == (B, 8, 32, 32)
    frame = attention_rollout(vit, x[:, :, 3:4], normalize=None)
    torch.testing.assert_close(attention_rollout(vit, x, normalize=None, time='nearest')[:, 3:4], frame)
