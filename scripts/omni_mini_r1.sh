#!/usr/bin/env bash
# Makes a small judge that writes, from nothing, and measures it before and after reinforcement learning:
#
#     scripts/omni_mini_r1.sh [FOLDER]
#
# Generates pairs with answers (2 GB), fine-tunes in four stages (recipes/omni-mini-r1-sft.toml), goes on by GRPO
# (recipes/omni-mini-r1.toml), and asks both about 2,000 and more pairs of the test split in both orders. Everything goes to
# FOLDER, ~/.cache/omnireward/omni-mini-r1 when not given; what is done is kept, and a training that was stopped goes on.
# About four hours on two cores that have nothing else to do, by the speed of each stage. So far it was run whole at toy size
# only, and up to step 1,200 of the looking stage at its own: docs/guide/training-judges.md has what came of it.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/omnireward/omni-mini-r1}

. "$root/scripts/making.sh"

tasks=T2T,TI2T,TV2T,T2I,T2V,T23D,TI2I
answers='--answers brackets --quotes'
pairs scrambled-texts $answers --scrambled --tasks T2T --scenes 20000 --seed 5
pairs scrambled-media --answers brackets --scrambled --tasks TI2T,TV2T,T2I,T2V,T23D,TI2I --scenes 5000 --seed 6
pairs answered $answers --tasks $tasks --scenes 4000 --criteria 3 --seed 1
pairs asked --tasks $tasks --scenes 1000 --criteria 3 --seed 2
pairs development --tasks $tasks --scenes 10 --criteria 3 --seed 99
pairs test --split test --tasks $tasks --scenes 130 --seed 7

[ -e tokenizer.json ] || "$program" model tokenizer tokenizer.json --questions --size 1024 --input answered/pairs.jsonl
[ -e start ] || "$program" model random start --kind qwen2.5-vl --size mini --tokenizer tokenizer.json --dtype bf16 --for-training
cp "$root/scripts/omni_mini_r1.jinja" start/chat_template.jinja

stage() {
    name=$1
    shift
    "$program" train sft --recipe "$root/recipes/omni-mini-r1-sft.toml" --out "$name" "$@"
}
alone="train.schedule='constant' train.seed=1 evaluation.data=[]"
stage copying model.path=start $alone train.steps=250 train.batch=8 train.batch_rows=2048 train.warmup_ratio=0.1 \
    'data=[{path="scrambled-texts/pairs.jsonl"}]'
stage seeing model.path=copying/last $alone train.steps=400 train.batch=32 \
    'data=[{path="scrambled-media/pairs.jsonl",tasks=["TI2T"]}]'
stage looking model.path=seeing/last $alone train.steps=2000 \
    'data=[{path="scrambled-media/pairs.jsonl"}]'
stage taught
"$program" train grpo --recipe "$root/recipes/omni-mini-r1.toml" --out reinforced

for judge in taught reinforced; do
    "$program" eval --judge "$judge/last" --benchmark test/pairs.jsonl --setting without-ties --order both \
        --max-tokens 384 --out "measured-$judge"
done
