//! One scene of a task: what is asked, what the responses are, and which criteria they are judged
//! under. Nothing is painted or played yet.

use omnireward_core::{Preference, Task};

use super::{
    Split, SynthConfig,
    aspect::{Aspect, Damage, Defect, Goal, Trait, Truth},
    criteria::{Sense, wording},
    random::{Random, hash},
    scene::{Attribute, Kind, Scene},
    text::Style,
    words,
};

/// The share of criteria under which the responses are equal. Dropping criteria to balance the rest
/// raises it a little.
const TIES: f32 = 0.13;

/// The share of scenes, of those with at least two decided criteria, whose criteria are made to
/// contradict each other.
const FLIPPED: f32 = 0.85;

/// How often an attribute that is not asked about is right.
const RIGHT: f32 = 0.8;

/// How often an attribute is right where responses are compared as a whole, but in one of them, in which all are.
const RIGHT_OVERALL: f32 = 0.6;

/// The share of solids among the pictures that general lists ask about, in place of flat shapes.
const PICTURED_SOLIDS: f32 = 0.35;

/// A scene with its responses and criteria, in words and attributes.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) goal: Goal,
    pub(super) prompt: String,
    pub(super) truths: Vec<Truth>,
    /// The responses of tasks that are answered in words.
    pub(super) answers: Vec<String>,
    pub(super) questions: Vec<Question>,
    /// What the medium of the prompt looks or sounds like beyond its scene.
    pub(super) look: u64,
    /// The same of each response.
    pub(super) looks: Vec<u64>,
}

/// One criterion.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) aspect: Aspect,
    pub(super) sense: Sense,
    /// None where responses are compared as a whole.
    pub(super) wording: Option<String>,
}

impl Question {
    /// How good a response is under the criterion.
    pub(super) fn merit(&self, goal: &Goal, truth: &Truth) -> i32 {
        let merit = self.aspect.merit(goal, truth);
        match self.sense {
            Sense::Usual => merit,
            Sense::Inverse => -merit,
        }
    }
}

impl Draft {
    pub(super) fn new(config: &SynthConfig, task: Task, index: usize) -> Self {
        let place = Task::ALL.iter().position(|&other| other == task);
        let keys = [
            config.seed,
            hash(config.split.name().as_bytes()),
            place.unwrap_or_default() as u64,
            index as u64,
        ];
        let mut random = Random::new(&keys);
        let goal = Goal::draw(task, config, &mut random);
        let responses = config.responses.max(2);
        let plan = Plan::draw(task, &goal, config, &mut random);
        let mut truths: Vec<Truth> = (0..responses)
            .map(|response| plan.truth(task, &goal, response, &mut random))
            .collect();
        if task.is_generation() {
            plan.distract(&goal, &mut truths, &mut random);
        }
        let questions = plan.questions(task, &goal, config.split, &mut random);
        let look = random.bits();
        // An edit keeps what the picture looked like.
        let looks = (0..responses)
            .map(|_| {
                if goal.edit.is_some() {
                    look
                } else {
                    random.bits()
                }
            })
            .collect();
        Self {
            prompt: prompt(task, &goal, &mut random),
            answers: answers(task, &truths, &mut random),
            goal,
            truths,
            questions,
            look,
            looks,
        }
    }
}

impl Goal {
    fn draw(task: Task, config: &SynthConfig, random: &mut Random) -> Self {
        let kind = if task == Task::TI2T && config.criteria == 0 && random.chance(PICTURED_SOLIDS) {
            Kind::Solid
        } else {
            kind_of(task, random)
        };
        let scene = Scene::draw(kind, config.split, random);
        if task == Task::TI2I {
            return Self::edit_of(scene, random);
        }
        Self { scene, edit: None }
    }

    fn edit_of(source: Scene, random: &mut Random) -> Self {
        let attribute = random.pick(source.kind.attributes());
        let mut scene = source.clone();
        scene.set(attribute, source.other(attribute, random));
        Self {
            scene,
            edit: Some((attribute, source)),
        }
    }
}

pub(super) fn kind_of(task: Task, random: &mut Random) -> Kind {
    match task {
        Task::T2T => match random.below(8) {
            0..=2 => Kind::Picture,
            3 => Kind::Film,
            4 | 5 => Kind::Sound,
            6 => Kind::Solid,
            _ => Kind::Riddle,
        },
        Task::TI2T | Task::T2I | Task::TI2I => Kind::Picture,
        Task::TV2T | Task::T2V => Kind::Film,
        Task::TA2T | Task::T2A => Kind::Sound,
        Task::T23D => Kind::Solid,
    }
}

