use super::{
    Projection,
    vector::{add, cross, dot, scaled, unit},
};

/// An eye that looks at the origin. X is right, Y up, and the object lies in the unit sphere.
pub(super) struct Camera {
    right: [f32; 3],
    up: [f32; 3],
    /// From the object to the eye.
    toward: [f32; 3],
    /// From the origin to the eye; `None` for parallel lines.
    distance: Option<f32>,
}

impl Camera {
    /// At azimuth 0 the eye stands in front (+Z), at 90 to the right of the picture (+X).
    pub(super) fn new(
        azimuth_degrees: f32,
        elevation_degrees: f32,
        projection: Projection,
    ) -> Self {
        let (sin_az, cos_az) = finite(azimuth_degrees).to_radians().sin_cos();
        let elevation = finite(elevation_degrees).clamp(-89.0, 89.0);
        let (sin_el, cos_el) = elevation.to_radians().sin_cos();
        let toward = [sin_az * cos_el, sin_el, cos_az * cos_el];
        let right = unit(cross([0.0, 1.0, 0.0], toward));
        Self {
            right,
            up: cross(toward, right),
            toward,
            distance: match projection {
                Projection::Perspective {
                    field_of_view_degrees,
                } => {
                    let angle = finite(field_of_view_degrees).clamp(1.0, 120.0);
                    Some(1.0 / (angle / 2.0).to_radians().sin())
                }
                Projection::Orthographic => None,
            },
        }
    }

    /// Right and up on a picture without scale, and nearness: greater is nearer, and it is linear
    /// across a triangle on the picture.
    pub(super) fn project(&self, point: [f32; 3]) -> [f32; 3] {
        let (x, y, z) = (
            dot(point, self.right),
            dot(point, self.up),
            dot(point, self.toward),
        );
        match self.distance {
            Some(distance) => {
                // The eye is outside the unit sphere, so the depth is positive.
                let nearness = 1.0 / (distance - z);
                [x * nearness, y * nearness, nearness]
            }
            None => [x, y, z + 2.0],
        }
    }

    /// Whether weights on the picture must be corrected by nearness to be weights on the triangle.
    pub(super) const fn has_perspective(&self) -> bool {
        self.distance.is_some()
    }

    /// The direction from a point to the eye.
    pub(super) fn view_direction(&self, point: [f32; 3]) -> [f32; 3] {
        match self.distance {
            Some(distance) => unit(add(scaled(self.toward, distance), scaled(point, -1.0))),
            None => self.toward,
        }
    }

    /// A direction given as right, up and toward the eye.
    pub(super) fn direction(&self, [right, up, toward]: [f32; 3]) -> [f32; 3] {
        unit(add(
            add(scaled(self.right, right), scaled(self.up, up)),
            scaled(self.toward, toward),
        ))
    }
}

const fn finite(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_faces_the_eye_and_up_is_up() {
        let front = Camera::new(0.0, 0.0, Projection::Orthographic);
        let [x, y, near] = front.project([0.25, 0.5, 0.0]);
        assert!((x - 0.25).abs() < 1e-6 && (y - 0.5).abs() < 1e-6);
        assert!(front.project([0.0, 0.0, 1.0])[2] > near);

        let side = Camera::new(90.0, 0.0, Projection::Orthographic);
        assert!((side.project([0.0, 0.0, 1.0])[0] + 1.0).abs() < 1e-6);
    }

    #[test]
    fn near_things_are_larger_in_perspective() {
        let camera = Camera::new(
            0.0,
            0.0,
            Projection::Perspective {
                field_of_view_degrees: 40.0,
            },
        );
        assert!(camera.project([0.5, 0.0, 0.5])[0] > camera.project([0.5, 0.0, -0.5])[0]);
    }
}
