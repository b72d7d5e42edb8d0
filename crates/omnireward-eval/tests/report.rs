//! Reports as whole documents: what they hold, and what they must never hold.

use omnireward_core::{
    Identity, MediaRef, MediaSource, Modality, Order, OrderPolicy, Preference, PreferencePair,
    Response, Setting, Status, Task, Usage, Verdict,
};
use omnireward_eval::{
    BenchmarkRecord, JudgeRecord, Results, ResultsConfig, Row, RunManifest, RunPlan, compare,
    report::{
        Bars, HeldOut, HeldOutPoint, HeldOutShare, PairBudget, PairViews, ReportInput, ReportRun,
        RunRows, SeriesUnit, SetBlock, SetContent, SetNumber, SetPage, SetSection, Spread,
        TerminalOptions, TrainingPage, TrainingSeries, html, pair_views, sample_views, set_html,
        terminal, training_html,
    },
};
use omnireward_media::Limits;

const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u{2028}\u{2029}\"'{{ 7*7 }}<!--";

struct Run {
    name: String,
    manifest: RunManifest,
    rows: Vec<Row>,
    results: Results,
}

impl Run {
    fn new(name: &str, rows: Vec<Row>) -> Self {
        let config = ResultsConfig {
            resamples: 500,
            ..ResultsConfig::default()
        };
        Self {
            name: name.to_owned(),
            manifest: manifest(name),
            results: Results::compute(&rows, &config),
            rows,
        }
    }
}

fn manifest(name: &str) -> RunManifest {
    RunManifest {
        omnireward: "0.1.0".into(),
        started: "2026-01-02 03:04:05".into(),
        command: format!("omnireward eval --judge openai:{name} --benchmark bench --out run"),
        plan: RunPlan {
            tasks: Task::ALL.to_vec(),
            settings: Setting::ALL.to_vec(),
            order: OrderPolicy::Both,
            seed: 0,
            limit: None,
        },
        judge: JudgeRecord::new(
            format!("openai:{name}"),
            Identity::new(name, serde_json::json!({"temperature": 0.0})),
        ),
        benchmark: BenchmarkRecord {
            spec: "bench".into(),
            name: "bench".into(),
            format: "pairs".into(),
            revision: None,
            fingerprint: "0123456789abcdef0123".into(),
        },
    }
}

fn pair(task: Task, number: u64) -> PreferencePair {
    let response = |side: &str| {
        if task.is_generation() {
            Response::media(MediaRef {
                modality: task.response_modality(),
                source: MediaSource::Absent {
                    name: format!("{side}{number}.bin"),
                },
            })
        } else {
            Response::text(format!("answer {side}{number}"))
        }
    };
    let mut pair = PreferencePair::new(
        format!("{task}-{number}"),
        task,
        format!("prompt {number}"),
        [response("a").by("model a"), response("b").by("model b")],
    )
    .with_criterion(["shorter", "longer"][(number % 2) as usize])
    .with_label(Preference::ALL[(number % 5 % 3) as usize]);
    pair.source = Some(["one", "two"][(number % 2) as usize].into());
    pair.group = Some(format!("{task}-{}", number / 2));
    pair
}

/// A judge that is right two times in three, prefers what it sees first, and fails now and then.
fn verdict(number: u64, label: Preference, order: Order) -> Verdict {
    let usage = Usage {
        requests: 1,
        prompt_tokens: 100,
        completion_tokens: 10,
    };
    if number % 11 == 7 {
        let failed =
            Verdict::without_preference(Status::Unreadable, Some("no verdict found".into()));
        return Verdict {
            raw: Some("hm".into()),
            usage,
            ..failed
        };
    }
    let preference = match number % 3 {
        2 if order == Order::AsIs => Preference::First,
        2 => Preference::Second,
        _ => label,
    };
    Verdict {
        raw: Some(format!("[[{preference}]]")),
        usage,
        ..Verdict::preferring(preference)
    }
}

