//! Writes reports of made-up verdicts on made-up pairs of all nine tasks, to look at their design.
//!
//! `cargo run -p omnireward-eval --example sample_report -- OUT [DATA]` writes `single.html`,
//! `scores.html`, `compare.html` and `rows-only.html` into `OUT` and the terminal's tables to
//! standard output. `DATA` is a folder with real media; without it, media are missing and say so.

#![expect(clippy::print_stdout, reason = "an example writes to its user")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use omnireward_core::{
    Identity, MediaRef, MediaSource, Modality, Order, OrderPolicy, Part, Preference,
    PreferencePair, Response, Setting, Status, Task, Usage, Verdict,
};
use omnireward_eval::{
    BenchmarkRecord, JudgeRecord, Results, ResultsConfig, Row, RunManifest, RunPlan, compare,
    report::{
        PairBudget, ReportInput, ReportRun, RunRows, TerminalOptions, html, pair_views, terminal,
    },
};
use omnireward_media::Limits;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let out = arguments.next().unwrap_or_else(|| "sample-report".into());
    let data = arguments.next();
    fs::create_dir_all(&out)?;

    let pairs = pairs(data.as_deref());
    let chat = Run::new("gpt-sample", "openai:gpt-sample", &pairs, &Habits::CHAT);
    let small = Run::new("mini-sample", "openai:mini-sample", &pairs, &Habits::SMALL);
    let reward = Run::new("reward-sample", "./reward-sample", &pairs, &Habits::REWARD);
    let published = ["Omni-RewardModel-BT".to_owned(), "GPT-4o".to_owned()];

    write(&out.join("single.html"), &[&chat], &[], Some(&pairs));
    write(
        &out.join("scores.html"),
        &[&reward],
        &published[..1],
        Some(&pairs[..40]),
    );
    write(
        &out.join("compare.html"),
        &[&chat, &small, &reward],
        &published,
        Some(&pairs),
    );
    write(&out.join("rows-only.html"), &[&small], &[], Some(&[]));
    Ok(())
}

struct Run {
    name: &'static str,
    manifest: RunManifest,
    rows: Vec<Row>,
    results: Results,
}

/// What a made-up judge is like.
struct Habits {
    skill: f64,
    first_bias: f64,
    failures: f64,
    scores: bool,
    seed: u64,
}

impl Habits {
    const CHAT: Self = Self {
        skill: 0.62,
        first_bias: 0.06,
        failures: 0.02,
        scores: false,
        seed: 1,
    };
    const SMALL: Self = Self {
        skill: 0.34,
        first_bias: 0.22,
        failures: 0.08,
        scores: false,
        seed: 2,
    };
    const REWARD: Self = Self {
        skill: 0.55,
        first_bias: 0.0,
        failures: 0.004,
        scores: true,
        seed: 3,
    };
}

impl Run {
    fn new(name: &'static str, spec: &str, pairs: &[PreferencePair], habits: &Habits) -> Self {
        let rows = rows(pairs, habits);
        let results = Results::compute(
            &rows,
            &ResultsConfig {
                resamples: 2_000,
                ..ResultsConfig::default()
            },
        );
        let settings = serde_json::json!({
            "model": name,
            "prompt_sha256": "7f0c9b0f3f4a6c1d",
            "sampling": {"temperature": 0.0, "max_tokens": 2048, "seed": 7},
            "media": {"frames": 8, "max_side_px": 1024},
        });
        let manifest = RunManifest {
            omnireward: env!("CARGO_PKG_VERSION").to_owned(),
            started: "2026-11-24 07:30:00".to_owned(),
            command: format!(
                "omnireward eval --judge {spec} --benchmark ./omni-rewardbench --setting both --order both --seed 7 --out runs/{name}"
            ),
            plan: RunPlan {
                tasks: Task::ALL.to_vec(),
                settings: Setting::ALL.to_vec(),
                order: if habits.scores {
                    OrderPolicy::AsIs
                } else {
                    OrderPolicy::Both
                },
                seed: 7,
                limit: None,
            },
            judge: JudgeRecord::new(spec, Identity::new(name, settings)),
            benchmark: BenchmarkRecord {
                spec: "./omni-rewardbench".to_owned(),
                name: "sample bench".to_owned(),
                format: "pairs".to_owned(),
                revision: Some("9f2c41d".to_owned()),
                fingerprint: "sha256:5a1d0f6b8c3e7720aa54".to_owned(),
            },
        };
        Self {
            name,
            manifest,
            rows,
            results,
        }
    }
}

