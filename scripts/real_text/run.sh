#!/usr/bin/env bash
# Trains a reward model from real weights on real text pairs, with this program and with TRL's RewardTrainer, and lays
# their accuracy on a split by prompt beside each other and beside "the longer answer wins":
#
#     scripts/real_text/run.sh [DATA] [SEED …]
#
# DATA is the folder of bundled test data: shared/data beside the project's root when not given. Each SEED (42 when none
# is given) is a training of both sides; they take turns. Fetches SmolLM2-135M-Instruct (98 MB) and, once, the reference's
# Python environment (7 GB); everything goes to the cache folder. Settings of both sides: recipes/smollm2-text.toml.
# About a quarter of an hour on two cores for each side and seed. A run of the program that was stopped goes on; so does
# this script, which keeps what is done: remove the folder that it names to begin anew.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
data=$(realpath "${1:-${OMNIREWARD_TEST_DATA:-$root/../shared/data}}")
seeds=("${@:2}")
[ ${#seeds[@]} -gt 0 ] || seeds=(42)
recipe=$root/recipes/smollm2-text.toml
work=${XDG_CACHE_HOME:-$HOME/.cache}/omnireward/real-text
python=$("$root/scripts/oracle/env.sh")
export TOKENIZERS_PARALLELISM=false TRANSFORMERS_VERBOSITY=error HF_HUB_OFFLINE=1

cd "$root"
${CARGO:-cargo} build --release -p omnireward
program=$(realpath "${CARGO_TARGET_DIR:-target}/release/omnireward")
mkdir -p "$work" && cd "$work"
echo "everything is kept in $work"

[ -e smollm2/made_from.json ] || "$python" "$here/real_checkpoint.py" smollm2
"$python" "$here/real_pairs.py" "$data" smollm2 "$recipe" pairs

sides=()
for seed in "${seeds[@]}"; do
    ours=ours-$seed theirs=trl-$seed
    "$program" train bt --recipe "$recipe" --out "$ours" "train.seed=$seed"
    "$program" score --model "$ours/last" --input pairs/test.jsonl --output "$ours/rewards.jsonl"
    [ -e "$theirs/done" ] || {
        "$python" "$here/trl_side.py" "$recipe" smollm2 pairs/train.jsonl pairs/test.jsonl "$theirs" --seed "$seed"
        touch "$theirs/done"
    }
    sides+=("omnireward-$seed=$ours/rewards.jsonl" "trl-$seed=$theirs/rewards.jsonl")
done
"$python" "$here/compare_sides.py" pairs/test.jsonl "${sides[@]}"
