/// Reads the fields of an H.264 header bit by bit. Every read is `None` past the end.
pub(super) struct BitReader {
    bytes: Vec<u8>,
    position: usize,
}

impl BitReader {
    /// A reader of a NAL unit's payload, without the bytes that only keep start codes apart
    /// (ITU-T H.264 §7.4.1, `emulation_prevention_three_byte`).
    pub(super) fn of_nal(payload: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(payload.len());
        let mut zeros = 0;
        for &byte in payload {
            if zeros >= 2 && byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            bytes.push(byte);
        }
        Self { bytes, position: 0 }
    }

    /// All the bytes, with bits (0 or 1 each) inserted at what would be read next; zeros fill the
    /// last byte.
    pub(super) fn with_inserted(&self, inserted: &[u8]) -> Vec<u8> {
        let bit_at = |position: usize| self.bytes[position / 8] >> (7 - position % 8) & 1;
        let bits: Vec<u8> = (0..self.position)
            .map(bit_at)
            .chain(inserted.iter().copied())
            .chain((self.position..self.bytes.len() * 8).map(bit_at))
            .collect();
        bits.chunks(8)
            .map(|bits| {
                let byte = bits.iter().fold(0, |byte, bit| byte << 1 | bit);
                byte << (8 - bits.len())
            })
            .collect()
    }

    pub(super) fn bit(&mut self) -> Option<u32> {
        let byte = *self.bytes.get(self.position / 8)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Some(u32::from(bit))
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        self.bit().map(|bit| bit == 1)
    }

    /// `u(count)` of the standard; at most 32 bits.
    pub(super) fn bits(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | self.bit()?))
    }

    /// `ue(v)`: an unsigned Exp-Golomb code.
    pub(super) fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.bits(zeros)?)
    }

    /// `se(v)`: a signed Exp-Golomb code.
    pub(super) fn signed(&mut self) -> Option<i32> {
        let code = i64::from(self.unsigned()?);
        let magnitude = (code + 1) / 2;
        Some(if code % 2 == 1 { magnitude } else { -magnitude } as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes() {
        // 1 | 010 | 011 | 00100 | 00101 → 0, 1, 2, 3, 4; then padding.
        let bytes = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut reader = BitReader::of_nal(&bytes);
        let read: Vec<_> = (0..5).map(|_| reader.unsigned().unwrap()).collect();
        assert_eq!(read, [0, 1, 2, 3, 4]);

        let mut reader = BitReader::of_nal(&bytes);
        let read: Vec<_> = (0..5).map(|_| reader.signed().unwrap()).collect();
        assert_eq!(read, [0, 1, -1, 2, -2]);
    }

    #[test]
    fn bits_are_inserted() {
        let mut reader = BitReader::of_nal(&[0b1111_0000, 0b1010_1010]);
        assert_eq!(reader.with_inserted(&[]), [0b1111_0000, 0b1010_1010]);
        reader.bits(4).unwrap();
        assert_eq!(
            reader.with_inserted(&[0, 1, 1, 0]),
            [0b1111_0110, 0b0000_1010, 0b1010_0000]
        );
    }

    #[test]
    fn emulation_prevention_is_removed_and_the_end_is_none() {
        let mut reader = BitReader::of_nal(&[0, 0, 3, 1]);
        assert_eq!(reader.bits(24), Some(1));
        assert_eq!(reader.bit(), None);
        assert_eq!(BitReader::of_nal(&[0; 8]).unsigned(), None);
    }
}
