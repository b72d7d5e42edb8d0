"""What a model is given in a fixture or a benchmark, and the tensors it is kept as.

    sequence.I.tokens   [rows]        tokens; a placeholder where a medium's feature stands
    sequence.I.places   [rows, 2]     medium and row of the feature that stands there, or -1, -1
    image.I.tile.J.patches, .size     [patches, 3 * 14 * 14], (rows, columns)
    image.I.grid        [2]           (columns, rows) of the slices after the first tile, where there are any
    clip.I.mels         [mels, frames]

A medium's number is its place in the list of images, or of clips.
"""

import torch

PATCH = 3 * 14 * 14


def to_tensors(contents):
    tensors = {}
    for i, (tokens, places) in enumerate(contents["sequences"]):
        tensors |= {f"sequence.{i}.tokens": tokens, f"sequence.{i}.places": places}
    for i, tiles in enumerate(contents.get("images", [])):
        for j, (patches, size) in enumerate(tiles):
            tensors |= {f"image.{i}.tile.{j}.patches": patches, f"image.{i}.tile.{j}.size": torch.tensor(size)}
    for i, grid in contents.get("grids", {}).items():
        tensors[f"image.{i}.grid"] = torch.tensor(grid)
    for i, clip in enumerate(contents.get("clips", [])):
        tensors[f"clip.{i}.mels"] = clip
    return tensors


def from_tensors(tensors):
    sequences = [
        (tensors[f"sequence.{i}.tokens"], tensors[f"sequence.{i}.places"])
        for i in count(tensors, "sequence.{}.tokens")
    ]
    images = [
        [
            (tensors[f"image.{i}.tile.{j}.patches"], tuple(tensors[f"image.{i}.tile.{j}.size"].tolist()))
            for j in count(tensors, f"image.{i}.tile.{{}}.size")
        ]
        for i in count(tensors, "image.{}.tile.0.size")
    ]
    clips = [tensors[f"clip.{i}.mels"] for i in count(tensors, "clip.{}.mels")]
    return {"sequences": sequences, "images": images, "clips": clips}


def count(tensors, name):
    i = 0
    while name.format(i) in tensors:
        yield i
        i += 1


def tile(rows, columns, generator):
    """Noise with a shade per patch, from -1 to 1, so that patches differ as those of a picture do."""
    noise = torch.rand(rows * columns, PATCH, generator=generator)
    shade = torch.rand(rows * columns, 1, generator=generator)
    return ((noise + 2 * shade) / 3 * 2 - 1, (rows, columns))


def mel(frames, generator):
    """As loud and as quiet as a log-mel spectrogram is."""
    return torch.rand(80, frames, generator=generator) * 2 - 0.5


def text(count, vocabulary, generator):
    return torch.randint(0, vocabulary, (count,), generator=generator), torch.full((count, 2), -1)


def medium(number, rows, placeholder):
    """The placeholders of one medium."""
    places = torch.stack([torch.full((rows,), number), torch.arange(rows)], 1)
    return torch.full((rows,), placeholder), places


def join(parts):
    return tuple(torch.cat(column) for column in zip(*parts))
