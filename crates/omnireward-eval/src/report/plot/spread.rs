use super::{
    scale::Scale,
    svg::{Anchor, Svg, fit, name_width},
};
use crate::report::words;

/// How numbers are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// The least.
    pub least: u64,
    /// A quarter are no greater.
    pub quarter: u64,
    /// Half are no greater.
    pub median: u64,
    /// Three quarters are no greater.
    pub three_quarters: u64,
    /// Nineteen of twenty are no greater.
    pub most_of_20: u64,
    /// The greatest.
    pub most: u64,
}

/// The spreads of several things on one axis.
#[derive(Clone, Debug)]
pub(crate) struct SpreadPlot {
    /// Read out in place of the drawing.
    pub(crate) label: String,
    pub(crate) rows: Vec<(String, Spread)>,
}

const ROW: f64 = 26.0;
const BOX: f64 = 14.0;
const VALUE_WIDTH: f64 = 52.0;
const AXIS_HEIGHT: f64 = 24.0;

/// Draws for each row a box of its middle half, its median, and a line up to what one in twenty exceeds. Empty without
/// rows.
pub(crate) fn spreads(plot: &SpreadPlot, width: f64) -> String {
    let Some(most) = plot.rows.iter().map(|(_, values)| values.most_of_20).max() else {
        return String::new();
    };
    let left = name_width(plot.rows.iter().map(|(name, _)| name), width);
    let scale = Scale::new(
        (0.0, most.max(1) as f64),
        (left + 10.0, width - VALUE_WIDTH - 8.0),
    );
    let bottom = ROW * plot.rows.len() as f64;
    let mut svg = Svg::new(width, bottom + AXIS_HEIGHT, &plot.label);
    for tick in scale.ticks(64.0) {
        let x = scale.at(tick);
        svg.line((x, 0.0), (x, bottom), "grid");
        let text = words::count(tick.round() as u64);
        svg.text((x, bottom + 17.0), Anchor::Middle, "tick", &text);
    }
    for (index, (name, values)) in plot.rows.iter().enumerate() {
        let middle = ROW.mul_add(index as f64, ROW / 2.0);
        svg.text(
            (0.0, middle + 4.0),
            Anchor::Start,
            "rowname",
            &fit(name, left),
        );
        draw(&mut svg, name, *values, &scale, middle);
        let median = words::count(values.median);
        svg.text((width, middle + 4.0), Anchor::End, "value", &median);
    }
    svg.finish()
}

fn draw(svg: &mut Svg, name: &str, values: Spread, scale: &Scale, y: f64) {
    let at = |value: u64| scale.at(value as f64);
    let title = format!(
        "{name}: from {} to {}; a quarter up to {}, half up to {}, three quarters up to {}, nineteen of twenty up to {}",
        words::count(values.least),
        words::count(values.most),
        words::count(values.quarter),
        words::count(values.median),
        words::count(values.three_quarters),
        words::count(values.most_of_20),
    );
    svg.titled(&title, |svg| {
        svg.line(
            (at(values.least), y),
            (at(values.most_of_20), y),
            "whisker s0",
        );
        let [from, to] = [values.quarter, values.three_quarters].map(at);
        let size = ((to - from).max(1.0), BOX);
        svg.rect((from, y - BOX / 2.0), size, "fill s0", 2.0);
        let x = at(values.median);
        svg.line((x, y - BOX / 2.0), (x, y + BOX / 2.0), "median");
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_stay_on_the_axis() {
        let values = Spread {
            least: 1,
            quarter: 10,
            median: 20,
            three_quarters: 40,
            most_of_20: 100,
            most: 90_000,
        };
        let one = Spread {
            least: 0,
            quarter: 0,
            median: 0,
            three_quarters: 0,
            most_of_20: 0,
            most: 0,
        };
        let plot = SpreadPlot {
            label: "words".into(),
            rows: vec![("prompts".into(), values), ("criteria".into(), one)],
        };
        let svg = spreads(&plot, 400.0);
        assert_eq!(svg.matches("class=\"fill s0\"").count(), 2);
        assert!(
            svg.contains("from 1 to 90,000") && !svg.contains("NaN"),
            "{svg}"
        );
        let nothing = SpreadPlot {
            rows: Vec::new(),
            ..plot
        };
        assert_eq!(spreads(&nothing, 400.0), "");
    }
}
