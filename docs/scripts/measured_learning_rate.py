"""The table of docs/measured-learning-rate.md: fixed learning rates against the measured one, ten seeds each.

Run from the repository's root after `cargo build --release`: python3 docs/scripts/measured_learning_rate.py
"""
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

RATES = ["0.01", "0.03", "0.1", "0.2", "0.3", "0.5", '"measured"']
# None of the seeds below 50, on which the settings were chosen.
SEEDS = range(50, 60)


def run(data, rate, seed, folder):
    spec = folder / "spec.toml"
    spec.write_text(f"optimizer.learning_rate = {rate}\nmeasure.every = \"1dur\"\n")
    command = ["target/release/stepscope", "train", str(spec), "--out", str(folder / "run"), "--force", "--format", "json"]
    command += ["--set", f"data.name={data}", "--set", f"seeds.root={seed}"]
    summary = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if summary["outcome"] != "finished":
        return None
    return summary["test_loss"]["value"], 100 * summary["test_accuracy"]["value"]


def cell(values):
    mean, error = statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.3f} ± {error:.3f}" if mean < 5 else f"{mean:.1f} ± {error:.1f}"


with tempfile.TemporaryDirectory() as name:
    print("| data | learning rate | test loss | test accuracy, % | finished |\n|---|---|---|---|---|")
    for data in ["optdigits", "fashion14"]:
        for rate in RATES:
            done = [result for seed in SEEDS if (result := run(data, rate, seed, Path(name)))]
            columns = [cell(column) for column in zip(*done)] if len(done) > 1 else ["-", "-"]
            print(f"| {data} | {rate.strip(chr(34))} | {columns[0]} | {columns[1]} | {len(done)} of {len(SEEDS)} |", flush=True)
