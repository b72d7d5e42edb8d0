//! Defects planted in copies of a good checkpoint: each is found by its name, and nothing else is.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use half::bf16;
use omnireward_core::{NoProgress, PreferencePair};
use omnireward_models::{
    Precision,
    checkpoint::{
        Code, Examination, Family, Finding, Golden, RandomCheckpoint, Severity, Size, doctor,
        write_golden,
    },
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};

/// A tiny checkpoint that can be damaged.
struct Patient {
    folder: tempfile::TempDir,
}

impl Patient {
    fn new() -> Self {
        Self::of(&RandomCheckpoint::new(Family::MiniCpmO, Size::Tiny))
    }

    /// The same in several files.
    fn sharded() -> Self {
        Self::of(&RandomCheckpoint {
            max_shard_bytes: 300_000,
            ..RandomCheckpoint::new(Family::MiniCpmO, Size::Tiny)
        })
    }

    fn of(checkpoint: &RandomCheckpoint) -> Self {
        let folder = tempfile::tempdir().unwrap();
        checkpoint.write(folder.path(), &NoProgress).unwrap();
        Self { folder }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Changes a JSON file.
    fn edit(&self, file: &str, change: impl FnOnce(&mut Value)) {
        let path = self.path(file);
        let mut json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut json);
        fs::write(path, json.to_string()).unwrap();
    }

    /// Changes the tensors of a weight file.
    fn operate(&self, file: &str, change: impl FnOnce(&mut Tensors)) {
        let path = self.path(file);
        let bytes = fs::read(&path).unwrap();
        let read = SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors: Tensors = read
            .tensors()
            .into_iter()
            .map(|(name, view)| {
                let tensor = Numbers {
                    stored: view.dtype(),
                    shape: view.shape().to_vec(),
                    bytes: view.data().to_vec(),
                };
                (name, tensor)
            })
            .collect();
        change(&mut tensors);
        save(&path, &tensors);
    }

    fn examine(&self, examination: &Examination<'_>) -> Vec<Finding> {
        doctor(self.folder.path(), examination, &NoProgress).unwrap()
    }

    fn findings(&self) -> Vec<Finding> {
        self.examine(&Examination {
            deep: true,
            score: None,
        })
    }

    /// Expects one defect and nothing else.
    #[track_caller]
    fn suffers_from(&self, code: Code, file: &str, subject: Option<&str>) -> Finding {
        let findings = self.findings();
        let [finding] = findings.as_slice() else {
            panic!("expected only {code}, found {findings:#?}");
        };
        assert_eq!(
            (
                finding.code,
                finding.file.as_str(),
                finding.subject.as_deref()
            ),
            (code, file, subject),
            "{finding:#?}"
        );
        assert!(!finding.problem.is_empty() && !finding.mend.is_empty());
        finding.clone()
    }
}

type Tensors = BTreeMap<String, Numbers>;

