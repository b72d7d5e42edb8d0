use super::{super::Alpha, Scene, camera::Camera};
use crate::{Error, error::LimitKind};

/// Subdivisions of a sample that corners are rounded to.
const SUBSAMPLE: f32 = 256.0;

/// No triangle.
pub(super) const NOTHING: u32 = u32::MAX;

/// How many times over a view may be drawn: the boxes around all triangles may have this many times
/// the samples of the view. A mesh is mostly a few layers of small triangles; five million triangles
/// that each fill the view would take hours.
const MOST_LAYERS: u64 = 1024;

/// Which triangle each sample of a square view shows.
pub(super) struct Raster {
    size: u32,
    nearness: Vec<f32>,
    pub(super) triangle: Vec<u32>,
    projected: Vec<Projected>,
    has_perspective: bool,
}

/// A vertex on the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Projected {
    /// In 1/256 sample from the upper left.
    x: i32,
    y: i32,
    pub(super) nearness: f32,
}

impl Raster {
    /// For views of `size` × `size` samples.
    pub(super) fn new(size: u32) -> Self {
        let samples = (size as usize).pow(2);
        Self {
            size,
            nearness: vec![0.0; samples],
            triangle: vec![NOTHING; samples],
            projected: Vec::new(),
            has_perspective: true,
        }
    }

    pub(super) const fn size(&self) -> u32 {
        self.size
    }

