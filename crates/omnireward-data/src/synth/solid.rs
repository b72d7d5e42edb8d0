//! Models of solids on a plate: PLY text, and the picture of it from four sides.

use std::{f32::consts::TAU, fmt::Write};

use omnireward_core::{MediaRef, MediaSource, Modality};
use omnireward_media::{
    Limits, RgbImage,
    mesh::{self, SheetConfig, render_sheet},
};

use super::{
    aspect::{Damage, Defect},
    picture::{SIDE, colour_of},
    random::{Random, hash},
    scene::{Attribute, Scene},
};

/// Half the width of small and large solids; the plate's radius is 1.
const RADII: [f32; 2] = [0.28, 0.46];
const PLATE: [u8; 3] = [196, 196, 200];
const PLATE_HEIGHT: f32 = 0.06;

/// By [`Attribute::Shape`]: the surface of a solid of radius 1 around the origin, Z up.
const SURFACES: [fn() -> Surface; 5] = [cube, ball, cone, cylinder, ring];

/// Triangles between points.
#[derive(Clone, Debug, Default)]
struct Surface {
    points: Vec<[f32; 3]>,
    triangles: Vec<[usize; 3]>,
}

/// The picture of a scene's model from four sides.
pub(super) fn photograph(scene: &Scene, damage: &Damage, look: u64) -> RgbImage {
    let source = MediaSource::Bytes {
        bytes: model(scene, damage, look).into_bytes().into(),
        name: None,
    };
    let media = MediaRef {
        modality: Modality::Mesh,
        source,
    };
    let mesh = mesh::load(&media, &Limits::default()).expect("the text is a whole PLY file");
    let sheet = SheetConfig {
        view_size: SIDE / 2,
        columns: 2,
        elevation_degrees: 38.0,
        ..SheetConfig::default()
    };
    render_sheet(&mesh, &sheet).expect("a few hundred triangles are within the limits")
}

/// A scene's model as PLY text.
fn model(scene: &Scene, damage: &Damage, look: u64) -> String {
    let mut random = Random::new(&[look]);
    let colour = colour_of(scene, &mut random);
    let radius = RADII[scene.get(Attribute::Size) as usize];
    let mut parts = vec![(plate(), PLATE)];
    for [x, y] in places(scene, &mut random) {
        let mut solid = SURFACES[scene.get(Attribute::Shape) as usize]();
        pierce(&mut solid, damage.level(Defect::Holes), &mut random);
        roughen(&mut solid, damage.level(Defect::Roughness), &mut random);
        let lowest = solid
            .points
            .iter()
            .map(|point| point[2])
            .fold(0.0, f32::min);
        for point in &mut solid.points {
            point[2] -= lowest;
            *point = point.map(|coordinate| coordinate * radius);
            point[0] += x;
            point[1] += y;
        }
        parts.push((solid, colour));
    }
    ply(&parts)
}

/// Where the solids stand.
fn places(scene: &Scene, random: &mut Random) -> Vec<[f32; 2]> {
    let count = scene.count();
    let turn = random.unit();
    let distance = [0.0, 0.5, 0.6][count - 1];
    (0..count)
        .map(|number| {
            let angle = TAU * (turn + number as f32 / count as f32);
            [distance * angle.cos(), distance * angle.sin()]
        })
        .collect()
}

/// Removes patches of a surface.
fn pierce(surface: &mut Surface, level: u8, random: &mut Random) {
    let (holes, width) = [(0, 0.0), (3, 0.34), (6, 0.5)][usize::from(level)];
    for _ in 0..holes {
        let middle = surface.middle(random.pick(&surface.triangles));
        let points = &surface.points;
        surface
            .triangles
            .retain(|&triangle| distance(middle_of(points, triangle), middle) > width);
        if surface.triangles.len() < 12 {
            return;
        }
    }
}

/// Moves points in or out. Points at the same place move together, so that no seam opens.
fn roughen(surface: &mut Surface, level: u8, random: &mut Random) {
    let strength = [0.0, 0.12, 0.3][usize::from(level)];
    let salt = random.bits();
    for point in &mut surface.points {
        let place = point.map(|coordinate| (coordinate * 512.0).round() as i32);
        let key: Vec<u8> = place.iter().flat_map(|part| part.to_le_bytes()).collect();
        let factor = 1.0 + strength * Random::new(&[salt, hash(&key)]).between(-1.0, 1.0);
        *point = point.map(|coordinate| coordinate * factor);
    }
}

