//! Scenes in words: names of values, descriptions, prompts.

use super::{
    aspect::Damage,
    criteria::defect_phrases,
    random::Random,
    scene::{Attribute, Kind, Scene},
};

const NUMBERS: [&str; 10] = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
];
const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const SIZES: [&str; 2] = ["small", "large"];
const COLOURS: [&str; 6] = ["red", "green", "blue", "yellow", "purple", "orange"];
/// One and several.
const SHAPES: [[&str; 2]; 5] = [
    ["circle", "circles"],
    ["square", "squares"],
    ["triangle", "triangles"],
    ["star", "stars"],
    ["cross", "crosses"],
];
const SOLIDS: [[&str; 2]; 5] = [
    ["cube", "cubes"],
    ["ball", "balls"],
    ["cone", "cones"],
    ["cylinder", "cylinders"],
    ["ring", "rings"],
];
const TIMBRES: [[&str; 2]; 4] = [
    ["beep", "beeps"],
    ["buzz", "buzzes"],
    ["noise burst", "noise bursts"],
    ["spoken vowel", "spoken vowels"],
];
const PLACES: [&str; 5] = [
    "on the left",
    "on the right",
    "at the top",
    "at the bottom",
    "in the middle",
];
const GOALS: [&str; 5] = [
    "to the left",
    "to the right",
    "to the top",
    "to the bottom",
    "to the middle",
];
const BACKGROUNDS: [&str; 3] = ["white", "black", "grey"];
const MOTIONS: [&str; 7] = [
    "moving left",
    "moving right",
    "moving up",
    "moving down",
    "standing still",
    "growing",
    "shrinking",
];
const SPEEDS: [&str; 2] = ["slowly", "quickly"];
const LOUDNESS: [&str; 2] = ["quiet", "loud"];
const PITCHES: [&str; 3] = ["low", "middle", "high"];
const COURSES: [&str; 3] = ["rising", "falling", "steady"];
const RHYTHMS: [&str; 3] = ["at an even pace", "speeding up", "slowing down"];
const SIDES: [&str; 2] = ["after", "before"];

impl Scene {
    /// The scene's value of an attribute in words, for one thing or several as there are.
    pub(super) fn word(&self, attribute: Attribute) -> &'static str {
        let value = self.get(attribute) as usize;
        let form = usize::from(self.count() > 1);
        match attribute {
            Attribute::Count => NUMBERS[value],
            Attribute::Size => SIZES[value],
            Attribute::Colour => COLOURS[value],
            Attribute::Shape if self.kind == Kind::Solid => SOLIDS[value][form],
            Attribute::Shape => SHAPES[value][form],
            Attribute::Place => PLACES[value],
            Attribute::Background => BACKGROUNDS[value],
            Attribute::Motion => MOTIONS[value],
            Attribute::Speed => SPEEDS[value],
            Attribute::Loudness => LOUDNESS[value],
            Attribute::Pitch => PITCHES[value],
            Attribute::Course => COURSES[value],
            Attribute::Timbre => TIMBRES[value][form],
            Attribute::Rhythm => RHYTHMS[value],
            Attribute::Topic => ["day", "number"][value],
            Attribute::Side => SIDES[value],
            Attribute::Start | Attribute::Answer => match self.get(Attribute::Topic) {
                0 => DAYS[value],
                _ => NUMBERS[value],
            },
        }
    }

    /// The whole scene, as in `three small red circles on the left of a white background`.
    pub(super) fn phrase(&self) -> String {
        let mut words: Vec<&str> = Vec::new();
        for attribute in self.told() {
            if attribute == Attribute::Background {
                words.extend(["of a", self.word(attribute), "background"]);
            } else {
                words.push(self.word(attribute));
            }
        }
        words.join(" ")
    }

    /// The scene as a list, a line for each attribute.
    pub(super) fn lines(&self) -> String {
        let lines: Vec<String> = self
            .told()
            .map(|attribute| format!("- {}: {}", heading(attribute), self.word(attribute)))
            .collect();
        lines.join("\n")
    }
}

fn heading(attribute: Attribute) -> &'static str {
    match attribute {
        Attribute::Count => "Number",
        Attribute::Size => "Size",
        Attribute::Colour => "Colour",
        Attribute::Shape => "Shape",
        Attribute::Place => "Place",
        Attribute::Background => "Background",
        Attribute::Motion => "Motion",
        Attribute::Speed => "Speed",
        Attribute::Loudness => "Loudness",
        Attribute::Pitch => "Pitch",
        Attribute::Course => "Course",
        Attribute::Timbre => "Sound",
        Attribute::Rhythm => "Rhythm",
        Attribute::Topic | Attribute::Start | Attribute::Side | Attribute::Answer => "Answer",
    }
}

