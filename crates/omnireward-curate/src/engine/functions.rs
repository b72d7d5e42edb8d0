//! The functions that plans use, by name. Each is pure and knows its settings from its arguments, so that it is the same
//! wherever it runs.

use std::{fs::File, io::Read, path::Path, sync::Arc};

use datafusion::{
    arrow::{
        array::{
            Array, ArrayRef, AsArray, Float64Array, ListArray, ListBuilder, StringArray,
            StringBuilder, StructArray, UInt64Array, UInt64Builder,
        },
        datatypes::{DataType, Field, Fields, UInt64Type},
    },
    error::Result,
    logical_expr::{
        ColumnarValue, ScalarFunctionImplementation, ScalarUDF, Volatility, create_udf,
    },
};
use omnireward_core::{MediaRef, MediaSource, Modality, error_chain};
use omnireward_media::Limits;
use rayon::prelude::*;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{
    signature::{
        self,
        text::{self, MinHasher, TextSettings, combined, mixed},
    },
    table::hex,
};

/// Every function.
pub(crate) fn all() -> Vec<ScalarUDF> {
    vec![
        row_exact(),
        row_keys(),
        row_similarity(),
        part_keys(),
        part_similarity(),
        media_hash(),
        draw(),
        cluster(),
        word_count(),
        scene(),
        preferred(),
        raters(),
    ]
}

/// A list of strings, as tables hold responses.
pub(crate) fn texts_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))
}

fn numbers_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::UInt64, true)))
}

fn function(
    name: &str,
    arguments: Vec<DataType>,
    result: DataType,
    evaluate: impl Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync + 'static,
) -> ScalarUDF {
    let implementation: ScalarFunctionImplementation = Arc::new(move |arguments| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        Ok(ColumnarValue::Array(evaluate(&arrays)?))
    });
    create_udf(
        name,
        arguments,
        result,
        Volatility::Immutable,
        implementation,
    )
}

/// `row_exact(task, criterion, prompt, responses)`: the same for rows whose words are the same, in either order of the
/// responses.
fn row_exact() -> ScalarUDF {
    let arguments = vec![DataType::Utf8, DataType::Utf8, DataType::Utf8, texts_type()];
    function("row_exact", arguments, DataType::UInt64, |columns| {
        let [tasks, criteria, prompts] = [0, 1, 2].map(|index| columns[index].as_string::<i32>());
        let rows = (0..tasks.len()).map(|row| {
            let mut responses: Vec<u64> = texts_at(&columns[3], row)
                .iter()
                .map(|text| text::exact_hash(text))
                .collect();
            responses.sort_unstable();
            let start = combined(
                domain(tasks, criteria, row),
                text::exact_hash(prompts.value(row)),
            );
            mixed(responses.into_iter().fold(start, combined))
        });
        Ok(Arc::new(UInt64Array::from_iter_values(rows)))
    })
}

/// Rows of different tasks or criteria are never duplicates.
fn domain(tasks: &StringArray, criteria: &StringArray, row: usize) -> u64 {
    let criterion = (!criteria.is_null(row)).then(|| text::exact_hash(criteria.value(row)));
    combined(text::exact_hash(tasks.value(row)), criterion.unwrap_or(0))
}

/// `row_keys(task, criterion, prompt, responses, shingle_words, bands, rows)`: the domain of the row, then one key a
/// band; the domain alone for a row without words.
fn row_keys() -> ScalarUDF {
    let arguments = with_settings(vec![
        DataType::Utf8,
        DataType::Utf8,
        DataType::Utf8,
        texts_type(),
    ]);
    function("row_keys", arguments, numbers_type(), |columns| {
        let hasher = Hasher::from_arguments(&columns[4..]);
        let [tasks, criteria, prompts] = [0, 1, 2].map(|index| columns[index].as_string::<i32>());
        let keys = numbers(tasks.len(), |row, keys| {
            let responses = texts_at(&columns[3], row);
            let domain = domain(tasks, criteria, row);
            let texts =
                std::iter::once(prompts.value(row)).chain(responses.iter().map(String::as_str));
            keys.push(domain);
            keys.extend(hasher.keys(texts, domain));
        });
        Ok(keys)
    })
}

