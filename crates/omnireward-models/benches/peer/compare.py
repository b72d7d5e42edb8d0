"""Runs both sides by turns and prints what they took.

Two processes per case, ours and the peer's: each opens the case, runs it once to warm up, and then one after the other
runs it when told to. While one runs, the other waits for a line and takes nothing.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

import cases

HERE = Path(__file__).parent


def main():
    options = arguments()
    chosen = [case for case in cases.FULL if not options.cases or case.name in options.cases]
    if unknown := set(options.cases or ()) - {case.name for case in chosen}:
        sys.exit(f"no case named {', '.join(sorted(unknown))}; --list shows them")
    if options.list:
        for case in cases.FULL:
            print(f"{case.name:22} {case.note}")
        return
    print(f"{machine()}, {os.cpu_count()} threads, load {os.getloadavg()[0]:.1f} at the start")
    print(f"{'case':22} {'ours':>10} {'peer':>10} {'ratio':>6} {'aim':>5} {'ours':>7} {'peer':>7}  rewards differ by")
    results = []
    for case in chosen:
        case = cases.small(case) if options.small else case
        results.append(compare(case, options))
        print(line(case, results[-1]), flush=True)
    for result in results if not options.small else ():
        shares(result, results)
    print(f"load {os.getloadavg()[0]:.1f} at the end; above the threads of one side, other work took part")
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": machine(), "results": results}, indent=2) + "\n")


def arguments():
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "omnireward/peer"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", required=True, help="the benchmark built from main.rs")
    parser.add_argument("--cases", type=lambda names: names.split(","), help="only these, by name, with commas between")
    parser.add_argument("--repeats", type=int, help="runs of each side, instead of what the case says")
    parser.add_argument("--peer-dtype", choices=("fastest", "same"), default="fastest",
                        help="whether the peer may compute bf16 cases in f32 where that is faster (the default)")
    parser.add_argument("--small", action="store_true", help="toy sizes")
    parser.add_argument("--list", action="store_true", help="names of the cases")
    parser.add_argument("--json", help="where to keep every single time")
    parser.add_argument("--cache", type=Path, default=cache, help="where checkpoints are kept")
    return parser.parse_args()


def compare(case, options):
    folder = prepare(case, options)
    threads = str(case.threads)
    ours = Worker([options.ours, str(folder), threads], threads)
    peer = Worker([sys.executable, str(HERE / "peer.py"), str(folder), threads, options.peer_dtype], threads)
    for worker in (ours, peer):
        worker.run()
    for _ in range(options.repeats or case.repeats):
        ours.run()
        peer.run()
    sides = {"ours": ours.finish(), "peer": peer.finish()}
    return {"case": case.name, "note": case.note, "dtype": case.dtype, "aim": case.aim,
            "multiple": case.peer_multiple, "flops": flops(case), **sides}


def prepare(case, options):
    """In a process of its own, whose memory is gone before anything is measured."""
    size = "small" if options.small else "full"
    cache = options.cache / size
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(HERE / "prepare.py"), case.name, size, str(cache)]
    return Path(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])


class Worker:
    """A process that runs its case once for every line."""

    def __init__(self, command, threads):
        environment = dict(os.environ, TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1")
        if threads != "0":
            environment |= {"RAYON_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.described = self.answer()["ready"]
        self.runs = []

    def run(self):
        print("run", file=self.process.stdin, flush=True)
        self.runs.append(self.answer())

    def answer(self):
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.process.args[0]} ended with {self.process.wait()}")
        return json.loads(answer)

    def finish(self):
        self.process.stdin.close()
        self.process.wait()
        first, *measured = self.runs
        return {
            "how": self.described,
            "first": first["seconds"],
            "seconds": [run["seconds"] for run in measured],
            "median": statistics.median(run["seconds"] for run in measured),
            "memory": max(run["memory"] for run in self.runs),
            "rewards": first["rewards"],
        }


def line(case, result):
    ours, peer = result["ours"], result["peer"]
    ratio = peer["median"] * case.peer_multiple / ours["median"]
    differ = [abs(a - b) for a, b in zip(ours["rewards"], peer["rewards"])]
    cells = [
        f"{case.name:22}",
        f"{seconds(ours['median']):>10}",
        f"{seconds(peer['median'] * case.peer_multiple):>10}",
        f"{ratio:5.2f}x",
        f"{case.aim:4.1f}x" if case.aim else "     ",
        f"{ours['memory'] / 2**20:5.0f} M",
        f"{peer['memory'] / 2**20:5.0f} M",
        f" {max(differ):.1e}" if differ else " -",
        f" ({peer['how']})",
    ]
    return " ".join(cells)


def seconds(value):
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.2f} ms"


def shares(result, results):
    """How much of what matrix products alone reach: the faster of the two sides' is taken as the machine's most."""
    products = [r for r in results if r["case"] == f"product-{result['dtype']}"]
    if not result["flops"] or not products:
        return
    peak = max(products[0]["flops"]["ours"] / products[0][side]["median"] for side in ("ours", "peer"))
    for side in ("ours", "peer"):
        rate = result["flops"][side] / result[side]["median"]
        print(f"{result['case']:22} {side}: {result['flops'][side] / 1e9:8.1f} GFLOP at {rate / 1e9:6.1f} GFLOP/s, "
              f"{100 * rate / peak:3.0f} % of a plain product's {peak / 1e9:.0f}")


def flops(case):
    """Multiplications and additions that each side's way of doing it needs; attention only where it is not masked."""
    if case.kind == "product":
        return {"ours": 2 * case.size**3, "peer": 2 * case.size**3}
    if case.kind == "text":
        size = cases.TEXT[case.checkpoint]
        trunk = decoder_flops(size, case.shared, 0)
        ours = trunk + sum(decoder_flops(size, branch, case.shared) for branch in case.branches)
        return {"ours": ours, "peer": sum(decoder_flops(size, case.shared + branch, 0) for branch in case.branches)}
    if case.kind == "media":
        return media_flops(case)
    return None


