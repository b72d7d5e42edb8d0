use super::{Series, every_series};
use crate::{
    metrics::TieAnalysis,
    report::{
        ReportRun,
        page::{Block, Cell, Column, Content, Figure, GridItem, Section, THIRD, Table, TableRow},
        plot::{Curve, curve},
    },
};

/// Accuracy against the tie threshold, for judges that score. Empty when none does.
pub(in crate::report) fn ties(runs: &[ReportRun<'_>]) -> Section {
    let rows = every_series(runs)
        .into_iter()
        .filter(|series| has_ties(*series))
        .flat_map(|series| [vec![curves(runs, series)], vec![table(runs, series)]])
        .collect();
    Section {
        id: "ties",
        title: "Tie threshold",
        lead: "A judge that scores says tie where its two scores are close. Accuracy with ties depends on how close; the headline uses thresholds fitted on other folds.".into(),
        rows,
        ..Section::default()
    }
}

fn has_ties(series: Series<'_>) -> bool {
    series
        .results()
        .is_some_and(|results| results.tasks.iter().any(|task| task.ties.is_some()))
}

fn analyses(series: Series<'_>) -> Vec<(&'static str, &TieAnalysis)> {
    series
        .results()
        .into_iter()
        .flat_map(|results| &results.tasks)
        .filter_map(|task| Some((task.task.code(), task.ties.as_ref()?)))
        .collect()
}

fn curves(runs: &[ReportRun<'_>], series: Series<'_>) -> Block {
    let items = analyses(series)
        .into_iter()
        .map(|(task, analysis)| {
            let plot = curve_of(task, analysis);
            let figure = Figure::new(Vec::new(), THIRD, |width| curve(&plot, width, 200.0));
            GridItem {
                name: task.to_owned(),
                figure,
            }
        })
        .collect();
    Block {
        title: if runs.len() > 1 { series.run.name.to_owned() } else { "Accuracy over the threshold".into() },
        text: "Each curve starts where nothing is a tie and ends where everything is. The square marks the threshold that is best on these very pairs, the triangle the median of those fitted on other folds.".into(),
        content: Content::Grid { items },
    }
}

fn curve_of(task: &str, analysis: &TieAnalysis) -> Curve {
    let points: Vec<(f64, f64)> = analysis
        .curve
        .iter()
        .map(|point| (point.threshold.unwrap_or(0.0), point.accuracy))
        .collect();
    let mut chosen = Vec::new();
    if let Some(accuracy) = analysis.fitted_accuracy {
        chosen.push((
            "best here".to_owned(),
            analysis.fitted.threshold.unwrap_or(0.0),
            accuracy,
        ));
    }
    if let Some(threshold) = median_threshold(analysis) {
        chosen.push((
            "other folds".to_owned(),
            threshold,
            height_at(&points, threshold),
        ));
    }
    Curve {
        label: format!("accuracy against the tie threshold, {task}"),
        points,
        chosen,
    }
}

/// The middle of the folds' thresholds; no tie counts as a threshold of zero.
fn median_threshold(analysis: &TieAnalysis) -> Option<f64> {
    let mut thresholds: Vec<f64> = analysis
        .cross_fitted
        .folds
        .iter()
        .map(|fold| fold.threshold.unwrap_or(0.0))
        .collect();
    thresholds.sort_by(f64::total_cmp);
    thresholds.get(thresholds.len() / 2).copied()
}

/// The curve's value at a threshold.
fn height_at(points: &[(f64, f64)], threshold: f64) -> f64 {
    points
        .iter()
        .take_while(|(x, _)| *x <= threshold)
        .last()
        .or(points.first())
        .map_or(f64::NAN, |(_, y)| *y)
}

fn table(runs: &[ReportRun<'_>], series: Series<'_>) -> Block {
    let columns = [Column::words("task")]
        .into_iter()
        .chain(
            [
                "other folds",
                "best here",
                "reference's walk",
                "threshold",
                "declared ties",
            ]
            .map(Column::number),
        )
        .collect();
    let rows = analyses(series)
        .into_iter()
        .map(|(task, analysis)| TableRow {
            class: "",
            cells: vec![
                Cell::name(task),
                Cell::percent(analysis.cross_fitted_accuracy),
                Cell::percent(analysis.fitted_accuracy),
                Cell::percent(analysis.parity.accuracy),
                threshold(analysis),
                Cell::count(analysis.fitted.counts.judge_ties + analysis.fitted.counts.both_ties),
            ],
        })
        .collect();
    let name = if runs.len() > 1 {
        format!(", {}", series.run.name)
    } else {
        String::new()
    };
    Block {
        title: format!("Three ways to choose it{name}"),
        text: "Accuracy over scored pairs, in percent. Fitted on other folds: what to expect of new data. Best here: an upper bound. The reference's walk: comparable with published figures.".into(),
        content: Content::Table {
            table: Table { columns, rows, ..Table::default() },
        },
    }
}

fn threshold(analysis: &TieAnalysis) -> Cell {
    match analysis
        .fitted
        .threshold
        .filter(|threshold| threshold.is_finite())
    {
        Some(threshold) => {
            let note = if analysis.fitted.ambiguous {
                "others as good"
            } else {
                ""
            };
            Cell::number(format!("{threshold:.4}"), Some(threshold)).with_note(note)
        }
        None => Cell::number("no ties", Some(0.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the numbers are taken from the list")]
    fn the_curve_is_read_at_the_last_point_before() {
        let points = [(0.0, 0.4), (0.5, 0.6), (1.0, 0.5)];
        assert_eq!(height_at(&points, 0.7), 0.6);
        assert_eq!(height_at(&points, 0.0), 0.4);
        assert!(height_at(&[], 0.0).is_nan());
    }
}