/// `row_similarity(prompt, responses, prompt, responses, shingle_words)`: how alike the texts of two rows are, from 0 to 1.
fn row_similarity() -> ScalarUDF {
    let arguments = vec![
        DataType::Utf8,
        texts_type(),
        DataType::Utf8,
        texts_type(),
        DataType::UInt64,
    ];
    function("row_similarity", arguments, DataType::Float64, |columns| {
        let [first, second] = [0, 2].map(|index| columns[index].as_string::<i32>());
        let shingle_words = columns[4].as_primitive::<UInt64Type>();
        let rows = (0..first.len()).map(|row| {
            let [a, b] = [(first, 1), (second, 3)].map(|(prompts, responses)| text::RowTexts {
                prompt: prompts.value(row).to_owned(),
                responses: texts_at(&columns[responses], row),
            });
            text::row_similarity(&a, &b, shingle_words.value(row) as usize)
        });
        Ok(Arc::new(Float64Array::from_iter_values(rows)))
    })
}

/// `part_keys(prompt, responses, least_words, shingle_words, bands, rows)`: for the prompt and each response in turn, the
/// hash of its words and one key a band; zeros for a text of fewer words than `least_words`.
fn part_keys() -> ScalarUDF {
    let arguments = with_settings(vec![DataType::Utf8, texts_type(), DataType::UInt64]);
    function("part_keys", arguments, numbers_type(), |columns| {
        let hasher = Hasher::from_arguments(&columns[3..]);
        let prompts = columns[0].as_string::<i32>();
        let least_words = columns[2].as_primitive::<UInt64Type>();
        let keys = numbers(prompts.len(), |row, keys| {
            let responses = texts_at(&columns[1], row);
            let parts =
                std::iter::once(prompts.value(row)).chain(responses.iter().map(String::as_str));
            for part in parts {
                if (text::word_count(part) as u64) < least_words.value(row) {
                    keys.extend(std::iter::repeat_n(0, hasher.bands + 1));
                } else {
                    keys.push(text::exact_hash(part));
                    keys.extend(hasher.keys([part], 0));
                }
            }
        });
        Ok(keys)
    })
}

/// `part_similarity(prompt, responses, place, prompt, responses, place, shingle_words)`: the Jaccard similarity of one
/// part of each row; place 0 is the prompt, 1 the first response.
fn part_similarity() -> ScalarUDF {
    let side = [DataType::Utf8, texts_type(), DataType::UInt64];
    let arguments = side
        .iter()
        .cloned()
        .chain(side.clone())
        .chain([DataType::UInt64])
        .collect();
    function("part_similarity", arguments, DataType::Float64, |columns| {
        let shingle_words = columns[6].as_primitive::<UInt64Type>();
        let rows = (0..shingle_words.len()).map(|row| {
            let words = shingle_words.value(row) as usize;
            let [a, b] = [0, 3]
                .map(|start| text::shingles([part_at(&columns[start..], row).as_str()], words));
            text::jaccard(&a, &b)
        });
        Ok(Arc::new(Float64Array::from_iter_values(rows)))
    })
}

/// The text at the place that three columns name.
fn part_at(columns: &[ArrayRef], row: usize) -> String {
    let place = columns[2].as_primitive::<UInt64Type>().value(row) as usize;
    if place == 0 {
        return columns[0].as_string::<i32>().value(row).to_owned();
    }
    texts_at(&columns[1], row)
        .into_iter()
        .nth(place - 1)
        .unwrap_or_default()
}

/// The fields of what `media_hash` returns.
pub(crate) fn media_hash_fields() -> Fields {
    Fields::from(vec![
        Field::new("sha256", DataType::Utf8, true),
        Field::new("words", numbers_type(), true),
        Field::new("fault", DataType::Utf8, true),
    ])
}

/// `media_hash(modality, path)`: the SHA-256 of the file, its perceptual hash, and why there is none.
fn media_hash() -> ScalarUDF {
    let arguments = vec![DataType::Utf8, DataType::Utf8];
    let result = DataType::Struct(media_hash_fields());
    function("media_hash", arguments, result, |columns| {
        let [modalities, paths] = [0, 1].map(|index| columns[index].as_string::<i32>());
        let (mut hashes, mut faults) = (StringBuilder::new(), StringBuilder::new());
        let mut words = ListBuilder::new(UInt64Builder::new());
        // A batch is all that there is to do for a while, and decoding takes long.
        let media: Vec<HashedMedium> = (0..paths.len())
            .into_par_iter()
            .map(|row| {
                if paths.is_null(row) {
                    // It is elsewhere, or nowhere: there is nothing to hash.
                    HashedMedium::default()
                } else {
                    HashedMedium::read(modalities.value(row), Path::new(paths.value(row)))
                }
            })
            .collect();
        for medium in media {
            hashes.append_option(medium.sha256);
            faults.append_option(medium.fault);
            words.values().append_slice(&medium.words);
            words.append(true);
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(hashes.finish()),
            Arc::new(words.finish()),
            Arc::new(faults.finish()),
        ];
        Ok(Arc::new(StructArray::try_new(
            media_hash_fields(),
            columns,
            None,
        )?))
    })
}

