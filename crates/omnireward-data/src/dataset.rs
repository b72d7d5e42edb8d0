use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use omnireward_core::{PreferencePair, Task, UnknownName};

use crate::{Error, detect, fingerprint, formats};

/// The dataset formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Omni-RewardBench as JSON arrays beside `media_data/`.
    OmniJson,
    /// Omni-RewardBench as parquet, one folder a task.
    OmniParquet,
    /// Our own pairs, one JSON object a line.
    Pairs,
    /// Our own pairs in parquet, with media embedded or beside it.
    PairsParquet,
    /// VL-RewardBench.
    VlRewardBench,
    /// Multimodal RewardBench.
    MultimodalRewardBench,
    /// RewardBench 1.
    RewardBench,
    /// RewardBench 2, with its ties subset.
    RewardBench2,
    /// RM-Bench: three chosen and three rejected answers a prompt.
    RmBench,
    /// `LLMBar`.
    LlmBar,
    /// JudgeBench.
    JudgeBench,
    /// PandaLM's test set.
    PandaLm,
    /// LLaMA-Factory ranking data in the Omni-Reward dialect.
    LlamaFactoryRanking,
    /// TRL preference data.
    TrlPreference,
    /// Vicuna questions, each with its own criterion.
    VicunaRubric,
    /// Helpful, honest and other pairs, each with a criterion.
    HhhRubric,
    /// MJ-Bench image pairs.
    MjBench,
    /// `ImageReward`'s four published pictures.
    ImageRewardDemo,
    /// `ImageReward`'s human rankings.
    ImageRewardRankings,
    /// AGIQA-3K ratings.
    Agiqa3k,
    /// One image edited in two ways.
    EditDemo,
    /// One image question with two answers.
    Ti2tDemo,
    /// `VideoAlign` preferences.
    VideoAlign,
    /// FETV ratings.
    Fetv,
    /// `VideoPhy` labels.
    VideoPhy,
    /// VideoPhy-2 verdicts.
    VideoPhy2,
    /// `SpeakBench` spoken answers.
    SpeakBench,
    /// Speech clips of different speed.
    AudioSpeed,
    /// Ratings of generated audio on four axes.
    AesPam,
    /// Ratings of generated 3D objects.
    StanfordT23d,
    /// GenAI-Bench votes.
    GenAiBench,
    /// `AudioJudge` verdicts.
    AudioJudge,
    /// GPT-4 reviews of Vicuna answers.
    VicunaReviews,
    /// TIFA faithfulness ratings.
    Tifa,
    /// `UltraFeedback`.
    UltraFeedback,
    /// RLAIF-V.
    RlaifV,
    /// `VLFeedback`.
    VlFeedback,
    /// HPDv2.
    Hpdv2,
    /// `EvalMuse`.
    EvalMuse,
    /// Open Image Preferences, binarized.
    OpenImagePreferences,
    /// `VideoDPO`.
    VideoDpo,
    /// VisionRewardDB-Video.
    VisionRewardDbVideo,
    /// Omni-RewardData, a folder a subset.
    OmniRewardData,
    /// Preference data of ms-swift.
    MsSwift,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 44] = [
        Self::OmniJson,
        Self::OmniParquet,
        Self::Pairs,
        Self::PairsParquet,
        Self::VlRewardBench,
        Self::MultimodalRewardBench,
        Self::RewardBench,
        Self::RewardBench2,
        Self::RmBench,
        Self::LlmBar,
        Self::JudgeBench,
        Self::PandaLm,
        Self::LlamaFactoryRanking,
        Self::TrlPreference,
        Self::VicunaRubric,
        Self::HhhRubric,
        Self::MjBench,
        Self::ImageRewardDemo,
        Self::ImageRewardRankings,
        Self::Agiqa3k,
        Self::EditDemo,
        Self::Ti2tDemo,
        Self::VideoAlign,
        Self::Fetv,
        Self::VideoPhy,
        Self::VideoPhy2,
        Self::SpeakBench,
        Self::AudioSpeed,
        Self::AesPam,
        Self::StanfordT23d,
        Self::GenAiBench,
        Self::AudioJudge,
        Self::VicunaReviews,
        Self::Tifa,
        Self::UltraFeedback,
        Self::RlaifV,
        Self::VlFeedback,
        Self::Hpdv2,
        Self::EvalMuse,
        Self::OpenImagePreferences,
        Self::VideoDpo,
        Self::VisionRewardDbVideo,
        Self::OmniRewardData,
        Self::MsSwift,
    ];

    /// The name used on the command line and in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OmniJson => "omni-json",
            Self::OmniParquet => "omni-parquet",
            Self::Pairs => "pairs",
            Self::PairsParquet => "pairs-parquet",
            Self::VlRewardBench => "vl-reward-bench",
            Self::MultimodalRewardBench => "multimodal-reward-bench",
            Self::RewardBench => "reward-bench",
            Self::RewardBench2 => "reward-bench-2",
            Self::RmBench => "rm-bench",
            Self::LlmBar => "llm-bar",
            Self::JudgeBench => "judge-bench",
            Self::PandaLm => "panda-lm",
            Self::LlamaFactoryRanking => "llama-factory-ranking",
            Self::TrlPreference => "trl-preference",
            Self::VicunaRubric => "vicuna-rubric",
            Self::HhhRubric => "hhh-rubric",
            Self::MjBench => "mj-bench",
            Self::ImageRewardDemo => "image-reward-demo",
            Self::ImageRewardRankings => "image-reward-rankings",
            Self::Agiqa3k => "agiqa-3k",
            Self::EditDemo => "edit-demo",
            Self::Ti2tDemo => "ti2t-demo",
            Self::VideoAlign => "video-align",
            Self::Fetv => "fetv",
            Self::VideoPhy => "video-phy",
            Self::VideoPhy2 => "video-phy-2",
            Self::SpeakBench => "speak-bench",
            Self::AudioSpeed => "audio-speed",
            Self::AesPam => "aes-pam",
            Self::StanfordT23d => "stanford-t23d",
            Self::GenAiBench => "gen-ai-bench",
            Self::AudioJudge => "audio-judge",
            Self::VicunaReviews => "vicuna-reviews",
            Self::Tifa => "tifa",
            Self::UltraFeedback => "ultra-feedback",
            Self::RlaifV => "rlaif-v",
            Self::VlFeedback => "vl-feedback",
            Self::Hpdv2 => "hpd-v2",
            Self::EvalMuse => "eval-muse",
            Self::OpenImagePreferences => "open-image-preferences",
            Self::VideoDpo => "video-dpo",
            Self::VisionRewardDbVideo => "vision-reward-db-video",
            Self::OmniRewardData => "omni-reward-data",
            Self::MsSwift => "ms-swift",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| UnknownName::new("format", name, &Self::ALL.map(Self::name)))
    }
}

