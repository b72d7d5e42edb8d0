"""The peer's side: TRL's RewardTrainer with the settings of a recipe.

    trl_side.py RECIPE CHECKPOINT TRAIN.jsonl TEST.jsonl OUT [--seed N]

OUT gets `metrics.jsonl` (a line a step: loss, accuracy, learning rate, norm of the gradient, seconds since the start) and
`rewards.jsonl` (a line for each test pair, rewards in the order of its responses). A setting of the recipe that has no
counterpart here is an error, not left out.
"""

import argparse
import json
import os
import tempfile
import time
import tomllib
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from trl import RewardConfig, RewardTrainer

from conversation import chosen_first, turns

PREFIXES = {"decoder": "model.", "head": "score."}
NAMES = {
    "epochs": "num_train_epochs",
    "learning_rate": "learning_rate",
    "warmup_ratio": "warmup_ratio",
    "weight_decay": "weight_decay",
    "epsilon": "adam_epsilon",
    "clip": "max_grad_norm",
    "gradient_checkpointing": "gradient_checkpointing",
}
SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}
# They say where things are, or how the program packs, measures and keeps them.
WITHOUT_EFFECT = {
    "model": {"path", "too_long"},
    "train": {"batch_rows", "log_every"},
    "objective": set(),
    "data": {"path"},
    "evaluation": {"data", "every"},
    "checkpoints": {"every", "keep"},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("recipe", "checkpoint", "train", "test", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seed", type=int, help="instead of the recipe's")
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    settings = Settings(options.recipe)
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(options.checkpoint)
    model = AutoModelForSequenceClassification.from_pretrained(
        options.checkpoint, dtype=torch.float32, attn_implementation="sdpa"
    )
    freeze(model, settings)
    with tempfile.TemporaryDirectory() as scratch:
        seed = settings.train["seed"] if options.seed is None else options.seed
        train(model, tokenizer, settings.arguments(scratch, seed), options)
    with (options.out / "rewards.jsonl").open("w") as lines:
        for pair in read(options.test):
            lines.write(json.dumps({"id": pair["id"], "rewards": rewards(model, tokenizer, pair)}) + "\n")


class Settings:
    """A recipe, as far as both sides know what it asks for."""

    def __init__(self, path):
        recipe = tomllib.loads(path.read_text())
        self.path, self.model, self.train = path, recipe["model"], recipe["train"]
        self.objective = recipe.get("objective", {})
        self.must_be("model.precision", self.model["precision"], "f32")
        self.must_be("train.head_dropout", self.train["head_dropout"], 0.0)
        self.must_be("objective.likelihood", self.objective.get("likelihood", "bradley-terry"), "bradley-terry")
        known = {"model": {"precision", "max_length"}, "objective": {"likelihood", "centring"}}
        known["train"] = {*NAMES, "schedule", "parts", "freeze", "head_dropout", "betas", "batch_pairs", "seed"}
        for section, values in recipe.items():
            allowed = known.get(section, set()) | WITHOUT_EFFECT.get(section, set())
            for one in values if isinstance(values, list) else [values]:
                if unknown := set(one) - allowed:
                    self.refuse(f"{section} has {', '.join(sorted(unknown))}, which the peer does not know")

    def must_be(self, name, found, known):
        if found != known:
            self.refuse(f"{name} is {found!r}, and the peer knows {known!r} only")

    def refuse(self, reason):
        raise SystemExit(f"{self.path}: {reason}")

    def arguments(self, scratch, seed):
        """A pair a pass: padded to the longest of four pairs these sequences would be 1.6 times as many tokens."""
        first, second = self.train["betas"]
        return RewardConfig(
            scratch, use_cpu=True, bf16=False, report_to="none", save_strategy="no", logging_steps=1, seed=seed,
            disable_tqdm=True, dataloader_pin_memory=False, max_length=self.model["max_length"],
            per_device_train_batch_size=1, gradient_accumulation_steps=self.train["batch_pairs"], adam_beta1=first,
            adam_beta2=second, lr_scheduler_type=SCHEDULES[self.train["schedule"]],
            center_rewards_coefficient=self.objective.get("centring") or None,
            **{theirs: self.train[ours] for ours, theirs in NAMES.items()},
        )


def freeze(model, settings):
    trained = tuple(PREFIXES[part] for part in settings.train["parts"])
    frozen = tuple(settings.train["freeze"])
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(trained) and not name.startswith(frozen))


def train(model, tokenizer, arguments, options):
    chosen, rejected = zip(*([turns(pair, text) for text in chosen_first(pair)] for pair in read(options.train)))
    pairs = Dataset.from_dict({"chosen": list(chosen), "rejected": list(rejected)})
    trainer = RewardTrainer(
        model=model, args=arguments, train_dataset=pairs, processing_class=tokenizer,
        callbacks=[Metrics(options.out / "metrics.jsonl")],
    )
    if len(trainer.train_dataset) != len(pairs):
        raise SystemExit(f"{len(pairs) - len(trainer.train_dataset)} pairs are longer than the recipe allows")
    trainer.train()
    model.eval()


class Metrics(TrainerCallback):
    def __init__(self, path):
        self.lines, self.start = path.open("w"), time.monotonic()

    def on_log(self, _args, state, _control, logs, **_):
        if "loss" in logs:
            line = {name: logs[name] for name in ("loss", "accuracy", "margin", "learning_rate", "grad_norm")}
            self.lines.write(json.dumps({"step": state.global_step, "seconds": time.monotonic() - self.start, **line}) + "\n")
            self.lines.flush()


@torch.inference_mode()
def rewards(model, tokenizer, pair):
    ids = [tokenizer.apply_chat_template(turns(pair, response), return_tensors="pt") for response in pair["responses"]]
    return [model(one, use_cache=False).logits[0, 0].item() for one in ids]


def read(path):
    with path.open() as lines:
        return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
