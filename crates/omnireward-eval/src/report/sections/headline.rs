use omnireward_core::Setting;

use super::{Series, every_series};
use crate::{
    report::{
        ReportRun,
        page::{Block, Cell, Column, Content, Section, Table, TableRow, Tile},
        words,
    },
    results::{Effort, MacroMean, SettingResults},
};

/// The numbers to remember: tiles for one run, a table for several.
pub(in crate::report) fn headline(runs: &[ReportRun<'_>]) -> Section {
    let mut section = Section {
        id: "headline",
        title: "Headline",
        lead: lead(runs),
        ..Section::default()
    };
    match runs {
        [run] => section.tiles = tiles(run),
        _ => section.rows.push(vec![Block {
            title: String::new(),
            text: String::new(),
            content: Content::Table { table: table(runs) },
        }]),
    }
    section
}

fn lead(runs: &[ReportRun<'_>]) -> String {
    let Some(run) = runs.first() else {
        return String::new();
    };
    let config = &run.results.config;
    let common = run
        .results
        .settings
        .first()
        .map(|setting| &setting.overall.common);
    let tasks = common.map_or(0, |mean| mean.tasks.len());
    let shared = if runs.len() > 1 {
        " that all runs share"
    } else {
        ""
    };
    format!(
        "The unweighted mean over the {}{shared}, in percent, with its {:.0}% interval. A pair without a verdict {}.",
        words::counted(tasks as u64, "task"),
        config.confidence * 100.0,
        words::policy(config.failure_policy),
    )
}

fn tiles(run: &ReportRun<'_>) -> Vec<Tile> {
    let mut tiles: Vec<Tile> = run.results.settings.iter().map(accuracy_tile).collect();
    tiles.extend(coverage_tile(run));
    tiles.extend(order_tile(run));
    tiles.push(effort_tile(&run.results.effort, run.dollars));
    tiles
}

fn accuracy_tile(results: &SettingResults) -> Tile {
    let mean = &results.overall.common;
    let pairs = results.overall.micro.tally.total();
    let interval = words::interval(mean.interval);
    let detail = [
        interval,
        format!("{} counted", words::counted(pairs, "verdict")),
    ];
    Tile {
        name: format!("Accuracy {}", words::setting(results.setting)),
        big: words::percent(mean.value),
        unit: "%".into(),
        detail: joined(&detail, " · "),
        lead: true,
    }
}

fn coverage_tile(run: &ReportRun<'_>) -> Option<Tile> {
    let (scored, total) = run
        .results
        .settings
        .iter()
        .map(|setting| setting.overall.micro.tally)
        .fold((0, 0), |(scored, total), tally| {
            (scored + tally.scored, total + tally.total())
        });
    (total > 0).then(|| Tile {
        name: "Coverage".into(),
        big: words::percent(Some(scored as f64 / total as f64)),
        unit: "%".into(),
        detail: format!(
            "{} of {} answers have a verdict",
            words::count(scored),
            words::count(total)
        ),
        lead: false,
    })
}

/// From the first setting in which both orders were asked.
fn order_tile(run: &ReportRun<'_>) -> Option<Tile> {
    let position = run
        .results
        .settings
        .iter()
        .map(|setting| &setting.position)
        .find(|position| position.comparable > 0)?;
    Some(Tile {
        name: "Same in both orders".into(),
        big: words::percent(position.consistency),
        unit: "%".into(),
        detail: format!(
            "the response shown first wins {} of decided verdicts",
            words::percent_sign(position.first_position_share)
        ),
        lead: false,
    })
}

fn effort_tile(effort: &Effort, dollars: Option<f64>) -> Tile {
    let usage = effort.usage;
    let tokens = usage.prompt_tokens + usage.completion_tokens;
    let (big, unit) = match dollars {
        Some(dollars) => (format!("${dollars:.2}"), String::new()),
        None if usage.requests > 0 => (words::about(u64::from(usage.requests)), "requests".into()),
        None => ("0".into(), "requests".into()),
    };
    let mut detail = Vec::new();
    if dollars.is_some() {
        detail.push(format!(
            "{} requests",
            words::about(u64::from(usage.requests))
        ));
    }
    if tokens > 0 {
        detail.push(format!(
            "{} tokens in, {} out",
            words::about(usage.prompt_tokens),
            words::about(usage.completion_tokens)
        ));
    }
    if let Some(latency) = effort.latency_ms {
        detail.push(format!("median {}", duration(latency.p50)));
    }
    Tile {
        name: "Spent".into(),
        big,
        unit,
        detail: joined(&detail, " · "),
        lead: false,
    }
}

fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        _ => format!("{:.1} s", milliseconds as f64 / 1000.0),
    }
}

fn joined(parts: &[String], separator: &str) -> String {
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(separator)
}

fn table(runs: &[ReportRun<'_>]) -> Table {
    let several = super::settings(runs).len() > 1;
    let mut columns = vec![Column::words("run")];
    if several {
        columns.push(Column::words("setting"));
    }
    columns.push(Column::number("common tasks"));
    let own = own_differs(runs);
    if own {
        columns.push(Column::number("own tasks"));
    }
    columns.extend(
        [
            "every verdict",
            "coverage",
            "consistent in both orders",
            "first shown won",
        ]
        .map(Column::number),
    );
    columns.extend(["requests", "tokens"].map(Column::number));
    Table {
        columns,
        rows: every_series(runs)
            .into_iter()
            .filter_map(|series| row(series, several, own))
            .collect(),
        sortable: true,
        ..Table::default()
    }
}

/// Whether a run has tasks that another lacks, so that the two means are two numbers.
fn own_differs(runs: &[ReportRun<'_>]) -> bool {
    runs.iter()
        .flat_map(|run| &run.results.settings)
        .any(|results| results.overall.own.tasks != results.overall.common.tasks)
}

fn row(series: Series<'_>, several: bool, own: bool) -> Option<TableRow> {
    let results = series.results()?;
    let mut cells = vec![Cell::name(series.run.name)];
    if several {
        cells.push(Cell::words(words::setting(results.setting)));
    }
    let usage = results.effort.usage;
    let mean =
        |mean: &MacroMean| Cell::percent(mean.value).with_note(words::interval(mean.interval));
    cells.push(mean(&results.overall.common));
    if own {
        cells.push(mean(&results.overall.own));
    }
    cells.extend([
        Cell::percent(results.overall.micro.value),
        Cell::percent(results.overall.micro.coverage),
        Cell::percent(results.position.consistency),
        Cell::percent(results.position.first_position_bias()),
        Cell::count(u64::from(usage.requests)),
        Cell::number(
            words::about(usage.prompt_tokens + usage.completion_tokens),
            Some((usage.prompt_tokens + usage.completion_tokens) as f64),
        ),
    ]);
    let class = if results.setting == Setting::WithTies {
        ""
    } else {
        "without"
    };
    Some(TableRow { class, cells })
}
