use omnireward_media::RgbImage;

use super::config::ImageConfig;
use crate::qwen2_5_vl::PatchGrid;

/// Cuts frames of one size, whose sides are whole cells, into patches.
///
/// A patch spans several frames; the last one is repeated where they do not suffice, and a still picture is a single
/// frame.
///
/// # Panics
///
/// When there is no frame, or frames differ in size.
pub(super) fn cut(frames: &[RgbImage], config: &ImageConfig) -> (PatchGrid, Vec<f32>) {
    let (width, height) = frames[0].dimensions();
    assert!(
        frames
            .iter()
            .all(|frame| frame.dimensions() == (width, height)),
        "frames of one size"
    );
    let (patch, merge) = (config.patch as usize, config.merge as usize);
    let grid = PatchGrid {
        frames: frames.len().div_ceil(config.temporal_patch),
        rows: height as usize / patch,
        columns: width as usize / patch,
    };
    let tables = tables(config);
    let mut patches = Vec::with_capacity(grid.cells() * 3 * config.temporal_patch * patch * patch);
    for frame in 0..grid.frames {
        let first = frame * config.temporal_patch;
        let spanned: Vec<&RgbImage> = (first..first + config.temporal_patch)
            .map(|index| &frames[index.min(frames.len() - 1)])
            .collect();
        for top in (0..grid.rows).step_by(merge) {
            for left in (0..grid.columns).step_by(merge) {
                for inner in 0..merge * merge {
                    let corner = [top + inner / merge, left + inner % merge].map(|at| at * patch);
                    add(&mut patches, &spanned, corner, patch, &tables);
                }
            }
        }
    }
    (grid, patches)
}

/// A patch as (channel, frame, y, x).
fn add(
    patches: &mut Vec<f32>,
    spanned: &[&RgbImage],
    [top, left]: [usize; 2],
    patch: usize,
    tables: &[[f32; 256]; 3],
) {
    for (channel, table) in tables.iter().enumerate() {
        for frame in spanned {
            let row_len = 3 * frame.width() as usize;
            for y in top..top + patch {
                let line = &frame.as_raw()[y * row_len + 3 * left..][..3 * patch];
                let pixels = line.as_chunks::<3>().0;
                patches.extend(
                    pixels
                        .iter()
                        .map(|pixel| table[usize::from(pixel[channel])]),
                );
            }
        }
    }
}

/// What each byte becomes, for red, green and blue. The original scales in `f64`, rounds to `f32`, and goes on in it.
fn tables(config: &ImageConfig) -> [[f32; 256]; 3] {
    std::array::from_fn(|channel| {
        let (mean, std) = (config.mean[channel], config.std[channel]);
        std::array::from_fn(|byte| ((byte as f64 * (1.0 / 255.0)) as f32 - mean) / std)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::qwen2_5_vl::resize::Pixels;

    fn config() -> ImageConfig {
        ImageConfig {
            patch: 14,
            temporal_patch: 2,
            merge: 2,
            mean: [0.5; 3],
            std: [0.5; 3],
            pixels: Pixels {
                least: 56 * 56,
                most: 1 << 20,
            },
        }
    }

    /// A picture of which each patch is of one colour: its row, its column, and `blue`.
    fn numbered(rows: u32, columns: u32, blue: u8) -> RgbImage {
        RgbImage::from_fn(14 * columns, 14 * rows, |x, y| {
            [(y / 14) as u8, (x / 14) as u8, blue].into()
        })
    }

    /// Of each patch, the bytes of its first pixel in both frames.
    fn corners(patches: &[f32]) -> Vec<[u8; 6]> {
        let byte = |value: f32| ((value * 0.5 + 0.5) * 255.0).round() as u8;
        patches
            .chunks_exact(1176)
            .map(|patch| std::array::from_fn(|index| byte(patch[196 * index])))
            .collect()
    }

    #[test]
    fn patches_of_a_cell_stand_together() {
        let (grid, patches) = cut(&[numbered(4, 6, 9)], &config());
        assert_eq!((grid.frames, grid.rows, grid.columns), (1, 4, 6));
        assert_eq!(patches.len(), 24 * 1176);
        let places: Vec<[u8; 2]> = corners(&patches)
            .into_iter()
            .map(|[row, again, column, _, blue, _]| {
                assert_eq!((row, blue), (again, 9), "a still picture is repeated");
                [row, column]
            })
            .collect();
        assert_eq!(
            places[..6],
            [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3]]
        );
        assert_eq!(places[12..14], [[2, 0], [2, 1]]);
    }

    #[test]
    fn frames_are_paired_and_the_last_repeated() {
        let frames = [1, 2, 3].map(|blue| numbered(2, 2, blue));
        let (grid, patches) = cut(&frames, &config());
        assert_eq!(grid.frames, 2);
        let blues: Vec<[u8; 2]> = corners(&patches)
            .into_iter()
            .map(|[.., first, second]| [first, second])
            .collect();
        assert_eq!(
            blues,
            [
                [1, 2],
                [1, 2],
                [1, 2],
                [1, 2],
                [3, 3],
                [3, 3],
                [3, 3],
                [3, 3]
            ]
        );
    }
}
