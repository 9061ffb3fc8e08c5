"""Lines between runs that end at equal training loss: python3 claims/interpolation/equal_loss.py SWEEP_FOLDER [STEPSCOPE].

Trains the settings of `spec.toml` with fresh seeds until 400 readings have said where each first gets down to each level, trains them once
more exactly so long (same seed: the same trajectory), and draws lines from the baseline to the others. `judge.py equal-loss` reads them.
"""

import json
import pathlib
import subprocess
import sys

LEVELS = (0.3, 0.2)
SEEDS = (20, 21, 22)
BASE = (0.1, 32)
# η × steps of the longest that a run may take to get there, and more than any needs.
FLOW_TIME = 400.0
SETTINGS = [BASE, (0.1, 256), (0.0125, 32), (0.025, 8), (0.4, 128)]

here = pathlib.Path(__file__).parent
folder = pathlib.Path(sys.argv[1])
stepscope = sys.argv[2] if len(sys.argv) > 2 else "stepscope"


def train(out, seed, rate, batch, steps, *more):
    settings = [f"seeds.root={seed}", f"optimizer.learning_rate={rate}", f"train.batch_size={batch}", f"train.duration={steps}st", *more]
    spec = folder / "one.toml"
    text = (here / "spec.toml").read_text().split("[sweep]")[0]
    spec.write_text(text)
    command = [stepscope, "train", spec, "--out", out, "--force"]
    subprocess.run(command + [part for setting in settings for part in ("--set", setting)], check=True, capture_output=True)


def losses(run):
    records = (json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines())
    return {r["step"]: r["value"] for r in records if r.get("name") == "train/loss"}


folder.mkdir(parents=True, exist_ok=True)
(folder / "lines").mkdir(exist_ok=True)
for seed in SEEDS:
    ends = {}
    for rate, batch in SETTINGS:
        pilot = folder / f"pilot-{seed}-{rate}-{batch}"
        train(pilot, seed, rate, batch, round(FLOW_TIME / rate), "measure.every=0.0025dur", "checkpoint.enabled=false")
        curve = losses(pilot)
        for level in LEVELS:
            steps = next((step for step in sorted(curve) if curve[step] <= level), None)
            if steps:
                end = folder / f"end-{level}-{seed}-{rate}-{batch}"
                train(end, seed, rate, batch, steps)
                ends[level, rate, batch] = end
    for (level, rate, batch), end in ends.items():
        if (rate, batch) == BASE or (level, *BASE) not in ends:
            continue
        line = subprocess.run(
            [stepscope, "measure", ends[level, *BASE], "--between", end, "--no-save", "--format", "json", "--set", "measure.examples=2000"],
            check=True, capture_output=True, text=True)
        report = json.loads(line.stdout)
        report["loss_at_ends"] = [losses(ends[level, *BASE])[max(losses(ends[level, *BASE]))], losses(end)[max(losses(end))]]
        (folder / "lines" / f"{level}-{seed}-{rate}-{batch}.json").write_text(json.dumps(report))
