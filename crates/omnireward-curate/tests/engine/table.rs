use omnireward_core::{MediaSource, Part, PreferencePair, Task};
use omnireward_curate::table::{MediaMode, TableConfig, TableWriter};
use omnireward_data::{Format, OpenOptions, open};
use omnireward_testkit::{pairs, real_data};
use serde_json::json;

use super::read;

fn write_table(
    folder: &std::path::Path,
    pairs: &[PreferencePair],
    rows: usize,
    media: MediaMode,
) -> usize {
    let mut writer = TableWriter::create(folder, TableConfig { rows, media }).unwrap();
    for pair in pairs {
        writer.push(pair).unwrap();
    }
    let written = writer.finish().unwrap();
    assert_eq!(
        (written.rows, written.missing_media),
        (pairs.len() as u64, 0)
    );
    written.files.len()
}

/// A pair without the places of its media, and their bytes.
fn told_apart(pair: &PreferencePair) -> (PreferencePair, Vec<Vec<u8>>) {
    let mut pair = pair.clone();
    let mut bytes = Vec::new();
    let responses = pair
        .responses
        .iter_mut()
        .map(|response| &mut response.parts);
    for part in std::iter::once(&mut pair.prompt).chain(responses).flatten() {
        let Part::Media(medium) = part else { continue };
        if let MediaSource::File { name, .. }
        | MediaSource::Bytes {
            name: Some(name), ..
        } = &medium.source
        {
            let name = name.clone();
            let limits = omnireward_media::Limits::default();
            bytes.push(omnireward_media::read(medium, &limits).unwrap().to_vec());
            medium.source = MediaSource::Absent { name };
        }
    }
    (pair, bytes)
}

fn varied() -> Vec<PreferencePair> {
    let mut all: Vec<PreferencePair> = (0..3).flat_map(pairs::nine_tasks).collect();
    let extra = json!({"odd": [1, {"a": null}], "wide": 1.5e300});
    extra.as_object().unwrap().clone_into(&mut all[0].extra);
    all[1].group = Some("g".to_owned());
    all[2].source = Some("a set".to_owned());
    all[3].responses[1].model = Some("m".to_owned());
    all[4].prompt.push(Part::Media(omnireward_core::MediaRef {
        modality: omnireward_core::Modality::Image,
        source: MediaSource::Absent {
            name: "gone.png".to_owned(),
        },
    }));
    let mut list = PreferencePair::new(
        "list",
        Task::T2T,
        "p",
        ["a", "b", "c"].map(omnireward_core::Response::text),
    );
    list.ranking = Some(vec![2, 1, 2]);
    all.push(list);
    all
}

#[test]
fn pairs_of_all_tasks_come_back_as_they_were() {
    let wanted: Vec<_> = varied().iter().map(told_apart).collect();
    for (media, rows) in [(MediaMode::Embedded, 10), (MediaMode::Beside, 1000)] {
        let folder = tempfile::tempdir().unwrap();
        let files = write_table(folder.path(), &varied(), rows, media);
        assert_eq!(files, varied().len().div_ceil(rows));
        let found: Vec<_> = read(folder.path()).iter().map(told_apart).collect();
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert_eq!(found.0, wanted.0, "{media:?}");
            assert!(found.1 == wanted.1, "{}: media differ", wanted.0.id);
        }
    }
}

#[test]
fn embedded_media_come_back_as_bytes_with_their_names() {
    let folder = tempfile::tempdir().unwrap();
    write_table(folder.path(), &varied(), 100, MediaMode::Embedded);
    assert_eq!(read(folder.path()), varied());
}

#[test]
fn the_same_pairs_give_the_same_bytes() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for folder in &folders {
        write_table(folder.path(), &varied(), 10, MediaMode::Beside);
    }
    assert_eq!(
        super::contents(folders[0].path()),
        super::contents(folders[1].path())
    );
}

#[test]
fn a_table_is_recognised_and_an_empty_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    write_table(folder.path(), &[], 10, MediaMode::Beside);
    let dataset = open(folder.path(), &OpenOptions::default()).unwrap();
    assert_eq!(
        (dataset.format(), dataset.rows()),
        (Format::PairsParquet, Some(0))
    );
}

#[test]
fn real_pairs_come_back_as_they_were() {
    for relative in [
        "text/judgebench",
        "text/pandalm",
        "image/edit_demo",
        "image/ti2t_demo",
    ] {
        let Some(path) = real_data(relative) else {
            return;
        };
        let dataset = open(&path, &OpenOptions::default()).unwrap();
        let all: Vec<PreferencePair> = dataset.pairs().filter_map(Result::ok).take(100).collect();
        assert!(!all.is_empty(), "{relative}");
        let folder = tempfile::tempdir().unwrap();
        write_table(folder.path(), &all, 64, MediaMode::Beside);
        let found: Vec<_> = read(folder.path()).iter().map(told_apart).collect();
        let wanted: Vec<_> = all.iter().map(told_apart).collect();
        assert!(found == wanted, "{relative}");
    }
}

#[test]
fn a_medium_that_is_gone_is_found_missing_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = [pairs::pair(Task::TI2T, 1), pairs::pair(Task::T2T, 1)];
    write_table(folder.path(), &pairs, 10, MediaMode::Beside);
    std::fs::remove_dir_all(folder.path().join("media")).unwrap();
    let found = read(folder.path());
    let medium = found[0].prompt[0].as_media().unwrap();
    assert!(omnireward_media::read(medium, &omnireward_media::Limits::default()).is_err());
    assert_eq!(found[1].id, "T2T-1");
}

#[test]
fn a_file_that_names_media_outside_its_folder_is_refused_row_by_row() {
    // What is written to be read in place has absolute paths.
    let folder = tempfile::tempdir().unwrap();
    let pairs = [pairs::pair(Task::TI2T, 1), pairs::pair(Task::T2T, 1)];
    write_table(folder.path(), &pairs, 10, MediaMode::InPlace);
    let dataset = open(folder.path(), &OpenOptions::default()).unwrap();
    let rows: Vec<_> = dataset.pairs().collect();
    assert!(rows[0].as_ref().is_err_and(omnireward_data::Error::is_row));
    assert_eq!(rows[1].as_ref().unwrap().id, "T2T-1");
}