#[derive(Clone)]
struct Numbers {
    stored: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Numbers {
    fn of(shape: &[usize], value: f32) -> Self {
        let number = bf16::from_f32(value).to_le_bytes();
        Self {
            stored: Dtype::BF16,
            shape: shape.to_vec(),
            bytes: number.repeat(shape.iter().product()),
        }
    }

    fn set(&mut self, index: usize, value: f32) {
        self.bytes[2 * index..2 * index + 2].copy_from_slice(&bf16::from_f32(value).to_le_bytes());
    }
}

fn save(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, tensor)| {
        let view = TensorView::new(tensor.stored, tensor.shape.clone(), &tensor.bytes);
        (name, view.unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

const MODEL: &str = "model.safetensors";
const HEAD: &str = "value_head.safetensors";
const Q_PROJ: &str = "llm.model.layers.0.self_attn.q_proj.weight";

#[test]
fn clean_checkpoints_have_nothing() {
    for family in Family::ALL {
        let patient = Patient::of(&RandomCheckpoint::new(family, Size::Tiny));
        assert_eq!(patient.findings(), [], "{family}");
    }
    assert_eq!(Patient::sharded().findings(), []);
}

#[test]
fn a_missing_shard() {
    let patient = Patient::sharded();
    let shard = shard(&patient, Q_PROJ);
    fs::remove_file(patient.path(&shard)).unwrap();
    let finding = patient.suffers_from(Code::ShardMissing, &shard, None);
    assert!(
        finding.problem.contains("more tensors"),
        "{}",
        finding.problem
    );
}

#[test]
fn a_truncated_shard() {
    let patient = Patient::sharded();
    let shard = shard(&patient, Q_PROJ);
    let bytes = fs::read(patient.path(&shard)).unwrap();
    for left in [bytes.len() - 1, bytes.len() / 2, 100, 3] {
        fs::write(patient.path(&shard), &bytes[..left]).unwrap();
        let finding = patient.suffers_from(Code::ShardDamaged, &shard, None);
        if left == bytes.len() - 1 {
            assert!(finding.problem.contains("cut off"), "{}", finding.problem);
        }
    }
    let mut longer = bytes;
    longer.push(0);
    fs::write(patient.path(&shard), longer).unwrap();
    patient.suffers_from(Code::ShardDamaged, &shard, None);
}

fn shard(patient: &Patient, tensor: &str) -> String {
    let index = fs::read(patient.path("model.safetensors.index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    index["weight_map"][tensor].as_str().unwrap().to_owned()
}

#[test]
fn an_index_that_points_elsewhere() {
    let patient = Patient::sharded();
    patient.edit("model.safetensors.index.json", |index| {
        let other = index["weight_map"]["apm.conv1.bias"].clone();
        index["weight_map"][Q_PROJ] = other;
    });
    patient.suffers_from(
        Code::IndexWrong,
        "model.safetensors.index.json",
        Some(Q_PROJ),
    );
}

#[test]
fn shards_without_an_index() {
    let patient = Patient::sharded();
    let index = "model.safetensors.index.json";
    fs::write(patient.path(index), "{}").unwrap();
    patient.suffers_from(Code::IndexWrong, index, None);
    fs::remove_file(patient.path(index)).unwrap();
    patient.suffers_from(Code::IndexWrong, index, None);
}

#[test]
fn files_that_are_not_read_do_not_matter() {
    let patient = Patient::new();
    fs::write(
        patient.path("consolidated.safetensors"),
        "not even a header",
    )
    .unwrap();
    fs::write(patient.path("training_args.bin"), "a pickle").unwrap();
    assert_eq!(patient.findings(), []);
}

#[test]
fn a_missing_tensor() {
    let patient = Patient::new();
    patient.operate(MODEL, |tensors| drop(tensors.remove(Q_PROJ)));
    patient.suffers_from(Code::TensorMissing, MODEL, Some(Q_PROJ));
}

#[test]
fn an_unknown_tensor() {
    let patient = Patient::new();
    let name = "llm.model.layers.2.self_attn.q_proj.weight";
    patient.operate(MODEL, |tensors| {
        tensors.insert(name.to_owned(), Numbers::of(&[128, 128], 0.1));
    });
    patient.suffers_from(Code::TensorUnknown, MODEL, Some(name));
}

#[test]
fn what_a_reward_does_not_need_may_be_there_or_not() {
    let patient = Patient::new();
    patient.operate(MODEL, |tensors| {
        tensors.insert("tts.dvae.coef".to_owned(), Numbers::of(&[1, 100], 0.1));
        tensors.remove("llm.lm_head.weight");
    });
    assert_eq!(patient.findings(), []);
}

#[test]
fn names_that_a_wrapper_made_longer_are_known() {
    let patient = Patient::new();
    patient.operate(MODEL, |tensors| {
        let wrapped = std::mem::take(tensors).into_iter();
        tensors.extend(wrapped.map(|(name, tensor)| (format!("pretrained_model.{name}"), tensor)));
    });
    assert_eq!(patient.findings(), []);
}

#[test]
fn a_tensor_in_two_files() {
    let patient = Patient::new();
    patient.operate(HEAD, |tensors| {
        tensors.insert("v_head.summary.bias".to_owned(), Numbers::of(&[1], 0.5));
    });
    patient.operate(MODEL, |tensors| {
        tensors.insert("v_head.summary.bias".to_owned(), Numbers::of(&[1], 0.5));
    });
    patient.suffers_from(Code::TensorTwice, HEAD, Some("v_head.summary.bias"));
}

#[test]
fn a_wrong_shape() {
    let patient = Patient::new();
    patient.operate(MODEL, |tensors| {
        tensors.insert(Q_PROJ.to_owned(), Numbers::of(&[64, 128], 0.1));
    });
    let finding = patient.suffers_from(Code::TensorShape, MODEL, Some(Q_PROJ));
    assert!(finding.problem.contains("[64, 128]") && finding.problem.contains("[128, 128]"));
}

#[test]
fn many_wrong_shapes_are_summed_up() {
    let patient = Patient::new();
    patient.edit("config.json", |config| {
        config["intermediate_size"] = json!(128);
    });
    let findings = patient.findings();
    assert_eq!(
        findings.len(),
        7 - 1,
        "three tensors in each of two layers: {findings:#?}"
    );
    patient.edit("config.json", |config| config["hidden_size"] = json!(256));
    let findings = patient.findings();
    let last = findings
        .iter()
        .rfind(|finding| finding.code == Code::TensorShape)
        .unwrap();
    assert!(last.problem.contains("more"), "{last:#?}");
    assert!(findings.len() < 20);
}

#[test]
fn a_wrong_type() {
    let patient = Patient::new();
    patient.operate(MODEL, |tensors| {
        let tensor = tensors.get_mut(Q_PROJ).unwrap();
        tensor.stored = Dtype::I16;
    });
    let finding = patient.suffers_from(Code::TensorType, MODEL, Some(Q_PROJ));
    assert_eq!(finding.severity, Severity::Defect);
}

#[test]
fn a_type_unlike_the_others_is_odd() {
    let patient = Patient::new();
    patient.operate(MODEL, |tensors| {
        let tensor = tensors.get_mut(Q_PROJ).unwrap();
        tensor.stored = Dtype::F16;
        tensor.bytes.fill(0x11);
    });
    let finding = patient.suffers_from(Code::TensorType, MODEL, Some(Q_PROJ));
    assert_eq!(finding.severity, Severity::Warning);
}

#[test]
fn an_absent_value_head() {
    let patient = Patient::new();
    fs::remove_file(patient.path(HEAD)).unwrap();
    patient.suffers_from(Code::HeadMissing, HEAD, None);
    let text = Patient::of(&RandomCheckpoint::new(Family::Qwen3, Size::Tiny));
    text.operate(MODEL, |tensors| drop(tensors.remove("score.weight")));
    text.suffers_from(Code::HeadMissing, MODEL, None);
}

#[test]
fn a_head_of_unknown_layout() {
    let patient = Patient::new();
    for head in [
        vec![
            ("v_head.summary.weight", Numbers::of(&[1, 64], 0.1)),
            ("v_head.summary.bias", Numbers::of(&[1], 0.1)),
        ],
        vec![
            ("v_head.summary.weight", Numbers::of(&[2, 128], 0.1)),
            ("v_head.summary.bias", Numbers::of(&[2], 0.1)),
        ],
        vec![("v_head.summary.weight", Numbers::of(&[1, 128], 0.1))],
        vec![("value.weight", Numbers::of(&[1, 128], 0.1))],
    ] {
        let subject = (head[0].0 == "value.weight").then_some("value.weight");
        let tensors = head
            .into_iter()
            .map(|(name, tensor)| (name.to_owned(), tensor));
        save(&patient.path(HEAD), &tensors.collect());
        patient.suffers_from(Code::HeadUnknown, HEAD, subject);
    }
}

#[test]
fn two_heads_that_disagree() {
    let patient = Patient::new();
    patient.operate(MODEL, |tensors| {
        tensors.insert("score.weight".to_owned(), Numbers::of(&[1, 128], 0.1));
    });
    patient.suffers_from(Code::HeadConflict, MODEL, None);
}

#[test]
fn a_head_that_is_a_pickle() {
    let patient = Patient::new();
    fs::remove_file(patient.path(HEAD)).unwrap();
    fs::write(patient.path("value_head.bin"), b"\x80\x02}q\x00.").unwrap();
    let finding = patient.suffers_from(Code::Pickle, "value_head.bin", None);
    assert!(
        finding.mend.contains("weights_only=True"),
        "{}",
        finding.mend
    );
}

#[test]
fn weights_that_are_a_pickle() {
    let patient = Patient::new();
    fs::remove_file(patient.path(MODEL)).unwrap();
    fs::write(patient.path("pytorch_model.bin"), b"\x80\x02}q\x00.").unwrap();
    patient.suffers_from(Code::Pickle, "pytorch_model.bin", None);
    fs::remove_file(patient.path("pytorch_model.bin")).unwrap();
    patient.suffers_from(Code::WeightsMissing, MODEL, None);
}

#[test]
fn numbers_that_are_none() {
    for (value, words) in [(f32::NAN, "1 NaN"), (f32::INFINITY, "1 infinite")] {
        let patient = Patient::new();
        patient.operate(MODEL, |tensors| {
            tensors.get_mut(Q_PROJ).unwrap().set(5000, value);
        });
        let finding = patient.suffers_from(Code::TensorNotFinite, MODEL, Some(Q_PROJ));
        assert!(finding.problem.contains(words), "{}", finding.problem);
        assert_eq!(
            patient.examine(&Examination::default()),
            [],
            "only when all is read"
        );
    }
}

#[test]
fn many_matrices_of_zeros_do_not_hide_a_number_that_is_none() {
    let patient = Patient::new();
    patient.operate(MODEL, |tensors| {
        let matrices = tensors.values_mut().filter(|tensor| tensor.shape.len() > 1);
        for matrix in matrices.take(12) {
            matrix.bytes.fill(0);
        }
        let last = tensors.values_mut().last().unwrap();
        last.set(0, f32::NAN);
    });
    let findings = patient.findings();
    let count = |code| {
        findings
            .iter()
            .filter(|finding| finding.code == code)
            .count()
    };
    assert_eq!(count(Code::TensorNotFinite), 1, "{findings:#?}");
    assert_eq!(count(Code::TensorZero), 7, "{findings:#?}");
    assert_eq!(findings[0].code, Code::TensorNotFinite);
}

#[test]
fn sizes_that_no_model_has_are_named_and_cost_nothing() {
    for field in [
        "num_hidden_layers",
        "vision_config.num_hidden_layers",
        "audio_config.encoder_layers",
    ] {
        let patient = Patient::new();
        patient.edit("config.json", |config| {
            let pointer = format!("/{}", field.replace('.', "/"));
            *config.pointer_mut(&pointer).unwrap() = json!(1 << 24);
        });
        let findings = patient.findings();
        assert_eq!(findings[0].code, Code::ConfigContradiction, "{findings:#?}");
        assert_eq!(findings[0].subject.as_deref(), Some(field));
    }
}

#[test]
fn a_matrix_of_zeros() {
    let patient = Patient::new();
    patient.operate(MODEL, |tensors| {
        tensors.get_mut(Q_PROJ).unwrap().bytes.fill(0);
    });
    let finding = patient.suffers_from(Code::TensorZero, MODEL, Some(Q_PROJ));
    assert_eq!(finding.severity, Severity::Warning);
}

#[test]
fn a_template_that_prints_a_date() {
    const FILE: &str = "tokenizer_config.json";
    let patient = Patient::new();
    let mut template = String::new();
    patient.edit(FILE, |config| {
        template = config["chat_template"].as_str().unwrap().to_owned();
    });
    let today = format!("{{{{ 'Today is ' + strftime_now('%d %b %Y') }}}}{template}");
    patient.edit(FILE, |config| config["chat_template"] = json!(today));
    let finding = patient.suffers_from(Code::TemplateDate, FILE, Some("chat_template"));
    assert_eq!(finding.severity, Severity::Defect);
    let fixed = format!("Today Date: 26 Jul 2024\n{template}");
    patient.edit(FILE, |config| config["chat_template"] = json!(fixed));
    let finding = patient.suffers_from(Code::TemplateDate, FILE, Some("chat_template"));
    assert_eq!(finding.severity, Severity::Warning);
    patient.edit(FILE, |config| {
        config["chat_template"] = json!("{% for message in %}");
    });
    patient.suffers_from(Code::TemplateUnusable, FILE, Some("chat_template"));
}

#[test]
fn a_tokenizer_that_lacks_a_token() {
    let patient = Patient::new();
    patient.edit("tokenizer.json", |tokenizer| {
        let tokens = tokenizer["added_tokens"].as_array_mut().unwrap();
        tokens.retain(|token| token["content"] != "</slice>");
        let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        vocabulary.remove("</slice>");
    });
    patient.suffers_from(Code::TokenMissing, "tokenizer.json", Some("</slice>"));
}

#[test]
fn a_token_that_is_not_found_whole() {
    let patient = Patient::new();
    patient.edit("tokenizer.json", |tokenizer| {
        let tokens = tokenizer["added_tokens"].as_array_mut().unwrap();
        tokens.retain(|token| token["content"] != "<image>");
    });
    patient.suffers_from(Code::TokenMissing, "tokenizer.json", Some("<image>"));
}

#[test]
fn an_id_beyond_the_embeddings() {
    let patient = Patient::new();
    patient.edit("tokenizer.json", |tokenizer| {
        tokenizer["model"]["vocab"]["Zebra"] = json!(314);
    });
    patient.suffers_from(Code::TokenOutOfRange, "tokenizer.json", Some("Zebra"));
}

#[test]
fn files_that_disagree_about_an_id() {
    let patient = Patient::new();
    patient.edit("tokenizer_config.json", |config| {
        let tokens = config["added_tokens_decoder"].as_object_mut().unwrap();
        let token = tokens.remove("260").unwrap();
        tokens.insert("290".to_owned(), token);
    });
    let findings = patient.findings();
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0].code, Code::TokenConflict);
    let patient = Patient::new();
    patient.edit("config.json", |config| {
        config["eos_token_id"] = json!(151_645);
    });
    patient.suffers_from(Code::TokenConflict, "config.json", Some("eos_token_id"));
}

#[test]
fn no_tokenizer() {
    let patient = Patient::new();
    fs::write(patient.path("tokenizer.json"), "{}").unwrap();
    patient.suffers_from(Code::TokenizerUnreadable, "tokenizer.json", None);
    fs::remove_file(patient.path("tokenizer.json")).unwrap();
    patient.suffers_from(Code::TokenizerUnreadable, "tokenizer.json", None);
}

#[test]
fn a_configuration_that_contradicts_itself() {
    for (field, value, words) in [
        (
            "num_attention_heads",
            json!(3),
            "does not divide `hidden_size`",
        ),
        (
            "num_key_value_heads",
            json!(3),
            "does not divide `num_attention_heads`",
        ),
        (
            "vision_config.num_attention_heads",
            json!(5),
            "does not divide",
        ),
        ("vision_config.patch_size", json!(15), "does not divide"),
        ("rms_norm_eps", json!(null), "is missing"),
        ("query_num", json!("64"), "expected a whole number"),
        ("num_hidden_layers", json!(0), "expected a whole number"),
    ] {
        let patient = Patient::new();
        patient.edit("config.json", |config| {
            *config
                .pointer_mut(&format!("/{}", field.replace('.', "/")))
                .unwrap() = value;
        });
        let findings = patient.findings();
        let own = findings
            .iter()
            .filter(|finding| finding.code == Code::ConfigContradiction);
        let own: Vec<_> = own.collect();
        assert!(
            own.iter()
                .any(|finding| finding.subject.as_deref() == Some(field)
                    && finding.problem.contains(words)),
            "{field}: {findings:#?}"
        );
        // Sizes that are wrong make shapes wrong, and nothing else.
        assert!(
            findings.iter().all(|finding| matches!(
                finding.code,
                Code::ConfigContradiction | Code::TensorShape
            )),
            "{findings:#?}"
        );
    }
}

#[test]
fn a_configuration_of_another_kind() {
    let patient = Patient::new();
    patient.edit("config.json", |config| config["hidden_act"] = json!("relu"));
    patient.suffers_from(Code::ConfigUnsupported, "config.json", Some("hidden_act"));
    patient.edit("config.json", |config| {
        config["architectures"] = json!(["MambaForCausalLM"]);
    });
    patient.suffers_from(
        Code::ArchitectureUnknown,
        "config.json",
        Some("architectures"),
    );
    fs::write(patient.path("config.json"), "{").unwrap();
    patient.suffers_from(Code::ConfigUnreadable, "config.json", None);
}

#[test]
fn another_preprocessing() {
    const FILE: &str = "preprocessor_config.json";
    let patient = Patient::new();
    patient.edit(FILE, |config| config["max_slice_nums"] = json!(1));
    let finding = patient.suffers_from(Code::PreprocessorDiffers, FILE, Some("max_slice_nums"));
    assert!(finding.problem.contains("`1`") && finding.problem.contains("`9`"));
    fs::remove_file(patient.path(FILE)).unwrap();
    patient.suffers_from(Code::PreprocessorUnreadable, FILE, None);
}

#[test]
fn several_defects_at_once_are_all_found() {
    let patient = Patient::new();
    patient.operate(MODEL, |tensors| {
        drop(tensors.remove("apm.conv2.bias"));
        tensors.get_mut(Q_PROJ).unwrap().set(3, f32::NAN);
        tensors.insert("vpm.head".to_owned(), Numbers::of(&[3], 1.0));
    });
    fs::remove_file(patient.path(HEAD)).unwrap();
    patient.edit("preprocessor_config.json", |config| {
        config["patch_size"] = json!(16);
    });
    let mut codes: Vec<Code> = patient
        .findings()
        .iter()
        .map(|finding| finding.code)
        .collect();
    codes.sort_unstable();
    let expected = [
        Code::TensorMissing,
        Code::TensorUnknown,
        Code::TensorNotFinite,
        Code::HeadMissing,
        Code::PreprocessorDiffers,
    ];
    assert_eq!(codes, expected);
}

#[test]
fn golden_inputs_that_give_other_rewards() {
    // The number of letters stands for a model, whose rewards are another test's business.
    let letters = |factor: f64| {
        move |pairs: &[PreferencePair], _: Precision| {
            let rewards = |pair: &PreferencePair| {
                let texts = pair.responses.iter().flat_map(|response| &response.parts);
                texts
                    .map(|part| factor * part.as_text().unwrap().len() as f64)
                    .collect()
            };
            Ok(pairs.iter().map(rewards).collect())
        }
    };
    let patient = Patient::new();
    let golden: Golden =
        write_golden(patient.folder.path(), Precision::Bf16, &letters(0.01)).unwrap();
    let examine = |factor: f64| {
        patient.examine(&Examination {
            deep: false,
            score: Some(&letters(factor)),
        })
    };
    assert_eq!(examine(0.01), []);
    assert_eq!(examine(0.0101), [], "rounding is not a defect");
    let findings = examine(0.02);
    assert!(!findings.is_empty() && findings.len() <= golden.pairs.len() * 2);
    assert!(
        findings
            .iter()
            .all(|finding| finding.code == Code::GoldenReward)
    );
    let finding = patient.suffers_from(Code::GoldenUnchecked, "golden.json", None);
    assert_eq!(finding.severity, Severity::Warning);
    patient.edit("golden.json", |golden| {
        golden["pairs"][0]["rewards"] = json!([1.0]);
    });
    patient.suffers_from(Code::GoldenUnreadable, "golden.json", None);
}

#[test]
fn a_folder_of_something_else_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "nothing here").unwrap();
    let codes: Vec<Code> = doctor(folder.path(), &Examination::default(), &NoProgress)
        .unwrap()
        .iter()
        .map(|finding| finding.code)
        .collect();
    let expected = [
        Code::ConfigUnreadable,
        Code::WeightsMissing,
        Code::TokenizerUnreadable,
    ];
    assert_eq!(codes, expected);
    let nowhere = folder.path().join("nowhere");
    assert!(doctor(&nowhere, &Examination::default(), &NoProgress).is_err());
}