impl Surface {
    /// Adds a sheet of `across` × `down` squares; `at` gives the points for 0 to 1 in each direction.
    fn sheet(&mut self, across: usize, down: usize, at: impl Fn(f32, f32) -> [f32; 3]) {
        let first = self.points.len();
        for row in 0..=down {
            for column in 0..=across {
                let (u, v) = (column as f32 / across as f32, row as f32 / down as f32);
                self.points.push(at(u, v));
            }
        }
        let point = |column: usize, row: usize| first + row * (across + 1) + column;
        for row in 0..down {
            for column in 0..across {
                let (a, b) = (point(column, row), point(column + 1, row));
                let (c, d) = (point(column + 1, row + 1), point(column, row + 1));
                self.triangles.extend([[a, b, c], [a, c, d]]);
            }
        }
    }

    fn middle(&self, triangle: [usize; 3]) -> [f32; 3] {
        middle_of(&self.points, triangle)
    }
}

fn middle_of(points: &[[f32; 3]], triangle: [usize; 3]) -> [f32; 3] {
    std::array::from_fn(|axis| {
        triangle
            .iter()
            .map(|&corner| points[corner][axis])
            .sum::<f32>()
            / 3.0
    })
}

fn distance(one: [f32; 3], other: [f32; 3]) -> f32 {
    let squares = one.iter().zip(other).map(|(a, b)| (a - b) * (a - b));
    squares.sum::<f32>().sqrt()
}

fn turned(angle: f32, radius: f32, height: f32) -> [f32; 3] {
    let (sin, cos) = (TAU * angle).sin_cos();
    [radius * cos, radius * sin, height]
}

fn cube() -> Surface {
    const HALF: f32 = 0.8;
    let mut surface = Surface::default();
    for axis in 0..3 {
        for side in [-HALF, HALF] {
            surface.sheet(6, 6, |u, v| {
                let mut point = [0.0; 3];
                point[axis] = side;
                point[(axis + 1) % 3] = HALF * (2.0 * u - 1.0);
                point[(axis + 2) % 3] = HALF * (2.0 * v - 1.0);
                point
            });
        }
    }
    surface
}

fn ball() -> Surface {
    let mut surface = Surface::default();
    surface.sheet(20, 12, |u, v| {
        let (sin, cos) = (TAU / 2.0 * v).sin_cos();
        turned(u, sin, cos)
    });
    surface
}

fn cone() -> Surface {
    let mut surface = Surface::default();
    surface.sheet(20, 7, |u, v| turned(u, v, 1.0 - 2.0 * v));
    surface.sheet(20, 4, |u, v| turned(u, v, -1.0));
    surface
}

fn cylinder() -> Surface {
    const RADIUS: f32 = 0.7;
    let mut surface = Surface::default();
    surface.sheet(20, 8, |u, v| turned(u, RADIUS, 2.0 * v - 1.0));
    for height in [-1.0, 1.0] {
        surface.sheet(20, 4, |u, v| turned(u, RADIUS * v, height));
    }
    surface
}

fn ring() -> Surface {
    let mut surface = Surface::default();
    surface.sheet(24, 10, |u, v| {
        let (sin, cos) = (TAU * v).sin_cos();
        turned(u, 0.72 + 0.28 * cos, 0.28 * sin)
    });
    surface
}

fn plate() -> Surface {
    let mut surface = Surface::default();
    surface.sheet(32, 1, |u, v| turned(u, v, 0.0));
    surface.sheet(32, 1, |u, v| turned(u, 1.0, -PLATE_HEIGHT * v));
    surface
}

fn ply(parts: &[(Surface, [u8; 3])]) -> String {
    let points: usize = parts.iter().map(|(surface, _)| surface.points.len()).sum();
    let triangles: usize = parts
        .iter()
        .map(|(surface, _)| surface.triangles.len())
        .sum();
    let mut text = format!(
        "ply\nformat ascii 1.0\nelement vertex {points}\nproperty float x\nproperty float y\n\
         property float z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\n\
         element face {triangles}\nproperty list uchar int vertex_indices\nend_header\n"
    );
    let mut write = |line: std::fmt::Arguments<'_>| {
        text.write_fmt(line)
            .expect("a string takes all that is written");
    };
    for (surface, [red, green, blue]) in parts {
        for [x, y, z] in &surface.points {
            write(format_args!("{x:.4} {y:.4} {z:.4} {red} {green} {blue}\n"));
        }
    }
    let mut first = 0;
    for (surface, _) in parts {
        for [a, b, c] in &surface.triangles {
            write(format_args!(
                "3 {} {} {}\n",
                first + a,
                first + b,
                first + c
            ));
        }
        first += surface.points.len();
    }
    text
}
