#!/usr/bin/env bash
# Makes the reward model that the program carries, from nothing:
#
#     scripts/omni_mini.sh [FOLDER]
#
# Generates lists to train on (2 GB), trains in three stages, and measures the result on 3,000 and more pairs of the test
# split. Everything goes to FOLDER, ~/.cache/omnireward/omni-mini when not given; what is done is kept, and a training
# that was stopped goes on. About an hour on two cores that have nothing else to do. To carry the result, copy
# FOLDER/criteria/best over crates/omnireward/model, but for README.md, golden.json and tie_margin.json.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
recipe=$root/recipes/omni-mini.toml
work=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/omnireward/omni-mini}

. "$root/scripts/making.sh"

pairs criteria-1 --responses 4 --criteria 4 --scenes 2000 --seed 1
pairs criteria-2 --responses 4 --criteria 4 --scenes 2000 --seed 2
pairs described-words --criteria 0 --scenes 4000 --seed 11 --tasks T2T
pairs described-pictures --criteria 0 --scenes 12000 --seed 11 --tasks TI2T
pairs described-videos --criteria 0 --scenes 5000 --seed 11 --tasks TV2T
pairs described-sounds --criteria 0 --scenes 6000 --seed 11 --tasks TA2T
pairs general --responses 4 --criteria 0 --scenes 1500 --seed 12 --tasks T2I,T2V,T2A,T23D,TI2I
pairs development --scenes 60 --seed 99
pairs general-development --criteria 0 --scenes 60 --seed 99
pairs test --split test --scenes 130 --seed 7

[ -e tokenizer.json ] || "$program" model tokenizer tokenizer.json --input criteria-1/pairs.jsonl --size 700
[ -e start ] || "$program" model random start --size mini --tokenizer tokenizer.json --dtype bf16

stage() {
    name=$1
    shift
    "$program" train bt --recipe "$recipe" --out "$name" "$@"
}
# To describe what is seen and heard teaches more, and sooner, than which of two descriptions is better.
described='{path="described-pictures/pairs.jsonl"},{path="described-videos/pairs.jsonl"},{path="described-sounds/pairs.jsonl"}'
stage senses model.path=start train.steps=2250 train.learning_rate=1e-3 train.seed=42 objective.language_modelling=0.9 \
    "data=[{path=\"described-words/pairs.jsonl\"},$described]"
# What criteria are is learned from words, with a few descriptions beside them so that nothing is forgotten.
words='tasks=["T2T"]'
few='{path="described-pictures/pairs.jsonl",max_pairs=2000},{path="described-videos/pairs.jsonl",max_pairs=1000}'
few+=',{path="described-sounds/pairs.jsonl",max_pairs=2000}'
stage words model.path=senses/last train.steps=1500 'train.parts=["decoder","head"]' train.learning_rate=1e-3 \
    train.seed=43 'train.schedule="constant"' \
    "data=[{path=\"criteria-1/pairs.jsonl\",$words},{path=\"criteria-2/pairs.jsonl\",$words},$few]"
stage criteria

"$program" eval --judge criteria/best --benchmark test/pairs.jsonl --preprocessing clean --out measured
