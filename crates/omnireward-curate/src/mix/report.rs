use std::collections::BTreeMap;

use omnireward_core::Task;
use serde::{Deserialize, Serialize};

use super::{Kind, MixRecipe};
use crate::table::InputSummary;

/// What a mixture came to, beside what its recipe expects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MixReport {
    /// The recipe.
    pub recipe: MixRecipe,
    /// The subsets, in their order.
    pub subsets: Vec<SubsetCounts>,
    /// Rows that were written.
    pub rows: u64,
    /// Rows of each task, in the order of the paper's tables.
    pub by_task: Vec<(Task, Count)>,
    /// Rows of each kind.
    pub by_kind: Vec<(Kind, Count)>,
    /// All rows.
    pub total: Count,
    /// Media that were named, and whose files do not exist.
    pub missing_media: u64,
}

/// How many rows there are, and how many there should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Rows that were written.
    pub taken: u64,
    /// Rows that the recipe expects; `None` when it does not say for every subset.
    pub expected: Option<u64>,
}

/// The rows of a subset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubsetCounts {
    /// Its task in the recipe.
    pub task: Task,
    /// Its kind in the recipe.
    pub kind: Kind,
    /// What was read.
    pub input: InputSummary,
    /// Rows that were written, and that were expected.
    pub count: Count,
    /// Rows that were written and are of another task.
    pub other_task: u64,
    /// Rows that were written and have a criterion in a general subset, or none in one of instructions.
    pub other_kind: u64,
}

impl MixReport {
    pub(super) fn new(recipe: &MixRecipe, subsets: Vec<SubsetCounts>, missing_media: u64) -> Self {
        let by_task = sums(&subsets, |subset| subset.task);
        let by_kind = sums(&subsets, |subset| subset.kind);
        let total = sums(&subsets, |_| ())
            .pop()
            .map(|((), count)| count)
            .unwrap_or_default();
        Self {
            recipe: recipe.clone(),
            rows: total.taken,
            subsets,
            by_task,
            by_kind,
            total,
            missing_media,
        }
    }

    /// What is not as the recipe says, in words.
    pub fn disagreements(&self) -> Vec<String> {
        let mut found = Vec::new();
        for subset in &self.subsets {
            let name = &subset.input.name;
            if let Some(expected) = subset
                .count
                .expected
                .filter(|expected| *expected != subset.count.taken)
            {
                found.push(format!(
                    "`{name}` gives {} rows, {expected} are expected",
                    subset.count.taken
                ));
            }
            if subset.other_task > 0 {
                found.push(format!(
                    "{} rows of `{name}` are not {}",
                    subset.other_task, subset.task
                ));
            }
            if subset.other_kind > 0 {
                let whether = match subset.kind {
                    Kind::General => "have a criterion",
                    Kind::Instruction => "have no criterion",
                };
                found.push(format!("{} rows of `{name}` {whether}", subset.other_kind));
            }
        }
        found
    }
}

fn sums<K: Ord>(subsets: &[SubsetCounts], key: impl Fn(&SubsetCounts) -> K) -> Vec<(K, Count)> {
    let mut sums: BTreeMap<K, Count> = BTreeMap::new();
    for subset in subsets {
        let start = Count {
            taken: 0,
            expected: Some(0),
        };
        let sum = sums.entry(key(subset)).or_insert(start);
        sum.taken += subset.count.taken;
        sum.expected = sum.expected.zip(subset.count.expected).map(|(a, b)| a + b);
    }
    sums.into_iter().collect()
}
