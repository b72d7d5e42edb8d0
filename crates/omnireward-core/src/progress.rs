/// Where long work says how far it is. Libraries report; the program draws.
pub trait Progress: Send + Sync {
    /// A stage begins, of `total` steps where that is known.
    fn begin(&self, stage: &str, total: Option<u64>);

    /// `steps` more are done. `note` is a short line to show beside the bar.
    fn advance(&self, steps: u64, note: &str);

    /// The stage is over.
    fn end(&self);
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn begin(&self, _stage: &str, _total: Option<u64>) {}
    fn advance(&self, _steps: u64, _note: &str) {}
    fn end(&self) {}
}
