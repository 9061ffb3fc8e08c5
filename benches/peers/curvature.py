"""Times exact Hessian products of stepscope, curvlinops and PyHessian, interleaved in one run: same weights, same data.

    cargo build --release --workspace --example curvature_peer
    python3 -m venv VENV && VENV/bin/pip install torch numpy curvlinops-for-pytorch pyhessian
    VENV/bin/python benches/peers/curvature.py target/release/examples/curvature_peer [mlp[:EXAMPLES[:ROUNDS]]] [cnn[:...]]

Prints Markdown. Every operation is run once a round, in turn, and its cost is a ratio to the gradient of its own framework in
the same round; the table has medians over rounds. On a shared machine only ratios mean something.
"""

import gzip
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

warnings.filterwarnings("ignore")
# On a machine shared with others a waiting thread that spins takes time from the one it waits for.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import numpy as np
import torch
from curvlinops import GGNLinearOperator, HessianLinearOperator
from pyhessian import hessian as PyHessian
from pyhessian.hessian import hessian_vector_product
from torch import nn

MICRO_BATCH, THREADS = 512, 2
EXAMPLES = {"mlp": 2048, "cnn": 2048}
KEPT = {"mlp": 2048, "cnn": 512}
ROUNDS = {"mlp": 11, "cnn": 3}
# Power iteration on the convolutional network over all examples would take an hour.
EXAMPLES_FOR_EIGENVALUE = {"mlp": 2048, "cnn": 256}
MOST_PRODUCTS, STARTS = {"mlp": 80, "cnn": 20}, {"mlp": 10, "cnn": 10}


def network(name):
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 500), nn.ReLU(), nn.Linear(500, 300), nn.ReLU(), nn.Linear(300, 10))
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 6 * 6, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def images(name):
    """The embedded Fashion images, enlarged from 14x14 to what the network takes."""
    folder = pathlib.Path(__file__).parents[2] / "data" / "fashion14"

    def read(kind, header):
        parts = [gzip.open(folder / f"{split}-{kind}.gz").read()[header:] for split in ("train", "t10k")]
        return np.frombuffer(b"".join(parts), dtype=np.uint8)

    pixels = read("images-idx3-ubyte", 16).reshape(-1, 1, 14, 14)[: EXAMPLES[name]].astype(np.float32)
    pixels = (pixels - pixels.mean()) / pixels.std()
    pixels = pixels.repeat(2, axis=2).repeat(2, axis=3)
    if name == "cnn":
        pixels = np.pad(pixels, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge").repeat(3, axis=1)
    return np.ascontiguousarray(pixels), read("labels-idx1-ubyte", 8)[: EXAMPLES[name]].copy()


def flatten(tensors):
    """As stepscope orders a network: a linear layer's weights are [inputs, outputs] there."""
    parts = [(t.T if t.dim() == 2 else t).detach().reshape(-1) for t in tensors]
    return torch.cat(parts).double().numpy()


def unflatten(vector, like):
    tensors, at = [], 0
    for t in like:
        part = torch.from_numpy(vector[at : at + t.numel()].copy())
        tensors.append(part.reshape(t.shape[::-1]).T.contiguous() if t.dim() == 2 else part.reshape(t.shape))
        at += t.numel()
    return tensors


class Stepscope:
    def __init__(self, path, name, folder):
        self.folder = pathlib.Path(folder)
        # The program keeps free memory for ten minutes, too.
        environment = {**os.environ, "MIMALLOC_PURGE_DELAY": "600000"}
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = subprocess.Popen([path, name, folder], env=environment, **pipes)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return [float(number) for number in self.process.stdout.readline().split()]

    def file(self, name):
        return np.fromfile(self.folder / f"{name}.f32", dtype="<f4")


def total_examples(batches):
    return sum(len(x) for x, _ in batches)


def gradient(model, params, batches):
    total = [torch.zeros_like(p) for p in params]
    for x, y in batches:
        loss = nn.functional.cross_entropy(model(x), y)
        total = [t + g * (len(x) / total_examples(batches)) for t, g in zip(total, torch.autograd.grad(loss, params))]
    return total


def timed(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def distance(ours, reference):
    return np.linalg.norm(ours - reference) / np.linalg.norm(reference)


def train(model, x, y, steps):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for step in range(steps):
        first = step * 128 % len(x)
        part = slice(first, first + 128)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[part]), y[part]).backward()
        optimizer.step()


