use super::{Mark, svg::Svg};

/// A series' mark, for a legend.
pub(crate) fn legend_mark(series: usize, mark: Mark) -> String {
    let mut svg = Svg::new(14.0, 14.0, "");
    let class = match mark {
        Mark::Solid => "mark",
        Mark::Hollow => "mark hollow",
    };
    svg.marker(
        series,
        (7.0, 7.0),
        &format!("{class} s{}", series % super::SERIES),
    );
    svg.finish()
}
