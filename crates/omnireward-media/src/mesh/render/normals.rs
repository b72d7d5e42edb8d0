use std::collections::HashMap;

use super::{
    Shading,
    vector::{add, cross, dot, sub, unit},
};

/// Cosine of the angle under which two triangles look like one surface: 40 degrees.
const CREASE: f32 = 0.766;

/// Triangles around a vertex above which they are not compared pair by pair, so that a fan of a
/// million triangles stays fast. Such a vertex takes the mean of all.
const MOST_NEIGHBOURS: usize = 128;

/// The normals of each triangle's corners, unit length or zero.
///
/// They are made here for every format alike. The normals in files are not used: many formats
/// have none, and where they are, generators get them wrong often enough.
pub(super) fn corner_normals(
    positions: &[[f32; 3]],
    triangles: &[[u32; 3]],
    shading: Shading,
) -> Vec<[[f32; 3]; 3]> {
    // Their length is twice the area, which weighs large triangles more.
    let faces: Vec<[f32; 3]> = triangles
        .iter()
        .map(|triangle| {
            let [a, b, c] = triangle.map(|index| positions[index as usize]);
            cross(sub(b, a), sub(c, a))
        })
        .collect();
    let flat: Vec<[f32; 3]> = faces.iter().copied().map(unit).collect();
    if shading == Shading::Flat {
        return flat.iter().map(|&normal| [normal; 3]).collect();
    }
    let places = welded(positions);
    let around = Around::new(&places, triangles);
    (0..triangles.len())
        .map(|face| {
            triangles[face].map(|index| {
                let neighbours = around.faces(places[index as usize]);
                smooth(face, neighbours, &faces, &flat)
            })
        })
        .collect()
}

fn smooth(face: usize, neighbours: &[u32], faces: &[[f32; 3]], flat: &[[f32; 3]]) -> [f32; 3] {
    let all = neighbours.len() > MOST_NEIGHBOURS;
    if all {
        // Adding up a million triangles for each of them would be as slow as comparing them; the
        // first few hundred give the mean well enough.
        let sum = neighbours[..MOST_NEIGHBOURS]
            .iter()
            .map(|&n| faces[n as usize])
            .fold([0.0; 3], add);
        let mean = unit(sum);
        return if dot(mean, flat[face]) >= CREASE {
            mean
        } else {
            flat[face]
        };
    }
    let sum = neighbours
        .iter()
        .map(|&neighbour| neighbour as usize)
        .filter(|&neighbour| dot(flat[neighbour], flat[face]) >= CREASE)
        .map(|neighbour| faces[neighbour])
        .fold([0.0; 3], add);
    // A triangle without area agrees with none, itself included.
    if dot(sum, sum) > 0.0 {
        unit(sum)
    } else {
        flat[face]
    }
}

/// One number for all vertices at the same place: files split vertices at seams, and STL knows no
/// shared vertices at all.
fn welded(positions: &[[f32; 3]]) -> Vec<u32> {
    let mut numbers: HashMap<[u32; 3], u32> = HashMap::with_capacity(positions.len());
    positions
        .iter()
        .map(|position| {
            // Adding zero makes one of both zeros.
            let key = position.map(|x| (x + 0.0).to_bits());
            let next = numbers.len() as u32;
            *numbers.entry(key).or_insert(next)
        })
        .collect()
}

/// The triangles around each place, packed end to end.
struct Around {
    starts: Vec<u32>,
    faces: Vec<u32>,
}

impl Around {
    fn new(places: &[u32], triangles: &[[u32; 3]]) -> Self {
        let corners = || {
            (0..).zip(triangles).flat_map(|(face, triangle): (u32, _)| {
                triangle.map(|index| (face, places[index as usize] as usize))
            })
        };
        let mut starts = vec![0_u32; places.len() + 2];
        for (_, place) in corners() {
            starts[place + 2] += 1;
        }
        for place in 2..starts.len() {
            starts[place] += starts[place - 1];
        }
        let mut faces = vec![0; triangles.len() * 3];
        for (face, place) in corners() {
            let slot = &mut starts[place + 1];
            faces[*slot as usize] = face;
            *slot += 1;
        }
        Self { starts, faces }
    }

    fn faces(&self, place: u32) -> &[u32] {
        let place = place as usize;
        &self.faces[self.starts[place] as usize..self.starts[place + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two squares that share an edge, the second folded up by an angle.
    fn folded(degrees: f32) -> (Vec<[f32; 3]>, Vec<[u32; 3]>) {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let positions = vec![
            [-1.0, 0.0, 0.0],
            [-1.0, 1.0, 0.0],
            [0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0],
            // Again, as files with seams have it; one zero is negative.
            [0.0, -0.0, 0.0],
            [0.0, 1.0, 0.0],
            [cos, 0.0, sin],
            [cos, 1.0, sin],
        ];
        (positions, vec![[0, 2, 3], [0, 3, 1], [4, 6, 7], [4, 7, 5]])
    }

    #[test]
    fn a_soft_fold_is_smooth_and_a_hard_one_is_not() {
        let (positions, triangles) = folded(30.0);
        let normals = corner_normals(&positions, &triangles, Shading::Smooth);
        assert!(dot(normals[0][1], normals[2][0]) > 0.999);
        let (positions, triangles) = folded(60.0);
        let normals = corner_normals(&positions, &triangles, Shading::Smooth);
        assert!((dot(normals[0][1], normals[2][0]) - 0.5).abs() < 1e-5);
    }

    #[test]
    fn flat_shading_keeps_every_fold() {
        let (positions, triangles) = folded(30.0);
        let normals = corner_normals(&positions, &triangles, Shading::Flat);
        assert!(dot(normals[0][0], [0.0, 0.0, 1.0]) > 0.999_999);
        assert!(dot(normals[0][1], normals[2][0]) < 0.9);
    }

    #[test]
    fn a_triangle_without_area_has_no_normal() {
        let normals = corner_normals(&[[1.0; 3]; 3], &[[0, 1, 2]], Shading::Smooth);
        assert_eq!(normals, [[[0.0; 3]; 3]]);
    }
}
