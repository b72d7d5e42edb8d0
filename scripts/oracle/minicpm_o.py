"""MiniCPM-o-2.6 put together from published parts, with the tensor names of its checkpoints.

The layers are those of transformers (SigLIP, Whisper, Qwen2) and torch (multi-head attention); what the model adds to
them (bucketed positions, the resampler's table, the audio mask, pooling, where features go) is written out here.
"""

import torch
from torch import nn
from torch.nn.functional import gelu
from transformers import Qwen2Config, Qwen2ForCausalLM, SiglipVisionConfig, WhisperConfig
from transformers.models.siglip.modeling_siglip import SiglipEncoderLayer
from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer


class Vision(nn.Module):
    """SigLIP on tiles of any shape, with positions looked up in buckets of a square table."""

    TILES_AT_ONCE = 16

    def __init__(self, config):
        super().__init__()
        config = SiglipVisionConfig(**config)
        config._attn_implementation = "sdpa"
        self.side = config.image_size // config.patch_size
        self.embeddings = nn.Module()
        self.embeddings.patch_embedding = nn.Conv2d(
            config.num_channels, config.hidden_size, config.patch_size, config.patch_size
        )
        self.embeddings.position_embedding = nn.Embedding(self.side**2, config.hidden_size)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(SiglipEncoderLayer(config) for _ in range(config.num_hidden_layers))
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, patches, sizes):
        """`patches`: one `[rows * columns, 3 * patch * patch]` per tile, `sizes`: its (rows, columns)."""
        outputs = []
        for start in range(0, len(patches), self.TILES_AT_ONCE):
            outputs += self.group(
                patches[start : start + self.TILES_AT_ONCE], sizes[start : start + self.TILES_AT_ONCE]
            )
        return outputs

    def group(self, patches, sizes):
        weight = self.embeddings.patch_embedding.weight
        lengths = [len(tile) for tile in patches]
        padded = nn.utils.rnn.pad_sequence([tile.to(weight.dtype) for tile in patches], batch_first=True)
        strip = padded.unflatten(-1, weight.shape[1:]).permute(0, 2, 3, 1, 4).flatten(3)
        hidden = self.embeddings.patch_embedding(strip).squeeze(2).transpose(1, 2)
        positions = nn.utils.rnn.pad_sequence([self.positions(*size) for size in sizes], batch_first=True)
        hidden = hidden + self.embeddings.position_embedding(positions)
        mask = key_mask(lengths, padded.shape[1], hidden.dtype)
        for layer in self.encoder.layers:
            hidden = first(layer(hidden, mask))
        hidden = self.post_layernorm(hidden)
        return [hidden[i, :length] for i, length in enumerate(lengths)]

    def positions(self, rows, columns):
        row, column = self.buckets(rows), self.buckets(columns)
        return (row[:, None] * self.side + column).flatten()

    def buckets(self, count):
        thresholds = torch.arange(1 / self.side, 1.0, 1 / self.side)
        # The original divides by a tensor, so the step has been rounded to f32; for some counts that decides a bucket.
        step = (1 / torch.tensor(count)).item()
        return torch.bucketize(torch.arange(0, 1 - 1e-6, step), thresholds, right=True)


