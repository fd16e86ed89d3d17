"""Forms of models: one small network, written in all the ways in which people write theirs.

Each form says what it has to equal (the same network in its plain form), how closely, and for which calls it has to
be an error instead, with the words that the error has to have.
"""

import functools
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from interpvid.models.adapters import wrap

ENTRIES = 'gradcam', 'learn_masks', 'search_windows', 'explain', 'Painter'
GRADIENT = 'learn_masks', 'explain'  # what needs a gradient at the clip
MASKS = 'learn_masks', 'search_windows', 'explain', 'Painter'
T, SIZE, K = 6, 16, 4


def clips(B=2, seed=0):
    "Normalised clips in which something moves"
    return torch.randn(B, 3, T, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)).cumsum(2) / 2


class Plain(nn.Module):
    "Two convolutions over time and place, a mean, a linear layer"

    cam_layer = 'conv2'

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.conv1 = nn.Conv3d(3, 4, 3, padding=1)
        self.conv2 = nn.Conv3d(4, 6, 3, stride=(1, 2, 2), padding=1)
        self.head = nn.Linear(6, K)
        with torch.no_grad():
            self.conv1.weight[:, :, 0] = -self.conv1.weight[:, :, 1]  # what changes from frame to frame
            self.conv1.weight[:, :, 2] = 0
            self.head.weight.mul_(96)

    def features(self, x):
        return F.relu(self.conv2(F.relu(self.conv1(x))))

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3, 4)))


@dataclass
class Form:
    make: Callable  # Plain -> the model in this form
    plain: Callable = lambda net: net  # Plain -> the model that it has to equal
    errors: dict = field(default_factory=dict)  # call -> words of the error; all other calls have to be equal
    tol: float = 0.0  # largest difference; 0: exactly equal
    says: str = ''  # words of a warning
    clips: Callable = clips  # () -> (B,C,T,H,W)
    plain_clips: Callable = None  # of the plain form; None: the same
    target: object = 2
    layer: str = 'conv2'
    plain_layer: str = 'conv2'
    around: Callable = None  # a context in which the calls are made


FORMS = {}


def form(name, **kwargs):
    "Keep what makes a form under its name"

    def keep(make):
        FORMS[name] = Form(make, **kwargs)
        return make

    return keep


def errors(words, calls=ENTRIES):
    return dict.fromkeys(calls, words)


class Around(nn.Module):
    "The network with something before it and behind it"

    cam_layer = 'net.conv2'

    def __init__(self, net, before=None, behind=None):
        super().__init__()
        self.net, self.before, self.behind = net, before or (lambda x: x), behind or (lambda y: y)

    def forward(self, x):
        return self.behind(self.net(self.before(x)))


around = dict(layer='net.conv2', plain_layer='net.conv2')

# --- what is done to the clip first


def subtract(x):
    x -= 0.45
    return x


def subtract_hidden(x):
    x.data.sub_(0.45)
    return x


lighter = lambda net: Around(net, lambda x: x - 0.45)
for name, f in {'in place': subtract, 'in place behind the version counter': subtract_hidden}.items():
    FORMS[name] = Form(lambda net, f=f: Around(net, f), lighter, **around)


@form('a view of the clip', layer='net.conv2')
def view(net):
    return Around(net, lambda x: x.view(len(x), 3, -1).view(len(x), 3, T, SIZE, SIZE))


cut_off = r'Around: by their gradient the scores do not depend on the clip.*detach.*search_windows'


@form(
    'bytes inside',
    errors=errors(cut_off, GRADIENT),
    clips=lambda: (clips() * 3 + 20).round().clamp(0, 255),
    plain=lambda net: Around(net, lambda x: x / 10),
    **around,
)
def bytes_inside(net):
    return Around(net, lambda x: x.byte().float() / 10)


@form('numpy inside', errors=errors(cut_off, GRADIENT), layer='net.conv2')
def numpy_inside(net):
    return Around(net, lambda x: torch.from_numpy(x.detach().numpy()))


@form('autocast inside', tol=0.02, layer='net.conv2')
def autocast_inside(net):
    net.forward = torch.autocast('cpu', torch.bfloat16)(net.forward)
    return Around(net)


# --- where gradients end


@form('frozen weights')
def frozen(net):
    return net.requires_grad_(False)


class NoGradBackbone(Plain):
    def features(self, x):
        with torch.no_grad():
            x = self.conv1(x)
        return F.relu(self.conv2(F.relu(x)))


