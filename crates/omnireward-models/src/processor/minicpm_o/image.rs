use omnireward_media::{
    RgbImage, RgbaImage,
    image::{on_white, resize_bicubic, resize_nearest},
};

use super::config::ImageConfig;
use crate::{
    minicpm_o::{Grid, ImageInput, Tile},
    processor::{Shrink, Transparency},
};

/// A picture without transparency.
pub(super) fn opaque(image: &RgbaImage, transparency: Transparency) -> RgbImage {
    match transparency {
        Transparency::OnWhite => on_white(image),
        Transparency::Dropped => {
            let mut pixels = vec![0; image.len() / 4 * 3];
            let places = pixels.as_chunks_mut::<3>().0.iter_mut();
            for (place, pixel) in places.zip(image.as_raw().as_chunks::<4>().0) {
                place.copy_from_slice(&pixel[..3]);
            }
            RgbImage::from_raw(image.width(), image.height(), pixels)
                .expect("there are three bytes for each pixel")
        }
    }
}

/// Shrinks a picture of more than `pixels` to about that many.
pub(super) fn shrunk(image: RgbImage, pixels: u32, shrink: Shrink) -> RgbImage {
    let (width, height) = image.dimensions();
    let area = f64::from(width) * f64::from(height);
    if area <= f64::from(pixels) {
        return image;
    }
    let factor = (f64::from(pixels) / area).sqrt();
    let side = |side: u32| ((f64::from(side) * factor) as u32).max(1);
    match shrink {
        Shrink::Nearest => resize_nearest(&image, side(width), side(height)),
        Shrink::Bicubic => resize_bicubic(&image, side(width), side(height)),
    }
}

/// Cuts pictures into tiles, and tiles into patches.
#[derive(Clone, Copy)]
pub(super) struct Slicer<'a> {
    pub(super) config: &'a ImageConfig,
    pub(super) max_slices: usize,
}

/// Width and height in pixels.
type Size = (u32, u32);

impl Slicer<'_> {
    pub(super) fn input(self, image: &RgbImage) -> ImageInput {
        let (overview, slices) = self.sizes(image.dimensions());
        let whole = resize_bicubic(image, overview.0, overview.1);
        let mut tiles = vec![self.tile(&whole, (0, 0), overview)];
        if let Some((grid, cell)) = slices {
            let refined = resize_bicubic(
                image,
                cell.0 * grid.columns as u32,
                cell.1 * grid.rows as u32,
            );
            for row in 0..grid.rows as u32 {
                for column in 0..grid.columns as u32 {
                    tiles.push(self.tile(&refined, (column * cell.0, row * cell.1), cell));
                }
            }
        }
        ImageInput {
            grid: slices.map(|(grid, _)| grid),
            tiles,
        }
    }

    /// The size of the overview, and the slices with their size. All in `f64`, whose rounding decides.
    fn sizes(self, size: Size) -> (Size, Option<(Grid, Size)>) {
        let (width, height) = (f64::from(size.0), f64::from(size.1));
        let Some(grid) = self.grid(width, height) else {
            return (self.best(width, height, true), None);
        };
        let refined = |side: f64, count: usize| fit(side, count as f64) / count as f64;
        let cell = self.best(
            refined(width, grid.columns),
            refined(height, grid.rows),
            true,
        );
        (self.best(width, height, false), Some((grid, cell)))
    }

    /// The grid whose proportions come closest to the picture's, of those with about as many cells as
    /// the picture has times the area of a tile. Of equal ones, the first.
    fn grid(self, width: f64, height: f64) -> Option<Grid> {
        let side = f64::from(self.config.scale_resolution);
        let wanted = ((width * height / (side * side)).ceil() as usize).min(self.max_slices);
        if wanted <= 1 || !self.config.slice_mode {
            return None;
        }
        let proportion = (width / height).ln();
        let mut best = None;
        let mut least = f64::INFINITY;
        for cells in wanted - 1..=wanted + 1 {
            if cells == 1 || cells > self.max_slices {
                continue;
            }
            for columns in (1..=cells).filter(|columns| cells % columns == 0) {
                let rows = cells / columns;
                let error = (proportion - (columns as f64 / rows as f64).ln()).abs();
                if error < least {
                    least = error;
                    best = Some(Grid { columns, rows });
                }
            }
        }
        best
    }

    /// The size in whole patches with the given proportions and the area of a tile; a smaller one is
    /// enlarged only if `enlarge`.
    fn best(self, mut width: f64, mut height: f64, enlarge: bool) -> Size {
        let side = f64::from(self.config.scale_resolution);
        if width * height > side * side || enlarge {
            let proportion = width / height;
            height = (side / proportion.sqrt()).trunc();
            width = (height * proportion).trunc();
        }
        let patch = f64::from(self.config.patch_size);
        (fit(width, patch) as u32, fit(height, patch) as u32)
    }

    /// The patches of a rectangle whose sides are whole patches.
    fn tile(self, image: &RgbImage, (left, top): (u32, u32), (width, height): Size) -> Tile {
        let patch = self.config.patch_size as usize;
        let tables = self.tables();
        let (rows, columns) = (height as usize / patch, width as usize / patch);
        let row_len = 3 * image.width() as usize;
        let mut patches = vec![0.0; rows * columns * 3 * patch * patch];
        for (index, values) in patches.chunks_exact_mut(3 * patch * patch).enumerate() {
            let (row, column) = (index / columns, index % columns);
            let x = left as usize + column * patch;
            for y in 0..patch {
                let start = (top as usize + row * patch + y) * row_len + 3 * x;
                let line = image.as_raw()[start..][..3 * patch].as_chunks::<3>().0;
                for (channel, table) in tables.iter().enumerate() {
                    let values = &mut values[(channel * patch + y) * patch..][..patch];
                    for (value, pixel) in values.iter_mut().zip(line) {
                        *value = table[usize::from(pixel[channel])];
                    }
                }
            }
        }
        Tile {
            rows,
            columns,
            patches,
        }
    }

    /// What each byte becomes, for red, green and blue.
    fn tables(self) -> [[f32; 256]; 3] {
        std::array::from_fn(|channel| {
            let (mean, std) = (
                self.config.norm_mean[channel],
                self.config.norm_std[channel],
            );
            std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std)
        })
    }
}

