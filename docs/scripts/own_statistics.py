"""Claim 29 of `averaging`, section 4: what an average gains from normalisation statistics of its own; for docs/averages.md.

Run from the repository's root after `cargo build --release`: python3 docs/scripts/own_statistics.py DATA [SEED ...]
DATA: fashion14, or a folder with MNIST's files. Adds a line a seed to RESULTS; without DATA only sums them up.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(os.environ.get("RESULTS", "own_statistics.jsonl"))
PROGRAM = os.environ.get("STEPSCOPE", "target/release/stepscope")
SPEC = """optimizer.learning_rate = 0.1
data.name = "{data}"
data.train_examples = 5000
model.kind = "simple-cnn-bn"
train.batch_size = 64
train.duration = "600st"
train.sampling = "with-replacement"
measure.every = "1dur"
measure.instruments = ["loss"]
average.start = "50st"
average.ema_half_life = "150st"
average.more_ema_half_lives = ["20st", "100st"]
average.two_point_gap = "200st"
average.power_widths = []
seeds.root = {seed}
"""


def train(data, seed):
    """The last value of every recorded quantity."""
    with tempfile.TemporaryDirectory() as folder:
        spec, run = Path(folder) / "spec.toml", Path(folder) / "run"
        spec.write_text(SPEC.format(data=data, seed=seed))
        subprocess.run([PROGRAM, "train", str(spec), "--out", str(run)], check=True, capture_output=True)
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {r["name"]: r["value"] for r in records if r["record"] == "measurement" and r.get("value") is not None}


def mean(values, scale=1.0):
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{scale * statistics.mean(values):.4f} ± {scale * error:.4f}"


def table(rows):
    for data in sorted({row["data"] for row in rows}):
        mine = [row["last"] for row in rows if row["data"] == data]
        at = lambda name: [last[name] for last in mine]
        print(f"{data}, {len(mine)} seeds: last iterate {mean(at('test/loss'))} nat, {mean(at('test/accuracy'), 100)} %")
        for kind in ("ema_2", "ema_3", "ema", "two_point"):
            print(f"  {kind}: own statistics gain {mean(at(f'average/{kind}/statistics_gain'))} nat, over the last iterate "
                  f"{mean(at(f'average/{kind}/test_loss_gain'))} nat, {mean(at(f'average/{kind}/test_accuracy'), 100)} %")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        for seed in map(int, sys.argv[2:] or range(60, 65)):
            row = {"data": Path(sys.argv[1]).name, "seed": seed, "last": train(sys.argv[1], seed)}
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
    table([json.loads(line) for line in RESULTS.read_text().splitlines()])
