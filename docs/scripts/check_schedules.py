#!/usr/bin/env python3
"""Compares the learning rates of runs with those of torch.optim.lr_scheduler, step by step.

    python3 docs/scripts/check_schedules.py target/release/stepscope
"""
import json
import subprocess
import sys
import tempfile

import torch
from torch.optim import lr_scheduler as s

STEPS, BASE = 100, 0.4


def stepscope(program, schedule, folder):
    settings = [
        "optimizer.learning_rate=" + str(BASE), "train.duration=%dst" % STEPS, "measure.enabled=false", "average.enabled=false",
        "checkpoint.enabled=false", "data.train_examples=64", "data.test_examples=16", "train.batch_size=16", "model.kind=linear",
        "schedule.learning_rate=" + schedule,
    ]
    open(folder + "/spec.toml", "w").write("name = \"check\"\n[optimizer]\nlearning_rate = 1\n")
    command = [program, "train", folder + "/spec.toml", "--out", folder + "/out", "--force"]
    for setting in settings:
        command += ["--set", setting]
    subprocess.run(command, check=True, capture_output=True)
    rates, now = {}, None
    for line in open(folder + "/out/metrics.jsonl"):
        record = json.loads(line)
        if record.get("name") == "control/learning_rate":
            rates[record["step"]] = record["value"]
    values = []
    for step in range(STEPS):
        now = rates.get(step, now)
        values.append(now)
    return values


def pytorch(make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE, momentum=0.9)
    scheduler = make(optimizer)
    values = []
    for _ in range(STEPS):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


CASES = [
    ("linear", lambda o: s.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=STEPS)),
    ("polynomial(power = 3)", lambda o: s.PolynomialLR(o, total_iters=STEPS, power=3)),
    ("cosine(to = 0.05)", lambda o: s.CosineAnnealingLR(o, T_max=STEPS, eta_min=0.05)),
    ("exponential(factor = 0.9, every = 1st)", lambda o: s.ExponentialLR(o, gamma=0.9)),
    ("step(every = 30st, factor = 0.5)", lambda o: s.StepLR(o, step_size=30, gamma=0.5)),
    ("piecewise(0.4, 0.04 at 20st, 0.004 at 70st)", lambda o: s.MultiStepLR(o, milestones=[20, 70], gamma=0.1)),
    ("sgdr(every = 10st, grow = 2, to = 0.01)", lambda o: s.CosineAnnealingWarmRestarts(o, T_0=10, T_mult=2, eta_min=0.01)),
    ("cyclic(from = 0.1, to = 0.4, every = 20st)", lambda o: s.CyclicLR(o, base_lr=0.1, max_lr=0.4, step_size_up=10)),
    ("cyclic(from = 0.1, to = 0.4, every = 20st, factor = 0.5)",
     lambda o: s.CyclicLR(o, base_lr=0.1, max_lr=0.4, step_size_up=10, mode="triangular2")),
    ("constant(warmup = 10st, warmup_from = 0.04)", lambda o: s.LinearLR(o, start_factor=0.1, total_iters=10)),
    ("constant(length = 50st) then exponential(factor = 0.9, every = 1st)",
     lambda o: s.SequentialLR(o, [s.ConstantLR(o, factor=1.0, total_iters=0), s.ExponentialLR(o, gamma=0.9)], milestones=[50])),
]

if __name__ == "__main__":
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for schedule, make in CASES:
            ours, theirs = stepscope(sys.argv[1], schedule, folder), pytorch(make)
            error = max(abs(a - b) / max(abs(b), 1e-12) for a, b in zip(ours, theirs) if b > 1e-9)
            worst = max(worst, error)
            print(f"{error:9.1e}  {schedule}")
        # One update later at the peak and at the end: see ScheduleSpec.
        theirs = pytorch(lambda o: s.OneCycleLR(o, max_lr=BASE, total_steps=STEPS + 1))
        ours = stepscope(sys.argv[1], "one-cycle", folder)
        error = max(abs(a - b) / b for a, b in zip(ours, theirs))
        print(f"{error:9.1e}  one-cycle, beside OneCycleLR of one step more: its peak is one update earlier")
    sys.exit(worst > 1e-9)
