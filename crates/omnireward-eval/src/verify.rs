use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::{Results, Row};

/// Numbers closer than this, relative to their size, are equal: another machine's mathematics may
/// round the last digit differently.
const TOLERANCE: f64 = 1e-14;

/// A number, or other content, of stored results that recomputing does not give.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mismatch {
    /// Where it stands in `results.json`, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is stored; `None` where nothing is.
    pub stored: Option<Value>,
    /// What recomputing gives; `None` where it gives nothing.
    pub recomputed: Option<Value>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<Value>| {
            value
                .as_ref()
                .map_or_else(|| "nothing".to_owned(), Value::to_string)
        };
        write!(
            f,
            "{}: stored {}, recomputed {}",
            self.pointer,
            show(&self.stored),
            show(&self.recomputed)
        )
    }
}

/// Computes the results of `rows` again, as `stored` was configured, and lists what differs.
///
/// # Panics
///
/// Never: results are plain data that always become JSON.
pub fn verify(rows: &[Row], stored: &Results) -> Vec<Mismatch> {
    let recomputed = Results::compute(rows, &stored.config);
    let json = |results| serde_json::to_value(results).expect("results have only text keys");
    let mut mismatches = Vec::new();
    differ(
        &mut mismatches,
        "",
        Some(&json(stored)),
        Some(&json(&recomputed)),
    );
    mismatches
}

fn differ(found: &mut Vec<Mismatch>, pointer: &str, stored: Option<&Value>, now: Option<&Value>) {
    match (stored, now) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let added = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(added) {
                let name = key.replace('~', "~0").replace('/', "~1");
                differ(found, &format!("{pointer}/{name}"), a.get(key), b.get(key));
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for index in 0..a.len().max(b.len()) {
                differ(
                    found,
                    &format!("{pointer}/{index}"),
                    a.get(index),
                    b.get(index),
                );
            }
        }
        (Some(Value::Number(a)), Some(Value::Number(b))) if near(a.as_f64(), b.as_f64()) => {}
        (a, b) if a == b => {}
        (a, b) => found.push(Mismatch {
            pointer: pointer.to_owned(),
            stored: a.cloned(),
            recomputed: b.cloned(),
        }),
    }
}

fn near(a: Option<f64>, b: Option<f64>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()))
}
