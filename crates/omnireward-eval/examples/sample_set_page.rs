//! Writes the page of a made-up set of pairs, to look at its design.
//!
//! `cargo run -p omnireward-eval --example sample_set_page -- OUT.html`

use std::{fs, path::PathBuf};

use omnireward_core::{Preference, PreferencePair, Response, Task};
use omnireward_eval::report::{
    Bars, PairBudget, SetBlock, SetContent, SetNumber, SetPage, SetSection, Spread, sample_views,
    set_html,
};
use omnireward_media::Limits;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::env::args_os().nth(1).map(PathBuf::from);
    let out = out.unwrap_or_else(|| "sample-set.html".into());
    let page = SetPage {
        title: "mixture".into(),
        subtitle: "317,382 pairs of nine tasks, made up".into(),
        command: Some("omnireward data stats --input mixture --html page.html".into()),
        facts: vec![("seed".into(), "0".into())],
        notes: vec!["3 records of mixture could not be read and are not counted.".into()],
        headline: vec![
            number("Pairs", "317,382", "69,519 with a criterion"),
            number("Ties", "4.1%", "of labelled pairs; 1,204 are unlabelled"),
        ],
        sections: vec![
            section(
                "labels",
                "Labels",
                vec![
                    block("Pairs by task", SetContent::Counts(bars(1))),
                    block("Labels by task", SetContent::Shares(bars(4))),
                ],
            ),
            section(
                "lengths",
                "Lengths",
                vec![block("Words of responses", SetContent::Spreads(spreads()))],
            ),
        ],
        samples: Some(sample_views(
            Task::ALL.map(sample),
            &PairBudget::default(),
            &Limits::default(),
        )),
    };
    fs::write(out, set_html(&page))?;
    Ok(())
}

fn number(name: &str, value: &str, detail: &str) -> SetNumber {
    SetNumber {
        name: name.into(),
        value: value.into(),
        unit: String::new(),
        detail: detail.into(),
    }
}

fn section(id: &'static str, title: &'static str, blocks: Vec<SetBlock>) -> SetSection {
    SetSection {
        id,
        title,
        text: "Made up.".into(),
        blocks,
    }
}

fn block(title: &str, content: SetContent) -> SetBlock {
    SetBlock {
        title: title.into(),
        text: String::new(),
        content,
    }
}

/// Some counts of each task, falling from part to part and from task to task.
fn bars(parts: u64) -> Bars {
    let names = ["first", "second", "tie", "unlabelled"];
    let rows = Task::ALL.into_iter().zip(1..).map(|(task, place)| {
        let counts = (1..=parts).map(|part| 90_000 / (place * part * part));
        (task.code().to_owned(), counts.collect())
    });
    Bars {
        parts: names[..parts as usize]
            .iter()
            .map(|&name| name.to_owned())
            .collect(),
        rows: rows.collect(),
    }
}

fn spreads() -> Vec<(String, Spread)> {
    let rows = Task::ALL.into_iter().zip(1..).map(|(task, place)| {
        let spread = Spread {
            least: place,
            quarter: 11 * place,
            median: 20 * place,
            three_quarters: 31 * place,
            most_of_20: 64 * place,
            most: 900 * place,
        };
        (task.code().to_owned(), spread)
    });
    rows.collect()
}

fn sample(task: Task) -> PreferencePair {
    let responses = ["It is blue.", "It is seven."].map(Response::text);
    PreferencePair::new(format!("{task}-1"), task, "Name a colour.", responses)
        .with_criterion("Answers what was asked.")
        .with_label(Preference::First)
}
