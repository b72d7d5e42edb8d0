"""Writes what MiniCPM-o's own processing, restated here with Pillow, NumPy, PyTorch and tokenizers, makes
of pictures and conversations.

    pip install 'pillow<12' numpy torch 'tokenizers<0.23'
    python make_fixtures.py

tokenizer.json            a small byte-level BPE with Qwen2's way of splitting and MiniCPM-o's special tokens
preprocessor_config.json  the published one, as far as it is read
pictures.txt              a line a case: width, height, cap, kind, grid and the SHA-256 of all tiles' patches;
                          the number of the line, from 0, is the picture's seed
conversations.json        pairs, and for each response the tokens and the places of features
"""
import hashlib
import json
import math
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = Path(__file__).parent
SIDE, PATCH, ROWS = 448, 14, 64

# ---------------------------------------------------------------------------------------------- tokenizer

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = (
    "<|endoftext|> <|im_start|> <|im_end|> <unk> <image> </image> <ref> </ref> <box> </box> <quad> </quad> "
    "<point> </point> <slice> </slice> <image_id> </image_id> <unit> </unit> <asr> </asr> <query> </query> "
    "<|audio_start|> <|audio|> <|audio_end|> <|spk_bos|> <|spk|> <|spk_eos|> <|tts_bos|> <|tts_eos|> "
    "<|listen|> <|speak|> <|interrupt|> <|vad_start|> <|vad_end|> <reserved_43> <reserved_53>"
).split()
CORPUS = """You are Qwen, created by Alibaba Cloud. You are a helpful assistant.
user
assistant
system

Which of the two responses describes the image better?

The picture shows a dog that runs along the beach. The video shows a cat.

What can be heard in the recording?\n\n\n1. First\n2. Second\n\n   three spaces, then words
image images slice unk im_end audio_start <image> </image> prefer the response that is more detailed
"""


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([CORPUS] * 20, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    tokenizer.save(str(HERE / "tokenizer.json"))
    config = {
        "image_processor_type": "MiniCPMVImageProcessor",
        "max_slice_nums": 9,
        "scale_resolution": SIDE,
        "patch_size": PATCH,
        "use_image_id": True,
        "image_feature_size": ROWS,
        "slice_mode": True,
        "norm_mean": [0.5, 0.5, 0.5],
        "norm_std": [0.5, 0.5, 0.5],
        "version": 2.6,
    }
    (HERE / "preprocessor_config.json").write_text(json.dumps(config, indent=1) + "\n")
    return tokenizer


# ----------------------------------------------------------------------------------------------- pictures


def divided(length, unit):
    return max(round(length / unit) * unit, unit)


def best_size(size, enlarge):
    width, height = size
    if width * height > SIDE * SIDE or enlarge:
        ratio = width / height
        height = int(SIDE / math.sqrt(ratio))
        width = int(height * ratio)
    return divided(width, PATCH), divided(height, PATCH)


def best_grid(size, most):
    width, height = size
    count = min(math.ceil(width * height / (SIDE * SIDE)), most)
    if count <= 1:
        return None
    grids = []
    for cells in (count - 1, count, count + 1):
        if cells != 1 and cells <= most:
            grids += [(columns, cells // columns) for columns in range(1, cells + 1) if cells % columns == 0]
    errors = [abs(math.log(width / height) - math.log(columns / rows)) for columns, rows in grids]
    return grids[errors.index(min(errors))]


def tiles(image, most):
    grid = best_grid(image.size, most)
    if grid is None:
        return None, [image.resize(best_size(image.size, True), Image.BICUBIC)]
    pictures = [image.resize(best_size(image.size, False), Image.BICUBIC)]
    columns, rows = grid
    refined = divided(image.width, columns), divided(image.height, rows)
    width, height = best_size((refined[0] / columns, refined[1] / rows), True)
    refined = image.resize((width * columns, height * rows), Image.BICUBIC)
    for top in range(0, refined.height, height):
        for left in range(0, refined.width, width):
            pictures.append(refined.crop((left, top, left + width, top + height)))
    return grid, pictures


def patches(picture):
    """[patches, 3 * 14 * 14]"""
    values = np.asarray(picture).astype(np.float32) / 255
    values = (values - np.float32(0.5)) / np.float32(0.5)
    values = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))
    return torch.nn.functional.unfold(values[None], PATCH, stride=PATCH)[0].T.contiguous()


def capped(image, pixels):
    if image.width * image.height > pixels:
        factor = math.sqrt(pixels / (image.width * image.height))
        image = image.resize((int(image.width * factor), int(image.height * factor)), Image.NEAREST)
    return image


def noise(seed, width, height):
    """The top bytes of a linear congruential generator, below a ramp."""
    count = width * height * 3
    powers = np.cumprod(np.full(count, 1664525, np.uint32), dtype=np.uint32)
    sums = np.cumsum(np.concatenate([np.ones(1, np.uint32), powers[:-1]]), dtype=np.uint32)
    states = powers * np.uint32(seed) + sums * np.uint32(1013904223)
    index = np.arange(count, dtype=np.uint32)
    ramp = (index // np.uint32(3) * np.uint32(7)) % np.uint32(256)
    bytes_ = np.where(index < count // 2, ramp, states >> np.uint32(24)).astype(np.uint8)
    return Image.fromarray(bytes_.reshape(height, width, 3))


PICTURES = [
    (64, 64), (224, 224), (448, 448), (341, 192), (50, 600), (449, 448), (512, 512), (640, 480), (768, 768),
    (1024, 576), (300, 1200), (1200, 190), (1, 1), (3, 500), (1024, 1024), (1280, 720), (1920, 1080),
    (1500, 250), (801, 799), (517, 1000),
]


def write_pictures():
    lines = []
    for seed, (width, height) in enumerate(PICTURES + PICTURES[:4] + PICTURES[-3:]):
        frame = seed >= len(PICTURES)
        image = capped(noise(seed, width, height), 256**2 if frame else 768**2)
        grid, pictures = tiles(image, 2 if frame else 9)
        digest = hashlib.sha256()
        for picture in pictures:
            digest.update(patches(picture).numpy().tobytes())
        columns, rows = grid or (0, 0)
        kind = "frame" if frame else "image"
        lines.append(f"{width} {height} {kind} {columns} {rows} {digest.hexdigest()}")
    (HERE / "pictures.txt").write_text("\n".join(lines) + "\n")


# ------------------------------------------------------------------------------------------- conversations

DEFAULT = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."


def image_text(number, grid):
    unknown = "<unk>" * ROWS
    text = "" if number is None else f"<image_id>{number}</image_id>"
    text += f"<image>{unknown}</image>"
    if grid:
        row = f"<slice>{unknown}</slice>" * grid[0]
        text += "\n".join([row] * grid[1])
    return text


def audio_text(tokens):
    groups = [25] * (tokens // 25) + ([tokens % 25] if tokens % 25 else [])
    return "".join(f"<|audio_start|>{'<unk>' * group}<|audio_end|>" for group in groups)


def content_text(parts, media):
    """`parts` are texts and numbers of media; images are counted from 0 in each message."""
    text, before, images = "", None, 0
    for part in parts:
        if isinstance(part, str):
            text += ("\n" if isinstance(before, str) else "") + part
        elif "image" in media[part]:
            text += image_text(images, media[part]["image"])
            images += 1
        elif "video" in media[part]:
            text += "".join(image_text(None, None) for _ in range(media[part]["video"]))
        else:
            text += audio_text(media[part]["audio"])
        before = part
    return text


def rows_of(medium):
    if "image" in medium:
        columns, rows = medium["image"] or (0, 0)
        return ROWS * (1 + columns * rows)
    return medium["video"] * ROWS if "video" in medium else medium["audio"]


def expected(tokenizer, case, response):
    media = case["media"]
    if case["generation"]:
        given = [part for part in case["prompt"] if not isinstance(part, str)]
        asked = "\n".join(part for part in case["prompt"] if isinstance(part, str))
        human, answer = given + response, [asked]
    else:
        human, answer = case["prompt"], response
    blocks = [
        f"<|im_start|>system\n{case['criterion'] or DEFAULT}<|im_end|>\n",
        f"<|im_start|>user\n{content_text(human, media)}<|im_end|>\n<|im_start|>assistant\n",
        f"{content_text(answer, media)}<|im_end|>\n",
    ]
    ids = [id_ for block in blocks for id_ in tokenizer.encode(block, add_special_tokens=False).ids]

    # Features go, in order, between the markers, as the model's own code finds them.
    used = [part for part in human + answer if not isinstance(part, str)]
    token = tokenizer.token_to_id
    places = []
    for kinds, starts, ends in [
        (("image", "video"), ("<image>", "<slice>"), ("</image>", "</slice>")),
        (("audio",), ("<|audio_start|>",), ("<|audio_end|>",)),
    ]:
        starts, ends = {token(start) for start in starts}, {token(end) for end in ends}
        features = [
            [medium, row]
            for medium in used
            if any(kind in media[medium] for kind in kinds)
            for row in range(rows_of(media[medium]))
        ]
        if not features:
            continue
        begins = [at + 1 for at, id_ in enumerate(ids) if id_ in starts]
        stops = [at for at, id_ in enumerate(ids) if id_ in ends]
        rows = [row for begin, stop in zip(begins, stops, strict=True) for row in range(begin, stop)]
        assert len(rows) == len(features), (len(rows), len(features))
        places += [[row, *feature] for row, feature in zip(rows, features)]
    return {"tokens": ids, "features": runs(sorted(places))}


def runs(places):
    """Places whose row, and the feature's row, both go on by one: [first row, medium, first feature, length]."""
    merged = []
    for row, medium, feature in places:
        if merged:
            first, last_medium, first_feature, length = merged[-1]
            if (first + length, last_medium, first_feature + length) == (row, medium, feature):
                merged[-1][3] += 1
                continue
        merged.append([row, medium, feature, 1])
    return merged


CASES = [
    # task, criterion, prompt, responses, media
    ("T2T", None, ["Which is larger, 12 or 34?"], [["34"], ["\n\n12, of course."], ["  34  "]], []),
    ("T2T", "Prefer the response that is more detailed.\n\nAnd kind.\n", ["Hello"], [["Hi"], ["\nHi"]], []),
    ("T2T", None, ["\n\nleading, and trailing \n"], [["a\n"], ["a\n\n"]], []),
    ("T2T", None, ["Ca\u0301fe \u4e2d\u6587 \U0001F600 12345"], [["It's 'S."], ["e\u0301\u0301"]], []),
    ("T2T", None, ["one", "two"], [["x", "y"], ["x"]], []),
    ("T2T", None, ["literal <|im_end|> and <unk><unk> and <|listen|>"], [["<|im_end|>\n<|im_start|>user\n"], ["no"]], []),
    ("TI2T", None, [0, "What is it?"], [["A dog."], ["A cat."]], [{"image": None}]),
    ("TI2T", "Be brief.", ["Look: ", 0, "\nthen ", 1, 2, "."], [["A"], ["B"]], [{"image": [2, 1]}, {"image": None}, {"image": [2, 2]}]),
    ("TV2T", None, [0, "What happens?"], [["A"], ["B"]], [{"video": 4}]),
    ("TA2T", None, [0, "What can be heard?"], [["A"], ["B"]], [{"audio": 37}]),
    ("TA2T", None, ["Listen.", 0], [["A"], ["B"]], [{"audio": 0}]),
    ("T2I", "Prefer the brighter one.", ["a dog on a beach"], [[0], [1]], [{"image": [1, 2]}, {"image": None}]),
    ("T2I", None, ["a dog"], [[0], [1], [2]], [{"image": None}, {"image": [1, 3]}, {"image": None}]),
    ("T2V", None, ["\na cat runs"], [[0], [1]], [{"video": 1}, {"video": 3}]),
    ("T2V", None, ["a cat runs"], [[0, 1], [2, 3]], [{"image": None}, {"image": None}, {"image": None}, {"image": None}]),
    ("T2A", None, ["a bell"], [[0], [1]], [{"audio": 250}, {"audio": 26}]),
    ("T23D", None, ["a chair"], [[0], [1]], [{"image": [2, 1]}, {"image": [2, 1]}]),
    ("TI2I", "Keep the rest.", [0, "make it red"], [[1], [2]], [{"image": [2, 1]}, {"image": None}, {"image": [1, 2]}]),
]
GENERATION = {"T2I", "T2V", "T2A", "T23D", "TI2I"}


def write_conversations(tokenizer):
    cases = []
    for task, criterion, prompt, responses, media in CASES:
        case = {
            "task": task,
            "generation": task in GENERATION,
            "criterion": criterion,
            "prompt": prompt,
            "responses": responses,
            "media": media,
        }
        case["expected"] = [expected(tokenizer, case, response) for response in responses]
        cases.append(case)
    text = json.dumps(cases)
    text = re.sub(r'\}, \{"task"', '},\n{"task"', text)
    (HERE / "conversations.json").write_text(text + "\n")


write_pictures()
write_conversations(make_tokenizer())
