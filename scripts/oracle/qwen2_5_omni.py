"""A tiny thinker of Qwen2.5-Omni: what `qwen2_5_vl` makes, with sounds.

A part of a case may be a sound, given by its seconds: `("sound", seconds)`. Of each, `sound.I` holds `[samples]` at 16 kHz,
and `mels.I` `[mels, frames]`. Media are numbered in their order, sounds among them.
"""

import numpy as np
import torch
from transformers import GenerationConfig, Qwen2_5OmniThinkerConfig, Qwen2_5OmniThinkerForConditionalGeneration
from transformers import WhisperFeatureExtractor

import qwen2_5_vl as visual
from fixture import Folder
from liveliness import randomise, stored_as

SOUND, SOUND_START, SOUND_END = 259, 260, 261
MELS = 16
RATE = 16_000

CONFIG = Qwen2_5OmniThinkerConfig(
    text_config=visual.CONFIG.text_config.to_dict()
    | dict(model_type="qwen2_5_omni_text", rope_scaling=dict(rope_type="default", mrope_section=[2, 3, 3])),
    vision_config=visual.CONFIG.vision_config.to_dict() | dict(model_type="qwen2_5_omni_vision_encoder"),
    audio_config=dict(
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=48,
        num_mel_bins=MELS,
        max_source_positions=1500,
        n_window=100,
        output_dim=64,
    ),
    audio_token_index=SOUND,
    image_token_index=visual.IMAGE,
    video_token_index=visual.VIDEO,
    vision_start_token_id=visual.START,
    vision_end_token_id=visual.END,
    audio_start_token_id=SOUND_START,
    audio_end_token_id=SOUND_END,
    position_id_per_seconds=25,
    tie_word_embeddings=False,
)
# The class takes them for `image_token_id` and so on, by which its positions know them.
CONFIG.image_token_id, CONFIG.video_token_id, CONFIG.audio_token_id = visual.IMAGE, visual.VIDEO, SOUND

CASES = {
    "sound": [3, ("sound", 0.5), 4],
    "sounds": [2, ("sound", 2.37), 3, ("sound", 1.01), 5],
    "everything": [2, (84, 56), 3, ("sound", 0.83), 2, (4, 56, 56), 3],
}


@torch.no_grad()
def make(out):
    folder = Folder(out / "qwen2_5_omni")
    model = Qwen2_5OmniThinkerForConditionalGeneration(CONFIG)
    model = randomise(model, 600).eval()
    model.generation_config = GenerationConfig()
    model.save_pretrained(folder.path)
    (folder.path / "generation_config.json").unlink(missing_ok=True)
    for file in ("config.json", "model.safetensors"):
        folder.check(file)
    generator = torch.Generator().manual_seed(601)
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
        visual.report(name, results[name])


