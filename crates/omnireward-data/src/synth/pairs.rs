//! Scenes as preference pairs, with their media.

use std::sync::Arc;

use omnireward_core::{
    Criterion, MediaRef, MediaSource, Modality, Part, Preference, PreferencePair, Response, Task,
};
use omnireward_media::{image::encode_png, video::encode_gif};
use serde_json::{Map, Value, json};

use super::{
    aspect::{Damage, Truth},
    criteria::Sense,
    damage::damage,
    draft::{Draft, Question},
    film,
    picture::paint,
    random::Random,
    scene::{Kind, Scene},
    solid::photograph,
    sound::play,
};

/// The pairs of a scene, one for each criterion, or one without.
pub(super) fn of(draft: &Draft, task: Task, index: usize) -> Vec<PreferencePair> {
    let group = format!("{}-{index:06}", task.code());
    let prompt = prompt(draft, task, &group);
    let responses = responses(draft, task, &group);
    let labelled = |(number, question): (usize, &Question)| {
        let merits: Vec<i32> = draft
            .truths
            .iter()
            .map(|truth| question.merit(&draft.goal, truth))
            .collect();
        let (label, ranking) = judged(&merits);
        PreferencePair {
            prompt: prompt.clone(),
            label,
            ranking,
            source: Some("synth".to_owned()),
            group: Some(group.clone()),
            criterion: question.wording.as_deref().and_then(Criterion::new),
            extra: extra(draft, question),
            ..PreferencePair::new(
                format!("{group}-{}", number + 1),
                task,
                "",
                responses.clone(),
            )
        }
    };
    draft.questions.iter().enumerate().map(labelled).collect()
}

fn prompt(draft: &Draft, task: Task, group: &str) -> Vec<Part> {
    let words = Part::Text(draft.prompt.clone());
    if task.prompt_modality().is_none() {
        return vec![words];
    }
    let edited = draft.goal.edit.as_ref().map(|(_, source)| source);
    let scene = edited.unwrap_or(&draft.goal.scene);
    let medium = medium(
        scene,
        &Damage::default(),
        draft.look,
        &format!("{group}-prompt"),
    );
    vec![Part::Media(medium), words]
}

fn responses(draft: &Draft, task: Task, group: &str) -> Vec<Response> {
    if !task.is_generation() {
        return draft.answers.iter().map(Response::text).collect();
    }
    draft
        .truths
        .iter()
        .zip(&draft.looks)
        .enumerate()
        .map(|(number, (Truth { scene, damage, .. }, &look))| {
            let name = format!("{group}-response-{}", number + 1);
            Response::media(medium(scene, damage, look, &name))
        })
        .collect()
}

/// The medium of a scene, and the name of its file.
pub(super) fn medium(scene: &Scene, flaws: &Damage, look: u64, name: &str) -> MediaRef {
    // Dots and stripes are their own, so that what is clean looks the same with them and without.
    let mut random = Random::new(&[look, 1]);
    let (modality, extension, bytes) = match scene.kind {
        Kind::Film => {
            let frames = film::shoot(scene, flaws, look);
            let gif = encode_gif(&frames, film::FRAME_MILLISECONDS)
                .expect("the frames are small, alike in size and at least one");
            (Modality::Video, "gif", gif)
        }
        Kind::Sound => (Modality::Audio, "wav", play(scene, flaws, look).wav_i16()),
        Kind::Solid => (
            Modality::Image,
            "png",
            encode_png(&photograph(scene, flaws, look)),
        ),
        Kind::Picture | Kind::Riddle => {
            let image = damage(paint(scene, look), flaws, &mut random);
            (Modality::Image, "png", encode_png(&image))
        }
    };
    MediaRef {
        modality,
        source: MediaSource::Bytes {
            bytes: Arc::from(bytes),
            name: Some(format!("synth/{name}.{extension}")),
        },
    }
}

/// The label of two responses, or the ranking of more.
fn judged(merits: &[i32]) -> (Option<Preference>, Option<Vec<u32>>) {
    match *merits {
        [first, second] => {
            let label = match first.cmp(&second) {
                std::cmp::Ordering::Greater => Preference::First,
                std::cmp::Ordering::Less => Preference::Second,
                std::cmp::Ordering::Equal => Preference::Tie,
            };
            (Some(label), None)
        }
        _ => (None, Some(ranking(merits))),
    }
}

/// One more than the number of different merits above each.
fn ranking(merits: &[i32]) -> Vec<u32> {
    let mut steps = merits.to_vec();
    steps.sort_unstable();
    steps.dedup();
    let rank = |merit: &i32| steps.iter().filter(|step| *step > merit).count() as u32 + 1;
    merits.iter().map(rank).collect()
}

fn extra(draft: &Draft, question: &Question) -> Map<String, Value> {
    let truth: Vec<Value> = draft.truths.iter().map(Truth::record).collect();
    let sense = match question.sense {
        Sense::Usual => "usual",
        Sense::Inverse => "inverse",
    };
    let mut extra = Map::new();
    extra.insert("aspect".to_owned(), json!(question.aspect.name()));
    extra.insert("sense".to_owned(), json!(sense));
    extra.insert("goal".to_owned(), json!(draft.goal.scene.record()));
    if let Some((attribute, source)) = &draft.goal.edit {
        extra.insert("edited".to_owned(), json!(attribute.name()));
        extra.insert("before".to_owned(), json!(source.record()));
    }
    extra.insert("truth".to_owned(), json!(truth));
    extra
}
