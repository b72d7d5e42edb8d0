//! Keys and values of prompts and replies, in pages.
//!
//! A **trunk** is the part of a prompt that no earlier trunk has: it goes on from some row of another one, so prompts
//! share the rows that they begin alike with, however far that is. A trunk stays after its last reply, for prompts that
//! come later, until its pages are needed. A **tail** is what one reply has written.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use crate::{
    Result,
    decoder::{Decoder, KeyValues, beginning},
    generation::prompt::Key,
};

/// Rows of a page.
pub(super) const PAGE: usize = 32;

/// Pages that hold `rows`.
pub(super) const fn pages(rows: usize) -> usize {
    rows.div_ceil(PAGE)
}

/// Where keys and values of all layers are, within a budget of rows.
///
/// Pages are promised before they are needed, so that a reply that has begun can always go on to its longest length.
#[derive(Debug)]
pub(super) struct Cache {
    store: KeyValues,
    /// Pages of the store that nobody has. The first is taken first, so that a path is in few ranges.
    free: BTreeSet<usize>,
    /// Pages that the store has.
    grown: usize,
    /// Pages that it may have.
    budget: usize,
    /// Pages of trunks.
    held: usize,
    /// Pages that are promised to tails, those that they have already included.
    promised: usize,
    trunks: BTreeMap<u64, Trunk>,
    next: u64,
    clock: u64,
}

/// A run of rows that follows some row of another, or nothing.
#[derive(Debug)]
struct Trunk {
    /// What it goes on from.
    parent: Option<u64>,
    /// Rows before its own.
    start: usize,
    keys: Vec<Key>,
    span: Span,
    /// Trunks and tails that go on from it, and prompts that wait for it.
    users: usize,
    /// When it was last used.
    used: u64,
}

/// Rows in pages.
#[derive(Debug, Default)]
pub(super) struct Span {
    pages: Vec<usize>,
    /// The places of the rows, in their order.
    ranges: Vec<Range<usize>>,
    rows: usize,
}

/// A trunk that was made for a prompt.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) trunk: u64,
    /// Rows of the prompt that were there before.
    pub(super) shared: usize,
    /// For the first reply.
    pub(super) tail: Tail,
}

/// Pages that are promised to one reply.
#[derive(Debug)]
pub(super) struct Tail {
    trunk: u64,
    promised: usize,
    span: Span,
}

impl Cache {
    /// An empty cache for at most `rows` rows.
    pub(super) fn new(decoder: &Decoder, rows: usize) -> Result<Self> {
        Ok(Self {
            store: decoder.key_values(0)?,
            free: BTreeSet::new(),
            grown: 0,
            budget: rows / PAGE,
            held: 0,
            promised: 0,
            trunks: BTreeMap::new(),
            next: 0,
            clock: 0,
        })
    }

    /// The keys and values.
    pub(super) fn store(&self) -> &KeyValues {
        &self.store
    }

    /// Pages that may be used.
    pub(super) fn budget(&self) -> usize {
        self.budget
    }

    /// Places for those rows of a prompt that are not there yet, and a promise of `tail` pages beside them; `None` when
    /// there is no room now. The last row is always new, so that what comes after it can be read.
    ///
    /// The trunk is used once from now on, until [`close`](Self::close).
    pub(super) fn open(&mut self, keys: &[Key], tail: usize) -> Result<Option<Opened>> {
        let (parent, shared) = self.longest_match(&keys[..keys.len() - 1]);
        if let Some(parent) = parent {
            self.take(parent);
        }
        let new = keys.len() - shared;
        if !self.make_room(pages(new) + tail) {
            if let Some(parent) = parent {
                self.close(parent);
            }
            return Ok(None);
        }
        let mut span = Span::default();
        for _ in 0..new {
            self.push(&mut span)?;
        }
        self.held += span.pages.len();
        let trunk = self.next;
        self.next += 1;
        self.trunks.insert(
            trunk,
            Trunk {
                parent,
                start: shared,
                keys: keys[shared..].to_vec(),
                span,
                users: 0,
                used: 0,
            },
        );
        self.take(trunk);
        Ok(Some(Opened {
            trunk,
            shared,
            tail: self.promised(trunk, tail),
        }))
    }

    /// Ends one use of a trunk. It stays for now.
    pub(super) fn close(&mut self, trunk: u64) {
        if let Some(trunk) = self.trunks.get_mut(&trunk) {
            trunk.users -= 1;
        }
    }

    /// Promises a tail of `pages` to a trunk; `None` when there is no room now.
    pub(super) fn promise(&mut self, trunk: u64, pages: usize) -> Option<Tail> {
        self.make_room(pages).then(|| self.promised(trunk, pages))
    }

    fn promised(&mut self, trunk: u64, pages: usize) -> Tail {
        self.take(trunk);
        self.promised += pages;
        Tail {
            trunk,
            promised: pages,
            span: Span::default(),
        }
    }

    /// A place for one more row of a tail.
    pub(super) fn extend(&mut self, tail: &mut Tail) -> Result<usize> {
        debug_assert!(tail.span.rows < tail.promised * PAGE, "what was promised");
        self.push(&mut tail.span)
    }