fn prompt(task: Task, goal: &Goal, random: &mut Random) -> String {
    match (task, &goal.edit) {
        (Task::T2T, _) => words::ask_in_words(&goal.scene, random),
        (Task::TI2T | Task::TV2T | Task::TA2T, _) => words::ask_about(goal.scene.kind, random),
        (_, Some((attribute, source))) => words::ask_edit(source, &goal.scene, *attribute, random),
        (_, None) => words::ask_for(&goal.scene, random),
    }
}

fn answers(task: Task, truths: &[Truth], random: &mut Random) -> Vec<String> {
    if task.is_generation() {
        return Vec::new();
    }
    truths
        .iter()
        .map(|truth| truth.style.write(&truth.scene, random))
        .collect()
}

/// What is asked of a scene and how its responses are to fare.
struct Plan {
    asked: Vec<Asked>,
    /// The response that is right in everything, where responses are compared as a whole.
    faultless: Option<usize>,
    /// The value that responses have where they are wrong, by attribute.
    wrong: Vec<(Attribute, u8)>,
    /// The order in which the attributes beside an edit are spoilt.
    spoilt: Vec<Attribute>,
    /// The defect that stands for all where quality as such is asked about.
    flaw: Option<Defect>,
}

/// An aspect, and how good each response is to be under the criterion: 0 to 2.
struct Asked {
    aspect: Aspect,
    sense: Sense,
    standing: Vec<u8>,
}

impl Plan {
    fn draw(task: Task, goal: &Goal, config: &SynthConfig, random: &mut Random) -> Self {
        let aspects = chosen_aspects(task, goal, config.criteria, random);
        let outcomes = outcomes(aspects.len(), random);
        let responses = config.responses.max(2);
        let asked: Vec<Asked> = aspects
            .into_iter()
            .zip(outcomes)
            .map(|(aspect, outcome)| Asked {
                aspect,
                sense: sense_of(aspect, random),
                standing: standing(aspect, outcome, responses, random),
            })
            .collect();
        let attributes = goal.scene.kind.attributes().iter();
        let wrong = attributes
            .map(|&attribute| (attribute, wrong_value(goal, attribute, random)))
            .collect();
        let mut spoilt: Vec<Attribute> = goal.kept().collect();
        random.shuffle(&mut spoilt);
        let flaw = flaw(goal, &asked, random);
        Self {
            faultless: asked.is_empty().then(|| random.below(responses)),
            asked,
            wrong,
            spoilt,
            flaw,
        }
    }

    fn find(&self, aspect: Aspect) -> Option<&Asked> {
        self.asked.iter().find(|asked| asked.aspect == aspect)
    }

    fn truth(&self, task: Task, goal: &Goal, response: usize, random: &mut Random) -> Truth {
        let style = if task.is_generation() {
            Style::default()
        } else {
            self.style(goal, response, random)
        };
        Truth {
            scene: self.scene(goal, response, random),
            damage: self.damage(response),
            style,
        }
    }

    fn scene(&self, goal: &Goal, response: usize, random: &mut Random) -> Scene {
        let mut scene = goal.scene.clone();
        for &(attribute, wrong) in &self.wrong {
            if !self.is_right(goal, attribute, response, random) {
                scene.set(attribute, wrong);
            }
        }
        scene
    }

    fn is_right(
        &self,
        goal: &Goal,
        attribute: Attribute,
        response: usize,
        random: &mut Random,
    ) -> bool {
        let by_chance = random.chance(if self.asked.is_empty() {
            RIGHT_OVERALL
        } else {
            RIGHT
        });
        if self.faultless == Some(response) {
            return true;
        }
        let asks = |asked: &&Asked| asked.aspect.attribute(goal) == Some(attribute);
        if let Some(asked) = self.asked.iter().find(asks) {
            return asked.standing[response] > 0;
        }
        if let Some(asked) = self.find(Aspect::Rest)
            && Some(attribute) != goal.edited()
        {
            let spoilt = usize::from(2 - asked.standing[response]);
            return !self.spoilt[..spoilt].contains(&attribute);
        }
        let kind = goal.scene.kind;
        let is_needed = |asked: &Asked| asked.aspect.rests_on(kind) == Some(attribute);
        by_chance || self.asked.iter().any(is_needed)
    }

