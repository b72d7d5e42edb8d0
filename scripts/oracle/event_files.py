"""Compares a training's event files, as TensorBoard itself reads them, with its `metrics.jsonl`.

    python -m pip install tensorboard==2.21.0
    python scripts/oracle/event_files.py RUN

Fails when a number of either is not in the other, at the same step.
"""

import json
import sys
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

STEP = {
    "loss": "loss",
    "learning_rate": "rate",
    "grad_norm": "grad_norm",
    "epoch": "epoch",
    "tokens_per_second": "tokens_per_second",
    "tie_margin": "tie_margin",
    "accuracy": "accuracy",
    "margin": "margin",
}


def of_step(record):
    return {f"train/{tag}": record[key] for tag, key in STEP.items()}


def of_evaluation(record):
    shares = {task["task"]: task["accuracy"] for task in record["tasks"]}
    known = [share for share in shares.values() if share is not None]
    shares["macro_accuracy"] = sum(known) / len(known) if known else None
    shares["accuracy"] = record["overall"]["accuracy"]
    shares["accuracy_with_ties"] = record["with_ties"]["accuracy"]
    shares["loss"] = record["loss"]
    return {f"{record['name']}/{tag}": value for tag, value in shares.items()}


def of_lines(run):
    kinds = {"step": of_step, "evaluation": of_evaluation}
    numbers = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        for tag, value in kinds[record["kind"]](record).items():
            if value is not None:
                numbers[tag, record["step"]] = np.float32(value)
    return numbers


def of_events(run):
    events = EventAccumulator(str(run / "events"), size_guidance={"scalars": 0})
    events.Reload()
    return {
        (tag, scalar.step): np.float32(scalar.value)
        for tag in events.Tags()["scalars"]
        for scalar in events.Scalars(tag)
    }


def main():
    run = Path(sys.argv[1])
    lines, events = of_lines(run), of_events(run)
    different = [key for key in lines.keys() | events.keys() if lines.get(key) != events.get(key)]
    for tag, step in sorted(different)[:20]:
        print(f"{tag} at step {step}: {lines.get((tag, step))} in lines, {events.get((tag, step))} in events")
    if different:
        sys.exit(f"{len(different)} of {len(lines)} numbers differ")
    print(f"{len(lines)} numbers are the same in both")


if __name__ == "__main__":
    main()