/// What to read of a dataset, and how.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The format; `None` recognises it by its content.
    pub format: Option<Format>,
    /// The tasks wanted; `None` wants all.
    pub tasks: Option<Vec<Task>>,
    /// Whether media may be remote. They are not fetched here, only referred to.
    pub allow_urls: bool,
    /// Counts the records that are read.
    pub rows_read: RowCounter,
}

/// Counts the records that were read from files, whatever became of them. Copies count together.
#[derive(Clone, Debug, Default)]
pub struct RowCounter(Arc<AtomicU64>);

impl RowCounter {
    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl OpenOptions {
    /// Whether pairs of a task are wanted.
    pub fn wants(&self, task: Task) -> bool {
        self.tasks
            .as_ref()
            .is_none_or(|tasks| tasks.contains(&task))
    }
}

/// The pairs of a part, one after the other.
pub type Rows = Box<dyn Iterator<Item = Result<PreferencePair, Error>> + Send>;

/// A file of a dataset, or several that belong together.
#[derive(Clone)]
pub struct Part {
    /// The task of all pairs in it, where they share one.
    pub task: Option<Task>,
    /// The file with the labels.
    pub file: PathBuf,
    /// The number of rows, where it is known without reading them all.
    pub rows: Option<u64>,
    side_files: Vec<PathBuf>,
    opener: Arc<dyn Fn() -> Result<Rows, Error> + Send + Sync>,
}

impl Part {
    /// A part whose pairs `opener` reads; each call reads from the start.
    pub fn new(
        task: Option<Task>,
        file: impl Into<PathBuf>,
        rows: Option<u64>,
        opener: impl Fn() -> Result<Rows, Error> + Send + Sync + 'static,
    ) -> Self {
        Self {
            task,
            file: file.into(),
            rows,
            side_files: Vec::new(),
            opener: Arc::new(opener),
        }
    }

    /// The same part, naming other files that its labels or texts come from.
    #[must_use]
    pub fn with_side_files(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        self.side_files.extend(files);
        self
    }

