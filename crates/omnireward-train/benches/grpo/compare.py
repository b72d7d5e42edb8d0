"""Runs our rounds and TRL's by turns, and prints what they took; `run.sh` calls it."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 3
program, turns = sys.argv[1], int(sys.argv[2])


def run(command):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} failed")
    return json.loads(output.splitlines()[-1])[1:], usage.ru_maxrss / 1024


with tempfile.TemporaryDirectory() as folder:
    subprocess.run([program, "make", folder], check=True)
    sides = {
        "ours": [program, "train", folder, str(ROUNDS)],
        "TRL": [sys.executable, str(Path(__file__).with_name("train_trl.py")), folder, str(ROUNDS)],
    }
    seconds, memory = {side: [] for side in sides}, {}
    for _ in range(turns):
        for side, command in sides.items():
            took, memory[side] = run(command)
            seconds[side] += took
    medians = {side: statistics.median(took) for side, took in seconds.items()}
    for side in sides:
        print(f"{side:5} {medians[side]:8.2f} s a round, {memory[side]:6.0f} MB at the most")
    print(f"{medians['TRL'] / medians['ours']:.2f} times as fast")