#[derive(Default)]
struct HashedMedium {
    sha256: Option<String>,
    words: Vec<u64>,
    fault: Option<String>,
}

impl HashedMedium {
    fn read(modality: &str, path: &Path) -> Self {
        let Some(modality) = modality_named(modality) else {
            return Self::default();
        };
        let limits = Limits::default();
        let source = MediaSource::File {
            path: path.to_owned(),
            name: path.to_string_lossy().into_owned(),
        };
        let bytes = match omnireward_media::read(&MediaRef { modality, source }, &limits) {
            Ok(bytes) => bytes,
            Err(error) => {
                return Self {
                    // A file that is too large to be decoded can still be the same as another.
                    sha256: error.is_limit().then(|| file_hash(path)).flatten(),
                    fault: Some(error_chain(&error)),
                    ..Self::default()
                };
            }
        };
        let sha256 = Some(hex(&Sha256::digest(&bytes)));
        match signature::of_modality(modality).map(|signature| signature.words(&bytes, &limits)) {
            None => Self {
                sha256,
                ..Self::default()
            },
            Some(Ok(words)) => Self {
                sha256,
                words,
                fault: None,
            },
            Some(Err(error)) => Self {
                sha256,
                fault: Some(error_chain(&error)),
                ..Self::default()
            },
        }
    }
}

fn file_hash(path: &Path) -> Option<String> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path).ok()?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(hex(&hasher.finalize())),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// The modality of a name.
pub(crate) fn modality_named(name: &str) -> Option<Modality> {
    use Modality::{Audio, Image, Mesh, Text, Video};
    [Text, Image, Video, Audio, Mesh]
        .into_iter()
        .find(|modality| modality.name() == name)
}

/// `draw(seed, row)`: a number that looks random and follows from both; rows with the least numbers are a sample.
fn draw() -> ScalarUDF {
    let arguments = vec![DataType::UInt64, DataType::UInt64];
    function("draw", arguments, DataType::UInt64, |columns| {
        let [seeds, rows] = [0, 1].map(|index| columns[index].as_primitive::<UInt64Type>());
        let drawn = seeds
            .values()
            .iter()
            .zip(rows.values())
            .map(|(&seed, &row)| mixed(combined(mixed(seed), row)));
        Ok(Arc::new(UInt64Array::from_iter_values(drawn)))
    })
}

/// `cluster(group, id)`: the group, or the id in its place; a group and an id of one name are kept apart.
fn cluster() -> ScalarUDF {
    let arguments = vec![DataType::Utf8, DataType::Utf8];
    function("cluster", arguments, DataType::Utf8, |columns| {
        let [groups, ids] = [0, 1].map(|index| columns[index].as_string::<i32>());
        let names = groups.iter().zip(ids).map(|(group, id)| match group {
            Some(group) => format!("group {group}"),
            None => format!("id {}", id.unwrap_or_default()),
        });
        Ok(Arc::new(StringArray::from_iter_values(names)))
    })
}

/// `word_count(text)`: its words; 0 for null.
fn word_count() -> ScalarUDF {
    function(
        "word_count",
        vec![DataType::Utf8],
        DataType::UInt64,
        |columns| {
            let texts = columns[0].as_string::<i32>();
            let counts = texts
                .iter()
                .map(|text| text.map_or(0, text::word_count) as u64);
            Ok(Arc::new(UInt64Array::from_iter_values(counts)))
        },
    )
}

/// `scene(pair)`: the same for records of the same prompt and responses, in either order of the responses.
fn scene() -> ScalarUDF {
    function("scene", vec![DataType::Utf8], DataType::UInt64, |columns| {
        let records = columns[0].as_string::<i32>();
        let scenes = records.iter().map(|record| {
            let record = fields_of(record);
            let mut responses = response_hashes(&record);
            responses.sort_unstable();
            mixed(
                responses
                    .into_iter()
                    .fold(content_hash(&record, "prompt"), combined),
            )
        });
        Ok(Arc::new(UInt64Array::from_iter_values(scenes)))
    })
}

