"What the networks of `make reproduce` can do, on clips that they have never seen. Slow: trains them if they are not there."
import numpy as np, pytest

from interpvid.data.synthetic import REVERSED, make_clips
from interpvid.learner import load_model, predict
from conftest import ROOT

pytestmark = pytest.mark.slow

@pytest.fixture(scope='module')
def fresh(): return make_clips(240, 987_654, progress=False)

@pytest.mark.parametrize('name,least', [('i3d',.95), ('clstm',.90)])
def test_right_forwards_lost_backwards(full, fresh, name, least):
    net = load_model(ROOT/'results'/'models'/f'{name}.safetensors')
    y = fresh.labels; forwards,backwards = (predict(net, fresh.frames, b).argmax(1) for b in (False,True))
    directed = REVERSED[y]!=y
    top1,drop = (forwards==y).mean(),(forwards==y)[directed].mean()-(backwards==y)[directed].mean()
    print(f'{name}: top-1 {top1:.3f}; with a direction {(forwards==y)[directed].mean():.3f}, backwards {(backwards==y)[directed].mean():.3f}')
    assert top1>=least and drop>=.6
