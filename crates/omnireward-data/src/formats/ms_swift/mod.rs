//! Preference data as ms-swift takes it for DPO and reward models: JSON lines in its standard form.
//!
//! `messages` ends with the preferred answer. The other one is `rejected_response` (a string, or a list of one message)
//! or the end of `rejected_messages`. `images`, `videos` and `audios` name media, whose places in the messages are
//! `<image>`, `<video>` and `<audio>`; `rejected_images` and so on name those of the other side where they differ.
//!
//! * When both sides say the same and differ in their media, the row is about the media: the answers' words are what was
//!   to be generated, and what the user's turn holds was made from it. That is Omni-Reward's dialect turned into
//!   ms-swift's columns, and the form in which ms-swift's own documentation compares pictures.
//! * Media without a place come before the user's first words.
//! * The column `omnireward`, where it is there, [carries](super::carried) what the form has no columns for, the criterion
//!   among it, which stands in the messages as the system's. Any other system message is part of the prompt.
//!
//! The preferred side is the first response. A pair's id is its `id`, else its row, from 0; pairs with one prompt share a
//! group. A row without either answer (plain fine-tuning data) is refused.

mod convert;
mod write;

pub(crate) use write::laid_out_whole;

use super::{
    Entry,
    sketch::{Kind, Sketch},
    source::{self, Pairs},
};
use crate::Format;

pub(super) const ENTRY: Entry = Entry {
    format: Format::MsSwift,
    looked_for: "JSON lines with `messages` and `rejected_response`, `rejected_messages` or `rejected_images`",
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

/// The fields of the other side.
const REJECTED: [&str; 5] = [
    "rejected_response",
    "rejected_messages",
    "rejected_images",
    "rejected_videos",
    "rejected_audios",
];

fn recognises(sketch: &Sketch) -> bool {
    sketch.holds("messages", &[Kind::Objects]) && REJECTED.iter().any(|field| sketch.has(&[field]))
}
