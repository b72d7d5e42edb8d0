//! Every way a checkpoint can be broken is an error that names the file and the tensor, before anything is computed.

use std::{fs, path::Path};

use candle_core::DType;
use proptest::prelude::*;

use super::{CPU, directory, tensor, write, write_shards};
use crate::{Error, weights::Weights};

fn error(path: &Path) -> Error {
    Weights::open(path).expect_err("the checkpoint is broken")
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Replaces a part of a file by bytes of the same length.
fn replace(path: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(path).unwrap();
    let at = bytes
        .windows(from.len())
        .position(|window| window == from.as_bytes())
        .unwrap();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_missing_shard_is_named_with_a_tensor_of_it() {
    let directory = directory();
    write_shards(directory.path());
    fs::remove_file(directory.path().join("model-00002-of-00002.safetensors")).unwrap();
    let Error::MissingShard { path, tensor } = error(directory.path()) else {
        panic!("another error")
    };
    assert_eq!(name(&path), "model-00002-of-00002.safetensors");
    assert_eq!(tensor, "lm_head.weight");
}

#[test]
fn a_tensor_that_only_the_index_knows_is_named_with_its_shard() {
    let directory = directory();
    write_shards(directory.path());
    write(
        directory.path(),
        "model-00001-of-00002.safetensors",
        &[("model.embed_tokens.weight", tensor(&[5, 4], DType::BF16))],
    );
    let Error::MissingTensor { path, tensor } = error(directory.path()) else {
        panic!("another error")
    };
    assert_eq!(name(&path), "model-00001-of-00002.safetensors");
    assert_eq!(tensor, "model.norm.weight");
}

#[test]
fn a_tensor_that_is_in_another_shard_than_the_index_says_is_named() {
    let directory = directory();
    write_shards(directory.path());
    replace(
        &directory.path().join("model.safetensors.index.json"),
        r#""lm_head.weight": "model-00002-of"#,
        r#""lm_head.weight": "model-00001-of"#,
    );
    let Error::MissingTensor { path, tensor } = error(directory.path()) else {
        panic!("another error")
    };
    assert_eq!(name(&path), "model-00001-of-00002.safetensors");
    assert_eq!(tensor, "lm_head.weight");
}

#[test]
fn a_tensor_in_two_shards_is_named_with_both() {
    let directory = directory();
    write_shards(directory.path());
    write(
        directory.path(),
        "model-00002-of-00002.safetensors",
        &[
            ("lm_head.weight", tensor(&[5, 4], DType::F16)),
            ("model.norm.weight", tensor(&[4], DType::F16)),
        ],
    );
    let Error::DuplicateTensor {
        tensor,
        first,
        second,
    } = error(directory.path())
    else {
        panic!("another error")
    };
    assert_eq!(tensor, "model.norm.weight");
    assert_eq!(name(&first), "model-00001-of-00002.safetensors");
    assert_eq!(name(&second), "model-00002-of-00002.safetensors");
}

#[test]
fn an_index_reaches_no_file_elsewhere() {
    for shard in [
        "../model.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        ".",
    ] {
        let directory = directory();
        fs::write(
            directory.path().join("model.safetensors.index.json"),
            format!(r#"{{"weight_map": {{"a": "{shard}"}}}}"#),
        )
        .unwrap();
        let Error::Config { field, reason, .. } = error(directory.path()) else {
            panic!("another error")
        };
        assert_eq!(field, "weight_map.a");
        assert!(reason.contains(shard), "{reason}");
    }
}

#[test]
fn an_index_that_is_no_index_is_named() {
    for text in ["", "[]", "{}", r#"{"weight_map": {"a": 3}}"#] {
        let directory = directory();
        fs::write(directory.path().join("model.safetensors.index.json"), text).unwrap();
        let Error::Json { path, .. } = error(directory.path()) else {
            panic!("another error")
        };
        assert_eq!(name(&path), "model.safetensors.index.json");
    }
}

#[test]
fn a_directory_without_weights_says_what_was_looked_for() {
    let directory = directory();
    let message = error(directory.path()).to_string();
    assert!(
        message.contains("model.safetensors.index.json"),
        "{message}"
    );
}

#[test]
fn a_truncated_file_is_named_with_the_tensor_it_ends_in() {
    let directory = directory();
    let path = write(
        directory.path(),
        "model.safetensors",
        &[
            ("a.weight", tensor(&[3, 4], DType::F32)),
            ("b.weight", tensor(&[3, 4], DType::F32)),
        ],
    );
    let whole = fs::read(&path).unwrap();
    for (removed, wanted) in [
        (
            1,
            "tensor `b.weight` ends at byte 96 of the data, of which there are 95",
        ),
        (
            49,
            "tensor `a.weight` ends at byte 48 of the data, of which there are 47",
        ),
        (whole.len() - 20, "within a header"),
        (whole.len() - 7, "header too small"),
        (whole.len(), "header too small"),
    ] {
        fs::write(&path, &whole[..whole.len() - removed]).unwrap();
        let Error::Damaged { path, reason } = error(directory.path()) else {
            panic!("another error")
        };
        assert_eq!(name(&path), "model.safetensors");
        assert!(reason.contains(wanted), "{reason}");
    }
}

#[test]
fn a_bad_header_is_named() {
    let directory = directory();
    let path = directory.path().join("model.safetensors");
    let header = |text: &str, data: usize| {
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    };
    let tensor = |shape: &str, offsets: &str| {
        header(
            &format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#),
            16,
        )
    };
    for bytes in [
        u64::MAX.to_le_bytes().to_vec(),
        header("not json", 0),
        header("{", 0),
        header(r#"{"a": {"dtype": "F3"}}"#, 0),
        tensor("[2,3]", "[0,16]"),
        tensor("[2,2]", "[16,0]"),
        tensor("[2,2]", "[4,16]"),
        tensor("[2,2]", "[0,18446744073709551615]"),
        tensor("[4294967296,4294967296,4294967296]", "[0,16]"),
        b"PK\x03\x04 a zip file, as torch.save writes it".to_vec(),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec(),
    ] {
        fs::write(&path, bytes).unwrap();
        let Error::Damaged { path, reason } = error(directory.path()) else {
            panic!("another error")
        };
        assert_eq!(name(&path), "model.safetensors");
        assert!(!reason.is_empty());
    }
}

#[test]
fn a_tensor_of_a_type_that_is_no_weight_is_named_when_it_is_asked_for() {
    for (stored, other) in [("F32", "I32"), ("F16", "I16"), ("F16", "U16")] {
        let directory = directory();
        let dtype = if stored == "F32" {
            DType::F32
        } else {
            DType::F16
        };
        let path = write(
            directory.path(),
            "model.safetensors",
            &[("a.weight", tensor(&[3, 4], dtype))],
        );
        replace(&path, stored, other);
        let weights = Weights::open(directory.path()).unwrap();
        assert_eq!(weights.info("a.weight").unwrap().stored, other);
        let scope = weights.scope("a", &CPU);
        for result in [
            scope.weight("weight", 3, 4).map(drop),
            scope.tensor("weight", &[3, 4]).map(drop),
        ] {
            let Error::Type {
                tensor,
                path,
                found,
            } = result.unwrap_err()
            else {
                panic!("another error")
            };
            assert_eq!(tensor, "a.weight");
            assert_eq!(name(&path), "model.safetensors");
            assert_eq!(found, other);
        }
    }
}

#[test]
fn eight_byte_types_are_no_weights_either() {
    for stored in ["I64", "F64", "U64"] {
        let directory = directory();
        let text =
            format!(r#"{{"ids":{{"dtype":"{stored}","shape":[1,2],"data_offsets":[0,16]}}}}"#);
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes.extend([0; 16]);
        fs::write(directory.path().join("model.safetensors"), bytes).unwrap();
        let scope = Weights::open(directory.path()).unwrap().scope("", &CPU);
        let message = scope.weight("ids", 1, 2).unwrap_err().to_string();
        assert!(
            message.contains("`ids`") && message.contains(stored),
            "{message}"
        );
    }
}

#[test]
fn a_wrong_shape_and_a_missing_tensor_are_named() {
    let directory = directory();
    write_shards(directory.path());
    let scope = Weights::open(directory.path())
        .unwrap()
        .scope("model", &CPU);
    let Error::Shape {
        tensor,
        path,
        found,
        expected,
    } = scope
        .under("embed_tokens")
        .weight("weight", 4, 5)
        .unwrap_err()
    else {
        panic!("another error")
    };
    assert_eq!(tensor, "model.embed_tokens.weight");
    assert_eq!(name(&path), "model-00001-of-00002.safetensors");
    assert_eq!((found, expected), (vec![5, 4], vec![4, 5]));
    let Error::MissingTensor { tensor, path } =
        scope.under("norm").tensor("bias", &[4]).unwrap_err()
    else {
        panic!("another error")
    };
    assert_eq!(tensor, "model.norm.bias");
    assert_eq!(path, directory.path());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is changed in a file's header, opening and reading it ends with numbers or an error.
    #[test]
    fn changed_bytes_never_stop_the_process(at in 0_usize..200, byte in any::<u8>(), cut in 0_usize..64) {
        let directory = directory();
        let path = write(
            directory.path(),
            "model.safetensors",
            &[("a.weight", tensor(&[3, 4], DType::F32)), ("b", tensor(&[7], DType::BF16))],
        );
        let mut bytes = fs::read(&path).unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len() - cut % 2 * cut);
        fs::write(&path, bytes).unwrap();
        if let Ok(weights) = Weights::open(&path) {
            let scope = weights.scope("", &CPU);
            for name in weights.names() {
                let shape = weights.info(name).unwrap().shape;
                let _ = scope.tensor(name, &shape);
            }
        }
    }
}
