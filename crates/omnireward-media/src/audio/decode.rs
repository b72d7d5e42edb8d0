use std::io::{Cursor, ErrorKind};

use symphonia::{
    core::{
        codecs::audio::{AudioDecoder, AudioDecoderOptions},
        errors::Error as SymphoniaError,
        formats::{FormatOptions, FormatReader, Track, TrackType, probe::Hint},
        io::{MediaSourceStream, MediaSourceStreamOptions},
        meta::MetadataOptions,
        packet::Packet,
    },
    default::{get_codecs, get_probe},
};

use super::{Waveform, edit_list, resample::SAMPLE_RATES_HZ};
use crate::{Error, Format, Limits, contain::contain, sniff::sniff_or_error};

/// Decodes a WAV, MP3, FLAC, Ogg/Vorbis or M4A file, or the first sound track of an MP4.
///
/// The encoder's delay and padding, where the file states them, are not part of the result. A
/// file that is cut short is refused rather than decoded in part, since a judge must not hear
/// less than the dataset offers; a WAV header that leaves its length open (`0xFFFFFFFF`, as
/// streaming writers do) is taken at the file's own length. An MP3 without a frame count says
/// nothing about its length, so one that is cut between frames passes as a shorter one.
///
/// HE-AAC and Ogg streams chained after one another are not supported. Where an AAC track carries
/// HE-AAC's upper band without announcing it, the lower band alone is decoded.
///
/// [`Limits::seconds`] bounds the duration. [`Limits::bytes`] bounds the encoded bytes and the
/// decoded samples alike, because a few encoded bytes can stand for hours of silence. Sampling
/// rates below 1 kHz or over 768 kHz are refused.
///
/// # Errors
///
/// [`Error::WrongKind`] for bytes that are not sound, [`Error::Decode`] for malformed, truncated
/// and empty files, [`Error::LimitExceeded`], and [`Error::Unsupported`] for other codecs.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Waveform, Error> {
    limits.check_bytes(bytes.len() as u64)?;
    let format = audio_format(bytes)?;
    contain(format, || Decoding::open(bytes, format, limits)?.run())
}

fn audio_format(bytes: &[u8]) -> Result<Format, Error> {
    match sniff_or_error(bytes)? {
        format @ (Format::Wav
        | Format::Mp3
        | Format::Flac
        | Format::Ogg
        | Format::M4a
        | Format::Mp4) => Ok(format),
        other => Err(Error::WrongKind {
            expected: "a sound",
            found: other.name(),
        }),
    }
}

/// One file on its way to samples.
struct Decoding<'a> {
    format: Format,
    limits: &'a Limits,
    bytes: &'a [u8],
    reader: Box<dyn FormatReader + 'a>,
    decoder: Box<dyn AudioDecoder>,
    track: Track,
    waveform: Waveform,
}

impl<'a> Decoding<'a> {
    fn open(bytes: &'a [u8], format: Format, limits: &'a Limits) -> Result<Self, Error> {
        if format == Format::Ogg {
            check_last_ogg_page(bytes)?;
        }
        let failed = |error| failure(format, "reading its header", error);
        let source = MediaSourceStream::new(
            Box::new(Cursor::new(bytes)),
            MediaSourceStreamOptions::default(),
        );
        let reader = get_probe()
            .probe(
                &Hint::new(),
                source,
                FormatOptions::default(),
                MetadataOptions::default(),
            )
            .map_err(failed)?;
        let track = reader
            .default_track(TrackType::Audio)
            .ok_or_else(|| Error::audio(format.name(), "there is no sound track"))?
            .clone();
        let params = track
            .codec_params
            .as_ref()
            .and_then(|params| params.audio())
            .ok_or_else(|| Error::audio(format.name(), "the sound track names no codec"))?;
        let decoder = get_codecs()
            .make_audio_decoder(params, &AudioDecoderOptions::default())
            .map_err(failed)?;
        let decoding = Self {
            format,
            limits,
            bytes,
            waveform: Waveform {
                sample_rate_hz: params.sample_rate.unwrap_or(0),
                channels: 0,
                samples: Vec::new(),
            },
            reader,
            decoder,
            track,
        };
        decoding.check_claim()?;
        Ok(decoding)
    }

