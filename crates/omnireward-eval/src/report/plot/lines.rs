use super::{
    scale::{Scale, round_step, widened},
    svg::{Anchor, Svg},
};

/// Values that change from step to step of a training.
#[derive(Clone, Debug)]
pub(crate) struct LinePlot {
    /// Read out in its place.
    pub(crate) label: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) values: Values,
    /// The steps that the axis spans, so that several figures have one axis.
    pub(crate) steps: (f64, f64),
    /// A step to mark.
    pub(crate) marked: Option<f64>,
    /// A value to compare with.
    pub(crate) reference: Option<f64>,
    /// Values that the axis spans at least, so that several figures have one axis.
    pub(crate) values_at_least: Option<(f64, f64)>,
}

/// One line of a figure.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Step and value, by rising step. The line is broken at values that are not finite.
    pub(crate) points: Vec<(f64, f64)>,
    /// Whose colour and mark it has.
    pub(crate) series: usize,
    pub(crate) look: Look,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Thin and pale: measurements that scatter. One in a hundred at either end may leave the figure.
    Raw,
    /// A line with its last value beside it.
    Smooth,
    /// The same, with a mark at each point where there are few.
    Marked,
}

/// What values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    /// Shares, written in percent.
    Shares,
    Numbers,
}

const LEFT: f64 = 46.0;
const RIGHT: f64 = 54.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

/// More marks than this hide one another.
const MOST_MARKS: usize = 30;

/// Draws lines over steps; without a finite value it is empty.
pub(crate) fn line_plot(plot: &LinePlot, width: f64, height: f64) -> String {
    let Some(extent) = extent(plot) else {
        return String::new();
    };
    let step = round_step((extent.1 - extent.0) / 4.0);
    let x = Scale::new(plot.steps, (LEFT, width - RIGHT));
    let y = Scale::new(widened(extent, step), (height - BOTTOM, TOP));
    let mut svg = Svg::new(width, height, &plot.label);
    let ticks = y.ticks(26.0);
    for tick in &ticks {
        let at = y.at(*tick);
        svg.line((LEFT, at), (width - RIGHT, at), "grid");
        let text = tick_text(*tick, tick_step(&ticks), plot.values);
        svg.text((LEFT - 6.0, at + 4.0), Anchor::End, "tick", &text);
    }
    steps_axis(&mut svg, &x, height - BOTTOM);
    if let Some(reference) = plot.reference {
        let at = y.at(reference);
        svg.line((LEFT, at), (width - RIGHT, at), "reference");
    }
    if let Some(step) = plot.marked {
        svg.line((x.at(step), TOP), (x.at(step), height - BOTTOM), "drop");
    }
    for line in &plot.lines {
        draw(&mut svg, line, &x, &y, plot.values);
    }
    last_values(&mut svg, plot, &y, width - RIGHT + 6.0);
    svg.finish()
}

fn steps_axis(svg: &mut Svg, x: &Scale, bottom: f64) {
    let ticks = x.ticks(64.0);
    for tick in &ticks {
        let at = x.at(*tick);
        svg.line((at, bottom), (at, bottom + 4.0), "axis");
        let text = tick_text(*tick, tick_step(&ticks), Values::Numbers);
        svg.text((at, bottom + 17.0), Anchor::Middle, "tick", &text);
    }
    let (first, last) = x.ends();
    svg.line((first, bottom), (last, bottom), "axis");
}

fn draw(svg: &mut Svg, line: &Line, x: &Scale, y: &Scale, values: Values) {
    let series = line.series % super::SERIES;
    let class = match line.look {
        Look::Raw => format!("curve raw s{series}"),
        Look::Smooth | Look::Marked => format!("curve s{series}"),
    };
    for piece in line.points.split(|(_, value)| !value.is_finite()) {
        let pixels: Vec<_> = piece
            .iter()
            .map(|(step, value)| (x.at(*step), y.at(*value)))
            .collect();
        svg.polyline(&thinned(&pixels), &class);
    }
    let finite = || line.points.iter().filter(|(_, value)| value.is_finite());
    if line.look == Look::Marked && finite().count() <= MOST_MARKS {
        for (step, value) in finite() {
            let title = format!("step {step}: {}", value_text(*value, values));
            svg.titled(&title, |svg| {
                let at = (x.at(*step), y.at(*value));
                svg.marker(line.series, at, &format!("mark s{series}"));
            });
        }
    }
}

