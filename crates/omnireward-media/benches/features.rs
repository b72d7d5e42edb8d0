//! Times what turns decoded media into a model's input: resizing and log-mel spectrograms.
//!
//! Prints a line for each case: the milliseconds that each run took, separated by spaces, then the
//! case. The first argument that is a number is how many runs there are; without one nothing is
//! done, so that `cargo bench` and `cargo test` pass.
#![expect(clippy::print_stdout, reason = "the times are its output")]

use std::{hint::black_box, time::Instant};

use omnireward_media::{
    RgbImage,
    audio::log_mel,
    image::{resize_bicubic, resize_nearest},
};

/// Old width and height, new width and height.
const SIZES: [[u32; 4]; 4] = [
    [768, 768, 448, 448],
    [768, 768, 896, 896],
    [1920, 1080, 602, 336],
    [256, 256, 448, 448],
];

const SECONDS: [usize; 2] = [5, 30];

fn main() {
    let runs = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let Some(runs) = runs else { return };
    for [width, height, new_width, new_height] in SIZES {
        let image = RgbImage::from_fn(width, height, |x, y| {
            let noise = x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503) ^ (x * y);
            noise
                .to_le_bytes()
                .first_chunk()
                .copied()
                .unwrap_or([0; 3])
                .into()
        });
        let case = format!("{width}x{height} to {new_width}x{new_height}");
        report(&format!("bicubic {case}"), runs, || {
            black_box(resize_bicubic(&image, new_width, new_height));
        });
        report(&format!("nearest {case}"), runs, || {
            black_box(resize_nearest(&image, new_width, new_height));
        });
    }
    for seconds in SECONDS {
        let samples: Vec<f32> = (0..seconds * 16_000)
            .map(|i| (i as f32 * 0.05).sin() * 0.3 + ((i * i % 977) as f32 / 977.0 - 0.5) * 0.1)
            .collect();
        report(&format!("log-mel {seconds} s"), runs, || {
            black_box(log_mel(&samples));
        });
    }
}

fn report(case: &str, runs: usize, mut run: impl FnMut()) {
    run();
    let times: Vec<String> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            run();
            format!("{:.3}", start.elapsed().as_secs_f64() * 1e3)
        })
        .collect();
    println!("{} {case}", times.join(" "));
}
