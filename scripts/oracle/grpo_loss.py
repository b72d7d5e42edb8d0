"""Makes the fixture of the GRPO loss: TRL's own `_compute_loss` on given log-probabilities, with its gradient.

Run by a developer:  $(scripts/oracle/env.sh) scripts/oracle/grpo_loss.py [OUT]

TRL's trainer is not set up: the method is called on an object that has what it reads, with a model that gives the
log-probabilities as they are. Rewards become advantages by the two lines of `_generate_and_score_completions`, with TRL's
`nanstd`. Everything is `f64`.

    expected.json   a list of cases: settings; `rewards` and `advantages` of each group; for each reply its
                    log-probabilities now, when it was sampled (`old`) and under the reference; then `loss`, `gradient`
                    by the log-probabilities of now, the mean `kl`, and the shares of tokens clipped below and above
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import torch
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import nanstd

OUT = Path(__file__).parents[2] / "crates/omnireward-train/tests/parity/grpo"
GROUPS, ROLLOUTS, LONGEST = 3, 4, 7
ACCELERATOR = SimpleNamespace(
    num_processes=1,
    sync_gradients=True,
    gather=lambda tensor: tensor,
    reduce=lambda tensor, reduction: tensor,
)


def advantages(rewards, scale):
    difference = rewards - rewards.mean(dim=1, keepdim=True)
    return difference / (nanstd(rewards, dim=1).unsqueeze(1) + 1e-4) if scale == "group" else difference


def case(seed, loss_type, beta, low, high, delta, scale):
    random = torch.Generator().manual_seed(seed)
    replies = GROUPS * ROLLOUTS
    lengths = torch.randint(1, LONGEST + 1, (replies,), generator=random)
    lengths[0] = LONGEST
    mask = (torch.arange(LONGEST) < lengths.unsqueeze(1)).double()
    normal = lambda spread: spread * torch.randn(replies, LONGEST, generator=random, dtype=torch.float64)
    old = -normal(2.0).abs() - 0.01
    # Far enough from the old ones that some tokens are beyond every bound.
    now = (old + normal(0.5)).requires_grad_()
    reference = old + normal(0.3)
    rewards = torch.rand(GROUPS, ROLLOUTS, generator=random, dtype=torch.float64).round(decimals=1)
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (now, torch.zeros_like(now), None),
        _metrics={"train": defaultdict(list)},
        _entropy_bonus_enabled=False,
        accelerator=ACCELERATOR,
        args=SimpleNamespace(delta=delta, use_bias_correction_kl=False, steps_per_generation=1),
        aux_loss_enabled=False,
        beta=beta,
        current_gradient_accumulation_steps=1,
        epsilon_high=high,
        epsilon_low=low,
        importance_sampling_level="token",
        loss_type=loss_type,
        max_completion_length=LONGEST,
        model=SimpleNamespace(training=True),
        off_policy_mask_threshold=None,
        top_entropy_quantile=1.0,
        use_vllm=False,
    )
    found = advantages(rewards, scale)
    inputs = {
        "prompt_ids": torch.zeros(replies, 1, dtype=torch.long),
        "prompt_mask": torch.ones(replies, 1, dtype=torch.long),
        "completion_ids": torch.zeros(replies, LONGEST, dtype=torch.long),
        "completion_mask": mask,
        "advantages": found.flatten(),
        "old_per_token_logps": old,
        "ref_per_token_logps": reference,
        "num_items_in_batch": mask.sum(),
    }
    loss = GRPOTrainer._compute_loss(trainer, None, inputs)
    loss.backward()
    metrics = {name: values[0] for name, values in trainer._metrics["train"].items()}
    cut = lambda tensor: [row[:length].tolist() for row, length in zip(tensor.detach(), lengths)]
    return {
        "loss_type": loss_type,
        "scale": scale,
        "beta": beta,
        "clip_low": low,
        "clip_high": high,
        "dual_clip": delta,
        "max_tokens": LONGEST,
        "rewards": rewards.tolist(),
        "advantages": found.tolist(),
        "now": cut(now),
        "old": cut(old),
        "reference": cut(reference),
        "loss": loss.item(),
        "gradient": cut(now.grad),
        "kl": metrics.get("kl"),
        "clipped_low": metrics["clip_ratio/low_mean"],
        "clipped_high": metrics["clip_ratio/high_mean"],
    }


CASES = [
    case(1, "grpo", 0.0, 0.2, 0.2, None, "group"),
    case(2, "grpo", 0.04, 0.2, 0.28, None, "group"),
    case(3, "bnpo", 0.01, 0.2, 0.3, 3.0, "group"),
    case(4, "dapo", 0.0, 0.2, 0.28, 1.5, "group"),
    case(5, "dr_grpo", 0.01, 0.1, 0.2, None, "none"),
]
out = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
out.mkdir(parents=True, exist_ok=True)
(out / "expected.json").write_text("[\n" + ",\n".join(map(json.dumps, CASES)) + "\n]\n")
