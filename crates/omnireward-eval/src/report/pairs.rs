use std::collections::{HashMap, HashSet};

use omnireward_core::{
    MediaRef, MediaSource, Modality, Order, Part, Preference, PreferencePair, Setting, Status, Task,
};
use omnireward_media::Limits;

use super::gallery::{Gallery, MediaView};
use crate::Row;

/// The rows of one run, for [`pair_views`].
#[derive(Clone, Copy, Debug)]
pub struct RunRows<'a> {
    /// The run's name in the report.
    pub name: &'a str,
    /// Its verdicts.
    pub rows: &'a [Row],
}

/// How much of the pairs a report carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairBudget {
    /// All pictures and sounds together, in bytes as written into the report. The default is
    /// 24 MB.
    pub media_bytes: u64,
    /// The longer side of a picture, in pixels; strips of frames may be twice as wide. The default
    /// is 360.
    pub max_side_px: u32,
    /// A sound up to this size can be played in the report: the file itself, or else a copy at 16
    /// kHz with one channel. A larger one is only shown as a picture of its waveform. The default
    /// is 600 kB.
    pub audio_bytes: u64,
    /// All replies of judges together, in bytes. The default is 12 MB.
    pub reply_bytes: u64,
}

impl Default for PairBudget {
    fn default() -> Self {
        Self {
            media_bytes: 24_000_000,
            max_side_px: 360,
            audio_bytes: 600_000,
            reply_bytes: 12_000_000,
        }
    }
}

/// The pairs of a run (or of several), with what each judge said, ready to be shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairViews {
    /// The runs, which [`VerdictView::run`] counts into.
    pub runs: Vec<String>,
    /// In the dataset's order; pairs that the dataset no longer has come last.
    pub pairs: Vec<PairView>,
    /// The distinct media, which [`PartView::Medium`] counts into.
    pub media: Vec<MediaView>,
    /// Replies that were cut or left out to keep the file small.
    pub replies_cut: u64,
}

/// One pair.
#[derive(Clone, Debug, PartialEq)]
pub struct PairView {
    /// Its id.
    pub id: String,
    /// Its task.
    pub task: Task,
    /// The dataset or subset.
    pub source: Option<String>,
    /// What several pairs share.
    pub group: Option<String>,
    /// What "better" meant.
    pub criterion: Option<String>,
    /// The label.
    pub label: Option<Preference>,
    /// The prompt; `None` when the dataset was not at hand.
    pub prompt: Option<Vec<PartView>>,
    /// The responses; empty when the dataset was not at hand.
    pub responses: Vec<ResponseView>,
    /// What was judged.
    pub verdicts: Vec<VerdictView>,
}

/// One response.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseView {
    /// The model it came from.
    pub model: Option<String>,
    /// What it is made of.
    pub parts: Vec<PartView>,
}

/// An element of a prompt or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartView {
    /// Words.
    Text(String),
    /// An index into [`PairViews::media`].
    Medium(usize),
}

/// One verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct VerdictView {
    /// An index into [`PairViews::runs`].
    pub run: usize,
    /// Whether a tie was offered.
    pub setting: Setting,
    /// The order the judge saw.
    pub order: Order,
    /// How asking ended.
    pub status: Status,
    /// What the judge prefers.
    pub preference: Option<Preference>,
    /// The two scores.
    pub scores: Option<[f64; 2]>,
    /// The reasons given.
    pub rationale: Option<String>,
    /// The reply as received.
    pub raw: Option<String>,
    /// A sentence for people.
    pub detail: Option<String>,
}

impl PairViews {
    /// How many media can be shown, of how many. Media that cannot be read count as shown: their
    /// error is.
    pub fn media_shown(&self) -> (usize, usize) {
        let left_out = self
            .media
            .iter()
            .filter(|medium| medium.is_left_out())
            .count();
        (self.media.len() - left_out, self.media.len())
    }
}

/// Prepares the pairs that `runs` judged: decodes their media into small pictures and short sounds
/// within a budget, pairs judged wrongly or not at all first.
///
/// `pairs` is read once and may be a stream; pairs that no run asked about are skipped. Pairs
/// whose rows exist but which `pairs` does not have are shown without prompt and responses, so an
/// empty iterator gives a report from rows alone.
pub fn pair_views(
    pairs: impl IntoIterator<Item = PreferencePair>,
    runs: &[RunRows<'_>],
    budget: &PairBudget,
    limits: &Limits,
) -> PairViews {
    let mut asked = Asked::new(runs);
    let tasks: HashSet<Task> = asked.order.iter().map(|(task, _)| *task).collect();
    let mut gallery = Gallery::new(*budget, *limits, tasks.len());
    let mut views = Vec::new();
    for pair in pairs {
        if let Some(rows) = asked.take(pair.task, &pair.id) {
            views.push(view_of(pair, &rows, &mut gallery));
        }
    }
    for (key, rows) in asked.rest() {
        views.push(view_without_pair(&key, &rows));
    }
    let replies_cut = cut_replies(&mut views, budget.reply_bytes);
    PairViews {
        runs: runs.iter().map(|run| run.name.to_owned()).collect(),
        pairs: views,
        media: gallery.finish(),
        replies_cut,
    }
}

/// Prepares pairs that nobody judged, as samples of a set: decodes their media into small pictures and short sounds
/// within a budget.
pub fn sample_views(
    pairs: impl IntoIterator<Item = PreferencePair>,
    budget: &PairBudget,
    limits: &Limits,
) -> PairViews {
    let pairs: Vec<PreferencePair> = pairs.into_iter().collect();
    let tasks: HashSet<Task> = pairs.iter().map(|pair| pair.task).collect();
    let mut gallery = Gallery::new(*budget, *limits, tasks.len());
    let views = pairs
        .into_iter()
        .map(|pair| view_of(pair, &[], &mut gallery))
        .collect();
    PairViews {
        pairs: views,
        media: gallery.finish(),
        ..PairViews::default()
    }
}

/// A row and the run it belongs to.
type AskedRow<'a> = (usize, &'a Row);
type Key = (Task, String);

