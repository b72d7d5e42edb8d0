//! Cuts polygons into triangles.

/// Corners above which a polygon is fanned without looking: cutting ears takes time that grows
/// with the square of the corners.
const MOST_CORNERS: usize = 1024;

/// Steps that all polygons of one mesh may take together, a second or so; what comes after is
/// fanned.
const MOST_STEPS: u64 = 200_000_000;

/// Cuts the polygons of one mesh.
#[derive(Debug, Default)]
pub(super) struct Triangulator {
    steps: u64,
}

impl Triangulator {
    /// Cuts a polygon of `count >= 3` corners into `count - 2` triangles of corner numbers.
    ///
    /// A polygon that is convex seen from its first corner becomes a fan, as most programs do;
    /// another one is cut ear by ear, so that notches stay open. One that is not flat has no
    /// right cut and becomes a fan too.
    pub(super) fn triangles(
        &mut self,
        count: usize,
        at: impl Fn(usize) -> [f32; 3],
    ) -> Vec<[usize; 3]> {
        if count > MOST_CORNERS || self.steps > MOST_STEPS {
            return fan(count);
        }
        match flattened(count, at) {
            Some(flat) if !fan_is_valid(&flat) => self.cut_ears(&flat),
            _ => fan(count),
        }
    }

    /// Ear clipping (Meisters 1975): a corner is an ear when it turns left and its triangle holds
    /// no other corner.
    fn cut_ears(&mut self, flat: &[[f64; 2]]) -> Vec<[usize; 3]> {
        let mut rest: Vec<usize> = (0..flat.len()).collect();
        let mut triangles = Vec::with_capacity(flat.len() - 2);
        while rest.len() > 3 {
            // A polygon that crosses itself may have no ear; cutting anyway ends it.
            let ear = (0..rest.len())
                .find(|&i| self.is_ear(flat, &rest, i))
                .unwrap_or(0);
            triangles.push(around(&rest, ear));
            rest.remove(ear);
        }
        triangles.push([rest[0], rest[1], rest[2]]);
        triangles
    }

    fn is_ear(&mut self, flat: &[[f64; 2]], rest: &[usize], i: usize) -> bool {
        self.steps += 1;
        let [a, b, c] = around(rest, i).map(|corner| flat[corner]);
        if turn(a, b, c) <= 0.0 {
            return false;
        }
        self.steps += rest.len() as u64;
        rest.iter().map(|&corner| flat[corner]).all(|p| {
            // Corners that touch the ear's own do not count: a bridge to a hole passes twice.
            [a, b, c].iter().any(|&corner| same(corner, p)) || !inside(a, b, c, p)
        })
    }
}

/// The corner and its two neighbours, in order.
fn around(rest: &[usize], i: usize) -> [usize; 3] {
    let n = rest.len();
    [rest[(i + n - 1) % n], rest[i], rest[(i + 1) % n]]
}

fn fan(count: usize) -> Vec<[usize; 3]> {
    (1..count - 1).map(|i| [0, i, i + 1]).collect()
}

/// How far a corner may be from the plane of a polygon, as a share of the polygon's size.
const FLATNESS: f64 = 0.02;

