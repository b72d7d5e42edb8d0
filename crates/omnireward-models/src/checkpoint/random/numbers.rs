use half::bf16;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::training::{self, TrainingStart};
use crate::{
    Result,
    checkpoint::layout::{Role, TensorSpec},
    weights::{StoredType, TensorSink},
};

/// Values that a weight can take: the normal distribution's quantiles in this many equal steps.
const STEPS: usize = 1 << 16;

/// Numbers that one thread makes at a time.
const BLOCK: usize = 1 << 18;

/// Numbers that are made while as many are written.
const PIECE: usize = 1 << 23;

/// Makes the numbers of tensors.
#[derive(Debug)]
pub(super) struct Source {
    seed: u64,
    quantiles: Vec<f32>,
    start: Option<TrainingStart>,
}

impl Source {
    pub(super) fn new(seed: u64) -> Self {
        let step = |index: usize| normal_quantile((index as f64 + 0.5) / STEPS as f64) as f32;
        Self {
            seed,
            quantiles: (0..STEPS).into_par_iter().map(step).collect(),
            start: None,
        }
    }

    /// The same for a model that is to be trained from nothing.
    pub(super) fn with_start(self, start: TrainingStart) -> Self {
        Self {
            start: Some(start),
            ..self
        }
    }

    /// Some standard normal numbers that belong to a name.
    pub(super) fn normal(&self, name: &str, count: usize) -> Vec<f32> {
        let numbers = Numbers {
            key: self.key(name),
            values: self.quantiles.clone(),
        };
        let mut drawn = vec![0.0; count];
        numbers.fill(0, &mut drawn);
        drawn
    }

    /// Writes a tensor, and tells `done` how many numbers are written, now and then.
    pub(super) fn write(
        &self,
        spec: &TensorSpec,
        stored: StoredType,
        sink: &mut TensorSink<'_>,
        done: impl Fn(usize) + Send,
    ) -> Result<()> {
        if let Some(made) = self.start.as_ref().and_then(|start| start.made(&spec.name)) {
            match stored {
                StoredType::Bf16 => {
                    let made: Vec<bf16> = made.iter().copied().map(bf16::from_f32).collect();
                    sink.bf16(&made)?;
                }
                StoredType::F32 | StoredType::F16 => sink.f32(made)?,
            }
            done(made.len());
            return Ok(());
        }
        match stored {
            StoredType::Bf16 => {
                let numbers = self.numbers(spec, bf16::from_f32);
                numbers.write(spec, done, |piece| sink.bf16(piece))
            }
            StoredType::F32 | StoredType::F16 => {
                let numbers = self.numbers(spec, |number| number);
                numbers.write(spec, done, |piece| sink.f32(piece))
            }
        }
    }

    fn numbers<T>(&self, spec: &TensorSpec, convert: impl Fn(f32) -> T) -> Numbers<T> {
        let start = self.start.as_ref();
        let special = start.and_then(|_| training::distribution(spec));
        let (mean, deviation) = special.unwrap_or_else(|| distribution(spec));
        let value = |quantile: &f32| convert(mean + deviation * quantile);
        let name = start.map(|start| start.drawn_as(&spec.name));
        Numbers {
            key: self.key(name.as_deref().unwrap_or(&spec.name)),
            values: self.quantiles.iter().map(value).collect(),
        }
    }

    fn key(&self, name: &str) -> u64 {
        let key = Sha256::new()
            .chain_update(self.seed.to_le_bytes())
            .chain_update(name)
            .finalize();
        u64::from_le_bytes(*key.first_chunk().expect("a hash has 32 bytes"))
    }
}

/// Mean and standard deviation that keep activations of order one through any number of layers: a matrix keeps the
/// variance of what it multiplies, a table's rows look like normalised activations, norms do almost nothing.
fn distribution(spec: &TensorSpec) -> (f32, f32) {
    match spec.role {
        Role::Matrix => (0.0, keeping(spec)),
        Role::Table => (0.0, 1.0),
        Role::Scale => (1.0, 0.05),
        Role::Bias => (0.0, 0.05),
    }
}

/// The deviation of a matrix that keeps the variance of what it multiplies.
pub(super) fn keeping(spec: &TensorSpec) -> f32 {
    let summed: usize = spec.shape[1..].iter().product();
    1.0 / (summed as f32).sqrt()
}

/// The numbers of one tensor.
#[derive(Debug)]
struct Numbers<T> {
    key: u64,
    values: Vec<T>,
}

impl<T: Copy + Default + Send + Sync> Numbers<T> {
    /// Gives all numbers to `sink`, some at a time, making the next ones meanwhile.
    fn write(
        &self,
        spec: &TensorSpec,
        done: impl Fn(usize) + Send,
        mut sink: impl FnMut(&[T]) -> Result<()> + Send,
    ) -> Result<()> {
        let total = spec.elements() as usize;
        let piece = |start: usize, mut space: Vec<T>| {
            space.resize((total - start).min(PIECE), T::default());
            self.fill(start, &mut space);
            space
        };
        let (mut ready, mut spare) = (piece(0, Vec::new()), Vec::new());
        let mut written = 0;
        while !ready.is_empty() {
            let after = written + ready.len();
            let (sunk, next) = rayon::join(|| sink(&ready), || piece(after, spare));
            sunk?;
            done(ready.len());
            written = after;
            spare = std::mem::replace(&mut ready, next);
        }
        Ok(())
    }