fn write(path: &Path, runs: &[&Run], published: &[String], pairs: Option<&[PreferencePair]>) {
    let report_runs: Vec<ReportRun<'_>> = runs
        .iter()
        .map(|run| ReportRun {
            name: run.name,
            manifest: &run.manifest,
            results: &run.results,
            dollars: (!run.manifest.judge.spec.starts_with('.')).then_some(12.34),
        })
        .collect();
    let named: Vec<(&str, &[Row])> = runs
        .iter()
        .map(|run| (run.name, run.rows.as_slice()))
        .collect();
    let comparison = (runs.len() > 1).then(|| compare(&named, &runs[0].results.config));
    let rows: Vec<RunRows<'_>> = named
        .iter()
        .map(|(name, rows)| RunRows { name, rows })
        .collect();
    let views = pairs.map(|pairs| {
        pair_views(
            pairs.iter().cloned(),
            &rows,
            &PairBudget::default(),
            &Limits::default(),
        )
    });
    let input = ReportInput {
        runs: &report_runs,
        comparison: comparison.as_ref(),
        published,
        pairs: views.as_ref(),
        notes: &["Verdicts and most texts of this sample are made up.".to_owned()],
    };
    let page = html(&input);
    println!("{}", terminal(&input, TerminalOptions { color: false }));
    println!("wrote {} ({} kB)\n", path.display(), page.len() / 1000);
    fs::write(path, page).expect("the output folder was created");
}

const GROUPS: usize = 40;
const CRITERIA: [&str; 4] = [
    "Prefer the response that keeps to what was asked and adds nothing else.",
    "Which response shows more visible or audible detail?",
    "Prefer the one with fewer artefacts, even if it is plainer.",
    "Judge only how natural the result feels; ignore correctness.",
];

fn pairs(data: Option<&Path>) -> Vec<PreferencePair> {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut pairs = Vec::new();
    for task in Task::ALL {
        for group in 0..GROUPS {
            let criteria = 1 + random.random_range(0..3usize);
            let media = |side: usize| medium(task.response_modality(), data, group * 2 + side);
            for (index, criterion) in CRITERIA.iter().take(criteria).enumerate() {
                let label = match random.random_range(0..9) {
                    0 => Preference::Tie,
                    n if n % 2 == 0 => Preference::First,
                    _ => Preference::Second,
                };
                let models = ["aurora-2", "brook-xl", "cinder-mini", "delta-v3"];
                let first = random.random_range(0..4usize);
                let second = (first + 1 + random.random_range(0..3usize)) % 4;
                let response = |side: usize, model: &str| {
                    let response = if task.is_generation() {
                        Response::media(media(side))
                    } else {
                        Response::text(answer(group, side))
                    };
                    response.by(model)
                };
                let mut pair = PreferencePair::new(
                    format!("{}-{group:03}-{index}", task.code().to_lowercase()),
                    task,
                    prompt(task, group),
                    [response(0, models[first]), response(1, models[second])],
                )
                .with_criterion(*criterion)
                .with_label(label);
                if let Some(modality) = task.prompt_modality() {
                    pair.prompt.push(Part::Media(medium(modality, data, group)));
                }
                pair.group = Some(format!("{}-{group:03}", task.code().to_lowercase()));
                pair.source =
                    Some(["open prompts", "user requests", "edge cases"][group % 3].to_owned());
                pairs.push(pair);
            }
        }
    }
    let hostile =
        "</script><script>alert('never')</script> \u{2028} & <img src=x onerror=alert(1)>";
    pairs[0].prompt = vec![Part::from(hostile)];
    pairs
}

fn prompt(task: Task, group: usize) -> String {
    let subject = [
        "a harbour at dawn",
        "a wooden chair",
        "rain on a tin roof",
        "a bridge in fog",
    ][group % 4];
    match task {
        Task::T2T => {
            format!("Explain to a new colleague how to write about {subject} in three sentences.")
        }
        Task::TI2T => format!("What in this picture reminds of {subject}?"),
        Task::TV2T => "Describe what happens, in order.".to_owned(),
        Task::TA2T => "What is being said, and in what mood?".to_owned(),
        Task::TI2I => format!("Change the background to {subject} and keep the rest."),
        _ => format!("Make {subject}, calm and true to life."),
    }
}

fn answer(group: usize, side: usize) -> String {
    if side == 0 {
        format!(
            "Start with what can be seen, then say why it matters. Case {group} is short on purpose."
        )
    } else {
        "First, gather every detail. Second, order them by importance. Third, leave most of them out.\n\n\
         - The reader should see the place before anything is explained.\n- One comparison is enough."
            .to_owned()
    }
}

