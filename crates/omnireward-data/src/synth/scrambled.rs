//! Pairs in which nothing follows from anything else: texts without sense, and media that they say nothing about. They are
//! answered by describing the media and, with quotes, repeating the texts, so that a model has to look and to read before it
//! learns what either means.

use std::{collections::BTreeSet, sync::LazyLock};

use omnireward_core::{Criterion, MediaRef, Part, Preference, PreferencePair, Response, Task};

use super::{
    SynthConfig, answers,
    aspect::{Damage, Defect},
    draft,
    pairs::medium,
    random::Random,
    scene::Scene,
    vocabulary_sample, words,
};

/// The share of media with a defect.
const DEFECTIVE: f32 = 0.3;

/// Texts that the words are taken from.
const SAMPLE: usize = 4000;

/// Pieces of a text, from and up to: many where to read is all that there is to learn, few beside media.
const fn pieces(task: Task) -> (usize, usize) {
    match task {
        Task::T2T => (10, 60),
        _ => (3, 15),
    }
}

/// The words of generated texts, in the order of the alphabet.
static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let texts = vocabulary_sample(0).take(SAMPLE);
    let words = texts.flat_map(|text| {
        let words = text.split(|letter: char| !letter.is_ascii_alphabetic());
        let words = words.filter(|word| !word.is_empty()).map(str::to_owned);
        words.collect::<Vec<_>>()
    });
    words.collect::<BTreeSet<_>>().into_iter().collect()
});

/// A pair of a task; which response is better is drawn.
pub(super) fn pair(config: &SynthConfig, task: Task, index: usize) -> PreferencePair {
    let place = Task::ALL.iter().position(|&other| other == task);
    let keys = [config.seed, u64::MAX, place.unwrap_or_default() as u64];
    let mut random = Random::new(&[keys.as_slice(), &[index as u64]].concat());
    let id = format!("scrambled-{}-{index:06}", task.code());
    let (mut prompt, mut asked_about, mut shown) = (Vec::new(), None, Vec::new());
    if task.prompt_modality().is_some() {
        let seen = Seen::draw(config, task, &mut random);
        prompt.push(Part::Media(seen.medium(&format!("{id}-prompt"))));
        asked_about = Some(seen.described());
    }
    prompt.push(Part::Text(
        if asked_about.is_some() && !task.is_generation() {
            words::ask_about(draft::kind_of(task, &mut random), &mut random)
        } else {
            text(task, &mut random)
        },
    ));
    let responses = [1, 2].map(|number| {
        if !task.is_generation() {
            return Response::text(text(task, &mut random));
        }
        let seen = Seen::draw(config, task, &mut random);
        shown.push(seen.described());
        Response::media(seen.medium(&format!("{id}-response-{number}")))
    });
    let label = random.pick(&[Preference::First, Preference::Second]);
    let mut pair = PreferencePair {
        prompt,
        ..PreferencePair::new(id, task, "", responses).with_label(label)
    };
    pair.criterion = Criterion::new(text(task, &mut random));
    pair.source = Some("synth".to_owned());
    if let Some(style) = config.answers {
        let answer = answers::of_scrambled(&pair, style, asked_about.as_deref(), &shown);
        pair.extra.insert("answer".to_owned(), answer.into());
    }
    pair
}

/// A medium of a scene that nothing says anything about.
struct Seen {
    scene: Scene,
    damage: Damage,
    look: u64,
}

impl Seen {
    fn draw(config: &SynthConfig, task: Task, random: &mut Random) -> Self {
        let scene = Scene::draw(draft::kind_of(task, random), config.split, random);
        let mut damage = Damage::default();
        let defects = Defect::of(scene.kind);
        if random.chance(DEFECTIVE) && !defects.is_empty() {
            damage.set(random.pick(defects), 1 + random.below(2) as u8);
        }
        Self {
            scene,
            damage,
            look: random.bits(),
        }
    }

    fn medium(&self, name: &str) -> MediaRef {
        medium(&self.scene, &self.damage, self.look, name)
    }

    fn described(&self) -> String {
        let scene = &self.scene;
        let values = scene.told().map(|attribute| scene.word(attribute));
        let stated = values.collect::<Vec<_>>().join(" ");
        let levels = Defect::ALL.map(|defect| (defect.name(), self.damage.level(defect)));
        let defects = levels.into_iter().filter(|(_, level)| *level > 0);
        let defects = defects.map(|(name, level)| format!("{name} {level}"));
        let parts = std::iter::once(stated).chain(defects);
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// Words and parts of words, some of them run together.
fn text(task: Task, random: &mut Random) -> String {
    let (least, most) = pieces(task);
    let mut text = String::new();
    for _ in 0..least + random.below(most - least) {
        let word = &WORDS[random.below(WORDS.len())];
        let cut = 1 + random.below(word.len());
        if random.chance(0.7) {
            text.push(' ');
        }
        text += match random.below(3) {
            0 => &word[..cut],
            1 => &word[cut - 1..],
            _ => word,
        };
    }
    text.trim_start().to_owned()
}
