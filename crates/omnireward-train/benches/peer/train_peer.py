"""PyTorch's worker: opens a case and takes an optimiser step for every line it reads.

    train_peer.py FOLDER THREADS same|fastest

`text` is trained by TRL's RewardTrainer as it comes, with AdamW as it comes (fused); only the order of the pairs is
fixed, and the trainer waits for a line before each step. `media` is a plain loop over the reference MiniCPM-o with the
same optimiser: towers without gradient, both sides of a pair with their own encoding of its picture, as the original
has it, and encoded again in every epoch.

FOLDER holds `case.json` and `inputs.safetensors`. The answers, one line of JSON each, are the same on both sides:

    {"ready": "how it computes", "libraries_bytes": …}   when the case is open: how, and what the process had resident
                                                         before it opened the checkpoint
    {"step": 1, "loss": …, "seconds": …}                 for every line read: the loss before the update, the time
                                                         of forward, backward, clipping and update
    {"peak_bytes": …}                                    when the input ends
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.utils.data import SequentialSampler
from transformers import get_scheduler

from checkpoint import DTYPES, SCHEDULES, open_model, optimiser, preference_loss, train_only
from inputs import from_tensors
from peer import fastest_dtype, peak_memory


class Finished(Exception):
    """There is no further line to read."""


class Text:
    def __init__(self, case, contents, dtype):
        from datasets import Dataset
        from transformers import TrainerCallback
        from trl import RewardConfig, RewardTrainer

        self.steps = 0
        self.loss = None
        # Weights stay in f32 and products are computed in bf16, as TRL does unless told otherwise.
        model = open_model(case["checkpoint"], torch.float32)
        train_only(model, case["parts"])
        worker, settings = self, case["optimiser"]

        class InOrder(RewardTrainer):
            def _get_train_sampler(self, dataset=None):
                return SequentialSampler(dataset or self.train_dataset)

            def compute_loss(self, *args, **kwargs):
                loss = super().compute_loss(*args, **kwargs)
                worker.loss = loss.detach()
                return loss

        class Wait(TrainerCallback):
            def on_step_begin(self, *_, **__):
                read_line()
                self.start = time.perf_counter()

            def on_step_end(self, *_, **__):
                worker.steps += 1
                say_step(worker.steps, worker.loss.item(), time.perf_counter() - self.start)

        self.scratch = tempfile.TemporaryDirectory()
        arguments = RewardConfig(
            self.scratch.name, use_cpu=True, bf16=dtype is torch.bfloat16, report_to="none", disable_tqdm=True,
            save_strategy="no", logging_strategy="no", max_length=None, max_steps=case["steps"],
            per_device_train_batch_size=case["batch_pairs"], dataloader_pin_memory=False,
            gradient_checkpointing=case["gradient_checkpointing"], learning_rate=settings["learning_rate"],
            lr_scheduler_type=SCHEDULES[settings["schedule"]], warmup_steps=settings["warmup_steps"],
            weight_decay=settings["weight_decay"], adam_beta1=settings["betas"][0], adam_beta2=settings["betas"][1],
            adam_epsilon=settings["epsilon"], max_grad_norm=settings["clip"],
        )
        tokens = [tokens.tolist() for tokens, _ in contents["sequences"]]
        self.trainer = InOrder(
            model=model, args=arguments, callbacks=[Wait()], processing_class=tokenizer(model.config),
            train_dataset=Dataset.from_dict({"chosen_ids": tokens[0::2], "rejected_ids": tokens[1::2]}),
        )

    def train(self):
        self.trainer.train()

    def describe(self):
        from trl import __version__

        return f"TRL {__version__}"


def tokenizer(config):
    """TRL asks a tokenizer for the padding token, and here for nothing else."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = {str(token): token for token in range(config.vocab_size)}
    pad = str(config.pad_token_id)
    numbers = Tokenizer(WordLevel(words, unk_token="0"))
    return PreTrainedTokenizerFast(tokenizer_object=numbers, unk_token="0", pad_token=pad, eos_token=pad)


class Media:
    def __init__(self, case, contents, dtype):
        self.case, self.dtype = case, dtype
        self.model = open_model(case["checkpoint"], torch.float32)
        train_only(self.model, case["parts"])
        self.model.llm.train()
        if case["gradient_checkpointing"]:
            self.model.llm.gradient_checkpointing_enable({"use_reentrant": False})
        self.optimiser = optimiser(self.model, case["optimiser"])
        settings = case["optimiser"]
        self.schedule = get_scheduler(
            SCHEDULES[settings["schedule"]], self.optimiser, settings["warmup_steps"], case["steps"]
        )
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.contents = contents

    def train(self):
        for step in range(self.case["steps"]):
            read_line()
            start = time.perf_counter()
            loss = self.step(step)
            say_step(step + 1, loss, time.perf_counter() - start)

    def step(self, step):
        first = step * self.case["batch_pairs"] % self.case["pairs"]
        pairs = range(first, first + self.case["batch_pairs"])
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype is torch.bfloat16):
            sides = [self.contents["sequences"][2 * pair + side] for side in (0, 1) for pair in pairs]
            hidden = self.model.hidden(self.embedded(sides))[:, -1]
            rewards = self.model.rewards(hidden).float()
        loss = preference_loss(*rewards.chunk(2))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, self.case["optimiser"]["clip"])
        self.optimiser.step()
        self.schedule.step()
        self.optimiser.zero_grad()
        return loss.item()

    def embedded(self, sequences):
        """Embeddings of sequences of one length, each with its own encoding of its picture."""
        tokens, places = (torch.stack(column) for column in zip(*sequences))
        with torch.no_grad():
            pictures = [self.contents["images"][int(medium.max())] for medium in places[..., 0]]
            features = torch.cat(self.model.images(pictures)[1])
        embeddings = self.model.llm.model.embed_tokens(tokens)
        # In the order of the rows: a picture's features stand in one run.
        return embeddings.masked_scatter(places[..., :1] >= 0, features.to(embeddings.dtype))

    def describe(self):
        return "plain loop"


KINDS = {"text": Text, "media": Media}


def read_line():
    if not sys.stdin.readline():
        raise Finished


def say_step(step, loss, seconds):
    say({"step": step, "loss": loss, "seconds": seconds})


def say(message):
    print(json.dumps(message), file=ANSWERS, flush=True)


def resident_memory():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main():
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads or os.cpu_count())
    case = json.loads((folder / "case.json").read_text())
    dtype = fastest_dtype(case["dtype"]) if sys.argv[3] == "fastest" else DTYPES[case["dtype"]]
    if case["kind"] == "text":
        import trl  # noqa: F401  (counted among the libraries)
    libraries = resident_memory()
    worker = KINDS[case["kind"]](case, from_tensors(load_file(folder / "inputs.safetensors")), dtype)
    precision = "bf16 autocast" if dtype is torch.bfloat16 else "f32"
    say({"ready": f"{worker.describe()}, {precision}", "libraries_bytes": libraries})
    try:
        worker.train()
        read_line()
    except Finished:
        pass
    say({"peak_bytes": peak_memory()})


# Libraries print as they please; what the driver reads has a way of its own.
ANSWERS = sys.stdout
sys.stdout = sys.stderr

if __name__ == "__main__":
    main()
