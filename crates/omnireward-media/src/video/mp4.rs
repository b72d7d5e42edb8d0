//! Finds the video stream of an MP4 file and its samples (ISO/IEC 14496-12), fragmented or not.
//!
//! The tables are read here rather than by a crate because the ones there are expand a table to as
//! many entries as it claims, and a file of a kilobyte can claim four thousand million.

use super::{
    h264_headers::{Framing, SequenceParameters},
    track::{Codec, Sample, Track},
};
use crate::{
    Error, Format, Limits,
    boxes::{Edit, TrackHeader, boxes, edits, find, versioned},
    fields::Fields,
};

/// The first enabled video stream, or the first video stream when none is enabled.
pub(super) fn demux(bytes: &[u8], limits: &Limits) -> Result<Track, Error> {
    let malformed = |reason: &str| Error::video("MP4", reason);
    let movie = find(bytes, *b"moov")
        .ok_or_else(|| malformed("there is no `moov` box, or the file is cut short"))?;
    let movie_ticks = find(movie, *b"mvhd")
        .and_then(parse_header_ticks)
        .ok_or_else(|| malformed("there is no readable `mvhd` box"))?;
    let streams: Vec<_> = boxes(movie)
        .filter(|found| found.kind == *b"trak")
        .filter_map(|found| Stream::find(found.body))
        .collect();
    let stream = streams
        .iter()
        .find(|stream| stream.is_enabled)
        .or(streams.first())
        .ok_or_else(|| malformed("there is no video stream"))?;

    let description =
        Description::parse(stream.table).ok_or_else(|| malformed("the `stsd` box is malformed"))?;
    let mut timed = tabled_samples(stream.table, limits)?;
    timed.extend(fragmented_samples(bytes, movie, stream.id, limits)?);
    let shown = stream.shown(movie_ticks);
    let is_shown = |time: i64| {
        shown.is_empty()
            || shown
                .iter()
                .any(|edit| (edit.start..edit.end).contains(&time))
    };
    let mut display: Vec<u32> = (0..timed.len() as u32)
        .filter(|&sample| is_shown(timed[sample as usize].sample.time))
        .collect();
    display.sort_by_key(|&sample| timed[sample as usize].sample.time);
    let ticks = match (display.first(), display.last()) {
        (Some(&first), Some(&last)) => {
            let (first, last) = (&timed[first as usize], &timed[last as usize]);
            last.sample.time.saturating_sub(first.sample.time).max(0) as u64
                + u64::from(last.duration)
        }
        _ => 0,
    };
    Track {
        format: Format::Mp4,
        codec: description.codec,
        width: description.width,
        height: description.height,
        samples: timed.into_iter().map(|timed| timed.sample).collect(),
        display,
        ticks_per_second: f64::from(stream.ticks_per_second),
        ticks,
    }
    .checked(bytes, limits)
}

/// Ticks per second, from an `mvhd` or `mdhd` box.
fn parse_header_ticks(body: &[u8]) -> Option<u32> {
    let (version, _, mut fields) = versioned(body)?;
    fields.skip(if version == 1 { 16 } else { 8 })?;
    fields.u32().filter(|ticks| *ticks > 0)
}

struct Stream<'a> {
    id: u32,
    is_enabled: bool,
    ticks_per_second: u32,
    edits: Vec<Edit>,
    table: &'a [u8],
}

impl<'a> Stream<'a> {
    /// Reads a `trak` box; `None` when it is not a video stream or is malformed.
    fn find(track: &'a [u8]) -> Option<Self> {
        let TrackHeader { id, is_enabled } = TrackHeader::parse(track)?;
        let media = find(track, *b"mdia")?;
        let mut handler = Fields::new(find(media, *b"hdlr")?);
        handler.skip(8)?;
        if handler.array()? != *b"vide" {
            return None;
        }
        Some(Self {
            id,
            is_enabled,
            ticks_per_second: parse_header_ticks(find(media, *b"mdhd")?)?,
            edits: edits(track).unwrap_or_default(),
            table: find(find(media, *b"minf")?, *b"stbl")?,
        })
    }

    /// The spans of the stream that are shown, in its ticks. None means all of it.
    fn shown(&self, movie_ticks: u32) -> Vec<Span> {
        self.edits
            .iter()
            .map(|edit| Span::of(edit, movie_ticks, self.ticks_per_second))
            .collect()
    }
}

