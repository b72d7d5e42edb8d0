use std::fmt::Write;

use sha2::{Digest, Sha256};

/// SHA-256 of `parts` one after another, in hexadecimal.
pub(crate) fn sha256_hex<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string succeeds");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_digest_comes_out() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(["a", "bc"]), expected);
    }
}
