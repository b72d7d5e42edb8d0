//! What a picture, video, sound, model or riddle is about: a value for each attribute of its kind.

use super::{
    Split,
    random::{Random, hash},
};

/// What a scene is a scene of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Some like objects on a background.
    Picture,
    /// One or two objects that do something.
    Film,
    /// Some like sounds, one after the other.
    Sound,
    /// Some like solids on a plate.
    Solid,
    /// Which day or number stands next to another.
    Riddle,
}

impl Kind {
    /// The attributes that descriptions state and criteria ask about, as they are read.
    pub(super) const fn attributes(self) -> &'static [Attribute] {
        use Attribute::{
            Answer, Background, Colour, Count, Course, Loudness, Motion, Pitch, Place, Rhythm,
            Shape, Size, Speed, Timbre,
        };
        match self {
            Self::Picture => &[Count, Size, Colour, Shape, Place, Background],
            Self::Film => &[Count, Size, Colour, Shape, Motion, Speed],
            Self::Sound => &[Count, Loudness, Pitch, Course, Timbre, Rhythm],
            Self::Solid => &[Count, Size, Colour, Shape],
            Self::Riddle => &[Answer],
        }
    }

    /// The attributes that tell scenes of the training split from those of the test split.
    const fn identity(self) -> &'static [Attribute] {
        use Attribute::{
            Colour, Count, Course, Motion, Pitch, Place, Rhythm, Shape, Side, Size, Start, Timbre,
            Topic,
        };
        match self {
            Self::Picture => &[Colour, Shape, Count, Place],
            Self::Film => &[Colour, Shape, Motion],
            Self::Sound => &[Timbre, Count, Pitch, Rhythm, Course],
            Self::Solid => &[Colour, Shape, Count, Size],
            Self::Riddle => &[Topic, Start, Side],
        }
    }
}

/// Something that scenes differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Attribute {
    Count,
    Size,
    Colour,
    Shape,
    Place,
    Background,
    Motion,
    Speed,
    Loudness,
    Pitch,
    Course,
    Timbre,
    Rhythm,
    /// Of a riddle: days or numbers.
    Topic,
    /// Of a riddle: the day or number next to which the answer stands.
    Start,
    /// Of a riddle: after or before.
    Side,
    /// Of a riddle.
    Answer,
}

impl Attribute {
    const ALL: usize = Self::Answer as usize + 1;

    /// The name in the records of the truth.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Size => "size",
            Self::Colour => "colour",
            Self::Shape => "shape",
            Self::Place => "place",
            Self::Background => "background",
            Self::Motion => "motion",
            Self::Speed => "speed",
            Self::Loudness => "loudness",
            Self::Pitch => "pitch",
            Self::Course => "course",
            Self::Timbre => "timbre",
            Self::Rhythm => "rhythm",
            Self::Topic => "topic",
            Self::Start => "start",
            Self::Side => "side",
            Self::Answer => "answer",
        }
    }

    /// The attribute without which this one cannot be told: the speed of what stands still, the
    /// rhythm of two beeps. Wherever this one is asked about, that one is right.
    pub(super) const fn rests_on(self, kind: Kind) -> Option<Self> {
        match (kind, self) {
            (Kind::Film, Self::Speed | Self::Size) => Some(Self::Motion),
            (Kind::Sound, Self::Pitch | Self::Course) => Some(Self::Timbre),
            (Kind::Sound, Self::Rhythm) => Some(Self::Count),
            _ => None,
        }
    }
}

/// The motions that other modules tell apart, as values of [`Attribute::Motion`].
pub(super) mod motion {
    pub(in crate::synth) const STILL: u8 = 4;
    pub(in crate::synth) const GROWS: u8 = 5;
    pub(in crate::synth) const SHRINKS: u8 = 6;
}

/// The kinds of sound that other modules tell apart, as values of [`Attribute::Timbre`].
mod timbre {
    pub(super) const NOISE: u8 = 2;
    pub(super) const VOICE: u8 = 3;
}

/// The smallest number of sounds that have a rhythm.
const RHYTHMIC: u8 = 3;

/// A value for each attribute. Values are places in the tables of the modules that paint, play and
/// name them; [`Attribute::Count`] is one less than the number of things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scene {
    pub(super) kind: Kind,
    values: [u8; Attribute::ALL],
}

impl Scene {
    /// A random scene of the split.
    pub(super) fn draw(kind: Kind, split: Split, random: &mut Random) -> Self {
        loop {
            let scene = Self::any(kind, random);
            if scene.split() == split {
                return scene;
            }
        }
    }

    fn any(kind: Kind, random: &mut Random) -> Self {
        let mut scene = Self {
            kind,
            values: [0; Attribute::ALL],
        };
        if kind == Kind::Riddle {
            scene.ask(random);
        } else {
            for &attribute in kind.attributes() {
                let choices = scene.choices(attribute);
                scene.set(attribute, random.below(choices) as u8);
            }
        }
        scene
    }

