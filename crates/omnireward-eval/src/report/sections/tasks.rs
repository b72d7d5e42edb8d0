use omnireward_core::{Setting, Task};

use super::{Series, all_tasks, estimate, every_series, legend, settings};
use crate::{
    report::{
        Published, ReportRun,
        page::{Block, Cell, Column, ColumnGroup, Content, FULL, Figure, Section, Table, TableRow},
        plot::{DotPlot, DotSeries, Estimate, Mark, Unit, bar, dots},
        words,
    },
    results::{Method, TaskResults},
};

/// Accuracy by task: a figure, and tables with every count.
pub(in crate::report) fn tasks(runs: &[ReportRun<'_>], published: &[Published]) -> Section {
    let mut rows = Vec::new();
    if runs.len() == 1 && published.is_empty() {
        rows.push(vec![figure_block(runs, &every_series(runs), &[], "")]);
    } else {
        for setting in settings(runs) {
            let of_setting: Vec<Series<'_>> = every_series(runs)
                .into_iter()
                .filter(|series| series.setting == setting)
                .collect();
            let published: Vec<&Published> = published
                .iter()
                .filter(|row| row.setting == setting)
                .collect();
            rows.push(vec![figure_block(
                runs,
                &of_setting,
                &published,
                words::setting(setting),
            )]);
            rows.push(vec![side_by_side(runs, &of_setting, &published, setting)]);
        }
    }
    rows.extend(runs.iter().map(|run| vec![run_block(run, runs.len() > 1)]));
    Section {
        id: "tasks",
        title: "Tasks",
        lead: lead(runs),
        rows,
        ..Section::default()
    }
}

fn lead(runs: &[ReportRun<'_>]) -> String {
    let mut text = "Whiskers are intervals clustered by group, so that pairs which share a prompt and responses count as one draw. The dashed line is a blind guess.".to_owned();
    let fitted = runs
        .iter()
        .flat_map(|run| &run.results.settings)
        .flat_map(|setting| &setting.tasks)
        .any(|task| task.method == Method::CrossFittedThreshold);
    if fitted {
        text.push_str(" A judge that scores says tie where the two scores are closer than a threshold, which is fitted on other folds of the same task.");
    }
    text
}

fn figure_block(
    runs: &[ReportRun<'_>],
    series: &[Series<'_>],
    published: &[&Published],
    setting: &str,
) -> Block {
    let tasks = all_tasks(runs);
    let mut plot = DotPlot {
        label: format!("accuracy by task {setting}"),
        rows: tasks
            .iter()
            .map(|task| task.code().to_owned())
            .chain(["mean".to_owned()])
            .collect(),
        series: Vec::new(),
        references: Vec::new(),
        unit: Unit::Percent,
    };
    for one in series {
        plot.series.push(DotSeries {
            name: if setting.is_empty() {
                one.name(runs)
            } else {
                one.run.name.to_owned()
            },
            mark: Mark::Solid,
            points: points(*one, &tasks),
        });
    }
    for row in published {
        plot.series.push(DotSeries {
            name: format!("{} (published)", row.row.model),
            mark: Mark::Hollow,
            points: published_points(row, &tasks),
        });
    }
    let mut shown: Vec<Setting> = series.iter().map(|one| one.setting).collect();
    shown.dedup();
    for setting in shown {
        let (guess, name) = if setting.offers_tie() {
            (1.0 / 3.0, "guess ⅓")
        } else {
            (0.5, "guess ½")
        };
        if !plot.references.iter().any(|(_, known)| known == name) {
            plot.references.push((guess, name.to_owned()));
        }
    }
    let legend = legend(plot.series.iter().map(|one| (one.name.clone(), one.mark)));
    Block {
        title: if setting.is_empty() {
            "Accuracy by task".into()
        } else {
            format!("Accuracy by task, {setting}")
        },
        text: String::new(),
        content: Content::Figure {
            figure: Figure::new(legend, FULL, |width| dots(&plot, width)),
        },
    }
}

fn points(series: Series<'_>, tasks: &[Task]) -> Vec<Option<Estimate>> {
    let own = series.results().map(|results| &results.overall.own);
    let mean = own.and_then(|own| estimate(own.value, own.interval));
    tasks
        .iter()
        .map(|task| {
            series
                .task(*task)
                .and_then(|task| estimate(task.accuracy.value, task.accuracy.interval))
        })
        .chain([mean])
        .collect()
}

fn published_points(row: &Published, tasks: &[Task]) -> Vec<Option<Estimate>> {
    tasks
        .iter()
        .map(|task| row.accuracy(*task))
        .chain([row.overall()])
        .map(|value| Estimate::new(value?, None))
        .collect()
}

/// Runs and published rows as rows, tasks as columns: the shape of the paper's tables.
fn side_by_side(
    runs: &[ReportRun<'_>],
    series: &[Series<'_>],
    published: &[&Published],
    setting: Setting,
) -> Block {
    let tasks = all_tasks(runs);
    let columns = [Column::words("run")]
        .into_iter()
        .chain(tasks.iter().map(|task| Column::number(task.code())))
        .chain([Column::number("mean")])
        .collect();
    let mut rows: Vec<TableRow> = series
        .iter()
        .map(|one| TableRow {
            class: "",
            cells: [Cell::name(one.run.name)]
                .into_iter()
                .chain(tasks.iter().map(|task| {
                    Cell::percent(one.task(*task).and_then(|results| results.accuracy.value))
                }))
                .chain([Cell::percent(
                    one.results().and_then(|results| results.overall.own.value),
                )])
                .collect(),
        })
        .collect();
    rows.extend(published.iter().map(|row| {
        TableRow {
            class: "published",
            cells: [Cell::name(row.row.model.clone())
                .with_note_below(row.row.note.clone().unwrap_or_else(|| "published".into()))]
            .into_iter()
            .chain(tasks.iter().map(|task| Cell::percent(row.accuracy(*task))))
            .chain([Cell::percent(row.overall())])
            .collect(),
        }
    }));
    let mut text =
        "The mean is over the tasks that each row has, as published tables have it.".to_owned();
    if !published.is_empty() {
        text.push_str(" Published rows come from the paper, with its own prompts, its own failure handling and no intervals.");
    }
    Block {
        title: format!("Side by side, {}", words::setting(setting)),
        text,
        content: Content::Table {
            table: Table {
                columns,
                rows,
                sortable: true,
                ..Table::default()
            },
        },
    }
}

fn run_block(run: &ReportRun<'_>, several: bool) -> Block {
    let table = run_table(run);
    Block {
        title: if several { format!("Counts of {}", run.name) } else { "Counts".into() },
        text: "In percent. n is the number of verdicts that count, both orders included; coverage is the share of them that could be read.".into(),
        content: if several {
            Content::Folded { summary: "show the table".into(), table }
        } else {
            Content::Table { table }
        },
    }
}

fn run_table(run: &ReportRun<'_>) -> Table {
    let settings = &run.results.settings;
    let mut columns = vec![
        Column::words("task"),
        Column::number("pairs"),
        Column::number("ties"),
    ];
    let mut groups = vec![ColumnGroup {
        name: String::new(),
        span: 3,
    }];
    for results in settings {
        columns.extend([
            Column::words(""),
            Column::number("accuracy"),
            Column::number("n"),
            Column::number("coverage"),
        ]);
        groups.push(ColumnGroup {
            name: words::setting(results.setting).into(),
            span: 4,
        });
    }
    let tasks = all_tasks(std::slice::from_ref(run));
    let mut rows: Vec<TableRow> = tasks.iter().map(|task| task_row(run, *task)).collect();
    if tasks.len() > 1 {
        rows.push(mean_row(run));
    }
    Table {
        groups,
        columns,
        rows,
        ..Table::default()
    }
}

fn task_row(run: &ReportRun<'_>, task: Task) -> TableRow {
    let found: Vec<Option<&TaskResults>> = run
        .results
        .settings
        .iter()
        .map(|setting| super::task_of(setting, task))
        .collect();
    let counts = found
        .iter()
        .flatten()
        .map(|results| &results.counts)
        .max_by_key(|counts| counts.pairs);
    let mut cells = vec![
        Cell::name(task.code()).with_note_below(words::task(task)),
        Cell::count(counts.map_or(0, |counts| counts.pairs)),
        Cell::count(tie_pairs(&found)),
    ];
    for (index, (results, setting)) in found.iter().zip(&run.results.settings).enumerate() {
        let Some(results) = results else {
            cells.extend(["", "–", "–", "–"].map(|text| Cell::number(text, None)));
            continue;
        };
        let accuracy = &results.accuracy;
        let guess = if setting.setting.offers_tie() {
            1.0 / 3.0
        } else {
            0.5
        };
        cells.extend([
            Cell::svg(bar(
                estimate(accuracy.value, accuracy.interval),
                guess,
                index,
            )),
            Cell::percent(accuracy.value).with_note(words::interval(accuracy.interval)),
            Cell::count(accuracy.tally.total()),
            Cell::percent(accuracy.coverage),
        ]);
    }
    TableRow { class: "", cells }
}

/// Pairs labelled a tie, from the setting that counts rows of them.
fn tie_pairs(found: &[Option<&TaskResults>]) -> u64 {
    found
        .iter()
        .flatten()
        .map(|results| {
            let counts = &results.counts;
            let rows = counts.tie_labels + counts.ties_left_out;
            // Rows of both orders are of one pair.
            let orders = counts.rows.checked_div(counts.pairs).unwrap_or(1).max(1);
            rows / orders
        })
        .max()
        .unwrap_or(0)
}

fn mean_row(run: &ReportRun<'_>) -> TableRow {
    let pairs = |f: fn(&TaskResults) -> u64| {
        all_tasks(std::slice::from_ref(run))
            .into_iter()
            .filter_map(|task| {
                run.results
                    .settings
                    .iter()
                    .filter_map(|s| super::task_of(s, task))
                    .map(f)
                    .max()
            })
            .sum::<u64>()
    };
    let mut cells = vec![
        Cell::name("mean"),
        Cell::count(pairs(|task| task.counts.pairs)),
        Cell::words(""),
    ];
    for (index, results) in run.results.settings.iter().enumerate() {
        let own = &results.overall.own;
        let guess = if results.setting.offers_tie() {
            1.0 / 3.0
        } else {
            0.5
        };
        cells.extend([
            Cell::svg(bar(estimate(own.value, own.interval), guess, index)),
            Cell::percent(own.value).with_note(words::interval(own.interval)),
            Cell::count(results.overall.micro.tally.total()),
            Cell::percent(results.overall.micro.coverage),
        ]);
    }
    TableRow {
        class: "total",
        cells,
    }
}