    fn damage(&self, response: usize) -> Damage {
        let mut damage = Damage::default();
        for asked in &self.asked {
            let defect = match asked.aspect {
                Aspect::Defect(defect) => Some(defect),
                Aspect::Quality => self.flaw,
                _ => None,
            };
            if let Some(defect) = defect {
                damage.set(defect, 2 - asked.merit(response));
            }
        }
        damage
    }

    fn style(&self, goal: &Goal, response: usize, random: &mut Random) -> Style {
        let drawn = Style::draw(goal.scene.kind, random);
        let length = self.find(Aspect::Style(Trait::Length));
        let mut style = if length.is_some() {
            Style::default()
        } else {
            drawn
        };
        for asked in &self.asked {
            let merit = asked.merit(response);
            match asked.aspect {
                Aspect::Style(Trait::Length) => style.padding = merit,
                Aspect::Style(Trait::Politeness) => style.is_polite = merit > 0,
                Aspect::Style(Trait::List) => style.is_list = merit > 0,
                Aspect::Style(Trait::Excitement) => style.is_excited = merit > 0,
                Aspect::Style(Trait::Economy) => style.repeats = merit == 0,
                _ => {}
            }
        }
        style
    }

    /// Now and then a response has a defect that nobody asks about.
    fn distract(&self, goal: &Goal, truths: &mut [Truth], random: &mut Random) {
        let defect = random.pick(Defect::of(goal.scene.kind));
        let aspect = Aspect::Defect(defect);
        let spoils = |asked: &Asked| asked.aspect.clashes(aspect, goal);
        let may_be_unseen = aspect.rests_on(goal.scene.kind).is_some();
        if self.asked.is_empty()
            || random.chance(0.6)
            || may_be_unseen
            || self.asked.iter().any(spoils)
        {
            return;
        }
        let truth = random.below(truths.len());
        let level = 1 + random.below(2) as u8;
        truths[truth].damage.set(defect, level);
    }

    fn questions(
        self,
        task: Task,
        goal: &Goal,
        split: Split,
        random: &mut Random,
    ) -> Vec<Question> {
        if self.asked.is_empty() {
            return vec![Question {
                aspect: Aspect::Overall,
                sense: Sense::Usual,
                wording: None,
            }];
        }
        let kind = goal.scene.kind;
        self.asked
            .into_iter()
            .map(|Asked { aspect, sense, .. }| Question {
                aspect,
                sense,
                wording: Some(wording(aspect, sense, task, kind, split, random)),
            })
            .collect()
    }
}

impl Asked {
    /// How much a response is to have of the aspect itself: 0 to 2.
    fn merit(&self, response: usize) -> u8 {
        match self.sense {
            Sense::Usual => self.standing[response],
            Sense::Inverse => 2 - self.standing[response],
        }
    }
}

/// The value of a response that is wrong. Edits go wrong mostly by not being made.
fn wrong_value(goal: &Goal, attribute: Attribute, random: &mut Random) -> u8 {
    let other = goal.scene.other(attribute, random);
    let is_unmade = random.chance(0.6);
    match &goal.edit {
        Some((edited, source)) if *edited == attribute && is_unmade => source.get(attribute),
        _ => other,
    }
}

/// The defect that is varied when quality as such is asked about.
fn flaw(goal: &Goal, asked: &[Asked], random: &mut Random) -> Option<Defect> {
    let mut defects = Defect::of(goal.scene.kind).to_vec();
    random.shuffle(&mut defects);
    defects.into_iter().find(|&defect| {
        let defect = Aspect::Defect(defect);
        let rests = defect.rests_on(goal.scene.kind);
        let others = || asked.iter().filter(|asked| asked.aspect != Aspect::Quality);
        rests.is_none() && others().all(|asked| !asked.aspect.clashes(defect, goal))
    })
}

fn sense_of(aspect: Aspect, random: &mut Random) -> Sense {
    let inverse = match aspect {
        Aspect::Style(Trait::Length | Trait::Excitement) => 0.5,
        Aspect::Defect(_) | Aspect::Quality => 0.06,
        _ => 0.0,
    };
    if random.chance(inverse) {
        Sense::Inverse
    } else {
        Sense::Usual
    }
}

