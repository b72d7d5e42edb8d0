"""Writes what Pillow and transformers make of pictures and sounds that a simple generator gives.

    pip install 'pillow<12' numpy 'transformers==4.57.6' soundfile
    python make_fixtures.py [DIRECTORY OF THE REAL TEST DATA]

Pillow 12 does the vertical pass first where the height shrinks far more than the width, which rounds
differently; the model was trained with earlier ones.

resize.txt: a line a case: filter, old width and height, new width and height, and the SHA-256 of the
            resized RGB bytes. The number of the line, from 0, is the picture's seed.
mel.json:   the cases; mel.f32: for each, every `stride`-th frame of its spectrogram, band by band.
"""
import hashlib
import json
import random
import sys
from pathlib import Path

import numpy as np
import PIL
import transformers
from PIL import Image
from transformers import WhisperFeatureExtractor

HERE = Path(__file__).parent


def generator(seed, count):
    """The top bytes of a linear congruential generator with the constants of Numerical Recipes."""
    multiplier, increment = np.uint32(1664525), np.uint32(1013904223)
    # state_k = a^k s + c (a^(k-1) + ... + 1), in arithmetic modulo 2^32.
    powers = np.cumprod(np.full(count, multiplier, np.uint32), dtype=np.uint32)
    sums = np.cumsum(np.concatenate([[np.uint32(1)], powers[:-1]]), dtype=np.uint32)
    states = powers * np.uint32(seed) + sums * increment
    return states


def picture(seed, width, height):
    """Noise over a ramp: the low half of the picture is noise, so that sums leave 0..255 too."""
    noise = (generator(seed, width * height * 3) >> np.uint32(24)).astype(np.uint32)
    index = np.arange(width * height * 3, dtype=np.uint32)
    ramp = (index // np.uint32(3) * np.uint32(7)) % np.uint32(256)
    half = index < (width * height * 3) // 2
    return np.where(half, ramp, noise).astype(np.uint8).reshape(height, width, 3)


def sound(seed, count, quiet_after):
    """16-bit noise that is a thousand times quieter after sample `quiet_after`."""
    loud = (generator(seed, count) >> np.uint32(16)).astype(np.int32) - 32768
    index = np.arange(count)
    values = np.where(index < quiet_after, loud, loud // 1024)
    return (values / 32768.0).astype(np.float32)


def resize_cases():
    choose = random.Random(20)
    side = lambda: choose.choice([choose.randint(1, 40), choose.randint(1, 200), choose.randint(1, 420)])
    lines = []
    for seed in range(1060):
        name = "bicubic" if seed % 2 == 0 else "nearest"
        old, new = (side(), side()), (side(), side())
        if seed % 50 < 2:
            new = (old[0], new[1])
        elif seed % 50 < 4:
            new = (new[0], old[1])
        if seed in (1058, 1059):
            old, new = (1920, 1080), (602, 336)
        image = Image.fromarray(picture(seed, *old))
        resized = image.resize(new, getattr(Image, name.upper()))
        digest = hashlib.sha256(resized.tobytes()).hexdigest()
        lines.append(f"{name} {old[0]} {old[1]} {new[0]} {new[1]} {digest}")
    (HERE / "resize.txt").write_text("\n".join(lines) + "\n")


SYNTHETIC = [
    # samples, quiet after
    (1, 1), (159, 100), (160, 160), (161, 10), (1599, 1000), (16000, 8000), (32479, 16000),
    (80000, 1 << 30), (80000, 4000), (479999, 100000), (480000, 240000), (479700, 1 << 30), (479801, 0),
]
REAL = ["media/audio/demo_16k.wav", "audio/speakbench/sb508_314_a.wav", "audio/speakbench/sb508_314_instruction.wav"]


def mel_cases(data):
    cases, values = [], []

    def add(case, samples, bins):
        extractor = WhisperFeatureExtractor(feature_size=bins)
        filled = np.pad(samples, (0, 480000 - len(samples)))
        mel = extractor._np_extract_fbank_features(filled[None], "cpu")[0]
        frames = -(-len(samples) // 160)
        stride = max(1, frames // 40)
        values.append(np.ascontiguousarray(mel[:, :frames:stride], np.float32))
        cases.append({**case, "bins": bins, "frames": frames, "stride": stride})

    for seed, (count, quiet_after) in enumerate(SYNTHETIC):
        case = {"seed": seed, "samples": count, "quiet_after": min(quiet_after, count)}
        add(case, sound(seed, count, quiet_after), 128 if seed % 4 == 3 else 80)
    for path in REAL if data else []:
        import soundfile

        samples, rate = soundfile.read(data / path, dtype="float32", always_2d=True)
        assert rate == 16000, path
        add({"file": path}, samples.mean(axis=1)[:480000], 80)
    (HERE / "mel.f32").write_bytes(b"".join(value.tobytes() for value in values))
    versions = {"pillow": PIL.__version__, "numpy": np.__version__, "transformers": transformers.__version__}
    (HERE / "mel.json").write_text(json.dumps({"versions": versions, "cases": cases}, indent=1) + "\n")


resize_cases()
mel_cases(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