def media_flops(case):
    size = cases.MEDIA[case.checkpoint]
    features = case.tiles * size["query_num"]
    image = image_flops(size, case.tiles, case.side**2)
    whole = decoder_flops(size, case.shared + features + case.branches[0], 0)
    peer = len(case.branches) * (image + whole)
    if case.images == "shared":
        trunk = case.shared + features
        return {"ours": image + decoder_flops(size, trunk, 0)
                + sum(decoder_flops(size, branch, trunk) for branch in case.branches), "peer": peer}
    branch = decoder_flops(size, features + case.branches[0], case.shared)
    ours = len(case.branches) * (image + case.criteria * branch) + case.criteria * decoder_flops(size, case.shared, 0)
    return {"ours": ours, "peer": peer}


def decoder_flops(size, rows, before):
    """`rows` rows behind `before` others."""
    hidden, heads, kv_heads = size["hidden_size"], size["num_attention_heads"], size["num_key_value_heads"]
    projections = 2 * hidden * hidden + 2 * hidden * hidden * kv_heads // heads + 3 * hidden * size["intermediate_size"]
    seen = rows * before + rows * (rows + 1) // 2
    return size["num_hidden_layers"] * (2 * projections * rows + 4 * hidden * seen)


def image_flops(size, tiles, patches):
    vision, hidden, queries = size["vision_config"], size["hidden_size"], size["query_num"]
    width = vision["hidden_size"]
    layer = 2 * patches * (4 * width**2 + 2 * width * vision["intermediate_size"]) + 4 * patches**2 * width
    tower = 2 * patches * 588 * width + vision["num_hidden_layers"] * layer
    resampler = 2 * patches * (width * hidden + 2 * hidden**2) + 2 * queries * 2 * hidden**2 + 4 * patches * queries * hidden
    return tiles * (tower + resampler)


def machine():
    names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    flags = Path("/proc/cpuinfo").read_text()
    widest = next((flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if f" {flag}" in flags), "no AVX2")
    return f"{names[0] if names else platform.processor()} ({widest})"


if __name__ == "__main__":
    main()
