"""Times stepscope's predictions against a straightforward NumPy version of the same recursion, interleaved in one run.

    python benches/peers/numpy_recursion.py target/release/stepscope

Needs numpy. Prints a Markdown table: medians over rounds, the ratio, and the largest relative difference of the losses.
On a shared machine only the ratio means something: both sides of a row are timed in turn, round after round.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

# One core for both: NumPy's vector operations here are single-threaded, and so is a prediction.
os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np

ROUNDS = 5


def power_law(nu, kappa, modes):
    k = np.arange(1, modes + 1, dtype=np.float64)
    eigenvalues = k**-nu
    return eigenvalues, kappa * k ** (-kappa - 1) / eigenvalues


def numpy_curve(eigenvalues, coefficients, a, b, gamma, steps, tau1=1.0, tau2=1.0):
    """E L at t = 0..steps: one triple (C, J, V) a mode, as written in the document."""
    l, c = eigenvalues, coefficients.copy()
    j, v = np.zeros_like(c), np.zeros_like(c)
    loss = np.empty(steps + 1)
    loss[0] = 0.5 * np.dot(l, c)
    for step in range(steps):
        drive = gamma * a * a * (tau1 * l * (2 * loss[step]) - tau2 * l * l * c)
        if b == 0:
            c = (1 - a * l) ** 2 * c + drive
            loss[step + 1] = 0.5 * np.dot(l, c)
            continue
        g = a * a * l * l * c - 2 * a * b * l * j + b * b * v + drive
        c, j, v = c - 2 * a * l * c + 2 * b * j + g, b * j - a * l * c + g, g
        loss[step + 1] = 0.5 * np.dot(l, c)
    return loss


def program(path, modes, a, b, batch, steps, only_last, out):
    """The answer goes into a file, as a shell would write it; reading it back is not timed."""
    command = [path, "predict", "--power-law", f"nu=1.5,kappa=1,modes={modes}", "--learning-rate", str(a)]
    command += ["--momentum", str(b), "--batch-size", str(batch), "--format", "json"]
    command += ["--at", str(steps)] if only_last else ["--steps", str(steps)]
    with open(out, "w", encoding="utf-8") as file:
        subprocess.run(command, check=True, stdout=file, stderr=subprocess.DEVNULL)


def timed(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def row(path, modes, steps, b, numpy_steps=None, only_last=False):
    """NumPy runs `numpy_steps` of the steps where all would take hours, and its time is scaled up."""
    a, batch = 0.2, 2
    eigenvalues, coefficients = power_law(1.5, 1.0, modes)
    short = numpy_steps or steps
    ours, theirs, difference = [], [], 0.0
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "answer.json")
            seconds, _ = timed(lambda: program(path, modes, a, b, batch, steps, only_last, out))
            ours.append(seconds)
            with open(out, encoding="utf-8") as file:
                answer = json.load(file)
        seconds, loss = timed(lambda: numpy_curve(eigenvalues, coefficients, a, b, 1 / batch, short))
        theirs.append(seconds * steps / short)
        if numpy_steps is None:
            got = np.array(answer["loss"])
            difference = max(difference, np.max(np.abs(got / loss[-len(got) :] - 1)))
    mine, other = statistics.median(ours), statistics.median(theirs)
    scaled = "" if numpy_steps is None else f" ({numpy_steps} steps, scaled)"
    apart = "-" if numpy_steps is not None else f"{difference:.0e}"
    method, error = answer["method"]["name"], answer["method"]["relative_error"]
    asked = "last step" if only_last else "whole curve"
    print(
        f"| {modes:.0e} | {steps:.0e} | {b} | {asked} | {method} | {mine:.3g} s | {other:.3g} s{scaled} "
        f"| {other / mine:.3g} | {apart} | {error:.0e} |",
        flush=True,
    )


def main():
    path = sys.argv[1]
    print("| modes | steps | momentum | asked | answered by | program | NumPy | ratio | largest difference | stated error |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    row(path, 1000, 10_000, 0.0, only_last=True)
    row(path, 10_000, 10_000, 0.0, only_last=True)
    row(path, 10_000, 10_000, 0.5, only_last=True)
    row(path, 10_000, 10_000, 0.5)
    row(path, 100_000, 3000, 0.5, only_last=True)
    row(path, 1_000_000, 10_000_000, 0.0, numpy_steps=20, only_last=True)
    row(path, 1_000_000, 10_000_000, 0.0, numpy_steps=20)


if __name__ == "__main__":
    main()
