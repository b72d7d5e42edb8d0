"""What is compared, and at which size."""

from dataclasses import asdict, dataclass, replace

# Of the comparison of scoring, with which the sizes of published models are shared.
from cases import QWEN2, TEXT


@dataclass(frozen=True)
class Optimiser:
    """AdamW and its schedule, which is that of transformers: the first step of a warm-up has rate 0."""

    learning_rate: float = 1e-5
    schedule: str = "constant"
    warmup_steps: int = 0
    weight_decay: float = 1e-3
    betas: tuple = (0.9, 0.999)
    epsilon: float = 1e-8
    clip: float = 1.0


@dataclass(frozen=True)
class Case:
    name: str
    # `text`: a sequence classifier on pairs of answers to a prompt. `media`: MiniCPM-o, a picture in every prompt.
    kind: str
    checkpoint: str
    # Pairs in all, and those of a step. Steps take them in order, and begin again at the end.
    pairs: int
    batch_pairs: int
    # Tokens of the prompt, and of each answer; those of a picture come on top.
    prompt: int
    answer: int
    dtype: str = "f32"
    gradient_checkpointing: bool = False
    tiles: int = 0
    side: int = 0
    # Steps that are not counted, and that are. The first fill caches and allocators.
    warmup: int = 1
    repeats: int = 4
    optimiser: Optimiser = Optimiser()
    # `rate`: times and memory; `curve`: losses alone.
    measures: str = "rate"
    aim: float = 0.0
    # Our peak memory, at most this share of the peer's for the same case without gradient checkpointing.
    memory_aim: float = 0.0
    note: str = ""

    @property
    def plain(self):
        return self.name.removesuffix("-checkpointing")

    def described(self, checkpoint):
        """`case.json`."""
        return {
            "kind": self.kind,
            "dtype": self.dtype,
            "checkpoint": str(checkpoint),
            "gradient_checkpointing": self.gradient_checkpointing,
            "pairs": self.pairs,
            "batch_pairs": self.batch_pairs,
            "steps": self.warmup + self.repeats,
            "parts": ["decoder", "head"],
            "optimiser": asdict(self.optimiser),
        }


def with_checkpointing(case):
    name = f"{case.name}-checkpointing"
    return case, replace(case, name=name, gradient_checkpointing=True, aim=0.0, memory_aim=0.4)


LONG = Case("text-512-128-f32", "text", "qwen2-0.5b-4", 4, 4, 512, 128, aim=1.5, memory_aim=1.0,
            note="prompt 512, answers 128; Qwen2-0.5B shape, 4 of 24 layers; 4 pairs a step")
SHORT = Case("text-64-64-f32", "text", "qwen2-0.5b-4", 16, 16, 64, 64, aim=1.0, memory_aim=1.0,
             note="prompt 64, answers 64; the same model; 16 pairs a step")
IMAGE = Case("image-frozen-epoch2", "media", "minicpm-o-scaled", 2, 2, 84, 64, tiles=5, side=32, aim=3.0, memory_aim=1.0,
             note="one 768 x 768 picture (5 tiles), answers 64; towers and decoder in the published model's proportions")
HALF_BILLION = replace(IMAGE, name="image-frozen-epoch2-half-billion", checkpoint="siglip-400m-qwen2-0.5b-quarter",
                       repeats=3, note="the same; a quarter of the layers of SigLIP-400M and of Qwen2-0.5B")
CURVE = Optimiser(learning_rate=2e-4, schedule="cosine", warmup_steps=5, weight_decay=0.01)

FULL = [
    *with_checkpointing(LONG),
    *with_checkpointing(SHORT),
    *with_checkpointing(replace(LONG, name="text-512-128-bf16", dtype="bf16")),
    *with_checkpointing(replace(SHORT, name="text-64-64-bf16", dtype="bf16")),
    *with_checkpointing(IMAGE),
    *with_checkpointing(HALF_BILLION),
    Case("loss-curve", "text", "small-text", 64, 8, 24, 12, warmup=0, repeats=50, optimiser=CURVE, measures="curve",
         aim=1e-3, note="50 steps of 8 pairs, small model; largest difference of the losses"),
    Case("loss-curve-image", "media", "tiny-media", 32, 4, 24, 12, tiles=1, side=4, warmup=0, repeats=50, optimiser=CURVE,
         measures="curve", aim=1e-3, note="50 steps of 4 pairs with a picture, tiny model"),
]


def small(case):
    """The same case at a size at which it takes no time."""
    if case.measures == "curve":
        return case
    sizes = {"text": dict(checkpoint="small-text"), "media": dict(checkpoint="tiny-media", side=4)}
    return replace(case, prompt=max(case.prompt // 8, 4), answer=max(case.answer // 8, 4), repeats=2, **sizes[case.kind])


# A token that no sequence has but where a picture's features stand; padding for the peer.
def placeholder(config):
    return config["vocab_size"] - 1


def config(name):
    settings = text_config(TEXTS[name]) if name in TEXTS else media_config(*MEDIA[name])
    return settings | {"pad_token_id": placeholder(settings)}


def text_config(size):
    return QWEN2 | size


def media_config(text, vision, queries):
    """The published fields that do not depend on the size come from the tiny model of the parity tests."""
    from minicpm_o_cases import CONFIG

    vision = CONFIG["vision_config"] | vision
    return CONFIG | text | {"query_num": queries, "vision_config": vision, "bos_token_id": 1, "eos_token_id": 2}


HALF = TEXT["qwen2-0.5b"]
TEXTS = {
    "qwen2-0.5b-4": HALF | dict(num_hidden_layers=4),
    "small-text": dict(hidden_size=128, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
                       intermediate_size=352, vocab_size=512),
}
DECODER = HALF | dict(num_hidden_layers=6, vocab_size=2048, max_position_embeddings=32768)
MEDIA = {
    # In the published model a picture's tower costs 0.28 of what its pair costs the decoder, forward and backward, where
    # both sides encode the picture; here it is 0.29. Sharing alone makes that 2.25 times less work in the second epoch.
    "minicpm-o-scaled": (
        DECODER, dict(hidden_size=384, intermediate_size=1424, num_hidden_layers=2, num_attention_heads=6), 64,
    ),
    # As large a tower before as small a decoder as LLaVA-OneVision-0.5B has. Here it costs 5 times the decoder.
    "siglip-400m-qwen2-0.5b-quarter": (
        DECODER, dict(hidden_size=1152, intermediate_size=4304, num_hidden_layers=7, num_attention_heads=16), 64,
    ),
    "tiny-media": (
        dict(hidden_size=256, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1, intermediate_size=160,
             vocab_size=512, max_position_embeddings=1024),
        dict(hidden_size=48, intermediate_size=112, num_hidden_layers=2, num_attention_heads=2), 8,
    ),
}
