//! Stereolithography, ascii and binary.

use super::{
    Axis, Mesh,
    builder::{Builder, Vertex},
    text::Line,
};
use crate::{Error, Limits};

const FORMAT: &str = "STL";
const HEADER_BYTES: usize = 84;
const FACET_BYTES: usize = 50;

/// The facets of all solids. Their normals and attribute bytes are passed over.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Mesh, Error> {
    let builder = Builder::new(FORMAT, Axis::Z, limits);
    // Binary files may begin with `solid` too; only their length tells.
    let is_text = bytes.trim_ascii_start().starts_with(b"solid") && !has_binary_length(bytes);
    if is_text {
        text(bytes, builder)
    } else {
        binary(bytes, builder)
    }
}

fn claimed_facets(bytes: &[u8]) -> Option<usize> {
    let count = bytes.get(HEADER_BYTES - 4..HEADER_BYTES)?.try_into().ok()?;
    Some(u32::from_le_bytes(count) as usize)
}

fn has_binary_length(bytes: &[u8]) -> bool {
    claimed_facets(bytes)
        .and_then(|count| count.checked_mul(FACET_BYTES)?.checked_add(HEADER_BYTES))
        .is_some_and(|length| length == bytes.len())
}

fn binary(bytes: &[u8], mut builder: Builder<'_>) -> Result<Mesh, Error> {
    let count = claimed_facets(bytes).ok_or_else(|| {
        builder.error(format!(
            "it is cut short: {} bytes are no header",
            bytes.len()
        ))
    })?;
    builder.check_claim(3 * count as u64, count as u64)?;
    let facets = &bytes[HEADER_BYTES..];
    let found = facets.len() / FACET_BYTES;
    if found < count {
        return Err(builder.error(format!("it is cut short: {found} of {count} facets")));
    }
    for (number, facet) in facets.chunks_exact(FACET_BYTES).take(count).enumerate() {
        // The first twelve bytes are the normal.
        let mut floats = facet[12..48].chunks_exact(4).map(|float| {
            f32::from_le_bytes(float.try_into().expect("a chunk of four is four bytes"))
        });
        let mut corner = || -> Result<u32, Error> {
            let position = std::array::from_fn(|_| floats.next().unwrap_or(f32::NAN));
            let vertex = Vertex {
                position,
                ..Vertex::default()
            };
            builder.vertex(vertex, || format!("facet {number}"))
        };
        let corners = [corner()?, corner()?, corner()?];
        builder.triangle(corners, 0)?;
    }
    builder.finish(Vec::new())
}

fn text(bytes: &[u8], mut builder: Builder<'_>) -> Result<Mesh, Error> {
    let text = String::from_utf8_lossy(bytes);
    let mut corners = Vec::with_capacity(3);
    let mut open_solid = false;
    for (number, line) in (1..).zip(text.lines()) {
        let mut line = Line::new(FORMAT, number, line);
        let Some(keyword) = line.word() else { continue };
        match keyword.to_ascii_lowercase().as_str() {
            "solid" => open_solid = true,
            "vertex" => {
                let vertex = Vertex {
                    position: line.position()?,
                    ..Vertex::default()
                };
                corners.push(builder.vertex(vertex, || line.place())?);
            }
            "endloop" => {
                if corners.len() < 3 {
                    return Err(line.error(format!("a facet of {} vertices", corners.len())));
                }
                builder.polygon(&corners, 0)?;
                corners.clear();
            }
            "endsolid" => open_solid = false,
            "facet" | "outer" | "endfacet" | "color" => {}
            other => {
                let found = super::text::shortened(other);
                return Err(line.error(format!("expected a facet, found `{found}`")));
            }
        }
    }
    if open_solid || !corners.is_empty() {
        return Err(builder.error("it is cut short: `endsolid` is missing"));
    }
    builder.finish(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary_file(header: &[u8], count: u32, facets: u32) -> Vec<u8> {
        let mut bytes = vec![0; 80];
        bytes[..header.len()].copy_from_slice(header);
        bytes.extend(count.to_le_bytes());
        for facet in 0..facets {
            bytes.extend([0; 12]);
            for x in [0.0, 0.0, facet as f32, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0] {
                bytes.extend(f32::to_le_bytes(x));
            }
            bytes.extend([0; 2]);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Mesh, Error> {
        decode(bytes, &Limits::default())
    }

    #[test]
    fn a_binary_file_that_begins_with_solid_is_binary() {
        assert_eq!(
            read(&binary_file(b"solid part", 2, 2))
                .unwrap()
                .triangles()
                .len(),
            2
        );
    }

    #[test]
    fn a_count_beyond_the_file_is_cut_short_and_a_huge_one_over_the_limit() {
        let error = read(&binary_file(b"", 3, 2)).unwrap_err();
        assert!(error.to_string().contains("2 of 3 facets"), "{error}");
        assert!(read(&binary_file(b"", u32::MAX, 2)).unwrap_err().is_limit());
    }

    #[test]
    fn coordinates_that_are_no_numbers_are_refused() {
        let mut bytes = binary_file(b"", 1, 1);
        bytes[96..100].copy_from_slice(&f32::NAN.to_le_bytes());
        let error = read(&bytes).unwrap_err();
        assert!(error.to_string().contains("facet 0"), "{error}");
        let text = "solid a\nouter loop\nvertex 0 0 inf\n";
        let error = read(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
    }
}
