"""Reference run of Whisper-tiny's encoder on a real clip, written to `whisper.safetensors`. Run by a developer.

    python reference_whisper.py CHECKPOINT.pt CLIP.wav

The clip in use is `data/mllm_demo_data/2.wav` of hiyouga/LLaMA-Factory (Apache-2.0; 16 kHz, 2.9 s). Features and
encoder are those of Hugging Face transformers 4.57.6, in single precision:

* `mel`: the log-mel spectrogram of the clip, up to where only silence follows, whose value is `silence`;
* `full`: every fifth row of the encoder's output on the clip padded to 30 seconds, as Whisper runs it;
* `chunked`: every fifth row of its output on the clip alone, where a row sees no further than the end of its own
  chunk of 50, as MiniCPM-o runs it.
"""

import sys
from pathlib import Path

import soundfile
import torch
from safetensors.torch import save_file
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from convert_whisper import encoder

CHUNK = 50


@torch.no_grad()
def full(model, mel):
    return model(mel[None]).last_hidden_state[0]


@torch.no_grad()
def chunked(model, mel):
    x = torch.nn.functional.gelu(model.conv1(mel[None]))
    x = torch.nn.functional.gelu(model.conv2(x)).permute(0, 2, 1)
    rows = x.shape[1]
    x = x + model.embed_positions.weight[:rows]
    chunk = torch.arange(rows) // CHUNK
    mask = torch.where(chunk[None] <= chunk[:, None], 0.0, float("-inf"))[None, None]
    for layer in model.layers:
        x = layer(x, mask, layer_head_mask=None)[0]
    return model.layer_norm(x)[0]


def main(checkpoint, clip):
    weights = {key: value.float() for key, value in encoder(checkpoint).items()}
    config = WhisperConfig(
        d_model=384,
        encoder_layers=4,
        encoder_attention_heads=6,
        encoder_ffn_dim=1536,
        attn_implementation="eager",
    )
    model = WhisperEncoder(config).eval()
    model.load_state_dict(weights)
    samples, rate = soundfile.read(clip, dtype="float32")
    assert rate == 16000 and samples.ndim == 1
    mel = torch.from_numpy(WhisperFeatureExtractor()(samples, sampling_rate=rate).input_features[0])
    frames = -(-len(samples) // 160)
    kept = frames + 4
    silence = mel[0, -1]
    assert (mel[:, kept:] == silence).all()
    save_file(
        {
            "mel": mel[:, :kept].contiguous(),
            "silence": silence.reshape(1),
            "frames": torch.tensor([float(frames)]),
            "full": full(model, mel)[::5][:80].contiguous(),
            "chunked": chunked(model, mel[:, :frames])[::5].contiguous(),
        },
        Path(__file__).with_name("whisper.safetensors"),
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
