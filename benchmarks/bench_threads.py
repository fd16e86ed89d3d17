"""Two OpenMP threads beside another busy process: a training step with OMP_WAIT_POLICY=PASSIVE and without.

OpenMP's threads wait for each other at the end of each operation. By default they spin, which is quickest where each
has a core of its own; where another process takes a core away, one thread spins while the other is not running. PASSIVE
lets them sleep instead. The policy is read when torch is loaded, so each setting has a process of its own, which does a
step whenever it is told to. All processes share the same two cores.
"""

import atexit, os, signal, subprocess, sys
from pathlib import Path

from frame import bench

CLIPS = {'I3D': (4, 3, 16, 112, 112), 'C-LSTM': (24, 3, 16, 64, 64)}
OPENMP = 'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME', 'MKL_NUM_THREADS'


def two_cores():
    "Keep this process on the first two cores that it may use"
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


class Worker:
    "A process that trains a network, a step whenever it is told to"

    def __init__(self, passive, network='I3D', clips=None):
        env = {k: v for k, v in os.environ.items() if k not in OPENMP}
        env |= {'OMP_NUM_THREADS': '2', **({'OMP_WAIT_POLICY': 'PASSIVE'} if passive else {})}
        command = [sys.executable, __file__, network, *map(str, clips or CLIPS[network])]
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)
        self.says = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f'the worker ended with exit code {self.process.wait()}')
        return line.strip()

    def step(self):
        "One training step, from the word to its end"
        self.process.stdin.write('step\n')
        self.process.stdin.flush()
        return self.answer()


class Busy:
    "A process that computes on one core, while it is inside `with`"

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, '-c', 'while True: pass'], preexec_fn=two_cores)
        atexit.register(self.process.kill)
        self.__exit__()

    def __enter__(self):
        self.process.send_signal(signal.SIGCONT)

    def __exit__(self, *error):
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)  # until it has stopped


def beside(busy, f):
    "`f` while `busy` computes"

    def g():
        with busy:
            f()

    return g


def row(network, where, at_least):
    "The name of a row, and what it is held against"
    B, _, T, H, W = CLIPS[network]
    step = f'{network} training step, {B}×{T}×{H}×{W}, two threads on two cores, OMP_WAIT_POLICY=PASSIVE'
    return bench(f'{step}, {where}', against='the same with threads that spin', at_least=at_least, runs=9)


for network in CLIPS:

    @row(network, 'beside one other busy process', at_least=0.5)
    def _(network=network):
        busy = Busy()
        return beside(busy, Worker(True, network).step), beside(busy, Worker(False, network).step)

    @row(network, 'on an idle machine', at_least=0.5)
    def _(network=network):
        return Worker(True, network).step, Worker(False, network).step


def serve(network, clips):
    "In the worker: a training step for each line that comes in"
    two_cores()
    import torch

    from bench_models import channels_last, train_step
    from interpvid.device import fast_layout
    from interpvid.models.clstm import CLSTM
    from interpvid.models.i3d import I3D

    torch.set_num_threads(2)  # MKL would take one where two processors share a core, whatever OMP_NUM_THREADS says
    torch.manual_seed(0)
    net = I3D(174) if network == 'I3D' else CLSTM(174, clips[3:], clips[2])
    step = train_step(fast_layout(net), channels_last(torch.randn(clips)), True)
    step()
    print(f"{os.environ.get('OMP_WAIT_POLICY', 'default')}, {torch.get_num_threads()} threads", flush=True)
    for _ in sys.stdin:
        step()
        print('done', flush=True)


if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).parent))
    serve(sys.argv[1], tuple(map(int, sys.argv[2:])))
