use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How an adapter is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Rows of the first factor, columns of the second.
    pub rank: usize,
    /// The strength: the product is multiplied with `alpha / rank`.
    pub alpha: f64,
    /// The layers that it changes, by the last words of their names.
    pub targets: Vec<String>,
    /// Whether the product is multiplied with `alpha / √rank` instead (Kalajdzievski 2023).
    #[serde(default)]
    pub rank_stabilised: bool,
}

impl LoraConfig {
    /// What the product of the factors is multiplied with.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        if self.rank_stabilised {
            self.alpha / rank.sqrt()
        } else {
            self.alpha / rank
        }
    }

    /// The field that cannot be so, and why.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.rank == 0 {
            return Err(("rank", "it is `0`, expected 1 at least".to_owned()));
        }
        if !self.alpha.is_finite() || self.alpha <= 0.0 {
            let reason = format!("it is `{}`, expected a number above 0", self.alpha);
            return Err(("alpha", reason));
        }
        Ok(())
    }

    /// PEFT's `adapter_config.json`.
    ///
    /// PEFT reads a list of targets as ends of names anywhere in the model, and a string as a pattern for whole names.
    /// MiniCPM-o's towers have layers of the same names as its decoder, so there it has to be a pattern.
    pub(super) fn to_json(
        &self,
        base: &str,
        saved: &BTreeSet<&str>,
        decoder: Option<&str>,
    ) -> Value {
        let targets = match decoder {
            None => json!(self.targets),
            Some(decoder) => json!(format!(
                r"{}\.layers\.\d+\..*({})",
                decoder.replace('.', r"\."),
                self.targets.join("|").replace('.', r"\.")
            )),
        };
        let task = if saved.is_empty() {
            "CAUSAL_LM"
        } else {
            "SEQ_CLS"
        };
        json!({
            "alpha_pattern": {},
            "base_model_name_or_path": base,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "layers_pattern": null,
            "layers_to_transform": null,
            "lora_alpha": whole(self.alpha),
            "lora_dropout": 0.0,
            "modules_to_save": (!saved.is_empty()).then_some(saved),
            "peft_type": "LORA",
            "r": self.rank,
            "rank_pattern": {},
            "revision": null,
            "target_modules": targets,
            "task_type": task,
            "use_dora": false,
            "use_rslora": self.rank_stabilised,
        })
    }

    /// Reads PEFT's `adapter_config.json`; what cannot be used is named by its field.
    pub(super) fn from_json(json: &Value) -> Result<Self, (&'static str, String)> {
        let Some(fields) = json.as_object() else {
            return Err(("(all)", "the file is not a JSON object".to_owned()));
        };
        for (field, plain) in PLAIN {
            if let Some(value) = fields.get(field)
                && !plain.contains(&value.to_string().as_str())
            {
                let reason = format!("it is `{value}`, and only plain adapters are supported");
                return Err((field, reason));
            }
        }
        let config = Self {
            rank: number(fields, "r")?
                .as_u64()
                .and_then(|rank| usize::try_from(rank).ok())
                .ok_or_else(|| wrong(fields, "r", "a whole number"))?,
            alpha: number(fields, "lora_alpha")?
                .as_f64()
                .ok_or_else(|| wrong(fields, "lora_alpha", "a number"))?,
            targets: targets(fields)?,
            rank_stabilised: match fields.get("use_rslora") {
                None | Some(Value::Null) => false,
                Some(value) => value
                    .as_bool()
                    .ok_or_else(|| wrong(fields, "use_rslora", "true or false"))?,
            },
        };
        config.check().map_err(|(field, reason)| {
            let published = if field == "rank" { "r" } else { "lora_alpha" };
            (published, reason)
        })?;
        Ok(config)
    }
}

/// Fields that can ask for more than a low-rank product, and the values with which they do not.
const PLAIN: [(&str, &[&str]); 17] = [
    ("peft_type", &[r#""LORA""#]),
    ("alora_invocation_tokens", &["null"]),
    ("alpha_pattern", &["null", "{}"]),
    ("arrow_config", &["null"]),
    ("bias", &["null", r#""none""#]),
    ("fan_in_fan_out", &["null", "false"]),
    ("kasa_config", &["null"]),
    ("layer_replication", &["null"]),
    ("lora_bias", &["null", "false"]),
    ("monteclora_config", &["null"]),
    ("rank_pattern", &["null", "{}"]),
    ("target_parameters", &["null", "[]"]),
    ("trainable_token_indices", &["null"]),
    ("use_bdlora", &["null", "false"]),
    ("use_dora", &["null", "false"]),
    ("use_qalora", &["null", "false"]),
    ("velora_config", &["null"]),
];

fn number<'a>(
    fields: &'a Map<String, Value>,
    name: &'static str,
) -> Result<&'a Value, (&'static str, String)> {
    fields
        .get(name)
        .ok_or_else(|| (name, "it is missing".to_owned()))
}

fn wrong(
    fields: &Map<String, Value>,
    name: &'static str,
    expected: &str,
) -> (&'static str, String) {
    (
        name,
        format!("it is `{}`, expected {expected}", fields[name]),
    )
}

/// The ends of the layers' names, or the pattern for them.
fn targets(fields: &Map<String, Value>) -> Result<Vec<String>, (&'static str, String)> {
    let name = "target_modules";
    let expected = "a string or a list of strings";
    match fields.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(pattern)) => Ok(vec![pattern.clone()]),
        Some(Value::Array(list)) => list
            .iter()
            .map(|target| target.as_str().map(ToOwned::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| wrong(fields, name, expected)),
        Some(_) => Err(wrong(fields, name, expected)),
    }
}

/// A whole number without a point, which PEFT expects.
fn whole(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        json!(number as i64)
    } else {
        json!(number)
    }
}
