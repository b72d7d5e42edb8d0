use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use omnireward_core::Progress;
use rayon::prelude::*;

use super::{Code, Finding, Patient};
use crate::checkpoint::{
    files::{StoredTensor, WeightFile, unwrapped},
    layout::Part,
};

/// Bytes read at a time; a multiple of every number's size.
const PIECE: usize = 32 << 20;

/// Bytes that one thread looks at at a time.
const BLOCK: usize = 1 << 18;

/// Reads every number that a reward depends on.
pub(super) fn examine(patient: &mut Patient<'_>, progress: &dyn Progress) {
    let survey = patient.survey;
    let wanted = |name: &str| Part::of(unwrapped(name)) != Some(Part::Speech);
    let all = || {
        survey
            .all()
            .filter(|(_, name, tensor)| wanted(name) && tensor.is_whole)
    };
    progress.begin(
        "reading weights",
        Some(all().map(|(_, _, tensor)| tensor.bytes).sum()),
    );
    let mut findings = Vec::new();
    for (file, name, tensor) in all() {
        match count(file, tensor, &|bytes| progress.advance(bytes, name)) {
            Ok(Some(counts)) => findings.extend(judge(file, name, tensor, counts)),
            Ok(None) => {}
            Err(error) => {
                let mend = "check the disk, or copy the file again";
                findings.push(Finding::defect(
                    Code::ShardDamaged,
                    &file.name,
                    error.to_string(),
                    mend,
                ));
            }
        }
    }
    progress.end();
    patient.report_many(findings);
}

/// Numbers of kinds that should not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    not_a_number: u64,
    infinite: u64,
    other_than_zero: u64,
}

impl Counts {
    fn and(self, other: Self) -> Self {
        Self {
            not_a_number: self.not_a_number + other.not_a_number,
            infinite: self.infinite + other.infinite,
            other_than_zero: self.other_than_zero + other.other_than_zero,
        }
    }
}

fn judge(file: &WeightFile, name: &str, tensor: &StoredTensor, counts: Counts) -> Option<Finding> {
    let all = tensor.elements();
    if counts.not_a_number + counts.infinite > 0 {
        let problem = format!(
            "`{name}` holds {} NaN and {} infinite numbers among {all}",
            counts.not_a_number, counts.infinite
        );
        let mend = "use a checkpoint from before the training diverged, or copy the file again";
        return Some(Finding::defect(Code::TensorNotFinite, &file.name, problem, mend).of(name));
    }
    let is_matrix = tensor.shape.len() > 1 && all > 1;
    (is_matrix && counts.other_than_zero == 0).then(|| {
        let problem = format!("`{name}` holds nothing but zeros");
        let mend = "copy the file again, unless the layer was never trained";
        Finding::defect(Code::TensorZero, &file.name, problem, mend)
            .of(name)
            .warning()
    })
}

/// Counts a tensor's numbers; `None` when they are of no type of weights, which is reported elsewhere.
fn count(
    file: &WeightFile,
    tensor: &StoredTensor,
    done: &dyn Fn(u64),
) -> io::Result<Option<Counts>> {
    let count_block = match tensor.stored.as_str() {
        "F32" => |block: &[u8]| {
            let (numbers, _) = block.as_chunks();
            counts(
                numbers.iter().map(|bytes| u32::from_le_bytes(*bytes)),
                0x7F80_0000,
                0x007F_FFFF,
            )
        },
        "BF16" => |block: &[u8]| counts(sixteens(block), 0x7F80, 0x007F),
        "F16" => |block: &[u8]| counts(sixteens(block), 0x7C00, 0x03FF),
        _ => return Ok(None),
    };
    let mut opened = File::open(&file.path)?;
    opened.seek(SeekFrom::Start(tensor.start))?;
    let mut buffer = vec![0; PIECE.min(tensor.bytes as usize)];
    let mut left = tensor.bytes as usize;
    let mut total = Counts::default();
    while left > 0 {
        let piece = &mut buffer[..left.min(PIECE)];
        opened.read_exact(piece)?;
        let blocks = piece.par_chunks(BLOCK).map(count_block);
        total = total.and(blocks.reduce(Counts::default, Counts::and));
        left -= piece.len();
        done(piece.len() as u64);
    }
    Ok(Some(total))
}

fn sixteens(block: &[u8]) -> impl Iterator<Item = u32> {
    let (numbers, _) = block.as_chunks();
    numbers
        .iter()
        .map(|bytes| u32::from(u16::from_le_bytes(*bytes)))
}

/// A floating-point number is infinite when its exponent is all ones and its mantissa zero, and no number at all when
/// the mantissa is something else.
fn counts(numbers: impl Iterator<Item = u32>, exponent: u32, mantissa: u32) -> Counts {
    numbers.fold(Counts::default(), |counts, bits| {
        let is_odd = bits & exponent == exponent;
        let has_mantissa = bits & mantissa != 0;
        Counts {
            not_a_number: counts.not_a_number + u64::from(is_odd && has_mantissa),
            infinite: counts.infinite + u64::from(is_odd && !has_mantissa),
            other_than_zero: counts.other_than_zero + u64::from(bits & (exponent | mantissa) != 0),
        }
    })
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    #[test]
    fn numbers_are_told_apart_by_their_bits() {
        let numbers = [
            0.0,
            -0.0,
            1.0,
            -3.5,
            f32::MAX,
            f32::MIN_POSITIVE,
            f32::NAN,
            -f32::NAN,
            f32::INFINITY,
        ];
        let expected = Counts {
            not_a_number: 2,
            infinite: 1,
            other_than_zero: 7,
        };
        let single = numbers.iter().map(|number| number.to_bits());
        assert_eq!(counts(single, 0x7F80_0000, 0x007F_FFFF), expected);
        let brain = numbers.map(|number| bf16::from_f32_const(number.min(1e38)).to_bits());
        let brain: Vec<u8> = brain.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let found = counts(sixteens(&brain), 0x7F80, 0x007F);
        assert_eq!(
            (found.not_a_number, found.infinite),
            (0, 0),
            "`min` drops NaN"
        );
        for (number, wanted) in [
            (f32::NAN, (1, 0)),
            (f32::NEG_INFINITY, (0, 1)),
            (65504.0, (0, 0)),
        ] {
            let half = counts(
                sixteens(&f16::from_f32(number).to_le_bytes()),
                0x7C00,
                0x03FF,
            );
            assert_eq!((half.not_a_number, half.infinite), wanted);
            let brain = counts(
                sixteens(&bf16::from_f32(number).to_le_bytes()),
                0x7F80,
                0x007F,
            );
            assert_eq!((brain.not_a_number, brain.infinite), wanted);
        }
    }
}
