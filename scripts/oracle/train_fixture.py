"""Makes the fixtures of the trainer's parity tests: what twenty steps of the reference do to tiny models.

Run by a developer:  $(scripts/oracle/env.sh) scripts/oracle/train_fixture.py target/release/omnireward [OUT]

The models are those of `omnireward model random --size tiny --dtype f32 --seed 11`, so a test makes them itself and
the fixtures hold only token sequences, small media, settings and what is expected:

    text.safetensors, media.safetensors   sequences 2i (chosen) and 2i + 1 (rejected) of pair i, and media, as
                                          `inputs.py` describes them; media are numbered images first, then clips
    NAME.json                             settings; the loss of every step before its update; the norm of its gradient
                                          before clipping; the learning rate it was taken with; rewards before, and
                                          margins (chosen - rejected) after; how far each trained matrix went

Two sums are 0 but for rounding, and AdamW makes steps of them: the gradient of the value head's bias, which moves both
sides of a pair alike, and that of a bias that moves all of a query's logits. So rewards after training are compared by
their margins, and vectors not at all.

Every step takes four pairs, in two passes of two pairs whose gradients are added: pairs 0 to 3, then 4 to 7, and so on.
The loss of a step is the mean over its four pairs. Learning rates are those of transformers' schedules, by which the
first step of a warm-up has rate 0. Nothing is dropped out.

Sums of single precision depend on their order, and AdamW makes much of small gradients. How much is measured: `spread`
holds the largest differences when every weight is first off by about 1e-7 of itself.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import get_cosine_schedule_with_warmup

from checkpoint import features, is_matrix, open_model, optimiser, preference_loss, rewards, train_only
from fixture import Folder
from inputs import join, medium, mel, text, tile, to_tensors

OUT = Path(__file__).parents[2] / "crates/omnireward-train/tests/fixtures/reference_steps"
SEED = 11
SETTINGS = {
    "steps": 20,
    "batch_pairs": 4,
    "pass_pairs": 2,
    "learning_rate": 2e-4,
    "schedule": "cosine",
    "warmup_steps": 4,
    "weight_decay": 0.1,
    "betas": [0.9, 0.999],
    "epsilon": 1e-8,
    "clip": 1.0,
}
TEXT = ["decoder", "head"]
CASES = {
    "qwen2": ("qwen2", "text", TEXT),
    "minicpm_o_frozen_towers": ("minicpm-o", "media", TEXT),
    "minicpm_o_all_parts": ("minicpm-o", "media", [*TEXT, "vision", "resampler", "audio", "audio_projection"]),
}
# Below every special token of the tiny tokenizers, whose first tokens are bytes.
TOKENS = 256


def main(program, out):
    folder = Folder(out)
    contents = {"text": text_pairs(), "media": media_pairs()}
    for name, content in contents.items():
        folder.tensors(f"{name}.safetensors", to_tensors(content))
    for name, (kind, inputs, parts) in CASES.items():
        with tempfile.TemporaryDirectory() as scratch:
            checkpoint = Path(scratch) / kind
            make(program, kind, checkpoint)
            folder.json(f"{name}.json", case(checkpoint, kind, inputs, parts, contents[inputs]))


def make(program, kind, checkpoint):
    command = [program, "model", "random", checkpoint, "--kind", kind, "--size", "tiny", "--dtype", "f32"]
    subprocess.run([*command, "--seed", str(SEED), "--quiet"], check=True, stdout=subprocess.DEVNULL)


def case(checkpoint, kind, inputs, parts, contents):
    made = train(checkpoint, parts, contents)
    other = train(checkpoint, parts, contents, disturbed=1e-7)
    print(f"{kind} {parts}: losses {made['losses'][0]:.4f} to {made['losses'][-1]:.4f}, "
          f"gradients' norms {min(made['gradient_norms']):.2f} to {max(made['gradient_norms']):.2f}")
    weights = hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
    spread = {
        name: max(abs(a - b) for a, b in zip(made[name], other[name], strict=True))
        for name in ("losses", "gradient_norms", "rewards_before", "margins_after")
    }
    spread["moved"] = max(
        abs(a["norm"] - b["norm"]) / a["norm"] for a, b in zip(made["moved"], other["moved"], strict=True)
    )
    print("  spread", {name: f"{value:.1e}" for name, value in spread.items()})
    checkpoint = {"kind": kind, "size": "tiny", "dtype": "f32", "seed": SEED, "model_sha256": weights}
    return {"checkpoint": checkpoint, "inputs": inputs, "parts": parts, "settings": SETTINGS, **made, "spread": spread}


def train(checkpoint, parts, contents, disturbed=0.0):
    model = open_model(checkpoint, torch.float32)
    disturb(model, disturbed)
    train_only(model, parts)
    begun = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    adamw = optimiser(model, SETTINGS)
    schedule = get_cosine_schedule_with_warmup(adamw, SETTINGS["warmup_steps"], SETTINGS["steps"])
    before = all_rewards(model, contents)
    losses, norms, rates = [], [], []
    for step in range(SETTINGS["steps"]):
        losses.append(sum(backward(model, contents, pairs) for pairs in passes(step, len(contents["sequences"]) // 2)))
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        norms.append(torch.nn.utils.clip_grad_norm_(trained, SETTINGS["clip"]).item())
        rates.append(schedule.get_last_lr()[0])
        adamw.step()
        schedule.step()
        adamw.zero_grad()
    after = all_rewards(model, contents)
    return {
        "losses": losses,
        "gradient_norms": norms,
        "learning_rates": rates,
        "rewards_before": before,
        "margins_after": [chosen - rejected for chosen, rejected in zip(after[0::2], after[1::2], strict=True)],
        "moved": moved(model, begun),
    }


def passes(step, pairs):
    """The pairs of each forward pass of a step."""
    batch, size = SETTINGS["batch_pairs"], SETTINGS["pass_pairs"]
    first = step * batch % pairs
    return [range(start, start + size) for start in range(first, first + batch, size)]


def backward(model, contents, pairs):
    """Adds the gradient of some pairs' part of the step's loss, and returns that part."""
    media = features(model, contents)
    sequences = contents["sequences"]
    chosen = rewards(model, [sequences[2 * pair] for pair in pairs], media)
    rejected = rewards(model, [sequences[2 * pair + 1] for pair in pairs], media)
    loss = preference_loss(chosen, rejected) * len(pairs) / SETTINGS["batch_pairs"]
    loss.backward()
    return loss.item()


@torch.no_grad()
def all_rewards(model, contents):
    return rewards(model, contents["sequences"], features(model, contents)).tolist()


@torch.no_grad()
def disturb(model, by):
    generator = torch.Generator().manual_seed(5)
    for parameter in model.parameters():
        parameter.mul_(1 + by * torch.randn(parameter.shape, generator=generator))


def moved(model, begun):
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad and is_matrix(p)}
    distances = {name: (p.detach() - begun[name]).double().norm().item() for name, p in trained.items()}
    # The language model's output matrix is trained in name, and no loss reaches it.
    return [{"name": name, "norm": norm} for name, norm in distances.items() if norm > 0]


def text_pairs():
    """Eight prompts of as many lengths, each with two answers."""
    generator = torch.Generator().manual_seed(1)
    sequences = []
    for prompt, chosen, rejected in zip((5, 9, 14, 3, 20, 7, 11, 2), (6, 12, 3, 1, 9, 15, 4, 8), (4, 12, 7, 2, 5, 11, 10, 1)):
        prompt = text(prompt, TOKENS, generator)
        sequences += [join([prompt, text(length, TOKENS, generator)]) for length in (chosen, rejected)]
    return {"sequences": sequences}


def media_pairs():
    """In each half of the pairs: a picture shared by both sides, a picture for each side, a sound, and words alone."""
    generator = torch.Generator().manual_seed(2)
    images = [[tile(3, 4, generator)] for _ in range(6)]
    clips = [mel(100, generator) for _ in range(2)]
    sequences = []
    for half in range(2):
        first = 3 * half
        sequences += pair((first, first), IMAGE_ROWS, generator)
        sequences += pair((first + 1, first + 2), IMAGE_ROWS, generator)
        sequences += pair((len(images) + half,) * 2, CLIP_ROWS, generator)
        sequences += pair((None, None), 0, generator)
    return {"images": images, "clips": clips, "sequences": sequences}


# Queries of the resampler; 100 frames are halved by the convolution and again by the pooling.
IMAGE_ROWS, CLIP_ROWS = 64, 25


def pair(media, rows, generator):
    """Both sequences of a pair: words, the medium, words; where each side has its own medium, the words are the same."""
    before, question = text(4, TOKENS, generator), text(6, TOKENS, generator)
    answers = [text(5, TOKENS, generator), text(7, TOKENS, generator)]
    if media[0] != media[1]:
        answers[1] = answers[0]
    standing = [[] if number is None else [medium(number, rows, TOKENS - 1)] for number in media]
    return [join([before, *own, question, answer]) for own, answer in zip(standing, answers)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else OUT)
