use super::{
    ReportRun,
    page::{Cell, Column, Command, Fact, Table, TableRow},
    words,
};
use crate::RunManifest;

/// Judge and benchmark, or the judges.
pub(super) fn title(runs: &[ReportRun<'_>]) -> String {
    match runs {
        [] => "No runs".to_owned(),
        [run] => format!(
            "{} on {}",
            run.manifest.judge.name, run.manifest.benchmark.name
        ),
        [one, other] => format!("{} and {}", one.name, other.name),
        _ => format!("{} runs compared", runs.len()),
    }
}

/// One line under the title.
pub(super) fn subtitle(runs: &[ReportRun<'_>]) -> String {
    let Some(run) = runs.first() else {
        return String::new();
    };
    if runs.len() > 1 {
        let names = distinct(runs, |manifest| manifest.benchmark.name.clone());
        return format!("on {}", names.join(" and "));
    }
    let pairs = run
        .results
        .settings
        .iter()
        .map(|setting| setting.counts.pairs)
        .max()
        .unwrap_or(0);
    format!(
        "{} over {}, {} order",
        words::counted(pairs, "pair"),
        words::counted(run.manifest.plan.tasks.len() as u64, "task"),
        match run.manifest.plan.order {
            omnireward_core::OrderPolicy::AsIs => "in the dataset's",
            omnireward_core::OrderPolicy::Both => "in either",
            omnireward_core::OrderPolicy::Seeded => "in a seeded",
        }
    )
}

/// What the runs have in common, and what tells them apart.
pub(super) fn facts(runs: &[ReportRun<'_>]) -> Vec<Fact> {
    let fact = |name: &str, code: bool, value: &dyn Fn(&RunManifest) -> String| {
        let values = distinct(runs, value);
        let text = values.join(", ");
        (!text.is_empty()).then(|| Fact {
            name: name.to_owned(),
            value: text,
            code,
        })
    };
    let mut facts: Vec<Fact> = [
        fact("judge", true, &|m| m.judge.spec.clone()),
        fact("benchmark", true, &|m| m.benchmark.spec.clone()),
        fact("format", false, &|m| m.benchmark.format.clone()),
        fact("revision", true, &|m| {
            m.benchmark.revision.clone().unwrap_or_default()
        }),
        fact("labels and texts, sha-256", true, &|m| {
            short(&m.benchmark.fingerprint)
        }),
        fact("started (UTC)", false, &|m| m.started.clone()),
        fact("tasks", false, &|m| {
            m.plan
                .tasks
                .iter()
                .map(|t| t.code())
                .collect::<Vec<_>>()
                .join(" ")
        }),
        fact("settings", false, &|m| {
            m.plan
                .settings
                .iter()
                .map(|s| words::setting(*s))
                .collect::<Vec<_>>()
                .join(", ")
        }),
        fact("order", false, &|m| m.plan.order.to_string()),
        fact("seed", false, &|m| m.plan.seed.to_string()),
        fact("pairs of each task", false, &|m| {
            m.plan
                .limit
                .map_or(String::new(), |limit| format!("at most {limit}"))
        }),
        fact("omnireward", false, &|m| m.omnireward.clone()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut policies: Vec<&str> = runs
        .iter()
        .map(|run| words::policy(run.results.config.failure_policy))
        .collect();
    policies.dedup();
    facts.push(Fact {
        name: "a pair without a verdict".into(),
        value: policies.join(", "),
        code: false,
    });
    facts
}

/// The command that repeats each run.
pub(super) fn commands(runs: &[ReportRun<'_>]) -> Vec<Command> {
    runs.iter()
        .map(|run| Command {
            what: if runs.len() > 1 {
                run.name.to_owned()
            } else {
                "repeat".into()
            },
            text: run.manifest.command.clone(),
        })
        .collect()
}

/// Every setting that influences verdicts, a column for each run.
pub(super) fn settings(runs: &[ReportRun<'_>]) -> Option<Table> {
    let flat: Vec<Vec<(String, String)>> = runs
        .iter()
        .map(|run| {
            let mut lines = Vec::new();
            flatten("", &run.manifest.judge.settings, &mut lines);
            lines
        })
        .collect();
    let mut keys: Vec<&String> = Vec::new();
    for (key, _) in flat.iter().flatten() {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let value = |lines: &[(String, String)], key: &str| {
        lines
            .iter()
            .find(|(name, _)| name == key)
            .map_or("–".to_owned(), |(_, value)| value.clone())
    };
    let rows: Vec<TableRow> = keys
        .into_iter()
        .map(|key| TableRow {
            class: "",
            cells: [Cell::name(key.clone())]
                .into_iter()
                .chain(flat.iter().map(|lines| Cell::wide(value(lines, key))))
                .collect(),
        })
        .collect();
    let columns = [Column::words("setting")]
        .into_iter()
        .chain(runs.iter().map(|run| Column::words(run.name)))
        .collect();
    (!rows.is_empty()).then(|| Table {
        columns,
        rows,
        ..Table::default()
    })
}

fn flatten(path: &str, value: &toml::Value, lines: &mut Vec<(String, String)>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(&path, value, lines);
            }
        }
        toml::Value::String(text) => lines.push((path.to_owned(), text.clone())),
        other => lines.push((path.to_owned(), other.to_string())),
    }
}

/// The distinct values over the runs, in their order.
fn distinct(runs: &[ReportRun<'_>], value: impl Fn(&RunManifest) -> String) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for run in runs {
        let value = value(run.manifest);
        if !value.is_empty() && !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

/// The beginning of a hash, enough to compare by eye.
fn short(hash: &str) -> String {
    match hash.char_indices().nth(16) {
        Some((end, _)) => format!("{}…", &hash[..end]),
        None => hash.to_owned(),
    }
}
