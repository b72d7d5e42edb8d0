//! The tables of the Omni-Reward paper (arXiv 2510.23451 v1), to lay beside a run.
//!
//! Percentages, as printed. Figures that the authors corrected later, or that a user measured
//! again, are rows of their own and say so.

use std::sync::LazyLock;

use omnireward_core::{Setting, Task};
use serde::{Deserialize, Serialize};

static TABLES: LazyLock<Vec<PublishedTable>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct File {
        table: Vec<PublishedTable>,
    }
    let file: File = toml::from_str(include_str!("../data/published.toml"))
        .expect("the tables are part of the program and read by a test");
    file.table
});

/// A table of published results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedTable {
    /// Names the table, such as `omni-rewardbench/with-ties`.
    pub id: String,
    /// For people.
    pub title: String,
    /// Where the figures were printed.
    pub source: String,
    /// The columns' names; for Omni-RewardBench the task codes, then `Overall`.
    pub columns: Vec<String>,
    /// What a reader should know about the table.
    #[serde(default)]
    pub notes: Vec<String>,
    /// One row for each model.
    pub rows: Vec<PublishedRow>,
}

/// A model's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedRow {
    /// The model.
    pub model: String,
    /// One figure for each column, in percent.
    pub cells: Vec<Cell>,
    /// What a reader should know about the row.
    #[serde(default)]
    pub note: Option<String>,
    /// Where the figures come from, when not from the table's source.
    #[serde(default)]
    pub origin: Origin,
}

/// Where a row's figures come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The paper.
    #[default]
    Paper,
    /// The authors, correcting the paper.
    Correction,
    /// Somebody else, running the released model again.
    Rerun,
    /// Computed from the table's other rows.
    Derived,
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Cell(Option<f64>);

impl Cell {
    /// The figure in percent; `None` where the model was not evaluated.
    pub const fn percent(self) -> Option<f64> {
        self.0
    }
}

/// A figure as it stands in the file: a number, or a dash for none.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Percent(f64),
    Dash(String),
}

impl TryFrom<Written> for Cell {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Percent(value) => Ok(Self(Some(value))),
            Written::Dash(text) if text == "-" => Ok(Self(None)),
            Written::Dash(text) => Err(format!("`{text}` is neither a number nor a dash")),
        }
    }
}

impl From<Cell> for Written {
    fn from(cell: Cell) -> Self {
        cell.0
            .map_or_else(|| Self::Dash("-".to_owned()), Self::Percent)
    }
}

/// Every table, in the paper's order.
pub fn tables() -> &'static [PublishedTable] {
    &TABLES
}

/// The table with an id.
pub fn table(id: &str) -> Option<&'static PublishedTable> {
    tables().iter().find(|table| table.id == id)
}

/// The results on Omni-RewardBench in a setting: the paper's table 2 or 3.
///
/// # Panics
///
/// Never: both tables are part of the program.
pub fn omni_reward_bench(setting: Setting) -> &'static PublishedTable {
    table(&format!("omni-rewardbench/{setting}")).expect("both settings have a table")
}

impl PublishedTable {
    /// The row of a model.
    pub fn row(&self, model: &str) -> Option<&PublishedRow> {
        self.rows.iter().find(|row| row.model == model)
    }

    /// A model's figure in a column, in percent.
    pub fn percent(&self, model: &str, column: &str) -> Option<f64> {
        let index = self.columns.iter().position(|name| name == column)?;
        self.row(model)?.cells.get(index)?.percent()
    }

    /// The mean of a model's figures over some tasks, in percent; `None` when it lacks one. It puts
    /// models of different reach on common ground.
    pub fn mean_over(&self, model: &str, tasks: &[Task]) -> Option<f64> {
        let figures = tasks
            .iter()
            .map(|task| self.percent(model, task.code()))
            .collect::<Option<Vec<f64>>>()?;
        (!figures.is_empty()).then(|| figures.iter().sum::<f64>() / figures.len() as f64)
    }
}
