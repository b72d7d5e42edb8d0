use std::path::PathBuf;

use omnireward_core::{
    MediaRef, MediaSource, Modality, Part, PreferencePair, Response, Setting, Task,
};

use super::*;
use crate::media::AudioForm;

fn medium(modality: Modality, name: &str) -> MediaRef {
    MediaRef {
        modality,
        source: MediaSource::File {
            path: PathBuf::from(name),
            name: name.to_owned(),
        },
    }
}

/// A small pair of `task` with a criterion.
fn example(task: Task) -> PreferencePair {
    let response = |side: &str| match task.response_modality() {
        Modality::Text => Response::text(format!("Answer {side}.")),
        modality => Response::media(medium(modality, &format!("{side}.{modality}"))),
    };
    let mut pair =
        PreferencePair::new("p", task, "What is it?", [response("one"), response("two")])
            .with_criterion("Names the colour.");
    if let Some(modality) = task.prompt_modality() {
        pair.prompt
            .push(Part::Media(medium(modality, &format!("input.{modality}"))));
    }
    pair
}

fn pieces(pair: &PreferencePair, audio: AudioForm) -> Vec<Piece<'_>> {
    user_pieces(pair, [&pair.responses[0], &pair.responses[1]], audio)
}

/// The pieces as a person would want to read them: media in angle brackets.
fn shown(pieces: &[Piece<'_>]) -> String {
    let show = |piece: &Piece<'_>| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Prompt(media) => format!("⟨prompt medium {}⟩\n", media.name()),
        Piece::Response(media) => format!("⟨response medium {}⟩\n", media.name()),
        Piece::Joined(media) => {
            let names: Vec<_> = media.iter().map(|media| media.name()).collect();
            format!("⟨joined {}⟩\n", names.join(" + "))
        }
    };
    pieces.iter().map(show).collect()
}

#[test]
fn the_prompts_of_every_task_and_setting() {
    for task in Task::ALL {
        for setting in Setting::ALL {
            let pair = example(task);
            let system = system_message(task, setting, pair.criterion.as_ref());
            let user = shown(&pieces(&pair, AudioForm::Separate));
            let name = format!(
                "{}_{}",
                task.code().to_lowercase(),
                setting.name().replace('-', "_")
            );
            insta::assert_snapshot!(
                name,
                format!("── system ──\n{system}\n\n── user ──\n{user}")
            );
        }
    }
}

#[test]
fn a_pair_without_a_criterion_is_judged_by_general_preference() {
    let system = system_message(Task::T2T, Setting::WithTies, None);
    let paragraphs: Vec<&str> = system.split("\n\n").collect();
    assert!(paragraphs[1].starts_with("General preference"), "{system}");
}

#[test]
fn the_criterion_has_its_own_paragraph_and_is_not_a_template() {
    let criterion = Criterion::new("Uses {criterion}, <image> and {} well").unwrap();
    let system = system_message(Task::T2T, Setting::WithoutTies, Some(&criterion));
    assert!(
        system.contains("\n\nUses {criterion}, <image> and {} well\n\n"),
        "{system}"
    );
    assert!(!system.contains("[[C]]"));
}

#[test]
fn literal_placeholders_do_no_harm() {
    let mut pair = example(Task::TI2T);
    pair.prompt[0] = Part::Text("Is <image> in <video> an <audio>?".to_owned());
    pair.responses[0] = Response::text("<image>");
    let pieces = pieces(&pair, AudioForm::Separate);
    let media = pieces
        .iter()
        .filter(|piece| !matches!(piece, Piece::Text(_)))
        .count();
    assert_eq!(media, 1);
    let shown = shown(&pieces);
    assert!(shown.contains("[[PROMPT]]\nIs <image> in <video> an <audio>?\n[[END OF PROMPT]]"));
    assert!(shown.contains("[[RESPONSE A]]\n<image>\n[[END OF RESPONSE A]]"));
}

#[test]
fn joined_sounds_come_first_and_leave_a_note_in_their_blocks() {
    let pair = example(Task::T2A);
    insta::assert_snapshot!("t2a_joined_user", shown(&pieces(&pair, AudioForm::Joined)));
}

#[test]
fn media_that_are_not_the_tasks_own_stay_where_they_stand_in_the_prompt() {
    let mut pair = example(Task::T2A);
    pair.prompt
        .insert(0, Part::Media(medium(Modality::Audio, "spoken.wav")));
    let shown = shown(&pieces(&pair, AudioForm::Separate));
    assert!(
        shown.starts_with("[[PROMPT]]\n⟨prompt medium spoken.wav⟩\nWhat is it?\n[[END OF PROMPT]]"),
        "{shown}"
    );
}

#[test]
fn a_prompt_without_its_medium_has_no_empty_block() {
    let mut pair = example(Task::TI2T);
    pair.prompt.truncate(1);
    assert!(!shown(&pieces(&pair, AudioForm::Separate)).contains("[[IMAGE]]"));
}

#[test]
fn the_words_of_a_question_are_all_that_is_no_medium() {
    for task in Task::ALL {
        let mut pair = example(task);
        let system = system_message(task, Setting::WithTies, pair.criterion.as_ref());
        let around = shown(&pieces(&pair, AudioForm::Separate));
        let around = around.lines().filter(|line| !line.starts_with('⟨'));
        let words = question_words(&pair, Setting::WithTies).unwrap().concat();
        let expected: Vec<&str> = system.lines().chain(around).collect();
        assert_eq!(
            words.split_whitespace().collect::<String>(),
            expected.concat().split_whitespace().collect::<String>(),
            "{task}"
        );
        pair.responses.pop();
        assert_eq!(question_words(&pair, Setting::WithTies), None);
    }
}

#[test]
fn the_fingerprint_is_a_sha256() {
    assert_eq!(fingerprint().len(), 64);
}
