//! Answers that were rated in several aspects, as UltraFeedback and VLFeedback keep them.
//!
//! An answer's rating is the mean of the `Rating`s of its aspects, as the owners of VLFeedback compare answers. Ratings
//! are numbers, or numbers in strings; an answer with a rating that is no number (`N/A`) was not rated, makes no pairs,
//! and is named under `unrated` in the `extra` of the others. A record with fewer than two rated answers is refused.

use omnireward_core::Response;
use serde_json::{Map, Value};

use super::ratings::{Rated, Rating};
use crate::{
    RowError,
    error::Fault,
    record::{Record, wrong_type},
};

/// The rated answers of a record.
#[derive(Debug)]
pub(super) struct Completions {
    pub(super) responses: Vec<Rated>,
    /// The models whose answers were not rated, or their positions.
    pub(super) unrated: Vec<String>,
}

/// Takes the answers from `completions`.
pub(super) fn rated(record: &mut Record) -> Result<Completions, Fault> {
    const FIELD: &str = "completions";
    let completions = objects(record.value(FIELD)?).map_err(|error| error.in_field(FIELD))?;
    let mut found = Completions {
        responses: Vec::new(),
        unrated: Vec::new(),
    };
    for (position, completion) in completions.into_iter().enumerate() {
        let inside = |fault: Fault| Fault {
            field: Some(match fault.field {
                Some(field) => format!("{FIELD}[{position}].{field}"),
                None => format!("{FIELD}[{position}]"),
            }),
            source: fault.source,
        };
        let mut completion = Record::new(completion).map_err(inside)?;
        let response = completion.text("response").map_err(inside)?;
        let model = completion.optional_text("model").map_err(inside)?;
        match rating(&mut completion).map_err(inside)? {
            Some(rating) => found.responses.push(Rated {
                key: position.to_string(),
                response: Response {
                    model,
                    ..Response::text(response)
                },
                rating,
                details: completion.into_extra(),
            }),
            None => found
                .unrated
                .push(model.unwrap_or_else(|| position.to_string())),
        }
    }
    if found.responses.len() < 2 {
        let (rated, unrated) = (found.responses.len(), found.unrated.len());
        let reason = format!("{rated} answers with a rating in every aspect, {unrated} without");
        return Err(RowError::Inconsistent(reason).in_field(FIELD));
    }
    Ok(found)
}

/// The answers one by one. Tables made by the `datasets` library hold the fields of a list of objects as lists.
fn objects(value: Value) -> Result<Vec<Value>, RowError> {
    let columns = match value {
        Value::Array(items) => return Ok(items),
        Value::Object(columns) => columns,
        other => return Err(wrong_type("a list", &other)),
    };
    let mut rows: Vec<Map<String, Value>> = Vec::new();
    for (name, column) in columns {
        let Value::Array(cells) = column else {
            return Err(wrong_type("a list", &column));
        };
        if rows.is_empty() {
            rows.resize_with(cells.len(), Map::new);
        }
        if rows.len() != cells.len() {
            let reason = format!(
                "{} values of `{name}` for {} answers",
                cells.len(),
                rows.len()
            );
            return Err(RowError::Inconsistent(reason));
        }
        for (row, cell) in rows.iter_mut().zip(cells) {
            row.insert(name.clone(), cell);
        }
    }
    Ok(rows.into_iter().map(Value::Object).collect())
}

/// The mean over the aspects; `None` when one of them has no number, or there is none.
fn rating(completion: &mut Record) -> Result<Option<Rating>, Fault> {
    let annotations = match completion.get("annotations") {
        Some(Value::Object(annotations)) => annotations,
        Some(other) => return Err(wrong_type("an object", other).in_field("annotations")),
        None => return Err(RowError::Missing.in_field("annotations")),
    };
    let mut ratings = Vec::with_capacity(annotations.len());
    for (aspect, annotation) in annotations {
        let rating = annotation
            .get("Rating")
            .ok_or_else(|| RowError::Missing.in_field(format!("annotations.{aspect}.Rating")))?;
        match number(rating) {
            Some(rating) => ratings.push(rating),
            None => return Ok(None),
        }
    }
    Ok(Rating::mean_of(&ratings).map(|rating| Rating::of(rating.mean)))
}

fn number(rating: &Value) -> Option<f64> {
    match rating {
        Value::String(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite()),
        other => other.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn completion(model: &str, ratings: [Value; 2]) -> Value {
        let [one, two] = ratings.map(|rating| json!({"Rating": rating, "Rationale": "r"}));
        json!({"model": model, "response": model, "annotations": {"one": one, "two": two}, "other": 1})
    }

    fn rated_of(completions: Value) -> Result<Completions, Fault> {
        rated(&mut Record::new(json!({"completions": completions})).unwrap())
    }

    #[test]
    fn the_rating_is_the_mean_over_aspects() {
        let found = rated_of(json!([
            completion("a", [json!("2"), json!(4)]),
            completion("b", [json!("5"), json!("N/A")]),
            completion("c", [json!("1"), json!("1.5")]),
        ]))
        .unwrap();
        let means: Vec<f64> = found
            .responses
            .iter()
            .map(|rated| rated.rating.mean)
            .collect();
        assert_eq!(means, [3.0, 1.25]);
        assert_eq!(found.responses[1].key, "2");
        assert_eq!(found.unrated, ["b"]);
        assert!(found.responses[0].details.contains_key("annotations"));
    }

    #[test]
    fn lists_of_fields_are_turned_into_answers() {
        let one = completion("a", [json!("1"), json!("1")]);
        let two = completion("b", [json!("2"), json!("1")]);
        let columns = json!({
            "annotations": [one["annotations"], two["annotations"]],
            "model": ["a", "b"], "response": ["a", "b"], "other": [1, 1],
        });
        let (rows, columns) = (
            rated_of(json!([one, two])).unwrap(),
            rated_of(columns).unwrap(),
        );
        for (row, column) in rows.responses.iter().zip(&columns.responses) {
            assert_eq!(row.response, column.response);
            assert_eq!(row.rating, column.rating);
            assert_eq!(row.details, column.details);
        }
        let uneven = rated_of(json!({"model": ["a"], "response": ["a", "b"]})).unwrap_err();
        assert!(
            uneven
                .source
                .to_string()
                .contains("2 values of `response` for 1 answers")
        );
    }

    #[test]
    fn what_is_missing_is_named_with_its_place() {
        let mut broken = completion("a", [json!("1"), json!("1")]);
        broken["annotations"]["two"] = json!({});
        let fault = rated_of(json!([broken])).err().unwrap();
        assert_eq!(
            fault.field.as_deref(),
            Some("completions[0].annotations.two.Rating")
        );
        let alone = rated_of(json!([completion("a", [json!("1"), json!("1")])]))
            .err()
            .unwrap();
        assert!(alone.source.to_string().contains("1 answers"));
    }
}
