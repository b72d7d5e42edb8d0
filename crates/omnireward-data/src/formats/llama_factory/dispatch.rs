//! Which medium of a record belongs to the prompt, to the chosen or to the rejected side.
//!
//! Understanding tasks share their media: they belong to the prompt, and the answers differ.
//! Generation tasks are stored inside out: the human turn holds only placeholders for the generated
//! media, and both answers hold the *generation prompt*; the media column lists the chosen side
//! first and then the rejected one, either flat in two halves or as one list a side. A side of an
//! edited image holds the source and then the result; a side of a video may be given as frames.
//!
//! A record is a generation sample when its set's name says so (see
//! [`task_of`](super::declared::task_of)), and otherwise when both answers are the same text and
//! there are at least two media. So a question about two images, whose answers differ, keeps both
//! images in its prompt. Omni-Reward's own loader goes by the number of media first, gives one
//! image to each side of such a question, and fails on it.

use omnireward_core::{MediaRef, Modality, Task};

use crate::{RowError, error::Fault};

/// The media column of a record.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::formats) struct Column {
    pub(in crate::formats) field: String,
    pub(in crate::formats) modality: Modality,
    pub(in crate::formats) media: Media,
}

/// The entries of a media column.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::formats) enum Media {
    /// One list for both sides.
    Flat(Vec<MediaRef>),
    /// A list for each side, chosen first.
    BySide([Vec<MediaRef>; 2]),
}

/// Where the media of a record belong.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::formats) enum Placement {
    /// To the prompt.
    Shared(Vec<MediaRef>),
    /// To the sides: the answers are the generation prompt.
    BySide {
        /// The mapping.
        task: Task,
        /// The image that was edited.
        original: Option<MediaRef>,
        /// The generated media, chosen first.
        sides: [Vec<MediaRef>; 2],
    },
}

/// Places the media of one column. `known` is the task of the set, if its name tells.
pub(in crate::formats) fn place(
    column: Column,
    same_answer: bool,
    known: Option<Task>,
) -> Result<Placement, Fault> {
    let generation = known.map_or(same_answer && column.media.len() >= 2, Task::is_generation);
    let Column {
        field,
        modality,
        media,
    } = column;
    let inconsistent = |reason: String| RowError::Inconsistent(reason).in_field(field.as_str());
    if !generation {
        return match media {
            Media::Flat(shared) => Ok(Placement::Shared(shared)),
            Media::BySide([shared, other]) if shared == other => Ok(Placement::Shared(shared)),
            Media::BySide(_) => Err(inconsistent(
                "the sides differ in their media and in their answers".to_owned(),
            )),
        };
    }
    if !same_answer {
        let reason = "a generation sample holds its prompt in both answers, but they differ";
        return Err(RowError::Inconsistent(reason.to_owned()).in_field("rejected"));
    }
    let [chosen, rejected] = media.halves().map_err(inconsistent)?;
    if chosen.len() != rejected.len() {
        let (one, other) = (chosen.len(), rejected.len());
        return Err(inconsistent(format!(
            "{one} media for the chosen side, {other} for the other"
        )));
    }
    let task = match known {
        Some(task) => task,
        None => generated_by(modality, &chosen, &rejected)
            .ok_or_else(|| inconsistent(format!("no task answers with {modality}")))?,
    };
    if task == Task::TI2I {
        return edited(chosen, rejected).map_err(inconsistent);
    }
    Ok(Placement::BySide {
        task,
        original: None,
        sides: [chosen, rejected],
    })
}

/// The generation task that sides with such media belong to. Two images a side that begin with the
/// same one are an edit; other longer lists of images are the frames of a video.
fn generated_by(modality: Modality, chosen: &[MediaRef], rejected: &[MediaRef]) -> Option<Task> {
    match (modality, chosen.len()) {
        (Modality::Image, 1) => Some(Task::T2I),
        (Modality::Image, 2) if chosen[0] == rejected[0] => Some(Task::TI2I),
        (Modality::Image | Modality::Video, _) => Some(Task::T2V),
        (Modality::Audio, _) => Some(Task::T2A),
        (Modality::Mesh, _) => Some(Task::T23D),
        (Modality::Text, _) => None,
    }
}

fn edited(mut chosen: Vec<MediaRef>, mut rejected: Vec<MediaRef>) -> Result<Placement, String> {
    if chosen.len() != 2 {
        return Err(format!(
            "an edit has a source and a result on each side, not {}",
            chosen.len()
        ));
    }
    let original = chosen.remove(0);
    if original != rejected.remove(0) {
        return Err("the sides edit different images".to_owned());
    }
    Ok(Placement::BySide {
        task: Task::TI2I,
        original: Some(original),
        sides: [chosen, rejected],
    })
}

impl Media {
    /// How many entries the column has, counting a list as one.
    fn len(&self) -> usize {
        match self {
            Self::Flat(media) => media.len(),
            Self::BySide(_) => 2,
        }
    }

