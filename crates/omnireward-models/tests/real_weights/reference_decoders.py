"""Reference runs of the two decoders, written to `decoders.json`. Run by a developer, not by the tests.

The GGUF files are expanded to single precision by the `gguf` package and run by Hugging Face transformers. The token
ids come from a plain byte-pair encoder written here, so that the tokenizer built from the file has something of
another make to agree with.

    python reference_decoders.py DIRECTORY

DIRECTORY holds `smollm2-135m-instruct.gguf` and `qwen2.5-coder-0.5b-instruct.gguf`, as the tests unpack them.
Needs torch, transformers 4.57.6, gguf, jinja2 and regex.
"""

import json
import sys
from pathlib import Path

import gguf
import jinja2
import numpy
import regex
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
TEXTS = [
    "The river froze in January, and the children walked across it to school.",
    "school to it across walked children the and January, in froze river The",
    "def area(radius):\n    return 3.14159 * radius ** 2\n",
    "中文 测试 12345, naïve café — 7½ ¡olé!  \t end",
]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PARTS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class Tokenizer:
    def __init__(self, fields):
        tokens = fields["tokenizer.ggml.tokens"].contents()
        types = fields["tokenizer.ggml.token_type"].contents()
        merges = fields["tokenizer.ggml.merges"].contents()
        self.ids = {token: index for index, token in enumerate(tokens)}
        self.ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(merges)}
        self.pre = fields["tokenizer.ggml.pre"].contents()
        special = [token for token, kind in zip(tokens, types) if kind in (3, 4)]
        self.special = regex.compile("(" + "|".join(map(regex.escape, special)) + ")")
        self.bytes = byte_letters()

    def encode(self, text):
        ids = []
        for index, piece in enumerate(self.special.split(text)):
            if index % 2:
                ids.append(self.ids[piece])
            else:
                for word in self.words(piece):
                    ids += self.merge([self.bytes[byte] for byte in word.encode()])
        return ids

    def words(self, text):
        if self.pre == "qwen2":
            return regex.findall(QWEN2, text)
        assert self.pre == "smollm"
        pieces = regex.findall(r"\p{N}|\P{N}+", text)
        return [word for piece in pieces for word in regex.findall(GPT2, piece)]

    def merge(self, symbols):
        while len(symbols) > 1:
            pairs = [self.ranks.get(pair, 1 << 30) for pair in zip(symbols, symbols[1:])]
            best = min(pairs)
            if best == 1 << 30:
                break
            at = pairs.index(best)
            symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        return [self.ids[symbol] for symbol in symbols]


def byte_letters():
    """GPT-2's letters for bytes: printable ones stand for themselves, the others follow from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in letters)
    letters.update({byte: chr(256 + index) for index, byte in enumerate(others)})
    return letters


def weights(reader, heads, kv_heads, permuted):
    state = {}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        values = values.reshape([int(size) for size in reversed(tensor.shape)])
        part = tensor.name.split(".")[2] if tensor.name.startswith("blk.") else ""
        if permuted and part in ("attn_q", "attn_k"):
            count = heads if part == "attn_q" else kv_heads
            rows = values.shape[0]
            values = values.reshape(count, rows // count // 2, 2, -1).swapaxes(1, 2).reshape(rows, -1)
        state[name(tensor.name)] = torch.from_numpy(values.copy())
    return state


def name(stored):
    whole = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    }
    if stored in whole:
        return whole[stored]
    _, layer, part, kind = stored.split(".")
    return f"model.layers.{layer}.{PARTS[part]}.{kind}"


def model(reader, family):
    def value(key):
        return reader.fields[f"{family}.{key}"].contents()

    heads, kv_heads = value("attention.head_count"), value("attention.head_count_kv")
    state = weights(reader, heads, kv_heads, family == "llama")
    config, kind = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}[family]
    made = kind(
        config(
            hidden_size=value("embedding_length"),
            intermediate_size=value("feed_forward_length"),
            num_hidden_layers=value("block_count"),
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            max_position_embeddings=value("context_length"),
            rms_norm_eps=float(numpy.format_float_positional(numpy.float32(value("attention.layer_norm_rms_epsilon")))),
            rope_theta=value("rope.freq_base"),
            vocab_size=len(state["model.embed_tokens.weight"]),
            tie_word_embeddings="lm_head.weight" not in state,
        )
    )
    missing, unknown = made.load_state_dict(state, strict=False)
    assert not unknown and set(missing) <= {"lm_head.weight"}, (missing, unknown)
    made.tie_weights()
    return made.float().eval()


@torch.no_grad()
def log_probabilities(model, ids):
    return torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)


def run(model, ids):
    """Log-probabilities of each token after those before it, and of the five likeliest after the last."""
    scores = log_probabilities(model, ids)
    steps = [scores[index, token].item() for index, token in enumerate(ids[1:])]
    top = torch.topk(scores[-1], 5)
    return {
        "ids": ids,
        "log_probabilities": [round(step, 6) for step in steps],
        "next": [[token, round(score, 6)] for token, score in zip(top.indices.tolist(), top.values.tolist())],
    }


def reference(path):
    reader = gguf.GGUFReader(path)
    family = reader.fields["general.architecture"].contents()
    tokenizer = Tokenizer(reader.fields)
    made = model(reader, family)
    template = jinja2.Environment().from_string(reader.fields["tokenizer.chat_template"].contents())
    prompt = template.render(messages=QUESTION, add_generation_prompt=True)
    ids = tokenizer.encode(prompt)
    for _ in range(8):
        ids.append(run(made, ids)["next"][0][0])
    runs = [{"text": prompt, **run(made, ids)}]
    runs += [{"text": text, **run(made, tokenizer.encode(text))} for text in TEXTS]
    runs[0]["prompt_tokens"] = len(tokenizer.encode(prompt))
    return {"bf16_spread": round(spread(made.bfloat16(), runs), 4), "runs": runs}


def spread(model, runs):
    """How far the reference's own answers in bfloat16 are from those in single precision."""
    worst = 0.0
    for exact in runs:
        scores = log_probabilities(model, exact["ids"])
        pairs = list(zip(exact["ids"][1:], exact["log_probabilities"]))
        for row, (token, expected) in enumerate(pairs):
            worst = max(worst, abs(scores[row, token].item() - expected))
        for token, expected in exact["next"]:
            worst = max(worst, abs(scores[-1, token].item() - expected))
    return worst


if __name__ == "__main__":
    torch.set_num_threads(2)
    directory = Path(sys.argv[1])
    names = ["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"]
    runs = {name: reference(directory / f"{name}.gguf") for name in names}
    text = json.dumps(runs, ensure_ascii=False, indent=1)
    Path(__file__).with_name("decoders.json").write_text(text + "\n")