/// Different aspects that do not blur one another.
fn chosen_aspects(task: Task, goal: &Goal, most: usize, random: &mut Random) -> Vec<Aspect> {
    let mut about_scene = scene_aspects(goal);
    let mut about_form = form_aspects(task, goal);
    random.shuffle(&mut about_scene);
    random.shuffle(&mut about_form);
    let mut chosen: Vec<Aspect> = Vec::new();
    while chosen.len() < most {
        let (first, second) = if random.chance(0.68) {
            (&mut about_scene, &mut about_form)
        } else {
            (&mut about_form, &mut about_scene)
        };
        let Some(aspect) = first.pop().or_else(|| second.pop()) else {
            break;
        };
        if !chosen.iter().any(|other| other.clashes(aspect, goal)) {
            chosen.push(aspect);
        }
    }
    chosen
}

/// What can be asked about what is shown or stated. Edits are asked about twice as often as each
/// attribute that is to stay.
fn scene_aspects(goal: &Goal) -> Vec<Aspect> {
    if goal.edit.is_none() {
        return goal.scene.told().map(Aspect::Attribute).collect();
    }
    let kept = goal.kept().map(Aspect::Attribute);
    let edits = [Aspect::Edit, Aspect::Edit, Aspect::Rest];
    kept.chain(edits).collect()
}

/// What can be asked about how it is shown or stated.
fn form_aspects(task: Task, goal: &Goal) -> Vec<Aspect> {
    let kind = goal.scene.kind;
    if task.is_generation() {
        let defects = Defect::of(kind).iter().copied().filter(|defect| {
            // What does not move cannot be seen to freeze.
            *defect != Defect::Frozen || goal.scene.has(Attribute::Speed)
        });
        return defects
            .map(Aspect::Defect)
            .chain([Aspect::Quality])
            .collect();
    }
    let traits = [
        Trait::Length,
        Trait::Length,
        Trait::Politeness,
        Trait::List,
        Trait::Excitement,
        Trait::Economy,
    ];
    traits
        .into_iter()
        .filter(|&property| kind != Kind::Riddle || property != Trait::List)
        .map(Aspect::Style)
        .collect()
}

/// Which side each criterion is to prefer. Where criteria contradict each other, as many prefer one
/// side as the other, so that a judge that ignores them is right on half.
fn outcomes(criteria: usize, random: &mut Random) -> Vec<Preference> {
    let favoured = random.pick(&[Preference::First, Preference::Second]);
    let mut outcomes: Vec<Preference> = (0..criteria)
        .map(|_| {
            if random.chance(TIES) {
                Preference::Tie
            } else {
                favoured
            }
        })
        .collect();
    let decided = |outcomes: &[Preference]| {
        let decided = outcomes
            .iter()
            .filter(|outcome| **outcome != Preference::Tie);
        decided.count()
    };
    let count = decided(&outcomes);
    if count >= 2 && random.chance(FLIPPED) {
        if count % 2 == 1
            && let Some(odd) = outcomes.iter().position(|&outcome| outcome == favoured)
        {
            if random.chance(0.9) {
                outcomes.remove(odd);
            } else {
                outcomes[odd] = Preference::Tie;
            }
        }
        let half = decided(&outcomes) / 2;
        let sides = outcomes
            .iter_mut()
            .filter(|outcome| **outcome == favoured)
            .take(half);
        for outcome in sides {
            *outcome = favoured.swapped();
        }
    }
    random.shuffle(&mut outcomes);
    outcomes
}

/// How good each response is to be: 0 to 2, or 0 and 2 for what is right or wrong. Longer lists are
/// in no particular order unless all are equal.
fn standing(aspect: Aspect, outcome: Preference, responses: usize, random: &mut Random) -> Vec<u8> {
    let levels: &[u8] = if aspect.has_degrees() {
        &[0, 1, 2]
    } else {
        &[0, 2]
    };
    if outcome == Preference::Tie {
        // Equals are good more often than bad.
        let level = if random.chance(0.6) { 2 } else { 0 };
        return vec![level; responses];
    }
    if responses > 2 {
        return mixed_standing(levels, responses, random);
    }
    let (better, worse) = if aspect.has_degrees() {
        random.pick(&[(2, 0), (2, 0), (2, 0), (2, 1), (1, 0)])
    } else {
        (2, 0)
    };
    match outcome {
        Preference::First => vec![better, worse],
        _ => vec![worse, better],
    }
}

fn mixed_standing(levels: &[u8], responses: usize, random: &mut Random) -> Vec<u8> {
    loop {
        let standing: Vec<u8> = (0..responses).map(|_| random.pick(levels)).collect();
        if standing.iter().any(|level| *level != standing[0]) {
            return standing;
        }
    }
}
