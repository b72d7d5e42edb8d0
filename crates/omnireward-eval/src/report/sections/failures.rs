use omnireward_core::{Setting, Status, Task};

use super::{Series, all_tasks, every_series};
use crate::{
    metrics::{FailurePolicy, Policies},
    report::{
        ReportRun,
        page::{
            Block, Cell, Column, ColumnGroup, Content, FULL, Figure, GridItem, HALF, Section,
            Table, TableRow,
        },
        plot::{Segment, status},
        words,
    },
};

/// How asking ended, and what the accuracy is under each way of counting failures.
pub(in crate::report) fn failures(runs: &[ReportRun<'_>]) -> Section {
    let mut rows = vec![status_blocks(runs)];
    rows.push(vec![policies_block(runs)]);
    Section {
        id: "failures",
        title: "Failures",
        lead: "A reply that cannot be read is not a wrong judgement. These are the figures under each way of counting it.".into(),
        rows,
        ..Section::default()
    }
}

fn status_blocks(runs: &[ReportRun<'_>]) -> Vec<Block> {
    let series = every_series(runs);
    let width = if series.len() > 1 { HALF } else { FULL };
    let items: Vec<GridItem> = series
        .into_iter()
        .filter_map(|one| {
            let segments = segments(one)?;
            let name = one.name(runs);
            let label = format!("how asking ended, {name}");
            let figure = Figure::new(Vec::new(), width, |width| status(&label, &segments, width));
            Some(GridItem { name, figure })
        })
        .collect();
    items
        .into_iter()
        .map(|item| Block {
            title: format!("How asking ended, {}", item.name),
            text: String::new(),
            content: Content::Figure {
                figure: item.figure,
            },
        })
        .collect()
}

fn segments(series: Series<'_>) -> Option<Vec<Segment>> {
    let counts = &series.results()?.counts;
    let segments: Vec<Segment> = Status::ALL
        .into_iter()
        .map(|status| Segment {
            name: status.name().replace('-', " "),
            count: counts.statuses.get(&status).copied().unwrap_or(0),
            class: status.name().to_owned(),
        })
        .collect();
    segments
        .iter()
        .any(|segment| segment.count > 0)
        .then_some(segments)
}

fn policies_block(runs: &[ReportRun<'_>]) -> Block {
    let table = match runs {
        [run] => by_task(run),
        _ => by_run(runs),
    };
    let policy = runs.first().map_or(FailurePolicy::Wrong, |run| {
        run.results.config.failure_policy
    });
    Block {
        title: "Accuracy under each failure policy".into(),
        text: format!(
            "In percent. In the headline, a pair without a verdict {}. A blind guess earns one half without ties and one third with them.",
            words::policy(policy)
        ),
        content: Content::Table { table },
    }
}

fn policy_columns() -> [Column; 3] {
    ["failures wrong", "a guess", "left out"].map(Column::number)
}

fn policy_cells(policies: Option<&Policies>) -> [Cell; 3] {
    FailurePolicy::ALL
        .map(|policy| Cell::percent(policies.and_then(|policies| policies.get(policy))))
}

fn by_task(run: &ReportRun<'_>) -> Table {
    let settings = &run.results.settings;
    let mut columns = vec![Column::words("task")];
    let mut groups = vec![ColumnGroup {
        name: String::new(),
        span: 1,
    }];
    for results in settings {
        columns.extend(policy_columns());
        columns.push(Column::number("no verdict"));
        groups.push(ColumnGroup {
            name: words::setting(results.setting).into(),
            span: 4,
        });
    }
    let row = |task: Task| {
        let mut cells = vec![Cell::name(task.code())];
        for results in settings {
            let found = super::task_of(results, task).map(|task| &task.accuracy);
            cells.extend(policy_cells(found.map(|accuracy| &accuracy.policies)));
            cells.push(Cell::count(
                found.map_or(0, |accuracy| accuracy.tally.unscored),
            ));
        }
        TableRow { class: "", cells }
    };
    let tasks = all_tasks(std::slice::from_ref(run));
    let mut rows: Vec<TableRow> = tasks.iter().copied().map(row).collect();
    if tasks.len() > 1 {
        let mut cells = vec![Cell::name("mean")];
        for results in settings {
            cells.extend(policy_cells(Some(&results.overall.own.policies)));
            cells.push(Cell::count(results.overall.micro.tally.unscored));
        }
        rows.push(TableRow {
            class: "total",
            cells,
        });
    }
    Table {
        groups,
        columns,
        rows,
        ..Table::default()
    }
}

fn by_run(runs: &[ReportRun<'_>]) -> Table {
    let settings: Vec<Setting> = super::settings(runs);
    let mut columns = vec![Column::words("run")];
    let mut groups = vec![ColumnGroup {
        name: String::new(),
        span: 1,
    }];
    for setting in &settings {
        columns.extend(policy_columns());
        columns.push(Column::number("no verdict"));
        groups.push(ColumnGroup {
            name: words::setting(*setting).into(),
            span: 4,
        });
    }
    let rows = runs
        .iter()
        .map(|run| {
            let mut cells = vec![Cell::name(run.name)];
            for setting in &settings {
                let overall = run.setting(*setting).map(|results| &results.overall);
                cells.extend(policy_cells(
                    overall.map(|overall| &overall.common.policies),
                ));
                cells.push(match overall {
                    Some(overall) => Cell::count(overall.micro.tally.unscored),
                    None => Cell::number("–", None),
                });
            }
            TableRow { class: "", cells }
        })
        .collect();
    Table {
        groups,
        columns,
        rows,
        ..Table::default()
    }
}