struct Span {
    start: i64,
    end: i64,
}

impl Span {
    fn of(edit: &Edit, movie_ticks: u32, ticks_per_second: u32) -> Self {
        let clamped = |ticks: u128| i64::try_from(ticks).unwrap_or(i64::MAX);
        // Movie ticks become stream ticks, rounded to nearest; no length means to the end.
        let scaled = (u128::from(edit.length) * u128::from(ticks_per_second)
            + u128::from(movie_ticks / 2))
            / u128::from(movie_ticks);
        let start = clamped(u128::from(edit.start));
        let end = if edit.length == 0 {
            i64::MAX
        } else {
            start.saturating_add(clamped(scaled))
        };
        Self { start, end }
    }
}

struct Description {
    codec: Codec,
    width: u32,
    height: u32,
}

impl Description {
    /// Reads the first entry of the `stsd` box.
    fn parse(table: &[u8]) -> Option<Self> {
        const FIELDS_OF_A_VIDEO_ENTRY: usize = 78;
        let (_, _, mut fields) = versioned(find(table, *b"stsd")?)?;
        let entries = fields.u32()?;
        let entry = boxes(fields.rest()).next()?;
        let mut header = Fields::new(entry.body);
        header.skip(24)?;
        let (width, height) = (u32::from(header.u16()?), u32::from(header.u16()?));
        let extensions = entry.body.get(FIELDS_OF_A_VIDEO_ENTRY..)?;
        let is_h264 = matches!(&entry.kind, b"avc1" | b"avc3");
        let (codec, size) = if is_h264 && entries == 1 {
            let (codec, parameters) = parse_h264_configuration(find(extensions, *b"avcC")?)?;
            (codec, (parameters.width, parameters.height))
        } else {
            (other_codec(entry.kind), (width, height))
        };
        Some(Self {
            codec,
            width: size.0,
            height: size.1,
        })
    }
}

/// Reads an `avcC` box (ISO/IEC 14496-15 §5.3.3.1).
pub(super) fn parse_h264_configuration(body: &[u8]) -> Option<(Codec, SequenceParameters)> {
    let mut fields = Fields::new(body);
    fields.skip(4)?; // version, profile, compatibility, level
    let framing = Framing::Lengths(usize::from(fields.u8()? & 3) + 1);
    let mut parameter_sets = Vec::new();
    let sequence_sets = fields.u8()? & 0x1F;
    for _ in 0..sequence_sets {
        parameter_sets.push(read_parameter_set(&mut fields)?);
    }
    let parameters = SequenceParameters::parse(parameter_sets.first()?)?;
    let picture_sets = fields.u8()?;
    for _ in 0..picture_sets {
        parameter_sets.push(read_parameter_set(&mut fields)?);
    }
    Some((Codec::h264(framing, parameters, parameter_sets), parameters))
}

fn read_parameter_set(fields: &mut Fields<'_>) -> Option<Vec<u8>> {
    let length = fields.u16()?;
    let set = fields.take(usize::from(length))?;
    (!set.is_empty()).then(|| set.to_vec())
}

fn other_codec(kind: [u8; 4]) -> Codec {
    let (name, description) = match &kind {
        b"avc1" | b"avc3" => ("h264", "H.264 video whose parameters change"),
        b"hvc1" | b"hev1" => ("hevc", "HEVC video"),
        b"vp08" => ("vp8", "VP8 video"),
        b"vp09" => ("vp9", "VP9 video"),
        b"av01" => ("av1", "AV1 video"),
        b"mp4v" => ("mpeg4", "MPEG-4 part 2 video"),
        _ => {
            let name = kind.escape_ascii().to_string();
            let description = format!("`{name}` video");
            return Codec::Other { name, description };
        }
    };
    Codec::Other {
        name: name.to_owned(),
        description: description.to_owned(),
    }
}

struct TimedSample {
    sample: Sample,
    duration: u32,
}

