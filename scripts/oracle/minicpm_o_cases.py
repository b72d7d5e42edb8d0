"""A tiny MiniCPM-o-2.6 with random weights, and what every stage of it gives for each kind of input."""

import torch

from fixture import Folder
from inputs import join, medium, mel, text, tile, to_tensors
from liveliness import randomise, stored_as
from minicpm_o import MiniCpmO

# Field for field the published file, with small numbers. The hidden size is twice the resampler's head size, so that
# its heads are told apart; the position table keeps its 70 x 70 entries, so that buckets fall as they do there.
CONFIG = {
    "architectures": ["MiniCPMO"],
    "model_type": "minicpmo",
    "version": "2.6",
    "torch_dtype": "bfloat16",
    "hidden_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "intermediate_size": 160,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "max_position_embeddings": 1024,
    "vocab_size": 320,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
    "sliding_window": 131072,
    "max_window_layers": 2,
    "attention_dropout": 0.0,
    "initializer_range": 0.02,
    "bos_token_id": 318,
    "eos_token_id": 319,
    "use_cache": True,
    "query_num": 8,
    "image_size": 448,
    "patch_size": 14,
    "batch_vision_input": True,
    "drop_vision_last_layer": False,
    "vision_batch_size": 16,
    "slice_mode": True,
    "use_image_id": True,
    "slice_config": {"max_slice_nums": 9, "model_type": "minicpmv"},
    "audio_pool_step": 2,
    "audio_chunk_length": 1.0,
    "chunk_input": True,
    "listen_speak_type": "asr",
    "vision_config": {
        "model_type": "siglip_vision_model",
        "hidden_size": 48,
        "intermediate_size": 112,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 980,
        "patch_size": 14,
    },
    "audio_config": {
        "model_type": "whisper",
        "d_model": 64,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 144,
        "num_mel_bins": 80,
        "max_source_positions": 300,
    },
}
PLACEHOLDER = 300


def make(out):
    folder = Folder(out / "minicpm_o")
    model = stored_as(randomise(MiniCpmO(CONFIG), 7).eval(), torch.bfloat16)
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    head = {name: tensors.pop(name) for name in list(tensors) if name.startswith("v_head.")}
    folder.json("config.json", CONFIG)
    folder.checkpoint(tensors)
    folder.tensors("value_head.safetensors", head)
    for seed, (name, case) in enumerate(CASES.items()):
        contents = case(torch.Generator().manual_seed(300 + seed))
        stages = {precision: run(stored_as(model, dtype), contents) for precision, dtype in PRECISIONS.items()}
        write(folder, name, contents, stages)


PRECISIONS = {"f32": torch.float32, "bf16": torch.bfloat16}


def text_only(generator):
    """Responses of many lengths to one prompt."""
    prompt = text(9, PLACEHOLDER, generator)
    lengths = (40, 1, 2, 3, 5, 8, 13, 21, 34, 55, 17, 26)
    return {"sequences": [join([prompt, text(length, PLACEHOLDER, generator)]) for length in lengths]}


def single_image(generator):
    # 25 rows: at four of them the buckets' thresholds are met exactly, and rounding decides.
    return with_images([[tile(25, 3, generator)]], generator)


def sliced_image(generator):
    tiles = [tile(5, 7, generator)] + [tile(6, 4, generator) for _ in range(4)]
    return with_images([tiles], generator, grid=(2, 2))


def video(generator):
    return with_images([[tile(4, 6, generator)] for _ in range(3)], generator)


def two_images(generator):
    """Two pictures of one prompt, of different shapes, the first sliced."""
    tiles = [tile(4, 5, generator), tile(7, 3, generator), tile(7, 3, generator)]
    return with_images([tiles, [tile(3, 8, generator)]], generator, grid=(2, 1))


def audio(generator):
    """Three chunks, the last one short, with odd numbers of frames before and after the first halving."""
    return with_clips([mel(245, generator)], generator)


def audio_batch(generator):
    """Two clips encoded together: the first one's last chunk sees the padding."""
    return with_clips([mel(130, generator), mel(238, generator)], generator)


CASES = {
    function.__name__: function
    for function in (text_only, single_image, sliced_image, video, two_images, audio, audio_batch)
}


def with_images(images, generator, grid=None):
    rows = [len(tiles) * CONFIG["query_num"] for tiles in images]
    grids = {0: grid} if grid else {}
    return {"images": images, "grids": grids, "sequences": [sequence([6, 11, 17], rows, generator)]}


def with_clips(clips, generator):
    """Every clip in a sequence of its own, as the two sides of a pair are."""
    frames = [(clip.shape[1] - 1) // 2 + 1 for clip in clips]
    rows = [(count - 2) // 2 + 1 for count in frames]
    sequences = [sequence([5, 14], [count], generator, first=i) for i, count in enumerate(rows)]
    return {"clips": clips, "sequences": sequences}


def sequence(texts, media, generator, first=0):
    """Text, medium, text, medium, ... text: `texts` tokens each, and the rows of each medium."""
    parts = []
    for i, count in enumerate(texts):
        parts.append(text(count, PLACEHOLDER, generator))
        if i < len(media):
            parts.append(medium(first + i, media[i], PLACEHOLDER))
    return join(parts)


@torch.no_grad()
def run(model, contents):
    stages, features = {}, []
    if "images" in contents:
        vision, features = model.images(contents["images"])
        stages |= {f"vision.{i}": rows for i, rows in enumerate(vision)}
    if "clips" in contents:
        encoded, features = model.clips(contents["clips"])
        stages |= {f"audio.{i}": rows for i, rows in enumerate(encoded)}
    stages |= {f"features.{i}": rows for i, rows in enumerate(features)}
    for i, (tokens, places) in enumerate(contents["sequences"]):
        read = model.hidden(model.embed(tokens, places, features)[None])[0, -1:]
        stages |= {f"hidden.{i}": read, f"reward.{i}": model.rewards(read)}
    return stages


def write(folder, name, contents, stages):
    tensors = to_tensors(contents)
    for precision, values in stages.items():
        tensors |= {f"{precision}.{stage}": value for stage, value in values.items()}
    folder.tensors(f"{name}.safetensors", tensors)
    for stage, exact in stages["f32"].items():
        spread = (exact - stages["bf16"][stage].float()).abs().max()
        print(f"{name} {stage} {list(exact.shape)}: largest {exact.abs().max():.3f}, bf16 off by {spread:.2e}")
