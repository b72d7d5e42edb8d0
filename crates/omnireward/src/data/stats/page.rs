//! The page of a set of pairs, made of its statistics.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use omnireward_core::PreferencePair;
use omnireward_curate::stats::{Agreement, Lengths, Section, Stats};
use omnireward_data::OpenOptions;
use omnireward_eval::report::{
    Bars, PairBudget, SetBlock, SetContent, SetNumber, SetPage, SetSection, Spread, sample_views,
    set_html,
};
use omnireward_media::Limits;

use super::{StatsArgs, coefficient};
use crate::data::table::{percent, thousands};

/// Writes the page of statistics, with the samples that lie in the folder `out`.
pub(super) fn write(file: &Path, stats: &Stats, out: &Path, args: &StatsArgs) -> Result<()> {
    let samples: Vec<PreferencePair> = omnireward_data::open(out, &OpenOptions::default())?
        .pairs()
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("cannot read the samples in `{}`", out.display()))?;
    let views = sample_views(samples, &PairBudget::default(), &Limits::default());
    let page = SetPage {
        samples: Some(views),
        command: Some(command(args, file)),
        ..page(stats)
    };
    fs::write(file, set_html(&page)).with_context(|| format!("cannot write `{}`", file.display()))
}

fn command(args: &StatsArgs, file: &Path) -> String {
    let inputs = args.inputs.iter();
    let inputs = inputs.map(|input| format!(" --input {}", input.display()));
    let format = args.format.map(|format| format!(" --format {format}"));
    format!(
        "omnireward data stats{}{} --samples {} --seed {} --html {}",
        inputs.collect::<String>(),
        format.unwrap_or_default(),
        args.samples,
        args.seed,
        file.display()
    )
}

fn page(stats: &Stats) -> SetPage {
    let names: Vec<&str> = stats
        .inputs
        .iter()
        .map(|input| input.name.as_str())
        .collect();
    let tasks: Vec<&str> = stats.tasks.iter().map(|(task, _)| task.code()).collect();
    SetPage {
        title: names.join(", "),
        subtitle: format!(
            "{} pairs of {}",
            thousands(stats.all.rows),
            tasks.join(", ")
        ),
        notes: notes(stats),
        headline: headline(stats),
        sections: sections(stats),
        ..SetPage::default()
    }
}

fn notes(stats: &Stats) -> Vec<String> {
    let bad = stats.inputs.iter().filter(|input| input.bad_rows > 0);
    bad.map(|input| {
        format!(
            "{} records of {} could not be read and are not counted.",
            thousands(input.bad_rows),
            input.name
        )
    })
    .collect()
}

fn headline(stats: &Stats) -> Vec<SetNumber> {
    let all = &stats.all;
    let number = |name: &str, value: String, detail: String| SetNumber {
        name: name.to_owned(),
        value,
        unit: String::new(),
        detail,
    };
    let mut numbers = vec![
        number(
            "Pairs",
            thousands(all.rows),
            format!("{} with a criterion", thousands(all.with_criterion)),
        ),
        number(
            "Groups",
            thousands(all.groups),
            "prompts with responses, each under one criterion or several".to_owned(),
        ),
        number(
            "First preferred",
            percent(all.labels.first_share()),
            "of the pairs in which one response is".to_owned(),
        ),
        number(
            "Ties",
            percent(all.labels.tie_share()),
            format!(
                "of labelled pairs; {} are unlabelled",
                thousands(all.labels.none)
            ),
        ),
    ];
    if let Some(mean) = all.mean_criteria_per_group {
        numbers.push(number(
            "Criteria in a group",
            format!("{mean:.2}"),
            format!(
                "in {} groups two prefer different responses",
                thousands(all.groups_with_opposite_labels)
            ),
        ));
    }
    if let Some(agreement) = &stats.agreement {
        numbers.push(number(
            "Krippendorff's alpha",
            coefficient(agreement.krippendorff),
            format!("of the raters of {} pairs", thousands(agreement.items)),
        ));
    }
    numbers
}

fn sections(stats: &Stats) -> Vec<SetSection> {
    let tasks: Vec<(&str, &Section)> = stats
        .tasks
        .iter()
        .map(|(task, section)| (task.code(), section))
        .collect();
    let sources: Vec<(&str, &Section)> = stats
        .sources
        .iter()
        .map(|(name, section)| (name.as_str(), section))
        .collect();
    let mut sections = vec![
        SetSection {
            id: "rows",
            title: "Counts",
            text: "By task, and by where they are from.".to_owned(),
            blocks: vec![rows("Tasks", &tasks), rows("Sources", &sources)],
        },
        SetSection {
            id: "labels",
            title: "Labels",
            text: "A set whose labels prefer one place teaches the place.".to_owned(),
            blocks: vec![
                labels("Labels by task", &tasks),
                labels("Labels by source", &sources),
            ],
        },
        SetSection {
            id: "content",
            title: "Media and criteria",
            text: String::new(),
            blocks: vec![media(&tasks), criteria(&stats.all)],
        },
        lengths(&tasks),
    ];
    sections.extend(stats.agreement.as_ref().map(raters));
    sections.push(inputs(stats));
    sections
}