impl Kind {
    /// What people call a medium of the kind.
    pub(super) const fn medium(self) -> &'static str {
        match self {
            Self::Picture => "picture",
            Self::Film => "video",
            Self::Sound => "recording",
            Self::Solid => "model",
            Self::Riddle => "question",
        }
    }
}

/// What is wrong with a medium, as in `slight blurring`.
pub(super) fn damage_phrase(damage: &Damage, random: &mut Random) -> Option<String> {
    let (defect, level) = damage.first()?;
    let strength = ["slight", "heavy"][usize::from(level) - 1];
    Some(format!(
        "{strength} {}",
        random.pick(&defect_phrases(defect))
    ))
}

/// Asks for words about a scene that is itself given in words.
pub(super) fn ask_in_words(scene: &Scene, random: &mut Random) -> String {
    if scene.kind == Kind::Riddle {
        return ask_riddle(scene, random);
    }
    let (medium, phrase) = (scene.kind.medium(), scene.phrase());
    match random.below(4) {
        0 => format!("Describe a {medium} with {phrase}."),
        1 => format!("Write a sentence about {phrase}."),
        2 => format!("Tell me about a {medium} with {phrase}."),
        _ => format!("Put this {medium} into words: {phrase}."),
    }
}

fn ask_riddle(scene: &Scene, random: &mut Random) -> String {
    let [topic, side, start] =
        [Attribute::Topic, Attribute::Side, Attribute::Start].map(|part| scene.word(part));
    match random.below(3) {
        0 => format!("Which {topic} comes {side} {start}?"),
        1 => format!("Tell me the {topic} {side} {start}."),
        _ => format!("What is the {topic} {side} {start}?"),
    }
}

/// Asks what a medium shows.
pub(super) fn ask_about(kind: Kind, random: &mut Random) -> String {
    let medium = kind.medium();
    let sense = if kind == Kind::Sound { "hear" } else { "see" };
    match random.below(4) {
        0 => format!("What is in the {medium}?"),
        1 => format!("Describe the {medium}."),
        2 => format!("What do you {sense} in the {medium}?"),
        _ => format!("Tell me about the {medium}."),
    }
}

/// Asks for a medium of a scene.
pub(super) fn ask_for(scene: &Scene, random: &mut Random) -> String {
    let phrase = scene.phrase();
    let forms: [&str; 4] = match scene.kind {
        Kind::Picture => ["Draw", "Please draw", "A picture of", "Make a picture with"],
        Kind::Film => ["Show", "Please show", "A video of", "Make a video with"],
        Kind::Sound => [
            "Play",
            "Please play",
            "A recording of",
            "Make a recording with",
        ],
        _ => ["Build", "Please build", "A model of", "Make a model with"],
    };
    format!("{} {phrase}.", random.pick(&forms))
}

/// Asks for a change of one attribute of a picture, from its value in `source` to that in `goal`.
pub(super) fn ask_edit(
    source: &Scene,
    goal: &Scene,
    attribute: Attribute,
    random: &mut Random,
) -> String {
    let value = goal.word(attribute);
    let things = source.word(Attribute::Shape);
    let forms = match attribute {
        Attribute::Count => [
            format!("Show {value} {} instead.", goal.word(Attribute::Shape)),
            format!("Change the number of {things} to {value}."),
        ],
        Attribute::Size => {
            let wanted = ["smaller", "larger"][goal.get(attribute) as usize];
            [
                format!("Make the {things} {wanted}."),
                format!("Change the {things} to be {wanted}."),
            ]
        }
        Attribute::Colour => [
            format!("Make the {things} {value}."),
            format!("Paint the {things} {value}."),
        ],
        Attribute::Shape if source.count() == 1 => [
            format!("Turn the {things} into a {value}."),
            format!("Show a {value} instead of the {things}."),
        ],
        Attribute::Shape => [
            format!("Turn the {things} into {value}."),
            format!("Show {value} instead of {things}."),
        ],
        Attribute::Place => [
            format!("Move the {things} {}.", GOALS[goal.get(attribute) as usize]),
            format!("Put the {things} {value}."),
        ],
        _ => [
            format!("Use a {value} background."),
            format!("Make the background {value}."),
        ],
    };
    let [first, second] = forms;
    if random.below(2) == 0 { first } else { second }
}
