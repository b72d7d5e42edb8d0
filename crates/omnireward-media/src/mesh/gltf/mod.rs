//! glTF 2.0, as JSON and as one binary file.

mod accessor;
mod buffers;
mod material;

use ::gltf::{Document, Gltf, Node, Primitive, Semantic, mesh::Mode};
use accessor::Accessors;
use buffers::Buffers;
use material::{Materials, UvSource};

use super::{
    Axis, Mesh,
    builder::{Builder, Vertex, out_of_range},
    side::SideFiles,
};
use crate::{Error, Format, Limits, contain::contain};

/// Extensions that a file may require and that need nothing from us: they change how a surface
/// glitters, or they are handled here.
const UNDERSTOOD: [&str; 14] = [
    "EXT_texture_webp",
    "KHR_lights_punctual",
    "KHR_materials_anisotropy",
    "KHR_materials_clearcoat",
    "KHR_materials_emissive_strength",
    "KHR_materials_ior",
    "KHR_materials_pbrSpecularGlossiness",
    "KHR_materials_sheen",
    "KHR_materials_specular",
    "KHR_materials_transmission",
    "KHR_materials_unlit",
    "KHR_materials_volume",
    "KHR_mesh_quantization",
    "KHR_texture_transform",
];

/// The triangles of the default scene, placed by its nodes, with base colours, their textures and
/// vertex colours. Skins, morph targets and animations stay at rest.
pub(super) fn decode(
    bytes: &[u8],
    format: Format,
    side: &mut SideFiles<'_>,
    limits: &Limits,
) -> Result<Mesh, Error> {
    contain(format, || {
        let (document, blob) = parse(bytes, format)?;
        let builder = Builder::new(format.name(), Axis::Y, limits);
        let buffers = Buffers::load(&document, blob, format, side)?;
        let mut scene = Scene {
            format: format.name(),
            builder,
            buffers: &buffers,
            materials: Materials::new(&document),
            side,
        };
        scene.walk(&document)?;
        let missing = std::mem::take(&mut scene.side.missing);
        scene.builder.finish(missing)
    })
}

fn parse(bytes: &[u8], format: Format) -> Result<(Document, Option<Vec<u8>>), Error> {
    let malformed = |cause: ::gltf::Error| {
        Error::mesh(format.name(), "the scene description is malformed").caused_by(cause)
    };
    check_container(bytes, format)?;
    let Gltf { document, blob } = Gltf::from_slice_without_validation(bytes).map_err(malformed)?;
    let mut json = document.into_json();
    // The reader's own check knows fewer extensions than we can do without.
    let required = std::mem::take(&mut json.extensions_required);
    if let Some(unknown) = required
        .iter()
        .find(|name| !UNDERSTOOD.contains(&name.as_str()))
    {
        return Err(Error::Unsupported {
            what: format!("reading a {format} mesh"),
            needs: format!("the extension `{}`", super::text::shortened(unknown)),
        });
    }
    let document = Document::from_json(json).map_err(malformed)?;
    Ok((document, blob))
}

/// Refuses a GLB file whose stated length is less than its own header, which the reader subtracts.
fn check_container(bytes: &[u8], format: Format) -> Result<(), Error> {
    const HEADER_BYTES: u32 = 12;
    let stated = bytes.get(8..).and_then(|rest| rest.first_chunk());
    match stated {
        Some(&length) if format == Format::Glb && u32::from_le_bytes(length) < HEADER_BYTES => {
            Err(Error::mesh(
                format.name(),
                format!(
                    "a length of `{}` bytes is less than its header's",
                    u32::from_le_bytes(length)
                ),
            ))
        }
        _ => Ok(()),
    }
}

struct Scene<'r, 's> {
    format: &'static str,
    builder: Builder<'r>,
    buffers: &'r Buffers,
    materials: Materials<'r>,
    side: &'r mut SideFiles<'s>,
}

/// Columns of a matrix that places points.
type Transform = [[f64; 4]; 4];

const IDENTITY: Transform = [
    [1.0, 0.0, 0.0, 0.0],
    [0.0, 1.0, 0.0, 0.0],
    [0.0, 0.0, 1.0, 0.0],
    [0.0, 0.0, 0.0, 1.0],
];

