//! The boxes that MPEG-4 files are made of (ISO/IEC 14496-12), and what video and sound both need
//! to know of a track.

use crate::fields::Fields;

/// A box, which the standard calls an atom in its `QuickTime` form.
pub(crate) struct Mp4Box<'a> {
    pub(crate) kind: [u8; 4],
    /// Where the box begins, header included, in the bytes that were searched.
    pub(crate) start: usize,
    pub(crate) body: &'a [u8],
}

/// The boxes in `bytes`, up to the first that is malformed or reaches past the end.
pub(crate) fn boxes(bytes: &[u8]) -> impl Iterator<Item = Mp4Box<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let mut header = Fields::new(bytes.get(start..)?);
        let size = header.u32()?;
        let kind = header.array()?;
        let (header_length, size) = match size {
            0 => (8, bytes.len() - start),
            1 => (16, usize::try_from(header.u64()?).ok()?),
            size => (8, size as usize),
        };
        let end = start.checked_add(size)?;
        let body = bytes.get(start + header_length..end)?;
        let found = Mp4Box { kind, start, body };
        start = end;
        Some(found)
    })
}

/// The content of the first box of a kind.
pub(crate) fn find(bytes: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    boxes(bytes)
        .find(|found| found.kind == kind)
        .map(|found| found.body)
}

/// Fields of a box that begins with a version and flags, and those two.
pub(crate) fn versioned(body: &[u8]) -> Option<(u8, u32, Fields<'_>)> {
    let mut fields = Fields::new(body);
    let version_and_flags = fields.u32()?;
    Some((
        (version_and_flags >> 24) as u8,
        version_and_flags & 0x00FF_FFFF,
        fields,
    ))
}

/// What the `tkhd` box of a track says.
#[derive(Clone, Copy)]
pub(crate) struct TrackHeader {
    pub(crate) id: u32,
    pub(crate) is_enabled: bool,
}

impl TrackHeader {
    /// Of a `trak` box.
    pub(crate) fn parse(track: &[u8]) -> Option<Self> {
        let (version, flags, mut header) = versioned(find(track, *b"tkhd")?)?;
        // The two times before it are twice as wide in version 1.
        header.skip(if version == 1 { 16 } else { 8 })?;
        Some(Self {
            id: header.u32()?,
            is_enabled: flags & 1 == 1,
        })
    }
}

/// A stretch of a track that is presented (§8.6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    /// In ticks of the movie; zero means to the end.
    pub(crate) length: u64,
    /// In ticks of the track.
    pub(crate) start: u64,
}

/// The edit list of a `trak` box, without the empty edits, which delay a track and present nothing
/// of it. `None` when there is no list or it is cut short.
pub(crate) fn edits(track: &[u8]) -> Option<Vec<Edit>> {
    let list = find(find(track, *b"edts")?, *b"elst")?;
    let (version, _, mut fields) = versioned(list)?;
    let count = fields.u32()?;
    let mut edits = Vec::new();
    for _ in 0..count {
        let (length, start) = if version == 1 {
            (fields.u64()?, fields.u64()?.cast_signed())
        } else {
            let (length, start) = (fields.u32()?, fields.u32()?);
            (u64::from(length), i64::from(start.cast_signed()))
        };
        fields.skip(4)?; // rate
        if let Ok(start) = u64::try_from(start) {
            edits.push(Edit { length, start });
        }
    }
    Some(edits)
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

    #[test]
    fn boxes_end_at_the_first_that_does_not_fit() {
        let mut bytes = boxed(*b"free", b"abc");
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(b"wide");
        bytes.extend(18_u64.to_be_bytes());
        bytes.extend(b"de");
        bytes.extend([0, 0, 0, 7]);
        bytes.extend(b"lessthanaheader");
        let found: Vec<_> = boxes(&bytes)
            .map(|found| (found.kind, found.start, found.body))
            .collect();
        assert_eq!(
            found,
            [(*b"free", 0, &b"abc"[..]), (*b"wide", 11, &b"de"[..])]
        );
        let to_the_end = [&[0, 0, 0, 0][..], b"mdatxyz"].concat();
        assert_eq!(find(&to_the_end, *b"mdat"), Some(&b"xyz"[..]));
    }

    #[test]
    fn wide_edits_and_ids_are_read() {
        let mut header = vec![1, 0, 0, 1];
        header.extend([0; 16]);
        header.extend(9_u32.to_be_bytes());
        let mut list = vec![1, 0, 0, 0, 0, 0, 0, 2];
        for (length, start) in [(5_u64, -1_i64), (1 << 40, 1 << 33)] {
            list.extend(length.to_be_bytes());
            list.extend(start.to_be_bytes());
            list.extend([0, 1, 0, 0]);
        }
        let whole = boxed(*b"edts", &boxed(*b"elst", &list));
        let track = [boxed(*b"tkhd", &header), whole].concat();
        let found = TrackHeader::parse(&track).unwrap();
        assert_eq!((found.id, found.is_enabled), (9, true));
        let expected = Edit {
            length: 1 << 40,
            start: 1 << 33,
        };
        assert_eq!(edits(&track), Some(vec![expected]));
        let cut = boxed(*b"edts", &boxed(*b"elst", &list[..list.len() - 1]));
        assert_eq!(edits(&cut), None);
    }
}
