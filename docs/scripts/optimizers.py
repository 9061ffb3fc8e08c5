"""Every method on every problem, and every setting of a method by itself: results, tables and picture of docs/optimizers.md
and docs/sensitivity.md.

Run from the repository's root after `cargo build --release` (or with STEPSCOPE set to the program), in as many pieces as it takes:

    python3 docs/scripts/optimizers.py run --data data --results results.jsonl
    python3 docs/scripts/optimizers.py table --results results.jsonl --times times.jsonl
    python3 docs/scripts/optimizers.py run --settings --problems optdigits fashion14 --seeds 0 1 2 --results settings.jsonl
    python3 docs/scripts/optimizers.py sensitivity --problems optdigits fashion14 --seeds 0 1 2 --results settings.jsonl
    python3 docs/scripts/optimizers.py picture --problems optdigits fashion14 --seeds 0 1 2 --results settings.jsonl

A result is one line of the file, known by its problem, its keys and its seed; what is there already is not run again, so that a
later call goes on, and `--again` replaces it. `--problems` and `--methods` take a part by name. For the column of times, run all methods
and one rate of SGD on an idle machine, a seed a round:

    python3 docs/scripts/optimizers.py run --problems optdigits --methods "sgd, 0.1" labpal-sgd ... --seeds 100 101 102 --results times.jsonl
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FASHION = ["data.name={folder}/fashion-mnist", "data.train_examples=10000"]
PROBLEMS = {
    "optdigits": ["data.name=optdigits", "model.hidden=[64]", "train.duration=20ep", "train.batch_size=32"],
    "fashion14": ["data.name=fashion14", "model.hidden=[128]", "train.duration=10ep", "train.batch_size=64"],
    "fashion-mlp": FASHION + ["model.hidden=[128]", "train.duration=10ep", "train.batch_size=64"],
    "fashion-cnn": FASHION + ["data.test_examples=5000", "model.kind=simple-cnn-bn", "train.duration=1ep", "train.batch_size=32"],
}
PROBLEMS["fashion-cnn, 4 epochs"] = [key.replace("1ep", "4ep") for key in PROBLEMS["fashion-cnn"]]
# The same number of examples in batches of other sizes, gathered into 128 a step.
for size in [8, 32, 128]:
    gathered = [f"train.batch_size={size}", f"labpal.noise_factor={128 / size:g}"]
    PROBLEMS[f"optdigits, batch {size}"] = PROBLEMS["optdigits"][:-1] + gathered + ["labpal.approximation_batches=5"]
    PROBLEMS[f"fashion-mlp, batch {size}"] = PROBLEMS["fashion-mlp"][:-1] + gathered
# Of PyPI's mnist1d 0.0.2, in 8 bits, as IDX files: claim T25 of line-search.
PROBLEMS["mnist1d"] = [
    "data.name={folder}/mnist1d", "model.hidden=[100, 100]", "train.duration=3000st", "train.batch_size=128",
    "labpal.updates_per_measurement=20", "labpal.untrusted_updates=8",
]
RATES = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]
GRID = [f"sgd, {rate:g}" for rate in RATES]
METHODS = {f"sgd, {rate:g}": ["optimizer.method=sgd", f"optimizer.learning_rate={rate:g}"] for rate in RATES} | {
    "sgd, measured": ["optimizer.method=sgd", "optimizer.learning_rate=measured"],
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
# SGD with the landing that LABPAL has: its fair opponent.
LANDINGS = {f"sgd, {rate:g}, landing": METHODS[f"sgd, {rate:g}"] + ["schedule.learning_rate=wsd(cooldown = 0.1dur, shape = linear)"]
            for rate in RATES}
METHODS |= LANDINGS
# What was tried to bring LABPAL nearer to the grid; run where asked for by name.
VARIANTS = {
    "no landing": ["labpal.landing=0"],
    "bf16": ["model.precision=bf16"],
    "direction batches included": ["labpal.exclude_direction_batches=false"],
    "every minimum": ["labpal.max_relative_error=1e9"],
    "as published": ["labpal.exclude_direction_batches=false", "labpal.early_measurements=false", "labpal.max_relative_error=1e9"],
    "reference": ["labpal.profile=reference"],
    "no doubling": ["labpal.schedule_at=[]", "labpal.schedule_batches=[]"],
    "median": ["labpal.history_average=median"],
    "every 100": ["labpal.updates_per_measurement=100"],
    "every 30": ["labpal.updates_per_measurement=30"],
    "trusted at once": ["labpal.untrusted_updates=0"],
    "alpha 1": ["labpal.update_step_adaptation=1.0"],
    "alpha 1.4": ["labpal.update_step_adaptation=1.4"],
    "20 batches": ["labpal.approximation_batches=20"],
    "max step 0.3": ["labpal.max_step=0.3"],
    "landing 0.1": ["labpal.landing=0.1"],
    "landing 0.25": ["labpal.landing=0.25"],
    "landing 0.5": ["labpal.landing=0.5"],
    "landing 0.25, no doubling": ["labpal.landing=0.25", "labpal.schedule_at=[]", "labpal.schedule_batches=[]"],
}
METHODS |= {f"{base}, {name}": METHODS[base] + keys for base in ["labpal-sgd", "labpal-nsgd"] for name, keys in VARIANTS.items()}
IS_VARIANT = {f"{base}, {name}" for base in ["labpal-sgd", "labpal-nsgd"] for name in VARIANTS}
# Method, key, values and further keys; the third value of five is the default or what stands for it.
FACTORS = [0.1, 0.316, 1, 3.16, 10]
SETTINGS = [
    ("sgd", "optimizer.learning_rate", [0.03, 0.1, 0.3, 1, 3], []),
    ("labpal-sgd", "labpal.update_step_adaptation", [0.45, 0.9, 1.8, 2.7, 3.6], []),
    ("labpal-sgd", "labpal.updates_per_measurement", [10, 100, 1000, 10000], []),
    ("labpal-sgd", "labpal.approximation_batches", [3, 5, 10, 20], []),
    ("labpal-sgd", "labpal.max_step", FACTORS, []),
    ("labpal-sgd", "labpal.history", [1, 5, 25, 100], []),
    ("labpal-sgd", "labpal.untrusted_updates", [0, 100, 400, 1600], []),
    ("labpal-sgd", "labpal.max_relative_error", [0.1, 0.25, 0.5, 1, 1000], []),
    ("labpal-sgd", "labpal.landing", [0, 0.1, 0.25, 0.5], []),
    ("labpal-nsgd", "labpal.update_step_adaptation", [0.45, 0.9, 1.8, 2.7, 3.6], []),
    ("labpal-nsgd", "labpal.updates_per_measurement", [10, 100, 1000, 10000], []),
    ("labpal-nsgd", "labpal.approximation_batches", [3, 5, 10, 20], []),
    ("pal", "pal.probe_length", FACTORS, ["optimizer.momentum=0.4"]),
    ("pal", "pal.update_step_adaptation", [0.5, 1.0, 1.66, 2.0, 2.5], ["optimizer.momentum=0.4"]),
    ("fbpal", "pal.probe_length", [0.01, 0.0316, 0.1, 0.316, 1], []),
    ("sls", "sls.c", [0.05, 0.1, 0.2, 0.5, 0.8], []),
    ("ponos", "ponos.c", [0.1, 0.3, 0.5, 0.7, 0.9], []),
    ("sps", "polyak.max_learning_rate", FACTORS, []),
    ("sps", "polyak.c", [0.1, 0.25, 0.5, 1, 2], []),
    ("momo", "polyak.max_learning_rate", FACTORS, []),
    ("schedule-free", "optimizer.learning_rate", FACTORS, []),
    ("schedule-free", "schedule_free.interpolation", [0.5, 0.8, 0.9, 0.95, 0.98], ["optimizer.learning_rate=1"]),
    ("prodigy", "prodigy.coefficient", [0.25, 0.5, 1, 2, 4], []),
    ("prodigy", "prodigy.initial_distance", [1e-8, 1e-7, 1e-6, 1e-5, 1e-4], []),
]


def settings_methods():
    """Every value of every setting as a method, by name."""
    return {f"{method} | {key} | {value:g}": [f"optimizer.method={method}", f"{key}={value:g}"] + more
            for method, key, values, more in SETTINGS for value in values}


def run(problem, method, keys, seed, arguments, folder):
    """One run, as a line of the results."""
    common = ["measure.instruments=[\"loss\"]", "measure.every=1dur", "measure.examples=1", "checkpoint.enabled=false",
              f"average.enabled={'true' if arguments.averages else 'false'}", f"seeds.root={seed}"]
    given = common + [key.format(folder=arguments.data) for key in PROBLEMS[problem]] + keys
    spec = folder / "spec.toml"
    spec.write_text("")
    program = os.environ.get("STEPSCOPE", "target/release/stepscope")
    command = [program, "train", str(spec), "--out", str(folder / "run"), "--force", "--format", "json"]
    done = subprocess.run(command + [part for key in given for part in ("--set", key)], capture_output=True, text=True)
    result = {"problem": problem, "method": method, "keys": keys, "seed": seed, "outcome": "failed"}
    if done.returncode != 0:
        return result | {"message": done.stderr.strip()[-300:]}
    last = {}
    for line in (folder / "run" / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["record"] == "measurement" and record.get("value") is not None:
            last[record["name"]] = record["value"]
        if "timing" in record:
            result["wall_seconds"] = record["timing"]["wall_seconds"]
        if record.get("name") == "test/accuracy" and record["step"] == 0:
            began = result["wall_seconds"]
        if record.get("name") == "train/batch_loss":
            result["training_seconds"] = result["wall_seconds"] - began
    result["outcome"] = json.loads(done.stdout.splitlines()[-1])["outcome"]
    names = ["test/accuracy", "test/loss", "train/loss", "control/learning_rate", "control/updates", "control/forward_passes",
             "control/backward_passes", "control/refusals", "average/ema/test_accuracy", "average/ema/test_loss"]
    return result | {name: last[name] for name in names if name in last}


def identity(result):
    return result["problem"], tuple(result["keys"]), result["seed"]


def run_all(arguments):
    path, began = Path(arguments.results), time.monotonic()
    have = set() if arguments.again else {identity(result) for result in read(path)}
    methods = settings_methods() if arguments.settings else {name: METHODS[name] for name in arguments.methods}
    with tempfile.TemporaryDirectory() as name:
        for problem, seed, method in [(p, s, m) for p in arguments.problems for s in arguments.seeds for m in methods]:
            if (problem, tuple(methods[method]), seed) in have:
                continue
            if time.monotonic() - began > arguments.seconds:
                sys.exit("more is left: run again")
            result = run(problem, method, methods[method], seed, arguments, Path(name))
            with path.open("a") as file:
                file.write(json.dumps(result) + "\n")
            print(problem, method, seed, result["outcome"], result.get("test/accuracy"), flush=True)


def read(path):
    """Results of a file; of two of one run, the later."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return list({identity(result): result for result in lines}.values())


