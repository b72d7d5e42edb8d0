//! Decodes H.264 with `OpenH264`, which cargo builds.
//!
//! This is the one module that calls C. The contract with the library is narrow: it is given one
//! access unit at a time, whose NAL units are coded slices and parameter sets of the size that was
//! checked when the file was opened, and it lends planes that are read before it is called again.
//! The library's wrapper is not used for decoding because it neither passes the number of a sample
//! in nor gives it back, and the library's own display order is not reliable (see [`as_baseline`]).
#![expect(unsafe_code, reason = "the decoder is a C++ library")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, ptr, slice,
};

use ::image::RgbImage;
use openh264::{
    OpenH264API,
    decoder::{Decoder as Library, DecoderConfig},
};
use openh264_sys2::SBufferInfo;

use super::{
    h264_headers::{
        IDR_SLICE, PPS, SLICE, SPS, SequenceParameters, as_baseline, is_reference, is_slice,
        nal_type,
    },
    pixels::{Planes, to_rgb},
    track::{H264, Track, is_idr},
};
use crate::{Error, Limits, error::LimitKind};

/// Decodes the samples numbered in `wanted`, and as few others as that takes: from the last IDR
/// picture before each, leaving out pictures that no other is predicted from.
pub(super) fn decode(
    bytes: &[u8],
    track: &Track,
    h264: &H264,
    wanted: &BTreeSet<u32>,
    limits: &Limits,
) -> Result<BTreeMap<u32, RgbImage>, Error> {
    let mut session = Session {
        track,
        h264,
        bytes,
        wanted,
        decoder: Decoder::new(track)?,
        access_unit: Vec::new(),
        pictures: BTreeMap::new(),
        pixels_left: work_limit(limits),
    };
    let mut position = 0;
    for &sample in wanted {
        position = position.max(session.entry_point(sample));
        while position <= sample {
            session.feed(position, limits)?;
            position += 1;
        }
    }
    match wanted
        .iter()
        .find(|sample| !session.pictures.contains_key(sample))
    {
        Some(sample) => Err(session.failed(*sample, None)),
        None => Ok(session.pictures),
    }
}

/// How many pixels may be decoded on the way to the wanted frames: a thousand of the largest
/// pictures. A small file can hold very many very large pictures in which nothing moves.
pub(super) fn work_limit(limits: &Limits) -> u64 {
    limits.pixels.saturating_mul(1024)
}

/// Takes a picture from what may still be decoded.
pub(super) fn spend_work(
    left: &mut u64,
    width: u32,
    height: u32,
    limits: &Limits,
) -> Result<(), Error> {
    let pixels = u64::from(width) * u64::from(height);
    *left = left.checked_sub(pixels).ok_or(Error::LimitExceeded {
        limit: LimitKind::DecodedPixels,
        max: work_limit(limits) as f64,
        found: (work_limit(limits) - *left + pixels) as f64,
    })?;
    Ok(())
}

struct Session<'a> {
    track: &'a Track,
    h264: &'a H264,
    bytes: &'a [u8],
    wanted: &'a BTreeSet<u32>,
    decoder: Decoder,
    access_unit: Vec<u8>,
    pictures: BTreeMap<u32, RgbImage>,
    pixels_left: u64,
}

impl<'a> Session<'a> {
    /// The sample from which decoding has to start to reach `sample`.
    ///
    /// A picture that is coded after an entry point and shown before it may be predicted from
    /// earlier ones, so the entry point must come first in both orders.
    fn entry_point(&self, sample: u32) -> u32 {
        let samples = &self.track.samples;
        let time = samples[sample as usize].time;
        (0..=sample)
            .rev()
            .find(|&entry| {
                let entry = &samples[entry as usize];
                entry.is_sync
                    && entry.time <= time
                    && is_idr(self.h264.framing, &self.bytes[entry.range.clone()])
            })
            .unwrap_or(0)
    }

    fn feed(&mut self, sample: u32, limits: &Limits) -> Result<(), Error> {
        let nals = self.nals(sample)?;
        let is_wanted = self.wanted.contains(&sample);
        if !is_wanted && !nals.iter().any(|nal| is_slice(nal) && is_reference(nal)) {
            return Ok(());
        }
        spend_work(
            &mut self.pixels_left,
            self.track.width,
            self.track.height,
            limits,
        )?;
        self.access_unit.clear();
        let h264 = self.h264;
        if nals.iter().any(|nal| nal_type(nal) == IDR_SLICE) {
            for set in &h264.parameter_sets {
                self.add_nal(set, sample)?;
            }
        }
        for nal in nals {
            self.add_nal(nal, sample)?;
        }
        let mut keep = keep_wanted(self.h264, self.wanted, &mut self.pictures);
        let decoded = self.decoder.decode(&self.access_unit, sample, &mut keep);
        drop(keep);
        decoded.map_err(|state| self.failed(sample, Some(state)))
    }

