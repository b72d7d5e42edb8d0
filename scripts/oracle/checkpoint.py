"""Opens checkpoints with the reference: MiniCPM-o with a value head, or a sequence classifier for text.

Strict: a tensor too many or too few is an error, so that what loads here has the published names.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

from liveliness import stored_as
from minicpm_o import MiniCpmO

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def config_of(folder):
    return json.loads((Path(folder) / "config.json").read_text())


def open_model(folder, dtype=None):
    """The model of a checkpoint; `dtype` is the type it computes in, that of its weights when not given."""
    if config_of(folder)["model_type"] == "minicpmo":
        return open_minicpm_o(folder, dtype)
    model, report = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=dtype or "auto", attn_implementation="sdpa", output_loading_info=True
    )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[problem]:
            raise SystemExit(f"{folder}: {problem.replace('_', ' ')}: {sorted(map(str, report[problem]))}")
    return model.eval()


def open_minicpm_o(folder, dtype=None):
    with torch.device("meta"):
        model = MiniCpmO(config_of(folder)).eval()
    tensors = {}
    for shard in sorted(Path(folder).glob("*.safetensors")):
        tensors |= load_file(shard)
    if config_of(folder).get("tie_word_embeddings"):
        tensors["llm.lm_head.weight"] = tensors["llm.model.embed_tokens.weight"]
    model.load_state_dict(tensors, assign=True)
    # Not part of a checkpoint, and so still without memory.
    model.llm.model.rotary_emb = Qwen2RotaryEmbedding(model.llm.config)
    return stored_as(model, dtype) if dtype else model


def features(model, contents):
    """One `[rows, hidden]` for each medium: those of images, then those of clips."""
    images, clips = contents.get("images"), contents.get("clips")
    return (model.images(images)[1] if images else []) + (model.clips(clips)[1] if clips else [])


def rewards(model, sequences, media=()):
    """`sequences`: `(tokens, places)` as in `inputs`, each computed on its own; returns `[sequences]`, in f32."""
    read = read_minicpm_o if isinstance(model, MiniCpmO) else read_classifier
    return torch.stack([read(model, tokens, places, media) for tokens, places in sequences])


def read_minicpm_o(model, tokens, places, media):
    hidden = model.hidden(model.embed(tokens, places, media)[None])[0, -1]
    return model.rewards(hidden).float()


def read_classifier(model, tokens, _places, _media):
    return model(tokens[None], use_cache=False).logits[0, 0].float()


def is_matrix(parameter):
    """Whether weight decay applies: vectors are biases and norms, which transformers' Trainer leaves out as well."""
    return parameter.dim() > 1


# Each rises from 0 during its warm-up.
SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}


def optimiser(model, settings):
    """AdamW as transformers' Trainer makes it for the parameters that are trained."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if is_matrix(p)], "weight_decay": settings["weight_decay"]},
        {"params": [p for p in trained if not is_matrix(p)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=settings["learning_rate"], betas=tuple(settings["betas"]), eps=settings["epsilon"], fused=True
    )


PARTS = {
    "decoder": ("llm.", "model."),
    "head": ("v_head.", "score."),
    "vision": ("vpm.",),
    "resampler": ("resampler.",),
    "audio": ("apm.",),
    "audio_projection": ("audio_projection_layer.",),
}


def train_only(model, parts):
    """Freezes everything but the named parts, whose names are those of recipes."""
    prefixes = tuple(prefix for part in parts for prefix in PARTS[part])
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(prefixes))


def preference_loss(chosen, rejected):
    """Bradley and Terry's (1952): the mean of -log sigmoid(chosen - rejected)."""
    return -torch.nn.functional.logsigmoid(chosen - rejected).mean()
