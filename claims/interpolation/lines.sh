#!/bin/sh
# Trains the ends, and draws a line from the baseline of each seed to every other run of that seed.
set -e
stepscope=${STEPSCOPE:-stepscope}
sweep=$1
"$stepscope" sweep "$(dirname "$0")/spec.toml" --out "$sweep" --threads-per-run 1
mkdir -p "$sweep/lines"
python3 - "$sweep" <<'END' | while read -r base other name; do
import json, pathlib, sys
runs = {}
for path in pathlib.Path(sys.argv[1]).glob("*/run.json"):
    spec = json.loads(path.read_text())["spec"]
    runs[spec["seeds"]["root"], spec["optimizer"]["learning_rate"], spec["train"]["batch_size"]] = path.parent
for (seed, rate, batch), folder in sorted(runs.items()):
    if (rate, batch) != (0.1, 32):
        print(runs[seed, 0.1, 32], folder, f"{seed}-{rate}-{batch}")
END
  "$stepscope" measure "$base" --between "$other" --no-save --format json > "$sweep/lines/$name.json"
done
