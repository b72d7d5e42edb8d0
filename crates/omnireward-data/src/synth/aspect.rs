//! What criteria ask about, and the rule by which responses compare.

use serde_json::{Map, Value, json};

use super::{
    scene::{Attribute, Kind, Scene},
    text::Style,
};

/// What can be wrong with a medium as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Defect {
    /// Soft edges.
    Blur,
    /// Random dots.
    Noise,
    /// Darker stripes across.
    Banding,
    /// Large square pixels.
    Blocks,
    /// Frames that repeat the one before.
    Frozen,
    /// Frames that are too dark.
    Flicker,
    /// Tops of the wave cut off.
    Clipping,
    /// A hiss behind the sound.
    Hiss,
    /// Moments of silence inside the sound.
    Dropouts,
    /// Missing parts of a surface.
    Holes,
    /// A surface that is not smooth.
    Roughness,
}

impl Defect {
    pub(super) const ALL: [Self; 11] = [
        Self::Blur,
        Self::Noise,
        Self::Banding,
        Self::Blocks,
        Self::Frozen,
        Self::Flicker,
        Self::Clipping,
        Self::Hiss,
        Self::Dropouts,
        Self::Holes,
        Self::Roughness,
    ];

    /// The defects that media of a kind can have.
    pub(super) const fn of(kind: Kind) -> &'static [Self] {
        match kind {
            Kind::Picture => &[Self::Blur, Self::Noise, Self::Banding, Self::Blocks],
            Kind::Film => &[Self::Blur, Self::Frozen, Self::Flicker],
            Kind::Sound => &[Self::Clipping, Self::Hiss, Self::Dropouts],
            Kind::Solid => &[Self::Holes, Self::Roughness],
            Kind::Riddle => &[],
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Blur => "blur",
            Self::Noise => "noise",
            Self::Banding => "banding",
            Self::Blocks => "blocks",
            Self::Frozen => "frozen",
            Self::Flicker => "flicker",
            Self::Clipping => "clipping",
            Self::Hiss => "hiss",
            Self::Dropouts => "dropouts",
            Self::Holes => "holes",
            Self::Roughness => "roughness",
        }
    }

    /// The attributes that are hard to tell where the defect is.
    const fn hides(self) -> &'static [Attribute] {
        match self {
            Self::Blur | Self::Blocks | Self::Holes | Self::Roughness => &[Attribute::Shape],
            Self::Frozen => &[Attribute::Motion, Attribute::Speed],
            Self::Clipping | Self::Hiss => &[Attribute::Timbre],
            Self::Dropouts => &[Attribute::Count, Attribute::Rhythm, Attribute::Timbre],
            Self::Noise | Self::Banding | Self::Flicker => &[],
        }
    }

    /// The defects that are hard to tell where this one is.
    const fn covers(self) -> &'static [Self] {
        match self {
            Self::Noise | Self::Blocks => &[Self::Blur],
            Self::Roughness => &[Self::Holes],
            _ => &[],
        }
    }
}

/// How strong each defect is: 0 for none, 1, or 2 for strong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Damage([u8; Defect::ALL.len()]);

impl Damage {
    pub(super) const fn level(&self, defect: Defect) -> u8 {
        self.0[defect as usize]
    }

    pub(super) const fn set(&mut self, defect: Defect, level: u8) {
        self.0[defect as usize] = level;
    }
}

/// A property of the writing of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Trait {
    Length,
    Politeness,
    List,
    Excitement,
    /// Saying a thing once.
    Economy,
}

/// The one thing that a criterion asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Aspect {
    /// Whether an attribute is as the prompt, the medium in it, or the picture before an edit has it.
    Attribute(Attribute),
    /// Whether the change that was asked for was made.
    Edit,
    /// Whether what was not to be changed is as before.
    Rest,
    /// How little there is of a defect.
    Defect(Defect),
    /// How little there is of any defect.
    Quality,
    /// How much there is of a property of the writing.
    Style(Trait),
    /// How many attributes are right; what is compared without a criterion.
    Overall,
}

/// What a right response is.
#[derive(Clone, Debug)]
pub(super) struct Goal {
    /// What it shows or states.
    pub(super) scene: Scene,
    /// Of an edit, what is to be changed, and the picture before it.
    pub(super) edit: Option<(Attribute, Scene)>,
}

/// What a response is.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    /// What it shows or states.
    pub(super) scene: Scene,
    pub(super) damage: Damage,
    pub(super) style: Style,
}

