//! Ratings of generated 3D objects: three people, 1 to 5, six generators a prompt.
//!
//! One JSON object a prompt: `id`, `prompt`, and `models`, the ratings by generator. Every two
//! generators make a pair; see [`ratings`](super::ratings). A pair's id is
//! `<id>/<model>_vs_<model>`, and pairs of one prompt share a group. The objects are not included.

use omnireward_core::{Modality, Part as ContentPart, PreferencePair, Response, Task};
use serde_json::{Map, Value};

use super::{
    Entry,
    entries::RawRow,
    ratings::{self, Item, Rated, Rating, TieRule},
    sketch::{Kind, Sketch},
    source::{self, Pairs, Source},
};
use crate::{Format, RowError, error::Fault, record::wrong_type};

pub(super) const ENTRY: Entry = Entry {
    format: Format::StanfordT23d,
    looked_for: "JSON lines with `id`, `prompt` and `models`, an object of ratings by model",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::T23D),
            Pairs::Varying,
            |source| source::rows(source, pairs),
        ))
    },
};

const CRITERION: &str = "How well the 3D object shows what the prompt asks for.";

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["id", "prompt"]) && sketch.holds("models", &[Kind::Object])
}

fn pairs(
    source: &Source,
    RawRow { mut record, .. }: RawRow,
) -> Result<impl Iterator<Item = PreferencePair> + Send + use<>, Fault> {
    let own = source::id_of(&mut record, "id")?;
    let prompt = vec![ContentPart::Text(record.text("prompt")?)];
    let mut rated = Vec::new();
    for (model, ratings) in source::object(&mut record, "models")? {
        let object = source::absent(format!("{model}/{own}"), Modality::Mesh);
        rated.push(Rated {
            rating: rating(&ratings).map_err(|error| error.in_field(format!("models.{model}")))?,
            response: Response::media(object).by(model.as_str()),
            key: model,
            details: Map::from_iter([("ratings".to_owned(), ratings)]),
        });
    }
    let item = Item {
        id: source.id(own),
        task: Task::T23D,
        group: source::prompt_group(&prompt),
        prompt,
        criterion: CRITERION.to_owned(),
        source: "stanford-t23d".to_owned(),
        extra: source::extra(record),
    };
    ratings::pairs(item, rated, TieRule::EqualMeans).map_err(|error| error.in_field("models"))
}

fn rating(ratings: &Value) -> Result<Rating, RowError> {
    let items = ratings
        .as_array()
        .ok_or_else(|| wrong_type("a list", ratings))?;
    Rating::mean_of(&source::numbers_in(items)?)
        .ok_or_else(|| RowError::Inconsistent("no ratings".to_owned()))
}