    /// The files whose content decides what the part says; media are not among them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.file)
            .chain(&self.side_files)
            .map(PathBuf::as_path)
    }

    /// Reads the pairs from the start. Nothing follows an error that is not a row's.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or lacks what all its rows need.
    pub fn open(&self) -> Result<Rows, Error> {
        Ok(Box::new(UntilLost {
            rows: (self.opener)()?,
            lost: false,
        }))
    }
}

/// Rows up to the first error that loses the rest.
struct UntilLost {
    rows: Rows,
    lost: bool,
}

impl Iterator for UntilLost {
    type Item = Result<PreferencePair, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.lost {
            return None;
        }
        let row = self.rows.next()?;
        self.lost = row.as_ref().is_err_and(|error| !error.is_row());
        Some(row)
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("task", &self.task)
            .field("file", &self.file)
            .field("rows", &self.rows)
            .field("side_files", &self.side_files)
            .finish_non_exhaustive()
    }
}

/// A dataset that was found and recognised. Its rows are read when they are asked for.
#[derive(Clone, Debug)]
pub struct Dataset {
    format: Format,
    name: String,
    root: PathBuf,
    parts: Vec<Part>,
    options: OpenOptions,
}

/// Finds the dataset at `path`, a file or a folder, and recognises its format.
///
/// # Errors
///
/// [`Error::Read`] when there is nothing at `path`; [`Error::Unrecognised`] or
/// [`Error::Ambiguous`] when no format or more than one matches; [`Error::NotThisFormat`] when
/// [`OpenOptions::format`] names a format whose files are not there; and errors of the files that
/// are opened to learn their tasks and row counts.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Dataset, Error> {
    let entry = detect::entry(path, options.format)?;
    let mut parts = (entry.open)(path, options)?;
    if parts.is_empty() {
        return Err(Error::NotThisFormat {
            path: path.to_owned(),
            format: entry.format,
            looked_for: entry.looked_for.to_owned(),
        });
    }
    parts.retain(|part| part.task.is_none_or(|task| options.wants(task)));
    Ok(Dataset {
        format: entry.format,
        name: name_of(path),
        root: path.to_owned(),
        parts,
        options: options.clone(),
    })
}

fn name_of(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = if path.is_dir() {
        path.file_name()
    } else {
        path.file_stem()
    };
    name.map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

impl Dataset {
    /// The format.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// A name for people: that of the file or folder, unless [renamed](Self::named).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same dataset under another name, such as that of the repository it came from.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The file or folder it was opened at.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The files it consists of, without those whose task is not wanted.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The number of rows, where it is known without reading them all.
    pub fn rows(&self) -> Option<u64> {
        let filtered = self.options.tasks.is_some();
        self.parts
            .iter()
            .map(|part| part.rows.filter(|_| !filtered || part.task.is_some()))
            .sum()
    }

    /// Identifies the content: a SHA-256, in hexadecimal, over the names, sizes and content of the
    /// files with the labels. Media are left out, also those embedded in parquet files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn fingerprint(&self) -> Result<String, Error> {
        fingerprint::of_files(&self.root, self.parts.iter().flat_map(Part::files))
    }

    /// Reads all wanted pairs, part after part.
    ///
    /// An error for which [`Error::is_row`] holds loses that row only; any other loses the rest of
    /// its part, whose file it names, and the next part follows. Ids are unique: when one repeats, the later pairs get `#2`, `#3`,
    /// … in the order of reading.
    pub fn pairs(&self) -> impl Iterator<Item = Result<PreferencePair, Error>> + Send + use<> {
        let options = self.options.clone();
        let mut ids = UniqueIds::default();
        self.parts
            .clone()
            .into_iter()
            .flat_map(|part| {
                part.open()
                    .unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
            })
            .map(move |row| {
                row.map(|mut pair| {
                    pair.id = ids.claim(pair.id);
                    pair
                })
            })
            .filter(move |row| row.as_ref().map_or(true, |pair| options.wants(pair.task)))
    }
}

/// Gives every pair an id of its own.
#[derive(Default)]
pub(crate) struct UniqueIds {
    /// The ids that are taken, each with the number that its last repetition got.
    taken: HashMap<String, u64>,
}

