//! Which pairs of a source a build asks about.

use std::collections::{BTreeMap, HashMap};

use omnireward_core::{PreferencePair, Progress, Task, error_chain};
use omnireward_data::Dataset;
use sha2::{Digest, Sha256};

/// A choice of pairs, by their places in the source.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Which comparison of the row at each place, from 0.
    choices: BTreeMap<u64, Vec<usize>>,
    /// How many underlying pairs the source has in the wanted tasks.
    pub available: u64,
    /// Rows and files of the source that could not be read, each as a message that names it.
    pub bad_rows: Vec<String>,
}

/// The smallest hash seen in a group, and where.
type Best = (u64, u64, usize);

impl Sample {
    /// Chooses up to `limit` pairs of the wanted tasks, one of each group: a source that already has
    /// several criteria for the same responses offers those responses once. Lists of more than two
    /// responses offer one of their comparisons.
    ///
    /// The choice is made by a hash of the seed and of the group's and pairs' ids, so that it
    /// depends neither on the order of the source nor on what else is in it, and a larger limit
    /// extends a smaller one's choice. Media are not read.
    pub fn new(
        dataset: &Dataset,
        tasks: &[Task],
        limit: Option<u64>,
        seed: u64,
        progress: &dyn Progress,
    ) -> Self {
        let mut sample = Self::default();
        let mut groups: HashMap<String, Best> = HashMap::new();
        progress.begin("reading", dataset.rows());
        for (position, row) in dataset.pairs().enumerate() {
            progress.advance(1, "");
            match row {
                Ok(pair) if tasks.contains(&pair.task) => {
                    offer(&mut groups, &pair, position as u64, seed);
                }
                Ok(_) => {}
                Err(error) => sample.bad_rows.push(error_chain(&error)),
            }
        }
        progress.end();
        sample.available = groups.len() as u64;
        let mut chosen: Vec<(u64, Best)> = groups
            .into_iter()
            .map(|(group, best)| (hash(seed, &group), best))
            .collect();
        chosen.sort_unstable();
        chosen.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        for (_, (_, position, comparison)) in chosen {
            sample.choices.entry(position).or_default().push(comparison);
        }
        sample
    }

    /// How many pairs were chosen.
    pub fn len(&self) -> u64 {
        self.choices
            .values()
            .map(|chosen| chosen.len() as u64)
            .sum()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }

    /// Reads the chosen pairs with their places, in the order of the source.
    pub fn pairs<'a>(
        &'a self,
        dataset: &Dataset,
    ) -> impl Iterator<Item = (u64, PreferencePair)> + use<'a> {
        let last = self.choices.keys().next_back().copied();
        let rows = dataset.pairs().enumerate();
        rows.map(|(position, row)| (position as u64, row))
            .take_while(move |(position, _)| last.is_some_and(|last| *position <= last))
            .filter_map(move |(position, row)| {
                Some((position, self.choices.get(&position)?, row.ok()?))
            })
            .flat_map(|(position, chosen, pair)| {
                let comparisons = pair.comparisons();
                let chosen = chosen
                    .iter()
                    .filter_map(move |index| comparisons.get(*index).cloned());
                chosen.map(move |pair| (position, pair)).collect::<Vec<_>>()
            })
    }
}

fn offer(groups: &mut HashMap<String, Best>, pair: &PreferencePair, position: u64, seed: u64) {
    for (index, comparison) in pair.comparisons().iter().enumerate() {
        let offered = (hash(seed, &comparison.id), position, index);
        let best = groups
            .entry(comparison.cluster().to_owned())
            .or_insert(offered);
        *best = offered.min(*best);
    }
}

fn hash(seed: u64, id: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(id.as_bytes());
    let digest = hash.finalize();
    u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use omnireward_core::{NoProgress, Response};
    use omnireward_data::{OpenOptions, open, write};

    use super::*;

    fn dataset(pairs: &[PreferencePair]) -> (tempfile::TempDir, Dataset) {
        let folder = tempfile::tempdir().unwrap();
        write::pairs_jsonl(&folder.path().join("pairs.jsonl"), pairs).unwrap();
        let dataset = open(folder.path(), &OpenOptions::default()).unwrap();
        (folder, dataset)
    }

    fn pair(id: &str, group: Option<&str>) -> PreferencePair {
        let responses = ["x", "y"].map(Response::text);
        let mut pair = PreferencePair::new(id, Task::T2T, id, responses);
        pair.group = group.map(str::to_owned);
        pair
    }

    fn ids(pairs: &[PreferencePair], limit: Option<u64>, seed: u64) -> Vec<String> {
        let (_folder, dataset) = dataset(pairs);
        let sample = Sample::new(&dataset, &[Task::T2T], limit, seed, &NoProgress);
        let ids: Vec<String> = sample.pairs(&dataset).map(|(_, pair)| pair.id).collect();
        assert_eq!(ids.len() as u64, sample.len());
        ids
    }

    #[test]
    fn a_larger_sample_holds_a_smaller_one_and_the_order_plays_no_part() {
        let mut pairs: Vec<_> = (0..40).map(|i| pair(&format!("p{i}"), None)).collect();
        let mut small = ids(&pairs, Some(10), 3);
        let large = ids(&pairs, Some(20), 3);
        assert!(small.len() == 10 && small.iter().all(|id| large.contains(id)));
        pairs.reverse();
        let mut turned = ids(&pairs, Some(10), 3);
        turned.sort();
        small.sort();
        assert_eq!(turned, small);
        assert_ne!(ids(&pairs, Some(10), 4), ids(&pairs, Some(10), 3));
        assert_eq!(ids(&pairs, None, 3).len(), 40);
    }

    #[test]
    fn the_same_responses_are_offered_once() {
        let mut list = pair("list", None);
        list.responses.push(Response::text("z"));
        list.ranking = Some(vec![1, 2, 3]);
        let pairs = [
            pair("a", Some("g")),
            pair("b", Some("g")),
            list,
            pair("c", None),
        ];
        let chosen = ids(&pairs, None, 0);
        assert_eq!(chosen.len(), 3);
        assert!(chosen.iter().any(|id| id.starts_with("list#")));
    }
}