def costs(name, peer, model, x, y, vector):
    params = list(model.parameters())
    batches = list(zip(x.split(MICRO_BATCH), y.split(MICRO_BATCH)))
    criterion = nn.CrossEntropyLoss()
    flat = torch.cat([t.reshape(-1) for t in vector])
    settings = dict(check_deterministic=False, num_data=EXAMPLES[name])
    exact = HessianLinearOperator(model, criterion, params, batches, **settings)
    gauss_newton = GGNLinearOperator(model, criterion, params, batches, **settings)
    loader = PyHessian(model, criterion, dataloader=batches, cuda=False)
    operations = {
        "stepscope gradient": lambda: peer.ask("gradient")[0],
        "stepscope exact Hessian product": lambda: peer.ask("hessian")[0],
        "stepscope exact Hessian product, later at a shared point": lambda: peer.ask("shared-hessian")[0],
        "stepscope Gauss-Newton product": lambda: peer.ask("gauss-newton")[0],
        "PyTorch gradient": lambda: timed(lambda: gradient(model, params, batches)),
        "curvlinops exact Hessian product": lambda: timed(lambda: exact @ flat),
        "curvlinops Gauss-Newton product": lambda: timed(lambda: gauss_newton @ flat),
        "PyHessian exact Hessian product": lambda: timed(lambda: loader.dataloader_hv_product(vector)[1]),
    }
    # One batch, whose gradient's graph it keeps; of the convolutional network's examples it has as many as memory holds.
    if len(x) <= KEPT[name]:
        one = PyHessian(model, criterion, data=(x, y), cuda=False)
        kept = lambda: hessian_vector_product(one.gradsH, one.params, vector)
        operations["PyHessian exact Hessian product, graph of the gradient kept"] = lambda: timed(kept)
    times, results = {key: [] for key in operations}, {}
    for round_number in range(ROUNDS[name] + 1):
        for key, run in operations.items():
            answer = run()
            seconds, results[key] = answer if isinstance(answer, tuple) else (answer, None)
            # The first round warms caches and allocators up.
            if round_number > 0:
                times[key].append(seconds)
    print(f"\n### {name}: {sum(p.numel() for p in params)} parameters, {len(x)} examples, {ROUNDS[name]} rounds\n")
    print("| operation | ms | ratio to its own gradient (quartiles) |\n|---|---|---|")
    for key, own in times.items():
        base = times["stepscope gradient" if key.startswith("stepscope") else "PyTorch gradient"]
        ratios = sorted(a / b for a, b in zip(own, base))
        low, high = ratios[(len(ratios) - 1) // 4], ratios[(len(ratios) - 1) * 3 // 4]
        print(f"| {key} | {1e3 * statistics.median(own):.0f} | {statistics.median(ratios):.2f} ({low:.2f} - {high:.2f}) |")
    agreement(peer, model, params, batches, results, vector)


def agreement(peer, model, params, batches, results, vector):
    """Relative distances to a product in double precision by PyTorch's double backward."""
    double = [p.detach().double().requires_grad_() for p in params]
    names = [key for key, _ in model.named_parameters()]
    total = 0.0
    for x, y in batches:
        logits = torch.func.functional_call(model, dict(zip(names, double)), (x.double(),))
        grads = torch.autograd.grad(nn.functional.cross_entropy(logits, y), double, create_graph=True)
        product = torch.autograd.grad(grads, double, [v.double() for v in vector])
        total = total + flatten(product) * (len(x) / total_examples(batches))
    split, at = [], 0
    for p in params:
        split.append(results["curvlinops exact Hessian product"][at : at + p.numel()].reshape(p.shape))
        at += p.numel()
    print("\nRelative distance of the f32 product to a double-precision one:", end=" ")
    print(f"stepscope {distance(peer.file('hessian'), total):.1e},", end=" ")
    print(f"curvlinops {distance(flatten(split), total):.1e},", end=" ")
    print(f"PyHessian {distance(flatten(results['PyHessian exact Hessian product']), total):.1e}.", flush=True)


def power_iteration(model, x, y, seed, most):
    """Values of PyHessian's power iteration after 1, 2, ... products, and where its own rule stops it."""
    solver = PyHessian(model, nn.CrossEntropyLoss(), data=(x, y), cuda=False)
    # The package's attribute of this name is the class.
    module = sys.modules[PyHessian.__module__]
    product, seen = module.hessian_vector_product, []

    def recorded(grads, params, v):
        image = product(grads, params, v)
        seen.append(sum(torch.sum(a * b).item() for a, b in zip(image, v)))
        return image

    module.hessian_vector_product = recorded
    torch.manual_seed(seed)
    solver.eigenvalues(maxIter=most, tol=0.0)
    module.hessian_vector_product = product
    # Two consecutive values within 1e-3 of each other stop it, and it returns the earlier.
    steps = (k for k in range(1, len(seen)) if abs(seen[k - 1] - seen[k]) / (abs(seen[k - 1]) + 1e-6) < 1e-3)
    stop = next(steps, len(seen) - 1) + 1
    return seen, stop, seen[stop - 2]


def eigenvalue(name, peer, model, x, y):
    """Products to the top eigenvalue from cold starts: ours, and PyHessian's power iteration."""
    count = EXAMPLES_FOR_EIGENVALUE[name]
    x, y = x[:count], y[:count]
    (peer.folder / "images.f32").write_bytes(x.numpy().tobytes())
    (peer.folder / "labels.u8").write_bytes(y.numpy().astype(np.uint8).tobytes())
    peer.ask("load")

    def settled(values):
        """Products after which the value stays within 1e-3."""
        outside = [k for k, v in enumerate(values) if abs(v / truth - 1) > 1e-3]
        return outside[-1] + 2 if outside else 1

    def at_stop(num_products, value):
        return f"{num_products:g} ({abs(value / truth - 1):.0e})"

    print(f"\nTop eigenvalue over {count} examples from cold starts; in brackets the relative error.\n")
    print("The scouted start is the sharpness probe's: products over an eighth of the examples first; both are counted in products over all.\n")
    print("| start | scouted: over all + over the eighth, together | Lanczos to a residual of 1e-2 | of 1e-4 | PyHessian within 1e-3 | at its own stop | scouted over PyHessian |")
    print("|---|---|---|---|---|---|---|")
    most, ratios = MOST_PRODUCTS[name], []
    for seed in range(1, STARTS[name] + 1):
        loose, loose_value, tight, tight_value, *ours = peer.ask(f"lanczos {seed}")
        truth = ours[-1]
        over_all, over_some, share, found = peer.ask(f"scouted {seed}")
        theirs, stop, value = power_iteration(model, x, y, seed, most)
        together, limit = over_all + share * over_some, settled(theirs)
        print(f"| {seed} | {over_all:.0f} + {over_some:.0f}, {at_stop(round(together, 1), found)}", end=" ")
        print(f"| {at_stop(loose, loose_value)} | {at_stop(tight, tight_value)}", end=" ")
        ratios.append(together / limit)
        print(f"| {limit if limit <= most else f'more than {most}'} | {at_stop(stop, value)} | {ratios[-1]:.2f} |", flush=True)
    print(f"\nMedian of the last column: {statistics.median(ratios):.2f}.", flush=True)


def main():
    torch.set_num_threads(THREADS)
    for argument in sys.argv[2:] or ["mlp", "cnn"]:
        name, *sizes = argument.split(":")
        for table, size in zip((EXAMPLES, ROUNDS), sizes):
            table[name] = int(size)
        with tempfile.TemporaryDirectory() as folder:
            peer = Stepscope(sys.argv[1], name, folder)
            peer.ask("init")
            pixels, labels = images(name)
            x, y = torch.from_numpy(pixels), torch.from_numpy(labels).long()
            model = network(name)
            with torch.no_grad():
                for p, w in zip(model.parameters(), unflatten(peer.file("weights"), list(model.parameters()))):
                    p.copy_(w)
            train(model, x, y, 32)
            flatten(model.parameters()).astype("<f4").tofile(peer.folder / "weights.f32")
            (peer.folder / "images.f32").write_bytes(pixels.tobytes())
            (peer.folder / "labels.u8").write_bytes(labels.tobytes())
            torch.manual_seed(0)
            vector = [torch.randn_like(p) for p in model.parameters()]
            flatten(vector).astype("<f4").tofile(peer.folder / "direction.f32")
            peer.ask("load")
            costs(name, peer, model, x, y, vector)
            eigenvalue(name, peer, model, x, y)
            peer.process.stdin.close()
            peer.process.wait()


if __name__ == "__main__":
    main()
