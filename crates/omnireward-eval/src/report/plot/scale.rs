/// Maps a range of values to a range of pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    domain: (f64, f64),
    pixels: (f64, f64),
}

impl Scale {
    /// A scale; a domain without extent is widened so that every value has a place.
    pub(super) fn new(domain: (f64, f64), pixels: (f64, f64)) -> Self {
        let (low, high) = domain;
        let domain = if high - low > f64::EPSILON {
            domain
        } else {
            (low - 0.5, low + 0.5)
        };
        Self { domain, pixels }
    }

    /// The pixel of a value; values outside are moved to the nearer end.
    pub(super) fn at(&self, value: f64) -> f64 {
        let (low, high) = self.domain;
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        (self.pixels.1 - self.pixels.0).mul_add(share, self.pixels.0)
    }

    /// The first and the last pixel.
    pub(super) const fn ends(&self) -> (f64, f64) {
        self.pixels
    }

    /// Round values inside the domain, at least `pixels_apart` from one another.
    pub(super) fn ticks(&self, pixels_apart: f64) -> Vec<f64> {
        let (low, high) = self.domain;
        let room = ((self.pixels.1 - self.pixels.0).abs() / pixels_apart).max(1.0);
        let step = round_step((high - low) / room);
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        (first..=last).map(|index| index as f64 * step).collect()
    }
}

/// The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `step`.
pub(super) fn round_step(step: f64) -> f64 {
    let magnitude = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * magnitude)
        .find(|candidate| *candidate >= step * (1.0 - 1e-12))
        .unwrap_or(10.0 * magnitude)
}

/// Widens a range outwards to multiples of `step`.
pub(super) fn widened((low, high): (f64, f64), step: f64) -> (f64, f64) {
    (
        (low / step + 1e-9).floor() * step,
        (high / step - 1e-9).ceil() * step,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::new((0.0, 1.0), (0.0, 400.0));
        let ticks: Vec<i64> = scale
            .ticks(70.0)
            .iter()
            .map(|t| (t * 100.0).round() as i64)
            .collect();
        assert_eq!(ticks, [0, 20, 40, 60, 80, 100]);
    }

    #[test]
    fn a_single_value_has_a_place() {
        let scale = Scale::new((0.7, 0.7), (0.0, 100.0));
        assert!((scale.at(0.7) - 50.0).abs() < 1e-9);
        assert!(!scale.ticks(50.0).is_empty());
    }

    #[test]
    fn ranges_widen_outwards() {
        assert_eq!(widened((0.31, 0.88), 0.25), (0.25, 1.0));
        assert_eq!(widened((0.5, 1.0), 0.5), (0.5, 1.0));
    }
}
