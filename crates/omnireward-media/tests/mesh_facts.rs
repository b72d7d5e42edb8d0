//! Every mesh of the real test data against an independent reader.
#![expect(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

use std::{collections::BTreeMap, fs, path::Path, path::PathBuf};

use omnireward_core::{MediaRef, MediaSource, Modality};
use omnireward_media::{
    Error, Limits,
    mesh::{Mesh, facts, load},
};
use serde_json::Value;

const RING_AREA: f64 = 0.245_497;

fn load_file(path: &Path) -> Result<Mesh, Error> {
    let media = MediaRef {
        modality: Modality::Mesh,
        source: MediaSource::File {
            path: path.to_owned(),
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
        },
    };
    load(&media, &Limits::default())
}

/// The rows about meshes, by file name, and the folder of the meshes.
fn rows() -> Option<(PathBuf, BTreeMap<String, Value>)> {
    let facts = omnireward_testkit::real_data("media_facts.jsonl")?;
    let rows = fs::read_to_string(&facts)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter_map(|row| {
            let name = row["path"]
                .as_str()?
                .strip_prefix("mesh/files/")?
                .to_owned();
            Some((name, row))
        })
        .collect();
    Some((facts.parent().unwrap().join("mesh/files"), rows))
}

#[test]
fn real_meshes_agree_with_the_reference_reader() {
    let Some((folder, rows)) = rows() else { return };
    let mut compared = 0;
    for (name, row) in rows {
        if row["faces"].as_u64().is_none_or(|faces| faces == 0) {
            continue;
        }
        let mesh = load_file(&folder.join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let found = facts(&mesh);
        assert_eq!(found.faces as u64, row["faces"], "{name}");
        let size = |axis: usize| f64::from(found.bounds[1][axis] - found.bounds[0][axis]);
        let largest = size(0).max(size(1)).max(size(2));
        for side in 0..2 {
            for axis in 0..3 {
                let expected = row["bounds"][side][axis].as_f64().unwrap();
                let found = f64::from(found.bounds[side][axis]);
                assert!(
                    (found - expected).abs() < 1e-5 * largest.max(1.0),
                    "{name}: {found} {expected}"
                );
            }
        }
        if let Some(area) = row["area"].as_f64() {
            // The reference fans the ring in this file, which fills its hole; the shoelace formula
            // gives the area that the polygon has.
            let area = if name == "assimp_OBJ_concave_polygon.obj" {
                RING_AREA
            } else {
                area
            };
            let difference = (found.area - area).abs();
            assert!(difference <= 2e-5 * area, "{name}: {} {area}", found.area);
        }
        compared += 1;
    }
    assert!(compared >= 30, "only {compared} meshes were compared");
}

#[test]
fn meshes_without_faces_are_refused_by_that_name() {
    let Some((folder, rows)) = rows() else { return };
    let mut compared = 0;
    for (name, row) in rows.iter().filter(|(_, row)| row["faces"] == 0) {
        let error = load_file(&folder.join(name)).unwrap_err().to_string();
        assert!(
            error.contains("there are no faces in it"),
            "{name}: {error}"
        );
        let vertices = row["vertices"].as_u64().unwrap();
        assert!(
            error.contains(&format!("{vertices} vertices")),
            "{name}: {error}"
        );
        compared += 1;
    }
    assert!(compared >= 8, "only {compared} were compared");
}

#[test]
fn what_the_reference_refuses_is_refused_by_name() {
    let Some((folder, rows)) = rows() else { return };
    let expected = BTreeMap::from([
        (
            "assimp_invalid_malformed.obj",
            "line 23: the vertex `12` does not exist, there are 8",
        ),
        (
            "assimp_glTF2_IndexOutOfRange_IndexOutOfRange.gltf",
            "needs the file `IndexOutOfRange.bin`, which is missing",
        ),
    ]);
    for (name, _) in rows
        .iter()
        .filter(|(_, row)| !row["reference_tool_error"].is_null())
    {
        let error = load_file(&folder.join(name)).unwrap_err().to_string();
        assert!(error.contains(expected[name.as_str()]), "{name}: {error}");
    }
}

#[test]
fn files_for_colour_that_are_missing_are_noted() {
    let Some((folder, _)) = rows() else { return };
    let mesh = load_file(&folder.join("rabbit.obj")).unwrap();
    assert_eq!(mesh.missing_files(), ["rabbit.mtl"]);
    let mesh = load_file(&folder.join("fuze.obj")).unwrap();
    assert_eq!(mesh.missing_files(), ["fuze uv.jpg"]);
}
