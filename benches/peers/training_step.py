"""Times a training step, and an exact Hessian product, of stepscope and PyTorch: same weights, same batches, in turn.

    cargo build --release --workspace --example training_step_peer
    python3 -m venv VENV && VENV/bin/pip install torch numpy
    VENV/bin/python benches/peers/training_step.py target/release/examples/training_step_peer FASHION CIFAR [NETWORK[:ROUNDS] ...]

FASHION and CIFAR are what `data.name` takes: names of fetched data sets, or folders. Networks: mlp, simple-cnn, resnet-20.
Prints Markdown. A step is all of it: the batch gathered from the data set, loss read back, gradient, SGD with momentum; ours runs
in the program's own training loop. Every round takes a few steps on each side in turn, with batch 128 and two threads; PyTorch in
both memory layouts. Ratios are to the faster layout of the same round.
"""

import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

THREADS, BATCH, LEARNING_RATE, MOMENTUM, EXAMPLES = 2, 128, 0.02, 0.9, 4096
# Steps of a round, and rounds: about ten seconds a side each.
STEPS = {"mlp": 20, "simple-cnn": 2, "resnet-20": 2}
ROUNDS = {"mlp": 41, "simple-cnn": 21, "resnet-20": 11}
PRODUCT_ROUNDS = {"mlp": 41, "simple-cnn": 7, "resnet-20": 5}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


class Block(nn.Module):
    """A block of ResNet-20 with the parameter-free shortcut of He et al. 2015."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.stride, self.more = stride, after - before

    def forward(self, x):
        y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        if self.stride > 1:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        return torch.relu(y + x)


def network(name):
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 500), nn.ReLU(), nn.Linear(500, 300), nn.ReLU(), nn.Linear(300, 10))
    if name == "simple-cnn":
        return nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(64 * 6 * 6, 128), nn.ReLU(), nn.Linear(128, 10),
        )  # fmt: skip
    sizes = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
    blocks = [Block(*size) for size in sizes]
    stem = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def specification(name, data):
    hidden = "\nhidden = [500, 300]" if name == "mlp" else ""
    steps = (ROUNDS[name] + 1) * STEPS[name]
    return f"""
        [data]
        name = "{data}"
        train_examples = {EXAMPLES}
        [model]
        kind = "{name}"{hidden}
        [optimizer]
        learning_rate = {LEARNING_RATE}
        momentum = {MOMENTUM}
        [train]
        duration = "{steps}st"
        batch_size = {BATCH}
        [measure]
        enabled = false
        [average]
        enabled = false
    """


class Stepscope:
    def __init__(self, path, spec, folder):
        self.folder = pathlib.Path(folder)
        (self.folder / "spec.toml").write_text(spec)
        command = [path, self.folder / "spec.toml", folder]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        return [float(number) for number in self.process.stdout.readline().split()]

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer()

    def file(self, name, dtype="<f4"):
        return np.fromfile(self.folder / name, dtype=dtype)


class Torch:
    """One side of PyTorch: the network in one layout, with its optimizer."""

    def __init__(self, name, layout, peer):
        shape = (1, 28, 28) if name == "mlp" else (3, 32, 32)
        self.images = torch.from_numpy(peer.file("images.f32").reshape(-1, *shape)).contiguous(memory_format=layout)
        self.labels = torch.from_numpy(peer.file("labels.u8", "u1")).long()
        self.batches = torch.from_numpy(peer.file("batches.u32", "<u4").astype(np.int64)).reshape(-1, BATCH)
        self.model = network(name).to(memory_format=layout)
        self.layout, self.step = layout, 0
        self.load(peer)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)

    def load(self, peer):
        parameters = list(self.model.parameters())
        with torch.no_grad():
            for p, w in zip(parameters, unflatten(peer.file("weights.f32"), parameters), strict=True):
                p.copy_(w)

    def load_buffers(self, peer):
        running = [b for b in self.model.buffers() if b.dim() == 1]
        for b, values in zip(running, unflatten(peer.file("buffers.f32"), running) if running else [], strict=True):
            b.copy_(values)

    def steps(self, count):
        start, losses = time.perf_counter(), []
        for _ in range(count):
            chosen = self.batches[self.step]
            x, y = self.images[chosen], self.labels[chosen]
            self.optimizer.zero_grad()
            loss = functional.cross_entropy(self.model(x), y)
            losses.append(loss.item())
            loss.backward()
            self.optimizer.step()
            self.step += 1
        return [time.perf_counter() - start, *losses]

    def hessian(self, direction):
        x, y = self.images[:BATCH].contiguous(memory_format=self.layout), self.labels[:BATCH]
        parameters = list(self.model.parameters())
        start = time.perf_counter()
        loss = functional.cross_entropy(self.model(x), y)
        gradient = torch.autograd.grad(loss, parameters, create_graph=True)
        product = torch.autograd.grad(gradient, parameters, direction)
        return time.perf_counter() - start, product


def flatten(tensors):
    """As stepscope orders a network: a linear layer's weights are [inputs, outputs] there."""
    return torch.cat([(t.T if t.dim() == 2 else t).detach().reshape(-1) for t in tensors]).numpy()


