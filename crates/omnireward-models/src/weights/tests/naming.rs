use candle_core::DType;

use super::{directory, tensor, write};
use crate::{Error, weights::Weights};

fn opened(names: &[&str]) -> Result<Weights, Error> {
    let directory = directory();
    let tensors: Vec<_> = names
        .iter()
        .map(|name| (*name, tensor(&[2, 2], DType::F32)))
        .collect();
    write(directory.path(), "model.safetensors", &tensors);
    Weights::open(directory.path())
}

#[test]
fn a_saved_wrapper_is_taken_off_and_reported() {
    let weights = opened(&[
        "pretrained_model.llm.model.norm.weight",
        "pretrained_model.vpm.post_layernorm.weight",
        "v_head.summary.weight",
    ])
    .unwrap();
    assert_eq!(
        weights.names().collect::<Vec<_>>(),
        [
            "llm.model.norm.weight",
            "v_head.summary.weight",
            "vpm.post_layernorm.weight"
        ]
    );
    let renaming = weights.renaming();
    assert_eq!(renaming.stripped, Some(("pretrained_model.".to_owned(), 2)));
    assert_eq!(renaming.added, None);
}

#[test]
fn a_bare_decoder_gets_the_prefix_of_one_with_a_head() {
    let weights = opened(&[
        "embed_tokens.weight",
        "layers.0.input_layernorm.weight",
        "norm.weight",
        "score.weight",
    ])
    .unwrap();
    assert_eq!(
        weights.names().collect::<Vec<_>>(),
        [
            "model.embed_tokens.weight",
            "model.layers.0.input_layernorm.weight",
            "model.norm.weight",
            "score.weight",
        ]
    );
    assert_eq!(weights.renaming().added, Some(("model.".to_owned(), 3)));
}

#[test]
fn names_of_parts_in_memory_become_those_of_files() {
    let weights = opened(&[
        "lm_head.weight",
        "model.language_model.embed_tokens.weight",
        "model.language_model.norm.weight",
        "model.visual.merger.ln_q.weight",
    ])
    .unwrap();
    assert_eq!(
        weights.names().collect::<Vec<_>>(),
        [
            "lm_head.weight",
            "model.embed_tokens.weight",
            "model.norm.weight",
            "visual.merger.ln_q.weight",
        ]
    );
    assert_eq!(weights.renaming().parts, 3);
    assert!(!weights.renaming().is_none());
}

#[test]
fn a_thinker_is_a_model_of_its_own() {
    let weights = opened(&[
        "talker.model.norm.weight",
        "thinker.lm_head.weight",
        "thinker.model.norm.weight",
        "thinker.visual.merger.ln_q.weight",
    ])
    .unwrap();
    assert_eq!(
        weights.names().collect::<Vec<_>>(),
        [
            "lm_head.weight",
            "model.norm.weight",
            "talker.model.norm.weight",
            "visual.merger.ln_q.weight",
        ]
    );
    assert_eq!(weights.renaming().parts, 3);
}

#[test]
fn both_can_be_needed() {
    let weights = opened(&[
        "pretrained_model.embed_tokens.weight",
        "pretrained_model.norm.weight",
        "v_head.summary.weight",
    ])
    .unwrap();
    assert!(weights.info("model.norm.weight").is_some());
    assert!(!weights.renaming().is_none());
}

#[test]
fn names_that_need_no_change_are_left() {
    for names in [
        [
            "model.embed_tokens.weight",
            "model.norm.weight",
            "score.weight",
        ],
        [
            "apm.layer_norm.weight",
            "llm.model.norm.weight",
            "tts.head.weight",
        ],
        ["embed_tokens.weight", "model.norm.weight", "norm.weight"],
    ] {
        let weights = opened(&names).unwrap();
        assert_eq!(weights.names().collect::<Vec<_>>(), names);
        assert!(weights.renaming().is_none());
    }
}

#[test]
fn names_that_become_one_are_refused() {
    let error = opened(&["pretrained_model.norm.weight", "norm.weight"]).unwrap_err();
    assert!(matches!(error, Error::DuplicateTensor { tensor, .. } if tensor == "norm.weight"));
}