/// The rows by pair.
struct Asked<'a> {
    rows: HashMap<Key, Vec<AskedRow<'a>>>,
    order: Vec<Key>,
}

impl<'a> Asked<'a> {
    fn new(runs: &[RunRows<'a>]) -> Self {
        let mut rows: HashMap<Key, Vec<AskedRow<'a>>> = HashMap::new();
        let mut order = Vec::new();
        for (run, row) in runs
            .iter()
            .enumerate()
            .flat_map(|(run, part)| part.rows.iter().map(move |row| (run, row)))
        {
            let key = (row.task, row.pair_id.clone());
            rows.entry(key)
                .or_insert_with_key(|key| {
                    order.push(key.clone());
                    Vec::new()
                })
                .push((run, row));
        }
        for rows in rows.values_mut() {
            rows.sort_by_key(|(run, row)| (*run, row.setting, row.order));
        }
        Self { rows, order }
    }

    fn take(&mut self, task: Task, id: &str) -> Option<Vec<AskedRow<'a>>> {
        self.rows.remove(&(task, id.to_owned()))
    }

    /// What was not taken, in the order of the rows.
    fn rest(self) -> Vec<(Key, Vec<AskedRow<'a>>)> {
        let Self { mut rows, order } = self;
        order
            .into_iter()
            .filter_map(|key| rows.remove(&key).map(|found| (key, found)))
            .collect()
    }
}