def as_class(cls):
    "The same network as an object of another class"

    def make(net):
        new = cls()
        new.load_state_dict(net.state_dict())
        return new

    return make


no_way = r'by their gradient the scores do not depend on the clip.*torch\.no_grad.*search_windows'
FORMS['first layers under no_grad'] = Form(as_class(NoGradBackbone), errors=errors(no_way, GRADIENT))


class Detached(Plain):
    def forward(self, x):
        return self.head(self.features(x).mean((2, 3, 4)).detach())


layer_cut = r'(?s)scores of .* do not (depend on|change with) the layer conv2.*'
FORMS['detached'] = Form(as_class(Detached), errors=errors(no_way, GRADIENT) | {'gradcam': layer_cut})


class NoGrad(Plain):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


FORMS['all under no_grad'] = Form(as_class(NoGrad), errors=errors(no_way, GRADIENT) | {'gradcam': layer_cut})


class Rounded(Plain):
    def forward(self, x):
        return super().forward(x).round()


FORMS['rounded scores'] = Form(
    as_class(Rounded),
    as_class(Rounded),
    errors=errors(r'gradient of the scores is exactly zero.*rounding.*search_windows', GRADIENT)
    | {'gradcam': layer_cut},
)


class Labels(Plain):
    def forward(self, x):
        return super().forward(x).argmax(1)


FORMS['labels as output'] = Form(as_class(Labels), errors=errors(r'whole numbers.*before argmax'))


class Constant(Plain):
    def forward(self, x):
        return super().forward(x) * 0 + self.head.bias


FORMS['scores that never change'] = Form(
    as_class(Constant), errors=errors('the same for .* very different clips.*weights', MASKS) | {'gradcam': layer_cut}
)


class Checkpointed(Plain):
    def features(self, x):
        return F.relu(self.conv2(checkpoint(lambda x: F.relu(self.conv1(x)), x, use_reentrant=False)))


FORMS['activations computed again'] = Form(as_class(Checkpointed))

# --- what comes out

already = 'outputs are probabilities already.*scores='


def others(z):
    "Log-odds of a softmax"
    return torch.stack([z[:, c] - torch.cat([z[:, :c], z[:, c + 1 :]], 1).logsumexp(1) for c in range(z.shape[1])], 1)


class LogOdds(Around):
    "A network whose softmax has the probabilities `p`, and whose logits have the gradient of log-odds"

    def __init__(self, net):
        super().__init__(net, behind=others)
        self.scores = torch.sigmoid


@form('a softmax at the end', plain=LogOdds, says=already, tol=1e-4, **around)
def softmaxed(net):
    return Around(net, behind=lambda y: y.softmax(1))


@form("a softmax, and scores='probs'", plain=LogOdds, tol=1e-4, **around)
def softmax_stated(net):
    model = Around(net, behind=lambda y: y.softmax(1))
    model.scores = 'probs'
    return model


@form('a log-softmax at the end', plain=LogOdds, tol=1e-4, **around)
def log_softmaxed(net):
    return Around(net, behind=lambda y: y.log_softmax(1))


def labels_of(net):
    net.scores = torch.sigmoid
    return net


@form("several labels, scores='sigmoid'", plain=labels_of, tol=1e-5)
def several_labels(net):
    net.scores = 'sigmoid'
    return net


@form("a sigmoid at the end, scores='sigmoid'", plain=labels_of, tol=1e-4, layer='net.conv2')
def sigmoid_stated(net):
    model = Around(net, behind=torch.sigmoid)
    model.scores = 'sigmoid'
    return model


@form('a sigmoid at the end', plain=labels_of, says='probability of a label by itself', tol=1e-4, layer='net.conv2')
def sigmoid_noticed(net):
    return Around(net, behind=torch.sigmoid)


@form('a function says how', plain=labels_of, layer='net.conv2', tol=1e-6)
def function_stated(net):
    model = Around(net, behind=lambda y: -y)
    model.scores = lambda y: torch.sigmoid(-y)
    return model


first = lambda y: y[:, 2:3]


def yes_and_no(net):
    "One logit as two classes: no and yes"
    return Around(net, behind=lambda y: torch.cat([0 * first(y), first(y)], 1))


@form('one logit', plain=yes_and_no, target=1, says='read as a logit.*scores=', tol=1e-5, **around)
def one_logit(net):
    return Around(net, behind=first)


