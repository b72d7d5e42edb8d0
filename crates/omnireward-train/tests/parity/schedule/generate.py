"""Makes `expected.json`: learning rates of the schedules of transformers, with a peak of 2e-6.

Needs torch and transformers; `scripts/oracle/env.sh` prints an interpreter that has them.
"""

import json
from pathlib import Path

import torch
from transformers.optimization import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

PEAK = 2e-6
SHAPES = [(20, 0), (23, 5), (7, 7), (5, 8)]
SCHEDULES = {
    "constant": lambda optimiser, total, warmup: get_constant_schedule_with_warmup(optimiser, warmup),
    "linear": lambda optimiser, total, warmup: get_linear_schedule_with_warmup(optimiser, warmup, total),
    "cosine": lambda optimiser, total, warmup: get_cosine_schedule_with_warmup(optimiser, warmup, total),
}


def rates(make, total, warmup):
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=PEAK)
    schedule = make(optimiser, total, warmup)
    found = []
    for _ in range(total):
        found.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    return found


cases = [
    {"schedule": name, "total": total, "warmup": warmup, "rates": rates(make, total, warmup)}
    for name, make in SCHEDULES.items()
    for total, warmup in SHAPES
]
Path(__file__).with_name("expected.json").write_text("[\n" + ",\n".join(map(json.dumps, cases)) + "\n]\n")
