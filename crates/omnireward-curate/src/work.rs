//! A folder for work that may be stopped and started again.

use std::{
    fs::{self, DirEntry, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    Error,
    table::{Input, whole_file},
};

/// What a piece of work is: everything that decides its result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan(Value);

impl Plan {
    pub(crate) fn new(
        kind: &str,
        settings: &impl Serialize,
        inputs: &[Input],
    ) -> Result<Self, Error> {
        let inputs: Vec<Value> = inputs.iter().map(described).collect::<Result<_, Error>>()?;
        Ok(Self(
            json!({"work": kind, "settings": settings, "inputs": inputs}),
        ))
    }
}

fn described(input: &Input) -> Result<Value, Error> {
    let dataset = omnireward_data::open(&input.path, &input.options)?;
    Ok(json!({
        "name": input.name,
        "path": input.path.to_string_lossy(),
        "format": dataset.format().to_string(),
        "fingerprint": dataset.fingerprint()?,
    }))
}

/// Work that is under way in a folder.
#[derive(Debug)]
pub(crate) struct Work {
    out: PathBuf,
}

/// How far the work in a folder is.
pub(crate) enum Begun<R> {
    /// It was finished before, with this report.
    Done(R),
    /// It goes on, or begins.
    Open(Work),
}

impl Work {
    /// Begins, or goes on with, work whose results go to `out`.
    pub(crate) fn open<R: DeserializeOwned>(out: &Path, plan: &Plan) -> Result<Begun<R>, Error> {
        let work = Self {
            out: out.to_owned(),
        };
        let recorded = work.out.join("plan.json");
        match fs::read_to_string(&recorded) {
            Ok(text) => {
                let found: Value = parsed(&recorded, &text)?;
                if found != plan.0 {
                    return Err(Error::OtherWork {
                        path: out.to_owned(),
                    });
                }
            }
            Err(_) => work.begin(&recorded, plan)?,
        }
        let report = work.report();
        match fs::read_to_string(&report) {
            Ok(text) => {
                // It may have been stopped at the very last step.
                work.clear()?;
                Ok(Begun::Done(parsed(&report, &text)?))
            }
            Err(_) => Ok(Begun::Open(work)),
        }
    }

    fn begin(&self, recorded: &Path, plan: &Plan) -> Result<(), Error> {
        // Somebody who was stopped while the plan was written left half of it, and nothing else.
        let is_half_a_plan = |entry: io::Result<DirEntry>| {
            entry.is_ok_and(|entry| entry.file_name() == "plan.begun")
        };
        let is_occupied = self
            .out
            .read_dir()
            .is_ok_and(|mut entries| entries.any(|entry| !is_half_a_plan(entry)));
        if is_occupied {
            return Err(Error::OtherWork {
                path: self.out.clone(),
            });
        }
        fs::create_dir_all(&self.out).map_err(Error::writing(&self.out))?;
        let text = serde_json::to_vec_pretty(&plan.0).expect("a plan is JSON");
        whole_file(recorded, &text)
    }

    fn report(&self) -> PathBuf {
        self.out.join("report.json")
    }

    /// A file or folder of what is only needed until the work is finished.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.out.join("work").join(name)
    }

    /// A folder of what is only needed until the work is finished, which is made.
    pub(crate) fn scratch_folder(&self, name: &str) -> Result<PathBuf, Error> {
        let folder = self.scratch(name);
        fs::create_dir_all(&folder).map_err(Error::writing(&folder))?;
        Ok(folder)
    }

    /// A folder for rows that are to appear in the results when all are written.
    pub(crate) fn fresh_folder(&self, name: &str) -> Result<PathBuf, Error> {
        let folder = self.scratch(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(Error::writing(&folder))?;
        }
        fs::create_dir_all(&folder).map_err(Error::writing(&folder))?;
        Ok(folder)
    }

    /// Moves what is in a folder of this work to the results, records the report and removes the rest.
    pub(crate) fn finish(&self, folder: &Path, report: &impl Serialize) -> Result<(), Error> {
        for entry in folder.read_dir().map_err(Error::reading(folder))? {
            let from = entry.map_err(Error::reading(folder))?.path();
            let to = self.out.join(from.file_name().unwrap_or_default());
            if to.is_dir() {
                fs::remove_dir_all(&to).map_err(Error::writing(&to))?;
            }
            fs::rename(&from, &to).map_err(Error::writing(&to))?;
        }
        let text = serde_json::to_vec_pretty(report).expect("a report is JSON");
        whole_file(&self.report(), &text)?;
        self.clear()
    }

    fn clear(&self) -> Result<(), Error> {
        let scratch = self.out.join("work");
        if scratch.exists() {
            fs::remove_dir_all(&scratch).map_err(Error::writing(&scratch))?;
        }
        Ok(())
    }
}

fn parsed<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Damaged {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// A file of JSON values, one a line.
pub(crate) struct JsonLines {
    path: PathBuf,
    file: BufWriter<File>,
}

impl JsonLines {
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(Error::writing(path))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
        })
    }

    pub(crate) fn line(&mut self, value: &Value) -> Result<(), Error> {
        writeln!(self.file, "{value}").map_err(Error::writing(&self.path))
    }

    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.file.flush().map_err(Error::writing(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_plan_is_begun_again_and_other_work_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan(json!({"work": "test"}));
        let open = || Work::open::<Value>(folder.path(), &plan);
        fs::write(folder.path().join("plan.begun"), "{\"wo").unwrap();
        assert!(matches!(open(), Ok(Begun::Open(_))));
        assert!(folder.path().join("plan.json").exists());
        assert!(!folder.path().join("plan.begun").exists());
        assert!(matches!(open(), Ok(Begun::Open(_))));
        fs::remove_file(folder.path().join("plan.json")).unwrap();
        fs::write(folder.path().join("pairs.jsonl"), "").unwrap();
        assert!(matches!(open(), Err(Error::OtherWork { .. })));
    }
}
