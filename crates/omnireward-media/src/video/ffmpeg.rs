//! Decodes what we have no decoder for with an installed `ffmpeg` (5.1 or later), a process of its
//! own with a limit on time, pixels and output.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use ::image::RgbImage;
use tempfile::NamedTempFile;

use super::{Decoders, VideoInfo};
use crate::{Error, Format, Limits};

/// Frames and times of a container that only ffmpeg reads.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) info: VideoInfo,
    pub(super) times: Vec<Duration>,
}

/// Lists the frames of the first video stream from its packets, without decoding them.
pub(super) fn list(
    format: Format,
    bytes: &[u8],
    decoders: &Decoders,
    limits: &Limits,
) -> Result<Listing, Error> {
    // A line of the listing is shorter than this, checksum and side data included.
    const LINE: u64 = 256;
    let description = format!("{format} video");
    let job = Job::new(format, &description, bytes, decoders, limits)?;
    let output_limit = limits.frames.saturating_add(64).saturating_mul(LINE);
    let text = job.run(&["-c", "copy", "-f", "framecrc"], output_limit)?;
    parse_listing(&String::from_utf8_lossy(&text), limits).unwrap_or_else(|| {
        Err(Error::video(
            format.name(),
            "the video stream has no frames",
        ))
    })
}

/// Decodes frames, numbered in display order.
pub(super) fn decode(
    description: &str,
    info: &VideoInfo,
    format: Format,
    bytes: &[u8],
    wanted: &BTreeSet<u32>,
    decoders: &Decoders,
    limits: &Limits,
) -> Result<BTreeMap<u32, RgbImage>, Error> {
    // Longer filters are refused by ffmpeg.
    const FRAMES_FOR_A_RUN: usize = 48;
    let job = Job::new(format, description, bytes, decoders, limits)?;
    let frames: Vec<u32> = wanted.iter().copied().collect();
    let mut decoded = BTreeMap::new();
    for frames in frames.chunks(FRAMES_FOR_A_RUN) {
        decoded.extend(frames.iter().copied().zip(job.decode(frames, info)?));
    }
    Ok(decoded)
}

/// A filter that passes the wanted frames, told apart by their number.
fn select_frames(frames: &[u32]) -> String {
    let terms: Vec<_> = frames
        .iter()
        .map(|frame| format!("eq(n\\,{frame})"))
        .collect();
    format!("select={}", terms.join("+"))
}

struct Job<'a> {
    program: &'a Path,
    description: &'a str,
    format: Format,
    input: NamedTempFile,
    time_limit: Duration,
    max_pixels: u64,
}

impl<'a> Job<'a> {
    fn new(
        format: Format,
        description: &'a str,
        bytes: &[u8],
        decoders: &'a Decoders,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let program = decoders
            .ffmpeg
            .as_deref()
            .ok_or_else(|| Error::Unsupported {
                what: format!("decoding {description}"),
                needs: "`ffmpeg`, which is not to be used".to_owned(),
            })?;
        // A file rather than a pipe, because indexes at the end of a file are sought.
        let input = NamedTempFile::new()
            .and_then(|mut file| file.write_all(bytes).map(|()| file))
            .map_err(|source| Error::Program {
                program: program.to_owned(),
                what: "could not be given a temporary file".to_owned(),
                source: Some(source),
            })?;
        Ok(Self {
            program,
            description,
            format,
            input,
            time_limit: decoders.time_limit,
            max_pixels: limits.pixels,
        })
    }

    /// Decodes frames, whose numbers ascend, in one run.
    fn decode(&self, frames: &[u32], info: &VideoInfo) -> Result<Vec<RgbImage>, Error> {
        let filter = select_frames(frames);
        let count = frames.len().to_string();
        let arguments = [
            ["-vf", &filter],
            ["-fps_mode", "passthrough"],
            ["-frames:v", &count],
            ["-pix_fmt", "rgb24"],
            ["-f", "rawvideo"],
        ];
        let frame = info.width as usize * info.height as usize * 3;
        let expected = frame * frames.len();
        let pixels = self.run(arguments.as_flattened(), expected as u64)?;
        if pixels.len() != expected {
            let reason = format!(
                "`ffmpeg` gave {} bytes of pixels where {expected} were expected",
                pixels.len()
            );
            return Err(Error::video(self.format.name(), reason));
        }
        Ok(pixels
            .chunks_exact(frame)
            .map(|pixels| {
                RgbImage::from_raw(info.width, info.height, pixels.to_vec())
                    .expect("a frame has three bytes for each pixel")
            })
            .collect())
    }

