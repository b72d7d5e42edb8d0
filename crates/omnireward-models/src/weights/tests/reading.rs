use std::fs;

use candle_core::{DType, Device};
use half::bf16;

use super::{CPU, directory, numbers, tensor, write, write_shards};
use crate::weights::{Elements, Placement, Weight, Weights};

#[test]
fn shards_read_as_one() {
    let directory = directory();
    write_shards(directory.path());
    let weights = Weights::open(directory.path()).unwrap();
    assert_eq!(
        weights.names().collect::<Vec<_>>(),
        [
            "lm_head.weight",
            "model.embed_tokens.weight",
            "model.norm.weight"
        ]
    );
    let head = weights
        .scope("lm_head", &CPU)
        .weight("weight", 5, 4)
        .unwrap();
    let expected = numbers(&tensor(&[5, 4], DType::F32));
    assert_eq!(
        numbers(&head.tensor(&Device::Cpu, DType::F32).unwrap()),
        expected
    );
    let info = weights.info("lm_head.weight").unwrap();
    assert_eq!((info.stored.as_str(), info.bytes), ("F16", 40));
    assert!(info.file.ends_with("model-00002-of-00002.safetensors"));
}

#[test]
fn a_value_head_that_the_index_counts_is_read_once() {
    let directory = directory();
    write_shards(directory.path());
    write(
        directory.path(),
        "value_head.safetensors",
        &[("v_head.summary.weight", tensor(&[1, 4], DType::F32))],
    );
    let index = directory.path().join("model.safetensors.index.json");
    let listed = fs::read_to_string(&index).unwrap().replace(
        "\"weight_map\": {",
        "\"weight_map\": {\"v_head.summary.weight\": \"value_head.safetensors\",",
    );
    fs::write(&index, listed).unwrap();
    let weights = Weights::open(directory.path()).unwrap();
    assert!(weights.info("v_head.summary.weight").is_some());
}

#[test]
fn a_value_head_beside_the_model_is_joined_to_it() {
    let directory = directory();
    write_shards(directory.path());
    write(
        directory.path(),
        "value_head.safetensors",
        &[
            ("v_head.summary.weight", tensor(&[1, 4], DType::F32)),
            ("v_head.summary.bias", tensor(&[1], DType::F32)),
        ],
    );
    let weights = Weights::open(directory.path()).unwrap();
    let info = weights.info("v_head.summary.weight").unwrap();
    assert!(info.file.ends_with("value_head.safetensors"));
}

#[test]
fn every_stored_type_reads_exactly_in_every_type_asked_for() {
    for stored in [DType::F32, DType::BF16, DType::F16] {
        let directory = directory();
        let original = tensor(&[6, 5], stored);
        write(
            directory.path(),
            "model.safetensors",
            &[("a", original.clone())],
        );
        let weights = Weights::open(directory.path()).unwrap();
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            let placement = Placement {
                device: Device::Cpu,
                dtype,
            };
            let scope = weights.scope("", &placement);
            let expected = numbers(&original.to_dtype(dtype).unwrap());
            let small = scope.tensor("a", &[6, 5]).unwrap();
            assert_eq!((small.dtype(), numbers(&small)), (dtype, expected.clone()));
            let weight = scope.weight("a", 6, 5).unwrap();
            let whole = weight.tensor(&Device::Cpu, dtype).unwrap();
            assert_eq!((whole.dtype(), numbers(&whole)), (dtype, expected.clone()));
            let rows = weight.rows(&[5, 0, 5], &Device::Cpu, dtype).unwrap();
            let of = |row: usize| expected[row * 5..(row + 1) * 5].to_vec();
            assert_eq!(numbers(&rows), [of(5), of(0), of(5)].concat());
            assert!(weight.rows(&[6], &Device::Cpu, dtype).is_err());
            let part = weight.part(2..4).unwrap();
            assert_eq!(part.dims(), (2, 5));
            assert_eq!(
                numbers(&part.tensor(&Device::Cpu, dtype).unwrap()),
                expected[10..20]
            );
            assert!(weight.part(2..7).is_err());
        }
    }
}

#[test]
fn rounding_to_bf16_is_to_nearest_and_half_to_even() {
    let directory = directory();
    let wide = vec![1.0_f32 + 3.0 / 512.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0];
    let original = candle_core::Tensor::from_vec(wide, (1, 3), &Device::Cpu).unwrap();
    write(directory.path(), "model.safetensors", &[("a", original)]);
    let weight = Weights::open(directory.path())
        .unwrap()
        .scope("", &CPU)
        .weight("a", 1, 3)
        .unwrap();
    assert_eq!(
        numbers(&weight.tensor(&Device::Cpu, DType::BF16).unwrap()),
        [1.0 + 1.0 / 128.0, 1.0, 1.0 + 2.0 / 128.0]
    );
}

