use std::fmt::Write as _;

use omnireward_core::{Setting, Status, Task};

use super::{Published, ReportInput, ReportRun, notes, sections::conclusion, words};
use crate::{
    SettingResults,
    compare::{Comparison, Gap},
    metrics::Accuracy,
    stats::Interval,
};

/// How tables are written for a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TerminalOptions {
    /// Whether to add colour, which never says anything that the text does not.
    pub color: bool,
}

/// The runs as tables of at most 96 columns.
///
/// One run gets a line for each task and setting; several get a line each, with tasks as columns,
/// and then their differences.
pub fn terminal(input: &ReportInput<'_>, options: TerminalOptions) -> String {
    let mut out = Out {
        text: String::new(),
        color: options.color,
    };
    match input.runs {
        [run] => one_run(&mut out, run),
        runs => several(&mut out, runs),
    }
    let published = Published::of(input.published);
    if input.runs.len() > 1 || !published.is_empty() {
        side_by_side(&mut out, input.runs, &published);
    }
    if input.runs.len() > 1 {
        criterion_following(&mut out, input.runs);
    }
    if let Some(comparison) = input.comparison {
        differences(&mut out, comparison);
    }
    for note in notes(input) {
        out.line("");
        out.paragraph(&format!("note: {note}"));
    }
    out.text
}

const WIDTH: usize = 96;
const BAR: usize = 20;

struct Out {
    text: String,
    color: bool,
}

