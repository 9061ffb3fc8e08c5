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
    return m, math.sqrt(sum((v - m) ** 2 for v in values) / (n - 1) / n) if n > 1 else math.nan


def text(pair, digits=4):
    return "-" if pair is None else f"{pair[0]:.{digits}f} ± {pair[1]:.{digits}f}"


def called(key):
    data, model, rate, momentum = key
    return f"{data} {model} {rate:g}" + (f", momentum {momentum:g}" if momentum else "")


def short(key):
    """f mlp 0.1: the data's first letter, for narrow columns."""
    data, model, rate, momentum = key
    return f"{data[0]} {model} {rate:g}" + (f"/{momentum:g}" if momentum else "")


def gains(groups):
    """What was predicted, what was measured, and the error of the prediction in percent of the mean."""
    kinds = [(f"EMA {h}", f"gain/ema/{h}", f"measured/ema/{h}") for h in (10, 100, 300)]
    kinds += [(f"window {n}", f"gain/window/{n}", f"measured/window/{n}") for n in (30, 300, 1000)]
    kinds += [("cooldown", "gain/cooldown", "measured/cooldown"), ("half the rate", "gain/halving", "measured/halving")]
    print("| setting, seeds | " + " | ".join(kind for kind, _, _ in kinds) + " |")
    print("|---" * (len(kinds) + 1) + "|")
    for key, group in sorted(groups.items()):
        cells = []
        for _, predicted, measured in kinds:
            truth = mean([r[measured] for r in group])
            error = mean([100 * (r[predicted] - r[measured]) / truth[0] for r in group])
            cells.append(f"{truth[0]:.4f}, {error[0]:+.0f} ± {error[1]:.0f}")
        print(f"| {called(key)}, {len(group)} | " + " | ".join(cells) + " |")


def share(a, b):
    return lambda r: r[a] / r[b] if r.get(a) is not None and r.get(b) else None


def lead(name):
    return lambda r: 100 * (r[f"accuracy/{name}"] - r["accuracy/half_throughout"])


CLAIMS = [
    ("8: vertex of one update of the run", "measured/vertex", 3),
    ("8: the same by the instrument half-rate-gauge", "gauge/one_step", 3),
    ("10: vertex of the first 20 updates", "measured/vertex/early", 2),
    ("10: of the first 20 after the rate is halved", "measured/vertex/after_halving", 2),
    ("10: 2000 steps after it is halved", "measured/vertex/long_after_halving", 2),
    ("10b: vertex over 100 steps", "gauge/chord/100", 3),
    ("10b: vertex over 3000 steps", "gauge/chord/3000", 3),
    ("11: best rate of a step on its own batch, over the rate", "one_step/minimum_ratio", 2),
    ("12: batch loss after that step over the least full loss reached", share("one_step/floor", "measured/cooled_loss"), 2),
    ("13: R² of a parabola to 1.2 s*", "one_step/quadratic_fit", 4),
    ("14: chord convexity", "fixed_batch/chord_convexity", 3),
    ("14: first-order convexity", "fixed_batch/first_order_convexity", 3),
    ("14: line convexity", "one_step/line_convexity", 3),
    ("16: ⟨g_t, g_t+1⟩ over the squared full gradient", "measured/consecutive_over_full_gradient", 2),
    ("17: excess loss from two points, nat", "excess/two_points", 4),
    ("17: excess loss from gradient noise, nat", "excess/noise", 4),
    ("17: removed by the cooldown, beside the rate kept, nat", "measured/cooldown", 4),
    ("17: the same, beside the loss before it, nat", lambda r: r["measured/loss"] - r["measured/cooled_loss"], 4),
    ("18: loss of the run, nat", "measured/loss", 4),
    ("19: drop at lag 1 over that at lag 3000", share("two_point/drop/1", "two_point/drop/3000"), 3),
    ("20: gain of two points, 1000 apart, over that of half the rate", share("measured/two_points/1000", "measured/halving"), 2),
    ("23: two points over a whole run at half the rate, points of accuracy", lead("two_points/1000"), 2),
    ("23: EMA of half-life 300 over the same, points of accuracy", lead("ema/300"), 2),
    ("24: EMA 300 on a cooldown over its gain at the rate", share("measured/ema_on_cooldown/300", "measured/ema/300"), 3),
    ("25: radius of two points' mean over that of iterates", "measured/radius_ratio", 3),
    ("26: distance factor of two starts, 1000 steps on the same batches", "measured/coupling", 3),
    ("fall of the loss over 2000 steps of the window, nat", "measured/drift", 4),
]


def table(path):
    groups = {}
    for r in known(path):
        groups.setdefault((r["data"], r["model"], r["rate"], r["momentum"]), []).append(r)
    groups = {key: group for key, group in groups.items() if len(group) > 1}
    gains(groups)
    keys = sorted(groups)
    print("\n| claim: quantity | " + " | ".join(map(short, keys)) + " |")
    print("|---" * (len(keys) + 1) + "|")
    for title, of, digits in CLAIMS:
        value = of if callable(of) else lambda r, of=of: r.get(of)
        print(f"| {title} | " + " | ".join(text(mean([value(r) for r in groups[k]]), digits) for k in keys) + " |")


if __name__ == "__main__":
    if len(sys.argv) >= 4 and sys.argv[1] == "run":
        run(sys.argv[2], sys.argv[3], sys.argv[4:] or ["optdigits", "fashion14"])
    elif len(sys.argv) == 3 and sys.argv[1] == "table":
        table(sys.argv[2])
    else:
        sys.exit(__doc__)
