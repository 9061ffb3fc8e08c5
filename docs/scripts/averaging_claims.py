#!/usr/bin/env python3
"""Makes the tables of docs/averaging-claims.md.

    cargo build --release --workspace --examples
    python3 docs/scripts/averaging_claims.py run target/release/examples/averaging_claims OUT.jsonl [DATA ...]
    python3 docs/scripts/averaging_claims.py table OUT.jsonl

DATA: optdigits, fashion14, or a folder with MNIST's files. Training examples are those of `averaging`, section 1.2: the first 8000 (where
there are as many), a tenth of the labels drawn at random, each image in its nine shifts by up to one pixel. Test examples stay as they are.
`run` adds what is not yet in OUT.jsonl, so it can be stopped and started again.
"""
import gzip
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

SEEDS = range(1, 6)
MOST, WRONG = 8000, 0.1
# model, learning rate, momentum
SETTINGS = [("mlp", 0.1, 0.0), ("mlp", 0.3, 0.0), ("mlp", 0.03, 0.0), ("mlp", 0.03, 0.9), ("linear", 0.1, 0.0)]
# Of a folder's images, which are larger: a run takes minutes.
OF_FOLDERS = [("mlp", 0.1, 0.0), ("linear", 0.1, 0.0)]


def read(folder, name):
    """An IDX file, plain or packed: its lengths and its bytes."""
    path = next(Path(folder).glob(f"{name}*-ubyte*"))
    raw = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read()
    dims = [int.from_bytes(raw[4 + 4 * i: 8 + 4 * i], "big") for i in range(raw[3])]
    return dims, raw[4 + 4 * len(dims):]


def write(path, dims, payload):
    head = bytes([0, 0, 8, len(dims)]) + b"".join(n.to_bytes(4, "big") for n in dims)
    path.write_bytes(head + bytes(payload))


def shifts(image, rows, columns):
    """The nine shifts of an image by up to one pixel, with black edges."""
    lines = [image[r * columns: (r + 1) * columns] for r in range(rows)]
    black = bytes(columns)
    for down in (-1, 0, 1):
        moved = {-1: lines[1:] + [black], 0: lines, 1: [black] + lines[:-1]}[down]
        yield b"".join(line[1:] + b"\0" for line in moved)
        yield b"".join(moved)
        yield b"".join(b"\0" + line[:-1] for line in moved)


def prepare(data, folder, seed):
    """Writes the training and test examples of a seed."""
    source = Path(data) if Path(data).is_dir() else Path("data") / data
    (count, rows, columns), pixels = read(source, "train-images")
    count, size = min(count, MOST), rows * columns
    labels = bytearray(read(source, "train-labels")[1][:count])
    draw = random.Random(seed)
    for place in range(count):
        if draw.random() < WRONG:
            labels[place] = draw.randrange(10)
    images = b"".join(b"".join(shifts(pixels[i * size: (i + 1) * size], rows, columns)) for i in range(count))
    write(folder / "train-images-idx3-ubyte", [9 * count, rows, columns], images)
    write(folder / "train-labels-idx1-ubyte", [9 * count], bytes(label for label in labels for _ in range(9)))
    for part in ("images", "labels"):
        dims, payload = read(source, f"t10k-{part}")
        write(folder / f"t10k-{part}-idx{len(dims)}-ubyte", dims, payload)


def known(path):
    if not os.path.exists(path):
        return []
    return [json.loads(line) for line in open(path)]


def run(program, path, names):
    """Seed by seed, so that what is there at any time has every setting."""
    key = lambda r: (r["data"], r["model"], r["rate"], r["momentum"], r["seed"])
    have = {key(r) for r in known(path)}
    for seed in SEEDS:
        for data in names:
            settings = OF_FOLDERS if Path(data).is_dir() else SETTINGS
            wanted = [(Path(data).name, *setting, seed) for setting in settings]
            wanted = [w for w in wanted if w not in have]
            if not wanted:
                continue
            with tempfile.TemporaryDirectory() as folder:
                prepare(data, Path(folder), seed)
                for name, model, rate, momentum, _ in wanted:
                    command = [program, folder, model, str(rate), str(momentum), str(seed)]
                    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                    with open(path, "a") as out:
                        out.write(json.dumps(found | {"data": name}) + "\n")