@form("one logit, scores='sigmoid'", plain=yes_and_no, target=1, tol=1e-5, **around)
def one_logit_stated(net):
    model = Around(net, behind=first)
    model.scores = 'sigmoid'
    return model


@form('one probability', plain=yes_and_no, target=1, says='probability of class 1', tol=1e-4, **around)
def one_probability(net):
    return Around(net, behind=lambda y: first(y).sigmoid())


@form('one number without an axis', plain=yes_and_no, target=1, says='read as a logit', tol=1e-5, **around)
def squeezed(net):
    return Around(net, behind=lambda y: first(y).squeeze())


@form(
    'probabilities that are none',
    errors=errors(r"scores='probs'.* in \[0,1\].*scores='logits' is for other numbers"),
)
def contradicted(net):
    net.scores = 'probs'
    return net


Output = namedtuple('Output', 'logits loss')
for name, behind in {
    'a tuple': lambda y: (y, None),
    'a list': lambda y: [y, y * 2],
    'a dict': lambda y: dict(loss=0, logits=y),
    'a named tuple': lambda y: Output(y, 0),
}.items():
    FORMS[name] = Form(
        lambda net, behind=behind: wrap(Around(net, behind=behind), layer='net.conv2'), layer='net.conv2'
    )

FORMS['a dict without wrap'] = Form(
    lambda net: Around(net, behind=lambda y: dict(logits=y)),
    errors=errors('returns dict, not a tensor of scores.*wrap'),
    layer='net.conv2',
)
FORMS['scores of frames without wrap'] = Form(
    lambda net: Around(net, behind=lambda y: y[:, None].expand(-1, T, -1)),
    errors=errors(r'scores have to be \(B,K\).*wrap|scores have to be \(2,K\).*wrap'),
    layer='net.conv2',
)


def improbable(net):
    with torch.no_grad():
        net.head.bias[3] = -1e4
    return net


@form('an impossible class', plain=improbable, layer='net.conv2')
def impossible(net):
    return Around(net, behind=lambda y: y.masked_fill(torch.arange(K) == 3, -torch.inf))


FORMS['an impossible class explained'] = Form(
    impossible, errors=errors('class 3.*impossible.*another target'), layer='net.conv2', target=3
)


@form('NaN', errors=errors('scores.*not finite|finite.*scores'))
def nan(net):
    with torch.no_grad():
        net.head.weight[0, 0] = torch.nan
    return net


# --- how axes lie


class Frames(nn.Module):
    "A network of images, frame by frame, and a GRU over time"

    cam_layer = 'cnn'

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.cnn = nn.Conv2d(3, 5, 3, padding=1)
        self.gru = nn.GRU(5, 8, batch_first=True)
        self.head = nn.Linear(8, K)
        with torch.no_grad():
            self.head.weight.mul_(8)

    def scores_of(self, y):
        "(B,T,F) to (B,K)"
        return self.head(self.gru(y)[0][:, -1])


class Folded(Frames):
    def forward(self, x):
        B, C, n, H, W = x.shape
        y = self.cnn(x.transpose(1, 2).reshape(B * n, C, H, W)).relu()
        return self.scores_of(y.mean((2, 3)).view(B, n, -1))


class Looped(Frames):
    def forward(self, x):
        return self.scores_of(torch.stack([self.cnn(x[:, :, t]).relu().mean((2, 3)) for t in range(x.shape[2])], 1))


class Tubes(Frames):
    "The same with the images' convolution as one over time and place"

    cam_layer = 'cnn3'

    def __init__(self):
        super().__init__()
        self.cnn3 = nn.Conv3d(3, 5, (1, 3, 3), padding=(0, 1, 1))
        with torch.no_grad():
            self.cnn3.weight.copy_(self.cnn.weight[:, :, None])
            self.cnn3.bias.copy_(self.cnn.bias)

    def forward(self, x):
        return self.scores_of(self.cnn3(x).relu().mean((3, 4)).transpose(1, 2))


for name, cls in {'B·T folded, then a GRU': Folded, 'a loop over frames, then a GRU': Looped}.items():
    FORMS[name] = Form(lambda net, cls=cls: cls(), lambda net: Tubes(), tol=1e-4, layer='cnn', plain_layer='cnn3')


class Images(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.head = nn.Linear(5, K)
        with torch.no_grad():
            self.head.weight.mul_(30)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((-2, -1)))


