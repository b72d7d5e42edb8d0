//! Every labelled file of the real data, with exact counts.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, HashSet};

use omnireward_core::{MediaSource, Part, Preference, PreferencePair, Task};
use omnireward_data::{Error, Format, OpenOptions, open};
use omnireward_testkit::real_data;

/// Reads all pairs, or `None` when the real data are not there.
fn pairs(path: &str) -> Option<(Format, Vec<PreferencePair>)> {
    let path = real_data(path)?;
    let dataset = open(&path, &OpenOptions::default()).unwrap();
    let pairs: Vec<PreferencePair> = dataset.pairs().collect::<Result<_, _>>().unwrap();
    if let Some(rows) = dataset.rows() {
        assert_eq!(rows, pairs.len() as u64, "{}: rows stated", path.display());
    }
    Some((dataset.format(), pairs))
}

/// How many pairs prefer the first, the second, neither, or are not labelled.
fn balance<'a>(pairs: impl IntoIterator<Item = &'a PreferencePair>) -> [usize; 4] {
    let mut counts = [0; 4];
    for pair in pairs {
        counts[match pair.label {
            Some(Preference::First) => 0,
            Some(Preference::Second) => 1,
            Some(Preference::Tie) => 2,
            None => 3,
        }] += 1;
    }
    counts
}

