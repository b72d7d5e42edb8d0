//! The frames of a `TFRecord` file, as `tensorflow/core/lib/io/record_writer.h` describes them: the length (8 bytes,
//! little-endian), its check sum, the data, their check sum.

/// Data in a frame.
pub(super) fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut frame = Vec::with_capacity(data.len() + 16);
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&masked_crc(&length).to_le_bytes());
    frame.extend_from_slice(data);
    frame.extend_from_slice(&masked_crc(data).to_le_bytes());
    frame
}

/// A CRC turned by 15 bits and shifted by a constant, since the CRC of data that hold their own CRC is weak
/// (`tensorflow/core/lib/hash/crc32c.h`).
pub(super) fn masked_crc(data: &[u8]) -> u32 {
    const SHIFT: u32 = 0xa282_ead8;
    crc32c(data).rotate_right(15).wrapping_add(SHIFT)
}

/// CRC-32C (Castagnoli): RFC 3720, section 12.1.
fn crc32c(data: &[u8]) -> u32 {
    let add = |crc: u32, byte: &u8| TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8);
    !data.iter().fold(!0, add)
}

/// The remainders of all bytes.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = remainder(byte as u32);
        byte += 1;
    }
    table
};

/// What is left of eight bits by the polynomial, with its bits in reversed order.
const fn remainder(byte: u32) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut rest = byte;
    let mut bit = 0;
    while bit < 8 {
        rest = (rest >> 1) ^ (POLYNOMIAL * (rest & 1));
        bit += 1;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_sums_are_castagnolis() {
        // The examples of RFC 3720, section B.4, and the usual check value.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&rising), 0x46dd_794e);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
