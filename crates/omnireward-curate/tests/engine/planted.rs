use omnireward_core::{NoProgress, PreferencePair, Response, Task};
use omnireward_curate::{
    dedup::{DedupSettings, dedup},
    table::MediaMode,
};

use super::{Dice, dedup::runtime, edited_pair, engine, input, json_lines};

/// Recall and precision of near duplicates in text, over pairs of many lengths.
#[test]
fn text_edits_of_five_percent_are_found() {
    let mut dice = Dice(11);
    let mut pairs: Vec<PreferencePair> = (0..1200)
        .map(|index| {
            let lengths = [6 + dice.roll(40), 10 + dice.roll(200), 10 + dice.roll(200)];
            let [prompt, first, second] = lengths.map(|count| dice.words(count).join(" "));
            PreferencePair::new(
                format!("{index}"),
                Task::T2T,
                prompt,
                [first, second].map(Response::text),
            )
        })
        .collect();
    let copies: Vec<PreferencePair> = (0..600)
        .map(|index| edited_pair(&pairs[index], &format!("{index} edited"), 0.05, &mut dice))
        .collect();
    pairs.extend(copies);
    // Pairs that share a prompt, and one response of two.
    let siblings: Vec<PreferencePair> = (600..900)
        .map(|index| {
            let mut sibling = pairs[index].clone();
            sibling.id = format!("{index} sibling");
            sibling.responses[1] = Response::text(dice.words(80).join(" "));
            sibling
        })
        .collect();
    pairs.extend(siblings);

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let inputs = [input(folder.path(), "a", &pairs)];
    let (settings, engine) = (DedupSettings::default(), engine(2));
    let work = dedup(
        &inputs,
        &out,
        &settings,
        MediaMode::Beside,
        &engine,
        &NoProgress,
    );
    runtime().block_on(work).unwrap();
    let dropped = json_lines(&out.join("dropped.jsonl"));
    let right = dropped.iter().filter(|line| {
        let [row, kept] = [&line["row"]["id"], &line["kept"]["id"]].map(|id| id.as_str().unwrap());
        row.strip_suffix(" edited") == Some(kept)
    });
    let right = right.count() as f64;
    let (recall, precision) = (right / 600.0, right / dropped.len() as f64);
    println!("600 texts, 5 % of their words edited: recall {recall:.4}, precision {precision:.4}");
    assert!(
        recall >= 0.98 && precision >= 0.98,
        "recall {recall}, precision {precision}"
    );
}