impl UniqueIds {
    pub(crate) fn claim(&mut self, id: String) -> String {
        let Some(mut number) = self.taken.get(&id).copied() else {
            self.taken.insert(id.clone(), 1);
            return id;
        };
        loop {
            number += 1;
            let unique = format!("{id}#{number}");
            if let Entry::Vacant(free) = self.taken.entry(unique.clone()) {
                free.insert(1);
                self.taken.insert(id, number);
                return unique;
            }
        }
    }
}

/// The formats that could be read from `path`, judging by its content.
pub fn matching_formats(path: &Path) -> Vec<Format> {
    formats::TABLE
        .iter()
        .filter(|entry| (entry.matches)(path))
        .map(|entry| entry.format)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, fs};

    use super::*;

    #[test]
    fn every_format_has_a_name_of_its_own_that_parses() {
        let names: HashSet<_> = Format::ALL.map(Format::name).into_iter().collect();
        assert_eq!(names.len(), Format::ALL.len());
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "omni".parse::<Format>().unwrap_err().to_string();
        assert!(error.contains("omni-parquet"), "{error}");
    }

    #[test]
    fn every_format_can_be_read_once_named() {
        let known: Vec<_> = formats::TABLE.iter().map(|entry| entry.format).collect();
        for format in Format::ALL {
            assert_eq!(
                known.iter().filter(|known| **known == format).count(),
                1,
                "{format}"
            );
        }
    }

    #[test]
    fn what_is_nothing_known_is_told_what_was_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.txt"), "hello").unwrap();
        let error = open(dir.path(), &OpenOptions::default()).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Unrecognised { .. }));
        assert!(
            message.contains("text_to_text_preferences.json"),
            "{message}"
        );
        assert!(message.contains("`responses`"), "{message}");

        let forced = OpenOptions {
            format: Some(Format::OmniJson),
            ..OpenOptions::default()
        };
        let message = open(dir.path(), &forced).unwrap_err().to_string();
        assert!(
            message.contains("does not hold omni-json data"),
            "{message}"
        );

        let missing = open(&dir.path().join("gone"), &OpenOptions::default()).unwrap_err();
        assert!(missing.to_string().contains("gone"));
    }

    #[test]
    fn two_formats_at_one_place_need_a_choice() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("text_to_text_preferences.json"), "[]").unwrap();
        fs::write(
            dir.path().join("p.jsonl"),
            r#"{"prompt":"p","responses":["a","b"]}"#,
        )
        .unwrap();
        let error = open(dir.path(), &OpenOptions::default()).unwrap_err();
        assert!(matches!(&error, Error::Ambiguous { .. }), "{error}");
        assert!(error.to_string().contains("omni-json, pairs"), "{error}");
        let chosen = OpenOptions {
            format: Some(Format::Pairs),
            ..OpenOptions::default()
        };
        assert_eq!(open(dir.path(), &chosen).unwrap().pairs().count(), 1);
    }

    #[test]
    fn a_name_that_is_taken_gets_the_next_free_number() {
        let mut ids = UniqueIds::default();
        let claimed = ["a", "a", "a#2", "a", "b"].map(|id| ids.claim(id.to_owned()));
        assert_eq!(claimed, ["a", "a#2", "a#2#2", "a#3", "b"]);
    }

    #[test]
    fn an_id_that_repeats_for_ever_does_not_slow_down() {
        let mut ids = UniqueIds::default();
        let last = (0..200_000).map(|_| ids.claim("a".to_owned())).last();
        assert_eq!(last.as_deref(), Some("a#200000"));
    }

    #[test]
    fn a_part_ends_where_it_is_lost_and_the_next_one_follows() {
        let dir = tempfile::tempdir().unwrap();
        let lost = |file: PathBuf| Error::Empty {
            path: file,
            reason: "for a test".to_owned(),
        };
        let part = |name: &str| {
            let file = dir.path().join(name);
            let path = file.clone();
            // A reader that would repeat its error for ever.
            Part::new(None, file, None, move || {
                let path = path.clone();
                Ok(Box::new(std::iter::repeat_with(move || {
                    Err(lost(path.clone()))
                })))
            })
        };
        let dataset = Dataset {
            format: Format::Pairs,
            name: String::new(),
            root: dir.path().to_owned(),
            parts: vec![part("a"), part("b")],
            options: OpenOptions::default(),
        };
        let messages: Vec<_> = dataset
            .pairs()
            .map(|row| row.unwrap_err().to_string())
            .collect();
        assert_eq!(messages.len(), 2);
        assert!(messages[0].contains("/a`") && messages[1].contains("/b`"));
    }
}