class Resampler(nn.Module):
    """A fixed number of learned queries over the patches of a tile."""

    HEAD = 128

    def __init__(self, queries, hidden, vision_hidden):
        super().__init__()
        self.query = nn.Parameter(torch.empty(queries, hidden))
        self.kv_proj = nn.Linear(vision_hidden, hidden, bias=False)
        self.attn = nn.MultiheadAttention(hidden, hidden // self.HEAD, batch_first=True)
        self.ln_q = nn.LayerNorm(hidden, eps=1e-6)
        self.ln_kv = nn.LayerNorm(hidden, eps=1e-6)
        self.ln_post = nn.LayerNorm(hidden, eps=1e-6)
        self.proj = nn.Parameter(torch.empty(hidden, hidden))
        self.tables = {}

    def forward(self, tiles, sizes):
        values = nn.utils.rnn.pad_sequence([self.ln_kv(self.kv_proj(tile)) for tile in tiles], batch_first=True)
        tables = nn.utils.rnn.pad_sequence([self.table(*size) for size in sizes], batch_first=True)
        keys = values + tables.to(values.dtype)
        lengths = torch.tensor([len(tile) for tile in tiles])
        padding = torch.arange(values.shape[1]) >= lengths[:, None]
        queries = self.ln_q(self.query).expand(len(tiles), -1, -1)
        padding = padding if bool(padding.any()) else None
        attended = self.attn(queries, keys, values, key_padding_mask=padding, need_weights=False)[0]
        return self.ln_post(attended) @ self.proj

    def table(self, rows, columns):
        """Sines and cosines of the column, then of the row, of every patch."""
        if (rows, columns) not in self.tables:
            quarter = self.query.shape[1] // 4
            frequencies = 10000.0 ** -(torch.arange(quarter, dtype=torch.float32) / quarter)
            row = torch.arange(rows).repeat_interleave(columns)[:, None] * frequencies
            column = torch.arange(columns).repeat(rows)[:, None] * frequencies
            self.tables[rows, columns] = torch.cat([column.sin(), column.cos(), row.sin(), row.cos()], 1)
        return self.tables[rows, columns]


class Audio(nn.Module):
    """Whisper's encoder over chunks of a second, each seeing itself and what was before."""

    def __init__(self, config, chunk):
        super().__init__()
        config = WhisperConfig(**config)
        config._attn_implementation = "sdpa"
        width = config.d_model
        self.chunk = chunk
        self.conv1 = nn.Conv1d(config.num_mel_bins, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(config.max_source_positions, width)
        self.layers = nn.ModuleList(WhisperEncoderLayer(config) for _ in range(config.encoder_layers))
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, mels):
        """`mels`: one `[mels, frames]` per clip, padded to the longest as the original pads a batch."""
        lengths = torch.tensor([mel.shape[1] for mel in mels])
        padded = torch.zeros(len(mels), mels[0].shape[0], int(lengths.max()))
        for row, mel in zip(padded, mels):
            row[:, : mel.shape[1]] = mel
        hidden = gelu(self.conv2(gelu(self.conv1(padded.to(self.conv1.weight.dtype))))).transpose(1, 2)
        frames = hidden.shape[1]
        hidden = hidden + self.embed_positions.weight[:frames]
        mask = self.mask(lengths, frames, hidden.dtype)
        for layer in self.layers:
            hidden = first(layer(hidden, mask, None))
        return self.layer_norm(hidden)

    def mask(self, lengths, frames, dtype):
        chunks = torch.arange(frames) // self.chunk
        # The original compares indices after the strided convolution with lengths before it, so the padding of a
        # clip that is more than half as long as the longest stays visible. This is meant to be so here, too.
        seen = torch.arange(frames) < lengths[:, None, None]
        allowed = (chunks[None, :] <= chunks[:, None]) & seen
        return torch.zeros(allowed.shape, dtype=dtype).masked_fill(~allowed, float("-inf"))[:, None]


class AudioProjection(nn.Module):
    def __init__(self, audio_hidden, hidden):
        super().__init__()
        self.linear1 = nn.Linear(audio_hidden, hidden)
        self.linear2 = nn.Linear(hidden, hidden)

    def forward(self, hidden):
        return self.linear2(torch.relu(self.linear1(hidden)))


class MiniCpmO(nn.Module):
    """The whole model, from patches, mels and tokens to a reward."""

    def __init__(self, config):
        super().__init__()
        text = Qwen2Config(**config)
        text._attn_implementation = "sdpa"
        vision, audio = config["vision_config"], config["audio_config"]
        self.pool = config["audio_pool_step"]
        self.llm = Qwen2ForCausalLM(text)
        self.vpm = Vision(vision)
        self.resampler = Resampler(config["query_num"], text.hidden_size, vision["hidden_size"])
        self.apm = Audio(audio, int(config["audio_chunk_length"] * 50))
        self.audio_projection_layer = AudioProjection(audio["d_model"], text.hidden_size)
        self.v_head = nn.Module()
        self.v_head.summary = nn.Linear(text.hidden_size, 1)

    def images(self, images):
        """`images`: lists of tiles, each `(patches, (rows, columns))`. Returns what the tower and the resampler give."""
        tiles = [tile for image in images for tile in image]
        patches, sizes = [tile for tile, _ in tiles], [size for _, size in tiles]
        vision = self.vpm(patches, sizes)
        features = self.resampler(vision, sizes)
        counts = [len(image) for image in images]
        return vision, [group.flatten(0, 1) for group in features.split(counts)]

    def clips(self, mels):
        """One piece per clip, all padded to the longest, as the original encodes a batch."""
        hidden = self.apm(mels)
        projected = self.audio_projection_layer(hidden).transpose(1, 2)
        pooled = nn.functional.avg_pool1d(projected, self.pool, self.pool).transpose(1, 2)
        lengths = [(mel.shape[1] - 1) // 2 + 1 for mel in mels]
        counts = [(length - self.pool) // self.pool + 1 for length in lengths]
        return (
            [rows[:length] for rows, length in zip(hidden, lengths)],
            [rows[:count] for rows, count in zip(pooled, counts)],
        )

    def embed(self, tokens, places, features):
        """Embeddings of `tokens`; row `i` is row `places[i][1]` of medium `places[i][0]` where that is not -1."""
        embeddings = self.llm.model.embed_tokens(tokens)
        at = places[:, 0] >= 0
        if at.any():
            embeddings[at] = torch.stack([features[medium][row] for medium, row in places[at].tolist()])
        return embeddings

    def hidden(self, embeddings):
        return self.llm.model(inputs_embeds=embeddings, use_cache=False).last_hidden_state

    def rewards(self, hidden):
        return self.v_head.summary(hidden).squeeze(-1)


def key_mask(lengths, longest, dtype):
    """Hides padded keys; `None` where there are none, which leaves the fastest attention possible."""
    if min(lengths) == longest:
        return None
    hidden = torch.arange(longest) >= torch.tensor(lengths)[:, None]
    return torch.zeros(hidden.shape, dtype=dtype).masked_fill(hidden, torch.finfo(dtype).min)[:, None, None]


def first(output):
    return output[0] if isinstance(output, tuple) else output
