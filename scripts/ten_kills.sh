#!/usr/bin/env bash
# Kills trainings and goes on with them:
#
#     scripts/ten_kills.sh [FOLDER] [SEED]
#
# Each trainer makes a small model of generated pairs, once without a stop and once killed ten times, by SIGKILL at moments
# that SEED draws, and gone on with each time. Both have to end in the same bytes. A few minutes on two cores; everything
# goes to FOLDER, ~/.cache/omnireward/ten-kills when not given.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/omnireward/ten-kills}
RANDOM=${2:-1}

. "$root/scripts/making.sh"

tasks=T2T,T2I,TV2T
pairs answered --tasks $tasks --scenes 60 --criteria 3 --answers brackets
[ -e scorer ] || "$program" model random scorer --kind minicpm-o --size tiny --dtype f32
[ -e writer ] || "$program" model random writer --kind qwen2.5-vl --size tiny --dtype f32

# Every file that a training leaves, without the times in it; pages and event files have those throughout.
sums() {
    local file
    find "$1" -type f ! -name 'events.out.*' ! -name '*.html' | sort | while read -r file; do
        echo "${file#"$1"/} $(LC_ALL=C sed -E 's/"(seconds|[a-z_]+_per_second)": ?[0-9.e+-]+//g' "$file" | sha256sum)"
    done
}

both_ways() {
    trainer=$1
    shift
    train=("$program" train "$trainer" "$@" 'data=[{path="answered/pairs.jsonl"}]' checkpoints.every=5)
    rm -rf "whole/$trainer" "killed/$trainer"
    mkdir -p whole killed
    begun=$(date +%s%N)
    "${train[@]}" --out "whole/$trainer" 2> "whole/$trainer.log" || { cat "whole/$trainer.log" >&2; exit 1; }
    took=$((($(date +%s%N) - begun) / 1000000))
    kills=0
    while [ $kills -lt 10 ]; do
        "${train[@]}" --out "killed/$trainer" 2> "killed/$trainer.log" &
        sleep "$(awk "BEGIN { print $took * (0.02 + 0.15 * $RANDOM / 32768) / 1000 }")"
        kill -KILL $! 2> /dev/null || { echo "$trainer: done after $kills kills: more steps are needed" >&2; exit 1; }
        wait $! 2> /dev/null || true
        kills=$((kills + 1))
    done
    "${train[@]}" --out "killed/$trainer" 2> "killed/$trainer.log" || { cat "killed/$trainer.log" >&2; exit 1; }
    diff <(sums "whole/$trainer") <(sums "killed/$trainer")
    echo "$trainer: the same $(sums "whole/$trainer" | wc -l) files after ten kills, of a training of $((took / 1000)) seconds"
}

recipes=$root/recipes
both_ways bt --recipe "$recipes/omni-mini.toml" model.path=scorer train.steps=60 train.batch_pairs=4 evaluation.data=[]
both_ways sft --recipe "$recipes/omni-mini-r1-sft.toml" model.path=writer model.max_length=4096 \
    train.steps=60 train.batch=4 evaluation.data=[]
both_ways grpo --recipe "$recipes/omni-mini-r1.toml" model.path=writer model.max_length=4096 \
    train.steps=100 train.batch=2 grpo.rollouts=4 rollout.max_tokens=32 evaluation.data=[]