fn rows(tasks: &[Task], each: u64, shift: u64) -> Vec<Row> {
    let mut rows = Vec::new();
    for (task, number) in tasks
        .iter()
        .flat_map(|task| (0..each).map(move |number| (*task, number)))
    {
        let pair = pair(task, number);
        let label = pair.label.expect("every pair of this test has a label");
        for setting in Setting::ALL {
            if setting == Setting::WithoutTies && label == Preference::Tie {
                continue;
            }
            for order in [Order::AsIs, Order::Swapped] {
                rows.push(Row::new(
                    &pair,
                    number,
                    setting,
                    order,
                    verdict(number + shift + task as u64, label, order),
                    250,
                ));
            }
        }
    }
    rows
}

fn scored_rows(tasks: &[Task], each: u64) -> Vec<Row> {
    let mut rows = Vec::new();
    for (task, number) in tasks
        .iter()
        .flat_map(|task| (0..each).map(move |number| (*task, number)))
    {
        let pair = pair(task, number);
        let wave = (number as f64 * 0.7).sin();
        let verdict = Verdict::from_scores([1.0 + wave, 1.0 - wave * 0.5]);
        rows.push(Row::new(
            &pair,
            number,
            Setting::WithTies,
            Order::AsIs,
            verdict,
            3,
        ));
    }
    rows
}

