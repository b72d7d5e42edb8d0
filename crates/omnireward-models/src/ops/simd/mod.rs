//! Plain loops, compiled once for the processor at hand and once for any.
//!
//! A [`Kernel`] is written as ordinary Rust over slices. [`run`] calls the copy of it that was compiled for AVX2 and
//! FMA where the processor has them, and the portable copy elsewhere. The two copies may differ in the last bit, since
//! only the first fuses multiplications with additions; on one machine it is always the same copy that runs.
//!
//! This is also the only place of the operators with `unsafe` code: the call into the copy that needs AVX2, which
//! happens only after asking the processor, the first write to fresh memory in [`fill_several`], and [`prefetch`].
#![expect(
    unsafe_code,
    reason = "calling a function compiled for more than the baseline and writing to fresh memory are unsafe"
)]
#![expect(
    clippy::inline_always,
    reason = "a loop is compiled for its caller's instruction set only when it is inlined into it"
)]

mod element;
mod elementwise;
mod math;
mod sum;
#[cfg(test)]
pub(crate) mod testing;

use std::mem::MaybeUninit;
#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

use rayon::prelude::*;

pub(crate) use element::{Element, Known, Rows, ours, read, wanted, with_rows};
pub(crate) use elementwise::{Binary, Unary, map, zip};
pub(crate) use math::{cdf, exp, exp_below, sigmoid};
pub(crate) use sum::{add_to, column_sums};

/// A loop to be compiled for several instruction sets. `run` and what it calls must be `#[inline(always)]`.
pub(crate) trait Kernel {
    /// What the loop returns.
    type Output;

    /// The loop.
    fn run<A: Arithmetic>(self) -> Self::Output;
}

/// How an instruction set multiplies and adds.
pub(crate) trait Arithmetic: Copy {
    /// `a · b + c`, rounded once where the processor can, twice elsewhere.
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
}

/// Products and sums in one instruction.
#[derive(Clone, Copy)]
struct Fused;

impl Arithmetic for Fused {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// Products and sums one after the other.
#[cfg(not(target_arch = "aarch64"))]
#[derive(Clone, Copy)]
struct Separate;

#[cfg(not(target_arch = "aarch64"))]
impl Arithmetic for Separate {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// What every processor of the kind can do.
#[cfg(target_arch = "aarch64")]
type Baseline = Fused;
#[cfg(not(target_arch = "aarch64"))]
type Baseline = Separate;

/// Runs a kernel's best copy.
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the processor has AVX2 and FMA.
        return unsafe { run_avx2(kernel) };
    }
    kernel.run::<Baseline>()
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Fused>()
}

/// Tells the processor that the elements will be read soon.
#[inline(always)]
pub(crate) fn prefetch<T>(elements: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in elements.chunks(64 / size_of::<T>()) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction, and it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = elements;
}

/// Elements that one task works on: large enough that handing it out costs nothing, small enough for the cache.
const TASK: usize = 16 * 1024;

/// A new buffer of `len` elements in rows of `width`, filled by `fill(first row, rows)`, on several threads where
/// there is enough to do. `fill` finds zeros, and must give a row the same values whichever rows come with it.
pub(crate) fn fill<T: Element>(
    len: usize,
    width: usize,
    fill: impl Fn(usize, &mut [T]) + Sync,
) -> Vec<T> {
    let [buffer] = fill_several(len, width, |first, [to]| fill(first, to));
    buffer
}

/// Several such buffers, filled together: `fill(first row, [rows of each])`.
pub(crate) fn fill_several<T: Element, const N: usize>(
    len: usize,
    width: usize,
    fill: impl Fn(usize, [&mut [T]; N]) + Sync,
) -> [Vec<T>; N] {
    let mut buffers: [Vec<T>; N] = std::array::from_fn(|_| Vec::with_capacity(len));
    let rows = (TASK / width.max(1)).max(1);
    let task = |(index, fresh): (usize, [&mut [MaybeUninit<T>]; N])| {
        // Zeroed here rather than all at once, so that the zeros stay in the cache of the thread that overwrites them.
        let zeroed = fresh.map(|fresh| {
            for slot in fresh.iter_mut() {
                slot.write(T::ZERO);
            }
            // SAFETY: every element of the slice has just been written.
            unsafe { std::slice::from_raw_parts_mut(fresh.as_mut_ptr().cast::<T>(), fresh.len()) }
        });
        fill(index * rows, zeroed);
    };
    let chunk = rows * width.max(1);
    let mut chunks =
        (buffers.each_mut()).map(|buffer| buffer.spare_capacity_mut()[..len].chunks_mut(chunk));
    let tasks: Vec<_> = (0..len.div_ceil(chunk))
        .map(|_| (chunks.each_mut()).map(|chunks| chunks.next().unwrap_or_default()))
        .collect();
    if len <= 2 * TASK {
        tasks.into_iter().enumerate().for_each(task);
    } else {
        tasks.into_par_iter().enumerate().for_each(task);
    }
    for buffer in &mut buffers {
        // SAFETY: the tasks together have written all `len` elements of each buffer.
        unsafe { buffer.set_len(len) };
    }
    buffers
}
