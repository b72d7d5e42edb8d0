//! Answers to questions about generated pairs: reasons that are true by construction, and then the verdict.

use omnireward_core::{Part, Preference, PreferencePair};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::aspect::Defect;

/// How an answer writes its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictForm {
    /// `[[A]]`.
    Brackets,
    /// `\boxed{A}`.
    Boxed,
}

impl VerdictForm {
    fn write(self, preference: Preference) -> String {
        let letter = match preference {
            Preference::First => 'A',
            Preference::Second => 'B',
            Preference::Tie => 'C',
        };
        match self {
            Self::Brackets => format!("[[{letter}]]"),
            Self::Boxed => format!("\\boxed{{{letter}}}"),
        }
    }
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerStyle {
    /// How the verdict is written.
    pub verdict: VerdictForm,
    /// Whether an answer begins by repeating what is in words, each text under the marker that it has in the question. To
    /// repeat a text is the first thing that a model taught from nothing learns to do with it.
    pub quotes: bool,
}

/// What a judge could say of a generated pair as it stands: what is wanted, what each response is, what counts, what each
/// has of it, and the verdict last.
/// None for lists of more than two, and for pairs that were not generated.
pub fn reasoned_answer(pair: &PreferencePair, style: AnswerStyle) -> Option<String> {
    let label = pair.label?;
    let question = Question::of(pair)?;
    let [first, second] = pair.extra.get("truth")?.as_array()?.as_slice() else {
        return None;
    };
    let (first, second) = (first.as_object()?, second.as_object()?);
    let quotes = if style.quotes {
        quotes(pair)
    } else {
        String::new()
    };
    let before = question.before.map_or_else(String::new, |before| {
        format!("Before: {}. ", question.described(before))
    });
    let reasons = format!(
        "{before}Wanted: {}. A is {}. B is {}. {} A: {}. B: {}. {}",
        question.described(question.goal),
        question.described(first),
        question.described(second),
        question.wanted(),
        question.found(first),
        question.found(second),
        question.compared(first, second, label),
    );
    let verdict = style.verdict.write(label);
    Some(format!("{quotes}{reasons}\n{verdict}"))
}

/// An answer that says what the media of a pair are, and gives its verdict.
pub(super) fn of_scrambled(
    pair: &PreferencePair,
    style: AnswerStyle,
    asked_about: Option<&str>,
    shown: &[String],
) -> String {
    let mut answer = if style.quotes {
        quotes(pair)
    } else {
        String::new()
    };
    let is_edit = pair.task.is_generation();
    let heading = if is_edit { "Before" } else { "Wanted" };
    let asked_about = asked_about.map(|seen| format!("{heading}: {seen}."));
    let shown = ["A", "B"].into_iter().zip(shown);
    let shown = shown.map(|(letter, shown)| format!("{letter} is {shown}."));
    let sentences: Vec<String> = asked_about.into_iter().chain(shown).collect();
    answer += &sentences.join(" ");
    if !sentences.is_empty() {
        answer.push('\n');
    }
    let verdict = pair.label.map(|label| style.verdict.write(label));
    answer + verdict.as_deref().unwrap_or_default()
}

/// The texts of a pair, each under the marker that it has in the question.
fn quotes(pair: &PreferencePair) -> String {
    let [first, second] = pair.responses.as_slice() else {
        return String::new();
    };
    let sections = [
        ("[[PROMPT]]", pair.prompt.as_slice()),
        ("[[RESPONSE A]]", first.parts.as_slice()),
        ("[[RESPONSE B]]", second.parts.as_slice()),
    ];
    let quoted = sections.into_iter().flat_map(|(marker, parts)| {
        let texts = parts.iter().filter_map(Part::as_text);
        texts.map(move |text| format!("{marker}\n{text}\n"))
    });
    let mut quotes: String = quoted.collect();
    if !quotes.is_empty() {
        quotes.push('\n');
    }
    quotes
}

/// What a pair is judged by.
struct Question<'a> {
    aspect: &'a str,
    is_inverse: bool,
    goal: &'a Map<String, Value>,
    /// The attribute that an edit is to change.
    edited: Option<&'a str>,
    /// What the picture is before an edit.
    before: Option<&'a Map<String, Value>>,
}

impl<'a> Question<'a> {
    fn of(pair: &'a PreferencePair) -> Option<Self> {
        let word = |field: &str| pair.extra.get(field).and_then(Value::as_str);
        Some(Self {
            aspect: word("aspect")?,
            is_inverse: word("sense") == Some("inverse"),
            goal: pair.extra.get("goal")?.as_object()?,
            edited: word("edited"),
            before: pair.extra.get("before").and_then(Value::as_object),
        })
    }

