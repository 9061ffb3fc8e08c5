"""The table of docs/optimizers.md: every method on every problem, the same number of samples each.

Run from the repository's root after `cargo build --release`, in as many pieces as it takes:

    python3 docs/scripts/optimizers.py run --results results.jsonl --seconds 170
    python3 docs/scripts/optimizers.py table --results results.jsonl

A result is one line of the file; what is there already is not run again, so that a later call goes on, and a method that
was added is filled in. `--problems` and `--methods` take a part by name.
"""
import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Name: keys of the specification. Ten epochs unless said otherwise.
PROBLEMS = {
    "optdigits, MLP": ["data.name=optdigits"],
    "fashion14, MLP": ["data.name=fashion14"],
    "Fashion-MNIST 10k, MLP": [
        "data.name={folder}/fashion-mnist", "data.train_examples=10000", "train.batch_size=128", "train.duration=15ep",
    ],
    "Fashion-MNIST 10k, SimpleCNN with BN": [
        "data.name={folder}/fashion-mnist", "data.train_examples=10000", "train.batch_size=128", "train.duration=3ep",
        "model.kind=simple-cnn-bn",
    ],
}
SGD_RATES = [0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0]
METHODS = {f"SGD {rate}": [f"optimizer.learning_rate={rate}"] for rate in SGD_RATES}
METHODS |= {
    "LABPAL&SGD": ["optimizer.method=labpal-sgd"],
    "LABPAL&NSGD": ["optimizer.method=labpal-nsgd"],
    "measured rate": ["optimizer.learning_rate=measured"],
    "PAL": ["optimizer.method=pal", "optimizer.momentum=0.4"],
    "FBPAL": ["optimizer.method=fbpal"],
    "SLS": ["optimizer.method=sls"],
    "PoNoS": ["optimizer.method=ponos"],
    "SPS": ["optimizer.method=sps"],
    "MoMo": ["optimizer.method=momo"],
    "Schedule-Free 1": ["optimizer.method=schedule-free", "optimizer.learning_rate=1"],
    "Prodigy": ["optimizer.method=prodigy"],
}
# Variants of LABPAL for the page of sensitivities; run where asked for by name.
VARIANTS = {
    "excluded": ["labpal.exclude_direction_batches=true"],
    "as published": ["labpal.early_measurements=false"],
    "reference": ["labpal.profile=reference"],
    "no doubling": ["labpal.schedule_at=[]", "labpal.schedule_batches=[]"],
    "median": ["labpal.history_average=median"],
    "every 100": ["labpal.updates_per_measurement=100"],
    "every 30": ["labpal.updates_per_measurement=30"],
    "trusted at once": ["labpal.untrusted_updates=0"],
    "alpha 1": ["labpal.update_step_adaptation=1.0"],
    "alpha 1.4": ["labpal.update_step_adaptation=1.4"],
    "alpha 2.5": ["labpal.update_step_adaptation=2.5"],
    "20 batches": ["labpal.approximation_batches=20"],
    "max step 0.3": ["labpal.max_step=0.3"],
    "momentum 0.9": ["optimizer.momentum=0.9"],
}
for mode in ["SGD", "NSGD"]:
    base = f"LABPAL&{mode}"
    METHODS |= {f"{base}, {name}": METHODS[base] + keys for name, keys in VARIANTS.items()}
SEEDS = range(50, 53)


