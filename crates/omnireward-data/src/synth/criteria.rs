//! Criteria in words: free-form sentences about one aspect.
//!
//! A sentence is a frame with a phrase for the aspect in it. Whole sentences are divided between the
//! splits, so that a judge is tested on sentences that it was not trained on, made of frames and
//! phrases that it was.

use omnireward_core::Task;

use super::{
    Split,
    aspect::{Aspect, Defect, Trait},
    random::Random,
    scene::{Attribute, Kind},
};

/// Which way an aspect is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sense {
    /// More merit is better.
    Usual,
    /// Less merit is better: the shorter answer, the picture with more noise.
    Inverse,
}

/// Sentences with `{p}` for the aspect, at the beginning of a sentence `{P}`, `{r}` for a response
/// and `{s}` for what it must agree with.
const RIGHT: [&str; 12] = [
    "Which {r} gets {p} right?",
    "Prefer the {r} that gets {p} right.",
    "{P} should be correct; ignore everything else.",
    "{P} must agree with the {s}.",
    "Judge only {p}.",
    "Look at {p} and nothing else.",
    "The better {r} is right about {p}.",
    "What matters here is {p}.",
    "Choose by {p} alone.",
    "I only care about {p}.",
    "Compare {p} with the {s}.",
    "Is {p} right? Nothing else counts.",
];
const KEEP: [&str; 12] = [
    "Which {r} keeps {p} as before?",
    "Prefer the {r} that leaves {p} alone.",
    "{P} should stay the same; ignore everything else.",
    "{P} must not change.",
    "The better {r} does not touch {p}.",
    "Choose the {r} that keeps {p} the same.",
    "Check only that {p} did not change.",
    "I want {p} to stay as before.",
    "Look only at whether {p} stays the same.",
    "Is {p} still the same? Nothing else counts.",
    "Apart from the edit, {p} should be kept.",
    "What matters here is that {p} does not change.",
];
const LESS: [&str; 12] = [
    "Which {r} has less {p}?",
    "Prefer the {r} with less {p}.",
    "The better {r} shows less {p}.",
    "Less {p} is better.",
    "Choose the {r} with the least {p}.",
    "{P} is bad; ignore everything else.",
    "I want as little {p} as possible.",
    "Look only at {p}: less is better.",
    "Pick the {r} that is more free of {p}.",
    "What matters here is to avoid {p}.",
    "Is there any {p}? Less is better, and nothing else counts.",
    "Judge only how little {p} there is.",
];
const MORE: [&str; 4] = [
    "Which {r} has more {p}?",
    "Prefer the {r} with more {p}.",
    "Choose the {r} with the most {p}.",
    "More {p} is better here.",
];
const WHICH: [&str; 12] = [
    "Which {r} is {p}?",
    "Prefer the {p} {r}.",
    "Choose the {p} {r}.",
    "The {p} {r} is better.",
    "Pick whichever {r} is {p}.",
    "The better {r} is the {p} one.",
    "I want the {p} {r}; ignore everything else.",
    "Judge only which {r} is {p}.",
    "What matters here is that the {r} is {p}.",
    "Look for the {p} {r} and nothing else.",
    "I only care about which {r} is {p}.",
    "To be {p} is all that counts.",
];

/// A criterion of the split, in words drawn at random.
pub(super) fn wording(
    aspect: Aspect,
    sense: Sense,
    task: Task,
    kind: Kind,
    split: Split,
    random: &mut Random,
) -> String {
    let sentences = Sentences::of(aspect, sense, task, kind);
    let count = sentences.len();
    let start = random.below(count);
    let place = (start..start + count)
        .map(|place| place % count)
        .find(|&place| sentences.split(place) == split)
        .expect("a test sees that every aspect has sentences in both splits");
    sentences.get(place)
}

/// All ways to ask for an aspect.
struct Sentences {
    frames: &'static [&'static str],
    phrases: [&'static str; 4],
    response: &'static str,
    standard: &'static str,
}

impl Sentences {
    fn of(aspect: Aspect, sense: Sense, task: Task, kind: Kind) -> Self {
        let (frames, phrases): (&[_], _) = match (aspect, sense) {
            (Aspect::Attribute(attribute), _) if task == Task::TI2I => {
                (&KEEP, attribute_phrases(attribute, kind))
            }
            (Aspect::Attribute(attribute), _) => (&RIGHT, attribute_phrases(attribute, kind)),
            (Aspect::Edit, _) => (&RIGHT, EDIT),
            (Aspect::Rest, _) => (&KEEP, REST),
            (Aspect::Defect(defect), Sense::Usual) => (&LESS, defect_phrases(defect)),
            (Aspect::Defect(defect), Sense::Inverse) => (&MORE, defect_phrases(defect)),
            (Aspect::Quality, Sense::Usual) => (&LESS, DAMAGE),
            (Aspect::Quality, Sense::Inverse) => (&MORE, DAMAGE),
            (Aspect::Style(property), sense) => (&WHICH, style_phrases(property, sense)),
            (Aspect::Overall, _) => unreachable!("it is compared without a criterion"),
        };
        Self {
            frames,
            phrases,
            response: response_noun(task),
            standard: standard_noun(task),
        }
    }

