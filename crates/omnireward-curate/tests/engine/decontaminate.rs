use std::path::Path;

use omnireward_core::{NoProgress, Part, PreferencePair, Response, Task};
use omnireward_curate::{
    decontaminate::{Action, DecontaminateReport, DecontaminateSettings, decontaminate},
    table::{Input, MediaMode},
};
use omnireward_testkit::pairs;

use super::{
    Dice, contents, dedup::runtime, edited, engine, ids, input, json_lines, read, text_pair,
};

struct Set {
    training: Vec<PreferencePair>,
    benchmark: Vec<PreferencePair>,
    /// What each training row touches.
    touched: Vec<(&'static str, &'static str)>,
}

fn planted() -> Set {
    let mut dice = Dice(3);
    let mut benchmark: Vec<PreferencePair> = (0..6)
        .map(|index| text_pair(&format!("bench-{index}"), &mut dice))
        .collect();
    benchmark.push(PreferencePair::new(
        "short",
        Task::T2T,
        "Describe this image.",
        [dice.words(30), dice.words(30)].map(|words| Response::text(words.join(" "))),
    ));
    let mut pictures = pairs::pair(Task::TI2T, 2);
    "pictures".clone_into(&mut pictures.id);
    benchmark.push(pictures.clone());

    let fresh = |id: &str, dice: &mut Dice| text_pair(id, dice);
    let mut prompt = fresh("its prompt", &mut dice);
    prompt.prompt = vec![Part::Text(
        omnireward_core::joined_text(&benchmark[0].prompt).to_uppercase(),
    )];
    let mut answer = fresh("its answer, edited", &mut dice);
    let text = omnireward_core::joined_text(&benchmark[1].responses[1].parts);
    answer.responses[0] = Response::text(edited(&text, 4, &mut dice));
    let mut short = fresh("a short prompt", &mut dice);
    short.prompt = vec![Part::Text("Describe this image.".to_owned())];
    let mut picture = pairs::pair(Task::TI2T, 4);
    "its picture".clone_into(&mut picture.id);
    picture.prompt[0] = pictures.prompt[0].clone();
    picture.prompt[1] = Part::Text(dice.words(20).join(" "));
    let mut other = pairs::pair(Task::TI2T, 3);
    "another picture".clone_into(&mut other.id);
    other.prompt[1] = Part::Text(dice.words(20).join(" "));
    Set {
        training: vec![
            fresh("clean", &mut dice),
            prompt,
            answer,
            short,
            picture,
            other,
        ],
        benchmark,
        touched: vec![
            ("its prompt", "prompt"),
            ("its answer, edited", "response 1"),
            ("its picture", "image of prompt"),
        ],
    }
}

fn run(
    training: &[Input],
    benchmark: &[Input],
    out: &Path,
    action: Action,
    partitions: usize,
) -> DecontaminateReport {
    let settings = DecontaminateSettings {
        action,
        ..DecontaminateSettings::default()
    };
    let engine = engine(partitions);
    let work = decontaminate(
        training,
        benchmark,
        out,
        &settings,
        MediaMode::Beside,
        &engine,
        &NoProgress,
    );
    runtime().block_on(work).unwrap()
}

