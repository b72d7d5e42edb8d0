//! Perceptual hashes of pictures.

use std::{f64::consts::PI, sync::LazyLock};

use omnireward_media::{Limits, RgbImage, image};

use super::MediaSignature;

/// The hash of a picture: 64 signs of its lowest frequencies, for the whole and for 14 crops of it,
/// and its colours.
///
/// Each of the 15 words holds the signs of the 64 lowest-frequency coefficients, without the mean,
/// of the discrete cosine transform of the luminance, taken as a picture of 32 × 32 (the DCT hash of
/// Zauner, *Implementation and Benchmarking of Perceptual Image Hash Functions*, 2010, with the sign
/// in place of the median). The first word is of the whole picture, nine are of crops that leave
/// 95 % of each side, four of crops that take 5 % off one side, and one of the picture without 5 % on
/// every side. The sixteenth word is the mean colour of the four quarters, so that a picture in
/// other colours is another picture.
///
/// Two pictures are compared whole against whole and against the other's crops, and the closest
/// counts. Re-encoding, resizing, brightness and crops of a few percent change up to about 6 of 64
/// signs; unrelated pictures differ in 14 or more.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImageSignature;

/// Most signs in which near pictures differ, of 64.
pub(super) const MOST_DIFFERENT: u32 = 9;

/// Words of signs, before the one of colours.
pub(super) const VIEWS: usize = 15;

/// All words of a picture.
pub(super) const WORDS: usize = VIEWS + 1;

/// How far a mean colour may move, in levels of 0 to 255.
const COLOUR_TOLERANCE: i16 = 16;

/// Parts into which a word is cut for looking it up. Words that differ in fewer bits share one.
const BANDS: u32 = 3;

impl MediaSignature for ImageSignature {
    fn words(&self, bytes: &[u8], limits: &Limits) -> Result<Vec<u64>, omnireward_media::Error> {
        Ok(of_picture(&image::decode_on_white(bytes, limits)?).to_vec())
    }

    fn keys(&self, words: &[u64]) -> Vec<u64> {
        band_keys(words.iter().take(VIEWS).copied())
    }

    fn similarity(&self, first: &[u64], second: &[u64]) -> f64 {
        1.0 - f64::from(difference(first, second)) / 64.0
    }

    fn threshold(&self) -> f64 {
        1.0 - f64::from(MOST_DIFFERENT) / 64.0
    }
}

/// The hash of a decoded picture.
pub fn of_picture(picture: &RgbImage) -> [u64; WORDS] {
    let reduced = Reduced::new(picture);
    let mut words = [0; WORDS];
    for (word, view) in words.iter_mut().zip(&*VIEW_WINDOWS) {
        *word = signs(&reduced.window(*view));
    }
    words[VIEWS] = u64::from_le_bytes(reduced.colours);
    words
}

/// In how many of 64 signs two pictures differ at the closest; 64 where their colours differ.
pub(super) fn difference(first: &[u64], second: &[u64]) -> u32 {
    if first.len() != WORDS || second.len() != WORDS || !same_colours(first[VIEWS], second[VIEWS]) {
        return 64;
    }
    let closest = |whole: u64, views: &[u64]| {
        let differences = views.iter().map(|view| (view ^ whole).count_ones());
        differences.min().unwrap_or(64)
    };
    closest(first[0], &second[..VIEWS]).min(closest(second[0], &first[..VIEWS]))
}

fn same_colours(first: u64, second: u64) -> bool {
    first
        .to_le_bytes()
        .into_iter()
        .zip(second.to_le_bytes())
        .all(|(a, b)| (i16::from(a) - i16::from(b)).abs() <= COLOUR_TOLERANCE)
}