    /// Runs ffmpeg on the input and returns what it writes, at most `output_limit` bytes.
    fn run(&self, arguments: &[&str], output_limit: u64) -> Result<Vec<u8>, Error> {
        let mut child = self.spawn(arguments)?;
        let outcome = self.watch(&mut child, output_limit);
        // After a failure it may still be running; after success it has ended.
        let _ = child.kill();
        let status = child
            .wait()
            .map_err(|source| self.failed("could not be waited for", Some(source)))?;
        let (output, complaint) = outcome?;
        if !status.success() {
            return Err(Error::video(
                self.format.name(),
                format!("`ffmpeg` could not decode it and says `{complaint}`"),
            ));
        }
        Ok(output)
    }

    fn spawn(&self, arguments: &[&str]) -> Result<Child, Error> {
        Command::new(self.program)
            .args(["-nostdin", "-hide_banner", "-v", "error"])
            // A playlist must not make it read other files or the network.
            .args(["-protocol_whitelist", "file,pipe"])
            .args(["-f", demuxer(self.format)])
            .args(["-max_pixels", &self.max_pixels.to_string()])
            .arg("-noautorotate")
            .arg("-i")
            .arg(self.input.path())
            .args(["-map", "0:v:0", "-an", "-sn", "-dn"])
            .args(arguments)
            .arg("pipe:1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => Error::Unsupported {
                    what: format!("decoding {}", self.description),
                    needs: format!("`{}`, which was not found", self.program.display()),
                },
                _ => self.failed("could not be started", Some(source)),
            })
    }

    /// Reads both outputs until they end, the limit on either is reached, or time is up.
    fn watch(&self, child: &mut Child, output_limit: u64) -> Result<(Vec<u8>, String), Error> {
        const COMPLAINT_LIMIT: u64 = 400;
        let deadline = Instant::now() + self.time_limit;
        let output = child.stdout.take().expect("it is piped");
        let complaint = child.stderr.take().expect("it is piped");
        let output = apart(move || read_up_to(output_limit + 1, output));
        let complaint = apart(move || read_beginning(COMPLAINT_LIMIT, complaint));
        let output = self.receive(&output, deadline)?;
        if output.len() as u64 > output_limit {
            return Err(self.failed(
                &format!("was stopped after writing more than the {output_limit} bytes expected"),
                None,
            ));
        }
        let complaint = self.receive(&complaint, deadline)?;
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        while child
            .try_wait()
            .map_err(|source| self.failed("could not be waited for", Some(source)))?
            .is_none()
        {
            if Instant::now() > deadline {
                return Err(self.out_of_time());
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok((output, complaint))
    }

    fn receive(&self, output: &Received, deadline: Instant) -> Result<Vec<u8>, Error> {
        match output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(read) => read.map_err(|source| self.failed("could not be read from", Some(source))),
            Err(RecvTimeoutError::Timeout) => Err(self.out_of_time()),
            Err(RecvTimeoutError::Disconnected) => Err(self.failed("could not be read from", None)),
        }
    }

    fn out_of_time(&self) -> Error {
        self.failed(
            &format!("was stopped after {} s", self.time_limit.as_secs_f64()),
            None,
        )
    }

    fn failed(&self, what: &str, source: Option<io::Error>) -> Error {
        Error::Program {
            program: PathBuf::from(self.program),
            what: what.to_owned(),
            source,
        }
    }
}

type Received = mpsc::Receiver<io::Result<Vec<u8>>>;