/// The samples that the tables of `moov` list; none when the file is fragmented.
fn tabled_samples(table: &[u8], limits: &Limits) -> Result<Vec<TimedSample>, Error> {
    let malformed =
        |name: &str| Error::video("MP4", format!("the `{name}` box is missing or malformed"));
    let sizes = find(table, *b"stsz")
        .and_then(Sizes::parse)
        .ok_or_else(|| malformed("stsz"))?;
    if sizes.count == 0 {
        return Ok(Vec::new());
    }
    limits.check_frames(u64::from(sizes.count))?;
    let count = sizes.count as usize;
    let offsets = sample_offsets(table, &sizes).ok_or_else(|| malformed("stco"))?;
    let durations = find(table, *b"stts")
        .and_then(|body| expand_runs(body, count))
        .ok_or_else(|| malformed("stts"))?;
    let delays = match find(table, *b"ctts") {
        Some(body) => expand_runs(body, count).ok_or_else(|| malformed("ctts"))?,
        None => vec![0; count],
    };
    let sync = match find(table, *b"stss") {
        Some(body) => Some(parse_sync_samples(body).ok_or_else(|| malformed("stss"))?),
        None => None,
    };
    let mut decode_time = 0_i64;
    let mut samples = Vec::with_capacity(count);
    for (index, offset) in offsets.into_iter().enumerate() {
        let size = u64::from(sizes.get(index).ok_or_else(|| malformed("stsz"))?);
        let duration = durations[index];
        samples.push(TimedSample {
            sample: Sample {
                range: byte_range(offset, size),
                // Offsets are signed in practice whatever the version of the box says.
                time: decode_time.saturating_add(i64::from(delays[index] as i32)),
                is_sync: sync
                    .as_ref()
                    .is_none_or(|sync| sync.binary_search(&(index as u32 + 1)).is_ok()),
            },
            duration,
        });
        decode_time = decode_time.saturating_add(i64::from(duration));
    }
    Ok(samples)
}

/// A range that may lie past the end of the file, which is found out later.
fn byte_range(offset: u64, size: u64) -> std::ops::Range<usize> {
    let clamp = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
    clamp(offset)..clamp(offset.saturating_add(size))
}

struct Sizes<'a> {
    count: u32,
    common: u32,
    each: &'a [u8],
}

impl<'a> Sizes<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let (_, _, mut fields) = versioned(body)?;
        let common = fields.u32()?;
        let count = fields.u32()?;
        Some(Self {
            count,
            common,
            each: fields.rest(),
        })
    }

    fn get(&self, index: usize) -> Option<u32> {
        if self.common != 0 {
            return Some(self.common);
        }
        let bytes = self.each.get(index * 4..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    }
}

/// Where each sample begins: chunks have an offset each, and runs of chunks have equally many
/// samples (ISO/IEC 14496-12 §8.7.4).
fn sample_offsets(table: &[u8], sizes: &Sizes<'_>) -> Option<Vec<u64>> {
    let chunks = chunk_offsets(table)?;
    let (_, _, mut runs) = versioned(find(table, *b"stsc")?)?;
    let run_count = runs.u32()?;
    let mut offsets = Vec::with_capacity(sizes.count as usize);
    let mut run = (runs.u32()?, runs.u32()?, runs.u32()?);
    let mut runs_left = run_count.checked_sub(1)?;
    let mut next_run = read_next_run(&mut runs, &mut runs_left)?;
    for (chunk, &start) in (1_u32..).zip(&chunks) {
        while let Some(next) = next_run
            && chunk >= next.0
        {
            run = next;
            next_run = read_next_run(&mut runs, &mut runs_left)?;
        }
        let mut offset = start;
        for _ in 0..run.1 {
            if offsets.len() == sizes.count as usize {
                return Some(offsets);
            }
            offsets.push(offset);
            offset = offset.saturating_add(u64::from(sizes.get(offsets.len() - 1)?));
        }
    }
    (offsets.len() == sizes.count as usize).then_some(offsets)
}

/// The next entry of `stsc` (first chunk, samples for each chunk, description), `Some(None)` after
/// the last.
#[expect(
    clippy::option_option,
    reason = "the outer one is a table cut short, the inner one its end"
)]
fn read_next_run(fields: &mut Fields<'_>, left: &mut u32) -> Option<Option<(u32, u32, u32)>> {
    if *left == 0 {
        return Some(None);
    }
    *left -= 1;
    Some(Some((fields.u32()?, fields.u32()?, fields.u32()?)))
}

