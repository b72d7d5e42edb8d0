//! What the template shows: tables, figures and sections, already worded.

use serde::Serialize;

/// The whole report without the pairs.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    pub(super) version: &'static str,
    /// What it reports on, above the title.
    pub(super) kind: &'static str,
    pub(super) title: String,
    pub(super) subtitle: String,
    pub(super) facts: Vec<Fact>,
    pub(super) commands: Vec<Command>,
    pub(super) settings: Option<Table>,
    pub(super) notes: Vec<String>,
    pub(super) sections: Vec<Section>,
    pub(super) browser: Option<Browser>,
    pub(super) footer: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) value: String,
    /// Whether the value is something to copy rather than to read.
    pub(super) code: bool,
}

impl Fact {
    /// A fact to read, from its name and what it is.
    pub(super) fn words((name, value): &(String, String)) -> Self {
        Self {
            name: name.clone(),
            value: value.clone(),
            code: false,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Command {
    pub(super) what: String,
    pub(super) text: String,
}

impl Command {
    /// The command that makes again what the page is about.
    pub(super) fn repeat(text: &str) -> Self {
        Self {
            what: "repeat".into(),
            text: text.to_owned(),
        }
    }
}

/// The frame of the browser of pairs; the pairs themselves are in the island.
#[derive(Debug, Serialize)]
pub(super) struct Browser {
    pub(super) lead: String,
    pub(super) tasks: Vec<&'static str>,
    pub(super) runs: Vec<String>,
    pub(super) sources: Vec<String>,
    pub(super) both_settings: bool,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) lead: String,
    pub(super) tiles: Vec<Tile>,
    /// Blocks side by side where there is room.
    pub(super) rows: Vec<Vec<Block>>,
}

impl Section {
    /// Whether there is something to show.
    pub(super) fn is_empty(&self) -> bool {
        self.tiles.is_empty() && self.rows.iter().all(Vec::is_empty)
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Tile {
    pub(super) name: String,
    pub(super) big: String,
    pub(super) unit: String,
    pub(super) detail: String,
    pub(super) lead: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Block {
    pub(super) title: String,
    pub(super) text: String,
    #[serde(flatten)]
    pub(super) content: Content,
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Content {
    Figure { figure: Figure },
    Table { table: Table },
    Folded { summary: String, table: Table },
    Grid { items: Vec<GridItem> },
}

#[derive(Debug, Serialize)]
pub(super) struct GridItem {
    pub(super) name: String,
    pub(super) figure: Figure,
}

/// A figure drawn for two widths; the page shows the one that fits.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub(super) legend: Vec<Legend>,
    pub(super) wide: String,
    pub(super) narrow: String,
}

/// The widths of figures, in pixels.
pub(super) const FULL: f64 = 1070.0;
pub(super) const HALF: f64 = 500.0;
pub(super) const THIRD: f64 = 330.0;
pub(super) const NARROW: f64 = 350.0;

impl Figure {
    /// Draws a figure for a wide page, where it has `width` pixels, and for a narrow one.
    pub(super) fn new(legend: Vec<Legend>, width: f64, draw: impl Fn(f64) -> String) -> Self {
        Self {
            legend,
            wide: draw(width),
            narrow: draw(NARROW),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Legend {
    pub(super) svg: String,
    pub(super) name: String,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Table {
    pub(super) caption: String,
    pub(super) groups: Vec<ColumnGroup>,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<TableRow>,
    pub(super) sortable: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct ColumnGroup {
    pub(super) name: String,
    pub(super) span: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) numeric: bool,
}

impl Column {
    pub(super) fn words(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            numeric: false,
        }
    }

    pub(super) fn number(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            numeric: true,
        }
    }
}

#[derive(Debug, Default, Serialize)]
pub(super) struct TableRow {
    pub(super) class: &'static str,
    pub(super) cells: Vec<Cell>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Cell {
    pub(super) text: String,
    /// Said more quietly, after the text.
    pub(super) note: String,
    /// Whether the note stands on a line of its own.
    pub(super) below: bool,
    pub(super) svg: String,
    pub(super) class: &'static str,
    /// What a table is sorted by, where it is not the text.
    pub(super) sort: Option<String>,
}

impl Cell {
    pub(super) fn name(text: impl Into<String>) -> Self {
        const LONG: usize = 28;
        let text = text.into();
        let class = if text.chars().count() > LONG {
            "name long"
        } else {
            "name"
        };
        Self {
            text,
            class,
            ..Self::default()
        }
    }

    pub(super) fn wide(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            class: "wide",
            ..Self::default()
        }
    }

    pub(super) fn words(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    pub(super) fn svg(svg: String) -> Self {
        Self {
            svg,
            ..Self::default()
        }
    }

    /// A number as shown, with the value it is sorted by.
    pub(super) fn number(text: impl Into<String>, value: Option<f64>) -> Self {
        Self {
            text: text.into(),
            class: "number",
            sort: Some(
                value
                    .filter(|v| v.is_finite())
                    .map_or(String::new(), |v| format!("{v}")),
            ),
            ..Self::default()
        }
    }

    pub(super) fn count(count: u64) -> Self {
        Self::number(super::words::count(count), Some(count as f64))
    }

    /// A share in percent; a dash where there is none.
    pub(super) fn percent(share: Option<f64>) -> Self {
        Self::number(super::words::percent(share), share)
    }

    #[must_use]
    pub(super) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    #[must_use]
    pub(super) fn with_note_below(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self.below = true;
        self
    }
}
