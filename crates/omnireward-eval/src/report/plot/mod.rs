//! Figures as inline SVG.
//!
//! A figure is drawn for a width and styled by classes, so that the page's colours (light, dark,
//! print) reach it. Series differ by shape as well as by colour. Numbers that are not finite are
//! never written: a missing or unusable estimate is left out or shown as a dash.

mod bar;
mod bars;
mod confusion;
mod curve;
mod dots;
mod legend;
mod lines;
mod scale;
mod spread;
mod status;
mod svg;

pub(crate) use bar::{bar, spark};
pub(crate) use bars::{BarLengths, BarPlot, bars};
pub(crate) use confusion::{Confusion, confusion};
pub(crate) use curve::{Curve, curve};
pub(crate) use dots::{DotPlot, DotSeries, Mark, Unit, dots};
pub(crate) use legend::{legend_mark, swatch};
pub(crate) use lines::{Line, LinePlot, Look, Values, extent_of_lines, line_plot};
pub use spread::Spread;
pub(crate) use spread::{SpreadPlot, spreads};
pub(crate) use status::{Segment, status};

/// A value in 0 to 1 (or a difference of two such values), with an interval where one is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    /// The point.
    pub(crate) value: f64,
    /// The interval's ends.
    pub(crate) interval: Option<(f64, f64)>,
}

impl Estimate {
    /// An estimate, or `None` when the value is not a finite number. An interval that is not
    /// finite is dropped.
    pub(crate) fn new(value: f64, interval: Option<(f64, f64)>) -> Option<Self> {
        let interval = interval.filter(|(low, high)| low.is_finite() && high.is_finite());
        value.is_finite().then_some(Self { value, interval })
    }

    /// The smallest and largest number that has to be visible.
    fn extent(self) -> (f64, f64) {
        let (low, high) = self.interval.unwrap_or((self.value, self.value));
        (low.min(self.value), high.max(self.value))
    }
}

/// The number of series that have a colour and a shape of their own; later ones start over.
pub(crate) const SERIES: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_no_estimate() {
        assert_eq!(Estimate::new(f64::NAN, None), None);
        assert_eq!(
            Estimate::new(0.5, Some((f64::NAN, 1.0))).unwrap().interval,
            None
        );
        assert_eq!(
            Estimate::new(0.5, Some((0.4, 0.6))).unwrap().extent(),
            (0.4, 0.6)
        );
    }
}
