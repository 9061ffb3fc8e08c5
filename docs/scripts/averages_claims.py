"""The tables of docs/averages.md: four claims about averages on real data, five seeds each.

Run from the repository's root after `cargo build --release`: python3 docs/scripts/averages_claims.py DATA [SEED ...]
DATA: optdigits, fashion14, or a folder with MNIST's files. A tenth of the training labels is drawn at random, so that gradient
noise stays (`averaging`, section 1.2); test labels are as they are. --bn runs the claim about normalisation statistics, with
the true labels. Without DATA only sums up the lines in RESULTS.
"""
import gzip
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(os.environ.get("RESULTS", "averages_claims.jsonl"))
STEPS, GAP, WRONG = 6000, 1000, 0.1
PROGRAM = os.environ.get("STEPSCOPE", "target/release/stepscope")


def with_wrong_labels(data, folder, seed):
    """A copy of the data whose training labels are random with probability WRONG."""
    source = Path(data) if Path(data).is_dir() else Path("data") / data
    copy = folder / "data"
    copy.mkdir()
    for file in source.glob("*-ubyte*"):
        shutil.copy(file, copy / file.name)
    labels = next(copy.glob("train-labels-idx1-ubyte*"))
    packed = labels.suffix == ".gz"
    payload = bytearray((gzip.open if packed else open)(labels, "rb").read())
    draw = random.Random(seed)
    for place in range(8, len(payload)):
        if draw.random() < WRONG:
            payload[place] = draw.randrange(10)
    with (gzip.open if packed else open)(labels, "wb") as file:
        file.write(payload)
    return copy


def count(data):
    return 3823 if "optdigits" in str(data) else 5000 if "fashion14" in str(data) else 8000


