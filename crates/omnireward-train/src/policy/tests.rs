//! Packed, shared and in chunks, gradients are those of each reply alone.

use std::{collections::BTreeMap, path::Path};

use candle_core::{DType, Tensor, backprop::GradStore};
use omnireward_core::NoProgress;
use omnireward_models::{
    Forest, Row, TokenTree,
    checkpoint::{Family, RandomCheckpoint, Size},
    generation::Prompt,
    weights::StoredType,
};
use serde_json::json;
use tempfile::TempDir;

use super::{Dialogue, Policy, streams};
use crate::{SftRecipe, optimiser::Parameter};

const TEMPERATURE: f64 = 0.7;
/// Tokens of a reply: no divisor of a chunk's rows.
const LONG: usize = 7;

fn policy(family: Family, class: &str, settings: &str) -> (TempDir, Policy) {
    let folder = tempfile::tempdir().unwrap();
    let mut random =
        RandomCheckpoint::new(family, Size::Tiny).with("architectures", json!([class]));
    random.dtype = StoredType::F32;
    random.write(folder.path(), &NoProgress).unwrap();
    let text = format!(
        "model.path = 'base'\n[train]\nbatch = 1\nsteps = 1\nlearning_rate = 1\n{settings}\n\
         [[data]]\npath = 'memory'\n"
    );
    let recipe = SftRecipe::parse(&text, Path::new("sft.toml"), &[]).unwrap();
    let policy = Policy::open(folder.path(), &recipe.model, &recipe.train).unwrap();
    (folder, policy)
}

/// Twenty replies to each of two prompts, many of which begin alike, and what the loss counts each token.
fn lessons() -> (Vec<Prompt>, Vec<Vec<u32>>, Vec<f64>) {
    let prompts = [&[5, 6, 7, 8][..], &[5, 6, 9]].map(Prompt::of_tokens);
    let replies: Vec<Vec<u32>> = (0..40_u32)
        .map(|reply| {
            (0..LONG as u32)
                .map(|place| 20 + (reply >> place) % 2 + place)
                .collect()
        })
        .collect();
    let counts = (0..40 * LONG).map(|token| (token as f64 * 0.37).sin());
    (Vec::from(prompts), replies, counts.collect())
}

fn dialogues<'a>(prompts: &'a [Prompt], replies: &'a [Vec<u32>]) -> Vec<Dialogue<'a>> {
    prompts
        .iter()
        .zip(replies.chunks(20))
        .map(|(prompt, replies)| Dialogue {
            prompt,
            replies: replies.iter().map(|reply| &reply[..]).collect(),
        })
        .collect()
}

type Gradients = BTreeMap<String, Vec<f64>>;

fn add(sums: &mut Gradients, parameters: &[Parameter], gradients: &GradStore) {
    for Parameter { name, var, .. } in parameters {
        if let Some(gradient) = gradients.get(var.as_tensor()) {
            let numbers = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let sum = sums.entry(name.clone()).or_default();
            sum.resize(numbers.len(), 0.0);
            for (sum, number) in sum.iter_mut().zip(numbers) {
                *sum += f64::from(number);
            }
        }
    }
}

