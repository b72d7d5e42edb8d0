//! Figures that others published about recorded judge outputs, recomputed from the records.
//!
//! Run with `--nocapture` to see each figure beside the published one.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do, and the figures are for reading"
)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::Path,
};

use omnireward_core::{Order, Preference, Setting, Task};
use omnireward_eval::{
    Results, ResultsConfig, Row, SettingResults,
    metrics::{
        FailurePolicy, Tally,
        suites::{
            REWARD_BENCH_SECTIONS, StyleScores, reward_bench_sections, reward_bench_weight,
            style_matrix,
        },
    },
    stats::{cohen_kappa, kendall_tau_b, pearson, spearman},
};
use omnireward_testkit::real_data;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use support::{row, scored};

/// The entry of `EXPECTED.json` for a file.
fn expected(file: &str) -> Option<Value> {
    let entries: Vec<Value> = read_json(&real_data("EXPECTED.json")?);
    let entry = entries.into_iter().find(|entry| entry["file"] == file);
    Some(entry.unwrap_or_else(|| panic!("{file} is not in EXPECTED.json")))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> T {
    serde_json::from_reader(std::io::BufReader::new(File::open(path).unwrap())).unwrap()
}

fn read_csv<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// `1`, `2` or `tie`; anything else is no verdict.
fn numbered(text: &str) -> Option<Preference> {
    match text {
        "1" => Some(Preference::First),
        "2" => Some(Preference::Second),
        "tie" => Some(Preference::Tie),
        _ => None,
    }
}

fn results(rows: &[Row]) -> SettingResults {
    let config = ResultsConfig {
        resamples: 0,
        ..ResultsConfig::default()
    };
    let mut settings = Results::compute(rows, &config).settings;
    assert_eq!(settings.len(), 1);
    settings.remove(0)
}

fn assert_near(ours: f64, theirs: f64, tolerance: f64, what: &str) {
    assert!(
        (ours - theirs).abs() <= tolerance,
        "{what}: {ours}, published {theirs}"
    );
}

#[derive(Deserialize)]
struct LlmBarVerdict {
    row: u32,
    label: String,
    evaluator: String,
    winner_order1: String,
    winner_order2: String,
}

const LLMBAR: [&str; 3] = [
    "judge_outputs/llmbar/natural.verdicts.csv",
    "judge_outputs/llmbar/adversarial_neighbor.verdicts.csv",
    "judge_outputs/llmbar/adversarial_gptinst.verdicts.csv",
];

#[test]
fn llmbar_position_figures_of_65_judges_on_three_sets() {
    for set in LLMBAR {
        let (Some(file), Some(expected)) = (real_data(set), expected(set)) else {
            return;
        };
        let published = real_data(expected["expected_in"].as_str().unwrap()).unwrap();
        let mut by_judge: BTreeMap<String, Vec<LlmBarVerdict>> = BTreeMap::new();
        for verdict in read_csv::<LlmBarVerdict>(&file) {
            by_judge
                .entry(verdict.evaluator.clone())
                .or_default()
                .push(verdict);
        }
        let published: Vec<Value> = read_json(&published);
        assert_eq!((by_judge.len(), published.len()), (65, 65));
        println!("LLMBar {set}: judge, order 1, order 2, average, both orders, agreement, kappa");
        for figures in published {
            let judge = figures["evaluator"].as_str().unwrap();
            llmbar_judge(judge, &by_judge[judge], &figures);
        }
    }
}

fn llmbar_judge(judge: &str, verdicts: &[LlmBarVerdict], published: &Value) {
    let rows: Vec<Row> = verdicts
        .iter()
        .flat_map(|v| {
            let orders = [
                (Order::AsIs, &v.winner_order1),
                (Order::Swapped, &v.winner_order2),
            ];
            orders.map(|(order, winner)| Row {
                order,
                ..row(
                    v.row.to_string(),
                    Task::T2T,
                    Setting::WithoutTies,
                    numbered(&v.label).unwrap(),
                    numbered(winner),
                )
            })
        })
        .collect();
    let results = results(&rows);
    let position = results.position;
    let count = position.pairs as f64;
    assert_eq!(position.pairs, published["n"].as_u64().unwrap());
    let percent = |key: &str| {
        let text = published[key].as_str().unwrap();
        let number = text.rsplit(' ').next().unwrap().trim_end_matches('%');
        number.parse::<f64>().unwrap()
    };
    // Two replies that could not be read count as agreeing there.
    let both_unread = verdicts
        .iter()
        .filter(|v| v.winner_order1.is_empty() && v.winner_order2.is_empty())
        .count() as f64;
    // For kappa, everything that is not a verdict for the first response is one class there.
    let kappa = cohen_kappa(
        verdicts
            .iter()
            .map(|v| (v.winner_order1 == "1", v.winner_order2 == "1")),
    );
    let figures = [
        (
            position.accuracy_as_is.unwrap() * 100.0,
            percent("accuracy_order1"),
        ),
        (
            position.accuracy_swapped.unwrap() * 100.0,
            percent("accuracy_order2"),
        ),
        (
            results.overall.micro.value.unwrap() * 100.0,
            percent("accuracy_average"),
        ),
        (
            position.both_orders_accuracy.unwrap() * 100.0,
            percent("correct_in_both_orders"),
        ),
        (
            (position.consistent as f64 + both_unread) / count * 100.0,
            percent("positional_agreement"),
        ),
        (
            kappa.unwrap_or(0.0),
            published["kappa_agreement"].as_f64().unwrap(),
        ),
    ];
    println!(
        "  {judge:40} {}",
        figures.map(|(ours, _)| format!("{ours:7.3}")).join(" ")
    );
    for (ours, theirs) in figures {
        assert_near(ours, theirs, 1e-9, judge);
    }
}

const RM_BENCH: &str = "judge_outputs/ixc_reward/rm_bench_scores.json";

#[test]
fn rm_bench_styles_of_a_reward_model() {
    let (Some(path), Some(expected)) = (real_data(RM_BENCH), expected(RM_BENCH)) else {
        return;
    };
    let items: Vec<StyleScores> = read_json(&path);
    assert_eq!(items.len(), 1327);
    let matrix = style_matrix(&items).unwrap();
    let pooled = [
        ("hard", matrix.hard),
        ("normal", matrix.normal),
        ("easy", matrix.easy),
        ("avg", matrix.average),
    ];
    println!("RM-Bench, IXC-2.5-Reward: ours, recomputed, published");
    for (name, ours) in pooled {
        let recomputed = expected["recomputed_pooled"][name].as_f64().unwrap();
        let published = expected["published"][name].as_f64().unwrap();
        println!("  {name:8} {:.3} {recomputed} {published}", ours * 100.0);
        assert_near(ours * 100.0, recomputed, 0.000_51, name);
        assert_near(ours * 100.0, published, 0.1, name);
    }
    for (domain, range) in expected["domain_ranges"].as_object().unwrap() {
        let bound = |index: usize| range[index].as_u64().unwrap() as usize;
        let ours = style_matrix(&items[bound(0)..bound(1)]).unwrap().average * 100.0;
        let recomputed = expected["recomputed_by_domain_avg"][domain]
            .as_f64()
            .unwrap();
        let published = expected["published"][domain].as_f64().unwrap();
        println!("  {domain:8} {ours:.3} {recomputed} {published}");
        assert_near(ours, recomputed, 0.000_51, domain);
        assert_near(ours, published, 0.1, domain);
    }
}

const GENAI_BENCH: [&str; 2] = [
    "judge_outputs/genai_bench/image_generation.votes.csv",
    "judge_outputs/genai_bench/image_edition.votes.csv",
];

#[test]
fn genai_bench_four_way_accuracies_of_15_judges() {
    for set in GENAI_BENCH {
        let (Some(path), Some(expected)) = (real_data(set), expected(set)) else {
            return;
        };
        let votes: Vec<BTreeMap<String, String>> = read_csv(&path);
        let judges = expected["per_judge"].as_object().unwrap();
        assert_eq!(judges.len(), 15);
        println!(
            "GenAI-Bench {set}: judge, by verdict, by the correct column, published, unparsed"
        );
        for (judge, figures) in judges {
            genai_judge(judge, &votes, figures);
        }
    }
}

fn genai_judge(judge: &str, votes: &[BTreeMap<String, String>], expected: &Value) {
    let verdicts: Tally = votes
        .iter()
        .map(|vote| {
            let answer = match vote["human_vote"].as_str() {
                "leftvote" => "[[A>B]]",
                "rightvote" => "[[B>A]]",
                "tievote" => "[[A=B=Good]]",
                "bothbad_vote" => "[[A=B=Bad]]",
                other => panic!("unknown vote {other}"),
            };
            let verdict = vote[judge].as_str();
            (!verdict.is_empty()).then(|| verdict == answer)
        })
        .collect();
    let column: Tally = votes
        .iter()
        .map(|vote| Some(vote[&format!("{judge}:correct")] == "1"))
        .collect();
    let percent = |tally: Tally| {
        tally
            .accuracy(FailurePolicy::Wrong, Setting::WithTies)
            .unwrap()
            * 100.0
    };
    let figure = |key: &str| expected[key].as_f64().unwrap();
    println!(
        "  {judge:16} {:6.2} {:6.2} {:6.2} {:5}",
        percent(verdicts),
        percent(column),
        figure("published"),
        verdicts.unscored
    );
    assert_near(
        percent(column),
        figure("from_correct_column"),
        0.005_01,
        judge,
    );
    assert_near(percent(column), figure("published"), 0.005_01, judge);
    assert_near(
        percent(verdicts),
        figure("from_verdict_match"),
        0.005_01,
        judge,
    );
    assert_eq!(
        verdicts.unscored,
        expected["unparsed"].as_u64().unwrap(),
        "{judge}"
    );
}

#[derive(Deserialize)]
struct VicunaReview {
    answer_1_model: String,
    answer_2_model: String,
    scores: [f64; 2],
}

const VICUNA_REVIEWS: [&str; 2] = [
    "judge_outputs/vicuna_gpt4_reviews/alpaca-13b_vs_vicuna-13b.jsonl",
    "judge_outputs/vicuna_gpt4_reviews/llama-13b_vs_vicuna-13b.jsonl",
];

#[test]
fn vicuna_total_scores() {
    for file in VICUNA_REVIEWS {
        let (Some(path), Some(expected)) = (real_data(file), expected(file)) else {
            return;
        };
        let reviews: Vec<VicunaReview> = read_jsonl(&path);
        assert_eq!(reviews.len(), 80);
        let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
        for review in &reviews {
            *totals.entry(&review.answer_1_model).or_default() += review.scores[0];
            *totals.entry(&review.answer_2_model).or_default() += review.scores[1];
        }
        let published = expected["published"].as_object().unwrap();
        println!("Vicuna reviews by GPT-4: {totals:?}");
        assert_eq!(totals.len(), published.len());
        for (model, total) in published {
            assert_near(totals[model.as_str()], total.as_f64().unwrap(), 0.0, model);
        }
    }
}

const TIFA: &str = "judge_outputs/tifa/human_annotations_with_scores.json";

#[test]
fn tifa_correlations_of_ten_metrics() {
    let (Some(path), Some(expected)) = (real_data(TIFA), expected(TIFA)) else {
        return;
    };
    let images: BTreeMap<String, Value> = read_json(&path);
    assert_eq!(images.len(), 800);
    let values = |key: &str| -> Vec<f64> {
        images
            .values()
            .map(|image| image[key].as_f64().unwrap())
            .collect()
    };
    let human = values("human_avg");
    let published = expected["published"].as_object().unwrap();
    assert_eq!(published.len(), 10);
    println!("TIFA: metric, Pearson (printed as Spearman), Kendall tau-b, true Spearman");
    for (metric, figures) in published {
        let scores = values(metric);
        let r = pearson(&scores, &human).unwrap();
        let tau = kendall_tau_b(&scores, &human).unwrap();
        let rho = spearman(&scores, &human).unwrap();
        println!("  {metric:20} {r:.6} {tau:.6} {rho:.6}");
        let printed = figures["pearson_r (printed as Spearman)"].as_f64().unwrap();
        assert_near(r, printed, 1e-12, metric);
        assert_near(
            tau,
            figures["kendall_tau_b"].as_f64().unwrap(),
            1e-12,
            metric,
        );
        assert!(
            (rho - printed).abs() > 1e-4,
            "{metric}: what is printed is not Spearman's"
        );
        if metric == "tifa_mplug-large" {
            assert_near(rho, 0.592, 0.0005, metric);
        }
    }
}

#[derive(Deserialize)]
struct AudioVerdict {
    item: String,
    transcript_given: String,
    orders_swapped: u8,
    ground_truth_original_order: String,
    prediction_as_presented: String,
    correct_column: String,
}

const AUDIO_PAIRS: [&str; 2] = [
    "judge_outputs/audiojudge/tmhintq.csv",
    "judge_outputs/audiojudge/speed.csv",
];

#[test]
fn audiojudge_accuracies_and_the_column_that_was_not_turned() {
    for (set, count) in AUDIO_PAIRS.into_iter().zip([200, 179]) {
        let (Some(path), Some(expected)) = (real_data(set), expected(set)) else {
            return;
        };
        let verdicts: Vec<AudioVerdict> = read_csv(&path);
        println!("AudioJudge {set}: transcript, un-swapped accuracy, published");
        for (transcript, recomputed) in expected["recomputed"].as_object().unwrap() {
            let rows = audio_rows(&verdicts, transcript);
            let position = results(&rows).position;
            let ours = position.accuracy_as_is.unwrap();
            let published = &expected["published"][transcript];
            println!("  {transcript:12} {ours:.6} {}", published["accuracy"]);
            assert_near(ours, recomputed.as_f64().unwrap(), 5.1e-7, transcript);
            if let Some(accuracy) = published["accuracy"].as_f64() {
                assert_near(ours, accuracy, 1e-12, transcript);
                assert_eq!(published["num_samples"].as_f64(), Some(f64::from(count)));
            }
            let unswapped = rows.iter().filter(|row| row.order == Order::AsIs).count();
            assert_eq!(unswapped, count as usize);
        }
        swapped_rows(set, &verdicts);
    }
}

/// In swapped rows `correct_column` compares the verdict as presented with the label in the
/// original order, so it is right exactly where the judge is wrong.
fn swapped_rows(set: &str, verdicts: &[AudioVerdict]) {
    let position = results(&audio_rows(verdicts, "none")).position;
    let ours = position.accuracy_swapped.unwrap();
    let swapped = verdicts.iter().filter(|v| v.orders_swapped == 1);
    let column: Tally = swapped.map(|v| Some(v.correct_column == "True")).collect();
    let column = column
        .accuracy(FailurePolicy::Wrong, Setting::WithoutTies)
        .unwrap();
    println!(
        "  swapped: {ours:.4}, by the source's column {column:.4}; consistent {:.3}, first position {:.3}",
        position.consistency.unwrap(),
        position.first_position_share.unwrap()
    );
    assert_near(ours, 1.0 - column, 1e-12, set);
    assert_eq!(position.pairs, position.comparable);
}

fn audio_rows(verdicts: &[AudioVerdict], transcript: &str) -> Vec<Row> {
    verdicts
        .iter()
        .filter(|v| v.transcript_given == transcript)
        .map(|v| {
            let presented = numbered(&v.prediction_as_presented);
            let (order, preference) = if v.orders_swapped == 1 {
                (Order::Swapped, presented.map(Preference::swapped))
            } else {
                (Order::AsIs, presented)
            };
            let label = numbered(&v.ground_truth_original_order).unwrap();
            Row {
                order,
                ..row(
                    v.item.clone(),
                    Task::T2A,
                    Setting::WithoutTies,
                    label,
                    preference,
                )
            }
        })
        .collect()
}

#[derive(Deserialize)]
struct ArenaVerdict {
    index: String,
    model_a: String,
    model_b: String,
    human_winner: String,
    prediction: String,
    correct: u8,
}

const AUDIO_CHAT: [&str; 2] = [
    "judge_outputs/audiojudge/chatbotarena_gpt4o_audio.csv",
    "judge_outputs/audiojudge/chatbotarena_gemini25flash.csv",
];

#[test]
fn chatbot_arena_three_way_accuracies() {
    for judge in AUDIO_CHAT {
        let (Some(path), Some(expected)) = (real_data(judge), expected(judge)) else {
            return;
        };
        let verdicts: Vec<ArenaVerdict> = read_csv(&path);
        let rows: Vec<Row> = verdicts
            .iter()
            .map(|v| Row {
                models: [Some(v.model_a.clone()), Some(v.model_b.clone())],
                ..row(
                    v.index.clone(),
                    Task::T2T,
                    Setting::WithTies,
                    numbered(&v.human_winner).unwrap(),
                    numbered(&v.prediction),
                )
            })
            .collect();
        let results = results(&rows);
        let accuracy = results.overall.micro;
        println!(
            "Chatbot Arena by voice, {judge}: {} of {} = {:.6}; ties seen {} of {}",
            accuracy.tally.hits,
            accuracy.tally.total(),
            accuracy.value.unwrap(),
            results.confusion.tie.tie,
            results.confusion.tie.total()
        );
        let column = verdicts.iter().map(|v| u64::from(v.correct)).sum::<u64>();
        assert_eq!(accuracy.tally.hits, column);
        assert_eq!(
            accuracy.tally.total(),
            expected["published"]["n"].as_u64().unwrap()
        );
        assert_near(
            accuracy.value.unwrap(),
            expected["published"]["accuracy"].as_f64().unwrap(),
            1e-12,
            judge,
        );
        assert_near(
            accuracy.value.unwrap(),
            expected["recomputed"].as_f64().unwrap(),
            1e-12,
            judge,
        );
    }
}

#[derive(Deserialize)]
struct MjPair {
    id: u32,
    label: String,
    scores: BTreeMap<String, [f64; 2]>,
}

const MJ_BENCH: &str = "judge_outputs/mjbench/objects_indoor_scores.jsonl";

#[test]
fn mjbench_accuracies_of_six_reward_models() {
    let (Some(path), Some(expected)) = (real_data(MJ_BENCH), expected(MJ_BENCH)) else {
        return;
    };
    let pairs: Vec<MjPair> = read_jsonl(&path);
    assert_eq!(pairs.len(), 70);
    let models = expected["recomputed"].as_object().unwrap();
    assert_eq!(models.len(), 6);
    println!("MJ-Bench objects, 70 pairs: model, accuracy");
    for (model, figure) in models {
        let rows: Vec<Row> = pairs
            .iter()
            .map(|pair| {
                assert_eq!(pair.label, "0");
                let [first, second] = pair.scores[model];
                scored(
                    pair.id.to_string(),
                    Task::T2I,
                    Setting::WithoutTies,
                    Preference::First,
                    first - second,
                )
            })
            .collect();
        let accuracy = results(&rows).overall.micro.value.unwrap() * 100.0;
        println!("  {model:16} {accuracy:.2} {figure}");
        assert_near(accuracy, figure.as_f64().unwrap(), 0.005_01, model);
    }
}

#[derive(Deserialize)]
struct Sections {
    subset_accuracy: BTreeMap<String, Value>,
    subset_counts: BTreeMap<String, u64>,
    #[serde(rename = "sections")]
    subsets: BTreeMap<String, Vec<String>>,
    section_scores_by_reference_function: BTreeMap<String, f64>,
}

const REWARD_BENCH: &str = "judge_outputs/rewardbench_sections/beaver_cost.json";

#[test]
fn rewardbench_section_scores() {
    let (Some(path), Some(expected)) = (real_data(REWARD_BENCH), expected(REWARD_BENCH)) else {
        return;
    };
    let file: Sections = read_json(&path);
    for (subset, count) in &file.subset_counts {
        assert_eq!(reward_bench_weight(subset), Some(*count), "{subset}");
    }
    for (section, subsets) in REWARD_BENCH_SECTIONS {
        assert_eq!(file.subsets[section], subsets);
    }
    let scores = reward_bench_sections(|subset| file.subset_accuracy[subset].as_f64());
    assert_eq!(scores.len(), 4);
    println!("RewardBench sections, beaver-7b-v1.0-cost");
    for (section, score) in scores {
        println!("  {section:10} {score:.6}");
        assert_near(
            score,
            expected["expected"][section].as_f64().unwrap(),
            1e-12,
            section,
        );
        assert_near(
            score,
            file.section_scores_by_reference_function[section],
            1e-12,
            section,
        );
    }
}

/// Each test above names the files it recomputes, and there are no others.
#[test]
fn every_file_of_expected_figures_is_tested_here() {
    let Some(path) = real_data("EXPECTED.json") else {
        return;
    };
    let entries: Vec<Value> = read_json(&path);
    let expected: BTreeSet<&str> = entries
        .iter()
        .map(|entry| entry["file"].as_str().unwrap())
        .collect();
    let tested: BTreeSet<&str> = [RM_BENCH, TIFA, MJ_BENCH, REWARD_BENCH]
        .into_iter()
        .chain(LLMBAR)
        .chain(GENAI_BENCH)
        .chain(VICUNA_REVIEWS)
        .chain(AUDIO_PAIRS)
        .chain(AUDIO_CHAT)
        .collect();
    assert_eq!(tested, expected);
}
