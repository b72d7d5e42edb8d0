//! The report's sections, each made from the runs' results.

mod agreement;
mod breakdown;
mod comparison;
mod failures;
mod headline;
mod order;
mod tasks;
mod ties;

use omnireward_core::{Setting, Task};

pub(super) use agreement::agreement;
pub(super) use breakdown::breakdown;
pub(super) use comparison::{comparison, conclusion};
pub(super) use failures::failures;
pub(super) use headline::headline;
pub(super) use order::order;
pub(super) use tasks::tasks;
pub(super) use ties::ties;

use super::{
    ReportRun,
    page::Legend,
    plot::{Estimate, Mark, legend_mark},
};
use crate::{
    results::{SettingResults, TaskResults},
    stats::Interval,
};

/// The settings that at least one run has, with ties first.
fn settings(runs: &[ReportRun<'_>]) -> Vec<Setting> {
    Setting::ALL
        .into_iter()
        .filter(|setting| runs.iter().any(|run| run.setting(*setting).is_some()))
        .collect()
}

/// The tasks that at least one run has, in the order of the paper's tables.
fn all_tasks(runs: &[ReportRun<'_>]) -> Vec<Task> {
    Task::ALL
        .into_iter()
        .filter(|task| {
            runs.iter()
                .flat_map(|run| &run.results.settings)
                .any(|setting| task_of(setting, *task).is_some())
        })
        .collect()
}

fn task_of(setting: &SettingResults, task: Task) -> Option<&TaskResults> {
    setting.tasks.iter().find(|results| results.task == task)
}

fn estimate(value: Option<f64>, interval: Option<Interval>) -> Option<Estimate> {
    Estimate::new(
        value?,
        interval.map(|interval| (interval.low, interval.high)),
    )
}

/// A setting of a run: what one series of a figure shows.
#[derive(Clone, Copy)]
struct Series<'a> {
    run: &'a ReportRun<'a>,
    setting: Setting,
}

impl<'a> Series<'a> {
    fn results(self) -> Option<&'a SettingResults> {
        self.run.setting(self.setting)
    }

    fn task(self, task: Task) -> Option<&'a TaskResults> {
        task_of(self.results()?, task)
    }

    /// The run's name where there are several, and the setting where there are several.
    fn name(self, runs: &[ReportRun<'_>]) -> String {
        match (runs.len() > 1, settings(runs).len() > 1) {
            (true, true) => format!("{}, {}", self.run.name, super::words::setting(self.setting)),
            (true, false) => self.run.name.to_owned(),
            (false, _) => super::words::setting(self.setting).to_owned(),
        }
    }
}

/// Every setting of every run.
fn every_series<'a>(runs: &'a [ReportRun<'a>]) -> Vec<Series<'a>> {
    runs.iter()
        .flat_map(|run| {
            run.results.settings.iter().map(move |results| Series {
                run,
                setting: results.setting,
            })
        })
        .collect()
}

fn legend(names: impl IntoIterator<Item = (String, Mark)>) -> Vec<Legend> {
    names
        .into_iter()
        .enumerate()
        .map(|(index, (name, mark))| Legend {
            svg: legend_mark(index, mark),
            name,
        })
        .collect()
}