/// Reads on a thread of its own, so that the reader can be given up on.
fn apart(read: impl FnOnce() -> io::Result<Vec<u8>> + Send + 'static) -> Received {
    let (send, receive) = mpsc::channel();
    // Nobody may be listening any more.
    thread::spawn(move || send.send(read()).ok());
    receive
}

/// Reads at most `limit` bytes and closes the pipe, which stops the writer.
fn read_up_to(limit: u64, from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads to the end and keeps at most `limit` bytes, so that a talkative writer goes on.
fn read_beginning(limit: u64, mut from: impl Read) -> io::Result<Vec<u8>> {
    let bytes = read_up_to(limit, &mut from)?;
    io::copy(&mut from, &mut io::sink())?;
    Ok(bytes)
}

fn demuxer(format: Format) -> &'static str {
    match format {
        Format::WebM => "matroska",
        Format::Avi => "avi",
        _ => "mov",
    }
}

/// Reads a `framecrc` listing: comments such as `#tb 0: 1/1000`, then a line for each packet with
/// stream, decoding time, showing time, duration, size and checksum. `None` when it lists nothing.
fn parse_listing(text: &str, limits: &Limits) -> Option<Result<Listing, Error>> {
    let comment = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.split_once(": "))
            .map(|(_, value)| value.trim())
    };
    let pair = |value: &str, separator: char| {
        let (first, second) = value.split_once(separator)?;
        Some((first.parse::<u32>().ok()?, second.parse::<u32>().ok()?))
    };
    let (numerator, denominator) = pair(comment("#tb ")?, '/')?;
    let (width, height) = pair(comment("#dimensions ")?, 'x')?;
    let codec = comment("#codec_id ")?.to_owned();
    let mut shown: Vec<(i64, i64)> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(parse_packet)
        .collect();
    shown.sort_unstable();
    let (first, last) = (shown.first()?.0, *shown.last()?);
    let seconds = |ticks: i64| ticks as f64 * f64::from(numerator) / f64::from(denominator.max(1));
    let duration = seconds(last.0 - first + last.1);
    let frames = shown.len() as u64;
    let checked = limits
        .check_pixels(width, height)
        .and_then(|()| limits.check_frames(frames))
        .and_then(|()| limits.check_seconds(duration));
    Some(checked.map(|()| {
        Listing {
            info: VideoInfo {
                width,
                height,
                frames,
                duration: Duration::try_from_secs_f64(duration).ok(),
                frame_rate: (duration > 0.0).then(|| frames as f64 / duration),
                codec,
            },
            times: shown
                .iter()
                .map(|(time, _)| {
                    Duration::try_from_secs_f64(seconds(time - first)).unwrap_or_default()
                })
                .collect(),
        }
    }))
}

/// The showing time and duration of a packet.
fn parse_packet(line: &str) -> Option<(i64, i64)> {
    let mut fields = line.split(',').map(str::trim).skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_in_display_order() {
        let text = "#software: Lavf\n#tb 0: 1/1000\n#media_type 0: video\n#codec_id 0: vp9\n\
            #dimensions 0: 320x180\n#sar 0: 1/1\n\
            0,  0,  0, 40, 100, 0x0\n0, 40, 120, 40, 9, 0x1\n0, 80, 40, 40, 9, 0x2\n\
            0, 120, 80, 40, 9, 0x3, S=1, 8, 0x4\n";
        let listing = parse_listing(text, &Limits::default()).unwrap().unwrap();
        assert_eq!(listing.info.frames, 4);
        assert_eq!((listing.info.width, listing.info.height), (320, 180));
        assert_eq!(listing.info.codec, "vp9");
        assert_eq!(listing.info.duration, Some(Duration::from_millis(160)));
        assert_eq!(listing.times[1], Duration::from_millis(40));
        assert!(parse_listing("#tb 0: 1/1000\n", &Limits::default()).is_none());
    }

    #[test]
    fn frames_are_selected_by_number() {
        assert_eq!(select_frames(&[0, 7]), "select=eq(n\\,0)+eq(n\\,7)");
    }
}
