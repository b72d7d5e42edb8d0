use omnireward_core::{MediaRef, Modality, Part, PreferencePair, Response, joined_text};

use crate::{
    Error, Result,
    processor::{MediaSplit, MixedMedia, Preprocessing},
};

/// Refuses pairs whose media the preprocessing does not take.
pub(super) fn check(pair: &PreferencePair, preprocessing: &Preprocessing) -> Result<()> {
    let refused = |reason: String| {
        Err(Error::Unsupported {
            pair: pair.id.clone(),
            reason,
        })
    };
    if preprocessing.mixed_media == MixedMedia::Refused
        && has(pair, Kind::Image)
        && has(pair, Kind::Video)
    {
        return refused(
            "it has images and videos, which `mixed_media = \"refused\"` does not take".to_owned(),
        );
    }
    if preprocessing.media_split == MediaSplit::ByCount {
        for other in pair.responses.iter().skip(1) {
            if let Some(kind) = misdealt(pair, [&pair.responses[0], other]) {
                return refused(format!(
                    "by their number its {} are dealt out between the responses, which leaves \
                     placeholders without media; `media_split = \"by_role\"` takes it",
                    kind.plural()
                ));
            }
        }
    }
    Ok(())
}

/// The kinds that the original keeps in columns of their own. A mesh is an image of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Image,
    Video,
    Audio,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Image, Self::Video, Self::Audio];

    const fn of(media: &MediaRef) -> Self {
        match media.modality {
            Modality::Video => Self::Video,
            Modality::Audio => Self::Audio,
            Modality::Image | Modality::Mesh | Modality::Text => Self::Image,
        }
    }

    const fn plural(self) -> &'static str {
        match self {
            Self::Image => "images",
            Self::Video => "videos",
            Self::Audio => "sounds",
        }
    }
}

fn has(pair: &PreferencePair, kind: Kind) -> bool {
    let responses = pair.responses.iter().map(|response| &response.parts);
    std::iter::once(&pair.prompt)
        .chain(responses)
        .any(|parts| count(parts, kind) > 0)
}

fn count(parts: &[Part], kind: Kind) -> usize {
    parts
        .iter()
        .filter_map(Part::as_media)
        .filter(|media| Kind::of(media) == kind)
        .count()
}

/// The kind of media of which the original's rule gives a response another number than it has places
/// for.
fn misdealt(pair: &PreferencePair, responses: [&Response; 2]) -> Option<Kind> {
    let same_text = pair.task.is_generation()
        || joined_text(&responses[0].parts) == joined_text(&responses[1].parts);
    Kind::ALL.into_iter().find(|&kind| {
        let prompt = count(&pair.prompt, kind);
        let own = responses.map(|response| count(&response.parts, kind));
        let places = own.map(|own| prompt + own);
        // Of a generation task the prompt's media are written down with either side.
        let column = if pair.task.is_generation() {
            places[0] + places[1]
        } else {
            prompt + own[0] + own[1]
        };
        let given = match column {
            2 => [1, 1],
            3.. if kind == Kind::Image && same_text => [column / 2, column - column / 2],
            _ => [column; 2],
        };
        column > 0 && given != places
    })
}
