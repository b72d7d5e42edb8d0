#!/usr/bin/env bash
# Compares training with TRL's RewardTrainer (text) and with a plain PyTorch loop (text and pictures) on the processor:
# same weights, same pairs, same cores, a step of each by turns.
#
#     crates/omnireward-train/benches/peer/run.sh [--cases text-512-128-f32,loss-curve] [--repeats N] [--small] [--list]
#
# Sets up the reference's Python environment (7 GB), writes random checkpoints into the cache folder (up to 1 GB, kept
# for the next run), builds the Rust side, and prints medians, ratios and peak memory; --json FILE keeps them.
# --small has the same cases at toy sizes: it shows that everything works, not how fast.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../../.." && pwd)
scoring=$root/crates/omnireward-models/benches/peer
python=$("$root/scripts/oracle/env.sh")
cd "$root"
program=$(${CARGO:-cargo} bench -p omnireward-train --bench peer --no-run --message-format=json |
    "$python" "$scoring/built.py")
exec env PYTHONPATH="$here:$root/scripts/oracle:$scoring" "$python" "$here/compare_training.py" --ours "$program" "$@"
