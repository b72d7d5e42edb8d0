"""Makes `tiny.gguf`, a file with a matrix of every kind of block, and `expected.safetensors`, its numbers expanded by
the `gguf` package, with the rows of queries and keys in the order that Hugging Face's Llama has.

Needs gguf, numpy and safetensors.
"""

from pathlib import Path

import gguf
import numpy
from gguf import GGMLQuantizationType as Kind
from safetensors.numpy import save_file

HERE = Path(__file__).parent
WIDTH, HEADS, KV_HEADS, HEAD_DIM = 256, 2, 1, 4
KINDS = [
    Kind.F32,
    Kind.F16,
    Kind.BF16,
    Kind.Q4_0,
    Kind.Q4_1,
    Kind.Q5_0,
    Kind.Q5_1,
    Kind.Q8_0,
    Kind.Q2_K,
    Kind.Q3_K,
    Kind.Q4_K,
    Kind.Q5_K,
    Kind.Q6_K,
]
# Where the half-precision scales stand in blocks that the package cannot make, and must not be random.
SCALES = {Kind.Q2_K: [80, 82], Kind.Q3_K: [108], Kind.Q4_K: [0, 2], Kind.Q5_K: [0, 2], Kind.Q6_K: [208]}

numbers = numpy.random.default_rng(20)


def blocks(rows, kind):
    if kind not in SCALES:
        return gguf.quants.quantize(numbers.normal(size=(rows, WIDTH)).astype(numpy.float32), kind)
    _, size = gguf.GGML_QUANT_SIZES[kind]
    raw = numbers.integers(0, 256, size=(rows, size), dtype=numpy.uint8)
    for at in SCALES[kind]:
        scale = numbers.normal(scale=0.05, size=(rows, 1)).astype(numpy.float16)
        raw[:, at : at + 2] = scale.view(numpy.uint8)
    return raw


def interleave(rows, heads):
    """The order of llama.cpp's converter: the two halves of each head become neighbours."""
    return rows.reshape(heads, 2, len(rows) // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


writer = gguf.GGUFWriter(HERE / "tiny.gguf", "llama")
expected = {}


def add(stored, name, raw, kind, heads=None):
    expected[name] = gguf.quants.dequantize(raw, kind).astype(numpy.float32).reshape(len(raw), -1)
    raw = interleave(raw, heads) if heads else raw
    writer.add_tensor(stored, raw, raw_dtype=kind)


writer.add_block_count(len(KINDS))
writer.add_context_length(128)
writer.add_embedding_length(WIDTH)
writer.add_feed_forward_length(3)
writer.add_head_count(HEADS)
writer.add_head_count_kv(KV_HEADS)
writer.add_key_length(HEAD_DIM)
writer.add_value_length(HEAD_DIM)
writer.add_rope_dimension_count(HEAD_DIM)
writer.add_rope_freq_base(100000.0)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("smollm")
tokens = ["<|im_end|>", "a", "b", "1", "Ġ", "ab", "Ġab", "<pad>"]
writer.add_token_list(tokens)
writer.add_token_types([3, 1, 1, 1, 1, 1, 1, 5])
writer.add_token_merges(["a b", "Ġ ab"])
writer.add_eos_token_id(0)
writer.add_chat_template("{{ messages }}")

add("token_embd.weight", "model.embed_tokens.weight", blocks(len(tokens), Kind.Q8_0), Kind.Q8_0)
norm = numbers.normal(size=WIDTH).astype(numpy.float32)
expected["model.norm.weight"] = norm
writer.add_tensor("output_norm.weight", norm)
layer = "model.layers.0.self_attn"
add("blk.0.attn_q.weight", f"{layer}.q_proj.weight", blocks(HEADS * HEAD_DIM, Kind.Q4_1), Kind.Q4_1, HEADS)
add("blk.0.attn_k.weight", f"{layer}.k_proj.weight", blocks(KV_HEADS * HEAD_DIM, Kind.F16), Kind.F16, KV_HEADS)
for index, kind in enumerate(KINDS):
    add(f"blk.{index}.ffn_up.weight", f"model.layers.{index}.mlp.up_proj.weight", blocks(3, kind), kind)

writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
save_file(expected, HERE / "expected.safetensors")
