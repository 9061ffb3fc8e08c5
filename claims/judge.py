"""What runs say about claims of `curvature`: python3 claims/judge.py early-phase SWEEP_FOLDER; also lower, squared-error, ratio, interpolation,
equal-loss, equal-ratio.

Reads records alone, with the standard library. The rules are those of `claim.toml` beside each specification; where a rule leaves
something open, what was chosen stands in the function that judges it. Prints a table a claim, a verdict, and nothing else.
"""

import json
import math
import pathlib
import statistics
import sys

LAMBDA_H = "curvature/hessian_top_eigenvalue"
LAMBDA_K = "covariance/top_eigenvalue"
TRACE_K = "covariance/trace"
ALPHA = "stability/loss_raising_steps"
BATCH = "stability/batch_sharpness"
GROWTH = "stability/mean_square_growth"


class Run:
    """A run's folder: what was asked, and every series by step."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.spec = json.loads((self.folder / "run.json").read_text())["spec"]
        self.rate = self.spec["optimizer"]["learning_rate"]
        self.batch = self.spec["train"]["batch_size"]
        self.seed = self.spec["seeds"]["root"]
        self.series = {}
        for line in (self.folder / "metrics.jsonl").read_text().splitlines():
            record = json.loads(line)
            if record["record"] == "measurement" and record["value"] is not None:
                self.series.setdefault(record["name"], {})[record["step"]] = record["value"]

    def get(self, name):
        return self.series.get(name, {})

    def label(self):
        return f"rate {self.rate:<6} batch {self.batch:<5} seed {self.seed}"


def runs(folder):
    found = [Run(path.parent) for path in sorted(pathlib.Path(folder).glob("*/run.json"))]
    return sorted(found, key=lambda run: (run.rate, run.batch, run.seed))


def pearson(x, y):
    mx, my = statistics.fmean(x), statistics.fmean(y)
    sxy = sum((a - mx) * (b - my) for a, b in zip(x, y))
    return sxy / math.sqrt(sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y))


def ranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    rank = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for index in order[start:end]:
            rank[index] = 0.5 * (start + end - 1)
        start = end
    return rank


def spearman(x, y):
    return pearson(ranks(x), ranks(y))


def peak(series):
    """Step and value of the largest value."""
    step = max(series, key=series.get)
    return step, series[step]


def crossing(run):
    """The first reading at which the sharpness is above 2/rate."""
    over = [step for step, value in sorted(run.get(LAMBDA_H).items()) if value * run.rate >= 2.0]
    return over[0] if over else None


def window(run, first):
    """Steps from `first` until the training loss is below 0.1 nat: below that cross-entropy flattens everything."""
    loss = run.get("train/loss")
    return [step for step in sorted(loss) if step >= first and loss[step] >= 0.1]


def edge(everything, stretch):
    """C8 and C9: where the sharpness and the batch sharpness settle. `stretch` gives the steps of a run from its first one at the edge."""
    n = max(run.batch for run in everything)
    table = {}
    for run in everything:
        first = crossing(run)
        # Batches may keep the sharpness below 2/rate for good: then from where its full-batch twin crosses, in flow time.
        twins = [twin for twin in everything if twin.rate == run.rate and twin.batch == n and twin.seed == run.seed]
        twin = crossing(twins[0]) if twins else None
        if twin is None:
            print(f"    {run.label()}  not testable: full-batch training never reaches 2/rate")
            continue
        steps = stretch(run, first if run.batch == n else twin)
        sharpness = [run.rate * run.get(LAMBDA_H)[step] / 2 for step in steps if step in run.get(LAMBDA_H)]
        batch = [run.rate * run.get(BATCH)[step] / 2 for step in steps if step in run.get(BATCH)]
        if not sharpness:
            print(f"    {run.label()}  not testable: no readings of that stretch")
            continue
        mean = statistics.fmean(sharpness), statistics.fmean(batch) if batch else float("nan")
        table.setdefault((run.rate, run.batch), []).append(mean)
        print(f"    {run.label()}  {mean[0]:.3f} and {mean[1]:.3f} over {len(sharpness)} readings")
    full = [s for (rate, batch), means in table.items() if batch == n for s, _ in means]
    small = [b for (rate, batch), means in table.items() if batch < n for _, b in means]
    if not full or not small:
        print("    => not testable")
        return
    print(f"    => C8 full batch: {sum(0.95 <= s <= 1.15 for s in full)} of {len(full)} within 0.95 to 1.15, {min(full):.3f} to {max(full):.3f}")
    ordered = 0
    rates = sorted({rate for rate, _ in table})
    for rate in rates:
        means = [statistics.fmean(s for s, _ in table[(rate, batch)]) for batch in sorted(b for r, b in table if r == rate)]
        ordered += means == sorted(means)
    print(f"    => C9 sharpness lower for smaller batches at {ordered} of {len(rates)} rates; batch sharpness within 0.9 to 1.15 in "
          f"{sum(0.9 <= b <= 1.15 for b in small)} of {len(small)}, {min(small):.3f} to {max(small):.3f}")


def lower(folder):
    print("C8, C9  rate x sharpness / 2 and rate x batch sharpness / 2, means from the crossing of 2/rate until the loss is 0.1")
    edge(runs(folder), window)


def squared_error(folder):
    def second_half(run, first):
        last = max(run.get(LAMBDA_H))
        return [step for step in sorted(run.get(LAMBDA_H)) if step >= max(first, last / 2)]

    print("C8, C9  rate x sharpness / 2 and rate x batch sharpness / 2, means over the second half of the flow time")
    edge(runs(folder), second_half)


def early_phase(folder):
    everything = runs(folder)

    print("C1  correlation of top eigenvalues of Hessian and gradient covariance before the sharpness peaks (>= 0.9)")
    c1 = []
    for run in everything:
        h, k = run.get(LAMBDA_H), run.get(LAMBDA_K)
        top, value = peak(h)
        steps = [step for step in sorted(h) if step <= top and step in k]
        if len(steps) < 5 or value < 2 * h[min(h)]:
            print(f"    {run.label()}  not testable: {len(steps)} readings before the peak, growth {value / h[min(h)]:.1f}")
            continue
        c1.append(pearson([h[s] for s in steps], [k[s] for s in steps]))
        print(f"    {run.label()}  {c1[-1]:.3f} over {len(steps)} readings, sharpness x {value / h[min(h)]:.1f}")
    print(f"    => {sum(c >= 0.9 for c in c1)} of {len(c1)} at or above 0.9; median {statistics.median(c1):.3f}, lowest {min(c1):.3f}")

    print("C6  rank correlation of steps that raise the loss by a fifth with the covariance's top eigenvalue before the peak (<= -0.7)")
    c6, settled = [], []
    for run in everything:
        h, k, a = run.get(LAMBDA_H), run.get(LAMBDA_K), run.get(ALPHA)
        top, _ = peak(h)
        steps = [step for step in sorted(a) if step <= top and step in k]
        after = [a[step] for step in sorted(a) if step in set(window(run, top))]
        value = statistics.median(after) if after else float("nan")
        settled.append(value)
        if len(steps) < 5:
            print(f"    {run.label()}  not testable: {len(steps)} readings before the peak")
            continue
        c6.append(spearman([a[s] for s in steps], [k[s] for s in steps]))
        print(f"    {run.label()}  {c6[-1]:.2f} over {len(steps)} readings; median after the peak {value:.3g}")
    inside = sum(1.5 <= value <= 3 for value in settled)
    print(f"    => {sum(c <= -0.7 for c in c6)} of {len(c6)} at or below -0.7; settled within 1.5 to 3 in {inside} of {len(settled)}")

    print("C8, C9  rate x sharpness / 2 and rate x batch sharpness / 2, means from the crossing of 2/rate until the loss is 0.1")
    edge(everything, window)

    print("C10 sharpness where the growth factor first reaches 1 against the peak of the sharpness (within 30 %)")
    predicted, observed = [], []
    for run in everything:
        h, growth = run.get(LAMBDA_H), run.get(GROWTH)
        over = [step for step in sorted(growth) if growth[step] >= 1 and step in h]
        if not over:
            print(f"    {run.label()}  no break-even: growth at most {max(growth.values()):.3f}")
            continue
        top, value = peak(h)
        predicted.append(h[over[0]])
        observed.append(value)
        print(f"    {run.label()}  {h[over[0]]:.2f} at step {over[0]}, peak {value:.2f} at step {top}: ratio {value / h[over[0]]:.2f}")
    close = sum(abs(o / p - 1) <= 0.3 for p, o in zip(predicted, observed))
    print(f"    => {close} of {len(predicted)} within 30 %; rank correlation over runs {spearman(predicted, observed):.2f}")

    print("C13 ranks of the largest trace and the largest top eigenvalue of the gradient covariance (>= 0.9)")
    traces, tops = [max(run.get(TRACE_K).values()) for run in everything], [max(run.get(LAMBDA_K).values()) for run in everything]
    for run, trace, top in zip(everything, traces, tops):
        print(f"    {run.label()}  trace {trace:.3g}, top {top:.3g}")
    print(f"    => rank correlation {spearman(traces, tops):.3f} over {len(everything)} runs")


def at_loss(run, name, level):
    """The quantity where the training loss passes `level`, straight lines between logarithms of loss and value."""
    loss, series = run.get("train/loss"), run.get(name)
    points = [(loss[step], series[step]) for step in sorted(series) if step in loss]
    for (l0, v0), (l1, v1) in zip(points, points[1:]):
        if l1 <= level <= l0 and v0 > 0 and v1 > 0:
            t = (math.log(l0) - math.log(level)) / (math.log(l0) - math.log(l1))
            return math.exp(math.log(v0) + t * (math.log(v1) - math.log(v0)))
    return None


def ratio(folder):
    everything = runs(folder)
    names = [LAMBDA_H, "curvature/hessian_frobenius_norm", "curvature/hessian_trace"]
    print("B6  rank correlation of rate/batch size with curvature at equal training loss (<= -0.7)")
    for level in (0.6, 0.5, 0.4, 0.3):
        for name in names:
            pairs = [(run.rate / run.batch, at_loss(run, name, level)) for run in everything]
            pairs = [(r, v) for r, v in pairs if v]
            if len(pairs) < 6:
                print(f"    loss {level}: {name}: not testable, {len(pairs)} runs pass this level")
                continue
            rho = spearman([r for r, _ in pairs], [v for _, v in pairs])
            low, high = min(v for _, v in pairs), max(v for _, v in pairs)
            print(f"    loss {level}: {name:35} {rho:+.2f} over {len(pairs)} runs, {low:.3g} to {high:.3g}")


def equal_ratio(folder):
    everything = runs(folder)
    last = lambda run, name: run.get(name)[max(run.get(name))]
    by = {}
    for run in everything:
        by.setdefault((run.rate, run.batch), {})[run.seed] = 100 * last(run, "test/accuracy")
    print("B3  test accuracy after equal epochs, percent (difference at most 0.5, or 2 standard errors; the square-root rule farther)")
    for rate in sorted({rate for rate, batch in by if batch == 32}):
        base, linear, root = by[rate, 32], by[4 * rate, 128], by[2 * rate, 128]
        for name, setting in [(f"{rate}, 32", base), (f"{4 * rate}, 128", linear), (f"{2 * rate}, 128", root)]:
            values = list(setting.values())
            error = statistics.stdev(values) / math.sqrt(len(values))
            print(f"    {name:11} {statistics.fmean(values):.2f} +- {error:.2f} over {len(values)} seeds")
        for name, setting in [("linear", linear), ("square root", root)]:
            d = [setting[seed] - base[seed] for seed in base if seed in setting]
            error = statistics.stdev(d) / math.sqrt(len(d))
            print(f"    => {name:12} minus base: {statistics.fmean(d):+.2f} +- {error:.2f}, paired by seed")
    losses = {}
    for run in everything:
        losses.setdefault((run.rate, run.batch), []).append(last(run, "train/loss"))
    print("    training loss: " + ", ".join(f"{key}: {statistics.fmean(value):.3f}" for key, value in losses.items()))


def interpolation(folder):
    """Lines kept by `measure BASE --between OTHER` in the baselines' folders."""
    print("B8  curvature along the line at the other end over that at the baseline's (0.1, 32)")
    ratios = {}
    everything = runs(folder)
    for base in [run for run in everything if (run.rate, run.batch) == (0.1, 32)]:
        for path in sorted((pathlib.Path(folder) / "lines").glob(f"{base.seed}-*.json")):
            line = json.loads(path.read_text())
            rate, batch = path.stem.split("-")[1:]
            ends = [end["value"] for end in line["other"]["curvature_at_ends"]]
            errors = [end["error"] for end in line["other"]["curvature_at_ends"]]
            ratios.setdefault((float(rate), int(batch)), []).append(ends[1] / ends[0])
            print(f"    seed {base.seed} to ({rate}, {batch}): {ends[0]:.4g} +- {errors[0]:.1g} at 0, {ends[1]:.4g} +- {errors[1]:.1g} at 1: "
                  f"ratio {ends[1] / ends[0]:.2f}; distance {line['directions'][0]['length']:.2f}")
    for setting, values in sorted(ratios.items()):
        print(f"    => {setting}: ratio {min(values):.2f} to {max(values):.2f}, median {statistics.median(values):.2f}, eta/S {setting[0] / setting[1]:.2g}")