def unflatten(vector, like):
    tensors, at = [], 0
    for t in like:
        part = torch.from_numpy(vector[at : at + t.numel()].copy())
        tensors.append(part.reshape(t.shape[::-1]).T.contiguous() if t.dim() == 2 else part.reshape(t.shape))
        at += t.numel()
    assert at == len(vector), (at, len(vector))
    return tensors


def quartiles(values):
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 4], ordered[(len(ordered) - 1) * 3 // 4]
    return statistics.median(ordered), low, high


def report(title, times):
    """Milliseconds of each side, and ours over each of theirs in the same round."""
    print(f"\n| {title} | ms, median (quartiles) | stepscope over it (quartiles) |\n|---|---|---|")
    ours = times["stepscope"]
    rows = dict(times)
    if len(times) > 2:
        rows["PyTorch, the faster layout of each round"] = [min(pair) for pair in zip(*(times[k] for k in times if k != "stepscope"))]
    for side, seconds in rows.items():
        median, low, high = quartiles([1e3 * s for s in seconds])
        ratio = "" if side == "stepscope" else "{:.2f} ({:.2f} - {:.2f})".format(*quartiles([o / s for o, s in zip(ours, seconds)]))
        print(f"| {side} | {median:.2f} ({low:.2f} - {high:.2f}) | {ratio} |", flush=True)


def compare(path, name, data):
    with tempfile.TemporaryDirectory() as folder:
        peer = Stepscope(path, specification(name, data), folder)
        layouts = {"contiguous": LAYOUTS["contiguous"]} if name == "mlp" else LAYOUTS
        sides = {f"PyTorch, {key}": Torch(name, layout, peer) for key, layout in layouts.items()}
        times, apart = {"stepscope": [], **{key: [] for key in sides}}, 0.0
        for round_number in range(ROUNDS[name] + 1):
            answers = {"stepscope": peer.ask(f"steps {STEPS[name]}")}
            for key, side in sides.items():
                answers[key] = side.steps(STEPS[name])
            # The waiting threads of the other side have gone to sleep before ours begins.
            time.sleep(0.01)
            if round_number == 0:
                first = [abs(a - b) for key in sides for a, b in zip(answers["stepscope"][1:], answers[key][1:])]
                apart = max(first)
            # The first round warms caches and allocators up.
            for key, (seconds, *_) in answers.items() if round_number > 0 else ():
                times[key].append(seconds / STEPS[name])
        print(f"\n### {name}, {sum(p.numel() for p in next(iter(sides.values())).model.parameters())} parameters, {ROUNDS[name]} rounds")
        report("training step", times)
        print(f"\nLosses of the first {STEPS[name]} steps differ by at most {apart:.1e} nat.")
        products(name, peer, sides)
        peer.process.stdin.close()
        peer.process.wait()


def products(name, peer, sides):
    torch.manual_seed(0)
    direction = [torch.randn_like(p) for p in next(iter(sides.values())).model.parameters()]
    flatten(direction).astype("<f4").tofile(peer.folder / "direction.f32")
    times = {"stepscope": [], **{key: [] for key in sides}}
    for round_number in range(PRODUCT_ROUNDS[name] + 1):
        (seconds,) = peer.ask("hessian")
        if round_number == 0:
            for side in sides.values():
                side.load(peer)
                side.load_buffers(peer)
                side.model.eval()
        else:
            times["stepscope"].append(seconds)
        for key, side in sides.items():
            seconds, product = side.hessian(direction)
            if round_number > 0:
                times[key].append(seconds)
        time.sleep(0.01)
    report("exact Hessian product, 128 examples", times)
    theirs = flatten(product)
    apart = np.linalg.norm(peer.file("hessian.f32") - theirs) / np.linalg.norm(theirs)
    print(f"\nThe products differ by {apart:.1e} of their length.", flush=True)


def main():
    torch.set_num_threads(THREADS)
    path, fashion, cifar, *names = sys.argv[1:]
    for argument in names or ["mlp", "simple-cnn", "resnet-20"]:
        name, *rounds = argument.split(":")
        if rounds:
            ROUNDS[name] = int(rounds[0])
        compare(path, name, fashion if name == "mlp" else cifar)


if __name__ == "__main__":
    main()