class ImagesPlain(nn.Module):
    cam_layer = 'conv'

    def __init__(self):
        super().__init__()
        images = Images()
        self.conv, self.head = nn.Conv3d(3, 5, (1, 3, 3), padding=(0, 1, 1)), images.head
        with torch.no_grad():
            self.conv.weight.copy_(images.conv.weight[:, :, None])
            self.conv.bias.copy_(images.conv.bias)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((3, 4)).transpose(1, 2)).mean(1)


FORMS['images by themselves'] = Form(
    lambda net: wrap(Images(), axes='(BT)CHW', layer='conv'),
    lambda net: ImagesPlain(),
    tol=1e-4,
    layer='conv',
    plain_layer='conv',
)


@form('time before channels', layer='net.conv2', tol=1e-6)
def frames_first(net):
    return wrap(Around(net, lambda x: x.transpose(1, 2)), axes='BTCHW', layer='net.conv2')


class ChannelsLast(Plain):
    def __init__(self):
        super().__init__()
        self.last = nn.Identity()

    def forward(self, x):
        y = self.last(self.conv2(F.relu(self.conv1(x))).movedim(1, -1))
        return self.head(F.relu(y).mean((1, 2, 3)))


def load(model, net):
    model.load_state_dict(net.state_dict())
    return model


@form('channels last inside', layer='last', tol=1e-6)
def channels_last(net):
    return wrap(load(ChannelsLast(), net), layer='last', maps='b t h w f')


@form('weights with channels last in memory', tol=1e-5)
def channels_last_memory(net):
    return net.to(memory_format=torch.channels_last_3d)


class Tokens(Plain):
    "The last layer as a row of tokens, with or without a class token before them"

    def __init__(self, class_token=False):
        super().__init__()
        self.tokens, self.class_token = nn.Identity(), class_token

    def forward(self, x):
        y = self.conv2(F.relu(self.conv1(x))).flatten(2).transpose(1, 2)  # (B,N,F)
        if self.class_token:
            y = torch.cat([torch.full_like(y[:, :1], 0.3), y], 1)
        y = self.tokens(y)
        return self.head(F.relu(y[:, int(self.class_token) :]).mean(1))


