use ::image::Rgb;

use super::{
    super::color::{LINEAR_OF_BYTE, byte},
    Scene,
    camera::Camera,
    raster::{NOTHING, Raster, Setup},
    vector::{add, dot, scaled, unit},
};
use crate::RgbImage;

/// Plain surfaces are a warm light grey, so that both light and shadow show on them.
const PLAIN: [f32; 3] = [0.68, 0.67, 0.65];

/// A light far away, fixed to the camera so that no view lies in the dark. The direction is right,
/// up and toward the eye.
struct Light {
    direction: [f32; 3],
    strength: f32,
}

const KEY: Light = Light {
    direction: [-0.55, 0.65, 0.55],
    strength: 0.60,
};
const FILL: Light = Light {
    direction: [0.80, 0.10, 0.50],
    strength: 0.15,
};
/// Light from all around: more from above than from below. With both lights it leaves white just
/// below the brightest that a screen can show, so that white things keep their shape.
const AMBIENT: [f32; 2] = [0.26, 0.10];
const GLOSS: f32 = 0.05;
const GLOSS_EXPONENT: i32 = 24;

/// Turns the samples of a view into pixels.
pub(super) struct Shader<'a> {
    scene: &'a Scene<'a>,
    camera: &'a Camera,
    raster: &'a Raster,
    background: [f32; 3],
    /// Samples of a pixel in each direction.
    samples: u32,
    key: [f32; 3],
    fill: [f32; 3],
}

impl<'a> Shader<'a> {
    pub(super) fn new(
        scene: &'a Scene<'a>,
        camera: &'a Camera,
        raster: &'a Raster,
        background: [u8; 3],
        samples: u32,
    ) -> Self {
        Self {
            scene,
            camera,
            raster,
            background: background.map(|level| LINEAR_OF_BYTE[usize::from(level)]),
            samples,
            key: camera.direction(KEY.direction),
            fill: camera.direction(FILL.direction),
        }
    }

    /// Writes the view into a square of the sheet.
    pub(super) fn resolve(&self, sheet: &mut RgbImage, left: u32, top: u32, size: u32) {
        for y in 0..size {
            for x in 0..size {
                if let Some(color) = self.pixel(x, y) {
                    sheet.put_pixel(left + x, top + y, Rgb(color.map(byte)));
                }
            }
        }
    }

    /// The colour of a pixel, or `None` where only the background shows. Each triangle in a pixel
    /// is shaded once, in the middle of the samples that show it.
    fn pixel(&self, x: u32, y: u32) -> Option<[f32; 3]> {
        let mut parts = Parts::default();
        for dy in 0..self.samples {
            for dx in 0..self.samples {
                let (sx, sy) = (x * self.samples + dx, y * self.samples + dy);
                let sample = sy as usize * self.raster.size() as usize + sx as usize;
                parts.add(
                    self.raster.triangle[sample],
                    sx as f32 + 0.5,
                    sy as f32 + 0.5,
                );
            }
        }
        if parts.only_background() {
            return None;
        }
        let mut color = [0.0; 3];
        for part in parts.found() {
            let share = part.samples / (self.samples * self.samples) as f32;
            let shown = match self.setup(part.triangle) {
                Some(setup) => {
                    let (x, y) = (part.x / part.samples, part.y / part.samples);
                    self.surface(part.triangle, &setup, x, y)
                }
                None => self.background,
            };
            color = add(color, scaled(shown, share));
        }
        Some(color)
    }

    fn setup(&self, triangle: u32) -> Option<Setup> {
        let corners = *self.scene.mesh.triangles.get(triangle as usize)?;
        self.raster.setup(corners)
    }

