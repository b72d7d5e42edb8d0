use super::{Series, all_tasks, estimate, every_series, legend};
use crate::{
    metrics::Position,
    report::{
        ReportRun,
        page::{Block, Cell, Column, Content, FULL, Figure, HALF, Section, Table, TableRow},
        plot::{DotPlot, DotSeries, Estimate, Mark, Unit, dots},
        words,
    },
};

/// How verdicts depend on the order in which responses are shown. Empty when no order mattered.
pub(in crate::report) fn order(runs: &[ReportRun<'_>]) -> Section {
    let series = every_series(runs);
    let shown = |value: fn(&Position) -> Option<f64>| {
        series
            .iter()
            .any(|one| one.results().is_some_and(|r| value(&r.position).is_some()))
    };
    let (has_share, has_both) = (
        shown(|position| position.first_position_share),
        shown(|position| position.consistency),
    );
    let width = if has_share && has_both { HALF } else { FULL };
    let mut figures = Vec::new();
    if has_share {
        figures.push(figure(
            (runs, &series),
            width,
            "The response shown first wins",
            "The share of decided verdicts that go to the response shown first. With both orders asked, a judge without bias is at 50%; with one order, near the share of the labels.",
            vec![(0.5, "no bias".to_owned())],
            |position| estimate(position.first_position_share, position.first_position_interval),
        ));
    }
    if has_both {
        figures.push(figure(
            (runs, &series),
            width,
            "Same verdict in both orders",
            "The share of pairs, readable in both orders, whose verdict stays when the responses change places.",
            Vec::new(),
            |position| estimate(position.consistency, position.consistency_interval),
        ));
    }
    let mut rows = vec![figures];
    if has_share {
        rows.push(vec![Block {
            title: "Order in numbers".into(),
            text: "In percent. Right in both counts a pair only when both orders are judged rightly; kappa is the agreement between the two orders beyond chance.".into(),
            content: Content::Table { table: table(runs, &series) },
        }]);
    }
    Section {
        id: "order",
        title: "Order",
        lead: "Whether the place of a response decides the verdict.".into(),
        rows,
        ..Section::default()
    }
}

fn figure(
    (runs, series): (&[ReportRun<'_>], &[Series<'_>]),
    width: f64,
    title: &str,
    text: &str,
    references: Vec<(f64, String)>,
    value: impl Fn(&Position) -> Option<Estimate>,
) -> Block {
    let tasks = all_tasks(runs);
    let plot = DotPlot {
        label: title.to_owned(),
        rows: tasks
            .iter()
            .map(|task| task.code().to_owned())
            .chain(["all".to_owned()])
            .collect(),
        series: series
            .iter()
            .map(|one| DotSeries {
                name: one.name(runs),
                mark: Mark::Solid,
                points: tasks
                    .iter()
                    .map(|task| one.task(*task).and_then(|task| value(&task.position)))
                    .chain([one.results().and_then(|results| value(&results.position))])
                    .collect(),
            })
            .collect(),
        references,
        unit: Unit::Percent,
    };
    let legend = legend(plot.series.iter().map(|one| (one.name.clone(), one.mark)));
    Block {
        title: title.to_owned(),
        text: text.to_owned(),
        content: Content::Figure {
            figure: Figure::new(legend, width, |width| dots(&plot, width)),
        },
    }
}

fn table(runs: &[ReportRun<'_>], series: &[Series<'_>]) -> Table {
    let columns = [Column::words(if runs.len() > 1 {
        "run"
    } else {
        "setting"
    })]
    .into_iter()
    .chain(
        [
            "pairs in both orders",
            "accuracy as is",
            "swapped",
            "right in both",
            "same verdict",
            "first shown won",
            "… of the labels",
        ]
        .map(Column::number),
    )
    .chain([Column::number("kappa")])
    .collect();
    let rows = series
        .iter()
        .filter_map(|one| {
            let position = &one.results()?.position;
            Some(TableRow {
                class: "",
                cells: vec![
                    Cell::name(one.name(runs)),
                    Cell::count(position.pairs),
                    Cell::percent(position.accuracy_as_is),
                    Cell::percent(position.accuracy_swapped),
                    Cell::percent(position.both_orders_accuracy),
                    Cell::percent(position.consistency)
                        .with_note(words::interval(position.consistency_interval)),
                    Cell::percent(position.first_position_share)
                        .with_note(words::interval(position.first_position_interval)),
                    Cell::percent(position.first_position_labels),
                    kappa(position.kappa),
                ],
            })
        })
        .collect();
    Table {
        columns,
        rows,
        ..Table::default()
    }
}

/// A coefficient between −1 and 1.
pub(super) fn kappa(value: Option<f64>) -> Cell {
    let text = value
        .filter(|v| v.is_finite())
        .map_or("–".to_owned(), |v| format!("{v:.2}").replace('-', "−"));
    Cell::number(text, value)
}
