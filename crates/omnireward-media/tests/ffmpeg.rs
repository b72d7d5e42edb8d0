//! What is said and done when a codec takes `ffmpeg`.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, over files whose names are known"
)]

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use omnireward_media::{
    Error, Limits,
    video::{Decoders, Video},
};
use omnireward_testkit::real_data;

fn bytes(name: &str) -> Option<Arc<[u8]>> {
    real_data(name).map(|path| fs::read(path).unwrap().into())
}

fn with_program(program: impl Into<PathBuf>) -> Decoders {
    Decoders {
        ffmpeg: Some(program.into()),
        ..Decoders::default()
    }
}

#[test]
fn a_missing_program_is_named() {
    let decoders = with_program("/nowhere/ffmpeg");
    let Some(webm) = bytes("media/video/Big_Buck_Bunny_180_10s.webm") else {
        return;
    };
    let error = Video::open_with(webm, &Limits::default(), &decoders).unwrap_err();
    assert!(error.is_unsupported());
    assert_eq!(
        error.to_string(),
        "decoding WebM video needs `/nowhere/ffmpeg`, which was not found"
    );

    let Some(ten_bits) = bytes("media/video/h264_10bits.mp4") else {
        return;
    };
    let video = Video::open_with(ten_bits, &Limits::default(), &decoders).unwrap();
    assert_eq!(video.info().frames, 30, "facts need no decoder");
    let error = video.frames_at(&[0]).unwrap_err();
    assert!(error.is_unsupported());
    assert_eq!(
        error.to_string(),
        "decoding H.264 video with 10 bits a sample needs `/nowhere/ffmpeg`, which was not found"
    );
}

#[test]
fn no_program_is_run_when_none_is_allowed() {
    let Some(webm) = bytes("media/video/Big_Buck_Bunny_180_10s.webm") else {
        return;
    };
    let none = Decoders {
        ffmpeg: None,
        ..Decoders::default()
    };
    let error = Video::open_with(webm, &Limits::default(), &none).unwrap_err();
    assert!(error.is_unsupported(), "{error}");
}

#[cfg(unix)]
mod scripts {
    use std::{os::unix::fs::PermissionsExt, time::Instant};

    use super::*;

    /// A program that does what a broken ffmpeg might.
    fn script(folder: &tempfile::TempDir, body: &str) -> PathBuf {
        let path = folder.path().join("ffmpeg");
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn first_frame(body: &str) -> Option<Error> {
        let folder = tempfile::tempdir().unwrap();
        let decoders = Decoders {
            time_limit: Duration::from_secs(1),
            ..with_program(script(&folder, body))
        };
        let ten_bits = bytes("media/video/h264_10bits.mp4")?;
        let video = Video::open_with(ten_bits, &Limits::default(), &decoders).unwrap();
        Some(video.frames_at(&[0]).unwrap_err())
    }

    #[test]
    fn a_program_that_hangs_is_stopped() {
        let start = Instant::now();
        let Some(error) = first_frame("exec sleep 60") else {
            return;
        };
        assert!(
            error.to_string().ends_with("was stopped after 1 s"),
            "{error}"
        );
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_program_that_writes_without_end_is_stopped() {
        let Some(error) = first_frame("exec cat /dev/zero") else {
            return;
        };
        assert!(
            error.to_string().contains("more than the 120000 bytes"),
            "{error}"
        );
    }

    #[test]
    fn a_program_that_fails_is_quoted() {
        let Some(error) = first_frame("echo no such codec >&2; exit 1") else {
            return;
        };
        assert!(
            error.to_string().contains("says `no such codec`"),
            "{error}"
        );
    }

    #[test]
    fn a_program_that_writes_too_little_is_noticed() {
        let Some(error) = first_frame("printf abc") else {
            return;
        };
        assert!(error.to_string().contains("3 bytes of pixels"), "{error}");
    }
}