    /// Takes a tail's pages back.
    pub(super) fn retire(&mut self, tail: Tail) {
        self.promised -= tail.promised;
        self.free.extend(tail.span.pages);
        self.close(tail.trunk);
    }

    /// The places of the first `rows` of a prompt's rows, of which `trunk` has the last.
    pub(super) fn path(&self, trunk: u64, rows: usize) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let (mut at, mut end) = (Some(trunk), rows);
        while let Some(found) = at.and_then(|at| self.trunks.get(&at)) {
            parts.push(beginning(&found.span.ranges, end - found.start));
            end = found.start;
            at = found.parent;
        }
        parts.into_iter().rev().flatten().collect()
    }

    /// The places of a reply's path: its whole prompt and what it has written.
    pub(super) fn path_of(&self, tail: &Tail) -> Vec<Range<usize>> {
        let rows = self.trunks.get(&tail.trunk).map_or(0, Trunk::end);
        let mut path = self.path(tail.trunk, rows);
        path.extend(tail.span.ranges.iter().cloned());
        path
    }

    /// The places of a trunk's own rows, `from` counted from the beginning of the prompt.
    pub(super) fn places(&self, trunk: u64, from: Range<usize>) -> Vec<Range<usize>> {
        let Some(trunk) = self.trunks.get(&trunk) else {
            return Vec::new();
        };
        let (first, last) = (from.start - trunk.start, from.end - trunk.start);
        let mut passed = 0;
        let ranges = trunk.span.ranges.iter().filter_map(|range| {
            let start = range.start + first.saturating_sub(passed);
            let end = range.end.min(range.start + last.saturating_sub(passed));
            passed += range.len();
            (start < end).then_some(start..end)
        });
        ranges.collect()
    }

    /// Forgets all that nobody uses now: the model's weights have changed.
    pub(super) fn forget(&mut self) {
        while self.drop_oldest() {}
    }

    fn take(&mut self, trunk: u64) {
        self.clock += 1;
        if let Some(trunk) = self.trunks.get_mut(&trunk) {
            trunk.users += 1;
            trunk.used = self.clock;
        }
    }

    /// The trunk from which a prompt can go on, and after how many rows in all.
    fn longest_match(&self, keys: &[Key]) -> (Option<u64>, usize) {
        let mut matched: BTreeMap<u64, usize> = BTreeMap::new();
        let (mut best, mut longest) = (None, 0);
        // Parents come before their children.
        for (id, trunk) in &self.trunks {
            let before = trunk.parent.map_or(0, |parent| matched[&parent]);
            let len = if before < trunk.start {
                before
            } else {
                let rest = keys.get(trunk.start..).unwrap_or_default();
                trunk.start + common(&trunk.keys, rest)
            };
            matched.insert(*id, len);
            if len > longest {
                (best, longest) = (Some(*id), len);
            }
        }
        (best, longest)
    }

    /// Whether there is room for `pages` more, after trunks that nobody uses have gone, the one longest unused first.
    fn make_room(&mut self, pages: usize) -> bool {
        while self.held + self.promised + pages > self.budget {
            if !self.drop_oldest() {
                return false;
            }
        }
        true
    }

    fn drop_oldest(&mut self) -> bool {
        let idle = self.trunks.iter().filter(|(_, trunk)| trunk.users == 0);
        let Some(oldest) = idle.min_by_key(|(_, trunk)| trunk.used).map(|(id, _)| *id) else {
            return false;
        };
        if let Some(trunk) = self.trunks.remove(&oldest) {
            self.held -= trunk.span.pages.len();
            self.free.extend(trunk.span.pages);
            if let Some(parent) = trunk.parent {
                self.close(parent);
            }
        }
        true
    }

    /// The place of one more row.
    fn push(&mut self, span: &mut Span) -> Result<usize> {
        if span.rows == span.pages.len() * PAGE {
            span.pages.push(self.page()?);
        }
        let page = span.pages[span.rows / PAGE];
        let place = page * PAGE + span.rows % PAGE;
        span.rows += 1;
        match span.ranges.last_mut() {
            Some(last) if last.end == place => last.end += 1,
            _ => span.ranges.push(place..place + 1),
        }
        Ok(place)
    }

    fn page(&mut self) -> Result<usize> {
        if let Some(page) = self.free.pop_first() {
            return Ok(page);
        }
        // Twice as many, so that all copies together cost no more than the last.
        let grown = (2 * self.grown).max(SMALLEST).min(self.budget);
        let grown = grown.max(self.grown + 1);
        self.store.grow(grown * PAGE)?;
        self.free.extend(self.grown + 1..grown);
        let page = self.grown;
        self.grown = grown;
        Ok(page)
    }
}

impl Trunk {
    /// Rows up to its last one.
    fn end(&self) -> usize {
        self.start + self.keys.len()
    }
}

impl Tail {
    /// Rows that it has.
    pub(super) fn rows(&self) -> usize {
        self.span.rows
    }
}

/// Pages of the smallest store.
const SMALLEST: usize = 16;

fn common(left: &[Key], right: &[Key]) -> usize {
    let same = left
        .iter()
        .zip(right)
        .take_while(|(left, right)| left == right);
    same.count()
}