/// The bands of words as keys: the number of the band and its bits. By the pigeonhole principle two
/// words that differ in fewer bits than there are bands share a band; since near pictures have many
/// views in common, one of them practically always does. A word of zeros has keys as any other: pictures
/// without structure are all alike but for their colours.
pub(super) fn band_keys(words: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut keys: Vec<u64> = words.flat_map(keys_of_word).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn keys_of_word(word: u64) -> impl Iterator<Item = u64> {
    let width = 64_u32.div_ceil(BANDS);
    (0..BANDS).map(move |band| {
        let bits = (word >> (band * width)) & ((1 << width) - 1);
        bits | u64::from(band) << width
    })
}

/// Width and height of the reduced picture that all views are taken from.
const REDUCED: usize = 128;
/// Width and height of a view.
const VIEW: usize = 32;
/// Frequencies in each direction among which the lowest are taken.
const FREQUENCIES: usize = 9;
/// Smaller coefficients are nothing: a step of a thirtieth of a level over the whole view.
const NOTHING: f64 = 0.5;

/// A part of a picture: left, top, right and bottom, from 0 to 1.
type Window = [f64; 4];

static VIEW_WINDOWS: LazyLock<[Window; VIEWS]> = LazyLock::new(|| {
    const CUT: f64 = 0.05;
    const LEFT: f64 = 1.0 - CUT;
    let mut windows = [[0.0, 0.0, 1.0, 1.0]; VIEWS];
    for place in 0..9 {
        let (x, y) = (
            (place % 3) as f64 * CUT / 2.0,
            (place / 3) as f64 * CUT / 2.0,
        );
        windows[1 + place] = [x, y, LEFT + x, LEFT + y];
    }
    windows[10] = [CUT, 0.0, 1.0, 1.0];
    windows[11] = [0.0, CUT, 1.0, 1.0];
    windows[12] = [0.0, 0.0, LEFT, 1.0];
    windows[13] = [0.0, 0.0, 1.0, LEFT];
    windows[14] = [CUT, CUT, LEFT, LEFT];
    windows
});

/// A picture's luminance at 128 × 128, as sums from the upper left, and its mean colours.
struct Reduced {
    /// `[REDUCED + 1, REDUCED + 1]`.
    sums: Vec<f64>,
    /// The mean blue and red difference of each quarter.
    colours: [u8; 8],
}

impl Reduced {
    fn new(picture: &RgbImage) -> Self {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        if width == 0 || height == 0 {
            return Self {
                sums: vec![0.0; (REDUCED + 1) * (REDUCED + 1)],
                colours: [128; 8],
            };
        }
        let (across, down) = (Cuts::new(width), Cuts::new(height));
        let mut above = Above::new(3 * width);
        let mut upper_half = None;
        let mut lines = Vec::with_capacity(REDUCED + 1);
        let rows = picture.as_raw().chunks_exact(3 * width);
        let last = rows.clone().next_back().unwrap_or_default();
        for (y, row) in rows.enumerate() {
            if y == height.div_ceil(2) {
                upper_half = Some(above.sums().to_vec());
            }
            while down.whole.get(lines.len()) == Some(&y) {
                lines.push(across.luminance(above.sums(), row, down.part[lines.len()]));
            }
            above.add(row);
        }
        let all = above.sums();
        lines.push(across.luminance(all, last, 0));
        let cell = (width * height) as f64 / (REDUCED * REDUCED) as f64;
        Self {
            sums: integral(&lines, cell),
            colours: colours(upper_half.as_deref().unwrap_or(all), all, height),
        }
    }

    /// A window as a picture of 32 × 32 means.
    fn window(&self, [left, top, right, bottom]: Window) -> [[f64; VIEW]; VIEW] {
        let columns = Place::all(left, right);
        let corner = Place::all(top, bottom).map(|row| columns.map(|column| self.sum(column, row)));
        let area =
            (right - left) * (bottom - top) * (REDUCED * REDUCED) as f64 / (VIEW * VIEW) as f64;
        std::array::from_fn(|y| {
            std::array::from_fn(|x| {
                let sum = corner[y + 1][x + 1] - corner[y][x + 1] - corner[y + 1][x] + corner[y][x];
                sum / area
            })
        })
    }

    /// The sum of everything above and left of a place between the cells.
    fn sum(&self, column: Place, row: Place) -> f64 {
        let at = |row: usize, column: usize| self.sums[row * (REDUCED + 1) + column];
        let across = |line: usize| {
            let (left, right) = (at(line, column.cell), at(line, column.cell + 1));
            left * (1.0 - column.part) + right * column.part
        };
        across(row.cell) * (1.0 - row.part) + across(row.cell + 1) * row.part
    }
}

/// A place on a side of the reduced picture: whole cells before it, and the part of the next.
#[derive(Clone, Copy)]
struct Place {
    cell: usize,
    part: f64,
}

impl Place {
    /// Where the cells of a view begin and end that reaches from `low` to `high`, shares of the side.
    fn all(low: f64, high: f64) -> [Self; VIEW + 1] {
        std::array::from_fn(|step| {
            let place = REDUCED as f64 * (low + (high - low) * step as f64 / VIEW as f64);
            let cell = (place as usize).min(REDUCED - 1);
            Self {
                cell,
                part: place - cell as f64,
            }
        })
    }
}

/// Where a side is cut into 128 equal parts: whole pixels before each cut, and the part of the next.
struct Cuts {
    whole: Vec<usize>,
    /// In 128ths.
    part: Vec<u32>,
}

impl Cuts {
    fn new(length: usize) -> Self {
        let cuts = (0..=REDUCED).map(|cut| cut * length);
        Self {
            whole: cuts.clone().map(|cut| cut / REDUCED).collect(),
            part: cuts.map(|cut| (cut % REDUCED) as u32).collect(),
        }
    }

    /// The luminance in each of the 128 parts of a line: sums of the rows above, and 128ths of the next row.
    fn luminance(&self, above: &[u32], row: &[u8], share: u32) -> Vec<f64> {
        let width = self.whole[REDUCED];
        let parts = REDUCED as u64;
        let mut sum = 0;
        let mut before = vec![0; width + 1];
        let pixels = above.chunks_exact(3).zip(row.chunks_exact(3));
        for (before, (above, pixel)) in before[1..].iter_mut().zip(pixels) {
            // The weights of ITU-R BT.601 in 256ths.
            let [red, green, blue] = [0, 1, 2].map(|index| u64::from(above[index]));
            let whole = 77 * red + 150 * green + 29 * blue;
            let [red, green, blue] = [0, 1, 2].map(|index| u32::from(pixel[index]));
            let next = share * (77 * red + 150 * green + 29 * blue);
            sum += parts * whole + u64::from(next);
            *before = sum;
        }
        let cuts: Vec<u64> = self
            .whole
            .iter()
            .zip(&self.part)
            .map(|(&whole, &part)| {
                let next = before[(whole + 1).min(width)];
                parts * before[whole] + u64::from(part) * (next - before[whole])
            })
            .collect();
        let unit = (256 * parts * parts) as f64;
        cuts.windows(2)
            .map(|pair| (pair[1] - pair[0]) as f64 / unit)
            .collect()
    }
}

/// Each channel of each column, summed over rows.
struct Above {
    sums: Vec<u32>,
    /// Of the last rows, which are not in `sums` yet: small numbers are added faster.
    recent: Vec<u16>,
    rows: u16,
}

impl Above {
    fn new(channels: usize) -> Self {
        Self {
            sums: vec![0; channels],
            recent: vec![0; channels],
            rows: 0,
        }
    }

    fn add(&mut self, row: &[u8]) {
        for (sum, value) in self.recent.iter_mut().zip(row) {
            *sum += u16::from(*value);
        }
        self.rows += 1;
        if self.rows == u16::MAX / 255 {
            self.sums();
        }
    }

    fn sums(&mut self) -> &[u32] {
        if self.rows > 0 {
            for (sum, recent) in self.sums.iter_mut().zip(&mut self.recent) {
                *sum += u32::from(std::mem::take(recent));
            }
            self.rows = 0;
        }
        &self.sums
    }
}

/// The mean blue and red difference (BT.601) of each quarter, from the sums of each column's channels over the upper half
/// of the rows and over all.
fn colours(upper_half: &[u32], all: &[u32], height: usize) -> [u8; 8] {
    let width = all.len() / 3;
    let upper_rows = height.div_ceil(2);
    let mut colours = [128; 8];
    for (quarter, pair) in colours.chunks_exact_mut(2).enumerate() {
        let is_lower = quarter >= 2;
        let columns = if quarter % 2 == 0 {
            0..width / 2
        } else {
            width / 2..width
        };
        let rows = if is_lower {
            height - upper_rows
        } else {
            upper_rows
        };
        let count = (rows * columns.len()).max(1) as f64;
        let [red, green, blue] = [0, 1, 2].map(|channel| {
            let sums = columns.clone().map(|column| {
                let index = 3 * column + channel;
                let rest = all[index] - upper_half[index];
                u64::from(if is_lower { rest } else { upper_half[index] })
            });
            sums.sum::<u64>() as f64 / count
        });
        let luminance = 0.299 * red + 0.587 * green + 0.114 * blue;
        pair[0] = (128.0 + 0.564 * (blue - luminance)).round() as u8;
        pair[1] = (128.0 + 0.713 * (red - luminance)).round() as u8;
    }
    colours
}

/// Sums from the upper left, of lines that are sums from above already.
fn integral(lines: &[Vec<f64>], cell: f64) -> Vec<f64> {
    let mut sums = Vec::with_capacity((REDUCED + 1) * (REDUCED + 1));
    for line in lines {
        let mut sum = 0.0;
        sums.push(0.0);
        for value in line {
            sum += value / cell;
            sums.push(sum);
        }
    }
    sums
}

/// Columns of cosines: `[place][frequency]`, of the orthonormal transform.
static COSINES: LazyLock<[[f64; FREQUENCIES]; VIEW]> = LazyLock::new(|| {
    std::array::from_fn(|place| {
        std::array::from_fn(|frequency| {
            let scale = if frequency == 0 { 1.0 } else { 2.0 } / VIEW as f64;
            let angle = PI * frequency as f64 * (place as f64 + 0.5) / VIEW as f64;
            scale.sqrt() * angle.cos()
        })
    })
});

/// The 64 lowest frequencies without the mean, as vertical and horizontal ones.
static LOWEST: LazyLock<Vec<(usize, usize)>> = LazyLock::new(|| {
    let all = (0..FREQUENCIES).flat_map(|down| (0..FREQUENCIES).map(move |across| (down, across)));
    let mut lowest: Vec<(usize, usize)> = all.filter(|(down, across)| down + across > 0).collect();
    lowest.sort_by_key(|(down, across)| (down + across, *down));
    lowest.truncate(64);
    lowest
});

/// A bit for each of the lowest frequencies: 1 where its coefficient is positive, 0 where it is negative or next to
/// nothing.
pub(super) fn signs(view: &[[f64; VIEW]; VIEW]) -> u64 {
    let across = view.map(|row| {
        let mut sums = [0.0; FREQUENCIES];
        for (value, cosines) in row.iter().zip(&*COSINES) {
            for (sum, cosine) in sums.iter_mut().zip(cosines) {
                *sum += value * cosine;
            }
        }
        sums
    });
    let coefficient = |down: usize, frequency: usize| -> f64 {
        let rows = across.iter().zip(&*COSINES);
        rows.map(|(row, cosines)| row[frequency] * cosines[down])
            .sum()
    };
    LOWEST
        .iter()
        .enumerate()
        .fold(0, |word, (bit, &(down, frequency))| {
            word | u64::from(coefficient(down, frequency) > NOTHING) << bit
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waves(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let (x, y) = (
                f64::from(x) / f64::from(width),
                f64::from(y) / f64::from(height),
            );
            let level = 128.0 + 60.0 * (7.0 * x).sin() * (5.0 * y + 2.0 * x).cos();
            [level as u8, (200.0 - 0.5 * level) as u8, 90].into()
        })
    }

    #[test]
    fn the_size_of_a_picture_hardly_matters() {
        let small = of_picture(&waves(90, 70));
        for (width, height) in [(180, 140), (500, 60), (33, 41), (128, 128)] {
            let difference = difference(&small, &of_picture(&waves(width, height)));
            assert!(difference <= 3, "{width}×{height}: {difference}");
        }
    }

    #[test]
    fn other_colours_are_another_picture() {
        let picture = waves(64, 64);
        let mut turned = picture.clone();
        for pixel in turned.pixels_mut() {
            pixel.0.swap(1, 2);
        }
        assert_eq!(difference(&of_picture(&picture), &of_picture(&turned)), 64);
    }

    #[test]
    fn each_quarter_has_its_mean_colour() {
        let picture = RgbImage::from_fn(6, 4, |x, y| match (x < 3, y < 2) {
            (true, true) => [255, 0, 0].into(),
            (false, false) => [0, 0, 255].into(),
            _ => [90, 90, 90].into(),
        });
        let colours = of_picture(&picture)[VIEWS].to_le_bytes();
        assert_eq!(colours, [85, 255, 128, 128, 128, 128, 255, 107]);
    }

    #[test]
    fn a_flat_picture_and_an_empty_one_have_no_signs() {
        let flat = of_picture(&RgbImage::from_pixel(50, 40, [9, 9, 9].into()));
        assert!(flat[..VIEWS].iter().all(|word| *word == 0));
        assert_eq!(of_picture(&RgbImage::new(0, 0))[..VIEWS], [0; VIEWS]);
    }

    #[test]
    fn words_that_differ_in_two_bits_share_a_key() {
        let word = 0x0123_4567_89AB_CDEF;
        for (a, b) in [(0, 63), (21, 22), (5, 6), (30, 50)] {
            let other = word ^ (1 << a) ^ (1 << b);
            let keys = band_keys([word].into_iter());
            assert!(
                band_keys([other].into_iter())
                    .iter()
                    .any(|key| keys.contains(key))
            );
        }
    }
}