#[test]
fn every_labelled_file_has_the_pairs_it_should() {
    let expected = [
        (
            "text/llmbar/natural.json",
            Format::LlmBar,
            Task::T2T,
            [42, 58, 0, 0],
        ),
        (
            "text/llmbar/adversarial_neighbor.json",
            Format::LlmBar,
            Task::T2T,
            [75, 59, 0, 0],
        ),
        (
            "text/llmbar/adversarial_gptinst.json",
            Format::LlmBar,
            Task::T2T,
            [45, 47, 0, 0],
        ),
        ("text/llmbar", Format::LlmBar, Task::T2T, [162, 164, 0, 0]),
        (
            "text/pandalm/testset.jsonl",
            Format::PandaLm,
            Task::T2T,
            [279, 309, 80, 0],
        ),
        (
            "text/judgebench/claude_pairs.jsonl",
            Format::JudgeBench,
            Task::T2T,
            [103, 90, 0, 0],
        ),
        (
            "text/rubric/vicuna_eval.pair_labels.jsonl",
            Format::VicunaRubric,
            Task::T2T,
            [117, 205, 158, 0],
        ),
        (
            "text/rubric/hhh_pairs.jsonl",
            Format::HhhRubric,
            Task::T2T,
            [92, 0, 0, 0],
        ),
        (
            "text/rm_bench/chat.jsonl",
            Format::RmBench,
            Task::T2T,
            [747, 0, 0, 0],
        ),
        (
            "text/rm_bench/code.jsonl",
            Format::RmBench,
            Task::T2T,
            [306, 0, 0, 0],
        ),
        ("text/rm_bench", Format::RmBench, Task::T2T, [1053, 0, 0, 0]),
        (
            "image/mjbench_objects",
            Format::MjBench,
            Task::T2I,
            [7, 3, 0, 0],
        ),
        (
            "image/imagereward_demo",
            Format::ImageRewardDemo,
            Task::T2I,
            [6, 0, 0, 0],
        ),
        (
            "image/imagereward_test",
            Format::ImageRewardRankings,
            Task::T2I,
            RANKINGS,
        ),
        (
            "image/agiqa3k/ratings.csv",
            Format::Agiqa3k,
            Task::T2I,
            [3698, 9549, 4251, 0],
        ),
        (
            "image/edit_demo",
            Format::EditDemo,
            Task::TI2I,
            [0, 0, 0, 1],
        ),
        (
            "image/ti2t_demo/pairs.jsonl",
            Format::Ti2tDemo,
            Task::TI2T,
            [1, 0, 0, 0],
        ),
        (
            "video/videoalign/pairs.csv",
            Format::VideoAlign,
            Task::T2V,
            [1, 2, 0, 0],
        ),
        (
            "video/fetv/ratings.jsonl",
            Format::Fetv,
            Task::T2V,
            [54, 119, 25, 0],
        ),
        (
            "audio/speakbench/pairs.jsonl",
            Format::SpeakBench,
            Task::T2A,
            [0, 2, 1, 0],
        ),
        (
            "audio/speed/pairs.jsonl",
            Format::AudioSpeed,
            Task::T2A,
            [2, 2, 0, 0],
        ),
        (
            "audio/aes_pam/ratings.jsonl",
            Format::AesPam,
            Task::T2A,
            [2155, 2921, 164, 0],
        ),
        (
            "mesh/stanford_t23d/ratings.jsonl",
            Format::StanfordT23d,
            Task::T23D,
            [343, 215, 57, 0],
        ),
        (
            "judge_outputs/genai_bench/image_edition.prompts.jsonl",
            Format::GenAiBench,
            Task::TI2I,
            [240, 263, 413, 0],
        ),
        (
            "judge_outputs/genai_bench/image_generation.prompts.jsonl",
            Format::GenAiBench,
            Task::T2I,
            [589, 618, 402, 0],
        ),
        (
            "judge_outputs/audiojudge/speed.csv",
            Format::AudioJudge,
            Task::T2A,
            [276, 261, 0, 0],
        ),
        (
            "judge_outputs/audiojudge/tmhintq.csv",
            Format::AudioJudge,
            Task::T2A,
            [339, 261, 0, 0],
        ),
        (
            "judge_outputs/audiojudge/chatbotarena_gemini25flash.csv",
            Format::AudioJudge,
            Task::T2A,
            [352, 324, 322, 0],
        ),
        (
            "judge_outputs/audiojudge/chatbotarena_gpt4o_audio.csv",
            Format::AudioJudge,
            Task::T2A,
            [352, 324, 324, 0],
        ),
        (
            "judge_outputs/mjbench/objects_indoor_scores.jsonl",
            Format::MjBench,
            Task::T2I,
            [70, 0, 0, 0],
        ),
        (
            "judge_outputs/vicuna_gpt4_reviews/alpaca-13b_vs_vicuna-13b.jsonl",
            Format::VicunaReviews,
            Task::T2T,
            [3, 76, 1, 0],
        ),
        (
            "judge_outputs/vicuna_gpt4_reviews/llama-13b_vs_vicuna-13b.jsonl",
            Format::VicunaReviews,
            Task::T2T,
            [3, 77, 0, 0],
        ),
        (
            "judge_outputs/tifa",
            Format::Tifa,
            Task::T2I,
            [486, 550, 564, 0],
        ),
    ];
    for (path, format, task, counts) in expected {
        let Some((found, pairs)) = pairs(path) else {
            return;
        };
        assert_eq!(found, format, "{path}");
        assert_eq!(balance(&pairs), counts, "{path}");
        let mut ids = HashSet::new();
        for pair in &pairs {
            assert_eq!(pair.task, task, "{path}: {}", pair.id);
            pair.validate().unwrap();
            assert_eq!(pair.responses.len(), 2, "{path}: {}", pair.id);
            assert!(
                ids.insert(&pair.id),
                "{path}: `{}` stands there twice",
                pair.id
            );
            assert!(
                !pair.id.contains('#'),
                "{path}: `{}` was made unique by a number",
                pair.id
            );
        }
    }
}

const RANKINGS: [usize; 4] = [2269, 1500, 498, 0];

#[test]
fn ids_are_what_recordings_refer_to() {
    for (path, first, last) in [
        ("text/llmbar/natural.json", "natural/0", "natural/99"),
        ("text/rm_bench/chat.jsonl", "8/0-0", "800/2-2"),
        (
            "judge_outputs/genai_bench/image_edition.prompts.jsonl",
            "image_edition/0",
            "image_edition/918",
        ),
        (
            "judge_outputs/genai_bench/image_generation.prompts.jsonl",
            "image_generation/1",
            "image_generation/1734",
        ),
        (
            "judge_outputs/audiojudge/speed.csv",
            "speed/4/groundtruth",
            "speed/186/none",
        ),
        (
            "judge_outputs/audiojudge/chatbotarena_gpt4o_audio.csv",
            "chatbotarena_gpt4o_audio/3048",
            "",
        ),
        (
            "judge_outputs/mjbench/objects_indoor_scores.jsonl",
            "0",
            "97",
        ),
        (
            "judge_outputs/vicuna_gpt4_reviews/llama-13b_vs_vicuna-13b.jsonl",
            "llama-13b_vs_vicuna-13b/1",
            "llama-13b_vs_vicuna-13b/80",
        ),
    ] {
        let Some((_, pairs)) = pairs(path) else {
            return;
        };
        assert_eq!(pairs[0].id, first, "{path}");
        if !last.is_empty() {
            assert_eq!(pairs.last().unwrap().id, last, "{path}");
        }
    }
}

