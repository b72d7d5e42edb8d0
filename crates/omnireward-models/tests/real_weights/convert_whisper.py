"""Converts the encoder of an OpenAI Whisper checkpoint to safetensors with Hugging Face's names.

    python convert_whisper.py CHECKPOINT.pt ENCODER.safetensors

Only tensors are read from the checkpoint (`weights_only=True`). Needs torch and safetensors.
"""

import re
import sys

import torch
from safetensors.torch import save_file

NAMES = [
    (r"^encoder\.positional_embedding$", "embed_positions.weight"),
    (r"^encoder\.ln_post\.", "layer_norm."),
    (r"^encoder\.blocks\.", "layers."),
    (r"^encoder\.", ""),
    (r"\.attn\.query\.", ".self_attn.q_proj."),
    (r"\.attn\.key\.", ".self_attn.k_proj."),
    (r"\.attn\.value\.", ".self_attn.v_proj."),
    (r"\.attn\.out\.", ".self_attn.out_proj."),
    (r"\.attn_ln\.", ".self_attn_layer_norm."),
    (r"\.mlp_ln\.", ".final_layer_norm."),
    (r"\.mlp\.0\.", ".fc1."),
    (r"\.mlp\.2\.", ".fc2."),
]


def encoder(path):
    state = torch.load(path, map_location="cpu", weights_only=True)["model_state_dict"]
    return {name(key): value.contiguous() for key, value in state.items() if key.startswith("encoder.")}


def name(key):
    for pattern, replacement in NAMES:
        key = re.sub(pattern, replacement, key)
    return key


if __name__ == "__main__":
    save_file({f"apm.{key}": value for key, value in encoder(sys.argv[1]).items()}, sys.argv[2])
