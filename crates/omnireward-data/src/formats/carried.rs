//! What a trainer's form has no column for, carried along in a column of its own.
//!
//! The column [`COLUMN`] holds JSON text: the pair's `id`, `task`, `label`, `criterion`, `source`, `group`, `models` and
//! `extra`, and the parts of `prompt` and `responses` where the form does not keep them apart (words as strings, media as
//! `{"type": …}`). Trainers ignore a column that they do not know; our readers put everything back. A single column of
//! text has the same type in every row, whatever the rows carry.

use omnireward_core::{MediaRef, Part as ContentPart, Preference, PreferencePair};
use serde_json::{Map, Value, json};

use super::turns;
use crate::{
    RowError,
    error::Fault,
    record::{Record, text_of, unknown_value, wrong_type},
};

/// The column's name.
pub(crate) const COLUMN: &str = "omnireward";

/// The text of the column for a pair, of whose parts the form gives back `prompt`, and `responses` in the pair's order.
pub(crate) fn text(
    pair: &PreferencePair,
    prompt: &[ContentPart],
    responses: &[Vec<ContentPart>],
) -> Value {
    let mut carried = Map::new();
    let mut put = |field: &str, value: Value| carried.insert(field.to_owned(), value);
    put("id", json!(pair.id));
    put("task", json!(pair.task));
    put("label", json!(pair.label));
    for (field, value) in [
        ("criterion", pair.criterion.as_deref()),
        ("source", pair.source.as_deref()),
        ("group", pair.group.as_deref()),
    ] {
        if let Some(value) = value {
            put(field, json!(value));
        }
    }
    let models: Vec<_> = pair
        .responses
        .iter()
        .map(|response| &response.model)
        .collect();
    if models.iter().any(|model| model.is_some()) {
        put("models", json!(models));
    }
    if shape(&pair.prompt) != shape(prompt) {
        put("prompt", shape(&pair.prompt));
    }
    let shapes: Vec<Value> = pair.responses.iter().map(|one| shape(&one.parts)).collect();
    if shapes
        != responses
            .iter()
            .map(|parts| shape(parts))
            .collect::<Vec<_>>()
    {
        put("responses", json!(shapes));
    }
    let extra: Map<String, Value> = pair
        .extra
        .iter()
        .filter(|(field, _)| *field != turns::TURNS)
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    if !extra.is_empty() {
        put("extra", Value::Object(extra));
    }
    Value::from(Value::Object(carried).to_string())
}

/// Parts without their media's places.
fn shape(parts: &[ContentPart]) -> Value {
    parts
        .iter()
        .map(|part| match part {
            ContentPart::Text(text) => json!(text),
            ContentPart::Media(medium) => json!({"type": medium.modality}),
        })
        .collect()
}

/// What the column of a record carries.
#[derive(Debug)]
pub(crate) struct Carried(Record);

impl Carried {
    /// Takes the column from a record; `None` when there is none.
    pub(crate) fn take(record: &mut Record) -> Result<Option<Self>, Fault> {
        let Some(text) = record.optional_text(COLUMN)? else {
            return Ok(None);
        };
        let value =
            serde_json::from_str(&text).map_err(|error| RowError::Json(error).in_field(COLUMN))?;
        Record::new(value).map(Self).map(Some).map_err(inside)
    }

    /// The wording of the criterion.
    pub(crate) fn criterion(&self) -> Option<&str> {
        self.0.get("criterion").and_then(Value::as_str)
    }

    /// The mapping.
    pub(crate) fn task(&self) -> Option<omnireward_core::Task> {
        self.0.get("task")?.as_str()?.parse().ok()
    }

    /// Puts everything back into a pair that was read with the preferred response first.
    pub(crate) fn restore(mut self, pair: &mut PreferencePair) -> Result<(), Fault> {
        self.put_back(pair).map_err(inside)
    }

    fn put_back(&mut self, pair: &mut PreferencePair) -> Result<(), Fault> {
        let Self(record) = self;
        pair.id = record.text("id")?;
        let task = record.text("task")?;
        pair.task = task
            .parse()
            .map_err(|error| RowError::from(error).in_field("task"))?;
        let label = record.text("label")?;
        let label: Preference = label
            .parse()
            .map_err(|_| unknown_value(&label, "first, second, tie").in_field("label"))?;
        if label == Preference::Second {
            pair.responses.reverse();
        }
        pair.label = Some(label);
        pair.criterion = record
            .optional_text("criterion")?
            .and_then(omnireward_core::Criterion::new);
        pair.source = record.optional_text("source")?;
        pair.group = record.optional_text("group")?;
        models(record, pair)?;
        if let Some(shape) = record.take("prompt") {
            reshape(&mut pair.prompt, shape).map_err(|error| error.in_field("prompt"))?;
        }
        if let Some(shapes) = record.take("responses") {
            let Value::Array(shapes) = shapes else {
                return Err(wrong_type("a list", &shapes).in_field("responses"));
            };
            for (response, shape) in pair.responses.iter_mut().zip(shapes) {
                reshape(&mut response.parts, shape).map_err(|error| error.in_field("responses"))?;
            }
        }
        let turns = pair.extra.shift_remove(turns::TURNS);
        pair.extra = match record.take("extra") {
            Some(Value::Object(extra)) => extra,
            Some(other) => return Err(wrong_type("an object", &other).in_field("extra")),
            None => Map::new(),
        };
        pair.extra
            .extend(turns.map(|turns| (turns::TURNS.to_owned(), turns)));
        Ok(())
    }
}