/// A figure of bars, with a row for each section.
fn bars<const N: usize>(
    sections: &[(&str, &Section)],
    parts: [&str; N],
    counts: impl Fn(&Section) -> [u64; N],
) -> Bars {
    let rows = sections.iter();
    Bars {
        parts: parts.map(str::to_owned).to_vec(),
        rows: rows
            .map(|(name, section)| ((*name).to_owned(), counts(section).to_vec()))
            .collect(),
    }
}

fn block(title: &str, text: &str, content: SetContent) -> SetBlock {
    SetBlock {
        title: title.to_owned(),
        text: text.to_owned(),
        content,
    }
}

fn rows(title: &str, sections: &[(&str, &Section)]) -> SetBlock {
    let parts = ["with a criterion", "without"];
    let counts = bars(sections, parts, |section| {
        [
            section.with_criterion,
            section.rows - section.with_criterion,
        ]
    });
    block(title, "", SetContent::Counts(counts))
}

fn labels(title: &str, sections: &[(&str, &Section)]) -> SetBlock {
    let parts = ["first", "second", "tie", "unlabelled"];
    let counts = bars(sections, parts, |section| {
        let labels = section.labels;
        [labels.first, labels.second, labels.tie, labels.none]
    });
    block(title, "", SetContent::Shares(counts))
}

fn media(sections: &[(&str, &Section)]) -> SetBlock {
    let parts = ["images", "videos", "audios", "meshes"];
    let counts = bars(sections, parts, |section| {
        let media = section.media;
        [media.images, media.videos, media.audios, media.meshes]
    });
    block(
        "Media by task",
        "In prompts and responses.",
        SetContent::Counts(counts),
    )
}

fn criteria(all: &Section) -> SetBlock {
    let rows = all.criteria_per_group.iter();
    let counts = Bars {
        parts: vec!["groups".to_owned()],
        rows: rows
            .map(|(criteria, groups)| (criteria.to_string(), vec![*groups]))
            .collect(),
    };
    block(
        "Groups by criteria",
        "How many groups have so many different criteria.",
        SetContent::Counts(counts),
    )
}

fn lengths(tasks: &[(&str, &Section)]) -> SetSection {
    type Words = fn(&Section) -> Option<Lengths>;
    let parts: [(&str, Words); 3] = [
        ("Words of prompts", |section| section.prompt_words),
        ("Words of responses", |section| section.response_words),
        ("Words of criteria", |section| section.criterion_words),
    ];
    let blocks = parts.map(|(title, words)| {
        let rows = tasks.iter();
        let rows =
            rows.filter_map(|(name, section)| Some(((*name).to_owned(), spread(words(section)?))));
        block(title, "", SetContent::Spreads(rows.collect()))
    });
    SetSection {
        id: "lengths",
        title: "Lengths",
        text: "The box is the middle half, the stroke in it and the number on the right the median; the line ends where one text in twenty is longer.".to_owned(),
        blocks: blocks.into(),
    }
}

const fn spread(words: Lengths) -> Spread {
    Spread {
        least: words.least,
        quarter: words.quarter,
        median: words.median,
        three_quarters: words.three_quarters,
        most_of_20: words.most_of_20,
        most: words.most,
    }
}

fn raters(agreement: &Agreement) -> SetSection {
    let pairs = agreement.pairs.iter();
    let rows = pairs.map(|pair| {
        vec![
            format!("{} and {}", pair.first, pair.second),
            thousands(pair.items),
            percent(Some(pair.observed)),
            coefficient(pair.cohen),
        ]
    });
    let columns = ["raters", "pairs", "agree", "Cohen's kappa"];
    let text = format!(
        "{} pairs with {} labels: Fleiss' kappa {}, Krippendorff's alpha {}.",
        thousands(agreement.items),
        thousands(agreement.labels),
        coefficient(agreement.fleiss),
        coefficient(agreement.krippendorff),
    );
    SetSection {
        id: "raters",
        title: "Raters",
        text,
        blocks: vec![table(&columns, rows.collect())],
    }
}

fn inputs(stats: &Stats) -> SetSection {
    let rows = stats.inputs.iter().map(|input| {
        vec![
            input.name.clone(),
            input.format.clone(),
            thousands(input.rows),
            thousands(input.bad_rows),
        ]
    });
    SetSection {
        id: "inputs",
        title: "What was read",
        text: String::new(),
        blocks: vec![table(
            &["input", "format", "pairs", "unreadable records"],
            rows.collect(),
        )],
    }
}

fn table(columns: &[&str], rows: Vec<Vec<String>>) -> SetBlock {
    let columns = columns.iter().map(|&name| name.to_owned()).collect();
    block("", "", SetContent::Table { columns, rows })
}