    /// The attribute that decides, if one does.
    fn attribute(&self) -> Option<&'a str> {
        match self.aspect {
            "edit" => self.edited,
            aspect => self.goal.contains_key(aspect).then_some(aspect),
        }
    }

    /// All that is known of a response.
    fn described(&self, truth: &Map<String, Value>) -> String {
        let stated = self.goal.keys().filter_map(|name| word(truth, name));
        let stated = stated.collect::<Vec<_>>().join(" ");
        let defects = Defect::ALL.into_iter().map(Defect::name);
        let defects = defects.filter_map(|name| level(truth, name));
        let styles = Style::ALL
            .into_iter()
            .filter_map(|style| style.found(truth));
        let parts = std::iter::once(stated)
            .chain(defects)
            .chain(styles.map(str::to_owned));
        parts.collect::<Vec<_>>().join(", ")
    }

    fn wanted(&self) -> String {
        if let Some(attribute) = self.attribute() {
            let value = word(self.goal, attribute).unwrap_or("none");
            return format!("Wanted {attribute}: {value}.");
        }
        match (self.aspect, self.edited) {
            ("rest", Some(edited)) => format!("Nothing but the {edited} is to change."),
            ("overall", _) => "Everything counts.".to_owned(),
            (aspect, _) => {
                let is_less = is_defect(aspect) != self.is_inverse;
                format!(
                    "{} {aspect} is better.",
                    if is_less { "Less" } else { "More" }
                )
            }
        }
    }

    /// What a response has of it.
    fn found(&self, truth: &Map<String, Value>) -> String {
        if let Some(attribute) = self.attribute() {
            return word(truth, attribute).unwrap_or("none").to_owned();
        }
        if let Some(style) = Style::of(self.aspect) {
            return style.found(truth).unwrap_or(style.without()).to_owned();
        }
        match self.aspect {
            "rest" | "overall" => self.wrong(truth),
            "quality" => {
                let defects = Defect::ALL.into_iter().map(Defect::name);
                let found = defects.filter_map(|name| level(truth, name));
                listed(found.collect(), "clean")
            }
            defect => level(truth, defect).unwrap_or_else(|| format!("no {defect}")),
        }
    }

    /// The attributes that are to be right, and are not.
    fn wrong(&self, truth: &Map<String, Value>) -> String {
        let counts = |name: &str| self.aspect != "rest" || self.edited != Some(name);
        let names = self.goal.keys().filter(|name| counts(name));
        let wrong = names.filter(|name| !is_same(word(truth, name), word(self.goal, name)));
        let found = wrong.map(|name| format!("{name} {}", word(truth, name).unwrap_or("none")));
        listed(found.collect(), "all right")
    }

    fn compared(
        &self,
        first: &Map<String, Value>,
        second: &Map<String, Value>,
        label: Preference,
    ) -> &'static str {
        if let Some(attribute) = self.attribute() {
            let right = |truth| is_same(word(truth, attribute), word(self.goal, attribute));
            match (right(first), right(second)) {
                (true, false) => return "Only A is right.",
                (false, true) => return "Only B is right.",
                (true, true) => return "Both are right.",
                (false, false) => return "Neither is right.",
            }
        }
        match label {
            Preference::First => "A is better.",
            Preference::Second => "B is better.",
            Preference::Tie => "They are equal.",
        }
    }
}

/// How a text is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Length,
    Politeness,
    List,
    Excitement,
    Economy,
}

impl Style {
    const ALL: [Self; 5] = [
        Self::Length,
        Self::Politeness,
        Self::List,
        Self::Excitement,
        Self::Economy,
    ];

    fn of(aspect: &str) -> Option<Self> {
        Some(match aspect {
            "length" => Self::Length,
            "politeness" => Self::Politeness,
            "list" => Self::List,
            "excitement" => Self::Excitement,
            "economy" => Self::Economy,
            _ => return None,
        })
    }

    /// What is said of a text that has it.
    fn found(self, truth: &Map<String, Value>) -> Option<&'static str> {
        let has = |name: &str| truth.get(name).and_then(Value::as_bool) == Some(true);
        match self {
            Self::Length => match truth.get("padding").and_then(Value::as_u64) {
                None | Some(0) => None,
                Some(1) => Some("long"),
                Some(_) => Some("very long"),
            },
            Self::Politeness => has("polite").then_some("polite"),
            Self::List => has("list").then_some("a list"),
            Self::Excitement => has("excited").then_some("excited"),
            Self::Economy => has("repeats").then_some("repeats itself"),
        }
    }

    /// What is said of one that has not.
    const fn without(self) -> &'static str {
        match self {
            Self::Length => "short",
            Self::Politeness => "plain",
            Self::List => "a sentence",
            Self::Excitement => "calm",
            Self::Economy => "says it once",
        }
    }
}

fn is_defect(aspect: &str) -> bool {
    Defect::ALL
        .into_iter()
        .any(|defect| defect.name() == aspect)
}

/// How much there is of a defect, where there is some.
fn level(truth: &Map<String, Value>, defect: &str) -> Option<String> {
    let level = truth.get(defect)?.as_u64()?;
    Some(format!("{defect} {level}"))
}

fn word<'v>(record: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
    record.get(name)?.as_str()
}

/// Whether two words name the same, of one or of several.
fn is_same(one: Option<&str>, other: Option<&str>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return one == other;
    };
    let is_plural = |long: &str, short: &str| {
        let ending = long.strip_prefix(short);
        ending.is_some_and(|ending| ["", "s", "es"].contains(&ending))
    };
    is_plural(one, other) || is_plural(other, one)
}

