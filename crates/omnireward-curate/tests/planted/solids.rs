//! Meshes, and how copies of them are changed.

use std::fmt::Write as _;

use omnireward_media::{
    Limits,
    mesh::{MeshSource, decode},
};
use omnireward_testkit::real_data;

use crate::{ORIGINAL, Planted, noise::Noise};

/// Models of different things; of the many cubes among the test data there is one, and none with something inside, which
/// no view shows.
const REAL: [&str; 13] = [
    "mesh/files/20mm-xyz-cube.stl",
    "mesh/files/assimp_OBJ_concave_polygon.obj",
    "mesh/files/featuretype.STL",
    "mesh/files/fuze.obj",
    "mesh/files/ico4uv.obj",
    "mesh/files/multibody.stl",
    "mesh/files/nested.glb",
    "mesh/files/pins.glb",
    "mesh/files/rabbit.obj",
    "mesh/files/simple_pole.glb",
    "mesh/files/testplate.glb",
    "mesh/files/tet.ply",
    "mesh/files/unit_cube.STL",
];

const GENERATED: usize = 26;

/// Points and triangles.
#[derive(Clone)]
struct Solid {
    points: Vec<[f64; 3]>,
    triangles: Vec<[u32; 3]>,
}

pub(crate) fn planted() -> Vec<Planted> {
    let mut originals = real();
    originals.extend((0..GENERATED).map(|seed| {
        let solid = generated(seed);
        (solid.obj(9), solid)
    }));
    let all = originals.into_iter().enumerate();
    all.flat_map(|(original, (bytes, solid))| copies_of(original, bytes, &solid))
        .collect()
}

fn real() -> Vec<(Vec<u8>, Solid)> {
    if real_data("mesh").is_none() {
        return Vec::new();
    }
    let read = |path: &str| {
        let bytes = std::fs::read(real_data(path).unwrap()).unwrap();
        let missing = |name: &str| {
            Err(omnireward_media::Error::MissingSideFile {
                mesh: path.to_owned(),
                name: name.to_owned(),
                source: None,
            })
        };
        let source = MeshSource {
            name: path,
            side: &missing,
        };
        let mesh = decode(&bytes, &source, &Limits::default()).unwrap();
        let solid = Solid {
            points: mesh
                .positions()
                .iter()
                .map(|point| point.map(f64::from))
                .collect(),
            triangles: mesh.triangles().to_vec(),
        };
        // Colours are lost in most conversions, so that the plain form is the original.
        (solid.obj(9), solid)
    };
    REAL.map(read).to_vec()
}

/// A superellipsoid with waves, with another beside it that is turned and smaller.
fn generated(seed: usize) -> Solid {
    let mut noise = Noise::new(4000 + seed);
    let mut solid = Solid {
        points: Vec::new(),
        triangles: Vec::new(),
    };
    for part in 0..=seed % 3 {
        let shape = [noise.between(0.2, 2.2), noise.between(0.2, 2.2)];
        let axes = [0; 3].map(|_: i32| noise.between(0.25, 1.0));
        let waves = (noise.between(2.0, 6.0).round(), noise.between(0.0, 0.35));
        let shift = [0; 3].map(|_: i32| noise.between(-1.0, 1.0) * part as f64);
        solid.add(24, |u, v| {
            let power = |x: f64, exponent: f64| x.signum() * x.abs().powf(exponent);
            let wave = 1.0 + waves.1 * (waves.0 * u).sin() * v.cos();
            let ring = power(v.cos(), shape[0]) * wave;
            let point = [
                ring * power(u.cos(), shape[1]),
                power(v.sin(), shape[0]),
                ring * power(u.sin(), shape[1]),
            ];
            std::array::from_fn(|axis| point[axis] * axes[axis] + shift[axis])
        });
    }
    solid
}

