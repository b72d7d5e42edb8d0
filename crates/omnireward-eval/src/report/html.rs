use std::{collections::BTreeSet, fmt::Write as _};

use base64::{Engine, engine::general_purpose::STANDARD};
use minijinja::{Environment, Value, context, value::Serde};
use omnireward_core::{Setting, Task};
use sha2::{Digest, Sha256};

use super::{
    PairViews, Published, ReportInput, header,
    island::island,
    notes,
    page::{Browser, Page},
    sections, words,
};

const TEMPLATE: &str = include_str!("assets/report.html");
const STYLE: &str = include_str!("assets/report.css");
const SCRIPT: &str = include_str!("assets/report.js");

/// The report as one HTML file that refers to nothing outside itself.
///
/// One run gets its numbers in detail; several are laid side by side. Sections without content
/// are left out.
///
/// # Panics
///
/// Never: the template is part of this crate and uses only what it is given.
pub fn html(input: &ReportInput<'_>) -> String {
    let island = input.pairs.map(island).unwrap_or_default();
    render(page(input), island)
}

/// The page as one file, with the pairs that its browser shows as JSON.
pub(super) fn render(page: Page, island: String) -> String {
    let mut environment = Environment::new();
    environment
        .add_template("report.html", TEMPLATE)
        .expect("the template is part of this crate and parses");
    let template = environment
        .get_template("report.html")
        .expect("it was just added");
    template
        .render(context! {
            page => Value::from(Serde(page)),
            island,
            style => STYLE,
            style_hash => policy_hash(STYLE),
            script => SCRIPT,
            script_hash => policy_hash(SCRIPT),
        })
        .expect("the template uses only what it is given")
}

/// A source of a content security policy that allows exactly this text.
fn policy_hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

fn page(input: &ReportInput<'_>) -> Page {
    let runs = input.runs;
    let mut sections = vec![
        sections::headline(runs),
        sections::comparison(input),
        sections::tasks(runs, &Published::of(input.published)),
        sections::failures(runs),
        sections::order(runs),
        sections::ties(runs),
        sections::agreement(runs),
        sections::breakdown(runs),
    ];
    sections.retain(|section| !section.is_empty());
    Page {
        version: env!("CARGO_PKG_VERSION"),
        kind: "evaluation report",
        title: header::title(runs),
        subtitle: header::subtitle(runs),
        facts: header::facts(runs),
        commands: header::commands(runs),
        settings: header::settings(runs),
        notes: notes(input),
        sections,
        browser: input.pairs.map(browser),
        footer: format!(
            "Written by omnireward {}. Every number can be recomputed from the run directory with `omnireward report DIR --verify`.",
            env!("CARGO_PKG_VERSION")
        ),
    }
}

/// The frame of the browser of these pairs.
pub(super) fn browser(views: &PairViews) -> Browser {
    let tasks: BTreeSet<Task> = views.pairs.iter().map(|pair| pair.task).collect();
    let sources: BTreeSet<&str> = views
        .pairs
        .iter()
        .filter_map(|pair| pair.source.as_deref())
        .collect();
    let has = |setting| {
        views
            .pairs
            .iter()
            .flat_map(|pair| &pair.verdicts)
            .any(|v| v.setting == setting)
    };
    Browser {
        lead: browser_lead(views),
        tasks: tasks.into_iter().map(Task::code).collect(),
        runs: views.runs.clone(),
        sources: sources.into_iter().map(str::to_owned).collect(),
        both_settings: Setting::ALL.into_iter().all(has),
    }
}

fn browser_lead(views: &PairViews) -> String {
    let pairs = words::counted(views.pairs.len() as u64, "pair");
    let is_judged = !views.runs.is_empty();
    let mut text = if !is_judged {
        format!("{pairs}, drawn at random.")
    } else if views.pairs.iter().any(|pair| pair.prompt.is_some()) {
        format!("{pairs}, with what the judge saw and said.")
    } else {
        format!("{pairs}. The benchmark was not at hand, so only labels and verdicts are shown.")
    };
    let (shown, all) = views.media_shown();
    if shown < all {
        let order = if is_judged {
            ", those of wrong and unreadable pairs first"
        } else {
            ""
        };
        let _ = write!(
            text,
            " Media left out to keep the file small: {} of {} shown{order}.",
            words::count(shown as u64),
            words::count(all as u64)
        );
    }
    if views.replies_cut > 0 {
        let _ = write!(
            text,
            " Replies shortened or left out: {}; the run directory has them whole.",
            words::count(views.replies_cut)
        );
    }
    text
}