fn listed(found: Vec<String>, none: &str) -> String {
    if found.is_empty() {
        none.to_owned()
    } else {
        found.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    const PLAIN: AnswerStyle = AnswerStyle {
        verdict: VerdictForm::Brackets,
        quotes: false,
    };

    #[test]
    fn every_generated_pair_has_an_answer_that_ends_in_its_label() {
        let config = SynthConfig {
            scenes: 12,
            criteria: 8,
            ..SynthConfig::default()
        };
        for pair in synthesise(&config) {
            let answer = reasoned_answer(&pair, PLAIN);
            let answer = answer.unwrap_or_else(|| panic!("{}: {:?}", pair.id, pair.extra));
            let token = VerdictForm::Brackets.write(pair.label.unwrap());
            assert!(answer.ends_with(&format!("\n{token}")), "{answer}");
            let (described, found) = answer.split_once(" A: ").unwrap();
            let has_before = pair.extra.contains_key("before");
            assert_eq!(described.starts_with("Before: "), has_before, "{answer}");
            assert!(described.contains("Wanted: "), "{answer}");
            let (first, found) = found.split_once(". B: ").unwrap();
            let (second, compared) = found.split_once(". ").unwrap();
            let is_tie = pair.label == Some(Preference::Tie);
            if !is_tie {
                assert_ne!(first, second, "{}: {answer}", pair.id);
            }
            let says_tie = ["Both", "Neither", "They"]
                .iter()
                .any(|word| compared.starts_with(word));
            assert_eq!(says_tie, is_tie, "{}: {answer}", pair.id);
        }
    }

    #[test]
    fn answers_stand_beside_pairs_on_request() {
        let config = SynthConfig {
            scenes: 1,
            answers: Some(AnswerStyle {
                verdict: VerdictForm::Boxed,
                ..PLAIN
            }),
            ..SynthConfig::default()
        };
        let answered = synthesise(&config).all(|pair| {
            let answer = pair.extra.get("answer").and_then(Value::as_str);
            answer.is_some_and(|answer| answer.contains("\\boxed{"))
        });
        assert!(answered);
        let plain = SynthConfig {
            answers: None,
            ..config
        };
        assert!(synthesise(&plain).all(|pair| !pair.extra.contains_key("answer")));
    }

    #[test]
    fn quotes_come_before_the_same_answer() {
        let config = SynthConfig {
            scenes: 2,
            ..SynthConfig::default()
        };
        let quoting = AnswerStyle {
            quotes: true,
            ..PLAIN
        };
        for pair in synthesise(&config) {
            let (plain, quoted) = (
                reasoned_answer(&pair, PLAIN),
                reasoned_answer(&pair, quoting),
            );
            let (plain, quoted) = (plain.unwrap(), quoted.unwrap());
            let quotes = quoted.strip_suffix(&plain).unwrap();
            let prompt = pair.prompt.iter().find_map(Part::as_text).unwrap();
            assert!(quotes.starts_with(&format!("[[PROMPT]]\n{prompt}\n")));
            for (marker, response) in ["[[RESPONSE A]]", "[[RESPONSE B]]"]
                .iter()
                .zip(&pair.responses)
            {
                let text = response.parts.iter().find_map(Part::as_text);
                let quote = text.map(|text| format!("\n{marker}\n{text}\n"));
                let is_there = quote.is_some_and(|quote| quotes.contains(&quote));
                assert_eq!(is_there, !pair.task.is_generation(), "{quoted}");
            }
        }
    }

    #[test]
    fn scrambled_pairs_are_repeated_and_described() {
        let config = SynthConfig {
            scenes: 40,
            tasks: vec![Task::T2T, Task::T2I, Task::TI2T, Task::TI2I],
            answers: Some(AnswerStyle {
                quotes: true,
                ..PLAIN
            }),
            scrambled: true,
            ..SynthConfig::default()
        };
        let pairs: Vec<PreferencePair> = synthesise(&config).collect();
        assert_eq!(pairs.len(), 160);
        let unquoted = SynthConfig {
            answers: Some(PLAIN),
            ..config
        };
        for (pair, unquoted) in pairs.iter().zip(synthesise(&unquoted)) {
            let answer = pair.extra["answer"].as_str().unwrap();
            let described = answer.strip_prefix(&quotes(pair)).unwrap();
            assert_eq!(described, unquoted.extra["answer"]);
            assert_eq!(described.contains("Wanted: "), pair.task == Task::TI2T);
            assert_eq!(described.contains("Before: "), pair.task == Task::TI2I);
            assert_eq!(described.contains("B is "), pair.task.is_generation());
            assert!(described.ends_with("]]"), "{answer}");
            assert_ne!(pair.responses[0], pair.responses[1]);
        }
        let first = |pair: &&PreferencePair| pair.label == Some(Preference::First);
        assert!((50..110).contains(&pairs.iter().filter(first).count()));
    }
}
