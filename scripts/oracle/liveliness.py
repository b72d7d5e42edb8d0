"""Random weights under which every part of a model has a say.

With the usual initialisation (deviation 0.02) a tiny model is nearly the identity: attention is uniform, gates are
linear, and a wrong layer hides below any tolerance. Here a matrix keeps the size of what goes through it, queries
and keys are large enough for sharp attention, and norms and biases are far from one and zero.
"""

import math

import torch


def randomise(module, seed):
    """Fills every parameter of `module`, the same for a given seed, names and shapes."""
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, tensor in random_tensors(module, seed):
            parameters[name].copy_(tensor)
    return module


def random_tensors(module, seed):
    """What `randomise` fills in, one by one; `module` itself may be without memory."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(module.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        yield name, noise.mul_(scale(name, parameter)).add_(offset(name))


def stored_as(module, dtype):
    """Converts the parameters and nothing else.

    `module.to(dtype)` would round the rotary frequencies as well, for good. A checkpoint that is opened in bf16 has
    them in f32.
    """
    for parameter in module.parameters():
        parameter.data = parameter.data.to(dtype)
    return module


def offset(name):
    return 1.0 if is_norm(name) and name.endswith("weight") else 0.0


def scale(name, parameter):
    if parameter.dim() == 1:
        return 0.25
    if "embed_positions" in name or "position_embedding" in name:
        return 0.5
    if "embed_tokens" in name or name.endswith("query"):
        return 1.0
    fan_in = math.prod(parameter.shape[1:])
    gain = 1.6 if any(part in name for part in ("q_proj", "k_proj", "in_proj", "qkv")) else 1.0
    if "summary" in name or "score" in name:
        gain = 0.5
    return gain / math.sqrt(fan_in)


def is_norm(name):
    return any(part in name for part in ("norm", "ln_"))
