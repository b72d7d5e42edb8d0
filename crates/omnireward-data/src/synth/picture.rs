//! Pictures of flat shapes.

use omnireward_media::RgbImage;

use super::{
    random::Random,
    scene::{Attribute, Scene},
};

/// Width and height of every picture, in pixels: eight patches of fourteen.
pub(super) const SIDE: u32 = 112;

/// Widths of small and large objects, in pixels.
const WIDTHS: [f32; 2] = [16.0, 25.0];

/// By [`Attribute::Colour`].
const COLOURS: [[u8; 3]; 6] = [
    [218, 42, 42],
    [42, 160, 66],
    [48, 84, 220],
    [242, 212, 48],
    [150, 62, 184],
    [246, 138, 28],
];

/// By [`Attribute::Background`].
const BACKGROUNDS: [[u8; 3]; 3] = [[244, 244, 242], [18, 18, 22], [136, 136, 138]];

/// How far a colour strays from its usual tone, in each channel.
const TONES: f32 = 12.0;

/// How much lighter or darker than its middle a background is at its ends.
const GRADIENT: f32 = 10.0;

/// By [`Attribute::Shape`]: whether a point is inside, on a square from -1 to 1 whose Y points down.
const OUTLINES: [fn(f32, f32) -> bool; 5] = [in_circle, in_square, in_triangle, in_star, in_cross];

/// A flat object on a picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object {
    /// In pixels from the upper left.
    pub(super) centre: [f32; 2],
    /// In pixels.
    pub(super) width: f32,
    /// As a value of [`Attribute::Shape`].
    pub(super) shape: u8,
    pub(super) colour: [u8; 3],
}

/// The picture of a scene. What does not differ between two scenes looks the same in their pictures
/// of the same `look`.
pub(super) fn paint(scene: &Scene, look: u64) -> RgbImage {
    let mut random = Random::new(&[look]);
    let colour = colour_of(scene, &mut random);
    let slope = GRADIENT * random.between(-1.0, 1.0);
    let mut image = background(scene, slope, &mut random);
    let width = WIDTHS[scene.get(Attribute::Size) as usize];
    for centre in places(scene, width, &mut random) {
        let object = Object {
            centre,
            width,
            shape: scene.get(Attribute::Shape),
            colour,
        };
        object.draw(&mut image);
    }
    image
}

/// The scene's colour, a little off its usual tone.
pub(super) fn colour_of(scene: &Scene, random: &mut Random) -> [u8; 3] {
    toned(COLOURS[scene.get(Attribute::Colour) as usize], random)
}

fn toned(colour: [u8; 3], random: &mut Random) -> [u8; 3] {
    colour.map(|channel| level(f32::from(channel) + random.between(-TONES, TONES)))
}

