"""Writes tests/fixtures/*.json: what Pillow and PyAV decode from the real test data.

Run it after changing the data or to compare with other versions of the two:

    python3 -m venv venv && venv/bin/pip install pillow av numpy
    venv/bin/python make_fixtures.py DATA ../fixtures

DATA is the folder of the real test data. For each video the numbers of frames as
numpy.linspace(0, n - 1, k) spreads them, some neighbours and the last, each with the mean of its
channels and the SHA-256 of its RGB bytes; for each animation every frame.
"""

import hashlib
import json
import pathlib
import sys

import av
import numpy
import PIL
from PIL import Image, ImageSequence


def facts(rgb):
    return {
        "mean_rgb": [round(float(v), 4) for v in rgb.reshape(-1, 3).mean(axis=0)],
        "sha256": hashlib.sha256(rgb.tobytes()).hexdigest(),
    }


def wanted(total):
    spread = numpy.linspace(0, total - 1, 8).astype(int).tolist()
    middle = total // 2
    near = [0, 1, 2, 3, middle, middle + 1, middle + 2, total - 2, total - 1]
    return sorted({i for i in spread + near if 0 <= i < total}), spread


def video(path, name):
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        total = sum(1 for _ in container.decode(video=0))
    indices, spread = wanted(total)
    frames = []
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index in indices:
                rgb = frame.to_rgb().to_ndarray()
                start = frame.time if index == 0 else start
                frames.append({"index": index, "time": round(frame.time - start, 6), **facts(rgb)})
    size = [rgb.shape[1], rgb.shape[0]]
    return {"path": name, "frames": total, "size": size, "spread_8": spread, "decoded": frames}


def animation(path, name):
    with Image.open(path) as image:
        frames = []
        for index, frame in enumerate(ImageSequence.Iterator(image)):
            rgba = frame.convert("RGBA")
            white = Image.new("RGBA", rgba.size, "white")
            rgb = numpy.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
            frames.append({"index": index, **facts(rgb)})
        return {"path": name, "frames": len(frames), "size": list(image.size), "decoded": frames}


def main(data, out):
    data, out = pathlib.Path(data), pathlib.Path(out)
    versions = {"pillow": PIL.__version__, "pyav": av.__version__}
    rows = [json.loads(line) for line in (data / "media_facts.jsonl").open()]
    files = [row["path"] for row in rows if "reference_tool_error" not in row]
    videos = [f for f in files if f.endswith((".mp4", ".avi", ".webm"))]
    animations = [r["path"] for r in rows if r.get("frames", 1) > 1 and "width" in r]
    for kind, read, names in [
        ("video_frames", video, videos),
        ("animation_frames", animation, animations),
    ]:
        files = [read(data / name, name) for name in names]
        text = json.dumps({"made_with": versions, "files": files}, indent=1)
        (out / f"{kind}.json").write_text(text + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
