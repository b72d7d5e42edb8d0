"""The real text pairs, split by prompt into those to train on and those to test on.

    real_pairs.py DATA CHECKPOINT RECIPE OUT [--seed N] [--test-share S] [--train N]

DATA is the folder of bundled test data. Read are LLMBar, PandaLM (what two of three people say), HHH and Vicuna answers
with their rubrics (the criterion is given), RM-Bench (chosen and rejected answers of one style), and JudgeBench. OUT gets
`train.jsonl` and `test.jsonl` in the program's own format. Left out, and counted: ties, and pairs of which a conversation
has more tokens than the recipe's `model.max_length`. Pairs with the same prompt, whatever set they are from, are on the
same side of the split.
"""

import argparse
import collections
import hashlib
import json
import random
import tomllib
from pathlib import Path

from transformers import AutoTokenizer

from conversation import turns


def main():
    options = arguments()
    longest = tomllib.loads(options.recipe.read_text())["model"]["max_length"]
    kept, counts = within(longest, AutoTokenizer.from_pretrained(options.checkpoint), all_pairs(options.data / "text"))
    train, test = split(kept, options.seed, options.test_share)
    random.Random(options.seed).shuffle(train)
    train = train[: options.train]
    options.out.mkdir(parents=True, exist_ok=True)
    for name, pairs in (("train", train), ("test", test)):
        lines = [json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs]
        (options.out / f"{name}.jsonl").write_text("".join(lines))
    report(counts, train, test)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "checkpoint", "recipe", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--test-share", type=float, default=0.3, help="of the prompts")
    parser.add_argument("--train", type=int, default=704, help="at most this many pairs to train on")
    return parser.parse_args()


def all_pairs(folder):
    for reader in (llmbar, pandalm, hhh, vicuna, rm_bench, judgebench):
        yield from reader(folder)


def llmbar(folder):
    for file in sorted((folder / "llmbar").glob("*.json")):
        for number, row in enumerate(json.loads(file.read_text())):
            label = {1: "first", 2: "second"}[row["label"]]
            yield pair("llmbar", f"{file.stem}/{number}", row["input"], [row["output_1"], row["output_2"]], label)


def pandalm(folder):
    for row in rows(folder / "pandalm/testset.jsonl"):
        votes = collections.Counter(row[f"annotator{i}"] for i in (1, 2, 3))
        vote, count = votes.most_common(1)[0]
        label = {1: "first", 2: "second", 0: "tie"}[vote if count > 1 else 0]
        prompt = f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"]
        yield pair("pandalm", row["idx"], prompt, [row["response1"], row["response2"]], label)


def hhh(folder):
    for row in rows(folder / "rubric/hhh_pairs.jsonl"):
        yield pair("hhh", row["id"], row["prompt"], [row["chosen"], row["rejected"]], "first", row["criterion"])


def vicuna(folder):
    answers = {(row["id"], row["model"]): row for row in rows(folder / "rubric/vicuna_eval.points.jsonl")}
    for row in rows(folder / "rubric/vicuna_eval.pair_labels.jsonl"):
        sides = [answers[row["id"], row[f"model_{i}"]] for i in (1, 2)]
        label = {"1": "first", "2": "second", "tie": "tie"}[str(row["label"])]
        name = f"{row['id']}/{row['model_1']}_vs_{row['model_2']}"
        responses = [side["response"] for side in sides]
        yield pair("vicuna", name, sides[0]["instruction"], responses, label, row["criterion"])


def rm_bench(folder):
    for domain in ("chat", "code"):
        for row in rows(folder / f"rm_bench/{domain}.jsonl"):
            for style, (chosen, rejected) in enumerate(zip(row["chosen"], row["rejected"], strict=True)):
                yield pair("rm_bench", f"{domain}/{row['id']}/{style}", row["prompt"], [chosen, rejected], "first")


def judgebench(folder):
    for row in rows(folder / "judgebench/claude_pairs.jsonl"):
        label = {"A>B": "first", "B>A": "second"}[row["label"]]
        yield pair("judgebench", row["pair_id"], row["question"], [row["response_A"], row["response_B"]], label)


def rows(path):
    with path.open() as lines:
        return [json.loads(line) for line in lines]


def pair(source, name, prompt, responses, label, criterion=None):
    """Where the better response always comes first, the sides are swapped for every other prompt.

    Pairs have no `group`: those of one group would be trained on in one step, and here a step has as many pairs as any.
    """
    prompt_id = hashlib.sha256(" ".join(prompt.lower().split()).encode()).hexdigest()[:16]
    if source in ("hhh", "rm_bench") and int(prompt_id, 16) % 2:
        responses, label = responses[::-1], "second"
    return {"id": f"{source}/{name}", "task": "T2T", "prompt": prompt, "criterion": criterion, "responses": responses,
            "label": label, "source": source, "prompt_id": prompt_id}


def within(longest, tokenizer, pairs):
    """Pairs that have a better side, whose conversations are not too long and differ."""
    kept, counts = [], collections.defaultdict(collections.Counter)
    for pair in pairs:
        lengths = [len(tokenizer.apply_chat_template(turns(pair, response))) for response in pair["responses"]]
        left_out = "tie" if pair["label"] == "tie" else "too long" if max(lengths) > longest else None
        counts[pair["source"]][left_out or "kept"] += 1
        if not left_out:
            kept.append(pair)
    return kept, counts


def split(pairs, seed, test_share):
    """By the prompt's own number, so that a pair's side does not depend on what else is there."""

    def number(prompt):
        return int(hashlib.sha256(f"{seed}/{prompt}".encode()).hexdigest()[:8], 16) / 2**32

    train = [pair for pair in pairs if number(pair["prompt_id"]) >= test_share]
    test = [pair for pair in pairs if number(pair["prompt_id"]) < test_share]
    return train, test


def report(counts, train, test):
    sides = [collections.Counter(pair["source"] for pair in pairs) for pairs in (train, test)]
    print(f"{'set':12} {'kept':>6} {'ties':>6} {'too long':>9} {'train':>6} {'test':>6}")
    for source, count in counts.items():
        cells = [count["kept"], count["tie"], count["too long"], *(side[source] for side in sides)]
        print(f"{source:12} {cells[0]:6} {cells[1]:6} {cells[2]:9} {cells[3]:6} {cells[4]:6}")
    print(f"{len(train)} pairs of {prompts(train)} prompts to train on, {len(test)} of {prompts(test)} to test on")


def prompts(pairs):
    return len({pair["prompt_id"] for pair in pairs})


if __name__ == "__main__":
    main()
