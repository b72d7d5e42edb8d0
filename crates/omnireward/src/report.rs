//! `omnireward report`, and the reporting that ends every run.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use omnireward_core::{PreferencePair, Setting, Task};
use omnireward_eval::{
    Comparison, Results, ResultsConfig, Row, RunDir, RunManifest, compare, published,
    report::{PairBudget, PairViews, ReportInput, ReportRun, RunRows, TerminalOptions, terminal},
    verify,
};
use omnireward_media::Limits;

use crate::{
    Outcome,
    args::{ReadingArgs, ReportArgs, ReportingArgs},
    benchmark::Benchmark,
    printer,
};

/// A run that was read back, and its numbers.
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) manifest: RunManifest,
    pub(crate) rows: Vec<Row>,
    pub(crate) results: Results,
    pub(crate) dollars: Option<f64>,
    bad_rows: Vec<String>,
}

impl Run {
    /// Reads a run's rows and computes its numbers.
    pub(crate) fn load(dir: &RunDir, reporting: &ReportingArgs) -> Result<Self> {
        let manifest = dir.manifest()?;
        let rows = dir.rows()?;
        if rows.is_empty() {
            bail!("the run in `{}` holds no verdicts", dir.path().display());
        }
        let config = config(&manifest, reporting);
        Ok(Self {
            name: manifest.judge.name.clone(),
            results: Results::compute(&rows, &config),
            dollars: None,
            bad_rows: dir.bad_rows()?,
            manifest,
            rows,
        })
    }
}

fn config(manifest: &RunManifest, reporting: &ReportingArgs) -> ResultsConfig {
    ResultsConfig {
        failure_policy: reporting.failures.into(),
        seed: manifest.plan.seed,
        ..ResultsConfig::default()
    }
}

/// Writes a run's `results.json` and `report.html` and prints its table.
pub(crate) fn finish(
    dir: &RunDir,
    run: &Run,
    benchmark: &Benchmark,
    reporting: &ReportingArgs,
) -> Result<()> {
    dir.write_json("results.json", &run.results)?;
    let report = Report::new(std::slice::from_ref(run), reporting);
    report.print(reporting.json)?;
    if !reporting.no_html {
        dir.write("report.html", report.html(Some(benchmark)).as_bytes())?;
        printer::note(&format!(
            "report: {}",
            dir.path().join("report.html").display()
        ));
    }
    Ok(())
}

/// One or several runs, ready to be shown.
pub(crate) struct Report<'a> {
    runs: &'a [Run],
    comparison: Option<Comparison>,
    published: &'a [String],
    notes: Vec<String>,
    media_budget: u64,
}

impl<'a> Report<'a> {
    pub(crate) fn new(runs: &'a [Run], reporting: &'a ReportingArgs) -> Self {
        let comparison = (runs.len() > 1).then(|| {
            let rows: Vec<(&str, &[Row])> = runs
                .iter()
                .map(|run| (run.name.as_str(), run.rows.as_slice()))
                .collect();
            compare(&rows, &runs[0].results.config)
        });
        Self {
            runs,
            comparison,
            published: &reporting.published,
            notes: runs.iter().filter_map(notes).collect(),
            media_budget: reporting.media_budget.saturating_mul(1_000_000),
        }
    }

    /// Prints tables, or the results record.
    pub(crate) fn print(&self, json: bool) -> Result<()> {
        if json {
            printer::data(&format!("{}\n", self.json()?))
        } else {
            let options = TerminalOptions {
                color: printer::may_colour(),
            };
            printer::data(&self.with_input(None, |input| terminal(input, options)))
        }
    }

    /// The results of one run as they are, or those of several with their comparison.
    fn json(&self) -> Result<String> {
        Ok(match self.runs {
            [run] => serde_json::to_string_pretty(&run.results)?,
            runs => {
                let runs: Vec<_> = runs
                    .iter()
                    .map(|run| serde_json::json!({ "name": run.name, "results": run.results }))
                    .collect();
                let value = serde_json::json!({ "runs": runs, "comparison": self.comparison });
                serde_json::to_string_pretty(&value)?
            }
        })
    }