for skip in (0, 1):
    FORMS[f"tokens {'with a' if skip else 'without'} class token"] = Form(
        lambda net, skip=skip: wrap(
            load(Tokens(bool(skip)), net), layer='tokens', maps='b (t h w) f', grid=(T, SIZE // 2, SIZE // 2), skip=skip
        ),
        layer='tokens',
        tol=1e-6,
    )

# --- what it is made of


class Lazy(Plain):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.LazyConv3d(4, 3, padding=1)
        self.norm = nn.LazyBatchNorm3d()
        self.head = nn.LazyLinear(K)

    def features(self, x):
        return super().features(self.norm(x))


def lazy(net):
    "Convolution and linear layer take their shapes from what is loaded, the norm from the first clip"
    model = Lazy()
    for name in 'conv1', 'conv2', 'head':
        getattr(model, name).load_state_dict(getattr(net, name).state_dict())
    return model


def no_longer_lazy(net):
    model = lazy(net).eval()
    model(clips()[:1])
    return model


FORMS['lazy layers'] = Form(lazy, no_longer_lazy)

script_hides = r'conv2 of .* is scripted or traced.*as it was before'


@form('scripted', errors={'gradcam': script_hides, 'explain': script_hides}, tol=1e-5)
def scripted(net):
    return torch.jit.script(Scriptable(net))


class Scriptable(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.conv1, self.conv2, self.head = net.conv1, net.conv2, net.head

    def forward(self, x):
        y = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        return self.head(y.mean([2, 3, 4]))


@form('traced', errors={'gradcam': script_hides, 'explain': script_hides}, tol=1e-5)
def traced(net):
    return torch.jit.trace(Scriptable(net), clips())


for name, dtype, tol in (
    ('half', torch.float16, 0.02),
    ('bfloat16', torch.bfloat16, 0.15),
    ('float64', torch.float64, 1e-4),
):
    FORMS[name] = Form(lambda net, dtype=dtype: net.to(dtype), tol=tol)
FORMS['clips in float64'] = Form(lambda net: net, clips=lambda: clips().double(), plain_clips=clips, tol=1e-5)
FORMS['clips in half precision'] = Form(
    lambda net: net, clips=lambda: clips().half(), plain_clips=lambda: clips().half().float(), tol=5e-3
)


@form(
    'quantised weights',
    errors=errors('gradient.*quantised.*search_windows', GRADIENT) | {'gradcam': layer_cut},
    tol=0.05,
)
def quantised(net):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)


class FakeQuantised(Plain):
    def forward(self, x):
        y = self.features(x).mean((2, 3, 4))
        return self.head(torch.fake_quantize_per_tensor_affine(y, 1 / 1024, 0, -(2**15), 2**15 - 1))


FORMS['quantised while it trains'] = Form(as_class(FakeQuantised), tol=0.02)


class Buffers(nn.Module):
    "No weights to train: all is in buffers"

    def __init__(self, net):
        super().__init__()
        self.conv2 = nn.Identity()
        for n, p in net.named_parameters():
            self.register_buffer(n.replace('.', '_'), p.detach().clone())

    cam_layer = 'conv2'

    def forward(self, x):
        y = F.relu(F.conv3d(x, self.conv1_weight, self.conv1_bias, padding=1))
        y = self.conv2(F.conv3d(y, self.conv2_weight, self.conv2_bias, stride=(1, 2, 2), padding=1))
        return F.linear(F.relu(y).mean((2, 3, 4)), self.head_weight, self.head_bias)


FORMS['no weights, only buffers'] = Form(Buffers)


class TrainedNorm(Plain):
    def __init__(self):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm3d(6), nn.Dropout(0.5)

    def forward(self, x):
        return self.head(self.drop(self.norm(self.features(x))).mean((2, 3, 4)))


FORMS['in training mode'] = Form(lambda net: TrainedNorm().train(), lambda net: TrainedNorm().eval())


@form('hooks present')
def hooked(net):
    net.seen = []
    net.conv2.register_forward_hook(lambda m, args, out: net.seen.append(1) or out * 1)
    net.conv1.register_forward_pre_hook(lambda m, args: None)
    net.conv1.register_full_backward_hook(lambda m, g_in, g_out: None)
    return net


@form('weights by a parametrisation', tol=1e-4)
def parametrised(net):
    nn.utils.parametrizations.weight_norm(net.conv2)
    return net


@form('DataParallel', layer='module.conv2')
def data_parallel(net):
    model = nn.DataParallel(net)
    model.cam_layer = 'module.conv2'
    return model


class TwoAtOnce(Plain):
    "Made for batches of one size"

    def forward(self, x):
        return super().forward(x.reshape(2, 3, T, SIZE, SIZE))


FORMS['batches of two alone'] = Form(
    as_class(TwoAtOnce), errors=errors(r'TwoAtOnce stops at clips \(1, 3, 6, 16, 16\).*shape', MASKS)
)

# --- functions


@form('a function', layer='inside.0.conv2')
def function(net):
    def score(x):
        return net(x)

    score.cam_layer = 'inside.0.conv2'
    return score


@form('a function with arguments', layer='inside.0.conv2')
def partial_function(net):
    def score(net, x):
        return net(x)

    model = functools.partial(score, net)
    model.cam_layer = 'inside.0.conv2'
    return model


class Callable_:
    cam_layer = 'inside.0.conv2'

    def __init__(self, net):
        self.net = net.train()

    def __call__(self, x):
        return self.net(x)


@form('an object that is called', layer='inside.0.conv2', plain=lambda net: TrainedNorm().eval())
def called(net):
    return Callable_(TrainedNorm())


@form(
    'no model at all',
    errors=errors(
        'a model is a module or a function', ('learn_masks', 'search_windows', 'gradcam', 'explain', 'Painter')
    ),
)
def nothing(net):
    return 'r3d_18'


# --- sizes, and where it is called

made_for = 'made for clips of 8 frames of 16×16, these have 6 frames of 16×16.*read_frames'


@form('made for another number of frames', errors=errors(made_for))
def other_length(net):
    net.clip_shape = (8, 16, 16)
    return net


@form('made for another size', errors=errors('made for clips of 6 frames of 32×32.*these have 6 frames of 16×16'))
def other_size(net):
    net.clip_shape = (6, 32, 32)
    return net


@form('made for this size')
def this_size(net):
    net.clip_shape = (T, SIZE, SIZE)
    return net


class Flat(Plain):
    "Takes clips of one size alone"

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6 * 8 * 8 * 8, K)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


FORMS['one size alone, another given'] = Form(
    lambda net: Flat(),
    errors=errors(r'Flat stops at clips \(1, 3, 6, 16, 16\).*shape', MASKS)
    | {'gradcam': r'Flat stops at clips \(2, 3, 6, 16, 16\).*shape'},
)
FORMS['clips of one frame'] = Form(
    lambda net: net, errors=errors('one frame has nothing that could be masked', MASKS), clips=lambda: clips()[:, :, :1]
)


