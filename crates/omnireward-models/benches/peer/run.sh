#!/usr/bin/env bash
# Compares this crate with PyTorch and transformers on the processor: same weights, same type, same cores, both sides
# by turns in one run.
#
#     crates/omnireward-models/benches/peer/run.sh [--cases t2t-bf16,forward-f32] [--repeats N] [--small] [--list]
#
# Sets up the reference's Python environment (6 GB), writes random checkpoints into the cache folder (up to 13 GB,
# kept for the next run), builds the Rust side, and prints medians, ratios and peak memory; --json FILE keeps them.
# --small has the same cases at toy sizes: it shows that everything works, not how fast.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../../.." && pwd)
python=$("$root/scripts/oracle/env.sh")
cd "$root"
program=$(${CARGO:-cargo} bench -p omnireward-models --bench peer --no-run --message-format=json |
    "$python" "$here/built.py")
exec env PYTHONPATH="$here:$root/scripts/oracle" "$python" "$here/compare.py" --ours "$program" "$@"
