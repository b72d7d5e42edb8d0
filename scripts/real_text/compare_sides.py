"""How both sides did on the test pairs, beside the length baseline.

    compare_sides.py TEST.jsonl NAME=REWARDS.jsonl NAME=REWARDS.jsonl […]

Accuracy is the share of pairs whose better response has the higher reward, an equal one counting half; intervals (95%)
resample prompts 10,000 times. Sides are compared with the first one: pairs that one has right and the other wrong, the
exact probability (McNemar) of a split at least as uneven if neither is better, and how alike their margins are.
"""

import json
import math
import random
import sys
from collections import defaultdict
from pathlib import Path

RESAMPLES = 10_000


def main(test, *sides):
    pairs = read(test)
    margins = {"longest answer": [length_margin(pair) for pair in pairs]}
    for side in sides:
        name, path = side.split("=", 1)
        margins[name] = reward_margins(pairs, path)
    print(f"{len(pairs)} pairs of {len({pair['prompt_id'] for pair in pairs})} prompts")
    sources = sorted({pair["source"] for pair in pairs})
    print(f"{'':16} {'accuracy':>9} {'95% interval':>16}  " + "  ".join(f"{source:>10}" for source in sources))
    for name, values in margins.items():
        print(row(name, [correct(value) for value in values], pairs, sources))
    first, *others = list(margins)[1:]
    for other in others:
        print(against(first, other, margins))


def read(path):
    with Path(path).open() as lines:
        return [json.loads(line) for line in lines]


def length_margin(pair):
    lengths = [len(response) for response in pair["responses"]]
    return towards_label(pair, lengths)


def reward_margins(pairs, path):
    rewards = {line["id"]: line["rewards"] for line in read(path)}
    if missing := [pair["id"] for pair in pairs if pair["id"] not in rewards]:
        sys.exit(f"{path} has no rewards for {len(missing)} pairs, {missing[0]} among them")
    return [towards_label(pair, rewards[pair["id"]]) for pair in pairs]


def towards_label(pair, values):
    first, second = values
    return first - second if pair["label"] == "first" else second - first


def correct(margin):
    return 0.5 if margin == 0 else float(margin > 0)


def row(name, hits, pairs, sources):
    low, high = interval(hits, pairs)
    cells = []
    for source in sources:
        own = [hit for hit, pair in zip(hits, pairs) if pair["source"] == source]
        cells.append(f"{100 * sum(own) / len(own):5.1f}/{len(own):<4}")
    return f"{name:16} {100 * sum(hits) / len(hits):8.1f}% {100 * low:6.1f} to {100 * high:5.1f}  " + "  ".join(cells)


def interval(hits, pairs):
    prompts = defaultdict(list)
    for hit, pair in zip(hits, pairs):
        prompts[pair["prompt_id"]].append(hit)
    sums = [(sum(own), len(own)) for own in prompts.values()]
    draw = random.Random(1)
    shares = []
    for _ in range(RESAMPLES):
        drawn = draw.choices(sums, k=len(sums))
        shares.append(sum(total for total, _ in drawn) / sum(count for _, count in drawn))
    shares.sort()
    return shares[int(0.025 * RESAMPLES)], shares[int(0.975 * RESAMPLES)]


def against(first, other, margins):
    own, theirs = ([margin > 0 for margin in margins[name]] for name in (first, other))
    only = [sum(a and not b for a, b in zip(*sides)) for sides in ((own, theirs), (theirs, own))]
    return (f"{first} against {other}: {only[0]} pairs only {first} has right, {only[1]} only {other}; "
            f"p = {mcnemar(*only):.2f}; correlation of margins {correlation(margins[first], margins[other]):.3f}")


def mcnemar(one, other):
    total, least = one + other, min(one, other)
    tail = sum(math.comb(total, k) for k in range(least + 1)) / 2**total
    return min(1.0, 2 * tail)


def correlation(xs, ys):
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys))
    return covariance / math.sqrt(sum((x - mean_x) ** 2 for x in xs) * sum((y - mean_y) ** 2 for y in ys))


if __name__ == "__main__":
    main(*sys.argv[1:])
