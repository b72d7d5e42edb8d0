"""Writes buckets.json: the position buckets of every patch count below 200, as PyTorch computes them.

Run with the interpreter that holds torch; the expressions are those of the NaViT position embedding of
MiniCPM-V and MiniCPM-o: counts arrive as integer tensors, so the step 1/n is a float32, and the
thresholds come from Python floats.

    python make.py > buckets.json
"""

import json
import sys

import torch

SIDES = [4, 5, 16, 27, 32, 64, 70]  # patches along a side of the position table; 70 is the published value
LARGEST = 199


def buckets(count: int, side: int) -> list[int]:
    thresholds = torch.arange(1 / side, 1.0, 1 / side)
    step = 1 / torch.tensor(count, dtype=torch.int32)
    coordinates = torch.arange(0, 1 - 1e-6, step)
    return torch.bucketize(coordinates, thresholds, right=True).tolist()


def main() -> None:
    torch.set_num_threads(1)
    cases = {}
    for side in SIDES:
        largest = LARGEST if side == 70 else 60
        cases[str(side)] = [buckets(count, side) for count in range(1, largest + 1)]
    json.dump(
        {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability(), "buckets": cases},
        sys.stdout,
        separators=(",", ":"),
    )
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
