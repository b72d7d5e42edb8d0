//! Finds the benchmark that a name stands for.

use std::path::Path;

use crate::{
    args::ReadingArgs,
    embedded::{self, Unpacked},
    hub,
};
use anyhow::{Context, Result};
use omnireward_core::Task;
use omnireward_data::{Dataset, OpenOptions};
use omnireward_eval::BenchmarkRecord;

/// A benchmark that is open, and what a run records of it.
pub(crate) struct Benchmark {
    pub(crate) dataset: Dataset,
    pub(crate) record: BenchmarkRecord,
    /// The embedded benchmark lies in a folder that goes away with this.
    _folder: Option<Unpacked>,
}

impl Benchmark {
    /// Opens what `spec` names: `embedded`, `hf:OWNER/NAME[@REVISION]`, or a path.
    pub(crate) async fn open(
        spec: &str,
        reading: &ReadingArgs,
        tasks: &[Task],
        quiet: bool,
    ) -> Result<Self> {
        let options = OpenOptions {
            format: reading.format,
            tasks: (!tasks.is_empty()).then(|| tasks.to_vec()),
            allow_urls: reading.allow_urls,
            ..OpenOptions::default()
        };
        if spec == embedded::NAME {
            let folder = embedded::benchmark()?;
            let path = folder.path().join("pairs.jsonl");
            return Self::new(spec, &path, &options, None, Some(folder));
        }
        if spec.starts_with("hf:") {
            let snapshot = hub::dataset(spec, quiet).await?;
            return Self::new(
                spec,
                &snapshot.path,
                &options,
                Some(snapshot.revision),
                None,
            );
        }
        Self::new(spec, Path::new(spec), &options, None, None)
    }

    fn new(
        spec: &str,
        path: &Path,
        options: &OpenOptions,
        revision: Option<String>,
        folder: Option<Unpacked>,
    ) -> Result<Self> {
        let mut dataset = open(path, options)?;
        if revision.is_some() || folder.is_some() {
            dataset = dataset.named(spec);
        }
        // What a benchmark is does not depend on which of its tasks are asked about.
        let every_task = OpenOptions {
            tasks: None,
            ..options.clone()
        };
        let whole = open(path, &every_task)?;
        let record = BenchmarkRecord {
            spec: spec.to_owned(),
            name: dataset.name().to_owned(),
            format: dataset.format().to_string(),
            revision,
            fingerprint: whole
                .fingerprint()
                .context("cannot read the benchmark's files")?,
        };
        Ok(Self {
            dataset,
            record,
            _folder: folder,
        })
    }
}

fn open(path: &Path, options: &OpenOptions) -> Result<Dataset> {
    omnireward_data::open(path, options)
        .with_context(|| format!("cannot open the benchmark `{}`", path.display()))
}
