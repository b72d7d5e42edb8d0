//! How a model does on pairs that are held out, drawn over the steps of its training.

use omnireward_core::Task;

use super::{HeldOut, HeldOutPoint, HeldOutShare, TrainingPage, interval, last_step, steps};
use crate::report::{
    page::{
        Block, Cell, Column, Content, Figure, GridItem, HALF, Legend, Section, THIRD, Table,
        TableRow, Tile,
    },
    plot::{
        Estimate, Line, LinePlot, Look, Mark, Values, bar, extent_of_lines, legend_mark, line_plot,
    },
    words,
};

/// The figures and the table of each set.
pub(super) fn section(training: &TrainingPage) -> Section {
    let last = last_step(training);
    let sets = training
        .evaluations
        .iter()
        .filter(|set| !set.points.is_empty());
    Section {
        id: "held-out",
        title: "Held-out pairs",
        lead: "Pairs that the model does not learn from. The dotted line marks the step whose checkpoint is kept as the best.".into(),
        rows: sets.flat_map(|set| rows(set, last)).collect(),
        ..Section::default()
    }
}

/// The accuracy of the checkpoint that counts.
pub(super) fn tile(set: &HeldOut) -> Option<Tile> {
    let point = shown(set)?;
    let mean = mean_of_tasks(point).filter(|_| point.tasks.len() > 1);
    let details = [
        words::interval(interval(point.overall)),
        words::counted(point.overall.pairs, "pair"),
        mean.map_or(String::new(), |mean| {
            format!("mean of tasks {}", words::percent_sign(Some(mean)))
        }),
        steps(point.step),
    ];
    let details: Vec<String> = details
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect();
    Some(Tile {
        name: format!("Accuracy on {}", set.name),
        big: words::percent(point.overall.value()),
        unit: "%".into(),
        detail: details.join(" · "),
        lead: true,
    })
}

/// The best point, or else the last.
fn shown(set: &HeldOut) -> Option<&HeldOutPoint> {
    let best = set.points.iter().find(|point| Some(point.step) == set.best);
    best.or(set.points.last())
}

fn rows(set: &HeldOut, last: f64) -> Vec<Vec<Block>> {
    let beside = [loss(set, last), orders(set, last)];
    let beside = beside.into_iter().flatten();
    let mut rows = vec![[accuracy(set, last)].into_iter().chain(beside).collect()];
    let tasks = tasks(set);
    if tasks.len() > 1 {
        rows.push(vec![grid(set, &tasks, last)]);
    }
    rows.push(vec![table(set, &tasks)]);
    rows
}

/// All tasks that occur, in the order of the paper's tables.
fn tasks(set: &HeldOut) -> Vec<Task> {
    Task::ALL
        .into_iter()
        .filter(|task| {
            (set.points.iter())
                .any(|point| share(point, *task).is_some_and(|share| share.pairs > 0))
        })
        .collect()
}

fn share(point: &HeldOutPoint, task: Task) -> Option<HeldOutShare> {
    let found = point.tasks.iter().find(|(name, _)| *name == task);
    found.map(|(_, share)| *share)
}

