//! Finds the video stream of an AVI file and its samples, by walking the chunks themselves: an
//! index may be missing or wrong.

use super::{
    h264_headers::{
        DisplayCounter, Framing, PictureOrder, SPS, SequenceParameters, is_slice, nal_type,
    },
    mp4::parse_h264_configuration,
    track::{Codec, H264, Sample, Track, is_idr},
};
use crate::{Error, Format, Limits, fields::Fields};

/// The first video stream.
pub(super) fn demux(bytes: &[u8], limits: &Limits) -> Result<Track, Error> {
    let malformed = |reason: &str| Error::video("AVI", reason);
    let mut stream = None;
    let mut samples = Vec::new();
    let mut periods = 0;
    for segment in chunks(bytes).filter(|chunk| chunk.kind == *b"RIFF") {
        for list in chunks(segment.list_body()) {
            match list.list_kind() {
                Some(b"hdrl") if stream.is_none() => stream = Stream::find(list.list_body()),
                Some(b"movi") => {
                    let stream = stream
                        .as_ref()
                        .ok_or_else(|| malformed("there is no readable video stream"))?;
                    let first = list.body_start(segment.body_start(0) + 4) + 4;
                    walk_movie(
                        list.list_body(),
                        first,
                        stream,
                        &mut samples,
                        &mut periods,
                        limits,
                    )?;
                    if list.is_cut {
                        return Err(malformed("the file is cut short"));
                    }
                }
                _ => {}
            }
        }
    }
    let stream = stream.ok_or_else(|| malformed("there is no readable video stream"))?;
    if samples.is_empty() {
        return Err(malformed("the video stream has no frames"));
    }
    let (codec, size) = stream.codec(bytes, &samples);
    let display = match &codec {
        Codec::H264(h264) => sort_for_display(bytes, h264, &mut samples),
        Codec::Other { .. } => (0..samples.len() as u32).collect(),
    };
    Track {
        format: Format::Avi,
        codec,
        width: size.0,
        height: size.1,
        samples,
        display,
        ticks_per_second: f64::from(stream.rate) / f64::from(stream.scale),
        ticks: periods,
    }
    .checked(bytes, limits)
}

struct Chunk<'a> {
    kind: [u8; 4],
    /// Where the chunk begins, header included, in the bytes that were walked.
    start: usize,
    body: &'a [u8],
    /// Whether the file ends before the chunk does.
    is_cut: bool,
}

impl<'a> Chunk<'a> {
    fn list_kind(&self) -> Option<&'a [u8; 4]> {
        (self.kind == *b"LIST").then(|| self.body.first_chunk())?
    }

    /// What a `LIST` or `RIFF` chunk holds after its kind.
    fn list_body(&self) -> &'a [u8] {
        self.body.get(4..).unwrap_or_default()
    }

    /// Where the body begins in the file, when what was walked begins at `base`.
    fn body_start(&self, base: usize) -> usize {
        base + self.start + 8
    }
}

/// The chunks in `bytes`. The last may reach past the end.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let mut header = Fields::new(bytes.get(start..)?);
        let kind = header.array()?;
        let size = header.u32_le()? as usize;
        let rest = header.rest();
        let chunk = Chunk {
            kind,
            start,
            body: &rest[..size.min(rest.len())],
            is_cut: size > rest.len(),
        };
        // Chunks begin at even positions.
        start = start.saturating_add(8 + size + size % 2);
        Some(chunk)
    })
}

struct Stream {
    number: usize,
    rate: u32,
    scale: u32,
    kind: [u8; 4],
    width: u32,
    height: u32,
    extra: Vec<u8>,
}

impl Stream {
    fn find(header: &[u8]) -> Option<Self> {
        chunks(header)
            .filter(|chunk| chunk.list_kind() == Some(b"strl"))
            .enumerate()
            .find_map(|(number, list)| Self::parse(number, list.list_body()))
    }

    fn parse(number: usize, list: &[u8]) -> Option<Self> {
        let part = |kind: [u8; 4]| {
            chunks(list)
                .find(|chunk| chunk.kind == kind)
                .map(|chunk| chunk.body)
        };
        let mut header = Fields::new(part(*b"strh")?);
        if header.array()? != *b"vids" {
            return None;
        }
        header.skip(16)?;
        let (scale, rate) = (header.u32_le()?, header.u32_le()?);
        let mut format = Fields::new(part(*b"strf")?);
        format.skip(4)?;
        let (width, height) = (format.u32_le()? as i32, format.u32_le()? as i32);
        format.skip(4)?;
        let kind = format.array()?;
        format.skip(20)?;
        (scale > 0 && rate > 0).then(|| Self {
            number,
            rate,
            scale,
            kind,
            width: width.unsigned_abs(),
            // A negative height means rows from the top.
            height: height.unsigned_abs(),
            extra: format.rest().to_vec(),
        })
    }

    /// Whether a chunk, such as `00dc`, holds a frame of this stream.
    fn owns(&self, kind: [u8; 4]) -> bool {
        let [tens, ones, b'd', b'c' | b'b'] = kind else {
            return false;
        };
        let digit = |byte: u8| char::from(byte).to_digit(10).map(|digit| digit as usize);
        matches!((digit(tens), digit(ones)), (Some(tens), Some(ones)) if tens * 10 + ones == self.number)
    }

