"""The reference on a checkpoint that was trained elsewhere, and a checkpoint of the reference's own.

    python=$(scripts/oracle/env.sh)
    $python scripts/oracle/trained_checkpoint.py rewards CHECKPOINT INPUTS.safetensors [--precision f32|bf16]
    $python scripts/oracle/trained_checkpoint.py pairs CHECKPOINT PAIRS.jsonl [--precision f32|bf16]
    $python scripts/oracle/trained_checkpoint.py golden CHECKPOINT
    $python scripts/oracle/trained_checkpoint.py write TEMPLATE OUT [--seed N] [--dtype f32|bf16]

`rewards` prints `{"sequence": I, "reward": X}` for each sequence of a file as `inputs.py` describes it.

`pairs` prints `{"id": …, "rewards": […]}` for each pair of words, laid out and tokenised here: `prompt`, `criterion` and
`responses` of our own format, without media. `golden` does the same with the `golden.json` beside the weights, and ends
with 1 when a reward is further from the stored one than the file allows.

`write` fills the shape of the checkpoint TEMPLATE (its configuration and tokenizer are copied) with random weights of
the reference, in its names and layout.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from checkpoint import DTYPES, config_of, features, open_model, rewards
from inputs import from_tensors
from liveliness import randomise, stored_as
from minicpm_o import MiniCpmO

SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."


def main():
    options = arguments()
    with torch.no_grad():
        options.run(options)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for run, inputs in ((print_rewards, "inputs"), (print_pairs, "pairs"), (check_golden, None)):
        command = commands.add_parser(NAMES[run])
        command.set_defaults(run=run)
        command.add_argument("checkpoint", type=Path)
        if inputs:
            command.add_argument(inputs, type=Path)
            command.add_argument("--precision", choices=DTYPES, help="that of the weights when not given")
    command = commands.add_parser("write")
    command.set_defaults(run=write)
    command.add_argument("template", type=Path)
    command.add_argument("out", type=Path)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--dtype", choices=DTYPES, default="f32")
    return parser.parse_args()


def print_rewards(options):
    model = open_model(options.checkpoint, DTYPES.get(options.precision))
    contents = from_tensors(load_file(options.inputs))
    for i, reward in enumerate(rewards(model, contents["sequences"], features(model, contents)).tolist()):
        print(json.dumps({"sequence": i, "reward": reward}))


def print_pairs(options):
    with options.pairs.open() as lines:
        pairs = [json.loads(line) for line in lines]
    scorer = Scorer(options.checkpoint, DTYPES.get(options.precision))
    for number, pair in enumerate(pairs, 1):
        print(json.dumps({"id": pair.get("id", number), "rewards": scorer.rewards(pair)}))


def check_golden(options):
    golden = json.loads((options.checkpoint / "golden.json").read_text())
    scorer = Scorer(options.checkpoint, DTYPES.get(golden["precision"]))
    worst = 0.0
    for pair in golden["pairs"]:
        for was, now in zip(pair["rewards"], scorer.rewards(pair), strict=True):
            off = abs(now - was) / max(abs(was), 1.0)
            worst = max(worst, off)
            print(f"{was:12.6f} {now:12.6f} {off:.1e}")
    print(f"largest relative difference {worst:.1e}, allowed {golden['tolerance']:.1e}")
    if worst > golden["tolerance"]:
        sys.exit(1)


class Scorer:
    """Pairs of words to rewards."""

    def __init__(self, folder, dtype):
        self.model = open_model(folder, dtype)
        layout = MiniCpmOTurns if isinstance(self.model, MiniCpmO) else ChatTemplate
        self.turns = layout(folder)

    def rewards(self, pair):
        return [self.reward(pair, response) for response in pair["responses"]]

    def reward(self, pair, response):
        tokens = torch.tensor(self.turns.tokens(pair["prompt"], pair.get("criterion"), response))
        return rewards(self.model, [(tokens, torch.full((len(tokens), 2), -1))]).item()


class MiniCpmOTurns:
    """System turn (the criterion, or the usual one), question and answer, each tokenised on its own."""

    def __init__(self, folder):
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def tokens(self, prompt, criterion, response):
        turns = (
            f"<|im_start|>system\n{criterion or SYSTEM}<|im_end|>\n",
            f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n",
            f"{response}<|im_end|>\n",
        )
        return [token for turn in turns for token in self.tokenizer.encode(turn, add_special_tokens=False).ids]


class ChatTemplate:
    """The conversation by the checkpoint's own template, as one string."""

    def __init__(self, folder):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def tokens(self, prompt, criterion, response):
        system = [{"role": "system", "content": criterion}] if criterion else []
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        return self.tokenizer.apply_chat_template(system + turns)


def write(options):
    options.out.mkdir(parents=True)
    for file in sorted(options.template.glob("*.json")):
        if file.name not in ("golden.json", "model.safetensors.index.json"):
            shutil.copy(file, options.out / file.name)
    config = config_of(options.template)
    config["torch_dtype"] = {"f32": "float32", "bf16": "bfloat16"}[options.dtype]
    (options.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    model = stored_as(randomise(new_model(options.out, config), options.seed), DTYPES[options.dtype])
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    head = {name: tensors.pop(name) for name in list(tensors) if name.startswith("v_head.")}
    save_file(tensors, options.out / "model.safetensors", metadata={"format": "pt"})
    if head:
        save_file(head, options.out / "value_head.safetensors", metadata={"format": "pt"})


def new_model(folder, config):
    if config["model_type"] == "minicpmo":
        return MiniCpmO(config)
    return AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder))


NAMES = {print_rewards: "rewards", print_pairs: "pairs", check_golden: "golden"}

if __name__ == "__main__":
    main()
