"""Writes the files that the tests read, and refuses those too big to keep beside the code."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

LIMIT = 1_000_000


class Folder:
    """One folder of fixtures, made anew."""

    def __init__(self, path):
        self.path = Path(path)
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)

    def json(self, name, value):
        (self.path / name).write_text(json.dumps(value, indent=2) + "\n")
        self.check(name)

    def tensors(self, name, tensors):
        tensors = {key: torch.as_tensor(value).contiguous() for key, value in tensors.items()}
        save_file(tensors, self.path / name, metadata={"format": "pt"})
        self.check(name)

    def checkpoint(self, tensors, shard_limit=900_000):
        """`tensors` in shards with an index, in the layout that every published checkpoint of this kind has."""
        shards, size = [{}], 0
        for name, tensor in tensors.items():
            if size and size + tensor.nbytes > shard_limit:
                shards.append({})
                size = 0
            shards[-1][name] = tensor
            size += tensor.nbytes
        names = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
        for name, shard in zip(names, shards):
            self.tensors(name, shard)
        self.json(
            "model.safetensors.index.json",
            {
                "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())},
                "weight_map": {key: name for name, shard in zip(names, shards) for key in shard},
            },
        )

    def check(self, name):
        size = (self.path / name).stat().st_size
        print(f"{size:9,} {self.path.name}/{name}")
        if size > LIMIT:
            raise SystemExit(f"{self.path / name} takes {size:,} bytes, the limit is {LIMIT:,}")