fn medium(modality: Modality, data: Option<&Path>, index: usize) -> MediaRef {
    let files: &[&str] = match modality {
        Modality::Image => &[
            "image/mjbench_objects/furniture_57.jpg",
            "image/mjbench_objects/furniture_57_edited_furniture.jpg",
            "image/imagereward_demo/1.webp",
            "image/imagereward_demo/2.webp",
            "image/edit_demo/target_img_1.png",
            "image/edit_demo/target_img_3.png",
        ],
        Modality::Video => &[
            "video/videoalign/example_1_A.mp4",
            "video/videoalign/example_1_B.mp4",
            "video/videophy/Coffee_accepting_a_gentle_pour_of_milk_1.mp4",
            "video/videophy/Pushpin_skates_across_a_glossy_desk_surface._1.mp4",
        ],
        Modality::Audio => &[
            "audio/speed/1_a.wav",
            "audio/speed/1_b.wav",
            "audio/speakbench/sb_0_0_a.wav",
            "audio/speakbench/sb_0_0_b.wav",
        ],
        Modality::Mesh => &[
            "mesh/files/rabbit.obj",
            "mesh/files/obj_empty.obj",
            "mesh/files/cube.glb",
            "mesh/files/pins.glb",
        ],
        Modality::Text => &[],
    };
    let name = files[index % files.len()].to_owned();
    let source = match data {
        Some(data) => MediaSource::File {
            path: data.join(&name),
            name,
        },
        None => MediaSource::Absent { name },
    };
    MediaRef { modality, source }
}

fn rows(pairs: &[PreferencePair], habits: &Habits) -> Vec<Row> {
    let mut random = ChaCha8Rng::seed_from_u64(habits.seed);
    let mut rows = Vec::new();
    let orders: &[Order] = if habits.scores {
        &[Order::AsIs]
    } else {
        &[Order::AsIs, Order::Swapped]
    };
    for (pair, position) in pairs.iter().zip(0..) {
        let hard = f64::from(pair.task as u8) * 0.03;
        for setting in Setting::ALL {
            if !setting.offers_tie() && pair.label == Some(Preference::Tie) {
                continue;
            }
            for order in orders {
                let verdict = verdict(pair, setting, *order, habits, hard, &mut random);
                rows.push(Row::new(
                    pair,
                    position,
                    setting,
                    *order,
                    verdict,
                    random.random_range(300..4_000),
                ));
            }
        }
    }
    rows
}

fn verdict(
    pair: &PreferencePair,
    setting: Setting,
    order: Order,
    habits: &Habits,
    hard: f64,
    random: &mut ChaCha8Rng,
) -> Verdict {
    let usage = Usage {
        requests: u32::from(!habits.scores),
        prompt_tokens: 900,
        completion_tokens: 120,
    };
    if random.random_bool(habits.failures) {
        let status = Status::ALL[random.random_range(1..Status::ALL.len())];
        let raw = status
            .is_answered()
            .then(|| "I can see merit in both, and".to_owned());
        let why = format!("asking ended as {status}");
        return Verdict {
            raw,
            usage,
            ..Verdict::without_preference(status, Some(why))
        };
    }
    if habits.scores {
        let noise = || random.random_range(-1.0..1.0_f64) + random.random_range(-1.0..1.0_f64);
        let truth = match pair.label {
            Some(Preference::First) => 0.9,
            Some(Preference::Second) => -0.9,
            _ => 0.0,
        };
        let mut noise = noise;
        let margin = truth * (1.2 - hard) + noise() * if truth == 0.0 { 0.3 } else { 0.8 };
        return Verdict::from_scores([1.3 + margin / 2.0, 1.3 - margin / 2.0]);
    }
    let preference = if random.random_bool((habits.skill - hard / 2.0).clamp(0.0, 1.0)) {
        pair.label.unwrap_or(Preference::Tie)
    } else if random.random_bool(0.5 + habits.first_bias) {
        if order == Order::AsIs {
            Preference::First
        } else {
            Preference::Second
        }
    } else if setting.offers_tie() && random.random_bool(0.2) {
        Preference::Tie
    } else if order == Order::AsIs {
        Preference::Second
    } else {
        Preference::First
    };
    let rationale = format!(
        "Under the criterion, the {preference} option holds up better: it keeps to the request, and what it adds can be checked."
    );
    let raw = format!("<think>Compare both.</think>\n{rationale}\n\n[[{preference}]]");
    Verdict {
        rationale: Some(rationale),
        raw: Some(raw),
        usage,
        ..Verdict::preferring(preference)
    }
}
