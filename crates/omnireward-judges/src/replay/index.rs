use std::{borrow::Cow, collections::HashMap, fmt::Display};

use omnireward_core::{Order, Part, Preference, PreferencePair, Response, Setting, joined_text};
use sha2::{Digest, Sha256};

/// What was recorded about one pair, once.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    /// The order in which the judge saw the responses; `content` is in that order.
    pub(super) order: Order,
    /// Whether it holds for the other order too.
    pub(super) any_order: bool,
    /// The setting it was recorded under; `None` where the recording has no such notion.
    pub(super) setting: Option<Setting>,
    pub(super) content: Content,
    /// The reasons, where they were recorded apart from a reply.
    pub(super) rationale: Option<String>,
    /// The reply's text, where `content` was read from it by whoever recorded it.
    pub(super) raw: Option<String>,
    /// What the pair was made of, where ids may be missing or stand for several pairs.
    pub(super) made_of: Option<MadeOf>,
}

/// A verdict in one of the forms in which judges are recorded.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// The reply, to be read by a parser.
    Reply(String),
    /// What was read from the reply; `None` when nothing could be.
    Preference(Option<Preference>),
    /// One number for each response; higher is better.
    Scores([f64; 2]),
}

impl Recorded {
    /// Something recorded in the dataset's order.
    pub(super) fn new(content: Content) -> Self {
        Self {
            order: Order::AsIs,
            any_order: matches!(content, Content::Scores(_)),
            setting: None,
            content,
            rationale: None,
            raw: None,
            made_of: None,
        }
    }

    pub(super) fn in_order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    pub(super) fn with_rationale(mut self, rationale: Option<String>) -> Self {
        self.rationale = rationale;
        self
    }

    pub(super) fn with_raw(mut self, raw: Option<String>) -> Self {
        self.raw = raw;
        self
    }

    /// The reply as it was received.
    pub(super) fn raw(&self) -> Option<&str> {
        match &self.content {
            Content::Reply(reply) => Some(reply),
            _ => self.raw.as_deref(),
        }
    }

    /// Whether it answers what `pair` asks, as far as it knows what it was asked.
    fn was_asked(&self, pair: Option<MadeOf>) -> bool {
        match (self.made_of, pair) {
            (Some(own), Some(pair)) => own.asked == pair.asked,
            _ => true,
        }
    }

    fn fits(&self, setting: Setting) -> bool {
        self.setting.is_none_or(|own| own == setting)
    }
}

/// Digests of what a pair is made of, in the dataset's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MadeOf {
    /// Of the prompt's words and the criterion.
    asked: [u8; 32],
    /// Of these and the responses.
    all: [u8; 32],
}

impl MadeOf {
    pub(super) fn new(prompt: &str, criterion: &str, responses: [&str; 2]) -> Self {
        let asked = digest([&words(prompt), criterion.trim()]);
        Self {
            asked,
            all: digest([
                asked.as_slice(),
                responses[0].as_bytes(),
                responses[1].as_bytes(),
            ]),
        }
    }

    fn of(pair: &PreferencePair, shown: Order) -> Option<Self> {
        let [first, second] = pair.responses.as_slice() else {
            return None;
        };
        let (first, second) = match shown {
            Order::AsIs => (first, second),
            Order::Swapped => (second, first),
        };
        let criterion = pair.criterion.as_deref().unwrap_or_default();
        let responses = [&*written(first), &*written(second)];
        Some(Self::new(&joined_text(&pair.prompt), criterion, responses))
    }
}

/// A prompt's words, without the placeholders that some files have for media and others have not.
fn words(prompt: &str) -> String {
    let bare = ["<image>", "<video>", "<audio>"]
        .iter()
        .fold(prompt.to_owned(), |text, placeholder| {
            text.replace(placeholder, " ")
        });
    bare.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn digest<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.as_ref().len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

/// A response as a result file writes it: its text, or the name of its medium.
fn written(response: &Response) -> Cow<'_, str> {
    match response.parts.as_slice() {
        [Part::Text(text)] => Cow::Borrowed(text),
        [Part::Media(media)] => Cow::Borrowed(media.name()),
        parts => Cow::Owned(joined_text(parts)),
    }
}

/// Everything that is recorded, found by pair.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    records: Vec<Recorded>,
    by_id: HashMap<String, Vec<usize>>,
    by_content: HashMap<MadeOf, Vec<usize>>,
    /// One number for each medium, by the stem of its file name.
    by_medium: HashMap<String, f64>,
    seen: Seen,
}

