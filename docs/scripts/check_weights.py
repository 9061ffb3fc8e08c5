"""Weights go to PyTorch and back: run from the root of the repository.

    cargo build --release
    python3 -m venv VENV && VENV/bin/pip install torch numpy safetensors
    VENV/bin/python docs/scripts/check_weights.py [path/to/stepscope]

For an MLP and a SimpleCNN, a run is trained here and its weights are loaded there; then weights are drawn there and a run
begins with them here. Both sides evaluate the loss over the same test images, and the losses have to agree to 1e-5.
"""

import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

PROGRAM = str(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/release/stepscope").resolve())
DATA = pathlib.Path("data").resolve()


class Mlp(nn.Module):
    """The twin of `model.kind = "mlp"`."""

    def __init__(self, widths):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))

    def forward(self, x):
        x = x.flatten(1)
        for depth, layer in enumerate(self.layers):
            x = layer(F.relu(x) if depth else x)
        return x


class SimpleCnn(nn.Module):
    """The twin of `model.kind = "simple-cnn"`."""

    def __init__(self, channels, side, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 32, 3)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1)
        self.conv4 = nn.Conv2d(64, 64, 3)
        left = ((side - 2) // 2 - 2) // 2
        self.dense1 = nn.Linear(64 * left * left, 128)
        self.dense2 = nn.Linear(128, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        x = F.max_pool2d(F.relu(self.conv4(F.relu(self.conv3(x)))), 2)
        return self.dense2(F.relu(self.dense1(x.flatten(1))))


def idx(path):
    raw = gzip.open(path).read()
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def test_images(name, num_train):
    train = idx(DATA / name / "train-images-idx3-ubyte.gz")[:num_train].astype(np.float64)
    images = idx(DATA / name / "t10k-images-idx3-ubyte.gz").astype(np.float64)
    labels = idx(DATA / name / "t10k-labels-idx1-ubyte.gz").astype(np.int64)
    images = (images - train.mean()) / train.std()
    return torch.tensor(images[:, None], dtype=torch.float32), torch.tensor(labels)


def run(folder, name, *more):
    """Trains 20 steps and gives the test losses of its records."""
    spec = folder / "spec.toml"
    spec.write_text("optimizer.learning_rate = 0.05\n")
    settings = ["train.duration=20st", "data.train_examples=500", "measure.examples=64", "measure.every=20st",
                f"data.name={name}", "average.enabled=false", *more]
    out = folder / "run"
    flags = [part for setting in settings for part in ("--set", setting)]
    subprocess.run([PROGRAM, "train", spec, "--out", out, "--force", *flags], check=True, capture_output=True)
    records = [json.loads(line) for line in (out / "metrics.jsonl").open()]
    return out, [record["value"] for record in records if record.get("name") == "test/loss"]


def compare(what, here, there):
    print(f"{what}: {here:.8f} here, {there:.8f} in PyTorch, difference {here - there:+.1e}")
    assert abs(here - there) < 1e-5 * max(1.0, abs(there)), what


def check(kind, name, twin, *more):
    images, labels = test_images(name, 500)
    loss = lambda network: F.cross_entropy(network(images), labels).item()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        out, losses = run(folder, name, f"model.kind={kind}", *more)
        subprocess.run([PROGRAM, "weights", "export", out, folder / "out.safetensors"], check=True, capture_output=True)
        network = twin()
        network.load_state_dict(load_file(folder / "out.safetensors"))
        with torch.no_grad():
            compare(f"{kind}, from here to there", losses[-1], loss(network))
            torch.manual_seed(7)
            network = twin()
            save_file(network.state_dict(), folder / "in.safetensors")
            _, losses = run(folder, name, f"model.kind={kind}", f"model.weights={folder}/in.safetensors", *more)
            compare(f"{kind}, from there to here", losses[0], loss(network))


check("mlp", "optdigits", lambda: Mlp([64, 24, 12, 10]), "model.hidden=[24, 12]")
check("simple-cnn", "fashion14", lambda: SimpleCnn(1, 14, 10))
print("agreed")
