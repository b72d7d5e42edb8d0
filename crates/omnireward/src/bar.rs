use std::{
    fmt::Write,
    io::IsTerminal,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use omnireward_core::Progress;

/// Without a terminal, a line is written this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Draws progress on stderr: a bar with rate and time left on a terminal, a line now and then
/// elsewhere, nothing when quiet. A stage that begins inside another is drawn below it.
pub(crate) struct Bar {
    quiet: bool,
    bars: MultiProgress,
    /// The stages under way, the innermost last.
    stages: Mutex<Vec<Stage>>,
}

struct Stage {
    name: String,
    bar: ProgressBar,
    last_line: Instant,
}

impl Bar {
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            bars: MultiProgress::new(),
            stages: Mutex::default(),
        }
    }

    fn stages(&self) -> MutexGuard<'_, Vec<Stage>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Bar {
    fn begin(&self, name: &str, total: Option<u64>) {
        let bar = if self.quiet {
            ProgressBar::hidden()
        } else {
            self.bars
                .add(total.map_or_else(ProgressBar::new_spinner, ProgressBar::new))
        };
        let template = if total.is_some() {
            "{prefix} {bar:28.cyan/dim} {done}/{all} · {rate} · {eta} left  {msg}"
        } else {
            "{prefix} {spinner} {done} · {rate}  {msg}"
        };
        bar.set_style(
            ProgressStyle::with_template(template)
                .expect("the template is fixed")
                // A bar that cannot be written to is not drawn.
                .with_key("done", |state: &ProgressState, line: &mut dyn Write| {
                    let _ = line.write_str(&short(state.pos() as f64));
                })
                .with_key("all", |state: &ProgressState, line: &mut dyn Write| {
                    let _ = line.write_str(&short(state.len().unwrap_or(0) as f64));
                })
                .with_key("rate", |state: &ProgressState, line: &mut dyn Write| {
                    let _ = write!(line, "{}/s", short(state.per_sec()));
                })
                .progress_chars("━━─"),
        );
        bar.set_prefix(name.to_owned());
        self.stages().push(Stage {
            name: name.to_owned(),
            bar,
            last_line: Instant::now(),
        });
    }

    #[expect(clippy::print_stderr, reason = "progress belongs on stderr")]
    fn advance(&self, steps: u64, note: &str) {
        let mut stages = self.stages();
        let Some(stage) = stages.last_mut() else {
            return;
        };
        stage.bar.inc(steps);
        stage.bar.set_message(note.to_owned());
        let is_line_due = stage.last_line.elapsed() >= LINE_EVERY;
        if is_line_due && !self.quiet && !std::io::stderr().is_terminal() {
            stage.last_line = Instant::now();
            let total = stage
                .bar
                .length()
                .map_or_else(String::new, |n| format!("/{}", short(n as f64)));
            eprintln!(
                "{}: {}{total}, {}/s, {:.0} s left  {note}",
                stage.name,
                short(stage.bar.position() as f64),
                short(stage.bar.per_sec()),
                stage.bar.eta().as_secs_f64(),
            );
        }
    }

    fn end(&self) {
        if let Some(stage) = self.stages().pop() {
            stage.bar.finish_and_clear();
        }
    }
}

/// A count in a few characters: bytes run into billions.
fn short(count: f64) -> String {
    match count {
        1e9.. => format!("{:.2}G", count / 1e9),
        1e6.. => format!("{:.1}M", count / 1e6),
        count if count.fract() == 0.0 => format!("{count}"),
        count => format!("{count:.1}"),
    }
}