impl Solid {
    fn add(&mut self, steps: u32, at: impl Fn(f64, f64) -> [f64; 3]) {
        use std::f64::consts::PI;
        let first = self.points.len() as u32;
        for row in 0..=steps {
            for column in 0..steps {
                let u = 2.0 * PI * f64::from(column) / f64::from(steps);
                self.points
                    .push(at(u, PI * (f64::from(row) / f64::from(steps) - 0.5)));
            }
        }
        let point = |row: u32, column: u32| first + row * steps + column % steps;
        for row in 0..steps {
            for column in 0..steps {
                let [a, b] = [point(row, column), point(row, column + 1)];
                let [c, d] = [point(row + 1, column), point(row + 1, column + 1)];
                self.triangles.extend([[a, c, b], [b, c, d]]);
            }
        }
    }

    fn moved(&self, change: impl Fn([f64; 3]) -> [f64; 3]) -> Self {
        Self {
            points: self.points.iter().map(|point| change(*point)).collect(),
            triangles: self.triangles.clone(),
        }
    }

    /// The length of the longest side.
    fn extent(&self) -> f64 {
        (0..3)
            .map(|axis| {
                let values = self.points.iter().map(|point| point[axis]);
                values.clone().fold(f64::MIN, f64::max) - values.fold(f64::MAX, f64::min)
            })
            .fold(0.0, f64::max)
    }

    fn obj(&self, digits: usize) -> Vec<u8> {
        let mut text = String::new();
        for [x, y, z] in &self.points {
            writeln!(text, "v {x:.digits$} {y:.digits$} {z:.digits$}").unwrap();
        }
        for [a, b, c] in &self.triangles {
            writeln!(text, "f {} {} {}", a + 1, b + 1, c + 1).unwrap();
        }
        text.into_bytes()
    }

    fn ply(&self) -> Vec<u8> {
        let (points, faces) = (self.points.len(), self.triangles.len());
        let mut text = format!(
            "ply\nformat ascii 1.0\nelement vertex {points}\nproperty float x\nproperty float y\nproperty float z\n\
             element face {faces}\nproperty list uchar int vertex_indices\nend_header\n"
        );
        for [x, y, z] in &self.points {
            writeln!(text, "{x} {y} {z}").unwrap();
        }
        for [a, b, c] in &self.triangles {
            writeln!(text, "3 {a} {b} {c}").unwrap();
        }
        text.into_bytes()
    }

    fn off(&self) -> Vec<u8> {
        let mut text = format!("OFF\n{} {} 0\n", self.points.len(), self.triangles.len());
        for [x, y, z] in &self.points {
            writeln!(text, "{x} {y} {z}").unwrap();
        }
        for [a, b, c] in &self.triangles {
            writeln!(text, "3 {a} {b} {c}").unwrap();
        }
        text.into_bytes()
    }

    /// Binary, without normals.
    fn stl(&self) -> Vec<u8> {
        let mut bytes = vec![0; 80];
        bytes.extend((self.triangles.len() as u32).to_le_bytes());
        for triangle in &self.triangles {
            bytes.extend([0; 12]);
            for corner in triangle {
                for coordinate in self.points[*corner as usize] {
                    bytes.extend((coordinate as f32).to_le_bytes());
                }
            }
            bytes.extend([0; 2]);
        }
        bytes
    }
}

fn copies_of(original: usize, bytes: Vec<u8>, solid: &Solid) -> Vec<Planted> {
    let extent = solid.extent();
    let grid = extent / 1000.0;
    let mut shuffled = solid.clone();
    shuffled.triangles.reverse();
    let middle = shuffled.triangles.len() / 3;
    shuffled.triangles.rotate_left(middle);
    for triangle in &mut shuffled.triangles {
        triangle.rotate_left(1);
    }
    let copies = [
        (ORIGINAL, bytes),
        ("PLY", solid.ply()),
        ("OFF", solid.off()),
        ("binary STL", solid.stl()),
        ("other order of triangles", shuffled.obj(9)),
        (
            "half as large, elsewhere",
            solid.moved(|p| p.map(|c| 0.5 * c + 3.0 * extent)).obj(9),
        ),
        (
            "coordinates rounded to 0.1 %",
            solid.moved(|p| p.map(|c| (c / grid).round() * grid)).obj(9),
        ),
        (
            "turned to have Z up",
            solid.moved(|[x, y, z]| [x, -z, y]).ply(),
        ),
    ];
    let planted = copies.into_iter().map(|(change, bytes)| Planted {
        original,
        change: change.to_owned(),
        bytes,
    });
    planted.collect()
}