#[test]
fn elements_lie_in_the_file_and_a_part_is_no_copy() {
    let directory = directory();
    write(
        directory.path(),
        "model.safetensors",
        &[("a", tensor(&[3, 2], DType::BF16))],
    );
    let weights = Weights::open(directory.path()).unwrap();
    let scope = weights.scope("", &CPU);
    let address = |weight: &Weight| match weight {
        Weight::Mapped(mapped) => match mapped.elements() {
            Elements::Bf16(numbers) => numbers.as_ptr() as usize,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let (first, second) = (
        scope.weight("a", 3, 2).unwrap(),
        scope.weight("a", 3, 2).unwrap(),
    );
    assert_eq!(address(&first), address(&second));
    assert_eq!(address(&first.part(1..3).unwrap()), address(&first) + 4);
    weights.release();
    let Weight::Mapped(mapped) = first else {
        panic!("not mapped")
    };
    let Elements::Bf16(read_again) = mapped.elements() else {
        panic!("not bf16")
    };
    assert_eq!(read_again[0], bf16::from_f32(-50.0 / 8.0));
}

/// Header lengths that are no multiple of eight are legal, and put every number between two addresses it could have.
#[test]
fn misaligned_tensors_are_copied_and_read_the_same() {
    for (dtype, name) in [
        (DType::F32, "F32"),
        (DType::BF16, "BF16"),
        (DType::F16, "F16"),
    ] {
        for padding in 0..8 {
            let directory = directory();
            let original = tensor(&[3, 2], dtype);
            let path = write(
                directory.path(),
                "model.safetensors",
                &[("a", original.clone())],
            );
            let whole = fs::read(&path).unwrap();
            let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
            let text = String::from_utf8(whole[8..8 + header].to_vec()).unwrap();
            let text = format!("{}{}", text.trim_end(), " ".repeat(padding));
            let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
            bytes.extend(text.as_bytes());
            bytes.extend(&whole[8 + header..]);
            fs::write(&path, bytes).unwrap();
            let scope = Weights::open(&path).unwrap().scope("", &CPU);
            let weight = scope.weight("a", 3, 2).unwrap();
            let read = weight.tensor(&Device::Cpu, dtype).unwrap();
            assert_eq!(numbers(&read), numbers(&original), "{name} {padding}");
            let part = weight.part(1..2).unwrap();
            assert_eq!(
                numbers(&part.tensor(&Device::Cpu, dtype).unwrap()),
                numbers(&original)[2..4]
            );
        }
    }
}

#[test]
fn a_convolution_can_be_had_as_a_matrix() {
    let directory = directory();
    write(
        directory.path(),
        "model.safetensors",
        &[("patches", tensor(&[4, 3, 2, 2], DType::BF16))],
    );
    let scope = Weights::open(directory.path()).unwrap().scope("", &CPU);
    let weight = scope.flat_weight("patches", &[4, 3, 2, 2]).unwrap();
    assert_eq!(weight.dims(), (4, 12));
    assert!(scope.flat_weight("patches", &[4, 12]).is_err());
}

#[test]
fn empty_tensors_and_scalars_are_read() {
    let directory = directory();
    write(
        directory.path(),
        "model.safetensors",
        &[
            ("empty", tensor(&[0, 4], DType::F32)),
            ("thin", tensor(&[4, 0], DType::F32)),
            ("scalar", tensor(&[], DType::F32)),
        ],
    );
    let scope = Weights::open(directory.path()).unwrap().scope("", &CPU);
    let weight = scope.weight("empty", 0, 4).unwrap();
    assert_eq!(
        weight.tensor(&Device::Cpu, DType::F32).unwrap().dims(),
        [0, 4]
    );
    let thin = scope.weight("thin", 4, 0).unwrap();
    assert_eq!(
        thin.rows(&[3], &Device::Cpu, DType::F32).unwrap().dims(),
        [1, 0]
    );
    assert_eq!(numbers(&scope.tensor("scalar", &[]).unwrap()), [-6.25]);
}

/// Kilobytes of a file's mappings that are in memory.
#[cfg(target_os = "linux")]
fn resident(path: &std::path::Path) -> usize {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut ours = false;
    let mut total = 0;
    for line in maps.lines() {
        let is_field = line
            .split(' ')
            .next()
            .is_some_and(|word| word.ends_with(':'));
        if !is_field {
            ours = line.ends_with(path.to_str().unwrap());
        } else if ours && let Some(rest) = line.strip_prefix("Rss:") {
            total += rest.trim_end_matches("kB").trim().parse::<usize>().unwrap();
        }
    }
    total
}

#[cfg(target_os = "linux")]
#[test]
fn only_what_is_asked_for_is_read_and_what_was_read_can_be_let_go() {
    let directory = directory();
    let path = write(
        directory.path(),
        "model.safetensors",
        &[("a", tensor(&[4096, 2048], DType::F32))],
    );
    let path = path.canonicalize().unwrap();
    let weights = Weights::open(&path).unwrap();
    let weight = weights.scope("", &CPU).weight("a", 4096, 2048).unwrap();
    assert!(resident(&path) < 1024, "opened: {} kB", resident(&path));
    weight.rows(&[4000], &Device::Cpu, DType::F32).unwrap();
    assert!(resident(&path) < 2048, "a row read: {} kB", resident(&path));
    weight.tensor(&Device::Cpu, DType::F32).unwrap();
    assert!(resident(&path) > 32_000, "all read: {} kB", resident(&path));
    weights.release();
    assert!(resident(&path) < 1024, "let go: {} kB", resident(&path));
    let first = weight.rows(&[0], &Device::Cpu, DType::F32).unwrap();
    assert_eq!(numbers(&first)[..2], [-6.25, -6.125]);
}
