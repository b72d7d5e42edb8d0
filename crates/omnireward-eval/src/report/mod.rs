//! Reports for people: a self-contained HTML page and tables for a terminal.
//!
//! The page carries everything inside itself and asks for nothing: styles, script, figures and
//! media are part of the file, and a content security policy holds it to that. Everything that
//! came from a dataset or a judge is shown as text, never as markup.

mod escape;
mod gallery;
mod header;
mod html;
mod island;
mod page;
mod pairs;
mod plot;
mod sections;
mod set;
mod terminal;
mod training;
mod words;

pub use gallery::{MediaContent, MediaView};
pub use html::html;
pub use pairs::{
    PairBudget, PairView, PairViews, PartView, ResponseView, RunRows, VerdictView, pair_views,
    sample_views,
};
pub use plot::Spread;
pub use set::{Bars, SetBlock, SetContent, SetNumber, SetPage, SetSection, set_html};
pub use terminal::{TerminalOptions, terminal};
pub use training::{
    HeldOut, HeldOutPoint, HeldOutShare, SeriesUnit, TrainingPage, TrainingSeries, training_html,
};

use omnireward_core::{Setting, Task};

use crate::{
    Results, RunManifest, SettingResults,
    compare::Comparison,
    published::{PublishedRow, PublishedTable, omni_reward_bench},
};

/// What a report shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReportInput<'a> {
    /// The runs; with two or more, they are compared.
    pub runs: &'a [ReportRun<'a>],
    /// How the runs differ; see [`compare`](crate::compare).
    pub comparison: Option<&'a Comparison>,
    /// Models whose rows in the paper's tables of Omni-RewardBench are laid beside the runs. Names
    /// that the tables do not have are passed over.
    pub published: &'a [String],
    /// The pairs, for the page's browser. Without them the page has none.
    pub pairs: Option<&'a PairViews>,
    /// Sentences that a reader has to know.
    pub notes: &'a [String],
}

/// One run in a report.
#[derive(Clone, Copy, Debug)]
pub struct ReportRun<'a> {
    /// A name that tells it from the other runs of the report.
    pub name: &'a str,
    /// What was run.
    pub manifest: &'a RunManifest,
    /// What came out.
    pub results: &'a Results,
    /// What it cost in US dollars, where prices are known.
    pub dollars: Option<f64>,
}

impl<'a> ReportRun<'a> {
    fn setting(&self, setting: Setting) -> Option<&'a SettingResults> {
        self.results
            .settings
            .iter()
            .find(|results| results.setting == setting)
    }
}

/// A model's row in the paper's table of a setting.
#[derive(Clone, Copy)]
struct Published {
    setting: Setting,
    table: &'static PublishedTable,
    row: &'static PublishedRow,
}

impl Published {
    /// The rows of some models, in the paper's two tables.
    fn of(models: &[String]) -> Vec<Self> {
        Setting::ALL
            .into_iter()
            .flat_map(|setting| {
                let table = omni_reward_bench(setting);
                let rows = models.iter().filter_map(|model| table.row(model));
                rows.map(move |row| Self {
                    setting,
                    table,
                    row,
                })
            })
            .collect()
    }

    /// The accuracy on a task, from 0 to 1.
    fn accuracy(&self, task: Task) -> Option<f64> {
        self.share(task.code())
    }

    /// The mean over the row's own tasks, from 0 to 1.
    fn overall(&self) -> Option<f64> {
        self.share("Overall")
    }

    fn share(&self, column: &str) -> Option<f64> {
        let index = self.table.columns.iter().position(|name| name == column)?;
        Some(self.row.cells.get(index)?.percent()? / 100.0)
    }
}

/// Said wherever numbers of the embedded benchmark appear.
const EMBEDDED_IS_GENERATED: &str = "The pairs of the embedded benchmark are generated, and their labels are verifiable, not human. They show whether a judge sees, hears, reads and follows the criterion, not whether it agrees with people: for that, run a benchmark that people labelled.";

/// The notes of the input, after those that the runs themselves call for.
fn notes(input: &ReportInput<'_>) -> Vec<String> {
    let embedded = input
        .runs
        .iter()
        .any(|run| run.manifest.benchmark.spec == "embedded");
    embedded
        .then(|| EMBEDDED_IS_GENERATED.to_owned())
        .into_iter()
        .chain(input.notes.iter().cloned())
        .collect()
}