def inference_clips():
    with torch.inference_mode():
        return clips()


FORMS['clips of inference mode'] = Form(lambda net: net, clips=inference_clips, plain_clips=clips)
FORMS['where gradients are off'] = Form(lambda net: net, around=torch.no_grad)
FORMS['in inference mode'] = Form(lambda net: net, around=torch.inference_mode)
FORMS['clips with channels last'] = Form(
    lambda net: net, clips=lambda: clips().contiguous(memory_format=torch.channels_last_3d), plain_clips=clips, tol=1e-5
)
FORMS['clips with gaps in memory'] = Form(
    lambda net: net, clips=lambda: clips().repeat_interleave(2, 2)[:, :, ::2], plain_clips=clips
)

# --- containers, lists, further arguments, other libraries: in two lines at most


@form('DataParallel, wrapped')
def data_parallel_wrapped(net):
    return wrap(nn.DataParallel(net))


@form('torch.compile, wrapped', tol=1e-6)
def compiled(net):
    return wrap(torch.compile(net, backend='eager'))


class LightningModule(nn.Module):
    "Stands for Lightning's class of this name"


class Trained(LightningModule):
    def __init__(self, net):
        super().__init__()
        self.net, self.loss = net, nn.CrossEntropyLoss()

    def forward(self, x):
        return self.net(x)


@form('Lightning, wrapped')
def lightning(net):
    return wrap(Trained(net))


class TwoWays(Around):
    "The network, and a second pathway that sees the first and the last frame"

    def joined(self, slow, fast):
        return self.net(fast) + torch.tanh(slow).mean((3, 4)).flatten(1) @ torch.linspace(-3, 3, 6 * K).view(6, K)

    def forward(self, clips):
        return self.joined(*clips)


class TwoWaysInOne(TwoWays):
    def forward(self, x):
        return self.joined(x[:, :, [0, T - 1]], x)


@form('two pathways', plain=TwoWaysInOne, **around)
def two_pathways(net):
    return wrap(TwoWays(net), pathways=(3, 1), layer='net.conv2')


class Scaled(Around):
    def forward(self, x, scale, shift=1.0):
        return self.net(x) * scale + shift


@form('further arguments', layer='net.conv2', tol=1e-5)
def further_arguments(net):
    return wrap(Scaled(net), inputs=dict(scale=torch.ones(1), shift=0.0), layer='net.conv2')


class Segments(Frames):
    "Frames in the channels (B,T·C,H,W), as TSN takes them"

    def forward(self, x):
        y = self.cnn(x.view(-1, 3, *x.shape[2:])).relu()
        return self.scores_of(y.mean((2, 3)).view(len(x), -1, 5))


FORMS['segments in the channels'] = Form(
    lambda net: wrap(Segments(), axes='B(TC)HW', layer='cnn'),
    lambda net: Tubes(),
    tol=1e-4,
    layer='cnn',
    plain_layer='cnn3',
)

no_layer = r'no layer|runs not at all'


@form('Keras 3', errors={'gradcam': no_layer, 'explain': no_layer}, tol=1e-4)
def keras_model(net):
    import os

    os.environ.setdefault('KERAS_BACKEND', 'torch')
    import keras
    from keras import layers

    padded = lambda f, s: [layers.ZeroPadding3D(1), layers.Conv3D(f, 3, s, activation='relu')]
    model = keras.Sequential(
        [
            keras.Input((T, SIZE, SIZE, 3)),
            *padded(4, 1),
            *padded(6, (1, 2, 2)),
            layers.GlobalAveragePooling3D(),
            layers.Dense(K),
        ]
    )
    weights = lambda w: w.detach().permute(*range(2, w.ndim), 1, 0).numpy()
    parts = net.conv1, net.conv2, net.head
    model.set_weights([w for m in parts for w in (weights(m.weight), m.bias.detach().numpy())])
    return wrap(model)


def without_gradient(net):
    "What any other program gives, through NumPy"

    def scores(x):
        with torch.no_grad():
            return torch.from_numpy(net(torch.from_numpy(x.detach().numpy())).numpy())

    return scores


FORMS['a function without gradients'] = Form(
    without_gradient,
    errors=errors(r'by their gradient the scores do not depend on the clip.*numpy.*search_windows', GRADIENT)
    | {'gradcam': r'scores of .* do not depend on the layer'},
    layer='inside.0.conv2',
)
