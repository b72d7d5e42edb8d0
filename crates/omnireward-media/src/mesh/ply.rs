//! Stanford PLY, ascii and binary of either byte order.

mod body;
mod header;

use std::sync::Arc;

use body::{Body, Row};
use header::{Element, Header};

use super::{
    Axis, Material, Mesh, Texture, Wrap,
    builder::{Builder, Vertex, out_of_range},
    color,
    side::SideFiles,
};
use crate::{Error, Limits, RgbaImage};

const FORMAT: &str = "PLY";

/// Vertices with colours and texture coordinates, faces with theirs. Normals and elements of
/// other names are passed over.
pub(super) fn decode(
    bytes: &[u8],
    side: &mut SideFiles<'_>,
    limits: &Limits,
) -> Result<Mesh, Error> {
    let header = Header::parse(bytes)?;
    let mut builder = Builder::new(FORMAT, Axis::Z, limits);
    builder.check_claim(header.count("vertex"), header.count("face"))?;

    let texture = match &header.texture_file {
        Some(name) => side.image_file(name)?,
        None => None,
    };
    let material = texture.map_or(0, |image| builder.material(textured(image)));
    let mut reader = Reader {
        builder,
        material,
        shared: 0,
    };

    let mut body = Body::new(&bytes[header.body_start..], header.encoding, limits);
    for element in &header.elements {
        body.check_claim(element)?;
        match element.name.as_str() {
            "vertex" => reader.vertices(element, &mut body)?,
            "face" => reader.faces(element, &mut body)?,
            _ => body.rows(element, |_, _| Ok(()))?,
        }
    }
    let missing = std::mem::take(&mut side.missing);
    reader.builder.finish(missing)
}

fn textured(image: Arc<RgbaImage>) -> Material {
    Material {
        texture: Some(Texture {
            image,
            wrap: [Wrap::Repeat; 2],
        }),
        ..Material::default()
    }
}

struct Reader<'a> {
    builder: Builder<'a>,
    material: u32,
    /// The vertices that faces may name; those that seams add come after.
    shared: u32,
}

impl Reader<'_> {
    fn vertices(&mut self, element: &Element, body: &mut Body<'_>) -> Result<(), Error> {
        let column = |names: &[&str]| element.scalar(names);
        let (Some(x), Some(y), Some(z)) = (column(&["x"]), column(&["y"]), column(&["z"])) else {
            return Err(Error::mesh(FORMAT, "the vertices lack `x`, `y` or `z`"));
        };
        let colors = Colors::of(element);
        let uv = column(&["s", "u", "texture_u"]).zip(column(&["t", "v", "texture_v"]));
        body.rows(element, |number, row| {
            let vertex = Vertex {
                position: [row.scalar(x), row.scalar(y), row.scalar(z)],
                color: colors.as_ref().map(|colors| colors.read(row)),
                uv: uv.map(|(s, t)| [row.scalar(s), 1.0 - row.scalar(t)]),
            };
            self.builder.vertex(vertex, || format!("vertex {number}"))?;
            Ok(())
        })?;
        self.shared = self.builder.vertices();
        Ok(())
    }

    fn faces(&mut self, element: &Element, body: &mut Body<'_>) -> Result<(), Error> {
        let Some(list) = element.list(&["vertex_indices", "vertex_index"]) else {
            return Err(Error::mesh(FORMAT, "the faces lack `vertex_indices`"));
        };
        let vertices_are_plain = !self.builder.has_colors();
        let colors = Colors::of(element).filter(|_| vertices_are_plain);
        // Texture coordinates of corners make a vertex of each corner; that is in vain when the
        // texture could not be had.
        let texcoord = element.list(&["texcoord"]).filter(|_| self.material != 0);
        let mut corners = Vec::new();
        body.rows(element, |number, row| {
            corners.clear();
            for &index in row.list(list) {
                if !(0.0..f64::from(self.shared)).contains(&index) {
                    return Err(Error::mesh(
                        FORMAT,
                        format!("face {number}: {}", out_of_range(index, self.shared)),
                    ));
                }
                corners.push(index as u32);
            }
            let color = colors.as_ref().map(|colors| colors.read(row));
            let uv = texcoord.map_or(&[][..], |list| row.list(list));
            if color.is_some() || uv.len() == 2 * corners.len() {
                for (corner, vertex) in corners.iter_mut().enumerate() {
                    let uv = uv.get(2 * corner..2 * corner + 2);
                    let uv = uv.map(|uv| [uv[0] as f32, 1.0 - uv[1] as f32]);
                    *vertex = self.builder.vertex_like(*vertex, color, uv)?;
                }
            }
            self.builder.polygon(&corners, self.material)
        })
    }
}

