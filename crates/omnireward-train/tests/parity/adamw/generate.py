"""Makes `expected.json`: twelve steps of torch.optim.AdamW on two tensors, one of which decays.

Numbers are written as f32 with all their digits. Needs torch; `scripts/oracle/env.sh` prints an interpreter that has
it.
"""

import json
from pathlib import Path

import torch

torch.manual_seed(0)
STEPS, SIZE = 12, 37
SETTINGS = {"betas": [0.9, 0.98], "epsilon": 1e-7, "weight_decay": 0.1}
RATES = [3e-3 * (step + 1) / STEPS for step in range(STEPS)]

weights = {"decays": torch.randn(SIZE), "stays": torch.randn(SIZE)}
# From tiny to large, so that epsilon matters for some, and one that is zero throughout.
sizes = torch.logspace(-9, 1, SIZE)
sizes[0] = 0.0
gradients = {name: torch.randn(STEPS, SIZE) * sizes for name in weights}

parameters = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
optimiser = torch.optim.AdamW(
    [
        {"params": [parameters["decays"]], "weight_decay": SETTINGS["weight_decay"]},
        {"params": [parameters["stays"]], "weight_decay": 0.0},
    ],
    betas=tuple(SETTINGS["betas"]),
    eps=SETTINGS["epsilon"],
    foreach=False,
)
for step in range(STEPS):
    for group in optimiser.param_groups:
        group["lr"] = RATES[step]
    for name, parameter in parameters.items():
        parameter.grad = gradients[name][step].clone()
    optimiser.step()

expected = {
    "settings": SETTINGS,
    "rates": RATES,
    "tensors": {
        name: {
            "start": weights[name].tolist(),
            "gradients": gradients[name].tolist(),
            "end": parameters[name].detach().tolist(),
            "first_moment": optimiser.state[parameters[name]]["exp_avg"].tolist(),
            "second_moment": optimiser.state[parameters[name]]["exp_avg_sq"].tolist(),
        }
        for name in weights
    },
}
Path(__file__).with_name("expected.json").write_text(json.dumps(expected) + "\n")