fn with_input<T>(
    runs: &[&Run],
    pairs: Option<&PairViews>,
    published: &[String],
    use_it: impl FnOnce(&ReportInput<'_>) -> T,
) -> T {
    let report_runs: Vec<ReportRun<'_>> = runs
        .iter()
        .map(|run| ReportRun {
            name: &run.name,
            manifest: &run.manifest,
            results: &run.results,
            dollars: Some(0.5),
        })
        .collect();
    let named: Vec<(&str, &[Row])> = runs
        .iter()
        .map(|run| (run.name.as_str(), run.rows.as_slice()))
        .collect();
    let comparison = (runs.len() > 1).then(|| {
        compare(
            &named,
            &ResultsConfig {
                resamples: 500,
                ..ResultsConfig::default()
            },
        )
    });
    use_it(&ReportInput {
        runs: &report_runs,
        comparison: comparison.as_ref(),
        published,
        pairs,
        notes: &[],
    })
}

fn views(run: &Run, pairs: Vec<PreferencePair>) -> PairViews {
    let runs = [RunRows {
        name: &run.name,
        rows: &run.rows,
    }];
    pair_views(pairs, &runs, &PairBudget::default(), &Limits::default())
}

/// Fails when an element is closed that is not open, or stays open.
fn check_nesting(page: &str) {
    const VOID: [&str; 5] = ["meta", "link", "img", "input", "br"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let end = rest.find('>').expect("every tag ends");
        let (tag, after) = rest.split_at(end);
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(
                open.pop(),
                Some(name),
                "closing tag `{name}` near `{}`",
                &rest[..rest.len().min(80)]
            );
        } else if !tag.starts_with('!') {
            let name = tag
                .split([' ', '\n', '/'])
                .next()
                .expect("split gives at least one part");
            if tag.ends_with('/') || VOID.contains(&name) {
                continue;
            }
            open.push(name);
            if matches!(name, "script" | "style") {
                let close = rest
                    .find(&format!("</{name}"))
                    .expect("raw text elements end");
                rest = &rest[close..];
            }
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

/// Fails when the page could make a browser ask for something.
fn check_self_contained(page: &str) {
    for scheme in ["http://", "https://", "//cdn", "url(", "@import"] {
        assert!(!page.contains(scheme), "found `{scheme}`");
    }
    for attribute in [" src=", " href=", " srcset=", " action=", " data="] {
        for (place, _) in page.match_indices(attribute) {
            let value = page[place + attribute.len()..].trim_start_matches('"');
            let fine = value.starts_with("data:") || value.starts_with('#');
            assert!(fine, "{attribute}{}", &value[..value.len().min(60)]);
        }
    }
    assert!(page.contains("default-src 'none'"));
}

fn check_page(page: &str) {
    check_nesting(page);
    check_self_contained(page);
    let figures = page
        .split("<script")
        .next()
        .expect("split gives at least one part");
    for bad in ["NaN", "Infinity", ">inf<", "undefined", "None<", "Some("] {
        assert!(!figures.contains(bad), "found `{bad}`");
    }
}

#[test]
fn a_report_of_all_tasks_has_every_section() {
    let run = Run::new("judge", rows(&Task::ALL, 24, 0));
    let pairs = Task::ALL
        .iter()
        .flat_map(|task| (0..24).map(|n| pair(*task, n)))
        .collect();
    let views = views(&run, pairs);
    let page = with_input(&[&run], Some(&views), &[], html);
    check_page(&page);
    for id in [
        "headline",
        "tasks",
        "failures",
        "order",
        "agreement",
        "breakdown",
        "pairs-section",
    ] {
        assert!(page.contains(&format!("id=\"{id}\"")), "no section `{id}`");
    }
    assert!(!page.contains("id=\"comparison\"") && !page.contains("id=\"ties\""));
    assert!(page.contains("omnireward eval --judge openai:judge"));
}

#[test]
fn one_task_no_rows_and_rows_alone_are_reports_too() {
    let one = Run::new("one", rows(&[Task::T2T], 1, 0));
    let none = Run::new("none", Vec::new());
    for run in [&one, &none] {
        let alone = views(run, Vec::new());
        check_page(&with_input(&[run], Some(&alone), &[], html));
        check_page(&with_input(&[run], None, &[], html));
        assert!(
            !with_input(&[run], None, &[], |i| terminal(
                i,
                TerminalOptions::default()
            ))
            .is_empty()
        );
    }
    check_page(&with_input(&[], None, &[], html));
}

#[test]
fn scores_bring_the_tie_curve() {
    let run = Run::new("scores", scored_rows(&[Task::T2I, Task::T2T], 40));
    let page = with_input(&[&run], None, &[], html);
    check_page(&page);
    assert!(page.contains("id=\"ties\"") && page.contains("class=\"curve s0\""));
}

#[test]
fn runs_are_compared_and_the_paper_is_laid_beside() {
    let good = Run::new("good", rows(&[Task::T2T, Task::T2I], 30, 0));
    let other = Run::new("other", rows(&[Task::T2T, Task::TI2T], 30, 1));
    let published = ["GPT-4o".to_owned(), "nobody".to_owned()];
    let page = with_input(&[&good, &other], None, &published, html);
    check_page(&page);
    assert!(page.contains("id=\"comparison\"") && page.contains("GPT-4o (published)"));
    assert!(
        page.contains("78.2"),
        "the paper's T2T cell of GPT-4o with ties"
    );
    assert!(!page.contains("nobody"));
}

#[test]
fn hostile_texts_stay_texts() {
    let mut hostile = pair(Task::T2T, 0);
    hostile.id = HOSTILE.into();
    hostile.prompt = vec![HOSTILE.into()];
    hostile.responses = vec![
        Response::text(HOSTILE).by(HOSTILE),
        Response::text("b").by("b"),
    ];
    hostile.source = Some(HOSTILE.into());
    hostile = hostile.with_criterion(HOSTILE);
    let verdict = Verdict {
        raw: Some(HOSTILE.into()),
        rationale: Some(HOSTILE.into()),
        detail: Some(HOSTILE.into()),
        ..Verdict::preferring(Preference::First)
    };
    let mut rows = rows(&[Task::T2T], 4, 0);
    rows.push(Row::new(
        &hostile,
        4,
        Setting::WithTies,
        Order::AsIs,
        verdict,
        1,
    ));
    let mut run = Run::new(HOSTILE, rows);
    run.manifest.command = HOSTILE.into();
    run.manifest.benchmark.name = HOSTILE.into();
    let views = views(&run, vec![hostile]);
    let page = with_input(&[&run, &run], Some(&views), &[], html);
    check_nesting(&page);
    assert!(
        !page.contains("<script>alert") && !page.contains("<img"),
        "markup got through"
    );
    assert!(!page.contains("onerror=alert(2)>"), "markup got through");
    assert!(!page.contains(">49<"), "a template ran");
    assert_eq!(
        page.matches("<script").count(),
        2,
        "the island and the script"
    );

    let island = page
        .split("id=\"pairs\">")
        .nth(1)
        .unwrap()
        .split("</script>")
        .next()
        .unwrap();
    let island: serde_json::Value = serde_json::from_str(island).unwrap();
    let strings = island["strings"].as_array().unwrap();
    assert!(
        strings.iter().any(|text| text == HOSTILE),
        "the text is kept as it was"
    );
}

#[test]
fn the_embedded_benchmark_says_what_its_numbers_are_for() {
    let mut run = Run::new("judge", rows(&[Task::T2T], 8, 0));
    run.manifest.benchmark.spec = "embedded".into();
    let page = with_input(&[&run], None, &[], html);
    let said = "their labels are verifiable, not human";
    assert!(page.contains(said));
    let text = with_input(&[&run], None, &[], |i| {
        terminal(i, TerminalOptions::default())
    });
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words.join(" ").contains(said), "{text}");
}

#[test]
fn the_terminal_says_whether_verdicts_follow_the_criterion() {
    let mut run = rows(&[Task::T2T], 8, 0);
    let blind = Run::new("blind", run.clone());
    assert!(blind.results.settings[1].criterion_following.is_some());
    for row in &mut run {
        row.preference = row.label;
        row.status = Status::Readable;
    }
    let follows = Run::new("follows", run);
    let one = with_input(&[&follows], None, &[], |i| {
        terminal(i, TerminalOptions::default())
    });
    assert!(one.contains("criterion: balanced accuracy 100.0%"), "{one}");
    let several = with_input(&[&blind, &follows], None, &[], |i| {
        terminal(i, TerminalOptions::default())
    });
    assert!(
        several.contains("without ties: criteria that disagree"),
        "{several}"
    );
}

#[test]
fn media_that_cannot_be_read_say_why_in_place() {
    let run = Run::new("judge", rows(&[Task::T2I], 2, 0));
    let views = views(&run, vec![pair(Task::T2I, 0), pair(Task::T2I, 1)]);
    assert_eq!(views.media.len(), 4);
    assert!(
        views
            .media
            .iter()
            .all(|medium| medium.modality == Modality::Image)
    );
    let page = with_input(&[&run], Some(&views), &[], html);
    assert!(page.contains("named by the dataset but not included in it"));
}

#[test]
fn the_terminal_shows_one_run() {
    let run = Run::new("judge", rows(&[Task::T2T, Task::T2I, Task::T23D], 24, 0));
    let text = with_input(&[&run], None, &[], |input| {
        terminal(input, TerminalOptions::default())
    });
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
    insta::assert_snapshot!(text);
}

#[test]
fn the_terminal_compares_runs() {
    let first = Run::new("first", rows(&Task::ALL, 24, 0));
    let second = Run::new("second-with-a-rather-long-name", rows(&Task::ALL, 24, 1));
    let published = ["Omni-RewardModel-BT".to_owned()];
    let text = with_input(&[&first, &second], None, &published, |input| {
        terminal(input, TerminalOptions::default())
    });
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
    insta::assert_snapshot!(text);
}

#[test]
fn colour_only_adds_to_the_text() {
    let run = Run::new("judge", rows(&[Task::T2T], 12, 0));
    let plain = with_input(&[&run], None, &[], |i| {
        terminal(i, TerminalOptions { color: false })
    });
    let coloured = with_input(&[&run], None, &[], |i| {
        terminal(i, TerminalOptions { color: true })
    });
    assert!(!plain.contains('\u{1b}') && coloured.contains('\u{1b}'));
    let mut stripped = String::new();
    let mut rest = coloured.as_str();
    while let Some(start) = rest.find('\u{1b}') {
        stripped.push_str(&rest[..start]);
        rest = &rest[start + rest[start..].find('m').unwrap() + 1..];
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain);
}

/// Asked in one order only, a judge that follows the labels would look as if it liked one side.
#[test]
fn the_side_that_wins_is_shown_only_where_both_orders_were_asked() {
    let text = |rows| {
        let run = Run::new("judge", rows);
        with_input(&[&run], None, &[], |input| {
            terminal(input, TerminalOptions::default())
        })
    };
    let both = rows(&[Task::T2T], 12, 0);
    let one: Vec<Row> = both
        .iter()
        .filter(|row| row.order == Order::AsIs)
        .cloned()
        .collect();
    assert!(text(both).contains("shown first wins"));
    assert!(!text(one).contains("shown first wins"));
}

fn training_series(name: &str, unit: SeriesUnit, scatters: bool) -> TrainingSeries {
    TrainingSeries {
        name: name.into(),
        text: format!("What {name} says."),
        unit,
        scatters,
        points: (1..=200)
            .map(|step| (f64::from(step * 5), 0.7 - f64::from(step % 9) * 0.01))
            .chain([(1005.0, f64::NAN)])
            .collect(),
    }
}

fn held_out(name: &str, tasks: &[Task]) -> HeldOut {
    let point = |step: u64| HeldOutPoint {
        step,
        loss: Some(0.7 - step as f64 * 1e-4),
        orders: None,
        overall: HeldOutShare {
            correct: 50 + step / 25,
            pairs: 100,
        },
        with_ties: HeldOutShare {
            correct: 50 + step / 30,
            pairs: 120,
        },
        tasks: tasks
            .iter()
            .map(|task| {
                let share = HeldOutShare {
                    correct: 5 + step / 250,
                    pairs: 11,
                };
                (*task, share)
            })
            .collect(),
    };
    HeldOut {
        name: name.into(),
        points: (0..=10).map(|index| point(index * 100)).collect(),
        best: Some(900),
    }
}

fn training(evaluations: Vec<HeldOut>) -> TrainingPage {
    TrainingPage {
        title: "mini".into(),
        subtitle: "1,005 steps".into(),
        command: Some("omnireward train bt --recipe mini.toml --out run".into()),
        facts: vec![("duration".into(), "1 h".into())],
        settings: vec![("train.learning_rate".into(), "0.001".into())],
        series: vec![
            training_series("Loss", SeriesUnit::Number, true),
            training_series("Accuracy", SeriesUnit::Share, true),
            training_series("Learning rate", SeriesUnit::Number, false),
        ],
        evaluations,
        notes: Vec::new(),
    }
}

#[test]
fn a_training_page_has_curves_held_out_pairs_and_settings() {
    let sets = vec![held_out("test", &Task::ALL), held_out("text", &[Task::T2T])];
    let page = training_html(&training(sets));
    check_page(&page);
    for id in ["headline", "curves", "held-out", "settings"] {
        assert!(page.contains(&format!("id=\"{id}\"")), "no section `{id}`");
    }
    assert!(page.contains("omnireward training report") && !page.contains("id=\"pairs"));
    // The best checkpoint is that of step 900: 86 of 100, Wilson's interval.
    assert!(page.contains("86.0<small>%</small>") && page.contains("77.9–91.5"));
    assert!(page.contains("step 900"));
    assert!(page.contains("train.learning_rate") && page.contains("omnireward train bt"));
    // Each figure is drawn for two widths: 2 × (2 that scatter + 1) curves of training, per set
    // accuracy and loss, and the nine tasks of the one that has several.
    let figures = 2 * (3 + 2 * 2 + 9);
    assert_eq!(
        page.matches("over the steps of the training\"").count(),
        figures
    );
    assert_eq!(page.matches("class=\"curve raw s0\"").count(), 2 * 2);
}

#[test]
fn a_model_that_writes_has_both_orders_where_others_have_a_loss() {
    let mut set = held_out("test", &[Task::T2T]);
    for point in &mut set.points {
        point.loss = None;
        point.orders = Some(point.overall);
    }
    let page = training_html(&training(vec![set]));
    check_page(&page);
    assert!(page.contains("agreement of orders on test over the steps"));
    assert!(!page.contains("loss on test over the steps"));
}

#[test]
fn a_training_that_measured_nothing_has_a_page_too() {
    check_page(&training_html(&TrainingPage::default()));
    let mut bare = training(Vec::new());
    bare.series.clear();
    let page = training_html(&bare);
    check_page(&page);
    assert!(!page.contains("id=\"curves\"") && !page.contains("id=\"held-out\""));
}

#[test]
fn hostile_names_are_text_on_a_training_page() {
    let mut page = training(vec![held_out(HOSTILE, &[Task::T2I, Task::T2A])]);
    page.title = HOSTILE.into();
    page.settings = vec![(HOSTILE.into(), HOSTILE.into())];
    page.series[0].name = HOSTILE.into();
    page.notes = vec![HOSTILE.into()];
    let html = training_html(&page);
    check_nesting(&html);
    assert!(!html.contains("<script>alert") && !html.contains("<img src=x"));
    assert!(
        html.contains("{{ 7*7 }}"),
        "text is not rendered as a template"
    );
}

fn set_block(title: &str, content: SetContent) -> SetBlock {
    SetBlock {
        title: title.into(),
        text: String::new(),
        content,
    }
}

fn set_page(samples: Option<PairViews>) -> SetPage {
    let counts = Bars {
        parts: vec!["first".into(), "second".into()],
        rows: vec![("T2T".into(), vec![30, 10]), ("T2I".into(), vec![4, 0])],
    };
    let spread = Spread {
        least: 1,
        quarter: 5,
        median: 8,
        three_quarters: 12,
        most_of_20: 40,
        most: 900,
    };
    let kappa = SetContent::Table {
        columns: vec!["raters".into(), "Cohen's kappa".into()],
        rows: vec![vec!["a and b".into(), "0.400".into()]],
    };
    SetPage {
        title: "mixture".into(),
        subtitle: "44 pairs of two tasks".into(),
        command: Some("omnireward data stats --input mixture".into()),
        facts: vec![("inputs".into(), "1".into())],
        notes: Vec::new(),
        headline: vec![SetNumber {
            name: "Pairs".into(),
            value: "44".into(),
            ..SetNumber::default()
        }],
        sections: vec![
            SetSection {
                id: "labels",
                title: "Labels",
                text: String::new(),
                blocks: vec![
                    set_block("Counts", SetContent::Counts(counts.clone())),
                    set_block("Shares", SetContent::Shares(counts)),
                    set_block("Nothing", SetContent::Counts(Bars::default())),
                ],
            },
            SetSection {
                id: "lengths",
                title: "Lengths",
                text: String::new(),
                blocks: vec![
                    set_block("Prompts", SetContent::Spreads(vec![("T2T".into(), spread)])),
                    set_block("Raters", kappa),
                ],
            },
            SetSection {
                id: "empty",
                title: "Empty",
                ..SetSection::default()
            },
        ],
        samples,
    }
}

#[test]
fn a_page_of_a_set_has_figures_tables_and_samples() {
    let pairs = Task::ALL.iter().map(|task| pair(*task, 1));
    let views = sample_views(pairs, &PairBudget::default(), &Limits::default());
    let page = set_html(&set_page(Some(views)));
    check_page(&page);
    for id in ["headline", "labels", "lengths", "pairs-section"] {
        assert!(page.contains(&format!("id=\"{id}\"")), "no section `{id}`");
    }
    assert!(!page.contains("id=\"empty\"") && !page.contains("Nothing"));
    assert!(page.contains("T2T, second: 10 (25.0%)"));
    assert!(page.contains("from 1 to 900") && page.contains("a and b"));
    assert!(page.contains("9 pairs, drawn at random."));
    // Nobody judged them.
    assert!(!page.contains("all outcomes"));
}

#[test]
fn a_set_without_pairs_has_a_page_too() {
    check_page(&set_html(&SetPage::default()));
    let page = set_html(&set_page(Some(PairViews::default())));
    check_page(&page);
    assert!(!page.contains("id=\"pairs"));
}

#[test]
fn hostile_words_are_text_on_a_page_of_a_set() {
    let mut hostile = pair(Task::T2T, 1);
    hostile.prompt = vec![HOSTILE.into()];
    let views = sample_views([hostile], &PairBudget::default(), &Limits::default());
    let mut page = set_page(Some(views));
    page.title = HOSTILE.into();
    page.sections[0].blocks = vec![set_block(
        HOSTILE,
        SetContent::Counts(Bars {
            parts: vec![HOSTILE.into(), HOSTILE.into()],
            rows: vec![(HOSTILE.into(), vec![1, 2])],
        }),
    )];
    let html = set_html(&page);
    check_nesting(&html);
    assert!(!html.contains("<script>alert") && !html.contains("<img src=x"));
}
