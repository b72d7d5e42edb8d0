//! Videos of one or two shapes that do something.

use omnireward_media::RgbImage;

use super::{
    aspect::{Damage, Defect},
    damage::blurred,
    picture::{Object, SIDE, background, colour_of},
    random::Random,
    scene::{Attribute, Scene, motion},
};

/// Frames of every video.
pub(super) const FRAMES: usize = 8;

/// How long each is shown.
pub(super) const FRAME_MILLISECONDS: u32 = 250;

/// Widths of small and large objects, in pixels.
const WIDTHS: [f32; 2] = [16.0, 28.0];

/// The width that what grows and shrinks has half-way.
const CHANGING_WIDTH: f32 = 23.0;

/// How far objects go, slowly and quickly, in pixels.
const DISTANCES: [f32; 2] = [26.0, 68.0];

/// How much larger than half-way what grows is in the end, slowly and quickly, as an exponent of 2.
const GROWTH: [f32; 2] = [0.3, 0.85];

/// The scene's frames, with what is wrong with them.
pub(super) fn shoot(scene: &Scene, damage: &Damage, look: u64) -> Vec<RgbImage> {
    let mut random = Random::new(&[look]);
    let colour = colour_of(scene, &mut random);
    let empty = background(scene, 0.0, &mut random);
    let middle: [f32; 2] = std::array::from_fn(|_| SIDE as f32 / 2.0 + random.between(-6.0, 6.0));
    let frame = |time: f32| {
        let mut image = empty.clone();
        for object in objects(scene, middle, time, colour) {
            object.draw(&mut image);
        }
        image
    };
    let frozen = damage.level(Defect::Frozen);
    (0..FRAMES)
        .map(|number| frame(shown(number, frozen) as f32 / (FRAMES - 1) as f32))
        .enumerate()
        .map(|(number, image)| spoiled(image, number, damage))
        .collect()
}

/// The frame that is seen in place of another when some are frozen: the model's four frames of
/// eight are 0, 2, 4 and 7.
const fn shown(number: usize, frozen: u8) -> usize {
    match (frozen, number) {
        (1, 2..=4) => 2,
        (2, 0..=6) => 0,
        _ => number,
    }
}

fn spoiled(image: RgbImage, number: usize, damage: &Damage) -> RgbImage {
    let mut image = match damage.level(Defect::Blur) {
        0 => image,
        level => blurred(&image, level),
    };
    let is_dark = matches!(number, 1 | 2 | 5 | 7);
    if is_dark {
        let light = [1.0, 0.72, 0.4][usize::from(damage.level(Defect::Flicker))];
        for channel in image.iter_mut() {
            *channel = (f32::from(*channel) * light).round() as u8;
        }
    }
    image
}

/// The objects at a time from 0 to 1.
fn objects(scene: &Scene, middle: [f32; 2], time: f32, colour: [u8; 3]) -> Vec<Object> {
    let doing = scene.get(Attribute::Motion);
    let speed = scene.get(Attribute::Speed) as usize;
    let from_half = 2.0 * time - 1.0;
    let step = DISTANCES[speed] / 2.0 * from_half;
    let [dx, dy] = match doing {
        0 => [-step, 0.0],
        1 => [step, 0.0],
        2 => [0.0, -step],
        3 => [0.0, step],
        _ => [0.0, 0.0],
    };
    let width = match doing {
        motion::GROWS => CHANGING_WIDTH * (GROWTH[speed] * from_half).exp2(),
        motion::SHRINKS => CHANGING_WIDTH * (-GROWTH[speed] * from_half).exp2(),
        _ => WIDTHS[scene.get(Attribute::Size) as usize],
    };
    let apart: &[f32] = if scene.count() == 1 {
        &[0.0]
    } else {
        &[-24.0, 24.0]
    };
    apart
        .iter()
        .map(|&apart| {
            // Two objects keep beside one another, across the way they go.
            let [ax, ay] = if doing == 2 || doing == 3 {
                [apart, 0.0]
            } else {
                [0.0, apart]
            };
            Object {
                centre: [middle[0] + dx + ax, middle[1] + dy + ay],
                width,
                shape: scene.get(Attribute::Shape),
                colour,
            }
        })
        .collect()
}