    /// Draws a view over whatever was there.
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`], before anything is drawn, when the triangles lie too many times
    /// over one another.
    pub(super) fn draw(
        &mut self,
        scene: &Scene<'_>,
        camera: &Camera,
        zoom: f32,
    ) -> Result<(), Error> {
        self.nearness.fill(0.0);
        self.triangle.fill(NOTHING);
        self.has_perspective = camera.has_perspective();
        let half = self.size as f32 / 2.0;
        self.projected.clear();
        self.projected
            .extend(scene.positions.iter().map(|&position| {
                let [x, y, nearness] = camera.project(position);
                Projected {
                    x: ((half + x * zoom * half) * SUBSAMPLE).round() as i32,
                    y: ((half - y * zoom * half) * SUBSAMPLE).round() as i32,
                    nearness,
                }
            }));
        self.check_effort(&scene.mesh.triangles)?;
        for (number, triangle) in (0..).zip(&scene.mesh.triangles) {
            let material = scene.mesh.material_of[number as usize] as usize;
            let solid = scene.mesh.materials[material].alpha == Alpha::Opaque;
            if let Some(setup) = self.setup(*triangle) {
                if solid {
                    self.fill(number, &setup, |_, _, _| true);
                } else {
                    self.fill(number, &setup, |x, y, weights| {
                        let opacity = scene.opacity(number, setup.on_triangle(weights));
                        opacity >= threshold(scene.mesh.materials[material].alpha, x, y)
                    });
                }
            }
        }
        Ok(())
    }

    fn check_effort(&self, triangles: &[[u32; 3]]) -> Result<(), Error> {
        let max = MOST_LAYERS * u64::from(self.size).pow(2);
        let found = triangles
            .iter()
            .filter_map(|&triangle| self.setup(triangle)?.samples(self.size))
            .map(|([left, right], [top, bottom])| {
                u64::from(right - left + 1) * u64::from(bottom - top + 1)
            })
            .sum::<u64>();
        if found > max {
            return Err(Error::LimitExceeded {
                limit: LimitKind::DrawnSamples,
                max: max as f64,
                found: found as f64,
            });
        }
        Ok(())
    }

    /// The edges of a triangle, or `None` when it is seen edge-on.
    pub(super) fn setup(&self, triangle: [u32; 3]) -> Option<Setup> {
        let corners = triangle.map(|index| self.projected[index as usize]);
        Setup::new(corners, self.has_perspective)
    }

    fn fill(&mut self, number: u32, setup: &Setup, keep: impl Fn(u32, u32, [f32; 3]) -> bool) {
        let Some(([left, right], [top, bottom])) = setup.samples(self.size) else {
            return;
        };
        let (across, down) = (setup.step_across(), setup.step_down());
        let mut row_edges = setup.edges_at(left, top);
        for y in top..=bottom {
            let mut edges = row_edges;
            let row = y as usize * self.size as usize;
            for x in left..=right {
                // A sample on an edge belongs to both neighbours; the depth decides.
                if edges[0] | edges[1] | edges[2] >= 0 {
                    let weights = setup.weights(edges);
                    let nearness = setup.nearness(weights);
                    let sample = row + x as usize;
                    if nearness > self.nearness[sample] && keep(x, y, weights) {
                        self.nearness[sample] = nearness;
                        self.triangle[sample] = number;
                    }
                }
                for (edge, step) in edges.iter_mut().zip(across) {
                    *edge += step;
                }
            }
            for (edge, step) in row_edges.iter_mut().zip(down) {
                *edge += step;
            }
        }
    }
}

/// A triangle on the picture. Each edge function is positive inside and in proportion to the
/// weight of the corner opposite (Pineda 1988).
pub(super) struct Setup {
    corners: [Projected; 3],
    /// Which corner of the triangle each is, since some are turned round.
    order: [usize; 3],
    inverse_area: f32,
    has_perspective: bool,
}

impl Setup {
    fn new(corners: [Projected; 3], has_perspective: bool) -> Option<Self> {
        let [a, b, c] = corners;
        match edge(a, b, c.x, c.y) {
            0 => None,
            area if area > 0 => Some(Self {
                corners,
                order: [0, 1, 2],
                inverse_area: 1.0 / area as f32,
                has_perspective,
            }),
            area => Some(Self {
                corners: [a, c, b],
                order: [0, 2, 1],
                inverse_area: 1.0 / -area as f32,
                has_perspective,
            }),
        }
    }

    /// First and last sample across and down whose middles may be inside.
    fn samples(&self, size: u32) -> Option<([u32; 2], [u32; 2])> {
        let range = |of: fn(&Projected) -> i32| {
            let values = self.corners.each_ref().map(of);
            let least = values.iter().copied().min().unwrap_or(0);
            let most = values.iter().copied().max().unwrap_or(0);
            let first = (least + 127).div_euclid(256).max(0);
            let last = (most - 128).div_euclid(256).min(size as i32 - 1);
            (first <= last).then_some([first as u32, last as u32])
        };
        Some((range(|corner| corner.x)?, range(|corner| corner.y)?))
    }

    fn edges_at(&self, x: u32, y: u32) -> [i64; 3] {
        let [a, b, c] = self.corners;
        let (x, y) = (x as i32 * 256 + 128, y as i32 * 256 + 128);
        [edge(b, c, x, y), edge(c, a, x, y), edge(a, b, x, y)]
    }

    fn step_across(&self) -> [i64; 3] {
        let [a, b, c] = self.corners;
        [(b, c), (c, a), (a, b)].map(|(from, to)| 256 * i64::from(from.y - to.y))
    }

    fn step_down(&self) -> [i64; 3] {
        let [a, b, c] = self.corners;
        [(b, c), (c, a), (a, b)].map(|(from, to)| 256 * i64::from(to.x - from.x))
    }

    fn weights(&self, edges: [i64; 3]) -> [f32; 3] {
        edges.map(|edge| edge as f32 * self.inverse_area)
    }

    fn nearness(&self, weights: [f32; 3]) -> f32 {
        (0..3).map(|i| weights[i] * self.corners[i].nearness).sum()
    }

    /// Weights of the triangle's own corners from weights on the picture. Perspective gives
    /// nearer corners more.
    fn on_triangle(&self, weights: [f32; 3]) -> [f32; 3] {
        let nearness = self.nearness(weights);
        let mut own = [0.0; 3];
        for i in 0..3 {
            own[self.order[i]] = if self.has_perspective {
                weights[i] * self.corners[i].nearness / nearness
            } else {
                weights[i]
            };
        }
        own
    }

    /// Weights of the triangle's own corners at a point in samples, which may lie a little outside
    /// the triangle and is then moved inside.
    pub(super) fn weights_at(&self, x: f32, y: f32) -> [f32; 3] {
        let [a, b, c] = self.corners;
        let (x, y) = ((x * SUBSAMPLE) as i32, (y * SUBSAMPLE) as i32);
        let edges = [edge(b, c, x, y), edge(c, a, x, y), edge(a, b, x, y)].map(|edge| edge.max(0));
        let sum = edges.iter().sum::<i64>().max(1) as f32;
        self.on_triangle(edges.map(|edge| edge as f32 / sum))
    }

    /// The area on the picture, in samples.
    pub(super) fn area(&self) -> f32 {
        0.5 / (self.inverse_area * SUBSAMPLE * SUBSAMPLE)
    }
}

/// Twice the area of the triangle from an edge to a point; positive when the point lies to the
/// right as seen along it on a picture whose Y points down.
fn edge(from: Projected, to: Projected, x: i32, y: i32) -> i64 {
    i64::from(to.x - from.x) * i64::from(y - from.y)
        - i64::from(to.y - from.y) * i64::from(x - from.x)
}

/// The opacity that a sample asks for. Neighbouring samples ask for different ones, so that a
/// surface that is half clear covers half of them, without sorting (Bayer 1973).
fn threshold(alpha: Alpha, x: u32, y: u32) -> f32 {
    const PATTERN: [[u8; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
    match alpha {
        Alpha::Opaque => 0.0,
        Alpha::Mask(cutoff) => cutoff,
        Alpha::Blend => (f32::from(PATTERN[y as usize % 4][x as usize % 4]) + 0.5) / 16.0,
    }
}