#[test]
fn llmbar_keeps_what_it_says() {
    let Some((_, pairs)) = pairs("text/llmbar/natural.json") else {
        return;
    };
    let last = pairs.last().unwrap();
    let answer = last.responses[0].parts[0].as_text().unwrap();
    assert_eq!(answer, "She found herself drenched in the pouring rain.");
    assert_eq!(last.label, Some(Preference::First));
    assert_eq!(last.source.as_deref(), Some("natural"));
    assert!(last.extra.is_empty());
}

#[test]
fn pandalm_keeps_the_votes_and_groups_by_prompt() {
    let Some((_, pairs)) = pairs("text/pandalm/testset.jsonl") else {
        return;
    };
    let groups: HashSet<&str> = pairs.iter().map(PreferencePair::cluster).collect();
    assert_eq!(groups.len(), 116);
    let first = &pairs[0];
    assert_eq!(first.id, "0");
    assert_eq!(first.extra["annotator1"], 2);
    assert_eq!(first.extra["judge_pandalm7b"]["result"], "2");
    assert_eq!(first.responses[0].model.as_deref(), Some("bloom-7b"));
    assert!(
        first.prompt[0]
            .as_text()
            .unwrap()
            .contains("\n\nIf you have any questions")
    );
}

#[test]
fn judgebench_pairs_of_one_question_share_a_group() {
    let Some((_, pairs)) = pairs("text/judgebench/claude_pairs.jsonl") else {
        return;
    };
    let groups: HashSet<&str> = pairs.iter().map(PreferencePair::cluster).collect();
    assert_eq!((pairs.len(), groups.len()), (193, 192));
    let model = pairs[0].responses[1].model.as_deref();
    assert_eq!(model, Some("claude-3-5-sonnet-20240620"));
}

#[test]
fn vicuna_answers_are_joined_to_their_labels() {
    let Some((_, pairs)) = pairs("text/rubric/vicuna_eval.pair_labels.jsonl") else {
        return;
    };
    let first = &pairs[0];
    assert_eq!(first.id, "vicuna_eval:1/vicuna_vs_chat_gpt");
    assert_eq!(
        first.prompt[0].as_text(),
        Some("How can I improve my time management skills?")
    );
    assert!(
        first
            .criterion
            .as_ref()
            .unwrap()
            .starts_with("Does the response provide detailed")
    );
    assert_eq!(
        first.responses[0].parts[0].as_text().map(str::len),
        Some(1662)
    );
    assert_eq!(first.extra["levels"].as_array().map(Vec::len), Some(5));
    assert_eq!(first.extra["mean_score_1"], 5.0);
    let mut groups = BTreeMap::new();
    for pair in &pairs {
        *groups.entry(pair.cluster()).or_insert(0) += 1;
    }
    assert!(groups.len() == 80 && groups.values().all(|count| *count == 6));
    let criteria: HashSet<_> = pairs.iter().map(|pair| &pair.criterion).collect();
    assert_eq!(criteria.len(), 44);
}

#[test]
fn rm_bench_pairs_know_their_styles_and_domain() {
    let Some((_, pairs)) = pairs("text/rm_bench") else {
        return;
    };
    let first = &pairs[5];
    assert_eq!(first.id, "chat/8/1-2");
    assert_eq!(
        (&first.extra["chosen_style"], &first.extra["rejected_style"]),
        (&1.into(), &2.into())
    );
    assert_eq!(first.extra["domain"], "chat");
    assert_eq!(first.extra["row"], 0);
    assert_eq!(first.source.as_deref(), Some("alpacaeval"));
    let code = pairs
        .iter()
        .filter(|pair| pair.extra["domain"] == "code")
        .count();
    assert_eq!(code, 306);
}

