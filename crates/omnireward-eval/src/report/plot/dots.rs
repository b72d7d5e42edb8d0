use super::{
    Estimate,
    scale::{Scale, widened},
    svg::{Anchor, Svg, fit, name_width},
};

/// What the numbers of a plot are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Shares from 0 to 1, shown as percent.
    Percent,
    /// Differences of shares, shown as signed percentage points.
    Points,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{:.1}", value * 100.0),
            Self::Points => signed(value * 100.0, 1),
        }
    }

    fn tick(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{:.0}%", value * 100.0),
            Self::Points => signed(value * 100.0, 0),
        }
    }
}

/// A number with its sign; the typographic minus, and no sign on zero.
fn signed(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    if text.chars().all(|c| matches!(c, '0' | '.')) {
        text
    } else if value < 0.0 {
        format!("−{text}")
    } else {
        format!("+{text}")
    }
}

/// How a series' points are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Filled: measured here.
    Solid,
    /// Outlined: taken from elsewhere, such as a published table.
    Hollow,
}

/// One estimate for each row of a [`DotPlot`].
#[derive(Clone, Debug)]
pub(crate) struct DotSeries {
    pub(crate) name: String,
    pub(crate) mark: Mark,
    pub(crate) points: Vec<Option<Estimate>>,
}

/// Estimates with intervals on rows, several series to a row.
#[derive(Clone, Debug)]
pub(crate) struct DotPlot {
    /// Read out in place of the drawing.
    pub(crate) label: String,
    pub(crate) rows: Vec<String>,
    pub(crate) series: Vec<DotSeries>,
    /// Vertical lines to compare with, such as a coin's accuracy.
    pub(crate) references: Vec<(f64, String)>,
    pub(crate) unit: Unit,
}

const LINE: f64 = 17.0;
const ROW_GAP: f64 = 12.0;
const VALUE_WIDTH: f64 = 46.0;
const AXIS_HEIGHT: f64 = 24.0;
const REFERENCE_HEIGHT: f64 = 18.0;

/// Draws a dot plot `width` pixels wide. Without rows or series the result is empty.
pub(crate) fn dots(plot: &DotPlot, width: f64) -> String {
    if plot.rows.is_empty() || plot.series.is_empty() {
        return String::new();
    }
    let label_width = name_width(plot.rows.iter(), width);
    let row_height = LINE.mul_add(plot.series.len() as f64, ROW_GAP);
    let references = if plot.references.is_empty() {
        0.0
    } else {
        REFERENCE_HEIGHT
    };
    let bottom = row_height.mul_add(plot.rows.len() as f64, references);
    let scale = Scale::new(
        domain(plot),
        (label_width + 10.0, width - VALUE_WIDTH - 12.0),
    );

    let mut svg = Svg::new(width, bottom + AXIS_HEIGHT, &plot.label);
    draw_grid(&mut svg, plot, &scale, references, bottom);
    for (index, row) in plot.rows.iter().enumerate() {
        let top = row_height.mul_add(index as f64, references);
        if index > 0 {
            svg.line((0.0, top), (width, top), "rule");
        }
        svg.text(
            (0.0, top + row_height / 2.0 + 4.0),
            Anchor::Start,
            "rowname",
            &fit(row, label_width),
        );
        for (order, series) in plot.series.iter().enumerate() {
            let y = LINE.mul_add(order as f64 + 0.5, top + ROW_GAP / 2.0);
            draw_point(
                &mut svg,
                plot,
                (row, order, series),
                index,
                &scale,
                (y, width),
            );
        }
    }
    svg.finish()
}

/// What has to be visible, widened to round numbers: all of the intervals and the reference lines.
fn domain(plot: &DotPlot) -> (f64, f64) {
    let points = plot
        .series
        .iter()
        .flat_map(|series| series.points.iter().flatten());
    let (low, high) = points
        .map(|point| point.extent())
        .chain(plot.references.iter().map(|(value, _)| (*value, *value)))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (a, b)| {
            (low.min(a), high.max(b))
        });
    match plot.unit {
        Unit::Percent if low.is_finite() => {
            let (low, high) = widened((low, high), 0.1);
            (low.max(0.0), high.min(1.0))
        }
        Unit::Percent => (0.0, 1.0),
        Unit::Points => {
            let reach = low.abs().max(high.abs());
            let (_, reach) = widened((0.0, if reach.is_finite() { reach } else { 0.0 }), 0.02);
            let reach = reach.max(0.02);
            (-reach, reach)
        }
    }
}

