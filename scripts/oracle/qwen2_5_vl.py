"""A tiny Qwen2.5-VL with what transformers makes of words, pictures and videos: patches, positions, features, scores of
the next token and greedy text.

    picture.I               [height, width, 3]     bytes; the frames of a video one above another
    picture.I.frames        [1]                    0 for a still picture
    tokens                  [rows]                 with a pad token for each row of a medium
    seconds                 [media]                between temporal grids; 0 for a still picture
    positions               [rows, 3]              time, height, width
    greedy                  [64]                   the tokens that follow
    P.features.I            [rows, hidden]         in precision P
    P.logits                [rows, vocabulary]
"""

import numpy as np
import torch
from transformers import GenerationConfig, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor, smart_resize

from fixture import Folder
from liveliness import randomise, stored_as

WORDS = 256
START, END, IMAGE, VIDEO = 265, 266, 268, 269
NEW_TOKENS = 64
LIMITS = {"shortest_edge": 56 * 56, "longest_edge": 16384 * 28 * 28}
MERGE = 2

CONFIG = Qwen2_5_VLConfig(
    text_config=dict(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=128,
        vocab_size=278,
        max_position_embeddings=1024,
        rms_norm_eps=1e-6,
        rope_theta=1_000_000.0,
        rope_scaling=dict(type="mrope", mrope_section=[2, 3, 3]),
        tie_word_embeddings=False,
    ),
    vision_config=dict(
        depth=3,
        hidden_size=32,
        num_heads=2,
        intermediate_size=48,
        out_hidden_size=64,
        patch_size=14,
        temporal_patch_size=2,
        spatial_merge_size=MERGE,
        window_size=112,
        fullatt_block_indexes=[1],
        tokens_per_second=2,
    ),
    image_token_id=IMAGE,
    video_token_id=VIDEO,
    vision_start_token_id=START,
    vision_end_token_id=END,
    tie_word_embeddings=False,
)

# A number is that many words; a picture is (height, width), a video (frames, height, width).
CASES = {
    "text": [40],
    "image": [3, (140, 196), 4],
    "images": [5, (84, 56), 2, (56, 252), 6],
    "video": [4, (5, 56, 84), 7],
    "mixed": [2, (112, 84), 3, (4, 84, 56), 5],
}

RESIZED = (75, 100)


@torch.no_grad()
def make(out):
    folder = Folder(out / "qwen2_5_vl")
    model = randomise(Qwen2_5_VLForConditionalGeneration(CONFIG), 500).eval()
    model.generation_config = GenerationConfig()
    model.save_pretrained(folder.path)
    (folder.path / "generation_config.json").unlink()
    for file in ("config.json", "model.safetensors"):
        folder.check(file)
    generator = torch.Generator().manual_seed(501)
    cases = {name: case(parts, generator) for name, parts in CASES.items()}
    results = {name: {} for name in CASES}
    for precision, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        model = stored_as(model, dtype)
        for name, contents in cases.items():
            if precision == "f32":
                results[name] |= positions_and_text(model, contents)
            results[name] |= outputs(model, contents, precision)
    for name, contents in cases.items():
        stored = {key: value for key, value in contents.items() if not key.startswith("model.")}
        folder.tensors(f"{name}.safetensors", stored | results[name])
        report(name, results[name])
    folder.tensors("resized.safetensors", resized(generator))
    folder.json("resize.json", resize_table())
    folder.json("windows.json", windows(model))
    folder.json("frames.json", frames_table())


