//! Times the decoding of pictures and videos: our half of `decode_vs_python.sh`.
//!
//! Given a kind, a count and files, decodes each file so many times and prints a line for each:
//! the seconds that each took, separated by spaces, then the file. `image` decodes to RGB; `video`
//! opens and decodes eight frames spread over the whole. Reading the file is not timed. Without
//! arguments nothing is done, so that `cargo bench` and `cargo test` pass.
#![expect(clippy::print_stdout, reason = "the times are its output")]

use std::{error::Error, fs, hint::black_box, sync::Arc, time::Instant};

use omnireward_media::{
    Limits, image,
    video::{Video, spread},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, count, files @ ..] = arguments.as_slice() else {
        return Ok(());
    };
    let Ok(count) = count.parse::<usize>() else {
        return Ok(());
    };
    for file in files {
        let bytes: Arc<[u8]> = fs::read(file)?.into();
        let mut seconds = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            if kind == "video" {
                decode_video(&bytes)?;
            } else {
                black_box(image::decode_on_white(&bytes, &Limits::default())?);
            }
            seconds.push(format!("{:.6}", start.elapsed().as_secs_f64()));
        }
        println!("{} {file}", seconds.join(" "));
    }
    Ok(())
}

fn decode_video(bytes: &Arc<[u8]>) -> Result<(), omnireward_media::Error> {
    let video = Video::open(Arc::clone(bytes), &Limits::default())?;
    black_box(video.frames_at(&spread(video.info().frames, 8))?);
    Ok(())
}
