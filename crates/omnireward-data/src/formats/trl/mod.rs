//! Preference data as TRL's trainers take it.
//!
//! `chosen` and `rejected` are strings or lists of messages, and `prompt` is there or implied:
//!
//! * Without `prompt`, messages that both sides begin with are the prompt. For strings it is what
//!   both begin with, up to the last `\n\nAssistant:` in it where dialogues are written that way,
//!   and otherwise up to the last space, as TRL splits them.
//! * A list that repeats the prompt's messages before the answer is read as an implied prompt; a
//!   `prompt` string beside it stays in `extra`.
//! * `images` (or `image`) holds file names or, in parquet, pictures. They take the places of
//!   `{"type": "image"}` parts in the prompt; images without a place come first. In a prompt that is a
//!   string, as many `<image>` as there are images are such places too (OmniAlign-V-DPO has them).
//! * Our own writer puts the criterion in a system message and repeats it in a `criterion`
//!   column; such a system message is read as the criterion. Any other system message is part of
//!   the prompt.
//!
//! * The column `omnireward`, where it is there, [carries](super::carried) what the form has no columns for.
//!
//! OpenRLHF's conversations are the form with an implied prompt.
//!
//! The chosen side is the first response. A pair's id is its `id`, else its row, from 0; pairs
//! with one prompt share a group.

mod convert;
mod tables;
mod write;

use omnireward_core::Task;

pub(crate) use tables::TrlTables;
pub use write::trl_preference;
pub(crate) use write::{laid_out_conversations, laid_out_whole};

use super::{
    Entry,
    sketch::{Kind, Sketch},
    source::{self, Pairs},
};
use crate::Format;

pub(super) const ENTRY: Entry = Entry {
    format: Format::TrlPreference,
    looked_for: "parquet or JSON with `chosen` and `rejected`, both strings or both messages",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            None,
            Pairs::Each(1),
            |source| source::each_row(source, convert::pair),
        ))
    },
};

/// Fields that records of other formats with `chosen` and `rejected` have.
const OTHERS: [&str; 9] = [
    "conversations",
    "instruction",
    "chosen_model",
    "rejected_model",
    "num_correct",
    "levels",
    "responses",
    "score_chosen",
    "question",
];

fn recognises(sketch: &Sketch) -> bool {
    let both = |kind: Kind| sketch.holds("chosen", &[kind]) && sketch.holds("rejected", &[kind]);
    (both(Kind::Text) || both(Kind::Objects)) && sketch.lacks(&OTHERS)
}

/// The task of text answers to a prompt with or without pictures.
const fn task_of(has_images: bool) -> Task {
    if has_images { Task::TI2T } else { Task::T2T }
}