def equal_loss(folder):
    """Lines that `interpolation/equal_loss.py` has drawn."""
    print("B8  curvature along the line at the other end over that at the baseline's (0.1, 32), both ended at equal training loss")
    ratios = {}
    for path in sorted((pathlib.Path(folder) / "lines").glob("*.json")):
        line = json.loads(path.read_text())
        level, seed, rate, batch = path.stem.split("-")
        ends = [end["value"] for end in line["other"]["curvature_at_ends"]]
        errors = [end["error"] for end in line["other"]["curvature_at_ends"]]
        losses = line["loss_at_ends"]
        ratios.setdefault((float(level), float(rate), int(batch)), []).append(ends[1] / ends[0])
        print(f"    loss {level} seed {seed} to ({rate}, {batch}): {ends[0]:.4g} +- {errors[0]:.1g} at 0, {ends[1]:.4g} +- {errors[1]:.1g} at 1: "
              f"ratio {ends[1] / ends[0]:.2f}; losses {losses[0]:.3f} and {losses[1]:.3f}; distance {line['directions'][0]['length']:.2f}")
    for (level, rate, batch), values in sorted(ratios.items()):
        print(f"    => loss {level}, ({rate}, {batch}): eta/S {rate / batch:.2g}, ratio {min(values):.2f} to {max(values):.2f}, median {statistics.median(values):.2f} over {len(values)}")


if __name__ == "__main__":
    judges = {"early-phase": early_phase, "lower": lower, "squared-error": squared_error, "ratio": ratio, "equal-ratio": equal_ratio,
              "interpolation": interpolation, "equal-loss": equal_loss}
    if len(sys.argv) != 3 or sys.argv[1] not in judges:
        sys.exit(f"usage: judge.py {'|'.join(judges)} FOLDER")
    judges[sys.argv[1]](sys.argv[2])