    /// The numbers from `start`, a multiple of four, on. They are one sequence, whoever makes which part of it.
    fn fill(&self, start: usize, numbers: &mut [T]) {
        let values: &[T; STEPS] = self
            .values
            .as_slice()
            .try_into()
            .expect("there is a value for each step");
        let blocks = numbers.par_chunks_mut(BLOCK).enumerate();
        blocks.for_each(|(index, block)| {
            let first = ((start + index * BLOCK) / 4) as u64;
            let (fours, rest) = block.as_chunks_mut::<4>();
            let count = fours.len() as u64;
            for (position, four) in (first..).zip(fours) {
                pick(four, values, split_mix(self.key, position));
            }
            pick(rest, values, split_mix(self.key, first + count));
        });
    }
}

/// The values that the sixteens of bits of a word stand for.
fn pick<T: Copy>(numbers: &mut [T], values: &[T; STEPS], word: u64) {
    for (lane, number) in numbers.iter_mut().enumerate() {
        *number = values[usize::from((word >> (16 * lane)) as u16)];
    }
}

/// The `position`-th output of `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
/// 2014) begun at `key`.
fn split_mix(key: u64, position: u64) -> u64 {
    let mut word = key.wrapping_add((position + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// The number below which a standard normal variable lies with probability `p`: Wichura, "Algorithm AS 241" (1988),
/// the variant with seven digits.
fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        let above = [
            3.387_132_717_9,
            50.434_271_938,
            159.291_132_02,
            59.109_374_72,
        ];
        let below = [1.0, 17.895_169_469, 78.757_757_664, 67.187_563_6];
        return q * polynomial(&above, r) / polynomial(&below, r);
    }
    let r = (-p.min(1.0 - p).ln()).sqrt();
    let tail = if r <= 5.0 {
        let above = [
            1.423_437_277_7,
            2.756_815_39,
            1.306_728_481_6,
            0.170_238_211_03,
        ];
        let below = [1.0, 0.737_001_642_5, 0.120_211_329_75];
        polynomial(&above, r - 1.6) / polynomial(&below, r - 1.6)
    } else {
        let above = [
            6.657_905_115,
            3.081_226_386,
            0.428_682_943_37,
            0.017_337_203_997,
        ];
        let below = [1.0, 0.241_978_942_25, 0.012_258_202_635];
        polynomial(&above, r - 5.0) / polynomial(&below, r - 5.0)
    };
    tail.copysign(q)
}

fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients
        .iter()
        .rev()
        .fold(0.0, |sum, coefficient| sum * x + coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::layout::Part;

    fn spec(name: &str, shape: &[usize], role: Role) -> TensorSpec {
        TensorSpec {
            name: name.to_owned(),
            shape: shape.to_vec(),
            part: Part::Language,
            role,
        }
    }

    fn numbers(spec: &TensorSpec, seed: u64) -> Vec<f32> {
        let mut numbers = Vec::new();
        let source = Source::new(seed).numbers(spec, |number| number);
        let all = source.write(
            spec,
            |_| {},
            |piece| {
                numbers.extend_from_slice(piece);
                Ok(())
            },
        );
        all.unwrap();
        numbers
    }

    #[test]
    fn quantiles_are_those_of_the_normal_distribution() {
        for (p, expected) in [
            (0.5, 0.0),
            (0.975, 1.959_963_985),
            (0.025, -1.959_963_985),
            (0.841_344_746, 1.0),
            (1e-6, -4.753_424_309),
            (1e-12, -7.034_483_825),
        ] {
            assert!(
                (normal_quantile(p) - expected).abs() < 1e-6 * (1.0 + f64::abs(expected)),
                "{p}"
            );
        }
    }

    #[test]
    fn a_matrix_keeps_the_variance_of_what_it_multiplies() {
        let numbers = numbers(&spec("w", &[1000, 256], Role::Matrix), 1);
        let mean = numbers.iter().map(|x| f64::from(*x)).sum::<f64>() / numbers.len() as f64;
        let square =
            numbers.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / numbers.len() as f64;
        assert!(
            mean.abs() < 1e-3 && (square * 256.0 - 1.0).abs() < 0.01,
            "{mean} {square}"
        );
        let lag: f64 = numbers
            .windows(2)
            .map(|x| f64::from(x[0]) * f64::from(x[1]))
            .sum();
        assert!(
            (lag / numbers.len() as f64 / square).abs() < 0.01,
            "neighbours are unrelated"
        );
    }

    #[test]
    fn pieces_made_apart_are_those_made_at_once() {
        let spec = spec("w", &[3, PIECE / 2 - 4], Role::Matrix);
        let source = Source::new(7).numbers(&spec, bf16::from_f32);
        let mut whole = vec![bf16::ZERO; spec.elements() as usize];
        source.fill(0, &mut whole);
        let mut apart = Vec::new();
        let gather = |piece: &[bf16]| {
            apart.extend_from_slice(piece);
            Ok(())
        };
        source.write(&spec, |_| {}, gather).unwrap();
        assert!(whole == apart);
        assert!(whole[..1000] != whole[PIECE..PIECE + 1000]);
        let mut last = [bf16::ZERO; 7];
        source.fill(8, &mut last);
        assert_eq!(last, whole[8..15]);
    }

    #[test]
    fn seed_and_name_decide() {
        let one = spec("one", &[64], Role::Bias);
        let two = spec("two", &[64], Role::Bias);
        assert_eq!(numbers(&one, 1), numbers(&one, 1));
        assert_ne!(numbers(&one, 1), numbers(&one, 2));
        assert_ne!(numbers(&one, 1), numbers(&two, 1));
    }
}
