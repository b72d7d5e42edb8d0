"""Writes what both sides read: checkpoints, and the inputs of a case. Run by compare.py in a process of its own."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2ForSequenceClassification

import cases
from inputs import tile, to_tensors
from liveliness import random_tensors
from minicpm_o import MiniCpmO

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
SHARD = 1_000_000_000


def prepare(case, cache):
    """The folder of the case: `case.json` and, where there are any, its inputs."""
    folder = cache / "cases" / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    described = {"kind": case.kind, "dtype": case.dtype, "size": case.size, "responses": len(case.branches),
                 "replies": case.replies}
    generator = torch.Generator().manual_seed(1)
    if case.checkpoint:
        config = checkpoint(case, cache / f"{case.checkpoint}-{case.dtype}")
        described["checkpoint"] = str(cache / f"{case.checkpoint}-{case.dtype}")
        query_num = config.get("query_num", 0)
        contents = {"sequences": list(cases.sequences(case, config["vocab_size"], query_num, generator))}
        if case.images:
            count = 1 if case.images == "shared" else len(case.branches)
            contents["images"] = [[tile(case.side, case.side, generator) for _ in range(case.tiles)] for _ in range(count)]
        save_file(to_tensors(contents), folder / "inputs.safetensors")
    if case.kind == "image":
        pixels = torch.randint(0, 256, (case.size, case.size, 3), generator=generator, dtype=torch.uint8)
        save_file({"pixels": pixels}, folder / "inputs.safetensors")
    if case.kind == "mel":
        samples = torch.rand(case.size * 16000, generator=generator) * 0.2 - 0.1
        save_file({"samples": samples}, folder / "inputs.safetensors")
    (folder / "case.json").write_text(json.dumps(described))
    return folder


def checkpoint(case, folder):
    """Random weights in the published layout, made once."""
    config = (cases.media_config if case.kind == "media" else cases.text_config)(case.checkpoint)
    written = json.dumps(config, indent=2)
    if (folder / "config.json").exists() and (folder / "config.json").read_text() == written:
        return config
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with torch.device("meta"):
        if case.kind == "text":
            model = Qwen2ForSequenceClassification(Qwen2Config(**config))
        elif case.kind == "rollouts":
            model = Qwen2ForCausalLM(Qwen2Config(**config))
        else:
            model = MiniCpmO(config)
    shards = Shards(folder)
    for name, tensor in random_tensors(model, seed=3):
        tensor = tensor.to(DTYPES[case.dtype])
        if name.startswith("v_head."):
            shards.head[name] = tensor
        else:
            shards.add(name, tensor)
    shards.finish()
    (folder / "config.json").write_text(written)
    return config


class Shards:
    """Writes tensors as they come, so that a checkpoint need not fit into memory."""

    def __init__(self, folder):
        self.folder, self.files, self.current, self.size, self.head = folder, [], {}, 0, {}

    def add(self, name, tensor):
        if self.size + tensor.nbytes > SHARD and self.current:
            self.flush()
        self.current[name] = tensor
        self.size += tensor.nbytes

    def flush(self):
        save_file(self.current, self.folder / f"part-{len(self.files)}", metadata={"format": "pt"})
        self.files.append(list(self.current))
        self.current, self.size = {}, 0

    def finish(self):
        self.flush()
        weight_map = {}
        for i, names in enumerate(self.files):
            shard = f"model-{i + 1:05}-of-{len(self.files):05}.safetensors"
            (self.folder / f"part-{i}").rename(self.folder / shard)
            weight_map |= {name: shard for name in names}
        (self.folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        if self.head:
            save_file(self.head, self.folder / "value_head.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    import sys

    name, size, cache = sys.argv[1:]
    case = next(case for case in cases.FULL if case.name == name)
    print(prepare(cases.small(case) if size == "small" else case, Path(cache)))