impl Scene<'_, '_> {
    fn walk(&mut self, document: &Document) -> Result<(), Error> {
        let mut pending: Vec<(Node<'_>, Transform)> = Vec::new();
        match document
            .default_scene()
            .or_else(|| document.scenes().next())
        {
            Some(scene) => pending.extend(scene.nodes().map(|node| (node, IDENTITY))),
            // A file may be a library of meshes without a scene.
            None => pending.extend(document.nodes().map(|node| (node, IDENTITY))),
        }
        // The order of the file, not of the stack.
        pending.reverse();
        let mut seen = vec![false; document.nodes().len()];
        while let Some((node, parent)) = pending.pop() {
            if std::mem::replace(&mut seen[node.index()], true) {
                return Err(self.error(format!("node {} is reached twice", node.index())));
            }
            let transform = product(parent, node.transform().matrix());
            if let Some(mesh) = node.mesh() {
                for primitive in mesh.primitives() {
                    self.primitive(&primitive, &transform)
                        .map_err(|error| located(error, mesh.index(), primitive.index()))?;
                }
            }
            if document.scenes().len() > 0 {
                pending.extend(node.children().map(|child| (child, transform)));
            }
        }
        Ok(())
    }

    fn primitive(&mut self, primitive: &Primitive<'_>, transform: &Transform) -> Result<(), Error> {
        let is_surface = matches!(
            primitive.mode(),
            Mode::Triangles | Mode::TriangleStrip | Mode::TriangleFan
        );
        let Some(positions) = primitive.get(&Semantic::Positions).filter(|_| is_surface) else {
            self.builder.faceless += 1;
            return Ok(());
        };
        let vertices = positions.count();
        let corners = primitive
            .indices()
            .map_or(vertices, |indices| indices.count()) as u64;
        if corners < 3 {
            return Ok(());
        }
        let triangles = match primitive.mode() {
            Mode::Triangles => corners / 3,
            _ => corners - 2,
        };
        self.builder.check_claim(vertices as u64, triangles)?;

        let accessors = Accessors::new(self.format, self.buffers);
        let positions = accessors.floats::<3>(&positions, vertices)?;
        let (material, uv_source) = self.materials.of(
            &primitive.material(),
            &mut self.builder,
            self.buffers,
            self.side,
        )?;
        let uv = Self::uv(primitive, uv_source, &accessors, vertices)?;
        let colors = match primitive.get(&Semantic::Colors(0)) {
            Some(colors) => accessors.colors(&colors, vertices)?,
            None => Vec::new(),
        };
        let indices = match primitive.indices() {
            Some(indices) => accessors.indices(&indices)?,
            None => (0..vertices as u32).collect(),
        };

        let first = self.builder.vertices();
        for (number, &position) in positions.iter().enumerate() {
            let vertex = Vertex {
                position: placed(transform, position),
                color: colors.get(number).copied(),
                uv: uv.get(number).copied(),
            };
            self.builder.vertex(vertex, || format!("vertex {number}"))?;
        }
        let count = positions.len() as u32;
        if let Some(index) = indices.iter().find(|&&index| index >= count) {
            return Err(self.error(out_of_range(index, count)));
        }
        for corners in triangles_of(primitive.mode(), &indices) {
            self.builder
                .triangle(corners.map(|corner| first + corner), material)?;
        }
        Ok(())
    }

    fn uv(
        primitive: &Primitive<'_>,
        source: Option<UvSource>,
        accessors: &Accessors<'_>,
        vertices: usize,
    ) -> Result<Vec<[f32; 2]>, Error> {
        let Some(source) = source else {
            return Ok(Vec::new());
        };
        let Some(accessor) = primitive.get(&Semantic::TexCoords(source.set)) else {
            return Ok(Vec::new());
        };
        let uv = accessors.floats::<2>(&accessor, vertices)?;
        Ok(uv.into_iter().map(|uv| source.transformed(uv)).collect())
    }

    fn error(&self, reason: impl Into<String>) -> Error {
        Error::mesh(self.format, reason)
    }
}

/// Says which primitive a malformed part belongs to.
fn located(error: Error, mesh: usize, primitive: usize) -> Error {
    match error {
        Error::Decode {
            modality,
            format,
            reason,
            source,
        } => Error::Decode {
            modality,
            format,
            reason: format!("mesh {mesh}, primitive {primitive}: {reason}"),
            source,
        },
        other => other,
    }
}

fn triangles_of(mode: Mode, indices: &[u32]) -> Vec<[u32; 3]> {
    let three = |w: &[u32]| [w[0], w[1], w[2]];
    match mode {
        Mode::TriangleStrip => indices.windows(3).map(three).collect(),
        Mode::TriangleFan => indices[1..]
            .windows(2)
            .map(|pair| [indices[0], pair[0], pair[1]])
            .collect(),
        _ => indices.chunks_exact(3).map(three).collect(),
    }
}

fn product(parent: Transform, child: [[f32; 4]; 4]) -> Transform {
    child.map(|column| {
        std::array::from_fn(|row| (0..4).map(|k| parent[k][row] * f64::from(column[k])).sum())
    })
}

fn placed(transform: &Transform, position: [f32; 3]) -> [f32; 3] {
    let [x, y, z] = position.map(f64::from);
    std::array::from_fn(|row| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|column: usize| transform[column][row]);
        (a * x + b * y + c * z + d) as f32
    })
}
