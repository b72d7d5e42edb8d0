//! Pictures of a mesh from all around, drawn on the processor.
//!
//! The picture depends on nothing but the mesh and the configuration: one thread, no clock, no
//! hash order. Coordinates on the picture are whole numbers of 1/256 sample, so neighbouring
//! triangles meet without cracks.

mod camera;
mod normals;
mod raster;
mod shade;
mod texture;
mod vector;

use camera::Camera;
use normals::corner_normals;
use raster::Raster;
use shade::Shader;
use texture::Mipmaps;
use vector::{add, length, scaled, sub};

use super::{Axis, Mesh};
use crate::{Error, RgbImage};

/// How a sheet of views is laid out and drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct SheetConfig {
    /// How many views, evenly around the object. Default: 4; at most 64 are drawn.
    pub views: u32,
    /// Width and height of a view in pixels. Default: 256; 1 to 2048.
    pub view_size: u32,
    /// Views in a row. Default: 4.
    pub columns: u32,
    /// Degrees that the camera is above the horizon. Default: 20; -89 to 89.
    pub elevation_degrees: f32,
    /// Degrees from the front, to the object's left, at which the first view stands. Default: 30,
    /// which shows two sides of whatever is square.
    pub first_azimuth_degrees: f32,
    /// Default: a perspective of 30 degrees.
    pub projection: Projection,
    /// Default: smooth.
    pub shading: Shading,
    /// Which way is up, where the format's custom ([`Mesh::up`]) is not to be followed. Default:
    /// `None`.
    pub up: Option<Axis>,
    /// Samples of a pixel in each direction, for smooth edges. Default: 3; 1 to 4.
    pub supersampling: u32,
    /// The sRGB colour around the object. Default: a light grey.
    pub background: [u8; 3],
}

/// How depth becomes size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Projection {
    /// Near things are larger.
    Perspective {
        /// The angle that the object's bounding sphere fills, in degrees; 1 to 120.
        field_of_view_degrees: f32,
    },
    /// Parallel lines stay parallel.
    Orthographic,
}

/// How light falls on a triangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shading {
    /// Neighbouring triangles that meet at less than 40 degrees look like one curved surface.
    Smooth,
    /// Every triangle is flat.
    Flat,
}

impl Default for SheetConfig {
    fn default() -> Self {
        Self {
            views: 4,
            view_size: 256,
            columns: 4,
            elevation_degrees: 20.0,
            first_azimuth_degrees: 30.0,
            projection: Projection::Perspective {
                field_of_view_degrees: 30.0,
            },
            shading: Shading::Smooth,
            up: None,
            supersampling: 3,
            background: [241, 242, 245],
        }
    }
}

/// Draws a mesh from several sides on one picture, row by row from the first view on.
///
/// All views have the same scale, which is the largest at which the object fits. Both sides of
/// every triangle are drawn, since generated meshes turn them either way. Values outside the
/// ranges that [`SheetConfig`] states are moved into them.
///
/// # Errors
///
/// [`Error::LimitExceeded`] when so many large triangles lie over one another that a view would be
/// drawn more than a thousand times over.
pub fn render_sheet(mesh: &Mesh, config: &SheetConfig) -> Result<RgbImage, Error> {
    let views = config.views.clamp(1, 64);
    let size = config.view_size.clamp(1, 2048);
    let columns = config.columns.clamp(1, views);
    let samples = config.supersampling.clamp(1, 4);

    let scene = Scene::new(mesh, config);
    let cameras: Vec<Camera> = (0..views)
        .map(|view| {
            let turn = 360.0 * view as f32 / views as f32;
            let azimuth = config.first_azimuth_degrees + turn;
            Camera::new(azimuth, config.elevation_degrees, config.projection)
        })
        .collect();
    let zoom = common_zoom(&scene, &cameras);

    let mut sheet = RgbImage::new(columns * size, views.div_ceil(columns) * size);
    for pixel in sheet.pixels_mut() {
        pixel.0 = config.background;
    }
    let mut raster = Raster::new(size * samples);
    for (view, camera) in (0..).zip(&cameras) {
        raster.draw(&scene, camera, zoom)?;
        let shader = Shader::new(&scene, camera, &raster, config.background, samples);
        let (left, top) = (view % columns * size, view / columns * size);
        shader.resolve(&mut sheet, left, top, size);
    }
    Ok(sheet)
}

/// What is drawn: the mesh turned so that Y is up, within the unit sphere around the origin.
struct Scene<'a> {
    mesh: &'a Mesh,
    in_use: Vec<u32>,
    positions: Vec<[f32; 3]>,
    /// Of each triangle's corners, unit length.
    normals: Vec<[[f32; 3]; 3]>,
    /// Of each material.
    textures: Vec<Option<Mipmaps<'a>>>,
}

impl<'a> Scene<'a> {
    fn new(mesh: &'a Mesh, config: &SheetConfig) -> Self {
        let up = config.up.unwrap_or(mesh.up);
        let in_use = in_use(mesh);
        let positions = in_unit_sphere(mesh, &in_use, up);
        let normals = corner_normals(&positions, &mesh.triangles, config.shading);
        let textures = mesh
            .materials
            .iter()
            .map(|material| material.texture.as_ref().map(Mipmaps::new))
            .collect();
        Self {
            mesh,
            in_use,
            positions,
            normals,
            textures,
        }
    }
}

/// The vertices that a triangle uses, each once.
fn in_use(mesh: &Mesh) -> Vec<u32> {
    let mut used = vec![false; mesh.positions.len()];
    for &index in mesh.triangles.iter().flatten() {
        used[index as usize] = true;
    }
    (0..)
        .zip(used)
        .filter_map(|(index, used)| used.then_some(index))
        .collect()
}

/// Computed in double precision, since files may be in any unit and far from the origin.
fn in_unit_sphere(mesh: &Mesh, in_use: &[u32], up: Axis) -> Vec<[f32; 3]> {
    let bounds = super::facts(mesh)
        .bounds
        .map(|corner| corner.map(f64::from));
    let center = scaled(add(bounds[0], bounds[1]), 0.5);
    let radius = in_use
        .iter()
        .map(|&index| length(sub(mesh.positions[index as usize].map(f64::from), center)))
        .fold(0.0, f64::max);
    let scale = if radius > 0.0 { 1.0 / radius } else { 0.0 };
    let placed = |position: &[f32; 3]| {
        let [x, y, z] = scaled(sub(position.map(f64::from), center), scale).map(|x| x as f32);
        match up {
            Axis::Y => [x, y, z],
            Axis::Z => [x, z, -y],
        }
    };
    mesh.positions.iter().map(placed).collect()
}

/// The largest enlargement at which no view loses a corner.
fn common_zoom(scene: &Scene<'_>, cameras: &[Camera]) -> f32 {
    const MARGIN: f32 = 0.94;
    let reach = cameras
        .iter()
        .flat_map(|camera| {
            scene.in_use.iter().map(|&index| {
                let [x, y, _] = camera.project(scene.positions[index as usize]);
                x.abs().max(y.abs())
            })
        })
        .fold(0.0, f32::max);
    if reach > 0.0 { MARGIN / reach } else { 1.0 }
}