impl Aspect {
    /// The name in the records of the truth.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Attribute(attribute) => attribute.name(),
            Self::Edit => "edit",
            Self::Rest => "rest",
            Self::Defect(defect) => defect.name(),
            Self::Quality => "quality",
            Self::Style(Trait::Length) => "length",
            Self::Style(Trait::Politeness) => "politeness",
            Self::Style(Trait::List) => "list",
            Self::Style(Trait::Excitement) => "excitement",
            Self::Style(Trait::Economy) => "economy",
            Self::Overall => "overall",
        }
    }

    /// How good a response is in this respect; more is better, and only the order counts.
    pub(super) fn merit(self, goal: &Goal, truth: &Truth) -> i32 {
        let right = |attribute| truth.scene.get(attribute) == goal.scene.get(attribute);
        match self {
            Self::Attribute(attribute) => i32::from(right(attribute)),
            Self::Edit => i32::from(goal.edited().is_none_or(right)),
            Self::Rest => -(goal.kept().filter(|&kept| !right(kept)).count() as i32),
            Self::Defect(defect) => -i32::from(truth.damage.level(defect)),
            Self::Quality => -truth.damage.0.iter().copied().map(i32::from).sum::<i32>(),
            Self::Style(Trait::Length) => i32::from(truth.style.padding),
            Self::Style(Trait::Politeness) => i32::from(truth.style.is_polite),
            Self::Style(Trait::List) => i32::from(truth.style.is_list),
            Self::Style(Trait::Excitement) => i32::from(truth.style.is_excited),
            Self::Style(Trait::Economy) => -i32::from(truth.style.repeats),
            Self::Overall => {
                let told = goal.scene.told();
                told.filter(|&attribute| truth.scene.has(attribute) && right(attribute))
                    .count() as i32
            }
        }
    }

    /// Whether responses can be better or worse in it by degrees, rather than right or wrong.
    pub(super) const fn has_degrees(self) -> bool {
        matches!(
            self,
            Self::Rest
                | Self::Defect(_)
                | Self::Quality
                | Self::Style(Trait::Length)
                | Self::Overall
        )
    }

    /// Whether two aspects cannot both be varied in one scene, because one would blur the other.
    pub(super) fn clashes(self, other: Self, goal: &Goal) -> bool {
        self == other || self.disturbs(other, goal) || other.disturbs(self, goal)
    }

    fn disturbs(self, other: Self, goal: &Goal) -> bool {
        let concerned = other.attribute(goal);
        match self {
            Self::Attribute(attribute) => {
                concerned.is_some() && attribute.rests_on(goal.scene.kind) == concerned
            }
            Self::Rest => matches!(other, Self::Attribute(_) | Self::Defect(_) | Self::Quality),
            Self::Defect(defect) => match other {
                Self::Defect(other) => defect.covers().contains(&other),
                _ => concerned.is_some_and(|attribute| defect.hides().contains(&attribute)),
            },
            Self::Quality => {
                let hidden_by_all = |attribute| {
                    let mut defects = Defect::of(goal.scene.kind).iter();
                    defects.all(|defect| defect.hides().contains(&attribute))
                };
                matches!(other, Self::Defect(_)) || concerned.is_some_and(hidden_by_all)
            }
            Self::Style(Trait::Length) => matches!(other, Self::Style(_)),
            Self::Edit | Self::Style(_) | Self::Overall => false,
        }
    }

    /// The attribute that decides it, if one does.
    pub(super) fn attribute(self, goal: &Goal) -> Option<Attribute> {
        match self {
            Self::Attribute(attribute) => Some(attribute),
            Self::Edit => goal.edited(),
            _ => None,
        }
    }

    /// The attribute that must be right in all responses for the aspect to be told.
    pub(super) fn rests_on(self, kind: Kind) -> Option<Attribute> {
        match self {
            Self::Attribute(attribute) => attribute.rests_on(kind),
            Self::Defect(Defect::Frozen) => Some(Attribute::Motion),
            _ => None,
        }
    }
}

impl Goal {
    /// The attribute that an edit is to change.
    pub(super) fn edited(&self) -> Option<Attribute> {
        self.edit.as_ref().map(|(attribute, _)| *attribute)
    }

    /// The attributes that an edit is to leave as they are.
    pub(super) fn kept(&self) -> impl Iterator<Item = Attribute> + '_ {
        let attributes = self.scene.kind.attributes().iter().copied();
        attributes.filter(|&attribute| Some(attribute) != self.edited())
    }
}

impl Scene {
    /// The attributes that can be told, by name.
    pub(super) fn record(&self) -> Map<String, Value> {
        self.told()
            .map(|attribute| (attribute.name().to_owned(), json!(self.word(attribute))))
            .collect()
    }
}

impl Truth {
    /// The truth as it is kept beside a pair: attributes, defects that are there, and ornaments.
    pub(super) fn record(&self) -> Value {
        let mut record = self.scene.record();
        for defect in Defect::ALL {
            let level = self.damage.level(defect);
            if level > 0 {
                record.insert(defect.name().to_owned(), json!(level));
            }
        }
        let style = &self.style;
        if style.padding > 0 {
            record.insert("padding".to_owned(), json!(style.padding));
        }
        let ornaments = [
            ("polite", style.is_polite),
            ("list", style.is_list),
            ("excited", style.is_excited),
            ("repeats", style.repeats),
        ];
        for (name, _) in ornaments.into_iter().filter(|&(_, present)| present) {
            record.insert(name.to_owned(), json!(true));
        }
        Value::Object(record)
    }
}