fn models(record: &mut Record, pair: &mut PreferencePair) -> Result<(), Fault> {
    let models = match record.take("models") {
        Some(Value::Array(models)) => models,
        Some(other) => return Err(wrong_type("a list", &other).in_field("models")),
        None => return Ok(()),
    };
    for (response, model) in pair.responses.iter_mut().zip(models) {
        response.model = match model {
            Value::Null => None,
            name => Some(text_of(name).map_err(|error| error.in_field("models"))?),
        };
    }
    Ok(())
}

/// Gives parts a shape, their media in the order in which they stood.
fn reshape(parts: &mut Vec<ContentPart>, shape: Value) -> Result<(), RowError> {
    let Value::Array(shape) = shape else {
        return Err(wrong_type("a list", &shape));
    };
    let media: Vec<MediaRef> = parts
        .iter()
        .filter_map(ContentPart::as_media)
        .cloned()
        .collect();
    let mut waiting = media.into_iter();
    let misfit = || {
        RowError::Inconsistent("the row holds other media than it carries places for".to_owned())
    };
    let mut shaped = Vec::with_capacity(shape.len());
    for item in shape {
        shaped.push(match item {
            Value::String(text) => ContentPart::Text(text),
            place => {
                let medium = waiting.next().ok_or_else(misfit)?;
                if place.get("type").and_then(Value::as_str) != Some(medium.modality.name()) {
                    return Err(misfit());
                }
                ContentPart::Media(medium)
            }
        });
    }
    if waiting.next().is_some() {
        return Err(misfit());
    }
    *parts = shaped;
    Ok(())
}

fn inside(fault: Fault) -> Fault {
    Fault {
        field: Some(match fault.field {
            Some(field) => format!("{COLUMN}.{field}"),
            None => COLUMN.to_owned(),
        }),
        ..fault
    }
}

#[cfg(test)]
mod tests {
    use omnireward_core::{Modality, Response, Task};

    use super::*;
    use crate::formats::source;

    fn picture(name: &str) -> ContentPart {
        ContentPart::Media(source::absent(name, Modality::Image))
    }

    fn pair() -> PreferencePair {
        let answers = [
            Response {
                parts: vec!["a".into(), "b".into()],
                model: Some("m".to_owned()),
            },
            Response::text("c"),
        ];
        let mut pair = PreferencePair::new("x/1", Task::TI2T, "", answers)
            .with_label(Preference::Second)
            .with_criterion("c");
        pair.prompt = vec!["see".into(), picture("p"), "and".into(), "say".into()];
        pair.source = Some("set".to_owned());
        pair.group = Some("g".to_owned());
        pair.extra
            .insert("n".to_owned(), json!({"deep": [1, null]}));
        pair
    }

    /// A pair as a form gives it back: words joined, the preferred response first.
    fn flattened(pair: &PreferencePair) -> PreferencePair {
        let mut flat = PreferencePair::new(
            "set/0",
            Task::T2T,
            "",
            [Response::text("c"), Response::text("a\nb")],
        )
        .with_label(Preference::First);
        flat.prompt = super::super::laid::retagged(&pair.prompt);
        flat.extra.insert("left".to_owned(), json!("over"));
        flat
    }

    fn column(pair: &PreferencePair) -> Value {
        let responses = [vec!["a\nb".into()], vec!["c".into()]];
        text(
            pair,
            &super::super::laid::retagged(&pair.prompt),
            &responses,
        )
    }

    #[test]
    fn everything_comes_back() {
        let pair = pair();
        let mut record = Record::new(json!({ COLUMN: column(&pair) })).unwrap();
        let carried = Carried::take(&mut record).unwrap().unwrap();
        assert_eq!(carried.criterion(), Some("c"));
        assert_eq!(carried.task(), Some(Task::TI2T));
        let mut flat = flattened(&pair);
        carried.restore(&mut flat).unwrap();
        assert_eq!(flat, pair);
    }

    #[test]
    fn media_that_were_changed_meanwhile_are_noticed() {
        let pair = pair();
        for prompt in [
            vec!["see".into()],
            vec![picture("p"), picture("q"), "see".into()],
        ] {
            let mut record = Record::new(json!({ COLUMN: column(&pair) })).unwrap();
            let mut flat = flattened(&pair);
            flat.prompt = prompt;
            let carried = Carried::take(&mut record).unwrap().unwrap();
            let fault = carried.restore(&mut flat).unwrap_err();
            assert_eq!(fault.field.as_deref(), Some("omnireward.prompt"));
        }
    }

    #[test]
    fn a_column_that_is_not_ours_is_refused_by_name() {
        for broken in [json!("{"), json!("[]"), json!(1), json!("{\"id\": \"x\"}")] {
            let mut record = Record::new(json!({ COLUMN: broken })).unwrap();
            let fault = match Carried::take(&mut record) {
                Ok(carried) => carried.unwrap().restore(&mut pair()).unwrap_err(),
                Err(fault) => fault,
            };
            assert!(fault.field.unwrap().starts_with(COLUMN));
        }
    }
}
