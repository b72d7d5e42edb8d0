//! Object File Format.

use super::{
    Axis, Mesh,
    builder::{Builder, Vertex, out_of_range},
    color,
    text::Line,
};
use crate::{Error, Limits};

const FORMAT: &str = "OFF";

/// Vertices with their colours (`COFF`) and faces with theirs. Normals (`NOFF`) and texture
/// coordinates (`STOFF`) are passed over.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Mesh, Error> {
    let text = String::from_utf8_lossy(bytes);
    let mut builder = Builder::new(FORMAT, Axis::Z, limits);
    let mut lines = (1..).zip(text.lines()).filter_map(|(number, line)| {
        let line = line.split('#').next().unwrap_or_default().trim();
        (!line.is_empty()).then_some((number, line))
    });
    let cut_short = |what: &str| Error::mesh(FORMAT, format!("it is cut short: {what}"));

    let (number, first) = lines.next().ok_or_else(|| cut_short("it is empty"))?;
    let (kind, after) =
        header(first).ok_or_else(|| Line::new(FORMAT, number, "").error("expected `OFF`"))?;
    if after.trim_start().starts_with("BINARY") {
        return Err(Error::Unsupported {
            what: "reading a binary OFF mesh".to_owned(),
            needs: "a reader for that variant".to_owned(),
        });
    }
    // The counts may follow on the same line, even without a space.
    let (number, counts) = if after.trim().is_empty() {
        lines
            .next()
            .ok_or_else(|| cut_short("the counts are missing"))?
    } else {
        (number, after)
    };
    let mut counts = Line::new(FORMAT, number, counts);
    let vertices: u64 = counts.number("the number of vertices")?;
    let faces: u64 = counts.number("the number of faces")?;
    builder.check_claim(vertices, faces)?;

    for vertex in 0..vertices {
        let (number, line) = lines
            .next()
            .ok_or_else(|| cut_short(&format!("{vertex} of {vertices} vertices")))?;
        let mut line = Line::new(FORMAT, number, line);
        let position = line.position()?;
        let mut extra = line.numbers_left();
        if kind.normals {
            extra.drain(..extra.len().min(3));
        }
        let color = if kind.colors {
            color_of(&extra, false)
        } else {
            None
        };
        let vertex = Vertex {
            position,
            color,
            uv: None,
        };
        builder.vertex(vertex, || line.place())?;
    }
    let shared = builder.vertices();
    for face in 0..faces {
        let (number, line) = lines
            .next()
            .ok_or_else(|| cut_short(&format!("{face} of {faces} faces")))?;
        read_face(&mut builder, Line::new(FORMAT, number, line), line, shared)?;
    }
    builder.finish(Vec::new())
}

fn read_face(
    builder: &mut Builder<'_>,
    mut line: Line<'_>,
    text: &str,
    shared: u32,
) -> Result<(), Error> {
    let count: usize = line.number("the number of corners")?;
    let mut corners = Vec::new();
    for _ in 0..count {
        let index: u32 = line.number("a vertex index")?;
        if index >= shared {
            return Err(line.error(out_of_range(index, shared)));
        }
        corners.push(index);
    }
    let fractions = text.contains('.');
    if let Some(color) = color_of(&line.numbers_left(), fractions) {
        for corner in &mut corners {
            *corner = builder.vertex_like(*corner, Some(color), None)?;
        }
    }
    builder.polygon(&corners, 0)
}

/// What the keyword before `OFF` announces.
struct Kind {
    colors: bool,
    normals: bool,
}

/// `[ST][C][N]OFF` and what follows it. Spaces of other dimensions (`4`, `n`) are not read.
fn header(line: &str) -> Option<(Kind, &str)> {
    let (prefix, after) = line.split_once("OFF")?;
    let flags = prefix.strip_prefix("ST").unwrap_or(prefix);
    let kind = Kind {
        colors: flags.contains('C'),
        normals: flags.contains('N'),
    };
    matches!(flags, "" | "C" | "N" | "CN").then_some((kind, after))
}

/// Three or four numbers, of 0 to 255 when whole. A single one is an index into a palette that
/// the file does not carry. Opacity is passed over: viewers of this format draw opaque faces.
fn color_of(numbers: &[f32], fractions: bool) -> Option<[f32; 4]> {
    let (&[r, g, b] | &[r, g, b, _]) = numbers else {
        return None;
    };
    let whole = !fractions && [r, g, b].iter().any(|&x| x > 1.0);
    let scale = if whole { 255.0 } else { 1.0 };
    Some(color::linear_rgba([r / scale, g / scale, b / scale, 1.0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Mesh, Error> {
        decode(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn faces_carry_colours() {
        let mesh = read("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2 255 0 0\n").unwrap();
        let corner = mesh.triangles()[0][0] as usize;
        assert_eq!(
            mesh.colors[corner].map(f32::to_bits),
            [1.0, 0.0, 0.0, 1.0_f32].map(f32::to_bits)
        );
    }

    #[test]
    fn vertices_carry_colours_after_normals() {
        let mesh =
            read("CNOFF 3 1 0\n0 0 0 0 0 1 0 1 0\n1 0 0 0 0 1 0 1 0\n0 1 0 0 0 1 0 1 0\n3 0 1 2")
                .unwrap();
        assert_eq!(
            mesh.colors[0].map(f32::to_bits),
            [0.0, 1.0, 0.0, 1.0_f32].map(f32::to_bits)
        );
    }

    #[test]
    fn mistakes_name_their_line() {
        let cases = [
            (
                "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n",
                "line 6: the vertex `7`",
            ),
            (
                "OFF\n3 1 0\n0 0 0\n1 0 x\n0 1 0\n3 0 1 2\n",
                "line 4: expected a coordinate",
            ),
            ("OFF\n3 1 0\n0 0 0\n", "1 of 3 vertices"),
            (
                "OFF\n3 1 0\n0 0 nan\n1 0 0\n0 1 0\n3 0 1 2\n",
                "line 3: the coordinates",
            ),
            ("4OFF\n3 1 0\n", "line 1: expected `OFF`"),
        ];
        for (text, expected) in cases {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