    fn halves(self) -> Result<[Vec<MediaRef>; 2], String> {
        match self {
            Self::BySide(sides) => Ok(sides),
            Self::Flat(mut chosen) => {
                let count = chosen.len();
                if count == 0 || count % 2 != 0 {
                    return Err(format!("{count} media cannot be split between two sides"));
                }
                let rejected = chosen.split_off(count / 2);
                Ok([chosen, rejected])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use omnireward_core::MediaSource;

    use super::*;

    fn media(modality: Modality, names: &[&str]) -> Vec<MediaRef> {
        let absent = |name: &&str| MediaSource::Absent {
            name: (*name).to_owned(),
        };
        names
            .iter()
            .map(|name| MediaRef {
                modality,
                source: absent(name),
            })
            .collect()
    }

    fn images(names: &[&str]) -> Column {
        column(Modality::Image, names)
    }

    fn column(modality: Modality, names: &[&str]) -> Column {
        Column {
            field: "images".to_owned(),
            modality,
            media: Media::Flat(media(modality, names)),
        }
    }

    fn task_and_sides(placement: Placement) -> (Task, usize, Vec<String>) {
        let Placement::BySide { task, sides, .. } = placement else {
            panic!("shared: {placement:?}");
        };
        let names = sides
            .iter()
            .flatten()
            .map(|media| media.name().to_owned())
            .collect();
        (task, sides[0].len(), names)
    }

    #[test]
    fn two_images_belong_to_the_question_when_the_answers_differ() {
        let placement = place(images(&["a", "b"]), false, None).unwrap();
        assert_eq!(
            placement,
            Placement::Shared(media(Modality::Image, &["a", "b"]))
        );
        let placement = place(images(&["a", "b"]), false, Some(Task::TI2T)).unwrap();
        assert_eq!(
            placement,
            Placement::Shared(media(Modality::Image, &["a", "b"]))
        );
    }

    #[test]
    fn two_images_are_the_sides_when_the_answers_are_the_same() {
        let placement = place(images(&["a", "b"]), true, None).unwrap();
        assert_eq!(
            task_and_sides(placement),
            (Task::T2I, 1, vec!["a".into(), "b".into()])
        );
    }

    #[test]
    fn the_name_of_the_set_decides_before_the_answers() {
        let placement = place(images(&["a", "b"]), true, Some(Task::TI2T)).unwrap();
        assert!(matches!(placement, Placement::Shared(_)));
        let placement = place(images(&["a", "b"]), true, Some(Task::T23D)).unwrap();
        assert_eq!(task_and_sides(placement).0, Task::T23D);
    }

    #[test]
    fn one_medium_is_shared_even_if_the_answers_are_the_same() {
        let placement = place(images(&["a"]), true, None).unwrap();
        assert_eq!(placement, Placement::Shared(media(Modality::Image, &["a"])));
    }

    #[test]
    fn four_images_are_an_edit_or_frames() {
        let edit = place(images(&["s", "a", "s", "b"]), true, None).unwrap();
        let Placement::BySide {
            task,
            original: Some(original),
            sides,
        } = edit
        else {
            panic!("not an edit");
        };
        assert_eq!((task, original.name()), (Task::TI2I, "s"));
        assert_eq!((sides[0][0].name(), sides[1][0].name()), ("a", "b"));
        let frames = place(images(&["a1", "a2", "b1", "b2"]), true, None).unwrap();
        assert_eq!(task_and_sides(frames).0, Task::T2V);
    }

    #[test]
    fn videos_and_audio_follow_their_column() {
        let videos = place(column(Modality::Video, &["a", "b"]), true, None).unwrap();
        assert_eq!(task_and_sides(videos).0, Task::T2V);
        let audio = place(column(Modality::Audio, &["a", "b"]), true, None).unwrap();
        assert_eq!(task_and_sides(audio).0, Task::T2A);
    }

    #[test]
    fn what_cannot_be_placed_is_refused() {
        let refused = |names: &[&str], same, known| {
            place(images(names), same, known)
                .unwrap_err()
                .source
                .to_string()
        };
        assert!(refused(&["a", "b", "c"], true, None).contains("3 media cannot be split"));
        assert!(refused(&["a", "b"], false, Some(Task::T2I)).contains("they differ"));
        assert!(
            refused(&["s", "a", "t", "b"], true, Some(Task::TI2I)).contains("different images")
        );
        assert!(refused(&["a", "b"], true, Some(Task::TI2I)).contains("source and a result"));
        let nested = Column {
            media: Media::BySide([
                media(Modality::Image, &["a"]),
                media(Modality::Image, &["b"]),
            ]),
            ..images(&[])
        };
        let fault = place(nested, false, None).unwrap_err();
        assert!(fault.source.to_string().contains("differ in their media"));
    }
}
