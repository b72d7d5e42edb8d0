"""Times Pillow and PyAV beside our decoder: see decode_vs_python.sh.

Both sides decode the same bytes from memory. Rounds alternate between the two, so that a busy
machine slows both, and the median of all rounds counts. PyAV decodes forward and converts only
the eight wanted frames, once with one thread and once with as many as it likes.
"""

import io
import pathlib
import statistics
import subprocess
import sys
import time

import av
import numpy
from PIL import Image


def image(data):
    with Image.open(io.BytesIO(data)) as picture:
        numpy.asarray(picture.convert("RGB"))


def video(data, threads):
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        total = stream.frames
        wanted = set(numpy.linspace(0, total - 1, 8).astype(int).tolist())
        stream.thread_type = "AUTO" if threads != 1 else "NONE"
        stream.codec_context.thread_count = threads
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted:
                frame.to_rgb().to_ndarray()
            if index == total - 1:
                break


def timed(decode):
    start = time.perf_counter()
    decode()
    return time.perf_counter() - start


def ours(program, kind, path):
    output = subprocess.run([program, kind, "3", path], check=True, capture_output=True, text=True)
    return [float(field) for field in output.stdout.split()[:3]]


def compare(program, kind, paths, peers, rounds):
    totals = {name: 0.0 for name in ["ours", *peers]}
    for path in paths:
        data = pathlib.Path(path).read_bytes()
        times = {name: [] for name in totals}
        for _ in range(rounds):
            times["ours"] += ours(program, kind, path)
            for name, decode in peers.items():
                times[name] += [timed(lambda: decode(data)) for _ in range(3)]
        medians = {name: statistics.median(values) for name, values in times.items()}
        for name, seconds in medians.items():
            totals[name] += seconds
        report(pathlib.Path(path).name[:40], medians)
    report("SUM", totals)


def report(label, seconds):
    parts = [f"{name} {1000 * value:8.2f} ms" for name, value in seconds.items()]
    parts += [
        f"ours/{name} {seconds['ours'] / value:5.2f}" for name, value in seconds.items() if name != "ours"
    ]
    print(f"{label:42}", "  ".join(parts))


def main(program, data):
    data = pathlib.Path(data)
    pictures = sorted(str(path) for path in (data / "image/mjbench_objects").glob("*.jpg"))[:8]
    pictures.append(str(data / "media/image/jpg_progressive_3.jpg"))
    compare(program, "image", pictures, {"pillow": image}, rounds=7)
    films = sorted(str(path) for path in (data / "video").rglob("*.mp4"))
    films += [str(data / "media/video/nasa_13013.mp4"), str(data / "media/video/demo_h264.avi")]
    peers = {
        "pyav-1-thread": lambda data: video(data, 1),
        "pyav-auto": lambda data: video(data, 0),
    }
    compare(program, "video", films, peers, rounds=3)


if __name__ == "__main__":
    main(*sys.argv[1:])