    fn run(mut self) -> Result<Waveform, Error> {
        let mut packets = 0;
        while let Some(packet) = self.next_packet()? {
            packets += 1;
            // Every real packet takes at least a byte; a table of billions of empty ones is a
            // trap.
            if packets > self.bytes.len() {
                return Err(self.malformed("it claims more packets than it has bytes"));
            }
            if packet.track_id == self.track.id {
                self.append(&packet)?;
            }
        }
        self.check_complete()?;
        self.trim();
        Ok(self.waveform)
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, Error> {
        match self.reader.next_packet() {
            // A WAV of open length ends where its bytes end.
            Err(SymphoniaError::IoError(cause))
                if cause.kind() == ErrorKind::UnexpectedEof
                    && self.format == Format::Wav
                    && self.track.num_frames.is_none() =>
            {
                Ok(None)
            }
            Err(error) => {
                let step = format!("reading after {} frames", self.waveform.frames());
                Err(failure(self.format, &step, error))
            }
            Ok(packet) => Ok(packet),
        }
    }

    /// Takes the encoder's delay and padding off an MPEG-4 track; for other formats the decoder
    /// has done so.
    fn trim(&mut self) {
        let params = self
            .track
            .codec_params
            .as_ref()
            .and_then(|params| params.audio());
        let is_mp4 = matches!(self.format, Format::M4a | Format::Mp4);
        let same_rate =
            params.and_then(|params| params.sample_rate) == Some(self.waveform.sample_rate_hz);
        // Known only where the track counts time in frames, as nearly all do.
        let (true, true, Some(end)) = (is_mp4, same_rate, self.track.num_frames) else {
            return;
        };
        let channels = usize::from(self.waveform.channels);
        let end = (end as usize).min(self.waveform.frames());
        let start = edit_list::delay(self.bytes, self.track.id) as usize;
        if start < end {
            self.waveform.samples.truncate(end * channels);
            self.waveform.samples.drain(..start * channels);
        }
    }

    fn append(&mut self, packet: &Packet) -> Result<(), Error> {
        let decoded = match self.decoder.decode(packet) {
            Ok(decoded) => decoded,
            // An MP3 cut from a longer one begins with frames that lean on what was cut away.
            Err(SymphoniaError::DecodeError(_))
                if self.format == Format::Mp3 && self.waveform.samples.is_empty() =>
            {
                return Ok(());
            }
            Err(error) => {
                let step = format!("decoding after {} frames", self.waveform.frames());
                return Err(failure(self.format, &step, error));
            }
        };
        if decoded.is_empty() {
            return Ok(());
        }
        let rate = decoded.spec().rate();
        let channels = u16::try_from(decoded.spec().channels().count()).unwrap_or(u16::MAX);
        if self.waveform.samples.is_empty() {
            check_shape(self.format, rate, channels)?;
            self.waveform.sample_rate_hz = rate;
            self.waveform.channels = channels;
        } else if (rate, channels) != (self.waveform.sample_rate_hz, self.waveform.channels) {
            return Err(Error::audio(
                self.format.name(),
                "the rate or the channels change within the stream",
            ));
        }
        let frames = self.waveform.frames() as u64 + decoded.frames() as u64;
        check_size(frames, rate, channels, self.limits)?;
        let start = self.waveform.samples.len();
        self.waveform
            .samples
            .resize(start + decoded.samples_interleaved(), 0.0);
        decoded.copy_to_slice_interleaved(&mut self.waveform.samples[start..]);
        Ok(())
    }

    /// Refuses what the header claims before anything is decoded.
    fn check_claim(&self) -> Result<(), Error> {
        let (Some(frames), rate @ 1..) = (self.claimed_frames(), self.waveform.sample_rate_hz)
        else {
            return Ok(());
        };
        check_size(frames, rate, 1, self.limits)
    }

    /// How many frames the file says it has, where it really says so rather than being guessed
    /// from its size.
    fn claimed_frames(&self) -> Option<u64> {
        match self.format {
            Format::Wav | Format::Flac => self.track.num_frames,
            Format::Mp3 if self.track.delay.is_some() => self.track.num_frames,
            _ => None,
        }
    }

    fn check_complete(&self) -> Result<(), Error> {
        let found = self.waveform.frames() as u64;
        if let Some(claimed) = self.claimed_frames().filter(|&claimed| found < claimed) {
            return Err(self.malformed(format!("it is cut short: {found} of {claimed} frames")));
        }
        if found == 0 {
            return Err(self.malformed("there is no sound in it"));
        }
        if let Some(bad) = self
            .waveform
            .samples
            .iter()
            .position(|sample| !sample.is_finite())
        {
            return Err(self.malformed(format!("sample {bad} is not a finite number")));
        }
        Ok(())
    }

    fn malformed(&self, reason: impl Into<String>) -> Error {
        Error::audio(self.format.name(), reason)
    }
}

fn check_shape(format: Format, rate: u32, channels: u16) -> Result<(), Error> {
    if channels == 0 || !SAMPLE_RATES_HZ.contains(&rate) {
        let (least, most) = SAMPLE_RATES_HZ.into_inner();
        return Err(Error::audio(
            format.name(),
            format!(
                "{channels} channels at `{rate}` Hz is no sound; rates from {least} to {most} Hz \
                 are read"
            ),
        ));
    }
    Ok(())
}

/// Refuses sound whose samples would be over a limit.
pub(super) fn check_size(
    frames: u64,
    rate: u32,
    channels: u16,
    limits: &Limits,
) -> Result<(), Error> {
    limits.check_seconds(frames as f64 / f64::from(rate))?;
    limits.check_bytes(frames.saturating_mul(u64::from(channels) * size_of::<f32>() as u64))
}

/// An Ogg file that is cut short looks like a shorter one except that its last page is incomplete
/// or does not say that it is the last.
fn check_last_ogg_page(bytes: &[u8]) -> Result<(), Error> {
    const LAST_PAGE: u8 = 4;
    let cut_short = || Error::audio("OGG", "it is cut short: its last page is missing");
    let start = bytes
        .windows(4)
        .rposition(|four| four == b"OggS")
        .ok_or_else(cut_short)?;
    let page = &bytes[start..];
    let segments = usize::from(*page.get(26).ok_or_else(cut_short)?);
    let lacing = page.get(27..27 + segments).ok_or_else(cut_short)?;
    let length = 27 + segments + lacing.iter().map(|&n| usize::from(n)).sum::<usize>();
    if page.len() < length || page[5] & LAST_PAGE == 0 {
        return Err(cut_short());
    }
    Ok(())
}

fn failure(format: Format, step: &str, error: SymphoniaError) -> Error {
    match error {
        SymphoniaError::Unsupported(what) => Error::Unsupported {
            what: format!("decoding {format} sound"),
            needs: format!("a feature that is not at hand ({what})"),
        },
        SymphoniaError::IoError(cause) if cause.kind() == ErrorKind::UnexpectedEof => {
            Error::audio(format.name(), format!("it is cut short ({step})"))
        }
        SymphoniaError::ResetRequired => Error::Unsupported {
            what: format!("decoding {format} sound"),
            needs: "support for streams chained after one another".to_owned(),
        },
        error => Error::audio(format.name(), format!("it is malformed ({step})")).caused_by(error),
    }
}
