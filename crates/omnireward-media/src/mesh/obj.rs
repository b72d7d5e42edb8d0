//! Wavefront OBJ.

use std::collections::HashMap;

use super::{
    Axis, Mesh,
    builder::{Builder, Vertex, out_of_range},
    color, mtl,
    side::SideFiles,
    text::{Line, shortened},
};
use crate::{Error, Limits};

const FORMAT: &str = "OBJ";

/// Vertices and polygons with texture coordinates, materials and vertex colours. Normals, groups,
/// points, lines and curves are passed over.
pub(super) fn decode(
    bytes: &[u8],
    side: &mut SideFiles<'_>,
    limits: &Limits,
) -> Result<Mesh, Error> {
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader {
        builder: Builder::new(FORMAT, Axis::Y, limits),
        side,
        points: Vec::new(),
        texture_points: Vec::new(),
        seams: HashMap::new(),
        materials: HashMap::new(),
        material: 0,
        corners: Vec::new(),
    };
    let mut continued = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        // A backslash at the end of a line joins it with the next.
        if let Some(start) = line.trim_end().strip_suffix('\\') {
            continued.push_str(start);
            continued.push(' ');
        } else if continued.is_empty() {
            reader.statement(number, line)?;
        } else {
            continued.push_str(line);
            reader.statement(number, &std::mem::take(&mut continued))?;
        }
    }
    reader.statement(0, &continued)?;
    let missing = std::mem::take(&mut reader.side.missing);
    reader.builder.finish(missing)
}

struct Reader<'r, 's> {
    builder: Builder<'r>,
    side: &'r mut SideFiles<'s>,
    /// What each `v` statement made.
    points: Vec<Point>,
    /// Texture coordinates as `vt` gives them, with the origin moved to the upper left.
    texture_points: Vec<[f32; 2]>,
    /// Further vertices of a `v`, where a seam gives it other texture coordinates.
    seams: HashMap<(u32, u32), u32>,
    materials: HashMap<String, u32>,
    material: u32,
    corners: Vec<u32>,
}

/// A `v` statement's vertex and the texture coordinates that this vertex took.
#[derive(Clone, Copy)]
struct Point {
    vertex: u32,
    uv: Option<u32>,
}

impl Reader<'_, '_> {
    fn statement(&mut self, number: u64, text: &str) -> Result<(), Error> {
        let text = text.trim_start();
        let (keyword, rest) = text
            .split_once(|c: char| c.is_ascii_whitespace())
            .unwrap_or((text, ""));
        // File names may hold `#`, numbers may not.
        let data = || Line::new(FORMAT, number, rest.split('#').next().unwrap_or_default());
        match keyword {
            "v" => self.point(data()),
            "vt" => self.texture_point(data()),
            "f" | "fo" => self.face(data()),
            "l" | "p" => {
                self.builder.faceless += 1;
                Ok(())
            }
            "mtllib" => self.library(rest.trim()),
            "usemtl" => {
                self.material = self.materials.get(rest.trim()).copied().unwrap_or(0);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn point(&mut self, mut line: Line<'_>) -> Result<(), Error> {
        let position = line.position()?;
        let vertex = Vertex {
            position,
            color: vertex_color(&line.numbers_left()),
            uv: None,
        };
        let vertex = self.builder.vertex(vertex, || line.place())?;
        self.points.push(Point { vertex, uv: None });
        Ok(())
    }

    fn texture_point(&mut self, mut line: Line<'_>) -> Result<(), Error> {
        let across = line.number("a texture coordinate")?;
        let up = line.numbers_left().first().copied().unwrap_or(0.0);
        self.texture_points.push([across, 1.0 - up]);
        Ok(())
    }

    fn face(&mut self, mut line: Line<'_>) -> Result<(), Error> {
        let mut corners = std::mem::take(&mut self.corners);
        corners.clear();
        while let Some(word) = line.word() {
            corners.push(self.corner(word, &line)?);
        }
        let done = self.builder.polygon(&corners, self.material);
        self.corners = corners;
        done
    }

    /// A corner `v`, `v/vt`, `v//vn` or `v/vt/vn`.
    fn corner(&mut self, word: &str, line: &Line<'_>) -> Result<u32, Error> {
        let mut indices = word.split('/');
        let point = indices.next().unwrap_or_default();
        let count = self.points.len() as u32;
        let point = resolved(line.parsed(point, "a vertex index")?, count)
            .ok_or_else(|| line.error(out_of_range(shortened(point), count)))?;
        match indices.next() {
            None | Some("") => Ok(self.points[point as usize].vertex),
            Some(uv) => {
                let count = self.texture_points.len() as u32;
                // Programs name texture coordinates that they did not write; only colour is lost.
                match resolved(line.parsed(uv, "a texture index")?, count) {
                    Some(uv) => self.vertex_with_uv(point, uv),
                    None => Ok(self.points[point as usize].vertex),
                }
            }
        }
    }

    fn vertex_with_uv(&mut self, point: u32, uv: u32) -> Result<u32, Error> {
        let texture_point = self.texture_points[uv as usize];
        let first = &mut self.points[point as usize];
        match first.uv {
            Some(taken) if taken == uv => Ok(first.vertex),
            None => {
                first.uv = Some(uv);
                self.builder.set_uv(first.vertex, texture_point);
                Ok(first.vertex)
            }
            Some(_) => {
                if let Some(&vertex) = self.seams.get(&(point, uv)) {
                    return Ok(vertex);
                }
                let vertex = self
                    .builder
                    .vertex_like(first.vertex, None, Some(texture_point))?;
                self.seams.insert((point, uv), vertex);
                Ok(vertex)
            }
        }
    }

    fn library(&mut self, names: &str) -> Result<(), Error> {
        // The statement allows several names, but programs write single names with spaces.
        let mut found = self.side.optional_bytes(names)?;
        if found.is_none() && names.contains(' ') {
            for name in names.split_ascii_whitespace() {
                if let Some(bytes) = self.side.optional_bytes(name)? {
                    self.side.missing.retain(|missing| missing != names);
                    self.add_library(&bytes)?;
                }
            }
        } else if let Some(bytes) = found.take() {
            self.add_library(&bytes)?;
        }
        Ok(())
    }

    fn add_library(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for (name, material) in mtl::decode(bytes, self.side)? {
            let number = self.builder.material(material);
            self.materials.insert(name, number);
        }
        Ok(())
    }
}

/// `1` is the first of `count`, `-1` the last.
fn resolved(index: i64, count: u32) -> Option<u32> {
    let from_zero = if index > 0 {
        index - 1
    } else {
        i64::from(count) + index
    };
    u32::try_from(from_zero)
        .ok()
        .filter(|&index| index < count && from_zero >= 0)
}

/// Colours are a custom, not in the specification: three numbers after the coordinates, of 0 to 1
/// or 0 to 255. A single number is a weight.
fn vertex_color(extra: &[f32]) -> Option<[f32; 4]> {
    let [r, g, b, ..] = *extra else { return None };
    let scale = if [r, g, b].iter().any(|&x| x > 1.0) {
        255.0
    } else {
        1.0
    };
    Some(color::linear_rgba([r / scale, g / scale, b / scale, 1.0]))
}