/// The columns of a colour and what full intensity is in them.
struct Colors {
    columns: [usize; 3],
    opacity: Option<usize>,
    full: f32,
}

impl Colors {
    fn of(element: &Element) -> Option<Self> {
        let red = element.scalar(&["red", "diffuse_red", "r"])?;
        Some(Self {
            columns: [
                red,
                element.scalar(&["green", "diffuse_green", "g"])?,
                element.scalar(&["blue", "diffuse_blue", "b"])?,
            ],
            opacity: element.scalar(&["alpha", "a"]),
            full: element.properties[red].scalar.full_intensity(),
        })
    }

    /// Opacity is kept with the colour, though plain materials are drawn opaque.
    fn read(&self, row: &Row) -> [f32; 4] {
        let [r, g, b] = self.columns.map(|column| row.scalar(column) / self.full);
        let a = self
            .opacity
            .map_or(1.0, |column| row.scalar(column) / self.full);
        color::linear_rgba([r, g, b, a])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::MeshSource;

    fn read(bytes: &[u8]) -> Result<Mesh, Error> {
        let none = |name: &str| {
            Err(Error::Absent {
                name: name.to_owned(),
            })
        };
        let source = MeshSource {
            name: "test",
            side: &none,
        };
        decode(
            bytes,
            &mut SideFiles::new(&source, &Limits::default()),
            &Limits::default(),
        )
    }

    const TRIANGLE: &str = "element vertex 3\nproperty float x\nproperty float y\n\
        property float z\nelement face 1\nproperty uchar red\nproperty uchar green\n\
        property uchar blue\nproperty list uchar int vertex_indices\nend_header\n";

    #[test]
    fn big_endian_files_and_face_colours_are_read() {
        let mut bytes = format!("ply\nformat binary_big_endian 1.0\n{TRIANGLE}").into_bytes();
        for x in [0.0_f32, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 3.0, 0.0] {
            bytes.extend(x.to_be_bytes());
        }
        bytes.extend([255, 0, 0, 3]);
        for index in [0_i32, 1, 2] {
            bytes.extend(index.to_be_bytes());
        }
        let mesh = read(&bytes).unwrap();
        assert!((crate::mesh::facts(&mesh).area - 3.0).abs() < 1e-9);
        let color = mesh.colors[mesh.triangles[0][0] as usize];
        assert_eq!(
            color.map(f32::to_bits),
            [1.0, 0.0, 0.0, 1.0_f32].map(f32::to_bits)
        );
    }

    #[test]
    fn mistakes_name_their_place() {
        let ascii = |body: &str| format!("ply\nformat ascii 1.0\n{TRIANGLE}{body}");
        let vertices = "0 0 0\n1 0 0\n0 1 0\n";
        let cases = [
            (
                ascii(&format!("{vertices}0 0 0 3 0 1 3\n")),
                "face 0: the vertex `3`",
            ),
            (
                ascii(&format!("{vertices}0 0 0 3 0 1 -1\n")),
                "face 0: the vertex `-1`",
            ),
            (ascii(&format!("{vertices}0 0 0 3 0 1\n")), "face 0"),
            (
                ascii("0 0 0\n1 0 nan\n0 1 0\n0 0 0 3 0 1 2\n"),
                "vertex 1: the coordinates",
            ),
            (
                ascii("0 0 0\n1 0 north\n0 1 0\n"),
                "vertex 1: expected a number, found `north`",
            ),
            (
                "ply\nformat ascii 1.0\nelement vertex many\n".to_owned(),
                "line 3",
            ),
            (
                "ply\nformat ascii 1.0\nelement vertex 1\n".to_owned(),
                "`end_header` is missing",
            ),
            ("ply\nend_header\n".to_owned(), "`format`"),
        ];
        for (text, expected) in cases {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_count_beyond_the_file_is_refused_before_reading() {
        let text = "ply\nformat binary_little_endian 1.0\nelement vertex 3000000\n\
            property float x\nproperty float y\nproperty float z\nend_header\n";
        let error = read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("3000000"), "{error}");
    }
}
