//! Rates of the matrix product in linear layers of real shapes, beside the rate of the multiply-add units themselves.
//!
//! Run alone: `cargo bench -p omnireward-models --bench product`. Every figure is the best of several runs on all
//! threads of the default pool; the peak is measured again before each shape, since clocks change.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "the peak is measured with the instructions that the kernels use"
    )
)]

use std::{hint::black_box, time::Instant};

use candle_core::{DType, Device, Result, Tensor};
use omnireward_models::{
    ops::{linear, product_kernel},
    weights::Weight,
};

/// Rows, inner width, outer width: projections and feed-forward layers of Qwen2-0.5B and Qwen2-7B and of `SigLIP`, and
/// some with few rows, which the memory limits.
const SHAPES: [(usize, usize, usize); 12] = [
    (512, 896, 896),
    (512, 896, 4864),
    (512, 4864, 896),
    (1536, 896, 4864),
    (512, 3584, 3584),
    (512, 3584, 18944),
    (512, 18944, 3584),
    (5120, 1152, 4304),
    (64, 896, 4864),
    (1, 3584, 18944),
    (8, 3584, 18944),
    (32, 3584, 18944),
];

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() -> Result<()> {
    println!(
        "kernel: {}, threads: {}",
        product_kernel(),
        rayon::current_num_threads()
    );
    println!("GFLOP/s and share of the f32 peak; GB/s is the matrix read once");
    println!(
        "{:>20} {:>8} {:>16} {:>16} {:>16} {:>12}",
        "rows x in -> out", "peak", "f32", "f32, bf16 matrix", "bf16", "GB/s (f32)"
    );
    for (rows, inner, out) in SHAPES {
        let x = numbers(rows, inner)?;
        let w = numbers(out, inner)?;
        let flop = 2.0 * (rows * inner * out) as f64;
        let repeats = (4e10 / flop).clamp(4.0, 40.0) as usize;
        let cases = [
            (DType::F32, DType::F32),
            (DType::F32, DType::BF16),
            (DType::BF16, DType::BF16),
        ]
        .into_iter()
        .map(|(x_type, w_type)| Ok((x.to_dtype(x_type)?, Weight::Tensor(w.to_dtype(w_type)?))))
        .collect::<Result<Vec<_>>>()?;
        let mut peak = 0.0_f64;
        let mut best = [f64::INFINITY; 3];
        for _ in 0..repeats {
            peak = peak.max(peak_rate());
            for ((x, w), best) in cases.iter().zip(&mut best) {
                let start = Instant::now();
                black_box(linear(x, w, None)?);
                *best = best.min(start.elapsed().as_secs_f64());
            }
        }
        let rate = best.map(|seconds| {
            let rate = flop / seconds / 1e9;
            format!("{rate:.1} ({:.1}%)", 100.0 * rate / peak)
        });
        println!(
            "{:>20} {peak:>8.1} {:>16} {:>16} {:>16} {:>12.1}",
            format!("{rows} x {inner} -> {out}"),
            rate[0],
            rate[1],
            rate[2],
            (4 * inner * out) as f64 / best[0] / 1e9
        );
    }
    Ok(())
}

fn numbers(rows: usize, columns: usize) -> Result<Tensor> {
    let number = |i: usize| ((i * 7919) % 1009) as f32 / 504.0 - 1.0;
    let numbers: Vec<f32> = (0..rows * columns).map(number).collect();
    Tensor::from_vec(numbers, (rows, columns), &Device::Cpu)
}

/// GFLOP/s of `f32` multiply-adds on registers alone, all threads together.
fn peak_rate() -> f64 {
    const ROUNDS: usize = 400_000;
    let start = Instant::now();
    let flop: f64 = rayon::broadcast(|_| multiply_add(ROUNDS)).into_iter().sum();
    flop / start.elapsed().as_secs_f64() / 1e9
}

/// Does `rounds` times a dozen independent vector multiply-adds, and says how many operations those were.
#[cfg(target_arch = "x86_64")]
fn multiply_add(rounds: usize) -> f64 {
    use std::arch::x86_64::{
        __m256, __m512, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps,
    };
    #[target_feature(enable = "avx512f")]
    fn wide(rounds: usize) -> [__m512; 12] {
        let mut sums = black_box([1.0; 12]).map(|x| _mm512_set1_ps(x));
        let (factor, term) = (
            _mm512_set1_ps(black_box(0.9)),
            _mm512_set1_ps(black_box(0.1)),
        );
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, term);
            }
        }
        sums
    }
    #[target_feature(enable = "avx2,fma")]
    fn narrow(rounds: usize) -> [__m256; 12] {
        let mut sums = black_box([1.0; 12]).map(|x| _mm256_set1_ps(x));
        let (factor, term) = (
            _mm256_set1_ps(black_box(0.9)),
            _mm256_set1_ps(black_box(0.1)),
        );
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, term);
            }
        }
        sums
    }
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512.
        black_box(unsafe { wide(rounds) });
        (rounds * 12 * 32) as f64
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA.
        black_box(unsafe { narrow(rounds) });
        (rounds * 12 * 16) as f64
    } else {
        plain(rounds)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn multiply_add(rounds: usize) -> f64 {
    plain(rounds)
}

/// As [`multiply_add`], in plain code.
fn plain(rounds: usize) -> f64 {
    let mut sums = black_box([1.0_f32; 96]);
    let (factor, term) = (black_box(0.9_f32), black_box(0.1_f32));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = if cfg!(target_arch = "aarch64") {
                sum.mul_add(factor, term)
            } else {
                *sum * factor + term
            };
        }
    }
    black_box(sums);
    (rounds * 192) as f64
}
