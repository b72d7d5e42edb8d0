//! The page of a training: its curves, and how it does on pairs that are held out.

mod curves;
mod held_out;

use omnireward_core::Task;

use super::{
    html::render,
    page::{Block, Cell, Column, Command, Content, Fact, Page, Section, Table, TableRow, Tile},
    words,
};

/// What the page of a training shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingPage {
    /// The model's name.
    pub title: String,
    /// One line under it.
    pub subtitle: String,
    /// The command that repeats the training.
    pub command: Option<String>,
    /// What is worth knowing of it at once, by name.
    pub facts: Vec<(String, String)>,
    /// Every setting, by its dotted key.
    pub settings: Vec<(String, String)>,
    /// What was measured while it trained.
    pub series: Vec<TrainingSeries>,
    /// What was measured on pairs that are held out.
    pub evaluations: Vec<HeldOut>,
    /// Sentences that a reader has to know.
    pub notes: Vec<String>,
}

/// Something measured again and again while a model trains.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingSeries {
    /// What it is.
    pub name: String,
    /// A sentence on how to read it.
    pub text: String,
    /// What its values are.
    pub unit: SeriesUnit,
    /// Whether its values scatter, so that a smoothed line is drawn over them.
    pub scatters: bool,
    /// Step and value, by rising step. Values that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// What the values of a series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesUnit {
    /// Shares from 0 to 1, written in percent.
    Share,
    /// Numbers, written as they are.
    Number,
}

/// A set of pairs that a model is measured on while it trains.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOut {
    /// Its name.
    pub name: String,
    /// What was measured, by rising step.
    pub points: Vec<HeldOutPoint>,
    /// The step whose checkpoint is kept as the best.
    pub best: Option<u64>,
}

/// How a model does on a set at one step.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOutPoint {
    /// Steps of the optimiser so far.
    pub step: u64,
    /// The mean loss of a pair, of a model that has one.
    pub loss: Option<f64>,
    /// The pairs on which a model that writes prefers the same response in both orders.
    pub orders: Option<HeldOutShare>,
    /// Agreement on all pairs whose label is not a tie.
    pub overall: HeldOutShare,
    /// Agreement on all pairs, ties included.
    pub with_ties: HeldOutShare,
    /// Agreement on the pairs of each task whose label is not a tie.
    pub tasks: Vec<(Task, HeldOutShare)>,
}

/// On how many pairs a model agrees with the label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldOutShare {
    /// Pairs on which it agrees.
    pub correct: u64,
    /// All that were counted.
    pub pairs: u64,
}

impl HeldOutShare {
    /// `correct / pairs`; none without a pair.
    fn value(self) -> Option<f64> {
        (self.pairs > 0).then(|| self.correct as f64 / self.pairs as f64)
    }
}

/// The page of a training as one HTML file that refers to nothing outside itself.
///
/// # Panics
///
/// Never: the template is part of this crate and uses only what it is given.
pub fn training_html(training: &TrainingPage) -> String {
    let mut sections = vec![
        headline(training),
        curves::section(training),
        held_out::section(training),
        settings(&training.settings),
    ];
    sections.retain(|section| !section.is_empty());
    let version = env!("CARGO_PKG_VERSION");
    let page = Page {
        version,
        kind: "training report",
        title: training.title.clone(),
        subtitle: training.subtitle.clone(),
        facts: training.facts.iter().map(Fact::words).collect(),
        commands: (training.command.as_deref().map(Command::repeat).into_iter()).collect(),
        settings: None,
        notes: training.notes.clone(),
        sections,
        browser: None,
        footer: format!(
            "Written by omnireward {version}. Every number is in `metrics.jsonl` beside this page."
        ),
    };
    render(page, String::new())
}

/// The last step that anything was measured at.
fn last_step(training: &TrainingPage) -> f64 {
    let trained = training.series.iter().flat_map(|series| &series.points);
    let evaluated = training.evaluations.iter().flat_map(|set| &set.points);
    trained
        .map(|(step, _)| *step)
        .chain(evaluated.map(|point| point.step as f64))
        .fold(1.0, f64::max)
}

fn headline(training: &TrainingPage) -> Section {
    let held_out: Vec<Tile> = training
        .evaluations
        .iter()
        .filter_map(held_out::tile)
        .collect();
    let lead = if held_out.is_empty() {
        "Nothing was held out to measure on."
    } else {
        "Accuracy on pairs that are held out and whose label is not a tie, with its 95% interval."
    };
    let loss = training.series.first().and_then(curves::tile);
    Section {
        id: "headline",
        title: "Headline",
        lead: lead.into(),
        tiles: held_out.into_iter().chain(loss).collect(),
        ..Section::default()
    }
}

fn settings(settings: &[(String, String)]) -> Section {
    let rows: Vec<TableRow> = settings
        .iter()
        .map(|(name, value)| TableRow {
            class: "",
            cells: vec![Cell::name(name.clone()), Cell::wide(value.clone())],
        })
        .collect();
    let block = (!rows.is_empty()).then(|| Block {
        title: String::new(),
        text: String::new(),
        content: Content::Table {
            table: Table {
                columns: vec![Column::words("setting"), Column::words("value")],
                rows,
                ..Table::default()
            },
        },
    });
    Section {
        id: "settings",
        title: "Settings",
        lead: "The recipe, with the values that it left to defaults.".into(),
        rows: block.into_iter().map(|block| vec![block]).collect(),
        ..Section::default()
    }
}

/// The 95% interval of an agreement whose pairs are taken as independent.
fn interval(share: HeldOutShare) -> Option<crate::stats::Interval> {
    crate::stats::wilson(share.correct as f64, share.pairs as f64, 0.95)
}

fn steps(step: u64) -> String {
    format!("step {}", words::count(step))
}
