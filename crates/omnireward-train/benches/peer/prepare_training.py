"""Writes what both sides read: the checkpoint and the pairs of a case. Run by the driver in a process of its own."""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForSequenceClassification

import training_cases
from checkpoint import DTYPES
from inputs import join, medium, text, tile, to_tensors
from liveliness import random_tensors
from minicpm_o import MiniCpmO
from prepare import Shards


def prepare(case, cache):
    """The folder of the case: `case.json` and `inputs.safetensors`."""
    config = training_cases.config(case.checkpoint)
    model = cache / f"{case.checkpoint}-{case.dtype}"
    write_checkpoint(model, config, case)
    folder = cache / "cases" / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_file(to_tensors(pairs(case, config)), folder / "inputs.safetensors")
    (folder / "case.json").write_text(json.dumps(case.described(model), indent=2) + "\n")
    return folder


def pairs(case, config):
    """Sequence 2i is the chosen and 2i + 1 the rejected one of pair i, whose picture is image i."""
    generator = torch.Generator().manual_seed(1)
    placeholder = training_cases.placeholder(config)
    rows = case.tiles * config.get("query_num", 0)
    sequences = []
    for pair in range(case.pairs):
        # The picture follows the system turn; what was asked follows the picture.
        before = min(20, case.prompt // 2)
        system, question = (text(n, placeholder, generator) for n in (before, case.prompt - before))
        picture = [medium(pair, rows, placeholder)] if case.tiles else []
        for _ in range(2):
            sequences.append(join([system, *picture, question, text(case.answer, placeholder, generator)]))
    tiles = range(case.tiles)
    images = [[tile(case.side, case.side, generator) for _ in tiles] for _ in range(case.pairs)] if case.tiles else []
    return {"sequences": sequences, "images": images}


def write_checkpoint(folder, config, case):
    """Random weights in the published layout, made once."""
    written = json.dumps(config, indent=2)
    if (folder / "config.json").exists() and (folder / "config.json").read_text() == written:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with torch.device("meta"):
        model = Qwen2ForSequenceClassification(Qwen2Config(**config)) if case.kind == "text" else MiniCpmO(config)
    shards = Shards(folder)
    for name, tensor in random_tensors(model, seed=3):
        tensor = tensor.to(DTYPES[case.dtype])
        if name.startswith("v_head."):
            shards.head[name] = tensor
        else:
            shards.add(name, tensor)
    shards.finish()
    (folder / "config.json").write_text(written)


if __name__ == "__main__":
    name, size, cache = sys.argv[1:]
    chosen = next(case for case in training_cases.FULL if case.name == name)
    print(prepare(training_cases.small(chosen) if size == "small" else chosen, Path(cache)))