def case(parts, generator):
    tokens, pictures, patches, grids, seconds = [], {}, {"image": [], "video": []}, [], []
    for part in parts:
        if isinstance(part, int):
            tokens += torch.randint(0, WORDS, (part,), generator=generator).tolist()
            continue
        frames, (height, width) = (0, part) if len(part) == 2 else (part[0], part[1:])
        index = len(grids)
        pixels = noise(max(frames, 1) * height, width, generator)
        values, grid = prepared(pixels.reshape(-1, height, width, 3))
        pad = VIDEO if frames else IMAGE
        tokens += [START] + [pad] * (np.prod(grid) // MERGE**2) + [END]
        pictures |= {f"picture.{index}": torch.from_numpy(pixels), f"picture.{index}.frames": torch.tensor([frames])}
        patches["video" if frames else "image"].append((values, grid))
        grids.append(grid)
        seconds.append(1.0 if frames else 0.0)
    contents = {"tokens": torch.tensor(tokens), "seconds": torch.tensor(seconds), **pictures}
    for kind, pairs in patches.items():
        if pairs:
            contents[f"model.{kind}.values"] = torch.from_numpy(np.concatenate([values for values, _ in pairs]))
            contents[f"model.{kind}.grids"] = torch.tensor([grid for _, grid in pairs])
    return contents


def noise(height, width, generator):
    """Smooth enough that patches differ by more than their noise."""
    coarse = torch.rand(height // 14, width // 14, 3, generator=generator)
    coarse = coarse.repeat_interleave(14, 0).repeat_interleave(14, 1)
    fine = torch.rand(coarse.shape, generator=generator)
    return ((2 * coarse + fine) / 3 * 255).round().to(torch.uint8).numpy()


def prepared(frames):
    processor = Qwen2VLImageProcessor(size=LIMITS)
    return processor._preprocess(
        list(frames),
        do_resize=True,
        size=LIMITS,
        resample=processor.resample,
        do_rescale=True,
        rescale_factor=processor.rescale_factor,
        do_normalize=True,
        image_mean=processor.image_mean,
        image_std=processor.image_std,
        patch_size=processor.patch_size,
        temporal_patch_size=processor.temporal_patch_size,
        merge_size=processor.merge_size,
        do_convert_rgb=True,
    )


def arguments(contents):
    names = {
        "model.image.values": "pixel_values",
        "model.image.grids": "image_grid_thw",
        "model.video.values": "pixel_values_videos",
        "model.video.grids": "video_grid_thw",
    }
    given = {argument: contents[name] for name, argument in names.items() if name in contents}
    if "video_grid_thw" in given:
        given["second_per_grid_ts"] = [second for second in contents["seconds"].tolist() if second]
    return {"input_ids": contents["tokens"][None], **given}


def positions_and_text(model, contents):
    given = arguments(contents)
    grids = {name: given[name] for name in given if name not in ("pixel_values", "pixel_values_videos")}
    positions, _ = model.model.get_rope_index(**grids)
    greedy = model.generate(
        **given,
        attention_mask=torch.ones_like(given["input_ids"]),
        do_sample=False,
        max_new_tokens=NEW_TOKENS,
        output_scores=True,
        return_dict_in_generate=True,
        pad_token_id=WORDS,
    )
    best = torch.stack([scores[0].topk(2).values for scores in greedy.scores])
    return {
        "positions": positions[:, 0].T,
        "greedy": greedy.sequences[0, len(contents["tokens"]) :],
        "margins": best[:, 0] - best[:, 1],
    }


def outputs(model, contents, precision):
    # Positions of an earlier prompt are not to be taken for this one's.
    model.model.rope_deltas = None
    logits = model(**arguments(contents), use_cache=False).logits[0]
    found = {f"{precision}.logits": logits}
    features = {kind: iter(encoded(model, contents, kind)) for kind in ("image", "video")}
    for index in range(len(contents["seconds"])):
        kind = "video" if contents["seconds"][index] else "image"
        found[f"{precision}.features.{index}"] = next(features[kind])
    return found


def encoded(model, contents, kind):
    if f"model.{kind}.grids" not in contents:
        return []
    values, grids = contents[f"model.{kind}.values"], contents[f"model.{kind}.grids"]
    rows = model.model.visual(values.to(model.dtype), grid_thw=grids)
    return rows.split((grids.prod(-1) // MERGE**2).tolist())


def report(name, results):
    exact, rounded = results["f32.logits"], results["bf16.logits"].float()
    off = (exact - rounded).abs().max()
    margin = results["margins"].min()
    print(f"{name}: largest {exact.abs().max():.3f}, bf16 off by {off:.2e}, smallest margin {margin:.2e}")


def resized(generator):
    pixels = torch.randint(0, 256, (*RESIZED, 3), generator=generator, dtype=torch.uint8)
    values, grid = prepared(pixels.numpy()[None])
    return {"picture": pixels, "patches": torch.from_numpy(values), "grid": torch.tensor(grid)}


def resize_table():
    """[height, width, least, most, height, width]"""
    sizes = [(1080, 1920), (480, 640), (14, 14), (30, 30), (42, 70), (98, 126), (5000, 5000), (28, 5600), (1, 200)]
    generator = torch.Generator().manual_seed(502)
    sizes += torch.randint(20, 3000, (200, 2), generator=generator).tolist()
    limits = [(56 * 56, 28 * 28 * 16384), (128 * 28 * 28, 28 * 28 * 768), (28 * 28, 112 * 112)]
    return [
        [height, width, least, most, *smart_resize(height, width, 28, least, most)]
        for least, most in limits
        for height, width in sizes
        if max(height, width) <= 200 * min(height, width)
    ]


def windows(model):
    """Of each grid of patches, the order of its merged cells and where windows end, in patches."""
    table = []
    for grid in ([1, 10, 14], [1, 8, 8], [1, 16, 8], [2, 6, 10], [3, 2, 2], [1, 18, 34]):
        order, ends = model.model.visual.get_window_index(torch.tensor([grid]))
        ends = torch.unique_consecutive(torch.tensor(ends)).tolist()
        table.append({"grid": grid, "order": order.tolist(), "ends": ends[1:]})
    return table


def frames_table():
    """What the published utility takes of a video: [frames, frames per second, [numbers of those taken]]."""
    table = []
    for total, rate in ((300, 30.0), (7, 25.0), (4, 30.0), (90, 29.97), (1000, 24.0), (50, 1.0), (31, 12.5), (5, 0.5)):
        most = min(768, total) // 2 * 2
        count = min(min(max(total / rate * 2.0, 4), most), total)
        count = int(count // 2 * 2)
        table.append([total, rate, torch.linspace(0, total - 1, count).round().long().tolist()])
    return table
