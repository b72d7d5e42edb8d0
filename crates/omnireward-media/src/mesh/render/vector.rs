//! Three-dimensional vectors as arrays.

use std::ops::{Add, Mul, Sub};

pub(super) fn add<T: Copy + Add<Output = T>>(a: [T; 3], b: [T; 3]) -> [T; 3] {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub(super) fn sub<T: Copy + Sub<Output = T>>(a: [T; 3], b: [T; 3]) -> [T; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(super) fn scaled<T: Copy + Mul<Output = T>>(a: [T; 3], factor: T) -> [T; 3] {
    a.map(|x| x * factor)
}

pub(super) fn dot<T: Copy + Add<Output = T> + Mul<Output = T>>(a: [T; 3], b: [T; 3]) -> T {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn cross<T>(a: [T; 3], b: [T; 3]) -> [T; 3]
where
    T: Copy + Sub<Output = T> + Mul<Output = T>,
{
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

pub(super) fn length(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

/// The direction of a vector, or zero when it has none.
pub(super) fn unit(a: [f32; 3]) -> [f32; 3] {
    let length = dot(a, a).sqrt();
    if length > 0.0 {
        scaled(a, 1.0 / length)
    } else {
        [0.0; 3]
    }
}
