"""What is compared, and at which size."""

from dataclasses import dataclass, field, replace

from inputs import join, medium, text


@dataclass(frozen=True)
class Case:
    name: str
    # What both sides do: `text` and `media` score pairs, `rollouts` writes replies, `product` multiplies matrices, `image` and `mel` preprocess.
    kind: str
    dtype: str = "f32"
    checkpoint: str = ""
    threads: int = 0
    repeats: int = 5
    # `text`, `media`: one pair or group of responses for every criterion: tokens shared, then of each response.
    shared: int = 0
    branches: tuple = ()
    criteria: int = 1
    # `media`: whether both responses share one picture in the prompt, or have one each.
    images: str = ""
    tiles: int = 0
    side: int = 0
    # Runs of the peer that make one of ours: it does the same for every criterion, so it is timed on one.
    peer_multiple: int = 1
    # `rollouts`: replies to one prompt, of `size` tokens each.
    replies: int = 0
    # `product`: n of n x n x n; `image`: side; `mel`: seconds.
    size: int = 0
    aim: float = 0.0
    note: str = ""
    extra: dict = field(default_factory=dict)


FULL = [
    Case("product-f32", "product", size=2048, repeats=9, note="2048 x 2048 x 2048"),
    Case("product-bf16", "product", "bf16", size=2048, repeats=9, note="2048 x 2048 x 2048"),
    *(
        Case(f"forward-{dtype}", "text", dtype, "qwen2-0.5b", shared=512, branches=(0,), repeats=9, aim=1.0,
             note="one sequence of 512 tokens")
        for dtype in ("f32", "bf16")
    ),
    *(
        Case(f"t2t-{dtype}", "text", dtype, "qwen2-0.5b", shared=512, branches=(128, 128), repeats=7, aim=1.8,
             note="512 shared tokens, two responses of 128")
        for dtype in ("f32", "bf16")
    ),
    *(
        Case(f"best-of-16-{dtype}", "text", dtype, "qwen2-0.5b", shared=512, branches=(64,) * 16, repeats=3, aim=5.0,
             note="512 shared tokens, 16 responses of 64")
        for dtype in ("f32", "bf16")
    ),
    *(
        Case(f"ti2t-{dtype}", "media", dtype, "minicpm-o-4", shared=84, branches=(64, 64), images="shared", tiles=5,
             side=32, repeats=3, aim=1.8, note="one 768 x 768 picture (5 tiles), two responses of 64")
        for dtype in ("bf16", "f32")
    ),
    *(
        Case(f"t2i-8-criteria-{dtype}", "media", dtype, "minicpm-o-4", shared=40, branches=(64, 64), criteria=8,
             images="own", tiles=5, side=32, repeats=1, peer_multiple=8, aim=5.0,
             note="two pictures, eight criteria; the peer timed on one criterion, times eight")
        for dtype in ("bf16", "f32")
    ),
    *(
        Case(f"rollouts-{dtype}", "rollouts", dtype, "qwen2-0.5b-lm", shared=600, branches=(0,), replies=8, size=128,
             repeats=2, aim=3.0, note="600 tokens, eight replies of 128")
        for dtype in ("f32", "bf16")
    ),
    Case("image", "image", threads=1, size=1024, repeats=9, aim=3.0, note="1024 x 1024 RGB to patches"),
    Case("mel-5s", "mel", threads=1, size=5, repeats=9, aim=5.0, note="5 s of sound to log-mel"),
    Case("mel-30s", "mel", threads=1, size=30, repeats=9, aim=5.0, note="30 s of sound to log-mel"),
]


def small(case):
    """The same case at a size at which it takes no time."""
    sizes = {
        "product": dict(size=256),
        "text": dict(checkpoint="tiny-text", shared=max(case.shared // 8, 1), branches=tuple(b // 8 for b in case.branches)),
        "media": dict(checkpoint="tiny-media", side=4),
        "rollouts": dict(checkpoint="tiny-text-lm", shared=case.shared // 8, size=case.size // 8),
        "image": dict(),
        "mel": dict(),
    }
    return replace(case, repeats=2, **sizes[case.kind])


TEXT = {
    "qwen2-0.5b": dict(hidden_size=896, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2,
                       intermediate_size=4864, vocab_size=8192),
    "tiny-text": dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                      intermediate_size=128, vocab_size=512),
}
LANGUAGE = dict(architectures=["Qwen2ForCausalLM"], tie_word_embeddings=True)
TEXT |= {
    "qwen2-0.5b-lm": TEXT["qwen2-0.5b"] | LANGUAGE | dict(vocab_size=151_936),
    "tiny-text-lm": TEXT["tiny-text"] | LANGUAGE,
}
QWEN2 = dict(model_type="qwen2", architectures=["Qwen2ForSequenceClassification"], rms_norm_eps=1e-6,
             rope_theta=1_000_000.0, max_position_embeddings=32768, pad_token_id=0, num_labels=1, hidden_act="silu",
             tie_word_embeddings=False, id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0})

MEDIA = {
    "minicpm-o-4": dict(
        hidden_size=3584, num_hidden_layers=4, num_attention_heads=28, num_key_value_heads=4, intermediate_size=18944,
        vocab_size=2048, query_num=64,
        vision_config=dict(hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16),
        audio_config=dict(d_model=1024, encoder_layers=24, encoder_attention_heads=16, encoder_ffn_dim=4096,
                          max_source_positions=1500),
    ),
    "tiny-media": dict(
        hidden_size=256, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1, intermediate_size=160,
        vocab_size=512, query_num=8,
        vision_config=dict(hidden_size=48, intermediate_size=112, num_hidden_layers=2, num_attention_heads=2),
        audio_config=dict(d_model=64, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=144,
                          max_source_positions=300),
    ),
}


def text_config(name):
    return QWEN2 | TEXT[name]


def media_config(name):
    """The published fields that do not depend on the size come from the tiny model of the parity tests."""
    from minicpm_o_cases import CONFIG

    size = MEDIA[name]
    return CONFIG | size | {
        part: CONFIG[part] | size[part] for part in ("vision_config", "audio_config")
    } | {"bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 32768}


def sequences(case, vocabulary, query_num, generator):
    """For every criterion, the sequences of all responses."""
    placeholder = vocabulary - 1
    features = case.tiles * query_num
    # The picture follows the system turn, which names the criterion; what was asked follows the picture.
    before = min(20, case.shared // 2) if case.images == "shared" else case.shared
    question = text(case.shared - before, placeholder, generator)
    responses = [text(length, placeholder, generator) for length in case.branches]
    for _ in range(case.criteria):
        system = text(before, placeholder, generator)
        for i, response in enumerate(responses):
            picture = {"shared": [medium(0, features, placeholder)], "own": [medium(i, features, placeholder)], "": []}
            # What a picture shows is judged by the same caption on both sides.
            response = responses[0] if case.images == "own" else response
            yield join([system, *picture[case.images], question, response])