    const fn len(&self) -> usize {
        self.frames.len() * self.phrases.len()
    }

    /// The frame and the phrase of a sentence.
    const fn parts(&self, place: usize) -> (usize, usize) {
        (place % self.frames.len(), place / self.frames.len())
    }

    /// Where a sentence belongs: about one in five is for testing, and of no frame or phrase all are.
    const fn split(&self, place: usize) -> Split {
        let (frame, phrase) = self.parts(place);
        if (frame + 2 * phrase).is_multiple_of(5) {
            Split::Test
        } else {
            Split::Train
        }
    }

    fn get(&self, place: usize) -> String {
        let (frame, phrase) = self.parts(place);
        let phrase = self.phrases[phrase];
        self.frames[frame]
            .replace("{p}", phrase)
            .replace("{P}", &capitalised(phrase))
            .replace("{r}", self.response)
            .replace("{s}", self.standard)
    }
}

fn capitalised(phrase: &str) -> String {
    let mut characters = phrase.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

const fn response_noun(task: Task) -> &'static str {
    match task {
        Task::T2T | Task::TI2T | Task::TV2T | Task::TA2T => "answer",
        Task::T2I | Task::TI2I => "picture",
        Task::T2V => "video",
        Task::T2A => "recording",
        Task::T23D => "model",
    }
}

const fn standard_noun(task: Task) -> &'static str {
    match task {
        Task::TI2T => "picture",
        Task::TV2T => "video",
        Task::TA2T => "recording",
        Task::T2T | Task::T2I | Task::T2V | Task::T2A | Task::T23D | Task::TI2I => "prompt",
    }
}

const EDIT: [&str; 4] = [
    "the edit",
    "the requested change",
    "the change that was asked for",
    "what the prompt asks for",
];
const REST: [&str; 4] = [
    "the rest of the picture",
    "everything else in the picture",
    "what the prompt does not name",
    "each of the other properties",
];
const DAMAGE: [&str; 4] = ["damage", "distortion", "degradation", "loss of quality"];

const fn attribute_phrases(attribute: Attribute, kind: Kind) -> [&'static str; 4] {
    match (attribute, kind) {
        (Attribute::Count, Kind::Sound) => [
            "the number of sounds",
            "how many sounds there are",
            "the count",
            "the total number",
        ],
        (Attribute::Count, _) => [
            "the number of objects",
            "how many objects there are",
            "the count",
            "the total number",
        ],
        (Attribute::Size, _) => [
            "the size",
            "how large the objects are",
            "the size of the objects",
            "the scale",
        ],
        (Attribute::Colour, _) => [
            "the colour",
            "which colour the objects have",
            "the colour of the objects",
            "the hue",
        ],
        (Attribute::Shape, _) => [
            "the shape",
            "which shape the objects have",
            "the form of the objects",
            "the kind of object",
        ],
        (Attribute::Place, _) => [
            "the place",
            "where the objects are",
            "the position of the objects",
            "the location",
        ],
        (Attribute::Background, _) => [
            "the background",
            "what is behind the objects",
            "the shade of the background",
            "the backdrop",
        ],
        (Attribute::Motion, _) => [
            "the motion",
            "how the objects move",
            "the kind of motion",
            "what the objects do",
        ],
        (Attribute::Speed, _) => [
            "the speed",
            "how fast it goes",
            "the speed of the objects",
            "the tempo",
        ],
        (Attribute::Loudness, _) => [
            "the loudness",
            "how loud the sounds are",
            "the volume",
            "the level of the sounds",
        ],
        (Attribute::Pitch, _) => [
            "the pitch",
            "how high or low the sounds are",
            "the pitch of the sounds",
            "the frequency",
        ],
        (Attribute::Course, _) => [
            "the course of the pitch",
            "whether the pitch rises or falls",
            "the direction of the pitch",
            "how the pitch changes",
        ],
        (Attribute::Timbre, _) => [
            "the kind of sound",
            "what makes the sound",
            "the type of sound",
            "the source of the sound",
        ],
        (Attribute::Rhythm, _) => [
            "the rhythm",
            "how the sounds follow each other",
            "the timing",
            "the spacing of the sounds",
        ],
        (Attribute::Topic | Attribute::Start | Attribute::Side | Attribute::Answer, _) => [
            "the answer",
            "what was asked for",
            "the fact",
            "the solution",
        ],
    }
}