/// `preferred(pair, label)`: a hash of the response that is preferred; null for a tie, and without a label.
fn preferred() -> ScalarUDF {
    let arguments = vec![DataType::Utf8, DataType::Utf8];
    function("preferred", arguments, DataType::UInt64, |columns| {
        let [records, labels] = [0, 1].map(|index| columns[index].as_string::<i32>());
        let hashes = records.iter().zip(labels).map(|(record, label)| {
            let place = match label? {
                "first" => 0,
                "second" => 1,
                _ => return None,
            };
            response_hashes(&fields_of(record)).get(place).copied()
        });
        Ok(Arc::new(hashes.collect::<UInt64Array>()))
    })
}

/// The fields of a record; none where there is no record.
fn fields_of(record: Option<&str>) -> Map<String, Value> {
    record
        .and_then(|record| serde_json::from_str(record).ok())
        .unwrap_or_default()
}

fn response_hashes(record: &Map<String, Value>) -> Vec<u64> {
    let responses = record.get("responses").and_then(Value::as_array);
    responses.map_or_else(Vec::new, |responses| {
        responses.iter().map(value_hash).collect()
    })
}

fn content_hash(record: &Map<String, Value>, field: &str) -> u64 {
    record.get(field).map_or(0, value_hash)
}

/// A hash of words, or of words and the names of media.
fn value_hash(content: &Value) -> u64 {
    match content {
        Value::String(text) => text::exact_hash(text),
        parts => text::exact_hash(&parts.to_string()),
    }
}

/// `raters(pair)`: what a record says of its raters, as JSON; null when it says nothing.
fn raters() -> ScalarUDF {
    function("raters", vec![DataType::Utf8], DataType::Utf8, |columns| {
        let records = columns[0].as_string::<i32>();
        Ok(Arc::new(
            records
                .iter()
                .map(|record| record.and_then(raters_in))
                .collect::<StringArray>(),
        ))
    })
}

fn raters_in(record: &str) -> Option<String> {
    // Few sets have raters, and a look for the names is much cheaper than reading the record.
    if !record.contains("\"votes\"") && !record.contains("\"ratings\"") {
        return None;
    }
    let fields: Map<String, Value> = serde_json::from_str(record).ok()?;
    let told: Map<String, Value> = fields
        .into_iter()
        .filter(|(name, _)| name == "build" || name == "ratings")
        .collect();
    (!told.is_empty()).then(|| Value::Object(told).to_string())
}

/// A hasher of texts, with the settings that are the last three arguments.
struct Hasher {
    shingle_words: usize,
    bands: usize,
    min_hashes: Option<MinHasher>,
}

fn with_settings(mut arguments: Vec<DataType>) -> Vec<DataType> {
    arguments.extend([DataType::UInt64, DataType::UInt64, DataType::UInt64]);
    arguments
}

impl Hasher {
    fn from_arguments(columns: &[ArrayRef]) -> Self {
        let values = [0, 1, 2].map(|index| {
            let column = columns[index].as_primitive::<UInt64Type>();
            (!column.is_empty()).then(|| column.value(0) as usize)
        });
        let [shingle_words, bands, rows] = values.map(Option::unwrap_or_default);
        let settings = TextSettings {
            shingle_words,
            bands,
            rows,
        };
        Self {
            shingle_words,
            bands,
            min_hashes: (rows > 0).then(|| MinHasher::new(settings)),
        }
    }

    fn keys<'a>(&self, texts: impl IntoIterator<Item = &'a str>, domain: u64) -> Vec<u64> {
        let shingles = text::shingles(texts, self.shingle_words);
        self.min_hashes
            .as_ref()
            .map_or_else(Vec::new, |hasher| hasher.keys(&shingles, domain))
    }
}

/// The strings of a list; nulls are empty.
fn texts_at(column: &ArrayRef, row: usize) -> Vec<String> {
    let lists: &ListArray = column.as_list::<i32>();
    if lists.is_null(row) {
        return Vec::new();
    }
    let items = lists.value(row);
    let items = items.as_string::<i32>();
    items
        .iter()
        .map(|text| text.unwrap_or_default().to_owned())
        .collect()
}

/// A column of lists, each filled by `fill`.
fn numbers(rows: usize, fill: impl Fn(usize, &mut Vec<u64>)) -> ArrayRef {
    let mut lists = ListBuilder::new(UInt64Builder::new());
    let mut values = Vec::new();
    for row in 0..rows {
        values.clear();
        fill(row, &mut values);
        lists.values().append_slice(&values);
        lists.append(true);
    }
    Arc::new(lists.finish())
}
