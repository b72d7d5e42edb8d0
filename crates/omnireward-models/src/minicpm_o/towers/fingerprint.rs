use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::Fingerprint;
use crate::{
    Error, Result,
    minicpm_o::weights::belongs,
    weights::{Elements, Placement, Weight, Weights},
};

/// The digest of some parts of a checkpoint, the settings they are run with, and how.
pub(super) fn of(
    weights: &Weights,
    parts: &[&str],
    settings: &str,
    placement: &Placement,
) -> Result<Fingerprint> {
    let names: Vec<&str> = weights
        .names()
        .filter(|name| parts.iter().any(|part| belongs(name, part)))
        .collect();
    let digests = names
        .par_iter()
        .map(|name| tensor(weights, name))
        .collect::<Result<Vec<_>>>()?;
    let mut whole = Sha256::new();
    field(&mut whole, settings);
    field(&mut whole, placement.dtype.as_str());
    field(&mut whole, placement.device_kind());
    for (name, digest) in names.into_iter().zip(digests) {
        if let Some(digest) = digest {
            field(&mut whole, name);
            whole.update(digest);
        }
    }
    Ok(whole.finalize().into())
}

/// The digest of a tensor's shape, type and elements. What is no weight has none, for no tower reads it.
fn tensor(weights: &Weights, name: &str) -> Result<Option<Fingerprint>> {
    let Some(info) = weights.info(name) else {
        return Ok(None);
    };
    let here = Placement {
        device: Device::Cpu,
        dtype: DType::F32,
    };
    let weight = match weights.scope("", &here).flat_weight(name, &info.shape) {
        Err(Error::Type { .. }) => return Ok(None),
        weight => weight?,
    };
    let mut digest = Sha256::new();
    field(&mut digest, &format!("{:?} {}", info.shape, info.stored));
    match weight {
        Weight::Mapped(mapped) => elements(&mut digest, mapped.elements()),
        Weight::Tensor(tensor) => in_memory(&mut digest, &tensor)?,
        quantised @ Weight::Quantised(_) => {
            in_memory(&mut digest, &quantised.tensor(&Device::Cpu, DType::F32)?)?;
        }
    }
    Ok(Some(digest.finalize().into()))
}

fn in_memory(digest: &mut Sha256, tensor: &Tensor) -> Result<()> {
    let flat = tensor.flatten_all()?;
    match flat.dtype() {
        DType::BF16 => elements(digest, Elements::Bf16(&flat.to_vec1::<bf16>()?)),
        DType::F16 => elements(digest, Elements::F16(&flat.to_vec1::<f16>()?)),
        _ => elements(
            digest,
            Elements::F32(&flat.to_dtype(DType::F32)?.to_vec1::<f32>()?),
        ),
    }
    Ok(())
}

fn elements(digest: &mut Sha256, elements: Elements<'_>) {
    match elements {
        Elements::F32(numbers) => bytes(digest, numbers, f32::to_le_bytes),
        Elements::Bf16(numbers) => bytes(digest, numbers, bf16::to_le_bytes),
        Elements::F16(numbers) => bytes(digest, numbers, f16::to_le_bytes),
    }
}

fn bytes<T: Copy, const SIZE: usize>(
    digest: &mut Sha256,
    numbers: &[T],
    to_bytes: impl Fn(T) -> [u8; SIZE],
) {
    const BLOCK: usize = 1 << 13;
    let mut buffer = vec![[0; SIZE]; BLOCK.min(numbers.len())];
    for block in numbers.chunks(BLOCK) {
        let buffer = &mut buffer[..block.len()];
        for (bytes, number) in buffer.iter_mut().zip(block) {
            *bytes = to_bytes(*number);
        }
        digest.update(buffer.as_flattened());
    }
}

/// A text that cannot run into the next one.
fn field(digest: &mut Sha256, text: &str) {
    digest.update((text.len() as u64).to_le_bytes());
    digest.update(text);
}
