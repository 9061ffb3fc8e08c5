"""What other packages average, by running them: the weight each puts on every iterate.

The parameters at step t are the unit vector e_t, so the average at the end is the list of its weights.
Usage: python benches/peers/averages.py [--write]
Needs torch, ema-pytorch, timm, optax. With --write it writes averages.json beside it, which a test compares with.
"""

import contextlib
import io
import json
import pathlib
import sys

import numpy as np
import torch


class Point(torch.nn.Module):
    def __init__(self, steps):
        super().__init__()
        self.x = torch.nn.Parameter(torch.zeros(steps, dtype=torch.float64))

    def move(self, step):
        with torch.no_grad():
            self.x.zero_()
            self.x[step - 1] = 1.0


def torch_swa(steps, every=1, **kind):
    from torch.optim.swa_utils import AveragedModel

    model = Point(steps)
    average = AveragedModel(model, **kind)
    for step in range(1, steps + 1):
        model.move(step)
        if step % every == 0:
            average.update_parameters(model)
    return average.module.x.detach().numpy()


def torch_ema(steps, decay):
    from torch.optim.swa_utils import get_ema_multi_avg_fn

    return torch_swa(steps, multi_avg_fn=get_ema_multi_avg_fn(decay))


def timm_ema(steps, **settings):
    with contextlib.redirect_stderr(io.StringIO()):
        from timm.utils.model_ema import ModelEmaV3

    model = Point(steps)
    model.move(1)
    average = ModelEmaV3(model, **settings)
    for step in range(1, steps + 1):
        model.move(step)
        average.update(model, step=step)
    return average.module.x.detach().numpy()


def ema_pytorch(steps, kind="EMA", **settings):
    import ema_pytorch

    model = Point(steps)
    average = getattr(ema_pytorch, kind)(model, **settings)
    for step in range(1, steps + 1):
        model.move(step)
        average.update()
    return average.ema_model.x.detach().numpy()


def optax_update(steps, step_size):
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    import optax

    average = jnp.zeros(steps, jnp.float64).at[0].set(1.0)
    for step in range(2, steps + 1):
        average = optax.incremental_update(jnp.zeros(steps, jnp.float64).at[step - 1].set(1.0), average, step_size)
    return np.array(average)


def half_life(weights, first=1):
    """Steps in which the weight of an iterate halves, from the weights that are not 0 but the first."""
    places = np.nonzero(weights)[0][first:]
    slope = np.polyfit(places, np.log(weights[places]), 1)[0]
    return np.log(2) / slope


def relative_width(weights):
    t = np.arange(1, len(weights) + 1)
    mean = (weights * t).sum() / weights.sum()
    return np.sqrt((weights * (t - mean) ** 2).sum() / weights.sum()) / len(weights)


def twins():
    return {
        "torch.optim.swa_utils EMA 0.9": torch_ema(40, 0.9),
        "torch.optim.swa_utils SWA every 4": torch_swa(40, every=4),
        "timm ModelEmaV3 0.9, warm-up": timm_ema(40, decay=0.9, use_warmup=True),
        # Its counter is one behind: the first call only copies.
        "ema-pytorch EMA 0.9, warm-up": ema_pytorch(40, beta=0.9, update_every=1, update_after_step=0, inv_gamma=1.0, power=2 / 3),
        "optax incremental_update 0.1": optax_update(40, 0.1),
    }


def main():
    found = {name: list(map(float, weights)) for name, weights in twins().items()}
    if "--write" in sys.argv:
        path = pathlib.Path(__file__).with_name("averages.json")
        lines = [f"{json.dumps(name)}: {json.dumps(weights)}" for name, weights in found.items()]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print("half-life in steps of decay 0.99 updated every D steps (0.99 a step: %.1f)" % (np.log(0.5) / np.log(0.99)))
    for every in (1, 10):
        weights = ema_pytorch(4000, beta=0.99, update_every=every, update_after_step=0, power=10.0)
        print(f"  ema-pytorch EMA, update_every={every}: {half_life(weights):.1f}")
    print("relative width of a power-function average that was asked for 0.1, after 4000 steps")
    for every in (1, 10, 100):
        weights = ema_pytorch(4000, kind="KarrasEMA", sigma_rel=0.1, update_every=every)
        print(f"  ema-pytorch KarrasEMA, update_every={every}: {relative_width(weights):.4f}, weights sum to {weights.sum():.6f}")
        kept = np.zeros(4000)
        for t in range(every, 4001, every):
            share = 1 - (1 - every / t) ** (6.94 + 1)
            kept *= 1 - share
            kept[t - 1] += share
        print(f"    1 - (1 - {every}/t)^7.94 instead: {relative_width(kept):.4f}")
    synthesis()


def synthesis():
    """Whether the weights of a synthesised average sum to 1."""
    from ema_pytorch.post_hoc_ema import solve_weights

    gammas = torch.tensor([16.97, 6.94] * 10, dtype=torch.float64)
    times = torch.tensor([100.0 * (k // 2 + 1) for k in range(20)], dtype=torch.float64)
    for sigma, gamma in ((0.08, 9.46), (0.15, 3.6), (0.2, 1.9)):
        w = solve_weights(times, gammas, torch.tensor([1000.0]), torch.tensor([gamma]))
        print(f"post-hoc weights for relative width {sigma}: sum {w.sum().item():.5f}")


if __name__ == "__main__":
    main()