fn draw_grid(svg: &mut Svg, plot: &DotPlot, scale: &Scale, top: f64, bottom: f64) {
    for tick in scale.ticks(56.0) {
        let x = scale.at(tick);
        svg.line((x, top), (x, bottom), "grid");
        svg.text(
            (x, bottom + 17.0),
            Anchor::Middle,
            "tick",
            &plot.unit.tick(tick),
        );
    }
    for (value, name) in &plot.references {
        let x = scale.at(*value);
        svg.line((x, top - 4.0), (x, bottom), "reference");
        svg.text((x, 11.0), Anchor::Middle, "tick", name);
    }
}

fn draw_point(
    svg: &mut Svg,
    plot: &DotPlot,
    (row, order, series): (&str, usize, &DotSeries),
    index: usize,
    scale: &Scale,
    (y, width): (f64, f64),
) {
    let Some(point) = series.points.get(index).copied().flatten() else {
        svg.text((width, y + 4.0), Anchor::End, "value missing", "–");
        return;
    };
    let colour = order % super::SERIES;
    let interval = point.interval.map_or(String::new(), |(low, high)| {
        format!(" ({} to {})", plot.unit.show(low), plot.unit.show(high))
    });
    let title = format!(
        "{row}, {}: {}{interval}",
        series.name,
        plot.unit.show(point.value)
    );
    svg.titled(&title, |svg| {
        if let Some((low, high)) = point.interval {
            let (x1, x2) = (scale.at(low), scale.at(high));
            svg.line((x1, y), (x2, y), &format!("whisker s{colour}"));
            for x in [x1, x2] {
                svg.line((x, y - 3.0), (x, y + 3.0), &format!("whisker s{colour}"));
            }
        }
        let mark = match series.mark {
            Mark::Solid => "mark",
            Mark::Hollow => "mark hollow",
        };
        svg.marker(
            order,
            (scale.at(point.value), y),
            &format!("{mark} s{colour}"),
        );
        svg.text(
            (width, y + 4.0),
            Anchor::End,
            "value",
            &plot.unit.show(point.value),
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(rows: usize, values: &[Option<f64>]) -> DotPlot {
        DotPlot {
            label: "accuracy".into(),
            rows: (0..rows).map(|i| format!("T{i}")).collect(),
            series: vec![DotSeries {
                name: "run".into(),
                mark: Mark::Solid,
                points: values
                    .iter()
                    .map(|v| v.and_then(|v| Estimate::new(v, Some((v - 0.1, v + 0.1)))))
                    .collect(),
            }],
            references: vec![(0.5, "coin".into())],
            unit: Unit::Percent,
        }
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(dots(&plot(0, &[]), 400.0), "");
    }

    #[test]
    fn one_and_nine_rows_are_drawn_without_bad_numbers() {
        for rows in [1, 9] {
            let values: Vec<_> = (0..rows).map(|i| Some(0.3 + 0.05 * i as f64)).collect();
            let svg = dots(&plot(rows, &values), 400.0);
            assert_eq!(svg.matches("<circle").count(), rows);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn missing_values_are_dashes() {
        let svg = dots(&plot(3, &[Some(0.5), None, Some(f64::NAN)]), 400.0);
        assert_eq!(svg.matches("<circle").count(), 1);
        assert_eq!(svg.matches('–').count(), 2);
        assert!(!svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn differences_have_signs() {
        assert_eq!(Unit::Points.show(0.0123), "+1.2");
        assert_eq!(Unit::Points.show(-0.05), "−5.0");
        assert_eq!(Unit::Points.show(-0.0001), "0.0");
    }
}