/// Which orders have been recorded.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    as_is: bool,
    swapped: bool,
}

impl Index {
    /// Adds what is recorded about the pair `id`, which may be absent where its content is known.
    pub(super) fn add(&mut self, id: Option<String>, recorded: Recorded) {
        match recorded.order {
            Order::AsIs => self.seen.as_is = true,
            Order::Swapped => self.seen.swapped = true,
        }
        let position = self.records.len();
        if let Some(id) = id {
            self.by_id.entry(id).or_default().push(position);
        }
        if let Some(content) = recorded.made_of {
            self.by_content.entry(content).or_default().push(position);
        }
        self.records.push(recorded);
    }

    /// Adds the score of a medium whose file is called `stem`, without its extension.
    pub(super) fn add_medium(&mut self, stem: String, score: f64) {
        self.by_medium.insert(stem, score);
    }

    pub(super) fn len(&self) -> usize {
        self.records.len() + self.by_medium.len()
    }

    pub(super) fn holds_both_orders(&self) -> bool {
        self.seen.as_is && self.seen.swapped
    }

    /// What is recorded about `pair`, shown in the order `shown`.
    ///
    /// A record that knows what it was asked is no answer to something else, even under the same
    /// id: ids of different tasks may coincide. When the whole recording has one order, it is what
    /// the dataset's order is answered from, because a judge that is not sensitive to the order is
    /// asked in no other.
    pub(super) fn find(
        &self,
        pair: &PreferencePair,
        shown: Order,
        setting: Setting,
    ) -> Option<Cow<'_, Recorded>> {
        if let Some(scores) = self.media_scores(pair) {
            let recorded = Recorded::new(Content::Scores(scores)).in_order(shown);
            return Some(Cow::Owned(recorded));
        }
        let content = MadeOf::of(pair, shown);
        let only_order = shown == Order::AsIs && !self.holds_both_orders();
        let usable = |recorded: &&Recorded| {
            recorded.was_asked(content)
                && recorded.fits(setting)
                && (recorded.order == shown || recorded.any_order || only_order)
        };
        let rank = |recorded: &&Recorded| {
            let same_responses = recorded.made_of.is_none() || recorded.made_of == content;
            (
                !same_responses,
                recorded.setting.is_none(),
                recorded.order != shown,
            )
        };
        self.candidates(pair, content)
            .filter(usable)
            .min_by_key(rank)
            .map(Cow::Borrowed)
    }

    fn candidates(
        &self,
        pair: &PreferencePair,
        content: Option<MadeOf>,
    ) -> impl Iterator<Item = &Recorded> {
        let by_id = self
            .by_id
            .get(&pair.id)
            .or_else(|| self.by_id.get(id_within_task(pair)))
            .or_else(|| self.by_id.get(&place_of(pair)?));
        let by_content = content.and_then(|content| self.by_content.get(&content));
        let positions = by_id.into_iter().chain(by_content).flatten();
        positions.map(|position| &self.records[*position])
    }

    /// The scores of the two responses' media.
    fn media_scores(&self, pair: &PreferencePair) -> Option<[f64; 2]> {
        if self.by_medium.is_empty() {
            return None;
        }
        let [first, second] = pair.responses.as_slice() else {
            return None;
        };
        Some([self.medium_score(first)?, self.medium_score(second)?])
    }

    fn medium_score(&self, response: &Response) -> Option<f64> {
        let media = response.parts.iter().find_map(Part::as_media)?;
        let stem = std::path::Path::new(media.name()).file_stem()?.to_str()?;
        self.by_medium.get(stem).copied()
    }
}

/// Names a pair of RM-Bench by its item's row and the styles of its responses; never a pair's id.
pub(super) fn matrix_place(
    row: impl Display,
    chosen_style: impl Display,
    rejected_style: impl Display,
) -> String {
    format!("row {row}/{chosen_style}-{rejected_style}")
}

/// The [`matrix_place`] of a pair that says where it is from.
fn place_of(pair: &PreferencePair) -> Option<String> {
    let field = |name: &str| pair.extra.get(name);
    Some(matrix_place(
        field("row")?,
        field("chosen_style")?,
        field("rejected_style")?,
    ))
}

/// A pair's id without the task's key before it, which result files do not have.
fn id_within_task(pair: &PreferencePair) -> &str {
    let rest = pair.id.strip_prefix(pair.task.key());
    rest.and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(&pair.id)
}
