"""Every method on a problem, and every setting of a method by itself: tables of docs/optimizers.md.

Run from the repository's root after `cargo build --release`:

    python3 docs/scripts/optimizer_settings.py PROBLEM            every method on PROBLEM
    python3 docs/scripts/optimizer_settings.py --settings PROBLEM  one setting at a time

PROBLEM is optdigits, fashion14, fashion-mlp or fashion-cnn; the last two need the folder with Fashion-MNIST's IDX files as a
second argument. A problem takes seconds to minutes.
"""
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SEEDS = [0, 1, 2]
RATES = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]
PROBLEMS = {
    "optdigits": ["data.name=optdigits", "model.hidden=[64]", "train.duration=20ep", "train.batch_size=32"],
    "fashion14": ["data.name=fashion14", "model.hidden=[128]", "train.duration=10ep", "train.batch_size=64"],
    "fashion-mlp": ["data.train_examples=10000", "model.hidden=[128]", "train.duration=5ep", "train.batch_size=64"],
    "fashion-cnn": ["data.train_examples=10000", "model.kind=simple-cnn-bn", "train.duration=2ep", "train.batch_size=64"],
}
METHODS = {f"sgd, {rate:g}": ["optimizer.method=sgd", f"optimizer.learning_rate={rate}"] for rate in RATES} | {
    "labpal-sgd": ["optimizer.method=labpal-sgd"],
    "labpal-nsgd": ["optimizer.method=labpal-nsgd"],
    "pal": ["optimizer.method=pal", "optimizer.momentum=0.4"],
    "fbpal": ["optimizer.method=fbpal"],
    "sls": ["optimizer.method=sls"],
    "ponos": ["optimizer.method=ponos"],
    "sps": ["optimizer.method=sps"],
    "momo": ["optimizer.method=momo"],
    "schedule-free, 1": ["optimizer.method=schedule-free", "optimizer.learning_rate=1"],
    "schedule-free, 5": ["optimizer.method=schedule-free", "optimizer.learning_rate=5"],
    "prodigy": ["optimizer.method=prodigy"],
}
FACTORS = [0.1, 0.316, 1, 3.16, 10]
SETTINGS = [
    ("sgd", "optimizer.learning_rate", [0.3 * factor for factor in FACTORS], []),
    ("schedule-free", "optimizer.learning_rate", FACTORS, []),
    ("schedule-free", "schedule_free.interpolation", [0.5, 0.8, 0.9, 0.95, 0.98], ["optimizer.learning_rate=1"]),
    ("prodigy", "prodigy.coefficient", [0.25, 0.5, 1, 2, 4], []),
    ("prodigy", "prodigy.initial_distance", [1e-8, 1e-7, 1e-6, 1e-5, 1e-4], []),
    ("momo", "polyak.max_learning_rate", FACTORS, []),
    ("sps", "polyak.max_learning_rate", FACTORS, []),
    ("sps", "polyak.c", [0.1, 0.25, 0.5, 1, 2], []),
    ("pal", "pal.probe_length", FACTORS, ["optimizer.momentum=0.4"]),
    ("pal", "pal.update_step_adaptation", [0.5, 1.0, 1.66, 2.0, 2.5], ["optimizer.momentum=0.4"]),
    ("fbpal", "pal.probe_length", FACTORS, []),
    ("sls", "sls.c", [0.05, 0.1, 0.2, 0.5, 0.8], []),
    ("ponos", "ponos.c", [0.1, 0.3, 0.5, 0.7, 0.9], []),
    ("labpal-sgd", "labpal.update_step_adaptation", [0.5, 1.0, 1.8, 2.5, 3.5], []),
    ("labpal-sgd", "labpal.updates_per_measurement", [100, 300, 1000, 3000], []),
    ("labpal-sgd", "labpal.approximation_batches", [3, 5, 10, 20], []),
]
SPEC = 'measure.instruments = ["loss"]\nmeasure.every = "1dur"\naverage.enabled = false\ncheckpoint.enabled = false\n'


def run(settings, seed, folder):
    """The last value of every quantity, with the seconds of the training; None where the run did not finish."""
    (folder / "spec.toml").write_text(SPEC)
    command = ["target/release/stepscope", "train", str(folder / "spec.toml"), "--out", str(folder / "run"), "--force"]
    for setting in settings + [f"seeds.root={seed}"]:
        command += ["--set", setting]
    subprocess.run(command, check=True, capture_output=True)
    last = {}
    for line in (folder / "run" / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["record"] == "measurement" and record.get("value") is not None:
            last[record["name"]] = record["value"]
            last["seconds"] = record["timing"]["wall_seconds"]
    return last if "test/accuracy" in last else None


def cell(values, digits=1):
    mean, error = statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.{digits}f} ± {error:.{digits}f}"


def table(problem, folder):
    print("| method | test accuracy, % | test loss | updates | forward | backward | seconds | finished |")
    print("|---|---|---|---|---|---|---|---|")
    for name, settings in METHODS.items():
        done = [last for seed in SEEDS if (last := run(problem + settings, seed, folder))]
        if len(done) < 2:
            print(f"| {name} | - | - | - | - | - | - | {len(done)} of {len(SEEDS)} |", flush=True)
            continue
        column = lambda key: [last[key] for last in done]
        counts = [f"{statistics.mean(column(f'control/{key}')):.0f}" for key in ("updates", "forward_passes", "backward_passes")]
        accuracy = cell([100 * value for value in column("test/accuracy")])
        row = [name, accuracy, cell(column("test/loss"), 3), *counts, f"{statistics.mean(column('seconds')):.2f}"]
        print(f"| {' | '.join(row)} | {len(done)} of {len(SEEDS)} |", flush=True)


def settings_table(problem, folder):
    print("| method | setting | values | test accuracy, % | range |\n|---|---|---|---|---|")
    for method, key, values, more in SETTINGS:
        means = []
        for value in values:
            settings = problem + [f"optimizer.method={method}", f"{key}={value:g}"] + more
            done = [100 * last["test/accuracy"] for seed in SEEDS[:2] if (last := run(settings, seed, folder))]
            means.append(statistics.mean(done) if done else 0.0)
        shown = ", ".join(f"{value:g}" for value in values)
        accuracies = ", ".join(f"{mean:.1f}" for mean in means)
        print(f"| {method} | `{key}` | {shown} | {accuracies} | {max(means) - min(means):.1f} |", flush=True)


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--settings"]
    chosen = list(PROBLEMS[arguments[0]])
    if arguments[0].startswith("fashion-"):
        chosen.append(f"data.name={arguments[1]}")
    with tempfile.TemporaryDirectory() as name:
        (settings_table if "--settings" in sys.argv else table)(chosen, Path(name))
