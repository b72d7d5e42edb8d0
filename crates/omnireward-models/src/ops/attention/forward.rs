use std::ops::Range;

use rayon::prelude::*;

use super::{
    super::{
        product::{self, Tile},
        simd::{self, Element},
    },
    BLOCK, Inputs,
    columns::{self, Column, Run, Scale, Softmax, Weigh},
    path::{PackedBlock, PackedPath},
};

/// The outputs, `[queries, heads, dim]`, and what each row's and head's softmax came to, `[queries, heads]`.
pub(super) fn attend<T: Element>(inputs: Inputs<'_, T>) -> (Vec<T>, Vec<Softmax>) {
    let heads = inputs.heads;
    let mut outputs = vec![T::ZERO; inputs.layout.queries * heads.width()];
    let mut softmax = vec![Softmax::default(); inputs.layout.queries * heads.keys * heads.group];
    let mut jobs = Vec::new();
    let (mut outputs_left, mut softmax_left) = (&mut outputs[..], &mut softmax[..]);
    for runs in share(&inputs, 2 * rayon::current_num_threads()) {
        let rows: usize = runs.iter().map(|run| run.len).sum();
        let (outputs, rest) = outputs_left.split_at_mut(rows * heads.width());
        outputs_left = rest;
        let (softmax, rest) = softmax_left.split_at_mut(rows * heads.keys * heads.group);
        softmax_left = rest;
        jobs.push(Job {
            inputs,
            runs,
            outputs,
            softmax,
        });
    }
    if jobs.len() > 1 {
        jobs.into_par_iter().for_each(Job::run);
    } else {
        jobs.into_iter().for_each(Job::run);
    }
    (outputs, softmax)
}

/// Runs whose rows follow one another in the query stream, and where their results go.
struct Job<'a, T> {
    inputs: Inputs<'a, T>,
    runs: Vec<Run<'a>>,
    outputs: &'a mut [T],
    softmax: &'a mut [Softmax],
}

/// Cuts the query rows into about `jobs` lists of runs that are as much work each.
///
/// How they are cut changes no result, only how often a path is packed.
fn share<'a, T: Element>(inputs: &Inputs<'a, T>, jobs: usize) -> Vec<Vec<Run<'a>>> {
    /// Fewer rows than this to a run are not worth packing its path again.
    const FEWEST: usize = 32;
    /// Products of a score and a number that are not worth handing out.
    const LEAST: usize = 1 << 20;
    let per_key = inputs.heads.group * inputs.heads.keys * inputs.heads.dim;
    let mut items: Vec<_> = (inputs.layout.items.iter())
        .filter(|item| !item.queries.is_empty())
        .collect();
    items.sort_by_key(|item| item.queries.start);
    let keys: usize = (items.iter())
        .map(|item| {
            (0..item.queries.len())
                .map(|i| item.visible(i))
                .sum::<usize>()
        })
        .sum();
    let goal = (keys / jobs.max(1)).max(LEAST / per_key.max(1)).max(1);
    let mut lists = Vec::new();
    let (mut list, mut work) = (Vec::new(), 0);
    for item in items {
        let mut first = 0;
        while first < item.queries.len() {
            let left = item.queries.len() - first;
            let mut len = 0;
            while len < left && (work < goal || len < FEWEST || left - len < FEWEST) {
                work += item.visible(first + len);
                len += 1;
            }
            list.push(Run { item, first, len });
            first += len;
            if work >= goal {
                lists.push(std::mem::take(&mut list));
                work = 0;
            }
        }
    }
    if !list.is_empty() {
        lists.push(list);
    }
    lists
}

impl<T: Element> Job<'_, T> {
    fn run(self) {
        let heads = self.inputs.heads;
        let tile = product::tile();
        let streams = [self.inputs.k, self.inputs.v];
        let mut path = PackedPath::new(tile, streams, heads.dim);
        let mut state = State::new(tile, heads.dim);
        for head in 0..heads.keys {
            path.turn_to(head);
            let mut first = 0;
            for run in &self.runs {
                let visible = run.visible();
                path.follow(&run.item.keys, visible);
                state.begin(&self.inputs, head, *run);
                for panels in state.batches() {
                    for block in 0..visible.div_ceil(BLOCK) {
                        state.see(&path.block(block), panels.clone());
                    }
                }
                for column in 0..run.len * heads.group {
                    let row = first + column / heads.group;
                    let at = (row * heads.keys + head) * heads.group + column % heads.group;
                    let to = &mut self.outputs[at * heads.dim..][..heads.dim];
                    self.softmax[at] = state.finish(column, to);
                }
                first += run.len;
            }
        }
    }
}

