use super::{Axis, Material, Mesh, polygon::Triangulator};
use crate::{Error, Limits};

/// A mesh being read. Keeps the limits and the promises of [`Mesh`].
pub(super) struct Builder<'a> {
    format: &'static str,
    limits: &'a Limits,
    mesh: Mesh,
    triangulator: Triangulator,
    /// Points and lines that were passed over.
    pub(super) faceless: u64,
}

/// A vertex as a reader finds it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Vertex {
    pub(super) position: [f32; 3],
    /// Linear RGBA.
    pub(super) color: Option<[f32; 4]>,
    /// Origin at the upper left.
    pub(super) uv: Option<[f32; 2]>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(format: &'static str, up: Axis, limits: &'a Limits) -> Self {
        Self {
            format,
            limits,
            mesh: Mesh {
                positions: Vec::new(),
                triangles: Vec::new(),
                colors: Vec::new(),
                uv: Vec::new(),
                material_of: Vec::new(),
                materials: vec![Material::default()],
                up,
                missing_files: Vec::new(),
            },
            triangulator: Triangulator::default(),
            faceless: 0,
        }
    }

    /// Refuses a claimed size before it is allocated. A mesh of `n` triangles needs at most `3n`
    /// vertices, so the limit on triangles bounds the vertices too.
    pub(super) fn check_claim(&self, vertices: u64, triangles: u64) -> Result<(), Error> {
        let had = self.mesh.triangles.len() as u64;
        self.limits.check_triangles(had.saturating_add(triangles))?;
        let vertices = vertices.saturating_add(self.mesh.positions.len() as u64);
        self.limits.check_triangles(vertices.div_ceil(3))?;
        if vertices > u64::from(u32::MAX) {
            return Err(self.error(format!(
                "`{vertices}` vertices are more than can be numbered"
            )));
        }
        Ok(())
    }

    /// How many vertices there are so far.
    pub(super) fn vertices(&self) -> u32 {
        self.mesh.positions.len() as u32
    }

    /// Adds a vertex and gives its number. `place` says where it stands, for the message.
    pub(super) fn vertex(
        &mut self,
        vertex: Vertex,
        place: impl FnOnce() -> String,
    ) -> Result<u32, Error> {
        if !vertex.position.iter().all(|x| x.is_finite()) {
            let [x, y, z] = vertex.position;
            return Err(self.error(format!(
                "{}: the coordinates `{x} {y} {z}` are not finite numbers",
                place()
            )));
        }
        self.check_claim(1, 0)?;
        let number = self.vertices();
        self.mesh.positions.push(vertex.position);
        let count = self.mesh.positions.len();
        append(&mut self.mesh.colors, vertex.color, [1.0; 4], count);
        // A texture coordinate that is no number would only blot the picture.
        let uv = vertex.uv.filter(|uv| uv.iter().all(|x| x.is_finite()));
        append(&mut self.mesh.uv, uv, [0.0; 2], count);
        Ok(number)
    }

    /// Adds a vertex that differs from another in its texture coordinates or colour only.
    pub(super) fn vertex_like(
        &mut self,
        original: u32,
        color: Option<[f32; 4]>,
        uv: Option<[f32; 2]>,
    ) -> Result<u32, Error> {
        let index = original as usize;
        let vertex = Vertex {
            position: self.mesh.positions[index],
            color: color.or_else(|| self.mesh.colors.get(index).copied()),
            uv: uv.or_else(|| self.mesh.uv.get(index).copied()),
        };
        self.vertex(vertex, String::new)
    }

    /// Gives a vertex its texture coordinates afterwards.
    pub(super) fn set_uv(&mut self, vertex: u32, uv: [f32; 2]) {
        self.mesh.uv.resize(self.mesh.positions.len(), [0.0; 2]);
        if uv.iter().all(|x| x.is_finite()) {
            self.mesh.uv[vertex as usize] = uv;
        }
    }

    /// Adds a triangle of vertices that exist.
    pub(super) fn triangle(&mut self, corners: [u32; 3], material: u32) -> Result<(), Error> {
        self.limits
            .check_triangles(self.mesh.triangles.len() as u64 + 1)?;
        debug_assert!(corners.iter().all(|&corner| corner < self.vertices()));
        self.mesh.triangles.push(corners);
        self.mesh.material_of.push(material);
        Ok(())
    }

    /// Adds a polygon of vertices that exist. One with fewer than three corners is no face and is
    /// passed over, as other readers do.
    pub(super) fn polygon(&mut self, corners: &[u32], material: u32) -> Result<(), Error> {
        match *corners {
            [] | [_] | [_, _] => {
                self.faceless += 1;
                Ok(())
            }
            [a, b, c] => self.triangle([a, b, c], material),
            _ => {
                self.check_claim(0, corners.len() as u64 - 2)?;
                let at = |corner: usize| self.mesh.positions[corners[corner] as usize];
                let triangles = self.triangulator.triangles(corners.len(), at);
                for triangle in triangles {
                    self.triangle(triangle.map(|corner| corners[corner]), material)?;
                }
                Ok(())
            }
        }
    }

    /// Adds a material and gives its number. Number 0 is the plain one.
    pub(super) fn material(&mut self, material: Material) -> u32 {
        self.mesh.materials.push(material);
        self.mesh.materials.len() as u32 - 1
    }

    /// Whether a vertex has a colour.
    pub(super) fn has_colors(&self) -> bool {
        !self.mesh.colors.is_empty()
    }

    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        Error::mesh(self.format, reason)
    }

    /// The mesh, if it has a face.
    pub(super) fn finish(mut self, missing_files: Vec<String>) -> Result<Mesh, Error> {
        if self.mesh.triangles.is_empty() {
            let (vertices, others) = (self.vertices(), self.faceless);
            return Err(self.error(format!(
                "there are no faces in it, only {vertices} vertices and {others} points or lines"
            )));
        }
        let count = self.mesh.positions.len();
        if !self.mesh.uv.is_empty() {
            self.mesh.uv.resize(count, [0.0; 2]);
        }
        self.mesh.missing_files = missing_files;
        Ok(self.mesh)
    }
}

/// Appends to an attribute that stays empty until some vertex has it.
fn append<T: Copy>(values: &mut Vec<T>, value: Option<T>, default: T, count: usize) {
    if let Some(value) = value {
        values.resize(count - 1, default);
        values.push(value);
    } else if !values.is_empty() {
        values.resize(count, default);
    }
}

/// What readers say of an index that points nowhere.
pub(super) fn out_of_range(index: impl std::fmt::Display, vertices: u32) -> String {
    format!("the vertex `{index}` does not exist, there are {vertices}")
}
