//! Times the drawing of a sheet of four views: `cargo bench -p omnireward-media --bench render`.
//!
//! Prints the median and the least of several times for balls of more and more triangles. Nothing
//! is done unless cargo says that it is a benchmark's turn, so that `cargo test --benches` is quick.
#![expect(clippy::print_stdout, reason = "the times are its output")]
#![expect(
    clippy::unwrap_used,
    reason = "the shapes are made here and well formed"
)]

#[path = "../tests/shapes/mod.rs"]
mod shapes;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use omnireward_media::{
    Error,
    mesh::{SheetConfig, render_sheet},
};
use shapes::{ball, decoded};

const REPEATS: usize = 7;

fn main() -> Result<(), Error> {
    if std::env::args().all(|argument| argument != "--bench") {
        return Ok(());
    }
    for triangles in [1_000, 10_000, 100_000, 1_000_000] {
        let mesh = decoded(&ball(triangles));
        let mut times: Vec<Duration> = Vec::with_capacity(REPEATS);
        for _ in 0..REPEATS {
            let start = Instant::now();
            black_box(render_sheet(&mesh, &SheetConfig::default())?);
            times.push(start.elapsed());
        }
        times.sort();
        println!(
            "{} triangles: median {:?}, least {:?}",
            mesh.triangles().len(),
            times[REPEATS / 2],
            times[0]
        );
    }
    Ok(())
}
