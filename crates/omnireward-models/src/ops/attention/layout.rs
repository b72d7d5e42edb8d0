use std::ops::Range;

use candle_core::{Result, bail};

/// Which rows of a stream see which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionLayout {
    /// Rows of the query stream.
    pub queries: usize,
    /// Rows of the key and value streams.
    pub keys: usize,
    /// Runs of query rows, each with the keys it sees. Every query row belongs to exactly one.
    pub items: Vec<AttentionItem>,
}

impl AttentionLayout {
    /// Tiles of the given lengths laid end to end, each of which sees all of itself and nothing else.
    pub fn blocks(lengths: &[usize]) -> Self {
        let mut start = 0;
        let items = lengths
            .iter()
            .map(|length| {
                let rows = start..start + length;
                start = rows.end;
                AttentionItem {
                    queries: rows.clone(),
                    keys: vec![rows],
                    visibility: Visibility::Full,
                }
            })
            .collect();
        Self {
            queries: start,
            keys: start,
            items,
        }
    }

    /// Fails unless every query row belongs to one item and sees at least one key, and every key exists.
    pub(super) fn check(&self) -> Result<()> {
        let mut order: Vec<&AttentionItem> = self.items.iter().collect();
        order.sort_by_key(|item| item.queries.start);
        let mut next = 0;
        for item in order {
            if item.queries.start != next || item.queries.end < next {
                bail!("query row {next} belongs to no item or to several");
            }
            next = item.queries.end;
            item.check(self.keys)?;
        }
        if next != self.queries {
            bail!("the items cover {next} of {} query rows", self.queries);
        }
        Ok(())
    }
}

/// A run of query rows over one path of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionItem {
    /// The query rows.
    pub queries: Range<usize>,
    /// Ranges of key rows, in the order of their positions: the path from the root.
    pub keys: Vec<Range<usize>>,
    /// How far along the path each query row sees.
    pub visibility: Visibility,
}

impl AttentionItem {
    /// Keys on the path.
    pub fn path_len(&self) -> usize {
        self.keys.iter().map(ExactSizeIterator::len).sum()
    }

    /// How many keys from the start of the path the `index`-th query of the run sees.
    pub fn visible(&self, index: usize) -> usize {
        let path = self.path_len();
        match self.visibility {
            Visibility::Causal => path - self.queries.len() + index + 1,
            Visibility::Full => path,
            Visibility::Chunks(size) => ((index / size + 1) * size).min(path),
        }
    }

    fn check(&self, keys: usize) -> Result<()> {
        if let Some(range) = self.keys.iter().find(|range| range.end > keys) {
            bail!("a path goes through key rows {range:?} of {keys}");
        }
        let path = self.path_len();
        let enough = match self.visibility {
            Visibility::Causal => path >= self.queries.len(),
            Visibility::Full => path > 0,
            Visibility::Chunks(size) => path > 0 && size > 0,
        };
        if !enough && !self.queries.is_empty() {
            bail!(
                "query rows {:?} with {:?} visibility on a path of {path} keys",
                self.queries,
                self.visibility
            );
        }
        Ok(())
    }
}

/// How far along its path of keys a query sees. Always a beginning of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// The queries are the path's last rows, and see up to and including themselves.
    Causal,
    /// Everything.
    Full,
    /// Everything up to the end of their own chunk of this many rows; queries and keys are the same rows.
    Chunks(usize),
}