fn chunk_offsets(table: &[u8]) -> Option<Vec<u64>> {
    let (body, width) = match find(table, *b"stco") {
        Some(body) => (body, 4),
        None => (find(table, *b"co64")?, 8),
    };
    let (_, _, mut fields) = versioned(body)?;
    let count = fields.u32()? as usize;
    let entries = fields.take(count.checked_mul(width)?)?;
    Some(
        entries
            .chunks_exact(width)
            .map(|entry| {
                entry
                    .iter()
                    .fold(0, |offset, &byte| offset << 8 | u64::from(byte))
            })
            .collect(),
    )
}

/// Expands (count, value) runs to exactly `count` values. The last value is repeated when the runs
/// are too few, and runs beyond are not looked at.
fn expand_runs(body: &[u8], count: usize) -> Option<Vec<u32>> {
    let (_, _, mut fields) = versioned(body)?;
    let runs = fields.u32()?;
    let mut values = Vec::with_capacity(count);
    for _ in 0..runs {
        let (length, value) = (fields.u32()? as usize, fields.u32()?);
        let wanted = length.min(count - values.len());
        values.extend(std::iter::repeat_n(value, wanted));
        if values.len() == count {
            return Some(values);
        }
    }
    let last = values.last().copied()?;
    values.resize(count, last);
    Some(values)
}

/// Numbers of the samples at which decoding can start, counted from 1, ascending.
fn parse_sync_samples(body: &[u8]) -> Option<Vec<u32>> {
    let (_, _, mut fields) = versioned(body)?;
    let count = fields.u32()? as usize;
    let mut sync: Vec<u32> = fields
        .take(count.checked_mul(4)?)?
        .as_chunks()
        .0
        .iter()
        .map(|entry| u32::from_be_bytes(*entry))
        .collect();
    sync.sort_unstable();
    Some(sync)
}

/// The samples of a fragmented file (ISO/IEC 14496-12 §8.8).
fn fragmented_samples(
    bytes: &[u8],
    movie: &[u8],
    stream: u32,
    limits: &Limits,
) -> Result<Vec<TimedSample>, Error> {
    // A file has more samples of sound than frames, but not endlessly more.
    const SAMPLES_FOR_A_FRAME: u64 = 16;
    let malformed = || Error::video("MP4", "a fragment is malformed");
    let defaults = find(movie, *b"mvex")
        .and_then(|extends| parse_defaults(extends, stream))
        .unwrap_or_default();
    let mut entries = 0_u64;
    let mut samples = Vec::new();
    let mut decode_time = 0;
    for fragment in boxes(bytes).filter(|found| found.kind == *b"moof") {
        let mut data_end = fragment.start as u64;
        for part in boxes(fragment.body).filter(|found| found.kind == *b"traf") {
            let header = FragmentHeader::parse(part.body, defaults).ok_or_else(malformed)?;
            if let Some(time) = find(part.body, *b"tfdt").and_then(parse_decode_time)
                && header.stream == stream
            {
                decode_time = time;
            }
            // Each run begins where the one before ended, unless it says otherwise.
            let base = header.base.unwrap_or(if header.base_is_fragment {
                fragment.start as u64
            } else {
                data_end
            });
            let mut offset = base;
            for run in boxes(part.body).filter(|found| found.kind == *b"trun") {
                let run = Run::parse(run.body).ok_or_else(malformed)?;
                entries += u64::from(run.count);
                limits.check_frames(entries / SAMPLES_FOR_A_FRAME)?;
                if let Some(from_base) = run.offset {
                    offset = base.saturating_add_signed(from_base);
                }
                let read = run
                    .samples(
                        &header.defaults,
                        &mut offset,
                        &mut decode_time,
                        header.stream == stream,
                    )
                    .ok_or_else(malformed)?;
                samples.extend(read);
                limits.check_frames(samples.len() as u64)?;
            }
            data_end = offset;
        }
    }
    Ok(samples)
}

/// What samples of a fragment have unless it says otherwise.
#[derive(Clone, Copy, Default)]
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

fn parse_defaults(extends: &[u8], stream: u32) -> Option<Defaults> {
    boxes(extends)
        .filter(|found| found.kind == *b"trex")
        .find_map(|found| {
            let (_, _, mut fields) = versioned(found.body)?;
            if fields.u32()? != stream {
                return None;
            }
            fields.skip(4)?;
            Some(Defaults {
                duration: fields.u32()?,
                size: fields.u32()?,
                flags: fields.u32()?,
            })
        })
}

