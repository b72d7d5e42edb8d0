//! What a training measures, as it goes: a line of JSON for each measurement in `metrics.jsonl`, and the same numbers
//! as scalars in event files that `TensorBoard` reads.

use std::path::Path;

use crate::Result;

mod events;
mod lines;
mod record;

pub use events::EventWriter;
pub use lines::{MetricsWriter, read};
pub use record::{Agreement, EvaluationRecord, Record, StepRecord, TaskAgreement};

/// The file of lines in a training's folder.
pub const LINES: &str = "metrics.jsonl";

/// The folder of event files in a training's folder.
pub const EVENTS: &str = "events";

/// Both forms of a training's measurements.
#[derive(Debug)]
pub struct Metrics {
    lines: MetricsWriter,
    events: EventWriter,
}

impl Metrics {
    /// Begins the measurements of a training in `folder`; those of an earlier one are lost. `host` is the machine's
    /// name, which becomes a part of the event file's.
    pub fn create(folder: &Path, host: &str) -> Result<Self> {
        Ok(Self {
            lines: MetricsWriter::create(&folder.join(LINES))?,
            events: EventWriter::create(&folder.join(EVENTS), host)?,
        })
    }

    /// Goes on with those of a training that starts again after `step`: what was measured later is forgotten.
    pub fn resume(folder: &Path, host: &str, step: u64) -> Result<Self> {
        Ok(Self {
            lines: MetricsWriter::resume(&folder.join(LINES), step)?,
            events: EventWriter::resume(&folder.join(EVENTS), host, step)?,
        })
    }

    /// Adds a measurement to both.
    pub fn record(&mut self, record: &Record) -> Result<()> {
        self.lines.write(record)?;
        self.events.scalars(record.step(), &record.scalars())
    }
}

#[cfg(test)]
mod tests;
