use omnireward_core::Preference;

use super::{Series, every_series, order::kappa};
use crate::{
    metrics::CriterionFollowing,
    report::{
        ReportRun,
        page::{Block, Cell, Column, Content, FULL, Figure, HALF, Section, Table, TableRow},
        plot::{Confusion, confusion},
        words,
    },
};

/// Labels against verdicts, agreement beyond chance, and whether verdicts follow the criterion.
pub(in crate::report) fn agreement(runs: &[ReportRun<'_>]) -> Section {
    let series = every_series(runs);
    let width = if series.len() > 1 { HALF } else { FULL };
    let mut rows: Vec<Vec<Block>> = series
        .chunks(2)
        .map(|pair| {
            pair.iter()
                .filter_map(|one| matrix(runs, *one, width))
                .collect()
        })
        .collect();
    rows.push(vec![coefficients(runs, &series)]);
    rows.extend(following(runs, &series).map(|block| vec![block]));
    rows.retain(|row| !row.is_empty());
    Section {
        id: "agreement",
        title: "Agreement",
        lead: "Where verdicts and labels part. Preferences are in the dataset's order of responses, whatever order the judge saw.".into(),
        rows,
        ..Section::default()
    }
}

fn matrix(runs: &[ReportRun<'_>], series: Series<'_>, width: f64) -> Option<Block> {
    let results = series.results()?;
    let offers_tie = series.setting.offers_tie();
    let labels: Vec<Preference> = Preference::ALL
        .into_iter()
        .filter(|p| offers_tie || *p != Preference::Tie)
        .collect();
    let unscored: u64 = labels
        .iter()
        .map(|label| results.confusion.row(*label).unscored)
        .sum();
    let judged_ties: u64 = labels
        .iter()
        .map(|label| results.confusion.row(*label).tie)
        .sum();
    let mut verdicts: Vec<Option<Preference>> = labels.iter().copied().map(Some).collect();
    if !offers_tie && judged_ties > 0 {
        verdicts.push(Some(Preference::Tie));
    }
    if unscored > 0 {
        verdicts.push(None);
    }
    let name = |verdict: &Option<Preference>| verdict.map_or("none", Preference::name).to_owned();
    let title = format!("Labels and verdicts, {}", series.name(runs));
    let matrix = Confusion {
        label: title.clone(),
        rows: labels.iter().map(|label| label.name().to_owned()).collect(),
        columns: verdicts.iter().map(name).collect(),
        counts: labels
            .iter()
            .map(|label| {
                verdicts
                    .iter()
                    .map(|v| results.confusion.row(*label).count(*v))
                    .collect()
            })
            .collect(),
    };
    let figure = Figure::new(Vec::new(), width, |width| confusion(&matrix, width));
    (!figure.wide.is_empty()).then(|| Block {
        title,
        text: "Counts, and their share of the label's row. Framed cells agree.".into(),
        content: Content::Figure { figure },
    })
}

fn coefficients(runs: &[ReportRun<'_>], series: &[Series<'_>]) -> Block {
    let scored = series
        .iter()
        .filter_map(|one| one.results())
        .any(|results| results.agreement.margin_spearman.is_some());
    let mut columns = vec![Column::words(if runs.len() > 1 {
        "run"
    } else {
        "setting"
    })];
    columns.extend(["verdicts", "Cohen's κ", "Krippendorff's α", "α, ordinal"].map(Column::number));
    if scored {
        columns.extend(["margin, Spearman", "margin, Kendall τ-b"].map(Column::number));
    }
    let rows = series
        .iter()
        .filter_map(|one| {
            let agreement = &one.results()?.agreement;
            let mut cells = vec![
                Cell::name(one.name(runs)),
                Cell::count(agreement.rows),
                kappa(agreement.kappa),
                kappa(agreement.alpha_nominal),
                kappa(agreement.alpha_ordinal),
            ];
            if scored {
                cells.extend([
                    kappa(agreement.margin_spearman),
                    kappa(agreement.margin_kendall),
                ]);
            }
            Some(TableRow { class: "", cells })
        })
        .collect();
    Block {
        title: "Beyond chance".into(),
        text: "Agreement of verdicts with labels; 0 is what chance gives and 1 is full agreement."
            .into(),
        content: Content::Table {
            table: Table {
                columns,
                rows,
                ..Table::default()
            },
        },
    }
}

fn following(runs: &[ReportRun<'_>], series: &[Series<'_>]) -> Option<Block> {
    let rows: Vec<TableRow> = series
        .iter()
        .filter_map(|one| {
            let following = one.results()?.criterion_following.as_ref()?;
            Some(following_row(one.name(runs), following))
        })
        .collect();
    let columns = [Column::words(if runs.len() > 1 {
        "run"
    } else {
        "setting"
    })]
    .into_iter()
    .chain(
        [
            "groups",
            "pairs",
            "accuracy",
            "balanced",
            "all right",
            "never moved",
        ]
        .map(Column::number),
    )
    .collect();
    (!rows.is_empty()).then(|| Block {
        title: "Does the judge follow the criterion?".into(),
        text: "Only groups in which the same two responses are labelled differently under different criteria. A judge that does not read the criterion is at exactly 50% balanced accuracy and never all right.".into(),
        content: Content::Table {
            table: Table { columns, rows, ..Table::default() },
        },
    })
}

fn following_row(name: String, following: &CriterionFollowing) -> TableRow {
    TableRow {
        class: "",
        cells: vec![
            Cell::name(name),
            Cell::count(following.groups),
            Cell::count(following.pairs),
            Cell::percent(following.accuracy.value)
                .with_note(words::interval(following.accuracy.interval)),
            Cell::percent(Some(following.balanced_accuracy))
                .with_note(words::interval(following.balanced_interval)),
            Cell::percent(Some(following.all_right_share)),
            Cell::percent(Some(following.unmoved_share())),
        ],
    }
}