def run(problem, method, seed, folder, data):
    """One run, as a line of the results."""
    keys = ["measure.instruments=[\"loss\"]", "measure.every=1dur", "measure.examples=1", "average.enabled=false",
            "checkpoint.enabled=false", f"seeds.root={seed}"]
    keys += [key.format(folder=data) for key in PROBLEMS[problem]] + METHODS[method]
    spec = folder / "spec.toml"
    spec.write_text("")
    command = ["target/release/stepscope", "train", str(spec), "--out", str(folder / "run"), "--force", "--format", "json"]
    done = subprocess.run(command + [part for key in keys for part in ("--set", key)], capture_output=True, text=True)
    result = {"problem": problem, "method": method, "seed": seed, "outcome": "failed"}
    if done.returncode != 0:
        return result | {"message": done.stderr.strip()[-300:]}
    last = {}
    for line in (folder / "run" / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["record"] == "measurement" and record.get("value") is not None:
            last[record["name"]] = record["value"]
        elif record["record"] == "event":
            result["wall_seconds"] = record["timing"]["wall_seconds"]
    result["outcome"] = json.loads(done.stdout.splitlines()[-1])["outcome"]
    names = ["test/accuracy", "test/loss", "train/loss", "control/learning_rate", "control/updates",
             "control/forward_passes", "control/backward_passes", "control/refusals"]
    return result | {name: last[name] for name in names if name in last}


def run_all(arguments):
    path, began = Path(arguments.results), time.monotonic()
    have = {(r["problem"], r["method"], r["seed"]) for r in read(path)}
    with tempfile.TemporaryDirectory() as name:
        for problem, seed, method in [(p, s, m) for p in arguments.problems for s in SEEDS for m in arguments.methods]:
            if (problem, method, seed) in have:
                continue
            if time.monotonic() - began > arguments.seconds:
                sys.exit("more is left: run again")
            result = run(problem, method, seed, Path(name), arguments.data)
            with path.open("a") as file:
                file.write(json.dumps(result) + "\n")
            print(problem, method, seed, result["outcome"], result.get("test/accuracy"), flush=True)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def mean_and_error(values):
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return statistics.mean(values), error


def table(arguments):
    results = read(Path(arguments.results))
    for problem in arguments.problems:
        of_problem = [r for r in results if r["problem"] == problem]
        rows = []
        for method in arguments.methods:
            runs = [r for r in of_problem if r["method"] == method]
            if not runs:
                continue
            sound = [r for r in runs if r["outcome"] == "finished"]
            column = lambda name: [r[name] for r in sound if name in r]
            accuracy = mean_and_error([100 * a for a in column("test/accuracy")]) if len(sound) > 1 else (math.nan, math.nan)
            loss = mean_and_error(column("test/loss")) if len(sound) > 1 else (math.nan, math.nan)
            counts = [statistics.median(column(f"control/{name}")) if column(f"control/{name}") else math.nan
                      for name in ["updates", "forward_passes", "backward_passes"]]
            wall = statistics.median(column("wall_seconds")) if sound else math.nan
            rows.append((method, accuracy, loss, counts, wall, f"{len(sound)} of {len(runs)}"))
        if not rows:
            continue
        grid = [row for row in rows if row[0].startswith("SGD") and not math.isnan(row[1][0])]
        best = max(grid, key=lambda row: row[1][0])[0] if grid else None
        print(f"\n### {problem}\n\n| method | test accuracy, % | test loss | updates | forward | backward | wall, s | finished |")
        print("|---|---|---|---|---|---|---|---|")
        for method, (mean, error), (loss, loss_error), counts, wall, finished in rows:
            mark = " (best of the grid)" if method == best else ""
            numbers = " | ".join(f"{count:.0f}" for count in counts)
            print(f"| {method}{mark} | {mean:.2f} ± {error:.2f} | {loss:.3f} ± {loss_error:.3f} | {numbers} | {wall:.1f} | {finished} |")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("what", choices=["run", "table"])
parser.add_argument("--results", required=True)
parser.add_argument("--data", default="data", help="folder with fashion-mnist/")
parser.add_argument("--seconds", type=float, default=math.inf, help="begin no run after so many seconds")
parser.add_argument("--problems", nargs="*", default=list(PROBLEMS), choices=list(PROBLEMS))
parser.add_argument("--methods", nargs="*", choices=list(METHODS),
                    default=[m for m in METHODS if not any(m.endswith(f", {v}") for v in VARIANTS)])
given = parser.parse_args()
run_all(given) if given.what == "run" else table(given)
