use std::{fs, path::Path};

use omnireward_core::{Identity, OrderPolicy, Setting, Task};
use serde::{Deserialize, Serialize};

use crate::{Error, run_dir::file_error};

/// Everything needed to repeat a run: the content of `run.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunManifest {
    /// The version of this program.
    pub omnireward: String,
    /// When the run was first started, in UTC.
    pub started: String,
    /// The command line, for people.
    pub command: String,
    /// What is asked.
    pub plan: RunPlan,
    /// What judges.
    pub judge: JudgeRecord,
    /// What is judged.
    pub benchmark: BenchmarkRecord,
}

/// Which questions a run asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunPlan {
    /// The tasks asked for.
    pub tasks: Vec<Task>,
    /// With ties, without ties, or both.
    pub settings: Vec<Setting>,
    /// In which orders responses are shown.
    pub order: OrderPolicy,
    /// Seeds the order and every resampling.
    pub seed: u64,
    /// At most this many pairs of each task.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<u64>,
}

/// What judges, as `run.toml` has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeRecord {
    /// As given on the command line.
    pub spec: String,
    /// A short name for tables.
    pub name: String,
    /// Everything that influences its verdicts.
    pub settings: toml::Value,
}

impl JudgeRecord {
    /// Records a judge that was named `spec`.
    pub fn new(spec: impl Into<String>, identity: Identity) -> Self {
        Self {
            spec: spec.into(),
            name: identity.name,
            settings: to_toml(identity.settings),
        }
    }
}

/// What is judged, as `run.toml` has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchmarkRecord {
    /// As given on the command line.
    pub spec: String,
    /// A short name for tables.
    pub name: String,
    /// The format it was read as.
    pub format: String,
    /// The commit of a hub dataset.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<String>,
    /// A hash of its labels and texts.
    pub fingerprint: String,
}

impl RunManifest {
    /// Reads `run.toml`.
    ///
    /// # Errors
    ///
    /// When the file is missing, or is not a run's settings; unknown keys are refused.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(file_error("read", path))?;
        toml::from_str(&text).map_err(|source| Error::Malformed {
            what: "run manifest",
            path: path.to_owned(),
            source: source.into(),
        })
    }

    /// The text of `run.toml`.
    ///
    /// # Panics
    ///
    /// Never: a manifest has only string keys and no nulls.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a manifest has only string keys and no nulls")
    }

    /// Checks that a recorded run asks the same questions of the same judge, so that its answers
    /// may be kept.
    pub(crate) fn check_same_run(&self, recorded: &Self, path: &Path) -> Result<(), Error> {
        let (old, new) = (recorded.identity(), self.identity());
        match first_difference("", &old, &new) {
            None => Ok(()),
            Some((field, recorded, requested)) => Err(Error::OtherRun {
                path: path.to_owned(),
                field,
                recorded,
                requested,
            }),
        }
    }

    /// The part that decides what the verdicts are. Where the benchmark lies does not matter, what
    /// is in it does.
    fn identity(&self) -> toml::Value {
        let mut whole = toml::Value::try_from(self).expect("a manifest has only string keys");
        for (table, key) in [
            ("", "omnireward"),
            ("", "started"),
            ("", "command"),
            ("judge", "spec"),
            ("benchmark", "spec"),
            ("benchmark", "name"),
        ] {
            let table = if table.is_empty() {
                whole.as_table_mut()
            } else {
                whole[table].as_table_mut()
            };
            table
                .expect("the manifest's sections are tables")
                .remove(key);
        }
        whole
    }
}

fn first_difference(
    path: &str,
    old: &toml::Value,
    new: &toml::Value,
) -> Option<(String, String, String)> {
    let (Some(old_table), Some(new_table)) = (old.as_table(), new.as_table()) else {
        return (old != new).then(|| (path.to_owned(), old.to_string(), new.to_string()));
    };
    let unset = toml::Value::String("unset".to_owned());
    let mut keys: Vec<&String> = old_table.keys().chain(new_table.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter().find_map(|key| {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        first_difference(
            &path,
            old_table.get(key).unwrap_or(&unset),
            new_table.get(key).unwrap_or(&unset),
        )
    })
}

/// TOML has no null: a setting left to the service is recorded as `"unset"`.
fn to_toml(value: serde_json::Value) -> toml::Value {
    use serde_json::Value;
    match value {
        Value::Null => toml::Value::String("unset".to_owned()),
        Value::Bool(value) => toml::Value::Boolean(value),
        Value::Number(number) => number.as_i64().map_or_else(
            || toml::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            toml::Value::Integer,
        ),
        Value::String(text) => toml::Value::String(text),
        Value::Array(items) => toml::Value::Array(items.into_iter().map(to_toml).collect()),
        Value::Object(fields) => toml::Value::Table(
            fields
                .into_iter()
                .map(|(key, value)| (key, to_toml(value)))
                .collect(),
        ),
    }
}

#[cfg(test)]
pub(crate) fn example_manifest() -> RunManifest {
    RunManifest {
        omnireward: "0.1.0".to_owned(),
        started: "2026-01-01T00:00:00Z".to_owned(),
        command: "omnireward eval".to_owned(),
        plan: RunPlan {
            tasks: vec![Task::T2T, Task::T23D],
            settings: Setting::ALL.to_vec(),
            order: OrderPolicy::Both,
            seed: 7,
            limit: None,
        },
        judge: JudgeRecord::new(
            "openai:m",
            Identity::new("m", serde_json::json!({"temperature": 0.0, "seed": null})),
        ),
        benchmark: BenchmarkRecord {
            spec: "bench".to_owned(),
            name: "bench".to_owned(),
            format: "pairs".to_owned(),
            revision: None,
            fingerprint: "abc".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_survives_its_file() {
        let text = example_manifest().to_toml();
        assert_eq!(
            toml::from_str::<RunManifest>(&text).unwrap(),
            example_manifest()
        );
        assert!(toml::from_str::<RunManifest>(&format!("colour = 1\n{text}")).is_err());
    }

    #[test]
    fn a_changed_setting_is_named() {
        let mut changed = example_manifest();
        changed.judge.settings["temperature"] = toml::Value::Float(1.0);
        let error = changed
            .check_same_run(&example_manifest(), Path::new("runs/x"))
            .unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("`judge.settings.temperature` was 0.0 and is now 1.0"),
            "{message}"
        );
    }

    #[test]
    fn where_the_benchmark_lies_does_not_matter() {
        let mut moved = example_manifest();
        moved.benchmark.spec = "/elsewhere/bench".to_owned();
        moved.started = "2027-01-01T00:00:00Z".to_owned();
        assert!(
            moved
                .check_same_run(&example_manifest(), Path::new("runs/x"))
                .is_ok()
        );
    }
}
