//! What must be known of an H.264 stream before it is decoded: whether our decoder can, how its
//! colors are meant, and in which order its pictures are shown (ITU-T H.264 §7.3).

use super::{bits::BitReader, pixels::ColorSpace};

pub(super) const SLICE: u8 = 1;
pub(super) const IDR_SLICE: u8 = 5;
pub(super) const SPS: u8 = 7;
pub(super) const PPS: u8 = 8;

/// How NAL units are told apart within a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Each is preceded by its length, in so many bytes (MP4).
    Lengths(usize),
    /// Each is preceded by a start code (AVI, and streams on their own).
    StartCodes,
}

impl Framing {
    /// The NAL units of a sample, or `None` when a length points past its end.
    pub(super) fn nals(self, sample: &[u8]) -> Option<Vec<&[u8]>> {
        match self {
            Self::Lengths(size) => nals_by_length(sample, size),
            Self::StartCodes => Some(nals_by_start_code(sample)),
        }
    }
}

fn nals_by_length(mut rest: &[u8], size: usize) -> Option<Vec<&[u8]>> {
    let mut nals = Vec::new();
    while !rest.is_empty() {
        let (prefix, after) = rest.split_at_checked(size)?;
        let length = prefix
            .iter()
            .fold(0, |length, &byte| length << 8 | usize::from(byte));
        let (nal, after) = after.split_at_checked(length)?;
        if !nal.is_empty() {
            nals.push(nal);
        }
        rest = after;
    }
    Some(nals)
}

fn nals_by_start_code(sample: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 3 <= sample.len() {
        if sample[at..at + 3] == [0, 0, 1] {
            starts.push(at + 3);
            at += 3;
        } else {
            at += 1;
        }
    }
    let ends = starts
        .iter()
        .skip(1)
        .map(|next| next - 3)
        .chain([sample.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| trim_zeros(&sample[start..end]))
        .filter(|nal| !nal.is_empty())
        .collect()
}

/// Zeros before a start code belong to it, not to the NAL unit.
fn trim_zeros(nal: &[u8]) -> &[u8] {
    let length = nal
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    &nal[..length]
}

/// The type of a NAL unit, from its first byte.
pub(super) fn nal_type(nal: &[u8]) -> u8 {
    nal[0] & 0x1F
}

/// Whether other pictures may be predicted from this NAL unit's.
pub(super) fn is_reference(nal: &[u8]) -> bool {
    nal[0] >> 5 & 3 != 0
}

pub(super) fn is_slice(nal: &[u8]) -> bool {
    matches!(nal_type(nal), SLICE | IDR_SLICE)
}

/// A sequence parameter set, as far as we use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SequenceParameters {
    pub(super) profile: u32,
    pub(super) chroma_format: u32,
    pub(super) bit_depth: u32,
    pub(super) log2_max_frame_number: u32,
    pub(super) picture_order: PictureOrder,
    pub(super) is_progressive: bool,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) colors: ColorSpace,
}

/// How a stream says in which order its pictures are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PictureOrder {
    /// A counter in each slice, of so many bits.
    Counter { log2_max: u32 },
    /// Derived from a cycle; not used by any encoder we know.
    Cycle,
    /// As they are coded.
    AsCoded,
}

impl SequenceParameters {
    /// Parses a NAL unit of type [`SPS`].
    pub(super) fn parse(nal: &[u8]) -> Option<Self> {
        let mut bits = BitReader::of_nal(nal.get(1..)?);
        let profile = bits.bits(8)?;
        bits.bits(16)?; // constraint flags and level
        bits.unsigned()?; // identifier
        let SampleFormat {
            chroma_format,
            bit_depth,
        } = SampleFormat::parse(&mut bits, profile)?;
        let log2_max_frame_number = bits.unsigned()?.checked_add(4).filter(|log2| *log2 <= 16)?;
        let picture_order = parse_picture_order(&mut bits)?;
        bits.unsigned()?; // reference frames
        bits.bit()?; // gaps in frame numbers
        let width_in_blocks = bits.unsigned()?.checked_add(1)?;
        let height_in_units = bits.unsigned()?.checked_add(1)?;
        let is_progressive = bits.flag()?;
        let height_in_blocks = if is_progressive {
            height_in_units
        } else {
            bits.bit()?; // adaptive between frame and field
            height_in_units.checked_mul(2)?
        };
        bits.bit()?; // direct prediction by 8 × 8
        let [left, right, top, bottom] = parse_cropping(&mut bits)?;
        let (unit_x, unit_y) = match chroma_format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let unit_y = if is_progressive { unit_y } else { unit_y * 2 };
        let crop_x = left.checked_add(right)?.checked_mul(unit_x)?;
        let crop_y = top.checked_add(bottom)?.checked_mul(unit_y)?;
        let width = width_in_blocks.checked_mul(16)?.checked_sub(crop_x)?;
        let height = height_in_blocks.checked_mul(16)?.checked_sub(crop_y)?;
        if width == 0 || height == 0 {
            return None;
        }
        // A stream whose last part is missing or odd is still shown, with the usual colors.
        let colors = parse_colors(&mut bits).unwrap_or_default();
        Some(Self {
            profile,
            chroma_format,
            bit_depth,
            log2_max_frame_number,
            picture_order,
            is_progressive,
            width,
            height,
            colors,
        })
    }

