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
    pictures.id = "pictures".to_owned();
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
    picture.id = "its picture".to_owned();
    picture.prompt[0] = pictures.prompt[0].clone();
    picture.prompt[1] = Part::Text(dice.words(20).join(" "));
    let mut other = pairs::pair(Task::TI2T, 3);
    other.id = "another picture".to_owned();
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
