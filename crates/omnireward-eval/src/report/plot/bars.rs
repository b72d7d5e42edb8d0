use super::{
    scale::Scale,
    svg::{Anchor, Svg, fit, name_width},
};
use crate::report::words;

/// Counts of several kinds, a bar for each row.
#[derive(Clone, Debug)]
pub(crate) struct BarPlot {
    /// Read out in place of the drawing.
    pub(crate) label: String,
    /// What is counted; each has a colour.
    pub(crate) parts: Vec<String>,
    /// A name, and a count of each part.
    pub(crate) rows: Vec<(String, Vec<u64>)>,
    pub(crate) lengths: BarLengths,
}

/// How long bars are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BarLengths {
    /// As long as their sum, beside the others.
    Counts,
    /// All as long as one another, so that shares can be compared.
    Shares,
}

const ROW: f64 = 26.0;
const BAR: f64 = 16.0;
const VALUE_WIDTH: f64 = 78.0;

/// Draws a bar for each row, `width` pixels wide with names and sums. Empty without counts.
pub(crate) fn bars(plot: &BarPlot, width: f64) -> String {
    let sums = || {
        plot.rows
            .iter()
            .map(|(_, counts)| counts.iter().sum::<u64>())
    };
    let most = sums().max().unwrap_or(0);
    if most == 0 {
        return String::new();
    }
    let left = name_width(plot.rows.iter().map(|(name, _)| name), width);
    let right = width - VALUE_WIDTH;
    let mut svg = Svg::new(width, ROW * plot.rows.len() as f64, &plot.label);
    for (index, ((name, counts), sum)) in plot.rows.iter().zip(sums()).enumerate() {
        let top = ROW * index as f64;
        let text = top + ROW / 2.0 + 4.0;
        svg.text((0.0, text), Anchor::Start, "rowname", &fit(name, left));
        let whole = match plot.lengths {
            BarLengths::Counts => most,
            BarLengths::Shares => sum.max(1),
        };
        let scale = Scale::new((0.0, whole as f64), (left + 10.0, right));
        draw_bar(&mut svg, &plot.parts, (name, counts), &scale, top);
        svg.text((width, text), Anchor::End, "value", &words::count(sum));
    }
    svg.finish()
}

fn draw_bar(
    svg: &mut Svg,
    parts: &[String],
    (name, counts): (&String, &Vec<u64>),
    scale: &Scale,
    top: f64,
) {
    let y = top + (ROW - BAR) / 2.0;
    let (first, last) = scale.ends();
    svg.rect((first, y), (last - first, BAR), "track", 3.0);
    let sum: u64 = counts.iter().sum();
    let mut before = 0;
    for (index, (&count, part)) in counts.iter().zip(parts).enumerate() {
        if count == 0 {
            continue;
        }
        let from = scale.at(before as f64);
        before += count;
        let to = scale.at(before as f64);
        let share = 100.0 * count as f64 / sum as f64;
        let title = format!("{name}, {part}: {} ({share:.1}%)", words::count(count));
        svg.titled(&title, |svg| {
            let class = format!("fill s{}", index % super::SERIES);
            // A gap between neighbours, where there is room for one.
            let gap = if to - from > 4.0 { 1.0 } else { 0.0 };
            svg.rect((from, y), (to - from - gap, BAR), &class, 2.0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(lengths: BarLengths) -> BarPlot {
        BarPlot {
            label: "labels".into(),
            parts: vec!["first".into(), "tie".into()],
            rows: vec![
                ("T2T".into(), vec![30, 10]),
                ("T2I".into(), vec![5, 5]),
                ("T2V".into(), vec![0, 0]),
            ],
            lengths,
        }
    }

    #[test]
    fn every_count_above_nothing_is_drawn() {
        let svg = bars(&plot(BarLengths::Counts), 400.0);
        assert_eq!(svg.matches("class=\"fill").count(), 4);
        assert!(
            svg.contains("T2T, tie: 10 (25.0%)") && !svg.contains("NaN"),
            "{svg}"
        );
    }

    #[test]
    fn shares_fill_the_whole_width() {
        let width = |svg: &str| {
            let bar = svg.split("T2I, first").nth(1).unwrap();
            let width = bar.split("width=\"").nth(1).unwrap();
            width.split('"').next().unwrap().parse::<f64>().unwrap()
        };
        let [counts, shares] = [BarLengths::Counts, BarLengths::Shares]
            .map(|lengths| width(&bars(&plot(lengths), 400.0)));
        assert!(shares > 3.0 * counts, "{counts} {shares}");
    }

    #[test]
    fn nothing_gives_nothing() {
        let mut plot = plot(BarLengths::Shares);
        plot.rows.retain(|(name, _)| name == "T2V");
        assert_eq!(bars(&plot, 400.0), "");
    }
}