/// The last value of each line, moved apart where they would cover one another.
fn last_values(svg: &mut Svg, plot: &LinePlot, y: &Scale, left: f64) {
    const APART: f64 = 13.0;
    let mut labels: Vec<(f64, f64)> = plot
        .lines
        .iter()
        .filter(|line| line.look != Look::Raw)
        .filter_map(|line| line.points.iter().rfind(|(_, value)| value.is_finite()))
        .map(|(_, value)| (y.at(*value) + 4.0, *value))
        .collect();
    labels.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut free = f64::NEG_INFINITY;
    for (at, value) in labels {
        let at = at.max(free);
        free = at + APART;
        let text = value_text(value, plot.values);
        svg.text((left, at), Anchor::Start, "value", &text);
    }
}

/// The smallest and largest value of some lines, without rare ones of raw measurements; none without a finite value.
pub(crate) fn extent_of_lines<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Option<(f64, f64)> {
    lines.into_iter().filter_map(extent_of).reduce(both)
}

/// What the figure's axis has to span.
fn extent(plot: &LinePlot) -> Option<(f64, f64)> {
    let lines = extent_of_lines(&plot.lines)?;
    let reference = plot.reference.map(|value| (value, value));
    let (low, high) = [reference, plot.values_at_least]
        .into_iter()
        .flatten()
        .fold(lines, both);
    Some(if high > low {
        (low, high)
    } else {
        let room = if low == 0.0 { 1.0 } else { low.abs() / 2.0 };
        (low - room, low + room)
    })
}

fn both(one: (f64, f64), other: (f64, f64)) -> (f64, f64) {
    (one.0.min(other.0), one.1.max(other.1))
}

fn extent_of(line: &Line) -> Option<(f64, f64)> {
    let mut values: Vec<f64> = line
        .points
        .iter()
        .map(|(_, value)| *value)
        .filter(|value| value.is_finite())
        .collect();
    values.sort_by(f64::total_cmp);
    let cut = match line.look {
        Look::Raw => values.len() / 100,
        Look::Smooth | Look::Marked => 0,
    };
    let inside = values.get(cut..values.len() - cut)?;
    Some((*inside.first()?, *inside.last()?))
}

/// At most the lowest and the highest point of each column of pixels, in their order.
fn thinned(pixels: &[(f64, f64)]) -> Vec<(f64, f64)> {
    pixels
        .chunk_by(|one, other| one.0 as i64 == other.0 as i64)
        .flat_map(|column| {
            let by_height = |one: &&(f64, f64), other: &&(f64, f64)| one.1.total_cmp(&other.1);
            let ends = [
                column.iter().min_by(by_height),
                column.iter().max_by(by_height),
            ];
            let mut ends: Vec<(f64, f64)> = ends.into_iter().flatten().copied().collect();
            ends.sort_by(|one, other| one.0.total_cmp(&other.0));
            ends.dedup();
            ends
        })
        .collect()
}

fn tick_step(ticks: &[f64]) -> f64 {
    match ticks {
        [one, other, ..] => other - one,
        _ => 1.0,
    }
}

/// A tick with as many decimals as the distance to the next one needs.
fn tick_text(value: f64, step: f64, values: Values) -> String {
    let (value, step, unit) = match values {
        Values::Shares => (value * 100.0, step * 100.0, "%"),
        Values::Numbers if step >= 1000.0 => (value / 1000.0, step / 1000.0, "k"),
        Values::Numbers => (value, step, ""),
    };
    if value.abs() < step / 2.0 {
        return format!("0{}", if unit == "k" { "" } else { unit });
    }
    if step < 1e-3 {
        let unit = 10f64.powi(value.abs().log10().floor() as i32);
        return scientific(value, decimals_of(step / unit));
    }
    let decimals = decimals_of(step);
    format!("{}{:.decimals$}{unit}", sign(value), value.abs())
}

/// As many decimals, up to four, as this number needs.
fn decimals_of(number: f64) -> usize {
    let needed = (0..4).find(|decimals| {
        let whole = number * 10f64.powi(*decimals);
        (whole - whole.round()).abs() < 1e-6 * whole
    });
    needed.unwrap_or(4) as usize
}

/// A value on its own, to about three digits.
fn value_text(value: f64, values: Values) -> String {
    if values == Values::Shares {
        return format!("{:.1}%", value * 100.0);
    }
    let decimals = match value.abs() {
        0.0 => 0,
        size if size < 1e-3 => return scientific(value, 1),
        size if size < 1.0 => 3,
        size if size < 100.0 => 2,
        _ => 0,
    };
    format!("{}{:.decimals$}", sign(value), value.abs())
}