    /// Why the decoder that cargo builds cannot decode this stream, if it cannot.
    pub(super) fn beyond_builtin_decoder(&self) -> Option<String> {
        if self.bit_depth != 8 {
            Some(format!("H.264 video with {} bits a sample", self.bit_depth))
        } else if self.chroma_format != 1 {
            Some("H.264 video that is not 4:2:0".to_owned())
        } else if !self.is_progressive {
            Some("interlaced H.264 video".to_owned())
        } else if !matches!(self.profile, 66 | 77 | 100) {
            Some(format!("H.264 video of profile {}", self.profile))
        } else {
            None
        }
    }
}

/// The fields that only higher profiles have.
struct SampleFormat {
    chroma_format: u32,
    bit_depth: u32,
}

impl SampleFormat {
    fn is_stated(profile: u32) -> bool {
        matches!(
            profile,
            100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
        )
    }

    fn parse(bits: &mut BitReader, profile: u32) -> Option<Self> {
        if !Self::is_stated(profile) {
            return Some(Self {
                chroma_format: 1,
                bit_depth: 8,
            });
        }
        let chroma_format = bits.unsigned()?;
        if chroma_format == 3 {
            bits.bit()?; // separate color planes
        }
        let luma = bits.unsigned()?.checked_add(8)?;
        let chroma = bits.unsigned()?.checked_add(8)?;
        bits.bit()?; // lossless bypass
        if bits.flag()? {
            let lists = if chroma_format == 3 { 12 } else { 8 };
            for list in 0..lists {
                if bits.flag()? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        Some(Self {
            chroma_format,
            bit_depth: luma.max(chroma),
        })
    }
}

fn skip_scaling_list(bits: &mut BitReader, size: u32) -> Option<()> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// Rewrites a sequence parameter set, of a stream that the built-in decoder can decode, to say
/// that it is of the Scalable Baseline profile.
///
/// `OpenH264` decodes the tools of all profiles that it knows whatever the profile says, but of a
/// Baseline stream it gives each picture as soon as it is decoded. Of others it holds pictures
/// back to sort them by the low bits of a counter; each time the counter wraps around some stay
/// behind, until there is no memory for the next. The scalable kind rather than the plain one,
/// because for plain Baseline it reorders references in a way that goes wrong with many of them.
pub(super) fn as_baseline(nal: &[u8]) -> Option<Vec<u8>> {
    const SCALABLE_BASELINE: u8 = 83;
    /// 4:2:0, eight bits, no bypass, no scaling lists: what profiles that do not say mean.
    const USUAL_FORMAT: [u8; 7] = [0, 1, 0, 1, 1, 0, 0];
    let (header, payload) = nal.split_first()?;
    let mut bits = BitReader::of_nal(payload);
    let profile = bits.bits(8)?;
    bits.bits(16)?;
    bits.unsigned()?;
    let inserted: &[u8] = if SampleFormat::is_stated(profile) {
        &[]
    } else {
        &USUAL_FORMAT
    };
    let mut rewritten = bits.with_inserted(inserted);
    *rewritten.first_mut()? = SCALABLE_BASELINE;
    let mut nal = vec![*header];
    escape_into(&rewritten, &mut nal);
    Some(nal)
}

/// Puts back the bytes that keep start codes apart.
fn escape_into(payload: &[u8], nal: &mut Vec<u8>) {
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte <= 3 {
            nal.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        nal.push(byte);
    }
}

fn parse_picture_order(bits: &mut BitReader) -> Option<PictureOrder> {
    match bits.unsigned()? {
        0 => {
            let log2_max = bits.unsigned()?.checked_add(4).filter(|log2| *log2 <= 16)?;
            Some(PictureOrder::Counter { log2_max })
        }
        1 => {
            bits.bit()?;
            bits.signed()?;
            bits.signed()?;
            for _ in 0..bits.unsigned()?.min(256) {
                bits.signed()?;
            }
            Some(PictureOrder::Cycle)
        }
        2 => Some(PictureOrder::AsCoded),
        _ => None,
    }
}

/// Left, right, top and bottom, in cropping units.
fn parse_cropping(bits: &mut BitReader) -> Option<[u32; 4]> {
    if !bits.flag()? {
        return Some([0; 4]);
    }
    Some([
        bits.unsigned()?,
        bits.unsigned()?,
        bits.unsigned()?,
        bits.unsigned()?,
    ])
}

fn parse_colors(bits: &mut BitReader) -> Option<ColorSpace> {
    const EXTENDED_ASPECT_RATIO: u32 = 255;
    if !bits.flag()? {
        return None;
    }
    if bits.flag()? && bits.bits(8)? == EXTENDED_ASPECT_RATIO {
        bits.bits(32)?;
    }
    if bits.flag()? {
        bits.bit()?; // overscan
    }
    if !bits.flag()? {
        return None;
    }
    bits.bits(3)?; // video format
    let is_full_range = bits.flag()?;
    let matrix = if bits.flag()? {
        bits.bits(16)?; // primaries and transfer
        bits.bits(8)?
    } else {
        ColorSpace::UNSPECIFIED_MATRIX
    };
    Some(ColorSpace::from_codes(matrix, is_full_range))
}

/// Numbers pictures in the order in which they are shown, for containers that do not say
/// (ITU-T H.264 §8.2.1.1).
pub(super) struct DisplayCounter {
    parameters: SequenceParameters,
    coded: i64,
    sequence: i64,
    previous_high: i64,
    previous_low: i64,
}

impl DisplayCounter {
    pub(super) fn new(parameters: SequenceParameters) -> Self {
        Self {
            parameters,
            coded: 0,
            sequence: 0,
            previous_high: 0,
            previous_low: 0,
        }
    }

    /// A key by which pictures sort into display order. Call it once for each picture, in coded
    /// order, with the first slice of the picture.
    pub(super) fn next(&mut self, slice: &[u8]) -> Option<(i64, i64)> {
        self.coded += 1;
        let PictureOrder::Counter { log2_max } = self.parameters.picture_order else {
            return Some((0, self.coded));
        };
        if nal_type(slice) == IDR_SLICE {
            self.sequence += 1;
            (self.previous_high, self.previous_low) = (0, 0);
        }
        let low = i64::from(self.counter(slice, log2_max)?);
        let max = 1_i64 << log2_max;
        let high = if low < self.previous_low && self.previous_low - low >= max / 2 {
            self.previous_high + max
        } else if low > self.previous_low && low - self.previous_low > max / 2 {
            self.previous_high - max
        } else {
            self.previous_high
        };
        if is_reference(slice) {
            (self.previous_high, self.previous_low) = (high, low);
        }
        Some((self.sequence, high + low))
    }

    /// `pic_order_cnt_lsb` of a slice of a progressive stream.
    fn counter(&self, slice: &[u8], log2_max: u32) -> Option<u32> {
        // The fields before it take at most five codes; the rest of the slice is not looked at.
        let beginning = &slice[1..slice.len().min(64)];
        let mut bits = BitReader::of_nal(beginning);
        bits.unsigned()?; // first macroblock
        bits.unsigned()?; // slice type
        bits.unsigned()?; // picture parameter set
        bits.bits(self.parameters.log2_max_frame_number)?;
        if nal_type(slice) == IDR_SLICE {
            bits.unsigned()?; // identifier of the IDR picture
        }
        bits.bits(log2_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nal_units_are_split_by_length_and_by_start_code() {
        let by_length = [0, 2, 0x67, 1, 0, 1, 0x68];
        assert_eq!(
            Framing::Lengths(2).nals(&by_length).unwrap(),
            [&[0x67, 1][..], &[0x68][..]]
        );
        assert_eq!(Framing::Lengths(2).nals(&[0, 9, 0x67]), None);
        let by_code = [0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 0, 0, 1, 0x65, 7];
        assert_eq!(
            Framing::StartCodes.nals(&by_code).unwrap(),
            [&[0x67, 1][..], &[0x68][..], &[0x65, 7][..]]
        );
    }

    #[test]
    fn garbage_is_no_parameter_set() {
        assert_eq!(SequenceParameters::parse(&[0x67]), None);
        assert_eq!(SequenceParameters::parse(&[0x67; 3]), None);
        assert_eq!(SequenceParameters::parse(&[0; 40]), None);
    }
}
