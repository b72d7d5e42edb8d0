use super::svg::{Anchor, Svg};
use crate::report::words::count;

/// One part of a [`status`] bar.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) count: u64,
    /// The class that colours it, such as `readable`.
    pub(crate) class: String,
}

/// Draws counts as one stacked bar with a line of names and numbers below. Empty without counts.
pub(crate) fn status(label: &str, segments: &[Segment], width: f64) -> String {
    let total: u64 = segments.iter().map(|segment| segment.count).sum();
    if total == 0 {
        return String::new();
    }
    let shown: Vec<&Segment> = segments
        .iter()
        .filter(|segment| segment.count > 0)
        .collect();
    let columns = ((width / 190.0).floor() as usize).clamp(1, 3);
    let lines = shown.len().div_ceil(columns);
    let mut svg = Svg::new(width, 34.0 + 20.0 * lines as f64, label);
    draw_bar(&mut svg, &shown, total, width);
    for (index, segment) in shown.iter().enumerate() {
        let x = width / columns as f64 * (index % columns) as f64;
        let y = 34.0 + 20.0 * (index / columns) as f64;
        let share = segment.count as f64 / total as f64 * 100.0;
        svg.rect(
            (x, y),
            (11.0, 11.0),
            &format!("segment {}", segment.class),
            2.0,
        );
        svg.text(
            (x + 18.0, y + 10.0),
            Anchor::Start,
            "legend",
            &format!("{} {} ({share:.1}%)", segment.name, count(segment.count)),
        );
    }
    svg.finish()
}

/// The parts side by side; the smallest stay visible at three pixels.
fn draw_bar(svg: &mut Svg, shown: &[&Segment], total: u64, width: f64) {
    const LEAST: f64 = 3.0;
    let wanted: Vec<f64> = shown
        .iter()
        .map(|segment| (segment.count as f64 / total as f64 * width).max(LEAST))
        .collect();
    let shrink = width / wanted.iter().sum::<f64>();
    let mut x = 0.0;
    for (segment, wanted) in shown.iter().zip(wanted) {
        let size = wanted * shrink;
        let title = format!("{}: {} of {total}", segment.name, segment.count);
        svg.titled(&title, |svg| {
            let gap = if size > 6.0 { 1.5 } else { 0.5 };
            svg.rect(
                (x, 0.0),
                (size - gap, 22.0),
                &format!("segment {}", segment.class),
                3.0,
            );
        });
        x += size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(name: &str, count: u64) -> Segment {
        Segment {
            name: name.into(),
            count,
            class: name.into(),
        }
    }

    #[test]
    fn parts_without_a_count_are_left_out() {
        let svg = status(
            "s",
            &[segment("readable", 99), segment("refused", 0)],
            400.0,
        );
        assert!(
            svg.contains("readable 99 (100.0%)") && !svg.contains("refused"),
            "{svg}"
        );
        assert_eq!(status("s", &[segment("readable", 0)], 400.0), "");
    }
}
