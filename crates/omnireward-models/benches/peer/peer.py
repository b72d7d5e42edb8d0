"""The reference's worker: opens a case, then runs it once for every line it reads.

    peer.py FOLDER THREADS same|fastest

Answers each `run` with a line of JSON: seconds, rewards, and the most memory the process has had.
"""

import json
import os
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2ForSequenceClassification, WhisperFeatureExtractor
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

from inputs import from_tensors
from liveliness import stored_as
from minicpm_o import MiniCpmO
from processor import preprocess

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Text:
    """Sequence classification on every response, in batches of the size that was fastest in the first runs."""

    def __init__(self, case, inputs):
        self.dtype = case["peer_dtype"]
        self.model = Qwen2ForSequenceClassification.from_pretrained(
            case["checkpoint"], dtype=self.dtype, attn_implementation="sdpa"
        ).eval()
        sequences = from_tensors(inputs)["sequences"]
        # All of one length: a batch has no padding, and attention takes its fastest path.
        self.tokens = torch.stack([tokens for tokens, _ in sequences])
        self.batch = self.fastest()

    def run(self):
        return self.rewards(self.batch)

    def rewards(self, batch):
        return torch.cat([self.model(part).logits[:, 0].float() for part in self.tokens.split(batch)]).tolist()

    def fastest(self):
        sizes = [size for size in (1, 2, 4, 16) if size <= len(self.tokens)]
        return min(sizes, key=lambda size: best_of(2, lambda: self.rewards(size))) if len(sizes) > 1 else 1

    def describe(self):
        return f"{NAMES[self.dtype]}, batch of {self.batch}"


class Media:
    """Both responses of a criterion as one batch, each with its own encoding of its picture, as the original has it.

    It is run on the first criterion alone: it would do the same for every other.
    """

    def __init__(self, case, inputs):
        folder = Path(case["checkpoint"])
        with torch.device("meta"):
            self.model = MiniCpmO(json.loads((folder / "config.json").read_text())).eval()
        for shard in sorted(folder.glob("*.safetensors")):
            self.model.load_state_dict(load_file(shard), strict=False, assign=True)
        self.dtype = case["peer_dtype"]
        stored_as(self.model, self.dtype)
        # Not part of a checkpoint, and so still without memory.
        self.model.llm.model.rotary_emb = Qwen2RotaryEmbedding(self.model.llm.config)
        contents = from_tensors(inputs)
        self.sequences = contents["sequences"][: case["responses"]]
        used = [int(places[:, 0].max()) for _, places in self.sequences]
        self.images = [contents["images"][image] for image in used]
        # The place of a feature names the response's own copy.
        self.places = [torch.where(p >= 0, torch.tensor([i, 0]) + p * torch.tensor([0, 1]), p)
                       for i, (_, p) in enumerate(self.sequences)]

    def run(self):
        _, features = self.model.images(self.images)
        embedded = [self.model.embed(tokens, places, features)
                    for (tokens, _), places in zip(self.sequences, self.places)]
        hidden = self.model.hidden(torch.stack(embedded))[:, -1]
        return self.model.rewards(hidden).float().tolist()

    def describe(self):
        return f"{NAMES[self.dtype]}, batch of {len(self.sequences)}"


class Rollouts:
    """All replies to a prompt as one batch, as `num_return_sequences` lays them out; greedy, so that they can be compared."""

    def __init__(self, case, inputs):
        self.dtype = case["peer_dtype"]
        self.model = Qwen2ForCausalLM.from_pretrained(
            case["checkpoint"], dtype=self.dtype, attn_implementation="sdpa"
        ).eval()
        tokens, _ = from_tensors(inputs)["sequences"][0]
        self.tokens = tokens[None].expand(case["replies"], -1)
        self.length = case["size"]

    def run(self):
        written = self.model.generate(
            self.tokens, attention_mask=torch.ones_like(self.tokens), do_sample=False, max_new_tokens=self.length,
            eos_token_id=None, pad_token_id=0,
        )
        return written[0, self.tokens.shape[1]:].double().tolist()

    def describe(self):
        return f"{NAMES[self.dtype]}, generate with a batch of {len(self.tokens)}"


class Product:
    def __init__(self, case, _):
        generator = torch.Generator().manual_seed(5)
        shape = (case["size"], case["size"])
        self.x, self.weight = (torch.randn(shape, generator=generator).to(DTYPES[case["dtype"]]) for _ in range(2))

    def run(self):
        torch.nn.functional.linear(self.x, self.weight)
        return []

    def describe(self):
        return "torch.nn.functional.linear"


class Image:
    def __init__(self, _, inputs):
        self.pixels = inputs["pixels"].numpy()

    def run(self):
        return [float(tile[0, 0, 0] + tile[-1, -1, -1]) for tile in preprocess(self.pixels)]

    def describe(self):
        return "PIL, NumPy and torch, as the original processor"


class Mel:
    def __init__(self, _, inputs):
        self.samples = inputs["samples"].numpy()
        self.extractor = WhisperFeatureExtractor()

    def run(self):
        mels = self.extractor(self.samples, sampling_rate=16000, return_tensors="pt").input_features
        frames = -(-len(self.samples) // 160)
        return [float(mels[0, 0, 0] + mels[0, -1, frames - 1])]

    def describe(self):
        return "WhisperFeatureExtractor"


KINDS = {"text": Text, "media": Media, "rollouts": Rollouts, "product": Product, "image": Image, "mel": Mel}


def fastest_dtype(wanted):
    """bf16, unless this processor has no instructions for it and PyTorch is faster with the weights widened."""
    if wanted == "f32":
        return DTYPES[wanted]
    matrices = {dtype: torch.randn(768, 768).to(dtype) for dtype in NAMES}
    return min(matrices, key=lambda dtype: best_of(5, lambda: torch.nn.functional.linear(matrices[dtype], matrices[dtype])))


def best_of(times, function):
    return min(seconds(function)[0] for _ in range(times))


def seconds(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def peak_memory():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def main():
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads or os.cpu_count())
    case = json.loads((folder / "case.json").read_text())
    case["peer_dtype"] = fastest_dtype(case["dtype"]) if sys.argv[3] == "fastest" else DTYPES[case["dtype"]]
    inputs = folder / "inputs.safetensors"
    with torch.inference_mode():
        worker = KINDS[case["kind"]](case, load_file(inputs) if inputs.exists() else {})
        say({"ready": worker.describe()})
        for _ in sys.stdin:
            elapsed, rewards = seconds(worker.run)
            say({"seconds": elapsed, "rewards": rewards, "memory": peak_memory()})


def say(message):
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