/// `2e-6`, `1.5e-6`, with so many decimals at most.
fn scientific(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$e}", value.abs());
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    };
    format!("{}{digits}e{exponent}", sign(value))
}

fn sign(value: f64) -> &'static str {
    if value < 0.0 { "−" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>, look: Look) -> LinePlot {
        LinePlot {
            label: "loss".into(),
            lines: vec![Line {
                points,
                series: 0,
                look,
            }],
            values: Values::Numbers,
            steps: (0.0, 100.0),
            marked: Some(50.0),
            reference: None,
            values_at_least: None,
        }
    }

    #[test]
    fn lines_break_where_there_is_no_number() {
        let points = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 0.5), (3.0, 0.4)];
        let plot = LinePlot {
            reference: Some(0.5),
            ..plot(points, Look::Marked)
        };
        let svg = line_plot(&plot, 500.0, 200.0);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(!svg.contains("NaN"), "{svg}");
        assert!(svg.contains("class=\"reference\"") && svg.contains("class=\"drop\""));
        assert!(svg.contains(">0.400</text>"), "{svg}");
    }

    #[test]
    fn without_a_number_there_is_no_figure() {
        assert_eq!(line_plot(&plot(vec![], Look::Raw), 500.0, 200.0), "");
        let nothing = plot(vec![(0.0, f64::INFINITY)], Look::Smooth);
        assert_eq!(line_plot(&nothing, 500.0, 200.0), "");
    }

    #[test]
    fn long_lines_are_thinned_to_the_pixels() {
        let points = (0..100_000)
            .map(|i| (f64::from(i) / 1000.0, f64::from(i % 7)))
            .collect();
        let svg = line_plot(&plot(points, Look::Raw), 500.0, 200.0);
        assert!(svg.len() < 30_000, "{} bytes", svg.len());
    }

    #[test]
    fn thinning_keeps_what_stands_out() {
        let column = [(1.0, 5.0), (1.2, 9.0), (1.4, 1.0), (1.6, 4.0), (2.5, 3.0)];
        assert_eq!(thinned(&column), [(1.2, 9.0), (1.4, 1.0), (2.5, 3.0)]);
    }

    #[test]
    fn rare_peaks_do_not_flatten_scattered_measurements() {
        let points: Vec<_> = (0..300)
            .map(|i| (f64::from(i), if i == 7 { 1e6 } else { f64::from(i % 2) }))
            .collect();
        let raw = plot(points.clone(), Look::Raw);
        assert_eq!(extent(&raw), Some((0.0, 1.0)));
        assert_eq!(extent(&plot(points, Look::Smooth)), Some((0.0, 1e6)));
    }

    #[test]
    fn the_axis_spans_what_is_compared_with() {
        let plot = LinePlot {
            reference: Some(0.5),
            values_at_least: Some((0.8, 0.95)),
            ..plot(vec![(0.0, 0.7), (9.0, 0.9)], Look::Smooth)
        };
        assert_eq!(extent(&plot), Some((0.5, 0.95)));
    }

    #[test]
    fn a_constant_has_room_of_its_own_size() {
        let (low, high) = extent(&plot(vec![(0.0, 2e-6), (9.0, 2e-6)], Look::Smooth)).unwrap();
        assert!(low > 0.0 && high < 4e-6, "{low} {high}");
    }

    #[test]
    fn ticks_have_the_decimals_that_they_need() {
        for (value, step, expected) in [
            (0.25, 0.25, "0.25"),
            (0.5, 0.25, "0.50"),
            (-3.0, 1.0, "−3"),
            (0.0, 0.1, "0"),
            (12_000.0, 2000.0, "12k"),
            (1500.0, 500.0, "1500"),
            (2e-6, 5e-7, "2e-6"),
            (1.5e-6, 5e-7, "1.5e-6"),
            (4.85e-4, 5e-6, "4.85e-4"),
            (4.9e-4, 5e-6, "4.9e-4"),
        ] {
            assert_eq!(tick_text(value, step, Values::Numbers), expected);
        }
        assert_eq!(tick_text(0.55, 0.05, Values::Shares), "55%");
        assert_eq!(tick_text(0.525, 0.025, Values::Shares), "52.5%");
    }

    #[test]
    fn values_have_about_three_digits() {
        for (value, expected) in [
            (0.71249, "0.712"),
            (-1.5, "−1.50"),
            (12345.6, "12346"),
            (1.96e-6, "2e-6"),
            (0.0, "0"),
        ] {
            assert_eq!(value_text(value, Values::Numbers), expected);
        }
        assert_eq!(value_text(0.8731, Values::Shares), "87.3%");
    }
}