/// Where the columns of a run have got to on their path.
struct State {
    tile: &'static Tile<f32>,
    dim: usize,
    gathered: Vec<f32>,
    /// Panels of queries.
    queries: Vec<f32>,
    visible: Vec<i32>,
    max: Vec<f32>,
    sum: Vec<f32>,
    /// Panels `[dim, rounded up][columns]` of weighted sums of values.
    outputs: Vec<f32>,
    scores: Vec<f32>,
}

impl State {
    fn new(tile: &'static Tile<f32>, dim: usize) -> Self {
        Self {
            tile,
            dim,
            gathered: Vec::new(),
            queries: Vec::new(),
            visible: Vec::new(),
            max: Vec::new(),
            sum: Vec::new(),
            outputs: Vec::new(),
            scores: vec![0.0; tile.packed_rows(BLOCK, tile.columns)],
        }
    }

    fn begin<T: Element>(&mut self, inputs: &Inputs<'_, T>, head: usize, run: Run<'_>) {
        let tile = self.tile;
        columns::pack(
            tile,
            inputs.q,
            inputs.heads,
            head,
            run,
            inputs.scale,
            [&mut self.gathered, &mut self.queries],
        );
        columns::visible(run, inputs.heads.group, tile.columns, &mut self.visible);
        let columns = self.visible.len();
        self.max.clear();
        self.max.resize(columns, f32::NEG_INFINITY);
        self.sum.clear();
        self.sum.resize(columns, 0.0);
        self.outputs.clear();
        self.outputs
            .resize(tile.packed_rows(self.dim, columns), 0.0);
    }

    /// Panels of columns whose queries and outputs fit the cache together with a block of keys and values.
    fn batches(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        const NUMBERS: usize = 1 << 15;
        let batch = (NUMBERS / (2 * self.dim * self.tile.columns)).max(1);
        let panels = self.visible.len() / self.tile.columns;
        (0..panels)
            .step_by(batch)
            .map(move |first| first..panels.min(first + batch))
    }

    /// Goes on by a block, with those of the panels that see something of it.
    fn see(&mut self, block: &PackedBlock<'_>, panels: Range<usize>) {
        let width = self.tile.columns;
        for panel in panels {
            let columns = panel * width..(panel + 1) * width;
            let last = self.visible[columns.end - 1] as usize;
            if last > block.start {
                self.see_panel(block, panel, columns, block.len.min(last - block.start));
            }
        }
    }

    /// `len`: keys of the block that at least one of the columns sees.
    fn see_panel(
        &mut self,
        block: &PackedBlock<'_>,
        panel: usize,
        columns: Range<usize>,
        len: usize,
    ) {
        let Tile {
            rows,
            columns: width,
            ..
        } = *self.tile;
        let queries = &self.queries[panel * width * self.dim..][..width * self.dim];
        let scores = self.scores.chunks_exact_mut(rows * width);
        let keys = block.keys.chunks_exact(rows * self.dim);
        for (keys, scores) in keys.zip(scores).take(len.div_ceil(rows)) {
            self.tile.run(self.dim, keys, queries, scores, false);
        }
        let weights = &mut self.scores[..len * width];

        let mut visible = [0; WIDEST];
        let visible = &mut visible[..width];
        for (to, from) in visible.iter_mut().zip(&self.visible[columns.clone()]) {
            *to = from - block.start as i32;
        }
        let mut decay = [0.0; WIDEST];
        let decay = &mut decay[..width];
        simd::run(Weigh {
            scores: weights,
            visible: (visible[0] < len as i32).then_some(visible),
            max: &mut self.max[columns.clone()],
            sum: &mut self.sum[columns],
            decay,
        });

        let size = self.tile.packed_rows(self.dim, width);
        let outputs = &mut self.outputs[panel * size..][..size];
        if block.start > 0 {
            simd::run(Scale {
                panel: outputs,
                by: decay,
            });
        }
        let values = block.values.chunks_exact(rows * block.len);
        for (values, outputs) in values.zip(outputs.chunks_exact_mut(rows * width)) {
            self.tile.run(len, values, weights, outputs, true);
        }
    }

    /// Writes a column's output.
    fn finish<T: Element>(&self, column: usize, to: &mut [T]) -> Softmax {
        let width = self.tile.columns;
        let size = self.tile.packed_rows(self.dim, width);
        let scale = 1.0 / self.sum[column];
        simd::run(Column {
            panel: &self.outputs[column / width * size + column % width..],
            width,
            scale,
            to,
        });
        Softmax {
            max: self.max[column],
            scale,
        }
    }
}

/// Columns of the widest tile.
const WIDEST: usize = 32;
