"""Trains a checkpoint with TRL's GRPOTrainer: `train_trl.py FOLDER STEPS` prints the seconds of each step, as a JSON list."""

import json
import sys
import tempfile
import time

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

folder, steps = sys.argv[1], int(sys.argv[2])
prompts = json.load(open(f"{folder}/prompts.json"))
seconds = []


class Clock(TrainerCallback):
    def on_step_begin(self, *_, **__):
        self.began = time.monotonic()

    def on_step_end(self, *_, **__):
        seconds.append(time.monotonic() - self.began)


def even(completions, **_):
    texts = [completion[0]["content"] for completion in completions]
    return [sum(ord(letter) % 2 == 0 for letter in text) / max(len(text), 1) for text in texts]


with tempfile.TemporaryDirectory() as out:
    config = GRPOConfig(
        output_dir=out,
        per_device_train_batch_size=64,
        num_generations=8,
        max_completion_length=64,
        learning_rate=1e-6,
        lr_scheduler_type="constant",
        beta=0.0,
        loss_type="grpo",
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        max_steps=steps,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype="float32"),
        args=config,
        reward_funcs=even,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": text}]} for text in prompts]),
        callbacks=[Clock()],
    )
    chat = [{"role": "user", "content": prompts[0]}]
    print(len(tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False)), "tokens in a prompt", file=sys.stderr)
    trainer.train()
print(json.dumps(seconds))