def mean_and_error(values):
    """NaN where there is none; of one value no error."""
    if len(values) < 2:
        return (values[0] if values else math.nan), math.nan
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))


def times_of_sgd(times, problem):
    """Times of training over that of plain SGD in the same round, by method."""
    of_problem = [r for r in times if r["problem"] == problem and "training_seconds" in r]
    plain, ratios = {}, {}
    for r in of_problem:
        if r["method"] in GRID:
            plain.setdefault(r["seed"], []).append(r["training_seconds"])
    for r in of_problem:
        if r["seed"] in plain and r["method"] not in GRID:
            ratios.setdefault(r["method"], []).append(r["training_seconds"] / statistics.mean(plain[r["seed"]]))
    return ratios


def table(arguments):
    results, times = read(Path(arguments.results)), read(Path(arguments.times)) if arguments.times else []
    for problem in arguments.problems:
        rows = []
        ratios = times_of_sgd(times, problem)
        for method in arguments.methods:
            runs = [r for r in results if (r["problem"], r["method"]) == (problem, method) and r["seed"] in arguments.seeds]
            if not runs:
                continue
            sound = [r for r in runs if r["outcome"] == "finished" and "test/accuracy" in r]
            column = lambda name: [r[name] for r in sound if name in r]
            accuracy, loss = mean_and_error([100 * a for a in column("test/accuracy")]), mean_and_error(column("test/loss"))
            count = lambda key: f"{statistics.mean(column(key)):.0f}" if column(key) else "-"
            counts = [count(f"control/{name}") for name in ["updates", "forward_passes", "backward_passes"]]
            # A rate changes nothing about the time.
            of_sgd = ratios.get(method, [1.0] if ratios and method in GRID else [])
            counts.append(f"{statistics.mean(of_sgd):.2f}" if of_sgd else "-")
            rows.append((method, accuracy, loss, counts, f"{len(sound)} of {len(runs)}"))
        grid = [row for row in rows if row[0] in GRID and not math.isnan(row[1][0])]
        best = max(grid, key=lambda row: row[1][0])[0] if grid else None
        print(f"\n### {problem}\n\n| method | test accuracy, % | test loss | updates | forward | backward | time | finished |")
        print("|---|---|---|---|---|---|---|---|")
        for method, (mean, error), (loss, loss_error), counts, finished in rows:
            shown = f"{mean:.2f}" if math.isnan(error) else f"{mean:.2f} ± {error:.2f}"
            shown = f"**{shown}**" if method == best else shown
            of_loss = f"{loss:.3f}" if math.isnan(loss_error) else f"{loss:.3f} ± {loss_error:.3f}"
            print(f"| {method} | {shown} | {of_loss} | {' | '.join(counts)} | {finished} |")


