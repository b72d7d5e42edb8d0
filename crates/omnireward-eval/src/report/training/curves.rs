//! What was measured while a model trained, drawn over its steps.

use super::{SeriesUnit, TrainingPage, TrainingSeries, last_step};
use crate::report::{
    page::{Block, Content, Figure, HALF, Section, Tile},
    plot::{Line, LinePlot, Look, Values, line_plot},
    words,
};

/// The share of all measurements that a smoothed value is made from.
const WINDOW: f64 = 0.05;

/// A figure for each series, two in a row.
pub(super) fn section(training: &TrainingPage) -> Section {
    let last = last_step(training);
    let blocks: Vec<Block> = training
        .series
        .iter()
        .filter_map(|series| block(series, last))
        .collect();
    let mut blocks = blocks.into_iter().peekable();
    let mut rows = Vec::new();
    while blocks.peek().is_some() {
        rows.push(blocks.by_ref().take(2).collect());
    }
    Section {
        id: "curves",
        title: "Training",
        lead: "Over the steps of the optimiser. Pale lines are what was measured, strong lines the middle of the twentieth of all measurements around each, whose last value stands on the right. Peaks beyond one measurement in a hundred are cut off.".into(),
        rows,
        ..Section::default()
    }
}

/// Where a series began and ended.
pub(super) fn tile(series: &TrainingSeries) -> Option<Tile> {
    let smooth = smoothed(&finite(&series.points));
    let (first, last) = (smooth.first()?, smooth.last()?);
    let text = |value: f64| match series.unit {
        SeriesUnit::Share => words::percent_sign(Some(value)),
        SeriesUnit::Number => format!("{value:.3}"),
    };
    Some(Tile {
        name: series.name.clone(),
        big: text(last.1),
        unit: String::new(),
        detail: format!("smoothed, from {} at the beginning", text(first.1)),
        lead: false,
    })
}

/// A figure of a series; none where nothing was measured.
fn block(series: &TrainingSeries, last: f64) -> Option<Block> {
    let points = finite(&series.points);
    if points.is_empty() {
        return None;
    }
    let plot = plot(series, points, last);
    Some(Block {
        title: series.name.clone(),
        text: series.text.clone(),
        content: Content::Figure {
            figure: Figure::new(Vec::new(), HALF, |width| line_plot(&plot, width, 200.0)),
        },
    })
}

fn plot(series: &TrainingSeries, points: Vec<(f64, f64)>, last: f64) -> LinePlot {
    let line = |points, look| Line {
        points,
        series: 0,
        look,
    };
    let lines = if series.scatters {
        let smooth = smoothed(&points);
        vec![line(points, Look::Raw), line(smooth, Look::Smooth)]
    } else {
        vec![line(points, Look::Smooth)]
    };
    let (values, reference) = match series.unit {
        SeriesUnit::Share => (Values::Shares, Some(0.5)),
        SeriesUnit::Number => (Values::Numbers, None),
    };
    LinePlot {
        label: format!("{} over the steps of the training", series.name),
        lines,
        values,
        steps: (0.0, last),
        marked: None,
        reference,
        values_at_least: None,
    }
}

fn finite(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points
        .iter()
        .copied()
        .filter(|(step, value)| step.is_finite() && value.is_finite())
        .collect()
}

/// At each point the mean of the middle half of those around it, on which a rare peak has no influence. Towards the ends
/// there are fewer around, more of them on one side.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let reach = (points.len() as f64 * WINDOW / 2.0).round() as usize;
    let last = points.len().saturating_sub(1);
    points
        .iter()
        .enumerate()
        .map(|(place, (step, _))| {
            let around = &points[place.saturating_sub(reach)..=(place + reach).min(last)];
            (*step, middle_mean(around.iter().map(|(_, value)| *value)))
        })
        .collect()
}

/// The mean without the highest and the lowest quarter.
fn middle_mean(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let quarter = values.len() / 4;
    let middle = &values[quarter..values.len() - quarter];
    middle.iter().sum::<f64>() / middle.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_keeps_straight_lines_and_flattens_waves_and_peaks() {
        let line: Vec<_> = (0..200)
            .map(|i| (f64::from(i), f64::from(i) * 0.5))
            .collect();
        for ((_, smooth), (_, value)) in smoothed(&line).iter().zip(&line).skip(5).take(190) {
            assert!((smooth - value).abs() < 1e-9);
        }
        let wave: Vec<_> = (0..200).map(|i| (f64::from(i), f64::from(i % 2))).collect();
        for (_, value) in smoothed(&wave) {
            assert!((0.3..=0.7).contains(&value), "{value}");
        }
        let mut peak: Vec<_> = (0..200).map(|i| (f64::from(i), 1.0)).collect();
        peak[100].1 = 1e6;
        assert!(
            smoothed(&peak)
                .iter()
                .all(|(_, value)| (value - 1.0).abs() < 1e-9)
        );
        assert!(smoothed(&[]).is_empty());
        assert_eq!(smoothed(&[(1.0, 2.0)]), [(1.0, 2.0)]);
    }
}