/// The multiple of `unit` that is nearest to `length`, at least one; half cases go to the even one.
fn fit(length: f64, unit: f64) -> f64 {
    ((length / unit).round_ties_even() * unit).max(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> ImageConfig {
        ImageConfig {
            scale_resolution: 448,
            patch_size: 14,
            image_feature_size: 64,
            max_slice_nums: 9,
            norm_mean: [0.5; 3],
            norm_std: [0.5; 3],
            use_image_id: true,
            slice_mode: true,
        }
    }

    type Slices = Option<((usize, usize), Size)>;

    fn sizes(width: u32, height: u32) -> (Size, Slices) {
        let config = published();
        let slicer = Slicer {
            config: &config,
            max_slices: 9,
        };
        let (overview, slices) = slicer.sizes((width, height));
        let slices = slices.map(|(grid, cell)| ((grid.columns, grid.rows), cell));
        (overview, slices)
    }

    #[test]
    fn sizes_are_the_published_processors() {
        let cases: [(Size, Size, Slices); 17] = [
            ((64, 64), (448, 448), None),
            ((224, 224), (448, 448), None),
            ((448, 448), (448, 448), None),
            ((341, 192), (602, 336), None),
            ((50, 2000), (70, 2828), None),
            ((449, 448), (448, 448), Some(((2, 1), (322, 630)))),
            ((512, 512), (448, 448), Some(((1, 2), (630, 322)))),
            ((640, 480), (518, 392), Some(((2, 1), (364, 546)))),
            ((768, 768), (448, 448), Some(((2, 2), (448, 448)))),
            ((1024, 576), (602, 336), Some(((2, 1), (420, 476)))),
            ((1024, 1024), (448, 448), Some(((3, 2), (364, 546)))),
            ((1280, 720), (602, 336), Some(((3, 2), (490, 406)))),
            ((1600, 900), (602, 336), Some(((4, 2), (420, 476)))),
            ((1920, 1080), (602, 336), Some(((4, 2), (420, 476)))),
            ((4000, 3000), (518, 392), Some(((3, 3), (518, 392)))),
            ((300, 1200), (224, 896), Some(((1, 3), (392, 518)))),
            ((2000, 200), (1414, 140), Some(((3, 1), (812, 252)))),
        ];
        for (size, overview, slices) in cases {
            assert_eq!(sizes(size.0, size.1), (overview, slices), "{size:?}");
        }
    }

    #[test]
    fn large_pictures_are_shrunk_with_truncated_sides() {
        let cases = [
            ((1024, 1024), (768, 768), (2, 2)),
            ((1920, 1080), (1024, 576), (2, 1)),
            ((3000, 500), (1881, 313), (4, 1)),
        ];
        for ((width, height), expected, grid) in cases {
            for shrink in [Shrink::Nearest, Shrink::Bicubic] {
                let image = shrunk(RgbImage::new(width, height), 768 * 768, shrink);
                assert_eq!(image.dimensions(), expected);
            }
            assert_eq!(
                sizes(expected.0, expected.1).1.map(|(grid, _)| grid),
                Some(grid)
            );
        }
        let fitting = RgbImage::from_pixel(768, 768, [1, 2, 3].into());
        assert_eq!(shrunk(fitting.clone(), 768 * 768, Shrink::Nearest), fitting);
    }

    #[test]
    fn patches_are_channel_then_row_then_column() {
        let image = RgbImage::from_fn(56, 28, |x, y| [x as u8, y as u8, 200].into());
        let config = published();
        let slicer = Slicer {
            config: &config,
            max_slices: 9,
        };
        let tile = slicer.tile(&image, (14, 0), (42, 28));
        assert_eq!((tile.rows, tile.columns), (2, 3));
        let normal = |byte: usize| (byte as f32 / 255.0 - 0.5) / 0.5;
        for (index, patch) in tile.patches.chunks_exact(588).enumerate() {
            let (row, column) = (index / 3, index % 3);
            for (offset, value) in patch.iter().enumerate() {
                let (channel, y, x) = (offset / 196, offset / 14 % 14, offset % 14);
                let byte = [14 + 14 * column + x, 14 * row + y, 200][channel];
                assert_eq!(value.to_bits(), normal(byte).to_bits());
            }
        }
    }

    #[test]
    fn slices_are_the_refined_picture_row_by_row() {
        let image = RgbImage::from_fn(768, 768, |x, y| {
            [
                if x < 384 { 0 } else { 255 },
                if y < 384 { 0 } else { 255 },
                0,
            ]
            .into()
        });
        let config = published();
        let slicer = Slicer {
            config: &config,
            max_slices: 9,
        };
        let input = slicer.input(&image);
        assert_eq!(
            input.grid,
            Some(Grid {
                columns: 2,
                rows: 2
            })
        );
        assert_eq!(input.tiles.len(), 5);
        let corner = |tile: usize| {
            let patches = &input.tiles[tile].patches;
            [patches[0] > 0.0, patches[196] > 0.0]
        };
        assert_eq!(
            [1, 2, 3, 4].map(corner),
            [[false, false], [true, false], [false, true], [true, true]]
        );
    }
}
