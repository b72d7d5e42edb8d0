//! The encoder's delay of a sound track in an MPEG-4 container.
//!
//! AAC begins with frames that only warm the decoder up. The container says so in the track's
//! edit list (ISO/IEC 14496-12, 8.6.6), which the container reader in use does not apply.

use crate::boxes::{TrackHeader, boxes, edits, find};

/// How many units of the track's own time lie before what is to be heard. Zero when the file does
/// not say, or says something more elaborate than one stretch.
pub(super) fn delay(bytes: &[u8], track_id: u32) -> u64 {
    let edits = track(bytes, track_id).and_then(edits).unwrap_or_default();
    match *edits {
        [edit] => edit.start,
        _ => 0,
    }
}

fn track(bytes: &[u8], id: u32) -> Option<&[u8]> {
    boxes(find(bytes, *b"moov")?)
        .filter(|found| found.kind == *b"trak")
        .map(|found| found.body)
        .find(|track| TrackHeader::parse(track).is_some_and(|header| header.id == id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
        let mut bytes = (8 + content.len() as u32).to_be_bytes().to_vec();
        bytes.extend(kind);
        bytes.extend(content);
        bytes
    }

    fn file(starts: &[i32]) -> Vec<u8> {
        let mut header = vec![0; 12];
        header.extend(7_u32.to_be_bytes());
        let mut list = vec![0; 4];
        list.extend((starts.len() as u32).to_be_bytes());
        for start in starts {
            list.extend(500_u32.to_be_bytes());
            list.extend(start.to_be_bytes());
            list.extend([0, 1, 0, 0]);
        }
        let edits = boxed(*b"edts", &boxed(*b"elst", &list));
        let track = [boxed(*b"tkhd", &header), edits].concat();
        [
            boxed(*b"ftyp", b"M4A "),
            boxed(*b"moov", &boxed(*b"trak", &track)),
        ]
        .concat()
    }

    #[test]
    fn one_stretch_gives_its_start_and_anything_else_nothing() {
        assert_eq!(delay(&file(&[1024]), 7), 1024);
        assert_eq!(delay(&file(&[-1, 2112]), 7), 2112);
        assert_eq!(delay(&file(&[0, 500]), 7), 0);
        assert_eq!(delay(&file(&[1024]), 8), 0);
        assert_eq!(delay(&file(&[]), 7), 0);
        assert_eq!(delay(b"", 7), 0);
        let whole = file(&[1024]);
        for length in 0..whole.len() {
            delay(&whole[..length], 7);
        }
    }
}
