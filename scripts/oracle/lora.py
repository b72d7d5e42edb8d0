"""A low-rank adapter on the tiny Qwen2 reward model, as PEFT writes it, with the rewards that PEFT gives.

`make_fixtures.py` makes the fixture. To check an adapter written elsewhere for that model, print its rewards:

    $(scripts/oracle/env.sh) scripts/oracle/lora.py ADAPTER-FOLDER
"""

import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors.torch import load_file
from transformers import Qwen2ForSequenceClassification

from fixture import Folder

MODELS = Path(__file__).parents[2] / "crates/omnireward-models/tests/parity/models"
BASE = "qwen2"
SEQUENCES = range(4)


def make(out):
    torch.manual_seed(300)
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=3,
        lora_alpha=5,
        target_modules=["q_proj", "v_proj", "o_proj", "down_proj"],
    )
    model = get_peft_model(base(out, torch.float32), config)
    for name, parameter in model.named_parameters():
        # As they begin, second factors are zero and the head is the base's.
        if "lora_B" in name:
            torch.nn.init.uniform_(parameter, -0.5, 0.5)
        if "modules_to_save" in name:
            torch.nn.init.uniform_(parameter, -0.3, 0.3)
    folder = Folder(out / "qwen2_lora")
    model.save_pretrained(folder.path)
    (folder.path / "README.md").unlink()
    config = folder.path / "adapter_config.json"
    config.write_text(config.read_text().replace(str(out / BASE), BASE))
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        folder.check(file)
    folder.tensors(
        "expected.safetensors",
        {
            "f32.rewards": rewards(model, out),
            "bf16.rewards": rewards(adapted(folder.path, out, torch.bfloat16), out),
            "f32.base": rewards(base(out, torch.float32), out),
        },
    )


def base(out, dtype):
    return Qwen2ForSequenceClassification.from_pretrained(out / BASE, dtype=dtype).eval()


def adapted(folder, out, dtype):
    return PeftModel.from_pretrained(base(out, dtype), folder).eval()


@torch.no_grad()
def rewards(model, out):
    expected = load_file(out / BASE / "expected.safetensors")
    sequences = [expected[f"tokens.{i}"] for i in SEQUENCES]
    return torch.stack([model(input_ids=tokens[None]).logits[0, 0].float() for tokens in sequences])


if __name__ == "__main__":
    print(rewards(adapted(Path(sys.argv[1]), MODELS, torch.float32), MODELS).tolist())
