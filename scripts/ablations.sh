#!/usr/bin/env bash
# What each kind of data, criteria and the likelihood of ties are worth to the small model:
#
#     scripts/ablations.sh [STEPS] [FOLDER]
#
# Trains seven models from the same start, alike but for one thing, and measures each on 3,000 and more pairs of the test
# split. The start is what the second stage of scripts/omni_mini.sh leaves in FOLDER (run it first): a model that sees,
# hears, and knows criteria over texts. STEPS is 600 when not given: about 35 minutes on two cores in all. Ends in a
# table, and in ablations.html with plots. What is done is kept.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
recipe=$root/recipes/omni-mini.toml
steps=${1:-600}
work=${2:-${XDG_CACHE_HOME:-$HOME/.cache}/omnireward/omni-mini}

cd "$root"
${CARGO:-cargo} build --release -p omnireward
program=$(realpath "${CARGO_TARGET_DIR:-target}/release/omnireward")
cd "$work"
[ -e words/last ] || { echo "$work/words/last is missing: run scripts/omni_mini.sh first" >&2; exit 1; }

# The same pairs, without their criteria.
[ -e test-blind ] || python3 - <<'PYTHON'
import json, os
os.makedirs("test-blind.new")
os.symlink("../test/media", "test-blind.new/media")
with open("test/pairs.jsonl") as pairs, open("test-blind.new/pairs.jsonl", "w") as blind:
    for pair in map(json.loads, pairs):
        pair.pop("criterion", None)
        print(json.dumps(pair), file=blind)
os.rename("test-blind.new", "test-blind")
PYTHON

runs=()
ablation() {
    name=$1 test=$2
    shift 2
    out=ablations-$steps/$name
    "$program" train bt --recipe "$recipe" --out "$out" "train.steps=$steps" "evaluation.data=[]" "$@"
    ln -sfn last "$out/$name"
    "$program" eval --judge "$out/$name" --benchmark "$test/pairs.jsonl" --preprocessing clean --out "$out/measured"
    runs+=("$out/measured")
}

# Sets of the whole recipe, with something added to each.
sets() {
    criteria "$1"
    general "$1"
}
criteria() {
    printf '{path="%s/pairs.jsonl"%s},' criteria-1 "$1" criteria-2 "$1"
}
general() {
    printf '{path="%s/pairs.jsonl"%s},' described-pictures "$1" described-videos "$1" described-sounds "$1" general "$1"
}

ablation all test "data=[$(sets '')]"
ablation only-T2T test "data=[$(criteria ',tasks=["T2T"]')]"
ablation only-TI2T test "data=[$(criteria ',tasks=["TI2T"]')]"
ablation only-T2I-and-T2V test "data=[$(criteria ',tasks=["T2I","T2V"]')]"
ablation no-pairs-with-criteria test "data=[$(general '')]"
ablation blind-to-criteria test-blind "data=[$(sets ',criteria=false')]"
ablation bradley-terry test "data=[$(sets '')]" 'objective.likelihood="bradley-terry"'
"$program" report --html "ablations-$steps/ablations.html" "${runs[@]}"