    /// The light that comes from a point of a triangle.
    fn surface(&self, triangle: u32, setup: &Setup, x: f32, y: f32) -> [f32; 3] {
        let weights = setup.weights_at(x, y);
        let corners = self.scene.mesh.triangles[triangle as usize];
        let point = blended(corners.map(|i| self.scene.positions[i as usize]), weights);
        let view = self.camera.view_direction(point);
        let normal = self.normal(triangle, weights, view);
        let pixel_area = (self.samples * self.samples) as f32 / setup.area();
        let [r, g, b, _] = self.scene.color(triangle, weights, pixel_area);

        let sky = 0.5 + 0.5 * normal[1];
        let ambient = AMBIENT[1] + (AMBIENT[0] - AMBIENT[1]) * sky;
        let key = KEY.strength * dot(normal, self.key).max(0.0);
        let fill = FILL.strength * dot(normal, self.fill).max(0.0);
        let between = unit(add(self.key, view));
        let gloss = GLOSS * dot(normal, between).max(0.0).powi(GLOSS_EXPONENT);
        [r, g, b].map(|albedo| albedo * (ambient + key + fill) + gloss)
    }

    /// The smoothed normal on the side of the triangle that is seen.
    fn normal(&self, triangle: u32, weights: [f32; 3], view: [f32; 3]) -> [f32; 3] {
        let normals = self.scene.normals[triangle as usize];
        let normal = unit(blended(normals, weights));
        if dot(normal, view) < 0.0 {
            scaled(normal, -1.0)
        } else {
            normal
        }
    }
}

impl Scene<'_> {
    /// Linear RGBA of a point of a triangle. `share` is the share of the triangle that a pixel
    /// covers.
    fn color(&self, triangle: u32, weights: [f32; 3], share: f32) -> [f32; 4] {
        let mesh = self.mesh;
        let corners = mesh.triangles[triangle as usize];
        let material = mesh.material_of[triangle as usize] as usize;
        let texture = self.textures[material]
            .as_ref()
            .filter(|_| !mesh.uv.is_empty());
        let mut color = mesh.materials[material].base_color;
        let mut is_plain = material == 0;
        if !mesh.colors.is_empty() {
            is_plain = false;
            multiply(
                &mut color,
                blended(corners.map(|i| mesh.colors[i as usize]), weights),
            );
        }
        if let Some(texture) = texture {
            is_plain = false;
            let uv = corners.map(|i| mesh.uv[i as usize]);
            let [[ax, ay], [bx, by], [cx, cy]] = uv;
            let area = ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)).abs() / 2.0;
            let texels = area * texture.texels() * share;
            multiply(&mut color, texture.sample(blended(uv, weights), texels));
        }
        if is_plain {
            multiply(&mut color, [PLAIN[0], PLAIN[1], PLAIN[2], 1.0]);
        }
        color
    }

    /// Opacity alone, for deciding whether a sample shows the triangle.
    pub(super) fn opacity(&self, triangle: u32, weights: [f32; 3]) -> f32 {
        self.color(triangle, weights, 0.0)[3]
    }
}

fn multiply(color: &mut [f32; 4], by: [f32; 4]) {
    for (channel, factor) in color.iter_mut().zip(by) {
        *channel *= factor;
    }
}

fn blended<const N: usize>(corners: [[f32; N]; 3], weights: [f32; 3]) -> [f32; N] {
    std::array::from_fn(|i| {
        (0..3)
            .map(|corner| corners[corner][i] * weights[corner])
            .sum()
    })
}

/// The triangles in one pixel; a pixel has at most 16 samples.
#[derive(Default)]
struct Parts {
    parts: [Part; 16],
    count: usize,
}

#[derive(Clone, Copy, Default)]
struct Part {
    triangle: u32,
    samples: f32,
    /// Sums over the samples.
    x: f32,
    y: f32,
}

impl Parts {
    fn add(&mut self, triangle: u32, x: f32, y: f32) {
        let known = self
            .found()
            .iter()
            .position(|part| part.triangle == triangle);
        let slot = known.unwrap_or_else(|| {
            self.parts[self.count].triangle = triangle;
            self.count += 1;
            self.count - 1
        });
        let part = &mut self.parts[slot];
        part.samples += 1.0;
        part.x += x;
        part.y += y;
    }

    fn found(&self) -> &[Part] {
        &self.parts[..self.count]
    }

    fn only_background(&self) -> bool {
        self.found().iter().all(|part| part.triangle == NOTHING)
    }
}
