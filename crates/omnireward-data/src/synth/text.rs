//! Answers in words: a scene stated in one of several ways, with or without ornament.

use super::{
    aspect::Damage,
    random::Random,
    scene::{Attribute, Kind, Scene},
    words::damage_phrase,
};

/// How an answer is written, apart from what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "ornaments go with one another in any combination"
)]
pub(super) struct Style {
    /// Sentences that say nothing, 0 to 2.
    pub(super) padding: u8,
    pub(super) is_polite: bool,
    pub(super) is_list: bool,
    pub(super) is_excited: bool,
    pub(super) repeats: bool,
}

const PADDING: [&str; 4] = [
    "I looked at it with care before writing this answer for you.",
    "That is all that I can say about it in this answer.",
    "There is nothing else in it that I want to tell you about.",
    "That is the whole of it as far as I can tell.",
];
const POLITE_OPENINGS: [&str; 2] = ["Thank you for asking.", "It is a pleasure to help you."];
const POLITE_ENDINGS: [&str; 2] = ["I hope this helps you.", "Please ask me if you need more."];
const EXCITED_OPENINGS: [&str; 2] = ["Wow!", "How nice!"];
const AGAIN: [&str; 2] = ["Again:", "I say it again:"];

impl Style {
    /// Mostly plain, sometimes with one ornament. Riddles have no list.
    pub(super) fn draw(kind: Kind, random: &mut Random) -> Self {
        let mut style = Self::default();
        match random.below(10) {
            0 => style.padding = 1 + random.below(2) as u8,
            1 => style.is_polite = true,
            2 => style.is_list = kind != Kind::Riddle,
            3 => style.is_excited = true,
            4 => style.repeats = true,
            _ => {}
        }
        style
    }

    /// The answer that states the scene, and what is wrong with its medium.
    pub(super) fn write(&self, scene: &Scene, damage: &Damage, random: &mut Random) -> String {
        let mut pieces = Vec::new();
        if self.is_polite {
            pieces.push(random.pick(&POLITE_OPENINGS).to_owned());
        }
        if self.is_excited {
            pieces.push(random.pick(&EXCITED_OPENINGS).to_owned());
        }
        let statement = self.statement(scene, damage, random);
        pieces.push(statement.clone());
        if self.repeats {
            pieces.push(format!("{} {statement}", random.pick(&AGAIN)));
        }
        let first = random.below(PADDING.len());
        for sentence in 0..usize::from(self.padding) {
            pieces.push(PADDING[(first + sentence) % PADDING.len()].to_owned());
        }
        if self.is_polite {
            pieces.push(random.pick(&POLITE_ENDINGS).to_owned());
        }
        pieces.join(if self.is_list { "\n" } else { " " })
    }

    fn statement(&self, scene: &Scene, damage: &Damage, random: &mut Random) -> String {
        let damage = damage_phrase(damage, random);
        if self.is_list {
            let damage = damage.map(|damage| format!("\n- Damage: {damage}"));
            return scene.lines() + &damage.unwrap_or_default();
        }
        let lead = random.below(4);
        let mut sentence = if scene.kind == Kind::Riddle {
            riddle_sentence(scene, lead)
        } else {
            scene_sentence(scene, lead)
        };
        if let Some(damage) = damage {
            sentence += &format!(" with {damage}");
        }
        let end = if self.is_excited { '!' } else { '.' };
        format!("{sentence}{end}")
    }
}

fn riddle_sentence(scene: &Scene, lead: usize) -> String {
    let answer = scene.word(Attribute::Answer);
    match lead {
        0 => format!("It is {answer}"),
        1 => format!("The answer is {answer}"),
        2 => format!("That is {answer}"),
        _ => format!("The right {} is {answer}", scene.word(Attribute::Topic)),
    }
}

fn scene_sentence(scene: &Scene, lead: usize) -> String {
    let phrase = scene.phrase();
    let medium = scene.kind.medium();
    let (senses, shows) = match scene.kind {
        Kind::Sound => ("hear", "plays"),
        _ => ("see", "shows"),
    };
    match lead {
        0 if scene.count() == 1 => format!("There is {phrase}"),
        0 => format!("There are {phrase}"),
        1 => format!("The {medium} {shows} {phrase}"),
        2 => format!("I {senses} {phrase}"),
        _ => format!("It {shows} {phrase}"),
    }
}
