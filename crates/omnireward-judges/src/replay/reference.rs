use omnireward_core::{Order, Preference, Setting};
use serde_json::{Map, Value};

use super::{
    Recording,
    detect::{Asked, Source},
    index::{Content, Index, MadeOf, Recorded},
    json::parse,
};
use crate::{Answers, Error, error::RecordError};

const RAW: &str = "_raw_response";

/// Reads result arrays: each record is a sample with `predicted` and, under
/// `<model>_raw_response`, the reply.
pub(super) fn read(files: &[Source], asked: Asked<'_>) -> Result<Recording, Error> {
    let mut parsed = Vec::new();
    let mut models = Vec::new();
    for file in files {
        let records: Vec<Map<String, Value>> = parse(file)?;
        models.extend(records.iter().flat_map(models_of));
        parsed.push((file, records));
    }
    // Records that carry no reply name no model, and need none.
    let model = if models.is_empty() {
        asked.choose_nothing()?;
        None
    } else {
        Some(asked.choose(models)?)
    };
    let mut index = Index::default();
    for (file, records) in parsed {
        let origin = Origin::of(file);
        for (record, number) in records.into_iter().zip(1..) {
            let (id, recorded) = origin
                .recorded(&record, model.as_deref())
                .map_err(|error| error.at(&file.path, number))?;
            index.add(id, recorded);
        }
    }
    Ok(Recording {
        kind: "reference-results",
        index,
        answers: Answers::letters(),
    })
}

fn models_of(record: &Map<String, Value>) -> Vec<String> {
    let model = |field: &String| field.strip_suffix(RAW).map(str::to_owned);
    record.keys().filter_map(model).collect()
}

/// What the name of a result file says about its records.
struct Origin {
    setting: Setting,
    order: Order,
}

impl Origin {
    /// `…_with_tie` marks the setting. `…_inversed` marks replies to the pair in the other order;
    /// their `predicted` has been turned back.
    fn of(file: &Source) -> Self {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        Self {
            setting: if name.contains("_with_tie") {
                Setting::WithTies
            } else {
                Setting::WithoutTies
            },
            order: if name.contains("_inversed") {
                Order::Swapped
            } else {
                Order::AsIs
            },
        }
    }

    fn recorded(
        &self,
        record: &Map<String, Value>,
        model: Option<&str>,
    ) -> Result<(Option<String>, Recorded), RecordError> {
        let reply = model.and_then(|model| record.get(&format!("{model}{RAW}")));
        let content = match reply {
            Some(Value::String(reply)) => Content::Reply(reply.clone()),
            // The reference stores `null` for a request that never succeeded.
            Some(_) => Content::Reply(String::new()),
            None => Content::Preference(self.predicted(record)?),
        };
        let mut recorded = Recorded::new(content).in_order(self.order);
        recorded.setting = Some(self.setting);
        recorded.made_of = made_of(record);
        let id = match record.get("id") {
            Some(Value::String(id)) => Some(id.clone()),
            Some(Value::Number(id)) => Some(id.to_string()),
            _ => None,
        };
        if id.is_none() && recorded.made_of.is_none() {
            return Err(RecordError::Missing("id".to_owned()));
        }
        Ok((id, recorded))
    }

    /// `predicted`, in the order shown.
    fn predicted(&self, record: &Map<String, Value>) -> Result<Option<Preference>, RecordError> {
        let preference = match record.get("predicted") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(name)) if name == "response1" => Preference::First,
            Some(Value::String(name)) if name == "response2" => Preference::Second,
            Some(Value::String(name)) if name == "tie" => Preference::Tie,
            Some(other) => {
                let expected = "`response1`, `response2`, `tie` or null";
                return Err(RecordError::field("predicted", other, expected));
            }
        };
        Ok(Some(match self.order {
            Order::AsIs => preference,
            Order::Swapped => preference.swapped(),
        }))
    }
}

/// The reference's own key of a sample: prompt, criterion and responses.
fn made_of(record: &Map<String, Value>) -> Option<MadeOf> {
    let text = |field: &str| record.get(field).and_then(Value::as_str);
    let criterion = text("criteria").unwrap_or_default();
    Some(MadeOf::new(
        text("prompt")?,
        criterion,
        [text("response1")?, text("response2")?],
    ))
}