    fn nals(&self, sample: u32) -> Result<Vec<&'a [u8]>, Error> {
        let range = self.track.samples[sample as usize].range.clone();
        self.h264
            .framing
            .nals(&self.bytes[range])
            .ok_or_else(|| self.failed(sample, None))
    }

    /// Adds what a decoder of this one stream needs; layers, hints and padding are left out.
    fn add_nal(&mut self, nal: &[u8], sample: u32) -> Result<(), Error> {
        match nal_type(nal) {
            SPS => {
                let is_same = SequenceParameters::parse(nal).is_some_and(|parameters| {
                    (parameters.width, parameters.height) == (self.track.width, self.track.height)
                        && parameters.beyond_builtin_decoder().is_none()
                });
                if !is_same {
                    return Err(self.failed(sample, None).caused_by(
                        "the size or kind of the pictures changes in the middle of the stream",
                    ));
                }
            }
            SLICE | IDR_SLICE | PPS => {}
            _ => return Ok(()),
        }
        self.access_unit.extend([0, 0, 0, 1]);
        if nal_type(nal) == SPS {
            let rewritten = as_baseline(nal).ok_or_else(|| self.failed(sample, None))?;
            self.access_unit.extend(rewritten);
        } else {
            self.access_unit.extend(nal);
        }
        Ok(())
    }

    fn failed(&self, sample: u32, state: Option<DecodingState>) -> Error {
        let error = Error::video(
            self.track.format.name(),
            format!("coded picture {sample} of the H.264 stream is damaged"),
        );
        match state {
            Some(state) => error.caused_by(state),
            None => error,
        }
    }
}

/// Converts the pictures that are wanted; the others cost nothing more.
fn keep_wanted<'a>(
    h264: &'a H264,
    wanted: &'a BTreeSet<u32>,
    pictures: &'a mut BTreeMap<u32, RgbImage>,
) -> impl FnMut(u32, &Planes<'_>) + 'a {
    move |sample, planes| {
        if wanted.contains(&sample) {
            pictures.insert(sample, to_rgb(planes, h264.parameters.colors));
        }
    }
}

/// `OpenH264`'s `DECODING_STATE`: a set of bits, none of which is set when all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DecodingState(i64);

impl fmt::Display for DecodingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the decoder reports state {:#x}", self.0)
    }
}

impl std::error::Error for DecodingState {}

struct Decoder {
    library: Library,
    width: usize,
    height: usize,
}

impl Decoder {
    fn new(track: &Track) -> Result<Self, Error> {
        let library =
            Library::with_api_config(OpenH264API::from_source(), DecoderConfig::default())
                .map_err(|cause| {
                    Error::video(track.format.name(), "the H.264 decoder could not be made")
                        .caused_by(cause)
                })?;
        Ok(Self {
            library,
            width: track.width as usize,
            height: track.height as usize,
        })
    }

    /// Decodes one access unit and hands over the pictures that come out, each with the number of
    /// the sample it was decoded from.
    fn decode(
        &mut self,
        access_unit: &[u8],
        sample: u32,
        take: &mut dyn FnMut(u32, &Planes<'_>),
    ) -> Result<(), DecodingState> {
        let length = i32::try_from(access_unit.len()).map_err(|_| DecodingState(-1))?;
        // The second call, without data, says that the access unit is whole.
        for (data, length) in [(access_unit.as_ptr(), length), (ptr::null(), 0)] {
            let mut planes = [ptr::null_mut::<u8>(); 3];
            let mut info = SBufferInfo {
                uiInBsTimeStamp: u64::from(sample) + 1,
                ..SBufferInfo::default()
            };
            // SAFETY: `data` points at `length` bytes that outlive the call, or is null with no
            // length; `planes` and `info` are live and of the types that the library fills in.
            let state = unsafe {
                self.library.raw_api().decode_frame2(
                    data,
                    length,
                    (&raw mut planes).cast(),
                    &raw mut info,
                )
            };
            if state != 0 {
                return Err(DecodingState(i64::from(state)));
            }
            self.lend(planes, &info, take)?;
        }
        Ok(())
    }

    /// Hands over a picture, if there is one.
    fn lend(
        &self,
        planes: [*mut u8; 3],
        info: &SBufferInfo,
        take: &mut dyn FnMut(u32, &Planes<'_>),
    ) -> Result<(), DecodingState> {
        if info.iBufferStatus != 1 || planes.iter().any(|plane| plane.is_null()) {
            return Ok(());
        }
        // SAFETY: the library fills in this member of the union whenever a picture is ready.
        let system = unsafe { info.UsrData.sSystemBuffer };
        let size = (system.iWidth as usize, system.iHeight as usize);
        if size != (self.width, self.height) {
            return Err(DecodingState(-1));
        }
        let [luma_stride, chroma_stride] = system.iStride.map(|stride| stride as usize);
        let (chroma_width, chroma_height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let plane = |pointer: *mut u8, stride: usize, width: usize, height: usize| {
            // SAFETY: the library keeps `height` rows of at least `width` bytes, `stride` apart,
            // until it is called again, and nothing writes to them before that.
            unsafe { slice::from_raw_parts(pointer, (height - 1) * stride + width) }
        };
        let lent = Planes {
            width: self.width,
            height: self.height,
            luma: plane(planes[0], luma_stride, self.width, self.height),
            luma_stride,
            chroma: [planes[1], planes[2]]
                .map(|pointer| plane(pointer, chroma_stride, chroma_width, chroma_height)),
            chroma_stride,
        };
        // Numbers were given from 1 up, so that 0 means a picture of no sample.
        if let Some(sample) = info.uiOutYuvTimeStamp.checked_sub(1) {
            take(sample as u32, &lent);
        }
        Ok(())
    }
}