/// The polygon in its own plane, turning left, or `None` when it is not flat.
fn flattened(count: usize, at: impl Fn(usize) -> [f32; 3]) -> Option<Vec<[f64; 2]>> {
    let at = |i: usize| at(i % count).map(f64::from);
    // Newell's normal: its parts are the areas of the polygon's shadows along each axis.
    let mut normal = [0.0; 3];
    for i in 0..count {
        let (p, q) = (at(i), at(i + 1));
        normal[0] += (p[1] - q[1]) * (p[2] + q[2]);
        normal[1] += (p[2] - q[2]) * (p[0] + q[0]);
        normal[2] += (p[0] - q[0]) * (p[1] + q[1]);
    }
    let length = normal.iter().map(|x| x * x).sum::<f64>().sqrt();
    let from_first = |i: usize| std::array::from_fn::<f64, 3, _>(|axis| at(i)[axis] - at(0)[axis]);
    let height = |i: usize| {
        (0..3)
            .map(|k| from_first(i)[k] * normal[k])
            .sum::<f64>()
            .abs()
    };
    let reach = |i: usize| from_first(i).iter().map(|x| x * x).sum::<f64>().sqrt();
    let highest = (0..count).map(height).fold(0.0, f64::max);
    let size = (0..count).map(reach).fold(0.0, f64::max);
    if highest > FLATNESS * size * length {
        return None;
    }
    // The shadow along the longest part keeps the shape best; swapping keeps the turn.
    let [x, y, z] = normal.map(f64::abs);
    let (mut u, mut v, part) = if x >= y && x >= z {
        (1, 2, normal[0])
    } else if y >= z {
        (2, 0, normal[1])
    } else {
        (0, 1, normal[2])
    };
    if part < 0.0 {
        std::mem::swap(&mut u, &mut v);
    }
    Some((0..count).map(|i| [at(i)[u], at(i)[v]]).collect())
}

/// Whether no triangle of the fan turns back.
fn fan_is_valid(flat: &[[f64; 2]]) -> bool {
    flat[1..]
        .windows(2)
        .all(|pair| turn(flat[0], pair[0], pair[1]) >= 0.0)
}

/// Positive when the path from `a` over `b` to `c` turns left.
fn turn(a: [f64; 2], b: [f64; 2], c: [f64; 2]) -> f64 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

#[expect(clippy::float_cmp, reason = "the same corner again has the same bits")]
fn same(a: [f64; 2], b: [f64; 2]) -> bool {
    a == b
}

fn inside(a: [f64; 2], b: [f64; 2], c: [f64; 2], p: [f64; 2]) -> bool {
    turn(a, b, p) >= 0.0 && turn(b, c, p) >= 0.0 && turn(c, a, p) >= 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(points: &[[f32; 2]]) -> f64 {
        let at = |i: usize| [points[i][0], points[i][1], 3.0];
        let triangles = Triangulator::default().triangles(points.len(), at);
        assert_eq!(triangles.len(), points.len() - 2);
        triangles
            .iter()
            .map(|t| {
                let [a, b, c] = t.map(|i| points[i].map(f64::from));
                turn(a, b, c).abs() / 2.0
            })
            .sum()
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn a_convex_polygon_is_a_fan() {
        let points = [[0.0, 0.0], [2.0, 0.0], [3.0, 1.0], [2.0, 2.0], [0.0, 2.0]];
        let at = |i: usize| [points[i][0], points[i][1], 0.0];
        let triangles = Triangulator::default().triangles(5, at);
        assert_eq!(triangles, [[0, 1, 2], [0, 2, 3], [0, 3, 4]]);
    }

    #[test]
    fn a_notch_stays_open_whichever_way_it_turns() {
        let mut arrow = [[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [0.0, 1.0]];
        close(area(&arrow), 2.0);
        arrow.reverse();
        close(area(&arrow), 2.0);
    }

    #[test]
    fn a_hole_reached_by_a_bridge_stays_open() {
        let points = [
            [0.0, 0.0],
            [4.0, 0.0],
            [4.0, 4.0],
            [0.0, 4.0],
            [0.0, 0.0],
            [1.0, 1.0],
            [1.0, 3.0],
            [3.0, 3.0],
            [3.0, 1.0],
            [1.0, 1.0],
        ];
        close(area(&points), 16.0 - 4.0);
    }

    #[test]
    fn crossing_collapsed_and_endless_polygons_end() {
        area(&[[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.5, 3.0]]);
        close(area(&[[1.0, 1.0]; 40]), 0.0);
        let many: Vec<[f32; 2]> = (0..5000).map(|i| [i as f32, (i % 2) as f32]).collect();
        area(&many);
    }
}