impl Out {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// Words over as many lines as they need.
    fn paragraph(&mut self, text: &str) {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                line.clear();
                line.push_str("      ");
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(&line);
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.color && !text.trim().is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn strong(&self, text: &str) -> String {
        self.paint(text, "1")
    }

    fn faint(&self, text: &str) -> String {
        self.paint(text, "2")
    }
}

fn one_run(out: &mut Out, run: &ReportRun<'_>) {
    let title = format!(
        "{} on {}",
        run.manifest.judge.name, run.manifest.benchmark.name
    );
    let title = out.strong(&clip(&title, WIDTH));
    out.line(&title);
    for results in &run.results.settings {
        out.line("");
        setting_table(out, results);
        status_line(out, results);
        order_line(out, results);
        criterion_line(out, results);
    }
    out.line("");
    effort_line(out, run);
    let config = &run.results.config;
    let rule = format!(
        "A pair without a verdict {}. Intervals are {:.0}%, clustered by group.",
        words::policy(config.failure_policy),
        config.confidence * 100.0
    );
    let rule = out.faint(&rule);
    out.line(&rule);
}

fn setting_table(out: &mut Out, results: &SettingResults) {
    let head = format!(
        "{:<14}{:>8}  {:<13} {:<BAR$} {:>7} {:>9} {:>7}",
        words::setting(results.setting),
        "accuracy",
        "interval",
        "0%       50%     100%",
        "n",
        "coverage",
        "ties"
    );
    let head = out.faint(&head);
    out.line(&head);
    for task in &results.tasks {
        table_line(
            out,
            task.task.code(),
            &task.accuracy,
            Some(task.counts.tie_labels),
            results.setting,
            false,
        );
    }
    if results.tasks.len() > 1 {
        let own = &results.overall.own;
        let mean = MeanLine {
            value: own.value,
            interval: own.interval,
        };
        mean_line(out, "mean of tasks", &mean, results);
        let common = &results.overall.common;
        if common.tasks != own.tasks {
            let mean = MeanLine {
                value: common.value,
                interval: common.interval,
            };
            mean_line(out, "common tasks", &mean, results);
        }
        table_line(
            out,
            "every verdict",
            &results.overall.micro,
            Some(results.counts.tie_labels),
            results.setting,
            true,
        );
    }
}

struct MeanLine {
    value: Option<f64>,
    interval: Option<Interval>,
}

fn mean_line(out: &mut Out, name: &str, mean: &MeanLine, results: &SettingResults) {
    let line = format!(
        "{:<14}{:>8}  {:<13} {}",
        name,
        words::percent(mean.value),
        words::interval(mean.interval),
        bar(mean.value, mean.interval, guess(results.setting)),
    );
    let line = out.strong(&line);
    out.line(&line);
}

fn table_line(
    out: &mut Out,
    name: &str,
    accuracy: &Accuracy,
    ties: Option<u64>,
    setting: Setting,
    faint: bool,
) {
    let ties = ties
        .filter(|_| setting.offers_tie())
        .map_or("–".to_owned(), words::count);
    let line = format!(
        "{:<14}{:>8}  {:<13} {} {:>7} {:>9} {:>7}",
        name,
        words::percent(accuracy.value),
        words::interval(accuracy.interval),
        bar(accuracy.value, accuracy.interval, guess(setting)),
        words::count(accuracy.tally.total()),
        words::percent_sign(accuracy.coverage),
        ties,
    );
    let line = if faint { out.faint(&line) } else { line };
    out.line(&line);
}

const fn guess(setting: Setting) -> f64 {
    if setting.offers_tie() { 1.0 / 3.0 } else { 0.5 }
}

/// A bar from 0 to 1 in twenty characters: full up to the value, light up to the interval's upper
/// end, with a tick at a blind guess where the bar does not cover it.
fn bar(value: Option<f64>, interval: Option<Interval>, guess: f64) -> String {
    let place = |share: f64| (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return " ".repeat(BAR);
    };
    let full = place(value);
    let reach = interval
        .filter(|i| i.high.is_finite())
        .map_or(full, |i| place(i.high).max(full));
    (0..BAR)
        .map(|at| match at {
            _ if at < full => '█',
            _ if at < reach => '░',
            _ if at == place(guess) => '┊',
            _ => '·',
        })
        .collect()
}

fn status_line(out: &mut Out, results: &SettingResults) {
    let parts: Vec<String> = Status::ALL
        .into_iter()
        .filter_map(|status| {
            let count = results
                .counts
                .statuses
                .get(&status)
                .copied()
                .filter(|count| *count > 0)?;
            Some(format!(
                "{} {}",
                words::count(count),
                status.name().replace('-', " ")
            ))
        })
        .collect();
    if parts.is_empty() {
        return;
    }
    let mut line = format!("asked: {}", parts.join(", "));
    if results.counts.unlabelled > 0 {
        let _ = write!(
            line,
            "; {} without a label",
            words::count(results.counts.unlabelled)
        );
    }
    out.line(&line);
}

fn order_line(out: &mut Out, results: &SettingResults) {
    let position = &results.position;
    let Some(share) = position.first_position_bias() else {
        return;
    };
    let mut line = format!(
        "order: the response shown first wins {}",
        words::percent_sign(Some(share))
    );
    let interval = words::interval(position.first_position_interval);
    if !interval.is_empty() {
        let _ = write!(line, " ({interval})");
    }
    if position.consistency.is_some() {
        let _ = write!(
            line,
            "; same verdict in both orders {}",
            words::percent_sign(position.consistency)
        );
    }
    out.line(&line);
}

fn criterion_line(out: &mut Out, results: &SettingResults) {
    let Some(following) = &results.criterion_following else {
        return;
    };
    let mut line = format!(
        "criterion: balanced accuracy {}",
        words::percent_sign(Some(following.balanced_accuracy))
    );
    let interval = words::interval(following.balanced_interval);
    if !interval.is_empty() {
        let _ = write!(line, " ({interval})");
    }
    let _ = write!(
        line,
        " where criteria disagree; all right in {} of {}",
        words::count(following.all_right),
        words::counted(following.groups, "group")
    );
    out.line(&line);
}

fn effort_line(out: &mut Out, run: &ReportRun<'_>) {
    let usage = run.results.effort.usage;
    let mut line = format!(
        "spent: {}",
        words::counted(u64::from(usage.requests), "request"),
    );
    if usage.prompt_tokens + usage.completion_tokens > 0 {
        let _ = write!(
            line,
            ", {} tokens in, {} out",
            words::about(usage.prompt_tokens),
            words::about(usage.completion_tokens)
        );
    }
    if let Some(dollars) = run.dollars {
        let _ = write!(line, ", ${dollars:.2}");
    }
    out.line(&line);
}

fn several(out: &mut Out, runs: &[ReportRun<'_>]) {
    let title = out.strong(&format!("{} runs", runs.len()));
    out.line(&title);
    for setting in Setting::ALL {
        let found: Vec<_> = runs
            .iter()
            .filter_map(|run| Some((run, run.setting(setting)?)))
            .collect();
        if found.is_empty() {
            continue;
        }
        out.line("");
        let head = format!(
            "{:<24}{:>8}  {:<13} {:<BAR$} {:>9} {:>8} {:>7}",
            words::setting(setting),
            "common",
            "interval",
            "0%       50%     100%",
            "coverage",
            "order ✓",
            "1st won"
        );
        let head = out.faint(&head);
        out.line(&head);
        for (run, results) in found {
            let common = &results.overall.common;
            let line = format!(
                "{:<24}{:>8}  {:<13} {} {:>9} {:>8} {:>7}",
                clip(run.name, 23),
                words::percent(common.value),
                words::interval(common.interval),
                bar(common.value, common.interval, guess(setting)),
                words::percent_sign(results.overall.micro.coverage),
                words::percent_sign(results.position.consistency),
                words::percent_sign(results.position.first_position_bias()),
            );
            out.line(&line);
        }
    }
}

/// Runs and published rows as lines, tasks as columns.
fn side_by_side(out: &mut Out, runs: &[ReportRun<'_>], published: &[Published]) {
    for setting in Setting::ALL {
        let found: Vec<_> = runs
            .iter()
            .filter_map(|run| Some((run, run.setting(setting)?)))
            .collect();
        let published: Vec<_> = published
            .iter()
            .filter(|row| row.setting == setting)
            .collect();
        if found.is_empty() {
            continue;
        }
        let tasks: Vec<Task> = Task::ALL
            .into_iter()
            .filter(|task| {
                found
                    .iter()
                    .any(|(_, r)| r.tasks.iter().any(|t| t.task == *task))
            })
            .collect();
        out.line("");
        let columns = tasks
            .iter()
            .map(|task| task.code().to_owned())
            .chain(["mean".to_owned()]);
        let head = out.faint(&columns_line(words::setting(setting), columns));
        out.line(&head);
        for (run, results) in found {
            let values = tasks.iter().map(|task| {
                results
                    .tasks
                    .iter()
                    .find(|t| t.task == *task)
                    .and_then(|t| t.accuracy.value)
            });
            out.line(&values_line(run.name, values, results.overall.own.value));
        }
        for row in published {
            let values = tasks.iter().map(|task| row.accuracy(*task));
            let line = values_line(&format!("{} *", row.row.model), values, row.overall());
            let line = out.faint(&line);
            out.line(&line);
        }
    }
    if !published.is_empty() {
        let line = out.faint("* published, without intervals");
        out.line(&line);
    }
}

/// A line for each run with groups whose criteria disagree.
fn criterion_following(out: &mut Out, runs: &[ReportRun<'_>]) {
    for setting in Setting::ALL {
        let found: Vec<_> = runs
            .iter()
            .filter_map(|run| {
                let following = run.setting(setting)?.criterion_following.as_ref()?;
                Some((run.name, following))
            })
            .collect();
        if found.is_empty() {
            continue;
        }
        out.line("");
        let head = format!(
            "{:<38}{:>9}  {:<13}{:>10}{:>13}{:>8}",
            format!("{}: criteria that disagree", words::setting(setting)),
            "balanced",
            "interval",
            "all right",
            "never moved",
            "groups"
        );
        let head = out.faint(&head);
        out.line(&head);
        for (name, following) in found {
            out.line(&format!(
                "{:<38}{:>9}  {:<13}{:>10}{:>13}{:>8}",
                clip(name, 37),
                words::percent(Some(following.balanced_accuracy)),
                words::interval(following.balanced_interval),
                words::percent(Some(following.all_right_share)),
                words::percent(Some(following.unmoved_share())),
                words::count(following.groups),
            ));
        }
    }
}

fn values_line(name: &str, values: impl Iterator<Item = Option<f64>>, mean: Option<f64>) -> String {
    columns_line(name, values.chain([mean]).map(words::percent))
}

/// A name and columns of seven characters.
fn columns_line(name: &str, columns: impl Iterator<Item = String>) -> String {
    let mut line = format!("{:<26}", clip(name, 25));
    for column in columns {
        let _ = write!(line, "{column:>7}");
    }
    line
}

fn differences(out: &mut Out, comparison: &Comparison) {
    for setting in &comparison.settings {
        out.line("");
        let head = format!(
            "{:<31}{:>6}  {:<14}{:>9} {:>9} {:>6}",
            format!("{}: first − second", words::setting(setting.setting)),
            "gap",
            "interval",
            "resolves",
            "p (Holm)",
            "pairs"
        );
        let head = out.faint(&head);
        out.line(&head);
        for gap in &setting.overall {
            out.line(&gap_line(gap));
        }
    }
}

fn gap_line(gap: &Gap) -> String {
    let interval = gap.interval.map_or(String::new(), |interval| {
        format!(
            "{} to {}",
            words::points(Some(interval.low)),
            words::points(Some(interval.high))
        )
    });
    format!(
        "{:<31}{:>6}  {:<14}{:>9} {:>9} {:>6}  {}",
        format!("{} − {}", clip(&gap.first, 14), clip(&gap.second, 14)),
        words::points(Some(gap.gap)),
        interval,
        words::percent(gap.minimal_detectable_gap),
        words::p_value(Some(gap.by_group.holm)),
        words::count(gap.pairs),
        conclusion(gap),
    )
}

/// The text in at most `width` characters.
fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width - 1).collect();
    format!("{kept}…")
}
