"""Where ten steps of PyTorch's optimizers end on the problem of point.rs: python optimizers.py > optimizers.json

In double precision; the version is in the output.
"""

import json
import math

import torch

START = [1.0, -0.5, 0.25, 2.0, -1.5]
CURVATURES = [0.3, 1.7, 4.0, 0.05, 2.5]


def run(make, clip=None):
    x = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    optimizer = make([x])
    for step in range(10):
        noise = [math.sin(1.3 * (step + 1) * (i + 2)) for i in range(5)]
        with torch.no_grad():
            x.grad = torch.tensor(CURVATURES, dtype=torch.float64) * x + torch.tensor(noise, dtype=torch.float64)
        if clip is not None:
            torch.nn.utils.clip_grad_norm_([x], clip)
        optimizer.step()
    return x.tolist()


rate, decay = 0.05, 0.1
results = {
    "torch": torch.__version__,
    "sgd": run(lambda p: torch.optim.SGD(p, lr=rate, momentum=0.9, weight_decay=decay)),
    "nesterov": run(lambda p: torch.optim.SGD(p, lr=rate, momentum=0.9, nesterov=True, weight_decay=decay)),
    "adam": run(lambda p: torch.optim.Adam(p, lr=rate, weight_decay=decay)),
    "adamw": run(lambda p: torch.optim.AdamW(p, lr=rate, weight_decay=decay)),
    "clipped": run(lambda p: torch.optim.SGD(p, lr=rate, momentum=0.9), clip=0.5),
}
print(json.dumps(results, indent=1))