fn level(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// A plain background that gets lighter or darker from top to bottom by `slope` to each side.
pub(super) fn background(scene: &Scene, slope: f32, random: &mut Random) -> RgbImage {
    let shift = random.between(-TONES / 2.0, TONES / 2.0);
    let middle = BACKGROUNDS[scene.get(Attribute::Background) as usize].map(f32::from);
    RgbImage::from_fn(SIDE, SIDE, |_, y| {
        let down = y as f32 / (SIDE - 1) as f32 * 2.0 - 1.0;
        middle
            .map(|channel| level(channel + shift + slope * down))
            .into()
    })
}

/// Where the objects are, none on another and all within the named region: in a row along the side,
/// or close together.
fn places(scene: &Scene, width: f32, random: &mut Random) -> Vec<[f32; 2]> {
    let count = scene.count();
    let is_row = random.chance(0.5);
    let turn = random.chance(0.5);
    // The same numbers are drawn for any count, so that a look survives a change of it.
    let jitter: [[f32; 2]; 4] =
        std::array::from_fn(|_| std::array::from_fn(|_| random.between(-1.0, 1.0)));
    let offsets = if is_row && scene.word(Attribute::Place) != "in the middle" {
        row(count)
    } else {
        cluster(count, turn)
    };
    let middle = SIDE as f32 / 2.0;
    let depth = 28.0;
    let centre = |along: f32, inward: f32| match scene.get(Attribute::Place) {
        0 => [depth + inward, middle + along],
        1 => [2.0 * middle - depth - inward, middle + along],
        2 => [middle + along, depth + inward],
        3 => [middle + along, 2.0 * middle - depth - inward],
        _ => [middle + along, middle + inward],
    };
    // Cells are 27 pixels wide; a pixel stays free between neighbours.
    let room = (26.0 - width) / 2.0;
    offsets
        .into_iter()
        .zip(jitter)
        .map(|([along, inward], [one, other])| {
            let [x, y] = centre(along, inward);
            [x + one * room, y + other * room]
        })
        .collect()
}

/// Offsets along the side, and none inward.
fn row(count: usize) -> Vec<[f32; 2]> {
    let step = [0.0, 40.0, 34.0, 27.0][count - 1];
    let first = -step * (count - 1) as f32 / 2.0;
    (0..count)
        .map(|place| [first + step * place as f32, 0.0])
        .collect()
}

/// Offsets around a middle, at least 27 pixels from one another.
fn cluster(count: usize, turn: bool) -> Vec<[f32; 2]> {
    let half = 13.5;
    let mut offsets = match count {
        1 => vec![[0.0, 0.0]],
        2 => vec![[-half, 0.0], [half, 0.0]],
        3 => vec![[-half, half], [half, half], [0.0, -half]],
        _ => vec![[-half, -half], [half, -half], [-half, half], [half, half]],
    };
    if turn {
        for offset in &mut offsets {
            offset.swap(0, 1);
        }
    }
    offsets
}

impl Object {
    /// Draws the object with smooth edges over what is there.
    pub(super) fn draw(self, image: &mut RgbImage) {
        const SAMPLES: u32 = 3;
        let half = self.width / 2.0;
        let [across, down] = self.centre.map(|middle| {
            let first = (middle - half).floor().max(0.0) as u32;
            let end = (middle + half).ceil().clamp(0.0, SIDE as f32) as u32;
            first..end
        });
        let inside = OUTLINES[self.shape as usize];
        for y in down {
            for x in across.clone() {
                let covered = (0..SAMPLES * SAMPLES)
                    .filter(|sample| {
                        let offset = |index: u32| (index as f32 + 0.5) / SAMPLES as f32;
                        let u = x as f32 + offset(sample % SAMPLES) - self.centre[0];
                        let v = y as f32 + offset(sample / SAMPLES) - self.centre[1];
                        inside(u / half, v / half)
                    })
                    .count() as f32;
                let share = covered / (SAMPLES * SAMPLES) as f32;
                let pixel = image.get_pixel_mut(x, y);
                for (under, over) in pixel.0.iter_mut().zip(self.colour) {
                    *under =
                        level(f32::from(*under) + (f32::from(over) - f32::from(*under)) * share);
                }
            }
        }
    }
}

fn in_circle(x: f32, y: f32) -> bool {
    x * x + y * y <= 1.0
}

fn in_square(x: f32, y: f32) -> bool {
    x.abs().max(y.abs()) <= 0.88
}

fn in_triangle(x: f32, y: f32) -> bool {
    (-0.95..=0.8).contains(&y) && x.abs() <= (y + 0.95) / 1.85
}

/// Five points. Each edge runs from a tip at distance 1 to a corner between two tips.
fn in_star(x: f32, y: f32) -> bool {
    use std::f32::consts::PI;
    const CORNER: f32 = 0.42;
    let sector = 2.0 * PI / 5.0;
    let angle = x.atan2(-y).rem_euclid(sector);
    let from_tip = angle.min(sector - angle);
    let radius = x.hypot(y);
    let (px, py) = (radius * from_tip.cos(), radius * from_tip.sin());
    let (cx, cy) = (CORNER * (PI / 5.0).cos(), CORNER * (PI / 5.0).sin());
    (cx - 1.0) * py - cy * (px - 1.0) >= 0.0
}

fn in_cross(x: f32, y: f32) -> bool {
    let (near, far) = (x.abs().min(y.abs()), x.abs().max(y.abs()));
    near <= 0.32 && far <= 0.92
}