def case(parts, generator):
    """As `visual.case`, which makes the pictures; sounds are put in their places."""
    drawn = visual.case([part for part in parts if not is_sound(part)], generator)
    tokens, pictures, contents = iter(drawn["tokens"].tolist()), 0, {}
    laid, seconds, sounds = [], [], []
    medium = 0
    for part in parts:
        if isinstance(part, int):
            laid += [next(tokens) for _ in range(part)]
        elif is_sound(part):
            samples = sound(part[1], generator)
            mel = log_mel(samples)
            rows = ((mel.shape[1] - 1) // 2 + 1 - 2) // 2 + 1
            laid += [SOUND_START] + [SOUND] * rows + [SOUND_END]
            contents |= {f"sound.{medium}": torch.from_numpy(samples), f"mels.{medium}": mel}
            sounds.append(mel)
            seconds.append(-1.0)
            medium += 1
        else:
            laid.append(next(tokens))
            while laid[-1] != visual.END:
                laid.append(next(tokens))
            contents |= {
                f"picture.{medium}{rest}": drawn[f"picture.{pictures}{rest}"] for rest in ("", ".frames")
            }
            seconds.append(drawn["seconds"][pictures].item())
            pictures += 1
            medium += 1
    contents |= {name: value for name, value in drawn.items() if name.startswith("model.")}
    contents |= {"tokens": torch.tensor(laid), "seconds": torch.tensor(seconds)}
    if sounds:
        longest = max(mel.shape[1] for mel in sounds)
        padded = [torch.nn.functional.pad(mel, (0, longest - mel.shape[1])) for mel in sounds]
        contents["model.sounds"] = torch.stack(padded)
        contents["model.lengths"] = torch.tensor([mel.shape[1] for mel in sounds])
    return contents


def is_sound(part):
    return isinstance(part, tuple) and part[0] == "sound"


def sound(seconds, generator):
    """A tone that rises, with noise."""
    time = torch.arange(round(seconds * RATE)) / RATE
    noise = torch.rand(len(time), generator=generator) - 0.5
    return (0.6 * torch.sin(2 * torch.pi * (200 + 300 * time) * time) + 0.2 * noise).numpy().astype(np.float32)


def log_mel(samples):
    """Filled up to 300 seconds before the loudest is looked for, and cut to the sound's own frames."""
    extractor = WhisperFeatureExtractor(feature_size=MELS, chunk_length=300)
    found = extractor(samples, sampling_rate=RATE, padding="max_length", return_attention_mask=True, return_tensors="pt")
    return found.input_features[0, :, found.attention_mask[0].bool()]


def arguments(contents):
    given = visual.arguments(contents)
    given.pop("second_per_grid_ts", None)
    seconds = [second for second in contents["seconds"].tolist() if second > 0]
    if seconds:
        given["video_second_per_grid"] = torch.tensor(seconds)
    if "model.sounds" in contents:
        lengths = contents["model.lengths"]
        given["input_features"] = contents["model.sounds"]
        given["feature_attention_mask"] = torch.arange(contents["model.sounds"].shape[2]) < lengths[:, None]
    return given | {"attention_mask": torch.ones_like(given["input_ids"])}


def positions_and_text(model, contents):
    given = arguments(contents)
    positions, _ = model.get_rope_index(
        given["input_ids"],
        given.get("image_grid_thw"),
        given.get("video_grid_thw"),
        given["attention_mask"],
        False,
        contents.get("model.lengths"),
        given.get("video_second_per_grid"),
    )
    model.rope_deltas = None
    greedy = model.generate(
        **given,
        do_sample=False,
        max_new_tokens=visual.NEW_TOKENS,
        output_scores=True,
        return_dict_in_generate=True,
        pad_token_id=visual.WORDS,
    )
    best = torch.stack([scores[0].topk(2).values for scores in greedy.scores])
    return {
        "positions": positions[:, 0].T,
        "greedy": greedy.sequences[0, len(contents["tokens"]) :],
        "margins": best[:, 0] - best[:, 1],
    }


def outputs(model, contents, precision):
    model.rope_deltas = None
    given = arguments(contents)
    if "input_features" in given:
        given["input_features"] = given["input_features"].to(model.dtype)
    found = {f"{precision}.logits": model(**given, use_cache=False).logits[0]}
    seen = {kind: iter(encoded(model, contents, kind)) for kind in ("image", "video")}
    heard = iter(heard_rows(model, given))
    for index, second in enumerate(contents["seconds"].tolist()):
        rows = next(heard) if second < 0 else next(seen["video" if second else "image"])
        found[f"{precision}.features.{index}"] = rows
    return found


def encoded(model, contents, kind):
    if f"model.{kind}.grids" not in contents:
        return []
    values, grids = contents[f"model.{kind}.values"], contents[f"model.{kind}.grids"]
    rows = model.visual(values.to(model.dtype), grid_thw=grids)
    return rows.split((grids.prod(-1) // visual.MERGE**2).tolist())


def heard_rows(model, given):
    if "input_features" not in given:
        return []
    mask = given["feature_attention_mask"]
    rows = model.get_audio_features(given["input_features"], mask)
    return rows.split([((length - 1) // 2 + 1 - 2) // 2 + 1 for length in mask.sum(1).tolist()])