#[test]
fn rows_that_touch_a_benchmark_are_removed_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let set = planted();
    let training = [input(folder.path(), "training", &set.training)];
    let benchmark = [input(folder.path(), "benchmark", &set.benchmark)];
    let outs = ["one", "three"].map(|name| folder.path().join(name));
    let report = run(&training, &benchmark, &outs[0], Action::Remove, 1);
    let lines = json_lines(&outs[0].join("overlaps.jsonl"));
    let told: Vec<(&str, &str)> = lines
        .iter()
        .map(|line| {
            (
                line["row"]["id"].as_str().unwrap(),
                line["overlap"]["part"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, set.touched);
    assert_eq!(lines[1]["overlap"]["benchmark"]["id"], "bench-1");
    assert_eq!(lines[1]["overlap"]["evidence"], "near");
    assert_eq!(
        ids(&read(&outs[0])),
        ["clean", "a short prompt", "another picture"]
    );
    assert_eq!((report.rows, report.touching, report.kept), (6, 3, 3));
    assert_eq!(
        (
            report.parts.prompt,
            report.parts.response,
            report.parts.prompt_media
        ),
        (1, 1, 1)
    );
    assert_eq!(
        (
            report.benchmarks[0].touched,
            report.benchmarks[0].touched_by
        ),
        (3, 3)
    );

    run(&training, &benchmark, &outs[1], Action::Remove, 3);
    assert_eq!(contents(&outs[0]), contents(&outs[1]));
}

#[test]
fn flagged_rows_say_what_they_touch() {
    let folder = tempfile::tempdir().unwrap();
    let set = planted();
    let training = [input(folder.path(), "training", &set.training)];
    let benchmark = [input(folder.path(), "benchmark", &set.benchmark)];
    let out = folder.path().join("out");
    let report = run(&training, &benchmark, &out, Action::Flag, 2);
    assert_eq!((report.kept, report.touching), (6, 3));
    let flagged: Vec<String> = read(&out)
        .into_iter()
        .filter(|pair| pair.extra.contains_key("overlap"))
        .map(|pair| pair.id)
        .collect();
    assert_eq!(flagged, ["its prompt", "its answer, edited", "its picture"]);
}

/// What is told of each row: its id, the part, the benchmark's set and row.
fn told(out: &Path) -> Vec<[String; 4]> {
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    json_lines(&out.join("overlaps.jsonl"))
        .iter()
        .map(|line| {
            let overlap = &line["overlap"];
            [
                word(&line["row"]["id"]),
                word(&overlap["part"]),
                word(&overlap["benchmark"]["input"]),
                word(&overlap["benchmark"]["id"]),
            ]
        })
        .collect()
}

#[test]
fn a_part_is_compared_with_every_benchmark_part_that_shares_a_key() {
    let mut dice = Dice(31);
    let last = text_pair("last", &mut dice);
    let text = omnireward_core::joined_text(&last.responses[0].parts);
    // Each takes some of the keys of the last one's text, and all of them together every one.
    let mut benchmark: Vec<PreferencePair> = (0..300)
        .map(|index| {
            let mut pair = text_pair(&format!("{index}"), &mut dice);
            pair.responses[0] = Response::text(edited(&text, 9, &mut dice));
            pair
        })
        .collect();
    benchmark.push(last);
    let mut training = text_pair("touching", &mut dice);
    training.responses[0] = Response::text(edited(&text, 2, &mut dice));

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let report = run(
        &[input(folder.path(), "training", &[training])],
        &[input(folder.path(), "benchmark", &benchmark)],
        &out,
        Action::Remove,
        2,
    );
    assert_eq!((report.touching, report.kept), (1, 0));
    assert_eq!(
        told(&out),
        [["touching", "response 1", "benchmark", "last"]]
    );
}

#[test]
fn every_benchmark_that_is_touched_is_told() {
    let mut dice = Dice(41);
    let [first, second] = ["first", "second"].map(|id| text_pair(id, &mut dice));
    let mut training = vec![
        text_pair("same", &mut dice),
        text_pair("near one, same as the other", &mut dice),
    ];
    training[0].prompt.clone_from(&first.prompt);
    training[1].responses[1] = second.responses[1].clone();
    let mut changed = text_pair("changed", &mut dice);
    let text = omnireward_core::joined_text(&second.responses[1].parts);
    changed.responses[0] = Response::text(edited(&text, 3, &mut dice));
    let mut again = text_pair("again", &mut dice);
    again.prompt.clone_from(&first.prompt);

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let report = run(
        &[input(folder.path(), "training", &training)],
        &[
            input(folder.path(), "one", &[first, second]),
            input(folder.path(), "none", &[text_pair("other", &mut dice)]),
            input(folder.path(), "two", &[changed, again]),
        ],
        &out,
        Action::Remove,
        2,
    );
    let counts: Vec<[u64; 2]> = report
        .benchmarks
        .iter()
        .map(|benchmark| [benchmark.touched_by, benchmark.touched])
        .collect();
    assert_eq!(counts, [[2, 2], [0, 0], [2, 2]]);
    assert_eq!((report.touching, report.parts.prompt), (2, 1));
    let near = "near one, same as the other";
    assert_eq!(
        told(&out),
        [
            ["same", "prompt", "one", "first"],
            ["same", "prompt", "two", "again"],
            [near, "response 2", "one", "second"],
            [near, "response 2", "two", "changed"],
        ]
    );
}

#[test]
fn a_long_list_of_responses_has_room() {
    let mut dice = Dice(51);
    let benchmark = text_pair("bench", &mut dice);
    let mut responses: Vec<Response> = (0..128)
        .map(|_| Response::text(dice.words(10).join(" ")))
        .collect();
    responses[119] = benchmark.responses[0].clone();
    let list = PreferencePair::new("list", Task::T2T, "Say what comes to mind.", responses);

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    run(
        &[input(folder.path(), "training", &[list])],
        &[input(folder.path(), "benchmark", &[benchmark])],
        &out,
        Action::Remove,
        1,
    );
    assert_eq!(told(&out), [["list", "response 120", "benchmark", "bench"]]);
}

#[test]
fn a_row_with_more_parts_than_can_be_told_apart_is_a_fault() {
    let mut dice = Dice(61);
    let mut huge = text_pair("huge", &mut dice);
    huge.prompt = vec![pairs::pair(Task::TI2T, 2).prompt[0].clone(); 65_536];
    let pairs = [huge, text_pair("usual", &mut dice)];
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let report = run(
        &[input(folder.path(), "training", &pairs)],
        &[input(
            folder.path(),
            "benchmark",
            &[text_pair("bench", &mut dice)],
        )],
        &out,
        Action::Remove,
        1,
    );
    assert_eq!((report.inputs[0].bad_rows, report.kept), (1, 1));
    let faults = json_lines(&out.join("faults.jsonl"));
    let fault = faults[0]["fault"].as_str().unwrap();
    assert!(fault.contains("`huge` has 65536"), "{fault}");
}