    /// How the frames are coded, and their size.
    fn codec(&self, bytes: &[u8], samples: &[Sample]) -> (Codec, (u32, u32)) {
        let declared = (self.width, self.height);
        let name = self.kind.escape_ascii().to_string().to_lowercase();
        if !matches!(&*name, "h264" | "x264" | "avc1" | "davc" | "vssh") {
            return (other_codec(name), declared);
        }
        match self.h264(&bytes[samples[0].range.clone()]) {
            Some((_, parameters)) if parameters.picture_order == PictureOrder::Cycle => {
                let codec = Codec::Other {
                    name: "h264".to_owned(),
                    description: "H.264 video whose frames are ordered in a cycle".to_owned(),
                };
                (codec, (parameters.width, parameters.height))
            }
            Some((codec, parameters)) => (codec, (parameters.width, parameters.height)),
            None => {
                let codec = Codec::Other {
                    name: "h264".to_owned(),
                    description: "H.264 video that does not begin with its parameters".to_owned(),
                };
                (codec, declared)
            }
        }
    }

    fn h264(&self, first: &[u8]) -> Option<(Codec, SequenceParameters)> {
        let has_start_code = first.starts_with(&[0, 0, 1]) || first.starts_with(&[0, 0, 0, 1]);
        if !has_start_code && self.extra.first() == Some(&1) {
            return parse_h264_configuration(&self.extra);
        }
        let beside = Framing::StartCodes.nals(&self.extra)?;
        let nals = Framing::StartCodes.nals(first)?;
        let parameters = beside
            .iter()
            .chain(&nals)
            .find(|nal| nal_type(nal) == SPS)
            .and_then(|nal| SequenceParameters::parse(nal))?;
        let beside = beside.into_iter().map(<[u8]>::to_vec).collect();
        Some((
            Codec::h264(Framing::StartCodes, parameters, beside),
            parameters,
        ))
    }
}

fn other_codec(name: String) -> Codec {
    let (name, description) = match &*name {
        "xvid" | "divx" | "dx50" | "fmp4" | "mp4v" => ("mpeg4", "MPEG-4 part 2 video"),
        "mjpg" => ("mjpeg", "motion JPEG video"),
        "vp80" => ("vp8", "VP8 video"),
        "hevc" | "hvc1" | "h265" => ("hevc", "HEVC video"),
        _ => {
            let description = format!("`{name}` video");
            return Codec::Other { name, description };
        }
    };
    Codec::Other {
        name: name.to_owned(),
        description: description.to_owned(),
    }
}

/// Collects the frames of a `movi` list, whose contents begin at `base` in the file. `periods`
/// counts frames shown, which an empty chunk prolongs.
fn walk_movie(
    body: &[u8],
    base: usize,
    stream: &Stream,
    samples: &mut Vec<Sample>,
    periods: &mut u64,
    limits: &Limits,
) -> Result<(), Error> {
    for chunk in chunks(body) {
        if chunk.list_kind() == Some(b"rec ") {
            let inner = chunk.body_start(base) + 4;
            for chunk in chunks(chunk.list_body()) {
                collect(&chunk, inner, stream, samples, periods, limits)?;
            }
        } else {
            collect(&chunk, base, stream, samples, periods, limits)?;
        }
    }
    Ok(())
}

fn collect(
    chunk: &Chunk<'_>,
    base: usize,
    stream: &Stream,
    samples: &mut Vec<Sample>,
    periods: &mut u64,
    limits: &Limits,
) -> Result<(), Error> {
    if !stream.owns(chunk.kind) {
        return Ok(());
    }
    if chunk.is_cut {
        return Err(Error::video("AVI", "the file is cut short"));
    }
    if !chunk.body.is_empty() {
        let start = chunk.body_start(base);
        samples.push(Sample {
            range: start..start + chunk.body.len(),
            time: *periods as i64,
            is_sync: false,
        });
    }
    *periods += 1;
    limits.check_frames(*periods)
}

/// Finds the display order from the pictures themselves, because an AVI does not tell it, and
/// where decoding can start.
fn sort_for_display(bytes: &[u8], h264: &H264, samples: &mut [Sample]) -> Vec<u32> {
    let mut counter = DisplayCounter::new(h264.parameters);
    let mut keys = Vec::with_capacity(samples.len());
    for sample in samples.iter_mut() {
        let data = &bytes[sample.range.clone()];
        sample.is_sync = is_idr(h264.framing, data);
        let nals = h264.framing.nals(data).unwrap_or_default();
        let slice = nals.iter().find(|nal| is_slice(nal));
        keys.push(slice.and_then(|slice| counter.next(slice)));
    }
    let mut display: Vec<u32> = (0..samples.len() as u32).collect();
    if keys.iter().all(Option::is_some) {
        display.sort_by_key(|&sample| keys[sample as usize]);
    }
    // The container's times count coded frames; the nth shown takes the nth time.
    let times: Vec<i64> = samples.iter().map(|sample| sample.time).collect();
    for (&sample, time) in display.iter().zip(times) {
        samples[sample as usize].time = time;
    }
    display
}
