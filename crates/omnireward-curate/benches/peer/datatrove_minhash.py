"""MinHash deduplication of a JSONL file with datatrove: its four stages, with its default of 14 buckets of 8 hashes
over runs of 5 words, on all cores.

    python datatrove_minhash.py PAIRS.jsonl FOLDER

Each line's text is prompt and responses, joined. Prints a line of JSON with the seconds and what was kept.
"""

import json
import os
import sys
import time

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig


def adapted(self, record, path, index):
    texts = [record["prompt"], *record["responses"]]
    return {"text": "\n".join(texts), "id": record["id"], "metadata": {}}


def main():
    source, folder = sys.argv[1:]
    tasks = os.cpu_count()
    config = MinhashConfig(hash_config=HashConfig(precision=64), n_grams=5, num_buckets=14, hashes_per_bucket=8)
    # One file a task, as datatrove deals files out.
    shards = os.path.join(folder, "shards")
    os.makedirs(shards)
    outputs = [open(os.path.join(shards, f"{task:02}.jsonl"), "w") for task in range(tasks)]
    with open(source) as lines:
        for number, line in enumerate(lines):
            outputs[number % tasks].write(line)
    for output in outputs:
        output.close()

    def place(name):
        return os.path.join(folder, name)

    def run(pipeline, stage, tasks):
        LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, workers=tasks, logging_dir=place(f"logs-{stage}")).run()

    reader = [JsonlReader(shards, adapter=adapted)]
    started = time.monotonic()
    run([*reader, MinhashDedupSignature(output_folder=place("signatures"), config=config)], 1, tasks)
    run([MinhashDedupBuckets(input_folder=place("signatures"), output_folder=place("buckets"), config=config)], 2, config.num_buckets)
    run([MinhashDedupCluster(input_folder=place("buckets"), output_folder=place("remove"), config=config)], 3, 1)
    run([*reader, MinhashDedupFilter(input_folder=place("remove")), JsonlWriter(place("kept"), compression=None)], 4, tasks)
    seconds = time.monotonic() - started
    kept = 0
    for name in os.listdir(place("kept")):
        with open(os.path.join(place("kept"), name)) as lines:
            kept += sum(1 for _ in lines)
    print(json.dumps({"seconds": seconds, "kept": kept}))


if __name__ == "__main__":
    main()