/// Log-probabilities, the sum of entropies, and gradients, of every reply alone.
fn alone(policy: &Policy) -> (Vec<f64>, f64, Gradients) {
    let (prompts, replies, counts) = lessons();
    let decoder = policy.network.decoder();
    let parameters = policy.variables.parameters();
    let (mut all, mut entropy, mut sums) = (Vec::new(), 0.0, Gradients::new());
    for (index, reply) in replies.iter().enumerate() {
        let prompt = &prompts[index / 20].rows;
        let words = reply.iter().copied().map(Row::token);
        let rows: Vec<Row> = prompt.iter().copied().chain(words).collect();
        let tokens: Vec<u32> = rows.iter().map(|row| row.token).collect();
        let tree = TokenTree::new(&[rows]);
        let Forest {
            positions, layout, ..
        } = Forest::new(&[(&tree, 0)]);
        let reads: Vec<usize> = (prompt.len() - 1..prompt.len() - 1 + LONG).collect();
        let inputs = decoder.embed(&tokens).unwrap();
        let hidden = decoder
            .forward(&inputs, &positions, &layout, &reads)
            .unwrap();
        let hidden = hidden.to_dtype(DType::F32).unwrap();
        let logits = (decoder.logits(&hidden).unwrap() / TEMPERATURE).unwrap();
        let sum = logits.exp().unwrap().sum_keepdim(1).unwrap();
        let device = logits.device();
        let words = Tensor::from_slice(reply, (LONG, 1), device).unwrap();
        let said = (logits.gather(&words, 1).unwrap() - sum.log().unwrap()).unwrap();
        let said = said.flatten_all().unwrap();
        all.extend(said.to_vec1::<f32>().unwrap().into_iter().map(f64::from));
        let logits = logits.to_vec2::<f32>().unwrap();
        entropy += logits.iter().map(|logits| entropy_of(logits)).sum::<f64>();
        let own = counts[index * LONG..(index + 1) * LONG].iter();
        let own: Vec<f32> = own.map(|&count| count as f32).collect();
        let own = Tensor::from_vec(own, LONG, device).unwrap();
        let loss = (said * own).unwrap().sum_all().unwrap();
        add(&mut sums, &parameters, &loss.backward().unwrap());
    }
    (all, entropy, sums)
}

fn entropy_of(logits: &[f32]) -> f64 {
    let weights: Vec<f64> = logits.iter().map(|&logit| f64::from(logit).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let shares = weights.iter().map(|weight| weight / sum);
    shares.map(|share| -share * share.ln()).sum()
}

/// The same of all replies in streams of so many rows.
fn packed(policy: &Policy, batch_rows: usize) -> (Vec<f64>, f64, Gradients) {
    let (prompts, replies, counts) = lessons();
    let parameters = policy.variables.parameters();
    let scorer = policy.scorer(policy.network.decoder(), TEMPERATURE);
    let (mut all, mut entropy, mut sums) = (Vec::new(), 0.0, Gradients::new());
    for (_, stream) in streams(&dialogues(&prompts, &replies), batch_rows) {
        let done = all.len();
        let mut by = |first: usize, now: &[f64]| {
            let start = done + first;
            Ok(counts[start..start + now.len()].to_vec())
        };
        let mut sink = |gradients: GradStore| {
            add(&mut sums, &parameters, &gradients);
            Ok(())
        };
        let observed = scorer.learn(&stream, &mut by, &mut sink).unwrap();
        assert_eq!(observed, scorer.observe(&stream).unwrap());
        all.extend(observed.log_probabilities);
        entropy += observed.entropy;
    }
    (all, entropy, sums)
}

fn distance(one: &[f64], other: &[f64]) -> f64 {
    assert_eq!(one.len(), other.len());
    let differences = one
        .iter()
        .zip(other)
        .map(|(one, other)| (one - other).abs());
    differences.fold(0.0, f64::max)
}

#[test]
fn gradients_are_those_of_each_reply_alone() {
    for (family, class) in [
        (Family::Qwen2, "Qwen2ForCausalLM"),
        (Family::Llama, "LlamaForCausalLM"),
    ] {
        for settings in [
            "gradient_checkpointing = false",
            "gradient_checkpointing = true",
            "lora = { rank = 2, alpha = 4 }",
            "freeze = ['model.embed_tokens.', 'model.layers.0.']",
        ] {
            let (_folder, policy) = policy(family, class, settings);
            let (said, entropy, gradients) = alone(&policy);
            for batch_rows in [1 << 20, 60] {
                let found = packed(&policy, batch_rows);
                assert!(distance(&found.0, &said) < 1e-4, "{class}, {settings}");
                assert!((found.1 - entropy).abs() < 1e-2, "{class}, {settings}");
                let names =
                    |gradients: &Gradients| -> Vec<String> { gradients.keys().cloned().collect() };
                assert_eq!(names(&found.2), names(&gradients), "{class}, {settings}");
                assert_eq!(gradients.len(), policy.variables.names().count());
                for (name, expected) in &gradients {
                    let size = expected
                        .iter()
                        .fold(1e-3_f64, |size, one| size.max(one.abs()));
                    let distance = distance(&found.2[name], expected);
                    assert!(
                        distance < 1e-4 * size,
                        "{class}, {settings}, {name}: {distance:e} of {size:e}"
                    );
                }
            }
        }
    }
}