def settings_of(results, problem, seeds):
    """For every setting the values with mean accuracies in percent; a run that failed counts as a guess."""
    found = {}
    for method, key, values, _ in SETTINGS:
        points = []
        for value in values:
            name = f"{method} | {key} | {value:g}"
            runs = [r for r in results if (r["problem"], r["method"]) == (problem, name) and r["seed"] in seeds]
            done = [100 * r["test/accuracy"] if r["outcome"] == "finished" and "test/accuracy" in r else 10.0 for r in runs]
            if done:
                points.append((value, statistics.mean(done)))
        if points:
            found[(method, key)] = points
    return found


def sensitivity(arguments):
    """A table of the ranges, widest first on the first problem."""
    results = read(Path(arguments.results))
    found = [settings_of(results, problem, arguments.seeds) for problem in arguments.problems]
    spread = lambda points: max(a for _, a in points) - min(a for _, a in points)
    print(f"| method | setting | values | {' | '.join(f'{p}, % | range' for p in arguments.problems)} |")
    print("|---|---|---|" + "---|---|" * len(found))
    for setting in sorted(found[0], key=lambda setting: -spread(found[0][setting])):
        method, key = setting
        cells = []
        for of_problem in found:
            points = of_problem[setting]
            cells += [", ".join(f"{accuracy:.1f}" for _, accuracy in points), f"{spread(points):.1f}"]
        values = ", ".join(f"{value:g}" for value, _ in found[0][setting])
        print(f"| {method} | `{key}` | {values} | {' | '.join(cells)} |")