fn view_of(pair: PreferencePair, rows: &[AskedRow<'_>], gallery: &mut Gallery) -> PairView {
    let urgent = rows.iter().any(|(_, row)| needs_a_look(row));
    let mut show = |parts: Vec<Part>| -> Vec<PartView> {
        parts
            .into_iter()
            .map(|part| match part {
                Part::Text(text) => PartView::Text(cut(text, TEXT_LIMIT).0),
                Part::Media(media) => PartView::Medium(gallery.add(media, pair.task, urgent)),
            })
            .collect()
    };
    let prompt = show(pair.prompt);
    let responses = pair
        .responses
        .into_iter()
        .map(|response| ResponseView {
            model: response.model,
            parts: show(response.parts),
        })
        .collect();
    PairView {
        id: pair.id,
        task: pair.task,
        source: pair.source,
        group: pair.group,
        criterion: pair.criterion.map(|criterion| criterion.to_string()),
        label: pair.label,
        prompt: Some(prompt),
        responses,
        verdicts: verdicts(rows),
    }
}

fn view_without_pair((task, id): &Key, rows: &[AskedRow<'_>]) -> PairView {
    let first = rows.first().map(|(_, row)| *row);
    PairView {
        id: id.clone(),
        task: *task,
        source: first.and_then(|row| row.source.clone()),
        group: first
            .map(|row| row.group.clone())
            .filter(|group| group != id),
        criterion: first.and_then(|row| row.criterion.clone()),
        label: first.and_then(|row| row.label),
        prompt: None,
        responses: Vec::new(),
        verdicts: verdicts(rows),
    }
}

/// Whether a person who looks at a run will want to see this pair first.
fn needs_a_look(row: &Row) -> bool {
    row.preference.is_none() || (row.label.is_some() && row.preference != row.label)
}

fn verdicts(rows: &[AskedRow<'_>]) -> Vec<VerdictView> {
    rows.iter()
        .map(|(run, row)| VerdictView {
            run: *run,
            setting: row.setting,
            order: row.order,
            status: row.status,
            preference: row.preference,
            scores: row
                .scores
                .filter(|scores| scores.iter().all(|score| score.is_finite())),
            rationale: row
                .rationale
                .clone()
                .filter(|words| Some(words) != row.raw.as_ref()),
            raw: row.raw.clone(),
            detail: row.detail.clone(),
        })
        .collect()
}

/// The longest text of a part, and the longest reply, in characters.
const TEXT_LIMIT: usize = 20_000;
const REPLY_LIMIT: usize = 8_000;

/// Shortens long replies, then drops replies until all fit `budget` bytes: those of right verdicts
/// go first. Returns how many are not whole.
fn cut_replies(views: &mut [PairView], budget: u64) -> u64 {
    let mut cut_count = 0;
    let mut left = budget;
    for urgent in [true, false] {
        for view in &mut *views {
            let label = view.label;
            for verdict in &mut view.verdicts {
                let wrong = verdict.preference.is_none() || verdict.preference != label;
                if wrong != urgent {
                    continue;
                }
                let texts = [&mut verdict.rationale, &mut verdict.raw];
                cut_count += u64::from(fit_texts(texts, &mut left));
            }
        }
    }
    cut_count
}

/// Whether something had to go.
fn fit_texts(texts: [&mut Option<String>; 2], left: &mut u64) -> bool {
    let mut went = false;
    for slot in texts {
        let Some(text) = slot.take() else { continue };
        let (text, shortened) = cut(text, REPLY_LIMIT);
        let size = text.len() as u64;
        if size > *left {
            went = true;
            continue;
        }
        *left -= size;
        went |= shortened;
        *slot = Some(text);
    }
    went
}

/// The text up to a number of characters, and whether something was cut, which the text then says.
fn cut(text: String, limit: usize) -> (String, bool) {
    if text.len() <= limit {
        return (text, false);
    }
    match text.char_indices().nth(limit) {
        None => (text, false),
        Some((end, _)) => {
            let more = text[end..].chars().count();
            (format!("{} … [{more} more characters]", &text[..end]), true)
        }
    }
}

/// What tells two media apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct MediaKey(Modality, String);

impl MediaKey {
    pub(super) fn of(media: &MediaRef) -> Self {
        use sha2::{Digest, Sha256};
        let place = match &media.source {
            MediaSource::File { path, .. } => format!("file:{}", path.display()),
            MediaSource::Bytes { bytes, .. } => format!("bytes:{:x?}", Sha256::digest(bytes)),
            MediaSource::Url(url) => format!("url:{url}"),
            MediaSource::Absent { name } => format!("absent:{name}"),
        };
        Self(media.modality, place)
    }
}

#[cfg(test)]
mod tests {
    use omnireward_core::{Response, Usage, Verdict};

    use super::*;

    fn pair(id: &str) -> PreferencePair {
        PreferencePair::new(
            id,
            Task::T2T,
            "prompt",
            [Response::text("a"), Response::text("b")],
        )
        .with_label(Preference::First)
    }

    fn row(id: &str, preference: Preference, raw: &str) -> Row {
        let verdict = Verdict {
            raw: Some(raw.to_owned()),
            usage: Usage::default(),
            ..Verdict::preferring(preference)
        };
        Row::new(&pair(id), 0, Setting::WithTies, Order::AsIs, verdict, 1)
    }

    fn views(pairs: Vec<PreferencePair>, rows: &[Row], budget: &PairBudget) -> PairViews {
        let runs = [RunRows { name: "run", rows }];
        pair_views(pairs, &runs, budget, &Limits::default())
    }

    #[test]
    fn only_pairs_that_were_asked_are_shown_and_rows_alone_suffice() {
        let rows = [
            row("a", Preference::First, "A"),
            row("gone", Preference::Second, "B"),
        ];
        let shown = views(
            vec![pair("a"), pair("never asked")],
            &rows,
            &PairBudget::default(),
        );
        let ids: Vec<_> = shown.pairs.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(ids, ["a", "gone"]);
        assert!(shown.pairs[0].prompt.is_some() && shown.pairs[1].prompt.is_none());
        assert_eq!(shown.pairs[1].label, Some(Preference::First));
    }

    #[test]
    fn replies_of_wrong_verdicts_are_kept_longest() {
        let rows = [
            row("right", Preference::First, "12345"),
            row("wrong", Preference::Second, "67890"),
        ];
        let budget = PairBudget {
            reply_bytes: 7,
            ..PairBudget::default()
        };
        let shown = views(vec![pair("right"), pair("wrong")], &rows, &budget);
        assert_eq!(shown.pairs[0].verdicts[0].raw, None);
        assert_eq!(shown.pairs[1].verdicts[0].raw.as_deref(), Some("67890"));
        assert_eq!(shown.replies_cut, 1);
    }

    #[test]
    fn long_texts_say_how_much_is_missing() {
        let (text, shortened) = cut("äöü".repeat(10), 4);
        assert!(shortened);
        assert_eq!(text, "äöüä … [26 more characters]");
        assert_eq!(cut("äöü".to_owned(), 4), ("äöü".to_owned(), false));
    }

    #[test]
    fn media_left_out_are_counted() {
        let media = MediaRef {
            modality: Modality::Image,
            source: MediaSource::Absent {
                name: "x.png".into(),
            },
        };
        let mut with_media = pair("a");
        with_media.prompt.push(media.clone().into());
        with_media.prompt.push(media.into());
        let shown = views(
            vec![with_media],
            &[row("a", Preference::First, "")],
            &PairBudget::default(),
        );
        assert_eq!(shown.media.len(), 1, "the same medium is kept once");
        assert_eq!(shown.media_shown(), (1, 1));
        assert!(shown.media[0].error().unwrap().contains("not included"));
    }
}
