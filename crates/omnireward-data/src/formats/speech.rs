//! Pairs of recorded speech with their clips.
//!
//! * `SpeakBench`: `id`, `instruction` (also as speech, `instruction_audio`, kept in `extra`),
//!   `audio_a`, `audio_b`, `model_a`, `model_b`, `preferred` (`a`, `b` or `tie`).
//! * Speaking rate: `id`, `criterion`, `audio_a`, `audio_b`, `transcript_a`, `transcript_b`,
//!   `preferred`. No prompt asked for these recordings.
//!
//! A pair's id is its `id`. `SpeakBench` pairs of one instruction share a group.

use omnireward_core::{Modality, PreferencePair, Response, Task};

use super::{
    Entry,
    entries::RawRow,
    labels,
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Format, error::Fault, record::Record};

pub(super) const SPEAK_BENCH: Entry = Entry {
    format: Format::SpeakBench,
    looked_for: "JSON lines with `instruction`, `audio_a`, `audio_b` and `preferred`",
    matches: |path| source::any(path, is_speak_bench),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            is_speak_bench,
            Some(Task::T2A),
            Pairs::Each(1),
            |source| source::each_row(source, answers),
        ))
    },
};

pub(super) const SPEED: Entry = Entry {
    format: Format::AudioSpeed,
    looked_for: "JSON lines with `criterion`, `audio_a`, `audio_b`, `transcript_a` and `preferred`",
    matches: |path| source::any(path, is_speed),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            is_speed,
            Some(Task::T2A),
            Pairs::Each(1),
            |source| source::each_row(source, recordings),
        ))
    },
};

/// What stands in place of a prompt for recordings that no prompt asked for.
const NO_PROMPT: &str = "Two recordings of speech.";

fn is_speak_bench(sketch: &Sketch) -> bool {
    sketch.has(&["instruction", "audio_a", "audio_b", "preferred"])
}

fn is_speed(sketch: &Sketch) -> bool {
    sketch.has(&[
        "criterion",
        "audio_a",
        "audio_b",
        "transcript_a",
        "preferred",
    ])
}

fn answers(source: &Source, RawRow { mut record, .. }: RawRow) -> Result<PreferencePair, Fault> {
    let mut responses = clips(source, &mut record)?;
    responses[0].model = record.optional_text("model_a")?;
    responses[1].model = record.optional_text("model_b")?;
    let instruction = record.text("instruction")?;
    source::take_task(&mut record, Task::T2A);
    let mut pair = pair(source, record, instruction, responses)?;
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.source = Some("speak-bench".to_owned());
    Ok(pair)
}

fn recordings(source: &Source, RawRow { mut record, .. }: RawRow) -> Result<PreferencePair, Fault> {
    let responses = clips(source, &mut record)?;
    let criterion = record.text("criterion")?;
    let mut pair = pair(source, record, NO_PROMPT.to_owned(), responses)?.with_criterion(criterion);
    pair.source = Some("speech-speed".to_owned());
    Ok(pair)
}

fn clips(source: &Source, record: &mut Record) -> Result<[Response; 2], Fault> {
    let mut clip = |field: &str| {
        let name = record.text(field)?;
        source
            .media(&name, Modality::Audio)
            .map(Response::media)
            .map_err(|error| error.in_field(field))
    };
    Ok([clip("audio_a")?, clip("audio_b")?])
}

fn pair(
    source: &Source,
    mut record: Record,
    prompt: String,
    responses: [Response; 2],
) -> Result<PreferencePair, Fault> {
    let id = source.id(source::id_of(&mut record, "id")?);
    let label = labels::a_b_or_tie(&mut record, "preferred")?;
    let mut pair = PreferencePair::new(id, Task::T2A, prompt, responses).with_label(label);
    pair.extra = source::extra(record);
    Ok(pair)
}