fn mean_of_tasks(point: &HeldOutPoint) -> Option<f64> {
    let shares: Vec<f64> = point
        .tasks
        .iter()
        .filter_map(|(_, share)| share.value())
        .collect();
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

/// A line over the evaluations; a step without a value breaks it.
fn line(set: &HeldOut, series: usize, value: impl Fn(&HeldOutPoint) -> Option<f64>) -> Line {
    let point = |point: &HeldOutPoint| (point.step as f64, value(point).unwrap_or(f64::NAN));
    Line {
        points: set.points.iter().map(point).collect(),
        series,
        look: Look::Marked,
    }
}

fn has_values(line: &Line) -> bool {
    line.points.iter().any(|(_, value)| value.is_finite())
}

fn accuracy(set: &HeldOut, last: f64) -> Block {
    let has_ties = set
        .points
        .iter()
        .any(|point| point.with_ties.pairs > point.overall.pairs);
    let several = tasks(set).len() > 1;
    let named = [
        (
            "all pairs",
            Some(line(set, 0, |point| point.overall.value())),
        ),
        (
            "mean of tasks",
            several.then(|| line(set, 1, mean_of_tasks)),
        ),
        (
            "with ties",
            has_ties.then(|| line(set, 2, |point| point.with_ties.value())),
        ),
    ];
    let (names, lines): (Vec<_>, Vec<_>) = named
        .into_iter()
        .filter_map(|(name, line)| Some((name, line?)))
        .filter(|(_, line)| has_values(line))
        .unzip();
    let legend = (names.iter().zip(&lines))
        .map(|(name, line)| Legend {
            svg: legend_mark(line.series, Mark::Solid),
            name: (*name).to_owned(),
        })
        .collect();
    let plot = plot(set, "accuracy", lines, Values::Shares, last);
    Block {
        title: format!("Accuracy on {}", set.name),
        text: String::new(),
        content: Content::Figure {
            figure: Figure::new(legend, HALF, |width| line_plot(&plot, width, 220.0)),
        },
    }
}

fn loss(set: &HeldOut, last: f64) -> Option<Block> {
    let line = Some(line(set, 0, |point| point.loss)).filter(has_values)?;
    let plot = plot(set, "loss", vec![line], Values::Numbers, last);
    Some(Block {
        title: format!("Loss on {}", set.name),
        text: "The mean of a pair.".into(),
        content: Content::Figure {
            figure: Figure::new(Vec::new(), HALF, |width| line_plot(&plot, width, 220.0)),
        },
    })
}

fn orders(set: &HeldOut, last: f64) -> Option<Block> {
    let line = line(set, 0, |point| point.orders?.value());
    let line = Some(line).filter(has_values)?;
    let plot = plot(set, "agreement of orders", vec![line], Values::Shares, last);
    Some(Block {
        title: format!("Both orders of {}", set.name),
        text: "The share of pairs whose verdict is the same whichever response is shown first."
            .into(),
        content: Content::Figure {
            figure: Figure::new(Vec::new(), HALF, |width| line_plot(&plot, width, 220.0)),
        },
    })
}

fn plot(set: &HeldOut, what: &str, lines: Vec<Line>, values: Values, last: f64) -> LinePlot {
    LinePlot {
        label: format!("{what} on {} over the steps of the training", set.name),
        lines,
        values,
        steps: (0.0, last),
        marked: set.best.map(|step| step as f64),
        reference: (values == Values::Shares).then_some(0.5),
        values_at_least: None,
    }
}

fn grid(set: &HeldOut, tasks: &[Task], last: f64) -> Block {
    let lines: Vec<Line> = tasks
        .iter()
        .map(|task| {
            line(set, 0, |point| {
                share(point, *task).and_then(HeldOutShare::value)
            })
        })
        .collect();
    let values_at_least = extent_of_lines(&lines);
    let items = (tasks.iter().zip(lines))
        .map(|(task, line)| {
            let what = format!("accuracy of {task}");
            let plot = LinePlot {
                values_at_least,
                ..plot(set, &what, vec![line], Values::Shares, last)
            };
            GridItem {
                name: format!("{task} · {}", words::task(*task)),
                figure: Figure::new(Vec::new(), THIRD, |width| line_plot(&plot, width, 150.0)),
            }
        })
        .collect();
    Block {
        title: format!("Accuracy on the tasks of {}", set.name),
        text: "Pairs whose label is not a tie. The dashed line is a blind guess.".into(),
        content: Content::Grid { items },
    }
}

fn table(set: &HeldOut, tasks: &[Task]) -> Block {
    let heads = ["pairs", "at first", "at last", "best checkpoint"];
    let columns = [Column::words("task")]
        .into_iter()
        .chain(heads.map(Column::number))
        .chain([Column::words("")]);
    let one = |task: &Task| row(set, task.code(), "", |point| share(point, *task));
    let all = row(set, "all pairs", "total", |point| Some(point.overall));
    Block {
        title: String::new(),
        text: String::new(),
        content: Content::Table {
            table: Table {
                columns: columns.collect(),
                rows: tasks.iter().map(one).chain([all]).collect(),
                ..Table::default()
            },
        },
    }
}

fn row(
    set: &HeldOut,
    name: &str,
    class: &'static str,
    share: impl Fn(&HeldOutPoint) -> Option<HeldOutShare>,
) -> TableRow {
    let at = |point: Option<&HeldOutPoint>| point.and_then(&share).unwrap_or_default();
    let best = at(shown(set));
    let range = interval(best);
    let estimate = best
        .value()
        .and_then(|value| Estimate::new(value, range.map(|range| (range.low, range.high))));
    TableRow {
        class,
        cells: vec![
            Cell::name(name),
            Cell::count(best.pairs),
            Cell::percent(at(set.points.first()).value()),
            Cell::percent(at(set.points.last()).value()),
            Cell::percent(best.value()).with_note(words::interval(range)),
            Cell::svg(bar(estimate, 0.5, 0)),
        ],
    }
}