def mean(values):
    values = [v for v in values if v is not None]
    n = len(values)
    if n == 0:
        return None
    m = sum(values) / n
    e = math.sqrt(sum((v - m) ** 2 for v in values) / (n - 1) / n) if n > 1 else math.nan
    return m, e


def text(pair, digits=4):
    return "-" if pair is None else f"{pair[0]:.{digits}f} ± {pair[1]:.{digits}f}"


def table(path):
    groups = {}
    for r in known(path):
        groups.setdefault((r["data"], r["model"], r["rate"], r["momentum"]), []).append(r)
    of = lambda group, name: mean([r.get(name) for r in group])
    ratio = lambda group, a, b: mean([r[a] / r[b] - 1.0 if a in r and r.get(b) else None for r in group])
    print("| run | seeds | predicted, nat | measured, nat | error, % |\n|---|---|---|---|---|")
    pairs = [(f"EMA, half-life {h}", f"gain/ema/{h}", f"measured/ema/{h}") for h in (10, 30, 100)]
    pairs += [(f"window {n}", f"gain/window/{n}", f"measured/window/{n}") for n in (30, 100)]
    pairs += [("cooldown", "gain/cooldown", "measured/cooldown"), ("half the rate", "gain/halving", "measured/halving")]
    for key, group in sorted(groups.items()):
        for title, a, b in pairs:
            error = ratio(group, a, b)
            print(f"| {key[0]} {key[1]} {key[2]:g}/{key[3]:g}, {title} | {len(group)} | {text(of(group, a))} | {text(of(group, b))} | "
                  + ("-" if error is None else f"{100 * error[0]:.0f} ± {100 * error[1]:.0f}") + " |")
    print()
    rows = [
        ("8: vertex of one update", "gauge/one_step", 3),
        ("10b: vertex over 1 step", "gauge/chord/1", 3),
        ("10b: vertex over 300 steps", "gauge/chord/300", 3),
        ("11: best rate of a step on its own batch, over the rate", "one_step/minimum_ratio", 2),
        ("12: floor of that step over the batch's loss", "one_step/floor_ratio", 3),
        ("12: floor of that step, nat", "one_step/floor", 4),
        ("13: R² to 1.2 s*", "one_step/quadratic_fit", 4),
        ("14: chord convexity", "fixed_batch/chord_convexity", 3),
        ("14: first-order convexity", "fixed_batch/first_order_convexity", 3),
        ("14: line convexity", "one_step/line_convexity", 3),
        ("15: full over batch gradient, squared", "measured/full_over_batch_gradient", 4),
        ("16: <g_t, g_t+1> over full gradient squared", "measured/consecutive_over_full_gradient", 2),
        ("17: excess from two points, nat", "excess/two_points", 4),
        ("17: excess from noise, nat", "excess/noise", 4),
        ("17: removed by the cooldown, nat", "measured/cooldown", 4),
        ("19: drop at lag 1", "two_point/drop/1", 5),
        ("19: drop at lag 300", "two_point/drop/300", 5),
        ("26: distance factor of two runs on the same batches, 1000 steps", "measured/coupling", 3),
        ("loss of the run, nat", "measured/loss", 4),
        ("fall of the loss over half the window, nat", "measured/drift", 5),
    ]
    keys = sorted(groups)
    print("| claim: quantity | " + " | ".join(f"{k[0]} {k[1]} {k[2]:g}/{k[3]:g}" for k in keys) + " |")
    print("|---" * (len(keys) + 1) + "|")
    for title, name, digits in rows:
        print(f"| {title} | " + " | ".join(text(of(groups[k], name), digits) for k in keys) + " |")


if __name__ == "__main__":
    if len(sys.argv) >= 4 and sys.argv[1] == "run":
        run(sys.argv[2], sys.argv[3], sys.argv[4:] or ["optdigits", "fashion14"])
    elif len(sys.argv) == 3 and sys.argv[1] == "table":
        table(sys.argv[2])
    else:
        sys.exit(__doc__)
