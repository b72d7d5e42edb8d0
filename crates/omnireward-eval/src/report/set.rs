//! The page of a set of pairs: what it is made of, and samples of it.

use super::{
    html::{browser, render},
    island::island,
    page::{
        Block, Cell, Column, Command, Content, FULL, Fact, Figure, HALF, Legend, Page, Section,
        Table, TableRow, Tile,
    },
    pairs::PairViews,
    plot::{BarLengths, BarPlot, Spread, SpreadPlot, bars, spreads, swatch},
};

/// What the page of a set of pairs shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetPage {
    /// The set's name.
    pub title: String,
    /// One line under it.
    pub subtitle: String,
    /// The command that makes the page again.
    pub command: Option<String>,
    /// What is worth knowing of it at once, by name.
    pub facts: Vec<(String, String)>,
    /// Sentences that a reader has to know.
    pub notes: Vec<String>,
    /// The numbers that matter most.
    pub headline: Vec<SetNumber>,
    /// Figures and tables, in their order.
    pub sections: Vec<SetSection>,
    /// Some pairs; see [`sample_views`](super::sample_views).
    pub samples: Option<PairViews>,
}

/// A number that matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetNumber {
    /// What it counts.
    pub name: String,
    /// The number, as it is written.
    pub value: String,
    /// Its unit.
    pub unit: String,
    /// What else there is to say of it.
    pub detail: String,
}

/// Figures and tables under one heading.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetSection {
    /// What links to it are called; each section has its own.
    pub id: &'static str,
    /// The heading.
    pub title: &'static str,
    /// A sentence on how to read it.
    pub text: String,
    /// What it shows, two side by side where there is room.
    pub blocks: Vec<SetBlock>,
}

/// A figure or a table.
#[derive(Clone, Debug, PartialEq)]
pub struct SetBlock {
    /// Its heading.
    pub title: String,
    /// A sentence on how to read it.
    pub text: String,
    /// What it shows.
    pub content: SetContent,
}

/// What a block shows. A figure without a number is left out.
#[derive(Clone, Debug, PartialEq)]
pub enum SetContent {
    /// Bars as long as what they count.
    Counts(Bars),
    /// Bars of one length, so that shares can be compared.
    Shares(Bars),
    /// How numbers are spread, by name.
    Spreads(Vec<(String, Spread)>),
    /// A table whose first column holds names, the others numbers.
    Table {
        /// The heads of the columns.
        columns: Vec<String>,
        /// The rows.
        rows: Vec<Vec<String>>,
    },
}

/// Counts of several parts, a bar for each row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bars {
    /// What is counted.
    pub parts: Vec<String>,
    /// A name, and a count for each part.
    pub rows: Vec<(String, Vec<u64>)>,
}

/// The page of a set as one HTML file that refers to nothing outside itself.
///
/// # Panics
///
/// Never: the template is part of this crate and uses only what it is given.
pub fn set_html(set: &SetPage) -> String {
    let mut sections = vec![headline(set)];
    sections.extend(set.sections.iter().map(section));
    sections.retain(|section| !section.is_empty());
    let version = env!("CARGO_PKG_VERSION");
    let samples = set.samples.as_ref().filter(|views| !views.pairs.is_empty());
    let page = Page {
        version,
        kind: "set of pairs",
        title: set.title.clone(),
        subtitle: set.subtitle.clone(),
        facts: set.facts.iter().map(Fact::words).collect(),
        commands: (set.command.as_deref().map(Command::repeat).into_iter()).collect(),
        settings: None,
        notes: set.notes.clone(),
        sections,
        browser: samples.map(browser),
        footer: format!("Written by omnireward {version}."),
    };
    render(page, samples.map(island).unwrap_or_default())
}

fn headline(set: &SetPage) -> Section {
    let tiles = set.headline.iter().enumerate();
    Section {
        id: "headline",
        title: "Headline",
        tiles: tiles
            .map(|(index, number)| Tile {
                name: number.name.clone(),
                big: number.value.clone(),
                unit: number.unit.clone(),
                detail: number.detail.clone(),
                lead: index == 0,
            })
            .collect(),
        ..Section::default()
    }
}

fn section(section: &SetSection) -> Section {
    let shown: Vec<&SetBlock> = section
        .blocks
        .iter()
        .filter(|block| has_numbers(block))
        .collect();
    Section {
        id: section.id,
        title: section.title,
        lead: section.text.clone(),
        rows: shown
            .chunks(2)
            .map(|row| row.iter().map(|one| block(one, row.len())).collect())
            .collect(),
        ..Section::default()
    }
}

fn has_numbers(block: &SetBlock) -> bool {
    match &block.content {
        SetContent::Counts(bars) | SetContent::Shares(bars) => bars
            .rows
            .iter()
            .any(|(_, counts)| counts.iter().any(|count| *count > 0)),
        SetContent::Spreads(rows) => !rows.is_empty(),
        SetContent::Table { rows, .. } => !rows.is_empty(),
    }
}

/// A block that shares its row with as many as `in_row` says.
fn block(block: &SetBlock, in_row: usize) -> Block {
    let width = if in_row > 1 { HALF } else { FULL };
    let content = match &block.content {
        SetContent::Counts(counts) => bar_figure(&block.title, counts, BarLengths::Counts, width),
        SetContent::Shares(counts) => bar_figure(&block.title, counts, BarLengths::Shares, width),
        SetContent::Spreads(rows) => spread_figure(&block.title, rows, width),
        SetContent::Table { columns, rows } => Content::Table {
            table: table(columns, rows),
        },
    };
    Block {
        title: block.title.clone(),
        text: block.text.clone(),
        content,
    }
}

fn bar_figure(title: &str, counts: &Bars, lengths: BarLengths, width: f64) -> Content {
    let plot = BarPlot {
        label: title.to_owned(),
        parts: counts.parts.clone(),
        rows: counts.rows.clone(),
        lengths,
    };
    let legend = (counts.parts.len() > 1).then(|| {
        let parts = counts.parts.iter().enumerate();
        parts.map(|(series, name)| Legend {
            svg: swatch(series),
            name: name.clone(),
        })
    });
    Content::Figure {
        figure: Figure::new(legend.into_iter().flatten().collect(), width, |width| {
            bars(&plot, width)
        }),
    }
}

fn spread_figure(title: &str, rows: &[(String, Spread)], width: f64) -> Content {
    let plot = SpreadPlot {
        label: title.to_owned(),
        rows: rows.to_vec(),
    };
    Content::Figure {
        figure: Figure::new(Vec::new(), width, |width| spreads(&plot, width)),
    }
}

fn table(columns: &[String], rows: &[Vec<String>]) -> Table {
    let column = |(index, name): (usize, &String)| match index {
        0 => Column::words(name.clone()),
        _ => Column::number(name.clone()),
    };
    let cell = |(index, text): (usize, &String)| match index {
        0 => Cell::name(text.clone()),
        _ => Cell::number(text.clone(), None),
    };
    Table {
        columns: columns.iter().enumerate().map(column).collect(),
        rows: rows
            .iter()
            .map(|row| TableRow {
                class: "",
                cells: row.iter().enumerate().map(cell).collect(),
            })
            .collect(),
        ..Table::default()
    }
}