def picture(arguments):
    """A panel for every setting, all with one axis of accuracy, as SVG."""
    results, columns, width, height = read(Path(arguments.results)), 4, 230, 150
    found = [settings_of(results, problem, arguments.seeds) for problem in arguments.problems]
    colours, low, high = ["#1f5fa8", "#c2571a"], 60, 100
    rows = math.ceil(len(found[0]) / columns)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns * width + 20} {rows * height + 50}" '
           'font-family="sans-serif" font-size="11">', '<rect width="100%" height="100%" fill="white"/>']
    for index, (problem, colour) in enumerate(zip(arguments.problems, colours)):
        x = 20 + 150 * index
        out.append(f'<rect x="{x}" y="14" width="18" height="4" fill="{colour}"/><text x="{x + 24}" y="20">{problem}</text>')
    out.append(f'<text x="{20 + 150 * len(found)}" y="20" fill="#555">test accuracy, {low} to {high} %; a ring lies below</text>')
    for index, setting in enumerate(found[0]):
        left, top = 20 + width * (index % columns), 40 + height * (index // columns)
        w, h = width - 40, height - 55
        frame = "#000" if setting == ("sgd", "optimizer.learning_rate") else "#bbb"
        out.append(f'<text x="{left}" y="{top + 10}" font-weight="bold">{setting[0]}</text>')
        out.append(f'<text x="{left}" y="{top + 23}" fill="#555" font-size="10">{setting[1]}</text>')
        out.append(f'<rect x="{left}" y="{top + 28}" width="{w}" height="{h}" fill="none" stroke="{frame}"/>')
        for mark in (70, 80, 90):
            y = top + 28 + h * (high - mark) / (high - low)
            out.append(f'<line x1="{left}" x2="{left + w}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eee"/>')
            out.append(f'<text x="{left + w + 3}" y="{y + 3:.1f}" fill="#999" font-size="8">{mark}</text>')
        for of_problem, colour in zip(found, colours):
            points = of_problem[setting]
            at = lambda i: left + w * (i + 0.5) / len(points)
            place = [(at(i), top + 28 + h * (high - max(a, low)) / (high - low), a < low) for i, (_, a) in enumerate(points)]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in place)
            out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
            for x, y, is_below in place:
                fill = "white" if is_below else colour
                out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{fill}" stroke="{colour}"/>')
        for i, (value, _) in enumerate(found[0][setting]):
            x = left + w * (i + 0.5) / len(found[0][setting])
            out.append(f'<text x="{x:.1f}" y="{top + 28 + h + 12}" text-anchor="middle" font-size="9" fill="#555">{value:g}</text>')
    Path(arguments.out).write_text("\n".join(out + ["</svg>"]) + "\n")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("what", choices=["run", "table", "sensitivity", "picture"])
parser.add_argument("--results", required=True)
parser.add_argument("--times", help="results of runs in rounds on an idle machine, for the column of times, of that of SGD")
parser.add_argument("--out", default="docs/sensitivity.svg")
parser.add_argument("--data", default="data", help="folder with fashion-mnist/")
parser.add_argument("--seconds", type=float, default=math.inf, help="begin no run after so many seconds")
parser.add_argument("--settings", action="store_true", help="one setting of a method at a time")
parser.add_argument("--averages", action="store_true", help="average weights too")
parser.add_argument("--again", action="store_true", help="run what the file has already")
parser.add_argument("--seeds", nargs="*", type=int, default=[100, 101, 102])
parser.add_argument("--problems", nargs="*", default=["optdigits", "fashion14", "fashion-mlp", "fashion-cnn"], choices=list(PROBLEMS))
parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=[m for m in METHODS if m not in IS_VARIANT and m not in LANDINGS])
given = parser.parse_args()
{"run": run_all, "table": table, "sensitivity": sensitivity, "picture": picture}[given.what](given)