pub(super) const fn defect_phrases(defect: Defect) -> [&'static str; 4] {
    match defect {
        Defect::Blur => ["blur", "blurring", "softness", "visible blur"],
        Defect::Noise => ["noise", "grain", "visible noise", "visible grain"],
        Defect::Banding => ["banding", "striping", "visible striping", "visible banding"],
        Defect::Blocks => ["blockiness", "pixelation", "visible blocking", "blocking"],
        Defect::Frozen => ["freezing", "stutter", "jerking", "visible freezing"],
        Defect::Flicker => ["flicker", "flickering", "flashing", "visible flicker"],
        Defect::Clipping => ["clipping", "overdrive", "harshness", "overload"],
        Defect::Hiss => ["hiss", "background noise", "hissing", "static"],
        Defect::Dropouts => ["dropping out", "interruption", "chopping", "missing sound"],
        Defect::Holes => [
            "missing surface",
            "loss of surface",
            "open surface",
            "hollow surface",
        ],
        Defect::Roughness => [
            "roughness",
            "bumpiness",
            "visible roughness",
            "rough surface",
        ],
    }
}

const fn style_phrases(property: Trait, sense: Sense) -> [&'static str; 4] {
    match (property, sense) {
        (Trait::Length, Sense::Usual) => ["longer", "wordier", "lengthier", "more extended"],
        (Trait::Length, Sense::Inverse) => ["shorter", "briefer", "more concise", "more compact"],
        (Trait::Politeness, _) => ["more polite", "friendlier", "more courteous", "kinder"],
        (Trait::List, _) => [
            "better structured",
            "more clearly laid out",
            "easier to scan",
            "more list-like",
        ],
        (Trait::Excitement, Sense::Usual) => [
            "more excited",
            "more enthusiastic",
            "livelier",
            "more energetic",
        ],
        (Trait::Excitement, Sense::Inverse) => {
            ["calmer", "more sober", "more neutral", "less excited"]
        }
        (Trait::Economy, _) => [
            "less repetitive",
            "less redundant",
            "more free of repetition",
            "more economical",
        ],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const KINDS: [Kind; 5] = [
        Kind::Picture,
        Kind::Film,
        Kind::Sound,
        Kind::Solid,
        Kind::Riddle,
    ];

    /// Every aspect that is asked about in a task.
    fn everything() -> Vec<(Sentences, String)> {
        let mut all = Vec::new();
        for task in Task::ALL {
            for kind in KINDS {
                let mut aspects = vec![Aspect::Edit, Aspect::Rest, Aspect::Quality];
                aspects.extend(kind.attributes().iter().copied().map(Aspect::Attribute));
                aspects.extend(Defect::of(kind).iter().copied().map(Aspect::Defect));
                let traits = [
                    Trait::Length,
                    Trait::Politeness,
                    Trait::List,
                    Trait::Excitement,
                    Trait::Economy,
                ];
                aspects.extend(traits.map(Aspect::Style));
                for aspect in aspects {
                    for sense in [Sense::Usual, Sense::Inverse] {
                        let name = format!("{task} {kind:?} {aspect:?} {sense:?}");
                        all.push((Sentences::of(aspect, sense, task, kind), name));
                    }
                }
            }
        }
        all
    }

    #[test]
    fn every_aspect_has_sentences_to_train_and_to_test_on() {
        let mut known: BTreeMap<String, Split> = BTreeMap::new();
        for (sentences, name) in everything() {
            let places = || 0..sentences.len();
            let all: BTreeSet<String> = places().map(|place| sentences.get(place)).collect();
            assert_eq!(all.len(), sentences.len(), "{name}");
            let is_test = |place: &usize| sentences.split(*place) == Split::Test;
            let share = places().filter(is_test).count() as f64 / all.len() as f64;
            assert!((0.15..0.25).contains(&share), "{name}: {share}");
            for place in places() {
                let split = sentences.split(place);
                let before = known.insert(sentences.get(place), split);
                assert!(
                    before.is_none_or(|before| before == split),
                    "{name}: {place}"
                );
            }
        }
    }

    #[test]
    fn every_frame_and_phrase_occurs_in_training() {
        for (sentences, name) in everything() {
            let trained: Vec<(usize, usize)> = (0..sentences.len())
                .filter(|&place| sentences.split(place) == Split::Train)
                .map(|place| sentences.parts(place))
                .collect();
            let frames: BTreeSet<usize> = trained.iter().map(|&(frame, _)| frame).collect();
            let phrases: BTreeSet<usize> = trained.iter().map(|&(_, phrase)| phrase).collect();
            assert_eq!(frames.len(), sentences.frames.len(), "{name}");
            assert_eq!(phrases.len(), sentences.phrases.len(), "{name}");
        }
    }

    #[test]
    fn sentences_begin_with_a_capital_and_leave_no_braces() {
        for (sentences, _) in everything() {
            for place in 0..sentences.len() {
                let sentence = sentences.get(place);
                assert!(!sentence.contains(['{', '}']), "{sentence}");
                assert!(sentence.starts_with(char::is_uppercase), "{sentence}");
            }
        }
    }
}