    /// The page, with the pairs where the benchmark can still be read.
    pub(crate) fn html(&self, benchmark: Option<&Benchmark>) -> String {
        let views = benchmark.map(|benchmark| self.pair_views(benchmark));
        self.with_input(views.as_ref(), omnireward_eval::report::html)
    }

    fn with_input<T>(
        &self,
        pairs: Option<&PairViews>,
        show: impl FnOnce(&ReportInput<'_>) -> T,
    ) -> T {
        let runs: Vec<ReportRun<'_>> = self
            .runs
            .iter()
            .map(|run| ReportRun {
                name: &run.name,
                manifest: &run.manifest,
                results: &run.results,
                dollars: run.dollars,
            })
            .collect();
        show(&ReportInput {
            runs: &runs,
            comparison: self.comparison.as_ref(),
            published: self.published,
            pairs,
            notes: &self.notes,
        })
    }

    /// What the page shows of the pairs that were judged.
    fn pair_views(&self, benchmark: &Benchmark) -> PairViews {
        let judged: HashSet<&str> = self
            .runs
            .iter()
            .flat_map(|run| &run.rows)
            .map(|row| row.pair_id.as_str())
            .collect();
        let pairs = benchmark
            .dataset
            .pairs()
            .filter_map(Result::ok)
            .flat_map(|pair: PreferencePair| pair.comparisons())
            .filter(|pair| judged.contains(pair.id.as_str()));
        let rows: Vec<RunRows<'_>> = self
            .runs
            .iter()
            .map(|run| RunRows {
                name: &run.name,
                rows: &run.rows,
            })
            .collect();
        let budget = PairBudget {
            media_bytes: self.media_budget,
            ..PairBudget::default()
        };
        omnireward_eval::report::pair_views(pairs, &rows, &budget, &Limits::default())
    }
}

fn notes(run: &Run) -> Option<String> {
    let first = run.bad_rows.first()?;
    Some(format!(
        "{} rows of the benchmark could not be used; the first: {first}",
        run.bad_rows.len()
    ))
}

/// Checks, before anything is asked or computed, that the paper has rows of these names.
pub(crate) fn check_published(names: &[String]) -> Result<()> {
    let rows = &published::omni_reward_bench(Setting::WithTies).rows;
    for name in names {
        if !rows.iter().any(|row| row.model == *name) {
            let known: Vec<&str> = rows.iter().map(|row| row.model.as_str()).collect();
            bail!(
                "the paper has no row `{name}`; there are: {}",
                known.join(", ")
            );
        }
    }
    Ok(())
}

/// `omnireward report`.
pub(crate) async fn report(args: ReportArgs) -> Result<Outcome> {
    check_published(&args.reporting.published)?;
    let dirs = args
        .runs
        .iter()
        .map(|path| RunDir::open(path))
        .collect::<Result<Vec<_>, _>>()?;
    if args.verify {
        return verify_all(&dirs);
    }
    let mut runs = dirs
        .iter()
        .map(|dir| Run::load(dir, &args.reporting))
        .collect::<Result<Vec<_>>>()?;
    check_same_benchmark(&runs)?;
    tell_apart(&mut runs, &args.runs);
    over_common_tasks(&mut runs);
    let report = Report::new(&runs, &args.reporting);
    report.print(args.reporting.json)?;
    let html = match (&args.html, dirs.as_slice()) {
        (Some(path), _) => Some(path.clone()),
        (None, [dir]) if !args.reporting.no_html => Some(dir.path().join("report.html")),
        (None, _) => None,
    };
    if let Some(path) = html {
        write_html(&path, &report, &args).await?;
    }
    Ok(Outcome::Done)
}

/// Writes the page. One that shows no pairs is not put in the place of one that may.
async fn write_html(path: &Path, report: &Report<'_>, args: &ReportArgs) -> Result<()> {
    let benchmark = match reopen(report.runs, &args.reading).await {
        Ok(benchmark) => Some(benchmark),
        Err(error) => {
            printer::note(&format!("the page can show no pairs: {error:#}"));
            if args.html.is_none() && path.exists() {
                printer::note(&format!("`{}` is left as it was", path.display()));
                return Ok(());
            }
            None
        }
    };
    fs::write(path, report.html(benchmark.as_ref()))
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    printer::note(&format!("report: {}", path.display()));
    Ok(())
}

/// Pairs are matched by id, which says nothing across benchmarks.
fn check_same_benchmark(runs: &[Run]) -> Result<()> {
    for pair in runs.windows(2) {
        let [one, other] = [&pair[0].manifest.benchmark, &pair[1].manifest.benchmark];
        if one.fingerprint != other.fingerprint {
            bail!(
                "the runs are over different benchmarks: `{}` ({}) and `{}` ({})",
                one.name,
                one.spec,
                other.name,
                other.spec
            );
        }
    }
    Ok(())
}

/// Runs of the same judge are told apart by their directories.
fn tell_apart(runs: &mut [Run], paths: &[PathBuf]) {
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    for (run, path) in runs.iter_mut().zip(paths) {
        if names.iter().filter(|name| **name == run.name).count() > 1 {
            run.name = format!("{} ({})", run.name, path.display());
        }
    }
}

/// Computes the runs' numbers again, with overall scores over the tasks that all of them judged.
pub(crate) fn over_common_tasks(runs: &mut [Run]) {
    let judged = |run: &Run, task| run.rows.iter().any(|row| row.task == task);
    let common: Vec<Task> = Task::ALL
        .into_iter()
        .filter(|task| runs.iter().all(|run| judged(run, *task)))
        .collect();
    for run in runs {
        let config = ResultsConfig {
            common_tasks: Some(common.clone()),
            ..run.results.config.clone()
        };
        run.results = Results::compute(&run.rows, &config);
    }
}

/// The benchmark of the runs, if it is still where it was and still the same.
async fn reopen(runs: &[Run], reading: &ReadingArgs) -> Result<Benchmark> {
    let recorded = &runs.first().context("there is no run")?.manifest.benchmark;
    let spec = match &recorded.revision {
        Some(revision) => pinned(&recorded.spec, revision),
        None => recorded.spec.clone(),
    };
    let reading = ReadingArgs {
        format: reading.format.or(recorded.format.parse().ok()),
        ..reading.clone()
    };
    let benchmark = Benchmark::open(&spec, &reading, &[], true).await?;
    if benchmark.record.fingerprint != recorded.fingerprint {
        bail!("the benchmark has changed since the run");
    }
    Ok(benchmark)
}

/// `hf:owner/name` at the commit that was judged.
fn pinned(spec: &str, revision: &str) -> String {
    let repo = spec.split('@').next().unwrap_or(spec);
    format!("{repo}@{revision}")
}

fn verify_all(dirs: &[RunDir]) -> Result<Outcome> {
    let mut outcome = Outcome::Done;
    for dir in dirs {
        let stored: Results = dir.read_json("results.json", "results record")?;
        let mismatches = verify(&dir.rows()?, &stored);
        let name = dir.path().display();
        if mismatches.is_empty() {
            printer::data(&format!(
                "{name}: every number follows from the stored rows\n"
            ))?;
        } else {
            printer::data(&format!("{name}: {} numbers differ\n", mismatches.len()))?;
            for mismatch in &mismatches {
                printer::data(&format!("  {mismatch}\n"))?;
            }
            outcome = Outcome::BelowThreshold;
        }
    }
    Ok(outcome)
}
