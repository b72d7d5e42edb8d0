//! Perceptual hashes of 3D models.

use omnireward_media::{
    Error, Limits, RgbImage,
    mesh::{self, Axis, MeshSource, SheetConfig, render_sheet},
};

use super::{
    MediaSignature,
    image::{band_keys, signs},
};

/// The hash of a 3D model: the signs of the lowest frequencies of its shape as seen from all around.
///
/// The model is drawn from four sides, once with the second axis of its coordinates for up and once
/// with the third, since formats differ in their custom and a conversion may turn a model. Of each
/// view two words are taken, of the whole and of its middle. Place and size in space, the order of vertices
/// and how surfaces are cut into triangles play no part. Files beside the model are not read.
#[derive(Clone, Copy, Debug, Default)]
pub struct MeshSignature;

/// Views for each way up.
const VIEWS: usize = 4;
/// Words of a view.
const PARTS: usize = 2;
/// Words for each way up.
const WORDS: usize = VIEWS * PARTS;
/// Width and height of a view in pixels.
const SIDE: u32 = 96;
/// Width and height of a view as it is hashed.
const REDUCED: usize = 32;
/// Smallest similarity of near models.
const THRESHOLD: f64 = 0.95;

impl MediaSignature for MeshSignature {
    fn words(&self, bytes: &[u8], limits: &Limits) -> Result<Vec<u64>, Error> {
        let refuse = |name: &str| {
            Err(Error::MissingSideFile {
                mesh: "the model".to_owned(),
                name: name.to_owned(),
                source: None,
            })
        };
        let source = MeshSource {
            name: "the model",
            side: &refuse,
        };
        let mesh = mesh::decode(bytes, &source, limits)?;
        let mut words = Vec::with_capacity(2 * WORDS);
        for up in [Axis::Y, Axis::Z] {
            let config = SheetConfig {
                views: VIEWS as u32,
                columns: 1,
                view_size: SIDE,
                supersampling: 2,
                up: Some(up),
                ..SheetConfig::default()
            };
            words.extend(of_sheet(&render_sheet(&mesh, &config)?));
        }
        Ok(words)
    }

    fn keys(&self, words: &[u64]) -> Vec<u64> {
        band_keys(words.iter().copied())
    }

    fn similarity(&self, first: &[u64], second: &[u64]) -> f64 {
        if first.len() != 2 * WORDS || second.len() != 2 * WORDS {
            return 0.0;
        }
        let ways = [(0, 0), (0, WORDS), (WORDS, 0)];
        let differences = ways.map(|(one, other)| {
            let words = first[one..one + WORDS]
                .iter()
                .zip(&second[other..other + WORDS]);
            words.map(|(a, b)| (a ^ b).count_ones()).sum::<u32>()
        });
        let closest = differences.into_iter().min().unwrap_or(0);
        1.0 - f64::from(closest) / (64 * WORDS) as f64
    }

    fn threshold(&self) -> f64 {
        THRESHOLD
    }
}

/// The words of views that stand below one another.
fn of_sheet(sheet: &RgbImage) -> Vec<u64> {
    (0..VIEWS)
        .flat_map(|view| {
            let top = view as u32 * SIDE;
            // The whole view, and the middle of it at half the size.
            [(0, SIDE), (SIDE / 4, SIDE / 2)]
                .map(|(margin, side)| signs(&reduced(sheet, margin, top + margin, side)))
        })
        .collect()
}

/// The luminance of a square of the sheet at 32 × 32.
fn reduced(sheet: &RgbImage, left: u32, top: u32, side: u32) -> [[f64; REDUCED]; REDUCED] {
    let scale = f64::from(side) / REDUCED as f64;
    let at = |start: u32, place: usize| start + (place as f64 * scale) as u32;
    std::array::from_fn(|y| {
        std::array::from_fn(|x| {
            let columns = at(left, x)..at(left, x + 1).max(at(left, x) + 1);
            let rows = at(top, y)..at(top, y + 1).max(at(top, y) + 1);
            let count = f64::from(columns.end - columns.start) * f64::from(rows.end - rows.start);
            let cells = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
            let sum: f64 = cells
                .map(|(x, y)| {
                    let [red, green, blue] = sheet.get_pixel(x, y).0.map(f64::from);
                    0.299 * red + 0.587 * green + 0.114 * blue
                })
                .sum();
            sum / count
        })
    })
}