    /// Days go round; the numbers are one to ten, and those that are asked about have neighbours.
    fn ask(&mut self, random: &mut Random) {
        let (topic, after) = (random.below(2), random.below(2) == 0);
        let start = match topic {
            0 => random.below(7),
            _ => 1 + random.below(8),
        };
        let days = if topic == 0 { 7 } else { 10 };
        let answer = if after { start + 1 } else { start + days - 1 } % days;
        self.set(Attribute::Topic, topic as u8);
        self.set(Attribute::Start, start as u8);
        self.set(Attribute::Side, u8::from(!after));
        self.set(Attribute::Answer, answer as u8);
    }

    pub(super) const fn get(&self, attribute: Attribute) -> u8 {
        self.values[attribute as usize]
    }

    pub(super) const fn set(&mut self, attribute: Attribute, value: u8) {
        self.values[attribute as usize] = value;
    }

    /// How many things there are.
    pub(super) const fn count(&self) -> usize {
        self.get(Attribute::Count) as usize + 1
    }

    /// How many values an attribute of the scene's kind has.
    pub(super) const fn choices(&self, attribute: Attribute) -> usize {
        match (self.kind, attribute) {
            (Kind::Film, Attribute::Count) => 2,
            (Kind::Solid, Attribute::Count)
            | (
                _,
                Attribute::Background | Attribute::Pitch | Attribute::Course | Attribute::Rhythm,
            ) => 3,
            (_, Attribute::Count | Attribute::Timbre) => 4,
            (_, Attribute::Colour) => 6,
            (_, Attribute::Shape | Attribute::Place) => 5,
            (_, Attribute::Motion) => 7,
            (_, Attribute::Answer) if self.get(Attribute::Topic) == 0 => 7,
            (_, Attribute::Answer) => 10,
            _ => 2,
        }
    }

    /// Another value than the scene has.
    pub(super) fn other(&self, attribute: Attribute, random: &mut Random) -> u8 {
        let choices = self.choices(attribute);
        let step = 1 + random.below(choices - 1);
        ((self.get(attribute) as usize + step) % choices) as u8
    }

    /// Whether the attribute can be told in this scene; descriptions leave out what cannot.
    pub(super) fn has(&self, attribute: Attribute) -> bool {
        match (self.kind, attribute) {
            (Kind::Film, Attribute::Speed) => self.get(Attribute::Motion) != motion::STILL,
            (Kind::Film, Attribute::Size) => {
                !matches!(self.get(Attribute::Motion), motion::GROWS | motion::SHRINKS)
            }
            (Kind::Sound, Attribute::Pitch | Attribute::Course) => {
                !matches!(self.get(Attribute::Timbre), timbre::NOISE | timbre::VOICE)
            }
            (Kind::Sound, Attribute::Rhythm) => self.get(Attribute::Count) + 1 >= RHYTHMIC,
            _ => self.kind.attributes().contains(&attribute),
        }
    }

    /// The attributes that can be told in this scene.
    pub(super) fn told(&self) -> impl Iterator<Item = Attribute> + '_ {
        let attributes = self.kind.attributes().iter().copied();
        attributes.filter(|&attribute| self.has(attribute))
    }

    /// Where the scene belongs: 15 in 100 are for testing. Only what can be told counts.
    pub(super) fn split(&self) -> Split {
        let mut key = vec![self.kind as u8];
        for &attribute in self.kind.identity() {
            let told = self.kind == Kind::Riddle || self.has(attribute);
            key.push(if told { self.get(attribute) } else { u8::MAX });
        }
        if hash(&key) % 20 < 3 {
            Split::Test
        } else {
            Split::Train
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_scenes_in_both_splits() {
        let mut random = Random::new(&[0]);
        for kind in [
            Kind::Picture,
            Kind::Film,
            Kind::Sound,
            Kind::Solid,
            Kind::Riddle,
        ] {
            let tests = (0..2000)
                .filter(|_| Scene::any(kind, &mut random).split() == Split::Test)
                .count();
            assert!((120..520).contains(&tests), "{kind:?}: {tests}");
        }
    }

    #[test]
    fn another_value_is_another_one_and_within_range() {
        let mut random = Random::new(&[1]);
        for _ in 0..500 {
            let scene = Scene::any(Kind::Picture, &mut random);
            for &attribute in scene.kind.attributes() {
                let other = scene.other(attribute, &mut random);
                assert_ne!(other, scene.get(attribute));
                assert!((other as usize) < scene.choices(attribute));
            }
        }
    }

    #[test]
    fn the_day_after_sunday_is_monday_and_before_two_is_one() {
        let mut random = Random::new(&[2]);
        let mut seen = 0;
        for _ in 0..2000 {
            let riddle = Scene::any(Kind::Riddle, &mut random);
            let asked = [Attribute::Topic, Attribute::Start, Attribute::Side]
                .map(|attribute| riddle.get(attribute));
            let expected = match asked {
                [0, 6, 0] | [1, 1, 1] => 0,
                [0, 0, 1] => 6,
                [1, 8, 0] => 9,
                _ => continue,
            };
            assert_eq!(riddle.get(Attribute::Answer), expected);
            seen += 1;
        }
        assert!(seen > 50);
    }
}
