use super::{
    scale::{Scale, widened},
    svg::{Anchor, Svg},
};

/// Accuracy over a threshold, with the thresholds that were chosen.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pub(crate) label: String,
    /// Threshold and accuracy (0 to 1), by rising threshold; between two points the accuracy is
    /// that of the left one.
    pub(crate) points: Vec<(f64, f64)>,
    /// A name, a threshold and the accuracy there.
    pub(crate) chosen: Vec<(String, f64, f64)>,
}

const LEFT: f64 = 38.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 34.0;

/// Draws a step curve. Points that are not finite are left out; without points it is empty.
pub(crate) fn curve(curve: &Curve, width: f64, height: f64) -> String {
    let points: Vec<(f64, f64)> = curve
        .points
        .iter()
        .copied()
        .filter(|(x, y)| x.is_finite() && y.is_finite())
        .collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return String::new();
    };
    let chosen: Vec<_> = curve
        .chosen
        .iter()
        .filter(|(_, x, y)| x.is_finite() && y.is_finite())
        .collect();
    let (low, high) = points
        .iter()
        .map(|point| point.1)
        .chain(chosen.iter().map(|(_, _, y)| *y))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| {
            (low.min(y), high.max(y))
        });
    let (low, high) = widened((low, high), 0.05);
    let x = Scale::new((first.0.min(0.0), last.0), (LEFT, width - RIGHT));
    let y = Scale::new((low.max(0.0), high.min(1.0)), (height - BOTTOM, TOP));

    let mut svg = Svg::new(width, height, &curve.label);
    for tick in y.ticks(34.0) {
        svg.line((LEFT, y.at(tick)), (width - RIGHT, y.at(tick)), "grid");
        svg.text(
            (LEFT - 6.0, y.at(tick) + 4.0),
            Anchor::End,
            "tick",
            &format!("{:.0}%", tick * 100.0),
        );
    }
    for tick in x.ticks(58.0) {
        svg.line(
            (x.at(tick), height - BOTTOM),
            (x.at(tick), height - BOTTOM + 4.0),
            "axis",
        );
        svg.text(
            (x.at(tick), height - BOTTOM + 17.0),
            Anchor::Middle,
            "tick",
            &short(tick),
        );
    }
    svg.line(
        (LEFT, height - BOTTOM),
        (width - RIGHT, height - BOTTOM),
        "axis",
    );
    svg.text(
        (width - RIGHT, height - 3.0),
        Anchor::End,
        "tick",
        "tie threshold (margin)",
    );
    svg.polyline(&steps(&points, &x, &y), "curve s0");
    for (index, (name, threshold, accuracy)) in chosen.iter().enumerate() {
        let title = format!(
            "{name}: threshold {}, {:.1}%",
            short(*threshold),
            accuracy * 100.0
        );
        svg.titled(&title, |svg| {
            let at = (x.at(*threshold), y.at(*accuracy));
            svg.line((at.0, at.1), (at.0, height - BOTTOM), "drop");
            svg.marker(
                index + 1,
                at,
                &format!("mark s{}", (index + 1) % super::SERIES),
            );
        });
    }
    svg.finish()
}

fn steps(points: &[(f64, f64)], x: &Scale, y: &Scale) -> Vec<(f64, f64)> {
    let mut path = Vec::with_capacity(points.len() * 2);
    for (index, (threshold, accuracy)) in points.iter().enumerate() {
        if let Some(before) = index.checked_sub(1).and_then(|i| points.get(i)) {
            path.push((x.at(*threshold), y.at(before.1)));
        }
        path.push((x.at(*threshold), y.at(*accuracy)));
    }
    path
}

/// A threshold with about three significant digits.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        size if !(1e-9..100.0).contains(&size) => 0,
        size if size >= 1.0 => 1,
        size if size >= 0.1 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_hold_the_left_value() {
        let plot = Curve {
            label: "c".into(),
            points: vec![(0.0, 0.5), (1.0, 0.7), (f64::NAN, 0.1)],
            chosen: vec![
                ("exact".into(), 1.0, 0.7),
                ("none".into(), f64::INFINITY, 0.7),
            ],
        };
        let svg = curve(&plot, 300.0, 200.0);
        assert_eq!(svg.matches("class=\"mark").count(), 1);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(
            curve(
                &Curve {
                    points: vec![],
                    ..plot
                },
                300.0,
                200.0
            ),
            ""
        );
    }

    #[test]
    fn one_point_is_drawn() {
        let plot = Curve {
            label: "c".into(),
            points: vec![(0.0, 1.0)],
            chosen: vec![],
        };
        assert!(curve(&plot, 300.0, 200.0).contains("polyline"));
    }

    #[test]
    fn thresholds_are_short() {
        assert_eq!(short(0.25), "0.25");
        assert_eq!(short(2.0), "2");
        assert_eq!(short(100.0), "100");
    }
}