#[test]
fn two_criteria_of_agiqa_disagree_on_the_same_pictures() {
    let Some((_, pairs)) = pairs("image/agiqa3k/ratings.csv") else {
        return;
    };
    let of = |name: &str| {
        pairs
            .iter()
            .filter_map(|pair| Some((pair.id.strip_prefix(name)?.to_owned(), pair)))
            .collect::<BTreeMap<_, _>>()
    };
    let (quality, alignment) = (of("quality/"), of("alignment/"));
    assert_eq!(balance(quality.values().copied()), [1902, 5164, 1683, 0]);
    assert_eq!(balance(alignment.values().copied()), [1796, 4385, 2568, 0]);
    let opposite = quality
        .iter()
        .filter(|(id, pair)| pair.label == alignment[*id].label.map(Preference::swapped))
        .filter(|(_, pair)| pair.label != Some(Preference::Tie))
        .count();
    assert!(opposite > 100, "{opposite}");
    let groups: HashSet<&str> = pairs.iter().map(PreferencePair::cluster).collect();
    assert_eq!(groups.len(), 196);
}

#[test]
fn media_that_are_there_are_files_and_others_are_absent() {
    let is_file = |part: &Part| match &part.as_media().unwrap().source {
        MediaSource::File { path, .. } => {
            assert!(path.is_file(), "{}", path.display());
            true
        }
        MediaSource::Absent { .. } => false,
        other => panic!("{other:?}"),
    };
    for (path, files) in [
        ("image/mjbench_objects", 20),
        ("image/imagereward_demo", 12),
        ("image/imagereward_test", 0),
        ("video/videoalign/pairs.csv", 6),
        // One prompt of 24 has its four videos, in six pairs under two criteria.
        ("video/fetv/ratings.jsonl", 24),
        ("audio/speakbench", 6),
        ("audio/speed", 8),
        ("mesh/stanford_t23d", 0),
        ("judge_outputs/tifa", 0),
    ] {
        let Some((_, pairs)) = pairs(path) else {
            return;
        };
        let responses = pairs.iter().flat_map(|pair| &pair.responses);
        let found = responses
            .filter(|response| is_file(&response.parts[0]))
            .count();
        assert_eq!(found, files, "{path}");
    }
}

#[test]
fn an_edit_shows_the_source_and_the_instruction() {
    let Some((_, pairs)) = pairs("image/edit_demo") else {
        return;
    };
    let [source, instruction] = &pairs[0].prompt[..] else {
        panic!("{:?}", pairs[0].prompt);
    };
    assert_eq!(source.as_media().unwrap().name(), "source_img_1.png");
    assert_eq!(
        instruction.as_text(),
        Some("Add a green bowl on the branch")
    );
}

#[test]
fn four_way_votes_are_kept() {
    let Some((_, pairs)) = pairs("judge_outputs/genai_bench") else {
        return;
    };
    let mut votes = BTreeMap::new();
    for pair in &pairs {
        *votes
            .entry(pair.extra["human_vote"].as_str().unwrap())
            .or_insert(0) += 1;
    }
    let expected = [
        ("bothbad_vote", 643),
        ("leftvote", 829),
        ("rightvote", 881),
        ("tievote", 172),
    ];
    assert_eq!(votes, BTreeMap::from(expected));
}

#[test]
fn wanted_tasks_can_be_read_alone() {
    let Some(path) = real_data("judge_outputs/genai_bench") else {
        return;
    };
    let options = OpenOptions {
        tasks: Some(vec![Task::TI2I]),
        ..OpenOptions::default()
    };
    let dataset = open(&path, &options).unwrap();
    assert_eq!(dataset.pairs().count(), 916);
}

#[test]
fn single_labelled_videos_are_no_pairs_and_say_so() {
    for (path, reason) in [
        (
            "video/videophy/labels.csv",
            "no two videos have the same `caption`",
        ),
        (
            "video/videophy2/rules.csv",
            "the same `caption` and `physical_rule`",
        ),
    ] {
        let Some(path) = real_data(path) else {
            return;
        };
        let dataset = open(&path, &OpenOptions::default()).unwrap();
        let rows: Vec<_> = dataset.pairs().collect();
        let [Err(error @ Error::Empty { .. })] = &rows[..] else {
            panic!("{rows:?}");
        };
        assert!(error.to_string().contains(reason), "{error}");
    }
}
