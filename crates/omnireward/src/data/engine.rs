//! What the verbs that work on whole tables share.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use omnireward_curate::{
    engine::EngineConfig,
    table::{Input, MediaMode},
};
use omnireward_data::Format;

use super::table::thousands;
use crate::printer;

/// What the engine may use of this machine.
#[derive(Debug, Args)]
#[command(next_help_heading = "Engine")]
pub(crate) struct ResourceArgs {
    /// Memory for sorting, joining and grouping, in megabytes; what needs more goes to disk.
    #[arg(long, default_value_t = 1024, value_name = "MB", value_parser = clap::value_parser!(u32).range(64..))]
    engine_memory: u32,

    /// How many parts of a table are worked on at once; the number of cores when not given. Changes no result.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    partitions: Option<u16>,
}

impl ResourceArgs {
    pub(crate) fn config(&self) -> EngineConfig {
        let default = EngineConfig::default();
        EngineConfig {
            partitions: self.partitions.map_or(default.partitions, usize::from),
            memory_bytes: (self.engine_memory as usize) << 20,
            ..default
        }
    }
}

/// How tables are worked on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Engine")]
pub(crate) struct EngineArgs {
    #[command(flatten)]
    resources: ResourceArgs,

    /// Run the plans on a cluster: the address of its scheduler. All its machines see the same files.
    #[cfg(feature = "distributed")]
    #[arg(long, value_name = "df://HOST:PORT")]
    scheduler: Option<String>,

    /// End at a record that cannot be read, rather than report it.
    #[arg(long)]
    pub(crate) strict: bool,
}

impl EngineArgs {
    pub(crate) fn config(&self) -> EngineConfig {
        EngineConfig {
            #[cfg(feature = "distributed")]
            scheduler: self.scheduler.clone(),
            ..self.resources.config()
        }
    }
}

/// How written rows have their media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum MediaArg {
    /// As files beside the table: links where the file system can, else copies.
    #[default]
    Beside,
    /// In the table itself.
    Embedded,
}

impl From<MediaArg> for MediaMode {
    fn from(media: MediaArg) -> Self {
        match media {
            MediaArg::Beside => Self::Beside,
            MediaArg::Embedded => Self::Embedded,
        }
    }
}

/// Sets of pairs by their paths, all in one format if it is named.
pub(crate) fn inputs(paths: &[PathBuf], format: Option<Format>) -> Vec<Input> {
    let input = |path: &PathBuf| {
        let mut input = Input::new(path);
        input.options.format = format;
        input
    };
    paths.iter().map(input).collect()
}

/// Prints a report: its JSON where that is asked for, else tables.
pub(crate) fn print(
    json: Option<serde_json::Result<String>>,
    tables: impl FnOnce() -> String,
) -> Result<()> {
    printer::data(&match json {
        Some(text) => format!("{}\n", text?),
        None => tables(),
    })
}

/// What was not as it should be, a line each.
pub(crate) fn notes(bad_rows: u64, unread_media: u64, missing_media: u64) -> String {
    let notes = [
        (bad_rows, "records could not be read"),
        (
            unread_media,
            "media could not be decoded; their names and bytes alone were compared",
        ),
        (
            missing_media,
            "uses of media name a file that does not exist",
        ),
    ];
    let told = notes.iter().filter(|(count, _)| *count > 0);
    told.fold(String::new(), |told, (count, what)| {
        told + &format!("{} {what}\n", thousands(*count))
    })
}
