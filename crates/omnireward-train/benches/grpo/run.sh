#!/usr/bin/env bash
# Compares a round of GRPO with TRL's GRPOTrainer on the processor: the same model of 24 million parameters in f32, 8 groups
# of 8 replies of up to 64 tokens to prompts of 256, sampling and update.
#
#     crates/omnireward-train/benches/grpo/run.sh [TURNS]
#
# Sets up the reference's Python environment (7 GB), and prints the medians of rounds, by turns in processes of their own,
# the first round of each left out.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../../.." && pwd)
python=$("$root/scripts/oracle/env.sh")
cd "$root"
program=$(${CARGO:-cargo} bench -p omnireward-train --bench grpo --no-run --message-format=json |
    "$python" crates/omnireward-models/benches/peer/built.py)
exec "$python" "$here/compare.py" "$program" "${1:-2}"
