"""Tiny text reward models of three families, with the rewards that transformers gives."""

import torch
from transformers import (
    LlamaConfig,
    LlamaForSequenceClassification,
    Qwen2Config,
    Qwen2ForSequenceClassification,
    Qwen3Config,
    Qwen3ForSequenceClassification,
)

from fixture import Folder
from liveliness import randomise, stored_as

# A dozen, so that how far their bf16 rewards are off does not hang on luck.
LENGTHS = (1, 7, 33, 90, 2, 5, 12, 20, 28, 45, 64, 71)
HIDDEN_OF = 2

COMMON = dict(
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    vocab_size=160,
    max_position_embeddings=256,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    num_labels=1,
)

# Weights stored in bf16 lose nothing when either side computes in it, so that family's spread is that of the
# arithmetic alone; those stored in f32 are rounded by both.
FAMILIES = {
    "qwen2": (
        Qwen2ForSequenceClassification,
        Qwen2Config(**COMMON, intermediate_size=176, rope_theta=1_000_000.0, rms_norm_eps=1e-6),
        torch.bfloat16,
    ),
    # Heads wider than hidden / heads, normalised queries and keys.
    "qwen3": (
        Qwen3ForSequenceClassification,
        Qwen3Config(**COMMON, intermediate_size=176, head_dim=32, rope_theta=1_000_000.0, rms_norm_eps=1e-6),
        torch.float32,
    ),
    # The original length is so small that slow, fast and intermediate frequencies all occur.
    "llama": (
        LlamaForSequenceClassification,
        LlamaConfig(
            **COMMON,
            intermediate_size=176,
            rope_theta=500_000.0,
            rms_norm_eps=1e-5,
            rope_scaling=dict(
                rope_type="llama3",
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=32,
            ),
        ),
        torch.bfloat16,
    ),
}


def make(out):
    for seed, (name, (architecture, config, stored)) in enumerate(FAMILIES.items()):
        folder = Folder(out / name)
        model = stored_as(randomise(architecture(config), 100 + seed).eval(), stored)
        model.save_pretrained(folder.path)
        for file in ("config.json", "model.safetensors"):
            folder.check(file)
        generator = torch.Generator().manual_seed(200 + seed)
        sequences = [torch.randint(3, config.vocab_size, (length,), generator=generator) for length in LENGTHS]
        expected = {f"tokens.{i}": tokens for i, tokens in enumerate(sequences)}
        expected |= outputs(stored_as(model, torch.float32), sequences, "f32")
        expected |= outputs(stored_as(model, torch.bfloat16), sequences, "bf16")
        folder.tensors("expected.safetensors", expected)
        report(name, expected)


@torch.no_grad()
def outputs(model, sequences, precision):
    rewards = [model(tokens[None]).logits[0, 0].float() for tokens in sequences]
    hidden = model.model(sequences[HIDDEN_OF][None]).last_hidden_state[0]
    return {f"{precision}.rewards": torch.stack(rewards), f"{precision}.hidden": hidden}


def report(name, expected):
    for kind in ("rewards", "hidden"):
        exact, rounded = expected[f"f32.{kind}"], expected[f"bf16.{kind}"].float()
        print(f"{name} {kind}: largest {exact.abs().max():.3f}, bf16 off by {(exact - rounded).abs().max():.2e}")
