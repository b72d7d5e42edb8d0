#!/usr/bin/env bash
# Makes the reward model that the program carries, from nothing:
#
#     scripts/omni_mini.sh [FOLDER]
#
# Generates lists to train on (1.8 GB), trains in three stages, and measures the result on 3,000 and more pairs of the
# test split. Everything goes to FOLDER, ~/.cache/omnireward/omni-mini when not given; what is done is kept, and a
# training that was stopped goes on. About three quarters of an hour on two cores that have nothing else to do. To carry
# the result, copy FOLDER/criteria/best over crates/omnireward/model, but for README.md, golden.json and tie_margin.json.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
recipe=$root/recipes/omni-mini.toml
work=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/omnireward/omni-mini}

cd "$root"
${CARGO:-cargo} build --release -p omnireward
program=$(realpath "${CARGO_TARGET_DIR:-target}/release/omnireward")
mkdir -p "$work" && cd "$work"

lists() {
    folder=$1
    shift
    [ -e "$folder" ] || "$program" data synth --layout pairs --out "$folder" "$@"
}
lists train-1 --responses 4 --criteria 4 --scenes 2000 --seed 1
lists train-2 --responses 4 --criteria 4 --scenes 2000 --seed 2
lists train-3 --responses 4 --criteria 4 --scenes 2000 --seed 3 --tasks T2T
lists general-answers --responses 8 --criteria 0 --scenes 5000 --seed 11 --tasks T2T,TI2T,TV2T,TA2T
lists general-media --responses 4 --criteria 0 --scenes 2000 --seed 12 --tasks T2A
lists development --scenes 60 --seed 99
lists general-development --criteria 0 --scenes 60 --seed 99 --tasks T2T,TI2T,TV2T,TA2T
[ -e test ] || "$program" data synth --layout pairs --split test --scenes 130 --seed 7 --out test

[ -e tokenizer.json ] || "$program" model tokenizer tokenizer.json --input train-1/pairs.jsonl --size 700
[ -e start ] || "$program" model random start --size mini --tokenizer tokenizer.json --dtype bf16

stage() {
    name=$1
    shift
    "$program" train bt --recipe "$recipe" --out "$name" "$@"
}
words='tasks=["T2T"]'
stage words model.path=start 'train.schedule="constant"' train.steps=1600 \
    "data=[{path=\"train-1/pairs.jsonl\",$words},{path=\"train-2/pairs.jsonl\",$words},{path=\"train-3/pairs.jsonl\",$words}]"
stage senses model.path=words/last 'train.schedule="constant"' train.steps=1200 \
    'data=[{path="general-answers/pairs.jsonl",tasks=["T2T","TI2T","TA2T"]}]'
# A vision tower that tells nothing yet would lose what it passes on.
stage criteria model.path=senses/last 'train.parts=["decoder","audio","audio_projection","head"]'

"$program" eval --judge criteria/best --benchmark test/pairs.jsonl --preprocessing clean --out measured
