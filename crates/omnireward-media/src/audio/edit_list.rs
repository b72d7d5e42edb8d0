//! The encoder's delay of a sound track in an MPEG-4 container.
//!
//! AAC begins with frames that only warm the decoder up. The container says so in the track's
//! edit list (ISO/IEC 14496-12, 8.6.6), which the container reader in use does not apply.

/// How many units of the track's own time lie before what is to be heard. Zero when the file does
/// not say, or says something more elaborate than one stretch.
pub(super) fn delay(bytes: &[u8], track_id: u32) -> u64 {
    track(bytes, track_id).and_then(edit_start).unwrap_or(0)
}

fn track(bytes: &[u8], id: u32) -> Option<&[u8]> {
    let moov = find(bytes, *b"moov")?;
    boxes(moov)
        .filter(|(kind, _)| *kind == *b"trak")
        .map(|(_, track)| track)
        .find(|track| track_id(track) == Some(id))
}

fn track_id(track: &[u8]) -> Option<u32> {
    let header = find(track, *b"tkhd")?;
    // The two times before it are twice as wide in version 1.
    let offset = if *header.first()? == 1 { 20 } else { 12 };
    Some(u32::from_be_bytes(
        header.get(offset..offset + 4)?.try_into().ok()?,
    ))
}

fn edit_start(track: &[u8]) -> Option<u64> {
    let edits = find(track, *b"edts")?;
    let list = find(edits, *b"elst")?;
    let wide = *list.first()? == 1;
    let entries = list.get(8..)?.chunks_exact(if wide { 20 } else { 12 });
    let mut starts = entries.filter_map(|entry| {
        let start = if wide {
            i64::from_be_bytes(entry[8..16].try_into().ok()?)
        } else {
            i64::from(i32::from_be_bytes(entry[4..8].try_into().ok()?))
        };
        // A negative start is a pause, not a stretch of the track.
        u64::try_from(start).ok()
    });
    let start = starts.next()?;
    starts.next().is_none().then_some(start)
}

fn find(bytes: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    boxes(bytes)
        .find(|(found, _)| *found == kind)
        .map(|(_, content)| content)
}

/// The boxes at one level, as kind and content. Ends at the first that does not fit.
fn boxes(mut rest: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (size, after) = rest.split_first_chunk::<4>()?;
        let (kind, after) = after.split_first_chunk::<4>()?;
        let (header, length) = match u32::from_be_bytes(*size) {
            0 => (8, rest.len()),
            1 => {
                let size = u64::from_be_bytes(*after.first_chunk::<8>()?);
                (16, usize::try_from(size).ok()?)
            }
            size => (8, size as usize),
        };
        let content = rest.get(header..length)?;
        rest = &rest[length..];
        Some((*kind, content))
    })
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
