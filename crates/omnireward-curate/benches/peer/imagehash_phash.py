"""The peer of hash_images.rs: hashes the files named as arguments once for every line on standard
input, and answers with the seconds it took. Needs `pip install pillow imagehash`."""

import io
import sys
import time

import imagehash
from PIL import Image

files = [open(name, "rb").read() for name in sys.argv[1:]]
for _ in sys.stdin:
    started = time.perf_counter()
    for data in files:
        imagehash.phash(Image.open(io.BytesIO(data)))
    print(time.perf_counter() - started, flush=True)
