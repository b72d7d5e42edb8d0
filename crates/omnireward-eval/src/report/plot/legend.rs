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

/// The colour of a bar's part, for a legend.
pub(crate) fn swatch(series: usize) -> String {
    let mut svg = Svg::new(14.0, 14.0, "");
    let class = format!("fill s{}", series % super::SERIES);
    svg.rect((1.0, 1.0), (12.0, 12.0), &class, 2.0);
    svg.finish()
}