fn parse_decode_time(body: &[u8]) -> Option<i64> {
    let (version, _, mut fields) = versioned(body)?;
    if version == 1 {
        i64::try_from(fields.u64()?).ok()
    } else {
        fields.u32().map(i64::from)
    }
}

struct FragmentHeader {
    stream: u32,
    base: Option<u64>,
    base_is_fragment: bool,
    defaults: Defaults,
}

impl FragmentHeader {
    fn parse(part: &[u8], mut defaults: Defaults) -> Option<Self> {
        let (_, flags, mut fields) = versioned(find(part, *b"tfhd")?)?;
        let has = |flag: u32| flags & flag != 0;
        let stream = fields.u32()?;
        let base = if has(0x1) { Some(fields.u64()?) } else { None };
        if has(0x2) {
            fields.skip(4)?; // description
        }
        if has(0x8) {
            defaults.duration = fields.u32()?;
        }
        if has(0x10) {
            defaults.size = fields.u32()?;
        }
        if has(0x20) {
            defaults.flags = fields.u32()?;
        }
        Some(Self {
            stream,
            base,
            base_is_fragment: has(0x2_0000),
            defaults,
        })
    }
}

struct Run<'a> {
    flags: u32,
    count: u32,
    offset: Option<i64>,
    first_flags: Option<u32>,
    fields: Fields<'a>,
}

impl<'a> Run<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let (_, flags, mut fields) = versioned(body)?;
        let count = fields.u32()?;
        let offset = if flags & 0x1 != 0 {
            Some(i64::from(fields.u32()? as i32))
        } else {
            None
        };
        let first_flags = if flags & 0x4 != 0 {
            Some(fields.u32()?)
        } else {
            None
        };
        Some(Self {
            flags,
            count,
            offset,
            first_flags,
            fields,
        })
    }

    /// Reads the run's samples, moving `offset` past them; those of other streams are passed over.
    fn samples(
        mut self,
        defaults: &Defaults,
        offset: &mut u64,
        decode_time: &mut i64,
        is_wanted: bool,
    ) -> Option<Vec<TimedSample>> {
        const IS_NOT_SYNC: u32 = 1 << 16;
        let flags = self.flags;
        let mut samples = Vec::new();
        for index in 0..self.count {
            let mut read = |flag: u32, default: u32| {
                if flags & flag != 0 {
                    self.fields.u32()
                } else {
                    Some(default)
                }
            };
            let duration = read(0x100, defaults.duration)?;
            let size = read(0x200, defaults.size)?;
            let mut sample_flags = read(0x400, defaults.flags)?;
            let delay = read(0x800, 0)? as i32;
            if index == 0
                && let Some(first) = self.first_flags
            {
                sample_flags = first;
            }
            if is_wanted {
                samples.push(TimedSample {
                    sample: Sample {
                        range: byte_range(*offset, u64::from(size)),
                        time: decode_time.saturating_add(i64::from(delay)),
                        is_sync: sample_flags & IS_NOT_SYNC == 0,
                    },
                    duration,
                });
                *decode_time = decode_time.saturating_add(i64::from(duration));
            }
            *offset = offset.saturating_add(u64::from(size));
        }
        Some(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_parameter_set_is_malformed() {
        assert!(parse_h264_configuration(&[1, 66, 0, 30, 0xFF, 0xE1, 0, 0, 0]).is_none());
    }

    #[test]
    fn boxes_end_where_one_lies_about_its_size() {
        let bytes = [
            0, 0, 0, 9, b'f', b'r', b'e', b'e', 7, 0, 0, 0, 3, b'm', b'o', b'o', b'v',
        ];
        let found: Vec<_> = boxes(&bytes)
            .map(|found| (found.kind, found.body))
            .collect();
        assert_eq!(found, [(*b"free", &[7][..])]);
        assert!(boxes(&[0xFF; 64]).next().is_none());
    }

    #[test]
    fn runs_expand_to_what_is_asked_and_no_further() {
        let body = [&[0; 4][..], &[0, 0, 0, 1], &[0xFF; 4], &[0, 0, 0, 5]].concat();
        assert_eq!(expand_runs(&body, 3), Some(vec![5; 3]));
        assert_eq!(expand_runs(&body[..10], 3), None);
    }
}
