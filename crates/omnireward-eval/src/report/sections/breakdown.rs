use super::{Series, estimate, every_series};
use crate::{
    metrics::{Accuracy, Group, ModelPair, ModelStanding},
    report::{
        ReportRun,
        page::{Block, Cell, Column, Content, Section, Table, TableRow},
        plot::{bar, spark},
        words,
    },
};

/// Accuracy by source, criterion and response models, each a table that can be sorted.
pub(in crate::report) fn breakdown(runs: &[ReportRun<'_>]) -> Section {
    let blocks = every_series(runs)
        .into_iter()
        .flat_map(|series| blocks(runs, series));
    Section {
        id: "breakdown",
        title: "Breakdown",
        lead: "A click on a column's head sorts. Small groups have wide intervals.".into(),
        rows: blocks.map(|block| vec![block]).collect(),
        ..Section::default()
    }
}

/// A criterion is usually worded for one pair; only the most frequent are worth a line.
const CRITERIA_SHOWN: usize = 200;
const FOLDED_FROM: usize = 12;

fn blocks(runs: &[ReportRun<'_>], series: Series<'_>) -> Vec<Block> {
    let Some(results) = series.results() else {
        return Vec::new();
    };
    let name = series.name(runs);
    let guess = if series.setting.offers_tie() {
        1.0 / 3.0
    } else {
        0.5
    };
    let mut blocks = Vec::new();
    if results.by_source.len() > 1 {
        let table = groups("source", &results.by_source, guess);
        blocks.push(block(format!("By source, {name}"), String::new(), table));
    }
    let shared: Vec<Group> = results
        .by_criterion
        .iter()
        .take(CRITERIA_SHOWN)
        .cloned()
        .collect();
    if shared.len() > 1 {
        let all = results.by_criterion.len();
        let text = if all > shared.len() {
            format!(
                "The {} most frequent of {} criteria.",
                shared.len(),
                words::count(all as u64)
            )
        } else {
            String::new()
        };
        blocks.push(block(
            format!("By criterion, {name}"),
            text,
            groups("criterion", &shared, guess),
        ));
    }
    if results.models.len() > 1 {
        blocks.push(block(
            format!("Response models, {name}"),
            "How often each model's responses win, a tie counting half: by the judge and by the labels.".into(),
            standings(&results.models),
        ));
    }
    if results.by_models.len() > 1 {
        blocks.push(block(
            format!("By the two response models, {name}"),
            String::new(),
            model_pairs(&results.by_models, guess),
        ));
    }
    blocks
}

/// A long table is folded away.
fn block(title: String, text: String, table: Table) -> Block {
    let content = if table.rows.len() > FOLDED_FROM {
        Content::Folded {
            summary: format!("show {} rows", table.rows.len()),
            table,
        }
    } else {
        Content::Table { table }
    };
    Block {
        title,
        text,
        content,
    }
}

fn groups(what: &str, groups: &[Group], guess: f64) -> Table {
    Table {
        columns: accuracy_columns([what]),
        rows: groups
            .iter()
            .map(|group| TableRow {
                class: "",
                cells: [Cell::wide(group.name.clone())]
                    .into_iter()
                    .chain(accuracy_cells(&group.accuracy, guess))
                    .collect(),
            })
            .collect(),
        sortable: true,
        ..Table::default()
    }
}

fn model_pairs(pairs: &[ModelPair], guess: f64) -> Table {
    Table {
        columns: accuracy_columns(["model", "and"]),
        rows: pairs
            .iter()
            .map(|pair| TableRow {
                class: "",
                cells: pair
                    .models
                    .iter()
                    .map(|model| Cell::words(model.clone()))
                    .chain(accuracy_cells(&pair.accuracy, guess))
                    .collect(),
            })
            .collect(),
        sortable: true,
        ..Table::default()
    }
}

fn accuracy_columns<const N: usize>(names: [&str; N]) -> Vec<Column> {
    names
        .into_iter()
        .map(Column::words)
        .chain([Column::words("")])
        .chain(["accuracy", "n", "coverage"].map(Column::number))
        .collect()
}

fn accuracy_cells(accuracy: &Accuracy, guess: f64) -> [Cell; 4] {
    let mut picture = Cell::svg(bar(estimate(accuracy.value, accuracy.interval), guess, 0));
    picture.sort = Some(
        accuracy
            .value
            .map_or(String::new(), |value| value.to_string()),
    );
    [
        picture,
        Cell::percent(accuracy.value).with_note(words::interval(accuracy.interval)),
        Cell::count(accuracy.tally.total()),
        Cell::percent(accuracy.coverage),
    ]
}

fn standings(models: &[ModelStanding]) -> Table {
    let columns = [Column::words("model")]
        .into_iter()
        .chain([Column::words("judge"), Column::words("labels")])
        .chain(["difference", "verdicts"].map(Column::number))
        .collect();
    let spark_cell = |share: f64, series| {
        let mut cell = Cell::svg(spark(share, series));
        cell.sort = Some(share.to_string());
        cell
    };
    let rows = models
        .iter()
        .map(|standing| {
            let difference = standing.judge_win_rate - standing.label_win_rate;
            TableRow {
                class: "",
                cells: vec![
                    Cell::wide(standing.model.clone()),
                    spark_cell(standing.judge_win_rate, 0),
                    spark_cell(standing.label_win_rate, 2),
                    Cell::number(words::points(Some(difference)), Some(difference)),
                    Cell::count(standing.rows),
                ],
            }
        })
        .collect();
    Table {
        columns,
        rows,
        sortable: true,
        ..Table::default()
    }
}
