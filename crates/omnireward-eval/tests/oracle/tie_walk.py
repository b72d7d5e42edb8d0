"""Writes fixtures/tie_walk.json: what the reference's tie calibration gives on random inputs.

Written from the description of the procedure, not from its code:

* start with nothing tied; sort the pairs by the size of their margin, keeping the order of equal
  ones; move them one at a time into the tied group; after each move read the accuracy, (concordant
  + ties seen by both) / all; keep the best reading. Nothing-tied itself is never read.
* the true optimum over thresholds, with nothing-tied among them, is found by trying all of them.

Margins are quarters, so that zeros and equal sizes are frequent and floats are exact; every fourth
case has distinct margins instead. Python 3.11, standard library only.

    python3 tie_walk.py > ../fixtures/tie_walk.json
"""

import json
import random
import sys


def sign(x):
    return (x > 0) - (x < 0)


def accuracy_hits(margins, labels, tied):
    hits = 0
    for i, (m, h) in enumerate(zip(margins, labels)):
        if i in tied:
            hits += h == 0
        else:
            hits += h != 0 and sign(m) == h
    return hits


def walk(margins, labels):
    best = None
    tied = set()
    for i in sorted(range(len(margins)), key=lambda i: abs(margins[i])):
        tied.add(i)
        hits = accuracy_hits(margins, labels, tied)
        best = hits if best is None else max(best, hits)
    return best


def optimum(margins, labels):
    best = -1
    for e in [-1.0, *sorted({abs(m) for m in margins})]:
        tied = {i for i, m in enumerate(margins) if abs(m) <= e}
        best = max(best, accuracy_hits(margins, labels, tied))
    return best


def sign_hits(margins, labels):
    return sum(h != 0 and h * m > 0 for m, h in zip(margins, labels))


def case(rng, index):
    n = rng.choice([1, 2, 3, 4, 5, 8, 13, 21, 34])
    tie_share = rng.choice([0.0, 0.1, 0.3, 0.6])
    if index % 4 == 0:
        sizes = rng.sample(range(1, 400), n)
        quarters = [s * rng.choice([-1, 1]) for s in sizes]
    else:
        reach = rng.choice([2, 4, 12])
        quarters = [rng.randint(-reach, reach) for _ in range(n)]
    labels = []
    for q in quarters:
        if rng.random() < tie_share:
            labels.append(0)
        else:
            agrees = rng.random() < 0.7
            side = sign(q) or rng.choice([-1, 1])
            labels.append(side if agrees else -side)
    margins = [q / 4 for q in quarters]
    return [
        quarters,
        labels,
        walk(margins, labels),
        optimum(margins, labels),
        sign_hits(margins, labels),
    ]


def main():
    rng = random.Random(20251027)
    cases = [case(rng, i) for i in range(1000)]
    above = sum(c[2] > c[3] for c in cases)
    below = sum(c[2] < c[3] for c in cases)
    out = {
        "columns": ["margins in quarters", "labels", "walk hits", "optimum hits", "sign hits"],
        "walk_above_optimum": above,
        "walk_below_optimum": below,
        "cases": cases,
    }
    json.dump(out, sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")


main()
