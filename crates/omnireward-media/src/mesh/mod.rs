//! 3D models: OBJ, PLY, STL, glTF, GLB and OFF to triangles, and pictures of them.
//!
//! # Which way is up
//!
//! glTF prescribes Y. For the others we follow what Blender's importers assume: Y for OBJ; Z for
//! STL and PLY, and likewise OFF, whose users are printing, scanning and geometry.
//! [`SheetConfig::up`] overrides it where a data set does otherwise.

mod builder;
mod color;
mod gltf;
mod mtl;
mod obj;
mod off;
mod ply;
mod polygon;
mod render;
mod side;
mod stl;
mod text;

use std::{path::Path, sync::Arc};

use omnireward_core::{MediaRef, MediaSource};

pub use render::{Projection, Shading, SheetConfig, render_sheet};

use crate::{Error, Format, Limits, RgbaImage, read, sniff::sniff_or_error};

/// A triangle mesh with what is needed to draw it.
///
/// Several objects, scene nodes or solids of a file are one mesh, in the file's world space.
/// Every index is in range and every coordinate finite: the decoders see to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mesh {
    positions: Vec<[f32; 3]>,
    triangles: Vec<[u32; 3]>,
    /// Linear RGBA of each vertex, or empty.
    colors: Vec<[f32; 4]>,
    /// Texture coordinates of each vertex with the origin at the picture's upper left, or empty.
    uv: Vec<[f32; 2]>,
    /// Of each triangle.
    material_of: Vec<u32>,
    materials: Vec<Material>,
    up: Axis,
    missing_files: Vec<String>,
}

impl Mesh {
    /// The vertices. Vertices that no triangle uses may be among them.
    pub fn positions(&self) -> &[[f32; 3]] {
        &self.positions
    }

    /// The triangles as indices into [`positions`](Self::positions).
    pub fn triangles(&self) -> &[[u32; 3]] {
        &self.triangles
    }

    /// The direction that the format takes for up.
    pub const fn up(&self) -> Axis {
        self.up
    }

    /// Files that the mesh refers to for its colours and that could not be had, as it names them.
    /// The mesh is drawn in plain colours instead. At most 64 are listed.
    pub fn missing_files(&self) -> &[String] {
        &self.missing_files
    }

    /// The corners of a triangle.
    fn corners(&self, triangle: [u32; 3]) -> [[f32; 3]; 3] {
        triangle.map(|index| self.positions[index as usize])
    }
}

/// A direction that can be up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axis {
    /// The second coordinate; the front looks along +Z.
    Y,
    /// The third coordinate; the front looks along -Y.
    Z,
}

/// What a surface looks like, as far as it is drawn.
#[derive(Clone, Debug, PartialEq)]
struct Material {
    /// Linear RGBA that multiplies the texture and the vertex colour.
    base_color: [f32; 4],
    texture: Option<Texture>,
    alpha: Alpha,
}

impl Default for Material {
    fn default() -> Self {
        Self {
            base_color: [1.0; 4],
            texture: None,
            alpha: Alpha::Opaque,
        }
    }
}

/// How opacity is meant.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Alpha {
    Opaque,
    /// All or nothing, with this threshold.
    Mask(f32),
    Blend,
}

#[derive(Clone, Debug, PartialEq)]
struct Texture {
    image: Arc<RgbaImage>,
    /// Across and down.
    wrap: [Wrap; 2],
}

/// What a texture shows outside its own square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrap {
    Repeat,
    Mirror,
    Clamp,
}

/// Where a mesh comes from, for messages and for the files beside it.
pub struct MeshSource<'a> {
    /// What messages call the mesh.
    pub name: &'a str,
    /// Fetches a file that the mesh names: materials, textures, buffers.
    pub side: &'a dyn Fn(&str) -> Result<Vec<u8>, Error>,
}

impl std::fmt::Debug for MeshSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeshSource")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Decodes a mesh.
///
/// Polygons are cut into triangles; points, lines, normals, skins and animations are left out. A
/// texture or material file that cannot be had is noted in [`Mesh::missing_files`]; a missing
/// buffer is an error, since there would be nothing to draw.
///
/// # Errors
///
/// [`Error::WrongKind`] and [`Error::UnknownFormat`] for bytes that are no mesh;
/// [`Error::Decode`], which names the line, element or accessor, for malformed and truncated
/// files, indices out of range, coordinates that are not finite, and meshes without faces;
/// [`Error::LimitExceeded`]; [`Error::Unsupported`] for compressed glTF and the like;
/// [`Error::MissingSideFile`] and [`Error::SideFileRefused`] for glTF buffers.
pub fn decode(bytes: &[u8], source: &MeshSource<'_>, limits: &Limits) -> Result<Mesh, Error> {
    limits.check_bytes(bytes.len() as u64)?;
    let mut side = side::SideFiles::new(source, limits);
    let format = match sniff_or_error(bytes) {
        // An OBJ file has no signature; one without a statement is still to be told from noise.
        Err(_) if has_extension(source.name, "obj") => Format::Obj,
        sniffed => sniffed?,
    };
    match format {
        Format::Obj => obj::decode(bytes, &mut side, limits),
        Format::Ply => ply::decode(bytes, &mut side, limits),
        Format::Stl => stl::decode(bytes, limits),
        Format::Gltf | Format::Glb => gltf::decode(bytes, format, &mut side, limits),
        Format::Off => off::decode(bytes, limits),
        other => Err(Error::WrongKind {
            expected: "a mesh",
            found: other.name(),
        }),
    }
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// Reads and decodes a mesh. Files that it refers to are looked for beside it and in folders
/// below, never above, and not through links that lead out.
///
/// # Errors
///
/// As [`read`] and [`decode`].
pub fn load(media: &MediaRef, limits: &Limits) -> Result<Mesh, Error> {
    let bytes = read(media, limits)?;
    let folder = match &media.source {
        MediaSource::File { path, .. } => path.parent().map(Path::to_owned),
        _ => None,
    };
    let fetch = |name: &str| side::fetch(folder.as_deref(), media.name(), name, limits);
    let source = MeshSource {
        name: media.name(),
        side: &fetch,
    };
    decode(&bytes, &source, limits)
}

/// Measurements of a mesh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// How many triangles it has.
    pub faces: usize,
    /// The least and the greatest coordinates of the vertices in use.
    pub bounds: [[f32; 3]; 2],
    /// The summed area of the triangles, in squared units of the file.
    pub area: f64,
}

/// Measures a mesh.
pub fn facts(mesh: &Mesh) -> Facts {
    let mut bounds = [[f32::INFINITY; 3], [f32::NEG_INFINITY; 3]];
    let mut area = 0.0;
    for &triangle in &mesh.triangles {
        let corners = mesh.corners(triangle);
        for corner in corners {
            for axis in 0..3 {
                bounds[0][axis] = bounds[0][axis].min(corner[axis]);
                bounds[1][axis] = bounds[1][axis].max(corner[axis]);
            }
        }
        area += triangle_area(corners);
    }
    Facts {
        faces: mesh.triangles.len(),
        bounds,
        area,
    }
}

fn triangle_area([a, b, c]: [[f32; 3]; 3]) -> f64 {
    let edge = |to: [f32; 3]| {
        std::array::from_fn::<f64, 3, _>(|axis| f64::from(to[axis]) - f64::from(a[axis]))
    };
    let ([ux, uy, uz], [vx, vy, vz]) = (edge(b), edge(c));
    let cross = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx];
    cross.iter().map(|x| x * x).sum::<f64>().sqrt() / 2.0
}