def train(folder, name, data, seed, rate, steps, extra=(), model="model.hidden = [64]"):
    """Trains, and gives back the last value of every recorded quantity."""
    spec = folder / "spec.toml"
    spec.write_text(
        f"""optimizer.learning_rate = {rate}
data.name = "{data}"
data.train_examples = {min(8000, count(data))}
{model}
train.duration = "{steps}st"
train.sampling = "with-replacement"
measure.every = "1dur"
measure.instruments = ["loss"]
average.two_point_gap = "{min(GAP, steps // 2)}st"
average.ema_half_life = "{min(350, steps // 4)}st"
average.power_widths = []
checkpoint.every = "{GAP}st"
checkpoint.keep_every = "{GAP}st"
seeds.root = {seed}
"""
    )
    out = folder / name
    command = [PROGRAM, "train", str(spec), "--out", str(out), "--force", "--format", "json"]
    command += [part for setting in extra for part in ("--set", setting)]
    subprocess.run(command, check=True, capture_output=True)
    last = {}
    for line in (out / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["record"] == "measurement" and record.get("value") is not None:
            last[record["name"]] = record["value"]
    return out, last


def go_on(folder, start, step, name, data, seed, rate, steps):
    """Goes on from the weights of a step with fresh batches; without momentum the weights are the whole state."""
    weights = folder / f"{name}.safetensors"
    subprocess.run([PROGRAM, "weights", "export", str(start), str(weights), "--step", str(step)], check=True, capture_output=True)
    extra = [f"model.weights={weights}", f"seeds.data={1000 + seed}"]
    return train(folder, name, data, seed, rate, steps, extra)[1]


def decay(folder, start, data, seed, rate):
    """A linear decay to 0 over the last steps, in ten stairs; then the average over the last stairs."""
    weights, last = None, None
    run, step = start, STEPS - GAP
    for stair in range(10):
        weights = folder / f"stair-{stair}.safetensors"
        subprocess.run([PROGRAM, "weights", "export", str(run), str(weights), "--step", str(step)], check=True, capture_output=True)
        extra = [f"model.weights={weights}", f"seeds.data={2000 + 10 * seed + stair}", 'average.start="1st"',
                 f'average.two_point_gap="{GAP // 20}st"', f'average.ema_half_life="{GAP // 40}st"']
        run, last = train(folder, f"decay-{stair}", data, seed, rate * (1 - (stair + 0.5) / 10), GAP // 10, extra)
        step = GAP // 10
    return last


def claims(name_of_data, seed, rate):
    with tempfile.TemporaryDirectory(prefix=Path(name_of_data).name) as name:
        folder = Path(name)
        data = with_wrong_labels(name_of_data, folder, seed)
        start, at_rate = train(folder, "constant", data, seed, rate, STEPS)
        _, at_half = train(folder, "half", data, seed, rate / 2, STEPS)
        kept = go_on(folder, start, STEPS - GAP, "kept", data, seed, rate, GAP)
        halved = go_on(folder, start, STEPS - GAP, "halved", data, seed, rate / 2, GAP)
        cooled = decay(folder, start, data, seed, rate)
    return {"data": Path(name_of_data).name, "seed": seed, "rate": rate, "constant": at_rate, "half": at_half, "kept": kept, "halved": halved, "cooled": cooled}


def normalised(data, seed):
    """Claim 29: a convolutional network with batch normalisation, constant rate."""
    with tempfile.TemporaryDirectory() as name:
        extra = ['average.more_ema_half_lives=["20st", "100st"]', 'average.start="50st"', 'average.two_point_gap="200st"']
        _, last = train(Path(name), "bn", data, seed, 0.1, 600, extra, 'model.kind = "simple-cnn-bn"\ntrain.batch_size = 64')
    return {"data": Path(data).name, "seed": seed, "bn": last}


def mean(values):
    return statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")


def table(rows):
    pair = lambda values: "%.4f ± %.4f" % mean(values)
    for data in sorted({row["data"] for row in rows}):
        for rate in sorted({row["rate"] for row in rows if row["data"] == data and "constant" in row}):
            mine = [row for row in rows if row["data"] == data and row.get("rate") == rate]
            gain = lambda row: row["constant"]["average/two_point/test_loss_gain"]
            halving = lambda row: row["kept"]["test/loss"] - row["halved"]["test/loss"]
            print(f"\n{Path(data).name}, rate {mine[0]['rate']}, {len(mine)} seeds")
            print("  20 two-point gain %s, gain of halving %s, ratio of means %.2f" % (
                pair([gain(r) for r in mine]), pair([halving(r) for r in mine]),
                statistics.mean(map(gain, mine)) / statistics.mean(map(halving, mine))))
            for kind in ("two_point", "ema"):
                lead = [100 * (r["constant"][f"average/{kind}/test_accuracy"] - r["half"]["test/accuracy"]) for r in mine]
                nat = [r["half"]["test/loss"] - r["constant"][f"average/{kind}/test_loss"] for r in mine]
                print(f"  23 {kind} of the rate over a whole run at half: accuracy %s points (%d of %d up), loss lower by %s" % (
                    pair(lead), sum(x > 0 for x in lead), len(lead), pair(nat)))
            last = [100 * r["constant"]["test/accuracy"] for r in mine]
            print("     last iterate %s %%, half the rate %s %%" % (pair(last), pair([100 * r["half"]["test/accuracy"] for r in mine])))
            for kind in ("two_point", "ema"):
                name = f"average/{kind}/test_loss_gain"
                after, before = [r["cooled"][name] for r in mine], [r["constant"][name] for r in mine]
                print(f"  24 {kind} after a cooldown to 0: gain %s, at the constant rate %s: %.1f %%" % (
                    pair(after), pair(before), 100 * statistics.mean(after) / statistics.mean(before)))
            print("     cooled down %s nat, two points %s nat, last %s nat" % (
                pair([r["cooled"]["test/loss"] for r in mine]), pair([r["constant"]["average/two_point/test_loss"] for r in mine]),
                pair([r["constant"]["test/loss"] for r in mine])))
        mine = [row for row in rows if row["data"] == data and "bn" in row]
        if mine:
            print(f"\n{Path(data).name}, simple-cnn-bn, {len(mine)} seeds: test loss of the last iterate %s, accuracy %s %%" % (
                pair([r["bn"]["test/loss"] for r in mine]), pair([100 * r["bn"]["test/accuracy"] for r in mine])))
            for kind in ("ema_2", "ema_3", "ema", "two_point"):
                at = lambda end: [r["bn"][f"average/{kind}/{end}"] for r in mine]
                print(f"  29 {kind}: own statistics gain %s nat, gain over the last iterate %s nat, accuracy %s %%" % (
                    pair(at("statistics_gain")), pair(at("test_loss_gain")), pair([100 * x for x in at("test_accuracy")])))


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    if arguments:
        for seed in map(int, arguments[1:] or range(60, 65)):
            rate = float(os.environ.get("RATE", 0.1))
            row = normalised(arguments[0], seed) if "--bn" in sys.argv else claims(arguments[0], seed, rate)
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
    table([json.loads(line) for line in RESULTS.read_text().splitlines()])
