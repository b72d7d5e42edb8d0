//! Meshes made for tests and benchmarks.

use omnireward_core::{MediaRef, MediaSource, Modality};
use omnireward_media::{
    Limits,
    mesh::{Mesh, load},
};

/// A ball of about `faces` triangles as OBJ text.
pub(crate) fn ball(faces: usize) -> String {
    use std::fmt::Write;
    let rows = ((faces / 4) as f64).sqrt() as usize;
    let columns = 2 * rows;
    let mut text = String::new();
    for row in 0..=rows {
        for column in 0..columns {
            let (sin, cos) = (std::f64::consts::PI * row as f64 / rows as f64).sin_cos();
            let (s, c) = (std::f64::consts::TAU * column as f64 / columns as f64).sin_cos();
            writeln!(text, "v {} {} {}", sin * c, cos, sin * s).unwrap();
        }
    }
    for row in 0..rows {
        for column in 0..columns {
            let at = |r: usize, c: usize| r * columns + c % columns + 1;
            let (a, b) = (at(row, column), at(row, column + 1));
            let (c, d) = (at(row + 1, column + 1), at(row + 1, column));
            writeln!(text, "f {a} {b} {c} {d}").unwrap();
        }
    }
    text
}

/// The mesh that OBJ text describes.
pub(crate) fn decoded(text: &str) -> Mesh {
    let bytes = text.as_bytes().into();
    let source = MediaSource::Bytes { bytes, name: None };
    load(
        &MediaRef {
            modality: Modality::Mesh,
            source,
        },
        &Limits::default(),
    )
    .unwrap()
}
