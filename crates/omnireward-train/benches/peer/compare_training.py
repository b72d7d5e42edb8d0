"""Trains with both sides by turns, a step of ours and a step of the peer's, and prints what they took.

A process per side and case. Each opens the case and answers every line that it reads with a step, as `train_peer.py`
describes; while one computes, the other waits for a line and takes nothing. The peers are TRL's RewardTrainer for text
and a plain PyTorch loop for text and pictures: same weights, same pairs in the same order, AdamW, both cores.

Times are medians of steps after the first ones. Memory is the most that the process had resident, libraries and
weights included, and ours as a share of the peer's; in brackets the share when what each had resident before it opened
the checkpoint is taken off. A case with gradient checkpointing is laid beside the peer's memory without it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import training_cases
from compare import machine, seconds

HERE = Path(__file__).parent
COLUMNS = f"{'case':46} {'ours':>10} {'peer':>10} {'ours':>9} {'ratio':>6} {'aim':>5} {'ours':>8} {'peer':>8} {'share':>12} {'aim':>5}"
UNITS = f"{'':46} {'a step':>10} {'a step':>10} {'pairs/s':>9} {'':6} {'':5} {'peak':>8} {'peak':>8}"


def main():
    options = arguments()
    chosen = [case for case in training_cases.FULL if not options.cases or case.name in options.cases]
    if unknown := set(options.cases or ()) - {case.name for case in chosen}:
        sys.exit(f"no case named {', '.join(sorted(unknown))}; --list shows them")
    if options.list:
        for case in chosen:
            print(f"{case.name:46} {case.note}")
        return
    print(f"{machine()}, {os.cpu_count()} threads, load {os.getloadavg()[0]:.1f} at the start")
    print(COLUMNS + "\n" + UNITS)
    results = {}
    for case in chosen:
        case = training_cases.small(case) if options.small else case
        case = replace(case, repeats=options.repeats) if options.repeats and case.measures == "rate" else case
        results[case.name] = compare(case, options)
        print(line(case, results), flush=True)
    print(f"load {os.getloadavg()[0]:.1f} at the end; above the threads of one side, other work took part")
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": machine(), "results": results}, indent=2) + "\n")


def arguments():
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "omnireward/peer-training"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True, help="the benchmark built from main.rs")
    parser.add_argument("--cases", type=lambda names: names.split(","), help="only these, by name, with commas between")
    parser.add_argument("--repeats", type=int, help="steps that are counted, instead of what the case says")
    parser.add_argument("--threads", type=int, default=0, help="threads of each side; those of the machine when not given")
    parser.add_argument("--peer-dtype", choices=("fastest", "same"), default="fastest",
                        help="whether the peer may compute bf16 cases in f32 where that is faster (the default)")
    parser.add_argument("--small", action="store_true", help="toy sizes")
    parser.add_argument("--list", action="store_true", help="names of the cases")
    parser.add_argument("--json", help="where to keep every single time and loss")
    parser.add_argument("--cache", type=Path, default=cache, help="where checkpoints are kept")
    return parser.parse_args()


def compare(case, options):
    folder = prepare(case, options)
    threads = str(options.threads)
    workers = {
        "ours": Worker([options.ours, folder, threads], threads),
        "peer": Worker([sys.executable, HERE / "train_peer.py", folder, threads, options.peer_dtype], threads),
    }
    for _ in range(case.warmup + case.repeats):
        for worker in workers.values():
            worker.step()
    return {"note": case.note, **{side: worker.finish(case.warmup) for side, worker in workers.items()}}


def prepare(case, options):
    """In a process of its own, whose memory is gone before anything is measured."""
    size = "small" if options.small else "full"
    cache = options.cache / size
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, HERE / "prepare_training.py", case.name, size, cache]
    folder = Path(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])
    written = folder / "case.json"
    described = json.loads(written.read_text()) | {"steps": case.warmup + case.repeats}
    written.write_text(json.dumps(described, indent=2) + "\n")
    return folder


class Worker:
    """A process that takes a step for every line."""

    def __init__(self, command, threads):
        environment = dict(os.environ, TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1")
        if threads != "0":
            environment |= {"RAYON_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        command = [str(part) for part in command]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.opened = self.answer()
        self.steps = []

    def step(self):
        print("step", file=self.process.stdin, flush=True)
        self.steps.append(self.answer())

    def answer(self):
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.process.args[0]} ended with {self.process.wait()}")
        return json.loads(answer)

    def finish(self, warmup):
        self.process.stdin.close()
        peak = self.answer()["peak_bytes"]
        self.process.wait()
        times = [step["seconds"] for step in self.steps]
        return {
            "how": self.opened["ready"],
            "libraries_bytes": self.opened["libraries_bytes"],
            "peak_bytes": peak,
            "seconds": times,
            "median": statistics.median(times[warmup:]),
            "losses": [step["loss"] for step in self.steps],
        }


def line(case, results):
    result = results[case.name]
    ours, peer = result["ours"], result["peer"]
    differ = max(abs(a - b) for a, b in zip(ours["losses"], peer["losses"], strict=True))
    if case.measures == "curve":
        return (f"{case.name:46} losses of {len(ours['losses'])} steps, {ours['losses'][0]:.4f} to {ours['losses'][-1]:.4f}: "
                f"largest difference {differ:.1e}, aim {case.aim:.0e} ({peer['how']})")
    cells = [
        f"{case.name:46}",
        f"{seconds(ours['median']):>10}",
        f"{seconds(peer['median']):>10}",
        f"{case.batch_pairs / ours['median']:9.2f}",
        f"{peer['median'] / ours['median']:5.2f}x",
        f"{case.aim:4.1f}x" if case.aim else "     ",
        *memory(case, results),
        f" losses differ by {differ:.1e} ({peer['how']})",
    ]
    return " ".join(cells)


def memory(case, results):
    """Our share of the peer's; with gradient checkpointing, of the peer's without, where that was measured as well."""
    ours, peer = results[case.name]["ours"], results.get(case.plain, {}).get("peer")
    aim = f"{case.memory_aim * 100:4.0f}%" if case.memory_aim else "     "
    if peer is None:
        return [mebibytes(ours["peak_bytes"]), f"{'-':>8}", f"{'-':>12}", aim]
    share = ours["peak_bytes"] / peer["peak_bytes"]
    own = above_libraries(ours) / above_libraries(peer)
    return [mebibytes(ours["peak_bytes"]), mebibytes(peer["peak_bytes"]), f"{100 * share:4.0f}% ({100 * own:3.0f}%)", aim]


def above_libraries(side):
    return side["peak_bytes"] - side["libraries_bytes"]


def mebibytes(count):
    return f"{count / 2**20:6.0f} M"


if __name__ == "__main__":
    main()
