"""The original's image processing, with the libraries that it uses: Pillow, NumPy and torch.

Shrink to 768 x 768 pixels with nearest neighbours, overview and slices with Pillow's bicubic filter, from -1 to 1, cut
into strips of patches.
"""

import math

import numpy as np
import torch
from PIL import Image

CAP, SCALE, PATCH, MOST = 768 * 768, 448, 14, 9


def preprocess(pixels):
    """`pixels`: `[height, width, 3]` in u8; returns a `[3, 14, 14 * patches]` tensor per tile."""
    image = Image.fromarray(pixels)
    if image.width * image.height > CAP:
        factor = math.sqrt(CAP / (image.width * image.height))
        image = image.resize((int(image.width * factor), int(image.height * factor)), Image.NEAREST)
    image = image.convert("RGB")
    return [strip(normalised(tile)) for tile in tiles(image)]


def tiles(image):
    width, height = image.size
    many = min(math.ceil(width * height / SCALE**2), MOST)
    if many <= 1:
        return [image.resize(best_size(width, height, True), Image.BICUBIC)]
    overview = image.resize(best_size(width, height, False), Image.BICUBIC)
    columns, rows = grid(width, height, many)
    cell = best_size(fit(width, columns) / columns, fit(height, rows) / rows, True)
    refined = image.resize((cell[0] * columns, cell[1] * rows), Image.BICUBIC)
    cells = [
        refined.crop((x, y, x + cell[0], y + cell[1]))
        for y in range(0, refined.height, cell[1])
        for x in range(0, refined.width, cell[0])
    ]
    return [overview, *cells]


def grid(width, height, many):
    counts = [count for count in (many - 1, many, many + 1) if 1 < count <= MOST]
    candidates = [(a, count // a) for count in counts for a in range(1, count + 1) if count % a == 0]
    wanted = math.log(width / height)
    return min(candidates, key=lambda c: abs(wanted - math.log(c[0] / c[1])))


def best_size(width, height, enlarge):
    if width * height > SCALE**2 or enlarge:
        ratio = width / height
        height = int(SCALE / math.sqrt(ratio))
        width = int(height * ratio)
    return fit(width, PATCH), fit(height, PATCH)


def fit(length, step):
    return max(round(length / step) * step, step)


def normalised(tile):
    values = np.asarray(tile).astype(np.float32) / 255
    values = (values - np.float32(0.5)) / np.float32(0.5)
    return torch.from_numpy(values.transpose(2, 0, 1))


def strip(tile):
    patches = torch.nn.functional.unfold(tile[None], (PATCH, PATCH), stride=(PATCH, PATCH))
    return patches.reshape(3, PATCH, PATCH, -1).permute(0, 1, 3, 2).reshape(3, PATCH, -1)
