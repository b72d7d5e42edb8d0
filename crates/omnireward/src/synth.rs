//! `omnireward data synth`: pairs made from a seed.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use omnireward_core::Task;
use omnireward_data::synth::{self, AnswerStyle, Layout, Split, SynthConfig, VerdictForm};

use crate::{Outcome, bar::Bar, printer};

#[derive(Debug, Args)]
pub(crate) struct SynthArgs {
    /// The folder to write, which appears when all is written.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Everything follows from this number.
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Which wordings and scenes are drawn: those of one split never occur in the other.
    #[arg(long, value_enum, default_value_t = SplitArg::Train)]
    split: SplitArg,

    /// The tasks, by code or key; all nine when not given.
    #[arg(long, value_delimiter = ',', value_name = "T2T,T2I,…")]
    tasks: Vec<Task>,

    /// Scenes of each task.
    #[arg(long, default_value_t = 100, value_name = "N")]
    scenes: usize,

    /// Criteria that each scene is judged under, at most; 0 for pairs without a criterion.
    #[arg(long, default_value_t = 4, value_name = "N")]
    criteria: usize,

    /// Responses of each scene: 2 for pairs, more for ranked lists.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=16))]
    responses: u16,

    /// `bench` writes a folder as Omni-RewardBench's, for pairs; `pairs` a `pairs.jsonl` with media beside it.
    #[arg(long, value_enum, default_value_t = LayoutArg::Bench)]
    layout: LayoutArg,

    /// Put an answer with true reasons beside each pair, as `train sft` learns it, with its verdict written so.
    #[arg(long, value_enum, value_name = "FORM")]
    answers: Option<FormArg>,

    /// Let each answer first repeat the texts of the question, each under its marker: what a model taught from nothing
    /// learns to read with.
    #[arg(long, requires = "answers")]
    quotes: bool,

    /// Let nothing in a pair follow from anything else, with answers that describe its media, and repeat its texts with
    /// `--quotes`: what a model taught from nothing learns to look and to read with.
    #[arg(long, requires = "answers", conflicts_with_all = ["criteria", "responses"])]
    scrambled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormArg {
    /// `[[A]]`
    Brackets,
    /// `\boxed{A}`
    Boxed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SplitArg {
    Train,
    Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LayoutArg {
    Bench,
    Pairs,
}

pub(crate) fn synthesise(args: &SynthArgs, quiet: bool) -> Result<Outcome> {
    let is_text = |task: &Task| *task == Task::T2T;
    if args.scrambled && !args.quotes && (args.tasks.is_empty() || args.tasks.iter().any(is_text)) {
        bail!(
            "scrambled texts have nothing to be learned but `--quotes`: add it, or leave `T2T` out of `--tasks`"
        );
    }
    let config = SynthConfig {
        seed: args.seed,
        split: match args.split {
            SplitArg::Train => Split::Train,
            SplitArg::Test => Split::Test,
        },
        tasks: if args.tasks.is_empty() {
            Task::ALL.to_vec()
        } else {
            args.tasks.clone()
        },
        scenes: args.scenes,
        criteria: args.criteria,
        responses: usize::from(args.responses),
        answers: args.answers.map(|form| AnswerStyle {
            verdict: match form {
                FormArg::Brackets => VerdictForm::Brackets,
                FormArg::Boxed => VerdictForm::Boxed,
            },
            quotes: args.quotes,
        }),
        scrambled: args.scrambled,
    };
    let layout = match args.layout {
        LayoutArg::Bench => Layout::Bench,
        LayoutArg::Pairs => Layout::Pairs,
    };
    let written = synth::write(&config, &args.out, layout, &Bar::new(quiet))
        .with_context(|| format!("cannot write `{}`", args.out.display()))?;
    if !quiet {
        printer::note(&format!(
            "{} pairs of {} scenes",
            written.pairs, written.scenes
        ));
    }
    printer::data(&format!("{}\n", args.out.display()))?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use omnireward_core::Setting;
    use omnireward_judges::question_words;

    use super::*;

    #[test]
    fn quotes_stand_in_the_question_as_they_do_in_the_answer() {
        let config = SynthConfig {
            scenes: 2,
            scrambled: true,
            answers: Some(AnswerStyle {
                verdict: VerdictForm::Brackets,
                quotes: true,
            }),
            ..SynthConfig::default()
        };
        for pair in synth::synthesise(&config) {
            let question = question_words(&pair, Setting::WithoutTies)
                .unwrap()
                .concat();
            let answer = pair.extra["answer"].as_str().unwrap();
            let (quotes, _) = answer.split_once("\n\n").unwrap();
            for section in quotes
                .split("\n[[")
                .map(|section| section.trim_start_matches("[["))
            {
                assert!(
                    question.contains(&format!("[[{section}")),
                    "{section} in {question}"
                );
            }
        }
    }
}
